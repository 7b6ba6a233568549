"""The kinds of panels that the page of an experiment or sweep can have."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from goodviews.interfaces import Row, check_name
from goodviews.report.experiment_figures import (
    Panel,
    PanelRecord,
    bars_panel,
    curve_panel,
    percentiles_panel,
    scatter_panel,
)
from goodviews.report.experiment_planes import dial_panel, plane_panel
from goodviews.report.experiment_values import Study

PANELS: dict[str, Callable[[Sequence[Row], Study, PanelRecord], Panel]] = {
    "curve": curve_panel,
    "percentiles": percentiles_panel,
    "scatter": scatter_panel,
    "bars": bars_panel,
    "plane": plane_panel,
    "dial": dial_panel,
}
"""Kind of a panel -> what draws it."""


def panels(rows: Sequence[Row], study: Study) -> list[Panel]:
    """The panels that the record asks for, drawn from the rows.

    Raises:
        UserError: a panel of a kind that is not known.

    Example:
        >>> rows = [Row("candidate", "a", 0, curve=[{"step": 0, "nats": 1.0}])]
        >>> record = {"panels": [{"kind": "curve", "measure": "nats", "title": "Bound"}]}
        >>> [(panel.title, len(panel.charts)) for panel in panels(rows, record)]
        [('Bound', 1)]
    """
    drawn = []
    for record in study.get("panels") or []:
        check_name("study.json: kind of a panel", str(record.get("kind")), PANELS)
        drawn.append(PANELS[record["kind"]](rows, study, record))
    return [p if p.charts else p._replace(note="No run has measured this yet.") for p in drawn]
