"""Neural estimates: read-outs against the bounds, standard errors, splits and what they guard."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from goodviews import bounds
from goodviews.data import worlds
from goodviews.estimators import members as members_module
from goodviews.estimators.ensemble import Settings, train
from goodviews.estimators.members import READS, Split, influence_values, read_members
from goodviews.estimators.neural import OBJECTIVES, Sizes, members, neural
from goodviews.estimators.variables import Variable
from goodviews.interfaces import UserError

BOUND = {
    "donsker-varadhan": bounds.donsker_varadhan,
    "nwj": bounds.nwj_of_log_ratio,
    "infonce": lambda s: (bounds.infonce(s) + bounds.infonce(s.T)) / 2,
    "interpolated": lambda s: bounds.interpolated(s, 0.01),
    "smile": bounds.smile,
    "plug-in": bounds.plug_in,
    "flo": lambda s: bounds.flo(s[:, :-1], s[:, -1]),
    "club": bounds.club,
    "leave-one-out": bounds.leave_one_out,
}
PAIRS = [(name, read) for name, training in OBJECTIVES.items() for read in training.reads]


def quick(x: Variable, y: Variable, shuffles: int = 0, **settings: object):
    few = {"parts": 3, "steps": 60, "hidden": 16, "depth": 2, "candidates": 64}
    return neural(x, y, **{"seed": 0, "shuffles": shuffles, **few, **settings})


def draw(world: worlds.World, n: int, seed: int = 0) -> tuple[Variable, Variable]:
    x, y = world.sample(n, seed)
    return (
        Variable(x.reshape(n, -1).astype(np.float64), world.levels_x),
        Variable(y.reshape(n, -1).astype(np.float64), world.levels_y),
    )


# --- read-outs ------------------------------------------------------------------------------------


def exact_scores(n: int, read: str, rho: float = 0.7, seed: int = 0) -> np.ndarray:
    """What the read-out's critic aims at, for a pair of correlation rho: (n, n), FLO's u last."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    y = rho * x + math.sqrt(1 - rho**2) * rng.normal(size=n)
    spread = 1 - rho**2
    density = -0.5 * ((y - rho * x[:, None]) ** 2 / spread + math.log(2 * math.pi * spread))
    if read in ("club", "leave-one-out"):
        return density
    ratio = density + 0.5 * (y**2 + math.log(2 * math.pi))
    return np.column_stack([ratio, -ratio.diagonal()]) if read == "flo" else ratio


def noisy_scores(n: int, read: str, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, n + (read == "flo")))


def test_every_readout_is_tested():
    assert set(BOUND) == set(READS)


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("make", [noisy_scores, exact_scores])
def test_the_mean_of_influences_is_the_bound(read, make):
    scores = make(40, read)
    exact = BOUND[read](torch.as_tensor(scores)).item()
    assert influence_values(scores, read).mean() == pytest.approx(exact, abs=1e-10)


def jackknife(scores: np.ndarray, read: str) -> float:
    """Standard error by leaving out each row with its column."""
    n, s = len(scores), torch.as_tensor(scores)
    keeps = [[j for j in range(n) if j != i] for i in range(n)]
    left = [BOUND[read](s[k][:, k + ([n] if read == "flo" else [])]).item() for k in keeps]
    return float(math.sqrt((n - 1) * np.var(left)))


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("rho", [0.4, 0.8])
def test_standard_errors_are_the_jackknifes(read, rho):
    scores = exact_scores(150, read, rho, seed=1)
    error = influence_values(scores, read).std(ddof=1) / math.sqrt(150)
    assert error == pytest.approx(jackknife(scores, read), rel=0.15)


@pytest.mark.parametrize(
    "read",
    [name for name in READS if name != "flo"],
)
def test_standard_errors_of_a_critic_of_the_wrong_scale(read):
    scores = 2.0 * exact_scores(150, read, 0.8, seed=2)
    error = influence_values(scores, read).std(ddof=1) / math.sqrt(150)
    assert error == pytest.approx(jackknife(scores, read), rel=0.15)


@pytest.mark.parametrize("read", ["donsker-varadhan", "club", "leave-one-out", "infonce"])
def test_standard_errors_are_the_spread_over_samples(read):
    found = [influence_values(exact_scores(100, read, seed=s), read) for s in range(300)]
    spread = np.std([values.mean() for values in found])
    told = np.mean([values.std(ddof=1) / 10 for values in found])
    assert told == pytest.approx(spread, rel=0.15)


