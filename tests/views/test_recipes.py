"""Recipes: strict keys, YAML round trip, what is built, what is refused, what is warned about."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from goodviews.interfaces import UserError, Views
from goodviews.views import RECIPES, Recipe, contact_sheet, recipe_warnings, strip
from goodviews.views.color import adjust_hue


def batch(n: int = 6, side: int = 32, channels: int = 3) -> Tensor:
    generator = Generator().manual_seed(0)
    return torch.randint(0, 256, (n, channels, side, side), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("name", sorted(RECIPES))
@pytest.mark.parametrize("side", [32, 96])
def test_catalogue_builds_runs_and_round_trips(name: str, side: int, tmp_path: Path) -> None:
    recipe = Recipe.load(name)
    views: Views = recipe.build((3, side, side))
    images = batch(side=side)
    pair = views(images, Generator().manual_seed(1))
    for view, shape in zip(pair, views.shapes((3, side, side)), strict=True):
        assert view.shape == (6, *shape) and view.dtype == torch.float32 and view.is_contiguous()
    again = views(images, Generator().manual_seed(1))
    assert torch.equal(pair.v1, again.v1) and torch.equal(pair.v2, again.v2)
    same = pair.v1.shape == pair.v2.shape and torch.equal(pair.v1, pair.v2)
    assert same == (name == "none")
    assert views.shared_encoder == (recipe.split is None)
    looks = views.looks(images)
    assert [look.shape for look in looks] == [view.shape for view in pair][: len(looks)]
    assert len(looks) == (1 if views.shared_encoder else 2)
    recipe.save(tmp_path / "recipe.yaml")
    assert Recipe.load(tmp_path / "recipe.yaml") == recipe
    assert [p.name for p in tmp_path.iterdir()] == ["recipe.yaml"]


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_other_channel_counts(channels: int) -> None:
    recipe = Recipe(ops=Recipe.load("simclr").ops)
    assert recipe.build((channels, 32, 32))(batch(channels=channels)).v1.shape[1] == channels


def test_grey_images_take_the_mean_of_a_colour_recipes_statistics() -> None:
    views = Recipe(mean=(0.3, 0.4, 0.5), std=(0.2, 0.2, 0.2)).build((1, 8, 8))
    half = torch.full((2, 1, 8, 8), 0.4)
    torch.testing.assert_close(views(half).v1, torch.zeros_like(half))


def test_normalised_as_told() -> None:
    images = batch()
    views = Recipe(mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 0.2)).build((3, 32, 32))
    mean = torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)
    slow = (images / 255 - mean) / torch.tensor([0.5, 0.25, 0.2]).view(3, 1, 1)
    torch.testing.assert_close(views(images).v1, slow)
    torch.testing.assert_close(views.looks(images)[0], slow)


def test_shared_ops_are_drawn_once_and_others_twice() -> None:
    images = batch(32)
    shared = Recipe.from_dict({"shared": [{"horizontal_flip": {}}, "noise"]})
    pair = shared.build((3, 32, 32))(images)
    assert torch.equal(pair.v1, pair.v2)
    apart = Recipe.from_dict({"ops": [{"horizontal_flip": {}}]}).build((3, 32, 32))(images)
    assert not torch.equal(apart.v1, apart.v2)


def test_second_view_may_have_its_own_ops() -> None:
    images = batch()
    recipe = Recipe.from_dict({"ops": [{"noise": {}}], "second": []})
    pair = recipe.build((3, 32, 32))(images)
    plain = Recipe().build((3, 32, 32))(images)
    assert torch.equal(pair.v2, plain.v2) and not torch.equal(pair.v1, plain.v1)
    assert Recipe.from_dict(recipe.to_dict()) == recipe


def test_views_do_not_overwrite_float_images() -> None:
    images = batch().float() / 255
    kept = images.clone()
    for recipe in (
        Recipe.load("none"),
        Recipe.load("simclr"),
        Recipe.from_dict({"ops": ["erase"]}),
    ):
        recipe.build((3, 32, 32))(images)
        assert torch.equal(images, kept)


def test_large_batches_in_parts_cover_every_image_once() -> None:
    images = torch.arange(250, dtype=torch.uint8).view(-1, 1, 1, 1).expand(250, 3, 96, 96)
    views = Recipe(mean=(0.0,), std=(1 / 255,)).build((3, 96, 96))
    assert views(images).v1[:, 0, 0, 0].round().tolist() == list(range(250))


def test_partners_make_the_second_view() -> None:
    images, others = batch(), batch().flip(0)
    views = Recipe(partners=("digit",)).build((3, 32, 32))
    pair = views(images, partners=others)
    assert torch.equal(pair.v2, Recipe().build((3, 32, 32))(others).v1)
    with pytest.raises(UserError, match="partner"):
        views(images)


def test_hue_turned_there_and_back() -> None:
    images = batch().float() / 255
    delta = torch.linspace(-0.5, 0.5, 6)
    torch.testing.assert_close(
        adjust_hue(adjust_hue(images, delta), -delta), images, atol=1e-5, rtol=0
    )


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"opps": []}, "Did you mean 'ops'"),
    ({"ops": [{"random_resized_crp": {}}]}, "Did you mean 'random_resized_crop'"),
    ({"ops": [{"blur": {"sigmas": 1}}]}, "Did you mean 'sigma'"),
    ({"ops": {"blur": {}}}, "no list"),
    ({"ops": [{"blur": {}, "noise": {}}]}, "not one name"),
    ({"ops": [{"blur": 3}]}, "no mapping"),
    ({"ops": [{"blur": {"sigma": [2, 1]}}]}, "reversed"),
    ({"ops": [{"blur": {"kernel": 4}}]}, "not odd"),
    ({"ops": [{"greyscale": {"p": 1.5}}]}, "between 0 and 1"),
    ({"ops": [{"greyscale": {"p": "often"}}]}, "between 0 and 1"),
    ({"ops": [{"color_jitter": {"hue": 0.6}}]}, "between 0 and 0.5"),
    ({"ops": [{"random_resized_crop": {"scale": [0.2]}}]}, "two numbers"),
    ({"ops": [{"random_resized_crop": {"interpolation": "box"}}]}, "bilinear"),
    ({"ops": [{"rotate": {"fill": "red"}}]}, "reflection"),
    ({"split": {"color_space": {"space": "cmyk"}}}, "lab"),
    ({"split": {"halves": {"direction": "diagonal"}}}, "horizontal"),
    ({"split": "frequencies"}, "Did you mean 'frequency'"),
    ({"size": "big"}, "number of pixels"),
    ({"mean": 0.5}, "list of numbers"),
    ({"std": [0.0, 1, 1]}, "positive"),
]


@pytest.mark.parametrize(("data", "says"), WRONG)
def test_mistakes_are_one_clear_line(data: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        Recipe.from_dict(data)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Did you mean 'simclr'"):
        Recipe.load("simclrr")
    with pytest.raises(UserError, match="does not exist"):
        Recipe.load(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("ops: [unclosed")
    with pytest.raises(UserError, match="not valid YAML"):
        Recipe.load(tmp_path / "bad.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(UserError, match="no mapping"):
        Recipe.load(tmp_path / "list.yaml")
    assert Recipe.load("MoCo_v2") is RECIPES["moco-v2"]


def test_build_refuses_what_does_not_fit() -> None:
    patches = Recipe.from_dict({"split": {"patches": {"size": 20, "distance": 20}}})
    with pytest.raises(UserError, match="at most 32"):
        patches.build((3, 32, 32))
    with pytest.raises(UserError, match="three"):
        Recipe.from_dict({"split": "color_space"}).build((1, 32, 32))
    with pytest.raises(UserError, match="shared"):
        Recipe.from_dict({"split": "channels", "ops": ["noise"]}).build((3, 32, 32))
    with pytest.raises(UserError, match="2 numbers"):
        Recipe(mean=(0.1, 0.2)).build((3, 32, 32))
    with pytest.raises(UserError, match="differ"):
        Recipe.from_dict({"ops": [{"resize": {"size": 16}}], "second": []}).build((3, 32, 32))


def test_warnings_against_data() -> None:
    simclr = Recipe.load("simclr")
    assert any("mirror" in line for line in recipe_warnings(simclr, {"no-flip"}, (3, 96, 96)))
    grey = recipe_warnings(simclr, {"grey"}, (3, 96, 96))
    assert any("hue" in line for line in grey) and any("greyscale" in line for line in grey)
    assert any("8 px" in line for line in recipe_warnings(simclr, (), (3, 16, 16)))
    enlarge = recipe_warnings(Recipe.load("amdim-imagenet"), (), (3, 32, 32))
    assert any("enlarges" in line for line in enlarge)
    assert recipe_warnings(Recipe.load("moco-v2"), (), (3, 96, 96)) == []


@pytest.mark.parametrize("split", [None, "color_space", "channels", "frequency", "halves"])
def test_previews(split: str | None) -> None:
    recipe = Recipe.load("simclr") if split is None else Recipe.from_dict({"split": split})
    views = recipe.build((3, 32, 32))
    sheet, row = contact_sheet(views, batch(), n=6), strip(views, batch(), n=6)
    assert sheet.mode == row.mode == "RGB" and sheet.width > 400 and row.width > 100
    assert sheet.tobytes() == contact_sheet(views, batch(), n=6).tobytes()


def test_views_stay_float32_under_autocast() -> None:
    views = Recipe.from_dict({"split": {"color_space": {"space": "yuv"}}}).build((3, 32, 32))
    plain = views(batch())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pair, looks = views(batch()), views.looks(batch())
    assert torch.equal(pair.v1, plain.v1) and torch.equal(looks[1], plain.v2)
