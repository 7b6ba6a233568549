"""Numbers in and out: reading what the reader typed, and saying an amount in few digits."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

from goodviews.information import BITS
from goodviews.interfaces import UserError

MOST = 16
"""Outcomes, scores or rows that still fit a picture."""


def say(x: float) -> str:
    """An amount in about four digits, for sentences.

    Example:
        >>> [say(x) for x in (1.5, 1.0455, 0.084963, 5.9055e-05, 65537, 11.0904, 0, math.inf)]
        ['1.5', '1.046', '0.08496', '5.9e-5', '65,537', '11.09', '0', 'infinite']
    """
    if math.isinf(x):
        return "infinite" if x > 0 else "-infinite"
    if abs(x) < 1e-12:
        return "0"
    if abs(x) < 1e-3 or abs(x) >= 1e7:
        return _exponent(f"{x:.2g}")
    return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.4g}"


def cell(x: float) -> str:
    """An amount with four decimals, for columns; whole numbers as they are.

    Example:
        >>> [cell(x) for x in (4, 0.5, 5.9055e-05, 0.0)]
        ['4', '0.5000', '5.9e-5', '0.0000']
    """
    if isinstance(x, int):
        return f"{x:,}"
    small, large = 0 < abs(x) < 1e-3, abs(x) >= 1e5
    return say(x) if small or large else f"{x:,.4f}"


def _exponent(text: str) -> str:
    head, mark, power = text.partition("e")
    return f"{head}e{int(power)}" if mark else head


def bits(nats: float) -> str:
    """An amount in bits.

    Example:
        >>> bits(math.log(2)), bits(math.log(8))
        ('1 bit', '3 bits')
    """
    amount = say(nats * BITS)
    return f"{amount} {'bit' if amount == '1' else 'bits'}"


def both(nats: float) -> str:
    """An amount in bits and in nats.

    Example:
        >>> both(math.log(2))
        '1 bit (0.6931 nats)'
    """
    return f"{bits(nats)} ({say(nats)} nats)"


# --- reading ------------------------------------------------------------------------------------


def real(flag: str, text: str) -> float:
    """A number or a fraction.

    Raises:
        UserError: anything else.

    Example:
        >>> real("--rho", "0.5"), real("--p", "1/8")
        (0.5, 0.125)
    """
    try:
        value = float(Fraction(text)) if "/" in text else float(text)
    except (ValueError, ZeroDivisionError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{flag}: {text!r} is no number. Write for example 0.25 or 1/4.")
    return value


def reals(flag: str, text: str) -> list[float]:
    """Numbers with commas between them, at most `MOST`.

    Example:
        >>> reals("--scores", "2, 0,0")
        [2.0, 0.0, 0.0]
    """
    parts = [part.strip() for part in text.strip().strip("[]").rstrip(",").split(",")]
    if len(parts) > MOST:
        raise UserError(f"{flag}: {len(parts)} numbers do not fit a page. Give {MOST} or fewer.")
    return [real(flag, part) for part in parts]


def number(
    low: float = -math.inf, high: float = math.inf, *, closed: bool = False
) -> Callable[[str, str], float]:
    """A reader of one number between ``low`` and ``high``; ``closed``: the ends count.

    Example:
        >>> number(-1, 1)("--rho", "1")
        Traceback (most recent call last):
        goodviews.interfaces.UserError: --rho: 1 is not between -1 and 1. Write for example 0.5.
    """

    def read(flag: str, text: str) -> float:
        value = real(flag, text)
        if low < value < high or (closed and low <= value <= high):
            return value
        example = say(low + 0.5 if math.isinf(high) else (low + 3 * high) / 4)
        where = f"above {say(low)}" if math.isinf(high) else f"between {say(low)} and {say(high)}"
        raise UserError(f"{flag}: {text} is not {where}. Write for example {example}.")

    return read


def count(low: int, high: int) -> Callable[[str, str], int]:
    """A reader of one whole number from ``low`` to ``high``.

    Example:
        >>> count(2, 2000)("--n", "10")
        10
    """

    def read(flag: str, text: str) -> int:
        value = real(flag, text)
        if value != int(value) or not low <= value <= high:
            raise UserError(
                f"{flag}: {text} is no whole number from {low} to {high:,}. Write one, "
                f"for example {min(8, high)}."
            )
        return int(value)

    return read


def counts(low: int, high: int) -> Callable[[str, str], list[int]]:
    """A reader of whole numbers with commas between them.

    Example:
        >>> counts(2, 100)("--candidates", "2,4")
        [2, 4]
    """
    one = count(low, high)

    def read(flag: str, text: str) -> list[int]:
        reals(flag, text)
        return [one(flag, part.strip()) for part in text.strip("[] ,").split(",")]

    return read


def chances(flag: str, text: str) -> list[float]:
    """Probabilities that need not sum to 1, each of a message of its own.

    Example:
        >>> chances("--p", "1/2,1/8")
        [0.5, 0.125]
    """
    one = number(0, 1, closed=True)
    return [one(flag, f"{value:.15g}") for value in reals(flag, text)]


def distribution(flag: str, text: str) -> list[float]:
    """Probabilities of 2 to `MOST` outcomes.

    Raises:
        UserError: a negative one, or a sum other than 1.

    Example:
        >>> distribution("--p", "1/2,1/4,1/8")
        Traceback (most recent call last):
        goodviews.interfaces.UserError: --p: probabilities sum to 0.875, not 1. Change one of them;
        fractions such as 1/3 are read exactly.
    """
    return _checked(flag, chances(flag, text))


def _checked(flag: str, values: list[float]) -> list[float]:
    if len(values) < 2:
        raise UserError(f"{flag}: {say(values[0])} alone. Give two or more, commas between them.")
    if not math.isclose(sum(values), 1.0, abs_tol=1e-9):
        raise UserError(
            f"{flag}: probabilities sum to {sum(values):.6g}, not 1. Change one of them; fractions "
            "such as 1/3 are read exactly."
        )
    return values


def joint(flag: str, text: str) -> list[list[float]]:
    """A joint table row by row: commas alone make it square, ``;`` ends a row.

    Raises:
        UserError: rows of different lengths, or no distribution.

    Example:
        >>> joint("--joint", "0.4,0.1,0.1,0.4")
        [[0.4, 0.1], [0.1, 0.4]]
        >>> joint("--joint", "0.2,0.2,0.1;0.1,0.1,0.3")
        [[0.2, 0.2, 0.1], [0.1, 0.1, 0.3]]
    """
    rows = [chances(flag, row) for row in text.strip().strip(";").split(";")]
    if len(rows) == 1:
        side = math.isqrt(len(rows[0]))
        if side < 2 or side * side != len(rows[0]):
            raise UserError(
                f"{flag}: {len(rows[0])} numbers make no square table. End a row with ; as in "
                "'0.2,0.2,0.1;0.1,0.1,0.3'."
            )
        rows = [rows[0][side * i : side * (i + 1)] for i in range(side)]
    widths = {len(row) for row in rows}
    if len(widths) > 1 or widths == {1} or len(rows) > MOST // 2:
        raise UserError(
            f"{flag}: rows have {', '.join(str(len(row)) for row in rows)} numbers. Give two to "
            f"{MOST // 2} rows of as many numbers, at least two."
        )
    _checked(flag, [value for row in rows for value in row])
    return rows
