"""Lessons on the surprise of outcomes: information and entropy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from goodviews.information import BITS, entropy, surprisal
from goodviews.primer.lesson import Bars, Curve, Dial, Example, Facts, Lesson, Shown, Table
from goodviews.primer.numbers import both, chances, distribution, say

STEPS = tuple(sorted([1 / 3, *(round(0.05 * i, 2) for i in range(1, 20))]))
"""Positions of a dial that turns a probability."""

_WEATHER = ("sun", "rain", "snow", "fog", "hail", "wind", "frost")


def outcomes(count: int) -> tuple[str, ...]:
    """Names for outcomes: weather, or numbers where there is too much of it.

    Example:
        >>> outcomes(3)
        ('sun', 'rain', 'snow')
    """
    if count <= len(_WEATHER):
        return _WEATHER[:count]
    return tuple(f"outcome {i + 1}" for i in range(count))


def moved(p: Sequence[float], first: float) -> list[float]:
    """The distribution with ``first`` as its first probability, the others in proportion.

    Example:
        >>> moved([0.5, 0.25, 0.25], 0.2)
        [0.2, 0.4, 0.4]
    """
    rest = sum(p[1:])
    share = [x / rest for x in p[1:]] if rest else [1 / (len(p) - 1)] * (len(p) - 1)
    return [first, *((1 - first) * x for x in share)]


def typed(x: float) -> str:
    """A number as a reader would type it: a decimal, or a fraction where that is exact.

    Example:
        >>> typed(0.35), typed(1 / 3)
        ('0.35', '1/3')
    """
    text = f"{x:g}"
    exact = math.isclose(float(text), x, abs_tol=1e-12)
    return text if exact else str(Fraction(x).limit_denominator(1000))


def three(first: float) -> str:
    """Three probabilities as typed, the last two equal.

    Example:
        >>> three(0.2)
        '0.2,0.4,0.4'
    """
    return ",".join(typed(x) for x in (first, (1 - first) / 2, (1 - first) / 2))


# --- information --------------------------------------------------------------------------------

_MESSAGES = {
    "a fair coin: heads": 1 / 2,
    "a fair die: six": 1 / 6,
    "three fair coins: all heads": 1 / 8,
    "a digit: seven": 1 / 10,
}


def information(p: Sequence[float] | None = None) -> Shown:
    """How much single messages tell."""
    named = _MESSAGES if p is None else {f"message {i + 1}": x for i, x in enumerate(p)}
    p = list(named.values())
    h = [surprisal(x) for x in p]
    facts: Facts = {"p": p, "bits": [x * BITS for x in h], "nats": h}
    first, second = (p[0], p[1]) if len(p) > 1 else (p[0], p[0])
    both_come = surprisal(first * second)
    facts |= {"both p": first * second, "both bits": both_come * BITS}
    facts |= {"each bits": [surprisal(first) * BITS, surprisal(second) * BITS]}
    pair = "The first two" if len(p) > 1 else "The same message twice"
    return Shown(
        (
            "Some messages arrive, each with its probability. How much does each one tell?",
            Table(
                ("message", "probability", "bits", "nats"),
                list(zip(named, p, facts["bits"], h, strict=True)),
            ),
            Bars("information in bits", list(zip(named, facts["bits"], strict=True))),
            f"{pair}, independent of each other, have probability {say(first)} x {say(second)} = "
            f"{say(first * second)}, and tell {say(facts['each bits'][0])} + "
            f"{say(facts['each bits'][1])} = {say(facts['both bits'])} bits: probabilities "
            "multiply, information adds. That is what the logarithm is for.",
        ),
        facts,
    )


def one_message(p: Sequence[float]) -> Shown:
    """The curve of -log p, with the first message on it."""
    first = p[0]
    low = min(0.02, max(first, 1e-4))
    at = [low + (1 - low) * i / 60 for i in range(61)]
    h = surprisal(first)
    facts: Facts = {"p": first, "nats": h, "bits": h * BITS}
    return Shown(
        (
            f"All probabilities at once: a message of probability {say(first)} tells {both(h)}. "
            "Certain messages tell nothing; there is no most a rare one can tell.",
            Curve(
                "information in bits",
                "probability of the message",
                [(x, surprisal(x) * BITS) for x in at],
                (max(first, low), surprisal(max(first, low)) * BITS),
            ),
        ),
        facts,
    )


_SQUARES = 64

INFORMATION = Lesson(
    name="information",
    title="Information: how much does one outcome tell?",
    line="The rarer, the more it tells: -log of the probability.",
    examples=(
        Example(
            information,
            {"p": chances},
            {},
        ),
        Example(
            one_message,
            {"p": chances},
            {"p": "1/8"},
            (
                Dial(
                    "probability of the message",
                    (0.01, 0.02, 0.05, 0.1, 0.125, 0.2, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 1.0),
                    0.125,
                    lambda x: {"p": f"{x:g}"},
                ),
            ),
        ),
    ),
    formula=(
        "h(x) = -log p(x)",
        f"log to base 2 counts bits, the natural log counts nats; 1 nat = {say(BITS)} bits",
    ),
    words=(
        "Information is surprise, counted: what you were sure of tells you nothing.",
        "One bit is the answer to one yes-no question that could have gone either way.",
    ),
    rules=(
        "Independent messages add up: three fair coins tell "
        f"{say(surprisal(1 / 8) * BITS)} bits, {say(surprisal(1 / 2) * BITS)} each.",
        "goodviews counts in nats, because losses use the natural log. "
        f"A fair coin tells {say(surprisal(1 / 2))} nats.",
    ),
    mistake="Taking information for usefulness. The static on a dead television channel is the "
    "most informative picture there is, since none is as hard to predict. What helps a task is "
    "information about the task: later lessons measure what two things share.",
    question=f"Somebody picks one of the {_SQUARES} squares of a chessboard at random. How many "
    "bits tell which one?",
    answer=surprisal(1 / _SQUARES) * BITS,
    solution=f"{say(surprisal(1 / _SQUARES) * BITS)} bits, since each yes-no question halves the "
    f"board: {_SQUARES}, 32, 16, 8, 4, 2, 1. In nats: {say(surprisal(1 / _SQUARES))}.",
    tries=("--p 0.9", "--p 1/2,1/4,1/1000"),
    reference="C. Shannon 1948, section 6; Cover and Thomas, chapter 2.",
    facts={
        "bits in a nat": BITS,
        "three coins": [surprisal(1 / 8) * BITS, surprisal(1 / 2) * BITS, surprisal(1 / 2)],
        "chessboard": [_SQUARES, surprisal(1 / _SQUARES) * BITS, surprisal(1 / _SQUARES)],
        "halves": [32, 16, 8, 4, 2, 1],
    },
)


# --- entropy ------------------------------------------------------------------------------------


def entropy_example(p: Sequence[float]) -> Shown:
    """The mean information of a weather station's messages."""
    names, n = outcomes(len(p)), len(p)
    bits = [surprisal(x) * BITS for x in p]
    shares = [x * b if x else 0.0 for x, b in zip(p, bits, strict=True)]
    h, most = entropy(p), math.log(n)
    facts: Facts = {"p": p, "bits": bits, "shares": shares, "nats": h, "H bits": h * BITS, "n": n}
    facts |= {"most bits": most * BITS, "most nats": most, "certain": 0.0}
    at = [i / 60 for i in range(61)]
    exact = all(x == 0 or float(b).is_integer() for x, b in zip(p, bits, strict=True))
    code = (
        "A code does it in as many signs: give each outcome a word of as many 0s and 1s as it has "
        "bits, and on average you send H of them."
        if exact
        else "No code of 0s and 1s can need fewer signs a day than that, on average."
    )
    return Shown(
        (
            "A weather station sends one word a day. How many bits does a day's word tell, on "
            "average?",
            Table(
                ("outcome", "probability p", "information, bits", "p x bits"),
                [*zip(names, p, bits, shares, strict=True), ("average H", "", "", h * BITS)],
            ),
            Bars(
                "entropy in bits",
                [
                    ("always the same", 0.0),
                    ("this station", h * BITS),
                    (f"all {n} equally likely", most * BITS),
                ],
                marked=(1,),
            ),
            f"H = {both(h)}. It lies between 0, when you know the word beforehand, and log {n} = "
            f"{both(most)}, when every outcome is as likely as any other. {code}",
            Curve(
                "entropy in bits",
                f"probability of {names[0]}",
                [(x, entropy(moved(p, x)) * BITS) for x in at],
                (p[0], h * BITS),
            ),
        ),
        facts,
    )


