"""Arrays, tensors, data frames and lists -> checked Variables: columns of numbers, or labels.

The rule of :func:`read`: text, booleans and categories are labels; floats are numbers; integers
are labels when they repeat (at most max(10, n / 10) different rows, each twice or more on average),
else numbers. ``discrete`` overrules it. Labels of several columns are the distinct rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from goodviews.estimators.variables import Variable
from goodviews.interfaces import UserError

LEAST_ROWS = 10
"""Fewer pairs than this are refused."""


@dataclass(frozen=True)
class Column:
    """A variable as it was read: its name and columns, for messages."""

    name: str
    """What the user calls it: "x", or a file."""
    variable: Variable
    columns: tuple[str, ...]
    """Names or numbers of the columns that were kept."""
    shape: tuple[int, ...]
    """As it was given."""
    notes: tuple[str, ...] = field(default=())
    """What was done to it, one line each."""

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.variable)

    @property
    def summary(self) -> str:
        """How it was read.

        Example:
            >>> read([0.5, 1.5, 2.5], "x").summary, read(["a", "b", "a"], "y").summary
            ('numbers', '2 labels')
        """
        width = self.variable.width
        text = f"{width} columns of numbers" if width > 1 else "numbers"
        text = f"{self.variable.levels} labels" if self.variable.discrete else text
        if all(name.isdecimal() for name in self.columns):
            return text
        return f"{text} ({', '.join(self.columns[:3])}{', ...' * (len(self.columns) > 3)})"


def read(
    values: Any,
    name: str,
    discrete: bool | None = None,
    columns: tuple[str, ...] | None = None,
) -> Column:
    """Read one variable: rows are observations.

    Args:
        values: NumPy array, torch tensor, data frame or series (anything with ``to_numpy`` or
            ``__array__``), or list; shape (n,) or (n, d).
        name: how messages call it.
        discrete: True: labels; False: numbers; None: by the rule above.
        columns: names of the columns; None: the data frame's own, or their places.

    Raises:
        UserError: what cannot be read: other shapes, complex numbers, dates, missing or infinite
            values (row and column are named), no spread at all.

    Example:
        >>> read([3, 1, 3, 1, 1], "y").variable.levels
        2
        >>> read([0.1, float("nan")], "x")
        Traceback (most recent call last):
        goodviews.interfaces.UserError: x: row 1 is nan (rows count from 0; 1 row is affected). \
