"""The figures of an experiment: curves over steps with bands over seeds, percentiles, final values.

Plain plotly dicts whose colours are theme tokens, as in :mod:`goodviews.report.figures`. An arm
has one colour and one mark in all of them, so the page needs one legend.
"""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from goodviews.interfaces import Row
from goodviews.report.experiment_values import (
    Look,
    Point,
    Study,
    arms_of,
    curve,
    done,
    final,
    finals,
    looks_of,
    mean_sd,
    scale_of,
    shown,
    unit_of,
    window,
    words_of,
)
from goodviews.report.figures import Figure, axis, layout, note, text
from goodviews.report.palette import token
from goodviews.report.tables import finite, number, spread

PanelRecord = Mapping[str, Any]

PERCENTILES = (("min", "max", 0.16), ("p20", "p80", 0.28), ("p40", "p60", 0.55))
"""Lower end, upper end and opacity of each band, as in Tschannen et al. 2019, figure 2."""
_MARKED = 30
"""The most points of a curve that are marked one by one."""
_BROAD = 13
"""Characters in a line of words beside a plot."""


class Panel(NamedTuple):
    """One panel of the page: its charts with their captions, and what must be said below."""

    title: str
    charts: list[tuple[str, Figure]]
    note: str = ""
    wide: bool = False


def _told(value: float | None, unit: str) -> str:
    """A value in the unit shown: percentages with one digit, else three that matter."""
    return number(value, 1) if unit == "%" else shown(value, "", None)


def titled(key: str, unit: str, study: Study) -> str:
    """The words of an axis: the measure and its unit.

    Example:
        >>> titled("nats", "nats", {})
        'nats'
    """
    words = words_of(key, study)
    return text(words if unit in words else f"{words}, {unit}")


def curve_panel(rows: Sequence[Row], study: Study, panel: PanelRecord) -> Panel:
    """Means over seeds along the steps, bands of one deviation, reference lines.

    Args:
        rows: The runs.
        study: Its record; read are ``arms``, ``columns``, ``x`` and ``log_x``.
        panel: ``measure``, ``title``, ``unit``, ``also``, ``lines``, ``range`` (two ends of the
            vertical axis in the unit shown, where the automatic ones will not do).

    Example:
        >>> rows = [Row("candidate", "a", 0, curve=[{"step": 0, "nats": 1.0}])]
        >>> curve_panel(rows, {}, {"measure": "nats"}).charts[0][1]["data"][0]["y"]
        [1.0]
    """
    key, also = panel["measure"], panel.get("also")
    unit = unit_of(key, study, panel.get("unit"))
    arms, seen = arms_of(study, rows), list[Point]()
    bands, extra, lines = [], [], []
    for name, look in looks_of(arms).items():
        points = _visible(curve(rows, name, key, scale_of(unit)), study)
        thin = _visible(curve(rows, name, also, scale_of(unit)), study) if also else []
        seen += [*points, *thin]
        bands += _band(points, look)
        extra += [_line(name, thin, look, unit) | _thin(look)] if thin else []
        lines += [_line(name, points, look, unit)] if points else []
    title = str(panel.get("title") or words_of(key, study))
    if not seen:
        return Panel(title, [])
    plan = layout(_steps_axis(study), axis(text(unit), nticks=7), showlegend=False)
    levels = [y for y, _ in _levels(panel, unit)]
    low, high, words = window(seen, levels, panel.get("range"))
    plan["yaxis"]["range"] = [low, high]
    plan["margin"] = {"l": 52, "r": 14, "t": 10, "b": 44}
    horizontals(plan, panel, unit)
    if also and extra:
        words = f"Thin and broken: {words_of(also, study)}. {words}"
    return Panel(title, [("", {"data": [*bands, *extra, *lines], "layout": plan})], words.strip())


def _visible(points: list[Point], study: Study) -> list[Point]:
    """The points that the axis can show: a logarithm needs steps above 0."""
    return [p for p in points if p.step > 0] if study.get("log_x") else points


