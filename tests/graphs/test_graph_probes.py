"""Probes of node vectors and of graph vectors against scikit-learn's own road."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score, f1_score, normalized_mutual_info_score
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import Tensor

from goodviews.evaluation.graphs import graph_probe as graph_module
from goodviews.evaluation.graphs import nodes
from goodviews.evaluation.graphs.graph_probe import KINDS, graph_probe
from goodviews.evaluation.graphs.nodes import SCALES, cluster, node_probe
from goodviews.interfaces import UserError


def world(
    seed: int = 0, n: int = 300, noise: float = 0.7
) -> tuple[Tensor, Tensor, SimpleNamespace]:
    """Vectors around three class means, labels, and a split 60 / 60 / 180."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 3
    means = torch.randn(3, 5, generator=generator)
    z = means[y] + noise * torch.randn(n, 5, generator=generator)
    order = torch.randperm(n, generator=generator)
    split = SimpleNamespace(train=order[:60], validation=order[60:120], test=order[120:])
    return z, y, split


def scaled(z: Tensor, scale: str) -> np.ndarray:
    if scale == "unit":
        return (z / z.norm(dim=1, keepdim=True)).numpy()
    return StandardScaler().fit_transform(z.numpy()) if scale == "standard" else z.numpy()


@pytest.mark.parametrize("scale", SCALES)
def test_the_probe_is_a_grid_search_on_the_validation_nodes(scale: str) -> None:
    z, y, split = world()
    x, labels = scaled(z, scale), y.numpy()
    train, validation, test = (s.numpy() for s in (split.train, split.validation, split.test))
    best, right = None, -1
    for strength in nodes.STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=1000).fit(x[train], labels[train])
        if (score := (model.predict(x[validation]) == labels[validation]).sum()) > right:
            best, right = model, score
    found = node_probe(z, y, split, scale=scale)
    assert found.strength == best.C
    assert found.validation == pytest.approx(right / 60)
    assert found.accuracy == pytest.approx(best.score(x[test], labels[test]), abs=1 / 180)
    expected = f1_score(labels[test], found.result.predictions.numpy(), average="macro")
    assert found.macro_f1 == pytest.approx(expected)
    assert found.result.n_train == 60
    assert found.result.n_test == 180


def test_the_probe_finds_nothing_in_noise_and_says_so_in_nats() -> None:
    z, y, split = world()
    noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(9))
    assert node_probe(noise, y, split).accuracy < 0.5
    assert node_probe(noise, y, split).result.label_nats < 0.05  # no overconfidence
    assert node_probe(z, y, split).result.label_nats > 0.3


def test_test_labels_choose_nothing() -> None:
    z, y, split = world()
    hidden = y.clone()
    hidden[split.test] = y[split.test].flip(0)
    first, second = node_probe(z, y, split), node_probe(z, hidden, split)
    assert torch.equal(first.result.predictions, second.result.predictions)
    assert first.strength == second.strength


def test_two_classes_and_unlabelled_nodes() -> None:
    z, y, split = world()
    y = (y > 0).long()
    y[split.train[:5]] = -1
    y[split.test[:7]] = -1
    found = node_probe(z, y, split)
    assert (found.result.n_train, found.result.n_test) == (55, 173)
    assert found.accuracy > 0.8


def test_node_probe_says_what_is_wrong() -> None:
    z, y, split = world()
    one_class = torch.zeros_like(y)
    with pytest.raises(UserError, match="1 class among 60"):
        node_probe(z, one_class, split)
    with pytest.raises(UserError, match="not finite"):
        node_probe(z * math.nan, y, split, scale="none")
    with pytest.raises(UserError, match="no labelled"):
        node_probe(z, y, SimpleNamespace(**{**vars(split), "validation": split.test[:0]}))
    with pytest.raises(UserError, match=r"labels: \(299,\) for 300 nodes"):
        node_probe(z, y[:-1], split)
    with pytest.raises(UserError, match="scale: unknown 'units'. Did you mean 'unit'"):
        node_probe(z, y, split, scale="units")


def slow_nmi(a: np.ndarray, b: np.ndarray) -> float:
    joint = np.zeros((a.max() + 1, b.max() + 1))
    for i, j in zip(a, b, strict=True):
        joint[i, j] += 1 / len(a)
    rows, columns = joint.sum(1), joint.sum(0)
    shared = sum(
        p * math.log(p / (rows[i] * columns[j])) for (i, j), p in np.ndenumerate(joint) if p > 0
    )
    entropy = -sum(p * math.log(p) for p in (*rows, *columns) if p > 0)
    return 2 * shared / entropy


def test_clusters_agree_with_classes_that_lie_apart() -> None:
    z, y, _ = world(noise=0.05)
    assert cluster(z, y) == (1.0, 1.0)
    noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(9))
    assert cluster(noise, y).nmi < 0.05
    assert abs(cluster(noise, y).ari) < 0.05


def test_nmi_is_that_of_the_formula() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.integers(3, size=90), generator.integers(4, size=90)
    assert normalized_mutual_info_score(a, b) == pytest.approx(slow_nmi(a, b))
    z, y, _ = world(noise=1.5)
    from_code = cluster(z, y, seed=3)
    found = nodes.KMeans(3, n_init=10, random_state=3).fit_predict(z.numpy())
    assert from_code.nmi == pytest.approx(slow_nmi(y.numpy(), found))
    assert from_code.ari == pytest.approx(adjusted_rand_score(y.numpy(), found))


