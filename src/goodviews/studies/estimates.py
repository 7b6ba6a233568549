"""What views, representation and labels of a trained run share: ``goodviews estimate --run``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from goodviews.estimators.estimate import Ask, judged, measure, read_all
from goodviews.estimators.heldout import heldout_information
from goodviews.estimators.reading import Reading
from goodviews.evaluation.features import draw, extract, labels_of
from goodviews.evaluation.logistic import fit_logistic
from goodviews.evaluation.online import projections
from goodviews.evaluation.task import checked
from goodviews.information import label_entropy
from goodviews.interfaces import Estimate, ImageSource, UserError
from goodviews.studies.evaluate import open_data
from goodviews.studies.frozen import load, load_design
from goodviews.training import resolve_accelerator

WIDTH = 4
"""The most principal directions of a representation that are measured."""
ROWS_A_DIRECTION = 50
"""Fewer rows a direction than this, and fewer directions are measured."""
FITTED = 5000
"""The most training images that the principal directions are fitted on."""
SHUFFLES = 99
"""Shuffles of the labels under the probe."""
PAIRS = 5000
"""The most held-out images that are measured."""


def information_of_run(
    run: str | Path,
    ask: Ask | None = None,
    *,
    max_images: int | None = None,
    told: Callable[[str, Estimate | str], None] | None = None,
) -> dict[str, Estimate | str]:
    """What a trained run's views, projections and labels share, on held-out images, in nats.

    ``I(v1;v2)``: held-out I_NCE of the run's own critic, a lower bound. ``I(z1;z2)``: between the
    projections of two views of each image. ``I(z;y)``: between representation and labels. For these
    two, z is brought to its first principal directions (fitted on training images), which can only
    lose information; the warnings say how much of the variance is left. ``I(z;y) probe`` reads all
    of z: :func:`probe_bound`.

    Args:
        run: the folder that `goodviews train` wrote.
        ask: how to measure I(z1;z2) and I(z;y).
        max_images: at most so many training images, and a quarter as many held-out.
        told: called with each name and its estimate, or why there is none.

    Raises:
        UserError: no finished run there, data that are not there.
    """
    ask = ask or Ask()
    run = Path(run)
    design = load_design(run)
    method = load(run, resolve_accelerator(ask.device))
    loaded = open_data(run, None, design.image_shape[-1], max_images=max_images)
    train = draw(loaded.train, FITTED, ask.seed)
    test = draw(loaded.test, PAIRS, ask.seed)
    partners = design.recipe.partners
    parts: dict[str, Callable[[], Estimate]] = {
        "I(v1;v2)": lambda: heldout_information(
            method, test, candidates=min(256, len(test)), seed=ask.seed, partners=partners
        ),
        "I(z1;z2)": lambda: between_views(method, train, test, partners, ask),
        "I(z;y)": lambda: with_labels(method, train, test, ask),
        "I(z;y) probe": lambda: probe_bound(method, train, test, ask.seed),
    }
    rows: dict[str, Estimate | str] = {}
    for name, part in parts.items():
        try:
            rows[name] = part()
        except UserError as error:
            rows[name] = str(error)
        if told is not None:
            told(name, rows[name])
    return rows


def between_views(
    method: Any,
    train: ImageSource,
    test: ImageSource,
    partners: tuple[str, ...] | None,
    ask: Ask,
) -> Estimate:
    """I(z1;z2) of the projections of two views of each held-out image."""
    seen = projections(method, train, seed=ask.seed, partners=partners)
    held = projections(method, test, seed=ask.seed + 1, partners=partners)
    width = _width(len(test), 2)
    parts = [Directions.fit(z, width) for z in seen]
    columns = read_all([p.of(z) for p, z in zip(parts, held, strict=True)] + [None], [None] * 3)
    return _noted(measure(columns, ask), parts[0])


def with_labels(method: Any, train: ImageSource, test: ImageSource, ask: Ask) -> Estimate:
    """I(z;y) of the representation and the label of each labelled held-out image.

    Raises:
        UserError: no labels.
    """
    if test.labels is None or not bool((test.labels >= 0).any()):
        raise UserError("the held-out images have no labels")
    test = draw(test, len(test), ask.seed, labelled=True)
    assert test.labels is not None
    part = Directions.fit(extract(method, train), _width(len(test), 1))
    z = part.of(extract(method, test))
    columns = read_all((z, test.labels.numpy(), None), (False, True, None))
    return _noted(measure(columns, ask), part)


def probe_bound(method: Any, train: ImageSource, test: ImageSource, seed: int = 0) -> Estimate:
    """H(y) minus the held-out cross-entropy of a linear probe: a lower bound on I(z;y), in nats.

    ``mean_i log q(y_i|z_i) / p(y_i)`` with q fitted on training images (Barber and Agakov 2003).

    Raises:
        UserError: fewer than two classes, no labels.
    """
    sources = (train, test)
    z_train, z_test = (extract(method, source) for source in sources)
    y_train, y_test = (labels_of(source) for source in sources)
    task = checked(z_train, y_train, z_test, y_test)
    probe = fit_logistic(task.train_x, task.train_y, len(task.classes), seed=seed)
    known = task.test_y >= 0
    with torch.no_grad():
        log_q = probe(task.test_x[known]).double().cpu().numpy()
    y = task.test_y[known].cpu().numpy()
    ratios = log_q - np.log(np.bincount(y, minlength=log_q.shape[1]).clip(1) / len(y))
    rng, rows = np.random.default_rng(seed), np.arange(len(y))
    shuffled = [ratios[rows, rng.permutation(y)].mean() for _ in range(SHUFFLES)]
    reading = Reading(ratios[rows, y], np.array(shuffled), "lower", split="held-out")
    return judged(reading, "linear probe", {"entropy_y": label_entropy(y)})


class Directions(NamedTuple):
    """The first principal directions of a representation."""

    mean: Tensor
    """Shape (d,)."""
    axes: Tensor
    """Shape (d, w)."""
    kept: float
    """Share of the variance along them."""

    @classmethod
    def fit(cls, z: Tensor, width: int) -> Directions:
        """The ``width`` directions of most variance of z, shape (n, d).

        Example:
            >>> z = torch.tensor([[0.0, 3.0], [0.0, -3.0], [1.0, 0.0], [-1.0, 0.0]])
            >>> found = Directions.fit(z, 1)
            >>> round(found.kept, 3), np.abs(found.of(z)[:, 0]).tolist()
            (0.9, [3.0, 3.0, 0.0, 0.0])
        """
        mean = z.double().mean(0)
        _, s, v = torch.linalg.svd(z.double() - mean, full_matrices=False)
        share = float(s[:width].square().sum() / s.square().sum())
        return cls(mean, v[:width].T, share)

    def of(self, z: Tensor) -> np.ndarray:
        """The rows of z along the directions, float64, shape (n, w)."""
        return ((z.double() - self.mean) @ self.axes).numpy()


def _width(rows: int, variables: int) -> int:
    return max(1, min(WIDTH, rows // (ROWS_A_DIRECTION * variables)))


def _noted(found: Estimate, part: Directions) -> Estimate:
    d, width = part.axes.shape
    if width == d:
        return found
    note = (
        f"z is brought to {width} of {d} principal directions ({part.kept:.0%} of its variance): "
        "information in the others is not counted"
    )
    return replace(found, warnings=(note, *found.warnings))
