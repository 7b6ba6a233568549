"""What a study may spend: three budgets, from a look to a night."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Budget:
    """How much each run of a study gets; the same for every candidate."""

    seeds: int
    """Runs a candidate."""
    steps: int
    """Optimiser steps a run."""
    batch_size: int
    """Images a step."""
    max_images: int | None
    """Training images at most; None takes all."""
    candidates: int
    """K of the held-out I_NCE: one positive, K - 1 negatives."""
    probe_images: int
    """Labelled training images the probes may see."""
    few: int
    """Labels a class of the few-label probe; 0: none is fitted."""
    encoder: str
    """Encoder trained when the user names none."""
    values: Literal["quick", "standard", "thorough"]
    """Which values of each family's dial: "quick", "standard" or "thorough"."""
    families: tuple[str, ...] = ()
    """Families tried when the user names none."""


BUDGETS: dict[str, Budget] = {
    "quick": Budget(
        seeds=2,
        steps=150,
        batch_size=256,
        max_images=8_000,
        candidates=256,
        probe_images=4_000,
        few=10,
        encoder="convnet-half",
        values="quick",
        families=("crop-scale", "color-jitter"),
    ),
    "standard": Budget(
        seeds=3,
        steps=500,
        batch_size=256,
        max_images=None,
        candidates=512,
        probe_images=10_000,
        few=10,
        encoder="convnet",
        values="standard",
        families=("crop-scale", "color-jitter", "grey", "color-space"),
    ),
    "thorough": Budget(
        seeds=5,
        steps=4000,
        batch_size=512,
        max_images=None,
        candidates=1024,
        probe_images=50_000,
        few=10,
        encoder="resnet-small",
        values="thorough",
        families=(
            "crop-scale",
            "color-jitter",
            "grey",
            "blur",
            "color-space",
            "patch-distance",
            "frequency",
            "occlusion",
            "rotation",
            "noise",
            "halves",
            "channels",
        ),
    ),
}
"""On two CPU cores: quick, minutes; standard, about 20 minutes a family; thorough, days (a GPU)."""
