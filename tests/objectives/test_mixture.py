"""NCE of mixture features (Bachman et al. 2019, eq. 6 and 7) against loops in float64."""

import math

import pytest
import torch

from goodviews.encoders.mixture import MixtureHeads
from goodviews.interfaces import Features, UserError
from goodviews.objectives.mixture import MixtureNCE, mixture_nce
from goodviews.objectives.multiscale import MultiscaleNCE

PAIRS = ((1, 5), (1, 7), (5, 5))


def draws(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def features(n=3, dim=6, seed=0, dtype=torch.float64):
    """Embedded features of one view of n images."""
    maps = {d: draws(n, dim, d, d, seed=10 * seed + d).to(dtype) for d in (5, 7)}
    return Features(draws(n, dim, seed=10 * seed).to(dtype), maps)


def slow_log_posterior(antecedents, consequents, clip=20.0):
    """One softmax an antecedent and location, and the mean squared score."""
    scores = torch.einsum("iad,jld->iajl", antecedents, consequents) / antecedents.shape[2] ** 0.5
    clipped = clip * torch.tanh(scores / clip)
    posterior = torch.empty(*antecedents.shape[:2], consequents.shape[1], dtype=scores.dtype)
    for i in range(len(antecedents)):
        others = [j for j in range(len(antecedents)) if j != i]
        for a in range(antecedents.shape[1]):
            negatives = clipped[i, a, others].exp().sum()
            for place in range(consequents.shape[1]):
                positive = clipped[i, a, i, place]
                posterior[i, a, place] = positive - (positive.exp() + negatives).log()
    return posterior, scores.square().mean()


def slow_objective(antecedents, consequents, alpha, tau, penalty=0.05):
    """Minus eq. 6 with the posterior of eq. 7, a location at a time, plus the penalty."""
    s, squares = slow_log_posterior(antecedents, consequents)
    total = 0.0
    for i in range(s.shape[0]):
        for place in range(s.shape[2]):
            weights = (tau * s[i, :, place]).exp()
            q = weights / weights.sum()
            total = total + (q * s[i, :, place]).sum() - alpha * (q * q.log()).sum()
    return penalty * squares - total / (s.shape[0] * s.shape[2])


@pytest.mark.parametrize("alpha", [1.0, 0.25])
@pytest.mark.parametrize("k", [1, 3])
def test_value_and_gradient_are_those_of_the_whole_objective(k, alpha):
    inputs = [draws(3, k, 6), draws(3, 4, 6, seed=1)]
    slow_inputs = [x.clone().requires_grad_() for x in inputs]
    expected = slow_objective(*slow_inputs, alpha, tau=1 / alpha)
    expected.backward()
    inputs = [x.requires_grad_() for x in inputs]
    result = mixture_nce(*inputs, alpha=alpha)
    result.loss.backward()
    torch.testing.assert_close(result.loss, expected)
    for fast, slow in zip(inputs, slow_inputs, strict=True):
        torch.testing.assert_close(fast.grad, slow.grad)


@pytest.mark.parametrize("tau", [0.0, 0.5, 3.0])
def test_value_for_any_tau_and_gradient_at_a_fixed_posterior(tau):
    antecedents, consequents = draws(3, 2, 6).requires_grad_(), draws(3, 4, 6, seed=1)
    result = mixture_nce(antecedents, consequents, alpha=0.7, tau=tau)
    torch.testing.assert_close(result.loss, slow_objective(antecedents, consequents, 0.7, tau))
    s, squares = slow_log_posterior(antecedents, consequents)
    q = (tau * s.detach()).softmax(1)
    at_fixed_q = 0.05 * squares - (q * s).sum() / (3 * 4)
    (fast,) = torch.autograd.grad(result.loss, antecedents)
    (slow,) = torch.autograd.grad(at_fixed_q, antecedents)
    torch.testing.assert_close(fast, slow)


def test_posterior_sums_to_one_is_uniform_without_tau_and_picks_the_best_with_a_large_one():
    torch.manual_seed(0)
    heads, (view1, view2) = (
        MixtureHeads(6, 3, spread=1.0).double(),
        [features(seed=s) for s in (1, 2)],
    )
    q = MixtureNCE(heads).posterior(view1, view2)
    assert q.shape == (3, 3, 7, 7) and not q.requires_grad
    torch.testing.assert_close(q.sum(1), torch.ones(3, 7, 7).double())
    s, _ = slow_log_posterior(heads(view1.summary), view2.local[7].flatten(2).mT)
    torch.testing.assert_close(q, s.softmax(1).unflatten(2, (7, 7)))
    uniform = MixtureNCE(heads, tau=0.0).posterior(view1, view2)
    torch.testing.assert_close(uniform, torch.full_like(q, 1 / 3))
    hard = MixtureNCE(heads, tau=1e6).posterior(view1, view2, d=7)
    torch.testing.assert_close(hard.argmax(1).flatten(1), s.argmax(1))
    assert hard.amax(1).min() > 0.99


@pytest.mark.parametrize("pairs", [PAIRS, ((1, 7),), ((5, 5), (1, 5))])
def test_one_mixture_feature_is_plain_multiscale_nce(pairs):
    found = []
    for make in (MultiscaleNCE, lambda pairs: MixtureNCE(torch.nn.Unflatten(1, (1, 6)), pairs)):
        views = [features(seed=s) for s in (1, 2)]
        leaves = [x.requires_grad_() for v in views for x in (v.summary, *v.local.values())]
        loss = make(pairs)(views, torch.Generator().manual_seed(0))
        grads = torch.autograd.grad(loss.loss, leaves, allow_unused=True)
        found.append((loss.loss.detach(), loss.nats, loss.ceilings, loss.penalty, grads))
    plain, mixture = found
    assert set(plain[1]) == set(mixture[1])
    torch.testing.assert_close(mixture, plain)


@pytest.mark.parametrize("views", [2, 3])
def test_loss_of_views_is_the_mean_over_ordered_views(views):
    torch.manual_seed(0)
    heads = MixtureHeads(6, 2, spread=1.0).double()
    views = [features(seed=s) for s in range(views)]
    loss = MixtureNCE(heads, pairs=((1, 5), (1, 7)), alpha=0.5)(views)
    expected = 0.0
    for d in (5, 7):
        terms = [
            slow_objective(heads(a.summary), c.local[d].flatten(2).mT, 0.5, 2.0)
            for a in views
            for c in views
            if a is not c
        ]
        expected = expected + sum(terms) / len(terms)
    torch.testing.assert_close(loss.loss, expected)
    grads = [torch.autograd.grad(x, list(heads.parameters())) for x in (loss.loss, expected)]
    torch.testing.assert_close(*grads)
    assert all(grad.abs().sum() > 0 for grad in grads[0])


def test_nats_are_those_of_a_classifier_that_mixes_with_equal_priors():
    torch.manual_seed(0)
    heads, views = MixtureHeads(6, 4, spread=1.0).double(), [features(seed=s) for s in (1, 2)]
    losses = [MixtureNCE(heads, ((1, 5),), alpha=a, tau=t)(views) for a, t in ((1, 1), (0.5, 3))]
    right = []
    for a, c in (views, views[::-1]):
        s, _ = slow_log_posterior(heads(a.summary), c.local[5].flatten(2).mT)
        right.append(s.exp().mean(1).log().mean())
    expected = math.log(1 + 2 * 25) + sum(right) / 2
    for loss in losses:
        torch.testing.assert_close(loss.nats["1>5"], expected.detach())
        assert loss.ceilings == {"1>5": math.log(1 + 2 * 25)}
    own = losses[0].ceilings["1>5"] - losses[0].loss + losses[0].penalty - math.log(4)
    torch.testing.assert_close(own.detach(), losses[0].nats["1>5"])


def test_order_of_heads_and_of_images_does_not_matter():
    antecedents, consequents = draws(4, 3, 6), draws(4, 5, 6, seed=1)
    loss = mixture_nce(antecedents, consequents, alpha=0.5).loss
    torch.testing.assert_close(
        mixture_nce(antecedents[:, [2, 0, 1]], consequents, alpha=0.5).loss, loss
    )
    turned = mixture_nce(antecedents.roll(1, 0), consequents.roll(1, 0), alpha=0.5).loss
    torch.testing.assert_close(turned, loss)


@pytest.mark.parametrize("alpha", [1.0, 0.25])
def test_chance_is_the_log_of_the_candidates_less_the_entropy(alpha):
    views = [Features(torch.zeros(4, 6), {5: torch.zeros(4, 6, 5, 5)}) for _ in range(2)]
    loss = MixtureNCE(
        torch.nn.Sequential(torch.nn.Linear(6, 18, bias=False), torch.nn.Unflatten(1, (3, 6))),
        ((1, 5),),
        alpha=alpha,
    )(views)
    assert loss.loss.item() == pytest.approx(math.log(76) - alpha * math.log(3), rel=1e-6)
    assert loss.nats["1>5"].item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("alpha", "divided"), [(1.0, True), (3.0, False)])
