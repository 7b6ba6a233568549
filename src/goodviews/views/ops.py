"""What a random op is: it draws its own parameters for every image of a batch and applies them.

An op is a frozen dataclass whose fields are the keys of a recipe; ``op(images, generator)`` takes
float images (n, c, h, w) in [0, 1] and returns the same. Neighbouring geometric ops are composed
into one resample (:class:`goodviews.views.geometry.Resample`). An op with probability ``p`` works
on the drawn images only.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from torch import Generator, Tensor

from goodviews.interfaces import Shape, UserError
from goodviews.views.geometry import Resample, uniform

__all__ = [
    "GeometricOp",
    "Op",
    "Range",
    "between",
    "change_some",
    "drawn",
    "number_range",
    "put",
    "run",
]

Range = tuple[float, float]


def between(name: str, value: object, low: float, high: float) -> None:
    """Raise UserError unless ``value`` is a number in [low, high].

    Example:
        >>> between("blur.p", 2, 0, 1)
        Traceback (most recent call last):
        goodviews.interfaces.UserError: blur.p: 2 is out of range. Give a number between 0 and 1.
    """
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (number and low <= value <= high):  # type: ignore[operator]
        limit = f"between {low:g} and {high:g}" if math.isfinite(high) else f"at least {low:g}"
        raise UserError(f"{name}: {value} is out of range. Give a number {limit}.")


def number_range(name: str, value: object, low: float, high: float) -> Range:
    """A checked (low, high) pair; one number stands for both ends.

    Example:
        >>> number_range("blur.sigma", 2, 0, 9)
        (2.0, 2.0)
    """
    pair = (value, value) if isinstance(value, (int, float)) else value
    if not (isinstance(pair, Sequence) and len(pair) == 2 and not isinstance(pair, str)):
        raise UserError(f"{name}: {value} is no range. Give two numbers, for example [0.2, 1.0].")
    for end in pair:
        between(name, end, low, high)
    first, last = float(pair[0]), float(pair[1])
    if first > last:
        raise UserError(f"{name}: [{first:g}, {last:g}] is reversed. Put the smaller number first.")
    return first, last


class Op(ABC):
    """One random change of a batch of images."""

    name: str = ""

    @abstractmethod
    def __call__(
        self, images: Tensor, generator: Generator | None = None, inplace: bool = False
    ) -> Tensor:
        """Change float images (n, c, h, w) in [0, 1]; ``inplace`` allows to overwrite them."""

    def shape(self, shape: Shape) -> Shape:
        """The shape of one image afterwards."""
        return shape

    def sized(self, size: int | None) -> Op:
        """The same op with the recipe's size filled in where it has none."""
        return self

    def warnings(self, hints: frozenset[str], shape: Shape) -> list[str]:
        """What a user should hear about this op on such data."""
        return []


class GeometricOp(Op):
    """An op that only adds to a separable resample."""

    @abstractmethod
    def compose(self, resample: Resample, generator: Generator | None) -> Resample:
        """Draw parameters and append them to the resample."""

    def __call__(
        self, images: Tensor, generator: Generator | None = None, inplace: bool = False
    ) -> Tensor:
        """Change float images (n, c, h, w) in [0, 1]."""
        return self.compose(Resample.identity(images), generator).apply(images)


def _memory_order(images: Tensor) -> list[int]:
    """The axes in the order of memory; images stay axis 0."""
    strides = images.stride()
    return [0, *sorted(range(1, images.ndim), key=lambda axis: -strides[axis])]


def put(images: Tensor, index: Tensor, some: Tensor, inplace: bool) -> Tensor:
    """The images with ``some`` at the places ``index``."""
    target = images if inplace else images.clone()
    order = _memory_order(target)
    target.permute(order).index_copy_(0, index, some.permute(order))
    return target


def drawn(images: Tensor, p: float, generator: Generator | None) -> Tensor:
    """Places of the images that an op of probability p touches."""
    return (uniform(len(images), 0.0, 1.0, images.device, generator) < p).nonzero()[:, 0]


def change_some(
    images: Tensor,
    p: float,
    generator: Generator | None,
    inplace: bool,
    change: Callable[[Tensor, bool], Tensor],
) -> Tensor:
    """Apply ``change(images, inplace)`` with probability p, to the drawn images only."""
    if p >= 1:
        return change(images, inplace)
    index = drawn(images, p, generator)
    if len(index) == 0:
        return images
    order = _memory_order(images)
    back = [order.index(axis) for axis in range(images.ndim)]
    some = images.permute(order).index_select(0, index).permute(back)
    return put(images, index, change(some, True), inplace)


def run(ops: Sequence[Op], images: Tensor, generator: Generator | None = None) -> Tensor:
    """Apply a chain of ops; neighbouring geometric ops become one resample, ``images`` stay as is.

    Example:
        >>> import torch
        >>> from goodviews.views import OPS
        >>> run([OPS["translate"](), OPS["blur"]()], torch.rand(2, 3, 8, 8)).shape
        torch.Size([2, 3, 8, 8])
    """
    given, resample = images, None
    for op in ops:
        if isinstance(op, GeometricOp):
            start = Resample.identity(images) if resample is None else resample
            resample = op.compose(start, generator)
            continue
        if resample is not None:
            images, resample = resample.apply(images), None
        images = op(images, generator, inplace=images is not given)
    return images if resample is None else resample.apply(images)
