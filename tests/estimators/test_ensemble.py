"""Batched critics: against critics trained one by one, and copulas in torch against NumPy."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from goodviews import bounds
from goodviews.critics import Separable
from goodviews.data import worlds
from goodviews.estimators.elliptical import Elliptical
from goodviews.estimators.ensemble import (
    Ensemble,
    Settings,
    Start,
    each,
    features,
    train,
    value_on,
)
from goodviews.estimators.members import Split
from goodviews.estimators.variables import Variable, normal_scores

NWJ = each(bounds.nwj_of_log_ratio)
QUICK = Settings(batch=32, steps=120, check=10, patience=3, average=0.1)


def make() -> nn.Module:
    return Separable((4, 4), hidden=16, embed=4, marginals=True, activation=nn.SiLU).double()


def pair(n: int = 300, nats: float = 1.0, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of two columns a side, float64."""
    x, y = worlds.gaussian(2, nats).sample(n, seed)
    return tuple(torch.as_tensor(features(Variable(v))).double() for v in (x, y))


def rows_of(n: int, parts: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    split = Split.of(n, parts, seed=0)
    return torch.as_tensor(split.seen), torch.as_tensor(split.held)


def trained(x, y, seen, held, settings=QUICK, seed=0, start=None) -> tuple[Ensemble, torch.Tensor]:
    ensemble = Ensemble(make, x, y, len(seen), start, seed)
    generator = torch.Generator().manual_seed(seed)
    return ensemble, train(ensemble, seen, held, NWJ, settings, generator)


# --- features -------------------------------------------------------------------------------------


def test_features_are_scores_and_two_norms():
    values = np.random.default_rng(0).normal(size=(50, 3))
    z = normal_scores(values)
    found = features(Variable(values))
    norm = np.linalg.norm(z, axis=1)
    exact = np.column_stack([z, (norm**2 - 3) / math.sqrt(6), norm - math.sqrt(3)])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, exact, atol=1e-6)


def test_features_of_labels_are_one_column_each():
    labels = Variable(np.array([[2.0], [0.0], [1.0], [2.0]]), levels=3)
    np.testing.assert_array_equal(features(labels), np.eye(3)[[2, 0, 1, 2]])


# --- the copula in torch --------------------------------------------------------------------------


@pytest.mark.parametrize("nus", [(1.0, 4.0), (60.0, math.inf), (math.inf, 2.0)])
@pytest.mark.parametrize(("dx", "dy"), [(1, 1), (2, 3), (3, 2)])
def test_start_is_the_copula_on_all_pairs(nus, dx, dy):
    rng = np.random.default_rng(1)
    zx = rng.normal(size=(12, dx))
    zy = rng.normal(size=(12, dy)) + zx[:, :1]
    models = []
    for i, nu in enumerate(nus):
        model = Elliptical.fit(zx[3 * i :], zy[3 * i :], nu)
        factors = [0.9, 0.0] if i else [0.8, 0.8]
        models.append((model, model.correlations.clip(0, 0.95) * factors[: min(dx, dy)]))
    start = Start.of(models, [zx] * 2, [zy] * 2)
    rows = torch.tensor([[0, 3, 5, 11], [2, 1, 7, 8]])
    scores = start.scores(rows)
    for member, (model, s) in enumerate(models):
        for i, one in enumerate(rows[member].tolist()):
            for j, other in enumerate(rows[member].tolist()):
                row = model.canonical(zx[one : one + 1], zy[other : other + 1])
                exact = float(model.log_ratio(row, s)[0])
                assert scores[member, i, j].item() == pytest.approx(exact, rel=1e-4, abs=2e-4)
        alone = start.only(member).scores(rows[member : member + 1])
        torch.testing.assert_close(alone[0], scores[member])


def test_large_scores_of_a_start_are_exact():
    """Twenty nearly equal columns: scores of thousands of nats, in float32."""
    z = np.random.default_rng(2).normal(size=(400, 20))
    other = z + 0.1 * np.random.default_rng(3).normal(size=(400, 20))
    model = Elliptical.fit(z, other, math.inf)
    start = Start.of([(model, model.correlations)], [z], [other])
    scores = start.scores(torch.arange(50)[None])[0]
    exact = [
        model.log_ratio(model.canonical(z[:50], np.roll(other[:50], -s, 0)), model.correlations)
        for s in (0, 7)
    ]
    index = np.arange(50)
    np.testing.assert_allclose(scores[index, index], exact[0], atol=0.02)
    np.testing.assert_allclose(scores[index, (index + 7) % 50], exact[1], rtol=5e-3)


