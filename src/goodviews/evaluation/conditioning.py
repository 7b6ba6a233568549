"""How hard an encoder is to invert near an image: the singular values of its Jacobian."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import jacrev, vmap

from goodviews.layers import evaluating

RESOLUTION = 1e-7
"""Singular values below this share of the largest are rounding error in float32."""


def jacobian_singular_values(encoder: nn.Module, x: Tensor, chunk: int = 16) -> Tensor:
    r"""Singular values of the encoder's Jacobian at each image, descending.

    ``J_i = d summary(x_i) / d flat(x_i)``, of shape (d_out, d_in), in eval mode and without
    autocast, by d_out reverse passes. The values are the roots of the eigenvalues of the smaller of
    J J^T and J^T J in float64: squaring costs half the digits, which float64 has to spare, so all
    above 1e-7 of the largest are right to the precision of a float32 J (Tschannen et al. 2019,
    figure 2).

    Args:
        encoder: a module of the house that treats each image on its own; batch norm in eval mode
            does.
        x: float images, shape (n, ...).
        chunk: images at a time; each layer holds d_out gradients of its width for every one.

    Returns:
        float64, shape (n, min(d_out, d_in)).

    Example:
        >>> from goodviews.encoders import build
        >>> encoder = build("linear", 1, (2, 4))
        >>> jacobian_singular_values(encoder, torch.rand(3, 1, 2, 4)).shape
        torch.Size([3, 8])
    """
    shape = x.shape[1:]

    def summary(flat: Tensor) -> Tensor:
        return encoder(flat.unflatten(0, shape).unsqueeze(0)).summary.squeeze(0)

    with evaluating(encoder), torch.no_grad(), torch.autocast(x.device.type, enabled=False):
        flat = x.flatten(1)
        jacobian = vmap(jacrev(summary))
        return torch.cat([_singular_values(jacobian(part)) for part in flat.split(chunk)])


def _singular_values(matrices: Tensor) -> Tensor:
    """Of a batch (n, a, b): (n, min(a, b)), descending, float64."""
    j = matrices.double()
    gram = j @ j.mT if j.shape[1] <= j.shape[2] else j.mT @ j
    return torch.linalg.eigvalsh(gram).flip(1).clamp_min(0).sqrt()


def log_condition(singular_values: Tensor) -> Tensor:
    r"""Logarithm of the condition number, ``log sigma_1 - log sigma_n`` (natural), shape (n,).

    0 is a rotation; log 1000 = 6.9 means that some direction is stretched a thousand times as much
    as another (Tschannen et al. 2019, figure 2). The least singular value is raised to 1e-7 of the
    largest where it is below, since float32 resolves no more, so the result is at most 16.1; it is
    16.1, too, where all are zero.

    Args:
        singular_values: shape (n, k), descending.

    Example:
        >>> log_condition(torch.tensor([[4.0, 2.0, 1.0], [1.0, 1.0, 0.0]]))
        tensor([ 1.3863, 16.1181])
    """
    largest = singular_values[:, 0].clamp_min(torch.finfo(singular_values.dtype).tiny)
    return -(singular_values[:, -1] / largest).clamp(RESOLUTION, 1).log()


def percentiles(values: Tensor) -> dict[str, float]:
    """The quantiles that Tschannen et al. 2019, figure 2 plots, over all entries of ``values``.

    Keys "min", "p20", "p40", "p60", "p80", "max"; linear interpolation between entries.

    Example:
        >>> percentiles(torch.arange(11.0))
        {'min': 0.0, 'p20': 2.0, 'p40': 4.0, 'p60': 6.0, 'p80': 8.0, 'max': 10.0}
    """
    shares = torch.linspace(0, 1, 6, dtype=torch.float64, device=values.device)
    found = values.double().flatten().quantile(shares).tolist()
    return dict(zip(("min", "p20", "p40", "p60", "p80", "max"), found, strict=True))
