"""An invertible encoder trained to defeat a linear classifier (section 3.1, figure 1c)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from goodviews.encoders.invertible import RealNVP
from goodviews.interfaces import Row
from goodviews.layers import Stacked, evaluating
from goodviews.methods.pair import Summary
from goodviews.studies.claims import Claim, Reading
from goodviews.studies.doubts import shown
from goodviews.studies.doubts.arms import Arm, glorot
from goodviews.studies.doubts.bench import Bench, Budget
from goodviews.studies.doubts.experiment import PAPER, Experiment
from goodviews.studies.grid import Job

ARM = "adversarial"
WARM_UP, INNER = 1_000, 10
"""Classifier steps before the first encoder step, and for each one."""
CLASSIFIER_LR = 1e-3
LIMIT = 0.6
"""Accuracy that the encoder must get below."""


def arms(quick: bool) -> list[Arm]:
    """One affine RealNVP; the quick one has 8 smaller couplings."""
    return [
        Arm(
            ARM,
            "affine RealNVP; its codes are to look like nothing to a linear classifier",
            encoder="realnvp-affine",
            encoder_options={"couplings": 8, "hidden": (256, 256)} if quick else {},
            paper={"accuracy": "about 40"},
        )
    ]


def measure(jobs: Sequence[Job], arm: Arm, bench: Bench) -> list[Row]:
    """The rows: codes' accuracy by a fresh probe while the encoder hides what they know.

    Each step: ten steps of the classifier on cross-entropy with the labels, then one step of the
    encoder on cross-entropy of the same logits with the uniform distribution over classes.
    """
    game = Game(jobs, arm, bench)
    state = {"g1": game.g1, "linear": game.linear, "adam": game.adam, "other": game.other}
    records = bench.climb(jobs, game.advance, game.look, state)
    return bench.rows(jobs, game.g1, records)


class Game:
    """Encoders, classifiers and their optimisers, all seeds at once."""

    def __init__(self, jobs: Sequence[Job], arm: Arm, bench: Bench) -> None:
        self.bench, self.seeds = bench, [job.seed for job in jobs]
        labels = bench.halves.train_y
        self.classes = int(labels.max()) + 1
        encoders, heads = [], []
        for seed in self.seeds:
            with torch.random.fork_rng([]):
                torch.manual_seed(seed)
                encoders.append(arm.encoder_of(bench.halves.shape, seed))
                heads.append(glorot(nn.Linear(encoders[-1].dim, self.classes)))  # type: ignore[arg-type]
        self.g1 = Stacked([Summary(encoder) for encoder in encoders]).to(bench.device)
        self.linear = Stacked(heads).to(bench.device)
        self.adam = torch.optim.Adam(self.g1.parameters(), lr=bench.budget.lr, fused=True)
        self.other = torch.optim.Adam(self.linear.parameters(), lr=CLASSIFIER_LR, fused=True)

    def advance(self, step: int) -> None:
        """Ten steps of the classifiers (1,000 before the first), one of the encoders."""
        for turn in range(0 if step == 0 else WARM_UP // INNER + step, WARM_UP // INNER + step + 1):
            z, labels = self.codes(range(turn * INNER, (turn + 1) * INNER), grad=False)
            for part in zip(z.chunk(INNER, 1), labels.chunk(INNER, 1), strict=True):
                self._teach(*part)
        z, _ = self.codes([step], grad=True, salt=1)
        log_q = torch.log_softmax(self.linear(z), 2)
        _descend(self.adam, -log_q.mean(2).mean(1).sum())

    def _teach(self, z: Tensor, labels: Tensor) -> None:
        """One step of the classifiers on codes (E, n, d) and labels (E, n)."""
        loss = functional.cross_entropy(self.linear(z).flatten(0, 1), labels.flatten())
        _descend(self.other, loss * len(self.seeds))

    def codes(self, steps: Sequence[int], grad: bool, salt: int = 0) -> tuple[Tensor, Tensor]:
        """Codes (E, n, d) of the top halves of some steps' batches, and labels (E, n)."""
        halves, size = self.bench.halves, self.bench.budget.batch_size
        rows = torch.cat([halves.rows(self.seeds, step, size, salt) for step in steps], 1)
        x = halves.views(halves.train[rows.to(halves.train.device)])[0]
        with torch.set_grad_enabled(grad), self.bench.autocast():
            return self.g1(x), halves.train_y[rows].to(x.device)

    def look(self, step: int) -> list[dict[str, float]]:
        """Accuracy of a fresh probe, the inverse's error, the classifier's own accuracy."""
        x = self.bench.halves.views(self.bench.halves.test[:1024])[0]
        labels = self.bench.halves.test_y[:1024]
        with torch.no_grad(), evaluating(self.g1):
            guesses = self.linear(self.g1(x.expand(len(self.seeds), *x.shape))).argmax(2).cpu()
        return [
            {
                "accuracy": accuracy,
                **errors_of(self.g1, e, x[:256]),
                "adversary": float((guesses[e] == labels).float().mean()),
            }
            for e, accuracy in enumerate(self.bench.accuracy(self.g1))
        ]