def test_a_collapse_clusters_to_nothing_and_unlabelled_nodes_do_not_count() -> None:
    z, y, _ = world(noise=0.05)
    assert cluster(torch.zeros(300, 4), y).nmi == 0
    y[::7] = -1
    assert cluster(z, y).nmi == 1.0
    with pytest.raises(UserError, match="1 class among"):
        cluster(z, torch.zeros(300, dtype=torch.int64))


# --- graphs


def graphs(n: int = 90, noise: float = 1.2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(n) % 2
    return y.unsqueeze(1) + noise * torch.randn(n, 3, generator=generator), y


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_module, "STRENGTHS", (0.01, 1.0, 100.0))


def slow_nested(z: np.ndarray, y: np.ndarray, folds: int) -> list[float]:
    found = []
    for train, test in StratifiedKFold(folds, shuffle=True, random_state=0).split(z, y):
        x, labels = z[train], y[train]
        means = []
        for strength in (0.01, 1.0, 100.0):
            inner = StratifiedKFold(5, shuffle=True, random_state=0).split(x, labels)
            accuracies = []
            for a, b in inner:
                scaler = StandardScaler().fit(x[a])
                model = SVC(C=strength).fit(scaler.transform(x[a]), labels[a])
                accuracies.append(model.score(scaler.transform(x[b]), labels[b]))
            means.append(np.mean(accuracies))
        scaler = StandardScaler().fit(x)
        best = (0.01, 1.0, 100.0)[int(np.argmax(means))]
        model = SVC(C=best).fit(scaler.transform(x), labels)
        found.append(model.score(scaler.transform(z[test]), y[test]))
    return found


@pytest.mark.usefixtures("few")
def test_nested_is_the_loop_over_folds_within_folds() -> None:
    z, y = graphs()
    found = graph_probe(z, y, folds=3)
    expected = slow_nested(z.double().numpy(), y.numpy(), 3)
    assert found.folds == pytest.approx(expected)
    assert found.mean == pytest.approx(np.mean(expected))
    assert found.std == pytest.approx(np.std(expected))


@pytest.mark.usefixtures("few")
def test_published_takes_the_best_mean_and_is_never_below_any_fixed_strength() -> None:
    z, y = graphs()
    found = graph_probe(z, y, folds=3, protocol="published")
    means = []
    for strength in (0.01, 1.0, 100.0):
        accuracies = []
        for train, test in StratifiedKFold(3, shuffle=True, random_state=0).split(z, y):
            scaler = StandardScaler().fit(z[train].double())
            model = SVC(C=strength).fit(scaler.transform(z[train].double()), y[train])
            accuracies.append(model.score(scaler.transform(z[test].double()), y[test]))
        means.append(np.mean(accuracies))
    assert found.mean == pytest.approx(max(means))
    assert len(set(found.strengths)) == 1


@pytest.mark.usefixtures("few")
def test_choosing_on_the_test_folds_flatters_noise() -> None:
    gaps = []
    for seed in range(4):
        noise = torch.randn(30, 4, generator=torch.Generator().manual_seed(seed))
        y = torch.arange(30) % 2
        honest, flattered = (
            graph_probe(noise, y, 3, seed, "svm", protocol=p).mean for p in ("nested", "published")
        )
        gaps.append(flattered - honest)
    assert np.mean(gaps) > 0


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_finds_what_is_there_the_same_way_twice(kind: str) -> None:
    z, y = graphs(n=30, noise=0.3)
    first, second = (graph_probe(z, y, 3, kind=kind) for _ in range(2))
    assert first == second
    assert first.mean > 0.9
    assert len(first.folds) == 3
    assert graph_probe(z, y, 3, kind=kind, protocol="published", standardise=False).mean > 0.9


@pytest.mark.usefixtures("few")
def test_graph_probe_says_what_is_wrong() -> None:
    z, y = graphs(n=20)
    lonely = y.clone()
    lonely[0] = 2
    unlabelled = y.clone()
    unlabelled[3] = -1
    for words, arguments in [
        ("class 2 has 1 graphs, too few for 5 folds", (z, lonely, 5)),
        ("class 0 has 10 graphs, too few for 11 folds", (z, y, 11)),
        ("folds: 1", (z, y, 1)),
        ("1 class among 20", (z, torch.zeros_like(y), 5)),
        ("1 graphs have none", (z, unlabelled, 5)),
        ("row 0 is not finite", (z * math.nan, y, 5)),
        ("Give one row a graph", (z[:5], y, 5)),
    ]:
        with pytest.raises(UserError, match=words) as error:
            graph_probe(*arguments)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="kind: unknown 'svc'"):
        graph_probe(z, y, 5, kind="svc")
    with pytest.raises(UserError, match="protocol: unknown 'nest'. Did you mean 'nested'"):
        graph_probe(z, y, 5, protocol="nest")


@pytest.mark.usefixtures("few")
def test_the_smallest_sets_that_can_be_probed_are() -> None:
    z = torch.tensor([[0.0], [0.1], [0.2], [0.3], [1.0], [1.1], [1.2], [1.3]])
    y = torch.tensor([0] * 4 + [1] * 4)
    assert graph_probe(z, y, 2, kind="logistic").mean == 1.0
    with pytest.raises(UserError, match="class 0 has 3 graphs, too few for 2 folds"):
        graph_probe(z[1:], y[1:], 2)
