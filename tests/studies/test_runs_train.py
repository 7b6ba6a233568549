"""A run from data to report: what it writes, how it resumes, what it refuses."""

import errno
import json
import math
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from goodviews.evaluation.geometry import collapsed
from goodviews.interfaces import Interrupted, UserError
from goodviews.studies.folder import disk_guard
from goodviews.studies.frozen import Design, export, load
from goodviews.studies.runs import Run, train
from goodviews.views import Recipe

Finished = tuple[Run, list[str]]
Tiny = dict[str, Any]


def quiet(line: str) -> None:
    """Print nothing."""


def read(out: Path, name: str) -> Any:
    """A JSON file of a run."""
    return json.loads((out / name).read_text())


def test_a_run_writes_its_folder_and_nothing_else(finished: Finished) -> None:
    out = finished[0].out
    assert out is not None
    assert {path.name for path in out.iterdir()} == {
        "checkpoints",
        "confusions.json",
        "config.yaml",
        "data_report.json",
        "embedding.json",
        "encoder.json",
        "encoder.safetensors",
        "environment.json",
        "metrics.csv",
        "neighbours.png",
        "probes.json",
        "report.html",
        "similarity.json",
        "views.png",
    }
    assert read(out, "data_report.json")["train"] == 256
    assert read(out, "environment.json")["packages"]["torch"] == torch.__version__.split("+")[0]


def test_table_has_the_three_rows_and_the_verdict_is_printed(finished: Finished) -> None:
    run, lines = finished
    assert [row["name"] for row in run.probes["rows"]] == [
        "raw pixels",
        "untrained network",
        "this run",
    ]
    for row in run.probes["rows"]:
        for probe in ("linear", "knn"):
            assert 0 <= row[f"{probe}_lo"] <= row[probe] <= row[f"{probe}_hi"] <= 1
    assert run.out is not None and read(run.out, "probes.json") == run.probes
    text = "\n".join(lines)
    assert run.verdict in text and "report.html" in text and "goodviews evaluate" in text
    assert lines[0].startswith("data: digits: 256 training")
    page = (run.out / "report.html").read_text()
    assert "untrained network" in page and "goodviews.load" in page


def test_metrics_hold_information_with_its_ceiling_and_probes(finished: Finished) -> None:
    run, _ = finished
    assert len(run.metrics) == 2
    for row in run.metrics:
        assert row["ceiling"] == pytest.approx(math.log(64))
        assert row["nats"] <= row["ceiling"] and row["nats_train"] <= row["ceiling"]
        assert 0 <= row["knn"] <= 1 and 0 <= row["linear"] <= 1
        assert row["rankme"] >= 1 and 0 <= row["alignment"] <= 4 and -4 <= row["uniformity"] <= 0


def test_config_reproduces_the_run_to_the_last_bit(finished: Finished, tmp_path: Path) -> None:
    run, _ = finished
    assert run.out is not None
    config = yaml.safe_load((run.out / "config.yaml").read_text())
    again = train(**{**config, "out": tmp_path / "again"}, echo=quiet)
    for name, tensor in run.method.state_dict().items():
        assert torch.equal(again.method.state_dict()[name], tensor), name
    assert again.probes == run.probes
    config["out"] = str(tmp_path / "again")
    assert yaml.safe_load((tmp_path / "again" / "config.yaml").read_text()) == config


def test_refuses_to_overwrite_and_names_both_ways_out(tiny: Tiny, finished: Finished) -> None:
    out = finished[0].out
    assert out is not None
    with pytest.raises(UserError, match=r"not empty.*--resume.*--out.*a run-2"):
        train(**tiny, out=out, echo=quiet)
    with pytest.raises(UserError, match="is a file"):
        train(**tiny, out=out / "config.yaml", echo=quiet)


