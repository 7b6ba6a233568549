"""Contrastive methods: two views, encoders, projection heads, an objective."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from goodviews.bounds import BOUNDS
from goodviews.critics import CRITICS, Cosine, SoftClip
from goodviews.interfaces import Batch, Shape, Views, check_name
from goodviews.layers import MLP
from goodviews.methods.method import ViewMethod, view_encoders
from goodviews.objectives import BoundObjective, InfoNCE, NTXent


class Contrastive(ViewMethod):
    r"""Trains encoders so that two views of one image score higher than views of different images.

    ``v1, v2 = views(images); z_i = head_i(encoder_i(v_i)); loss, nats = objective(z1, z2)``

    One encoder and head serve both views where ``views.shared_encoder`` says so, otherwise there is
    one a view.

    Arguments:
        views: makes pairs of views, see :mod:`goodviews.views`.
        view_encoders: one encoder (shared) or two.
        heads: as many projection heads.
        objective: module (z1, z2) -> (loss, nats) with a ``critic``.
        seed: of the views; each step draws from (seed, step).
    """

    def __init__(
        self,
        views: Views,
        view_encoders: Sequence[nn.Module],
        heads: Sequence[nn.Module],
        objective: nn.Module,
        seed: int = 0,
    ) -> None:
        super().__init__(views, view_encoders, seed)
        self.heads, self.objective = nn.ModuleList(heads), objective

    @property
    def critic(self) -> nn.Module:
        """The objective's critic, which also measures information."""
        critic: nn.Module = self.objective.critic  # type: ignore[assignment]
        return critic

    def project(self, v1: Tensor, v2: Tensor) -> tuple[Tensor, Tensor]:
        """Projections z1, z2 of a pair of views; a shared encoder reads both in one pass."""
        if len(self.encoders) == 1 and v1.shape[1:] == v2.shape[1:]:
            z = self.heads[0](self.encoders[0](torch.cat([v1, v2])).summary)
            z1, z2 = z.chunk(2)
            return z1, z2
        z1 = self.heads[0](self.encoders[0](v1).summary)
        return z1, self.heads[-1](self.encoders[-1](v2).summary)

    def pair_scores(self, v1: Tensor, v2: Tensor) -> Tensor:
        """The critic's scores (n, n) of a pair of views, float32."""
        return self.critic(*self.project(v1, v2)).float()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step: make views, project, objective; logs loss, nats and the ceiling."""
        pair = self.views(batch.images, self.draw(), batch.partners)
        loss, nats = self.objective(*self.project(*pair))
        n = len(batch.images)
        objective = self.objective
        candidates = objective.candidates(n) if isinstance(objective, InfoNCE | NTXent) else n
        self.log_dict({"loss": loss, "nats": nats, "ceiling": math.log(candidates)}, batch_size=n)
        return loss


def _head(encoder: nn.Module, dim: int) -> MLP:
    width: int = encoder.dim  # type: ignore[assignment]
    return MLP([width, width, dim], norm=True)


def simclr(
    views: Views,
    encoder: str,
    image_shape: Shape,
    *,
    seed: int = 0,
    temperature: float = 0.2,
    projection_dim: int = 128,
) -> Contrastive:
    """SimCLR (Chen et al. 2020): shared encoder, two-layer MLP head, NT-Xent.

    Args:
        views: makes pairs of views.
        encoder: name for :func:`goodviews.encoders.build`.
        image_shape: channels, height, width of the raw images.
        seed: of the weights and the views.
        temperature: of NT-Xent.
        projection_dim: width of the projection.

    Returns:
        An untrained method.
    """
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        parts = view_encoders(views, encoder, image_shape)
        heads = [_head(e, projection_dim) for e in parts]
        return Contrastive(views, parts, heads, NTXent(temperature), seed)


def infonce(
    views: Views,
    encoder: str,
    image_shape: Shape,
    *,
    seed: int = 0,
    critic: str = "cosine",
    bound: str = "infonce",
    temperature: float = 0.2,
    projection_dim: int = 128,
    clip: float | None = None,
) -> Contrastive:
    """Maximise a bound on I(v1;v2) under a critic, any of the catalogues (InfoMin, CMC, CPC ...).

    Args:
        views: makes pairs of views.
        encoder: name for :func:`goodviews.encoders.build`.
        image_shape: channels, height, width of the raw images.
        seed: of the weights and the views.
        critic: name in :data:`goodviews.critics.CRITICS`.
        bound: name in :data:`goodviews.bounds.BOUNDS`.
        temperature: of the cosine critic; the others have none.
        projection_dim: width of the projection the critic reads.
        clip: soft clip c of the scores (AMDIM), None for none.

    Returns:
        An untrained method.

    Raises:
        UserError: for an unknown critic or bound.
    """
    for flag, name, known in (("--critic", critic, CRITICS), ("--bound", bound, BOUNDS)):
        check_name(flag, name, known)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        parts = view_encoders(views, encoder, image_shape)
        heads = [_head(e, projection_dim) for e in parts]
        objective = _objective(critic, bound, temperature, projection_dim, clip)
        return Contrastive(views, parts, heads, objective, seed)


def _objective(
    critic: str, bound: str, temperature: float, dim: int, clip: float | None
) -> BoundObjective:
    if (critic, bound) == ("cosine", "infonce"):
        return InfoNCE(temperature, clip)
    scorer = Cosine(temperature) if critic == "cosine" else CRITICS[critic](dim)
    scorer = SoftClip(scorer, clip) if clip is not None else scorer
    return BoundObjective(scorer, BOUNDS[bound].function)
