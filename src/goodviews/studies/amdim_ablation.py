"""The ablation of AMDIM: what each of its parts is worth (Bachman et al. 2019, ablation table)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from goodviews import data as data_room
from goodviews import methods, report
from goodviews.data import Loaded
from goodviews.interfaces import Row, Shape, UserError
from goodviews.studies.ablation import REVERSED, RULE, SEEN, conclude
from goodviews.studies.amdim_variants import (
    BASE,
    FULL,
    VARIANTS,
    claims,
    recipe_of,
    title_of,
    variant_names,
)
from goodviews.studies.budgets import Budget
from goodviews.studies.conclude import RAW, UNTRAINED
from goodviews.studies.folder import (
    command_line,
    data_lines,
    disk_guard,
    environment,
    open_study,
    plain,
    read_json,
    write_json,
)
from goodviews.studies.grid import Job, run_grid
from goodviews.studies.learners import Learner
from goodviews.studies.measure import Bench, made_with
from goodviews.studies.plan import fitting, spend
from goodviews.studies.strips import draw_strips
from goodviews.training import resolve_accelerator, resolve_precision
from goodviews.views import Recipe, recipe_warnings

NAME = "amdim-ablation"

BUDGET = Budget(
    seeds=3,
    steps=300,
    batch_size=64,
    max_images=None,
    candidates=256,
    probe_images=5_000,
    few=0,
    encoder="amdim-tiny",
    values="quick",
    families=(),
)
"""What the study may spend where the user says nothing."""


@dataclass
class Ablation:
    """What :func:`amdim_ablation` returns."""

    rows: list[Row]
    record: dict[str, Any]
    """What study.json holds: answer, summary, differences, claims."""
    out: Path


def amdim_ablation(
    data: str,
    *,
    variants: str | Sequence[str] | None = None,
    encoder: str | None = None,
    steps: int = 300,
    batch_size: int = 64,
    seeds: int = 3,
    lr: float | None = None,
    labels: str | None = None,
    image_size: int | None = None,
    max_images: int | None = None,
    data_root: str | None = None,
    download: bool = False,
    strict: bool = False,
    device: str = "auto",
    precision: str = "auto",
    out: str | Path = "goodviews-study",
    echo: Callable[[str], None] = print,
) -> Ablation:
    """AMDIM without each of its parts, and with more: what each part is worth.

    All variants have the encoder, images, steps and seeds in common. Measured on held-out images:
    linear, MLP and kNN probes on f1, I_NCE(v1;v2) under the variant's own scores (nats). Rows are
    kept in ``out/rows.jsonl`` as they are made; the same call resumes there.

    Args:
        data: labelled images, see :func:`goodviews.data.load`; natural ones for this question.
        variants: keys of :data:`goodviews.studies.amdim_variants.VARIANTS`, a comma list or a
            sequence; None: all. "full" is always run.
        encoder: a multiscale one; None: amdim-tiny.
        steps: optimiser steps a run.
        batch_size: images a step.
        seeds: runs a variant.
        lr: of Adam; None: 1e-3.
        labels: see :func:`goodviews.data.load`.
        image_size: 32, 64 or 128 pixels; decides the recipe of views. None: 32.
        max_images: training images at most, and a quarter as many held-out ones; None: all.
        data_root: folder of torchvision's sets.
        download: whether a set may be downloaded.
        strict: stop at the first unreadable file.
        device: "auto", "cpu", "cuda" or "mps".
        precision: "auto", "32" or "bf16".
        out: folder for rows.jsonl, study.json, table.md, views/ and report.html.
        echo: gets the lines of progress.

    Returns:
        The rows, and what was concluded.

    Raises:
        UserError: for data, names or settings that cannot work, before the first run.

    References:
        Bachman et al. 2019, ablation table.
    """
    given = dict(locals())
    chosen = variant_names(variants)
    wanted = {"seeds": seeds, "steps": steps, "batch_size": batch_size, "max_images": max_images}
    limits = spend(BUDGET, wanted)
    side = 32 if image_size is None else image_size
    if side not in BASE:
        raise UserError(f"--image-size: {side}. The paper's views are for 32, 64 and 128 pixels.")
    learner = Learner.of("amdim", encoder, lr)
    loaded = data_room.load(
        data,
        labels=labels,
        data_root=data_root,
        download=download,
        image_size=side,
        strict=strict,
        max_images=limits.max_images,
    )
    if loaded.train.labels is None or loaded.test.labels is None:
        raise UserError("--data: no labels, so nothing to measure parts by. Give --labels.")
    limits, shape, base = fitting(limits, loaded), loaded.train.shape, Recipe.load(BASE[side])
    learner.check(shape)
    resolve_precision(precision, resolve_accelerator(device))
    training = learner.training(limits.steps, limits.batch_size, device, precision)
    make = partial(_method, encoder=learner.encoder, shape=shape)
    bench = Bench(loaded, limits, make, training, labelled=True, mlp=True, pairs=1024)
    jobs = plan(chosen, base, limits.seeds)
    settings = {"study": NAME, **made_with(bench, learner.settings(), data, labels)}
    with disk_guard(out):
        folder = open_study(Path(out), settings)
        for line in [*data_lines(loaded, folder), *_notes(jobs, loaded)]:
            echo(line)
        echo(
            f"plan: {len(jobs)} runs ({limits.seeds} seeds), {limits.steps} steps of "
            f"{limits.batch_size} images each, encoder {learner.encoder}"
        )
        draw_strips(folder, jobs, loaded)
        rows = run_grid(jobs, bench.measure, folder / "rows.jsonl", settings, echo)
        command = command_line(f"study {NAME}", amdim_ablation, given)
        return _concluded(rows, bench, folder, command, chosen, echo)


def plan(chosen: Sequence[str], base: Recipe, seeds: int) -> list[Job]:
    """The jobs, seed by seed; raw pixels once, for they have no seed."""
    own = plain(base.to_dict())
    jobs = [Job(RAW, 0, "baseline", recipe=own)]
    for seed in range(seeds):
        jobs.append(Job(UNTRAINED, seed, "baseline", recipe=own))
        for key in chosen:
            recipe = plain(recipe_of(key, base).to_dict())
            jobs.append(Job(title_of(key, base), seed, value=key, recipe=recipe))
    return jobs


def _method(job: Job, encoder: str, shape: Shape) -> methods.ViewMethod:
    """The untrained method of a job; the untrained network is that of the full method."""
    views, key = Recipe.from_dict(job.recipe).build(shape), str(job.value or "full")
    if key == "dim":
        return methods.dim(views, encoder, shape, seed=job.seed)
    return methods.amdim(views, encoder, shape, seed=job.seed, **VARIANTS[key].options)


def _notes(jobs: Sequence[Job], loaded: Loaded) -> list[str]:
    """What in the variants' views conflicts with the data, each line once."""
    recipes = [Recipe.from_dict(job.recipe) for job in jobs]
    shape = loaded.train.shape
    lines = [line for recipe in recipes for line in recipe_warnings(recipe, loaded.hints, shape)]
    return [f"warning: {line}" for line in dict.fromkeys(lines)]


