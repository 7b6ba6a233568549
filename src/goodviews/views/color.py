"""Colour changes of a whole batch, each with one parameter an image, equal to torchvision's.

Images are float (n, c, h, w) in [0, 1]. Saturation, hue and greyscale leave images alone that have
not three channels, as torchvision does for grey ones. ``out`` may be the images themselves.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = [
    "adjust_brightness",
    "adjust_contrast",
    "adjust_hue",
    "adjust_saturation",
    "greyscale",
    "hue_sector",
    "luma",
    "solarise",
]

_LUMA = (0.2989, 0.587, 0.114)


def luma(images: Tensor) -> Tensor:
    """Grey value (n, 1, h, w) = 0.2989 R + 0.587 G + 0.114 B.

    Example:
        >>> round(luma(torch.ones(1, 3, 1, 1)).item(), 4)
        0.9999
    """
    if images.shape[1] != 3:
        return images.mean(1, keepdim=True) if images.shape[1] > 1 else images
    red, green, blue = images.split(1, 1)
    return (red * _LUMA[0]).add_(green, alpha=_LUMA[1]).add_(blue, alpha=_LUMA[2])


def _per_image(values: Tensor, images: Tensor) -> Tensor:
    return values.to(images).view(-1, 1, 1, 1)


def adjust_brightness(images: Tensor, factor: Tensor, out: Tensor | None = None) -> Tensor:
    """Multiply the images by ``factor`` (n,) and clamp to [0, 1].

    Example:
        >>> adjust_brightness(torch.full((1, 1, 1, 1), 0.25), torch.tensor([2.0])).item()
        0.5
    """
    return torch.mul(images, _per_image(factor, images), out=out).clamp_(0.0, 1.0)


def adjust_contrast(images: Tensor, factor: Tensor, out: Tensor | None = None) -> Tensor:
    """Blend with each image's mean grey: factor * x + (1 - factor) * mean, clamped; factor (n,).

    Example:
        >>> adjust_contrast(torch.rand(2, 3, 4, 4), torch.zeros(2)).flatten(1).std(1).max() < 1e-6
        tensor(True)
    """
    factor = _per_image(factor, images)
    mean = luma(images.mean((2, 3), keepdim=True))
    return torch.addcmul(mean * (1 - factor), images, factor, out=out).clamp_(0.0, 1.0)


def adjust_saturation(images: Tensor, factor: Tensor, out: Tensor | None = None) -> Tensor:
    """Blend each pixel with its grey: factor * x + (1 - factor) * grey, clamped; factor (n,).

    Example:
        >>> images = torch.rand(1, 3, 4, 4)
        >>> torch.allclose(adjust_saturation(images, torch.ones(1)), images)
        True
    """
    if images.shape[1] != 3:
        return images
    factor = _per_image(factor, images)
    grey = luma(images).mul_(1 - factor)
    return torch.addcmul(grey, images, factor, out=out).clamp_(0.0, 1.0)


def hue_sector(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """HSV hue in [-3, 3] sixths of the circle, smallest and largest channel; all (n, h, w).

    Without branches: with red, green, blue scaled so that the smallest is 0 and the largest 1,
    and a = g - b, the hue is sign(a) * (|a| + (1 - r) (3 - 2 |a|)).

    Example:
        >>> hue_sector(torch.tensor([0.0, 1, 0]).view(1, 3, 1, 1))[0].item()
        2.0
    """
    red, green, blue = images.unbind(1)
    high = torch.maximum(red, green)
    torch.maximum(high, blue, out=high)
    low = torch.minimum(red, green)
    torch.minimum(low, blue, out=low)
    scale = (high - low).clamp_(min=1e-12).reciprocal_()
    side = (green - blue).mul_(scale)
    rest = (high - red).mul_(scale)
    size = side.abs()
    hue = torch.rsub(size, 3, alpha=2).mul_(rest).add_(size)
    return torch.copysign(hue, side, out=hue), low, high


def adjust_hue(images: Tensor, delta: Tensor, out: Tensor | None = None) -> Tensor:
    """Turn the HSV hue by ``delta`` (n,) of a full circle, each in [-0.5, 0.5].

    With M the largest and m the smallest channel and hue h in [0, 6), the result is m + (M - m) t,
    where t is |h - 3| - 1 for red, 2 - |h - 2| for green, 2 - |h - 4| for blue, clamped to [0, 1].

    Example:
        >>> adjust_hue(torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1), torch.tensor([0.5])).flatten()
        tensor([0., 1., 1.])
    """
    if images.shape[1] != 3:
        return images
    hue, low, high = hue_sector(images)
    hue.add_(6 * delta.to(images).view(-1, 1, 1))
    chroma, turned = high - low, high
    hue.sub_(torch.floor(torch.mul(hue, 1 / 6, out=turned), out=turned), alpha=6)
    out = torch.empty_like(images) if out is None else out
    for channel, centre in enumerate((3.0, 2.0, 4.0)):
        torch.sub(hue, centre, out=turned).abs_()
        turned = turned.sub_(1.0) if channel == 0 else turned.neg_().add_(2.0)
        torch.addcmul(low, chroma, turned.clamp_(0.0, 1.0), out=out[:, channel])
    return out


def greyscale(images: Tensor) -> Tensor:
    """Each pixel's grey in all three channels.

    Example:
        >>> greyscale(torch.rand(1, 3, 2, 2)).std(1).max().item()
        0.0
    """
    return images if images.shape[1] != 3 else luma(images).repeat(1, 3, 1, 1)


def solarise(images: Tensor, threshold: Tensor) -> Tensor:
    """Invert the pixels at or above ``threshold`` (n,).

    Example:
        >>> solarise(torch.tensor([0.25, 0.75]).view(1, 1, 1, 2), torch.tensor([0.5])).flatten()
        tensor([0.2500, 0.2500])
    """
    return torch.where(images >= _per_image(threshold, images), 1 - images, images)
