"""Training on graphs: seeds, resumption, patience, sampling, and what a large graph costs."""

from __future__ import annotations

import resource
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from torch import Generator, Tensor, nn

pytest.importorskip("torch_geometric")
from torch_geometric.data import Data
from torch_geometric.utils import is_undirected, k_hop_subgraph, to_undirected

from goodviews.interfaces import Interrupted, UserError
from goodviews.methods.graphs import GRAPH_METHODS, GraphMethod
from goodviews.training import load_checkpoint
from goodviews.training.graphs import (
    GraphBatch,
    GraphSettings,
    NeighbourSampler,
    fit_graphs,
    loader_of,
)

TIMINGS = {"items_per_second", "data_wait", "memory_gb", "seconds"}


def graph(n: int = 30, seed: int = 0, links: int = 60) -> Data:
    draws = Generator().manual_seed(seed)
    pairs = torch.randint(n, (2, links), generator=draws)
    edges = to_undirected(pairs[:, pairs[0] != pairs[1]], num_nodes=n)
    return Data(x=torch.randn(n, 5, generator=draws), edge_index=edges)


def mask(data: Data, generator: Generator | None) -> tuple[Data, Data]:
    def one() -> Data:
        kept = torch.rand(data.x.shape[1], generator=generator) > 0.2
        return Data(**{**data.to_dict(), "x": data.x * kept.to(data.x.device)})

    return one(), one()


def grace(seed: int = 0, **options: Any) -> GraphMethod:
    return GRAPH_METHODS["grace"](mask, "gcn", 5, seed=seed, dim=8, dropout=0.2, **options)


def infograph(seed: int = 0) -> GraphMethod:
    return GRAPH_METHODS["infograph"](None, "gin", 5, seed=seed, dim=4, layers=2)


