"""What the measuring layer is held to: the cases of each check that `acceptance.py` runs.

A case is one row to be: data of known information, a method, and the limits of error and seconds.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from estimators import Sample, Worker, read_samples
from scipy.stats import rankdata

from goodviews import estimate
from goodviews.data import worlds
from goodviews.data.worlds import World
from goodviews.estimators.copula import DEGREES
from goodviews.estimators.neighbors import ksg_values

N = 5000


class Pairs(NamedTuple):
    """Rows of x and y, and the mean of the exact log-ratio over these very rows."""

    x: np.ndarray
    y: np.ndarray
    oracle: float | None = None


@dataclass(frozen=True)
class Source:
    """Where pairs come from."""

    task: str
    dims: tuple[int, int]
    truth: float
    seed: int
    n: int
    draw: Callable[[], Pairs]
    oracle: bool = False
    """Whether the exact log-ratio of the rows is known."""

    @property
    def width(self) -> int:
        return max(self.dims)


@dataclass(frozen=True)
class Case:
    """One row to be."""

    check: str
    task: str
    method: str
    seed: int
    n: int
    measure: Callable[[], dict[str, Any]]
    """The row's own part: at least "estimate"; "holds": False fails the row; "counts" is what
    a share is made of."""
    truth: float | None = None
    limit: tuple[float, float] | None = None
    """Where estimate minus oracle (the truth, where there is no oracle) must lie."""
    seconds_limit: float | None = None
    about: str = ""
    """What is measured, where the method does not say it."""

    @property
    def key(self) -> tuple[Any, ...]:
        return self.check, self.task, self.method, self.seed, self.n


Cases = Iterator[Case]


def of_world(world: World, seed: int = 0, n: int = N, task: str = "") -> Source:
    """Pairs of a world, with the mean of its log-ratio."""

    def draw() -> Pairs:
        x, y = world.sample(n, seed)
        ratio = world.log_ratio
        return Pairs(x, y, None if ratio is None else float(ratio(x, y).mean()))

    dims = (world.dim_x, world.dim_y)
    known = world.log_ratio is not None
    return Source(task or world.name, dims, world.nats, seed, n, draw, known)


def of_sample(sample: Sample) -> Source:
    """Pairs of a file."""

    def draw() -> Pairs:
        with np.load(sample.path) as file:
            x, y = (np.asarray(file[name + sample.side], np.float64) for name in "xy")
        return Pairs(x, y, sample.oracle)

    known = sample.oracle is not None
    return Source(sample.task, sample.dims, sample.truth, sample.seed, sample.n, draw, known)


def files(folders: Sequence[Path]) -> list[Source]:
    """The files of 5,000 rows; a task and seed is taken from the first folder that has it."""
    found: dict[tuple[str, int], Source] = {}
    for folder in folders:
        for sample in read_samples(folder):
            if sample.n == N:
                found.setdefault((sample.task, sample.seed), of_sample(sample))
    return list(found.values())


def shuffled(source: Source) -> Source:
    """The same with y in another order: the truth is 0."""

    def draw() -> Pairs:
        x, y, _ = source.draw()
        return Pairs(x, np.random.default_rng(source.seed).permutation(y))

    task = f"{source.task} shuffled"
    return Source(task, source.dims, 0.0, source.seed, source.n, draw)


def case(
    check: str,
    source: Source,
    method: str,
    limit: float | tuple[float, float] | None,
    seconds: float | None = None,
    *,
    name: str = "",
    also: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    oracle: bool = True,
    shuffles: int | None = 0,
    **settings: Any,
) -> Case:
    """A method on pairs. ``oracle=False`` holds it to the truth; ``also`` adds to the row."""

    def measure() -> dict[str, Any]:
        x, y, exact = source.draw()
        start = Clock()
        found = estimate(x, y, method, source.seed, shuffles=shuffles, **settings).to_dict()
        row = start.stop() | {
            "estimate": found["nats"],
            **{key: found[key] for key in ("stderr", "interval", "p_value", "warnings", "details")},
            "exact": exact,
            "oracle": exact if oracle else None,
        }
        return row | (also(row) if also else {})

    both = (-limit, limit) if isinstance(limit, float) else limit
    named = name or method
    return Case(
        check, source.task, named, source.seed, source.n, measure, source.truth, both, seconds
    )


class Clock:
    """Seconds of the wall and of this process."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def stop(self) -> dict[str, float]:
        return {
            "seconds": time.perf_counter() - self.wall,
            "cpu_seconds": time.process_time() - self.cpu,
        }


