"""How sure one may be of an accuracy, and of a difference between two on the same images."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

Z95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""


def wilson(successes: int, n: int, *, z: float = Z95) -> tuple[float, float]:
    """95 % confidence interval of a proportion: (low, high), fractions in [0, 1].

    ``(p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)`` (Wilson 1927).

    Raises:
        ValueError: ``n`` is not positive.

    Example:
        >>> [round(x, 4) for x in wilson(90, 100)]
        [0.8256, 0.9448]
    """
    if n < 1:
        raise ValueError(f"wilson: n = {n}. An interval needs at least one trial.")
    p = successes / n
    middle = p + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


@dataclass(frozen=True)
class Difference:
    """Accuracy of one probe minus another's on the same images, with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """1 better, -1 worse, 0 when the interval holds zero."""
        return (self.low > 0) - (self.high < 0)


def paired_difference(a: Tensor, b: Tensor, *, z: float = Z95) -> Difference:
    """Mean of ``a - b`` with the 95 % interval for paired proportions; a, b bool, shape (n,).

    Adjusted Wald of Agresti & Min (2005): half an image is added to each of the four cells of
    the table (both right, only a, only b, neither) before the normal interval is taken.

    Raises:
        ValueError: Shapes differ or there is no image.

    Example:
        >>> import torch
        >>> a = torch.tensor([True] * 90 + [False] * 10)
        >>> b = torch.tensor([True] * 70 + [False] * 30)
        >>> d = paired_difference(a, b)
        >>> round(d.value, 2), d.sign
        (0.2, 1)
    """
    if a.shape != b.shape or a.numel() == 0:
        raise ValueError(f"paired_difference: shapes {tuple(a.shape)} and {tuple(b.shape)}.")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    n = a.numel() + 2
    right, wrong = (only_a + 0.5) / n, (only_b + 0.5) / n
    middle = right - wrong
    half = z * math.sqrt(max(right + wrong - middle * middle, 0.0) / n)
    return Difference((only_a - only_b) / a.numel(), max(middle - half, -1), min(middle + half, 1))
