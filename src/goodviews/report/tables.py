"""From rows to a summary, one entry a candidate, and from a summary to a table for the terminal."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from goodviews.interfaces import Row

Summary = dict[str, Any]
"""One candidate over its seeds; the keys are those of :data:`EMPTY`."""

MEASURES = (
    "nats",
    "nats_stderr",
    "nats_train",
    "null",
    "true_nats",
    "linear",
    "linear_few",
    "mlp",
    "knn",
    "label_nats",
    "rankme",
    "alignment",
    "uniformity",
    "seconds",
)
"""The fields of a row that are averaged; each gets a ``_sd`` beside it."""

EMPTY: Summary = {
    "kind": "candidate",
    "candidate": "",
    "family": "",
    "dial": "",
    "value": None,
    "n_seeds": 0,
    "n_failed": 0,
    "seeds": [],
    **{name: None for measure in MEASURES for name in (measure, f"{measure}_sd")},
    "K": None,
    "ceiling": None,
    "regime": None,
    "rank": None,
    "recommended": False,
    "status": "done",
    "error": "",
}
"""What an entry holds before anything is known."""

WIDTH = 100


@dataclass(frozen=True)
class TaskWords:
    """What the field ``linear`` of a study's rows is called, and on what it was measured."""

    probe: str = "linear probe"
    short: str = "linear"
    """Head of its column in the terminal."""
    title: str = "linear probe, held-out accuracy"
    reach: str = "a linear probe on its encoder reaches"
    held: str = "held-out images"
    raw: str = "raw pixels"
    """The baseline that learned nothing."""

    @classmethod
    def of(cls, study: Mapping[str, Any]) -> TaskWords:
        """The words of a study's record, the usual ones where it has none.

        Example:
            >>> TaskWords.of({"words": {"probe": "link AUC"}}).probe, TaskWords.of({}).raw
            ('link AUC', 'raw pixels')
        """
        own = study.get("words") or {}
        return cls(**{f.name: own[f.name] for f in fields(cls) if f.name in own})


WORDS = TaskWords()


def finite(value: object) -> float | None:
    """The value as a float, or ``None`` when it is missing, not a number, NaN or infinite.

    Example:
        >>> finite("0.5"), finite(float("nan")), finite(None)
        (0.5, None, None)
    """
    if not isinstance(value, int | float | str) or isinstance(value, bool):
        return None
    try:
        known = float(value)
    except ValueError:
        return None
    return known if math.isfinite(known) else None


def number(value: object, digits: int = 2, empty: str = "") -> str:
    """The value with so many digits after the point.

    Example:
        >>> number(1.234), number(None, empty="-")
        ('1.23', '-')
    """
    known = finite(value)
    return empty if known is None else f"{known:.{digits}f}"


def percent(value: object, digits: int = 1, empty: str = "") -> str:
    """A fraction as a percentage, without the sign.

    Example:
        >>> percent(0.7134)
        '71.3'
    """
    known = finite(value)
    return empty if known is None else f"{100 * known:.{digits}f}"


def spread(mean: str, deviation: str, sign: str = "\N{PLUS-MINUS SIGN}") -> str:
    """Mean and standard deviation in one text; the mean alone when there is no deviation.

    Example:
        >>> spread("71.3", "0.4", sign="+-"), spread("71.3", "")
        ('71.3+-0.4', '71.3')
    """
    return f"{mean}{sign}{deviation}" if mean and deviation else mean


def of_ceiling(entry: Mapping[str, Any]) -> float | None:
    """The share of the ceiling log K that the held-out I_NCE reaches.

    Example:
        >>> of_ceiling({"nats": 1.0, "ceiling": 4.0})
        0.25
    """
    nats, ceiling = finite(entry.get("nats")), ceiling_of(entry)
    return None if nats is None or not ceiling else nats / ceiling


def ceiling_of(entry: Mapping[str, Any]) -> float | None:
    """Log K of one summary entry, in nats.

    Example:
        >>> round(ceiling_of({"K": 256}), 3)
        5.545
    """
    known, candidates = finite(entry.get("ceiling")), finite(entry.get("K"))
    if known is not None or candidates is None or candidates < 1:
        return known
    return math.log(candidates)


def complete(summary: Iterable[Mapping[str, Any]]) -> list[Summary]:
    """The entries with every key of :data:`EMPTY` present, so that a reader need not ask.

    Example:
        >>> complete([{"candidate": "a", "K": 2}])[0]["regime"] is None
        True
    """
    entries = [{**EMPTY, **entry} for entry in summary]
    for entry in entries:
        entry["kind"] = entry["kind"] or "candidate"
        entry["ceiling"] = ceiling_of(entry)
    return entries


def is_labelled(summary: Iterable[Mapping[str, Any]]) -> bool:
    """Whether any entry has a linear-probe accuracy.

    Example:
        >>> is_labelled([{"linear": None}])
        False
    """
    return any(finite(entry.get("linear")) is not None for entry in summary)


def summarise(rows: Iterable[Row]) -> list[Summary]:
    """Mean and standard deviation over seeds of every candidate, ranked.

    The deviation is the sample's (n - 1), ``None`` for one seed. Of two rows with the same
    candidate and seed the later counts (a run that was repeated). The rank goes by linear-probe
    accuracy, or by RankMe where no row has labels; baselines and failures have none. The
    ``regime`` is left for the caller, who knows the rule.

    Args:
        rows: The rows of a study, baselines included.

    Returns:
        One dict a candidate, in order of appearance, with the keys of :data:`EMPTY`.

    Example:
        >>> rows = [Row("candidate", "a", seed, linear=x) for seed, x in enumerate([0.5, 0.7])]
        >>> entry = summarise(rows)[0]
        >>> entry["n_seeds"], round(entry["linear"], 3), round(entry["linear_sd"], 3), entry["rank"]
        (2, 0.6, 0.141, 1)
    """
    latest = {(row.kind, row.candidate, row.seed): row for row in rows}
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in latest.values():
        groups.setdefault((row.kind, row.candidate), []).append(row)
    summary = [_entry(group) for group in groups.values()]
    key = "linear" if is_labelled(summary) else "rankme"
    ranked = [e for e in summary if e["kind"] == "candidate" and e[key] is not None]
    for rank, entry in enumerate(sorted(ranked, key=lambda e: -e[key]), start=1):
        entry["rank"] = rank
    return summary


