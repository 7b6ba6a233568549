"""Folds of an ensemble's members, and what is read off their scores on rows they did not see."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import special
from torch import Tensor

from goodviews import bounds
from goodviews.estimators.ensemble import Ensemble
from goodviews.estimators.heldout import influences
from goodviews.estimators.reading import Reading, folds
from goodviews.interfaces import Kind

BLOCK = 1000
"""Held-out rows that are compared with each other at a time."""

READS: dict[str, Kind] = {
    "donsker-varadhan": "lower",
    "nwj": "lower",
    "infonce": "lower",
    "interpolated": "lower",
    "smile": "neither",
    "plug-in": "neither",
    "flo": "lower",
    "club": "neither",
    "leave-one-out": "neither",
}
"""What is read off held-out scores, and what it is of the truth. CLUB and leave-one-out are upper
bounds for the exact q(y|x) only; Donsker-Varadhan is a lower bound up to the error of its log mean
over many product pairs."""


@dataclass(frozen=True)
class Split:
    """For each member: a fold to report, the next one to stop by, the rest to train."""

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

    def first(self, count: int) -> Split:
        """Only the first few members."""
        return Split(self.report[:count], self.held[:count], self.seen[:count])


def read_members(
    ensemble: Ensemble, split: Split, read: str, seed: int, shuffles: int, candidates: int = 256
) -> Reading:
    """Read each member on the fold that it reports, a block of rows at a time."""
    n = sum(map(len, split.report))
    size = candidates if read in ("infonce", "interpolated") else BLOCK
    rng = np.random.default_rng(seed)
    values, shuffled = np.zeros(n), np.zeros(shuffles)
    weight, normaliser, largest = [], [], 0
    for member, fold in enumerate(split.report):
        for rows in np.array_split(fold, max(1, len(fold) // size)):
            largest = max(largest, len(rows))
            scores = _block(ensemble, member, rows)
            values[rows] = influence_values(scores, read)
            scores = scores[:, : len(rows)]
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
    limited = read == "infonce"
    nats = float(values.mean())
    lower = nats if READS[read] == "lower" else None
    return Reading(
        values,
        shuffled,
        kind=READS[read],
        lower=lower,
        ceiling=math.log(largest) if limited else math.inf,
        candidates=largest if limited else None,
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
            f"the weights e^f rest on {details['effective_pairs']:.0f} pairs of the product: too "
            "few to trust a bound this high; more rows are needed, or a copula or flow model"
        )
    if read == "plug-in" and abs(details["log_normaliser"]) > 0.1:
        notes.append(
            f"log mean e^f = {details['log_normaliser']:+.2f}, 0 for a log-ratio: the plug-in "
            "value may be off by as much"
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
    if read == "flo":
        u, rest = scores[:, -1], _log_mean_of_rows(scores[:, :-1])
        return 1.0 - u - np.exp(rest - positives - u)
    if read == "plug-in":
        return positives
    if read == "club":
        rest = _off_diagonal(scores).mean()
        return positives + rest - (scores.sum(0) + scores.sum(1) - 2 * positives) / (n - 1)
    masked = scores.copy()
    np.fill_diagonal(masked, -np.inf)
    if read == "leave-one-out":
        return positives - (special.logsumexp(masked, axis=0) - math.log(n - 1))
    if read == "infonce":
        return influences(torch.as_tensor(scores)).numpy()
    if read == "interpolated":
        return _pseudo_values(torch.as_tensor(scores), lambda s: bounds.interpolated(s, 0.01))
    if read == "smile":
        masked = masked.clip(-5.0, 5.0)
        np.fill_diagonal(masked, -np.inf)
    log_z = special.logsumexp(masked) - math.log(n * (n - 1))
    weights = np.exp(masked - log_z)
    played = (weights.sum(0) + weights.sum(1)) / (n - 1)
    if read == "nwj":
        return 1.0 + positives - math.exp(min(log_z, 700.0)) * (played - 1.0)
    return positives - log_z + 2.0 - played


def _pseudo_values(scores: Tensor, bound: Callable[[Tensor], Tensor]) -> np.ndarray:
    """The jackknife's: v + (n - 1) (mean of v_-i - v_-i), with v_-i the bound without row i."""
    n = len(scores)
    kept = [torch.arange(n) != i for i in range(n)]
    without = np.array([bound(scores[keep][:, keep]).item() for keep in kept])
    return bound(scores).item() + (n - 1) * (without.mean() - without)


def _log_mean_of_rows(scores: np.ndarray) -> np.ndarray:
    """Log mean_{j != i} e^{s_ij}, shape (n,)."""
    masked = scores.copy()
    np.fill_diagonal(masked, -np.inf)
    found: np.ndarray = special.logsumexp(masked, axis=1) - math.log(len(scores) - 1)
    return found


def _off_diagonal(scores: np.ndarray) -> np.ndarray:
    return scores[~np.eye(len(scores), dtype=bool)]
