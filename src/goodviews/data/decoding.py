"""One image file or PIL image of any mode -> 8-bit RGB of a fixed square size."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"}
)
MAX_PIXELS = 100_000_000
"""Larger images are refused from their header, before memory is spent on them."""

GREY_MODES = frozenset({"1", "L", "LA", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"})
_DEEP_MODES = frozenset({"I", "F", "I;16", "I;16B", "I;16L", "I;16N"})


class Unreadable(ValueError):
    """An image that cannot be used; the message is the reason, for people."""


@dataclass(frozen=True)
class Header:
    """What the first bytes of a file tell; width and height as stored, before orientation."""

    width: int
    height: int
    mode: str


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Keep Pillow's remarks on odd files to ourselves: what matters becomes :class:`Unreadable`."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        yield


def reason(error: Exception) -> str:
    """Say in a few words why an image could not be read."""
    if isinstance(error, Unreadable):
        return str(error)
    if isinstance(error, Image.DecompressionBombError):
        return f"too many pixels; the limit is {MAX_PIXELS // 10**6} million"
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return "truncated" if "truncated" in text.lower() else f"cannot be decoded: {text}"


def open_file(path: Path) -> Image.Image:
    """Open a file without decoding its pixels.

    Raises:
        Unreadable: it is missing, empty, or not an image.
    """
    if not path.is_file():
        raise Unreadable("broken link" if path.is_symlink() else "not a file")
    if path.stat().st_size == 0:
        raise Unreadable("empty file (0 bytes)")
    return Image.open(path)


def header(image: Image.Image) -> Header:
    """Read size and mode of an image that is not decoded yet.

    Raises:
        Unreadable: it has more than :data:`MAX_PIXELS` pixels.
    """
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise Unreadable(f"too many pixels; the limit is {MAX_PIXELS // 10**6} million")
    return Header(width, height, image.mode)


def decode(image: Image.Image, size: int) -> np.ndarray:
    """Decode, turn upright, bring to RGB, then crop the centre square and resize it.

    Transparency is laid on white; 16-bit, integer and float pixels are stretched from their own
    minimum..maximum to 0..255; of several frames the first is taken.

    Args:
        image: Any PIL image.
        size: Side of the result in pixels.

    Returns:
        uint8, shape (3, size, size).

    Raises:
        Unreadable: too many pixels, or NaN among them.

    Example:
        >>> decode(Image.new("L", (20, 10), 7), 5).shape
        (3, 5, 5)
    """
    header(image)
    image.draft(None, (2 * size, 2 * size))
    rgb = _to_rgb(ImageOps.exif_transpose(image))
    side = min(rgb.size)
    if rgb.size != (size, size):
        left, top = (rgb.width - side) // 2, (rgb.height - side) // 2
        box = (left, top, left + side, top + side)
        how = Image.Resampling.BICUBIC
        rgb = rgb.crop(box) if side == size else rgb.resize((size, size), how, box, 2.0)
    return np.ascontiguousarray(np.asarray(rgb).transpose(2, 0, 1))


def decode_file(path: Path, size: int) -> np.ndarray:
    """Decode one file, as :func:`decode` does."""
    with open_file(path) as image:
        return decode(image, size)


def has_alpha(image: Image.Image) -> bool:
    """Whether any transparency is declared."""
    return image.mode in {"RGBA", "LA", "PA", "La", "RGBa"} or "transparency" in image.info


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in _DEEP_MODES:
        image = Image.fromarray(_stretch(np.asarray(image, dtype=np.float64)))
    if has_alpha(image):
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _stretch(pixels: np.ndarray) -> np.ndarray:
    """Map minimum..maximum to 0..255; an image of one value becomes black."""
    if not np.isfinite(pixels).all():
        raise Unreadable("NaN or infinite pixels")
    low, high = pixels.min(), pixels.max()
    return ((pixels - low) * (255.0 / max(high - low, 1e-12))).round().astype(np.uint8)
