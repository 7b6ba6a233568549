"""Lessons on believing q where p is true: cross-entropy and KL."""

from __future__ import annotations

import math
from collections.abc import Sequence

from goodviews.information import (
    BITS,
    cross_entropy,
    entropy,
    gaussian_kl,
    kl_divergence,
    surprisal,
)
from goodviews.interfaces import UserError
from goodviews.primer.lesson import Bars, Curve, Dial, Example, Facts, Lesson, Shown, Table
from goodviews.primer.numbers import both, distribution, number, say
from goodviews.primer.surprise import STEPS, moved, outcomes, three, typed


def _aligned(p: Sequence[float], q: Sequence[float] | None) -> Sequence[float]:
    """The reader's q, or a uniform one."""
    if q is None:
        return [1 / len(p)] * len(p)
    if len(q) != len(p):
        raise UserError(f"--q: {len(q)} probabilities beside {len(p)} in --p. Give as many.")
    return q


# --- cross-entropy ------------------------------------------------------------------------------


def cross_entropy_example(p: Sequence[float], q: Sequence[float] | None = None) -> Shown:
    """The station's words in a code made for other weather."""
    q = _aligned(p, q)
    h, cross = entropy(p), cross_entropy(p, q)
    bits = [surprisal(x) * BITS for x in q]
    shares = [x * b if x else 0.0 for x, b in zip(p, bits, strict=True)]
    extra = kl_divergence(p, q)
    facts: Facts = {"p": p, "q": q, "bits": bits, "shares": shares, "cross": cross, "H": h}
    facts |= {"cross bits": cross * BITS, "H bits": h * BITS, "extra bits": extra * BITS}
    names = outcomes(len(p))
    at = [0.02 + 0.96 * i / 60 for i in range(61)]
    curve = [(x, cross_entropy(p, moved(q, x)) * BITS) for x in at]
    here = min(max(q[0], 0.02), 0.98)
    return Shown(
        (
            "The weather follows p, but you believe q: your code gives each word the length that "
            "would suit q. What do you pay a day, on average?",
            Table(
                ("outcome", "happens: p", "believed: q", "paid: -log q, bits", "p x bits"),
                [
                    *zip(names, p, q, bits, shares, strict=True),
                    ("average", "", "", "", cross * BITS),
                ],
            ),
            Bars(
                "bits a day",
                [
                    ("believing the truth: H(p)", h * BITS),
                    ("believing q: H(p,q)", cross * BITS),
                    ("too much: KL(p||q)", extra * BITS),
                ],
                marked=(1,),
            ),
            f"H(p,q) = {both(cross)}, which is never less than H(p) = {both(h)}.",
            Curve(
                "bits a day",
                f"believed probability of {names[0]}",
                curve,
                (here, cross_entropy(p, moved(q, here)) * BITS),
                ("H(p)", h * BITS),
            ),
        ),
        facts,
    )


def classification_example(q: Sequence[float]) -> Shown:
    """The loss of a classifier on one image."""
    n = len(q)
    loss, chance = cross_entropy([1, *[0] * (n - 1)], q), math.log(n)
    facts: Facts = {"q": q, "loss": loss, "chance": chance, "n": n}
    at = [0.01 + 0.99 * i / 60 for i in range(61)]
    here = max(q[0], 0.01)
    return Shown(
        (
            f"An image of class 1, and a classifier that says {', '.join(say(x) for x in q)} for "
            f"the {n} classes. The truth p is (1, 0, ...): all of it on class 1. So only one term "
            f"of the sum is left, -log {say(q[0])} = {say(loss)} nats. That is the classification "
            f"loss. Guessing blindly costs log {n} = {say(chance)} nats.",
            Curve(
                "loss in nats",
                "probability given to the true class",
                [(x, surprisal(x)) for x in at],
                (here, surprisal(here)),
                ("blind guess", chance),
            ),
        ),
        facts,
    )


CROSS_ENTROPY = Lesson(
    name="cross-entropy",
    title="Cross-entropy: what does it cost to believe q when p is true?",
    line="Mean surprise of believing q where p is true; a loss.",
    examples=(
        Example(
            cross_entropy_example,
            {"p": distribution, "q": distribution},
            {"p": "1/2,1/4,1/4"},
            (Dial("believed probability of sun", STEPS, 1 / 3, lambda x: {"q": three(x)}),),
        ),
        Example(
            classification_example,
            {"q": distribution},
            {"q": "0.7,0.2,0.1"},
            (
                Dial(
                    "probability given to the true class",
                    (0.01, 0.02, *STEPS, 0.99),
                    0.7,
                    lambda x: {"q": f"{typed(x)},{typed(2 * (1 - x) / 3)},{typed((1 - x) / 3)}"},
                ),
            ),
        ),
    ),
    formula=(
        "H(p,q) = -sum_x p(x) log q(x) = H(p) + KL(p||q)",
        "for a known class: H(p,q) = -log q(true class)",
    ),
    words=(
        "Cross-entropy is the surprise you suffer when you believe q and p is true.",
        "Training a classifier is lowering it: believe what happens.",
    ),
    mistake="Expecting the loss to reach 0. Its floor is H(p): where even the labels are a coin "
    f"toss, a perfect model still pays {say(entropy([0.5, 0.5]))} nats. And one confident error "
    f"costs without limit: {say(surprisal(1e-3))} nats for a true class that was given 0.001, "
    "infinitely many for 0.",
    question="A classifier gives each of 10 classes 1/10, whatever it sees. What is its loss in "
    "nats?",
    answer=cross_entropy([1, *[0] * 9], [0.1] * 10),
    solution=f"-log(1/10) = log 10 = {say(math.log(10))} nats. A new network on ten classes should "
    "start there.",
    tries=("--q 1/2,1/4,1/4", "--q 0.98,0.01,0.01"),
    reference="Cover and Thomas, sections 2.3 and 5.4.",
    facts={
        "coin": entropy([0.5, 0.5]),
        "error": [surprisal(1e-3), 0.001, 0],
        "ten": [10, 1, cross_entropy([1, *[0] * 9], [0.1] * 10)],
    },
)


