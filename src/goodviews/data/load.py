"""One door to all data: a name, a folder, an .npz file or an array -> train, test and a report."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from goodviews.data import named
from goodviews.data.arrays import (
    finish,
    read_npz,
    read_npz_folder,
    to_pixels,
    with_labels,
)
from goodviews.data.catalogue import DATA, NO_FLIP, did_you_mean
from goodviews.data.decoding import GREY_MODES
from goodviews.data.factors import FACTOR_CLASSES, digits, factors, relabel
from goodviews.data.folders import Listing, list_images, split_by_folder
from goodviews.data.images import Images
from goodviews.data.labels import check, encode, from_array, match, read_csv
from goodviews.data.notes import Notes
from goodviews.data.reading import Part, Settings, Source, read_parts
from goodviews.data.streamed import FileReader
from goodviews.interfaces import UserError

Labels = str | Path | Sequence[Any] | np.ndarray | Tensor | None


@dataclass
class Loaded:
    """A data set, ready to train and to test on.

    ``hints``: "no-flip" for characters and signs, "grey" when every image is grey.
    """

    train: Source
    test: Source
    report: dict[str, Any]
    """What was found, for ``data_report.json``; its ``warnings`` are sentences to show."""
    name: str
    hints: frozenset[str] = frozenset()


def load(
    data: str | Path | np.ndarray | Tensor | Images,
    *,
    labels: Labels = None,
    data_root: str | Path | None = None,
    download: bool = False,
    image_size: int | None = None,
    strict: bool = False,
    test_fraction: float = 0.2,
    seed: int = 0,
    max_images: int | None = None,
) -> Loaded:
    """Read and check a data set: all images become uint8 RGB squares of one size.

    Args:
        data: A folder of images (flat, nested, class sub-folders, ``train/`` and ``test/``), an
            ``.npz`` file, a name of :data:`goodviews.data.DATA` (these win over a folder of that
            name; write ``./mnist``), ``hf:NAME``, or an array of images.
        labels: None takes what the data bring; ``"none"`` leaves them out; a CSV of rows
            ``file,label`` for folders; for ``factors`` the name of a factor; for arrays an array.
        data_root: The folder that holds torchvision's sets.
        download: Fetch a named set that is not there. Nothing else uses the network.
        image_size: Side in pixels; None keeps one common size up to 96, else takes 64.
        strict: Stop at the first unreadable file; otherwise such files are skipped and reported.
        test_fraction: Of data without a split of their own, stratified by label.
        seed: Draws split and subsample.
        max_images: Train on at most so many images, stratified; test on at most a quarter as many.

    Raises:
        UserError: the data are missing, empty, mostly unreadable, or their labels do not fit.

    Example:
        >>> found = load("factors", max_images=1800)
        >>> found.train, found.report["classes"]["7"], sorted(found.hints)
        (Images(factors: 1800 x 3x32x32), {'train': 180, 'test': 45}, ['no-flip'])
    """
    began = time.perf_counter()
    settings = Settings(image_size, strict, test_fraction, seed, max_images)
    _check_settings(settings)
    notes = Notes()
    if isinstance(data, str | os.PathLike):
        train, test = _by_name(str(data), labels, data_root, download, settings, notes)
    else:
        train, test = finish(_from_array(data, labels, notes), None, settings, notes)
    hints = _look(train, test, notes)
    if train.name.removeprefix("hf:").rpartition("/")[2] in NO_FLIP:
        hints.add("no-flip")
    report = notes.report(train, test, time.perf_counter() - began)
    return Loaded(train, test, report, train.name, frozenset(hints))


def _check_settings(settings: Settings) -> None:
    if not 0 < settings.test_fraction < 1:
        raise UserError(
            f"--test-fraction: {settings.test_fraction} is not between 0 and 1. "
            "Use for example 0.2."
        )
    if settings.max_images is not None and settings.max_images < 2:
        raise UserError(f"--max-images: {settings.max_images} is too few. Use 2 or more.")


def _by_name(
    data: str,
    labels: Labels,
    data_root: str | Path | None,
    download: bool,
    settings: Settings,
    notes: Notes,
) -> tuple[Source, Source]:
    """Tell bundled sets, torchvision's, Hugging Face's, folders and files apart."""
    if data in {"factors", "digits"}:
        return _bundled(data, labels, settings, notes)
    if data.startswith("hf:"):
        parts = named.hugging_face(data.removeprefix("hf:"), download)
        return _read_parts(*parts, data, labels, settings, notes)
    if data in DATA:
        return _torchvision(data, labels, data_root, download, settings, notes)
    path = Path(data).expanduser()
    if path.is_dir():
        return _folder(path, labels, path.resolve().name, settings, notes)
    if path.suffix == ".npz" and path.is_file():
        train, test = read_npz(path, notes)
        return finish(*_choose_labels(train, test, labels, notes), settings, notes)
    raise UserError(f"--data: {data} {_what_is_wrong(data, path)}")


def _what_is_wrong(data: str, path: Path) -> str:
    if path.is_file():
        return "is neither a folder nor an .npz file. Give the folder that holds the images."
    named_like = len(path.parts) == 1 and not path.suffix
    if named_like:
        hint = did_you_mean(data, DATA)
        return f"is no known data set and no folder. {hint}See: goodviews list data."
    parent = next((p for p in path.parents if p.is_dir()), Path())
    return f"does not exist ({parent} does). Check the path."


def _bundled(data: str, labels: Labels, settings: Settings, notes: Notes) -> tuple[Source, Source]:
    train, test = (factors if data == "factors" else digits)(settings.seed)
    notes.modes["RGB" if data == "factors" else "L"] += len(train) + len(test)
    if labels is not None and labels != "none":
        known = [name for name in FACTOR_CLASSES if name in train.factors]
        if not isinstance(labels, str) or labels not in known:
            hint = did_you_mean(str(labels), known)
            message = f"--labels: {labels} is no factor of {data}. {hint}"
            raise UserError(f"{message}Known: {', '.join(known)}, none.")
        train, test = relabel(train, labels), relabel(test, labels)
    elif labels == "none":
        train, test = _unlabel(train), _unlabel(test)
    return finish(train, test, settings, notes)


def _torchvision(
    data: str,
    labels: Labels,
    data_root: str | Path | None,
    download: bool,
    settings: Settings,
    notes: Notes,
) -> tuple[Source, Source]:
    """Read a named set: from DATA_ROOT/NAME when that is a plain folder, else by torchvision."""
    if data_root is None:
        raise UserError(
            f"--data: {data} needs --data-root, the folder that holds it or that "
            "--download may fill. Or use the bundled factors or digits."
        )
    root = Path(data_root).expanduser()
    own = root / data
    if (own / "train.npz").is_file() or (own / "train").is_dir():
        return _folder(own, labels, data, settings, notes)
    if data == "imagenet":
        raise UserError(
            f"--data: imagenet was not found in {own}. Fetch it from image-net.org and "
            "unpack it to train/CLASS/*.JPEG and val/CLASS/*.JPEG there."
        )
    if data in named.ARRAYS:
        train, test = named.torchvision_arrays(data, root, download, notes)
        return finish(*_choose_labels(train, test, labels, notes), settings, notes)
    parts = named.torchvision_files(data, root, download)
    return _read_parts(*parts, data, labels, settings, notes)


def _folder(
    root: Path, labels: Labels, name: str, settings: Settings, notes: Notes
) -> tuple[Source, Source]:
    """Read a folder of images, or one of train.npz and test.npz."""
    if (root / "train.npz").is_file() and any(
        (root / f"{part}.npz").is_file() for part in ("test", "val")
    ):
        train, test = read_npz_folder(root, notes)
        train.name = test.name = name
        return finish(*_choose_labels(train, test, labels, notes), settings, notes)
    listing = list_images(root, notes)
    first, second = split_by_folder(listing, notes)
    names, where = _folder_labels(listing, first, second, labels, root, notes)
    coded, classes = encode(names[0]) if names else (None, ())
    if coded is not None:
        check(coded, classes, where, notes)
    train_part = _file_part(first, coded)
    if second is None:
        return read_parts(train_part, None, classes, name, settings, notes)
    others = None if len(names) < 2 else encode(names[1], classes)[0]
    if others is not None and (lost := sorted({n for n in names[1] if n} - set(classes))):
        notes.warn(f"{len(lost)} test classes have no training image: {', '.join(lost[:3])}.")
    return read_parts(train_part, _file_part(second, others), classes, name, settings, notes)


def _folder_labels(
    listing: Listing,
    first: Listing,
    second: Listing | None,
    labels: Labels,
    root: Path,
    notes: Notes,
) -> tuple[list[list[str | None]], str]:
    """Class names of the train (and test) files, and where they come from; [] for none."""
    parts = [part for part in (first, second) if part is not None]
    if labels == "none":
        return [], ""
    if labels is None or labels == "folders":
        names = [part.folder_labels() for part in parts]
        if labels is None and not any(names[0]):
            return [], ""
        return names, f"--data: {root}"
    if not isinstance(labels, str | os.PathLike):
        raise UserError("labels: an array does not fit a folder. Give a CSV of file,label.")
    found = match(read_csv(Path(labels)), listing.files, Path(labels))
    by_file = dict(zip(listing.files, found, strict=True))
    bare = sum(label is None for label in found)
    if bare:
        notes.warn(f"{bare} of {len(found)} images are not in {labels}: they stay unlabelled.")
    return [[by_file[name] for name in part.files] for part in parts], f"--labels: {labels}"


def _file_part(listing: Listing, labels: Tensor | None) -> Part:
    return Part(FileReader(listing.paths), torch.arange(len(listing.files)), labels)


def _read_parts(
    train: Part,
    test: Part | None,
    classes: tuple[str, ...],
    name: str,
    labels: Labels,
    settings: Settings,
    notes: Notes,
) -> tuple[Source, Source]:
    """Read parts that come with labels of their own."""
    if _drop_labels(labels):
        train = replace(train, labels=None)
        test = None if test is None else replace(test, labels=None)
        classes = ()
    return read_parts(train, test, classes, name, settings, notes)


def _choose_labels(
    train: Images, test: Images | None, labels: Labels, notes: Notes
) -> tuple[Images, Images | None]:
    if _drop_labels(labels):
        return _unlabel(train), None if test is None else _unlabel(test)
    return train, test


def _drop_labels(labels: Labels) -> bool:
    if labels is None or isinstance(labels, str) and labels == "none":
        return labels is not None
    raise UserError(
        f"--labels: {labels} does not fit these data, which bring their own. "
        "Use none to leave them out; a CSV goes with a folder of images."
    )


def _unlabel(images: Images) -> Images:
    images.labels, images.classes = None, ()
    return images


def _from_array(data: np.ndarray | Tensor | Images, labels: Labels, notes: Notes) -> Images:
    """Take images given in Python."""
    if isinstance(data, Images):
        images = data.subset(torch.arange(len(data)))
    else:
        images = Images(to_pixels(data, "images"), "array")
    notes.modes["array"] += len(images)
    if isinstance(labels, str) and labels == "none":
        return _unlabel(images)
    if labels is None:
        return images
    names = from_array(np.asarray(labels), "labels", len(images))
    return with_labels(images, names, "labels", notes)


def _look(train: Source, test: Source, notes: Notes) -> set[str]:
    """Count repeated images and see whether all are grey."""
    if isinstance(train, Images) and isinstance(test, Images):
        notes.duplicates, notes.leaks = _repeats(train, test)
        notes.grey = _is_grey(train.pixels) and _is_grey(test.pixels)
    else:
        notes.grey = bool(notes.modes) and set(notes.modes) <= GREY_MODES
    if notes.leaks:
        notes.warn(
            f"{notes.leaks} test images are also training images, byte for byte: "
            "test results will be too good."
        )
    return {"grey"} if notes.grey else set()


def _is_grey(pixels: Tensor) -> bool:
    return all(
        torch.equal(part[:, 0], part[:, 1]) and torch.equal(part[:, 0], part[:, 2])
        for part in pixels.split(4096)
    )


def _repeats(train: Images, test: Images) -> tuple[int, int]:
    """How many images repeat an earlier one, and how many of the test repeat a training image."""
    seen, other = ([_digest(image) for image in part.pixels] for part in (train, test))
    total = len(seen) + len(other)
    known = set(seen)
    return total - len(known | set(other)), sum(digest in known for digest in other)


def _digest(image: Tensor) -> bytes:
    return hashlib.blake2b(image.contiguous().numpy().data, digest_size=16).digest()
