"""Exact information, each number by two roads: the code, and slow loops from the definitions."""

import math
from itertools import product

import numpy as np
import pytest
from scipy import integrate, special, stats

from goodviews import information
from goodviews.information import BITS
from goodviews.interfaces import UserError

RNG = np.random.default_rng(0)
PAIRS = [RNG.dirichlet(np.ones(n), size=2) for n in (2, 3, 7)]
JOINTS = [RNG.dirichlet(np.full(x * y, 0.5)).reshape(x, y) for x, y in ((2, 2), (3, 5), (6, 2))]
JOINT = [[0.4, 0.1], [0.1, 0.4]]
P, Q = [0.5, 0.25, 0.25], [1 / 3] * 3


# --- the numbers every text on the subject begins with --------------------------------------------


@pytest.mark.parametrize(("p", "bits"), [(1 / 2, 1), (1 / 8, 3), (1 / 6, 2.5850), (0.1, 3.3219)])
def test_surprisal_in_bits(p, bits):
    assert information.surprisal(p) * BITS == pytest.approx(bits, abs=5e-5)


@pytest.mark.parametrize(("p", "nats"), [(1 / 2, 0.6931), (1 / 10, 2.3026), (1.0, 0.0)])
def test_surprisal_in_nats(p, nats):
    assert information.surprisal(p) == pytest.approx(nats, abs=5e-5)


def test_one_distribution_or_two():
    assert information.entropy(P) * BITS == pytest.approx(1.5, abs=1e-12)
    assert information.entropy(Q) * BITS == pytest.approx(1.5850, abs=5e-5)
    assert information.entropy([0, 1, 0]) == 0
    assert information.cross_entropy(P, Q) * BITS == pytest.approx(1.5850, abs=5e-5)
    assert information.kl_divergence(P, Q) * BITS == pytest.approx(0.08496, abs=5e-6)
    assert information.kl_divergence(Q, P) * BITS == pytest.approx(0.08170, abs=5e-6)


def test_a_joint():
    assert information.entropy(np.sum(JOINT, 0)) * BITS == pytest.approx(1)
    assert information.entropy(JOINT) * BITS == pytest.approx(1.72193, abs=5e-6)
    assert information.conditional_entropy(JOINT) * BITS == pytest.approx(0.72193, abs=5e-6)
    assert information.mutual_information(JOINT) * BITS == pytest.approx(0.27807, abs=5e-6)
    assert information.mutual_information(JOINT) == pytest.approx(0.19274, abs=5e-6)


@pytest.mark.parametrize(("rho", "nats"), [(0.2, 0.02041), (0.5, 0.14384), (0.9, 0.83037)])
def test_gaussian(rho, nats):
    assert information.gaussian_information(rho) == pytest.approx(nats, abs=5e-6)
    assert information.gaussian_information(-rho) == pytest.approx(nats, abs=5e-6)


@pytest.mark.parametrize(
    ("k", "nats"), [(4, 1.38629), (128, 4.852), (4097, 8.318), (16385, 9.704), (65537, 11.090)]
)
def test_ceilings(k, nats):
    assert information.ceiling(k) == pytest.approx(nats, abs=5e-4)


def test_a_ceiling_of_sixteen_bits():
    assert information.ceiling(65537) * BITS == pytest.approx(16.0, abs=5e-5)


# --- two roads ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("p", "q"), PAIRS)
def test_sums_over_outcomes(p, q):
    """The definitions, as loops."""
    entropy = sum(-a * math.log(a) for a in p)
    cross = sum(-a * math.log(b) for a, b in zip(p, q, strict=True))
    assert information.entropy(p) == pytest.approx(entropy, rel=1e-12)
    assert information.cross_entropy(p, q) == pytest.approx(cross, rel=1e-12)
    assert information.kl_divergence(p, q) == pytest.approx(cross - entropy, rel=1e-9)
    assert information.entropy(p) == pytest.approx(sum(a * information.surprisal(a) for a in p))


