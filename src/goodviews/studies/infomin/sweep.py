"""A dial of views as a study: an encoder a value, what its views share, what a task keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from goodviews import data as data_room
from goodviews import encoders
from goodviews.data import Loaded
from goodviews.data.selection import Selection
from goodviews.interfaces import Row, Shape, UserError, check_name
from goodviews.methods import METHODS, ViewMethod
from goodviews.studies.budgets import Budget
from goodviews.studies.claims import RULE, Claim, judge
from goodviews.studies.conclude import RAW, UNTRAINED
from goodviews.studies.findings import Findings, closed
from goodviews.studies.folder import (
    command_line,
    data_lines,
    disk_guard,
    environment,
    open_study,
    plain,
)
from goodviews.studies.grid import Job, run_grid
from goodviews.studies.infomin import read
from goodviews.studies.infomin.transfer import TransferBench, named_sets
from goodviews.studies.strips import draw_strips
from goodviews.training import TrainSettings, resolve_accelerator, resolve_precision
from goodviews.views import Recipe

Echo = Callable[[str], None]
CROWD = 512
"""Places of a small set in the held-out bound, where its images are taken several times."""


@dataclass(frozen=True)
class Scale:
    """What a run may spend."""

    seeds: int = 3
    steps: int = 400
    batch_size: int = 256
    lr: float = 2e-3
    candidates: int = 256
    """K of the held-out bound."""
    probe_images: int = 10_000
    encoder: str = "convnet"
    max_images: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the method."""


@dataclass(frozen=True)
class Point:
    """One value of a dial: its recipe and, where known, what the paper reports there."""

    recipe: Recipe
    value: float | str
    words: str = ""
    group: str = ""
    paper: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The candidate's name."""
        return self.recipe.name


