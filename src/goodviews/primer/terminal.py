"""Lessons as text of 80 columns: tables, bars and curves of block characters."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence

from goodviews.primer.lesson import Bars, Block, Curve, Lesson, Table, drawable
from goodviews.primer.numbers import cell, say

WIDTH = 80
_TEXT = 78
_BAR = 36
_COLUMNS, _HEIGHT = 56, 7
_EIGHTHS = " \N{LEFT ONE EIGHTH BLOCK}\N{LEFT ONE QUARTER BLOCK}\N{LEFT THREE EIGHTHS BLOCK}" \
    "\N{LEFT HALF BLOCK}\N{LEFT FIVE EIGHTHS BLOCK}\N{LEFT THREE QUARTERS BLOCK}" \
    "\N{LEFT SEVEN EIGHTHS BLOCK}"  # fmt: skip
_FULL = "\N{FULL BLOCK}"
_LOWER = " \N{LOWER ONE EIGHTH BLOCK}\N{LOWER ONE QUARTER BLOCK}\N{LOWER THREE EIGHTHS BLOCK}" \
    "\N{LOWER HALF BLOCK}\N{LOWER FIVE EIGHTHS BLOCK}\N{LOWER THREE QUARTERS BLOCK}" \
    "\N{LOWER SEVEN EIGHTHS BLOCK}"  # fmt: skip
_SHADE = "\N{MEDIUM SHADE}"
_WALL = "\N{BOX DRAWINGS LIGHT VERTICAL}"
_HERE = "\N{BLACK UP-POINTING TRIANGLE}"


def wrapped(text: str, indent: str = "") -> list[str]:
    """Lines of at most 78 columns.

    Example:
        >>> wrapped("a word", "  ")
        ['  a word']
    """
    return textwrap.wrap(
        text, _TEXT, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )


def table_lines(table: Table) -> list[str]:
    """A table with its columns aligned: texts to the left, numbers to the right."""
    rows = [[x if isinstance(x, str) else cell(x) for x in row] for row in table.rows]
    left = [all(isinstance(row[i], str) and row[i] for row in table.rows)
            for i in range(len(table.header))]  # fmt: skip
    widths = [max(len(row[i]) for row in [list(table.header), *rows]) for i in range(len(left))]

    def line(row: Sequence[str]) -> str:
        parts = [
            text.ljust(width) if to_left else text.rjust(width)
            for text, width, to_left in zip(row, widths, left, strict=True)
        ]
        return ("  " + "   ".join(parts)).rstrip()

    rule = "  " + "   ".join("\N{BOX DRAWINGS LIGHT HORIZONTAL}" * width for width in widths)
    return [line(table.header), rule, *map(line, rows)]


def bar_lines(bars: Bars) -> list[str]:
    """Horizontal bars with their amounts."""
    top = bars.top or max([x for _, x in bars.rows if math.isfinite(x)], default=0.0)
    width = max(len(name) for name, _ in bars.rows)
    lines = [f"  {bars.title}"]
    for place, (name, value) in enumerate(bars.rows):
        share = 1.0 if math.isinf(value) else value / top if top else 0.0
        if place in bars.marked or not bars.marked:
            full, part = divmod(round(share * _BAR * 8), 8)
            bar = _FULL * full + _EIGHTHS[part].strip()
        else:
            bar = _SHADE * round(share * _BAR)
        lines.append(f"  {name.rjust(width)} {_WALL}{bar} {cell(value)}")
    return lines


def curve_lines(curve: Curve) -> list[str]:
    """A curve as columns; a triangle below points at the reader's numbers."""
    found = drawable(curve)
    if found is None:
        return []
    low, high = found.points[0][0], found.points[-1][0]
    top = max(max(y for _, y in found.points), found.level[1] if found.level else 0.0) or 1.0
    columns = [_height(found, low + (high - low) * (i + 0.5) / _COLUMNS) / top
               for i in range(_COLUMNS)]  # fmt: skip
    margin = max(len(say(top)), len("0"))
    lines = [f"  {curve.title}"]
    for row in range(_HEIGHT - 1, -1, -1):
        label = say(top) if row == _HEIGHT - 1 else ""
        drawn = "".join(_part(share * _HEIGHT - row) for share in columns)
        lines.append(f"  {label.rjust(margin)} {_WALL}{drawn}".rstrip())
    axis = "\N{BOX DRAWINGS LIGHT UP AND RIGHT}" + "\N{BOX DRAWINGS LIGHT HORIZONTAL}" * _COLUMNS
    lines.append(f"  {'0'.rjust(margin)} {axis}")
    place = round((found.here[0] - low) / (high - low) * (_COLUMNS - 1))
    pointer = f"{_HERE} you: {say(found.here[0])} gives {say(found.here[1])}"
    if place > _COLUMNS - len(pointer):
        pointer = f"you: {say(found.here[0])} gives {say(found.here[1])} {_HERE}"
        place = place - len(pointer) + 1
    lines.append(" " * (margin + 4 + max(0, place)) + pointer)
    ends = f"{say(low)}{curve.x_title.center(_COLUMNS - len(say(low)) - len(say(high)))}{say(high)}"
    lines.append(" " * (margin + 4) + ends)
    if found.level:
        lines.append(" " * (margin + 4) + f"({found.level[0]} is {say(found.level[1])})")
    return lines


