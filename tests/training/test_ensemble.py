"""The loop of stacked models: equal to models alone, and resumable to the same numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from goodviews.layers import Stacked
from goodviews.training.ensemble import climb


def alone(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1)).double()


def batch(step: int) -> torch.Tensor:
    return torch.randn(3, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(step))


def run(steps: int, checkpoint: Path | None = None, stop: int | None = None) -> tuple:
    stacked = Stacked([alone(seed) for seed in range(3)])
    adam = torch.optim.Adam(stacked.parameters(), lr=0.05)

    def advance(step: int) -> None:
        if step == stop:
            raise KeyboardInterrupt
        loss = stacked(batch(step)).square().mean((1, 2)).sum()
        adam.zero_grad()
        loss.backward()
        adam.step()

    def look(step: int) -> list[dict[str, float]]:
        return [{"loss": x} for x in stacked(batch(99)).square().mean((1, 2)).tolist()]

    state = {"model": stacked, "adam": adam}
    return stacked, climb(advance, look, state, steps=steps, every=4, checkpoint=checkpoint)


def test_each_member_is_trained_as_if_alone() -> None:
    stacked, _ = run(10)
    for e in range(3):
        model = alone(e)
        adam = torch.optim.Adam(model.parameters(), lr=0.05)
        for step in range(10):
            adam.zero_grad()
            model(batch(step)[e]).square().mean().backward()
            adam.step()
        for ours, theirs in zip(stacked.weights, model.parameters(), strict=True):
            torch.testing.assert_close(ours[e], theirs, rtol=1e-10, atol=1e-12)
        x = batch(5)[e]
        torch.testing.assert_close(stacked.member(e)(x), model(x), rtol=1e-10, atol=1e-12)


def test_an_interrupted_run_goes_on_to_the_same_numbers(tmp_path: Path) -> None:
    whole, looks = run(10)
    assert [look["step"] for look in looks[0]] == [0, 4, 8, 10]
    with pytest.raises(KeyboardInterrupt):
        run(10, tmp_path / "run.pt", stop=6)
    resumed, again = run(10, tmp_path / "run.pt")
    assert again == looks
    for a, b in zip(whole.weights, resumed.weights, strict=True):
        assert torch.equal(a, b)


def test_one_member_takes_the_short_way_to_the_same_values() -> None:
    model = alone(0)
    x = batch(0)[:1]
    torch.testing.assert_close(Stacked([model])(x)[0], model(x[0]), rtol=0, atol=0)


def test_buffers_and_modes_are_the_members_own() -> None:
    def normed(seed: int) -> nn.Sequential:
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
        for _ in range(3):
            model(torch.randn(8, 3))
        return model.eval()

    models = [normed(seed) for seed in range(2)]
    stacked, x = Stacked(models).eval(), torch.randn(2, 5, 3)
    for e, model in enumerate(models):
        torch.testing.assert_close(stacked(x)[e], model(x[e]))
        torch.testing.assert_close(stacked.member(e)(x[e]), model(x[e]))
    dropout = Stacked([nn.Dropout(0.5), nn.Dropout(0.5)])
    first, second = dropout(torch.ones(2, 64))
    assert not torch.equal(first, second)
