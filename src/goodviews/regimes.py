"""The regimes of InfoMin: by definition where information is known, by a written rule elsewhere.

Imports nothing of ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean


class Regime(StrEnum):
    """Where a view pair stands on the reverse-U, accuracy against I(v1;v2) (InfoMin, section 3)."""

    MISSING = "missing information"
    SWEET_SPOT = "sweet spot"
    EXCESS = "excess noise"
    UNDECIDED = "undecided"


RULE = (
    "Families are read one by one, since along one dial only the views change. Let b be the "
    "candidate of a family with the highest mean accuracy over seeds. A difference between two "
    "candidates counts only if it exceeds t * s * sqrt(1/n1 + 1/n2), where s is the spread over "
    "seeds pooled over all candidates of the study, n the numbers of seeds, and t the one-sided "
    "95 % point of Student's t, corrected for the number of comparisons in the family "
    "(Bonferroni). "
    "A candidate that is less accurate than b by more than that is 'missing information' if its "
    "held-out I_NCE(v1;v2) is lower than b's by more than that, 'excess noise' if it is higher. "
    "b is the 'sweet spot' of its family if it beats at least one candidate. Everything else, and "
    "everything when there is a single seed, is 'undecided'."
)
"""The rule of :func:`regimes` in words, as printed on every page."""


def exact_regime(shared: float, task: float, kept: float, tolerance: float = 1e-9) -> Regime:
    """The regime by InfoMin's definition, where the information is known exactly.

    Missing information: I(v1;v2) < I(x;y), or a view lost some of it: min I(v;y) < I(x;y).
    Sweet spot: all equal. Excess noise: I(v1;v2) > I(x;y). (InfoMin, section 3.2.)

    Args:
        shared: I(v1;v2), nats.
        task: I(x;y), nats.
        kept: the smaller of I(v1;y) and I(v2;y), nats.
        tolerance: differences up to this count as equal, nats.

    Example:
        >>> str(exact_regime(shared=2.3, task=0.7, kept=0.7))
        'excess noise'
    """
    if shared < task - tolerance or kept < task - tolerance:
        return Regime.MISSING
    return Regime.EXCESS if shared > task + tolerance else Regime.SWEET_SPOT


@dataclass(frozen=True)
class Spread:
    """The noise of a measurement, pooled over groups of repeats: s and its degrees of freedom."""

    s: float
    freedom: int

    def threshold(self, n1: float, n2: float, confidence: float, comparisons: int) -> float:
        """The difference of two means that noise exceeds with probability 1 - ``confidence``."""
        from scipy.stats import t  # 0.5 s to import, needed only here

        if self.freedom < 1:
            return math.inf
        point = t.ppf(1.0 - (1.0 - confidence) / max(comparisons, 1), self.freedom)
        return float(point * self.s * math.sqrt(1.0 / n1 + 1.0 / n2))


def pooled_spread(groups: Sequence[Sequence[float]]) -> Spread:
    """Standard deviation within groups, pooled: s^2 = sum (x - mean)^2 / sum (n - 1).

    Example:
        >>> pooled_spread([[1.0, 3.0], [5.0, 7.0]])
        Spread(s=1.4142135623730951, freedom=2)
    """
    freedom = sum(len(group) - 1 for group in groups)
    squares = sum((x - fmean(group)) ** 2 for group in groups for x in group)
    return Spread(math.sqrt(squares / freedom) if freedom else math.inf, freedom)


def regimes(
    nats: Sequence[Sequence[float]],
    accuracy: Sequence[Sequence[float]],
    families: Sequence[str] | None = None,
    confidence: float = 0.95,
) -> list[Regime]:
    """Decide each candidate's regime from repeated measurements, by :data:`RULE`.

    Args:
        nats: for each candidate its held-out I_NCE(v1;v2), one value a seed, in nats.
        accuracy: for each candidate its held-out accuracy, one value a seed.
        families: for each candidate the family it is compared within; None makes them one.
        confidence: of each one-sided test, before the correction for several comparisons.

    Returns:
        One regime a candidate, in the order given.

    Raises:
        ValueError: when the two lists do not match or a candidate has no value.

    Example:
        >>> nats = [[1.0, 1.1], [2.0, 2.1], [3.0, 3.1]]
        >>> accuracy = [[0.50, 0.51], [0.80, 0.81], [0.60, 0.61]]
        >>> [str(r) for r in regimes(nats, accuracy)]
        ['missing information', 'sweet spot', 'excess noise']
    """
    if len(nats) != len(accuracy) or any(
        len(i) != len(a) or not a for i, a in zip(nats, accuracy, strict=False)
    ):
        raise ValueError(
            "nats and accuracy: need the same candidates and seeds, at least one each."
        )
    families = [""] * len(nats) if families is None else families
    if len(families) != len(nats):
        raise ValueError(f"families: {len(families)} names for {len(nats)} candidates.")
    spreads = pooled_spread(nats), pooled_spread(accuracy)
    found = [Regime.UNDECIDED] * len(nats)
    for family in dict.fromkeys(families):
        members = [i for i, name in enumerate(families) if name == family]
        named = _within(
            [nats[i] for i in members], [accuracy[i] for i in members], spreads, confidence
        )
        for i, regime in zip(members, named, strict=True):
            found[i] = regime
    return found


def _within(
    nats: Sequence[Sequence[float]],
    accuracy: Sequence[Sequence[float]],
    spreads: tuple[Spread, Spread],
    confidence: float,
) -> list[Regime]:
    """The regimes of one family."""
    best = max(range(len(accuracy)), key=lambda i: fmean(accuracy[i]))
    nats_spread, accuracy_spread = spreads
    comparisons = len(accuracy) - 1

    def beats(i: int, j: int, values: Sequence[Sequence[float]], spread: Spread) -> bool:
        """Whether candidate i's mean is above j's by more than the spread explains."""
        limit = spread.threshold(len(values[i]), len(values[j]), confidence, comparisons)
        return fmean(values[i]) - fmean(values[j]) > limit

    out = []
    for i in range(len(accuracy)):
        regime = Regime.UNDECIDED
        if beats(best, i, accuracy, accuracy_spread):
            if beats(i, best, nats, nats_spread):
                regime = Regime.EXCESS
            elif beats(best, i, nats, nats_spread):
                regime = Regime.MISSING
        out.append(regime)
    if any(beats(best, i, accuracy, accuracy_spread) for i in range(len(accuracy))):
        out[best] = Regime.SWEET_SPOT
    return out
