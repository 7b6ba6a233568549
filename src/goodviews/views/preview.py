"""Look at views first: contact sheets and strips of pairs, as ordinary pictures.

Views are brought back from normalised numbers to colours one can judge: single channels grey, pairs
of channels in the colours they stand for, high frequencies around mid-grey.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor

from goodviews.interfaces import ViewPair
from goodviews.views.colorspaces import NATURAL
from goodviews.views.pairs import BuiltViews
from goodviews.views.splits import CHANNELS, Channels, ColorSpace, Frequency

__all__ = ["contact_sheet", "example_pairs", "pictures", "strip"]

_CHROMA = {
    "yuv": ((0.0, 1.14), (-0.395, -0.581), (2.032, 0.0)),
    "yiq": ((0.956, 0.621), (-0.272, -0.647), (-1.107, 1.704)),
    "ycbcr": ((0.0, 0.00626), (-0.00154, -0.00319), (0.00791, 0.0)),
    "ydbdr": ((0.0, -0.526), (-0.129, 0.268), (0.665, 0.0)),
    "lab": ((0.0089, 0.0025), (-0.0044, 0.0009), (0.0008, -0.0091)),
}


def pictures(views: BuiltViews, pair: ViewPair) -> tuple[Tensor, Tensor]:
    """A pair of views as RGB images in [0, 1], shape (n, 3, h, w) each."""
    split = views.split
    if split is None or not split.standardised:
        return tuple(_coloured(_denormalise(view, views)) for view in pair)  # type: ignore[return-value]
    if isinstance(split, Channels):
        return _planes(pair.v1, split, 0), _planes(pair.v2, split, 1)
    if isinstance(split, ColorSpace):
        return _coloured(0.5 + 0.22 * pair.v1), _two_channels(pair.v2, split.space)
    if isinstance(split, Frequency):
        return _coloured(0.48 + 0.25 * pair.v1), _coloured(0.5 + 0.15 * pair.v2)
    return _coloured(0.5 + 0.22 * pair.v1), _coloured(0.5 + 0.22 * pair.v2)


def _denormalise(view: Tensor, views: BuiltViews) -> Tensor:
    mean = view.new_tensor(views.mean).view(1, -1, 1, 1)
    return view * view.new_tensor(views.std).view(1, -1, 1, 1) + mean


def _coloured(images: Tensor) -> Tensor:
    """Three channels in [0, 1] of one, two (a blank third) or many (the first three)."""
    c = images.shape[1]
    if c == 1:
        images = images.expand(-1, 3, -1, -1)
    elif c == 2:
        images = torch.cat([images, torch.full_like(images[:, :1], 0.5)], 1)
    return images[:, :3].clamp(0, 1)


def _planes(view: Tensor, split: Channels, side: int) -> Tensor:
    """Channels in their own colours, the missing ones black."""
    alone, others = CHANNELS[split.channels]
    places = [(alone,), others][side]
    mean, std = NATURAL["rgb"]
    canvas = view.new_zeros(len(view), 3, *view.shape[2:])
    for place, channel in enumerate(places):
        canvas[:, channel] = view[:, place] * std[channel] + mean[channel]
    return canvas.clamp(0, 1)


def _two_channels(view: Tensor, space: str) -> Tensor:
    """The last two channels of a colour space as colours of mid brightness."""
    first, second = view.unbind(1)
    if space in _CHROMA:
        mean, std = NATURAL[space]
        neutral = 128.0 if space == "ycbcr" else 0.0
        first = first * std[1] + mean[1] - neutral
        second = second * std[2] + mean[2] - neutral
        rows = [0.5 + a * first + b * second for a, b in _CHROMA[space]]
    elif space == "rgb":
        rows = [torch.zeros_like(first), 0.48 + 0.25 * first, 0.45 + 0.26 * second]
    else:
        rows = [0.5 + 0.22 * first, 0.5 + 0.11 * (first + second), 0.5 + 0.22 * second]
    return torch.stack(rows, 1).clamp(0, 1)


def example_pairs(
    views: BuiltViews,
    images: Tensor,
    n: int = 8,
    seed: int = 0,
    partners: Tensor | None = None,
) -> list[tuple[Image.Image, Image.Image]]:
    """The first n pairs as PIL images.

    Args:
        views: Built views.
        images: uint8 images (at least n, c, h, w).
        n: How many pairs.
        seed: Fixes the drawn parameters.
        partners: Partner images, for recipes that pair images by factors.
    """
    generator = Generator().manual_seed(seed)
    other = None if partners is None else partners[:n]
    one, two = pictures(views, views(images[:n], generator, other))
    return list(zip(_images(one), _images(two), strict=True))


def _images(batch: Tensor) -> list[Image.Image]:
    scaled = batch.mul(255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(np.ascontiguousarray(picture)) for picture in scaled]


def _enlarged(picture: Image.Image, least: int) -> Image.Image:
    """Small pictures grown by a whole factor to about ``least`` pixels, pixels left visible."""
    factor = max(1, round(least / max(picture.size)))
    size = (picture.width * factor, picture.height * factor)
    return picture.resize(size, Image.Resampling.NEAREST)


def _table(rows: list[list[Image.Image]], gap: int, wide: int = 0) -> Image.Image:
    """Pictures in rows on white; every second gap between columns is ``wide`` wider."""
    flat = [picture for row in rows for picture in row]
    cell_w, cell_h = max(p.width for p in flat), max(p.height for p in flat)
    columns = max(len(row) for row in rows)
    width = columns * (cell_w + gap) + gap + (columns - 1) // 2 * wide
    sheet = Image.new("RGB", (width, len(rows) * (cell_h + gap) + gap), "white")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            left = gap + x * (cell_w + gap) + x // 2 * wide + (cell_w - picture.width) // 2
            top = gap + y * (cell_h + gap) + (cell_h - picture.height) // 2
            sheet.paste(picture, (left, top))
    return sheet


def contact_sheet(
    views: BuiltViews,
    images: Tensor,
    n: int = 24,
    seed: int = 0,
    partners: Tensor | None = None,
    columns: int = 4,
) -> Image.Image:
    """A sheet of n pairs v1 | v2, ``columns`` pairs a row.

    Example:
        >>> from goodviews.views import Recipe
        >>> views = Recipe.load("simclr").build((3, 32, 32))
        >>> contact_sheet(views, torch.zeros(4, 3, 32, 32, dtype=torch.uint8), n=4).mode
        'RGB'
    """
    pairs = example_pairs(views, images, n, seed, partners)
    grown = [(_enlarged(one, 96), _enlarged(two, 96)) for one, two in pairs]
    rows = [grown[place : place + columns] for place in range(0, len(grown), columns)]
    return _table([[picture for pair in row for picture in pair] for row in rows], 4, 12)


def strip(
    views: BuiltViews,
    images: Tensor,
    n: int = 8,
    seed: int = 0,
    partners: Tensor | None = None,
) -> Image.Image:
    """Two rows of n pictures: view 1 above view 2 of the same image, as a page shows them."""
    pairs = example_pairs(views, images, n, seed, partners)
    return _table([[_enlarged(pair[row], 64) for pair in pairs] for row in (0, 1)], 2)
