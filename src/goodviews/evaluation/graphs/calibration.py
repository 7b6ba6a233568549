"""Are link probabilities right as probabilities? Reliability, and scaling that makes them so."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.optimize import brentq, minimize, minimize_scalar
from scipy.special import expit, logit
from scipy.stats import rankdata
from torch import Tensor

from goodviews.interfaces import UserError, check_name


@dataclass(frozen=True)
class Calibration:
    """How far probabilities are from the shares that came true."""

    ece: float
    """Expected calibration error, in [0, 1]."""
    brier: float
    """Mean squared error of the probabilities, in [0, 1]."""
    curve: Tensor
    """float64, shape (b, 3): mean probability, share that came true, count; b <= bins."""


def calibration(probabilities: Tensor, outcomes: Tensor, bins: int = 15) -> Calibration:
    r"""Expected calibration error and Brier score of probabilities (n,) of outcomes (n,) 0 or 1.

    ``ECE = sum_b n_b / n |mean p in b - share true in b|`` over bins of equal mass (by average
    rank, so that equal probabilities share a bin and order does not matter);
    ``Brier = mean (p - y)^2``. With b bins of n / b each, a perfect model still shows an ECE of
    about ``sqrt(p (1 - p) b / n)``.

    Raises:
        UserError: nothing given, a probability outside [0, 1], one class only, bins below 1.

    Reference: Guo et al. 2017, section 2; equal mass: Nguyen & O'Connor 2015.

    Example:
        >>> p, y = torch.tensor([0.2, 0.2, 0.8, 0.8]), torch.tensor([0, 0, 1, 1])
        >>> round(calibration(p, y, bins=2).ece, 3), round(calibration(p, y).brier, 3)
        (0.2, 0.04)
    """
    if bins < 1:
        raise UserError(f"bins: {bins}. Use 1 or more, for example 15.")
    p, y = _checked("probabilities", probabilities, outcomes)
    if p.min() < 0 or p.max() > 1:
        raise UserError(
            f"probabilities: from {p.min():.3g} to {p.max():.3g}, outside [0, 1]. "
            "Scale scores with fit_scaling first."
        )
    place = ((rankdata(p) - 0.5) / len(p) * bins).astype(np.int64)
    count = np.bincount(place, minlength=bins)
    full = count > 0
    count = count[full]
    mean = np.bincount(place, p, bins)[full] / count
    share = np.bincount(place, y, bins)[full] / count
    return Calibration(
        ece=float((count * np.abs(mean - share)).sum() / len(p)),
        brier=float(np.square(p - y).mean()),
        curve=torch.from_numpy(np.stack([mean, share, count.astype(np.float64)], 1)),
    )


@dataclass(frozen=True)
class Scaling:
    """Scores s -> probabilities ``sigmoid(slope s + offset)``."""

    slope: float
    offset: float
    share: float
    """Of links among the pairs it was fitted on."""

    def __call__(self, scores: Tensor) -> Tensor:
        """Probabilities (m,), float64, of scores (m,)."""
        return torch.sigmoid(self.slope * scores.double() + self.offset)

    def at(self, density: float) -> Scaling:
        """The same odds ratios where links are this share of all pairs.

        A scaling fitted on as many non-links as links speaks of such a half-and-half world; a graph
        has far fewer links. ``offset + logit(density) - logit(share)`` corrects it (King & Zeng
        2001, section 4.1), exactly so if non-links were drawn uniformly.

        Raises:
            UserError: a density outside (0, 1).

        Example:
            >>> halves = Scaling(1.0, 0.0, 0.5)
            >>> round(float(halves.at(0.01)(torch.zeros(1))), 6)
            0.01
        """
        _check_density(density)
        return replace(
            self, offset=self.offset + float(logit(density) - logit(self.share)), share=density
        )

    def matched(self, scores: Tensor, density: float) -> Scaling:
        """The same slope, and the offset at which pairs of these scores (m,) hold so many links.

        For scores of pairs drawn uniformly from all pairs of a graph whose density is known (from
        its training links and the share that is hidden): the mean probability is then ``density``.
        :meth:`at` needs no such pairs but trusts the sigmoid far out in its tail.

        Raises:
            UserError: a density outside (0, 1), no scores, scores not finite.

        Example:
            >>> scaling = Scaling(2.0, 0.0, 0.5).matched(torch.linspace(-3, 3, 1000), 0.01)
            >>> round(float(scaling(torch.linspace(-3, 3, 1000)).mean()), 6)
            0.01
        """
        _check_density(density)
        t = self.slope * _finite("scores", scores)
        offset = brentq(
            lambda offset: expit(t + offset).mean() - density,
            float(logit(density)) - float(t.max()) - 1,
            float(logit(density)) - float(t.min()) + 1,
        )
        return replace(self, offset=float(offset), share=density)


def fit_scaling(scores: Tensor, outcomes: Tensor, kind: str = "platt") -> Scaling:
    """Scaling of scores (n,) fitted to outcomes (n,) 0 or 1, of validation pairs.

    ``"platt"`` fits slope and offset (Platt 1999); ``"temperature"`` only a positive slope 1 / T,
    for scores that are log-odds (Guo et al. 2017, section 4.2). Both minimise the cross-entropy to
    Platt's targets ``(n1 + 1) / (n1 + 2)`` for a link and ``1 / (n0 + 2)`` for a non-link, so that
    scores that separate the two do not make certainties.

    Raises:
        UserError: unknown kind, nothing given, scores not finite, one class only.

    Example:
        >>> fit_scaling(torch.tensor([-1.0, 1.0, -1.0, 1.0]), torch.tensor([0, 1, 0, 1])).slope > 0
        True
    """
    check_name("scaling", kind, ("platt", "temperature"))
    s, y = _checked("scores", scores, outcomes)
    links = float(y.sum())
    target = np.where(y > 0, (links + 1) / (links + 2), 1 / (len(y) - links + 2))
    unit = float(s.std()) or 1.0
    centre = float(s.mean()) if kind == "platt" else 0.0
    z = (s - centre) / unit

    def cost(line: np.ndarray) -> tuple[float, np.ndarray]:
        t = line[0] * z + line[1]
        residual = expit(t) - target
        value = float((np.logaddexp(0, t) - target * t).mean())
        return value, np.array([(residual * z).mean(), residual.mean()])

    if kind == "platt":
        found = minimize(cost, np.zeros(2), jac=True, method="BFGS", options={"gtol": 1e-9}).x
        slope, offset = float(found[0]), float(found[1])
    else:
        sharp = minimize_scalar(
            lambda log_slope: cost(np.array([math.exp(log_slope), 0.0]))[0],
            bounds=(-12.0, 12.0),
            method="bounded",
            options={"xatol": 1e-9},
        ).x
        slope, offset = math.exp(float(sharp)), 0.0
    return Scaling(slope / unit, offset - slope * centre / unit, links / len(y))


def _checked(what: str, values: Tensor, outcomes: Tensor) -> tuple[np.ndarray, np.ndarray]:
    if values.dim() != 1 or values.shape != outcomes.shape or len(values) == 0:
        raise UserError(
            f"{what}: shape {tuple(values.shape)} for outcomes {tuple(outcomes.shape)}. "
            "Give one number a pair, and at least one pair."
        )
    x, y = _finite(what, values), outcomes.detach().cpu().double().numpy()
    if not np.isin(y, (0, 1)).all():
        raise UserError(f"outcomes: {y[~np.isin(y, (0, 1))][0]:g}. Use 1 for a link, else 0.")
    if y.min() == y.max():
        raise UserError(
            f"outcomes: all {len(y)} pairs are {'links' if y[0] else 'non-links'}. Give both."
        )
    return x, y


def _finite(what: str, values: Tensor) -> np.ndarray:
    x = values.detach().cpu().double().numpy()
    if x.size == 0:
        raise UserError(f"{what}: none given. Give at least one pair's.")
    if not np.isfinite(x).all():
        raise UserError(
            f"{what}: {int((~np.isfinite(x)).sum())} of {len(x)} are not finite. "
            "The scorer diverged: lower its learning rate, or check its input."
        )
    return x


def _check_density(density: float) -> None:
    if not 0 < density < 1:
        raise UserError(f"density: {density:g}. Give links / pairs, above 0 and below 1.")
