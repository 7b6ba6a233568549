"""Probes: what a simple reader finds in a frozen representation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from goodviews.evaluation.fitting import seeded, train_epochs
from goodviews.evaluation.logistic import fit_logistic, standardisation
from goodviews.evaluation.task import ProbeResult, checked
from goodviews.interfaces import UserError
from goodviews.layers import mlp_head


def linear_probe(
    train_x: Tensor,
    train_y: Tensor,
    test_x: Tensor,
    test_y: Tensor,
    *,
    penalty: float | None = None,
    seed: int = 0,
) -> ProbeResult:
    """Multinomial logistic regression on frozen features of shape (n, D); labels -1 are ignored.

    Features are standardised on the training images; the L2 penalty is chosen on held-out
    training images unless given (see :mod:`goodviews.evaluation.logistic`; it equals
    scikit-learn's ``C = 1 / (n * penalty)``). More than 1,024 features of more than 1,024 images
    are first projected on their 1,024 leading principal axes.

    Raises:
        UserError: Features not finite, fewer than two classes, no test label, shapes that differ.

    Example:
        >>> x = torch.arange(40.0).reshape(-1, 1)
        >>> y = (x.squeeze() > 19).long()
        >>> linear_probe(x, y, x, y).accuracy
        1.0
    """
    task = checked(train_x, train_y, test_x, test_y)
    model = fit_logistic(task.train_x, task.train_y, len(task.classes), penalty=penalty, seed=seed)
    with torch.no_grad():
        log_p = model(task.test_x)
    return task.result(log_p.argmax(1), log_p, "linear", f"penalty {model.penalty:g}")


def knn_probe(
    train_x: Tensor,
    train_y: Tensor,
    test_x: Tensor,
    test_y: Tensor,
    *,
    k: int = 20,
    temperature: float = 0.07,
    distance: str = "cosine",
) -> ProbeResult:
    """Vote of the k nearest training images; features of shape (n, D), labels -1 are ignored.

    ``cosine``: each neighbour votes with weight ``exp(cos / temperature)`` (Wu et al. 2018,
    section 3.4). ``euclidean``: one neighbour, one vote, ties to the nearer neighbours; meant for
    raw pixels. k is reduced to the number of training images, with a note.

    Raises:
        UserError: As for :func:`linear_probe`; unknown distance; k below 1.

    Example:
        >>> x = torch.tensor([[1.0, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]])
        >>> y = torch.tensor([0, 0, 1, 1])
        >>> knn_probe(x, y, x, y, k=2).accuracy
        1.0
    """
    if distance not in ("cosine", "euclidean"):
        raise UserError(f"distance: {distance!r} is unknown. Use 'cosine' or 'euclidean'.")
    if k < 1:
        raise UserError(f"k: {k} neighbours. Use 1 or more, for example 20.")
    task = checked(train_x, train_y, test_x, test_y)
    n = len(task.train_y)
    notes = [] if k <= n else [f"k reduced from {k} to the {n} training images"]
    k = min(k, n)
    score = _cosines(task.train_x) if distance == "cosine" else _closeness(task.train_x)
    pieces = []
    for rows in task.test_x.split(1024):
        near = score(rows).topk(k, dim=1)
        if distance == "cosine":
            weight = ((near.values - 1) / temperature).exp()
        else:  # ties to the class whose neighbours rank nearer: less than one vote in all
            weight = 1 + torch.linspace(1e-3, 0, k, device=rows.device).expand(len(rows), k)
        votes = rows.new_zeros(len(rows), len(task.classes))
        pieces.append(votes.scatter_add_(1, task.train_y[near.indices], weight).argmax(1))
    return task.result(torch.cat(pieces), None, "knn", f"k {k}, {distance}", *notes)


def _cosines(bank: Tensor) -> Callable[[Tensor], Tensor]:
    unit = functional.normalize(bank, dim=1)
    return lambda rows: functional.normalize(rows, dim=1) @ unit.T


def _closeness(bank: Tensor) -> Callable[[Tensor], Tensor]:
    """Minus half the squared distance, up to a term that only depends on the query."""
    centre = bank.mean(0)
    moved = bank - centre
    half = moved.square().sum(1) / 2
    return lambda rows: (rows - centre) @ moved.T - half


def mlp_probe(
    train_x: Tensor,
    train_y: Tensor,
    test_x: Tensor,
    test_y: Tensor,
    *,
    epochs: int = 30,
    batch_size: int = 256,
    lr: float = 1e-3,
    hidden: int = 1024,
    seed: int = 0,
) -> ProbeResult:
    """AMDIM's nonlinear probe on standardised features of shape (n, D); labels -1 are ignored.

    Dropout 0.2, Linear(D, 1024, no bias), batch norm, ReLU, dropout 0.2, Linear(1024, c)
    (Bachman et al. 2019, code), trained with AdamW and a one-cycle rate for ``epochs`` epochs.

    Raises:
        UserError: As for :func:`linear_probe`.
    """
    task = checked(train_x, train_y, test_x, test_y)
    mean, scale = standardisation(task.train_x)
    x, y = (task.train_x - mean) / scale, task.train_y
    with seeded(seed, x.device):
        net = mlp_head(x.shape[1], len(task.classes), hidden).to(x.device)
        steps = train_epochs(
            net, lambda rows: (x[rows], y[rows]), len(x), epochs, batch_size, lr, 1e-2
        )
    with torch.no_grad():
        log_p = torch.log_softmax(net.eval()((task.test_x - mean) / scale), dim=1)
    return task.result(log_p.argmax(1), log_p, "mlp", f"{epochs} epochs, {steps} steps")
