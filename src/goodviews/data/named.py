"""Sets known by name: torchvision's and Hugging Face's. Nothing is downloaded unless asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision.datasets as tv
from torch import Tensor

from goodviews.data.arrays import to_pixels
from goodviews.data.images import Images
from goodviews.data.notes import Notes
from goodviews.data.reading import Part
from goodviews.data.streamed import FileReader, ItemReader
from goodviews.interfaces import UserError

Foreign = Any
"""An object of a library that brings no types."""


@dataclass(frozen=True)
class Named:
    """How torchvision spells a set: its class, and what to call it with for train and test."""

    make: Callable[..., Any]
    train: Mapping[str, Any] = field(default_factory=lambda: {"train": True})
    test: Mapping[str, Any] | None = field(default_factory=lambda: {"train": False})


def _splits(train: str, test: str, **more: Foreign) -> dict[str, dict[str, Any]]:
    return {"train": {"split": train, **more}, "test": {"split": test, **more}}


ARRAYS: dict[str, Named] = {
    "mnist": Named(tv.MNIST),
    "fashion-mnist": Named(tv.FashionMNIST),
    "kmnist": Named(tv.KMNIST),
    "emnist": Named(
        tv.EMNIST, {"split": "balanced", "train": True}, {"split": "balanced", "train": False}
    ),
    "usps": Named(tv.USPS),
    "cifar10": Named(tv.CIFAR10),
    "cifar100": Named(tv.CIFAR100),
    "svhn": Named(tv.SVHN, **_splits("train", "test")),
    "stl10": Named(tv.STL10, **_splits("train+unlabeled", "test")),
}
"""Sets that torchvision holds in memory as one array."""

FILES: dict[str, Named] = {
    "eurosat": Named(tv.EuroSAT, {}, None),
    "dtd": Named(tv.DTD, **_splits("train", "test")),
    "flowers102": Named(tv.Flowers102, **_splits("train", "test")),
    "oxford-pets": Named(tv.OxfordIIITPet, **_splits("trainval", "test")),
    "food101": Named(tv.Food101, **_splits("train", "test")),
    "gtsrb": Named(tv.GTSRB, **_splits("train", "test")),
    "fgvc-aircraft": Named(tv.FGVCAircraft, **_splits("trainval", "test")),
    "imagenette": Named(tv.Imagenette, **_splits("train", "val", size="160px")),
    "places365": Named(tv.Places365, **_splits("train-standard", "val", small=True)),
}
"""Sets of image files; the files are read by our own reader."""


def torchvision_arrays(
    name: str, root: Path, download: bool, notes: Notes
) -> tuple[Images, Images]:
    """Read a set that torchvision holds as one array; STL-10's unlabelled part has labels -1."""
    named = ARRAYS[name]
    assert named.test is not None
    train, test = (
        _as_images(_open(name, named.make, root, download, arguments), name)
        for arguments in (named.train, named.test)
    )
    notes.modes["L" if name.endswith("mnist") or name == "usps" else "RGB"] += len(train) + len(
        test
    )
    return train, test


def torchvision_files(
    name: str, root: Path, download: bool
) -> tuple[Part, Part | None, tuple[str, ...]]:
    """List the files and labels of a set that torchvision keeps as image files."""
    named = FILES[name]
    train = _open(name, named.make, root, download, named.train)
    test = None if named.test is None else _open(name, named.make, root, download, named.test)
    first = _as_part(train)
    classes = _class_names(train, first.labels)
    return first, None if test is None else _as_part(test), classes


