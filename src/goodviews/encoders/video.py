"""Encoders of clips: a frame encoder and a recurrent network over its summaries."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from goodviews.interfaces import Features, UserError


class FrameCNN(nn.Module):
    r"""The image encoder of Colorful Moving-MNIST: four 3x3 layers and an average, any image size.

    conv(8) - conv(16) - conv(32) - conv(64), each with stride 2, batch norm and ReLU, then the
    average over pixels (Tian et al. 2020, appendix; the strides are ours). At 64x64 pixels one
    image costs 1.1 million multiply-adds.

    Arguments:
        in_channels: channels of the view.
        filters: of each layer; the last is the width of the summary.

    Example:
        >>> FrameCNN(3)(torch.zeros(2, 3, 64, 64)).summary.shape
        torch.Size([2, 64])
    """

    def __init__(self, in_channels: int = 3, filters: Sequence[int] = (8, 16, 32, 64)) -> None:
        super().__init__()
        self.dim = filters[-1]
        layers: list[nn.Module] = []
        for before, after in zip((in_channels, *filters), filters, strict=False):
            layers += [
                nn.Conv2d(before, after, 3, 2, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(inplace=True),
            ]
        self.layers = nn.Sequential(*layers)

    def forward(self, view: Tensor) -> Features:
        """Encode float views of shape (n, in_channels, h, w)."""
        return Features(self.layers(view).mean((2, 3)))


class ClipEncoder(nn.Module):
    r"""Any frame encoder on each frame, then a one-layer LSTM: its last state is the summary.

    .. math::
        h_t = \mathrm{LSTM}(h_{t-1}, f(x_t)), \quad \mathrm{summary} = h_T

    (Tian et al. 2020, appendix). The LSTM runs in float32.

    Arguments:
        frame_encoder: views (n, c, h, w) -> :class:`goodviews.interfaces.Features`, with ``dim``.
        hidden: width of the state and of the summary.

    Example:
        >>> encoder = ClipEncoder(FrameCNN(1))
        >>> encoder(torch.zeros(2, 5, 1, 16, 16)).summary.shape, encoder.dim
        (torch.Size([2, 64]), 64)
    """

    def __init__(self, frame_encoder: nn.Module, hidden: int = 64) -> None:
        super().__init__()
        self.dim = hidden
        self.frame_encoder = frame_encoder
        width: int = frame_encoder.dim  # type: ignore[assignment]
        self.lstm = nn.LSTM(width, hidden, batch_first=True)

    def forward(self, clips: Tensor) -> Features:
        """Encode float clips of shape (n, frames, c, h, w).

        Raises:
            UserError: another number of dimensions.
        """
        if clips.dim() != 5:
            shape = tuple(clips.shape)
            raise UserError(f"clips: shape {shape}. Give clips as (n, frames, c, h, w).")
        summaries = self.frame_encoder(clips.flatten(0, 1)).summary
        with torch.autocast(clips.device.type, enabled=False):
            states, _ = self.lstm(summaries.float().unflatten(0, clips.shape[:2]))
        return Features(states[:, -1])
