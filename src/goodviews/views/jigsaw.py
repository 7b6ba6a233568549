"""JigSaw: nine patches of one crop, PIRL's third input (Misra and van der Maaten 2020)."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from goodviews.interfaces import Shape, UserError
from goodviews.views.geometric_ops import HorizontalFlip, RandomResizedCrop
from goodviews.views.geometry import uniform
from goodviews.views.ops import run
from goodviews.views.pairs import BuiltViews

__all__ = ["JigSaw"]


class JigSaw:
    r"""Cuts every image into grid x grid patches, a little apart so that no edge runs through.

    ``RandomResizedCrop(grid * cell, scale) -> flip -> in each cell a patch at a random offset in
    {0, ..., cell - patch}^2 -> normalise``; no change of colour.

    At 224 pixels the crop has 255, a cell 85 and a patch 64, as published. Other sizes keep these
    proportions: ``cell = round(85/224 side)``, ``patch = round(64/85 cell)``; 32 pixels give cells
    of 12 and patches of 9, 96 pixels 36 and 27.

    Arguments:
        image_shape: channels, height, width of the images; a view's side is the shorter one.
        mean: channel means taken off; None: ImageNet's (0.45 for grey), as in a recipe.
        std: channel deviations divided by; None: ImageNet's (0.25 for grey).
        grid: cells along a side.
        scale: smallest and largest area of the crop.

    Raises:
        UserError: images too small for patches of 4 pixels, or a grid below 2.

    References:
        Tian et al. 2020 (code, augmentation of PIRL and InfoMin); Misra and van der Maaten 2020.

    Example:
        >>> JigSaw((3, 224, 224)).shape, JigSaw((3, 32, 32)).shape
        ((3, 64, 64), (3, 9, 9))
        >>> JigSaw((3, 32, 32))(torch.zeros(2, 3, 32, 32, dtype=torch.uint8)).shape
        torch.Size([18, 3, 9, 9])
    """

    def __init__(
        self,
        image_shape: Shape,
        mean: tuple[float, ...] | None = None,
        std: tuple[float, ...] | None = None,
        grid: int = 3,
        scale: tuple[float, float] = (0.6, 1.0),
    ) -> None:
        if grid < 2:
            raise UserError(f"jigsaw grid: {grid} is no puzzle. Use at least 2.")
        side = min(image_shape[1:])
        self.grid = grid
        self.cell = round(side * 255 / 224 / grid)
        self.patch = round(self.cell * 64 / 85)
        if self.patch < 4:
            raise UserError(
                f"jigsaw: images of {image_shape[1]}x{image_shape[2]} pixels leave patches of "
                f"{self.patch}; below 4 px nothing can be seen. Use larger images (--image-size)."
            )
        built = BuiltViews(image_shape, mean=mean, std=std)
        self.mean, self.std = built.mean, built.std
        self.shape: Shape = (image_shape[0], self.patch, self.patch)
        """Channels, height, width of one patch."""
        self.ops = (RandomResizedCrop(scale, size=grid * self.cell), HorizontalFlip())

    def __call__(self, images: Tensor, generator: Generator | None = None) -> Tensor:
        """Patches of uint8 images (n, c, h, w): float32 (n * grid^2, c, patch, patch).

        Image by image, each with its cells row by row: patch k of image i is at i * grid^2 + k.
        """
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            unit = images.float().div_(255) if images.dtype == torch.uint8 else images.float()
            patches = self._cut(run(self.ops, unit, generator), generator)
            mean = patches.new_tensor(self.mean).view(1, -1, 1, 1)
            return patches.sub_(mean).div_(patches.new_tensor(self.std).view(1, -1, 1, 1))

    def _cut(self, crops: Tensor, generator: Generator | None) -> Tensor:
        """One patch a cell of crops (n, c, grid * cell, grid * cell), each at its own offset."""
        n, cells, device = len(crops), self.grid**2, crops.device
        room = self.cell - self.patch + 1
        drawn = uniform(2 * n * cells, 0.0, 1.0, device, generator).view(2, n, cells)
        place = torch.arange(cells, device=device)
        corner = torch.stack([place // self.grid, place % self.grid])[:, None] * self.cell
        start = (corner + torch.floor(drawn * room).long()).view(2, n * cells)
        rows, columns = start[:, :, None] + torch.arange(self.patch, device=device)
        image = torch.arange(n, device=device).repeat_interleave(cells)
        last = crops.permute(0, 2, 3, 1)  # channels at the end: each pixel is one run of memory
        found = last[image[:, None, None], rows[:, :, None], columns[:, None, :]]
        return found.permute(0, 3, 1, 2).contiguous()
