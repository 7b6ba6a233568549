"""Intervals against their definition, scipy and the bootstrap."""

import pytest
import torch
from scipy.stats import binomtest

from goodviews.evaluation.intervals import paired_difference, wilson


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 10), (500, 1000), (10, 10)])
def test_wilson_is_scipys(k: int, n: int) -> None:
    theirs = binomtest(k, n).proportion_ci(method="wilson")
    assert wilson(k, n) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_wilson_needs_a_trial() -> None:
    with pytest.raises(ValueError, match="n = 0"):
        wilson(0, 0)


def draw(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    hard = torch.rand(n, generator=generator)
    noise = torch.rand(2, n, generator=generator)
    return (0.6 * hard + 0.4 * noise[0]) < 0.7, (0.6 * hard + 0.4 * noise[1]) < 0.65


def test_paired_difference_is_near_the_bootstrap() -> None:
    a, b = draw(1000, 0)
    d = paired_difference(a, b)
    assert d.value == pytest.approx(float(a.double().mean() - b.double().mean()))
    generator = torch.Generator().manual_seed(1)
    index = torch.randint(0, 1000, (4000, 1000), generator=generator)
    gains = (a.double() - b.double())[index].mean(1)
    low, high = gains.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64))
    assert d.low == pytest.approx(float(low), abs=0.003)
    assert d.high == pytest.approx(float(high), abs=0.003)


def test_paired_difference_covers() -> None:
    truth = paired_difference(*draw(2_000_000, 99)).value
    inside = 0
    for seed in range(300):
        d = paired_difference(*draw(150, seed))
        inside += d.low <= truth <= d.high
    assert inside >= 0.92 * 300


def test_sign() -> None:
    yes, no = torch.ones(50, dtype=torch.bool), torch.zeros(50, dtype=torch.bool)
    assert paired_difference(yes, no).sign == 1
    assert paired_difference(no, yes).sign == -1
    assert paired_difference(yes, yes).sign == 0
    with pytest.raises(ValueError, match="shapes"):
        paired_difference(yes, no[:3])
