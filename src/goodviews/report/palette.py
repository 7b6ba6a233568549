"""Colours, symbols and themes: one palette (Okabe-Ito, safe for colour-blind readers), two themes.

Figures are plain dicts whose colours may be tokens such as ``"var(--ink)"``. The page's script
resolves them against the theme shown; :func:`with_theme` does the same in Python.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

Figure = Any
"""A plotly figure, or a part of one, as nested dicts and lists."""

MISSING, SWEET_SPOT, EXCESS, UNDECIDED = REGIMES = (
    "missing information",
    "sweet spot",
    "excess noise",
    "undecided",
)
"""The regimes as rows spell them (:class:`goodviews.regimes.Regime`)."""

THEMES: dict[str, dict[str, str]] = {
    "light": {
        "bg": "#f7f7f5",
        "surface": "#ffffff",
        "raised": "#f3f4f4",
        "ink": "#1a1e23",
        "muted": "#59626d",
        "line": "#dfe2e6",
        "grid": "#eceef0",
        "accent": "#0068a3",
        "family-0": "#0072b2",
        "family-1": "#d55e00",
        "family-2": "#009e73",
        "family-3": "#c0609a",
        "family-4": "#d08f00",
        "family-5": "#45a6e0",
        "family-6": "#5f6873",
        "missing": "#b34e00",
        "sweet": "#00785a",
        "excess": "#9c4379",
        "undecided": "#59626d",
        "missing-band": "rgba(213, 94, 0, 0.06)",
        "sweet-band": "rgba(0, 158, 115, 0.12)",
        "excess-band": "rgba(204, 121, 167, 0.10)",
        "undecided-band": "rgba(110, 120, 130, 0.10)",
        "bad": "#b3261e",
        "bad-band": "rgba(179, 38, 30, 0.08)",
        "shadow": "0 1px 2px rgba(20, 25, 30, 0.05), 0 4px 18px rgba(20, 25, 30, 0.05)",
    },
    "dark": {
        "bg": "#0f1215",
        "surface": "#171b1f",
        "raised": "#1f2429",
        "ink": "#e9ebee",
        "muted": "#a0a9b4",
        "line": "#2d333a",
        "grid": "#262b31",
        "accent": "#6cbcf0",
        "family-0": "#3a96d6",
        "family-1": "#f07c2e",
        "family-2": "#1fbf91",
        "family-3": "#dd8fba",
        "family-4": "#e9b233",
        "family-5": "#93d2f7",
        "family-6": "#aeb6c0",
        "missing": "#f09a5b",
        "sweet": "#3fd0a4",
        "excess": "#e3a0c5",
        "undecided": "#a0a9b4",
        "missing-band": "rgba(240, 124, 46, 0.09)",
        "sweet-band": "rgba(31, 191, 145, 0.14)",
        "excess-band": "rgba(221, 143, 186, 0.10)",
        "undecided-band": "rgba(160, 170, 180, 0.12)",
        "bad": "#ff8a80",
        "bad-band": "rgba(255, 138, 128, 0.12)",
        "shadow": "0 1px 2px rgba(0, 0, 0, 0.4), 0 6px 22px rgba(0, 0, 0, 0.25)",
    },
}
"""Theme -> token -> CSS value; the stylesheet takes its variables from here."""

_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "pentagon", "triangle-down", "hexagon")
_DASHES = ("solid", "dot", "dash")
_COLORS = 7

REGIME_KEYS: dict[str, str] = {
    MISSING: "missing",
    SWEET_SPOT: "sweet",
    EXCESS: "excess",
    UNDECIDED: "undecided",
}
"""Regime -> the name of its colour token and CSS class."""


class Style(NamedTuple):
    """How one series is drawn: colour token, plotly marker symbol, plotly line dash."""

    color: str
    symbol: str
    dash: str


def token(name: str) -> str:
    """The reference to a theme colour, to be resolved by the page or :func:`with_theme`.

    Example:
        >>> token("ink")
        'var(--ink)'
    """
    return f"var(--{name})"


def styles(names: Iterable[str]) -> dict[str, Style]:
    """One style for each name, in order; no two of the first 49 are alike.

    Args:
        names: Families or other series, in order of appearance.

    Example:
        >>> styles(["crop-scale", "blur"])["blur"]
        Style(color='var(--family-1)', symbol='square', dash='solid')
    """
    result: dict[str, Style] = {}
    for name in names:
        if name not in result:
            turn, place = divmod(len(result), _COLORS)
            symbol = _SYMBOLS[(place + 2 * turn) % len(_SYMBOLS)]
            result[name] = Style(
                token(f"family-{place}"), symbol, _DASHES[min(turn, len(_DASHES) - 1)]
            )
    return result


def with_theme(figure: Figure, theme: Mapping[str, str]) -> Figure:
    """The same figure with every colour token replaced by the theme's colour.

    Args:
        figure: A plotly figure as nested dicts and lists.
        theme: One entry of :data:`THEMES`.

    Example:
        >>> with_theme({"color": "var(--ink)"}, THEMES["light"])
        {'color': '#1a1e23'}
    """
    if isinstance(figure, dict):
        return {key: with_theme(value, theme) for key, value in figure.items()}
    if isinstance(figure, list | tuple):
        return [with_theme(value, theme) for value in figure]
    if isinstance(figure, str) and figure.startswith("var(--"):
        return re.sub(r"var\(--([\w-]+)\)", lambda match: theme[match.group(1)], figure)
    return figure
