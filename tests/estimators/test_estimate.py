"""The one call: the formulas of interval and p-value, and every method there is."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

import goodviews
from goodviews.estimators import ESTIMATORS, MethodInfo
from goodviews.estimators.estimate import Comparison, chosen_methods, compare, estimate, read_all
from goodviews.estimators.fitted import MutualInformation
from goodviews.estimators.reading import Reading
from goodviews.estimators.variables import Variable
from goodviews.interfaces import UserError

N = 300
NORMAL = np.random.default_rng(0).normal(size=N)
NOISE = np.random.default_rng(1).normal(size=N)
LABELS = np.random.default_rng(2).integers(0, 4, N)
QUICK = [name for name, info in ESTIMATORS.items() if info.quick]


def double(
    x: Variable, y: Variable, *, seed: int, shuffles: int, device: str = "cpu", power: int = 1
) -> Reading:
    """A method whose every number is plain: the mean of x y."""
    rng = np.random.default_rng(seed)
    a, b = x.values[:, 0] ** power, y.values[:, 0]
    shuffled = np.array([(a * rng.permutation(b)).mean() for _ in range(shuffles)])
    return Reading(
        a * b, shuffled, "lower", -1.0, 3.0, 4.0, 55, "all", {"device": device}, ("of the method",)
    )


def broken(x: Variable, y: Variable, *, seed: int, shuffles: int, device: str = "cpu") -> Reading:
    """A method that fails in the way the seed says."""
    if seed == 1:
        raise MemoryError
    if seed == 2:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
    if seed == 3:
        raise RuntimeError("a fault of ours")
    return Reading(np.full(len(x), np.nan), np.zeros(0))


@pytest.fixture(autouse=True)
def doubles(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put the two in the catalogue."""
    module = ModuleType("goodviews.estimators.doubles")
    module.double, module.broken = double, broken  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    every = ("numbers", "labels", "mixed")
    plain = MethodInfo("doubles:double", "The mean of x y.", scale_free=False, reads=every)
    slow = MethodInfo("doubles:double", "A slow one.", scale_free=False, quick=False, device=True)
    for name, info in {"double": plain, "slow": slow}.items():
        monkeypatch.setitem(ESTIMATORS, name, info)
    monkeypatch.setitem(ESTIMATORS, "broken", MethodInfo("doubles:broken", "Fails."))
    yield


# --- the estimate ---------------------------------------------------------------------------------


def test_interval_null_and_p_from_their_formulas() -> None:
    """Mean, sd / sqrt(n), mean of the shuffled, (1 + reached) / (1 + shuffles): by a slow loop."""
    y = 0.1 * NORMAL + NOISE
    found = estimate(NORMAL, y, "double", seed=3, shuffles=50)
    products = [a * b for a, b in zip(NORMAL.tolist(), y.tolist(), strict=True)]
    mean = sum(products) / N
    sd = math.sqrt(sum((v - mean) ** 2 for v in products) / (N - 1))
    assert found.nats == pytest.approx(mean, abs=1e-12)
    assert found.stderr == pytest.approx(sd / math.sqrt(N), abs=1e-12)
    low, high = found.interval
    assert high - low == pytest.approx(2 * 1.96 * sd / math.sqrt(N))
    rng = np.random.default_rng(3)
    shuffled = [float((NORMAL * rng.permutation(y)).mean()) for _ in range(50)]
    assert found.null == pytest.approx(sum(shuffled) / 50)
    assert found.p_value == (1 + sum(v >= mean for v in shuffled)) / 51
    assert 1 / 51 < found.p_value < 0.5


def test_what_the_method_says_is_kept() -> None:
    """Bounds, ceiling, kind, split, details and warnings pass through."""
    found = estimate(NORMAL, NORMAL + NOISE, "double")
    assert (found.kind, found.lower, found.upper, found.ceiling) == ("lower", -1.0, 3.0, 4.0)
    assert (found.candidates, found.split, found.method, found.rows) == (55, "all", "double", N)
    assert found.details["shuffles"] == ESTIMATORS["double"].shuffles
    assert (found.details["x"], found.details["device"]) == ("numbers", "cpu")
    assert "of the method" in found.warnings


