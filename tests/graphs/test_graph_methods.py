"""Graph methods: losses against float64 loops from the papers, and the laws all of them obey."""

from __future__ import annotations

import copy
import math
from collections import Counter

import pytest
import torch
from torch import Generator, Tensor

pytest.importorskip("torch_geometric")
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GAE, DeepGraphInfomax
from torch_geometric.utils import is_undirected, to_undirected

from goodviews.bounds import infonce
from goodviews.estimators.graphs import held_out_nats
from goodviews.interfaces import UserError
from goodviews.methods.graphs import (
    GRAPH_METHODS,
    GRAPH_PRESETS,
    GraphContrast,
    GraphMethod,
    GraphViewGame,
    contrast,
    graph_view_game,
)
from goodviews.methods.graphs.autoencoders import sample_non_links
from goodviews.methods.graphs.contrast import graph_objective
from goodviews.methods.graphs.view_learning import hide_links
from goodviews.methods.graphs.walks import random_walks


def graph(n: int = 20, f: int = 6, seed: int = 0, links: int = 40) -> Data:
    draws = Generator().manual_seed(seed)
    pairs = torch.randint(n, (2, links), generator=draws)
    edges = to_undirected(pairs[:, pairs[0] != pairs[1]], num_nodes=n)
    return Data(x=torch.randn(n, f, generator=draws), edge_index=edges)


def union(count: int = 5) -> Batch:
    return Batch.from_data_list([graph(6 + i, seed=i, links=12) for i in range(count)])


def drop(data: Data, generator: Generator | None) -> tuple[Data, Data]:
    """Two views: each keeps 70 % of links and of feature dimensions."""
    views = []
    for _ in range(2):
        view, edges = copy.copy(data), data.edge_index
        links = edges[:, edges[0] < edges[1]]
        links = links[:, torch.rand(links.shape[1], generator=generator) > 0.3]
        view.edge_index = to_undirected(links, num_nodes=data.num_nodes)
        view.x = data.x * (torch.rand(data.x.shape[1], generator=generator) > 0.3)
        views.append(view)
    return views[0], views[1]


def drop_nodes(data: Data, generator: Generator | None) -> tuple[Data, Data]:
    """The first view drops nodes 0 and 1."""
    view = copy.copy(data)
    view.kept = torch.arange(data.num_nodes) > 1
    view.x = data.x * view.kept[:, None]
    view.edge_index = data.edge_index[:, view.kept[data.edge_index].all(0)]
    return view, data


def build(name: str, seed: int = 0, **options: object) -> tuple[GraphMethod, Data]:
    """A small method of each kind and what it learns from."""
    many = name in ("infograph", "graphcl") or options.get("level") == "graphs"
    data = union() if many else graph()
    views = None if name in ("dgi", "infograph", "gae", "vgae", "node2vec") else drop
    if name == "node2vec":
        options = {"length": 6, "context": 3, **options}
    kind = "gin" if many else "gcn"
    method = GRAPH_METHODS[name](views, kind, 6, seed=seed, dim=8, **options)
    method.prepare(data)
    return method, data


ALL = sorted(GRAPH_METHODS)
WITH_ENCODERS = [name for name in ALL if name != "node2vec"]


@pytest.mark.parametrize("name", ALL)
def test_every_parameter_gets_a_gradient(name: str) -> None:
    method, data = build(name)
    loss = method.loss(data, Generator().manual_seed(1))
    loss.backward()
    assert loss.ndim == 0 and math.isfinite(loss.item())
    for parameter_name, parameter in method.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name


@pytest.mark.parametrize("name", ALL)
def test_a_seed_gives_the_same_twice_and_another_one_does_not(name: str) -> None:
    def loss(seed: int, draw: int) -> float:
        method, data = build(name, seed)
        return method.loss(data, Generator().manual_seed(draw)).item()

    assert loss(0, 1) == loss(0, 1)
    assert loss(0, 1) != loss(7, 1)
    if name != "infograph":  # draws nothing
        assert loss(0, 1) != loss(0, 2)


