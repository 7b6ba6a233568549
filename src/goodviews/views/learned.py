"""Learned views: the channels of an invertible, pixel-wise generator, split (InfoMin 4.2).

The views are the first channel(s) of ``X_hat = g(X)`` and the others. In a recipe it is a split,
``split: {learned: {path: generator.safetensors}}``; once read, the recipe holds the weights
themselves (base64), so that a run or study made with it needs no other file.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from goodviews.interfaces import Shape, UserError
from goodviews.views.generator import ViewGenerator, read_generator
from goodviews.views.splits import Split

__all__ = ["Learned", "Live", "located"]


@lru_cache(maxsize=16)
def _frozen(weights: str, device: torch.device) -> ViewGenerator:
    """The generator of base64 weights, frozen, on a device."""
    try:
        data = base64.b64decode(weights, validate=True)
    except (binascii.Error, ValueError):
        raise UserError("learned.weights: no base64. Use learned: {path: FILE} instead.") from None
    made = ViewGenerator.from_bytes(data, "learned.weights")
    return made.requires_grad_(False).to(device)


@dataclass(frozen=True)
class Learned(Split):
    """The channels of a trained generator: v1 = g(X)[:alone], v2 = the rest.

    Args:
        path: File that `goodviews learn-views` wrote; read at once, and forgotten.
        weights: The same file's bytes in base64: what is kept, written and compared.

    Raises:
        UserError: not exactly one of them, or no generator there.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     split = Learned(str(ViewGenerator(3).save(f"{folder}/g.safetensors")))
        >>> split.shapes((3, 32, 32))
        ((1, 32, 32), (2, 32, 32))
    """

    path: str = ""
    weights: str = field(default="", repr=False)
    name = "learned"

    def __post_init__(self) -> None:
        """Read the file."""
        if bool(self.path) == bool(self.weights):
            raise UserError("learned: give a path, for example learned: {path: g.safetensors}.")
        if self.path:
            data = read_generator(Path(self.path))
            ViewGenerator.from_bytes(data, self.path)
            object.__setattr__(self, "weights", base64.b64encode(data).decode())
            object.__setattr__(self, "path", "")
        self.generator()

    def generator(self, device: torch.device | str = "cpu") -> ViewGenerator:
        """The frozen generator; shared by all who ask."""
        return _frozen(self.weights, torch.device(device))

    def __call__(self, images: Tensor, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
        """Generate, standardise, split."""
        return self.generator(images.device).views(images)

    def shapes(self, shape: Shape) -> tuple[Shape, Shape]:
        """So many channels, and the rest."""
        return _split_shapes(self.generator(), shape)


class Live(Split):
    """The split of a generator that is still learning, in whatever mode it is."""

    name = "learned"

    def __init__(self, source: ViewGenerator) -> None:
        """Keep the module."""
        self.source = source

    def __call__(self, images: Tensor, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
        """Generate, standardise, split."""
        return self.source.views(images)

    def shapes(self, shape: Shape) -> tuple[Shape, Shape]:
        """So many channels, and the rest."""
        return _split_shapes(self.source, shape)


def _split_shapes(source: ViewGenerator, shape: Shape) -> tuple[Shape, Shape]:
    if shape[0] != source.channels:
        raise UserError(
            f"learned: this generator was trained on {source.channels} channels, these images "
            f"have {shape[0]}. Learn one on them: goodviews learn-views --data ..."
        )
    return (source.alone, *shape[1:]), (source.channels - source.alone, *shape[1:])


def located(data: Any, folder: Path) -> Any:
    """A recipe's plain data with the path of its learned split seen from the recipe's folder.

    Example:
        >>> found = located({"split": {"learned": {"path": "g.safetensors"}}}, Path("views"))
        >>> found["split"]["learned"]["path"]
        'views/g.safetensors'
    """
    split = data.get("split") if isinstance(data, Mapping) else None
    own = split.get("learned") if isinstance(split, Mapping) else None
    path = own.get("path") if isinstance(own, Mapping) else None
    if not isinstance(path, str) or not path:
        return data
    return {**data, "split": {"learned": {**own, "path": str(folder / path)}}}  # type: ignore[dict-item]
