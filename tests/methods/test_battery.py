"""What every method of the catalogue does: it trains in any Trainer, and gives vectors."""

import inspect

import lightning
import pytest
import torch

from goodviews.data import loader
from goodviews.data.images import Images
from goodviews.methods import METHODS
from goodviews.views import Recipe

ENCODERS = {"amdim": "amdim-tiny", "dim": "amdim-tiny"}
"""Of methods that need local features."""


def images(n=32, seed=0):
    """Images of 4x4 random patches, so that a pooled encoder can tell them apart."""
    generator = torch.Generator().manual_seed(seed)
    patches = torch.randint(0, 256, (n, 3, 4, 4), generator=generator)
    return patches.repeat_interleave(8, 2).repeat_interleave(8, 3).to(torch.uint8)


def make(name):
    views = Recipe.load("simclr").build((3, 32, 32))
    memory = "images" in inspect.signature(METHODS[name]).parameters
    options = {"images": 32} if memory else {}
    return METHODS[name](views, ENCODERS.get(name, "convnet-half"), (3, 32, 32), **options)


@pytest.mark.parametrize("name", METHODS)
def test_battery(name):
    method = make(name)
    source = Images(images(), "random")
    trainer = lightning.Trainer(
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
    )
    before = [p.clone() for p in method.parameters()]
    trainer.fit(method, loader(source, 16))
    changed = [not torch.equal(a, b) for a, b in zip(before, method.parameters(), strict=True)]
    assert all(changed)
    method.eval()
    z = method(images())
    assert z.shape == (32, method.encoders[0].dim) and z.dtype == torch.float32
    scores = method.pair_scores(*method.views(images()))
    assert scores.shape == (32, 32)
