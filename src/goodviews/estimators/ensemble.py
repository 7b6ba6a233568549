"""Many critics trained at once: the folds of a sample are one batched network.

Each member has its own weights, training rows, validation rows, early stopping and, where asked,
its own copula as a start: its score is the copula's log-ratio plus what the critic adds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from goodviews.estimators.elliptical import Elliptical
from goodviews.estimators.variables import Variable, normal_scores

Objective = Callable[[Tensor], Tensor]
"""Scores (E, n, n) of all members, positives on the diagonals -> numbers to climb, shape (E,)."""


def each(bound: Callable[[Tensor], Tensor]) -> Objective:
    """A bound of one (n, n) matrix for all members at once.

    Example:
        >>> each(lambda scores: scores.diagonal().mean())(torch.ones(3, 5, 5)).tolist()
        [1.0, 1.0, 1.0]
    """
    return vmap(bound)


GAUSSIAN_NU = 1e6
"""Degrees of freedom that stand for infinity in float32."""


@dataclass(frozen=True)
class Settings:
    """How critics are trained."""

    batch: int = 256
    """Positive pairs a step; all batch * (batch - 1) others are negatives."""
    steps: int = 3000
    lr: float = 2e-3
    decay: float = 0.5
    """AdamW's weight decay."""
    average: float = 0.02
    """Weights are read as an exponential average with this rate."""
    check: int = 50
    """Steps between looks at the validation rows."""
    patience: int = 15
    """Looks without a better value before a member stops."""


def features(variable: Variable) -> np.ndarray:
    """What critics read: normal scores with their norm, or one column a label; float32 (n, k).

    Example:
        >>> features(Variable(np.random.default_rng(0).normal(size=(50, 3)))).shape
        (50, 5)
    """
    if variable.discrete:
        return np.eye(variable.levels, dtype=np.float32)[variable.codes]
    z = normal_scores(variable.values)
    square = np.square(z).sum(1, keepdims=True)
    d = variable.width
    norms = [(square - d) / math.sqrt(2 * d), np.sqrt(square) - math.sqrt(d)]
    return np.hstack([z, *norms]).astype(np.float32)


class Start(NamedTuple):
    """Copulas of all members, on all rows; E members, n rows, r canonical pairs."""

    a: Tensor
    """(E, n, r)."""
    b: Tensor
    qx: Tensor
    """(E, n)."""
    qy: Tensor
    s: Tensor
    """(E, r)."""
    nu: Tensor
    """(E,)."""
    constant: Tensor
    """(E,)."""
    widths: tuple[int, int]

    @classmethod
    def of(
        cls, models: list[tuple[Elliptical, np.ndarray]], zx: list[np.ndarray], zy: list[np.ndarray]
    ) -> Start:
        """From fitted copulas with their (shrunk) correlations, and scores of all rows for each."""
        rows = [
            model.canonical(*z)
            for (model, _), z in zip(models, zip(zx, zy, strict=True), strict=True)
        ]
        stack = [np.stack(parts) for parts in zip(*rows, strict=True)]
        s = np.stack([s for _, s in models]).clip(max=1 - 1e-5)  # float32 knows no 1 - 1e-9
        nu = np.array([min(model.nu, GAUSSIAN_NU) for model, _ in models])
        zero = [model.constant(s) for model, s in models]
        tensors = [
            torch.as_tensor(np.asarray(v), dtype=torch.float32) for v in (*stack, s, nu, zero)
        ]
        a, b, qx, qy, correlations, freedom, constant = tensors
        widths = models[0][0].widths
        return cls(a, b, qx, qy, correlations, freedom, constant, widths)

    def each(self, change: Callable[[Tensor], Tensor]) -> Start:
        """The same with every tensor changed."""
        changed = {
            name: change(part)
            for name, part in zip(self._fields, self, strict=True)
            if isinstance(part, Tensor)
        }
        return self._replace(**changed)  # type: ignore[arg-type]

    def only(self, member: int) -> Start:
        """The copula of one member, as an ensemble of one."""
        return self.each(lambda part: part[member : member + 1])

    def to(self, device: torch.device | str) -> Start:
        """The same on another device."""
        return self.each(lambda part: part.to(device))

    def scores(self, rows: Tensor) -> Tensor:
        """Log-ratios of all pairs among ``rows`` (E, m): shape (E, m, m)."""
        e = torch.arange(len(rows), device=rows.device)[:, None]
        a, b, qx, qy = self.a[e, rows], self.b[e, rows], self.qx[e, rows], self.qy[e, rows]
        s = self.s[:, None]
        weight = s / (1 - s * s)
        left = qx + (a * a * (s * weight)).sum(2)
        right = qy + (b * b * (s * weight)).sum(2)
        joint = torch.baddbmm(
            left[:, :, None] + right[:, None], a * (-2 * weight), b.transpose(1, 2)
        )
        dx, dy = self.widths
        nu = self.nu[:, None]
        x = (nu + dx) / 2 * torch.log1p(qx / nu) + self.constant[:, None]
        y = (nu + dy) / 2 * torch.log1p(qy / nu)
        nu = nu[:, None]
        return (
            x[:, :, None] + y[:, None] - (nu + dx + dy) / 2 * torch.log1p(joint.clamp_min(0) / nu)
        )


