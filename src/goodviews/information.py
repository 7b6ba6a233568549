"""Exact information of tables and Gaussians, the log K ceiling, and the regimes of InfoMin.

Everything is in nats. Imports nothing of ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean

import numpy as np
from numpy.typing import ArrayLike

BITS = 1.0 / math.log(2.0)
"""Multiply nats by this to get bits."""


def _distribution(p: ArrayLike, name: str = "p") -> np.ndarray:
    table = np.asarray(p, dtype=np.float64)
    if (table < 0).any() or not math.isclose(table.sum(), 1.0, abs_tol=1e-9):
        raise ValueError(f"{name}: probabilities must be >= 0 and sum to 1, got {table.sum():.6g}.")
    return table


def entropy(p: ArrayLike) -> float:
    """Entropy of a table: H = -sum p log p, in nats.

    Example:
        >>> round(entropy([0.5, 0.25, 0.25]) * BITS, 4)
        1.5
    """
    table = _distribution(p)
    table = table[table > 0]
    return float(-(table * np.log(table)).sum())


def cross_entropy(p: ArrayLike, q: ArrayLike) -> float:
    """Cross entropy H(p, q) = -sum p log q, in nats; infinite where q misses mass of p.

    Example:
        >>> round(cross_entropy([0.5, 0.25, 0.25], [1 / 3] * 3) * BITS, 4)
        1.585
    """
    p, q = _distribution(p), _distribution(q, "q")
    with np.errstate(divide="ignore"):
        return float(-(p[p > 0] * np.log(q[p > 0])).sum())


def kl_divergence(p: ArrayLike, q: ArrayLike) -> float:
    """KL(p || q) = H(p, q) - H(p) >= 0, in nats; not symmetric.

    Example:
        >>> round(kl_divergence([0.5, 0.25, 0.25], [1 / 3] * 3) * BITS, 5)
        0.08496
    """
    return cross_entropy(p, q) - entropy(p)


def mutual_information(joint: ArrayLike) -> float:
    """I(X;Y) = H(X) + H(Y) - H(X,Y) of a joint table of shape (x, y), in nats.

    Example:
        >>> round(mutual_information([[0.4, 0.1], [0.1, 0.4]]), 5)
        0.19274
    """
    table = _distribution(joint, "joint")
    return entropy(table.sum(1)) + entropy(table.sum(0)) - entropy(table.ravel())


def gaussian_information(rho: float) -> float:
    """I(X;Y) = -0.5 log(1 - rho^2) of a bivariate Gaussian with correlation ``rho``, in nats.

    Example:
        >>> round(gaussian_information(0.9), 5)
        0.83037
    """
    return -0.5 * math.log1p(-(rho**2))


def ceiling(candidates: int) -> float:
    """The most I_NCE can show with K candidates (1 positive, K - 1 negatives): log K nats.

    Example:
        >>> round(ceiling(128), 3)
        4.852
    """
    if candidates < 2:
        raise ValueError(f"candidates: {candidates} leaves no negative. Use at least 2.")
    return math.log(candidates)


def label_entropy(labels: ArrayLike) -> float:
    """H(y) of observed labels (the plug-in estimate), in nats: the most any view can say of y.

    Example:
        >>> round(label_entropy(["cat", "dog", "cat", "dog"]), 4)
        0.6931
    """
    _, counts = np.unique(np.asarray(labels), return_counts=True)
    return entropy(counts / counts.sum())


# --- regimes ------------------------------------------------------------------------------------


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

    def threshold(self, n1: int, n2: int, confidence: float, comparisons: int) -> float:
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
