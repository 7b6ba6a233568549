"""Sweeps of views: points, statements, small runs from photographs to the page, mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from goodviews import methods
from goodviews.cli import main
from goodviews.data import Images, Loaded, load
from goodviews.data.annotated import VOID, Annotated, annotated
from goodviews.data.selection import Selection
from goodviews.evaluation.segmentation import confusion, pixel_probe, scores
from goodviews.interfaces import Row, UserError
from goodviews.studies.catalogue import SWEEPS, study
from goodviews.studies.infomin import color_spaces, frequency, patch_distance, read
from goodviews.studies.infomin.known import World, measured, proportion, worlds
from goodviews.views import Recipe

SMALL: dict[str, Any] = {
    "seeds": 2,
    "steps": 2,
    "batch_size": 16,
    "encoder": "convnet-half",
    "device": "cpu",
    "precision": "32",
    "echo": lambda line: None,
}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty photographs of 160 x 120 pixels."""
    folder = tmp_path_factory.mktemp("photographs")
    draw = np.random.default_rng(0)
    for i in range(20):
        pixels = draw.integers(0, 255, (120, 160, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def _rows(nats: list[float], accuracy: list[float], spread: float = 0.001) -> list[Row]:
    return [
        Row("candidate", f"p{i}", seed, nats=n + spread * seed, linear=a + spread * seed)
        for i, (n, a) in enumerate(zip(nats, accuracy, strict=True))
        for seed in (0, 1, 2)
    ]


@pytest.mark.parametrize(
    ("accuracy", "spread", "verdict"),
    [
        ([0.3, 0.6, 0.4], 0.001, "shown"),
        ([0.3, 0.4, 0.6], 0.001, "not shown"),
        ([0.6, 0.4, 0.3], 0.001, "not shown"),
        ([0.59, 0.6, 0.4], 0.2, "undecided"),
        ([0.5999, 0.6, 0.4], 0.001, "undecided"),
    ],
)
def test_a_reverse_u_needs_a_fall_on_both_sides(
    accuracy: list[float], spread: float, verdict: str
) -> None:
    """The best point is inside, decidedly better than one that shares more and one less."""
    rows = _rows([1.0, 2.0, 3.0], accuracy, spread)
    assert read.reverse_u(rows, ["p0", "p1", "p2"], "linear")[0]["verdict"] == verdict


def test_a_reverse_u_reads_nats_not_the_order_of_the_dial() -> None:
    """The best point is in the middle of the dial but shares the most: no reverse-U."""
    rows = _rows([1.0, 3.0, 2.0], [0.3, 0.6, 0.4])
    assert read.reverse_u(rows, ["p0", "p1", "p2"], "linear")[0]["verdict"] == "not shown"


def test_two_points_make_no_curve() -> None:
    """Nothing is said of fewer than three points."""
    assert read.reverse_u(_rows([1, 2], [0.1, 0.2]), ["p0", "p1"], "linear") == []
    assert frequency.two_sided(_rows([1, 2], [0.1, 0.2]), ["p0", "p1"], "linear") == []
    assert color_spaces.falling(_rows([1, 2], [0.1, 0.2]), ["p0", "p1"], "linear") == []


def test_a_peak_at_the_end_of_the_dial_is_none() -> None:
    """I_NCE that only rises has no peak inside, and no second side to compare."""
    found = frequency.two_sided(_rows([1, 2, 3], [0.1, 0.2, 0.3]), ["p0", "p1", "p2"], "linear")
    assert [statement["verdict"] for statement in found] == ["not shown"]


def test_distances_scale_with_the_photographs() -> None:
    """A tenth of the side is a patch; all pairs fit; the paper's patch at two thousand pixels."""
    large = torch.zeros(8, 3, 320, 320, dtype=torch.uint8)
    found = patch_distance.points(Loaded(Images(large, "x"), Images(large, "x"), {}, "x"))
    assert [point.value for point in found] == [0, 16, 32, 64, 96, 144, 208, 288]
    for point in found:
        view = point.recipe.build((3, 320, 320)).shapes((3, 320, 320))
        assert view == ((3, 32, 32), (3, 32, 32))
    small = torch.zeros(8, 3, 48, 48, dtype=torch.uint8)
    with pytest.raises(UserError, match="--image-size: 48 px leave too little room"):
        patch_distance.points(Loaded(Images(small, "x"), Images(small, "x"), {}, "x"))


def test_patches_are_cut_from_bytes_as_from_floats() -> None:
    """The short cut for patches gives the views of the long way."""
    images = torch.randint(0, 255, (4, 3, 64, 64), dtype=torch.uint8)
    views = Recipe(split=patch_distance.Patches(16, 8)).build((3, 64, 64))
    cut, whole = (
        views(x, torch.Generator().manual_seed(0)) for x in (images, images.float() / 255)
    )
    for a, b in zip(cut, whole, strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_a_selection_repeats_without_a_copy() -> None:
    """Every image as often as any other, labels with it; a subset of a subset is right."""
    pixels = torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1).expand(5, 1, 2, 2).contiguous()
    source = Images(pixels, "five", torch.arange(5))
    chosen = Selection.at_least(source, 12)
    assert len(chosen) == 15
    assert chosen.labels is not None
    assert torch.bincount(chosen.labels).tolist() == [3] * 5
    part = chosen.subset([1, 6, 14]).subset([2, 0])
    assert part.images([0, 1])[:, 0, 0, 0].tolist() == [4, 1]
    assert part.labels is not None
    assert part.labels.tolist() == [4, 1]


def test_patch_distance_from_photographs_to_the_page(photographs: Path, tmp_path: Path) -> None:
    """Rows, table, page, and the same call again trains nothing."""
    out, told = tmp_path / "study", list[str]()
    call = SMALL | {"transfer": "digits", "variants": "0,16,48", "out": out, "image_size": 120}
    found = study("patch-distance", str(photographs), **call)
    runs = [row for row in found.rows if row.kind == "candidate"]
    assert [row.status for row in runs] == ["done"] * 6
    assert all(0 <= row.measures["digits"] <= 1 and row.nats is not None for row in runs)
    record = json.loads((out / "study.json").read_text())
    assert [arm["value"] for arm in record["arms"]] == [0, 16, 48]
    assert len(record["panels"]) == 2
    assert "linear probe, digits" in (out / "table.md").read_text()
    again = study("patch-distance", str(photographs), **call | {"echo": told.append})
    assert [row.seconds for row in again.rows] == [row.seconds for row in found.rows]


def test_photographs_without_labels_need_a_set_to_probe(photographs: Path, tmp_path: Path) -> None:
    """One clear line that names the remedy."""
    with pytest.raises(UserError, match="--transfer: .* Name a labelled set"):
        study("patch-distance", str(photographs), **SMALL, image_size=120, out=tmp_path / "s")


def test_only_color_spaces_segments(tmp_path: Path) -> None:
    """The option is refused elsewhere, and a folder that is laid out otherwise too."""
    with pytest.raises(UserError, match="--segmentation: crop has no such option"):
        study("crop", "digits", **SMALL, segmentation=str(tmp_path), out=tmp_path / "s")
    with pytest.raises(UserError, match="has no folder train"):
        annotated(tmp_path)


def _annotated(folder: Path) -> None:
    """Photographs whose left half is of class 0 and black, the right of class 1 and white."""
    truth = np.zeros((24, 32), dtype=np.uint8)
    truth[:, 16:] = 1
    truth[:2] = 2  # void
    for split, count in (("train", 12), ("test", 4)):
        for name in (split, f"{split}annot"):
            (folder / name).mkdir(parents=True)
        for i in range(count):
            shift = truth if i % 2 else np.where(truth < 2, 1 - truth, 2).astype(np.uint8)
            pixels = np.repeat((shift == 1).astype(np.uint8)[..., None] * 255, 3, 2)
            Image.fromarray(pixels).save(folder / split / f"{i}.png")
            Image.fromarray(shift).save(folder / f"{split}annot" / f"{i}.png")


def test_color_spaces_on_pixels(tmp_path: Path) -> None:
    """Mean IoU stands in the rows and in the statements."""
    _annotated(tmp_path / "seg")
    train, test = annotated(tmp_path / "seg")
    assert (train.classes, len(train.pixels), len(test.labels)) == (2, 12, 4)
    assert int((train.labels == VOID).sum()) == 12 * 2 * 32
    out = tmp_path / "study"
    call = SMALL | {"variants": "rgb,lab", "segmentation": str(tmp_path / "seg"), "out": out}
    colours = np.random.default_rng(0).integers(0, 255, (60, 32, 32, 3), dtype=np.uint8)
    np.savez(tmp_path / "c.npz", images=colours, labels=np.arange(60) % 3)
    found = study("color-spaces", str(tmp_path / "c.npz"), **call)
    runs = [row for row in found.rows if row.kind == "candidate"]
    assert [row.error for row in runs] == [""] * 4
    assert all(0 < row.measures["mean IoU"] < 1 for row in runs)
    assert {"color-space=lab", "color-space=rgb"} == {row.candidate for row in runs}
    claims = [claim["words"] for claim in found.record["claims"]]
    assert "mean IoU: lab beats rgb" in claims


def test_a_decoder_tells_black_from_white(tmp_path: Path) -> None:
    """From the maps of an untrained encoder, on photographs it was not fitted to."""
    _annotated(tmp_path)
    recipe = Recipe.load("none").build((3, 24, 32))
    method = methods.infonce(recipe, "convnet-half", (3, 24, 32))
    assert pixel_probe(method, *annotated(tmp_path), epochs=40).mean_iou > 0.8


def test_intersection_over_union() -> None:
    """By the definition, pixel by pixel, void left out."""
    g = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 4, (200,), generator=g)
    labels = torch.where(labels == 3, torch.tensor(VOID), labels)
    guesses = torch.randint(0, 3, (200,), generator=g)
    found = scores(confusion(guesses, labels, 3))
    known = labels != VOID
    for c in range(3):
        both = (known & (labels == c) & (guesses == c)).sum()
        either = (known & ((labels == c) | (guesses == c))).sum()
        assert found.iou[c] == pytest.approx(float(both / either), abs=1e-6)
    assert found.accuracy == pytest.approx(float((guesses == labels)[known].float().mean()))


def test_encoders_without_maps_are_refused() -> None:
    """A decoder needs maps; the message says which encoders have them."""
    method = methods.infonce(Recipe().build((3, 8, 8)), "mlp", (3, 8, 8))
    with pytest.raises(UserError, match="gives no feature maps. Use for example convnet"):
        pixel_probe(method, *[_blank()] * 2)


def _blank() -> Any:
    return Annotated(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), torch.zeros(2, 8, 8).byte(), 2)


