"""Geometry of a whole batch: one separable resample with its own weights for every image.

Crop, resize, flip and whole-pixel translation act on rows and columns apart. A chain of them is
composed on two small tables (which source pixels, with which weights), one for each axis of each
image, and the pixels are touched once: a weighted gather of columns, then one of rows. The
weights are those of torchvision's antialiased resize (a triangle or cubic filter, widened when
shrinking and normalised inside the crop), so enlarging equals plain bilinear interpolation; a crop
back to the image's own size always enlarges.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor
from torch.nn import functional

__all__ = [
    "Axis",
    "Resample",
    "by_columns",
    "by_rows",
    "crop_boxes",
    "reflect",
    "resize",
    "resized_crop",
    "rotate",
    "uniform",
]


def uniform(
    n: int, low: float, high: float, device: torch.device, generator: Generator | None = None
) -> Tensor:
    """Draw n numbers uniformly from [low, high), on the generator's device, moved to ``device``.

    Example:
        >>> uniform(3, 0.0, 1.0, torch.device("cpu")).shape
        torch.Size([3])
    """
    home = device if generator is None else generator.device
    drawn = torch.rand(n, generator=generator, device=home).to(device, non_blocking=True)
    return drawn.mul_(high - low).add_(low)


@dataclass(frozen=True)
class Axis:
    """Where each output pixel along one axis comes from: a few source pixels and their weights.

    ``index`` (int64) and ``weight`` have shape (n, out, taps).
    """

    index: Tensor
    weight: Tensor

    @classmethod
    def resize(
        cls, start: Tensor, length: Tensor, size: int, out: int, interpolation: str = "bilinear"
    ) -> Axis:
        """Resize the stretch [start, start + length), shapes (n,), of ``size`` to ``out`` pixels.

        Filters are "bilinear" or "bicubic" (a = -0.5, as in Pillow), widened when shrinking.

        Example:
            >>> Axis.resize(torch.tensor([0.0]), torch.tensor([2.0]), 2, 1).weight
            tensor([[[0.0000, 0.5000, 0.5000, 0.0000]]])
        """
        radius = 2.0 if interpolation == "bicubic" else 1.0
        reach = math.ceil(radius * max(1.0, size / out))
        step, begin = (length / out)[:, None, None], start[:, None, None]
        centre = torch.arange(out, device=start.device)[None, :, None] + 0.5
        centre = centre * step + (begin - 0.5)
        index = torch.arange(1 - reach, reach + 1, device=start.device) + centre.floor()
        weight = _filter((index - centre).div_(step.clamp(min=1.0)), interpolation)
        last = begin + (length[:, None, None] - 1)
        weight.mul_((index >= begin) & (index <= last))
        weight.div_(weight.sum(-1, keepdim=True))
        return cls(torch.minimum(torch.maximum(index, begin), last).long(), weight)

    def reorder(self, order: Tensor) -> Axis:
        """Output pixel o becomes the former output pixel ``order[:, o]``, shape (n, out)."""
        place = order[:, :, None].expand(-1, -1, self.index.shape[2])
        return Axis(self.index.gather(1, place), self.weight.gather(1, place))

    def then(self, later: Axis) -> Axis:
        """This axis, and on its output the ``later`` one."""
        n, out, taps = later.index.shape
        flat = self.reorder(later.index.view(n, out * taps))
        weight = flat.weight.view(n, out, taps, -1) * later.weight[..., None]
        return Axis(flat.index.view(n, out, -1), weight.view(n, out, -1))

    def apply(self, slices: Tensor, which: Tensor | None = None) -> Tensor:
        """Mix slices (n, size, d) to (n, out, d); ``which`` picks images (default: each its own).

        One weighted gather of whole slices: each is read and written as one run of memory.
        """
        _, size, depth = slices.shape
        n, out, taps = self.index.shape
        image = torch.arange(n, device=slices.device) if which is None else which
        flat = (self.index + image.mul(size)[:, None, None]).view(n * out, taps)
        mixed = functional.embedding_bag(
            flat,
            slices.reshape(-1, depth),
            per_sample_weights=self.weight.reshape(n * out, taps).to(slices.dtype),
            mode="sum",
        )
        return mixed.view(n, out, depth)


def _filter(distance: Tensor, interpolation: str) -> Tensor:
    """The triangle or the cubic of a distance in (widened) pixels; works in place."""
    distance.abs_()
    if interpolation != "bicubic":
        return distance.neg_().add_(1).clamp_(min=0.0)
    near = (1.5 * distance - 2.5) * distance * distance + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return torch.where(distance < 1, near, torch.where(distance < 2, far, 0.0))


def reflect(position: Tensor, size: int) -> Tensor:
    """Fold whole positions into [0, size) by reflection about the edge pixels' centres.

    Example:
        >>> reflect(torch.tensor([-2, -1, 0, 3, 4, 5]), 4).tolist()
        [2, 1, 0, 3, 2, 1]
    """
    if size == 1:
        return torch.zeros_like(position)
    period = 2 * (size - 1)
    folded = position.remainder(period)
    return torch.minimum(folded, period - folded)


def by_columns(images: Tensor) -> Tensor:
    """Columns as slices of memory: (n, c, h, w) to contiguous (n, w, c * h)."""
    n, c, h, w = images.shape
    return images.permute(0, 3, 1, 2).contiguous().view(n, w, c * h)


def by_rows(images: Tensor) -> Tensor:
    """Rows as slices of memory: (n, c, h, w) to contiguous (n, h, c * w)."""
    n, c, h, w = images.shape
    return images.permute(0, 2, 1, 3).contiguous().view(n, h, c * w)


@dataclass(frozen=True)
class Resample:
    """A separable resample that is being composed; ``None`` leaves an axis as it is."""

    n: int
    height: int
    width: int
    device: torch.device
    rows: Axis | None = None
    columns: Axis | None = None
    clamp: bool = False

    @classmethod
    def identity(cls, images: Tensor) -> Resample:
        """Nothing yet, for images (n, c, h, w)."""
        n, _, height, width = images.shape
        return cls(n, height, width, images.device)

    def crop(self, boxes: Tensor, size: tuple[int, int], interpolation: str) -> Resample:
        """Then take boxes (n, 4) of top, left, height, width and resize them to ``size``."""
        top, left, height, width = boxes.unbind(1)
        rows = Axis.resize(top, height, self.height, size[0], interpolation)
        columns = Axis.resize(left, width, self.width, size[1], interpolation)
        return replace(
            self,
            height=size[0],
            width=size[1],
            rows=rows if self.rows is None else self.rows.then(rows),
            columns=columns if self.columns is None else self.columns.then(columns),
            clamp=self.clamp or interpolation == "bicubic",
        )

    def _ordered(self, axis: Axis | None, order: Tensor) -> Axis:
        if axis is not None:
            return axis.reorder(order)
        return Axis(order[:, :, None], torch.ones(order.shape, device=order.device)[:, :, None])

    def flip(self, mask: Tensor, vertical: bool = False) -> Resample:
        """Then mirror the images where ``mask`` (n,) is true."""
        size = self.height if vertical else self.width
        place = torch.arange(size, device=self.device)
        order = torch.where(mask[:, None], size - 1 - place, place)
        if vertical:
            return replace(self, rows=self._ordered(self.rows, order))
        return replace(self, columns=self._ordered(self.columns, order))

    def translate(self, down: Tensor, right: Tensor) -> Resample:
        """Then move the images by whole pixels, shapes (n,), reflecting at the edges."""
        row = torch.arange(self.height, device=self.device) - down[:, None]
        column = torch.arange(self.width, device=self.device) - right[:, None]
        return replace(
            self,
            rows=self._ordered(self.rows, reflect(row, self.height)),
            columns=self._ordered(self.columns, reflect(column, self.width)),
        )

    def apply(self, images: Tensor) -> Tensor:
        """Resample float images (n, c, h, w); the result's memory may be laid out by rows."""
        n, c, h, _ = images.shape
        if self.columns is not None:
            mixed = self.columns.apply(by_columns(images))
            images = mixed.view(n, self.width, c, h).permute(0, 2, 3, 1)
        if self.rows is not None:
            mixed = self.rows.apply(by_rows(images))
            images = mixed.view(n, self.height, c, self.width).permute(0, 2, 1, 3)
        return images.clamp_(0.0, 1.0) if self.clamp else images


