"""The small parts: precision, signals, checkpoints, collapse, the journal, what is said."""

from __future__ import annotations

import io
import math
import pickle
import signal
from pathlib import Path

import pytest
import torch
from torch import nn

from goodviews.interfaces import UserError
from goodviews.training import (
    TrainSettings,
    effective_rank,
    load_checkpoint,
    load_weights,
    resolve_accelerator,
    resolve_precision,
)
from goodviews.training.checkpoints import all_finite, save_checkpoint
from goodviews.training.console import Console, duration, epoch_line
from goodviews.training.journal import Journal, read_rows, write_rows
from goodviews.training.precision import cpu_flags
from goodviews.training.settings import FREE, differences
from goodviews.training.signals import Interrupted, QuitNow, Signals


def test_auto_precision_follows_the_flags() -> None:
    fast = bool(cpu_flags() & {"amx_bf16", "avx512_bf16"})
    assert resolve_precision("auto", "cpu") == ("bf16-mixed" if fast else "32-true")
    assert resolve_precision("auto", "mps") == "32-true"
    assert {resolve_precision(name) for name in ("32", "fp32", "32-true")} == {"32-true"}
    assert resolve_accelerator("auto") in ("cpu", "cuda", "mps")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_device_that_is_not_here() -> None:
    with pytest.raises(UserError, match="--device: gpu is not available here. Use --device cpu"):
        resolve_accelerator("gpu")


# --- signals ------------------------------------------------------------------------------------


def test_the_first_signal_asks_and_the_second_insists() -> None:
    with Signals() as signals:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert signals.received == signal.SIGTERM
        with pytest.raises(Interrupted) as caught:
            signals.check()
        assert caught.value.signum == signal.SIGTERM
        with pytest.raises(QuitNow):
            signal.raise_signal(signal.SIGINT)


def test_within_immediate_the_first_signal_raises() -> None:
    with Signals() as signals:
        with pytest.raises(Interrupted), signals.immediate():
            signal.raise_signal(signal.SIGINT)
        assert signals.received == signal.SIGINT


# --- checkpoints --------------------------------------------------------------------------------


def test_a_checkpoint_comes_back_whole(tmp_path: Path) -> None:
    state = {"format": 1, "weights": {"a": torch.randn(3)}, "rate": 0.1, "names": ["x", None]}
    path = tmp_path / "deep" / "last.ckpt"
    save_checkpoint(state, path)
    back = load_checkpoint(path)
    assert torch.equal(back["weights"].pop("a"), state["weights"].pop("a"))
    assert back == state
    assert [p.name for p in path.parent.iterdir()] == ["last.ckpt"]


def test_a_checkpoint_with_code_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "bad.ckpt"
    torch.save({"format": 1, "code": Console}, path)
    with pytest.raises(UserError, match="not a checkpoint that can be read"):
        load_checkpoint(path)
    path.write_bytes(pickle.dumps({"format": 1, "code": io.StringIO}))
    with pytest.raises(UserError, match="not a checkpoint that can be read"):
        load_checkpoint(path)
    save_checkpoint({"format": 99}, path)
    with pytest.raises(UserError, match="Update goodviews"):
        load_checkpoint(path)


def test_weights_must_agree_in_name_and_shape() -> None:
    module = nn.Linear(2, 3)
    with pytest.raises(UserError, match=r"weight has shape \(3, 4\), the method wants \(3, 2\)"):
        load_weights(module, nn.Linear(4, 3).state_dict(), "x.ckpt")
    with pytest.raises(UserError, match="the tensor bias is missing"):
        load_weights(module, nn.Linear(2, 3, bias=False).state_dict(), "x.ckpt")
    with pytest.raises(UserError, match="no tensor extra"):
        load_weights(module, {**module.state_dict(), "extra": torch.zeros(1)}, "x.ckpt")


def test_all_finite_sees_buffers_too() -> None:
    norm = nn.BatchNorm1d(2)
    assert all_finite(norm)
    assert norm.running_mean is not None
    norm.running_mean[0] = math.inf
    assert not all_finite(norm)


