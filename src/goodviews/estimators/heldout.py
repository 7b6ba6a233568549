"""Held-out I_NCE: what a trained method shows of I(v1;v2) on images it never saw."""

from __future__ import annotations

import math
import warnings as python_warnings
from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Generator, Tensor, nn

from goodviews.data.images import partner_images
from goodviews.evaluation.features import device_of
from goodviews.interfaces import Estimate, ImageSource, UserError, Views
from goodviews.layers import evaluating


class PairScorer(Protocol):
    """The part of a method that an estimate needs (the method is also an ``nn.Module``)."""

    views: Views

    def pair_scores(self, v1: Tensor, v2: Tensor) -> Tensor:
        """Scores (k, k) of view batches; positives on the diagonal."""
        ...


def heldout_information(
    method: PairScorer,
    source: ImageSource,
    *,
    candidates: int = 256,
    pairs: int = 2048,
    repeats: int = 8,
    seed: int = 0,
    partners: Sequence[str] | None = None,
    split: str = "held-out",
) -> Estimate:
    """Held-out I_NCE(v1;v2) of a trained method, in nats, with its error and its null.

    ``log K + mean_i(s_ii - logsumexp_j s_ij)``, the mean over rows and columns of scores (K, K)
    (van den Oord et al. 2018; InfoMin section 3). View pairs are drawn anew in each pass over the
    images, in batches of K different images, until there are ``pairs`` of them, in at most
    ``repeats`` passes. ``partners`` names the factors that an image and its partner share, where
    v2 is made of partners. ``null`` is the same with each batch's pairs deranged. ``stderr`` takes
    images as clusters, with the part each plays as a negative of others.

    Raises:
        UserError: Fewer than two images or candidates, scores that are not finite.
    """
    k, notes = _candidates(candidates, len(source))
    values, visits = torch.zeros(2, len(source), dtype=torch.float64)
    nulls = []
    module: nn.Module = method  # type: ignore[assignment]
    generator = torch.Generator().manual_seed(seed)
    draws = torch.Generator(device=device_of(module)).manual_seed(seed)
    with evaluating(module), torch.inference_mode():
        for index in _batches(len(source), k, pairs, repeats, generator):
            scores = _scores(method, source, index, partners, generator, draws)
            values[index] += influences(scores)
            visits[index] += 1
            nulls.append(infonce_values(scores[:, derangement(k, generator)]).mean())
    nats = float(values.sum() / visits.sum())
    stderr = _cluster_error(values, visits, nats)
    return Estimate(
        nats=nats,
        stderr=stderr,
        candidates=k,
        ceiling=math.log(k),
        kind="lower",
        null=float(torch.stack(nulls).mean()),
        split=split,
        warnings=(*notes, *_doubts(nats, k)),
    )


def infonce_values(scores: Tensor) -> Tensor:
    """I_NCE image by image, shape (k,), in nats: the mean is the bound over rows and columns.

    ``log K + s_ii - (logsumexp_j s_ij + logsumexp_j s_ji) / 2``.

    Example:
        >>> round(float(infonce_values(torch.zeros(4, 4)).mean()), 6)
        0.0
    """
    rows, columns = scores.logsumexp(1), scores.logsumexp(0)
    return math.log(len(scores)) + scores.diagonal() - (rows + columns) / 2


def influences(scores: Tensor) -> Tensor:
    """:func:`infonce_values` with each image also charged for its part as a negative of others.

    ``value_i + 1 - (sum_j p_ji + sum_j q_ij) / 2`` with p the softmax over rows and q over
    columns. The mean is that of the values; the spread is that of the whole statistic.
    """
    charged = (scores.softmax(1).sum(0) + scores.softmax(0).sum(1)) / 2
    return infonce_values(scores) + 1 - charged


def derangement(n: int, generator: Generator) -> Tensor:
    """A random cyclic permutation of n >= 2 places, int64 (n,): no place keeps its own.

    Example:
        >>> bool((derangement(5, torch.Generator()) == torch.arange(5)).any())
        False
    """
    order = torch.randperm(n, generator=generator)
    places = torch.empty_like(order)
    places[order] = order.roll(1)
    return places


def _candidates(candidates: int, images: int) -> tuple[int, tuple[str, ...]]:
    if candidates < 2:
        raise UserError(f"candidates: {candidates}. I_NCE needs 2 or more, for example 256.")
    if images < 2:
        raise UserError(f"--data: {images} held-out image. I_NCE needs two or more.")
    if images >= candidates:
        return candidates, ()
    note = f"K reduced from {candidates} to the {images} images there are"
    python_warnings.warn(f"{note}: compare only with estimates at the same K", stacklevel=3)
    return images, (note,)


def _batches(
    images: int, k: int, pairs: int, repeats: int, generator: Generator
) -> Iterator[Tensor]:
    """Batches of k different images; in one pass each image comes at most once."""
    left = max(1, pairs // k)
    for _ in range(max(1, repeats)):
        order = torch.randperm(images, generator=generator)
        for start in range(0, images - k + 1, k):
            if left == 0:
                return
            left -= 1
            yield order[start : start + k]


def _scores(
    method: PairScorer,
    source: ImageSource,
    index: Tensor,
    partners: Sequence[str] | None,
    generator: Generator,
    draws: Generator,
) -> Tensor:
    images = source.images(index).to(draws.device)
    others = partner_images(source, index, partners, generator)
    v1, v2 = method.views(images, draws, None if others is None else others.to(draws.device))
    scores = method.pair_scores(v1, v2).float().cpu().double()
    if not bool(torch.isfinite(scores).all()):
        raise UserError("scores: not finite. The network diverged: lower --lr, or train again.")
    return scores


def _cluster_error(values: Tensor, visits: Tensor, mean: float) -> float:
    """Standard error of ``values.sum() / visits.sum()`` with one cluster an image."""
    seen = visits > 0
    excess = values[seen] - mean * visits[seen]
    n = int(seen.sum())
    return float((excess.square().sum() * n / (n - 1)).sqrt() / visits.sum())


def _doubts(nats: float, k: int) -> tuple[str, ...]:
    ceiling = math.log(k)
    if nats < 0:
        return (
            "negative: the critic does not carry over to these images; read it as no evidence "
            "of shared information",
        )
    if nats > ceiling - max(0.1, 0.02 * ceiling):
        return (
            f"sits at its ceiling log {k} = {ceiling:.2f} nats: the truth may be far above; "
            f"needs K >= {4 * k}",
        )
    return ()
