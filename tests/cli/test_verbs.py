"""The verbs end to end on a small folder, in this process."""

from __future__ import annotations

import csv
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from goodviews.cli.options import KINDS

Command = Callable[..., Any]
Quickly = tuple[str, ...]

CATALOGUES = {
    "methods": "goodviews.methods.METHODS",
    "presets": "goodviews.studies.presets.PRESETS",
    "encoders": "goodviews.encoders.ENCODERS",
    "views": "goodviews.views.RECIPES",
    "families": "goodviews.views.FAMILIES",
    "critics": "goodviews.critics.CRITICS",
    "bounds": "goodviews.bounds.BOUNDS",
    "estimators": "goodviews.estimators.ESTIMATORS",
    "studies": "goodviews.studies.catalogue.STUDIES",
    "data": "goodviews.data.DATA",
    "graphs": "goodviews.data.graphs.named_graphs",
    "graph-methods": "goodviews.methods.graphs.GRAPH_METHODS",
    "graph-views": "goodviews.views.graphs.GRAPH_RECIPES",
    "graph-families": "goodviews.views.graphs.GRAPH_FAMILIES",
}


@pytest.mark.parametrize("kind", KINDS)
def test_list(goodviews: Command, kind: str) -> None:
    """Each entry of the catalogue has its line: name, then words about it."""
    place, _, name = CATALOGUES[kind].rpartition(".")
    entries = getattr(importlib.import_module(place), name)
    ended = goodviews("list", kind)
    assert (ended.code, ended.err) == (0, "")
    lines = {line.split()[0]: line.split()[1:] for line in ended.out.splitlines()}
    assert set(entries() if callable(entries) else entries) <= set(lines)
    assert all(words for words in lines.values())


def test_preview(goodviews: Command, photos: Path, tmp_path: Path) -> None:
    """A contact sheet; the same seed draws the same; the path is printed."""
    sheets = [tmp_path / name for name in ("a.png", "b.png", "c.png")]
    for sheet, seed in zip(sheets, (0, 0, 1), strict=True):
        words = ("--data", photos, "--views", "moco-v2", "--n", 4, "--seed", seed, "--out", sheet)
        ended = goodviews("views", "preview", *words)
        assert (ended.code, ended.err) == (0, "")
        assert ended.out.splitlines()[-1] == str(sheet)
    same, again, other = (np.asarray(Image.open(sheet)) for sheet in sheets)
    assert same.std() > 0
    np.testing.assert_array_equal(same, again)
    assert same.shape != other.shape or (same != other).any()


def test_preview_warns_of_conflicts(goodviews: Command, tmp_path: Path) -> None:
    """Flipped digits are remarked on; the warning is output, not an error."""
    words = ("--data", "digits", "--views", "simclr", "--out", tmp_path / "sheet.png", "--n", 2)
    ended = goodviews("views", "preview", *words)
    assert ended.code == 0
    assert "horizontal_flip" in ended.out


def test_preview_of_pairs(goodviews: Command, tmp_path: Path) -> None:
    """A recipe with partners draws another image as second view."""
    (tmp_path / "pairs.yaml").write_text("name: digit\npartners: [digit]\nops: []\n")
    words = (
        "--views",
        tmp_path / "pairs.yaml",
        "--out",
        tmp_path / "sheet.png",
        "--max-images",
        64,
    )
    assert goodviews("views", "preview", *words).code == 0
    words = ("--data", "digits", *words)
    goodviews("views", "preview", *words[:-2], "--max-images", 64)


@pytest.fixture
def run(goodviews: Command, photos: Path, tmp_path: Path, quickly: Quickly) -> Path:
    """A finished run."""
    words = ("--data", photos, "--out", tmp_path / "run", "--no-probes", "--seed", 3)
    ended = goodviews("train", "simclr", *words, *quickly)
    assert (ended.code, ended.err) == (0, "")
    return tmp_path / "run"


def test_a_run_is_reproduced_from_its_config(goodviews: Command, run: Path, tmp_path: Path) -> None:
    """`train --config RUN/config.yaml --out NEW` makes the same weights and the same config."""
    again = tmp_path / "again"
    ended = goodviews("train", "--config", run / "config.yaml", "--out", again)
    assert (ended.code, ended.err) == (0, "")
    weights = [folder / "encoder.safetensors" for folder in (run, again)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    configs = [yaml.safe_load((folder / "config.yaml").read_text()) for folder in (run, again)]
    assert configs[0].pop("out") != configs[1].pop("out")
    assert configs[0] == configs[1]
    other = tmp_path / "other"
    goodviews("train", "--config", run / "config.yaml", "--out", other, "--seed", 4)
    assert (other / "encoder.safetensors").read_bytes() != weights[0].read_bytes()


def test_embed_evaluate_report(goodviews: Command, run: Path, photos: Path, tmp_path: Path) -> None:
    """What follows a run: vectors, the table with its baselines, the page."""
    out = tmp_path / "vectors" / "photos.npz"
    ended = goodviews("embed", run, "--data", photos, "--out", out)
    assert (ended.code, ended.err) == (0, "")
    assert str(out) in ended.out
    with np.load(out) as vectors:
        shapes = {name: vectors[name].shape for name in vectors.files}
    assert (40, 128) in shapes.values(), shapes
    table = tmp_path / "photos.csv"
    assert goodviews("embed", run, photos, "--out", table).code == 0
    with table.open(newline="") as lines:
        assert len(list(csv.reader(lines))) == 41
    ended = goodviews("evaluate", run, "--probe", "knn")
    assert (ended.code, ended.err) == (0, "")
    for row in ("raw pixels", "untrained network", "this run"):
        assert row in ended.out
    (run / "report.html").unlink()
    ended = goodviews("report", run)
    assert (ended.code, ended.err) == (0, "")
    assert (run / "report.html").exists()
    assert str(run / "report.html") in ended.out


def test_choose_and_train_on_its_recipe(
    goodviews: Command, photos: Path, tmp_path: Path, quickly: Quickly
) -> None:
    """A tiny study writes its files, and its recipe goes straight into `train`."""
    study = tmp_path / "study"
    words = ("--data", photos, "--families", "crop-scale=0.2:0.8", "--seeds", 1, "--steps", 2,
             "--batch-size", 8, "--encoder", "linear", "--out", study, "--device",
             "cpu")  # fmt: skip
    ended = goodviews("choose", *words)
    assert (ended.code, ended.err) == (0, "")
    for name in ("rows.jsonl", "recipe.yaml", "study.json", "report.html", "data_report.json"):
        assert (study / name).exists(), name
    rows = (study / "rows.jsonl").read_text()
    assert goodviews("choose", *words).code == 0
    assert (study / "rows.jsonl").read_text() == rows
    page = study / "report.html"
    page.unlink()
    assert goodviews("report", study).code == 0
    assert page.exists()
    recipe = ("--views", study / "recipe.yaml", "--out", tmp_path / "run", "--no-probes")
    assert goodviews("train", "--data", photos, *quickly, *recipe).code == 0