@pytest.mark.parametrize("name", ALL)
def test_the_data_is_never_changed(name: str) -> None:
    method, data = build(name)
    x, edges, keys = data.x.clone(), data.edge_index.clone(), set(data.keys())
    method.loss(data, Generator())
    method.embed(data)
    assert torch.equal(data.x, x) and torch.equal(data.edge_index, edges)
    assert set(data.keys()) == keys


@pytest.mark.parametrize("name", WITH_ENCODERS)
def test_permuting_nodes_permutes_the_embedding(name: str) -> None:
    method, _ = build(name)
    if name == "mvgrl":  # views that draw nothing, as the paper's
        method.views = lambda data, generator: (data, data)
    data, order = graph(), torch.randperm(20, generator=Generator().manual_seed(3))
    place = order.argsort()
    there = Data(x=data.x[order], edge_index=place[data.edge_index])
    torch.testing.assert_close(method.embed(there), method.embed(data)[order])
    torch.testing.assert_close(method.embed_graphs(there), method.embed_graphs(data))


@pytest.mark.parametrize("name", WITH_ENCODERS)
def test_hidden_links_and_labels_cannot_reach_the_embedding(name: str) -> None:
    """Whatever else a graph carries, the embedding reads x and edge_index."""
    method, _ = build(name)
    data, richer = graph(), graph()
    richer.test_links = torch.tensor([[0, 1], [5, 9]])
    richer.edge_label_index, richer.y = richer.test_links, torch.arange(20)
    assert torch.equal(method.embed(richer), method.embed(data))


@pytest.mark.parametrize("name", ALL)
def test_embedding_is_frozen_and_leaves_the_mode(name: str) -> None:
    method, data = build(name)
    method.train()
    z, graphs = method.embed(data), method.embed_graphs(data)
    assert method.training and not z.requires_grad and z.dtype == torch.float32
    assert len(z) == data.num_nodes and len(graphs) == (5 if "batch" in data else 1)
    assert torch.equal(method.embed(data), z)


def test_grace_is_the_papers_loop() -> None:
    """Zhu et al. 2020, eq. 1 and 2, in float64."""
    method, data = build("grace", temperature=0.4)
    v1, v2 = drop(data, Generator().manual_seed(1))
    with torch.no_grad():
        u, v = (torch.nn.functional.normalize(method.project(w).double(), dim=1) for w in (v1, v2))
    total = 0.0
    for one, other in ((u, v), (v, u)):
        for i in range(20):
            positive = math.exp(float(one[i] @ other[i]) / 0.4)
            rest = sum(
                math.exp(float(one[i] @ other[j]) / 0.4) + math.exp(float(one[i] @ one[j]) / 0.4)
                for j in range(20)
                if j != i
            )
            total -= math.log(positive / (positive + rest))
    found = method.loss(data, Generator().manual_seed(1)).item()
    assert found == pytest.approx(total / 40, abs=1e-5)
    assert method.measured["nats"].item() == pytest.approx(math.log(39) - found, abs=1e-5)


def test_dgi_is_torch_geometrics() -> None:
    method, data = build("dgi")
    order = torch.randperm(20, generator=Generator().manual_seed(1))

    class Encoder(torch.nn.Module):
        def forward(self, x: Tensor, edges: Tensor) -> Tensor:
            return method.vectors(Data(x=x, edge_index=edges))

    theirs = DeepGraphInfomax(
        8,
        Encoder(),
        summary=lambda z, *args, **kwargs: z.mean(0).sigmoid(),
        corruption=lambda x, edges: (x[order], edges),
    )
    theirs.weight.data = method.critic.weight.data
    expected = theirs.loss(*theirs(data.x, data.edge_index))
    found = method.loss(data, Generator().manual_seed(1))
    torch.testing.assert_close(found + math.log(4.0), expected)


def test_infograph_is_the_papers_loop() -> None:
    """Sun et al. 2020: softplus over node-graph pairs, own graph against others, in float64."""
    method, data = build("infograph")
    method.eval()
    with torch.no_grad():
        found = method.features(data)
        local = method.heads[0](found.local[3]).double()
        summary = method.summary_head(found.summary).double()
    own, others = [], []
    for node, graph_of in zip(local, data.batch.tolist(), strict=True):
        for k, vector in enumerate(summary):
            s = float(node @ vector)
            (own if k == graph_of else others).append(
                math.log1p(math.exp(-abs(s))) + max(0.0, -s if k == graph_of else s)
            )
    expected = sum(own) / len(own) + sum(others) / len(others) - math.log(4.0)
    assert method.loss(data, Generator()).item() == pytest.approx(expected, rel=1e-4)


