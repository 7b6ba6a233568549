"""Dependent batches: the law of a pair, the law given Z, and the exact information of both."""

import math

import numpy as np
import pytest
from scipy import stats

from goodviews.data.worlds import dependent_gaussian
from goodviews.information import gaussian_information
from goodviews.interfaces import UserError

BETWEEN = np.array([[1.0, -0.5], [-0.5, 1.0]])
WITHIN = np.array([[1.0, 0.9], [0.9, 1.0]])
BATCHES, SIZE = 4_000, 8


def drawn(shared):
    """Batches (BATCHES, SIZE, 2)."""
    rng, world = np.random.default_rng(0), dependent_gaussian()
    return np.stack([np.hstack(world.draw(SIZE, rng, shared)) for _ in range(BATCHES)])


def test_the_information_is_that_of_the_correlations():
    world = dependent_gaussian()
    assert world.pair.nats == pytest.approx(gaussian_information(0.2), abs=1e-12)
    assert world.pair.nats == pytest.approx(0.0204, abs=5e-5)
    assert world.given.nats == pytest.approx(gaussian_information(0.9), abs=1e-12)
    assert world.given.nats == pytest.approx(0.8304, abs=5e-5)
    assert world.centre.nats == pytest.approx(gaussian_information(-0.5), abs=1e-12)


@pytest.mark.parametrize("shared", [False, True])
def test_a_pair_has_the_same_law_either_way(shared):
    pairs = drawn(shared)
    for place in (0, SIZE - 1):
        one = pairs[:, place]
        np.testing.assert_allclose(one.mean(0), 0.0, atol=4 * math.sqrt(2 / BATCHES))
        np.testing.assert_allclose(np.cov(one.T), BETWEEN + WITHIN, atol=0.18)  # 4 sd
        for side in one.T:
            assert stats.kstest(side / math.sqrt(2), "norm").pvalue > 1e-3


def test_pairs_of_one_batch_share_z_and_nothing_else():
    pairs = drawn(True)
    inside = pairs - pairs.mean(1, keepdims=True)
    found = np.einsum("bni,bnj->ij", inside, inside) / (BATCHES * (SIZE - 1))
    np.testing.assert_allclose(found, WITHIN, atol=0.03)  # given Z: correlation 0.9
    across = np.einsum("bi,bj->ij", pairs[:, 0], pairs[:, 1]) / BATCHES
    np.testing.assert_allclose(across, BETWEEN, atol=0.15)  # two pairs have Z in common


def test_independent_pairs_share_nothing():
    pairs = drawn(False)
    across = np.einsum("bi,bj->ij", pairs[:, 0], pairs[:, 1]) / BATCHES
    np.testing.assert_allclose(across, 0.0, atol=4 * 2 / math.sqrt(BATCHES))


def test_the_conditional_law_has_the_conditional_density():
    world = dependent_gaussian()
    x, y = world.given.sample(2_000, seed=1)
    joint = stats.multivariate_normal(np.zeros(2), WITHIN).logpdf(np.hstack([x, y]))
    alone = stats.norm.logpdf(x[:, 0]) + stats.norm.logpdf(y[:, 0])
    np.testing.assert_allclose(world.given.log_ratio(x, y), joint - alone, atol=1e-9)


def test_what_cannot_be_drawn_is_said():
    with pytest.raises(UserError, match="n: 0 pairs. Draw at least 1."):
        dependent_gaussian().draw(0, np.random.default_rng(0), True)
    with pytest.raises(UserError, match="differs from between's"):
        dependent_gaussian(within=np.eye(3))
    with pytest.raises(UserError, match="positive definite"):
        dependent_gaussian(within=((1.0, 2.0), (2.0, 1.0)))
    with pytest.raises(UserError, match="Leave at least one"):
        dependent_gaussian(dim_x=2)
