"""Each check as a number, a reading in plain words and a status; from measured numbers alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from goodviews.studies.audit.contenders import HEAD, INVERTIBLE, RUN
from goodviews.studies.audit.own import CLASS, ITSELF, RANDOM
from goodviews.studies.audit.verdict import (
    AGREE,
    CONTRADICTED,
    FAR_POINTS,
    FORBIDDEN,
    FULL,
    MATCHED,
    NEAR,
    REVERSED,
)
from goodviews.studies.conclude import RAW, UNTRAINED

Measured = Mapping[str, Any]

CLEARED, DOUBT, NOTE, UNDECIDED, LEFT_OUT = "cleared", "doubt", "note", "undecided", "left out"
"""Statuses. Cleared: the doubt found nothing. Note: a number that has no threshold."""
STEEP = 0.5
"""Growth of the bound per nat of ceiling from which K decides the number."""


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


def _check(name: str, question: str, number: str, reading: str, status: str) -> dict[str, str]:
    return {
        "name": name,
        "question": question,
        "number": number,
        "reading": reading,
        "status": status,
    }


def spread(found: Measured, digits: int = 2, scale: float = 1.0) -> str:
    """A number with half its 95 % interval.

    Example:
        >>> spread({"value": 1.234, "half": 0.05})
        '1.23 ± 0.05'
    """
    return f"{scale * found['value']:.{digits}f} ± {scale * found['half']:.{digits}f}"


def best(entry: Measured) -> dict[str, Any]:
    """What a contender reaches held out, by the critic that validation chose."""
    held: dict[str, Any] = entry["critics"][entry["chosen"]]["held"]
    return held


# --- 1 ceiling ------------------------------------------------------------------------------------


def ceiling(measured: Measured) -> dict[str, str]:
    """Is the bound at its ceiling?"""
    rows, whose = _curve(measured)
    last = rows[-1]
    share = last["held"]["value"] / last["ceiling"]
    gap = last["ceiling"] - last["held"]["value"]
    slope = growth(rows)
    steep = slope is not None and slope >= STEEP
    parts = [
        f"{whose}, it reaches {100 * share:.0f} % of log K at K = {last['K']}; {gap:.2f} nats "
        "are left."
    ]
    if share >= FULL:
        parts.append(
            "The bound is at its ceiling: the views share at least this much, and the number says "
            "nothing about how much more."
        )
    if slope is not None:
        parts.append(
            f"From K = {rows[-2]['K']} to {last['K']} it grows by {slope:.2f} nats for each nat of "
            "ceiling: "
            + (
                "K decides the number; compare it only at the same K."
                if steep
                else "the critic, not K, limits it."
            )
        )
    more = last["train"]["value"] - last["held"]["value"]
    parts.append(f"On training pairs it reads {more:+.2f} nats against held-out ones.")
    return _check(
        "ceiling",
        "Is the bound at its ceiling log K?",
        f"{spread(last['held'])} of {last['ceiling']:.2f} nats (K = {last['K']})",
        " ".join(parts),
        DOUBT if share >= FULL or steep else CLEARED,
    )


def _curve(measured: Measured) -> tuple[list[Any], str]:
    """I_NCE by K under the own critic, or under the best fresh one where there is none."""
    if measured.get("ceiling"):
        return measured["ceiling"], "Under the run's own critic"
    entry = measured["contenders"][RUN]
    found = entry["critics"][entry["chosen"]]
    rows = [
        {"K": int(k), "ceiling": math.log(int(k)), "held": value, "train": value}
        for k, value in found["by_size"].items()
    ]
    rows[-1] = {**rows[-1], "train": found["train"]}
    return rows, "No critic of its own was given; under the best fresh one"


def growth(rows: Sequence[Measured]) -> float | None:
    """Nats gained per nat of ceiling between the two largest K; None for one K.

    Example:
        >>> row = lambda k, nats: {"ceiling": math.log(k), "held": {"value": nats}}
        >>> round(growth([row(64, 2.0), row(256, 2.0 + math.log(2))]), 3)
        0.5
    """
    if len(rows) < 2:
        return None
    one, other = rows[-2], rows[-1]
    gained: float = other["held"]["value"] - one["held"]["value"]
    return gained / (other["ceiling"] - one["ceiling"])


# --- 2 pixels, 3 control --------------------------------------------------------------------------


def pixels(contenders: Measured) -> dict[str, str]:
    """Do the pixels give a critic as many nats?"""
    run, raw = contenders[RUN], contenders[RAW]
    mine, theirs = best(run), best(raw)
    reached = reaches(theirs, mine)
    parts = [_bounded(run, raw)]
    half = raw.get("half_pairs")
    if half is not None and theirs["value"] > 0.1:
        parts.append(
            f"With half of the training pairs it finds {half:.2f}: what is missing is the "
            "critic's, not information's."
            if half < theirs["value"] - 0.05
            else f"With half of the training pairs it finds {half:.2f} as well."
        )
    if reached:
        parts.append("The pixels give a critic as many nats: it takes no training to get them.")
    elif reached is None:
        parts.append(_OPEN)
    return _check(
        "pixels",
        "Is it more than what the pixels give?",
        f"pixels {spread(theirs)}, run {spread(mine)} nats{_probes(raw, run)}",
        " ".join(parts),
        _STATUS[reached],
    )


_STATUS = {True: DOUBT, False: CLEARED, None: UNDECIDED}
_OPEN = "The errors leave open whether it does."


def reaches(theirs: Measured, mine: Measured) -> bool | None:
    """Whether one reaches nine tenths of the other's nats; None where the errors leave it open.

    Example:
        >>> found = lambda value, half: {"value": value, "half": half}
        >>> reaches(found(4.1, 0.1), found(4.3, 0.1)), reaches(found(1, 0.1), found(4.3, 0.1))
        (True, False)
        >>> reaches(found(1, 5), found(4.3, 0.1)) is None
        True
    """
    gap = theirs["value"] - (1 - NEAR) * mine["value"]
    error = math.hypot(theirs["half"], (1 - NEAR) * mine["half"])
    return None if abs(gap) <= error else gap > 0


def _bounded(run: Measured, raw: Measured) -> str:
    mine, theirs = best(run), best(raw)
    if not raw.get("exact", True):
        return (
            "The pixels were brought down in size first, so data processing says nothing; "
            f"a fresh critic finds {theirs['value']:.2f} nats in them."
        )
    return (
        f"By data processing the views share at least the {mine['value']:.2f} nats found in the "
        f"run's features; a fresh critic of the same kinds finds {theirs['value']:.2f} in the "
        "pixels themselves."
    )


def _probes(*entries: Measured) -> str:
    """Probes of several, where there are any: ``; probes 39.7 and 67.3 %``."""
    if any(entry.get("probe") is None for entry in entries):
        return ""
    return f"; probes {' and '.join(spread(e['probe'], 1, 100) for e in entries)} %"


def control(contenders: Measured) -> dict[str, str]:
    """Does an untrained network, or an invertible map, reach as many nats?"""
    run = contenders[RUN]
    known = [name for name in (UNTRAINED, INVERTIBLE) if name in contenders]
    if not known:
        return _check("control", _CONTROL, "", "No control could be made; see the notes.", LEFT_OUT)
    reach = {name: reaches(best(contenders[name]), best(run)) for name in known}
    parts = [
        f"The {name} with a fresh critic reaches {best(contenders[name])['value']:.2f} of the "
        f"run's {best(run)['value']:.2f} nats{_against(contenders[name], run)}."
        for name in known
    ]
    if INVERTIBLE in known:
        parts.append(
            "An invertible map shares exactly what the pixels share, so whatever the critic misses "
            "there is the critic's."
        )
    equal = [name for name in known if reach[name]]
    left_open = [name for name in known if reach[name] is None]
    worse = [name for name in equal if _clearly_worse(contenders[name], run)]
    if worse:
        parts.append("As many nats and a far worse probe: the nats do not make the features.")
    elif equal:
        parts.append("As many nats without training: the number is no sign of training.")
    elif not left_open:
        parts.append("No control comes near: to get these nats the network had to be trained.")
    status = DOUBT if equal else UNDECIDED if left_open else CLEARED
    numbers = [f"{name} {spread(best(contenders[name]))}" for name in known]
    return _check(
        "control",
        _CONTROL,
        f"{', '.join(numbers)}, run {spread(best(run))} nats",
        " ".join(parts),
        status,
    )


_CONTROL = "Does an untrained or invertible network reach as many nats?"


def _against(entry: Measured, run: Measured) -> str:
    if entry.get("probe") is None or run.get("probe") is None:
        return ""
    return f", and probes at {_percent(entry)} % against {_percent(run)} %"


def _percent(entry: Measured) -> str:
    return f"{100 * entry['probe']['value']:.1f}"


def _clearly_worse(entry: Measured, run: Measured) -> bool:
    if entry.get("probe") is None or run.get("probe") is None:
        return False
    gap = run["probe"]["value"] - entry["probe"]["value"]
    error = math.hypot(run["probe"]["half"], entry["probe"]["half"])
    return bool(gap > max(FAR_POINTS, error))


# --- 4 critic, 5 negatives ------------------------------------------------------------------------


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
    if status == DOUBT:
        parts.append("The number belongs to the critic as much as to the features.")
    return _check(
        "critic", "How does the reading change with the critic?", number, " ".join(parts), status
    )


def _article(name: str) -> str:
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def negatives(found: Measured | None) -> dict[str, str]:
    """How does the reading change with the negatives?"""
    question = "How does the reading change with the negatives?"
    if not found or RANDOM not in found["sets"]:
        return _check("negatives", question, "", "There is no critic of its own.", LEFT_OUT)
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
    return _check(
        "negatives", question, f"{numbers} nats (K = {found['K']})", " ".join(parts), NOTE
    )


# --- 6 geometry, 7 the heart ----------------------------------------------------------------------


def geometry(found: Measured | None) -> dict[str, str]:
    """What does the map look like?"""
    question = "Is the map near to one that loses nothing?"
    if not found or not found.get("layers"):
        return _check("geometry", question, "", "It could not be read; see the notes.", LEFT_OUT)
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
    return _check("geometry", question, "; ".join(numbers), " ".join(parts), NOTE)


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
        return _check(
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
    return _check("order", question, number, " ".join(parts), status)
