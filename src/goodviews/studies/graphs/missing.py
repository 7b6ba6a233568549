"""The missing-link curve: hide more and more of a graph's links, and score what was hidden."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from goodviews.data.graphs import LinkSplit, LoadedGraphs, load_graphs, split_links
from goodviews.evaluation.graphs.calibration import fit_scaling
from goodviews.evaluation.graphs.decoders import Scorer, decode
from goodviews.evaluation.graphs.heuristics import HEURISTICS, score
from goodviews.evaluation.graphs.tendency import tendency
from goodviews.interfaces import Row, UserError, check_name
from goodviews.methods.graphs import GRAPH_METHODS
from goodviews.studies.conclude import UNTRAINED
from goodviews.studies.findings import Findings, closed
from goodviews.studies.folder import (
    command_line,
    disk_guard,
    open_study,
    plain,
    read_json,
)
from goodviews.studies.graphs.choose import (
    GRAPH_BUDGETS,
    Echo,
    GraphBudget,
    learned,
    made,
    made_with,
    spend,
    training,
)
from goodviews.studies.graphs.curve import parts, recorded
from goodviews.studies.graphs.frozen import designed, preset_of, settings_of
from goodviews.studies.graphs.learned import LEARNED
from goodviews.studies.graphs.tasks import RAW, Hard, link_measures, single
from goodviews.studies.grid import Job, run_grid
from goodviews.training.graphs import GraphSettings, fit_graphs
from goodviews.views.graphs import GRAPH_FAMILIES, GraphRecipe

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Of all links, hidden."""
VALIDATION = 0.05
"""Share of the links that chooses each decoder's penalty."""
VIEWS = (
    "edge-removal=0.3",
    "edge-removal=0.7",
    "feature-masking=0.3",
    "resample=0.3",
    "complete=0.3",
    "hidden-links=0.5",
    "learned=1",
    "edge-removal=0.3+feature-masking=0.3",
    "hidden-links=0.5+feature-masking=0.3",
)
METHODS = ("dgi", "gae", "node2vec")
RULES = ("common-neighbours", "adamic-adar", "katz", "ppr")
DRAWN, PARTNERS, EXACT = 20_000, 50, 1500
"""Pairs that set the mean probability; pairs a node, and the most nodes of which all are asked."""


def arms() -> list[str]:
    """The arms of the study: heuristics, baselines, methods, and views under GRACE."""
    return [*RULES, RAW, UNTRAINED, *METHODS, *VIEWS]


