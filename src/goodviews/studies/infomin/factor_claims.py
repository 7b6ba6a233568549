"""The arms of the study of shared factors: the paper's numbers, what must be seen, what is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from goodviews.data.moving import FACTORS
from goodviews.interfaces import Row
from goodviews.studies.claims import SHOWN, Claim, Reading
from goodviews.studies.conclude import UNTRAINED
from goodviews.studies.infomin.factor_worlds import ERRORS

CONSTANT, SUPERVISED = "constant answer", "supervised"
ALL = "digit+background+position"
NEAR = 0.15
"""An error is near chance if it is at most this share of chance below it."""

ARMS: dict[str, tuple[str, ...]] = {
    "digit": ("digit",),
    "background": ("background",),
    "position": ("position",),
    "digit+background": ("digit", "background"),
    "background+position": ("background", "position"),
    "digit+position": ("digit", "position"),
    ALL: ("digit", "background", "position"),
}
"""Arm -> what both views share."""

PAPER: dict[str, tuple[float, float, float]] = {
    "digit": (16.8, 13.6, 88.6),
    "background": (88.6, 16.1, 51.7),
    "position": (57.9, 3.95, 87.6),
    "digit+background": (88.2, 16.3, 53.9),
    "background+position": (88.8, 15.9, 53.8),
    "digit+position": (14.5, 13.7, 88.9),
    ALL: (88.8, 16.2, 56.3),
    SUPERVISED: (3.4, 0.93, 45.3),
}
"""Digit error %, position error px, background error % (Tian et al. 2020, Colorful Moving-MNIST;
the two-factor rows are the least certain)."""

WORDS = {
    SUPERVISED: "the image encoder trained on all three labels at once, and read out as the others",
    UNTRAINED: "the image encoder as it starts",
}


def described(names: Sequence[str], moving: bool) -> list[dict[str, Any]]:
    """The arms of these names as study.json keeps them; the paper's numbers where they apply."""
    found = []
    for name in names:
        words = WORDS.get(name) or f"both views share: {', '.join(ARMS[name])}"
        numbers = (
            dict(zip(ERRORS.values(), _ordered(PAPER[name]), strict=True))
            if (moving and name in PAPER)
            else {}
        )
        found.append({"name": name, "words": words, "paper": numbers})
    return found


def _ordered(row: tuple[float, float, float]) -> list[str]:
    """The paper's numbers in the order of the factors, as text."""
    digit, position, background = row
    by_name = {"digit": digit, "position": position, "background": background}
    return [f"{by_name[factor]:g}" for factor in FACTORS]


def columns() -> list[dict[str, Any]]:
    """Of the table."""
    found: list[dict[str, Any]] = [
        {
            "key": ERRORS[factor],
            "words": f"{factor} error {unit(factor)}",
            "unit": unit(factor),
            "digits": 2 if factor == "position" else 1,
        }
        for factor in FACTORS
    ]
    nats = {"nats": "I_NCE, held out", "shared_nats": "H(shared factors)"}
    return found + [
        {"key": key, "words": words, "unit": "nats", "digits": 2} for key, words in nats.items()
    ]


def unit(factor: str) -> str:
    """Of a factor's error."""
    return "px" if factor == "position" else "%"


def panels(chance: Mapping[str, float]) -> list[dict[str, Any]]:
    """An error each, with chance as a line, and the bound over steps."""
    bars: list[dict[str, Any]] = [
        {
            "kind": "bars",
            "measure": ERRORS[factor],
            "title": f"{factor.capitalize()}: error of a linear reader",
            "unit": unit(factor),
            "lines": [{"value": chance[ERRORS[factor]], "words": "chance"}],
        }
        for factor in FACTORS
    ]
    curve: dict[str, Any] = {
        "kind": "curve",
        "measure": "nats_train",
        "title": "I_NCE(v1;v2) on training batches",
        "unit": "nats",
        "also": None,
        "lines": [],
    }
    return [*bars, curve]


