"""A probe's task (checked features and labels) and its result."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from goodviews import information
from goodviews.evaluation.intervals import wilson
from goodviews.interfaces import UserError


@dataclass(frozen=True)
class ProbeResult:
    """What a probe read on the labelled test images. Accuracies are fractions in [0, 1]."""

    accuracy: float
    interval: tuple[float, float]
    """95 % Wilson interval of the accuracy."""
    cross_entropy: float | None
    """Mean held-out ``-log q(y|z)`` in nats; None where the probe gives no probabilities."""
    label_nats: float | None
    """``H(y) - cross_entropy``: a lower bound on I(z;y) (Barber & Agakov 2003), in nats."""
    n_train: int
    n_test: int
    correct: Tensor
    """bool, shape (n_test,): image by image, in the order of the labelled test images."""
    predictions: Tensor
    """int64, shape (n_test,): labels as they were given."""
    targets: Tensor
    """int64, shape (n_test,)."""
    probe: str = "linear"
    settings: str = ""
    """What was chosen, for example ``penalty 0.01``."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """Checked probe data: labelled rows only, labels renumbered 0 .. c - 1."""

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    """-1 for classes that training never showed."""
    classes: Tensor
    targets: Tensor
    notes: tuple[str, ...]

    def result(
        self, predicted: Tensor, log_p: Tensor | None, probe: str, settings: str, *notes: str
    ) -> ProbeResult:
        """The result of predicted class places (n_test,) and log-probabilities (n_test, c)."""
        predictions = self.classes[predicted.cpu()]
        correct = predictions == self.targets
        n = len(correct)
        cross = None if log_p is None else self._cross_entropy(log_p)
        return ProbeResult(
            accuracy=float(correct.double().mean()),
            interval=wilson(int(correct.sum()), n),
            cross_entropy=cross,
            label_nats=None if cross is None else label_entropy(self.targets) - cross,
            n_train=len(self.train_y),
            n_test=n,
            correct=correct,
            predictions=predictions,
            targets=self.targets,
            probe=probe,
            settings=settings,
            notes=(*self.notes, *notes),
        )

    def _cross_entropy(self, log_p: Tensor) -> float:
        """Mean -log q, q mixed with 1 / (n_train + 1) of the uniform so that it never is zero."""
        share = 1 / (len(self.train_y) + 1)
        seen = self.test_y.clamp_min(0).unsqueeze(1)
        p = log_p.double().exp().gather(1, seen).squeeze(1) * (self.test_y >= 0)
        return float(-((1 - share) * p + share / (log_p.shape[1] + 1)).log().mean())


def label_entropy(labels: Tensor) -> float:
    """Entropy of the empirical distribution of labels (n,), in nats; -1 is left out.

    Example:
        >>> round(label_entropy(torch.tensor([0, 0, 1, 1, -1])), 4)
        0.6931
    """
    return information.label_entropy(labels[labels >= 0].cpu().numpy())


def checked(train_x: Tensor, train_y: Tensor, test_x: Tensor, test_y: Tensor) -> Task:
    """The labelled rows of features (n, D) and labels (n,), ready for a probe.

    Raises:
        UserError: Shapes that differ, features not finite, fewer than two classes in training,
            no labelled test image.
    """
    train_x, train_y = _labelled("training", train_x, train_y)
    test_x, targets = _labelled("test", test_x, test_y)
    if train_x.shape[1] != test_x.shape[1]:
        raise UserError(
            f"features: {train_x.shape[1]} wide in training, {test_x.shape[1]} in test. "
            "Take both from the same network."
        )
    classes, numbered = train_y.cpu().unique(return_inverse=True)
    if len(classes) < 2:
        raise UserError(
            f"labels: {len(classes)} class among {len(train_y)} labelled training images. "
            "A probe needs two classes or more."
        )
    if len(targets) == 0:
        raise UserError("labels: no labelled test image. Label some, or lower the test share.")
    targets = targets.cpu()
    places = torch.searchsorted(classes, targets).clamp_max(len(classes) - 1)
    unseen = classes[places] != targets
    notes: tuple[str, ...] = ()
    if unseen.any():
        notes = (f"{int(unseen.sum())} test images are of classes that training never showed",)
    device = train_x.device
    test_y = torch.where(unseen, -1, places).to(device)
    return Task(train_x, numbered.to(device), test_x.to(device), test_y, classes, targets, notes)


def _labelled(split: str, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    if x.dim() != 2 or len(x) != len(y):
        raise UserError(
            f"features: {split} features {tuple(x.shape)} do not go with {len(y)} labels. "
            "Give one row of features an image."
        )
    x, y = x.detach().float(), y.to(x.device)
    finite = torch.isfinite(x).all(1)
    if not bool(finite.all()):
        row = int((~finite).nonzero()[0])
        raise UserError(
            f"features: {int((~finite).sum())} of {len(x)} {split} rows are not finite "
            f"(first: row {row}). The network diverged: lower --lr, or check its weights."
        )
    keep = y >= 0
    return (x, y) if bool(keep.all()) else (x[keep], y[keep])


def subset(
    labels: Tensor, *, per_class: int | None = None, fraction: float | None = None, seed: int = 0
) -> Tensor:
    """Places of a few labelled images, sorted int64: so many a class, or a share of each class.

    Every class keeps at least one image; a class with fewer than ``per_class`` keeps all.
    Unlabelled images (-1) are never chosen.

    Raises:
        UserError: Not exactly one of ``per_class`` (>= 1) and ``fraction`` (in (0, 1]) is given.

    Example:
        >>> subset(torch.tensor([0, 1, 0, 1, -1]), per_class=1).shape
        torch.Size([2])
    """
    if (per_class is None) == (fraction is None):
        raise UserError("labels: give either per_class or fraction, not both and not neither.")
    if per_class is not None and per_class < 1:
        raise UserError(f"per_class: {per_class}. Use 1 or more, for example 10.")
    if fraction is not None and not 0 < fraction <= 1:
        raise UserError(f"--labels-fraction: {fraction}. Use a number above 0 and up to 1.")
    generator = torch.Generator().manual_seed(seed)
    chosen = []
    for label in labels[labels >= 0].unique():
        places = torch.nonzero(labels == label).flatten().cpu()
        count = per_class if fraction is None else max(1, round(fraction * len(places)))
        chosen.append(places[torch.randperm(len(places), generator=generator)[:count]])
    return torch.cat(chosen).sort().values if chosen else torch.empty(0, dtype=torch.int64)
