r"""Metric learning on the embeddings of two views: K-pair and triplet losses, mining of negatives.

Row i of z1 is an anchor, row i of z2 its positive, the other rows of z2 its negatives. Plain
functions: usable alone, under :func:`torch.func.vmap` and in float64. They promise geometry, not
nats, so negatives may be chosen at will (Tschannen et al. 2019, section 4).
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor, nn
from torch.nn import functional

from goodviews.bounds.pairs import Pairs, as_pairs, as_rows
from goodviews.interfaces import UserError, check_name

LEAST = 1e-12
"""Squared distances below this count as this before the root, whose slope at 0 is infinite."""


def kpair_loss(scores: Tensor | Pairs) -> Tensor:
    r"""L = (1/K) sum_i log(1 + sum_{j != i} exp(s_ij - s_ii)): the multi-class K-pair loss.

    Also called N-pair-mc loss (Sohn 2016, section 3.2, without its penalty on norms). For every
    critic I_NCE + L = log K, so maximising :func:`goodviews.bounds.infonce` and minimising this are
    one thing; it is a metric-learning loss where one encoder makes z1 and z2 and the critic is
    symmetric (Tschannen et al. 2019, section 4). With K = 2 it is a soft triplet loss.

    Args:
        scores: shape (K, K), positives on the diagonal; or Pairs.

    Returns:
        The loss, a scalar >= 0, in nats.

    Raises:
        ValueError: scores that are not square with K >= 2.

    Example:
        >>> import math
        >>> from goodviews.bounds import infonce
        >>> s = torch.randn(5, 5, dtype=torch.float64)
        >>> bool((kpair_loss(s) + infonce(s) - math.log(5)).abs() < 1e-12)
        True
    """
    positives, negatives = as_rows(scores)
    return _log1pexp((negatives - positives[:, None]).logsumexp(1)).mean()


def distances(z1: Tensor, z2: Tensor, squared: bool = True) -> Tensor:
    """D_ij = ||z1_i - z2_j||^2, or its root, of all pairs: shape (n, m), float32 at least.

    Args:
        z1: shape (n, d).
        z2: shape (m, d).
        squared: False: the Euclidean distance itself, at least 1e-6.

    Example:
        >>> distances(torch.zeros(1, 2), torch.tensor([[3.0, 4.0], [0.0, 0.0]])).tolist()
        [[25.0, 0.0]]
    """
    with torch.autocast(z1.device.type, enabled=False):
        full = torch.promote_types(z1.dtype, torch.float32)
        centre = z2.detach().to(full).mean(0)  # no distance changes; far from 0 digits would cancel
        a, b = z1.to(full) - centre, z2.to(full) - centre
        norms = a.square().sum(1)[:, None] + b.square().sum(1)
        found = (norms - 2 * a @ b.T).clamp_min(0)
    return found if squared else found.clamp_min(LEAST).sqrt()


def _all(positives: Tensor, negatives: Tensor) -> Tensor:
    return negatives


def _hard(positives: Tensor, negatives: Tensor) -> Tensor:
    return negatives.min(1, keepdim=True).values


def _semi_hard(positives: Tensor, negatives: Tensor) -> Tensor:
    beyond = negatives.masked_fill(negatives <= positives[:, None], torch.inf)
    nearest = beyond.min(1, keepdim=True).values
    return torch.where(nearest.isinf(), negatives.max(1, keepdim=True).values, nearest)


MINING: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "all": _all,
    "semi-hard": _semi_hard,
    "hard": _hard,
}
"""Name -> function of the distances of positives (n,) and negatives (n, m) that returns those of
the negatives chosen, (n, m) or (n, 1)."""


def triplet_loss(
    z1: Tensor,
    z2: Tensor,
    margin: float | None = 1.0,
    mining: str = "all",
    squared: bool = True,
) -> Tensor:
    r"""The mean of max(0, D(a, p) - D(a, n) + margin) over triplets (a, p, n) = (z1_i, z2_i, z2_j).

    D is the squared Euclidean distance. Without a margin the hinge is soft:
    log(1 + exp(D(a, p) - D(a, n))) (Weinberger and Saul 2009; Schroff et al. 2015, section 3;
    Hermans et al. 2017). Embeddings are taken as they are: what a margin asks for depends on their
    scale; normalise them first for margins as in Schroff et al. Triplets without a loss count in
    the mean. No bound on information is implied.

    Args:
        z1: anchors, shape (n, d), n >= 2.
        z2: positives, shape (n, d); the negatives of row i are the rows j != i.
        margin: None: the soft hinge.
        mining: "all" negatives; "hard", the nearest one; "semi-hard", the nearest of those that are
            farther than the positive, and the farthest of all where none is. (With a margin, those
            within it are the nearest, so they come first; one beyond it costs nothing.)
        squared: False: D is the distance itself.

    Returns:
        The loss, a scalar >= 0.

    Raises:
        UserError: unknown mining.
        ValueError: fewer than 2 rows, or z1 and z2 of different lengths.

    Example:
        >>> z1 = torch.tensor([[0.0], [10.0]])
        >>> z2 = torch.tensor([[1.0], [12.0]])
        >>> triplet_loss(z1, z2, margin=1.0).item()  # row 1: 1 - 144 + 1 < 0, row 2: 4 - 81 + 1 < 0
        0.0
        >>> triplet_loss(z1, z2, margin=82.0).item()  # row 2: 4 - 81 + 82
        2.5
    """
    check_name("mining", mining, MINING)
    positives, negatives = as_pairs(distances(z1, z2, squared))
    violation = positives[:, None] - MINING[mining](positives, negatives)
    if margin is None:
        return _log1pexp(violation).mean()
    return functional.relu(violation + margin).mean()


def mined(
    loss: nn.Module, miner: nn.Module | None = None, both: bool = False
) -> Callable[[Tensor, Tensor], Tensor]:
    """A loss of pytorch-metric-learning, with a miner of it, as a function of z1 and z2 (n, d).

    Both views of one thing bear one label; the miner picks triplets or pairs among them. Its
    functions do not go through :func:`torch.func.vmap`, and its distances normalise embeddings
    unless told otherwise.

    Args:
        loss: of ``pytorch_metric_learning.losses``.
        miner: of ``pytorch_metric_learning.miners``; None: what the loss does without.
        both: False: anchors are rows of z1, positives and negatives rows of z2, as in
            :func:`triplet_loss`. True: all 2n rows are anchors, positives and negatives;
            some losses (NPairsLoss) know this form alone.

    Returns:
        A function of z1 and z2, shape (n, d), that returns the loss, a scalar.

    Raises:
        UserError: pytorch-metric-learning is not installed, or ``loss`` is no module.

    Example:
        >>> from pytorch_metric_learning import losses, miners
        >>> semi_hard = miners.TripletMarginMiner(margin=0.2, type_of_triplets="semihard")
        >>> objective = mined(losses.TripletMarginLoss(margin=0.2), semi_hard)
        >>> objective(torch.eye(4), torch.eye(4)).item()
        0.0
    """
    if find_spec("pytorch_metric_learning") is None:
        raise UserError(
            'mined: needs pytorch-metric-learning. Run: pip install "goodviews[metric]"'
        )
    for name, part in (("loss", loss), ("miner", miner)):
        if not isinstance(part, nn.Module) and (part is not None or name == "loss"):
            raise UserError(
                f"{name}: {part!r} is no object of pytorch_metric_learning. "
                "Give for example losses.TripletMarginLoss()."
            )

    def objective(z1: Tensor, z2: Tensor) -> Tensor:
        labels = torch.arange(len(z1), device=z1.device)
        if both:
            z, twice = torch.cat([z1, z2]), torch.cat([labels, labels])
            return loss(z, twice, miner(z, twice) if miner is not None else None)
        of_z2 = labels.clone()  # one object for both would mean: no row is its own positive
        chosen = miner(z1, labels, z2, of_z2) if miner is not None else None
        return loss(z1, labels, chosen, z2, of_z2)

    return objective


def _log1pexp(x: Tensor) -> Tensor:
    """log(1 + e^x) to full precision (torch's softplus drops e^-x above x = 20)."""
    return torch.logaddexp(x, torch.zeros_like(x))
