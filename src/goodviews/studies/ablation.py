"""What the rows of an ablation say: differences with their error, and orderings seen or not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from goodviews.interfaces import Row
from goodviews.regimes import pooled_spread

RULE = (
    "The number after each \N{PLUS-MINUS SIGN} of a difference is t * s * sqrt(1/n1 + 1/n2): s is "
    "the spread over seeds pooled over all variants, n the numbers of seeds, t the two-sided 95 % "
    "point of Student's t, corrected for the number of comparisons made (Bonferroni). A difference "
    "that is larger is decided; all others, and all where there is one seed, are undecided. It "
    "holds for these held-out images: they are the same for all variants."
)
"""How :class:`Comparison` decides, in words, as printed on every page."""

SEEN, REVERSED, UNDECIDED = "seen", "reversed", "undecided"


@dataclass(frozen=True)
class Claim:
    """One ordering that a paper reports: ``better`` reaches more than ``worse``."""

    better: str
    worse: str
    words: str
    """As a sentence, for example "Greyscale helps"."""


@dataclass(frozen=True)
class Difference:
    """Mean of one variant minus another's, with the half width of its 95 % interval."""

    value: float
    half: float

    @property
    def sign(self) -> int:
        """1 or -1 where it is decided, else 0."""
        return 0 if abs(self.value) <= self.half else 1 if self.value > 0 else -1


class Comparison:
    """Differences between variants in one measure, by :data:`RULE`.

    Arguments:
        values: for each variant one value a seed; variants without any are left out.
        pairs: all comparisons that will be made; either order counts once.

    Example:
        >>> compare = Comparison({"full": [0.50, 0.52], "less": [0.40, 0.42]}, [("less", "full")])
        >>> found = compare("less", "full")
        >>> round(found.value, 3), round(found.half, 3), found.sign
        (-0.1, 0.061, -1)
    """

    def __init__(
        self, values: Mapping[str, Sequence[float]], pairs: Iterable[tuple[str, str]]
    ) -> None:
        self.groups = {name: list(group) for name, group in values.items() if group}
        self.spread = pooled_spread(list(self.groups.values()))
        self.count = len({frozenset(pair) for pair in pairs if set(pair) <= set(self.groups)})

    def __call__(self, a: str, b: str) -> Difference | None:
        """The mean of a minus the mean of b; None where one was not measured."""
        if a not in self.groups or b not in self.groups:
            return None
        one, other = self.groups[a], self.groups[b]
        half = self.spread.threshold(len(one), len(other), 0.95, 2 * self.count)  # two-sided
        return Difference(fmean(one) - fmean(other), half)


def values_of(rows: Iterable[Row], field: str) -> dict[str, list[float]]:
    """Variant -> one value a seed, of the runs that ended well and have it; no baselines."""
    found: dict[str, list[float]] = {}
    for row in rows:
        value = getattr(row, field)
        if row.kind == "candidate" and row.status == "done" and value is not None:
            found.setdefault(row.candidate, []).append(value)
    return found


def conclude(
    rows: Sequence[Row],
    reference: str,
    claims: Sequence[Claim],
    published: Mapping[str, Mapping[str, Sequence[float]]],
) -> dict[str, Any]:
    """Differences from the reference variant, and what became of the claims.

    Args:
        rows: of one study.
        reference: the variant that the others are compared with.
        claims: the orderings to look for, judged by the linear probe.
        published: variant -> data set -> (linear, MLP) accuracies of the paper, in percent.

    Returns:
        ``differences``: variant -> "linear" and "mlp" -> value, half, sign; ``claims``: one dict
        each, with its words, value, half, verdict and the paper's differences (points, linear).
    """
    measured = {field: values_of(rows, field) for field in ("linear", "mlp")}
    others = [name for name in measured["linear"] if name != reference]
    pairs = [(name, reference) for name in others] + [(c.better, c.worse) for c in claims]
    compare = {field: Comparison(values, pairs) for field, values in measured.items()}
    table = {
        name: {field: _plain(compare[field](name, reference)) for field in compare}
        for name in others
    }
    judged = [_judged(claim, compare["linear"], published) for claim in claims]
    return {"differences": table, "claims": [line for line in judged if line]}


def _plain(found: Difference | None) -> dict[str, float] | None:
    if found is None:
        return None
    return {"value": found.value, "half": found.half, "sign": found.sign}


def _judged(
    claim: Claim, compare: Comparison, published: Mapping[str, Mapping[str, Sequence[float]]]
) -> dict[str, Any] | None:
    """One claim beside the paper's numbers; None where a variant was not measured."""
    found = compare(claim.better, claim.worse)
    if found is None:
        return None
    better, worse = published.get(claim.better, {}), published.get(claim.worse, {})
    return {
        "words": claim.words,
        "better": claim.better,
        "worse": claim.worse,
        "value": found.value,
        "half": found.half,
        "verdict": {1: SEEN, 0: UNDECIDED, -1: REVERSED}[found.sign],
        "paper": {name: better[name][0] - worse[name][0] for name in better if name in worse},
    }
