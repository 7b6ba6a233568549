"""What a run's views, representation and labels share: each number by a second road."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from goodviews.cli import main
from goodviews.data import Images
from goodviews.estimators.estimate import Ask, estimate
from goodviews.evaluation.features import extract, labels_of
from goodviews.evaluation.probes import linear_probe
from goodviews.interfaces import Estimate, UserError
from goodviews.studies.estimates import (
    PAIRS,
    Directions,
    information_of_run,
    probe_bound,
    with_labels,
)
from goodviews.studies.evaluate import open_data
from goodviews.studies.frozen import load
from goodviews.studies.runs import Run, train

ASK = Ask("ksg", shuffles=19)


@pytest.fixture(scope="module")
def rows(finished: tuple[Run, list[str]]) -> dict[str, Any]:
    """The measurements of the small run."""
    run, _ = finished
    assert run.out is not None
    return information_of_run(run.out, ASK)


def test_the_four_numbers(rows: dict[str, Any]) -> None:
    """Each has an error and a null; the ceilings are those of images and labels."""
    assert list(rows) == ["I(v1;v2)", "I(z1;z2)", "I(z;y)", "I(z;y) probe"]
    assert all(isinstance(found, Estimate) for found in rows.values())
    for found in rows.values():
        assert math.isfinite(found.nats)
        assert found.stderr > 0
        assert found.null is not None
    assert rows["I(v1;v2)"].kind == rows["I(z;y) probe"].kind == "lower"
    assert rows["I(v1;v2)"].nats <= math.log(rows["I(v1;v2)"].candidates)
    assert rows["I(z;y)"].nats <= math.log(10) + 0.1
    assert 1 < rows["I(z;y) probe"].nats < math.log(10)
    assert rows["I(z;y)"].p_value == 0.05


def test_principal_directions_are_told(rows: dict[str, Any]) -> None:
    """The warning names how many of how many, and their share of the variance."""
    for name in ("I(z1;z2)", "I(z;y)"):
        assert any("principal directions" in line for line in rows[name].warnings)
    assert not any("principal directions" in line for line in rows["I(z;y) probe"].warnings)


def test_the_probe_bound_is_the_probe(finished: tuple[Run, list[str]]) -> None:
    """H(y) - cross-entropy of the linear probe on the same images."""
    run, _ = finished
    assert run.out is not None
    method, loaded = load(run.out), open_data(run.out, None, 16)
    found = probe_bound(method, loaded.train, loaded.test)
    task = [extract(method, loaded.train), labels_of(loaded.train)]
    probe = linear_probe(*task, extract(method, loaded.test), labels_of(loaded.test))
    assert found.nats == pytest.approx(probe.label_nats, abs=0.02)  # it mixes in a floor
    assert found.rows == len(loaded.test)


def test_directions_are_those_of_numpy() -> None:
    """Principal directions by the eigenvectors of the covariance; share of variance too."""
    z = torch.from_numpy(np.random.default_rng(0).normal(size=(50, 4)) * [5, 3, 1, 0.5] + 7)
    found = Directions.fit(z, 2)
    values, vectors = np.linalg.eigh(np.cov(z.numpy().T))
    expected = (z.numpy() - z.numpy().mean(0)) @ vectors[:, ::-1][:, :2]
    np.testing.assert_allclose(np.abs(found.of(z)), np.abs(expected), atol=1e-9)
    assert found.kept == pytest.approx(values[::-1][:2].sum() / values.sum())


def test_labels_by_hand(finished: tuple[Run, list[str]]) -> None:
    """I(z;y) is `estimate` of the directions and the labels."""
    run, _ = finished
    assert run.out is not None
    method, loaded = load(run.out), open_data(run.out, None, 16)
    assert len(loaded.test) < PAIRS
    found = with_labels(method, loaded.train, loaded.test, ASK)
    width = int(found.warnings[0].split(" of ")[0].rsplit(" ", 1)[1])
    part = Directions.fit(extract(method, loaded.train), width)
    z, y = part.of(extract(method, loaded.test)), labels_of(loaded.test).numpy()
    assert found.nats == pytest.approx(estimate(z, y, "ksg", shuffles=0, discrete_y=True).nats)


def test_a_run_without_labels(tmp_path: Path, tiny: dict[str, Any]) -> None:
    """The other numbers stand; the labels' rows say why there are none."""
    pixels = torch.randint(0, 256, (200, 3, 16, 16), dtype=torch.uint8)
    path = tmp_path / "images.npz"
    np.savez(path, images=Images(pixels, "noise").pixels.permute(0, 2, 3, 1).numpy())
    given = tiny | {"data": str(path), "epochs": 1, "probes": False, "out": tmp_path / "run"}
    train(**given, echo=lambda line: None)
    told: list[str] = []
    found = information_of_run(tmp_path / "run", ASK, told=lambda name, _: told.append(name))
    assert told == list(found)
    assert "no labels" in str(found["I(z;y)"])
    assert isinstance(found["I(z;y) probe"], str)
    assert isinstance(found["I(v1;v2)"], Estimate)


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    """Told before anything is loaded."""
    with pytest.raises(UserError, match="nowhere: no such folder"):
        information_of_run(tmp_path / "nowhere")


def test_the_command(
    finished: tuple[Run, list[str]],
    capsys: pytest.CaptureFixture[str],
    rows: dict[str, Any],
) -> None:
    """A table for people, JSON for programs, the same numbers."""
    run, _ = finished
    words = ["estimate", "--run", str(run.out), "--method", "ksg", "--shuffles", "19"]
    printed: Callable[[], str] = lambda: capsys.readouterr().out  # noqa: E731
    assert main(words) == 0
    head, *lines = printed().splitlines()
    assert head.startswith("held-out images")
    for line, (name, found) in zip(lines, rows.items(), strict=False):
        assert line.startswith(name)
        assert f"{found.nats:.3f}" in line
    assert main([*words, "--json"]) == 0
    table = json.loads(printed())
    assert {n: e["nats"] for n, e in table["estimates"].items()} == pytest.approx(
        {name: found.nats for name, found in rows.items()}
    )
