"""The vocabulary of all checks: a number with its error, a reading, a status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Measured = Mapping[str, Any]

CLEARED, DOUBT, NOTE, UNDECIDED, LEFT_OUT = "cleared", "doubt", "note", "undecided", "left out"
"""Statuses. Cleared: the doubt found nothing. Note: a number that has no threshold."""


def check(name: str, question: str, number: str, reading: str, status: str) -> dict[str, str]:
    """One check as a plain dict."""
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
