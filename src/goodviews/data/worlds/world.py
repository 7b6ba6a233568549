"""A world draws pairs of known mutual information."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from goodviews.interfaces import UserError

Draw = Callable[[int, Generator], tuple[np.ndarray, np.ndarray]]
LogRatio = Callable[[np.ndarray, np.ndarray], np.ndarray]
Map = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class World:
    """A joint distribution of (x, y) whose mutual information is known.

    Example:
        >>> from goodviews.data.worlds import gaussian
        >>> world = gaussian(dim=2, nats=1.0)
        >>> x, y = world.sample(1000, seed=0)
        >>> x.shape, round(float(world.log_ratio(x, y).mean()), 1)
        ((1000, 2), 1.0)
    """

    name: str
    dim_x: int
    dim_y: int
    nats: float
    """I(x;y)."""
    draw: Draw
    """n and a generator -> aligned x and y."""
    log_ratio: LogRatio | None
    """Aligned x and y -> log p(x,y)/(p(x)p(y)), float64, shape (n,), in nats: its mean over pairs
    of the joint is I. None where it is not known."""
    nats_stderr: float = 0.0
    """Standard error of ``nats`` where it is a Monte Carlo mean of the log-ratio; 0: exact."""
    levels_x: int = 0
    """Number of labels, where x is labels; 0 for numbers."""
    levels_y: int = 0
    """Number of labels, where y is labels; 0 for numbers."""

    def sample(self, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Draw n independent pairs: numbers are float64 (n, d), labels int64 (n,).

        Raises:
            UserError: n is not positive.
        """
        if n < 1:
            raise UserError(f"n: {n} pairs. Draw at least 1.")
        return self.draw(n, np.random.default_rng(seed))


def warped(
    world: World,
    name: str,
    x: tuple[Map, Map] | None = None,
    y: tuple[Map, Map] | None = None,
) -> World:
    """Map x, y or both by an invertible map: I and the log-ratio stay.

    Args:
        world: of the pairs before.
        name: of the world after.
        x: the map and its inverse, arrays (n, d) -> (n, d').
        y: the same.

    Example:
        >>> from goodviews.data.worlds import gaussian
        >>> world = warped(gaussian(1, 0.5), "exp", y=(np.exp, np.log))
        >>> world.nats, bool((world.sample(9)[1] > 0).all())
        (0.5, True)
    """
    (there_x, back_x), (there_y, back_y) = x or (_same, _same), y or (_same, _same)
    ratio = world.log_ratio

    def draw(n: int, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
        before_x, before_y = world.draw(n, rng)
        return there_x(before_x), there_y(before_y)

    return dataclasses.replace(
        world,
        name=name,
        draw=draw,
        log_ratio=ratio and (lambda after_x, after_y: ratio(back_x(after_x), back_y(after_y))),
        dim_x=there_x(np.ones((1, world.dim_x))).shape[1],
        dim_y=there_y(np.ones((1, world.dim_y))).shape[1],
    )


def monte_carlo(world: World, draws: int = 400_000) -> World:
    """Set ``nats`` to the mean of the exact log-ratio over ``draws`` pairs, with its error.

    Raises:
        UserError: the log-ratio is not known, or there are fewer than two draws.

    Example:
        >>> from goodviews.data.worlds import gaussian
        >>> world = monte_carlo(gaussian(1, 0.5), draws=10_000)
        >>> abs(world.nats - 0.5) < 4 * world.nats_stderr < 0.05
        True
    """
    if world.log_ratio is None or draws < 2:
        raise UserError(f"{world.name}: no log-ratio, or {draws} draws. Use both, 2 or more draws.")
    values = world.log_ratio(*world.draw(draws, np.random.default_rng(20_181)))
    stderr = float(values.std(ddof=1)) / math.sqrt(draws)
    return dataclasses.replace(world, nats=float(values.mean()), nats_stderr=stderr)


def _same(values: np.ndarray) -> np.ndarray:
    return values
