"""Measures each run of a sweep on other labelled sets, and on photographs labelled by pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from goodviews import data as data_room
from goodviews.data import Loaded
from goodviews.data.annotated import Annotated, annotated
from goodviews.evaluation.features import draw, extract, pixels
from goodviews.evaluation.geometry import rankme, uniformity
from goodviews.evaluation.probes import linear_probe
from goodviews.evaluation.segmentation import pixel_probe
from goodviews.interfaces import ImageSource, Row, Shape, UserError
from goodviews.methods import ViewMethod
from goodviews.studies.grid import Job
from goodviews.studies.measure import Bench

SEGMENTS = "mean IoU"
"""The measure of segmentation in rows and tables."""


def named_sets(
    transfer: str | Sequence[str] | None, view: Shape, reading: Mapping[str, Any], images: int
) -> dict[str, Loaded]:
    """The labelled sets to probe on, at the views' height.

    Args:
        transfer: names, folders or files, a comma list or a sequence.
        view: shape of a view.
        reading: how to read them, see :func:`goodviews.data.load`.
        images: training images at most.

    Raises:
        UserError: a set without labels, or what loading refuses.
    """
    texts = transfer.split(",") if isinstance(transfer, str) else transfer or ()
    found: dict[str, Loaded] = {}
    for text in (text.strip() for text in texts if text.strip()):
        other = data_room.load(text, image_size=view[1], max_images=images, **reading)
        if other.train.labels is None or other.test.labels is None:
            raise UserError(f"--transfer: {text} has no labels. Name a labelled set.")
        found[Path(text).name] = other
    return found


@dataclass(frozen=True)
class TransferBench(Bench):
    """A bench that also probes the frozen encoders elsewhere; rows hold it in ``measures``."""

    others: Mapping[str, Loaded] = field(default_factory=dict)
    segmentation: str | None = None

    @cached_property
    def photographs(self) -> tuple[Annotated, Annotated]:
        """Those labelled by pixel, for training the decoder and for testing it."""
        assert self.segmentation is not None
        return annotated(self.segmentation)

    def measures(self) -> dict[str, str]:
        """Measure of accuracy -> its words."""
        own = {"linear": f"linear probe, {self.loaded.name}"} if self.labelled else {}
        found = own | {name: f"linear probe, {name}" for name in self.others}
        return found | ({SEGMENTS: "mean IoU, pixels"} if self.segmentation else {})

    def _representation(self, method: ViewMethod, row: Row) -> None:
        if self.labelled:
            super()._representation(method, row)
        self._elsewhere(row, lambda source: extract(method, source))
        if not self.labelled and self.others:
            x = extract(method, next(iter(self.others.values())).test)
            row.rankme, row.uniformity = rankme(x), uniformity(x)
        if self.segmentation is not None:
            self._segment(method, row)

    def _raw_pixels(self, job: Job) -> Row:
        row = super()._raw_pixels(job) if self.labelled else job.row()
        self._elsewhere(row, pixels)
        return row

    def _elsewhere(self, row: Row, read: Any) -> None:
        for name, other in self.others.items():
            train = draw(other.train, self.budget.probe_images, seed=0, labelled=True)
            row.measures[name] = _probed(read, train, other.test)

    def _segment(self, method: ViewMethod, row: Row) -> None:
        train, test = self.photographs
        maps: nn.Module = method
        row.measures[SEGMENTS] = pixel_probe(maps, train, test, seed=row.seed).mean_iou


def _probed(read: Any, train: ImageSource, test: ImageSource) -> float:
    """Accuracy of a linear probe on what ``read`` makes of the images."""
    y, test_y = train.labels, test.labels
    assert isinstance(y, Tensor) and isinstance(test_y, Tensor)
    return linear_probe(read(train), y, read(test), test_y).accuracy