def crop_boxes(
    n: int,
    shape: tuple[int, int],
    scale: tuple[float, float],
    ratio: tuple[float, float],
    device: torch.device,
    generator: Generator | None = None,
) -> Tensor:
    """Draw boxes (n, 4) of top, left, height, width as torchvision's RandomResizedCrop does.

    Area fraction uniform in ``scale``, log aspect ratio uniform in ``ratio``; all ten tries of
    every image are drawn at once and the first that fits is taken, else the central crop.

    Example:
        >>> boxes = crop_boxes(5, (32, 32), (0.2, 1.0), (0.75, 4 / 3), torch.device("cpu"))
        >>> bool((boxes[:, 0] + boxes[:, 2] <= 32).all())
        True
    """
    full_h, full_w = shape
    drawn = uniform(n * 22, 0.0, 1.0, device, generator).view(n, 22)
    area = full_h * full_w * (scale[0] + (scale[1] - scale[0]) * drawn[:, :10])
    low, high = math.log(ratio[0]), math.log(ratio[1])
    aspect = torch.exp(low + (high - low) * drawn[:, 10:20])
    width = torch.round(torch.sqrt(area * aspect))
    height = torch.round(torch.sqrt(area / aspect))
    fits = (width > 0) & (width <= full_w) & (height > 0) & (height <= full_h)
    first = fits.int().argmax(1, keepdim=True)
    height, width = height.gather(1, first)[:, 0], width.gather(1, first)[:, 0]
    top = torch.floor(drawn[:, 20] * (full_h - height + 1))
    left = torch.floor(drawn[:, 21] * (full_w - width + 1))
    boxes = torch.stack([top, left, height, width], 1)
    return torch.where(fits.any(1)[:, None], boxes, _central(shape, ratio, boxes))


