"""What a family of views is: one dial, a sweep of values, and a recipe for each."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from goodviews.interfaces import Shape, UserError
from goodviews.views import geometric_ops, pixel_ops
from goodviews.views.ops import Op
from goodviews.views.recipes import OPS, Recipe
from goodviews.views.splits import (
    Patches,
    Split,
)

__all__ = ["Family", "Value", "jitter", "patch_size", "usual_recipe"]

Value = float | str
_ORDER = list(OPS)


def usual_recipe(hints: Collection[str] = frozenset()) -> Recipe:
    """What the augmentation families vary: crop, flip, half-strength jitter, greyscale.

    Args:
        hints: "no-flip" leaves out the flip, "grey" all that acts on colour only.

    Example:
        >>> [op.name for op in usual_recipe({"no-flip"}).ops]
        ['random_resized_crop', 'color_jitter', 'greyscale']
    """
    chain: list[Op] = [
        geometric_ops.RandomResizedCrop((0.2, 1.0)),
        geometric_ops.HorizontalFlip(),
        jitter(0.5),
        pixel_ops.Greyscale(0.2),
    ]
    return Recipe(name="usual", ops=_heed(chain, hints))


def jitter(strength: float, p: float = 0.8) -> pixel_ops.ColorJitter:
    """SimCLR's jitter strength * (0.8, 0.8, 0.8, 0.2); the hue stops at half the circle."""
    tone = 0.8 * strength
    return pixel_ops.ColorJitter(tone, tone, tone, min(0.5, 0.2 * strength), p)


def _heed(chain: Sequence[Op], hints: Collection[str]) -> tuple[Op, ...]:
    """A chain without flips (no-flip) and without changes of colour alone (grey)."""
    kept: list[Op] = []
    for op in chain:
        if "no-flip" in hints and isinstance(op, geometric_ops.HorizontalFlip):
            continue
        if "grey" in hints and isinstance(op, pixel_ops.Greyscale):
            continue
        if "grey" in hints and isinstance(op, pixel_ops.ColorJitter):
            op = dataclasses.replace(op, saturation=0.0, hue=0.0)
        kept.append(op)
    return tuple(kept)


def _turn(chain: Sequence[Op], name: str, dialled: Op | None) -> tuple[Op, ...]:
    """A chain with the op called ``name`` replaced (None: left out), or put in its usual place."""
    rest = [op for op in chain if op.name != name]
    if dialled is None:
        return tuple(rest)
    present = [place for place, op in enumerate(chain) if op.name == name]
    rank = _ORDER.index(name)
    later = [place for place, op in enumerate(rest) if _ORDER.index(op.name) > rank]
    place = present[0] if present else (later[0] if later else len(rest))
    return (*rest[:place], dialled, *rest[place:])


