"""Batches of raw images whose order is a function of seed and epoch, so that a run can resume."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Generator
from torch.utils.data import DataLoader, Dataset, Sampler

from goodviews.data.images import Images
from goodviews.interfaces import Batch, ImageSource, UserError

Place = int | tuple[int, int]
"""An image's place in its source, alone or with its partner's."""


class EpochBatches(Sampler[list[Place]]):
    """Yields lists of places: a function of seed, epoch and batch number only.

    Attributes:
        epoch: Set by :meth:`set_epoch`; Lightning's Trainer calls it at each epoch's start.
        start: The first batch to yield, for a run that resumes in mid-epoch; a new epoch sets it
            back to 0.

    Example:
        >>> batches = EpochBatches(5, 2, seed=0, shuffle=False)
        >>> list(batches), len(batches)
        ([[0, 1], [2, 3]], 2)
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = True,
        source: Images | None = None,
        partners: Sequence[str] | None = None,
    ) -> None:
        """See :func:`loader`."""
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self.shuffle, self.drop_last = shuffle, drop_last
        self.source, self.partners = source, partners
        self.epoch = 0
        self.start = 0

    @property
    def sampler(self) -> EpochBatches:
        """Itself: where Lightning looks for ``set_epoch``."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch; another than the present one starts at its first batch."""
        if epoch != self.epoch:
            self.epoch, self.start = epoch, 0

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        whole = self.size // self.batch_size
        return whole if self.drop_last else -(-self.size // self.batch_size)

    def __iter__(self) -> Iterator[list[Place]]:
        """Yield the epoch's batches from ``start`` on."""
        epoch, size = self.epoch, self.batch_size
        order = torch.arange(self.size)
        if self.shuffle:
            order = torch.randperm(self.size, generator=_generator(self.seed, epoch))
        for number in range(self.start, len(self)):
            index = order[number * size : (number + 1) * size]
            if self.source is None or self.partners is None:
                yield index.tolist()
            else:
                generator = _generator(self.seed, epoch, number)
                partner = self.source.partners(index, self.partners, generator)
                yield list(zip(index.tolist(), partner.tolist(), strict=True))


class Batches(Dataset[Batch]):
    """A source as torch's DataLoader wants it: a whole batch at once."""

    def __init__(self, source: ImageSource) -> None:
        """Wrap a source."""
        self.source = source

    def __len__(self) -> int:
        """Number of images."""
        return len(self.source)

    def __getitem__(self, place: Place) -> Batch:
        """Return a batch of one image."""
        return self.__getitems__([place])

    def __getitems__(self, places: list[Place]) -> Batch:
        """Gather the images at these places."""
        both = torch.tensor(places, dtype=torch.int64)
        index = both if both.dim() == 1 else both[:, 0]
        second = getattr(self.source, "second", None)
        partners = None if second is None else second[index]
        if both.dim() == 2:
            partners = self.source.images(both[:, 1])
        labels = self.source.labels
        taken = None if labels is None else labels[index]
        return Batch(self.source.images(index), partners, taken, index)


def loader(
    source: ImageSource,
    batch_size: int,
    *,
    seed: int = 0,
    shuffle: bool = True,
    drop_last: bool = True,
    partners: Sequence[str] | None = None,
    workers: int = 0,
) -> DataLoader[Batch]:
    """Make a DataLoader that yields :class:`~goodviews.interfaces.Batch`.

    Its ``batch_sampler`` is an :class:`EpochBatches`: set ``epoch`` (Lightning does) for a new
    order, ``start`` to resume in mid-epoch.

    Args:
        source: Images in memory or streamed.
        batch_size: Images a batch.
        seed: Order and partners are a function of it, of the epoch and of the batch number.
        shuffle: Draw a new order each epoch.
        drop_last: Leave out the last batch when it is not full.
        partners: Names of the factors that an image's partner shares; None for no partners
            (or natural ones, where the source has them).
        workers: Processes that decode; 0 is best for images in memory.

    Raises:
        UserError: the batch is larger than the source, or partners are asked of streamed images.

    Example:
        >>> some = Images(torch.zeros(5, 3, 8, 8, dtype=torch.uint8), "black")
        >>> [len(batch.images) for batch in loader(some, 2, drop_last=False)]
        [2, 2, 1]
    """
    _check(source, batch_size, drop_last, partners)
    batches = EpochBatches(
        len(source),
        batch_size,
        seed=seed,
        shuffle=shuffle,
        drop_last=drop_last,
        source=source if isinstance(source, Images) else None,
        partners=partners,
    )
    return DataLoader(
        Batches(source),
        batch_sampler=batches,
        collate_fn=_same,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def _check(
    source: ImageSource, batch_size: int, drop_last: bool, partners: Sequence[str] | None
) -> None:
    least = 2 if drop_last else 1
    if batch_size < least:
        raise UserError(f"--batch-size: {batch_size} is too small. Use for example 256.")
    if drop_last and batch_size > len(source):
        raise UserError(
            f"--batch-size: {batch_size} is more than the {len(source)} images of "
            f"{source.name}. Use at most {len(source)}."
        )
    if partners is not None:
        if not isinstance(source, Images):
            raise UserError(
                f"partners: {source.name} is streamed and knows no factors. Use images in memory."
            )
        source.partners([0], partners)


def _generator(*numbers: int) -> Generator:
    """Make a generator whose seed mixes several numbers."""
    seed = np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]
    return Generator().manual_seed(int(seed))


def _same(batch: Any) -> Any:
    return batch
