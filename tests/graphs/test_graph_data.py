"""Graphs from names, files and worlds: one order, known truths, clear mistakes."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections import Counter
from pathlib import Path

import networkx
import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.io import savemat
from sklearn.metrics import roc_auc_score
from torch_geometric.data import Batch, Data

from goodviews.data.graphs import (
    links_of,
    load_graphs,
    named_graphs,
    permuted,
    stochastic_blocks,
    structural_features,
)
from goodviews.data.graphs import named as named_module
from goodviews.data.graphs import structure as structure_module
from goodviews.data.graphs.links import (
    both_ways,
    distinct,
    non_links,
    pair_numbers,
    pairs_of,
    tidy,
)
from goodviews.data.graphs.structure import (
    adjacency,
    clustering,
    core_numbers,
    degree_one_hot,
    eigenvectors,
    return_probabilities,
)
from goodviews.interfaces import UserError


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_graph(nodes: int = 40, chance: float = 0.12, seed: int = 0) -> Data:
    """A graph with a hub, isolated nodes and whatever chance gives."""
    graph = networkx.gnp_random_graph(nodes, chance, seed=seed)
    graph.add_edges_from((0, i) for i in range(1, nodes // 2))
    graph.add_nodes_from([nodes, nodes + 1])
    links = torch.tensor(list(graph.edges())).T
    return Data(edge_index=both_ways(links, nodes + 2), num_nodes=nodes + 2)


def as_networkx(data: Data) -> networkx.Graph:
    graph = networkx.Graph()
    graph.add_nodes_from(range(data.num_nodes))
    graph.add_edges_from(links_of(data).T.tolist())
    return graph


# --- links in order -------------------------------------------------------------------------------


def test_tidy_is_what_a_set_of_pairs_says() -> None:
    edges = torch.randint(9, (2, 60), generator=generator())
    edge_index, counts = tidy(edges, 9)
    arcs = {(u, v) for u, v in edges.T.tolist() if u != v}
    assert edge_index.T.tolist() == sorted([u, v] for u, v in arcs | {(v, u) for u, v in arcs})
    loops = sum(u == v for u, v in edges.T.tolist())
    assert counts == {
        "self_loops": loops,
        "repeated": 60 - loops - len(arcs),
        "one_way": sum((v, u) not in arcs for u, v in arcs),
        "two_way": sum((v, u) in arcs for u, v in arcs),
    }


def test_permuted_renumbers_everything_that_belongs_to_nodes() -> None:
    data = random_graph()
    n = data.num_nodes
    data.x, data.y = torch.rand(n, 3), torch.arange(n)
    data.test_mask = torch.rand(n, 2) > 0.5
    data.edge_weight = data.edge_index.sum(0).float() + 100 * data.edge_index.prod(0)
    order = torch.randperm(n, generator=generator(1))
    turned = permuted(data, order)
    assert torch.equal(turned.x, data.x[order])
    assert torch.equal(turned.test_mask, data.test_mask[order])
    old = turned.y[turned.edge_index]  # the old id of each end
    assert torch.equal(turned.edge_weight, old.sum(0).float() + 100 * old.prod(0))
    assert {tuple(a) for a in old.T.tolist()} == {tuple(a) for a in data.edge_index.T.tolist()}
    assert torch.equal(turned.edge_index, both_ways(links_of(turned), n))
    back = permuted(turned, order.argsort())
    assert all(torch.equal(back[key], data[key]) for key in ("x", "y", "edge_index", "edge_weight"))


def test_permuted_refuses_what_is_no_permutation() -> None:
    with pytest.raises(UserError, match="order: is no permutation of 42 nodes"):
        permuted(random_graph(), torch.zeros(42, dtype=torch.int64))


def test_numbers_of_pairs_are_exact_also_for_many_nodes() -> None:
    pairs = torch.combinations(torch.arange(30)).T
    assert sorted(pair_numbers(pairs).tolist()) == list(range(30 * 29 // 2))
    high = torch.arange(30_000_000 - 50, 30_000_000)
    for low in (torch.zeros_like(high), high // 3, high - 1):
        pairs = torch.stack([low, high])
        assert torch.equal(pairs_of(pair_numbers(pairs)), pairs)


def test_distinct_draws_every_number_equally_often() -> None:
    for total, count in ((12, 3), (12, 9)):  # by rejection, by permutation
        draws = [distinct(total, count, generator(seed)) for seed in range(3000)]
        assert all(len(draw.unique()) == count for draw in draws)
        expected = 3000 * count / total
        times = torch.cat(draws).bincount(minlength=total)
        assert (times - expected).abs().max() < 5 * (expected * (1 - count / total)) ** 0.5
        first = torch.stack(draws)[:, 0].bincount(minlength=total)  # and in random order
        assert (first - 3000 / total).abs().max() < 5 * (3000 / total) ** 0.5


def test_non_links_are_all_free_pairs_and_uniform() -> None:
    data = random_graph(7, 0.3)
    links = links_of(data)
    every = {(u, v) for v in range(9) for u in range(v)} - {tuple(p) for p in links.T.tolist()}
    pairs, _ = non_links(links, 9, 10**6, generator())
    assert Counter(map(tuple, pairs.T.tolist())) == Counter(every)
    times = Counter(
        tuple(pair)
        for seed in range(1500)
        for pair in non_links(links, 9, 3, generator(seed))[0].T.tolist()
    )
    expected = 1500 * 3 / len(every)
    assert set(times) == every
    assert max(abs(count - expected) for count in times.values()) < 5 * expected**0.5


# --- features made of the links -------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_core_and_clustering_agree_with_networkx(seed: int) -> None:
    data = random_graph(seed=seed)
    graph = as_networkx(data)
    core = networkx.core_number(graph)
    assert core_numbers(adjacency(data)).tolist() == [core[i] for i in range(data.num_nodes)]
    known = networkx.clustering(graph)
    found = clustering(adjacency(data))
    assert found == pytest.approx([known[i] for i in range(data.num_nodes)], abs=1e-12)


def dense_returns(data: Data) -> np.ndarray:
    matrix = adjacency(data).toarray()
    step = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    powers = [np.linalg.matrix_power(step, k) for k in (2, 3, 4, 5, 6)]
    return np.stack([power.diagonal() for power in powers], axis=1)


@pytest.mark.parametrize("chance", [0.02, 0.9])  # sparse and dense blocks
def test_returns_are_the_diagonals_of_matrix_powers(chance: float) -> None:
    data = random_graph(60, chance)
    found = return_probabilities(adjacency(data))
    assert np.allclose(found, dense_returns(data), atol=1e-12, rtol=0)
    assert found[-1].tolist() == [0] * 5  # isolated


def test_long_returns_of_a_very_large_graph_stay_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = torch.arange(300)
    data = Data(edge_index=both_ways(torch.stack([ring, (ring + 1) % 300]), 300), num_nodes=300)
    monkeypatch.setattr(structure_module, "WALKS", 300 * 4)  # walks of two steps, not of three
    found = return_probabilities(adjacency(data))
    assert np.allclose(found, np.array([[0.5, 0, 0.375, 0, 0]]))
    monkeypatch.setattr(structure_module, "WALKS", 0)
    found = return_probabilities(adjacency(data))
    assert np.allclose(found, np.array([[0.5, 0, 0, 0, 0]]))


def test_renumbering_permutes_the_rows_and_nothing_else() -> None:
    data = random_graph(80)
    order = torch.randperm(data.num_nodes, generator=generator(3))
    found = structural_features(permuted(data, order))
    whole = structural_features(data)
    assert found.shape == (82, 16)
    assert torch.allclose(found, whole[order], atol=1e-6, rtol=0)
    assert not torch.allclose(found, whole, atol=1e-3)


def test_eigenvectors_are_of_the_laplacian_and_go_with_the_nodes() -> None:
    world = stochastic_blocks(60, 3, 0.6, 0.1).data
    links = adjacency(world)
    found = eigenvectors(links, 4)
    root = np.diag(1 / np.sqrt(np.asarray(links.sum(0)).ravel()))
    laplacian = np.eye(60) - root @ links.toarray() @ root
    values, vectors = np.linalg.eigh(laplacian)
    assert np.abs(vectors[:, 1:5].T @ found) / np.sqrt(60) == pytest.approx(np.eye(4), abs=1e-9)
    assert np.allclose((found**2).mean(0), 1)
    order = torch.randperm(60, generator=generator(1))
    turned = eigenvectors(adjacency(permuted(world, order)), 4)
    assert np.allclose(turned, found[order.numpy()], atol=1e-8)


def test_eigenvectors_of_a_larger_graph_come_from_arnoldi_steps() -> None:
    links = adjacency(stochastic_blocks(1200, 3, 0.03, 0.003).data)
    found = eigenvectors(links, 2)
    root = sparse.diags(1 / np.sqrt(np.asarray(links.sum(0)).ravel()))
    moved = root @ links @ root @ found
    values = (moved * found).sum(0) / 1200
    assert np.allclose(moved, found * values, atol=1e-6)
    assert (values > 0.4).all()  # the two that tell three blocks apart; the rest is below


def test_a_graph_of_two_nodes_has_features() -> None:
    pair = Data(edge_index=torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
    found = structural_features(pair, positions=16)
    assert found.shape == (2, 32) and bool(found.isfinite().all())


def test_degree_one_hot_keeps_large_degrees_in_the_last_column() -> None:
    star = Data(edge_index=both_ways(torch.tensor([[0, 0, 0], [1, 2, 3]]), 5), num_nodes=5)
    assert degree_one_hot(star, 3).argmax(1).tolist() == [2, 1, 1, 1, 0]


# --- worlds ---------------------------------------------------------------------------------------


def all_pairs(nodes: int) -> torch.Tensor:
    return torch.combinations(torch.arange(nodes)).T


@pytest.mark.parametrize(("inside", "between"), [(0.3, 0.05), (0.02, 0.2)])
def test_the_truth_of_blocks_is_the_sum_over_pairs(inside: float, between: float) -> None:
    world = stochastic_blocks(47, 3, inside, between)
    pairs = all_pairs(47)
    chance = world.probabilities(pairs)
    same = world.data.y[pairs[0]] == world.data.y[pairs[1]]
    assert chance.tolist() == [inside if one else between for one in same.tolist()]
    degree = torch.zeros(47, dtype=torch.float64)
    for end in pairs:
        degree.index_add_(0, end, chance)
    assert torch.allclose(world.expected_degree, degree)
    assert float(world.expected_links.triu().sum()) == pytest.approx(float(chance.sum()))
    assert world.homophily == pytest.approx(float(chance[same].sum() / chance.sum()))
    # every pair once as a link with weight p and once as a non-link with weight 1 - p
    score = torch.cat([chance, chance])
    auc = roc_auc_score(
        [1] * len(chance) + [0] * len(chance), score, sample_weight=torch.cat([chance, 1 - chance])
    )
    assert world.best_auc == pytest.approx(auc, abs=1e-12)
    assert (world.homophily > 1 / 3) == (inside > between)


def test_blocks_draw_as_many_links_as_expected() -> None:
    worlds = [stochastic_blocks(200, 4, 0.1, 0.02, seed=seed) for seed in range(20)]
    expected = worlds[0].expected_links
    for a in range(4):
        for b in range(a, 4):
            counts = []
            for world in worlds:
                ends = world.data.y[links_of(world.data)].sort(dim=0).values
                counts.append(int(((ends[0] == a) & (ends[1] == b)).sum()))
            spread = float(expected[a, b]) ** 0.5 / 20**0.5
            assert np.mean(counts) == pytest.approx(float(expected[a, b]), abs=4.5 * spread)
    mean_degree = torch.stack(
        [w.data.edge_index[0].bincount(minlength=200).double() for w in worlds]
    ).mean()
    assert float(mean_degree) == pytest.approx(float(worlds[0].expected_degree.mean()), rel=0.03)


def test_blocks_are_in_order_and_the_same_twice() -> None:
    one, two, other = (stochastic_blocks(150, 3, 0.2, 0.1, seed=seed).data for seed in (5, 5, 6))
    assert torch.equal(one.edge_index, both_ways(links_of(one), 150))
    assert torch.equal(one.edge_index, two.edge_index) and torch.equal(one.x, two.x)
    assert not torch.equal(one.edge_index, other.edge_index)


def test_noise_is_the_spread_around_the_centres() -> None:
    world = stochastic_blocks(4000, 2, 0.01, 0.0, noise=0.5)
    rest = world.data.x - world.centres[world.data.y]
    assert float(rest.std()) == pytest.approx(0.5, rel=0.02)
    assert links_of(world.data).size(1) and world.homophily == 1


def test_certain_links_are_all_there() -> None:
    assert links_of(stochastic_blocks(9, 3, 1.0, 0.0).data).T.tolist() == [
        [0, 1], [0, 2], [1, 2], [3, 4], [3, 5], [4, 5], [6, 7], [6, 8], [7, 8],
    ]  # fmt: skip


# --- files ----------------------------------------------------------------------------------------

SQUARE = [(0, 1), (1, 2), (2, 3), (3, 0)]


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "source,target\n0,1\n1,2\n2,3\n3,0\n"),
        ("a.csv", "0,1\n1,2\n2,3\n3,0\n"),
        ("a.csv", "weight,target,source\n0.5,1,0\n0.5,2,1\n0.5,3,2\n0.5,0,3\n"),
        ("a.csv", "who;whom\n0;1\n1;2\n2;3\n3;0\n"),
        ("a.tsv", "0\t1\n1\t2\n2\t3\n3\t0\n"),
        ("a.txt", "# a comment\n% another\n0 1\n1   2\n\n2 3\n3 0\n"),
        ("a.txt", "10 20\n20 31\n31 400\n400 10\n"),
        ("a.txt", "a b\nb c\nc d\nd a\n"),
    ],
)
def test_lists_of_links_of_all_sorts_are_one_square(tmp_path: Path, name: str, text: str) -> None:
    found = load_graphs(write(tmp_path / name, text))
    assert links_of(found.graphs[0]).T.tolist() == [[0, 1], [0, 3], [1, 2], [2, 3]]
    assert found.name == "a" and not found.public and found.classes == ()
    assert found.graphs[0].x.shape == (4, 16) and found.graphs[0].x.dtype == torch.float32
    assert found.report["one_way_links"] == 4 and not found.report["directed"]


def test_columns_can_be_named(tmp_path: Path) -> None:
    path = write(tmp_path / "sales.csv", "day,buyer,seller\n1,ann,bob\n2,bob,eve\n3,ann,bob\n")
    found = load_graphs(f"{path}:buyer,seller")
    assert found.ids == ("ann", "bob", "eve") and found.name == "sales"
    assert links_of(found.graphs[0]).T.tolist() == [[0, 1], [1, 2]]
    assert "dropped: 1 repeated links" in found.lines()
    assert "columns not used: day" in found.lines()


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"src": [0, 1, 2, 3], "dst": [1, 2, 3, 0]})
    parquet.write_table(table, tmp_path / "a.parquet")
    found = load_graphs(tmp_path / "a.parquet")
    assert links_of(found.graphs[0]).size(1) == 4


def square_matrix() -> sparse.csc_matrix:
    rows, columns = np.array(SQUARE).T
    return sparse.csc_matrix((np.ones(4), (rows, columns)), shape=(5, 5))


def test_matrices_know_isolated_nodes_and_directions(tmp_path: Path) -> None:
    matrix = square_matrix()
    savemat(tmp_path / "both.mat", {"net": matrix + matrix.T, "other": np.zeros((2, 3))})
    savemat(tmp_path / "one.mat", {"A": matrix * 2.5})
    sparse.save_npz(tmp_path / "sparse.npz", sparse.csr_matrix(matrix))
    both, one, saved = (
        load_graphs(tmp_path / name) for name in ("both.mat", "one.mat", "sparse.npz")
    )
    for found in (both, one, saved):
        assert found.graphs[0].num_nodes == 5 and links_of(found.graphs[0]).size(1) == 4
        assert found.report["isolated"] == 1 and found.report["components"] == 2
    assert not both.report["directed"] and one.report["directed"] and saved.report["directed"]
    told = "links had a direction (4 came without their reverse): made undirected"
    assert told in one.lines()


def test_graphml(tmp_path: Path) -> None:
    graph = networkx.DiGraph([("b", "a"), ("b", "c")])
    graph.add_node("lonely")
    networkx.set_node_attributes(graph, {"a": "red", "b": "blue"}, "label")
    networkx.write_graphml(graph, tmp_path / "g.graphml")
    found = load_graphs(tmp_path / "g.graphml")
    assert found.ids == ("a", "b", "c", "lonely") and found.report["directed"]
    assert found.classes == ("blue", "red") and found.graphs[0].y.tolist() == [1, 0, -1, -1]
    networkx.write_graphml(networkx.path_graph(3), tmp_path / "p.graphml")
    plain = load_graphs(tmp_path / "p.graphml")
    assert plain.ids is None and plain.graphs[0].y is None and plain.classes == ()


@pytest.mark.parametrize("name", ["edges", "edge_index"])
def test_npz_of_arrays(tmp_path: Path, name: str) -> None:
    edges = np.array(SQUARE)
    np.savez(
        tmp_path / "g.npz",
        **{name: edges if name == "edges" else edges.T},
        node_features=np.arange(10.0).reshape(5, 2),
        node_labels=np.array([0, 2, 2, -1, 0]),
        train_masks=np.eye(5, dtype=bool)[:3],
        val_masks=np.zeros((3, 5), dtype=bool),
        test_masks=np.ones((3, 5), dtype=bool),
    )
    found = load_graphs(tmp_path / "g.npz")
    data = found.graphs[0]
    assert data.num_nodes == 5 and data.x[4].tolist() == [8, 9] and "x_kind" not in data
    assert data.y.tolist() == [0, 1, 1, -1, 0] and found.classes == ("0", "2")
    assert found.public and data.train_mask.shape == (5, 3)
    assert data.train_mask[:, 1].tolist() == [False, True, False, False, False]
    assert found.report["classes"] == {"0": 2, "2": 2}
    assert found.report["homophily"] == pytest.approx(1 / 2)  # 0-1 differ, 1-2 agree
    assert load_graphs(tmp_path / "g.npz", labels="none").graphs[0].y is None


def test_a_folder_and_rows_by_id(tmp_path: Path) -> None:
    write(tmp_path / "edges.csv", "source,target\nann,bob\nbob,eve\n")
    write(tmp_path / "features.csv", "id,age,height\neve,3,1.5\nzoe,4,1.6\nann,1,1.7\nbob,2,1.8\n")
    write(tmp_path / "labels.csv", "node,label\nbob,child\nann,adult\n")
    found = load_graphs(tmp_path)
    data = found.graphs[0]
    assert found.ids == ("ann", "bob", "eve", "zoe")
    assert data.x[:, 0].tolist() == [1, 2, 3, 4]
    assert found.classes == ("adult", "child") and data.y.tolist() == [0, 1, -1, -1]
    assert links_of(data).T.tolist() == [[0, 1], [1, 2]] and found.report["isolated"] == 1


def test_rows_in_order_and_other_files(tmp_path: Path) -> None:
    edges = write(tmp_path / "g.txt", "0 1\n1 2\n")
    np.save(tmp_path / "x.npy", np.arange(8.0).reshape(4, 2))
    sparse.save_npz(tmp_path / "x.npz", sparse.csr_matrix(np.arange(8.0).reshape(4, 2)))
    np.savez(tmp_path / "by_id.npz", x=np.arange(8.0).reshape(4, 2)[::-1], ids=[3, 2, 1, 0])
    labels = write(tmp_path / "y.csv", "a\nb\na\nb\n")
    pairs = write(tmp_path / "pairs.csv", "3,b\n0,a\n")
    for file in ("x.npy", "x.npz", "by_id.npz"):
        found = load_graphs(edges, features=tmp_path / file, labels=labels)
        assert found.graphs[0].x[3].tolist() == [6, 7] and found.ids is None
        assert found.graphs[0].y.tolist() == [0, 1, 0, 1]
    found = load_graphs(edges, labels=pairs)  # a label brings its node: 3 has no link
    assert found.graphs[0].y.tolist() == [0, -1, -1, 1] and found.report["isolated"] == 1
    found = load_graphs(edges, features=torch.ones(3, 2), labels=np.array([1, 0, 1]))
    assert found.graphs[0].x.shape == (3, 2) and found.graphs[0].y.tolist() == [1, 0, 1]
    named = load_graphs(write(tmp_path / "h.txt", "7 9\n9 30\n"), features=np.eye(3))
    assert named.ids == (7, 9, 30) and named.graphs[0].x.tolist() == np.eye(3).tolist()


def test_an_index_column_without_a_name_is_the_id(tmp_path: Path) -> None:
    edges = write(tmp_path / "g.txt", "0 1\n1 2\n")
    table = write(tmp_path / "x.csv", ",a\n2,0.5\n0,0.25\n1,0.125\n")
    assert load_graphs(edges, features=table).graphs[0].x[:, 0].tolist() == [0.25, 0.125, 0.5]


def test_what_was_dropped_is_said(tmp_path: Path) -> None:
    text = "0,1\n1,0\n1,1\n1,2\n1,2\n3,4\n4,3\n5,5\n"
    found = load_graphs(write(tmp_path / "g.csv", text))
    assert found.report["self_loops_dropped"] == 2 and found.report["repeated_links_dropped"] == 1
    lines = "\n".join(found.lines())
    assert "6 nodes, 3 links, mean degree 1.00" in lines
    assert "3 connected components, the largest of 3 nodes; 1 isolated nodes" in lines
    assert "dropped: 2 self loops and 1 repeated links" in lines
    assert "links had a direction (1 came without their reverse): made undirected" in lines
    assert "features: made of the links (structural; positional adds places, for links)" in lines
    assert json.loads(json.dumps(found.report)) == found.report


def test_features_can_be_made_although_there_are_some() -> None:
    world = stochastic_blocks(60, 2, 0.4, 0.1).data
    made = load_graphs(world, features="structural").graphs[0]
    assert made.x_kind == "structural" and torch.allclose(made.x, structural_features(world))
    placed = load_graphs(world, features="positional").graphs[0]
    assert placed.x_kind == "positional" and placed.x.shape == (60, 32)
    again = load_graphs(placed).graphs[0]
    assert again.x_kind == "positional" and torch.equal(again.x, placed.x)


def test_a_graph_of_python_is_put_in_order_and_not_modified() -> None:
    data = Data(x=torch.eye(4), edge_index=torch.tensor([[3, 0, 0, 2], [0, 1, 1, 2]]))
    before = data.edge_index.clone()
    found = load_graphs(data)
    assert links_of(found.graphs[0]).T.tolist() == [[0, 1], [0, 3]]
    assert torch.equal(data.edge_index, before) and found.report["self_loops_dropped"] == 1


def test_a_world_by_name_brings_its_truth() -> None:
    found = load_graphs("sbm:nodes=80,blocks=2,inside=0.05,between=0.2", seed=3)
    same = stochastic_blocks(80, 2, 0.05, 0.2, seed=3)
    assert torch.equal(found.graphs[0].edge_index, same.data.edge_index)
    assert found.world is not None and found.world.homophily < 0.25
    assert found.classes == ("0", "1") and found.name == "sbm"


# --- named sets, in small -------------------------------------------------------------------------


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def small_planetoid(folder: Path) -> None:
    """Six labelled nodes and three more of 500 for validation, as Yang et al. 2016 write them."""
    folder.mkdir(parents=True)
    n, k = 6 + 500, 3
    x = np.eye(n + k, 5, dtype=np.float32)
    y = np.eye(2, dtype=np.int32)[np.arange(n + k) % 2]
    graph = {i: [i + 1] for i in range(n + k - 1)} | {n + k - 1: [0, 0]}
    parts = {"x": x[:6], "tx": x[n:], "allx": x[:n], "y": y[:6], "ty": y[n:], "ally": y[:n]}
    for name, part in {**parts, "graph": graph}.items():
        stored = sparse.csr_matrix(part) if name.endswith("x") else part
        (folder / f"ind.cora.{name}").write_bytes(pickle.dumps(stored))
    (folder / "ind.cora.test.index").write_text("".join(f"{n + i}\n" for i in (2, 0, 1)))


@pytest.mark.parametrize("inside", ["graphs/Planetoid", "Planetoid"])
def test_planetoid_is_read_raw_and_nothing_is_written(tmp_path: Path, inside: str) -> None:
    small_planetoid(tmp_path / inside / "Cora" / "raw")
    before = tree(tmp_path)
    found = load_graphs("cora", data_root=tmp_path)
    assert tree(tmp_path) == before
    assert found.name == "Cora" and found.public and found.report["links"] == 509
    assert found.report["public_split"] == {"train": 6, "val": 500, "test": 3, "splits": 1}


TEXT_SET = "2\n3 1\n0 1 1\n4 2 0 2\n0 1 1\n2 7\n4 1 1\n4 1 0\n"


def test_sets_of_graphs_as_text(tmp_path: Path) -> None:
    (tmp_path / "TU").mkdir()
    (tmp_path / "TU" / "MUTAG.txt").write_text(TEXT_SET)
    (tmp_path / "TU" / "IMDBBINARY.txt").write_text(TEXT_SET.replace("\n4 ", "\n0 "))
    found = load_graphs("mutag", data_root=tmp_path)
    assert [g.num_nodes for g in found.graphs] == [3, 2] and found.classes == ("1", "7")
    assert [g.y.tolist() for g in found.graphs] == [[0], [1]]
    assert found.graphs[0].x.tolist() == [[1, 0], [0, 1], [1, 0]]
    assert links_of(found.graphs[0]).T.tolist() == [[0, 1], [1, 2]]
    assert found.lines()[0].startswith("MUTAG: 2 graphs, 5 nodes, 3 links")
    social = load_graphs("imdb-binary", data_root=tmp_path).graphs
    assert social[0].x.tolist() == [[0, 1, 0], [0, 0, 1], [0, 1, 0]]
    batch = Batch.from_data_list(social)
    assert batch.num_graphs == 2 and batch.x.shape == (5, 3)


def test_other_tu_sets_are_read_from_their_raw_files(tmp_path: Path) -> None:
    raw = tmp_path / "graphs" / "TU" / "TINY" / "raw"
    raw.mkdir(parents=True)
    (raw / "TINY_A.txt").write_text("1, 2\n2, 1\n2, 3\n3, 2\n4, 5\n5, 4\n")
    (raw / "TINY_graph_indicator.txt").write_text("1\n1\n1\n2\n2\n")
    (raw / "TINY_graph_labels.txt").write_text("1\n-1\n")
    (raw / "TINY_node_labels.txt").write_text("3\n4\n3\n4\n4\n")
    found = load_graphs("tu:TINY", data_root=tmp_path)
    assert [g.num_nodes for g in found.graphs] == [3, 2]
    assert [int(g.y) for g in found.graphs] == [1, 0]
    assert found.graphs[1].x.tolist() == [[0, 1], [0, 1]]
    assert links_of(found.graphs[1]).T.tolist() == [[0, 1]]


def test_wikics_amazon_and_heterophilous_files(tmp_path: Path) -> None:
    (tmp_path / "WikiCS" / "raw").mkdir(parents=True)
    told = {
        "features": [[0.5, 1], [1, 2], [3, 4]],
        "labels": [1, 0, 1],
        "links": [[1, 2], [], [0]],
        "train_masks": [[True, False, False], [False, True, False]],
        "val_masks": [[False, True, False], [True, False, False]],
        "test_mask": [False, False, True],
    }
    (tmp_path / "WikiCS" / "raw" / "data.json").write_text(json.dumps(told))
    wiki = load_graphs("wikics", data_root=tmp_path)
    assert wiki.graphs[0].train_mask.shape == (3, 2) and wiki.graphs[0].test_mask.shape == (3,)
    assert wiki.report["directed"] and wiki.report["links"] == 2
    folder = tmp_path / "graphs" / "Amazon" / "Photo" / "raw"
    folder.mkdir(parents=True)
    words, matrix = sparse.csr_matrix(np.eye(5) * 3), sparse.csr_matrix(square_matrix())
    arrays = {
        f"{name}_{part}": getattr(held, part)
        for name, held in (("adj", matrix), ("attr", words))
        for part in ("data", "indices", "indptr", "shape")
    }
    np.savez(folder / "amazon_electronics_photo.npz", labels=np.arange(5) % 2, **arrays)
    photo = load_graphs("amazon-photo", data_root=tmp_path)
    assert torch.equal(photo.graphs[0].x, torch.eye(5)) and photo.name == "amazon-photo"
    assert photo.report["links"] == 4 and photo.classes == ("0", "1")


def test_every_name_has_a_line_and_says_where_it_was_looked_for(tmp_path: Path) -> None:
    assert {"cora", "usair", "wikics", "sbm", "mutag", "texas"} <= set(named_graphs())
    for name, words in named_graphs().items():
        assert words and "\n" not in words
        if name != "sbm":
            with pytest.raises(UserError, match=r"was not found in .* --download"):
                load_graphs(name, data_root=tmp_path)
    assert tree(tmp_path) == set()


def test_missing_sets_are_fetched_only_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, root = tmp_path / "server", tmp_path / "root"
    server.mkdir()
    savemat(server / "USAir.mat", {"net": square_matrix()})
    place = ("link_prediction/USAir.mat", (server / "USAir.mat").as_uri())
    monkeypatch.setitem(named_module.FILES, "usair", place)
    with pytest.raises(UserError, match="fetch it with --download"):
        load_graphs("usair", data_root=root)
    assert not root.exists()
    assert load_graphs("usair", data_root=root, download=True).report["links"] == 4
    assert tree(root / "graphs") == {"link_prediction", "link_prediction/USAir.mat"}
    gone = ("link_prediction/NS.mat", (server / "NS.mat").as_uri())
    monkeypatch.setitem(named_module.FILES, "ns", gone)
    with pytest.raises(UserError, match=r"ns could not be downloaded to .*Check the network"):
        load_graphs("ns", data_root=root, download=True)
    assert tree(root / "graphs") == {"link_prediction", "link_prediction/USAir.mat"}


def test_a_tu_archive_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "A": "1, 2\n2, 1\n3, 4\n4, 3\n",
        "graph_indicator": "1\n1\n2\n2\n",
        "graph_labels": "1\n2\n",
    }
    with zipfile.ZipFile(tmp_path / "TINY.zip", "w") as archive:
        for name, text in files.items():
            archive.writestr(f"TINY/TINY_{name}.txt", text)
    monkeypatch.setattr(named_module.TUDataset, "url", tmp_path.as_uri())
    found = load_graphs("tu:TINY", data_root=tmp_path / "root", download=True)
    assert [g.num_nodes for g in found.graphs] == [2, 2]
    assert found.graphs[0].x.tolist() == [[0, 1], [0, 1]]  # the degree
    assert len(tree(tmp_path / "root" / "graphs" / "TU" / "TINY" / "raw")) == 3


# --- mistakes -------------------------------------------------------------------------------------


def message(data: object, **options: object) -> str:
    with pytest.raises(UserError) as error:
        load_graphs(data, **options)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    return str(error.value)


PATH = "0 1\n1 2\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("# nothing\n", "holds no row"),
        ("source,target\n", "holds a header and no row"),
        ("0 0\n", "holds one node and no link"),
        ("0 0\n1 1\n", "holds self loops only and no link"),
        ("0 1\n-1 2\n", "node id -1 is negative. Number nodes from 0, or name them."),
        ("0 1\n1\n", "line 2 has 1 cells, not 2. Mend that line."),
        ("0,1\n1,\n", "line 2 has an empty cell"),
        ("0.5 1\n1 2\n", "node ids are fractions"),
        ("7\n8\n", "links need two columns"),
        ("a,a\n1,2\n3,4\n", "two columns have one name"),
    ],
)
def test_mistakes_in_lists_of_links(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path / "g.txt", text)
    assert said in message(path) and str(path) in message(path)


def test_mistakes_in_features_and_labels(tmp_path: Path) -> None:
    path = write(tmp_path / "g.txt", PATH)
    ids = write(tmp_path / "x.csv", "id,a\n0,1\n1,1\n")
    assert f"a link names node 2, which --features: {ids} does not have (1 such links)" in message(
        path, features=ids
    )
    assert "a link names node 2 where --features has 2 nodes, 0 to 1" in message(
        path, features=np.eye(2)
    )
    said = message(path, features=np.eye(3), labels=[0, 1])
    assert "--labels: has 2 rows where --features has 3 nodes. Give one row a node." in said
    holes = np.eye(3)
    holes[1, 2] = np.nan
    assert "--features: nan at node 1, feature 2 (1 such values)" in message(path, features=holes)
    assert "inf at node 0" in message(path, features=np.full((3, 1), 1e300))
    words = write(tmp_path / "w.csv", "id,a\n0,red\n1,1\n2,blue\n")
    assert "column 'a' holds text ('red')" in message(path, features=words)
    twice = write(tmp_path / "t.csv", "id,a\n0,1\n0,2\n1,1\n2,1\n")
    assert "node 0 has two rows" in message(path, features=twice)
    far = write(tmp_path / "far.csv", "id,label\n9,1\n")
    assert "labels node 9, which the graph does not have" in message(
        path, features=np.eye(3), labels=far
    )
    assert "0.5 is no class" in message(path, labels=np.array([0.5, 1, 2]))
    assert "-7 is no class" in message(path, labels=np.array([-7, 1, 2]))
    lone = write(tmp_path / "lone.csv", "id\n1\n2\n")
    assert "has a column of ids and nothing else" in message(path, features=lone)
    named = write(tmp_path / "n.txt", "a b\nb c\n")
    assert "2 rows do not fit 3 named nodes. Add a column id." in message(named, features=np.eye(2))


def test_mistakes_in_names_and_files(tmp_path: Path) -> None:
    assert message("cora") == (
        "--data: cora needs --data-root, the folder that holds it or that --download may fill. "
        "Or use a file of links, or sbm."
    )
    assert "is no known graph and no file. Did you mean citeseer?" in message("citesear")
    assert "Known: cora" in message("qqqqqqqq")
    assert f"does not exist ({tmp_path} does)" in message(tmp_path / "missing.csv")
    assert "unknown 'node'. Did you mean 'nodes'?" in message("sbm:node=5")
    assert "sbm: nodes=x is no whole number" in message("sbm:nodes=x")
    assert "inside=3.0 is no probability" in message("sbm:inside=3")
    assert "make no graph" in message("sbm:nodes=3,blocks=9")
    assert "drew no link" in message("sbm:inside=0,between=0")
    path = write(tmp_path / "g.csv", "buyer,seller\nann,bob\n")
    said = message(f"{path}:buyer,sellers")
    assert "column: unknown 'sellers'. Did you mean 'seller'?" in said
    assert "ending .docx is not known" in message(write(tmp_path / "g.docx", "x"))
    for name in ("g.mat", "g.npz", "g.graphml", "g.parquet"):
        if name == "g.parquet":
            pytest.importorskip("pyarrow")
        broken = tmp_path / name
        broken.write_bytes(b"PK\x03\x04 this is no such file")
        assert "cannot be read" in message(broken) and str(broken) in message(broken)
    broken = tmp_path / "binary.csv"
    broken.write_bytes(bytes(range(128, 256)))
    assert "is no UTF-8 text" in message(broken)
    savemat(tmp_path / "flat.mat", {"a": np.zeros((2, 3))})
    assert "has no square matrix (has a)" in message(tmp_path / "flat.mat")
    np.savez(tmp_path / "none.npz", a=np.zeros(3))
    assert "has no array edges (has a)" in message(tmp_path / "none.npz")
    np.savez(tmp_path / "odd.npz", edges=np.zeros((4, 3), dtype=int))
    assert "edges has shape (4, 3)" in message(tmp_path / "odd.npz")
    np.savez(tmp_path / "empty.npz", edges=np.zeros((0, 2), dtype=int), x=np.eye(3))
    assert "holds no link" in message(tmp_path / "empty.npz")
    np.savez(tmp_path / "mask.npz", edges=np.array(SQUARE), x=np.eye(4), train_mask=np.ones(3))
    assert "train_mask has shape (3,) for 4 nodes" in message(tmp_path / "mask.npz")


def test_mistakes_in_folders(tmp_path: Path) -> None:
    assert "holds no edges.*" in message(tmp_path)
    write(tmp_path / "edges.csv", "0,1\n")
    write(tmp_path / "edges.txt", "0 1\n")
    assert "holds several edges (edges.csv, edges.txt). Keep one." in message(tmp_path)


def test_damaged_sets_and_missing_packages(tmp_path: Path) -> None:
    raw = tmp_path / "Planetoid" / "Cora" / "raw"
    small_planetoid(raw)
    (raw / "ind.cora.allx").write_bytes(b"broken")
    assert "cora cannot be read from" in message("cora", data_root=tmp_path)
    (tmp_path / "TU").mkdir()
    (tmp_path / "TU" / "MUTAG.txt").write_text(TEXT_SET[:20])
    assert "MUTAG cannot be read from" in message("mutag", data_root=tmp_path)
    (tmp_path / "TU" / "MUTAG.txt").write_text("1\n2 0\n0 1 1\n0 1 5\n")
    assert "graph 0 links a node it has not" in message("mutag", data_root=tmp_path)
    try:
        import ogb  # noqa: F401
    except ImportError:
        said = message("ogb:ogbn-arxiv", data_root=tmp_path)
        assert said == "--data: ogb:ogbn-arxiv needs the package ogb. Run: pip install ogb"


def test_mistakes_in_graphs_of_python() -> None:
    edges = torch.tensor([[0, 1], [1, 4]])
    said = message(Data(x=torch.eye(3), edge_index=edges))
    assert "data: a link names node 4 where data has 3 nodes, 0 to 2" in said
    assert "an empty list of graphs" in message([])
    assert "graph 0 is no Data with edge_index" in message([Data(x=torch.eye(2))])
    assert "holds no link" in message(Data(x=torch.eye(2), edge_index=edges[:, :0]))
    several = [Data(x=torch.eye(5), edge_index=edges), Data(x=torch.eye(6), edge_index=edges)]
    assert "graphs with different features" in message(several)
    dangling = [several[0], Data(x=torch.eye(3), edge_index=edges)]
    assert "data: graph 1: a link names node 4 of 3" in message(dangling)
    negative = [several[0], Data(x=torch.eye(5), edge_index=-edges)]
    assert "data: graph 1: a link names node -4 of 5" in message(negative)
    assert "does not fit a set of graphs" in message(several[:1] * 2, features="positional")
    assert "--labels: 3 for 2 graphs" in message(several[:1] * 2, labels=[1, 0, 1])


# --- the published counts -------------------------------------------------------------------------

COUNTS = {
    "cora": (1, 2708, 5278),
    "citeseer": (1, 3327, 4552),
    "usair": (1, 332, 2126),
    "ns": (1, 1589, 2742),
    "pb": (1, 1222, 16714),
    "yeast": (1, 2375, 11693),
    "celegans": (1, 297, 2148),
    "power": (1, 4941, 6594),
    "router": (1, 5022, 6258),
    "ecoli": (1, 1805, 14660),
    "texas": (1, 183, 279),
    "actor": (1, 7600, 26659),
    "chameleon": (1, 890, 8854),
    "mutag": (188, 3371, 3721),
    "proteins": (1113, 43471, 81044),
    "imdb-binary": (1000, 19773, 96531),
}


@pytest.mark.parametrize("name", COUNTS)
def test_real_sets_have_the_published_counts(name: str) -> None:
    root = os.environ.get("GOODVIEWS_DATA")
    if root is None or not Path(root, "graphs").is_dir():
        pytest.skip("set GOODVIEWS_DATA to a folder with graphs/")
    found = load_graphs(name, data_root=root).report
    assert (found["graphs"], found["nodes"], found["links"]) == COUNTS[name]
