"""Local Deep InfoMax: the summary of a view tells of every location of the same view."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn

from goodviews.bounds import BOUNDS
from goodviews.critics import InnerProduct, Scaled
from goodviews.interfaces import Features, UserError, check_name
from goodviews.objectives.multiscale import MultiscaleLoss, locations
from goodviews.objectives.processes import world_size
from goodviews.objectives.streaming import multiscale_nce


class LocalBound(nn.Module):
    r"""Maximises a bound on I(f_1; f_d at l), averaged over locations l (Hjelm et al. 2019, eq. 8).

    loss = -(1/L) sum_l B(S_l) + lambda mean(s^2), with scores S_l[i, j] = T(f_1(x_i), f_d(x_j)_l)
    and L = d^2. Both features are of one view; with several views their terms are averaged. The
    negatives of f_1(x_i) at location l are *the same location* of the n - 1 other images, and what
    a bound does with a set of negatives (the logarithm of DV) it does for each l by itself. With
    "infonce" they are *all L locations* of the other images, as in AMDIM's own NCE, and the scores
    are never held at once.

    Arguments:
        bound: a name of :data:`goodviews.bounds.BOUNDS`; local DIM was tried with "jensen-shannon",
            "donsker-varadhan" and "infonce", and the last was best.
        critic: T, module (n, D), (m, D) -> scores (n, m); None means f_1^T f_d / sqrt(D), of
            features that are embedded already. "infonce" takes no other.
        d: side of the local features.
        penalty: lambda, of squared scores before the clip (AMDIM; local DIM has none).
        clip: c, scores become c tanh(s / c) (AMDIM); None for none.
        tile: rows of scores at once, for "infonce"; None chooses.

    Raises:
        UserError: unknown bound, or "infonce" with a critic.

    Example:
        >>> view = Features(torch.zeros(4, 8), {7: torch.zeros(4, 8, 7, 7)})
        >>> loss, nats, ceilings, _ = LocalBound("infonce")([view])
        >>> abs(round(nats["1>7"].item(), 5)), round(ceilings["1>7"], 4) == round(math.log(148), 4)
        (0.0, True)
    """

    def __init__(
        self,
        bound: str = "jensen-shannon",
        critic: nn.Module | None = None,
        d: int = 7,
        penalty: float = 0.0,
        clip: float | None = None,
        tile: int | None = None,
    ) -> None:
        super().__init__()
        check_name("bound", bound, BOUNDS)
        if bound == "infonce" and critic is not None:
            raise UserError("critic: 'infonce' streams inner products. Give no critic with it.")
        self.bound, self.d, self.penalty, self.clip, self.tile = bound, d, penalty, clip, tile
        self.critic = Scaled(InnerProduct()) if critic is None else critic

    def forward(
        self, views: Sequence[Features], generator: Generator | None = None
    ) -> MultiscaleLoss:
        """Loss and nats of the embedded features of one or more views.

        Args:
            views: summaries (n, D) and maps (n, D, d, d), one a view.
            generator: not used; nothing is drawn.

        Returns:
            The loss, the bound ``nats["1>7"]`` (for d = 7) and its ceiling.

        Raises:
            UserError: a map that the encoder does not make.
        """
        part = self._streamed if self.bound == "infonce" else self._by_location
        parts = [part(view.summary, locations(view, self.d)) for view in views]
        loss, nats, penalty = (torch.stack(terms).mean() for terms in zip(*parts, strict=True))
        key, n = f"1>{self.d}", len(views[0].summary)
        return MultiscaleLoss(loss, {key: nats}, {key: self._ceiling(n)}, penalty)

    def _by_location(self, summary: Tensor, local: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Loss, nats and penalty of f_1 (n, D) and f_d (n, L, D)."""
        n, places = local.shape[:2]
        scores = self.critic(summary, local.flatten(0, 1)).view(n, n, places)
        penalty = self.penalty * scores.square().mean()
        if self.clip is not None:
            scores = self.clip * torch.tanh(scores / self.clip)
        bound = BOUNDS[self.bound].function
        nats = torch.stack([bound(table) for table in scores.unbind(2)]).mean()
        return penalty - nats, nats.detach(), penalty.detach()

    def _streamed(self, summary: Tensor, local: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same of InfoNCE, whose negatives are all locations of the other images."""
        nce = multiscale_nce(
            summary[:, None], local, penalty=self.penalty, clip=self.clip, tile=self.tile
        )
        ceiling = self._ceiling(len(summary))
        return nce.loss - ceiling, ceiling + nce.log_posterior.mean(), self.penalty * nce.penalty

    def _ceiling(self, n: int) -> float:
        if self.bound == "infonce":
            return math.log(1 + (n * world_size() - 1) * self.d**2)
        return BOUNDS[self.bound].ceiling(n)
