"""The arms of an experiment: how they look, their final values and curves over seeds."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from goodviews.interfaces import Row
from goodviews.report.figures import Figure
from goodviews.report.palette import styles, token
from goodviews.report.tables import finite, number, percent

Study = Mapping[str, Any]
Arm = Mapping[str, Any]

DASHES = ("solid", "dash", "dot")
EARLY, STRETCH = 0.1, 3.0
"""What the first tenth of the steps measured leaves an axis that it would stretch threefold."""


class Look(NamedTuple):
    """How an arm is drawn: its group's colour and marker symbol, its own dash and fill."""

    color: str
    symbol: str
    dash: str

    @property
    def marker(self) -> Figure:
        """Plotly's marker: full for solid lines, empty for dashed, with a dot for dotted ones."""
        return {
            "symbol": f"{self.symbol}-dot" if self.dash == "dot" else self.symbol,
            "color": self.color if self.dash == "solid" else token("surface"),
            "line": {"color": self.color, "width": 1.6},
            "opacity": 1,
        }


class Point(NamedTuple):
    """One step of an arm's curve: mean and deviation over the seeds that measured it there."""

    step: float
    mean: float
    sd: float | None
    seeds: int


def latest(rows: Iterable[Row]) -> list[Row]:
    """The rows, of runs that were repeated only the last.

    Example:
        >>> [row.status for row in latest([Row("candidate", "a", 0, status="failed"),
        ...                                Row("candidate", "a", 0)])]
        ['done']
    """
    return list({(row.kind, row.candidate, row.seed): row for row in rows}.values())


def done(rows: Iterable[Row], name: str) -> list[Row]:
    """The runs of an arm, or of a baseline, that ended well.

    Example:
        >>> [row.seed for row in done([Row("candidate", "a", 7), Row("candidate", "b", 8)], "a")]
        [7]
    """
    return [row for row in latest(rows) if row.candidate == name and row.status == "done"]


def final(row: Row, key: str) -> float | None:
    """The final value of a measure: the row's field, else of ``measures``, else its curve's last.

    Example:
        >>> final(Row("candidate", "a", 0, knn=0.5), "knn")
        0.5
        >>> final(Row("candidate", "a", 0, curve=[{"step": 9, "accuracy": 0.8}]), "accuracy")
        0.8
    """
    along = [value for entry in row.curve if (value := finite(entry.get(key))) is not None]
    known = (finite(getattr(row, key, None)), finite(row.measures.get(key)), *along[-1:])
    return next((value for value in known if value is not None), None)


def finals(rows: Iterable[Row], name: str, key: str) -> list[float]:
    """The final values of a measure over an arm's seeds, of the runs that have it.

    Example:
        >>> finals([Row("candidate", "a", s, nats=x) for s, x in enumerate([1, None])], "a", "nats")
        [1.0]
    """
    return [value for row in done(rows, name) if (value := final(row, key)) is not None]


