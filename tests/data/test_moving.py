"""Moving digits: paths, pixels, what partners share; clips from disk; drawn batches."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Generator, Tensor

from goodviews.data import load
from goodviews.data.clips import Clips, DrawnBatches, load_clips
from goodviews.data.images import Images
from goodviews.data.moving import FACTORS, MovingDigits, Scenes, photographs, reflected
from goodviews.interfaces import UserError


@pytest.fixture(scope="module")
def world() -> MovingDigits:
    return MovingDigits(load("digits", image_size=28).train, photographs()[0])


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def bounced(start: float, velocity: float, steps: int, length: float) -> float:
    """Step by step: at a border the velocity turns round."""
    x = start
    for _ in range(steps):
        x += velocity
        if x < 0:
            x, velocity = -x, -velocity
        elif x > length:
            x, velocity = 2 * length - x, -velocity
    return x


@pytest.mark.parametrize("velocity", [6.4, -6.4, 0.0, 3.3, -1.7])
def test_the_triangle_wave_is_the_path_of_a_ball(velocity: float) -> None:
    for steps in (1, 7, 20, 111):
        here = reflected(torch.tensor(11.5 + steps * velocity, dtype=torch.float64), 37.0)
        assert math.isclose(float(here), bounced(11.5, velocity, steps, 37.0), abs_tol=1e-9)


def test_digits_move_a_tenth_of_the_canvas_a_frame(world: MovingDigits) -> None:
    place = world.draw(500, seeded()).place[:, :-1].double()
    assert place.min() == 0 and place.max() == 36
    step = (place[:, 1:] - place[:, :-1]).norm(dim=2)
    inside = ((place[:, 1:] > 7) & (place[:, 1:] < 29)).all(2)  # no border within a step
    assert inside.sum() > 500
    assert (step[inside] - 6.4).abs().max() < math.sqrt(2)
    assert step[inside].mean() == pytest.approx(6.4, abs=0.05)


@pytest.mark.parametrize("frame", [0, 9, 10])
def test_the_place_in_any_frame_is_uniform(world: MovingDigits, frame: int) -> None:
    """Chi-square over 37 values: mean 36, deviation 8.5."""
    place = world.draw(20_000, seeded(1)).place[:, frame]
    for axis in (0, 1):
        counts = place[:, axis].bincount(minlength=37).double()
        chi = float(((counts - 20_000 / 37).square() / (20_000 / 37)).sum())
        assert chi < 36 + 4 * 8.5


def painted(world: MovingDigits, scenes: Scenes, i: int, t: int) -> Tensor:
    """One frame, pixel by pixel, where the crop needs no resizing."""
    row, column = scenes.corner[i].tolist()
    photo = world.backgrounds.pixels[scenes.background[i]].double()
    frame = photo[:, row : row + 64, column : column + 64].clone()
    top, left = scenes.place[i, t].tolist()
    stroke = world.digits.pixels[scenes.digit[i], 0].double() / 255
    for y in range(28):
        for x in range(28):
            behind = frame[:, top + y, left + x]
            frame[:, top + y, left + x] = behind + stroke[y, x] * (255 - behind)
    return frame


def test_pixels_by_a_slow_road(world: MovingDigits) -> None:
    scenes = world.draw(3, seeded(2))
    clips = world.paint(scenes)
    assert clips.dtype == torch.uint8 and clips.shape == (3, 11, 3, 64, 64)
    for i, t in ((0, 0), (1, 5), (2, 10)):
        difference = clips[i, t].double() - painted(world, scenes, i, t)
        assert difference.abs().max() <= 0.5 + 1e-4


def test_other_photographs_are_cut_in_proportion() -> None:
    digits = load("digits", image_size=28).train
    pixels = (255 * torch.rand(6, 3, 32, 32, generator=seeded())).byte()
    small = Images(pixels, "noise", torch.tensor([0, 0, 1, 1, -1, -1]))
    world = MovingDigits(digits, small, brightness=0.5)
    assert world.cut == 22 and len(world.backgrounds) == 4
    still = world.stills(50, seeded())
    assert still.images.shape == (50, 3, 64, 64)
    assert set(still.factors["background"].tolist()) == {0, 1}
    assert still.images[:, :, :3, :3].max() <= 128


@pytest.mark.parametrize(
    ("agree", "same"),
    [
        ({}, {"digit": "class", "background": "crop"}),
        ({"digit": "image", "background": "image"}, {"digit": "image", "background": "image"}),
        ({"background": "class"}, {"digit": "class", "background": "class"}),
    ],
)
@pytest.mark.parametrize("shared", [("digit",), ("background", "position"), FACTORS, ()])
def test_partners_agree_in_what_is_shared_and_in_nothing_else(
    agree: dict[str, str], same: dict[str, str], shared: tuple[str, ...]
) -> None:
    world = MovingDigits(load("digits", image_size=28).train, photographs()[0], agree=agree)
    n = 4000
    own = world.draw(n, seeded(3))
    other = world.partners(own, shared, seeded(4))
    labels, photos = world.digits.labels, world.backgrounds.labels
    assert labels is not None and photos is not None
    rates = {
        "digit class": (labels[own.digit] == labels[other.digit]),
        "digit image": own.digit == other.digit,
        "background class": photos[own.background] == photos[other.background],
        "background image": own.background == other.background,
        "background crop": (own.background == other.background)
        & (own.corner == other.corner).all(1),
        "position": (own.place[:, -1] == other.place[:, 0]).all(1),
    }
    chance = {
        "digit class": 0.1,
        "digit image": 1 / len(labels),
        "background class": 0.5,
        "background image": 1 / 36,
        "background crop": 1 / 36 / 33**2,
        "position": 1 / 37**2,
    }
    order = {"digit": ("image", "class"), "background": ("crop", "image", "class")}
    for name, equal in rates.items():
        factor, _, way = name.partition(" ")
        rate = float(equal.double().mean())
        finest = order[factor].index(same[factor]) if factor in same else 0
        if factor in shared and (not way or order[factor].index(way) >= finest):
            assert rate == 1.0, name
        elif factor in shared and name == "digit image":
            assert rate == 0.0  # another image of the class
        elif factor not in shared:
            deviation = math.sqrt(chance[name] / n)
            assert abs(rate - chance[name]) < 5 * deviation + 1e-3, name


def test_entropies_of_what_is_shared(world: MovingDigits) -> None:
    labels = world.digits.labels
    assert labels is not None
    p = labels.bincount().double() / len(labels)
    digit = float(-(p * p.log()).sum())
    assert world.shared_entropy(["digit"]) == pytest.approx(digit)
    assert world.shared_entropy(["position"]) == pytest.approx(2 * math.log(37))
    assert world.shared_entropy(["background"]) == pytest.approx(math.log(36 * 33 * 33))
    assert world.shared_entropy(FACTORS) == pytest.approx(
        digit + 2 * math.log(37) + math.log(36 * 33 * 33)
    )
    finer = MovingDigits(
        world.digits, world.backgrounds, agree={"digit": "image", "background": "class"}
    )
    assert finer.shared_entropy(["digit"]) == pytest.approx(math.log(len(labels)))
    assert finer.shared_entropy(["background"]) == pytest.approx(math.log(2))


def test_stills_tell_where_the_digit_is() -> None:
    """On black photographs the bright box lies where the factor says."""
    digits = load("digits", image_size=28).train
    digits.pixels = torch.full_like(digits.pixels, 255)
    black = Images(torch.zeros(2, 3, 96, 96, dtype=torch.uint8), "black", torch.tensor([0, 1]))
    still = MovingDigits(digits, black).stills(8, seeded(5))
    for image, centre in zip(still.images, still.factors["position"], strict=True):
        lit = image[0].nonzero().float()
        assert torch.equal((lit.amin(0) + lit.amax(0)) / 2, centre)


def test_a_generator_decides_everything(world: MovingDigits) -> None:
    one, two, other = (world.pairs(4, ["digit"], seeded(s)) for s in (6, 6, 7))
    assert torch.equal(one[0], two[0]) and torch.equal(one[1], two[1])
    assert not torch.equal(one[0], other[0])


def test_photographs_of_train_and_test_do_not_overlap() -> None:
    first, second = photographs()
    seen = {tile.numpy().tobytes() for tile in first.pixels}
    assert len(seen) == 36 and not seen & {tile.numpy().tobytes() for tile in second.pixels}


def test_mistakes(world: MovingDigits) -> None:
    digits, photos = world.digits, world.backgrounds
    bare = Images(photos.pixels, "bare")
    with pytest.raises(UserError, match="bare has no labels"):
        MovingDigits(digits, bare)
    with pytest.raises(UserError, match="side: 20 pixels hold no digit of 28"):
        MovingDigits(digits, photos, side=20)
    with pytest.raises(UserError, match="frames: none"):
        MovingDigits(digits, photos, frames=())
    with pytest.raises(UserError, match="brightness: 0.0"):
        MovingDigits(digits, photos, brightness=0.0)
    with pytest.raises(UserError, match="agree: background: unknown 'crops'. Did you mean 'crop'"):
        MovingDigits(digits, photos, agree={"background": "crops"})
    with pytest.raises(UserError, match="unknown 'digits'. Did you mean 'digit'"):
        world.pairs(2, ["digits"])
    with pytest.raises(UserError, match="unknown 'digits'"):
        world.shared_entropy(["digits"])


# --- clips from disk


def test_clips_of_an_npz_in_both_orders(tmp_path: Path) -> None:
    films = np.random.default_rng(0).integers(0, 256, (3, 5, 3, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", clips=films, labels=[0, 1, 0])
    np.savez(tmp_path / "b.npz", clips=films.transpose(0, 1, 3, 4, 2))
    one, two = load_clips(tmp_path / "a.npz"), load_clips(tmp_path / "b.npz", frames=4)
    assert one.labels is not None and one.labels.tolist() == [0, 1, 0]
    assert one.shape == (3, 8, 8) and torch.equal(one.pixels[:, :4], two.pixels)
    clips, images = one.pairs([2, 0], [1, 3], 5)
    assert np.array_equal(clips.numpy(), films[[2, 0]][:, [0, 2]])
    assert np.array_equal(images.numpy(), films[[2, 0], 4])


def test_clips_of_folders_of_frames(tmp_path: Path) -> None:
    for name, count in (("b", 12), ("a", 11)):
        (tmp_path / name).mkdir()
        for t in range(count):
            grey = 10 * t + (name == "b")
            Image.new("RGB", (16, 16), (grey, grey, grey)).save(tmp_path / name / f"f{t}.png")
    films = load_clips(tmp_path, image_size=8)
    assert films.pixels.shape == (2, 11, 3, 8, 8)  # as many as the shortest has
    assert films.pixels[0, :, 0, 0, 0].tolist() == [10 * t for t in range(11)]  # f2 before f10
    assert films.pixels[1, 3].unique().tolist() == [31]


def test_mistakes_about_clips(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no clips"):
        load_clips(tmp_path)
    np.savez(tmp_path / "x.npz", films=np.zeros(3))
    with pytest.raises(UserError, match=r"no array called clips \(found: films\)"):
        load_clips(tmp_path / "x.npz")
    (tmp_path / "y.npz").write_text("no")
    with pytest.raises(UserError, match="no readable .npz"):
        load_clips(tmp_path / "y.npz")
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "1.png").write_bytes(b"no image")
    with pytest.raises(UserError, match="1.png: not an image"):
        load_clips(tmp_path)
    black = torch.zeros(2, 5, 3, 8, 8, dtype=torch.uint8)
    with pytest.raises(UserError, match=r"frames: \[0, 6\] of clips of 5"):
        Clips(black, "black").pairs([0], [0, 1], 6)
    with pytest.raises(UserError, match="clips: torch.float32"):
        Clips(black.float(), "black")
    with pytest.raises(UserError, match="labels: 1 for 2 clips"):
        Clips(black, "black", torch.tensor([0]))
    np.savez(tmp_path / "z.npz", clips=black.numpy())
    with pytest.raises(UserError, match="frames: 6, but the shortest"):
        load_clips(tmp_path / "z.npz", frames=6)


def test_drawn_batches_go_on_in_mid_epoch() -> None:
    batches = DrawnBatches(lambda g: torch.rand(2, generator=g), 5, seed=3)
    whole = list(batches)
    batches.start = 2
    assert all(torch.equal(a, b) for a, b in zip(list(batches), whole[2:], strict=True))
    batches.start, batches.epoch = 0, 1
    assert not any(torch.equal(a, b) for a in batches for b in whole)