def _entry(rows: Sequence[Row]) -> Summary:
    first, done = rows[0], [row for row in rows if row.status == "done"]
    failed = [row for row in rows if row.status == "failed"]
    entry: Summary = {
        **EMPTY,
        "kind": first.kind,
        "candidate": first.candidate,
        "family": first.family,
        "dial": first.dial,
        "value": first.value,
        "n_seeds": len(done),
        "n_failed": len(failed),
        "seeds": sorted(row.seed for row in done),
        "K": next((row.candidates for row in done if row.candidates), None),
        "status": "done" if not failed else "partial" if done else "failed",
        "error": failed[0].error if failed else "",
    }
    for measure in MEASURES:
        values = [v for row in done if (v := finite(getattr(row, measure))) is not None]
        entry[measure] = statistics.fmean(values) if values else None
        entry[f"{measure}_sd"] = statistics.stdev(values) if len(values) > 1 else None
    entry["ceiling"] = ceiling_of(entry)
    return entry


def ranked(summary: Iterable[Mapping[str, Any]]) -> list[Summary]:
    """The candidates, best rank first, those without a rank last; no baselines.

    Example:
        >>> [e["candidate"] for e in ranked([{"candidate": "a"}, {"candidate": "b", "rank": 1}])]
        ['b', 'a']
    """
    entries = [entry for entry in complete(summary) if entry["kind"] != "baseline"]
    return sorted(entries, key=lambda e: math.inf if e["rank"] is None else e["rank"])


def baselines(summary: Iterable[Mapping[str, Any]]) -> list[Summary]:
    """The rows every probe is held against: raw pixels, untrained network.

    Example:
        >>> [e["candidate"] for e in baselines([{"candidate": "raw pixels", "kind": "baseline"}])]
        ['raw pixels']
    """
    return [entry for entry in complete(summary) if entry["kind"] == "baseline"]


def format_table(summary: Iterable[Mapping[str, Any]], words: TaskWords = WORDS) -> str:
    """The ranked table as plain ASCII, at most 100 columns wide.

    Information in nats (held-out I_NCE, its share of log K), accuracies in percent, each with its
    standard deviation over seeds. The recommended candidate is starred; baselines come below,
    then what failed.

    Args:
        summary: The entries of :func:`summarise`, with or without regimes.
        words: What the accuracies are called.

    Example:
        >>> print(format_table([{"candidate": "a", "rank": 1, "nats": 2.0, "linear": 0.5, "K": 9}]))
         #  candidate       I_NCE nats  %logK  linear %  few %  kNN %  seeds  regime
         1  a                     2.00     91      50.0                    0
    """
    entries = complete(summary)
    failed = [entry for entry in ranked(entries) if entry["status"] == "failed"]
    shown = [entry for entry in ranked(entries) if entry["status"] != "failed"]
    header, cells = _cells(is_labelled(entries), words)
    body = [cells(entry) for entry in shown]
    foot = [cells(entry) for entry in baselines(entries)]
    widths = [max(len(line[i]) for line in [header, *body, *foot]) for i in range(len(header))]
    widths[0] = max(2, widths[0])
    widths[1] = max(14, min(widths[1], WIDTH - sum(widths) + widths[1] - 2 * (len(header) - 1)))
    lines = [_line(header, widths), *(_line(row, widths) for row in body)]
    if foot:
        lines += ["-" * min(WIDTH, len(lines[0])), *(_line(row, widths) for row in foot)]
    lines += [_fit(f"failed: {e['candidate']}: {e['error']}", WIDTH) for e in failed]
    return "\n".join(lines)


def _cells(labelled: bool, words: TaskWords) -> tuple[list[str], Any]:
    task = [f"{words.short} %", "few %", "kNN %"] if labelled else ["RankMe", "align", "uniform"]
    header = ["#", "candidate", "I_NCE nats", "%logK", *task, "seeds", "regime"]

    def cells(entry: Summary) -> list[str]:
        accuracy = spread(percent(entry["linear"]), percent(entry["linear_sd"]), "+-")
        few, knn = percent(entry["linear_few"]), percent(entry["knn"])
        free = [number(entry[name], 2) for name in ("rankme", "alignment", "uniformity")]
        star = "*" if entry["recommended"] else ""
        return [
            f"{star}{'' if entry['rank'] is None else entry['rank']}",
            str(entry["candidate"]),
            spread(number(entry["nats"]), number(entry["nats_sd"]), "+-"),
            percent(of_ceiling(entry), 0),
            *([accuracy, few, knn] if labelled else free),
            str(entry["n_seeds"]),
            str(entry["regime"] or ""),
        ]

    return header, cells


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    left = {1, len(cells) - 1}
    fitted = [
        _fit(cell, width).ljust(width) if i in left else _fit(cell, width).rjust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(fitted).rstrip()


def _fit(text: str, width: int) -> str:
    plain = " ".join(text.encode("ascii", "replace").decode().split())
    return plain if len(plain) <= width else plain[: max(0, width - 2)] + ".."
