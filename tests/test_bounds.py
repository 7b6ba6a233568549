"""Bounds against slow loops from the papers, and against known information."""

import itertools
import math

import numpy as np
import pytest
import torch

from goodviews import bounds, information
from goodviews.bounds import BOUNDS, READ_OUTS, UPPER_BOUNDS, Pairs

CATALOGUES = {
    f"{title} {name}": info
    for title, entries in (("bound", BOUNDS), ("upper", UPPER_BOUNDS), ("read", READ_OUTS))
    for name, info in entries.items()
}


def random_scores(n=7, seed=0):
    return torch.randn(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- two roads to one number ---------------------------------------------------------------------


def slow_infonce(s):
    n = len(s)
    return math.log(n) + np.mean(
        [s[i][i] - math.log(sum(math.exp(x) for x in s[i])) for i in range(n)]
    )


def negatives(s, f):
    n = len(s)
    return np.mean([f(s[i][j]) for i in range(n) for j in range(n) if i != j])


def others(n, *left_out):
    return [k for k in range(n) if k not in left_out]


def slow_interpolated(s, alpha, b):
    """Poole et al. 2019, section 2.4, with K = n - 1 candidates in both terms."""
    n, joint, product = len(s), [], []
    for i in range(n):
        for j in others(n, i):
            m = np.mean([math.exp(s[i][k]) for k in others(n, j)])
            joint.append(s[i][i] - math.log(alpha * m + (1 - alpha) * math.exp(b)))
            m = np.mean([math.exp(s[i][k]) for k in others(n, i)])
            product.append(math.exp(s[i][j]) / (alpha * m + (1 - alpha) * math.exp(b)))
    return 1 + np.mean(joint) - np.mean(product)


def slow_anchor(s, nu):
    n, present, absent = len(s), [], []
    k = n - 1
    for i in range(n):
        for j in others(n, i):
            total = nu + sum(math.exp(s[i][c]) for c in others(n, j))
            present.append(math.log(math.exp(s[i][i]) / total))
        absent.append(math.log(nu / (nu + sum(math.exp(s[i][c]) for c in others(n, i)))))
    prior = [1 / (k + nu)] * k + [nu / (k + nu)]
    chance = -sum(p * math.log(p) for p in prior)
    return chance + (k * np.mean(present) + nu * np.mean(absent)) / (k + nu)


def slow_leave_one_out(s):
    n = len(s)
    mixtures = [np.mean([math.exp(s[j][i]) for j in others(n, i)]) for i in range(n)]
    return np.mean([s[i][i] - math.log(mixtures[i]) for i in range(n)])


def slow_smile(s):
    return np.mean(np.diag(s)) - math.log(negatives(s, lambda x: math.exp(min(max(x, -5.0), 5.0))))


SLOW = {
    "bound infonce": slow_infonce,
    "bound nwj": lambda s: np.mean(np.diag(s)) - negatives(s, lambda x: math.exp(x - 1)),
    "bound tuba": lambda s: np.mean(np.diag(s)) - negatives(s, lambda x: math.exp(x - 1)),
    "bound donsker-varadhan": lambda s: np.mean(np.diag(s)) - math.log(negatives(s, math.exp)),
    "bound smile": slow_smile,
    "bound jensen-shannon": lambda s: (
        math.log(4)
        - np.mean(np.log1p(np.exp(-np.diag(s))))
        - negatives(s, lambda x: math.log1p(math.exp(x)))
    ),
    "bound interpolated": lambda s: slow_interpolated(s, 0.01, 0.0),
    "bound anchor": lambda s: slow_anchor(s, 1.0),
    "upper club": lambda s: np.mean(np.diag(s)) - negatives(s, lambda x: x),
    "upper leave-one-out": slow_leave_one_out,
    "read plug-in": lambda s: np.mean(np.diag(s)),
    "read nwj": lambda s: 1 + np.mean(np.diag(s)) - negatives(s, math.exp),
    "read donsker-varadhan": lambda s: np.mean(np.diag(s)) - math.log(negatives(s, math.exp)),
    "read smile": slow_smile,
}


@pytest.mark.parametrize("name", CATALOGUES)
def test_bound_equals_the_slow_loop(name):
    scores = random_scores() * 4
    value = CATALOGUES[name].function(scores)
    assert value.dtype == torch.float64 and value.shape == ()
    assert value.item() == pytest.approx(SLOW[name](scores.numpy()), rel=1e-12, abs=1e-10)


def test_settings_equal_the_slow_loop():
    scores = random_scores()
    for alpha, b in ((0.3, -0.7), (0.9, 2.0)):
        slow = slow_interpolated(scores.numpy(), alpha, b)
        assert bounds.interpolated(scores, alpha, b).item() == pytest.approx(slow, abs=1e-12)
    assert bounds.anchor(scores, 3.5).item() == pytest.approx(slow_anchor(scores.numpy(), 3.5))
    u = random_scores(seed=1)[0]
    slow = 1 - np.mean(
        [
            u[i] + math.exp(-u[i]) * np.mean([math.exp(scores[i, j] - scores[i, i]) for j in rest])
            for i in range(7)
            for rest in [others(7, i)]
        ]
    )
    assert bounds.flo(scores, u).item() == pytest.approx(slow, abs=1e-12)
    row = random_scores(seed=2)[0]
    slow = np.mean([1 + scores[i, i] - row[i] for i in range(7)]) - np.mean(
        [math.exp(scores[i, j] - row[i]) for i in range(7) for j in others(7, i)]
    )
    for baseline in (row, row[:, None]):
        assert bounds.tuba(scores, baseline).item() == pytest.approx(slow, abs=1e-12)
    weights = [math.exp(scores[i, j]) for i in range(7) for j in others(7, i)]
    slow = sum(weights) ** 2 / sum(w * w for w in weights)
    assert bounds.effective_sample_size(scores).item() == pytest.approx(slow, abs=1e-10)
    assert bounds.log_normaliser(scores).item() == pytest.approx(math.log(np.mean(weights)))


# --- one battery ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CATALOGUES)
def test_bound_battery(name):
    info = CATALOGUES[name]
    scores = random_scores().float().requires_grad_()
    info.function(scores).backward()
    assert torch.isfinite(scores.grad).all() and scores.grad.diagonal().gt(0).all()
    huge = torch.full((4, 4), -300.0).fill_diagonal_(300.0)
    assert info.function(huge).isfinite()
    assert info.function(huge) <= info.ceiling(4) + 1e-4
    half = info.function(random_scores().to(torch.bfloat16))
    assert half.dtype == torch.float32
    with pytest.raises(ValueError, match="positives on the diagonal"):
        info.function(torch.zeros(3, 4))
    with pytest.raises(ValueError, match="n >= 2"):
        info.function(torch.zeros(1, 1))


@pytest.mark.parametrize("name", CATALOGUES)
def test_gradients_equal_finite_differences(name):
    tied = torch.ones(4, 4, dtype=torch.float64)
    for scores in (random_scores(2), random_scores(5), 6 * random_scores(4), tied):
        assert torch.autograd.gradcheck(CATALOGUES[name].function, (scores.requires_grad_(),))


@pytest.mark.parametrize("name", CATALOGUES)
def test_inside_autocast_it_is_float32(name):
    scores = random_scores().float()
    with torch.autocast("cpu", torch.bfloat16):
        inside = CATALOGUES[name].function(scores)
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, CATALOGUES[name].function(scores))


