"""The figures of an audit: nats and accuracy, growth with K, critics, negatives, conditioning.

Plain plotly dicts whose colours are theme tokens, as in :mod:`goodviews.report.figures`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from goodviews.report.figures import Figure, axis, layout, note, text
from goodviews.report.palette import Style, styles, token
from goodviews.report.tables import finite

Record = Mapping[str, Any]
"""What audit.json holds."""

NATS = "held-out nats, I<sub>NCE</sub>"


def figures(record: Record) -> dict[str, Figure]:
    """Every figure that the record has numbers for.

    Example:
        >>> figures({"measured": {"contenders": {}}})
        {}
    """
    measured = record["measured"]
    drawn = {
        "order": order_figure(record),
        "growth": growth_figure(record),
        "critics": critics_figure(measured.get("critics") or {}),
        "negatives": negatives_figure(measured.get("negatives") or {}),
        "conditioning": conditioning_figure(measured.get("geometry") or {}),
    }
    return {name: figure for name, figure in drawn.items() if figure is not None}


def held(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """A contender's held-out nats by the critic that validation chose."""
    found: Mapping[str, Any] = entry["critics"][entry["chosen"]]["held"]
    return found


def order_figure(record: Record) -> Figure | None:
    """Accuracy against nats, one mark a contender, 95 % bars both ways; None without labels."""
    contenders = record["measured"]["contenders"]
    known = {name: entry for name, entry in contenders.items() if entry.get("probe")}
    if not known:
        return None
    looks = styles(contenders)
    data = []
    for name, entry in known.items():
        nats, probe = held(entry), entry["probe"]
        words = f"{name}: {nats['value']:.2f} nats, {100 * probe['value']:.1f} %"
        data.append(
            _point(name, looks[name], (nats["value"], nats["half"]))
            | {
                "y": [probe["value"]],
                "error_y": _bar(probe["half"], looks[name]),
                "text": [text(words)],
            }
        )
    ceiling = finite(record.get("ceiling"))
    plan = layout(
        axis(f"{NATS}, fresh critic, K = {record.get('K')}", rangemode="tozero"),
        axis("linear probe, held-out accuracy", tickformat=".0%"),
    )
    if ceiling:
        _wall(plan, ceiling, f"ceiling log K = {ceiling:.2f}")
    return {"data": data, "layout": plan}


