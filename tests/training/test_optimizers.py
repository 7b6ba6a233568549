"""Optimisers against loops written from their formulas; the schedule against its corners."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from goodviews.interfaces import UserError
from goodviews.training import LARS, build_optimizer, warmup_cosine, warmup_steps


def slow_lars(
    w: list[float], grads: list[list[float]], lr: float, mu: float, beta: float, eta: float
) -> list[float]:
    """LARS of one tensor, number by number (adapted where eta is not 0)."""
    momentum = [0.0] * len(w)
    for g in grads:
        u = [gi + beta * wi for gi, wi in zip(g, w, strict=True)]
        w_norm = math.sqrt(sum(wi * wi for wi in w))
        u_norm = math.sqrt(sum(ui * ui for ui in u))
        trust = eta * w_norm / u_norm if eta and w_norm > 0 and u_norm > 0 else 1.0
        momentum = [mu * mi + trust * ui for mi, ui in zip(momentum, u, strict=True)]
        w = [wi - lr * mi for wi, mi in zip(w, momentum, strict=True)]
    return w


@pytest.mark.parametrize("adapt", [True, False])
def test_lars_is_its_formula(adapt: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(6, dtype=torch.float64, generator=generator)
    grads = torch.randn(4, 6, dtype=torch.float64, generator=generator)
    weight = nn.Parameter(start.clone())
    group = {"params": [weight], "weight_decay": 0.1, "adapt": adapt}
    optimizer = LARS([group], lr=0.5, momentum=0.9, trust=0.01)
    for grad in grads:
        weight.grad = grad.clone()
        optimizer.step()
    eta = 0.01 if adapt else 0.0
    slow = slow_lars(start.tolist(), grads.tolist(), lr=0.5, mu=0.9, beta=0.1, eta=eta)
    torch.testing.assert_close(weight.detach(), torch.tensor(slow, dtype=torch.float64))


def test_lars_steps_from_zero_weights() -> None:
    weight = nn.Parameter(torch.zeros(2, 2))
    weight.grad = torch.ones(2, 2)
    LARS([weight], lr=0.1).step()
    assert torch.equal(weight.detach(), torch.full((2, 2), -0.1))


def test_lars_step_does_not_depend_on_the_gradients_scale() -> None:
    steps = []
    for scale in (1.0, 1000.0):
        weight = nn.Parameter(torch.ones(3, 3, dtype=torch.float64))
        weight.grad = torch.arange(9.0, dtype=torch.float64).view(3, 3) * scale
        LARS([weight], lr=0.1).step()
        steps.append(weight.detach().clone())
    torch.testing.assert_close(*steps)


@pytest.mark.parametrize("name", ["adamw", "lars", "sgd"])
def test_biases_and_norms_do_not_decay(name: str) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(1.0)
            p.grad = torch.zeros_like(p)
    build_optimizer(model, name, lr=0.1, weight_decay=0.5).step()
    for p in model.parameters():
        moved = not torch.equal(p.detach(), torch.ones_like(p))
        assert moved == (p.ndim > 1)


def test_every_trained_parameter_is_in_one_group() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    optimizer = build_optimizer(model)
    listed = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(listed) == sorted(id(p) for p in model.parameters() if p.requires_grad)


def test_nothing_to_train() -> None:
    with pytest.raises(UserError, match="0 parameters"):
        build_optimizer(nn.ReLU())
    with pytest.raises(UserError, match="--optimizer: 'rmsprop'"):
        build_optimizer(nn.Linear(1, 1), "rmsprop")


def test_warmup_cosine_rises_then_falls() -> None:
    rates = [warmup_cosine(s, total=100, warmup=10, peak=2.0, floor=0.5) for s in range(101)]
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == rates[9] == rates[10] == 2.0
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[55] == pytest.approx(1.25)
    assert rates[100] == pytest.approx(0.5)
    assert warmup_cosine(0, total=1) == 1.0


def test_steps_fall_at_milestones_after_the_warm_up() -> None:
    rates = [warmup_steps(s, [30, 60], warmup=10, peak=2.0, decay=0.5) for s in range(90)]
    assert rates[:10] == pytest.approx([0.2 * (s + 1) for s in range(10)])
    assert rates[10:30] == [2.0] * 20 and rates[30:60] == [1.0] * 30 and rates[60:] == [0.5] * 30


def test_adam_is_torchs_with_the_first_beta_given() -> None:
    start = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    one = build_optimizer([ours], "adam", lr=0.1, weight_decay=1e-2, momentum=0.8)
    two = torch.optim.Adam([theirs], lr=0.1, betas=(0.8, 0.999), eps=1e-8, weight_decay=1e-2)
    for _ in range(3):
        for weight, optimizer in ((ours, one), (theirs, two)):
            optimizer.zero_grad()
            weight.square().sum().backward()
            optimizer.step()
    assert torch.allclose(ours, theirs, atol=1e-6)
