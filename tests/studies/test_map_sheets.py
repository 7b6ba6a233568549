"""Sheets of maps of a method whose maps are known: it sees red."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from plotly.colors import hex_to_rgb
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, pad

from goodviews import methods
from goodviews.data.factors import factors
from goodviews.data.images import Images
from goodviews.evaluation.features import extract
from goodviews.files import write_text
from goodviews.interfaces import Features, ImageSource
from goodviews.report import run_page
from goodviews.studies import map_sheets
from goodviews.studies.drawing import COMPONENTS, GAP, LINE, SIDE, heat, overlaid, shades
from goodviews.views import Recipe

N, SQUARE = 12, 4


class SeesRed(nn.Module):
    """Local features are colours, the summary asks for red: scores are how red a place is."""

    def __init__(self, side: int = 28, views: str | dict[str, Any] = "none") -> None:
        super().__init__()
        self.views = Recipe.load(views).build((3, side, side))
        self.scales = [(1, 5), (1, 7), (5, 5)]

    def features(self, *pair: Tensor) -> list[Features]:
        """Average colours of places and a one, D = 4, whatever the view's channels."""
        return [self._one(view) for view in pair]

    def _one(self, view: Tensor) -> Features:
        colours = pad(view, (0, 0, 0, 0, 0, 4 - view.shape[1]))
        colours[:, 3] = 1
        summary = torch.tensor([[1.0, 0, 0, 0]]).repeat(len(view), 1)
        return Features(summary, {side: adaptive_avg_pool2d(colours, side) for side in (5, 7)})

    def forward(self, images: Tensor) -> Tensor:
        """Average colours of an image."""
        return images.float().mean((2, 3)) + torch.arange(3)


