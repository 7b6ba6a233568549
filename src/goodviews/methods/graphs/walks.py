"""node2vec: a table of vectors, trained on random walks (Grover and Leskovec 2016)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch_geometric.data import Data

from goodviews.interfaces import UserError
from goodviews.methods.graphs.autoencoders import link_entropy
from goodviews.methods.graphs.method import GraphMethod, GraphViews

__all__ = ["Node2Vec", "node2vec", "random_walks"]


class Node2Vec(GraphMethod):
    r"""A vector for each node; those that come together on random walks score higher.

    ``loss = mean softplus(-z_u . z_v) over pairs of a walk + mean softplus(z_u . z_w) over random
    nodes w``: v follows u within ``context`` nodes of a walk with return weight 1/p and outward
    weight 1/q (Grover and Leskovec 2016, sections 3.1 and 3.2, one table, as torch_geometric has
    it). Features and encoders play no part; a graph with other nodes cannot be embedded.

    Arguments:
        nodes: how many; None: known from the training graph.
        dim: width of a vector.
        length: nodes of a walk.
        context: nodes of a window of it.
        walks: walks a step, from nodes drawn anew.
        p: return parameter.
        q: in-out parameter.
        negatives: random nodes a pair.
        seed: of the table and the walks.

    Raises:
        UserError: lengths or parameters that cannot be.
    """

    def __init__(
        self,
        nodes: int | None = None,
        dim: int = 128,
        length: int = 20,
        context: int = 10,
        walks: int = 512,
        p: float = 1.0,
        q: float = 1.0,
        negatives: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__(None, seed)
        if not 2 <= context <= length:
            raise UserError(f"context: {context} of walks of {length} nodes. Use 2 ... length.")
        if p <= 0 or q <= 0:
            raise UserError(f"p, q: {p}, {q} are not positive. Use for example 1.")
        self.dim, self.length, self.context, self.walks = dim, length, context, walks
        self.p, self.q, self.negatives = p, q, negatives
        self.table = nn.Parameter(torch.empty(0, dim))
        if nodes is not None:
            self._fill(nodes)

    def prepare(self, data: Data) -> None:
        """Make the table, unless there is one of this size."""
        if len(self.table) != data.num_nodes:
            self._fill(int(data.num_nodes or 0))

    def vectors(self, data: Data) -> Tensor:
        """The table, shape (n, d).

        Raises:
            UserError: another number of nodes than in training.
        """
        if len(self.table) != data.num_nodes:
            raise UserError(
                f"node2vec: trained on {len(self.table)} nodes, the graph has {data.num_nodes}. "
                "It embeds the training graph only; use for example grace."
            )
        return self.table

    def loss(
        self, data: Data, generator: Generator | None = None, nodes: Tensor | None = None
    ) -> Tensor:
        """Binary cross entropy of pairs of walks and of random pairs: nats.

        Args:
            data: the graph.
            generator: on the CPU; None takes that of (seed, step).
            nodes: walks start from these; None: all.
        """
        draws = self.draw() if generator is None else generator
        z, n = self.vectors(data), int(data.num_nodes or 0)
        starts = torch.arange(n) if nodes is None else nodes.cpu()
        starts = starts[torch.randperm(len(starts), generator=draws)[: self.walks]]
        paths = random_walks(data, starts, self.length, draws, self.p, self.q)
        windows = paths.unfold(1, self.context, 1).reshape(-1, self.context).to(z.device)
        first, near = z[windows[:, :1]], z[windows[:, 1:]]
        size = (len(windows), self.negatives * (self.context - 1))
        far = z[torch.randint(n, size, generator=draws).to(z.device)]
        entropy = link_entropy((first * near).sum(-1), (first * far).sum(-1))
        self.measured = {"cross_entropy": entropy.detach()}
        return entropy

    def _fill(self, nodes: int) -> None:
        draws = Generator().manual_seed(self.seed)
        table = torch.randn(nodes, self.dim, generator=draws)
        self.table = nn.Parameter(table.to(self.table))


def node2vec(
    views: GraphViews | None = None,
    encoder: Any = "",
    in_channels: int = 0,
    *,
    seed: int = 0,
    **options: Any,
) -> Node2Vec:
    """node2vec (Grover and Leskovec 2016): nodes of one walk against others.

    Args:
        views: must be None: walks read the graph as it is.
        encoder: not used.
        in_channels: not used.
        seed: of the table and the walks.
        options: of :class:`Node2Vec`.

    Raises:
        UserError: views.

    Example:
        >>> node2vec(nodes=5, dim=8).table.shape
        torch.Size([5, 8])
    """
    if views is not None:
        raise UserError("--views: node2vec makes none of its graph. Leave them out.")
    return Node2Vec(seed=seed, **options)


def random_walks(
    data: Data, starts: Tensor, length: int, generator: Generator, p: float = 1.0, q: float = 1.0
) -> Tensor:
    """Second-order random walks: int64 (m, length), the first column ``starts``.

    From v, reached from t, to a neighbour x with weight 1/p where x = t, 1 where x is linked to t,
    else 1/q (Grover and Leskovec 2016, section 3.2.2): neighbours are proposed evenly and kept with
    probability weight / largest weight. A node without links stays where it is.

    Example:
        >>> data = Data(x=torch.ones(2, 1), edge_index=torch.tensor([[0, 1], [1, 0]]))
        >>> random_walks(data, torch.tensor([0]), 4, torch.Generator()).tolist()
        [[0, 1, 0, 1]]
    """
    n, edges = int(data.num_nodes or 0), data.edge_index.cpu()
    keys = (edges[0] * n + edges[1]).sort().values
    targets, degree = keys % n, (keys // n).bincount(minlength=n)
    first = degree.cumsum(0) - degree
    top = max(1.0, 1 / p, 1 / q)
    path = [starts]
    for step in range(1, length):
        here, before = path[-1], path[-2] if step > 1 else None
        there, open_ = here.clone(), degree[here] > 0
        while bool(open_.any()):
            at = open_.nonzero()[:, 0]
            draws = torch.rand(2, len(at), generator=generator, dtype=torch.float64)
            v = here[at]
            x = targets[first[v] + (draws[0] * degree[v]).long()]
            if before is None or p == q == 1:
                kept = torch.ones_like(at, dtype=torch.bool)
            else:
                kept = draws[1] * top < _weights(before[at], x, keys, n, p, q)
            there[at[kept]] = x[kept]
            open_[at[kept]] = False
        path.append(there)
    return torch.stack(path, 1)


def _weights(t: Tensor, x: Tensor, keys: Tensor, n: int, p: float, q: float) -> Tensor:
    """Weights of steps to x, having come from t: (m,)."""
    key = t * n + x
    linked = keys[torch.searchsorted(keys, key).clamp_max(len(keys) - 1)] == key
    weight = torch.where(linked, 1.0, 1 / q)
    return torch.where(x == t, 1 / p, weight)