# --- A: accuracy of the quick methods -------------------------------------------------------------

_NORMAL = re.compile(r"(1v1-normal|1v1-bimodal|wiggly|half_cube|normal_cdf|multinormal)")
_STUDENT = re.compile(r"(asinh-)?student-identity-\d+-\d+-(?P<nu>\d+)")


def gaussian_sources(sources: Sequence[Source]) -> list[Source]:
    """Gaussian copulas: files whose oracle is known, and wider worlds."""
    found = [s for s in sources if _NORMAL.match(s.task) and s.oracle]
    dense25, dense50 = worlds.dense(25), worlds.dense(50)
    more = [dense25, dense50, *(worlds.margins(worlds.sparse(d), "normal-cdf") for d in (3, 5))]
    more += [worlds.margins(worlds.sparse(d), "half-cube") for d in (5, 25)]
    return found + [of_world(world, seed) for world in more for seed in (0, 1)]


def student_sources(sources: Sequence[Source]) -> list[tuple[Source, float]]:
    """Student's copulas with their degrees of freedom."""
    found = [(s, _STUDENT.match(s.task)) for s in sources if s.oracle]
    known = [(s, float(match["nu"])) for s, match in found if match]
    more = [(2, 1), (2, 2), (3, 2), (3, 3), (5, 2), (5, 3), (10, 2)]
    return known + [
        (of_world(worlds.student(d, d, nu), seed), float(nu)) for d, nu in more for seed in (0, 1)
    ]


def a1(sources: Sequence[Source]) -> Cases:
    """Gaussian copula where it is right."""
    for source in gaussian_sources(sources):
        yield case("A1", source, "gaussian", 0.005 if source.width <= 5 else 0.015, 0.5)


def a2(sources: Sequence[Source]) -> Cases:
    """t-copula where it is right: the number, the degrees of freedom, the seconds."""
    for source, nu in [(s, math.inf) for s in gaussian_sources(sources)] + student_sources(sources):
        width = source.width
        limit, seconds = (0.01, 1.0) if width <= 5 else (0.025, 4.0 if width <= 25 else 8.0)
        yield case("A2", source, "student", limit, seconds, also=_degrees_near(nu))


def _degrees_near(nu: float) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Whether the folds' choices have their median within a step of the grid of the truth."""

    def also(row: dict[str, Any]) -> dict[str, Any]:
        places = [DEGREES.index(found) for found in row["details"]["nu"]]
        true = min(range(len(DEGREES)), key=lambda i: abs(1 / DEGREES[i] - 1 / nu))
        return {"nu": nu, "holds": bool(abs(np.median(places) - true) <= 1)}

    return also


def a3(sources: Sequence[Source], peers: dict[str, str]) -> Cases:
    """KSG: as others compute it, and near the truth in few dimensions."""
    for source in sources:
        if source.seed == 0 and source.oracle and _NORMAL.match(source.task) and source.width <= 5:
            if source.dims == (1, 1):
                yield _same("ksg = scikit-learn", source, lambda s: _sklearn_gap(s, 3))
            if "bmi" in peers:
                yield _same("ksg = bmi", source, lambda s: _bmi_gap(s, peers["bmi"]))
    for source in sources:
        known = _NORMAL.match(source.task) or _STUDENT.match(source.task)
        if sum(source.dims) <= 3 and (known or re.match(r"1v1-additive|swiss", source.task)):
            yield case("A3", source, "ksg", 0.04, 1.0, oracle=False)
    wide = of_world(worlds.sparse(5))
    yield case("A3", wide, "ksg", None, 10.0, name="ksg in tiles", norm="euclidean")