def mean_sd(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Mean and the sample's standard deviation (n - 1), ``None`` where there are too few.

    Example:
        >>> mean_sd([1.0, 3.0]), mean_sd([1.0]), mean_sd([])
        ((2.0, 1.4142135623730951), (1.0, None), (None, None))
    """
    mean = statistics.fmean(values) if values else None
    return mean, statistics.stdev(values) if len(values) > 1 else None


def curve(rows: Iterable[Row], name: str, key: str, scale: float = 1.0) -> list[Point]:
    """An arm's measure over its steps; a seed that lacks a step is left out of that step only.

    Args:
        rows: The runs.
        name: The arm.
        key: The measure, as in ``Row.curve``.
        scale: What values are multiplied by.

    Example:
        >>> rows = [Row("candidate", "a", s, curve=[{"step": 0, "nats": x}]) for s, x in ((0, 1),
        ...                                                                               (1, 3))]
        >>> curve(rows, "a", "nats")
        [Point(step=0.0, mean=2.0, sd=1.4142135623730951, seeds=2)]
    """
    at: dict[float, list[float]] = {}
    for row in done(rows, name):
        steps = {finite(entry.get("step")): finite(entry.get(key)) for entry in row.curve}
        for step, value in steps.items():
            if step is not None and value is not None:
                at.setdefault(step, []).append(scale * value)
    found = []
    for step, values in sorted(at.items()):
        found.append(Point(step, statistics.fmean(values), mean_sd(values)[1], len(values)))
    return found


def arms_of(study: Study, rows: Iterable[Row]) -> list[Arm]:
    """The arms of the record, then those that only the rows know.

    Example:
        >>> [arm["name"] for arm in arms_of({"arms": [{"name": "a"}]}, [Row("candidate", "b", 0)])]
        ['a', 'b']
    """
    arms = list(study.get("arms") or [])
    known = {arm["name"] for arm in arms}
    others = [row.candidate for row in rows if row.kind == "candidate"]
    return arms + [{"name": name} for name in dict.fromkeys(others) if name not in known]


def window(
    points: Sequence[Point], lines: Sequence[float], given: tuple[float, float] | None = None
) -> tuple[float, float, str]:
    """The ends of a vertical axis, and what is said of the values that it leaves out.

    Bounds may start far below zero: what was measured in the first tenth of the steps leaves the
    axis if it would stretch it threefold.

    Example:
        >>> points = [Point(s, -90.0 if s == 0 else 2.0 + s / 100, None, 1) for s in range(101)]
        >>> low, high, words = window(points, [])
        >>> round(low, 2), round(high, 2), words
        (2.05, 3.05, 'Outside the axis: values from -90.0 to 2.0.')
    """
    last = max(p.step for p in points)
    whole, late = _ends(points, lines), _ends([p for p in points if p.step >= EARLY * last], lines)
    stretched = whole[1] - whole[0] > STRETCH * (late[1] - late[0]) > 0
    low, high = late if stretched else whole
    pad = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    low, high = given or (low - pad, high + pad)
    hidden = [p.mean for p in points if not low <= p.mean <= high]
    told = (
        f"Outside the axis: values from {min(hidden):.1f} to {max(hidden):.1f}." if hidden else ""
    )
    return low, high, told


def _ends(points: Iterable[Point], lines: Sequence[float]) -> tuple[float, float]:
    """Lowest and highest of means -+ deviations and of the lines."""
    ends = [p.mean + sign * (p.sd or 0.0) for p in points for sign in (-1, 1)]
    return min([*ends, *lines]), max([*ends, *lines])


def looks_of(arms: Iterable[Arm]) -> dict[str, Look]:
    """One look an arm; arms of a ``group`` share colour and symbol and differ in their ``dash``.

    A ``dash`` is kept unless an earlier arm of that colour has it; there are 21 looks.

    Example:
        >>> looks_of([{"name": "a, NCE", "group": "a"}, {"name": "a, NWJ", "group": "a"}])["a, NWJ"]
        Look(color='var(--family-0)', symbol='circle', dash='dash')
    """
    arms = list(arms)
    base = styles(str(arm.get("group") or arm["name"]) for arm in arms)
    taken: dict[str, set[str]] = {}
    result = {}
    for arm in arms:
        style = base[str(arm.get("group") or arm["name"])]
        used = taken.setdefault(style.color, set())
        wanted = [dash for dash in (arm.get("dash"), style.dash, *DASHES) if dash in DASHES]
        dash = next((dash for dash in wanted if dash not in used), wanted[0])
        used.add(dash)
        result[arm["name"]] = Look(style.color, style.symbol, dash)
    return result


def shown(value: object, unit: str, digits: int | None) -> str:
    """A value as the page shows it: "%" is of a fraction; without digits, three that matter.

    Example:
        >>> shown(0.8512, "%", 1), shown(1.2345, "nats", 2), shown(1.234e-6, "", None)
        ('85.1', '1.23', '1.23e-06')
    """
    if digits is not None:
        return percent(value, digits) if unit == "%" else number(value, digits)
    known = finite(value)
    return "" if known is None else f"{known * scale_of(unit):.3g}"


def words_of(key: str, study: Study) -> str:
    """What a measure is called: the words of its column, else its key.

    Example:
        >>> words_of("nats_train", {}), words_of("nats", {"columns": [{"key": "nats",
        ...                                                            "words": "I_NCE"}]})
        ('nats train', 'I_NCE')
    """
    known = {column["key"]: column["words"] for column in study.get("columns") or []}
    return str(known.get(key) or key.replace("_", " "))


def unit_of(key: str, study: Study, given: object = None) -> str:
    """The unit that a panel gives, else that of the measure's column, else none.

    Example:
        >>> unit_of("knn", {"columns": [{"key": "knn", "unit": "%"}]})
        '%'
    """
    known = {column["key"]: column.get("unit") for column in study.get("columns") or []}
    return str(known.get(key) or "" if given is None else given)


def scale_of(unit: str) -> float:
    """What a value is multiplied by before it is shown.

    Example:
        >>> scale_of("%"), scale_of("nats")
        (100.0, 1.0)
    """
    return 100.0 if unit == "%" else 1.0