@pytest.mark.parametrize("name", sorted({*CATALOGUES} - {"bound nwj", "bound tuba", "read nwj"}))
def test_scores_of_ten_thousand_do_not_overflow(name):
    """All but those whose value is e^10000."""
    generator = torch.Generator().manual_seed(0)
    scores = ((torch.rand(6, 6, generator=generator) - 0.5) * 2e4).requires_grad_()
    value = CATALOGUES[name].function(scores)
    value.backward()
    assert value.isfinite() and scores.grad.isfinite().all()


@pytest.mark.parametrize("name", [name for name in CATALOGUES if not name.startswith("upper")])
def test_pairs_and_the_matrix_agree(name):
    scores = random_scores()
    rows = torch.stack([scores[i, others(7, i)] for i in range(7)])
    function = CATALOGUES[name].function
    torch.testing.assert_close(function(Pairs(scores.diagonal(), rows)), function(scores))
    if name in ("bound infonce", "bound interpolated", "bound anchor"):
        with pytest.raises(ValueError, match="a row of negatives"):
            function(Pairs(scores.diagonal(), rows.flatten()))
    else:
        flat = Pairs(scores.diagonal(), rows.flatten())
        torch.testing.assert_close(function(flat), function(scores))
    with pytest.raises(ValueError, match="some negatives"):
        function(Pairs(scores.diagonal(), rows[:, :0]))