# --- collapse -----------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [1, 2, 5])
def test_effective_rank_counts_equal_directions(rank: int) -> None:
    basis = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(0)))[0]
    assert effective_rank(basis[:rank].repeat(4, 1)) == pytest.approx(rank, rel=1e-4)


# --- the journal --------------------------------------------------------------------------------


def test_rows_come_back_from_the_file(tmp_path: Path) -> None:
    rows = [{"epoch": 1, "loss": 0.1, "knn": None, "extra": 2.5}, {"epoch": 2, "loss": 1e-7}]
    path = tmp_path / "metrics.csv"
    write_rows(rows, path)
    back = read_rows(path, 9)
    assert [row["loss"] for row in back] == [0.1, 1e-7]
    assert (back[0]["extra"], back[0]["knn"], back[1]["extra"]) == (2.5, None, None)
    assert [row["epoch"] for row in read_rows(path, 1)] == [1]
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.csv"]


def test_an_epochs_row_is_the_mean_of_its_steps() -> None:
    journal = Journal(epochs=2, per_epoch=2, total=4)
    for loss in (1.0, 3.0):
        journal.add({"loss": torch.tensor(loss), "nats": torch.tensor(1 - loss)}, images=8)
    journal.seconds, journal.waited = 2.0, 0.5
    row = journal.close_epoch(lr=0.1, memory_gb=1.0)
    assert (row["epoch"], row["step"], row["loss"], row["nats_train"]) == (1, 2, 2.0, -1.0)
    assert (row["images_per_second"], row["data_wait"], row["nats"]) == (8.0, 0.25, None)
    assert (journal.epoch, journal.batch, journal.sums) == (1, 0, {})


def test_the_best_row_by_the_best_measure_there_is() -> None:
    journal = Journal(epochs=9, per_epoch=1, total=9)
    assert journal.improves({"epoch": 1, "loss": 2.0})
    assert journal.improves({"epoch": 2, "loss": 1.0})
    assert not journal.improves({"epoch": 3, "loss": 1.5})
    assert journal.improves({"epoch": 4, "loss": 9.0, "knn": 0.2})  # a probe beats the loss
    assert not journal.improves({"epoch": 5, "loss": 0.1})  # and the loss does not beat a probe
    assert not journal.improves({"epoch": 6, "loss": 0.1, "knn": 0.1})
    assert journal.best == {"metric": "knn", "value": 0.2, "epoch": 4}


def test_differences_name_what_changes_the_numbers() -> None:
    before = TrainSettings().to_dict()
    free = {**before, "workers": 9, "keep": 3, "log": [], "device": "cpu"}
    assert differences(before, free) == []
    assert differences(before, {**before, "clip": 1.0}) == ["clip: None -> 1.0"]
    assert set(before) > FREE


# --- what is said -------------------------------------------------------------------------------


def test_the_epoch_line_says_what_was_measured() -> None:
    row = {
        "epoch": 2, "loss": 4.125, "nats": 1.5, "nats_train": 1.75, "ceiling": math.log(256),
        "lr": 1e-3, "knn": 0.5, "linear": 0.625, "rankme": 30.0, "images_per_second": 12345.0,
        "data_wait": 0.03, "memory_gb": 1.25, "std": None,
    }  # fmt: skip
    assert epoch_line(row, 10, eta=250) == (
        "epoch 2/10  loss 4.125  I_NCE 1.50/5.55 nats (held out)  lr 1.00e-03  kNN 50.0 %  "
        "linear 62.5 %  RankMe 30.0  12,345 images/s  data wait 3 %  1.2 GB  4 min left"
    )
    assert "1.75/5.55 nats (train)" in epoch_line({**row, "nats": None}, 10)


def test_a_quiet_console_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    Console(quiet=True).say("x")
    assert capfd.readouterr() == ("", "")
    Console().say("x")
    assert capfd.readouterr() == ("x\n", "")
    assert duration(89) == "89 s"
