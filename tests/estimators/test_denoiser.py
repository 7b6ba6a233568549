"""Denoiser gap: with the exact denoiser of a Gaussian, and trained ones on small truths."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from goodviews.estimators.denoiser import _read, _reading, _reordered, denoiser
from goodviews.estimators.denoising import Denoisers, Training, add_noise, make_task, train
from goodviews.estimators.reading import folds
from goodviews.estimators.variables import Variable
from goodviews.interfaces import UserError

QUICK = {"steps": 400, "hidden": 32, "batch": 128}


def gaussian(n: int, rho: float, d: int = 1, seed: int = 0) -> tuple[Variable, Variable]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    return Variable(x), Variable(rho * x + math.sqrt(1 - rho**2) * rng.normal(size=(n, d)))


class Exact:
    """E[e|z] = s z and E[e|z,y] = s (z - a rho y) / (a^2 (1 - rho^2) + s^2), x and y normal."""

    def __init__(self, rho: float) -> None:
        self.rho = rho

    def __call__(self, z: Tensor, snr: Tensor, given: Tensor, shown: Tensor) -> Tensor:
        a, s = snr.sigmoid().sqrt()[..., None], snr.neg().sigmoid().sqrt()[..., None]
        known = s * (z - a * self.rho * given) / (a**2 * (1 - self.rho**2) + s**2)
        return torch.where(shown[..., None] > 0, known, s * z)

    def part(self, members: slice) -> "Exact":
        return self


def forms_of(nets: object, x: Variable, y: Variable, shuffles: int = 0):
    task = make_task(x, y, folds(len(x), 2, 0), 2, True, torch.device("cpu"))
    return _read(nets, task, shuffles, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("rho", [0.0, 0.6, 0.95])
def test_both_forms_of_the_exact_denoiser_are_the_information(rho):
    x, y = gaussian(5000, rho)
    forms = forms_of(Exact(rho), x, y, shuffles=5)
    truth = -0.5 * math.log(1 - rho**2)
    assert forms.direct.shape == forms.orthogonal.shape == (2, 5000)
    for numbers in (*forms.direct, *forms.orthogonal):
        assert float(numbers.mean()) == pytest.approx(truth, abs=0.02 + 0.03 * truth)
    assert forms.shuffled.abs().max() < 0.02 + 0.05 * truth


def test_a_wrong_guess_drives_the_forms_apart_and_not_their_null():
    """Rho is taken for 0.9 where it is 0: too much in one form, less than 0 in the other."""
    x, y = gaussian(5000, 0.0)
    forms = forms_of(Exact(0.9), x, y, shuffles=3)
    assert forms.orthogonal.mean() > 0.5
    assert forms.direct.mean() < -0.5
    assert abs(forms.direct.mean() + forms.orthogonal.mean()) < 0.06
    assert forms.shuffled.abs().max() < 0.06
    task = make_task(x, y, folds(5000, 2, 0), 2, True, torch.device("cpu"))
    assert "not learned the noise" in _reading(forms, task, 5000).warnings[0]
    right = forms_of(Exact(0.9), *gaussian(5000, 0.9))
    assert _reading(right, task, 5000).warnings == ()


def test_rows_keep_their_place():
    """Values are of the rows they stand at, whatever part read them."""
    x, y = gaussian(4000, 0.9)
    forms = forms_of(Exact(0.9), x, y)
    a, b = x.values[:, 0], y.values[:, 0]
    pointwise = -0.5 * math.log(0.19) - (0.81 * (a**2 + b**2) - 1.8 * a * b) / 0.38
    values = 0.5 * (forms.direct + forms.orthogonal).mean(0).numpy()
    assert np.corrcoef(values, pointwise)[0, 1] > 0.5


def test_shuffles_pair_the_same_rows_in_both_directions():
    x, y = gaussian(20, 0.5)
    task = make_task(x, y, folds(20, 2, 0), 1, True, torch.device("cpu"))
    rows, order = task.unseen[0], torch.tensor([2, 0, 1, 4, 5, 6, 7, 8, 9, 3])
    given = _reordered(task, rows, torch.arange(10), order)
    pairs = {(i, int(order[i])) for i in range(10)}
    for i, j in pairs:
        assert given[0, i] == task.given[0, rows[j]]  # y_j beside the noised x_i
        assert given[1, j] == task.given[1, rows[i]]  # x_i beside the noised y_j


# --- networks -------------------------------------------------------------------------------------


def test_networks_side_by_side_are_each_their_own():
    generator = torch.Generator().manual_seed(0)
    nets = Denoisers(3, 2, 4, 16, 2, generator)
    for parameter in nets.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=generator)
    z, given = torch.randn(3, 7, 2, generator=generator), torch.randn(3, 7, 4, generator=generator)
    snr, shown = torch.linspace(-7, 9, 21).view(3, 7), (torch.arange(21).view(3, 7) % 2).float()
    whole = nets(z, snr, given, shown)
    for i in range(3):
        part = nets.part(slice(i, i + 1))
        own = slice(i, i + 1)
        torch.testing.assert_close(part(z[own], snr[own], given[own], shown[own])[0], whole[i])
    blind = nets(z, snr, given + 1, shown)
    torch.testing.assert_close(blind[shown == 0], whole[shown == 0])
    assert (blind[shown == 1] != whole[shown == 1]).any()


def test_an_untrained_network_guesses_as_if_x_were_normal():
    nets = Denoisers(1, 3, 2, 8, 1, torch.Generator().manual_seed(0))
    z, snr = torch.randn(1, 5, 3), torch.zeros(1, 5)
    guess = nets(z, snr, torch.randn(1, 5, 2), torch.ones(1, 5))
    torch.testing.assert_close(guess, z * math.sqrt(0.5))


def test_noise_keeps_the_variance():
    generator = torch.Generator().manual_seed(0)
    x, e = torch.randn(2, 1, 100_000, 1, generator=generator)
    for level in (-7.0, 0.0, 9.0):
        z = add_noise(x, torch.full((1, 100_000), level), e)
        assert float(z.var()) == pytest.approx(1.0, abs=0.02)


def test_training_gets_the_exact_guess():
    """Of a normal x and y, the loss left is that of the exact denoiser."""
    x, y = gaussian(2000, 0.9)
    task = make_task(x, y, folds(2000, 5, 0), 1, True, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    nets = Denoisers(2, 1, 1, 32, 2, generator)
    nets = train(nets, task, Training(600, 128, 2e-3, 1e-2), generator)
    z, snr = torch.randn(2, 500, 1, generator=generator), torch.linspace(-5, 5, 500).expand(2, 500)
    given = 0.6 * z
    for shown in (torch.zeros(2, 500), torch.ones(2, 500)):
        found = nets(z, snr, given, shown)
        assert (found - Exact(0.9)(z, snr, given, shown)).abs().mean() < 0.12


# --- the method -----------------------------------------------------------------------------------


def test_gaussian():
    x, y = gaussian(1500, 0.8)
    reading = denoiser(x, y, seed=0, shuffles=10, **QUICK)
    assert reading.nats == pytest.approx(0.5108, abs=0.2)
    assert reading.split == "held-out" and len(reading.values) == 300
    assert reading.nats > reading.shuffled.max()
    assert reading.ceiling == pytest.approx(0.5 * math.log1p(math.exp(9)))
    forms = reading.details["forms"]
    assert reading.nats == pytest.approx(np.mean(list(forms.values())))


def test_every_part_read_is_every_row():
    x, y = gaussian(600, 0.8)
    reading = denoiser(x, y, seed=0, shuffles=0, parts=2, read=2, **QUICK)
    assert reading.split == "cross-fitted" and len(reading.values) == 600
    assert reading.shuffled.shape == (0,)


def test_independent():
    rng = np.random.default_rng(0)
    x, y = (Variable(rng.normal(size=(1000, d))) for d in (2, 3))
    reading = denoiser(x, y, seed=0, shuffles=0, **QUICK)
    assert abs(reading.nats) < 0.03


def test_labels_are_given_and_not_noised():
    rng = np.random.default_rng(0)
    codes = rng.integers(3, size=(1000, 1)).astype(float)
    labels, x = Variable(codes, 3), Variable(rng.normal(size=(1000, 1)) + 8 * codes)
    for pair in ((x, labels), (labels, x)):
        reading = denoiser(*pair, seed=0, shuffles=3, **QUICK | {"steps": 1200})
        assert reading.nats == pytest.approx(math.log(3), abs=0.25)
        assert len(reading.details["forms"]) == 2
    assert set(reading.details["forms"]) == {"direct, y noised", "orthogonal, y noised"}


def test_monotone_maps_and_the_same_seed_change_nothing():
    x, y = gaussian(200, 0.8)
    mapped = Variable(np.exp(x.values)), Variable(y.values**3)
    readings = [
        denoiser(*pair, seed=1, shuffles=2, steps=30, hidden=8) for pair in ((x, y), mapped)
    ]
    np.testing.assert_array_equal(readings[0].values, readings[1].values)
    np.testing.assert_array_equal(readings[0].shuffled, readings[1].shuffled)
    other = denoiser(x, y, seed=2, shuffles=0, steps=30, hidden=8)
    assert (other.nats != readings[0].nats) and len(other.values) == 40


def test_refusals():
    x, y = gaussian(40, 0.5)
    with pytest.raises(UserError, match="40 rows are too few to train on"):
        denoiser(x, y, seed=0, shuffles=0)
    x, y = gaussian(60, 0.5)
    for parts, read in ((1, 1), (5, 0), (5, 6)):
        with pytest.raises(UserError, match=f"read: {read} of {parts} parts"):
            denoiser(x, y, seed=0, shuffles=0, parts=parts, read=read)
    labels = Variable(np.zeros((60, 1)), levels=1)
    with pytest.raises(UserError, match="denoiser: x and y are both labels"):
        denoiser(labels, labels, seed=0, shuffles=0)
