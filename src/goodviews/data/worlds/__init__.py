"""Worlds: distributions of pairs whose mutual information is known, to measure the measuring.

:data:`WORLDS` maps a name to a factory with defaults; each factory has dials of its own, and
:func:`warped`, :func:`margins` and :func:`mixture` make more.
"""

from collections.abc import Callable

from goodviews.data.worlds.batches import DependentBatches, dependent_gaussian
from goodviews.data.worlds.channels import (
    additive_uniform,
    binary_symmetric,
    erasure,
    gaussian_classes,
    table,
    uniform_steps,
)
from goodviews.data.worlds.gaussians import (
    autoregression,
    dense,
    from_covariance,
    gaussian,
    noisy_images,
    sparse,
)
from goodviews.data.worlds.mixtures import clusters, cross, inliers, mixture, student
from goodviews.data.worlds.pictures import factor_images
from goodviews.data.worlds.warps import MARGINS, cubic, margins, spiral, swiss_roll
from goodviews.data.worlds.world import World, monte_carlo, warped

__all__ = [
    "MARGINS",
    "WORLDS",
    "DependentBatches",
    "World",
    "additive_uniform",
    "autoregression",
    "binary_symmetric",
    "clusters",
    "cross",
    "cubic",
    "dense",
    "dependent_gaussian",
    "erasure",
    "factor_images",
    "from_covariance",
    "gaussian",
    "gaussian_classes",
    "inliers",
    "margins",
    "mixture",
    "monte_carlo",
    "noisy_images",
    "sparse",
    "spiral",
    "student",
    "swiss_roll",
    "table",
    "uniform_steps",
    "warped",
]

WORLDS: dict[str, Callable[[], World]] = {
    "gaussian": gaussian,
    "independent": lambda: gaussian(5, 0.0),
    "sparse": sparse,
    "dense": dense,
    "cubic": cubic,
    "half-cube": lambda: margins(sparse(), "half-cube"),
    "normal-cdf": lambda: margins(sparse(), "normal-cdf"),
    "student": student,
    "asinh-student": lambda: margins(student(), "asinh"),
    "spiral": spiral,
    "swiss-roll": swiss_roll,
    "cross": cross,
    "inliers": inliers,
    "clusters": clusters,
    "additive-uniform": additive_uniform,
    "autoregression": autoregression,
    "noisy-images": noisy_images,
    "factor-images": factor_images,
    "binary-symmetric": binary_symmetric,
    "erasure": erasure,
    "gaussian-classes": gaussian_classes,
    "uniform-steps": uniform_steps,
}
"""Name -> factory."""