def test_errors_name_the_value_and_the_remedy():
    scores = torch.zeros(3, 3)
    with pytest.raises(ValueError, match=r"alpha: 1.5 is not in \[0, 1\]. Use"):
        bounds.interpolated(scores, 1.5)
    with pytest.raises(ValueError, match="nu: 0.0 is not positive. Use"):
        bounds.anchor(scores, 0.0)
    with pytest.raises(ValueError, match="u: shape"):
        bounds.flo(scores, torch.zeros(4))
    for function in (bounds.variational_upper, bounds.barber_agakov):
        with pytest.raises(ValueError, match="Pass the diagonal"):
            function(scores, torch.zeros(3))


# --- exact expectations over every batch of a small joint table ----------------------------------

JOINT = np.array([[0.30, 0.05, 0.05], [0.02, 0.20, 0.08], [0.10, 0.05, 0.15]])
PX, PY = JOINT.sum(1), JOINT.sum(0)
NATS = information.mutual_information(JOINT)
RATIO = torch.from_numpy(np.log(JOINT / np.outer(PX, PY)))
LAUTUM = float((np.outer(PX, PY) * np.log(np.outer(PX, PY) / JOINT)).sum())
CONDITIONAL = torch.from_numpy(np.log(JOINT / PX[:, None]))


def expectation(function, table, n=3):
    """E of function(scores (n, n)) over all batches of n pairs, scores read off ``table``."""
    total = 0.0
    for batch in itertools.product(itertools.product(range(3), range(3)), repeat=n):
        x, y = (list(side) for side in zip(*batch, strict=True))
        total += np.prod(JOINT[x, y]) * function(table[x][:, y]).item()
    return total


LOWER = [name for name, info in CATALOGUES.items() if info.kind == "lower"]


@pytest.mark.parametrize("name", LOWER)
@pytest.mark.parametrize("critic", ["optimal", "scaled", "random"])
def test_a_lower_bound_is_one_for_every_critic(name, critic):
    shift = 1.0 if name in ("bound nwj", "bound tuba") else 0.0
    table = {"optimal": RATIO, "scaled": 3 * RATIO, "random": 2 * random_scores(3)}[critic]
    assert expectation(CATALOGUES[name].function, table + shift) <= NATS + 1e-12


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.9, 1.0])
def test_interpolated_is_a_lower_bound_for_every_alpha(alpha):
    for table in (RATIO, 3 * RATIO, 2 * random_scores(3)):
        for b in (0.0, 1.0):
            value = expectation(lambda s: bounds.interpolated(s, alpha, b), table)  # noqa: B023
            assert value <= NATS + 1e-12


def test_bounds_without_a_ceiling_reach_i_at_their_optimum():
    for name, table in (("nwj", RATIO + 1), ("tuba", RATIO + 1)):
        assert expectation(BOUNDS[name].function, table, 2) == pytest.approx(NATS, abs=1e-12)
    assert expectation(READ_OUTS["nwj"].function, RATIO, 2) == pytest.approx(NATS, abs=1e-12)
    assert expectation(READ_OUTS["plug-in"].function, RATIO, 2) == pytest.approx(NATS, abs=1e-12)
    zero = expectation(lambda s: bounds.interpolated(s, 0.0), RATIO, 2)
    assert zero == pytest.approx(NATS, abs=1e-12)


def test_flo_is_a_lower_bound_that_reaches_i():
    def flo(critic, u):
        total = 0.0
        for batch in itertools.product(itertools.product(range(3), range(3)), repeat=3):
            x, y = (list(side) for side in zip(*batch, strict=True))
            total += np.prod(JOINT[x, y]) * bounds.flo(critic[x][:, y], u[x, y]).item()
        return total

    free = RATIO + torch.tensor([[1.0], [-2.0], [0.5]], dtype=torch.float64)
    assert flo(free, -RATIO) == pytest.approx(NATS, abs=1e-12)
    assert flo(free, -0.5 * RATIO) < NATS
    assert flo(random_scores(3), random_scores(3, seed=1)) < NATS


def test_donsker_varadhan_of_a_batch_can_exceed_i():
    """So it is "neither": E[-log mean] >= -log E[mean]."""
    assert expectation(bounds.donsker_varadhan, RATIO) > NATS + 0.01


