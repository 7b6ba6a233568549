"""Estimates as lines for a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Number
from typing import Any, Literal

from goodviews.information import BITS
from goodviews.interfaces import Estimate

Units = Literal["nats", "bits"]

_KINDS = {"lower": "a lower bound", "upper": "an upper bound", "neither": ""}


def estimate_lines(found: Estimate, units: Units = "nats", what: str = "I(x;y)") -> list[str]:
    r"""One estimate as a short block: value and interval, how it was read, doubts.

    Example:
        >>> found = Estimate(0.4133, 0.012, null=0.001, p_value=0.01, method="ksg", rows=5000)
        >>> print("\n".join(estimate_lines(found)))
        I(x;y) = 0.413 nats, 95 % interval 0.390 to 0.437
          method    ksg, 5,000 held-out rows
          shuffled  0.001 nats, p = 0.01
    """
    low, high = found.interval
    head = f"{what} = {_n(found.nats, units)} {units}"
    lines = [f"{head}, 95 % interval {_n(low, units)} to {_n(high, units)}"]
    facts = {
        **{name: _variable(found.details, name, units) for name in ("x", "y", "given")},
        "method": ", ".join(part for part in (_method(found), _KINDS[found.kind]) if part),
        "why": found.details.get("why", ""),
        "shuffled": _shuffled(found, units),
        "bounds": _bounds(found, units),
        "details": _details(found.details),
    }
    width = max(len(name) for name, text in facts.items() if text) + 2
    lines += [f"  {name:<{width}}{text}" for name, text in facts.items() if text]
    return lines + [f"warning: {line}" for line in found.warnings]


def _variable(details: Mapping[str, Any], name: str, units: Units) -> str:
    """How a variable was read; of labels the entropy too."""
    entropy = details.get(f"entropy_{name}")
    more = "" if entropy is None else f", entropy {_n(entropy, units)} {units}"
    return f"{details.get(name, '')}{more}"


def _method(found: Estimate) -> str:
    rows = "" if found.rows is None else f", {found.rows:,} {found.split} rows"
    return _name(found) + rows.replace(" all rows", " rows")


def _name(found: Estimate) -> str:
    """The method, and what it chose."""
    chosen = found.details.get("chosen")
    return found.method if chosen is None else f"{chosen} (chosen by {found.method})"


def _shuffled(found: Estimate, units: Units) -> str:
    if found.null is None:
        return ""
    p = "" if found.p_value is None else f", p = {found.p_value:.2g}"
    value = _null(found.null, units)
    return f"{value} {units}{p}" if value[-1].isdigit() else f"{value}{p}"


def _bounds(found: Estimate, units: Units) -> str:
    """Lower, upper and ceiling, where there are any."""
    parts = {"at least": found.lower, "at most": found.upper}
    shown = [
        f"{name} {_n(value, units)}"
        for name, value in parts.items()
        if value is not None and value != found.nats
    ]
    if math.isfinite(found.ceiling):
        k = "" if found.candidates is None else f" (log K, K = {found.candidates:,})"
        shown.append(f"ceiling {_n(found.ceiling, units)}{k}")
    return "; ".join(shown)


def _details(details: Mapping[str, Any]) -> str:
    """What the method found that is a word or a number."""
    skip = ("x", "y", "given", "shuffles", "chosen", "why")
    shown = [
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in details.items()
        if name not in skip and "entropy" not in name and isinstance(value, str | Number)
    ]
    return ", ".join(shown)


def table_lines(
    rows: Mapping[str, Estimate | str], units: Units = "nats", head: str = "method"
) -> list[str]:
    r"""Estimates side by side, one a line; a text in place of one says why there is none.

    Example:
        >>> found = Estimate(0.4, 0.01, null=0.001, p_value=0.01, kind="lower")
        >>> print("\n".join(table_lines({"infonce": found})))
        method   nats   95 % interval   shuffled  p     kind
        infonce  0.400  0.380 to 0.420  0.001     0.01  lower bound
    """
    lines = [[head, units, "95 % interval", "shuffled", "p", "kind"]]
    lines[0] += ["method"] * (head != "method")
    for name, found in rows.items():
        if isinstance(found, Estimate):
            lines.append([name, *_cells(found, units), *[_name(found)] * (head != "method")])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    padded = [[x.ljust(w) for x, w in zip(line, widths, strict=True)] for line in lines]
    out = ["  ".join(line).rstrip() for line in padded]
    return out + [f"{name}: {why}" for name, why in rows.items() if isinstance(why, str)]


def warning_lines(rows: Mapping[str, Estimate | str]) -> list[str]:
    """Warnings of several estimates: first those that all of them share, each once.

    Example:
        >>> a, b = Estimate(0.4, 0.1, warnings=("few rows",)), Estimate(0.3, 0.1, warnings=())
        >>> warning_lines({"a": a, "b": a}), warning_lines({"a": a, "b": b})
        (['warning: few rows'], ['warning: a: few rows'])
    """
    found = {name: e.warnings for name, e in rows.items() if isinstance(e, Estimate)}
    every = [
        w for w in dict.fromkeys(sum(found.values(), ())) if all(w in o for o in found.values())
    ]
    own = [f"{name}: {w}" for name, those in found.items() for w in those if w not in every]
    return [f"warning: {line}" for line in (*every, *own)]


def _cells(found: Estimate, units: Units) -> Sequence[str]:
    low, high = found.interval
    return (
        _n(found.nats, units),
        f"{_n(low, units)} to {_n(high, units)}",
        "-" if found.null is None else _null(found.null, units),
        "-" if found.p_value is None else f"{found.p_value:.2g}",
        "" if found.kind == "neither" else f"{found.kind} bound",
    )


def _null(nats: float, units: Units) -> str:
    """Shuffled pairs' value; a fitted model that reads pairs it does not expect is far below 0."""
    return "below 0" if nats < -0.05 else _n(nats, units)


def _n(nats: float, units: Units) -> str:
    """A number of nats in ``units``, three decimals, without minus zero.

    Example:
        >>> _n(math.log(2), "bits"), _n(-1e-9, "nats")
        ('1.000', '0.000')
    """
    value = nats * (BITS if units == "bits" else 1.0)
    return f"{round(value, 3) + 0.0:.3f}"
