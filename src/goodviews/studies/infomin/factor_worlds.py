"""Data whose factors are known, as pairs that share some of them, and what a network reads there.

Three factors: the digit, its position, the background.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Generator, Tensor, nn

from goodviews.data import Images, load
from goodviews.data.factors import factors
from goodviews.data.moving import FACTORS, MovingDigits, Still, photographs
from goodviews.evaluation.features import device_of
from goodviews.evaluation.probes import linear_probe
from goodviews.interfaces import Shape, UserError
from goodviews.layers import evaluating
from goodviews.studies.drawing import GAP, LINE, SIDE, Sheet

MOVING, BUNDLED, STATIC = "moving-mnist", "moving-digits", "factors"
WORLDS = (MOVING, BUNDLED, STATIC)
ERRORS = {factor: f"{factor}_error" for factor in FACTORS}
"""Factor -> the measure of its read-out: a fraction of images, or pixels."""
PENALTY = 1e-3
"""Of the ridge regression, as a share of the number of images, on standardised features."""


class Pairs(Protocol):
    """One split of a world."""

    def pairs(
        self, n: int, shared: Sequence[str], generator: Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Two views of n things that agree in ``shared``, uint8."""
        ...

    def stills(self, n: int, generator: Generator | None = None) -> Still:
        """Images with all factors independent, and what is on them."""
        ...

    def shared_entropy(self, shared: Sequence[str]) -> float:
        """H of the shared factors in nats: the most that a pair shares."""
        ...


