"""Decoders: from node vectors to scores of links, a tile of links at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from goodviews.data.graphs.splits import LinkSplit
from goodviews.evaluation.graphs.links import checked_links, link_scores
from goodviews.evaluation.logistic import PATIENCE, PENALTIES, Logistic, fit_logistic
from goodviews.interfaces import UserError, check_name

Scorer = Callable[[Tensor], Tensor]
"""Links (2, m) -> scores (m,), higher: more likely a link."""
TILE = 1 << 24
"""The most numbers of node vectors gathered at once."""
MOST = 50_000
"""The most links, and as many non-links, that a decoder is fitted on."""


@dataclass(frozen=True)
class InnerProduct:
    """``s(u, v) = z_u . z_v`` (Kipf & Welling 2016, GAE).

    Example:
        >>> InnerProduct()(torch.eye(2), torch.tensor([[0], [1]]))
        tensor([0.])
    """

    def __call__(self, z: Tensor, links: Tensor) -> Tensor:
        """Scores (m,) of links (2, m) from node vectors z (n, d)."""
        return _tiled(z, links, lambda a, b: (a * b).sum(1))


@dataclass(frozen=True)
class Cosine:
    """``s(u, v) = z_u . z_v / (|z_u| |z_v|)``; 0 where a vector is zero.

    Example:
        >>> Cosine()(torch.tensor([[1.0, 1.0], [3.0, 3.0]]), torch.tensor([[0], [1]])).round()
        tensor([1.])
    """

    def __call__(self, z: Tensor, links: Tensor) -> Tensor:
        """Scores (m,) of links (2, m) from node vectors z (n, d)."""
        _check_vectors(z)
        unit = functional.normalize(z, dim=1)
        return _tiled(unit, links, lambda a, b: (a * b).sum(1))


@dataclass(frozen=True)
class Hadamard:
    """Log-odds ``s(u, v) = w . (z_u * z_v) + b``, with ``w' . |z_u - z_v|`` added on request.

    Logistic regression on what two node vectors have in common (Grover & Leskovec 2016, table 1);
    made by :meth:`fit`.
    """

    weight: Tensor
    """Shape (d,), or (2 d,) with the difference."""
    offset: float
    penalty: float
    validation_auc: float
    """Of the chosen penalty, on the links that chose it."""

    def __call__(self, z: Tensor, links: Tensor) -> Tensor:
        """Log-odds (m,) of links (2, m) from node vectors z (n, d)."""
        difference = len(self.weight) == 2 * z.shape[1]
        weight = self.weight.to(z)
        return _tiled(z, links, lambda a, b: _features(a, b, difference) @ weight + self.offset)

    @classmethod
    def fit(
        cls, z: Tensor, split: LinkSplit, *, difference: bool = False, seed: int = 0
    ) -> Hadamard:
        """Fitted on training links and non-links; the validation ones choose the penalty by AUC.

        The test links are not read. Of more than ``MOST`` training links (or non-links) that many
        are drawn. Among penalties alike the strongest is taken.

        Args:
            z: node vectors (n, d).
            split: of which the training and validation links and non-links are read.
            difference: read ``|z_u - z_v|`` beside ``z_u * z_v``.
            seed: of the draw.

        Raises:
            UserError: a set without links, node vectors not finite, links of nodes not there.

        Example:
            >>> from types import SimpleNamespace
            >>> z = torch.tensor([[1.0], [1.0], [-1.0], [-1.0]])
            >>> same, other = torch.tensor([[0, 2], [1, 3]]), torch.tensor([[0, 1], [2, 3]])
            >>> split = SimpleNamespace(train=same, train_negatives=other, validation=same,
            ...                         validation_negatives=other)
            >>> Hadamard.fit(z, split).validation_auc
            1.0
        """
        _check_vectors(z)
        z = z.detach().float()
        for name in ("train", "train_negatives", "validation", "validation_negatives"):
            if getattr(split, name).numel() == 0:
                raise UserError(f"split: {name} holds no link. A decoder needs all four sets.")
        x, y = _training(z, split, difference, seed)
        held = (split.validation, split.validation_negatives)
        best, since = None, 0
        for penalty in PENALTIES:
            weight, offset = _line(fit_logistic(x, y, 2, penalty=penalty))
            found = cls(weight, offset, penalty, math.nan)
            auc = link_scores(found(z, held[0]), found(z, held[1]), ()).auc
            since += 1
            if best is None or auc > best.validation_auc:
                best, since = replace(found, validation_auc=auc), 0
            if since == PATIENCE:
                break
        assert best is not None  # at least one penalty was tried
        return best


def _best(z: Tensor, split: LinkSplit, seed: int) -> Scorer:
    """Of the decoders below but the inner product, the one with the best validation AUC."""
    made = [
        DECODERS[name](z, split, seed) for name in ("cosine", "hadamard", "hadamard-difference")
    ]

    def auc(scorer: Scorer) -> float:
        held = scorer(split.validation), scorer(split.validation_negatives)
        return link_scores(*held, ()).auc

    return max(made, key=auc)


DECODERS: dict[str, Callable[[Tensor, LinkSplit, int], Scorer]] = {
    "inner-product": lambda z, split, seed: lambda links: InnerProduct()(z, links),
    "cosine": lambda z, split, seed: lambda links: Cosine()(z, links),
    "hadamard": lambda z, split, seed: _bound(Hadamard.fit(z, split, seed=seed), z),
    "hadamard-difference": lambda z, split, seed: _bound(
        Hadamard.fit(z, split, difference=True, seed=seed), z
    ),
    "best": _best,
}
"""Name -> (node vectors, split, seed) -> scorer; none reads the test links. "best": of cosine and
both logistic regressions the one with the best AUC on the validation links."""


def decode(name: str, z: Tensor, split: LinkSplit, *, seed: int = 0) -> Scorer:
    """A scorer of links from node vectors z (n, d) by the decoder of this name.

    Raises:
        UserError: unknown name; as :meth:`Hadamard.fit`.

    Example:
        >>> scorer = decode("inner-product", torch.eye(3), None)
        >>> scorer(torch.tensor([[0, 1], [1, 2]])).tolist()
        [0.0, 0.0]
    """
    check_name("decoder", name, DECODERS)
    return DECODERS[name](z.detach(), split, seed)


def _bound(decoder: Hadamard, z: Tensor) -> Scorer:
    return lambda links: decoder(z, links)


def _features(a: Tensor, b: Tensor, difference: bool) -> Tensor:
    return torch.cat([a * b, (a - b).abs()], 1) if difference else a * b


def _training(z: Tensor, split: LinkSplit, difference: bool, seed: int) -> tuple[Tensor, Tensor]:
    """Features and labels of the training links (1) and non-links (0)."""
    links, others = _drawn(split.train, seed), _drawn(split.train_negatives, seed + 1)
    x = torch.cat([_gathered(z, part, difference) for part in (links, others)])
    labels = torch.zeros(len(x), dtype=torch.int64, device=z.device)
    labels[: links.shape[1]] = 1
    return x, labels


def _line(model: Logistic) -> tuple[Tensor, float]:
    """Weight and offset on the features themselves of the log-odds of class 1 against class 0."""
    weight = model.axes.rotation @ (model.weight[:, 1] - model.weight[:, 0]) / model.axes.scale
    return weight, float(model.bias[1] - model.bias[0] - model.axes.mean @ weight)


def _gathered(z: Tensor, links: Tensor, difference: bool) -> Tensor:
    u, v = checked_links(links, len(z)).to(z.device)
    return _features(z[u], z[v], difference)


def _drawn(links: Tensor, seed: int) -> Tensor:
    if links.shape[1] <= MOST:
        return links
    generator = torch.Generator().manual_seed(seed)
    return links[:, torch.randperm(links.shape[1], generator=generator)[:MOST].to(links.device)]


def _check_vectors(z: Tensor) -> None:
    if z.dim() != 2:
        raise UserError(f"node vectors: shape {tuple(z.shape)}. Give one row a node, (n, d).")
    finite = torch.isfinite(z).all(1)
    if not bool(finite.all()):
        raise UserError(
            f"node vectors: {int((~finite).sum())} of {len(z)} rows are not finite. "
            "The network diverged: lower its learning rate, or check its weights."
        )


def _tiled(z: Tensor, links: Tensor, score: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    _check_vectors(z)
    links = checked_links(links, len(z)).to(z.device)
    tiles = links.split(max(1, TILE // max(1, z.shape[1])), dim=1)
    with torch.no_grad():
        return torch.cat([score(z[u], z[v]) for u, v in tiles])
