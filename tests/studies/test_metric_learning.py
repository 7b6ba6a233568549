"""The experiment on metric learning: its parts, and a tiny run through the whole study."""

import json
import math
from typing import Any

import pytest
import torch

from goodviews.bounds import infonce
from goodviews.interfaces import Row
from goodviews.studies.doubts import metric_learning
from goodviews.studies.doubts.metric_learning import (
    INNER,
    METRIC_LEARNING,
    NPAIR,
    TRIPLETS,
    answer,
    apart,
    arms,
    best_scale,
    claims,
    losses_of,
    rank_correlation,
)

TINY: dict[str, Any] = {
    "data": "digits",
    "max_images": 96,
    "seeds": 2,
    "steps": 2,
    "looks": 1,
    "batch_size": 12,
    "device": "cpu",
    "precision": "32",
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("metric")
    return METRIC_LEARNING(**TINY, out=folder, echo=lambda line: None), folder


def row(name, seed, accuracy, nats, curve=(), linear=None):
    measures = {"accuracy": accuracy, "nats_scaled": nats}
    return Row("candidate", name, seed, measures=measures, curve=list(curve), linear=linear)


def test_a_tiny_study_measures_every_arm(tiny):
    findings, folder = tiny
    names = [arm.name for arm in arms(True)]
    runs = [r for r in findings.rows if r.kind == "candidate"]
    assert [(r.candidate, r.seed) for r in runs] == [(n, s) for n in names for s in (0, 1)]
    assert all(r.status == "done" for r in runs), [r.error for r in runs]
    for run in runs:
        values = [run.nats, run.linear, run.rankme, run.alignment, run.uniformity]
        assert all(math.isfinite(v) for v in [*values, *run.measures.values()])
        assert {"accuracy", "nats_scaled", "scale"} <= set(run.measures)
        assert run.nats_train <= math.log(12) and run.measures["nats_scaled"] <= math.log(12)
        assert run.curve[0]["step"] == 0 and run.curve[-1]["step"] == 2
    record = json.loads((folder / "study.json").read_text())
    assert len(record["claims"]) == 2 + 2 * len(TRIPLETS)
    assert (folder / "report.html").exists()


def test_arms_differ_in_the_objective_alone(tiny):
    """One start, one encoder for both halves; N-pair takes InfoNCE's steps."""
    runs = {(r.candidate, r.seed): r for r in tiny[0].rows if r.kind == "candidate"}
    starts = {name: runs[name, 0].curve[0]["accuracy"] for name, seed in runs}
    assert len(set(starts.values())) == 1
    for seed in (0, 1):
        a, b = (runs[name, seed].curve[-1] for name in (INNER, NPAIR))
        assert a["nats"] == pytest.approx(b["nats"], abs=1e-4)
    assert apart(tiny[0].rows, "nats") < 1e-4
    moved = {round(runs[name, 0].curve[-1]["nats_scaled"], 6) for name in TRIPLETS}
    assert len(moved) == len(TRIPLETS)  # each by its own loss


def test_a_second_call_trains_nothing(tiny, monkeypatch):
    findings, folder = tiny
    monkeypatch.setattr(metric_learning, "losses_of", None)
    again = METRIC_LEARNING(**TINY, out=folder, echo=lambda line: None)
    assert [r.to_dict() for r in again.rows] == [r.to_dict() for r in findings.rows]


def test_losses_are_those_of_each_member():
    shape, x = (1, 4, 8), torch.rand(2, 2, 9, 1, 4, 8)
    by_name = {arm.name: arm for arm in arms(True)}
    for name, arm in by_name.items():
        pair = arm.build([0, 1], shape)
        assert pair.shared
        z1, z2 = pair.encode(*x)
        found = losses_of(arm)(pair, z1, z2)
        assert found.shape == (2,)
        scores = pair.scores(z1, z2)
        for e in range(2):
            if name in TRIPLETS:
                expected = TRIPLETS[name](z1[e], z2[e])
            elif name == NPAIR:
                expected = math.log(9) - infonce(scores[e])
            elif arm.bound == "infonce":
                expected = -infonce(scores[e])
            else:
                continue
            torch.testing.assert_close(found[e], expected, rtol=1e-5, atol=1e-5)


def test_best_scale_is_the_best():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(2, 5, 8, 8, generator=generator).double() + 1.5 * torch.eye(8)
    scores[1] *= 40
    found = best_scale(scores)
    assert found[1] * 40 == pytest.approx(found[0].item(), rel=2)  # two draws of one law

    def value(e, a):
        return sum(infonce(a * block).item() for block in scores[e]) / 5

    for e in range(2):
        best, grid = value(e, found[e]), torch.logspace(-5, 5, 400).double()
        assert best >= max(value(e, a) for a in grid) - 1e-6
        assert value(e, found[e] * 1.1) < best > value(e, found[e] / 1.1)
    useless = -scores[:1] - 3 * torch.eye(8)  # positives score least: best is no scale at all
    assert best_scale(useless * -1)[0] > 1e-2 and best_scale(-scores[:1])[0] < 1e-5


def test_claims_read_only_arms_that_ran():
    everything = [arm.name for arm in arms(True)]
    assert len(claims(everything)) == 2 + 2 * len(TRIPLETS)
    assert claims([NPAIR, "triplet"]) == []
    assert [c.margin for c in claims([INNER, NPAIR])] == [-0.01, -0.01]


def test_the_answer_compares_curves_and_ranks():
    look = [{"step": 0, "accuracy": 0.5, "nats": 1.0}, {"step": 9, "accuracy": 0.8, "nats": 2.0}]
    near = [look[0], {"step": 9, "accuracy": 0.78, "nats": 2.01}]
    rows = [
        row(INNER, 0, 0.80, 3.0, look, linear=0.9),
        row(NPAIR, 0, 0.78, 3.0, near, linear=0.9),
        row("triplet", 0, 0.70, 4.0, look, linear=0.91),
        row("soft triplet", 0, 0.60, 5.0, look, linear=0.92),
        Row("candidate", "triplet hard", 0, status="failed", error="x"),
    ]
    assert apart(rows, "accuracy") == pytest.approx(0.02)
    assert rank_correlation(rows, "accuracy") == (pytest.approx(-1.0), 3)
    assert rank_correlation(rows, "linear") == (pytest.approx(1.0), 3)
    text = answer(rows, [])
    assert "InfoNCE 80.0 % at 3.00 nats" in text and "triplet hard" not in text
    assert "at most 2.0 points and 0.010 nats" in text
    assert "Over these 3 objectives" in text and "-1.00 by the paper's probe and +1.00" in text
    assert rank_correlation(rows[:2], "accuracy") == (None, 1)
    assert apart(rows[:1], "accuracy") is None and "differ" not in answer(rows[:1], [])
