"""Numbers with errors over images and seeds, and whether two of them differ."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Sample:
    """A number image by image and seed by seed; its mean is what is reported.

    Args:
        values: shape (seeds, images). Nats: the part each held-out image plays in I_NCE. Accuracy:
            1 where the probe is right, 0 where it is wrong.

    Example:
        >>> right = Sample(np.array([[1, 1, 0, 1], [1, 0, 0, 1]]))
        >>> right.mean, round(right.sd, 3), right.seeds
        (0.625, 0.177, 2)
    """

    values: np.ndarray

    def __post_init__(self) -> None:
        """Store as float64 with two axes."""
        object.__setattr__(self, "values", np.atleast_2d(np.asarray(self.values, np.float64)))

    @property
    def seeds(self) -> int:
        """How many seeds."""
        return len(self.values)

    @property
    def mean(self) -> float:
        """Over images and seeds."""
        return float(self.values.mean())

    @property
    def sd(self) -> float | None:
        """Of the means over seeds; None for one seed."""
        return float(self.values.mean(1).std(ddof=1)) if self.seeds > 1 else None

    @property
    def half(self) -> float:
        """Half the width of the 95 % interval, over images and seeds."""
        return _half([self], self.values.mean(0), 1)

    def to_dict(self) -> dict[str, float | int | None]:
        """Value, half, sd over seeds, seeds."""
        return {"value": self.mean, "half": self.half, "sd": self.sd, "seeds": self.seeds}


@dataclass(frozen=True)
class Difference:
    """One number minus another, with half the width of its interval."""

    value: float
    half: float

    @property
    def low(self) -> float:
        """The lower end."""
        return self.value - self.half

    @property
    def high(self) -> float:
        """The upper end."""
        return self.value + self.half

    def sign(self, least: float = 0.0) -> int:
        """1 or -1 where it is decided and at least ``least`` in size, else 0.

        Example:
            >>> Difference(0.3, 0.1).sign(), Difference(0.3, 0.1).sign(0.5)
            (1, 0)
        """
        decided = abs(self.value) > self.half and abs(self.value) >= least
        return int(np.sign(self.value)) if decided else 0

    def within(self, most: float) -> bool:
        """Whether the whole interval lies in [-most, most].

        Example:
            >>> Difference(0.1, 0.1).within(0.3), Difference(0.1, 0.4).within(0.3)
            (True, False)
        """
        return max(abs(self.low), abs(self.high)) <= most

    def to_dict(self) -> dict[str, float]:
        """Value and half."""
        return {"value": self.value, "half": self.half}


def difference(one: Sample, other: Sample, comparisons: int = 1) -> Difference:
    r"""Mean of ``one`` minus mean of ``other``, with its 95 % interval over images and seeds.

    ``half^2 = (z se_images)^2 + (t se_seeds)^2``. se_images is the standard error of the mean over
    images of the differences of seed means (paired: both were read on the same images);
    ``se_seeds^2 = var_1 / S_1 + var_2 / S_2`` with the variances over seeds, and t is Student's
    with Welch's degrees of freedom. z and t are two-sided 95 % points, corrected for the number of
    ``comparisons`` (Bonferroni). What has one seed adds nothing to se_seeds.

    Raises:
        ValueError: they were read on different numbers of images.

    Example:
        >>> draws = np.random.default_rng(0)
        >>> low, high = (Sample(draws.normal(m, 0.1, size=(3, 500))) for m in (1.0, 2.0))
        >>> difference(high, low, comparisons=10).sign(), difference(low, low).sign()
        (1, 0)
    """
    if one.values.shape[1] != other.values.shape[1]:
        raise ValueError(
            f"difference: {one.values.shape[1]} and {other.values.shape[1]} images are not paired."
        )
    gaps = one.values.mean(0) - other.values.mean(0)
    return Difference(float(gaps.mean()), _half([one, other], gaps, comparisons))


def _half(samples: list[Sample], rows: np.ndarray, comparisons: int) -> float:
    """Half the width of the interval of ``rows.mean()``, rows being one number an image."""
    tail = 0.05 / (2 * comparisons)
    spread = rows.std(ddof=1) / math.sqrt(len(rows)) if len(rows) > 1 else 0.0
    images = stats.norm.isf(tail) * spread
    parts = [(s.sd**2 / s.seeds, s.seeds - 1) for s in samples if s.sd]
    variance = sum(part for part, _ in parts)
    if not variance:
        return float(images)
    freedom = variance**2 / sum(part**2 / df for part, df in parts)
    return float(math.hypot(images, stats.t.isf(tail, freedom) * math.sqrt(variance)))
