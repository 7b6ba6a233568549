"""A probe of single pixels: a small decoder on frozen feature maps, judged by mean IoU."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from goodviews.layers import evaluating

VOID = 255
"""The label of pixels that are not judged."""
WIDTH = 64
EPOCHS, BATCH, RATE = 10, 8, 2e-3


class Photographs(Protocol):
    """Photographs with a class for each pixel."""

    @property
    def pixels(self) -> Tensor:
        """uint8, shape (n, 3, h, w)."""
        ...

    @property
    def labels(self) -> Tensor:
        """uint8, shape (n, h, w), VOID where no class is known."""
        ...

    @property
    def classes(self) -> int:
        """How many classes there are."""
        ...


class Mapper(Protocol):
    """What gives feature maps (n, D, h', w') of uint8 images."""

    def maps(self, images: Tensor) -> Tensor:
        """The maps."""
        ...


@dataclass(frozen=True)
class Segmented:
    """How well pixels are told apart on photographs that were not trained on."""

    mean_iou: float
    """Mean over the classes that occur of intersection over union, in [0, 1]."""
    iou: tuple[float, ...]
    """Class by class; NaN for one that occurs neither in truth nor in guesses."""
    accuracy: float
    """Share of the judged pixels that are right."""


def pixel_probe(
    method: nn.Module, train: Photographs, test: Photographs, *, seed: int = 0, epochs: int = EPOCHS
) -> Segmented:
    """Train a decoder of four convolutions on frozen maps, and read it on the test photographs.

    Three 3x3 convolutions with batch norm and ReLU, the second after doubling the maps' size, and
    a 1x1 convolution to the classes; cross-entropy at that size, Adam with a cosine; guesses are
    brought to the photographs' size (Tian et al. 2020, section 4.2, has a decoder of four layers).

    Args:
        method: with ``maps(images)``, see :class:`Mapper`; it is not changed.
        train: photographs to train on.
        test: photographs to judge.
        seed: of the decoder and the order.
        epochs: passes over the training photographs.

    Returns:
        IoU and accuracy.
    """
    x, test_x = (_maps(method, part.pixels) for part in (train, test))
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        decoder = _decoder(x.shape[1], train.classes)
        _teach(decoder, x, train.labels, epochs, seed)
    with torch.no_grad(), evaluating(decoder):
        table = torch.zeros(train.classes, train.classes, dtype=torch.int64)
        for part, labels in zip(test_x.split(BATCH), test.labels.split(BATCH), strict=True):
            size = labels.shape[1:]
            logits = functional.interpolate(decoder(part.float()), size, mode="bilinear")
            table += confusion(logits.argmax(1), labels, train.classes)
    return scores(table)


def confusion(guesses: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Counts of pixels (classes, classes): rows the true class, columns the guess; no VOID ones.

    Example:
        >>> confusion(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 255]), 2).tolist()
        [[1, 1], [0, 0]]
    """
    known = labels < classes
    flat = labels[known].long() * classes + guesses[known].long()
    return torch.bincount(flat, minlength=classes * classes).view(classes, classes)


def scores(table: Tensor) -> Segmented:
    """IoU of each class, true positives / (truth + guesses - true positives), and their mean.

    Example:
        >>> scores(torch.tensor([[2, 0], [1, 1]])).iou
        (0.6666666865348816, 0.5)
    """
    right = table.diagonal().float()
    union = table.sum(0) + table.sum(1) - right
    iou = right / union
    return Segmented(
        float(iou[union > 0].mean()),
        tuple(iou.tolist()),
        float(right.sum() / table.sum().clamp(min=1)),
    )


def _maps(method: nn.Module, images: Tensor) -> Tensor:
    """Frozen maps of all photographs, bfloat16 to spare memory."""
    with evaluating(method), torch.inference_mode():
        device = next(iter(method.parameters())).device
        parts = [method.maps(part.to(device)).cpu().bfloat16() for part in images.split(16)]  # type: ignore[operator]
    return torch.cat(parts).clone()


def _decoder(width: int, classes: int) -> nn.Sequential:
    def layer(before: int) -> list[nn.Module]:
        return [
            nn.Conv2d(before, WIDTH, 3, padding=1, bias=False),
            nn.BatchNorm2d(WIDTH),
            nn.ReLU(inplace=True),
        ]

    double = nn.Upsample(scale_factor=2, mode="bilinear")
    scale = nn.BatchNorm2d(width)  # maps of different encoders differ in scale
    last = nn.Conv2d(WIDTH, classes, 1)
    return nn.Sequential(scale, *layer(width), double, *layer(WIDTH), *layer(WIDTH), last)


def _teach(decoder: nn.Module, x: Tensor, labels: Tensor, epochs: int, seed: int) -> None:
    size = (2 * x.shape[2], 2 * x.shape[3])
    small = functional.interpolate(labels[:, None].float(), size, mode="nearest")[:, 0].long()
    steps = epochs * -(-len(x) // BATCH)
    adam = torch.optim.Adam(decoder.parameters(), lr=RATE)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    for index in _orders(len(x), epochs, Generator().manual_seed(seed)):
        loss = functional.cross_entropy(decoder(x[index].float()), small[index], ignore_index=VOID)
        adam.zero_grad()
        loss.backward()
        adam.step()
        cosine.step()


def _orders(count: int, epochs: int, generator: Generator) -> Iterator[Tensor]:
    for _ in range(epochs):
        yield from torch.randperm(count, generator=generator).split(BATCH)