def test_no_shuffles_no_null() -> None:
    """With 0 there is none, and nothing is made up."""
    found = estimate(NORMAL, NOISE, "double", shuffles=0)
    assert (found.null, found.p_value) == (None, None)


def test_equal_values_count_as_reached() -> None:
    """A statistic that shuffling cannot change has p = 1, rounding errors or not."""
    found = estimate(np.r_[np.zeros(150), np.ones(150)], 0.1 + 0 * NORMAL + 1e-18 * NOISE + np.r_[
        np.zeros(1), np.full(299, 1e-16)], "double", discrete_x=False)  # fmt: skip
    assert found.p_value == 1.0


def test_the_unit_check() -> None:
    """A quick method that sees units is read again with x times 10; a slow one is not."""
    (line,) = [w for w in estimate(NORMAL, NORMAL, "double").warnings if "units" in w]
    assert f"reads {10 * np.mean(NORMAL**2):.3f} nats" in line
    odd = estimate(NORMAL, np.roll(NORMAL, 7) * 1e-3, "double")
    assert not [w for w in odd.warnings if "units" in w]
    assert [w for w in estimate(NORMAL, NOISE, "slow", device="cpu").warnings if "units" in w]
    ranks = estimate(NORMAL, NORMAL + NOISE, "ksg", shuffles=0)
    assert not [w for w in ranks.warnings if "units" in w]


def test_false_positives() -> None:
    """On independent pairs p < 0.05 comes in 2 to 8 of 100, by construction of the p-value."""
    for method, labels in (("double", False), ("discrete", True)):
        hits, runs = 0, 400
        for seed in range(runs):
            rng = np.random.default_rng(seed)
            x, y = rng.integers(0, 3, (2, 100)) if labels else rng.normal(size=(2, 40))
            found = estimate(x, y, method, seed=seed, shuffles=99)
            assert found.p_value is not None
            hits += found.p_value < 0.05
        assert 0.02 <= hits / runs <= 0.08, (method, hits)


def test_seed_decides() -> None:
    """The same seed gives the same estimate, another seed other shuffles."""
    one, same, other = (estimate(NORMAL, NOISE, "ksg", s, shuffles=9) for s in (0, 0, 1))
    assert one == same
    assert one.null != other.null


def test_rows_and_types_of_both_sides() -> None:
    """Lists, labels and columns go in as they are."""
    found = estimate(NORMAL.tolist(), ["yes" if v > 0 else "no" for v in NORMAL], "ksg", shuffles=0)
    assert found.details["y"] == "2 labels"
    assert found.nats == pytest.approx(math.log(2), abs=0.02)
    as_numbers = estimate(LABELS, LABELS % 2, "mixed", discrete_x=False, discrete_y=False)
    assert as_numbers.details["x"] == "numbers"


def test_json_is_finite() -> None:
    """Estimate.to_dict goes into strict JSON."""
    from goodviews.studies.folder import plain

    text = json.dumps(plain(estimate(NORMAL, NOISE, "ksg").to_dict()), allow_nan=False)
    assert json.loads(text)["rows"] == N


