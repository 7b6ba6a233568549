"""Objectives with a state or a network of their own, on Gaussians of known information."""

import math

import pytest
import torch

from goodviews import bounds
from goodviews.critics import Bilinear, Concat, Separable
from goodviews.objectives import FLO, MINE, BoundObjective

RHO = 0.8
NATS = -0.5 * math.log(1 - RHO**2)


def pairs(n, seed):
    x, e = torch.randn(2, n, 1, generator=torch.Generator().manual_seed(seed))
    return x, RHO * x + math.sqrt(1 - RHO**2) * e


def trained(objective, steps=300):
    optimiser = torch.optim.Adam(objective.parameters(), 5e-3)
    for step in range(steps):
        loss, _ = objective(*pairs(128, step))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return objective.eval()


def test_mine_has_a_loss_and_a_value():
    torch.manual_seed(0)
    objective = MINE(Bilinear(1), rate=0.25)
    x, y = pairs(16, 0)
    average = None
    for seed in range(3):
        x, y = pairs(16, seed)
        loss, nats = objective(x, y)
        scores = objective.critic(x, y)
        average = bounds.moving_log_average(average, scores, 0.25)
        torch.testing.assert_close(loss, -bounds.mine(scores, average))
        torch.testing.assert_close(nats, bounds.donsker_varadhan(scores))
    torch.testing.assert_close(objective.log_average, average.detach())
    objective.eval()(x, y)
    torch.testing.assert_close(objective.log_average, average.detach())
    assert "log_average" in objective.state_dict()
    with pytest.raises(ValueError, match=r"rate: 0 is not in \(0, 1\]. Use"):
        MINE(Bilinear(1), rate=0)


def test_flo_trains_both_networks():
    torch.manual_seed(0)
    objective = FLO(Bilinear((1, 1)), (1, 1), hidden=8)
    loss, nats = objective(*pairs(16, 0))
    loss.backward()
    assert loss.item() == -nats.item() and not nats.requires_grad
    assert all(p.grad.abs().sum() > 0 for p in objective.parameters() if p.ndim > 1)


@pytest.mark.parametrize("name", ["mine", "flo", "interpolated"])
def test_objectives_learn_known_information(name):
    """One Gaussian pair, 0.51 nats, read on pairs that training never saw."""
    torch.manual_seed(0)
    critic = Concat(1, 32)
    objective = {
        "mine": lambda: MINE(critic),
        "flo": lambda: FLO(critic, 1, 32),
        "interpolated": lambda: BoundObjective(critic, bounds.interpolated),
    }[name]()
    trained(objective)
    with torch.no_grad():
        assert objective(*pairs(1000, 10_000))[1].item() == pytest.approx(NATS, abs=0.1)


@pytest.mark.parametrize("bound", [bounds.anchor, bounds.jensen_shannon])
@pytest.mark.parametrize("marginals", [False, True])
def test_some_objectives_learn_the_log_ratio_itself(bound, marginals):
    """So the plain mean over positives reads the information, and NWJ needs no offset."""
    torch.manual_seed(0)
    critic = Separable(1, 32, marginals=True) if marginals else Concat(1, 32)
    trained(BoundObjective(critic, bound))
    x, y = pairs(1000, 10_000)
    with torch.no_grad():
        scores = critic(x, y)
        exact = -0.5 * ((y.T - RHO * x).square() / (1 - RHO**2) - y.T.square()) + NATS
        assert bounds.plug_in(exact).item() == pytest.approx(NATS, abs=0.1)
        for read in (bounds.plug_in, bounds.nwj_of_log_ratio, bounds.donsker_varadhan):
            assert read(scores).item() == pytest.approx(read(exact).item(), abs=0.12)
        assert bounds.log_normaliser(scores).item() == pytest.approx(0.0, abs=0.12)
