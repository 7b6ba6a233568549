"""How near rows are to each other: the scores distances are taken of, and counts within a reach."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from goodviews.estimators.variables import Variable, normal_scores

Norm = Literal["max", "euclidean"]

METRICS = {"max": "chebyshev", "euclidean": "euclidean"}
"""Our names of distances inside a block, and scipy's."""
_TREE_WIDTH = 8
"""KD-trees visit nearly every point above this width: distances are then computed in tiles."""
_TILE = 4_000_000
"""Distances held at once by the tiled path."""
_JITTER = 1e-10
"""Of a column's standard deviation, to part equal values."""


def neighbor_scores(variable: Variable, scores: bool) -> np.ndarray:
    """What distances are taken of: normal scores, or standard scores; labels' codes as they are."""
    if variable.discrete:
        return variable.values
    return normal_scores(variable.values) if scores else standard_scores(variable.values)


def standard_scores(values: np.ndarray) -> np.ndarray:
    """Columns of mean 0 and variance 1; constant columns become 0. Shape (n, d).

    Example:
        >>> standard_scores(np.array([[0.0, 5.0], [2.0, 5.0]])).tolist()
        [[-1.0, 0.0], [1.0, 0.0]]
    """
    spread = values.std(0)
    return (values - values.mean(0)) / np.where(spread > 0, spread, 1.0)


def jittered(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The columns that have ties, plus uniform noise of 1e-10 of their standard deviation.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> values = jittered(np.array([[0.0, 1.0], [0.0, 2.0], [3.0, 3.0]]), rng)
        >>> bool(values[0, 0] == values[1, 0]), values[:, 1].tolist()
        (False, [1.0, 2.0, 3.0])
    """
    tied = np.array([len(np.unique(column)) < len(values) for column in values.T])
    if not tied.any():
        return values
    spread = values.std(0)
    noise = rng.uniform(-1.0, 1.0, values.shape) * np.where(spread > 0, spread, 1.0) * _JITTER
    centred = values - np.median(values, axis=0)  # else the noise is lost beside a large mean
    return np.where(tied, centred + noise, values)


def near_counts(
    x: np.ndarray, y: np.ndarray, k: int, variant: int, norm: Norm
) -> tuple[np.ndarray, np.ndarray]:
    """Kraskov's n_x and n_y, int64 (n,): the rows about as near as the k-th neighbour in (x, y).

    Distances of (x, y) are the larger of the two. Variant 1: strictly nearer than the k-th
    neighbour. Variant 2: within the neighbours' own reach in x, and in y, borders included.

    Example:
        >>> x = np.array([[0.0], [1.0], [3.0]])
        >>> near_counts(x, 0 * x, 1, 1, "max")  # all y are equal, and nearer than anything in x
        (array([0, 0, 0]), array([2, 2, 2]))
    """
    if norm == "euclidean" or max(x.shape[1], y.shape[1]) > _TREE_WIDTH:
        return _tiled_counts(x, y, k, variant, norm)
    return _tree_counts(x, y, k, variant)


def count_within(block: np.ndarray, radius: np.ndarray, *, closed: bool = False) -> np.ndarray:
    """For each row the others nearer than ``radius`` in max-norm, int64 (n,).

    Args:
        block: shape (n, d).
        radius: shape (n,).
        closed: count those at the radius too. In one dimension, distances that differ by a few
            rounding errors count as equal.

    Example:
        >>> line = np.array([[0.0], [1.0], [3.0]])
        >>> count_within(line, np.ones(3)).tolist(), count_within(line, np.ones(3), closed=True)
        ([0, 0, 0], array([1, 1, 0]))
    """
    if block.shape[1] > 1:
        reach = np.maximum(radius if closed else np.nextafter(radius, -1.0), 0.0)
        counts = cKDTree(block).query_ball_point(block, reach, p=np.inf, return_length=True)
        return np.where((radius > 0) | closed, counts - 1, 0)
    values = block[:, 0]
    slack = 4 * np.spacing(np.abs(values).max() + radius)
    radius = radius + slack if closed else radius - slack
    ordered = np.sort(values)
    upper = np.searchsorted(ordered, values + radius, "right")
    return np.maximum(upper - np.searchsorted(ordered, values - radius, "left") - 1, 0)


def _tree_counts(
    x: np.ndarray, y: np.ndarray, k: int, variant: int
) -> tuple[np.ndarray, np.ndarray]:
    joint = np.hstack([x, y])
    distance, index = cKDTree(joint).query(joint, k + 1, p=np.inf)
    if variant == 1:
        return count_within(x, distance[:, -1]), count_within(y, distance[:, -1])
    reach = (np.abs(v[index] - v[:, None]).max((1, 2)) for v in (x, y))
    near_x, near_y = (count_within(v, r, closed=True) for v, r in zip((x, y), reach, strict=True))
    return near_x, near_y


def _tiled_counts(
    x: np.ndarray, y: np.ndarray, k: int, variant: int, norm: Norm
) -> tuple[np.ndarray, np.ndarray]:
    n = len(x)
    near = np.empty((2, n), np.int64)
    tile = max(1, _TILE // n)
    for start in range(0, n, tile):
        rows = slice(start, min(start + tile, n))
        parts = [cdist(v[rows], v, METRICS[norm]) for v in (x, y)]
        joint = np.maximum(*parts)
        own = np.arange(rows.stop - rows.start)
        joint[own, own + start] = np.inf
        nearest = np.argpartition(joint, k - 1, axis=1)[:, :k]
        if variant == 1:
            reach = np.take_along_axis(joint, nearest, 1).max(1, keepdims=True)
            near[:, rows] = [(part < reach).sum(1) - 1 for part in parts]
        else:
            reaches = [np.take_along_axis(p, nearest, 1).max(1, keepdims=True) for p in parts]
            near[:, rows] = [(p <= r).sum(1) - 1 for p, r in zip(parts, reaches, strict=True)]
    return near[0], near[1]
