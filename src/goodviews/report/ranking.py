"""The ranked table of a study's page: its columns, and its lines ready for the template."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from goodviews.report import tables
from goodviews.report.figures import families_of
from goodviews.report.palette import Style, styles
from goodviews.report.tables import WORDS, Summary, TaskWords, finite, number, percent, spread

SYMBOLS = {
    "circle": "M6 1a5 5 0 1 0 .01 0z",
    "square": "M1.5 1.5h9v9h-9z",
    "diamond": "M6 .5 11.5 6 6 11.5 .5 6z",
    "triangle-up": "M6 1.2 11.3 10.5H.7z",
    "pentagon": "M6 .8 11.4 4.8 9.3 11H2.7L.6 4.8z",
    "triangle-down": "M6 10.8 .7 1.5h10.6z",
    "hexagon": "M6 .5 10.8 3.2v5.6L6 11.5 1.2 8.8V3.2z",
}
"""Plotly's marker symbols as paths of 12 x 12 pixels, for the table."""


class Column(NamedTuple):
    """One column of the ranked table: key, heading, unit, what it means, text of an entry."""

    key: str
    title: str
    unit: str
    help: str
    text: Callable[[Summary], str]
    words: bool = False
    """Whether it sorts by name, not by number."""


class Cell(NamedTuple):
    """What is shown and what is sorted by (empty: always last)."""

    text: str
    sort: str


def mean_text(key: str, digits: int) -> Callable[[Summary], str]:
    """What writes a measure's mean and deviation over seeds.

    Example:
        >>> mean_text("nats", 2)({"nats": 1.0, "nats_sd": None})
        '1.00'
    """

    def words(entry: Summary) -> str:
        return spread(number(entry[key], digits), number(entry[f"{key}_sd"], digits))

    return words


def accuracy_text(key: str) -> Callable[[Summary], str]:
    """What writes an accuracy's mean and deviation over seeds, in percent.

    Example:
        >>> accuracy_text("knn")({"knn": 0.5, "knn_sd": None})
        '50.0'
    """

    def words(entry: Summary) -> str:
        return spread(percent(entry[key]), percent(entry[f"{key}_sd"]))

    return words


def seeds_text(entry: Summary) -> str:
    """How many seeds ended well, and how many did not.

    Example:
        >>> seeds_text({"n_seeds": 2, "n_failed": 1})
        '2 (1 failed)'
    """
    failed = entry["n_failed"]
    return f"{entry['n_seeds']}" + (f" ({failed} failed)" if failed else "")


def value_text(entry: Summary) -> str:
    """The dial's value.

    Example:
        >>> value_text({"value": 0.50})
        '0.5'
    """
    known = finite(entry["value"])
    return f"{known:g}" if known is not None else str(entry["value"] or "")


COLUMNS = (
    Column("rank", "Rank", "", "Order by what the task keeps.", lambda e: str(e["rank"] or "")),
    Column("candidate", "Candidate", "", "The view.", lambda e: str(e["candidate"]), True),
    Column(
        "regime",
        "Regime",
        "",
        "Where the view stands, by the written rule below.",
        lambda e: str(e["regime"] or ""),
        True,
    ),
    Column(
        "nats",
        "I(v1;v2)",
        "nats",
        "Held-out I_NCE: a lower bound on what two views share; mean and deviation over seeds.",
        mean_text("nats", 2),
    ),
    Column(
        "share",
        "of log K",
        "%",
        "Near 100 % the bound is saturated and the true value may be larger.",
        lambda e: percent(e["share"], 0),
    ),
    Column(
        "linear", "Linear probe", "%", "Held-out accuracy, all labels.", accuracy_text("linear")
    ),
    Column(
        "linear_few",
        "Few labels",
        "%",
        "Linear probe on a few labelled images a class.",
        accuracy_text("linear_few"),
    ),
    Column("knn", "kNN", "%", "Held-out nearest-neighbour accuracy.", accuracy_text("knn")),
    Column(
        "label_nats",
        "I(z;y) \N{GREATER-THAN OR EQUAL TO}",
        "nats",
        "H(y) minus the linear probe's held-out cross-entropy: a lower bound.",
        mean_text("label_nats", 2),
    ),
    Column("nats_train", "I train", "nats", "I_NCE on training pairs.", mean_text("nats_train", 2)),
    Column(
        "null", "Null", "nats", "I_NCE on shuffled pairs: no information.", mean_text("null", 2)
    ),
    Column(
        "true_nats",
        "I exact",
        "nats",
        "Known exactly for these data.",
        lambda e: number(e["true_nats"]),
    ),
    Column("rankme", "RankMe", "", "Effective rank of the representation.", mean_text("rankme", 1)),
    Column(
        "alignment",
        "Alignment",
        "",
        "Mean squared distance of a pair's representations; lower is closer.",
        lambda e: number(e["alignment"], 3),
    ),
    Column(
        "uniformity",
        "Uniformity",
        "",
        "How evenly representations spread; lower is more even.",
        lambda e: number(e["uniformity"], 2),
    ),
    Column("family", "Family", "", "The kind of view.", lambda e: str(e["family"]), True),
    Column("value", "Dial", "", "The dial's value.", value_text),
    Column("n_seeds", "Seeds", "", "Runs that ended well.", seeds_text),
    Column("status", "Status", "", "Failed runs say why.", lambda e: str(e["status"]), True),
)
_ALWAYS = {"rank", "candidate", "regime", "nats", "family", "value", "n_seeds", "status"}


def table_view(summary: Sequence[Summary], words: TaskWords = WORDS) -> dict[str, Any]:
    """The ranked table ready for the template: columns that say something, three bodies of lines.

    Example:
        >>> view = table_view(tables.complete([{"candidate": "a", "rank": 1, "linear": 0.5}]))
        >>> [cell.text for cell in view["candidates"][0]["cells"]][:2]
        ['1', 'a']
    """
    for entry in summary:
        entry["share"] = tables.of_ceiling(entry)
    columns = [_worded(c, words) for c in COLUMNS]
    shown = [c for c in columns if c.key in _ALWAYS or any(c.text(e) for e in summary)]
    looks = styles(families_of(summary))
    failed = [e for e in tables.ranked(summary) if e["status"] == "failed"]
    good = [e for e in tables.ranked(summary) if e["status"] != "failed"]

    def lines(entries: Iterable[Summary]) -> list[dict[str, Any]]:
        return [_line_of(entry, shown, looks) for entry in entries]

    return {
        "columns": shown,
        "baselines": lines(tables.baselines(summary)),
        "candidates": lines([*good, *failed]),
        "any_failed": bool(failed),
    }


def _worded(column: Column, words: TaskWords) -> Column:
    """The column of the probe under the name that the study's task has."""
    if column.key != "linear" or words == WORDS:
        return column
    return column._replace(title=words.probe, help=f"{words.title}, on {words.held}.")


def _line_of(
    entry: Summary, columns: Iterable[Column], looks: Mapping[str, Style]
) -> dict[str, Any]:
    look = looks.get(entry["family"] or entry["candidate"], Style("var(--muted)", "circle", ""))
    return {
        "entry": entry,
        "cells": [_cell(entry, column) for column in columns],
        "color": look.color,
        "shape": SYMBOLS[look.symbol],
    }


def _cell(entry: Summary, column: Column) -> Cell:
    raw = entry[column.key]
    known = finite(raw)
    sort = str(raw or "") if column.words or known is None else repr(known)
    return Cell(column.text(entry), sort)
