"""Difference of entropies: log densities of flows, on rows they did not see."""

import math
import sys

import numpy as np
import pytest
import torch
from torch import nn

from goodviews.estimators.flow import Fitting, fit, flow, log_density
from goodviews.estimators.variables import Variable
from goodviews.interfaces import UserError

pytest.importorskip("zuko")

QUICK = {"steps": 150, "hidden": 16, "transforms": 1, "rate": 5e-3, "batch": 128, "read": 1}


def gaussian(n: int, rho: float, d: int = 1, seed: int = 0) -> tuple[Variable, Variable]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    return Variable(x), Variable(rho * x + math.sqrt(1 - rho**2) * rng.normal(size=(n, d)))


class Normal(nn.Module):
    """q(y|x) = N(slope x, 1), with the interface of a zuko flow."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(1))

    def forward(self, context: torch.Tensor) -> torch.distributions.Distribution:
        normal = torch.distributions.Normal(self.slope * context[:, :-1], 1.0)
        return torch.distributions.Independent(normal, 1)


def test_fit_keeps_what_is_best_on_rows_set_aside():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2000, 1, generator=generator)
    y = 2 * x + torch.randn(2000, 1, generator=generator)
    model = Normal()
    fit(model, y, x, Fitting(400, 256, 2e-2, 10), generator)
    assert model.slope.item() == pytest.approx(2.0, abs=0.1)
    diverging = Normal()
    fit(diverging, y, x, Fitting(100, 256, 1e3, 2), generator)
    assert diverging.slope.item() == 0.0  # no step did better than the start


def test_log_density_is_the_formula_in_blocks():
    model = Normal()
    model.slope.data.fill_(0.5)
    x, y = torch.randn(7, 2), torch.randn(7, 2)
    for told in (True, False):
        expected = -0.5 * (y - 0.5 * told * x).square().sum(1) - math.log(2 * math.pi)
        found = log_density(model, y, x, told=told, rows=3)
        np.testing.assert_allclose(found, expected.double(), rtol=1e-5)


def test_gaussian():
    x, y = gaussian(1000, 0.8)
    reading = flow(x, y, seed=0, shuffles=5, **QUICK)
    assert reading.nats == pytest.approx(0.5108, abs=0.15)
    assert (reading.kind, reading.split, len(reading.values)) == ("neither", "held-out", 200)
    assert reading.shuffled.max() < 0 < reading.nats


def test_what_correlation_does_not_see():
    """Of y = |x| + noise there are about h(|x|) - h(noise) = 0.73 + 0.88 = 1.6 nats."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1500, 1))
    y = np.abs(x) + 0.1 * rng.normal(size=(1500, 1))
    reading = flow(Variable(x), Variable(y), seed=0, shuffles=0, **QUICK | {"steps": 400})
    assert 1.0 < reading.nats < 1.7


def test_independent_and_every_row_read():
    rng = np.random.default_rng(0)
    x, y = (Variable(rng.normal(size=(600, d))) for d in (2, 1))
    reading = flow(x, y, seed=0, shuffles=0, **QUICK | {"parts": 2, "read": 2})
    assert abs(reading.nats) < 0.06
    assert reading.split == "cross-fitted" and len(reading.values) == 600
    assert reading.details["density of"] == "y"


def test_labels_are_given():
    rng = np.random.default_rng(0)
    codes = rng.integers(2, size=(800, 1)).astype(float)
    x, labels = Variable(rng.normal(size=(800, 2)) + 6 * codes), Variable(codes, 2)
    for pair, side in (((x, labels), "x"), ((labels, x), "y")):
        reading = flow(*pair, seed=0, shuffles=0, **QUICK | {"steps": 300})
        assert reading.nats == pytest.approx(math.log(2), abs=0.2)
        assert reading.details["density of"] == side


def test_monotone_maps_seeds_and_torchs_own_numbers():
    x, y = gaussian(200, 0.8)
    mapped = Variable(np.exp(x.values)), Variable(y.values**3)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    few = QUICK | {"steps": 20}
    there, here = (flow(*pair, seed=0, shuffles=2, **few) for pair in ((x, y), mapped))
    assert torch.rand(1) == expected
    np.testing.assert_array_equal(there.values, here.values)
    np.testing.assert_array_equal(there.shuffled, here.shuffled)
    assert flow(x, y, seed=1, shuffles=0, **few).nats != there.nats


def test_the_narrower_side_is_learned():
    rng = np.random.default_rng(0)
    wide, narrow = (Variable(rng.normal(size=(60, d))) for d in (3, 2))
    for pair, side in (
        ((wide, narrow), "y"),
        ((narrow, wide), "x"),
        ((narrow, narrow.take(np.arange(60))), "y"),
    ):
        found = flow(*pair, seed=0, shuffles=0, **QUICK | {"steps": 1})
        assert found.details["density of"] == side


def test_refusals(monkeypatch):
    x, y = gaussian(60, 0.5)
    with pytest.raises(UserError, match="flow: 49 rows are too few"):
        flow(x.take(np.arange(49)), y.take(np.arange(49)), seed=0, shuffles=0)
    with pytest.raises(UserError, match="read: 6 of 5 parts"):
        flow(x, y, seed=0, shuffles=0, read=6)
    labels = Variable(np.zeros((60, 1)), levels=1)
    with pytest.raises(UserError, match="flow: x and y are both labels"):
        flow(labels, labels, seed=0, shuffles=0)
    monkeypatch.setitem(sys.modules, "zuko", None)
    with pytest.raises(UserError, match=r'flow: needs zuko. Run: pip install "goodviews\[flow\]"'):
        flow(x, y, seed=0, shuffles=0)