def weights(method: nn.Module) -> list[Tensor]:
    return [tensor.clone() for tensor in method.state_dict().values()]


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def numbers(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What does not depend on the clock."""
    return [{k: v for k, v in row.items() if k not in TIMINGS} for row in rows]


KINDS = {
    "whole": (grace, graph(), GraphSettings(epochs=4)),
    "sampled": (grace, graph(), GraphSettings(epochs=2, batch_size=8, fan_out=(3, 3))),
    "many": (infograph, [graph(8, i, 12) for i in range(9)], GraphSettings(epochs=2, batch_size=4)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_gives_the_same_run_twice(kind: str) -> None:
    make, data, settings = KINDS[kind]
    one, two = make(), make()
    rows = fit_graphs(one, data, settings)
    assert numbers(rows) == numbers(fit_graphs(two, data, settings))
    assert same(weights(one), weights(two)) and not same(weights(one), weights(make()))
    assert [row["epoch"] for row in rows] == list(range(1, settings.epochs + 1))
    assert rows[-1]["step"] == settings.epochs * {"whole": 1, "sampled": 4, "many": 3}[kind]
    assert rows[0]["lr"] == rows[-1]["lr"] == settings.lr
    assert {"loss", "nats_train", "ceiling"} <= {k for k, v in rows[0].items() if v is not None}
    assert not one.training and one.device.type == "cpu"


def stopping(method: GraphMethod, step: int) -> GraphMethod:
    """The method, which sends itself a signal at a step."""
    plain = method.training_step

    def training_step(batch: GraphBatch, batch_idx: int) -> Tensor:
        if method.global_step == step:
            signal.raise_signal(signal.SIGTERM)
        return plain(batch, batch_idx)

    method.training_step = training_step
    return method


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", [0, 2])
def test_an_interrupted_run_resumes_to_the_same_bits(tmp_path: Path, kind: str, step: int) -> None:
    make, data, settings = KINDS[kind]
    whole, parts = make(), make()
    rows = fit_graphs(whole, data, settings, tmp_path / "whole", quiet=True)
    with pytest.raises(Interrupted) as stop:
        fit_graphs(stopping(make(), step), data, settings, tmp_path / "parts", quiet=True)
    assert stop.value.code == 128 + signal.SIGTERM
    again = fit_graphs(parts, data, settings, tmp_path / "parts", resume=True, quiet=True)
    assert same(weights(whole), weights(parts))
    assert numbers(again) == numbers(rows)
    lines: list[str] = []
    done = fit_graphs(
        parts, data, settings, tmp_path / "parts", resume=True, quiet=False, say=lines.append
    )
    assert len(done) == len(rows) and "nothing to do" in lines[-1]


class Falling(LightningModule):
    """A loss of 5, 4, 3, then 3 for ever, whatever the data."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def training_step(self, batch: GraphBatch, batch_idx: int) -> Tensor:
        loss = torch.tensor(max(3.0, 5.0 - self.global_step)) + 0.0 * self.weight
        self.log("loss", loss, batch_size=1)
        return loss + self.weight - self.weight.detach()  # moves the weight at each step


def test_patience_stops_and_keeps_the_weights_of_the_least_loss(tmp_path: Path) -> None:
    settings = GraphSettings(epochs=50, patience=4, lr=0.1, optimizer="sgd", momentum=0.0)
    method = Falling()
    rows = fit_graphs(method, graph(), settings, tmp_path, quiet=True)
    assert [row["loss"] for row in rows] == [5.0, 4.0, 3.0, 3.0, 3.0, 3.0, 3.0]
    assert method.weight.item() == pytest.approx(-0.3)  # after the third step, not the seventh
    saved = load_checkpoint(tmp_path / "checkpoints" / "last.ckpt")
    assert saved["state_dict"]["weight"].item() == method.weight.item()
    fresh = Falling()
    assert len(fit_graphs(fresh, graph(), settings, tmp_path, resume=True, quiet=True)) == 7
    assert fresh.weight.item() == method.weight.item()


def test_training_raises_the_bound() -> None:
    rows = fit_graphs(grace(), graph(), GraphSettings(epochs=40, lr=1e-2))
    early, late = (sum(r["nats_train"] for r in part) / 5 for part in (rows[:5], rows[-5:]))
    assert late > early + 0.3 and late < rows[0]["ceiling"]


@pytest.mark.parametrize("name", sorted(GRAPH_METHODS))
def test_every_method_trains(name: str) -> None:
    many = name in ("infograph", "graphcl")
    views = mask if name in ("grace", "mvgrl", "graphcl") else None
    small = {"length": 6, "context": 3} if name == "node2vec" else {}
    method = GRAPH_METHODS[name](views, "gcn", 5, dim=8, **small)
    data = [graph(8, i, 12) for i in range(4)] if many else graph()
    rows = fit_graphs(method, data, GraphSettings(epochs=2))
    assert rows[0]["loss"] != rows[1]["loss"] and rows[0]["loss"] > -10


def test_the_graph_is_not_moved_or_changed() -> None:
    data = graph()
    x, keys = data.x, set(data.keys())
    fit_graphs(grace(), data, GraphSettings(epochs=1))
    assert data.x is x and set(data.keys()) == keys


def test_nodes_that_are_held_out_are_not_contrasted() -> None:
    """Trained on the first ten nodes of two components: the other component's features are idle."""
    ring = torch.stack([torch.arange(10), torch.arange(1, 11) % 10])
    edges = to_undirected(torch.cat([ring, ring + 10], 1))
    data = Data(x=graph(20).x, edge_index=edges)
    other = data.clone()
    other.x[10:] = 7.0
    one, two, three = (grace() for _ in range(3))
    settings = GraphSettings(epochs=2)
    fit_graphs(one, data, settings, nodes=torch.arange(10))
    fit_graphs(two, other, settings, nodes=torch.arange(10))
    fit_graphs(three, data, settings)
    assert same(weights(one), weights(two)) and not same(weights(one), weights(three))


def test_samples_are_subgraphs_with_at_most_fan_out_links_drawn() -> None:
    data = graph(60, links=400)
    data.edge_weight = data.edge_index.sum(0).float()  # the same in both directions
    sampler = NeighbourSampler(data, [3, 2])
    seeds = torch.tensor([5, 40, 17])
    sample = sampler(seeds, Generator().manual_seed(0))
    assert torch.equal(sample.ids[sample.nodes], seeds) and len(sample.ids.unique()) == len(
        sample.ids
    )
    assert torch.equal(sample.x, data.x[sample.ids]) and is_undirected(sample.edge_index)
    real = set(map(tuple, data.edge_index.T.tolist()))
    found = sample.ids[sample.edge_index]
    assert set(map(tuple, found.T.tolist())) <= real
    assert torch.equal(sample.edge_weight, found.sum(0).float())
    around = k_hop_subgraph(seeds, 2, data.edge_index)[0]
    assert set(sample.ids.tolist()) <= set(around.tolist())
    assert len(sample.ids) <= 3 + 9 + 18
    assert (sampler._place == -1).all()


def test_a_wide_sample_is_the_whole_neighbourhood() -> None:
    """With fan-outs no node reaches, the seeds' vectors are those of the whole graph."""
    data = graph()
    encoder = GRAPH_METHODS["dgi"](None, "sage", 5, dim=8, layers=2)
    seeds = torch.tensor([3, 9, 21])
    sample = NeighbourSampler(data, [100, 100])(seeds, Generator())
    torch.testing.assert_close(encoder.embed(sample)[sample.nodes], encoder.embed(data)[seeds])


def test_neighbours_are_drawn_evenly_and_without_replacement() -> None:
    """A star with 6 leaves, 2 of them a draw: each comes in a third of the draws."""
    edges = to_undirected(torch.stack([torch.zeros(6, dtype=torch.int64), torch.arange(1, 7)]))
    sampler = NeighbourSampler(Data(x=torch.ones(7, 1), edge_index=edges), [2])
    draws, counts = Generator().manual_seed(0), torch.zeros(7)
    for _ in range(600):
        ids = sampler(torch.tensor([0]), draws).ids
        assert len(ids) == 3
        counts[ids] += 1
    assert counts[0] == 600 and ((counts[1:] - 200).abs() < 50).all()


def test_an_epoch_covers_every_item_once() -> None:
    for data, settings, n in (
        (graph(), GraphSettings(batch_size=7, fan_out=(2,)), 30),
        ([graph(8, i, 12) for i in range(9)], GraphSettings(batch_size=4), 9),
    ):
        loader = loader_of(data, settings)
        items = [batch.items for batch in loader]
        assert sorted(torch.cat(items).tolist()) == list(range(n))
        assert min(map(len, items)) >= max(map(len, items)) - 1 >= 2
        loader.epoch = 1
        assert not torch.equal(next(iter(loader)).items, items[0])


def test_mistakes_are_named(tmp_path: Path) -> None:
    data, quick = graph(), GraphSettings(epochs=1)
    for call, message in (
        (lambda: fit_graphs(grace(), []), "--data: 0 graphs"),
        (lambda: fit_graphs(grace(), data, GraphSettings(patience=-1)), "--patience: -1"),
        (lambda: fit_graphs(grace(), data, GraphSettings(fan_out=(0,))), "--fan-out"),
        (lambda: fit_graphs(grace(), data, nodes=torch.tensor([99])), "not all of 1 are places"),
        (lambda: fit_graphs(infograph(), [data, data], nodes=torch.tensor([0])), "for one graph"),
        (lambda: fit_graphs(grace(), data, quick, resume=True), "no folder to resume from"),
    ):
        with pytest.raises(UserError, match=message):
            call()
    fit_graphs(grace(), data, quick, tmp_path, quiet=True)
    with pytest.raises(UserError, match="holds a run"):
        fit_graphs(grace(), data, quick, tmp_path, quiet=True)
    with pytest.raises(UserError, match="epochs: 1 -> 2"):
        fit_graphs(grace(), data, GraphSettings(epochs=2), tmp_path, resume=True, quiet=True)
    wild = graph()
    wild.x[0] = float("nan")
    with pytest.raises(UserError, match="training has diverged"):
        fit_graphs(grace(), wild, quick)


@pytest.mark.slow
def test_a_graph_of_a_million_links_trains_within_8_gb() -> None:
    n, draws = 100_000, Generator().manual_seed(0)
    pairs = torch.randint(n, (2, 1_000_000), generator=draws)
    edges = to_undirected(pairs[:, pairs[0] != pairs[1]], num_nodes=n)
    data = Data(x=torch.randn(n, 64, generator=draws), edge_index=edges)
    method = GRAPH_METHODS["grace"](mask, "gcn", 64, dim=128)
    settings = GraphSettings(steps=5, batch_size=512, fan_out=(10, 10))
    rows = fit_graphs(method, data, settings)
    assert rows[-1]["step"] == 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 < 8e9


@pytest.mark.gpu
def test_a_gpu_trains_too() -> None:
    method = grace()
    rows = fit_graphs(method, graph(), GraphSettings(epochs=3, device="cuda"))
    assert len(rows) == 3 and method.device.type == "cpu"
