"""Files of numbers and labels -> arrays: npy, npz, csv, tsv, txt, parquet, pt."""

from __future__ import annotations

import csv
import fnmatch
import math
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from goodviews.interfaces import UserError, check_name

Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class Table:
    """Named columns (or arrays) of one file, each of shape (n,) or (n, d)."""

    path: Path
    columns: Columns
    """One column without a name ("") where the file is a single array."""

    def select(self, names: Sequence[str], flag: str) -> Table:
        """The columns called ``names``; ``e*`` stands for all that begin with e.

        Raises:
            UserError: a name that is not there, with those that are.
        """
        found: list[str] = []
        for name in names:
            matched = [name] if name in self.columns else fnmatch.filter(self.columns, name)
            if not matched:
                listed = ", ".join(list(self.columns)[:12]) + ", ..." * (len(self.columns) > 12)
                try:
                    check_name(flag, name, self.columns)
                except UserError as error:
                    hint = str(error) if "Did you mean" in str(error) else f"{flag}: no {name!r}."
                    raise UserError(f"{hint} {self.path} has: {listed}.") from None
            found += [column for column in matched if column not in found]
        return Table(self.path, {name: self.columns[name] for name in found})

    def values(self) -> tuple[np.ndarray, tuple[str, ...]]:
        """All columns side by side, and their names.

        Raises:
            UserError: arrays of different lengths or of more than two dimensions beside others.
        """
        if len(self.columns) == 1:
            ((name, array),) = self.columns.items()
            width = array.shape[1] if array.ndim == 2 else 1
            return array, (name,) if name and width == 1 else _numbered(name, width)
        lengths = {name: len(array) for name, array in self.columns.items()}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{name} {n}" for name, n in lengths.items())
            raise UserError(f"{self.path}: columns of different lengths ({told}). Name one kind.")
        blocks = [a.reshape(len(a), -1) for a in self.columns.values()]
        titles = [
            title
            for (name, array), block in zip(self.columns.items(), blocks, strict=True)
            for title in ((name,) if array.ndim == 1 else _numbered(name, block.shape[1]))
        ]
        if len({block.dtype.kind in "USO" for block in blocks}) > 1:
            blocks = [block.astype(object) for block in blocks]
        return np.hstack(blocks), tuple(titles)


def _numbered(name: str, width: int) -> tuple[str, ...]:
    return tuple(f"{name}[{i}]" if name else str(i) for i in range(width))


def read_table(path: Path | str) -> Table:
    r"""Read one file by its ending.

    Args:
        path: .npy, .npz, .csv, .tsv, .txt, .parquet, .pt or .pth.

    Raises:
        UserError: no such file, an ending that is not known, a file that cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "t.csv"
        ...     _ = path.write_text("age,pet\n3,cat\n4,dog\n")
        ...     table = read_table(path)
        >>> {name: column.tolist() for name, column in table.columns.items()}
        {'age': [3, 4], 'pet': ['cat', 'dog']}
    """
    path = Path(path)
    if path.is_dir():
        run = (path / "encoder.json").exists()
        remedy = f"For a run say --run {path}." if run else "Name a file in it."
        raise UserError(f"{path}: is a folder. {remedy}")
    if not path.exists():
        raise UserError(f"{path}: no such file. Check the path.")
    suffix = path.suffix.lower()
    if suffix not in READERS:
        raise UserError(f"{path}: ending {suffix!r} is not known. Use {', '.join(READERS)}.")
    if path.stat().st_size == 0:
        raise UserError(f"{path}: is empty. Give a file with rows.")
    try:
        return Table(path, READERS[suffix](path))
    except MemoryError as error:
        raise UserError(f"{path}: too large for the memory. Give fewer rows.") from error


def _npy(path: Path) -> Columns:
    return {"": _numpy(path)}


def _npz(path: Path) -> Columns:
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path}: is no whole .npz file. Write it with np.savez(path, x=x, y=y).")
    columns: Columns = _numpy(path)
    if not columns:
        raise UserError(f"{path}: holds no array. Write it with np.savez(path, x=x, y=y).")
    return columns


def _numpy(path: Path) -> Any:
    try:
        found = np.load(path, allow_pickle=False)
        return found if isinstance(found, np.ndarray) else {k: found[k] for k in found.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, PermissionError):
            raise
        pickled = "Object arrays" in str(error)
        what = "holds pickled objects, which could run code" if pickled else "cannot be read"
        raise UserError(f"{path}: {what}. Write plain arrays with np.save or np.savez.") from error


def _torch(path: Path) -> Columns:
    import torch  # seconds to import, for this ending only

    remedy = "Write it with torch.save(x, path), or torch.save({'x': x, 'y': y}, path)."
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for one fault: not a file of tensors
        raise UserError(f"{path}: cannot be read as tensors. {remedy}") from error
    named = found if isinstance(found, Mapping) else {"": found}
    if not named or not all(isinstance(value, torch.Tensor) for value in named.values()):
        raise UserError(f"{path}: holds no tensor, or other things beside. {remedy}")
    return {
        str(name): (v.float() if v.dtype == torch.bfloat16 else v).detach().numpy()
        for name, v in named.items()
    }


