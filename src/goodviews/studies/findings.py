"""How a study of arms and claims ends: its record, its table, its page, what it prints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goodviews import report
from goodviews.interfaces import Row, UserError
from goodviews.studies.folder import write_json


@dataclass
class Findings:
    """What an experiment returns."""

    rows: list[Row]
    record: dict[str, Any]
    """What study.json holds: answer, claims, arms."""
    out: Path


def closed(
    rows: list[Row], record: dict[str, Any], folder: Path, echo: Callable[[str], None]
) -> Findings:
    """Write study.json, table.md and the page, and say what was found and where it is.

    Args:
        rows: every run, baselines and failures included.
        record: what study.json is to hold; see :mod:`goodviews.report.experiment`.
        folder: the study's.
        echo: gets the lines.

    Raises:
        UserError: when no arm could be measured.
    """
    write_json(folder / "study.json", record)
    page = report.experiment_page(folder)
    for line in ("", report.experiment_table(record, rows), "", record["answer"]):
        echo(line)
    for claim in record["claims"]:
        echo(f"- {report.shown_line(claim)}")
    runs = [row for row in rows if row.kind == "candidate"]
    if all(row.status == "failed" for row in runs):
        raise UserError(f"study: no arm could be measured: {runs[0].error}")
    echo(f"table: {folder / 'table.md'}")
    echo(f"page:  {page}")
    return Findings(rows, record, folder)
