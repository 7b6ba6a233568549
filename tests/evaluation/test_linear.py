"""The linear probe against scikit-learn, closed forms and its laws."""

import math
import time
import warnings

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from goodviews.evaluation import logistic
from goodviews.evaluation.probes import linear_probe
from goodviews.evaluation.task import label_entropy
from goodviews.interfaces import UserError

Data = tuple[Tensor, Tensor, Tensor, Tensor]


def reference(data: Data, penalty: float) -> tuple[float, float]:
    """Accuracy and cross-entropy of scikit-learn at the same penalty."""
    train_x, train_y, test_x, test_y = (t.double().numpy() for t in data)
    scaler = StandardScaler().fit(train_x)
    model = LogisticRegression(C=1 / (len(train_y) * penalty), max_iter=10_000, tol=1e-8)
    model.fit(scaler.transform(train_x), train_y)
    p = model.predict_proba(scaler.transform(test_x))
    columns = np.searchsorted(model.classes_, test_y)
    right = float((p.argmax(1) == columns).mean())
    return right, float(-np.log(p[np.arange(len(p)), columns]).mean())


@pytest.mark.parametrize("penalty", [0.1, 1e-3, 1e-4])
def test_same_solution_as_scikit_learn(digit_pixels: Data, penalty: float) -> None:
    result = linear_probe(*digit_pixels, penalty=penalty)
    accuracy, cross_entropy = reference(digit_pixels, penalty)
    assert result.accuracy == pytest.approx(accuracy, abs=0.0021)
    assert result.cross_entropy == pytest.approx(cross_entropy, rel=0.02)


def test_chosen_penalty_is_as_good_as_scikit_learns_default(digit_pixels: Data) -> None:
    result = linear_probe(*digit_pixels)
    best = max(reference(digit_pixels, 1 / (c * 1297))[0] for c in (0.1, 1.0))
    assert result.accuracy >= best - 0.005
    assert result.label_nats == pytest.approx(
        label_entropy(digit_pixels[3]) - result.cross_entropy, abs=1e-9
    )
    low, high = result.interval
    assert low < result.accuracy < high
    assert result.n_test == 500 == len(result.correct) == len(result.predictions)
    assert result.accuracy == pytest.approx(
        float((result.predictions == result.targets).double().mean())
    )


