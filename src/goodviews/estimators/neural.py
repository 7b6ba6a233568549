r"""Neural estimates: a critic is trained on some rows and read on others.

The objective that trains and the number that is read are two choices: a critic trained to be the
log-ratio (NWJ, Donsker-Varadhan, JS, anchor, SMILE's JS) can be read by any read-out; one trained
with InfoNCE is free up to c(x), so only InfoNCE reads it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import special, stats
from torch import nn

from goodviews import bounds, critics
from goodviews.estimators.copula import DEGREES, Folds, quantiles
from goodviews.estimators.ensemble import Ensemble, Objective, Settings, Start, features, train
from goodviews.estimators.heldout import influences
from goodviews.estimators.reading import Reading, folds
from goodviews.estimators.variables import Variable
from goodviews.interfaces import Kind, UserError, check_name

BLOCK = 1000
"""Held-out rows that are compared with each other at a time."""


@dataclass(frozen=True)
class Split:
    """For each of ``parts`` members: a fold to report, the next one to stop by, the rest to train."""

    report: list[np.ndarray]
    held: np.ndarray
    seen: np.ndarray

    @classmethod
    def of(cls, n: int, parts: int, seed: int) -> Split:
        """Random folds; members' rows are cut to one length, so that they train as one batch."""
        fold = folds(n, parts, seed)
        report = [np.flatnonzero(fold == i) for i in range(parts)]
        short = n // parts
        held = np.stack([report[(i + 1) % parts][:short] for i in range(parts)])
        rest = [np.flatnonzero((fold != i) & (fold != (i + 1) % parts)) for i in range(parts)]
        least = min(map(len, rest))
        return cls(report, held, np.stack([rows[:least] for rows in rest]))


@dataclass(frozen=True)
class Training:
    """An objective and what it makes of the critic."""

    climb: Objective
    reads: tuple[str, ...]
    """Read-outs that its critic may be given to."""
    density: bool = False
    """Whether the critic is log q(y|x)."""


_RATIO = ("donsker-varadhan", "nwj", "smile", "plug-in", "infonce", "interpolated")
_FREE = ("donsker-varadhan", "smile", "infonce")

OBJECTIVES: dict[str, Training] = {
    "nwj": Training(bounds.nwj_of_log_ratio, _RATIO),
    "jensen-shannon": Training(bounds.jensen_shannon, _RATIO),
    "anchor": Training(bounds.anchor, _RATIO),
    "interpolated": Training(lambda s: bounds.interpolated(s, 0.01), _RATIO),
    "donsker-varadhan": Training(bounds.donsker_varadhan, _FREE),
    "infonce": Training(bounds.infonce, ("infonce",)),
    "likelihood": Training(lambda s: s.diagonal().mean(), ("club", "leave-one-out"), density=True),
}
"""What trains a critic: name -> objective and the read-outs it allows. NWJ is in the form whose
optimum is log r. A critic free up to a constant (Donsker-Varadhan) or c(x) (InfoNCE) is no log r."""

READS: dict[str, Kind] = {
    "donsker-varadhan": "lower",
    "nwj": "lower",
    "infonce": "lower",
    "interpolated": "lower",
    "smile": "neither",
    "plug-in": "neither",
    "club": "neither",
    "leave-one-out": "neither",
}
"""What is read off held-out scores, and what it is of the truth. CLUB and leave-one-out are upper
bounds for the exact q(y|x) only; Donsker-Varadhan is a lower bound up to the error of its log mean
over many product pairs."""


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
        critic: "separable" (phi1(x)^T phi2(y) + a(x) + b(y)), "concat" or "bilinear".
        start: "copula" trains what is to be added to a fitted t-copula; "none" starts at 0.
        parts: number of folds and of critics, 3 or more.
        hidden: width of hidden layers.
        depth: number of hidden layers.
        embed: inner width of the separable critic.
        candidates: K of the InfoNCE read-out, and the most rows of a training batch.
        steps: the most training steps.

    Raises:
        UserError: an unknown name, a read-out that the objective does not allow, too few rows.

    Example:
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
    split = Split.of(len(x), parts, seed)
    ensemble = members(
        x,
        y,
        split,
        seed=seed,
        device=device,
        critic=critic,
        start=start,
        hidden=hidden,
        depth=depth,
        embed=embed,
        density=training.density,
    )
    settings = Settings(steps=steps, batch=candidates)
    rows = (torch.as_tensor(part, device=ensemble.x.device) for part in (split.seen, split.held))
    held = train(ensemble, *rows, training.climb, settings, torch.Generator().manual_seed(seed))
    reading = read_members(ensemble, split, read, seed, shuffles, candidates)
    details = {"objective": objective, "read": read, "critic": critic, "held": held.mean().item()}
    return replace(reading, details={**reading.details, **details})


# --- making and reading the members ---------------------------------------------------------------


def members(
    x: Variable,
    y: Variable,
    split: Split,
    *,
    seed: int,
    device: str = "cpu",
    critic: str = "separable",
    start: str = "none",
    hidden: int = 64,
    depth: int = 3,
    embed: int = 8,
    density: bool = False,
    degrees: Sequence[float] = DEGREES,
) -> Ensemble:
    """Untrained critics, one for each part of the split."""
    check_name("start", start, ("none", "copula"))
    if (density or start == "copula") and (x.discrete or y.discrete):
        raise UserError("labels have no density here. Use --method ksg, infonce or auto.")
    fx, fy = (torch.as_tensor(features(v), device=device) for v in (x, y))
    fy = fy[:, : y.width] if density else fy
    widths = fx.shape[1], fy.shape[1]

    def make() -> nn.Module:
        if density:
            return critics.ConditionalGaussian(widths, hidden, depth, tile=BLOCK)
        check_name("critic", critic, _CRITICS)
        return _CRITICS[critic](widths, hidden, depth, embed)

    begin = copula_start(x, y, split, degrees).to(device) if start == "copula" else None
    return Ensemble(make, fx, fy, len(split.report), begin, seed)


