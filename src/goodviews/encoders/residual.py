"""AMDIM's residual layers in bf16 on a CPU: matrix products over locations, gradients included.

Maps lie channels last, so a 1 x 1 convolution is a product of (locations, channels) with a weight,
and any convolution without padding is the same product over gathered windows. Products run near
the processor's bf16 peak; the convolutions' gradients, of small maps above all, do not. Written
out by hand, a layer also goes over memory less often than its modules do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

GATHERED = 2**21
"""Numbers gathered at once, so that they stay in the cache."""


def residual(x: Tensor, first: Tensor, second: Tensor, stride: int = 1) -> Tensor:
    """One residual layer without padding: ``pad_channels(average_pool(x)) + W2 relu(W1 * x)``.

    Equal to the modules of :class:`goodviews.encoders.amdim.ResidualLayer`; second derivatives are
    not available.

    Args:
        x: maps (n, c, h, w), taken in autocast's number format where it is on.
        first: W1, (o, c, k, k).
        second: W2, (o, o, 1, 1).
        stride: s.

    Returns:
        Maps (n, o, (h - k) / s + 1, (w - k) / s + 1), channels last in memory.

    Example:
        >>> x, first = torch.ones(1, 2, 4, 4), torch.ones(3, 2, 2, 2)
        >>> residual(x, first, torch.eye(3)[:, :, None, None], stride=2)[0, :, 0, 0]
        tensor([9., 9., 8.])
    """
    maps = x.to(_dtype(x)).permute(0, 2, 3, 1).contiguous()
    out = Residual.apply(maps, first.permute(0, 2, 3, 1), second.flatten(1), stride)
    return out.permute(0, 3, 1, 2)


def pays(x: Tensor, k: int, stride: int) -> bool:
    """Whether :func:`residual` is faster for x (n, c, h, w) than modules, and applies.

    It is in bf16 on a CPU; float32 convolutions are at their peak, GPUs have cuDNN, and
    torch.compile fuses modules itself. The windows have to cover x without a rest.

    Example:
        >>> pays(torch.zeros(1, 3, 8, 8, dtype=torch.bfloat16), k=2, stride=2)
        True
        >>> pays(torch.zeros(1, 3, 8, 8), k=2, stride=2)
        False
    """
    covers = k % stride == 0 and all((side - k) % stride == 0 for side in x.shape[2:])
    return covers and x.is_cpu and _dtype(x) == torch.bfloat16 and not torch.compiler.is_compiling()


def _dtype(x: Tensor) -> torch.dtype:
    """What products of ``x`` are computed in: autocast's number format where it is on."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


