"""Every number of every lesson by a second road: plain loops over the definitions.

`EXAMPLES` recomputes all that an example shows; then no lesson may print a number that is not
among them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from itertools import product
from typing import Any

import pytest

from goodviews.primer import LESSONS
from goodviews.primer.lesson import Bars, Curve, Table
from goodviews.primer.numbers import cell, say
from goodviews.primer.terminal import block_lines

LN2 = math.log(2)


def log2(x: float) -> float:
    return math.log(x) / LN2


def surprise(p: float) -> float:
    return math.inf if p == 0 else math.log(1 / p)


def mean_surprise(p: Iterable[float], q: Iterable[float]) -> float:
    return sum(a * surprise(b) for a, b in zip(p, q, strict=True) if a)


def moved(p: list[float], first: float) -> list[float]:
    rest = sum(p[1:])
    return [first] + [(1 - first) * (x / rest if rest else 1 / (len(p) - 1)) for x in p[1:]]


def divergence(p: list[float], q: list[float]) -> float:
    return mean_surprise(p, q) - mean_surprise(p, p)


def shared(joint: list[list[float]]) -> float:
    x = [sum(row) for row in joint]
    y = [sum(column) for column in zip(*joint, strict=True)]
    cells = [v for row in joint for v in row]
    return mean_surprise(x, x) + mean_surprise(y, y) - mean_surprise(cells, cells)


def counted_infonce(joint: list[list[float]], k: int) -> float:
    """E[I_NCE] of two values of y: the negatives that take the first are binomial."""
    x = [sum(row) for row in joint]
    y = [sum(column) for column in zip(*joint, strict=True)]
    total = 0.0
    for i, j in product(range(len(x)), range(2)):
        r = [joint[i][b] / (x[i] * y[b]) for b in range(2)]
        for n in range(k) if joint[i][j] else ():
            logs = math.lgamma(k) - math.lgamma(n + 1) - math.lgamma(k - n)
            logs += n * math.log(y[0]) + (k - 1 - n) * math.log(y[1])
            mean = (r[j] + n * r[0] + (k - 1 - n) * r[1]) / k
            total += joint[i][j] * math.exp(logs) * math.log(r[j] / mean)
    return total


def counted_ceiling(n: int, k: int) -> float:
    """The same where y is a copy of x: copies of the positive among the negatives are binomial."""
    total = 0.0
    for copies in range(k):
        logs = math.lgamma(k) - math.lgamma(copies + 1) - math.lgamma(k - copies)
        logs += copies * math.log(1 / n) + (k - 1 - copies) * math.log(1 - 1 / n)
        total += math.exp(logs) * math.log(k / (1 + copies))
    return total


# --- a second road to every example: options -> facts, and what its curves draw ------------------


def information(p):
    h = [surprise(x) for x in p]
    a, b = (p[0], p[1]) if len(p) > 1 else (p[0], p[0])
    return {
        "p": p,
        "bits": [x / LN2 for x in h],
        "nats": h,
        "both p": a * b,
        "both bits": (surprise(a) + surprise(b)) / LN2,
        "each bits": [surprise(a) / LN2, surprise(b) / LN2],
    }, []


def one_message(p):
    facts = {"p": p[0], "nats": surprise(p[0]), "bits": surprise(p[0]) / LN2}
    return facts, [lambda x: -log2(x)]


def entropy(p):
    n, h = len(p), mean_surprise(p, p)
    bits = [surprise(x) / LN2 for x in p]
    return {
        "p": p,
        "bits": bits,
        "shares": [a * b if a else 0.0 for a, b in zip(p, bits, strict=True)],
        "nats": h,
        "H bits": h / LN2,
        "n": n,
        "most bits": log2(n),
        "most nats": math.log(n),
        "certain": 0.0,
    }, [lambda x: mean_surprise(moved(p, x), moved(p, x)) / LN2]


def cross_entropy(p, q=None):
    q = q or [1 / len(p)] * len(p)
    h, cross = mean_surprise(p, p), mean_surprise(p, q)
    bits = [surprise(x) / LN2 for x in q]
    return {
        "p": p,
        "q": q,
        "bits": bits,
        "shares": [a * b if a else 0.0 for a, b in zip(p, bits, strict=True)],
        "cross": cross,
        "cross bits": cross / LN2,
        "H": h,
        "H bits": h / LN2,
        "extra bits": (cross - h) / LN2,
    }, [lambda x: mean_surprise(p, moved(q, x)) / LN2]


def classification(q):
    facts = {"q": q, "loss": surprise(q[0]), "chance": math.log(len(q)), "n": len(q)}
    return facts, [surprise]


def kl(p, q=None):
    q = q or [1 / len(p)] * len(p)
    ratio = [log2(a / b) if a and b else math.inf if a else -math.inf if b else 0.0
             for a, b in zip(p, q, strict=True)]  # fmt: skip
    forward, back = divergence(p, q), divergence(q, p)
    return {
        "p": p,
        "q": q,
        "ratio": ratio,
        "shares": [a * r if a else 0.0 for a, r in zip(p, ratio, strict=True)],
        "forward": forward,
        "forward bits": forward / LN2,
        "back": back,
        "back bits": back / LN2,
    }, [lambda x: divergence(p, moved(q, x)) / LN2]


def bells(shift):
    facts = {"shift": shift, "kl": shift * shift / 2, "width": [1, 2]}
    return facts, [lambda x: x * x / 2]


def joint_table(joint):
    x = [sum(row) for row in joint]
    y = [sum(column) for column in zip(*joint, strict=True)]
    cells = [v for row in joint for v in row]
    hx, hy, hxy = (mean_surprise(t, t) for t in (x, y, cells))
    ratio = [
        math.log(joint[i][j] / (x[i] * y[j])) if joint[i][j] else -math.inf if x[i] * y[j] else 0.0
        for i, j in product(range(len(x)), range(len(y)))
    ]
    return {
        "joint": cells,
        "x": x,
        "y": y,
        "ratio": ratio,
        "product": [a * b for a in x for b in y],
        "I": hx + hy - hxy,
        "bits": (hx + hy - hxy) / LN2,
        "HX": hx / LN2,
        "HY": hy / LN2,
        "HXY": hxy / LN2,
        "H(X|Y)": (hxy - hy) / LN2,
        "total": 1.0,
        "names": list(range(1, 1 + max(len(x), len(y)))),
    }, []


def correlation(rho):
    def nats(r):
        return math.log(1 / math.sqrt(1 - r * r))

    return {
        "rho": rho,
        "I": nats(rho),
        "rhos": [0.2, 0.5, 0.9],
        "known": [nats(0.2), nats(0.5), nats(0.9)],
        "law": [-0.5, 2, 1],
    }, [nats]


def kitchen(n, shared):
    return {
        "n": n,
        "shared": shared,
        "own": 2,
        "HV": log2(2 * n * shared),
        "I bits": log2(n * shared),
        "I": math.log(n * shared),
        "context": log2(n),
        "own bits": 1.0,
        "excess": log2(shared),
        "collapse": math.log(n),
    }, []


def fakes(p_model, p_noise, negatives):
    m, z, k = p_model, p_noise, negatives
    return {
        "model": m,
        "noise": z,
        "k": k,
        "fakes": k * z,
        "sum": m + k * z,
        "posterior": m / (m + k * z),
        "ratio": m / z,
        "log ratio": math.log(m) - math.log(z),
        "1": 1,
        "log k": math.log(k),
        "logit": math.log(m / (k * z)),
        "toss-up": 0.5,
    }, [lambda x: m / (m + x * z)]


def loss_of(scores, t):
    top = max(scores)
    total = sum(math.exp((s - top) / t) for s in scores)
    return math.log(total) - (scores[0] - top) / t


def quiz(scores, temperature):
    k, loss = len(scores), loss_of(scores, temperature)
    weights = [math.exp((s - max(scores)) / temperature) for s in scores]
    return {
        "scores": scores,
        "T": temperature,
        "shares": [w / sum(weights) for w in weights],
        "K": k,
        "loss": loss,
        "chance": math.log(k),
        "I": math.log(k) - loss,
        "others": list(range(1, k)),
    }, []


def temperatures(scores, temperature):
    ts = sorted({0.07, 0.2, 0.5, 1.0, temperature})
    return {
        "scores": scores,
        "T": ts,
        "losses": [loss_of(scores, t) for t in ts],
        "sure": [math.exp(-loss_of(scores, t)) for t in ts],
        "-1": [-1, 1],
        "chance": math.log(len(scores)),
    }, [lambda t: loss_of(scores, t)]


def tightening(joint, candidates):
    ks = sorted(set(candidates))
    return {
        "I": shared(joint),
        "K": ks,
        "shown": [counted_infonce(joint, k) for k in ks],
        "ceilings": [math.log(k) for k in ks],
        "joint": [v for row in joint for v in row],
    }, []


def copies(n, candidates):
    ks = sorted(set(candidates))
    return {
        "n": n,
        "I": math.log(n),
        "K": ks,
        "shown": [counted_ceiling(n, k) for k in ks],
        "ceilings": [math.log(k) for k in ks],
        "bits": [log2(k) for k in ks],
    }, []


def faces(n):
    return {"n": n, "faces": [math.log(n)] * 5, "bits": log2(n), "1": 1}, [math.log]


MESSAGES = {"p": [1 / 2, 1 / 6, 1 / 8, 1 / 10]}
P = [1 / 2, 1 / 4, 1 / 4]
JOINT = [[0.4, 0.1], [0.1, 0.4]]

EXAMPLES: dict[tuple[str, int], tuple[Any, dict[str, Any], list[dict[str, Any]]]] = {
    # lesson, place: second road, its defaults, and other numbers a reader may try
    ("information", 0): (information, MESSAGES, [{"p": [0.9]}, {"p": [0.5, 0.001, 1.0]}]),
    ("information", 1): (one_message, {"p": [1 / 8]}, [{"p": [0.9]}, {"p": [0.001]}]),
    ("entropy", 0): (entropy, {"p": P}, [{"p": [0.9, 0.05, 0.05]}, {"p": [1, 0]}]),
    ("cross-entropy", 0): (
        cross_entropy,
        {"p": P},
        [{"q": [0.2, 0.3, 0.5]}, {"p": [0.3, 0.7]}, {"p": [1, 0, 0], "q": [0.7, 0.2, 0.1]}],
    ),
    ("cross-entropy", 1): (classification, {"q": [0.7, 0.2, 0.1]}, [{"q": [0.01, 0.99]}]),
    ("kl", 0): (
        kl,
        {"p": P},
        [{"q": [0.2, 0.3, 0.5]}, {"p": [0.5, 0.5], "q": [1, 0]}, {"p": [1, 0], "q": [0.25, 0.75]}],
    ),
    ("kl", 1): (bells, {"shift": 1.0}, [{"shift": 2.5}, {"shift": 7.0}]),
    ("mutual-information", 0): (
        joint_table,
        {"joint": JOINT},
        [{"joint": [[0.25, 0.25], [0.25, 0.25]]}, {"joint": [[0.3, 0.1, 0.1], [0.1, 0, 0.4]]}],
    ),
    ("mutual-information", 1): (correlation, {"rho": 0.5}, [{"rho": 0.9}, {"rho": -0.3}]),
    ("views", 0): (kitchen, {"n": 4, "shared": 1}, [{"n": 8}, {"shared": 3}, {"n": 12}]),
    ("nce", 0): (
        fakes,
        {"p_model": 0.6, "p_noise": 0.1, "negatives": 5},
        [{"negatives": 50}, {"p_model": 0.1, "negatives": 1}],
    ),
    ("infonce", 0): (
        quiz,
        {"scores": [2.0, 0, 0, 0], "temperature": 1.0},
        [{"scores": [0.0, 2, 1]}, {"temperature": 0.5}],
    ),
    ("infonce", 1): (
        temperatures,
        {"scores": [0.9, 0.1, 0.2, 0], "temperature": 0.07},
        [{"temperature": 0.3}, {"scores": [0.2, 0.9], "temperature": 3.0}],
    ),
    ("bounds", 0): (
        tightening,
        {"joint": JOINT, "candidates": [2, 4, 8, 16, 64, 256, 1024]},
        [{"joint": [[0.5, 0], [0, 0.5]]}, {"candidates": [2, 32]}],
    ),
    ("bounds", 1): (
        copies,
        {"n": 1000, "candidates": [128, 4097, 16385, 65537]},
        [{"n": 10}, {"candidates": [2, 500]}],
    ),
    ("five-faces", 0): (faces, {"n": 10}, [{"n": 2}, {"n": 100}]),
}

CASES = [
    (name, place, options)
    for (name, place), (_, _, others) in EXAMPLES.items()
    for options in ({}, *others)
]


def typed(value: Any) -> str:
    """A value as the reader types it."""
    if isinstance(value, list) and value and isinstance(value[0], list):
        return ";".join(map(typed, value))
    return ",".join(map(repr, value)) if isinstance(value, list) else repr(value)


def flat(value: Any) -> list[float]:
    """All numbers in a fact."""
    if hasattr(value, "ravel"):
        return [float(x) for x in value.ravel()]
    if isinstance(value, list | tuple):
        return [x for item in value for x in flat(item)]
    return [value]


def shown(name: str, place: int, options: dict[str, Any]) -> Any:
    given = {key: typed(value) for key, value in options.items()}
    return LESSONS[name].examples[place].shown(given)


def test_every_example_has_its_second_road():
    known = {(n, i) for n, lesson in LESSONS.items() for i in range(len(lesson.examples))}
    assert known == set(EXAMPLES)


@pytest.mark.parametrize(("name", "place", "options"), CASES)
def test_facts(name, place, options):
    """The facts of an example are those of plain loops, for the reader's numbers too."""
    road, defaults, _ = EXAMPLES[name, place]
    expected, _ = road(**{**defaults, **options})
    found = shown(name, place, options).facts
    assert set(found) == set(expected)
    for key, value in expected.items():
        assert flat(found[key]) == pytest.approx(flat(value), rel=1e-7, abs=1e-9), key


