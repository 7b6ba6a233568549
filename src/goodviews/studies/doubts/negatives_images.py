"""Batches of images whose negatives are chosen: the same law of each pair, other company.

A pair is the top and the bottom half of a window of an image; all windows are equally likely in
every construction, so the constructions differ in what else is in the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields

import torch
from torch import Generator, Tensor
from torch.func import vmap
from torch.nn import functional

from goodviews.bounds import BOUNDS
from goodviews.interfaces import Row, Shape
from goodviews.methods.method import step_generator
from goodviews.methods.pair import StackedPair
from goodviews.studies.doubts.arms import Arm
from goodviews.studies.doubts.bench import Bench
from goodviews.studies.doubts.halves import HalfImages
from goodviews.studies.grid import Job

PER_IMAGE = 8
"""Windows of each image where a batch holds several of one image, as in CPC."""
GRID = 7
"""Images count as near by their mean brightness in so many squared cells, channel by channel."""

LACK = 0.01
"""Accuracy that features may lack and still count as as good."""
BATCHES = 100
"""Fresh batches that the bound on an arm's own batches is a mean over; they differ more than i.i.d.
ones do."""


# --- windows ------------------------------------------------------------------------------------


def window_side(length: int) -> int:
    """Pixels of a window's side: 1/7 of the image's is left to move in, at least 2 pixels.

    Example:
        >>> window_side(28), window_side(32), window_side(8)
        (24, 28, 6)
    """
    return length - 2 * max(1, length // 14)


def spots(shape: torch.Size) -> tuple[int, int]:
    """How many rows and columns a window of images (..., h, w) can start at."""
    h, w = shape[-2:]
    return h - window_side(h) + 1, w - window_side(w) + 1


def cut(images: Tensor, places: Tensor) -> Tensor:
    """Windows (..., c, h', w') of images (..., c, h, w); ``places`` (...) count row by row.

    Example:
        >>> image = torch.arange(16).view(1, 1, 4, 4)
        >>> cut(image, torch.tensor([4])).flatten().tolist()
        [5, 6, 9, 10]
    """
    flat = images.flatten(0, -4)
    h, w = (window_side(length) for length in images.shape[-2:])
    place = places.flatten().to(images.device)
    across = spots(images.shape)[1]
    every = flat.unfold(2, h, 1).unfold(3, w, 1)
    found = every[torch.arange(len(flat), device=images.device), :, place // across, place % across]
    return found.unflatten(0, places.shape)


class WindowHalves(HalfImages):
    """Images whose representation is that of the top half of the window in the middle."""

    @property
    def shape(self) -> Shape:
        """Of each view: channels, height, width."""
        c, h, w = self.views(self.train[:1])[0].shape[1:]
        return c, h, w

    @staticmethod
    def views(images: Tensor) -> tuple[Tensor, Tensor]:
        """Halves of the middle window of uint8 images (..., c, h, w)."""
        down, across = spots(images.shape)
        middle = down // 2 * across + across // 2
        return HalfImages.views(cut(images, torch.full(images.shape[:-3], middle)))


class WindowBench(Bench):
    """A bench that measures bounds on halves of random windows, independent of each other."""

    @classmethod
    def of(cls, bench: Bench) -> WindowBench:
        """The same bench for windows."""
        parts = {part.name: getattr(bench, part.name) for part in fields(bench)}
        h = bench.halves
        return cls(**parts | {"halves": WindowHalves(h.train, h.train_y, h.test, h.test_y)})

    def views_of(self, images: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Halves of one random window of each of the uint8 images (..., c, h, w)."""
        down, across = spots(images.shape)
        places = torch.randint(down * across, images.shape[:-3], generator=generator)
        return HalfImages.views(cut(images, places))


# --- who is in a batch --------------------------------------------------------------------------

Order = Callable[[HalfImages, int, Generator], Tensor]
"""Images, K and a generator -> places of all images, so that each K in a row are a batch."""


def at_random(halves: HalfImages, size: int, generator: Generator) -> Tensor:
    """Any order."""
    return torch.randperm(len(halves.train), generator=generator)


def by_class(halves: HalfImages, size: int, generator: Generator) -> Tensor:
    """Images of one class in a row, at random within it; needs labels, so it is an oracle's."""
    order = at_random(halves, size, generator)
    return order[halves.train_y.cpu()[order].argsort(stable=True)]


def by_likeness(halves: HalfImages, size: int, generator: Generator) -> Tensor:
    """Images that look alike in a row: a tree of random cuts with ``size`` images in each leaf.

    Each node draws two of its images a, b and parts the others by <x, a - b> into equal halves
    (a random projection tree with the data's own directions); x is the brightness of
    :data:`GRID` x :data:`GRID` cells.
    """
    images = halves.train.float()
    x = functional.adaptive_avg_pool2d(images, min(GRID, *images.shape[2:])).flatten(1).cpu()
    return torch.cat(list(_leaves(x, at_random(halves, size, generator), size, generator)))


