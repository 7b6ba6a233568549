"""Clips: short films in memory, read from an .npz file or from a folder of folders of frames."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from goodviews.data.decoding import SUFFIXES, decode_file, quiet_pillow, reason
from goodviews.interfaces import Shape, UserError


@dataclass(eq=False, repr=False)
class Clips:
    """Clips of equally many frames that live in memory.

    Args:
        pixels: uint8, shape (n, frames, c, h, w).
        name: what to call the set in reports.
        labels: int64, shape (n,), -1 where unlabelled; or None.

    Raises:
        UserError: the shapes or types do not fit together.

    Example:
        >>> films = Clips(torch.zeros(4, 20, 3, 8, 8, dtype=torch.uint8), "black")
        >>> clips, images = films.pairs([0, 3], range(1, 11), 20)
        >>> films, clips.shape[:2], images.shape[:2]
        (Clips(black: 4 x 20 frames of 3x8x8), torch.Size([2, 10]), torch.Size([2, 3]))
    """

    pixels: Tensor
    name: str
    labels: Tensor | None = None
    shape: Shape = field(init=False)

    def __post_init__(self) -> None:
        """Check shapes and types."""
        if self.pixels.dtype != torch.uint8 or self.pixels.dim() != 5:
            found = f"{self.pixels.dtype} {tuple(self.pixels.shape)}"
            raise UserError(f"clips: {found}. Give uint8 of shape (n, frames, c, h, w).")
        if self.labels is not None and len(self.labels) != len(self):
            raise UserError(f"labels: {len(self.labels)} for {len(self)} clips. Give one a clip.")
        c, h, w = self.pixels.shape[2:]
        self.shape = (c, h, w)

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.pixels)

    def __repr__(self) -> str:
        """Name, number, frames and shape."""
        size = "x".join(map(str, self.shape))
        return f"Clips({self.name}: {len(self)} x {self.pixels.shape[1]} frames of {size})"

    def pairs(
        self, index: Sequence[int] | Tensor, frames: Sequence[int], target: int
    ) -> tuple[Tensor, Tensor]:
        """The views of a clip at ``index``: some frames, and another frame; frames count from 1.

        Returns:
            uint8 (n, len(frames), c, h, w) and (n, c, h, w).

        Raises:
            UserError: a frame that the clips do not have.
        """
        count = self.pixels.shape[1]
        wrong = [t for t in (*frames, target) if not 1 <= t <= count]
        if wrong or not frames:
            raise UserError(f"frames: {wrong or 'none'} of clips of {count}. Use 1 to {count}.")
        films = self.pixels[torch.as_tensor(index, dtype=torch.int64)]
        return films[:, [t - 1 for t in frames]], films[:, target - 1]


def load_clips(path: str | Path, *, image_size: int = 64, frames: int | None = None) -> Clips:
    """Read clips from an .npz file, or from a folder with one sub-folder of frames a clip.

    Args:
        path: an .npz with ``clips``, uint8 (n, frames, c, h, w) or (n, frames, h, w, c), and
            perhaps ``labels``; or a folder PATH/CLIP/FRAME.png, frames in the order of names.
        image_size: side that frames of a folder are brought to.
        frames: the first so many of each clip; None: as many as the shortest has.

    Raises:
        UserError: nothing there, wrong shapes, a clip with too few frames, an unreadable frame.
    """
    path = Path(path)
    found = _from_npz(path) if path.suffix == ".npz" else _from_folder(path, image_size, frames)
    least = found.pixels.shape[1]
    if frames is not None and not 1 <= frames <= least:
        raise UserError(f"frames: {frames}, but the shortest clip of {path} has {least}.")
    return Clips(found.pixels[:, :frames], found.name, found.labels)


def _from_npz(path: Path) -> Clips:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if "clips" not in arrays:
                listed = ", ".join(arrays) or "none"
                raise UserError(f"--data: {path} has no array called clips (found: {listed}).")
            pixels = torch.from_numpy(arrays["clips"])
            labels = torch.from_numpy(arrays["labels"]).long() if "labels" in arrays else None
    except (OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"--data: {path} is no readable .npz ({error}).") from error
    if pixels.dim() == 5 and pixels.shape[2] not in (1, 3) and pixels.shape[4] in (1, 3):
        pixels = pixels.permute(0, 1, 4, 2, 3).contiguous()
    return Clips(pixels, path.stem, labels)


def _from_folder(path: Path, size: int, frames: int | None) -> Clips:
    folders = sorted(f for f in path.glob("*") if f.is_dir()) if path.is_dir() else []
    films = [[f for f in _natural(folder) if f.suffix.lower() in SUFFIXES] for folder in folders]
    films = [film for film in films if film]
    if not films:
        raise UserError(f"--data: {path} holds no clips. Give PATH/CLIP/FRAME.png, or an .npz.")
    count = min(map(len, films))
    count = count if frames is None else min(count, frames)
    pixels = [[_frame(file, size) for file in film[:count]] for film in films]
    return Clips(torch.from_numpy(np.array(pixels)), path.resolve().name)


def _natural(folder: Path) -> list[Path]:
    """The files of a folder; numbers in their names count as numbers."""

    def key(file: Path) -> tuple[tuple[int, str], ...]:
        digits = "".join(c if c.isdigit() else " " for c in file.stem).split()
        return (*((int(d), "") for d in digits), (0, file.name))

    return sorted((Path(entry.path) for entry in os.scandir(folder) if entry.is_file()), key=key)


def _frame(file: Path, size: int) -> np.ndarray:
    try:
        with quiet_pillow():
            return decode_file(file, size)
    except Exception as error:  # Pillow raises many kinds
        raise UserError(f"--data: {file}: {reason(error)}. Take it out or replace it.") from error


class DrawnBatches:
    """A loader of batches that are drawn anew: number b of epoch e is a function of (seed, e, b).

    Attributes:
        epoch: the epoch that is read next.
        start: its first batch to yield, for a run that resumes in mid-epoch.

    Example:
        >>> batches = DrawnBatches(lambda generator: torch.rand(4, generator=generator), 2)
        >>> first, again = list(batches), list(batches)
        >>> len(first), torch.equal(first[1], again[1]), torch.equal(first[0], first[1])
        (2, True, False)
    """

    def __init__(self, draw: Callable[[Generator], Any], per_epoch: int, seed: int = 0) -> None:
        """Draw ``per_epoch`` batches an epoch by ``draw``: generator -> batch."""
        self.draw, self.per_epoch, self.seed = draw, per_epoch, seed
        self.epoch = self.start = 0

    @property
    def batch_sampler(self) -> DrawnBatches:
        """Itself: where the trainer looks for ``epoch`` and ``start``."""
        return self

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return self.per_epoch

    def __iter__(self) -> Iterator[Any]:
        """Yield the epoch's batches from ``start`` on."""
        for number in range(self.start, self.per_epoch):
            place = np.random.SeedSequence((self.seed, self.epoch, number))
            seed = int(place.generate_state(1, np.uint64)[0])
            yield self.draw(Generator().manual_seed(seed))