def hugging_face(name: str, download: bool) -> tuple[Part, Part | None, tuple[str, ...]]:
    """Open ``hf:NAME`` (or ``hf:NAME:CONFIG``), from the local cache unless ``download``.

    Raises:
        UserError: the extra is not installed, the set is not there, or it has no image column.
    """
    try:
        import datasets  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise UserError(
            f'--data: hf:{name} needs the package datasets. pip install "goodviews[hf]".'
        ) from error
    path, _, config = name.partition(":")
    found = _open_hugging_face(datasets, path, config or None, download)
    train = found["train"] if "train" in found else found[next(iter(found))]
    test = next((found[s] for s in ("test", "validation", "val", "valid") if s in found), None)
    kinds = {column: type(kind).__name__ for column, kind in train.features.items()}
    image = next((column for column, kind in kinds.items() if kind == "Image"), None)
    label = next((column for column, kind in kinds.items() if kind == "ClassLabel"), None)
    if image is None:
        raise UserError(
            f"--data: hf:{name} has no column of images (columns: "
            f"{', '.join(kinds)}). Give an image data set."
        )
    classes = tuple(train.features[label].names) if label else ()
    parts = [_item_part(part, image, label, name) for part in (train, test) if part is not None]
    return parts[0], parts[1] if test is not None else None, classes


def _open(
    name: str, make: Callable[..., Any], root: Path, download: bool, arguments: Mapping[str, Any]
) -> Foreign:
    """Open a torchvision set; one that is not there is the user's to mend."""
    try:
        try:
            return make(str(root), download=False, **arguments)
        except (RuntimeError, OSError):
            if not download:
                raise
            return make(str(root), download=True, **arguments)
    except (RuntimeError, OSError) as error:
        first = (str(error).splitlines() or ["missing"])[0]
        if download:
            raise UserError(
                f"--data: {name} could not be downloaded to {root} ({first}). "
                "Check the network and the disk, then try again."
            ) from error
        raise UserError(
            f"--data: {name} was not found in {root} (--data-root). "
            "Give the folder that holds it, or fetch it with --download."
        ) from error


def _as_images(dataset: Foreign, name: str) -> Images:
    pixels = to_pixels(np.asarray(dataset.data), name)
    raw = dataset.targets if hasattr(dataset, "targets") else dataset.labels
    labels = torch.as_tensor(np.asarray(raw)).long()
    return Images(pixels, name, labels, _class_names(dataset, labels))


def _as_part(dataset: Foreign) -> Part:
    for attribute in ("imgs", "samples", "_samples"):
        if hasattr(dataset, attribute):
            pairs = getattr(dataset, attribute)
            break
    else:
        files = dataset._image_files if hasattr(dataset, "_image_files") else dataset._images
        pairs = list(zip(files, dataset._labels, strict=True))
    reader = FileReader([Path(path) for path, _ in pairs])
    labels = torch.tensor([int(label) for _, label in pairs], dtype=torch.int64)
    return Part(reader, torch.arange(len(labels)), labels)


def _class_names(dataset: Foreign, labels: Tensor | None) -> tuple[str, ...]:
    names = getattr(dataset, "classes", None)
    count = 0 if labels is None else int(labels.max()) + 1
    if names is None or len(names) < count:
        return tuple(str(i) for i in range(count))
    return tuple(" / ".join(n) if isinstance(n, tuple) else str(n) for n in names)


def _item_part(items: Foreign, image: str, label: str | None, name: str) -> Part:
    labels = None if label is None else torch.tensor(items[label], dtype=torch.int64)
    return Part(ItemReader(items, image, f"hf:{name}"), torch.arange(len(items)), labels)


def _open_hugging_face(datasets: Foreign, path: str, config: str | None, download: bool) -> Foreign:
    """Open all splits; without ``download`` the library is kept off the network meanwhile."""
    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = before or not download
    try:
        return datasets.load_dataset(path, config)
    except Exception as error:  # the library raises its own, requests' and fsspec's
        first = (str(error).splitlines() or [type(error).__name__])[0]
        hint = "Check the name and the network." if download else "Fetch it with --download."
        raise UserError(f"--data: hf:{path} could not be opened ({first}). {hint}") from error
    finally:
        datasets.config.HF_HUB_OFFLINE = before
