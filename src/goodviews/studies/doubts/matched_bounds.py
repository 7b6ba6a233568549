"""Two architectures held at the same bound: the encoder matters (section 3.3, figure 4a, b)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from goodviews.interfaces import Row
from goodviews.studies.claims import Claim, Reading
from goodviews.studies.doubts import shown
from goodviews.studies.doubts.arms import TITLES, Arm
from goodviews.studies.doubts.bench import Bench, Budget, train_arm
from goodviews.studies.doubts.experiment import Experiment
from goodviews.studies.grid import Job

TARGETS = (2.0, 4.0)
"""t in nats."""
ENCODERS = {"MLP": "tschannen-mlp", "ConvNet": "tschannen-convnet"}
PUBLISHED = {"MLP": "80 to 84", "ConvNet": "90 to 92"}
"""Accuracies in per cent, read off figure 4."""


def name_of(encoder: str, bound: str, target: float) -> str:
    """An arm's name.

    Example:
        >>> name_of("MLP", "infonce", 2.0)
        'MLP I_NCE t=2'
    """
    return f"{encoder} {TITLES[bound]} t={target:g}"


def arms(quick: bool) -> list[Arm]:
    """Both encoders, both bounds, both targets; the quick scale has I_NCE alone."""
    return [
        Arm(
            name_of(key, bound, target),
            f"{key} encoders, |{title} - {target:g}| minimised",
            encoder=encoder,
            bound=bound,
            target=target,
            group=f"{key} {title}",
            dash="solid" if target == TARGETS[0] else "dash",
            paper={"accuracy": PUBLISHED[key]},
        )
        for target in TARGETS
        for bound, title in TITLES.items()
        for key, encoder in ENCODERS.items()
        if not quick or bound == "infonce"
    ]


def measure(jobs: Sequence[Job], arm: Arm, bench: Bench) -> list[Row]:
    """The arm's rows; each look says how far the training bound is from its target."""
    rows = train_arm(jobs, arm, bench)
    for row in rows:
        if row.nats_train is not None and arm.target is not None:
            row.measures["off_target"] = abs(row.nats_train - arm.target)
    return rows


def claims(names: Sequence[str]) -> list[Claim]:
    """At the same bound the ConvNet's features are better."""
    found = []
    for bound, title in TITLES.items():
        for t in TARGETS:
            conv, mlp = (Reading(name_of(encoder, bound, t)) for encoder in ("ConvNet", "MLP"))
            words = f"{title} held at {t:g} nats: ConvNet features beat MLP features"
            found.append(Claim(words, conv, mlp, paper="90 to 92 against 80 to 84"))
    return [c for c in found if c.better.arm in names and c.worse.arm in names]


def answer(rows: Sequence[Row], judged: Sequence[dict[str, Any]]) -> str:
    """Accuracies at the same target, and how well the target was kept."""
    parts = []
    for bound, title in TITLES.items():
        for t in TARGETS:
            means = {
                key: shown.mean_of(rows, name_of(key, bound, t), "accuracy") for key in ENCODERS
            }
            if all(value is not None for value in means.values()):
                told = ", ".join(f"{key} {shown.percent(value)}" for key, value in means.items())
                parts.append(f"{title} at {t:g}: {told}")
    off = [row.measures["off_target"] for row in rows if "off_target" in row.measures]
    kept = f" (training bounds are within {max(off):.2f} nats of their targets)" if off else ""
    return f"{'; '.join(parts)}{kept}. {shown.count_shown(judged)}"


MATCHED_BOUNDS = Experiment(
    "matched-bounds",
    "Two architectures held at the same bound: the features differ, the nats do not.",
    "Do encoders that reach the same bound give equally good features?",
    arms,
    measure,
    claims,
    answer,
    quick=Budget(steps=800, every=200, lr=5e-4, seeds=2, probe_images=10_000),
    columns=(
        *shown.COLUMNS,
        {"key": "off_target", "words": "training bound, off target", "unit": "nats", "digits": 2},
    ),
    panels=shown.panels,
    notes=("The loss is |I - t|, as in the authors' code, not min(I, t).",),
)