def test_mvgrl_is_the_papers_loop() -> None:
    """Nodes of each view against the summary of the other, and with shuffled features."""
    method, data = build("mvgrl")
    v1, v2 = drop(data, (draws := Generator().manual_seed(1)))
    order = torch.randperm(20, generator=draws)
    h = [method.project(v, i) for i, v in enumerate((v1, v2))]
    s = [z.mean(0).sigmoid() for z in h]
    for v in (v1, v2):
        v.x = v.x[order]
    fake = [method.project(v, i) for i, v in enumerate((v1, v2))]
    w, bce = method.critic.weight, torch.nn.functional.binary_cross_entropy_with_logits
    scores = torch.cat([h[0] @ w @ s[1], h[1] @ w @ s[0], fake[0] @ w @ s[1], fake[1] @ w @ s[0]])
    expected = 2 * bce(scores, (torch.arange(80) < 40).float()) - math.log(4.0)
    torch.testing.assert_close(method.loss(data, Generator().manual_seed(1)), expected)


def test_mvgrl_of_graphs_has_other_graphs_as_negatives() -> None:
    method, data = build("mvgrl", level="graphs")
    assert method.unit == "graphs" and method.negatives == "others"
    method.loss(data, Generator()).backward()
    assert method.embed_graphs(data).shape == (5, 16)
    with pytest.raises(UserError, match="1 graph leaves no other one"):
        method.loss(graph(), Generator())


