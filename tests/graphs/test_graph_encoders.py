"""Graph encoders: torch_geometric's layers as a second road, and the laws of a graph encoder."""

from __future__ import annotations

import math

import pytest
import torch

pytest.importorskip("torch_geometric")
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GATConv, GINConv, GraphSAGE, SAGEConv
from torch_geometric.utils import to_undirected

from goodviews.encoders.graphs import (
    GIN,
    GRAPH_ENCODERS,
    SAGE,
    WeightedGAT,
    build_graph,
    graph_count,
    read_out,
    wrap,
)
from goodviews.interfaces import UserError

KINDS = sorted(GRAPH_ENCODERS)
LINKED = [kind for kind in KINDS if kind != "mlp"]


def graph(n: int = 12, f: int = 5, seed: int = 0) -> Data:
    """A ring with chords."""
    draws = torch.Generator().manual_seed(seed)
    ring = torch.stack([torch.arange(n), torch.arange(1, n + 1) % n])
    chords = torch.stack([torch.arange(0, n - 3, 2), torch.arange(3, n, 2)])
    links = to_undirected(torch.cat([ring, chords], 1))
    return Data(x=torch.randn(n, f, generator=draws), edge_index=links)


def permuted(data: Data, order: torch.Tensor) -> Data:
    """Node i of the result is node order[i] of ``data``."""
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order))
    return Data(x=data.x[order], edge_index=place[data.edge_index])


@pytest.mark.parametrize("name", KINDS)
def test_permuting_nodes_permutes_their_vectors(name: str) -> None:
    data, order = graph(), torch.randperm(12, generator=torch.Generator().manual_seed(1))
    encoder = build_graph(name, 5, dim=8, layers=3).eval()
    there, here = encoder(permuted(data, order)), encoder(data)
    torch.testing.assert_close(there.summary, here.summary)
    for k in (1, 2, 3):
        torch.testing.assert_close(there.local[k], here.local[k][order])


@pytest.mark.parametrize("name", LINKED)
def test_layers_are_hops(name: str) -> None:
    """What is k + 1 links away cannot change a node's vector after k layers, what is k away can."""
    links = to_undirected(torch.stack([torch.arange(5), torch.arange(1, 6)]))  # a path
    x = torch.rand(6, 3, generator=torch.Generator().manual_seed(0))
    moved = x.clone()
    moved[3] += 1.0
    torch.manual_seed(0)
    encoder = build_graph(name, 3, dim=8, layers=3, activation="elu").eval()
    a, b = (encoder(Data(x=values, edge_index=links)) for values in (x, moved))
    assert torch.equal(a.local[2][0], b.local[2][0])
    assert not torch.allclose(a.local[3][0], b.local[3][0])


@pytest.mark.parametrize("name", LINKED)
def test_a_link_of_weight_nothing_is_no_link(name: str) -> None:
    data, encoder = graph(), build_graph(name, 5, dim=8).eval()
    gone = (data.edge_index == 0).any(0)
    weighed = Data(x=data.x, edge_index=data.edge_index, edge_weight=(~gone).float())
    without = Data(x=data.x, edge_index=data.edge_index[:, ~gone])
    torch.testing.assert_close(encoder(weighed).local[2], encoder(without).local[2])
    ones = Data(x=data.x, edge_index=data.edge_index, edge_weight=torch.ones(len(gone)))
    torch.testing.assert_close(encoder(ones).local[2], encoder(data).local[2])


@pytest.mark.parametrize("name", LINKED)
def test_weights_of_links_have_gradients(name: str) -> None:
    data = graph()
    data.edge_weight = torch.full((data.num_edges,), 0.5, requires_grad=True)
    build_graph(name, 5, dim=8)(data).local[2].square().sum().backward()
    assert data.edge_weight.grad.abs().sum() > 0


def test_the_layer_without_links_reads_none() -> None:
    data, encoder = graph(), build_graph("mlp", 5, dim=8)
    bare = Data(x=data.x, edge_index=torch.empty(2, 0, dtype=torch.int64))
    assert torch.equal(encoder(data).local[2], encoder(bare).local[2])


def test_sage_gin_and_gat_are_torch_geometrics() -> None:
    data = graph()
    sage, theirs = SAGE(5, 4), SAGEConv(5, 4)
    theirs.lin_l.weight.data, theirs.lin_l.bias.data = sage.links.weight.data, sage.root.bias.data
    theirs.lin_r.weight.data = sage.root.weight.data
    torch.testing.assert_close(sage(data.x, data.edge_index), theirs(data.x, data.edge_index))
    gin = GIN(5, 4)
    conv = GINConv(gin.mlp)  # draws the MLP's weights anew
    torch.testing.assert_close(gin(data.x, data.edge_index), conv(data.x, data.edge_index))
    gat, original = WeightedGAT(5, 8, heads=2), GATConv(5, 4, heads=2)
    original.load_state_dict(gat.state_dict())
    torch.testing.assert_close(gat(data.x, data.edge_index), original(data.x, data.edge_index))


