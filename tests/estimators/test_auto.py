"""The method that chooses: what it chooses on worlds made for each method, and why."""

import math

import numpy as np
import pytest

from goodviews.data import worlds
from goodviews.estimators import auto as auto_module
from goodviews.estimators.auto import LIGHT_TAILS, auto, difference, pilot, pilot_gain
from goodviews.estimators.copula import gaussian, student
from goodviews.estimators.discrete import discrete
from goodviews.estimators.neighbors import ksg
from goodviews.estimators.neural import neural
from goodviews.estimators.reading import Reading
from goodviews.estimators.variables import Variable


def draw(world: worlds.World, n: int, seed: int = 0) -> tuple[Variable, Variable]:
    x, y = world.sample(n, seed)
    return (
        Variable(x.reshape(n, -1).astype(np.float64), world.levels_x),
        Variable(y.reshape(n, -1).astype(np.float64), world.levels_y),
    )


def read(x: Variable, y: Variable, shuffles: int = 0, **settings: object) -> Reading:
    return auto(x, y, **{"seed": 0, "shuffles": shuffles, "parts": 3, **settings})


def interval(reading: Reading) -> tuple[float, float]:
    error = reading.values.std(ddof=1) / math.sqrt(len(reading.values))
    return reading.nats - 1.96 * error, reading.nats + 1.96 * error