def missing_links(
    data: str = "sbm",
    *,
    scale: str = "quick",
    variants: str | Sequence[str] | None = None,
    hidden: str | Sequence[float] | None = None,
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
    """Hide 10 to 90 % of a graph's links, and ask every method and heuristic for them.

    At one seed the hidden sets are nested, and the same for every arm. A twentieth of the links
    chooses each decoder's penalty. Where it can be told, the predicted degrees and the predicted
    mixing of communities are set beside the true ones: "tendency, not value".

    Args:
        data: a graph, see :func:`goodviews.data.graphs.load_graphs`.
        scale: "quick" or "paper" (the standard budget of ``choose``).
        variants: some arms: heuristics (:data:`goodviews.evaluation.graphs.heuristics.HEURISTICS`),
            "raw features", "untrained network", methods, or views under GRACE as
            "family=value", with "+" between several.
        hidden: shares of links to hide, a comma list.
        hard: "neighbours" or "degree": pairs without link that resemble links.
        encoder: name in :data:`goodviews.encoders.graphs.GRAPH_ENCODERS`; None: gcn.
        seeds: runs an arm and share; None: the budget's, at least 3.
        epochs: of training; None: the budget's.
        lr: of Adam; None: the budget's.
        labels: a file of labels by node (the communities of the mixing).
        features: a file of features by node.
        data_root: folder that holds graphs/.
        download: whether a named set may be fetched.
        device: "auto", "cpu", "cuda" or "mps".
        out: folder for rows.jsonl, study.json, table.md and report.html.
        echo: gets the lines.

    Returns:
        The rows, and what was concluded.

    Raises:
        UserError: for data, names or shares that cannot work.
    """
    given = dict(locals())
    check_name("--scale", scale, ("quick", "paper"))
    base = GRAPH_BUDGETS["quick" if scale == "quick" else "standard"]
    limits = spend(replace(base, seeds=max(3, base.seeds)), seeds=seeds, epochs=epochs, lr=lr)
    loaded = load_graphs(
        data, labels=labels, features=features, data_root=data_root, download=download
    )
    graph = single(loaded)
    wanted, shares = _wanted(variants), _shares(hidden)
    bench = MissingBench(loaded, limits, training(limits, device), encoder, hard)
    for share in (min(shares), max(shares)):  # refused before the first run
        split_links(graph, share, VALIDATION, hard=hard)
    with disk_guard(out):
        own = {"study": "missing-links", "encoder": bench.encoder, "hard": hard}
        folder = open_study(Path(out), made_with(data, loaded, own, limits))
        for line in loaded.lines():
            echo(line)
        jobs = [
            Job(f"{arm}, {share:g} hidden", seed, "candidate", arm, "share of links hidden", share)
            for seed in range(limits.seeds)
            for share in shares
            for arm in wanted
        ]
        echo(f"plan: {len(jobs)} runs: {len(wanted)} arms, {len(shares)} shares")
        settings = read_json(folder / "settings.json")
        rows = run_grid(jobs, bench.measure, folder / "rows.jsonl", settings, echo, "AUC")
        command = command_line("study missing-links", missing_links, given)
        record = recorded(rows, wanted, shares, loaded, command, settings, scale, limits)
        return closed(rows, record, folder, echo)


@dataclass(frozen=True)
class MissingBench:
    """What is the same for every arm."""

    loaded: LoadedGraphs
    limits: GraphBudget
    settings: GraphSettings
    encoder: str | None
    """None: gcn, and of methods their own."""
    hard: Hard

    def measure(self, job: Job) -> Row:
        """The row of one arm at one share of hidden links."""
        row, share = job.row(), float(job.value or 0)
        split = split_links(self.loaded.graphs[0], share, VALIDATION, job.seed, hard=self.hard)
        scorer = self.scorer(job, split)
        found = link_measures(scorer, split)
        row.linear, row.label_nats = found.pop("linear"), found.pop("label_nats")
        row.measures = found | self.tendencies(scorer, split, job.seed)
        return row

    def tendencies(self, scorer: Scorer, split: LinkSplit, seed: int) -> dict[str, float]:
        """Are the predicted degrees and the predicted mixing of communities those of the graph?

        The links that are left are certain; of all other pairs the probability is the scaled
        score, its mean set by the number of links that is known to be hidden.
        """
        whole = self.loaded.graphs[0]
        n = int(whole.num_nodes or 0)
        known = (split.validation, split.validation_negatives)
        outcomes = [torch.full((part.size(1),), float(i == 0)) for i, part in enumerate(known)]
        scaling = fit_scaling(torch.cat([scorer(part) for part in known]), torch.cat(outcomes))
        generator = torch.Generator().manual_seed(seed)
        pairs = torch.randint(0, n, (2, DRAWN), generator=generator)
        left = split.message.edge_index
        fresh = ~torch.isin(pairs[0] * n + pairs[1], left[0] * n + left[1])
        pairs = pairs[:, fresh & (pairs[0] != pairs[1])]
        density = (whole.edge_index.size(1) - left.size(1)) / (n * (n - 1) - left.size(1))
        fitted = scaling.matched(scorer(pairs), density)
        found = tendency(
            lambda links: fitted(scorer(links)),
            whole,
            known=split.message,
            partners=PARTNERS,
            exact_nodes=EXACT,
            seed=seed,
        )
        return {
            "degree_w1": found.degree_w1,
            "degree_kl": found.degree_kl,
            "mixing_tv": found.mixing_tv,
            "mixing_kl": found.mixing_kl,
        }

    def scorer(self, job: Job, split: Any) -> Scorer:
        """The arm as a function of links."""
        arm, message = job.family, split.message
        if arm in HEURISTICS:
            return lambda links: score(arm, message, links)
        if arm == RAW:
            return decode("best", message.x, split, seed=job.seed)
        if arm in GRAPH_METHODS:
            entry = preset_of(arm, None, self.loaded.name.lower())
            method = designed(entry, self.encoder, message.x.size(1)).build(job.seed)
            fit_graphs(method, message, settings_of(entry, job.seed, self.settings.device))
            return decode("best", method.embed(message).cpu(), split, seed=job.seed)
        encoder, views = self.encoder or "gcn", GraphRecipe("none")
        for family, value in () if arm == UNTRAINED else parts(arm):
            if family == LEARNED:
                own = replace(job, value=value)
                views = learned(own, message, encoder, self.limits, self.settings.device).recipe
            else:
                views = GRAPH_FAMILIES[family].recipe(value, views)
        view = replace(job, recipe=plain(views.to_dict()))
        method = made("grace", view, encoder, message.x.size(1), self.limits)
        if arm != UNTRAINED:
            fit_graphs(method, message, replace(self.settings, seed=job.seed))
        return decode("best", method.embed(message).cpu(), split, seed=job.seed)


def _wanted(variants: str | Sequence[str] | None) -> list[str]:
    texts = variants.split(",") if isinstance(variants, str) else variants
    names = [text.strip() for text in texts or arms() if text.strip()]
    known = (*HEURISTICS, RAW, UNTRAINED, *GRAPH_METHODS, *GRAPH_FAMILIES, LEARNED)
    for name in names:
        for part in name.split("+"):
            family = part.partition("=")[0]
            check_name("--variants", family, known)
            if family in (*GRAPH_FAMILIES, LEARNED) and "=" not in part:
                raise UserError(f"--variants: {part}: say how strong, for example {part}=0.3.")
        if "=" in name and LEARNED in (chain := dict(parts(name))) and len(chain) > 1:
            raise UserError(f"--variants: {name}: learned views stand alone.")
    return names


def _shares(hidden: str | Sequence[float] | None) -> list[float]:
    texts = hidden.split(",") if isinstance(hidden, str) else hidden
    try:
        shares = [float(text) for text in texts or SHARES]
    except ValueError:
        raise UserError(f"--hidden: {hidden!r} are no numbers. Use for example 0.1,0.5.") from None
    if not all(0 < share <= 0.9 for share in shares):
        raise UserError(f"--hidden: {hidden}: shares lie above 0 and at most at 0.9.")
    return shares