def test_resuming_a_finished_run_says_so_and_changes_nothing(
    tiny: Tiny, finished: Finished
) -> None:
    run, _ = finished
    assert run.out is not None
    before = {p.name: p.stat().st_mtime_ns for p in run.out.iterdir()}
    lines: list[str] = []
    again = train(**tiny, out=run.out, resume=True, echo=lines.append)
    assert "this run is finished" in lines[0] and again.verdict == run.verdict
    assert len(again.metrics) == len(run.metrics)
    assert before == {p.name: p.stat().st_mtime_ns for p in run.out.iterdir()}


def test_resuming_with_other_settings_shows_the_difference(tiny: Tiny, finished: Finished) -> None:
    out = finished[0].out
    with pytest.raises(UserError, match=r"changed settings: views: .* -> none; lr: 0.001 -> 0.5"):
        train(**{**tiny, "lr": 0.5, "views": "none"}, out=out, resume=True, echo=quiet)


def stopper(signum: int, at: str, lines: list[str]) -> Callable[[str], None]:
    """An echo that sends a signal to this process at the first line that begins so."""

    def echo(line: str) -> None:
        lines.append(line)
        if line.startswith(at) and not any(x.startswith(at) for x in lines[:-1]):
            signal.raise_signal(signum)

    return echo


@pytest.mark.parametrize(
    ("signum", "at", "code"),
    [
        (signal.SIGINT, "forecast", 130),
        (signal.SIGTERM, "epoch 1", 143),
        (signal.SIGINT, "data:", 130),
        (signal.SIGINT, "epoch 2", 130),
    ],
)
def test_interrupted_run_goes_on_to_the_same_numbers(
    tiny: Tiny, finished: Finished, tmp_path: Path, signum: int, at: str, code: int
) -> None:
    lines: list[str] = []
    given = {**tiny, "epochs": 2}
    stopped_late = at == "epoch 2"
    try:
        train(**given, out=tmp_path / "b", echo=stopper(signum, at, lines))
        assert stopped_late  # all steps were done: the run may go to its end
    except Interrupted as error:
        assert error.code == code
        if at != "data:":
            assert f"--config {tmp_path}/b/config.yaml --resume" in error.resume
            assert error.resume in str(error)
    again = train(**given, out=tmp_path / "b", resume=True, echo=quiet)
    whole = finished[0]
    for name, tensor in whole.method.state_dict().items():
        assert torch.equal(again.method.state_dict()[name], tensor), name
    timing = {"images_per_second", "data_wait", "memory_gb", "seconds"}
    for ours, theirs in zip(again.metrics, whole.metrics, strict=True):
        assert {k: v for k, v in ours.items() if k not in timing} == pytest.approx(
            {k: v for k, v in theirs.items() if k not in timing}, nan_ok=True
        )
    assert again.probes == whole.probes


def test_bad_arguments_leave_nothing_behind(tiny: Tiny, tmp_path: Path) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"batch_size": 300}, r"--batch-size: 300 .* 256"),
        ({"method": "simclrr"}, "Did you mean 'simclr'"),
        ({"encoder": "convnett"}, "Did you mean 'convnet'"),
        ({"views": "simclrr"}, "Did you mean 'simclr'"),
        ({"critic": "bilinear"}, r"--critic: simclr has no such part.*infonce"),
        ({"method": "infonce", "bound": "nwjj"}, "Did you mean 'nwj'"),
        ({"epochs": 0}, "--epochs: 0"),
        ({"lr": float("nan")}, "--lr"),
        ({"data": "no-such-data"}, "--data"),
        ({"log": "csv,mlflow"}, "--log"),
    ]
    for given, words in wrong:
        with pytest.raises(UserError, match=words):
            train(**{**tiny, **given}, out=tmp_path / "out", echo=quiet)
        assert list(tmp_path.iterdir()) == [], given


def test_resume_without_a_run(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder to go on with"):
        train(**tiny, resume=True, echo=quiet)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="no run"):
        train(**tiny, out=tmp_path, resume=True, echo=quiet)


