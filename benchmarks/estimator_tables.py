"""Tables of the rows that `benchmarks/estimators.py` writes: accuracy, coverage, seconds."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]
SUMMARY = (
    "method",
    "group",
    "n",
    "tasks",
    "rows",
    "failed",
    "MAE",
    "MAE -waves",
    "RMSE",
    "median",
) + ("max", "max -waves", "bias", "95 % covers", "median s", "max s", "median CPU s")


def read_rows(paths: Sequence[Path]) -> list[Row]:
    """Rows of all files; of two for the same measurement the later counts."""
    found: dict[tuple[Any, ...], Row] = {}
    for path in paths:
        for line in path.read_text().splitlines():
            row = json.loads(line)
            key = ("task", "method", "n", "seed", "shuffled")
            found[tuple(row[name] for name in key)] = row
    return list(found.values())


def error(row: Row) -> float:
    """Estimate minus truth, nats."""
    return float(row["estimate"] - row["truth"])


def number(values: Sequence[float], how: Callable[[Sequence[float]], float], digits: int) -> str:
    return f"{how(values):.{digits}f}" if values else ""


def rms(values: Sequence[float]) -> float:
    return statistics.fmean(v * v for v in values) ** 0.5


def covers(rows: Sequence[Row]) -> str:
    """How often the 95 % interval holds the truth, among rows that have one."""
    held = [r["interval"][0] <= r["truth"] <= r["interval"][1] for r in rows if r["interval"]]
    return f"{100 * statistics.fmean(held):.0f} %" if held else ""


def summary(method: str, group: str, n: int, rows: Sequence[Row]) -> list[str]:
    """One line: failures count in `failed` and nowhere else."""
    good = [r for r in rows if r["error"] is None]
    errors = [error(r) for r in good]
    sizes = [abs(e) for e in errors]
    tame = [abs(error(r)) for r in good if "waves" not in r["task"]]
    seconds = [r["seconds"] for r in good]
    failed = len(rows) - len(good)
    return [
        *(method, group, str(n), str(len({r["task"] for r in rows})), str(len(rows)), str(failed)),
        number(sizes, statistics.fmean, 3),
        number(tame, statistics.fmean, 3),
        number(errors, rms, 3),
        number(sizes, statistics.median, 3),
        number(sizes, max, 3),
        number(tame, max, 3),
        number(errors, statistics.fmean, 3),
        covers(good),
        number(seconds, statistics.median, 1),
        number(seconds, max, 1),
        number([r["cpu_seconds"] for r in good if "cpu_seconds" in r], statistics.median, 1),
    ]


def oracle_rows(rows: Sequence[Row]) -> list[Row]:
    """What the exact log-ratio reads on the very same rows: no estimator can know better."""
    once = {(r["task"], r["n"], r["seed"]): r for r in rows if r.get("oracle") is not None}
    shown = {"method": "(exact ratio)", "error": None, "interval": None, "seconds": 0.0}
    return [{**r, **shown, "estimate": r["oracle"]} for r in once.values()]


def by_group(rows: Sequence[Row]) -> list[list[str]]:
    """A line for each group, size and method, the most accurate first."""
    cells: dict[tuple[str, int], dict[str, list[Row]]] = {}
    for row in [*rows, *oracle_rows(rows)]:
        group = row["group"] + (" shuffled" if row["shuffled"] else "")
        cells.setdefault((group, row["n"]), {}).setdefault(row["method"], []).append(row)
    lines = []
    for (group, n), methods in sorted(cells.items()):
        cell = [summary(method, group, n, found) for method, found in methods.items()]
        lines += sorted(cell, key=lambda line: float(line[6] or "inf"))
    return lines


def by_task(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Signed error of each method on each task, the mean over seeds; a line a task and size."""
    methods = list(dict.fromkeys(r["method"] for r in rows))
    cells: dict[tuple[Any, ...], dict[str, list[Row]]] = {}
    for row in rows:
        key = (row["group"], row["task"], row["n"], row["shuffled"], row["truth"])
        cells.setdefault(key, {}).setdefault(row["method"], []).append(row)
    lines = []
    for (group, task, n, shuffled, truth), found in sorted(cells.items()):
        name = f"{task} shuffled" if shuffled else task
        line = [group, name, str(n), f"{truth + 0.0:.3f}"]
        lines.append(line + [cell(found.get(method, [])) for method in methods])
    return ["group", "task", "n", "truth", *methods], lines


def cell(rows: Sequence[Row]) -> str:
    """The mean error with its sign, or why there is none."""
    good = [error(r) for r in rows if r["error"] is None]
    return f"{statistics.fmean(good):+.3f}" if good else "failed" if rows else ""


def table(header: Sequence[str], lines: Sequence[Sequence[str]], markdown: bool) -> str:
    """Aligned columns, as text or Markdown."""
    widths = [max(len(str(v)) for v in column) for column in zip(header, *lines, strict=True)]
    edge, between = ("| ", " | ") if markdown else ("", "  ")
    text = [
        edge + between.join(v.ljust(w) for v, w in zip(line, widths, strict=True)) + edge[::-1]
        for line in [header, *lines]
    ]
    text[1:1] = [edge + between.join("-" * w for w in widths) + edge[::-1]]
    return "\n".join(line.rstrip() for line in text)


def report(rows: Sequence[Row], markdown: bool = False) -> str:
    """Accuracy by group and method, errors by task, failures by their text."""
    failures = [
        [r["method"], r["task"], str(r["n"]), str(r["seed"]), str(r["error"])[:100]]
        for r in rows
        if r["error"] is not None
    ]
    parts = [
        "Errors are estimate minus truth, in nats. MAE, RMSE, median and max leave failures out.",
        table(SUMMARY, by_group(rows), markdown),
        table(*by_task(rows), markdown),
    ]
    if failures:
        parts.append(table(["method", "task", "n", "seed", "failed"], failures, markdown))
    return "\n\n".join(parts)
