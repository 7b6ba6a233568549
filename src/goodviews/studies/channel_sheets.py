"""A picture of learned views: the channels of images before and after a generator."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from goodviews.studies.drawing import GAP, LINE, SIDE, Sheet
from goodviews.views.generator import ViewGenerator

CHANNELS_SHOWN = 4
"""Channels of an image on the sheet, at most."""


def channel_sheet(generator: ViewGenerator, images: Tensor) -> Image.Image:
    """A picture: each image, its channels in the start space, its learned channels; all grey.

    Args:
        generator: in eval mode, settled.
        images: uint8 (n, c, h, w).

    Example:
        >>> g = ViewGenerator(3).eval()
        >>> channel_sheet(g, torch.zeros(2, 3, 8, 8, dtype=torch.uint8)).size[0]
        1400
    """
    x = images.float() / 255
    with torch.no_grad():
        channels = [torch.cat(g.views(x), 1) for g in (untrained(generator, images), generator)]
    count = min(CHANNELS_SHOWN, x.shape[1])
    step, top = SIDE + GAP, LINE + GAP
    tall = round(SIDE * x.shape[2] / max(x.shape[2:])) + GAP
    sheet = Sheet(step * (1 + 2 * count), top + tall * len(x))
    names = ["image", *_channel_names(generator, count)]
    for column, name in enumerate(names):
        sheet.words(name, column * step, 4)
    for row, image in enumerate(x):
        shown = image[:3] if len(image) >= 3 else image[:1].expand(3, -1, -1)
        sheet.tile(shown, 0, top + row * tall)
        for side, values in enumerate(channels):
            for i in range(count):
                grey = (0.5 + 0.22 * values[row, i]).clamp(0, 1).expand(3, -1, -1)
                sheet.tile(grey, (1 + side * count + i) * step, top + row * tall)
    return sheet.image


def untrained(generator: ViewGenerator, images: Tensor) -> ViewGenerator:
    """What the generator was before it learned: its start space, settled on uint8 images."""
    start = ViewGenerator(**generator.design()).eval()
    start.settle(images.float() / 255)
    return start


def _channel_names(generator: ViewGenerator, count: int) -> list[str]:
    letters = {"rgb": ("R", "G", "B"), "ydbdr": ("Y", "Db", "Dr")}.get(generator.space)
    own = letters or tuple(f"channel {i + 1}" for i in range(count))
    views = ["view 1" if i < generator.alone else "view 2" for i in range(count)]
    return [
        *(f"{own[i]} ({views[i]})" for i in range(count)),
        *(f"learned ({view})" for view in views),
    ]
