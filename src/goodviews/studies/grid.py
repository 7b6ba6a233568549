"""A study is a grid of jobs that become rows: it resumes, and a job that fails is a row too."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from goodviews.files import write_text
from goodviews.interfaces import Row
from goodviews.report.study import read_rows


@dataclass(frozen=True)
class Job:
    """One run to make: a candidate (or baseline) and a seed."""

    candidate: str
    seed: int
    kind: str = "candidate"
    family: str = ""
    dial: str = ""
    value: float | str | None = None
    recipe: dict[str, Any] = field(default_factory=dict, hash=False)

    def row(self) -> Row:
        """The row to be filled in."""
        return Row(
            kind=self.kind,
            candidate=self.candidate,
            seed=self.seed,
            family=self.family,
            dial=self.dial,
            value=self.value,
            recipe=self.recipe,
        )


def _write_rows(path: Path, rows: Sequence[Row]) -> None:
    write_text(path, "".join(json.dumps(row.to_dict()) + "\n" for row in rows))


def run_grid(
    jobs: Sequence[Job],
    measure: Callable[[Job], Row],
    path: Path,
    settings: dict[str, Any],
    echo: Callable[[str], None] = print,
    what: str = "linear",
) -> list[Row]:
    """Make a row of every job that ``path`` does not hold yet, and append it there at once.

    A row counts as made when its candidate, seed, recipe and settings agree and it did not fail;
    failed ones are tried again. An exception in ``measure`` becomes a row with the error; only
    running out of disk and interrupts stop the grid.

    Args:
        jobs: in the order they are to run.
        measure: fills a row; may raise.
        path: of rows.jsonl; its folder exists.
        settings: what every row was made with; kept in each.
        echo: gets one line a job.
        what: name of the accuracy in that line.

    Returns:
        The rows of ``jobs``, in their order.
    """
    groups = [[job] for job in jobs]
    return _run(groups, lambda group: [measure(group[0])], path, settings, echo, what)


def run_groups(
    jobs: Sequence[Job],
    measure: Callable[[Sequence[Job]], list[Row]],
    path: Path,
    settings: dict[str, Any],
    echo: Callable[[str], None] = print,
) -> list[Row]:
    """:func:`run_grid` where all seeds of a candidate are measured together.

    Args:
        jobs: in the order of their candidates.
        measure: jobs of one candidate, those not made yet -> their rows.
        path: of rows.jsonl; its folder exists.
        settings: what every row was made with; kept in each.
        echo: gets one line a job.

    Returns:
        The rows of ``jobs``, candidate by candidate.
    """
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.candidate, []).append(job)
    return _run(list(groups.values()), measure, path, settings, echo)


def _run(
    groups: list[list[Job]],
    measure: Callable[[Sequence[Job]], list[Row]],
    path: Path,
    settings: dict[str, Any],
    echo: Callable[[str], None],
    what: str = "linear",
) -> list[Row]:
    jobs = [job for group in groups for job in group]
    rows, others = _made_before(jobs, path, settings)
    if rows:
        echo(f"resuming: {len(rows)} of {len(jobs)} runs are already in {path}")
    _write_rows(path, [*others, *rows.values()])
    left = [[j for j in group if (j.candidate, j.seed) not in rows] for group in groups]
    todo = [group for group in left if group]
    began, done, total = time.perf_counter(), 0, sum(map(len, todo))
    for group in todo:
        made = _made(group, measure)
        for job, row in zip(group, made, strict=True):
            row.settings = settings
            rows[job.candidate, job.seed] = row
        _write_rows(path, [*others, *rows.values()])
        done += len(group)
        remaining = _remaining((time.perf_counter() - began) / done * (total - done))
        for row in made:
            end = remaining if row is made[-1] else ""
            echo(f"[{len(jobs) - total + done}/{len(jobs)}] {_line(row, what)}{end}")
    return [rows[job.candidate, job.seed] for job in jobs]


def _made_before(
    jobs: Sequence[Job], path: Path, settings: dict[str, Any]
) -> tuple[dict[tuple[str, int], Row], list[Row]]:
    """The rows of ``path`` that count as made, and those of jobs that are not asked for."""
    others: list[Row] = []
    wanted = {(job.candidate, job.seed): job for job in jobs}
    rows: dict[tuple[str, int], Row] = {}
    for row in read_rows(path) if path.exists() else []:
        job = wanted.get((row.candidate, row.seed))
        others += [] if job else [row]
        if job and row.status == "done" and row.settings == settings and row.recipe == job.recipe:
            rows[row.candidate, row.seed] = row
    return rows, others


def _made(group: Sequence[Job], measure: Callable[[Sequence[Job]], list[Row]]) -> list[Row]:
    """The rows of a group; failures are rows too. Seconds are the group's, shared out."""
    began = time.perf_counter()
    try:
        rows = measure(group)
    except Exception as error:
        rows = [job.row() for job in group]
        for row in rows:
            row.status = "failed"
            row.error = f"{type(error).__name__}: {error}".splitlines()[0][:500]
    for row in rows:
        row.seconds = (time.perf_counter() - began) / len(rows)
    return rows


def _line(row: Row, what: str) -> str:
    if row.status == "failed":
        return f"{row.candidate} seed {row.seed}: failed: {row.error}"
    parts = [f"{row.candidate} seed {row.seed}:"]
    if row.curve and row.nats is not None:
        parts.append(f"bound {row.nats:.2f} nats")
    elif row.nats is not None and row.ceiling is not None:
        parts.append(f"I_NCE {row.nats:.2f} of {row.ceiling:.2f} nats")
    if row.linear is not None:
        parts.append(f"{what} {100 * row.linear:.1f} %")
    if row.linear is None and row.rankme is not None:
        parts.append(f"RankMe {row.rankme:.1f}")
    return f"{' '.join(parts)} ({row.seconds or 0:.0f} s)"


def _remaining(seconds: float) -> str:
    if seconds < 1:
        return ""
    return (
        f", about {seconds:.0f} s left" if seconds < 90 else f", about {seconds / 60:.0f} min left"
    )
