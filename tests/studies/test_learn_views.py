"""Generators from data to recipe, the study of them, and the search along a dial."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
import yaml

import goodviews
from goodviews.data import Images, Loaded
from goodviews.interfaces import UserError
from goodviews.studies import learn_views as verb
from goodviews.studies.budgets import BUDGETS
from goodviews.studies.choose import choose
from goodviews.studies.grid import run_grid
from goodviews.studies.infomin import learned_views as study
from goodviews.studies.learn_views import RAW_VIEWS, learn_views
from goodviews.studies.learners import Learner
from goodviews.studies.plan import plan
from goodviews.studies.runs import train
from goodviews.studies.search import TRAININGS, Search, search
from goodviews.studies.view_generators import Learning
from goodviews.views import FAMILIES, Recipe
from goodviews.views.generator import ViewGenerator

SMALL = {"steps": 4, "turns": 2, "batch_size": 16, "encoder": "mlp", "image_size": 8}
SET = {"data": "factors", "max_images": 64}


def silent(line):
    """Nobody reads it."""


def test_from_images_to_a_run_that_needs_no_generator(tmp_path, monkeypatch):
    """The verb's files; a repeated call makes nothing; a run outlives the generator's folder."""
    lines, out = [], tmp_path / "learned"
    found = learn_views(**SET, **SMALL, seeds=2, budget_nats=0.5, out=out, echo=lines.append)
    assert [(r.candidate, r.seed, r.status) for r in found.rows] == [
        (RAW_VIEWS, 0, "done"),
        ("unsupervised", 0, "done"),
        ("unsupervised", 1, "done"),
    ]
    names = {path.name for path in out.iterdir()}
    assert {"generator.safetensors", "recipe.yaml", "views.png", "report.html"} <= names
    kept = min(found.rows[1:], key=lambda r: abs(r.nats - 0.5)).seed
    same = (out / "generators" / f"seed-{kept}.safetensors").read_bytes()
    assert (out / "generator.safetensors").read_bytes() == same
    assert any(line.startswith("train:  goodviews train infonce") for line in lines)

    monkeypatch.setattr(verb, "learned", None)  # a second call may not learn
    again = learn_views(**SET, **SMALL, seeds=2, budget_nats=0.5, out=out, echo=silent)
    assert [r.nats for r in again.rows] == [r.nats for r in found.rows]

    own = {"steps": 2, "batch_size": 16, "encoder": "mlp", "image_size": 8, "seed": 0}
    shown = {"probes": False, "evaluate_every": 0, "log": (), "device": "cpu", "echo": silent}
    run = train(
        "infonce", **SET, **own, **shown, views=str(out / "recipe.yaml"), out=tmp_path / "run"
    )
    shutil.rmtree(out)
    images = torch.randint(0, 256, (3, 3, 8, 8), dtype=torch.uint8)
    loaded = goodviews.load(tmp_path / "run")
    torch.testing.assert_close(loaded(images), run.method(images))
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (
        Recipe.load(config["views"])
        == Recipe.load(json.loads((tmp_path / "run" / "encoder.json").read_text())["recipe"])
        or loaded.views.split == Recipe.load(config["views"]).split
    )


def test_refusals(tmp_path, factors):
    with pytest.raises(UserError, match="--seeds: 0"):
        learn_views(seeds=0, out=tmp_path / "no", echo=silent)
    assert not (tmp_path / "no").exists()
    grey = replace(factors, train=Images(torch.zeros(8, 1, 4, 4, dtype=torch.uint8), "grey"))
    for loaded, options, words in (
        (grey, {"space": "raw"}, "1 channel cannot be split"),
        (factors, {"space": "hsv"}, "--space: unknown 'hsv'"),
        (factors, {"budget": 0.0}, "--budget-nats: 0.0 is not positive"),
        (factors, {"labels_fraction": 0}, "--labels-fraction: 0. Use above 0"),
    ):
        with pytest.raises(UserError, match=words):
            Learning(**options).check(loaded)
    factors.train.labels = None
    with pytest.raises(UserError, match="semi-supervised needs labels of two classes"):
        Learning("semi-supervised").check(factors)


def test_study_freezes_what_it_learned(tmp_path, monkeypatch):
    """An arm's views are its generator's; a repeated call makes nothing."""
    small = replace(study.LEARNED_VIEWS, learn_steps=(4, 4), quick_size=8)
    given = {"variants": "rgb raw,rgb semi-supervised", "seeds": 1, "steps": 2, "batch_size": 16}
    options = {**SET, **given, "encoder": "mlp", "labels": "digit", "out": tmp_path, "echo": silent}
    found = small(**options)
    row = next(r for r in found.rows if r.candidate == "rgb semi-supervised")
    assert row.status == "done" and row.nats is not None and row.linear is not None
    assert (tmp_path / "generators" / "rgb-semi-supervised-0.safetensors").exists()
    assert row.recipe["split"] == {"color_space": {"space": "rgb"}}
    monkeypatch.setattr(study, "learned", None)
    assert [r.nats for r in small(**options).rows] == [r.nats for r in found.rows]


# --- the search ----------------------------------------------------------------------------------


def made_rows(jobs, curve, path, calls):
    """Rows whose nats are a curve of the dial, with some noise of the seed."""

    def measured(job):
        calls.append(job.candidate)
        row = job.row()
        if job.kind == "candidate":
            noise = 0.02 * (job.seed - 0.5)
            row.nats, row.nats_stderr, row.candidates = curve(job.value) + noise, 0.01, 256
            row.linear = 0.5 - abs(curve(job.value) - 2.0) / 10 + noise / 10
        return row

    return run_grid(jobs, measured, path, {}, silent)


@pytest.fixture
def factors():
    images = Images(torch.zeros(8, 3, 16, 16, dtype=torch.uint8), "black", torch.arange(8) % 2,
                    ("a", "b"))  # fmt: skip
    return Loaded(images, images, {}, "black")


@pytest.mark.parametrize(
    ("name", "curve"),
    [
        ("crop-scale", lambda low: 1.0 + 3.0 * low**0.5),
        ("color-jitter", lambda x: 4.0 / (1.0 + x)),
    ],
)
def test_search_meets_its_target_in_few_trainings(tmp_path, factors, name, curve):
    path, calls = tmp_path / "rows.jsonl", []
    how = Search.of(name, 2.5, factors, None, True)
    rows, jobs, tried = search(how, 2, path, lambda jobs: made_rows(jobs, curve, path, calls))
    found = how.value(how.nearest(tried))
    assert abs(curve(found) - 2.5) <= how.tolerance(tried) < 0.1
    assert len(tried) <= TRAININGS and "met after" in how.answer(tried)
    assert len(rows) == len(jobs) == 2 * (2 + len(tried)) == len(calls)
    calls.clear()
    again = search(how, 2, path, lambda jobs: made_rows(jobs, curve, path, calls))
    assert not calls and list(again[2]) == list(tried)


def test_search_of_the_best_probe_and_beyond_the_dial(tmp_path, factors):
    def curve(low):
        return 1.0 + 3.0 * low**0.5

    path = tmp_path / "rows.jsonl"
    how = Search.of("crop-scale", None, factors, None, True)
    _, _, tried = search(how, 2, path, lambda jobs: made_rows(jobs, curve, path, []))
    assert len(tried) == TRAININGS
    assert abs(curve(how.value(how.nearest(tried))) - 2.0) < 0.2  # where the probe peaks
    far = Search.of("crop-scale", 9.0, factors, None, True)
    _, _, tried = search(far, 2, path, lambda jobs: made_rows(jobs, curve, path, []))
    assert len(tried) == 2
    assert "outside what this dial reaches (1.67 to 4.00 nats)" in far.answer(tried)


def test_search_refuses(factors):
    for name, target, labelled, words in (
        ("crop", 1.0, True, "--search: unknown 'crop'"),
        ("color-space", 1.0, True, "no dial with a known direction"),
        ("patch-distance", 1.0, True, "needs images of at least 24 px"),
        ("crop-scale", None, False, "give --target-nats, or labels"),
        ("crop-scale", -1.0, True, "--target-nats: -1 is not positive"),
    ):
        with pytest.raises(UserError, match=words):
            Search.of(name, target, factors, None, labelled)


def test_choose_searches(tmp_path):
    """The recommended views are those nearest to the target, and the page shows every value."""
    options = {"budget": "quick", "seeds": 1, "steps": 3, "batch_size": 16, "max_images": 64}
    given = {**options, "image_size": 16, "encoder": "mlp", "out": tmp_path, "echo": silent}
    found = choose("factors", search="crop-scale", target_nats=4.0, **given)
    runs = [row for row in found.rows if row.kind == "candidate"]
    assert {row.value for row in runs} >= {FAMILIES["crop-scale"].values[i] for i in (0, -1)}
    nearest = min(runs, key=lambda row: abs(row.nats - 4.0))
    assert found.conclusion.recommended == nearest.candidate == found.recipe.name
    assert "the target is 4" in found.conclusion.answer
    assert all(row.candidate in (tmp_path / "report.html").read_text() for row in runs)
    with pytest.raises(UserError, match="takes the place of --families"):
        choose("factors", search="crop-scale", families="blur", **given)


def test_learned_views_beside_others_and_under_a_dial(tmp_path, factors):
    """A recipe is a candidate as it is; as a base, its shared ops are dialled."""
    (tmp_path / "mine").mkdir()
    ViewGenerator(3).save(tmp_path / "mine" / "g.safetensors")
    path = tmp_path / "mine" / "recipe.yaml"
    crop = {"random_resized_crop": {"scale": [0.5, 1.0]}}
    made = {"name": "learned", "shared": [crop], "split": {"learned": {"path": "g.safetensors"}}}
    path.write_text(yaml.safe_dump(made))
    own = Recipe.load(path)
    jobs, _ = plan(
        factors,
        ["color-space=rgb", f"recipe=simclr:{path}"],
        replace(BUDGETS["quick"], seeds=1),
        None,
        Learner.of("infonce"),
    )
    named = {job.candidate: job for job in jobs if job.kind == "candidate"}
    assert list(named) == ["color-space=rgb", "simclr", "learned (mine)"]
    assert Recipe.from_dict(named["learned (mine)"].recipe) == own
    dialled = FAMILIES["crop-scale"].recipe(0.2, (3, 16, 16), own)
    assert dialled.split == own.split and dialled.shared[0].scale == (0.2, 1.0)
