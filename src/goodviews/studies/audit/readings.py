"""Each check as a number, a reading in plain words and a status; from measured numbers alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

from goodviews.studies.audit.amounts import ceiling, control, pixels
from goodviews.studies.audit.changes import critic, negatives
from goodviews.studies.audit.contenders import HEAD, RUN
from goodviews.studies.audit.verdict import AGREE, CONTRADICTED, FORBIDDEN, MATCHED, REVERSED
from goodviews.studies.audit.words import (
    CLEARED,
    DOUBT,
    LEFT_OUT,
    NOTE,
    UNDECIDED,
    Measured,
    check,
)
from goodviews.studies.conclude import UNTRAINED


def checks(
    measured: Measured,
    pairs: Sequence[Measured],
    correlation: Measured | None,
    verdict: Measured,
    labelled: bool,
) -> list[dict[str, str]]:
    """The seven checks in order.

    Args:
        measured: what was measured, as audit.json keeps it.
        pairs: of :func:`goodviews.studies.audit.verdict.pairs_of`.
        correlation: of :func:`goodviews.studies.audit.verdict.rank_correlation`.
        verdict: of :func:`goodviews.studies.audit.verdict.verdict`.
        labelled: whether there are probes.

    Returns:
        Dicts of name, question, number, reading, status.
    """
    return [
        ceiling(measured),
        pixels(measured["contenders"]),
        control(measured["contenders"]),
        critic(measured),
        negatives(measured.get("negatives")),
        geometry(measured.get("geometry")),
        worse_bound(pairs, correlation, verdict, labelled),
    ]


def geometry(found: Measured | None) -> dict[str, str]:
    """What does the map look like?"""
    question = "Is the map near to one that loses nothing?"
    if not found or not found.get("layers"):
        return check("geometry", question, "", "It could not be read; see the notes.", LEFT_OUT)
    parts, numbers = [], []
    conditions = found.get("conditioning") or {}
    if RUN in conditions:
        mine = conditions[RUN]
        numbers.append(f"log condition {_middle(mine):.1f}")
        parts.append(_condition(mine))
        if UNTRAINED in conditions:
            twin = conditions[UNTRAINED]
            parts.append(
                f"Untrained, the log condition number is {_middle(twin):.1f}, and "
                f"{twin['lost']:.0f} are lost."
            )
    layers = found["layers"]
    for name in (RUN, HEAD, UNTRAINED):
        if name in layers:
            value = layers[name]
            numbers.append(f"{name}: rank {value['rankme']:.0f} of {value['width']:.0f}")
    if RUN in layers and "alignment" in layers[RUN]:
        mine = layers[RUN]
        parts.append(
            f"Two views of an image lie {mine['alignment']:.2f} apart (squared, on the sphere; "
            f"2 is orthogonal); uniformity {mine['uniformity']:.2f}."
        )
    return check("geometry", question, "; ".join(numbers), " ".join(parts), NOTE)


def _condition(found: Measured) -> str:
    """What the Jacobian at a typical image does."""
    middle, of = _middle(found), found["singular_values"]
    lost = f"; {found['lost']:.0f} of {of} directions are lost altogether" if found["lost"] else ""
    return (
        f"At a typical image one direction is stretched e^{middle:.1f} = {math.exp(middle):,.0f} "
        f"times as much as the least that is kept (a rotation: 0){lost}."
    )


def _middle(found: Measured) -> float:
    """About the median of the log condition number: the mean of its 40 % and 60 % points."""
    value: float = (found["percentiles"]["p40"] + found["percentiles"]["p60"]) / 2
    return value


def worse_bound(
    pairs: Sequence[Measured],
    correlation: Measured | None,
    verdict: Measured,
    labelled: bool,
) -> dict[str, str]:
    """Does a worse bound probe better?"""
    question = "Does a worse bound probe better?"
    if not labelled:
        return check(
            "order", question, "", "There are no labels, so nothing to probe with.", LEFT_OUT
        )
    counts = {says: sum(pair["says"] == says for pair in pairs) for says in (REVERSED, MATCHED)}
    forbidden = [pair for pair in pairs if pair["says"] == FORBIDDEN]
    misled = [pair for pair in forbidden if pair["face_value"] == REVERSED]
    parts = [
        f"Of {len(pairs)} pairs of contenders {counts[REVERSED]} have fewer nats and a better "
        f"probe, {counts[MATCHED]} the same nats and another accuracy."
    ]
    if forbidden:
        parts.append(
            f"In {len(forbidden)} the order of nats is the critic's: data processing forbids it, "
            "so it counts neither way."
        )
    if misled:
        names = ", ".join(f"{pair['one']} and {pair['other']}" for pair in misled)
        parts.append(f"At face value fewer nats would probe better there, too: {names}.")
    number = f"{counts[REVERSED] + counts[MATCHED]} of {len(pairs)} pairs against MI"
    if correlation is not None:
        number = (
            f"rank correlation {correlation['value']:.2f} [{correlation['low']:.2f}, "
            f"{correlation['high']:.2f}] over {correlation['contenders']} contenders; {number}"
        )
    status = {CONTRADICTED: DOUBT, AGREE: CLEARED}.get(verdict["state"], UNDECIDED)
    return check("order", question, number, " ".join(parts), status)