@pytest.mark.parametrize(("name", "place", "options"), CASES)
def test_curves(name, place, options):
    """Every point of a curve, and the reader's own, is on the function it is said to be."""
    road, defaults, _ = EXAMPLES[name, place]
    _, functions = road(**{**defaults, **options})
    curves = [b for b in shown(name, place, options).blocks if isinstance(b, Curve)]
    assert len(curves) == len(functions)
    for curve, function in zip(curves, functions, strict=True):
        for x, y in [*curve.points, curve.here]:
            assert y == pytest.approx(function(x), rel=1e-7, abs=1e-9)
        low, high = curve.points[0][0], curve.points[-1][0]
        assert low - 1e-9 <= curve.here[0] <= high + 1e-9


NUMBER = re.compile(r"(?<![\w.)^-])-?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?(?![\w])")


def numbers_in(text: str) -> list[str]:
    """Numbers of a text as written; log2, phi1 and v1 are names."""
    return [token.rstrip(",") for token in NUMBER.findall(text)]


def spellings(values: Iterable[float]) -> set[str]:
    both = {text for x in values for text in (say(x), cell(x), cell(float(x)), str(x))}
    return both | {text.lstrip("-") for text in both}


def test_numbers_are_found_in_texts():
    assert numbers_in("I = 1,000 is log2 8; v1, -0.5 and 5.9e-5.") == [
        "1,000",
        "8",
        "-0.5",
        "5.9e-5",
    ]


