"""Checks on what the number depends on: the critic and the negatives."""

from __future__ import annotations

import math

from goodviews.studies.audit.own import CLASS, ITSELF, RANDOM
from goodviews.studies.audit.verdict import FULL
from goodviews.studies.audit.words import CLEARED, DOUBT, LEFT_OUT, NOTE, Measured, check, spread


def critic(measured: Measured) -> dict[str, str]:
    """How does the reading change with the critic?"""
    found = measured["critics"]
    kinds = {name: entry["infonce"]["held"] for name, entry in found["kinds"].items()}
    low, high = (pick(kinds, key=lambda name: kinds[name]["value"]) for pick in (min, max))
    wide = kinds[high]["value"] - kinds[low]["value"]
    nwj = [entry["nwj"]["held"]["value"] for entry in found["kinds"].values()]
    k, own = found["K"], found.get("own")
    parts = [
        f"The same frozen features ({found['layer']}) give {kinds[low]['value']:.2f} nats under "
        f"{_article(low)} critic and {kinds[high]['value']:.2f} under {_article(high)} one.",
        f"NWJ, which has no ceiling, reads {min(nwj):.2f} to {max(nwj):.2f}.",
    ]
    status = DOUBT if wide > 0.1 * math.log(k) else CLEARED
    number = f"{kinds[low]['value']:.2f} to {kinds[high]['value']:.2f} nats (K = {k})"
    if own is not None:
        missed = kinds[high]["value"] - own["value"]
        number = f"own {spread(own)}, fresh {number}"
        if missed > max(0.1 * math.log(k), own["half"] + kinds[high]["half"]):
            status = DOUBT
            parts.append(
                f"The run's own critic reads {missed:.2f} nats less than a fresh one finds: its "
                "number understates what its own features share."
            )
    if kinds[high]["value"] > FULL * math.log(k):
        parts.append(f"The best are at the ceiling of K = {k}, so the spread is wider in truth.")
    if status == DOUBT:
        parts.append("The number belongs to the critic as much as to the features.")
    return check(
        "critic", "How does the reading change with the critic?", number, " ".join(parts), status
    )


def _article(name: str) -> str:
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def negatives(found: Measured | None) -> dict[str, str]:
    """How does the reading change with the negatives?"""
    question = "How does the reading change with the negatives?"
    if not found or RANDOM not in found["sets"]:
        return check("negatives", question, "", "There is no critic of its own.", LEFT_OUT)
    sets = found["sets"]
    base = sets[RANDOM]
    parts = ["Only with independently drawn images is it a bound on what the views share."]
    if CLASS in sets:
        parts.append(
            f"Among images of one class it reads {sets[CLASS]['value'] - base['value']:+.2f} "
            "nats: that bounds what the views share beyond the class."
        )
    if ITSELF in sets:
        parts.append(
            f"With {found['shots']} view pairs of each image among the K, as in CPC, it reads "
            f"{sets[ITSELF]['value'] - base['value']:+.2f}, though the views share what they "
            "shared before."
        )
    numbers = ", ".join(f"{name} {spread(value)}" for name, value in sets.items())
    return check("negatives", question, f"{numbers} nats (K = {found['K']})", " ".join(parts), NOTE)
