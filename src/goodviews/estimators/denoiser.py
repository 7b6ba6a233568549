r"""Denoiser gap: information is how much better noise is removed from x by one who knows y.

``z = a x + s e`` with ``a^2 = sigmoid(lambda)``, ``s^2 = sigmoid(-lambda)`` and Gaussian noise e.
With the best guesses of e without y and with y, ``e_u = E[e|z]`` and ``e_c = E[e|z,y]``,

    I(x;y) = 1/2 int E |e_c - e_u|^2 d lambda                       (orthogonal form)
           = 1/2 int E [|e - e_u|^2 - |e - e_c|^2] d lambda         (direct form)

by I-MMSE (Guo, Shamai and Verdu 2005; Franzese, Bounoua and Michiardi 2024). One small network is
both guesses: it sees y in half of the rows. The mean of the two forms, ``1/2 int E (e - e_u) .
(e_c - e_u) d lambda``, is 0 on average where y is shuffled, whatever e_c is, as long as e_u is
right. An over-fitted network drives the forms apart.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from goodviews.estimators.denoising import (
    HIGH,
    LOW,
    Denoisers,
    Task,
    Training,
    add_noise,
    make_task,
    train,
)
from goodviews.estimators.reading import Reading, folds
from goodviews.estimators.variables import Variable
from goodviews.interfaces import UserError

_GRID = 32
"""Values of lambda at which an unseen row is read."""
_ROWS_AT_ONCE = 32_768


def denoiser(
    x: Variable,
    y: Variable,
    *,
    seed: int,
    shuffles: int,
    device: str = "cpu",
    steps: int = 16_000,
    hidden: int = 128,
    depth: int = 3,
    batch: int = 256,
    rate: float = 2e-3,
    decay: float = 1e-2,
    parts: int = 5,
    read: int = 1,
    scores: bool = True,
) -> Reading:
    """I(x;y) by the denoiser gap on rows that the networks did not see, in nats.

    The mean of four numbers: the direct and the orthogonal form, noising x and noising y (noising
    only the numbers where the other side is labels). Neither a lower nor an upper bound; mostly low
    where rows are few. No log n ceiling. Shuffles permute y in the unseen rows, with the networks
    as they are: an exact test.

    Args:
        x: numbers or labels, n rows.
        y: numbers or labels; not both labels.
        seed: of folds, weights, batches, noise and shuffles.
        shuffles: how many shuffles to read.
        device: where the networks train.
        steps: of AdamW, with cosine decay; the weights are a moving average, and each network is
            kept as it was when it did best on a tenth of its rows that was set aside.
        hidden: width of the layers.
        depth: number of hidden layers.
        batch: rows a step and network.
        rate: the largest learning rate.
        decay: weight decay.
        parts: the rows are cut in so many parts.
        read: how many of the parts are read, each by networks trained on the other parts; 1 is one
            split in 80 % and 20 %, ``parts`` reads every row at so many times the work.
        scores: read rank-Gaussianised columns; else columns are scaled to variance 1.

    Returns:
        A Reading of the unseen rows, its details the four numbers.

    Raises:
        UserError: two label variables, fewer than 50 rows, ``read`` not in 1..parts.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(500, 1))
        >>> y = x + 0.5 * rng.normal(size=(500, 1))
        >>> reading = denoiser(Variable(x), Variable(y), seed=0, shuffles=0, steps=20, hidden=8)
        >>> list(reading.details["forms"])
        ['direct, x noised', 'direct, y noised', 'orthogonal, x noised', 'orthogonal, y noised']
    """
    _check(x, y, parts, read)
    task = make_task(x, y, folds(len(x), parts, seed), read, scores, torch.device(device))
    generator = torch.Generator(device).manual_seed(seed)
    (_, _, width), (_, _, given) = task.targets.shape, task.given.shape
    nets = Denoisers(len(task.direction), width, given, hidden, depth, generator)
    nets = train(nets, task, Training(steps, batch, rate, decay), generator)
    return _reading(_read(nets, task, shuffles, generator), task, len(x))


# --- reading --------------------------------------------------------------------------------------


class _Forms(NamedTuple):
    """The two forms row by row, shape (k, rows); their mean where y is shuffled, shape (b,)."""

    direct: Tensor
    orthogonal: Tensor
    shuffled: Tensor


@torch.no_grad()
def _read(nets: Denoisers, task: Task, shuffles: int, generator: Generator) -> _Forms:
    """The forms on every unseen row, and their mean with y shuffled within its part."""
    k = len(task.names)
    read, sums = [], torch.zeros(shuffles, dtype=torch.float64, device=task.used.device)
    for part, rows in enumerate(task.unseen):
        orders = [
            torch.randperm(len(rows), generator=generator, device=rows.device)
            for _ in range(shuffles)
        ]
        own = nets.part(slice(part * k, (part + 1) * k))
        for chunk in torch.arange(len(rows), device=rows.device).split(_ROWS_AT_ONCE // _GRID):
            forms = _read_chunk(own, task, rows, chunk, orders, generator)
            read.append(forms[:2])
            sums += forms.shuffled
    order = torch.cat(task.unseen).argsort()
    direct, orthogonal = (torch.cat(parts, 1)[:, order] for parts in zip(*read, strict=True))
    return _Forms(direct, orthogonal, sums / direct.numel())


def _read_chunk(
    nets: Denoisers,
    task: Task,
    rows: Tensor,
    chunk: Tensor,
    orders: list[Tensor],
    generator: Generator,
) -> _Forms:
    """The forms on some of a part's rows; here ``shuffled`` are sums, not means."""
    k, n, device = len(task.names), len(chunk), rows.device
    offset = torch.rand((k, n, 1), generator=generator, device=device)
    grid = (torch.arange(_GRID, device=device) + offset) / _GRID
    snr = (LOW + (HIGH - LOW) * grid).flatten(1)
    targets = task.targets[:, rows[chunk]].repeat_interleave(_GRID, 1)
    noise = torch.randn(targets.shape, generator=generator, device=device) * task.used
    z = add_noise(targets, snr, noise)
    blank = torch.zeros_like(snr)

    def guess(given: Tensor, shown: Tensor) -> Tensor:
        return nets(z, snr, given.repeat_interleave(_GRID, 1), shown) * task.used

    without = guess(task.given[:, rows[chunk]], blank)

    def integral(values: Tensor) -> Tensor:
        """0.5 int . d lambda, shape (k, n)."""
        mean = values.sum(2).double().unflatten(1, (n, _GRID)).mean(2)
        return 0.5 * (HIGH - LOW) * mean

    def forms(given: Tensor) -> tuple[Tensor, Tensor]:
        gain = guess(given, blank + 1) - without
        orthogonal = integral(gain.square())
        return 2 * integral((noise - without) * gain) - orthogonal, orthogonal

    direct, orthogonal = forms(task.given[:, rows[chunk]])
    shuffled = [
        torch.stack(forms(_reordered(task, rows, chunk, order))).sum() / 2 for order in orders
    ]
    return _Forms(direct, orthogonal, torch.stack(shuffled) if orders else snr.new_zeros(0))


