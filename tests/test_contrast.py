"""NCE and InfoNCE in exact numbers, against counting every draw."""

import itertools
import math

import numpy as np
import pytest
import torch

from goodviews import bounds, contrast
from goodviews.information import ceiling, mutual_information, pointwise_information
from goodviews.interfaces import UserError

JOINT = np.array([[0.4, 0.1], [0.1, 0.4]])
SKEWED = np.array([[0.05, 0.2, 0.0], [0.5, 0.1, 0.15]])


@pytest.mark.parametrize(
    ("k", "nats"),
    [(2, 0.0964), (4, 0.1458), (8, 0.1697), (16, 0.1814), (64, 0.1899), (256, 0.1920),
     (1024, 0.1926)],
)  # fmt: skip
def test_expected_infonce_is_known(k, nats):
    assert contrast.expected_infonce(JOINT, k) == pytest.approx(nats, abs=5e-5)


def by_binomial(joint, k):
    """Two values of y: how often the negatives take the first is binomial."""
    x, y = joint.sum(1), joint.sum(0)
    total = 0.0
    for i, j, n in itertools.product(range(len(x)), range(2), range(k)):
        if joint[i, j]:
            logs = math.lgamma(k) - math.lgamma(n + 1) - math.lgamma(k - n)
            chance = math.exp(logs + n * math.log(y[0]) + (k - 1 - n) * math.log(y[1]))
            r = joint[i] / (x[i] * y)
            share = r[j] / (r[j] + n * r[0] + (k - 1 - n) * r[1])
            total += joint[i, j] * chance * math.log(k * share)
    return total


@pytest.mark.parametrize("k", [2, 4, 8, 16, 64, 256, 1024])
@pytest.mark.parametrize(
    "joint", [JOINT, [[0.05, 0.25], [0.6, 0.1]], [[0.5, 0], [0, 0.5]], [[0.3, 0.2], [0.3, 0.2]]]
)
def test_expected_infonce_by_counting(joint, k):
    joint = np.array(joint)
    assert contrast.expected_infonce(joint, k) == pytest.approx(by_binomial(joint, k), abs=1e-9)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_expected_infonce_by_every_tuple(k):
    """All k-tuples of candidates, one by one, scored by `goodviews.contrast.infonce_loss`."""
    y = SKEWED.sum(0)
    total = 0.0
    for i, draw in itertools.product(range(2), itertools.product(range(3), repeat=k)):
        chance = SKEWED[i, draw[0]] * math.prod(y[j] for j in draw[1:])
        if chance:
            with np.errstate(divide="ignore"):
                scores = np.log(SKEWED[i, list(draw)] / y[list(draw)])
            finite = np.maximum(scores, -1e3)  # a candidate that cannot be the positive
            total += chance * (math.log(k) - contrast.infonce_loss(finite))
    assert contrast.expected_infonce(SKEWED, k) == pytest.approx(total, abs=1e-12)


