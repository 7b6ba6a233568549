"""The encoders of Tschannen et al. 2019 that are not invertible by construction."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from goodviews.encoders.invertible import truncated_normal_
from goodviews.encoders.vision import MLPEncoder
from goodviews.interfaces import Features, UserError

TINIEST = 1e-24
"""Least variance whose root is taken: at 0 the root has no gradient."""


def _glorot(module: nn.Module) -> None:
    """Keras' start: weights uniform in +-sqrt(6 / (fan in + fan out)), biases zero."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)


class HalvesMLP(MLPEncoder):
    r"""The MLP that Tschannen et al. 2019 train on halves of digits: 300-300-100 with ReLU.

    Weights start Glorot-uniform and biases at zero, as in Keras (their section 3 and code); else
    it is :class:`goodviews.encoders.MLPEncoder`.

    Arguments:
        in_channels: channels of the view.
        image_size: height and width the encoder is made for.
        hidden: widths of the hidden layers.
        dim: width of the summary.

    Example:
        >>> sum(p.numel() for p in HalvesMLP(1, (14, 28)).parameters())
        238300
    """

    def __init__(
        self,
        in_channels: int,
        image_size: tuple[int, int],
        hidden: tuple[int, ...] = (300, 300),
        dim: int = 100,
    ) -> None:
        super().__init__(in_channels, image_size, hidden, dim)
        _glorot(self)


