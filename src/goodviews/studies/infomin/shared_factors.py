"""Which of the shared factors is learned: clips of a digit on a photograph, and an image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Generator

from goodviews import encoders
from goodviews.data.clips import DrawnBatches
from goodviews.data.moving import AGREEMENTS, FACTORS
from goodviews.estimators.heldout import infonce_values
from goodviews.files import write_atomic
from goodviews.interfaces import Batch, Row, UserError, check_name
from goodviews.layers import evaluating
from goodviews.methods.clips import ClipContrastive, FactorClassifier, clips
from goodviews.studies.claims import RULE, judge
from goodviews.studies.conclude import UNTRAINED
from goodviews.studies.findings import Findings, closed
from goodviews.studies.folder import command_line, disk_guard, environment, open_study, plain
from goodviews.studies.grid import Job, run_grid
from goodviews.studies.infomin import factor_claims
from goodviews.studies.infomin.factor_claims import ARMS, CONSTANT, SUPERVISED
from goodviews.studies.infomin.factor_worlds import (
    MOVING,
    STATIC,
    Readings,
    World,
    contact_sheet,
    open_world,
)
from goodviews.training import TrainSettings, fit, resolve_accelerator, resolve_precision

NAME = "shared-factors"
EPOCH = 50
"""Steps between points of the training curves, at most."""
BLOCKS = 8
"""Batches of held-out pairs that I_NCE is measured on."""


@dataclass(frozen=True)
class Budget:
    """What a run may spend, and how."""

    steps: int
    seeds: int = 3
    batch_size: int = 128
    """Pairs a step, and K."""
    lr: float = 0.01
    optimizer: str = "adam"
    milestones: tuple[float, ...] = ()
    """Parts of the run after which the rate is divided by 10; none: half a cosine."""
    frames: tuple[int, ...] = tuple(range(1, 11))
    target: int = 20
    """The frame that the image agrees with."""
    brightness: float = 1.0
    """Of the photographs."""
    temperature: float = 0.1
    readings: int = 10_000
    """Training images that networks are read out on, and half as many held-out ones."""


QUICK = Budget(300, frames=(1, 4, 7, 10), target=11, brightness=0.4, readings=4_000)
PAPER = Budget(15_600, lr=0.03, optimizer="sgd", milestones=(0.6, 0.8))
"""Tian et al. 2020: SGD 0.03, divided by 10 at epochs 120 and 160 of 200; ours is an epoch of
10,000 clips, 78 steps."""

NOTES = (
    "Clip: frames 1 to 10 of a digit on one crop of a photograph. Image: agrees with frame 20 in "
    "what is shared, everything else is drawn anew. So that few steps suffice, the quick scale "
    "shows every third frame, has the image agree with frame 11, which is told from the motion "
    "sooner than frame 20, and darkens the photographs to 0.4 of their brightness.",
    "To share the digit is to show another image of its class; to share the background, the same "
    "crop of the same photograph. The paper's text leaves both open: --agree digit=image or "
    "background=image or background=class tries the others.",
    "Quick scale: Adam, rate 0.01, half a cosine; paper scale: the paper's SGD. The temperature, "
    "0.1, the strides of the four layers, 2, and linear heads of 64 dimensions are ours.",
    "Position error: mean distance between the digit's centre and what ridge regression tells.",
)


@dataclass(frozen=True)
class Bench:
    """What is the same for every arm."""

    world: World
    readings: Readings
    budget: Budget
    encoder: str
    settings: TrainSettings
    chance: Mapping[str, float] = field(default_factory=dict)

    def measure(self, job: Job) -> Row:
        """The row of one job."""
        row = job.row()
        if job.candidate == CONSTANT:
            row.measures = dict(self.chance)
        elif job.candidate == SUPERVISED:
            row.measures = self.readings.errors(self._supervised(job, row))
        else:
            method = clips(
                self.encoder,
                self.world.shape,
                still=self.world.still,
                seed=job.seed,
                temperature=self.budget.temperature,
            )
            known = {} if job.candidate == UNTRAINED else self._contrast(method, job, row)
            row.measures = self.readings.errors(method) | known
        return row

    def _contrast(self, method: ClipContrastive, job: Job, row: Row) -> dict[str, float]:
        """Train on pairs that share the arm's factors; I_NCE; what they share at most."""
        shared = ARMS[job.candidate]

        def draw(generator: Generator) -> Batch:
            pair = self.world.train.pairs(self.budget.batch_size, shared, generator)
            return Batch(*pair, None, torch.arange(len(pair[0])))

        self._fit(method, draw, job, row)
        row.nats, row.nats_stderr = self._held_out(method, shared)
        row.nats_train = row.curve[-1]["nats_train"]
        row.candidates = self.budget.batch_size
        return {"shared_nats": self.world.test.shared_entropy(shared)}

    def _supervised(self, job: Job, row: Row) -> FactorClassifier:
        known = self.readings.train.factors
        classes = {f: int(known[f].max()) + 1 for f in FACTORS if f != "position"}
        spread = float(known["position"].std())
        method = FactorClassifier(
            self.encoder, self.world.shape, classes, spread=spread, seed=job.seed
        )
        self._fit(method, lambda g: self.world.train.stills(self.budget.batch_size, g), job, row)
        return method

    def _fit(self, method: Any, draw: Callable[[Generator], Any], job: Job, row: Row) -> None:
        batches = DrawnBatches(draw, self.epoch, job.seed)
        result = fit(method, batches, replace(self.settings, seed=job.seed), out=None)
        method.to(resolve_accelerator(self.settings.device))
        row.steps, row.images_per_second = result.steps, result.images_per_second
        for epoch in result.history:
            nats, step = epoch.get("nats_train"), epoch["step"]
            if nats is not None and step is not None:
                row.curve.append({"step": step, "nats_train": nats})

    @property
    def epoch(self) -> int:
        """Steps between points of the curve."""
        return min(EPOCH, self.budget.steps)

    def _held_out(self, method: ClipContrastive, shared: Sequence[str]) -> tuple[float, float]:
        """I_NCE(v1;v2) of held-out pairs in blocks of K, and its standard error, nats."""
        generator, values = Generator().manual_seed(3), []
        with evaluating(method), torch.no_grad():
            for _ in range(BLOCKS):
                pair = self.world.test.pairs(self.budget.batch_size, shared, generator)
                clip, image = (x.to(method.device) for x in pair)
                views = method.views(clip, partners=image)
                scores = method.pair_scores(*views).cpu().double()
                values.append(infonce_values(scores).mean())
        found = torch.stack(values)
        return float(found.mean()), float(found.std() / BLOCKS**0.5)


