"""Frozen representations of one augmented view of each image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from goodviews.evaluation.features import device_of
from goodviews.interfaces import Features, ImageSource, Views
from goodviews.layers import evaluating


def augmented(method: Any, source: ImageSource, *, seed: int = 0, batch_size: int = 512) -> Tensor:
    """The frozen representation of one augmented view of each image: float32, CPU, (N, D).

    The views are those the method was trained on (``method.views``), drawn by ``seed``; where a
    split cuts both views from an image, both are encoded and joined, as in the representation of
    unaugmented images. The encoders (``method.encoders``) run in eval mode without gradients.
    """
    device = device_of(method)
    generator = torch.Generator(device=device).manual_seed(seed)
    pieces = []
    with evaluating(method), torch.inference_mode():
        for index in torch.arange(len(source)).split(batch_size):
            images = source.images(index).to(device)
            pair = method.views(images, generator, images)  # partners, where the views want them
            looks = len(method.views.looks(images[:1]))
            joined = [
                method.encoders[min(i, len(method.encoders) - 1)](view).summary.float()
                for i, view in enumerate(pair[:looks])
            ]
            pieces.append(torch.cat(joined, 1).cpu())
    return torch.cat(pieces).clone()


class RawPixels(nn.Module):
    """The raw pixels of a method's views, in the method's place: ``views`` and ``encoders``.

    Args:
        views: makes the views.
        size: larger views are first brought down to this side by area averaging.

    Example:
        >>> from types import SimpleNamespace
        >>> views = SimpleNamespace(looks=lambda images: (images.float(),))
        >>> RawPixels(views, 4)(torch.zeros(2, 3, 8, 8)).shape
        torch.Size([2, 48])
    """

    def __init__(self, views: Views, size: int, device: torch.device | None = None) -> None:
        super().__init__()
        self.views = views
        self.encoders = nn.ModuleList([_Flat(size)])
        self.register_buffer("place", torch.zeros(0, device=device))

    def forward(self, images: Tensor) -> Tensor:
        """The pixels of uint8 images (n, c, h, w) as their looks have them: (n, D)."""
        return torch.cat([self.encoders[0](v).summary for v in self.views.looks(images)], 1)


class _Flat(nn.Module):
    """The pixels of a view as its summary."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, view: Tensor) -> Features:
        longer = max(view.shape[-2:])
        if longer > self.size:
            shape = [max(1, round(side * self.size / longer)) for side in view.shape[-2:]]
            view = functional.interpolate(view, size=shape, mode="area")
        return Features(view.flatten(1))
