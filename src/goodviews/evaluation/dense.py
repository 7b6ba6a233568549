"""Where in an image a representation looks: maps of scores over locations, and one number.

All functions read *embedded* features, those in the space the objective compares (phi of the
raw features): a summary f1 of shape (n, D), local maps f_d of shape (n, D, d, d).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from goodviews.interfaces import UserError


class ObjectContrast(NamedTuple):
    """How far maps are higher on objects than beside them."""

    auroc: float
    """Chance that a location of the object lies above one of the background: 0.5 says nothing."""
    deviations: float
    """Mean on the object minus mean beside it, in standard deviations of the image's locations."""
    stderr: float
    """Standard error of ``auroc`` over images; NaN for one image."""
    images: int
    """Images that were read: those with an object and a background."""


def score_map(summary: Tensor, local: Tensor, clip: float | None = None) -> Tensor:
    r"""Scores of every summary against every location of every image.

    ``s[i, j, h, w] = phi_1(f1_i)^T phi_d(f_d of image j at h, w) / sqrt(D)``, and after that
    ``c tanh(s / c)`` with a soft clip c (Bachman et al. 2019, eq. 3; the division is the code's).

    Args:
        summary: embedded summaries (antecedents), shape (n, D).
        local: embedded local maps (consequents), shape (m, D, h, w).
        clip: c, None for none.

    Returns:
        float32, shape (n, m, h, w); no unit (differences are log odds, in nats).

    Raises:
        ValueError: the widths differ.

    Example:
        >>> s = score_map(torch.ones(1, 4), torch.ones(2, 4, 7, 7))
        >>> s.shape, s[0, 0, 0, 0].item()
        (torch.Size([1, 2, 7, 7]), 2.0)
    """
    if summary.shape[1] != local.shape[1]:
        raise ValueError(f"summary and local: widths {summary.shape[1]} and {local.shape[1]}.")
    scores = torch.einsum("nd,mdhw->nmhw", summary.float(), local.float())
    scores = scores / math.sqrt(summary.shape[1])
    return scores if clip is None else clip * torch.tanh(scores / clip)


def location_similarity(
    a: Tensor, b: Tensor, place: tuple[int, int] | None = None, cosine: bool = True
) -> Tensor:
    r"""Similarity of one location of image a with all locations of image b.

    ``cos(a[:, place], b[:, h, w])``, or ``a[:, place]^T b[:, h, w] / sqrt(D)``: what the paper
    draws for [f7(x1), f7(x2)] and [f5(x1), f5(x2)] (Bachman et al. 2019, figures of similarity).

    Args:
        a: embedded local map of one image, shape (D, h, w).
        b: of the other, shape (D, h', w').
        place: row and column in ``a``; None is the centre.
        cosine: False gives the scaled inner product, in the units of :func:`score_map`.

    Returns:
        float32, shape (h', w').

    Example:
        >>> a = torch.zeros(2, 3, 3)
        >>> a[0] = 1
        >>> a[:, 0, 0] = torch.tensor([0.0, 1.0])
        >>> location_similarity(a, a)[0].tolist()
        [0.0, 1.0, 1.0]
    """
    row, column = place or (a.shape[1] // 2, a.shape[2] // 2)
    chosen = a[:, row, column].float()
    if cosine:
        chosen, b = functional.normalize(chosen, dim=0), functional.normalize(b.float(), dim=0)
    scale = 1.0 if cosine else math.sqrt(a.shape[0])
    return torch.einsum("d,dhw->hw", chosen, b.float()) / scale


def covered(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Which locations of an h x w map lie on the object: at least half of their area does.

    Args:
        masks: where the object is, one a pixel, shape (n, H, W).
        size: h and w; the map is taken to be spread evenly over the image.

    Returns:
        bool, shape (n, h, w).

    Example:
        >>> covered(torch.eye(4).bool()[None], (2, 2)).tolist()
        [[[True, False], [False, True]]]
    """
    share = functional.adaptive_avg_pool2d(masks.float().unsqueeze(1), size).squeeze(1)
    return share >= 0.5


def object_contrast(maps: Tensor, masks: Tensor) -> ObjectContrast:
    r"""Whether maps are higher on objects than beside them.

    For each image ``AUROC = P(s_o > s_b) + P(s_o = s_b) / 2`` over its locations o on the object
    and b beside it, and ``(mean s_o - mean s_b) / std s``; then the mean over images.

    Args:
        maps: one map an image, for example ``score_map(f1, f7)[i, i]``, shape (n, h, w).
        masks: where its object is, shape (n, h, w), or finer (see :func:`covered`).

    Returns:
        AUROC in [0, 1] with its standard error, the difference in standard deviations, and the
        number of images; those that are all object or all background are left out.

    Raises:
        UserError: no image has both.

    Example:
        >>> mask = torch.tensor([[[True, False], [False, False]]])
        >>> found = object_contrast(mask.float(), mask)
        >>> found.auroc, round(found.deviations, 3), found.images
        (1.0, 2.0, 1)
    """
    size = (maps.shape[1], maps.shape[2])
    fine = masks.shape[1:] != maps.shape[1:]
    on = (covered(masks, size) if fine else masks.bool()).flatten(1)
    kept = [
        (s[o], s[~o], s.std())
        for s, o in zip(maps.double().flatten(1), on, strict=True)
        if bool(o.any()) and not bool(o.all())
    ]
    if not kept:
        raise UserError("masks: no image has both object and background. Give finer masks.")
    ranks = torch.stack([_auroc(high, low) for high, low, _ in kept])
    gaps = [(high.mean() - low.mean()) / std.clamp_min(1e-12) for high, low, std in kept]
    spread = float(ranks.std()) / math.sqrt(len(kept)) if len(kept) > 1 else math.nan
    deviations = float(torch.stack(gaps).mean())
    return ObjectContrast(float(ranks.mean()), deviations, spread, len(kept))


def _auroc(high: Tensor, low: Tensor) -> Tensor:
    """The chance that one of ``high`` lies above one of ``low``; ties count half."""
    difference = high[:, None] - low[None, :]
    return (0.5 * (difference.sign() + 1)).mean()
