"""What frozen node vectors say of the nodes' classes: a logistic probe, and clusters."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score, f1_score, normalized_mutual_info_score
from torch import Tensor
from torch.nn import functional

from goodviews.data.graphs.splits import NodeSplit
from goodviews.evaluation.logistic import standardisation
from goodviews.evaluation.task import ProbeResult, checked
from goodviews.interfaces import UserError, check_name

STRENGTHS = tuple(2.0**k for k in range(-10, 11, 2))
"""C tried, strong penalty to weak: ``|W|^2 / (2 C)`` beside the summed cross-entropy (GRACE)."""
SCALES = ("unit", "standard", "none")


@dataclass(frozen=True)
class NodeProbe:
    """What the probe read on the test nodes, and what chose it."""

    result: ProbeResult
    """Accuracy with its interval, cross-entropy, nats, node by node."""
    macro_f1: float
    """Mean over the classes of the test nodes of F1, in [0, 1]."""
    validation: float
    """Accuracy on the validation nodes that the chosen C had."""
    strength: float
    """The chosen C."""

    @property
    def accuracy(self) -> float:
        """Share of the test nodes that are right."""
        return self.result.accuracy


def node_probe(
    z: Tensor, y: Tensor, split: NodeSplit, *, scale: str = "unit", seed: int = 0
) -> NodeProbe:
    """L2 logistic regression on training nodes, its penalty chosen on validation nodes.

    Of the C in ``STRENGTHS`` the one with the most validation nodes right is taken (the smallest of
    those alike), then the one factor of the logits that gives validation nodes the least
    cross-entropy. The test nodes choose nothing; the validation nodes teach nothing.

    ``scale``: ``"unit"`` gives every node vector length 1 (GRACE's protocol), ``"standard"`` every
    feature mean 0 and deviation 1 over all nodes (no label is needed for that), ``"none"`` neither.
    With few training nodes ``"standard"`` lets directions of little variance drown the rest.

    Args:
        z: frozen node vectors (n, d).
        y: int64 labels (n,), -1 where there is none.
        split: which nodes teach, choose and test.
        scale: as above.
        seed: of the solver, where it draws.

    Raises:
        UserError: vectors not finite, fewer than two classes in training, a set without labels.

    Reference: Zhu et al. 2020 (GRACE), section 4.1; Velickovic et al. 2019 (DGI), section 4.2.

    Example:
        >>> from types import SimpleNamespace
        >>> z = torch.tensor([[1.0, 0], [0, 1], [1, 0.1], [0.1, 1], [1, 0.2], [0.2, 1]])
        >>> split = SimpleNamespace(train=torch.tensor([0, 1]), validation=torch.tensor([2, 3]),
        ...                         test=torch.tensor([4, 5]))
        >>> node_probe(z, torch.tensor([0, 1] * 3), split).accuracy
        1.0
    """
    check_name("scale", scale, SCALES)
    if y.shape != z.shape[:1]:
        raise UserError(f"labels: {tuple(y.shape)} for {len(z)} nodes. Give one a node.")
    z, y = _scaled(z.detach().cpu().float(), scale), y.cpu()
    task = checked(z[split.train], y[split.train], z[split.test], y[split.test])
    chooser = checked(z[split.train], y[split.train], z[split.validation], y[split.validation])
    best, fewest = None, math.inf
    for strength in STRENGTHS:
        model = _fitted(task.train_x.numpy(), task.train_y.numpy(), strength, seed)
        errors = int((chooser.test_y.numpy() != model.predict(chooser.test_x.numpy())).sum())
        if errors < fewest:
            best, fewest = model, errors
    assert best is not None  # at least one C was tried
    held = _logits(best, chooser.test_x)
    factor = _temperature(held[chooser.test_y >= 0], chooser.test_y[chooser.test_y >= 0])
    log_p = torch.log_softmax(factor * _logits(best, task.test_x), 1)
    result = task.result(log_p.argmax(1), log_p, "logistic", f"C {best.C:g}, scale {scale}")
    return NodeProbe(
        result=result,
        macro_f1=_macro_f1(result),
        validation=1 - fewest / len(chooser.test_y),
        strength=float(best.C),
    )


class Clusters(NamedTuple):
    """Agreement of clusters with classes: 1 the same, about 0 by chance (ARI may be negative)."""

    nmi: float
    ari: float


def cluster(z: Tensor, y: Tensor, seed: int = 0) -> Clusters:
    """k-means on all node vectors z (n, d), k the number of classes, against labels y (n,).

    ``NMI = 2 I(c; y) / (H(c) + H(y))`` and the adjusted Rand index, over labelled nodes (y >= 0);
    ten starts, the best by inertia.

    Raises:
        UserError: vectors not finite, shapes that differ, fewer than two classes.

    Example:
        >>> cluster(torch.tensor([[0.0], [0.1], [5.0], [5.1]]), torch.tensor([1, 1, 0, 0]))
        Clusters(nmi=1.0, ari=1.0)
    """
    task = checked(z.cpu(), y.cpu(), z.cpu(), y.cpu())
    model = KMeans(len(task.classes), n_init=10, random_state=seed)
    with warnings.catch_warnings():  # fewer distinct vectors than classes: a collapse, told by NMI
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = model.fit_predict(z.detach().cpu().float().numpy())
    found = found[(y >= 0).cpu().numpy()]
    truth = task.targets.numpy()
    return Clusters(
        float(normalized_mutual_info_score(truth, found)), float(adjusted_rand_score(truth, found))
    )


def _scaled(z: Tensor, scale: str) -> Tensor:
    if scale == "unit":
        return functional.normalize(z, dim=1)
    if scale == "standard":
        mean, deviation = standardisation(z)
        return (z - mean) / deviation
    return z


def _fitted(x: np.ndarray, y: np.ndarray, strength: float, seed: int) -> LogisticRegression:
    model = LogisticRegression(C=strength, max_iter=1000, random_state=seed)
    with warnings.catch_warnings():  # a weak penalty may be short of convergence
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(x, y)


def _logits(model: LogisticRegression, x: Tensor) -> Tensor:
    """Unnormalised log-probabilities (n, c); scikit-learn gives two classes one column."""
    logits = torch.from_numpy(np.asarray(model.decision_function(x.numpy()), dtype=np.float64))
    return logits if logits.dim() == 2 else torch.stack([torch.zeros_like(logits), logits], 1)


def _temperature(logits: Tensor, labels: Tensor) -> float:
    """The factor of the logits with the least cross-entropy on held-out nodes (Guo et al. 2017)."""
    if len(labels) == 0:
        return 1.0
    found = minimize_scalar(
        lambda power: float(functional.cross_entropy(math.exp(power) * logits, labels)),
        bounds=(math.log(1e-2), math.log(1e2)),
        method="bounded",
    )
    return math.exp(float(found.x))


def _macro_f1(result: ProbeResult) -> float:
    truth = result.targets.numpy()
    return float(
        f1_score(
            truth,
            result.predictions.numpy(),
            labels=np.unique(truth),
            average="macro",
            zero_division=0.0,
        )
    )
