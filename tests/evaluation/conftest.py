"""Digits as probe data and as an image source."""

from __future__ import annotations

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from goodviews.data.images import Images


@pytest.fixture(scope="session")
def digits() -> tuple[Images, Images]:
    """1,297 training and 500 test images of handwritten digits, 1x8x8 uint8."""
    x, y = load_digits(return_X_y=True)
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    images = torch.as_tensor(x * 15.9375).round().to(torch.uint8).reshape(-1, 1, 8, 8)[order]
    labels = torch.as_tensor(y).long()[order]
    return Images(images[500:], "digits", labels[500:]), Images(
        images[:500], "digits", labels[:500]
    )


@pytest.fixture(scope="session")
def digit_pixels(digits: tuple[Images, Images]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The same as (train_x, train_y, test_x, test_y)."""
    train, test = digits
    return (
        train.pixels.flatten(1) / 255,
        train.labels,
        test.pixels.flatten(1) / 255,
        test.labels,
    )
