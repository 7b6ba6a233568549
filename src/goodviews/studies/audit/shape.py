"""The geometry of the representation: conditioning, effective rank, alignment, uniformity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from goodviews.evaluation.conditioning import (
    RESOLUTION,
    jacobian_singular_values,
    log_condition,
    percentiles,
)
from goodviews.evaluation.geometry import alignment, rankme, uniformity
from goodviews.interfaces import ImageSource
from goodviews.methods import ViewMethod

IMAGES = 32
"""Held-out images whose Jacobians are taken."""
WORK = 32 * 512
"""Images times width of the summary: wider encoders get fewer images."""


def geometry(features: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, dict[str, float]]:
    """Effective rank, alignment and uniformity of layers on view pairs.

    Args:
        features: key -> features of both views, (n, D) each.

    Returns:
        Key -> width, rankme, uniformity and, where both sides are equally wide, alignment.

    Example:
        >>> sorted(geometry({"f": (torch.eye(4), torch.eye(4))})["f"])
        ['alignment', 'rankme', 'uniformity', 'width']
    """
    found = {}
    for key, (x, y) in features.items():
        found[key] = {"width": x.shape[1], "rankme": rankme(x), "uniformity": uniformity(x)}
        if x.shape == y.shape:
            found[key]["alignment"] = alignment(x, y)
    return found


def conditioning(method: ViewMethod, source: ImageSource) -> dict[str, Any]:
    """Log condition numbers of the encoder's Jacobian at held-out images.

    ``log sigma_1 - log sigma_n`` of d summary / d view at the first look of each image (Tschannen
    et al. 2019, figure 2), n the last direction that float32 resolves: the others are lost (a
    rectifier that is off, say) and would all be shown as 16.1.

    Returns:
        images, singular_values (how many), percentiles over images, lost and near (medians over
        images: directions lost, and directions within a hundredth of the largest).
    """
    encoder: Any = method.encoders[0]
    device = next(method.parameters()).device
    count = min(len(source), IMAGES, max(4, WORK // max(1, int(_width(method, source)))))
    images = source.images(torch.arange(count)).to(device)
    look = method.views.looks(images)[0]
    values = jacobian_singular_values(encoder, look, chunk=4)
    share = values / values[:, :1].clamp_min(torch.finfo(values.dtype).tiny)
    resolved = (share > RESOLUTION).sum(1).clamp_min(1)
    last = share.gather(1, resolved[:, None] - 1)
    return {
        "images": count,
        "singular_values": values.shape[1],
        "percentiles": percentiles(log_condition(torch.cat([torch.ones_like(last), last], 1))),
        "lost": float((values.shape[1] - resolved).double().median()),
        "near": float((share > 0.01).sum(1).double().median()),
    }


def conditions_of(
    methods: Mapping[str, ViewMethod], source: ImageSource
) -> tuple[dict[str, Any], str]:
    """:func:`conditioning` of several encoders, and why there is none where there is none."""
    try:
        return {name: conditioning(method, source) for name, method in methods.items()}, ""
    except RuntimeError as error:  # what torch.func cannot follow
        reason = " ".join(str(error).split())[:120]
        return {}, f"the encoder's Jacobian could not be taken ({reason})"


@torch.no_grad()
def _width(method: ViewMethod, source: ImageSource) -> int:
    """Width of the summary."""
    device = next(method.parameters()).device
    looks = method.views.looks(source.images([0, 1]).to(device))
    width: int = method.encoders[0](looks[0]).summary.shape[1]
    return width
