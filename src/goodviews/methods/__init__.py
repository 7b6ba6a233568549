"""Methods: LightningModules that join views, encoders, a head and an objective.

The catalogue :data:`METHODS` maps a name to a function of the views, the encoder's name and
options that returns a module ready for :func:`goodviews.training.fit` or any Lightning Trainer.
"""

from collections.abc import Callable

from goodviews.methods.amdim import AMDIM, amdim, dim
from goodviews.methods.contrastive import Contrastive, infonce, simclr
from goodviews.methods.method import ViewMethod, step_generator

METHODS: dict[str, Callable[..., ViewMethod]] = {
    "simclr": simclr,
    "infonce": infonce,
    "amdim": amdim,
    "dim": dim,
}

__all__ = [
    "AMDIM",
    "METHODS",
    "Contrastive",
    "ViewMethod",
    "amdim",
    "dim",
    "infonce",
    "simclr",
    "step_generator",
]
