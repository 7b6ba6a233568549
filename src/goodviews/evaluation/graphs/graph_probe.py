"""What frozen vectors of whole graphs say of their classes: cross-validated SVM or logistic."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC, LinearSVC
from torch import Tensor

from goodviews.interfaces import UserError, check_name

STRENGTHS = (1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0, 1000.0)
"""C tried (Sun et al. 2020, section 4.1)."""
KINDS = ("svm", "linear-svm", "logistic")
PROTOCOLS = ("nested", "published")


@dataclass(frozen=True)
class GraphProbe:
    """Accuracies of a cross-validation, fractions in [0, 1]."""

    mean: float
    std: float
    """Over the folds (dividing by their number, as papers do); they share training graphs, so it is
    no standard error of the mean."""
    folds: tuple[float, ...]
    strengths: tuple[float, ...]
    """The C of each fold."""
    kind: str
    protocol: str


def graph_probe(
    z: Tensor,
    y: Tensor,
    folds: int = 10,
    seed: int = 0,
    kind: str = "svm",
    *,
    protocol: str = "nested",
    standardise: bool = True,
) -> GraphProbe:
    """Stratified k-fold cross-validation of a classifier on frozen graph vectors.

    ``protocol="nested"``: in every fold C is chosen by a further 5-fold cross-validation within the
    training graphs; the fold's own graphs choose nothing. ``protocol="published"``: the one C with
    the best mean over the *test* folds, "the best mean accuracy is reported" (Sun et al. 2020,
    section 4.1): the maximum of several noisy means, so optimistic, and only there to be set beside
    published numbers. (InfoGraph's code chooses C inside the training graphs, as ``nested`` does,
    but reports the best of many epochs; that choice is not made here.)

    ``kind``: ``"svm"`` has the radial kernel with ``gamma = 1 / (d var z)`` (InfoGraph's code),
    ``"linear-svm"`` none and squared hinges (its paper), ``"logistic"`` is L2 logistic regression.
    ``standardise``: features get mean 0 and deviation 1 on the training graphs; published code
    gives them raw.

    Args:
        z: frozen graph vectors (g, d).
        y: int64 labels (g,).
        folds: number of folds.
        seed: of the folds.
        kind: the classifier.
        protocol: how C is chosen.
        standardise: whether features are standardised.

    Raises:
        UserError: vectors not finite, shapes that differ, fewer than two folds or classes, a class
            with fewer graphs than folds, an unlabelled graph, an unknown name.

    Reference: Sun et al. 2020 (InfoGraph), section 4.1.

    Example:
        >>> y = torch.arange(12) % 2
        >>> graph_probe(y.float().unsqueeze(1), y, folds=2, kind="logistic").mean
        1.0
    """
    check_name("kind", kind, KINDS)
    check_name("protocol", protocol, PROTOCOLS)
    x, labels = _checked(z, y, folds)
    outer = StratifiedKFold(folds, shuffle=True, random_state=seed)
    parts = list(outer.split(x, labels))
    model = _pipeline(kind, standardise, seed)
    with warnings.catch_warnings():  # a weak penalty may be short of convergence
        warnings.simplefilter("ignore", ConvergenceWarning)
        find = _nested if protocol == "nested" else _published
        found = list(find(model, x, labels, parts, seed))
    accuracies = tuple(accuracy for accuracy, _ in found)
    return GraphProbe(
        mean=float(np.mean(accuracies)),
        std=float(np.std(accuracies)),
        folds=accuracies,
        strengths=tuple(strength for _, strength in found),
        kind=kind,
        protocol=protocol,
    )


Parts = list[tuple[np.ndarray, np.ndarray]]
"""Places of the training and of the test graphs, fold by fold."""


def _nested(
    model: Pipeline, x: np.ndarray, y: np.ndarray, parts: Parts, seed: int
) -> Iterator[tuple[float, float]]:
    for train, test in parts:
        inner_folds = min(5, int(np.unique(y[train], return_counts=True)[1].min()))
        inner = StratifiedKFold(inner_folds, shuffle=True, random_state=seed)
        search = GridSearchCV(model, {"classifier__C": STRENGTHS}, cv=inner, scoring="accuracy")
        search.fit(x[train], y[train])
        yield float(search.score(x[test], y[test])), float(search.best_params_["classifier__C"])


def _published(
    model: Pipeline, x: np.ndarray, y: np.ndarray, parts: Parts, seed: int
) -> Iterator[tuple[float, float]]:
    table = np.empty((len(STRENGTHS), len(parts)))
    for row, strength in enumerate(STRENGTHS):
        model.set_params(classifier__C=strength)
        for column, (train, test) in enumerate(parts):
            table[row, column] = model.fit(x[train], y[train]).score(x[test], y[test])
    best = int(table.mean(1).argmax())
    yield from ((float(accuracy), STRENGTHS[best]) for accuracy in table[best])


def _pipeline(kind: str, standardise: bool, seed: int) -> Pipeline:
    scaler = StandardScaler() if standardise else FunctionTransformer()
    classifier = {
        "svm": SVC(gamma="scale"),
        "linear-svm": LinearSVC(dual=False),
        "logistic": LogisticRegression(max_iter=1000, random_state=seed),
    }[kind]
    return Pipeline([("scaler", scaler), ("classifier", classifier)])


def _checked(z: Tensor, y: Tensor, folds: int) -> tuple[np.ndarray, np.ndarray]:
    if z.dim() != 2 or y.shape != z.shape[:1]:
        raise UserError(
            f"graph vectors: {tuple(z.shape)} for labels {tuple(y.shape)}. Give one row a graph."
        )
    if not bool(torch.isfinite(z).all()):
        row = int((~torch.isfinite(z).all(1)).nonzero()[0])
        raise UserError(
            f"graph vectors: row {row} is not finite. The network diverged: lower its rate."
        )
    if folds < 2:
        raise UserError(f"folds: {folds}. Use 2 or more, for example 10.")
    classes, counts = y.cpu().unique(return_counts=True)
    if len(classes) < 2:
        raise UserError(f"labels: {len(classes)} class among {len(y)} graphs. Two are needed.")
    if int(classes[0]) < 0:
        raise UserError(f"labels: {int(counts[0])} graphs have none. Leave them out.")
    least = int(counts.argmin())
    held = -(-int(counts[least]) // folds)
    if int(counts[least]) < max(folds, held + 2):  # two must stay to choose C with
        raise UserError(
            f"labels: class {int(classes[least])} has {int(counts[least])} graphs, too few for "
            f"{folds} folds. Leave it out, or use fewer folds."
        )
    return z.detach().cpu().double().numpy(), y.cpu().numpy()
