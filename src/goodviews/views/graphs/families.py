"""Families of graph views: one dial each, so that a sweep changes only what the views share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from goodviews.views.graphs.aware_ops import RemoveBetween, RemoveUnimportant, RemoveUnshared
from goodviews.views.graphs.diffusion import PersonalisedPageRank
from goodviews.views.graphs.feature_ops import AttributeNoise, MaskFeatures, ShuffleAttributes
from goodviews.views.graphs.hidden import HideLinks
from goodviews.views.graphs.link_ops import AddLinks, RemoveLinks, RewireLinks
from goodviews.views.graphs.node_ops import DropNodes, RandomWalkSubgraph
from goodviews.views.graphs.op import GraphOp
from goodviews.views.graphs.plausible import CompleteTriads, ResampleLinks
from goodviews.views.graphs.recipes import GraphRecipe
from goodviews.views.graphs.spectral import SpectralSplit

__all__ = ["GRAPH_FAMILIES", "GraphFamily"]

Pair = tuple[GraphOp | None, GraphOp | None]


@dataclass(frozen=True)
class GraphFamily:
    """Graph views with one dial.

    Args:
        name: Its name in catalogues and rows, such as "edge-removal".
        title: Its name on a page.
        words: One sentence on what the dial does.
        dial: What the value is called.
        values: Default sweep, from the weakest (0: nothing is changed) to the strongest.
        make: The op of each view at a value; ``None``: that view is left as it is.
        single: Only one view is changed, or each in its own way.
        shared: What the first op draws holds for both views.

    Example:
        >>> from goodviews.views.graphs import GRAPH_FAMILIES
        >>> recipe = GRAPH_FAMILIES["edge-removal"].recipe(0.3)
        >>> recipe.name, recipe.first[0].p, recipe.second[0].p
        ('edge-removal=0.3', 0.3, 0.3)
    """

    name: str
    title: str
    words: str
    dial: str
    values: tuple[float, ...]
    make: Callable[[float], Pair]
    single: bool = False
    shared: bool = False

    def recipe(self, value: float, base: GraphRecipe | None = None) -> GraphRecipe:
        """The candidate: both views at ``value``, all else as in ``base`` (default: nothing else).

        An op of the same name in ``base`` is replaced.

        Raises:
            UserError: If the value does not suit the family.

        Example:
            >>> from goodviews.views.graphs import GRAPH_FAMILIES
            >>> grace = GraphRecipe.load("grace")
            >>> [op.p for op in GRAPH_FAMILIES["edge-removal"].recipe(0.7, grace).first]
            [0.7, 0.3]
        """
        start = GraphRecipe() if base is None else base
        pair = self.make(float(value))
        if self.shared:
            whole = _turned(start.shared, pair[0])
            return dataclasses.replace(start, name=f"{self.name}={value:g}", shared=whole)
        first, second = (
            _turned(chain, op) for chain, op in zip((start.first, start.second), pair, strict=True)
        )
        name = f"{self.name}={value:g}"
        return dataclasses.replace(start, name=name, first=first, second=second)


def _turned(chain: tuple[GraphOp, ...], op: GraphOp | None) -> tuple[GraphOp, ...]:
    """A chain with ``op`` in the place of the one of its name, or before all others."""
    if op is None:
        return chain
    names = [own.name for own in chain]
    place = names.index(op.name) if op.name in names else 0
    rest = [own for own in chain if own.name != op.name]
    return (*rest[:place], op, *rest[place:])


def _both(op: Callable[[float], GraphOp]) -> Callable[[float], Pair]:
    return lambda value: (op(value), op(value))


_SHARES = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)

_LIST = [
    GraphFamily(
        "edge-removal",
        "Link removal",
        "Links dropped with this probability.",
        "probability",
        _SHARES,
        _both(RemoveLinks),
    ),
    GraphFamily(
        "edge-addition",
        "Link addition",
        "Random links added, so many for each that is there.",
        "share",
        (0.0, 0.1, 0.2, 0.5, 1.0, 2.0),
        _both(AddLinks),
    ),
    GraphFamily(
        "feature-masking",
        "Feature masking",
        "Feature dimensions hidden with this probability.",
        "probability",
        _SHARES,
        _both(MaskFeatures),
    ),
    GraphFamily(
        "node-dropping",
        "Node dropping",
        "Nodes dropped with this probability.",
        "probability",
        (0.0, 0.1, 0.2, 0.3, 0.5, 0.7),
        _both(DropNodes),
    ),
    GraphFamily(
        "subgraph",
        "Random-walk subgraph",
        "This share of the nodes left out, those that random walks reach last.",
        "share left out",
        (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9),
        _both(RandomWalkSubgraph),
    ),
    GraphFamily(
        "diffusion",
        "Diffusion",
        "The graph against its PageRank diffusion, whose walk goes on with this probability.",
        "1 - alpha",
        (0.0, 0.3, 0.5, 0.8, 0.9, 0.95),
        lambda value: (None, PersonalisedPageRank(1 - value)),
        True,
    ),
    GraphFamily(
        "attribute-shuffle",
        "Attribute shuffling",
        "This share of the nodes exchange their features.",
        "share",
        _SHARES,
        _both(ShuffleAttributes),
    ),
    GraphFamily(
        "attribute-noise",
        "Attribute noise",
        "Gaussian noise of this standard deviation on the features.",
        "std",
        (0.0, 0.01, 0.03, 0.1, 0.3, 1.0),
        _both(AttributeNoise),
    ),
    GraphFamily(
        "rewiring",
        "Rewiring",
        "This share of the links swapped in pairs; every node keeps its degree.",
        "share",
        _SHARES,
        _both(RewireLinks),
    ),
    GraphFamily(
        "community-removal",
        "Removal between communities",
        "This share of the links dropped, those between communities first.",
        "share",
        _SHARES,
        _both(RemoveBetween),
    ),
    GraphFamily(
        "degree-removal",
        "Removal by degree",
        "This share of the links dropped, the more likely the lower the degrees of their ends.",
        "expected share",
        (0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
        _both(RemoveUnimportant),
    ),
    GraphFamily(
        "unshared-removal",
        "Removal of lone links",
        "This share of the links dropped, rather those whose ends share few neighbours.",
        "share",
        _SHARES,
        _both(RemoveUnshared),
    ),
    GraphFamily(
        "spectral",
        "Spectral split",
        "Features smoothed over the graph, exp(-cut L) x, against the rest.",
        "cut",
        (0.1, 0.3, 1.0, 3.0, 10.0, 30.0),
        lambda value: (SpectralSplit(value, "low"), SpectralSplit(value, "high")),
        True,
    ),
    GraphFamily(
        "resample",
        "Resampled links",
        "This share of the links replaced by plausible ones two steps apart.",
        "share",
        _SHARES,
        _both(ResampleLinks),
    ),
    GraphFamily(
        "complete",
        "Completed triads",
        "The graph against itself with likely missing links added, so many for each there is.",
        "share",
        (0.0, 0.1, 0.2, 0.5, 1.0, 2.0),
        lambda value: (None, CompleteTriads(value)),
        True,
    ),
    GraphFamily(
        "hidden-links",
        "Hidden links",
        "Links hidden from both views with this probability; their ends stand for each other.",
        "probability",
        _SHARES,
        _both(HideLinks),
        shared=True,
    ),
]

GRAPH_FAMILIES: dict[str, GraphFamily] = {family.name: family for family in _LIST}
