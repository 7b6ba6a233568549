"""Objectives: what training minimises, from projections or scores. All return (loss, nats)."""

from goodviews.objectives.contrastive import BoundObjective, NTXent
from goodviews.objectives.variational import FLO, MINE

__all__ = ["FLO", "MINE", "BoundObjective", "NTXent"]
