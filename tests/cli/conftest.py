"""The real command, in this process or its own, and a small folder of images."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from goodviews.cli import main


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    def mistake(self, *words: str, code: int = 2) -> None:
        """It said one line on stderr with ``words`` in it, no traceback, and the exit code."""
        assert self.code == code, (self.code, self.out, self.err)
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("goodviews: ")
        assert "Traceback" not in self.out + self.err
        assert "usage:" not in self.out + self.err
        for word in words:
            assert word in self.err, (word, self.err)


Command = Callable[..., Ended]


@pytest.fixture
def goodviews(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run the command in this process: ``goodviews("list", "data")``."""
    monkeypatch.delenv("GOODVIEWS_DEBUG", raising=False)

    def run(*words: object) -> Ended:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Ended(code, *capsys.readouterr())

    return run


def environment(**more: str) -> dict[str, str]:
    """A process's environment: one thread, no debug."""
    kept = {k: v for k, v in os.environ.items() if k not in ("GOODVIEWS_DEBUG", "COVERAGE_FILE")}
    return {**kept, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default", **more}


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the command as a process of its own, in an empty folder; stopped at the end."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: object, **more: str) -> subprocess.Popen[str]:
        (tmp_path / "cwd").mkdir(exist_ok=True)
        child = subprocess.Popen(
            [sys.executable, "-m", "goodviews", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path / "cwd",
            env=environment(**more),
        )
        started.append(child)
        return child

    yield start
    for child in started:
        if child.poll() is None:
            child.kill()
        child.communicate()


def draw(path: Path, seed: int, side: int = 16) -> None:
    """Write one small colourful image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two class folders with 20 images each, 16x16."""
    for i in range(40):
        draw(tmp_path / "photos" / ("cat", "dog")[i % 2] / f"{i:02d}.png", i)
    return tmp_path / "photos"


@pytest.fixture
def quickly() -> tuple[str, ...]:
    """Options that make a run of `train` take a second."""
    return ("--epochs", "1", "--batch-size", "8", "--encoder", "linear", "--device", "cpu",
            "--precision", "32", "--log", "csv")  # fmt: skip


def files(*folders: Path) -> set[Path]:
    """Every file below the folders."""
    return {path for folder in folders for path in folder.rglob("*") if path.is_file()}
