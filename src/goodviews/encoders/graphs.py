r"""Encoders of graphs: GCN, GraphSAGE, GAT, GIN, an MLP without links, any torch_geometric module.

``encoder(data)`` returns :class:`goodviews.interfaces.Features`: ``local[k]`` the vectors of the
nodes after k layers (what k hops tell), the last of them the node embedding of width
``encoder.dim``, and ``summary`` one vector a graph. Links weigh ``data.edge_weight`` where there
is one (0: as good as not there), readouts leave out the nodes that ``data.kept`` says are dropped.
"""

from __future__ import annotations

import inspect
import warnings as python_warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GATConv, GCNConv, SimpleConv
from torch_geometric.utils import scatter, softmax

from goodviews.interfaces import Features, UserError, check_name
from goodviews.layers import MLP

__all__ = [
    "GIN",
    "GRAPH_ENCODERS",
    "SAGE",
    "GraphEncoder",
    "WeightedGAT",
    "Wrapped",
    "build_graph",
    "graph_count",
    "read_out",
    "wrap",
]

READOUTS = ("mean", "sum", "max")
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "prelu": nn.PReLU,
    "elu": nn.ELU,
}
NORMS: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda width: nn.Identity(),
    "batch": nn.BatchNorm1d,
    "layer": nn.LayerNorm,
}


class SAGE(nn.Module):
    r"""GraphSAGE's layer: h_i = W_1 x_i + W_2 sum_j w_ij x_j / sum_j w_ij + b.

    Without weights it is torch_geometric's ``SAGEConv`` with the mean, which reads no weights
    (Hamilton et al. 2017, section 3.3).

    Arguments:
        before: width of x.
        after: width of h.

    Example:
        >>> SAGE(2, 3)(torch.ones(4, 2), torch.tensor([[0, 1], [1, 0]])).shape
        torch.Size([4, 3])
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.root, self.links = nn.Linear(before, after), nn.Linear(before, after, bias=False)
        self.sum = SimpleConv("sum")

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        """Vectors (n, after) of nodes x (n, before)."""
        weight = x.new_ones(edge_index.shape[1]) if edge_weight is None else edge_weight
        total = scatter(weight, edge_index[1], dim_size=len(x), reduce="sum")
        share = weight / total.clamp_min(1e-12)[edge_index[1]]
        return self.root(x) + self.sum(self.links(x), edge_index, share)


class GIN(nn.Module):
    r"""GIN's layer: h_i = MLP((1 + eps) x_i + sum_j w_ij x_j), eps = 0 (Xu et al. 2019, eq. 4.1).

    Without weights it is torch_geometric's ``GINConv``, which reads none.

    Arguments:
        before: width of x.
        after: width of h and of the MLP's hidden layer.

    Example:
        >>> GIN(2, 3)(torch.ones(4, 2), torch.tensor([[0, 1], [1, 0]])).shape
        torch.Size([4, 3])
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.mlp, self.sum = MLP([before, after, after]), SimpleConv("sum")

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        """Vectors (n, after) of nodes x (n, before)."""
        return self.mlp(x + self.sum(x, edge_index, edge_weight))


