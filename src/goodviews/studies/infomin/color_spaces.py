"""One channel of a colour space against the other two: fewer nats, better features?"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from scipy.stats import spearmanr

from goodviews.data import Loaded
from goodviews.interfaces import Row
from goodviews.studies.claims import Claim, Reading, value_of
from goodviews.studies.infomin.sweep import Point, Scale, Sweep
from goodviews.views import FAMILIES

LUMA = ("lab", "ydbdr")
"""Luma against chroma: the best natural splits of the paper."""


def points(loaded: Loaded) -> list[Point]:
    """A mild crop and flip that both views share, then the split."""
    family, shape = FAMILIES["color-space"], loaded.train.shape
    return [
        Point(family.recipe(value, shape, None, loaded.hints), value, "first channel | other two")
        for value in family.values_for(shape)
    ]


def claims(names: Sequence[str], measures: Sequence[str]) -> list[Claim]:
    """Luma-chroma splits beat RGB in every measure, and share less."""
    found = []
    for space in LUMA:
        luma, rgb = f"color-space={space}", "color-space=rgb"
        if luma not in names or rgb not in names:
            continue
        found += [
            Claim(
                f"{measure}: {space} beats rgb",
                Reading(luma),
                Reading(rgb),
                measure,
                paper="luma-chroma best, RGB worst",
            )
            for measure in measures
        ]
        words = f"the views of {space} share less than those of rgb"
        found.append(Claim(words, Reading(rgb), Reading(luma), "nats", unit="nats", paper="yes"))
    return found


def falling(rows: Sequence[Row], names: Sequence[str], measure: str) -> list[dict[str, Any]]:
    """The rank correlation of accuracy and nats over the spaces, with its p-value; no verdict.

    Example:
        >>> rows = [Row("candidate", f"s{i}", 0, nats=i, linear=1 / i) for i in (1, 2, 3)]
        >>> falling(rows, ["s1", "s2", "s3"], "linear")[0]["value"]
        -1.0
    """
    pairs = []
    for name in names:
        mine = [r for r in rows if r.candidate == name and r.status == "done"]
        found = [(value_of(r, "nats"), value_of(r, measure)) for r in mine]
        known = [(a, b) for a, b in found if a is not None and b is not None]
        if known:
            pairs.append((fmean(a for a, _ in known), fmean(b for _, b in known)))
    if len(pairs) < 3:
        return []
    rank = spearmanr(*zip(*pairs, strict=True))
    rho, p = float(rank.statistic), float(rank.pvalue)
    verdict = "undecided" if p >= 0.05 else "shown" if rho < 0 else "not shown"
    return [
        {
            "words": f"{measure}: the fewer nats the views share, the better (rank correlation "
            f"over {len(pairs)} spaces, p = {p:.2g})",
            "value": rho,
            "half": None,
            "margin": 0.0,
            "unit": "",
            "verdict": verdict,
            "paper": "accuracy and mean IoU rise as I_NCE falls",
        }
    ]


COLOR_SPACES = Sweep(
    name="color-spaces",
    summary="One channel against the other two in eight colour spaces; classes and pixels",
    question="In which colour space should the channels be split?",
    dial="colour space",
    points=points,
    claims=claims,
    shapes=falling,
    quick=Scale(encoder="convnet-half"),
    paper=Scale(steps=20_000, encoder="resnet-small-half"),
    joined=False,
    segments=True,
    notes=(
        "Tian et al. 2020, section 4.2, in the way of CMC: an encoder of half the width for each "
        "view, the features of both joined for the probes. --segmentation FOLDER adds the mean IoU "
        "of a decoder of four layers on the frozen maps (the paper: NYU-Depth-V2).",
    ),
)