# --- scores ---------------------------------------------------------------------------------------


def test_scores_of_one_member_are_those_of_the_batch():
    x, y = pair()
    z = np.random.default_rng(0).normal(size=(300, 2))
    model = Elliptical.fit(z, z + np.random.default_rng(1).normal(size=(300, 2)), 3.0)
    start = Start.of([(model, model.correlations)] * 3, [z] * 3, [z] * 3)
    ensemble = Ensemble(make, x, y, 3, start, seed=0)
    ensemble.gate = torch.tensor([1.0, 0.0, 1.0])
    rows = torch.stack([torch.randperm(300)[:9] for _ in range(3)])
    together = ensemble.scores(rows)
    for member in range(3):
        one = ensemble.scores_of(member, rows[member])
        torch.testing.assert_close(one, together[member], atol=1e-5, rtol=1e-5)
    copula = start.scores(rows)
    torch.testing.assert_close(together[1], copula[1].double())
    assert (together[0] - copula[0]).abs().max() > 1e-3


def test_members_score_as_their_critics_do():
    x, y = pair()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        critics = [make() for _ in range(2)]
    ensemble = Ensemble(make, x, y, 2, None, seed=5)
    rows = torch.stack([torch.arange(0, 8), torch.arange(20, 28)])
    for member, critic in enumerate(critics):
        exact = critic(x[rows[member]], y[rows[member]])
        torch.testing.assert_close(ensemble.scores(rows)[member], exact, check_dtype=False)


def test_making_an_ensemble_leaves_the_global_random_numbers():
    state = torch.get_rng_state()
    Ensemble(make, *pair(), 2, None, seed=3)
    assert torch.equal(torch.get_rng_state(), state)


def test_values_are_means_over_blocks():
    x, y = pair()
    ensemble = Ensemble(make, x, y, 2, None, seed=0)
    rows = torch.stack([torch.arange(250), torch.arange(50, 300)])
    blocks = [NWJ(ensemble.scores(rows[:, i : i + 50])) for i in (0, 50, 100, 150)]
    exact = torch.stack(blocks).mean(0).detach()
    torch.testing.assert_close(value_on(ensemble, rows, NWJ, most=50), exact)
    whole = NWJ(ensemble.scores(rows[:, :150])).detach()  # the last 100 are no block
    torch.testing.assert_close(value_on(ensemble, rows, NWJ, most=150), whole)


# --- training -------------------------------------------------------------------------------------


