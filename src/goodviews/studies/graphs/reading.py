"""A run's encoder on its own or another graph: ``goodviews evaluate`` and ``embed``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from goodviews.data.graphs import LoadedGraphs, load_graphs
from goodviews.data.graphs.load import made_of
from goodviews.files import write_atomic
from goodviews.interfaces import Row, UserError
from goodviews.methods.graphs import GraphMethod
from goodviews.studies.conclude import UNTRAINED
from goodviews.studies.folder import disk_guard
from goodviews.studies.graphs.bench import embedded
from goodviews.studies.graphs.frozen import GraphDesign, design_of, load_card, load_graph_run
from goodviews.studies.graphs.tasks import RAW, GraphTask, raw_vectors, task_of
from goodviews.studies.grid import Job, run_grid

Echo = Callable[[str], None]
RUN = "this run"


def compare(
    method: GraphMethod,
    design: GraphDesign,
    task: GraphTask,
    seed: int,
    baseline_seeds: int,
    out: Path,
    echo: Echo,
) -> list[Row]:
    """Raw features, untrained networks and this run, by the task's own probe on one split."""
    scene = task.scene(seed)

    def measure(job: Job) -> Row:
        row = job.row()
        if job.candidate == RAW:
            z = raw_vectors(scene.embedded)
        elif job.candidate == UNTRAINED:
            z = embedded(design.build(job.seed), scene.embedded)
        else:
            z = embedded(method, scene.embedded)
        found = scene.probe(z)
        row.linear, row.label_nats = found.pop("linear"), found.pop("label_nats", None)
        row.measures = found
        return row

    others = [Job(UNTRAINED, seed + 1 + i, "baseline") for i in range(baseline_seeds)]
    jobs = [Job(RAW, seed, "baseline"), *others, Job(RUN, seed)]
    (out / "rows.jsonl").unlink(missing_ok=True)
    return run_grid(jobs, measure, out / "rows.jsonl", {}, echo, task.words.probe)


def evaluate_graph(
    run: str | Path,
    data: str | None = None,
    *,
    labels: str | None = None,
    seed: int = 0,
    baseline_seeds: int = 3,
    data_root: str | None = None,
    download: bool = False,
    echo: Echo = print,
) -> list[Row]:
    """Probe a run's frozen encoder beside its baselines, on its own or another graph.

    For links the split is that of ``seed``; at the run's own seed no hidden link was seen.

    Args:
        run: folder of a run of :func:`train_graph`.
        data: another graph with as many features; None: the run's own.
        labels: a file of labels by node.
        seed: of splits.
        baseline_seeds: untrained networks to compare with.
        data_root: folder that holds graphs/.
        download: whether a named set may be fetched.
        echo: gets the lines.

    Raises:
        UserError: no run there, or a graph with other features.
    """
    card, method = load_card(run), load_graph_run(run)
    loaded = _opened(run, data, labels, data_root, download)
    task = task_of(card["task"], loaded, hard=card["hard"])
    if task.scene(seed).graphs[0].x.size(1) != card["in_channels"]:
        raise UserError(
            f"--data: {loaded.name} has other features than the {card['in_channels']} that {run} "
            "was trained on. Name a graph of the same kind."
        )
    if card["task"] == "links" and (data is not None or seed != card["seed"]):
        echo(f"note: the run hid other links (its seed is {card['seed']}, its data {card['data']})")
    folder = Path(run) / f"evaluate-{loaded.name}-{seed}"
    folder.mkdir(exist_ok=True)
    return compare(method, design_of(card), task, seed, baseline_seeds, folder, echo)


def embed_graph(
    run: str | Path,
    data: str | None = None,
    out: str | Path = "embeddings.npz",
    *,
    labels: str | None = None,
    data_root: str | None = None,
    download: bool = False,
    overwrite: bool = False,
    echo: Echo = print,
) -> Path:
    """Write a run's node vectors (or graph vectors) with ids and labels to an .npz.

    Args:
        run: folder of a run of :func:`train_graph`.
        data: the graph to embed; None: the run's own.
        out: .npz: embeddings float32 (n, d), ids, labels.
        labels: a file of labels by node.
        data_root: folder that holds graphs/.
        download: whether a named set may be fetched.
        overwrite: replace ``out`` if it exists.
        echo: gets the line.

    Raises:
        UserError: no run there, a file that exists, another ending.
    """
    out = Path(out)
    if out.suffix != ".npz":
        raise UserError(f"--out: {out} is no .npz. Use for example {out.with_suffix('.npz')}.")
    if out.exists() and not overwrite:
        raise UserError(f"--out: {out} exists. Name another file, or replace it with --overwrite.")
    method, loaded = load_graph_run(run), _opened(run, data, labels, data_root, download)
    graphs = loaded.graphs
    z = embedded(method, graphs).numpy()
    y = graphs[0].y if len(graphs) == 1 else torch.cat([graph.y.view(-1)[:1] for graph in graphs])
    arrays: dict[str, Any] = {
        "embeddings": z,
        "ids": np.asarray(loaded.ids if loaded.ids is not None else np.arange(len(z))),
        "labels": np.full(len(z), -1) if not isinstance(y, Tensor) else y.numpy(),
    }
    with disk_guard(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(out, lambda path: np.savez(path, **arrays))
    echo(f"{len(z):,} embeddings of {z.shape[1]} numbers: {out}")
    return out


def _opened(
    run: str | Path, data: str | None, labels: str | None, data_root: str | None, download: bool
) -> LoadedGraphs:
    config = _config(run)
    features = config.get("features")
    own = data is None or made_of(features)[0]  # features made of links are made of any graph's
    return load_graphs(
        data or config["data"],
        labels=labels if data else labels or config.get("labels"),
        features=features if own else None,
        data_root=data_root or config.get("data_root"),
        download=download,
    )


def _config(run: str | Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((Path(run) / "config.yaml").read_text("utf-8"))
    return found
