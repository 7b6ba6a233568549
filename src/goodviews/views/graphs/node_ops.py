"""Ops that drop nodes: their features become 0, their links go, ``kept`` (n,) says who stayed."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor
from torch_geometric.data import Data

from goodviews.views.graphs.link_sets import Links, keep_links, links_of, pick_within
from goodviews.views.graphs.op import FEATURES, LINKS, GraphOp, graph_of, rand, sizes
from goodviews.views.ops import between

__all__ = ["DropNodes", "RandomWalkSubgraph", "without_nodes"]


def without_nodes(data: Data, links: Links, keep: Tensor) -> Data:
    """The graph without the nodes where ``keep`` (n,) is false: same n, no features, no links.

    Example:
        >>> data = Data(x=torch.ones(2, 1), edge_index=torch.tensor([[0, 1], [1, 0]]))
        >>> view = without_nodes(data, links_of(data), torch.tensor([True, False]))
        >>> view.x[:, 0].tolist(), view.num_edges, view.kept.tolist()
        ([1.0, 0.0], 0, [True, False])
    """
    if data.get("kept") is not None:
        keep = keep & data.kept
    view = copy.copy(data)
    view.x, view.kept = data.x * keep[:, None], keep
    return keep_links(view, links, keep[links.ends].all(0))


@dataclass(frozen=True)
class DropNodes(GraphOp):
    """Each node dropped with probability p (You et al. 2020, GraphCL, table 1).

    Args:
        p: The dial.

    Example:
        >>> data = Data(x=torch.ones(2, 1), edge_index=torch.tensor([[0, 1], [1, 0]]))
        >>> DropNodes(1.0)(data).kept
        tensor([False, False])
    """

    p: float = 0.2
    name: ClassVar[str] = "drop_nodes"
    reads: ClassVar[frozenset[str]] = LINKS
    changes: ClassVar[frozenset[str]] = LINKS | FEATURES

    def __post_init__(self) -> None:
        """Check the settings."""
        between("drop_nodes.p", self.p, 0, 1)

    def prepare(self, data: Data) -> Links:
        """The links."""
        return links_of(data)

    def apply(self, data: Data, prepared: Any, generator: Generator | None) -> Data:
        """Drop some nodes."""
        chance = rand(len(data.x), generator=generator, device=data.x.device)
        return without_nodes(data, prepared, chance >= self.p)


@dataclass(frozen=True)
class RandomWalkSubgraph(GraphOp):
    """The nodes that random walks visit first, ceil((1 - p) n) of each graph; the rest dropped.

    A graph gets one walker for each ``length`` nodes it shall keep. They start at random nodes,
    step to random neighbours, and start afresh at a node not yet visited after ``length`` steps,
    so that parts without links between them do not end the walk (You et al. 2020, table 1;
    Qiu et al. 2020, GCC, section 3.2).

    Args:
        p: Share of the nodes left out; the dial.
        length: Steps of a walk.

    Example:
        >>> ring = torch.stack((torch.arange(8), (torch.arange(8) + 1) % 8))
        >>> data = Data(x=torch.ones(8, 1), edge_index=torch.cat((ring, ring.flip(0)), 1))
        >>> int(RandomWalkSubgraph(0.5)(data).kept.sum())
        4
    """

    p: float = 0.2
    length: int = 32
    name: ClassVar[str] = "random_walk_subgraph"
    reads: ClassVar[frozenset[str]] = LINKS
    changes: ClassVar[frozenset[str]] = LINKS | FEATURES

    def __post_init__(self) -> None:
        """Check the settings."""
        between("random_walk_subgraph.p", self.p, 0, 1)
        between("random_walk_subgraph.length", self.length, 1, float("inf"))

    def prepare(self, data: Data) -> Links:
        """The links."""
        return links_of(data)

    def apply(self, data: Data, prepared: Any, generator: Generator | None) -> Data:
        """Walk, and drop what was not visited."""
        graph, size = graph_of(data), sizes(data)
        keep = ((1 - self.p) * size.double() - 1e-9).ceil().long()
        time = _first_visits(data, graph, keep, self.length, generator)
        key = time + rand(len(graph), generator=generator, device=graph.device)
        return without_nodes(data, prepared, pick_within(graph, keep, key))


def _first_visits(
    data: Data, graph: Tensor, keep: Tensor, length: int, generator: Generator | None
) -> Tensor:
    """The step at which each node is visited first, float64 (n,), until every graph has enough."""
    source, n = data.edge_index[0], len(graph)
    neighbour = data.edge_index[1][source.argsort(stable=True)]
    degree = source.bincount(minlength=n)
    start = degree.cumsum(0) - degree
    time = torch.full((n,), float("inf"), dtype=torch.float64, device=graph.device)
    step = 0
    while bool(((missing := keep - _seen(time, graph, keep)) > 0).any()):
        walkers = _starts(time, graph, missing, length, generator)
        for _ in range(length):
            new = walkers[time[walkers].isinf()]
            time[new] = float(step)
            step += 1
            chance = rand(len(walkers), generator=generator, device=graph.device)
            place = start[walkers] + (chance * degree[walkers]).long()
            alone = degree[walkers] == 0
            moved = neighbour[place.masked_fill(alone, 0)] if len(neighbour) else walkers
            walkers = torch.where(alone, walkers, moved)
    return time.nan_to_num(posinf=float(step))


def _seen(time: Tensor, graph: Tensor, keep: Tensor) -> Tensor:
    """Visited nodes of each graph."""
    return graph[time.isfinite()].bincount(minlength=len(keep))


def _starts(
    time: Tensor, graph: Tensor, missing: Tensor, length: int, generator: Generator | None
) -> Tensor:
    """Random nodes not yet visited, one for each ``length`` that a graph still misses."""
    fresh = time.isinf().nonzero()[:, 0]
    chance = rand(len(fresh), generator=generator, device=graph.device)
    count = (missing.clamp(min=0) + length - 1).div(length, rounding_mode="floor")
    return fresh[pick_within(graph[fresh], count, chance)]
