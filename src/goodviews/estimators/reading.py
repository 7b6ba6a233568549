"""What a method reads off a sample, and cross-fitting: no row is read by a model that saw it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from goodviews.estimators.variables import Variable
from goodviews.interfaces import Kind


@dataclass(frozen=True)
class Reading:
    """One number a row: their mean is the estimate, their spread its standard error. In nats."""

    values: np.ndarray
    """Influence values, float64, shape (n,)."""
    shuffled: np.ndarray
    """The same mean for shuffles of y against x, shape (b,); b may be 0."""
    kind: Kind = "neither"
    lower: float | None = None
    upper: float | None = None
    ceiling: float = math.inf
    candidates: int | None = None
    split: str = "cross-fitted"
    details: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    noise: float = 0.0
    """Standard error beyond the spread of ``values``: what fitting adds where they hardly vary."""

    @property
    def nats(self) -> float:
        """The estimate."""
        return float(self.values.mean())


Method = Callable[..., Reading]
"""``method(x, y, *, seed, shuffles, device="cpu", **settings) -> Reading`` for two Variables of
equal length; ``shuffles`` is how many shuffled values to return. Raises UserError for what it
cannot read (labels where it needs numbers, too many dimensions), with the remedy."""

LogRatio = Callable[[Variable, Variable], np.ndarray]
"""A fitted model: aligned rows of x and y -> log p(x,y)/(p(x)p(y)), float64, shape (n,)."""


def folds(n: int, parts: int, seed: int) -> np.ndarray:
    """A random fold number for each of n rows, int64 (n,); sizes differ by one at most.

    Example:
        >>> np.bincount(folds(10, 3, seed=0)).tolist()
        [4, 3, 3]
    """
    return np.random.default_rng(seed).permutation(np.arange(n) % parts)
