"""The ablation of AMDIM: variants, differences by a second road, the study itself at tiny scale."""

from __future__ import annotations

import json
import math
import random
import shutil
import statistics
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import t as student

import goodviews
from goodviews import report
from goodviews.interfaces import Row, UserError
from goodviews.objectives import LocalBound, MixtureNCE, MultiscaleNCE
from goodviews.studies import measure
from goodviews.studies.ablation import (
    REVERSED,
    SEEN,
    UNDECIDED,
    Claim,
    Comparison,
    conclude,
    values_of,
)
from goodviews.studies.amdim_ablation import _method as method_of
from goodviews.studies.amdim_ablation import amdim_ablation, plan
from goodviews.studies.amdim_variants import (
    VARIANTS,
    claims,
    recipe_of,
    title_of,
    variant_names,
)
from goodviews.studies.catalogue import STUDIES, study
from goodviews.studies.pages import write_report
from goodviews.studies.shelf import shelf
from goodviews.views import Recipe

TINY = {
    "steps": 2, "batch_size": 16, "seeds": 2, "variants": "no-jitter", "device": "cpu",
    "precision": "32",
}  # fmt: skip
CIFAR, STL = Recipe.load("amdim-cifar"), Recipe.load("amdim-stl")


def silent(line: str) -> None:
    """Nobody reads it."""


# --- differences ----------------------------------------------------------------------------------


def test_a_difference_and_its_error_by_a_second_road() -> None:
    values = {"full": [0.50, 0.53, 0.51], "a": [0.40, 0.44], "b": [0.60, 0.61, 0.66], "c": [0.5]}
    compare = Comparison(values, [("a", "full"), ("full", "a"), ("b", "full"), ("b", "a")])
    found = compare("a", "full")
    squares = sum(statistics.variance(v) * (len(v) - 1) for v in values.values() if len(v) > 1)
    pooled = math.sqrt(squares / 5)
    point = student.ppf(1 - 0.05 / (2 * 3), 5)  # two sides, three comparisons
    assert found is not None
    assert found.value == pytest.approx(0.42 - 0.51333, abs=1e-4)
    assert found.half == pytest.approx(point * pooled * math.sqrt(1 / 2 + 1 / 3))
    other = compare("full", "a")
    assert other is not None
    assert (other.value, other.half, other.sign) == (-found.value, found.half, -found.sign)
    assert compare("a", "nobody") is None


def test_of_equal_variants_few_are_called_different() -> None:
    """All comparisons together err in at most 5 % of studies."""
    draws, wrong = random.Random(0), 0
    names = ["full", *"abcdefgh"]
    for _ in range(400):
        values = {name: [draws.gauss(0.5, 0.01) for _ in range(3)] for name in names}
        compare = Comparison(values, [(name, "full") for name in names[1:]])
        found = [compare(name, "full") for name in names[1:]]
        wrong += any(difference is not None and difference.sign for difference in found)
    assert 0 < wrong < 400 * 0.08


def test_one_seed_decides_nothing() -> None:
    found = Comparison({"full": [0.9], "a": [0.1]}, [("a", "full")])("a", "full")
    assert found is not None and found.sign == 0 and math.isinf(found.half)


def rows_of(values: dict[str, list[float]]) -> list[Row]:
    return [
        Row("candidate", name, seed, linear=value, mlp=value + 0.02)
        for name, group in values.items()
        for seed, value in enumerate(group)
    ]


def test_claims_are_seen_reversed_or_undecided() -> None:
    values = {"full": [0.50, 0.51], "down": [0.40, 0.41], "up": [0.60, 0.61], "same": [0.50, 0.51]}
    told = [Claim("full", name, name) for name in ("down", "up", "same", "missing")]
    paper = {"full": {"STL-10": (93.4, 93.8)}, "down": {"STL-10": (90.0, 1.0)}}
    found = conclude(rows_of(values), "full", told, paper)
    assert {c["words"]: c["verdict"] for c in found["claims"]} == {
        "down": SEEN, "up": REVERSED, "same": UNDECIDED,
    }  # fmt: skip
    assert found["claims"][0]["value"] == pytest.approx(0.1)
    assert found["claims"][0]["paper"] == {"STL-10": pytest.approx(3.4)}
    assert found["differences"]["down"]["linear"]["value"] == pytest.approx(-0.1)
    assert "full" not in found["differences"] and found["claims"][1]["paper"] == {}