@pytest.mark.parametrize("joint", JOINTS)
def test_four_ways_to_mutual_information(joint):
    """H(X) - H(X|Y), H(X) + H(Y) - H(X,Y), the mean log ratio, and a loop over cells."""
    x, y = joint.sum(1), joint.sum(0)
    loop = sum(
        joint[i, j] * math.log(joint[i, j] / (x[i] * y[j]))
        for i, j in product(range(len(x)), range(len(y)))
    )
    h = information.entropy
    assert information.mutual_information(joint) == pytest.approx(loop, rel=1e-10)
    assert h(x) + h(y) - h(joint) == pytest.approx(loop, rel=1e-9)
    assert h(x) - information.conditional_entropy(joint) == pytest.approx(loop, rel=1e-9)
    ratio = information.pointwise_information(joint)
    assert (joint * ratio).sum() == pytest.approx(loop, rel=1e-10)


def test_chain_rule():
    """I(A;B,C) = I(A;B) + I(A;C|B), and I(A;C|B) slice by slice, on a random table."""
    table = np.random.default_rng(0).dirichlet(np.ones(24)).reshape(2, 3, 4)
    whole = information.mutual_information(table.reshape(2, 12))
    given = information.conditional_mutual_information(table.transpose(0, 2, 1))
    h = information.entropy  # I(A;C|B) = H(A,B) + H(B,C) - H(A,B,C) - H(B)
    by_entropies = h(table.sum(2)) + h(table.sum(0)) - h(table) - h(table.sum((0, 2)))
    assert given == pytest.approx(by_entropies, rel=1e-9)
    assert whole == pytest.approx(information.mutual_information(table.sum(2)) + given)


def test_a_value_of_z_that_never_comes_changes_nothing():
    table = np.random.default_rng(0).dirichlet(np.ones(8)).reshape(2, 2, 2)
    padded = np.concatenate([table, np.zeros((2, 2, 1))], axis=2)
    assert information.conditional_mutual_information(padded) == pytest.approx(
        information.conditional_mutual_information(table)
    )


@pytest.mark.parametrize("joint", JOINTS)
def test_data_processing(joint):
    """Noise on y, or merging two of its values, adds no information; renaming changes none."""
    before = information.mutual_information(joint)
    n = joint.shape[1]
    noise = np.random.default_rng(1).dirichlet(np.ones(n), size=n)
    merged = np.concatenate([joint[:, :1] + joint[:, 1:2], joint[:, 2:]], axis=1)
    assert information.mutual_information(joint @ noise) < before
    assert information.mutual_information(merged) <= before + 1e-12
    assert information.mutual_information(joint[:, ::-1]) == pytest.approx(before)


def test_independence_is_zero_and_never_below():
    for p, q in PAIRS:
        assert 0 <= information.mutual_information(np.outer(p, q)) < 1e-14
        assert 0 <= information.kl_divergence(p, p) < 1e-14


def test_what_q_calls_impossible_costs_without_limit():
    assert information.kl_divergence([0.5, 0.5], [1, 0]) == math.inf
    assert information.cross_entropy([0.5, 0.5], [1, 0]) == math.inf
    assert information.surprisal(0) == math.inf
    assert information.kl_divergence([1, 0], [0.5, 0.5]) == pytest.approx(math.log(2))


def test_gaussian_kl_by_quadrature():
    """One dimension, against the integral of p log(p/q)."""
    assert information.gaussian_kl(0, 1, 1, 1) == 0.5
    p, q = stats.norm(0.3, 1.5), stats.norm(-1.0, 0.7)
    slow, _ = integrate.quad(lambda u: p.pdf(u) * (p.logpdf(u) - q.logpdf(u)), -15, 15)
    fast = information.gaussian_kl(0.3, 1.5**2, -1.0, 0.7**2)
    assert fast == pytest.approx(slow, rel=1e-8)


def covariance(dim: int, seed: int = 0) -> np.ndarray:
    root = np.random.default_rng(seed).normal(size=(dim, dim + 2))
    return root @ root.T


