"""Graph methods as published, beside what was published: nodes, links or whole graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goodviews.data.graphs import LoadedGraphs, load_graphs
from goodviews.interfaces import Row, UserError, check_name
from goodviews.methods.graphs import GRAPH_METHODS, GraphPreset
from goodviews.studies.claims import RULE, SHOWN, Claim, Reading, judge
from goodviews.studies.conclude import UNTRAINED
from goodviews.studies.findings import Findings, closed
from goodviews.studies.folder import (
    command_line,
    disk_guard,
    environment,
    open_study,
    plain,
    read_json,
)
from goodviews.studies.graphs.bench import embedded
from goodviews.studies.graphs.choose import Echo
from goodviews.studies.graphs.frozen import designed, preset_of, settings_of
from goodviews.studies.graphs.tasks import (
    RAW,
    TASKS,
    GraphTask,
    Hard,
    raw_vectors,
    task_name,
    task_of,
)
from goodviews.studies.grid import Job, run_grid
from goodviews.training.graphs import fit_graphs

METHODS = {
    "links": ("grace", "dgi", "gae", "vgae", "node2vec"),
    "nodes": ("grace", "dgi", "mvgrl", "gae", "vgae", "node2vec"),
    "graphs": ("infograph", "graphcl"),
}
"""Task -> what is tried if nothing is named."""
PUBLISHED: Mapping[tuple[str, str], str] = {
    ("grace", "cora"): "83.3 (own splits); 81.9 public",
    ("grace", "citeseer"): "72.1 (own splits); 71 to 72.5 public",
    ("dgi", "cora"): "82.3 +- 0.6",
    ("dgi", "citeseer"): "71.8 +- 0.7",
    ("mvgrl", "cora"): "86.8 +- 0.5 (82.9 in reruns)",
    ("mvgrl", "citeseer"): "73.3 +- 0.5",
    ("infograph", "mutag"): "89.0 +- 1.1",
    ("infograph", "proteins"): "74.4 +- 0.3",
    ("infograph", "imdb-binary"): "73.0 +- 0.9",
    ("graphcl", "mutag"): "86.8 +- 1.3",
    ("graphcl", "proteins"): "74.4 +- 0.5",
    ("graphcl", "imdb-binary"): "71.1 +- 0.4",
}
"""Method and data -> accuracy in per cent, in its paper (those of graph sets from memory)."""


def graph_methods(
    data: str = "sbm",
    *,
    task: str | None = None,
    variants: str | Sequence[str] | None = None,
    hard: Hard = False,
    encoder: str | None = None,
    seeds: int | None = None,
    epochs: int | None = None,
    lr: float | None = None,
    labels: str | None = None,
    features: str | None = None,
    data_root: str | None = None,
    download: bool = False,
    device: str = "auto",
    out: str | Path = "goodviews-study",
    echo: Echo = print,
) -> Findings:
    """Train each method with its own preset, and probe it beside raw features and no training.

    Nodes and graphs: all are trained on, without labels, as published. Links: the hidden ones are
    taken away first.

    Args:
        data: see :func:`goodviews.data.graphs.load_graphs`.
        task: "links", "nodes" or "graphs"; None: what the data have labels for, else links.
        variants: names in :data:`goodviews.methods.graphs.GRAPH_METHODS`; None: the task's own.
        hard: links: "neighbours" or "degree", pairs without link that resemble links.
        encoder: in the place of each preset's.
        seeds: runs a method; None: 5.
        epochs: in the place of each preset's.
        lr: in the place of each preset's.
        labels: a file of labels by node.
        features: a file of features by node.
        data_root: folder that holds graphs/.
        download: whether a named set may be fetched.
        device: "auto", "cpu", "cuda" or "mps".
        out: folder for rows.jsonl, study.json, table.md and report.html.
        echo: gets the lines.

    Raises:
        UserError: for data or names that cannot work.
    """
    given = dict(locals())
    loaded = load_graphs(
        data, labels=labels, features=features, data_root=data_root, download=download
    )
    kind = task or task_name(loaded)
    check_name("--task", kind, TASKS)
    texts = variants.split(",") if isinstance(variants, str) else variants
    names = [text.strip() for text in texts or METHODS[kind] if text.strip()]
    for name in names:
        check_name("--variants", name, GRAPH_METHODS)
    bench = MethodBench(loaded, task_of(kind, loaded, hard=hard), encoder, epochs, lr, device)
    bench.task.scene(0)  # a graph that cannot be split is refused before the first run
    count = 5 if seeds is None else seeds
    if count < 1:
        raise UserError(f"--seeds: {count}. Use 1 or more.")
    with disk_guard(out):
        presets = {name: plain(bench.preset(name).__dict__) for name in names}
        folder = open_study(
            Path(out),
            plain(
                {
                    "study": "graph-methods",
                    "data": str(data),
                    "task": kind,
                    "hard": hard,
                    "encoder": encoder,
                    "epochs": epochs,
                    "lr": lr,
                }
            ),
        )
        for line in loaded.lines():
            echo(line)
        jobs = [Job(RAW, seed, "baseline") for seed in range(count)]
        jobs += [
            Job(name, seed, kind_of, recipe=presets.get(name, {}))
            for seed in range(count)
            for name, kind_of in [(UNTRAINED, "baseline"), *((n, "candidate") for n in names)]
        ]
        settings = read_json(folder / "settings.json")
        path = folder / "rows.jsonl"
        rows = run_grid(jobs, bench.measure, path, settings, echo, bench.task.words.probe)
        command = command_line("study graph-methods", graph_methods, given)
        record = recorded(rows, names, bench, command, settings, count)
        return closed(rows, record, folder, echo)


@dataclass(frozen=True)
class MethodBench:
    """What is the same for every method."""

    loaded: LoadedGraphs
    task: GraphTask
    encoder: str | None
    epochs: int | None
    lr: float | None
    device: str

    def preset(self, name: str) -> GraphPreset:
        """The method's published run on these data, or its general one."""
        return preset_of(name, None, self.loaded.name.lower())

    def measure(self, job: Job) -> Row:
        """The row of one method and seed."""
        row, scene = job.row(), self.task.scene(job.seed)
        if job.candidate == RAW:
            z = raw_vectors(scene.embedded)
        else:
            first = "infograph" if len(scene.graphs) > 1 else "grace"
            entry = self.preset(first if job.candidate == UNTRAINED else job.candidate)
            width = scene.graphs[0].x.size(1)
            method = designed(entry, self.encoder, width).build(job.seed)
            if job.candidate != UNTRAINED:
                graphs = scene.graphs if len(scene.graphs) > 1 else scene.graphs[0]
                own = {"epochs": self.epochs, "lr": self.lr}
                settings = settings_of(entry, job.seed, self.device, **own)
                history = fit_graphs(method, graphs, settings)
                row.steps = int(history[-1]["step"] or 0)
                nats = history[-1].get("nats_train")
                row.nats_train = None if nats is None else float(nats)
            z = embedded(method, scene.embedded)
        found = scene.probe(z)
        row.linear, row.label_nats = found.pop("linear"), found.pop("label_nats", None)
        row.measures = found
        return row


