"""The run's own critic: how its bound grows with K, and what other negatives make of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from goodviews.estimators.heldout import heldout_information, infonce_values
from goodviews.evaluation.features import pixels
from goodviews.interfaces import ImageSource, Shape
from goodviews.layers import evaluating
from goodviews.studies.audit.bank import views_of
from goodviews.studies.audit.subject import Subject
from goodviews.studies.readers import PIXEL_SIDE

AT_ONCE = 2**20
"""Pixels of the images that are scored against each other."""
PAIRS = 4096
"""View pairs that are read at each K."""
NEGATIVES = 64
"""K of the check on negatives."""
SETS = 32
"""Sets of K pairs for each kind of negatives."""
SHOTS = 8
"""View pairs of one image among the K, where negatives are views of the same image."""

RANDOM, CLASS, NEAREST, ITSELF = (
    "random images",
    "images of the same class",
    "nearest images in pixels",
    "views of the same image",
)
"""Kinds of negatives: only the first are independent draws."""


def affordable(sizes: Sequence[int], shape: Shape) -> list[int]:
    """The K whose images a network can read at once: 1,024 of 32x32 pixels, fewer larger ones.

    Example:
        >>> affordable((16, 64, 256, 1024), (3, 64, 64))
        [16, 64, 256]
    """
    room = AT_ONCE // (shape[1] * shape[2])
    return [k for k in sizes if k <= room] or list(sizes[:1])


def by_candidates(
    subject: Subject, train: ImageSource, test: ImageSource, sizes: Sequence[int], seed: int
) -> list[dict[str, Any]]:
    """I_NCE(v1;v2) under the run's own critic at each K, on held-out and on training pairs.

    Returns:
        One entry a size: K, ceiling (log K), null (shuffled pairs), held and train, each with
        value and half (half the 95 % interval over images), all in nats.
    """
    rows = []
    for k in sizes:
        row: dict[str, Any] = {"K": k, "ceiling": math.log(k)}
        for split, source in (("held", test), ("train", train)):
            found = heldout_information(
                subject.method,
                source,
                candidates=k,
                pairs=PAIRS,
                seed=seed,
                partners=subject.partners,
                split=split,
            )
            row[split] = {"value": found.nats, "half": 1.96 * found.stderr}
            row["null"] = row.get("null", found.null)
        rows.append(row)
    return rows


def by_negatives(subject: Subject, source: ImageSource, seed: int) -> dict[str, Any]:
    """I_NCE under the own critic where the negatives are not independent draws of images.

    Every kind is read in sets of the same K pairs: random images; images of one class (where there
    are labels: a bound on I(v1;v2|y)); an image and its nearest neighbours in pixels; few images
    with :data:`SHOTS` view pairs each (CPC's way). Only with the first is it a bound on I(v1;v2)
    (Tschannen et al. 2019, section 3.3).

    Args:
        subject: with a critic of its own.
        source: held-out images.
        seed: of sets and views.

    Returns:
        K, and sets: kind -> value, half (95 %, over sets), nats.
    """
    labels = source.labels
    k = _candidates(len(source), labels)
    generator = Generator().manual_seed(seed)
    kinds = {RANDOM: _random(len(source), k, generator)}
    if labels is not None and bool((labels >= 0).any()):
        kinds[CLASS] = _classes(labels, k, generator)
    kinds[NEAREST] = _nearest(source, k, generator)
    if k >= 2 * SHOTS and subject.partners is None:
        kinds[ITSELF] = _itself(len(source), k, generator)
    found = {}
    for name, sets in kinds.items():
        values = torch.tensor(list(_values(subject, source, sets, seed)), dtype=torch.float64)
        if len(values) > 1:
            half = 1.96 * float(values.std()) / math.sqrt(len(values))
            found[name] = {"value": float(values.mean()), "half": half}
    return {"K": k, "ceiling": math.log(k), "shots": SHOTS, "sets": found}


def _candidates(images: int, labels: Tensor | None) -> int:
    """K: 64, or as many as the images and most classes fill; a power of two."""
    room = images // 2
    if labels is not None and bool((labels >= 0).any()):
        room = min(room, int(labels[labels >= 0].bincount().float().median()))
    return max(2, min(NEGATIVES, 2 ** int(math.log2(max(2, room)))))


def _random(images: int, k: int, generator: Generator) -> Iterator[Tensor]:
    for _ in range(SETS):
        yield torch.randperm(images, generator=generator)[:k]


def _classes(labels: Tensor, k: int, generator: Generator) -> Iterator[Tensor]:
    """Sets of one class, the classes in turn."""
    members = [torch.nonzero(labels == c).flatten() for c in labels[labels >= 0].unique()]
    large = [places for places in members if len(places) >= k]
    for i in range(SETS if large else 0):
        places = large[i % len(large)]
        yield places[torch.randperm(len(places), generator=generator)[:k]]


def _nearest(source: ImageSource, k: int, generator: Generator) -> Iterator[Tensor]:
    """An image and the k - 1 that are nearest to it in pixels."""
    flat = pixels(source, PIXEL_SIDE)
    for anchor in torch.randperm(len(flat), generator=generator)[:SETS]:
        gaps = (flat - flat[anchor]).square().sum(1)
        yield gaps.topk(k, largest=False).indices


def _itself(images: int, k: int, generator: Generator) -> Iterator[Tensor]:
    for _ in range(SETS):
        few = torch.randperm(images, generator=generator)[: k // SHOTS]
        yield few.repeat_interleave(SHOTS)


def _values(
    subject: Subject, source: ImageSource, sets: Iterator[Tensor], seed: int
) -> Iterator[float]:
    """The bound of each set: rows and columns, views drawn anew for every pair."""
    device = next(subject.method.parameters()).device
    generator = Generator(device=device).manual_seed(seed)
    chosen = Generator().manual_seed(seed)
    views = subject.method.views
    with evaluating(subject.method), torch.inference_mode():
        for index in sets:
            pair = views_of(views, source, index, subject.partners, chosen, generator)
            scores = subject.method.pair_scores(*pair).float().cpu().double()
            yield float(infonce_values(scores).mean())
