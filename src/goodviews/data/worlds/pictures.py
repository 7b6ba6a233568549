"""Worlds of images whose shared factors are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.random import Generator

from goodviews.data.factors import factors
from goodviews.data.worlds.world import World


def factor_images(shared: Sequence[str] = ("digit",)) -> World:
    """Pairs of images of the bundled ``factors`` set that agree in the factors ``shared``.

    I = H(shared), log 10 for the digit, since the rest of each image is drawn independently (see
    :mod:`goodviews.data.factors`). The log-ratio is not known. Pixels are numbers in [0, 1].

    Args:
        shared: of "digit", "position", "background"; none shares nothing.

    Raises:
        UserError: an unknown factor, with the nearest one.

    Example:
        >>> world = factor_images(["digit"])
        >>> world.dim_x, round(world.nats, 4)
        (3072, 2.3026)
    """
    nats = factors(train=1, test=1)[0].shared_information(shared)

    def draw(n: int, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
        images, _ = factors(seed=int(rng.integers(2**31)), train=4, test=1)
        index = torch.from_numpy(rng.integers(len(images), size=n))
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        both = index, images.partners(index, shared, generator)
        x, y = (images.images(one).flatten(1).numpy() / 255.0 for one in both)
        return x, y

    width = 3 * 32 * 32
    return World(f"factor-images {'+'.join(shared)}", width, width, nats, draw, None)