def test_baselines_and_failures_are_no_variants() -> None:
    rows = [
        Row("baseline", "raw pixels", 0, linear=0.4),
        Row("candidate", "a", 0, status="failed", error="E"),
        Row("candidate", "a", 1, linear=0.5),
    ]
    assert values_of(rows, "linear") == {"a": [0.5]} and values_of(rows, "mlp") == {}


# --- variants -------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", VARIANTS)
def test_every_variant_changes_what_it_says(key: str) -> None:
    """Objective and views of each, from the job as it will run."""
    job = next(job for job in plan(["full", key], CIFAR, 1) if job.value == key)
    objective = method_of(job, "amdim-tiny", (3, 32, 32)).objective
    ops = {op.name: op for op in Recipe.from_dict(job.recipe).ops}
    lacking = {"no-jitter": "color_jitter", "no-greyscale": "greyscale", "no-crop": "translate"}
    moved = "random_resized_crop" if key == "stronger" else "translate"
    assert set(ops) == {moved, "color_jitter", "greyscale"} - {lacking.get(key)}
    if key == "dim":
        assert isinstance(objective, LocalBound)
    elif key.startswith("mixture"):
        assert isinstance(objective, MixtureNCE)
        assert objective.heads(torch.zeros(2, 256)).shape[1] == int(key[-1])
    else:
        assert isinstance(objective, MultiscaleNCE)
        one = key == "no-multiscale"
        assert objective.pairs == (((1, 7),) if one else ((1, 5), (1, 7), (5, 5)))
        stable = key != "no-stabilise"
        assert (objective.penalty, objective.clip) == ((5e-2, 20.0) if stable else (0.0, None))


def test_the_variant_without_crops_is_named_by_the_recipe() -> None:
    assert title_of("no-crop", CIFAR) == "- translation" and title_of("no-crop", STL) == "- crop"
    assert "random_resized_crop" not in [op.name for op in recipe_of("no-crop", STL).ops]
    assert recipe_of("no-crop", STL).build((3, 64, 64)).shapes((3, 64, 64))[0] == (3, 64, 64)
    strong = recipe_of("stronger", STL)
    assert strong.ops[0].scale == (0.2, 0.9) and strong.ops[1].p == 1.0


@pytest.mark.parametrize("base", [CIFAR, STL])
def test_claims_name_variants_that_exist(base: Recipe) -> None:
    titles = {title_of(key, base) for key in VARIANTS}
    for claim in claims(title_of("no-crop", base)):
        assert {claim.better, claim.worse} <= titles
        paper = {title_of(key, base): VARIANTS[key].paper for key in VARIANTS}
        better, worse = paper[claim.better], paper[claim.worse]
        if better and worse:  # the paper's own numbers bear its orderings out
            assert better["ImageNet"][0] > worse["ImageNet"][0], claim.words


def test_raw_pixels_are_measured_once() -> None:
    jobs = plan(["full", "dim"], CIFAR, 3)
    count = {name: sum(job.candidate == name for job in jobs) for name in ("raw pixels", "full")}
    assert count == {"raw pixels": 1, "full": 3} and len(jobs) == 1 + 3 * 3


# --- the study ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Noise of two colours, 64 images."""
    draws, labels = np.random.default_rng(0), np.arange(64) % 2
    images = draws.integers(0, 200, (64, 32, 32, 3), dtype=np.uint8)
    images[..., 0] += (50 * labels).astype(np.uint8)[:, None, None]
    path = tmp_path_factory.mktemp("pictures") / "two.npz"
    np.savez(path, images=images, labels=labels)
    return str(path)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, pictures: str):
    out, lines = tmp_path_factory.mktemp("ablation") / "out", []
    return study("amdim-ablation", pictures, out=out, echo=lines.append, **TINY), lines


def test_rows_hold_every_measure(done) -> None:
    found, _ = done
    assert [(row.candidate, row.seed) for row in found.rows] == [
        ("raw pixels", 0),
        *((name, s) for s in (0, 1) for name in ("untrained network", "full", "- jitter")),
    ]
    for row in found.rows:
        assert row.status == "done", row.error
        assert row.linear is not None and row.mlp is not None and row.knn is not None
        if row.kind == "candidate":
            assert row.nats is not None and row.nats <= math.log(row.candidates)
            assert set(row.scale_nats) == {"1>5", "1>7", "5>5"} and row.steps == 2


