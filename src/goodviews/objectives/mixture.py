"""NCE of mixture features: k versions of a summary share the work of predicting locations."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import permutations

import torch
from torch import Generator, Tensor, nn

from goodviews.interfaces import Features, UserError
from goodviews.objectives.multiscale import PAIRS, MultiscaleLoss, MultiscaleNCE, locations
from goodviews.objectives.processes import world_size
from goodviews.objectives.streaming import NCE, multiscale_nce


def mixture_posterior(log_posterior: Tensor, tau: float = 1.0) -> Tensor:
    r"""q_j = softmax_j(tau s_nce_j): which mixture feature explains a location.

    Args:
        log_posterior: s_nce, (B, k, L), in nats.
        tau: inverse temperature; 0 makes q uniform, a large one picks the best feature.

    Returns:
        Shape (B, k, L), sums to one over k.

    References:
        Bachman et al. 2019, eq. 7.

    Example:
        >>> scores = torch.tensor([0.2, 0.6]).log().view(1, 2, 1)
        >>> mixture_posterior(scores).flatten()
        tensor([0.2500, 0.7500])
    """
    return (tau * log_posterior).softmax(1)


def mixture_nce(
    antecedents: Tensor,
    consequents: Tensor,
    *,
    alpha: float = 1.0,
    tau: float | None = None,
    penalty: float = 5e-2,
    clip: float | None = 20.0,
    tile: int | None = None,
) -> NCE:
    r"""The loss of k mixture features that predict the locations of their image.

    ``loss = -mean over images and locations of ( sum_j q_j s_nce_j + alpha H(q) )
    + penalty * mean(s^2)``

    with s_nce_j the log posterior of the location given feature j among all locations of the
    other images (:func:`~goodviews.objectives.streaming.multiscale_nce`), q its softmax over j
    (:func:`mixture_posterior`) and H(q) = -sum_j q_j log q_j. In the gradient q is a constant: at
    tau = 1/alpha q is the maximiser, so this is the gradient of the whole loss, q included.

    Args:
        antecedents: (B, k, D).
        consequents: (B, L, D).
        alpha: weight of the entropy.
        tau: of q, None means 1/alpha.
        penalty: lambda of the squared scores.
        clip: c of the soft clip, None for none.
        tile: antecedents held at once against all consequents; None chooses.

    Returns:
        Loss, s_nce of shape (B, k, L), and the mean square of the scores.

    Raises:
        UserError: alpha or tau out of range; see also
            :func:`~goodviews.objectives.streaming.multiscale_nce`.

    References:
        Bachman et al. 2019, eq. 6 and 7.

    Example:
        >>> nce = mixture_nce(torch.zeros(4, 3, 8), torch.zeros(4, 25, 8))
        >>> round(nce.loss.item(), 4) == round(math.log(1 + 3 * 25) - math.log(3), 4)  # chance
        True
    """
    tau = _inverse_temperature(alpha, tau)
    predictions = consequents.shape[0] * consequents.shape[1]
    nce = multiscale_nce(
        antecedents,
        consequents,
        weights=lambda log_posterior: mixture_posterior(log_posterior, tau) / predictions,
        penalty=penalty,
        clip=clip,
        tile=tile,
    )
    entropy = torch.special.entr(mixture_posterior(nce.log_posterior, tau)).sum(1).mean()
    return nce._replace(loss=nce.loss - alpha * entropy)


def _inverse_temperature(alpha: float, tau: float | None) -> float:
    """``tau``, or 1/alpha."""
    if alpha < 0 or (alpha == 0 and tau is None):
        raise UserError(f"alpha: {alpha} is not positive. Use for example 1, or 0 with a tau.")
    if tau is not None and tau < 0:
        raise UserError(f"tau: {tau} is negative. Use for example 1, or None for 1/alpha.")
    return 1 / alpha if tau is None else tau


class MixtureNCE(nn.Module):
    r"""AMDIM's loss with mixture features in place of the summary.

    Takes the place of :class:`~goodviews.objectives.multiscale.MultiscaleNCE`. Pairs (1, m) have
    the k features heads(f_1) as antecedents, see :func:`mixture_nce`; other pairs stay plain. With
    k = 1 it is MultiscaleNCE of heads(f_1).

    The paper's alpha and tau are not known. With the defaults alpha = tau = 1 the objective is that
    of a mixture of k classifiers with equal priors,
    ``sum_j q_j s_nce_j + H(q) = log k + log( (1/k) sum_j exp s_nce_j )``, which
    forces no location onto one feature before there is evidence. If H(q) is read as counted in each
    of the k terms of eq. 6, take k alpha for alpha, and so tau = 1/(k alpha).

    Whatever alpha and tau, ``nats = log(1 + (B - 1) m m) + mean log( (1/k) sum_j exp s_nce_j )``: q
    has seen which location is the true one, equal priors have not, so this is a lower bound as
    InfoNCE is, and comparable with it.

    Arguments:
        heads: module f_1 (B, D) -> (B, k, D), for example
            :class:`goodviews.encoders.mixture.MixtureHeads`; trained with the objective.
        pairs: (antecedent, consequent) side lengths; 1 is the summary.
        penalty: lambda of the squared scores.
        clip: c of the soft clip c tanh(s / c), None for none.
        alpha: weight of the entropy H(q), against a q that commits to what the negatives drawn
            happen to favour.
        tau: of q, None means 1/alpha, the maximiser.
        tile: antecedents held at once against all consequents; None chooses.

    References:
        Bachman et al. 2019, eq. 6 and 7.

    Example:
        >>> views = [Features(torch.zeros(4, 8), {5: torch.zeros(4, 8, 5, 5)}) for _ in range(2)]
        >>> heads = nn.Sequential(nn.Linear(8, 3 * 8), nn.Unflatten(1, (3, 8)))
        >>> objective = MixtureNCE(heads, pairs=((1, 5),))
        >>> objective(views).nats["1>5"].item() < 1e-5
        True
        >>> objective.posterior(*views, d=5).shape
        torch.Size([4, 3, 5, 5])
    """

    def __init__(
        self,
        heads: nn.Module,
        pairs: Iterable[tuple[int, int]] = PAIRS,
        penalty: float = 5e-2,
        clip: float | None = 20.0,
        alpha: float = 1.0,
        tau: float | None = None,
        tile: int | None = None,
    ) -> None:
        super().__init__()
        self.pairs = tuple((n, m) for n, m in pairs)
        self.consequents = [m for n, m in self.pairs if n == 1]
        if not self.consequents:
            raise UserError(f"pairs: {self.pairs} has no summary to mix. Use {PAIRS}.")
        self.heads, self.alpha, self.tau = heads, alpha, _inverse_temperature(alpha, tau)
        self.penalty, self.clip, self.tile = penalty, clip, tile
        plain = [pair for pair in self.pairs if pair[0] != 1]
        self.plain = MultiscaleNCE(plain, penalty, clip, tile) if plain else None

    def forward(
        self, views: Sequence[Features], generator: Generator | None = None
    ) -> MultiscaleLoss:
        """Loss of the embedded features of two or more views of the same B images.

        Args:
            views: summaries (B, D) and, by side length d, maps (B, D, d, d); one a view.
            generator: draws the locations of the antecedents of pairs that stay plain.

        Returns:
            The loss, and nats and their ceiling for every pair of scales.

        Raises:
            UserError: for fewer than two views or images, or a map that the encoder does not make.
        """
        if len(views) < 2:
            raise UserError(f"views: {len(views)} is too few. Give the features of two or more.")
        mixtures = [self.heads(view.summary) for view in views]
        found = [self._onto(m, mixtures, views) for m in self.consequents]
        if self.plain is not None:
            found.append(self.plain(views, generator))
        nats = {key: value for part in found for key, value in part.nats.items()}
        ceilings = {key: value for part in found for key, value in part.ceilings.items()}
        loss, penalty = (
            torch.stack(terms).sum()
            for terms in ([p.loss for p in found], [p.penalty for p in found])
        )
        return MultiscaleLoss(loss, nats, ceilings, penalty)

    def posterior(self, antecedent: Features, consequent: Features, d: int = 7) -> Tensor:
        """Which mixture feature of one view explains each location of another.

        Args:
            antecedent: embedded features of a view of n images; its summary is mixed.
            consequent: those of another view; the other images are the negatives.
            d: side length of the map that is explained.

        Returns:
            q, (n, k, d, d), sums to one over k.
        """
        with torch.no_grad():
            nce = self._nce(self.heads(antecedent.summary), locations(consequent, d))
        return mixture_posterior(nce.log_posterior, self.tau).unflatten(2, (d, d))

    def _onto(self, m: int, mixtures: list[Tensor], views: Sequence[Features]) -> MultiscaleLoss:
        """The pair (1, m), a mean over ordered views."""
        ceiling = math.log(1 + (len(mixtures[0]) * world_size() - 1) * m * m)
        losses, nats, penalties = [], [], []
        for i, j in permutations(range(len(views)), 2):
            nce = self._nce(mixtures[i], locations(views[j], m))
            k = nce.log_posterior.shape[1]
            losses.append(nce.loss)
            nats.append(ceiling - math.log(k) + nce.log_posterior.logsumexp(1).mean())
            penalties.append(self.penalty * nce.penalty)
        loss, bound, penalty = (torch.stack(t).mean() for t in (losses, nats, penalties))
        return MultiscaleLoss(loss, {f"1>{m}": bound}, {f"1>{m}": ceiling}, penalty)

    def _nce(self, antecedents: Tensor, consequents: Tensor) -> NCE:
        return mixture_nce(
            antecedents,
            consequents,
            alpha=self.alpha,
            tau=self.tau,
            penalty=self.penalty,
            clip=self.clip,
            tile=self.tile,
        )
