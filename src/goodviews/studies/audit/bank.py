"""Frozen features of the same view pairs for every contender, narrowed for critics."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from goodviews.data.images import partner_images
from goodviews.interfaces import ImageSource, Views

TRAIN_IMAGES, HELD_IMAGES = 12_000, 4_000
"""The most images whose view pairs critics are trained on, and are read on."""
DRAWS = 8
"""The most pairs drawn of one image, where there are fewer images."""
SIZES = (4, 16, 64, 256, 1024)
"""K: numbers of candidates that the bound is read at, as many as the held-out images allow."""
WIDTH = 256
"""The most leading principal axes of a contender that critics read."""
AT_ONCE = 2**18
"""Pixels of the images that networks read at a time: 256 images of 32x32."""
FITTED = 2048
"""View pairs that :class:`Narrow` is fitted on."""


class Reader(NamedTuple):
    """What reads features off view pairs."""

    keys: tuple[str, ...]
    """The layers that it reads."""
    read: Callable[[Tensor, Tensor], Mapping[str, tuple[Tensor, Tensor]]]
    """A pair of views (n, c, h, w) -> features of both by key, (n, D) each."""


def read_all(
    readers: Sequence[Reader], pair: tuple[Tensor, Tensor], wanted: set[str]
) -> Iterator[tuple[str, int, Tensor]]:
    """Key, side and features of every layer wanted."""
    for reader in readers:
        if not wanted.isdisjoint(reader.keys):
            for key, both in reader.read(*pair).items():
                if key in wanted:
                    yield from ((key, side, z) for side, z in enumerate(both))


@dataclass(frozen=True)
class Sizing:
    """How many images, draws and candidates an audit of this data takes.

    Example:
        >>> Sizing.of(50_000, 10_000).sizes, Sizing.of(200, 60).train_draws
        ((4, 16, 64, 256, 1024), 8)
    """

    train: int
    held: int
    train_draws: int
    held_draws: int
    sizes: tuple[int, ...]
    batch: int
    """View pairs a training step of a critic: few against the images, which may repeat in it."""

    @classmethod
    def of(cls, train: int, held: int) -> Sizing:
        """For so many training and held-out images."""
        some, few = min(train, TRAIN_IMAGES), min(held, HELD_IMAGES)
        sizes = tuple(k for k in SIZES if 2 * k <= few)
        batch = max(8, min(256, 2 ** int(math.log2(max(1, some // 8)))))
        return cls(
            some,
            few,
            min(DRAWS, math.ceil(TRAIN_IMAGES / some)),
            min(DRAWS, math.ceil(HELD_IMAGES / few)),
            sizes,
            batch,
        )


@dataclass(frozen=True)
class Pairs:
    """Features of view pairs: row ``draw * images + image``.

    Args:
        x: of the first views, shape (draws * images, d1), float32.
        y: of the second views, (draws * images, d2).
        images: how many different ones.
    """

    x: Tensor
    y: Tensor
    images: int

    @property
    def draws(self) -> int:
        """Pairs of each image."""
        return len(self.x) // self.images


class Narrow:
    """What critics read of features: centred, at most :data:`WIDTH` axes, one scale a side.

    ``(z - mean) @ axes / scale``: mean and scale of each side's training views; axes are the
    leading principal ones of both sides where they are equally wide, so that an inner product
    keeps its meaning, else each side's own. No wider than WIDTH, features are not rotated. A critic
    of these is a critic of the features, so its bound is one on them.

    Args:
        x: first views of some training images, (n, d1).
        y: second views, (n, d2).
    """

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.means = [side.double().mean(0) for side in (x, y)]
        moved = [side.double() - mean for side, mean in zip((x, y), self.means, strict=True)]
        if x.shape[1] == y.shape[1]:
            axes = [_leading(torch.cat(moved))] * 2
        else:
            axes = [_leading(side) for side in moved]
        self.axes: list[Tensor | None] = axes
        turned = [
            side if one is None else side @ one for side, one in zip(moved, axes, strict=True)
        ]
        self.scales = [float(side.square().mean().sqrt().clamp_min(1e-12)) for side in turned]

    def __call__(self, side: int, z: Tensor) -> Tensor:
        """Features (n, d) of one side -> (n, at most WIDTH), float32 on the CPU."""
        axes = self.axes[side]
        ready = z.cpu() - self.means[side].float()
        ready = ready if axes is None else ready @ axes.float()
        return ready / self.scales[side]


def _leading(moved: Tensor) -> Tensor | None:
    """The leading principal axes (d, at most WIDTH) of centred rows (n, d); None if no wider."""
    if moved.shape[1] <= WIDTH:
        return None
    rows = moved.float()
    if len(rows) < moved.shape[1]:  # few images: the smaller matrix has the same directions
        values, vectors = torch.linalg.eigh(rows @ rows.T)
        kept = values[-WIDTH:] > 1e-6 * values[-1]
        axes = rows.T @ vectors[:, -WIDTH:][:, kept]
        return (axes / axes.norm(dim=0)).double()
    return torch.linalg.eigh(rows.T @ rows).eigenvectors[:, -WIDTH:].double()


def view_pairs(
    views: Views,
    source: ImageSource,
    partners: Sequence[str] | None,
    draws: int,
    seed: int,
    device: torch.device,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of view pairs of all images, ``draws`` times; the same for the same seed."""
    chosen = torch.Generator().manual_seed(seed)
    generator = torch.Generator(device=device).manual_seed(seed)
    step = max(8, min(256, AT_ONCE // (source.shape[1] * source.shape[2])))
    for _ in range(draws):
        for index in torch.arange(len(source)).split(step):
            yield views_of(views, source, index, partners, chosen, generator)


def views_of(
    views: Views,
    source: ImageSource,
    index: Tensor,
    partners: Sequence[str] | None,
    chosen: Generator,
    generator: Generator,
) -> tuple[Tensor, Tensor]:
    """The two views of the images at ``index``, on the generator's device."""
    images = source.images(index).to(generator.device)
    others = partner_images(source, index, partners, chosen)
    v1, v2 = views(images, generator, None if others is None else others.to(generator.device))
    return v1, v2


@torch.no_grad()
def gather(
    readers: Sequence[Reader],
    pairs: Callable[[], Iterator[tuple[Tensor, Tensor]]],
    images: int,
    narrow: dict[str, Narrow],
    wanted: set[str],
) -> dict[str, Pairs]:
    """Narrowed features of all view pairs for every layer wanted.

    Args:
        readers: read layers.
        pairs: makes the batches anew.
        images: how many different ones there are.
        narrow: how each layer is narrowed; what is missing is fitted on the first
            :data:`FITTED` pairs and added (training pairs come first).
        wanted: keys of layers.
    """
    for key, (x, y) in raw(readers, pairs(), wanted - set(narrow), FITTED).items():
        narrow[key] = Narrow(x, y)
    kept: dict[str, tuple[list[Tensor], list[Tensor]]] = {key: ([], []) for key in wanted}
    for pair in pairs():
        for key, side, z in read_all(readers, pair, wanted):
            kept[key][side].append(narrow[key](side, z))
    return {key: Pairs(torch.cat(x), torch.cat(y), images) for key, (x, y) in kept.items()}


@torch.no_grad()
def raw(
    readers: Sequence[Reader],
    pairs: Iterator[tuple[Tensor, Tensor]],
    wanted: set[str],
    most: int,
) -> dict[str, tuple[Tensor, Tensor]]:
    """Features of about the first ``most`` view pairs as they are, (n, D) a side."""
    if not wanted:
        return {}
    kept: dict[str, tuple[list[Tensor], list[Tensor]]] = {key: ([], []) for key in wanted}
    seen = 0
    for pair in pairs:
        for key, side, z in read_all(readers, pair, wanted):
            kept[key][side].append(z.float().cpu())
        seen += len(pair[0])
        if seen >= most:
            break
    return {key: (torch.cat(x), torch.cat(y)) for key, (x, y) in kept.items()}
