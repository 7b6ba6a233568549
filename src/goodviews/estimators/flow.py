"""Difference of entropies: a normalising flow that is told x in half of the rows."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn

from goodviews.estimators.denoising import columns_of
from goodviews.estimators.reading import Reading, folds
from goodviews.estimators.variables import Variable
from goodviews.interfaces import UserError


def flow(
    x: Variable,
    y: Variable,
    *,
    seed: int,
    shuffles: int,
    device: str = "cpu",
    steps: int = 2000,
    hidden: int = 64,
    transforms: int = 2,
    bins: int = 8,
    batch: int = 256,
    rate: float = 2e-3,
    patience: int = 10,
    parts: int = 5,
    read: int = 5,
    scores: bool = True,
) -> Reading:
    r"""I(x;y) as a difference of entropies, ``mean_i log q(y_i|x_i) - log q(y_i)``, in nats.

    One neural spline flow (Durkan et al. 2019; zuko), fitted on other rows, is q(y|x) where it is
    told x and q(y) where it is not: half of the rows in training. The cross entropies of both are
    upper bounds on their entropies, so the difference is neither a lower nor an upper bound; it
    has no log n ceiling (McAllester and Stratos 2020, section 4). The narrower side is the one
    whose density is learned; labels are always what is given. With x shuffled the difference falls
    below 0 where there is information, so the null is no measure of bias, but a p-value is exact.

    Args:
        x: numbers or labels, n rows.
        y: numbers or labels; not both labels.
        seed: of folds, weights, batches and shuffles.
        shuffles: how many shuffles of the unseen rows to read.
        device: where the flows train.
        steps: of AdamW, at most.
        hidden: width of the two hidden layers in each transform.
        transforms: number of spline transforms.
        bins: of each spline.
        batch: rows a step.
        rate: learning rate.
        patience: looks at the rows set aside, one each 50 steps, without a better likelihood,
            before a flow stops.
        parts: the rows are cut in so many parts.
        read: how many of the parts are read, each by a flow fitted to the others.
        scores: read rank-Gaussianised columns; else columns are scaled to variance 1.

    Raises:
        UserError: zuko is not installed, two label variables, too few rows.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(500, 1))
        >>> y = x + 0.5 * rng.normal(size=(500, 1))  # 0.80 nats
        >>> flow(Variable(x), Variable(y), seed=0, shuffles=0, steps=50, hidden=16).nats > 0.2
        True
    """
    make = _maker(transforms, hidden, bins)
    target, given = _sides(x, y, parts, read)
    on = torch.device(device)
    a, b = (torch.from_numpy(columns_of(v, scores)).float().to(on) for v in (target, given))
    fold = folds(len(x), parts, seed)
    how = Fitting(steps, batch, rate, patience)
    generator = torch.Generator(on).manual_seed(seed)
    values, shuffled = np.full(len(x), math.nan), np.zeros(shuffles)
    for part in range(read):
        seen, rows = (
            torch.from_numpy(np.flatnonzero(which)).to(on) for which in (fold != part, fold == part)
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + part)
            model = make(a.shape[1], b.shape[1]).to(on)
        fit(model, a[seen], b[seen], how, generator)
        alone = log_density(model, a[rows], b[rows], told=False)
        values[fold == part] = log_density(model, a[rows], b[rows]) - alone
        for i in range(shuffles):
            order = torch.randperm(len(rows), generator=generator, device=on)
            shuffled[i] += (log_density(model, a[rows], b[rows[order]]) - alone).sum()
    kept = values[~np.isnan(values)]
    return Reading(
        kept,
        shuffled / len(kept),
        split="cross-fitted" if read == parts else "held-out",
        details={"density of": "x" if target is x else "y"},
    )


@dataclass(frozen=True)
class Fitting:
    """How a flow is fitted; the arguments of :func:`flow`."""

    steps: int
    batch: int
    rate: float
    patience: int


def fit(model: Any, y: Tensor, x: Tensor, how: Fitting, generator: Generator) -> None:
    """Climb log q(y|x) + log q(y), and keep what is best on a tenth of the rows, not trained on.

    Args:
        model: a zuko flow of y with one context column more than x: whether it is told x.
        y: shape (n, d).
        x: shape (n, c).
        how: steps, batch, rate, patience.
        generator: of the batches.
    """
    order = torch.randperm(len(y), generator=generator, device=y.device)
    held, seen = order[: max(10, len(y) // 10)], order[max(10, len(y) // 10) :]
    optimizer = torch.optim.AdamW(model.parameters(), lr=how.rate, weight_decay=1e-3)
    best, since, kept = -math.inf, 0, copy.deepcopy(model.state_dict())
    for step in range(how.steps + 1):
        if step % 50 == 0 or step == how.steps:
            score = sum(log_density(model, y[held], x[held], told=t).mean() for t in (True, False))
            since += 1
            if score > best:
                best, since, kept = score, 0, copy.deepcopy(model.state_dict())
        if since >= how.patience:
            break
        place = torch.rand(how.batch, 2, generator=generator, device=y.device)
        rows = seen[(place[:, 0] * len(seen)).long()]
        loss = -model(_context(x[rows], place[:, 1:] < 0.5)).log_prob(y[rows]).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
    model.load_state_dict(kept)


@torch.no_grad()
def log_density(
    model: Any, y: Tensor, x: Tensor, *, told: bool = True, rows: int = 8192
) -> np.ndarray:
    """Log q(y|x), or log q(y) where the flow is not told x, float64 (n,)."""
    blocks = [
        model(_context(b, torch.full((len(b), 1), told, device=b.device))).log_prob(a)
        for a, b in zip(y.split(rows), x.split(rows), strict=True)
    ]
    found: np.ndarray = torch.cat(blocks).double().cpu().numpy()
    return found


def _context(x: Tensor, told: Tensor) -> Tensor:
    """What the flow sees: x, or zeros, and which of both."""
    return torch.cat([x * told, told.float()], 1)


def _maker(transforms: int, hidden: int, bins: int) -> Callable[[int, int], Any]:
    """``make(width, given)``: a spline flow of so many columns, told so many others."""
    try:
        import zuko  # an optional extra
    except ImportError as error:
        raise UserError('flow: needs zuko. Run: pip install "goodviews[flow]"') from error

    def make(width: int, given: int) -> Any:
        return zuko.flows.NSF(
            width, given + 1, bins=bins, transforms=transforms, hidden_features=(hidden, hidden)
        )

    return make


def _sides(x: Variable, y: Variable, parts: int, read: int) -> tuple[Variable, Variable]:
    """The side whose density is learned, and the side that is given."""
    if x.discrete and y.discrete:
        raise UserError("flow: x and y are both labels. Use --method discrete.")
    if len(x) < 50:
        raise UserError(f"flow: {len(x)} rows are too few to fit. Give 50 or more.")
    if parts < 2 or not 1 <= read <= parts:
        raise UserError(f"read: {read} of {parts} parts. Use 2 or more parts, and read 1 to all.")
    learn_x = y.discrete or (not x.discrete and x.width < y.width)
    return (x, y) if learn_x else (y, x)
