"""Every method of the catalogue trains, and resumes in mid-epoch to the same bits."""

from __future__ import annotations

import inspect
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback

from goodviews.data import Images, loader
from goodviews.methods import METHODS, ViewMethod
from goodviews.training import FitResult, TrainSettings, fit
from goodviews.views import RECIPES

ENCODERS = {"amdim": ("amdim-tiny", 32), "dim": ("amdim-tiny", 32)}
"""Methods that need local features -> encoder, size of the images."""

SETTINGS = TrainSettings(epochs=2, batch_size=8, log=("csv",))


class Stop(Callback):
    """Ctrl-C after the fourth step: the first of the second epoch."""

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        if trainer.global_step == 4:
            signal.raise_signal(signal.SIGINT)


def run(
    name: str, out: Path, callbacks: Sequence[Callback] = (), resume: bool = False
) -> tuple[ViewMethod, FitResult]:
    generator = torch.Generator().manual_seed(0)
    encoder, size = ENCODERS.get(name, ("convnet", 16))
    pixels = torch.randint(0, 256, (24, 3, size, size), dtype=torch.uint8, generator=generator)
    shape = (3, size, size)
    options = {"classes": 2} if name in ENCODERS else {}
    if "images" in inspect.signature(METHODS[name]).parameters:
        options = {"images": 24}
    method = METHODS[name](RECIPES["simclr"].build(shape), encoder, shape, **options)
    batches = loader(Images(pixels, "noise", labels=torch.arange(24) % 2), 8)
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