def _same(name: str, source: Source, gap: Callable[[Source], dict[str, Any]]) -> Case:
    """Two programs, one number."""
    # bmi's distances lose digits where values lie dense: the square is expanded
    end = 1e-5 if "bmi" in name and "bimodal" in source.task else 1e-9
    limit = (-end, end)
    task, seed, n = source.task, source.seed, source.n
    return Case("A3", task, name, seed, n, lambda: gap(source), 0.0, limit, about="difference")


def _sklearn_gap(source: Source, k: int) -> dict[str, Any]:
    from sklearn.feature_selection import _mutual_info  # scikit-learn's estimate without its jitter

    x, y, _ = source.draw()
    theirs = _mutual_info._compute_mi_cc(x[:, 0], y[:, 0], k)
    return {"estimate": float(ksg_values(x, y, k).mean() - theirs), "theirs": float(theirs)}


def _bmi_gap(source: Source, python: str) -> dict[str, Any]:
    """The mean of k = 5 and 10 on standardised columns, Euclidean, as `bmi_worker.py` has it."""
    x, y, _ = source.draw()
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"pairs-{os.getpid()}.npz"
    np.savez(path, x=x, y=y)
    worker = Worker("bmi", python, 1)
    request = {"path": str(path), "method": "bmi-ksg", "seed": 0, "n": len(x)}
    theirs = worker.ask(request, 600)["estimate"]
    worker.stop()
    path.unlink()
    x, y = ((v - v.mean(0)) / v.std(0) for v in (x, y))
    ours = np.mean([ksg_values(x, y, k, norm="euclidean").mean() for k in (5, 10)])
    return {"estimate": float(ours) - theirs, "theirs": theirs}


def a4(sources: Sequence[Source]) -> Cases:
    """Monotone maps of columns change nothing."""
    by_name = {(s.task, s.seed): s for s in sources}
    pairs = [
        ("1v1-normal-0.75", ("1v1-bimodal-0.75", "wiggly-1v1-normal-0.75")),
        ("1v1-normal-0.75", ("half_cube-1v1-normal-0.75", "normal_cdf-1v1-normal-0.75")),
        ("gauss-iid-20-mi6", ("cubic-iid-20-mi6",)),
        ("student-identity-5-5-2", ("asinh-student-identity-5-5-2",)),
    ]
    for parent, children in pairs:
        for child in children:
            for seed in (0, 1):
                ends = by_name.get((parent, seed)), by_name.get((child, seed))
                if ends[0] is not None and ends[1] is not None:
                    yield from _unmoved(ends[0], ends[1])


def _unmoved(parent: Source, child: Source) -> Cases:
    few = {"steps": 100, "parts": 3}
    settings: dict[str, dict[str, Any]] = {"gaussian": {}, "student": {}, "neural": few}
    if sum(child.dims) <= 10:
        settings["ksg"] = {}
    if sum(child.dims) <= 3:
        settings |= {"auto": {}, "denoiser": {"steps": 50}}
    for method, its in settings.items():

        def measure(method: str = method, its: dict[str, Any] = its) -> dict[str, Any]:
            pairs = [np.hstack(s.draw()[:2]) for s in (parent, child)]
            moved = int((rankdata(pairs[0], axis=0) != rankdata(pairs[1], axis=0)).sum())
            dx, start = child.dims[0], Clock()
            first, second = (
                estimate(p[:, :dx], p[:, dx:], method, shuffles=0, **its).nats for p in pairs
            )
            end = 1e-6 if not moved else 1e-5  # values that tie in the file's 32 bits
            row = {"estimate": second - first, "limit": (-end, end), "ranks_moved": moved}
            return row | start.stop()

        yield Case(
            *("A4", f"{child.task} - {parent.task}", method, child.seed, child.n, measure),
            truth=0.0,
            limit=(-1e-6, 1e-6),
            about="difference",
        )


