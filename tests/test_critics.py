"""Critics and objectives against slow loops from the papers."""

import math

import pytest
import torch

from goodviews import critics
from goodviews.bounds import BOUNDS
from goodviews.critics import CRITICS
from goodviews.objectives import BoundObjective, NTXent

DIM = 6


# --- critics -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CRITICS)
def test_critic_battery(name):
    torch.manual_seed(0)
    critic = CRITICS[name](DIM)
    z1, z2 = torch.randn(5, DIM, requires_grad=True), torch.randn(4, DIM, requires_grad=True)
    scores = critic(z1, z2)
    assert scores.shape == (5, 4) and scores.dtype == torch.float32
    # a score depends on its own pair only
    alone = critic(z1[2:3], z2[1:2])
    torch.testing.assert_close(alone[0, 0], scores[2, 1])
    scores.square().sum().backward()
    for tensor in (z1, z2, *critic.parameters()):
        assert tensor.grad is not None and tensor.grad.abs().sum() > 0


@pytest.mark.parametrize("name", CRITICS)
def test_critics_score_in_float32_inside_autocast(name):
    torch.manual_seed(0)
    critic = CRITICS[name](DIM)
    z = torch.randn(3, DIM)
    with torch.autocast("cpu", torch.bfloat16):
        inside = critic(z, z)
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, critic(z, z), rtol=0.02, atol=0.02)


def test_concat_equals_the_pairwise_loop():
    torch.manual_seed(0)
    critic = critics.Concat(DIM, hidden=11, depth=2)
    z1, z2 = torch.randn(3, DIM), torch.randn(4, DIM)
    for i in range(3):
        for j in range(4):
            x = torch.cat([z1[i], z2[j]])
            slow = critic.rest(critic.first(x)).squeeze()
            torch.testing.assert_close(critic(z1, z2)[i, j], slow)


def test_soft_clip_limits_and_keeps_small_scores():
    critic = critics.SoftClip(critics.InnerProduct(), clip=20.0)
    z = torch.tensor([[0.1], [1000.0]])
    scores = critic(z, z)
    assert scores.abs().max() <= 20.0
    assert scores[0, 0].item() == pytest.approx(0.01, rel=1e-4)


def test_cosine_refuses_a_temperature_of_zero():
    with pytest.raises(ValueError, match="temperature"):
        critics.Cosine(0.0)


# --- objectives ----------------------------------------------------------------------------------


def slow_ntxent(z1, z2, temperature):
    z = torch.cat([z1, z2]).double()
    n, total = len(z1), 0.0
    for i in range(2 * n):
        sims = [float(torch.cosine_similarity(z[i], z[j], 0)) / temperature for j in range(2 * n)]
        positive = sims[(i + n) % (2 * n)]
        total -= positive - math.log(sum(math.exp(s) for j, s in enumerate(sims) if j != i))
    return total / (2 * n)


def test_ntxent_equals_the_slow_loop():
    torch.manual_seed(0)
    z1, z2 = torch.randn(5, 3), torch.randn(5, 3)
    loss, nats = NTXent(0.3)(z1, z2)
    assert loss.item() == pytest.approx(slow_ntxent(z1, z2, 0.3), abs=1e-5)
    assert nats.item() == pytest.approx(math.log(9) - loss.item(), abs=1e-6)


def test_chance_is_log_of_the_candidates():
    z = torch.ones(8, 4)
    assert NTXent()(z, z)[0].item() == pytest.approx(math.log(15), abs=1e-5)
    with pytest.raises(ValueError, match="at least 2"):
        NTXent()(z[:1], z[:1])


@pytest.mark.parametrize("name", BOUNDS)
@pytest.mark.parametrize("critic", CRITICS)
def test_every_critic_with_every_bound(critic, name):
    torch.manual_seed(0)
    objective = BoundObjective(CRITICS[critic](DIM), BOUNDS[name].function)
    z1, z2 = torch.randn(6, DIM, requires_grad=True), torch.randn(6, DIM)
    loss, nats = objective(z1, z2)
    loss.backward()
    assert loss.item() == pytest.approx(-nats.item()) and z1.grad.abs().sum() > 0
