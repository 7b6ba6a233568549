"""The linear probe as much of the field runs it: SGD with momentum over a few learning rates."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from goodviews.evaluation.logistic import standardisation
from goodviews.evaluation.task import ProbeResult, checked
from goodviews.interfaces import UserError

RATES = (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3)
"""Learning rates tried."""
MOMENTUM = 0.9


def sgd_probe(
    train_x: Tensor,
    train_y: Tensor,
    test_x: Tensor,
    test_y: Tensor,
    *,
    rates: tuple[float, ...] = RATES,
    epochs: int = 30,
    batch_size: int = 256,
    seed: int = 0,
) -> ProbeResult:
    """Linear(D, c) on frozen features of shape (n, D) by SGD; labels -1 are ignored.

    Momentum 0.9, a cosine rate to 0, no weight decay, features standardised on the training
    images. All rates are trained at once on nine tenths of the training images; the one with the
    fewest errors on the last tenth (the lower of two alike) is trained again on all of them.

    Raises:
        UserError: As for :func:`goodviews.evaluation.probes.linear_probe`; no rate; no epoch.

    Example:
        >>> x = torch.arange(40.0).reshape(-1, 1)
        >>> y = (x.squeeze() > 19).long()
        >>> sgd_probe(x, y, x, y, batch_size=8).accuracy > 0.9
        True
    """
    if not rates or epochs < 1 or batch_size < 1:
        raise UserError("sgd: needs a learning rate, an epoch and an image a batch or more.")
    task = checked(train_x, train_y, test_x, test_y)
    mean, scale = standardisation(task.train_x)
    x, y, classes = (task.train_x - mean) / scale, task.train_y, len(task.classes)
    rate = rates[0]
    if len(rates) > 1:
        rate = _best_rate(x, y, classes, sorted(rates), epochs, batch_size, seed)
    weight, bias = _descend(x, y, classes, [rate], epochs, batch_size, seed)
    logits = (task.test_x - mean) / scale @ weight + bias
    log_p = torch.log_softmax(logits, dim=1)
    words = f"SGD, rate {rate:g} of {len(rates)}, {epochs} epochs, batch {batch_size}"
    return task.result(log_p.argmax(1), log_p, "linear", words)


def _best_rate(
    x: Tensor,
    y: Tensor,
    classes: int,
    rates: list[float],
    epochs: int,
    batch_size: int,
    seed: int,
) -> float:
    """The rate with the fewest errors on a held-out tenth of the training images."""
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed)).to(x.device)
    held, kept = order[: max(1, len(x) // 10)], order[max(1, len(x) // 10) :]
    weight, bias = _descend(x[kept], y[kept], classes, rates, epochs, batch_size, seed)
    logits = (x[held] @ weight + bias).unflatten(1, (len(rates), classes))
    errors = (logits.argmax(2) != y[held].unsqueeze(1)).sum(0).tolist()
    return rates[errors.index(min(errors))]


def _descend(
    x: Tensor,
    y: Tensor,
    classes: int,
    rates: list[float],
    epochs: int,
    batch_size: int,
    seed: int,
) -> tuple[Tensor, Tensor]:
    """Weights (D, r c) and biases (r c,) after SGD from zero, one block of c a rate.

    The gradient of cross-entropy is written out: x' (softmax - one-hot) / n. Blocks share the
    batches and nothing else.
    """
    wide = x.new_zeros(x.shape[1] + 1, len(rates) * classes)  # the last row is the bias
    speed = torch.zeros_like(wide)
    steps = epochs * math.ceil(len(x) / batch_size)
    each = x.new_tensor(rates).repeat_interleave(classes)
    generator, step = torch.Generator().manual_seed(seed), 0
    for _ in range(epochs):
        for batch in torch.randperm(len(x), generator=generator).to(x.device).split(batch_size):
            inputs = x[batch]
            logits = (inputs @ wide[:-1] + wide[-1]).unflatten(1, (len(rates), classes))
            hot = functional.one_hot(y[batch], classes).unsqueeze(1)
            slope = ((logits.softmax(2) - hot) / len(batch)).flatten(1)
            gradient = torch.cat([inputs.T @ slope, slope.sum(0, keepdim=True)])
            speed.mul_(MOMENTUM).add_(gradient)
            wide -= each * (0.5 + 0.5 * math.cos(math.pi * step / steps)) * speed
            step += 1
    return wide[:-1], wide[-1]
