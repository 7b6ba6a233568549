"""What the measuring layer is held to, check by check, on samples of known information.

    python benchmarks/acceptance.py --checks A1,A2,A3,A4,A5 --samples samples --out rows.jsonl
    python benchmarks/acceptance.py --checks A3 --samples samples --peer-python bmi=venv/bin/python
    python benchmarks/acceptance.py --checks D1,D2,D3,FP,MEM --out rows.jsonl
    python benchmarks/acceptance.py --checks C1,C2 --samples samples --out rows.jsonl
    python benchmarks/acceptance.py --table rows.jsonl --markdown
    python benchmarks/acceptance.py --figure laws.png --out rows.jsonl

A1 gaussian, A2 student against the exact log-ratio of the same rows; A3 ksg: equal to others, near
the truth; A4 monotone maps change nothing; A5 independent pairs; C1 critics, C2 denoiser where no
copula is right; D1 coverage of 95 % intervals; D2 high information; D3 the laws of Song and Ermon
on images; FP false alarms; MEM memory and seconds at n = 100,000.

SAMPLES are folders as `benchmarks/estimators.py` reads them; worlds of goodviews.data add what the
folders lack. Every row is a line of JSON in nats; lines that exist are skipped. Seconds are held to
their limits by the processor's clock, which other work on the machine disturbs least.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import acceptance_cases as cases
import acceptance_trust as trust
import self_consistency
from acceptance_cases import Case, Clock
from estimator_tables import table

import goodviews

Row = dict[str, Any]

SHARES = {"D1": (0.9, 1.0), "FP": (0.02, 0.08), "D2": (1.0, 1.0)}
"""Checks whose rows count: where the share must lie."""

MEANS = {("A3", "ksg"): 0.025}
"""Most mean absolute error, where there is such a limit."""


def chosen(args: argparse.Namespace) -> Iterator[Case]:
    """The cases of the checks asked for, in their order."""
    sources = cases.files(args.samples)
    peers = dict(pair.split("=", 1) for pair in args.peer_python)
    makers = {
        "A1": lambda: cases.a1(sources),
        "A2": lambda: cases.a2(sources),
        "A3": lambda: cases.a3(sources, peers),
        "A4": lambda: cases.a4(sources),
        "A5": lambda: cases.a5(sources),
        "C1": lambda: cases.c1(sources),
        "C2": lambda: cases.c2(sources),
        "D1": trust.d1,
        "D2": trust.d2,
        "D3": self_consistency.d3,
        "FP": trust.fp,
        "MEM": trust.memory,
    }
    for check in args.checks.split(","):
        if check not in makers:
            raise SystemExit(f"--checks: unknown {check!r}. Known: {', '.join(makers)}.")
        for case in makers[check]():
            if args.methods and case.method.split()[0] not in args.methods:
                continue
            if args.tasks and not any(part in case.task for part in args.tasks):
                continue
            yield case


def run(args: argparse.Namespace) -> None:
    """Measure what has no line yet."""
    done = {key(row) for row in read_rows(args.out)}
    with args.out.open("a") as out:
        for case in chosen(args):
            if case.key in done:
                continue
            done.add(case.key)
            row = measured(case)
            out.write(json.dumps(row, default=str) + "\n")
            out.flush()
            print(told(row), flush=True)


def key(row: Row) -> tuple[Any, ...]:
    return row["check"], row["task"], row["method"], row["seed"], row["n"]


def read_rows(path: Path) -> list[Row]:
    """Rows of a file; of two for the same case the later counts."""
    lines = path.read_text().splitlines() if path.exists() else []
    return list({key(row): row for row in map(json.loads, lines)}.values())


def measured(case: Case) -> Row:
    """The row of a case; a failure is a row too."""
    row: Row = {
        **dict(zip(("check", "task", "method", "seed", "n"), case.key, strict=True)),
        "id": "/".join(map(str, case.key)),
        **{"about": case.about, "truth": case.truth, "oracle": None, "estimate": None},
        **{"limit": case.limit, "seconds_limit": case.seconds_limit, "error_text": None},
    }
    start = Clock()
    try:
        found = case.measure()
    except Exception as error:  # noqa: BLE001  whatever a method raises is its result
        found = {"error_text": f"{type(error).__name__}: {error}"}
    row |= start.stop() | found
    row |= {"date": str(date.today()), "load": round(os.getloadavg()[0], 1), "version": version()}
    return row | judged(row)


@functools.cache
def version() -> str:
    """The commit of goodviews, as far as git knows it."""
    command = ["git", "-C", str(Path(goodviews.__file__).parent), "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def judged(row: Row) -> Row:
    """Error against the oracle, the truth where there is none; whether the row passes."""
    if row["error_text"] is not None:
        return {"error": None, "passed": False}
    aim = row["truth"] if row["oracle"] is None else row["oracle"]
    error = row["estimate"] - aim
    checks = [row.get("holds", True)]
    if row["limit"] is not None:
        checks.append(row["limit"][0] <= error <= row["limit"][1])
    if row["seconds_limit"] is not None:
        checks.append(row["cpu_seconds"] <= row["seconds_limit"])
    bare = row["limit"] is None and row["seconds_limit"] is None
    return {"error": error, "passed": None if bare else all(checks)}


def told(row: Row) -> str:
    """A line for the reader."""
    where = f"{row['check']:3s} {row['method']:16s} {row['task'][:48]:48s} seed={row['seed']}"
    if row["error_text"]:
        return f"{where}  failed: {row['error_text'][:100]}"
    verdict = {True: "passed", False: "FAILED", None: ""}[row["passed"]]
    counts = row.get("counts", "")
    text = f"{row['estimate']:8.4f} ({row['error']:+.2g})  {row['cpu_seconds']:.2f} s"
    return f"{where}  {text}  {verdict}{counts}"


# --- the table ------------------------------------------------------------------------------------

HEADER = (
    *("check", "method", "what", "rows", "worst", "mean", "limit", "passed"),
    *("s median", "s worst", "s limit"),
)


def report(rows: Sequence[Row], markdown: bool) -> str:
    """One line a check, method and limit; then the laws, then what failed."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        if row["check"] != "D3":
            limits = row["limit"] and tuple(row["limit"]), row["seconds_limit"]
            groups.setdefault((row["check"], row["method"], *limits), []).append(row)
    lines = [line for group in sorted(groups, key=str) for line in lines_of(groups[group])]
    for found in self_consistency.ratios(rows):
        what = f"{found['kind']}: {found['law']}"
        passed = "yes" if found["holds"] else "NO"
        lines.append(["D3", found["method"], what, "", found["measured"], "", found["limit"],
                      passed, "", f"{found['seconds']:.1f}", ""])  # fmt: skip
    parts = [
        "worst, mean: absolute errors in nats unless `what` says otherwise. s: of the processor.",
        table(HEADER, lines, markdown),
    ]
    failed = [row for row in rows if row["passed"] is False]
    if failed:
        parts.append(
            table(("check", "method", "task", "seed", "why"), list(map(why, failed)), markdown)
        )
    return "\n\n".join(parts)


