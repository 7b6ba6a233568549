"""The summary over seeds and the table for the terminal."""

from __future__ import annotations

import math
import statistics
from typing import Any

import pytest

from goodviews.interfaces import Row
from goodviews.regimes import Regime
from goodviews.report import format_table, summarise
from goodviews.report.palette import REGIMES
from goodviews.report.tables import EMPTY, WIDTH, finite


def test_regimes_are_spelt_as_the_rule_spells_them() -> None:
    """Regimes are spelt as the rule spells them."""
    assert tuple(str(regime) for regime in Regime) == REGIMES


def test_mean_and_spread_over_seeds(rows: list[Row]) -> None:
    """Mean and spread over seeds."""
    entry = next(e for e in summarise(rows) if e["candidate"] == "blur=1.0")
    nats = [row.nats for row in rows if row.candidate == "blur=1.0" and row.nats is not None]
    assert entry["n_seeds"] == 3 and entry["seeds"] == [0, 1, 2]
    assert entry["nats"] == pytest.approx(sum(nats) / 3)
    assert entry["nats_sd"] == pytest.approx(statistics.stdev(nats))
    assert entry["ceiling"] == pytest.approx(math.log(256))


def test_rank_follows_accuracy_and_leaves_out_baselines_and_failures(rows: list[Row]) -> None:
    """Rank follows accuracy and leaves out baselines and failures."""
    summary = summarise(rows)
    ranked = sorted((e for e in summary if e["rank"]), key=lambda e: e["rank"])
    accuracies = [e["linear"] for e in ranked]
    assert accuracies == sorted(accuracies, reverse=True)
    assert {e["candidate"] for e in summary if e["rank"] is None} == {
        "raw pixels",
        "untrained network",
        "noise=9",
    }


def test_without_labels_rank_follows_rankme() -> None:
    """Without labels rank follows RankMe."""
    rows = [Row("candidate", name, 0, rankme=x) for name, x in (("a", 3.0), ("b", 5.0))]
    assert [e["rank"] for e in summarise(rows)] == [2, 1]


def test_a_repeated_run_replaces_the_one_that_failed() -> None:
    """A repeated run replaces the one that failed."""
    rows = [
        Row("candidate", "a", 0, status="failed", error="full disk"),
        Row("candidate", "a", 0, linear=0.5),
    ]
    (entry,) = summarise(rows)
    assert (entry["status"], entry["n_seeds"], entry["n_failed"]) == ("done", 1, 0)


def test_some_seeds_failed() -> None:
    """A candidate counts with the seeds that ended well."""
    rows = [
        Row("candidate", "a", 0, linear=0.5, nats=float("nan")),
        Row("candidate", "a", 1, status="failed", error="full disk"),
    ]
    (entry,) = summarise(rows)
    assert (entry["status"], entry["error"], entry["nats"]) == ("partial", "full disk", None)
    assert set(entry) == set(EMPTY)


@pytest.mark.parametrize("labelled", [True, False])
def test_table_is_ascii_and_fits(study: dict[str, Any], labelled: bool) -> None:
    """Table is ascii and fits."""
    summary = [dict(entry) for entry in study["summary"]]
    for entry in summary:
        if not labelled:
            entry["linear"] = None
    summary.append({"candidate": "very-long-name-\N{GREEK SMALL LETTER SIGMA}" * 9, "rank": 99})
    text = format_table(summary)
    lines = text.splitlines()
    assert text.isascii() and max(map(len, lines)) <= WIDTH
    assert "*1" in text and "sweet spot" in text and "raw pixels" in text
    assert lines[-1].startswith("failed: noise=9: RuntimeError")


def test_table_of_nothing() -> None:
    """No rows: a table of headings."""
    assert "candidate" in format_table([])


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), "", "x", [], True])
def test_what_is_no_number_is_none(value: object) -> None:
    """What is no number is none."""
    assert finite(value) is None