def squares(labels: bool = True, n: int = N) -> Images:
    """Black images of 7 x 7 places, place i of image i red."""
    pixels = torch.zeros(n, 3, 7, 7, dtype=torch.uint8)
    for i in range(n):
        pixels[i, 0, i // 7, i % 7] = 255
    pixels = pixels.repeat_interleave(SQUARE, 2).repeat_interleave(SQUARE, 3)
    known = torch.arange(n) % 2 if labels else None
    return Images(pixels, "squares", known, ("even", "odd") if labels else ())


def at(sheet: Image.Image, x: int, y: int, place: tuple[int, int], side: int = 7) -> list[int]:
    """The colour in the middle of a place of the tile at x, y."""
    row, column = ((2 * p + 1) * SIDE // (2 * side) for p in place)
    return list(sheet.getpixel((x + column, y + row)))  # type: ignore[arg-type]


def colour(value: float) -> list[int]:
    """The colour of a value of a map from 0 to 1."""
    return shades(torch.tensor([[value]])).mul(255).round().int().flatten().tolist()


def test_brightness_alone_tells_the_order() -> None:
    """The colour map climbs in luminance, in steps that are about equal."""
    light = (shades(torch.linspace(0, 1, 100)[None])[:, 0].T ** 2.2) @ torch.tensor(
        [0.2126, 0.7152, 0.0722]
    )
    steps = (116 * light.clamp_min(0.009).pow(1 / 3) - 16).diff()
    assert (steps > -0.05).all() and light[-1] > 0.9 and steps[20:].std() < 0.5
    assert torch.equal(heat(torch.tensor([[-3.0, 5.0]]), -3, 5), shades(torch.tensor([[0.0, 1]])))
    assert torch.isfinite(heat(torch.ones(2, 2), 1, 1)).all()


def test_maps_stand_under_their_images() -> None:
    """Under each image its own red place is bright and all else black; the query comes first."""
    source, method = squares(), SeesRed()
    z = torch.eye(N) + 1  # all others are equally near
    sheet = map_sheets.neighbour_score_sheet(method, source, z)
    queries = map_sheets.spread(N, map_sheets.QUERIES).tolist()
    row = LINE + 2 * SIDE + 4 * GAP
    for i, query in enumerate(queries):
        top = LINE + i * row + LINE
        assert at(sheet, 0, top, divmod(query, 7)) == [255, 0, 0]
        for place in range(N):
            wanted = colour(1.0 if place == query else 0.0)
            assert at(sheet, 0, top + SIDE + GAP, divmod(place, 7)) == wanted
        x = SIDE + GAP + 2 * GAP
        red = [p for p in range(N) if at(sheet, x, top, divmod(p, 7)) == [255, 0, 0]]
        assert len(red) == 1 and red != [query]
        assert at(sheet, x, top + SIDE + GAP, divmod(red[0], 7)) == colour(1.0)


@pytest.mark.parametrize("n", [1, 3])
def test_few_images_without_labels(n: int) -> None:
    """Fewer images than neighbours, and no names."""
    sheets = map_sheets.map_sheets(SeesRed(), squares(labels=False, n=n), torch.eye(n))
    assert set(sheets) == {"neighbour_scores.png", "similarity_maps.png"}


def test_similarity_of_equal_views() -> None:
    """With x1 = x2 the framed place is like itself, and black like all that is black."""
    pixels = torch.zeros(2, 3, 28, 28, dtype=torch.uint8)
    pixels[0, 0, 12:16, 12:16] = 255
    pixels[1, 1, :, 16:] = 255
    sheet = map_sheets.similarity_sheet(SeesRed(), Images(pixels, "two"))
    column = SIDE + GAP
    assert at(sheet, 2 * column, LINE, (3, 3)) == colour(1)  # [f1, f7]: red is there
    assert at(sheet, 2 * column, LINE, (0, 0)) == colour(0)
    assert at(sheet, 2 * column, LINE + column, (3, 3)) == colour(0)  # and not in green
    assert at(sheet, 4 * column, LINE, (3, 3)) == colour(1)  # [f7, f7]: like itself
    assert at(sheet, 4 * column, LINE, (0, 0)) != colour(1)
    assert at(sheet, 4 * column, LINE + column, (0, 0)) == colour(1)  # black is like black
    assert at(sheet, 4 * column, LINE + column, (0, 6)) != colour(1)
    frame = np.asarray(sheet)[LINE : LINE + SIDE, 3 * column : 3 * column + SIDE]
    assert (frame == 255).all(2).any() and not (frame[:50] == 255).all(2).any()
    assert at(sheet, 6 * column, LINE, (2, 2), 5) == colour(1)  # [f5, f5]


def test_only_maps_that_the_objective_reads() -> None:
    """A method trained on 1-7 alone shows no f5."""
    method = SeesRed()
    full = map_sheets.similarity_sheet(method, squares()).width
    method.scales = [(1, 7)]
    assert map_sheets.similarity_sheet(method, squares()).width == full - 2 * (SIDE + GAP)


def test_mixtures_are_painted_in_their_colours() -> None:
    """Sure places have their component's colour, unsure ones none; maps share one scale."""
    q = torch.zeros(2, 7, 7)
    q[0, :3], q[1, 4:], q[:, 3] = 1, 1, 0.5
    black, grey = (overlaid(torch.full((3, 28, 28), v), q) for v in (0.0, 0.4))
    blue, red = (torch.tensor(hex_to_rgb(c)) / 255 for c in COMPONENTS[:2])
    assert black.shape == (3, SIDE, SIDE)
    assert torch.allclose(black[:, 0, 0], 0.8 * blue) and torch.allclose(black[:, -1, 0], 0.8 * red)
    assert torch.allclose(grey[:, 0, 0], 0.8 * blue + 0.2 * 0.4)
    assert torch.allclose(grey[:, SIDE // 2, 0], torch.full((3,), 0.4))
    half = overlaid(torch.zeros(3, 28, 28), torch.stack([q[0], 1 - q[0]]).clamp(0.25, 0.75))
    assert torch.allclose(half[:, 0, 0], 0.8 * math.sqrt(0.5) * blue)
    sheet = map_sheets.mixture_sheet(torch.zeros(1, 3, 28, 28), 0.8 * q[None])
    assert at(sheet, 2 * (SIDE + GAP), LINE, (0, 0)) == colour(1)
    assert at(sheet, 3 * (SIDE + GAP), LINE, (0, 0)) == colour(0)
    assert at(sheet, 3 * (SIDE + GAP), LINE, (3, 3)) == colour(0.5)


class TopAndBottom(nn.Module):
    """Stands in for a mixture objective: component 1 explains the upper rows."""

    def posterior(self, antecedent: Features, consequent: Features, d: int = 7) -> Tensor:
        """Posteriors of shape (n, 2, d, d)."""
        upper = (torch.arange(d) < d // 2).float()[:, None].expand(d, d)
        return torch.stack([upper, 1 - upper]).expand(len(consequent.summary), 2, d, d)


def test_mixtures_have_a_sheet() -> None:
    """A method whose objective has posteriors has a third sheet."""
    method = SeesRed()
    method.objective = TopAndBottom()
    sheet = map_sheets.map_sheets(method, squares(), torch.eye(N))["mixture.png"]
    assert at(sheet, 2 * (SIDE + GAP), LINE, (0, 0)) == colour(1)
    assert at(sheet, 2 * (SIDE + GAP), LINE, (6, 0)) == colour(0)


def test_methods_without_local_features_have_no_sheets(tmp_path: Path) -> None:
    """SimCLR writes nothing."""
    views = Recipe.load("none").build((3, 28, 28))
    method = methods.simclr(views, "mlp", (3, 28, 28))
    map_sheets.write_map_sheets(tmp_path, method, squares(), torch.eye(N))
    assert list(tmp_path.iterdir()) == []


KINDS: dict[str, dict[str, Any]] = {
    "paired": {"name": "paired", "partners": ["label"]},
    "colour": {"name": "colour", "split": {"color_space": {"space": "lab"}}},
    "halves": {"name": "halves", "split": {"patches": {"size": 12, "distance": 12}}},
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_views(kind: str) -> None:
    """Views of partners, of channels and of parts have sheets too."""
    recipe = KINDS[kind]
    sheets = map_sheets.map_sheets(
        SeesRed(views=recipe), squares(), torch.eye(N), recipe.get("partners")
    )
    sheet = sheets["similarity_maps.png"]
    x1, x2 = (np.asarray(sheet)[LINE : LINE + SIDE, x : x + SIDE] for x in (0, SIDE + GAP))
    assert (x1 != x2).any()


def test_the_page_shows_them(tmp_path: Path) -> None:
    """Sheets and the line on the digit, which is painted red here; the plain neighbours go."""
    _, source = factors(train=1, test=1)
    position = source.factors["position"]
    boxes = map_sheets.digit_boxes(position)[:, None].expand(-1, 3, -1, -1).clone()
    boxes[:, 1:] = False
    images: ImageSource = Images(
        boxes.byte() * 255, "factors", source.labels, source.classes, dict(source.factors)
    )
    method = SeesRed(32)
    map_sheets.write_map_sheets(tmp_path, method, images, extract(method, images))
    write_text(tmp_path / "config.yaml", "seed: 0")
    (tmp_path / "neighbours.png").write_bytes((tmp_path / "neighbour_scores.png").read_bytes())
    html = run_page(tmp_path).read_text()
    assert "Nearest neighbours and what they share" in html and "two views have in common" in html
    assert "on the digit&#39;s box against beside it: AUROC 1.000" in html
    assert "what lies closest" not in html and "Mixture components" not in html
