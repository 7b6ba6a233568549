"""The study of shared factors: its readers, its claims, small runs, mistakes."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from sklearn.linear_model import Ridge

from goodviews.interfaces import Row, UserError
from goodviews.studies.catalogue import study
from goodviews.studies.claims import NOT_SHOWN, SHOWN, judge
from goodviews.studies.infomin import factor_claims
from goodviews.studies.infomin.factor_claims import ARMS, CONSTANT, PAPER, SUPERVISED
from goodviews.studies.infomin.factor_worlds import ERRORS, Readings, World, open_world, ridge
from goodviews.studies.infomin.shared_factors import PAPER as PAPER_BUDGET
from goodviews.studies.infomin.shared_factors import agreement, bench_of, budget_of, chosen, plan

SMALL: dict[str, Any] = {
    "steps": 2,
    "seeds": 1,
    "batch_size": 8,
    "precision": "32",
    "max_images": 300,
}
CHANCE = {"digit_error": 0.9, "position_error": 13.77, "background_error": 0.9}


@pytest.fixture(scope="module")
def world() -> World:
    return open_world("moving-digits", None, (1, 4), {}, brightness=0.5)


def test_ridge_is_scikit_learns() -> None:
    torch.manual_seed(0)
    x, y, new = torch.randn(50, 7) * 3 + 1, torch.randn(50, 2), torch.randn(9, 7)
    mean, scale = x.mean(0), x.std(0, correction=0)
    peer = Ridge(alpha=0.3 * 50).fit(((x - mean) / scale).numpy(), y.numpy())
    told = torch.from_numpy(peer.predict(((new - mean) / scale).numpy())).float()
    torch.testing.assert_close(ridge(x, y, new, 0.3), told, rtol=1e-4, atol=1e-4)


def test_readers_of_the_factors_themselves_make_no_mistake(world: World) -> None:
    """Features that spell the factors out: nothing is wrong; constant ones: chance."""
    readings = Readings.of(world, 600)

    def spelt(still: Any) -> torch.Tensor:
        f = still.factors
        classes = [torch.nn.functional.one_hot(f[k], 10).float() for k in ("digit", "background")]
        return torch.cat([*classes, f["position"]], 1)

    found = readings.read(spelt(readings.train), spelt(readings.test))
    assert found["digit_error"] == 0 and found["background_error"] == 0
    assert found["position_error"] < 0.1
    nothing = [torch.ones(len(s.images), 3) for s in (readings.train, readings.test)]
    blind = readings.read(*nothing)
    constant = readings.constant()
    assert blind["position_error"] == pytest.approx(constant["position_error"], rel=1e-4)
    assert constant["position_error"] == pytest.approx(37 * 0.3826, rel=0.05)  # of a square
    for key in ("digit_error", "background_error"):
        assert blind[key] == pytest.approx(constant[key], abs=0.1)


def rows_like(numbers: dict[str, tuple[float, float, float]]) -> list[Row]:
    """Three seeds an arm near these numbers, and the constant answer."""
    rows = [Row("baseline", CONSTANT, 0, measures=dict(CHANCE))]
    for name, (digit, position, background) in numbers.items():
        for seed, wobble in enumerate((-0.01, 0.0, 0.01)):
            values = (digit / 100, position, background / 100)
            keys = (ERRORS["digit"], ERRORS["position"], ERRORS["background"])
            measures = {k: v * (1 + wobble) for k, v in zip(keys, values, strict=True)}
            rows.append(Row("candidate", name, seed, measures=measures))
    return rows


def test_the_paper_table_passes_the_claims_made_of_it() -> None:
    numbers = {**PAPER, "untrained network": (85.0, 12.5, 85.0)}
    judged = judge(rows_like(numbers), factor_claims.claims(list(numbers), CHANCE))
    assert len(judged) > 20
    for claim in judged:
        expected = NOT_SHOWN if claim["paper"].startswith("no") else SHOWN
        assert claim["verdict"] == expected, claim
    assert sum(claim["paper"].startswith("no") for claim in judged) == 1


def test_a_network_that_learns_all_that_is_shared_fails_them() -> None:
    """Were nothing dominated, the claims about dominance would not be shown."""
    alone = {"digit": 16.8, "background": 51.7, "position": 3.95}
    chance = {"digit": 90.0, "background": 90.0, "position": 13.77}
    numbers = {
        name: (
            alone["digit"] if "digit" in shared else chance["digit"],
            alone["position"] if "position" in shared else chance["position"],
            alone["background"] if "background" in shared else chance["background"],
        )
        for name, shared in ARMS.items()
    }
    judged = judge(rows_like(numbers), factor_claims.claims(list(numbers), CHANCE))
    for claim in judged:
        if "leaves less" in claim["words"]:
            assert claim["verdict"] != SHOWN
        elif " and " in claim["words"] and "near chance" in claim["words"]:
            assert claim["verdict"] == NOT_SHOWN


def test_numbers_of_the_paper_stand_under_their_measure() -> None:
    arms = {arm["name"]: arm for arm in factor_claims.described([*ARMS, SUPERVISED], True)}
    paper = arms["digit"]["paper"]
    assert paper == {"digit_error": "16.8", "position_error": "13.6", "background_error": "88.6"}
    assert not factor_claims.described(["digit"], False)[0]["paper"]


@pytest.mark.parametrize("data", ["moving-digits", "factors"])
def test_a_small_run_and_the_same_again(data: str, tmp_path: Path) -> None:
    lines: list[str] = []
    names = ["digit+background", *([SUPERVISED] if data == "moving-digits" else [])]
    options = {**SMALL, "variants": names, "out": tmp_path / "s", "echo": lines.append}
    found = study("shared-factors", data, **options)
    assert all(row.status == "done" for row in found.rows), [row.error for row in found.rows]
    assert len(found.rows) == 2 + len(names)
    for row in found.rows:
        assert {*ERRORS.values()} <= set(row.measures)
        assert all(math.isfinite(value) for value in row.measures.values())
        if row.candidate in ARMS:
            assert row.nats is not None and row.nats <= math.log(8) and row.candidates == 8
            assert row.curve[-1]["step"] == 2
            assert row.measures["shared_nats"] > 2.2 + 2.9  # ten digits, twenty backgrounds or more
    folder = tmp_path / "s"
    with Image.open(folder / "pairs.png") as picture:
        assert picture.size[0] > 300
    assert json.loads((folder / "study.json").read_text())["K"] == 8
    assert ("88.2" in (folder / "table.md").read_text()) == (data == "moving-digits")
    again = study("shared-factors", data, **options)
    assert f"resuming: {len(found.rows)} of {len(found.rows)}" in "\n".join(lines)
    assert [row.to_dict() for row in again.rows] == [row.to_dict() for row in found.rows]


def test_seeds_give_the_same_numbers_again(world: World) -> None:
    budget = budget_of("quick", "moving-digits", {"steps": 2, "seeds": 1, "batch_size": 8})
    budget = replace(budget, readings=100)
    bench = bench_of(world, budget, "frame-cnn", "cpu", "32")
    job = plan(["digit"], 1)[1]
    one, two = bench.measure(job), bench.measure(job)
    assert one.measures == two.measures and one.nats == two.nats


def test_the_budget_of_the_paper() -> None:
    """SGD 0.03, divided by 10 at epochs 120 and 160 of 200; batch 128, ten frames."""
    assert (PAPER_BUDGET.lr, PAPER_BUDGET.batch_size, len(PAPER_BUDGET.frames)) == (0.03, 128, 10)
    assert [200 * part for part in PAPER_BUDGET.milestones] == [120, 160]
    assert PAPER_BUDGET.target == 20 and PAPER_BUDGET.brightness == 1.0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"data": "cifar10"}, "cifar10 has no known factors. Use moving-mnist, moving-digits"),
        ({"data": "moving-mnist"}, "moving-mnist needs --data-root"),
        ({"variants": "digits"}, "--variants: unknown 'digits'. Did you mean 'digit'?"),
        ({"agree": "digit=images"}, "--agree digit=: unknown 'images'. Did you mean 'image'?"),
        ({"agree": "place=image"}, "--agree: unknown 'place'"),
        ({"encoder": "frame-cn"}, "--encoder: unknown 'frame-cn'. Did you mean 'frame-cnn'?"),
        ({"batch_size": 1}, "--batch-size: 1 is too small"),
        ({"data": "factors", "backgrounds": "digits"}, "factors brings its own"),
        ({"scale": "large"}, "--scale: unknown 'large'"),
    ],
)
def test_mistakes(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    given = {"data": "moving-digits", **options}
    with pytest.raises(UserError, match=words.replace("?", r"\?")):
        study("shared-factors", given.pop("data"), out=tmp_path / "s", **given)
    assert not (tmp_path / "s").exists()


def test_names_of_arms_and_of_ways_to_agree() -> None:
    assert chosen("digit, position") == ["digit", "position", "untrained network"]
    assert chosen(None) == [*ARMS, SUPERVISED, "untrained network"]
    assert agreement("digit=image, background=class") == {"digit": "image", "background": "class"}
    assert agreement(None) == {}
