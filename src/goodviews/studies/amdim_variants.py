"""The variants of AMDIM that its ablation compares (Bachman et al. 2019, ablation table)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from goodviews.interfaces import UserError, check_name
from goodviews.studies.ablation import Claim
from goodviews.views import Recipe
from goodviews.views.geometric_ops import RandomResizedCrop
from goodviews.views.ops import Op
from goodviews.views.pixel_ops import ColorJitter

FULL, DIM = "full", "DIM"

BASE = {32: "amdim-cifar", 64: "amdim-stl", 128: "amdim-imagenet"}
"""Side of the images -> the paper's recipe of views for them."""

MOVES = {"translate": "- translation", "random_resized_crop": "- crop"}
"""The op that moves a view -> the variant without it."""


@dataclass(frozen=True)
class Variant:
    """One change of the full method."""

    title: str
    words: str
    """What is changed, in one sentence."""
    without: tuple[str, ...] = ()
    """Ops left out of the recipe."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of :func:`goodviews.methods.amdim`."""
    paper: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Data set -> the paper's linear and MLP accuracy, in percent."""


def _paper(*numbers: float) -> dict[str, tuple[float, float]]:
    return {"STL-10": (numbers[0], numbers[1]), "ImageNet": (numbers[2], numbers[3])}


VARIANTS: dict[str, Variant] = {
    "full": Variant(
        FULL,
        "pairs 1-5, 1-7, 5-5; penalty 0.05, clip 20; the paper's base augmentation",
        paper=_paper(93.4, 93.8, 61.7, 62.5),
    ),
    "no-multiscale": Variant(
        "- multiscale",
        "the pair 1-7 only: f1 predicts f7, as local DIM across views",
        options={"pairs": ("1-7",)},
        paper=_paper(92.6, 93.0, 59.9, 61.2),
    ),
    "no-stabilise": Variant(
        "- stabilise",
        "penalty 0 and no soft clip of the scores",
        options={"penalty": 0.0, "clip": None},
        paper=_paper(93.5, 93.8, 57.2, 59.5),
    ),
    "no-jitter": Variant(
        "- jitter",
        "no colour jitter",
        without=("color_jitter",),
        paper=_paper(90.3, 90.6, 57.7, 58.8),
    ),
    "no-greyscale": Variant(
        "- greyscale",
        "no random greyscale",
        without=("greyscale",),
        paper=_paper(88.3, 89.4, 53.6, 54.9),
    ),
    "no-crop": Variant(
        "- crop",
        "views are not moved: no random crop, or no translation where the recipe has that",
        without=tuple(MOVES),
        paper=_paper(86.0, 87.1, 53.2, 54.9),
    ),
    "stronger": Variant(
        "+ stronger augmentation",
        "crops of 0.2 to 0.9 of the area, jitter on every view; without the paper's learned "
        "policy, which had seen labels, and without its PCA lighting",
        paper=_paper(94.2, 94.5, 62.7, 63.1),
    ),
    "mixture-2": Variant(
        "+ mixture k=2", "f1 is a mixture of 2 features, alpha = tau = 1", options={"mixture": 2}
    ),
    "mixture-4": Variant(
        "+ mixture k=4", "f1 is a mixture of 4 features, alpha = tau = 1", options={"mixture": 4}
    ),
    "dim": Variant(DIM, "local DIM: f1 predicts f7 of the same view, by InfoNCE without a clip"),
}
"""Name on the command line -> variant. The paper's numbers: STL-10 and 50 epochs of ImageNet, small
encoder (ndf 192, n_rkhs 1536, n_depth 8)."""


def claims(moved: str) -> list[Claim]:
    """The orderings in the paper's table; ``moved`` is the title of the variant without crops."""
    what = "Translation" if "translation" in moved else "Cropping"
    return [
        Claim(FULL, moved, f"{what} helps"),
        Claim(FULL, "- greyscale", "Greyscale helps"),
        Claim(FULL, "- jitter", "Colour jitter helps"),
        Claim(FULL, "- multiscale", "Several scales help"),
        Claim(FULL, "- stabilise", "Penalty and clip help (ImageNet; not on STL-10)"),
        Claim("+ stronger augmentation", FULL, "Stronger augmentation helps"),
        Claim("- jitter", moved, f"{what} matters more than jitter"),
        Claim("- jitter", "- greyscale", "Greyscale matters more than jitter"),
        Claim("- multiscale", "- jitter", "Jitter matters more than several scales"),
        Claim(FULL, DIM, "Across views and scales is better than local DIM (not in the table)"),
    ]


def variant_names(variants: str | Sequence[str] | None) -> list[str]:
    """The keys asked for, checked, in the table's order; "full" is always among them.

    Raises:
        UserError: for an unknown variant or an empty list.

    Example:
        >>> variant_names("dim,no-jitter")
        ['full', 'no-jitter', 'dim']
    """
    if variants is None:
        return list(VARIANTS)
    entries = variants.split(",") if isinstance(variants, str) else variants
    names = [name.strip() for name in entries if name.strip()]
    for name in names:
        check_name("--variants", name, VARIANTS)
    if not names:
        raise UserError(f"--variants: none given. Known: {', '.join(VARIANTS)}.")
    return [key for key in VARIANTS if key in names or key == "full"]


def title_of(key: str, base: Recipe) -> str:
    """A variant's name in tables: "- crop" is "- translation" where the recipe has that.

    Example:
        >>> title_of("no-crop", Recipe.load("amdim-cifar"))
        '- translation'
    """
    moves = [MOVES[op.name] for op in base.ops if op.name in MOVES]
    return moves[0] if key == "no-crop" and moves else VARIANTS[key].title


def recipe_of(key: str, base: Recipe) -> Recipe:
    """The views of a variant.

    Example:
        >>> [op.name for op in recipe_of("no-jitter", Recipe.load("amdim-cifar")).ops]
        ['translate', 'greyscale']
    """
    if key == "stronger":
        crop = RandomResizedCrop((0.2, 0.9), (0.7, 1.4), interpolation="bicubic")
        ops: list[Op] = [crop if op.name in MOVES else op for op in base.ops]
        ops = [dataclasses.replace(o, p=1.0) if isinstance(o, ColorJitter) else o for o in ops]
        return dataclasses.replace(base, name="amdim-stronger", ops=tuple(ops))
    kept = tuple(op for op in base.ops if op.name not in VARIANTS[key].without)
    return dataclasses.replace(base, ops=kept)
