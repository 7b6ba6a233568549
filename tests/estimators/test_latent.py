"""Learned summaries: what they carry of wide variables, and whose rows they are read on."""

import math

import numpy as np
import pytest
import torch

from goodviews.estimators.latent import Summaries, _principal, _summary, canonical_axes, latent
from goodviews.estimators.neighbors import ksg
from goodviews.estimators.reading import Reading
from goodviews.estimators.variables import Variable
from goodviews.interfaces import UserError

QUICK = {"steps": 60, "hidden": 16, "batch": 64}


def hidden_pair(n: int, d: int, rho: float, seed: int = 0) -> tuple[Variable, Variable]:
    """Two blocks of d columns, rotated, that share one correlation."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, n, d))
    y[:, 0] = rho * x[:, 0] + math.sqrt(1 - rho**2) * y[:, 0]
    turns = (np.linalg.qr(rng.normal(size=(d, d)))[0] for _ in range(2))
    return tuple(Variable(v @ turn) for v, turn in zip((x, y), turns, strict=True))


def test_wide_linear_dependence():
    x, y = hidden_pair(1000, 12, 0.9)
    with pytest.raises(UserError, match=r"12 \+ 12 dimensions"):
        ksg(x, y, seed=0, shuffles=0)
    reading = latent(x, y, seed=0, shuffles=9, **QUICK)
    assert reading.nats == pytest.approx(-0.5 * math.log(1 - 0.81), abs=0.15)
    assert abs(reading.shuffled).max() < 0.12
    assert (reading.kind, reading.split, len(reading.values)) == ("lower", "cross-fitted", 1000)
    assert len(reading.details["infonce"]) == 2


def test_dependence_that_no_line_shows():
    """Y holds the size of x's first column; canonical correlation sees nothing."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 1200, 4))
    y[:, 0] = 3 * np.abs(x[:, 0]) + 0.1 * y[:, 0]
    start = latent(Variable(x), Variable(y), seed=0, shuffles=0, **QUICK | {"steps": 1})
    learned = latent(Variable(x), Variable(y), seed=0, shuffles=0, **QUICK | {"steps": 250})
    assert learned.nats > 0.6 > 0.4 > start.nats


def test_independent():
    rng = np.random.default_rng(1)
    x, y = (Variable(rng.normal(size=(800, d))) for d in (6, 4))
    reading = latent(x, y, seed=0, shuffles=9, **QUICK)
    assert abs(reading.nats) < 0.12
    assert (reading.shuffled >= reading.nats).any()


def test_labels_stay_as_they_are():
    rng = np.random.default_rng(0)
    codes = rng.integers(2, size=(600, 1)).astype(float)
    x = Variable(rng.normal(size=(600, 8)) + 4 * codes * np.eye(8)[0])
    labels = Variable(codes, levels=2)
    for pair in ((x, labels), (labels, x)):
        reading = latent(*pair, seed=0, shuffles=2, **QUICK | {"steps": 100})
        assert reading.nats == pytest.approx(0.6, abs=0.12)  # log 2, less what overlaps


def test_narrow_variables_are_read_as_they_are():
    rng = np.random.default_rng(0)
    x = Variable(rng.normal(size=(200, 2)))
    y = Variable(x.values[:, :1] + rng.normal(size=(200, 1)))
    np.testing.assert_array_equal(
        latent(x, y, seed=0, shuffles=3).values, ksg(x, y, seed=0, shuffles=3).values
    )


def test_rows_stay_paired_and_in_order():
    x, y = hidden_pair(101, 5, 0.5)
    marked = Variable(np.arange(101.0)[:, None])
    sizes = []

    def reader(f: Variable, g: Variable, *, shuffles: int, **_: object) -> Reading:
        sizes.append((len(f), f.width, g.width))
        return Reading(g.values[:, 0], np.full(shuffles, float(len(f))), warnings=("same",))

    reading = latent(x, marked, seed=0, shuffles=2, reader=reader, **QUICK)
    np.testing.assert_array_equal(reading.values, np.arange(101.0))
    assert sizes == [(51, 2, 1), (50, 2, 1)]
    np.testing.assert_allclose(reading.shuffled, (51 * 51 + 50 * 50) / 101)
    assert reading.warnings == ("same",)


