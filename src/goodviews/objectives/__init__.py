"""Objectives: what training minimises, from projections or scores. All return (loss, nats)."""

from goodviews.objectives.contrastive import BoundObjective, InfoNCE, NTXent
from goodviews.objectives.local import LocalBound
from goodviews.objectives.metric import distances, kpair_loss, mined, triplet_loss
from goodviews.objectives.mixture import MixtureNCE
from goodviews.objectives.multiscale import MultiscaleLoss, MultiscaleNCE
from goodviews.objectives.negatives import InstDisNCE, MemoryBank, MemorySoftmax, Queue
from goodviews.objectives.streaming import NCE, infonce_loss, multiscale_nce, ntxent_loss
from goodviews.objectives.variational import FLO, MINE

__all__ = [
    "FLO",
    "MINE",
    "NCE",
    "BoundObjective",
    "InfoNCE",
    "InstDisNCE",
    "LocalBound",
    "MemoryBank",
    "MemorySoftmax",
    "MixtureNCE",
    "MultiscaleLoss",
    "MultiscaleNCE",
    "NTXent",
    "Queue",
    "distances",
    "infonce_loss",
    "kpair_loss",
    "mined",
    "multiscale_nce",
    "ntxent_loss",
    "triplet_loss",
]
