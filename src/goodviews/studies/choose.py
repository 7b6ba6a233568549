"""The main job: from images to the views that are good for them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from goodviews import data as data_room
from goodviews import encoders, report
from goodviews.evaluation.task import label_entropy
from goodviews.information import RULE
from goodviews.interfaces import Row, UserError, check_name
from goodviews.report.tables import Summary, format_table
from goodviews.studies.budgets import BUDGETS, Budget
from goodviews.studies.conclude import RAW, UNTRAINED, Conclusion, conclude
from goodviews.studies.folder import environment, plain, read_json, write_atomic, write_json
from goodviews.studies.grid import Job, run_grid
from goodviews.studies.measure import Bench
from goodviews.training import TrainSettings, resolve_accelerator, resolve_precision
from goodviews.views import FAMILIES, Recipe, recipe_warnings
from goodviews.views.preview import strip


@dataclass
class Study:
    """What :func:`choose` returns."""

    rows: list[Row]
    summary: list[Summary]
    """One entry a candidate, means and deviations over seeds; ``format_table`` prints it."""
    answer: str
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
    :data:`goodviews.information.RULE`. Rows are kept in ``out/rows.jsonl`` as they are made, and
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
    check_name("--budget", budget, BUDGETS)
    spend = _spend(BUDGETS[budget], seeds, steps, batch_size, max_images)
    encoder = encoder or spend.encoder
    names = _names(families)
    start = Recipe.load(base) if base else None
    loaded = data_room.load(
        data,
        labels=labels,
        data_root=data_root,
        download=download,
        image_size=image_size,
        strict=strict,
        max_images=spend.max_images,
    )
    spend = _fitting(spend, loaded)
    _check_runs(loaded, encoder, spend, lr, device, precision)
    labelled = loaded.train.labels is not None and loaded.test.labels is not None
    jobs, notes = plan(loaded, names, spend, start)
    bench = Bench(loaded, spend, encoder, temperature, lr, device, precision, labelled)
    settings = {
        "data": str(data),
        "labels": labels,
        "encoder": encoder,
        "temperature": temperature,
        "lr": lr,
        "image_size": list(loaded.train.shape),
        "n_train": len(loaded.train),
        "n_test": len(loaded.test),
        "precision": precision,
        **{key: value for key, value in asdict(spend).items() if key not in ("families", "seeds", "values", "encoder")},
    }
    settings = json.loads(json.dumps(settings))
    folder = _open(Path(out), settings)
    write_json(folder / "data_report.json", loaded.report)
    _say(echo, loaded, jobs, spend, [*loaded.report.get("warnings", []), *notes])
    _draw_examples(folder, jobs, loaded)
    rows = run_grid(jobs, bench.measure, folder / "rows.jsonl", settings, echo)
    h_y = label_entropy(loaded.test.labels) if labelled and loaded.test.labels is not None else None
    conclusion = conclude(rows, h_y)
    recipe = _recommended(conclusion, jobs, folder)
    arguments = {"data": data, "labels": labels, "families": ",".join(names or ()) or None,
                 "budget": budget, "seeds": seeds, "base": base, "encoder": encoder, "steps": steps,
                 "batch-size": batch_size, "max-images": max_images, "img-size": image_size,
                 "data-root": data_root, "out": str(out)}
    _write_study(folder, conclusion, loaded, settings, arguments, spend, budget, h_y, recipe)
    page = report.study_page(folder)
    echo("")
    echo(format_table(conclusion.summary))
    echo("")
    echo(conclusion.answer)
    for line in conclusion.verdicts:
        echo(f"- {line}")
    if recipe is not None:
        echo(f"recipe: {folder / 'recipe.yaml'}  (goodviews train simclr --data {shlex.quote(str(data))} "
             f"--views {folder / 'recipe.yaml'})")
    echo(f"page:   {page}")
    failed = [row.error for row in rows if row.kind == "candidate" and row.status == "failed"]
    if len(failed) == sum(row.kind == "candidate" for row in rows):
        raise UserError(f"choose: no view could be measured; the first failed with: {failed[0]}")
    return Study(rows, conclusion.summary, conclusion.answer, recipe, folder)


def _spend(
    budget: Budget, seeds: int | None, steps: int | None, batch: int | None, images: int | None
) -> Budget:
    for flag, value, least in (("seeds", seeds, 1), ("steps", steps, 1), ("batch-size", batch, 2), ("max-images", images, 8)):
        if value is not None and value < least:
            raise UserError(f"--{flag}: {value} is too few. Use at least {least}.")
    given = {"seeds": seeds, "steps": steps, "batch_size": batch, "max_images": images}
    return replace(budget, **{key: value for key, value in given.items() if value is not None})


def _fitting(spend: Budget, loaded: data_room.Loaded) -> Budget:
    """The budget with batch and K no larger than the data allow."""
    n_train, n_test = len(loaded.train), len(loaded.test)
    if n_train < 8 or n_test < 4:
        raise UserError(
            f"--data: {n_train} training and {n_test} held-out images are too few to choose views. "
            "Use at least 8 and 4 (better some hundreds)."
        )
    return replace(
        spend,
        batch_size=min(spend.batch_size, n_train),
        candidates=min(spend.candidates, n_test, n_train),
        probe_images=min(spend.probe_images, n_train),
    )


def _check_runs(
    loaded: data_room.Loaded, encoder: str, spend: Budget, lr: float, device: str, precision: str
) -> None:
    """Refuse what no run could work with, before the first one.

    Raises:
        UserError: for an encoder, a device, a precision or a number that cannot be.
    """
    channels, height, width = loaded.train.shape
    encoders.build(encoder, channels, (height, width))
    resolve_precision(precision, resolve_accelerator(device))
    TrainSettings(steps=spend.steps, batch_size=spend.batch_size, lr=lr).check()


def _names(families: str | Sequence[str] | None) -> list[str] | None:
    if families is None:
        return None
    names = families.split(",") if isinstance(families, str) else list(families)
    names = [name.strip() for name in names if name.strip()]
    for name in names:
        check_name("--families", name.partition("=")[0].replace("_", "-"), FAMILIES)
    if not names:
        raise UserError(f"--families: none given. Known: {', '.join(FAMILIES)}.")
    return names


def plan(
    loaded: data_room.Loaded, names: Sequence[str] | None, spend: Budget, base: Recipe | None
) -> tuple[list[Job], list[str]]:
    """The jobs of a study, seed by seed, and notes about what was left out.

    Raises:
        UserError: when no family suits the data.
    """
    shape, factors, notes = loaded.train.shape, list(loaded.train.factors), []
    chosen = list(names) if names else [*(["shared-factors"] if factors else []), *spend.families]
    candidates: dict[str, Job] = {}
    for item in chosen:
        name, _, given = item.replace("_", "-").partition("=")
        family = FAMILIES[name]
        reason = family.applies(shape, loaded.hints, factors)
        if reason:
            notes.append(f"left out: {reason}")
            continue
        values = _parsed(given) or family.values_for(shape, factors, spend.values)  # type: ignore[arg-type]
        for value in values:
            recipe = family.recipe(value, shape, base, loaded.hints)
            recipe.build(shape)
            job = Job(recipe.name, 0, "candidate", name, family.dial, value, plain(recipe.to_dict()))
            candidates[recipe.name] = job
            if base is not None:
                notes += [n for n in recipe_warnings(recipe, loaded.hints, shape) if n not in notes]
    if not candidates:
        raise UserError(f"--families: none suits these images ({'; '.join(notes)}).")
    none = plain(Recipe.load("none").to_dict())
    baselines = [Job(name, 0, "baseline", recipe=none) for name in (RAW, UNTRAINED)]
    jobs = [
        replace(job, seed=seed)
        for seed in range(spend.seeds)
        for job in (*baselines, *candidates.values())
    ]
    return jobs, notes


def _parsed(given: str) -> list[float | str]:
    """The values of "name=0.1:0.2"."""

    def number(text: str) -> float | str:
        try:
            return float(text)
        except ValueError:
            return text

    return [number(text) for text in given.split(":") if text]


def _open(out: Path, settings: dict[str, Any]) -> Path:
    """The study's folder; refuses one that holds another study or anything else."""
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


