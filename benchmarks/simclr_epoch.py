"""SimCLR on CIFAR-10-size images: ours against lightly's recipe, in one run.

Same images, batch, encoder weights, optimiser, learning rate and temperature. Ours is
`goodviews.training.fit` with the recipe simclr; lightly's is its documented one:
SimCLRTransform(input_size=32) image by image in a DataLoader with 2 workers, SimCLRProjectionHead,
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
from collections.abc import Callable
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


class Losses(Callback):
    """Keeps the loss of each step."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_train_batch_end(
        self, trainer: Trainer, method: LightningModule, outputs: dict[str, Tensor], *_: object
    ) -> None:
        """Keep it."""
        self.values.append(float(outputs["loss"]))


class Theirs:
    """lightly's SimCLR in a plain loop."""

    def __init__(self, images: Tensor, encoder: nn.Module, args: argparse.Namespace) -> None:
        width = encoder.dim
        self.model = nn.ModuleList([encoder, SimCLRProjectionHead(width, width, 128)])
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


class Ours:
    """goodviews: the recipe simclr, trained by fit."""

    def __init__(self, images: Tensor, encoder: nn.Module, args: argparse.Namespace) -> None:
        views = RECIPES["simclr"].build((3, 32, 32))
        self.method = simclr(views, args.encoder, (3, 32, 32), temperature=0.2)
        self.method.encoders[0].load_state_dict(encoder.state_dict())
        self.source, self.args, self.epochs = Images(images, "cifar10"), args, 0
        self.recorder = Losses()

    @property
    def losses(self) -> list[float]:
        """The loss of each step."""
        return self.recorder.values

    def epoch(self) -> None:
        """Train one epoch at a constant rate."""
        lr, seed = self.args.lr, self.epochs
        settings = TrainSettings(
            epochs=1,
            batch_size=self.args.batch_size,
            lr=lr,
            min_lr=lr,
            warmup_epochs=0,
            precision=self.args.precision,
            seed=seed,
        )
        self.method.seed = seed
        batches = loader(self.source, self.args.batch_size, seed=seed)
        fit(self.method, batches, settings, callbacks=[self.recorder])
        self.epochs += 1


def cost(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds on the wall and of CPU (finished child processes included)."""
    wall, cpu = time.perf_counter(), sum(os.times()[:4])
    work()
    return time.perf_counter() - wall, sum(os.times()[:4]) - cpu


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
    encoder = simclr(RECIPES["simclr"].build((3, 32, 32)), args.encoder, (3, 32, 32)).encoders[0]
    sides = {
        "ours": Ours(images, encoder, args),
        "lightly": Theirs(images, copy.deepcopy(encoder), args),
    }
    count = len(images) // args.batch_size * args.batch_size
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for epoch in range(1, args.epochs + 1):
        for name, side in sides.items():
            wall, cpu = cost(side.epoch)
            costs[name].append((wall, cpu))
            rate = f"{count / wall:,.0f} images/s, {1000 * cpu / count:.2f} CPU s a 1,000 images"
            print(f"epoch {epoch}: {name:8s} {rate}", flush=True)
    for name, side in sides.items():
        print(f"loss, means of 100 steps, {name}: {by_hundreds(side.losses)}")
    wall, cpu = (
        statistics.median(c[i] for c in costs["lightly"])
        / statistics.median(c[i] for c in costs["ours"])
        for i in (0, 1)
    )
    setting = f"{args.encoder}, batch {args.batch_size}, {torch.get_num_threads()} threads"
    print(f"{setting}, precision {args.precision}: {wall:.2f}x images/s, {cpu:.2f}x less CPU")


if __name__ == "__main__":
    main()
