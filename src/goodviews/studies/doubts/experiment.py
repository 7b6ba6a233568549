"""An experiment of the paper as a study: arms, seeds, rows, claims, a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from goodviews import data as data_room
from goodviews.data import Loaded
from goodviews.interfaces import Row, UserError, check_name
from goodviews.report.study import read_rows
from goodviews.studies.claims import RULE, Claim, judge
from goodviews.studies.conclude import RAW
from goodviews.studies.doubts.arms import Arm
from goodviews.studies.doubts.bench import Bench, Budget
from goodviews.studies.doubts.halves import HalfImages
from goodviews.studies.findings import Findings, closed
from goodviews.studies.folder import (
    command_line,
    data_lines,
    disk_guard,
    environment,
    open_study,
    plain,
)
from goodviews.studies.grid import Job, run_groups
from goodviews.training import resolve_accelerator, resolve_precision

PAPER = Budget()
"""Tschannen et al. 2019, section 3: 20 runs of 21,000 steps, Adam 1e-4, batches of 128."""

PAPER_DATA = "mnist"
"""What the paper's numbers are of; beside other data's they would mislead."""
NOISES = ("shared", "independent", "none")


@dataclass(frozen=True)
class Experiment:
    """What makes one experiment; :meth:`__call__` runs it."""

    name: str
    summary: str
    """One line for ``goodviews list studies``."""
    question: str
    arms: Callable[[bool], Sequence[Arm]]
    """Whether it is the quick scale -> its arms."""
    measure: Callable[[Sequence[Job], Arm, Bench], list[Row]]
    """The rows of one arm's seeds."""
    claims: Callable[[Sequence[str]], Sequence[Claim]]
    """Names of the arms that were run -> what must be seen."""
    answer: Callable[[Sequence[Row], Sequence[dict[str, Any]]], str]
    """Rows and judged claims -> one or two sentences."""
    quick: Budget
    paper: Budget = PAPER
    columns: Sequence[dict[str, Any]] = ()
    panels: Callable[[Sequence[Row], Bench], Sequence[dict[str, Any]]] = lambda rows, bench: ()
    noise: float = 0.0
    """Deviation of the noise on the pixels (0: the switch --noise does nothing)."""
    pixels: bool = True
    """Whether raw pixels are a baseline."""
    notes: Sequence[str] = field(default_factory=tuple)

    def __call__(
        self,
        data: str = "mnist",
        *,
        scale: str = "quick",
        variants: str | Sequence[str] | None = None,
        seeds: int | None = None,
        steps: int | None = None,
        looks: int | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        noise: str = "shared",
        labels: str | None = None,
        image_size: int | None = None,
        max_images: int | None = None,
        data_root: str | None = None,
        download: bool = False,
        strict: bool = False,
        device: str = "auto",
        precision: str = "auto",
        out: str | Path = "goodviews-study",
        echo: Callable[[str], None] = print,
    ) -> Findings:
        """Run the experiment; the same call again goes on where it was.

        Args:
            data: labelled images, see :func:`goodviews.data.load`.
            scale: "quick" (minutes) or "paper" (its budget).
            variants: names of some arms, a comma list or a sequence; None: all.
            seeds: runs an arm; None: the scale's.
            steps: optimiser steps a run; None: the scale's.
            looks: how often bound and accuracy are measured after the start; None: the scale's.
            batch_size: pairs a step, and K; None: 128.
            lr: of Adam; None: the scale's.
            noise: where the experiment adds noise: "shared" by both halves (as in the authors'
                code), "independent", or "none".
            labels: see :func:`goodviews.data.load`.
            image_size: side the images are brought to.
            max_images: training images at most, and a quarter as many held-out ones; None: all.
            data_root: folder of torchvision's sets.
            download: whether a set may be downloaded.
            strict: stop at the first unreadable file.
            device: "auto", "cpu", "cuda" or "mps".
            precision: "auto", "32" or "bf16" (of the encoders' matrix products).
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
        check_name("--noise", noise, NOISES)
        budget = self.budget(scale, seeds, steps, looks, batch_size, lr)
        chosen = self.chosen(variants, scale)
        loaded = data_room.load(
            data,
            labels=labels,
            data_root=data_root,
            download=download,
            image_size=image_size,
            strict=strict,
            max_images=max_images,
        )
        bench = self.bench(loaded, budget, scale, noise, device, precision, Path(out), echo)
        settings = self.settings(data, labels, loaded, bench, scale)
        with disk_guard(out):
            folder = open_study(Path(out), settings)
            jobs = self.jobs(chosen, budget.seeds, folder / "rows.jsonl")
            named = {arm.name: arm for arm in self.arms(bench.quick)}
            for line in data_lines(loaded, folder):
                echo(line)
            echo(
                f"plan: {len(chosen)} arms, {budget.seeds} seeds each, {budget.steps} steps of "
                f"{budget.batch_size} pairs"
            )

            def measured(group: Sequence[Job]) -> list[Row]:
                if group[0].candidate == RAW:
                    return [bench.raw_pixels(group[0])]
                echo(f"{group[0].candidate}, {len(group)} seeds:")
                return self.measure(group, named[group[0].candidate], bench)

            rows = run_groups(jobs, measured, folder / "rows.jsonl", settings, echo)
            for path in bench.folder.glob("*.pt"):
                path.unlink()  # every row is safe
            command = command_line(f"study {self.name}", self.__call__, given)
            run = [
                named[name] for name in dict.fromkeys(j.candidate for j in jobs) if name in named
            ]
            record = self.record(rows, run, bench, loaded, scale, command, settings)
            return closed(rows, record, folder, echo)

    def jobs(self, chosen: Sequence[Arm], seeds: int, path: Path) -> list[Job]:
        """The runs asked for, and those that the folder holds already: nothing made is dropped."""
        held = {(row.candidate, row.seed) for row in read_rows(path)} if path.exists() else set()
        held |= {(arm.name, seed) for arm in chosen for seed in range(seeds)}
        order = [arm.name for quick in (True, False) for arm in self.arms(quick)]
        wanted = sorted(
            (run for run in held if run[0] in order), key=lambda r: (order.index(r[0]), r[1])
        )
        baseline = [Job(RAW, 0, "baseline")] if self.pixels else []
        return baseline + [Job(*run) for run in wanted]

    def budget(
        self,
        scale: str,
        seeds: int | None,
        steps: int | None,
        looks: int | None,
        batch_size: int | None,
        lr: float | None,
    ) -> Budget:
        """The scale's budget with the user's own numbers.

        Raises:
            UserError: for a number too small to work.
        """
        own = self.quick if scale == "quick" else self.paper
        given = {"seeds": seeds, "steps": steps, "batch_size": batch_size, "lr": lr}
        ours: dict[str, Any] = {name: v for name, v in given.items() if v is not None}
        least = {"seeds": 1, "steps": 1, "batch_size": 2, "lr": 1e-12}
        for name, value in ours.items():
            if value < least[name]:
                flag = name.replace("_", "-")
                raise UserError(f"--{flag}: {value} is too small. Use at least {least[name]}.")
        budget = replace(own, **ours)
        count = own.steps / own.every if looks is None else looks
        if count < 1:
            raise UserError(f"--looks: {looks} is too few. Use at least 1.")
        return replace(budget, every=max(1, round(budget.steps / count)))

    def chosen(self, variants: str | Sequence[str] | None, scale: str) -> list[Arm]:
        """The arms of these names, in the experiment's order.

        Raises:
            UserError: for an unknown name.
        """
        every = list(self.arms(scale == "quick"))
        if variants is None:
            return every
        texts = variants.split(",") if isinstance(variants, str) else variants
        names = [text.strip() for text in texts if text.strip()]
        for name in names:
            check_name("--variants", name, [arm.name for arm in every])
        return [arm for arm in every if arm.name in names]

    def bench(
        self,
        loaded: Loaded,
        budget: Budget,
        scale: str,
        noise: str,
        device: str,
        precision: str,
        out: Path,
        echo: Callable[[str], None],
    ) -> Bench:
        """What all arms have in common."""
        accelerator = resolve_accelerator(device)
        halves = HalfImages.of(loaded, accelerator)
        least = min(len(halves.train), len(halves.test))
        if least < 2:
            raise UserError(f"--data: {least} images of a split are too few. Use at least 2.")
        return Bench(
            halves,
            replace(budget, batch_size=min(budget.batch_size, least)),
            out / "unfinished",
            quick=scale == "quick",
            noise=0.0 if noise == "none" else self.noise,
            shared_noise=noise == "shared",
            bf16=resolve_precision(precision, accelerator).startswith("bf16"),
            device=accelerator,
            echo=echo,
        )

    def settings(
        self, data: str, labels: str | None, loaded: Loaded, bench: Bench, scale: str
    ) -> dict[str, Any]:
        """What every row is made with."""
        limits = {k: v for k, v in asdict(bench.budget).items() if k != "seeds"}
        found: dict[str, Any] = plain(
            {
                "study": self.name,
                "data": str(data),
                "labels": labels,
                "scale": scale,
                "image_shape": list(bench.halves.train.shape[1:]),
                "n_train": len(loaded.train),
                "n_test": len(loaded.test),
                "precision": "bf16" if bench.bf16 else "32",
                "noise": bench.noise,
                "shared_noise": bench.shared_noise,
                **limits,
            }
        )
        return found

    def record(
        self,
        rows: Sequence[Row],
        chosen: Sequence[Arm],
        bench: Bench,
        loaded: Loaded,
        scale: str,
        command: str,
        settings: dict[str, Any],
    ) -> dict[str, Any]:
        """What study.json holds and the page reads."""
        own = loaded.name == PAPER_DATA
        asked = self.claims([arm.name for arm in chosen])
        claims = judge(rows, [claim for claim in asked if own or not claim.only_paper])
        arms = [arm.plain() for arm in chosen]
        if not own:
            arms = [{**arm, "paper": {}} for arm in arms]
            told = [claim["paper"] and f"{claim['paper']} ({PAPER_DATA})" for claim in claims]
            claims = [{**c, "paper": paper} for c, paper in zip(claims, told, strict=True)]
        return {
            "study": self.name,
            "kind": "experiment",
            "question": f"{self.question} ({loaded.name})",
            "answer": self.answer(rows, claims),
            "arms": arms,
            "x": "training steps",
            "columns": list(self.columns),
            "panels": list(self.panels(rows, bench)),
            "claims": claims,
            "reference": RAW if self.pixels else None,
            "rule": RULE,
            "scale": scale,
            "shortened": self.shortened(bench.budget) if scale == "paper" else "",
            "notes": list(self.notes),
            "command": command,
            "seeds": bench.budget.seeds,
            "K": bench.budget.batch_size,
            "data": loaded.report,
            "environment": environment(),
            "settings": settings,
        }

    def shortened(self, budget: Budget) -> str:
        """Where a run at the paper's scale differs from the paper's budget, in words."""
        names = {"steps": "steps", "seeds": "seeds", "lr": "learning rate", "batch_size": "batch"}
        return ", ".join(
            f"{words} {getattr(budget, name):g} instead of {getattr(self.paper, name):g}"
            for name, words in names.items()
            if getattr(budget, name) != getattr(self.paper, name)
        )
