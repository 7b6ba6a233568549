"""Held-out I_NCE where the truth is known."""

import math

import pytest
import torch
from torch import Generator, Tensor, nn

from goodviews.estimators.heldout import (
    derangement,
    heldout_information,
    influences,
    infonce_values,
)
from goodviews.interfaces import UserError


class Bits:
    """Images of one pixel: a fair coin each."""

    name, classes, labels, factors, shape = "bits", (), None, {}, (1, 1, 1)

    def __init__(self, n: int, seed: int = 0) -> None:
        generator = Generator().manual_seed(seed)
        self.bits = torch.randint(0, 2, (n, 1, 1, 1), generator=generator).to(torch.uint8)

    def __len__(self) -> int:
        return len(self.bits)

    def images(self, index: Tensor) -> Tensor:
        return self.bits[index]

    def partners(self, index: Tensor, shared: list[str], generator: Generator) -> Tensor:
        """Another image with the same bit."""
        places = [torch.nonzero(self.bits.flatten() == b).flatten() for b in (0, 1)]
        draws = torch.rand(len(index), generator=generator)
        pools = [places[int(self.bits[i])] for i in index]
        return torch.stack([p[int(u * len(p))] for p, u in zip(pools, draws, strict=True)])


class Channel(nn.Module):
    """v1 = the bit, v2 = the bit flipped with probability 0.2; scores = the exact log ratio.

    The joint is 0.4 on the diagonal and 0.1 off it: I(v1;v2) = 0.19274 nats.
    """

    def __init__(self) -> None:
        super().__init__()
        self.noise = nn.Dropout(0.5)

    def views(
        self, images: Tensor, generator: Generator | None, partners: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        v1 = images.flatten().long()
        v2 = v1 if partners is None else partners.flatten().long()
        flip = torch.rand(len(v1), generator=generator) < 0.2
        return v1, torch.where(flip, 1 - v2, v2)

    def pair_scores(self, v1: Tensor, v2: Tensor) -> Tensor:
        assert not self.training and not torch.is_grad_enabled()
        same = v1.unsqueeze(1) == v2.unsqueeze(0)
        return torch.where(same, math.log(1.6), math.log(0.4))


@pytest.mark.parametrize(("k", "truth"), [(2, 0.0964), (4, 0.1458), (8, 0.1697), (64, 0.1899)])
def test_expected_value_with_the_optimal_critic(k: int, truth: float) -> None:
    method = Channel()
    estimate = heldout_information(
        method, Bits(2000), candidates=k, pairs=min(1000 * k, 16_000), seed=1
    )
    assert estimate.nats == pytest.approx(truth, abs=4 * estimate.stderr)
    assert estimate.stderr < 0.015
    assert estimate.null < 0
    assert estimate.candidates == k and estimate.split == "held-out"
    assert estimate.warnings == ()
    assert method.training


def test_partners_carry_the_information() -> None:
    estimate = heldout_information(
        Channel(), Bits(2000), candidates=8, pairs=4000, partners=["bit"]
    )
    assert estimate.nats == pytest.approx(0.1697, abs=4 * estimate.stderr)


class Gaussian(nn.Module):
    """Images are indices; v1 and v2 are standard normals of correlation rho."""

    def __init__(self, rho: float = 0.9, scale: float = 1.0) -> None:
        super().__init__()
        self.rho, self.scale = rho, scale

    def views(
        self, images: Tensor, generator: Generator | None, partners: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        e = torch.randn(2, len(images), generator=generator)
        return e[0], self.rho * e[0] + math.sqrt(1 - self.rho**2) * e[1]

    def pair_scores(self, v1: Tensor, v2: Tensor) -> Tensor:
        r = self.rho
        ratio = r * v1.unsqueeze(1) * v2 - r * r * (v1.unsqueeze(1) ** 2 + v2**2) / 2
        return self.scale * ratio / (1 - r * r)


def test_gaussian_pair_and_its_error_bar() -> None:
    truth = -math.log(1 - 0.9**2) / 2  # 0.8304 nats; K = 128 is close to tight
    runs = [
        heldout_information(Gaussian(), Bits(512), candidates=128, pairs=512, repeats=1, seed=s)
        for s in range(60)
    ]
    nats = torch.tensor([run.nats for run in runs])
    assert float(nats.mean()) == pytest.approx(truth, abs=0.03)
    told = sum(run.stderr for run in runs) / len(runs)
    assert told == pytest.approx(float(nats.std()), rel=0.3)
    assert sum(run.null for run in runs) / len(runs) < 0


def test_values_are_the_slow_loop() -> None:
    scores = torch.randn(6, 6, generator=Generator().manual_seed(0)).double()
    for i, value in enumerate(infonce_values(scores)):
        row = sum(math.exp(float(s)) for s in scores[i])
        column = sum(math.exp(float(s)) for s in scores[:, i])
        slow = math.log(6) + float(scores[i, i]) - (math.log(row) + math.log(column)) / 2
        assert float(value) == pytest.approx(slow)
    assert float(influences(scores).mean()) == pytest.approx(float(infonce_values(scores).mean()))
    assert float(infonce_values(100 * torch.eye(6).double()).mean()) <= math.log(6) + 1e-12


def test_null_of_independent_pairs_is_the_estimate() -> None:
    estimate = heldout_information(
        Gaussian(rho=1e-6), Bits(500), candidates=50, pairs=2000, repeats=4
    )
    assert estimate.nats == pytest.approx(0, abs=1e-4)
    assert estimate.null == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("n", [2, 3, 50])
def test_derangement_moves_everybody(n: int) -> None:
    generator = Generator().manual_seed(0)
    for _ in range(20):
        places = derangement(n, generator)
        assert sorted(places.tolist()) == list(range(n))
        assert not (places == torch.arange(n)).any()


def test_doubts_are_told() -> None:
    sure = heldout_information(Gaussian(rho=0.999999), Bits(64), candidates=16, pairs=64)
    assert sure.nats <= sure.ceiling
    assert "ceiling log 16 = 2.77 nats" in sure.warnings[0]
    assert "needs K >= 64" in sure.warnings[0]
    wrong = heldout_information(Gaussian(scale=-1.0), Bits(64), candidates=16, pairs=64)
    assert wrong.nats < 0
    assert wrong.warnings[0].startswith("negative")


def test_k_is_reduced_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="K reduced from 256 to the 40 images"):
        estimate = heldout_information(Gaussian(), Bits(40))
    assert estimate.candidates == 40
    assert "K reduced" in estimate.warnings[0]
    assert estimate.stderr > 0


def test_mistakes() -> None:
    with pytest.raises(UserError, match="candidates: 1"):
        heldout_information(Gaussian(), Bits(40), candidates=1)
    with pytest.raises(UserError, match="1 held-out image"):
        heldout_information(Gaussian(), Bits(1))
    with pytest.raises(UserError, match="not finite"):
        heldout_information(Gaussian(scale=float("nan")), Bits(40), candidates=8)


def test_same_seed_same_number() -> None:
    runs = [heldout_information(Channel(), Bits(300), seed=5, candidates=32) for _ in range(2)]
    assert runs[0] == runs[1]
