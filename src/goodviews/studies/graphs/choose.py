"""The main job on graphs: which views of this graph are good for its links, nodes or classes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch_geometric.data import Data

from goodviews import report
from goodviews.data.graphs import LoadedGraphs, load_graphs
from goodviews.interfaces import Row, UserError, check_name
from goodviews.methods.graphs import GRAPH_METHODS, GraphMethod
from goodviews.regimes import RULE
from goodviews.report.tables import format_table
from goodviews.studies.conclude import UNTRAINED, Conclusion, conclude
from goodviews.studies.folder import (
    command_line,
    disk_guard,
    environment,
    open_study,
    plain,
    read_json,
    write_json,
    write_yaml,
)
from goodviews.studies.graphs.bench import GraphBench
from goodviews.studies.graphs.learned import LEARNED, Learned, learned_recipe
from goodviews.studies.graphs.tasks import RAW, GraphTask, Hard, NodeTask, task_of
from goodviews.studies.grid import Job, run_grid
from goodviews.training import resolve_accelerator
from goodviews.training.graphs import GraphSettings
from goodviews.views.graphs import GRAPH_FAMILIES, GraphRecipe

Echo = Callable[[str], None]


@dataclass(frozen=True)
class GraphBudget:
    """What each run of a graph study gets; the same for every candidate."""

    seeds: int
    epochs: int
    dim: int
    """Width of the node vectors."""
    families: tuple[str, ...]
    values: int
    """At most so many values of each dial."""
    lr: float = 1e-3
    weight_decay: float = 1e-5
    temperature: float = 0.5
    batch_size: int = 128
    """Graphs a step, of a set of graphs."""
    candidates: int = 256
    """K of the held-out I_NCE."""
    contrasted: int = 512
    """Nodes that training scores against each other at once: on Cora AUC is that of all 2,708."""


GRAPH_BUDGETS = {
    "quick": GraphBudget(2, 60, 128, ("edge-removal", "feature-masking"), 4),
    "standard": GraphBudget(
        5, 150, 128, ("edge-removal", "feature-masking", "resample", "complete", "hidden-links"), 6
    ),
    "thorough": GraphBudget(10, 300, 256, tuple(GRAPH_FAMILIES), 12),
}
"""On two CPU cores and Cora: quick, minutes; standard, an hour; thorough, a night."""


MIXED = 0.1
"""Homophily beyond chance up to which links say nothing of classes."""


@dataclass
class GraphStudy:
    """What :func:`choose_graph` returns."""

    rows: list[Row]
    conclusion: Conclusion
    recipe: GraphRecipe | None
    out: Path


def choose_graph(
    data: str = "sbm",
    *,
    task: str = "nodes",
    labels: str | None = None,
    features: str | None = None,
    families: str | Sequence[str] | None = None,
    budget: str = "standard",
    method: str | None = None,
    encoder: str = "gcn",
    hard: Hard = False,
    seeds: int | None = None,
    epochs: int | None = None,
    lr: float | None = None,
    temperature: float | None = None,
    out: str | Path = "goodviews-choose",
    data_root: str | None = None,
    download: bool = False,
    device: str = "auto",
    echo: Echo = print,
) -> GraphStudy:
    """Measure candidate views of a graph, and recommend those that are good for the task.

    For each value of each family's dial, and each seed, a small encoder is trained on that view
    alone; I(v1;v2) is held-out I_NCE on nodes (or graphs) that no loss has read, what the task
    keeps is the AUC of hidden links, the accuracy of a probe on nodes, or that of an SVM on graphs.
    The same rows, regimes (:data:`goodviews.regimes.RULE`) and page as for images.

    Args:
        data: a name of `goodviews list graphs`, an edge list, or a folder that holds one; see
            :func:`goodviews.data.graphs.load_graphs`.
        task: "links", "nodes", or "graphs" (sets of graphs).
        labels: a file of labels by node.
        features: a file of features by node.
        families: names in :data:`goodviews.views.graphs.GRAPH_FAMILIES`, or "name=value:value";
            "learned=1:2" learns which links and features to drop, down to 1 and 2 nats, from what
            training may see. None: the budget's.
        budget: "quick", "standard" or "thorough".
        method: name in :data:`goodviews.methods.graphs.GRAPH_METHODS`; None: grace, and graphcl for
            sets of graphs.
        encoder: name in :data:`goodviews.encoders.graphs.GRAPH_ENCODERS`.
        hard: links only: "neighbours" or "degree", pairs without link that resemble links.
        seeds: runs a candidate; None: the budget's.
        epochs: passes over the nodes (or graphs); None: the budget's.
        lr: of Adam; None: the budget's.
        temperature: of the cosine critic; None: the budget's.
        out: folder for rows.jsonl, recipe.yaml, study.json and report.html.
        data_root: folder that holds graphs/.
        download: whether a named set may be fetched.
        device: "auto", "cpu", "cuda" or "mps".
        echo: gets the lines of progress.

    Returns:
        Rows, conclusion and the recommended recipe.

    Raises:
        UserError: for data, names or settings that cannot work, before the first run.
    """
    given = dict(locals())
    check_name("--budget", budget, GRAPH_BUDGETS)
    limits = spend(
        GRAPH_BUDGETS[budget], seeds=seeds, epochs=epochs, lr=lr, temperature=temperature
    )
    loaded = load_graphs(
        data, labels=labels, features=features, data_root=data_root, download=download
    )
    asked = task_of(task, loaded, hard=hard)
    asked.scene(0)  # a graph that cannot be split is refused before the first run
    name = method or ("graphcl" if task == "graphs" else "grace")
    check_name("--method", name, GRAPH_METHODS)
    jobs = plan(families, limits)
    bench = GraphBench(
        asked,
        lambda job, width: made(name, job, encoder, width, limits),
        training(limits, device),
        limits.candidates,
        lambda job, graph: learned(job, graph, encoder, limits, device).recipe,
    )
    with disk_guard(out):
        what = {"task": task, "method": name, "encoder": encoder, "hard": hard}
        folder = open_study(Path(out), made_with(data, loaded, what, limits))
        for line in loaded.lines():
            echo(line)
        echo(
            f"plan: {len(jobs)} runs ({limits.seeds} seeds), {limits.epochs} epochs of {name} with "
            f"{encoder}, task {task}"
        )
        kept = read_json(folder / "settings.json")
        rows = run_grid(jobs, bench.measure, folder / "rows.jsonl", kept, echo, asked.words.probe)
        command = command_line("choose", choose_graph, given)
        return concluded(rows, jobs, bench, loaded, folder, command, budget, echo)


def spend(budget: GraphBudget, **given: Any) -> GraphBudget:
    """The budget with the user's own numbers.

    Raises:
        UserError: for a number too small to work.

    Example:
        >>> spend(GRAPH_BUDGETS["quick"], seeds=3, epochs=None).seeds
        3
    """
    own = {name: value for name, value in given.items() if value is not None}
    for name, value in own.items():
        if value < (1 if name in ("seeds", "epochs") else 1e-12):
            raise UserError(f"--{name}: {value} is too small. Use a larger one, or leave it out.")
    return replace(budget, **own)


def training(limits: GraphBudget, device: str) -> GraphSettings:
    """How every run is trained."""
    resolve_accelerator(device)
    return GraphSettings(
        epochs=limits.epochs,
        batch_size=limits.batch_size,
        lr=limits.lr,
        weight_decay=limits.weight_decay,
        device=device,
        evaluate_every=0,
        log=(),
    ).check()


def made(name: str, job: Job, encoder: str, width: int, limits: GraphBudget) -> GraphMethod:
    """The untrained method of a job; views that change nothing are left out where they may be."""
    build, recipe = GRAPH_METHODS[name], GraphRecipe.from_dict(job.recipe)
    changed = bool(recipe.shared or recipe.first or recipe.second)
    own: dict[str, Any] = {"dim": limits.dim}
    takes = inspect.signature(build).parameters
    if "candidates" in takes:
        own["candidates"] = limits.contrasted
    if "temperature" in takes:
        own["temperature"] = limits.temperature
        changed = True
    return build(recipe if changed else None, encoder, width, seed=job.seed, **own)


def learned(job: Job, graph: Data, encoder: str, limits: GraphBudget, device: str) -> Learned:
    """Views that are learned on what training may see, down to the job's budget in nats."""
    return learned_recipe(
        graph,
        float(job.value or 0),
        encoder=encoder,
        dim=limits.dim,
        temperature=limits.temperature,
        epochs=limits.epochs,
        lr=limits.lr,
        seed=job.seed,
        device=device,
    )


