"""Loaders: the order is a function of seed and epoch, and a run can resume anywhere."""

import lightning
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from goodviews.data import EpochBatches, Images, StreamedImages, loader
from goodviews.data.streamed import FileReader
from goodviews.interfaces import Batch, UserError


def source(n: int = 50) -> Images:
    pixels = torch.arange(n, dtype=torch.uint8)[:, None, None, None].expand(n, 3, 8, 8)
    side = torch.arange(n) % 5
    return Images(pixels, "counted", side, tuple("abcde"), factors={"side": side})


def run(batches: DataLoader[Batch], epoch: int, start: int = 0) -> list[Batch]:
    assert isinstance(batches.batch_sampler, EpochBatches)
    batches.batch_sampler.set_epoch(epoch)
    batches.batch_sampler.start = start
    return list(batches)


def same(one: list[Batch], two: list[Batch]) -> bool:
    return len(one) == len(two) and all(
        torch.equal(a, b)
        for x, y in zip(one, two, strict=True)
        for a, b in zip(x, y, strict=True)
        if a is not None and b is not None
    )


@pytest.mark.parametrize("partners", [None, ["side"]])
@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_is_a_function_of_seed_and_epoch(partners: list[str] | None, workers: int) -> None:
    batches = loader(source(), 8, seed=1, partners=partners, workers=workers)
    plain = loader(source(), 8, seed=1, partners=partners)
    zero, one = run(batches, 0), run(batches, 1)
    assert len(zero) == len(batches) == 6
    assert same(zero, run(plain, 0)) and same(one, run(plain, 1)) and not same(zero, one)
    assert not same(zero, run(loader(source(), 8, seed=2, partners=partners), 0))
    assert same(one[4:], run(batches, 1, start=4))


def test_a_batch_holds_what_its_index_says() -> None:
    for batch in run(loader(source(), 7, partners=["side"], drop_last=False), 3):
        assert batch.labels is not None and batch.partners is not None
        assert torch.equal(batch.images[:, 0, 0, 0].long(), batch.index)
        assert torch.equal(batch.labels, batch.index % 5)
        assert torch.equal(batch.partners[:, 0, 0, 0] % 5, batch.index % 5)
        assert batch.images.shape[1:] == (3, 8, 8) and batch.images.dtype == torch.uint8


def test_every_image_once_and_in_order_without_shuffling() -> None:
    seen = torch.cat([b.index for b in run(loader(source(), 7, drop_last=False), 0)])
    assert torch.equal(seen.sort().values, torch.arange(50)) and not torch.equal(
        seen, torch.arange(50)
    )
    plain = loader(source(), 7, shuffle=False, drop_last=False)
    assert torch.equal(torch.cat([b.index for b in plain]), torch.arange(50))
    assert len(plain) == 8 and len(loader(source(), 7)) == 7


def test_a_new_epoch_starts_at_its_first_batch() -> None:
    batches = EpochBatches(50, 8, seed=0)
    batches.epoch, batches.start = 3, 2
    batches.set_epoch(3)
    assert batches.start == 2
    batches.set_epoch(4)
    assert batches.start == 0


def test_natural_pairs_become_partners() -> None:
    images = source()
    images.second = 255 - images.pixels
    batch = next(iter(loader(images, 5)))
    assert batch.partners is not None and torch.equal(batch.partners, 255 - batch.images)


def test_unlabelled_images_give_no_labels() -> None:
    batch = next(iter(loader(Images(source().pixels, "bare"), 5)))
    assert batch.labels is None and batch.partners is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 51}, "51 is more than the 50 images of counted"),
        ({"batch_size": 1}, "1 is too small"),
        ({"batch_size": 0, "drop_last": False}, "0 is too small"),
        ({"batch_size": 5, "partners": ["sides"]}, "Did you mean side"),
    ],
)
def test_mistakes_are_told_at_once(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        loader(source(), **arguments)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="streamed"):
        loader(StreamedImages(FileReader([]), 8, "files"), 1, drop_last=False, partners=["side"])


class Recorder(lightning.LightningModule):
    """Keeps the indices it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: dict[int, list[Tensor]] = {}

    def training_step(self, batch: Batch, _: int) -> Tensor:
        assert isinstance(batch, Batch) and batch.partners is not None
        self.seen.setdefault(self.current_epoch, []).append(batch.index)
        return self.weight * batch.images.float().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.filterwarnings("ignore:The 'train_dataloader' does not have many workers")
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_lightning_trains_on_it_and_sets_the_epoch() -> None:
    trainer = lightning.Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    module = Recorder()
    trainer.fit(module, loader(source(), 8, partners=["side"], seed=4))
    plain = loader(source(), 8, partners=["side"], seed=4)
    for epoch in range(3):
        expected = [batch.index for batch in run(plain, epoch)]
        assert torch.equal(torch.cat(module.seen[epoch]), torch.cat(expected))
