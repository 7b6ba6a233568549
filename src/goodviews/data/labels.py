"""Labels by name: from folders, a CSV file or an array, to int64 with -1 for unlabelled."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePath

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from goodviews.data.notes import Notes
from goodviews.interfaces import UserError


def encode(
    names: Sequence[str | None], classes: tuple[str, ...] | None = None
) -> tuple[Tensor, tuple[str, ...]]:
    """Turn class names into labels; None and names outside ``classes`` become -1.

    Returns:
        int64 labels, and the classes in natural order ("2" before "10").

    Example:
        >>> encode(["10", "2", None])
        (tensor([ 1,  0, -1]), ('2', '10'))
    """
    if classes is None:
        classes = tuple(sorted({n for n in names if n is not None}, key=_natural))
    place = {name: i for i, name in enumerate(classes)}
    labels = [-1 if name is None else place.get(name, -1) for name in names]
    return torch.tensor(labels, dtype=torch.int64), classes


def read_csv(path: Path) -> dict[str, str]:
    """Read rows ``file,label`` (comma, semicolon or tab); the first may be a header.

    Raises:
        UserError: no such file, not text, a row without two cells, or one file with two labels.
    """
    if not path.is_file():
        raise UserError(f"--labels: {path} does not exist. Give a CSV with rows file,label.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"--labels: {path} is not UTF-8 text. Give a CSV of file,label.") from error
    lines = text.splitlines()
    marks = [mark for mark in (",", ";", "\t") if lines and mark in lines[0]]
    found: dict[str, str] = {}
    for number, row in enumerate(csv.reader(lines, delimiter=(marks or [","])[0]), start=1):
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if len(cells) < 2 or not cells[0]:
            raise UserError(f"--labels: {path} line {number} is not file,label. Mend that line.")
        if number == 1 and (cells[0].lower() in _HEADERS or not PurePath(cells[0]).suffix):
            continue
        if cells[1] and found.setdefault(cells[0], cells[1]) != cells[1]:
            message = f"--labels: {path} line {number} gives {cells[0]} a second label."
            raise UserError(f"{message} Keep one row a file.")
    if not found:
        raise UserError(f"--labels: {path} holds no row file,label. Add one row an image.")
    return found


def match(rows: dict[str, str], files: Sequence[str], source: Path) -> list[str | None]:
    """Give each file its label: by path below the data folder, else by its bare name.

    Args:
        rows: File -> label.
        files: Paths below the data folder, with forward slashes.
        source: The CSV, for messages.

    Raises:
        UserError: the CSV names files that are not there, or a bare name that occurs twice.
    """
    bare = Counter(PurePath(name).name for name in files)
    by_bare = {PurePath(name).name: name for name in files}
    known = set(files)
    labels: dict[str, str] = {}
    missing = []
    for name, label in rows.items():
        clean = PurePath(name.replace("\\", "/")).as_posix()
        if clean not in known and bare[clean] > 1:
            message = f"--labels: {source} names {name}, and {bare[clean]} files are called so."
            raise UserError(f"{message} Give its path below the data folder.")
        target = clean if clean in known else by_bare.get(clean)
        if target is None:
            missing.append(name)
        else:
            labels[target] = label
    if missing:
        raise UserError(
            f"--labels: {source} names {len(missing)} files that are not in the data: "
            f"{', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''}. "
            "Correct those names (paths are relative to the data folder) or remove the rows."
        )
    return [labels.get(name) for name in files]


def from_array(values: ArrayLike, where: str, total: int) -> list[str | None]:
    """Read an array of integers or strings as class names; -1 and "" are unlabelled.

    Raises:
        UserError: wrong shape, number or type.
    """
    array = np.asarray(values)
    array = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if array.shape != (total,):
        shape = tuple(array.shape)
        raise UserError(f"{where}: shape {shape} for {total} images. Give one label an image.")
    if array.dtype.kind == "f" and np.isfinite(array).all() and (array == array.round()).all():
        array = array.astype(np.int64)
    if array.dtype.kind not in "iubUS":
        raise UserError(f"{where}: type {array.dtype}. Give integers or strings.")
    texts = [v.decode() if isinstance(v, bytes) else str(v) for v in array.tolist()]
    return [None if text in {"-1", ""} else text for text in texts]


def check(labels: Tensor, classes: tuple[str, ...], where: str, notes: Notes) -> None:
    """Refuse labels that no probe can use, and warn about thin ones.

    Raises:
        UserError: fewer than two classes.
    """
    if len(classes) < 2:
        what = f"a single class ({classes[0]})" if classes else "no label"
        raise UserError(
            f"{where}: {what}. A probe needs two classes or more; "
            "leave the labels out with --labels none."
        )
    counts = labels[labels >= 0].bincount(minlength=len(classes))
    rare = [classes[i] for i in (counts < 2).nonzero()[:, 0].tolist()]
    if rare:
        listed = ", ".join(rare[:3]) + (", ..." if len(rare) > 3 else "")
        notes.warn(f"{len(rare)} of {len(classes)} classes have fewer than 2 images: {listed}.")


_HEADERS = frozenset({"file", "filename", "file_name", "path", "image", "name", "id"})


def _natural(name: str) -> tuple[int, int, str]:
    return (0, int(name), "") if name.isdecimal() else (1, 0, name)