def folded(n: int, dim: int = 1, seed: int = 0) -> tuple[Variable, Variable]:
    """The absolute value and noise: dependent, uncorrelated."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, dim))
    return Variable(x), Variable(np.abs(x) + 0.3 * rng.normal(size=(n, dim)))


def brief(x: Variable, y: Variable, **settings: object) -> Reading:
    """Small critics, trained for a short time."""
    return neural(x, y, **{**settings, "steps": 200, "hidden": 32, "depth": 2})


@pytest.fixture
def short(monkeypatch):
    """Pilots and trainings of a few steps."""
    monkeypatch.setattr(auto_module, "PILOT_STEPS", 50)
    monkeypatch.setattr(auto_module, "PILOT_MEMBERS", 1)
    monkeypatch.setattr(auto_module, "neural", brief)


@pytest.fixture
def no_critics(monkeypatch):
    """Fails where a critic is trained."""

    def never(*_args, **_settings):
        raise AssertionError("a critic was trained")

    monkeypatch.setattr(auto_module, "neural", never)
    monkeypatch.setattr(auto_module, "train", never)


# --- what is chosen -------------------------------------------------------------------------------


def test_curves_in_few_dimensions_go_to_neighbours(no_critics):
    x, y = folded(600)
    reading = read(x, y, shuffles=3)
    assert reading.details["chosen"] == "ksg"
    assert "ksg sees +" in reading.details["why"]
    same = ksg(x, y, seed=0, shuffles=3)
    np.testing.assert_array_equal(reading.values, same.values)
    np.testing.assert_array_equal(reading.shuffled, same.shuffled)
    assert reading.details["t-copula"] == student(x, y, seed=0, shuffles=0).nats < reading.nats


@pytest.mark.parametrize("widths", [(1, 1), (2, 1)])
def test_gaussian_pairs_go_to_the_closed_form(no_critics, widths):
    covariance = np.full((sum(widths), sum(widths)), 0.5) + 0.5 * np.eye(sum(widths))
    world = worlds.from_covariance(covariance, widths[0])
    x, y = draw(world, 1000)
    reading = read(x, y)
    assert reading.details["chosen"] == "gaussian"
    assert "no heavy tails" in reading.details["why"]
    assert reading.nats == gaussian(x, y, seed=0, shuffles=0).nats
    low, high = interval(reading)
    assert low - 0.02 < world.nats < high + 0.02


def test_heavy_tails_go_to_the_t_copula(no_critics):
    world = worlds.student(1, 1, 2.0, np.array([[1.0, 0.6], [0.6, 1.0]]))
    x, y = draw(world, 1500, seed=1)
    reading = read(x, y)
    assert reading.details["chosen"] == "student"
    assert reading.nats == student(x, y, seed=0, shuffles=0).nats
    assert reading.nats == pytest.approx(world.nats, abs=0.08)


@pytest.mark.parametrize("world", [worlds.sparse(2), worlds.student(2, 2, 2.0)])
def test_elliptical_worlds_need_no_critics(short, monkeypatch, world):
    """The pilot sees that critics add nothing: no others are trained."""
    monkeypatch.setattr(auto_module, "neural", None)
    x, y = draw(world, 600)
    reading = read(x, y)
    light = min(student(x, y, seed=0, shuffles=0).details["nu"]) >= LIGHT_TAILS
    assert reading.details["chosen"] == ("gaussian" if light else "student")
    assert "critics see no more than the copula" in reading.details["why"]
    assert reading.nats == pytest.approx(world.nats, abs=0.12)


def test_critics_are_reported_where_they_see_more(short, monkeypatch):
    """In four dimensions, on curves that the copula cannot see."""
    monkeypatch.setattr(auto_module, "PILOT_STEPS", 100)
    x, y = folded(600, dim=2)
    reading = read(x, y)
    assert reading.details["chosen"] == "neural"
    assert "critics see +" in reading.details["why"]
    assert reading.nats > reading.details["t-copula"] + 0.2


@pytest.mark.slow
def test_spirals_go_to_critics():
    world = worlds.spiral(3)
    x, y = draw(world, 2000)
    reading = read(x, y)
    assert reading.details["chosen"] == "neural"
    assert reading.details["t-copula"] + 0.1 < reading.nats < world.nats + 0.1


def test_critics_that_see_less_are_not_reported(short, monkeypatch):
    """Whatever the pilot says, held-out rows decide."""
    x, y = draw(worlds.sparse(3), 400)
    copula = student(x, y, seed=0, shuffles=0)
    worse = Reading(
        copula.values - 0.1 + 0.05 * np.random.default_rng(0).normal(size=400), copula.shuffled
    )
    monkeypatch.setattr(auto_module, "pilot", lambda *_: ("copula", 1.0))
    monkeypatch.setattr(auto_module, "neural", lambda *_, **__: worse)
    assert read(x, y).details["chosen"] in ("gaussian", "student")


# --- labels ---------------------------------------------------------------------------------------


def test_labels_are_counted(no_critics):
    x, y = draw(worlds.erasure(), 500)
    reading = read(x, y, shuffles=3)
    assert reading.details["chosen"] == "discrete"
    assert reading.details["why"] == "both are labels"
    same = discrete(x, y, seed=0, shuffles=3)
    np.testing.assert_array_equal(reading.values, same.values)
    np.testing.assert_array_equal(reading.shuffled, same.shuffled)


@pytest.mark.parametrize("swap", [False, True])
def test_labels_beside_few_dimensions_go_to_neighbours(no_critics, swap):
    world = worlds.gaussian_classes(3, gap=3.0)
    pair = draw(world, 800)
    reading = read(*(pair[::-1] if swap else pair))
    assert reading.details["chosen"] == "ksg"
    assert reading.nats == pytest.approx(world.nats, abs=0.08)


@pytest.mark.parametrize(("dim", "swap"), [(4, False), (4, True), (7, False)])
def test_labels_beside_many_dimensions(short, dim, swap):
    """One column tells of the label, the others are noise."""
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=(400, 1))
    x = rng.normal(size=(400, dim))
    x[:, :1] += 6 * labels
    pair = Variable(x), Variable(labels.astype(float), levels=2)
    reading = read(*(pair[::-1] if swap else pair))
    assert reading.details["chosen"] in ("ksg", "neural")
    assert 0.3 < reading.nats < math.log(2) + 0.05


# --- no dependence --------------------------------------------------------------------------------


@pytest.mark.parametrize(("dim", "seeds"), [(1, 12), (2, 2)])
def test_independent_variables_share_nothing(short, dim, seeds):
    """At most one interval in twelve lies above 0."""
    above, found = 0, []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        x, y = (Variable(rng.normal(size=(200, dim))) for _ in range(2))
        reading = read(x, y)
        above += interval(reading)[0] > 1e-12
        found.append(reading.nats)
    assert above <= 1
    assert abs(np.median(found)) < 0.02 and abs(np.mean(found)) < 0.03


@pytest.mark.parametrize("dim", [1, 2])
def test_heavy_tails_on_their_own_are_no_dependence(short, dim):
    x, y = draw(worlds.student(dim, dim, 2.0), 400)
    order = np.random.default_rng(0).permutation(400)
    assert abs(read(x, y.take(order)).nats) < 0.04


# --- laws -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [1, 2])
def test_increasing_maps_change_nothing(short, dim):
    x, y = draw(worlds.sparse(dim, 1), 120)
    bent = Variable(np.exp(x.values)), Variable(np.arctan(y.values) - 7)
    first, second = read(x, y, shuffles=2), read(*bent, shuffles=2)
    assert second.nats == pytest.approx(first.nats, abs=1e-6)
    assert second.details["chosen"] == first.details["chosen"]
    np.testing.assert_allclose(second.shuffled, first.shuffled, atol=1e-6)


def test_neighbours_read_ranks():
    x, y = folded(200)
    bent = Variable(x.values**3), Variable(np.exp(y.values))
    exact = ksg(x, y, seed=0, shuffles=0).nats
    assert ksg(*bent, seed=0, shuffles=0).nats == pytest.approx(exact, abs=1e-6)


def test_a_seed_gives_one_number(short):
    x, y = draw(worlds.sparse(2), 90)
    first, second = (read(x, y, shuffles=2) for _ in range(2))
    np.testing.assert_array_equal(first.values, second.values)
    np.testing.assert_array_equal(first.shuffled, second.shuffled)
    assert first.details == second.details


@pytest.mark.parametrize(
    ("n", "dim"), [(10, 1), (13, 1), (20, 1), (50, 1), (10, 3), (13, 3), (50, 3)]
)
def test_few_rows(short, n, dim):
    x, y = draw(worlds.gaussian(dim, 1.0), n)
    reading = read(x, y, shuffles=2)
    assert reading.values.shape == (n,) and np.isfinite(reading.values).all()


@pytest.mark.parametrize("n", [10, 19])
def test_few_rows_in_the_default_folds(short, n):
    x, y = draw(worlds.gaussian(3, 1.0), n)
    reading = read(x, y, parts=10)
    assert np.isfinite(reading.values).all()


def test_single_precision_copies_and_constants_are_read(short):
    x, y = draw(worlds.sparse(2), 120)
    base = read(x, y)
    single = read(Variable(x.values.astype(np.float32)), y)
    assert single.nats == pytest.approx(base.nats, abs=1e-6)
    wide = Variable(np.hstack([x.values, x.values[:, :1], np.ones((120, 1))]))
    assert read(wide, y).nats == pytest.approx(base.nats, abs=0.05)


# --- pieces ---------------------------------------------------------------------------------------


def test_difference_is_row_by_row():
    rng = np.random.default_rng(0)
    common = rng.normal(size=100)
    first, second = (Reading(common + v, np.zeros(0)) for v in rng.normal(0.1, 0.01, (2, 100)))
    gaps = [a - b for a, b in zip(first.values, second.values, strict=True)]
    gap, error = difference(first, second)
    assert gap == pytest.approx(sum(gaps) / 100)
    exact = math.sqrt(sum((g - gap) ** 2 for g in gaps) / 99 / 100)
    assert error == pytest.approx(exact)
    assert error < 0.01 < first.values.std(ddof=1) / 10


def test_pilots_ask_more_of_fewer_rows():
    assert pilot_gain(5000) == pytest.approx(0.01)
    assert pilot_gain(1250) == pytest.approx(0.02)


def test_pilots_tell_copulas_from_curves(monkeypatch):
    monkeypatch.setattr(auto_module, "PILOT_STEPS", 100)
    for pair, sees in ((draw(worlds.sparse(2), 450), False), (folded(450, dim=2), True)):
        start, gain = pilot(*pair, parts=3, seed=0, device="cpu", degrees=(3.0, math.inf))
        assert start in ("none", "copula")
        assert (gain > pilot_gain(450)) is sees
        assert gain >= 0 or start == "none"
