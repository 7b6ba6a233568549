"""One battery over all ops on graphs, then the truths of each of them."""

from __future__ import annotations

import dataclasses
import math

import networkx as nx
import numpy as np
import pytest
import scipy.linalg
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.transforms import GDC

from goodviews.interfaces import UserError
from goodviews.views.graphs import (
    GRAPH_OPS,
    AddLinks,
    AttributeNoise,
    CompleteTriads,
    DropNodes,
    GraphRecipe,
    HeatDiffusion,
    HideLinks,
    LearnedDrop,
    LinkDropper,
    MaskFeatures,
    MaskUnimportant,
    PersonalisedPageRank,
    RandomWalkSubgraph,
    RemoveBetween,
    RemoveLinks,
    RemoveUnimportant,
    RemoveUnshared,
    ResampleLinks,
    RewireLinks,
    ShuffleAttributes,
    SpectralSplit,
)
from goodviews.views.graphs import diffusion as diffusion_room
from goodviews.views.graphs.communities import centrality, communities
from goodviews.views.graphs.link_sets import links_of, pick_within, with_links
from goodviews.views.graphs.plausible import Neighbours

FEATURES = 5


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def graph_from(nx_graph, features=FEATURES, seed=0):
    x = torch.rand(nx_graph.number_of_nodes(), features, generator=seeded(seed)) + 0.1
    pairs = list(nx_graph.edges)
    ends = torch.tensor(pairs).T if pairs else torch.empty(2, 0, dtype=torch.long)
    return with_links(Data(x=x), ends)


def small_graph():
    """Eleven nodes: two communities, a hub, a leaf, a node alone."""
    g = nx.Graph([(0, 1), (0, 2), (1, 2), (1, 3), (2, 3), (3, 4), (4, 5), (4, 6), (5, 6), (6, 7)])
    g.add_edges_from([(5, 7), (7, 8), (4, 7), (0, 9)])
    g.add_node(10)
    return graph_from(g)


