"""`goodviews evaluate`: several probes, protocols, transfer, and what cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]


@pytest.fixture
def run(goodviews: Command, photos: Path, tmp_path: Path, quickly: tuple[str, ...]) -> Path:
    """A finished run."""
    words = ("--data", photos, "--out", tmp_path / "run", "--no-probes")
    assert goodviews("train", *words, *quickly).code == 0
    return tmp_path / "run"


def test_probes_and_protocols(goodviews: Command, run: Path) -> None:
    """Each list of probes and protocol has a file of its own; a config may name them too."""
    fast = ("--baseline-seeds", 1, "--device", "cpu")
    for words, file in (
        (("--probe", "linear,knn"), "evaluate-linear-knn.json"),
        (("--probe", "linear,", "mlp", "--protocol", "paper", "--epochs", 2),
         "evaluate-linear-mlp-paper-2-epochs.json"),
        (("--protocol=sgd", "--batch-size=8"), "evaluate-linear-sgd-batch-8.json"),
        (("--protocol", "paper", "--epochs", 1, "--logit-clip", "none", "--augment"),
         "evaluate-linear-paper-1-epochs-raw-logits-augment.json"),
    ):  # fmt: skip
        ended = goodviews("evaluate", run, *words, *fast)
        assert (ended.code, ended.err) == (0, "")
        assert "encoder trained on: photos, probed on: photos (" in ended.out
        assert f"written: {run / file}" in ended.out
        table = json.loads((run / file).read_text())
        assert table["rows"][-1]["name"] == "this run"
        assert ended.out.count("verdict: ") == len(table["verdicts"])
    config = run.parent / "probes.yaml"
    config.write_text("probe: [knn, linear]\nbaseline_seeds: 0\n")
    assert goodviews("evaluate", run, "--config", config).code == 0
    assert (run / "evaluate-knn-linear.json").exists()


def test_transfer(goodviews: Command, run: Path) -> None:
    """Other data, smaller than the encoder's images."""
    words = ("--max-images", 64, "--probe", "knn", "--baseline-seeds", 1)
    ended = goodviews("evaluate", run, "digits", *words)
    assert (ended.code, ended.err) == (0, "")
    assert "encoder trained on: photos, probed on: digits (64 training" in ended.out
    assert ", 16x16)" in ended.out


def test_what_cannot_be(goodviews: Command, run: Path) -> None:
    """One line, exit 2."""
    for words, told in (
        (("--probe", "linear,mpl"), ["--probe", "Did you mean 'mlp'"]),
        (("--probe", ","), ["--probe", "linear,mlp"]),
        (("--probe", "knn", "--protocol", "paper"), ["--protocol paper", "linear and mlp", "knn"]),
        (("--probe", "mlp", "--protocol", "sgd"), ["--protocol sgd", "mlp"]),
        (("--protocol", "papr"), ["--protocol", "Did you mean 'paper'"]),
        (("--augment",), ["--augment", "--protocol paper"]),
        (("--epochs", "5"), ["--epochs", "linear", "--protocol paper"]),
        (("--epochs", "0"), ["--epochs", "1 or more"]),
        (("--logit-clip", "0", "--protocol", "paper"), ["--logit-clip", "more than 0"]),
        (("--probe", "knn", "--bn-refresh"), ["--bn-refresh", "knn"]),
        (("--bn-refresh", "--baseline-seeds", "0"), ["--bn-refresh", "no batch norm"]),
    ):
        goodviews("evaluate", run, *words).mistake(*told)
    assert not list(run.glob("evaluate*"))


def test_help_names_them(goodviews: Command) -> None:
    """The protocols, and what the transductive row is."""
    text = " ".join(goodviews("evaluate", "--help").out.split())
    for words in ("linear, mlp, knn, finetune", "modern or sgd or paper", "transductive",
                  "evaluate run --probe linear,mlp --protocol paper", "transfer"):  # fmt: skip
        assert words in text, words
