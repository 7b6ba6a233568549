"""Two variables (and perhaps a given third) from files: ``goodviews estimate x.npy y.npy``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from goodviews.estimators.inputs import Column, check_rows, read
from goodviews.interfaces import UserError
from goodviews.studies.tables import Table, read_table

Labels = Literal["auto", "x", "y", "both", "none"]

_DISCRETE: dict[str, tuple[bool | None, bool | None]] = {
    "auto": (None, None),
    "x": (True, None),
    "y": (None, True),
    "both": (True, True),
    "none": (False, False),
}


def columns_of_files(
    first: str,
    second: str | None = None,
    *,
    x: list[str] | None = None,
    y: list[str] | None = None,
    given: list[str] | None = None,
    labels: Labels = "auto",
) -> list[Column]:
    """The variables x, y and perhaps a given third, from one table or from a file each.

    Args:
        first: the file of x, or a table that holds x and y.
        second: the file of y; None: x and y are columns of the first.
        x: columns of the first file; None: "x", or all where there are two files.
        y: columns of the second file, or of the only one; None: "y", or all of the second file.
        given: columns of the only table, or one file.
        labels: which of them to read as labels.

    Raises:
        UserError: files or columns that are not there, the same file or column twice, and what
            :func:`goodviews.estimators.inputs.read` refuses.
    """
    tables = _one_table(first, x, y) if second is None else _two_tables(first, second, x, y)
    named = dict(zip("xy", tables, strict=True))
    if given:
        named["given"] = _given(given, tables[0] if second is None else None, first)
    flags = dict(zip("xy", _DISCRETE[labels], strict=True))
    columns = [_column(table, name, flags.get(name)) for name, table in named.items()]
    check_rows(*columns)
    return columns


def _one_table(path: str, x: list[str] | None, y: list[str] | None) -> tuple[Table, Table]:
    table = read_table(path)
    names = list(table.columns)
    if names == [""]:
        raise UserError(f"{path}: is one array. Give the file of y too, or a table with --x, --y.")
    if x is None and y is None and not {"x", "y"} <= set(names) and len(names) == 2:
        x, y = [names[0]], [names[1]]
    for flag, chosen in (("x", x), ("y", y)):
        if chosen is None and flag not in names:
            listed = ", ".join(names[:12]) + ", ..." * (len(names) > 12)
            raise UserError(f"--{flag}: which columns of {path}? There are: {listed}.")
    parts = table.select(x or ["x"], "--x"), table.select(y or ["y"], "--y")
    both = [name for name in parts[0].columns if name in parts[1].columns]
    if both:
        raise UserError(f"--y: column {both[0]!r} is in --x too. Name each column once.")
    return parts


def _two_tables(
    first: str, second: str, x: list[str] | None, y: list[str] | None
) -> tuple[Table, Table]:
    if Path(first).exists() and Path(second).exists() and Path(first).samefile(second):
        raise UserError(f"{second}: the same file twice. Give the file of y, or use --x and --y.")
    return _part(first, x, "x"), _part(second, y, "y")


def _part(path: str, names: list[str] | None, name: str) -> Table:
    """One variable of a file of its own: the columns named, the array called x (y), or all."""
    table = read_table(path)
    if names is None and name in table.columns and path.endswith((".npz", ".pt", ".pth")):
        names = [name]
    return table if names is None else table.select(names, f"--{name}")


def _given(names: list[str], table: Table | None, path: str) -> Table:
    """Columns of the only table, else a file."""
    if len(names) == 1 and Path(names[0]).is_file():
        return read_table(names[0])
    if table is None:
        if len(names) == 1:
            return read_table(names[0])
        raise UserError(f"--given: {','.join(names)}. With two files, give one file here.")
    return read_table(path).select(names, "--given")


def _column(table: Table, name: str, discrete: bool | None) -> Column:
    values, columns = table.values()
    return replace(read(values, f"{name} ({table.path.name})", discrete, columns), name=name)
