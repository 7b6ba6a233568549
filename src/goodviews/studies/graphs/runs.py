"""One encoder of graphs: ``goodviews train grace``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from torch_geometric.data import Data

from goodviews.data.graphs import LoadedGraphs, load_graphs
from goodviews.interfaces import Row, UserError
from goodviews.methods.graphs import GraphMethod
from goodviews.regimes import pooled_spread
from goodviews.studies.conclude import UNTRAINED
from goodviews.studies.findings import closed
from goodviews.studies.folder import (
    check_out,
    command_line,
    disk_guard,
    environment,
    plain,
    write_yaml,
)
from goodviews.studies.graphs.frozen import WEIGHTS, GraphDesign, designed, preset_of, save_graph
from goodviews.studies.graphs.reading import RUN, compare
from goodviews.studies.graphs.tasks import RAW, GraphTask, Hard, task_name, task_of
from goodviews.training.checkpoints import all_finite
from goodviews.training.graphs import GraphSettings, fit_graphs
from goodviews.views.graphs import GraphRecipe

Echo = Callable[[str], None]


@dataclass
class GraphRun:
    """What :func:`train_graph` returns."""

    out: Path
    method: GraphMethod
    """The trained method; called on a graph it gives frozen node vectors (n, d)."""
    rows: list[Row]
    answer: str


def train_graph(
    method: str | None = None,
    data: str = "sbm",
    *,
    preset: str | None = None,
    task: str | None = None,
    views: str | dict[str, Any] | None = None,
    encoder: str | None = None,
    labels: str | None = None,
    features: str | None = None,
    hard: Hard = False,
    projection_dim: int | None = None,
    temperature: float | None = None,
    critic: str | None = None,
    bound: str | None = None,
    epochs: int | None = None,
    lr: float | None = None,
    weight_decay: float | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    baseline_seeds: int = 3,
    data_root: str | None = None,
    download: bool = False,
    device: str = "auto",
    out: str | Path = "goodviews-train",
    resume: bool = False,
    echo: Echo = print,
) -> GraphRun:
    """Train an encoder of a graph, and hold it against raw features and untrained networks.

    For links the hidden ones are taken away before training; for nodes and sets of graphs all are
    trained on, without labels, as published.

    Args:
        method: a name in :data:`goodviews.methods.graphs.GRAPH_METHODS`; None: the preset's.
        data: see :func:`goodviews.data.graphs.load_graphs`.
        preset: a name in :data:`goodviews.methods.graphs.GRAPH_PRESETS`; None: the method's own
            for these data, where there is one.
        task: "links", "nodes" or "graphs"; None: what the data have labels for, else links.
        views: a name in :data:`goodviews.views.graphs.GRAPH_RECIPES` or a recipe.yaml.
        encoder: a name in :data:`goodviews.encoders.graphs.GRAPH_ENCODERS`.
        labels: a file of labels by node.
        features: a file of features by node.
        hard: links only: "neighbours" or "degree".
        projection_dim: width of the projection.
        temperature: of the cosine critic.
        critic: a name in :data:`goodviews.critics.CRITICS`.
        bound: a name in :data:`goodviews.bounds.BOUNDS`.
        epochs: passes over the nodes (or graphs).
        lr: of Adam.
        weight_decay: of Adam.
        batch_size: seed nodes (or graphs) a step.
        seed: of weights, views and splits.
        baseline_seeds: untrained networks to compare with.
        data_root: folder that holds graphs/.
        download: whether a named set may be fetched.
        device: "auto", "cpu", "cuda" or "mps".
        out: the run's folder, new or empty.
        resume: go on with the run in ``out``.
        echo: gets the lines.

    Raises:
        UserError: something to be mended, in one line.
    """
    given = dict(locals())
    out = Path(out)
    loaded = load_graphs(
        data, labels=labels, features=features, data_root=data_root, download=download
    )
    kind = task or task_name(loaded)
    asked = task_of(kind, loaded, hard=hard)
    entry = preset_of(method, preset, data)
    own = {
        "temperature": temperature,
        "projection_dim": projection_dim,
        "critic": critic,
        "bound": bound,
    }
    scene = asked.scene(seed)
    entry = replace(entry, options={**entry.options, **_given(own)})
    design = designed(entry, encoder, scene.graphs[0].x.size(1), _recipe(views))
    wanted = {"epochs": epochs, "lr": lr, "weight_decay": weight_decay, "batch_size": batch_size}
    settings = GraphSettings(**{**entry.settings, **_given(wanted)}, seed=seed, device=device)
    check_out(out, resume=resume)
    with disk_guard(out):
        out.mkdir(parents=True, exist_ok=True)
        for line in [*loaded.lines(), *scene.lines]:
            echo(line)
        made = design.build(seed)
        size = sum(weight.numel() for weight in made.parameters())
        echo(f"train: {design.method}, {size:,} weights, {settings.epochs} epochs")
        write_yaml(out / "config.yaml", {k: v for k, v in given.items() if k != "echo"})
        graphs: Data | list[Data] = scene.graphs if len(scene.graphs) > 1 else scene.graphs[0]
        history = fit_graphs(made, graphs, settings, out=out, resume=resume, say=echo)
        if not all_finite(made):
            raise UserError(f"--lr: {settings.lr:g}: weights are not finite. Use a smaller one.")
        save_graph(made, design, out, loaded, kind, seed, hard)
        rows = compare(made, design, asked, seed, baseline_seeds, out, echo)
        command = command_line("train", train_graph, given)
        record = recorded(rows, asked, loaded, command, design, settings.to_dict())
        record["settings"]["steps"] = history[-1]["step"]
        found = closed(rows, record, out, echo)
        echo(f"encoder: {out / WEIGHTS}  (goodviews embed {out})")
        return GraphRun(out, made, rows, found.record["answer"])


def recorded(
    rows: list[Row],
    task: GraphTask,
    loaded: LoadedGraphs,
    command: str,
    design: GraphDesign,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """What study.json holds and the page reads."""
    means = {
        name: [row.linear for row in rows if row.candidate == name and row.linear is not None]
        for name in (RAW, UNTRAINED, RUN)
    }
    return {
        "study": "train",
        "kind": "experiment",
        "question": f"What has {design.method} learned of {loaded.name}?",
        "answer": _verdict(means, task),
        "arms": [{"name": RUN, "words": f"{design.method}, {design.encoder}"}],
        "columns": [
            {"key": key, "words": words, "unit": "%", "digits": 1}
            for key, words in task.measures.items()
        ],
        "panels": [{"kind": "bars", "measure": "linear", "title": task.words.probe, "unit": "%"}],
        "claims": [],
        "rule": "",
        "notes": [],
        "command": command,
        "seeds": 1,
        "data": loaded.report,
        "environment": environment(),
        "settings": {**plain(design.__dict__), **plain(dict(settings))},
    }


def _verdict(means: Mapping[str, list[float]], task: GraphTask) -> str:
    """One sentence: this run against both baselines."""
    ours = means[RUN][0]
    parts = [
        f"{100 * (ours - fmean(found)):+.1f} points against {name} ({100 * fmean(found):.1f})"
        for name, found in means.items()
        if name != RUN and found
    ]
    spread = pooled_spread([means[UNTRAINED]]).s if len(means[UNTRAINED]) > 1 else float("inf")
    best = max(fmean(found) for name, found in means.items() if name != RUN and found)
    learned = "it learned" if ours - best > 2 * spread else "undecided"
    if ours < best - 2 * spread:
        learned = "it did not learn what the task needs"
    return f"{task.words.probe} {100 * ours:.1f} %: {', '.join(parts)}: {learned}."


def _recipe(views: str | dict[str, Any] | None) -> GraphRecipe | None:
    """The views that were named."""
    return None if views is None else GraphRecipe.load(views)


def _given(own: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in own.items() if value is not None}
