"""Invertible maps that make a world harder to measure and leave its information as it is."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri

from goodviews.data.worlds.gaussians import gaussian, sparse
from goodviews.data.worlds.world import Map, World, warped
from goodviews.interfaces import UserError, check_name


def _signed_power(power: float) -> Map:
    return lambda v: np.sign(v) * np.abs(v) ** power


MARGINS: dict[str, tuple[Map, Map]] = {
    "cubic": (lambda v: v**3, np.cbrt),
    "half-cube": (_signed_power(1.5), _signed_power(2 / 3)),
    "asinh": (np.arcsinh, np.sinh),
    "normal-cdf": (ndtr, ndtri),
}
"""Name -> an increasing map of each coordinate, and its inverse."""


def margins(world: World, name: str) -> World:
    """Map every coordinate of x and y by an increasing map of :data:`MARGINS`.

    No estimator that reads ranks only can tell the world after from the one before.

    Raises:
        UserError: an unknown map, with the nearest one.

    Example:
        >>> margins(gaussian(1, 0.5), "half-cube").nats
        0.5
    """
    check_name("margins", name, MARGINS)
    return warped(world, f"{name} {world.name}", MARGINS[name], MARGINS[name])


def cubic(dim: int = 20, nats: float = 6.0) -> World:
    """:func:`gaussian` with y cubed (Song and Ermon 2020; Cheng et al. 2020).

    Example:
        >>> round(cubic(20, 6.0).nats, 9)
        6.0
    """
    cube = MARGINS["cubic"]
    return warped(gaussian(dim, nats), f"cubic-{dim}-{nats:g}", y=cube)


def spiral(dim: int = 5, speed: float | None = None, rho: float = 0.8) -> World:
    r"""Spirals x -> exp(v |x|^2 A) x of :func:`sparse`, A skew-symmetric: it generates a rotation.

    Points turn the faster, the farther out they lie; lengths stay, so the inverse turns back
    (Czyz et al. 2023). x turns in coordinates 0 and 1, y in 1 and 2 (0 and 1 where it
    has two only).

    Args:
        dim: width of x and of y, at least 2.
        speed: v; None is 1 / dim.
        rho: of the two correlated pairs before.

    Raises:
        UserError: dim < 2.

    Example:
        >>> round(spiral(3).nats, 4)
        1.0217
    """
    if dim < 2:
        raise UserError(f"spiral: dim {dim}. Turning takes two coordinates: use 2 or more.")
    planes = (0, 1), ((1, 2) if dim > 2 else (0, 1))
    speed = 1 / dim if speed is None else speed
    turns = [(turning(speed, plane), turning(-speed, plane)) for plane in planes]
    return warped(sparse(dim, 2, rho), f"spiral-{dim}", *turns)


def turning(speed: float, plane: tuple[int, int]) -> Map:
    """The map x -> exp(v |x|^2 A) x with A the generator of rotations of two coordinates.

    Example:
        >>> there, back = turning(1.0, (0, 1)), turning(-1.0, (0, 1))
        >>> x = np.array([[1.0, 2.0, 3.0]])
        >>> bool(np.allclose(back(there(x)), x))
        True
    """
    first, second = plane

    def turn(values: np.ndarray) -> np.ndarray:
        angle = speed * np.square(values).sum(1)
        turned = values.copy()
        cosine, sine = np.cos(angle), np.sin(angle)
        turned[:, first] = cosine * values[:, first] - sine * values[:, second]
        turned[:, second] = sine * values[:, first] + cosine * values[:, second]
        return turned

    return turn


def swiss_roll(rho: float = 0.75) -> World:
    """A bivariate Gaussian with uniform margins, x rolled up in the plane (Czyz et al. 2023).

    Example:
        >>> world = swiss_roll()
        >>> world.dim_x, round(world.nats, 4)
        (2, 0.4133)
    """
    flat = margins(sparse(1, 1, rho), "normal-cdf")
    return warped(flat, "swiss-roll", x=(_roll, _unroll))


def _roll(values: np.ndarray) -> np.ndarray:
    angle = 1.5 * np.pi * (1 + 2 * values)
    return np.concatenate([angle * np.cos(angle), angle * np.sin(angle)], axis=1) / 21


def _unroll(values: np.ndarray) -> np.ndarray:
    angle = 21 * np.linalg.norm(values, axis=1, keepdims=True)
    return (angle / (1.5 * np.pi) - 1) / 2
