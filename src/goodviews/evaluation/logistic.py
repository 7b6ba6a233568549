"""Multinomial logistic regression with an L2 penalty: full-batch L-BFGS in a whitened basis.

Features are standardised on the training images and rotated to their principal axes, which
leaves the penalised problem as it was but lets every axis be scaled by its own curvature:
a few tens of passes over the data then suffice whatever the features' correlations are.
Up to ``WIDTH`` features this is exact. Wider features are exact too as long as there are at most
``WIDTH`` training images; beyond both, the ``WIDTH`` leading principal axes are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

WIDTH = 1024
"""The most principal axes a probe reads."""
PENALTIES = (10.0, 1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5)
"""Strengths tried, strong to weak: ``penalty / 2 * |W|^2`` beside the mean cross-entropy."""
PATIENCE = 3
"""Weaker penalties tried without fewer errors before the choice ends."""
SELECTION_IMAGES = 10_000
"""The most training images used to choose the penalty."""


Solution = tuple[Tensor, Tensor]
"""Weights (r, c) and bias (c,)."""


@dataclass(frozen=True)
class Axes:
    """Standardisation and principal axes of the training features."""

    mean: Tensor
    scale: Tensor
    rotation: Tensor
    """Shape (D, r), orthonormal columns."""
    variance: Tensor
    """Shape (r,): of the training images along each axis."""

    def __call__(self, x: Tensor) -> Tensor:
        """Features (n, D) -> coordinates (n, r)."""
        return ((x - self.mean) / self.scale) @ self.rotation


@dataclass(frozen=True)
class Logistic:
    """A fitted classifier: ``logits = axes(x) @ weight + bias``."""

    axes: Axes
    weight: Tensor
    bias: Tensor
    penalty: float
    temperature: float = 1.0
    """Multiplies the logits; changes probabilities, not decisions."""

    def __call__(self, x: Tensor) -> Tensor:
        """Log-probabilities of the classes, shape (n, c), for features of shape (n, D)."""
        logits = self.axes(x) @ self.weight + self.bias
        return torch.log_softmax(self.temperature * logits, dim=1)


def standardisation(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each feature; the deviation of a constant one is 1."""
    mean, scale = x.mean(0), x.std(0, correction=0)
    constant = scale <= 1e-6 * mean.abs().clamp_min(1e-6)
    return mean, torch.where(constant, torch.ones_like(scale), scale)


def principal_axes(x: Tensor, seed: int = 0) -> tuple[Axes, Tensor]:
    """The axes of training features x (n, D), and x's coordinates on them (n, r)."""
    mean, scale = standardisation(x)
    z = (x - mean) / scale
    n, width = z.shape
    frame = None
    if width > WIDTH:
        frame = torch.linalg.qr(z.T if n <= WIDTH else _leading_range(z, seed)).Q
        z = z @ frame
    variance, turn = torch.linalg.eigh(z.T @ z / n)
    rotation = turn if frame is None else frame @ turn
    return Axes(mean, scale, rotation, variance.clamp_min(0)), z @ turn


def _leading_range(z: Tensor, seed: int) -> Tensor:
    """Combinations of the rows of z (n, D), shape (D, WIDTH), that span its leading axes.

    Randomised range finder with one power iteration (Halko et al. 2011) on a part of the rows.
    """
    generator = torch.Generator().manual_seed(seed)
    rows = z[torch.randperm(len(z), generator=generator)[: 4 * WIDTH].to(z.device)]
    sketch = torch.randn(len(rows), WIDTH, generator=generator).to(z.device)
    frame = torch.linalg.qr(rows.T @ sketch).Q
    return rows.T @ (rows @ frame)


