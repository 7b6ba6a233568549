r"""Neural estimates: a critic is trained on some rows and read on others.

The objective that trains and the number that is read are two choices: a critic trained to be the
log-ratio (NWJ, Donsker-Varadhan, JS, anchor, SMILE's JS) can be read by any read-out; one trained
with InfoNCE is free up to c(x), so only InfoNCE reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from scipy import stats
from torch import Tensor, nn
from torch.func import vmap

from goodviews import bounds, critics
from goodviews.estimators.copula import DEGREES, Folds
from goodviews.estimators.elliptical import quantiles
from goodviews.estimators.ensemble import (
    Ensemble,
    Objective,
    Settings,
    Start,
    each,
    features,
    train,
)
from goodviews.estimators.members import READS, Split, read_members
from goodviews.estimators.reading import Reading
from goodviews.estimators.variables import Variable
from goodviews.interfaces import UserError, check_name
from goodviews.layers import MLP


@dataclass(frozen=True)
class Training:
    """An objective and what it makes of the critic."""

    climb: Callable[[], Objective]
    """Makes the objective; one that keeps a state starts anew."""
    reads: tuple[str, ...]
    """Read-outs that its critic may be given to."""
    check: Objective | None = None
    """What decides on the held rows; None: the objective."""
    critic: str = ""
    """The only critic it trains; empty: any."""


def _plain(bound: Callable[[Tensor], Tensor], *reads: str, critic: str = "") -> Training:
    return Training(lambda: each(bound), reads, critic=critic)


def _symmetric_infonce(scores: Tensor) -> Tensor:
    """The mean of InfoNCE over rows and over columns, which leaves only a constant free."""
    return (bounds.infonce(scores) + bounds.infonce(scores.T)) / 2


class _Mine:
    """MINE's objective with the running averages of all members."""

    def __init__(self) -> None:
        self.averages: Tensor | None = None

    def __call__(self, scores: Tensor) -> Tensor:
        new = each(lambda s: bounds.moving_log_average(None, s))(scores)
        kept = new if self.averages is None else self.averages
        self.averages = vmap(bounds.moving_log_average)(kept, scores)
        return vmap(bounds.mine)(scores, self.averages)


_RATIO = ("donsker-varadhan", "nwj", "smile", "plug-in", "infonce", "interpolated")
_FREE = ("donsker-varadhan", "smile", "infonce")

OBJECTIVES: dict[str, Training] = {
    "nwj": _plain(bounds.nwj_of_log_ratio, *_RATIO),
    "jensen-shannon": _plain(bounds.jensen_shannon, *_RATIO),
    "anchor": _plain(bounds.anchor, *_RATIO),
    "interpolated": _plain(lambda s: bounds.interpolated(s, 0.01), *_RATIO),
    "donsker-varadhan": _plain(bounds.donsker_varadhan, *_FREE),
    "mine": Training(_Mine, _FREE, check=each(bounds.donsker_varadhan)),
    "infonce": _plain(_symmetric_infonce, "infonce"),
    "flo": _plain(lambda s: bounds.flo(s[:, :-1], s[:, -1]), "flo", critic="flo"),
    "likelihood": _plain(
        lambda s: s.diagonal().mean(), "club", "leave-one-out", critic="conditional"
    ),
}
"""What trains a critic: name -> objective and the read-outs it allows. NWJ is in the form whose
optimum is log r. A critic that is free up to a constant (Donsker-Varadhan) or more (InfoNCE) is no
log r, so the plug-in value and NWJ do not read it."""


def neural(
    x: Variable,
    y: Variable,
    *,
    seed: int,
    shuffles: int,
    device: str = "cpu",
    objective: str = "nwj",
    read: str = "donsker-varadhan",
    critic: str = "separable",
    start: str = "none",
    parts: int = 10,
    hidden: int = 64,
    depth: int = 3,
    embed: int = 8,
    candidates: int = 256,
    steps: int = 3000,
    degrees: Sequence[float] = DEGREES,
) -> Reading:
    r"""Cross-fitted neural estimate: train critics with one objective, read them with another.

    Of ``parts`` folds, member i reports fold i, stops early by the next fold and trains on the
    others; all members train as one batched network. Features are normal scores and their norms,
    one column a label.

    Args:
        x: numbers or labels, n rows.
        y: the same.
        seed: of folds, weights, batches and shuffles.
        shuffles: how many values of the null to return.
        device: where the critics train.
        objective: a name in :data:`OBJECTIVES`.
        read: a name in :data:`READS` that the objective allows.
        critic: "separable" (phi1(x)^T phi2(y) + a(x) + b(y)), "concat" or "bilinear"; FLO and
            likelihood bring their own.
        start: "copula" trains what is to be added to a fitted t-copula; "none" starts at 0.
        parts: number of folds and of critics, 3 or more.
        hidden: width of hidden layers.
        depth: number of hidden layers.
        embed: inner width of the separable critic.
        candidates: K of the InfoNCE read-out, and the most rows of a training batch.
        steps: the most training steps.
        degrees: degrees of freedom that a copula's start chooses among.

    Raises:
        UserError: an unknown name, a read-out that the objective does not allow, too few rows.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(600, 1))
        >>> y = np.abs(x) + 0.5 * rng.normal(size=(600, 1))  # no correlation to see
        >>> found = neural(Variable(x), Variable(y), seed=0, shuffles=0, parts=3, steps=200)
        >>> bool(0.2 < found.nats < 0.6)
        True
    """
    check_name("objective", objective, OBJECTIVES)
    training = OBJECTIVES[objective]
    check_name("read", read, READS)
    if read not in training.reads:
        raise UserError(
            f"read: {read} cannot read a critic trained with {objective}, whose scale it does not "
            f"know. Use {', '.join(training.reads)}."
        )
    if parts < 3 or len(x) < 2 * parts:
        raise UserError(
            f"neural: {len(x)} rows in {parts} parts: 3 parts or more and 2 rows in each are "
            "needed. Use more rows, or --method student."
        )
    if candidates < 2:
        raise UserError(f"candidates: {candidates} leaves no negative. Use 2 or more.")
    split = Split.of(len(x), parts, seed)
    ensemble = members(
        x,
        y,
        split,
        seed=seed,
        device=device,
        critic=training.critic or critic,
        start=start,
        sizes=Sizes(hidden, depth, embed),
        degrees=degrees,
    )
    held = train(
        ensemble,
        torch.as_tensor(split.seen, device=device),
        torch.as_tensor(split.held, device=device),
        training.climb(),
        Settings(steps=steps, batch=candidates),
        torch.Generator().manual_seed(seed),
        training.check,
        floor=training.critic != "conditional",
    )
    reading = read_members(ensemble, split, read, seed, shuffles, candidates)
    details = {
        "objective": objective,
        "read": read,
        "critic": training.critic or critic,
        "held": held.mean().item(),
    }
    return replace(reading, details={**reading.details, **details})


