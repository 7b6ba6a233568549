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

    Returns:
        The rows of ``jobs``, in their order.
    """
    wanted = {(job.candidate, job.seed): job for job in jobs}
    rows: dict[tuple[str, int], Row] = {}
    for row in read_rows(path) if path.exists() else []:
        job = wanted.get((row.candidate, row.seed))
        if job and row.status == "done" and row.settings == settings and row.recipe == job.recipe:
            rows[row.candidate, row.seed] = row
    if rows:
        echo(f"resuming: {len(rows)} of {len(jobs)} runs are already in {path}")
    _write_rows(path, list(rows.values()))
    todo = [job for job in jobs if (job.candidate, job.seed) not in rows]
    began = time.perf_counter()
    for done, job in enumerate(todo, start=1):
        row = _made(job, measure)
        row.settings = settings
        rows[job.candidate, job.seed] = row
        _write_rows(path, list(rows.values()))
        left = (time.perf_counter() - began) / done * (len(todo) - done)
        echo(f"[{len(rows)}/{len(jobs)}] {_line(row)}{_remaining(left)}")
    return [rows[job.candidate, job.seed] for job in jobs]


def _made(job: Job, measure: Callable[[Job], Row]) -> Row:
    began = time.perf_counter()
    try:
        row = measure(job)
    except Exception as error:
        row = job.row()
        row.status, row.error = "failed", f"{type(error).__name__}: {error}".splitlines()[0][:500]
    row.seconds = time.perf_counter() - began
    return row


def _line(row: Row) -> str:
    if row.status == "failed":
        return f"{row.candidate} seed {row.seed}: failed: {row.error}"
    parts = [f"{row.candidate} seed {row.seed}:"]
    if row.nats is not None and row.ceiling is not None:
        parts.append(f"I_NCE {row.nats:.2f} of {row.ceiling:.2f} nats")
    if row.linear is not None:
        parts.append(f"linear {100 * row.linear:.1f} %")
    if row.linear is None and row.rankme is not None:
        parts.append(f"RankMe {row.rankme:.1f}")
    return f"{' '.join(parts)} ({row.seconds or 0:.0f} s)"


def _remaining(seconds: float) -> str:
    if seconds < 1:
        return ""
    return (
        f", about {seconds:.0f} s left" if seconds < 90 else f", about {seconds / 60:.0f} min left"
    )