def _height(curve: Curve, x: float) -> float:
    """The curve at x, by straight lines between its points."""
    for (x0, y0), (x1, y1) in zip(curve.points, curve.points[1:], strict=False):
        if x <= x1:
            return y0 + (y1 - y0) * (x - x0) / (x1 - x0) if x1 > x0 else y1
    return curve.points[-1][1]


def _part(height: float) -> str:
    """One character of a column that reaches ``height`` above the character's foot."""
    if height >= 1:
        return _FULL
    return _LOWER[max(0, min(7, round(height * 8)))]


def block_lines(block: Block) -> list[str]:
    """A block as lines."""
    if isinstance(block, Table):
        return table_lines(block)
    if isinstance(block, Bars):
        return bar_lines(block)
    if isinstance(block, Curve):
        return curve_lines(block)
    return wrapped(block)


def lesson_text(lesson: Lesson, given: Mapping[str, str], answers: bool = False) -> str:
    """A lesson for the terminal.

    Args:
        lesson: what to show.
        given: the reader's numbers, option -> text.
        answers: whether to show the answer below the question.
    """
    parts: list[list[str]] = [[lesson.title, "=" * len(lesson.title)]]
    for example in lesson.examples:
        parts += [block_lines(block) for block in example.shown(given).blocks]
    parts.append(["Formula", *(f"  {line}" for line in lesson.formula)])
    parts.append(["In one's own words", *(f"  {line}" for line in lesson.words)])
    if lesson.rules:
        parts.append(["Worth remembering"])
        for rule in lesson.rules:
            first, *rest = wrapped(rule, "    ")
            parts[-1] += ["  - " + first.strip(), *rest]
    parts.append(["The mistake people make", *wrapped(lesson.mistake, "  ")])
    parts.append(["Question", *wrapped(lesson.question, "  ")])
    if answers:
        parts.append(["Answer", *wrapped(lesson.solution, "  ")])
    else:
        guess = f"Your answer: goodviews learn {lesson.name} --guess NUMBER (or --answers)"
        parts[-1].append(f"  {guess}")
    tries = [f"  goodviews learn {lesson.name} {options}" for options in lesson.tries]
    parts.append(["Change the numbers", *tries])
    parts.append(wrapped(f"Read more: {lesson.reference}"))
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def list_text(lessons: Mapping[str, Lesson]) -> str:
    """The lessons, one line each, and how to go on."""
    width = max(map(len, lessons))
    lines = [f"  {lesson.name:<{width}}  {lesson.line}" for lesson in lessons.values()]
    first = next(iter(lessons))
    return "\n".join(
        [
            "Each lesson is one small example first, with numbers you can change.",
            "",
            *[part for line in lines for part in _hung(line, width + 4)],
            "",
            f"  goodviews learn {first:<32} the first lesson",
            "  goodviews learn entropy --p 0.9,0.05,0.05        with your numbers",
            "  goodviews learn entropy --guess 2                check your answer",
            "  goodviews learn --page learn.html                all of it, with sliders",
            "",
        ]
    )


def _hung(line: str, indent: int) -> list[str]:
    return textwrap.wrap(line, _TEXT, subsequent_indent=" " * indent, break_on_hyphens=False,
                         drop_whitespace=True)  # fmt: skip


_ASCII = str.maketrans({
    _FULL: "#", _SHADE: "=", _HERE: "^", "\N{BOX DRAWINGS LIGHT HORIZONTAL}": "-",
    _WALL: "|", "\N{BOX DRAWINGS LIGHT UP AND RIGHT}": "+",
    **dict.fromkeys(_EIGHTHS[1:4] + _LOWER[1:4], " "), **dict.fromkeys(_EIGHTHS[4:], "#"),
    **dict.fromkeys(_LOWER[4:], "#"),
})  # fmt: skip


def printable(text: str, encoding: str | None) -> str:
    """The text for an output of that encoding: without block characters where it has none.

    Example:
        >>> printable("\N{BOX DRAWINGS LIGHT VERTICAL}\N{FULL BLOCK} 1", "ascii")
        '|# 1'
    """
    try:
        text.encode(encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return text.translate(_ASCII)
    return text
