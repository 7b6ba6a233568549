"""Looser bounds can be better: larger critics, tighter bounds, worse features (figure 3)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from goodviews.interfaces import Row
from goodviews.studies.claims import Claim, Reading
from goodviews.studies.doubts import shown
from goodviews.studies.doubts.arms import CRITICS, TITLES, Arm
from goodviews.studies.doubts.bench import Bench, Budget, train_arm
from goodviews.studies.doubts.experiment import Experiment
from goodviews.studies.grid import Job

PUBLISHED = {"bilinear": "about 89", "separable": "about 87", "MLP": "84 to 85"}
"""Accuracy under I_NWJ in per cent, read off figure 3."""
SIZES = ("bilinear", "separable", "MLP")
"""The paper's critics, small to large."""


def name_of(critic: str, bound: str) -> str:
    """An arm's name.

    Example:
        >>> name_of("MLP", "nwj")
        'MLP I_NWJ'
    """
    return f"{critic} {TITLES[bound]}"


def arms(quick: bool) -> list[Arm]:
    """Every critic under both bounds, the same MLP encoders."""
    return [
        Arm(
            name_of(critic, bound),
            f"{critic} critic, {title} maximised",
            critic=critic,
            bound=bound,
            group=critic,
            dash="solid" if bound == "infonce" else "dash",
            paper={"accuracy": PUBLISHED[critic]} if bound == "nwj" and critic in PUBLISHED else {},
        )
        for bound, title in TITLES.items()
        for critic in CRITICS
    ]


def measure(jobs: Sequence[Job], arm: Arm, bench: Bench) -> list[Row]:
    """The arm's rows."""
    return train_arm(jobs, arm, bench)


def claims(names: Sequence[str]) -> list[Claim]:
    """Bounds order as the critics' sizes, accuracies the other way."""
    found = [claim for bound in TITLES for claim in _of_bound(bound)]
    return [c for c in found if c.better.arm in names and c.worse.arm in names]


def _of_bound(bound: str) -> list[Claim]:
    """Features by the paper's probe and the converged one, and bounds read in both ways."""
    title = TITLES[bound]
    of = {critic: Reading(name_of(critic, bound)) for critic in SIZES}
    found = [
        Claim(
            f"{title}: the {small} critic gives better features than the {large}",
            of[small],
            of[large],
            paper="yes",
            pool=bound,
        )
        for small, large in (*pairwise(SIZES), (SIZES[0], SIZES[-1]))
    ]
    small, large = of["bilinear"], of["MLP"]
    words = f"{title}: the bilinear critic gives better features than the MLP"
    found.append(Claim(f"{words}, converged probe", small, large, "linear", pool=bound))
    words = f"{title}: the MLP critic's bound is tighter than the bilinear one's"
    for measure, how in (("nats", "held out"), ("nats_train", "on training batches")):
        paper = "yes" if measure == "nats_train" else ""
        found.append(
            Claim(f"{words}, {how}", large, small, measure, unit="nats", paper=paper, pool=bound)
        )
    return found


def answer(rows: Sequence[Row], judged: Sequence[dict[str, Any]]) -> str:
    """Accuracy and bound of each critic under the bound it is clearest for."""
    parts = []
    for bound, title in TITLES.items():
        for critic in SIZES:
            name = name_of(critic, bound)
            nats = shown.mean_of(rows, name, "nats")
            if nats is not None:
                accuracy = shown.percent(shown.mean_of(rows, name, "accuracy"))
                parts.append(f"{critic} {accuracy} at {title} {nats:.2f}")
    return f"{'; '.join(parts)}. {shown.count_shown(judged)}"


CRITIC_SIZES = Experiment(
    "critics",
    "Critics of growing size: tighter bounds, worse features.",
    "Does a tighter bound give better features?",
    arms,
    measure,
    claims,
    answer,
    quick=Budget(steps=2_000, every=250, lr=5e-4, seeds=3, probe_images=10_000),
    columns=shown.COLUMNS,
    panels=shown.panels,
    notes=("The inner product has no parameters; the paper defines it and does not sweep it.",),
)
