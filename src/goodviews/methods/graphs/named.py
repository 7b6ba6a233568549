"""The published contrastive methods on graphs, each with its paper's options as defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from goodviews.critics import InnerProduct
from goodviews.interfaces import check_name
from goodviews.layers import MLP
from goodviews.methods.graphs.contrast import GraphContrast, graph_objective
from goodviews.methods.graphs.method import GraphViews, graph_encoders

__all__ = [
    "GRAPH_PRESETS",
    "FeedForward",
    "GraphPreset",
    "dgi",
    "grace",
    "graphcl",
    "infograph",
    "mvgrl",
]


def grace(
    views: GraphViews | None,
    encoder: str | nn.Module,
    in_channels: int,
    *,
    seed: int = 0,
    dim: int = 128,
    layers: int = 2,
    hidden: int | None = None,
    activation: str = "relu",
    temperature: float = 0.4,
    projection_dim: int | None = None,
    bound: str = "infonce",
    critic: str = "cosine",
    negatives: str = "both",
    candidates: int | None = None,
    **options: Any,
) -> GraphContrast:
    r"""GRACE (Zhu et al. 2020): a node's two views against all other nodes of both views.

    ``l(u_i, v_i) = -log e^{s(u_i, v_i)} / (e^{s(u_i, v_i)} + sum_{j != i} e^{s(u_i, v_j)} +
    sum_{j != i} e^{s(u_i, u_j)})``, s the cosine of projections over the temperature, averaged over
    nodes and over both views (section 3.2). That is NT-Xent, computed a tile at a time.

    Args:
        views: the paper's remove links and mask features, each view with rates of its own.
        encoder: "gcn" in the paper; any name or module.
        in_channels: features of a node.
        seed: of the weights and the views.
        dim: width of the embedding: 128 for Cora, 256 for CiteSeer and PubMed.
        layers: of the encoder.
        hidden: width of its other layers; None means 2 dim, as in the authors' code.
        activation: "relu" for Cora and PubMed, "prelu" for CiteSeer.
        temperature: 0.4 for Cora, 0.9 for CiteSeer, 0.7 for PubMed.
        projection_dim: hidden width of the projection (one hidden layer, ELU); None means dim.
        bound: name in :data:`goodviews.bounds.BOUNDS`.
        critic: name in :data:`goodviews.critics.CRITICS`.
        negatives: "both" views, or the "others" of the other view only.
        candidates: nodes scored against each other at once, see :class:`GraphContrast`.
        options: of :class:`goodviews.encoders.graphs.GraphEncoder`.

    Raises:
        UserError: no views, unknown names.

    Example:
        >>> from torch_geometric.data import Data
        >>> data = Data(x=torch.eye(4), edge_index=torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]]))
        >>> method = grace(lambda data, generator: (data, data), "gcn", 4)
        >>> method.embed(data).shape, bool(method.loss(data) > 0)
        (torch.Size([4, 128]), True)
    """
    wide = {"hidden": 2 * dim if hidden is None else hidden, "activation": activation, **options}
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        parts = graph_encoders(encoder, in_channels, dim=dim, layers=layers, **wide)
        width: int = parts[0].dim  # type: ignore[assignment]
        head = MLP([width, projection_dim or dim, width], activation=nn.ELU)
        objective = graph_objective(bound, critic, width, negatives, temperature)
    return GraphContrast(
        views, parts, objective, "local-local", [head],
        negatives=negatives, candidates=candidates, seed=seed,
    )  # fmt: skip


def dgi(
    views: GraphViews | None,
    encoder: str | nn.Module,
    in_channels: int,
    *,
    seed: int = 0,
    dim: int = 512,
    layers: int = 1,
    activation: str = "prelu",
    bound: str = "jensen-shannon",
    critic: str = "bilinear",
    **options: Any,
) -> GraphContrast:
    r"""DGI (Velickovic et al. 2019): nodes against their graph's summary and shuffled features.

    ``s = sigmoid(mean_i h_i)``; the critic ``h^T W s`` tells nodes h of the graph from nodes h~ of
    the graph with shuffled features: ``loss = E[softplus(-h^T W s)] + E[softplus(h~^T W s)] - log
    4`` (eq. 1, up to the constant and a factor 2). With views, nodes of one meet the summary of the
    other.

    Args:
        views: none in the paper.
        encoder: "gcn" in the paper; any name or module.
        in_channels: features of a node.
        seed: of the weights and the shuffles.
        dim: width of the embedding.
        layers: of the encoder.
        activation: of the encoder.
        bound: name in :data:`goodviews.bounds.BOUNDS`.
        critic: name in :data:`goodviews.critics.CRITICS`.
        options: of :class:`goodviews.encoders.graphs.GraphEncoder`.

    Raises:
        UserError: unknown names.

    Example:
        >>> from torch_geometric.data import Data
        >>> data = Data(x=torch.eye(4), edge_index=torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]]))
        >>> method = dgi(None, "gcn", 4, dim=16)
        >>> method.embed(data).shape, method.loss(data).ndim
        (torch.Size([4, 16]), 0)
    """
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        wide = {"dim": dim, "layers": layers, "activation": activation, **options}
        parts = graph_encoders(encoder, in_channels, **wide)
        objective = graph_objective(bound, critic, parts[0].dim, "shuffled")  # type: ignore[arg-type]
    return GraphContrast(
        views, parts, objective, "local-global",
        squash=True, negatives="shuffled", seed=seed,
    )  # fmt: skip


class FeedForward(nn.Module):
    r"""InfoGraph's head: three layers of Linear and ReLU, plus a linear shortcut; one width.

    Sun et al. 2020, code.

    Example:
        >>> FeedForward(4)(torch.ones(2, 4)).shape
        torch.Size([2, 4])
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        parts = [part for _ in range(3) for part in (nn.Linear(width, width), nn.ReLU())]
        self.block, self.shortcut = nn.Sequential(*parts), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, width) to (n, width)."""
        return self.block(x) + self.shortcut(x)


def infograph(
    views: GraphViews | None,
    encoder: str | nn.Module,
    in_channels: int,
    *,
    seed: int = 0,
    dim: int = 32,
    layers: int = 3,
    bound: str = "jensen-shannon",
    critic: str = "inner-product",
    **options: Any,
) -> GraphContrast:
    r"""InfoGraph (Sun et al. 2020): nodes against the summary of their graph and of others.

    ``loss = E_{u, G(u)}[softplus(-T(h_u, H_G))] + E_{u, G' != G}[softplus(T(h_u, H_G'))] - log 4``
    (eq. 2 and 4), T the inner product of two :class:`FeedForward`, h all layers of a GIN side by
    side, H their sum over nodes.

    Args:
        views: none in the paper; with views, nodes of one meet summaries of the other.
        encoder: "gin" in the paper; any name or module.
        in_channels: features of a node.
        seed: of the weights.
        dim: width of a layer: 32 (the authors' code), up to 512.
        layers: 3 to 5.
        bound: name in :data:`goodviews.bounds.BOUNDS`.
        critic: name in :data:`goodviews.critics.CRITICS`; here not divided by a root.
        options: of :class:`goodviews.encoders.graphs.GraphEncoder`.

    Raises:
        UserError: unknown names; in the loss, a batch of one graph.

    Example:
        >>> infograph(None, "gin", 7).encoders[0].dim
        96
    """
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        parts = graph_encoders(encoder, in_channels, **_gin(dim, layers, options))
        width: int = parts[0].dim  # type: ignore[assignment]
        objective = graph_objective(bound, _unscaled(critic), width)
        heads = [FeedForward(width), FeedForward(width)]
    return GraphContrast(
        views, parts, objective, "local-global", heads[:1], summary_head=heads[1], seed=seed
    )


def mvgrl(
    views: GraphViews | None,
    encoder: str | nn.Module,
    in_channels: int,
    *,
    seed: int = 0,
    level: str = "nodes",
    dim: int = 512,
    layers: int | None = None,
    activation: str = "prelu",
    bound: str = "jensen-shannon",
    critic: str | None = None,
    **options: Any,
) -> GraphContrast:
    r"""MVGRL (Hassani and Khasahmadi 2020): nodes of a view against the summary of the other.

    One encoder reads the links, another the diffusion (personalised PageRank, alpha 0.2); the
    embedding is the sum of both. ``level="nodes"``: DGI's loss, critic and shuffled features, in
    both directions, on the whole graph (the authors sample 2000 nodes a step); ``level="graphs"``:
    InfoGraph's, against other graphs (section 3.3).

    Args:
        views: the links and a diffusion of them.
        encoder: "gcn" in the paper; any name or module, of which each view has its own.
        in_channels: features of a node.
        seed: of the weights and the shuffles.
        level: "nodes" (one graph) or "graphs" (many).
        dim: width of a layer.
        layers: of each encoder; None means 1 for nodes, 2 for graphs.
        activation: of the encoders.
        bound: name in :data:`goodviews.bounds.BOUNDS`.
        critic: name in :data:`goodviews.critics.CRITICS`; None is "bilinear" for nodes,
            "inner-product" for graphs.
        options: of :class:`goodviews.encoders.graphs.GraphEncoder`.

    Raises:
        UserError: no views, unknown names.

    Example:
        >>> len(mvgrl(lambda data, generator: (data, data), "gcn", 7, dim=16).encoders)
        2
    """
    check_name("level", level, ("nodes", "graphs"))
    many = level == "graphs"
    kind = "others" if many else "shuffled"
    wide: dict[str, Any] = {
        "dim": dim, "layers": layers or (2 if many else 1), "activation": activation,
        **({"readout": "sum", "concat": True} if many else {}), **options,
    }  # fmt: skip
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        parts = graph_encoders(encoder, in_channels, 2, **wide)
        width: int = parts[0].dim  # type: ignore[assignment]
        scored = critic or ("inner-product" if many else "bilinear")
        objective = graph_objective(bound, _unscaled(scored), width, kind)
        heads = [FeedForward(width), FeedForward(width)] if many else []
    return GraphContrast(
        views, parts, objective, "local-global", heads[:1], summary_head=heads[1] if many else None,
        squash=not many, negatives=kind, seed=seed,
    )  # fmt: skip


def graphcl(
    views: GraphViews | None,
    encoder: str | nn.Module,
    in_channels: int,
    *,
    seed: int = 0,
    dim: int = 32,
    layers: int = 3,
    temperature: float = 0.2,
    bound: str = "infonce",
    critic: str = "cosine",
    negatives: str = "others",
    **options: Any,
) -> GraphContrast:
    r"""GraphCL (You et al. 2020): a graph's two views against other graphs.

    ``-log e^{s(z_n, z'_n)} / sum_m e^{s(z_n, z'_m)}`` in both directions, s the cosine over the
    temperature, z a projection of GIN's layers side by side, summed over nodes (eq. 3; the authors
    leave the positive out of the denominator, which is then no bound).

    Args:
        views: node dropping, link perturbation, feature masking or subgraphs.
        encoder: "gin" in the paper; any name or module.
        in_channels: features of a node.
        seed: of the weights and the views.
        dim: width of a layer.
        layers: how many.
        temperature: of the cosine.
        bound: name in :data:`goodviews.bounds.BOUNDS`.
        critic: name in :data:`goodviews.critics.CRITICS`.
        negatives: "others", or of "both" views.
        options: of :class:`goodviews.encoders.graphs.GraphEncoder`.

    Raises:
        UserError: no views, unknown names.

    Example:
        >>> graphcl(lambda data, generator: (data, data), "gin", 7).mode
        'global-global'
    """
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        parts = graph_encoders(encoder, in_channels, **_gin(dim, layers, options))
        width: int = parts[0].dim  # type: ignore[assignment]
        objective = graph_objective(bound, critic, width, negatives, temperature)
        head = MLP([width, width, width])
    return GraphContrast(
        views, parts, objective, "global-global", [head], negatives=negatives, seed=seed
    )


def _unscaled(critic: str) -> str | nn.Module:
    """The inner product as InfoGraph and MVGRL take it; any other critic by name."""
    return InnerProduct() if critic == "inner-product" else critic


def _gin(dim: int, layers: int, options: Mapping[str, Any]) -> dict[str, Any]:
    """InfoGraph's and GraphCL's encoder: norm after ReLU, all layers side by side, summed."""
    common = {"readout": "sum", "concat": True, "norm": "batch", "norm_after": True}
    return {"dim": dim, "layers": layers, **common, **options}


@dataclass(frozen=True)
class GraphPreset:
    """A published run: which method on which views, with which options and settings."""

    method: str
    """Name in ``GRAPH_METHODS``."""
    encoder: str = "gcn"
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the method."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of :class:`goodviews.training.graphs.GraphSettings`."""
    views: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Shares of links removed and feature dimensions masked, one a view."""


def _grace(
    dim: int,
    activation: str,
    temperature: float,
    lr: float,
    epochs: int,
    links: tuple[float, float],
    features: tuple[float, float],
    rows: bool = True,
) -> GraphPreset:
    options = {"dim": dim, "activation": activation, "temperature": temperature, "rows": rows}
    settings = {"lr": lr, "weight_decay": 1e-5, "epochs": epochs}
    return GraphPreset("grace", "gcn", options, settings, {"links": links, "features": features})


_PATIENT = {"lr": 1e-3, "weight_decay": 0.0, "epochs": 3000, "patience": 20}


def _patient(name: str) -> dict[str, GraphPreset]:
    """DGI's and MVGRL's run; on words, features are divided by their sum first."""
    own = {f"{name}-{data}": {"dim": 512, "rows": True} for data in ("cora", "citeseer", "pubmed")}
    made = {name: {"dim": 512}} | own
    return {key: GraphPreset(name, "gcn", options, _PATIENT) for key, options in made.items()}


GRAPH_PRESETS: dict[str, GraphPreset] = {
    "grace": _grace(128, "relu", 0.4, 5e-4, 200, (0.2, 0.4), (0.3, 0.4), rows=False),
    "grace-cora": _grace(128, "relu", 0.4, 5e-4, 200, (0.2, 0.4), (0.3, 0.4)),
    "grace-citeseer": _grace(256, "prelu", 0.9, 1e-3, 200, (0.2, 0.0), (0.3, 0.2)),
    "grace-pubmed": _grace(256, "relu", 0.7, 1e-3, 1500, (0.4, 0.1), (0.0, 0.2)),
    **_patient("dgi"),
    **_patient("mvgrl"),
    "infograph": GraphPreset(
        "infograph", "gin", {"dim": 32, "layers": 3}, {"lr": 1e-2, "epochs": 20, "batch_size": 128}
    ),
    "gae": GraphPreset("gae", "gcn", {}, {"lr": 1e-2, "epochs": 200}),
    "vgae": GraphPreset("vgae", "gcn", {}, {"lr": 1e-2, "epochs": 200}),
    "node2vec": GraphPreset("node2vec", "", {}, {"lr": 1e-2, "epochs": 500}),
}
"""Name -> the published run (GRACE: the authors' config.yaml), for other graphs that without the
data's name. What divides features by their sum does so here after masking, in the papers before."""