def _central(shape: tuple[int, int], ratio: tuple[float, float], like: Tensor) -> Tensor:
    """The box that torchvision falls back to, as a tensor (4,)."""
    height, width = shape
    h, w = height, width
    if width / height < ratio[0]:
        h = round(width / ratio[0])
    elif width / height > ratio[1]:
        w = round(height * ratio[1])
    return like.new_tensor([(height - h) // 2, (width - w) // 2, h, w])


def resized_crop(
    images: Tensor, boxes: Tensor, size: tuple[int, int], interpolation: str = "bilinear"
) -> Tensor:
    """Crop float images (n, c, h, w) to boxes (n, 4: top, left, height, width), resize to ``size``.

    Example:
        >>> resized_crop(torch.rand(1, 3, 8, 8), torch.tensor([[0.0, 2, 4, 4]]), (8, 8)).shape
        torch.Size([1, 3, 8, 8])
    """
    boxes = boxes.to(images.device, torch.float32)
    return Resample.identity(images).crop(boxes, size, interpolation).apply(images)


def resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize float images (n, c, h, w) with antialiasing: the shorter side first, then the centre.

    Example:
        >>> resize(torch.rand(2, 3, 40, 60), (20, 20)).shape
        torch.Size([2, 3, 20, 20])
    """
    h, w = images.shape[-2:]
    if (h, w) == size:
        return images
    zoom = max(size[0] / h, size[1] / w)
    box_h, box_w = min(h, round(size[0] / zoom)), min(w, round(size[1] / zoom))
    box = torch.tensor([[(h - box_h) // 2, (w - box_w) // 2, box_h, box_w]])
    return resized_crop(images, box.expand(len(images), 4), size)


def rotate(images: Tensor, degrees: Tensor, fill: str = "reflection") -> Tensor:
    """Turn float images (n, c, h, w) counter-clockwise by ``degrees`` (n,), bilinear.

    Args:
        images: Float images.
        degrees: One angle an image.
        fill: "reflection" mirrors the image into the corners, "zeros" leaves them black.

    Example:
        >>> rotate(torch.ones(1, 1, 4, 4), torch.tensor([30.0])).shape
        torch.Size([1, 1, 4, 4])
    """
    n, _, h, w = images.shape
    angle = torch.deg2rad(degrees.to(images))
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    theta = torch.stack([cos, -sin * h / w, zero, sin * w / h, cos, zero], 1).view(n, 2, 3)
    grid = functional.affine_grid(theta, [n, 1, h, w], align_corners=False)
    return functional.grid_sample(images, grid, "bilinear", fill, align_corners=False)
