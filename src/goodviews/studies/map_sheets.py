"""What a trained encoder with local features sees, as pictures beside its run.

Three sheets for methods that have ``features(v1, v2)``: nearest neighbours with score maps,
similarity maps of two views, posteriors of mixture components. Others have none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Generator, Tensor, nn

from goodviews.data.factors import digit_boxes
from goodviews.data.images import partner_images
from goodviews.evaluation.dense import location_similarity, object_contrast, score_map
from goodviews.evaluation.features import device_of
from goodviews.evaluation.maps import neighbours
from goodviews.files import write_atomic
from goodviews.interfaces import Features, ImageSource, ViewPair
from goodviews.layers import evaluating
from goodviews.studies.drawing import (
    BAR,
    COMPONENTS,
    GAP,
    INK,
    LINE,
    MUTED,
    SIDE,
    WRONG,
    Box,
    Sheet,
    heat,
    overlaid,
)
from goodviews.studies.folder import write_json
from goodviews.views import BuiltViews
from goodviews.views.preview import pictures

QUERIES, NEAREST, PAIRS, BLOCKS = 5, 7, 6, 2
"""Rows and neighbours of neighbour_scores.png, images on the others, and mixtures side by side."""

FOOT = 72
"""Height of the colour bars below the columns, pixels."""

MASKED, STRANGERS = 512, 64
"""The most images that :func:`object_record` reads, and that mixture components are scored on."""


class Seen(NamedTuple):
    """A pair of views as pictures, and what the method makes of it; all on the CPU."""

    x1: Tensor
    """The first view as colours in [0, 1], shape (n, 3, h, w)."""
    x2: Tensor
    first: Features
    """Embedded features of the first view."""
    second: Features


def see(
    method: Any,
    images: Tensor,
    generator: Generator | None = None,
    partners: Tensor | None = None,
) -> Seen:
    """Views of uint8 images (n, c, h, w) and their embedded features.

    Args:
        method: has ``views`` and ``features(v1, v2)``.
        images: uint8, shape (n, c, h, w).
        generator: draws the views, on the method's device; None takes the fixed, unaugmented
            look for both views (one a view where the views are parts of the image).
        partners: partner images, for views that need them.
    """
    images = images.to(device_of(method))
    with evaluating(method), torch.no_grad():
        if generator is None:
            looks = method.views.looks(images)
            pair = ViewPair(looks[0], looks[-1])
        else:
            pair = ViewPair(*method.views(images, generator, _there(partners, images)))
        first, second = (_moved(features, "cpu") for features in method.features(*pair)[:2])
        x1, x2 = (x.float().cpu() for x in pictures(method.views, pair))
    return Seen(x1, x2, first, second)


def _there(partners: Tensor | None, images: Tensor) -> Tensor | None:
    return None if partners is None else partners.to(images.device)


def _moved(features: Features, device: torch.device | str) -> Features:
    """The features in float32 on a device."""
    local = {side: f.float().to(device) for side, f in features.local.items()}
    return Features(features.summary.float().to(device), local)


def map_sheets(
    method: nn.Module,
    source: ImageSource,
    z: Tensor,
    partners: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, Image.Image]:
    """File name -> sheet; empty for a method without local features.

    Args:
        method: the trained method.
        source: held-out images.
        z: their representations, shape (n, d): neighbours are near in them.
        partners: factors the views' partners share, where the recipe has partners.
        seed: of the views in similarity_maps.png.
    """
    views = getattr(method, "views", None)
    if not hasattr(method, "features") or not isinstance(views, BuiltViews):
        return {}
    sheets = {
        "neighbour_scores.png": neighbour_score_sheet(method, source, z),
        "similarity_maps.png": similarity_sheet(method, source, partners, seed),
    }
    if hasattr(getattr(method, "objective", None), "posterior") and len(source) > 1:
        sheets["mixture.png"] = mixture_sheet(*posteriors(method, source))
    return sheets


def write_map_sheets(
    out: Path,
    method: nn.Module,
    source: ImageSource,
    z: Tensor,
    partners: Sequence[str] | None = None,
    seed: int = 0,
) -> None:
    """Write the sheets of :func:`map_sheets` into the folder ``out``, and maps.json."""
    sheets = map_sheets(method, source, z, partners, seed)
    for name, sheet in sheets.items():
        write_atomic(out / name, partial(sheet.save, format="PNG"))
    if sheets and (record := object_record(method, source)) is not None:
        write_json(out / "maps.json", record)


def object_record(method: Any, source: ImageSource) -> dict[str, Any] | None:
    """Whether maps of images with themselves are higher on the object, where it is known.

    The object is the digit's box of the bundled ``factors`` images; other sources give None.

    Returns:
        The fields of :class:`goodviews.evaluation.dense.ObjectContrast` and ``object``.
    """
    if source.name != "factors" or "position" not in source.factors:
        return None
    index = spread(len(source), MASKED)
    seen = see(method, source.images(index))
    pairs = zip(seen.first.summary, seen.second.local[sides(method, seen.second)[0]], strict=True)
    maps = torch.cat([score_map(f1[None], local[None])[0] for f1, local in pairs])
    found = object_contrast(maps, digit_boxes(source.factors["position"][index]))
    return {"object": "the digit's box", **found._asdict()}


def neighbour_score_sheet(method: nn.Module, source: ImageSource, z: Tensor) -> Image.Image:
    """Rows of a query and its nearest others; under each image its score map for the query.

    The map under image j is ``phi_1(f1 of the query)^T phi_7(f7 of j) / sqrt(D)`` (Bachman et al.
    2019, figure of neighbours). One colour scale a row.

    Args:
        method: has ``views`` and ``features(v1, v2)``.
        source: the images.
        z: their representations, shape (n, d), compared by cosine.
    """
    queries = spread(len(source), QUERIES)
    places, cosines = neighbours(z[queries], z, NEAREST + 1)
    columns, row = SIDE + GAP, LINE + 2 * SIDE + 4 * GAP
    sheet = Sheet((NEAREST + 1) * columns + 2 * GAP + BAR + 70, LINE + len(queries) * row)
    sheet.words("query", 0, 0, MUTED)
    sheet.words("its nearest others, by cosine of f1", columns + 2 * GAP, 0, MUTED)
    for i, query in enumerate(queries.tolist()):
        near = [
            (j, c)
            for j, c in zip(places[i].tolist(), cosines[i].tolist(), strict=True)
            if j != query
        ][:NEAREST]
        _query_row(sheet, LINE + i * row, method, source, [(query, 1.0), *near])
    return sheet.image


def _query_row(
    sheet: Sheet, top: int, method: nn.Module, source: ImageSource, chosen: list[tuple[int, float]]
) -> None:
    """The query, its neighbours, their maps and the row's colour bar."""
    seen = see(method, source.images([j for j, _ in chosen]))
    maps = score_map(seen.first.summary[:1], seen.second.local[sides(method, seen.second)[0]])[0]
    low, high = float(maps.min()), float(maps.max())
    names = _names(source, [j for j, _ in chosen])
    for i, (_, cosine) in enumerate(chosen):
        x = i * (SIDE + GAP) + (2 * GAP if i else 0)
        sheet.words(names[i][:13], x, top, INK if names[i] == names[0] else WRONG)
        if i:
            sheet.words(f"{cosine:.2f}", x + SIDE, top, MUTED, anchor="ra")
        sheet.tile(seen.x2[i], x, top + LINE)
        sheet.tile(heat(maps[i], low, high), x, top + LINE + SIDE + GAP)
    right = len(chosen) * (SIDE + GAP) + 2 * GAP
    sheet.bar(low, high, right, top + LINE + SIDE + GAP)


