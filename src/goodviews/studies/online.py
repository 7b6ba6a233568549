"""What is measured at the end of each epoch, on images the training never sees."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lightning import LightningModule

from goodviews.estimators.heldout import heldout_information
from goodviews.evaluation.features import draw
from goodviews.evaluation.online import OnlineAccuracy, OnlineProbe, RankMeEvaluator
from goodviews.interfaces import ImageSource
from goodviews.methods import ViewMethod

CANDIDATES = 256
"""K of held-out I_NCE, where there are as many held-out images."""

Measured = Mapping[str, float]
Evaluator = Callable[[LightningModule, int], Measured]


def candidates_for(images: int) -> int:
    """K: 256, or for fewer held-out images the greatest power of two they fill.

    Example:
        >>> candidates_for(10_000), candidates_for(100)
        (256, 64)
    """
    return min(CANDIDATES, 2 ** int(math.log2(max(2, images))))


@dataclass
class Information:
    """I_NCE(v1;v2) of held-out and of training pairs at the same K, its null and log K, in nats."""

    train: ImageSource
    test: ImageSource
    partners: tuple[str, ...] | None = None
    pairs: int = 1024
    seed: int = 0

    def __call__(self, method: LightningModule, epoch: int) -> Measured:
        """The same pairs every epoch."""
        assert isinstance(method, ViewMethod)
        k = candidates_for(min(len(self.train), len(self.test)))
        held_out, seen = (
            heldout_information(
                method,
                draw(source, max(k, self.pairs), self.seed) if self.partners is None else source,
                candidates=k,
                pairs=self.pairs,
                seed=self.seed,
                partners=self.partners,
                split=split,
            )
            for source, split in ((self.test, "held-out"), (self.train, "train"))
        )
        return {
            "nats": held_out.nats,
            "nats_stderr": held_out.stderr,
            "null": held_out.null or 0.0,
            "ceiling": held_out.ceiling,
            "nats_train": seen.nats,
        }


def labelled(*sources: ImageSource) -> bool:
    """Whether every source shows two labelled classes or more: what a probe needs.

    Example:
        >>> import torch
        >>> from goodviews.data.images import Images
        >>> labelled(Images(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), "bare"))
        False
    """
    return all(s.labels is not None and len(s.labels[s.labels >= 0].unique()) > 1 for s in sources)


def evaluators(
    train: ImageSource, test: ImageSource, partners: tuple[str, ...] | None, seed: int = 0
) -> list[Evaluator]:
    """What a run measures each epoch: information, geometry, and probes where there are labels."""
    found: list[Evaluator] = []
    if len(test) >= 2:
        shape = RankMeEvaluator(test, images=512, seed=seed, partners=partners)
        found += [Information(train, test, partners, seed=seed), shape]
    if labelled(train, test):
        found += [OnlineProbe(train, test, seed=seed), OnlineAccuracy(test, seed=seed)]
    return found