def a5(sources: Sequence[Source]) -> Cases:
    """Nothing shared: independent pairs, and y shuffled in every task."""
    found = [s for s in sources if s.truth == 0 and s.seed == 0]
    found += [of_world(worlds.gaussian(d, 0.0), seed) for d in (5, 25) for seed in (0, 1)]
    found += [shuffled(s) for s in sources if s.truth > 0 and s.seed == 0]
    found += [shuffled(of_world(worlds.student(d, d, 2), seed)) for d in (3, 5) for seed in (0, 1)]
    for source in found:
        for method, limit in (("gaussian", 0.01), ("student", 0.01)):
            yield case("A5", source, method, limit)
        if sum(source.dims) <= 10:
            yield case("A5", source, "ksg", 0.03)
    heavy = [s for s in found if re.match(r"gaussian|student-[35]|spiral.*-5-5", s.task)]
    trained = {"neural": (-0.03, 0.02), "auto": (-0.02, 0.02), "denoiser": (-0.02, 0.02)}
    for method, ends in trained.items():
        for source in heavy:
            if source.seed == 0:
                yield case("A5", source, method, ends)


# --- C: what trains networks ----------------------------------------------------------------------


def c1(sources: Sequence[Source]) -> Cases:
    """Critics on held-out rows where no copula is right."""
    kinds = r"swissroll_x-normal_cdf-1v1-normal-0.75|1v1-additive-0.(1|75)$|1v1-X-0.9|1v1-AI|"
    kinds += r"2v1-galaxy|mult-sparse-w-inliers-5-5-2-2.0-0.2|spiral-multinormal-sparse-(3-3|5-5)-2"
    chosen = [s for s in sources if s.seed == 0 and re.match(kinds, s.task)]
    chosen = [s for s in chosen if "speed" not in s.task]
    reads = {
        "neural": ("nwj", "donsker-varadhan"),
        "jensen-shannon": ("jensen-shannon", "donsker-varadhan"),
        "anchor": ("anchor", "donsker-varadhan"),
    }
    for name, (objective, read) in reads.items():
        for source in chosen:
            limit = 0.25 if "spiral" in source.task else 0.1
            yield case(
                *("C1", source, "neural", limit, 60.0),
                name=f"{name} -> {read}",
                objective=objective,
                read=read,
                oracle=False,
            )


_BENT = "spiral-normal_cdf-multinormal-sparse-5-5-2-2.0"


def c2(sources: Sequence[Source]) -> Cases:
    """Denoiser gap on spirals."""
    kinds = {"-3-3-": 0.27, "-5-5-": 0.27, "normal_cdf-multinormal-sparse-5-5-": 0.12}
    found = [s for s in sources if s.seed == 0]
    found += [
        of_world(worlds.warped(worlds.margins(worlds.sparse(5), "normal-cdf"), _BENT, *_turns(5)))
    ] * (not any(s.task == _BENT for s in found))
    for source in found:
        plain = re.match(r"spiral-multinormal-sparse-(3-3|5-5)-2-2.0$", source.task)
        bent = source.task == _BENT
        if plain or bent:
            limit = [kinds[key] for key in kinds if key in source.task][-1]
            yield case("C2", source, "denoiser", limit, 120.0, oracle=False)


def _turns(dim: int) -> tuple[Any, Any]:
    """The turns of :func:`goodviews.data.worlds.spiral`."""
    from goodviews.data.worlds.warps import turning

    planes = (0, 1), (1, 2)
    return tuple((turning(1 / dim, plane), turning(-1 / dim, plane)) for plane in planes)  # type: ignore[return-value]
