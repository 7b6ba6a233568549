"""Lessons on telling true partners from others: NCE and InfoNCE."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from goodviews.contrast import infonce_loss, nce_posterior
from goodviews.information import ceiling
from goodviews.interfaces import UserError
from goodviews.primer.lesson import Bars, Curve, Dial, Example, Facts, Lesson, Shown, Table
from goodviews.primer.numbers import count, number, reals, say

# --- NCE ----------------------------------------------------------------------------------------


def nce_example(p_model: float, p_noise: float, negatives: int) -> Shown:
    """One sample among fakes."""
    model, noise = p_model, p_noise
    posterior = nce_posterior(model, noise, negatives)
    fakes, ratio = negatives * noise, model / noise
    facts: Facts = {
        "model": model,
        "noise": noise,
        "k": negatives,
        "fakes": fakes,
        "sum": model + fakes,
    }
    facts |= {"posterior": posterior, "ratio": ratio, "log ratio": math.log(ratio), "1": 1}
    facts |= {"log k": math.log(negatives), "logit": math.log(ratio) - math.log(negatives)}
    widest = max(20, 2 * negatives)
    ks = sorted({max(1, round(widest * i / 60)) for i in range(61)} | {negatives})
    return Shown(
        (
            f"For each true sample, {negatives} fakes are drawn from a noise you know; then you "
            f"are shown one of the {negatives} + 1, call it u. The data give u the probability "
            f"p_m = {say(model)}, the noise gives it p_n = {say(noise)}. Is it true?",
            Bars(
                "how often u comes up in one such draw",
                [
                    ("as the true sample: p_m", model),
                    (f"as a fake: {negatives} x p_n", fakes),
                ],
                marked=(0,),
            ),
            f"P(true | u) = {say(model)} / ({say(model)} + {negatives} x {say(noise)}) = "
            f"{say(model)} / {say(model + fakes)} = {say(posterior)}. As a logit: "
            f"log({say(model)} / {say(noise)}) - log {negatives} = {say(facts['log ratio'])} - "
            f"{say(facts['log k'])} = {say(facts['logit'])}.",
            Curve(
                "P(true | u)",
                "fakes for each true sample, k",
                [(k, nce_posterior(model, noise, k)) for k in ks],
                (negatives, posterior),
                ("toss-up", 0.5),
            ),
        ),
        facts | {"toss-up": 0.5},
    )


_FAKES = (1, 50)

NCE = Lesson(
    name="nce",
    title="NCE: learn a distribution by telling true from fake",
    line="The best judge of true or fake knows the density ratio.",
    examples=(
        Example(
            nce_example,
            {
                "p_model": number(0, 1000),
                "p_noise": number(0, 1000),
                "negatives": count(1, 1_000_000),
            },
            {"p_model": "0.6", "p_noise": "0.1", "negatives": "5"},
            (
                Dial(
                    "p_m(u)", (0.05, 0.1, 0.2, 0.4, 0.6, 0.8), 0.6, lambda x: {"p_model": f"{x:g}"}
                ),
                Dial("fakes k", (1, 2, 5, 10, 20, 50), 5, lambda x: {"negatives": f"{x:g}"}),
            ),
        ),
    ),
    formula=(
        "P(D=1|u) = p_m(u) / ( p_m(u) + k p_n(u) )",
        "logit P(D=1|u) = log p_m(u) / p_n(u) - log k",
        "loss = -E_data log P(D=1|u) - k E_noise log P(D=0|u)",
    ),
    words=(
        "Instead of a distribution, learn a judge: is this sample true, or a fake?",
        "Its logit is the log density ratio less log k; no sum over everything.",
    ),
    rules=(
        "With a memory of n items the noise is 1/n for each, and m fakes make P / (P + m/n): so it "
        "is coded in InstDis and CMC, where P = exp(score / T) / Z and Z is fixed by the first "
        "batch.",
    ),
    mistake="Reading P(D=1|u) as how good u is. A u with p_m = 0.6 and p_n = 0.1 gets "
    f"{say(nce_posterior(0.6, 0.1, _FAKES[0]))} with {_FAKES[0]} fake and "
    f"{say(nce_posterior(0.6, 0.1, _FAKES[1]))} with {_FAKES[1]}. What stays is the ratio, 6: "
    "always add log k back.",
    question="Data and noise give u the same probability, and there are 4 fakes for each true "
    "sample. What is P(true | u)?",
    answer=nce_posterior(0.3, 0.3, 4),
    solution=f"{say(nce_posterior(0.3, 0.3, 4))}: nothing speaks for or against u, so it is 1 in "
    "1 + 4.",
    tries=("--negatives 50", "--p-model 0.1 --p-noise 0.1 --negatives 1"),
    reference="M. Gutmann, A. Hyvarinen 2010, section 2; Z. Wu et al. 2018 (InstDis).",
    facts={
        "formula": [0, 1],
        "mistake": [0.6, 0.1, _FAKES, [nce_posterior(0.6, 0.1, k) for k in _FAKES], 0.6 / 0.1],
        "question": [4, 1, nce_posterior(0.3, 0.3, 4)],
    },
)


# --- InfoNCE ------------------------------------------------------------------------------------


def scores(flag: str, text: str) -> list[float]:
    """At least two scores, the positive first."""
    found = reals(flag, text)
    if len(found) < 2:
        raise UserError(f"{flag}: {text} is the positive alone. Add negatives: {text},0,0.")
    return found


def softmax(row: Sequence[float], temperature: float) -> list[float]:
    """e^{s/T} over its sum: one probability a candidate.

    Example:
        >>> [round(x, 4) for x in softmax([2, 0, 0, 0], 1)]
        [0.7112, 0.0963, 0.0963, 0.0963]
    """
    z = np.asarray(row) / temperature
    weights = np.exp(z - z.max())
    return [float(x) for x in weights / weights.sum()]


def infonce_example(scores: Sequence[float], temperature: float) -> Shown:
    """Which candidate is the partner?"""
    k, shares = len(scores), softmax(scores, temperature)
    loss, chance = infonce_loss(scores, temperature), ceiling(k)
    names = ["the partner", *(f"another image {i}" for i in range(1, k))]
    facts: Facts = {"scores": scores, "T": temperature, "shares": shares, "K": k, "loss": loss}
    facts |= {"chance": chance, "I": chance - loss, "others": list(range(1, k))}
    verdict = (
        f"The bound is I_NCE = log {k} - loss = {say(chance)} - {say(loss)} = {say(chance - loss)} "
        "nats; its mean over many such rows is at most I(v1;v2)."
    )
    if loss > chance:
        verdict += " Below 0: these scores are worse than none."
    return Shown(
        (
            f"A quiz: here is view 1 of an image, and {k} candidates for its view 2. The critic "
            "scores each; e^(score / T), divided by the sum, makes them probabilities.",
            Table(
                ("candidate", "score", "probability"),
                [(n, float(s), p) for n, s, p in zip(names, scores, shares, strict=True)],
            ),
            Bars(
                "probability of being the partner",
                list(zip(names, shares, strict=True)),
                top=1.0,
                marked=(0,),
            ),
            f"The loss is the surprise at the truth: -log {say(shares[0])} = {say(loss)} nats. A "
            f"critic that knows nothing pays log {k} = {say(chance)}. {verdict}",
        ),
        facts,
    )


_TEMPERATURES = (0.07, 0.2, 0.5, 1.0)


def temperature_example(scores: Sequence[float], temperature: float) -> Shown:
    """The same cosines through several temperatures."""
    shown = sorted({*_TEMPERATURES, temperature})
    losses = [infonce_loss(scores, t) for t in shown]
    sure = [softmax(scores, t)[0] for t in shown]
    facts: Facts = {"scores": scores, "T": shown, "losses": losses, "sure": sure, "-1": [-1, 1]}
    low, high = min(0.05, temperature), max(1.0, temperature)
    at = [low + (high - low) * i / 60 for i in range(61)]
    return Shown(
        (
            f"Cosines lie between -1 and 1, so they are divided by a temperature T. Scores "
            f"{', '.join(say(s) for s in scores)}, the partner first, at several T:",
            Table(
                ("temperature T", "probability of the partner", "loss, nats"),
                list(zip(shown, sure, losses, strict=True)),
            ),
            Curve(
                "loss in nats",
                "temperature T",
                [(t, infonce_loss(scores, t)) for t in at],
                (temperature, infonce_loss(scores, temperature)),
                ("chance", ceiling(len(scores))),
            ),
            f"With T = {say(temperature)} the loss is {say(infonce_loss(scores, temperature))} "
            "nats; the scores are the same in every row. A low temperature makes the judge look "
            "sure, a high one doubtful: T sets how hard the quiz feels, not what the critic knows.",
        ),
        facts | {"chance": ceiling(len(scores))},
    )


_POSITIVE = tuple(0.5 * i for i in range(-4, 17))
_ROW = (2.0, 0.0, 0.0, 0.0)
_LOSS = infonce_loss(_ROW)

INFONCE = Lesson(
    name="infonce",
    title="InfoNCE: which of these K is the true partner?",
    line="Guess the partner among K: log K - loss is a bound.",
    examples=(
        Example(
            infonce_example,
            {"scores": scores, "temperature": number(0)},
            {"scores": "2,0,0,0", "temperature": "1"},
            (
                Dial("score of the partner", _POSITIVE, 2, lambda x: {"scores": f"{x:g},0,0,0"}),
                Dial("temperature", (0.5, 1, 2), 1, lambda x: {"temperature": f"{x:g}"}),
            ),
        ),
        Example(
            temperature_example,
            {"scores": scores, "temperature": number(0)},
            {"scores": "0.9,0.1,0.2,0", "temperature": "0.07"},
            (
                Dial(
                    "temperature",
                    (0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0),
                    0.07,
                    lambda x: {"temperature": f"{x:g}"},
                ),
            ),
        ),
    ),
    formula=(
        "L_NCE = -log( e^(s_1/T) / sum_j e^(s_j/T) )   s_1: the partner, K in all",
        "I(v1;v2) >= E[ I_NCE ],  I_NCE = log K - L_NCE",
        "best critic: s = log p(y|x)/p(y) + c(x), any c",
    ),
    words=(
        "InfoNCE is a multiple-choice question; its loss is a classifier's.",
        "How far it falls below log K, chance, is information proved to be shared.",
    ),
    rules=(
        "Adding one number to all scores of a row changes nothing: 102, 100, 100, 100 have the "
        f"loss of 2, 0, 0, 0, {say(infonce_loss([x + 100 for x in _ROW]))}. Hence c(x): such a "
        "critic ranks candidates, its scores alone are no log-ratios.",
        "Why a dot product may be the score: any table of scores is phi1(x) . phi2(y) if the "
        "vectors are wide enough (phi1(x) the row of x, phi2(y) a 1 at the place of y). Short "
        "vectors allow fewer tables; learning phi1 and phi2 makes up for it.",
    ),
    mistake="Comparing losses. A mean loss of "
    f"{say(_LOSS)} with 4 candidates proves {say(ceiling(4) - _LOSS)} nats, with 256 candidates "
    f"{say(ceiling(256) - _LOSS)}. And a loss on training pairs proves nothing: measure on pairs "
    "that the critic has not seen.",
    question="All 8 candidates get the same score. What is the loss in nats?",
    answer=infonce_loss([0.0] * 8),
    solution=f"log 8 = {say(infonce_loss([0.0] * 8))} nats, chance; I_NCE is 0. An encoder that "
    "has collapsed stays there.",
    tries=("--scores 4,0,0,0", "--scores 0,2,0,0", "--temperature 0.5"),
    reference="A. van den Oord et al. 2018; B. Poole et al. 2019; M. Tschannen et al. 2020.",
    facts={
        "formula": [1],
        "shift": [102, 100, *_ROW, infonce_loss([x + 100 for x in _ROW])],
        "losses": [_LOSS, 4, 256, ceiling(4) - _LOSS, ceiling(256) - _LOSS],
        "question": [8, 0, infonce_loss([0.0] * 8)],
    },
)
