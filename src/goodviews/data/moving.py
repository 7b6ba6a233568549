"""Colorful Moving-MNIST: a digit moves over a photograph; clips, partner images, known factors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from sklearn.datasets import load_sample_images
from torch import Generator, Tensor
from torch.nn.functional import interpolate

from goodviews.data.images import Images
from goodviews.information import label_entropy
from goodviews.interfaces import UserError, check_name

FACTORS = ("digit", "position", "background")
"""What a clip and its partner may share (Tian et al. 2020, section 4.2)."""

AGREEMENTS: dict[str, tuple[str, ...]] = {
    "digit": ("class", "image"),
    "background": ("crop", "image", "class"),
}
"""Factor -> what it can mean that two views agree in it; the first is the default."""

SOURCE = 96
"""Side of the photographs that the paper cuts; others are cut in proportion."""


class Scenes(NamedTuple):
    """Everything that the pixels of n clips of f frames are a function of."""

    digit: Tensor
    """int64, (n,): places among the digits."""
    background: Tensor
    """int64, (n,): places among the photographs."""
    corner: Tensor
    """int64, (n, 2): row and column where the background is cut out of its photograph."""
    place: Tensor
    """int64, (n, f, 2): row and column of the digit's top left pixel in each frame."""


class Still(NamedTuple):
    """Single images with their factors."""

    images: Tensor
    """uint8, (n, 3, side, side)."""
    factors: Mapping[str, Tensor]
    """"digit" and "background": int64, (n,); "position": float, (n, 2), the digit's centre as
    row and column in pixels."""