def test_expected_infonce_by_the_bound_itself():
    """The mean of `bounds.infonce` over batches drawn from the joint, with the optimal critic."""
    k, rng = 8, np.random.default_rng(0)
    cells = rng.choice(6, p=SKEWED.ravel(), size=(4000, k))
    critic = np.maximum(pointwise_information(SKEWED), -50)
    values = [
        bounds.infonce(torch.tensor(critic[batch // 3][:, batch % 3])).item() for batch in cells
    ]
    error = np.std(values) / math.sqrt(len(values))
    assert contrast.expected_infonce(SKEWED, k) == pytest.approx(np.mean(values), abs=4 * error)


@pytest.mark.parametrize("joint", [JOINT, SKEWED, np.eye(5) / 5, np.eye(300) / 300])
def test_laws_of_expected_infonce(joint):
    """It rises with K, and stays below I and below log K."""
    ks = (2, 3, 10, 100, 5000)
    found = [contrast.expected_infonce(joint, k) for k in ks]
    assert found == sorted(found)
    for k, value in zip(ks, found, strict=True):
        assert value <= min(mutual_information(joint), ceiling(k)) + 1e-9
    assert contrast.expected_infonce(joint, 10**7) == pytest.approx(
        mutual_information(joint), abs=1e-3
    )


def test_many_values_and_candidates_cost_little():
    """1000 equally likely values shared whole: quick, and log K nearly reached."""
    found = contrast.expected_infonce(np.eye(1000) / 1000, 128)
    r = [1000 * (1 + n) / 128 for n in range(128)]  # a copy of the positive comes n times
    p = [math.comb(127, n) * 0.001**n * 0.999 ** (127 - n) for n in range(128)]
    slow = math.log(1000) - sum(a * math.log(b) for a, b in zip(p, r, strict=True))
    assert found == pytest.approx(slow, abs=1e-9)
    assert ceiling(128) - 0.1 < found < ceiling(128)


@pytest.mark.parametrize(
    ("scores", "temperature", "loss"),
    [((2, 0, 0, 0), 1.0, 0.34075), ((0.9, 0.1, 0.2, 0.0), 0.07, 5.9e-5),
     ((0.9, 0.1, 0.2, 0.0), 0.5, 0.4786), ((5, 5, 5, 5), 1.0, 1.38629),
     ((-800, 800), 1.0, 1600.0), ((800, -800), 1.0, 0.0)],
)  # fmt: skip
def test_infonce_loss(scores, temperature, loss):
    found = contrast.infonce_loss(scores, temperature)
    assert found == pytest.approx(loss, rel=2e-3 if loss < 1e-3 else 1e-4, abs=1e-12)


def test_infonce_loss_is_the_cross_entropy_of_torch():
    """And log K minus the loss is one row of `goodviews.bounds.infonce`."""
    rows = np.random.default_rng(0).normal(size=(6, 6)) * 3
    mine = [contrast.infonce_loss(np.roll(row, -i), 0.3) for i, row in enumerate(rows)]
    scaled = torch.tensor(rows) / 0.3
    torch_loss = torch.nn.functional.cross_entropy(scaled, torch.arange(6))
    assert np.mean(mine) == pytest.approx(torch_loss.item(), rel=1e-10)
    assert ceiling(6) - np.mean(mine) == pytest.approx(bounds.infonce(scaled).item(), rel=1e-9)


def test_nce_posterior():
    assert contrast.nce_posterior(0.6, 0.1, 5) == pytest.approx(0.5455, abs=5e-5)
    for model, noise, k in ((0.3, 0.02, 7), (2.5, 0.4, 1)):
        logit = math.log(model / noise) - math.log(k)
        assert contrast.nce_posterior(model, noise, k) == pytest.approx(1 / (1 + math.exp(-logit)))


def test_nwj_is_attained_by_its_critic_and_by_no_other():
    best = 1 + pointwise_information(JOINT)
    shared = mutual_information(JOINT)
    assert contrast.expected_nwj(JOINT, best) == pytest.approx(shared, rel=1e-12)
    for shift in (-1.0, -0.1, 0.1, 1.0):
        found = contrast.expected_nwj(JOINT, best + shift)
        assert found == pytest.approx(shared + 1 + shift - math.exp(shift))
        assert found < shared
    assert contrast.expected_nwj(SKEWED, 1 + pointwise_information(SKEWED)) == pytest.approx(
        mutual_information(SKEWED)
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: contrast.expected_infonce(JOINT, 1), "no negative"),
        (lambda: contrast.expected_infonce(JOINT * 2, 4), "sum to 1"),
        (lambda: contrast.infonce_loss([1.0]), "scores"),
        (lambda: contrast.infonce_loss([1.0, math.inf]), "scores"),
        (lambda: contrast.infonce_loss([1, 0], 0), "temperature: 0"),
        (lambda: contrast.nce_posterior(0, 0, 1), "cannot be compared"),
        (lambda: contrast.nce_posterior(0.5, 0.5, 0), "cannot be compared"),
        (lambda: contrast.expected_nwj(JOINT, [1.0]), "critic: shape"),
    ],
)
def test_what_cannot_be(call, words):
    with pytest.raises(UserError, match=words):
        call()
