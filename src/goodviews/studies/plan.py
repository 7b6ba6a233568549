"""What a study will run: which families and values suit the data, and what each run may spend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from goodviews.data import Loaded
from goodviews.interfaces import UserError, check_name
from goodviews.studies.budgets import Budget
from goodviews.studies.conclude import RAW, UNTRAINED
from goodviews.studies.folder import plain
from goodviews.studies.grid import Job
from goodviews.studies.learners import Learner
from goodviews.views import FAMILIES, Recipe, recipe_warnings

RECIPE = "recipe"
"""What stands for a family where a recipe is a candidate as it is: "recipe=simclr:mine.yaml"."""

LEAST = {"seeds": 1, "steps": 1, "batch_size": 2, "max_images": 8}
"""The smallest value of what a user may set himself."""


def spend(budget: Budget, given: dict[str, int | None]) -> Budget:
    """The budget with the user's own numbers in their places.

    Raises:
        UserError: for a number too small to work.
    """
    ours: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    for name, value in ours.items():
        if value < LEAST[name]:
            flag = name.replace("_", "-")
            raise UserError(f"--{flag}: {value} is too few. Use at least {LEAST[name]}.")
    return replace(budget, **ours)


def fitting(budget: Budget, loaded: Loaded) -> Budget:
    """The budget with batch, K and probes no larger than the data allow.

    Raises:
        UserError: for fewer images than any study needs.
    """
    n_train, n_test = len(loaded.train), len(loaded.test)
    if n_train < 8 or n_test < 4:
        raise UserError(
            f"--data: {n_train} training and {n_test} held-out images are too few to choose views. "
            "Use at least 8 and 4 (better some hundreds)."
        )
    return replace(
        budget,
        batch_size=min(budget.batch_size, n_train),
        candidates=min(budget.candidates, n_test, n_train),
        probe_images=min(budget.probe_images, n_train),
    )


def family_names(families: str | Sequence[str] | None) -> list[str] | None:
    """The families asked for, checked; entries may carry values: "crop-scale=0.1:0.2".

    Raises:
        UserError: for an unknown family or an empty list.
    """
    if families is None:
        return None
    entries = families.split(",") if isinstance(families, str) else families
    names = [name.strip() for name in entries if name.strip()]
    for name in names:
        check_name("--families", name.partition("=")[0].replace("_", "-"), (*FAMILIES, RECIPE))
    if not names:
        raise UserError(f"--families: none given. Known: {', '.join(FAMILIES)}.")
    return names


def plan(
    loaded: Loaded,
    names: Sequence[str] | None,
    budget: Budget,
    base: Recipe | None,
    learner: Learner,
) -> tuple[list[Job], list[str]]:
    """The jobs of a study, seed by seed, and notes about what was left out.

    Views that the learner's encoder cannot read are left out too.

    Raises:
        UserError: when no family suits the data.
    """
    factors = list(loaded.train.factors)
    own = ["shared-factors"] if factors else []
    candidates: dict[str, Job] = {}
    notes: list[str] = []
    for entry in names or [*own, *budget.families]:
        found, reason = _candidates(entry, loaded, budget, base)
        found, reason = _readable(found, reason, loaded, learner)
        candidates |= {job.candidate: job for job in found}
        notes += [f"left out: {reason}"] if reason else []
    if not candidates:
        raise UserError(f"--families: none suits these images ({'; '.join(notes)}).")
    if base is not None:
        notes += recipe_warnings(base, loaded.hints, loaded.train.shape)
    none = plain(Recipe.load("none").to_dict())
    baselines = [Job(name, 0, "baseline", recipe=none) for name in (RAW, UNTRAINED)]
    jobs = [
        replace(job, seed=seed)
        for seed in range(budget.seeds)
        for job in (*baselines, *candidates.values())
    ]
    return jobs, notes


def _candidates(
    entry: str, loaded: Loaded, budget: Budget, base: Recipe | None
) -> tuple[list[Job], str | None]:
    """One job a value of a family's dial, or the reason why the family does not suit."""
    name, _, given = entry.partition("=")
    if name == RECIPE:
        return [_recipe(text, loaded) for text in given.split(":") if text], None
    family, shape = FAMILIES[name.replace("_", "-")], loaded.train.shape
    factors = list(loaded.train.factors)
    reason = family.applies(shape, loaded.hints, factors)
    if reason:
        return [], reason
    values = [_number(text) for text in given.split(":") if text]
    jobs = []
    for value in values or family.values_for(shape, factors, budget.values):
        recipe = family.recipe(value, shape, base, loaded.hints)
        recipe.build(shape)  # a value that cannot work is refused before the first run
        described = plain(recipe.to_dict())
        jobs.append(Job(recipe.name, 0, "candidate", family.name, family.dial, value, described))
    return jobs, None


def _recipe(text: str, loaded: Loaded) -> Job:
    """The candidate of a recipe as it is: a name, or a file such as `learn-views` writes."""
    recipe = Recipe.load(text)
    recipe.build(loaded.train.shape)
    folder = Path(text).parent.name if Path(text).is_file() else ""
    name = f"{recipe.name} ({folder})" if folder else recipe.name
    return Job(name, 0, "candidate", RECIPE, "recipe", text, plain(recipe.to_dict()))


def _readable(
    jobs: list[Job], reason: str | None, loaded: Loaded, learner: Learner
) -> tuple[list[Job], str | None]:
    """The jobs whose views the encoder reads, and why the others were left out."""
    shape = loaded.train.shape
    why = {job.candidate: learner.unreadable(Recipe.from_dict(job.recipe), shape) for job in jobs}
    kept = [job for job in jobs if not why[job.candidate]]
    if len(kept) == len(jobs):
        return jobs, reason
    out = [name for name, words in why.items() if words]
    who = ", ".join(out) if kept else jobs[0].family
    return kept, f"{who}: {why[out[0]]}"


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
