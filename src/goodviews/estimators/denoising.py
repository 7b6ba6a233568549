"""Networks that guess the noise in z = a x + s e, with and without y, trained side by side.

``a^2 = sigmoid(lambda)``, ``s^2 = sigmoid(-lambda)``, so z has variance 1 where x has.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from goodviews.estimators.distances import neighbor_scores
from goodviews.estimators.variables import Variable

LOW, HIGH = -7.0, 9.0
"""The range of lambda, the log signal-to-noise ratio; outside it the forms hold next to nothing."""
_CHECKS = 20
"""How often the networks are tried on their checked rows."""
_REPEATS = 8
"""Noises of each checked row."""
_NEWEST = 16
"""The moving average reaches back over a sixteenth of the steps so far."""
_FREQUENCIES = 4


# --- the data -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """What is noised and what is given, for k directions; a network a part and direction."""

    targets: Tensor
    """What is noised, shape (k, n, d); narrower ones are padded with zeros."""
    given: Tensor
    """What is given, shape (k, n, c)."""
    used: Tensor
    """1 where a column is no padding, shape (k, 1, d)."""
    names: tuple[str, ...]
    """What each direction noises: "x", "y"."""
    trained: Tensor
    """Rows the networks of each part train on, shape (parts, m)."""
    checked: Tensor
    """Rows that choose among a network's states, shape (parts, v)."""
    unseen: tuple[Tensor, ...]
    """Rows that are read, part by part."""

    @property
    def direction(self) -> Tensor:
        """The direction of every network, shape (parts k,)."""
        return torch.arange(len(self.names), device=self.used.device).repeat(len(self.unseen))

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Targets (parts k, b, d) and given (parts k, b, c) of ``rows``, shape (parts k, b)."""
        direction = self.direction[:, None]
        return self.targets[direction, rows], self.given[direction, rows]


def make_task(
    x: Variable, y: Variable, fold: np.ndarray, read: int, scores: bool, device: torch.device
) -> Task:
    """The task of noising x given y and y given x (only numbers are noised).

    Args:
        x: numbers or labels.
        y: numbers or labels.
        fold: a part number for each row, shape (n,).
        read: how many of the parts are read.
        scores: read rank-Gaussianised columns.
        device: where the tensors are.
    """
    sides = {"x": (x, y), "y": (y, x)}
    sides = {name: pair for name, pair in sides.items() if not pair[0].discrete}
    targets, given = (
        [columns_of(pair[side], scores) for pair in sides.values()] for side in (0, 1)
    )
    width = max(target.shape[1] for target in targets)
    used = np.stack([np.arange(width) < target.shape[1] for target in targets])[:, None]
    held, smallest = max(len(fold) // 12, 10), len(fold) - int(np.bincount(fold).max())
    rest = np.stack(
        [
            np.random.default_rng(part).permutation(np.flatnonzero(fold != part))[:smallest]
            for part in range(read)
        ]
    )
    return Task(
        _padded(targets, device),
        _padded(given, device),
        torch.from_numpy(used).float().to(device),
        tuple(sides),
        torch.from_numpy(rest[:, held:]).to(device),
        torch.from_numpy(rest[:, :held]).to(device),
        tuple(torch.from_numpy(np.flatnonzero(fold == p)).to(device) for p in range(read)),
    )


def columns_of(variable: Variable, scores: bool) -> np.ndarray:
    """Scores, or one column a label scaled to variance 1."""
    if not variable.discrete:
        return neighbor_scores(variable, scores)
    shown = np.eye(variable.levels)[variable.codes]
    return shown * math.sqrt(variable.levels)


def _padded(blocks: list[np.ndarray], device: torch.device) -> Tensor:
    width = max(block.shape[1] for block in blocks)
    padded = [np.pad(block, ((0, 0), (0, width - block.shape[1]))) for block in blocks]
    return torch.from_numpy(np.stack(padded)).float().to(device)


# --- the networks ---------------------------------------------------------------------------------


class Denoisers(nn.Module):
    """m small residual networks side by side, each a guess of the noise e in z = a x + s e.

    What they learn is ``v = a e - s x``; ``e = s z + a v``, so an untrained network guesses as if x
    were standard normal.

    Args:
        members: m.
        width: d, of z.
        given: c, of what is given.
        hidden: width of the layers.
        depth: number of hidden layers.
        generator: of the first weights.

    Example:
        >>> nets = Denoisers(2, 3, 4, 8, 1, torch.Generator().manual_seed(0))
        >>> z, given = torch.ones(2, 5, 3), torch.ones(2, 5, 4)
        >>> nets(z, torch.zeros(2, 5), given, torch.ones(2, 5)).shape
        torch.Size([2, 5, 3])
    """

    def __init__(
        self, members: int, width: int, given: int, hidden: int, depth: int, generator: Generator
    ) -> None:
        super().__init__()
        widths = [width + given + 2 * _FREQUENCIES + 4] + [hidden] * depth + [width]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for before, after in zip(widths[:-1], widths[1:], strict=True):
            weight = torch.empty(members, before, after, device=generator.device)
            limit = math.sqrt(3 / before) * (after == hidden or len(self.weights) < depth)
            self.weights.append(weight.uniform_(-limit, limit, generator=generator))
            self.biases.append(torch.zeros(members, 1, after, device=generator.device))

    def forward(self, z: Tensor, snr: Tensor, given: Tensor, shown: Tensor) -> Tensor:
        """Guesses of e, shape (m, b, d).

        Args:
            z: noised rows, shape (m, b, d).
            snr: lambda, shape (m, b).
            given: shape (m, b, c).
            shown: 1 where the row sees what is given, 0 where not, shape (m, b).
        """
        given = given * shown[..., None]
        angle = snr[..., None] * (torch.arange(1, _FREQUENCIES + 1, device=z.device) * math.pi / 16)
        h = torch.cat(
            [
                z,
                given,
                angle.sin(),
                angle.cos(),
                shown[..., None],
                snr[..., None] / 8,
                z.square().mean(2, keepdim=True) - 1,
                given.square().mean(2, keepdim=True) - 1,
            ],
            2,
        )
        last = len(self.weights) - 1
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            out = torch.baddbmm(bias, h, weight)
            if i < last:
                out = functional.silu(out)
            h = out + h if 0 < i < last else out
        return snr.neg().sigmoid().sqrt()[..., None] * z + snr.sigmoid().sqrt()[..., None] * h

    def part(self, members: slice) -> Denoisers:
        """Some of the networks, sharing their weights."""
        some = Denoisers.__new__(Denoisers)
        nn.Module.__init__(some)
        some.weights = nn.ParameterList([weight[members] for weight in self.weights])
        some.biases = nn.ParameterList([bias[members] for bias in self.biases])
        return some


def add_noise(targets: Tensor, snr: Tensor, noise: Tensor) -> Tensor:
    """``z = a x + s e`` at lambda ``snr``, shape (m, b), for x and e of shape (m, b, d).

    Example:
        >>> x, e = torch.tensor([[[3.0]]]), torch.tensor([[[1.0]]])
        >>> round(add_noise(x, torch.zeros(1, 1), e).item(), 3)  # (3 + 1) / sqrt(2)
        2.828
    """
    a, s = snr.sigmoid().sqrt()[..., None], snr.neg().sigmoid().sqrt()[..., None]
    return a * targets + s * noise


def _levels(shape: tuple[int, int], generator: Generator) -> Tensor:
    """Lambda for each row: evenly spread over its range, at a random place, in random order."""
    m, b = shape
    device = generator.device
    steps = torch.rand(m, b, generator=generator, device=device).argsort(1)
    offset = torch.rand(m, 1, generator=generator, device=device)
    return LOW + (HIGH - LOW) * (steps + offset) / b


@dataclass(frozen=True)
class Training:
    """How the networks train; the arguments of :func:`denoiser`."""

    steps: int
    batch: int
    rate: float
    decay: float


def train(nets: Denoisers, task: Task, how: Training, generator: Generator) -> Denoisers:
    """Moving averages of the trained networks, each from when it did best on its checked rows."""
    used = task.used[task.direction]
    trained = task.trained.repeat_interleave(len(task.names), 0)
    optimizer = torch.optim.AdamW(nets.parameters(), weight_decay=how.decay, foreach=True)
    average = copy.deepcopy(nets).requires_grad_(False)
    best = _Best(task, used, generator)
    shape, device = (len(used), how.batch), used.device
    for step in range(how.steps):
        place = torch.rand(shape, generator=generator, device=device)
        targets, given = task.take(trained.gather(1, (place * trained.shape[1]).long()))
        noise = torch.randn(targets.shape, generator=generator, device=device) * used
        snr = _levels(shape, generator)
        shown = (torch.rand(shape, generator=generator, device=device) < 0.5).float()
        guess = nets(add_noise(targets, snr, noise), snr, given, shown) * used
        loss = (guess - noise).square().mean((1, 2)).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        cosine = 0.5 + 0.5 * math.cos(math.pi * step / how.steps)
        optimizer.param_groups[0]["lr"] = how.rate * cosine * min(1.0, (step + 1) / 200)
        optimizer.step()
        with torch.no_grad():
            share = _NEWEST / (step + _NEWEST)
            torch._foreach_lerp_(list(average.parameters()), list(nets.parameters()), share)
        if (step + 1) % max(1, how.steps // _CHECKS) == 0:
            best.offer(average)
    return best.restored(average)


class _Best:
    """Keeps each network as it was when it guessed fixed noise on its checked rows best."""

    def __init__(self, task: Task, used: Tensor, generator: Generator) -> None:
        rows = task.checked.repeat_interleave(len(task.names), 0).repeat(1, _REPEATS)
        targets, given = task.take(rows)
        snr = _levels((rows.shape[0], rows.shape[1]), generator)
        noise = torch.randn(targets.shape, generator=generator, device=targets.device) * used
        z = add_noise(targets, snr, noise)
        both = torch.cat([torch.ones_like(snr), torch.zeros_like(snr)], 1)
        self.inputs = z.repeat(1, 2, 1), snr.repeat(1, 2), given.repeat(1, 2, 1), both
        self.noise, self.used = noise.repeat(1, 2, 1), used
        self.losses = torch.full((len(rows),), math.inf, device=snr.device)
        self.states: list[Tensor] = []

    @torch.no_grad()
    def offer(self, weights: Denoisers) -> None:
        """Take the networks of ``weights`` that do better than any before."""
        losses = (weights(*self.inputs) * self.used - self.noise).square().mean((1, 2))
        better = losses < self.losses
        self.losses = torch.where(better, losses, self.losses)
        now = list(weights.parameters())
        old = self.states or now
        self.states = [
            torch.where(better[:, None, None], p, q).clone() for p, q in zip(now, old, strict=True)
        ]

    def restored(self, nets: Denoisers) -> Denoisers:
        """``nets`` with the best weights."""
        with torch.no_grad():
            for parameter, state in zip(nets.parameters(), self.states, strict=True):
                parameter.copy_(state)
        return nets
