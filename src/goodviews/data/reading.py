"""From a reader to an image source: check headers, choose a size, decode to memory or stream."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from goodviews.data.decoding import Header, header, quiet_pillow, reason
from goodviews.data.images import Images
from goodviews.data.notes import Notes
from goodviews.data.sampling import split, stratified
from goodviews.data.selection import Selection
from goodviews.data.streamed import Reader, StreamedImages, read
from goodviews.interfaces import UserError

MEMORY_LIMIT = 2 * 2**30
"""Bytes of decoded images up to which a set is kept in memory; larger ones are streamed."""

HEADER_LIMIT = 20_000
"""Headers read before the first step; of larger sets a random sample (all with ``strict``)."""

KEEP_SIZE = 96
DEFAULT_SIZE = 64
MINIMUM_SIZE = 8

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Settings:
    """What the user asked of :func:`goodviews.data.load`, for all readers."""

    image_size: int | None = None
    strict: bool = False
    test_fraction: float = 0.2
    seed: int = 0
    max_images: int | None = None


@dataclass
class Part:
    """The images of one split: places in a reader, and their labels."""

    reader: Reader
    place: Tensor
    labels: Tensor | None

    def keep(self, index: Tensor) -> Part:
        """Restrict to ``index``."""
        labels = None if self.labels is None else self.labels[index]
        return Part(self.reader, self.place[index], labels)


Source = Images | StreamedImages | Selection


def read_parts(
    train: Part,
    test: Part | None,
    classes: tuple[str, ...],
    name: str,
    settings: Settings,
    notes: Notes,
) -> tuple[Source, Source]:
    """Make image sources of a training part and a test part; without the latter, split.

    Raises:
        UserError: fewer than two readable images, most are unreadable, or with ``strict`` one is.
    """
    if test is None:
        refuse_too_few(len(train.place), name)
        first, second = split(train.labels, len(train.place), settings.test_fraction, settings.seed)
        train, test = train.keep(first), train.keep(second)
    train = _subsample(train, settings.max_images, settings.seed)
    test = _subsample(test, quarter(settings.max_images), settings.seed)
    train, test = (_check_headers(part, settings, notes) for part in (train, test))
    refuse_too_few(len(train.place), name, len(notes.skipped))
    size = choose_size(notes, settings.image_size)
    total = len(train.place) + len(test.place)
    streamed = total * 3 * size * size > MEMORY_LIMIT
    make = _stream if streamed else _decode_all
    sources = [make(part, size, classes, name, settings, notes) for part in (train, test)]
    _judge_skipped(total, name, notes)
    for source, which in zip(sources, ("training", "test"), strict=True):
        if not len(source):
            raise UserError(f"--data: {name} has no readable {which} image. Add or repair some.")
    refuse_too_few(len(sources[0]), name, len(notes.skipped))
    return sources[0], sources[1]


def quarter(max_images: int | None) -> int | None:
    """How many test images go with ``max_images`` training images: a quarter, at least one."""
    return None if max_images is None else max(max_images // 4, 1)


def refuse_too_few(count: int, name: str, skipped: int = 0) -> None:
    """Raise :class:`UserError` for fewer than two images: views are compared between images."""
    if count < 2:
        lost = f" ({skipped} unreadable)" if skipped else ""
        some = "1 image" if count == 1 else f"{count} images"
        raise UserError(
            f"--data: {name} has {some} to train on{lost}. Views are compared between images: "
            "give at least a few hundred."
        )


def choose_size(notes: Notes, asked: int | None) -> int:
    """Choose the side all images are brought to, from the sizes seen.

    What was asked; else the short side when all images share one size whose short side is at
    most 96; else 64, or the largest short side when that is smaller.

    Raises:
        UserError: fewer than 8 pixels are asked for.
    """
    if asked is not None and asked < MINIMUM_SIZE:
        raise UserError(f"--image-size: {asked} is too small. Use {MINIMUM_SIZE} or more.")
    short = {min(size): 0 for size in notes.sizes}
    size = asked or _natural_size(notes, max(short))
    enlarged = sum(n for wide, n in notes.sizes.items() if min(wide) < size)
    if enlarged:
        notes.warn(
            f"{enlarged} images are enlarged to {size} pixels; the smallest has a side of "
            f"{min(short)}. --image-size {max(min(short), MINIMUM_SIZE)} takes less time."
        )
    if size < 16:
        notes.warn(f"images of {size} pixels leave little to crop. --image-size 32 enlarges them.")
    oblong = sum(n for (wide, high), n in notes.sizes.items() if wide != high)
    if oblong:
        notes.warn(f"{oblong} images are not square: the centre square is used.")
    return size


def _natural_size(notes: Notes, largest: int) -> int:
    one = len(notes.sizes) == 1 and largest <= KEEP_SIZE
    return max(largest if one else min(DEFAULT_SIZE, largest), MINIMUM_SIZE)


def _subsample(part: Part, limit: int | None, seed: int) -> Part:
    if limit is None or limit >= len(part.place):
        return part
    return part.keep(stratified(part.labels, len(part.place), limit, seed))


def _check_headers(part: Part, settings: Settings, notes: Notes) -> Part:
    """Read the headers (of very many, a sample), note sizes and modes, and drop the bad ones."""
    total = len(part.place)
    few = settings.strict or total <= HEADER_LIMIT
    checked = torch.arange(total) if few else stratified(None, total, HEADER_LIMIT, settings.seed)
    notes.unchecked += total - len(checked)
    good = torch.ones(total, dtype=torch.bool)
    places = part.place[checked].tolist()
    found = _map(lambda i: _header(part.reader, i), places)
    for k, i, got in zip(checked.tolist(), places, found, strict=True):
        if isinstance(got, Header):
            notes.sizes[got.width, got.height] += 1
            notes.modes[got.mode] += 1
        else:
            good[k] = False
            _skip(part.reader.path(i), got, settings, notes)
    return part.keep(good.nonzero()[:, 0])


def _header(reader: Reader, i: int) -> Header | str:
    try:
        with reader.open(i) as image:
            return header(image)
    except Exception as error:  # decoders raise nearly anything on broken files
        return reason(error)


def _decode_all(
    part: Part, size: int, classes: tuple[str, ...], name: str, settings: Settings, notes: Notes
) -> Images:
    """Decode every image to memory and drop those that cannot be."""
    pixels = np.empty((len(part.place), 3, size, size), dtype=np.uint8)
    good: list[int] = []
    places = part.place.tolist()
    decoded = _map(lambda i: read(part.reader, i, size), places)
    for k, (i, got) in enumerate(zip(places, decoded, strict=True)):
        if isinstance(got, str):
            path = part.reader.path(i)
            _skip(path, got.removeprefix(f"{path}: "), settings, notes)
        else:
            pixels[len(good)] = got
            good.append(k)
    kept = part.keep(torch.tensor(good, dtype=torch.int64))
    paths = tuple(part.reader.path(i) for i in kept.place.tolist())
    memory = torch.from_numpy(pixels[: len(good)])
    return Images(memory, name, kept.labels, classes, paths=paths)


def _stream(
    part: Part, size: int, classes: tuple[str, ...], name: str, settings: Settings, notes: Notes
) -> StreamedImages:
    return StreamedImages(part.reader, size, name, part.place, part.labels, classes)


def _skip(path: str, why: str, settings: Settings, notes: Notes) -> None:
    if settings.strict:
        raise UserError(f"{path}: {why}. Repair or remove it, or leave out --strict to skip it.")
    notes.skip(path, why)


def _judge_skipped(readable: int, name: str, notes: Notes) -> None:
    """Warn of unreadable images; refuse a set that is mostly unreadable."""
    if not notes.skipped:
        return
    count, one = len(notes.skipped), notes.skipped[0]
    listed = f"for example {one['path']}: {one['reason']}"
    if count > readable:
        raise UserError(
            f"--data: most of {name} is unreadable ({count} files, {listed}). "
            "Repair the files or give another folder."
        )
    notes.warn(f"{count} unreadable images are skipped, {listed}. --strict stops at the first.")


def _map(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Map in threads, in order: Pillow decodes outside the interpreter lock."""
    Image.init()
    with quiet_pillow(), ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as pool:
        yield from pool.map(function, items)
