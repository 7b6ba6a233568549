"""Splits: two views cut from one image (InfoMin sections 3-4, CMC), instead of two augmentations.

A split takes float images (n, c, h, w) in [0, 1], after the ops that both views share. Colour,
channel and frequency splits return standardised views (fixed constants of natural photographs)
that need an encoder each; patches and halves stay images in [0, 1], which one encoder reads and the
recipe normalises.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from goodviews.interfaces import Shape, UserError
from goodviews.views import colorspaces, filters
from goodviews.views.geometry import uniform

__all__ = [
    "CHANNELS",
    "SPLITS",
    "Channels",
    "ColorSpace",
    "Frequency",
    "Halves",
    "Patches",
    "Split",
]

CHANNELS = {"R|GB": (0, (1, 2)), "G|RB": (1, (0, 2)), "B|RG": (2, (0, 1))}


class Split(ABC):
    """A cut of one image into two views."""

    name: str = ""
    standardised: bool = True
    """Whether the views come standardised; otherwise the recipe normalises them."""

    @property
    def shared_encoder(self) -> bool:
        """Whether one encoder may read both views."""
        return not self.standardised

    @abstractmethod
    def __call__(self, images: Tensor, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
        """Cut float images (n, c, h, w) in [0, 1] into two views."""

    @abstractmethod
    def shapes(self, shape: Shape) -> tuple[Shape, Shape]:
        """The shapes of the two views of an image of ``shape``; raises UserError if impossible."""

    def parts(self, images: Tensor) -> tuple[Tensor, ...]:
        """What a frozen encoder reads: the two views, unless only the whole image makes sense."""
        return self(images)


def _coloured(name: str, shape: Shape) -> None:
    if shape[0] != 3:
        raise UserError(
            f"{name}: these images have {shape[0]} channel(s), not three. "
            "Use colour images, or another split such as frequency."
        )


@dataclass(frozen=True)
class ColorSpace(Split):
    """v1 = first channel of a colour space, v2 = the other two (for Lab: L and ab)."""

    space: str = "lab"
    name = "color_space"

    def __post_init__(self) -> None:
        """Check the space."""
        if self.space not in colorspaces.COLOR_SPACES:
            known = ", ".join(colorspaces.COLOR_SPACES)
            raise UserError(f"color_space.space: {self.space!r} is unknown. Use one of {known}.")

    def __call__(self, images: Tensor, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
        """Convert, standardise, split."""
        converted = colorspaces.convert(images, self.space)
        ready = colorspaces.standardise(converted, self.space)
        return ready[:, :1].contiguous(), ready[:, 1:].contiguous()

    def shapes(self, shape: Shape) -> tuple[Shape, Shape]:
        """One channel and two."""
        _coloured(self.name, shape)
        return (1, *shape[1:]), (2, *shape[1:])


@dataclass(frozen=True)
class Channels(Split):
    """v1 = one of R, G, B, v2 = the other two."""

    channels: str = "R|GB"
    name = "channels"

    def __post_init__(self) -> None:
        """Check the name."""
        if self.channels not in CHANNELS:
            raise UserError(
                f"channels.channels: {self.channels!r} is unknown. "
                f"Use one of {', '.join(CHANNELS)}."
            )

    def __call__(self, images: Tensor, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
        """Standardise and split."""
        alone, others = CHANNELS[self.channels]
        ready = colorspaces.standardise(images, "rgb")
        return ready[:, alone : alone + 1].contiguous(), ready[:, list(others)]

    def shapes(self, shape: Shape) -> tuple[Shape, Shape]:
        """One channel and two."""
        _coloured(self.name, shape)
        return (1, *shape[1:]), (2, *shape[1:])


@dataclass(frozen=True)
class Patches(Split):
    """Two ``size`` x ``size`` patches at (x, y) and (x + d, y + d), start random (InfoMin 4.1)."""

    size: int = 64
    distance: int = 64
    name = "patches"
    standardised = False

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.size < 1 or self.distance < 0:
            raise UserError(
                f"patches: size {self.size} and distance {self.distance} must be positive."
            )

    def __call__(self, images: Tensor, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
        """Draw the starts and cut."""
        n, _, h, w = images.shape
        self.shapes((images.shape[1], h, w))
        reach = self.size + self.distance
        drawn = uniform(2 * n, 0.0, 1.0, images.device, generator).view(2, n)
        top = torch.floor(drawn[0] * (h - reach + 1)).long()
        left = torch.floor(drawn[1] * (w - reach + 1)).long()
        far = self.distance
        return self._cut(images, top, left), self._cut(images, top + far, left + far)

    def _cut(self, images: Tensor, top: Tensor, left: Tensor) -> Tensor:
        """Patches (n, c, size, size) whose corners are at top and left, shapes (n,)."""
        steps = torch.arange(self.size, device=images.device)
        rows = (top[:, None] + steps)[:, None, :, None]
        columns = (left[:, None] + steps)[:, None, None, :]
        n, c = images.shape[:2]
        which = torch.arange(n, device=images.device)[:, None, None, None]
        channel = torch.arange(c, device=images.device)[None, :, None, None]
        return images[which, channel, rows, columns]

    def shapes(self, shape: Shape) -> tuple[Shape, Shape]:
        """Two patches; they must fit."""
        side, need = min(shape[1:]), self.size + self.distance
        if need > side:
            raise UserError(
                f"patches: size {self.size} + distance {self.distance} = {need} px is larger than "
                f"these {shape[1]}x{shape[2]} images. Use larger images (--image-size), or a "
                f"size and distance that add up to at most {side}."
            )
        patch = (shape[0], self.size, self.size)
        return patch, patch

    def parts(self, images: Tensor) -> tuple[Tensor, ...]:
        """The whole image."""
        return (images,)


def _high_std(sigma: float) -> float:
    """Deviation of x - blur(x, sigma) on natural 32-pixel photographs (measured, interpolated)."""
    known = ((0.3, 0.01), (0.7, 0.04), (1.0, 0.06), (2.0, 0.098), (4.0, 0.135))
    if sigma <= known[0][0]:
        return known[0][1]
    for (low, a), (high, b) in zip(known, known[1:], strict=False):
        if sigma <= high:
            return a + (b - a) * (sigma - low) / (high - low)
    return known[-1][1]


@dataclass(frozen=True)
class Frequency(Split):
    """v1 = blur(x, sigma), low frequencies; v2 = x - v1, high frequencies; sigma in pixels."""

    sigma: float = 0.7
    name = "frequency"

    def __post_init__(self) -> None:
        """Check sigma."""
        if not 0 < self.sigma <= 100:
            raise UserError(f"frequency.sigma: {self.sigma} is not positive. Use for example 0.7.")

    def bands(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Low and high frequencies in image units; they add up to the images."""
        taps = 2 * math.ceil(3 * self.sigma) + 1
        low = filters.blur(images, images.new_full((len(images),), self.sigma), taps)
        return low, images - low

    def __call__(self, images: Tensor, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
        """Split and standardise."""
        low, high = self.bands(images)
        return (low - 0.48) / 0.25, high / _high_std(self.sigma)

    def shapes(self, shape: Shape) -> tuple[Shape, Shape]:
        """Both like the image."""
        return shape, shape


@dataclass(frozen=True)
class Halves(Split):
    """Two halves: "horizontal" cuts into left and right, "vertical" into top and bottom."""

    direction: str = "horizontal"
    name = "halves"
    standardised = False

    def __post_init__(self) -> None:
        """Check the direction."""
        if self.direction not in ("horizontal", "vertical"):
            raise UserError(
                f"halves.direction: {self.direction!r} is unknown. Use horizontal (left | right) "
                "or vertical (top | bottom)."
            )

    def __call__(self, images: Tensor, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
        """Cut; an odd middle row or column is left out."""
        axis = 3 if self.direction == "horizontal" else 2
        size = images.shape[axis]
        half = size // 2
        first, second = images.narrow(axis, 0, half), images.narrow(axis, size - half, half)
        return first.contiguous(), second.contiguous()

    def shapes(self, shape: Shape) -> tuple[Shape, Shape]:
        """Two halves."""
        c, h, w = shape
        half = (c, h, w // 2) if self.direction == "horizontal" else (c, h // 2, w)
        if min(half) < 1:
            raise UserError(f"halves: images of {h}x{w} pixels cannot be halved. Use larger ones.")
        return half, half


SPLITS: dict[str, type[Split]] = {
    split.name: split for split in (ColorSpace, Channels, Patches, Frequency, Halves)
}
