"""Rank, alignment and uniformity against closed forms and slow loops."""

import math

import pytest
import torch
from scipy.special import hyp0f1

from goodviews.evaluation.geometry import alignment, collapsed, embedding_std, rankme, uniformity


def gaussian(n: int, d: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_rankme_is_the_entropy_of_singular_values() -> None:
    z = gaussian(50, 7)
    sigma = torch.linalg.svdvals(z.double())
    p = sigma / sigma.sum() + 1e-7
    assert rankme(z) == pytest.approx(math.exp(-sum(float(q) * math.log(q) for q in p)), rel=1e-5)
    assert rankme(z.T) == pytest.approx(rankme(z), rel=1e-4)


@pytest.mark.parametrize("r", [1, 3, 10])
def test_rankme_of_equal_singular_values_is_the_rank(r: int) -> None:
    u = torch.linalg.qr(gaussian(200, r)).Q
    v = torch.linalg.qr(gaussian(64, r, 1)).Q
    assert rankme(5 * u @ v.T) == pytest.approx(r, rel=1e-3)


def test_rankme_of_isotropic_gaussian_is_near_its_width() -> None:
    assert 31.5 < rankme(gaussian(20_000, 32)) <= 32.001
    assert rankme(torch.zeros(5, 3)) == 1.0


def test_alignment_closed_forms() -> None:
    z = gaussian(100, 5)
    assert alignment(z, 3 * z) == pytest.approx(0, abs=1e-6)
    assert alignment(z, -z) == pytest.approx(4, abs=1e-5)
    unit = [torch.nn.functional.normalize(x, dim=1) for x in (z, gaussian(100, 5, 1))]
    slow = sum(float((a - b) @ (a - b)) for a, b in zip(*unit, strict=True)) / 100
    assert alignment(z, gaussian(100, 5, 1)) == pytest.approx(slow, rel=1e-5)


@pytest.mark.parametrize("chunk", [7, 100])
def test_uniformity_is_the_slow_loop(chunk: int) -> None:
    z = torch.nn.functional.normalize(gaussian(40, 6).double(), dim=1)
    pairs = [
        math.exp(-2 * float((z[i] - z[j]).square().sum())) for i in range(40) for j in range(i)
    ]
    assert uniformity(z, chunk=chunk) == pytest.approx(math.log(sum(pairs) / len(pairs)), rel=1e-5)


def test_uniformity_closed_forms() -> None:
    assert uniformity(torch.ones(10, 3)) == pytest.approx(0, abs=1e-5)
    assert uniformity(torch.tensor([[1.0, 0], [-2.0, 0]])) == pytest.approx(-8, abs=1e-4)
    d = 8  # uniform on the sphere: exp(-4) E exp(4 cos), a Bessel function
    expected = -4 + math.log(hyp0f1(d / 2, 4))
    assert uniformity(gaussian(5000, d)) == pytest.approx(expected, abs=0.02)
    with pytest.raises(ValueError, match="1 row"):
        uniformity(torch.ones(1, 3))


def test_std_and_collapse() -> None:
    assert embedding_std(gaussian(10_000, 32)) == pytest.approx(1, abs=0.01)
    assert not collapsed(gaussian(100, 4))
    assert collapsed(torch.ones(10, 4) + 1e-4 * gaussian(10, 4))
    assert collapsed(torch.zeros(10, 4))
    assert collapsed(torch.tensor([[1.0, float("nan")], [0.0, 1.0]]))
    line = gaussian(100, 1) * torch.ones(1, 16)  # rank one, but two directions: not collapsed
    assert not collapsed(line)
    assert rankme(line) == pytest.approx(1, abs=1e-3)