def _names(source: ImageSource, index: list[int]) -> list[str]:
    """The classes of some images; empty words where they are not known."""
    if source.labels is None:
        return [""] * len(index)
    return ["" if (y := int(source.labels[i])) < 0 else source.classes[y] for i in index]


def spread(n: int, count: int) -> Tensor:
    """At most ``count`` places spread evenly over n: data are often sorted by class.

    Example:
        >>> spread(10, 3).tolist()
        [0, 4, 9]
    """
    return torch.linspace(0, n - 1, min(n, count)).long()


def similarity_sheet(
    method: nn.Module,
    source: ImageSource,
    partners: Sequence[str] | None = None,
    seed: int = 0,
) -> Image.Image:
    """Rows of two views x1, x2 of an image and, on x2, maps of what is like x1.

    The columns: scores [f1(x1), f7(x2)]; cosines [f7(x1), f7(x2)] and [f5(x1), f5(x2)] of the
    location of x1 that is framed with all of x2 (Bachman et al. 2019, figure of similarities). One
    colour scale a column.

    Args:
        method: has ``views`` and ``features(v1, v2)``.
        source: the images.
        partners: factors the views' partners share, where the recipe has partners.
        seed: of the views.
    """
    seen = _augmented(method, source, partners, seed)
    fine, *rest = sides(method, seen.first)
    column, count = SIDE + GAP, len(seen.x1)
    sheet = Sheet((3 + 2 * (1 + len(rest))) * column, LINE + count * column + FOOT)
    for i, name in enumerate(("x1", "x2")):
        _image_column(sheet, i * column, name, (seen.x1, seen.x2)[i])
    scores = score_map(seen.first.summary, seen.second.local[fine]).diagonal().movedim(-1, 0)
    _map_column(sheet, 2 * column, f"[f1(x1), f{fine}(x2)]", scores)
    for place, side in enumerate((fine, *rest)):
        x, centre = (3 + 2 * place) * column, side // 2 / side
        box = (centre, centre, centre + 1 / side, centre + 1 / side)
        _image_column(sheet, x, f"x1, f{side} framed", seen.x1, box)
        pairs = zip(seen.first.local[side], seen.second.local[side], strict=True)
        cosines = torch.stack([location_similarity(a, b) for a, b in pairs])
        _map_column(sheet, x + column, f"[f{side}(x1), f{side}(x2)]", cosines)
    return sheet.image