def test_heads_divide_two_kinds_of_locations_unless_entropy_weighs_too_much(alpha, divided):
    """Even locations show A f_1, odd ones B f_1: one feature cannot be both, two can."""
    torch.manual_seed(0)
    f1, maps = torch.randn(48, 8), torch.randn(2, 8, 8) / 8**0.5
    kind = torch.arange(25) % 2
    codes = torch.einsum("nd,kde->nek", f1, maps)[:, :, kind]
    view = Features(f1, {5: codes.unflatten(2, (5, 5))})
    objective = MixtureNCE(MixtureHeads(8, 2, hidden=64), pairs=((1, 5),), alpha=alpha)
    optimiser = torch.optim.Adam(objective.parameters(), 0.02)
    for _ in range(100):
        loss = objective([view, view])
        optimiser.zero_grad()
        loss.loss.backward()
        optimiser.step()
    first = objective.posterior(view, view, d=5).flatten(2)[:, 0]
    apart = (first[:, kind == 0].mean() - first[:, kind == 1].mean()).abs()
    assert apart > 0.9 if divided else apart < 0.2
    assert loss.nats["1>5"] > 3.4 if divided else loss.nats["1>5"] < 2.6  # one feature: 2.5


def test_wrong_settings_say_what_to_do():
    heads, view = torch.nn.Unflatten(1, (1, 6)), features()
    with pytest.raises(UserError, match=r"alpha: 0 is not positive. Use for example 1, or 0 with"):
        MixtureNCE(heads, alpha=0)
    with pytest.raises(UserError, match=r"tau: -1 is negative. Use for example 1, or None"):
        MixtureNCE(heads, tau=-1)
    with pytest.raises(UserError, match=r"pairs: \(\(5, 5\),\) has no summary to mix. Use"):
        MixtureNCE(heads, pairs=((5, 5),))
    with pytest.raises(UserError, match=r"views: 1 is too few"):
        MixtureNCE(heads)([view])
    with pytest.raises(UserError, match=r"not the 9x9 map of a pair"):
        MixtureNCE(heads, pairs=((1, 9),))([view, view])
    assert MixtureNCE(heads, alpha=0, tau=2.0)([view, view]).loss.isfinite()
