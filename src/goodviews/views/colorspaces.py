"""Colour spaces: RGB to Lab, YCbCr, YDbDr, YIQ, YUV, HSV and XYZ, in scikit-image's units.

Images are float RGB in [0, 1], shape (n, 3, h, w). ``NATURAL`` holds the mean and standard
deviation of every channel over natural photographs (CIFAR-10's training images), to bring the
channels of any space to about zero mean and unit deviation.
"""

from __future__ import annotations

import torch
from torch import Tensor

from goodviews.interfaces import UserError
from goodviews.views.color import hue_sector

__all__ = ["COLOR_SPACES", "NATURAL", "convert", "standardise"]

_LINEAR: dict[str, tuple[tuple[float, ...], ...]] = {
    "yuv": (
        (0.299, 0.587, 0.114),
        (-0.14714119, -0.28886916, 0.43601035),
        (0.61497538, -0.51496512, -0.10001026),
    ),
    "yiq": (
        (0.299, 0.587, 0.114),
        (0.59590059, -0.27455667, -0.32134392),
        (0.21153661, -0.52273617, 0.31119955),
    ),
    "ycbcr": (
        (65.481, 128.553, 24.966),
        (-37.797, -74.203, 112.0),
        (112.0, -93.786, -18.214),
    ),
    "ydbdr": ((0.299, 0.587, 0.114), (-0.45, -0.883, 1.333), (-1.333, 1.116, 0.217)),
}
_XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_WHITE = (0.95047, 1.0, 1.08883)

NATURAL: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "rgb": ((0.492, 0.482, 0.445), (0.248, 0.245, 0.263)),
    "hsv": ((0.322, 0.274, 0.538), (0.277, 0.219, 0.248)),
    "xyz": ((0.254, 0.268, 0.271), (0.233, 0.247, 0.283)),
    "yuv": ((0.481, -0.0174, 0.00988), (0.241, 0.0528, 0.0672)),
    "yiq": ((0.481, 0.0178, -0.00925), (0.241, 0.0775, 0.036)),
    "ycbcr": ((121.0, 124.0, 130.0), (52.7, 13.6, 12.2)),
    "ydbdr": ((0.481, -0.0533, -0.0214), (0.241, 0.161, 0.146)),
    "lab": ((50.8, 0.4, 5.9), (24.4, 10.2, 15.9)),
}


def _mix(images: Tensor, matrix: tuple[tuple[float, ...], ...]) -> Tensor:
    return torch.einsum("dc,nchw->ndhw", images.new_tensor(matrix), images)


def _xyz(images: Tensor) -> Tensor:
    bent = ((images + 0.055) / 1.055).clamp(min=0.0) ** 2.4
    return _mix(torch.where(images > 0.04045, bent, images / 12.92), _XYZ)


def _lab(images: Tensor) -> Tensor:
    scaled = _xyz(images) / images.new_tensor(_WHITE).view(1, 3, 1, 1)
    cube = scaled.clamp(min=1e-8) ** (1 / 3)
    x, y, z = torch.where(scaled > 0.008856, cube, 7.787 * scaled + 16 / 116).unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def _hsv(images: Tensor) -> Tensor:
    sector, low, high = hue_sector(images)
    saturation = (high - low) / high.clamp(min=1e-12)
    return torch.stack([(sector / 6).remainder(1.0), saturation, high], 1)


def _ycbcr(images: Tensor) -> Tensor:
    return _mix(images, _LINEAR["ycbcr"]) + images.new_tensor([16.0, 128, 128]).view(1, 3, 1, 1)


COLOR_SPACES = ("rgb", "hsv", "xyz", "yuv", "yiq", "ycbcr", "ydbdr", "lab")


def convert(images: Tensor, space: str) -> Tensor:
    """Convert RGB images in [0, 1], shape (n, 3, h, w), to ``space``, in scikit-image's units.

    Raises:
        UserError: If the space is unknown.

    Example:
        >>> convert(torch.ones(1, 3, 1, 1), "lab").flatten().round().abs().tolist()
        [100.0, 0.0, 0.0]
    """
    if space == "rgb":
        return images
    if space == "ycbcr":
        return _ycbcr(images)
    if space in _LINEAR:
        return _mix(images, _LINEAR[space])
    special = {"xyz": _xyz, "lab": _lab, "hsv": _hsv}
    if space not in special:
        raise UserError(f"color space: {space!r} is unknown. Use one of {', '.join(COLOR_SPACES)}.")
    return special[space](images)


def standardise(images: Tensor, space: str) -> Tensor:
    """Bring images of a colour space to about zero mean and unit deviation (``NATURAL``)."""
    mean, std = NATURAL[space]
    centre = images.new_tensor(mean).view(1, 3, 1, 1)
    return (images - centre) / images.new_tensor(std).view(1, 3, 1, 1)