STRUCTURE = {
    # what is said in figures and is no result: "message 3", "class 1"
    "information": [1, 2, 3],
    "cross-entropy": [0, 1],
    "views": [1, 2],
    "infonce": [1, 2],
}


@pytest.mark.parametrize(("name", "place", "options"), CASES)
def test_an_example_prints_no_other_number(name, place, options):
    """Every number in the sentences, tables and bars is one of the facts, rightly rounded."""
    found = shown(name, place, options)
    allowed = spellings([x for v in found.facts.values() for x in flat(v)])
    allowed |= spellings(STRUCTURE.get(name, []))
    for block in found.blocks:
        if not isinstance(block, Curve):
            for token in numbers_in("\n".join(block_lines(block))):
                assert token in allowed, (token, block)


@pytest.mark.parametrize("name", [key for key in EXAMPLES if key[1] == 0])
def test_pictures_show_the_facts(name):
    """Bars and tables hold the very numbers, not only their texts."""
    found = shown(*name, {})
    facts = [x for v in found.facts.values() for x in flat(v)]
    for block in found.blocks:
        values: list[float] = []
        if isinstance(block, Bars):
            values = [x for _, x in block.rows]
        elif isinstance(block, Table):
            values = [x for row in block.rows for x in row if not isinstance(x, str)]
        for value in values:
            assert any(value == pytest.approx(fact, abs=1e-12) for fact in facts)