def _point(name: str, style: Style, x: tuple[float, float], size: int = 11) -> Figure:
    """One mark with a horizontal bar."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": text(name),
        "showlegend": True,
        "x": [x[0]],
        "error_x": _bar(x[1], style),
        "marker": {"symbol": style.symbol, "color": style.color, "size": size},
        "hovertemplate": "%{text}<extra></extra>",
    }


def _bar(half: object, style: Style) -> Figure:
    known = finite(half) or 0.0
    return {
        "type": "data",
        "array": [known],
        "visible": known > 0,
        "color": style.color,
        "thickness": 1.4,
        "width": 4,
    }


def _wall(plan: Figure, x: float, words: str) -> None:
    """A dashed vertical with its name above."""
    line = {"color": token("ink"), "width": 1.4, "dash": "dash"}
    ends = {"x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper"}
    plan["shapes"].append({"type": "line", **ends, "line": line, "layer": "below"})
    place = {"x": x, "y": 1, "yref": "paper", "xanchor": "right", "yanchor": "bottom"}
    plan["annotations"].append(note(words, color=token("ink"), **place))
    plan["legend"]["y"] = 1.075


def growth_figure(record: Record) -> Figure | None:
    """The bound at every K: the run's own critic, and every contender's fresh one."""
    measured = record["measured"]
    looks = styles(measured["contenders"])
    data = []
    for row, words, dash in (("held", "own critic", "solid"), ("train", "own, training", "dot")):
        rows = measured.get("ceiling") or []
        points = [(line["K"], line[row]["value"]) for line in rows]
        if points:
            data.append(_line(words, Style(token("ink"), "x", dash), points))
    for name, entry in measured["contenders"].items():
        found = entry["critics"][entry["chosen"]]["by_size"]
        points = [(int(k), value["value"]) for k, value in found.items()]
        data.append(_line(name, looks[name], points))
    sizes = sorted({x for trace in data for x in trace["x"]})
    if not sizes:
        return None
    top = [(k, math.log(k)) for k in sizes]
    data.append(_line("log K", Style(token("muted"), "line-ew", "dash"), top) | {"mode": "lines"})
    ticks = {"type": "log", "tickvals": sizes, "ticktext": [str(k) for k in sizes]}
    return {"data": data, "layout": layout(axis("K candidates", **ticks), axis(NATS))}


def _line(name: str, style: Style, points: Sequence[tuple[float, float]]) -> Figure:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": text(name),
        "showlegend": True,
        "x": [x for x, _ in points],
        "y": [y for _, y in points],
        "line": {"color": style.color, "width": 2, "dash": style.dash},
        "marker": {"symbol": style.symbol, "color": style.color, "size": 7},
        "text": [text(f"{name}: {y:.2f} nats at K = {x:g}") for x, y in points],
        "hovertemplate": "%{text}<extra></extra>",
    }


def critics_figure(found: Mapping[str, Any]) -> Figure | None:
    """Every kind of critic on the same features: both bounds held out, InfoNCE on training too."""
    kinds = found.get("kinds") or {}
    if not kinds:
        return None
    names = [*(["own critic"] if found.get("own") else []), *kinds]
    series = {
        "InfoNCE": {name: kinds[name]["infonce"]["held"] for name in kinds},
        "InfoNCE, training pairs": {name: kinds[name]["infonce"]["train"] for name in kinds},
        "NWJ": {name: kinds[name]["nwj"]["held"] for name in kinds},
    }
    if found.get("own"):
        series["InfoNCE"]["own critic"] = found["own"]
    plan = layout(axis("nats"), _lines_axis(names))
    ceiling = math.log(found["K"])
    _wall(plan, ceiling, f"log K = {ceiling:.2f}")
    looks = styles(series)
    looks["InfoNCE, training pairs"] = Style(looks["InfoNCE"].color, "circle-open", "solid")
    data = [_rows(words, looks[words], names, values) for words, values in series.items()]
    return {"data": data, "layout": plan}


def _lines_axis(names: Sequence[str]) -> Figure:
    """One line a name, the first on top."""
    return axis(
        tickvals=list(range(len(names)))[::-1],
        ticktext=[text(name) for name in names],
        range=[-0.6, len(names) - 0.4],
        ticks="",
    )


def _rows(
    words: str, style: Style, names: Sequence[str], values: Mapping[str, Mapping[str, Any]]
) -> Figure:
    """One mark a line, with bars."""
    known = [(len(names) - 1 - i, name) for i, name in enumerate(names) if name in values]
    numbers = [values[name] for _, name in known]
    halves = [finite(one.get("half")) or 0.0 for one in numbers]
    return _point(words, style, (0.0, 0.0), 10) | {
        "x": [one["value"] for one in numbers],
        "y": [y for y, _ in known],
        "error_x": _bar(1.0, style) | {"array": halves},
        "text": [
            text(f"{name}: {words} {one['value']:.2f} ± {half:.2f} nats")
            for (_, name), one, half in zip(known, numbers, halves, strict=True)
        ],
    }


def negatives_figure(found: Mapping[str, Any]) -> Figure | None:
    """The own critic's bound for every kind of negatives."""
    sets = found.get("sets") or {}
    if not sets:
        return None
    names = list(sets)
    style = styles(["I_NCE"])["I_NCE"]
    plan = layout(
        axis(f"nats, own critic, K = {found['K']}", rangemode="tozero"), _lines_axis(names)
    )
    plan["margin"]["t"] = 26
    _wall(plan, found["ceiling"], f"log K = {found['ceiling']:.2f}")
    return {
        "data": [_rows("own critic", style, names, sets) | {"showlegend": False}],
        "layout": plan,
    }


def conditioning_figure(found: Mapping[str, Any]) -> Figure | None:
    """Log condition numbers over images: least to largest thin, 20 % to 80 % thick."""
    conditions = found.get("conditioning") or {}
    if not conditions:
        return None
    names = list(conditions)
    looks = styles(names)
    data = []
    for i, name in enumerate(names):
        marks, y, look = conditions[name]["percentiles"], len(names) - 1 - i, looks[name]
        for ends, width in ((("min", "max"), 1.5), (("p20", "p80"), 7.0)):
            data.append(
                _line(name, look, [(marks[end], y) for end in ends])
                | {"mode": "lines", "line": {"color": look.color, "width": width}}
                | {"showlegend": False, "hoverinfo": "skip", "hovertemplate": None}
            )
        points = [(marks[end], y) for end in ("p40", "p60")]
        told = [f"{name}: 40 % of images below", f"{name}: 60 % of images below"]
        told = [f"{start} {x:.1f}" for start, (x, _) in zip(told, points, strict=True)]
        data.append(
            _line(name, look, points)
            | {"mode": "markers", "showlegend": False, "text": [text(one) for one in told]}
            | {"marker": {"symbol": "line-ns-open", "color": token("ink"), "size": 14}}
        )
    words = "log σ<sub>1</sub> − log σ<sub>n</sub> of the directions kept"
    return {"data": data, "layout": layout(axis(words, rangemode="tozero"), _lines_axis(names))}
