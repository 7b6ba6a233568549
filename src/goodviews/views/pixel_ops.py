"""Random changes of pixels: colour jitter, greyscale, solarise, blur, noise, erasing.

The order of a colour jitter's four changes is drawn once a call, their strengths for every image.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from goodviews.interfaces import Shape, UserError
from goodviews.views import color, filters, geometry
from goodviews.views.geometry import uniform
from goodviews.views.ops import (
    Op,
    Range,
    between,
    change_some,
    drawn,
    number_range,
    put,
)

__all__ = ["Blur", "ColorJitter", "Erase", "Greyscale", "Noise", "Solarise"]

_Adjust = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def _factor_range(name: str, value: object) -> Range:
    """As in torchvision: s means [max(0, 1 - s), 1 + s]; a pair is taken as it is."""
    if isinstance(value, (int, float)):
        between(name, value, 0, math.inf)
        return max(0.0, 1 - float(value)), 1 + float(value)
    return number_range(name, value, 0, math.inf)


@dataclass(frozen=True)
class ColorJitter(Op):
    """Jitter brightness, contrast, saturation and hue in random order, with probability ``p``.

    Strengths mean what they mean in torchvision: factor uniform in [max(0, 1 - s), 1 + s], hue
    uniform in [-s, s] of the circle (s at most 0.5); a pair gives the range itself.
    """

    brightness: float | Range = 0.0
    contrast: float | Range = 0.0
    saturation: float | Range = 0.0
    hue: float | Range = 0.0
    p: float = 1.0
    name = "color_jitter"

    def __post_init__(self) -> None:
        """Check the fields."""
        for field in ("brightness", "contrast", "saturation"):
            _factor_range(f"color_jitter.{field}", getattr(self, field))
        self._hue_range()
        between("color_jitter.p", self.p, 0, 1)

    def _hue_range(self) -> Range:
        if isinstance(self.hue, (int, float)):
            between("color_jitter.hue", self.hue, 0, 0.5)
            return -float(self.hue), float(self.hue)
        return number_range("color_jitter.hue", self.hue, -0.5, 0.5)

    def _changes(self, channels: int) -> list[tuple[_Adjust, Range]]:
        """The changes that do something, with the ranges of their parameters."""
        changes: list[tuple[_Adjust, Range]] = [
            (color.adjust_brightness, _factor_range("brightness", self.brightness)),
            (color.adjust_contrast, _factor_range("contrast", self.contrast)),
        ]
        if channels == 3:
            changes.append((color.adjust_saturation, _factor_range("saturation", self.saturation)))
        active = [(change, span) for change, span in changes if span != (1.0, 1.0)]
        hue = self._hue_range()
        return active + ([(color.adjust_hue, hue)] if channels == 3 and hue != (0.0, 0.0) else [])

    def __call__(
        self, images: Tensor, generator: Generator | None = None, inplace: bool = False
    ) -> Tensor:
        """Change float images (n, c, h, w) in [0, 1]."""
        changes = self._changes(images.shape[1])
        home = images.device if generator is None else generator.device

        def change(some: Tensor, inplace: bool) -> Tensor:
            order = torch.randperm(len(changes), generator=generator, device=home).tolist()
            for place in order:
                adjust, (low, high) = changes[place]
                strength = uniform(len(some), low, high, some.device, generator)
                some, inplace = adjust(some, strength, some if inplace else None), True
            return some

        return change_some(images, self.p, generator, inplace, change) if changes else images

    def warnings(self, hints: frozenset[str], shape: Shape) -> list[str]:
        """Hue and saturation on grey images."""
        coloured = _factor_range("", self.saturation) != (1, 1) or self._hue_range() != (0, 0)
        if self.p and coloured and ("grey" in hints or shape[0] != 3):
            return [
                "color_jitter: hue and saturation do nothing on grey images. "
                "Set hue and saturation to 0 in the recipe."
            ]
        return []


@dataclass(frozen=True)
class Greyscale(Op):
    """Take the colour away with probability ``p``."""

    p: float = 0.2
    name = "greyscale"

    def __post_init__(self) -> None:
        """Check the fields."""
        between("greyscale.p", self.p, 0, 1)

    def __call__(
        self, images: Tensor, generator: Generator | None = None, inplace: bool = False
    ) -> Tensor:
        """Change float images (n, c, h, w) in [0, 1]."""
        return change_some(
            images, self.p, generator, inplace, lambda some, _: color.greyscale(some)
        )

    def warnings(self, hints: frozenset[str], shape: Shape) -> list[str]:
        """Greyscale of grey images."""
        if self.p and ("grey" in hints or shape[0] != 3):
            return ["greyscale: does nothing on grey images. Remove it from the recipe."]
        return []


@dataclass(frozen=True)
class Solarise(Op):
    """Invert pixels at or above ``threshold`` with probability ``p``."""

    threshold: float = 0.5
    p: float = 0.2
    name = "solarise"

    def __post_init__(self) -> None:
        """Check the fields."""
        between("solarise.threshold", self.threshold, 0, 1)
        between("solarise.p", self.p, 0, 1)

    def __call__(
        self, images: Tensor, generator: Generator | None = None, inplace: bool = False
    ) -> Tensor:
        """Change float images (n, c, h, w) in [0, 1]."""

        def change(some: Tensor, inplace: bool) -> Tensor:
            return color.solarise(some, some.new_full((len(some),), self.threshold))

        return change_some(images, self.p, generator, inplace, change)


@dataclass(frozen=True)
class Blur(Op):
    """Gaussian blur, sigma uniform in ``sigma`` pixels, with probability ``p``.

    ``kernel`` limits the filter: a fraction of the image side below 1 (SimCLR: 0.1) or an odd
    number of taps; by default the filter covers three times the largest sigma.
    """

    sigma: Range = (0.1, 2.0)
    p: float = 0.5
    kernel: float | None = None
    name = "blur"

    def __post_init__(self) -> None:
        """Check the fields."""
        object.__setattr__(self, "sigma", number_range("blur.sigma", self.sigma, 0, 1000))
        between("blur.p", self.p, 0, 1)
        if self.kernel is not None:
            between("blur.kernel", self.kernel, 0, 1000)
            if self.kernel >= 1 and self.kernel % 2 != 1:
                raise UserError(f"blur.kernel: {self.kernel} is not odd. Use {self.kernel + 1:g}.")

    def taps(self, side: int) -> int:
        """Number of filter taps on images of ``side`` pixels."""
        if self.kernel is None:
            return 2 * math.ceil(3 * self.sigma[1]) + 1
        if self.kernel >= 1:
            return int(self.kernel)
        return max(3, int(self.kernel * side) // 2 * 2 + 1)

    def __call__(
        self, images: Tensor, generator: Generator | None = None, inplace: bool = False
    ) -> Tensor:
        """Change float images (n, c, h, w) in [0, 1]."""
        if self.sigma[1] <= 0:
            return images
        index = None if self.p >= 1 else drawn(images, self.p, generator)
        n = len(images) if index is None else len(index)
        if n == 0:
            return images
        sigma = uniform(n, *self.sigma, images.device, generator)
        blurred = filters.blur(images, sigma, self.taps(min(images.shape[-2:])), index)
        return blurred if index is None else put(images, index, blurred, inplace)


@dataclass(frozen=True)
class Noise(Op):
    """Add Gaussian noise, standard deviation uniform in ``std`` (image range 1), clamped."""

    std: float | Range = 0.1
    p: float = 1.0
    name = "noise"

    def __post_init__(self) -> None:
        """Check the fields."""
        object.__setattr__(self, "std", number_range("noise.std", self.std, 0, 100))
        between("noise.p", self.p, 0, 1)

    def __call__(
        self, images: Tensor, generator: Generator | None = None, inplace: bool = False
    ) -> Tensor:
        """Change float images (n, c, h, w) in [0, 1]."""
        low, high = number_range("noise.std", self.std, 0, 100)

        def change(some: Tensor, inplace: bool) -> Tensor:
            home = some.device if generator is None else generator.device
            std = uniform(len(some), low, high, some.device, generator).view(-1, 1, 1, 1)
            drawn = torch.randn(some.shape, generator=generator, device=home).to(some.device)
            return drawn.mul_(std).add_(some).clamp_(0.0, 1.0)

        return change_some(images, self.p, generator, inplace, change) if high > 0 else images


@dataclass(frozen=True)
class Erase(Op):
    """Hide a random box of ``area`` (fraction) and aspect ``ratio`` under the grey ``fill``."""

    area: Range = (0.02, 0.33)
    ratio: Range = (0.3, 3.3)
    p: float = 1.0
    fill: float = 0.5
    name = "erase"

    def __post_init__(self) -> None:
        """Check the fields."""
        object.__setattr__(self, "area", number_range("erase.area", self.area, 0, 1))
        object.__setattr__(self, "ratio", number_range("erase.ratio", self.ratio, 0.01, 100))
        between("erase.p", self.p, 0, 1)
        between("erase.fill", self.fill, 0, 1)

    def __call__(
        self, images: Tensor, generator: Generator | None = None, inplace: bool = False
    ) -> Tensor:
        """Change float images (n, c, h, w) in [0, 1]."""

        def change(some: Tensor, inplace: bool) -> Tensor:
            n, _, h, w = some.shape
            boxes = geometry.crop_boxes(n, (h, w), self.area, self.ratio, some.device, generator)
            return filters.erase(some, boxes, self.fill)

        return (
            change_some(images, self.p, generator, inplace, change) if self.area[1] > 0 else images
        )
