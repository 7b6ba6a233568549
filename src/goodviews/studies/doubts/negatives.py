"""Dependent negatives: what becomes of the bound, and of the features (section 3.4, figure 4c).

A Gaussian whose information is known shows the number; images show the features.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor, nn
from torch.func import vmap

from goodviews.bounds import BOUNDS
from goodviews.critics import Concat
from goodviews.data.worlds import dependent_gaussian
from goodviews.information import gaussian_information, gaussian_kl
from goodviews.interfaces import Row
from goodviews.layers import Stacked
from goodviews.studies.claims import Claim, Reading
from goodviews.studies.doubts import negatives_images as pictures
from goodviews.studies.doubts import shown
from goodviews.studies.doubts.arms import TITLES, Arm, glorot
from goodviews.studies.doubts.bench import Bench, Budget
from goodviews.studies.doubts.experiment import PAPER, Experiment
from goodviews.studies.grid import Job

WORLD = dependent_gaussian()
TRUE, GIVEN = gaussian_information(0.2), gaussian_information(0.9)
"""I(X;Y) of a pair, and I(X;Y|Z), in nats."""
POSITIVE, NEGATIVE = [[2.0, 0.4], [0.4, 2.0]], [[2.0, -0.5], [-0.5, 2.0]]
"""Covariances of (x_i, y_i), and of (x_i, y_j) where the batch shares Z."""
APART = gaussian_kl([0.0, 0.0], POSITIVE, [0.0, 0.0], NEGATIVE)
"""KL(positive || negative) in nats: what I_NWJ bounds from below, whatever the negatives are."""
DRAWS = {"i.i.d.": False, "shared Z": True}
"""How a batch is drawn -> whether its pairs share Z."""
REFERENCE = {
    "Gaussian i.i.d. I_NCE": (0.0199, 0.017),
    "Gaussian i.i.d. I_NWJ": (0.0202, 0.017),
    "Gaussian shared Z I_NCE": (0.192, 0.140),
    "Gaussian shared Z I_NWJ": (0.101, 0.100),
}
"""Arm -> mean and deviation of single steps over the last quarter of 20,000 steps, in nats: one run
of an implementation that shares no code with this one."""
TOLERANCE = 0.01
"""Nats that an estimate may lie above the truth and still count as at it."""
SMOOTH, SHOWN = 100, 200
"""Deviation in steps of the filter over single steps (figure 4c); points that a curve keeps."""
FRESH = 10
"""Steps for each fresh batch: of those between looks for a look, of all for the final numbers."""


def name_of(draw: str, bound: str) -> str:
    """An arm's name.

    Example:
        >>> name_of("shared Z", "nwj")
        'Gaussian shared Z I_NWJ'
    """
    return f"Gaussian {draw} {TITLES[bound]}"


GAUSSIAN = {name_of(draw, bound): (draw, bound) for draw in DRAWS for bound in TITLES}
"""Arm -> how its batches are drawn, and its bound."""


def arms(quick: bool) -> list[Arm]:
    """The Gaussian under both bounds, with and without a shared Z; four kinds of image batches."""
    found = [
        Arm(
            name,
            f"2-D Gaussian of {TRUE:.4f} nats, batches {_DRAWN[draw]}, {TITLES[bound]} maximised",
            bound=bound,
            group=f"Gaussian {draw}",
            dash="solid" if bound == "infonce" else "dash",
            paper={"own": f"{'above' if DRAWS[draw] else 'at most'} {TRUE:.3f}"},
        )
        for name, (draw, bound) in GAUSSIAN.items()
    ]
    return found + [Arm(name, words) for name, words in pictures.WORDS.items()]


_DRAWN = {"i.i.d.": "of independent pairs", "shared Z": "whose pairs share Z"}


def measure(jobs: Sequence[Job], arm: Arm, bench: Bench) -> list[Row]:
    """The arm's rows."""
    if arm.name in GAUSSIAN:
        return Tracker(jobs, arm, bench).rows()
    return pictures.measure(jobs, arm, bench)


# --- the Gaussian -------------------------------------------------------------------------------