class WeightedGAT(GATConv):
    r"""torch_geometric's ``GATConv`` where attention also weighs links: a_ij ~ w_ij exp(e_ij).

    A node's link to itself weighs 1 (Velickovic et al. 2018, eq. 3, where all w are 1).

    Arguments:
        before: width of x.
        after: width of h, all heads side by side.
        heads: how many.

    Raises:
        UserError: a width that the heads cannot share.

    Example:
        >>> WeightedGAT(2, 8)(torch.ones(4, 2), torch.tensor([[0, 1], [1, 0]])).shape
        torch.Size([4, 8])
    """

    def __init__(self, before: int, after: int, heads: int = 4) -> None:
        if after % heads:
            raise UserError(f"dim: {after} is no multiple of GAT's {heads} heads. Use one.")
        super().__init__(before, after // heads, heads=heads, fill_value=0.0)

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        """Vectors (n, after) of nodes x (n, before)."""
        log_weight = None if edge_weight is None else edge_weight.clamp_min(1e-12).log()
        return super().forward(x, edge_index, log_weight)

    def edge_update(
        self,
        alpha_j: Tensor,
        alpha_i: Tensor,
        edge_attr: Tensor | None,
        index: Tensor,
        ptr: Tensor | None,
        dim_size: int | None,
    ) -> Tensor:
        """Attention (e, heads) of the links."""
        alpha = nn.functional.leaky_relu(alpha_j + alpha_i, self.negative_slope)
        if edge_attr is not None:
            alpha = alpha + edge_attr[:, None]
        return softmax(alpha, index, ptr, dim_size)


class NoLinks(nn.Linear):
    """A linear layer in the place of a graph layer: the baseline that reads no links.

    Example:
        >>> NoLinks(2, 3)(torch.ones(4, 2), torch.tensor([[0, 1], [1, 0]])).shape
        torch.Size([4, 3])
    """

    def forward(  # type: ignore[override]
        self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None
    ) -> Tensor:
        """Vectors (n, after) of nodes x (n, before)."""
        return super().forward(x)


WIDE, SPARSE = 256, 0.05
"""Features at least, and the share of them at most that is not zero, to be read as sparse."""

GRAPH_ENCODERS: dict[str, Callable[[int, int], nn.Module]] = {
    "gcn": GCNConv,
    "sage": SAGE,
    "gat": WeightedGAT,
    "gin": GIN,
    "mlp": NoLinks,
}
"""Name -> (width before, width after) to a layer ``layer(x, edge_index, edge_weight)``."""


class GraphEncoder(nn.Module):
    r"""Layers of one kind, each followed by norm, activation and dropout; then a readout.

    Arguments:
        convs: the layers, ``conv(x, edge_index, edge_weight)``.
        widths: of the features, then after each layer.
        readout: "mean", "sum" or "max" over the nodes of a graph.
        concat: the node embedding is all layers side by side (InfoGraph), not the last one.
        activation: "relu", "prelu" or "elu".
        norm: "none", "batch" or "layer".
        norm_after: the norm follows the activation (InfoGraph's GIN).
        dropout: after each layer but the last.
        last: whether norm and activation follow the last layer too.
        rows: a node's features are divided by the sum of their sizes first, as usual for words.

    Example:
        >>> data = Data(x=torch.ones(4, 2), edge_index=torch.tensor([[0, 1], [1, 0]]))
        >>> found = build_graph("gcn", 2, dim=8)(data)
        >>> found.summary.shape, {k: v.shape[1] for k, v in found.local.items()}
        (torch.Size([1, 8]), {1: 8, 2: 8})
    """

    def __init__(
        self,
        convs: list[nn.Module],
        widths: list[int],
        readout: str = "mean",
        concat: bool = False,
        activation: str = "relu",
        norm: str = "none",
        norm_after: bool = False,
        dropout: float = 0.0,
        last: bool = True,
        rows: bool = False,
    ) -> None:
        super().__init__()
        check_name("readout", readout, READOUTS)
        check_name("activation", activation, ACTIVATIONS)
        check_name("norm", norm, NORMS)
        self.in_channels, self.readout, self.concat = widths[0], readout, concat
        self.rows = rows
        self.dim = sum(widths[1:]) if concat else widths[-1]
        self.convs, self.after = nn.ModuleList(convs), nn.ModuleList()
        for i, width in enumerate(widths[1:], 1):
            final = i == len(convs)
            parts = [NORMS[norm](width), ACTIVATIONS[activation]()] if last or not final else []
            parts = parts[::-1] if norm_after else parts
            self.after.append(nn.Sequential(*parts, nn.Dropout(0.0 if final else dropout)))

    def forward(self, data: Data) -> Features:
        """Encode a graph, or the disjoint union of several.

        Raises:
            UserError: features of another width than the encoder was made for.
        """
        x: Tensor = data.x
        if x.shape[1] != self.in_channels:
            raise UserError(
                f"encoder: made for {self.in_channels} features a node, the graph has "
                f"{x.shape[1]}. Build it for that many."
            )
        x = nn.functional.normalize(x, p=1, dim=1) if self.rows else x
        x = _sparse(x) if isinstance(self.convs[0], GCNConv) else x
        local: dict[int, Tensor] = {}
        for k, (conv, after) in enumerate(zip(self.convs, self.after, strict=True), 1):
            x = local[k] = after(conv(x, data.edge_index, data.get("edge_weight")))
        if self.concat:
            local[len(local)] = torch.cat(list(local.values()), 1)
        return Features(read_out(self.readout, local[len(local)], data), local)


def _sparse(x: Tensor) -> Tensor:
    """Bags of words as a sparse matrix, which a GCN's product reads five times as fast on a CPU."""
    if x.device.type != "cpu" or x.requires_grad or x.shape[1] < WIDE:
        return x
    if x.count_nonzero() >= SPARSE * x.numel():
        return x
    with python_warnings.catch_warnings():
        python_warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        return x.to_sparse_csr()


def build_graph(
    name: str,
    in_channels: int,
    dim: int = 256,
    layers: int = 2,
    *,
    hidden: int | None = None,
    **options: Any,
) -> GraphEncoder:
    r"""Make the graph encoder ``name``.

    Args:
        name: a key of :data:`GRAPH_ENCODERS`.
        in_channels: features of a node.
        dim: width after the last layer.
        layers: how many; a node then sees as many hops.
        hidden: width after the others; None means ``dim``.
        options: of :class:`GraphEncoder`: readout, concat, activation, norm, norm_after, dropout,
            last, rows.

    Returns:
        A module with ``dim`` whose call returns :class:`goodviews.interfaces.Features`.

    Raises:
        UserError: for an unknown name, with the nearest known one, or no layer.

    Example:
        >>> build_graph("gin", 7, dim=32, layers=3, concat=True).dim
        96
        >>> build_graph("gcnn", 7)
        Traceback (most recent call last):
        goodviews.interfaces.UserError: --encoder: unknown 'gcnn'. Did you mean 'gcn'?
    """
    check_name("--encoder", name, GRAPH_ENCODERS)
    if layers < 1:
        raise UserError(f"layers: {layers} is not positive. Use for example 2.")
    widths = [in_channels, *[dim if hidden is None else hidden] * (layers - 1), dim]
    convs = [GRAPH_ENCODERS[name](a, b) for a, b in zip(widths[:-1], widths[1:], strict=True)]
    return GraphEncoder(convs, widths, **options)


class Wrapped(nn.Module):
    """Any torch_geometric module as an encoder, see :func:`wrap`."""

    def __init__(self, module: nn.Module, dim: int, readout: str = "mean") -> None:
        super().__init__()
        check_name("readout", readout, READOUTS)
        self.module, self.dim, self.readout = module, dim, readout
        accepted = inspect.signature(module.forward).parameters
        self.weighs = "edge_weight" in accepted and getattr(module, "supports_edge_weight", True)
        self.hops = getattr(module, "num_layers", 1)

    def forward(self, data: Data) -> Features:
        """Encode a graph, or the disjoint union of several.

        Raises:
            UserError: weighted links for a module that reads no weights.
        """
        weight = data.get("edge_weight")
        if weight is not None and not self.weighs:
            raise UserError(
                f"encoder: {type(self.module).__name__} reads no link weights, and these views "
                "have some. Use for example gcn, or views without weights."
            )
        options = {} if weight is None else {"edge_weight": weight}
        nodes = self.module(data.x, data.edge_index, **options)
        return Features(read_out(self.readout, nodes, data), {self.hops: nodes})


def wrap(module: nn.Module, dim: int, readout: str = "mean") -> Wrapped:
    """A torch_geometric module, ``module(x, edge_index[, edge_weight])``, as an encoder.

    Args:
        module: gives vectors (n, dim) of the nodes.
        dim: their width.
        readout: "mean", "sum" or "max".

    Example:
        >>> from torch_geometric.nn import GraphSAGE
        >>> data = Data(x=torch.ones(4, 2), edge_index=torch.tensor([[0, 1], [1, 0]]))
        >>> wrap(GraphSAGE(2, 8, num_layers=2, out_channels=3), 3)(data).summary.shape
        torch.Size([1, 3])
    """
    return Wrapped(module, dim, readout)


def graph_count(data: Data) -> int:
    """How many graphs the disjoint union ``data`` holds; 1 where it has no ``batch``.

    Example:
        >>> graph_count(Data(x=torch.ones(4, 2)))
        1
    """
    if data.get("batch") is None:
        return 1
    known = getattr(data, "num_graphs", None)
    return int(data.batch.max()) + 1 if known is None else int(known)


def read_out(name: str, nodes: Tensor, data: Data, index: Tensor | None = None) -> Tensor:
    """One vector a graph, (graphs, d), of the vectors (n, d) of its kept nodes.

    Args:
        name: "mean", "sum" or "max"; 0 for a graph of which no node is kept.
        nodes: vectors of all nodes.
        data: the graph, or the disjoint union of several.
        index: read these nodes only, int64 (m,).

    Example:
        >>> data = Data(x=torch.ones(3, 1), kept=torch.tensor([True, True, False]))
        >>> read_out("sum", torch.ones(3, 2), data)
        tensor([[2., 2.]])
    """
    kept, batch = data.get("kept"), data.get("batch")
    places = torch.arange(len(nodes), device=nodes.device) if index is None else index
    if kept is not None:
        places = places[kept[places]]
    graph = torch.zeros_like(places) if batch is None else batch[places]
    return scatter(nodes[places], graph, dim_size=graph_count(data), reduce=name)