def test_table_and_page(done) -> None:
    found, lines = done
    record = json.loads((found.out / "study.json").read_text("utf-8"))
    assert record["reference"] == "full" and len(record["claims"]) == 1
    mean = statistics.fmean(r.linear for r in found.rows if r.candidate == "full")
    table = (found.out / "table.md").read_text("utf-8")
    line = next(line for line in table.splitlines() if line.startswith("| full |"))
    assert f"| {100 * mean:.1f}" in line and "93.4 / 93.8" in line and "61.7 / 62.5" in line
    page = (found.out / "report.html").read_text("utf-8")
    assert "- jitter" in page and "Colour jitter helps" in page and page.count("<figure>") == 2
    assert any("Colour jitter helps: " in line and "paper: STL-10 +3.1" in line for line in lines)
    assert any(
        line.startswith("full") and "93.4/93.8" in line for line in "\n".join(lines).split("\n")
    )


def test_the_terminal_table_fits_a_terminal(done) -> None:
    text = report.ablation_table(done[0].record)
    assert text.isascii() and all(len(line) <= 110 for line in text.splitlines())


def test_the_same_call_resumes(done, pictures: str) -> None:
    found, _ = done
    lines: list[str] = []
    again = amdim_ablation(pictures, out=found.out, echo=lines.append, **TINY)
    assert any("resuming: 7 of 7" in line for line in lines)
    assert [row.to_dict() for row in again.rows] == [row.to_dict() for row in found.rows]


def test_the_page_can_be_made_again_and_the_shelf_knows_the_study(done) -> None:
    found, _ = done
    before = (found.out / "report.html").read_text("utf-8")
    assert write_report(found.out).read_text("utf-8") == before
    (entry,) = shelf(found.out)
    assert (entry["what"], entry["state"], entry["encoder"]) == (
        "amdim-ablation",
        "done",
        "amdim-tiny",
    )


def test_a_failed_variant_is_told(done, pictures: str, tmp_path: Path, monkeypatch) -> None:
    out = shutil.copytree(done[0].out, tmp_path / "out")
    kept = [row for row in done[0].rows if row.candidate != "- jitter"]
    (out / "rows.jsonl").write_text("".join(json.dumps(row.to_dict()) + "\n" for row in kept))

    def fit(*given, **more):
        raise RuntimeError("this variant breaks")

    monkeypatch.setattr(measure, "fit", fit)
    lines: list[str] = []
    found = amdim_ablation(pictures, out=out, echo=lines.append, **TINY)
    assert found.rows[-1].error == "RuntimeError: this variant breaks"
    assert "failed: - jitter: RuntimeError: this variant breaks" in "\n".join(lines)
    assert found.record["differences"] == {} and found.record["claims"] == []
    assert "this variant breaks" in (out / "report.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"variants": "no-jiter"}, "Did you mean 'no-jitter'"),
        ({"variants": ""}, "none given"),
        ({"seeds": 0}, "at least 1"),
        ({"steps": 0}, "at least 1"),
        ({"image_size": 40}, "32, 64 and 128"),
        ({"encoder": "convnet"}, "no local features"),
        ({"labels": "none"}, "no labels"),
        ({"lr": -1.0}, "--lr: -1"),
    ],
)
def test_mistakes_are_told_first(pictures: str, tmp_path: Path, change, words: str) -> None:
    with pytest.raises(UserError, match=words):
        amdim_ablation(pictures, **{**TINY, "out": tmp_path / "out", "echo": silent, **change})
    assert not (tmp_path / "out").exists()


def test_other_settings_in_the_same_folder_are_refused(done, pictures: str) -> None:
    with pytest.raises(UserError, match=r"steps: 2 -> 3"):
        amdim_ablation(pictures, out=done[0].out, echo=silent, **{**TINY, "steps": 3})


def test_it_is_in_the_catalogue_and_at_the_door() -> None:
    assert STUDIES["amdim-ablation"] is amdim_ablation and goodviews.study is study
    assert variant_names(["dim"]) == ["full", "dim"] and variant_names(None) == list(VARIANTS)
    with pytest.raises(UserError, match="unknown 'ablation'"):
        study("ablation", "digits")
