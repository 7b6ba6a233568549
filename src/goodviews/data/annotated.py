"""Photographs with a label for each pixel, in folders laid out as CamVid is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from goodviews.interfaces import UserError

VOID = 255
"""The label of pixels that belong to no class."""


@dataclass(frozen=True)
class Annotated:
    """Photographs and the class of each of their pixels.

    Args:
        pixels: uint8, shape (n, 3, h, w).
        labels: uint8, shape (n, h, w); :data:`VOID` where there is no class.
        classes: how many classes there are.
    """

    pixels: Tensor
    labels: Tensor
    classes: int


def annotated(folder: str | Path, void: int | None = None) -> tuple[Annotated, Annotated]:
    """Training and test photographs of a folder laid out as CamVid is.

    ``train/NAME.jpg`` (or .png) has its classes in ``trainannot/NAME.png``, one byte a pixel;
    likewise ``test``. A photograph without annotation is left out.

    Args:
        folder: the folder.
        void: the byte of pixels without class; None: the highest of the training annotations, as
            in CamVid, where 11 follows the classes 0 to 10.

    Raises:
        UserError: a missing folder, no pairs, sizes that differ.
    """
    parts = {split: _pairs(Path(folder), split) for split in ("train", "test")}
    empty = int(parts["train"][1].max()) if void is None else void
    found = []
    for pixels, labels in parts.values():
        ready = torch.where(labels >= empty, torch.full_like(labels, VOID), labels)
        found.append(Annotated(pixels, ready, empty))
    return found[0], found[1]


def _pairs(folder: Path, split: str) -> tuple[Tensor, Tensor]:
    """All photographs of a split as bytes (n, 3, h, w), their classes (n, h, w)."""
    for name in (split, f"{split}annot"):
        if not (folder / name).is_dir():
            raise UserError(
                f"--segmentation: {folder} has no folder {name}. Lay it out as CamVid: train, "
                "trainannot, test, testannot."
            )
    photographs, classes = [], []
    for path in sorted((folder / split).iterdir()):
        label = folder / f"{split}annot" / f"{path.stem}.png"
        if path.suffix.lower() in (".jpg", ".jpeg", ".png") and label.exists():
            photographs.append(np.asarray(Image.open(path).convert("RGB")))
            classes.append(np.asarray(Image.open(label)))
    sizes = {image.shape[:2] for image in (*photographs, *classes)}
    if len(sizes) != 1 or any(image.ndim != 2 for image in classes):
        raise UserError(
            f"--segmentation: {folder / split} holds {len(photographs)} photographs with "
            f"annotations of {len(sizes)} sizes. Give some, all of one size, one byte a pixel."
        )
    pixels = torch.from_numpy(np.stack(photographs)).permute(0, 3, 1, 2).contiguous()
    return pixels, torch.from_numpy(np.stack(classes).astype(np.uint8))
