"""The figures of one training run: curves, probes with intervals, embedding, similarities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from goodviews.report.figures import Figure, axis, layout, note, text
from goodviews.report.palette import Style, styles, token
from goodviews.report.tables import finite

Metrics = Sequence[Mapping[str, Any]]
"""One record a line of metrics.csv; missing numbers are ``None``."""

PANELS: dict[str, tuple[str, str, tuple[tuple[str, str], ...]]] = {
    "loss": ("Loss", "", (("loss", "loss"),)),
    "information": (
        "Information and its ceiling",
        "nats",
        (("nats", "held-out I_NCE"), ("nats_train", "training I_NCE"), ("ceiling", "log K")),
    ),
    "probes": (
        "Online probes",
        "held-out accuracy",
        (
            ("linear", "linear probe"),
            ("knn", "kNN"),
            ("online_linear", "linear, trained along"),
            ("online_mlp", "MLP, trained along"),
        ),
    ),
    "scales": (
        "Training information by scale",
        "nats",
        (
            ("nats_1to5", "f1 of f5"),
            ("nats_1to7", "f1 of f7"),
            ("nats_5to5", "f5 of f5"),
        ),
    ),
    "rank": ("Effective rank (RankMe)", "", (("rankme", "RankMe"),)),
    "geometry": (
        "Alignment and uniformity",
        "",
        (("alignment", "alignment"), ("uniformity", "uniformity")),
    ),
    "std": ("Feature spread (0: collapsed)", "", (("std", "standard deviation"),)),
    "lr": ("Learning rate", "", (("lr", "learning rate"),)),
    "speed": ("Speed", "images a second", (("images_per_second", "images a second"),)),
    "wait": ("Waiting for data", "share of time", (("data_wait", "data wait"),)),
    "memory": ("Memory", "GB", (("memory_gb", "memory"),)),
}
"""Panel -> title, unit, and its series (column of metrics.csv, name)."""

_FROM = dict.fromkeys(("rank", "std", "speed", "wait", "memory"), "tozero")


def curve_figures(metrics: Metrics) -> dict[str, Figure]:
    """One figure a panel, for every panel with a number in the metrics.

    Args:
        metrics: The lines of metrics.csv; blanks are skipped, so lines may hold some columns only.

    Example:
        >>> list(curve_figures([{"epoch": 0, "loss": 5.0}, {"epoch": 1, "loss": 4.0}]))
        ['loss']
    """
    result = {}
    for name, (_, unit, columns) in PANELS.items():
        looks = styles(column for column, _ in columns)
        lines = evaluated(metrics) if name in HELD_OUT else metrics
        data = [
            trace
            for column, label in columns
            if (trace := _curve(lines, column, label, looks[column])) is not None
        ]
        if data and (name != "information" or data[0]["customdata"] == "nats"):
            share = ".0%" if name in ("probes", "wait") else ""
            plan = layout(
                axis(_time(metrics), rangemode="tozero"),
                axis(unit, tickformat=share, nticks=6, rangemode=_FROM.get(name, "normal")),
                showlegend=len(data) > 1,
                hovermode="x unified",
            )
            plan["margin"] = {"l": 52, "r": 14, "t": 14, "b": 44}
            result[name] = {"data": data, "layout": plan}
    return result


HELD_OUT = ("information", "rank")
"""Panels whose numbers on held-out images do not compare with those of the training batches."""


def evaluated(metrics: Metrics) -> Metrics:
    """The lines of epochs that were measured on held-out images; all if none was.

    Example:
        >>> evaluated([{"epoch": 1, "ceiling": 8.3}, {"epoch": 2, "ceiling": 5.5, "nats": 4.0}])
        [{'epoch': 2, 'ceiling': 5.5, 'nats': 4.0}]
    """
    return [line for line in metrics if finite(line.get("nats")) is not None] or metrics


def _time(metrics: Metrics) -> str:
    return "epoch" if any(finite(line.get("epoch")) is not None for line in metrics) else "step"


def _curve(metrics: Metrics, column: str, label: str, style: Style) -> Figure | None:
    time = _time(metrics)
    known = [(finite(line.get(time)), finite(line.get(column))) for line in metrics]
    points = [(x, y) for x, y in known if x is not None and y is not None]
    if not points:
        return None
    limit = column == "ceiling"
    dash = "dash" if limit else "dot" if column.endswith("train") else "solid"
    return {
        "type": "scatter",
        "mode": "lines" if limit or len(points) > 40 else "lines+markers",
        "name": label.replace("I_NCE", "I<sub>NCE</sub>"),
        "x": [x for x, _ in points],
        "y": [y for _, y in points],
        "line": {"color": token("ink") if limit else style.color, "width": 2, "dash": dash},
        "marker": {"color": style.color, "symbol": style.symbol, "size": 6},
        "customdata": column,
    }


def probe_figure(rows: Sequence[Mapping[str, Any]]) -> Figure | None:
    """Accuracy of every representation with its interval: baselines above, this run below.

    Args:
        rows: The rows of probes.json: ``name`` and, a probe, ``linear``, ``linear_lo``,
            ``linear_hi`` and so on, as fractions.

    Returns:
        The figure, or ``None`` when no row has an accuracy.

    Example:
        >>> probe_figure([{"name": "this run", "knn": 0.5}])["data"][0]["name"]
        'kNN'
    """
    probes = [name for name in probe_names(rows) if any(finite(r.get(name)) for r in rows)]
    if not probes:
        return None
    looks = styles(probes)
    data = [
        _probe(rows, probe, looks[probe], 0.16 * (place - (len(probes) - 1) / 2))
        for place, probe in enumerate(probes)
    ]
    names = [f"<b>{text(r['name'])}</b>" if r is rows[-1] else text(r["name"]) for r in rows]
    y = axis(tickvals=list(range(len(rows))), ticktext=names, range=[len(rows) - 0.5, -0.5])
    plan = layout(axis("held-out accuracy", tickformat=".0%"), y | {"ticks": "", "showgrid": False})
    return {"data": data, "layout": plan}


def probe_names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The probes the rows have, in the order in which people ask for them.

    Example:
        >>> probe_names([{"name": "this run", "knn": 0.5, "linear": 0.6, "linear_lo": 0.5}])
        ['linear', 'knn']
    """
    return [name for name in PROBES if any(name in row for row in rows)]


