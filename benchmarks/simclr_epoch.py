"""SimCLR on CIFAR-10-size images: ours against lightly's recipe, in one run.

Same images, batch, starting weights, optimiser, learning rate and temperature, and the same encoder
and head: lightly's SimCLRProjectionHead, which ends in a batch norm (with our own, which does not,
the loss comes down more slowly). Ours is `goodviews.training.fit` with the recipe simclr; lightly's
is its documented one: SimCLRTransform(input_size=32) image by image in a DataLoader with 2 workers,
NTXentLoss, a plain PyTorch loop. The two take turns, an epoch each; medians are compared, in
images/s and in CPU seconds (workers included), which other programs on the machine disturb less.

    GOODVIEWS_DATA=DIR python benchmarks/simclr_epoch.py --images 10000 --epochs 4

reads DIR/cifar10/train.npz. Needs `pip install "goodviews[bench]"`. The loss curves printed are
means over 100 steps. `--precision 32` compares both in float32 (auto: ours as it comes).
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from lightly.loss import NTXentLoss
from lightly.models.modules import SimCLRProjectionHead
from lightly.transforms import SimCLRTransform
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from goodviews.data import Images, loader
from goodviews.methods import simclr
from goodviews.training import TrainSettings, build_optimizer, fit
from goodviews.views import RECIPES


class Pictures(Dataset[list[Tensor]]):
    """PIL images through lightly's transform, as its documentation does it."""

    def __init__(self, images: Tensor) -> None:
        self.images = images.permute(0, 2, 3, 1).numpy()
        self.transform = SimCLRTransform(input_size=32)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> list[Tensor]:
        return self.transform(Image.fromarray(self.images[index]))


class Theirs:
    """lightly's SimCLR in a plain loop."""

    def __init__(
        self, images: Tensor, encoder: nn.Module, head: nn.Module, args: argparse.Namespace
    ) -> None:
        self.model = nn.ModuleList([encoder, head])
        self.criterion = NTXentLoss(temperature=0.2)
        self.optimizer = build_optimizer(self.model, lr=args.lr)
        self.loader = DataLoader(
            Pictures(images),
            args.batch_size,
            shuffle=True,
            drop_last=True,
            num_workers=2,
        )
        self.losses: list[float] = []

    def epoch(self) -> None:
        """Train one epoch."""
        encoder, head = self.model
        for v1, v2 in self.loader:
            z1, z2 = head(encoder(v1).summary), head(encoder(v2).summary)
            loss = self.criterion(z1, z2)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.losses.append(float(loss.detach()))


def clocks() -> tuple[float, float]:
    """Seconds on the wall and of CPU (finished child processes included)."""
    return time.perf_counter(), sum(os.times()[:4])


class Turns(Callback):
    """Measures each epoch of ours; at its end, and off our clock, lightly has its epoch."""

    def __init__(self, theirs: Theirs, images: int) -> None:
        self.theirs, self.images = theirs, images
        self.losses: list[float] = []
        self.costs: dict[str, list[tuple[float, float]]] = {"ours": [], "lightly": []}
        self.start = (0.0, 0.0)

    def on_train_epoch_start(self, trainer: Trainer, method: LightningModule) -> None:
        """Start our clock."""
        self.start = clocks()

    def on_train_batch_end(
        self, trainer: Trainer, method: LightningModule, outputs: dict[str, Tensor], *_: object
    ) -> None:
        """Keep the loss."""
        self.losses.append(float(outputs["loss"]))

    def evaluate(self, method: LightningModule, epoch: int) -> dict[str, float]:
        """The epoch's evaluator: stop our clock, and let lightly run."""
        self._stop("ours", epoch)
        self.start = clocks()
        self.theirs.epoch()
        self._stop("lightly", epoch)
        return {}

    def _stop(self, name: str, epoch: int) -> None:
        wall, cpu = (now - then for now, then in zip(clocks(), self.start, strict=True))
        self.costs[name].append((wall, cpu))
        rate = f"{self.images / wall:,.0f} images/s, {1000 * cpu / self.images:.2f} CPU s"
        print(f"epoch {epoch + 1}: {name:8s} {rate} a 1,000 images", flush=True)

    def ratio(self, clock: int) -> float:
        """How many times longer lightly takes, by medians over epochs."""
        theirs, ours = (
            statistics.median(cost[clock] for cost in self.costs[name])
            for name in ("lightly", "ours")
        )
        return theirs / ours


def arguments() -> argparse.Namespace:
    """What the user asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("GOODVIEWS_DATA", "."))
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--encoder", default="convnet")
    parser.add_argument("--precision", default="auto")
    return parser.parse_args()


def read_images(args: argparse.Namespace) -> Tensor:
    """The first images of CIFAR-10, uint8, shape (n, 3, 32, 32)."""
    with np.load(Path(args.data) / "cifar10" / "train.npz") as file:
        key = next(name for name in file.files if file[name].ndim == 4)
        images = torch.from_numpy(file[key][: args.images])
    return images if images.shape[1] == 3 else images.permute(0, 3, 1, 2).contiguous()


def by_hundreds(losses: list[float]) -> str:
    """Means over 100 steps."""
    parts = [losses[i : i + 100] for i in range(0, len(losses), 100)]
    return "  ".join(f"{statistics.fmean(part):.3f}" for part in parts)


def main() -> None:
    """Take turns and compare."""
    args = arguments()
    torch.manual_seed(0)
    images = read_images(args)
    views = RECIPES["simclr"].build((3, 32, 32))
    method = simclr(views, args.encoder, (3, 32, 32), temperature=0.2)
    width = method.encoders[0].dim
    method.heads[0] = SimCLRProjectionHead(width, width, 128)
    theirs = Theirs(images, *copy.deepcopy((method.encoders[0], method.heads[0])), args)
    turns = Turns(theirs, len(images) // args.batch_size * args.batch_size)
    settings = TrainSettings(
        epochs=args.epochs,
        batch_size=args.batch_size,
        lr=args.lr,
        min_lr=args.lr,
        warmup_epochs=0,
        precision=args.precision,
    )
    batches = loader(Images(images, "cifar10"), args.batch_size)
    fit(method, batches, settings, evaluators=[turns.evaluate], callbacks=[turns])
    print(f"loss, means of 100 steps, ours:    {by_hundreds(turns.losses)}")
    print(f"loss, means of 100 steps, lightly: {by_hundreds(theirs.losses)}")
    setting = f"{args.encoder}, batch {args.batch_size}, {torch.get_num_threads()} threads"
    print(
        f"{setting}, precision {args.precision}: "
        f"{turns.ratio(0):.2f}x images/s, {turns.ratio(1):.2f}x less CPU"
    )


if __name__ == "__main__":
    main()
