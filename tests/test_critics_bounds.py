"""Critics and bounds against slow loops from the papers, and against known information."""

import math

import numpy as np
import pytest
import torch

from goodviews import bounds, critics, information
from goodviews.bounds import BOUNDS
from goodviews.critics import CRITICS
from goodviews.objectives import BoundObjective, NTXent

DIM = 6


def random_scores(n=7, seed=0):
    return torch.randn(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


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


# --- bounds --------------------------------------------------------------------------------------


def slow_infonce(s):
    n = len(s)
    return math.log(n) + np.mean(
        [s[i][i] - math.log(sum(math.exp(x) for x in s[i])) for i in range(n)]
    )


def negatives(s, f):
    n = len(s)
    return np.mean([f(s[i][j]) for i in range(n) for j in range(n) if i != j])


SLOW = {
    "infonce": slow_infonce,
    "nwj": lambda s: np.mean(np.diag(s)) - negatives(s, lambda x: math.exp(x - 1)),
    "tuba": lambda s: np.mean(np.diag(s)) - negatives(s, lambda x: math.exp(x - 1)),
    "donsker-varadhan": lambda s: np.mean(np.diag(s)) - math.log(negatives(s, math.exp)),
    "smile": lambda s: (
        np.mean(np.diag(s)) - math.log(negatives(s, lambda x: math.exp(min(max(x, -5.0), 5.0))))
    ),
    "jensen-shannon": lambda s: (
        math.log(4)
        - np.mean(np.log1p(np.exp(-np.diag(s))))
        - negatives(s, lambda x: math.log1p(math.exp(x)))
    ),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_bound_equals_the_slow_loop(name):
    scores = random_scores() * 4
    value = BOUNDS[name].function(scores)
    assert value.dtype == torch.float64
    assert value.item() == pytest.approx(SLOW[name](scores.numpy()), abs=1e-10)


@pytest.mark.parametrize("name", BOUNDS)
def test_bound_battery(name):
    info = BOUNDS[name]
    scores = random_scores().float().requires_grad_()
    info.function(scores).backward()
    assert torch.isfinite(scores.grad).all() and scores.grad.diagonal().gt(0).all()
    huge = torch.full((4, 4), -300.0).fill_diagonal_(300.0)
    assert info.function(huge).isfinite()
    assert info.function(huge) <= info.ceiling(4) + 1e-4
    half = info.function(random_scores().to(torch.bfloat16))
    assert half.dtype == torch.float32
    with pytest.raises(ValueError, match="positives on the diagonal"):
        info.function(torch.zeros(3, 4))
    with pytest.raises(ValueError, match="n >= 2"):
        info.function(torch.zeros(1, 1))


def test_infonce_numbers_of_the_reference():
    """Scores (2,0,0,0): loss 0.34075, I_NCE 1.04554; temperature sets how hard the task looks."""
    row = torch.zeros(4, 4, dtype=torch.float64).fill_diagonal_(2.0)
    assert bounds.infonce(row).item() == pytest.approx(1.04554, abs=5e-6)
    cosines = torch.tensor([0.9, 0.1, 0.2, 0.0], dtype=torch.float64)
    table = torch.stack([cosines.roll(i) for i in range(4)])
    assert math.log(4) - bounds.infonce(table / 0.07).item() == pytest.approx(5.9e-5, abs=5e-7)
    assert math.log(4) - bounds.infonce(table / 0.5).item() == pytest.approx(0.4786, abs=5e-5)


@pytest.fixture(scope="module")
def known():
    """Pairs of a binary joint table with their exact log density ratios; I = 0.19274 nats."""
    joint = np.array([[0.4, 0.1], [0.1, 0.4]])
    ratio = torch.from_numpy(np.log(joint / np.outer(joint.sum(1), joint.sum(0))))
    generator = torch.Generator().manual_seed(0)
    cells = torch.multinomial(torch.from_numpy(joint.ravel()), 256 * 200, True, generator=generator)
    return information.mutual_information(joint), ratio, cells.reshape(200, 256)


@pytest.mark.parametrize("name", ["infonce", "nwj", "tuba", "donsker-varadhan", "smile"])
def test_bounds_reach_known_information_with_the_optimal_critic(known, name):
    nats, ratio, batches = known
    shift = 1.0 if name in ("nwj", "tuba") else 0.0
    values = [BOUNDS[name].function(ratio[b // 2][:, b % 2] + shift).item() for b in batches]
    assert np.mean(values) == pytest.approx(nats, abs=0.012)


def test_infonce_tightens_with_candidates(known):
    nats, ratio, batches = known
    expected = {2: 0.0964, 4: 0.1458, 8: 0.1697, 64: 0.1899}
    for k, value in expected.items():
        cells = batches.reshape(-1, k)
        mean = np.mean([bounds.infonce(ratio[b // 2][:, b % 2]).item() for b in cells[:12800]])
        assert mean == pytest.approx(value, abs=0.01)
        assert value < nats


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


def test_k_pair_identity():
    """I_NCE + L_Kpair = log K exactly, and the gradients are opposite (paper C, section 4)."""
    scores = random_scores().requires_grad_()
    pairs = torch.log(torch.exp(scores - scores.diagonal()[:, None]).sum(1)).mean()
    nats = bounds.infonce(scores)
    assert (nats + pairs).item() == pytest.approx(math.log(7), abs=1e-12)
    up = torch.autograd.grad(nats, scores, retain_graph=True)[0]
    torch.testing.assert_close(up, -torch.autograd.grad(pairs, scores)[0])


@pytest.mark.parametrize("name", BOUNDS)
@pytest.mark.parametrize("critic", CRITICS)
def test_every_critic_with_every_bound(critic, name):
    torch.manual_seed(0)
    objective = BoundObjective(CRITICS[critic](DIM), BOUNDS[name].function)
    z1, z2 = torch.randn(6, DIM, requires_grad=True), torch.randn(6, DIM)
    loss, nats = objective(z1, z2)
    loss.backward()
    assert loss.item() == pytest.approx(-nats.item()) and z1.grad.abs().sum() > 0
