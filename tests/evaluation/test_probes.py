"""Nearest neighbours, the MLP probe, fine-tuning and few labels."""

import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn

from goodviews.data.images import Images
from goodviews.evaluation.features import extract
from goodviews.evaluation.finetune import finetune, shift_flip
from goodviews.evaluation.probes import knn_probe, mlp_probe
from goodviews.evaluation.task import subset
from goodviews.interfaces import UserError

Data = tuple[Tensor, Tensor, Tensor, Tensor]


def slow_knn(data: Data, k: int, temperature: float) -> list[int]:
    """Wu et al.'s vote, one image at a time."""
    train_x, train_y, test_x, _ = data
    said = []
    for row in test_x:
        cos = torch.nn.functional.cosine_similarity(train_x, row.unsqueeze(0))
        near = cos.argsort(descending=True)[:k]
        votes = torch.zeros(10)
        for i in near:
            votes[train_y[i]] += torch.exp(cos[i] / temperature)
        said.append(int(votes.argmax()))
    return said


def test_knn_is_the_slow_vote(digit_pixels: Data) -> None:
    data = (*digit_pixels[:2], digit_pixels[2][:60], digit_pixels[3][:60])
    assert knn_probe(*data, k=20).predictions.tolist() == slow_knn(data, 20, 0.07)


@pytest.mark.parametrize("k", [1, 5])
def test_euclidean_knn_is_scikit_learns(digit_pixels: Data, k: int) -> None:
    train_x, train_y, test_x, test_y = digit_pixels
    theirs = KNeighborsClassifier(k).fit(train_x, train_y).score(test_x, test_y)
    ours = knn_probe(*digit_pixels, k=k, distance="euclidean")
    assert ours.accuracy == pytest.approx(theirs, abs=0.005)
    assert ours.label_nats is None


def test_knn_reduces_k_and_refuses_nonsense(digit_pixels: Data) -> None:
    train_x, train_y, test_x, test_y = digit_pixels
    result = knn_probe(train_x[:15], train_y[:15], test_x, test_y, k=20)
    assert "k reduced from 20 to the 15" in result.notes[-1]
    with pytest.raises(UserError, match="distance: 'l3'"):
        knn_probe(*digit_pixels, distance="l3")
    with pytest.raises(UserError, match="k: 0"):
        knn_probe(*digit_pixels, k=0)


def test_mlp_probe_reads_what_a_linear_one_cannot() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1500, 2, generator=generator)
    y = (x[:, 0] * x[:, 1] > 0).long()
    result = mlp_probe(x[:1000], y[:1000], x[1000:], y[1000:], epochs=30, hidden=128)
    assert result.accuracy > 0.9
    assert result.label_nats > 0.3


def test_mlp_probe_repeats_and_leaves_the_generator_alone(digit_pixels: Data) -> None:
    before = torch.get_rng_state()
    runs = [mlp_probe(*digit_pixels, epochs=2, hidden=64, seed=3) for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), before)
    assert runs[0].cross_entropy == runs[1].cross_entropy


def test_subset() -> None:
    labels = torch.tensor([0] * 100 + [1] * 200 + [2] * 3 + [-1] * 50)
    few = subset(labels, per_class=10, seed=1)
    assert labels[few].bincount().tolist() == [10, 10, 3]
    assert len(few.unique()) == len(few)
    share = subset(labels, fraction=0.1, seed=1)
    assert labels[share].bincount().tolist() == [10, 20, 1]
    assert torch.equal(few, subset(labels, per_class=10, seed=1))
    assert not torch.equal(few, subset(labels, per_class=10, seed=2))
    for wrong in ({}, {"per_class": 1, "fraction": 0.5}, {"fraction": 1.5}, {"per_class": 0}):
        with pytest.raises(UserError):
            subset(labels, **wrong)


class Net(nn.Module):
    """A small network from uint8 images to vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32))

    def forward(self, images: Tensor) -> Tensor:
        return self.body(images.float() / 255)


def test_finetune_beats_the_frozen_network_and_leaves_it_alone(
    digits: tuple[Images, Images],
) -> None:
    torch.manual_seed(0)
    net, (train, test) = Net(), digits
    before = extract(net, test)
    result = finetune(net, train, test, epochs=8, batch_size=64, lr=1e-2, augment="none")
    assert result.accuracy > 0.94
    assert torch.equal(extract(net, test), before)
    again = finetune(net, train, test, epochs=1, augment="shift", seed=1)
    assert again.accuracy == finetune(net, train, test, epochs=1, augment="shift", seed=1).accuracy


def test_finetune_leaves_out_unlabelled_images(digits: tuple[Images, Images]) -> None:
    train, test = digits
    labels = test.labels.clone()
    labels[:100] = -1
    some = Images(test.pixels, "toy", labels)
    assert finetune(Net(), train, some, epochs=1).n_test == 400
    with pytest.raises(UserError, match="augment"):
        finetune(Net(), train, test, augment="cutmix")
    with pytest.raises(UserError, match="no labels"):
        finetune(Net(), Images(train.pixels, "toy"), test)


def test_shift_flip_moves_whole_images() -> None:
    image = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(64, 3, 16, 16)
    out = shift_flip(image, torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(image[:1, :1].float(), (2,) * 4, mode="reflect")[0, 0]
    crops = [padded[i : i + 16, j : j + 16] for i in range(5) for j in range(5)]
    crops += [crop.flip(1) for crop in crops]
    for picture in out:
        assert any(torch.equal(picture[0].float(), crop) for crop in crops)
        assert torch.equal(picture[0], picture[2])
