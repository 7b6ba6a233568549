"""Splits are consistent with the image they cut; every family and value builds and runs."""

import pytest
import torch
from torch import Generator, Tensor

from goodviews.interfaces import UserError
from goodviews.views import FAMILIES, SPLITS, Recipe
from goodviews.views.colorspaces import COLOR_SPACES, NATURAL, convert
from goodviews.views.splits import Channels, ColorSpace, Frequency, Halves, Patches


@pytest.fixture
def images() -> Tensor:
    return torch.rand(8, 3, 32, 32, generator=Generator().manual_seed(0))


def test_low_and_high_frequencies_add_up(images: Tensor) -> None:
    for sigma in (0.3, 0.7, 4.0):
        low, high = Frequency(sigma).bands(images)
        torch.testing.assert_close(low + high, images)
    v1, v2 = Frequency(0.7)(images)
    torch.testing.assert_close(v1 * 0.25 + 0.48 + v2 * 0.04, images, atol=1e-5, rtol=1e-5)


def test_more_blur_moves_more_to_the_high_band(images: Tensor) -> None:
    share = [Frequency(s).bands(images)[1].std().item() for s in (0.3, 0.5, 0.7, 1, 2, 4)]
    assert share == sorted(share)


@pytest.mark.parametrize("space", COLOR_SPACES)
def test_color_space_views_hold_all_channels(space: str, images: Tensor) -> None:
    v1, v2 = ColorSpace(space)(images)
    mean, std = (torch.tensor(x).view(1, 3, 1, 1) for x in NATURAL[space])
    whole = torch.cat([v1, v2], 1) * std + mean
    torch.testing.assert_close(whole, convert(images, space), atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize(("name", "order"), [("R|GB", (0, 1, 2)), ("G|RB", (1, 0, 2))])
def test_channels(name: str, order: tuple[int, ...], images: Tensor) -> None:
    whole = torch.cat(Channels(name)(images), 1)
    mean, std = (torch.tensor(x)[list(order)].view(1, 3, 1, 1) for x in NATURAL["rgb"])
    torch.testing.assert_close(whole * std + mean, images[:, list(order)])


def test_halves(images: Tensor) -> None:
    assert torch.equal(torch.cat(Halves("horizontal")(images), 3), images)
    assert torch.equal(torch.cat(Halves("vertical")(images), 2), images)
    odd = images[:, :, :31]
    top, bottom = Halves("vertical")(odd)
    assert torch.equal(top, odd[:, :, :15]) and torch.equal(bottom, odd[:, :, 16:])


def test_patches_are_d_apart_inside_the_image() -> None:
    place = torch.arange(40 * 50, dtype=torch.float32).view(1, 1, 40, 50).expand(300, 1, 40, 50)
    one, two = Patches(8, 12)(place, Generator().manual_seed(0))
    row, column = one[:, 0, 0, 0] // 50, one[:, 0, 0, 0] % 50
    assert torch.equal(two - one, torch.full_like(one, 12 * 50 + 12))
    assert row.min() == 0 and row.max() == 40 - 20 and column.min() == 0 and column.max() == 30
    slow = place[0, :, int(row[5]) : int(row[5]) + 8, int(column[5]) : int(column[5]) + 8]
    assert torch.equal(one[5], slow)
    with pytest.raises(UserError, match="larger than"):
        Patches(30, 12)(place)


@pytest.mark.parametrize("name", sorted(SPLITS))
def test_split_recipes_share_the_augmentation(name: str) -> None:
    settings = {"patches": {"size": 8, "distance": 8}}.get(name, {})
    views = Recipe.from_dict({"shared": ["horizontal_flip"], "split": {name: settings}}).build(
        (3, 32, 32)
    )
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    pair = views(images, Generator().manual_seed(0))
    shapes = views.shapes((3, 32, 32))
    assert (pair.v1.shape[1:], pair.v2.shape[1:]) == shapes
    assert views.shared_encoder == (name in ("patches", "halves"))
    assert len(views.looks(images)) == (1 if name == "patches" else 2)


SHAPES = [(3, 32, 32), (3, 96, 96), (1, 28, 28), (3, 40, 64)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_every_value_builds_and_runs(name: str, shape: tuple[int, int, int]) -> None:
    family = FAMILIES[name]
    factors = ["digit", "position", "background"]
    if family.applies(shape, (), factors):
        assert shape[0] == 1 and name in ("color-space", "channels", "grey")
        return
    values = family.values_for(shape, factors)
    assert len(set(values)) == len(values) >= 2
    quick = family.values_for(shape, factors, budget="quick")
    assert set(quick) <= set(values) and (len(quick) <= 4 or name == "shared-factors")
    images = torch.randint(0, 256, (4, *shape), dtype=torch.uint8)
    names = set()
    for value in values:
        recipe = family.recipe(value, shape)
        names.add(recipe.name)
        assert Recipe.from_dict(recipe.to_dict()) == recipe
        views = recipe.build(shape)
        pair = views(images, partners=images.flip(0) if recipe.partners else None)
        assert (pair.v1.shape[1:], pair.v2.shape[1:]) == views.shapes(shape)
        assert all(torch.isfinite(view).all() for view in (*pair, *views.looks(images)))
    assert len(names) == len(values)


@pytest.mark.parametrize("name", [n for n, f in FAMILIES.items() if f.op])
def test_only_the_dial_differs_and_hints_are_heeded(name: str) -> None:
    family = FAMILIES[name]
    rest = []
    for value in family.values:
        ops = family.recipe(value, (3, 32, 32)).ops
        rest.append(tuple(op for op in ops if op.name != family.op))
    assert len(set(rest)) == 1
    strict = family.recipe(family.values[-1], (3, 32, 32), hints={"no-flip", "grey"}).ops
    assert not {"horizontal_flip", "greyscale"} & {op.name for op in strict}
    assert all(
        "hue" not in line for op in strict for line in op.warnings(frozenset({"grey"}), (3, 32, 32))
    )


@pytest.mark.parametrize(
    "name",
    ["crop-scale", "color-jitter", "blur", "occlusion", "rotation", "noise", "rand-augment"],
)
def test_sweep_goes_from_weak_to_strong(name: str) -> None:
    """A view drifts away from its image along the sweep."""
    coarse = torch.rand(128, 3, 6, 6, generator=Generator().manual_seed(0))
    images = torch.nn.functional.interpolate(coarse, (32, 32), mode="bilinear")
    family, apart = FAMILIES[name], []
    for value in family.values:
        recipe = family.recipe(value, (3, 32, 32), base=Recipe())
        views = recipe.build((3, 32, 32))
        view = views(images, Generator().manual_seed(0)).v1
        apart.append((view - views.looks(images)[0]).abs().mean().item())
    assert apart == sorted(apart) and apart[0] < apart[-1], apart


def test_a_base_recipe_keeps_its_other_ops() -> None:
    base = Recipe.load("moco-v2")
    made = FAMILIES["crop-scale"].recipe(0.7, (3, 32, 32), base=base)
    assert made.ops[1:] == base.ops[1:] and made.ops[0] != base.ops[0]
    assert made.mean == base.mean and [op.name for op in made.ops] == [op.name for op in base.ops]
    assert FAMILIES["blur"].recipe("1.5", (3, 32, 32)).name == "blur=1.5"
    with pytest.raises(UserError, match="no number"):
        FAMILIES["blur"].recipe("much", (3, 32, 32))


def test_shared_factors_values_run_from_all_to_single() -> None:
    values = FAMILIES["shared-factors"].values_for((3, 32, 32), ["digit", "position"])
    assert values == ("digit+position", "digit", "position")
    assert FAMILIES["shared-factors"].applies((3, 32, 32), ()) is not None
