"""Learn views: generators from several seeds, the one that is kept, and its recipe."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from goodviews import data as data_room
from goodviews import report
from goodviews.data import Loaded
from goodviews.estimators.heldout import heldout_information
from goodviews.evaluation.features import draw
from goodviews.evaluation.geometry import alignment
from goodviews.evaluation.online import projections
from goodviews.files import write_atomic
from goodviews.interfaces import Row, UserError
from goodviews.methods.view_learning import ViewLearning
from goodviews.studies.channel_sheets import channel_sheet, untrained
from goodviews.studies.claims import RULE
from goodviews.studies.findings import Findings, closed
from goodviews.studies.folder import (
    command_line,
    data_lines,
    disk_guard,
    environment,
    open_study,
    plain,
    quoted,
    write_yaml,
)
from goodviews.studies.grid import Job, run_grid
from goodviews.studies.view_generators import Learning, learned, mild
from goodviews.training import resolve_accelerator, resolve_precision
from goodviews.views import BuiltViews, Recipe
from goodviews.views.generator import ViewGenerator
from goodviews.views.learned import Live
from goodviews.views.preview import strip

RAW_VIEWS = "raw views"
"""The arm whose generator stays as it starts: the plain split of its space."""
ROWS_SHOWN = 6
"""Images on the sheet."""


@dataclass(frozen=True)
class Workshop:
    """Where generators of one kind are learned and measured."""

    loaded: Loaded
    learning: Learning
    folder: Path
    device: str = "auto"
    precision: str = "auto"
    echo: Callable[[str], None] | None = None

    def path(self, seed: int) -> Path:
        """Of the generator of a seed."""
        return self.folder / "generators" / f"seed-{seed}.safetensors"

    def measure(self, job: Job) -> Row:
        """The row of one seed, or of the raw views; its generator is on disk before the row."""
        train, moves = self.loaded.train, job.candidate != RAW_VIEWS
        method = self.learning.method(train, job.seed, self.loaded.hints, moves)
        settings = self.learning.training(job.seed, self.device, self.precision)
        generator, history = learned(method, train, settings, self.echo)
        if moves:
            generator.save(self.path(job.seed))
        row = job.row()
        row.steps = self.learning.steps
        row.curve = [_look(entry) for entry in history]
        if "cross_entropy" in history[-1]:
            row.measures["cross_entropy"] = float(history[-1]["cross_entropy"])
        self._information(method, row)
        return row

    def _information(self, method: ViewLearning, row: Row) -> None:
        """Held-out and training I_NCE under the encoders of the game."""
        method.to(resolve_accelerator(self.device))
        test, k = self.loaded.test, self.learning.candidates
        seen = draw(self.loaded.train, len(test), row.seed)
        options: dict[str, Any] = {"candidates": k, "pairs": 4096, "seed": row.seed}
        held_out = heldout_information(method, test, **options)
        row.nats, row.nats_stderr = held_out.nats, held_out.stderr
        row.null, row.candidates = held_out.null, k
        row.nats_train = heldout_information(method, seen, split="train", **options).nats
        row.alignment = alignment(*projections(method, draw(test, 512, row.seed), seed=row.seed))


def _look(entry: dict[str, Any]) -> dict[str, float]:
    """An epoch's entry as a point of the row's curve."""
    found = {"step": float(entry["step"]), "nats": float(entry["nats_train"])}
    if entry.get("cross_entropy") is not None:
        found["cross_entropy"] = float(entry["cross_entropy"])
    return found


def learn_views(
    data: str = "factors",
    *,
    objective: str = "unsupervised",
    family: str = "vp",
    space: str | None = None,
    budget_nats: float | None = None,
    labels: str | None = None,
    labels_fraction: float = 1.0,
    seeds: int = 3,
    steps: int = 600,
    batch_size: int = 256,
    lr: float = 2e-3,
    turns: int = 4,
    encoder: str = "convnet-half",
    temperature: float = 0.2,
    max_images: int | None = None,
    image_size: int | None = None,
    data_root: str | None = None,
    download: bool = False,
    strict: bool = False,
    device: str = "auto",
    precision: str = "auto",
    out: str | Path = "goodviews-learned",
    echo: Callable[[str], None] = print,
) -> Findings:
    """Learn pixel-wise invertible generators of views, and keep the best (InfoMin, section 4.2).

    A generator for each seed, in ``out/generators``; the one that is kept, by :func:`best`, is
    ``out/generator.safetensors``, and ``out/recipe.yaml`` makes views with it. Rows hold held-out
    I_NCE in nats under the encoders of the game, beside that of the raw split; ``views.png`` shows
    the channels. The same call again goes on where it was.

    Args:
        data: folder, .npz file, or name of a set, see :func:`goodviews.data.load`.
        objective: "unsupervised" (min-max), "semi-supervised" or "supervised".
        family: "vp" (volume preserving) or "nvp".
        space: "rgb", "ydbdr" or "raw"; None: rgb for three channels, else raw.
        budget_nats: where the generator stops to remove information, within the game's own
            estimate; None: nowhere, which is the paper's game and often removes too much.
        labels: a CSV of file,label; the name of a factor; "none" to ignore labels.
        labels_fraction: part of the labels that is used.
        seeds: generators to learn.
        steps: optimiser steps a generator, the encoders' included.
        batch_size: images a step, and K of the game.
        lr: of AdamW.
        turns: every so many-th step is the generator's.
        encoder: name for :func:`goodviews.encoders.build`.
        temperature: of the cosine critic.
        max_images: training images at most.
        image_size: side in pixels; None keeps or picks one.
        data_root: folder of torchvision's sets.
        download: whether a set may be downloaded.
        strict: stop at the first unreadable file.
        device: "auto", "cpu", "cuda" or "mps".
        precision: "auto", "32" or "bf16" (of the encoders; the generator is float32).
        out: folder.
        echo: gets the lines of progress.

    Returns:
        The rows, and what was concluded.

    Raises:
        UserError: for data, names or settings that cannot work, before the first step.
    """
    given = dict(locals())
    if seeds < 1 or turns < 2:
        raise UserError(f"--seeds: {seeds}, --turns: {turns}. Use at least 1 and 2.")
    loaded = data_room.load(
        data,
        labels=labels,
        data_root=data_root,
        download=download,
        image_size=image_size,
        strict=strict,
        max_images=max_images,
    )
    learning = Learning(
        objective,
        family,
        space or ("rgb" if loaded.train.shape[0] == 3 else "raw"),
        budget_nats,
        labels_fraction,
        steps,
        batch_size,
        lr,
        turns,
        encoder=encoder,
        temperature=temperature,
    ).check(loaded)
    resolve_precision(precision, resolve_accelerator(device))
    learning.training(0, device, precision)
    learning.method(loaded.train, 0, loaded.hints)  # a name or shape that cannot be
    settings = _made_with(data, labels, loaded, learning, precision)
    with disk_guard(out):
        folder = open_study(Path(out), settings)
        shop = Workshop(loaded, learning, folder, device, precision, echo)
        for line in data_lines(loaded, folder):
            echo(line)
        echo(
            f"plan: {seeds} generators ({family}, from {learning.space}), {objective}, {steps} "
            f"steps of {learning.batch_size} images each, every {turns}th the generator's"
        )
        jobs = [Job(RAW_VIEWS, 0), *(Job(objective, seed) for seed in range(seeds))]
        rows = run_grid(jobs, shop.measure, folder / "rows.jsonl", settings, echo)
        kept = best(rows, learning)
        if kept is not None:
            _write_choice(folder, shop, kept)
        command = command_line("learn-views", learn_views, given)
        record = _record(rows, shop, kept, command, settings, seeds)
        found = closed(rows, record, folder, echo)
    if kept is not None:
        _tell_next(folder, str(data), echo)
    return found


def _made_with(
    data: str, labels: str | None, loaded: Loaded, learning: Learning, precision: str
) -> dict[str, Any]:
    """What every row is made with."""
    found: dict[str, Any] = plain(
        {
            "study": "learn-views",
            "data": str(data),
            "labels": labels,
            "image_shape": list(loaded.train.shape),
            "n_train": len(loaded.train),
            "n_test": len(loaded.test),
            "precision": precision,
            **asdict(learning),
        }
    )
    return found


def best(rows: Sequence[Row], learning: Learning) -> Row | None:
    """The run whose generator is kept; None where all failed.

    Nearest to the budget by held-out I_NCE where there is one; else the least cross entropy of the
    training labels where the objective uses them; else the most I_NCE: of seeds that all remove
    what they can, the one that lost least.

    Example:
        >>> rows = [Row("candidate", "unsupervised", s, nats=x) for s, x in enumerate((0.1, 2, 1))]
        >>> [best(rows, Learning(budget=t)).seed for t in (None, 1.2)]
        [1, 2]
    """
    runs = [r for r in rows if r.candidate != RAW_VIEWS and r.status == "done"]

    def badness(row: Row) -> float:
        nats = row.nats or 0.0
        if learning.budget is not None:
            return abs(nats - learning.budget)
        return row.measures.get("cross_entropy", -nats)

    return min(runs, key=badness, default=None)


def _write_choice(folder: Path, shop: Workshop, kept: Row) -> None:
    """generator.safetensors, recipe.yaml and views.png."""
    name = "generator.safetensors"
    write_atomic(folder / name, lambda part: shutil.copyfile(shop.path(kept.seed), part))
    learning, shape = shop.learning, shop.loaded.train.shape
    shared = Recipe(shared=mild(shape, shop.loaded.hints)).to_dict()["shared"]
    recipe = {
        "name": f"learned-{learning.objective}-{learning.family}-{learning.space}",
        "shared": shared,
        "split": {"learned": {"path": name}},
    }
    write_yaml(folder / "recipe.yaml", recipe)
    generator = ViewGenerator.load(folder / name)
    some = draw(shop.loaded.test, ROWS_SHOWN, 0)
    images = some.images(range(len(some)))
    sheet = channel_sheet(generator, images)
    write_atomic(folder / "views.png", lambda part: sheet.save(part, format="PNG"))
    for arm, g in ((RAW_VIEWS, untrained(generator, images)), (learning.objective, generator)):
        pairs = strip(BuiltViews(shape, split=Live(g)), images, len(images))
        path = report.strip_path(folder, arm)
        write_atomic(path, lambda part, pairs=pairs: pairs.save(part, format="PNG"))  # type: ignore[misc]


def _record(
    rows: Sequence[Row],
    shop: Workshop,
    kept: Row | None,
    command: str,
    settings: dict[str, Any],
    seeds: int,
) -> dict[str, Any]:
    """What study.json holds and the page reads."""
    learning = shop.learning
    lines = [{"value": math.log(learning.batch_size), "words": f"log {learning.batch_size}"}]
    if learning.budget is not None:
        lines.append({"value": learning.budget, "words": "budget"})
    losses = [{"key": "cross_entropy", "words": "cross entropies", "unit": "nats", "digits": 2}]
    if learning.objective == "unsupervised":
        losses = []
    return {
        "study": "learn-views",
        "kind": "experiment",
        "question": f"Which pixel-wise views can be learned? ({shop.loaded.name})",
        "answer": answer(rows, kept, learning),
        "arms": [
            {"name": RAW_VIEWS, "words": f"plain split of {learning.space}", "group": RAW_VIEWS},
            {"name": learning.objective, "words": learning.family, "group": "learned"},
        ],
        "x": "training steps",
        "columns": [
            {"key": "nats", "words": "I_NCE, held out", "unit": "nats", "digits": 2},
            {"key": "nats_train", "words": "I_NCE, training", "unit": "nats", "digits": 2},
            *losses,
            {"key": "alignment", "words": "alignment", "unit": "", "digits": 2},
        ],
        "panels": [
            {
                "kind": "curve",
                "measure": "nats",
                "title": "I_NCE of the game while it is played (training batches)",
                "unit": "nats",
                "also": None,
                "lines": lines,
            }
        ],
        "claims": [],
        "rule": RULE,
        "scale": "",
        "notes": NOTES,
        "command": command,
        "seeds": seeds,
        "K": learning.candidates,
        "data": shop.loaded.report,
        "environment": environment(),
        "settings": settings,
    }


def answer(rows: Sequence[Row], kept: Row | None, learning: Learning) -> str:
    """Which generator is kept, what its views share, and whether too much was removed."""
    if kept is None or kept.nats is None:
        return "No generator could be learned; see the errors."
    found = [r.nats for r in rows if r.candidate != RAW_VIEWS and r.nats is not None]
    raw = next((r.nats for r in rows if r.candidate == RAW_VIEWS and r.nats is not None), None)
    text = f"Kept: seed {kept.seed}. Its views share {kept.nats:.2f} nats (held-out I_NCE"
    text += f", K = {kept.candidates}"
    text += f"; the plain split of {learning.space}: {raw:.2f})." if raw is not None else ")."
    if len(found) > 1:
        text += f" The {len(found)} seeds lie between {min(found):.2f} and {max(found):.2f}."
    if learning.budget is None and raw is not None and kept.nats < 0.5 * raw:
        text += (
            " More than half of the information was removed, and nothing says that what is left is "
            f"what a task needs: try --budget-nats {0.6 * raw:.1f}, or semi-supervised."
        )
    return text


NOTES = [
    "Held-out I_NCE is read with the encoders of the game, which had to follow a moving generator; "
    "encoders trained afresh on the frozen views (goodviews train) may find more.",
]


def _tell_next(folder: Path, data: str, echo: Callable[[str], None]) -> None:
    recipe, source = quoted(folder / "recipe.yaml"), quoted(data)
    echo(f"views:  {folder / 'views.png'}")
    echo(f"train:  goodviews train infonce --data {source} --views {recipe} --out run")
    beside = quoted(f"color-space,recipe={folder / 'recipe.yaml'}")
    echo(f"choose: goodviews choose --data {source} --families {beside}")
    echo(f"look:   goodviews views preview --data {source} --views {recipe}")
