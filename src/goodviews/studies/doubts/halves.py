"""The data of the experiments: both halves of each image, as tensors where training lives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from goodviews.data import Loaded
from goodviews.interfaces import ImageSource, Shape, UserError
from goodviews.methods.method import step_generator
from goodviews.views.splits import Halves


@dataclass
class HalfImages:
    """Images and labels in memory; the views are the top and the bottom half, pixels in [0, 1].

    Tschannen et al. 2019, section 3: X1 and X2 are the halves of an MNIST digit.
    """

    train: Tensor
    """uint8, (N, c, h, w)."""
    train_y: Tensor
    test: Tensor
    test_y: Tensor
    _orders: dict[tuple[int, int, int], Tensor] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, loaded: Loaded, device: torch.device | str = "cpu") -> HalfImages:
        """Of loaded images, all of them in memory; grey ones keep one channel.

        Raises:
            UserError: without labels.
        """
        (train, train_y), (test, test_y) = map(_all, (loaded.train, loaded.test))
        if all(bool((x == x[:, :1]).all()) for x in (train, test)):
            train, test = train[:, :1], test[:, :1]  # grey images are loaded as colour
        return cls(train.to(device), train_y, test.to(device), test_y)

    @property
    def shape(self) -> Shape:
        """Of each view: channels, height, width."""
        c, h, w = self.train.shape[1:]
        return Halves("vertical").shapes((c, h, w))[0]

    @staticmethod
    def views(images: Tensor) -> tuple[Tensor, Tensor]:
        """Top and bottom halves (..., c, h/2, w), float32, of uint8 images (..., c, h, w)."""
        halves = Halves("vertical")(images.flatten(0, -4))
        top, bottom = ((half.float() / 255).unflatten(0, images.shape[:-3]) for half in halves)
        return top, bottom

    def batch(self, seeds: Sequence[int], step: int, size: int) -> Tensor:
        """The images of a step, each seed its own: uint8 (E, size, c, h, w)."""
        return self.train[self.rows(seeds, step, size).to(self.train.device)]

    def rows(self, seeds: Sequence[int], step: int, size: int, salt: int = 0) -> Tensor:
        """Places of a step's images (E, size): a function of (seed, step, salt).

        Every epoch has an order of its own; an incomplete batch at its end is dropped.
        """
        epoch, place = divmod(step, max(1, len(self.train) // size))
        part = slice(place * size, (place + 1) * size)
        return torch.stack([self._order(seed, epoch, salt)[part] for seed in seeds])

    def _order(self, seed: int, epoch: int, salt: int) -> Tensor:
        """One epoch's order; only the last few are kept."""
        key = (seed, epoch, salt)
        if key not in self._orders:
            stale = [k for k in self._orders if k[::2] == key[::2]]
            self._orders = {k: v for k, v in self._orders.items() if k not in stale}
            generator = step_generator(seed, 2 * epoch + salt)
            self._orders[key] = torch.randperm(len(self.train), generator=generator)
        return self._orders[key]

    def probe_set(self, count: int | None) -> tuple[Tensor, Tensor]:
        """Training images for the probes, and their labels: the first ``count``; None: all."""
        return self.train[:count], self.train_y[:count]


def _all(source: ImageSource) -> tuple[Tensor, Tensor]:
    """All images and labels of a source."""
    if source.labels is None or not bool((source.labels >= 0).any()):
        raise UserError("--data: no labels, so no accuracy to compare with. Give --labels.")
    spans = torch.arange(len(source)).split(1024)
    return torch.cat([source.images(span) for span in spans]), source.labels


def noisy(x: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
    """Views with Gaussian noise of deviation ``sigma``; the generator is on the CPU."""
    if not sigma:
        return x
    return x + sigma * torch.randn(x.shape, generator=generator).to(x.device)