def test_gaussian_information_is_a_kl():
    """I = KL(joint || product of the blocks), and is the sum over canonical correlations."""
    s = covariance(5)
    blocks = np.zeros_like(s)
    blocks[:2, :2], blocks[2:, 2:] = s[:2, :2], s[2:, 2:]
    found = information.multivariate_gaussian_information(s, 2)
    assert found == pytest.approx(information.gaussian_kl(np.zeros(5), s, np.zeros(5), blocks))
    product_matrix = np.linalg.solve(s[:2, :2], s[:2, 2:]) @ np.linalg.solve(s[2:, 2:], s[2:, :2])
    squares = np.linalg.eigvals(product_matrix).real
    by_correlations = sum(information.gaussian_information(math.sqrt(r)) for r in squares)
    assert found == pytest.approx(by_correlations, rel=1e-9)
    scale = np.diag([1.0, 7.0, 0.1, 3.0, 2.0])
    assert information.multivariate_gaussian_information(scale @ s @ scale, 2) == pytest.approx(
        found
    )


@pytest.mark.parametrize(
    ("dim", "freedom", "nats"),
    [(1, 1, 0.2242), (2, 1, 0.4319), (2, 2, 0.1931), (3, 2, 0.2909), (3, 3, 0.1787),
     (5, 2, 0.4482), (5, 3, 0.2985)],
)  # fmt: skip
def test_student_against_the_published_tasks(dim, freedom, nats):
    """The benchmark of Czyz et al. 2023 states these."""
    found = information.student_information(np.eye(2 * dim), dim, freedom)
    assert found == pytest.approx(nats, abs=5e-5)


def test_student_by_entropies_and_in_the_limit():
    """Scipy's entropies of the joint and of the blocks; with many degrees it is Gaussian."""
    s, nu = covariance(3), 4.5

    def entropy(block):
        return stats.multivariate_t(shape=block, df=nu).entropy()

    slow = entropy(s[:1, :1]) + entropy(s[1:, 1:]) - entropy(s)
    assert information.student_information(s, 1, nu) == pytest.approx(float(slow), rel=1e-8)
    gauss = information.multivariate_gaussian_information(s, 1)
    assert information.student_information(s, 1, 1e7) == pytest.approx(gauss, abs=1e-6)


def test_digamma():
    at = np.linspace(0.01, 40, 300)
    np.testing.assert_allclose([information._digamma(x) for x in at], special.psi(at), atol=1e-11)


def test_labels():
    assert information.label_entropy([3, 3, 1, 2]) * BITS == pytest.approx(1.5)


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: information.entropy([0.5, 0.6]), "sum to 1, not 1.1"),
        (lambda: information.entropy([1.5, -0.5]), "-0.5 is negative"),
        (lambda: information.entropy([math.nan, 1.0]), "sum to 1, not nan"),
        (lambda: information.kl_divergence(P, [0.5, 0.5]), "q: shape"),
        (lambda: information.cross_entropy(P, [0.5, 0.5]), "q: shape"),
        (lambda: information.surprisal(1.1), "1.1 is no probability"),
        (lambda: information.surprisal(math.nan), "nan is no probability"),
        (lambda: information.mutual_information(P), "joint: shape"),
        (lambda: information.conditional_mutual_information(JOINT), "joint: shape"),
        (lambda: information.gaussian_information(1.0), "rho: 1"),
        (lambda: information.gaussian_information(math.nan), "rho: nan"),
        (lambda: information.multivariate_gaussian_information(np.eye(2), 2), "covariance"),
        (lambda: information.multivariate_gaussian_information(np.ones((2, 2)), 1), "definite"),
        (lambda: information.multivariate_gaussian_information(-np.eye(4), 2), "definite"),
        (lambda: information.student_information(np.eye(2), 1, 0), "freedom: 0"),
        (lambda: information.ceiling(1), "no negative"),
    ],
)
def test_what_cannot_be(call, words):
    """One line that names the thing and the value."""
    with pytest.raises(UserError, match=words):
        call()
