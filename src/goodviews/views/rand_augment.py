"""RandAugment (Cubuk et al. 2020) of a whole batch, as InfoMin and CMC v2 use it.

In each of ``n`` layers an image draws one op of the list, with replacement, and a level
L = clip(N(magnitude, noise), 0, 10); the op is applied with probability p. At level L:

=====================  =========================================================================
rotate                 +-30 L/10 degrees, counter-clockwise
shear_x, shear_y       +-0.3 L/10, about the upper left corner
translate_x, _y        +-0.45 L/10 of the side, not rounded to whole pixels
posterize              int(4 L/10) bits are kept: 4 at level 10, 3 just below
solarize               values of at least int(256 L/10) are inverted: none at level 10
solarize_add           int(110 L/10) is added to values below 128
color, contrast, ...   factor 0.1 + 1.8 L/10 of the distance from grey (color), from the mean grey
                       (contrast), from black (brightness), from a smoothed image (sharpness)
auto_contrast, ...     auto_contrast, equalize, invert and identity have no level
=====================  =========================================================================

10 is the largest level, so noise only lowers it. Signs are random. Where it differs:

- from torchvision's ``RandAugment``: there levels run over 31 bins, each op is always applied,
  factors move away from 1 by up to 0.9 either way, solarize and posterize run from weak to strong,
  identity is in the list and invert and solarize_add are not, and nothing is drawn for the level;
- from Pillow, which the authors' code runs on: six ops (auto_contrast, equalize, invert, posterize,
  solarize, solarize_add) work on the 256 levels of 8-bit images and equal Pillow's; the others
  do not round. Bicubic interpolation has a = -0.75 (Pillow's transform: -1), and at a turned edge
  the image is blended with ``fill`` over one pixel. An image not of three channels has no colour:
  ``color`` leaves it as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional

from goodviews.interfaces import Shape, UserError, check_name
from goodviews.views import color
from goodviews.views.geometry import uniform
from goodviews.views.ops import Op, between, put

__all__ = ["GEOMETRIC", "LISTS", "NAMES", "TABLES", "RandAugment", "affine", "apply", "tables"]

GEOMETRIC = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
"""One affine resample."""
TABLES = ("auto_contrast", "equalize", "invert", "posterize", "solarize", "solarize_add")
"""One table of 256 values a channel."""
NAMES = (*TABLES, *GEOMETRIC, "color", "contrast", "brightness", "sharpness", "identity")
"""Every op; an op's place here is its number."""
LISTS = {
    "rgb": NAMES[:-1],
    "cmc": ("auto_contrast", "identity", *GEOMETRIC, "sharpness"),
}
"""The 15 ops for colour images, and the 8 that leave the parts of a colour space their meaning."""
_MEAN_COLOUR = (0.485, 0.456, 0.406)


def _histogram(levels: Tensor) -> Tensor:
    """How often each of 256 values occurs: int64 (m, c, pixels) -> (m, c, 256)."""
    m, c, _ = levels.shape
    start = torch.arange(m * c, device=levels.device).view(m, c, 1) * 256
    return torch.bincount((levels + start).flatten(), minlength=m * c * 256).view(m, c, 256)


def _auto_contrast(counts: Tensor) -> Tensor:
    """Tables that stretch each channel's values over 0 to 255; a flat channel stays."""
    seen, value = counts > 0, torch.arange(256.0, dtype=torch.float64, device=counts.device)
    low = torch.where(seen, value, 255.0).amin(-1, keepdim=True)
    high = torch.where(seen, value, 0.0).amax(-1, keepdim=True)
    scale = value[-1:] / (high - low).clamp(min=1)
    stretched = (value * scale - low * scale).trunc().clamp(0, 255)
    return torch.where(high > low, stretched, value)