def _leaves(x: Tensor, rows: Tensor, size: int, generator: Generator) -> list[Tensor]:
    """Rows parted until ``size`` are left: every leaf but one has exactly so many."""
    if len(rows) <= size:
        return [rows]
    a, b = x[rows[torch.randint(len(rows), (2,), generator=generator)]]
    ordered = rows[(x[rows] @ (a - b)).argsort(stable=True)]
    blocks = -(-len(rows) // size)
    left, right = ordered[: blocks // 2 * size], ordered[blocks // 2 * size :]
    return _leaves(x, left, size, generator) + _leaves(x, right, size, generator)


@dataclass
class Company:
    """How the batches of an arm are made: a function of (seed, step).

    Every image is used once in each pass over the data, in batches of K pairs.
    """

    order: Order
    per_image: int = 1
    """Windows of each image in a batch, all different."""
    _orders: dict[int, tuple[int, Tensor]] = field(default_factory=dict, repr=False)

    def rows(self, halves: HalfImages, seed: int, step: int, size: int) -> Tensor:
        """Places (size,) of a batch's images; each stands ``per_image`` times in a row."""
        images = -(-size // self.per_image)
        blocks = max(1, len(halves.train) // images)
        epoch, place = divmod(step, blocks)
        if self._orders.get(seed, (-1,))[0] != epoch:
            generator = step_generator(seed, -1 - epoch)  # steps below 0 are no batch's
            order = self.order(halves, images, generator)[: blocks * images].view(blocks, -1)
            self._orders[seed] = epoch, order[torch.randperm(blocks, generator=generator)]
        return self._orders[seed][1][place].repeat_interleave(self.per_image)[:size]

    def batch(
        self, halves: HalfImages, seeds: Sequence[int], step: int, size: int
    ) -> tuple[Tensor, Tensor]:
        """Views x1, x2 (E, size, c, h, w) of a step, each seed its own."""
        windows = []
        for seed in seeds:
            images = halves.train[self.rows(halves, seed, step, size).to(halves.train.device)]
            windows.append(cut(images, self._places(images, step_generator(seed, step))))
        return HalfImages.views(torch.stack(windows))

    def _places(self, images: Tensor, generator: Generator) -> Tensor:
        """Windows of a batch's images, none twice for one image."""
        down, across = spots(images.shape)
        groups = -(-len(images) // self.per_image)
        drawn = torch.rand(groups, down * across, generator=generator).argsort(1)
        return drawn[:, : self.per_image].flatten()[: len(images)]


CONTROL = "images: i.i.d."
COMPANY: dict[str, Callable[[], Company]] = {
    CONTROL: lambda: Company(at_random),
    "images: same image": lambda: Company(at_random, PER_IMAGE),
    "images: near images": lambda: Company(by_likeness),
    "images: same class": lambda: Company(by_class),
}
"""Arm -> how its batches are made."""
WORDS = {
    CONTROL: "windows of K different images, drawn at random",
    "images: same image": f"{PER_IMAGE} windows of each of K/{PER_IMAGE} images (as in CPC)",
    "images: near images": "windows of K images that look alike (hard negatives)",
    "images: same class": "windows of K images of one class (hard negatives of an oracle)",
}


def measure(jobs: Sequence[Job], arm: Arm, bench: Bench) -> list[Row]:
    """The rows of an arm of :data:`COMPANY`.

    ``nats`` is the bound on i.i.d. held-out pairs, ``nats_train`` on i.i.d. pairs of the training
    images, ``own`` on fresh batches made as in training, ``gap`` the distance of the last two.
    """
    windows, company = WindowBench.of(bench), COMPANY[arm.name]()
    seeds, size = [job.seed for job in jobs], bench.budget.batch_size
    pair = arm.build(seeds, windows.halves.shape)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        return company.batch(windows.halves, seeds, step, size)

    def besides(pair: StackedPair) -> list[dict[str, float]]:
        return [{"own": nats} for nats in own_bound(pair, arm.bound, draw, windows)]

    rows = windows.train(jobs, pair, arm.losses, arm.bound, batches=draw, besides=besides)
    for row in rows:
        row.measures["gap"] = abs(row.measures["own"] - (row.nats_train or 0.0))
    return rows


def own_bound(
    pair: StackedPair,
    bound: str,
    draw: Callable[[int], tuple[Tensor, Tensor]],
    bench: Bench,
) -> list[float]:
    """The bound on fresh batches of the arm's own kind, those after the last step's: nats."""
    values = []
    for i in range(BATCHES):
        with bench.autocast():
            z1, z2 = pair.encode(*draw(bench.budget.steps + i))
        values.append(vmap(BOUNDS[bound].function)(pair.scores(z1, z2)))
    found: list[float] = torch.stack(values).mean(0).tolist()
    return found
