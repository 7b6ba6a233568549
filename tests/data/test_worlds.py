"""Worlds of known information: the exact log-ratio, the closed forms and the samples agree."""

import itertools
import math

import numpy as np
import pytest
from scipy import integrate, stats

from goodviews.data import worlds
from goodviews.data.worlds import WORLDS, World
from goodviews.interfaces import UserError

ROWS = 20_000
PICTURES = "factor-images"


@pytest.fixture(scope="module")
def made():
    """Each world once, with a sample."""
    kept: dict[str, tuple] = {}

    def make(name):
        if name not in kept:
            world = WORLDS[name]()
            kept[name] = (world, *world.sample(50 if name == PICTURES else ROWS, seed=1))
        return kept[name]

    return make


# --- one battery ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WORLDS)
def test_samples_have_their_shape_and_repeat(made, name):
    world, x, y = made(name)
    for values, width, levels in (
        (x, world.dim_x, world.levels_x),
        (y, world.dim_y, world.levels_y),
    ):
        if levels:
            assert values.shape == (len(x),) and values.dtype == np.int64 and width == 1
            assert set(np.unique(values)) == set(range(levels))
        else:
            assert values.shape == (len(x), width) and values.dtype == np.float64
            assert np.isfinite(values).all()
    again, other = world.sample(len(x), seed=1), world.sample(len(x), seed=2)
    np.testing.assert_array_equal(again[0], x)
    np.testing.assert_array_equal(again[1], y)
    assert not np.array_equal(other[0], x) and not np.array_equal(other[1], y)
    with pytest.raises(UserError, match="n: 0 pairs. Draw"):
        world.sample(0)


RATIOS = [name for name in WORLDS if name != PICTURES]


@pytest.mark.parametrize("name", RATIOS)
def test_the_mean_log_ratio_is_the_information(made, name):
    world, x, y = made(name)
    values = world.log_ratio(x, y)
    assert values.shape == (ROWS,)
    stderr = math.hypot(values.std() / math.sqrt(ROWS), world.nats_stderr)
    assert abs(values.mean() - world.nats) <= 4 * stderr + 1e-12
    assert world.nats_stderr < 0.005


@pytest.mark.parametrize("name", RATIOS)
def test_the_ratio_is_a_density_of_the_joint_under_the_product(made, name):
    """E_product[r] = 1; where r is heavy-tailed, E_product[min(r, c)] = E_joint[min(1, c/r)]."""
    world, x, y = made(name)
    joint = world.log_ratio(x, y)
    product = np.concatenate([world.log_ratio(x, np.roll(y, step, axis=0)) for step in (1, 7, 100)])
    cap = 3.0
    left, right = np.minimum(np.exp(product), cap), np.minimum(1.0, cap / np.exp(joint))
    stderr = math.hypot(left.std() / math.sqrt(ROWS), right.std() / math.sqrt(ROWS))
    assert abs(left.mean() - right.mean()) <= 4 * stderr + 1e-12
    if world.nats < 0.5:
        assert np.exp(product).mean() == pytest.approx(1.0, abs=0.05)


# --- two roads to one number ---------------------------------------------------------------------


def test_gaussians_have_their_dial():
    for dim, nats in itertools.product((1, 20), (0.0, 0.5, 2.0, 10.0)):
        world = worlds.gaussian(dim, nats)
        assert world.nats == nats
        x, y = world.sample(ROWS)
        rho = math.sqrt(1 - math.exp(-2 * nats / dim))
        seen = np.mean([np.corrcoef(x[:, k], y[:, k])[0, 1] for k in range(dim)])
        assert seen == pytest.approx(rho, abs=0.02)


@pytest.mark.parametrize("make", [worlds.sparse, worlds.dense, worlds.noisy_images])
def test_gaussian_log_ratios_are_those_of_scipy(make):
    world = make(3)
    x, y = world.sample(50_000)
    z = np.hstack([x, y])
    exact = {"sparse": lambda: _pair_covariance(3, 2, 0.8), "dense": lambda: _dense(3, 0.5)}
    if make.__name__ not in exact:
        covariance = _image_covariance(3, 0.9, 0.5)
    else:
        covariance = exact[make.__name__]()
    np.testing.assert_allclose(np.cov(z.T), covariance, atol=0.04)
    parts = [
        stats.multivariate_normal(np.zeros(len(c)), c).logpdf(v[:20])
        for c, v in (
            (covariance, z),
            (covariance[: world.dim_x, : world.dim_x], x),
            (covariance[world.dim_x :, world.dim_x :], y),
        )
    ]
    np.testing.assert_allclose(
        world.log_ratio(x[:20], y[:20]), parts[0] - parts[1] - parts[2], atol=1e-9
    )


def _pair_covariance(dim, pairs, rho):
    covariance = np.eye(2 * dim)
    for k in range(pairs):
        covariance[k, dim + k] = covariance[dim + k, k] = rho
    return covariance


def _dense(dim, rho):
    return np.array([[1.0 if i == j else rho for i in range(2 * dim)] for j in range(2 * dim)])


