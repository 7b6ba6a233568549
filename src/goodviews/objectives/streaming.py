"""Contrastive losses that never hold more than a tile of the matrix of scores."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from goodviews.interfaces import UserError
from goodviews.objectives.processes import gather
from goodviews.objectives.softmax import Terms, Weights, scores_a_tile
from goodviews.objectives.tiles import TiledNCE

ROUNDINGS = 8
"""Tiles of bf16 inputs at most: as often is a gradient of consequents rounded to bf16."""


class NCE(NamedTuple):
    """What :func:`multiscale_nce` returns. In nats."""

    loss: Tensor
    """A scalar, differentiable."""
    log_posterior: Tensor
    """The log probability of each positive among its candidates, (B, a, L), detached."""
    penalty: Tensor
    """The mean of the squared scaled scores, a scalar, detached; without lambda."""


def multiscale_nce(
    antecedents: Tensor,
    consequents: Tensor,
    *,
    weights: Weights | None = None,
    penalty: float = 5e-2,
    clip: float | None = 20.0,
    scale: float | None = None,
    tile: int | None = None,
) -> NCE:
    r"""AMDIM's noise-contrastive loss of antecedents that predict all locations of their image.

    ``s = scale a^T c``, ``s' = clip tanh(s / clip)`` and, for location l of the antecedent's image,

    ``log_posterior = s'_l - log(exp s'_l + sum over negatives of exp s')``

    where the negatives are all locations of all other images (of all processes, when
    torch.distributed is initialised; every process must bring as many images). Then
    ``loss = -sum(weights * log_posterior) + penalty * mean(s^2)``, a mean over all scores.
    Scores, softmax and loss are float32 whatever the autocast (float64 for float64 inputs).

    Args:
        antecedents: (B, a, D), a of them an image.
        consequents: (B, L, D), L locations an image.
        weights: (B, a, L), or a number for all, or a function from the log posteriors of some
            images (b, a, L) to their weights, which are constants to the gradient. None means
            1/(B L): the loss is the sum over antecedents of means over images and locations.
        penalty: lambda of the squared scores.
        clip: c of the soft clip, None for none.
        scale: of the inner products, None means 1/sqrt(D).
        tile: antecedents held at once against all consequents; None chooses.

    Returns:
        Loss, log posteriors and the mean square of the scores.

    Raises:
        UserError: for fewer than 2 images or shapes that do not fit.

    References:
        Bachman et al. 2019, eq. 2 and the pseudo-code of NCE; AMDIM, code (scale, lambda).

    Example:
        >>> import math, torch
        >>> nce = multiscale_nce(torch.zeros(4, 1, 8), torch.zeros(4, 25, 8))
        >>> math.isclose(nce.loss.item(), math.log(1 + 3 * 25), rel_tol=1e-6)  # chance
        True
    """
    _check(antecedents, consequents, weights)
    for name, value in (("clip", clip), ("tile", tile)):
        if value is not None and value <= 0:
            raise UserError(f"{name}: {value} is not positive. Use for example 20, or None.")
    (b, _, width), locations = antecedents.shape, consequents.shape[1]
    everyone, first = gather(consequents)
    if len(everyone) < 2:
        raise UserError(f"antecedents: {b} image leaves no negative. Use at least 2 images.")
    if weights is None:
        weights = 1 / (b * locations)
    grad = torch.is_grad_enabled()
    terms = Terms(
        penalty=penalty,
        clip=clip,
        scale=width**-0.5 if scale is None else scale,
        first=first,
        images=_images(antecedents, everyone, tile),
        wanted=(grad and antecedents.requires_grad, grad and everyone.requires_grad),
    )
    return NCE(*TiledNCE.apply(antecedents, everyone, weights, terms))


def infonce_loss(
    z1: Tensor,
    z2: Tensor,
    *,
    scale: float = 1.0,
    clip: float | None = None,
    tile: int | None = None,
) -> Tensor:
    r"""The InfoNCE loss of z1 that predicts z2: the mean of -log softmax at the positive.

    ``loss = -mean_i log( exp s_ii / sum_j exp s_ij )``, ``s = scale z1 z2^T``, softly clipped when
    there is a clip; j runs over the items of all processes. It is :func:`multiscale_nce` with one
    antecedent and one location an item, and I_NCE = log n - loss.

    Args:
        z1: (n, d).
        z2: (n, d), row by row the positives of z1.
        scale: of the inner products; 1 / temperature where z1 and z2 have unit length.
        clip: c of the soft clip c tanh(s / c), None for none.
        tile: rows of scores held at once; None chooses.

    Returns:
        The loss in nats, a scalar.

    Raises:
        UserError: for fewer than 2 items or shapes that do not fit.

    References:
        van den Oord et al. 2018, eq. 4.

    Example:
        >>> round(infonce_loss(torch.zeros(4, 8), torch.zeros(4, 8)).item(), 5)  # log 4
        1.38629
    """
    return multiscale_nce(
        z1[:, None], z2[:, None], penalty=0.0, clip=clip, scale=scale, tile=tile
    ).loss


def ntxent_loss(z1: Tensor, z2: Tensor, *, scale: float = 1.0, tile: int | None = None) -> Tensor:
    r"""The NT-Xent loss: each of 2n items predicts its partner among the 2n - 1 others.

    ``loss = mean_i -log( exp s(i, i+) / sum_{j != i} exp s(i, j) )``, ``s = scale z z^T``; j runs
    over the items of all processes. It is :func:`multiscale_nce` where z1 and z2 are the two
    antecedents and the two locations of an item, and each predicts only the other.

    Args:
        z1: (n, d).
        z2: (n, d), row by row the partners of z1.
        scale: of the inner products; 1 / temperature where z1 and z2 have unit length.
        tile: rows of scores held at once; None chooses.

    Returns:
        The loss in nats, a scalar.

    Raises:
        UserError: for fewer than 2 items or shapes that do not fit.

    References:
        Chen et al. 2020, eq. 1.

    Example:
        >>> round(ntxent_loss(torch.zeros(4, 8), torch.zeros(4, 8)).item(), 5)  # log 7
        1.94591
    """
    both = torch.stack([z1, z2], 1)
    swap = 1 - torch.eye(2, dtype=both.dtype, device=both.device)
    weights = (swap / (2 * len(both))).expand(len(both), 2, 2)
    return multiscale_nce(
        both, both, weights=weights, penalty=0.0, clip=None, scale=scale, tile=tile
    ).loss


def _images(antecedents: Tensor, consequents: Tensor, tile: int | None) -> int:
    """Images a tile: tiles of one size, of at most ``tile`` antecedents."""
    b, a, _ = antecedents.shape
    rows = tile or scores_a_tile(consequents.device) // consequents[..., 0].numel()
    if tile is None and consequents.dtype == torch.bfloat16:
        rows = max(rows, b * a // ROUNDINGS)
    return math.ceil(b / math.ceil(b / max(1, rows // a)))


def _check(antecedents: Tensor, consequents: Tensor, weights: Weights | None) -> None:
    shapes = f"{tuple(antecedents.shape)} and {tuple(consequents.shape)}"
    if antecedents.ndim != 3 or consequents.ndim != 3:
        raise UserError(f"antecedents, consequents: {shapes} must be (B, a, D) and (B, L, D).")
    if len(antecedents) != len(consequents):
        raise UserError(f"antecedents, consequents: {shapes} must have the same number of images.")
    if antecedents.shape[2] != consequents.shape[2]:
        raise UserError(
            f"antecedents, consequents: {shapes} must have the same width D. "
            "Map both to one space, for example with encoder.embed."
        )
    if isinstance(weights, Tensor):
        needed = (*antecedents.shape[:2], consequents.shape[1])
        if weights.shape != needed:
            raise UserError(f"weights: {tuple(weights.shape)} must be {needed}, (B, a, L).")
