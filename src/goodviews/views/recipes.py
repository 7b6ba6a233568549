"""Recipes: named, strict, saved as YAML; ``recipe.build(image_shape)`` makes the views.

``shared`` ops are drawn once an image, before both views (with partners: once for each of the two
images); ``ops`` are drawn anew for each view, and ``second`` replaces them for view 2. A ``split``
cuts both views from one image. With ``partners`` the second view is made of another image that
agrees in these factors.

Augmentations A to E of InfoMin's code (Tian et al. 2020): A ``instdis`` (PIRL too) and ``moco``,
B ``moco-v2``, C ``cmc``, D ``infomin``, E ``cmc-v2``; crops have an area of at least 0.08 with a
memory bank and 0.2 with MoCo. PIRL's and InfoMin's third input is
:class:`goodviews.views.JigSaw`. Two things differ from that code: blurs reach over a tenth of the
image (23 pixels of 224; B's has no end there), and the channels of ``cmc`` are standardised to unit
deviation (there by deviations of 0.500, 1.331, 1.333, which leaves Db and Dr at about 0.1).
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from goodviews.files import write_text
from goodviews.interfaces import Shape, UserError
from goodviews.views import geometric_ops, pixel_ops
from goodviews.views.learned import Learned, located
from goodviews.views.ops import Op
from goodviews.views.pairs import BuiltViews
from goodviews.views.rand_augment import RandAugment
from goodviews.views.splits import SPLITS, Split

__all__ = ["OPS", "RECIPES", "Recipe", "recipe_warnings"]

OPS: dict[str, type[Op]] = {
    op.name: op
    for op in (
        geometric_ops.RandomResizedCrop,
        geometric_ops.Resize,
        geometric_ops.HorizontalFlip,
        geometric_ops.VerticalFlip,
        geometric_ops.Translate,
        geometric_ops.Rotate,
        pixel_ops.ColorJitter,
        pixel_ops.Greyscale,
        pixel_ops.Solarise,
        pixel_ops.Blur,
        RandAugment,
        pixel_ops.Noise,
        pixel_ops.Erase,
    )
}


def not_known(thing: str, name: object, known: Iterable[str]) -> UserError:
    """The error of a name that is not known, with the nearest one that is."""
    names = list(known)
    close = difflib.get_close_matches(str(name), names, 1)
    guess = f"Did you mean {close[0]!r}? " if close else ""
    return UserError(f"{thing}: {name!r} is unknown. {guess}Known: {', '.join(names)}.")


def read_recipe(source: str | Path, known: Iterable[str]) -> Any:
    """The plain data of a recipe's file.

    Raises:
        UserError: neither a file nor a name of ``known``; a file that is no YAML.
    """
    path = Path(source)
    if path.suffix not in (".yaml", ".yml", ".json") and not path.is_file():
        raise not_known("--views", str(source), known)
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"--views: {source} does not exist. Check the path.") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = f"--views: {source} cannot be read ({error}). Give a YAML file."
        raise UserError(reason) from None
    except yaml.YAMLError as error:
        line = " ".join(str(error).split())
        raise UserError(f"--views: {source} is not valid YAML ({line}). Mend it.") from None


def part_of(kind: str, catalogue: Mapping[str, type[Any]], entry: object) -> Any:
    """An op or split from ``name`` or ``{name: {key: value}}``."""
    if isinstance(entry, str):
        entry = {entry: {}}
    if not isinstance(entry, Mapping) or len(entry) != 1:
        raise UserError(
            f"{kind}: {entry!r} is not one name with its settings. "
            "Write for example `- random_resized_crop: {scale: [0.2, 1.0]}`."
        )
    ((name, settings),) = entry.items()
    if name not in catalogue:
        raise not_known(kind, name, catalogue)
    if settings is not None and not isinstance(settings, Mapping):
        raise UserError(f"{name}: {settings!r} is no mapping. Write `{name}: {{key: value}}`.")
    fields = [field.name for field in dataclasses.fields(catalogue[name])]
    for key in settings or {}:
        if key not in fields:
            raise not_known(f"{name} setting", key, fields)
    values = {key: _tuples(value) for key, value in (settings or {}).items()}
    try:
        return catalogue[name](**values)
    except UserError:
        raise
    except (TypeError, ValueError) as error:
        raise UserError(f"{name}: {settings!r} does not fit. {error}.") from error


def _tuples(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _plain(part: Op | Split) -> dict[str, Any]:
    """The settings that differ from the defaults, as YAML knows them."""
    settings = {}
    for field in dataclasses.fields(part):  # type: ignore[arg-type]
        value = getattr(part, field.name)
        if value != field.default:
            settings[field.name] = list(value) if isinstance(value, tuple) else value
    return {part.name: settings}


@dataclass(frozen=True)
class Recipe:
    """How two views are made of an image.

    Args:
        name: What tables call it.
        size: Side of the views in pixels; ``None`` keeps the images' size.
        shared: Ops drawn once for both views.
        ops: Ops drawn for each view.
        second: Ops of view 2 when they differ.
        split: A cut that makes the two views of one image.
        partners: Factors that an image and its partner share; v2 is made of the partner.
        mean: Channel means taken off at the end; default ImageNet's (0.45 for grey).
        std: Channel deviations divided by at the end.

    Example:
        >>> Recipe.load("simclr").ops[0].name
        'random_resized_crop'
    """

    name: str = "custom"
    size: int | None = None
    shared: tuple[Op, ...] = ()
    ops: tuple[Op, ...] = ()
    second: tuple[Op, ...] | None = None
    split: Split | None = None
    partners: tuple[str, ...] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Recipe:
        """A recipe from plain data; unknown keys raise UserError with the nearest known one."""
        if not isinstance(data, Mapping):
            raise UserError(f"recipe: {data!r} is no mapping. Start from `goodviews list views`.")
        keys = [field.name for field in dataclasses.fields(cls)]
        for key in data:
            if key not in keys:
                raise not_known("recipe key", key, keys)
        ready: dict[str, Any] = {key: _tuples(value) for key, value in data.items()}
        for key in ("shared", "ops", "second"):
            entries = data.get(key)
            if entries is None:
                ready.pop(key, None)
                continue
            if isinstance(entries, (str, Mapping)) or not isinstance(entries, Sequence):
                raise UserError(f"recipe {key}: {entries!r} is no list. Put a `-` before each op.")
            ready[key] = tuple(part_of("op", OPS, entry) for entry in entries)
        if data.get("split") is not None:
            ready["split"] = part_of("split", {**SPLITS, "learned": Learned}, data["split"])
        if isinstance(data.get("partners"), str):
            ready["partners"] = (data["partners"],)
        _check_plain(ready)
        return cls(**ready)

    def to_dict(self) -> dict[str, Any]:
        """Plain data that :meth:`from_dict` reads back; defaults are left out."""
        plain: dict[str, Any] = {"name": self.name}
        if self.size is not None:
            plain["size"] = self.size
        for key in ("shared", "ops", "second"):
            chain = getattr(self, key)
            if chain or (key == "second" and chain is not None):
                plain[key] = [_plain(op) for op in chain]
        if self.split is not None:
            plain["split"] = _plain(self.split)
        for key in ("partners", "mean", "std"):
            if getattr(self, key) is not None:
                plain[key] = list(getattr(self, key))
        return plain

    @classmethod
    def load(cls, source: str | Path | Mapping[str, Any] | Recipe) -> Recipe:
        """A recipe by catalogue name, from a YAML file, or from plain data."""
        if isinstance(source, Recipe):
            return source
        if isinstance(source, Mapping):
            return cls.from_dict(source)
        known = str(source).lower().replace("_", "-")
        if known in RECIPES:
            return RECIPES[known]
        return cls.from_dict(located(read_recipe(source, RECIPES), Path(source).parent))

    def save(self, path: str | Path) -> None:
        """Write the recipe as YAML, atomically."""
        text = yaml.safe_dump(self.to_dict(), sort_keys=False, default_flow_style=None)
        write_text(path, text)

    def build(self, image_shape: Shape) -> BuiltViews:
        """The views for images of ``image_shape`` (c, h, w).

        Raises:
            UserError: If the recipe does not fit such images, with the remedy.
        """
        return BuiltViews(
            image_shape=image_shape,
            size=self.size,
            shared=self.shared,
            first=self.ops,
            second=self.ops if self.second is None else self.second,
            split=self.split,
            paired=self.partners is not None,
            mean=self.mean,
            std=self.std,
        )


def _check_plain(ready: Mapping[str, Any]) -> None:
    """Types of the plain keys."""
    for key in ("mean", "std"):
        value = ready.get(key)
        if value is None:
            continue
        if not isinstance(value, tuple) or not all(isinstance(x, (int, float)) for x in value):
            raise UserError(f"recipe {key}: {value!r} is no list of numbers, one a channel.")
        if key == "std" and min(value) <= 0:
            raise UserError(f"recipe std: {list(value)} must be positive.")
    size = ready.get("size")
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 1):
        raise UserError(f"recipe size: {size!r} is no number of pixels. Use for example 32.")
    for factor in ready.get("partners") or ():
        if not isinstance(factor, str):
            raise UserError(f"recipe partners: {factor!r} is no factor name.")


def recipe_warnings(
    recipe: Recipe, hints: Iterable[str] = (), image_shape: Shape = (3, 32, 32)
) -> list[str]:
    """What in a recipe conflicts with the data, one clear line each.

    Args:
        recipe: The recipe.
        hints: What is known of the data: "no-flip" (digits, text), "grey" (all images grey).
        image_shape: Channels, height, width of the images.

    Example:
        >>> recipe_warnings(Recipe.load("moco-v2"), {"no-flip"})[0][:16]
        'horizontal_flip:'
    """
    found: dict[str, None] = {}
    for chain in (recipe.shared, recipe.ops, recipe.second or ()):
        shape = image_shape
        for op in chain:
            ready = op.sized(recipe.size)
            found.update(dict.fromkeys(ready.warnings(frozenset(hints), shape)))
            shape = ready.shape(shape)
    return list(found)


_CIFAR = {"mean": [0.4914, 0.4824, 0.4467], "std": [0.2471, 0.2435, 0.2616]}
_IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
_FLIP: dict[str, Any] = {"horizontal_flip": {}}


def _jitter(strength: float, hue: float, p: float = 0.8) -> dict[str, Any]:
    settings = {"brightness": strength, "contrast": strength, "saturation": strength}
    return {"color_jitter": {**settings, "hue": hue, "p": p}}


def _amdim(size: int, hue: float, stats: dict[str, Any]) -> dict[str, Any]:
    crop = {"scale": [0.3, 1.0], "ratio": [0.7, 1.4], "interpolation": "bicubic"}
    chain = [{"random_resized_crop": crop}, _jitter(0.4, hue), {"greyscale": {"p": 0.25}}]
    return {"size": size, "shared": [_FLIP], "ops": chain, **stats}


def _crop_chain(low: float, *rest: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"random_resized_crop": {"scale": [low, 1.0]}}, _FLIP, *rest]


_GREY: dict[str, Any] = {"greyscale": {"p": 0.2}}
_BLUR: dict[str, Any] = {"blur": {"sigma": [0.1, 2.0], "p": 0.5, "kernel": 0.1}}

_YDBDR: dict[str, Any] = {"split": {"color_space": {"space": "ydbdr"}}}

_PLAIN: dict[str, dict[str, Any]] = {
    "none": {},
    "simclr": {"ops": _crop_chain(0.08, _jitter(0.8, 0.2), _GREY, _BLUR)},
    "moco-v2": {"ops": _crop_chain(0.2, _jitter(0.4, 0.1), _GREY, _BLUR), **_IMAGENET},
    "amdim-cifar": {
        "shared": [_FLIP],
        "ops": [
            {"translate": {"pixels": 4, "p": 0.8}},
            _jitter(0.4, 0.2),
            {"greyscale": {"p": 0.25}},
        ],
        **_CIFAR,
    },
    "amdim-stl": _amdim(64, 0.2, {"mean": [0.43, 0.42, 0.39], "std": [0.27, 0.26, 0.27]}),
    "amdim-imagenet": _amdim(128, 0.1, _IMAGENET),
    "instdis": {"ops": _crop_chain(0.08, _jitter(0.4, 0.4, 1.0), _GREY), **_IMAGENET},
    "moco": {"ops": _crop_chain(0.2, _jitter(0.4, 0.4, 1.0), _GREY), **_IMAGENET},
    "cmc": {"shared": _crop_chain(0.08, _jitter(0.4, 0.1, 1.0)), **_YDBDR},
    "infomin": {
        "ops": _crop_chain(0.2, _jitter(0.8, 0.2), _BLUR, {"rand_augment": {}}, _GREY),
        **_IMAGENET,
    },
    "cmc-v2": {
        "shared": _crop_chain(0.2, _jitter(0.4, 0.1), _BLUR, {"rand_augment": {"ops": "cmc"}}),
        **_YDBDR,
    },
}

RECIPES: dict[str, Recipe] = {
    name: Recipe.from_dict({"name": name, **plain}) for name, plain in _PLAIN.items()
}