PROBES = {
    "linear": "linear probe",
    "knn": "kNN",
    "mlp": "MLP probe",
    "finetune": "fine-tuned",
    "linear_few": "linear probe, few labels",
}
"""Field of probes.json -> its name on the page."""


def _probe(rows: Sequence[Mapping[str, Any]], probe: str, style: Style, shift: float) -> Figure:
    points = [
        (place + shift, value, finite(row.get(f"{probe}_lo")), finite(row.get(f"{probe}_hi")))
        for place, row in enumerate(rows)
        if (value := finite(row.get(probe))) is not None
    ]
    bars = {
        "type": "data",
        "symmetric": False,
        "array": [0.0 if high is None else high - value for _, value, _, high in points],
        "arrayminus": [0.0 if low is None else value - low for _, value, low, _ in points],
        "color": style.color,
        "thickness": 2,
        "width": 5,
    }
    return {
        "type": "scatter",
        "mode": "markers",
        "name": PROBES[probe],
        "x": [value for _, value, _, _ in points],
        "y": [place for place, _, _, _ in points],
        "error_x": bars,
        "marker": {"color": style.color, "symbol": style.symbol, "size": 9},
        "hovertemplate": "%{x:.1%}",
    }


def embedding_figure(points: Mapping[str, Any]) -> Figure | None:
    """The representation in two dimensions, coloured by label where there are any.

    Args:
        points: ``x``, ``y`` and, if there are labels, ``label``: lists of one length.

    Example:
        >>> len(embedding_figure({"x": [0, 1], "y": [0, 1], "label": ["a", "b"]})["data"])
        2
    """
    xs, ys = points.get("x") or [], points.get("y") or []
    labels = [str(label) for label in points.get("label") or [""] * len(xs)]
    groups: dict[str, list[tuple[Any, Any]]] = {}
    for x, y, label in zip(xs, ys, labels, strict=False):
        groups.setdefault(label, []).append((finite(x), finite(y)))
    if not groups:
        return None
    names = sorted(groups, key=lambda name: (len(name), name))
    looks = styles(names)
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": text(name),
            "x": [x for x, _ in groups[name]],
            "y": [y for _, y in groups[name]],
            "marker": {"color": looks[name].color, "symbol": looks[name].symbol, "size": 5},
            "hovertemplate": "%{fullData.name}<extra></extra>",
        }
        for name in names
    ]
    bare: Figure = {"showticklabels": False, "ticks": "", "showgrid": False}
    plan = layout(axis(**bare), axis(**bare), showlegend=1 < len(names) <= 21)
    return {"data": data, "layout": plan | {"margin": {"l": 8, "r": 8, "t": 12, "b": 8}}}


def similarity_figure(histogram: Mapping[str, Any]) -> Figure | None:
    """Cosine similarities of view pairs against those of strangers; apart is good.

    Args:
        histogram: ``edges`` (n + 1 numbers), ``positive`` and ``negative`` (n counts each).

    Example:
        >>> similarity_figure({"edges": [0, 1], "positive": [3], "negative": [1]})["data"][0]["y"]
        [1.0]
    """
    edges = [finite(edge) for edge in histogram.get("edges") or []]
    known = [edge for edge in edges if edge is not None]
    if len(known) < 2 or len(known) != len(edges):
        return None
    middles = [(a + b) / 2 for a, b in zip(known[:-1], known[1:], strict=True)]
    looks = styles(["positive", "negative"])
    names = {"positive": "two views of one image", "negative": "views of different images"}
    data = []
    for key, name in names.items():
        counts = [finite(count) or 0.0 for count in histogram.get(key) or []]
        total = sum(counts)
        if total:
            bar = {"type": "bar", "name": name, "x": middles, "y": [c / total for c in counts]}
            data.append(bar | {"marker": {"color": looks[key].color, "opacity": 0.65}})
    if not data:
        return None
    plan = layout(
        axis("cosine similarity"), axis("share", tickformat=".0%"), barmode="overlay", bargap=0
    )
    return {"data": data, "layout": plan}


def ceiling_share_note(metrics: Metrics) -> Figure | None:
    """The last held-out I_NCE as a share of log K, as a label for the information panel.

    Example:
        >>> ceiling_share_note([{"nats": 1.0, "ceiling": 4.0}])["text"]
        '25 % of log K'
    """
    for line in reversed(metrics):
        nats, limit = finite(line.get("nats")), finite(line.get("ceiling"))
        if nats is not None and limit:
            place = {"xref": "paper", "yref": "paper", "x": 0.99, "y": 0.02, "xanchor": "right"}
            return note(f"{100 * nats / limit:.0f} % of log K", yanchor="bottom", **place)
    return None
