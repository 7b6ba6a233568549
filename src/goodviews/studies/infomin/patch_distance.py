"""Patches of one photograph, near and far: the less they share, the better, up to a point."""

from __future__ import annotations

from collections.abc import Sequence

from goodviews.data import Loaded
from goodviews.interfaces import UserError
from goodviews.studies.claims import Claim, Reading
from goodviews.studies.infomin import read
from goodviews.studies.infomin.sweep import Point, Scale, Sweep
from goodviews.views import Recipe
from goodviews.views.splits import Patches

SIDE = 320
"""Pixels that photographs are brought to, unless --image-size is given."""
PARTS = (0.0, 0.5, 1.0, 2.0, 3.0, 4.5, 6.5, 9.0)
"""Distances in patch sides. The paper: 64-pixel patches, 64 to 384 pixels apart: 1 to 6 sides."""
LEAST = 3
"""Distances that a photograph must have room for."""


def patch_side(side: int) -> int:
    """A tenth of the photograph's shorter side, at least 16 and at most 64 (the paper's).

    Example:
        >>> patch_side(320), patch_side(2000), patch_side(96)
        (32, 64, 16)
    """
    return min(64, max(16, side // 10))


def points(loaded: Loaded) -> list[Point]:
    """Two patches at (x, y) and (x + d, y + d), without any other augmentation.

    Raises:
        UserError: photographs with room for fewer than three distances.
    """
    side = min(loaded.train.shape[1:])
    patch = patch_side(side)
    fits = [round(part * patch) for part in PARTS if part * patch + patch <= side]
    if len(fits) < LEAST + 2:
        raise UserError(
            f"--image-size: {side} px leave too little room between patches of {patch} px. "
            "Use larger photographs, at least 96 px."
        )
    found = []
    for distance in fits:
        recipe = Recipe(name=f"d={distance}", split=Patches(patch, distance))
        words = "the same patch twice" if not distance else f"{distance / patch:g} sides apart"
        found.append(Point(recipe, distance, words))
    return found


def claims(names: Sequence[str], measures: Sequence[str]) -> list[Claim]:
    """The information falls from the nearest patches to the farthest."""
    apart = [name for name in names if name != "d=0"]
    if len(apart) < 2:
        return []
    return [
        Claim(
            f"the views of {apart[0]} share more than those of {apart[-1]}",
            Reading(apart[0]),
            Reading(apart[-1]),
            "nats",
            unit="nats",
            paper="I_NCE falls as d grows",
        )
    ]


PATCH_DISTANCE = Sweep(
    name="patch-distance",
    summary="Pairs of patches of photographs, near and far: a reverse-U of accuracy",
    question="How far apart should two patches of a photograph be?",
    dial="distance d, pixels",
    points=points,
    claims=claims,
    shapes=lambda rows, names, measure: read.reverse_u(
        rows, names, measure, "a reverse-U, best at d = 128 (2 patch sides)"
    ),
    quick=Scale(encoder="convnet-half"),
    patches=True,
    image_size=SIDE,
    notes=(
        "Tian et al. 2020, section 4.1: DIV2K photographs of about 2,000 pixels, patches of 64. "
        "Here the patch is a tenth of the photograph's shorter side (16 to 64 pixels) and the "
        "distances scale with it. The frozen encoder reads whole images of the sets named by "
        "--transfer, brought to the patch's size.",
        "Each photograph gives many pairs: in a batch, patches of one photograph are negatives of "
        "each other too, and with few photographs the held-out bound is one over (photograph, "
        "place), not over photographs alone.",
    ),
)
