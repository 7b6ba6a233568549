"""The main job, small: rows, resumption, failures as rows, conclusions."""

import json
import math

import numpy as np
import pytest
import yaml

import goodviews
from goodviews.interfaces import Row, UserError
from goodviews.regimes import Regime
from goodviews.report.study import read_rows
from goodviews.studies import measure
from goodviews.studies.choose import choose
from goodviews.studies.conclude import RAW, UNTRAINED, conclude
from goodviews.studies.grid import Job, run_grid

SMALL = {"budget": "quick", "seeds": 2, "steps": 3, "batch_size": 32, "max_images": 240}


def silent(line: str) -> None:
    """Nobody reads it."""


# --- the grid ------------------------------------------------------------------------------------


def test_the_grid_resumes_and_failures_are_rows_that_are_tried_again(tmp_path):
    jobs = [Job(name, seed) for seed in (0, 1) for name in ("a", "b", "c")]
    calls = []

    def measured(job):
        calls.append((job.candidate, job.seed))
        if job.candidate == "b" and broken:
            raise RuntimeError("boom\nsecond line")
        row = job.row()
        row.linear = 0.5
        return row

    broken = True
    rows = run_grid(jobs, measured, tmp_path / "rows.jsonl", {"k": 1}, silent)
    assert [r.status for r in rows] == ["done", "failed", "done"] * 2
    assert rows[1].error == "RuntimeError: boom" and rows[1].linear is None
    broken, calls[:] = False, []
    rows = run_grid(jobs, measured, tmp_path / "rows.jsonl", {"k": 1}, silent)
    assert calls == [("b", 0), ("b", 1)] and all(r.status == "done" for r in rows)
    calls.clear()
    run_grid(jobs, measured, tmp_path / "rows.jsonl", {"k": 2}, silent)
    assert len(calls) == 6  # other settings: no row counts


def test_a_torn_last_line_is_dropped_and_an_interrupt_keeps_the_rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    jobs = [Job("a", 0), Job("b", 0)]

    def measured(job):
        if job.candidate == "b":
            raise KeyboardInterrupt
        return job.row()

    with pytest.raises(KeyboardInterrupt):
        run_grid(jobs, measured, path, {}, silent)
    assert len(path.read_text().splitlines()) == 1
    path.write_text(path.read_text() + '{"kind": "candi')
    rows = run_grid(jobs, Job.row, path, {}, silent)
    assert [r.candidate for r in rows] == ["a", "b"]
    assert len(path.read_text().splitlines()) == 2


def test_rows_of_jobs_that_are_not_asked_for_stay(tmp_path):
    path = tmp_path / "rows.jsonl"
    run_grid([Job("a", 0), Job("b", 0)], Job.row, path, {}, silent)
    rows = run_grid([Job("c", 0), Job("a", 0)], Job.row, path, {}, silent)
    assert [r.candidate for r in rows] == ["c", "a"]
    assert sorted(r.candidate for r in read_rows(path)) == ["a", "b", "c"]


# --- the conclusion ------------------------------------------------------------------------------


def row(name, seed, nats, linear, kind="candidate", value=None):
    return Row(
        kind, name, seed, family=name.split("=")[0], dial="d", value=value, nats=nats,
        candidates=256 if kind == "candidate" else None, null=-1.0, linear=linear, rankme=9.0,
    )  # fmt: skip


def study_rows(gap=0.1):
    rng = np.random.default_rng(0)
    rows = []
    for seed in range(3):
        rows += [
            row(RAW, seed, None, 0.4, "baseline"),
            row(UNTRAINED, seed, None, 0.45, "baseline"),
        ]
        for value, nats, linear in ((0.1, 1.0, 0.5), (0.2, 2.0, 0.5 + gap), (0.4, 3.0, 0.42)):
            noise = rng.normal(0, 0.005, 2)
            rows.append(row(f"f={value}", seed, nats + noise[0], linear + noise[1], value=value))
    return rows


def test_the_best_is_recommended_with_its_regime():
    found = conclude(study_rows(), math.log(10))
    regimes = {e["candidate"]: e["regime"] for e in found.summary if e["kind"] == "candidate"}
    assert found.recommended == "f=0.2"
    assert regimes == {"f=0.1": Regime.MISSING, "f=0.2": Regime.SWEET_SPOT, "f=0.4": Regime.EXCESS}
    assert "Use f=0.2" in found.answer and "points over raw pixels" in found.answer
    assert any(
        "Worse than untrained network" in line and "f=0.4" in line for line in found.verdicts
    )


def test_views_that_do_not_help_are_not_recommended():
    """The best is behind raw pixels: said where the seeds decide it, and only there."""
    rows = study_rows()
    for better, helps in ((0.65, False), (0.598, True)):
        for seed, r in enumerate(r for r in rows if r.candidate == RAW):
            r.linear = better + 0.005 * seed
        answer = conclude(rows, math.log(10)).answer
        assert answer.startswith("Use f=0.2" if helps else "None of these views helps: raw pixels")


