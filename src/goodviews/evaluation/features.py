"""Frozen representations of whole image sources, and the raw pixels they must beat."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from goodviews.interfaces import ImageSource, UserError
from goodviews.layers import evaluating


def device_of(module: nn.Module) -> torch.device:
    """The device of the module's first parameter or buffer (the CPU when it has none)."""
    for tensor in (*module.parameters(), *module.buffers()):
        return tensor.device
    return torch.device("cpu")


def extract(
    module: nn.Module,
    source: ImageSource,
    *,
    batch_size: int = 512,
    device: torch.device | str | None = None,
) -> Tensor:
    """The frozen representation of every image of ``source``: float32 on the CPU, shape (N, D).

    ``module`` maps uint8 images (n, c, h, w) to vectors (n, D); a map is flattened. It runs in
    eval mode without gradients where it stands (or on ``device``, and then goes back), and its
    modes are restored.

    Raises:
        UserError: ``source`` holds no image.

    Example:
        >>> from types import SimpleNamespace
        >>> class Toy:
        ...     def __len__(self): return 5
        ...     def images(self, index): return torch.ones(len(index), 1, 2, 2, dtype=torch.uint8)
        >>> extract(nn.Flatten(), Toy(), batch_size=2).shape
        torch.Size([5, 4])
    """
    home = device_of(module)
    target = home if device is None else torch.device(device)
    module.to(target)
    try:
        with evaluating(module), torch.inference_mode():
            rows = _in_batches(source, batch_size, lambda x: module(x.to(target)).flatten(1))
    finally:
        module.to(home)
    return rows.clone()  # outside inference mode: a tensor that later code may train on


def pixels(source: ImageSource, size: int | None = None, *, batch_size: int = 512) -> Tensor:
    """The raw-pixel baseline: pixels in [0, 1], flattened, float32, shape (N, c * h * w).

    With ``size`` the longer side is first brought down to it by area averaging (never enlarged).
    The linear probe standardises them itself; nearest neighbours should use Euclidean distance.

    Raises:
        UserError: ``source`` holds no image.
    """

    def flat(images: Tensor) -> Tensor:
        x = images.float() / 255
        longer = max(x.shape[-2:])
        if size is not None and longer > size:
            shape = [max(1, round(side * size / longer)) for side in x.shape[-2:]]
            x = functional.interpolate(x, size=shape, mode="area")
        return x.flatten(1)

    return _in_batches(source, batch_size, flat)


def labels_of(source: ImageSource) -> Tensor:
    """The labels of ``source``, int64 (N,), -1 where unlabelled.

    Raises:
        UserError: The source has no labels at all.
    """
    if source.labels is None:
        raise UserError(
            f"--data: {source.name} has no labels, and a probe needs some. "
            "Use class sub-folders or --labels FILE.csv."
        )
    return source.labels


def draw(source: ImageSource, count: int, seed: int, *, labelled: bool = False) -> ImageSource:
    """At most ``count`` images of ``source``, drawn without replacement by ``seed``."""
    pool = torch.arange(len(source))
    if labelled:
        pool = pool[labels_of(source) >= 0]
    generator = torch.Generator().manual_seed(seed)
    chosen = pool[torch.randperm(len(pool), generator=generator)[:count]]
    return source.subset(chosen.sort().values)


def _in_batches(
    source: ImageSource, batch_size: int, compute: Callable[[Tensor], Tensor]
) -> Tensor:
    if len(source) == 0:
        raise UserError("--data: no image to represent. Use a source with at least one image.")
    pieces: list[Tensor] = []
    for index in _spans(len(source), batch_size):
        pieces.append(compute(source.images(index)).float().cpu())
    return torch.cat(pieces)


def _spans(count: int, batch_size: int) -> Sequence[Tensor]:
    return torch.arange(count).split(batch_size)
