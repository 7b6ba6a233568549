"""Search a dial: few trainings to the views that share so many nats, or that a probe likes best."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from goodviews.data import Loaded
from goodviews.interfaces import Row, UserError, check_name
from goodviews.regimes import pooled_spread
from goodviews.report.study import read_rows
from goodviews.studies.conclude import RAW, UNTRAINED, Conclusion
from goodviews.studies.folder import plain
from goodviews.studies.grid import Job
from goodviews.views import FAMILIES, Family, Recipe

TRAININGS = 7
"""Values of the dial that are tried at most, both ends included."""


@dataclass(frozen=True)
class Search:
    """A dial whose direction is known, and what is looked for along it.

    A place on the dial is a number from 0 (the first of the family's values, which shares the most)
    to 1 (the last); places between two values are interpolated, so steps suit the dial.
    """

    family: Family
    values: tuple[float, ...]
    target: float | None
    """I(v1;v2) in nats; None: the highest accuracy of the linear probe."""
    make: Callable[[float], Job]
    """The job of a value."""

    @classmethod
    def of(
        cls, name: str, target: float | None, loaded: Loaded, base: Recipe | None, labelled: bool
    ) -> Search:
        """The search along a family's dial.

        Raises:
            UserError: a family without numbers or direction, one that does not suit the images, a
                target that is not positive, neither target nor labels.
        """
        check_name("--search", name, FAMILIES)
        family, shape = FAMILIES[name], loaded.train.shape
        if family.direction not in ("up", "down"):
            known = [n for n, f in FAMILIES.items() if f.direction in ("up", "down")]
            raise UserError(
                f"--search: {name} has no dial with a known direction. Use {', '.join(known)}."
            )
        if reason := family.applies(shape, loaded.hints, list(loaded.train.factors)):
            raise UserError(f"--search: {reason}. Use another family.")
        if target is None and not labelled:
            raise UserError("--search: give --target-nats, or labels whose probe is to be best.")
        if target is not None and not target > 0:
            raise UserError(f"--target-nats: {target:g} is not positive. Use for example 1.5.")

        def make(value: float) -> Job:
            recipe = family.recipe(value, shape, base, loaded.hints)
            recipe.build(shape)
            described: dict[str, Any] = plain(recipe.to_dict())
            return Job(recipe.name, 0, "candidate", name, family.dial, value, described)

        values = tuple(float(v) for v in family.values_for(shape, (), "standard"))
        return cls(family, values, target, make)

    def value(self, place: float) -> float:
        """The dial's value at a place in [0, 1], to three digits.

        Example:
            >>> crop = Search(FAMILIES["crop-scale"], (1.0, 0.4, 0.2), 1.0, lambda v: Job("", 0))
            >>> [crop.value(place) for place in (0, 0.25, 0.5, 1)]
            [1.0, 0.7, 0.4, 0.2]
        """
        last = len(self.values) - 1
        low = min(int(place * last), last - 1)
        part = place * last - low
        found = self.values[low] * (1 - part) + self.values[low + 1] * part
        return float(f"{found:.3g}")

    def next_place(self, tried: dict[float, list[Row]]) -> float | None:
        """Where to go after these places -> rows; None when done: a function of its input only."""
        for end in (0.0, 1.0):
            if end not in tried:
                return end
        if len(tried) >= TRAININGS or not all(map(_measured, tried.values())):
            return None
        place = self._peak(tried) if self.target is None else self._crossing(tried)
        known = {self.value(p) for p in tried}
        return None if place is None or self.value(place) in known else place

    def _crossing(self, tried: dict[float, list[Row]]) -> float | None:
        """Within the bracket that holds the target, unless a place meets it already.

        Where the line between the bracket's ends crosses the target, a tenth away from them at
        least: smooth dials take fewer trainings than by halves, and bent ones end too.
        """
        assert self.target is not None
        if self.met(tried) is not None or self.outside(tried):
            return None
        nats = {place: _mean(rows, "nats") for place, rows in tried.items()}
        above = max((p for p in nats if nats[p] > self.target), default=0.0)
        below = min((p for p in nats if p > above), default=1.0)
        fall = nats[above] - nats[below]
        part = (nats[above] - self.target) / fall if fall > 0 else 0.5
        return above + min(max(part, 0.1), 0.9) * (below - above)

    def _peak(self, tried: dict[float, list[Row]]) -> float | None:
        """The middle of the wider gap beside the best place."""
        accuracy = {place: _mean(rows, "linear") for place, rows in tried.items()}
        best, order = max(accuracy, key=lambda p: accuracy[p]), sorted(tried)
        at = order.index(best)
        gaps = [(order[i], order[i + 1]) for i in (at - 1, at) if 0 <= i < len(order) - 1]
        low, high = max(gaps, key=lambda gap: gap[1] - gap[0])
        return (low + high) / 2

    def tolerance(self, tried: dict[float, list[Row]]) -> float:
        """Nats within which a mean over seeds cannot be told from the target: two errors of it."""
        groups = [[r.nats for r in rows if r.nats is not None] for rows in tried.values()]
        spread = pooled_spread([group for group in groups if group])
        errors = [r.nats_stderr for rows in tried.values() for r in rows if r.nats_stderr]
        seeds = max(map(len, groups), default=1)
        own = spread.s if math.isfinite(spread.s) else 0.0
        return 2 * max(own / math.sqrt(seeds), fmean(errors) if errors else 0.0)

    def met(self, tried: dict[float, list[Row]]) -> float | None:
        """The place nearest to the target, where it is within the tolerance."""
        place = self.nearest(tried)
        off = abs(_mean(tried[place], "nats") - (self.target or 0.0))
        return place if off <= self.tolerance(tried) else None

    def nearest(self, tried: dict[float, list[Row]]) -> float:
        """The place whose nats are nearest to the target, or whose accuracy is the highest."""
        if self.target is None:
            return max(tried, key=lambda p: _mean(tried[p], "linear"))
        target = self.target
        return min(tried, key=lambda p: abs(_mean(tried[p], "nats") - target))

    def outside(self, tried: dict[float, list[Row]]) -> bool:
        """Whether the target lies beyond what the ends of the dial share."""
        if self.target is None:
            return False
        ends = [_mean(tried[end], "nats") for end in (0.0, 1.0)]
        return not min(ends) <= self.target <= max(ends)

    def answer(self, tried: dict[float, list[Row]]) -> str:
        """What was found, in one or two sentences."""
        place = self.nearest(tried)
        rows, count = tried[place], len(tried)
        value, nats = self.value(place), _mean(rows, "nats")
        head = (
            f"{self.family.name} at {self.family.dial} {value:g}: its views share {nats:.2f} nats"
        )
        if self.target is None:
            accuracy = 100 * _mean(rows, "linear")
            return f"{head}, and its probe is the best of {count} values ({accuracy:.1f} %)."
        off = (
            f"{head}; the target is {self.target:g} \N{PLUS-MINUS SIGN} {self.tolerance(tried):.2f}"
        )
        if self.met(tried) is not None:
            return f"{off}, met after {count} values."
        if self.outside(tried):
            ends = sorted(_mean(tried[end], "nats") for end in (0.0, 1.0))
            return (
                f"{off}, which lies outside what this dial reaches ({ends[0]:.2f} to "
                f"{ends[1]:.2f} nats). Search another family, or change --base."
            )
        return (
            f"{off}, not met after {count} values: more --seeds or --steps make the dial smoother."
        )


def _measured(rows: Sequence[Row]) -> bool:
    return any(row.status == "done" and row.nats is not None for row in rows)


def _mean(rows: Sequence[Row], measure: str) -> float:
    """Over the seeds that ended well; minus infinity where none did."""
    found = [getattr(row, measure) for row in rows if row.status == "done"]
    known = [value for value in found if value is not None]
    return fmean(known) if known else -math.inf


def search(
    how: Search,
    seeds: int,
    path: Path,
    run: Callable[[Sequence[Job]], list[Row]],
) -> tuple[list[Row], list[Job], dict[float, list[Row]]]:
    """Try values of the dial, one after another, until the search is over.

    The next value depends on the rows so far only, so the same call goes on where it was.

    Args:
        how: the search.
        seeds: runs a value.
        path: of rows.jsonl; what it holds already is kept.
        run: makes the rows of jobs that are not made yet.

    Returns:
        All rows, all jobs, and place -> rows.
    """
    none = plain(Recipe.load("none").to_dict())
    bases = [Job(name, 0, "baseline", recipe=none) for name in (RAW, UNTRAINED)]
    jobs = {
        (job.candidate, seed): replace(job, seed=seed) for seed in range(seeds) for job in bases
    }
    for row in read_rows(path) if path.exists() else []:
        job = Job(row.candidate, row.seed, row.kind, row.family, row.dial, row.value, row.recipe)
        jobs[job.candidate, job.seed] = job
    tried: dict[float, list[Row]] = {}
    rows: list[Row] = []
    while (place := how.next_place(tried)) is not None:
        job = how.make(how.value(place))
        jobs |= {(job.candidate, seed): replace(job, seed=seed) for seed in range(seeds)}
        rows = run(list(jobs.values()))
        mine = [row for row in rows if row.candidate == job.candidate and row.seed < seeds]
        tried[place] = mine
    return rows, list(jobs.values()), tried


def concluded(conclusion: Conclusion, how: Search, tried: dict[float, list[Row]]) -> Conclusion:
    """A study's conclusion with what the search found: its views are the recommended ones.

    Without a target the recommendation stays the study's own, and the search is a line of it.
    """
    if not tried or not all(map(_measured, tried.values())):
        return conclusion
    if how.target is None:
        return replace(conclusion, verdicts=[how.answer(tried), *conclusion.verdicts])
    name = tried[how.nearest(tried)][0].candidate
    for entry in conclusion.summary:
        entry["recommended"] = entry["candidate"] == name
    verdicts = [conclusion.answer, *conclusion.verdicts]
    return replace(conclusion, answer=how.answer(tried), verdicts=verdicts, recommended=name)