def shared_factors(
    data: str = MOVING,
    *,
    scale: str = "quick",
    variants: str | Sequence[str] | None = None,
    backgrounds: str | None = None,
    agree: str | None = None,
    encoder: str = "frame-cnn",
    seeds: int | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    max_images: int | None = None,
    data_root: str | None = None,
    download: bool = False,
    strict: bool = False,
    device: str = "auto",
    precision: str = "auto",
    out: str | Path = "goodviews-study",
    echo: Callable[[str], None] = print,
) -> Findings:
    """Where two views share several factors, which are learned?

    A clip and an image share the digit, its position, the background, or several of them; both
    have encoders of their own, trained by intra-batch InfoNCE. Linear readers of the frozen image
    encoder then tell digit, position and background of held-out images whose factors are
    independent (Tian et al. 2020, section 4.2). The same call again goes on where it was.

    Args:
        data: "moving-mnist" (MNIST lies in ``data_root``), "moving-digits" (bundled digits) or
            "factors" (bundled; both views are images).
        scale: "quick" (minutes an arm) or "paper" (its budget).
        variants: names of some arms, a comma list or a sequence; None: all.
        backgrounds: labelled photographs, see :func:`goodviews.data.load`; None: two that are
            bundled.
        agree: what sharing means, for example "digit=image,background=class"; None:
            "digit=class,background=crop".
        encoder: of frames and images.
        seeds: runs an arm; None: the scale's.
        steps: optimiser steps a run; None: the scale's.
        batch_size: pairs a step, and K; None: 128.
        lr: peak rate; None: the scale's.
        max_images: digits, photographs and images to read out on, at most so many of each.
        data_root: folder of torchvision's sets.
        download: whether a set may be downloaded.
        strict: stop at the first unreadable file.
        device: "auto", "cpu", "cuda" or "mps".
        precision: "auto", "32" or "bf16".
        out: folder for rows.jsonl, study.json, table.md, pairs.png and report.html.
        echo: gets the lines of progress.

    Returns:
        The rows, and what was concluded.

    Raises:
        UserError: for data, names or settings that cannot work, before the first run.
    """
    given = dict(locals())
    check_name("--scale", scale, ("quick", "paper"))
    own = {"seeds": seeds, "steps": steps, "batch_size": batch_size, "lr": lr}
    budget = budget_of(scale, data, own)
    if max_images is not None:
        budget = replace(budget, readings=min(budget.readings, max_images))
    names = chosen(variants)
    reading = {"data_root": data_root, "download": download, "strict": strict}
    world = open_world(
        data,
        backgrounds,
        budget.frames,
        agreement(agree),
        budget.target,
        budget.brightness,
        max_images=max_images,
        **reading,
    )
    encoders.build(encoder, world.shape[0], world.shape[1:])  # a name that is not known
    resolve_precision(precision, resolve_accelerator(device))
    bench = bench_of(world, budget, encoder, device, precision)
    settings = plain(
        {
            "study": NAME,
            "data": data,
            "scale": scale,
            "encoder": encoder,
            "precision": precision,
            "max_images": max_images,
            **world.report,
            **{k: v for k, v in asdict(budget).items() if k != "seeds"},
        }
    )
    with disk_guard(out):
        folder = open_study(Path(out), settings)
        sheet = contact_sheet(world, {n: ARMS[n] for n in names if n in ARMS} or ARMS)
        write_atomic(folder / "pairs.png", lambda p: sheet.image.save(p, format="PNG"))
        echo(
            f"plan: {len(names)} arms, {budget.seeds} seeds each, {budget.steps} steps of "
            f"{budget.batch_size} pairs; pairs: {folder / 'pairs.png'}"
        )
        rows = run_grid(
            plan(names, budget.seeds), bench.measure, folder / "rows.jsonl", settings, echo
        )
        command = command_line(f"study {NAME}", shared_factors, given)
        return closed(rows, record(rows, names, bench, scale, command, settings), folder, echo)


