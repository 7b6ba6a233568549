"""The data as the trainer reads them: from any place in any epoch, with a stop-watch."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from torch import Tensor

from goodviews.training.journal import Journal

AnyBatch: TypeAlias = Any
"""What a loader yields: a `goodviews.interfaces.Batch`, a tuple, a dict or a tensor."""

Outputs: TypeAlias = Any
"""What Lightning hands to callbacks of a training step."""


class Stream:
    """The batches of the journal's epoch, from the journal's place in it, for Lightning to read.

    Measures the time spent waiting for data. A loader whose ``batch_sampler`` has ``epoch`` and
    ``start`` is placed through them; any other is read from its beginning up to the place.
    """

    def __init__(self, loader: Any, journal: Journal) -> None:
        self.loader = loader
        self.journal = journal

    def __iter__(self) -> Iterator[Any]:
        batches = iter(self.loader) if self._place() else self._skip()
        while True:
            start = time.perf_counter()
            batch = next(batches, None)
            self.journal.waited += time.perf_counter() - start
            if batch is None:
                return
            yield batch

    def _place(self) -> bool:
        sampler: Any = getattr(self.loader, "batch_sampler", None)
        if not (hasattr(sampler, "epoch") and hasattr(sampler, "start")):
            return False
        sampler.epoch, sampler.start = self.journal.epoch, self.journal.batch
        return True

    def _skip(self) -> Iterator[Any]:
        if hasattr(self.loader, "set_epoch"):
            self.loader.set_epoch(self.journal.epoch)
        batches = iter(self.loader)
        for _ in range(self.journal.batch):
            next(batches, None)
        return batches


def count_batches(loader: Any) -> int:
    """Batches in a whole epoch of ``loader``."""
    sampler: Any = getattr(loader, "batch_sampler", None)
    if hasattr(sampler, "start"):
        sampler.start = 0
    return len(loader)


def images_of(batch: AnyBatch) -> Tensor:
    """The tensor of images in a batch: its ``images``, else its first tensor."""
    if isinstance(batch, Tensor):
        return batch
    if hasattr(batch, "images"):
        return batch.images
    values = batch.values() if isinstance(batch, Mapping) else batch
    return next(value for value in values if isinstance(value, Tensor))
