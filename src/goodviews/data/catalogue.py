"""The names `--data` knows, and what to say to a name it does not know."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

DATA: dict[str, str] = {
    "factors": "bundled: handwritten digits on photographs; digit, position, background known",
    "digits": "bundled: scikit-learn's 1,797 handwritten digits at 32x32",
    "mnist": "torchvision: 70,000 handwritten digits, 28x28 grey",
    "fashion-mnist": "torchvision: 70,000 pieces of clothing, 28x28 grey",
    "kmnist": "torchvision: 70,000 Japanese characters, 28x28 grey",
    "emnist": "torchvision: 131,600 balanced letters and digits, 28x28 grey",
    "usps": "torchvision: 9,298 handwritten digits, 16x16 grey",
    "cifar10": "torchvision: 60,000 photographs in 10 classes, 32x32",
    "cifar100": "torchvision: 60,000 photographs in 100 classes, 32x32",
    "svhn": "torchvision: 99,289 house numbers, 32x32",
    "stl10": "torchvision: 5,000 labelled + 100,000 unlabelled + 8,000 test photographs, 96x96",
    "eurosat": "torchvision: 27,000 satellite images in 10 classes, 64x64",
    "dtd": "torchvision: 5,640 textures in 47 classes",
    "flowers102": "torchvision: 8,189 flowers in 102 classes",
    "oxford-pets": "torchvision: 7,349 cats and dogs in 37 breeds",
    "food101": "torchvision: 101,000 dishes in 101 classes",
    "gtsrb": "torchvision: 39,270 German traffic signs in 43 classes",
    "fgvc-aircraft": "torchvision: 10,000 aircraft in 100 variants",
    "imagenette": "torchvision: 13,394 photographs, ten easy ImageNet classes",
    "places365": "torchvision: 1.8 million photographs of 365 scenes, 256 pixels; streamed",
    "imagenet": "DATA_ROOT/imagenet/{train,val}/CLASS/*.JPEG as you fetched it; streamed",
}
"""Name -> one line. Besides these: a folder of images, an .npz file, ``hf:NAME``."""

NO_FLIP = frozenset({"factors", "digits", "mnist", "kmnist", "emnist", "usps", "svhn", "gtsrb"})
"""Sets of characters and signs: mirrored, they mean something else or nothing."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return "Did you mean X? " for the known name closest to ``name``, or "" when none is close.

    Example:
        >>> did_you_mean("cifar-10", DATA)
        'Did you mean cifar10? '
    """
    close = difflib.get_close_matches(name.lower(), list(known), n=1)
    return f"Did you mean {close[0]}? " if close else ""