def gaussian_classes(n: int, d: int, seed: int, gap: float = 2.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 2
    x = torch.randn(n, d, generator=generator)
    x[:, 0] += gap * (y - 0.5)
    return x, y


def test_label_nats_find_the_information_of_two_gaussians() -> None:
    train, test = gaussian_classes(20_000, 5, 0), gaussian_classes(20_000, 5, 1)
    result = linear_probe(*train, *test)
    # I(z;y) = log 2 - E log(1 + exp(-2 a (a + e))), a = gap / 2, by quadrature
    e = torch.linspace(-10, 10, 20_001, dtype=torch.float64)
    density = torch.exp(-e.square() / 2) / math.sqrt(2 * math.pi)
    cost = torch.trapezoid(torch.nn.functional.softplus(-2 * (1 + e)) * density, e)
    truth = math.log(2) - float(cost)
    assert result.label_nats == pytest.approx(truth, abs=0.012)


def test_wide_features_are_exact_while_images_are_few() -> None:
    train, test = gaussian_classes(60, 1500, 0, 20), gaussian_classes(60, 1500, 1, 20)
    result = linear_probe(*train, *test, penalty=1.0)
    accuracy, cross_entropy = reference((*train, *test), 1.0)
    assert result.accuracy == pytest.approx(accuracy, abs=0.02)
    assert result.cross_entropy == pytest.approx(cross_entropy, rel=0.06)


def test_leading_axes_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    low = torch.randn(500, 8, generator=generator)
    x = low @ torch.randn(8, 200, generator=generator)
    x += 0.01 * torch.randn(500, 200, generator=generator)
    y = (low[:, 0] + low[:, 1] > 0).long()
    exact = linear_probe(x[:300], y[:300], x[300:], y[300:], penalty=0.01)
    monkeypatch.setattr(logistic, "WIDTH", 20)
    short = linear_probe(x[:300], y[:300], x[300:], y[300:], penalty=0.01)
    axes, coordinates = logistic.principal_axes(x[:300])
    assert axes.rotation.shape == (200, 20)
    assert torch.allclose(axes.rotation.T @ axes.rotation, torch.eye(20), atol=1e-4)
    assert torch.allclose(axes(x[:300]), coordinates, atol=1e-3)
    assert short.cross_entropy == pytest.approx(exact.cross_entropy, rel=0.02)


def test_scale_and_shift_of_features_do_not_matter(digit_pixels: Data) -> None:
    train_x, train_y, test_x, test_y = digit_pixels
    plain = linear_probe(*digit_pixels, penalty=0.01)
    moved = linear_probe(1000 * train_x + 7, train_y, 1000 * test_x + 7, test_y, penalty=0.01)
    assert moved.cross_entropy == pytest.approx(plain.cross_entropy, rel=1e-2)


def test_labels_keep_their_names_and_minus_one_is_ignored() -> None:
    x, y = gaussian_classes(200, 3, 0, 8)
    names = torch.where(y == 0, 7, 42)
    hidden = names.clone()
    hidden[::5] = -1
    result = linear_probe(x, hidden, x, hidden)
    kept = hidden >= 0
    assert set(result.predictions.tolist()) == {7, 42}
    assert (result.n_train, result.n_test) == (160, 160)
    assert torch.equal(result.targets, hidden[kept])
    assert result.accuracy > 0.98


def test_a_class_unseen_in_training_counts_as_wrong_at_a_finite_cost() -> None:
    x, y = gaussian_classes(200, 3, 0, 8)
    other = y.clone()
    other[:20] = 5
    result = linear_probe(x, y, x, other)
    assert result.accuracy <= 0.9
    assert math.isfinite(result.cross_entropy)
    assert "20 test images" in result.notes[0]


def test_the_generator_of_others_is_left_alone(digit_pixels: Data) -> None:
    before = torch.get_rng_state()
    first, second = linear_probe(*digit_pixels), linear_probe(*digit_pixels)
    assert torch.equal(torch.get_rng_state(), before)
    assert first.cross_entropy == second.cross_entropy


def test_mistakes_are_one_clear_line() -> None:
    x, y = gaussian_classes(20, 3, 0)
    broken = x.clone()
    broken[4, 1] = float("nan")
    with pytest.raises(UserError, match="first: row 4"):
        linear_probe(broken, y, x, y)
    with pytest.raises(UserError, match="not finite"):
        linear_probe(x, y, broken * float("inf"), y)
    with pytest.raises(UserError, match="1 class"):
        linear_probe(x, torch.zeros_like(y), x, y)
    with pytest.raises(UserError, match="no labelled test"):
        linear_probe(x, y, x, -torch.ones_like(y))
    with pytest.raises(UserError, match="3 wide in training, 2 in test"):
        linear_probe(x, y, x[:, :2], y)
    with pytest.raises(UserError, match="do not go with"):
        linear_probe(x, y[:5], x, y)


def test_constant_features_do_not_hurt() -> None:
    x, y = gaussian_classes(100, 3, 0, 8)
    x = torch.cat([x, torch.full((100, 2), 3.7)], 1)
    assert linear_probe(x, y, x, y).accuracy > 0.95
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        constant = linear_probe(torch.ones(100, 4), y, torch.ones(100, 4), y)
    assert constant.label_nats == pytest.approx(0, abs=0.02)


def test_fast_enough() -> None:
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(256, 256, generator=generator)
    x = torch.randn(10_000, 256, generator=generator) @ mix
    y = (x[:, :10] + 10 * torch.randn(10_000, 10, generator=generator)).argmax(1)
    start = time.process_time()
    linear_probe(x, y, x[:2000], y[:2000])
    assert time.process_time() - start < 10  # about 0.5 s of processor time
