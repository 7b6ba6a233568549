"""Which views of a graph are good, and for what: links and nodes beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from goodviews.data.graphs import LoadedGraphs, load_graphs
from goodviews.interfaces import Row, check_name
from goodviews.studies.claims import RULE, SHOWN
from goodviews.studies.conclude import UNTRAINED
from goodviews.studies.findings import Findings, closed
from goodviews.studies.folder import (
    command_line,
    disk_guard,
    environment,
    open_study,
    read_json,
)
from goodviews.studies.graphs.bench import GraphBench
from goodviews.studies.graphs.choose import (
    GRAPH_BUDGETS,
    Echo,
    made,
    made_with,
    plan,
    spend,
    training,
)
from goodviews.studies.graphs.tasks import RAW, Hard, single, task_of
from goodviews.studies.grid import Job, run_grid
from goodviews.studies.infomin import read

ASKED = {"links": "link AUC", "nodes": "node accuracy"}
"""Measure -> words: what the two tasks put into a row's measures."""


def graph_views(
    data: str = "sbm",
    *,
    scale: str = "quick",
    variants: str | Sequence[str] | None = None,
    encoder: str | None = None,
    hard: Hard = False,
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
    """Sweep the views of one graph, and ask each encoder for links and for nodes.

    Along each family's dial, is there a reverse-U of accuracy against I_NCE(v1;v2), and does it lie
    at the same place for both tasks? An encoder for links has not seen the hidden ones, so that
    each task trains its own. Without labels only links are asked for.

    Args:
        data: a graph, see :func:`goodviews.data.graphs.load_graphs`.
        scale: "quick" or "paper" (the standard budget of ``choose``).
        variants: families, or "family=value:value", a comma list; None: the budget's.
        encoder: name in :data:`goodviews.encoders.graphs.GRAPH_ENCODERS`; None: gcn.
        hard: "neighbours" or "degree": pairs without link that resemble links.
        seeds: runs a candidate; None: the budget's, at least 3.
        epochs: of training; None: the budget's.
        lr: of Adam; None: the budget's.
        labels: a file of labels by node.
        features: a file of features by node.
        data_root: folder that holds graphs/.
        download: whether a named set may be fetched.
        device: "auto", "cpu", "cuda" or "mps".
        out: folder for rows.jsonl, study.json, table.md and report.html.
        echo: gets the lines.

    Returns:
        The rows, and what was concluded.

    Raises:
        UserError: for data or names that cannot work.
    """
    given = dict(locals())
    check_name("--scale", scale, ("quick", "paper"))
    base = GRAPH_BUDGETS["quick" if scale == "quick" else "standard"]
    limits = spend(replace(base, seeds=max(3, base.seeds)), seeds=seeds, epochs=epochs, lr=lr)
    loaded = load_graphs(
        data, labels=labels, features=features, data_root=data_root, download=download
    )
    asked = ["links"] if single(loaded).y is None else list(ASKED)
    net = encoder or "gcn"
    benches = {
        name: GraphBench(
            task_of(name, loaded, hard=hard),
            lambda job, width: made("grace", job, net, width, limits),
            training(limits, device),
            limits.candidates,
        )
        for name in asked
    }
    planned = plan(variants, limits)
    for bench in benches.values():
        bench.task.scene(0)  # a graph that cannot be split is refused before the first run
    jobs = [replace(job, candidate=f"{job.candidate}, {task}") for job in planned for task in asked]

    def measure(job: Job) -> Row:
        name, _, task = job.candidate.rpartition(", ")
        row = replace(benches[task].measure(replace(job, candidate=name)), candidate=job.candidate)
        row.measures[task] = row.linear or 0.0
        return row

    with disk_guard(out):
        own = {"study": "graph-views", "encoder": net, "hard": hard}
        folder = open_study(Path(out), made_with(data, loaded, own, limits))
        for line in loaded.lines():
            echo(line)
        echo(f"plan: {len(jobs)} runs of {limits.epochs} epochs, tasks {' and '.join(asked)}")
        settings = read_json(folder / "settings.json")
        rows = run_grid(jobs, measure, folder / "rows.jsonl", settings, echo, "task")
        command = command_line("study graph-views", graph_views, given)
        record = recorded(rows, jobs, asked, loaded, command, settings)
        return closed(rows, record | {"scale": scale, "seeds": limits.seeds}, folder, echo)


def recorded(
    rows: Sequence[Row],
    jobs: Sequence[Job],
    asked: Sequence[str],
    loaded: LoadedGraphs,
    command: str,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """What study.json holds and the page reads."""
    arms = {job.candidate: job for job in jobs if job.kind == "candidate"}
    families = list(dict.fromkeys(job.family for job in arms.values()))
    claims = [
        claim | {"words": f"{family}, {claim['words']}"}
        for task in asked
        for family in families
        for claim in read.reverse_u(
            rows,
            [n for n, job in arms.items() if job.family == family and n.endswith(f", {task}")],
            task,
            "for images: a reverse-U",
        )
    ]
    return {
        "study": "graph-views",
        "kind": "experiment",
        "question": f"Which views of a graph are good, and for what? ({loaded.name})",
        "answer": answered(rows, arms, asked, claims),
        "arms": [
            {"name": name, "words": "", "group": job.family, "value": job.value}
            for name, job in arms.items()
        ],
        "columns": [
            *({"key": k, "words": ASKED[k], "unit": "%", "digits": 1} for k in asked),
            {"key": "nats", "words": "I_NCE(v1;v2), held out", "unit": "nats", "digits": 2},
            {"key": "nats_train", "words": "I_NCE, training", "unit": "nats", "digits": 2},
            {"key": "rankme", "words": "effective rank", "unit": "", "digits": 1},
        ],
        "panels": [panel for task in asked for panel in _panels(rows, task)],
        "claims": claims,
        "rule": f"{RULE} {read.RULE}",
        "notes": [
            "I_NCE is measured between nodes that no loss has read; their links and features were "
            "there for message passing. Links: AUC of hidden ones against pairs without link.",
        ],
        "command": command,
        "K": settings.get("candidates"),
        "data": loaded.report,
        "environment": environment(),
        "settings": settings,
    }


def _panels(rows: Sequence[Row], task: str) -> list[dict[str, Any]]:
    """A task's measure against information, and along the dials."""
    lines = [
        {"value": sum(found) / len(found), "words": name}
        for name in (RAW, UNTRAINED)
        if (found := [r.measures[task] for r in rows if r.candidate == f"{name}, {task}"
                      and task in r.measures])
    ]  # fmt: skip
    shared = {"y": task, "unit": "%", "joined": True}
    words = ASKED[task]
    return [
        {"kind": "plane", "title": f"{words}, against I_NCE(v1;v2)", "lines": lines, **shared},
        {"kind": "dial", "title": f"{words}, along the dials", "dial": "strength", **shared},
    ]


def answered(
    rows: Sequence[Row],
    arms: dict[str, Job],
    asked: Sequence[str],
    claims: Sequence[dict[str, Any]],
) -> str:
    """The best view of each task, what its views share, and whether the tasks agree."""
    best: dict[str, str] = {}
    parts = []
    for task in asked:
        found: dict[str, list[Row]] = {}
        for row in rows:
            if row.candidate in arms and row.status == "done" and task in row.measures:
                found.setdefault(row.candidate, []).append(row)
        if not found:
            continue
        means = {n: sum(r.measures[task] for r in rs) / len(rs) for n, rs in found.items()}
        name = max(means, key=lambda n: means[n])
        nats = sum(r.nats or 0.0 for r in found[name]) / len(found[name])
        best[task] = name.rpartition(", ")[0]
        parts.append(
            f"{ASKED[task]}: best with {best[task]}, {100 * means[name]:.1f} %, its views share "
            f"{nats:.2f} nats"
        )
    same = len(set(best.values())) == 1
    agree = "" if len(best) < 2 else f" The two tasks {'agree' if same else 'want other views'}."
    seen = sum(claim["verdict"] == SHOWN for claim in claims)
    return (
        f"{'; '.join(parts) or 'Nothing could be measured'}.{agree} A reverse-U is shown in {seen} "
        f"of {len(claims)} sweeps."
    )
