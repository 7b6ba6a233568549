"""One call to the primer: a lesson's text with the reader's numbers, or the page of all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from goodviews.information import BITS
from goodviews.interfaces import UserError, check_name
from goodviews.primer.belief import CROSS_ENTROPY, KL
from goodviews.primer.judging import INFONCE, NCE
from goodviews.primer.lesson import Lesson
from goodviews.primer.limits import BOUNDS, FIVE_FACES
from goodviews.primer.markdown import markdown as as_markdown
from goodviews.primer.numbers import real
from goodviews.primer.sharing import MUTUAL_INFORMATION, VIEWS
from goodviews.primer.surprise import ENTROPY, INFORMATION
from goodviews.primer.terminal import lesson_text, list_text, wrapped

LESSONS: dict[str, Lesson] = {
    lesson.name: lesson
    for lesson in (
        INFORMATION,
        ENTROPY,
        CROSS_ENTROPY,
        KL,
        MUTUAL_INFORMATION,
        VIEWS,
        NCE,
        INFONCE,
        BOUNDS,
        FIVE_FACES,
    )
}
"""Name -> lesson, in the order to read them."""


def learn(
    lesson: str | None = None,
    *,
    answers: bool = False,
    guess: str | None = None,
    markdown: bool = False,
    page: str | Path | None = None,
    **numbers: str | None,
) -> str:
    """The text of a lesson.

    Args:
        lesson: its name, "all", or None for the list.
        answers: whether to show the answer below the question.
        guess: an answer to check, in place of the lesson.
        markdown: whether to write markdown.
        page: a file to write as an HTML page with sliders; the text is then its path.
        numbers: the lesson's numbers as typed on the command line; None: its own.

    Raises:
        UserError: an unknown lesson, a number that the lesson does not have, or is none.

    Example:
        >>> print(learn("entropy", p="0.9,0.1")[:50])
        Entropy: how much does an outcome tell on average?
    """
    given = {name: text for name, text in numbers.items() if text is not None}
    if lesson is None and not (markdown or page):
        return _listed(given, guess)
    check_name("learn", lesson or "all", [*LESSONS, "all"])
    chosen = LESSONS if lesson in (None, "all") else {lesson: LESSONS[lesson]}
    _known(given, chosen)
    if guess is not None:
        return _checked(guess, chosen)
    if page is not None:
        return _written(Path(page), chosen, given)
    if markdown:
        return as_markdown(chosen, given)
    return "\n\n".join(lesson_text(one, given, answers) for one in chosen.values())


def _listed(given: Mapping[str, str], guess: str | None) -> str:
    for name, text in [*given.items(), *([("guess", guess)] if guess else [])]:
        able = [lesson.name for lesson in LESSONS.values() if name in lesson.numbers]
        example = f"goodviews learn {able[0] if able else 'entropy'} {flag(name)} {text}"
        raise UserError(f"{flag(name)}: which lesson? For example: {example}")
    return list_text(LESSONS)


def flag(name: str) -> str:
    """An option as typed.

    Example:
        >>> flag("p_model")
        '--p-model'
    """
    return "--" + name.replace("_", "-")


def _known(given: Mapping[str, str], chosen: Mapping[str, Lesson]) -> None:
    """Refuse numbers that none of the lessons has."""
    for name in given:
        if not any(name in lesson.numbers for lesson in chosen.values()):
            lesson = next(iter(chosen.values()))
            has = ", ".join(map(flag, lesson.numbers))
            raise UserError(f"{flag(name)}: no number of lesson {lesson.name}. It has {has}.")


def _checked(guess: str, chosen: Mapping[str, Lesson]) -> str:
    """What to say of an answer: one per cent off is right."""
    if len(chosen) > 1:
        raise UserError(f"--guess: {guess}: of which lesson? Name one in place of all.")
    lesson = next(iter(chosen.values()))
    value = real("--guess", guess)

    def close(x: float) -> bool:
        return math.isclose(x, lesson.answer, rel_tol=0.01)

    if close(value):
        return "\n".join(["Right.", *wrapped(lesson.solution)]) + "\n"
    unit = next((unit for unit in ("bits", "nats") if unit in lesson.question), "")
    hint = "Read the example again with other numbers."
    if unit and (close(value * BITS) or close(value / BITS)):
        hint = f"But it is right in another unit: the question asks for {unit}."
    lines = wrapped(f"Not yet: {lesson.question}") + wrapped(hint)
    return "\n".join([*lines, f"The answer: goodviews learn {lesson.name} --answers"]) + "\n"


def _written(path: Path, chosen: Mapping[str, Lesson], given: Mapping[str, str]) -> str:
    from goodviews.primer.page import write_page  # jinja2 and plotly take 0.3 s to import

    if path.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--page: {path} is no .html. Use for example {path.with_suffix('.html')}.")
    return f"{write_page(path, chosen, given)}\n"
