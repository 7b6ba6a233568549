"""A bias towards encoders that are hard to invert (section 3.1, figure 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from goodviews.evaluation.conditioning import (
    jacobian_singular_values,
    log_condition,
    percentiles,
)
from goodviews.interfaces import Row
from goodviews.methods.pair import StackedPair, Summary
from goodviews.studies.claims import Claim, Reading
from goodviews.studies.doubts import shown
from goodviews.studies.doubts.arms import TITLES, Arm
from goodviews.studies.doubts.bench import Bench, Budget, train_arm
from goodviews.studies.doubts.experiment import Experiment
from goodviews.studies.grid import Job

INPUTS = 128
"""Images whose Jacobians are taken at a look; the quick scale takes a quarter."""


def arms(quick: bool) -> list[Arm]:
    """Skip MLPs that start near the identity, under both bounds."""
    return [
        Arm(
            title,
            f"skip MLP near the identity, bilinear critic, {title} maximised",
            encoder="skip-mlp",
            bound=bound,
            paper={"accuracy": "about 90"},
        )
        for bound, title in TITLES.items()
    ]


def measure(jobs: Sequence[Job], arm: Arm, bench: Bench) -> list[Row]:
    """The arm's rows; every look has percentiles of log sigma_1 - log sigma_n over images."""
    x = bench.halves.views(bench.halves.train[: INPUTS // 4 if bench.quick else INPUTS])[0]

    def besides(pair: StackedPair) -> list[dict[str, float]]:
        found = []
        for e in range(pair.count):
            summary = pair.g1.member(e)
            assert isinstance(summary, Summary)
            values = log_condition(jacobian_singular_values(summary.encoder, x))
            spread = {f"log_condition_{key}": v for key, v in percentiles(values).items()}
            found.append({**spread, "log_condition": float(values.median())})
        return found

    return train_arm(jobs, arm, bench, besides)


def claims(names: Sequence[str]) -> list[Claim]:
    """Ill-conditioned encoders, and better features."""
    found = []
    for name in names:
        end, start = Reading(name), Reading(name, "start")
        found += [
            Claim(
                f"{name}: log sigma_1 - log sigma_n rises, so the encoder gets hard to invert",
                end,
                start,
                "log_condition",
                unit="nats",
                paper="from 0 to between 4 and 8",
            ),
            Claim(f"{name}: accuracy rises", end, start, paper="from about 84 % to about 90"),
            shown.bound_rises(name),
        ]
    return found


def answer(rows: Sequence[Row], judged: Sequence[dict[str, Any]]) -> str:
    """How far the condition number went."""
    names = dict.fromkeys(row.candidate for row in rows if row.kind == "candidate")
    parts = []
    for name in names:
        first, last = (shown.mean_of(rows, name, "log_condition", at) for at in ("start", "end"))
        if first is not None and last is not None:
            accuracy = shown.percent(shown.mean_of(rows, name, "accuracy"))
            parts.append(
                f"{name}: log condition number from {first:.1f} to {last:.1f}, accuracy {accuracy}"
            )
    return f"{'; '.join(parts)}. {shown.count_shown(judged)}"


CONDITIONING = Experiment(
    "conditioning",
    "Encoders that start invertible: training makes them hard to invert.",
    "Are encoders trained to maximise MI biased against invertibility?",
    arms,
    measure,
    claims,
    answer,
    quick=Budget(steps=1_200, every=200, lr=3e-4, seeds=2, probe_images=10_000),
    columns=(
        *shown.COLUMNS,
        {
            "key": "log_condition",
            "words": "log condition number, median",
            "unit": "",
            "digits": 2,
        },
    ),
    panels=lambda rows, bench: [
        {
            "kind": "percentiles",
            "prefix": "log_condition_",
            "title": "log sigma_1 - log sigma_n of the Jacobian of g1",
            "unit": "",
        },
        *shown.panels(rows, bench),
    ],
    noise=0.05,
    notes=(
        "Noise of deviation 0.05 on the pixels. The authors' code adds one noise tensor to both "
        "halves, which makes the noise itself shared information: --noise shared (default), "
        "independent or none. The probe reads noisy top halves.",
    ),
)
