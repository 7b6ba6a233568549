"""Laws of a run: it resumes to the same numbers, writes where it is told, refuses nonsense."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from goodviews.interfaces import Batch, UserError
from goodviews.training import FitResult, TrainSettings, fit, load_checkpoint
from goodviews.training.journal import COLUMNS, read_rows

sys.path.insert(0, str(Path(__file__).parent))
from tiny import Loader, Tiny

SETTINGS = TrainSettings(epochs=3, batch_size=6, log=("csv",), precision="32")
TIMINGS = {"images_per_second", "data_wait", "memory_gb", "seconds"}


class At(Callback):
    """Does something once, after a step."""

    def __init__(self, step: int, action: Callable[[], None]) -> None:
        self.step, self.action = step, action

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        if trainer.global_step == self.step:
            self.action()


def interrupt(number: int = signal.SIGINT) -> Callable[[], None]:
    return lambda: signal.raise_signal(number)


def weights(method: Tiny) -> list[Tensor]:
    return [tensor.clone() for tensor in method.state_dict().values()]


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def numbers(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k not in TIMINGS} for row in history]


def evaluator(method: Tiny, epoch: int) -> dict[str, float]:
    """Uses and disturbs the random state, as probes do."""
    assert not method.training
    images = Loader(12, 12, seed=99).data
    return {"knn": float(method(images).detach().abs().mean()), "noise": float(torch.rand(()))}


def whole(tmp_path: Path, **changes: object) -> tuple[list[Tensor], FitResult]:
    method = Tiny()
    settings = TrainSettings(**{**SETTINGS.to_dict(), "log": ("csv",), **changes})
    result = fit(method, Loader(), settings, tmp_path / "whole", evaluators=[evaluator], quiet=True)
    return weights(method), result


@pytest.mark.parametrize("optimizer", ["adamw", "lars", "sgd"])
@pytest.mark.parametrize("placeable", [True, False])
@pytest.mark.parametrize("step", [1, 4, 6, 8, 11])
def test_an_interrupted_run_resumes_to_the_same_bits(
    tmp_path: Path, step: int, placeable: bool, optimizer: str
) -> None:
    expected, run = whole(tmp_path, optimizer=optimizer)
    settings = TrainSettings(**{**SETTINGS.to_dict(), "log": ("csv",), "optimizer": optimizer})
    out = tmp_path / "parts"
    first = fit(
        Tiny(),
        Loader(placeable=placeable),
        settings,
        out,
        callbacks=[At(step, interrupt())],
        evaluators=[evaluator],
        quiet=True,
    )
    assert (first.interrupted, first.steps) == (signal.SIGINT, step)
    method = Tiny(seed=7)  # its weights must not matter
    method.seed = 0
    second = fit(
        method,
        Loader(placeable=placeable),
        settings,
        out,
        resume=True,
        evaluators=[evaluator],
        quiet=True,
    )
    assert same(weights(method), expected)
    assert numbers(second.history) == numbers(run.history)
    assert numbers(read_rows(out / "metrics.csv", 99)) == numbers(run.history)
    assert (second.steps, second.epochs, second.interrupted) == (12, 3, None)


def test_a_signal_in_the_last_evaluation_leaves_only_the_evaluation(tmp_path: Path) -> None:
    expected, run = whole(tmp_path)
    calls: list[int] = []

    def slow(method: Tiny, epoch: int) -> dict[str, float]:
        calls.append(epoch)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGTERM)
            raise AssertionError("a signal in an evaluation must end it at once")
        return evaluator(method, epoch)

    out = tmp_path / "parts"
    first = fit(Tiny(), Loader(), SETTINGS, out, evaluators=[slow], quiet=True)
    assert (first.interrupted, first.steps, len(first.history)) == (signal.SIGTERM, 12, 2)
    method = Tiny(seed=7)
    second = fit(method, Loader(), SETTINGS, out, resume=True, evaluators=[slow], quiet=True)
    assert calls == [0, 1, 2, 2]
    assert same(weights(method), expected)
    assert numbers(second.history) == numbers(run.history)
    third = fit(method, Loader(), SETTINGS, out, resume=True, evaluators=[slow], quiet=True)
    assert third.already_finished
    assert len(calls) == 4


KILLED = """
import sys, os, signal
sys.path.insert(0, {here!r})
from test_fit import *
settings = TrainSettings(**{{**SETTINGS.to_dict(), "log": ("csv",), "save_every": 1}})
kill = At(6, lambda: os.kill(os.getpid(), signal.SIGKILL))
fit(Tiny(), Loader(), settings, {out!r}, evaluators=[evaluator], callbacks=[kill], quiet=True)
"""


def test_a_killed_run_resumes_from_its_last_step(tmp_path: Path) -> None:
    expected, run = whole(tmp_path, save_every=1)
    out = tmp_path / "parts"
    code = KILLED.format(here=str(Path(__file__).parent), out=str(out))
    done = subprocess.run([sys.executable, "-c", code], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert load_checkpoint(out / "checkpoints" / "last.ckpt")["journal"]["step"] == 5
    method = Tiny(seed=7)
    method.seed = 0
    second = fit(method, Loader(), SETTINGS, out, resume=True, evaluators=[evaluator], quiet=True)
    assert same(weights(method), expected)
    assert numbers(second.history) == numbers(run.history)


def test_rows_beyond_the_checkpoint_are_cut_off(tmp_path: Path) -> None:
    out = tmp_path / "run"
    fit(Tiny(), Loader(), SETTINGS, out, callbacks=[At(6, interrupt())], quiet=True)
    path = out / "metrics.csv"
    path.write_text(path.read_text() + "2,8" + "," * (len(COLUMNS) - 2) + "\n")
    fit(Tiny(), Loader(), SETTINGS, out, resume=True, quiet=True)
    assert [row["epoch"] for row in read_rows(path, 99)] == [1, 2, 3]


def test_a_second_ctrl_c_quits_at_once(tmp_path: Path) -> None:
    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        fit(Tiny(), Loader(), SETTINGS, tmp_path, callbacks=[At(2, twice)], quiet=True)
    assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))


def test_ctrl_c_is_not_swallowed_where_nothing_is_saved() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        fit(Tiny(), Loader(), SETTINGS, callbacks=[At(2, interrupt())])
    assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))


def test_it_trains_outside_the_main_thread() -> None:
    results: list[FitResult] = []
    thread = threading.Thread(target=lambda: results.append(fit(Tiny(), Loader(), SETTINGS)))
    thread.start()
    thread.join()
    assert results[0].steps == 12


def test_nothing_is_written_outside_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    fit(Tiny(), Loader(), SETTINGS)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")
    settings = TrainSettings(epochs=1, batch_size=6)
    fit(Tiny(), Loader(), settings, tmp_path / "run", quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"checkpoints", "metrics.csv", "tensorboard"}
    kept = {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()}
    assert kept == {"last.ckpt", "best.ckpt"}


@pytest.mark.parametrize(("keep", "names"), [(2, ["0002", "0003"]), (-1, ["0001", "0002", "0003"])])
def test_keep_keeps_the_newest_epochs(tmp_path: Path, keep: int, names: list[str]) -> None:
    settings = TrainSettings(epochs=3, batch_size=6, keep=keep, log=())
    fit(Tiny(), Loader(), settings, tmp_path, quiet=True)
    kept = sorted(path.stem[6:] for path in (tmp_path / "checkpoints").glob("epoch-*"))
    assert kept == names


def test_best_is_the_epoch_with_the_best_probe(tmp_path: Path) -> None:
    knn = [0.3, 0.9, 0.5]
    result = fit(
        Tiny(), Loader(), SETTINGS, tmp_path, evaluators=[lambda m, e: {"knn": knn[e]}], quiet=True
    )
    assert result.best is not None
    journal = load_checkpoint(result.best)["journal"]
    assert (journal["step"], journal["best"]) == (8, {"metric": "knn", "value": 0.9, "epoch": 2})


def test_the_random_state_and_the_optimiser_of_others_are_left_alone() -> None:
    method = Tiny()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    fit(method, Loader(), SETTINGS, evaluators=[evaluator])
    assert torch.equal(torch.rand(2), expected)
    assert "configure_optimizers" not in method.__dict__
    assert not method.training


def test_a_method_that_comes_in_eval_mode_is_trained_in_train_mode() -> None:
    fresh, frozen = Tiny(), Tiny().eval()
    fit(fresh, Loader(), SETTINGS)
    fit(frozen, Loader(), SETTINGS)
    assert same(weights(fresh), weights(frozen))


def test_steps_take_the_place_of_epochs() -> None:
    result = fit(Tiny(), Loader(), TrainSettings(epochs=99, steps=6, batch_size=6))
    assert (result.steps, result.epochs, len(result.history)) == (6, 2, 2)


def test_the_seed_is_the_run() -> None:
    def run(seed: int) -> list[Tensor]:
        method = Tiny()
        fit(method, Loader(), TrainSettings(epochs=2, batch_size=6, seed=seed))
        return weights(method)

    assert same(run(0), run(0))
    assert not same(run(0), run(1))  # dropout


def test_training_learns() -> None:
    rows = fit(Tiny(), Loader(96, 24), TrainSettings(epochs=30, batch_size=24, lr=1e-2)).history
    assert rows[-1]["loss"] < rows[0]["loss"] - 0.3
    assert set(COLUMNS) <= set(rows[0])
    assert rows[0]["nats_train"] + rows[0]["loss"] == pytest.approx(rows[0]["ceiling"], abs=1e-5)


# --- errors -------------------------------------------------------------------------------------


def test_changed_settings_are_shown(tmp_path: Path) -> None:
    out = tmp_path / "run"
    fit(Tiny(), Loader(), SETTINGS, out, config={"views": "simclr"}, quiet=True)
    other = TrainSettings(**{**SETTINGS.to_dict(), "lr": 0.5, "log": (), "keep": 1})
    with pytest.raises(UserError, match=r"lr: 0.001 -> 0.5; views: simclr -> amdim\. "):
        fit(Tiny(), Loader(), other, out, config={"views": "amdim"}, resume=True, quiet=True)
    with pytest.raises(UserError, match="steps an epoch: 4 -> 5"):
        fit(Tiny(), Loader(30), SETTINGS, out, config={"views": "simclr"}, resume=True)


def test_a_run_is_not_written_over(tmp_path: Path) -> None:
    fit(Tiny(), Loader(), SETTINGS, tmp_path, quiet=True)
    with pytest.raises(UserError, match="holds a run. Add --resume"):
        fit(Tiny(), Loader(), SETTINGS, tmp_path)


def test_a_checkpoint_of_another_shape_names_the_tensor(tmp_path: Path) -> None:
    fit(Tiny(), Loader(), SETTINGS, tmp_path, quiet=True)
    with pytest.raises(UserError, match=r"encoders.0.0.weight has shape \(4, 3, 3, 3\), .*\(5, 3"):
        fit(Tiny(width=5), Loader(), SETTINGS, tmp_path, resume=True)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"epochs": 0}, "--epochs: 0. Use 1"),
        ({"steps": 0}, "--steps: 0"),
        ({"batch_size": 1}, "--batch-size: 1. A contrastive step"),
        ({"lr": float("nan")}, "--lr: nan"),
        ({"optimizer": "rmsprop"}, "--optimizer: 'rmsprop'"),
        ({"precision": "8"}, "--precision: '8'"),
        ({"device": "tpu"}, "--device: 'tpu'"),
        ({"log": ("wand",)}, "--log: 'wand'"),
        ({"on_collapse": "no"}, "--on-collapse: no"),
    ],
)
def test_settings_that_make_no_sense(change: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError, match=line):
        fit(Tiny(), Loader(), TrainSettings(**change))


def test_zero_batches_and_batches_of_one() -> None:
    with pytest.raises(UserError, match="--batch-size: 256 .* 0 batches"):
        fit(Tiny(), Loader(3, 256), TrainSettings())
    with pytest.raises(UserError, match="1 image in a batch"):
        fit(Tiny(), Loader(3, 1), TrainSettings())


class Poisoned(Tiny):
    """Its loss is nan from step 6 on."""

    def training_step(self, batch: Batch, index: int) -> Tensor:
        loss = super().training_step(batch, index)
        return loss * float("nan") if self.global_step >= 6 else loss


class Constant(Tiny):
    """Says the same of every image."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.ones(len(images), 16)


