"""What a graph tells of its nodes: centralities, communities."""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch_geometric.data import Data
from torch_geometric.utils import scatter

from goodviews.views.graphs.op import graph_of, graphs_in, rand

__all__ = ["centrality", "communities"]


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


def communities(data: Data, levels: int = 10, rounds: int = 30, seed: int = 0) -> Tensor:
    r"""A community of each node, int64 (n,), by Louvain's greedy modularity, all nodes at once.

    A node u moves to the neighbours' community C in which it gains most,

    .. math:: k_{uC} - d_u D_C / 2m

    with k_uC its links into C and D_C the degrees of C's other nodes; in every round a random half
    of the nodes do. Then communities become nodes, and so on (Blondel et al. 2008; Naim et al. 2017
    for moves at once). Communities never cross from one graph of a union to another, and the same
    seed finds the same ones.

    Example:
        >>> edges = torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]])
        >>> label = communities(Data(x=torch.ones(4, 1), edge_index=edges))
        >>> bool(label[0] == label[1]), bool(label[1] == label[2]), bool(label[2] == label[3])
        (True, False, True)
    """
    generator, graph = torch.Generator().manual_seed(seed), graph_of(data)
    (source, target), n = data.edge_index, len(data.x)
    label = torch.arange(n, device=source.device)
    weight = torch.ones(len(source), dtype=torch.float64, device=source.device)
    degree = source.bincount(minlength=n).double()
    ends = scatter(degree, graph, dim_size=graphs_in(data), reduce="sum").clamp(min=1)[graph]
    for _ in range(levels):
        moved = _moves(source, target, weight, degree, ends, rounds, generator)
        names, place = moved.unique(return_inverse=True)
        k = len(names)
        if k == len(moved):
            break
        label = place[label]
        code, where = (place[source] * k + place[target]).unique(return_inverse=True)
        source, target = code.div(k, rounding_mode="floor"), code % k
        weight = scatter(weight, where, dim_size=len(code), reduce="sum")
        degree = scatter(degree, place, dim_size=k, reduce="sum")
        ends = scatter(ends, place, dim_size=k, reduce="max")
    return label


def _moves(
    source: Tensor,
    target: Tensor,
    weight: Tensor,
    degree: Tensor,
    ends: Tensor,
    rounds: int,
    generator: Generator,
) -> Tensor:
    """One level: a community of each node of a weighted graph; ``ends`` is 2m of a node's graph."""
    n = len(degree)
    label = own = torch.arange(n, device=degree.device)
    apart = source != target
    source, target, weight = source[apart], target[apart], weight[apart]
    for _ in range(rounds):
        mass = scatter(degree, label, dim_size=n, reduce="sum")
        votes = torch.cat((target * n + label[source], own * n + label))
        code, place = votes.unique(return_inverse=True)
        pull = scatter(torch.cat((weight, 0 * degree)), place, dim_size=len(code), reduce="sum")
        node, there = code.div(max(n, 1), rounding_mode="floor"), code % max(n, 1)
        stays = there == label[node]
        rest = mass[there] - torch.where(stays, degree[node], 0)
        tie = torch.where(stays, 1.0, rand(len(node), generator=generator, device=node.device))
        gain = pull - degree[node] * rest / ends[node] + 1e-6 * tie
        won = gain == scatter(gain, node, dim_size=n, reduce="max")[node]
        wanted = label.clone()
        wanted[node[won]] = there[won]
        if bool((wanted == label).all()):
            break
        active = rand(n, generator=generator, device=label.device) < 0.5
        label = torch.where(active, wanted, label)
    return label
