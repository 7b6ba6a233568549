"""AMDIM and local DIM: global features predict local ones, of another view or of the same one."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from goodviews.encoders import MixtureHeads
from goodviews.interfaces import Batch, Features, Shape, UserError, Views
from goodviews.methods.classifiers import OnlineClassifiers
from goodviews.methods.method import ViewMethod, view_encoders
from goodviews.objectives import LocalBound, MixtureNCE, MultiscaleNCE

PAIRS = ("1-5", "1-7", "5-5")
"""Bachman et al. 2019: f1 predicts f5 and f7, one place of f5 predicts f5."""


class AMDIM(ViewMethod):
    r"""Maximises information between features of several scales across views.

    ``features_v = embed(encoder(view_v)); loss = objective(features) + classifiers(f1, labels)``

    The classifiers are the online probes: they read detached f1 and never reach the encoder
    (Bachman et al. 2019, sections 3 and 4; Hjelm et al. 2019 with one view).

    Arguments:
        views: makes pairs of views.
        view_encoders: one multiscale encoder (shared) or two, with ``embed``.
        objective: module (features of every view, generator) -> MultiscaleLoss.
        scales: sides of antecedent and consequent whose scores :meth:`pair_scores` averages.
        clip: soft clip c of those scores, None for none.
        seed: of the views; each step draws from (seed, step).
        n_views: how many views of an image meet: 1 (local DIM), 2, or more augmented copies.
        classes: of the online probes; 0 for none.
    """

    def __init__(
        self,
        views: Views,
        view_encoders: Sequence[nn.Module],
        objective: nn.Module,
        scales: Sequence[tuple[int, int]],
        clip: float | None = None,
        seed: int = 0,
        n_views: int = 2,
        classes: int = 0,
    ) -> None:
        super().__init__(views, view_encoders, seed)
        if n_views < 1 or (n_views > 2 and len(self.encoders) > 1):
            raise UserError(f"--n-views: {n_views}. Use 2 with these views.")
        self.objective, self.n_views = objective, n_views
        self.scales, self.clip = list(scales), clip
        width = sum(encoder.dim for encoder in self.encoders)  # type: ignore[misc]
        self.classifiers = OnlineClassifiers(width, classes) if classes else None

    def features(self, *pair: Tensor) -> list[Features]:
        """Features of each view in the shared space; a shared encoder reads all in one pass."""
        if len(self.encoders) == 1:
            return self._encode(0, torch.cat(pair), len(pair))
        return [self._encode(i, view, 1)[0] for i, view in enumerate(pair)]

    def _encode(self, place: int, stacked: Tensor, count: int) -> list[Features]:
        encoder: Any = self.encoders[place]
        found = encoder.embed(encoder(stacked))
        summaries = found.summary.chunk(count)
        maps = {side: local.chunk(count) for side, local in found.local.items()}
        return [
            Features(summary, {side: maps[side][i] for side in maps})
            for i, summary in enumerate(summaries)
        ]

    def project(self, v1: Tensor, v2: Tensor) -> tuple[Tensor, Tensor]:
        """The summaries f1 of both views, (n, D) each."""
        first, second = self.features(v1, v2)
        return first.summary, second.summary

    def pair_scores(self, v1: Tensor, v2: Tensor) -> Tensor:
        """Scores (n, n) of whole views: the mean over scales, places and both directions."""
        first, second = self.features(v1, v2)
        with torch.autocast(v1.device.type, enabled=False):
            return 0.5 * (self._mean_scores(first, second) + self._mean_scores(second, first).T)

    def _mean_scores(self, one: Features, other: Features) -> Tensor:
        """Mean over scales and places of c tanh(phi(f)^T phi(f') / (c sqrt D)), shape (n, m)."""
        total = one.summary.new_zeros((), dtype=torch.float32)
        for antecedent, consequent in self.scales:
            whole = antecedent == 1
            source = one.summary if whole else one.local[antecedent].mean((2, 3))
            target = other.local[consequent].float().flatten(2)
            scores = torch.einsum("nd,mdl->nml", source.float(), target) * target.shape[1] ** -0.5
            if self.clip:
                scores = self.clip * torch.tanh(scores / self.clip)
            total = total + scores.mean(2)
        return total / len(self.scales)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step: views, features, objective, online probes; logs loss and nats by scale."""
        generator = self.draw()
        seen: list[Tensor] = []
        while len(seen) < self.n_views:
            seen += self.views(batch.images, generator, batch.partners)
        features = self.features(*seen[: self.n_views])
        found = self.objective(features, generator)
        logged = {f"nats_{pair.replace('>', 'to')}": value for pair, value in found.nats.items()}
        logged |= {
            "loss": found.loss.detach(),
            "nats": torch.stack(list(found.nats.values())).mean(),
            "ceiling": statistics.fmean(found.ceilings.values()),
            "penalty": found.penalty,
        }
        self.log_dict(logged, batch_size=len(batch.images))
        return found.loss + self._probe(features, batch.labels)

    def _probe(self, features: list[Features], labels: Tensor | None) -> Tensor | float:
        """Loss of the online probes, on summaries without their history."""
        if self.classifiers is None or labels is None:
            return 0.0
        summaries = [view.summary for view in features]
        if len(self.encoders) > 1:
            return self.classifiers(torch.cat(summaries, 1), labels)
        return self.classifiers(torch.cat(summaries), labels.repeat(len(summaries)))


def amdim(
    views: Views,
    encoder: str,
    image_shape: Shape,
    *,
    seed: int = 0,
    pairs: Sequence[str] = PAIRS,
    penalty: float = 5e-2,
    clip: float | None = 20.0,
    mixture: int = 0,
    alpha: float = 1.0,
    tau: float | None = None,
    n_views: int = 2,
    classes: int = 0,
) -> AMDIM:
    """AMDIM (Bachman et al. 2019): multiscale NCE between views, in a shared space.

    Args:
        views: makes pairs of views.
        encoder: a multiscale one: amdim-tiny, amdim-cifar-small ..., multiscale/NAME.
        image_shape: channels, height, width of the raw images.
        seed: of the weights and the views.
        pairs: antecedent-consequent scales, for example "1-7".
        penalty: lambda of the squared scores: 5e-2 in the code, 4e-2 in the paper.
        clip: soft clip c of the scores; None or 0 for none.
        mixture: k, mixture features that share the work of predicting; 0 for none.
        alpha: weight of the mixture posterior's entropy (the paper's is unknown).
        tau: temperature of its posterior; None: 1 / alpha.
        n_views: views of an image that meet; more than 2 are further augmented copies.
        classes: of the online probes; 0 for none.

    Returns:
        An untrained method.

    Raises:
        UserError: an encoder without local features, pairs that are none.
    """
    scales = [_scale(pair) for pair in pairs]
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        parts = _multiscale(views, encoder, image_shape, scales)
        objective: nn.Module = MultiscaleNCE(scales, penalty=penalty, clip=clip or None)
        if mixture:
            heads = MixtureHeads(int(parts[0].dim), mixture)  # type: ignore[arg-type]
            objective = MixtureNCE(
                heads, scales, penalty=penalty, clip=clip or None, alpha=alpha, tau=tau
            )
        return AMDIM(views, parts, objective, scales, clip, seed, n_views, classes)


def dim(
    views: Views,
    encoder: str,
    image_shape: Shape,
    *,
    seed: int = 0,
    bound: str = "infonce",
    clip: float | None = None,
    classes: int = 0,
) -> AMDIM:
    """Local DIM (Hjelm et al. 2019): f1 and every place of f7 of one and the same view.

    Args:
        views: makes the view (the first of each pair is taken).
        encoder: a multiscale one, as for :func:`amdim`.
        image_shape: channels, height, width of the raw images.
        seed: of the weights and the views.
        bound: infonce, donsker-varadhan or jensen-shannon, or another of the catalogue.
        clip: soft clip c of the scores, None or 0 for none.
        classes: of the online probes; 0 for none.

    Returns:
        An untrained method.
    """
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        parts = _multiscale(views, encoder, image_shape, [(1, 7)])
        objective = LocalBound(bound, clip=clip or None)
        return AMDIM(views, parts, objective, [(1, 7)], clip, seed, 1, classes)


def _scale(pair: str) -> tuple[int, int]:
    """Sides of an antecedent and its consequent.

    Example:
        >>> _scale("1-7")
        (1, 7)
    """
    sides = pair.split("-")
    if len(sides) != 2 or not all(side.isdigit() for side in sides):
        raise UserError(f"--pairs: {pair!r} names no two scales. Use for example 1-5,1-7,5-5.")
    return int(sides[0]), int(sides[1])


def _multiscale(
    views: Views, name: str, image_shape: Shape, scales: Sequence[tuple[int, int]]
) -> list[nn.Module]:
    """The encoders, all with local features, without heads that the scales leave idle."""
    parts = view_encoders(views, name, image_shape)
    if not all(hasattr(part, "embed") for part in parts):
        raise UserError(
            f"--encoder: {name} has no local features. Use amdim-tiny, another amdim-*, or "
            "multiscale/NAME for a backbone of timm."
        )
    used = {str(side) for pair in scales for side in pair}
    known = {"1", *(str(side) for side in parts[0].channels)}  # type: ignore[union-attr]
    if unknown := sorted(used - known):
        raise UserError(
            f"--pairs: {name} makes no map {unknown[0]} wide. Use {', '.join(sorted(known))}."
        )
    for part in parts:
        heads: nn.ModuleDict = part.heads  # type: ignore[assignment]
        for side in set(heads) - used:
            del heads[side]
    return parts
