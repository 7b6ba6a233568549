"""The AMDIM encoder: a residual network whose local features see a known part of the image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from goodviews.encoders.residual import pays, residual
from goodviews.interfaces import Features, UserError

SIDES = (5, 7)
"""Side lengths of the local maps that take part in the objective."""

INPUT_SIZES = (32, 64, 128)
"""Heights and widths the encoder exists for."""


class ResidualLayer(nn.Module):
    r"""One residual layer without padding: pooling plus a two-layer branch that starts at zero.

    ``y = pad_channels(average_pool(x, k, s)) + W2 relu(W1 * x)``

    with :math:`W_1` a k x k convolution of stride s and :math:`W_2` a 1 x 1 convolution, both
    without bias; :math:`W_2` = 0 at the start, so that a network of any depth starts as pooling.
    Nothing follows the sum. Bachman et al. 2019, code (``ConvResNxN``).

    Arguments:
        before: channels of x.
        after: channels of y, at least ``before``; the shortcut's further channels are zero.
        width: k.
        stride: s.
        batch_norm: whether W1's output is batch-normalised.

    Example:
        >>> layer = ResidualLayer(2, 3, width=2, stride=2)
        >>> layer(torch.ones(1, 2, 4, 4)).flatten(2).mean(2)
        tensor([[1., 1., 0.]], grad_fn=<MeanBackward1>)
    """

    def __init__(
        self, before: int, after: int, width: int = 1, stride: int = 1, batch_norm: bool = False
    ) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, width, stride, bias=False)  # kaiming, a = sqrt 5
        self.norm = nn.BatchNorm2d(after) if batch_norm else nn.Identity()
        self.second = nn.Conv2d(after, after, 1, bias=False)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, before, h, w) to (n, after, (h - k) / s + 1, (w - k) / s + 1)."""
        (width, _), (stride, _) = self.first.kernel_size, self.first.stride
        if isinstance(self.norm, nn.Identity) and pays(x, width, stride):
            return residual(x, self.first.weight, self.second.weight, stride)
        return self.by_modules(x)

    def by_modules(self, x: Tensor) -> Tensor:
        """The same by one module after the other."""
        branch = self.second(functional.relu(self.norm(self.first(x)), inplace=True))
        return branch + self._shortcut(x)

    def _shortcut(self, x: Tensor) -> Tensor:
        width, stride = self.first.kernel_size, self.first.stride
        pooled = x if width == (1, 1) else functional.avg_pool2d(x, width, stride)
        missing = self.first.out_channels - self.first.in_channels
        return functional.pad(pooled, (0, 0, 0, 0, 0, missing)) if missing else pooled


class ResidualBlock(nn.Sequential):
    r"""A :class:`ResidualLayer` of width k and stride s, then ``depth - 1`` layers of width 1.

    Only the first layer has spatial extent, so depth does not widen the receptive field.

    Arguments:
        before: channels of the input.
        after: channels of every layer's output.
        width: k of the first layer.
        stride: s of the first layer.
        depth: number of layers.
        batch_norm: as in :class:`ResidualLayer`.

    Example:
        >>> ResidualBlock(4, 8, width=4, stride=2, depth=3)(torch.zeros(1, 4, 30, 30)).shape
        torch.Size([1, 8, 14, 14])
    """

    def __init__(
        self,
        before: int,
        after: int,
        width: int,
        stride: int,
        depth: int,
        batch_norm: bool = False,
    ) -> None:
        later = (ResidualLayer(after, after, batch_norm=batch_norm) for _ in range(depth - 1))
        super().__init__(ResidualLayer(before, after, width, stride, batch_norm), *later)


class SharedSpace(nn.Module):
    r"""The head phi_d of a local map: one hidden layer beside a linear shortcut, normalised.

    ``phi(f) = BN(W2 relu(W1 f) + V f + b)``

    at every location, with :math:`W_2` = 0 and V near the identity at the start (1 on the diagonal,
    uniform in (-0.01, 0.01) elsewhere; where D < C, PyTorch's default). Called "fake RKHS" in the
    code: a space of finite dimension in place of one where every function of interest is linear.
    Bachman et al. 2019, code.

    Arguments:
        channels: C, of the local map.
        dim: D, of the shared space (n_rkhs).
        batch_norm: whether the hidden layer is batch-normalised too.

    Example:
        >>> phi = SharedSpace(4, 8)
        >>> phi(torch.randn(2, 4, 7, 7)).shape
        torch.Size([2, 8, 7, 7])
    """

    def __init__(self, channels: int, dim: int, batch_norm: bool = False) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, dim, 1, bias=False)
        self.norm = nn.BatchNorm2d(dim) if batch_norm else nn.Identity()
        self.second = nn.Conv2d(dim, dim, 1, bias=False)
        self.shortcut = nn.Conv2d(channels, dim, 1)
        self.out_norm = nn.BatchNorm2d(dim)
        nn.init.zeros_(self.second.weight)
        if dim >= channels:
            nn.init.uniform_(self.shortcut.weight, -0.01, 0.01)
            with torch.no_grad():
                self.shortcut.weight[:, :, 0, 0].fill_diagonal_(1.0)

    def forward(self, local: Tensor) -> Tensor:
        """Map (n, C, h, w) to (n, D, h, w)."""
        hidden = functional.relu(self.norm(self.first(local)), inplace=True)
        return self.out_norm(self.second(hidden) + self.shortcut(local))