def _separable(widths: tuple[int, int], hidden: int, depth: int, embed: int) -> nn.Module:
    made = critics.Separable(widths, hidden, depth, embed, marginals=True, activation=nn.SiLU)
    with torch.no_grad():
        made.phi2[-1].weight.mul_(0.1)  # scores start small
    return made


_CRITICS: dict[str, Callable[[tuple[int, int], int, int, int], nn.Module]] = {
    "separable": _separable,
    "concat": lambda widths, hidden, depth, embed: critics.Concat(
        widths, hidden, depth - 1, tile=BLOCK
    ),
    "bilinear": lambda widths, *_: critics.Bilinear(widths),
}


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


def read_members(
    ensemble: Ensemble, split: Split, read: str, seed: int, shuffles: int, candidates: int = 256
) -> Reading:
    """Read each member on the fold that it reports, a block of rows at a time."""
    n = sum(map(len, split.report))
    size = candidates if read in ("infonce", "interpolated") else BLOCK
    rng = np.random.default_rng(seed)
    values, shuffled, weight, normaliser = np.zeros(n), np.zeros(shuffles), [], []
    for member, fold in enumerate(split.report):
        for rows in np.array_split(fold, max(1, math.ceil(len(fold) / size))):
            scores = _block(ensemble, member, rows)
            values[rows] = influence_values(scores, read)
            diagonal = scores.diagonal().mean()
            level = values[rows].mean() - diagonal
            for i in range(shuffles):
                mixed = scores[np.arange(len(rows)), rng.permutation(len(rows))].mean()
                shuffled[i] += (mixed + level) * len(rows) / n
            off = _off_diagonal(scores)
            weight.append(float(np.exp(2 * special.logsumexp(off) - special.logsumexp(2 * off))))
            normaliser.append(float(special.logsumexp(off) - math.log(off.size)))
    details = {
        "log_normaliser": float(np.mean(normaliser)),
        "effective_pairs": min(weight),
        "members_that_helped": int(ensemble.gate.sum()),
    }
    ceiling = math.inf
    if read == "infonce":
        ceiling = math.log(min(size, len(split.report[0])))
    nats = float(values.mean())
    lower = nats if READS[read] == "lower" else None
    return Reading(
        values,
        shuffled,
        kind=READS[read],
        lower=lower,
        ceiling=ceiling,
        candidates=round(math.exp(ceiling)) if math.isfinite(ceiling) else None,
        details=details,
        warnings=_doubts(read, details),
    )


def _block(ensemble: Ensemble, member: int, rows: np.ndarray) -> np.ndarray:
    """Scores (m, m) of one member, float64."""
    index = torch.as_tensor(rows, device=ensemble.x.device)
    with torch.no_grad():
        return ensemble.scores_of(member, index).double().cpu().numpy()


def _doubts(read: str, details: dict[str, float]) -> tuple[str, ...]:
    notes = []
    if read in ("donsker-varadhan", "nwj") and details["effective_pairs"] < 100:
        notes.append(
            f"the weights e^f rest on {details['effective_pairs']:.0f} pairs of the product: too few "
            "to trust a bound this high; more rows are needed, or a copula or flow model"
        )
    if read == "plug-in" and abs(details["log_normaliser"]) > 0.1:
        notes.append(
            f"log mean e^f = {details['log_normaliser']:+.2f}, 0 for a log-ratio: the plug-in value "
            "may be off by as much"
        )
    return tuple(notes)


def influence_values(scores: np.ndarray, read: str) -> np.ndarray:
    r"""One number a row whose mean is the read-out of scores (n, n), in nats, shape (n,).

    Donsker-Varadhan: s_ii - log Z + 2 - r_i - c_i with Z = mean_{i != j} e^{s_ij}, r and c the row
    and column means of e^s / Z; NWJ the same with Z for log Z and unnormalised means.

    Example:
        >>> scores = np.random.default_rng(0).normal(size=(50, 50))
        >>> exact = bounds.donsker_varadhan(torch.as_tensor(scores)).item()
        >>> bool(np.isclose(influence_values(scores, "donsker-varadhan").mean(), exact))
        True
    """
    n = len(scores)
    positives = scores.diagonal()
    if read == "plug-in":
        return positives
    if read == "club":
        return positives - (scores.sum(1) - positives) / (n - 1)
    masked = scores.copy()
    np.fill_diagonal(masked, -np.inf)
    if read == "leave-one-out":
        return positives - (special.logsumexp(masked, axis=0) - math.log(n - 1))
    if read == "infonce":
        return influences(torch.as_tensor(scores)).numpy()
    if read == "interpolated":
        value = bounds.interpolated(torch.as_tensor(scores), 0.01).item()
        return value + positives - positives.mean()
    if read == "smile":
        masked = masked.clip(-5.0, 5.0)
        np.fill_diagonal(masked, -np.inf)
    log_z = special.logsumexp(masked) - math.log(n * (n - 1))
    weights = np.exp(masked - log_z)
    played = (weights.sum(0) + weights.sum(1)) / (n - 1)
    if read == "nwj":
        return 1.0 + positives - math.exp(min(log_z, 700.0)) * (played - 1.0)
    return positives - log_z + 2.0 - played


def _off_diagonal(scores: np.ndarray) -> np.ndarray:
    return scores[~np.eye(len(scores), dtype=bool)]