def test_diverged_run_exports_nothing(tiny: Tiny, tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = {**tiny, "lr": 1e30, "optimizer": "sgd", "warmup_epochs": 0.0}
    with pytest.raises(UserError, match=r"--lr"):
        train(**given, out=out, echo=quiet)
    assert not (out / "encoder.safetensors").exists() and not (out / "report.html").exists()


def test_export_refuses_collapsed_and_non_finite(tmp_path: Path) -> None:
    design = Design("simclr", "mlp", Recipe.load("none"), (3, 8, 8))
    method = design.build()
    same = torch.ones(8, 100)
    assert collapsed(same)
    with pytest.raises(UserError, match="collapse"):
        export(method, design, tmp_path, same)
    with torch.no_grad():
        next(method.parameters())[0, 0] = math.nan
    with pytest.raises(UserError, match="not finite"):
        export(method, design, tmp_path, torch.randn(8, 100))
    assert list(tmp_path.iterdir()) == []


def test_exported_encoder_is_the_trained_one(finished: Finished) -> None:
    run, _ = finished
    assert run.out is not None
    images = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
    assert torch.equal(load(run.out)(images), run.method(images))
    space: dict[str, Any] = {}
    exec(read(run.out, "encoder.json")["snippet"], space)  # the snippet runs as printed
    assert space["embeddings"].shape == (2, 128) and not space["embeddings"].requires_grad


def test_split_views_and_partners_train_too(tiny: Tiny, tmp_path: Path) -> None:
    given = {**tiny, "steps": 2, "data": "factors", "evaluate_every": 0}
    given |= {"method": "infonce", "critic": "bilinear", "bound": "nwj", "score_clip": 10.0}
    shared = {"name": "same digit", "partners": ["digit"]}
    run = train(**{**given, "views": shared}, out=tmp_path / "partners", echo=quiet)
    assert run.out is not None
    config = yaml.safe_load((run.out / "config.yaml").read_text())
    assert config["views"] == shared
    split = {"name": "Lab", "split": {"color_space": {}}}
    run = train(**{**given, "views": split}, out=tmp_path / "split", echo=quiet)
    images = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
    assert len(run.method.encoders) == 2 and run.method(images).shape == (4, 256)
    assert run.out is not None and torch.equal(load(run.out)(images), run.method(images))


def test_without_labels_the_table_says_so(tiny: Tiny, tmp_path: Path) -> None:
    lines: list[str] = []
    run = train(**{**tiny, "labels": "none", "steps": 4}, out=tmp_path / "a", echo=lines.append)
    assert "no labels" in lines[0] and run.verdict.startswith("no verdict")
    assert all(row["rankme"] >= 1 for row in run.probes["rows"])
    assert not (tmp_path / "a" / "confusions.json").exists()
    assert (tmp_path / "a" / "report.html").exists()


def test_without_out_nothing_is_written(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).integers(0, 256, (64, 16, 16, 3), dtype=np.uint8)
    given = {**tiny, "data": x, "batch_size": 16, "steps": 2, "max_images": None}
    run = train(**given, echo=quiet)
    assert run.out is None and list(tmp_path.iterdir()) == []
    assert not any(p.requires_grad for p in run.method.parameters()) and not run.method.training


def test_full_disk_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no space left.*MB free.*--resume"), disk_guard(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(UserError, match="may not be written"), disk_guard(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path))
    with pytest.raises(ValueError, match="mine"), disk_guard(tmp_path):
        raise ValueError("mine")


def test_design_survives_plain_values() -> None:
    method = Design("simclr", "mlp", Recipe.load("none"), (3, 8, 8)).build(seed=3)
    same = Design.from_dict(
        Design("simclr", "mlp", Recipe.load("none"), (3, 8, 8)).to_dict()
    ).build(seed=3)
    for name, tensor in method.state_dict().items():
        assert torch.equal(same.state_dict()[name], tensor)
