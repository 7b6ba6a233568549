"""Banks, queues and their encoders are part of a run's state: resumed, it ends in the same bits."""

import pytest
import torch

from goodviews.data import Images, loader
from goodviews.methods import METHODS
from goodviews.training import TrainSettings, fit
from goodviews.views import Recipe

SETTINGS = TrainSettings(
    steps=5, batch_size=6, lr=3e-3, precision="32", device="cpu", evaluate_every=0, log=(),
    save_every=1,
)  # fmt: skip


class Stop(Exception):
    """In the middle of a run."""


def made(name, recipe):
    views = Recipe.load(recipe).build((3, 16, 16))
    method = METHODS[name]
    return method(
        views, "convnet-half", (3, 16, 16), images=12, negatives=5, projection_dim=8, seed=0
    )


def trained(method, out=None, resume=False):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (12, 3, 16, 16), dtype=torch.uint8, generator=generator)
    batches = loader(Images(pixels, "noise"), 6, seed=0)
    fit(method, batches, SETTINGS, out, resume=resume, quiet=True)
    return method


@pytest.mark.parametrize(
    "name, recipe",
    [("instdis", "instdis"), ("cmc", "cmc"), ("moco", "moco"), ("cmc-v2", "cmc-v2")],
)
def test_a_resumed_memory_is_an_uninterrupted_one(name, recipe, tmp_path):
    whole, part = trained(made(name, recipe)), made(name, recipe)
    step = part.training_step

    def stop(*args, **kwargs):
        if part.global_step == 3:
            raise Stop
        return step(*args, **kwargs)

    part.training_step = stop
    with pytest.raises(Stop):
        trained(part, tmp_path)
    again = trained(made(name, recipe), tmp_path, resume=True)
    ends = again.state_dict()
    for key, value in whole.state_dict().items():
        assert torch.equal(value, ends[key]), key
    assert any("rows" in key or "queue" in key or "memor" in key for key in ends)