def test_anchor_and_jensen_shannon_are_divergences_at_the_log_ratio():
    """JS: twice the divergence of joint and product. Anchor: what the tuple tells of the class."""
    product = np.outer(PX, PY)
    middle = (JOINT + product) / 2
    twice = (JOINT * np.log(JOINT / middle)).sum() + (product * np.log(product / middle)).sum()
    value = expectation(bounds.jensen_shannon, RATIO, 2)
    assert value == pytest.approx(twice, abs=1e-12)
    k, nu, told = 2, 1.7, 0.0
    r = np.exp(RATIO.numpy())
    for x, y1, y2 in itertools.product(range(3), repeat=3):
        base = PX[x] * PY[y1] * PY[y2]
        classes = np.array([r[x, y1], r[x, y2], 1.0]) * base
        prior = np.array([1.0, 1.0, nu]) / (k + nu)
        told += (prior * classes * np.log(classes / (prior * classes).sum())).sum()
    value = expectation(lambda s: bounds.anchor(s, nu), RATIO)
    assert value == pytest.approx(told, abs=1e-12)
    assert value <= k / (k + nu) * NATS


# --- upper bounds: their truth, and where it ends ------------------------------------------------


def test_club_of_the_exact_conditional_is_i_plus_lautum():
    value = expectation(bounds.club, CONDITIONAL, 2)
    assert value == pytest.approx(NATS + LAUTUM, abs=1e-12)
    assert LAUTUM > 0.1


