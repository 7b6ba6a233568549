"""Splits of links and nodes: nothing leaks, nested at one seed, the same again from the disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

from goodviews.data.graphs import (
    LinkSplit,
    NodeSplit,
    both_ways,
    links_of,
    load_graphs,
    split_links,
    split_nodes,
    stochastic_blocks,
    structural_features,
)
from goodviews.data.graphs.links import distinct, pairs_of
from goodviews.interfaces import UserError

POSITIVE = ("train", "validation", "test")
NEGATIVE = tuple(f"{part}_negatives" for part in POSITIVE)


def pairs(links: Tensor) -> set[tuple[int, int]]:
    found = {(u, v) for u, v in links.T.tolist()}
    assert len(found) == links.size(1) and all(u < v for u, v in found)
    return found


@pytest.fixture(scope="module")
def graph() -> Data:
    return stochastic_blocks(200, 4, 0.2, 0.03).data


# --- links ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("hard", [False, True, "degree"])
@pytest.mark.parametrize("share", [0.1, 0.85])
def test_nothing_leaks(graph: Data, hard: bool | str, share: float) -> None:
    split = split_links(graph, test=share, hard=hard)  # type: ignore[arg-type]
    whole = pairs(links_of(graph))
    parts = [pairs(getattr(split, name)) for name in POSITIVE]
    assert set.union(*parts) == whole and sum(map(len, parts)) == len(whole)
    assert len(parts[2]) == round(share * len(whole))
    assert len(parts[1]) == round(0.05 * len(whole))
    seen = {(u, v) for u, v in split.message.edge_index.T.tolist()}
    assert seen == parts[0] | {(v, u) for u, v in parts[0]}
    assert all((u, v) not in seen and (v, u) not in seen for u, v in parts[1] | parts[2])
    others = [pairs(getattr(split, name)) for name in NEGATIVE]
    assert [len(part) for part in others] == [len(part) for part in parts]
    assert len(set.union(*others)) == len(whole) and not set.union(*others) & whole


def test_the_message_graph_is_in_order_and_holds_all_nodes(graph: Data) -> None:
    before = graph.edge_index.clone()
    message = split_links(graph).message
    assert torch.equal(message.edge_index, both_ways(links_of(message), 200))
    assert message.num_nodes == 200 and torch.equal(message.x, graph.x)
    assert torch.equal(message.y, graph.y) and torch.equal(graph.edge_index, before)


@pytest.mark.parametrize("hard", [False, True, "degree"])
def test_hidden_sets_are_nested_at_one_seed(graph: Data, hard: bool | str) -> None:
    splits = [split_links(graph, hidden=share, seed=4, hard=hard) for share in (0.1, 0.2, 0.5, 0.9)]  # type: ignore[arg-type]
    for small, large in zip(splits, splits[1:], strict=False):
        assert pairs(small.test) < pairs(large.test)
        assert pairs(small.test_negatives) < pairs(large.test_negatives)
        assert pairs(small.validation) == pairs(large.validation)
        assert pairs(large.train) < pairs(small.train)
    other = split_links(graph, hidden=0.1, seed=5)
    assert pairs(other.test) != pairs(splits[0].test)


def test_the_same_seed_gives_the_same_split(graph: Data) -> None:
    one, two = split_links(graph, seed=3), split_links(graph, seed=3)
    assert all(torch.equal(getattr(one, n), getattr(two, n)) for n in (*POSITIVE, *NEGATIVE))
    assert one.settings["seed"] == 3 and one.settings == two.settings


def test_features_made_of_the_links_tell_nothing_of_hidden_ones() -> None:
    world = stochastic_blocks(120, 3, 0.2, 0.05).data
    data = load_graphs(Data(edge_index=world.edge_index, num_nodes=120)).graphs[0]
    split = split_links(data, hidden=0.5)
    assert not torch.allclose(split.message.x, data.x)
    assert torch.equal(split.message.x, structural_features(split.message))
    # another graph with the same training links and other hidden ones sends the same message
    train_only = load_graphs(Data(edge_index=split.message.edge_index, num_nodes=120)).graphs[0]
    assert torch.equal(split.message.x, train_only.x)
    placed = load_graphs(world, features="positional").graphs[0]
    message = split_links(placed, hidden=0.5).message
    assert message.x.shape == placed.x.shape
    assert torch.allclose(message.x, structural_features(message, positions=16))


def test_link_weights_go_along_and_unknown_entries_stay_behind(graph: Data) -> None:
    data = graph.clone()
    data.edge_weight = (data.edge_index.sum(0) + data.edge_index.prod(0)).float()
    data.adj_t = data.edge_index.flip(0)  # would tell of the hidden links
    message = split_links(data).message
    ends = message.edge_index
    assert torch.equal(message.edge_weight, (ends.sum(0) + ends.prod(0)).float())
    assert "adj_t" not in message


def test_neighbours_have_a_common_neighbour(graph: Data) -> None:
    matrix = torch.zeros(200, 200)
    matrix[graph.edge_index[0], graph.edge_index[1]] = 1
    common = matrix @ matrix
    split = split_links(graph, hard=True)
    for name in NEGATIVE:
        u, v = getattr(split, name)
        assert bool((common[u, v] > 0).all())
    assert split.settings["hard"] == "neighbours" and split.settings["fill"] == 0
    u, v = split_links(graph).test_negatives
    assert not (common[u, v] > 0).all()


def test_degree_draws_ends_as_links_have_them() -> None:
    """A graph of two kinds: hubs are ends of links as often as of the pairs drawn by degree."""
    hubs, leaves = torch.arange(10), torch.arange(10, 1000)
    chance = torch.rand(10, 990, generator=torch.Generator().manual_seed(0)) < 0.1
    links = torch.stack([hubs[chance.nonzero()[:, 0]], leaves[chance.nonzero()[:, 1]]])
    data = Data(x=torch.ones(1000, 1), edge_index=both_ways(links, 1000))

    def hub_share(ends: Tensor) -> float:
        return float((ends < 10).double().mean())

    by_degree = split_links(data, test=0.3, hard="degree")
    uniform = split_links(data, test=0.3)
    assert hub_share(links) == 0.5 and hub_share(uniform.test_negatives) < 0.05
    # of pairs drawn by degree half are hub-leaf and mostly free; hub-hub are few and soon used up
    assert 0.3 < hub_share(by_degree.test_negatives) < 0.5


def test_where_hard_pairs_run_out_uniform_ones_fill_up() -> None:
    ends = torch.arange(40)
    lone = Data(x=torch.ones(40, 1), edge_index=both_ways(ends.view(2, 20), 40))  # no common ones
    split = split_links(lone, test=0.5, hard=True)
    assert split.settings["fill"] == 20 and len(pairs(split.test_negatives)) == 10
    assert "20 of these pairs are uniform: the graph has too few hard ones" in split.lines()
    path = Data(x=torch.ones(21, 1), edge_index=both_ways(torch.stack([ends[:20], ends[1:21]]), 21))
    split = split_links(path, test=0.5, hard=True)  # 19 pairs at distance two
    drawn = torch.cat([getattr(split, name) for name in NEGATIVE], dim=1)
    assert split.settings["fill"] == 1 and int((drawn[1] - drawn[0] == 2).sum()) >= 19


def test_lines_say_what_was_hidden(graph: Data) -> None:
    split = split_links(graph)
    total = links_of(graph).size(1)
    assert split.lines() == [
        f"links: train {split.train.size(1):,}, validation {round(0.05 * total)}, test "
        f"{round(0.1 * total)}; as many pairs without link, drawn uniformly"
    ]


def test_a_dense_graph_lacks_training_pairs_and_says_so() -> None:
    dense = stochastic_blocks(30, 1, 0.8, 0.0).data
    split = split_links(dense)
    free = 30 * 29 // 2 - links_of(dense).size(1)
    drawn = sum(getattr(split, name).size(1) for name in NEGATIVE)
    assert drawn == free < links_of(dense).size(1)
    assert split.test_negatives.size(1) == split.test.size(1)
    short = split.train.size(1) - split.train_negatives.size(1)
    assert f"train: {short} pairs fewer, the graph has no more without link" in split.lines()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"test": 1.0}, "test: 1.0 is not from 0 to below 1"),
        ({"test": -0.1}, "test: -0.1 is not from 0 to below 1"),
        ({"validation": 2}, "validation: 2 is not from 0 to below 1"),
        ({"hidden": 0.96}, "hidden + validation: 0.96 + 0.05 of"),
        ({"hard": "easy"}, "hard: unknown 'easy'"),
    ],
)
def test_mistakes_in_shares(graph: Data, options: dict[str, object], said: str) -> None:
    with pytest.raises(UserError) as error:
        split_links(graph, **options)  # type: ignore[arg-type]
    assert said in str(error.value) and "\n" not in str(error.value)


def test_mistakes_in_graphs_to_split() -> None:
    three = Data(x=torch.ones(4, 1), edge_index=both_ways(torch.tensor([[0, 1, 2], [1, 2, 3]]), 4))
    with pytest.raises(UserError, match="3 links are too few to split"):
        split_links(three)
    full = stochastic_blocks(20, 1, 1.0, 0.0).data
    with pytest.raises(UserError, match="has 0 pairs without link where validation and test need"):
        split_links(full)
    one_way = Data(x=torch.ones(4, 1), edge_index=torch.tensor([[0, 1, 2], [1, 2, 3]]))
    with pytest.raises(UserError, match=r"not in order .* load_graphs"):
        split_links(one_way)


def test_link_splits_are_the_same_from_the_disk(tmp_path: Path, graph: Data) -> None:
    split = split_links(graph, seed=2, hard="degree")
    path = split.save(tmp_path / "run")
    assert [file.name for file in path.parent.iterdir()] == ["link_split.npz"]
    again = LinkSplit.load(tmp_path / "run", graph)
    assert all(torch.equal(getattr(again, n), getattr(split, n)) for n in (*POSITIVE, *NEGATIVE))
    assert again.settings == split.settings
    assert torch.equal(again.message.edge_index, split.message.edge_index)
    other = stochastic_blocks(200, 4, 0.2, 0.03, seed=1).data
    with pytest.raises(UserError, match="belongs to another graph"):
        LinkSplit.load(tmp_path / "run", other)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match="is no whole split"):
        LinkSplit.load(tmp_path / "run", graph)
    with pytest.raises(UserError, match="no such file"):
        LinkSplit.load(tmp_path, graph)


def test_two_hundred_thousand_links_need_no_square_matrix() -> None:
    nodes = 10**6  # a matrix of these would need 1 TB
    drawn = distinct(nodes * (nodes - 1) // 2, 200_000, torch.Generator().manual_seed(0))
    data = Data(x=torch.ones(nodes, 1), edge_index=both_ways(pairs_of(drawn), nodes))
    split = split_links(data)
    assert split.test.size(1) == 20_000 == split.test_negatives.size(1)


# --- nodes ----------------------------------------------------------------------------------------


def labelled(counts: list[int]) -> Data:
    y = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    return Data(y=y[order], num_nodes=len(y))


def index(split: NodeSplit) -> list[list[int]]:
    return [getattr(split, part).tolist() for part in POSITIVE]


@pytest.mark.parametrize("seed", range(4))
def test_random_splits_hold_the_classes_in_proportion(seed: int) -> None:
    data = labelled([400, 250, 90, 37, 8])
    split = split_nodes(data, "random", seed)
    train, validation, test = index(split)
    assert sorted(train + validation + test) == list(range(785))
    assert (len(train), len(validation), len(test)) == (78, 79, 628)
    for part, share in ((split.train, 0.1), (split.validation, 0.1), (split.test, 0.8)):
        counts = data.y[part].bincount(minlength=5)
        assert ((counts - share * data.y.bincount()).abs() <= 2).all()


def test_small_classes_fall_where_chance_puts_them() -> None:
    data = labelled([50, 1, 1, 2])
    where = [0, 0, 0]
    for seed in range(300):
        parts = index(split_nodes(data, "random", seed))
        lone = int((data.y == 1).nonzero())
        where[next(i for i, part in enumerate(parts) if lone in part)] += 1
    assert where[0] == pytest.approx(30, abs=20) and where[1] == pytest.approx(30, abs=20)


def test_unlabelled_nodes_are_in_no_part_and_no_labels_are_no_hindrance() -> None:
    data = labelled([50, 50])
    data.y[::3] = -1
    parts = index(split_nodes(data, "random"))
    assert sorted(sum(parts, [])) == [i for i in range(100) if i % 3]
    bare = index(split_nodes(Data(num_nodes=100), "random", shares=(0.3, 0.2, 0.5)))
    assert [len(part) for part in bare] == [30, 20, 50]
    assert index(split_nodes(data, "random", 1)) == index(split_nodes(data, "random", 1))
    assert index(split_nodes(data, "random", 1)) != parts


def test_public_splits_are_the_masks() -> None:
    data = Data(num_nodes=4)
    data.train_mask = torch.tensor([1, 0, 0, 0]).bool()
    data.val_mask = torch.tensor([0, 1, 0, 0]).bool()
    data.test_mask = torch.tensor([0, 0, 1, 1]).bool()
    assert index(split_nodes(data)) == [[0], [1], [2, 3]]
    data.train_mask = torch.tensor([[1, 0], [0, 1], [0, 0], [0, 0]]).bool()
    assert [index(split_nodes(data, seed=seed))[0] for seed in range(3)] == [[0], [1], [0]]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "split: this graph publishes none. Use the random split."),
        ({"kind": "publik"}, "kind: unknown 'publik'. Did you mean 'public'?"),
        ({"kind": "random", "shares": (0.5, 0.5, 0.5)}, "are no shares of a whole"),
        ({"kind": "random", "shares": (0.0, 0.5, 0.5)}, "are no shares of a whole"),
        ({"kind": "random", "shares": (0.001, 0.1, 0.8)}, "100 labelled nodes are too few"),
    ],
)
def test_mistakes_in_node_splits(options: dict[str, object], said: str) -> None:
    with pytest.raises(UserError) as error:
        split_nodes(labelled([50, 50]), **options)  # type: ignore[arg-type]
    assert said in str(error.value) and "\n" not in str(error.value)


def test_nothing_labelled_is_too_few() -> None:
    with pytest.raises(UserError, match="0 labelled nodes are too few"):
        split_nodes(Data(y=torch.full((5,), -1), num_nodes=5), "random")


def test_node_splits_are_the_same_from_the_disk(tmp_path: Path) -> None:
    split = split_nodes(labelled([50, 50]), "random", 7)
    path = split.save(tmp_path)
    assert index(NodeSplit.load(tmp_path)) == index(split)
    np.savez(path, train=np.arange(3))
    with pytest.raises(UserError, match="is no whole split"):
        NodeSplit.load(tmp_path)
    with pytest.raises(UserError, match="no such file"):
        NodeSplit.load(tmp_path / "missing")
