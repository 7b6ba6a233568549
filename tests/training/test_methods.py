"""Every method of the catalogue trains, and resumes in mid-epoch to the same bits."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback

from goodviews.data import Images, loader
from goodviews.methods import METHODS, Contrastive
from goodviews.training import FitResult, TrainSettings, fit
from goodviews.views import RECIPES

SETTINGS = TrainSettings(epochs=2, batch_size=8, log=("csv",))


class Stop(Callback):
    """Ctrl-C after the fourth step: the first of the second epoch."""

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        if trainer.global_step == 4:
            signal.raise_signal(signal.SIGINT)


def run(
    name: str, out: Path, callbacks: Sequence[Callback] = (), resume: bool = False
) -> tuple[Contrastive, FitResult]:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (24, 3, 16, 16), dtype=torch.uint8, generator=generator)
    method = METHODS[name](RECIPES["simclr"].build((3, 16, 16)), "convnet", (3, 16, 16))
    batches = loader(Images(pixels, "noise"), 8)
    return method, fit(
        method, batches, SETTINGS, out, quiet=True, callbacks=callbacks, resume=resume
    )


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_method_resumes_to_the_same_bits(name: str, tmp_path: Path) -> None:
    whole, result = run(name, tmp_path / "whole")
    _, first = run(name, tmp_path / "parts", callbacks=[Stop()])
    assert (first.interrupted, first.steps) == (signal.SIGINT, 4)
    parts, second = run(name, tmp_path / "parts", resume=True)
    for key, tensor in whole.state_dict().items():
        assert torch.equal(tensor, parts.state_dict()[key]), key
    assert [row["loss"] for row in second.history] == [row["loss"] for row in result.history]
    assert result.history[0]["ceiling"] is not None
