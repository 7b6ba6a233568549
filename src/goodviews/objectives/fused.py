"""The arithmetic on a tile of scores as pure functions, which torch.compile fuses on a GPU.

Each reads the scores once and writes one matrix at most. ``scores`` are s / unit, (b, a, N), of the
images from ``first`` on, each with ``locations`` columns; see
:class:`goodviews.objectives.softmax.Softmax`.
"""

from __future__ import annotations

import functools
import importlib.util
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def squash(scores: Tensor, clip: float | None) -> Tensor:
    """The clipped scores clip tanh(s / clip), + clip: a softmax does not see the constant.

    Of scores that are held as 2 s / clip; without a clip they are s and stay.

    Example:
        >>> squash(torch.tensor([0.0, 100.0]), 20.0).tolist()
        [20.0, 40.0]
    """
    return scores if clip is None else 2 * clip * torch.sigmoid(scores)


def slope_of(squashed: Tensor, clip: float | None) -> Tensor | float:
    """How fast the clipped scores rise with the scores: 1 - tanh^2 = 4 sigmoid (1 - sigmoid).

    Example:
        >>> slope_of(torch.tensor([20.0, 40.0]), 20.0).tolist()
        [1.0, 0.0]
    """
    return 1.0 if clip is None else squashed * (2 / clip) * (1 - squashed / (2 * clip))


def log_noise(
    scores: Tensor, first: Tensor, locations: int, clip: float | None
) -> tuple[Tensor, Tensor]:
    """The log of the sum of exp over negatives, (b, a, 1), and the sum of squares of the scores."""
    noise = squash(scores, clip).masked_fill(_own(scores, first, locations), -math.inf)
    return noise.logsumexp(-1, keepdim=True), scores.square().sum()


def descend(
    scores: Tensor,
    out: Tensor | None,
    log_noise: Tensor,
    push: Tensor,
    first: Tensor,
    locations: int,
    clip: float | None,
    penalty: bool,
) -> None:
    """Write into ``out``, or over the scores, the gradient of the scores of negatives.

    It is ``push`` (b, a, 1) times softmax times slope, and the penalty's share s / unit.
    """
    squashed = squash(scores, clip)
    noise = (squashed - log_noise).exp() * slope_of(squashed, clip) * push
    noise = noise.masked_fill(_own(scores, first, locations), 0.0)
    (scores if out is None else out).copy_(noise + scores if penalty else noise)


def _own(scores: Tensor, first: Tensor, locations: int) -> Tensor:
    """Where a column is a location of the row's own image, (b, 1, N)."""
    rows = first + torch.arange(scores.shape[0], device=scores.device)
    columns = torch.arange(scores.shape[2], device=scores.device) // locations
    return rows[:, None, None] == columns


def fuses(device: torch.device) -> bool:
    """Whether the functions are compiled: on CUDA, where triton is.

    Example:
        >>> fuses(torch.device("cpu"))
        False
    """
    return device.type == "cuda" and importlib.util.find_spec("triton") is not None


@functools.cache
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as compiled once for all."""
    return torch.compile(function)