@pytest.mark.parametrize("read", sorted(set(READS) - {"infonce", "flo"}))
def test_positives_are_no_negatives(read):
    """A higher positive lifts the value by its share; as a negative it would lower it."""
    scores = noisy_scores(30, read)
    lifted = scores.copy()
    lifted[4, 4] += 0.5
    gain = influence_values(lifted, read).mean() - influence_values(scores, read).mean()
    share = 0.5 / 30
    if read == "interpolated":  # a positive is among the candidates of its own baseline
        assert 0.98 * share < gain < share
    else:
        assert gain == pytest.approx(share, abs=1e-10)


def test_readouts_of_the_exact_critic():
    """CLUB reads I + KL(product || joint), not I; the others read I."""
    rho = 0.6
    nats = -0.5 * math.log(1 - rho**2)
    found = {read: influence_values(exact_scores(1200, read, rho), read).mean() for read in READS}
    club = found.pop("club")
    for read, value in found.items():
        assert value == pytest.approx(nats, abs=0.06), read
    lautum = rho**2 / (1 - rho**2) - nats
    assert club == pytest.approx(nats + lautum, abs=0.06)
    assert club > nats + 0.25


def test_scores_of_hundreds_do_not_overflow():
    for read in set(READS) - {"flo", "nwj"}:
        values = influence_values(900 * noisy_scores(20, read), read)
        assert np.isfinite(values).all(), read


# --- objectives and read-outs ---------------------------------------------------------------------


@pytest.mark.parametrize(("objective", "read"), PAIRS)
def test_allowed_pairs_run(objective, read):
    x, y = draw(worlds.gaussian(2, 1.0), 150)
    reading = quick(x, y, shuffles=2, objective=objective, read=read)
    assert reading.values.shape == (150,) and reading.shuffled.shape == (2,)
    assert np.isfinite(reading.values).all() and np.isfinite(reading.shuffled).all()
    assert reading.kind == READS[read]
    assert reading.lower == (reading.nats if READS[read] == "lower" else None)
    assert (reading.details["objective"], reading.details["read"]) == (objective, read)


@pytest.mark.parametrize(
    ("objective", "read"),
    [(o, r) for o in OBJECTIVES for r in READS if r not in OBJECTIVES[o].reads],
)
def test_other_pairs_are_refused_before_anything_is_trained(objective, read):
    x, y = draw(worlds.gaussian(2, 1.0), 50)
    with pytest.raises(UserError) as error:
        quick(x, y, objective=objective, read=read, steps=10**9)
    line = str(error.value)
    assert read in line and objective in line and "\n" not in line
    assert all(name in line for name in OBJECTIVES[objective].reads)


def test_critics_of_infonce_are_read_by_infonce_only():
    """Their scale c(x) is free."""
    assert OBJECTIVES["infonce"].reads == ("infonce",)
    for objective in ("donsker-varadhan", "mine"):
        assert not {"plug-in", "nwj", "interpolated"} & set(OBJECTIVES[objective].reads)


@pytest.mark.parametrize(("objective", "read"), [("jensen-shannon", "nwj"), ("nwj", "nwj")])
def test_no_offset_of_1_over_e(objective, read):
    world = worlds.gaussian(1, 0.4)
    x, y = draw(world, 900)
    nats = quick(x, y, objective=objective, read=read, steps=200, candidates=128).nats
    assert nats == pytest.approx(0.4, abs=0.12)  # low by 0.368 where nwj's own shift is read


@pytest.mark.parametrize("name", ["objective", "read", "critic", "start"])
def test_unknown_names(name):
    x, y = draw(worlds.gaussian(2, 1.0), 50)
    with pytest.raises(UserError, match=f"{name}.*'nonsense'"):
        quick(x, y, **{name: "nonsense"})


@pytest.mark.parametrize("critic", ["separable", "concat", "bilinear"])
@pytest.mark.parametrize("start", ["none", "copula"])
def test_critics_and_starts(critic, start):
    x, y = draw(worlds.gaussian(2, 1.0), 300)
    # a bilinear critic has no a(x) + b(y), which InfoNCE does not ask for
    how = {"objective": "infonce", "read": "infonce"} if critic == "bilinear" else {}
    reading = quick(x, y, critic=critic, start=start, steps=150, **how)
    assert (0.5 if start == "copula" else 0.02) < reading.nats < 1.3
    assert reading.details["critic"] == critic


@pytest.mark.parametrize("objective", ["likelihood", "flo"])
def test_objectives_with_critics_of_their_own_take_no_copula(objective):
    x, y = draw(worlds.gaussian(2, 1.0), 60)
    with pytest.raises(UserError, match="start: copula"):
        quick(x, y, objective=objective, read=OBJECTIVES[objective].reads[0], start="copula")


# --- InfoNCE's ceiling ----------------------------------------------------------------------------


