"""The comparison of methods: equal encoders and memories, its claims, a small run to the page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from goodviews.data import Loaded, load
from goodviews.interfaces import Row
from goodviews.methods import METHODS
from goodviews.studies.catalogue import study
from goodviews.studies.claims import judge
from goodviews.studies.conclude import UNTRAINED
from goodviews.studies.infomin.methods import (
    CONTENDERS,
    MEMORY,
    ORDERS,
    VIEW_METHODS,
    claims,
    options_of,
)
from goodviews.views import RECIPES


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Sixty noisy images of three classes."""
    path = tmp_path_factory.mktemp("colours") / "c.npz"
    images = np.random.default_rng(0).integers(0, 255, (60, 32, 32, 3), dtype=np.uint8)
    np.savez(path, images=images, labels=np.arange(60) % 3)
    return str(path)


@pytest.fixture(scope="module")
def loaded(colours: str) -> Loaded:
    return load(colours)


def sizes(module: Any) -> list[tuple[int, ...]]:
    return [tuple(weight.shape) for weight in module.parameters()]


def test_each_contender_has_its_method_and_its_recipe(loaded: Loaded) -> None:
    for point in VIEW_METHODS.points(loaded):
        own = RECIPES[CONTENDERS[point.name].recipe]
        assert point.value in METHODS and point.recipe.name == point.name
        assert (point.recipe.ops, point.recipe.shared) == (own.ops, own.shared)
        assert (point.recipe.split, point.recipe.mean) == (own.split, own.mean)


def test_equal_encoders_and_memories(loaded: Loaded) -> None:
    """One convnet of 256 features for all; two of 128 for cmc; amdim has its own."""
    jobs = {job.candidate: job for job in VIEW_METHODS.jobs(VIEW_METHODS.points(loaded), 1)}
    jobs.pop("raw pixels")
    made = {name: VIEW_METHODS.made(job, VIEW_METHODS.quick, loaded) for name, job in jobs.items()}
    common = sizes(made[UNTRAINED].encoders)
    images = loaded.test.images([0, 1])
    for name, method in made.items():
        assert method.eval()(images).shape == (2, 256)
        assert (sizes(method.encoders) == common) == (name not in ("cmc", "amdim"))
    assert [encoder.dim for encoder in made["cmc"].encoders] == [128, 128]
    n = len(loaded.train)
    for name in ("instdis", "pirl", "cmc"):
        assert options_of(name, n, MEMORY) == {"images": n, "negatives": 4096}
    for name in ("moco", "moco-v2", "infomin"):
        queue = {"images": n, "negatives": 4096, "momentum_encoder": 0.99}
        assert options_of(name, n, MEMORY) == queue
    assert options_of("simclr", n, MEMORY) == options_of("amdim", n, MEMORY) == {}
    assert all(getattr(made[name], "jigsaw", None) is not None for name in ("pirl", "infomin"))


def test_claims_are_the_published_order() -> None:
    """Rows with the paper's accuracies show every claim, reversed rows none."""
    published = {
        name: float(re.match(r"[\d.]+", entry.paper)[0]) / 100  # type: ignore[index]
        for name, entry in CONTENDERS.items()
    }
    for sign, verdict in ((1, "shown"), (-1, "not shown")):
        rows = [
            Row("candidate", name, seed, linear=sign * value + 1e-4 * seed, knn=sign * value)
            for name, value in published.items()
            for seed in (0, 1)
        ]
        judged = judge(rows, claims(list(CONTENDERS), ["linear"]))
        assert [claim["verdict"] for claim in judged] == [verdict] * 2 * len(ORDERS)
    assert all(
        paper == f"{100 * published[a]:.1f} against {100 * published[b]:.1f}"
        for a, b, paper in ORDERS
    )
    assert claims(["moco", "cmc"], ["linear"]) == []


def test_every_method_runs_to_the_page_and_resumes(colours: str, tmp_path: Path) -> None:
    call: dict[str, Any] = {
        "seeds": 1,
        "steps": 2,
        "batch_size": 16,
        "encoder": "convnet-half",
        "device": "cpu",
        "precision": "32",
        "out": tmp_path / "s",
    }
    said: list[str] = []
    found = study("view-methods", colours, **call, echo=said.append)
    assert [row.candidate for row in found.rows][2:] == list(CONTENDERS)
    assert [row.error for row in found.rows] == [""] * 10
    assert all(row.linear is not None and row.knn is not None for row in found.rows)
    assert all(row.nats is not None and row.steps == 2 for row in found.rows[2:])
    assert (tmp_path / "s" / "report.html").stat().st_size > 100_000
    table = (tmp_path / "s" / "table.md").read_text()
    assert "kNN" in table and "70.1 (200)" in table and "untrained network" in table
    assert [panel["kind"] for panel in found.record["panels"]] == ["bars", "bars", "plane"]
    again: list[str] = []
    study("view-methods", colours, **call, echo=again.append)
    assert any("resuming: 10 of 10" in line for line in again)
