"""The figures of a study, as plain plotly dicts ``{"data": [...], "layout": {...}}``.

Colours are theme tokens (see :mod:`goodviews.report.palette`); every point carries its candidate's
name in ``customdata``, by which the page's script finds what to show beside it.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from goodviews.report import tables
from goodviews.report.palette import (
    EXCESS,
    MISSING,
    REGIME_KEYS,
    SWEET_SPOT,
    UNDECIDED,
    Style,
    styles,
    token,
)
from goodviews.report.tables import Summary, finite

Figure = dict[str, Any]
Part = Any
"""Any part of a figure, as plotly names them."""
Study = Mapping[str, Any]

INFORMATION = "held-out I<sub>NCE</sub>(v1; v2), nats"


class Measure(NamedTuple):
    """What the vertical axis shows: field, its deviation, title, tick format."""

    key: str
    sd: str
    title: str
    format: str


ACCURACY = Measure("linear", "linear_sd", tables.WORDS.title, ".0%")
RANKME = Measure("rankme", "rankme_sd", "RankMe (effective rank, no labels used)", "")


def measure_of(study: Study, summary: Iterable[Summary]) -> Measure:
    """Linear-probe accuracy where there are labels, RankMe where there are none.

    Example:
        >>> measure_of({"labelled": False}, []).key
        'rankme'
    """
    if not study.get("labelled", tables.is_labelled(summary)):
        return RANKME
    return ACCURACY._replace(title=tables.TaskWords.of(study).title)


def text(value: object) -> str:
    """A user's string made safe for plotly, which reads a little HTML.

    Example:
        >>> text("<b>")
        '&lt;b&gt;'
    """
    return html.escape(str(value), quote=False)


def axis(title: str = "", **more: Part) -> Figure:
    """One axis in the page's style.

    Example:
        >>> axis("epoch")["title"]["text"]
        'epoch'
    """
    return {
        "title": {"text": title, "standoff": 10, "font": {"size": 13}},
        "gridcolor": token("grid"),
        "linecolor": token("line"),
        "zeroline": False,
        "automargin": True,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": token("line"),
        **more,
    }


def layout(x: Figure, y: Figure, **more: Part) -> Figure:
    """A layout in the page's style: no title (the page has it), transparent, nearest-point hover.

    Example:
        >>> layout(axis("a"), axis("b"))["hovermode"]
        'closest'
    """
    font = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
    return {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": font, "size": 13, "color": token("ink")},
        "margin": {"l": 56, "r": 20, "t": 16, "b": 48},
        "hovermode": "closest",
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": token("muted")},
        "hoverlabel": {"bgcolor": token("surface"), "bordercolor": token("line")},
        "legend": {"orientation": "h", "x": 0, "y": 1.03, "yanchor": "bottom", "itemwidth": 30},
        "xaxis": x,
        "yaxis": y,
        "shapes": [],
        "annotations": [],
        **more,
    }


def note(words: str, **more: Part) -> Figure:
    """A small label inside the plot.

    Example:
        >>> note("log K", x=1, y=0)["showarrow"]
        False
    """
    font = {"size": 12, "color": more.pop("color", token("muted"))}
    return {"text": words, "showarrow": False, "font": font, **more}


def series(entries: Sequence[Summary], x: str, y: Measure, name: str, style: Style) -> Figure:
    """One family as a trace: points with error bars both ways, joined in dial order.

    Families whose dial has names instead of numbers have no order, so no line joins them. The fill
    tells the regime: full for the sweet spot, empty for missing information, dotted for excess
    noise, grey for undecided.

    Example:
        >>> series([{"candidate": "a", "nats": 1, "linear": 0.5, "value": 2}], "nats", ACCURACY,
        ...        "blur", Style("red", "circle", "solid"))["x"]
        [1.0]
    """
    ordered = all(finite(entry.get("value")) is not None for entry in entries)
    points = sorted(entries, key=lambda e: finite(e["value"]) or 0.0) if ordered else list(entries)
    symbols, colors, sizes = zip(*(_marker(point, style) for point in points), strict=True)
    return {
        "type": "scatter",
        "name": text(name),
        "mode": "lines+markers" if ordered and len(points) > 1 else "markers",
        "x": [finite(point.get(x)) for point in points],
        "y": [finite(point.get(y.key)) for point in points],
        "error_x": _bars([point.get(f"{x}_sd") for point in points], style),
        "error_y": _bars([point.get(y.sd) for point in points], style),
        "line": {"color": style.color, "width": 1.6, "dash": style.dash},
        "marker": {
            "symbol": list(symbols),
            "color": list(colors),
            "size": list(sizes),
            "line": {"color": style.color, "width": 2},
            "opacity": 1,
        },
        "customdata": [point["candidate"] for point in points],
        "hoverinfo": "none",
    }


def with_key(trace: Figure) -> list[Figure]:
    """The trace, and one without points that stands for it in the legend.

    The legend would otherwise show the first point's regime instead of the family.

    Example:
        >>> from goodviews.report.palette import Style
        >>> entry = {"candidate": "a", "nats": 1, "linear": 0.5, "value": 2}
        >>> trace = series([entry], "nats", ACCURACY, "blur", Style("red", "circle", "solid"))
        >>> [part["showlegend"] for part in with_key(trace)]
        [False, True]
    """
    marker = trace["marker"]
    symbol = marker["symbol"][0].removesuffix("-dot")
    key = {
        **{name: trace[name] for name in ("type", "name", "mode", "line")},
        "x": [None],
        "y": [None],
        "marker": {**marker, "symbol": symbol, "color": marker["line"]["color"], "size": 9},
        "hoverinfo": "skip",
    }
    group = {"legendgroup": trace["name"]}
    return [trace | group | {"showlegend": False}, key | group | {"showlegend": True}]


def _marker(point: Mapping[str, Any], style: Style) -> tuple[str, str, int]:
    """Symbol, fill and size of one point: the fill tells the regime."""
    looks = {
        SWEET_SPOT: (style.symbol, style.color, 13),
        MISSING: (style.symbol, token("surface"), 11),
        EXCESS: (f"{style.symbol}-dot", token("surface"), 11),
        UNDECIDED: (style.symbol, token("line"), 11),
    }
    return looks.get(point.get("regime") or "", (style.symbol, style.color, 11))


def _bars(deviations: Iterable[Any], style: Style) -> Figure:
    values = [finite(value) for value in deviations]
    return {
        "type": "data",
        "array": [value or 0.0 for value in values],
        "visible": any(values),
        "color": style.color,
        "thickness": 1.2,
        "width": 3,
    }


def accuracy_information_figure(summary: Sequence[Mapping[str, Any]], study: Study) -> Figure:
    """What the task keeps against what the views share, one trace a family.

    Points are means over seeds with one standard deviation as bars; a dashed line marks the ceiling
    log K, dotted lines the baselines and H(y), bands the regimes.

    Args:
        summary: The entries of :func:`goodviews.report.tables.summarise`.
        study: The study's record; read are ``labelled``, ``K`` and ``label_entropy``.

    Example:
        >>> entry = {"candidate": "a", "family": "blur", "nats": 1.0, "linear": 0.5, "K": 8}
        >>> figure = accuracy_information_figure([entry], {})
        >>> [trace["name"] for trace in figure["data"] if not trace["showlegend"]]
        ['blur']
    """
    entries = tables.complete(summary)
    measure = measure_of(study, entries)
    points = [
        entry
        for entry in tables.ranked(entries)
        if finite(entry["nats"]) is not None and finite(entry[measure.key]) is not None
    ]
    families = by_family(points, order=entries)
    looks = styles(families_of(entries))
    figure: Figure = {
        "data": [
            trace
            for family, group in families.items()
            for trace in with_key(series(group, "nats", measure, family, looks[family]))
        ],
        "layout": layout(axis(INFORMATION), axis(measure.title, tickformat=measure.format)),
    }
    figure["layout"]["legend"]["y"] = 1.075  # above the labels of the vertical lines
    low, high = _horizontal_range(points, study)
    figure["layout"]["xaxis"]["range"] = [low, high]
    _shade(figure["layout"], points, low, high)
    _verticals(figure["layout"], points, study, measure)
    top = 2 * max((finite(p[measure.key]) or 0.0 for p in points), default=0.0)
    near = [e for e in tables.baselines(entries) if (finite(e[measure.key]) or 0.0) <= (top or 1.0)]
    levels = _levels(figure["layout"], near, measure)
    figure["layout"]["yaxis"]["range"] = _vertical_range(points, levels, measure)
    _point_out(figure["layout"], points, measure)
    return figure


def families_of(summary: Iterable[Mapping[str, Any]]) -> list[str]:
    """The families in order of appearance; what has none stands under its own name.

    Example:
        >>> families_of([{"family": "blur"}, {"family": "", "candidate": "a"}])
        ['blur', 'a']
    """
    names = (e["family"] or e["candidate"] for e in summary if e.get("kind") != "baseline")
    return list(dict.fromkeys(names))


def by_family(
    points: Iterable[Summary], order: Iterable[Mapping[str, Any]]
) -> dict[str, list[Summary]]:
    """The points of every family that has any, families in the order of ``order``.

    Example:
        >>> list(by_family([{"family": "b", "candidate": "b=1"}], [{"family": "b"}]))
        ['b']
    """
    groups: dict[str, list[Summary]] = {name: [] for name in families_of(order)}
    for point in points:
        groups[point["family"] or point["candidate"]].append(point)
    return {name: group for name, group in groups.items() if group}


def ceiling(points: Iterable[Mapping[str, Any]], study: Study) -> float | None:
    """The ceiling log K of the study, in nats.

    Example:
        >>> round(ceiling([], {"K": 8}), 3)
        2.079
    """
    known = [value for p in points if (value := tables.ceiling_of(p)) is not None]
    return tables.ceiling_of({"K": study.get("K")}) or max(known, default=None)


def _horizontal_range(points: Sequence[Summary], study: Study) -> tuple[float, float]:
    spans = [(p["nats"], finite(p["nats_sd"]) or 0.0) for p in points]
    low = min((x - sd for x, sd in spans), default=0.0)
    limits = [x + sd for x, sd in spans] + [ceiling(points, study) or 0.0]
    limits.append(finite(study.get("label_entropy")) or 0.0)
    high = max(limits, default=1.0) or 1.0
    pad = 0.06 * max(high - low, 1e-3)
    return (max(0.0, low - pad) if low >= 0 else low - pad), high + 0.7 * pad


def _vertical_range(
    points: Sequence[Summary], levels: Sequence[float], measure: Measure
) -> list[float]:
    spans = [(p[measure.key], finite(p.get(measure.sd)) or 0.0) for p in points]
    ends = [v for y, sd in spans for v in (y - sd, y + sd)] + list(levels)
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    pad = max(high - low, 1e-3)
    return [max(0.0, low - 0.16 * pad), high + 0.16 * pad]


def bands(points: Sequence[Mapping[str, Any]], low: float, high: float) -> dict[str, list[float]]:
    """The stretch of I(v1;v2) each regime covers; the sweet spot's points come first.

    Borders lie half-way between neighbouring points of two regimes. Points of several families may
    overlap: a band tells what a clearly worse candidate there would be, a marker's fill what its
    own candidate is.

    Args:
        points: Entries with ``nats`` and ``regime``.
        low: Left end of the axis.
        high: Right end of the axis.

    Example:
        >>> points = [{"nats": x, "regime": r} for x, r in
        ...           [(1, "missing information"), (2, "sweet spot"), (3, "excess noise")]]
        >>> bands(points, 0, 4)["sweet spot"]
        [1.5, 2.5]
    """
    at = {r: [p["nats"] for p in points if p.get("regime") == r] for r in REGIME_KEYS}
    sweet = at[SWEET_SPOT]
    if not sweet:
        return {}
    first, last = min(sweet), max(sweet)
    others = [p["nats"] for p in points if p.get("regime") != SWEET_SPOT]
    left = (max((x for x in others if x < first), default=low) + first) / 2
    right = (min((x for x in others if x > last), default=high) + last) / 2
    result = {SWEET_SPOT: [left, right]}
    if any(x < first for x in at[MISSING]):
        result[MISSING] = [low, left]
    if any(x > last for x in at[EXCESS]):
        result[EXCESS] = [right, high]
    return result


def _shade(plan: Figure, points: Sequence[Summary], low: float, high: float) -> None:
    chosen = next((p["family"] for p in points if p.get("recommended")), None)
    family = [p for p in points if chosen is None or p["family"] == chosen]
    for regime, (start, end) in bands(family, low, high).items():
        key = REGIME_KEYS[regime]
        shape = {"type": "rect", "yref": "paper", "y0": 0, "y1": 1, "x0": start, "x1": end}
        plan["shapes"].append(
            {**shape, "layer": "below", "line": {"width": 0}, "fillcolor": token(f"{key}-band")}
        )
        share = (end - start) / (high - low)
        words = regime.replace(" ", "<br>") if share > 0.32 or key == "sweet" else key
        if share > 0.16 or key == "sweet":
            place = {"x": (start + end) / 2, "y": 0.01, "yref": "paper", "yanchor": "bottom"}
            plan["annotations"].append(note(words, color=token(key), **place))


def _verticals(plan: Figure, points: Sequence[Summary], study: Study, measure: Measure) -> None:
    lines = [(ceiling(points, study), "ceiling log K", "dash", "ink", "right")]
    if measure.key == ACCURACY.key:
        lines.append((finite(study.get("label_entropy")), "H(y)", "dot", "muted", "center"))
    for x, words, dash, color, anchor in lines:
        if x:
            line = {"color": token(color), "width": 1.4, "dash": dash}
            ends = {"x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper"}
            plan["shapes"].append({"type": "line", **ends, "line": line, "layer": "below"})
            place = {"x": x, "y": 1, "yref": "paper", "xanchor": anchor, "yanchor": "bottom"}
            plan["annotations"].append(note(f"{words} = {x:.2f}", color=token(color), **place))


def _levels(plan: Figure, entries: Sequence[Summary], measure: Measure) -> list[float]:
    """Draw one dotted horizontal a baseline, the lowest labelled below; return the heights.

    Those far above all views (the rank of raw pixels, of other dimension) stand in the table alone.
    """
    known = [e for e in entries if finite(e[measure.key]) is not None]
    for entry in sorted(known, key=lambda e: -e[measure.key]):
        y, lowest = entry[measure.key], entry[measure.key] == min(e[measure.key] for e in known)
        line = {"color": token("muted"), "width": 1.2, "dash": "dot"}
        ends = {"xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y}
        plan["shapes"].append({"type": "line", **ends, "line": line, "layer": "below"})
        value = tables.percent(y) + " %" if measure.key == ACCURACY.key else tables.number(y, 1)
        below = lowest and len(known) > 1
        at = {"xref": "paper", "x": 0.005, "y": y, "yanchor": "top" if below else "bottom"}
        words = f"{text(entry['candidate'])} {value}"
        plan["annotations"].append(note(words, xanchor="left", **at))
    return [entry[measure.key] for entry in known]


def _point_out(plan: Figure, points: Sequence[Summary], measure: Measure) -> None:
    for point in points:
        if point["recommended"]:
            arrow = {"showarrow": True, "arrowhead": 0, "arrowcolor": token("muted"), "ay": -38}
            place = {"x": point["nats"], "y": point[measure.key], "ax": 0, "standoff": 9}
            words = f"<b>{text(point['candidate'])}</b>"
            plan["annotations"].append(note(words, color=token("ink"), **place) | arrow)