@pytest.mark.parametrize("sweep", [s for s in SWEEPS if s.name != "patch-distance"])
def test_every_sweep_runs(sweep: Any, tmp_path: Path) -> None:
    """Two points of each on colour images, with a page."""
    colours = np.random.default_rng(0).integers(0, 255, (60, 32, 32, 3), dtype=np.uint8)
    np.savez(tmp_path / "c.npz", images=colours, labels=np.arange(60) % 3)
    loaded = load(str(tmp_path / "c.npz"))
    points = sweep.points(loaded)
    call = SMALL | {"variants": [points[0].name, points[-1].name], "out": tmp_path / "study"}
    found = study(sweep.name, str(tmp_path / "c.npz"), **call)
    assert [row.error for row in found.rows] == [""] * 7
    assert (tmp_path / "study" / "report.html").stat().st_size > 100_000


def test_known_worlds() -> None:
    """What a world says of itself is what its pairs show, and the bound stays below it."""
    world = worlds(1)[0]
    one = world.draw(4000, torch.Generator().manual_seed(1))
    assert world.shared(2) == pytest.approx(2 * np.log(world.values))
    assert one.unique().tolist() == list(range(world.values))
    nats, accuracy = measured(World(values=3, factors=3, seed=5), seeds=1, steps=60)
    for s, values in enumerate(nats, 1):
        assert values[0] < s * np.log(3) + 0.05
    assert nats[0][0] < nats[1][0] < nats[2][0]
    assert accuracy[1][0] > accuracy[0][0]


def test_the_regimes_study(tmp_path: Path) -> None:
    """Two worlds end as two rows, a proportion and a page; other data are refused."""
    found = study("regimes", seeds=2, steps=40, out=tmp_path / "r", echo=lambda line: None)
    assert len(found.rows) == 2
    assert found.record["claims"][0]["words"].startswith("a regime that is named is the true one")
    assert (tmp_path / "r" / "report.html").exists()
    with pytest.raises(UserError, match="--data: digits has no known information"):
        study("regimes", "digits", out=tmp_path / "s")


def test_the_regimes_study_on_the_command_line(tmp_path: Path) -> None:
    """It has no data to load and no device to choose, and takes the verb's defaults."""
    call = ["study", "regimes", "--seeds", "1", "--steps", "2", "--out", str(tmp_path / "r")]
    assert main(call) == 0
    assert main([*call, "--strict"]) == 2


def test_a_proportion_is_judged_by_its_interval() -> None:
    """Few names decide nothing."""
    assert [proportion(r, n)["verdict"] for r, n in ((150, 150), (10, 10), (20, 40), (0, 0))] == [
        "shown",
        "undecided",
        "not shown",
        "undecided",
    ]
