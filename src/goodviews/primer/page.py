"""Lessons as one offline HTML page whose sliders change the numbers.

Every position of every slider is computed here, by the functions that the terminal uses; the
page's script only swaps what is shown. So the page holds no formula of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from goodviews.primer.lesson import Bars, Block, Curve, Dial, Example, Lesson, Table, drawable
from goodviews.primer.numbers import cell, say
from goodviews.primer.surprise import typed
from goodviews.report.page import render, write

_TEMPLATES = Path(__file__).parent / "templates"
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 640, 230, 56, 12, 14, 40


def block_html(block: Block) -> Markup:
    """One block as HTML.

    Example:
        >>> print(block_html("1 < 2"))
        <p>1 &lt; 2</p>
    """
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Bars):
        return _bars(block)
    if isinstance(block, Curve):
        return _curve(block)
    return Markup("<p>{}</p>").format(block)


def _table(table: Table) -> Markup:
    left = [
        all(isinstance(row[i], str) and row[i] for row in table.rows)
        for i in range(len(table.header))
    ]
    kinds = ["" if to_left else ' class="number"' for to_left in left]
    head = Markup("").join(
        Markup('<th scope="col"{}>{}</th>').format(Markup(kind), name)
        for kind, name in zip(kinds, table.header, strict=True)
    )
    rows = Markup("").join(
        Markup("<tr>{}</tr>").format(
            Markup("").join(
                Markup("<td{}>{}</td>").format(Markup(kind), x if isinstance(x, str) else cell(x))
                for kind, x in zip(kinds, row, strict=True)
            )
        )
        for row in table.rows
    )
    return Markup(
        '<div class="scroll" tabindex="0" role="region" aria-label="table"><table><thead><tr>{}'
        "</tr></thead><tbody>{}</tbody></table></div>"
    ).format(head, rows)


def _bars(bars: Bars) -> Markup:
    finite = [x for _, x in bars.rows if x != float("inf")]
    top = bars.top or max(finite, default=0.0)
    rows = Markup("").join(
        Markup('<dt>{}</dt><dd><i{} style="width:{}%"></i></dd><dd class="number">{}</dd>').format(
            name,
            Markup(' class="marked"' if place in bars.marked or not bars.marked else ""),
            f"{100 * min(1.0, x / top if top else 0.0):.1f}",
            cell(x),
        )
        for place, (name, x) in enumerate(bars.rows)
    )
    return Markup('<figure class="bars"><figcaption>{}</figcaption><dl>{}</dl></figure>').format(
        bars.title, rows
    )


def _curve(curve: Curve) -> Markup:
    found = drawable(curve)
    if found is None:
        return Markup("")
    low, high = found.points[0][0], found.points[-1][0]
    level = found.level[1] if found.level else 0.0
    top = max(max(y for _, y in found.points), level, found.here[1]) or 1.0

    def at(x: float, y: float) -> tuple[float, float]:
        """Where a point stands in the drawing."""
        across = _LEFT + (x - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)
        return across, _HEIGHT - _BOTTOM - y / top * (_HEIGHT - _TOP - _BOTTOM)

    line = " ".join("{:.1f},{:.1f}".format(*at(x, y)) for x, y in found.points)
    foot = _HEIGHT - _BOTTOM
    parts = [
        Markup('<polygon class="area" points="{},{} {} {},{}"/>').format(
            _LEFT, foot, line, _WIDTH - _RIGHT, foot
        ),
        Markup('<polyline class="line" points="{}"/>').format(line),
        _text(_LEFT - 8, _TOP + 5, say(top), "end"),
        _text(_LEFT - 8, foot + 5, "0", "end"),
        _text(_LEFT, foot + 18, say(low), "start"),
        _text(_WIDTH - _RIGHT, foot + 18, say(high), "end"),
        _text((_LEFT + _WIDTH - _RIGHT) / 2, foot + 32, found.x_title, "middle"),
        Markup('<path class="axis" d="M{0} {1}V{2}H{3}"/>').format(
            _LEFT, _TOP, foot, _WIDTH - _RIGHT
        ),
    ]
    if found.level:
        height = at(low, level)[1]
        parts.append(
            Markup('<path class="level" d="M{} {:.1f}H{}"/>').format(_LEFT, height, _WIDTH - _RIGHT)
        )
        words = f"{found.level[0]}: {say(level)}"
        parts.append(_text(_WIDTH - _RIGHT - 4, height - 6, words, "end"))
    x, y = at(*found.here)
    parts.append(Markup('<circle class="here" cx="{:.1f}" cy="{:.1f}" r="6"/>').format(x, y))
    words = f"{say(found.here[0])} gives {say(found.here[1])}"
    return Markup(
        '<figure class="curve"><figcaption>{}</figcaption><svg viewBox="0 0 {} {}" role="img" '
        'aria-label="{}: {}">{}</svg></figure>'
    ).format(found.title, _WIDTH, _HEIGHT, found.title, words, Markup("").join(parts))


def _text(x: float, y: float, words: str, anchor: str) -> Markup:
    return Markup('<text x="{:.0f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
        x, y, anchor, words
    )


# --- frames -------------------------------------------------------------------------------------


def screen(example: Example, given: Mapping[str, str]) -> Markup:
    """What an example shows for these numbers."""
    return Markup("").join(block_html(block) for block in example.shown(given).blocks)


def frames(lesson: Lesson, example: Example) -> dict[str, dict[str, str]]:
    """What an example shows at every position of its dials, and the command that shows the same.

    Returns:
        Positions of the dials, joined by spaces -> "html" and "command".
    """
    found = {}
    for places in itertools.product(*(range(len(dial.positions)) for dial in example.dials)):
        options: dict[str, str] = {}
        for dial, place in zip(example.dials, places, strict=True):
            options |= dial.options(dial.positions[place])
        words = " ".join(f"--{name.replace('_', '-')} {text}" for name, text in options.items())
        found[" ".join(map(str, places))] = {
            "html": str(screen(example, options)),
            "command": f"goodviews learn {lesson.name} {words}",
        }
    return found


def _dial(dial: Dial) -> dict[str, Any]:
    return {
        "label": dial.label,
        "last": len(dial.positions) - 1,
        "start": dial.positions.index(dial.start),
        "shown": [typed(x) for x in dial.positions],
    }


def page(lessons: Mapping[str, Lesson], given: Mapping[str, str]) -> str:
    """The page of some lessons, first shown with the reader's numbers.

    Raises:
        UserError: a text that is no number.
    """
    moving = {
        f"{lesson.name} {place}": frames(lesson, example)
        for lesson in lessons.values()
        for place, example in enumerate(lesson.examples)
        if example.dials
    }
    chapters = [
        {
            "lesson": lesson,
            "examples": [
                {
                    "key": f"{lesson.name} {place}",
                    "screen": screen(example, given),
                    "dials": [_dial(dial) for dial in example.dials],
                }
                for place, example in enumerate(lesson.examples)
            ],
        }
        for lesson in lessons.values()
    ]
    return render(
        "learn.html.j2",
        _TEMPLATES,
        title="The information theory of views",
        chapters=chapters,
        frames=moving,
        learn_style=Markup((_TEMPLATES / "learn.css").read_text("utf-8")),  # our own file
        learn_script=Markup((_TEMPLATES / "learn.js").read_text("utf-8")),  # our own file
        figures={},
        cards={},
    )


def write_page(path: str | Path, lessons: Mapping[str, Lesson], given: Mapping[str, str]) -> Path:
    """Write the page, whole or not at all.

    Raises:
        UserError: the file cannot be written.
    """
    return write(Path(path), page(lessons, given))
