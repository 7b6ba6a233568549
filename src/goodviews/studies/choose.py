"""The main job: from images to the views that are good for them."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from goodviews import data as data_room
from goodviews import encoders, report
from goodviews.data import Loaded
from goodviews.data.images import partner_images
from goodviews.evaluation.task import label_entropy
from goodviews.files import write_atomic
from goodviews.interfaces import Row, UserError, check_name
from goodviews.regimes import RULE
from goodviews.report.tables import format_table
from goodviews.studies.budgets import BUDGETS
from goodviews.studies.conclude import Conclusion, conclude
from goodviews.studies.folder import (
    environment,
    plain,
    read_json,
    write_json,
)
from goodviews.studies.grid import Job, run_grid
from goodviews.studies.measure import Bench
from goodviews.studies.plan import family_names, fitting, plan, spend
from goodviews.studies.runs import data_lines
from goodviews.training import TrainSettings, resolve_accelerator, resolve_precision
from goodviews.views import Recipe
from goodviews.views.preview import strip

SHOWN = 8
"""Example pairs in the strip of a candidate."""


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
    encoder: str | None = None,
    temperature: float = 0.2,
    lr: float = 2e-3,
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
    alone with InfoNCE; I(v1;v2) is measured as held-out I_NCE (nats, K candidates, with its null),
    what the task keeps as probe accuracy on held-out images; the regime follows
    :data:`goodviews.regimes.RULE`. Rows are kept in ``out/rows.jsonl`` as they are made, and
    the same call resumes there.

    Args:
        data: folder, .npz file, or name of a set, see :func:`goodviews.data.load`.
        labels: a CSV of file,label; the name of a factor; "none" to ignore labels.
        families: names in :data:`goodviews.views.FAMILIES`, or "name=value:value"; a comma list
            or a sequence. None takes the budget's, and "shared-factors" where factors are known.
        budget: "quick", "standard" or "thorough", see :mod:`goodviews.studies.budgets`.
        seeds: runs a candidate; None takes the budget's.
        out: folder for rows.jsonl, recipe.yaml, study.json, views/ and report.html.
        base: recipe whose one op a family replaces; None is a mild usual one.
        encoder: name for :func:`goodviews.encoders.build`; None takes the budget's.
        temperature: of the cosine critic.
        lr: learning rate of AdamW.
        steps: optimiser steps a run; None takes the budget's.
        batch_size: images a step; None takes the budget's.
        max_images: training images at most; None takes the budget's.
        image_size: side in pixels; None keeps or picks one.
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
    names = family_names(families)
    start = Recipe.load(base) if base else None
    loaded = data_room.load(
        data,
        labels=labels,
        data_root=data_root,
        download=download,
        image_size=image_size,
        strict=strict,
        max_images=limits.max_images,
    )
    limits = fitting(limits, loaded)
    labelled = loaded.train.labels is not None and loaded.test.labels is not None
    bench = Bench(
        loaded, limits, encoder or limits.encoder, temperature, lr, device, precision, labelled
    )
    _check(bench)
    jobs, notes = plan(loaded, names, limits, start)
    folder = _open(Path(out), _settings(bench, data, labels))
    write_json(folder / "data_report.json", loaded.report)
    for line in [*data_lines(loaded, folder), *(f"note: {note}" for note in notes)]:
        echo(line)
    echo(
        f"plan: {len(jobs)} runs ({limits.seeds} seeds), {limits.steps} steps of "
        f"{limits.batch_size} images each, K = {limits.candidates}, encoder {bench.encoder}"
    )
    _draw_examples(folder, jobs, loaded)
    rows = run_grid(
        jobs, bench.measure, folder / "rows.jsonl", read_json(folder / "settings.json"), echo
    )
    study = _concluded(rows, jobs, bench, folder, _command(given), budget)
    _tell(study, data, echo)
    return study


def _check(bench: Bench) -> None:
    """Refuse what no run could work with, before the first one.

    Raises:
        UserError: for an encoder, a device, a precision or a number that cannot be.
    """
    channels, height, width = bench.loaded.train.shape
    encoders.build(bench.encoder, channels, (height, width))
    resolve_precision(bench.precision, resolve_accelerator(bench.device))
    limits = bench.budget
    TrainSettings(steps=limits.steps, batch_size=limits.batch_size, lr=bench.lr).check()


def _settings(bench: Bench, data: object, labels: object) -> dict[str, Any]:
    """What every row was made with; a study with others needs another folder."""
    free = ("families", "seeds", "values", "encoder")
    limits = {key: value for key, value in asdict(bench.budget).items() if key not in free}
    found: dict[str, Any] = plain(
        {
            "data": str(data),
            "labels": labels,
            "encoder": bench.encoder,
            "temperature": bench.temperature,
            "lr": bench.lr,
            "image_shape": bench.loaded.train.shape,
            "n_train": len(bench.loaded.train),
            "n_test": len(bench.loaded.test),
            "precision": bench.precision,
            **limits,
        }
    )
    return found


def _open(out: Path, settings: dict[str, Any]) -> Path:
    """The study's folder; refuses one that holds another study or anything else.

    Raises:
        UserError: with the settings that differ.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"--out: {out} is a file. Name a folder.")
    before = out / "settings.json"
    if before.exists():
        old = read_json(before)
        changed = [key for key in settings if old.get(key) != settings[key]]
        if changed:
            differences = ", ".join(f"{k}: {old.get(k)!r} -> {settings[k]!r}" for k in changed[:4])
            raise UserError(
                f"--out: {out} holds a study with other settings ({differences}). "
                "Use another --out, or the same settings to resume."
            )
    elif out.exists() and any(out.iterdir()):
        raise UserError(f"--out: {out} is not empty and holds no study. Use another --out.")
    write_json(before, settings)
    return out


