"""Objectives: what training minimises, from projections or scores. All return (loss, nats)."""

from goodviews.objectives.contrastive import BoundObjective, NTXent

__all__ = ["BoundObjective", "NTXent"]