def test_a_tie_is_said():
    found = conclude(study_rows(gap=0.001), math.log(10))
    tied = next(line for line in found.verdicts if line.startswith("Undecided against"))
    assert {found.recommended, tied[-6:-1]} == {"f=0.1", "f=0.2"}


def test_of_equals_the_one_that_shares_least_is_named():
    """InfoMin's principle where accuracy does not decide; silent where it does."""
    lines = conclude(study_rows(gap=0.006), math.log(10)).verdicts
    assert sum("sharing less" in line for line in lines) == 1
    assert not any("sharing less" in line for line in conclude(study_rows(), math.log(10)).verdicts)


def test_an_optimum_at_the_end_of_the_dial_is_said():
    rows = [r for r in study_rows() if r.value != 0.4]
    rows += [row("f=0.3", s, 2.5, 0.9, value=0.3) for s in range(3)]
    assert any("an end of the sweep" in line for line in conclude(rows, 2.3).verdicts)


def test_the_end_of_what_a_dial_can_do_is_no_end_of_the_sweep():
    rows = [
        row(f"crop-scale={value}", seed, value, value, value=value)
        for value in (0.2, 0.5, 1.0)
        for seed in range(2)
    ]
    lines = conclude(rows, 2.3).verdicts
    assert "crop-scale: best at d 1." in lines


def test_saturated_and_leaking_candidates_are_named():
    rows = [row("a", s, 5.5, 0.5) for s in range(2)] + [row("b", s, 1.0, 0.4) for s in range(2)]
    rows[0].null = rows[1].null = 0.3
    lines = " ".join(conclude(rows, 2.3).verdicts)
    assert "At the ceiling log K" in lines and "do not trust a" in lines


def test_without_labels_no_sweet_spot_is_named():
    rows = study_rows()
    for r in rows:
        r.linear = None
    found = conclude(rows, None)
    assert "no sweet spot can be named" in found.answer
    assert all(e["regime"] is None for e in found.summary)


def test_nothing_measured():
    failed = [Row("candidate", "a", 0, status="failed", error="E")]
    assert conclude(failed, 2.3).recommended is None


# --- the whole job -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    out = tmp_path_factory.mktemp("study") / "out"
    lines = []
    found = choose(
        "factors", families="shared-factors=digit:background,crop-scale=0.2", out=out,
        echo=lines.append, **SMALL,
    )  # fmt: skip
    return found, lines


def test_rows_carry_everything(study):
    found, _ = study
    rows = [json.loads(line) for line in (found.out / "rows.jsonl").read_text().splitlines()]
    assert len(rows) == 2 * (2 + 3) and {r["status"] for r in rows} == {"done"}
    for r in rows:
        assert r["linear"] is not None and r["linear_few"] is not None and r["knn"] is not None
        assert r["rankme"] > 0 and r["uniformity"] < 0 and r["settings"]["steps"] == 3
        if r["kind"] == "candidate":
            assert r["nats"] <= math.log(r["candidates"]) and r["null"] is not None
            assert r["nats_train"] is not None and r["alignment"] >= 0 and r["recipe"]
    exact = {r["candidate"]: r["true_nats"] for r in rows}
    assert exact["shared-factors=digit"] == pytest.approx(math.log(10), abs=0.1)
    assert exact["crop-scale=0.2"] is None


def test_files_and_lines(study):
    found, lines = study
    record = json.loads((found.out / "study.json").read_text())
    assert record["labelled"] and record["K"] == found.rows[2].candidates
    assert record["command"].startswith("goodviews choose --data factors --families")
    assert yaml.safe_load((found.out / "recipe.yaml").read_text()) == found.recipe.to_dict()
    assert len(list((found.out / "views").glob("*.png"))) == 3
    assert "<html" in (found.out / "report.html").read_text()[:200]
    assert any("held-out images" in line for line in lines)
    assert found.conclusion.answer in lines


def test_the_same_call_resumes_and_finds_nothing_to_do(study):
    found, _ = study
    lines = []
    again = choose(
        "factors", families="shared-factors=digit:background,crop-scale=0.2", out=found.out,
        echo=lines.append, **SMALL,
    )  # fmt: skip
    assert any("resuming: 10 of 10" in line for line in lines)
    assert [r.to_dict() for r in again.rows] == [r.to_dict() for r in found.rows]


def test_other_settings_in_the_same_folder_are_refused(study):
    found, _ = study
    with pytest.raises(UserError, match=r"steps: 3 -> 4"):
        choose("factors", out=found.out, echo=silent, **{**SMALL, "steps": 4})