def errors_of(g1: Stacked, e: int, x: Tensor) -> dict[str, float]:
    """Largest absolute error of the inverse of encoder e on views x (n, c, h, w), both precisions.

    It is about rounding times the condition number: where float32 fails, float64 shows that the
    map is invertible all the same.
    """
    summary = g1.member(e)
    assert isinstance(summary, Summary) and isinstance(summary.encoder, RealNVP)
    found = {}
    for name, dtype in (("inverse_error", torch.float32), ("inverse_error_64", torch.float64)):
        flow, y = summary.encoder.to(dtype), x.to(dtype)
        with torch.no_grad():
            error = flow.inverse(flow(y).summary) - y.flatten(1)
        found[name] = float(error.abs().max())
    return found


INVERSE_COLUMNS = (
    {"key": "inverse_error", "words": "error of the inverse, float32", "unit": "", "digits": None},
    {"key": "inverse_error_64", "words": "in float64", "unit": "", "digits": None},
)


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def claims(names: Sequence[str]) -> list[Claim]:
    """Far below pixels, at maximal information."""
    end, far = Reading(ARM), Reading(ARM, constant=LIMIT)
    return [
        Claim(
            f"accuracy falls below {100 * LIMIT:.0f} %",
            far,
            end,
            paper="to about 40 %",
            only_paper=True,
        ),
        Claim("the codes are worse than raw pixels", shown.PIXELS, end, paper="84 to 40"),
        Claim("so they are by the converged probe", shown.PIXELS, end, "linear"),
    ]


def answer(rows: Sequence[Row], judged: Sequence[dict[str, Any]]) -> str:
    """How low it went, and that nothing was lost."""
    worst = max((row.measures.get("inverse_error_64", 0.0) for row in rows), default=0.0)
    kept = (
        "keeps all information"
        if worst < 1e-3
        else "keeps all information in exact arithmetic (its scales have become so small that in "
        f"float64 its inverse is off by up to {worst:.1e}: on a computer it no longer does)"
    )
    paper, converged = (shown.mean_of(rows, ARM, key) for key in ("accuracy", "linear"))
    pixels = shown.mean_of(rows, "raw pixels", "accuracy")
    return (
        f"An encoder that {kept} has codes that probe at {shown.percent(paper)}, by the converged "
        f"probe at {shown.percent(converged)}, where raw pixels give {shown.percent(pixels)}. "
        f"{shown.count_shown(judged)}"
    )


ADVERSARIAL = Experiment(
    "adversarial",
    "An invertible encoder trained against a linear classifier: all information, bad features.",
    "Can features be bad although they keep all information?",
    arms,
    measure,
    claims,
    answer,
    quick=Budget(steps=1_200, every=200, lr=3e-5, seeds=2, probe_images=10_000),
    paper=replace(PAPER, steps=4_001, every=400, lr=1e-5),
    columns=(
        shown.ACCURACY,
        shown.LINEAR,
        {"key": "adversary", "words": "the adversary's accuracy %", "unit": "%", "digits": 1},
        *INVERSE_COLUMNS,
        shown.RANK,
    ),
    panels=lambda rows, bench: [shown.accuracy_panel(rows)],
    notes=(
        "Affine couplings with scale 1e-7 + softplus, as in the authors' code. A scale below 1 in "
        "most couplings shrinks the codes; probes rescale them.",
    ),
)
