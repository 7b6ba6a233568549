"""Lessons on what a measured number can prove: bounds and their ceiling, log n and its faces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from goodviews.contrast import expected_infonce, expected_nwj, infonce_loss
from goodviews.information import (
    BITS,
    ceiling,
    cross_entropy,
    entropy,
    mutual_information,
    pointwise_information,
    surprisal,
)
from goodviews.primer.lesson import Bars, Curve, Dial, Example, Facts, Lesson, Shown, Table
from goodviews.primer.numbers import count, counts, joint, say
from goodviews.primer.sharing import AGREEMENT, agreeing

# --- bounds -------------------------------------------------------------------------------------


def bounds_example(joint: Sequence[Sequence[float]], candidates: Sequence[int]) -> Shown:
    """What the best critic shows of a joint table."""
    shared, ks = mutual_information(joint), sorted(set(candidates))
    shown = [expected_infonce(joint, k) for k in ks]
    ceilings = [ceiling(k) for k in ks]
    facts: Facts = {"I": shared, "K": ks, "shown": shown, "ceilings": ceilings, "joint": joint}
    return Shown(
        (
            "Two views with a joint table, as in the lesson mutual-information, share "
            f"I = {say(shared)} nats. How much of it does InfoNCE show with the best critic there "
            "is, on average over all draws? (Computed exactly, nothing is sampled.)",
            Table(
                ("candidates K", "I_NCE, nats", "ceiling log K"),
                list(zip(ks, shown, ceilings, strict=True)),
            ),
            Bars(
                "nats",
                [*((f"K = {k:,}", s) for k, s in zip(ks, shown, strict=True)), ("I(X;Y)", shared)],
                marked=(len(ks),),
            ),
            "With few candidates even a perfect critic proves less than there is; more candidates "
            "tighten the bound.",
        ),
        facts,
    )


def ceiling_example(n: int, candidates: Sequence[int]) -> Shown:
    """Two views that share which of n things they show."""
    shared, ks = math.log(n), sorted(set(candidates))
    shown = [_of_copies(n, k) for k in ks]
    ceilings = [ceiling(k) for k in ks]
    facts: Facts = {"n": n, "I": shared, "K": ks, "shown": shown, "ceilings": ceilings}
    facts |= {"bits": [c * BITS for c in ceilings]}
    verdict = (
        "A quiz with K answers is won once every answer is right; how much more the views share, "
        "it cannot tell."
        if ceilings[0] < shared
        else "No ceiling is in the way, since log K is at least I; more candidates help still."
    )
    return Shown(
        (
            f"Now views that share a lot: which one of {n:,} things it is, so I = log {n:,} = "
            f"{say(shared)} nats. Again the best critic:",
            Table(
                ("candidates K", "ceiling log K", "in bits", "I_NCE, nats"),
                list(zip(ks, ceilings, facts["bits"], shown, strict=True)),
            ),
            Bars(
                "nats",
                [*((f"K = {k:,}", s) for k, s in zip(ks, shown, strict=True)), ("I(X;Y)", shared)],
                marked=(len(ks),),
            ),
            f"With K = {ks[0]:,} it shows {say(shown[0])} nats of {say(shared)}. {verdict}",
        ),
        facts,
    )


@lru_cache(maxsize=256)
def _of_copies(n: int, candidates: int) -> float:
    """E[I_NCE] where Y is a copy of X, one of n values."""
    return expected_infonce(np.eye(n) / n, candidates)


_JOINT = np.array([[0.4, 0.1], [0.1, 0.4]])
_BEST = 1.0 + pointwise_information(_JOINT)
_PRICE = (1, 5, 10)

BOUNDS = Lesson(
    name="bounds",
    title="Bounds and the ceiling: what can a measured number prove?",
    line="What a number can prove: InfoNCE never more than log K.",
    examples=(
        Example(
            bounds_example,
            {"joint": joint, "candidates": counts(2, 10**7)},
            {"joint": "0.4,0.1,0.1,0.4", "candidates": "2,4,8,16,64,256,1024"},
            (Dial("how often the views agree", AGREEMENT, 0.8, lambda x: {"joint": agreeing(x)}),),
        ),
        Example(
            ceiling_example,
            {"n": count(2, 2000), "candidates": counts(2, 10**7)},
            {"n": "1000", "candidates": "128,4097,16385,65537"},
            (
                Dial(
                    "things the views tell apart",
                    (2, 10, 50, 100, 200, 500, 1000),
                    1000,
                    lambda x: {"n": f"{x:g}"},
                ),
            ),
        ),
    ),
    formula=(
        "E[ I_NCE ] <= min( I(X;Y), log K )",
        "I_NWJ = E_p(x,y)[f] - (1/e) E_p(x)p(y)[e^f] <= I(X;Y)",
        "best f for NWJ: 1 + log p(x,y) / ( p(x) p(y) )",
    ),
    words=(
        "A lower bound says: at least this much. Low: little shared, or a poor critic.",
        "Near its ceiling it says nothing more: compare K before you compare numbers.",
    ),
    rules=(
        "NWJ has no ceiling: of the table 0.4, 0.1, 0.1, 0.4 its best critic shows all "
        f"{say(expected_nwj(_JOINT, _BEST))} nats. But a critic off by 1, such as one trained with "
        "the Jensen-Shannon objective, makes it "
        f"{say(expected_nwj(_JOINT, _BEST - 1.0))}, too low by 1/e = {say(math.exp(-1))}.",
        "And it pays in variance: between Gaussians that share I nats, one negative's term has "
        "variance e^(2I) - 1, which is "
        + ", ".join(f"{say(math.expm1(2 * i))} for {i}" for i in _PRICE)
        + " nats. A ceiling or a variance: every such bound has one of them.",
        "So a number needs its K, its error, the same number for shuffled pairs, and pairs held "
        "out: goodviews reports all of them.",
    ),
    mistake="Reading I_NCE near log K as the information, or a higher bound as a better "
    "representation. The first is a matter of arithmetic, above. The second was tested: tighter "
    "bounds on more information did not make better features (Tschannen et al. 2020); which "
    "information is shared matters.",
    question="Two views share 9 nats. You measure with K = 512. What is the most that I_NCE can "
    "show, in nats?",
    answer=ceiling(512),
    solution=f"log 512 = {say(ceiling(512))} nats. To prove 9 nats you need at least e^9 = "
    f"{say(math.exp(9))} candidates.",
    tries=("--n 100", "--candidates 2,32,512", "--joint 0.5,0,0,0.5"),
    reference="B. Poole et al. 2019; D. McAllester, K. Stratos 2020; M. Tschannen et al. 2020.",
    facts={
        "nwj": [expected_nwj(_JOINT, _BEST), expected_nwj(_JOINT, _BEST - 1.0), math.exp(-1)],
        "table": [0.4, 0.1, 1],
        "price": [2, _PRICE, [math.expm1(2 * i) for i in _PRICE]],
        "question": [9, 512, ceiling(512), math.exp(9)],
    },
)


# --- five faces ---------------------------------------------------------------------------------


def faces_example(n: int) -> Shown:
    """One number, five meanings."""
    first = [1.0, *[0.0] * (n - 1)]
    uniform = [1 / n] * n
    faces = {
        "information of one outcome of n": surprisal(1 / n),
        "entropy of n equal outcomes": entropy(uniform),
        "loss of a blind classifier": cross_entropy(first, uniform),
        "InfoNCE loss at chance": infonce_loss([0.0] * n),
        "ceiling of I_NCE": ceiling(n),
    }
    facts: Facts = {"n": n, "faces": list(faces.values()), "bits": math.log(n) * BITS, "1": 1}
    top = max(20, 2 * n)
    at = [1 + (top - 1) * i / 60 for i in range(61)]
    return Shown(
        (
            f"Take n = {n:,}. Five questions, each answered by its own function:",
            Bars("nats", list(faces.items()), marked=(4,)),
            f"All five are -log(1/{n:,}) = log {n:,} = {say(math.log(n))} nats "
            f"({say(facts['bits'])} bits).",
            Curve("log n in nats", "n", [(x, math.log(x)) for x in at], (float(n), math.log(n))),
        ),
        facts,
    )


FIVE_FACES = Lesson(
    name="five-faces",
    title="-log(1/n) = log n: one number with five faces",
    line="Information, entropy, two losses, a ceiling: all log n.",
    examples=(
        Example(
            faces_example,
            {"n": count(2, 100_000)},
            {"n": "10"},
            (
                Dial(
                    "n",
                    (2, 4, 8, 10, 16, 32, 64, 100, 128, 256, 512, 1000, 1024, 4096),
                    10,
                    lambda x: {"n": f"{x:g}"},
                ),
            ),
        ),
    ),
    formula=(
        "(a) information of one of n equally likely outcomes     -log(1/n)",
        "(b) entropy of a uniform variable on n values           -n (1/n) log(1/n)",
        "(c) cross-entropy of a classifier that guesses          -log(1/n)",
        "(d) InfoNCE loss at chance with n candidates            -log( e^0 / (n e^0) )",
        "(e) ceiling of the InfoNCE bound with n candidates      log n - 0",
    ),
    words=(
        "log n is what it takes to name one of n.",
        "Knowing nothing you pay it, (a) to (d); knowing everything you have it, (e).",
    ),
    mistake="Worrying about a contrastive loss that starts at "
    f"{say(ceiling(128))} with 128 candidates: it is log 128, chance, where it should start. Worry "
    "if it stays there: then the encoder says the same of everything.",
    question="A contrastive training starts with a loss of "
    f"{say(ceiling(256))} nats. How many candidates does it use?",
    answer=256.0,
    solution=f"256, since e^{say(ceiling(256))} = 256 within rounding: at the start the loss is "
    "log K.",
    tries=("--n 128", "--n 65537"),
    reference="All the lessons above.",
    facts={"formula": [0, 1], "loss": [128, ceiling(128), 256, ceiling(256)]},
)