def test_nan_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    settings = TrainSettings(epochs=3, batch_size=6, save_every=1, log=("csv",))
    with pytest.raises(UserError, match=r"loss is nan at step 7: .*--lr.*checkpoint is kept"):
        fit(Poisoned(), Loader(), settings, tmp_path, quiet=True)
    state = load_checkpoint(tmp_path / "checkpoints" / "last.ckpt")
    assert state["journal"]["step"] == 6
    assert all(t.isfinite().all() for t in state["state_dict"].values())


def test_constant_embeddings_are_no_success() -> None:
    lines: list[str] = []
    with pytest.raises(UserError, match="embeddings: constant"):
        fit(Constant(), Loader(), SETTINGS, quiet=False, say=lines.append)
    assert any(line.startswith("warning: embeddings collapse: std 0.0000") for line in lines)
    stop = TrainSettings(epochs=3, batch_size=6, on_collapse="stop")
    with pytest.raises(UserError, match="embeddings collapse.* at epoch 1"):
        fit(Constant(), Loader(), stop)


def test_a_full_disk_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    method = Tiny()
    out = tmp_path / "run"
    fit(method, Loader(), SETTINGS, out, callbacks=[At(6, interrupt())], quiet=True)
    before = (out / "checkpoints" / "last.ckpt").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(UserError, match=r"last\.ckpt: could not be written .* Free some space"):
            fit(method, Loader(), SETTINGS, out, resume=True, quiet=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert (out / "checkpoints" / "last.ckpt").read_bytes() == before
    assert not list((out / "checkpoints").glob("*.part"))
    assert fit(Tiny(), Loader(), SETTINGS, out, resume=True, quiet=True).steps == 12


def test_resume_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no checkpoint there. Start without --resume"):
        fit(Tiny(), Loader(), SETTINGS, tmp_path, resume=True)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").write_bytes(os.urandom(100))
    with pytest.raises(UserError, match="not a checkpoint that can be read"):
        fit(Tiny(), Loader(), SETTINGS, tmp_path, resume=True)


def test_a_run_steps_down_at_its_milestones(tmp_path: Path) -> None:
    settings = TrainSettings(
        epochs=3, batch_size=6, lr=0.01, optimizer="adam", schedule="steps", milestones=(1, 2),
        warmup_steps=0, log=("csv",), decay=0.5,
    )  # fmt: skip
    result = fit(Tiny(), Loader(), settings, tmp_path, quiet=True)
    assert [row["lr"] for row in result.history] == pytest.approx([0.01, 0.005, 0.0025])


def test_milestones_belong_to_steps() -> None:
    with pytest.raises(UserError, match="--milestones: .*--schedule steps"):
        TrainSettings(milestones=(3,)).check()
