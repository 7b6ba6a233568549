"""Large MI is not predictive: encoders that cannot lose information (section 3.1, figure 1a, b)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from goodviews.interfaces import Row
from goodviews.methods.pair import StackedPair
from goodviews.studies.claims import Claim, Reading
from goodviews.studies.doubts import shown
from goodviews.studies.doubts.adversarial import INVERSE_COLUMNS, errors_of
from goodviews.studies.doubts.arms import TITLES, Arm
from goodviews.studies.doubts.bench import Bench, Budget, train_arm
from goodviews.studies.doubts.experiment import Experiment
from goodviews.studies.grid import Job

RISE = 0.03
"""Points of accuracy that training must add."""


def arms(quick: bool) -> list[Arm]:
    """RealNVP of 30 additive couplings under both bounds; the quick one has 8 smaller ones."""
    options = {"couplings": 8, "hidden": (256, 256)} if quick else {}
    paper = {"infonce": "about 89", "nwj": "about 90"}
    return [
        Arm(
            title,
            f"additive RealNVP, bilinear critic, {title} maximised",
            encoder="realnvp",
            encoder_options=options,
            bound=bound,
            rate=0.2 if quick and bound == "nwj" else 1.0,  # at the full one I_NWJ diverges
            paper={"accuracy": paper[bound]},
        )
        for bound, title in TITLES.items()
    ]


def measure(jobs: Sequence[Job], arm: Arm, bench: Bench) -> list[Row]:
    """The arm's rows; every look shows how exactly the encoders are inverted."""

    def besides(pair: StackedPair) -> list[dict[str, float]]:
        x = bench.halves.views(bench.halves.test[:256])[0]
        return [errors_of(pair.g1, e, x) for e in range(pair.count)]

    return train_arm(jobs, arm, bench, besides)


def claims(names: Sequence[str]) -> list[Claim]:
    """Bound and accuracy rise although the information cannot."""
    found = []
    for name in names:
        end, start = Reading(name), Reading(name, "start")
        found += [
            Claim(
                f"{name}: accuracy rises by 3 points or more while the information stays the same",
                end,
                start,
                margin=RISE,
                paper="from about 84 % to about 89 (I_NCE) and 90 (I_NWJ)",
            ),
            Claim(f"{name}: the codes beat raw pixels", end, shown.PIXELS, paper="by 4 to 6"),
            shown.bound_rises(name),
        ]
    return found


def answer(rows: Sequence[Row], judged: Sequence[dict[str, Any]]) -> str:
    """From where to where."""
    names = dict.fromkeys(row.candidate for row in rows if row.kind == "candidate")
    moves = [
        f"{name} from {shown.percent(shown.mean_of(rows, name, 'accuracy', 'start'))} "
        f"to {shown.percent(shown.mean_of(rows, name, 'accuracy'))}"
        for name in names
    ]
    errors = [row.measures.get("inverse_error_64", 0.0) for row in rows]
    return (
        "Invertible encoders keep all information at every step, yet accuracy changes: "
        f"{'; '.join(moves)} "
        f"(largest error of the inverse in float64 {max(errors, default=0):.1e}). "
        f"{shown.count_shown(judged)}"
    )


INVERTIBLE = Experiment(
    "invertible",
    "Invertible encoders: information is constant, bound and accuracy rise together.",
    "Is the information the encoders keep what makes the features good?",
    arms,
    measure,
    claims,
    answer,
    quick=Budget(steps=1_200, every=200, lr=2e-3, seeds=3, probe_images=10_000),
    columns=(
        *shown.COLUMNS,
        *INVERSE_COLUMNS,
    ),
    panels=shown.panels,
    notes=(
        "RealNVP with additive couplings preserves volume and information exactly; permutations "
        "are drawn anew for each seed. At the quick scale I_NWJ has a fifth of the learning rate: "
        "its exponential diverges at the full one.",
    ),
)
