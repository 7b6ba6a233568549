"""A variable is a column block of numbers, or one column of labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Variable:
    """n observations of one variable: real vectors, or labels.

    Example:
        >>> labels = Variable(np.array([[0.0], [1.0], [1.0]]), levels=2)
        >>> len(labels), labels.width, labels.discrete
        (3, 1, True)
    """

    values: np.ndarray
    """float64, shape (n, d); for labels (n, 1) of codes 0, 1, ..., levels - 1."""
    levels: int = 0
    """Number of different labels; 0 for real vectors."""

    def __len__(self) -> int:
        """The number n of observations."""
        return len(self.values)

    @property
    def width(self) -> int:
        """The dimension d."""
        return self.values.shape[1]

    @property
    def discrete(self) -> bool:
        """Whether these are labels."""
        return self.levels > 0

    @property
    def codes(self) -> np.ndarray:
        """Labels as int64, shape (n,)."""
        return self.values[:, 0].astype(np.int64)

    def take(self, index: np.ndarray) -> Variable:
        """The observations at ``index``."""
        return Variable(self.values[index], self.levels)


def normal_scores(values: np.ndarray) -> np.ndarray:
    """Rank-Gaussianised columns: Phi^-1(rank / (n + 1)), ties sharing their mean rank.

    Mutual information does not change under strictly increasing maps of single columns, so
    neither does any estimate that reads only these scores.

    Args:
        values: shape (n, d).

    Returns:
        float64, shape (n, d).

    Example:
        >>> x = np.array([[1.0], [100.0], [10.0]])
        >>> bool((normal_scores(x) == normal_scores(np.log(x))).all())
        True
    """
    return stats.norm.ppf(stats.rankdata(values, axis=0) / (len(values) + 1))
