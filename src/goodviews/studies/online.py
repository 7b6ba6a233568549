"""What is measured at the end of each epoch, on images the training never sees."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from lightning import LightningModule
from torch import Generator, Tensor

from goodviews.estimators.neural import heldout_information
from goodviews.evaluation.features import device_of, draw, extract
from goodviews.evaluation.geometry import alignment, uniformity
from goodviews.evaluation.probes import knn_probe, linear_probe
from goodviews.interfaces import ImageSource
from goodviews.methods import Contrastive

CANDIDATES = 256
"""K of held-out I_NCE, where there are as many held-out images."""
PROBE_TRAIN, PROBE_TEST = 2000, 1000
"""The most images an online probe is fitted on, and is read on."""

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
        assert isinstance(method, Contrastive)
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
            "null": held_out.null,
            "ceiling": held_out.ceiling,
            "nats_train": seen.nats,
        }


class Probes:
    """kNN and linear probe on a fixed draw of at most 2,000 and 1,000 labelled images."""

    def __init__(self, train: ImageSource, test: ImageSource, seed: int = 0) -> None:
        """Draw the images once."""
        self.train = draw(train, PROBE_TRAIN, seed, labelled=True)
        self.test = draw(test, PROBE_TEST, seed, labelled=True)

    def __call__(self, method: LightningModule, epoch: int) -> Measured:
        """Accuracies, fractions in [0, 1]."""
        assert self.train.labels is not None and self.test.labels is not None
        known, asked = extract(method, self.train), extract(method, self.test)
        data = (known, self.train.labels, asked, self.test.labels)
        return {
            "knn": knn_probe(*data).accuracy,
            "linear": linear_probe(*data, penalty=0.01).accuracy,
        }


class Geometry:
    """Alignment of positive pairs and uniformity, of projections of held-out images (no unit)."""

    def __init__(
        self, source: ImageSource, partners: tuple[str, ...] | None = None, seed: int = 0
    ) -> None:
        """Draw the images once."""
        self.source, self.partners, self.seed = draw(source, 512, seed), partners, seed

    def __call__(self, method: LightningModule, epoch: int) -> Measured:
        """The same pairs every epoch."""
        assert isinstance(method, Contrastive)
        z1, z2 = project(method, self.source, self.partners, self.seed)
        return {"alignment": alignment(z1, z2), "uniformity": uniformity(torch.cat([z1, z2]))}


@torch.inference_mode()
def project(
    method: Contrastive, source: ImageSource, partners: tuple[str, ...] | None, seed: int
) -> tuple[Tensor, Tensor]:
    """Projections (n, d) on the CPU of a view pair of every image of ``source``."""
    device = device_of(method)
    generator = Generator(device).manual_seed(seed)
    index = torch.arange(len(source))
    others = None
    if partners is not None:
        order = Generator().manual_seed(seed)
        others = source.images(source.partners(index, partners, order))  # type: ignore[attr-defined]
    pieces = []
    for rows in index.split(256):
        partner = None if others is None else others[rows].to(device)
        pair = method.views(source.images(rows).to(device), generator, partner)
        pieces.append(method.project(*pair))
    z1, z2 = zip(*pieces, strict=True)
    return torch.cat(z1).float().cpu(), torch.cat(z2).float().cpu()


def labelled(*sources: ImageSource) -> bool:
    """Whether every source shows two labelled classes or more: what a probe needs.

    Example:
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
        found += [Information(train, test, partners, seed=seed), Geometry(test, partners, seed)]
    if labelled(train, test):
        found.append(Probes(train, test, seed))
    return found