def test_club_of_gaussians_is_the_closed_form():
    """Twenty pairs of 2 nats in all: 20 (e^{I/10} - 1) = 4.43, not 2."""
    n, d, nats = 4000, 20, 2.0
    rho = math.sqrt(1 - math.exp(-2 * nats / d))
    x, e = torch.randn(2, n, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = rho * x + math.sqrt(1 - rho**2) * e
    squares = (y * y).sum(1) - 2 * rho * x @ y.T + rho**2 * (x * x).sum(1)[:, None]
    log_conditional = -squares / (2 * (1 - rho**2))  # up to a constant, which drops out
    assert bounds.club(log_conditional).item() == pytest.approx(
        d * (math.exp(2 * nats / d) - 1), abs=0.15
    )
    assert bounds.leave_one_out(log_conditional).item() == pytest.approx(nats, abs=0.1)


@pytest.mark.parametrize("name", UPPER_BOUNDS)
def test_upper_bounds_hold_with_the_exact_conditional_only(name):
    function = UPPER_BOUNDS[name].function
    assert expectation(function, CONDITIONAL) >= NATS
    wrong = CONDITIONAL.flip(1)
    assert expectation(function, wrong) < NATS


def test_leave_one_out_leaves_out_exactly():
    """The pair's own density is not a small part of the mixture, it is none."""
    log_conditional = torch.full((3, 3), -500.0, dtype=torch.float64).fill_diagonal_(0.0)
    assert bounds.leave_one_out(log_conditional).item() == pytest.approx(500.0)


def test_upper_and_lower_bounds_of_densities():
    cells = [(x, y) for x in range(3) for y in range(3)]
    weights = torch.tensor([JOINT[c] for c in cells], dtype=torch.float64)
    x, y = (list(side) for side in zip(*cells, strict=True))

    def mean(function, *tables):
        """The expectation: one pair at a time, weighted by its probability."""
        parts = [function(*(t[k : k + 1] for t in tables)) for k in range(9)]
        return (weights * torch.stack(parts)).sum().item()

    marginal = torch.from_numpy(np.log(PY))[y]
    exact, wrong = CONDITIONAL[x, y], CONDITIONAL.flip(1)[x, y]
    uniform = torch.full((9,), -math.log(3), dtype=torch.float64)
    assert mean(bounds.variational_upper, exact, marginal) == pytest.approx(NATS)
    gap = information.kl_divergence(PY, [1 / 3] * 3)
    assert mean(bounds.variational_upper, exact, uniform) == pytest.approx(NATS + gap)
    entropy = information.entropy(PY)
    assert mean(lambda q: bounds.barber_agakov(q, entropy), exact) == pytest.approx(NATS)
    assert mean(lambda q: bounds.barber_agakov(q, entropy), wrong) < NATS


# --- faults of widely copied code ----------------------------------------------------------------


def test_a_jensen_shannon_critic_is_read_by_nwj_without_the_offset_1_over_e():
    """Climb the JS objective on a table (its optimum is log r), then read it both ways."""
    table = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
    joint = torch.from_numpy(JOINT)
    product = torch.from_numpy(np.outer(PX, PY))
    optimiser = torch.optim.LBFGS([table], max_iter=200, tolerance_grad=1e-12)

    def loss():
        """The population value: bounds.jensen_shannon is its mean over batches (tested above)."""
        optimiser.zero_grad()
        value = -(joint * torch.nn.functional.logsigmoid(table)).sum()
        value = value - (product * torch.nn.functional.logsigmoid(-table)).sum()
        value.backward()
        return value

    optimiser.step(loss)
    critic = table.detach()
    torch.testing.assert_close(critic, RATIO, atol=1e-4, rtol=0)
    assert expectation(bounds.nwj_of_log_ratio, critic, 2) == pytest.approx(NATS, abs=1e-6)
    copied = expectation(bounds.nwj, critic, 2)
    assert NATS - copied == pytest.approx(math.exp(-1), abs=1e-4)
    scores = random_scores()
    torch.testing.assert_close(bounds.nwj_of_log_ratio(scores), bounds.nwj(scores + 1))


@pytest.mark.parametrize("name", ["donsker-varadhan", "nwj", "jensen-shannon", "smile"])
def test_a_positive_is_never_among_the_negatives(name):
    """A permutation has fixed points, and one positive in n^2 negatives caps I_DV at log n."""
    n = 32
    scores = torch.zeros(n, n).fill_diagonal_(50.0)
    with_positives = Pairs(scores.diagonal(), scores)
    capped = bounds.donsker_varadhan(with_positives).item()
    assert capped == pytest.approx(math.log(n), abs=1e-4)
    assert bounds.donsker_varadhan(scores).item() == pytest.approx(50.0)
    moved = scores + 7.0 * torch.eye(n)
    function = BOUNDS[name].function
    change = (function(moved) - function(scores)).item()
    assert change == pytest.approx(0.0 if name == "jensen-shannon" else 7.0, abs=1e-4)
    torch.testing.assert_close(bounds.log_normaliser(moved), bounds.log_normaliser(scores))


def test_mine_climbs_donsker_varadhan_and_is_not_its_value():
    scores = random_scores().requires_grad_()
    state = bounds.moving_log_average(None, scores)
    assert not state.requires_grad
    objective = bounds.mine(scores, state)
    value = bounds.donsker_varadhan(scores)
    assert objective.item() == pytest.approx(scores.diagonal().mean().item() - 1.0)
    mine, plain = (torch.autograd.grad(f, scores)[0] for f in (objective, value))
    torch.testing.assert_close(mine, plain)
    # with another average only the negatives' part changes, by the ratio of the averages
    halved = torch.autograd.grad(bounds.mine(scores, state + math.log(2)), scores)[0]
    eye = torch.eye(7, dtype=torch.bool)
    torch.testing.assert_close(halved[eye], plain[eye])
    torch.testing.assert_close(halved[~eye], plain[~eye] / 2)


def test_the_moving_average_is_one():
    state, slow = None, None
    for seed in range(5):
        scores = random_scores(seed=seed)
        state = bounds.moving_log_average(state, scores, rate=0.3)
        new = negatives(scores.numpy(), math.exp)
        slow = new if slow is None else 0.7 * slow + 0.3 * new
    assert state.exp().item() == pytest.approx(slow, abs=1e-12)
    torch.testing.assert_close(
        bounds.moving_log_average(state, scores, rate=1.0), bounds.log_normaliser(scores)
    )


# --- laws ----------------------------------------------------------------------------------------


def test_ceilings_hold_for_any_scores():
    generator = torch.Generator().manual_seed(0)
    for scale in (0.1, 3.0, 50.0):
        for n in (2, 3, 8):
            scores = scale * torch.randn(n, n, generator=generator, dtype=torch.float64)
            scores += scale * n * torch.eye(n)
            assert bounds.infonce(scores).item() <= math.log(n) + 1e-12
            assert bounds.anchor(scores).item() <= math.log(n) + 1e-12
            assert bounds.jensen_shannon(scores).item() <= math.log(4) + 1e-12
            one = bounds.interpolated(scores, 1.0).item()
            assert one <= math.log(n - 1) + 1e-12
            for alpha in (0.01, 0.5):
                value = bounds.interpolated(scores, alpha).item()
                assert value <= 1 + math.log((n - 1) / alpha) + 1e-12


def test_interpolated_runs_from_tuba_to_infonce():
    scores = random_scores()
    tuba = bounds.tuba(scores, 0.4)
    torch.testing.assert_close(bounds.interpolated(scores, 0.0, 0.4), tuba)
    torch.testing.assert_close(bounds.interpolated(scores, 1e-12, 0.4), tuba)
    smaller = [
        bounds.infonce(Pairs(scores[i, i][None], scores[i, others(7, i, j)][None]))
        for i in range(7)
        for j in others(7, i)
    ]
    torch.testing.assert_close(bounds.interpolated(scores, 1.0, 0.4), torch.stack(smaller).mean())


def test_what_a_shift_of_the_scores_changes():
    scores = random_scores()
    rows, constant = random_scores(seed=1)[:, :1], 3.7
    for function in (bounds.donsker_varadhan, bounds.infonce, bounds.club):
        torch.testing.assert_close(function(scores + constant), function(scores))
    for function in (bounds.infonce, lambda s: bounds.interpolated(s, 1.0)):
        torch.testing.assert_close(function(scores + rows), function(scores))
    torch.testing.assert_close(bounds.tuba(scores + rows, rows), bounds.tuba(scores, 0.0))
    columns = rows.T
    torch.testing.assert_close(bounds.leave_one_out(scores + columns), bounds.leave_one_out(scores))
    assert not torch.isclose(bounds.anchor(scores + rows), bounds.anchor(scores))
    order = torch.randperm(7, generator=torch.Generator().manual_seed(0))
    for info in CATALOGUES.values():
        torch.testing.assert_close(info.function(scores[order][:, order]), info.function(scores))


def test_effective_sample_size_counts_equal_weights_and_sees_one_that_dominates():
    assert bounds.effective_sample_size(torch.full((5, 5), 9e3)).item() == pytest.approx(
        20, rel=1e-2
    )
    one = torch.zeros(5, 5)
    one[0, 1] = 100.0
    assert bounds.effective_sample_size(one).item() == pytest.approx(1.0)


def test_infonce_numbers_of_the_reference():
    """Scores (2,0,0,0): loss 0.34075, I_NCE 1.04554; temperature sets how hard the task looks."""
    row = torch.zeros(4, 4, dtype=torch.float64).fill_diagonal_(2.0)
    assert bounds.infonce(row).item() == pytest.approx(1.04554, abs=5e-6)
    cosines = torch.tensor([0.9, 0.1, 0.2, 0.0], dtype=torch.float64)
    table = torch.stack([cosines.roll(i) for i in range(4)])
    assert math.log(4) - bounds.infonce(table / 0.07).item() == pytest.approx(5.9e-5, abs=5e-7)
    assert math.log(4) - bounds.infonce(table / 0.5).item() == pytest.approx(0.4786, abs=5e-5)


@pytest.fixture(scope="module")
def known():
    """Pairs of a binary joint table with their exact log density ratios; I = 0.19274 nats."""
    joint = np.array([[0.4, 0.1], [0.1, 0.4]])
    ratio = torch.from_numpy(np.log(joint / np.outer(joint.sum(1), joint.sum(0))))
    generator = torch.Generator().manual_seed(0)
    cells = torch.multinomial(torch.from_numpy(joint.ravel()), 256 * 200, True, generator=generator)
    return information.mutual_information(joint), ratio, cells.reshape(200, 256)


REACH = ["infonce", "nwj", "tuba", "donsker-varadhan", "smile", "interpolated"]


@pytest.mark.parametrize("name", REACH)
def test_bounds_reach_known_information_with_the_optimal_critic(known, name):
    nats, ratio, batches = known
    shift = 1.0 if name in ("nwj", "tuba") else 0.0
    values = [BOUNDS[name].function(ratio[b // 2][:, b % 2] + shift).item() for b in batches]
    assert np.mean(values) == pytest.approx(nats, abs=0.012)


def test_infonce_tightens_with_candidates(known):
    nats, ratio, batches = known
    expected = {2: 0.0964, 4: 0.1458, 8: 0.1697, 64: 0.1899}
    for k, value in expected.items():
        cells = batches.reshape(-1, k)
        mean = np.mean([bounds.infonce(ratio[b // 2][:, b % 2]).item() for b in cells[:12800]])
        assert mean == pytest.approx(value, abs=0.01)
        assert value < nats


def test_k_pair_identity():
    """I_NCE + L_Kpair = log K exactly, and the gradients are opposite (paper C, section 4)."""
    scores = random_scores().requires_grad_()
    pairs = torch.log(torch.exp(scores - scores.diagonal()[:, None]).sum(1)).mean()
    nats = bounds.infonce(scores)
    assert (nats + pairs).item() == pytest.approx(math.log(7), abs=1e-12)
    up = torch.autograd.grad(nats, scores, retain_graph=True)[0]
    torch.testing.assert_close(up, -torch.autograd.grad(pairs, scores)[0])