def test_weighted_sage_and_gat_by_hand() -> None:
    """One node with neighbours 1 and 2, of weights 1 and 3."""
    links = torch.tensor([[1, 2], [0, 0]])
    x, weight = torch.eye(3), torch.tensor([1.0, 3.0])
    sage = SAGE(3, 2)
    expected = sage.root(x[:1]) + sage.links(0.25 * x[1:2] + 0.75 * x[2:])
    torch.testing.assert_close(sage(x, links, weight)[:1], expected)
    gat = WeightedGAT(3, 4, heads=1)
    h = gat.lin(x)
    scores = (h * gat.att_src).sum(-1).flatten() + (h[0] * gat.att_dst).sum()
    odds = torch.nn.functional.leaky_relu(scores, 0.2).exp() * torch.tensor([1.0, 1.0, 3.0])
    torch.testing.assert_close(gat(x, links, weight)[0], (odds / odds.sum()) @ h + gat.bias)


def test_gcn_by_the_formula() -> None:
    """D^-1/2 (A + I) D^-1/2 X W + b, dense and in float64 (Kipf and Welling 2017, eq. 2)."""
    data = graph()
    encoder = build_graph("gcn", 5, dim=8, layers=1, last=False).double()
    dense = torch.eye(12, dtype=torch.float64)
    dense[data.edge_index[0], data.edge_index[1]] = 1.0
    root = dense.sum(1).rsqrt()
    conv = encoder.convs[0]
    expected = (root[:, None] * dense * root) @ data.x.double() @ conv.lin.weight.T + conv.bias
    data.x = data.x.double()
    torch.testing.assert_close(encoder(data).local[1], expected)


@pytest.mark.parametrize("name", ["mean", "sum", "max"])
def test_readouts_keep_graphs_apart_and_leave_out_dropped_nodes(name: str) -> None:
    parts = [graph(n, seed=n) for n in (6, 9, 12)]
    for part in parts:
        part.kept = torch.ones(part.num_nodes, dtype=torch.bool)
    parts[1].kept[:4] = False
    union = Batch.from_data_list(parts)
    reduce = {"mean": lambda v: v.mean(0), "sum": lambda v: v.sum(0), "max": lambda v: v.amax(0)}
    expected = torch.stack([reduce[name](p.x[p.kept]) for p in parts])
    torch.testing.assert_close(read_out(name, union.x, union), expected)
    assert graph_count(union) == 3
    parts[1].kept[:] = False
    assert read_out(name, union.x, Batch.from_data_list(parts))[1].eq(0).all()


def test_concatenation_reads_all_layers() -> None:
    data = graph()
    plain = build_graph("gin", 5, dim=4, layers=3, readout="sum")
    joined = build_graph("gin", 5, dim=4, layers=3, readout="sum", concat=True)
    joined.load_state_dict(plain.state_dict())
    layers = plain(data).local
    torch.testing.assert_close(joined(data).local[3], torch.cat(list(layers.values()), 1))
    torch.testing.assert_close(joined(data).summary, joined(data).local[3].sum(0, keepdim=True))
    assert joined.dim == 12


def test_a_module_of_torch_geometric_can_be_wrapped() -> None:
    data, module = graph(), GraphSAGE(5, 8, num_layers=2, out_channels=3)
    features = wrap(module, 3)(data)
    torch.testing.assert_close(features.local[2], module(data.x, data.edge_index))
    data.edge_weight = torch.ones(data.num_edges)
    with pytest.raises(UserError, match="GraphSAGE reads no link weights"):
        wrap(module, 3)(data)


def test_isolated_nodes_and_no_links_give_finite_vectors() -> None:
    data = Data(x=torch.ones(3, 5), edge_index=torch.empty(2, 0, dtype=torch.int64))
    for name in KINDS:
        total = build_graph(name, 5, dim=8)(data).summary.sum()
        assert math.isfinite(total.item())


def test_mistakes_are_named() -> None:
    with pytest.raises(UserError, match="made for 5 features a node, the graph has 3"):
        build_graph("gcn", 5)(graph(f=3))
    for options, message in (
        ({"layers": 0}, "layers: 0"),
        ({"readout": "mode"}, "readout: unknown"),
        ({"norm": "btch"}, "Did you mean 'batch'"),
        ({"activation": "gelu"}, "activation: unknown"),
    ):
        with pytest.raises(UserError, match=message):
            build_graph("gcn", 5, **options)
    with pytest.raises(UserError, match="4 heads"):
        build_graph("gat", 5, dim=6)


def test_words_are_read_as_sparse_to_the_same_numbers_and_gradients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = graph(50)
    data.x = (torch.rand(50, 300, generator=torch.Generator().manual_seed(0)) < 0.02).float()
    found = []
    for share in (0.05, 0.0):  # sparse, dense
        monkeypatch.setattr("goodviews.encoders.graphs.SPARSE", share)
        torch.manual_seed(0)
        encoder = build_graph("gcn", 300, dim=8)
        z = encoder(data).local[2]
        z.square().sum().backward()
        found.append((z, encoder.convs[0].lin.weight.grad.clone()))
    for sparse, dense in zip(*found, strict=True):
        assert torch.allclose(sparse, dense, atol=1e-5)
