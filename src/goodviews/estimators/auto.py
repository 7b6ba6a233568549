"""The method that chooses: cheap models first, networks where they see more, held-out rows decide.

No row is judged by a model that saw it, and nothing but the data is looked at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TypedDict

import torch

from goodviews.estimators.copula import gaussian, student
from goodviews.estimators.discrete import discrete
from goodviews.estimators.ensemble import Settings, train, value_on
from goodviews.estimators.members import Split
from goodviews.estimators.neighbors import ksg
from goodviews.estimators.neural import OBJECTIVES, members, neural
from goodviews.estimators.reading import Reading
from goodviews.estimators.variables import Variable

NEIGHBOR_DIMS = 3
"""Up to so many dimensions together, nearest neighbours see any dependence well."""

LABEL_DIMS = 5
"""Up to so many dimensions beside labels, neighbours are asked."""

CRITIC_ROWS = 100
"""Rows that are needed to train critics on."""

LIGHT_TAILS = 60.0
"""Degrees of freedom from which a t-copula is as good as Gaussian."""

PILOT_STEPS = 500
PILOT_MEMBERS = 3


class Ask(TypedDict):
    """What every method is told besides the data."""

    seed: int
    shuffles: int
    device: str


def auto(
    x: Variable, y: Variable, *, seed: int, shuffles: int, device: str = "cpu", parts: int = 10
) -> Reading:
    r"""Choose a method by the data, and say why.

    Labels are counted. Up to three dimensions, nearest neighbours (ksg) stand against the
    t-copula, which is reported if ksg does not see more or less than noise explains. In more
    dimensions a pilot of neural critics, alone and on top of the copula, must gain on held rows
    before critics are trained on all folds; they are reported if they beat the copula by more
    than one standard error of the difference, row by row. Where the copula has no heavy tails,
    its closed form (gaussian) is reported, which has no error from held-out fitting.

    Args:
        x: numbers or labels, n rows.
        y: the same.
        seed: of folds, weights and shuffles.
        shuffles: how many values of the null to return.
        device: where critics train.
        parts: folds of the critics.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(1000, 1))
        >>> found = auto(Variable(x), Variable(x**3 + x * rng.normal(size=(1000, 1))), seed=0,
        ...              shuffles=0)
        >>> found.details["chosen"]
        'ksg'
    """
    ask: Ask = {"seed": seed, "shuffles": shuffles, "device": device}
    if x.discrete and y.discrete:
        return _chosen("discrete", discrete(x, y, **ask), "both are labels")
    low = x.width + y.width <= NEIGHBOR_DIMS
    if x.discrete or y.discrete:
        return _mixed(x, y, ask, parts)
    copula = student(x, y, **ask)
    if low:
        near = ksg(x, y, **ask)
        gap, error = difference(near, copula)
        if abs(gap) > 3 * error:
            return _chosen("ksg", near, f"ksg sees {gap:+.3f} nats beside the t-copula", copula)
        return _elliptical(x, y, copula, "ksg sees no more than the copula", ask)
    if len(x) < CRITIC_ROWS:
        return _elliptical(x, y, copula, "too few rows to train critics", ask)
    degrees = sorted(set(copula.details["nu"]))
    start, gain = pilot(x, y, parts, seed, device, degrees)
    if gain < pilot_gain(len(x)):
        return _elliptical(x, y, copula, "critics see no more than the copula", ask)
    nets = neural(x, y, start=start, parts=parts, degrees=degrees, **ask)
    gap, error = difference(nets, copula)
    if gap > error:
        return _chosen("neural", nets, f"critics see {gap:+.3f} nats beside the t-copula", copula)
    return _elliptical(x, y, copula, "critics see no more than the copula", ask)


def _mixed(x: Variable, y: Variable, ask: Ask, parts: int) -> Reading:
    """Labels beside numbers: neighbours while they work, unless critics see more."""
    width = max(x.width, y.width)
    near = ksg(x, y, **ask) if width <= LABEL_DIMS else None
    if near is not None and (width < NEIGHBOR_DIMS or len(x) < CRITIC_ROWS):
        return _chosen("ksg", near, "labels beside few dimensions")
    nets = neural(x, y, parts=parts, **ask)
    if near is None:
        return _chosen("neural", nets, "labels beside many dimensions")
    gap, error = difference(nets, near)
    if gap > error:
        return _chosen("neural", nets, f"critics see {gap:+.3f} nats beside ksg")
    return _chosen("ksg", near, "critics see no more than ksg")


def difference(first: Reading, second: Reading) -> tuple[float, float]:
    """Difference of two readings of the same rows, and its standard error, in nats."""
    gaps = first.values - second.values
    return float(gaps.mean()), float(gaps.std(ddof=1) / math.sqrt(len(gaps)))


def pilot_gain(n: int) -> float:
    """Nats that pilot critics must gain over the copula on held rows, before all are trained.

    Example:
        >>> round(pilot_gain(5000), 4), round(pilot_gain(200), 4)
        (0.01, 0.05)
    """
    return 0.01 * math.sqrt(5000 / n)


def pilot(
    x: Variable, y: Variable, parts: int, seed: int, device: str, degrees: Sequence[float]
) -> tuple[str, float]:
    """Short trainings of a few members: which start is better, and its gain over the copula."""
    split = Split.of(len(x), parts, seed)
    some = split.first(PILOT_MEMBERS)
    seen, held = (torch.as_tensor(part, device=device) for part in (some.seen, some.held))
    climb = OBJECTIVES["nwj"].climb()
    values = {}
    for start in ("copula", "none"):
        ensemble = members(x, y, some, seed=seed, device=device, start=start, degrees=degrees)
        if start == "copula":
            ensemble.gate.zero_()
            base = float(value_on(ensemble, held, climb).mean())
            ensemble.gate.fill_(1.0)
        best = train(
            ensemble,
            seen,
            held,
            climb,
            Settings(steps=PILOT_STEPS),
            torch.Generator().manual_seed(seed),
        )
        values[start] = float(best.mean())
    start = "none" if values["none"] > base + pilot_gain(len(x)) else "copula"
    return start, values[start] - base


def _elliptical(x: Variable, y: Variable, copula: Reading, why: str, ask: Ask) -> Reading:
    """The t-copula, or its closed form if all folds chose no heavy tails."""
    if min(copula.details["nu"]) >= LIGHT_TAILS and len(x) > 2 * (x.width + y.width):
        return _chosen("gaussian", gaussian(x, y, **ask), f"{why}; no heavy tails", copula)
    return _chosen("student", copula, why)


def _chosen(name: str, reading: Reading, why: str, copula: Reading | None = None) -> Reading:
    """The reading with the name and reason of the choice, and the copula's value beside it."""
    details = {"chosen": name, "why": why, **reading.details}
    if copula is not None:
        details["t-copula"] = copula.nats
    return replace(reading, details=details)