class DeepConcat(Concat):
    """The paper's critic for numbers: f(x, y) = MLP([x, y]), 5 hidden layers of 10 units.

    The layers stand left of the pairs, (10, n m), which is several times as fast as the other way
    round where they are this narrow (Tschannen et al. 2019, section 3.4 and code).

    Example:
        >>> sum(p.numel() for p in DeepConcat().parameters())
        481
    """

    def __init__(self) -> None:
        super().__init__(1, hidden=10, depth=5)

    def _block(self, rows: Tensor, columns: Tensor) -> Tensor:
        values = (rows.T[:, :, None] + columns.T[:, None]).flatten(1)
        for layer in self.rest.modules():
            if isinstance(layer, nn.Linear):
                values = torch.addmm(layer.bias[:, None], layer.weight, values.relu())
        return values.view(len(rows), len(columns))


class Trace(nn.Module):
    """What each step read of its own batch: ``nats`` (steps, E), part of what is resumed."""

    nats: Tensor

    def __init__(self, steps: int, members: int) -> None:
        super().__init__()
        self.register_buffer("nats", torch.zeros(steps, members))


class Tracker:
    """Critics of all seeds, each trained on its own batches and read at every step."""

    def __init__(self, jobs: Sequence[Job], arm: Arm, bench: Bench) -> None:
        self.jobs, self.arm, self.bench = jobs, arm, bench
        self.shared = DRAWS[GAUSSIAN[arm.name][0]]
        critics = []
        for job in jobs:
            with torch.random.fork_rng([]):
                torch.manual_seed(job.seed)
                critics.append(glorot(DeepConcat()))
        self.critics = Stacked(critics).to(bench.device)
        self.adam = torch.optim.Adam(self.critics.parameters(), lr=bench.budget.lr, fused=True)
        self.trace = Trace(bench.budget.steps, len(jobs)).to(bench.device)

    def bound(self, x: Tensor, y: Tensor) -> Tensor:
        """Nats (E,) of batches x and y (E, n, 1)."""
        return vmap(BOUNDS[self.arm.bound].function)(self.critics(x, y))

    def batch(self, seeds: Sequence[int], step: int, shared: bool) -> tuple[Tensor, Tensor]:
        """Batches x, y (E, n, 1), each a function of (seed, step)."""
        drawn = [
            WORLD.draw(self.bench.budget.batch_size, np.random.default_rng([seed, step]), shared)
            for seed in seeds
        ]
        x, y = (torch.from_numpy(np.stack(part)).float() for part in zip(*drawn, strict=True))
        return x.to(self.bench.device), y.to(self.bench.device)

    def advance(self, step: int) -> None:
        """One step of Adam on the arm's own batches."""
        nats = self.bound(*self.batch([job.seed for job in self.jobs], step, self.shared))
        self.trace.nats[step] = nats.detach()
        self.adam.zero_grad()
        (-nats.sum()).backward()
        self.adam.step()

    def fresh(self, shared: bool, steps: int) -> Tensor:
        """Nats (n, E) of fresh batches of one kind, a tenth as many as steps, alike for seeds."""
        seed = 1_000_000 + shared
        with torch.no_grad():
            found = []
            for step in range(max(2, steps // FRESH)):
                x, y = self.batch([seed], step, shared)
                every = (len(self.jobs), -1, -1)
                found.append(self.bound(x.expand(every), y.expand(every)))
        return torch.stack(found).cpu()

    def look(self, step: int) -> list[dict[str, float]]:
        """The critics as they are, on fresh batches of both kinds."""
        every = self.bench.budget.every
        means = [self.fresh(shared, every).mean(0).tolist() for shared in (False, True)]
        return [{"iid": a, "shared": b} for a, b in zip(*means, strict=True)]

    def rows(self) -> list[Row]:
        """A row a seed, trained."""
        state: dict[str, object] = {
            "critics": self.critics,
            "adam": self.adam,
            "trace": self.trace,
        }
        looks = self.bench.climb(self.jobs, self.advance, self.look, state)
        kinds = [self.fresh(shared, len(self.trace.nats)).double() for shared in (False, True)]
        trace = self.trace.nats.double().cpu()
        return [
            self._row(e, job, looks[e], trace[:, e], *(kind[:, e] for kind in kinds))
            for e, job in enumerate(self.jobs)
        ]

    def _row(
        self,
        e: int,
        job: Job,
        looks: list[dict[str, float]],
        trace: Tensor,
        iid: Tensor,
        shared: Tensor,
    ) -> Row:
        row, (centre, spread) = job.row(), REFERENCE[self.arm.name]
        last = trace[-max(2, len(trace) // 4) :]
        own = float(last.mean())
        row.curve, row.steps = with_running(looks, trace.numpy()), len(trace)
        row.nats, row.nats_stderr = float(iid.mean()), float(iid.std()) / math.sqrt(len(iid))
        row.true_nats, row.candidates = TRUE, self.bench.budget.batch_size
        row.measures = {
            "own": own,
            "own_sd": float(last.std()),
            "excess": own - TRUE,
            "off_reference": abs(own - centre) / spread,
            "shared": float(shared.mean()),
        }
        return row


def with_running(looks: list[dict[str, float]], trace: np.ndarray) -> list[dict[str, float]]:
    """A curve: the looks, and "running", the steps' readings smoothed over :data:`SMOOTH` steps.

    Args:
        looks: with their "step".
        trace: nats of each step, shape (steps,).

    Example:
        >>> curve = with_running([{"step": 0, "iid": 0.1}], np.zeros(401))
        >>> curve[0], curve[1], len(curve)
        ({'step': 0, 'iid': 0.1, 'running': 0.0}, {'step': 2, 'running': 0.0}, 201)
    """
    smooth = gaussian_filter1d(trace, SMOOTH, mode="nearest")
    found = {int(look["step"]): dict(look) for look in looks}
    for step in range(0, len(trace), max(1, len(trace) // SHOWN)):
        found.setdefault(step, {"step": step})["running"] = float(smooth[step])
    return [found[step] for step in sorted(found)]


# --- what is seen -------------------------------------------------------------------------------


def claims(names: Sequence[str]) -> list[Claim]:
    """I.i.d. estimates keep to the truth and dependent ones do not; features need not follow."""
    found = [claim for name in GAUSSIAN if name in names for claim in _of_gaussian(name)]
    found += [claim for name in pictures.COMPANY if name in names for claim in _of_images(name)]
    return [c for c in found if c.better.arm in names and c.worse.arm in names]


def _of_gaussian(name: str) -> list[Claim]:
    """What the paper says of an arm, and an independent implementation's numbers."""
    arm, (mean, sd) = Reading(name), REFERENCE[name]
    if DRAWS[GAUSSIAN[name][0]]:
        zero = Reading(name, constant=0.0)
        words = f"{name} exceeds the true {TRUE:.4f} nats"
        first = Claim(words, arm, zero, "excess", unit="nats", paper="yes")
    else:
        truth = Reading(name, constant=TRUE)
        words = f"{name} is not above the true {TRUE:.4f} nats by {TOLERANCE:g} or more"
        first = Claim(words, truth, arm, "own", -TOLERANCE, "nats", paper="at or below it")
    kept = []
    if name == name_of("shared Z", "nwj"):
        words = (
            f"{name} is not above KL(positive || negative) = {APART:.4f} by {TOLERANCE:g} or more"
        )
        limit = Reading(name, constant=APART - TRUE)
        kept = [Claim(words, limit, arm, "excess", -TOLERANCE, "nats")]
    words = f"{name} is within one deviation of a reference implementation's {mean:g} ({sd:g})"
    one = Reading(name, constant=1.0)
    return [first, *kept, Claim(words, one, arm, "off_reference", unit="deviations")]


def _of_images(name: str) -> list[Claim]:
    """The number is that of the construction; the features are another matter."""
    if name == pictures.CONTROL:
        return []
    arm, control = Reading(name), Reading(pictures.CONTROL)
    points = f"{100 * pictures.LACK:g} point"
    apart = f"{name}: own batches and i.i.d. ones read apart, more than where own ones are i.i.d."
    lower = f"{name}: i.i.d. bound below that of i.i.d. training"
    features = f"{name}: features less than {points} below those of i.i.d. training"
    serve = "argued, not measured"
    return [
        Claim(apart, arm, control, "gap", unit="nats", paper="yes, of a Gaussian"),
        Claim(lower, control, arm, "nats", unit="nats"),
        Claim(features, arm, control, margin=-pictures.LACK, paper=serve),
    ]


def answer(rows: Sequence[Row], judged: Sequence[dict[str, Any]]) -> str:
    """The estimates beside the truth, then bound and accuracy of each kind of batch."""
    parts = [_told(rows, draw, bound) for draw in DRAWS for bound in TITLES]
    told = ", ".join(part for part in parts if part)
    first = [f"Of {TRUE:.3f} nats: {told}"] if told else []
    for name in pictures.COMPANY:
        read, nats = (shown.mean_of(rows, name, key) for key in ("own", "nats"))
        if read is not None and nats is not None:
            accuracy = shown.percent(shown.mean_of(rows, name, "accuracy"))
            bounds = f"{read:.2f} nats on its own batches, {nats:.2f} on i.i.d. held-out ones"
            first.append(f"{name}: {bounds}, {accuracy}")
    return f"{'; '.join(first)}. {shown.count_shown(judged)}"


def _told(rows: Sequence[Row], draw: str, bound: str) -> str:
    """An estimate, and what the same critics read on fresh batches of the other kind."""
    other = ("nats", "i.i.d. batches") if DRAWS[draw] else ("shared", "batches that share Z")
    own, read = (shown.mean_of(rows, name_of(draw, bound), key) for key in ("own", other[0]))
    if own is None or read is None:
        return ""
    return f"{draw} {TITLES[bound]} {own:.3f} ({read:.3f} on {other[1]})"


def panels(rows: Sequence[Row], bench: Bench) -> list[dict[str, Any]]:
    """Of the Gaussian the estimates over steps; of images bounds and accuracy."""
    names = {row.candidate for row in rows if row.status == "done"}
    truth = [{"value": TRUE, "words": "true I(X;Y)"}]
    limit = [{"value": APART, "words": "KL(positive || negative), Z shared"}]
    found: list[dict[str, Any]] = []
    if names & set(GAUSSIAN):
        found = [
            _curve("running", f"Gaussian: own batches, over {SMOOTH} steps", truth + limit),
            _curve("iid", "Gaussian: the same critics on fresh i.i.d. batches", truth),
        ]
    if names & set(pictures.COMPANY):
        own = shown.bound_panel(bench) | {
            "measure": "own",
            "also": "nats",
            "title": "Images: bound on the arm's own batches (thin: i.i.d. held-out pairs)",
        }
        found += [own, shown.accuracy_panel(rows), shown.scatter()]
    return found


def _curve(measure: str, title: str, lines: list[dict[str, Any]]) -> dict[str, Any]:
    drawn = {"kind": "curve", "measure": measure, "title": title}
    return drawn | {"unit": "nats", "also": None, "lines": lines}


NEGATIVES = Experiment(
    "negatives",
    "Dependent negatives: what becomes of the bound, and of the features.",
    "What becomes of the bound, and of the features, when negatives are not independent?",
    arms,
    measure,
    claims,
    answer,
    quick=Budget(steps=1_500, every=500, lr=5e-4, seeds=3, probe_images=10_000),
    paper=replace(PAPER, steps=20_000),
    columns=(
        {"key": "own", "words": "own batches", "unit": "nats", "digits": 3},
        {"key": "own_sd", "words": "deviation of one step", "unit": "nats", "digits": 3},
        {"key": "nats", "words": "fresh i.i.d. batches", "unit": "nats", "digits": 3},
        {"key": "shared", "words": "fresh batches that share Z", "unit": "nats", "digits": 3},
        shown.ACCURACY,
        shown.LINEAR,
    ),
    panels=panels,
    notes=(
        f"Once Z is known, the pairs of a batch that shares it are independent: its bounds are of "
        f"I(X;Y|Z) = {GIVEN:.4f} nats, not of I(X;Y). Which of the two is greater differs from "
        "case to case: dependent negatives may raise or lower the number.",
        f"I_NWJ bounds KL(law of a positive pair || law of a negative pair), which is I(X;Y) where "
        f"negatives are independent. Pairs (x_i, y_j) of a batch that shares Z have correlation "
        f"-0.25 where positives have 0.2: it tends to {APART:.4f} nats.",
        "Critics of the Gaussian are read on fresh batches of both kinds, which parts what "
        "dependent batches do to the number from what they do to the critic.",
        "Own batches, Gaussian: the mean of the last quarter of the steps' own readings, each of a "
        "batch that the critic has not seen. Images: fresh batches of training images, made as in "
        "training.",
        "Pairs of image arms are the halves of a window that moves by up to 2 pixels (a fourteenth "
        "of larger images' sides); every image and window is as likely in every arm.",
    ),
)
