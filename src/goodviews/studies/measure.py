"""One run of a study: train an encoder on one view, and measure what it shares and keeps."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from torch import Tensor

from goodviews.data import Loaded, StreamedImages, loader
from goodviews.estimators.heldout import heldout_information
from goodviews.evaluation.features import draw, extract, pixels
from goodviews.evaluation.geometry import alignment, rankme, uniformity
from goodviews.evaluation.online import projections
from goodviews.evaluation.probes import knn_probe, linear_probe, mlp_probe
from goodviews.evaluation.task import subset
from goodviews.interfaces import ImageSource, Row
from goodviews.methods import ViewMethod
from goodviews.studies.budgets import Budget
from goodviews.studies.conclude import RAW, UNTRAINED
from goodviews.studies.folder import plain
from goodviews.studies.grid import Job
from goodviews.training import TrainSettings, fit, resolve_accelerator
from goodviews.views import Recipe


@dataclass(frozen=True)
class Bench:
    """What is the same for every candidate of a study."""

    loaded: Loaded
    budget: Budget
    make: Callable[[Job], ViewMethod]
    """The untrained method of a job."""
    settings: TrainSettings
    """How all are trained; the seed is the job's."""
    labelled: bool
    mlp: bool = False
    """Whether an MLP probe is fitted too."""
    pairs: int = 4096
    """View pairs that I_NCE is measured on."""

    def measure(self, job: Job) -> Row:
        """The row of one job."""
        if job.candidate == RAW:
            return self._raw_pixels(job)
        method = self.make(job)
        row = job.row()
        if job.candidate != UNTRAINED:
            self._train(method, job, row)
            method.to(resolve_accelerator(self.settings.device))
            self._information(method, job, row)
        self._representation(method, row)
        return row

    def _train(self, method: ViewMethod, job: Job, row: Row) -> None:
        batch_size = self.settings.batch_size
        batches = loader(
            self.loaded.train,
            batch_size,
            seed=job.seed,
            partners=Recipe.from_dict(job.recipe).partners,
            workers=2 if isinstance(self.loaded.train, StreamedImages) else 0,
        )
        began = time.perf_counter()
        result = fit(method, batches, replace(self.settings, seed=job.seed), out=None)
        row.steps = result.steps
        row.images_per_second = result.steps * batch_size / (time.perf_counter() - began)
        row.scale_nats = _scale_nats(result.history[-1]) if result.history else {}

    def _information(self, method: ViewMethod, job: Job, row: Row) -> None:
        """Held-out and training I_NCE with the same K; the null; alignment of the pairs."""
        partners = Recipe.from_dict(job.recipe).partners
        test = self.loaded.test
        seen = draw(self.loaded.train, len(test), seed=job.seed)
        k = min(self.budget.candidates, len(test), len(seen))
        held_out, train = (
            heldout_information(
                method,
                source,
                candidates=k,
                pairs=self.pairs,
                seed=job.seed,
                partners=partners,
                split=split,
            )
            for source, split in ((test, "held-out"), (seen, "train"))
        )
        row.nats, row.nats_stderr = held_out.nats, held_out.stderr
        row.null, row.candidates, row.nats_train = held_out.null, k, train.nats
        if partners:
            row.true_nats = test.shared_information(partners)  # type: ignore[union-attr]
        z1, z2 = projections(method, draw(test, 512, job.seed), seed=job.seed, partners=partners)
        row.alignment = alignment(z1, z2)

    def _representation(self, method: ViewMethod, row: Row) -> None:
        probe_train, test = self._probe_sets()
        train_x, test_x = extract(method, probe_train), extract(method, test)
        row.rankme, row.uniformity = rankme(test_x), uniformity(test_x)
        if self.labelled:
            self._probes(row, train_x, probe_train, test_x, test, distance="cosine")

    def _raw_pixels(self, job: Job) -> Row:
        row = job.row()
        probe_train, test = self._probe_sets()
        train_x, test_x = pixels(probe_train), pixels(test)
        row.rankme, row.uniformity = rankme(test_x), uniformity(test_x)
        if self.labelled:
            self._probes(row, train_x, probe_train, test_x, test, distance="euclidean")
        return row

    def _probe_sets(self) -> tuple[ImageSource, ImageSource]:
        """The same images for every candidate and seed."""
        train = draw(self.loaded.train, self.budget.probe_images, seed=0, labelled=self.labelled)
        return train, self.loaded.test

    def _probes(
        self,
        row: Row,
        train_x: Tensor,
        train: ImageSource,
        test_x: Tensor,
        test: ImageSource,
        distance: str,
    ) -> None:
        assert train.labels is not None and test.labels is not None
        y, test_y = train.labels, test.labels
        linear = linear_probe(train_x, y, test_x, test_y)
        row.linear, row.label_nats = linear.accuracy, linear.label_nats
        if self.budget.few:
            few = subset(y, per_class=self.budget.few, seed=row.seed)
            row.linear_few = linear_probe(train_x[few], y[few], test_x, test_y).accuracy
        row.knn = knn_probe(train_x, y, test_x, test_y, distance=distance).accuracy
        if self.mlp:
            row.mlp = mlp_probe(train_x, y, test_x, test_y, seed=row.seed).accuracy


def _scale_nats(epoch: Mapping[str, Any]) -> dict[str, float]:
    """What AMDIM logs of each pair of scales.

    Example:
        >>> _scale_nats({"nats_1to5": 1.0, "nats_train": 2.0, "loss": 3.0})
        {'1>5': 1.0}
    """
    pairs = {key.removeprefix("nats_"): value for key, value in epoch.items() if "to" in key}
    return {
        pair.replace("to", ">"): float(value)
        for pair, value in pairs.items()
        if pair.replace("to", "").isdigit() and value is not None
    }


def made_with(bench: Bench, own: Mapping[str, Any], data: object, labels: object) -> dict[str, Any]:
    """What every row of a study was made with; a study with others needs another folder.

    Args:
        bench: what is the same for every candidate.
        own: the study's own settings (objective, encoder, optimiser).
        data: as the user named them.
        labels: as the user named them.
    """
    free = ("families", "seeds", "values", "encoder")
    limits = {key: value for key, value in asdict(bench.budget).items() if key not in free}
    found: dict[str, Any] = plain(
        {
            "data": str(data),
            "labels": labels,
            **own,
            "image_shape": bench.loaded.train.shape,
            "n_train": len(bench.loaded.train),
            "n_test": len(bench.loaded.test),
            "precision": bench.settings.precision,
            **limits,
        }
    )
    return found
