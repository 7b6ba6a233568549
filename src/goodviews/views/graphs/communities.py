"""What a graph tells of its nodes: centralities, communities."""

from __future__ import annotations

from collections.abc import Callable

import networkx as nx
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import scatter

from goodviews.views.graphs.op import rand

__all__ = ["COMMUNITIES", "centrality", "label_propagation", "louvain"]


def centrality(data: Data, by: str, damping: float = 0.85, steps: int = 100) -> Tensor:
    """Degree or PageRank of each node, float32 (n,).

    PageRank is c = 1 - damping + damping A D^-1 c, whose mean over each graph is 1 where no node
    is without links (Page et al. 1999).

    Example:
        >>> data = Data(x=torch.ones(3, 1), edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
        >>> centrality(data, "degree"), centrality(data, "page-rank")
        (tensor([1., 2., 1.]), tensor([0.7703, 1.4595, 0.7703]))
    """
    source, target = data.edge_index
    degree = source.bincount(minlength=len(data.x)).float()
    if by == "degree":
        return degree
    rank, share = torch.ones_like(degree), 1 / degree.clamp(min=1)
    for _ in range(steps):
        came = scatter((rank * share)[source], target, dim_size=len(rank), reduce="sum")
        rank, before = 1 - damping + damping * came, rank
        if bool((rank - before).abs().max() < 1e-6):
            break
    return rank


def label_propagation(data: Data, rounds: int = 50, seed: int = 0) -> Tensor:
    """A community of each node, int64 (n,): nodes take the label most of their neighbours have.

    In every round a random half of the nodes do so, at once; ties fall at random, but a node keeps
    its label where it can (Raghavan et al. 2007, section III). Labels are numbers of nodes and
    never cross from one graph to another. The same seed finds the same communities.

    Example:
        >>> data = Data(x=torch.ones(3, 1), edge_index=torch.tensor([[0, 1], [1, 0]]))
        >>> len(label_propagation(data).unique())
        2
    """
    n, generator = len(data.x), torch.Generator().manual_seed(seed)
    source, target = data.edge_index
    label = torch.arange(n, device=source.device)
    for _ in range(rounds):
        code, count = (target * n + label[source]).unique(return_counts=True)
        node, voted = code.div(max(n, 1), rounding_mode="floor"), code % max(n, 1)
        tie = rand(len(node), generator=generator, device=node.device)
        score = count + torch.where(voted == label[node], 1.0, tie) * 0.9
        best = scatter(score, node, dim_size=n, reduce="max")
        won = score == best[node]
        wanted = label.clone()
        wanted[node[won]] = voted[won]
        if bool((wanted == label).all()):
            break
        active = rand(n, generator=generator, device=label.device) < 0.5
        label = torch.where(active, wanted, label)
    return label


def louvain(data: Data) -> Tensor:
    """A community of each node, int64 (n,), by Louvain's greedy modularity (networkx, seed 0).

    Example:
        >>> data = Data(x=torch.ones(3, 1), edge_index=torch.tensor([[0, 1], [1, 0]]))
        >>> louvain(data)
        tensor([0, 0, 1])
    """
    graph = nx.Graph()
    graph.add_nodes_from(range(len(data.x)))
    graph.add_edges_from(data.edge_index.T.tolist())
    label = torch.empty(len(data.x), dtype=torch.long)
    for number, members in enumerate(nx.community.louvain_communities(graph, seed=0)):
        label[list(members)] = number
    return label.to(data.x.device)


COMMUNITIES: dict[str, Callable[[Data], Tensor]] = {
    "label-propagation": label_propagation,
    "louvain": louvain,
}
