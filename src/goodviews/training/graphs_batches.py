"""What a step on graphs sees: a whole graph, neighbour samples of a large one, or many graphs."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.utils import coalesce

from goodviews.interfaces import UserError
from goodviews.training.settings import TrainSettings

__all__ = [
    "GraphBatch",
    "ManyGraphs",
    "NeighbourSampler",
    "SampledNodes",
    "WholeGraph",
    "loader_of",
]


class GraphBatch(NamedTuple):
    """What a step sees."""

    graph: Data
    """A graph, sampled nodes of one, or the disjoint union of several."""
    items: Tensor
    """int64: the nodes, or graphs, that this batch is about."""
    nodes: Tensor | None
    """int64: places in ``graph`` of the nodes that are contrasted; None: all."""


class _Loader:
    """Batches of an epoch, from any place in it: a function of (seed, epoch, place)."""

    def __init__(self, seed: int) -> None:
        self.seed, self.epoch, self.start = seed, 0, 0

    @property
    def batch_sampler(self) -> _Loader:
        """What `Stream` places."""
        return self

    def __len__(self) -> int:
        raise NotImplementedError

    def batch(self, place: int) -> GraphBatch:
        """The batch at a place of the epoch."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[GraphBatch]:
        for place in range(self.start, len(self)):
            yield self.batch(place)

    def draws(self, place: int = -1) -> Generator:
        """The generator of a place, or of the epoch's order."""
        seed = (self.seed * 1_000_003 + self.epoch) * 1_000_003 + place + 1
        return Generator().manual_seed(seed * 2_654_435_761 % 2**63)

    def chosen(self, items: int, batch_size: int, place: int) -> Tensor:
        """The items of a batch: the epoch's order in parts of nearly equal size."""
        order = torch.randperm(items, generator=self.draws())
        return order.tensor_split(len(self))[place]


class WholeGraph(_Loader):
    """One batch an epoch: the graph."""

    def __init__(self, graph: Data, seed: int, nodes: Tensor | None = None) -> None:
        super().__init__(seed)
        self.graph, self.nodes = copy.copy(graph), nodes

    def __len__(self) -> int:
        return 1

    def __str__(self) -> str:
        return f"one graph of {self.graph.num_nodes:,} nodes"

    def batch(self, place: int) -> GraphBatch:
        """The graph."""
        items = torch.arange(self.graph.num_nodes) if self.nodes is None else self.nodes
        return GraphBatch(self.graph, items, self.nodes)


class SampledNodes(_Loader):
    """Batches of some nodes and of neighbours sampled around them."""

    def __init__(
        self,
        graph: Data,
        seed: int,
        batch_size: int,
        fan_out: Sequence[int],
        nodes: Tensor | None = None,
    ) -> None:
        super().__init__(seed)
        self.graph, self.batch_size = graph, batch_size
        self.nodes = torch.arange(int(graph.num_nodes or 0)) if nodes is None else nodes.cpu()
        self.sampler = NeighbourSampler(graph, fan_out)

    def __len__(self) -> int:
        return math.ceil(len(self.nodes) / self.batch_size)

    def __str__(self) -> str:
        return f"samples of a graph of {self.graph.num_nodes:,} nodes"

    def batch(self, place: int) -> GraphBatch:
        """Some of the nodes, in the epoch's order, with neighbours."""
        items = self.nodes[self.chosen(len(self.nodes), self.batch_size, place)]
        sample = self.sampler(items, self.draws(place))
        return GraphBatch(sample, items, sample.nodes)


class ManyGraphs(_Loader):
    """Batches of graphs."""

    def __init__(self, graphs: Sequence[Data], seed: int, batch_size: int) -> None:
        super().__init__(seed)
        self.graphs, self.batch_size = graphs, batch_size

    def __len__(self) -> int:
        return math.ceil(len(self.graphs) / self.batch_size)

    def __str__(self) -> str:
        return f"{len(self.graphs):,} graphs"

    def batch(self, place: int) -> GraphBatch:
        """Some of the graphs, in the epoch's order."""
        items = self.chosen(len(self.graphs), self.batch_size, place)
        union = Batch.from_data_list([self.graphs[i] for i in items.tolist()])
        return GraphBatch(union, items, None)


