"""Local Deep InfoMax against loops in float64, and values that are known."""

import math

import pytest
import torch

from goodviews.bounds import BOUNDS
from goodviews.critics import Bilinear
from goodviews.interfaces import Features, UserError
from goodviews.objectives.local import LocalBound


def view(n=4, dim=5, d=3, seed=0):
    draw = torch.Generator().manual_seed(seed)
    options = {"generator": draw, "dtype": torch.float64}
    return Features(torch.randn(n, dim, **options), {d: torch.randn(n, dim, d, d, **options)})


def slow_bound(name, table):
    """The bound of a table of scores, pair by pair from its formula."""
    n = len(table)
    joint = [table[i, i] for i in range(n)]
    others = [table[i, j] for i in range(n) for j in range(n) if i != j]
    if name == "donsker-varadhan":
        return sum(joint) / n - (sum(s.exp() for s in others) / len(others)).log()
    right = sum(-(1 + (-s).exp()).log() for s in joint) / n
    return math.log(4) + right - sum((1 + s.exp()).log() for s in others) / len(others)


def slow_infonce(scores):
    """InfoNCE of scores (n, n, L), the negatives all locations of the other images."""
    n, found = len(scores), []
    for i in range(n):
        negatives = sum(scores[i, j].exp().sum() for j in range(n) if j != i)
        found += [s - (s.exp() + negatives).log() for s in scores[i, i]]
    return math.log(1 + (n - 1) * scores.shape[2]) + sum(found) / len(found)


@pytest.mark.parametrize("clip", [None, 0.5])
@pytest.mark.parametrize("name", ["donsker-varadhan", "jensen-shannon", "infonce"])
def test_value_and_gradients_are_the_formula(name, clip):
    features = view()
    leaves = [features.summary.requires_grad_(), features.local[3].requires_grad_()]
    scores = torch.einsum("id,jdrc->ijrc", *leaves).flatten(2) / 5**0.5
    penalty = 0.1 * scores.square().mean()
    scores = scores if clip is None else clip * torch.tanh(scores / clip)
    each = [slow_bound(name, table) for table in scores.unbind(2)] if name != "infonce" else []
    nats = sum(each) / 9 if each else slow_infonce(scores)
    loss = LocalBound(name, d=3, penalty=0.1, clip=clip)([features])
    assert loss.nats["1>3"].item() == pytest.approx(nats.item(), abs=1e-6)
    assert loss.penalty.item() == pytest.approx(penalty.item(), rel=1e-6)
    assert loss.loss.item() == pytest.approx((penalty - nats).item(), abs=1e-6)
    slow = torch.autograd.grad(penalty - nats, leaves)
    torch.testing.assert_close(torch.autograd.grad(loss.loss, leaves), slow, atol=1e-6, rtol=1e-5)
    ceiling = math.log(28) if name == "infonce" else BOUNDS[name].ceiling(4)
    assert loss.ceilings == {"1>3": ceiling}


@pytest.mark.parametrize("name", BOUNDS)
def test_chance_is_zero_nats_and_views_are_averaged(name):
    zeros = Features(torch.zeros(4, 5), {7: torch.zeros(4, 5, 7, 7)})
    expected = BOUNDS[name].function(torch.zeros(4, 4)).item()
    assert LocalBound(name)([zeros]).nats["1>7"].item() == pytest.approx(expected, abs=1e-6)
    first, second = view(seed=1), view(seed=2)
    objective = LocalBound(name, d=3, penalty=0.1)
    both, *each = (objective(views) for views in ([first, second], [first], [second]))
    assert both.loss.item() == pytest.approx(sum(x.loss.item() for x in each) / 2)
    assert both.nats["1>3"].item() == pytest.approx(sum(x.nats["1>3"].item() for x in each) / 2)


@pytest.mark.parametrize(("name", "most"), [("infonce", math.log(148)), ("jensen-shannon", None)])
def test_a_summary_that_tells_every_location_beats_that_of_another_image(name, most):
    code = 20 * torch.eye(4)
    local = {7: code[:, :, None, None].expand(4, 4, 7, 7)}
    own, strangers = (
        LocalBound(name)([Features(summary, local)]).nats["1>7"].item()
        for summary in (code, code.roll(1, 0))
    )
    # scores are 200 or 0: half of JSD's log 4 is lost at the zeros, a critic far from log r
    assert own == pytest.approx(math.log(2) if most is None else most, rel=1e-6)
    assert strangers < -10


def test_a_critic_with_parameters_is_trained():
    torch.manual_seed(0)
    features = view()
    features = Features(features.summary.float(), {3: features.local[3].float()})
    objective = LocalBound("donsker-varadhan", Bilinear(5), d=3)
    loss = objective([features])
    loss.loss.backward()
    assert objective.critic.weight.grad.abs().sum() > 0
    local = features.local[3]
    each = [
        BOUNDS["donsker-varadhan"].function(objective.critic(features.summary, local[:, :, r, c]))
        for r in range(3)
        for c in range(3)
    ]
    torch.testing.assert_close(loss.loss, -torch.stack(each).mean())


def test_wrong_settings_say_what_to_do():
    with pytest.raises(UserError, match="bound: unknown 'jensen-shanon'. Did you mean 'jensen-sh"):
        LocalBound("jensen-shanon")
    with pytest.raises(UserError, match="critic: 'infonce' streams inner products. Give no critic"):
        LocalBound("infonce", Bilinear(5))
    with pytest.raises(UserError, match="makes 3x3, not the 7x7 map"):
        LocalBound()([view()])