class MovingDigits:
    r"""Clips of a digit that moves over a photograph, drawn anew from a generator at each call.

    .. math::
        p_t = \mathrm{fold}(p_0 + t\, s\, (\sin\varphi, \cos\varphi)), \quad
        p_0 \sim U[0, L)^2, \; \varphi \sim U[0, 2\pi)

    with s = speed * side pixels a frame and L = side - (digit's side) + 1; fold reflects at both
    borders, and the digit is painted white at the pixel below :math:`p_t`. The place in any frame
    is uniform over the :math:`L^2` pixels. One crop of one photograph lies behind all frames.

    Arguments:
        digits: labelled images of grey strokes on black; their first channel is read.
        backgrounds: labelled photographs; unlabelled ones are left out.
        frames: the frames that a clip shows; the paper's are 1 ... 10.
        target: t, the frame that a partner agrees with.
        side: of the canvas, pixels.
        speed: of the digit, canvases a frame.
        brightness: that photographs are multiplied by, in (0, 1]: the darker, the easier a small
            network finds the white digit.
        agree: factor -> what sharing it means, of :data:`AGREEMENTS`; None: the defaults, which
            are another image of the same digit, and the same crop of the same photograph.

    Raises:
        UserError: no labels, digits larger than the canvas, unknown ways to agree.

    References:
        Tian et al. 2020, section 4.2 and appendix ("Colorful Moving-MNIST").

    Example:
        >>> from goodviews.data import load
        >>> digits = load("digits", image_size=28)
        >>> world = MovingDigits(digits.train, photographs()[0])
        >>> clips, partners = world.pairs(4, ["digit"], torch.Generator().manual_seed(0))
        >>> clips.shape, partners.shape, round(world.shared_entropy(["digit", "position"]), 2)
        (torch.Size([4, 10, 3, 64, 64]), torch.Size([4, 3, 64, 64]), 9.52)
    """

    def __init__(
        self,
        digits: Images,
        backgrounds: Images,
        *,
        frames: Sequence[int] = range(1, 11),
        target: int = 20,
        side: int = 64,
        speed: float = 0.1,
        brightness: float = 1.0,
        agree: Mapping[str, str] | None = None,
    ) -> None:
        if len(frames) < 1:
            raise UserError("frames: none. Name one or more, for example range(1, 11).")
        self.digits, self.backgrounds = (_labelled(x) for x in (digits, backgrounds))
        self.frames, self.target = tuple(frames), target
        self.side, self.speed, self.brightness = side, speed, brightness
        if not 0 < brightness <= 1:
            raise UserError(f"brightness: {brightness} is not in (0, 1]. Use 1 for none.")
        self.agree = {factor: ways[0] for factor, ways in AGREEMENTS.items()} | dict(agree or {})
        for factor, way in self.agree.items():
            check_name("agree", factor, AGREEMENTS)
            check_name(f"agree: {factor}", way, AGREEMENTS[factor])
        self.glyph = max(digits.shape[1:])
        self.room = side - self.glyph + 1
        if self.room < 1:
            raise UserError(f"side: {side} pixels hold no digit of {self.glyph}. Use a larger one.")
        height, width = backgrounds.shape[1:]
        self.cut = min(height, width, math.ceil(side * min(height, width) / SOURCE))
        self.corners = (height - self.cut + 1, width - self.cut + 1)

    # --- drawing

    def draw(self, n: int, generator: Generator | None = None) -> Scenes:
        """Scenes of the clip's frames and, last, frame t: factors uniform and independent."""
        start = self.room * torch.rand(n, 1, 2, dtype=torch.float64, generator=generator)
        angle = 2 * math.pi * torch.rand(n, 1, 1, dtype=torch.float64, generator=generator)
        times = torch.tensor([*self.frames, self.target]).view(1, -1, 1)
        step = self.speed * self.side * torch.cat([angle.sin(), angle.cos()], 2)
        place = reflected(start + times * step, self.room).long().clamp(max=self.room - 1)
        digit = torch.randint(len(self.digits), (n,), generator=generator)
        background = torch.randint(len(self.backgrounds), (n,), generator=generator)
        return Scenes(digit, background, self._corner(n, generator), place)

    def partners(
        self, scenes: Scenes, shared: Sequence[str], generator: Generator | None = None
    ) -> Scenes:
        """Scenes of one frame that agree with the last frame of ``scenes`` in ``shared``.

        The other factors are drawn anew: given the shared ones the two are independent.

        Raises:
            UserError: an unknown factor.
        """
        for factor in shared:
            check_name("shared", factor, FACTORS)
        n, own = len(scenes.digit), self.draw(len(scenes.digit), generator)
        digit, background, corner, place = own[0], own[1], own[2], own[3][:, -1:]
        if "digit" in shared:
            same = self.agree["digit"] == "image"
            digit = scenes.digit if same else _fellow(self.digits, scenes.digit, generator)
        if "position" in shared:
            place = scenes.place[:, -1:]
        if "background" in shared:
            way = self.agree["background"]
            background = scenes.background
            if way == "class":
                background = _fellow(self.backgrounds, background, generator)
            corner = scenes.corner if way == "crop" else self._corner(n, generator)
        return Scenes(digit, background, corner, place)

    def _corner(self, n: int, generator: Generator | None) -> Tensor:
        """Where backgrounds are cut, int64 (n, 2)."""
        rows, columns = (torch.randint(c, (n,), generator=generator) for c in self.corners)
        return torch.stack([rows, columns], 1)

    # --- painting

    def paint(self, scenes: Scenes) -> Tensor:
        """The pixels of scenes: uint8, (n, f, 3, side, side)."""
        n, frames = scenes.place.shape[:2]
        ground = self._ground(scenes.background, scenes.corner)  # (n, side, side, 3)
        canvas = (
            ground[:, None].expand(-1, frames, -1, -1, -1).reshape(n * frames, *ground.shape[1:])
        )
        stroke = self.digits.pixels[scenes.digit, 0].float()[..., None] / 255
        stroke = stroke[:, None].expand(-1, frames, -1, -1, -1).flatten(0, 1)
        line = torch.arange(self.glyph)
        rows, columns = ((p[:, None] + line) for p in scenes.place.flatten(0, 1).unbind(1))
        where = (torch.arange(n * frames)[:, None, None], rows[:, :, None], columns[:, None, :])
        behind = canvas[where].float()
        canvas[where] = (behind + stroke * (255 - behind)).round().byte()
        return canvas.permute(0, 3, 1, 2).unflatten(0, (n, frames))

    def _ground(self, background: Tensor, corner: Tensor) -> Tensor:
        """Crops of photographs at the canvas' size: uint8, (n, side, side, 3)."""
        line = torch.arange(self.cut)
        rows, columns = ((c[:, None] + line) for c in corner.unbind(1))
        photo = background[:, None, None], slice(None), rows[:, :, None], columns[:, None, :]
        crops = self.backgrounds.pixels[photo].permute(0, 3, 1, 2)  # (n, 3, cut, cut)
        size = (self.side, self.side)
        if self.cut != self.side:
            crops = interpolate(crops.float(), size, mode="bilinear", antialias=True)
        if self.brightness < 1:
            crops = crops * self.brightness
        return (crops.round().byte() if crops.is_floating_point() else crops).permute(0, 2, 3, 1)

    # --- what is used

    def pairs(
        self, n: int, shared: Sequence[str], generator: Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw n clips and their partners.

        Args:
            n: how many.
            shared: of :data:`FACTORS`, what clip and partner agree in.
            generator: on the CPU; None is the global one.

        Returns:
            Clips, uint8 (n, f, 3, side, side), and images that agree with frame t of the clip in
            ``shared``, uint8 (n, 3, side, side).
        """
        scenes = self.draw(n, generator)
        partners = self.partners(scenes, shared, generator)
        clips = self.paint(scenes._replace(place=scenes.place[:, :-1]))
        return clips, self.paint(partners)[:, 0]

    def stills(self, n: int, generator: Generator | None = None) -> Still:
        """Draw n single images, all factors independent, and tell what is on them."""
        scenes = self.draw(n, generator)
        scenes = scenes._replace(place=scenes.place[:, -1:])
        parts = [Scenes(*part) for part in zip(*(x.split(1024) for x in scenes), strict=True)]
        images = torch.cat([self.paint(part)[:, 0] for part in parts])
        assert self.digits.labels is not None and self.backgrounds.labels is not None
        factors = {
            "digit": self.digits.labels[scenes.digit],
            "position": scenes.place[:, 0].float() + (self.glyph - 1) / 2,
            "background": self.backgrounds.labels[scenes.background],
        }
        return Still(images, factors)

    def shared_entropy(self, shared: Sequence[str]) -> float:
        """H(s) of the shared factors, nats: I(v1;v2) <= H(s), as partners are independent given s.

        It is I(v1;v2) itself as far as each view shows s. Frame t's place is not in the clip: it
        must be told from the motion, so with "position" I(v1;v2) is somewhat below H(s).
        """
        photos = len(self.backgrounds)
        nats = {
            ("digit", "image"): math.log(len(self.digits)),
            ("digit", "class"): _class_entropy(self.digits),
            ("background", "crop"): math.log(photos * self.corners[0] * self.corners[1]),
            ("background", "image"): math.log(photos),
            ("background", "class"): _class_entropy(self.backgrounds),
            ("position", ""): 2 * math.log(self.room),
        }
        for factor in shared:
            check_name("shared", factor, FACTORS)
        return math.fsum(nats[factor, self.agree.get(factor, "")] for factor in shared)


def reflected(position: Tensor, length: float) -> Tensor:
    """A straight path that is reflected at 0 and at ``length``: a triangle wave.

    Example:
        >>> reflected(torch.tensor([-1.0, 3.0, 11.0, 21.0]), 10.0).tolist()
        [1.0, 3.0, 9.0, 1.0]
    """
    phase = position.remainder(2 * length)
    return torch.minimum(phase, 2 * length - phase)


def photographs() -> tuple[Images, Images]:
    """Tiles of 96x96 pixels of the two photographs that ship with scikit-learn, as backgrounds.

    The label is the photograph (china, flower). Tiles do not overlap; every fourth is a test tile.

    Example:
        >>> photographs()
        (Images(photographs: 36 x 3x96x96), Images(photographs: 12 x 3x96x96))
    """
    tiles, labels = [], []
    for label, photo in enumerate(load_sample_images().images):
        pixels = torch.from_numpy(np.array(photo)).permute(2, 0, 1)
        tiles += [tile for row in pixels.split(SOURCE, 1)[:4] for tile in row.split(SOURCE, 2)[:6]]
        labels += [label] * 24
    every = Images(
        torch.stack(tiles), "photographs", torch.tensor(labels), classes=("china", "flower")
    )
    test = torch.arange(len(tiles)) % 4 == 3
    return every.subset((~test).nonzero()[:, 0]), every.subset(test.nonzero()[:, 0])


def _labelled(images: Images) -> Images:
    """The images that have a label."""
    if images.labels is None or not bool((images.labels >= 0).any()):
        raise UserError(f"moving digits: {images.name} has no labels. Give a labelled set.")
    return images.subset((images.labels >= 0).nonzero()[:, 0])


def _fellow(images: Images, index: Tensor, generator: Generator | None) -> Tensor:
    """Another image of the same class for each."""
    return images.partners(index, ["label"], generator)


def _class_entropy(images: Images) -> float:
    assert images.labels is not None
    return float(label_entropy(images.labels.numpy()))
