"""Low frequencies against high ones: which information is shared matters, not only how much."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from goodviews.data import Loaded
from goodviews.interfaces import Row
from goodviews.regimes import pooled_spread
from goodviews.studies.claims import Claim, value_of
from goodviews.studies.infomin.sweep import Point, Scale, Sweep
from goodviews.views import FAMILIES


def points(loaded: Loaded) -> list[Point]:
    """A mild crop and flip that both views share, then blur(x, sigma) | x - blur(x, sigma)."""
    family, shape = FAMILIES["frequency"], loaded.train.shape
    return [
        Point(
            family.recipe(value, shape, None, loaded.hints), value, f"blur of {value:g} px | rest"
        )
        for value in family.values_for(shape)
    ]


def claims(names: Sequence[str], measures: Sequence[str]) -> list[Claim]:
    """None that compares two points fixed beforehand."""
    return []


def two_sided(rows: Sequence[Row], names: Sequence[str], measure: str) -> list[dict[str, Any]]:
    """Whether I_NCE peaks inside the dial, and accuracy differs at like nats on its two sides.

    Example:
        >>> nats, linear = (1, 3, 2), (0.2, 0.4, 0.5)
        >>> rows = [Row("candidate", f"s{i}", s, nats=n + s / 99, linear=a + s / 99)
        ...         for i, (n, a) in enumerate(zip(nats, linear)) for s in (0, 1)]
        >>> [found["verdict"] for found in two_sided(rows, ["s0", "s1", "s2"], "linear")]
        ['shown', 'shown']
    """
    found = {key: _values(rows, names, key) for key in ("nats", measure)}
    known = [name for name in names if found["nats"].get(name) and found[measure].get(name)]
    if len(known) < 3:
        return []
    nats = {name: fmean(found["nats"][name]) for name in known}
    peak = max(known, key=lambda name: nats[name])
    ends = known[0], known[-1]
    spread = pooled_spread([found["nats"][name] for name in known])
    seeds = len(found["nats"][peak])
    limit = spread.threshold(seeds, seeds, 0.95, len(known) - 1)
    rise = min(nats[peak] - nats[end] for end in ends)
    first = {
        "words": f"I_NCE is largest inside the dial, at {peak}",
        "value": rise,
        "half": limit,
        "margin": 0.0,
        "unit": "nats",
        "verdict": "not shown" if peak in ends else "shown" if rise > limit else "undecided",
        "paper": "largest at sigma = 0.7 (STL-10)",
    }
    return [first, *_asymmetry(known, peak, nats, found[measure], measure)]


def _asymmetry(
    known: Sequence[str],
    peak: str,
    nats: dict[str, float],
    accuracy: dict[str, list[float]],
    measure: str,
) -> list[dict[str, Any]]:
    """Of the two points whose nats are nearest, one on each side: the blurrier's lead."""
    place = known.index(peak)
    pairs = [(a, b) for a in known[:place] for b in known[place + 1 :]]
    if not pairs:
        return []
    less, more = min(pairs, key=lambda pair: abs(nats[pair[0]] - nats[pair[1]]))
    value = fmean(accuracy[more]) - fmean(accuracy[less])
    spread = pooled_spread([accuracy[name] for name in known])
    half = spread.threshold(len(accuracy[more]), len(accuracy[less]), 0.95, 2)
    decided = abs(value) > half
    return [
        {
            "words": f"{measure}: at like nats ({nats[less]:.2f}, {nats[more]:.2f}), {more} beats "
            f"{less}",
            "value": value,
            "half": half,
            "margin": 0.0,
            "unit": "points",
            "verdict": ("shown" if value > 0 else "not shown") if decided else "undecided",
            "paper": "more blur: rise and fall; less blur: only a fall",
        }
    ]


def _values(rows: Sequence[Row], names: Sequence[str], measure: str) -> dict[str, list[float]]:
    mine = {n: [r for r in rows if r.candidate == n and r.status == "done"] for n in names}
    return {
        name: [value for row in found if (value := value_of(row, measure)) is not None]
        for name, found in mine.items()
    }


FREQUENCY = Sweep(
    name="frequency",
    summary="Low against high frequencies: information that is shared, and which",
    question="Where should the frequencies of an image be split?",
    dial="sigma of the blur, pixels",
    points=points,
    claims=claims,
    shapes=two_sided,
    quick=Scale(encoder="convnet-half"),
    paper=Scale(steps=20_000, encoder="resnet-small-half"),
    notes=(
        "Tian et al. 2020, appendix: v1 = blur(x, sigma), v2 = x - v1, an encoder for each. The "
        "paper's sigmas are of images of 64 pixels or more; on smaller images they reach further.",
    ),
)