# --- making and reading the members ---------------------------------------------------------------


class Sizes(NamedTuple):
    """Widths of a critic."""

    hidden: int = 64
    depth: int = 3
    embed: int = 8


def members(
    x: Variable,
    y: Variable,
    split: Split,
    *,
    seed: int,
    device: str = "cpu",
    critic: str = "separable",
    start: str = "none",
    sizes: Sizes = Sizes(),  # noqa: B008 (a tuple of numbers)
    degrees: Sequence[float] = DEGREES,
) -> Ensemble:
    """Untrained critics, one for each part of the split."""
    check_name("critic", critic, CRITICS)
    check_name("start", start, ("none", "copula"))
    density = critic == "conditional"
    if (density or start == "copula") and (x.discrete or y.discrete):
        raise UserError("labels have no density. Use --method ksg, infonce or auto.")
    if start == "copula" and critic in ("conditional", "flo"):
        raise UserError(f"start: copula is no start for {critic}. Use start=none.")
    fx, fy = (torch.as_tensor(features(v), device=device) for v in (x, y))
    fy = fy[:, : y.width] if density else fy
    begin = copula_start(x, y, split, degrees).to(device) if start == "copula" else None
    widths = (fx.shape[1], fy.shape[1])
    return Ensemble(lambda: CRITICS[critic](widths, sizes), fx, fy, len(split.report), begin, seed)


def _separable(widths: tuple[int, int], sizes: Sizes) -> critics.Separable:
    made = critics.Separable(widths, *sizes, marginals=True, activation=nn.SiLU)
    with torch.no_grad():
        list(made.phi2.parameters())[-2].mul_(0.1)  # scores start small
    return made


class _WithU(nn.Module):
    """Scores (n, n) and, as one more column, FLO's u(x_i, y_i)."""

    def __init__(self, widths: tuple[int, int], sizes: Sizes) -> None:
        super().__init__()
        self.critic = _separable(widths, sizes)
        self.u = MLP([sum(widths), *[sizes.hidden] * sizes.depth, 1], activation=nn.SiLU)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.cat([self.critic(x, y), self.u(torch.cat([x, y], 1))], 1)


WHOLE = 1 << 30
"""Rows a tile: members that train as one batch cannot recompute tiles."""

CRITICS: dict[str, Callable[[tuple[int, int], Sizes], nn.Module]] = {
    "separable": _separable,
    "concat": lambda widths, sizes: critics.Concat(
        widths, sizes.hidden, sizes.depth - 1, tile=WHOLE
    ),
    "bilinear": lambda widths, sizes: critics.Bilinear(widths),
    "flo": _WithU,
    "conditional": lambda widths, sizes: critics.ConditionalGaussian(
        widths, sizes.hidden, sizes.depth, tile=WHOLE
    ),
}
"""Critics of (widths of x and y, sizes); the last two belong to FLO and the likelihood."""


def copula_start(
    x: Variable, y: Variable, split: Split, degrees: Sequence[float] = DEGREES
) -> Start:
    """The t-copula of each member's training rows that its held rows like best."""
    fits = Folds.fit(x.values, y.values, list(split.seen), list(split.held), degrees)
    ux, uy = (stats.rankdata(v.values, axis=0) / (len(v) + 1) for v in (x, y))
    models, zx, zy = [], [], []
    for i in range(len(split.seen)):
        option = max(fits.scores, key=lambda option: fits.scores[option][i])
        model, _ = fits.fits[i, option.nu]
        models.append((model, option.shrink(model.correlations)))
        zx.append(quantiles(ux, option.nu))
        zy.append(quantiles(uy, option.nu))
    return Start.of(models, zx, zy)
