"""One call: arrays in, an amount of information out, with its error, its null and its doubts."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from goodviews.estimators import ESTIMATORS, MethodInfo, Pair
from goodviews.estimators.copula import gaussian
from goodviews.estimators.discrete import entropy
from goodviews.estimators.doubts import disagreement, of_data, of_estimate
from goodviews.estimators.inputs import Column, check_rows, read
from goodviews.estimators.reading import Reading
from goodviews.estimators.variables import Variable
from goodviews.interfaces import Estimate, UserError, check_name


def estimate(
    x: Any,
    y: Any,
    method: str = "auto",
    seed: int = 0,
    *,
    given: Any = None,
    shuffles: int | None = None,
    discrete_x: bool | None = None,
    discrete_y: bool | None = None,
    discrete_given: bool | None = None,
    device: str = "auto",
    **settings: Any,
) -> Estimate:
    """Estimate I(x;y), or I(x;y|given), from n pairs of observations, in nats.

    ``I(x;y) = E log p(x,y) / (p(x) p(y))``. The estimate is the mean of one number a row, each read
    by a model that did not see the row; its 95 % interval is -+1.96 standard deviations / sqrt(n).
    Shuffling y gives the null and ``p = (1 + #{shuffled >= nats}) / (1 + shuffles)``. Nothing is
    clipped: a negative value means none. What makes the number doubtful is in ``warnings``.

    Args:
        x: n observations, shape (n,) or (n, d): NumPy array, torch tensor, data frame or list.
            Text, booleans and integers that repeat are labels, everything else numbers
            (:mod:`goodviews.estimators.inputs` has the rule).
        y: the same number of observations of the other variable.
        method: a name in `goodviews list estimators`; "auto" looks at the data and says why.
        seed: of folds, networks and shuffles; the same seed gives the same number.
        given: a third variable to condition on.
        shuffles: how many shuffled values make the null; None: the method's own. 0: no null.
        discrete_x: True reads x as labels, False as numbers, None by the rule.
        discrete_y: the same for y.
        discrete_given: the same for ``given``.
        device: auto, cpu, cuda or mps, for methods that train networks.
        settings: further settings of the method, for example ``neighbors=5``.

    Raises:
        UserError: data that cannot be read (row and column are named), an unknown method, setting
            or device; one line with the remedy.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=1000)
        >>> found = estimate(x, x + rng.normal(size=1000), "ksg", shuffles=19)  # 0.347 nats
        >>> round(found.nats, 1), found.p_value
        (0.4, 0.05)
    """
    columns = read_all((x, y, given), (discrete_x, discrete_y, discrete_given))
    return measure(columns, Ask(method, seed, shuffles, device, settings))


def read_all(values: Sequence[Any], discrete: Sequence[bool | None]) -> list[Column]:
    """x, y and perhaps a given third as checked columns; None for the third means there is none."""
    columns = [read(values[0], "x", discrete[0]), read(values[1], "y", discrete[1])]
    if values[2] is not None:
        columns.append(read(values[2], "given", discrete[2]))
    check_rows(*columns)
    return columns


@dataclass(frozen=True)
class Ask:
    """How to measure: the arguments of :func:`estimate` besides the data."""

    method: str = "auto"
    seed: int = 0
    shuffles: int | None = None
    device: str = "auto"
    settings: Mapping[str, Any] | None = None


def measure(columns: Sequence[Column], ask: Ask) -> Estimate:
    """Read checked variables x, y and perhaps a third that is given, as :func:`estimate` does.

    Raises:
        UserError: a method that cannot read them, and what :func:`estimate` raises.
    """
    check_name("--method", ask.method, ESTIMATORS)
    info = ESTIMATORS[ask.method]
    _check_kinds(ask.method, info, columns)
    shuffles = info.shuffles if ask.shuffles is None else ask.shuffles
    for flag, number in (("--seed", ask.seed), ("--shuffles", shuffles)):
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 0:
            raise UserError(f"{flag}: {number!r}. Use a whole number, 0 or more.")
    run = _runner(info, columns, ask)
    variables = [column.variable for column in columns]
    reading = run(variables, int(shuffles))
    found = judged(reading, ask.method, _how(columns))
    x, y = columns[0], columns[1]
    notes = [
        *of_data(x, y, *columns[2:], scale_free=info.scale_free),
        *found.warnings,
        *of_estimate(found, x, y),
        *_looseness(found, columns),
    ]
    if not info.scale_free:
        notes += _unit_doubts(info, run, variables, found)
    return replace(found, warnings=tuple(dict.fromkeys(notes)))


WIDEST = 200
"""Columns of x and y together up to which a bound is held against the Gaussian copula."""


def _looseness(found: Estimate, columns: Sequence[Column]) -> list[str]:
    """A lower bound far below the Gaussian copula's information, which is a lower bound too.

    Of all laws with these normal scores' correlations the Gaussian has the least information.
    """
    width = sum(column.variable.width for column in columns)
    rows = len(columns[0])
    if found.kind != "lower" or len(columns) > 2 or pair_kind(columns) != "numbers":
        return []
    if width > WIDEST or rows < 10 * width:
        return []
    x, y = (column.variable for column in columns)
    known = gaussian(x, y, seed=0, shuffles=0).nats
    if known - found.nats <= max(0.2 * known, 5 * found.stderr, 0.1):
        return []
    return [
        f"far below the {known:.2f} nats that a Gaussian copula shows in the same rows: this bound "
        f"is loose here, {rows} rows do not teach its critic more. Use --method auto"
    ]


def pair_kind(columns: Sequence[Column]) -> Pair:
    """Whether the variables are all numbers, all labels, or some of each."""
    labels = {column.variable.discrete for column in columns}
    return "mixed" if len(labels) > 1 else "labels" if labels == {True} else "numbers"


def _check_kinds(name: str, info: MethodInfo, columns: Sequence[Column]) -> None:
    """Raise unless the method reads such variables."""
    kind = pair_kind(columns)
    able = [
        other
        for other, its in ESTIMATORS.items()
        if kind in its.reads and (len(columns) == 2 or its.given)
    ]
    remedy = f"Use --method {' or '.join(able[:3])}"
    if len(columns) > 2 and not info.given:
        raise UserError(f"--given: method {name} cannot condition. {remedy}.")
    if kind not in info.reads:
        read_as = " and ".join(f"{column.name} is {column.summary}" for column in columns)
        raise UserError(
            f"--method {name}: does not read these variables ({read_as}). {remedy}, "
            "or say what are labels (--labels, discrete_x, discrete_y)."
        )


Runner = Callable[[Sequence[Variable], int], Reading]
"""Variables and the number of shuffles -> what the method reads."""


def _runner(info: MethodInfo, columns: Sequence[Column], ask: Ask) -> Runner:
    """The method with its settings, and its ways to fail told in one line."""
    function = info.load(given=len(columns) > 2)
    settings = {**info.settings, **(ask.settings or {})}
    known = _settings_of(function) or _settings_of(info.load())
    for name in settings:
        if not known:
            raise UserError(f"{name}: method {ask.method} has no settings. Leave it out.")
        check_name(f"settings of {ask.method}", name, known)
    device = resolve_device(ask.device, needed=info.device)

    def run(variables: Sequence[Variable], shuffles: int) -> Reading:
        try:
            reading: Reading = function(
                *variables, seed=int(ask.seed), shuffles=shuffles, device=device, **settings
            )
        except (MemoryError, RuntimeError) as error:
            if not isinstance(error, MemoryError) and "memory" not in str(error).lower():
                raise
            raise UserError(
                f"--method {ask.method}: not enough memory for {len(columns[0])} rows. "
                "Give fewer rows or columns."
            ) from error
        if not np.isfinite(reading.values).all():
            raise UserError(
                f"--method {ask.method}: its values are not finite on these data. "
                "Use another method, or tame extreme values first."
            )
        return reading

    return run


def _settings_of(function: Callable[..., Any]) -> list[str]:
    """Names of the settings that a method takes by name, besides those that all take."""
    every = {"seed", "shuffles", "device"}
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in every]


def resolve_device(device: str, *, needed: bool = True) -> str:
    """The device to run on: "auto" takes cuda where there is one, else the CPU.

    Args:
        device: auto, cpu, cuda, cuda:1, mps.
        needed: whether anything is going to run there; if not, it is the CPU.

    Raises:
        UserError: unknown, or not on this machine.

    Example:
        >>> resolve_device("cpu")
        'cpu'
    """
    kind = {"gpu": "cuda"}.get(device, str(device).partition(":")[0])
    if kind not in ("auto", "cpu", "cuda", "mps"):
        raise UserError(f"--device: {device!r}. Use auto, cpu, cuda or mps.")
    if kind == "cpu" or not needed:
        return "cpu"
    import torch  # seconds to import: only where a device may be chosen

    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if kind == "auto":
        return "cuda" if here["cuda"] else "cpu"
    if not here[kind]:
        raise UserError(f"--device: {device} is not available here. Use --device cpu.")
    return device if device != "gpu" else "cuda"


def judged(reading: Reading, method: str, how: Mapping[str, Any]) -> Estimate:
    """The reading with standard error, null and p-value.

    Args:
        reading: what a method read.
        method: its name.
        how: what to put before the method's own details.
    """
    n, shuffled = len(reading.values), np.asarray(reading.shuffled)
    reached = int((shuffled >= reading.nats - 1e-12).sum())
    return Estimate(
        nats=reading.nats,
        stderr=math.hypot(reading.values.std(ddof=1) / math.sqrt(n), reading.noise),
        candidates=reading.candidates,
        null=float(shuffled.mean()) if len(shuffled) else None,
        method=method,
        split=reading.split,
        warnings=reading.warnings,
        p_value=(1 + reached) / (1 + len(shuffled)) if len(shuffled) else None,
        lower=reading.lower,
        upper=reading.upper,
        ceiling=reading.ceiling,
        kind=reading.kind,
        rows=n,
        details={**how, "shuffles": len(shuffled), **reading.details},
    )


def _how(columns: Sequence[Column]) -> dict[str, Any]:
    """How each variable was read, and the entropies of labels (Miller and Madow), in nats."""
    found: dict[str, Any] = {column.name: column.summary for column in columns}
    for column in columns:
        if column.variable.discrete:
            found[f"entropy_{column.name}"] = entropy(np.bincount(column.variable.codes))
    return found


def _unit_doubts(
    info: MethodInfo, run: Runner, variables: Sequence[Variable], found: Estimate
) -> list[str]:
    """Whether the number depends on the units; quick methods are read again with x times 10."""
    x = variables[0]
    if x.discrete or not info.quick:
        return ["depends on the units of the columns: bring them to like scales"]
    values = x.values.copy()
    values[:, 0] *= 10
    again = run([Variable(values), *variables[1:]], 0).nats
    if abs(again - found.nats) <= max(0.02, found.stderr):
        return []
    return [
        f"depends on the units of the columns: with the first column of x times 10 it reads "
        f"{again:.3f} nats. Bring columns to like scales"
    ]


# --- several methods ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Comparison:
    """Several methods on the same pairs."""

    estimates: Mapping[str, Estimate]
    refused: Mapping[str, str]
    """Method -> why it cannot read these data."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Where the methods disagree."""
        return tuple(disagreement(self.estimates))


