"""Whether nats explain accuracy here: pairs of contenders, the rules, the words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from scipy import stats

from goodviews.studies.audit.compare import Difference, Sample, difference
from goodviews.studies.conclude import RAW

FULL = 0.9
"""Share of log K from which a bound counts as at its ceiling."""
NEAR = 0.1
"""Nats count as the same where they differ by at most this share of the larger."""
LEAST_NATS, LEAST_POINTS, FAR_POINTS = 0.05, 0.01, 0.05
"""Smaller differences count as none; accuracies this far apart are not the same."""

REVERSED, MATCHED, SAME, FORBIDDEN, UNDECIDED = (
    "fewer nats, better probe",
    "same nats, other accuracy",
    "same order",
    "the critic's order",
    "undecided",
)
"""What a pair of contenders says."""
CONTRADICTED, AGREE = "contradicted", "agree"
"""What all pairs together say; or UNDECIDED."""

RULES = f"""\
Contenders get fresh critics of the same three kinds (bilinear, cosine of MLPs, separable), \
trained on the same training pairs; validation pairs choose the kind, and held-out pairs are read \
in the same sets of K images. Accuracy is a linear probe's on held-out images.
A difference of nats or accuracies is decided where its 95 % interval leaves out 0 and it is at \
least {LEAST_NATS:g} nats or {100 * LEAST_POINTS:g} point. The interval holds the error over \
held-out images, paired, and over seeds (Student's t with Welch's degrees of freedom), corrected \
for the number of pairs (Bonferroni).
Each pair of contenders says one of five things. {REVERSED.capitalize()}: both differences are \
decided and oppose each other. {MATCHED.capitalize()}: the whole interval of the nats' difference \
is within {100 * NEAR:g} % of the larger number, and that of the accuracies' difference beyond \
{100 * FAR_POINTS:g} points. {SAME.capitalize()}: both decided, both the same way. \
{FORBIDDEN.capitalize()}: the one with decidedly more nats is a function of the other, so by data \
processing it cannot share more; this shows what the critic can read, not what is shared, and \
counts neither way. {UNDECIDED.capitalize()}: all others, and all where both bounds are above \
{100 * FULL:g} % of log K.
MI does not explain the result where a pair with the run says '{REVERSED}' or '{MATCHED}'. MI and \
accuracy agree where none does and at least one says '{SAME}'. Everything else is undecided.
True information is judged apart, by data processing alone: raw pixels and every invertible map of \
them share at least as much as any function of them. Where they probe worse than the run, decided, \
the amount of shared information is not what makes the run better."""
"""How the verdict is reached, as printed on every page."""


@dataclass(frozen=True)
class Standing:
    """A contender's numbers.

    Args:
        name: in tables.
        nats: held out, at the largest K, by the critic that validation chose.
        accuracy: of linear probes; None without labels.
        of: the contenders it is a function of.
    """

    name: str
    nats: Sample
    accuracy: Sample | None
    of: tuple[str, ...] = ()


def pairs_of(standings: Sequence[Standing], ceiling: float) -> list[dict[str, Any]]:
    """What every pair of contenders says by :data:`RULES`; none without labels.

    Args:
        standings: all contenders.
        ceiling: log K in nats.

    Example:
        >>> def of(nats, right):
        ...     draws = np.random.default_rng(0)
        ...     values = draws.normal(nats, 1, (3, 2000)), draws.random(2000) < right
        ...     return Sample(values[0]), Sample(values[1])
        >>> pairs_of([Standing("a", *of(3.0, 0.4)), Standing("b", *of(2.0, 0.7))], 7.0)[0]["says"]
        'fewer nats, better probe'
    """
    known = [s for s in standings if s.accuracy is not None]
    chosen = list(combinations(known, 2))
    sources = ancestors(standings)
    return [_pair(a, b, sources, len(chosen), ceiling) for a, b in chosen]


def ancestors(standings: Iterable[Standing]) -> dict[str, set[str]]:
    """Each contender's name -> all contenders that it is a function of.

    Example:
        >>> nothing = Sample(np.zeros((1, 2)))
        >>> chain = [Standing("z", nothing, None, ("f",)), Standing("f", nothing, None, ("x",))]
        >>> sorted(ancestors(chain)["z"])
        ['f', 'x']
    """
    direct = {s.name: set(s.of) for s in standings}
    found = {}
    for name, near in direct.items():
        reached, new = set(near), set(near)
        while new:
            new = {far for one in new for far in direct.get(one, set())} - reached
            reached |= new
        found[name] = reached - {name}
    return found


def _pair(
    a: Standing, b: Standing, sources: Mapping[str, set[str]], count: int, ceiling: float
) -> dict[str, Any]:
    assert a.accuracy is not None and b.accuracy is not None
    nats = difference(a.nats, b.nats, count)
    points = difference(a.accuracy, b.accuracy, count)
    larger = max(a.nats.mean, b.nats.mean)
    smaller = min(a.nats.mean, b.nats.mean)
    known = (b.name in sources[a.name]) - (
        a.name in sources[b.name]
    )  # 1: b shares at least as much
    equal = b.name in sources[a.name] and a.name in sources[b.name]
    face = _says(nats, points, smaller, larger, ceiling)
    more = nats.sign(LEAST_NATS)
    forbidden = bool(more) and (equal or more == known) and smaller <= FULL * ceiling
    return {
        "one": a.name,
        "other": b.name,
        "nats": nats.to_dict(),
        "accuracy": points.to_dict(),
        "says": FORBIDDEN if forbidden else face,
        "face_value": face,
        "truth": _truth(points, known, equal),
    }


def _says(
    nats: Difference,
    points: Difference,
    smaller: float,
    larger: float,
    ceiling: float,
) -> str:
    """What a pair says where nothing is known of it but its numbers."""
    more, better = nats.sign(LEAST_NATS), points.sign(LEAST_POINTS)
    if smaller > FULL * ceiling:
        return UNDECIDED
    if more * better < 0:
        return REVERSED
    far = better and abs(points.value) - points.half >= FAR_POINTS
    if far and larger > LEAST_NATS and nats.within(NEAR * larger):
        return MATCHED
    return SAME if more * better > 0 else UNDECIDED


def _truth(points: Difference, known: int, equal: bool) -> str:
    """What data processing and the probes say of a pair without any critic."""
    better = points.sign(LEAST_POINTS)
    if equal:
        return "as much information" + (", other accuracy" if better else "")
    if not known:
        return ""
    return "more information, worse probe" if better == known else ""


def rank_correlation(standings: Sequence[Standing], draws: int = 2000) -> dict[str, Any] | None:
    """Spearman's correlation of nats and accuracy over contenders, with a 95 % interval.

    The interval comes from redrawing every number from a normal distribution with its own error.

    Returns:
        value, low, high, contenders; None for fewer than three contenders with labels.

    Example:
        >>> ones = [Standing(str(i), Sample(np.full((1, 9), i)), Sample(np.full((1, 9), i / 9)))
        ...         for i in range(4)]
        >>> rank_correlation(ones)["value"]
        1.0
    """
    known = [(s.nats, s.accuracy) for s in standings if s.accuracy is not None]
    if len(known) < 3:
        return None
    rng = np.random.default_rng(0)
    means = np.array([[x.mean, y.mean] for x, y in known])
    errors = np.array([[x.half, y.half] for x, y in known]) / stats.norm.isf(0.025)
    drawn = means + errors * rng.standard_normal((draws, *means.shape))
    values = [_spearman(one) for one in drawn]
    low, high = np.quantile(values, [0.025, 0.975])
    return {
        "value": _spearman(means),
        "low": float(low),
        "high": float(high),
        "contenders": len(known),
    }


def _spearman(points: np.ndarray) -> float:
    ranks = stats.rankdata(points, axis=0)
    if np.ptp(ranks, axis=0).min() == 0:
        return 0.0
    return float(np.corrcoef(ranks.T)[0, 1])


# --- the words ------------------------------------------------------------------------------------


def verdict(
    standings: Sequence[Standing],
    pairs: Sequence[Mapping[str, Any]],
    ours: Sequence[str],
    candidates: int,
    missing: Sequence[str] = (),
) -> dict[str, Any]:
    """The verdict in plain words, by :data:`RULES`.

    Args:
        standings: all contenders.
        pairs: of :func:`pairs_of`.
        ours: names of the run's layers, the one that is used downstream first.
        candidates: K of the nats.
        missing: what was left out.

    Returns:
        state (contradicted, agree, undecided), line, truth (a second sentence on true
        information), missing.
    """
    by_name = {s.name: s for s in standings}
    own = [p for p in pairs if {p["one"], p["other"]} & set(ours)]
    against = [p for p in own if p["says"] in (REVERSED, MATCHED)]
    alike = [p for p in own if p["says"] == SAME]
    state = CONTRADICTED if against else AGREE if alike else UNDECIDED
    if against:
        line = _contradiction(_telling(against, ours), by_name, ours, candidates)
    elif alike:
        line = _agreement(_telling(alike, ours), by_name, ours, candidates)
    else:
        line = _undecided(own, missing)
    return {
        "state": state,
        "line": line,
        "truth": _true_information(own, by_name, ours, state),
        "missing": list(missing),
    }


def _telling(pairs: Sequence[Mapping[str, Any]], ours: Sequence[str]) -> Mapping[str, Any]:
    """The pair to tell: with the run's first layer where there is one, accuracies far apart."""
    return max(
        pairs,
        key=lambda p: (ours[0] in (p["one"], p["other"]), abs(p["accuracy"]["value"])),
    )


