"""The command as a process of its own: quick help, signals, exit codes, pipes, a clean house."""

from __future__ import annotations

import csv
import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from goodviews.training import load_checkpoint

Command = Callable[..., Any]
Quickly = tuple[str, ...]

Start = Callable[..., "subprocess.Popen[str]"]

HEAVY = ("torch", "lightning", "sklearn", "plotly", "scipy", "torchvision", "numpy", "PIL")


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"]])
def test_help_is_quick(process: Start, words: list[str]) -> None:
    """Less than half a second from start to end (the best of three on a busy machine)."""
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        child = process(*words)
        out, err = child.communicate(timeout=60)
        seconds.append(time.perf_counter() - began)
        assert (child.returncode, err) == (0, "")
        assert out
    assert min(seconds) < 0.5, seconds


def test_help_imports_nothing_heavy() -> None:
    """No library of numbers or pictures is imported to print help or to correct a typo."""
    script = (
        "import sys; from goodviews.cli import main\n"
        "for words in (['--help'], ['train', '--help'], ['trian'], ['train', '--lrr', '1']):\n"
        "    main(words)\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_mistakes_end_with_code_2(process: Start, tmp_path: Path) -> None:
    """Exit code, one line, no traceback, no warnings, no colour: as a shell sees it."""
    child = process("choose", "--data", tmp_path / "nowhere", NO_COLOR="1")
    out, err = child.communicate(timeout=120)
    assert child.returncode == 2
    assert err.startswith("goodviews: --data")
    assert len(err.splitlines()) == 1
    assert "\x1b" not in out + err


def test_a_reader_that_has_enough() -> None:
    """`goodviews --help | true`: the pipe is closed, and nothing is said about it."""
    command = f"(sleep 0.3; {sys.executable} -m goodviews train --help; echo code $? >&2) | true"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
    assert done.stderr.split() == ["code", str(128 + signal.SIGPIPE)]


def wait_for(child: subprocess.Popen[str], ready: Callable[[], bool], seconds: float = 90) -> None:
    """Until ``ready``, while the process lives."""
    end = time.monotonic() + seconds
    while not ready():
        if child.poll() is not None:
            pytest.fail(f"ended too early: {child.communicate()}")
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_goes_on(
    process: Start,
    goodviews: Command,
    photos: Path,
    tmp_path: Path,
    number: int,
    quickly: Quickly,
) -> None:
    """Exit 130 or 143 within 5 s, nothing exported, and the printed command finishes the run."""
    out = tmp_path / "run"
    child = process("train", "simclr", "--data", photos, "--out", out, "--no-probes", *quickly,
                    "--epochs", 60, "--evaluate-every", 0)  # fmt: skip
    wait_for(child, (out / "checkpoints" / "last.ckpt").exists)
    began = time.monotonic()
    child.send_signal(number)
    _, err = child.communicate(timeout=30)
    assert time.monotonic() - began < 5
    assert child.returncode == 128 + number
    assert len(err.splitlines()) == 1
    assert "Traceback" not in err
    assert not (out / "encoder.safetensors").exists()
    command = err[err.index("goodviews train") :].split()[1:]
    assert "--resume" in command
    ended = goodviews(*command)
    assert (ended.code, ended.err) == (0, "")
    assert (out / "encoder.safetensors").exists()
    with (out / "metrics.csv").open(newline="") as lines:
        epochs = [int(row["epoch"]) for row in csv.DictReader(lines)]
    assert epochs == list(range(1, 61))
    assert "finished" in goodviews(*command).out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_study_goes_on(
    process: Start, goodviews: Command, photos: Path, tmp_path: Path, number: int
) -> None:
    """`choose` stopped: exit 130 or 143, its rows stay, the same command does the rest."""
    out = tmp_path / "study"
    words = ["choose", "--data", photos, "--families", "crop-scale=0.2:0.5:0.8", "--seeds", "1",
             "--steps", "50", "--batch-size", "8", "--encoder", "linear", "--out", out,
             "--device", "cpu"]  # fmt: skip
    child = process(*words)
    rows = out / "rows.jsonl"
    wait_for(child, lambda: rows.exists() and '"candidate"' in rows.read_text())
    time.sleep(0.1)
    child.send_signal(number)
    _, err = child.communicate(timeout=30)
    assert child.returncode == 128 + number, err
    assert len(err.splitlines()) == 1
    assert "same command" in err
    assert not [path for path in out.rglob(".*")]
    kept = rows.read_text()
    assert goodviews(*words).code == 0
    text = rows.read_text()
    assert text.startswith(kept)
    found = [json.loads(line) for line in text.splitlines()]
    assert {row["status"] for row in found} == {"done"}
    names = [(row["candidate"], row["seed"]) for row in found]
    assert len(names) == len(set(names)) == 3 + 2


def test_files_that_may_not_grow(photos: Path, tmp_path: Path, quickly: Quickly) -> None:
    """A quota (here: files of at most 100 KiB) ends like a full disk."""
    words = ["train", "--data", str(photos), "--out", "run", *quickly]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100 * 1024, 100 * 1024))

    done = subprocess.run(
        [sys.executable, "-B", "-m", "goodviews", *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        preexec_fn=limit,
        timeout=120,
    )
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "Free some space" in done.stderr
    assert not (tmp_path / "run" / "encoder.safetensors").exists()
    assert not list((tmp_path / "run").rglob(".*"))


def test_nothing_is_written_elsewhere(
    process: Start, photos: Path, tmp_path: Path, quickly: Quickly
) -> None:
    """Not in the working folder, not in the home folder, not in the folder of temporary files."""
    places = {name: tmp_path / name for name in ("home", "temporary", "cwd")}
    for place in places.values():
        place.mkdir(exist_ok=True)
    before = sorted(photos.rglob("*"))
    more = {"HOME": str(places["home"]), "TMPDIR": str(places["temporary"])}
    out = tmp_path / "run"
    words = (*quickly, "--log", "csv,tensorboard", "--data", photos, "--out", out)
    child = process("train", *words, **more)
    _, err = child.communicate(timeout=120)
    assert (child.returncode, err) == (0, "")
    assert {path.name for path in tmp_path.iterdir()} == {*places, "photos", "run"}
    for place in places.values():
        assert list(place.rglob("*")) == [], place
    assert sorted(photos.rglob("*")) == before
    assert (out / "encoder.safetensors").exists()


def test_a_killed_amdim_run_ends_in_the_same_numbers(
    process: Start, photos: Path, tmp_path: Path
) -> None:
    """Kill -9 in the middle of an epoch, then --resume: the numbers of a run left alone."""
    words = ["train", "amdim", "--data", photos, "--epochs", 3, "--batch-size", 4, "--device",
             "cpu", "--precision", "32", "--log", "csv", "--no-probes", "--save-every", 1,
             "--warmup-steps", 2]  # fmt: skip
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    alone = process(*words, "--out", whole)
    assert alone.communicate(timeout=120)[1] == ""
    child = process(*words, "--out", parts)
    checkpoint = parts / "checkpoints" / "last.ckpt"
    wait_for(child, lambda: checkpoint.exists() and 9 <= _step(checkpoint) < 14)  # 8 an epoch
    child.kill()
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    assert not (parts / "encoder.safetensors").exists()
    again = process(*words, "--out", parts, "--resume")
    assert "resumed: epoch 2" in again.communicate(timeout=120)[0]
    assert _numbers(parts) == _numbers(whole)
    card, other = (json.loads((out / "encoder.json").read_text()) for out in (whole, parts))
    assert card["sha256"] == other["sha256"]


def _step(checkpoint: Path) -> int:
    return int(load_checkpoint(checkpoint)["journal"]["step"])


def _numbers(out: Path) -> list[dict[str, str]]:
    """The lines of metrics.csv without what a clock or the memory decides."""
    timings = {"images_per_second", "data_wait", "memory_gb", "seconds"}
    with (out / "metrics.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    return [{name: x for name, x in row.items() if name not in timings} for row in rows]
