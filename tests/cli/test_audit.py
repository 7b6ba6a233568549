"""`goodviews audit` through the command: a run from start to end, its page, its mistakes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from goodviews.studies.audit import bank, every, fresh, own, shape

Command = Callable[..., Any]


@pytest.fixture
def run(
    goodviews: Command,
    photos: Path,
    tmp_path: Path,
    quickly: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A finished run on 40 photos, and audits of seconds."""
    for place, name, value in (
        (fresh, "STEPS", 4),
        (fresh, "LOOK", 2),
        (bank, "DRAWS", 2),
        (own, "PAIRS", 8),
        (own, "SETS", 2),
        (shape, "IMAGES", 2),
        (every, "KINDS", {"bilinear": fresh.KINDS["bilinear"]}),
    ):
        monkeypatch.setattr(place, name, value)
    words = ("--data", photos, "--out", tmp_path / "run", "--no-probes")
    assert goodviews("train", *words, *quickly).code == 0
    return tmp_path / "run"


def test_an_audit_and_its_page(goodviews: Command, run: Path) -> None:
    """The verdict is said and kept; the page can be made again; other settings are refused."""
    words = ("audit", run, "--seeds", 1, "--device", "cpu")
    ended = goodviews(*words)
    assert (ended.code, ended.err) == (0, "")
    record = json.loads((run / "audit" / "audit.json").read_text())
    assert f"verdict: {record['verdict']['line']}" in ended.out
    assert "raw pixels" in ended.out and f"page: {run / 'audit' / 'report.html'}" in ended.out
    assert record["command"].startswith("goodviews audit --run ")
    (run / "audit" / "report.html").unlink()
    assert goodviews("report", run / "audit").code == 0
    assert (run / "audit" / "report.html").is_file()
    assert "raw pixels: kept from before" in goodviews(*words).out
    goodviews("audit", run, "--seeds", 2).mistake("--out", "other settings", "seeds")


def test_mistakes(goodviews: Command, run: Path, photos: Path, tmp_path: Path) -> None:
    """One line, exit 2, nothing written."""
    (tmp_path / "empty").mkdir()
    for words, told in (
        ((), ("RUN is missing", "goodviews audit run")),
        ((tmp_path / "nowhere",), ("no such folder", "goodviews train")),
        ((tmp_path / "empty",), ("no encoder.json",)),
        ((run, "--seeds", 0), ("--seeds: 0", "1 or more")),
        ((run, "--data", tmp_path / "none"), ("--data",)),
        ((run, "--max-images", 8), ("held-out images are too few", "8 or more")),
        ((run, "--labels", "nothing.csv"), ("--labels",)),
        ((run, "--out", photos), (str(photos), "holds no audit")),
        ((run, "--see", 1), ("--see", "Did you mean --seed")),
    ):
        goodviews("audit", *words).mistake(*told)
    assert not (run / "audit").exists()
    goodviews("doubt").mistake("Did you mean audit?")
