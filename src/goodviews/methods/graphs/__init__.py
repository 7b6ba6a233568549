"""Methods that learn from graphs: one composition of contrast, and baselines.

``METHOD(views, encoder, in_channels, seed=0, **options)``; :class:`GraphMethod` is the contract.
"""

from __future__ import annotations

from collections.abc import Callable

from goodviews.methods.graphs.autoencoders import GraphAutoencoder, gae, vgae
from goodviews.methods.graphs.contrast import GraphContrast, graph_objective
from goodviews.methods.graphs.method import GraphMethod, GraphViews, Scorer
from goodviews.methods.graphs.named import (
    GRAPH_PRESETS,
    GraphPreset,
    dgi,
    grace,
    graphcl,
    infograph,
    mvgrl,
)
from goodviews.methods.graphs.view_learning import GraphViewGame, graph_view_game
from goodviews.methods.graphs.walks import Node2Vec, node2vec

__all__ = [
    "GRAPH_METHODS",
    "GRAPH_PRESETS",
    "GraphAutoencoder",
    "GraphContrast",
    "GraphMethod",
    "GraphPreset",
    "GraphViewGame",
    "GraphViews",
    "Node2Vec",
    "Scorer",
    "dgi",
    "gae",
    "grace",
    "graph_objective",
    "graph_view_game",
    "graphcl",
    "infograph",
    "mvgrl",
    "node2vec",
    "vgae",
]

GRAPH_METHODS: dict[str, Callable[..., GraphMethod]] = {
    "grace": grace,
    "dgi": dgi,
    "infograph": infograph,
    "mvgrl": mvgrl,
    "graphcl": graphcl,
    "gae": gae,
    "vgae": vgae,
    "node2vec": node2vec,
}
"""Name -> (views, encoder, in_channels, seed=0, **options) to an untrained method."""
