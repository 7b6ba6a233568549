"""A method and loaders small enough to train in a blink, and real all the same."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from goodviews.interfaces import Batch


class Tiny(LightningModule):
    """Two noisy views, a small conv net with dropout, InfoNCE."""

    def __init__(self, seed: int = 0, width: int = 4, dropout: float = 0.1) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            net = nn.Sequential(
                nn.Conv2d(3, width, 3, 2),
                nn.BatchNorm2d(width),
                nn.ReLU(),
                nn.Dropout(dropout),
                nn.AdaptiveAvgPool2d(2),
                nn.Flatten(),
                nn.Linear(4 * width, 16),
            )
        self.encoders = nn.ModuleList([net])
        self.seed = seed

    def forward(self, images: Tensor) -> Tensor:
        return self.encoders[0](images.float() / 255).float()

    def training_step(self, batch: Batch, index: int) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed * 1000 + self.global_step)
        x = batch.images.float() / 255
        noise = torch.rand((2, *x.shape), generator=generator).to(x.device)
        z1, z2 = (nn.functional.normalize(self.encoders[0](x + 0.1 * e), dim=1) for e in noise)
        scores = (z1 @ z2.T).float() / 0.2
        loss = nn.functional.cross_entropy(scores, torch.arange(len(x), device=x.device))
        ceiling = math.log(len(x))
        self.log_dict({"loss": loss, "nats": ceiling - loss, "ceiling": ceiling})
        return loss


class Places:
    """A batch sampler: the order is a function of (seed, epoch); `start` skips batches."""

    def __init__(self, images: int, size: int, seed: int) -> None:
        self.images, self.size, self.seed = images, size, seed
        self.epoch = self.start = 0

    def __len__(self) -> int:
        return self.images // self.size

    def __iter__(self) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(self.seed * 1000 + self.epoch)
        order = torch.randperm(self.images, generator=generator)
        for i in range(self.start, len(self)):
            yield order[i * self.size : (i + 1) * self.size]


class Loader:
    """Batches of random images in memory; with ``placeable=False`` it has no batch sampler."""

    def __init__(
        self, images: int = 24, size: int = 6, seed: int = 0, placeable: bool = True
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.data = torch.randint(0, 256, (images, 3, 8, 8), dtype=torch.uint8, generator=generator)
        self.places = Places(images, size, seed)
        if placeable:
            self.batch_sampler = self.places

    def __len__(self) -> int:
        return len(self.places)

    def set_epoch(self, epoch: int) -> None:
        self.places.epoch = epoch

    def __iter__(self) -> Iterator[Batch]:
        for index in self.places:
            yield Batch(self.data[index], None, None, index)