class Windows(NamedTuple):
    """The k x k windows, stride s, that tile maps (n, h, w, c) without a rest; s divides k."""

    k: int
    s: int

    def count(self, side: int) -> int:
        """Windows along a side: (side - k) / s + 1."""
        return (side - self.k) // self.s + 1

    def gather(self, maps: Tensor) -> Tensor:
        """One row a window: (n h' w', k k c); a view where k = 1.

        Example:
            >>> Windows(2, 1).gather(torch.arange(9.0).view(1, 3, 3, 1))[:2]
            tensor([[0., 1., 3., 4.],
                    [1., 2., 4., 5.]])
        """
        if self.k > 1:
            windows = maps.unfold(1, self.k, self.s).unfold(2, self.k, self.s)
            maps = windows.permute(0, 1, 2, 4, 5, 3).flatten(3)
        return rows(maps)

    def average(self, maps: Tensor) -> Tensor:
        """The mean of every window, (n h' w', c)."""
        pooled = functional.avg_pool2d(maps.permute(0, 3, 1, 2), self.k, self.s)
        return rows(pooled.permute(0, 2, 3, 1))

    def scatter(self, gathered: Tensor, means: Tensor, maps: Tensor) -> None:
        """Write the gradient of ``maps`` from those of :meth:`gather` and of :meth:`average`.

        Example:
            >>> maps = torch.empty(1, 3, 3, 1)
            >>> Windows(2, 1).scatter(torch.ones(4, 4), torch.zeros(1, 2, 2, 1), maps)
            >>> maps.view(3, 3)
            tensor([[1., 2., 1.],
                    [2., 4., 2.],
                    [1., 2., 1.]])
        """
        (n, h, w, c), (k, s) = maps.shape, self
        down, right, steps = self.count(h), self.count(w), k // s
        places = [(i, j) for i in range(steps) for j in range(steps)]  # of s x s blocks in a window
        spread = means.new_zeros(n, h // s, w // s, c)
        for i, j in places:
            spread[:, i : i + down, j : j + right].add_(means, alpha=k**-2)
        blocks = maps.view(n, h // s, s, w // s, s, c)
        blocks.copy_(spread[:, :, None, :, None])
        gathered = gathered.view(n, down, right, steps, s, steps, s, c)
        for i, j in places:
            part = gathered[:, :, :, i, :, j].transpose(2, 3)
            blocks[:, i : i + down, :, j : j + right].add_(part)


def rows(maps: Tensor) -> Tensor:
    """(n, h, w, c) -> (n h w, c)."""
    return maps.reshape(-1, maps.shape[-1])


class Residual(torch.autograd.Function):
    """``average(x) + W2 relu(W1 x)`` for x (n, h, w, c), W1 (o, k, k, c), W2 (o, o), stride s."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, first: Tensor, second: Tensor, stride: int) -> Tensor:
        """(n, h', w', o); the average's missing channels are zero."""
        windows = Windows(first.shape[1], stride)
        w1, w2 = first.flatten(1).to(x.dtype), second.to(x.dtype)
        shape = (len(x), windows.count(x.shape[1]), windows.count(x.shape[2]), len(w1))
        hidden, out = x.new_empty(shape), x.new_empty(shape)
        for part in _parts(shape, w1):
            gathered, h, y = windows.gather(x[part]), rows(hidden[part]), rows(out[part])
            torch.mm(gathered, w1.t(), out=h).relu_()
            if gathered.shape == h.shape and windows.k == 1:
                torch.addmm(gathered, h, w2.t(), out=y)
            else:
                torch.mm(h, w2.t(), out=y)[:, : x.shape[-1]] += windows.average(x[part])
        ctx.save_for_backward(x, hidden, first, second)
        ctx.windows = windows
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The same products, transposed; weights' gradients are summed in the weights' format."""
        x, hidden, first, second = ctx.saved_tensors
        windows, channels, grad = ctx.windows, x.shape[-1], grad.contiguous()
        w1, w2 = first.flatten(1).to(x.dtype), second.to(x.dtype)
        x_grad = torch.empty_like(x)
        first_grad, second_grad = first.new_zeros(w1.shape), torch.zeros_like(second)
        for part in _parts(hidden.shape, w1):
            g, h = rows(grad[part]), rows(hidden[part])
            second_grad += g.t() @ h
            d = _masked(g @ w2, h)
            first_grad += d.t() @ windows.gather(x[part])
            if h.shape[1] == channels and windows.k == 1:
                torch.addmm(g, d, w1, out=rows(x_grad[part]))
            else:
                windows.scatter(d @ w1, grad[part][..., :channels], x_grad[part])
        return x_grad, first_grad.view(first.shape), second_grad, None


def _parts(shape: tuple[int, ...], weight: Tensor) -> Iterator[slice]:
    """Images, as many at a time as may be gathered at once."""
    n, h, w, _ = shape
    step = max(1, GATHERED // (h * w * weight.shape[1]))
    return (slice(i, i + step) for i in range(0, n, step))


def _masked(grad: Tensor, hidden: Tensor) -> Tensor:
    """``grad`` where relu's result ``hidden`` is positive, else 0; in place."""
    return torch.ops.aten.threshold_backward.grad_input(grad, hidden, 0, grad_input=grad)
