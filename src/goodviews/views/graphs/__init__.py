"""Views of graphs: ops with one dial each, recipes, families. Needs the extra ``[graph]``."""

from goodviews.views.graphs.aware_ops import (
    MaskUnimportant,
    RemoveBetween,
    RemoveUnimportant,
    RemoveUnshared,
)
from goodviews.views.graphs.diffusion import HeatDiffusion, PersonalisedPageRank
from goodviews.views.graphs.families import GRAPH_FAMILIES, GraphFamily
from goodviews.views.graphs.feature_ops import AttributeNoise, MaskFeatures, ShuffleAttributes
from goodviews.views.graphs.hidden import HideLinks
from goodviews.views.graphs.learned import LearnedDrop, LinkDropper
from goodviews.views.graphs.link_ops import AddLinks, RemoveLinks, RewireLinks
from goodviews.views.graphs.node_ops import DropNodes, RandomWalkSubgraph
from goodviews.views.graphs.op import GraphOp
from goodviews.views.graphs.plausible import CompleteTriads, ResampleLinks
from goodviews.views.graphs.recipes import GRAPH_OPS, GRAPH_RECIPES, GraphRecipe, OneOf
from goodviews.views.graphs.spectral import SpectralSplit

__all__ = [
    "GRAPH_FAMILIES",
    "GRAPH_OPS",
    "GRAPH_RECIPES",
    "AddLinks",
    "AttributeNoise",
    "CompleteTriads",
    "DropNodes",
    "GraphFamily",
    "GraphOp",
    "GraphRecipe",
    "HeatDiffusion",
    "HideLinks",
    "LearnedDrop",
    "LinkDropper",
    "MaskFeatures",
    "MaskUnimportant",
    "OneOf",
    "PersonalisedPageRank",
    "RandomWalkSubgraph",
    "RemoveBetween",
    "RemoveLinks",
    "RemoveUnimportant",
    "RemoveUnshared",
    "ResampleLinks",
    "RewireLinks",
    "ShuffleAttributes",
    "SpectralSplit",
]
