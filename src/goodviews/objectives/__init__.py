"""Objectives: what training minimises, from projections or scores. All return (loss, nats)."""

from goodviews.objectives.contrastive import BoundObjective, NTXent
from goodviews.objectives.multiscale import MultiscaleLoss, MultiscaleNCE
from goodviews.objectives.streaming import NCE, multiscale_nce
from goodviews.objectives.variational import FLO, MINE

__all__ = [
    "FLO",
    "MINE",
    "NCE",
    "BoundObjective",
    "MultiscaleLoss",
    "MultiscaleNCE",
    "NTXent",
    "multiscale_nce",
]