def _image_covariance(side, rho, noise):
    pixels = list(itertools.product(range(side), repeat=2)) * 2
    covariance = np.array(
        [[rho ** (abs(a - c) + abs(b - d)) for a, b in pixels] for c, d in pixels]
    )
    return covariance + noise**2 * np.eye(len(pixels))


def test_the_past_tells_of_the_future_by_its_last_value_only():
    for past, future in ((1, 1), (4, 2), (7, 7)):
        nats = worlds.autoregression(0.7, past, future).nats
        assert nats == pytest.approx(-0.5 * math.log(1 - 0.49), abs=1e-12)


def test_more_rows_tell_more():
    told = [worlds.noisy_images(6, rows=rows).nats for rows in range(1, 7)]
    assert told == sorted(told) and told[0] > 1
    louder = worlds.noisy_images(6, noise=1.0).nats
    assert louder < told[-1]


@pytest.mark.parametrize(("dof", "rho"), [(3.0, 0.0), (5.0, 0.6)])
def test_student_is_the_integral(dof, rho):
    """The closed form against numerical integration of p log p/(p p) with scipy's densities."""
    scale = np.array([[1.0, rho], [rho, 1.0]])
    world = worlds.student(1, 1, dof, scale)
    joint, margin = stats.multivariate_t(shape=scale, df=dof), stats.t(dof)
    grid = np.sinh(np.linspace(-6, 6, 1201))
    x, y = np.meshgrid(grid, grid, indexing="ij")
    log_joint = joint.logpdf(np.stack([x, y], axis=-1))
    log_ratio = log_joint - margin.logpdf(x) - margin.logpdf(y)
    inner = integrate.trapezoid(np.exp(log_joint) * log_ratio, grid, axis=1)
    assert integrate.trapezoid(inner, grid) == pytest.approx(world.nats, abs=2e-4)
    ours = world.log_ratio(x.reshape(-1, 1)[::999], y.reshape(-1, 1)[::999])
    np.testing.assert_allclose(ours, log_ratio.ravel()[::999], atol=1e-9)


def test_student_numbers_of_the_literature():
    """Czyz et al. (2023): uncorrelated, yet dependent by the common scale."""
    known = {(1, 1, 1): 0.2242, (2, 2, 1): 0.4319, (3, 3, 2): 0.2909, (5, 5, 3): 0.2985}
    for arguments, nats in known.items():
        assert worlds.student(*arguments).nats == pytest.approx(nats, abs=5e-5)
    assert worlds.student(2, 3, dof=1e6).nats == pytest.approx(0.0, abs=1e-4)


def test_a_mixture_is_the_integral():
    world = worlds.cross(0.9)
    grid = np.linspace(-8, 8, 801)
    x, y = np.meshgrid(grid, grid, indexing="ij")
    arms = [stats.multivariate_normal([0, 0], [[1, s], [s, 1]]) for s in (0.9, -0.9)]
    joint = sum(arm.pdf(np.stack([x, y], axis=-1)) for arm in arms) / 2
    ratio = np.log(np.maximum(joint, 1e-300)) - stats.norm.logpdf(x) - stats.norm.logpdf(y)
    nats = integrate.trapezoid(integrate.trapezoid(joint * ratio, grid, axis=1), grid)
    assert abs(nats - world.nats) <= 4 * world.nats_stderr
    assert 0 < world.nats_stderr < 0.002


def test_the_rest_is_the_integral():
    """Additive noise and mixed pairs: slow sums over fine grids."""
    for width in (0.1, 0.5, 0.75, 2.0):
        grid = np.linspace(-width, 1 + width, 400_001)
        density = (np.minimum(1, grid + width) - np.maximum(0, grid - width)) / (2 * width)
        entropy = -integrate.trapezoid(density * np.log(np.maximum(density, 1e-300)), grid)
        exact = entropy - math.log(2 * width)
        assert worlds.additive_uniform(width).nats == pytest.approx(exact, abs=1e-4)
    centres = np.array([0.0, 1.5, 3.0, 4.5])
    density = lambda v: np.mean(stats.norm.pdf(v, centres))  # noqa: E731
    entropy = -integrate.quad(lambda v: density(v) * math.log(density(v)), -10, 15)[0]
    exact = entropy - 0.5 * math.log(2 * math.pi * math.e)
    assert worlds.gaussian_classes(4, 1.5).nats == pytest.approx(exact, abs=1e-7)


def test_channels_are_their_tables():
    flip = 0.11
    binary = -flip * math.log(flip) - (1 - flip) * math.log(1 - flip)
    assert worlds.binary_symmetric(flip).nats == pytest.approx(math.log(2) - binary)
    assert worlds.erasure(0.3, 5).nats == pytest.approx(0.7 * math.log(5))
    joint = np.array([[0.2, 0.0, 0.1], [0.3, 0.3, 0.1]])
    x, y = worlds.table(joint).sample(200_000)
    counts = np.zeros((2, 3))
    np.add.at(counts, (x, y), 1 / len(x))
    np.testing.assert_allclose(counts, joint, atol=0.005)


