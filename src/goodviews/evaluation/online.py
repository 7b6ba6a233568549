"""Evaluators called while a method trains: ``evaluator(method, epoch) -> {name: number}``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from goodviews.data.images import partner_images
from goodviews.evaluation.features import device_of, draw, extract, labels_of
from goodviews.evaluation.geometry import alignment, embedding_std, rankme, uniformity
from goodviews.evaluation.probes import knn_probe, linear_probe
from goodviews.interfaces import ImageSource
from goodviews.layers import evaluating

PENALTY = 0.01
"""Of the linear probe, fixed: to choose one each epoch would take several times as long."""


class OnlineProbe:
    """Accuracy of a kNN and a linear probe on the frozen representation, at an epoch's end.

    The images are drawn once, by ``seed``, so that epochs can be compared. Few images keep it
    fast; the final table uses all of them. Returns fractions: ``{"knn": ..., "linear": ...}``.

    Raises:
        UserError: A source without labels.
    """

    def __init__(
        self,
        train: ImageSource,
        test: ImageSource,
        *,
        train_images: int = 2000,
        test_images: int = 1000,
        k: int = 20,
        seed: int = 0,
    ) -> None:
        """Draw at most so many labelled images of each source."""
        self.train = draw(train, train_images, seed, labelled=True)
        self.test = draw(test, test_images, seed, labelled=True)
        self.k = k

    def __call__(self, method: nn.Module, epoch: int) -> dict[str, float]:
        """Probe ``method`` as it stands; its mode, place and gradients are left alone."""
        train_x, test_x = extract(method, self.train), extract(method, self.test)
        train_y, test_y = labels_of(self.train), labels_of(self.test)
        near = knn_probe(train_x, train_y, test_x, test_y, k=self.k)
        linear = linear_probe(train_x, train_y, test_x, test_y, penalty=PENALTY)
        return {"knn": near.accuracy, "linear": linear.accuracy}


class OnlineAccuracy:
    """Held-out accuracy of the probes that a method trains beside its encoder.

    Returns fractions, ``{"online_linear": ..., "online_mlp": ...}``, for a method with
    ``classifiers`` (:class:`goodviews.methods.classifiers.OnlineClassifiers`), else nothing.
    """

    def __init__(self, test: ImageSource, *, images: int = 2000, seed: int = 0) -> None:
        """Draw at most so many labelled images."""
        self.test = draw(test, images, seed, labelled=True)

    def __call__(self, method: Any, epoch: int) -> dict[str, float]:
        """Read ``method`` as it stands; its mode and place are left alone."""
        classifiers = getattr(method, "classifiers", None)
        if classifiers is None:
            return {}
        z, y = extract(method, self.test), labels_of(self.test)
        with evaluating(classifiers), torch.inference_mode():
            found = classifiers.logits(z.to(device_of(classifiers)))
        return {
            f"online_{name}": float((logits.argmax(1).cpu() == y).double().mean())
            for name, logits in found.items()
        }


class RankMeEvaluator:
    """Label-free measures of a method at an epoch's end.

    ``rankme`` (effective rank) and ``std`` (1 isotropic, 0 collapsed) are those of the frozen
    representation; ``alignment`` and ``uniformity`` those of the projections of two views of each
    image, which is the space that contrastive methods align and spread.
    """

    def __init__(
        self,
        source: ImageSource,
        *,
        images: int = 1000,
        seed: int = 0,
        partners: Sequence[str] | None = None,
    ) -> None:
        """Draw at most ``images`` of ``source``; ``partners`` as the recipe has them."""
        self.source = draw(source, images, seed)
        self.seed = seed
        self.partners = partners

    def __call__(self, method: Any, epoch: int) -> dict[str, float]:
        """Measure ``method`` as it stands; its mode, place and gradients are left alone."""
        z = extract(method, self.source)
        measures = {"rankme": rankme(z), "std": embedding_std(z)}
        if len(z) > 1:
            z1, z2 = projections(method, self.source, seed=self.seed, partners=self.partners)
            measures |= {"alignment": alignment(z1, z2), "uniformity": uniformity(z1)}
        return measures


def projections(
    method: Any,
    source: ImageSource,
    *,
    seed: int = 0,
    batch_size: int = 512,
    partners: Sequence[str] | None = None,
) -> tuple[Tensor, Tensor]:
    """Projections z1, z2 of a view pair of each image, float32 on the CPU, shape (N, d) each.

    ``method`` has ``views`` and ``project(v1, v2)``; the same seed draws the same views.
    ``partners`` names the factors an image and its partner share, where v2 is made of partners.
    """
    device = device_of(method)
    generator = torch.Generator(device=device).manual_seed(seed)
    order = torch.Generator().manual_seed(seed)
    pieces = []
    with evaluating(method), torch.inference_mode():
        for index in torch.arange(len(source)).split(batch_size):
            images = source.images(index).to(device)
            others = partner_images(source, index, partners, order)
            others = None if others is None else others.to(device)
            z1, z2 = method.project(*method.views(images, generator, others))
            pieces.append((z1.float().cpu(), z2.float().cpu()))
    first, second = zip(*pieces, strict=True)
    return torch.cat(first), torch.cat(second)
