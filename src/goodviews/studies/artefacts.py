"""Files beside a run for its page: map, similarities, neighbours, confusions."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from goodviews.data.images import partner_images
from goodviews.evaluation.features import draw, extract
from goodviews.evaluation.maps import neighbours, pca_2d
from goodviews.evaluation.online import projections
from goodviews.evaluation.task import ProbeResult
from goodviews.files import write_atomic
from goodviews.interfaces import ImageSource
from goodviews.methods import ViewMethod
from goodviews.studies.folder import write_json
from goodviews.studies.map_sheets import write_map_sheets
from goodviews.views import BuiltViews
from goodviews.views.preview import contact_sheet

MAP_IMAGES, PAIR_IMAGES = 1000, 512
"""The most held-out images on the map, and in the similarity histogram."""
PAIRS_SHOWN = 24
"""View pairs on views.png."""
QUERIES, NEAREST, TILE = 8, 7, 64
"""Rows and columns of neighbours.png, and the least side of a picture in it, in pixels."""


def write_artefacts(
    out: Path,
    method: ViewMethod,
    test: ImageSource,
    partners: tuple[str, ...] | None,
    linear: ProbeResult | None,
    seed: int = 0,
) -> None:
    """Write embedding.json, similarity.json, neighbours.png and confusions.json into ``out``.

    A method with local features gets the sheets of :func:`goodviews.studies.map_sheets.map_sheets`.

    Args:
        out: the run's folder.
        method: the trained method, frozen.
        test: held-out images.
        partners: factors the views' partners share, where the recipe has partners.
        linear: the linear probe's result; None where there are no labels.
        seed: of the draws.
    """
    some = draw(test, MAP_IMAGES, seed)
    z = extract(method, some)
    write_json(out / "embedding.json", _map(z, some))
    pairs = draw(test, PAIR_IMAGES, seed) if partners is None else test
    z1, z2 = projections(method, pairs, seed=seed, partners=partners)
    write_json(out / "similarity.json", similarities(z1, z2))
    sheet = neighbour_sheet(z, some)
    write_atomic(out / "neighbours.png", lambda path: sheet.save(path, format="PNG"))
    write_map_sheets(out, method, some, z, partners, seed)
    if linear is not None:
        write_json(out / "confusions.json", confusions(linear, test.classes))


def pair_sheet(
    views: BuiltViews,
    source: ImageSource,
    partners: tuple[str, ...] | None,
    seed: int = 0,
    n: int = PAIRS_SHOWN,
) -> Image.Image:
    """A contact sheet of view pairs of some images of ``source``, drawn by ``seed``."""
    generator = torch.Generator().manual_seed(seed)
    index = torch.randperm(len(source), generator=generator)[:n]
    others = partner_images(source, index, partners, generator)
    return contact_sheet(views, source.images(index), len(index), seed, others)


def _map(z: Tensor, source: ImageSource) -> dict[str, Any]:
    x, y = pca_2d(z).T
    labels = [] if source.labels is None else [_name(source, i) for i in source.labels.tolist()]
    return {"x": x, "y": y, "label": labels}


def _name(source: ImageSource, label: int) -> str:
    return "unlabelled" if label < 0 else str((*source.classes,)[label])


def similarities(z1: Tensor, z2: Tensor, bins: int = 50) -> dict[str, Any]:
    """Histograms of the cosines of view pairs and of strangers; z1, z2 of shape (n, d).

    Returns:
        edges (bins + 1 numbers from -1 to 1), positive and negative (counts).

    Example:
        >>> found = similarities(torch.eye(3), torch.eye(3), bins=2)
        >>> found["positive"].tolist(), found["negative"].tolist()
        ([0.0, 3.0], [0.0, 6.0])
    """
    cosines = (functional.normalize(z1, dim=1) @ functional.normalize(z2, dim=1).T).clamp(-1, 1)
    same = torch.eye(len(cosines), dtype=torch.bool)
    return {
        "edges": torch.linspace(-1, 1, bins + 1),
        "positive": torch.histc(cosines[same], bins, -1, 1),
        "negative": torch.histc(cosines[~same], bins, -1, 1),
    }


def neighbour_sheet(z: Tensor, source: ImageSource) -> Image.Image:
    """A sheet of pictures: each row an image and, after a gap, its nearest others.

    Args:
        z: representations of ``source``, shape (n, d).
        source: the images.
    """
    rows = min(QUERIES, len(source))
    places, _ = neighbours(z[:rows], z, NEAREST + 1)
    others = [[j for j in row if j != i][:NEAREST] for i, row in enumerate(places.tolist())]
    _, h, w = source.shape
    grow = max(1, -(-TILE // max(h, w)))
    h, w, gap = h * grow, w * grow, TILE // 4
    width = (NEAREST + 1) * (w + 2) + gap
    sheet = Image.new("RGB", (width, rows * (h + 2)), "white")
    for i, near in enumerate(others):
        for column, tensor in enumerate(source.images([i, *near])):
            picture = _picture(tensor).resize((w, h), Image.Resampling.NEAREST)
            sheet.paste(picture, (column * (w + 2) + (gap if column else 0), i * (h + 2)))
    return sheet


def _picture(image: Tensor) -> Image.Image:
    """A uint8 tensor (c, h, w) of one or three channels as a picture."""
    return Image.fromarray(image.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy())


def confusions(
    result: ProbeResult, classes: tuple[str, ...], most: int = 20
) -> list[dict[str, Any]]:
    """The most frequent mistakes of a probe: true class, predicted class, number of images."""
    wrong = ~result.correct
    pairs = zip(result.targets[wrong].tolist(), result.predictions[wrong].tolist(), strict=True)
    return [
        {"true": classes[true], "predicted": classes[predicted], "count": count}
        for (true, predicted), count in Counter(pairs).most_common(most)
    ]


def embedding_sample(method: nn.Module, train: ImageSource, seed: int = 0) -> Tensor:
    """Representations of at most 256 training images, to see whether they have collapsed."""
    return extract(method, draw(train, 256, seed))
