"""The verb ``learn``: its options. A table that imports nothing heavy."""

from __future__ import annotations

from goodviews.cli.nouns import Option, Verb


def _number(name: str, text: str, unit: str = "NUMBER") -> Option:
    return Option(name, str | None, None, text, unit, "numbers")


LEARN = Verb(
    "learn",
    "Learn information theory by small examples whose numbers you change.",
    (
        Option("lesson", str | None, None, "which one; all; none: list them", "LESSON", "lesson"),
        Option("answers", bool, False, "show the answer below the question", "", "lesson"),
        Option("guess", str | None, None, "check your answer to the question", "NUMBER", "lesson"),
        _number("p", "probabilities, fractions too: 1/2,1/4,1/4", "NUMBERS"),
        _number("q", "what is believed, in the order of --p", "NUMBERS"),
        _number("joint", "a joint table row by row: 0.4,0.1,0.1,0.4", "NUMBERS"),
        _number("rho", "a correlation"),
        _number("shift", "between two bell curves, in widths"),
        _number("scores", "of candidates, the true partner first: 2,0,0,0", "NUMBERS"),
        _number("temperature", "that scores are divided by"),
        _number("candidates", "how many a positive is found among: 2,4,8", "NUMBERS"),
        _number("n", "how many equally likely things"),
        _number("shared", "values of a nuisance that both views show"),
        _number("p_model", "probability of a sample under the data"),
        _number("p_noise", "probability of the same sample under the noise"),
        _number("negatives", "fakes for each true sample"),
        Option("page", str | None, None, "write an offline page with sliders", "FILE", "output"),
        Option("markdown", bool, False, "print markdown", "", "output"),
    ),
    (
        ("learn", "the lessons"),
        ("learn entropy --p 0.9,0.05,0.05", "one lesson with your numbers"),
        ("learn entropy --guess 2", "check your answer to its question"),
        ("learn --page learn.html", "all of them, with sliders"),
    ),
    positional=("lesson",),
)