def _reordered(task: Task, rows: Tensor, chunk: Tensor, order: Tensor) -> Tensor:
    """What is given where x_i goes with y_order(i), so y_j with x_i for j = order(i)."""
    back = order.argsort()
    return torch.stack(
        [
            task.given[i, rows[(order if name == "x" else back)[chunk]]]
            for i, name in enumerate(task.names)
        ]
    )


def _reading(forms: _Forms, task: Task, rows: int) -> Reading:
    direct, orthogonal = (f.cpu().numpy() for f in forms[:2])
    values = 0.5 * (direct + orthogonal).mean(0)
    low, high = float(direct.mean()), float(orthogonal.mean())
    warnings: tuple[str, ...] = ()
    if abs(high - low) > max(0.1, 0.3 * abs(values.mean())):
        warnings = (
            f"the direct form reads {low:.3f}, the orthogonal {high:.3f} nats: the networks have "
            "not learned the noise. More rows or more steps",
        )
    details = {
        f"{form}, {name} noised": float(numbers[i].mean())
        for form, numbers in (("direct", direct), ("orthogonal", orthogonal))
        for i, name in enumerate(task.names)
    }
    width = float(task.used.sum()) / len(task.names)
    return Reading(
        values,
        forms.shuffled.cpu().numpy(),
        ceiling=0.5 * width * math.log1p(math.exp(HIGH)),
        split="cross-fitted" if len(values) == rows else "held-out",
        details={"forms": details},
        warnings=warnings,
    )


def _check(x: Variable, y: Variable, parts: int, read: int) -> None:
    if x.discrete and y.discrete:
        raise UserError("denoiser: x and y are both labels. Use --method discrete.")
    if len(x) < 50:
        raise UserError(f"denoiser: {len(x)} rows are too few to train on. Give 50 or more.")
    if parts < 2 or not 1 <= read <= parts:
        raise UserError(
            f"read: {read} of {parts} parts. Use 2 or more parts, and 1 to all of them."
        )