def test_gae_is_torch_geometrics() -> None:
    method, data = build("gae")
    draws = Generator().manual_seed(1)
    found = method.loss(data, draws)
    others = sample_non_links(data, data.num_edges // 2, Generator().manual_seed(1))
    z = method.vectors(data)
    links = data.edge_index[:, data.edge_index[0] < data.edge_index[1]]
    torch.testing.assert_close(found, GAE(torch.nn.Identity()).recon_loss(z, links, others))


def test_vgae_adds_the_divergence() -> None:
    """KL(N(mu, s^2) || N(0, 1)) by torch.distributions, a mean over nodes divided by n."""
    method, data = build("vgae")
    method.loss(data, Generator().manual_seed(1))
    hidden = method._hidden(data)
    mean, log_std = (e(hidden).local[1] for e in (method.mean, method.log_std))
    normal, prior = (torch.distributions.Normal(m, s) for m, s in ((mean, log_std.exp()), (0, 1)))
    each = torch.distributions.kl_divergence(normal, prior).sum(1)
    torch.testing.assert_close(method.measured["divergence"], each.mean() / 20)


def test_non_links_are_none_and_stay_within_their_graph() -> None:
    data = union()
    u, v = sample_non_links(data, 500, Generator().manual_seed(0))
    linked = set(map(tuple, data.edge_index.T.tolist()))
    assert not linked & set(zip(u.tolist(), v.tolist(), strict=True)) and (u != v).all()
    assert torch.equal(data.batch[u], data.batch[v]) and len(u) == 500
    some = torch.tensor([3, 7])
    assert set(sample_non_links(data, 50, Generator(), some)[0].tolist()) == {3, 7}
    full = Data(x=torch.ones(3, 1), edge_index=(1 - torch.eye(3)).nonzero().T)
    with pytest.raises(UserError, match="hardly a pair"):
        sample_non_links(full, 1, Generator())


@pytest.mark.parametrize(("p", "q"), [(1.0, 1.0), (0.25, 4.0), (4.0, 0.5)])
def test_walks_step_by_the_papers_weights(p: float, q: float) -> None:
    """A triangle 0 1 2 with a tail 1 - 3: what follows 0 -> 1, against the normalised weights."""
    edges = to_undirected(torch.tensor([[0, 0, 1, 1], [1, 2, 2, 3]]))
    data = Data(x=torch.ones(5, 1), edge_index=edges)  # node 4 is isolated
    starts = torch.zeros(20_000, dtype=torch.int64)
    walks = random_walks(data, starts, 3, Generator().manual_seed(0), p, q)
    after = Counter(walks[walks[:, 1] == 1][:, 2].tolist())
    weights = {0: 1 / p, 2: 1.0, 3: 1 / q}
    for x, weight in weights.items():
        expected = weight / sum(weights.values())
        assert after[x] / after.total() == pytest.approx(expected, abs=0.02)
    assert random_walks(data, torch.tensor([4]), 3, Generator(), p, q).tolist() == [[4, 4, 4]]


@pytest.mark.parametrize("name", ["grace", "dgi", "mvgrl"])
def test_only_the_nodes_asked_for_are_contrasted(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Moving a far node that is not among them changes nothing; views that draw nothing."""
    ring = torch.stack([torch.arange(20), torch.arange(1, 21) % 20])
    data = Data(x=graph().x, edge_index=to_undirected(ring))
    views = None if name == "dgi" else (lambda data, generator: (data, data))
    method = GRAPH_METHODS[name](views, "gcn", 6, dim=8)
    # no node among the first six becomes the moved one, nor a neighbour of it
    monkeypatch.setattr(contrast, "_order", lambda view, draws: torch.arange(20).roll(1))
    moved = data.clone()
    moved.x[12] += 5.0
    nodes = torch.arange(6)
    a, b = (method.loss(d, Generator().manual_seed(1), nodes) for d in (data, moved))
    assert a.item() == b.item()
    assert method.loss(data, Generator().manual_seed(1)).item() != a.item()


@pytest.mark.parametrize("name", ["grace", "dgi"])
def test_dropped_nodes_are_not_contrasted(name: str) -> None:
    method = GRAPH_METHODS[name](drop_nodes, "gcn", 6, dim=8)
    data = graph()
    everywhere = method.loss(data, Generator().manual_seed(1))
    kept = method.loss(data, Generator().manual_seed(1), torch.arange(2, 20))
    if name == "grace":
        assert everywhere.item() == kept.item()
    scorer = method.scorer(data, Generator().manual_seed(1))
    assert scorer.valid.tolist() == [False] * 2 + [True] * 18
    if name == "grace":
        with pytest.raises(UserError, match="There must be 2 or more"):
            method.loss(data, Generator().manual_seed(1), torch.tensor([0, 1, 2]))


def test_another_node_stands_for_a_node_in_the_second_view() -> None:
    """NT-Xent of rows exchanged by hand; held-out nodes reach no loss as stand-ins either."""
    data, stand = graph(), torch.arange(20).roll(1)

    def views(data: Data, generator: Generator | None) -> tuple[Data, Data]:
        view = copy.copy(data)
        view.stand_in = stand
        return view, view

    method = GRAPH_METHODS["grace"](views, "gcn", 6, dim=8)
    z = method.heads[0](method.vectors(data))
    expected, _ = method.objective(z, z[stand])
    assert method.loss(data, Generator()).item() == pytest.approx(expected.item(), abs=1e-6)
    assert contrast.contrasted(*views(data, None), torch.tensor([3, 4, 5, 9])).tolist() == [4, 5]
    shared = held_out_nats(method, data, candidates=20, pairs=20)
    method.views = lambda data, generator: (data, data)
    assert shared.nats < held_out_nats(method, data, candidates=20, pairs=20).nats
    dgi = GRAPH_METHODS["dgi"](views, "gcn", 6, dim=8)  # compares no two views of a node
    both = [dgi.loss(d, Generator().manual_seed(0)) for d in (data, views(data, None)[0])]
    assert both[0].item() == both[1].item()


def test_the_others_bounds_are_taken_in_groups() -> None:
    """Never more than candidates x candidates scores; one group is the whole."""
    data = graph()
    sizes = []

    class Counted(torch.nn.Module):
        def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
            sizes.append((len(z1), len(z2)))
            return z1 @ z2.T

    objective = graph_objective("nwj", Counted(), 8)
    encoder = build("grace")[0].encoders[0]
    GraphContrast(drop, [encoder], objective, candidates=7).loss(data, Generator())
    assert sizes == [(7, 7), (7, 7), (6, 6)]
    GraphContrast(drop, [encoder], objective).loss(data, Generator())
    assert sizes[-1] == (20, 20)


def test_what_can_be_bound_is_bound_once() -> None:
    class Recipe:
        calls = 0

        def __call__(self, data: Data, generator: Generator) -> tuple[Data, Data]:
            raise AssertionError("bound views are to be used")

        def bind(self, data: Data) -> object:
            Recipe.calls += 1
            return lambda generator: drop(data, generator)

    method = GRAPH_METHODS["grace"](Recipe(), "gcn", 6, dim=8)
    data = graph()
    for _ in range(3):
        method.loss(data, Generator())
    assert Recipe.calls == 1
    method.loss(graph(seed=1), Generator())
    assert Recipe.calls == 2


def test_scores_of_pairs_are_what_the_loss_sees() -> None:
    """GRACE without the other view's negatives: I_NCE of all pairs is minus the loss."""
    method, data = build("grace", negatives="others")
    scores = method.scorer(data, Generator().manual_seed(1)).score(torch.arange(20))
    rows, columns = (s.log_softmax(1).diagonal().mean() for s in (scores, scores.T))
    expected = -(math.log(20) + 0.5 * (rows + columns))
    torch.testing.assert_close(method.loss(data, Generator().manual_seed(1)), expected)


def test_dgi_scores_one_real_node_among_shuffled_ones() -> None:
    method, data = build("dgi")
    order = torch.randperm(20, generator=Generator().manual_seed(1))
    places = torch.tensor([3, 8, 11])
    scores = method.scorer(data, Generator().manual_seed(1)).score(places)
    z = method.vectors(data)
    fake = method.vectors(Data(x=data.x[order], edge_index=data.edge_index))
    s = method.critic.weight @ z.mean(0).sigmoid()
    expected = (fake[places] @ s).expand(3, 3).clone()
    expected[range(3), range(3)] = z[places] @ s
    torch.testing.assert_close(scores, expected)
    assert not method.two_sided


def test_infograph_scores_one_node_a_graph() -> None:
    method, data = build("infograph")
    scorer = method.scorer(data, Generator().manual_seed(1))
    assert scorer.valid.tolist() == [True] * 5
    local, summary = method._sides(data, data, None)[0]
    row = scorer.score(torch.arange(5))[2]
    candidates = local[data.batch == 2] @ summary.T
    assert (candidates - row).abs().sum(1).min() < 1e-4


def test_views_used_by_the_tests_keep_the_contract() -> None:
    data = graph()
    for view in drop(data, Generator()):
        assert view.num_nodes == 20 and is_undirected(view.edge_index)


def test_presets_can_be_built() -> None:
    for preset in GRAPH_PRESETS.values():
        views = None if preset.method in ("dgi", "infograph", "gae", "vgae", "node2vec") else drop
        method = GRAPH_METHODS[preset.method](views, preset.encoder, 6, **preset.options)
        assert isinstance(method, GraphMethod)


def test_mistakes_are_named() -> None:
    make = GRAPH_METHODS
    for call, message in (
        (lambda: make["grace"](None, "gcn", 6), "views: none"),
        (lambda: make["mvgrl"](None, "gcn", 6), "views: none"),
        (lambda: make["grace"](drop, "gcn", 6, critic="bilinear"), "'both' needs"),
        (lambda: make["grace"](drop, "gcn", 6, negatives="shuffled"), "no meaning in local-local"),
        (lambda: make["grace"](drop, "gccn", 6), "Did you mean 'gcn'"),
        (lambda: make["dgi"](None, "gcn", 6, bound="infonec"), "Did you mean 'infonce'"),
        (lambda: make["node2vec"](drop, "gcn", 6), "node2vec makes none"),
        (lambda: make["node2vec"](context=30), "context: 30"),
        (lambda: make["node2vec"](p=0.0), "not positive"),
        (lambda: make["node2vec"](nodes=5).embed(graph()), "trained on 5 nodes"),
        (lambda: make["infograph"](None, "gin", 6).loss(graph()), "leaves no other one"),
        (lambda: make["gae"](None, "gcn", 6).scorer(graph(), Generator()), "no pairs of views"),
        (lambda: make["grace"](drop, "gcn", 6).loss(graph(), nodes=torch.tensor([1])), "1 to con"),
    ):
        with pytest.raises(UserError, match=message):
            call()


class Dropper(torch.nn.Module):
    """Weighs links by their ends and masks all features alike: the contract, in little."""

    def __init__(self) -> None:
        super().__init__()
        self.ends, self.mask = torch.nn.Linear(6, 1), torch.nn.Parameter(torch.zeros(6))

    def forward(self, data: Data, generator: Generator) -> Data:
        one, two = data.edge_index
        noise = torch.rand(data.num_nodes, generator=generator)
        logit = self.ends(data.x[one] + data.x[two])[:, 0] + noise[one] + noise[two]
        view = copy.copy(data)
        view.edge_weight = logit.sigmoid()
        dice = torch.rand(6, generator=generator).logit()
        view.x = data.x * (2 * (self.mask + dice)).sigmoid()
        return view


def game(objective: str = "unsupervised", **options: object) -> GraphViewGame:
    torch.manual_seed(0)
    return graph_view_game(Dropper(), "gcn", 6, objective=objective, dim=8, **options)


@pytest.mark.parametrize("objective", ["unsupervised", "semi-supervised"])
@pytest.mark.parametrize("turn", [False, True])
def test_each_side_of_the_game_moves_in_its_turn_only(
    objective: str, turn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = game(objective)
    monkeypatch.setattr(method, "droppers_turn", lambda: turn)
    method.loss(graph(), Generator().manual_seed(1)).backward()
    moved = {name: p.grad is not None for name, p in method.named_parameters()}
    for name, has_gradient in moved.items():
        side = name.split(".")[0]
        expected = {"dropper": turn, "judge": True}.get(side, not turn)
        assert has_gradient == expected, name
    assert any(name.startswith("judge") for name in moved) == (objective == "semi-supervised")


def test_the_game_is_the_papers_in_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Encoder: -I + H; dropper: |I - t| + H; H the two binary cross entropies, by hand."""
    method, data = game("semi-supervised", budget=0.5, hidden=0.2), graph()
    seen, links = hide_links(data, 0.2, (draws := Generator().manual_seed(1)))
    others = sample_non_links(data, links.shape[1], draws)
    views = method.views(seen, draws)
    nats = -method.game.contrast(*(method.project(v) for v in views))[0]
    entropy = 0.0
    for view in views:
        scores = method.judge(view, torch.cat([links, others], 1))
        wanted = (torch.arange(len(scores)) < links.shape[1]).float()
        entropy = entropy + torch.nn.functional.binary_cross_entropy_with_logits(
            scores[:, 1] - scores[:, 0], wanted
        )
    found = []
    for turn in (False, True):
        monkeypatch.setattr(method, "droppers_turn", lambda turn=turn: turn)
        found.append(method.loss(data, Generator().manual_seed(1)).item())
    assert found[0] == pytest.approx((entropy - nats).item(), abs=1e-5)
    assert found[1] == pytest.approx(((nats - 0.5).abs() + entropy).item(), abs=1e-5)
    assert method.measured["nats"].item() == pytest.approx(nats.item(), abs=1e-5)


def test_hidden_links_are_gone_in_both_directions() -> None:
    data = graph()
    data.edge_weight = data.edge_index.sum(0).float()
    seen, links = hide_links(data, 0.25, Generator().manual_seed(0))
    assert links.shape[1] == round(0.25 * data.num_edges / 2)
    both = torch.cat([seen.edge_index, links, links.flip(0)], 1)
    assert torch.equal(both[:, (both[0] * 20 + both[1]).argsort()], data.edge_index)
    assert torch.equal(seen.edge_weight, seen.edge_index.sum(0).float())


def test_turns_come_after_the_warmup(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = []
    for step in range(8):
        monkeypatch.setattr(GraphViewGame, "global_step", step)
        turns.append(game(turns=3, warmup=4).droppers_turn())
    assert turns == [False] * 5 + [True, False, False]


def test_the_dropper_removes_information() -> None:
    """Against an encoder that has learned: down without a budget, to the budget with one."""
    data, nats = graph(), {}
    for budget in (None, 0.4):
        method = game(budget=budget)
        for turn, steps in ((False, 60), (True, 60)):
            method.droppers_turn = lambda turn=turn: turn
            players = [method.dropper] if turn else [method.encoders, method.heads]
            weights = [p for player in players for p in player.parameters()]
            optimizer = torch.optim.Adam(weights, lr=0.1 if turn else 0.01)
            for step in range(steps):
                optimizer.zero_grad()
                method.loss(data, Generator().manual_seed(step)).backward()
                optimizer.step()
                nats.setdefault((budget, turn), []).append(method.measured["nats"].item())
    last = {key: sum(values[-15:]) / 15 for key, values in nats.items()}
    assert last[None, False] == last[0.4, False] > 0.5
    assert last[None, True] < 0.2
    assert abs(last[0.4, True] - 0.4) < 0.12


def test_held_out_information_is_the_bound_of_fresh_views() -> None:
    """One pass over 20 nodes with K = 20: the bound of one draw's scores, in float64."""
    for name in ("grace", "dgi"):
        method, data = build(name)
        found = held_out_nats(method, data, candidates=20, pairs=20, seed=5)
        scorer = method.eval().scorer(data, Generator().manual_seed(5))
        scores = scorer.score(torch.arange(20)).double()
        rows = infonce(scores)
        expected = 0.5 * (rows + infonce(scores.T)) if name == "grace" else rows
        assert found.nats == pytest.approx(expected.item(), abs=1e-5)
        assert found.ceiling == math.log(20) and found.kind == "lower"
        assert 0 < found.stderr < 1 and found.details["unit"] == "nodes"


def test_held_out_information_knows_nothing_and_everything() -> None:
    """Views that share nothing against views that are the same."""

    def noise(data: Data, generator: Generator) -> tuple[Data, Data]:
        one, two = copy.copy(data), copy.copy(data)
        one.x, two.x = (torch.randn(data.x.shape, generator=generator) for _ in range(2))
        return one, two

    data = graph(200, links=0)  # no links: a node's vector is its own
    method = GRAPH_METHODS["grace"](noise, "gcn", 6, dim=8, temperature=0.05)
    nothing = held_out_nats(method, data, torch.arange(100, 200), candidates=50, pairs=1000)
    assert nothing.nats < 0.1 and abs(nothing.nats - nothing.null) < 0.5
    method.views = lambda data, generator: (data, data)
    everything = held_out_nats(method, data, torch.arange(100, 200), candidates=50)
    assert everything.nats > 1.5 > 0 > everything.null
    assert held_out_nats(method, data, candidates=50, seed=3) == held_out_nats(
        method, data, candidates=50, seed=3
    )


def test_held_out_information_of_graphs() -> None:
    method, data = build("infograph")
    found = held_out_nats(method, data.to_data_list(), candidates=5)
    assert found.candidates == 5 and found.details["unit"] == "graphs"
    with pytest.raises(UserError, match="contrasts graphs"):
        held_out_nats(method, data, torch.arange(3))
    grace, whole = build("grace")
    for call, message in (
        (lambda: held_out_nats(grace, whole, candidates=1), "candidates: 1"),
        (lambda: held_out_nats(grace, whole, torch.tensor([3])), "nodes: 1 held out"),
        (lambda: held_out_nats(build("gae")[0], whole), "no pairs of views"),
    ):
        with pytest.raises(UserError, match=message):
            call()
    with pytest.warns(UserWarning, match="K reduced from 256 to the 20 nodes"):
        held_out_nats(grace, whole)


def test_mistakes_in_the_game_are_named() -> None:
    for call, message in (
        (lambda: game("supervised"), "no views to contrast"),
        (lambda: game("unsupervized"), "Did you mean 'unsupervised'"),
        (lambda: game(budget=-1.0), "--budget-nats"),
        (lambda: game(hidden=1.0), "hidden: 1.0"),
        (lambda: game(turns=0), "turns, warmup: 0"),
        (lambda: hide_links(graph(links=1), 0.5, Generator()), "none to hide"),
    ):
        with pytest.raises(UserError, match=message):
            call()
