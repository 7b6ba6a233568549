"""Subsamples and splits keep the classes' shares."""

import pytest
import torch

from goodviews.data.sampling import split, stratified


@pytest.mark.parametrize("take", [1, 7, 50, 99, 100])
def test_every_class_keeps_its_share(take: int) -> None:
    labels = torch.tensor([-1] * 10 + [0] * 60 + [1] * 30)[torch.randperm(100)]
    for seed in range(20):
        chosen = stratified(labels, 100, take, seed)
        assert len(chosen) == take == len(chosen.unique())
        counts = (labels[chosen] + 1).bincount(minlength=3)
        assert (counts - torch.tensor([0.1, 0.6, 0.3]) * take).abs().max() <= 1.5


def test_every_image_is_drawn_equally_often() -> None:
    labels = torch.tensor([0] * 6 + [1] * 3)
    draws = torch.cat([stratified(labels, 9, 3, seed) for seed in range(3000)]).bincount()
    assert (draws.float() - 1000).abs().max() < 150


@pytest.mark.parametrize("total", [2, 3, 10, 1000])
@pytest.mark.parametrize("fraction", [0.001, 0.2, 0.999])
def test_a_split_shares_nothing_and_loses_nothing(total: int, fraction: float) -> None:
    train, test = split(None, total, fraction, seed=5)
    assert len(train) and len(test)
    assert torch.equal(torch.cat([train, test]).sort().values, torch.arange(total))
    assert torch.equal(split(None, total, fraction, seed=5)[1], test)
