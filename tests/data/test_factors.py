"""The bundled sets: the factors are exact, partners obey their law, the answer is known."""

import math
from itertools import combinations

import pytest
import torch
from scipy.stats import chisquare
from sklearn.linear_model import RidgeClassifier
from torch import Generator

from goodviews.data import Images, load
from goodviews.data.factors import FACTOR_CLASSES, _backgrounds, factors
from goodviews.interfaces import UserError

SIZES = {"digit": 10, "position": 9, "background": 20}
SUBSETS = [subset for n in range(4) for subset in combinations(SIZES, n)]


@pytest.fixture(scope="module")
def both() -> tuple[Images, Images]:
    return factors()


@pytest.mark.parametrize("shared", SUBSETS)
def test_shared_information_is_the_log_of_the_combinations(
    both: tuple[Images, Images], shared: tuple[str, ...]
) -> None:
    exact = sum(math.log(SIZES[name]) for name in shared)
    for part in both:
        assert part.shared_information(shared) == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize("shared", SUBSETS)
def test_partners_agree_in_the_shared_factors_and_in_nothing_else(
    both: tuple[Images, Images], shared: tuple[str, ...]
) -> None:
    """The other factors of the partner are uniform and independent of the image's own."""
    index = torch.arange(len(both[0]))
    partner = both[0].partners(index, shared, Generator().manual_seed(1))
    assert not (partner == index).any()
    for name, values in both[0].factors.items():
        one, two = values[index], values[partner]
        if name in shared:
            assert torch.equal(one, two)
        elif len(shared) < 2:
            table = (one * SIZES[name] + two).bincount(minlength=SIZES[name] ** 2)
            assert chisquare(table.numpy()).pvalue > 1e-4


def test_partners_are_uniform_over_the_group() -> None:
    """With a fixed image, each other member of its group is drawn equally often."""
    side = torch.tensor([0, 1, 0, 0, 2, 0, 1])
    some = Images(torch.zeros(7, 3, 8, 8, dtype=torch.uint8), "x", factors={"side": side})
    draws = some.partners([2] * 9000, ["side"], Generator().manual_seed(0)).bincount(minlength=7)
    assert draws[[1, 2, 4, 6]].sum() == 0 and chisquare(draws[[0, 3, 5]].numpy()).pvalue > 1e-4
    assert some.partners([4], ["side"]).tolist() == [4]


def test_label_names_a_factor_and_unknown_ones_are_refused(both: tuple[Images, Images]) -> None:
    index = torch.arange(50)
    partner = both[1].partners(index, ["label"])
    assert both[1].labels is not None
    assert torch.equal(both[1].labels[index], both[1].labels[partner])
    with pytest.raises(UserError, match="Did you mean digit"):
        both[1].partners(index, ["digits"])
    bare = Images(both[1].pixels[:3], "x", torch.tensor([0, -1, 0]), ("a",))
    with pytest.raises(UserError, match="1 images of x have no label"):
        bare.partners([0], ["label"])


def test_the_set_is_a_function_of_the_seed() -> None:
    one, two, other = (factors(seed, train=1, test=1) for seed in (0, 0, 1))
    assert all(torch.equal(a.pixels, b.pixels) for a, b in zip(one, two, strict=True))
    assert not torch.equal(one[0].pixels, other[0].pixels)


def test_backgrounds_are_distinct() -> None:
    flat = _backgrounds().flatten(1)
    apart = torch.cdist(flat, flat) / math.sqrt(flat.shape[1]) + torch.eye(20)
    assert flat.shape == (20, 3072) and apart.min() > 0.08


def linear(train: Images, test: Images, name: str) -> float:
    """Accuracy of a linear classifier on pixels."""
    model = RidgeClassifier(alpha=10.0)
    model.fit(train.pixels.flatten(1).numpy() / 255.0, train.factors[name])
    return float(model.score(test.pixels.flatten(1).numpy() / 255.0, test.factors[name]))


def test_the_background_shows_but_the_digit_hides_from_raw_pixels(
    both: tuple[Images, Images],
) -> None:
    """What an image shows is what the law says it shares; linear-on-pixels leaves room to learn."""
    train, test = both[0].subset(range(2000)), both[1].subset(range(500))
    assert linear(train, test, "background") > 0.97
    assert linear(train, test, "digit") < 0.4


def test_every_digit_can_be_read_where_its_position_is_known(both: tuple[Images, Images]) -> None:
    """Cut out where they stand, digits of unseen handwriting are told apart by their outline."""
    cut = []
    for part in both:
        place = part.factors["position"]
        top, left = 8 * (place // 3), 8 * (place % 3)
        rows = torch.arange(16)
        y, x = top[:, None, None] + rows[:, None], left[:, None, None] + rows
        whole = part.pixels.float() / 255
        glyph = whole[torch.arange(len(part))[:, None, None], :, y, x].permute(0, 3, 1, 2)
        background = _backgrounds()[part.factors["background"]]
        under = background[torch.arange(len(part))[:, None, None], :, y, x].permute(0, 3, 1, 2)
        cut.append((glyph - under).abs().amax(1).flatten(1).numpy())
    model = RidgeClassifier(alpha=10.0).fit(cut[0][:2500], both[0].factors["digit"][:2500])
    assert model.score(cut[1][:800], both[1].factors["digit"][:800]) > 0.7


@pytest.mark.parametrize("name", list(SIZES))
def test_any_factor_can_be_the_label(name: str) -> None:
    found = load("factors", labels=name, max_images=900)
    assert found.train.classes == FACTOR_CLASSES[name]
    assert found.train.labels is not None
    assert torch.equal(found.train.labels, found.train.factors[name])
    assert set(found.train.factors) == set(SIZES) and found.hints == {"no-flip"}


def test_labels_of_bundled_sets() -> None:
    assert load("digits", labels="none").train.labels is None
    with pytest.raises(UserError, match=r"Did you mean background\? Known: digit, position"):
        load("factors", labels="backgrounds")
    assert load("digits").hints == {"no-flip", "grey"}
