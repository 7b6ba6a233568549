"""Whether the numbers can be trusted: intervals, high information, false alarms, memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from acceptance_cases import Case, Cases, Clock, case, of_world
from estimators import THREADS

from goodviews import estimate
from goodviews.data import worlds
from goodviews.data.worlds import World

GIGABYTES = 4.0
"""The most memory that a measurement may take."""


def d1(seeds: int = 20) -> Cases:
    """How often the 95 % interval holds the truth."""
    normal = [worlds.sparse(1, 1, 0.75), worlds.sparse(5), worlds.dense(5), worlds.sparse(25)]
    normal += [worlds.dense(25)]
    heavy = [worlds.student(d, d, nu) for d, nu in ((1, 1), (2, 1), (3, 2), (5, 2))]
    cells = [("gaussian", w) for w in normal] + [("student", w) for w in normal + heavy]
    cells += [("ksg", w) for w in (normal[0], heavy[0])]
    cells += [("auto", w) for w in (normal[0], heavy[0], normal[1], heavy[3])]
    for method, world in cells:
        for seed in range(seeds):
            yield case("D1", of_world(world, seed), method, None, also=_covers(world.nats))


def _covers(truth: float) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def also(row: dict[str, Any]) -> dict[str, Any]:
        low, high = row["interval"]
        return {"counts": bool(low <= truth <= high)}

    return also


def d2() -> Cases:
    """High information: close by copulas, and flagged by bounds that cannot reach it."""
    for nats in (6.0, 10.0):
        for seed in range(3):
            source = of_world(worlds.gaussian(20, nats), seed)
            yield case("D2", source, "gaussian", 0.06)
            yield case("D2", source, "student", 0.1)
    source = of_world(worlds.gaussian(20, 10.0))
    for method in ("infonce", "donsker-varadhan", "nwj"):
        yield case("D2", source, method, None, also=_flagged, name=f"{method} is flagged")


def _flagged(row: dict[str, Any]) -> dict[str, Any]:
    """Near its ceiling, resting on few pairs, or far below what the copula shows."""
    words = ("ceiling", "rest on", "far below")
    return {"counts": any(word in warning for warning in row["warnings"] for word in words)}


# --- false alarms, memory -------------------------------------------------------------------------


def alarms(method: str, dims: int, pairs: int) -> Cases:
    """Independent pairs: how often p < 0.05."""
    for seed in range(pairs):
        source = of_world(worlds.gaussian(dims, 0.0), seed, n=1000, task=f"independent-{dims}")
        yield case("FP", source, method, None, shuffles=None, also=_rejects)


def _rejects(row: dict[str, Any]) -> dict[str, Any]:
    return {"counts": row["p_value"] < 0.05}


def fp() -> Cases:
    """False alarms of every method whose null is quick, and of auto."""
    yield from alarms("gaussian", 10, 200)
    yield from alarms("student", 10, 200)
    yield from alarms("ksg", 1, 200)
    yield from alarms("auto", 5, 200)


LARGE: dict[str, tuple[World, int, int, dict[str, Any]]] = {
    "gaussian": (worlds.gaussian(20, 6.0), 20, 20, {}),
    "ksg": (worlds.sparse(2, 1), 2, 1, {}),
    "neural": (worlds.sparse(5), 5, 5, {"steps": 200}),
    "student": (worlds.sparse(5), 5, 5, {}),
    "auto": (worlds.sparse(5), 5, 5, {}),
    "auto spiral": (worlds.spiral(5), 5, 5, {}),
}
"""What is measured at n = 100,000: world, columns of x and y, settings."""


def memory(rows: int = 100_000) -> Cases:
    """Peak memory and seconds of a run in a process of its own, null and all."""
    for name, (world, dx, dy, _) in LARGE.items():
        task = f"{world.name} {dx} + {dy}"
        yield Case(
            *("MEM", task, name, 0, rows, lambda name=name: _apart(name, rows)),
            truth=0.0,
            limit=(0.0, GIGABYTES),
            about="GB at the peak",
        )


def _apart(name: str, rows: int) -> dict[str, Any]:
    script = Path(__file__).with_name("acceptance.py")
    env = {**os.environ, **dict.fromkeys(THREADS, "1")}
    command = [sys.executable, str(script), "--apart", name, "--rows", str(rows)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=3600)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return json.loads(done.stdout.splitlines()[-1])


def apart(name: str, rows: int) -> dict[str, Any]:
    """One large run in this process."""
    import resource  # not on every system

    world, dx, dy, settings = LARGE[name]
    x, y = world.sample(rows, seed=0)
    start = Clock()
    found = estimate(x[:, :dx], y[:, :dy], name.split()[0], **settings)
    row = start.stop()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return row | {
        "estimate": peak,
        "nats": found.nats,
        "true_nats": world.nats,
        "warnings": list(found.warnings),
        "chosen": found.details.get("chosen"),
    }