class SameConv2d(nn.Conv2d):
    r"""A strided convolution that pads as TensorFlow's "same": one output every ``stride`` pixels.

    Along each axis of n pixels the output has ceil(n / stride); of the
    ``max((ceil(n / stride) - 1) stride + kernel - n, 0)`` zeros that this takes, the smaller half
    goes before the image and the larger after it.

    Arguments:
        before: channels of the input.
        after: channels of the output.
        kernel: height and width of the kernel.
        stride: pixels from one output to the next.

    Example:
        >>> import torch
        >>> SameConv2d(1, 64, 5, 2)(torch.zeros(2, 1, 14, 28)).shape
        torch.Size([2, 64, 7, 14])
    """

    def __init__(self, before: int, after: int, kernel: int, stride: int) -> None:
        super().__init__(before, after, kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, before, h, w) to (n, after, ceil(h / stride), ceil(w / stride))."""
        dtype = x.dtype
        if torch.is_autocast_enabled(x.device.type):  # which vmap keeps from convolutions
            dtype = torch.get_autocast_dtype(x.device.type)
        assert self.bias is not None
        weight, bias = self.weight.to(dtype), self.bias.to(dtype)
        return functional.conv2d(self._padded(x.to(dtype)), weight, bias, self.stride)

    def _padded(self, x: Tensor) -> Tensor:
        amounts: list[int] = []
        for axis in (1, 0):  # functional.pad wants the last axis first
            n, kernel, stride = x.shape[2 + axis], self.kernel_size[axis], self.stride[axis]
            total = max((-(-n // stride) - 1) * stride + kernel - n, 0)
            amounts += [total // 2, total - total // 2]
        return functional.pad(x, amounts)


class LayerNormPool(nn.Module):
    r"""Layer norm over channels and pixels, then the mean over pixels, in one go.

    .. math::
        z_c = \gamma_c \frac{\bar x_c - m}{\sigma + 10^{-6}} + \beta_c

    with m and :math:`\sigma` the mean and the (biased) standard deviation of all c h w values of
    one image and :math:`\bar x_c` the mean of channel c: the mean of normalised pixels is the
    normalised mean, so the normalised map is never made.

    Arguments:
        channels: c.

    Example:
        >>> import torch
        >>> pooled = LayerNormPool(2)(torch.tensor([[[[0.0, 1.0]], [[2.0, 3.0]]]]))
        >>> [round(value, 4) for value in pooled[0].tolist()]
        [-0.8944, 0.8944]
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, c, h, w) to (n, c), in float32 or better."""
        x = x.to(torch.promote_types(x.dtype, torch.float32)).flatten(2)
        channel_mean = x.mean(2)
        mean = channel_mean.mean(1, keepdim=True)
        variance = (x - mean[:, :, None]).square().mean((1, 2))[:, None]
        deviation = variance.clamp_min(TINIEST).sqrt()
        return (channel_mean - mean) / (deviation + 1e-6) * self.scale + self.bias


class LayerNormConvNet(nn.Module):
    r"""The ConvNet of Tschannen et al. 2019: two strided 5x5 layers, layer norm, global average.

    conv 5x5x64, stride 2 - ReLU - conv 5x5x128, stride 2 - ReLU - layer norm - global average -
    linear, padded as TensorFlow's "same", Glorot-uniform weights, zero biases (their section 3.3
    and code). Any image size.

    The convolutions are ordinary ones. Stacked under ``torch.func.vmap`` they become one grouped
    convolution, which on a CPU is faster than unfolding into a batched matrix product (for 3
    members of batch 128 by a factor of 1.7 to 2), but takes 1.5 times as long as the members in a
    plain loop.

    Arguments:
        in_channels: channels of the view.
        width: channels of the first layer; the second has twice as many.
        dim: width of the summary.

    Example:
        >>> import torch
        >>> encoder = LayerNormConvNet(1)
        >>> encoder(torch.zeros(2, 1, 14, 28)).summary.shape
        torch.Size([2, 100])
        >>> sum(p.numel() for p in encoder.parameters())
        219748
    """

    def __init__(self, in_channels: int = 1, width: int = 64, dim: int = 100) -> None:
        super().__init__()
        self.dim = dim
        self.layers = nn.Sequential(
            SameConv2d(in_channels, width, 5, 2),
            nn.ReLU(),
            SameConv2d(width, 2 * width, 5, 2),
            nn.ReLU(),
            LayerNormPool(2 * width),
            nn.Linear(2 * width, dim),
        )
        _glorot(self)

    def forward(self, view: Tensor) -> Features:
        """Encode float views of shape (n, in_channels, h, w)."""
        return Features(self.layers(view))


class SkipMLP(nn.Module):
    r"""Five layers with shortcuts that keep the width of the view, near the identity at the start.

    .. math::
        x \leftarrow x + \mathrm{ReLU}(W x + b) \;\text{four times, then}\; x \leftarrow x + W x + b

    The weights are a truncated normal of standard deviation 1e-4 and the biases zero, so that at
    first nearly all information passes; nothing but training can make it hard to invert
    (Tschannen et al. 2019, section 3.1, figure 2).

    Arguments:
        in_channels: channels of the view.
        image_size: height and width the encoder is made for; the summary has as many values.
        depth: number of layers.
        std: of the weights.

    Example:
        >>> encoder = SkipMLP(1, (14, 28))
        >>> encoder.dim, sum(p.numel() for p in encoder.parameters())
        (392, 770280)
    """

    def __init__(
        self, in_channels: int, image_size: tuple[int, int], depth: int = 5, std: float = 1e-4
    ) -> None:
        super().__init__()
        self.expected = (in_channels, *image_size)
        self.dim = math.prod(self.expected)
        self.layers = nn.ModuleList(nn.Linear(self.dim, self.dim) for _ in range(depth))
        for layer in self.layers:
            assert isinstance(layer, nn.Linear)
            truncated_normal_(layer.weight, std)
            nn.init.zeros_(layer.bias)

    def forward(self, view: Tensor) -> Features:
        """Encode float views of exactly the size the encoder was made for."""
        if tuple(view.shape[1:]) != self.expected:
            raise UserError(
                f"encoder: this MLP with shortcuts was made for views of shape {self.expected}, "
                f"got {tuple(view.shape[1:])}. Use a convolutional encoder such as 'convnet'."
            )
        x = view.flatten(1)
        for layer in self.layers[:-1]:
            x = x + functional.relu(layer(x))
        return Features(x + self.layers[-1](x))
