"""The main job: from images to the views that are good for them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from goodviews import data as data_room
from goodviews import report
from goodviews.evaluation.task import label_entropy
from goodviews.interfaces import Row, UserError, check_name
from goodviews.regimes import RULE
from goodviews.report.tables import format_table
from goodviews.studies.budgets import BUDGETS
from goodviews.studies.conclude import Conclusion, conclude
from goodviews.studies.folder import (
    command_line,
    data_lines,
    environment,
    open_study,
    read_json,
    write_json,
)
from goodviews.studies.grid import Job, run_grid
from goodviews.studies.learners import OBJECTIVES, Learner
from goodviews.studies.measure import Bench, made_with
from goodviews.studies.plan import family_names, fitting, plan, spend
from goodviews.studies.search import TRAININGS, Search, concluded
from goodviews.studies.search import search as sought
from goodviews.studies.strips import draw_strips
from goodviews.training import resolve_accelerator, resolve_precision
from goodviews.views import Recipe


@dataclass
class Study:
    """What :func:`choose` returns."""

    rows: list[Row]
    conclusion: Conclusion
    """Summary (one entry a candidate, over seeds), answer, verdicts, the recommended name."""
    recipe: Recipe | None
    """The recommended views."""
    out: Path


def choose(
    data: str = "factors",
    *,
    labels: str | None = None,
    families: str | Sequence[str] | None = None,
    budget: str = "standard",
    seeds: int | None = None,
    out: str | Path = "goodviews-choose",
    base: str | None = None,
    search: str | None = None,
    target_nats: float | None = None,
    objective: str = "infonce",
    encoder: str | None = None,
    temperature: float = 0.2,
    lr: float | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    max_images: int | None = None,
    image_size: int | None = None,
    data_root: str | None = None,
    download: bool = False,
    strict: bool = False,
    device: str = "auto",
    precision: str = "auto",
    echo: Callable[[str], None] = print,
) -> Study:
    """Measure candidate views, and recommend the ones that are good for these images and labels.

    For each value of each family's dial, and each seed, a small encoder is trained on that view
    alone with the objective; I(v1;v2) is measured as held-out I_NCE (nats, K candidates, with its
    null), what the task keeps as probe accuracy on held-out images; the regime follows
    :data:`goodviews.regimes.RULE`. Rows are kept in ``out/rows.jsonl`` as they are made, and
    the same call resumes there.

    Args:
        data: folder, .npz file, or name of a set, see :func:`goodviews.data.load`.
        labels: a CSV of file,label; the name of a factor; "none" to ignore labels.
        families: names in :data:`goodviews.views.FAMILIES`, or "name=value:value"; a comma list
            or a sequence; "recipe=NAME:FILE" takes recipes as they are. None takes the budget's,
            and "shared-factors" where factors are known.
        budget: "quick", "standard" or "thorough", see :mod:`goodviews.studies.budgets`.
        seeds: runs a candidate; None takes the budget's.
        out: folder for rows.jsonl, recipe.yaml, study.json, views/ and report.html.
        base: recipe whose one op a family replaces; None is a mild usual one.
        search: family whose dial is searched instead of swept, see
            :class:`goodviews.studies.search.Search`; it takes the place of families.
        target_nats: I(v1;v2) that the search is to reach; None: the best probe (needs labels).
        objective: "infonce", or "amdim": multiscale NCE (Bachman et al. 2019) with the encoder
            amdim-tiny on images of 32 pixels; views it cannot read (patches, halves) are left out.
        encoder: name for :func:`goodviews.encoders.build`; None takes the objective's or budget's.
        temperature: of infonce's cosine critic.
        lr: learning rate; None: 2e-3 of AdamW for infonce, 1e-3 of Adam for amdim.
        steps: optimiser steps a run; None takes the budget's.
        batch_size: images a step; None takes the budget's.
        max_images: training images at most; None takes the budget's.
        image_size: side in pixels; None keeps or picks one (amdim: 32).
        data_root: folder of torchvision's sets.
        download: whether a set may be downloaded.
        strict: stop at the first unreadable file.
        device: "auto", "cpu", "cuda" or "mps".
        precision: "auto", "32" or "bf16".
        echo: gets the lines of progress.

    Returns:
        The study: rows, summary, answer and the recommended recipe.

    Raises:
        UserError: for data, names or settings that cannot work, before the first run.
    """
    given = dict(locals())
    check_name("--budget", budget, BUDGETS)
    wanted = {"seeds": seeds, "steps": steps, "batch_size": batch_size, "max_images": max_images}
    limits = spend(BUDGETS[budget], wanted)
    learner = Learner.of(objective, encoder, lr, temperature, limits.encoder)
    names = family_names(families)
    if (names and search) or (target_nats is not None and not search):
        raise UserError("--search: takes the place of --families, and --target-nats needs it.")
    start = Recipe.load(base) if base else None
    loaded = data_room.load(
        data,
        labels=labels,
        data_root=data_root,
        download=download,
        image_size=image_size or OBJECTIVES[objective]["image_size"],
        strict=strict,
        max_images=limits.max_images,
    )
    limits = fitting(limits, loaded)
    labelled = loaded.train.labels is not None and loaded.test.labels is not None
    shape = loaded.train.shape
    learner.check(shape)
    resolve_precision(precision, resolve_accelerator(device))
    settings = learner.training(limits.steps, limits.batch_size, device, precision)
    bench = Bench(loaded, limits, lambda job: learner.method(job, shape), settings, labelled)
    how = Search.of(search, target_nats, loaded, start, labelled) if search else None
    jobs, notes = ([], []) if how else plan(loaded, names, limits, start, learner)
    folder = open_study(Path(out), made_with(bench, learner.settings(), data, labels))
    write_json(folder / "data_report.json", loaded.report)
    for line in [*data_lines(loaded, folder), *(f"note: {note}" for note in notes)]:
        echo(line)
    runs = f"{len(jobs)} runs" if how is None else f"{search}, at most {TRAININGS} values"
    echo(
        f"plan: {runs} ({limits.seeds} seeds), {limits.steps} steps of "
        f"{limits.batch_size} images each, K = {limits.candidates}, {objective} with encoder "
        f"{learner.encoder}"
    )
    path, made = folder / "rows.jsonl", read_json(folder / "settings.json")

    def run(wanted: Sequence[Job]) -> list[Row]:
        draw_strips(folder, wanted, loaded)
        return run_grid(wanted, bench.measure, path, made, echo)

    finish = None
    if how is None:
        rows = run(jobs)
    else:
        rows, jobs, tried = sought(how, limits.seeds, path, run)
        finish = partial(concluded, how=how, tried=tried)
    command = command_line("choose", choose, given)
    study = _concluded(rows, jobs, bench, folder, command, budget, finish)
    method = {"infonce": "simclr"}.get(objective, objective)
    _tell(study, f"goodviews train {method} --data {shlex.quote(str(data))}", echo)
    return study


def _concluded(
    rows: list[Row],
    jobs: Sequence[Job],
    bench: Bench,
    folder: Path,
    command: str,
    budget: str,
    finish: Callable[[Conclusion], Conclusion] | None = None,
) -> Study:
    """Conclude, ``finish`` last; write recipe.yaml, study.json and the page."""
    loaded, labels = bench.loaded, bench.loaded.test.labels
    h_y = label_entropy(labels) if bench.labelled and labels is not None else None
    conclusion = conclude(rows, h_y)
    if finish is not None:
        conclusion = finish(conclusion)
    recipe = next(
        (Recipe.from_dict(j.recipe) for j in jobs if j.candidate == conclusion.recommended), None
    )
    if recipe is not None:
        recipe.save(folder / "recipe.yaml")
    task = f"{len(loaded.train.classes)} classes" if bench.labelled else "no labels"
    record = {
        "question": f"Which views are good for {loaded.name} ({task})?",
        "answer": conclusion.answer,
        "verdicts": conclusion.verdicts,
        "rule": RULE,
        "command": command,
        "recipe_text": _shown(folder / "recipe.yaml") if recipe else "",
        "seeds": bench.budget.seeds,
        "budget": budget,
        "K": bench.budget.candidates,
        "label_entropy": h_y,
        "labelled": bench.labelled,
        "data": loaded.report,
        "environment": environment(),
        "settings": read_json(folder / "settings.json"),
        "summary": conclusion.summary,
    }
    write_json(folder / "study.json", record)
    report.study_page(folder)
    return Study(rows, conclusion, recipe, folder)


def _shown(recipe: Path) -> str:
    """The file's text, the weights of a learned view left out."""
    lines = recipe.read_text("utf-8").splitlines()
    return "\n".join(x if len(x) < 400 else f"{x[:60]}... # whole in {recipe.name}" for x in lines)


def _tell(study: Study, train: str, echo: Callable[[str], None]) -> None:
    """The table, the answer, and where things are.

    Raises:
        UserError: when no view could be measured.
    """
    found = study.conclusion
    for line in ("", format_table(found.summary), "", found.answer):
        echo(line)
    for line in found.verdicts:
        echo(f"- {line}")
    failed = [r.error for r in study.rows if r.kind == "candidate" and r.status == "failed"]
    if study.recipe is None:
        raise UserError(f"choose: no view could be measured; the first failed with: {failed[0]}")
    path = study.out / "recipe.yaml"
    echo(f"recipe: {path}  ({train} --views {path})")
    echo(f"page:   {study.out / 'report.html'}")