def _parquet(path: Path) -> Columns:
    try:
        from pyarrow import ArrowException, parquet  # optional extra "parquet"
    except ImportError:
        raise UserError(
            f'{path}: .parquet needs pyarrow. Run: pip install "goodviews[parquet]"'
        ) from None
    try:
        table = parquet.read_table(path)
    except (ArrowException, OSError) as error:
        raise UserError(f"{path}: cannot be read as parquet. Write it again.") from error
    return {
        name: _arrow(table.column(name), f"{path}: column {name!r}") for name in table.column_names
    }


def _arrow(column: Any, where: str) -> np.ndarray:
    """One column of a parquet table; lists of one length become (n, d)."""
    if column.null_count:
        raise UserError(f"{where} has {column.null_count} missing values. Drop or fill those rows.")
    values = column.to_pylist()
    try:
        return np.asarray(values)
    except ValueError:
        raise UserError(f"{where} holds lists of different lengths. Make them alike.") from None


# --- text -----------------------------------------------------------------------------------------


def _text(path: Path) -> Columns:
    """Columns of a text file; the first line names them unless it looks like the others."""
    try:
        content = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 text. Save it as UTF-8.") from error
    lines = _cells(content, path)
    if not lines:
        raise UserError(f"{path}: holds no row. Give one line an observation.")
    for number, cells in lines:
        if len(cells) != len(lines[0][1]):
            raise UserError(
                f"{path}: line {number} has {len(cells)} cells where line {lines[0][0]} has "
                f"{len(lines[0][1])}. Mend that line."
            )
    titled = _is_header(lines)
    names, rows = _titles(lines[0][1], titled, path), lines[titled:]
    if not rows:
        raise UserError(f"{path}: holds a header and no row. Give one line an observation.")
    numbers = [number for number, _ in rows]
    columns = {
        name: _column([cells[j] for _, cells in rows], numbers, f"{path}: column {name!r}")
        for j, name in enumerate(names)
    }
    if names[0] == _UNNAMED and len(names) > 1 and _counts(columns[_UNNAMED]):
        del columns[_UNNAMED]  # a data frame's index
    return columns


_UNNAMED = "column 0"


def _is_header(lines: list[tuple[int, list[str]]]) -> bool:
    """Whether the first line holds names: some word in it comes nowhere below in its column."""
    words = {j: cell for j, cell in enumerate(lines[0][1]) if _number(cell) is None}
    below = [{cells[j] for _, cells in lines[1:]} for j in words]
    return any(cell not in seen for cell, seen in zip(words.values(), below, strict=True))


def _titles(first: list[str], titled: bool, path: Path) -> list[str]:
    """Names of the columns, all different."""
    if not titled:
        return [str(j) for j in range(len(first))]
    names = [cell or f"column {j}" for j, cell in enumerate(first)]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UserError(f"{path}: two columns are called {twice[0]!r}. Give each its own name.")
    return names


def _cells(content: str, path: Path) -> list[tuple[int, list[str]]]:
    """Line numbers and cells of the lines that hold anything."""
    lines = content.splitlines()
    head = next((line for line in lines if line.strip()), "")
    mark = "\t" if path.suffix.lower() == ".tsv" else ""
    mark = mark or next((mark for mark in (",", ";", "\t") if mark in head), "")
    if mark:
        reader = csv.reader(lines, delimiter=mark)
        found = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    else:
        found = [(i, line.split()) for i, line in enumerate(lines, start=1)]
    return [(number, cells) for number, cells in found if any(cells)]


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "-"})


def _column(cells: list[str], lines: list[int], where: str) -> np.ndarray:
    """Integers, floats or text; an empty cell, or a word among numbers, is a mistake."""
    values = [_number(cell) for cell in cells]
    words = [i for i, value in enumerate(values) if value is None]
    numeric = len(words) <= len(cells) / 2
    for i in words:
        if not cells[i] or (numeric and cells[i].lower() in _MISSING):
            shown = f"is {cells[i]!r}" if cells[i] else "is empty"
            raise UserError(f"{where}, line {lines[i]}, {shown}. Drop or fill such rows first.")
    if words and numeric and len(words) <= max(1, len(cells) / 20):
        raise UserError(
            f"{where}, line {lines[words[0]]}, is {cells[words[0]]!r} where other cells are "
            "numbers. Mend it."
        )
    if words:
        return np.asarray(cells)
    floats = [value for value in values if value is not None]
    whole = all(math.isfinite(v) and v == int(v) for v in floats)
    if whole and not any(mark in cell for cell in cells for mark in ".eE"):
        return np.asarray([int(v) for v in floats])
    return np.asarray(floats)


def _counts(column: np.ndarray) -> bool:
    """Whether a column only numbers the rows."""
    return column.dtype.kind == "i" and bool((np.diff(column) == 1).all())


READERS: dict[str, Callable[[Path], Columns]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".csv": _text,
    ".tsv": _text,
    ".txt": _text,
    ".parquet": _parquet,
    ".pt": _torch,
    ".pth": _torch,
}
"""Ending -> what reads it."""