def claims(
    names: Sequence[str], chance: Mapping[str, float], easy: Sequence[str] = ()
) -> list[Claim]:
    """What the paper shows, of the arms that were run; nothing of factors that are ``easy``."""
    found: list[Claim] = []
    for factor in FACTORS:
        found += [_learned(factor, factor), _above_untrained(factor, factor)]
        found += [_near(factor, other, chance) for other in FACTORS if other != factor]
    for arm in ("digit+background", ALL):
        found += [_near(arm, "digit", chance), _suppressed("digit", arm)]
    found += [_near(a, "position", chance) for a in ("background+position", ALL)]
    found += [_suppressed("position", "background+position"), _learned("digit+position", "digit")]
    found += [_suppressed("position", "digit+position")]
    found += [_learned(arm, "background") for arm in ARMS if "+" in arm and "back" in arm]
    known = {*names, CONSTANT, UNTRAINED}
    told = {ERRORS[factor] for factor in FACTORS if factor not in easy}
    found = [c for c in found if c.measure in told]
    return [c for c in found if c.better.arm in known and c.worse.arm in known]


def easy_note(easy: Sequence[str]) -> list[str]:
    """Why nothing is claimed of some factors."""
    return [
        f"Nothing is claimed of the {factor}: its values are so few and so different that an "
        "untrained network tells them."
        for factor in easy
    ]


def _learned(arm: str, factor: str) -> Claim:
    """More right than chance."""
    words = f"{_sharing(arm)}: the {factor} is learned, better than chance"
    return _claim(words, Reading(CONSTANT), Reading(arm), factor, "yes")


def _above_untrained(arm: str, factor: str) -> Claim:
    words = f"{_sharing(arm)}: the {factor} is learned, better than the untrained network"
    return _claim(words, Reading(UNTRAINED), Reading(arm), factor, "yes")


def _near(arm: str, factor: str, chance: Mapping[str, float]) -> Claim:
    """An error at most :data:`NEAR` of chance below chance."""
    level = chance[ERRORS[factor]]
    paper = "no, 57.9 %" if (arm, factor) == ("position", "digit") else "yes"
    words = f"{_sharing(arm)}: the {factor} stays near chance"
    return _claim(words, Reading(arm), Reading(CONSTANT), factor, paper, -NEAR * level)


def _suppressed(factor: str, arm: str) -> Claim:
    """Sharing more leaves less of a factor than sharing it alone."""
    others = " and ".join(other for other in ARMS[arm] if other != factor)
    words = f"Sharing the {others} too leaves less of the {factor} than sharing it alone"
    return _claim(words, Reading(arm), Reading(factor), factor, "yes")


def _claim(
    words: str, more: Reading, less: Reading, factor: str, paper: str, margin: float = 0.0
) -> Claim:
    """The error of ``more`` exceeds that of ``less``."""
    scale = "px" if factor == "position" else "points"
    return Claim(words, more, less, ERRORS[factor], margin, scale, paper)


def _sharing(arm: str) -> str:
    parts = list(ARMS[arm])
    listed = " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
    return f"{listed.capitalize()} shared" + (" alone" if len(parts) == 1 else "")


def answer(rows: Sequence[Row], judged: Sequence[Mapping[str, Any]]) -> str:
    """What was learned where several factors are shared, and how much of the paper is seen."""
    parts = []
    for name in ("digit", "digit+background", "digit+position", ALL):
        mine = [r.measures for r in rows if r.candidate == name and r.status == "done"]
        if mine:
            error = 100 * fmean(m[ERRORS["digit"]] for m in mine)
            parts.append(f"{error:.1f} % with {name.replace('+', ', ')} shared")
    seen = sum(claim["verdict"] == SHOWN for claim in judged)
    told = f"Digits read wrongly: {'; '.join(parts)}. " if parts else ""
    return f"{told}{seen} of {len(judged)} of the statements looked for are shown."