Drop or fill such rows first.
    """
    if isinstance(values, Column):
        return values
    array, names = _array(values, name)
    names = columns or names
    shape = array.shape
    array = _two_dimensional(array, name)
    if names is None or len(names) != array.shape[1]:
        names = tuple(str(i) for i in range(array.shape[1]))
    twice = sorted({column for column in names if names.count(column) > 1})
    if twice:
        raise UserError(f"{name}: two columns are called {twice[0]!r}. Give each its own name.")
    array = _plain(array, name, names)
    if _are_labels(array, discrete):
        return Column(name, _labels(array, name), names, shape)
    numbers = _numbers(array, name, names)
    kept, notes = _informative(numbers, name, names)
    return Column(
        name,
        Variable(np.ascontiguousarray(numbers[:, kept])),
        tuple(names[i] for i in kept),
        shape,
        notes,
    )


def check_rows(*columns: Column) -> None:
    """Raise unless all variables have the same number of rows, and enough of them.

    Raises:
        UserError: with the remedy; a transposed array is recognised.

    Example:
        >>> check_rows(read(np.arange(20.0), "x"), read(np.arange(12.0), "y"))
        Traceback (most recent call last):
        goodviews.interfaces.UserError: y: 12 rows, but x has 20. Give one row of y a row of x.
    """
    first = columns[0]
    for other in columns[1:]:
        if len(other) != len(first):
            raise UserError(
                f"{other.name}: {len(other)} rows, but {first.name} has {len(first)}. "
                + _transposed(first, other)
            )
    if len(first) < LEAST_ROWS:
        wide = len(first.shape) == 2 and first.shape[1] >= LEAST_ROWS
        turn = f" Rows are observations: for shape {first.shape} give {first.name}.T." * wide
        raise UserError(
            f"{first.name}: {len(first)} rows. Give at least {LEAST_ROWS} pairs, "
            f"better 500 or more.{turn}"
        )


def _transposed(first: Column, other: Column) -> str:
    for turned, kept in ((other, first), (first, other)):
        if len(turned.shape) == 2 and turned.shape[1] == len(kept):
            return f"Its rows lie along columns: give {turned.name}.T."
    if len(first.shape) == len(other.shape) == 2 and first.shape[1] == other.shape[1] > 3:
        return f"If columns are observations, give {first.name}.T and {other.name}.T."
    return f"Give one row of {other.name} a row of {first.name}."


# --- what was given -> an array of two dimensions -------------------------------------------------


def _array(values: Any, name: str) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """The values as an array, and column names where there are any."""
    if isinstance(values, str | bytes | dict | set) or values is None:
        what = f"{values!r} is a path" if isinstance(values, str) else f"a {type(values).__name__}"
        raise UserError(f"{name}: {what}. Give an array, a tensor, a data frame or a list.")
    columns = getattr(values, "columns", None)
    names = tuple(str(c) for c in columns) if columns is not None else None
    try:
        if hasattr(values, "detach"):  # a torch tensor, wherever it is
            values = values.detach().cpu()
            values = values.float() if "bfloat16" in str(values.dtype) else values
            return values.numpy(), names
        if np.ma.isMaskedArray(values) and np.ma.is_masked(values):
            raise UserError(f"{name}: has masked values. Drop or fill those rows first.")
        if hasattr(values, "toarray"):  # scipy.sparse
            return np.asarray(values.toarray()), names
        if hasattr(values, "to_numpy"):
            return np.asarray(values.to_numpy()), names
        return np.asarray(values), names
    except (ValueError, TypeError, RuntimeError) as error:
        if isinstance(error, UserError):
            raise
        reason = " ".join(str(error).split())[:120]
        raise UserError(
            f"{name}: no array can be made of it ({reason}). "
            "Give rows of equal length, shape (n,) or (n, d)."
        ) from error


def _two_dimensional(array: np.ndarray, name: str) -> np.ndarray:
    if array.ndim == 0:
        raise UserError(f"{name}: a single value. Give one row an observation, (n,) or (n, d).")
    if array.ndim > 2:
        raise UserError(
            f"{name}: shape {array.shape} has {array.ndim} dimensions. Flatten each observation "
            "first: .reshape(len(array), -1)."
        )
    if array.size == 0:
        raise UserError(f"{name}: is empty, shape {array.shape}. Give at least {LEAST_ROWS} rows.")
    return array[:, None] if array.ndim == 1 else array


_REMEDIES = {
    "c": "complex numbers. Give real and imaginary parts as two columns",
    "m": "time spans. Give numbers, for example .astype('int64')",
    "M": "dates. Give numbers, for example .astype('int64')",
    "V": "records. Give their fields as columns of one array",
}


def _plain(array: np.ndarray, name: str, names: tuple[str, ...]) -> np.ndarray:
    """The array with a type of bool, number or text."""
    if array.dtype.kind in _REMEDIES:
        raise UserError(f"{name}: holds {_REMEDIES[array.dtype.kind]}.")
    if array.dtype.kind != "O":
        return array
    kinds = [_kind(array[:, j], name, column) for j, column in enumerate(names)]
    if len(set(kinds)) > 1 and "text" in kinds:
        j = kinds.index("text")
        raise UserError(
            f"{name}: column {names[j]!r} holds text beside columns of numbers. "
            "Give text alone as labels, or turn it into numbers."
        )
    if kinds[0] == "text":
        return array.astype(str)
    dtype = {"bool": np.bool_, "integer": np.int64}.get(max(kinds, key=_ORDER.index), np.float64)
    return np.asarray(array.tolist(), dtype=dtype)


_ORDER = ("bool", "integer", "number")


def _kind(column: np.ndarray, name: str, title: str) -> str:
    """What an object column holds: "text", "bool", "integer" or "number"."""
    found, missing = set(), []
    for row, value in enumerate(column.tolist()):
        if value is None or value != value or type(value).__name__ == "NAType":
            missing.append(row)
            continue
        if isinstance(value, bool | np.bool_):
            found.add("bool")
        elif isinstance(value, int | np.integer):
            found.add("integer")
        elif isinstance(value, float | np.floating):
            found.add("number")
        elif isinstance(value, str | bytes):
            found.add("text")
        else:
            raise UserError(
                f"{name}: row {row}, column {title!r} holds a {type(value).__name__}. "
                "Give numbers, or text as labels."
            )
    if missing:
        raise UserError(f"{name}: row {missing[0]}, column {title!r} is missing. Drop or fill it.")
    if "text" in found and len(found) > 1:
        raise UserError(f"{name}: column {title!r} mixes text and numbers. Give one of them.")
    return "text" if "text" in found else max(found, key=_ORDER.index)


# --- labels or numbers ----------------------------------------------------------------------------


def _are_labels(array: np.ndarray, discrete: bool | None) -> bool:
    """The rule at the top of this file."""
    if discrete is not None:
        return discrete
    if array.dtype.kind in "US":
        return True
    if array.dtype.kind not in "bui":
        return False
    n = len(array)
    levels = len(distinct_rows(array)[0])
    return levels <= 2 or (levels <= max(10, n / 10) and levels <= n / 2)


def distinct_rows(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First places of the distinct rows, in their order, and for each row which one it is."""
    if array.shape[1] == 1:
        _, first, codes = np.unique(array[:, 0], return_index=True, return_inverse=True)
        return first, codes
    rows = np.ascontiguousarray(array + 0 if array.dtype.kind == "f" else array)  # -0.0 is 0.0
    view = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1])))[:, 0]
    _, first, codes = np.unique(view, return_index=True, return_inverse=True)
    return first, codes


