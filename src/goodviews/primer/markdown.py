"""Lessons as markdown: tables as tables, pictures as bars of block characters in code blocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from goodviews.primer.lesson import Block, Lesson, Table
from goodviews.primer.numbers import cell
from goodviews.primer.terminal import block_lines

INTRODUCTION = """# Learn: the information theory of views

Each idea by one small example first, then in words, then a question to check yourself. Every
number below is computed by goodviews, and tested. Change them in a terminal, `goodviews learn
entropy --p 0.9,0.05,0.05`, or on the page with sliders, `goodviews learn --page learn.html`.
(This file is written by `goodviews learn all --markdown`.)
"""


def block_markdown(block: Block) -> str:
    """One block."""
    if isinstance(block, str):
        return _escaped(block)
    if isinstance(block, Table):
        rows = [[x if isinstance(x, str) else cell(x) for x in row] for row in block.rows]
        left = [all(isinstance(row[i], str) and row[i] for row in block.rows)
                for i in range(len(block.header))]  # fmt: skip
        rule = [":---" if to_left else "---:" for to_left in left]
        return "\n".join(_row(row) for row in (block.header, rule, *rows))
    lines = block_lines(block)
    return "\n".join(["```text", *lines, "```"]) if lines else ""


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("||", "\\|\\|") for cell in cells) + " |"


def _escaped(text: str) -> str:
    """Prose in which stars, underscores and angle brackets stand for themselves."""
    for sign in "*_<":
        text = text.replace(sign, "\\" + sign)
    return text


def lesson_markdown(lesson: Lesson, given: Mapping[str, str]) -> str:
    """A lesson, with its answer folded away."""
    parts = [f"## {lesson.title}"]
    for example in lesson.examples:
        parts += [block_markdown(block) for block in example.shown(given).blocks]
    parts.append("\n".join(["```text", *lesson.formula, "```"]))
    parts.append("**In one's own words.** " + "<br>\n".join(map(_escaped, lesson.words)))
    parts.append("\n".join(f"- {_escaped(rule)}" for rule in lesson.rules))
    parts.append(f"**The mistake people make.** {_escaped(lesson.mistake)}")
    parts.append(f"**Question.** {_escaped(lesson.question)}")
    parts.append(f"<details><summary>Answer</summary>\n\n{_escaped(lesson.solution)}\n\n</details>")
    tries = [f"goodviews learn {lesson.name} {options}" for options in lesson.tries]
    parts.append("\n".join(["Change the numbers:", "", "```text", *tries, "```"]))
    parts.append(f"*Read more: {_escaped(lesson.reference)}*")
    return "\n\n".join(part for part in parts if part) + "\n"


def markdown(lessons: Mapping[str, Lesson], given: Mapping[str, str]) -> str:
    """Several lessons as one document."""
    contents = "\n".join(
        f"- [{lesson.title}](#{_anchor(lesson.title)})" for lesson in lessons.values()
    )
    parts = [INTRODUCTION, contents + "\n"]
    parts += [lesson_markdown(lesson, given) for lesson in lessons.values()]
    return "\n".join(parts)


def _anchor(title: str) -> str:
    """The anchor GitHub gives a heading."""
    kept = "".join(c for c in title.lower() if c.isalnum() or c in " -_")
    return kept.replace(" ", "-")
