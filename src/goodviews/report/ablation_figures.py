"""The figures of an ablation: accuracies, and differences from the full method beside the paper's.

Plain plotly dicts whose colours are theme tokens, as in :mod:`goodviews.report.figures`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from goodviews.interfaces import Row
from goodviews.report import tables
from goodviews.report.figures import Figure, axis, layout, note, text
from goodviews.report.palette import Style, styles, token
from goodviews.report.tables import finite

PROBES = {"linear": "linear probe", "mlp": "MLP probe"}
_OFFSETS = {"linear": 0.14, "mlp": -0.14}
"""Where a probe's marker stands beside its variant's line, in lines."""


def _lines(study: Mapping[str, Any]) -> list[str]:
    """The variants from top to bottom."""
    return [variant["title"] for variant in study["variants"]]


def _rows_axis(names: Sequence[str]) -> Figure:
    """One line a variant, the first on top."""
    places = list(range(len(names)))[::-1]
    return axis(
        tickvals=places,
        ticktext=[text(name) for name in names],
        range=[-0.6, len(names) - 0.4],
        ticks="",
    )


def _marks(
    name: str, style: Style, points: Sequence[tuple[float, float, float, str]], size: int = 10
) -> Figure:
    """A trace of (x, half width of its bar, y, hover text)."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "showlegend": True,
        "x": [x for x, *_ in points],
        "y": [y for _, _, y, _ in points],
        "error_x": {
            "type": "data",
            "array": [half for _, half, *_ in points],
            "visible": any(half for _, half, *_ in points),
            "color": style.color,
            "thickness": 1.4,
            "width": 4,
        },
        "marker": {"symbol": style.symbol, "color": style.color, "size": size},
        "text": [text(words) for *_, words in points],
        "hovertemplate": "%{text}<extra></extra>",
    }


def accuracy_figure(rows: Sequence[Row], study: Mapping[str, Any]) -> Figure:
    """Accuracies of every variant: mean, one deviation over seeds, and the seeds as small dots.

    Dotted verticals are the linear probes of the baselines.
    """
    names, looks = _lines(study), styles(PROBES)
    place = {name: len(names) - 1 - i for i, name in enumerate(names)}
    entries = tables.complete(study["summary"])
    data = []
    for key, words in PROBES.items():
        means = [
            (
                100 * e[key],
                100 * (finite(e[f"{key}_sd"]) or 0.0),
                place[e["candidate"]] + _OFFSETS[key],
                f"{e['candidate']}: {words} {100 * e[key]:.1f} %, {e['n_seeds']} seeds",
            )
            for e in entries
            if e["candidate"] in place and finite(e[key]) is not None
        ]
        seeds = [
            (100 * value, 0.0, place[r.candidate] + _OFFSETS[key], f"{r.candidate}, seed {r.seed}")
            for r in rows
            if r.candidate in place and (value := finite(getattr(r, key))) is not None
        ]
        data.append(_marks(words, looks[key], means))
        data.append(_marks(words, looks[key], seeds, 4) | {"showlegend": False})
    plan = layout(axis("held-out accuracy, %"), _rows_axis(names))
    known = [e for e in tables.baselines(entries) if finite(e["linear"]) is not None]
    for later, entry in enumerate(sorted(known, key=lambda e: e["linear"])):
        _vertical(plan, 100 * entry["linear"], str(entry["candidate"]), later > 0)
    if known:  # room for the words left of the first line
        shown = [x for trace in data for x in trace["x"]] + [100 * e["linear"] for e in known]
        low, high = min(shown), max(shown)
        plan["xaxis"]["range"] = [low - 0.1 * (high - low) - 0.1, high + 0.06 * (high - low) + 0.1]
    return {"data": data, "layout": plan}


def _vertical(plan: Figure, x: float, words: str, right: bool) -> None:
    """A dotted line with its name along it, on its right or left."""
    line = {"color": token("muted"), "width": 1.2, "dash": "dot"}
    ends = {"x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper"}
    plan["shapes"].append({"type": "line", **ends, "line": line, "layer": "below"})
    place = {"x": x, "y": 0.01, "yref": "paper", "yanchor": "bottom", "textangle": -90}
    side = "left" if right else "right"
    plan["annotations"].append(note(f"{text(words)} {x:.1f} %", xanchor=side, **place))


def difference_figure(study: Mapping[str, Any]) -> Figure:
    """Linear-probe accuracy minus that of the full method, in points, here and in the paper.

    Bars are the 95 % intervals of the study's rule; the paper gives none.
    """
    names = [name for name in _lines(study) if name != study["reference"]]
    place = {name: len(names) - 1 - i for i, name in enumerate(names)}
    full: Mapping[str, Any] = next(
        (v["paper"] for v in study["variants"] if v["title"] == study["reference"]), {}
    )
    looks = styles(["here", *full])
    here = [
        (
            100 * found["linear"]["value"],
            100 * (finite(found["linear"]["half"]) or 0.0),
            place[name] + 0.2,
            f"{name}: {100 * found['linear']['value']:+.1f} points here",
        )
        for name, found in study["differences"].items()
        if name in place and found["linear"]
    ]
    data = [_marks("here", looks["here"], here)]
    for i, (source, (linear, _)) in enumerate(full.items()):
        points = [
            (
                v["paper"][source][0] - linear,
                0.0,
                place[v["title"]] - 0.2 * i,
                f"{v['title']}: {v['paper'][source][0] - linear:+.1f} points, paper, {source}",
            )
            for v in study["variants"]
            if v["title"] in place and source in v["paper"]
        ]
        data.append(_marks(f"paper: {source}", looks[source], points))
    plan = layout(axis("linear probe, points above full"), _rows_axis(names))
    line = {"color": token("muted"), "width": 1.2}
    ends = {"x0": 0, "x1": 0, "y0": 0, "y1": 1, "yref": "paper"}
    plan["shapes"].append({"type": "line", **ends, "line": line, "layer": "below"})
    return {"data": data, "layout": plan}
