"""The experiments of Tschannen et al. 2019: small runs, claims, mistakes."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from goodviews import bounds
from goodviews.data import load
from goodviews.interfaces import Row, UserError
from goodviews.layers import Stacked
from goodviews.studies.catalogue import study
from goodviews.studies.claims import (
    NOT_SHOWN,
    SHOWN,
    UNDECIDED,
    Claim,
    Reading,
    judge,
)
from goodviews.studies.doubts import EXPERIMENTS
from goodviews.studies.doubts.arms import Arm
from goodviews.studies.doubts.bench import Bench, Budget
from goodviews.studies.doubts.halves import HalfImages

SMALL: dict[str, Any] = {
    "max_images": 400,
    "steps": 4,
    "seeds": 2,
    "batch_size": 16,
    "precision": "32",
}


@pytest.fixture(scope="session")
def halves() -> HalfImages:
    return HalfImages.of(load("digits", max_images=400))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_small_run_of_each(name: str, tmp_path: Path) -> None:
    """Rows with curves and numbers within their limits; again: nothing is trained; the page."""
    lines: list[str] = []
    options = {**SMALL, "out": tmp_path / name, "echo": lines.append}
    found = study(name, "digits", **options)
    assert all(row.status == "done" for row in found.rows), [row.error for row in found.rows]
    runs = [row for row in found.rows if row.kind == "candidate"]
    assert len(runs) == 2 * len(found.record["arms"])
    for row in runs:
        steps = [look["step"] for look in row.curve]
        assert steps == sorted(set(steps)) and steps[-1] <= 4
        numbers = [v for look in row.curve for v in look.values() if v is not None]
        assert all(math.isfinite(number) for number in numbers)
        if row.linear is not None:
            assert 0 <= row.linear <= 1
        if "I_NCE" in row.candidate and row.nats is not None and row.candidates:
            assert row.nats <= math.log(row.candidates) + 1e-6
        assert row.measures.get("inverse_error", 0.0) < 1e-4
    assert (tmp_path / name / "report.html").stat().st_size > 10_000
    assert not list((tmp_path / name).glob("unfinished/*"))
    lines.clear()
    again = study(name, "digits", **options)
    assert any(line.startswith("resuming") for line in lines)
    assert not any("step" in line and line.startswith("  ") for line in lines)
    assert [row.to_dict() for row in again.rows] == [row.to_dict() for row in found.rows]


def test_a_seed_gives_the_same_numbers_whoever_runs_beside_it(tmp_path: Path) -> None:
    options = {**SMALL, "variants": "bilinear I_NWJ", "echo": lambda line: None}
    both = study("critics", "digits", **options, out=tmp_path / "both")
    alone = study("critics", "digits", **{**options, "seeds": 1}, out=tmp_path / "alone")
    first = next(row for row in both.rows if row.candidate == "bilinear I_NWJ")
    again = next(row for row in alone.rows if row.candidate == "bilinear I_NWJ")
    assert first.nats == pytest.approx(again.nats, rel=1e-3)
    assert first.nats_train == pytest.approx(again.nats_train, rel=1e-3)


def test_a_missing_seed_is_added(tmp_path: Path) -> None:
    options = {**SMALL, "variants": "bilinear I_NCE", "echo": lambda line: None}
    one = study("critics", "digits", **{**options, "seeds": 1}, out=tmp_path)
    two = study("critics", "digits", **options, out=tmp_path)
    assert two.rows[1].to_dict() == one.rows[1].to_dict()
    assert [row.seed for row in two.rows] == [0, 0, 1]


def test_other_arms_of_the_folder_stay(tmp_path: Path) -> None:
    options = {**SMALL, "seeds": 1, "echo": lambda line: None, "out": tmp_path}
    study("critics", "digits", **options, variants="bilinear I_NCE")
    found = study("critics", "digits", **options, variants=["separable I_NCE"])
    assert [row.candidate for row in found.rows[1:]] == ["bilinear I_NCE", "separable I_NCE"]
    assert [arm["name"] for arm in found.record["arms"]] == ["bilinear I_NCE", "separable I_NCE"]


def test_a_failing_arm_is_a_row_with_its_error(tmp_path: Path) -> None:
    def broken(*args: Any) -> list[Row]:
        raise RuntimeError("no such luck")

    experiment = replace(EXPERIMENTS["critics"], measure=broken)
    with pytest.raises(UserError, match="no arm could be measured: RuntimeError: no such luck"):
        experiment("digits", **SMALL, out=tmp_path, echo=lambda line: None)
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert {row["status"] for row in rows if row["kind"] == "candidate"} == {"failed"}


def test_held_out_bounds_are_the_mean_over_blocks(halves: HalfImages, tmp_path: Path) -> None:
    """Against a loop over blocks and members, float32."""
    bench = Bench(halves, Budget(batch_size=16), tmp_path)
    pair = Arm("a", critic="bilinear", bound="nwj").build([0, 1], halves.shape)
    with torch.no_grad():
        values, errors = bench.held_out(pair, "nwj")
        for e in range(2):
            g1, g2, critic = (part.member(e) for part in (pair.g1, pair.g2, pair.critic))
            blocks = []
            for i in range(len(halves.test) // 16):
                top, bottom = halves.views(halves.test[16 * i : 16 * (i + 1)])
                blocks.append(bounds.nwj(critic(g1(top), g2(bottom))))
            each = torch.stack(blocks)
            assert values[e] == pytest.approx(each.mean().item(), rel=1e-5)
            assert errors[e] == pytest.approx(each.std().item() / len(each) ** 0.5, rel=1e-4)


def test_halves_and_orders(halves: HalfImages) -> None:
    """Grey images keep one channel; an epoch shows each image at most once; views are halves."""
    assert halves.train.shape[1] == 1
    top, bottom = halves.views(halves.train[:3])
    joined = torch.cat([top, bottom], -2)
    torch.testing.assert_close(joined, halves.train[:3].float() / 255)
    size = 16
    count = len(halves.train) // size
    epoch = torch.cat([halves.rows([5], step, size)[0] for step in range(count)])
    assert len(set(epoch.tolist())) == count * size
    later = halves.rows([5], count, size)[0]
    assert not torch.equal(later, epoch[:size])
    other = halves.rows([6, 5], 0, size)
    assert torch.equal(other[1], epoch[:size]) and not torch.equal(other[0], epoch[:size])


def test_noise_is_shared_or_each_its_own(halves: HalfImages, tmp_path: Path) -> None:
    images = halves.train[:50]
    clean = halves.views(images)
    differences = {}
    for shared in (True, False):
        bench = Bench(halves, Budget(), tmp_path, noise=0.05, shared_noise=shared)
        x1, x2 = bench.views_of(images, torch.Generator().manual_seed(0))
        differences[shared] = (x1 - clean[0], x2 - clean[1])
        assert (x1 - clean[0]).std().item() == pytest.approx(0.05, rel=0.1)
    torch.testing.assert_close(*differences[True])
    a, b = differences[False]
    assert abs(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1].item()) < 0.1


def test_the_adversary_hides_the_labels(tmp_path: Path) -> None:
    """A few hundred turns of the game at a high rate cost the codes accuracy, no information."""
    found = study(
        "adversarial",
        "digits",
        steps=60,
        seeds=1,
        lr=1e-3,
        batch_size=32,
        precision="32",
        out=tmp_path,
        echo=lambda line: None,
    )
    row = found.rows[-1]
    assert row.measures["accuracy"] < row.curve[0]["accuracy"] - 0.05
    assert row.measures["inverse_error_64"] < 1e-6


def test_matched_bounds_reach_their_target(halves: HalfImages, tmp_path: Path) -> None:
    found = study(
        "matched-bounds",
        "digits",
        variants="MLP I_NCE t=2",
        steps=300,
        seeds=1,
        batch_size=64,
        precision="32",
        out=tmp_path,
        echo=lambda line: None,
    )
    assert found.rows[-1].measures["off_target"] < 0.3


# --- claims -------------------------------------------------------------------------------------


def rows_of(**arms: list[float]) -> list[Row]:
    return [
        Row("candidate", name, seed, measures={"accuracy": value}, curve=[{"accuracy": 0.5}])
        for name, values in arms.items()
        for seed, value in enumerate(values)
    ]


@pytest.mark.parametrize(
    ("a", "b", "margin", "verdict"),
    [
        ([0.90, 0.91, 0.90], [0.80, 0.81, 0.80], 0.0, SHOWN),
        ([0.80, 0.81, 0.80], [0.90, 0.91, 0.90], 0.0, NOT_SHOWN),
        ([0.90, 0.91, 0.90], [0.80, 0.81, 0.80], 0.2, NOT_SHOWN),
        ([0.90, 0.70, 0.80], [0.80, 0.81, 0.75], 0.0, UNDECIDED),
        ([0.90], [0.10], 0.0, UNDECIDED),
    ],
)
def test_verdicts(a: list[float], b: list[float], margin: float, verdict: str) -> None:
    claim = Claim("a beats b", Reading("a"), Reading("b"), margin=margin)
    (found,) = judge(rows_of(a=a, b=b), [claim])
    assert found["verdict"] == verdict
    assert found["value"] == pytest.approx(sum(a) / len(a) - sum(b) / len(b))


def test_claims_read_starts_and_constants_and_skip_what_is_missing() -> None:
    rows = rows_of(a=[0.90, 0.91, 0.90])
    rise = Claim("a rises", Reading("a"), Reading("a", "start"))
    below = Claim("a ends below 60 %", Reading("a", constant=0.6), Reading("a"))
    other = Claim("a beats c", Reading("a"), Reading("c"))
    found = judge(rows, [rise, below, other])
    assert [claim["verdict"] for claim in found] == [SHOWN, NOT_SHOWN]


def test_constants_have_no_spread_of_their_own() -> None:
    """The half width is that of the mean of three seeds alone: t(2, 97.5 %) s / sqrt(3)."""
    rows = rows_of(a=[0.90, 0.91, 0.92])
    (found,) = judge(rows, [Claim("below", Reading("a", constant=0.95), Reading("a"))])
    assert found["half"] == pytest.approx(4.3027 * 0.01 / math.sqrt(3), rel=1e-4)


def test_noise_alone_shows_nothing() -> None:
    """Two arms drawn from one distribution: fewer than 5 % of claims are decided."""
    generator = torch.Generator().manual_seed(0)
    wrong = 0
    for _ in range(400):
        a, b = (0.8 + 0.01 * torch.randn(2, 4, generator=generator)).tolist()
        claim = Claim("a beats b", Reading("a"), Reading("b"))
        wrong += judge(rows_of(a=a, b=b), [claim])[0]["verdict"] != UNDECIDED
    assert wrong < 0.08 * 400


def test_members_of_a_stack_are_models_of_their_own(halves: HalfImages) -> None:
    pair = Arm("a").build([0, 1], halves.shape)
    assert isinstance(pair.g1, Stacked) and pair.count == 2
    a, b = (torch.nn.utils.parameters_to_vector(pair.g1.member(e).parameters()) for e in (0, 1))
    assert not torch.equal(a, b)
