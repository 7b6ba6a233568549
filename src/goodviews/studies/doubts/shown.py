"""What most experiments show: the columns of the table, the panels of the page, the answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from goodviews.interfaces import Row
from goodviews.studies.claims import SHOWN, Claim, Reading, value_of
from goodviews.studies.conclude import RAW
from goodviews.studies.doubts.bench import Bench

ACCURACY = {"key": "accuracy", "words": "accuracy %, paper's probe", "unit": "%", "digits": 1}
LINEAR = {"key": "linear", "words": "accuracy %, converged probe", "unit": "%", "digits": 1}
NATS = {"key": "nats", "words": "bound, held out", "unit": "nats", "digits": 2}
NATS_TRAIN = {"key": "nats_train", "words": "bound, training", "unit": "nats", "digits": 2}
RANK = {"key": "rankme", "words": "effective rank", "unit": "", "digits": 1}

COLUMNS = (ACCURACY, LINEAR, NATS, NATS_TRAIN, RANK)
PIXELS = Reading(RAW)


def panels(rows: Sequence[Row], bench: Bench) -> list[dict[str, Any]]:
    """Accuracy and bound over steps, one against the other at the end, and the final accuracy."""
    return [accuracy_panel(rows), bound_panel(bench), scatter(), final_panel(rows)]


def accuracy_panel(rows: Sequence[Row]) -> dict[str, Any]:
    """The paper's probe over steps, with the pixels' line."""
    pixels = [value_of(row, "accuracy") for row in rows if row.candidate == RAW]
    lines = [{"value": value, "words": RAW} for value in pixels if value is not None]
    return {
        "kind": "curve",
        "measure": "accuracy",
        "title": "Downstream accuracy, the paper's probe",
        "unit": "%",
        "also": None,
        "lines": lines,
    }


def bound_panel(bench: Bench, ceiling: bool = True) -> dict[str, Any]:
    """The bound on held-out pairs (dashed: on training batches) over steps."""
    k = bench.budget.batch_size
    lines = [{"value": math.log(k), "words": f"log {k}, ceiling of I_NCE"}] if ceiling else []
    return {
        "kind": "curve",
        "measure": "nats",
        "title": "Bound on I(g1(X1);g2(X2)), held out",
        "unit": "nats",
        "also": "nats_train",
        "lines": lines,
    }


def scatter() -> dict[str, Any]:
    """Accuracy against the bound, each run one point."""
    return {
        "kind": "scatter",
        "x": "nats",
        "y": "accuracy",
        "title": "Accuracy against the bound at the end",
        "x_unit": "nats",
        "unit": "%",
    }


def final_panel(rows: Sequence[Row]) -> dict[str, Any]:
    """The converged probe at the end, with the pixels' line."""
    title = "Accuracy at the end, converged probe"
    lines = [{"value": r.linear, "words": RAW} for r in rows if r.candidate == RAW and r.linear]
    return {"kind": "bars", "measure": "linear", "title": title, "unit": "%", "lines": lines}


def bound_rises(arm: str) -> Claim:
    """That an arm's held-out bound ends above its start, under its own spread."""
    ends = Reading(arm), Reading(arm, "start")
    return Claim(f"{arm}: the bound rises", *ends, "nats", unit="nats", paper="yes", pool=arm)


def mean_of(rows: Sequence[Row], arm: str, measure: str, at: str = "end") -> float | None:
    """Over seeds; None where nothing was measured."""
    values = Reading(arm, at).values(rows, measure)
    return fmean(values) if values else None


def percent(value: float | None) -> str:
    """A fraction in per cent.

    Example:
        >>> percent(0.8543), percent(None)
        ('85.4 %', 'not measured')
    """
    return "not measured" if value is None else f"{100 * value:.1f} %"


def count_shown(claims: Sequence[Mapping[str, Any]]) -> str:
    """How many of the paper's statements are seen.

    Example:
        >>> count_shown([{"verdict": "shown"}, {"verdict": "undecided"}])
        '1 of 2 of the statements looked for are shown.'
    """
    seen = sum(claim["verdict"] == SHOWN for claim in claims)
    return f"{seen} of {len(claims)} of the statements looked for are shown."