def _augmented(
    method: nn.Module, source: ImageSource, partners: Sequence[str] | None, seed: int
) -> Seen:
    """One drawn pair of views of some images."""
    index = spread(len(source), PAIRS)
    others = partner_images(source, index, partners, torch.Generator().manual_seed(seed))
    generator = torch.Generator(device_of(method)).manual_seed(seed)
    return see(method, source.images(index), generator, others)


def sides(method: nn.Module, features: Features) -> list[int]:
    """Sides of the local maps that the objective reads, the finest first."""
    scales = getattr(method, "scales", [tuple(features.local)])
    return sorted({side for scale in scales for side in scale} & set(features.local), reverse=True)


def _image_column(
    sheet: Sheet, x: int, name: str, images: Iterable[Tensor], box: Box | None = None
) -> None:
    sheet.words(name, x, 0)
    for i, image in enumerate(images):
        sheet.tile(image, x, LINE + i * (SIDE + GAP), box)


def _map_column(
    sheet: Sheet, x: int, name: str, maps: Tensor, ends: tuple[float, float] | None = None
) -> None:
    """A column of maps on one scale (theirs, if none is given), with its colour bar below."""
    low, high = ends or (float(maps.min()), float(maps.max()))
    _image_column(sheet, x, name, [heat(m, low, high) for m in maps])
    sheet.bar(low, high, x, LINE + len(maps) * (SIDE + GAP) + GAP, upright=False)


def posteriors(method: Any, source: ImageSource) -> tuple[Tensor, Tensor]:
    """Some images and, of each, which mixture feature of it explains each of its locations.

    Args:
        method: its objective is a :class:`goodviews.objectives.MixtureNCE`.
        source: the images; 64 of them, spread evenly, are each other's negatives.

    Returns:
        Images as colours in [0, 1], shape (n, 3, h, w), and q, shape (n, k, d, d).
    """
    seen = see(method, source.images(spread(len(source), STRANGERS)))
    home, side = device_of(method), sides(method, seen.second)[0]
    features = (_moved(features, home) for features in (seen.first, seen.second))
    with evaluating(method):
        q = method.objective.posterior(*features, d=side).cpu()
    shown = spread(len(q), PAIRS)
    return seen.x2[shown], q[shown]


def mixture_sheet(images: Tensor, posterior: Tensor) -> Image.Image:
    """Rows of an image, its strongest components over it in colour, and q of each component.

    Args:
        images: colours in [0, 1], shape (n, 3, h, w).
        posterior: q(f1^j | f7 at each location), sums to one over j; shape (n, k, h', w').

    Example:
        >>> mixture_sheet(torch.zeros(1, 3, 32, 32), torch.full((1, 2, 7, 7), 0.5)).size
        (800, 306)
    """
    k, column, rows = posterior.shape[1], SIDE + GAP, -(-len(images) // BLOCKS)
    blocks = list(zip(images.split(rows), posterior.split(rows), strict=True))
    wide = (2 + k) * column + 2 * GAP
    sheet = Sheet(len(blocks) * wide - 2 * GAP, LINE + rows * column + FOOT)
    shares = posterior.mean((0, 2, 3)).tolist()
    ends = (0.0, float(posterior.max()))
    for block, (some, q) in enumerate(blocks):
        left = block * wide
        _image_column(sheet, left, "image", some)
        painted = [overlaid(image, part) for image, part in zip(some, q, strict=True)]
        _image_column(sheet, left + column, "strongest", painted)
        for j, share in enumerate(shares):
            x = left + (2 + j) * column
            _map_column(sheet, x, f"      q{j + 1}: {100 * share:.0f} %", q[:, j], ends)
            sheet.patch(COMPONENTS[j % len(COMPONENTS)], x, 2)
    return sheet.image
