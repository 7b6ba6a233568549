"""Contrast a clip with an image: what Tian et al. 2020 train on Colorful Moving-MNIST."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import lightning
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from goodviews.encoders.catalogue import build
from goodviews.encoders.video import ClipEncoder
from goodviews.interfaces import Shape, UserError, ViewPair
from goodviews.layers import MLP
from goodviews.methods.contrastive import Contrastive
from goodviews.objectives import InfoNCE


class ClipAndImage:
    """The clip is the first view, its partner image the second; pixels in [-1, 1], nothing else.

    Example:
        >>> clips = torch.zeros(2, 5, 3, 8, 8, dtype=torch.uint8)
        >>> v1, v2 = ClipAndImage()(clips, partners=clips[:, 0])
        >>> v1.shape, v2.shape, v2.max().item()
        (torch.Size([2, 5, 3, 8, 8]), torch.Size([2, 3, 8, 8]), -1.0)
    """

    shared_encoder = False

    def __call__(
        self, images: Tensor, generator: Generator | None = None, partners: Tensor | None = None
    ) -> ViewPair:
        """Make the views of uint8 clips (n, f, c, h, w) or images (n, c, h, w) and partners.

        Raises:
            UserError: no partners.
        """
        if partners is None:
            raise UserError("views: a clip alone is one view. Give each a partner image.")
        return ViewPair(_scaled(images), _scaled(partners))

    def looks(self, images: Tensor) -> tuple[Tensor, ...]:
        """The pixels in [-1, 1]."""
        return (_scaled(images),)

    def shapes(self, image_shape: Shape) -> tuple[Shape, Shape]:
        """Channels, height and width of a frame and of an image: the same."""
        return image_shape, image_shape


def _scaled(pixels: Tensor) -> Tensor:
    return pixels.float().div_(127.5).sub_(1)


class ClipContrastive(Contrastive):
    """:class:`Contrastive` of a clip and an image, each with an encoder of its own.

    Called on images (n, c, h, w) it gives the image encoder's representation, which is what is
    read out; called on clips (n, f, c, h, w) the clip encoder's.
    """

    def forward(self, images: Tensor) -> Tensor:
        """The frozen representation of uint8 images or clips: float32, shape (n, D)."""
        (view,) = self.views.looks(images)
        summary: Tensor = self.encoders[int(images.dim() == 4)](view).summary
        return summary.float()


def clips(
    encoder: str,
    image_shape: Shape,
    *,
    still: bool = False,
    seed: int = 0,
    hidden: int = 64,
    temperature: float = 0.1,
    projection_dim: int = 64,
) -> ClipContrastive:
    r"""Contrast a clip with an image that shares some of its factors (Tian et al. 2020, 4.2).

    ``z1 = W1 LSTM(f1(frames)), z2 = W2 f2(image)``, intra-batch InfoNCE of their cosines in both
    directions.

    Args:
        encoder: name for :func:`goodviews.encoders.build`, of the frames' and the image's encoder.
        image_shape: channels, height, width of a frame and of an image.
        still: whether the first view is an image too, so that no LSTM is needed.
        seed: of the weights.
        hidden: width of the LSTM's state.
        temperature: of the cosine.
        projection_dim: width of the linear heads' output.

    Returns:
        An untrained method.

    Example:
        >>> method = clips("frame-cnn", (3, 16, 16))
        >>> images = torch.zeros(2, 4, 3, 16, 16, dtype=torch.uint8)
        >>> method(images).shape, method(images[:, 0]).shape
        (torch.Size([2, 64]), torch.Size([2, 64]))
    """
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        frame, image = (build(encoder, image_shape[0], image_shape[1:]) for _ in range(2))
        parts: list[nn.Module] = [frame if still else ClipEncoder(frame, hidden), image]
        heads = [MLP([int(p.dim), projection_dim]) for p in parts]  # type: ignore[arg-type]
        return ClipContrastive(ClipAndImage(), parts, heads, InfoNCE(temperature), seed)


class Labelled(Protocol):
    """A batch of images and their factors."""

    images: Tensor
    """uint8, (n, c, h, w)."""
    factors: Mapping[str, Tensor]
    """Classes, int64 (n,), and a place in pixels, (n, 2)."""


class FactorClassifier(lightning.LightningModule):
    r"""The supervised reference: an image encoder and a linear head a factor, trained together.

    loss = sum over class factors of the cross-entropy + mean squared error of the position, in
    units of ``spread`` pixels. Called on uint8 images it gives the encoder's representation.

    Arguments:
        encoder: name for :func:`goodviews.encoders.build`.
        image_shape: channels, height, width of the images.
        classes: factor -> number of classes.
        position: the factor that is a place in pixels.
        spread: of the place, pixels.
        seed: of the weights.

    References:
        Tian et al. 2020, section 4.2, the row "supervised".

    Example:
        >>> net = FactorClassifier("frame-cnn", (3, 16, 16), {"digit": 10})
        >>> net(torch.zeros(2, 3, 16, 16, dtype=torch.uint8)).shape
        torch.Size([2, 64])
    """

    def __init__(
        self,
        encoder: str,
        image_shape: Shape,
        classes: Mapping[str, int],
        *,
        position: str = "position",
        spread: float = 10.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            self.encoder = build(encoder, image_shape[0], image_shape[1:])
            width: int = self.encoder.dim  # type: ignore[assignment]
            sizes = {**classes, position: 2}
            self.heads = nn.ModuleDict({f: nn.Linear(width, size) for f, size in sizes.items()})
        self.classes, self.position, self.spread = tuple(classes), position, spread
        self.centre = (image_shape[1] - 1) / 2

    def forward(self, images: Tensor) -> Tensor:
        """The representation of uint8 images (n, c, h, w): float32, shape (n, D)."""
        summary: Tensor = self.encoder(_scaled(images)).summary
        return summary.float()

    def losses(self, images: Tensor, factors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The loss of each head."""
        z = self(images)
        with torch.autocast(images.device.type, enabled=False):
            told = {factor: head(z) for factor, head in self.heads.items()}
        found = {f: functional.cross_entropy(told[f], factors[f]) for f in self.classes}
        place = (factors[self.position] - self.centre) / self.spread
        return found | {self.position: functional.mse_loss(told[self.position], place)}

    def training_step(self, batch: Labelled, batch_idx: int) -> Tensor:
        """The sum of the losses of images with ``factors``; logs loss."""
        loss = torch.stack(list(self.losses(batch.images, batch.factors).values())).sum()
        self.log("loss", loss, batch_size=len(batch.images))
        return loss