def slow_train(critic, x, y, seen, held, settings, seed) -> tuple[nn.Module | None, float, int]:
    """One critic, one matrix at a time: AdamW, averaged weights, looks, patience."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(
        critic.parameters(), lr=settings.lr, weight_decay=settings.decay, betas=(0.9, 0.99)
    )
    average = [w.detach().clone() for w in critic.parameters()]
    best, kept, since, stopped = 0.0, None, 0, settings.steps
    for step in range(1, settings.steps + 1):
        order = torch.randperm(len(seen), generator=generator)[: settings.batch]
        loss = -bounds.nwj_of_log_ratio(critic(x[seen[order]], y[seen[order]]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for mean, w in zip(average, critic.parameters(), strict=True):
            mean.add_(settings.average * (w.detach() - mean))
        if step % settings.check:
            continue
        own = [w.detach().clone() for w in critic.parameters()]
        nn.utils.vector_to_parameters(
            torch.cat([w.flatten() for w in average]), critic.parameters()
        )
        value = bounds.nwj_of_log_ratio(critic(x[held], y[held])).item()
        nn.utils.vector_to_parameters(torch.cat([w.flatten() for w in own]), critic.parameters())
        since += 1
        if value > best:
            best, since, kept = value, 0, [w.clone() for w in average]
        if since >= settings.patience:
            stopped = step
            break
    return kept, best, stopped


@pytest.mark.parametrize("patience", [100, 1])
def test_members_train_as_if_alone(patience):
    """Same weights, same batches: a member is what it is when trained by itself."""
    x, y = pair(90, nats=0.3, seed=1)
    settings = replace(QUICK, patience=patience, steps=200, lr=2e-2, check=2, average=0.5)
    seen, held = rows_of(90)
    ensemble, best = trained(x, y, seen, held, settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        critics = [make() for _ in range(3)]
    stops = []
    for member, critic in enumerate(critics):
        kept, value, stopped = slow_train(critic, x, y, seen[member], held[member], settings, 0)
        stops.append(stopped)
        assert ensemble.gate[member].item() == (kept is not None)
        assert best[member].item() == pytest.approx(value, abs=1e-6)
        for w, exact in zip(ensemble.weights.values(), kept or [], strict=bool(kept)):
            torch.testing.assert_close(w[member].detach(), exact, atol=1e-6, rtol=1e-6)
    assert patience == 100 or len(set(stops)) > 1  # some stop before others


def test_single_precision_members_train_as_if_alone():
    x, y = (v.float() for v in pair(150))
    seen, held = rows_of(150)

    def single() -> nn.Module:
        return make().float()

    together = Ensemble(single, x, y, 3, None, seed=0)
    alone = [Ensemble(single, x, y, 3, None, seed=0) for _ in range(3)]
    values = train(together, seen, held, NWJ, QUICK, torch.Generator().manual_seed(0))
    for member, one in enumerate(alone):
        one.weights = {
            name: w[member : member + 1].detach().clone().requires_grad_()
            for name, w in one.weights.items()
        }
        one.gate = torch.ones(1)
        own = slice(member, member + 1)
        value = train(one, seen[own], held[own], NWJ, QUICK, torch.Generator().manual_seed(0))
        assert value.item() == pytest.approx(values[member].item(), abs=2e-3)


def test_training_learns_and_keeps_what_the_held_rows_like_best():
    x, y = pair(400, nats=1.0)
    seen, held = rows_of(400)
    ensemble, best = trained(x, y, seen, held, replace(QUICK, steps=300, patience=100, lr=5e-3))
    assert (ensemble.gate == 1).all()
    torch.testing.assert_close(value_on(ensemble, held, NWJ), best)
    assert 0.4 < best.mean() < 1.3


def test_a_member_that_nothing_helps_is_switched_off():
    x, y = pair(200)
    seen = torch.arange(100).expand(3, -1)
    held = torch.stack([torch.arange(100, 150), torch.arange(150, 200), torch.arange(100, 150)])
    y[150:] = -y[150:]  # only member 1 stops by these
    ensemble, best = trained(x, y, seen, held, replace(QUICK, lr=1e-2))
    assert ensemble.gate.tolist() == [1.0, 0.0, 1.0]
    assert best[1] == 0.0
    assert (ensemble.scores(held)[1] == 0).all()


def test_without_a_floor_every_critic_stands():
    x, y = pair(120)
    seen, held = rows_of(120)
    ensemble = Ensemble(make, x, y, 3, None, seed=0)
    generator = torch.Generator().manual_seed(0)
    likelihood = each(lambda s: s.diagonal().mean() - 100.0)
    best = train(ensemble, seen, held, likelihood, QUICK, generator, floor=False)
    assert ensemble.gate.tolist() == [1.0, 1.0, 1.0]
    assert (best < 0).all()


def test_another_check_decides_what_is_kept():
    x, y = pair(120)
    seen, held = rows_of(120)
    ensemble = Ensemble(make, x, y, 3, None, seed=0)
    generator = torch.Generator().manual_seed(0)
    never = each(lambda s: -1.0 - s.square().mean())
    best = train(ensemble, seen, held, NWJ, QUICK, generator, check=never)
    assert ensemble.gate.tolist() == [0.0, 0.0, 0.0]
    assert (best == -1.0).all()


def test_a_start_that_is_exact_stands():
    """Critics on top of the true log-ratio have nothing to add."""
    world = worlds.gaussian(2, 1.0)
    x, y = world.sample(400, seed=3)
    r = np.eye(4)
    r[0, 2] = r[2, 0] = r[1, 3] = r[3, 1] = math.sqrt(-math.expm1(-1.0))
    model = Elliptical.of_scatter(r, 2, math.inf)
    start = Start.of([(model, model.correlations)] * 3, [x] * 3, [y] * 3)
    inputs = (torch.as_tensor(features(Variable(v))).double() for v in (x, y))
    ensemble, best = trained(*inputs, *rows_of(400), start=start)
    everything = torch.arange(400).expand(3, -1)
    found = ensemble.scores(everything).diagonal(dim1=1, dim2=2).mean(1).detach()
    exact = float(world.log_ratio(x, y).mean())
    torch.testing.assert_close(found, torch.full_like(found, exact), atol=0.1, rtol=0)


def test_seeds():
    x, y = pair(150)
    seen, held = rows_of(150)
    first, again, other = (trained(x, y, seen, held, seed=seed)[1] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_fewer_rows_than_a_batch_are_read_whole():
    x, y = pair(24)
    _, best = trained(x, y, *rows_of(24), settings=replace(QUICK, batch=256, steps=20))
    assert torch.isfinite(best).all()