def _labels(array: np.ndarray, name: str) -> Variable:
    if array.dtype.kind == "f":
        _refuse_missing(array, name, tuple(str(j) for j in range(array.shape[1])))
    first, codes = distinct_rows(array)
    levels, n = len(first), len(array)
    if levels == 1:
        raise UserError(f"{name}: one label only ({array[0, 0]}). It can share nothing.")
    if levels == n and n > 2:
        text = array.dtype.kind in "US" and _is_number(str(array[0, 0]))
        raise UserError(
            f"{name}: all {n} labels are different, like names of rows. "
            + ("Numbers as text? Give .astype(float)." if text else "Give labels that repeat.")
        )
    return Variable(codes.reshape(-1, 1).astype(np.float64), levels)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbers(array: np.ndarray, name: str, names: tuple[str, ...]) -> np.ndarray:
    if array.dtype.kind in "US":
        for row, line in enumerate(array.tolist()):
            for j, text in enumerate(line):
                if not _is_number(text):
                    where = f"row {row}" + f", column {names[j]!r}" * (len(names) > 1)
                    raise UserError(
                        f"{name}: {where} is {text!r}, where numbers are needed. "
                        "Mend it, or read the variable as labels."
                    )
    numbers = array.astype(np.float64)
    _refuse_missing(numbers, name, names)
    return numbers


def _refuse_missing(numbers: np.ndarray, name: str, names: tuple[str, ...]) -> None:
    """Raise if a value is not finite; names the first one."""
    bad = ~np.isfinite(numbers)
    if not bad.any():
        return
    row, j = (int(i) for i in np.argwhere(bad)[0])
    where = f"row {row}" + f", column {names[j]!r}" * (len(names) > 1)
    count = int(bad.any(axis=1).sum())
    rows = "1 row is" if count == 1 else f"{count} rows are"
    raise UserError(
        f"{name}: {where} is {numbers[row, j]} (rows count from 0; {rows} affected). "
        "Drop or fill such rows first."
    )


def _informative(
    numbers: np.ndarray, name: str, names: tuple[str, ...]
) -> tuple[list[int], tuple[str, ...]]:
    """Columns with spread, each once: leaving out constants and copies changes no information."""
    flat = [j for j in range(numbers.shape[1]) if (numbers[:, j] == numbers[0, j]).all()]
    if len(flat) == numbers.shape[1] and len(numbers) > 1:
        which = f"column {names[0]!r} is" if len(flat) == 1 else f"all {len(flat)} columns are"
        value = f" ({numbers[0, 0]:g})" if len(flat) == 1 else ""
        raise UserError(f"{name}: {which} constant{value}. It can share nothing.")
    seen: dict[bytes, int] = {}
    for j in range(numbers.shape[1]):
        if j not in flat:
            seen.setdefault(numbers[:, j].tobytes(), j)
    kept = sorted(seen.values()) if len(numbers) > 1 else list(range(numbers.shape[1]))
    copies = [j for j in range(numbers.shape[1]) if j not in flat and j not in kept]
    notes = []
    for what, places in (("constant", flat), ("copies of others", copies)):
        if places and len(numbers) > 1:
            listed = ", ".join(names[j] for j in places[:3]) + ", ..." * (len(places) > 3)
            notes.append(
                f"{name}: left out {len(places)} of {len(names)} columns that are {what} ({listed})"
            )
    return kept, tuple(notes)
