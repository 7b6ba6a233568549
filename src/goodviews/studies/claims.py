"""What a paper says must be seen, and whether it is seen here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from goodviews.interfaces import Row
from goodviews.regimes import pooled_spread
from goodviews.studies.ablation import Difference

SHOWN, NOT_SHOWN, UNDECIDED = "shown", "not shown", "undecided"

RULE = (
    "The number after each \N{PLUS-MINUS SIGN} of a claim is t * s * sqrt(1/n1 + 1/n2): s is the "
    "spread over seeds pooled over the arms that claims of one kind compare (one measure, and one "
    "bound or pair of arms where arms differ in spread), n the numbers of seeds (endless for raw "
    "pixels and constants, which have no spread), t the two-sided 95 % point of Student's t, "
    "corrected for the number of claims of that kind (Bonferroni). A claim is shown if the "
    "difference exceeds what was asked for by more than that, not shown if it falls short of it by "
    "more than that, and undecided otherwise and where there is one seed."
)
"""How claims are decided, as printed on every page."""
PAIRED = (
    "Where both arms are asked the same questions at each seed, s is the spread of their "
    "differences seed by seed, pooled over the claims of that kind, and n the number of seeds."
)
"""What differs for paired claims."""


@dataclass(frozen=True)
class Reading:
    """One number a run: a measure of an arm's rows at the end of training or at its start."""

    arm: str
    at: str = "end"
    """"end" or "start"."""
    constant: float | None = None
    """This number instead."""

    def count(self, rows: Iterable[Row], values: Sequence[float]) -> float:
        """How many seeds a mean of ``values`` is over; endless where it has no spread."""
        exact = any(row.candidate == self.arm and row.kind == "baseline" for row in rows)
        return math.inf if exact or self.constant is not None else len(values)

    def values(self, rows: Iterable[Row], measure: str) -> list[float]:
        """One value a seed of the runs that ended well and have it."""
        if self.constant is not None:
            return [self.constant]
        return list(self.by_seed(rows, measure).values())

    def by_seed(self, rows: Iterable[Row], measure: str) -> dict[int, float]:
        """Seed -> value, of the runs that ended well and have it."""
        mine = [r for r in rows if r.candidate == self.arm and r.status == "done"]
        found = {row.seed: value_of(row, measure, self.at) for row in mine}
        return {seed: value for seed, value in found.items() if value is not None}


def value_of(row: Row, measure: str, at: str = "end") -> float | None:
    """A measure of a row: its field, else one of ``measures``, else of its curve's ends.

    Example:
        >>> row = Row("candidate", "a", 0, curve=[{"step": 0, "nats": 1.0}], nats=2.0)
        >>> value_of(row, "nats"), value_of(row, "nats", "start"), value_of(row, "x")
        (2.0, 1.0, None)
    """
    if at == "start":
        return row.curve[0].get(measure) if row.curve else None
    own = getattr(row, measure, None)
    return own if own is not None else row.measures.get(measure)


@dataclass(frozen=True)
class Claim:
    """``better`` exceeds ``worse`` in ``measure`` by more than ``margin``."""

    words: str
    better: Reading
    worse: Reading
    measure: str = "accuracy"
    margin: float = 0.0
    unit: str = "points"
    """"points" (a fraction shown times 100) or "nats"."""
    paper: str = ""
    """What the paper reports."""
    pool: str = ""
    """Claims about one measure are of one kind where they have the same."""

    paired: bool = False
    """Whether the rows of one seed have been asked the same: differences are then taken there."""
    only_paper: bool = False
    """Whether it makes sense on the paper's data alone (a limit that is theirs)."""

    @property
    def kind(self) -> tuple[str, str]:
        """What is pooled and corrected together."""
        return self.measure, self.pool


def judge(rows: Sequence[Row], claims: Sequence[Claim]) -> list[dict[str, Any]]:
    """Each claim with its difference and verdict, by :data:`RULE`; none that was not measured."""
    found = []
    for kind in dict.fromkeys(claim.kind for claim in claims):
        asked, measure = [claim for claim in claims if claim.kind == kind], kind[0]
        readings = {reading for claim in asked for reading in (claim.better, claim.worse)}
        values = {reading: reading.values(rows, measure) for reading in readings}
        seen = [c for c in asked if values[c.better] and values[c.worse]]
        if asked[0].paired:
            found += _judged_in_pairs(rows, seen, measure)
            continue
        spread = pooled_spread([group for group in values.values() if group])
        for claim in seen:
            sides = [(values[side], side) for side in (claim.better, claim.worse)]
            counts = [side.count(rows, group) for group, side in sides]
            half = spread.threshold(counts[0], counts[1], 0.95, 2 * len(seen))  # two-sided
            value = fmean(sides[0][0]) - fmean(sides[1][0])
            found.append(_judged(claim, Difference(value, half)))
    return found


def _judged_in_pairs(
    rows: Sequence[Row], claims: Sequence[Claim], measure: str
) -> list[dict[str, Any]]:
    """Claims of one kind by their differences seed by seed, see :data:`PAIRED`."""
    apart = []
    for claim in claims:
        better, worse = (side.by_seed(rows, measure) for side in (claim.better, claim.worse))
        apart.append([better[seed] - worse[seed] for seed in better.keys() & worse.keys()])
    spread = pooled_spread([group for group in apart if group])
    return [
        _judged(
            claim,
            Difference(fmean(group), spread.threshold(len(group), math.inf, 0.95, 2 * len(claims))),
        )
        for claim, group in zip(claims, apart, strict=True)
        if group
    ]


def _judged(claim: Claim, difference: Difference) -> dict[str, Any]:
    beyond = difference.value - claim.margin
    decided = abs(beyond) > difference.half
    return {
        "words": claim.words,
        "value": difference.value,
        "half": difference.half,
        "margin": claim.margin,
        "unit": claim.unit,
        "verdict": (SHOWN if beyond > 0 else NOT_SHOWN) if decided else UNDECIDED,
        "paper": claim.paper,
    }