@dataclass(frozen=True)
class Sweep:
    """What makes one sweep; :meth:`__call__` runs it."""

    name: str
    summary: str
    """One line for ``goodviews list studies``."""
    question: str
    dial: str
    """Words of the dial's axis."""
    points: Callable[[Loaded], Sequence[Point]]
    """The data -> the candidate views, from the most to the least shared where that is known."""
    claims: Callable[[Sequence[str], Sequence[str]], Sequence[Claim]]
    """Names of the points that were run, measures of accuracy -> what must be seen."""
    shapes: Callable[[Sequence[Row], Sequence[str], str], Sequence[dict[str, Any]]] = (
        lambda rows, names, measure: ()
    )
    """Rows, names of the points, a measure -> judged statements about the whole curve."""
    quick: Scale = Scale()
    paper: Scale = Scale(steps=20_000)
    method: str = "infonce"
    joined: bool = True
    """Whether the dial has an order."""
    patches: bool = False
    """Whether each image gives many pairs, and is taken several times where there are few."""
    image_size: int | None = None
    segments: bool = False
    """Whether a set with a label for each pixel may be segmented."""
    notes: Sequence[str] = ()

    def __call__(
        self,
        data: str = "cifar10",
        *,
        scale: str = "quick",
        variants: str | Sequence[str] | None = None,
        transfer: str | Sequence[str] | None = None,
        segmentation: str | None = None,
        encoder: str | None = None,
        seeds: int | None = None,
        steps: int | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        labels: str | None = None,
        image_size: int | None = None,
        max_images: int | None = None,
        data_root: str | None = None,
        download: bool = False,
        strict: bool = False,
        device: str = "auto",
        precision: str = "auto",
        out: str | Path = "goodviews-study",
        echo: Echo = print,
    ) -> Findings:
        """Run the sweep; the same call again goes on where it was.

        Args:
            data: images to make views of, see :func:`goodviews.data.load`.
            scale: "quick" (minutes a point) or "paper".
            variants: names of some points, a comma list or a sequence; None: all.
            transfer: labelled sets that the frozen encoders are probed on too, a comma list.
            segmentation: folder of photographs with a label for each pixel (color-spaces).
            encoder: name for :func:`goodviews.encoders.build`; None: the scale's.
            seeds: runs a point; None: the scale's.
            steps: optimiser steps a run; None: the scale's.
            batch_size: pairs a step; None: the scale's.
            lr: of AdamW; None: the scale's.
            labels: see :func:`goodviews.data.load`.
            image_size: side the images are brought to; None: the study's own, or as they are.
            max_images: training images at most, and a quarter as many held-out ones.
            data_root: folder of torchvision's sets.
            download: whether a set may be downloaded.
            strict: stop at the first unreadable file.
            device: "auto", "cpu", "cuda" or "mps".
            precision: "auto", "32" or "bf16".
            out: folder for rows.jsonl, study.json, table.md and report.html.
            echo: gets the lines of progress.

        Returns:
            The rows, and what was concluded.

        Raises:
            UserError: for data, names or settings that cannot work, before the first run.
        """
        given = dict(locals())
        given.pop("self")
        check_name("--scale", scale, ("quick", "paper"))
        if segmentation is not None and not self.segments:
            raise UserError(f"--segmentation: {self.name} has no such option. Use color-spaces.")
        own = {"seeds": seeds, "steps": steps, "batch_size": batch_size, "lr": lr}
        budget = self.budget(scale, encoder, max_images, own)
        reading: dict[str, Any] = {
            "data_root": data_root,
            "download": download,
            "strict": strict,
        }
        loaded = data_room.load(
            data,
            labels=labels,
            image_size=image_size or self.image_size,
            max_images=budget.max_images,
            **reading,
        )
        points = self.chosen(loaded, variants)
        view = points[0].recipe.build(loaded.train.shape).shapes(loaded.train.shape)[0]
        others = named_sets(transfer, view, reading, budget.probe_images)
        labelled = loaded.train.labels is not None and loaded.test.labels is not None
        if not (labelled and not self.patches) and not others and segmentation is None:
            raise UserError(
                f"--transfer: {loaded.name} gives no labels for whole images to probe. "
                "Name a labelled set, for example --transfer cifar10."
            )
        bench = self.bench(loaded, budget, others, segmentation, device, precision)
        settings = self.settings(data, labels, bench, scale, budget.options)
        with disk_guard(out):
            folder = open_study(Path(out), settings)
            for line in data_lines(loaded, folder):
                echo(line)
            jobs = self.jobs(points, budget.seeds)
            echo(
                f"plan: {len(points)} points, {budget.seeds} seeds each, {budget.steps} steps of "
                f"{bench.settings.batch_size} pairs, K = {bench.budget.candidates}"
            )
            draw_strips(folder, jobs, loaded)
            rows = run_grid(jobs, bench.measure, folder / "rows.jsonl", settings, echo)
            command = command_line(f"study {self.name}", self.__call__, given)
            record = self.record(rows, points, bench, scale, command, settings)
            return closed(rows, record, folder, echo)

    def budget(
        self, scale: str, encoder: str | None, max_images: int | None, own: Mapping[str, Any]
    ) -> Scale:
        """The scale with the user's own numbers.

        Raises:
            UserError: for a number too small to work.
        """
        given = {name: value for name, value in own.items() if value is not None}
        least = {"seeds": 1, "steps": 1, "batch_size": 2, "lr": 1e-12}
        for name, value in given.items():
            if value < least[name]:
                flag = name.replace("_", "-")
                raise UserError(f"--{flag}: {value} is too small. Use at least {least[name]}.")
        base = self.quick if scale == "quick" else self.paper
        return replace(
            base,
            encoder=encoder or base.encoder,
            max_images=max_images or base.max_images,
            **given,
        )

    def chosen(self, loaded: Loaded, variants: str | Sequence[str] | None) -> list[Point]:
        """The points of these names or values, in the study's order.

        Raises:
            UserError: for an unknown one.
        """
        every = list(self.points(loaded))
        if variants is None:
            return every
        texts = variants.split(",") if isinstance(variants, str) else variants
        names = [text.strip() for text in texts if text.strip()]
        by_value = {str(point.value): point.name for point in every}
        names = [by_value.get(name, name) for name in names]
        for name in names:
            check_name("--variants", name, [point.name for point in every])
        return [point for point in every if point.name in names]

    def jobs(self, points: Sequence[Point], seeds: int) -> list[Job]:
        """Baselines and points, seed by seed."""
        none = plain(Recipe.load("none").to_dict())
        jobs = [Job(RAW, 0, "baseline", recipe=none)]
        for seed in range(seeds):
            first = plain(points[0].recipe.to_dict())
            jobs.append(Job(UNTRAINED, seed, "baseline", recipe=first))
            jobs += [
                Job(
                    p.name,
                    seed,
                    "candidate",
                    self.name,
                    self.dial,
                    p.value,
                    plain(p.recipe.to_dict()),
                )
                for p in points
            ]
        return jobs

    def bench(
        self,
        loaded: Loaded,
        scale: Scale,
        others: Mapping[str, Loaded],
        segmentation: str | None,
        device: str,
        precision: str,
    ) -> TransferBench:
        """What all points have in common.

        Raises:
            UserError: too few images, an unknown encoder or device.
        """
        if len(loaded.train) < 8 or len(loaded.test) < 4:
            raise UserError(
                f"--data: {len(loaded.train)} training and {len(loaded.test)} held-out images are "
                "too few. Use at least 8 and 4."
            )
        seen = loaded
        if self.patches:
            count = scale.batch_size * min(scale.steps, 50)  # an epoch
            train = Selection.at_least(loaded.train, count)
            seen = replace(loaded, train=train, test=Selection.at_least(loaded.test, CROWD))
        labelled = not self.patches and loaded.train.labels is not None
        resolve_precision(precision, resolve_accelerator(device))
        settings = TrainSettings(
            steps=scale.steps,
            batch_size=min(scale.batch_size, len(seen.train)),
            lr=scale.lr,
            device=device,
            precision=precision,
            evaluate_every=0,
            log=(),
        ).check()
        return TransferBench(
            seen,
            _spent(scale, seen),
            lambda job: self.made(job, scale, seen),
            settings,
            labelled and loaded.test.labels is not None,
            others=others,
            segmentation=segmentation,
        )

    def made(self, job: Job, scale: Scale, loaded: Loaded) -> ViewMethod:
        """The untrained method of a job."""
        shape: Shape = loaded.train.shape
        views = Recipe.from_dict(job.recipe).build(shape)
        encoders.build(scale.encoder, shape[0], shape[1:])  # a name that is not known
        return METHODS[self.method](views, scale.encoder, shape, seed=job.seed, **scale.options)

    def settings(
        self,
        data: str,
        labels: str | None,
        bench: TransferBench,
        scale: str,
        options: Mapping[str, Any],
    ) -> dict[str, Any]:
        """What every row is made with."""
        limits = {k: v for k, v in asdict(bench.budget).items() if k not in ("seeds", "families")}
        found: dict[str, Any] = plain(
            {
                "study": self.name,
                "data": str(data),
                "labels": labels,
                "scale": scale,
                "method": self.method,
                **options,
                "lr": bench.settings.lr,
                "image_shape": list(bench.loaded.train.shape),
                "n_train": len(bench.loaded.train),
                "n_test": len(bench.loaded.test),
                "transfer": list(bench.others),
                "segmentation": bench.segmentation,
                "precision": bench.settings.precision,
                **limits,
            }
        )
        return found

    def record(
        self,
        rows: Sequence[Row],
        points: Sequence[Point],
        bench: TransferBench,
        scale: str,
        command: str,
        settings: dict[str, Any],
    ) -> dict[str, Any]:
        """What study.json holds and the page reads."""
        measures, names = bench.measures(), [point.name for point in points]
        claims = judge(rows, self.claims(names, list(measures)))
        for measure in measures:
            claims += self.shapes(rows, names, measure)
        return {
            "study": self.name,
            "kind": "experiment",
            "question": f"{self.question} ({bench.loaded.name})",
            "answer": read.answer(rows, names, measures, claims),
            "arms": [
                {
                    "name": point.name,
                    "words": point.words,
                    "group": point.group or self.name,
                    "value": point.value,
                    "paper": dict(point.paper),
                }
                for point in points
            ],
            "columns": read.columns(measures),
            "panels": read.panels(rows, measures, self.dial, self.joined),
            "claims": claims,
            "rule": f"{RULE} {read.RULE}",
            "scale": scale,
            "notes": list(self.notes),
            "command": command,
            "seeds": bench.budget.seeds,
            "K": bench.budget.candidates,
            "data": bench.loaded.report,
            "environment": environment(),
            "settings": settings,
        }


def _spent(scale: Scale, loaded: Loaded) -> Budget:
    """The scale as the budget of a :class:`goodviews.studies.measure.Bench`."""
    return Budget(
        seeds=scale.seeds,
        steps=scale.steps,
        batch_size=min(scale.batch_size, len(loaded.train)),
        max_images=scale.max_images,
        candidates=min(scale.candidates, len(loaded.test), len(loaded.train)),
        probe_images=min(scale.probe_images, len(loaded.train)),
        few=0,
        encoder=scale.encoder,
        values="standard",
    )