_BLANK = [1 / 2, *[1 / 8] * 4]

ENTROPY = Lesson(
    name="entropy",
    title="Entropy: how much does an outcome tell on average?",
    line="Mean information: 0 if you always know, log n if never.",
    examples=(
        Example(
            entropy_example,
            {"p": distribution},
            {"p": "1/2,1/4,1/4"},
            (Dial("probability of sun", (0.0, *STEPS, 1.0), 0.5, lambda x: {"p": three(x)}),),
        ),
    ),
    formula=("H(X) = -sum_x p(x) log p(x) = E[ -log p(X) ]",),
    words=(
        "Entropy is the surprise you should expect before the message comes.",
        "It is also the length of the shortest code: likely things get short names.",
    ),
    mistake="Taking entropy for spread. A coin that pays 0 or 1 and a coin that pays 0 or 1000 "
    f"have the same entropy, {both(entropy([0.5, 0.5]))}: it counts how unsure you are, not how "
    "far apart the outcomes lie.",
    question="A view is blank half of the time; otherwise it shows one of 4 equally likely digits. "
    "What is its entropy in bits?",
    answer=entropy(_BLANK) * BITS,
    solution=f"{say(entropy(_BLANK) * BITS)} bits: half the time {say(surprisal(1 / 2) * BITS)} "
    f"bit, and four times an eighth of {say(surprisal(1 / 8) * BITS)} bits.",
    tries=("--p 0.9,0.05,0.05", "--p 1/3,1/3,1/3", "--p 1,0,0"),
    reference="C. Shannon 1948, section 6; Cover and Thomas, sections 2.1 and 5.3.",
    facts={
        "coin": [entropy([0.5, 0.5]) * BITS, entropy([0.5, 0.5]), 0, 1, 1000],
        "blank": [4, entropy(_BLANK) * BITS, surprisal(1 / 2) * BITS, surprisal(1 / 8) * BITS],
    },
)