def test_the_same_seed_gives_the_same_numbers(study, tmp_path):
    found, _ = study
    again = choose(
        "factors", families="crop-scale=0.2", out=tmp_path / "b", echo=silent,
        **{**SMALL, "seeds": 1},
    )  # fmt: skip
    old = next(r for r in found.rows if r.candidate == "crop-scale=0.2" and r.seed == 0)
    assert again.rows[2].nats == old.nats and again.rows[2].linear == old.linear


def test_a_candidate_that_fails_is_a_row_and_the_rest_go_on(tmp_path, monkeypatch):
    real = measure.fit

    def fit(method, *rest, **more):
        if method.views.split is not None:
            raise RuntimeError("this view breaks")
        return real(method, *rest, **more)

    monkeypatch.setattr(measure, "fit", fit)
    found = choose(
        "factors", families="color-space=lab,crop-scale=0.2", out=tmp_path / "out", echo=silent,
        **{**SMALL, "seeds": 1},
    )  # fmt: skip
    status = {r.candidate: (r.status, r.error) for r in found.rows}
    assert status["color-space=lab"] == ("failed", "RuntimeError: this view breaks")
    assert status["crop-scale=0.2"][0] == "done"
    assert any("failed runs: color-space=lab" in line for line in found.conclusion.verdicts)


def test_unlabelled_images_are_measured_without_a_task(tmp_path):
    found = choose(
        "digits", labels="none", families="crop-scale=0.2:1", out=tmp_path / "out", echo=silent,
        **{**SMALL, "seeds": 1},
    )  # fmt: skip
    assert all(r.linear is None and r.rankme is not None for r in found.rows)
    assert "no sweet spot" in found.conclusion.answer


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"families": "crop-scal"}, "Did you mean 'crop-scale'"),
        ({"families": ""}, "none given"),
        ({"families": "crop-scale=big"}, "is no number"),
        ({"budget": "quik"}, "Did you mean 'quick'"),
        ({"seeds": 0}, "at least 1"),
        ({"encoder": "convnett"}, "Did you mean 'convnet'"),
        ({"objective": "amdin"}, "Did you mean 'amdim'"),
        ({"objective": "amdim", "encoder": "convnet"}, "convnet has no local features"),
        ({"objective": "amdim", "image_size": 40}, "not 40 x 40"),
        ({"objective": "amdim", "families": "halves"}, "none suits .* halves: .* not 32 x 16"),
        ({"base": "simclrr"}, "Did you mean 'simclr'"),
        ({"families": "grey", "data": "digits"}, "none suits"),
    ],
)
def test_mistakes_are_told_before_the_first_run(tmp_path, change, words):
    with pytest.raises(UserError, match=words):
        choose(**{"data": "factors", "out": tmp_path / "out", "echo": silent, **SMALL, **change})
    assert not (tmp_path / "out").exists()


# --- another objective ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def multiscale(tmp_path_factory):
    out = tmp_path_factory.mktemp("amdim") / "out"
    lines = []
    found = choose(
        "digits", objective="amdim", families="crop-scale=0.2,patch-distance", out=out,
        echo=lines.append, **{**SMALL, "seeds": 1, "steps": 2, "max_images": 128},
    )  # fmt: skip
    return found, lines


def test_amdim_learns_on_every_view_it_can_read(multiscale):
    found, lines = multiscale
    trained = next(r for r in found.rows if r.kind == "candidate")
    assert [r.status for r in found.rows] == ["done"] * 3
    assert set(trained.scale_nats) == {"1>5", "1>7", "5>5"}
    assert trained.nats <= math.log(trained.candidates) and trained.settings["objective"] == "amdim"
    assert trained.settings["lr"] == 1e-3 and trained.settings["image_shape"] == [3, 32, 32]
    assert any(line.startswith("note: left out: patch-distance: AMDIM") for line in lines)
    assert any("goodviews train amdim --data digits --views" in line for line in lines)
    assert "--objective amdim" in json.loads((found.out / "study.json").read_text())["command"]


def test_studies_of_two_objectives_do_not_mix(multiscale, study):
    for (found, _), objective, words in (
        (multiscale, "infonce", "objective: 'amdim' -> None"),
        (study, "amdim", "objective: None -> 'amdim'"),
    ):
        with pytest.raises(UserError, match=words):
            choose("digits", objective=objective, out=found.out, echo=silent, **SMALL)


def test_rows_made_before_there_were_objectives_still_count(study):
    """What identifies a row of InfoNCE: no key more than in the first version."""
    settings = study[0].rows[0].settings
    assert sorted(settings) == sorted(
        ["data", "labels", "encoder", "temperature", "lr", "image_shape", "n_train", "n_test"]
        + ["precision", "steps", "batch_size", "max_images", "candidates", "probe_images", "few"]
    )
    assert settings["lr"] == 2e-3 and settings["temperature"] == 0.2


def test_it_is_at_the_door():
    assert goodviews.choose is choose