def compare(
    x: Any,
    y: Any,
    methods: Sequence[str] | None = None,
    seed: int = 0,
    *,
    given: Any = None,
    shuffles: int | None = None,
    discrete_x: bool | None = None,
    discrete_y: bool | None = None,
    discrete_given: bool | None = None,
    device: str = "auto",
    told: Callable[[str, Estimate | str], None] | None = None,
) -> Comparison:
    """Estimate I(x;y) by several methods, side by side, in nats.

    Args:
        x: as in :func:`estimate`.
        y: as in :func:`estimate`.
        methods: names; None: every method that reads such data and takes seconds. "all" among
            them: those that train networks too.
        seed: as in :func:`estimate`.
        given: as in :func:`estimate`.
        shuffles: as in :func:`estimate`.
        discrete_x: as in :func:`estimate`.
        discrete_y: as in :func:`estimate`.
        discrete_given: as in :func:`estimate`.
        device: as in :func:`estimate`.
        told: called with each method and its estimate, or why it refused, as soon as it is there.

    Raises:
        UserError: data that cannot be read, an unknown method.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=500)
        >>> found = compare(x, x + rng.normal(size=500), ["ksg", "mixed"], shuffles=0)
        >>> {name: round(e.nats, 1) for name, e in found.estimates.items()}
        {'ksg': 0.4, 'mixed': 0.4}
    """
    columns = read_all((x, y, given), (discrete_x, discrete_y, discrete_given))
    return compare_columns(columns, methods, seed, shuffles, device, told)


def compare_columns(
    columns: Sequence[Column],
    methods: Sequence[str] | None = None,
    seed: int = 0,
    shuffles: int | None = None,
    device: str = "auto",
    told: Callable[[str, Estimate | str], None] | None = None,
) -> Comparison:
    """:func:`compare` for variables that have been read."""
    estimates: dict[str, Estimate] = {}
    refused: dict[str, str] = {}
    for name in chosen_methods(methods, columns):
        try:
            estimates[name] = measure(columns, Ask(name, seed, shuffles, device))
        except UserError as error:
            refused[name] = str(error)
        if told is not None:
            told(name, estimates[name] if name in estimates else refused[name])
    return Comparison(estimates, refused)


def chosen_methods(methods: Sequence[str] | None, columns: Sequence[Column]) -> list[str]:
    """The names to compare: those given, or all that read such data."""
    if methods is not None and "all" not in methods:
        for name in methods:
            check_name("--method", name, [*ESTIMATORS, "all"])
        return list(dict.fromkeys(methods))
    found = []
    for name, info in ESTIMATORS.items():
        try:
            _check_kinds(name, info, columns)
        except UserError:
            continue
        if name != "auto" and (info.quick or methods is not None):
            found.append(name)
    return found