def budget_of(scale: str, data: str, own: Mapping[str, float | None]) -> Budget:
    """The scale's budget with the user's own numbers.

    Raises:
        UserError: for a number too small to work.
    """
    base = QUICK if scale == "quick" else PAPER
    if data == STATIC:  # images: no frames, and digits that stand out already
        base = replace(base, frames=(1,), target=1, brightness=1.0)
    least = {"seeds": 1, "steps": 1, "batch_size": 2, "lr": 1e-12}
    ours: dict[str, Any] = {name: value for name, value in own.items() if value is not None}
    for name, value in ours.items():
        if value < least[name]:
            flag = name.replace("_", "-")
            raise UserError(f"--{flag}: {value} is too small. Use at least {least[name]}.")
    return replace(base, **ours)


def agreement(text: str | None) -> dict[str, str]:
    """What sharing a factor means, of words such as "digit=image".

    Raises:
        UserError: for what is no such word.

    Example:
        >>> agreement("background=class")
        {'background': 'class'}
    """
    found = {}
    for part in (text or "").split(","):
        factor, _, way = part.strip().partition("=")
        if factor:
            check_name("--agree", factor, AGREEMENTS)
            check_name(f"--agree {factor}=", way, AGREEMENTS[factor])
            found[factor] = way
    return found


def chosen(variants: str | Sequence[str] | None) -> list[str]:
    """The arms of these names, in the study's order; the untrained network is always run.

    Raises:
        UserError: for an unknown name.
    """
    every = [*ARMS, SUPERVISED, UNTRAINED]
    if variants is None:
        return every
    texts = variants.split(",") if isinstance(variants, str) else variants
    names = [text.strip() for text in texts if text.strip()]
    for name in names:
        check_name("--variants", name, every)
    return [name for name in every if name in names or name == UNTRAINED]


def bench_of(world: World, budget: Budget, encoder: str, device: str, precision: str) -> Bench:
    """What all arms have in common."""
    epochs = budget.steps / min(EPOCH, budget.steps)
    settings = TrainSettings(
        steps=budget.steps,
        batch_size=budget.batch_size,
        lr=budget.lr,
        optimizer=budget.optimizer,  # type: ignore[arg-type]
        warmup_steps=min(20, budget.steps // 10),
        schedule="steps" if budget.milestones else "cosine",
        milestones=tuple(round(part * epochs) for part in budget.milestones),
        decay=0.1,
        device=device,
        precision=precision,
        evaluate_every=0,
        log=(),
    ).check()
    readings = Readings.of(world, budget.readings)
    return Bench(world, readings, budget, encoder, settings, readings.constant())


def plan(names: Sequence[str], seeds: int) -> list[Job]:
    """The jobs, seed by seed; the constant answer once."""
    return [Job(CONSTANT, 0, "baseline")] + [
        Job(name, seed) for seed in range(seeds) for name in names
    ]


def record(
    rows: Sequence[Row],
    names: Sequence[str],
    bench: Bench,
    scale: str,
    command: str,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """What study.json holds and the page reads."""
    judged = judge(rows, factor_claims.claims(names, bench.chance, bench.world.easy))
    near = f"{100 * factor_claims.NEAR:.0f} %"
    return {
        "study": NAME,
        "kind": "experiment",
        "question": f"Where views share several factors, which are learned? ({bench.world.name})",
        "answer": factor_claims.answer(rows, judged),
        "arms": factor_claims.described(names, not bench.world.still),
        "columns": factor_claims.columns(),
        "panels": factor_claims.panels(bench.chance),
        "sheets": {"clips, and the image that agrees in what is shared": "pairs.png"},
        "claims": judged,
        "reference": CONSTANT,
        "rule": f"{RULE} Near chance: an error at most {near} below that of the constant answer.",
        "scale": scale,
        "notes": [*NOTES, *factor_claims.easy_note(bench.world.easy)],
        "command": command,
        "seeds": bench.budget.seeds,
        "K": bench.budget.batch_size,
        "data": bench.world.report,
        "environment": environment(),
        "settings": settings,
    }
