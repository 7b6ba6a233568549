"""The secondary figures of a study: each family along its dial, training against held-out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from goodviews.report import tables
from goodviews.report.figures import (
    Figure,
    Measure,
    Study,
    axis,
    by_family,
    ceiling,
    families_of,
    layout,
    measure_of,
    note,
    series,
    with_key,
)
from goodviews.report.palette import Style, styles, token
from goodviews.report.tables import Summary, finite

_NATS = Measure("nats", "nats_sd", "I<sub>NCE</sub>, nats", "")
_TRAIN = Measure("nats_train", "nats_train_sd", "training I<sub>NCE</sub>, nats", "")


def dial_figures(summary: Sequence[Mapping[str, Any]], study: Study) -> dict[str, Figure]:
    """One figure a family: what the task keeps above, held-out I_NCE below, along the dial.

    The dial's tried values are evenly spaced whatever their size.

    Args:
        summary: The entries of :func:`goodviews.report.tables.summarise`.
        study: The study's record; read are ``labelled`` and ``K``.

    Returns:
        Family -> figure, only for families with at least two candidates that have numbers.

    Example:
        >>> entries = [{"candidate": f"b={v}", "family": "b", "dial": "sigma", "value": v,
        ...             "nats": 1.0, "linear": 0.5} for v in (1, 2)]
        >>> list(dial_figures(entries, {}))
        ['b']
    """
    entries = tables.complete(summary)
    measure = measure_of(study, entries)
    points = [e for e in entries if e["kind"] != "baseline" and finite(e["nats"]) is not None]
    looks = styles(families_of(entries))
    return {
        family: _dial_figure(group, measure, looks[family])
        for family, group in by_family(points, order=entries).items()
        if len(group) > 1
    }


def _dial_figure(group: list[Summary], measure: Measure, style: Style) -> Figure:
    if all(finite(point["value"]) is not None for point in group):
        group = sorted(group, key=lambda point: float(point["value"]))
    names = [_name(point["value"]) for point in group]
    above = series(group, "value", measure, measure.key, style)
    below = series(group, "value", _NATS, "I_NCE", style) | {"yaxis": "y2"}
    for trace in (above, below):
        trace |= {"x": names, "error_x": {"visible": False}, "showlegend": False}
    title = measure.title.split(",")[0].split(" (")[0]
    x = axis(str(group[0]["dial"]), type="category", anchor="y2")
    return {
        "data": [above, below],
        "layout": layout(
            x,
            axis(title, tickformat=measure.format, domain=[0.55, 1], nticks=5),
            yaxis2=axis(_NATS.title, domain=[0, 0.45], nticks=5),
            margin={"l": 58, "r": 12, "t": 10, "b": 44},
        ),
    }


def _name(value: object) -> str:
    known = finite(value)
    return str(value) if known is None else f"{known:g}"


def train_heldout_figure(summary: Sequence[Mapping[str, Any]], study: Study) -> Figure | None:
    """I_NCE on training pairs against held-out pairs; far above the diagonal means memorised.

    Args:
        summary: The entries of :func:`goodviews.report.tables.summarise`.
        study: The study's record; read is ``K``.

    Returns:
        The figure, or ``None`` when no candidate has both numbers.

    Example:
        >>> train_heldout_figure([], {}) is None
        True
    """
    entries = tables.complete(summary)
    points = [e for e in entries if e["kind"] != "baseline" and _both(e)]
    if not points:
        return None
    looks = styles(families_of(entries))
    values = [p[key] for p in points for key in ("nats", "nats_train")]
    low, high = min(values), max([*values, ceiling(points, study) or 0.0])
    pad = 0.06 * max(high - low, 1e-3)
    ends = [low - pad, high + pad]
    plan = layout(
        axis("held-out I<sub>NCE</sub>, nats", range=ends),
        axis(_TRAIN.title, range=ends),
    )
    line = {"color": token("muted"), "width": 1.2, "dash": "dot"}
    span = {"x0": ends[0], "y0": ends[0], "x1": ends[1], "y1": ends[1]}
    plan["shapes"].append({"type": "line", **span, "line": line, "layer": "below"})
    place = {"x": ends[1], "y": ends[0], "xanchor": "right", "yanchor": "bottom"}
    plan["annotations"].append(note("dotted: training = held-out", **place))
    groups = by_family(points, order=entries)
    data = [
        trace
        for family, group in groups.items()
        for trace in with_key(
            series(group, "nats", _TRAIN, family, looks[family]) | {"mode": "markers"}
        )
    ]
    return {"data": data, "layout": plan}


def _both(entry: Summary) -> bool:
    return finite(entry["nats"]) is not None and finite(entry["nats_train"]) is not None
