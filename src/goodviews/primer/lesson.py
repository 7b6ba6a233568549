"""The nouns of the primer: a lesson is data and functions of the reader's numbers.

A function of numbers returns blocks (sentences, tables, bars, curves) and the facts they show.
Renderers turn blocks into a terminal's text, markdown or HTML; they compute nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Facts = dict[str, Any]
"""The numbers that a text shows, by name."""


class Table(NamedTuple):
    """A small table: texts and numbers."""

    header: tuple[str, ...]
    rows: Sequence[Sequence[str | float]]


class Bars(NamedTuple):
    """Amounts as bars, all >= 0, drawn from 0 to the largest or to ``top``."""

    title: str
    rows: Sequence[tuple[str, float]]
    top: float | None = None
    marked: tuple[int, ...] = ()
    """Places of the rows to draw in the second colour."""


class Curve(NamedTuple):
    """An amount >= 0 as a function, with the place where the reader's numbers stand."""

    title: str
    x_title: str
    points: Sequence[tuple[float, float]]
    here: tuple[float, float]
    level: tuple[str, float] | None = None
    """A height to compare with, and its name."""


Block = str | Table | Bars | Curve


class Shown(NamedTuple):
    """What an example shows, and every number behind it by name."""

    blocks: Sequence[Block]
    facts: Facts


class Dial(NamedTuple):
    """A slider of the page: its positions, and the options that each stands for."""

    label: str
    positions: Sequence[float]
    start: float
    options: Callable[[float], Mapping[str, str]]
    """From a position to options as the reader would type them."""


@dataclass(frozen=True)
class Example:
    """A small world with numbers that the reader can change."""

    show: Callable[..., Shown]
    numbers: Mapping[str, Callable[[str, str], Any]]
    """Name of each number -> how it is read: ``reader(flag, text)``."""
    defaults: Mapping[str, str]
    """As the reader would type them; numbers left out are the example's own business."""
    dials: tuple[Dial, ...] = ()

    def shown(self, given: Mapping[str, str]) -> Shown:
        """The example with the reader's numbers in place of the defaults.

        Args:
            given: option -> text; options of other lessons are passed over.

        Raises:
            UserError: a text that is no such number.
        """
        texts = {**self.defaults, **{k: v for k, v in given.items() if k in self.numbers}}
        values = {k: self.numbers[k]("--" + k.replace("_", "-"), text) for k, text in texts.items()}
        return self.show(**values)


@dataclass(frozen=True)
class Lesson:
    """One idea: example first, then words."""

    name: str
    title: str
    line: str
    """The lesson in one line, for the list."""
    examples: tuple[Example, ...]
    formula: tuple[str, ...]
    words: tuple[str, str]
    """In one's own words: two lines."""
    mistake: str
    question: str
    answer: float
    solution: str
    rules: tuple[str, ...] = ()
    """Worth remembering."""
    tries: tuple[str, ...] = ()
    """Options worth trying, as typed."""
    reference: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """The numbers of the fixed texts, by name."""

    @property
    def numbers(self) -> tuple[str, ...]:
        """The options that change this lesson."""
        return tuple(dict.fromkeys(name for e in self.examples for name in e.numbers))


def drawable(curve: Curve) -> Curve | None:
    """The curve without infinite points; None where too little is left to draw.

    Example:
        >>> drawable(Curve("t", "x", [(0.0, 1.0), (1.0, float("inf"))], (0.0, 1.0))) is None
        True
    """
    points = [point for point in curve.points if math.isfinite(point[1])]
    if len(points) < 2 or not math.isfinite(curve.here[1]):
        return None
    return curve._replace(points=points)
