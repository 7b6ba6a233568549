"""Arrays of images: an .npz file, a NumPy array or a tensor -> uint8 RGB in memory."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn.functional import interpolate

from goodviews.data.images import Images
from goodviews.data.labels import check, encode, from_array
from goodviews.data.notes import Notes
from goodviews.data.reading import (
    MINIMUM_SIZE,
    Settings,
    choose_size,
    quarter,
    refuse_too_few,
)
from goodviews.data.sampling import split, stratified
from goodviews.interfaces import UserError

_IMAGES = ("images", "x", "data", "arr_0", "image")
_LABELS = ("labels", "y", "label", "targets", "target", "arr_1")
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def to_pixels(values: ArrayLike, where: str) -> Tensor:
    """Bring an array of images to uint8 RGB, shape (n, 3, h, w).

    Shapes (n, h, w), (n, h, w, c) and (n, c, h, w) are understood, c being 1, 3 or 4 (RGBA, laid
    on white); where both fit, the reading whose height and width are at least 8 is the right one.
    Integers must lie in 0..255; floats in [0, 1] or [0, 255].

    Raises:
        UserError: another shape or type, NaN pixels, or values out of range.

    Example:
        >>> to_pixels(np.ones((2, 16, 16)), "ones").shape
        torch.Size([2, 3, 16, 16])
    """
    array = _channels_first(np.asarray(values), where)
    pixels = torch.from_numpy(np.require(_to_bytes(array, where), requirements=["C", "W"]))
    if pixels.shape[1] == 4:
        alpha = pixels[:, 3:].float() / 255
        pixels = (pixels[:, :3] * alpha + 255 * (1 - alpha)).round().byte()
    return pixels.expand(-1, 3, -1, -1)


def read_npz(path: Path, notes: Notes) -> tuple[Images, Images | None]:
    """Read images, and labels where there are any, from an .npz file.

    Names: ``images`` (or x, data) and ``labels`` (or y, targets); with a split, any of
    ``x_train``/``y_train``/``x_test``/``y_test`` or ``train_images``/``train_labels``/... .

    Raises:
        UserError: not an .npz, pickled objects inside, no images, wrong shapes, NaN pixels.
    """
    arrays = _load(path)
    train = _read(arrays, path, "train", notes)
    train = _read(arrays, path, "", notes) if train is None else train
    if train is None:
        listed = ", ".join(arrays) or "none"
        raise UserError(
            f"--data: {path} has no array called images (found: {listed}). "
            "Save it with np.savez(path, images=..., labels=...)."
        )
    tests = (_read(arrays, path, part, notes) for part in ("test", "val"))
    test = next((found for found in tests if found is not None), None)
    return same_classes(train, test, notes)


def read_npz_folder(root: Path, notes: Notes) -> tuple[Images, Images]:
    """Read ``train.npz`` and ``test.npz`` (or ``val.npz``) of one folder."""
    train, _ = read_npz(root / "train.npz", notes)
    other = root / "test.npz" if (root / "test.npz").is_file() else root / "val.npz"
    train, test = same_classes(train, read_npz(other, notes)[0], notes)
    assert test is not None
    return train, test


def same_classes(train: Images, test: Images | None, notes: Notes) -> tuple[Images, Images | None]:
    """Number the test labels by the training classes; classes unknown there become -1."""
    if test is not None and train.labels is not None and test.labels is not None:
        names = [test.classes[i] if i >= 0 else None for i in test.labels.tolist()]
        test.labels, _ = encode(names, train.classes)
        lost = sorted(set(test.classes) - set(train.classes))
        if lost:
            listed = ", ".join(lost[:3])
            notes.warn(f"{len(lost)} test classes have no training image: {listed}. Not used.")
    if test is not None:
        test.classes = train.classes
        test.labels = None if train.labels is None else test.labels
    return train, test


def finish(
    train: Images, test: Images | None, settings: Settings, notes: Notes
) -> tuple[Images, Images]:
    """Split where there is no split, subsample, crop to squares and resize images in memory."""
    if test is None:
        refuse_too_few(len(train), train.name)
        first, second = split(train.labels, len(train), settings.test_fraction, settings.seed)
        train, test = train.subset(first), train.subset(second)
    refuse_too_few(len(train), train.name)
    train = _subsample(train, settings.max_images, settings.seed)
    test = _subsample(test, quarter(settings.max_images), settings.seed)
    for part in (train, test):
        notes.sizes[part.shape[2], part.shape[1]] += len(part)
    size = choose_size(notes, settings.image_size)
    train, test = (replace(part, pixels=resize(part.pixels, size)) for part in (train, test))
    return train, test


def resize(pixels: Tensor, size: int) -> Tensor:
    """Crop the centre square and resize it, antialiased.

    Args:
        pixels: uint8, shape (n, c, h, w).
        size: Side of the result.

    Returns:
        uint8, shape (n, c, size, size).
    """
    *_, h, w = pixels.shape
    side = min(h, w)
    top, left = (h - side) // 2, (w - side) // 2
    square = pixels[:, :, top : top + side, left : left + side]
    if side == size:
        return square
    shape = (size, size)
    parts = [
        interpolate(part.float(), shape, mode="bicubic", antialias=True).round().clamp(0, 255)
        for part in square.split(1024)
    ]
    return torch.cat([part.byte() for part in parts])


def _subsample(part: Images, limit: int | None, seed: int) -> Images:
    if limit is None or limit >= len(part):
        return part
    return part.subset(stratified(part.labels, len(part), limit, seed))


def _load(path: Path) -> dict[str, np.ndarray]:
    remedy = "Save plain arrays with np.savez(path, images=..., labels=...)."
    if not zipfile.is_zipfile(path):
        raise UserError(f"--data: {path} is not a whole .npz file. {remedy}")
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        pickled = "Object arrays" in str(error)
        what = "holds pickled objects, which could run code" if pickled else "cannot be read"
        raise UserError(f"--data: {path} {what}. {remedy}") from error


def _read(arrays: dict[str, np.ndarray], path: Path, part: str, notes: Notes) -> Images | None:
    """Return one part ("train", "test", "val", or "" for a file without a split)."""
    images, labels = _find(arrays, _IMAGES, part), _find(arrays, _LABELS, part)
    if images is None:
        return None
    where = f"{path} {images}"
    pixels = to_pixels(arrays[images], where)
    notes.modes[_mode(arrays[images])] += len(pixels)
    name = path.stem if path.stem not in {"train", "test", "val"} else path.parent.name
    if labels is None:
        return Images(pixels, name)
    given = from_array(arrays[labels], f"{path} {labels}", len(pixels))
    return with_labels(
        Images(pixels, name), given, f"{path} {labels}", notes, part in {"", "train"}
    )


def with_labels(
    images: Images, names: list[str | None], where: str, notes: Notes, strict: bool = True
) -> Images:
    """Set labels from class names; with ``strict`` refuse fewer than two classes."""
    images.labels, images.classes = encode(names)
    if strict:
        check(images.labels, images.classes, where, notes)
    return images


def _find(arrays: dict[str, np.ndarray], names: tuple[str, ...], part: str) -> str | None:
    """Return the first array called by one of ``names``, before or after ``part``."""
    lower = {name.lower(): name for name in arrays}
    for name in names:
        for known in (f"{part}_{name}", f"{name}_{part}") if part else (name,):
            if known in lower:
                return lower[known]
    return None


def _mode(array: np.ndarray) -> str:
    return str(array.dtype) if array.dtype != np.uint8 else "uint8"


def _channels_first(array: np.ndarray, where: str) -> np.ndarray:
    shape = array.shape
    if array.ndim == 3 and min(shape[1:]) >= MINIMUM_SIZE:
        return array[:, None]
    if array.ndim == 4 and shape[3] in _MODES and min(shape[1:3]) >= MINIMUM_SIZE:
        return array.transpose(0, 3, 1, 2)
    if array.ndim == 4 and shape[1] in _MODES and min(shape[2:]) >= MINIMUM_SIZE:
        return array
    one = " That looks like a single image." if array.ndim == 3 and shape[-1] in _MODES else ""
    raise UserError(
        f"--data: {where} has shape {shape}.{one} Give (n, h, w, c) or (n, c, h, w) with c = 1, 3 "
        f"or 4 and at least {MINIMUM_SIZE} pixels a side."
    )


def _to_bytes(array: np.ndarray, where: str) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind not in "fiub":
        raise UserError(f"--data: {where} has type {array.dtype}. Give uint8 in 0..255.")
    if not len(array):
        return array.astype(np.uint8)
    if array.dtype.kind == "f":
        finite = np.isfinite(array).reshape(len(array), -1).all(axis=1)
        if not finite.all():
            first, count = int(np.argmin(finite)), int((~finite).sum())
            raise UserError(
                f"--data: {where}[{first}] has NaN or infinite pixels, as have {count} "
                f"of {len(array)} images. Remove or repair them."
            )
    low, high = float(array.min()), float(array.max())
    if low < 0 or high > 255:
        raise UserError(
            f"--data: {where} reaches from {low:g} to {high:g}. "
            "Scale it to uint8 in 0..255 or floats in [0, 1]."
        )
    unit = array.dtype.kind == "b" or (array.dtype.kind == "f" and high <= 1)
    return np.asarray(array * 255.0 if unit else array).round().astype(np.uint8)
