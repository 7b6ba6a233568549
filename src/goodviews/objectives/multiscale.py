"""AMDIM's objective: features of one view predict features of another, at several scales."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import permutations
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from goodviews.interfaces import Features, UserError
from goodviews.objectives.processes import world_size
from goodviews.objectives.streaming import NCE, multiscale_nce

PAIRS = ((1, 5), (1, 7), (5, 5))
"""AMDIM's (antecedent, consequent) scales."""


class MultiscaleLoss(NamedTuple):
    """What :class:`MultiscaleNCE` returns. In nats."""

    loss: Tensor
    """A scalar, differentiable."""
    nats: dict[str, Tensor]
    """The InfoNCE bound of every pair of scales, for example ``nats["1>5"]``, detached."""
    ceilings: dict[str, float]
    """The most each of ``nats`` can be: the log of the number of candidates."""
    penalty: Tensor
    """The part of ``loss`` that the squared scores make up, detached."""


class MultiscaleNCE(nn.Module):
    r"""AMDIM's loss of two or more views, from features in the shared space.

    For a pair (n, m) of scales and an ordered pair of views, the antecedent (the summary for
    n = 1, otherwise one location of the n x n map drawn at random, image by image) predicts all
    m m locations of the other view's map, see
    :func:`~goodviews.objectives.streaming.multiscale_nce`.

    ``loss = sum over pairs of the mean over ordered views of (NCE + penalty * mean(s^2))``

    Pairs with the same consequents share one pass. ``nats = log(1 + (B - 1) m m) - NCE``.

    Arguments:
        pairs: (antecedent, consequent) side lengths; 1 is the summary.
        penalty: lambda of the squared scores: 4e-2 in the paper, 5e-2 in its code.
        clip: c of the soft clip c tanh(s / c), None for none.
        tile: antecedents held at once against all consequents; None chooses.

    References:
        Bachman et al. 2019, eq. 1, 2, 4 and 5; AMDIM, code (random locations, sum of the pairs).

    Example:
        >>> views = [Features(torch.zeros(4, 8), {5: torch.zeros(4, 8, 5, 5)}) for _ in range(2)]
        >>> loss = MultiscaleNCE(pairs=((1, 5),))(views)
        >>> round(loss.loss.item(), 4) == round(math.log(1 + 3 * 25), 4)
        True
        >>> loss.nats["1>5"].item() < 1e-5, loss.ceilings["1>5"] == math.log(76)
        (True, True)
    """

    def __init__(
        self,
        pairs: Iterable[tuple[int, int]] = PAIRS,
        penalty: float = 5e-2,
        clip: float | None = 20.0,
        tile: int | None = None,
    ) -> None:
        super().__init__()
        self.pairs = tuple((n, m) for n, m in pairs)
        if not self.pairs or len(set(self.pairs)) < len(self.pairs):
            raise UserError(f"pairs: {self.pairs} must be one or more, each once. Use {PAIRS}.")
        self.penalty, self.clip, self.tile = penalty, clip, tile

    def forward(
        self, views: Sequence[Features], generator: Generator | None = None
    ) -> MultiscaleLoss:
        """Loss of the embedded features of two or more views of the same B images.

        Args:
            views: summaries (B, D) and, by side length d, maps (B, D, d, d); one a view.
            generator: draws the locations of antecedents.

        Returns:
            The loss, and nats and their ceiling for every pair of scales.

        Raises:
            UserError: for fewer than two views or images, or a map that the encoder does not make.
        """
        if len(views) < 2:
            raise UserError(f"views: {len(views)} is too few. Give the features of two or more.")
        sources = {n: [_antecedents(v, n, generator) for v in views] for n in self._scales(0)}
        found = {
            m: self._predict(sources, [locations(v, m) for v in views], m) for m in self._scales(1)
        }
        images = len(views[0].summary) * world_size()
        ceilings = {f"{n}>{m}": math.log(1 + (images - 1) * m * m) for n, m in self.pairs}
        nats = {
            f"{n}>{m}": ceilings[f"{n}>{m}"] + found[m].log_posterior[self._onto(m).index(n)]
            for n, m in self.pairs
        }
        loss = torch.stack([nce.loss for nce in found.values()]).sum()
        penalty = torch.stack([nce.penalty for nce in found.values()]).sum()
        return MultiscaleLoss(loss, nats, ceilings, penalty)

    def _predict(self, sources: dict[int, list[Tensor]], maps: list[Tensor], m: int) -> NCE:
        """Mean loss, mean log posterior of each antecedent (a,) and penalty over ordered views."""
        scales, ways = self._onto(m), list(permutations(range(len(maps)), 2))
        share = 1 / len(ways)
        penalty = share * self.penalty * len(scales)  # the penalties of the pairs add up
        found = []
        for i, j in ways:
            nce = multiscale_nce(
                torch.stack([sources[n][i] for n in scales], 1),
                maps[j],
                weights=share / (len(maps[j]) * m * m),
                penalty=penalty,
                clip=self.clip,
                tile=self.tile,
            )
            log_posterior = share * nce.log_posterior.mean((0, 2))
            found.append(NCE(nce.loss, log_posterior, penalty * nce.penalty))
        return NCE(*(torch.stack(terms).sum(0) for terms in zip(*found, strict=True)))

    def _scales(self, side: int) -> list[int]:
        """The scales on one side of the pairs."""
        return sorted({pair[side] for pair in self.pairs})

    def _onto(self, m: int) -> list[int]:
        """The antecedents of the pairs whose consequents are m x m."""
        return [n for n, onto in self.pairs if onto == m]


def locations(features: Features, d: int) -> Tensor:
    """The d x d locations of an image, (B, d d, D)."""
    if d == 1:
        return features.summary[:, None]
    if d not in features.local:
        known = ", ".join(f"{side}x{side}" for side in sorted(features.local)) or "no maps"
        raise UserError(
            f"pairs: the encoder makes {known}, not the {d}x{d} map of a pair. "
            "Use --encoder amdim-tiny or multiscale/resnet18."
        )
    return features.local[d].flatten(2).transpose(1, 2)


def _antecedents(features: Features, d: int, generator: Generator | None) -> Tensor:
    """The summary, or one location of the d x d map at random, (B, D)."""
    if d == 1:
        return features.summary
    places = locations(features, d)
    device = places.device if generator is None else generator.device
    at = torch.randint(d * d, (len(places), 1, 1), generator=generator, device=device)
    at = at.to(places.device).expand(-1, 1, places.shape[2])
    return places.gather(1, at).squeeze(1)