# --- what is refused ------------------------------------------------------------------------------

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"method": "ksgg"}, "unknown 'ksgg'. Did you mean 'ksg'"),
    ({"method": "ksg", "seed": -1}, "--seed: -1. Use a whole number, 0 or more"),
    ({"method": "ksg", "seed": 1.5}, "--seed: 1.5"),
    ({"method": "ksg", "shuffles": -1}, "--shuffles: -1"),
    ({"method": "ksg", "device": "tpu"}, "--device: 'tpu'. Use auto, cpu, cuda or mps"),
    ({"method": "ksg", "neighbours": 3}, "unknown 'neighbours'. Did you mean 'neighbors'"),
    ({"method": "broken", "neighbors": 3}, "neighbors: method broken has no settings"),
    ({"method": "discrete"}, "does not read these variables .x is numbers and y is numbers."),
    ({"method": "student", "discrete_y": True}, "y: all 300 labels are different"),
    ({"method": "mixed", "given": NOISE}, "--given: method mixed cannot condition"),
    ({"method": "ksg", "given": NOISE[:-1]}, "given: 299 rows, but x has 300"),
    ({"method": "broken"}, "its values are not finite"),
    ({"method": "broken", "seed": 1}, "not enough memory for 300 rows"),
    ({"method": "broken", "seed": 2}, "not enough memory for 300 rows"),
]


