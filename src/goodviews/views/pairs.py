"""Built views: from a uint8 batch to a pair of normalised float views, on the images' device."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from goodviews.interfaces import Shape, UserError, ViewPair
from goodviews.views.geometry import resize
from goodviews.views.ops import GeometricOp, Op, run
from goodviews.views.splits import Split

__all__ = ["BuiltViews"]

_DEFAULT = {
    3: ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    1: ((0.45,), (0.25,)),
}


def _stats(
    channels: int, mean: tuple[float, ...] | None, std: tuple[float, ...] | None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation for every channel: the recipe's if they fit, averaged for grey images."""
    default = _DEFAULT.get(channels, ((0.45,) * channels, (0.25,) * channels))
    ready = []
    for name, given, usual in (("mean", mean, default[0]), ("std", std, default[1])):
        if given is None:
            ready.append(usual)
        elif len(given) == channels:
            ready.append(tuple(given))
        elif channels == 1 or len(given) == 1:
            ready.append((sum(given) / len(given),) * channels)
        else:
            raise UserError(
                f"recipe {name}: {len(given)} numbers for images of {channels} channels. "
                "Give one a channel, or leave it out."
            )
    return ready[0], ready[1]


class BuiltViews:
    """What a recipe becomes for images of one shape; see :class:`goodviews.interfaces.Views`.

    Args:
        image_shape: Channels, height, width of the images.
        size: Side of the views, or ``None`` for the images' own.
        shared: Ops drawn once for both views.
        first: Ops of view 1.
        second: Ops of view 2.
        split: A cut that makes both views of one image.
        paired: Whether view 2 needs partner images.
        mean: Channel means.
        std: Channel deviations.
    """

    def __init__(
        self,
        image_shape: Shape,
        size: int | None = None,
        shared: tuple[Op, ...] = (),
        first: tuple[Op, ...] = (),
        second: tuple[Op, ...] = (),
        split: Split | None = None,
        paired: bool = False,
        mean: tuple[float, ...] | None = None,
        std: tuple[float, ...] | None = None,
    ) -> None:
        """Fill in sizes and check that everything fits."""
        self.image_shape = image_shape
        self.size = size
        self.shared = tuple(op.sized(size) for op in shared)
        self.first = tuple(op.sized(size) for op in first)
        self.second = tuple(op.sized(size) for op in second)
        self.split = split
        self.paired = paired
        self.mean, self.std = _stats(image_shape[0], mean, std)
        self.shared_encoder = split is None or split.shared_encoder
        self._cuts_bytes = split is not None and not split.standardised and not shared
        if split is not None and split.standardised and (first or second):
            raise UserError(
                f"recipe ops: {first or second} cannot follow the split {split.name!r}. "
                "Move them to `shared`, where they act on the image before it is split."
            )
        one, two = self.shapes(image_shape)
        if split is None and one[0] == two[0] and one != two:
            raise UserError(f"recipe: view shapes {one} and {two} differ. Give one `size`.")

    def shapes(self, image_shape: Shape) -> tuple[Shape, Shape]:
        """The shapes of the two views."""
        shape = _through(self.shared, image_shape)
        one, two = (shape, shape) if self.split is None else self.split.shapes(shape)
        one, two = _through(self.first, one), _through(self.second, two)
        if self.size is None or self.split is not None:
            return one, two
        fixed = (self.size, self.size)
        return (one[0], *fixed), (two[0], *fixed)

    def __call__(
        self, images: Tensor, generator: Generator | None = None, partners: Tensor | None = None
    ) -> ViewPair:
        """Make a pair of float32 views of uint8 images (n, c, h, w), also under autocast."""
        if self.paired and partners is None:
            raise UserError(
                "recipe partners: this batch has no partner images. "
                "Use data with these factors, such as --data factors."
            )
        if self.split is not None:
            partners = None
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            return self._pairs(images, partners, generator)

    def _pairs(
        self, images: Tensor, partners: Tensor | None, generator: Generator | None
    ) -> ViewPair:
        """The views of a whole batch, in parts that fit a cache."""
        step = len(images) if self._cuts_bytes else _at_once(images)
        if len(images) <= step:
            return self._pair(images, partners, generator)
        others = [None] * len(images) if partners is None else partners.split(step)
        pairs = [
            self._pair(part, other, generator)
            for part, other in zip(images.split(step), others, strict=False)
        ]
        return ViewPair(*(torch.cat(views) for views in zip(*pairs, strict=True)))

    def _pair(
        self, images: Tensor, partners: Tensor | None, generator: Generator | None
    ) -> ViewPair:
        """The views of images that fit a cache."""
        if partners is not None:
            one = run((*self.shared, *self.first), self._unit(images), generator)
            two = run((*self.shared, *self.second), self._unit(partners), generator)
            return ViewPair(self._finish(one), self._finish(two))
        if self.split is None:
            base = run(self.shared, self._unit(images), generator)
            one = self._finish(run(self.first, base, generator))
            return ViewPair(one, self._finish(run(self.second, base, generator)))
        whole = images if self._cuts_bytes else run(self.shared, self._unit(images), generator)
        v1, v2 = self.split(whole, generator)
        if self.split.standardised:
            return ViewPair(v1.contiguous(), v2.contiguous())
        one = self._normalise(run(self.first, self._unit(v1), generator))
        return ViewPair(one, self._normalise(run(self.second, self._unit(v2), generator)))

    def looks(self, images: Tensor) -> tuple[Tensor, ...]:
        """The fixed, unaugmented inputs of a frozen encoder."""
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            return self._looks(images)

    def _looks(self, images: Tensor) -> tuple[Tensor, ...]:
        ready = self._unit(images)
        if self.split is None:
            c, h, w = images.shape[1:]
            _, height, width = self.shapes((c, h, w))[0]
            return (self._normalise(resize(ready, (height, width))),)
        parts = self.split.parts(ready)
        return parts if self.split.standardised else tuple(self._normalise(part) for part in parts)

    def _finish(self, view: Tensor) -> Tensor:
        """Bring a view to the recipe's size and normalise it."""
        if self.size is not None and view.shape[-2:] != (self.size, self.size):
            view = resize(view, (self.size, self.size))
        return self._normalise(view)

    def _normalise(self, view: Tensor) -> Tensor:
        scale = 1 / view.new_tensor(self.std).view(1, -1, 1, 1)
        offset = -view.new_tensor(self.mean).view(1, -1, 1, 1) * scale
        ready = torch.empty(view.shape, dtype=view.dtype, device=view.device)
        return torch.addcmul(offset, view, scale, out=ready)

    def _unit(self, images: Tensor) -> Tensor:
        """uint8 to float32 in [0, 1]; float images are taken to be in [0, 1] already.

        Where a resample comes first, the memory is laid out by columns, as it reads them.
        """
        if images.dtype != torch.uint8:
            return images.float()
        chain = (*self.shared, *self.first)
        if not chain or not isinstance(chain[0], GeometricOp):
            return images.float().div_(255)
        n, c, h, w = images.shape
        ready = torch.empty(n, w, c, h, device=images.device)
        return ready.copy_(images.permute(0, 3, 1, 2)).div_(255).permute(0, 2, 3, 1)


def _at_once(images: Tensor) -> int:
    """How many images to work on at once: about 3 MB of floats on a CPU, all on other devices."""
    if images.device.type != "cpu":
        return len(images)
    return max(1, 800_000 // images[0].numel()) if len(images) else 1


def _through(ops: tuple[Op, ...], shape: Shape) -> Shape:
    for op in ops:
        shape = op.shape(shape)
    return shape