# --- KL -----------------------------------------------------------------------------------------


def kl_example(p: Sequence[float], q: Sequence[float] | None = None) -> Shown:
    """The part of the cross-entropy that is one's own fault, in both directions."""
    q = _aligned(p, q)
    forward, back = kl_divergence(p, q), kl_divergence(q, p)
    ratio = [_log_ratio(a, b) * BITS for a, b in zip(p, q, strict=True)]
    shares = [a * r if a else 0.0 for a, r in zip(p, ratio, strict=True)]
    facts: Facts = {"p": p, "q": q, "ratio": ratio, "shares": shares}
    facts |= {"forward bits": forward * BITS, "back bits": back * BITS}
    facts |= {"forward": forward, "back": back}
    names = outcomes(len(p))
    at = [0.02 + 0.96 * i / 60 for i in range(61)]
    here = min(max(q[0], 0.02), 0.98)
    return Shown(
        (
            "Again the weather follows p and you believe q. How much of what you pay is your own "
            "fault?",
            Table(
                ("outcome", "happens: p", "believed: q", "log p/q, bits", "p x bits"),
                [
                    *zip(names, p, q, ratio, shares, strict=True),
                    ("KL(p||q)", "", "", "", forward * BITS),
                ],
            ),
            Bars(
                "bits",
                [
                    ("KL(p||q): p happens, q believed", forward * BITS),
                    ("KL(q||p): the other way round", back * BITS),
                ],
                marked=(0,),
            ),
            f"KL(p||q) = {both(forward)}. Single outcomes can be cheaper than they should be, the "
            "average never is: what q gives to one outcome it takes from another.",
            Curve(
                "KL(p||q) in bits",
                f"believed probability of {names[0]}",
                [(x, kl_divergence(p, moved(q, x)) * BITS) for x in at],
                (here, kl_divergence(p, moved(q, here)) * BITS),
            ),
        ),
        facts,
    )


def _log_ratio(a: float, b: float) -> float:
    if not a or not b:
        return math.inf if a else -math.inf if b else 0.0
    return math.log(a / b)


def bell_example(shift: float) -> Shown:
    """Two bell curves."""
    kl = gaussian_kl(0.0, 1.0, shift, 1.0)
    top = max(3.0, abs(shift))
    at = [top * i / 60 for i in range(61)]
    return Shown(
        (
            "It works for densities too. Two bell curves of width 1, the second shifted by "
            f"{say(shift)}: KL = {say(shift)} x {say(shift)} / 2 = {say(kl)} nats.",
            Curve(
                "KL in nats",
                "shift between two bell curves of width 1",
                [(x, gaussian_kl(0.0, 1.0, x, 1.0)) for x in at],
                (abs(shift), kl),
            ),
        ),
        {"shift": shift, "kl": kl, "width": [1, 2]},
    )


KL = Lesson(
    name="kl",
    title="KL divergence: how far is believing q from knowing p?",
    line="Cross-entropy beyond the entropy: the price of q.",
    examples=(
        Example(
            kl_example,
            {"p": distribution, "q": distribution},
            {"p": "1/2,1/4,1/4"},
            (Dial("believed probability of sun", STEPS, 1 / 3, lambda x: {"q": three(x)}),),
        ),
        Example(
            bell_example,
            {"shift": number(-100, 100)},
            {"shift": "1"},
            (
                Dial(
                    "shift",
                    tuple(0.25 * i for i in range(13)),
                    1.0,
                    lambda x: {"shift": f"{x:g}"},
                ),
            ),
        ),
    ),
    formula=("KL(p||q) = sum_x p(x) log( p(x) / q(x) ) = H(p,q) - H(p) >= 0",),
    words=(
        "KL is the extra surprise that believing q instead of p brings you.",
        "It is 0 only if q = p, and it weighs differences by how often p meets them.",
    ),
    mistake="Treating it as a distance. It changes with the direction: for a fair coin p and a "
    "coin q that always falls heads, KL(p||q) is infinite (tails happens, and q called it "
    f"impossible), while KL(q||p) is just {both(kl_divergence([1, 0], [0.5, 0.5]))}.",
    question="Heads always falls: p = (1, 0). You believe q = (1/4, 3/4). What is KL(p||q) in "
    "bits?",
    answer=kl_divergence([1, 0], [1 / 4, 3 / 4]) * BITS,
    solution=f"{say(kl_divergence([1, 0], [1 / 4, 3 / 4]) * BITS)} bits: only heads happens, and "
    "log2(1 / (1/4)) = log2 4.",
    tries=("--q 0.5,0.3,0.2", "--q 0.98,0.01,0.01", "--shift 2"),
    reference="S. Kullback, R. Leibler 1951; Cover and Thomas, section 2.3.",
    facts={
        "coins": [kl_divergence([1, 0], [0.5, 0.5]) * BITS, kl_divergence([1, 0], [0.5, 0.5])],
        "question": [1, 0, 3, 4, 2, kl_divergence([1, 0], [1 / 4, 3 / 4]) * BITS],
    },
)
