"""RandAugment: every op against Pillow or torchvision, the draws, lists, fill, what is refused."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Generator, Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from goodviews.interfaces import UserError
from goodviews.views import RECIPES, Recipe, rand_augment, recipe_warnings
from goodviews.views.rand_augment import GEOMETRIC, LISTS, NAMES, RandAugment, apply

LEVELS = torch.tensor([0.0, 1.7, 4.9, 7.49, 9.99, 10.0])


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@pytest.fixture
def levels() -> Tensor:
    """Six 8-bit images of 24 x 20: one flat, one of two values, one dark, three smooth."""
    coarse = torch.rand(6, 3, 5, 4, generator=seeded())
    images = torch.nn.functional.interpolate(coarse, (24, 20), mode="bicubic").clamp(0, 1)
    found = (images * 255).round().to(torch.uint8)
    found[0] = 77
    found[1] = torch.where(images[1] > 0.5, 200, 13).to(torch.uint8)
    found[2] //= 5
    return found


def pillow(name: str, image: Image.Image, level: float) -> Image.Image:
    """The op as the authors' code calls it."""
    if name == "auto_contrast":
        return ImageOps.autocontrast(image)
    if name == "equalize":
        return ImageOps.equalize(image)
    if name == "invert":
        return ImageOps.invert(image)
    if name == "posterize":
        keep = 256 - 2 ** (8 - int(level * 4 / 10))
        return image.point([value & keep for value in range(256)] * 3)
    if name == "solarize":
        return ImageOps.solarize(image, int(level * 256 / 10))
    if name == "solarize_add":
        add = int(level * 110 / 10)
        table = [min(255, value + add) if value < 128 else value for value in range(256)]
        return image.point(table * 3)
    factor = 0.1 + 1.8 * level / 10
    enhancer: Any = getattr(ImageEnhance, name.capitalize())
    made: Image.Image = enhancer(image).enhance(factor)
    return made


def by_pillow(name: str, images: Tensor) -> Tensor:
    made = []
    for image, level in zip(images, LEVELS.tolist(), strict=True):
        picture = Image.fromarray(image.permute(1, 2, 0).numpy())
        made.append(np.array(pillow(name, picture, level)))
    return torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2)


@pytest.mark.parametrize("name", rand_augment.TABLES)
def test_8_bit_ops_equal_pillow_exactly(name: str, levels: Tensor) -> None:
    ours = apply(name, levels / 255, LEVELS)
    torch.testing.assert_close(ours, by_pillow(name, levels) / 255, atol=1e-7, rtol=0)


@pytest.mark.parametrize("name", ["equalize", "invert", "auto_contrast"])
def test_8_bit_ops_equal_torchvision(name: str, levels: Tensor) -> None:
    """Autocontrast rounds down after another order of float32 steps there: one value apart."""
    theirs = getattr(tv, name.replace("_", ""))(levels)
    far = 1 if name == "auto_contrast" else 0
    torch.testing.assert_close(
        apply(name, levels / 255, LEVELS) * 255, theirs.float(), atol=far + 1e-4, rtol=0
    )


@pytest.mark.parametrize("name", ["color", "contrast", "brightness", "sharpness"])
def test_factors_equal_torchvision_and_pillow_up_to_rounding(name: str, levels: Tensor) -> None:
    """Float against float to 5e-6; Pillow rounds grey, smooth image and result: two values."""
    images = levels / 255
    ours = apply(name, images, LEVELS)
    theirs = getattr(tv, f"adjust_{'saturation' if name == 'color' else name}")
    factors = (0.1 + 1.8 * LEVELS / 10).tolist()
    slow = torch.stack([theirs(x, f) for x, f in zip(images, factors, strict=True)])
    torch.testing.assert_close(ours, slow, atol=5e-6, rtol=1e-5)
    rounded = by_pillow(name, levels).float()
    torch.testing.assert_close(ours * 255, rounded, atol=2.1, rtol=0)


SIGNS = torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0, -1.0])


