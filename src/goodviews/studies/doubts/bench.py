"""Trains the seeds of an arm together and measures them: bounds, accuracy, geometry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor
from torch.func import vmap

from goodviews.bounds import BOUNDS
from goodviews.evaluation.geometry import alignment, rankme, uniformity
from goodviews.evaluation.probes import linear_probe
from goodviews.evaluation.saga import saga_probe
from goodviews.interfaces import Row
from goodviews.layers import Stacked, evaluating
from goodviews.methods.method import step_generator
from goodviews.methods.pair import StackedPair
from goodviews.studies.conclude import RAW
from goodviews.studies.doubts.arms import Arm
from goodviews.studies.doubts.halves import HalfImages, noisy
from goodviews.studies.grid import Job
from goodviews.training.ensemble import Records, climb

Losses = Callable[[StackedPair, Tensor, Tensor], Tensor]
"""The pair and z1, z2 (E, n, d) -> losses (E,)."""
Batches = Callable[[int], tuple[Tensor, Tensor]]
"""Step -> views x1, x2 (E, n, c, h, w)."""
Look = Callable[[StackedPair], list[dict[str, float]]]
"""What an experiment measures besides, one dict a seed."""

TRAIN_BATCHES = 20
"""Fresh training batches that the second column of bounds is a mean over, as in the notebook."""


@dataclass(frozen=True)
class Budget:
    """What a run may spend."""

    steps: int = 21_000
    every: int = 1_000
    """Steps between looks."""
    lr: float = 1e-4
    batch_size: int = 128
    seeds: int = 20
    probe_images: int | None = None
    """Labelled images the probes read; None: all."""


@dataclass
class Bench:
    """What is the same for every arm of an experiment."""

    halves: HalfImages
    budget: Budget
    folder: Path
    """Where runs that are under way are kept."""
    quick: bool = True
    noise: float = 0.0
    """Deviation of the noise on the pixels."""
    shared_noise: bool = True
    """Whether both halves get the same noise (the notebook) or each its own."""
    bf16: bool = False
    device: str = "cpu"
    echo: Callable[[str], None] = lambda line: None

    def autocast(self) -> torch.autocast:
        """Matrix products in bf16, where that was asked for; weights stay float32."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.bf16)

    # --- views

    def views_of(self, images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Both halves of uint8 images (..., c, h, w), with the experiment's noise."""
        x1, x2 = self.halves.views(images)
        if self.shared_noise and self.noise and x1.shape == x2.shape:
            noise = noisy(torch.zeros_like(x1), self.noise, generator)
            return x1 + noise, x2 + noise
        return noisy(x1, self.noise, generator), noisy(x2, self.noise, generator)

    def batches(self, seeds: Sequence[int]) -> Batches:
        """The views of each step, each seed its own images: a function of (seed, step)."""

        def draw(step: int) -> tuple[Tensor, Tensor]:
            images = self.halves.batch(seeds, step, self.budget.batch_size)
            if not self.noise:
                return self.halves.views(images)
            own = (
                self.views_of(x, step_generator(s, step))
                for x, s in zip(images, seeds, strict=True)
            )
            x1, x2 = map(torch.stack, zip(*own, strict=True))
            return x1, x2

        return draw

    # --- training

    def train(
        self,
        jobs: Sequence[Job],
        pair: StackedPair,
        losses: Losses,
        bound: str = "infonce",
        *,
        batches: Batches | None = None,
        besides: Look | None = None,
        lr: float | None = None,
    ) -> list[Row]:
        """Adam on the sum of the seeds' losses; looks; the rows of ``jobs``.

        Args:
            jobs: of one arm; their seeds are trained together.
            pair: untrained, one member a job.
            losses: what is minimised.
            bound: that the looks measure, of :data:`goodviews.bounds.BOUNDS`.
            batches: None: halves of random images.
            besides: further numbers of a look.
            lr: None: the budget's.
        """
        pair.to(self.device)
        seeds = [job.seed for job in jobs]
        draw = batches or self.batches(seeds)
        rate = self.budget.lr if lr is None else lr
        adam = torch.optim.Adam(pair.parameters(), lr=rate, fused=True)

        def advance(step: int) -> None:
            x1, x2 = draw(step)
            with self.autocast():
                z1, z2 = pair.encode(x1, x2)
            loss = losses(pair, z1, z2).sum()
            adam.zero_grad()
            loss.backward()
            adam.step()

        def look(step: int) -> list[dict[str, float]]:
            return self.look(pair, bound, seeds, step, besides)

        state = {"pair": pair, "adam": adam}
        records = self.climb(jobs, advance, look, state)
        return self.rows(jobs, pair.g1, records, pair)

    def climb(
        self,
        jobs: Sequence[Job],
        advance: Callable[[int], None],
        look: Callable[[int], list[dict[str, float]]],
        state: dict[str, object],
        steps: int | None = None,
        every: int | None = None,
    ) -> Records:
        """:func:`goodviews.training.ensemble.climb` with this budget, resumable."""
        seeds = "-".join(str(job.seed) for job in jobs)
        name = "".join(c if c.isalnum() else "-" for c in f"{jobs[0].candidate} {seeds}")
        return climb(
            advance,
            look,
            state,  # type: ignore[arg-type]
            steps=steps or self.budget.steps,
            every=every or self.budget.every,
            checkpoint=self.folder / f"{name}.pt",
            echo=self.echo,
        )

    # --- measuring

    def look(
        self,
        pair: StackedPair,
        bound: str,
        seeds: Sequence[int],
        step: int,
        besides: Look | None = None,
    ) -> list[dict[str, float]]:
        """Held-out and training bound, accuracy by the paper's probe, and what is asked besides."""
        with torch.no_grad(), evaluating(pair):
            held, error = self.held_out(pair, bound)
            seen = self.on_training(pair, bound, seeds, step)
            accuracy = self.accuracy(pair.g1)
            more = besides(pair) if besides else [{} for _ in seeds]
        numbers = zip(held, error, seen, accuracy, more, strict=True)
        return [
            {"nats": a, "nats_stderr": b, "nats_train": c, "accuracy": d, **e}
            for a, b, c, d, e in numbers
        ]

    def held_out(self, pair: StackedPair, bound: str) -> tuple[list[float], list[float]]:
        """The bound on held-out pairs and its standard error, nats: blocks of K pairs."""
        k, test = self.budget.batch_size, self.halves.test
        generator = torch.Generator().manual_seed(0)
        images = test[: max(1, len(test) // k) * k].split(k)
        values = torch.stack(
            [self._bound(pair, bound, *self.views_of(block, generator)) for block in images]
        )
        error = values.std(0) / len(values) ** 0.5 if len(values) > 1 else 0 * values[0]
        return values.mean(0).tolist(), error.tolist()

    def on_training(
        self, pair: StackedPair, bound: str, seeds: Sequence[int], step: int
    ) -> list[float]:
        """The bound on random training batches: the notebook's "test" value."""
        generator = torch.Generator().manual_seed(step)
        n, k = len(self.halves.train), min(self.budget.batch_size, len(self.halves.train))
        values = []
        for _ in range(TRAIN_BATCHES):
            rows = torch.randperm(n, generator=generator)[:k]
            x = self.views_of(self.halves.train[rows.to(self.halves.train.device)], generator)
            values.append(self._bound(pair, bound, *x))
        return torch.stack(values).mean(0).tolist()

    def _bound(self, pair: StackedPair, bound: str, x1: Tensor, x2: Tensor) -> Tensor:
        """The bound (E,) of one block of views (n, c, h, w), the same for all seeds."""
        every = [x.expand(pair.count, *x.shape) for x in (x1, x2)]
        with self.autocast():
            z1, z2 = pair.encode(*every)
        return vmap(BOUNDS[bound].function)(pair.scores(z1, z2))

    def codes(self, encoder: Stacked, images: Tensor) -> Tensor:
        """g1 of the (noisy) top halves of uint8 images: float32 on the CPU, (E, n, d)."""
        generator = torch.Generator().manual_seed(1)
        found = []
        with torch.no_grad(), evaluating(encoder), self.autocast():
            for part in images.split(1024):
                x = noisy(self.halves.views(part)[0], self.noise, generator)
                found.append(encoder(x.expand(encoder.count, *x.shape)).float().cpu())
        return torch.cat(found, 1)

    def accuracy(self, encoder: Stacked) -> list[float]:
        """The paper's probe on g1's codes, one accuracy a seed."""
        images, labels = self.halves.probe_set(self.budget.probe_images)
        train, test = self.codes(encoder, images), self.codes(encoder, self.halves.test)
        return [
            saga_probe(z, labels, zt, self.halves.test_y).accuracy
            for z, zt in zip(train, test, strict=True)
        ]

    # --- rows

    def rows(
        self,
        jobs: Sequence[Job],
        encoder: Stacked,
        records: Records,
        pair: StackedPair | None = None,
    ) -> list[Row]:
        """A row a seed: its curve, its final numbers, the converged probe and the geometry."""
        images, labels = self.halves.probe_set(self.budget.probe_images)
        train, test = self.codes(encoder, images), self.codes(encoder, self.halves.test)
        rows = []
        for e, job in enumerate(jobs):
            row, last = job.row(), dict(records[e][-1])
            row.curve, row.steps = records[e], int(last.pop("step"))
            row.nats, row.nats_train = last.pop("nats", None), last.pop("nats_train", None)
            row.nats_stderr = last.pop("nats_stderr", None)
            row.measures, row.candidates = last, self.budget.batch_size
            row.linear = linear_probe(train[e], labels, test[e], self.halves.test_y).accuracy
            row.rankme, row.uniformity = rankme(test[e]), uniformity(test[e])
            if pair is not None and pair.shared:
                row.alignment = self._alignment(pair, e)
            rows.append(row)
        return rows

    def _alignment(self, pair: StackedPair, e: int) -> float:
        """Of up to 2,048 held-out pairs; only where both halves are codes of one encoder."""
        x = self.views_of(self.halves.test[:2048], torch.Generator().manual_seed(2))
        with torch.no_grad(), evaluating(pair), self.autocast():
            z1, z2 = pair.encode(*(v.expand(pair.count, *v.shape) for v in x))
        return alignment(z1[e], z2[e])

    @cached_property
    def raw(self) -> tuple[float, float]:
        """Accuracy of the (noisy) pixels of the top half: the paper's probe, the converged one."""
        generator = torch.Generator().manual_seed(1)
        images, labels = self.halves.probe_set(self.budget.probe_images)
        x, test = (
            noisy(self.halves.views(part)[0], self.noise, generator).flatten(1).cpu()
            for part in (images, self.halves.test)
        )
        y = self.halves.test_y
        return saga_probe(x, labels, test, y).accuracy, linear_probe(x, labels, test, y).accuracy

    def raw_pixels(self, job: Job) -> Row:
        """The baseline's row."""
        assert job.candidate == RAW
        row = job.row()
        accuracy, row.linear = self.raw
        row.measures = {"accuracy": accuracy}
        return row


def train_arm(
    jobs: Sequence[Job], arm: Arm, bench: Bench, besides: Look | None = None
) -> list[Row]:
    """The rows of an arm: its encoders and critics trained on the halves by its bound."""
    pair = arm.build([job.seed for job in jobs], bench.halves.shape)
    rate = arm.rate * bench.budget.lr
    return bench.train(jobs, pair, arm.losses, arm.bound, besides=besides, lr=rate)
