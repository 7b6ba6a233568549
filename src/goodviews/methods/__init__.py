"""Methods: LightningModules that join views, encoders, a head and an objective.

The catalogue :data:`METHODS` maps a name to a function of the views, the encoder's name and
options that returns a module ready for :func:`goodviews.training.fit` or any Lightning Trainer.
"""

from collections.abc import Callable

from goodviews.methods.amdim import AMDIM, amdim, dim
from goodviews.methods.contrastive import Contrastive, infonce, simclr
from goodviews.methods.instance import (
    cmc,
    cmc_v2,
    infomin,
    instdis,
    memory_contrast,
    moco,
    moco_v2,
    pirl,
)
from goodviews.methods.method import ViewMethod, step_generator
from goodviews.methods.momentum import MemoryContrast

METHODS: dict[str, Callable[..., ViewMethod]] = {
    "simclr": simclr,
    "infonce": infonce,
    "amdim": amdim,
    "dim": dim,
    "instdis": instdis,
    "cmc": cmc,
    "moco": moco,
    "moco-v2": moco_v2,
    "pirl": pirl,
    "cmc-v2": cmc_v2,
    "infomin": infomin,
}

__all__ = [
    "AMDIM",
    "METHODS",
    "Contrastive",
    "MemoryContrast",
    "ViewMethod",
    "amdim",
    "cmc",
    "cmc_v2",
    "dim",
    "infomin",
    "infonce",
    "instdis",
    "memory_contrast",
    "moco",
    "moco_v2",
    "pirl",
    "simclr",
    "step_generator",
]
