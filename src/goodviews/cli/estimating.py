"""``goodviews estimate``: its options, and what it does with them."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from goodviews.cli.nouns import Option, Verb
from goodviews.interfaces import Estimate, UserError

if TYPE_CHECKING:
    from goodviews.estimators.estimate import Ask
    from goodviews.estimators.inputs import Column


def _data(name: str, kind: Any, text: str, unit: str) -> Option:
    return Option(name, kind, None, text, unit, "data")


_FILES = "npy, npz, csv, tsv, txt, parquet or pt"
ESTIMATE = Verb(
    "estimate",
    "Measure how many nats two things share, with an interval, a null and doubts.",
    (
        _data("first", str | None, f"file of x, or of x and y: {_FILES}", "FILE"),
        _data("second", str | None, "file of y; rows belong to the rows of x", "FILE"),
        _data(
            "x",
            list[str] | None,
            "columns (or the array) of the first file; e* for all that begin with e; none: x, "
            "or all",
            "NAMES",
        ),
        _data("y", list[str] | None, "the same for y", "NAMES"),
        _data(
            "given",
            list[str] | None,
            "condition on these columns of the only file, or on this file",
            "NAMES",
        ),
        Option(
            "labels",
            Literal["auto", "x", "y", "both", "none"],
            "auto",
            "which side to read as labels; auto: text, and integers that repeat",
            "",
            "data",
        ),
        _data(
            "run",
            str | None,
            "in place of files: a run of `goodviews train`; measures I(v1;v2), I(z1;z2), I(z;y)",
            "RUN",
        ),
        _data("max_images", int | None, "with --run: use at most this many images", "IMAGES"),
        Option(
            "method",
            list[str],
            ["auto"],
            "a name in `goodviews list estimators`; several, or all, make a table",
            "NAMES",
            "method",
        ),
        Option(
            "shuffles",
            int | None,
            None,
            "shuffles of y that make the null; none: the method's own",
            "SHUFFLES",
            "method",
            -1,
        ),
        Option(
            "settings",
            list[str] | None,
            None,
            "further settings of the method, for example neighbors=5",
            "NAME=VALUE",
            "method",
        ),
        Option("seed", int, 0, "of folds, networks and shuffles", "N", "method", -1),
        Option("device", str, "auto", "auto, cpu, cuda or mps", "NAME", "method"),
        Option("units", Literal["nats", "bits"], "nats", "of the printed text", "", "output"),
        Option(
            "json", bool, False, "print one JSON object, in nats, and nothing else", "", "output"
        ),
    ),
    (
        ("estimate x.npy y.npy", "one number, with what is needed to judge it"),
        ("estimate table.csv --x age,height --y label", "columns of one table"),
        ("estimate x.npy y.npy --method student,ksg", "methods side by side"),
        ("estimate --run run", "what a run's views, representation and labels share"),
    ),
    positional=("first", "second"),
)


def estimate(options: dict[str, Any]) -> int:
    """Measure, and print a block, a table or JSON."""
    from goodviews.estimators.estimate import Ask

    methods = options["method"]
    settings = parse_settings(options["settings"])
    if not methods:
        raise UserError("--method: none given. Use for example auto.")
    asks = [
        Ask(name, options["seed"], options["shuffles"], options["device"], settings)
        for name in dict.fromkeys(methods)
    ]
    if options["run"] is not None:
        return _of_run(options, asks)
    if options["first"] is None:
        raise UserError("FILE is missing. Try: goodviews estimate x.npy y.npy")
    if options["max_images"] is not None:
        raise UserError("--max-images: is for --run. Leave it out.")
    columns = _columns(options)
    if len(asks) > 1 or "all" in methods:
        if settings:
            raise UserError("--settings: is for one method. Give one --method.")
        return _side_by_side(columns, methods, options)
    return _one(columns, asks[0], options)


def _columns(options: Mapping[str, Any]) -> list[Column]:
    from goodviews.studies.pairs import columns_of_files

    names = ("x", "y", "given", "labels")
    return columns_of_files(
        options["first"], options["second"], **{name: options[name] for name in names}
    )


def _one(columns: list[Column], ask: Ask, options: Mapping[str, Any]) -> int:
    from goodviews.estimators.estimate import measure
    from goodviews.estimators.lines import estimate_lines

    found = measure(columns, ask)
    if options["json"]:
        _print_json(found.to_dict())
        return 0
    what = "I(x;y)" if len(columns) == 2 else "I(x;y|given)"
    print("\n".join(estimate_lines(found, options["units"], what)))
    return 0


def _side_by_side(columns: list[Column], methods: list[str], options: Mapping[str, Any]) -> int:
    from goodviews.estimators.estimate import compare_columns

    found = compare_columns(
        columns, methods, options["seed"], options["shuffles"], options["device"], _progress
    )
    rows: dict[str, Estimate | str] = {**found.estimates, **found.refused}
    _print_rows(rows, options, "method", found.warnings)
    return 0


def _of_run(options: Mapping[str, Any], asks: list[Ask]) -> int:
    from goodviews.studies.estimates import information_of_run

    others = ("first", "second", "x", "y", "given")
    both = next((name for name in others if options[name] is not None), None)
    if both is not None:
        shown = options[both] if both in ("first", "second") else f"--{both}"
        raise UserError(f"--run: given beside {shown}. Measure a run or files, not both.")
    if len(asks) > 1 or asks[0].method == "all":
        raise UserError("--method: --run takes one. Use for example --method auto.")
    rows = information_of_run(
        options["run"], asks[0], max_images=options["max_images"], told=_progress
    )
    _print_rows(rows, options, "held-out images", ())
    return 0


def _print_rows(
    rows: Mapping[str, Estimate | str],
    options: Mapping[str, Any],
    head: str,
    warnings: tuple[str, ...],
) -> None:
    """A table and its warnings, or one JSON object."""
    from goodviews.estimators.lines import table_lines, warning_lines

    if options["json"]:
        estimates = {name: e.to_dict() for name, e in rows.items() if isinstance(e, Estimate)}
        refused = {name: why for name, why in rows.items() if isinstance(why, str)}
        _print_json({"estimates": estimates, "refused": refused, "warnings": list(warnings)})
        return
    print("\n".join(table_lines(rows, options["units"], head)))
    for line in (*(f"warning: {line}" for line in warnings), *warning_lines(rows)):
        print(line)


def _print_json(value: object) -> None:
    from goodviews.studies.folder import plain

    print(json.dumps(plain(value), indent=2, allow_nan=False))


def _progress(name: str, found: Estimate | str) -> None:
    """Where someone is watching: what is done so far."""
    if sys.stderr.isatty():
        text = found if isinstance(found, str) else f"{found.nats:.3f} nats"
        print(f"{name}: {text}", file=sys.stderr)


def parse_settings(pairs: list[str] | None) -> dict[str, Any]:
    """Settings as typed values.

    Raises:
        UserError: a word without "=".

    Example:
        >>> parse_settings(["neighbors=5", "norm=max", "scores=false"])
        {'neighbors': 5, 'norm': 'max', 'scores': False}
    """
    import yaml

    found = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UserError(f"--settings: {pair!r} is not NAME=VALUE. Use for example neighbors=5.")
        typed = None if value.lower() == "none" else yaml.safe_load(value)
        found[name.strip().replace("-", "_")] = typed
    return found