def lines_of(rows: Sequence[Row]) -> Iterator[list[str]]:
    """The line of rows with the same limits, and one of the share that counts."""
    first, good = rows[0], [r for r in rows if r["error_text"] is None]
    if not good:
        yield [first["check"], first["method"], "", str(len(rows)), "", "", "", "0", "", "", ""]
        return
    seconds = [r["cpu_seconds"] for r in good]
    times = [f"{statistics.median(seconds):.2f}", f"{max(seconds):.2f}"]
    times.append("" if first["seconds_limit"] is None else f"{first['seconds_limit']:g}")
    start = [first["check"], first["method"]]
    if "counts" in first:
        low, high = SHARES[first["check"]]
        share = statistics.fmean(bool(r.get("counts")) for r in rows)
        worst = min(by_task(rows).values()) if first["check"] == "D1" else share
        what = {"D1": "share of intervals that hold the truth (worst: of one task)"}.get(
            first["check"], "share"
        )
        passed = "yes" if low <= share <= high else "NO"
        cells = [what, str(len(rows)), f"{worst:.1%}", f"{share:.1%}", f"{low:g} to {high:g}"]
        yield [*start, *cells, passed, *times]
        return
    errors = [abs(r["error"]) for r in good]
    limit = "" if first["limit"] is None else f"{first['limit'][1]:g}"
    if first["limit"] and first["limit"][0] not in (-first["limit"][1], 0.0):
        limit = f"{first['limit'][0]:g} to {limit}"
    passed = f"{sum(r['passed'] is True for r in rows)}/{len(rows)}"
    mean = statistics.fmean(errors)
    most = MEANS.get((first["check"], first["method"]))
    if most is not None:
        limit += f", mean {most:g}"
        passed += "" if mean <= most else ", mean NO"
    digits = ".1e" if max(errors) < 1e-4 else ".3f"
    cells = [first["about"], str(len(rows)), f"{max(errors):{digits}}", f"{mean:{digits}}", limit]
    yield [*start, *cells, passed, *times]


def by_task(rows: Sequence[Row]) -> dict[str, float]:
    """Share that counts, task by task."""
    found: dict[str, list[bool]] = {}
    for row in rows:
        found.setdefault(row["task"], []).append(bool(row.get("counts")))
    return {task: statistics.fmean(counts) for task, counts in found.items()}


def why(row: Row) -> list[str]:
    """A failed row and its reason."""
    reasons = [row["error_text"]] if row["error_text"] else []
    if row["error"] is not None and row["limit"] is not None:
        low, high = row["limit"]
        if not low <= row["error"] <= high:
            reasons.append(f"error {row['error']:+.3g}, limit {low:g} to {high:g}")
    if row["seconds_limit"] is not None and row["cpu_seconds"] > row["seconds_limit"]:
        reasons.append(f"{row['cpu_seconds']:.1f} s, limit {row['seconds_limit']:g}")
    if not row.get("holds", True):
        reasons.append(f"nu {row['nu']} read as {row['details']['nu']}")
    return [row["check"], row["method"], row["task"], str(row["seed"]), "; ".join(reasons)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checks", default="A1,A3,A4,A2,D2,A5,D1,FP", help="names, with commas")
    parser.add_argument("--samples", type=Path, nargs="+", default=[], help="with index.json")
    parser.add_argument("--out", type=Path, default=Path("acceptance.jsonl"))
    parser.add_argument("--methods", nargs="+", default=[], help="only these")
    parser.add_argument("--tasks", nargs="+", default=[], help="only tasks with these parts")
    parser.add_argument("--peer-python", nargs="+", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--table", type=Path, help="rows to make a table of")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--figure", type=Path, help=".html or .png of D3, from the rows in --out")
    parser.add_argument("--apart", help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=int, default=100_000, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.apart:
        print(json.dumps(trust.apart(args.apart, args.rows)))
    elif args.table:
        print(report(read_rows(args.table), args.markdown))
    elif args.figure:
        self_consistency.figure(read_rows(args.out), args.figure)
    else:
        run(args)


if __name__ == "__main__":
    main()