@pytest.mark.parametrize("name", GEOMETRIC)
def test_geometry_equals_torchvision_over_black(name: str, levels: Tensor) -> None:
    """Bilinear, zeros outside; translations by fractions of a pixel as an affine map's."""
    images = levels / 255
    ours = apply(name, images, LEVELS, SIGNS)
    for image, level, sign, made in zip(images, LEVELS.tolist(), SIGNS.tolist(), ours, strict=True):
        part = sign * level / 10
        shear = math.degrees(math.atan(0.3 * part))
        how: dict[str, Any] = {"interpolation": InterpolationMode.BILINEAR}
        plain = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0]}
        asked: dict[str, Any] = {
            "rotate": {**plain, "angle": -30 * part},
            "shear_x": {**plain, "shear": [shear, 0.0], "center": [0, 0]},
            "shear_y": {**plain, "shear": [0.0, shear], "center": [0, 0]},
            "translate_x": {**plain, "translate": [-0.45 * part * 20, 0.0]},
            "translate_y": {**plain, "translate": [0.0, -0.45 * part * 24]},
        }
        slow = tv.affine(image, **asked[name], **how)
        torch.testing.assert_close(made, slow, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("name", GEOMETRIC)
@pytest.mark.parametrize("cubic", [False, True])
def test_geometry_equals_pillow_inside(name: str, cubic: bool, levels: Tensor) -> None:
    """Where a pixel's neighbours are inside: bilinear to one value of 255, cubic (other a) to 8."""
    ours = apply(name, levels / 255, LEVELS, SIGNS, fill=(0.5,), bicubic=torch.tensor([cubic] * 6))
    how = Image.Resampling.BICUBIC if cubic else Image.Resampling.BILINEAR
    for image, level, sign, made in zip(levels, LEVELS.tolist(), SIGNS.tolist(), ours, strict=True):
        if cubic and image.unique().numel() == 2:
            continue  # hard edges: the two cubics overshoot differently
        part, (h, w) = sign * level / 10, image.shape[1:]
        picture = Image.fromarray(image.permute(1, 2, 0).numpy())
        rows = {
            "shear_x": (1, 0.3 * part, 0, 0, 1, 0),
            "shear_y": (1, 0, 0, 0.3 * part, 1, 0),
            "translate_x": (1, 0, 0.45 * part * w, 0, 1, 0),
            "translate_y": (1, 0, 0, 0, 1, 0.45 * part * h),
        }

        def turned(picture: Image.Image, fill: Any, part: float = part, rows: Any = rows) -> Any:
            if name == "rotate":
                return picture.rotate(30 * part, how, fillcolor=fill)
            return picture.transform(
                picture.size, Image.Transform.AFFINE, rows[name], how, fillcolor=fill
            )

        slow = torch.from_numpy(np.array(turned(picture, (128, 128, 128)))).permute(2, 0, 1)
        white = torch.from_numpy(np.array(turned(Image.new("L", picture.size, 255), 0)))
        inside = -torch.nn.functional.max_pool2d((white < 255).float()[None], 5, 1, 2)[0] == 0
        inside[:2], inside[-2:], inside[:, :2], inside[:, -2:] = False, False, False, False
        assert inside.sum() > 20
        apart = (made * 255 - slow).abs()[:, inside]
        assert apart.max() <= (8.5 if cubic else 1.01)


def test_fill_is_blended_in_by_the_part_of_a_pixel_outside() -> None:
    """Moved 2.25 px left: two columns of fill, then a quarter fill."""
    level = torch.tensor([10 * 2.25 / (0.45 * 8)])
    moved = apply("translate_x", torch.ones(1, 3, 4, 8), level, fill=(0.2, 0.4, 0.6))
    for channel, fill in enumerate((0.2, 0.4, 0.6)):
        row = torch.tensor([1.0] * 5 + [0.75 + 0.25 * fill] + [fill] * 2)
        torch.testing.assert_close(moved[0, channel, 0], row)


def test_lists_and_identity(levels: Tensor) -> None:
    assert len(LISTS["rgb"]) == 15 and "identity" not in LISTS["rgb"]
    assert set(LISTS["cmc"]) == {"auto_contrast", "identity", "sharpness", *GEOMETRIC}
    images = levels / 255
    assert torch.equal(RandAugment(ops=("identity",), p=1.0)(images), images)
    assert torch.equal(RandAugment(p=0.0)(images), images)


def test_each_op_is_drawn_and_applied_as_often_as_it_should() -> None:
    """15 ops with replacement, p = 0.5: each in 1/30 of the draws; half of the levels are 10."""
    drawn = RandAugment()._draw(30_000, torch.device("cpu"), seeded())
    share = torch.bincount(drawn.which + 1, minlength=16)[:16] / 30_000
    torch.testing.assert_close(share[0], torch.tensor(0.5), atol=0.01, rtol=0)
    torch.testing.assert_close(share[1:], torch.full((15,), 1 / 30), atol=0.005, rtol=0)
    assert drawn.level.max() == 10 and abs((drawn.level == 10).float().mean() - 0.5) < 0.01
    below = 10 - drawn.level[drawn.level < 10]  # a half normal of deviation 0.5
    assert abs(below.mean() - 0.5 * math.sqrt(2 / math.pi)) < 0.01
    assert abs(drawn.sign.mean()) < 0.02 and abs(drawn.bicubic.float().mean() - 0.5) < 0.01
    assert RandAugment(interpolation="bilinear")._draw(9, drawn.sign.device, None).bicubic is None
    assert RandAugment(interpolation="bicubic")._draw(9, drawn.sign.device, None).bicubic.all()


def test_a_batch_equals_its_images_one_by_one(levels: Tensor) -> None:
    """The slow road: the same draws, each image alone through its named op, layer by layer."""
    images = (levels / 255).repeat(20, 1, 1, 1)
    augment = RandAugment(p=1.0, noise=2.0)
    fast = augment(images, seeded(5))
    generator, slow, seen = seeded(5), images, set()
    for _ in range(2):
        drawn = augment._draw(len(images), images.device, generator)
        assert drawn.bicubic is not None
        changed = []
        for i, place in enumerate(drawn.which.tolist()):
            one = slice(i, i + 1)
            fill = (0.485, 0.456, 0.406)
            cubic = drawn.bicubic[one]
            seen.add(NAMES[place])
            changed.append(
                apply(NAMES[place], slow[one], drawn.level[one], drawn.sign[one], fill, cubic)
            )
        slow = torch.cat(changed)
    assert seen == set(LISTS["rgb"])
    close = (fast - slow).abs() < 1e-5  # a last bit may tip an 8-bit op to the next value
    assert close.float().mean() > 0.9999 and (fast - slow).abs().max() < 0.01


def test_float_images_are_not_overwritten_and_in_place_is_the_same() -> None:
    images = torch.rand(40, 3, 16, 16, generator=seeded())
    kept, augment = images.clone(), RandAugment(p=1.0)
    made = augment(images, seeded(1))
    assert torch.equal(images, kept) and not torch.equal(made, kept)
    assert torch.equal(augment(kept, seeded(1), inplace=True), made)


def test_grey_images_warn_and_keep_their_values_under_color() -> None:
    grey = torch.rand(3, 1, 8, 8, generator=seeded())
    assert torch.equal(apply("color", grey, torch.zeros(3)), grey)
    warned = recipe_warnings(RECIPES["infomin"], {"grey"}, (3, 96, 96))
    assert any("rand_augment" in line for line in warned)
    assert RandAugment(ops="cmc").warnings(frozenset({"grey"}), (1, 8, 8)) == []
    assert RandAugment(fill=(0.1, 0.2, 0.6))._fill(1) == (pytest.approx(0.3),)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"ops": "rgbb"}, "Did you mean 'rgb'"),
        ({"ops": ["rotatee"]}, "Did you mean 'rotate'"),
        ({"ops": []}, "empty"),
        ({"magnitude": 11}, "between 0 and 10"),
        ({"noise": -1}, "between 0 and 10"),
        ({"n": 0}, "between 1"),
        ({"n": 1.5}, "whole number"),
        ({"p": 2}, "between 0 and 1"),
        ({"fill": 128}, "between 0 and 1"),
        ({"interpolation": "nearest"}, "bilinear"),
    ],
)
def test_mistakes_are_one_clear_line(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        Recipe.from_dict({"ops": [{"rand_augment": settings}]})


ORDERS = {
    "instdis": [0.08, "horizontal_flip", "color_jitter", "greyscale"],
    "moco": [0.2, "horizontal_flip", "color_jitter", "greyscale"],
    "moco-v2": [0.2, "horizontal_flip", "color_jitter", "greyscale", "blur"],
    "cmc": [0.08, "horizontal_flip", "color_jitter"],
    "infomin": [0.2, "horizontal_flip", "color_jitter", "blur", "rand_augment", "greyscale"],
    "cmc-v2": [0.2, "horizontal_flip", "color_jitter", "blur", "rand_augment"],
}
JITTERS = {
    "instdis": (0.4, 0.4, 1.0),
    "moco": (0.4, 0.4, 1.0),
    "moco-v2": (0.4, 0.1, 0.8),
    "cmc": (0.4, 0.1, 1.0),
    "infomin": (0.8, 0.2, 0.8),
    "cmc-v2": (0.4, 0.1, 0.8),
}


@pytest.mark.parametrize("name", sorted(ORDERS))
def test_recipes_of_augmentations_a_to_e(name: str) -> None:
    """Ops, order and strengths as published; 23 taps of blur at 224 pixels."""
    recipe = RECIPES[name]
    chain: tuple[Any, ...] = recipe.shared if recipe.split else recipe.ops
    assert [op.name for op in chain[1:]] == ORDERS[name][1:]
    assert chain[0].scale == (ORDERS[name][0], 1.0) and chain[1].p == 0.5
    parts = {op.name: op for op in chain}
    jitter, (tone, hue, p) = parts["color_jitter"], JITTERS[name]
    assert (jitter.brightness, jitter.contrast, jitter.saturation) == (tone,) * 3
    assert (jitter.hue, jitter.p) == (hue, p)
    assert "greyscale" not in parts or parts["greyscale"].p == 0.2
    if blur := parts.get("blur"):
        assert (blur.sigma, blur.p, blur.taps(224)) == ((0.1, 2.0), 0.5, 23)
    if augment := parts.get("rand_augment"):
        listed = "cmc" if recipe.split else "rgb"
        assert augment == RandAugment(2, 10.0, 0.5, 0.5, listed, None, "random")
    assert (recipe.split is not None) == name.startswith("cmc")
    assert recipe.split is None or recipe.split.space == "ydbdr"
