"""Tendency: known truths (block worlds, configuration models, constants) and dense loops."""

from __future__ import annotations

import itertools
import math

import networkx as nx
import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance
from torch import Tensor
from torch_geometric.data import Data

from goodviews.evaluation.graphs import tendency as module
from goodviews.evaluation.graphs.tendency import (
    Probability,
    Tendency,
    find_communities,
    tendency,
    transitivity,
)
from goodviews.interfaces import UserError


def table(p: Tensor) -> Probability:
    return lambda links: p[links[0], links[1]]


def graph_of(p: Tensor, seed: int, y: Tensor | None = None) -> Data:
    """A graph drawn with independent links of these probabilities (n, n)."""
    draw = torch.rand(p.shape, generator=torch.Generator().manual_seed(seed))
    links = torch.triu(draw < p, diagonal=1).nonzero().T
    return Data(edge_index=torch.cat([links, links.flip(0)], 1), num_nodes=len(p), y=y)


def world(n: int = 600, links: float = 12.0) -> tuple[Tensor, Tensor]:
    """Probabilities (n, n) of a degree-corrected block model, three blocks, and the blocks."""
    block = torch.arange(n) * 3 // n
    mixing = torch.full((3, 3), 0.15) + torch.diag(torch.tensor([3.0, 2.0, 1.0]))
    theta = torch.linspace(0.2, 2.5, n)[
        torch.randperm(n, generator=torch.Generator().manual_seed(0))
    ]
    p = theta.unsqueeze(1) * theta * mixing[block][:, block]
    p.fill_diagonal_(0)
    return (p * links / p.sum(1).mean()).clamp_max(1), block


def configuration(graph: Data) -> Tensor:
    degree = torch.bincount(graph.edge_index[0], minlength=graph.num_nodes).double()
    return (degree.unsqueeze(1) * degree / degree.sum()).clamp_max(1)


@pytest.fixture(scope="module")
def answers() -> dict[str, Tendency]:
    """What the truth, the degrees alone and the density alone expect of one graph."""
    p, block = world()
    graph = graph_of(p, 1, block)
    flat = torch.full_like(p, graph.num_edges / (600 * 599))
    models = {"truth": p, "degrees": configuration(graph), "density": flat}
    return {name: tendency(table(model), graph) for name, model in models.items()}


def test_the_true_probabilities_know_everything(answers: dict[str, Tendency]) -> None:
    found = answers["truth"]
    assert found.exact
    assert found.links_expected == pytest.approx(found.links, rel=0.05)
    assert found.degree_w1 < 0.7  # the mean degree itself is known to 12 / sqrt(3600) = 0.2
    assert found.degree_kl < 0.06  # about 45 degrees over 600 nodes: 45 / 1200 by the draw alone
    assert found.mixing_tv < 0.03
    assert found.mixing_kl < 0.005
    assert abs(found.clustering_expected - found.clustering) < 0.02
    assert found.reading.startswith(
        "Knows the number of links, the degrees, the mixing of communities and the clustering"
    )


def test_a_configuration_model_knows_degrees_and_not_mixing(answers: dict[str, Tendency]) -> None:
    found, truth = answers["degrees"], answers["truth"]
    assert found.degree_w1 < 0.1 * 12
    assert found.degree_kl < 0.1
    assert found.mixing_tv > 0.3
    assert found.mixing_kl > 20 * truth.mixing_kl
    assert "the degrees" in found.reading.split(":")[0]
    assert "mixing" not in found.reading.split(":")[0]


def test_a_constant_knows_only_the_number_of_links(answers: dict[str, Tendency]) -> None:
    found, truth = answers["density"], answers["truth"]
    assert found.links_expected == pytest.approx(found.links, rel=1e-5)
    assert found.degree_w1 > 4 * truth.degree_w1
    assert found.degree_kl > 10 * truth.degree_kl
    assert found.mixing_tv > 0.3
    assert found.clustering_expected == pytest.approx(12 / 600, rel=0.1)
    assert "degrees" not in found.reading.split(":")[0]


# --- second roads


