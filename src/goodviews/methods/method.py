"""What every method is: views, encoders, and the contract that training and measuring rely on."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import lightning
import torch
from torch import Generator, Tensor, nn

from goodviews import encoders
from goodviews.interfaces import Batch, Shape, UserError, Views


def step_generator(seed: int, step: int, device: torch.device | str = "cpu") -> Generator:
    """A fresh generator whose state is a function of (seed, step) only.

    Views drawn from it need no saved state: a run resumed at step s draws what it would have drawn.

    Example:
        >>> a, b = (torch.rand(1, generator=step_generator(0, 7)) for _ in range(2))
        >>> bool(a == b)
        True
    """
    return Generator(device).manual_seed((seed * 1_000_003 + step) * 2_654_435_761 % 2**63)


def view_encoders(views: Views, name: str, image_shape: Shape) -> list[nn.Module]:
    """One encoder where both views may share it, else one a view, fitting their shapes."""
    shapes = views.shapes(image_shape)[: 1 if views.shared_encoder else 2]
    return [encoders.build(name, shape[0], shape[1:]) for shape in shapes]


class ViewMethod(lightning.LightningModule):
    """Encoders trained on views; called on images it gives their frozen representation.

    The views are made inside the step, on the whole batch, on the training device. One encoder
    serves both views where ``views.shared_encoder`` says so, otherwise there is one a view.

    Arguments:
        views: makes pairs of views, see :mod:`goodviews.views`.
        view_encoders: one encoder (shared) or two.
        seed: of the views; each step draws from (seed, step).
    """

    TRAINING_ONLY: ClassVar[tuple[str, ...]] = ()
    """Names of parts that a frozen encoder does without (memories, momentum encoders)."""

    def __init__(self, views: Views, view_encoders: Sequence[nn.Module], seed: int = 0) -> None:
        super().__init__()
        if len(view_encoders) != (1 if views.shared_encoder else 2):
            raise ValueError(f"view_encoders: got {len(view_encoders)} for these views.")
        self.views = views
        self.encoders = nn.ModuleList(view_encoders)
        self.seed = seed

    def forward(self, images: Tensor) -> Tensor:
        """The frozen representation of uint8 images (n, c, h, w): float32, shape (n, D).

        The encoder's summary of each unaugmented look, joined (InfoMin and CMC probe splits so).
        """
        looks = self.views.looks(images)
        joined = [self.encoders[min(i, len(self.encoders) - 1)](v) for i, v in enumerate(looks)]
        return torch.cat([features.summary.float() for features in joined], 1)

    def maps(self, images: Tensor) -> Tensor:
        """Feature maps of uint8 images (n, c, h, w) before they are averaged: (n, D, h', w').

        Those of each unaugmented look, joined, for readers of single pixels.

        Raises:
            UserError: an encoder without maps.
        """
        joined = []
        for i, look in enumerate(self.views.looks(images)):
            encoder = self.encoders[min(i, len(self.encoders) - 1)]
            if not hasattr(encoder, "maps"):
                raise UserError(
                    f"--encoder: {type(encoder).__name__} gives no feature maps. "
                    "Use for example convnet, convnet-half or resnet-small."
                )
            joined.append(encoder.maps(look).float())  # type: ignore[operator]
        return torch.cat(joined, 1)

    @abstractmethod
    def project(self, v1: Tensor, v2: Tensor) -> tuple[Tensor, Tensor]:
        """What the critic reads of each view: z1, z2 of shape (n, d)."""

    @abstractmethod
    def pair_scores(self, v1: Tensor, v2: Tensor) -> Tensor:
        """The critic's scores (n, n) of a pair of views, float32; positives on the diagonal."""

    @abstractmethod
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of one step; logs loss, nats and the ceiling."""

    def strip(self) -> None:
        """Drop what only training needs: the method can be read afterwards, not trained."""
        for name in self.TRAINING_ONLY:
            setattr(self, name, None)

    def draw(self) -> Generator:
        """The generator of this step."""
        return step_generator(self.seed, self.global_step, self.device)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW with learning rate 1e-3; :func:`goodviews.training.fit` puts its own here."""
        return torch.optim.AdamW(self.parameters(), lr=1e-3, weight_decay=1e-4)
