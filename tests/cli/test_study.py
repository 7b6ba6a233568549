"""`goodviews study` through the command: its mistakes, and where it is listed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MISTAKES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "unknown study": (("nothing", "--data", "digits"), ("unknown 'nothing'", "amdim-ablation")),
    "no data": (("amdim-ablation",), ("DATA is missing", "--data cifar10")),
    "unknown variant": (
        ("amdim-ablation", "--data", "digits", "--variants", "full,no-jiter"),
        ("--variants", "Did you mean 'no-jitter'"),
    ),
    "no seeds": (
        ("amdim-ablation", "--data", "digits", "--seeds", "0"),
        ("--seeds: 0", "1 or more"),
    ),
    "size": (("amdim-ablation", "digits", "--image-size", "40"), ("--image-size: 40", "32, 64")),
    "unknown arm": (
        ("critics", "digits", "--variants", "bilinaer I_NCE"),
        ("--variants", "Did you mean 'bilinear I_NCE'"),
    ),
    "not its option": (("critics", "digits", "--encoder", "mlp"), ("--encoder: critics has no",)),
    "scale of the ablation": (
        ("amdim-ablation", "digits", "--scale", "paper"),
        ("--scale: amdim-ablation has no",),
    ),
    "no labels": (("critics", "digits", "--labels", "none"), ("no labels", "--labels")),
    "odd scale": (("critics", "digits", "--scale", "huge"), ("--scale",)),
    "few steps": (("critics", "digits", "--steps", "0"), ("--steps: 0",)),
    "no such data": (("amdim-ablation", "nowhere/"), ("--data", "nowhere")),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes(goodviews: Callable[..., Any], tmp_path: Path, case: str) -> None:
    words, told = MISTAKES[case]
    goodviews("study", *words, "--out", tmp_path / "out").mistake(*told)
    assert not (tmp_path / "out").exists()


def test_listed(goodviews: Callable[..., Any]) -> None:
    assert goodviews("list", "studies").out.startswith("amdim-ablation")
    assert "--variants" in goodviews("study", "--help").out
    goodviews("ablation").mistake("Did you mean study?")