def candidates(entry: str, most: int) -> list[Job]:
    """One job a value of a family's dial; "name=value:value" names the values.

    Raises:
        UserError: an unknown family, or a value that is none.
    """
    name, _, words = entry.partition("=")
    check_name("--families", name, (*GRAPH_FAMILIES, LEARNED))
    if name == LEARNED:
        return [
            Job(f"{LEARNED}={budget:g}", 0, "candidate", LEARNED, "budget, nats", budget)
            for budget in (_number(text, entry) for text in words.split(":") or ())
        ]
    family = GRAPH_FAMILIES[name]
    if words:
        values = [_number(text, entry) for text in words.split(":") if text]
    else:
        every = list(family.values)
        step = max(1, -(-len(every) // most))
        values = every[::step]
    return [
        Job(
            f"{name}={value:g}",
            0,
            "candidate",
            name,
            family.dial,
            value,
            plain(replace(family.recipe(value), name=f"{name}={value:g}").to_dict()),
        )
        for value in values
    ]


def plan(families: str | Sequence[str] | None, limits: GraphBudget) -> list[Job]:
    """Baselines and candidates, seed by seed."""
    entries = families.split(",") if isinstance(families, str) else families
    names = [entry.strip() for entry in entries or limits.families if entry.strip()]
    if not names:
        raise UserError(f"--families: none given. Known: {', '.join(GRAPH_FAMILIES)}.")
    found = {job.candidate: job for name in names for job in candidates(name, limits.values)}
    same = plain(GraphRecipe(name="none").to_dict())
    baselines = [Job(name, 0, "baseline", recipe=same) for name in (RAW, UNTRAINED)]
    return [
        replace(job, seed=seed)
        for seed in range(limits.seeds)
        for job in (*baselines, *found.values())
    ]


def _number(text: str, entry: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UserError(f"--families: {entry}: {text!r} is no number.") from None


def made_with(
    data: object, loaded: LoadedGraphs, own: dict[str, Any], limits: GraphBudget
) -> dict[str, Any]:
    """What every row of a graph study was made with."""
    free = ("seeds", "families", "values")
    spent = {key: value for key, value in asdict(limits).items() if key not in free}
    nodes = sum(int(graph.num_nodes or 0) for graph in loaded.graphs)
    links = sum(graph.edge_index.size(1) for graph in loaded.graphs) // 2
    found: dict[str, Any] = plain(
        {"data": str(data), **own, "nodes": nodes, "links": links, **spent}
    )
    return found


def concluded(
    rows: list[Row],
    jobs: Sequence[Job],
    bench: GraphBench,
    loaded: LoadedGraphs,
    folder: Path,
    command: str,
    budget: str,
    echo: Echo,
) -> GraphStudy:
    """Conclude; write recipe.yaml, study.json and the page; say what was found.

    Raises:
        UserError: when no view could be measured.
    """
    words, entropy = bench.task.words, bench.task.entropy()
    found = conclude(rows, entropy or 0.0, words)
    verdicts = [*found.verdicts, *_mixing(bench.task, loaded, folder)]
    chosen = next((job for job in jobs if job.candidate == found.recommended), None)
    if chosen is not None and chosen.family == LEARNED and bench.learn is not None:
        chosen = replace(chosen, recipe=bench.learn(chosen, loaded.graphs[0]).to_dict())
    if chosen is not None:
        write_yaml(folder / "recipe.yaml", chosen.recipe)
    write_json(
        folder / "study.json",
        {
            "question": f"Which views are good for {loaded.name} ({words.probe})?",
            "answer": found.answer,
            "verdicts": verdicts,
            "rule": RULE,
            "words": asdict(words),
            "command": command,
            "recipe_text": (folder / "recipe.yaml").read_text("utf-8") if chosen else "",
            "seeds": len({row.seed for row in rows if row.kind == "candidate"}),
            "budget": budget,
            "K": bench.candidates,
            "label_entropy": entropy,
            "labelled": True,
            "data": loaded.report,
            "environment": environment(),
            "settings": read_json(folder / "settings.json"),
            "summary": found.summary,
        },
    )
    page = report.study_page(folder)
    for line in ("", format_table(found.summary, words), "", found.answer):
        echo(line)
    for line in verdicts:
        echo(f"- {line}")
    if chosen is None:
        failed = [row.error for row in rows if row.kind == "candidate" and row.status == "failed"]
        raise UserError(f"choose: no view could be measured; the first failed with: {failed[0]}")
    echo(f"recipe: {folder / 'recipe.yaml'}")
    echo(f"page:   {page}")
    return GraphStudy(rows, found, GraphRecipe.from_dict(chosen.recipe), folder)


def _mixing(task: GraphTask, loaded: LoadedGraphs, folder: Path) -> list[str]:
    """Why views and encoders that trust links fail, where links join what differs."""
    beyond = loaded.report.get("homophily_beyond_chance", 1.0)
    if not isinstance(task, NodeTask) or beyond > MIXED:
        return []
    if read_json(folder / "settings.json").get("encoder") == "mlp":
        return []
    return [
        f"Links join different classes (homophily {loaded.report['homophily']:.2f}, about what "
        "chance gives): an encoder that averages neighbours blurs what the features tell. Compare "
        "--encoder mlp, which reads no links."
    ]
