"""How strong crops and colour jitter should be, in the MoCo framework (section 4.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from goodviews.data import Loaded
from goodviews.studies.claims import Claim, Reading
from goodviews.studies.infomin import read
from goodviews.studies.infomin.sweep import Point, Scale, Sweep
from goodviews.views import FAMILIES

NOTES = (
    "Tian et al. 2020, section 4.3: MoCo on ImageNet, 100 epochs. The other augmentations stay at "
    "usual strengths (crops of 0.2 or more, flip, half of SimCLR's jitter, greyscale).",
    "In a short run keys of momentum 0.999 hardly move from their start: quick has 0.99 and 4,096 "
    "negatives, paper the published 0.999 and 65,536.",
    "The paper did not tune these dials; it explains values that MoCo (crop 0.2) and SimCLR "
    "(jitter 1.0) already used.",
)


def points_of(family: str) -> Callable[[Loaded], list[Point]]:
    """The usual recipe with one family's dial turned."""

    def points(loaded: Loaded) -> list[Point]:
        turned, shape = FAMILIES[family], loaded.train.shape
        return [
            Point(turned.recipe(value, shape, None, loaded.hints), value)
            for value in turned.values_for(shape, (), "thorough")
        ]

    return points


def claims(names: Sequence[str], measures: Sequence[str]) -> list[Claim]:
    """The views of the first point share more than those of the last."""
    if len(names) < 2:
        return []
    first, last = names[0], names[-1]
    words = f"the views of {first} share more than those of {last}"
    paper = "weaker augmentation, more nats"
    return [Claim(words, Reading(first), Reading(last), "nats", unit="nats", paper=paper)]


def _sweep(name: str, family: str, question: str, dial: str, paper: str) -> Sweep:
    return Sweep(
        name=name,
        summary=f"{FAMILIES[family].title} from weak to strong with MoCo: a reverse-U",
        question=question,
        dial=dial,
        points=points_of(family),
        claims=claims,
        shapes=lambda rows, names, measure: read.reverse_u(rows, names, measure, paper),
        method="moco",
        quick=Scale(options={"negatives": 4096, "momentum_encoder": 0.99}),
        paper=Scale(steps=20_000, encoder="resnet-small", options={"negatives": 65_536}),
        notes=NOTES,
    )


CROP = _sweep(
    "crop",
    "crop-scale",
    "How small may a random crop be?",
    "lower bound of the crop's area",
    "a reverse-U, best at 0.2 (ImageNet)",
)
JITTER = _sweep(
    "jitter",
    "color-jitter",
    "How strong should colours be jittered?",
    "strength x",
    "a reverse-U, best at 1.0 (ImageNet)",
)
