"""An encoder for scikit-learn people: ``fit(X)``, ``transform(X)``, pipelines, ``clone``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from goodviews.data import Images, Loaded
from goodviews.data.arrays import to_pixels
from goodviews.data.streamed import FileReader, read
from goodviews.evaluation.features import extract
from goodviews.interfaces import Shape, UserError
from goodviews.studies.runs import train
from goodviews.training import resolve_accelerator


class ViewEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Trains an encoder on two views of each image, and embeds images with it; y is ignored.

    ``X`` is an array of images, shape (n, h, w), (n, h, w, c) or (n, c, h, w): uint8, or floats in
    [0, 1]; or a list of image files, brought to ``image_size`` (64 if None). Nothing is written to
    disk unless ``out`` names a folder.

    Args:
        views: recipe: a name of `goodviews list views`, a YAML file or a mapping.
        encoder: a name of `goodviews list encoders`, or timm/NAME.
        method: "simclr" or "infonce".
        epochs: passes over the data.
        steps: optimiser steps; takes the place of epochs.
        batch_size: images a step; with fewer images all of them.
        lr: peak learning rate.
        temperature: of the cosine scores.
        projection_dim: width of the projection, which is dropped after training.
        image_size: side in pixels of images read from files.
        seed: of weights, order and views.
        device: auto, cpu, cuda or mps.
        precision: auto, 32, bf16, 16.
        out: folder of the run; None writes nothing.
        verbose: print a line an epoch.

    Attributes:
        method_: the trained module: uint8 images (n, 3, h, w) -> float32 (n, D).
        history_: one dict an epoch.

    Example:
        >>> X = np.random.default_rng(0).integers(0, 256, (16, 8, 8), dtype=np.uint8)
        >>> encoder = ViewEncoder(views="none", encoder="mlp", steps=1, batch_size=8, device="cpu")
        >>> encoder.fit_transform(X).shape
        (16, 100)
    """

    def __init__(
        self,
        views: str | dict[str, Any] = "simclr",
        encoder: str = "convnet",
        *,
        method: str = "simclr",
        epochs: int = 10,
        steps: int | None = None,
        batch_size: int = 256,
        lr: float = 1e-3,
        temperature: float = 0.2,
        projection_dim: int = 128,
        image_size: int | None = None,
        seed: int = 0,
        device: str = "auto",
        precision: str = "auto",
        out: str | Path | None = None,
        verbose: bool = False,
    ) -> None:
        """Keep the parameters as they are: scikit-learn's rule."""
        self.views = views
        self.encoder = encoder
        self.method = method
        self.epochs = epochs
        self.steps = steps
        self.batch_size = batch_size
        self.lr = lr
        self.temperature = temperature
        self.projection_dim = projection_dim
        self.image_size = image_size
        self.seed = seed
        self.device = device
        self.precision = precision
        self.out = out
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> ViewEncoder:
        """Train on the images X; y is ignored.

        Raises:
            UserError: images of a wrong shape, type or range, NaN pixels (the row is named), fewer
                than two images.
        """
        images = self._images(X)
        if len(images) < 2:
            raise UserError(f"X: {len(images)} image. A contrastive step needs 2 or more.")
        run = train(
            self.method,
            Loaded(images, images, {"warnings": []}, images.name),
            views=self.views,
            encoder=self.encoder,
            epochs=self.epochs,
            steps=self.steps,
            batch_size=min(self.batch_size, len(images)),
            lr=self.lr,
            temperature=self.temperature,
            projection_dim=self.projection_dim,
            seed=self.seed,
            device=self.device,
            precision=self.precision,
            out=self.out,
            evaluate_every=0,
            probes=False,
            log=("csv",),
            echo=print if self.verbose else _silent,
        )
        self.method_, self.history_ = run.method, run.metrics
        self.image_shape_: Shape = images.shape
        self._n_features_out = extract(run.method, images.subset([0])).shape[1]
        return self

    def transform(self, X: Any) -> np.ndarray:
        """The embeddings of the images X: float32, shape (n, D).

        Raises:
            UserError: as for :meth:`fit`; images of another size than those of ``fit``.
        """
        check_is_fitted(self, "method_")
        images = self._images(X)
        if images.shape != self.image_shape_:
            raise UserError(
                f"X: images of {_size(images.shape)} pixels, the encoder was fitted on "
                f"{_size(self.image_shape_)}. Resize them first."
            )
        found: np.ndarray = extract(
            self.method_, images, device=resolve_accelerator(self.device)
        ).numpy()
        return found

    def _images(self, X: Any) -> Images:
        if isinstance(X, Images):
            return X
        if isinstance(X, torch.Tensor):
            return Images(to_pixels(X.cpu().numpy(), "X"), "X")
        if isinstance(X, list | tuple) and len(X) and isinstance(X[0], str | Path):
            return _read_files([Path(x) for x in X], self.image_size or 64)
        return Images(to_pixels(X, "X"), "X")


def _read_files(paths: list[Path], size: int) -> Images:
    """Image files as one array; the first that cannot be read raises UserError."""
    reader = FileReader(paths)
    found = [read(reader, i, size) for i in range(len(paths))]
    for row, image in enumerate(found):
        if isinstance(image, str):
            raise UserError(f"X: row {row}: {image}. Leave that file out.")
    return Images(torch.from_numpy(np.stack(found)), "X", paths=tuple(map(str, paths)))


def _size(shape: Shape) -> str:
    return f"{shape[2]}x{shape[1]}"


def _silent(line: str) -> None:
    """Print nothing."""