def small(seed: int = 0, n: int = 12) -> tuple[Tensor, Data]:
    p = torch.rand(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    p = torch.triu(p, 1) ** 2
    p = p + p.T
    return p, graph_of(p, seed + 1, torch.arange(n) % 3)


def poisson_binomial(p: list[float]) -> np.ndarray:
    pmf = np.ones(1)
    for one in p:
        pmf = np.convolve(pmf, [1 - one, one])
    return pmf


@pytest.mark.parametrize(("n", "rarer", "gap"), [(12, 1, 0.04), (50, 10, 0.005)])
def test_expected_degrees_are_near_the_exact_sum_of_coins(n: int, rarer: int, gap: float) -> None:
    p, graph = small(n=n)
    p /= rarer
    exact = np.zeros(n)
    for u in range(n):
        exact += poisson_binomial([float(p[u, v]) for v in range(n) if v != u]) / n
    found = tendency(table(p), graph).degrees[1].numpy()
    found, exact = (np.pad(shares, (0, 100 - len(shares))) for shares in (found, exact))
    assert np.abs(found - exact).sum() / 2 < gap


def test_distances_of_degrees_are_those_of_the_formulas() -> None:
    p, graph = small()
    found = tendency(table(p), graph)
    width = found.degrees.shape[1]
    truth = np.bincount(torch.bincount(graph.edge_index[0], minlength=12), minlength=width) / 12
    assert np.allclose(found.degrees[0].numpy(), truth)
    values = np.arange(width)
    expected = wasserstein_distance(values, values, truth, found.degrees[1].numpy())
    assert found.degree_w1 == pytest.approx(expected)
    smoothed = found.degrees[1].numpy() * 12 / 13 + 1 / 13 / width
    kl = sum(t * math.log(t / q) for t, q in zip(truth, smoothed, strict=True) if t > 0)
    assert found.degree_kl == pytest.approx(kl)


def test_certain_links_have_certain_degrees() -> None:
    _, graph = small()
    adjacency = torch.zeros(12, 12)
    adjacency[graph.edge_index[0], graph.edge_index[1]] = 1
    found = tendency(table(adjacency), graph)
    assert torch.allclose(found.degrees[0], found.degrees[1], atol=1e-9)
    assert torch.allclose(found.mixing[0], found.mixing[1])
    assert (found.degree_w1, found.mixing_tv) == (pytest.approx(0, abs=1e-9), pytest.approx(0))
    assert found.links_expected == found.links
    assert found.clustering_expected == pytest.approx(
        found.clustering, abs=5 * found.clustering_error
    )


def test_mixing_and_links_are_those_of_a_loop() -> None:
    p, graph = small()
    expected, true = np.zeros((3, 3)), np.zeros((3, 3))
    links = set(map(tuple, graph.edge_index.T.tolist()))
    block = torch.arange(12) % 3
    for u, v in itertools.permutations(range(12), 2):
        expected[block[u], block[v]] += float(p[u, v])
        true[block[u], block[v]] += (u, v) in links
    found = tendency(table(p), graph)
    assert found.links_expected == pytest.approx(expected.sum() / 2)
    assert np.allclose(found.mixing[0].numpy(), true / true.sum())
    assert np.allclose(found.mixing[1].numpy(), expected / expected.sum())
    gap = np.abs(true / true.sum() - expected / expected.sum()).sum() / 2
    assert found.mixing_tv == pytest.approx(gap)


def test_expected_clustering_is_that_of_the_cube() -> None:
    p, graph = small()
    closed = float(torch.einsum("uv,uw,vw->", p, p, p))
    triples = float((p.sum(1) ** 2 - (p**2).sum(1)).sum())
    found = tendency(table(p), graph)
    assert found.clustering_error < 0.02
    assert found.clustering_expected == pytest.approx(
        closed / triples, abs=4 * found.clustering_error
    )


def test_transitivity_is_that_of_networkx() -> None:
    for seed in range(3):
        _, graph = small(seed)
        network = nx.Graph(graph.edge_index.T.tolist())
        assert transitivity(graph) == pytest.approx(nx.transitivity(network))
    path = Data(edge_index=torch.tensor([[0, 1], [1, 0]]), num_nodes=3)
    assert transitivity(path) == 0.0


# --- large graphs, tiles, what is known


def test_drawn_pairs_stand_for_all_pairs() -> None:
    p, block = world()
    graph = graph_of(p, 1, block)
    all_pairs = tendency(table(p), graph)
    drawn = tendency(table(p), graph, exact_nodes=100, partners=200)
    assert not drawn.exact
    assert drawn.links_expected == pytest.approx(all_pairs.links_expected, rel=0.02)
    assert torch.allclose(drawn.mixing[1], all_pairs.mixing[1], atol=0.01)
    assert drawn.degree_w1 == pytest.approx(all_pairs.degree_w1, abs=0.3)
    assert drawn.clustering_expected == pytest.approx(all_pairs.clustering_expected, abs=0.02)


def test_the_weights_of_drawn_pairs_count_every_pair() -> None:
    p, graph = small(n=40)
    pairs = list(module._drawn_pairs(graph, 40, 50, torch.Generator().manual_seed(0)))
    links, weight = torch.cat([a for a, _ in pairs], 1), torch.cat([w for _, w in pairs])
    assert float(weight.sum()) == pytest.approx(40 * 39 / 2)
    assert bool((links[0] < links[1]).all())


def test_all_pairs_are_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAIRS", 30)
    links = torch.cat([pairs for pairs, _ in module._all_pairs(11)], 1)
    assert sorted(links.T.tolist()) == [list(pair) for pair in itertools.combinations(range(11), 2)]


def test_tiles_and_groups_of_nodes_change_little(monkeypatch: pytest.MonkeyPatch) -> None:
    p, block = world()
    graph = graph_of(p, 1, block)
    whole = tendency(table(p), graph)
    monkeypatch.setattr(module, "PAIRS", 5000)
    assert tendency(table(p), graph).degree_w1 == pytest.approx(whole.degree_w1, abs=1e-9)
    monkeypatch.setattr(module, "GROUPS", 60)
    assert tendency(table(p), graph).degree_w1 == pytest.approx(whole.degree_w1, abs=0.02)


def test_the_same_seed_gives_the_same_numbers() -> None:
    p, graph = small(n=40)
    first, second, other = (
        tendency(table(p), graph, exact_nodes=10, partners=5, seed=seed) for seed in (0, 0, 1)
    )
    assert first.links_expected == second.links_expected != other.links_expected
    assert first.clustering_expected == second.clustering_expected


def test_known_links_are_certain() -> None:
    _, graph = small()
    nothing = lambda links: torch.zeros(links.shape[1])  # noqa: E731
    assert tendency(nothing, graph).links_expected == 0
    found = tendency(nothing, graph, known=graph)
    assert found.links_expected == found.links
    assert found.degree_w1 == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("most", [module.LOUVAIN_LINKS, 10])
def test_communities_are_found_where_there_are_no_labels(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOUVAIN_LINKS", most)
    network = nx.planted_partition_graph(3, 15, 0.9, 0.02, seed=0)
    links = torch.tensor(list(network.edges)).T
    graph = Data(edge_index=torch.cat([links, links.flip(0)], 1), num_nodes=45)
    found = find_communities(graph)
    truth = torch.arange(45) // 15
    assert all(len(found[truth == block].unique()) == 1 for block in range(3))
    assert len(found.unique()) == 3
    flat = tendency(lambda pairs: torch.full((pairs.shape[1],), 0.3), graph)
    assert flat.mixing.shape == (2, 3, 3)
    assert flat.mixing_tv > 0.4


def test_many_communities_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COMMUNITIES", 4)
    p, graph = small()
    found = tendency(table(p), graph, communities=torch.tensor([7] * 4 + [9] * 3 + list(range(5))))
    assert found.mixing.shape == (2, 4, 4)
    assert found.mixing.sum((1, 2)).tolist() == pytest.approx([1, 1])


def test_what_is_wrong_is_told_in_one_line() -> None:
    p, graph = small()
    for words, probability, options in [
        ("probability", table(p - 2), {}),
        ("probability", table(p * math.nan), {}),
        ("probability", lambda links: torch.zeros(3, 3), {}),
        (r"communities: \(5,\) for 12 nodes", table(p), {"communities": torch.zeros(5)}),
        ("partners: 0", table(p), {"partners": 0, "exact_nodes": 5}),
    ]:
        with pytest.raises(UserError, match=words) as error:
            tendency(probability, graph, **options)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="12 nodes and no link"):
        empty = torch.empty(2, 0, dtype=torch.int64)
        tendency(table(p), Data(edge_index=empty, num_nodes=12))
