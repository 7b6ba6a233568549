"""Blur and occlusion of a whole batch, with one parameter an image."""

from __future__ import annotations

import torch
from torch import Tensor

from goodviews.views.geometry import Axis, by_columns, by_rows, reflect

__all__ = ["blur", "blur_taps", "erase"]


def blur_taps(size: int) -> int:
    """Odd number of filter taps for images of ``size`` pixels: a tenth of the side, at least 3.

    Example:
        >>> blur_taps(224), blur_taps(96), blur_taps(32)
        (23, 9, 3)
    """
    return max(3, int(0.1 * size) // 2 * 2 + 1)


def _gauss(sigma: Tensor, taps: int, size: int) -> Axis:
    """Blur along one axis of ``size`` pixels, sigma (n,), with reflected edges."""
    steps = torch.arange(taps, device=sigma.device) - taps // 2
    weight = torch.softmax(-(steps.to(sigma) ** 2) / (2 * sigma[:, None] ** 2), 1)
    index = reflect(torch.arange(size, device=sigma.device)[:, None] + steps, size)
    shape = (len(sigma), size, taps)
    return Axis(index.expand(shape), weight[:, None, :].expand(shape))


def blur(
    images: Tensor, sigma: Tensor, taps: int | None = None, which: Tensor | None = None
) -> Tensor:
    """Gaussian blur of float images (n, c, h, w), sigma (n,) in pixels, reflected edges.

    Args:
        images: Float images.
        sigma: Width of the filter, one an image.
        taps: Odd number of filter taps; default a tenth of the side (:func:`blur_taps`).
        which: Places of the images to blur, one for each sigma; default all in turn.

    Example:
        >>> flat = torch.full((1, 3, 8, 8), 0.5)
        >>> torch.allclose(blur(flat, torch.tensor([1.0])), flat)
        True
    """
    _, c, h, w = images.shape
    n = len(sigma)
    taps = blur_taps(min(h, w)) if taps is None else taps
    sigma = sigma.to(images).clamp(min=1e-3)
    down = _gauss(sigma, taps, h).apply(by_rows(images), which)
    tall = down.view(n, h, c, w).permute(0, 2, 1, 3)
    both = _gauss(sigma, taps, w).apply(by_columns(tall))
    return both.view(n, w, c, h).permute(0, 2, 3, 1)


def erase(images: Tensor, boxes: Tensor, fill: float | Tensor = 0.0) -> Tensor:
    """Fill the boxes (n, 4: top, left, height, width) of float images with ``fill``.

    Example:
        >>> erase(torch.ones(1, 1, 2, 2), torch.tensor([[0, 0, 1, 2]])).flatten().tolist()
        [0.0, 0.0, 1.0, 1.0]
    """
    h, w = images.shape[-2:]
    top, left, height, width = boxes.to(images.device)[:, :, None].unbind(1)
    row = torch.arange(h, device=images.device)
    column = torch.arange(w, device=images.device)
    inside_rows = (row >= top) & (row < top + height)
    inside_columns = (column >= left) & (column < left + width)
    inside = inside_rows[:, None, :, None] & inside_columns[:, None, None, :]
    patch = torch.as_tensor(fill, dtype=images.dtype, device=images.device)
    return torch.where(inside, patch, images)