# --- maps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", worlds.MARGINS)
def test_margins_keep_ranks_and_truth(name):
    base = worlds.sparse(3)
    world = worlds.margins(base, name)
    x, y = base.sample(2000)
    u, v = world.sample(2000)
    assert world.nats == base.nats
    np.testing.assert_array_equal(u.argsort(axis=0), x.argsort(axis=0))
    np.testing.assert_array_equal(v.argsort(axis=0), y.argsort(axis=0))
    assert not np.allclose(u, x)
    np.testing.assert_allclose(world.log_ratio(u, v), base.log_ratio(x, y), atol=1e-6)


def test_margins_are_as_said():
    """Uniform after the normal CDF; three halves of a power; rolled up between two radii."""
    x, y = worlds.margins(worlds.gaussian(1, 1.0), "normal-cdf").sample(5000)
    assert min(stats.kstest(side[:, 0], "uniform").pvalue for side in (x, y)) > 1e-3
    x, _ = worlds.margins(worlds.gaussian(1, 1.0), "half-cube").sample(5000)
    assert stats.kstest(np.sign(x) * np.abs(x) ** (2 / 3), "norm").pvalue > 1e-3
    x, _ = worlds.margins(worlds.student(1, 1, 3), "asinh").sample(5000)
    assert stats.kstest(np.sinh(x)[:, 0], stats.t(3).cdf).pvalue > 1e-3
    x, _ = worlds.swiss_roll().sample(5000)
    radius = np.linalg.norm(x, axis=1) * 21
    assert radius.min() >= 1.5 * np.pi and radius.max() <= 4.5 * np.pi


@pytest.mark.parametrize("dim", [2, 3, 25])
def test_spirals_turn_by_the_length(dim):
    base, world = worlds.sparse(dim), worlds.spiral(dim, speed=0.4)
    x, y = base.sample(500)
    u, v = world.sample(500)
    for before, after, (i, j) in ((x, u, (0, 1)), (y, v, (1, 2) if dim > 2 else (0, 1))):
        squares = np.square(before).sum(1)
        np.testing.assert_allclose(np.square(after).sum(1), squares)
        turned = (before[:, i] + 1j * before[:, j]) * np.exp(0.4j * squares)
        np.testing.assert_allclose(after[:, i] + 1j * after[:, j], turned)
    np.testing.assert_allclose(world.log_ratio(u, v), base.log_ratio(x, y), atol=1e-8)
    assert worlds.spiral(4).sample(5)[0] == pytest.approx(worlds.spiral(4, 0.25).sample(5)[0])


def test_images_share_what_they_are_said_to_share():
    both = worlds.factor_images(["digit", "position"])
    assert both.nats == pytest.approx(math.log(90)) and both.log_ratio is None
    assert worlds.factor_images([]).nats == 0.0
    x, y = both.sample(40)
    assert x.min() >= 0 and x.max() <= 1
    same = np.abs(x - y).mean(1)
    assert (same > 0.01).all()  # another background, another handwriting
    with pytest.raises(UserError, match="digit"):
        worlds.factor_images(["digits"])


# --- mistakes ------------------------------------------------------------------------------------

MISTAKES = {
    "gaussian: dim 0": lambda: worlds.gaussian(0),
    "nats -1": lambda: worlds.gaussian(2, -1),
    r"correlation: 1.0 is not in \(-1, 1\)": lambda: worlds.sparse(rho=1.0),
    "pairs: 6 of 5": lambda: worlds.sparse(5, 6),
    "not symmetric and positive": lambda: worlds.dense(5, -0.5),
    "dim_x: 2 of 2": lambda: worlds.from_covariance(np.eye(2), 2),
    "rows 9": lambda: worlds.noisy_images(8, rows=9),
    "student: dof 0": lambda: worlds.student(dof=0),
    "not probabilities": lambda: worlds.mixture(
        np.array([0.5]), np.zeros((1, 2)), np.eye(2)[None], 1
    ),
    "Make it sum to 1": lambda: worlds.table(np.eye(2)),
    "flip: 2 is not a probability": lambda: worlds.binary_symmetric(2),
    "width: 0 is not positive": lambda: worlds.additive_uniform(0),
    "Did you mean 'cubic'": lambda: worlds.margins(worlds.sparse(), "cubik"),
    "factor-images : no log-ratio": lambda: worlds.monte_carlo(worlds.factor_images([])),
    "spiral: dim 1. Turning": lambda: worlds.spiral(1),
}


@pytest.mark.parametrize("words", MISTAKES)
def test_mistakes_are_named(words):
    with pytest.raises(UserError, match=words):
        MISTAKES[words]()


def test_monte_carlo_has_an_honest_error():
    exact = worlds.gaussian(1, 0.7)
    found = [worlds.monte_carlo(exact, draws) for draws in (2_000, 50_000)]
    for world in found:
        assert isinstance(world, World) and abs(world.nats - 0.7) <= 4 * world.nats_stderr
    assert found[0].nats_stderr / found[1].nats_stderr == pytest.approx(5.0, rel=0.1)