class StaticPairs:
    """Pairs of images of the bundled set ``factors``: 10 digits, 9 positions, 20 backgrounds.

    Arguments:
        images: one split of :func:`goodviews.data.factors.factors`.

    Example:
        >>> split = StaticPairs(factors(train=1, test=1)[0])
        >>> round(split.shared_entropy(["digit", "position"]), 4)
        4.4998
    """

    def __init__(self, images: Images) -> None:
        self.source = images

    def pairs(
        self, n: int, shared: Sequence[str], generator: Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Images, and others that agree with them in ``shared`` and else are random."""
        index = torch.randint(len(self.source), (n,), generator=generator)
        partners = self.source.partners(index, shared, generator)
        return self.source.images(index), self.source.images(partners)

    def stills(self, n: int, generator: Generator | None = None) -> Still:
        """Images drawn at random, at most all; the position is the digit's centre in pixels."""
        index = torch.randperm(len(self.source), generator=generator)[:n]
        known = {name: values[index] for name, values in self.source.factors.items()}
        place = known["position"]
        centre = torch.stack([place // 3, place % 3], 1) * 8 + 7.5
        return Still(self.source.images(index), known | {"position": centre})

    def shared_entropy(self, shared: Sequence[str]) -> float:
        """I(v1;v2) of such pairs, nats."""
        return self.source.shared_information(shared)


@dataclass(frozen=True)
class World:
    """Train and test pairs; digits' handwriting is never in both."""

    name: str
    train: Pairs
    test: Pairs
    shape: Shape
    still: bool = False
    """Whether the first view is an image too, not a clip."""
    easy: tuple[str, ...] = ()
    """Factors that any network tells, trained or not: nothing is claimed of them."""
    report: dict[str, Any] = field(default_factory=dict)


def open_world(
    data: str,
    backgrounds: str | None,
    frames: Sequence[int],
    agree: Mapping[str, str],
    target: int = 20,
    brightness: float = 1.0,
    **reading: Any,
) -> World:
    """The world of a name.

    Args:
        data: of :data:`WORLDS`.
        backgrounds: labelled images, see :func:`goodviews.data.load`; None: the two photographs
            that are bundled.
        frames: that a clip shows.
        agree: see :class:`goodviews.data.moving.MovingDigits`.
        target: the frame that an image agrees with.
        brightness: of the photographs.
        reading: data_root, download, strict, max_images of :func:`goodviews.data.load`.

    Raises:
        UserError: an unknown name, or data that cannot be read or used.
    """
    if data == STATIC:
        if backgrounds is not None:
            raise UserError(f"--backgrounds: {STATIC} brings its own. Leave it out.")
        first, second = factors()
        report = {"images": [len(first), len(second)]}
        splits = StaticPairs(first), StaticPairs(second)
        return World(data, *splits, first.shape, True, ("background",), report)
    if data not in WORLDS:
        raise UserError(
            f"--data: {data} has no known factors. Use {MOVING}, {BUNDLED} or {STATIC}; the "
            "photographs behind the digits are chosen by --backgrounds."
        )
    if data == MOVING and reading.get("data_root") is None:
        raise UserError(
            f"--data: {MOVING} needs --data-root, the folder that holds MNIST or that --download "
            f"may fill. Or use {BUNDLED}, whose digits are bundled."
        )
    digits = load("mnist" if data == MOVING else "digits", image_size=28, **reading)
    pictures = photographs()
    if backgrounds is not None:
        found = load(backgrounds, **reading)
        pictures = _in_memory(found.train), _in_memory(found.test)
    how: dict[str, Any] = {"frames": frames, "target": target, "brightness": brightness}
    films = [
        MovingDigits(_in_memory(part), behind, agree=agree, **how)
        for part, behind in zip((digits.train, digits.test), pictures, strict=True)
    ]
    known: dict[str, Any] = {
        "digits": [len(part.digits) for part in films],
        "backgrounds": pictures[0].name,
        "photographs": [len(part.backgrounds) for part in films],
        "background classes": len(pictures[0].classes),
        "frames": list(frames),
        "brightness of the photographs": brightness,
        "frame that the partner agrees with": films[0].target,
        **{f"sharing the {factor}": way for factor, way in films[0].agree.items()},
    }
    shape = (3, films[0].side, films[0].side)
    return World(data, films[0], films[1], shape, report=known)


def _in_memory(source: Any) -> Images:
    if not isinstance(source, Images):
        raise UserError(f"--backgrounds: {source.name} is too large for memory. Use --max-images.")
    return source


@dataclass(frozen=True)
class Readings:
    """The images that all networks are read out on: the same for every arm and seed."""

    train: Still
    test: Still

    @classmethod
    def of(cls, world: World, count: int) -> Readings:
        """So many training images, and half as many held-out ones."""
        draws = [Generator().manual_seed(seed) for seed in (1, 2)]
        return cls(world.train.stills(count, draws[0]), world.test.stills(count // 2, draws[1]))

    def errors(self, network: nn.Module) -> dict[str, float]:
        """What linear readers of the frozen network get wrong on held-out images.

        Digit and background: the share of images that logistic regression gets wrong. Position:
        the mean distance in pixels, ridge regression.

        Args:
            network: uint8 images (n, c, h, w) -> features (n, D).
        """
        device = device_of(network)
        with evaluating(network), torch.no_grad():
            x, test_x = (
                torch.cat([network(x.to(device)).float().cpu() for x in still.images.split(500)])
                for still in (self.train, self.test)
            )
        return self.read(x, test_x)

    def read(self, x: Tensor, test_x: Tensor) -> dict[str, float]:
        """:meth:`errors` of features (n, D) of the training and the held-out images."""
        found = {}
        for factor in FACTORS:
            y, test_y = self.train.factors[factor], self.test.factors[factor]
            if factor == "position":
                told = ridge(x, y, test_x, PENALTY)
                found[ERRORS[factor]] = float((told - test_y).norm(dim=1).mean())
            else:
                found[ERRORS[factor]] = 1 - linear_probe(x, y, test_x, test_y).accuracy
        return found

    def constant(self) -> dict[str, float]:
        """The same of the best constant answer: the commonest class, the mean position."""
        found = {}
        for factor in FACTORS:
            y, test_y = self.train.factors[factor], self.test.factors[factor]
            if factor == "position":
                found[ERRORS[factor]] = float((test_y - y.mean(0)).norm(dim=1).mean())
            else:
                found[ERRORS[factor]] = float((test_y != y.bincount().argmax()).double().mean())
        return found


def ridge(x: Tensor, y: Tensor, test_x: Tensor, penalty: float) -> Tensor:
    r"""Predict y (n, q) linearly from features x (n, D), standardised on x.

    Minimises ``|y - m - z W|^2 + penalty n |W|^2`` with z the standardised features and m the
    mean of y, in float64.

    Example:
        >>> x = torch.arange(4.0)[:, None]
        >>> ridge(x, 2 * x, torch.tensor([[10.0]]), 0.0)
        tensor([[20.]])
    """
    mean, scale = x.double().mean(0), x.double().std(0, correction=0).clamp_min(1e-9)
    z, test_z = (x.double() - mean) / scale, (test_x.double() - mean) / scale
    centre = y.double().mean(0)
    gram = z.T @ z + penalty * len(z) * torch.eye(z.shape[1], dtype=torch.float64)
    weights = torch.linalg.lstsq(gram, z.T @ (y.double() - centre)).solution
    return (test_z @ weights + centre).float()


def contact_sheet(world: World, arms: Mapping[str, Sequence[str]], pairs: int = 2) -> Sheet:
    """Clips and partners of each arm: some frames of the clip, a gap, the partner image.

    Args:
        world: whose held-out pairs are shown.
        arms: name -> what is shared.
        pairs: of each arm.
    """
    drawn = {
        name: world.test.pairs(pairs, shared, Generator().manual_seed(number))
        for number, (name, shared) in enumerate(arms.items())
    }
    films = {name: v1 if v1.dim() == 5 else v1[:, None] for name, (v1, _) in drawn.items()}
    count = films[next(iter(films))].shape[1]
    shown = sorted({round(i * (count - 1) / 3) for i in range(4)})
    step = SIDE + GAP
    sheet = Sheet((len(shown) + 1) * step + 3 * GAP, len(drawn) * (pairs * step + LINE) + GAP)
    y = GAP
    for name, (_, partners) in drawn.items():
        sheet.words(f"shared: {name.replace('+', ', ')}", GAP, y)
        y += LINE
        for film, partner in zip(films[name], partners, strict=True):
            for place, frame in enumerate(shown):
                sheet.tile(film[frame].float() / 255, GAP + place * step, y)
            sheet.tile(partner.float() / 255, 3 * GAP + len(shown) * step, y)
            y += step
    return sheet
