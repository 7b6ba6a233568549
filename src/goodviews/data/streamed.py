"""Images read on demand: files or items of another library's data set, decoded when asked for."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from goodviews.data.decoding import decode, open_file, quiet_pillow, reason
from goodviews.data.images import Index
from goodviews.interfaces import Shape


class Reader(Protocol):
    """Opens the i-th image; decoding is left to the caller."""

    def __len__(self) -> int:
        """Number of images."""
        ...

    def path(self, i: int) -> str:
        """Where image ``i`` is, for messages."""
        ...

    def open(self, i: int) -> Image.Image:
        """Image ``i``, not decoded yet."""
        ...


@dataclass(frozen=True)
class FileReader:
    """Image files."""

    paths: Sequence[Path]

    def __len__(self) -> int:
        """Number of files."""
        return len(self.paths)

    def path(self, i: int) -> str:
        """Return the file's path."""
        return str(self.paths[i])

    def open(self, i: int) -> Image.Image:
        """Open the file."""
        return open_file(self.paths[i])


@dataclass(frozen=True)
class ItemReader:
    """A column of PIL images in a Hugging Face data set, or field 0 of a torchvision one."""

    items: Any
    key: str | int
    name: str

    def __len__(self) -> int:
        """Number of items."""
        return len(self.items)

    def path(self, i: int) -> str:
        """Return the set's name and the item's place."""
        return f"{self.name}[{i}]"

    def open(self, i: int) -> Image.Image:
        """Return the item's image."""
        image: Image.Image = self.items[i][self.key]
        return image


@dataclass(eq=False, repr=False)
class StreamedImages:
    """Images decoded on demand, cropped to the centre square and resized to ``size``.

    An image that turns out to be unreadable in the middle of a run does not end the run: a
    mid-grey image stands in for it and a warning names the file.

    Args:
        reader: Opens the images.
        size: Side in pixels.
        name: What to call the set in reports.
        place: int64, shape (n,): which of the reader's images make up this set; None is all.
        labels: int64, shape (n,), -1 where unlabelled; or None.
        classes: The names of labels 0, 1, ...

    Example:
        >>> some = StreamedImages(FileReader([Path("a.png"), Path("b.png")]), 32, "two files")
        >>> some, len(some.subset([1]))
        (StreamedImages(two files: 2 x 3x32x32), 1)
    """

    reader: Reader
    size: int
    name: str
    place: Tensor | None = None
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    factors: Mapping[str, Tensor] = field(default_factory=dict)
    shape: Shape = field(init=False)

    def __post_init__(self) -> None:
        """Take the whole reader where no part is named."""
        self.shape = (3, self.size, self.size)
        if self.place is None:
            self.place = torch.arange(len(self.reader))

    def __len__(self) -> int:
        """Number of images."""
        return len(self._place)

    def __repr__(self) -> str:
        """Name, number and shape."""
        return f"StreamedImages({self.name}: {len(self)} x 3x{self.size}x{self.size})"

    @property
    def paths(self) -> tuple[str, ...]:
        """Where each image is."""
        return tuple(self.reader.path(i) for i in self._place.tolist())

    def images(self, index: Index) -> Tensor:
        """Decode the images at ``index``: uint8, shape (n, 3, size, size)."""
        places = self._place[torch.as_tensor(index, dtype=torch.int64)].tolist()
        with quiet_pillow():
            found = [read(self.reader, i, self.size) for i in places]
        for got in found:
            if isinstance(got, str):
                warnings.warn(f"{got}; a grey image stands in for it", stacklevel=2)
        grey = np.full(self.shape, 127, dtype=np.uint8)
        rows = [grey if isinstance(got, str) else got for got in found]
        return torch.from_numpy(np.stack(rows)) if rows else torch.empty(0, *self.shape).byte()

    def subset(self, index: Index) -> StreamedImages:
        """The same set restricted to ``index``."""
        index = torch.as_tensor(index, dtype=torch.int64)
        labels = None if self.labels is None else self.labels[index]
        factors = {name: values[index] for name, values in self.factors.items()}
        place = self._place[index]
        return StreamedImages(
            self.reader, self.size, self.name, place, labels, self.classes, factors
        )

    @property
    def _place(self) -> Tensor:
        assert self.place is not None
        return self.place


def read(reader: Reader, i: int, size: int) -> np.ndarray | str:
    """Decode image ``i``, or return "path: reason" when it cannot be read."""
    try:
        with reader.open(i) as image:
            return decode(image, size)
    except Exception as error:  # decoders raise nearly anything on broken files
        return f"{reader.path(i)}: {reason(error)}"