def _steps_axis(study: Study) -> Figure:
    more = {"type": "log", "dtick": 1} if study.get("log_x") else {}
    return axis(text(study.get("x") or "training steps"), nticks=6, **more)


def _line(name: str, points: Sequence[Point], look: Look, unit: str) -> Figure:
    """A curve; small marks where they do not crowd it."""
    words = [
        f"{name}: {spread(_told(p.mean, unit), _told(p.sd, unit))} {unit}, {p.seeds} "
        f"{'seed' if p.seeds == 1 else 'seeds'}"
        for p in points
    ]
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(points) <= _MARKED else "lines",
        "name": text(name),
        "x": [p.step for p in points],
        "y": [p.mean for p in points],
        "line": {"color": look.color, "width": 2, "dash": look.dash},
        "marker": look.marker | {"size": 5},
        "text": [text(line) for line in words],
        "hovertemplate": "%{text}, step %{x}<extra></extra>",
    }


def _thin(look: Look) -> Figure:
    """How the second measure of a panel differs from the first."""
    dash = "dash" if look.dash == "solid" else "dot" if look.dash == "dash" else "longdash"
    return {"mode": "lines", "line": {"color": look.color, "width": 1.2, "dash": dash}}


def _band(points: Sequence[Point], look: Look) -> list[Figure]:
    """Mean -+ one deviation, where there are two seeds or more."""
    sure = [(p.step, p.mean - p.sd, p.mean + p.sd) for p in points if p.sd is not None]
    return [_area(sure, look, 0.16)] if sure else []


def _area(ends: Sequence[tuple[float, float, float]], look: Look, opacity: float) -> Figure:
    """The area between two curves: (step, lower, upper)."""
    return {
        "type": "scatter",
        "mode": "none",
        "fill": "toself",
        "fillcolor": look.color,
        "opacity": opacity,
        "x": [x for x, *_ in ends] + [x for x, *_ in reversed(ends)],
        "y": [low for _, low, _ in ends] + [high for *_, high in reversed(ends)],
        "line": {"width": 0},
        "hoverinfo": "skip",
    }


def _levels(panel: PanelRecord, unit: str) -> list[tuple[float, str]]:
    """The reference lines in the unit shown, lowest first, with their words."""
    known = [(finite(line.get("value")), line.get("words")) for line in panel.get("lines") or []]
    return sorted(
        (scale_of(unit) * value, f"{words} {_told(scale_of(unit) * value, unit)}")
        for value, words in known
        if value is not None
    )


