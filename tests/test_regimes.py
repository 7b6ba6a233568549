"""The rule that names regimes, against worlds whose information is known."""

import itertools
import math

import numpy as np
import pytest

from goodviews import information
from goodviews.information import mutual_information
from goodviews.regimes import Regime, exact_regime, regimes

# --- a world of factors whose information is known exactly ---------------------------------------
# x = (y, nuisances), all uniform and independent, y on 8 values, nuisances on 4. Views share y
# through an erasure channel that keeps it with probability ``keep``, and ``noise`` nuisances.

CLASSES, LEVELS = 8, 4


def exact_world(keep: float, noise: int) -> tuple[float, float, float]:
    """I(v1;v2), I(x;y) and I(v;y) from the joint tables."""
    # v's part about y: y itself, or "erased"; v1 and v2 are erased together or not at all
    shared = np.zeros((CLASSES + 1, CLASSES + 1))
    shared[range(CLASSES), range(CLASSES)] = keep / CLASSES
    shared[CLASSES, CLASSES] = 1 - keep
    view_label = np.zeros((CLASSES + 1, CLASSES))
    view_label[range(CLASSES), range(CLASSES)] = keep / CLASSES
    view_label[CLASSES] = (1 - keep) / CLASSES
    about_label = mutual_information(view_label)
    flag = information.entropy([keep, 1 - keep])  # that both are erased is shared, and no task's
    nuisance = noise * math.log(LEVELS)
    assert mutual_information(shared) == pytest.approx(keep * math.log(CLASSES) + flag)
    return keep * math.log(CLASSES) + nuisance, math.log(CLASSES), about_label


def sampled_accuracy(
    keep: float, noise: int, seed: int, labels: int = 150, tests: int = 2000
) -> float:
    """Accuracy of a table classifier on the shared part z, from few labels.

    Nuisances in z split the few labels over more cells, as excess noise does to any learner.
    """
    rng = np.random.default_rng(seed)

    def draw(n):
        y = rng.integers(CLASSES, size=n)
        part = np.where(rng.random(n) < keep, y, CLASSES)
        nuisances = rng.integers(LEVELS, size=(n, noise))
        return y, [(int(a), *map(int, b)) for a, b in zip(part, nuisances, strict=True)]

    y, z = draw(labels)
    votes: dict = {}
    for label, cell in zip(y, z, strict=True):
        votes.setdefault(cell, np.zeros(CLASSES))[label] += 1
    y, z = draw(tests)
    guess = [int(votes[c].argmax()) if c in votes else int(rng.integers(CLASSES)) for c in z]
    return float(np.mean(np.array(guess) == y))


WORLDS = [(0.2, 0), (0.5, 0), (1.0, 0), (1.0, 2), (1.0, 4)]


def measured(seeds: int, error: float = 0.05) -> tuple[list[list[float]], list[list[float]]]:
    rng = np.random.default_rng(1)
    nats = [[exact_world(*w)[0] + rng.normal(0, error) for _ in range(seeds)] for w in WORLDS]
    accuracy = [[sampled_accuracy(*w, seed=s) for s in range(seeds)] for w in WORLDS]
    return nats, accuracy


def test_the_rule_finds_the_exact_regimes():
    """Measured with noise, decided by the rule: the same names as InfoMin's definition gives."""
    truth = [exact_regime(*exact_world(*w)) for w in WORLDS]
    assert truth == [
        Regime.MISSING,
        Regime.MISSING,
        Regime.SWEET_SPOT,
        Regime.EXCESS,
        Regime.EXCESS,
    ]
    assert regimes(*measured(seeds=4)) == truth


def test_a_lost_label_is_missing_information_whatever_is_shared():
    assert exact_regime(shared=5.0, task=2.0, kept=1.0) is Regime.MISSING


def test_one_seed_decides_nothing():
    assert set(regimes(*measured(seeds=1))) == {Regime.UNDECIDED}


def test_differences_inside_the_spread_are_undecided():
    """Equal candidates are named otherwise in at most about 5 % of studies."""
    rng = np.random.default_rng(2)
    wrong = 0
    for _ in range(300):
        nats = rng.normal(2.0, 0.1, size=(6, 3)).tolist()
        accuracy = rng.normal(0.5, 0.02, size=(6, 3)).tolist()
        wrong += any(r in (Regime.MISSING, Regime.EXCESS) for r in regimes(nats, accuracy))
    assert wrong / 300 < 0.06


def test_worse_at_equal_information_is_undecided():
    nats = [[2.0, 2.1, 2.05], [2.05, 2.0, 2.1]]
    accuracy = [[0.9, 0.91, 0.9], [0.5, 0.51, 0.5]]
    assert regimes(nats, accuracy) == [Regime.SWEET_SPOT, Regime.UNDECIDED]


def test_the_order_of_candidates_does_not_matter():
    nats, accuracy = measured(seeds=3)
    named = regimes(nats, accuracy)
    for order in itertools.islice(itertools.permutations(range(len(WORLDS))), 0, 120, 17):
        assert regimes([nats[i] for i in order], [accuracy[i] for i in order]) == [
            named[i] for i in order
        ]


def test_families_are_read_one_by_one():
    """A family's own best is its sweet spot, though another family does better."""
    nats = [[1.0, 1.1], [2.0, 2.1], [2.5, 2.6], [3.0, 3.1]]
    accuracy = [[0.60, 0.61], [0.90, 0.91], [0.70, 0.71], [0.50, 0.51]]
    assert regimes(nats, accuracy, ["a", "a", "b", "b"]) == [
        Regime.MISSING,
        Regime.SWEET_SPOT,
        Regime.SWEET_SPOT,
        Regime.EXCESS,
    ]
    with pytest.raises(ValueError, match="families"):
        regimes(nats, accuracy, ["a"])


def test_mismatched_measurements_are_refused():
    with pytest.raises(ValueError, match="same candidates"):
        regimes([[1.0]], [[1.0, 2.0]])
    assert regimes([], []) == []