def loader_of(
    graphs: Data | Sequence[Data], settings: TrainSettings, nodes: Tensor | None = None
) -> WholeGraph | SampledNodes | ManyGraphs:
    """The batches of an epoch: the graph, samples of it, or some of the graphs at a time.

    Args:
        graphs: one graph, or several.
        settings: seed, batch_size and, in ``GraphSettings``, fan_out.
        nodes: int64 (m,), the nodes of the one graph that are contrasted; None: all.

    Raises:
        UserError: no graph; nodes or neighbour sampling asked for where there are several graphs;
            nodes that the graph does not have.

    Example:
        >>> print(loader_of(Data(x=torch.ones(3, 1)), TrainSettings()))
        one graph of 3 nodes
    """
    several = [graphs] if isinstance(graphs, Data) else list(graphs)
    if not several:
        raise UserError("--data: 0 graphs. Give at least one.")
    fan_out = tuple(getattr(settings, "fan_out", ()))
    if len(several) > 1:
        if nodes is not None or fan_out:
            raise UserError(
                f"--fan-out, nodes: {len(several)} graphs are read whole. They are for one graph."
            )
        return ManyGraphs(several, settings.seed, settings.batch_size)
    n = int(several[0].num_nodes or 0)
    if nodes is not None and (len(nodes) == 0 or int(nodes.min()) < 0 or int(nodes.max()) >= n):
        raise UserError(f"nodes: not all of {len(nodes)} are places in 0 ... {n - 1}. Mend them.")
    if fan_out:
        return SampledNodes(several[0], settings.seed, settings.batch_size, fan_out, nodes)
    return WholeGraph(several[0], settings.seed, nodes)


class NeighbourSampler:
    r"""Samples neighbours hop by hop (Hamilton et al. 2017, algorithm 2), in plain tensors.

    Of each node reached at a hop, ``fan_out`` of its links are drawn without replacement (all where
    it has no more); the links drawn, in both directions, are the sample's.

    Arguments:
        graph: with x and edge_index, both directions of every link; edge_weight is carried along.
        fan_out: links a node, for each hop.

    Example:
        >>> edges = torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]])
        >>> sampler = NeighbourSampler(Data(x=torch.ones(4, 1), edge_index=edges), [5])
        >>> sample = sampler(torch.tensor([3]), Generator())
        >>> sample.ids.tolist(), sample.edge_index.tolist(), sample.nodes.tolist()
        ([3, 2], [[0, 1], [1, 0]], [0])
    """

    def __init__(self, graph: Data, fan_out: Sequence[int]) -> None:
        self.graph, self.fan_out = graph, tuple(fan_out)
        n = int(graph.num_nodes or 0)
        edges: Tensor = graph.edge_index
        order = edges[0].argsort(stable=True)
        self.ends, weight = edges[1][order], graph.get("edge_weight")
        self.weight = None if weight is None else weight[order]
        self.degree = edges[0].bincount(minlength=n)
        self.first = self.degree.cumsum(0) - self.degree
        self._place = torch.full((n,), -1)

    def __call__(self, seeds: Tensor, generator: Generator) -> Data:
        """The sample around ``seeds``, different nodes, which come first in it.

        Returns:
            Data of the sampled nodes, with ``ids`` (their places in the graph) and ``nodes`` (the
            places of the seeds in the sample).
        """
        ids, frontier, taken = [seeds], seeds, []
        self._place[seeds] = torch.arange(len(seeds))
        count = len(seeds)
        for k in self.fan_out:
            sources, links = self._draw(frontier, k, generator)
            taken.append(torch.stack([sources, links]))
            reached = self.ends[links].unique()
            frontier = reached[self._place[reached] < 0]
            self._place[frontier] = torch.arange(count, count + len(frontier))
            count += len(frontier)
            ids.append(frontier)
        sample = self._sample(torch.cat(ids), torch.cat(taken, 1))
        sample.nodes = torch.arange(len(seeds))
        return sample

    def _draw(self, nodes: Tensor, k: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """At most k links of each node: the nodes they start from, and their places."""
        degree = self.degree[nodes]
        row = torch.arange(len(nodes)).repeat_interleave(degree)
        start = degree.cumsum(0) - degree
        rank = torch.arange(len(row)) - start[row]
        if bool((degree > k).any()):
            draws = torch.rand(len(row), generator=generator, dtype=torch.float64)
            order = (row + draws).argsort()
            chosen = order[rank < k]  # rank i of a row's links, in random order
            row, rank = row[chosen], rank[chosen]
        return nodes[row], self.first[nodes[row]] + rank

    def _sample(self, ids: Tensor, taken: Tensor) -> Data:
        """The sampled nodes and links, numbered anew, both directions of each once."""
        one, two = self._place[taken[0]], self._place[self.ends[taken[1]]]
        self._place[ids] = -1
        edges = torch.cat([torch.stack([one, two]), torch.stack([two, one])], 1)
        weight = None if self.weight is None else self.weight[taken[1]].repeat(2)
        sample = Data(x=self.graph.x[ids], ids=ids)
        if weight is None:
            sample.edge_index = coalesce(edges, num_nodes=len(ids))
        else:
            sample.edge_index, sample.edge_weight = coalesce(
                edges, weight, num_nodes=len(ids), reduce="mean"
            )
        return sample