class Ensemble:
    """E critics of one shape, with weights of their own.

    Args:
        make: makes one critic, from torch's global random numbers.
        x: features of all rows, (n, k).
        y: the same for y.
        members: E.
        start: copulas to add to, or None.
        seed: of the weights.
    """

    def __init__(
        self,
        make: Callable[[], nn.Module],
        x: Tensor,
        y: Tensor,
        members: int,
        start: Start | None,
        seed: int,
    ) -> None:
        self.x, self.y, self.start = x, y, start
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            critics = [make() for _ in range(members)]
        self.critic = critics[0].to(x.device)
        stacked, _ = stack_module_state([critic.to(x.device) for critic in critics])
        self.weights = {name: w.detach().requires_grad_() for name, w in stacked.items()}
        self.gate = torch.ones(members, device=x.device)
        """0 for a member whose critic never helped: its copula, or nothing, stands."""

    def scores(self, rows: Tensor) -> Tensor:
        """Scores (E, m, m) of all pairs among each member's ``rows`` (E, m)."""

        def one(weights: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
            return functional_call(self.critic, weights, (x, y))

        added = vmap(one)(self.weights, self.x[rows], self.y[rows]) * self.gate[:, None, None]
        return added if self.start is None else added + self.start.scores(rows)

    def scores_of(self, member: int, rows: Tensor) -> Tensor:
        """Scores (m, m) of all pairs among ``rows`` (m,) by one member."""
        weights = {name: w[member] for name, w in self.weights.items()}
        added = functional_call(self.critic, weights, (self.x[rows], self.y[rows]))
        added = added * self.gate[member]
        if self.start is None:
            return added
        return added + self.start.only(member).scores(rows[None])[0]


def train(
    ensemble: Ensemble,
    seen: Tensor,
    held: Tensor,
    objective: Objective,
    settings: Settings,
    generator: Generator,
    check: Objective | None = None,
    floor: bool = True,
) -> Tensor:
    """Climb ``objective`` on the rows ``seen`` (E, n1), stop each member by ``held`` (E, n2).

    A member keeps its averaged weights of the look with the best value on its held rows; without
    any better than the start's own, its critic is switched off.

    Args:
        ensemble: is trained in place.
        seen: training rows of each member.
        held: validation rows of each member.
        objective: what is climbed.
        settings: batch size, steps and so on.
        generator: of the batches, on the CPU.
        check: what decides on the held rows; None: the objective.
        floor: whether a critic that never beats its start (or zero) is switched off.

    Returns:
        The best value on the held rows, nats, shape (E,).
    """
    check = check or objective
    weights = list(ensemble.weights.values())
    optimizer = torch.optim.AdamW(
        weights, lr=settings.lr, weight_decay=settings.decay, betas=(0.9, 0.99), foreach=True
    )
    average = [w.detach().clone() for w in weights]
    ensemble.gate.zero_()
    with torch.no_grad():
        best = (
            value_on(ensemble, held, check) if floor else torch.full_like(ensemble.gate, -math.inf)
        )
    ensemble.gate.fill_(1.0)
    kept, since = [w.clone() for w in average], torch.zeros_like(best)
    helped = torch.zeros_like(best, dtype=torch.bool)
    n = seen.shape[1]
    size = min(settings.batch, n)
    for step in range(1, settings.steps + 1):
        order = torch.randperm(n, generator=generator)[:size]
        rows = seen[:, order.to(seen.device)]
        loss = -objective(ensemble.scores(rows)).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(average, [w.detach() for w in weights], settings.average)
            if step % settings.check:
                continue
            value = _read_with(ensemble, average, held, check)
            better = (value > best) & (since < settings.patience)
            best, helped = torch.where(better, value, best), helped | better
            since = torch.where(better, 0, since + 1)
            for keep, now in zip(kept, average, strict=True):
                keep[better] = now[better]
        if bool((since >= settings.patience).all()):
            break
    with torch.no_grad():
        for weight, keep in zip(weights, kept, strict=True):
            weight.copy_(keep)
    ensemble.gate = helped.float() if floor else torch.ones_like(best)
    return best


@torch.no_grad()
def value_on(ensemble: Ensemble, rows: Tensor, check: Objective, most: int = 1000) -> Tensor:
    """``check`` of each member, the mean over blocks of at most ``most`` rows."""
    blocks = rows.split(most, dim=1)[:4]
    blocks = blocks[:-1] if len(blocks) > 1 and blocks[-1].shape[1] < most else blocks
    return torch.stack([check(ensemble.scores(block)) for block in blocks]).mean(0)


def _read_with(ensemble: Ensemble, weights: list[Tensor], rows: Tensor, check: Objective) -> Tensor:
    """The value on ``rows`` with other weights."""
    own, names = ensemble.weights, list(ensemble.weights)
    ensemble.weights = dict(zip(names, weights, strict=True))
    try:
        return value_on(ensemble, rows, check)
    finally:
        ensemble.weights = own