@dataclass(frozen=True)
class Family:
    """Views with one dial.

    Args:
        name: Its name in catalogues and rows, such as "crop-scale".
        title: Its name on a page.
        description: One sentence on what the dial does.
        dial: What the value is called.
        unit: Unit of the value, "" for names.
        values: Default sweep, from the most to the least shared.
        direction: How I(v1;v2) goes when the value grows: "up", "down", "peak" or "none" (names).
        make: The op or split at a value for an image shape; ``None`` leaves the op out.
        op: Name of the op that is dialled; "" for splits and partners.

    Example:
        >>> from goodviews.views import FAMILIES
        >>> FAMILIES["crop-scale"].recipe(0.4, (3, 32, 32)).ops[0].scale
        (0.4, 1.0)
    """

    name: str
    title: str
    description: str
    dial: str
    unit: str
    values: tuple[Value, ...]
    direction: Literal["up", "down", "peak", "none"]
    make: Callable[[Value, Shape, Op | None], Op | Split | None]
    op: str = ""

    def applies(
        self,
        image_shape: Shape,
        hints: Collection[str] = frozenset(),
        factor_names: Sequence[str] = (),
    ) -> str | None:
        """``None`` if the family makes sense for such data, else the reason why not."""
        grey = image_shape[0] != 3 or "grey" in hints
        if grey and self.name in ("color-space", "channels", "grey"):
            return f"{self.name} needs colour images; these are grey"
        if self.name == "shared-factors" and not factor_names:
            return "shared-factors needs data with known factors, such as --data factors"
        if self.name == "patch-distance" and min(image_shape[1:]) < 24:
            return f"patch-distance needs images of at least 24 px; these have {image_shape[1:]}"
        if self.name == "halves" and min(image_shape[1:]) < 8:
            return f"halves needs images of at least 8 px; these have {image_shape[1:]}"
        return None

    def values_for(
        self,
        image_shape: Shape,
        factor_names: Sequence[str] = (),
        budget: Literal["quick", "standard", "thorough"] = "standard",
    ) -> tuple[Value, ...]:
        """The sweep for such images: distances scaled to their size, factors by name.

        A "quick" budget takes four of the values, ends included.
        """
        values = self.values
        if self.name == "patch-distance":
            room = min(image_shape[1:]) - patch_size(image_shape)
            values = tuple(dict.fromkeys(round(room * float(part)) for part in values))
        if self.name == "shared-factors":
            return _factor_values(factor_names)
        if budget == "quick" and len(values) > 4:
            last = len(values) - 1
            values = tuple(values[round(step * last / 3)] for step in range(4))
        return values

    def recipe(
        self,
        value: Value,
        image_shape: Shape,
        base: Recipe | None = None,
        hints: Collection[str] = frozenset(),
    ) -> Recipe:
        """The candidate: ``base`` (default :func:`usual_recipe`) with the dial at ``value``.

        Raises:
            UserError: If the value does not suit the family or the images.
        """
        shown = f"{value:g}" if isinstance(value, (int, float)) else value
        name = f"{self.name}={shown}"
        if image_shape[0] != 3:
            hints = {*hints, "grey"}
        if self.name == "shared-factors":
            return Recipe(name=name, partners=tuple(str(value).split("+")))
        if not self.op:
            return self._split_recipe(name, value, image_shape, base, hints)
        start = usual_recipe(hints) if base is None else base
        fixed = dataclasses.replace(start, name=name)

        def dialled(chain: Sequence[Op]) -> tuple[Op, ...]:
            now = next((op for op in chain if op.name == self.op), None)
            made = self._made(value, image_shape, now)
            ready = _turn(chain, self.op, made if isinstance(made, Op) else None)
            return _heed(ready, hints)

        second = None if start.second is None else dialled(start.second)
        shared = start.shared
        if start.split is not None:
            return dataclasses.replace(fixed, shared=dialled(shared))
        if not any(op.name == self.op for op in start.ops):
            shared = tuple(op for op in shared if op.name != self.op)
        return dataclasses.replace(
            fixed, shared=_heed(shared, hints), ops=dialled(start.ops), second=second
        )

    def _split_recipe(
        self,
        name: str,
        value: Value,
        image_shape: Shape,
        base: Recipe | None,
        hints: Collection[str],
    ) -> Recipe:
        """A mild crop and flip shared by both views, then the cut."""
        split = self._made(value, image_shape, None)
        if isinstance(split, Patches):
            mild: tuple[Op, ...] = (geometric_ops.HorizontalFlip(),)
        else:
            mild = (geometric_ops.RandomResizedCrop((0.5, 1.0)), geometric_ops.HorizontalFlip())
        mean, std, size = (None, None, None) if base is None else (base.mean, base.std, base.size)
        assert isinstance(split, Split)
        return Recipe(
            name=name, size=size, shared=_heed(mild, hints), split=split, mean=mean, std=std
        )

    def _made(self, value: Value, image_shape: Shape, now: Op | None) -> Op | Split | None:
        """The part at ``value``; a value of the wrong kind is the user's mistake."""
        if self.unit and isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                raise UserError(
                    f"{self.name}: {value!r} is no number. Use for example {self.values[0]}."
                ) from None
        return self.make(value, image_shape, now)


def _factor_values(factor_names: Sequence[str]) -> tuple[str, ...]:
    """All factors, then smaller combinations, then single ones, joined by "+"."""
    names = list(factor_names)
    sizes = range(len(names), 0, -1) if len(names) <= 4 else (len(names), 1)
    groups = itertools.chain.from_iterable(itertools.combinations(names, k) for k in sizes)
    return tuple("+".join(group) for group in groups)


def patch_size(shape: Shape) -> int:
    """Three eighths of the shorter side: 12 of 32 px, 36 of 96 px."""
    return max(8, min(shape[1:]) * 3 // 8)
