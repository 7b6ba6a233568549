"""What the rows of a sweep say: the reverse-U, orders of names, columns, panels, the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from goodviews.interfaces import Row
from goodviews.regimes import Spread, pooled_spread
from goodviews.studies.claims import NOT_SHOWN, SHOWN, UNDECIDED, value_of
from goodviews.studies.conclude import RAW, UNTRAINED

RULE = (
    "A reverse-U is shown if two points are less accurate than the best one by more than the "
    "spread explains (one-sided t, Bonferroni over all other points), one whose views share more "
    "than the best's and one whose share less, these differences of nats being decided too; it is "
    "not shown if the best point itself shares the most or the least of all; else it is undecided."
)
"""How :func:`reverse_u` decides, as printed on every page."""


def _values(rows: Sequence[Row], names: Sequence[str], measure: str) -> dict[str, list[float]]:
    """Point -> one value a seed of the runs that ended well."""
    found: dict[str, list[float]] = {}
    for name in names:
        mine = [r for r in rows if r.candidate == name and r.status == "done"]
        values = [v for row in mine if (v := value_of(row, measure)) is not None]
        if values:
            found[name] = values
    return found


def reverse_u(
    rows: Sequence[Row], names: Sequence[str], measure: str, paper: str = "a reverse-U"
) -> list[dict[str, Any]]:
    """Whether accuracy against I(v1;v2) rises and falls again, by :data:`RULE`.

    Args:
        rows: every run.
        names: of the points.
        measure: of accuracy.
        paper: what the paper reports.

    Returns:
        One judged statement; its value is the smaller of the two largest drops, in fractions.
        Empty where fewer than three points have both numbers.

    Example:
        >>> made = [(n, a, s) for n, a in ((1, 0.3), (2, 0.6), (3, 0.4)) for s in (0, 1)]
        >>> rows = [Row("candidate", f"p{n}", s, nats=n + s / 99, linear=a + s / 99)
        ...         for n, a, s in made]
        >>> reverse_u(rows, ["p1", "p2", "p3"], "linear")[0]["verdict"]
        'shown'
    """
    accuracy, nats = _values(rows, names, measure), _values(rows, names, "nats")
    names = [name for name in accuracy if name in nats]
    if len(names) < 3:
        return []
    best = max(names, key=lambda name: fmean(accuracy[name]))
    spreads = tuple(pooled_spread([v[n] for n in names]) for v in (accuracy, nats))
    sides = [_drop(best, names, accuracy, nats, spreads, sign) for sign in (1, -1)]
    means = {name: fmean(nats[name]) for name in names}
    at_end = means[best] in (max(means.values()), min(means.values()))
    value, half = min(sides, key=lambda side: side[0] - side[1])
    verdict = NOT_SHOWN if at_end else SHOWN if value > half else UNDECIDED
    return [
        {
            "words": f"{measure}: accuracy rises and falls with what the views share; the best is "
            f"{best}",
            "value": value,
            "half": half,
            "margin": 0.0,
            "unit": "points",
            "verdict": verdict,
            "paper": paper,
        }
    ]


def _drop(
    best: str,
    names: Sequence[str],
    accuracy: Mapping[str, Sequence[float]],
    nats: Mapping[str, Sequence[float]],
    spreads: Sequence[Spread],
    sign: int,
) -> tuple[float, float]:
    """The largest fall below the best among points that share decidedly more (1) or less (-1)."""
    found = [(0.0, 0.0)]
    for name in names:
        counts = (len(accuracy[name]), len(accuracy[best]))
        limits = [s.threshold(*counts, 0.95, len(names) - 1) for s in spreads]
        if sign * (fmean(nats[name]) - fmean(nats[best])) > limits[1]:
            found.append((fmean(accuracy[best]) - fmean(accuracy[name]), limits[0]))
    return max(found, key=lambda drop: drop[0] - drop[1])


def columns(measures: Mapping[str, str]) -> list[dict[str, Any]]:
    """The columns of the table: accuracies, then nats."""
    own = [
        {"key": key, "words": words, "unit": "%", "digits": 1} for key, words in measures.items()
    ]
    nats = [
        {"key": "nats", "words": "I_NCE(v1;v2), held out", "unit": "nats", "digits": 2},
        {"key": "nats_train", "words": "I_NCE, training", "unit": "nats", "digits": 2},
    ]
    return [*own, *nats, {"key": "rankme", "words": "effective rank", "unit": "", "digits": 1}]


def panels(
    rows: Sequence[Row], measures: Mapping[str, str], dial: str, joined: bool
) -> list[dict[str, Any]]:
    """For each measure: against information, and along the dial."""
    found: list[dict[str, Any]] = []
    for key, words in measures.items():
        known = _values(rows, [RAW, UNTRAINED], key)
        lines = [{"value": fmean(values), "words": name} for name, values in known.items()]
        shared = {"y": key, "unit": "%", "joined": joined}
        found.append(
            {"kind": "plane", "title": f"{words}, against I_NCE(v1;v2)", "lines": lines, **shared}
        )
        found.append({"kind": "dial", "title": f"{words}, along the dial", "dial": dial, **shared})
    return found


def answer(
    rows: Sequence[Row],
    names: Sequence[str],
    measures: Mapping[str, str],
    claims: Sequence[Mapping[str, Any]],
) -> str:
    """Best point of each measure with its nats, and how many statements are shown."""
    nats = _values(rows, names, "nats")
    parts = []
    for key, words in measures.items():
        found = _values(rows, names, key)
        if not found:
            continue
        best = max(found, key=lambda name: fmean(found[name]))
        shared = f", its views share {fmean(nats[best]):.2f} nats" if best in nats else ""
        parts.append(f"{words}: best is {best} with {100 * fmean(found[best]):.1f} %{shared}")
    seen = sum(claim["verdict"] == SHOWN for claim in claims)
    return (
        f"{'; '.join(parts) or 'Nothing could be measured'}. {seen} of {len(claims)} of the "
        "statements looked for are shown."
    )
