"""One small finished run, shared by the tests that only read it."""

from pathlib import Path
from typing import Any

import pytest

from goodviews.studies.runs import Run, train

TINY: dict[str, Any] = {
    "data": "digits",
    "max_images": 256,
    "epochs": 2,
    "batch_size": 64,
    "encoder": "convnet-half",
    "views": "amdim-cifar",
    "image_size": 16,
    "device": "cpu",
    "precision": "32",
    "log": ("csv",),
    "baseline_seeds": 1,
}


@pytest.fixture
def tiny() -> dict[str, Any]:
    """Arguments of a run of about a second."""
    return dict(TINY)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, list[str]]:
    """A finished run and what it printed."""
    lines: list[str] = []
    out: Path = tmp_path_factory.mktemp("runs") / "a run"
    return train(**TINY, out=out, echo=lines.append), lines
