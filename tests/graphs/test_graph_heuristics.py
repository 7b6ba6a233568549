"""Heuristics against networkx and dense formulas in float64."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

from goodviews.evaluation.graphs import heuristics
from goodviews.evaluation.graphs.heuristics import HEURISTICS, score, scorers
from goodviews.interfaces import UserError


def data_of(graph: nx.Graph) -> Data:
    edges = torch.tensor(list(graph.edges), dtype=torch.int64).T.reshape(2, -1)
    return Data(edge_index=torch.cat([edges, edges.flip(0)], 1), num_nodes=len(graph))


def example() -> tuple[nx.Graph, Data, Tensor]:
    """A graph of 34 nodes with two further components, an isolated node, and all its pairs."""
    graph = nx.disjoint_union(nx.karate_club_graph(), nx.path_graph(3))
    graph.add_node(37)
    graph = nx.Graph(graph.edges)  # weights dropped
    graph.add_nodes_from(range(38))
    ordered = nx.Graph()
    ordered.add_nodes_from(range(38))
    ordered.add_edges_from(graph.edges)
    return ordered, data_of(ordered), torch.combinations(torch.arange(38)).T


NETWORKX = {
    "common-neighbours": lambda g, pairs: [
        (u, v, len(list(nx.common_neighbors(g, u, v)))) for u, v in pairs
    ],
    "jaccard": nx.jaccard_coefficient,
    "adamic-adar": nx.adamic_adar_index,
    "resource-allocation": nx.resource_allocation_index,
    "preferential-attachment": nx.preferential_attachment,
}


@pytest.mark.parametrize("name", NETWORKX)
def test_neighbourhood_scores_are_those_of_networkx(name: str) -> None:
    graph, data, pairs = example()
    expected = [value for _, _, value in NETWORKX[name](graph, pairs.T.tolist())]
    assert np.allclose(score(name, data, pairs).numpy(), expected, atol=1e-12)


def dense(name: str, graph: nx.Graph, beta: float) -> np.ndarray:
    a, n = nx.to_numpy_array(graph, nodelist=range(len(graph))), len(graph)
    if name == "local-path":
        return a @ a + 1e-3 * a @ a @ a
    if name == "katz":
        return np.linalg.inv(np.eye(n) - beta * a) - np.eye(n)
    walk = a / np.maximum(a.sum(1, keepdims=True), 1)
    pi = 0.15 * np.linalg.inv(np.eye(n) - 0.85 * walk)
    return pi + pi.T


@pytest.mark.parametrize("name", ["local-path", "katz", "ppr"])
def test_walks_are_those_of_the_dense_formulas(name: str) -> None:
    graph, data, pairs = example()
    largest = np.linalg.eigvalsh(nx.to_numpy_array(graph))[-1]
    expected = dense(name, graph, 0.5 / largest)[pairs[0], pairs[1]]
    assert np.allclose(score(name, data, pairs).numpy(), expected, rtol=1e-9, atol=1e-10)


def test_katz_is_the_sum_over_paths_and_beta_can_be_given() -> None:
    graph, data, pairs = example()
    a = nx.to_numpy_array(graph, nodelist=range(38))
    total, power = np.zeros_like(a), np.eye(38)
    for _ in range(60):
        power = 0.05 * power @ a
        total += power
    found = score("katz", data, pairs, beta=0.05)
    assert np.allclose(found.numpy(), total[pairs[0], pairs[1]], atol=1e-10)


def test_ppr_is_networkx_pagerank() -> None:
    graph, data, _ = example()
    for u, v in [(0, 33), (5, 20), (34, 36)]:
        ranks = [
            nx.pagerank(graph, personalization={w: 1}, tol=1e-12, max_iter=1000) for w in (u, v)
        ]
        expected = ranks[0][v] + ranks[1][u]
        found = score("ppr", data, torch.tensor([[u], [v]]), restart=0.15)
        assert float(found) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("name", HEURISTICS)
def test_order_direction_and_tiles_change_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, data, pairs = example()
    whole = score(name, data, pairs)
    assert torch.allclose(score(name, data, pairs.flip(0)), whole, atol=1e-12)
    assert torch.equal(scorers(data, [name])[name](pairs), whole)
    monkeypatch.setattr(heuristics, "TILE", 80)
    monkeypatch.setattr(heuristics, "CELLS", 150)
    assert torch.allclose(score(name, data, pairs), whole, atol=1e-12)


@pytest.mark.parametrize("name", HEURISTICS)
def test_permuting_the_nodes_permutes_nothing_else(name: str) -> None:
    _, data, pairs = example()
    order = torch.randperm(38, generator=torch.Generator().manual_seed(0))
    moved = Data(edge_index=order[data.edge_index], num_nodes=38)
    assert torch.allclose(score(name, moved, order[pairs]), score(name, data, pairs), atol=1e-11)


@pytest.mark.parametrize("name", HEURISTICS)
def test_only_the_message_graph_is_read(name: str) -> None:
    _, data, pairs = example()
    seen = score(name, data, pairs)
    extra = Data(
        edge_index=data.edge_index,
        num_nodes=38,
        x=torch.randn(38, 2),
        y=torch.zeros(38),
        edge_label_index=torch.tensor([[0], [37]]),
        edge_weight=torch.rand(data.num_edges),
    )
    assert torch.equal(score(name, extra, pairs), seen)
    isolated = pairs[1] == 37  # no path leads there, whatever is hidden
    assert bool((seen[isolated] == 0).all())


@pytest.mark.parametrize("name", HEURISTICS)
def test_a_graph_without_links_scores_nothing(name: str) -> None:
    empty = Data(edge_index=torch.empty(2, 0, dtype=torch.int64), num_nodes=5)
    pairs = torch.combinations(torch.arange(5)).T
    assert score(name, empty, pairs).tolist() == [0.0] * 10
    assert score(name, empty, pairs[:, :0]).shape == (0,)


def test_the_spectral_radius_of_a_large_graph_is_found() -> None:
    graph = nx.gnm_random_graph(150, 400, seed=0)
    expected = np.linalg.eigvalsh(nx.to_numpy_array(graph))[-1]
    found = heuristics._spectral_radius(heuristics.adjacency_of(data_of(graph)))
    assert found == pytest.approx(expected, rel=1e-9)


def test_heuristics_find_hidden_links_of_a_world_with_blocks() -> None:
    graph = nx.planted_partition_graph(4, 20, 0.5, 0.02, seed=0)
    edges = torch.tensor(list(graph.edges)).T
    order = torch.randperm(edges.shape[1], generator=torch.Generator().manual_seed(0))
    hidden, kept = edges[:, order[:40]], edges[:, order[40:]]
    others = torch.tensor(list(nx.non_edges(graph))).T
    message = Data(edge_index=torch.cat([kept, kept.flip(0)], 1), num_nodes=80)
    for name in set(HEURISTICS) - {"preferential-attachment"}:
        better = score(name, message, hidden).mean() / score(name, message, others).mean()
        assert better > 1.3, name


def test_heuristics_say_what_is_wrong() -> None:
    _, data, pairs = example()
    for words, name, options in [
        ("heuristic: unknown 'kats'. Did you mean 'katz'", "kats", {}),
        ("option of jaccard: unknown 'beta'", "jaccard", {"beta": 1.0}),
        ("beta: 1 is not between 0 and 1 / lambda_max", "katz", {"beta": 1.0}),
        ("beta: 0 is not", "katz", {"beta": 0.0}),
        ("restart: 1", "ppr", {"restart": 1.0}),
    ]:
        with pytest.raises(UserError, match=words) as error:
            score(name, data, pairs, **options)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="node 38 of a graph of 38"):
        score("jaccard", data, torch.tensor([[0], [38]]))
    with pytest.raises(UserError, match="one direction only"):
        one_way = Data(edge_index=torch.tensor([[0], [1]]), num_nodes=2)
        score("jaccard", one_way, torch.tensor([[0], [1]]))