def block_graph(n=300, seed=0):
    """Two communities of n / 2 nodes, mean degree about 12, one in nine links between them."""
    inside, across = 2 * 10.7 / n, 2 * 1.3 / n
    g = nx.stochastic_block_model([n // 2, n // 2], [[inside, across], [across, inside]], seed=seed)
    return graph_from(nx.Graph(g.edges), seed=seed) if nx.is_connected(g) else graph_from(g)


def permuted(data, order):
    """The same graph, node i now called order[i]."""
    x = torch.empty_like(data.x)
    x[order] = data.x
    return with_links(Data(x=x), order[links_of(data).ends])


def learned(strength):
    torch.manual_seed(0)
    dropper = LinkDropper(FEATURES)
    with torch.no_grad():
        for part in (dropper.pair, dropper.dimension):
            part[-1].weight.normal_()
    return dropper.to_recipe_op(strength)


AT = {
    "mask_features": MaskFeatures,
    "mask_entries": lambda p: MaskFeatures(p, "entry"),
    "mask_nodes": lambda p: MaskFeatures(p, "node"),
    "shuffle_attributes": ShuffleAttributes,
    "attribute_noise": AttributeNoise,
    "remove_links": RemoveLinks,
    "add_links": AddLinks,
    "rewire_links": RewireLinks,
    "drop_nodes": DropNodes,
    "random_walk_subgraph": RandomWalkSubgraph,
    "personalised_page_rank": lambda s: PersonalisedPageRank(1 - s),
    "heat_diffusion": lambda s: HeatDiffusion(4 * s),
    "remove_unimportant": RemoveUnimportant,
    "remove_by_page_rank": lambda p: RemoveUnimportant(p, "page-rank"),
    "mask_unimportant": MaskUnimportant,
    "remove_between": RemoveBetween,
    "remove_unshared": RemoveUnshared,
    "complete_triads": CompleteTriads,
    "resample_links": ResampleLinks,
    "hide_links": HideLinks,
    "spectral_split": lambda s: SpectralSplit(4 * s),
    "learned_drop": learned,
}
EXACT = {"personalised_page_rank", "heat_diffusion", "spectral_split"}
CASES = pytest.mark.parametrize("make", AT.values(), ids=AT.keys())


def test_the_battery_knows_every_op():
    made = {make(0.5).name for make in AT.values()}
    assert made | {"one_of"} == set(GRAPH_OPS)


def adjacency(data, n):
    """Weights (graphs, n, n) of a union of graphs of n nodes each."""
    weight = data.get("edge_weight")
    if weight is None:
        weight = torch.ones(data.edge_index.shape[1])
    source, target = data.edge_index
    dense = torch.zeros(len(data.x) // n, n, n)
    dense.index_put_((source // n, source % n, target % n), weight.float(), accumulate=True)
    return dense


def content(data):
    found = {"x": data.x, "edge_index": data.edge_index}
    for key in ("edge_weight", "kept"):
        if data.get(key) is not None:
            found[key] = data[key]
    return found


def same(one, two):
    a, b = content(one), content(two)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def assert_well_formed(data, view):
    """Both directions, sorted, no loops, no duplicates, no link across, nodes kept in order."""
    source, target = view.edge_index
    assert view.edge_index.dtype == torch.int64
    assert view.x.shape == data.x.shape and view.x.dtype == torch.float32
    code = source * len(view.x) + target
    assert bool((code.diff() > 0).all()) and not bool((source == target).any())
    assert torch.equal(code, (target * len(view.x) + source).sort().values)
    if data.get("batch") is not None:
        assert torch.equal(view.batch, data.batch)
        assert torch.equal(view.batch[source], view.batch[target])
    if view.get("edge_weight") is not None:
        back = code.argsort()[torch.searchsorted(code, target * len(view.x) + source)]
        assert torch.equal(view.edge_weight, view.edge_weight[back])
        assert bool((view.edge_weight > 0).all())
    if view.get("kept") is not None:
        assert bool(view.kept[source].all()) and not bool(view.x[~view.kept].any())


def many():
    lone = Data(x=torch.ones(1, FEATURES), edge_index=torch.empty(2, 0, dtype=torch.long))
    empty = Data(x=torch.ones(4, FEATURES), edge_index=torch.empty(2, 0, dtype=torch.long))
    whole = graph_from(nx.complete_graph(5))
    return Batch.from_data_list([small_graph(), lone, whole, empty, small_graph()])


# --- the battery -------------------------------------------------------------------------------


@CASES
def test_op_keeps_a_view_well_formed_and_the_input_as_it_is(make):
    for data in (small_graph(), many()):
        before = {key: value.clone() for key, value in content(data).items()}
        for strength in (0.1, 0.5, 0.9, 1.0):
            if make is AT["personalised_page_rank"] and strength == 1:
                continue
            view = make(strength)(data, seeded())
            assert view is not data
            assert_well_formed(data, view)
        assert all(torch.equal(before[key], value) for key, value in content(data).items())


@CASES
def test_op_at_zero_is_the_identity(make):
    for data in (small_graph(), many()):
        assert make(0.0).strength == 0
        assert same(make(0.0)(data, seeded()), data)


@CASES
def test_op_same_seed_same_view(make):
    data, op = many(), make(0.4)
    first, again, other = (op(data, seeded(seed)) for seed in (1, 1, 2))
    assert same(first, again)
    assert same(first, other) == (make in [AT[name] for name in EXACT])


@CASES
def test_op_survives_a_single_node_and_no_links(make):
    for n in (1, 3):
        data = Data(x=torch.ones(n, FEATURES), edge_index=torch.empty(2, 0, dtype=torch.long))
        view = make(0.5)(data, seeded())
        assert view.edge_index.shape == (2, 0) and view.x.shape == (n, FEATURES)


@CASES
def test_op_commutes_with_renaming_nodes(make):
    """In distribution, over a union of copies; exactly where nothing is drawn."""
    data, order = small_graph(), torch.randperm(11, generator=seeded(3))
    op, copies = make(0.5), 1 if make in [AT[name] for name in EXACT] else 1500
    plain, moved = (
        op(Batch.from_data_list([each] * copies), seeded(seed))
        for seed, each in ((0, data), (1, permuted(data, order)))
    )
    pairs = [(adjacency(plain, 11), adjacency(moved, 11)[:, order][:, :, order])]
    pairs.append((plain.x.view(copies, 11, -1), moved.x.view(copies, 11, -1)[:, order]))
    for one, two in pairs:
        spread = ((one.var(0) + two.var(0)) / copies).sqrt() if copies > 1 else 0
        assert bool(((one.mean(0) - two.mean(0)).abs() <= 5 * spread + 1e-4).all())


@CASES
def test_op_larger_dial_shares_less(make):
    """The original's part of the view: falls as the dial grows."""
    data, n = small_graph(), 11
    union = Batch.from_data_list([data] * 200)
    link, shared = adjacency(data, n)[0], []
    strengths = (0.0, 0.2, 0.5, 0.65, 0.95)
    for strength in strengths:
        view = make(strength)(union, seeded())
        weight = adjacency(view, n)
        total = weight.sum().clamp(min=link.sum() * 200 if view.get("edge_weight") is None else 0)
        agree = (weight * link).sum() / total
        x = data.x.repeat(200, 1)
        near = 1 - (view.x - x).square().sum() / x.square().sum()
        shared.append(float(agree + near))
    dials = [make(strength).strength for strength in strengths]
    assert dials == sorted(set(dials)) and dials[0] == 0 and shared[0] == pytest.approx(2)
    assert all(later < before for before, later in zip(shared, shared[1:], strict=False)), shared


@CASES
def test_batched_view_is_what_torch_geometric_takes_apart(make):
    """``to_data_list`` of a view: each graph's own nodes and links."""
    batch = many()
    view = make(0.5)(batch, seeded())
    assert view.num_graphs == 5 and torch.equal(view.ptr, batch.ptr)
    parts = view.to_data_list()
    for i, part in enumerate(parts):
        mine = view.batch == i
        assert torch.equal(part.x, view.x[mine])
        edges = view.edge_index[:, mine[view.edge_index[0]]] - view.ptr[i]
        assert torch.equal(part.edge_index, edges)
        if view.get("kept") is not None:
            assert torch.equal(part.kept, view.kept[mine])


@pytest.mark.parametrize(
    ("make", "sign"),
    [
        (AT["remove_links"], -1),
        (AT["remove_unimportant"], -1),
        (AT["remove_by_page_rank"], -1),
        (AT["remove_between"], -1),
        (AT["remove_unshared"], -1),
        (AT["add_links"], 1),
        (AT["complete_triads"], 1),
    ],
)
def test_expected_share_of_links(make, sign):
    data, p = block_graph(), 0.3
    m = len(links_of(data).codes)
    counts = [len(links_of(make(p)(data, seeded(seed))).codes) for seed in range(20)]
    error = math.sqrt(p * (1 - p) / (m * 20))
    assert abs(np.mean(counts) / m - (1 + sign * p)) < 5 * error


@pytest.mark.parametrize("make", [RewireLinks, ResampleLinks])
def test_expected_share_of_links_replaced(make):
    data = block_graph()
    old = links_of(data).codes
    views = [links_of(make(0.3)(data, seeded(seed))).codes for seed in range(5)]
    assert {len(view) for view in views} == {len(old)}
    gone = np.mean([1 - np.isin(old, view).mean() for view in views])
    assert gone == pytest.approx(0.3, abs=0.01)


def test_expected_share_of_features_and_nodes():
    data = graph_from(nx.empty_graph(500), features=40)
    for by, cells in (("entry", 20_000), ("node", 500), ("dimension", 40)):
        shares = [
            float((MaskFeatures(0.3, by)(data, seeded(s)).x == 0).float().mean()) for s in range(20)
        ]
        assert np.mean(shares) == pytest.approx(0.3, abs=5 * math.sqrt(0.21 / cells / 20))
    dropped = [1 - float(DropNodes(0.3)(data, seeded(s)).kept.float().mean()) for s in range(20)]
    assert np.mean(dropped) == pytest.approx(0.3, abs=5 * math.sqrt(0.21 / 10_000))
    assert int(RandomWalkSubgraph(0.3)(data, seeded()).kept.sum()) == 350


# --- the truths of each ------------------------------------------------------------------------


def test_malformed_edges_are_one_clear_line():
    for edges in ([[0], [1]], [[0, 1, 1], [1, 0, 1]], [[0, 0, 1, 1], [1, 1, 0, 0]]):
        data = Data(x=torch.ones(2, 1), edge_index=torch.tensor(edges))
        with pytest.raises(UserError, match="edge_index: not both directions of every link"):
            RemoveLinks(0.5)(data)


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: RemoveLinks(1.2), "remove_links.p: 1.2 is out of range. Give a number between 0"),
        (lambda: AddLinks(-1), "add_links.p: -1 is out of range. Give a number at least 0"),
        (lambda: MaskFeatures(0.1, "row"), "mask_features.by: unknown 'row'"),
        (lambda: PersonalisedPageRank(0.0), "personalised_page_rank.alpha: 0.0 is out of range"),
        (lambda: RemoveUnimportant(0.1, "degre"), "Did you mean 'degree'"),
        (lambda: CompleteTriads(0.1, "adamic"), "Did you mean 'adamic-adar'"),
        (lambda: SpectralSplit(1, "mid"), "spectral_split.part: unknown 'mid'"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(make, line):
    with pytest.raises(UserError, match=line):
        make()


def test_mask_by_dimension_is_one_mask_a_graph():
    batch = Batch.from_data_list([graph_from(nx.path_graph(4), 64)] * 2)
    hidden = MaskFeatures(0.5)(batch, seeded()).x == 0
    assert torch.equal(hidden[0], hidden[3]) and torch.equal(hidden[4], hidden[7])
    assert not torch.equal(hidden[0], hidden[4])


def test_shuffled_rows_stay_in_their_graph():
    batch = many()
    view = ShuffleAttributes(1.0)(batch, seeded())
    for i in range(5):
        rows = [sorted(map(tuple, data.x[batch.batch == i].tolist())) for data in (batch, view)]
        assert rows[0] == rows[1]


def test_dropped_nodes_stay_dropped_and_empty():
    data = small_graph()
    first = DropNodes(0.5)(data, seeded())
    for op in (AttributeNoise(1.0), ShuffleAttributes(1.0), AddLinks(2.0), SpectralSplit(2.0)):
        assert_well_formed(data, op(first, seeded()))
    again = DropNodes(0.5)(first, seeded(1))
    assert bool((again.kept <= first.kept).all()) and again.kept.sum() < first.kept.sum()


def test_link_weights_go_along():
    data = PersonalisedPageRank(0.2)(small_graph())
    code = data.edge_index[0] * 11 + data.edge_index[1]
    view = RemoveLinks(0.5)(data, seeded())
    place = torch.searchsorted(code, view.edge_index[0] * 11 + view.edge_index[1])
    assert torch.equal(view.edge_weight, data.edge_weight[place])
    assert_well_formed(data, AddLinks(0.1)(data, seeded()))


def test_added_links_fill_a_graph_and_no_more():
    view = AddLinks(50.0)(small_graph(), seeded())
    assert len(links_of(view).codes) == 11 * 10 // 2
    nearly = graph_from(nx.complete_graph(12))
    nearly = with_links(nearly, links_of(nearly).ends[:, 3:])
    assert len(links_of(AddLinks(0.05)(nearly, seeded())).codes) == 66


def test_added_links_are_equally_likely():
    copies = 4000
    data = small_graph()
    view = AddLinks(1 / 14)(Batch.from_data_list([data] * copies), seeded())
    added = adjacency(view, 11).mean(0) - adjacency(data, 11)[0]
    free = adjacency(data, 11)[0] + torch.eye(11) == 0
    share = 1 / (free.sum() / 2)
    assert bool((added[~free] == 0).all())
    assert bool(((added[free] - share).abs() < 5 * (share / copies) ** 0.5).all())


def test_rewiring_keeps_every_degree_exactly():
    for data in (block_graph(), many()):
        view = RewireLinks(0.8)(data, seeded())
        before, after = (
            each.edge_index[0].bincount(minlength=len(data.x)) for each in (data, view)
        )
        assert torch.equal(before, after)
    assert RewireLinks(1.0)(graph_from(nx.complete_graph(5)), seeded()).num_edges == 20


def test_walks_visit_neighbours_first():
    """A single walk keeps a connected part of one of two rings."""
    g = nx.disjoint_union(nx.cycle_graph(30), nx.cycle_graph(30))
    for seed in range(5):
        view = RandomWalkSubgraph(0.9, length=64)(graph_from(g), seeded(seed))
        kept = view.kept.nonzero()[:, 0].tolist()
        assert len(kept) == 6 and nx.is_connected(g.subgraph(kept))


def kernel(data, of):
    """Float64 S of T = D^-1/2 (A + I) D^-1/2 from its formula."""
    n = len(data.x)
    a = np.eye(n)
    a[tuple(data.edge_index.numpy())] = 1
    root = a.sum(1) ** -0.5
    return of(root[:, None] * a * root[None])


KERNELS = {
    "ppr": (
        PersonalisedPageRank(0.15, top_k=10**6, eps=1e-12, unit=False),
        lambda t: 0.15 * np.linalg.inv(np.eye(len(t)) - 0.85 * t),
    ),
    "heat": (
        HeatDiffusion(3.0, top_k=10**6, eps=1e-12, unit=False),
        lambda t: scipy.linalg.expm(-3.0 * (np.eye(len(t)) - t)),
    ),
}


@pytest.mark.parametrize(("op", "of"), KERNELS.values(), ids=KERNELS.keys())
def test_diffusion_is_its_formula(op, of, monkeypatch):
    data = small_graph()
    truth = kernel(data, of)
    own = np.sqrt(np.outer(np.diag(truth), np.diag(truth)))
    off = ~np.eye(11, dtype=bool)
    for limit in (diffusion_room.DENSE, 0):  # solved, pushed
        monkeypatch.setattr(diffusion_room, "DENSE", limit)
        found = adjacency(op(data), 11)[0].double().numpy()
        np.testing.assert_allclose(found[off], truth[off], atol=2e-6)
        unit = dataclasses.replace(op, unit=True)
        found = adjacency(unit(data), 11)[0].double().numpy()
        np.testing.assert_allclose(found[off], (truth / own)[off], atol=2e-6)


def test_pagerank_agrees_with_torch_geometric_and_networkx():
    data = small_graph()
    found = adjacency(PersonalisedPageRank(0.2, top_k=99, eps=1e-12, unit=False)(data), 11)[0]
    peer = GDC(
        diffusion_kwargs={"method": "ppr", "alpha": 0.2},
        normalization_in="sym",
        normalization_out=None,
        sparsification_kwargs={"method": "threshold", "eps": 1e-12},
    )(Data(x=data.x, edge_index=data.edge_index))
    dense = torch.zeros(11, 11)
    dense[tuple(peer.edge_index)] = peer.edge_attr
    torch.testing.assert_close(found, dense * (1 - torch.eye(11)), atol=1e-5, rtol=0)
    g = nx.Graph(links_of(data).ends.T.tolist())
    g.add_node(10)
    truth = nx.pagerank(g, alpha=0.85, tol=1e-10)
    rank = centrality(data, "page-rank")[:10]  # networkx gives a lone node's rank to all
    truth = torch.tensor([truth[i] for i in range(10)], dtype=torch.float32)
    torch.testing.assert_close(rank / rank.sum(), truth / truth.sum(), atol=1e-5, rtol=0)


def test_diffusion_of_a_union_is_that_of_each_and_pushing_is_near(monkeypatch):
    one, two = small_graph(), graph_from(nx.cycle_graph(40))
    op = PersonalisedPageRank(0.2, top_k=8)
    parts = op(Batch.from_data_list([one, two])).to_data_list()
    for part, alone in zip(parts, (op(one), op(two)), strict=True):
        assert torch.equal(part.edge_index, alone.edge_index)
        torch.testing.assert_close(part.edge_weight, alone.edge_weight)
    big = block_graph()
    op = PersonalisedPageRank(0.2, top_k=10**6, eps=1e-5, unit=False)
    exact = adjacency(op(big), len(big.x))
    monkeypatch.setattr(diffusion_room, "DENSE", 0)
    gap = (adjacency(op(big), len(big.x)) - exact).abs()
    degree = big.edge_index[0].bincount(minlength=len(big.x)) + 1.0
    reach = (degree[:, None] * degree[None]).sqrt()
    assert float((gap / reach).max()) < 6 * 1e-5  # eps d at each step, and the entries below eps


def test_top_k_keeps_the_largest_of_each_node():
    data = block_graph()
    full = adjacency(
        PersonalisedPageRank(0.2, top_k=10**6, eps=1e-12, unit=False)(data), len(data.x)
    )[0]
    kept = adjacency(PersonalisedPageRank(0.2, top_k=5, eps=1e-12, unit=False)(data), len(data.x))[
        0
    ]
    best = full >= full.topk(5, 1).values[:, -1:] * (1 - 1e-4)
    assert torch.equal(kept > 0, best | best.T)


def test_low_and_high_are_the_spectrum_cut_smoothly():
    data = small_graph()
    low, high = (SpectralSplit(1.7, part)(data).x for part in ("low", "high"))
    torch.testing.assert_close(low + high, data.x)
    a = adjacency(data, 11)[0].double().numpy()
    degree = np.maximum(a.sum(1), 1)
    laplacian = np.diag((a.sum(1) > 0) * 1.0) - a / np.sqrt(np.outer(degree, degree))
    value, vector = np.linalg.eigh(laplacian)
    truth = vector @ np.diag(np.exp(-1.7 * value)) @ vector.T @ data.x.double().numpy()
    np.testing.assert_allclose(low.numpy(), truth, atol=1e-6)
    assert not SpectralSplit(0.0, "high")(data).x.any()


def test_removal_by_importance_is_its_formula():
    data = small_graph()
    op = RemoveUnimportant(0.4)
    links, drop = op.prepare(data)
    degree = dict(nx.Graph(links.ends.T.tolist()).degree)
    score = [math.log((degree[u] + degree[v]) / 2) for u, v in links.ends.T.tolist()]
    most, mean = max(score), sum(score) / len(score)
    truth = [min(0.4 * (most - s) / (most - mean), 0.7) for s in score]
    np.testing.assert_allclose(drop.numpy(), truth, atol=1e-6)
    union = Batch.from_data_list([data] * 2000)
    kept = adjacency(op(union, seeded()), 11).mean(0)[tuple(links.ends)]
    assert bool(((1 - kept - drop).abs() < 5 * (0.25 / 2000) ** 0.5).all())


def test_feature_importance_is_its_formula():
    data = small_graph()
    degree = data.edge_index[0].bincount(minlength=11)
    score = [
        math.log(1 + sum(float(data.x[u, d]) * int(degree[u]) for u in range(11)))
        for d in range(FEATURES)
    ]
    most, mean = max(score), sum(score) / FEATURES
    truth = [min(0.3 * (most - s) / (most - mean), 0.7) for s in score]
    np.testing.assert_allclose(MaskUnimportant(0.3).prepare(data)[0].numpy(), truth, atol=1e-5)


def test_communities_are_as_modular_as_networkx_s():
    for g in (nx.karate_club_graph(), nx.random_geometric_graph(200, 0.12, seed=0)):
        g = nx.Graph(g.edges)
        g = nx.convert_node_labels_to_integers(g)
        label = communities(graph_from(g)).tolist()
        found = [{u for u in g if label[u] == c} for c in set(label)]
        best = nx.community.louvain_communities(g, weight=None, seed=0)
        modular = [nx.community.modularity(g, each, weight=None) for each in (found, best)]
        assert modular[0] > 0.95 * modular[1]


def test_communities_outlast_the_links_between_them():
    data = block_graph(seed=1)
    links = links_of(data)
    across = (links.ends < len(data.x) // 2).sum(0) == 1
    share = float(across.float().mean())
    view = RemoveBetween(0.7 * share)(data, seeded())
    gone = torch.from_numpy(~np.isin(links.codes, links_of(view).codes))
    assert float(across[gone].float().mean()) > 5 * share
    batch = Batch.from_data_list([data, small_graph()])
    first, second = (communities(batch)[batch.batch == i] for i in (0, 1))
    assert not set(first.tolist()) & set(second.tolist())
    assert torch.equal(communities(data), communities(data))


def test_shared_neighbours_are_networkx_s():
    data = block_graph()
    links, shared = RemoveUnshared(0.5).prepare(data)
    g = nx.Graph(links.ends.T.tolist())
    truth = [len(list(nx.common_neighbors(g, u, v))) for u, v in links.ends.T.tolist()]
    assert shared.tolist() == truth
    view = RemoveUnshared(0.5)(data, seeded())
    kept = torch.from_numpy(np.isin(links.codes, links_of(view).codes))
    assert shared[kept].float().mean() > shared[~kept].float().mean() + 0.1


@pytest.mark.parametrize("score", ["adamic-adar", "resource-allocation"])
def test_completed_triads_are_drawn_by_their_score(score):
    data, copies = small_graph(), 4000
    g = nx.Graph(links_of(data).ends.T.tolist())
    index = {
        "adamic-adar": nx.adamic_adar_index,
        "resource-allocation": nx.resource_allocation_index,
    }
    truth = torch.zeros(11, 11)
    for u, v, value in index[score](g):
        truth[u, v] = truth[v, u] = value
    truth = truth / truth.sum() * 2
    view = CompleteTriads(1 / 14, score)(Batch.from_data_list([data] * copies), seeded())
    added = adjacency(view, 11).mean(0) - adjacency(data, 11)[0]
    assert bool((added[truth == 0] == 0).all())
    assert bool(((added - truth).abs() <= 5 * (truth / copies).sqrt() + 1e-6).all())


def test_completion_finds_hidden_links_better_than_chance():
    """The reason of the view: what it adds is what is missing."""
    whole = graph_from(nx.random_geometric_graph(300, 0.12, seed=0))
    links = links_of(whole)
    hide = torch.rand(len(links.codes), generator=seeded()) < 0.3
    part = with_links(Data(x=whole.x), links.ends[:, ~hide])
    hits = {}
    for op in (CompleteTriads(0.4), AddLinks(0.4)):
        new = links_of(op(part, seeded())).codes
        new = new[~torch.from_numpy(np.isin(new, links_of(part).codes))]
        hits[op.name] = np.isin(new, links.codes[hide]).mean()
    assert hits["complete_triads"] > 10 * hits["add_links"]


def test_complete_graphs_have_no_open_triads():
    data = graph_from(nx.complete_graph(6))
    assert same(CompleteTriads(0.5)(data, seeded()), data)
    assert same(ResampleLinks(0.9)(data, seeded()), data)


def test_two_random_steps_draw_by_resource_allocation():
    data = small_graph()
    near, g = Neighbours.of(data), nx.Graph(links_of(data).ends.T.tolist())
    home = data.edge_index[0].repeat(4000)
    far = near.step(near.step(home, seeded()), seeded(1))
    pairs = torch.zeros(11, 11).index_put_((home, far), torch.ones(len(home)), accumulate=True)
    pairs = (pairs + pairs.T) / len(home)
    truth = torch.zeros(11, 11)
    for u, v, value in nx.resource_allocation_index(g, [(u, v) for u in g for v in g if u < v]):
        truth[u, v] = truth[v, u] = value / data.num_edges * 2
    off = ~torch.eye(11, dtype=torch.bool)
    assert bool(((pairs - truth)[off].abs() <= 5 * (truth[off] / len(home)).sqrt()).all())


def test_resampling_keeps_the_tendency_and_random_links_do_not():
    data = block_graph(n=400, seed=3)
    half, degree = len(data.x) // 2, data.edge_index[0].bincount().double()

    def across(view):
        ends = links_of(view).ends
        return float(((ends < half).sum(0) == 1).double().mean())

    def mean_degree(op, draws=60):
        total = sum(
            op(data, seeded(s)).edge_index[0].bincount(minlength=len(degree)) for s in range(draws)
        )
        return total / draws

    kept = mean_degree(ResampleLinks(0.5))
    assert np.corrcoef(kept, degree)[0, 1] > 0.97
    slope = np.polyfit(degree, kept, 1)[0]
    assert slope == pytest.approx(1, abs=0.1)  # uniform additions: about 1 - p
    random = AddLinks(1.0)(RemoveLinks(0.5)(data, seeded()), seeded())
    moved = abs(across(ResampleLinks(0.5)(data, seeded())) - across(data))
    assert moved < 0.4 * abs(across(random) - across(data))


def test_pick_within_takes_the_smallest_of_each_group():
    group = torch.tensor([1, 0, 1, 0, 1, 2])
    key = torch.tensor([0.5, 0.2, 0.1, 0.9, 0.4, 0.3])
    chosen = pick_within(group, torch.tensor([1, 2, 0]), key)
    assert chosen.tolist() == [False, True, True, False, True, False]


# --- the learned dropper -----------------------------------------------------------------------


def test_dropper_is_symmetric_and_blind_to_names():
    torch.manual_seed(1)
    dropper, data = LinkDropper(FEATURES), small_graph()
    order = torch.randperm(11, generator=seeded(5))
    other = permuted(data, order)
    (links, link, dimension), (moved, link2, dimension2) = (
        dropper.logits(data),
        dropper.logits(other),
    )
    torch.testing.assert_close(dimension, dimension2)
    ends = order[links.ends]
    place = torch.searchsorted(moved.codes, ends.min(0).values * 11 + ends.max(0).values)
    torch.testing.assert_close(link, link2[place])
    view = dropper(data, seeded())
    back = torch.searchsorted(
        view.edge_index[0] * 11 + view.edge_index[1], view.edge_index[1] * 11 + view.edge_index[0]
    )
    assert torch.equal(view.edge_weight, view.edge_weight[back])


def test_every_weight_of_the_dropper_gets_a_gradient():
    dropper, data = LinkDropper(FEATURES), small_graph()
    view = dropper(data, seeded())
    (view.edge_weight.sum() + view.x.square().sum() + dropper.penalty(data)).backward()
    assert all(float(p.grad.abs().sum()) > 0 for p in dropper.parameters())
    assert not data.x.requires_grad


def test_penalty_leads_to_the_budget():
    dropper, data = LinkDropper(FEATURES, keep_links=0.9, keep_features=0.5), small_graph()
    rates = [rate.item() for rate in dropper.drop_rates(data)]
    assert rates == pytest.approx([0.1, 0.5], abs=0.05)
    truth = (rates[0] - 0.4) ** 2 + (rates[1] - 0.2) ** 2
    assert dropper.penalty(data, 0.4, 0.2).item() == pytest.approx(truth, rel=1e-4)
    adam = torch.optim.Adam(dropper.parameters(), 0.05)
    for _ in range(60):
        adam.zero_grad()
        dropper.penalty(data, 0.4, 0.2).backward()
        adam.step()
    assert [rate.item() for rate in dropper.drop_rates(data)] == pytest.approx([0.4, 0.2], abs=0.03)


def test_relaxed_samples_round_to_the_exact_probabilities():
    """P(weight > 1/2) is the keep-probability at any temperature (Maddison et al. 2017)."""
    op, data, copies = learned(1.0), small_graph(), 3000
    dropper = op.dropper()
    links, drop, dimension = op.prepare(data)
    union = Batch.from_data_list([data] * copies)
    soft = adjacency(dropper(union, seeded()), 11)[:, links.ends[0], links.ends[1]]
    hard = adjacency(op(union, seeded(1)), 11)[:, links.ends[0], links.ends[1]]
    error = 5 * (drop * (1 - drop) / copies).sqrt() + 1e-6
    assert bool((((soft > 0.5).float().mean(0) - (1 - drop)).abs() < error).all())
    assert bool(((hard.mean(0) - (1 - drop)).abs() < error).all())
    hidden = (op(union, seeded(1)).x.view(copies, 11, -1) == 0).float().mean((0, 1))
    error = 5 * (dimension[0] * (1 - dimension[0]) / copies).sqrt() + 1e-6
    assert bool(((hidden - dimension[0]).abs() < error).all())
    torch.testing.assert_close(dropper.keep(data)[0], 1 - drop)


def test_dropper_survives_files_and_says_what_is_wrong(tmp_path):
    op = learned(1.0)
    path = op.dropper().save(tmp_path / "d.safetensors")
    assert LearnedDrop(str(path)) == op
    (tmp_path / "no.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="holds no link dropper"):
        LearnedDrop(str(tmp_path / "no.safetensors"))
    with pytest.raises(UserError, match="cannot be read"):
        LearnedDrop(str(tmp_path / "gone.safetensors"))
    with pytest.raises(UserError, match="no base64"):
        LearnedDrop(weights="?")
    with pytest.raises(UserError, match="give a path"):
        LearnedDrop()
    with pytest.raises(UserError, match="learned on 5 features a node, this graph has 3"):
        op(graph_from(nx.path_graph(4), 3))


# --- size --------------------------------------------------------------------------------------


@pytest.mark.slow
@CASES
def test_a_million_edges_take_seconds(make):
    ends = torch.randint(100_000, (2, 500_000), generator=seeded())
    code = ends.min(0).values * 100_000 + ends.max(0).values
    code = code[ends[0] != ends[1]].unique()
    data = with_links(
        Data(x=torch.rand(100_000, FEATURES)), torch.stack((code // 100_000, code % 100_000))
    )
    view = make(0.3)(data, seeded())
    assert_well_formed(data, view)


# --- hidden links -------------------------------------------------------------------------------


def test_the_ends_of_hidden_links_stand_for_each_other():
    data = many()
    there = {tuple(link) for link in data.edge_index.T.tolist()}
    for seed in range(20):
        view = HideLinks(0.4)(data, seeded(seed))
        hidden = there - {tuple(link) for link in view.edge_index.T.tolist()}
        lost = {one for one, _ in hidden}
        for node, other in enumerate(view.stand_in.tolist()):
            assert (node, other) in hidden if node in lost else node == other
            assert data.batch[node] == data.batch[other]


def test_every_hidden_link_is_drawn_alike():
    star = with_links(Data(x=torch.ones(5, 1)), torch.tensor([[0, 0, 0, 0], [1, 2, 3, 4]]))
    stands = [int(HideLinks(1.0)(star, seeded(seed)).stand_in[0]) for seed in range(800)]
    counts = torch.tensor(stands).bincount(minlength=5)
    assert counts[0] == 0 and bool(((counts[1:] - 200).abs() < 60).all())  # five sigma


def test_the_more_is_hidden_the_fewer_stand_for_themselves():
    data, nodes = block_graph(), torch.arange(300)
    themselves = [
        float((HideLinks(p)(data, seeded()).stand_in == nodes).float().mean())
        for p in (0.05, 0.1, 0.2, 0.4, 0.8)
    ]
    assert themselves == sorted(themselves, reverse=True) and themselves[-1] < 0.05
    v1, v2 = GraphRecipe.load("hidden-links")(data, seeded())
    assert torch.equal(v1.edge_index, v2.edge_index) and torch.equal(v1.stand_in, v2.stand_in)