def _say(
    echo: Callable[[str], None],
    loaded: data_room.Loaded,
    jobs: Sequence[Job],
    spend: Budget,
    notes: Sequence[str],
) -> None:
    shape = "x".join(str(side) for side in loaded.train.shape)
    classes = f"{len(loaded.train.classes)} classes" if loaded.train.classes else "no labels"
    echo(f"data: {loaded.name}, {len(loaded.train)} + {len(loaded.test)} held-out images, {shape}, {classes}")
    echo(
        f"plan: {len(jobs)} runs ({spend.seeds} seeds), {spend.steps} steps of {spend.batch_size} "
        f"images each, K = {spend.candidates}"
    )
    for note in notes:
        echo(f"note: {note}")


def _draw_examples(folder: Path, jobs: Sequence[Job], loaded: data_room.Loaded) -> None:
    """A strip of example pairs a candidate."""
    index = torch.arange(min(8, len(loaded.test)))
    images = loaded.test.images(index)
    for job in jobs:
        path = report.strip_path(folder, job.candidate)
        if job.kind != "candidate" or job.seed or path.exists():
            continue
        recipe, others = Recipe.from_dict(job.recipe), None
        if recipe.partners:
            generator = torch.Generator().manual_seed(0)
            others = loaded.test.images(loaded.test.partners(index, recipe.partners, generator))  # type: ignore[attr-defined]
        picture = strip(recipe.build(loaded.train.shape), images, len(images), partners=others)
        write_atomic(path, lambda p, picture=picture: picture.save(p, format="PNG"))


def _recommended(conclusion: Conclusion, jobs: Sequence[Job], folder: Path) -> Recipe | None:
    job = next((j for j in jobs if j.candidate == conclusion.recommended), None)
    if job is None:
        return None
    recipe = Recipe.from_dict(job.recipe)
    recipe.save(folder / "recipe.yaml")
    return recipe


def _write_study(
    folder: Path,
    conclusion: Conclusion,
    loaded: data_room.Loaded,
    settings: dict[str, Any],
    arguments: dict[str, Any],
    spend: Budget,
    budget: str,
    h_y: float | None,
    recipe: Recipe | None,
) -> None:
    words = [f"--{k} {shlex.quote(str(v))}" for k, v in arguments.items() if v is not None]
    task = f"{len(loaded.train.classes)} classes" if h_y is not None else "no labels"
    write_json(
        folder / "study.json",
        {
            "question": f"Which views are good for {loaded.name} ({task})?",
            "answer": conclusion.answer,
            "verdicts": conclusion.verdicts,
            "rule": RULE,
            "command": "goodviews choose " + " ".join(words),
            "recipe_text": (folder / "recipe.yaml").read_text() if recipe else "",
            "seeds": spend.seeds,
            "budget": budget,
            "K": spend.candidates,
            "label_entropy": h_y,
            "labelled": h_y is not None,
            "data": loaded.report,
            "environment": environment(),
            "settings": settings,
            "summary": conclusion.summary,
        },
    )
