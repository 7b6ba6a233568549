"""The figures of a sweep of views: accuracy against shared information, and both along the dial.

Each arm is one candidate view with the ``value`` of its dial; arms of a ``group`` are one family,
joined in their order where ``joined`` (a dial of numbers has an order, names have none).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from goodviews.interfaces import Row
from goodviews.report.experiment_figures import Panel, horizontals, titled
from goodviews.report.experiment_values import (
    Arm,
    Study,
    arms_of,
    finals,
    mean_sd,
    scale_of,
    unit_of,
    words_of,
)
from goodviews.report.figures import Figure, axis, layout, text
from goodviews.report.palette import Style, styles
from goodviews.report.tables import finite

PanelRecord = Mapping[str, Any]


class Spot(NamedTuple):
    """An arm in a plane: means and deviations of two measures over seeds, in the units shown."""

    label: str
    x: float
    y: float
    x_sd: float | None
    y_sd: float | None


def label_of(arm: Arm) -> str:
    """What stands beside an arm's mark: the value of its dial, else its name without its group's.

    Example:
        >>> label_of({"name": "d=8", "value": 8.0}), label_of({"name": "lab"})
        ('8', 'lab')
        >>> label_of({"name": "rgb raw", "group": "rgb"})
        'raw'
    """
    value = arm.get("value")
    known = finite(value)
    if known is not None:
        return f"{known:g}"
    label = str(arm["name"] if value is None else value)
    return label.removeprefix(f"{arm.get('group')} ")


def _groups(arms: Sequence[Arm]) -> dict[str, list[Arm]]:
    groups: dict[str, list[Arm]] = {}
    for arm in arms:
        groups.setdefault(str(arm.get("group") or ""), []).append(arm)
    return groups


def _spots(
    rows: Sequence[Row], arms: Sequence[Arm], keys: tuple[str, str], units: tuple[str, str]
) -> list[Spot]:
    """The arms that have both measures."""
    found = []
    for arm in arms:
        (x, x_sd), (y, y_sd) = (
            mean_sd([scale_of(unit) * value for value in finals(rows, arm["name"], key)])
            for key, unit in zip(keys, units, strict=True)
        )
        if x is not None and y is not None:
            found.append(Spot(label_of(arm), x, y, x_sd, y_sd))
    return found


def _trace(name: str, spots: Sequence[Spot], style: Style, joined: bool) -> Figure:
    """A family: marks with their dial's values, bars of one deviation both ways."""
    return {
        "type": "scatter",
        "mode": "lines+markers+text" if joined and len(spots) > 1 else "markers+text",
        "name": text(name),
        "x": [spot.x for spot in spots],
        "y": [spot.y for spot in spots],
        "error_x": _bars([spot.x_sd for spot in spots], style),
        "error_y": _bars([spot.y_sd for spot in spots], style),
        "line": {"color": style.color, "width": 1.4},
        "marker": {"symbol": style.symbol, "color": style.color, "size": 9},
        "text": [text(spot.label) for spot in spots],
        "textposition": "top center",
        "cliponaxis": False,
        "textfont": {"size": 11},
        "hovertemplate": "%{customdata}: %{x:.3g}, %{y:.3g}<extra></extra>",
    }


def _apart(traces: Sequence[Figure]) -> None:
    """Marks that lie close together get one label, at the highest of them; all tell their names.

    Example:
        >>> traces = [{"x": [0, 0.01, 1], "y": [0, 0, 1], "text": ["a", "b", "c"]}]
        >>> _apart(traces)
        >>> traces[0]["text"], traces[0]["customdata"]
        (['', 'a, b', 'c'], ['a', 'b', 'c'])
    """
    marks = [(t["x"][i], t["y"][i], t, i) for t in traces for i in range(len(t["x"]))]
    width, height = (max(v) - min(v) or 1.0 for v in list(zip(*marks, strict=True))[:2])
    for trace in traces:
        trace["customdata"] = list(trace["text"])
    left = sorted(marks, key=lambda mark: (mark[1], mark[0]))
    while left:
        x, y, top, place = left.pop()
        mine = len(top["customdata"][place])
        near = [
            (a, b, trace, i)
            for a, b, trace, i in left
            if abs(a - x) < 0.01 * width * max(10, mine + len(trace["customdata"][i]))
            and abs(b - y) < 0.06 * height
        ]
        for _, _, trace, i in near:
            trace["text"][i] = ""
        left = [mark for mark in left if mark not in near]
        names = [*(trace["customdata"][i] for _, _, trace, i in near), top["customdata"][place]]
        names = sorted(dict.fromkeys(names))
        more = f" +{len(names) - 3}" if len(names) > 3 else ""
        top["text"][place] = ", ".join(names[:3]) + more


def _bars(deviations: Sequence[float | None], style: Style) -> Figure:
    return {
        "type": "data",
        "array": [sd or 0.0 for sd in deviations],
        "visible": any(deviations),
        "color": style.color,
        "thickness": 1.1,
        "width": 3,
    }