# --- the fixed texts ------------------------------------------------------------------------------

SQUARE = [[0, 1 / 3], [1 / 3, 0], [0, 1 / 3]]
MISREAD = [[0.4 * 0.9 + 0.1 * 0.1, 0.1 * 0.9 + 0.4 * 0.1]] * 1
MISREAD += [[row[1], row[0]] for row in MISREAD]

FIXED: dict[str, dict[str, Any]] = {
    "information": {
        "bits in a nat": 1 / LN2,
        "three coins": [3, 1, LN2],
        "chessboard": [64, 6, 6 * LN2],
        "halves": [32, 16, 8, 4, 2, 1],
    },
    "entropy": {"coin": [1, LN2, 0, 1, 1000], "blank": [4, 0.5 * 1 + 4 * 3 / 8, 1, 3]},
    "cross-entropy": {
        "coin": LN2,
        "error": [3 * math.log(10), 0.001, 0],
        "ten": [10, 1, math.log(10)],
    },
    "kl": {"coins": [1, LN2], "question": [1, 0, 3, 4, 2, 2]},
    "mutual-information": {
        "blur": [0.4, 0.1, shared(JOINT), shared(MISREAD)],
        "square": [-1, 0, 1, mean_surprise([1 / 3, 2 / 3], [1 / 3, 2 / 3]) / LN2, shared(SQUARE)],
        "copy": [8, 2, 3],
    },
    "views": {
        "positions": [1, 2, 0],
        "collapse": [4, 2 * LN2],
        "sixteen": [16, 1, 2, 4],
        "view": 5,
    },
    "nce": {
        "formula": [0, 1],
        "mistake": [0.6, 0.1, 1, 50, 6 / 7, 6 / 56, 6],
        "question": [4, 1, 1 / 5],
    },
    "infonce": {
        "formula": [1],
        "shift": [102, 100, 2, 0, 0, 0, math.log(1 + 3 * math.exp(-2))],
        "losses": [
            math.log(1 + 3 * math.exp(-2)),
            4,
            256,
            -math.log(1 / 4 + 3 / 4 * math.exp(-2)),
            math.log(256) - math.log(1 + 3 * math.exp(-2)),
        ],
        "question": [8, 0, 3 * LN2],
    },
    "bounds": {
        "nwj": [shared(JOINT), shared(JOINT) - 1 / math.e, 1 / math.e],
        "table": [0.4, 0.1, 1],
        "price": [2, 1, 5, 10, math.e**2 - 1, math.e**10 - 1, math.e**20 - 1],
        "question": [9, 512, 9 * LN2, math.e**9],
    },
    "five-faces": {"formula": [0, 1], "loss": [128, 7 * LN2, 256, 8 * LN2]},
}

