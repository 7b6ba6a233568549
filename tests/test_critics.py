"""Critics and objectives against slow loops from the papers."""

import math

import pytest
import torch

from goodviews import bounds, critics
from goodviews.bounds import BOUNDS
from goodviews.critics import CRITICS
from goodviews.layers import Stacked
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


WIDE = {
    "bilinear": lambda: critics.Bilinear((4, 3)),
    "separable": lambda: critics.Separable((4, 3), 11, depth=2, embed=5),
    "separable with marginals": lambda: critics.Separable((4, 3), 11, marginals=True),
    "concat": lambda: critics.Concat((4, 3), 11, depth=2),
    "conditional": lambda: critics.ConditionalGaussian((4, 3), 11, depth=2),
}


@pytest.mark.parametrize("name", WIDE)
def test_the_sides_may_differ_in_width(name):
    torch.manual_seed(0)
    critic = WIDE[name]().double()
    z1 = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    z2 = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    scores = critic(z1, z2)
    assert scores.shape == (5, 6) and scores.dtype == torch.float64
    torch.testing.assert_close(critic(z1[2:3], z2[1:2])[0, 0], scores[2, 1])
    scores.square().sum().backward()
    for tensor in (z1, z2, *critic.parameters()):
        assert tensor.grad.abs().sum() > 0


def test_marginal_terms_are_one_number_an_item():
    torch.manual_seed(0)
    critic = critics.Separable((4, 3), embed=5, marginals=True).double()
    z1, z2 = torch.randn(5, 4, dtype=torch.float64), torch.randn(6, 3, dtype=torch.float64)
    left, right = critic.phi1(z1), critic.phi2(z2)
    for i in range(5):
        for j in range(6):
            slow = left[i, :5] @ right[j, :5] + left[i, 5] + right[j, 5]
            torch.testing.assert_close(critic(z1, z2)[i, j], slow)


def test_the_conditional_gaussian_is_a_density_of_the_second_side():
    torch.manual_seed(0)
    q = critics.ConditionalGaussian((2, 3)).double()
    x, y = torch.randn(4, 2, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    mean, log_variance = q._moments(x).chunk(2, 1)
    for i in range(4):
        slow = torch.distributions.Normal(mean[i], (log_variance[i] / 2).exp())
        torch.testing.assert_close(q(x, y)[i], slow.log_prob(y).sum(1))
    torch.testing.assert_close(q.log_density(x, y[:4]), q(x, y[:4]).diagonal())
    far = q(torch.full((1, 2), 1e6, dtype=torch.float64), y)
    assert far.isfinite().all()


def test_club_reads_a_fitted_conditional_gaussian():
    """With y = x / 2 + noise, q is learned by likelihood; CLUB reads I + lautum off it."""
    torch.manual_seed(0)
    x, e = torch.randn(2, 2000, 1)
    y = 0.5 * x + math.sqrt(0.75) * e
    q = critics.ConditionalGaussian(1, depth=0)
    optimiser = torch.optim.Adam(q.parameters(), 1e-2)
    for _ in range(300):
        loss = -q.log_density(x, y).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        matrix = q(x, y)
    square = torch.corrcoef(torch.cat([x, y], 1).T)[0, 1].item() ** 2
    assert bounds.club(matrix).item() == pytest.approx(square / (1 - square), abs=0.01)
    nats = -0.5 * math.log(1 - square)
    assert bounds.leave_one_out(matrix).item() == pytest.approx(nats, abs=0.01)


TILED = {
    "concat": lambda tile: critics.Concat((4, 3), 11, depth=2, tile=tile),
    "conditional": lambda tile: critics.ConditionalGaussian((4, 3), 11, tile=tile),
}


def scored(name, tile):
    """Scores and all gradients, float64."""
    torch.manual_seed(0)
    critic = TILED[name](tile).double()
    z1 = torch.randn(7, 4, dtype=torch.float64, requires_grad=True)
    z2 = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    scores = critic(z1, z2)
    scores.sin().sum().backward()
    return scores, [tensor.grad for tensor in (z1, z2, *critic.parameters())]


@pytest.mark.parametrize("name", TILED)
@pytest.mark.parametrize("tile", [1, 3, 7, 100])
def test_tiles_change_nothing(name, tile):
    plain, slow = scored(name, 1000)
    tiled, gradients = scored(name, tile)
    torch.testing.assert_close(tiled, plain, rtol=0, atol=1e-14)
    for ours, theirs in zip(gradients, slow, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_a_large_concat_keeps_no_more_than_a_block(monkeypatch):
    """All pairs make 40 * 40 * 64 numbers a layer; a block is one row of them."""
    monkeypatch.setattr(critics, "BLOCK", 4096)
    critic, sizes, kept = critics.Concat(3, 64, depth=2), [], {}
    critic.rest[0].register_forward_hook(lambda *args: sizes.append(args[2].numel()))

    def keep(tensor):
        kept[tensor.data_ptr()] = tensor.numel()
        return tensor

    z1, z2 = torch.randn(2, 40, 3)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        scores = critic(z1, z2)
    blocks = len(sizes)
    assert blocks == 40 and max(sizes) <= 4096
    assert sum(kept.values()) < 3 * 40 * 64  # rows and columns, no pairs
    scores.sum().backward()
    assert len(sizes) == 2 * blocks  # each block once more in the backward pass
    with torch.no_grad():
        torch.testing.assert_close(critic(z1, z2), scores)


@pytest.mark.parametrize("rows", [1, 5, 100])
def test_one_hidden_layer_of_all_pairs_by_blocks(rows, monkeypatch):
    """Scores and gradients equal those of the layers on all pairs at once."""
    monkeypatch.setattr(critics, "_ROWS", rows)
    critic = critics.Concat((4, 3), 11).double()
    z1 = torch.randn(7, 4, dtype=torch.float64, requires_grad=True)
    z2 = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    wanted = (z1, z2, *critic.parameters())
    pairs = torch.cat([z1[:, None].expand(7, 5, 4), z2[None].expand(7, 5, 3)], 2)
    plain = critic.rest(critic.first(pairs)).squeeze(-1)
    blocks = critic(z1, z2)
    torch.testing.assert_close(blocks, plain, rtol=0, atol=1e-14)
    found, slow = (torch.autograd.grad(s.sin().sum(), wanted) for s in (blocks, plain))
    for ours, theirs in zip(found, slow, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_stacked_concat_critics_are_those_alone():
    alone = [critics.Concat(4, 11).double() for _ in range(3)]
    stacked = Stacked(alone)
    z1, z2 = torch.randn(2, 3, 6, 4, dtype=torch.float64)
    scores = stacked(z1, z2)
    scores.sin().sum().backward()
    for e, critic in enumerate(alone):
        torch.testing.assert_close(scores[e], critic(z1[e], z2[e]), rtol=0, atol=1e-14)
        critic(z1[e], z2[e]).sin().sum().backward()
        for ours, theirs in zip(stacked.weights, critic.parameters(), strict=True):
            torch.testing.assert_close(ours.grad[e], theirs.grad, rtol=1e-12, atol=1e-12)


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