def _draw_examples(folder: Path, jobs: Sequence[Job], loaded: Loaded) -> None:
    """A strip of example pairs a candidate."""
    index = torch.arange(min(SHOWN, len(loaded.test)))
    images = loaded.test.images(index)
    for job in jobs:
        path = report.strip_path(folder, job.candidate)
        if job.kind == "baseline" or job.seed or path.exists():
            continue
        recipe, generator = Recipe.from_dict(job.recipe), torch.Generator().manual_seed(0)
        others = partner_images(loaded.test, index, recipe.partners, generator)
        picture = strip(recipe.build(loaded.train.shape), images, len(images), partners=others)
        write_atomic(path, lambda p, picture=picture: picture.save(p, format="PNG"))  # type: ignore[misc]


def _command(given: dict[str, Any]) -> str:
    """The command line that runs this again: what differs from the defaults."""
    words = ["goodviews", "choose"]
    for name, parameter in inspect.signature(choose).parameters.items():
        value = given[name]
        if name == "echo" or (value == parameter.default and name != "data"):
            continue
        value = ",".join(value) if isinstance(value, list | tuple) else str(value)
        words += [f"--{name.replace('_', '-')}", shlex.quote(value)]
    return " ".join(words)


def _concluded(
    rows: list[Row], jobs: Sequence[Job], bench: Bench, folder: Path, command: str, budget: str
) -> Study:
    """Conclude, and write recipe.yaml, study.json and the page."""
    loaded, labels = bench.loaded, bench.loaded.test.labels
    h_y = label_entropy(labels) if bench.labelled and labels is not None else None
    conclusion = conclude(rows, h_y)
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
        "recipe_text": (folder / "recipe.yaml").read_text("utf-8") if recipe else "",
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


def _tell(study: Study, data: object, echo: Callable[[str], None]) -> None:
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
    train = f"goodviews train simclr --data {shlex.quote(str(data))} --views {path}"
    echo(f"recipe: {path}  ({train})")
    echo(f"page:   {study.out / 'report.html'}")