def test_student_reads_summaries_too():
    x, y = hidden_pair(600, 6, 0.9)
    reading = latent(x, y, seed=0, shuffles=0, reader="student", dims=1, **QUICK)
    assert reading.nats == pytest.approx(-0.5 * math.log(1 - 0.81), abs=0.15)
    assert reading.details["dims"] == 1


def test_same_seed_same_numbers_and_no_trace_in_torchs_own():
    x, y = hidden_pair(200, 4, 0.8)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    readings = [latent(x, y, seed=0, shuffles=1, **QUICK | {"steps": 5}) for _ in range(2)]
    assert torch.rand(1) == expected
    np.testing.assert_array_equal(readings[0].values, readings[1].values)
    np.testing.assert_array_equal(readings[0].shuffled, readings[1].shuffled)


def test_a_members_summary_is_its_networks():
    critics = [Summaries((torch.randn(5, 2), torch.randn(3, 2)), (2, 2), 8) for _ in range(2)]

    class Trained:
        critic = critics[0]
        weights = {
            name: torch.stack([dict(c.named_parameters())[name] for c in critics])
            for name, _ in critics[0].named_parameters()
        }

    block = torch.randn(6, 5)
    for member, critic in enumerate(critics):
        found = _summary(Trained, member, "x", block, np.array([4, 1]))
        np.testing.assert_allclose(found, critic.x(block)[[4, 1]].detach().double())


def test_scores_see_only_the_summaries():
    critic = Summaries((torch.eye(4)[:, :2], torch.eye(3)[:, :2]), (2, 2), 8)
    x, y = torch.randn(5, 4), torch.randn(6, 3)
    with torch.no_grad():
        f, g = critic.x(x), critic.y(y)
        torch.testing.assert_close(f, x[:, :2] + critic.x.network[-1].bias)  # starts at 0
        rows = [[a @ b + critic.critic(a[None], b[None])[0, 0] for b in g] for a in f]
        torch.testing.assert_close(critic(x, y), torch.tensor(rows))


def test_canonical_axes_are_white_and_ordered():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 5000, 4))
    y[:, 3], y[:, 1] = y[:, 3] + 2 * x[:, 0], y[:, 1] + x[:, 2]
    a, b = (axes.double().numpy() for axes in canonical_axes(x, y, 2))
    correlations = np.corrcoef((x @ a).T, (y @ b).T)
    np.testing.assert_allclose(np.diag(correlations[:2, 2:]), [0.894, 0.707], atol=0.02)
    np.testing.assert_allclose(np.cov((x @ a).T), np.eye(2), atol=1e-6)
    assert [axes.shape for axes in canonical_axes(x, y[:, :1], 2)] == [(4, 2), (1, 1)]


def test_wide_sides_lose_all_but_principal_components():
    rng = np.random.default_rng(0)
    wide = Variable(rng.normal(size=(400, 1)) @ rng.normal(size=(1, 30)) + 1e-3)
    kept = _principal(wide, 64)
    assert kept.width == 20  # a twentieth of the rows
    spread = kept.values.var(0)
    assert spread[0] > 0.99 * spread.sum()
    assert _principal(Variable(wide.values[:, :20]), 64).width == 20
    assert _principal(wide, 3).width == 3


def test_refusals():
    x, y = hidden_pair(120, 3, 0.5)
    with pytest.raises(UserError, match="reader: unknown 'kgs'. Did you mean 'ksg'"):
        latent(x, y, seed=0, shuffles=0, reader="kgs")
    with pytest.raises(UserError, match="latent: 99 rows are too few"):
        latent(x.take(np.arange(99)), y.take(np.arange(99)), seed=0, shuffles=0)
    with pytest.raises(UserError, match="latent: dims 0, parts 2"):
        latent(x, y, seed=0, shuffles=0, dims=0)
    labels = Variable(np.zeros((120, 1)), levels=1)
    with pytest.raises(UserError, match="latent: x and y are both labels"):
        latent(labels, labels, seed=0, shuffles=0)
