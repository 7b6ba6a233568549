"""The bundled sets: real digits on real photographs with known factors, and the digits alone.

``factors`` is made so that the answer is known: every image is a function of three independent,
uniform factors (digit, position, background) and of chance (which handwriting, which colour). Two
images that agree in the factors s and in nothing else share exactly I(v1;v2) = H(s) nats, for
example log 10 = 2.303 for the digit. Nothing is downloaded: digits and photographs are those that
ship with scikit-learn.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits, load_sample_images
from torch import Generator, Tensor
from torch.nn.functional import interpolate, max_pool2d, unfold

from goodviews.data.images import Images
from goodviews.data.sampling import split
from goodviews.interfaces import UserError

SIDE, GLYPH, POSITIONS, BACKGROUNDS = 32, 16, 9, 20
_CROP, _STRIDE = 96, 48
_PLACES = tuple(
    f"{row} {column}"
    for row in ("top", "middle", "bottom")
    for column in ("left", "centre", "right")
)
FACTOR_CLASSES: dict[str, tuple[str, ...]] = {
    "digit": tuple(str(d) for d in range(10)),
    "position": _PLACES,
    "background": tuple(f"{photo} {i}" for photo in ("china", "flower") for i in range(10)),
}
"""Factor -> the names of its values."""


def factors(seed: int = 0, train: int = 4, test: int = 2) -> tuple[Images, Images]:
    """Make the bundled ``factors`` set, 3x32x32.

    Each of the 10 x 9 x 20 = 1,800 combinations of digit, position and background occurs equally
    often, so the factors are exactly uniform and independent. Handwriting and colour are drawn
    for each image; train and test share no handwriting, and all twenty backgrounds.

    Args:
        seed: Draws handwriting and colours; the backgrounds are always the same.
        train: Training images a combination (7,200 in all by default).
        test: Test images a combination (3,600 in all by default); from two on, an image always
            has a partner that agrees with it in all three factors.

    Returns:
        Train and test; the labels are the digits (see :func:`relabel`).

    Example:
        >>> first, second = factors(train=1, test=1)
        >>> first, round(first.shared_information(["digit", "position"]), 4)
        (Images(factors: 1800 x 3x32x32), 4.4998)
    """
    if train < 1 or test < 1:
        raise UserError(f"factors: {train} and {test} images a combination. Use 1 or more.")
    glyphs, digits = _glyphs()
    backgrounds = _backgrounds()
    generator = Generator().manual_seed(seed)
    parts = zip(split(digits, len(digits), 0.25, seed=0), (train, test), strict=True)
    first, second = (
        _compose(glyphs[index], digits[index], backgrounds, copies, generator)
        for index, copies in parts
    )
    return first, second


def digits(seed: int = 0) -> tuple[Images, Images]:
    """Read scikit-learn's 1,797 handwritten digits, 8x8 enlarged to 32x32, grey in three channels.

    Args:
        seed: Draws the test fifth, stratified by digit.

    Example:
        >>> digits()
        (Images(digits: 1438 x 3x32x32), Images(digits: 359 x 3x32x32))
    """
    bunch = load_digits()
    small = torch.tensor(bunch.images, dtype=torch.float32)[:, None] / 16
    large = interpolate(small, (SIDE, SIDE), mode="bicubic").clamp(0, 1)
    pixels = (255 * large).round().byte().expand(-1, 3, -1, -1)
    labels = torch.tensor(bunch.target, dtype=torch.int64)
    everything = Images(
        pixels, "digits", labels, FACTOR_CLASSES["digit"], factors={"digit": labels}
    )
    train, test = split(labels, len(labels), 0.2, seed)
    return everything.subset(train), everything.subset(test)


def relabel(images: Images, factor: str) -> Images:
    """Make one factor the label.

    Raises:
        UserError: the set has no such factor.
    """
    values = images.factor(factor)
    images.labels, images.classes = values, FACTOR_CLASSES[factor]
    return images


def digit_boxes(position: Tensor) -> Tensor:
    """Where the digit of a ``factors`` image is: bool, (n, 32, 32), true in its 16x16 box.

    Args:
        position: the factor of that name, shape (n,).

    Example:
        >>> digit_boxes(torch.tensor([8]))[0].nonzero().amin(0).tolist()
        [16, 16]
    """
    step = (SIDE - GLYPH) // 2
    line = torch.arange(SIDE)
    rows, columns = (
        (line >= step * place[:, None]) & (line < step * place[:, None] + GLYPH)
        for place in (position // 3, position % 3)
    )
    return rows[:, :, None] & columns[:, None, :]


def _glyphs() -> tuple[Tensor, Tensor]:
    """Return strokes in [0, 1], shape (1797, 1, 16, 16), and their digits."""
    bunch = load_digits()
    small = torch.tensor(bunch.images, dtype=torch.float32)[:, None] / 16
    large = interpolate(small, (GLYPH, GLYPH), mode="bicubic")
    strokes = ((large - 0.15) * 1.6).clamp(0, 1)
    return strokes, torch.tensor(bunch.target, dtype=torch.int64)


def _backgrounds() -> Tensor:
    """Return ten crops a photograph that differ most from each other, (20, 3, 32, 32) in [0, 1]."""
    chosen = []
    for photo in load_sample_images().images:
        pixels = torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None].float() / 255
        crops = unfold(pixels, _CROP, stride=_STRIDE)[0].T.reshape(-1, 3, _CROP, _CROP)
        small = interpolate(crops, (SIDE, SIDE), mode="area")
        chosen.append(small[_most_different(small, BACKGROUNDS // 2)])
    return torch.cat(chosen)


def _most_different(crops: Tensor, count: int) -> list[int]:
    """Start with the crop of most contrast; add, one by one, that farthest from all taken."""
    flat = crops.flatten(1).double()
    taken = [int(flat.std(dim=1).argmax())]
    while len(taken) < count:
        distance = torch.cdist(flat, flat[taken]).min(dim=1).values
        taken.append(int(distance.argmax()))
    return sorted(taken)


def _compose(
    glyphs: Tensor, digits: Tensor, backgrounds: Tensor, copies: int, generator: Generator
) -> Images:
    """Draw ``copies`` images of every combination of the factors."""
    grid = torch.cartesian_prod(
        torch.arange(10), torch.arange(POSITIONS), torch.arange(BACKGROUNDS)
    ).repeat(copies, 1)
    grid = grid[torch.randperm(len(grid), generator=generator)]
    digit, position, background = grid.T.contiguous()
    stroke = glyphs[_handwriting(digit, digits, generator)]
    canvas = torch.zeros(len(grid), 1, SIDE, SIDE)
    step = (SIDE - GLYPH) // 2
    for place in range(POSITIONS):
        top, left = step * (place // 3), step * (place % 3)
        here = position == place
        canvas[here, :, top : top + GLYPH, left : left + GLYPH] = stroke[here]
    pixels = _paint(canvas, backgrounds[background], generator)
    known = {"digit": digit, "position": position, "background": background}
    return Images(pixels, "factors", digit, FACTOR_CLASSES["digit"], factors=known)


def _handwriting(digit: Tensor, digits: Tensor, generator: Generator) -> Tensor:
    """Draw, for each image, any handwriting of its digit."""
    counts = digits.bincount(minlength=10)
    order = torch.argsort(digits, stable=True)
    draw = torch.rand(len(digit), dtype=torch.float64, generator=generator)
    return order[(counts.cumsum(0) - counts)[digit] + (draw * counts[digit]).long()]


def _paint(stroke: Tensor, photo: Tensor, generator: Generator) -> Tensor:
    """Paint strokes in random colours: bright with a dark rim or dark with a bright one."""
    n = len(stroke)
    bright = (torch.rand(n, 1, 1, 1, generator=generator) < 0.5).float()
    hue = torch.rand(n, 3, 1, 1, generator=generator)
    hue = (hue - hue.amin(1, keepdim=True)) / (
        hue.amax(1, keepdim=True) - hue.amin(1, keepdim=True)
    )
    colour = torch.where(bright > 0, 0.6 + 0.4 * hue, 0.4 * hue)
    rim = max_pool2d(stroke, 3, stride=1, padding=1)
    framed = photo + 0.85 * rim * ((1 - bright) - photo)
    return (255 * (framed + stroke * (colour - framed))).round().clamp(0, 255).byte()