def _concluded(
    rows: list[Row],
    bench: Bench,
    folder: Path,
    command: str,
    chosen: Sequence[str],
    echo: Callable[[str], None],
) -> Ablation:
    """Conclude, write study.json, table.md and the page, say the table and where things are.

    Raises:
        UserError: when the full method could not be measured.
    """
    settings = read_json(folder / "settings.json")
    base = Recipe.load(BASE[bench.loaded.train.shape[1]])
    titles = {title_of(key, base): VARIANTS[key] for key in chosen}
    published = {title: variant.paper for title, variant in titles.items()}
    found = conclude(rows, FULL, claims(title_of("no-crop", base)), published)
    record = {
        "study": NAME,
        "question": f"What are AMDIM's parts worth? ({bench.loaded.name})",
        "answer": _answer(rows, found["claims"], bench),
        "reference": FULL,
        **found,
        "variants": [
            {"title": title, "words": variant.words, "paper": dict(variant.paper)}
            for title, variant in titles.items()
        ],
        "summary": report.summarise(rows),
        "rule": RULE,
        "command": command,
        "seeds": bench.budget.seeds,
        "K": bench.budget.candidates,
        "data": bench.loaded.report,
        "environment": environment(),
        "settings": settings,
    }
    write_json(folder / "study.json", record)
    page = report.ablation_page(folder)
    for line in ("", report.ablation_table(record), "", record["answer"]):
        echo(line)
    for claim in found["claims"]:
        echo(f"- {report.claim_line(claim)}")
    failed = [row.error for row in rows if row.candidate == FULL and row.status == "failed"]
    if len(failed) == bench.budget.seeds:
        raise UserError(f"study: the full method could not be measured: {failed[0]}")
    echo(f"table: {folder / 'table.md'}")
    echo(f"page:  {page}")
    return Ablation(rows, record, folder)


def _answer(rows: Sequence[Row], judged: Sequence[Mapping[str, Any]], bench: Bench) -> str:
    """What was reached, and how many of the orderings asked about are seen."""
    means = {entry["candidate"]: entry for entry in report.summarise(rows)}
    full, limits = means[FULL], bench.budget
    if full["linear"] is None:
        return "The full method could not be measured; see the errors."
    reached = [
        f"{name} {100 * entry['linear']:.1f} %"
        for name, entry in means.items()
        if entry["kind"] == "baseline" and entry["linear"] is not None
    ]
    count = {
        verdict: sum(claim["verdict"] == verdict for claim in judged)
        for verdict in (SEEN, REVERSED)
    }
    n = bench.loaded.test.labels
    error = math.sqrt(full["linear"] * (1 - full["linear"]) / max(1, 0 if n is None else len(n)))
    return (
        f"Full AMDIM after {limits.steps} steps of {limits.batch_size} images: linear probe "
        f"{100 * full['linear']:.1f} %, MLP {100 * full['mlp']:.1f} % ({full['n_seeds']} seeds; "
        f"{', '.join(reached)}; other held-out images would move each by about "
        f"{100 * error:.1f} points). Of {len(judged)} orderings {count[SEEN]} are "
        f"seen, {count[REVERSED]} reversed, "
        f"{len(judged) - sum(count.values())} undecided at this scale."
    )
