"""Every kind of critic on the same frozen features, both bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from goodviews.studies.audit.bank import Pairs
from goodviews.studies.audit.fresh import KINDS, OBJECTIVES, fit


def every_kind(
    seen: Pairs,
    held: Pairs,
    candidates: int,
    seeds: Sequence[int],
    batch: int,
    device: torch.device | str = "cpu",
) -> dict[str, Any]:
    """What each kind of critic finds with InfoNCE and with NWJ, in nats.

    An inner product needs equally wide sides; it is left out where they differ.

    Args:
        seen: features of training pairs.
        held: features of held-out pairs.
        candidates: K.
        seeds: one critic each.
        batch: pairs a training step.
        device: where critics train.

    Returns:
        Kind -> words, infonce and nwj (what :class:`goodviews.studies.audit.fresh.Found` tells).
    """
    kinds: dict[str, Any] = {}
    for name, kind in KINDS.items():
        if name == "inner product" and seen.x.shape[1] != seen.y.shape[1]:
            continue
        kinds[name] = {"words": kind.words}
        for objective in OBJECTIVES:
            found = fit(
                name, objective, seen, held, [candidates], seeds, batch=batch, device=device
            )
            kinds[name][objective] = found.to_dict()
    return kinds