class AMDIMEncoder(nn.Module):
    r"""The encoder of AMDIM: global features f1 and local features f5 and f7, without padding.

    Padding would tell a feature that it lies at the border, and wide overlap between neighbouring
    features would make it trivial to match them. So there is no padding (but for reflection in the
    stem of the 128-pixel network) and the receptive fields are narrow, in pixels / stride:

    ========== ======= ======= ============
    input      f7      f5      f1
    ========== ======= ======= ============
    32 x 32    8 / 4   16 / 4  32 (all)
    64 x 64    16 / 8  32 / 8  64 (all)
    128 x 128  35 / 16 67 / 16 131 (all)
    ========== ======= ======= ============

    Local maps have C = 4 ndf channels at 32 pixels and 8 ndf at 64 and 128. Bachman et al. 2019,
    code; the sizes are in :data:`goodviews.encoders.ENCODERS`.

    Arguments:
        ndf: width of the stem.
        n_rkhs: D, width of f1 and of the shared space, at least C.
        n_depth: residual layers a block, at least 1.
        input_size: height and width of the views: 32, 64 or 128.
        in_channels: channels of the views.
        batch_norm: whether the residual branches, f7 and the heads' hidden layers are normalised;
            f1 and the heads' outputs always are.

    Raises:
        UserError: for another input size, an n_rkhs below C, or an n_depth below 1.

    Example:
        >>> encoder = AMDIMEncoder(ndf=8, n_rkhs=64, n_depth=2)
        >>> features = encoder(torch.zeros(2, 3, 32, 32))
        >>> features.summary.shape, features.local[7].shape, features.local[5].shape
        (torch.Size([2, 64]), torch.Size([2, 32, 7, 7]), torch.Size([2, 32, 5, 5]))
        >>> encoder.embed(features).local[5].shape
        torch.Size([2, 64, 5, 5])
    """

    def __init__(
        self,
        ndf: int,
        n_rkhs: int,
        n_depth: int,
        input_size: int = 32,
        in_channels: int = 3,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        width = _check_sizes(ndf, n_rkhs, n_depth, input_size)
        self.dim = self.n_rkhs = n_rkhs
        self.channels = dict.fromkeys(SIDES, width)
        self.expected = (in_channels, input_size, input_size)
        self.to7 = nn.Sequential(
            *_stem(ndf, input_size, in_channels, batch_norm),
            *_descent(ndf, n_depth, input_size, batch_norm),
            nn.BatchNorm2d(width) if batch_norm else nn.Identity(),
        )
        self.to5 = ResidualBlock(width, width, 3, 1, n_depth, batch_norm)
        self.to1 = nn.Sequential(
            ResidualBlock(width, width, 3, 1, n_depth, batch_norm),
            ResidualLayer(width, n_rkhs, 3, 1, batch_norm),
            nn.BatchNorm2d(n_rkhs),
        )
        self.heads = nn.ModuleDict({str(d): SharedSpace(width, n_rkhs, batch_norm) for d in SIDES})

    def forward(self, view: Tensor) -> Features:
        """Encode float views (n, in_channels, s, s): f1 (n, D), f5 and f7 (n, C, d, d).

        Raises:
            UserError: when the views have another size.
        """
        if tuple(view.shape[1:]) != self.expected:
            raise UserError(
                f"encoder: this AMDIM encoder reads views of shape {self.expected}, got "
                f"{tuple(view.shape[1:])}. Resize the views, or build it for that size."
            )
        f7 = self.to7(view)
        f5 = self.to5(f7)
        return Features(self.to1(f5).flatten(1), {5: f5, 7: f7})

    def embed(self, features: Features) -> Features:
        """The features in the shared space: phi_1 = identity, phi_5, phi_7; all D wide."""
        return Features(features.summary, embed_local(self.heads, features.local))


def embed_local(heads: nn.ModuleDict, local: dict[int, Tensor]) -> dict[int, Tensor]:
    """Each local map that has a head through it, by side length."""
    return {side: heads[str(side)](f) for side, f in local.items() if str(side) in heads}


def _check_sizes(ndf: int, n_rkhs: int, n_depth: int, input_size: int) -> int:
    """The width C of the local maps."""
    if input_size not in INPUT_SIZES:
        raise UserError(
            f"input_size: AMDIM encoders exist for views of 32, 64 or 128 pixels, not {input_size}."
            " Use --image-size 32."
        )
    if n_depth < 1:
        raise UserError(f"n_depth: {n_depth} is below 1. A block has at least one layer.")
    factor = 4 if input_size == 32 else 8
    if n_rkhs < factor * ndf:
        raise UserError(
            f"n_rkhs: {n_rkhs} is below {factor} ndf = {factor * ndf}, the width of the local "
            f"features at {input_size} pixels. Use n_rkhs of {factor * ndf} or more."
        )
    return factor * ndf


def _stem(ndf: int, input_size: int, in_channels: int, batch_norm: bool) -> Sequence[nn.Module]:
    """Views to (n, ndf, 30, 30) for 32 pixels, (n, ndf, 62, 62) for the others."""
    if input_size == 128:
        wide = nn.Conv2d(in_channels, ndf, 5, 2, padding=2, padding_mode="reflect")
        return wide, nn.ReLU(inplace=True), nn.Conv2d(ndf, ndf, 3), nn.ReLU(inplace=True)
    stem = (nn.Conv2d(in_channels, ndf, 3), nn.ReLU(inplace=True))
    return stem if input_size == 64 else (*stem, ResidualLayer(ndf, ndf, batch_norm=batch_norm))


def _descent(ndf: int, depth: int, input_size: int, batch_norm: bool) -> list[nn.Module]:
    """Blocks from the stem to f7: 4x4 stride 2 (twice for 64 and 128), then 2x2 stride 2."""
    widths = (4, 2) if input_size == 32 else (4, 4, 2)
    return [
        ResidualBlock(ndf * 2**i, ndf * 2 ** (i + 1), width, 2, depth, batch_norm)
        for i, width in enumerate(widths)
    ]