def _equalize(counts: Tensor) -> Tensor:
    """Tables that level each channel's histogram, with Pillow's whole numbers."""
    below = counts.cumsum(-1)
    last = counts.gather(-1, below.argmax(-1, keepdim=True))  # pixels of the largest value
    step = (below[..., -1:] - last) // 255
    table = ((below - counts + step // 2) // step.clamp(min=1)).clamp(max=255)
    value = torch.arange(256, device=counts.device)
    return torch.where(step > 0, table, value).double()


def tables(levels: Tensor, which: Tensor, level: Tensor) -> Tensor:
    """The tables (m, c, 256), float64 in 0..255, of images that each draw one of :data:`TABLES`.

    Args:
        levels: int64 values 0..255, shape (m, c, pixels).
        which: place in :data:`TABLES`, shape (m,).
        level: L in [0, 10], shape (m,).

    Example:
        >>> invert = torch.tensor([TABLES.index("invert")])
        >>> tables(torch.zeros(1, 1, 4, dtype=torch.long), invert, torch.ones(1))[0, 0, :2]
        tensor([255., 254.], dtype=torch.float64)
    """
    counts = _histogram(levels)
    value = torch.arange(256.0, dtype=torch.float64, device=levels.device)
    level = level.double().view(-1, 1, 1)
    step = 2 ** (8 - (level * 4 / 10).floor())
    made = {
        "auto_contrast": _auto_contrast(counts),
        "equalize": _equalize(counts),
        "invert": 255 - value,
        "posterize": (value / step).floor() * step,
        "solarize": torch.where(value < (level * 256 / 10).floor(), value, 255 - value),
        "solarize_add": torch.where(
            value < 128, (value + (level * 110 / 10).floor()).clamp(max=255), value
        ),
    }
    found = value.expand_as(counts)
    for place, name in enumerate(TABLES):
        found = torch.where(which.view(-1, 1, 1) == place, made[name], found)
    return found


def _looked_up(images: Tensor, which: Tensor, level: Tensor) -> Tensor:
    """Images whose values went through their tables; float in steps of 1/255."""
    levels = (images * 255).round_().clamp_(0, 255).long().flatten(2)
    ready = tables(levels, which, level).div_(255).to(images.dtype)
    return ready.gather(2, levels).view(images.shape)


def affine(
    images: Tensor,
    which: Tensor,
    level: Tensor,
    sign: Tensor,
    fill: Tensor,
    bicubic: Tensor | None = None,
) -> Tensor:
    """Turn, shear or move float images (m, c, h, w), one op of :data:`GEOMETRIC` each.

    The output's pixel at (x, y) is the input at (a x + b y + t, d x + e y + u), seen from the
    centre; outside is ``fill``.

    Args:
        images: float images.
        which: place in :data:`GEOMETRIC`, shape (m,).
        level: L in [0, 10], shape (m,).
        sign: 1 or -1, shape (m,).
        fill: colour outside, shape (c,).
        bicubic: which images are interpolated so, shape (m,); None: all bilinear.

    Example:
        >>> ones, zero = torch.ones(1), torch.zeros(1, dtype=torch.long)
        >>> affine(torch.ones(1, 1, 4, 4), zero, ones, ones, torch.ones(1)).mean()
        tensor(1.)
    """
    h, w = images.shape[-2:]
    part = sign * level / 10
    angle, shear_x, shear_y, move_x, move_y = (
        torch.where(which == place, part * most, 0.0)
        for place, most in enumerate((math.radians(30), 0.3, 0.3, 0.45, 0.45))
    )
    cos, sin = angle.cos(), angle.sin()
    rows = [cos, (shear_x - sin) * h / w, shear_x * h / w + 2 * move_x]
    rows += [(shear_y + sin) * w / h, cos, shear_y * w / h + 2 * move_y]
    theta = torch.stack(rows, 1).view(-1, 2, 3)
    outside = fill.to(images).view(1, -1, 1, 1)
    grid = functional.affine_grid(theta, [len(images), 1, h, w], align_corners=False)
    centred = images - outside  # a pad of zeros then is the fill
    found = functional.grid_sample(centred, grid, "bilinear", align_corners=False)
    if bicubic is not None and len(some := bicubic.nonzero()[:, 0]):
        found[some] = functional.grid_sample(
            centred[some], grid[some], "bicubic", align_corners=False
        )
    return found.add_(outside).clamp_(0.0, 1.0)


def _sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with the image smoothed by [[1, 1, 1], [1, 5, 1], [1, 1, 1]] / 13; edges stay."""
    if min(images.shape[-2:]) < 3:
        return images
    found = images.clone()
    inner = found[..., 1:-1, 1:-1]
    smooth = functional.avg_pool2d(images, 3, 1).mul_(9).add_(inner, alpha=4).div_(13)
    inner.sub_(smooth).mul_(factor.to(images).view(-1, 1, 1, 1)).add_(smooth)
    return found.clamp_(0.0, 1.0)


_FACTORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "color": color.adjust_saturation,
    "contrast": color.adjust_contrast,
    "brightness": color.adjust_brightness,
    "sharpness": _sharpness,
}


def apply(
    name: str,
    images: Tensor,
    level: Tensor,
    sign: Tensor | None = None,
    fill: Sequence[float] = (0.0,),
    bicubic: Tensor | None = None,
) -> Tensor:
    """One op by name on float images (m, c, h, w) in [0, 1], each at its own level.

    Args:
        name: one of :data:`NAMES`.
        images: float images.
        level: L in [0, 10], shape (m,).
        sign: of geometric ops, 1 or -1, shape (m,); None: all 1.
        fill: colour outside, one number or one a channel.
        bicubic: which images geometric ops interpolate so; None: all bilinear.

    Raises:
        UserError: for an unknown name.

    Example:
        >>> apply("brightness", torch.full((1, 1, 1, 1), 0.5), torch.zeros(1)).item()
        0.05000000074505806
    """
    check_name("rand_augment op", name, NAMES)
    which = torch.full((len(images),), NAMES.index(name), device=images.device)
    sign = torch.ones_like(level) if sign is None else sign
    return _Drawn(which, level, sign, bicubic).of(images, images.new_tensor(fill))


@dataclass(frozen=True)
class _Drawn:
    """What m images drew in one layer."""

    which: Tensor
    """Places in :data:`NAMES`; -1: nothing."""
    level: Tensor
    sign: Tensor
    bicubic: Tensor | None

    def of(self, images: Tensor, fill: Tensor, inplace: bool = False) -> Tensor:
        """The images changed, group by group."""
        first, last = len(TABLES), len(TABLES) + len(GEOMETRIC)
        for name, low, high in (("tables", 0, first), ("geometric", first, last)):
            index = ((self.which >= low) & (self.which < high)).nonzero()[:, 0]
            if len(index):
                images = put(images, index, self._group(name, images, index, fill), inplace)
                inplace = True
        for name, change in _FACTORS.items():
            index = (self.which == NAMES.index(name)).nonzero()[:, 0]
            if len(index):
                factor = 0.1 + 1.8 * self.level[index] / 10
                images, inplace = put(images, index, change(images[index], factor), inplace), True
        return images

    def _group(self, name: str, images: Tensor, index: Tensor, fill: Tensor) -> Tensor:
        which, level, some = self.which[index], self.level[index], images[index]
        if name == "tables":
            return _looked_up(some, which, level)
        bicubic = None if self.bicubic is None else self.bicubic[index]
        return affine(some, which - len(TABLES), level, self.sign[index], fill, bicubic)


@dataclass(frozen=True)
class RandAugment(Op):
    """RandAugment: ``n`` layers, in each one op of ``ops`` with probability ``p``.

    ``ops`` is "rgb" (15), "cmc" (8) or a list of names; ``noise`` the deviation of the level;
    ``fill`` the colour outside (None: ImageNet's mean); ``interpolation`` "bilinear", "bicubic" or
    "random" (either, drawn for every image). Cubuk et al. 2020; Tian et al. 2020, section 5.

    Example:
        >>> RandAugment(ops=("invert",), p=1.0, n=1)(torch.zeros(1, 3, 2, 2)).mean()
        tensor(1.)
    """

    n: int = 2
    magnitude: float = 10.0
    noise: float = 0.5
    p: float = 0.5
    ops: str | tuple[str, ...] = "rgb"
    fill: float | tuple[float, ...] | None = None
    interpolation: str = "random"
    name = "rand_augment"

    def __post_init__(self) -> None:
        """Check the fields."""
        between("rand_augment.n", self.n, 1, 100)
        if int(self.n) != self.n:
            raise UserError(f"rand_augment.n: {self.n} is no whole number. Use for example 2.")
        between("rand_augment.magnitude", self.magnitude, 0, 10)
        between("rand_augment.noise", self.noise, 0, 10)
        between("rand_augment.p", self.p, 0, 1)
        for part in self._fill(3):
            between("rand_augment.fill", part, 0, 1)
        for name in self.names:
            check_name("rand_augment.ops", name, NAMES)
        if not self.names:
            raise UserError("rand_augment.ops: the list is empty. Use rgb, cmc or names of ops.")
        check_name(
            "rand_augment.interpolation", self.interpolation, ("random", "bilinear", "bicubic")
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The ops that are drawn from."""
        if isinstance(self.ops, str):
            check_name("rand_augment.ops", self.ops, LISTS)
            return LISTS[self.ops]
        return self.ops

    def _fill(self, channels: int) -> tuple[float, ...]:
        """The colour outside, one number a channel; averaged where it has another number."""
        given = _MEAN_COLOUR if self.fill is None else self.fill
        parts = given if isinstance(given, tuple) else (given,)
        return parts if len(parts) == channels else (sum(parts) / len(parts),) * channels

    def __call__(
        self, images: Tensor, generator: Generator | None = None, inplace: bool = False
    ) -> Tensor:
        """Change float images (n, c, h, w) in [0, 1]."""
        if self.p == 0 or len(images) == 0:
            return images
        fill = images.new_tensor(self._fill(images.shape[1]))
        given = images
        for _ in range(int(self.n)):
            drawn = self._draw(len(images), images.device, generator)
            images = drawn.of(images, fill, inplace or images is not given)
        return images

    def _draw(self, n: int, device: torch.device, generator: Generator | None) -> _Drawn:
        """What n images draw in one layer."""
        home = device if generator is None else generator.device
        u = uniform(4 * n, 0.0, 1.0, device, generator).view(4, n)
        z = torch.randn(n, generator=generator, device=home).to(device)
        numbers = torch.tensor([NAMES.index(name) for name in self.names], device=device)
        which = numbers[(u[0] * len(numbers)).long().clamp_(max=len(numbers) - 1)]
        level = (self.magnitude + self.noise * z).clamp_(0.0, 10.0)
        cut = {"bilinear": 0.0, "random": 0.5, "bicubic": 1.0}[self.interpolation]
        return _Drawn(
            torch.where(u[1] < self.p, which, -1),
            level,
            torch.where(u[2] < 0.5, 1.0, -1.0),
            u[3] < cut if cut else None,
        )

    def warnings(self, hints: frozenset[str], shape: Shape) -> list[str]:
        """Colour on grey images."""
        if self.p and "color" in self.names and ("grey" in hints or shape[0] != 3):
            return ["rand_augment: its op color does nothing on grey images. Use other ops."]
        return []
