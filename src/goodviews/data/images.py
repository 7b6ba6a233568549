"""Images in memory: a tensor of bytes, labels where there are any, factors where they are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor

from goodviews.data.catalogue import did_you_mean
from goodviews.interfaces import ImageSource, Shape, UserError

Index = Sequence[int] | Tensor


@dataclass(eq=False, repr=False)
class Images:
    """Images that live in memory, with labels, factors and natural pairs where there are any.

    Args:
        pixels: uint8, shape (n, c, h, w).
        name: What to call the set in reports.
        labels: int64, shape (n,), -1 where unlabelled; or None.
        classes: The names of labels 0, 1, ...
        factors: What is known of each image, name -> int64, shape (n,).
        paths: Where each image came from.
        second: uint8, shape (n, c, h, w): a natural partner of each image.

    Raises:
        UserError: the shapes or types do not fit together.

    Example:
        >>> some = Images(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), "black")
        >>> some, some.images([0, 2]).shape, len(some.subset([1]))
        (Images(black: 4 x 3x8x8), torch.Size([2, 3, 8, 8]), 1)
    """

    pixels: Tensor
    name: str
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    factors: Mapping[str, Tensor] = field(default_factory=dict)
    paths: tuple[str, ...] | None = None
    second: Tensor | None = None
    shape: Shape = field(init=False)

    def __post_init__(self) -> None:
        """Check that everything has one row an image."""
        if self.pixels.dtype != torch.uint8 or self.pixels.dim() != 4:
            found = f"{self.pixels.dtype} {tuple(self.pixels.shape)}"
            raise UserError(f"images: {found}. Give uint8 of shape (n, c, h, w).")
        _, c, h, w = self.pixels.shape
        self.shape = (c, h, w)
        rows = {"labels": self.labels, "second": self.second, "paths": self.paths, **self.factors}
        for name, value in rows.items():
            if value is not None and len(value) != len(self):
                message = f"{name}: {len(value)} for {len(self)} images. Give one an image."
                raise UserError(message)
        self._groups: dict[tuple[str, ...], tuple[Tensor, Tensor, Tensor, Tensor]] = {}

    def __len__(self) -> int:
        """Number of images."""
        return len(self.pixels)

    def __repr__(self) -> str:
        """Name, number and shape."""
        return f"Images({self.name}: {len(self)} x {'x'.join(map(str, self.shape))})"

    def images(self, index: Index) -> Tensor:
        """The images at ``index`` as uint8, shape (n, c, h, w)."""
        return self.pixels[torch.as_tensor(index, dtype=torch.int64)].contiguous()

    def subset(self, index: Index) -> Images:
        """The same set restricted to ``index``."""
        index = torch.as_tensor(index, dtype=torch.int64)
        return Images(
            self.pixels[index],
            self.name,
            None if self.labels is None else self.labels[index],
            self.classes,
            {name: values[index] for name, values in self.factors.items()},
            None if self.paths is None else tuple(self.paths[i] for i in index.tolist()),
            None if self.second is None else self.second[index],
        )

    def partners(
        self, index: Index, shared: Sequence[str], generator: Generator | None = None
    ) -> Tensor:
        """Draw another image for each: it agrees in the factors ``shared``, the rest is chance.

        The partner is uniform over the other images with the same shared factors, so given those
        factors the two images are independent; an image that is alone with its factors is its own
        partner. ``"label"`` names the labels; no factor at all pairs images at random.

        Args:
            index: Shape (n,).
            shared: Names of factors.
            generator: On the CPU; None is the global one.

        Returns:
            int64, shape (n,): places in this set.

        Raises:
            UserError: a factor is not known, or ``label`` is asked for and some images have none.

        Example:
            >>> some = Images(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), "pairs",
            ...               factors={"side": torch.tensor([0, 1, 0, 1])})
            >>> some.partners([0, 1, 2], ["side"])
            tensor([2, 3, 0])
        """
        index = torch.as_tensor(index, dtype=torch.int64)
        order, rank, first, size = self._group(tuple(shared))
        others = (size[index] - 1).clamp(min=1)
        draw = torch.rand(len(index), dtype=torch.float64, generator=generator)
        step = 1 + (draw * others).long()
        return order[first[index] + (rank[index] + step) % size[index]]

    def shared_information(self, shared: Sequence[str]) -> float:
        """I(v1;v2) of partners that share ``shared``: the entropy of those factors, in nats.

        Partners are independent given the shared factors s, so I = H(s) as long as each image
        shows its factors; H is that of their joint distribution over this set.

        Example:
            >>> some = Images(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), "pairs",
            ...               factors={"side": torch.tensor([0, 1, 0, 1])})
            >>> round(some.shared_information(["side"]), 4)
            0.6931
        """
        *_, size = self._group(tuple(shared))
        return float(-(size.double() / len(self)).log().mean()) + 0.0

    def _group(self, shared: tuple[str, ...]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return images ordered by group; and each image's rank, group start and group size."""
        if shared not in self._groups:
            columns = [self.factor(name) for name in shared]
            joint = torch.stack(columns or [torch.zeros(len(self), dtype=torch.int64)], dim=1)
            _, group, sizes = torch.unique(joint, dim=0, return_inverse=True, return_counts=True)
            order = torch.argsort(group, stable=True)
            first = (sizes.cumsum(0) - sizes)[group]
            place = torch.empty_like(order)
            place[order] = torch.arange(len(self))
            self._groups[shared] = (order, place - first, first, sizes[group])
        return self._groups[shared]

    def factor(self, name: str) -> Tensor:
        """One factor by name; ``label`` is the labels."""
        if name in self.factors:
            return self.factors[name]
        known = [*self.factors, *(["label"] if self.labels is not None else [])]
        if name != "label" or self.labels is None:
            hint = did_you_mean(name, known)
            listed = ", ".join(known) or "none"
            raise UserError(f"factor: {name} is not known in {self.name}. {hint}Known: {listed}.")
        if bool((self.labels < 0).any()):
            bare = int((self.labels < 0).sum())
            raise UserError(
                f"partners by label: {bare} images of {self.name} have no label. "
                "Give every image a label, or pair by another factor."
            )
        return self.labels


def partner_images(
    source: ImageSource, index: Index, shared: Sequence[str] | None, generator: Generator
) -> Tensor | None:
    """Images that agree with those at ``index`` in the factors ``shared``; None without factors.

    Raises:
        UserError: the source knows no factors.

    Example:
        >>> some = Images(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), "pairs",
        ...               factors={"side": torch.tensor([0, 0])})
        >>> partner_images(some, [0], ["side"], Generator()).shape
        torch.Size([1, 3, 8, 8])
    """
    if shared is None:
        return None
    if not hasattr(source, "partners"):
        raise UserError(
            f"partners: {source.name} is streamed and knows no factors. Use images in memory."
        )
    return source.images(source.partners(index, shared, generator))