ANSWERS = {
    "information": 6,
    "entropy": 2,
    "cross-entropy": math.log(10),
    "kl": 2,
    "mutual-information": 3,
    "views": 4,
    "nce": 0.2,
    "infonce": math.log(8),
    "bounds": math.log(512),
    "five-faces": 256,
}

QUOTED = {
    # figures of a question or a rule that are its own data
    "kl": ["1/4", "3/4", "(1, 0)"],
    "cross-entropy": ["1/10"],
    "bounds": ["2020"],
}


@pytest.mark.parametrize("name", LESSONS)
def test_fixed_texts(name):
    """Their facts by the second road, and no other number in them."""
    lesson = LESSONS[name]
    for key, value in FIXED[name].items():
        assert flat(lesson.facts[key]) == pytest.approx(flat(value), rel=1e-9), key
    assert set(lesson.facts) == set(FIXED[name])
    assert lesson.answer == pytest.approx(ANSWERS[name])
    assert say(lesson.answer) in lesson.solution
    texts = [*lesson.words, *lesson.rules, lesson.mistake, lesson.question, lesson.solution]
    text = "\n".join(texts)
    for quoted in QUOTED.get(name, []):
        assert quoted in text
        text = text.replace(quoted, "")
    allowed = spellings([x for v in FIXED[name].values() for x in flat(v)])
    for token in numbers_in(text):
        assert token in allowed, token


def test_the_numbers_of_the_papers():
    """The examples that every text on the subject uses, as the lessons print them."""
    text = {
        name: " ".join(
            " ".join(" ".join(block_lines(block)).split())
            for example in lesson.examples
            for block in example.shown({}).blocks
        )
        for name, lesson in LESSONS.items()
    }
    for name, words in {
        "information": ("2.5850", "3.0000", "3.3219", "2.3026", "0.6931"),
        "entropy": ("1.5 bits", "1.585 bits"),
        "cross-entropy": ("1.585 bits", "-log 0.7 = 0.3567"),
        "kl": ("0.08496 bits", "0.0817", "0.5 nats"),
        "mutual-information": ("1.722", "0.7219", "0.2781 bits (0.1927 nats)", "0.02041",
                               "0.1438", "0.8304"),
        "nce": ("0.5455",),
        "infonce": ("0.3408", "1.386", "1.046", "5.9e-5", "0.4786"),
        "bounds": ("0.0964", "0.1458", "0.1697", "0.1814", "0.1899", "0.1920", "0.1926",
                   "4.8520", "8.3180", "9.7041", "11.0904", "16.0000"),
        "five-faces": ("2.3026", "3.322 bits"),
    }.items():  # fmt: skip
        for word in words:
            assert word in text[name], (name, word)
    assert "1.386" in text["views"]