def _solve(
    x: Tensor, labels: Tensor, variance: Tensor, penalty: float, weight: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor]:
    n, classes = len(x), weight.shape[1]
    rows = torch.arange(n, device=x.device)
    scale = (variance / classes + penalty).rsqrt().unsqueeze(1)
    free = torch.cat([weight / scale, bias.unsqueeze(0) / classes**0.5])

    def closure() -> Tensor:
        w, b = scale * free[:-1], free[-1] * classes**0.5
        log_p = torch.log_softmax(x @ w + b, dim=1)
        loss = -log_p[rows, labels].mean() + penalty / 2 * w.square().sum()
        residual = log_p.exp()
        residual[rows, labels] -= 1
        residual /= n
        slope = (residual.T @ x).T + penalty * w  # this order is four times as fast
        free.grad = torch.cat([scale * slope, residual.sum(0, keepdim=True) * classes**0.5])
        return loss

    optimizer = torch.optim.LBFGS(
        [free],
        max_iter=60,
        tolerance_grad=1e-5,
        tolerance_change=1e-7,
        history_size=10,
        line_search_fn="strong_wolfe",
    )
    optimizer.step(closure)
    free = free.detach()
    return scale * free[:-1], free[-1] * classes**0.5


def fit_logistic(
    x: Tensor, labels: Tensor, classes: int, *, penalty: float | None = None, seed: int = 0
) -> Logistic:
    """Fit on features x (n, D) and labels (n,) in 0 .. classes - 1.

    Minimises ``mean cross-entropy + penalty / 2 * |W|^2`` (the bias is free). Without ``penalty``
    the one of ``PENALTIES`` with the fewest errors on held-out training images is taken: one fifth
    is held out, or with fewer than 1,000 images each fifth in turn. The logits are then scaled by
    the one number that gives those images the least cross-entropy: over-confidence costs no nats.

    Example:
        >>> x = torch.tensor([[-1.0], [-0.8], [0.9], [1.1]])
        >>> model = fit_logistic(x, torch.tensor([0, 0, 1, 1]), 2, penalty=0.1)
        >>> model(x).argmax(1).tolist()
        [0, 0, 1, 1]
    """
    with torch.no_grad():
        axes, coordinates = principal_axes(x, seed)
        data = (coordinates, labels, axes.variance)
        start = _nothing(coordinates, classes)
        temperature = 1.0
        if penalty is None:
            penalty, temperature, start = _choose_penalty(*data, classes, seed)
        weight, bias = _solve(*data, penalty, *start)
    return Logistic(axes, weight, bias, penalty, temperature)


def _choose_penalty(
    x: Tensor, labels: Tensor, variance: Tensor, classes: int, seed: int
) -> tuple[float, float, Solution]:
    """The penalty and temperature that held-out images like best, and a solution to start from."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(x), generator=generator)[:SELECTION_IMAGES].to(x.device)
    folds = _folds(order, labels)
    folds = folds[:1] if len(order) >= 1000 else folds
    parts = [order[~torch.isin(order, held)] for held in folds]
    kept = [(x[part], labels[part]) for part in parts]
    solutions = [_nothing(x, classes) for _ in folds]
    held_labels = torch.cat([labels[held] for held in folds])
    fewest, since = len(held_labels) + 1, 0
    chosen, logits, start = PENALTIES[0], x.new_zeros(len(held_labels), classes), solutions[0]
    for penalty in PENALTIES:
        solutions = [
            _solve(*data, variance, penalty, *solution)
            for data, solution in zip(kept, solutions, strict=True)
        ]
        now = torch.cat([x[held] @ w + b for held, (w, b) in zip(folds, solutions, strict=True)])
        errors = int((now.argmax(1) != held_labels).sum())
        since += 1
        if errors < fewest:
            fewest, since, chosen, logits, start = errors, 0, penalty, now, solutions[0]
        if since == PATIENCE:
            break
    return chosen, _temperature(logits, held_labels), start


def _temperature(logits: Tensor, labels: Tensor) -> float:
    """The factor of the logits with the least cross-entropy (Guo et al. 2017), on a log grid."""
    factors = torch.logspace(-2, 1, 61).tolist()
    costs = [float(functional.cross_entropy(factor * logits, labels)) for factor in factors]
    return factors[costs.index(min(costs))]


def _nothing(x: Tensor, classes: int) -> Solution:
    return x.new_zeros(x.shape[1], classes), x.new_zeros(classes)


def _folds(order: Tensor, labels: Tensor, count: int = 5) -> list[Tensor]:
    """Five parts of ``order``, each with its share of every class."""
    by_class = order[labels[order].argsort(stable=True)]
    return [part for k in range(count) if len(part := by_class[k::count])]