def horizontals(plan: Figure, panel: PanelRecord, unit: str) -> None:
    """Dotted reference lines, their words in the right margin, kept from covering each other."""
    low, high = plan["yaxis"]["range"]
    levels = [(y, words) for y, words in _levels(panel, unit) if low <= y <= high]
    blocks = [textwrap.wrap(words, _BROAD, break_long_words=False) for _, words in levels]
    heights = [0.05 * (high - low) * len(block) for block in blocks]
    places = _spaced([y for y, _ in levels], heights, high)
    for (y, _), block, place in zip(levels, blocks, places, strict=True):
        plan["shapes"].append(_dotted({"xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y}))
        at = {"xref": "paper", "x": 1, "xanchor": "left", "xshift": 4, "y": place}
        words = "<br>".join(text(part) for part in block)
        plan["annotations"].append(note(words, yanchor="middle", align="left", **at))
    broad = max((len(part) for block in blocks for part in block), default=0)
    plan["margin"]["r"] = max(plan["margin"]["r"], 10 + 7 * broad)


def _dotted(ends: Figure) -> Figure:
    """A reference line between two ends; above the grid, whose lines would cover it."""
    line = {"color": token("muted"), "width": 1.4, "dash": "dot"}
    return {"type": "line", **ends, "line": line, "layer": "above"}


def _spaced(places: Sequence[float], heights: Sequence[float], top: float) -> list[float]:
    """The middles of blocks of words, moved up from below as far as needed, not above the top.

    Example:
        >>> _spaced([0.0, 0.5, 9.9], [1.0, 1.0, 1.0], 10.0)
        [0.0, 1.0, 9.5]
    """
    result: list[float] = []
    for i, place in enumerate(places):
        floor = result[-1] + (heights[i - 1] + heights[i]) / 2 if result else place
        result.append(max(place, floor))
    for i in reversed(range(len(result))):
        roof = top - heights[i] / 2
        if i + 1 < len(result):
            roof = result[i + 1] - (heights[i] + heights[i + 1]) / 2
        result[i] = min(result[i], roof)
    return result


def percentiles_panel(rows: Sequence[Row], study: Study, panel: PanelRecord) -> Panel:
    """One chart an arm: where a quantity of many inputs lies, along the steps.

    Bands from the smallest to the largest, the 20th to the 80th and the 40th to the 60th
    percentile; each end is the mean over seeds. Tschannen et al. 2019, figure 2.

    Args:
        rows: The runs; their curves hold ``prefix`` + "min", "p20", "p40", "p60", "p80", "max".
        study: Its record.
        panel: ``prefix``, ``title``, ``unit``.

    Example:
        >>> entry = {"step": 0, "c_min": 0, "c_max": 1}
        >>> rows = [Row("candidate", "a", 0, curve=[entry])]
        >>> [name for name, _ in percentiles_panel(rows, {}, {"prefix": "c_"}).charts]
        ['a']
    """
    prefix, unit = panel["prefix"], str(panel.get("unit") or "")
    charts, reached = list[tuple[str, Figure]](), list[float]()
    for name, look in looks_of(arms_of(study, rows)).items():
        data = []
        for low, high, opacity in PERCENTILES:
            lower, upper = (
                {p.step: p.mean for p in _visible(curve(rows, name, f"{prefix}{end}"), study)}
                for end in (low, high)
            )
            ends = [(step, lower[step], upper[step]) for step in lower if step in upper]
            data += [_area(ends, look, opacity)] if ends else []
            reached += [y for _, *pair in ends for y in pair]
        if data:
            plan = layout(_steps_axis(study), axis(text(unit), nticks=6), showlegend=False)
            plan["margin"] = {"l": 48, "r": 14, "t": 10, "b": 44}
            charts.append((name, {"data": data, "layout": plan}))
    pad = 0.05 * (max(reached, default=0.0) - min(reached, default=0.0)) or 1.0
    for _, figure in charts:
        figure["layout"]["yaxis"]["range"] = [min(reached) - pad, max(reached) + pad]
    title = str(panel.get("title") or words_of(prefix.strip("_"), study))
    told = (
        "From pale to full: smallest to largest, 20th to 80th, 40th to 60th percentile; "
        "means over seeds."
    )
    return Panel(title, charts, told, wide=True)


def scatter_panel(rows: Sequence[Row], study: Study, panel: PanelRecord) -> Panel:
    """Final values of two measures: a small mark a run, a large one the mean of an arm.

    Args:
        rows: The runs.
        study: Its record.
        panel: ``x``, ``y``, ``title``, ``unit`` (of y) and ``x_unit``, if not those of the columns.

    Example:
        >>> rows = [Row("candidate", "a", 0, nats=1.0, knn=0.5)]
        >>> scatter_panel(rows, {}, {"x": "nats", "y": "knn"}).charts[0][1]["data"][0]["x"]
        [1.0]
    """
    x, y = panel["x"], panel["y"]
    x_unit = unit_of(x, study, panel.get("x_unit"))
    y_unit = unit_of(y, study, panel.get("unit"))
    runs, means = [], []
    for name, look in looks_of(arms_of(study, rows)).items():
        found = [(row.seed, final(row, x), final(row, y)) for row in done(rows, name)]
        points = [
            (scale_of(x_unit) * a, scale_of(y_unit) * b, f"{name}, seed {seed}")
            for seed, a, b in found
            if a is not None and b is not None
        ]
        if points:
            a, b = statistics.fmean(p[0] for p in points), statistics.fmean(p[1] for p in points)
            means.append(_marks(name, look, [(a, b, f"{name}, mean of {len(points)}")], 13))
            runs += [_marks(name, look, points, 6) | {"opacity": 0.75}] if len(points) > 1 else []
    title = str(panel.get("title") or f"{words_of(y, study)} against {words_of(x, study)}")
    if not means:
        return Panel(title, [])
    across, up = titled(x, x_unit, study), titled(y, y_unit, study)
    plan = layout(axis(across, nticks=7), axis(up, nticks=7), showlegend=False)
    told = "Large: means over seeds; small: single runs." if runs else ""
    return Panel(title, [("", {"data": [*means, *runs], "layout": plan})], told)


def _marks(name: str, look: Look, points: Sequence[tuple[float, float, str]], size: int) -> Figure:
    """Single points (x, y, what is said when pointed at)."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": text(name),
        "x": [x for x, *_ in points],
        "y": [y for _, y, _ in points],
        "marker": look.marker | {"size": size},
        "text": [text(words) for *_, words in points],
        "hovertemplate": "%{text}: %{x:.4g}, %{y:.4g}<extra></extra>",
    }


def bars_panel(rows: Sequence[Row], study: Study, panel: PanelRecord) -> Panel:
    """Final values: an arm's mean, a bar of one deviation each way, and its runs as small marks.

    Args:
        rows: The runs.
        study: Its record.
        panel: ``measure``, ``title``, ``unit``, ``lines``.

    Example:
        >>> rows = [Row("candidate", "a", s, nats=x) for s, x in enumerate([1.0, 2.0])]
        >>> bars_panel(rows, {}, {"measure": "nats"}).charts[0][1]["data"][0]["x"]
        [1.5]
    """
    key, unit = panel["measure"], unit_of(panel["measure"], study, panel.get("unit"))
    title = str(panel.get("title") or words_of(key, study))
    looks = looks_of(arms_of(study, rows))
    groups = {
        name: [scale_of(unit) * value for value in values]
        for name in looks
        if (values := finals(rows, name, key))
    }
    data = []
    for place, (name, values) in enumerate(reversed(groups.items())):
        mean, sd = statistics.fmean(values), mean_sd(values)[1]
        words = f"{name}, {len(values)} {'seed' if len(values) == 1 else 'seeds'}"
        whisker = {"type": "data", "array": [sd or 0.0], "visible": sd is not None}
        whisker |= {"color": looks[name].color, "thickness": 1.6, "width": 5}
        data.append(_marks(name, looks[name], [(mean, place, words)], 11) | {"error_x": whisker})
        if len(values) > 1:
            runs = [(value, place - 0.24, name) for value in values]
            data.append(_marks(name, looks[name], runs, 5) | {"opacity": 0.75})
    if not data:
        return Panel(title, [])
    for trace in data:
        trace["hovertemplate"] = "%{text}: %{x:.4g}<extra></extra>"
    plan = layout(axis(text(unit), nticks=7), _names_axis(list(groups)), showlegend=False)
    _verticals(plan, panel, unit)
    told = "Large: means, bars one standard deviation over seeds; small: single runs."
    return Panel(title, [("", {"data": data, "layout": plan})], told)


def _names_axis(names: Sequence[str]) -> Figure:
    """One line an arm, the first on top; long names are broken."""
    broken = [textwrap.wrap(name, 20, break_long_words=False) for name in reversed(names)]
    return axis(
        tickvals=list(range(len(names))),
        ticktext=["<br>".join(text(part) for part in parts) for parts in broken],
        range=[-0.6, len(names) - 0.5],
        ticks="",
    )


def _verticals(plan: Figure, panel: PanelRecord, unit: str) -> None:
    """Dotted reference lines with their words above, one step higher each."""
    for place, (x, words) in enumerate(_levels(panel, unit)):
        plan["shapes"].append(_dotted({"yref": "paper", "x0": x, "x1": x, "y0": 0, "y1": 1}))
        at = {"x": x, "y": 1, "yref": "paper", "yanchor": "bottom", "yshift": 15 * place}
        plan["annotations"].append(note(text(words), xanchor="center", **at))
        plan["margin"] = plan["margin"] | {"t": 24 + 15 * place}
