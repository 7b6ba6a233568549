"""Lessons on what two things share: mutual information, and views."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from goodviews.information import (
    BITS,
    conditional_entropy,
    entropy,
    gaussian_information,
    mutual_information,
    pointwise_information,
)
from goodviews.primer.lesson import Bars, Curve, Dial, Example, Facts, Lesson, Shown, Table
from goodviews.primer.numbers import bits, both, count, joint, number, say

AGREEMENT = tuple(round(0.5 + 0.05 * i, 2) for i in range(11))
"""Positions of a dial that turns how often two coins agree."""


def agreeing(share: float) -> str:
    """Two fair coins that agree this often, as typed.

    Example:
        >>> agreeing(0.8)
        '0.4,0.1,0.1,0.4'
    """
    same, other = f"{share / 2:g}", f"{(1 - share) / 2:g}"
    return ",".join((same, other, other, same))


# --- mutual information -------------------------------------------------------------------------


def table_example(joint: Sequence[Sequence[float]]) -> Shown:
    """Two views of one photograph that mostly agree."""
    table = np.array(joint)
    x, y = table.sum(1), table.sum(0)
    h, rest, shared = entropy(x), conditional_entropy(table), mutual_information(table)
    ratio = pointwise_information(table)
    product = x[:, None] * y
    facts: Facts = {"joint": table, "x": x, "y": y, "ratio": ratio, "product": product, "I": shared}
    facts |= {"HX": h * BITS, "HY": entropy(y) * BITS, "H(X|Y)": rest * BITS, "bits": shared * BITS}
    facts |= {
        "HXY": entropy(table) * BITS,
        "total": 1.0,
        "names": list(range(1, 1 + max(table.shape))),
    }
    return Shown(
        (
            "Two views of one photograph. X and Y say in which part each view shows the dog; the "
            "table says how often they answer what.",
            Table(
                ("", *(f"Y = {j + 1}" for j in range(len(y))), "p(x)"),
                [
                    *((f"X = {i + 1}", *map(float, row), x[i]) for i, row in enumerate(table)),
                    ("p(y)", *map(float, y), 1.0),
                ],
            ),
            f"Before you see Y, X is worth {bits(h)}. Once you have seen Y, {bits(rest)} "
            "of doubt are left. The difference is what Y told you: "
            f"I(X;Y) = {both(shared)}.",
            Bars(
                "bits",
                [
                    ("doubt about X: H(X)", facts["HX"]),
                    ("left once Y is known: H(X|Y)", facts["H(X|Y)"]),
                    ("told by Y: I(X;Y)", facts["bits"]),
                ],
                marked=(2,),
            ),
            f"The same from both sides: H(X) + H(Y) - H(X,Y) = {say(facts['HX'])} + "
            f"{say(facts['HY'])} - {say(facts['HXY'])} = {bits(shared)}. And cell by "
            "cell: compare how often a pair comes with how often it would come by accident, "
            "p(x) p(y).",
            Table(
                ("X, Y", "p(x,y)", "p(x) p(y)", "log of the ratio, nats"),
                [
                    (f"{i + 1}, {j + 1}", table[i, j], product[i, j], ratio[i, j])
                    for i in range(len(x))
                    for j in range(len(y))
                ],
            ),
            f"The mean of the last column, pairs weighed by p(x,y), is {say(shared)} nats again. "
            "That column is what a critic has to learn.",
        ),
        facts,
    )


def bell_example(rho: float) -> Shown:
    """Two Gaussian columns with a correlation."""
    shared = gaussian_information(rho)
    known = [0.2, 0.5, 0.9]
    facts: Facts = {"rho": rho, "I": shared, "rhos": known, "law": [-0.5, 2, 1]}
    facts |= {"known": [gaussian_information(r) for r in known]}
    at = [0.98 * i / 60 for i in range(61)]
    here = min(abs(rho), 0.98)
    return Shown(
        (
            "Numbers instead of words: two bell-shaped columns with correlation rho share "
            f"-0.5 log(1 - rho^2). For rho = {say(rho)} that is {say(shared)} nats; "
            + ", ".join(
                f"{say(r)} gives {say(i)}" for r, i in zip(known, facts["known"], strict=True)
            )
            + ". It grows without limit as rho goes to 1.",
            Curve(
                "I(X;Y) in nats",
                "correlation rho",
                [(r, gaussian_information(r)) for r in at],
                (here, gaussian_information(here)),
            ),
        ),
        facts,
    )


_JOINT = [[0.4, 0.1], [0.1, 0.4]]
_BLUR = np.array([[0.9, 0.1], [0.1, 0.9]])
_SQUARE = [[0, 1 / 3], [1 / 3, 0], [0, 1 / 3]]  # X = -1, 0, 1 and Y = X^2 = 0, 1
_COPY = np.eye(8) / 8

MUTUAL_INFORMATION = Lesson(
    name="mutual-information",
    title="Mutual information: how much does one thing tell about another?",
    line="The doubt about X that seeing Y removes, and vice versa.",
    examples=(
        Example(
            table_example,
            {"joint": joint},
            {"joint": "0.4,0.1,0.1,0.4"},
            (Dial("how often the views agree", AGREEMENT, 0.8, lambda x: {"joint": agreeing(x)}),),
        ),
        Example(
            bell_example,
            {"rho": number(-1, 1)},
            {"rho": "0.5"},
            (
                Dial(
                    "correlation",
                    (*(round(0.05 * i, 2) for i in range(20)), 0.98),
                    0.5,
                    lambda x: {"rho": f"{x:g}"},
                ),
            ),
        ),
    ),
    formula=(
        "I(X;Y) = KL( p(x,y) || p(x) p(y) ) = E log[ p(y|x) / p(y) ]",
        "       = H(X) - H(X|Y) = H(X) + H(Y) - H(X,Y)",
    ),
    words=(
        "Mutual information is the doubt about X that seeing Y removes.",
        "It is 0 if they are independent, and all of H(X) if Y gives X away.",
    ),
    rules=(
        "Processing adds nothing: I(f(X);g(Y)) <= I(X;Y), with equality if f and g can be undone. "
        "In the table 0.4, 0.1, 0.1, 0.4 let Y be misread one time in ten, and "
        f"{say(mutual_information(_JOINT))} nats become {say(mutual_information(_JOINT @ _BLUR))}.",
        "Chain rule: I(A;B,C) = I(A;B) + I(A;C|B). What B and C tell together is what B tells, and "
        "what C adds to it.",
    ),
    mistake="Taking correlation for it. Let X be -1, 0 or 1, equally likely, and Y its square. "
    f"Their correlation is 0, yet they share {both(mutual_information(_SQUARE))}: Y is known from "
    "X exactly. Correlation sees straight lines only.",
    question="Y is an exact copy of X, one of 8 equally likely values. What is I(X;Y) in bits?",
    answer=mutual_information(_COPY) * BITS,
    solution=f"{say(mutual_information(_COPY) * BITS)} bits: nothing is left of the doubt, so "
    "I(X;Y) = H(X) = log2 8.",
    tries=("--joint 0.25,0.25,0.25,0.25", "--joint '0.3,0.1,0.1;0.1,0.1,0.3'", "--rho 0.9"),
    reference="Cover and Thomas, sections 2.3 to 2.8 and 8.5.",
    facts={
        "blur": [0.4, 0.1, mutual_information(_JOINT), mutual_information(_JOINT @ _BLUR)],
        "square": [-1, 0, 1, mutual_information(_SQUARE) * BITS, mutual_information(_SQUARE)],
        "copy": [8, 2, mutual_information(_COPY) * BITS],
    },
)


# --- views --------------------------------------------------------------------------------------

_THINGS = ("cookies", "bread", "a pie", "pizza", "waffles", "a cake", "a roast", "muffins")
_OWN = 2


def kitchen(things: int, shared: int) -> np.ndarray:
    """The joint table of two views of one kitchen.

    Both show which of ``things`` is in the oven and which of ``shared`` kitchens it is; each has
    one more detail of its own that takes two values. Everything is uniform and independent.

    Returns:
        Shape (2 things shared, 2 things shared).

    Example:
        >>> kitchen(2, 1).tolist()[0]
        [0.125, 0.125, 0.0, 0.0]
    """
    common = things * shared
    return np.kron(np.eye(common) / common, np.full((_OWN, _OWN), 1 / _OWN**2))


def views_example(n: int, shared: int) -> Shown:
    """Sight and smell of one oven."""
    table = kitchen(n, shared)
    view, both_views = entropy(table.sum(1)), mutual_information(table)
    facts: Facts = {
        "n": n,
        "shared": shared,
        "own": _OWN,
        "HV": view * BITS,
        "I bits": both_views * BITS,
    }
    facts |= {"I": both_views, "context": math.log(n) * BITS, "own bits": math.log(_OWN) * BITS}
    facts |= {"excess": (both_views - math.log(n)) * BITS, "collapse": math.log(n)}
    things = ", ".join(_THINGS[:n]) + (", ..." if n > len(_THINGS) else "")
    nuisance = (
        f"Both show what bakes, and in which of {shared} kitchens."
        if shared > 1
        else "Both show what bakes."
    )
    return Shown(
        (
            f"Something bakes, one of {n} things ({things}). View 1 is the sight of it, under a "
            f"bright or a dim lamp; view 2 is the smell, the window open or closed. {nuisance} "
            "How much do the two views share?",
            Bars(
                "bits",
                [
                    ("all of view 1: H(v1)", facts["HV"]),
                    ("all of view 2: H(v2)", facts["HV"]),
                    ("shared: I(v1;v2)", facts["I bits"]),
                    ("the context: what bakes", facts["context"]),
                    ("shared beyond the context", facts["excess"]),
                ],
                marked=(2, 3),
            ),
            f"They share {both(both_views)}. What bakes is worth {bits(math.log(n))} of "
            f"it. The lamp and the window, {bits(math.log(_OWN))} each, are not shared: "
            "features of the two views that agree cannot contain them."
            + (
                f" The kitchen is shared though nobody asked for it: {say(facts['excess'])} bits "
                "of excess noise, which features will carry along."
                if shared > 1
                else " So what the views share is the context and nothing but the context: the "
                "sweet spot."
            ),
            Table(
                ("view 1", "view 2", "pair", "in training"),
                [
                    (
                        f"sight of {_THINGS[0]}",
                        f"smell of {_THINGS[0]}",
                        "positive",
                        "pull together",
                    ),
                    (f"sight of {_THINGS[0]}", f"smell of {_THINGS[1]}", "negative", "push apart"),
                ],
            ),
        ),
        facts,
    )


VIEWS = Lesson(
    name="views",
    title="Views: what is a view, a context, a positive, a negative?",
    line="View, context, positive, negative: what is to be shared.",
    examples=(
        Example(
            views_example,
            {"n": count(2, 64), "shared": count(1, 16)},
            {"n": "4", "shared": "1"},
            (
                Dial("things that may bake", (2, 3, 4, 6, 8), 4, lambda x: {"n": f"{x:g}"}),
                Dial("kitchens both views show", (1, 2, 3, 4), 1, lambda x: {"shared": f"{x:g}"}),
            ),
        ),
    ),
    formula=(
        "view:      what some processing makes of a thing (a crop, its colours)",
        "context:   what all views of the thing share",
        "positive:  two views of one thing; negative: views of different things",
    ),
    words=(
        "The processing decides what two views share: that is choosing views.",
        "Pulling positives together and negatives apart keeps what is shared.",
    ),
    rules=(
        "Too little shared, and the task's information is missing; more than the task needs, and "
        "the rest is excess noise; just enough is the sweet spot (InfoMin).",
        "Predict one view given the other, against negatives, rather than in absolute terms: 'the "
        "same value for every image' is then no answer. I(v1;v2) reads: how much better can v2 be "
        "guessed once v1 is known?",
    ),
    mistake="Only pulling positives together. An encoder that says the same of everything does it "
    "perfectly: every positive pair at distance 0, and not one bit of information. Against "
    "negatives it is found out, since all candidates score the same and the loss of 4 candidates "
    f"stays at chance, log 4 = {say(math.log(4))} nats.",
    question="Two views share which of 16 equally likely things they show, and nothing else. Each "
    "has 1 bit of noise of its own. What is I(v1;v2) in bits?",
    answer=mutual_information(kitchen(16, 1)) * BITS,
    solution=f"{say(mutual_information(kitchen(16, 1)) * BITS)} bits, log2 16. Noise that is not "
    "shared adds to H(v1), which is 5 bits, and not to I(v1;v2).",
    tries=("--n 8", "--shared 3"),
    reference="Y. Tian et al. 2020 (InfoMin), sections 2 and 3; P. Bachman et al. 2019 (AMDIM).",
    facts={
        "positions": [1, 2, 0],
        "collapse": [4, math.log(4)],
        "sixteen": [16, 1, 2, mutual_information(kitchen(16, 1)) * BITS],
        "view": entropy(kitchen(16, 1).sum(1)) * BITS,
    },
)
