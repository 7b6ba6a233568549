"""How well scores tell links from non-links: AUC, average precision, Hits@K, MRR."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from goodviews.interfaces import UserError

KS = (10, 50, 100)
"""The K of Hits@K where none is given."""


@dataclass(frozen=True)
class LinkScores:
    """Ranking quality of the scores of links against those of non-links; all in [0, 1]."""

    auc: float
    """P(score of a link > score of a non-link), ties counting one half."""
    auc_error: float
    """Standard error of the AUC (DeLong et al. 1988); nan below two links or two non-links."""
    ap: float
    """Average precision over the thresholds that the scores allow."""
    hits: dict[int, float]
    """Hits@K: share of the links that score above the K-th highest non-link."""
    mrr: float
    """Mean reciprocal rank of each link among the non-links."""
    n_positive: int
    n_negative: int

    def row(self) -> dict[str, float | int]:
        """The numbers under flat names, as a table wants them.

        Example:
            >>> link_scores(torch.tensor([2.0, 3.0]), torch.zeros(2), (1,)).row()["hits@1"]
            1.0
        """
        return {
            "auc": self.auc,
            "auc_error": self.auc_error,
            "ap": self.ap,
            "mrr": self.mrr,
            **{f"hits@{k}": share for k, share in self.hits.items()},
            "n_positive": self.n_positive,
            "n_negative": self.n_negative,
        }


def link_scores(positive: Tensor, negative: Tensor, ks: Sequence[int] = KS) -> LinkScores:
    r"""AUC, its error, average precision, Hits@K and MRR of scores (higher: more likely a link).

    With m links of score s and n non-links of score t,
    ``AUC = mean_ij [s_i > t_j] + [s_i = t_j] / 2``,
    ``AP = mean_i #{k: s_k >= s_i} / (#{k: s_k >= s_i} + #{j: t_j >= s_i})``,
    ``Hits@K = mean_i [#{j: t_j >= s_i} < K]`` (1 where K > n, as in OGB) and
    ``MRR = mean_i 1 / (1 + #{j: t_j > s_i} + #{j: t_j = s_i} / 2)``: a tie never helps by the order
    in which scores happen to lie. Scores that are all alike give AUC 1/2.

    The standard error is ``sqrt(var_i(V_i) / m + var_j(W_j) / n)`` where V_i is the share of
    non-links below link i and W_j that of links above non-link j. It takes links as independent;
    links that share a node are not quite, so it is rather too small than too large.

    Args:
        positive: scores of the links, shape (m,).
        negative: scores of the non-links, shape (n,); or (m, k), each link's own non-links: Hits@K
            and MRR then rank a link among its own, AUC and AP among all m k.
        ks: the K of Hits@K.

    Raises:
        UserError: no link or no non-link, a score that is not a number, shapes that do not fit,
            K below 1.

    Reference: Hu et al. 2020 (OGB), section 4; DeLong et al. 1988; Berrendorf et al. 2020 (ties).

    Example:
        >>> scores = link_scores(torch.tensor([3.0, 1.0]), torch.tensor([0.0, 1.0, 2.0]), (1, 2))
        >>> scores.auc, scores.hits
        (0.75, {1: 0.5, 2: 0.5})
    """
    positive, negative = _checked(positive, negative, ks)
    own = negative.dim() == 2
    ascending = negative.flatten().sort().values
    n, m = len(ascending), len(positive)
    below, at_most = _places(ascending, positive)
    links = positive.sort().values
    at_least = m - torch.searchsorted(links, positive)
    if own:
        column = positive.unsqueeze(1)
        rivals, better = (negative >= column).sum(1), (negative > column).sum(1)
    else:
        rivals, better = n - below, n - at_most
    links_below, links_at_most = _places(links, ascending)
    beaten = (below + at_most).double() / (2 * n)
    missed = 1 - (links_below + links_at_most).double() / (2 * m)
    return LinkScores(
        auc=float(beaten.mean()),
        auc_error=_delong(beaten, missed),
        ap=float((at_least / (at_least + n - below).double()).mean()),
        hits={k: float((rivals < k).double().mean()) for k in ks},
        mrr=float((1 / (1 + (better + rivals).double() / 2)).mean()),
        n_positive=m,
        n_negative=n,
    )


def _places(ascending: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """How many of the sorted numbers lie below each value, and how many at or below it."""
    below = torch.searchsorted(ascending, values)
    return below, torch.searchsorted(ascending, values, right=True)


def _delong(beaten: Tensor, missed: Tensor) -> float:
    if min(len(beaten), len(missed)) < 2:
        return math.nan
    return math.sqrt(float(beaten.var() / len(beaten) + missed.var() / len(missed)))


def _checked(positive: Tensor, negative: Tensor, ks: Sequence[int]) -> tuple[Tensor, Tensor]:
    for k in ks:
        if k < 1:
            raise UserError(f"ks: Hits@{k} has no meaning. Use K of 1 or more, for example 10.")
    if positive.dim() != 1 or negative.dim() not in (1, 2):
        raise UserError(
            f"scores: shapes {tuple(positive.shape)} and {tuple(negative.shape)}. "
            "Give (m,) for the links and (n,) or (m, k) for the non-links."
        )
    if positive.numel() == 0 or negative.numel() == 0:
        raise UserError(
            f"scores: {positive.numel()} links against {negative.numel()} non-links. "
            "Give at least one of each."
        )
    if negative.dim() == 2 and len(negative) != len(positive):
        raise UserError(
            f"scores: {len(negative)} rows of non-links for {len(positive)} links. "
            "Give one row a link."
        )
    for what, scores in (("links", positive), ("non-links", negative)):
        bad = int(torch.isnan(scores).sum())
        if bad:
            raise UserError(
                f"scores: {bad} of {scores.numel()} scores of {what} are not numbers (NaN). "
                "The scorer diverged: lower its learning rate, or check its input."
            )
    return positive.detach().cpu().double(), negative.detach().cpu().double()


def checked_links(links: Tensor, nodes: int) -> Tensor:
    """The links, once they are known to be int64 pairs (2, m) of two different nodes of a graph.

    Raises:
        UserError: another shape or type, a node that is not there, a link from a node to itself.

    Example:
        >>> checked_links(torch.tensor([[0], [7]]), 5)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        goodviews.interfaces.UserError: links: node 7 of a graph of 5 nodes. ...
    """
    if links.dim() != 2 or links.shape[0] != 2 or links.dtype != torch.int64:
        raise UserError(
            f"links: {links.dtype} of shape {tuple(links.shape)}. Give int64 of shape (2, m)."
        )
    if links.numel() and not 0 <= int(links.min()) <= int(links.max()) < nodes:
        bad = int(links.min()) if int(links.min()) < 0 else int(links.max())
        raise UserError(f"links: node {bad} of a graph of {nodes} nodes. Number nodes from 0.")
    loops = links[0] == links[1]
    if bool(loops.any()):
        node = int(links[0][loops][0])
        raise UserError(f"links: node {node} is linked to itself. Remove self loops.")
    return links
