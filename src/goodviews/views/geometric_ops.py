"""Random geometry: crop, resize, flip, translation (one fused resample) and rotation (its own)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from goodviews.interfaces import Shape, UserError
from goodviews.views import geometry
from goodviews.views.geometry import Resample, uniform
from goodviews.views.ops import (
    GeometricOp,
    Op,
    Range,
    between,
    change_some,
    number_range,
)

__all__ = [
    "HorizontalFlip",
    "RandomResizedCrop",
    "Resize",
    "Rotate",
    "Translate",
    "VerticalFlip",
]


@dataclass(frozen=True)
class RandomResizedCrop(GeometricOp):
    """Crop a random box (area fraction ``scale``, aspect ``ratio``), resize to ``size`` pixels."""

    scale: Range = (0.08, 1.0)
    ratio: Range = (3 / 4, 4 / 3)
    size: int | None = None
    interpolation: str = "bilinear"
    name = "random_resized_crop"

    def __post_init__(self) -> None:
        """Check the fields."""
        object.__setattr__(self, "scale", number_range(f"{self.name}.scale", self.scale, 1e-4, 1))
        object.__setattr__(self, "ratio", number_range(f"{self.name}.ratio", self.ratio, 0.01, 100))
        if self.size is not None:
            between(f"{self.name}.size", self.size, 1, math.inf)
        if self.interpolation not in ("bilinear", "bicubic"):
            raise UserError(
                f"{self.name}.interpolation: {self.interpolation!r} is unknown. "
                "Use bilinear or bicubic."
            )

    def sized(self, size: int | None) -> RandomResizedCrop:
        """The same crop with the recipe's size where it has none."""
        if self.size is not None or size is None:
            return self
        return RandomResizedCrop(self.scale, self.ratio, size, self.interpolation)

    def shape(self, shape: Shape) -> Shape:
        """The shape of one image afterwards."""
        return shape if self.size is None else (shape[0], self.size, self.size)

    def compose(self, resample: Resample, generator: Generator | None) -> Resample:
        """Draw boxes and append them."""
        shape = (resample.height, resample.width)
        boxes = geometry.crop_boxes(
            resample.n, shape, self.scale, self.ratio, resample.device, generator
        )
        size = shape if self.size is None else (self.size, self.size)
        return resample.crop(boxes, size, self.interpolation)

    def warnings(self, hints: frozenset[str], shape: Shape) -> list[str]:
        """Tiny crops and enlarged images."""
        found = []
        side = math.sqrt(self.scale[0] * shape[1] * shape[2])
        if side < 8:
            found.append(
                f"random_resized_crop: scale {self.scale[0]:g} of {shape[1]}x{shape[2]} images "
                f"leaves crops of about {side:.0f} px; below 8 px little can be seen. "
                f"Use a lower bound of at least {min(1.0, 64 / (shape[1] * shape[2])):.2g}."
            )
        if self.size is not None and self.size > max(shape[1:]):
            found.append(
                f"random_resized_crop: size {self.size} enlarges {shape[1]}x{shape[2]} images; "
                "this costs time and adds no detail."
            )
        return found


@dataclass(frozen=True)
class Resize(GeometricOp):
    """Resize the whole image to ``size`` x ``size`` pixels."""

    size: int = 32
    name = "resize"

    def __post_init__(self) -> None:
        """Check the fields."""
        between("resize.size", self.size, 1, math.inf)

    def shape(self, shape: Shape) -> Shape:
        """The shape of one image afterwards."""
        return (shape[0], self.size, self.size)

    def compose(self, resample: Resample, generator: Generator | None) -> Resample:
        """Append the whole image as the box."""
        box = torch.tensor([[0.0, 0.0, resample.height, resample.width]], device=resample.device)
        boxes = box.expand(resample.n, 4)
        return resample.crop(boxes, (self.size, self.size), "bilinear")


@dataclass(frozen=True)
class HorizontalFlip(GeometricOp):
    """Mirror left and right with probability ``p``."""

    p: float = 0.5
    name = "horizontal_flip"

    def __post_init__(self) -> None:
        """Check the fields."""
        between(f"{self.name}.p", self.p, 0, 1)

    def compose(self, resample: Resample, generator: Generator | None) -> Resample:
        """Draw who is mirrored."""
        drawn = uniform(resample.n, 0.0, 1.0, resample.device, generator)
        return resample.flip(drawn < self.p)

    def warnings(self, hints: frozenset[str], shape: Shape) -> list[str]:
        """Flips on digits and text."""
        if "no-flip" not in hints or self.p == 0:
            return []
        return [
            f"{self.name}: these images look like digits or text, whose meaning a mirror changes. "
            f"Remove {self.name} from the recipe."
        ]


@dataclass(frozen=True)
class VerticalFlip(HorizontalFlip):
    """Mirror top and bottom with probability ``p``."""

    name = "vertical_flip"

    def compose(self, resample: Resample, generator: Generator | None) -> Resample:
        """Draw who is mirrored."""
        drawn = uniform(resample.n, 0.0, 1.0, resample.device, generator)
        return resample.flip(drawn < self.p, vertical=True)


@dataclass(frozen=True)
class Translate(GeometricOp):
    """Move up to ``pixels`` whole pixels both ways, edges reflected (AMDIM), probability ``p``."""

    pixels: int = 4
    p: float = 1.0
    name = "translate"

    def __post_init__(self) -> None:
        """Check the fields."""
        between("translate.pixels", self.pixels, 0, math.inf)
        between("translate.p", self.p, 0, 1)

    def compose(self, resample: Resample, generator: Generator | None) -> Resample:
        """Draw the moves."""
        n, device, reach = resample.n, resample.device, int(self.pixels)
        drawn = uniform(3 * n, 0.0, 1.0, device, generator).view(3, n)
        moves = torch.floor(drawn[:2] * (2 * reach + 1)).long() - reach
        down, right = (moves * (drawn[2] < self.p)).unbind(0)
        return resample.translate(down, right)


@dataclass(frozen=True)
class Rotate(Op):
    """Turn by an angle uniform in +-``degrees`` with probability ``p``; corners are mirrored in."""

    degrees: float = 15.0
    p: float = 1.0
    fill: str = "reflection"
    name = "rotate"

    def __post_init__(self) -> None:
        """Check the fields."""
        between("rotate.degrees", self.degrees, 0, 180)
        between("rotate.p", self.p, 0, 1)
        if self.fill not in ("reflection", "zeros", "border"):
            raise UserError(
                f"rotate.fill: {self.fill!r} is unknown. Use reflection, zeros or border."
            )

    def __call__(
        self, images: Tensor, generator: Generator | None = None, inplace: bool = False
    ) -> Tensor:
        """Change float images (n, c, h, w) in [0, 1]."""

        def change(some: Tensor, inplace: bool) -> Tensor:
            angle = uniform(len(some), -self.degrees, self.degrees, some.device, generator)
            return geometry.rotate(some, angle, self.fill)

        return change_some(images, self.p, generator, inplace, change) if self.degrees else images