def _sides(
    pair: Mapping[str, Any], by_name: Mapping[str, Standing], ours: Sequence[str]
) -> tuple[Standing, Standing]:
    """The run's side and the other."""
    one, other = by_name[pair["one"]], by_name[pair["other"]]
    first = min((s.name for s in (one, other) if s.name in ours), key=list(ours).index)
    return (one, other) if one.name == first else (other, one)


def _nats(standing: Standing) -> str:
    return f"{standing.nats.mean:.2f}"


def _percent(standing: Standing) -> str:
    assert standing.accuracy is not None
    return f"{100 * standing.accuracy.mean:.1f}"


def _contradiction(
    pair: Mapping[str, Any],
    by_name: Mapping[str, Standing],
    ours: Sequence[str],
    candidates: int,
) -> str:
    mine, other = _sides(pair, by_name, ours)
    how = f"(fresh critics, held-out pairs, K = {candidates})"
    if pair["says"] == MATCHED:
        return (
            f"MI does not explain this result: {_the(other.name)} reaches {_nats(other)} of "
            f"{_the(mine.name)}'s {_nats(mine)} nats {how}, and probes at {_percent(other)} % "
            f"against {_percent(mine)} %."
        )
    more, fewer = sorted((mine, other), key=lambda s: -s.nats.mean)
    return (
        f"MI does not explain this result: {_the(fewer.name)} has fewer nats than "
        f"{_the(more.name)}, {_nats(fewer)} against {_nats(more)} {how}, and probes better, "
        f"{_percent(fewer)} % against {_percent(more)} %."
    )