def compared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each block compares, as it is read."""
    sizes: list[int] = []
    block = members_module._block

    def spy(ensemble, member, rows):
        sizes.append(len(rows))
        return block(ensemble, member, rows)

    monkeypatch.setattr(members_module, "_block", spy)
    return sizes


def test_infonce_stays_below_its_ceiling(monkeypatch):
    sizes = compared(monkeypatch)
    x, y = draw(worlds.gaussian(2, 12.0), 192)
    reading = quick(x, y, objective="infonce", read="infonce", candidates=16, steps=200)
    assert set(sizes) == {16} == {reading.candidates}
    assert reading.ceiling == pytest.approx(math.log(16))
    assert 1.0 < reading.nats <= reading.ceiling


@pytest.mark.parametrize("n", [300, 240])
def test_candidates_are_those_compared(monkeypatch, n):
    """100 rows a fold are two blocks of 50, and log 50 is what the value cannot pass."""
    sizes = compared(monkeypatch)
    x, y = draw(worlds.gaussian(2, 1.0), n)
    reading = quick(x, y, objective="infonce", read="infonce", candidates=64, steps=5)
    assert max(sizes) == reading.candidates
    assert reading.ceiling == pytest.approx(math.log(max(sizes)))


def test_other_readouts_have_no_ceiling():
    x, y = draw(worlds.gaussian(2, 1.0), 90)
    reading = quick(x, y, steps=5)
    assert math.isinf(reading.ceiling) and reading.candidates is None


# --- doubts ---------------------------------------------------------------------------------------


def test_few_effective_pairs_are_told():
    x, y = draw(worlds.gaussian(5, 8.0), 300)
    reading = quick(x, y, start="copula", steps=5)
    assert reading.details["effective_pairs"] < 100
    assert any("e^f rest on" in note for note in reading.warnings)
    x, y = draw(worlds.gaussian(1, 0.2), 300)
    reading = quick(x, y, steps=20)
    assert reading.details["effective_pairs"] > 100 and not reading.warnings


def test_a_plug_in_value_off_its_scale_is_told():
    x, y = draw(worlds.gaussian(2, 1.0), 300)
    split = Split.of(300, 3, 0)
    ensemble = members(x, y, split, seed=0)
    with torch.no_grad():
        ensemble.weights[_bias(ensemble)][..., -1].add_(1.0)
    reading = read_members(ensemble, split, "plug-in", 0, 0)
    assert reading.details["log_normaliser"] == pytest.approx(1.0, abs=0.3)
    assert any("log mean e^f" in note for note in reading.warnings)


def _bias(ensemble) -> str:
    """The last bias of phi2, whose last entry is added to all scores."""
    return [name for name in ensemble.weights if name.startswith("phi2") and "bias" in name][-1]


# --- splits: nothing is chosen by the rows that are reported --------------------------------------


@pytest.mark.parametrize(("n", "parts"), [(100, 10), (103, 10), (47, 3), (60, 4)])
def test_splits_keep_reported_rows_apart(n, parts):
    split = Split.of(n, parts, seed=0)
    assert sorted(np.concatenate(split.report)) == list(range(n))
    for report, held, seen in zip(split.report, split.held, split.seen, strict=True):
        assert not set(report) & set(held)
        assert not set(report) & set(seen)
        assert not set(held) & set(seen)
        assert len(set(held)) == len(held) and len(set(seen)) == len(seen)
        assert n - len(report) - len(held) - len(seen) <= parts


def trained_weights(x: Variable, y: Variable, start: str, steps: int = 80) -> list[np.ndarray]:
    """All weights and the copula of each of three members."""
    split = Split.of(len(x), 3, seed=0)
    ensemble = members(x, y, split, seed=0, start=start, degrees=(3.0, math.inf))
    seen, held = torch.as_tensor(split.seen), torch.as_tensor(split.held)
    # looks often and stops soon, so that members stop at different steps
    settings = Settings(batch=32, steps=steps, lr=1e-2, average=0.3, check=2, patience=2)
    climb = OBJECTIVES["nwj"].climb()
    train(ensemble, seen, held, climb, settings, torch.Generator().manual_seed(0))
    parts = list(ensemble.weights.values())
    parts += [ensemble.start.s, ensemble.start.nu] if ensemble.start is not None else []
    return [
        torch.cat([part[i].detach().flatten().double() for part in parts]).numpy() for i in range(3)
    ]


@pytest.mark.parametrize("start", ["none", "copula"])
@pytest.mark.parametrize("member", [0, 1, 2])
def test_reported_rows_do_not_shape_their_member(start, member):
    """Other pairs among the rows that a member reports leave its weights as they are."""
    x, y = draw(worlds.gaussian(2, 0.3), 90)
    rows = Split.of(90, 3, seed=0).report[member]
    other = y.values.copy()
    other[rows] = y.values[np.random.default_rng(0).permutation(rows)]
    before = trained_weights(x, y, start)
    after = trained_weights(x, replace(y, values=other), start)
    changed = [not np.allclose(a, b, atol=1e-6) for a, b in zip(before, after, strict=True)]
    assert not changed[member]
    assert any(changed)


def test_independent_data_read_nothing_on_average():
    """The best look at the reported rows would be above 0 by choice; what is reported is not."""
    honest, chosen = [], []
    sizes, settings = Sizes(16, 2, 4), Settings(batch=64, steps=100, check=5, average=0.3)
    for seed in range(4):
        x, y = draw(worlds.gaussian(2, 0.0), 60, seed)
        split = Split.of(60, 3, seed)
        seen = torch.as_tensor(split.seen)
        for held in (split.held, np.stack(split.report)):
            ensemble = members(x, y, split, seed=seed, sizes=sizes)
            climb, generator = OBJECTIVES["nwj"].climb(), torch.Generator().manual_seed(seed)
            best = train(ensemble, seen, torch.as_tensor(held), climb, settings, generator)
            if held is split.held:
                honest.append(read_members(ensemble, split, "nwj", seed, 0).nats)
            else:
                chosen.append(best.mean().item())
    assert np.mean(honest) < 0.01 < np.mean(chosen)


def test_independent_data_switch_critics_off():
    x, y = draw(worlds.gaussian(3, 0.0), 600, seed=1)
    reading = quick(x, y, steps=150)
    assert -0.05 < reading.nats < 0.02
    assert reading.details["members_that_helped"] < 3


def test_shuffled_values_are_below_what_is_there():
    x, y = draw(worlds.gaussian(2, 1.0), 600)
    reading = quick(x, y, shuffles=20, steps=200)
    assert reading.shuffled.max() < 0.1 < reading.nats


def test_seeds():
    x, y = draw(worlds.gaussian(2, 1.0), 120)
    first, again, other = (quick(x, y, shuffles=2, seed=seed, steps=80) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.values, again.values)
    np.testing.assert_array_equal(first.shuffled, again.shuffled)
    assert first.nats != other.nats


# --- what goes in ---------------------------------------------------------------------------------


@pytest.mark.parametrize("swap", [False, True])
def test_labels_on_either_side(swap):
    world = worlds.gaussian_classes(3, gap=4.0)
    pair = draw(world, 400)
    reading = quick(*(pair[::-1] if swap else pair), steps=200)
    assert 0.5 * world.nats < reading.nats < world.nats + 0.1


def test_labels_on_both_sides():
    world = worlds.table(np.diag([0.3, 0.3, 0.4]))
    assert 0.5 < quick(*draw(world, 400), steps=200).nats < world.nats + 0.1


@pytest.mark.parametrize("how", [{"start": "copula"}, {"objective": "likelihood", "read": "club"}])
def test_labels_have_no_density(how):
    x, y = draw(worlds.gaussian_classes(), 60)
    with pytest.raises(UserError, match="labels have no density.*ksg"):
        quick(x, y, **how)


def test_maps_of_columns_change_nothing():
    x, y = draw(worlds.sparse(2), 150)
    bent = quick(Variable(np.exp(x.values)), Variable(y.values**3), steps=30)
    assert bent.nats == pytest.approx(quick(x, y, steps=30).nats, abs=1e-6)


def test_single_precision_copies_and_constants_are_read():
    x, y = draw(worlds.sparse(2), 90)
    single = Variable(x.values.astype(np.float32))
    assert quick(single, y, steps=20).nats == pytest.approx(quick(x, y, steps=20).nats, abs=1e-5)
    wide = np.hstack([x.values, x.values, np.ones((90, 1))])
    for start in ("none", "copula"):
        assert math.isfinite(quick(Variable(wide), y, start=start, steps=20).nats)


@pytest.mark.parametrize("n", [10, 13, 20, 50])
def test_few_rows(n):
    x, y = draw(worlds.gaussian(1, 1.0), n)
    reading = quick(x, y, shuffles=2, steps=30)
    assert reading.values.shape == (n,) and np.isfinite(reading.values).all()


def test_a_column_that_x_and_y_share_can_be_a_start():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 200, 2))
    y[:, 0] = x[:, 0]
    reading = quick(Variable(x), Variable(y), start="copula", steps=10)
    assert np.isfinite(reading.values).all() and reading.nats > 3


@pytest.mark.parametrize(("n", "parts"), [(10, 10), (19, 10), (50, 2), (2, 3)])
def test_too_few_rows_or_parts_are_told(n, parts):
    x, y = draw(worlds.gaussian(1, 1.0), n)
    with pytest.raises(UserError, match="parts|rows"):
        quick(x, y, parts=parts)


def test_one_candidate_is_told():
    x, y = draw(worlds.gaussian(1, 1.0), 60)
    with pytest.raises(UserError, match="candidates"):
        quick(x, y, candidates=1)
