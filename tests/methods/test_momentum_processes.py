"""MoCo and banks of two processes against one: run as a program, this file is one of the two."""

import subprocess
import sys
from pathlib import Path

import torch
from torch import distributed

from goodviews.interfaces import Batch
from goodviews.methods import METHODS
from goodviews.views import Recipe

SHAPE, IMAGES = (3, 16, 16), 8


def batch(part):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (IMAGES, *SHAPE), dtype=torch.uint8, generator=generator)
    return Batch(pixels[part], None, None, torch.arange(IMAGES)[part])


def make(name):
    views = Recipe.load("none").build(SHAPE)
    options = {"images": IMAGES, "projection_dim": 8, "jigsaw": False}
    method = METHODS[name](views, "convnet-half", SHAPE, **options).eval()
    if hasattr(method, "keys"):  # far from the trained encoder: no key is its query
        generator = torch.Generator().manual_seed(1)
        for weight in method.keys.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.3)
    return method


def results(part):
    """Loss, memory after the step, gradients of a batch, by method; batch norm in eval mode."""
    found = {}
    for name in ("moco", "infomin", "instdis"):
        method = make(name)
        contrasted = method.contrast(batch(part), method.draw())
        contrasted.loss.backward()
        trained = [*method.encoders.parameters(), *method.heads.parameters()]
        gradients = [p.grad.clone() for p in trained]
        found[name] = contrasted.loss.detach(), method.memories.state_dict(), gradients
    return found


def test_two_processes_are_one(tmp_path):
    programs = [
        subprocess.Popen([sys.executable, __file__, str(rank), str(tmp_path)]) for rank in range(2)
    ]
    expected = results(slice(None))
    assert [program.wait(400) for program in programs] == [0, 0]
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for name, (loss, memory, gradients) in expected.items():
        for part in parts:
            for key, tensor in memory.items():
                torch.testing.assert_close(part[name][1][key], tensor, rtol=0, atol=1e-6)
        if name == "instdis":  # its negatives are drawn for each process
            continue
        losses = torch.stack([part[name][0] for part in parts])
        assert losses[0] != losses[1]
        torch.testing.assert_close(losses.mean(), loss, rtol=0, atol=1e-5)
        found = zip(*(part[name][2] for part in parts), strict=True)
        for pair, whole in zip(found, gradients, strict=True):
            mean = torch.stack(pair).mean(0)  # what DDP makes of them
            torch.testing.assert_close(mean, whole, rtol=1e-4, atol=1e-5)


def main(rank, folder):
    torch.set_num_threads(1)
    where = f"file://{folder}/meeting"
    distributed.init_process_group("gloo", init_method=where, rank=rank, world_size=2)
    torch.save(results(slice(4 * rank, 4 * rank + 4)), folder / f"{rank}.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
