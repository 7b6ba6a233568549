"""Families: one dial each, all else fixed, so that a sweep changes only what the views share.

``family.recipe(value, image_shape)`` gives the candidate recipe: the usual recipe with this
family's op set to the value (augmentations), a mild shared crop and flip before the cut (splits),
or untouched images paired by the factors they share. Values run from the pair that is expected to
share the most to the one that shares the least; names (colour spaces, halves) have no such order.
"""

from __future__ import annotations

import dataclasses

from goodviews.interfaces import Shape
from goodviews.views import geometric_ops, pixel_ops
from goodviews.views.family import Family, Value, jitter, patch_size, usual_recipe
from goodviews.views.ops import Op
from goodviews.views.rand_augment import RandAugment
from goodviews.views.splits import Channels, ColorSpace, Frequency, Halves, Patches, Split

__all__ = ["FAMILIES", "Family", "usual_recipe"]


def _crop(value: Value, shape: Shape, now: Op | None) -> Op | None:
    low = float(value)
    if low >= 1:
        return None
    if isinstance(now, geometric_ops.RandomResizedCrop):
        return dataclasses.replace(now, scale=(low, 1.0))
    return geometric_ops.RandomResizedCrop((low, 1.0))


def _color_jitter(value: Value, shape: Shape, now: Op | None) -> Op | None:
    p = now.p if isinstance(now, pixel_ops.ColorJitter) else 0.8
    return jitter(float(value), p) if float(value) else None


def _grey(value: Value, shape: Shape, now: Op | None) -> Op | None:
    return pixel_ops.Greyscale(float(value)) if float(value) else None


def _blur(value: Value, shape: Shape, now: Op | None) -> Op | None:
    p = now.p if isinstance(now, pixel_ops.Blur) else 0.5
    sigma = float(value)
    return pixel_ops.Blur((min(0.1, sigma), sigma), p) if sigma else None


def _occlusion(value: Value, shape: Shape, now: Op | None) -> Op | None:
    part, aspect = float(value), shape[2] / shape[1]
    return pixel_ops.Erase((part, part), (aspect, aspect)) if part else None


def _rotation(value: Value, shape: Shape, now: Op | None) -> Op | None:
    return geometric_ops.Rotate(float(value)) if float(value) else None


def _noise(value: Value, shape: Shape, now: Op | None) -> Op | None:
    return pixel_ops.Noise(float(value)) if float(value) else None


def _rand_augment(value: Value, shape: Shape, now: Op | None) -> Op | None:
    p = float(value)
    if isinstance(now, RandAugment):
        return dataclasses.replace(now, p=p) if p else None
    return RandAugment(p=p) if p else None


def _patches(value: Value, shape: Shape, now: Op | None) -> Split:
    return Patches(patch_size(shape), int(float(value)))


_LIST = [
    Family(
        "crop-scale",
        "Crop scale",
        "Random resized crops of at least this part of the image's area.",
        "lower area bound",
        "fraction",
        (1.0, 0.7, 0.4, 0.2, 0.1, 0.05),
        "up",
        _crop,
        "random_resized_crop",
    ),
    Family(
        "color-jitter",
        "Colour jitter",
        "Brightness, contrast, saturation and hue jittered by x * (0.8, 0.8, 0.8, 0.2).",
        "strength x",
        "x",
        (0.0, 0.125, 0.25, 0.5, 1.0, 1.5, 2.0),
        "down",
        _color_jitter,
        "color_jitter",
    ),
    Family(
        "grey",
        "Greyscale",
        "Colour taken away with this probability.",
        "probability",
        "fraction",
        (0.0, 0.1, 0.2, 0.4, 0.6, 0.8),
        "down",
        _grey,
        "greyscale",
    ),
    Family(
        "blur",
        "Blur",
        "Gaussian blur up to this sigma, on every second view.",
        "largest sigma",
        "px",
        (0.0, 0.5, 1.0, 1.5, 2.0, 3.0),
        "down",
        _blur,
        "blur",
    ),
    Family(
        "occlusion",
        "Occlusion",
        "A box that hides this part of the image's area.",
        "hidden area",
        "fraction",
        (0.0, 0.1, 0.2, 0.35, 0.5, 0.7),
        "down",
        _occlusion,
        "erase",
    ),
    Family(
        "rotation",
        "Rotation",
        "Turned by an angle of up to this many degrees either way.",
        "largest angle",
        "degrees",
        (0.0, 15.0, 30.0, 60.0, 90.0, 180.0),
        "down",
        _rotation,
        "rotate",
    ),
    Family(
        "noise",
        "Noise",
        "Gaussian noise of this standard deviation (image range 1).",
        "std",
        "of image range",
        (0.0, 0.05, 0.1, 0.2, 0.4, 0.8),
        "down",
        _noise,
        "noise",
    ),
    Family(
        "rand-augment",
        "RandAugment",
        "Two ops at their strongest, drawn of 15, each applied with this probability.",
        "probability",
        "fraction",
        (0.0, 0.25, 0.5, 0.75, 1.0),
        "down",
        _rand_augment,
        "rand_augment",
    ),
    Family(
        "color-space",
        "Colour-space split",
        "First channel of a colour space against the other two.",
        "space",
        "",
        ("rgb", "xyz", "hsv", "yuv", "yiq", "ycbcr", "ydbdr", "lab"),
        "none",
        lambda value, shape, now: ColorSpace(str(value)),
    ),
    Family(
        "channels",
        "Channel split",
        "One of red, green, blue against the other two.",
        "channels",
        "",
        ("G|RB", "R|GB", "B|RG"),
        "none",
        lambda value, shape, now: Channels(str(value)),
    ),
    Family(
        "frequency",
        "Frequency split",
        "Low frequencies blur(x, sigma) against the rest, x - blur.",
        "sigma",
        "px",
        (0.3, 0.5, 0.7, 1.0, 1.5, 2.5, 4.0),
        "peak",
        lambda value, shape, now: Frequency(float(value)),
    ),
    Family(
        "patch-distance",
        "Patch distance",
        "Two patches of one image, this far apart diagonally.",
        "distance",
        "px",
        (0.1, 0.25, 0.4, 0.55, 0.7, 0.85),
        "down",
        _patches,
    ),
    Family(
        "halves",
        "Halves",
        "One half of the image against the other.",
        "direction",
        "",
        ("horizontal", "vertical"),
        "none",
        lambda value, shape, now: Halves(str(value)),
    ),
    Family(
        "shared-factors",
        "Shared factors",
        "The second view is another image that agrees in these factors only.",
        "factors",
        "",
        (),
        "none",
        lambda value, shape, now: None,
    ),
]

FAMILIES: dict[str, Family] = {family.name: family for family in _LIST}