def recorded(
    rows: Sequence[Row],
    names: Sequence[str],
    bench: MethodBench,
    command: str,
    settings: dict[str, Any],
    seeds: int,
) -> dict[str, Any]:
    """What study.json holds and the page reads."""
    name, words = bench.loaded.name, bench.task.words
    claims = judge(
        rows,
        [
            Claim(f"{arm} beats {base}", Reading(arm), Reading(base), "linear", pool=base)
            for base in (RAW, UNTRAINED)
            for arm in names
        ],
    )
    means = {
        arm: sum(found) / len(found)
        for arm in names
        if (found := Reading(arm).values(rows, "linear"))
    }
    best = max(means, key=lambda arm: means[arm]) if means else ""
    seen = sum(claim["verdict"] == SHOWN for claim in claims)
    lines = [
        {"value": sum(found) / len(found), "words": base}
        for base in (RAW, UNTRAINED)
        if (found := Reading(base).values(rows, "linear"))
    ]
    return {
        "study": "graph-methods",
        "kind": "experiment",
        "question": f"Which method learns what {name} is asked for? ({words.probe})",
        "answer": (
            f"{words.probe}: best is {best} with {100 * means[best]:.1f} %. "
            if best
            else "Nothing could be measured. "
        )
        + f"{seen} of {len(claims)} of the statements looked for are shown.",
        "arms": [
            {
                "name": arm,
                "words": f"preset of {bench.preset(arm).method}",
                "paper": (
                    {"linear": PUBLISHED[arm, name.lower()]}
                    if (arm, name.lower()) in PUBLISHED and words.short != "AUC"
                    else {}
                ),
            }
            for arm in names
        ],
        "columns": [
            {"key": key, "words": text, "unit": "%", "digits": 1}
            for key, text in bench.task.measures.items()
        ],
        "panels": [
            {"kind": "bars", "measure": "linear", "title": words.title, "unit": "%", "lines": lines}
        ],
        "claims": claims,
        "rule": RULE,
        "notes": [
            "Published accuracies are of the methods' papers; their splits and their choice of "
            "epochs differ. Here nothing is chosen on test nodes or test folds.",
        ],
        "command": command,
        "seeds": seeds,
        "data": bench.loaded.report,
        "environment": environment(),
        "settings": settings,
    }
