"""Graphs from anywhere as ``torch_geometric.data.Data`` in one order, with a report.

:func:`load_graphs` is the door (names of :func:`named_graphs`, files, folders, worlds of known
truth); :func:`split_links` and :func:`split_nodes` hide links and nodes without leaks, and are
saved with a run. Needs the extra ``goodviews[graph]``; nothing outside this package imports it at
its top.
"""

from goodviews.data.graphs.links import both_ways, links_of, non_links, permuted
from goodviews.data.graphs.load import LoadedGraphs, load_graphs
from goodviews.data.graphs.named import named_graphs
from goodviews.data.graphs.splits import LinkSplit, NodeSplit, split_links, split_nodes
from goodviews.data.graphs.structure import remade, structural_features
from goodviews.data.graphs.worlds import StochasticBlocks, stochastic_blocks

__all__ = [
    "LinkSplit",
    "LoadedGraphs",
    "NodeSplit",
    "StochasticBlocks",
    "both_ways",
    "links_of",
    "load_graphs",
    "named_graphs",
    "non_links",
    "permuted",
    "remade",
    "split_links",
    "split_nodes",
    "stochastic_blocks",
    "structural_features",
]