@pytest.mark.parametrize(("arguments", "words"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_refused(arguments: dict[str, Any], words: str) -> None:
    """One line with thing, value and remedy."""
    with pytest.raises(UserError, match=words) as error:
        estimate(NORMAL, NOISE, **arguments)
    assert "\n" not in str(error.value)


def test_faults_of_ours_are_not_hidden() -> None:
    """A RuntimeError that is no lack of memory stays one."""
    with pytest.raises(RuntimeError, match="a fault of ours"):
        estimate(NORMAL, NOISE, "broken", seed=3)


def test_labels_where_numbers_are_needed() -> None:
    """The message names methods that can."""
    with pytest.raises(UserError, match="y is 4 labels.*Use --method auto or ksg or mixed"):
        estimate(NORMAL, LABELS, "student")
    with pytest.raises(UserError, match="x is 4 labels and y is 4 labels.*discrete"):
        estimate(LABELS, (LABELS + 1) % 4, "ksg")


# --- every method ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", QUICK)
def test_each_quick_method_on_a_known_truth(name: str) -> None:
    """Near the truth with information, near 0 without, on each kind of pair that it reads."""
    rng = np.random.default_rng(5)
    x, noise = rng.normal(size=(2, 1000))
    y = 0.8 * x + 0.6 * noise
    coin = rng.integers(0, 2, 1000)
    flipped = np.where(rng.random(1000) < 0.1, 1 - coin, coin)
    kept = math.log(2) + 0.1 * math.log(0.1) + 0.9 * math.log(0.9)
    cases = {
        "numbers": (x, y, -0.5 * math.log(1 - 0.64)),
        "labels": (coin, flipped, kept),
        "mixed": (x + 10 * flipped, coin, kept),
    }
    for kind in ESTIMATORS[name].reads:
        a, b, truth = cases[kind]
        found = estimate(a, b, name, shuffles=0)
        assert found.nats == pytest.approx(truth, abs=0.15), kind
        assert abs(estimate(a, rng.permutation(b), name, shuffles=0).nats) < 0.1, kind


@pytest.mark.parametrize("name", [name for name, info in ESTIMATORS.items() if info.given])
def test_each_conditional_method(name: str) -> None:
    """I(x;y|z): 0 where z explains all, though I(x;y) is large."""
    rng = np.random.default_rng(5)
    z, first, second = rng.normal(size=(3, 1000))
    x, y = z + 0.5 * first, z + 0.5 * second
    if "numbers" not in ESTIMATORS[name].reads:
        x, y, z = (np.digitize(v, [0]) for v in (z, z, z))
    found = estimate(x, y, name, given=z, shuffles=0)
    assert abs(found.nats) < 0.1
    assert estimate(x, y, name, shuffles=0).nats > 0.3
    assert "given" in found.details


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_catalogue(name: str) -> None:
    """Each entry loads, has one line of text, and takes the settings it fixes."""
    info = ESTIMATORS[name]
    assert callable(info.load())
    assert info.summary
    assert "\n" not in info.summary
    assert set(info.reads) <= {"numbers", "labels", "mixed"}
    if info.given:
        assert callable(info.load(given=True))


# --- side by side ---------------------------------------------------------------------------------


def test_compare_reads_what_can_be_read() -> None:
    """Methods named are read or refused with the reason; the rest is chosen by the data."""
    told = []
    y = 0.8 * NORMAL + 0.6 * NOISE
    found = compare(
        NORMAL, y, ["ksg", "discrete", "ksg"], shuffles=0, told=lambda *line: told.append(line[0])
    )
    assert isinstance(found, Comparison)
    assert list(found.estimates) == ["ksg"]
    assert found.estimates["ksg"] == estimate(NORMAL, y, "ksg", shuffles=0)
    assert "does not read these variables" in found.refused["discrete"]
    assert told == ["ksg", "discrete"]
    with pytest.raises(UserError, match="Did you mean 'ksg'"):
        compare(NORMAL, y, ["ksg", "kgs"])


def test_which_methods_are_compared() -> None:
    """By default the quick ones that read such data; "all" adds those that train."""
    numbers = read_all((NORMAL, NOISE, None), (None, None, None))
    labels = read_all((LABELS, (LABELS + 1) % 4, None), (None, None, None))
    chosen = chosen_methods(None, numbers)
    assert {"ksg", "student", "double"} <= set(chosen)
    assert not {"slow", "discrete", "auto"} & set(chosen)
    assert set(chosen_methods(["all"], numbers)) >= {*chosen, "slow"}
    assert set(chosen_methods(None, labels)) & {"ksg", "discrete", "double"} == {
        "discrete",
        "double",
    }


# --- scikit-learn style ---------------------------------------------------------------------------


def test_mutual_information_is_a_scikit_learn_estimator() -> None:
    """get_params, set_params, clone, fit returns self, nothing fitted before fit."""
    information = MutualInformation("ksg", seed=4, shuffles=5, settings={"neighbors": 5})
    assert clone(information).get_params() == information.get_params()
    assert information.set_params(seed=7).seed == 7
    with pytest.raises(Exception, match="not fitted"):
        check_is_fitted(information)
    x = np.column_stack([NORMAL, NOISE])
    assert information.fit(x, NORMAL + NOISE) is information
    check_is_fitted(information)
    direct = estimate(x, NORMAL + NOISE, "ksg", 7, shuffles=5, neighbors=5)
    assert information.estimate_ == direct
    assert information.nats_ == direct.nats
    assert information.n_features_in_ == 2
    assert not hasattr(clone(information), "nats_")


def test_mutual_information_conditions_and_reads_labels() -> None:
    """The same as the function for labels and a third variable."""
    information = MutualInformation("discrete", shuffles=0, discrete_x=True, discrete_y=True)
    floats = LABELS.astype(float)
    assert information.fit(floats, floats).nats_ == estimate(LABELS, LABELS, "discrete").nats
    fitted = MutualInformation("ksg", shuffles=0).fit(NORMAL, NORMAL + NOISE, NOISE)
    assert fitted.nats_ == estimate(NORMAL, NORMAL + NOISE, "ksg", given=NOISE, shuffles=0).nats


def test_exported() -> None:
    """The names stand at the front door."""
    assert goodviews.estimate is estimate
    assert goodviews.compare is compare
    assert goodviews.MutualInformation is MutualInformation


def test_a_loose_bound_is_told() -> None:
    """A critic that a few hundred rows cannot teach: the number is small, and said to be."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 10))
    y = x + 0.1 * rng.normal(size=(300, 10))  # 23 nats
    found = estimate(x, y, "nwj", shuffles=0, steps=40, parts=3)
    assert any("far below the" in line and "--method auto" in line for line in found.warnings)
    tight = estimate(x[:, 0], x[:, 0] + rng.normal(size=300), "gaussian")
    assert not any("far below" in line for line in tight.warnings)
