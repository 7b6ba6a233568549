"""GAE and VGAE: nodes whose inner products say where the links are (Kipf and Welling 2016)."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional
from torch_geometric.data import Data

from goodviews.encoders.graphs import build_graph
from goodviews.interfaces import UserError
from goodviews.methods.graphs.method import GraphMethod, GraphViews, graph_encoders

__all__ = ["GraphAutoencoder", "gae", "sample_non_links", "vgae"]


class GraphAutoencoder(GraphMethod):
    r"""Reconstructs the links of a graph from its nodes' vectors z.

    ``loss = mean softplus(-z_u . z_v) over links + mean softplus(z_u . z_v) over non-links``, as
    many drawn anew each step; the variational one draws z ~ N(mu, sigma^2) and adds ``KL(N(mu,
    sigma^2) || N(0, 1)) / n``, the divergence a mean over nodes (Kipf and Welling 2016, eq. 3, with
    torch_geometric's weights).

    Arguments:
        views: where given, the encoder reads the first of the two, and the links to be said are
            those of the graph itself.
        trunk: encoder before ``mean`` and ``log_std``; None where ``mean`` is the whole encoder.
        mean: encoder of mu.
        log_std: encoder of log sigma; None: not variational.
        seed: of what a step draws.
    """

    def __init__(
        self,
        views: GraphViews | None,
        trunk: nn.Module | None,
        mean: nn.Module,
        log_std: nn.Module | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(views, seed)
        self.trunk, self.mean, self.log_std = trunk, mean, log_std

    def vectors(self, data: Data) -> Tensor:
        """Mu of the nodes, shape (n, d)."""
        return _last(self.mean, self._hidden(data))

    def loss(
        self, data: Data, generator: Generator | None = None, nodes: Tensor | None = None
    ) -> Tensor:
        """Binary cross entropy of links and as many non-links, and the divergence: nats.

        Args:
            data: a graph, or the disjoint union of several.
            generator: on the CPU; None takes that of (seed, step).
            nodes: links with an end among these only; None: all.

        Raises:
            UserError: no link to reconstruct.
        """
        draws = self.draw() if generator is None else generator
        view = self.make_views(data, draws)[0]
        hidden = self._hidden(view)
        z = mean = _last(self.mean, hidden)
        divergence = z.new_zeros(())
        if self.log_std is not None:
            log_std = _last(self.log_std, hidden).clamp_max(10.0)
            noise = torch.randn(mean.shape, generator=draws).to(mean)
            z = mean + noise * log_std.exp()
            each = -0.5 * (1 + 2 * log_std - mean.square() - (2 * log_std).exp()).sum(1)
            divergence = each.mean() / len(mean)
        links = _links(data, nodes)
        others = sample_non_links(data, links.shape[1], draws, nodes)
        entropy = link_entropy(_inner(z, links), _inner(z, others))
        self.measured = {"cross_entropy": entropy.detach(), "divergence": divergence.detach()}
        return entropy + divergence

    def _hidden(self, data: Data) -> Data:
        if self.trunk is None:
            return data
        data = copy.copy(data)
        data.x = _last(self.trunk, data)
        return data


def gae(
    views: GraphViews | None,
    encoder: str | nn.Module,
    in_channels: int,
    *,
    seed: int = 0,
    dim: int = 16,
    hidden: int = 32,
    layers: int = 2,
    **options: Any,
) -> GraphAutoencoder:
    """GAE (Kipf and Welling 2016, section 3): an encoder whose inner products say the links.

    Args:
        views: none in the paper, see :class:`GraphAutoencoder`.
        encoder: "gcn" in the paper; any name or module.
        in_channels: features of a node.
        seed: of the weights and the non-links.
        dim: width of the embedding.
        hidden: width of the other layers.
        layers: of the encoder.
        options: of :class:`goodviews.encoders.graphs.GraphEncoder`.

    Example:
        >>> data = Data(x=torch.eye(4), edge_index=torch.tensor([[0, 1], [1, 0]]))
        >>> gae(None, "gcn", 4).embed(data).shape
        torch.Size([4, 16])
    """
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        wide = {"dim": dim, "layers": layers, "hidden": hidden, "last": False, **options}
        return GraphAutoencoder(
            views, None, graph_encoders(encoder, in_channels, **wide)[0], seed=seed
        )


def vgae(
    views: GraphViews | None,
    encoder: str,
    in_channels: int,
    *,
    seed: int = 0,
    dim: int = 16,
    hidden: int = 32,
    **options: Any,
) -> GraphAutoencoder:
    """VGAE (Kipf and Welling 2016, section 2): one shared layer, one for mu, one for log sigma.

    Args:
        views: none in the paper, see :class:`GraphAutoencoder`.
        encoder: "gcn" in the paper; any name.
        in_channels: features of a node.
        seed: of the weights, the noise and the non-links.
        dim: width of the embedding mu.
        hidden: width of the shared layer.
        options: of :class:`goodviews.encoders.graphs.GraphEncoder`, for the shared layer.

    Example:
        >>> data = Data(x=torch.eye(4), edge_index=torch.tensor([[0, 1], [1, 0]]))
        >>> vgae(None, "gcn", 4).embed(data).shape
        torch.Size([4, 16])
    """
    if not isinstance(encoder, str):
        raise UserError("--encoder: vgae builds three layers of a kind. Give a name, such as gcn.")
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        trunk = build_graph(encoder, in_channels, hidden, 1, **options)
        mean, log_std = (build_graph(encoder, hidden, dim, 1, last=False) for _ in range(2))
    return GraphAutoencoder(views, trunk, mean, log_std, seed)


def link_entropy(links: Tensor, others: Tensor) -> Tensor:
    """Mean binary cross entropies of logits of links and of non-links, added: nats.

    Example:
        >>> round(float(link_entropy(torch.zeros(3), torch.zeros(3))), 4)  # 2 log 2
        1.3863
    """
    return functional.softplus(-links).mean() + functional.softplus(others).mean()


def sample_non_links(
    data: Data, count: int, generator: Generator, nodes: Tensor | None = None
) -> Tensor:
    """Pairs of different nodes of one graph without a link, drawn uniformly: int64 (2, count).

    Args:
        data: a graph, or the disjoint union of several.
        count: how many; a pair may come more than once.
        generator: on the CPU.
        nodes: the first of each pair is one of these, int64 (m,); None: any.

    Raises:
        UserError: a graph with all pairs linked, or nearly.

    Example:
        >>> data = Data(x=torch.ones(3, 1), edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
        >>> pairs = sample_non_links(data, 5, torch.Generator().manual_seed(0))
        >>> sorted(set(map(tuple, pairs.sort(0).values.T.tolist())))
        [(0, 2)]
    """
    n, edges = int(data.num_nodes or 0), data.edge_index.cpu()
    keys = (edges[0] * n + edges[1]).sort().values
    starts, sizes = _spans(data, n)
    firsts = torch.arange(n) if nodes is None else nodes.cpu()
    found: list[Tensor] = []
    missing = count
    for _ in range(100):
        if missing <= 0:
            break
        u = firsts[torch.randint(len(firsts), (2 * missing + 8,), generator=generator)]
        v = (
            starts[u]
            + (torch.rand(len(u), generator=generator, dtype=torch.float64) * sizes[u]).long()
        )
        key = u * n + v
        place = torch.searchsorted(keys, key).clamp_max(max(len(keys) - 1, 0))
        linked = keys[place] == key if len(keys) else torch.zeros_like(key, dtype=torch.bool)
        good = torch.stack([u, v])[:, (u != v) & ~linked][:, :missing]
        found.append(good)
        missing -= good.shape[1]
    if missing > 0:
        raise UserError(
            "graph: hardly a pair of its nodes is not linked, so there are no non-links to draw. "
            "Use a method without them, for example grace."
        )
    pairs = torch.cat(found, 1) if found else torch.empty(2, 0, dtype=torch.int64)
    return pairs.to(data.edge_index.device)


def _spans(data: Data, n: int) -> tuple[Tensor, Tensor]:
    """Of each node, the first node of its graph and how many there are: both (n,)."""
    batch = data.get("batch")
    if batch is None:
        return torch.zeros(n, dtype=torch.int64), torch.full((n,), n)
    batch = batch.cpu()
    counts = batch.bincount()
    return (counts.cumsum(0) - counts)[batch], counts[batch]


def _links(data: Data, nodes: Tensor | None) -> Tensor:
    """Links (2, m), each once; with ``nodes`` those with an end among them."""
    links: Tensor = data.edge_index
    links = links[:, links[0] < links[1]]
    if nodes is not None:
        among = torch.zeros(int(data.num_nodes or 0), dtype=torch.bool, device=links.device)
        among[nodes] = True
        links = links[:, among[links].any(0)]
    if links.shape[1] == 0:
        raise UserError("graph: no link to reconstruct. Give a graph with links.")
    return links


def _last(encoder: nn.Module, data: Data) -> Tensor:
    local = encoder(data).local
    z: Tensor = local[max(local)]
    return z


def _inner(z: Tensor, pairs: Tensor) -> Tensor:
    return (z[pairs[0]] * z[pairs[1]]).sum(1)
