"""A source seen through a list of places, without a copy of its pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from goodviews.interfaces import ImageSource, Shape


class Selection:
    """Places of a source, each as often as it is named: few large images, many patches of each.

    Arguments:
        source: what the images come from.
        places: int64, shape (n,): the places in it.

    Example:
        >>> from goodviews.data import Images
        >>> one = Images(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), "two")
        >>> twice = Selection(one, torch.tensor([0, 1, 0, 1]))
        >>> len(twice), twice.images([2]).shape, len(twice.subset([0, 3, 1]))
        (4, torch.Size([1, 1, 4, 4]), 3)
    """

    factors: Mapping[str, Tensor] = {}

    def __init__(self, source: ImageSource, places: Tensor) -> None:
        self.source, self.places = source, places
        self.name, self.classes = source.name, source.classes
        self.shape: Shape = source.shape
        self.labels = None if source.labels is None else source.labels[places]

    @classmethod
    def at_least(cls, source: ImageSource, count: int) -> Selection:
        """Every image equally often, ``count`` places or a few more."""
        times = -(-count // len(source))
        return cls(source, torch.arange(len(source)).repeat(times))

    def __len__(self) -> int:
        """Number of places."""
        return len(self.places)

    def images(self, index: Sequence[int] | Tensor) -> Tensor:
        """The images at ``index`` as uint8, shape (n, c, h, w)."""
        return self.source.images(self.places[torch.as_tensor(index, dtype=torch.int64)])

    def subset(self, index: Sequence[int] | Tensor) -> Selection:
        """The same selection restricted to ``index``."""
        return Selection(self.source, self.places[torch.as_tensor(index, dtype=torch.int64)])