def plane_panel(rows: Sequence[Row], study: Study, panel: PanelRecord) -> Panel:
    """Accuracy against shared information, one mark an arm: where a reverse-U is to be seen.

    Args:
        rows: The runs.
        study: Its record; arms may have ``group`` and ``value``.
        panel: ``x`` (default "nats"), ``y``, ``joined``, ``title``, ``unit`` (of y), ``lines``.

    Example:
        >>> rows = [Row("candidate", "a", s, nats=1.0, linear=0.5 + s) for s in (0, 0.2)]
        >>> plane_panel(rows, {}, {"y": "linear", "unit": "%"}).charts[0][1]["data"][0]["y"]
        [60.0]
    """
    keys = str(panel.get("x") or "nats"), str(panel["y"])
    units = unit_of(keys[0], study), unit_of(keys[1], study, panel.get("unit"))
    groups = _groups(arms_of(study, rows))
    looks = styles(groups)
    data, heights = [], list[float]()
    for name, arms in groups.items():
        spots = _spots(rows, arms, keys, units)
        heights += [y for s in spots for y in (s.y - (s.y_sd or 0), s.y + (s.y_sd or 0))]
        data += [_trace(name, spots, looks[name], bool(panel.get("joined")))] if spots else []
    title = str(
        panel.get("title") or f"{words_of(keys[1], study)} against {words_of(keys[0], study)}"
    )
    if not data:
        return Panel(title, [])
    _apart(data)
    plan = layout(
        axis(titled(keys[0], units[0], study), nticks=7),
        axis(titled(keys[1], units[1], study), nticks=7),
        showlegend=len(data) > 1,
    )
    _frame(plan, heights, panel, units[1])
    across = [x for trace in data for x in trace["x"]]
    pad = 0.14 * (max(across) - min(across)) or 1.0
    plan["xaxis"]["range"] = [min(across) - pad, max(across) + pad]
    return Panel(title, [("", {"data": data, "layout": plan})], "Bars: one standard deviation.")


def _frame(plan: Figure, heights: Sequence[float], panel: PanelRecord, unit: str) -> None:
    """The vertical axis holds all marks and those reference lines that do not stretch it."""
    low, high = min(heights), max(heights)
    pad = 0.12 * (high - low) or 1.0
    levels = [scale_of(unit) * float(line["value"]) for line in panel.get("lines") or []]
    near = [y for y in levels if low - 6 * pad < y < high + 6 * pad]
    plan["yaxis"]["range"] = [min([low, *near]) - pad, max([high, *near]) + pad]
    horizontals(plan, panel, unit)


def dial_panel(rows: Sequence[Row], study: Study, panel: PanelRecord) -> Panel:
    """A measure along the dial's values, evenly spaced; shared information below, where measured.

    Args:
        rows: The runs.
        study: Its record; arms have ``value``.
        panel: ``y``, ``joined``, ``title``, ``unit`` (of y), ``dial`` (words of the axis), ``only``
            (groups to draw; all if not given).

    Example:
        >>> rows = [Row("candidate", "a", 0, nats=1.0, linear=0.5)]
        >>> panel = {"y": "linear", "dial": "sigma"}
        >>> [trace["y"] for trace in dial_panel(rows, {}, panel).charts[0][1]["data"]]
        [[0.5], [1.0]]
        >>> rows[0].nats = None
        >>> [trace["y"] for trace in dial_panel(rows, {}, panel).charts[0][1]["data"]]
        [[0.5]]
    """
    key = str(panel["y"])
    unit = unit_of(key, study, panel.get("unit"))
    title = str(panel.get("title") or f"{words_of(key, study)} along the dial")
    groups = _groups(arms_of(study, rows))
    only = panel.get("only")
    groups = {name: arms for name, arms in groups.items() if only is None or name in only}
    looks, data = styles(groups), []
    shared = any(finals(rows, arm["name"], "nats") for arms in groups.values() for arm in arms)
    first = ("nats", "nats") if shared else (key, unit)
    for name, arms in groups.items():
        spots = _spots(rows, arms, (first[0], key), (first[1], unit))
        if not spots:
            continue
        trace = _trace(name, spots, looks[name], bool(panel.get("joined")))
        names = [s.label for s in spots]
        trace |= {"mode": trace["mode"].removesuffix("+text"), "x": names, "customdata": names}
        trace["error_x"] = {"visible": False}
        data.append(trace)
        if not shared:
            continue
        below = trace | {"y": [s.x for s in spots], "yaxis": "y2", "showlegend": False}
        below["error_y"] = _bars([s.x_sd for s in spots], looks[name])
        data.append(below)
    if not data:
        return Panel(title, [])
    plan = layout(
        axis(text(panel.get("dial") or "dial"), type="category", anchor="y2" if shared else "y"),
        axis(unit or words_of(key, study), domain=[0.54 if shared else 0, 1], nticks=5),
        showlegend=len(groups) > 1,
    )
    if shared:
        plan["yaxis2"] = axis("I<sub>NCE</sub>, nats", domain=[0, 0.46], nticks=5)
    return Panel(title, [("", {"data": data, "layout": plan})])
