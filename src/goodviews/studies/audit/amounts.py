"""Checks on how much is reached, and by whom: the ceiling, the pixels, the controls."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from goodviews.studies.audit.contenders import INVERTIBLE, RUN
from goodviews.studies.audit.verdict import FAR_POINTS, FULL, NEAR
from goodviews.studies.audit.words import (
    CLEARED,
    DOUBT,
    LEFT_OUT,
    UNDECIDED,
    Measured,
    best,
    check,
    spread,
)
from goodviews.studies.conclude import RAW, UNTRAINED

STEEP = 0.5
"""Growth of the bound per nat of ceiling from which K decides the number."""


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
    return check(
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
    return check(
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
        return check("control", _CONTROL, "", "No control could be made; see the notes.", LEFT_OUT)
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
    return check(
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
