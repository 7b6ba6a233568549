"""Link scores, decoders and calibration against scikit-learn, OGB's formulas and plain loops."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score
from torch import Tensor

from goodviews.evaluation.graphs import decoders
from goodviews.evaluation.graphs.calibration import calibration, fit_scaling
from goodviews.evaluation.graphs.curve import hidden_scores
from goodviews.evaluation.graphs.decoders import DECODERS, Cosine, Hadamard, InnerProduct, decode
from goodviews.evaluation.graphs.links import checked_links, link_scores
from goodviews.interfaces import UserError


def drawn(seed: int, *shape: int, ties: bool = False) -> Tensor:
    scores = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return scores.round() if ties else scores


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("m", "n"), [(40, 60), (1, 9), (9, 1)])
def test_auc_and_ap_are_those_of_scikit_learn(m: int, n: int, ties: bool) -> None:
    positive, negative = drawn(0, m, ties=ties) + 0.5, drawn(1, n, ties=ties) - 0.5
    truth = np.r_[np.ones(m), np.zeros(n)]
    scores = torch.cat([positive, negative]).numpy()
    found = link_scores(positive, negative)
    assert found.auc == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    assert found.ap == pytest.approx(average_precision_score(truth, scores), abs=1e-12)
    assert (found.n_positive, found.n_negative) == (m, n)


def slow_hits(positive: list[float], negative: list[list[float]], k: int) -> float:
    hits = 0
    for score, own in zip(positive, negative, strict=True):
        hits += len(own) < k or score > sorted(own)[-k]
    return hits / len(positive)


def slow_mrr(positive: list[float], negative: list[list[float]]) -> float:
    total = 0.0
    for score, own in zip(positive, negative, strict=True):
        best = sum(other > score for other in own)
        worst = sum(other >= score for other in own)
        total += 1 / (0.5 * (best + worst) + 1)
    return total / len(positive)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("ties", [False, True])
def test_hits_and_mrr_are_those_of_the_formulas(own: bool, ties: bool) -> None:
    positive = drawn(2, 30, ties=ties)
    negative = drawn(3, 30, 12, ties=ties) if own else drawn(3, 25, ties=ties)
    rows = negative.tolist() if own else [negative.tolist()] * 30
    found = link_scores(positive, negative, (1, 3, 12, 26))
    for k, share in found.hits.items():
        assert share == pytest.approx(slow_hits(positive.tolist(), rows, k), abs=1e-12)
    assert found.mrr == pytest.approx(slow_mrr(positive.tolist(), rows), abs=1e-12)
    assert found.hits[26] == 1.0  # fewer non-links than K, as in OGB


def test_own_non_links_are_pooled_for_auc() -> None:
    positive, negative = drawn(4, 10), drawn(5, 10, 7)
    pooled = link_scores(positive, negative.flatten())
    assert link_scores(positive, negative).auc == pooled.auc
    assert link_scores(positive, negative).ap == pooled.ap


def test_one_score_for_all_is_chance_whatever_the_order() -> None:
    found = link_scores(torch.zeros(20), torch.zeros(30), (1, 10))
    assert (found.auc, found.auc_error) == (0.5, 0.0)
    assert found.ap == pytest.approx(20 / 50)
    assert found.hits == {1: 0.0, 10: 0.0}
    assert found.mrr == pytest.approx(1 / 16)


def test_auc_turns_round_with_the_scores_and_keeps_under_a_monotone_map() -> None:
    positive, negative = drawn(6, 50) + 1, drawn(7, 80)
    found = link_scores(positive, negative)
    assert link_scores(-positive, -negative).auc == pytest.approx(1 - found.auc, abs=1e-12)
    moved = link_scores(positive.double().exp(), negative.double().exp())
    assert moved == found


def test_the_error_of_auc_is_its_spread_over_draws() -> None:
    found = [link_scores(drawn(s, 60) + 0.8, drawn(1000 + s, 90), ()) for s in range(400)]
    spread = np.std([one.auc for one in found])
    assert np.mean([one.auc_error for one in found]) == pytest.approx(spread, rel=0.1)


def test_the_error_of_auc_is_delongs() -> None:
    positive, negative = drawn(8, 7, ties=True), drawn(9, 5, ties=True)
    wins = [[(s > t) + 0.5 * (s == t) for t in negative.tolist()] for s in positive.tolist()]
    v = np.array(wins, dtype=float)
    expected = math.sqrt(v.mean(1).var(ddof=1) / 7 + v.mean(0).var(ddof=1) / 5)
    assert link_scores(positive, negative).auc_error == pytest.approx(expected, abs=1e-12)
    assert math.isnan(link_scores(positive[:1], negative).auc_error)


@pytest.mark.parametrize(
    ("positive", "negative", "ks", "words"),
    [
        (torch.ones(0), torch.ones(3), (1,), "0 links against 3 non-links"),
        (torch.ones(3), torch.ones(0), (1,), "3 links against 0 non-links"),
        (torch.tensor([1.0, math.nan]), torch.ones(3), (1,), "1 of 2 scores of links"),
        (torch.ones(2), torch.tensor([math.nan]), (1,), "1 of 1 scores of non-links"),
        (torch.ones(2), torch.ones(3, 4), (1,), "3 rows of non-links for 2 links"),
        (torch.ones(2, 2), torch.ones(3), (1,), "shapes"),
        (torch.ones(2), torch.ones(3), (0,), "Hits@0"),
    ],
)
def test_bad_scores_are_told_in_one_line(positive: Tensor, negative: Tensor, ks, words) -> None:
    with pytest.raises(UserError, match=words) as error:
        link_scores(positive, negative, ks)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("links", "words"),
    [
        (torch.zeros(2, 3), "torch.float32 of shape"),
        (torch.zeros(3, 2, dtype=torch.int64), r"shape \(3, 2\)"),
        (torch.tensor([[0], [-1]]), "node -1 of a graph of 4 nodes"),
        (torch.tensor([[0], [4]]), "node 4 of a graph of 4 nodes"),
        (torch.tensor([[2], [2]]), "node 2 is linked to itself"),
    ],
)
def test_bad_links_are_told_in_one_line(links: Tensor, words: str) -> None:
    with pytest.raises(UserError, match=words):
        checked_links(links, 4)


# --- decoders


def blocks(seed: int = 0, n: int = 60) -> tuple[Tensor, SimpleNamespace]:
    """Node vectors of which the sign of one dimension tells who is linked, and a split."""
    z = drawn(seed, n, 6)
    side = z[:, 0] > 0
    pairs = torch.combinations(torch.arange(n)).T
    order = torch.randperm(pairs.shape[1], generator=torch.Generator().manual_seed(seed))
    pairs = pairs[:, order]
    same = side[pairs[0]] == side[pairs[1]]
    links, others = pairs[:, same][:, :300], pairs[:, ~same][:, :300]
    sets = {}
    for name, part in zip(
        ("train", "validation", "test"),
        (slice(0, 150), slice(150, 220), slice(220, 300)),
        strict=True,
    ):
        sets[name], sets[f"{name}_negatives"] = links[:, part], others[:, part]
    return z, SimpleNamespace(**sets)


def test_products_and_cosines_are_those_of_a_loop() -> None:
    z, split = blocks()
    z[3] = 0
    for u, v in [(0, 1), (2, 3), (5, 40)]:
        link = torch.tensor([[u], [v]])
        a, b = z[u].double(), z[v].double()
        product = float((a * b).sum())
        length = float(a.norm() * b.norm())
        assert float(InnerProduct()(z, link)) == pytest.approx(product, abs=1e-5)
        expected = product / length if length else 0.0
        assert float(Cosine()(z, link)) == pytest.approx(expected, abs=1e-5)


def test_hadamard_is_logistic_regression_on_products() -> None:
    z, split = blocks()
    decoder = Hadamard.fit(z, split, difference=True)

    def features(links: Tensor) -> np.ndarray:
        a, b = z[links[0]], z[links[1]]
        return torch.cat([a * b, (a - b).abs()], 1).double().numpy()

    x = np.r_[features(split.train), features(split.train_negatives)]
    y = np.r_[np.ones(150), np.zeros(150)]
    mean, scale = x.mean(0), x.std(0)
    # two softmax columns of weight w / 2 each: half the penalty of one column of weight w
    strength = 2 / (len(x) * decoder.penalty)
    second = LogisticRegression(C=strength, tol=1e-8, max_iter=5000).fit((x - mean) / scale, y)
    expected = second.decision_function((features(split.test) - mean) / scale)
    assert np.allclose(decoder(z, split.test).numpy(), expected, rtol=5e-3, atol=2e-2)
    assert decoder.validation_auc > 0.9


@pytest.mark.parametrize("name", DECODERS)
def test_decoders_are_symmetric_and_find_what_is_there(name: str) -> None:
    z, split = blocks()
    scorer = decode(name, z, split)
    forth, back = scorer(split.test), scorer(split.test.flip(0))
    assert torch.allclose(forth, back, atol=1e-5)
    assert forth.shape == (80,)
    assert link_scores(forth, scorer(split.test_negatives)).auc > 0.6


@pytest.mark.parametrize("name", DECODERS)
def test_decoders_never_read_test_links(name: str) -> None:
    z, split = blocks()
    blind = SimpleNamespace(**{k: v for k, v in vars(split).items() if not k.startswith("test")})
    probe = split.validation
    assert torch.equal(decode(name, z, split)(probe), decode(name, z, blind)(probe))


def test_training_links_alone_teach_and_validation_links_choose() -> None:
    z, split = blocks()
    turned = SimpleNamespace(**vars(split))
    turned.validation, turned.validation_negatives = split.validation_negatives, split.validation
    # labels of the validation pairs exchanged: every penalty does worse than chance there
    assert Hadamard.fit(z, turned).validation_auc < 0.5 < Hadamard.fit(z, split).validation_auc


def test_tiles_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    z, split = blocks()
    whole = {name: decode(name, z, split)(split.test) for name in DECODERS}
    monkeypatch.setattr(decoders, "TILE", 42)
    for name, scores in whole.items():
        assert torch.allclose(decode(name, z, split)(split.test), scores, atol=1e-6)


def test_many_training_links_are_drawn_the_same_way_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoders, "MOST", 40)
    z, split = blocks()
    first, second, other = (Hadamard.fit(z, split, seed=s)(z, split.test) for s in (0, 0, 1))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_decoders_say_what_is_wrong() -> None:
    z, split = blocks()
    with pytest.raises(UserError, match="unknown 'hadamrd'. Did you mean 'hadamard'"):
        decode("hadamrd", z, split)
    with pytest.raises(UserError, match="validation_negatives holds no link"):
        empty = SimpleNamespace(**vars(split))
        empty.validation_negatives = torch.empty(2, 0, dtype=torch.int64)
        Hadamard.fit(z, empty)
    broken = z.clone()
    broken[7] = math.nan
    for name in DECODERS:
        with pytest.raises(UserError, match="1 of 60 rows are not finite"):
            decode(name, broken, split)(split.test)
        with pytest.raises(UserError, match=r"node vectors: shape \(60,\)"):
            decode(name, z[:, 0], split)(split.test)


def test_hidden_links_are_scored_for_every_scorer_and_failures_are_rows() -> None:
    z, split = blocks()
    scorers = {name: decode(name, z, split) for name in DECODERS}
    scorers["broken"] = lambda links: torch.full((links.shape[1],), math.nan)
    rows = {row["scorer"]: row for row in hidden_scores(scorers, split, (1, 5))}
    assert list(rows) == [*DECODERS, "broken"]
    expected = link_scores(scorers["cosine"](split.test), scorers["cosine"](split.test_negatives))
    assert rows["cosine"]["auc"] == expected.auc
    assert rows["cosine"]["error"] == ""
    assert {"hits@1", "hits@5", "ap", "mrr", "auc_error"} <= set(rows["hadamard"])
    assert "NaN" in rows["broken"]["error"]
    assert "auc" not in rows["broken"]
    with pytest.raises(UserError, match="0 hidden links"):
        hidden_scores(scorers, SimpleNamespace(test=split.test[:, :0], test_negatives=split.test))


# --- calibration


def slow_ece(p: np.ndarray, y: np.ndarray, bins: int) -> float:
    order = np.argsort(p)
    total = 0.0
    for part in np.array_split(order, bins):
        total += len(part) * abs(p[part].mean() - y[part].mean())
    return total / len(p)


def test_ece_and_brier_are_those_of_a_loop_and_of_scikit_learn() -> None:
    p = torch.sigmoid(drawn(10, 600))
    y = (torch.rand(600, generator=torch.Generator().manual_seed(1)) < p**2).long()
    found = calibration(p, y, bins=15)
    assert found.ece == pytest.approx(slow_ece(p.double().numpy(), y.numpy(), 15), abs=1e-12)
    assert found.brier == pytest.approx(brier_score_loss(y, p.double().numpy()), abs=1e-12)
    assert found.curve.shape == (15, 3)
    assert found.curve[:, 2].tolist() == [40.0] * 15
    assert found.ece > 0.1  # p says more than comes true


def test_true_probabilities_are_calibrated() -> None:
    p = torch.rand(20_000, generator=torch.Generator().manual_seed(0))
    y = (torch.rand(20_000, generator=torch.Generator().manual_seed(1)) < p).long()
    assert calibration(p, y).ece < 0.015
    assert calibration(p, y).brier == pytest.approx(1 / 6, abs=0.01)  # E p (1 - p)


def test_equal_probabilities_share_a_bin() -> None:
    y = torch.tensor([1] * 30 + [0] * 70)
    found = calibration(torch.full((100,), 0.3), y)
    assert found.ece == pytest.approx(0, abs=1e-6)
    assert len(found.curve) == 1
    assert calibration(torch.full((100,), 0.3), y.flip(0)).ece == pytest.approx(found.ece)


def test_platt_is_logistic_regression_on_softened_outcomes() -> None:
    s = drawn(11, 300) * 3 - 1
    y = (
        torch.rand(300, generator=torch.Generator().manual_seed(2)) < torch.sigmoid(0.5 * s)
    ).long()
    found = fit_scaling(s, y)
    ones, zeros = int(y.sum()), int((y == 0).sum())
    target = np.where(y == 1, (ones + 1) / (ones + 2), 1 / (zeros + 2))
    second = LogisticRegression(C=1e6, tol=1e-8, max_iter=10_000).fit(
        np.r_[s, s][:, None], np.r_[np.ones(300), np.zeros(300)], np.r_[target, 1 - target]
    )
    assert found.slope == pytest.approx(second.coef_[0, 0], rel=1e-3)
    assert found.offset == pytest.approx(second.intercept_[0], abs=1e-3)
    assert found.share == ones / 300


def test_temperature_finds_the_factor_that_was_there() -> None:
    truth = drawn(12, 20_000) * 2
    draw = torch.rand(20_000, generator=torch.Generator().manual_seed(3))
    y = (draw < torch.sigmoid(truth)).long()
    found = fit_scaling(5 * truth, y, "temperature")
    assert found.slope == pytest.approx(1 / 5, rel=0.05)
    assert found.offset == 0
    before, after = (
        calibration(torch.sigmoid(5 * truth), y).ece,
        calibration(found(5 * truth), y).ece,
    )
    assert after < 0.02 < before


@pytest.mark.parametrize("kind", ["platt", "temperature"])
def test_scores_that_separate_do_not_make_certainties(kind: str) -> None:
    s, y = torch.cat([-torch.ones(20), torch.ones(20)]), torch.tensor([0] * 20 + [1] * 20)
    p = fit_scaling(s, y, kind)(s)
    assert p.max() == pytest.approx(21 / 22, abs=1e-4)
    assert torch.isfinite(p).all()


def test_one_score_for_all_scales_to_the_share() -> None:
    y = torch.tensor([1, 0, 0, 0] * 25)
    assert fit_scaling(torch.ones(100), y)(torch.ones(1)).item() == pytest.approx(0.25, abs=0.02)


def test_density_keeps_odds_ratios() -> None:
    half = fit_scaling(drawn(13, 100) + torch.tensor([1.0, 0.0] * 50), torch.tensor([1, 0] * 50))
    rare = half.at(1e-3)
    p, q = half(torch.tensor([0.0, 2.0])), rare(torch.tensor([0.0, 2.0]))
    odds = lambda x: x / (1 - x)  # noqa: E731
    assert torch.allclose(odds(q) / odds(p), torch.full((2,), 1e-3 / (1 - 1e-3), dtype=q.dtype))
    with pytest.raises(UserError, match="density: 1"):
        half.at(1.0)


def test_matched_scores_hold_as_many_links_as_there_are() -> None:
    scores = 3 * drawn(14, 5000) - 1
    scaling = fit_scaling(drawn(13, 100) + torch.tensor([1.0, 0.0] * 50), torch.tensor([1, 0] * 50))
    for density in (1e-4, 0.1, 0.9):
        found = scaling.matched(scores, density)
        assert float(found(scores).mean()) == pytest.approx(density, rel=1e-6)
        assert found.slope == scaling.slope
    with pytest.raises(UserError, match="none given"):
        scaling.matched(scores[:0], 0.1)


@pytest.mark.parametrize(
    ("values", "outcomes", "words"),
    [
        (torch.ones(0), torch.ones(0), "at least one pair"),
        (torch.ones(2), torch.ones(3), "Give one number a pair"),
        (torch.tensor([0.5, math.nan]), torch.tensor([0, 1]), "1 of 2 are not finite"),
        (torch.full((2,), 0.5), torch.ones(2), "all 2 pairs are links"),
        (torch.full((2,), 0.5), torch.zeros(2), "all 2 pairs are non-links"),
        (torch.full((2,), 0.5), torch.tensor([0, 2]), "outcomes: 2"),
    ],
)
def test_bad_outcomes_are_told_in_one_line(values: Tensor, outcomes: Tensor, words: str) -> None:
    for road in (calibration, fit_scaling):
        with pytest.raises(UserError, match=words) as error:
            road(values, outcomes)
        assert "\n" not in str(error.value)


def test_scores_are_no_probabilities() -> None:
    with pytest.raises(UserError, match=r"outside \[0, 1\]"):
        calibration(torch.tensor([0.5, 2.0]), torch.tensor([0, 1]))
    with pytest.raises(UserError, match="unknown 'plat'"):
        fit_scaling(torch.ones(2), torch.tensor([0, 1]), "plat")