def _agreement(
    pair: Mapping[str, Any],
    by_name: Mapping[str, Standing],
    ours: Sequence[str],
    candidates: int,
) -> str:
    mine, other = _sides(pair, by_name, ours)
    return (
        f"MI and accuracy agree here (no contradiction found): {_the(mine.name)} reaches "
        f"{_nats(mine)} nats and probes at {_percent(mine)} %, {_the(other.name)} {_nats(other)} "
        f"nats and {_percent(other)} % (fresh critics, held-out pairs, K = {candidates})."
    )


def _undecided(own: Sequence[Mapping[str, Any]], missing: Sequence[str]) -> str:
    if not own:
        first = missing[0] if missing else "there is nothing to compare the run with"
        return f"undecided: {first}. The other checks stand without it."
    nearest = max(own, key=lambda p: abs(p["accuracy"]["value"]))
    return (
        f"undecided: none of the {len(own)} pairs with the run decides. The farthest apart: "
        f"{_the(nearest['one'])} against {_the(nearest['other'])}, {_gap(nearest['nats'], 1, 2)} "
        f"nats and {_gap(nearest['accuracy'], 100, 1)} points ({nearest['says']})."
    )


def _gap(found: Mapping[str, float], scale: float, digits: int) -> str:
    """A difference with half its interval."""
    return f"{scale * found['value']:+.{digits}f} ± {scale * found['half']:.{digits}f}"


def _true_information(
    own: Sequence[Mapping[str, Any]],
    by_name: Mapping[str, Standing],
    ours: Sequence[str],
    state: str,
) -> str:
    """What data processing says, whatever critics find."""
    found = [
        p
        for p in own
        if p["truth"] == "more information, worse probe" and not {p["one"], p["other"]} <= set(ours)
    ]
    if not found:
        return ""
    plain = [p for p in found if RAW in (p["one"], p["other"])]
    mine, other = _sides(_telling(plain or found, ours), by_name, ours)
    opening = {
        AGREE: "But the amount of shared information is not the reason",
        CONTRADICTED: "True information does not explain it either",
        UNDECIDED: "True information does not explain it in any case",
    }[state]
    return (
        f"{opening}: by data processing {_the(other.name)} cannot share less than "
        f"{_the(mine.name)}, yet a probe there reaches {_percent(other)} % against "
        f"{_percent(mine)} %. What differs is how easily the shared information can be read."
    )


def _the(name: str) -> str:
    """A contender in a sentence.

    Example:
        >>> _the("untrained network"), _the("this run"), _the("raw pixels")
        ('an untrained network', 'this run', 'raw pixels')
    """
    articles = {"untrained network": "an", "invertible map": "an"}
    return f"{articles[name]} {name}" if name in articles else name
