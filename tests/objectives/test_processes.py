"""Losses of two processes against those of one: run as a program, this file is one of the two."""

import subprocess
import sys
from pathlib import Path

import torch
from torch import distributed, nn

from goodviews.interfaces import Features
from goodviews.objectives import InfoNCE, MultiscaleNCE, NTXent

IMAGES, WIDTH, D = 8, 5, 4


class Encoder(nn.Module):
    """A summary and a 5 x 5 map of a row of numbers."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(WIDTH, 26 * D, dtype=torch.float64)

    def forward(self, x):
        rows = self.layer(x).view(len(x), D, 26)
        return rows[:, :, 0], rows[:, :, 1:].unflatten(2, (5, 5))


def multiscale(features):
    """Without random locations, which each process draws by itself."""
    views = [Features(summary, {5: local}) for summary, local in features]
    found = MultiscaleNCE(pairs=((1, 5), (1, 1)))(views)
    return found.loss, found.ceilings["1>5"]


def of_summaries(objective):
    def loss(features):
        value, _ = objective(*(summary for summary, _ in features))
        return value, objective.candidates(len(features[0][0]))

    return loss


LOSSES = {
    "multiscale": multiscale,
    "infonce": of_summaries(InfoNCE(0.3, clip=2.0)),
    "ntxent": of_summaries(NTXent(0.3)),
}


def results(part):
    """Loss, ceiling or candidates, and gradients of the weights, for every objective."""
    torch.manual_seed(0)
    encoder = Encoder()
    views = torch.randn(2, IMAGES, WIDTH, dtype=torch.float64)[:, part]
    found = {}
    for name, objective in LOSSES.items():
        encoder.zero_grad()
        both = encoder(views.flatten(0, 1))
        loss, most = objective(list(zip(*(x.chunk(2) for x in both), strict=True)))
        loss.backward()
        gradients = [p.grad.clone() for p in encoder.parameters()]
        found[name] = loss.detach(), most, gradients
    return found


def test_two_processes_are_one(tmp_path):
    programs = [
        subprocess.Popen([sys.executable, __file__, str(rank), str(tmp_path)]) for rank in range(2)
    ]
    assert [program.wait(120) for program in programs] == [0, 0]
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for name, (loss, most, gradients) in results(slice(None)).items():
        losses = torch.stack([part[name][0] for part in parts])
        assert losses[0] != losses[1]
        torch.testing.assert_close(losses.mean(), loss, rtol=0, atol=1e-6)
        assert [part[name][1] for part in parts] == [most, most]
        found = zip(*(part[name][2] for part in parts), strict=True)
        for pair, expected in zip(found, gradients, strict=True):
            mean = torch.stack(pair).mean(0)  # what DDP makes of them
            torch.testing.assert_close(mean, expected, rtol=0, atol=1e-6)


def main(rank, folder):
    torch.set_num_threads(1)
    where = f"file://{folder}/meeting"
    distributed.init_process_group("gloo", init_method=where, rank=rank, world_size=2)
    half = slice(rank * IMAGES // 2, (rank + 1) * IMAGES // 2)
    torch.save(results(half), folder / f"{rank}.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
