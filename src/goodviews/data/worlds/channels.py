"""Labels, uniform noise, and labels with numbers: worlds without a Gaussian pair."""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator
from scipy.special import logsumexp

from goodviews.data.worlds.world import World
from goodviews.information import mutual_information
from goodviews.interfaces import UserError


def table(joint: np.ndarray, name: str = "table") -> World:
    """Labels x and y with any joint table of probabilities, shape (levels of x, levels of y).

    Raises:
        UserError: the table is not one of probabilities.

    Example:
        >>> world = table(np.array([[0.4, 0.1], [0.1, 0.4]]))
        >>> round(world.nats, 5), world.sample(5)[0].dtype
        (0.19274, dtype('int64'))
    """
    joint = np.asarray(joint, dtype=np.float64)
    if joint.ndim != 2 or (joint < 0).any() or not np.isclose(joint.sum(), 1.0):
        raise UserError(f"joint: {joint.shape} with sum {joint.sum():g}. Make it sum to 1.")
    rows, columns = joint.shape
    with np.errstate(divide="ignore"):
        ratio = np.log(joint) - np.log(np.outer(joint.sum(1), joint.sum(0)))

    def draw(n: int, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
        cells = rng.choice(joint.size, n, p=joint.ravel())
        return cells // columns, cells % columns

    return World(
        name=name,
        dim_x=1,
        dim_y=1,
        nats=mutual_information(joint),
        draw=draw,
        log_ratio=lambda x, y: ratio[x, y],
        levels_x=rows,
        levels_y=columns,
    )


def binary_symmetric(flip: float = 0.1) -> World:
    """A fair bit, flipped with probability ``flip``: I = log 2 - H(flip).

    Example:
        >>> round(binary_symmetric(0.2).nats, 5)
        0.19274
    """
    _probability("flip", flip)
    return table(np.array([[1 - flip, flip], [flip, 1 - flip]]) / 2, "binary-symmetric")


def erasure(lost: float = 0.25, levels: int = 4) -> World:
    """A uniform label, erased with probability ``lost``: I = (1 - lost) log levels.

    The last label of y says that x is lost.

    Example:
        >>> round(erasure(0.25, 4).nats, 5) == round(0.75 * math.log(4), 5)
        True
    """
    _probability("lost", lost)
    kept = (1 - lost) * np.eye(levels)
    return table(np.hstack([kept, np.full((levels, 1), lost)]) / levels, "erasure")


def additive_uniform(width: float = 0.75) -> World:
    r"""Noise y = x + u, x uniform on (0, 1), u on (-w, w): I = w - log 2w, or 1/(4w) for w > 1/2.

    Example:
        >>> round(additive_uniform(0.1).nats, 4), round(additive_uniform(0.75).nats, 4)
        (1.7094, 0.3333)
    """
    if width <= 0:
        raise UserError(f"width: {width} is not positive. Use for example 0.75.")

    def draw(n: int, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
        x = rng.random((n, 1))
        return x, x + rng.uniform(-width, width, (n, 1))

    def log_ratio(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """p(y|x) = 1 / 2w, p(y) = (length of x that reach y) / 2w."""
        length = np.minimum(1, y + width) - np.maximum(0, y - width)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(np.abs(y - x) <= width, -np.log(length), -np.inf)[:, 0]

    nats = width - math.log(2 * width) if width <= 0.5 else 1 / (4 * width)
    return World("additive-uniform", 1, 1, nats, draw, log_ratio)


def gaussian_classes(classes: int = 3, gap: float = 2.0) -> World:
    r"""Labels y, uniform, seen as x = gap y + N(0, 1): I = h(x) - log(2 pi e) / 2.

    h(x) is a quadrature; the grid is fine enough for 12 digits.

    Example:
        >>> world = gaussian_classes(2, gap=20.0)
        >>> round(world.nats, 6), world.levels_y
        (0.693147, 2)
    """
    centres = gap * np.arange(classes)

    def log_normal(x: np.ndarray, centre: np.ndarray | float) -> np.ndarray:
        return -0.5 * ((x - centre) ** 2 + math.log(2 * math.pi))

    def log_margin(x: np.ndarray) -> np.ndarray:
        """The log density of x, shape (n,), at x (n, 1)."""
        return logsumexp(log_normal(x, centres), axis=1) - math.log(classes)

    def draw(n: int, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
        y = rng.integers(classes, size=n)
        return centres[y][:, None] + rng.standard_normal((n, 1)), y

    def log_ratio(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return log_normal(x[:, 0], centres[y]) - log_margin(x)

    grid = np.arange(min(centres[0], centres[-1]) - 12.0, abs(centres[-1]) + 12.0, 0.01)
    log_density = log_margin(grid[:, None])
    entropy = -float((np.exp(log_density) * log_density).sum() * 0.01)
    nats = entropy - 0.5 * math.log(2 * math.pi * math.e)
    return World("gaussian-classes", 1, 1, nats, draw, log_ratio, levels_y=classes)


def uniform_steps(levels: int = 5) -> World:
    r"""Labels x of m, uniform, and y uniform on (x, x + 2): I = log m - (m - 1)/m log 2.

    Labels against numbers, from Gao et al. (2017).

    Example:
        >>> round(uniform_steps(5).nats, 4)
        1.0549
    """

    def draw(n: int, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
        x = rng.integers(levels, size=n)
        return x, x[:, None] + rng.uniform(0, 2, (n, 1))

    def log_ratio(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """All labels reach the same length; ``reaching`` of them reach y."""
        y = y[:, 0]
        reaching = np.where((y < 1) | (y >= levels), 1, 2)
        inside = (x <= y) & (y <= x + 2)
        return np.where(inside, np.log(levels / reaching), -np.inf)

    nats = math.log(levels) - (levels - 1) / levels * math.log(2)
    return World("uniform-steps", 1, 1, nats, draw, log_ratio, levels_x=levels)


def _probability(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise UserError(f"{name}: {value} is not a probability. Use 0 to 1.")
