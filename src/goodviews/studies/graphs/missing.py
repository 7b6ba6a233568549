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
from goodviews.studies.claims import PAIRED, RULE, SHOWN, Claim, Reading, judge
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
from goodviews.studies.graphs.frozen import designed, preset_of, settings_of
from goodviews.studies.graphs.learned import LEARNED
from goodviews.studies.graphs.tasks import RAW, Hard, LinkTask, link_measures, single
from goodviews.studies.grid import Job, run_grid
from goodviews.training.graphs import GraphSettings, fit_graphs
from goodviews.views.graphs import GRAPH_FAMILIES, GraphRecipe

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Of all links, hidden."""
VALIDATION = 0.05
"""Share of the links that chooses each decoder's penalty."""
UNIFORM = "edge-removal"
VIEWS = (
    "edge-removal=0.3",
    "edge-removal=0.7",
    "feature-masking=0.3",
    "resample=0.3",
    "complete=0.3",
    "hidden-links=0.5",
    "learned=1",
)
METHODS = ("dgi", "gae", "node2vec")
RULES = ("common-neighbours", "adamic-adar", "katz", "ppr")
DRAWN, PARTNERS, EXACT = 20_000, 50, 1500
"""Pairs that set the mean probability; pairs a node, and the most nodes of which all are asked."""
OURS = ("resample", "complete", "hidden-links", LEARNED)
"""Families that the package adds."""


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
            "raw features", "untrained network", methods, or views as "family=value" under GRACE.
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
        family, _, value = arm.partition("=")
        encoder = self.encoder or "gcn"
        if family == LEARNED:
            own = replace(job, value=float(value))
            views = learned(own, message, encoder, self.limits, self.settings.device).recipe
        elif value:
            views = GRAPH_FAMILIES[family].recipe(float(value))
        else:
            views = GraphRecipe("none")
        view = replace(job, recipe=plain(views.to_dict()))
        method = made("grace", view, encoder, message.x.size(1), self.limits)
        if arm != UNTRAINED:
            fit_graphs(method, message, replace(self.settings, seed=job.seed))
        return decode("best", method.embed(message).cpu(), split, seed=job.seed)


def _wanted(variants: str | Sequence[str] | None) -> list[str]:
    texts = variants.split(",") if isinstance(variants, str) else variants
    names = [text.strip() for text in texts or arms() if text.strip()]
    for name in names:
        family = name.partition("=")[0]
        known = (*HEURISTICS, RAW, UNTRAINED, *GRAPH_METHODS, *GRAPH_FAMILIES, LEARNED)
        check_name("--variants", family, known)
        if family in (*GRAPH_FAMILIES, LEARNED) and "=" not in name:
            raise UserError(f"--variants: {name}: say how strong, for example {name}=0.3.")
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


def recorded(
    rows: Sequence[Row],
    wanted: Sequence[str],
    shares: Sequence[float],
    loaded: LoadedGraphs,
    command: str,
    settings: dict[str, Any],
    scale: str,
    limits: GraphBudget,
) -> dict[str, Any]:
    """What study.json holds and the page reads."""
    measures = LinkTask(loaded.graphs[0]).measures
    claims = judge(curves(rows, shares), claimed(wanted))
    return {
        "study": "missing-links",
        "kind": "experiment",
        "question": f"Which links are missing? ({loaded.name})",
        "answer": answered(rows, wanted, shares, claims),
        "arms": [
            {"name": f"{arm}, {share:g} hidden", "group": arm, "value": share, "words": ""}
            for arm in wanted
            for share in shares
        ],
        "columns": [
            {"key": key, "words": words, "unit": "%", "digits": 1}
            for key, words in measures.items()
        ]
        + [
            {"key": "mixing_tv", "words": "links in wrong communities", "unit": "%", "digits": 1},
            {"key": "degree_w1", "words": "degrees off by", "unit": "links", "digits": 2},
        ],
        "panels": panels(wanted),
        "claims": claims,
        "rule": f"{RULE} {PAIRED}",
        "scale": scale,
        "notes": [
            "Hidden sets are nested at one seed and the same for every arm; as many pairs without "
            "link are asked about. Methods train as published, views under GRACE by the budget. "
            "Node vectors are read by their cosine or by logistic regression on their product, "
            "fitted on the links that are left: by what does best on the validation links. "
            "Heuristics are not fitted.",
        ],
        "command": command,
        "seeds": limits.seeds,
        "data": loaded.report,
        "environment": environment(),
        "settings": settings,
    }


def panels(wanted: Sequence[str]) -> list[dict[str, Any]]:
    """The curve of views, the curve of all else, and the tendency; few lines in each."""
    views = [arm for arm in wanted if "=" in arm]
    others = [arm for arm in wanted if "=" not in arm]
    bases = [arm for arm in (RAW, UNTRAINED) if arm in wanted]
    drawn = [
        ("linear", "AUC of the hidden links, views under GRACE", [*bases, *views]),
        ("linear", "AUC of the hidden links, heuristics and methods", [*others, *views[:1]]),
        ("mixing_tv", "Tendency: predicted links in the wrong communities", [*others, *views[:1]]),
    ]
    shared = {"kind": "dial", "unit": "%", "joined": True, "dial": "share of links hidden"}
    return [shared | {"y": y, "title": title, "only": only} for y, title, only in drawn]


def curves(rows: Sequence[Row], shares: Sequence[float]) -> list[Row]:
    """One row an arm and seed, where no share is lacking: the mean AUC along the curve.

    Example:
        >>> rows = [Row("candidate", f"ppr, {s} hidden", 0, family="ppr", value=s, linear=s)
        ...         for s in (0.25, 0.75)]
        >>> [(row.candidate, row.linear) for row in curves(rows, (0.25, 0.75))]
        [('ppr', 0.5)]
    """
    found: dict[tuple[str, int], list[float]] = {}
    for row in rows:
        if row.linear is not None and row.value in shares:
            found.setdefault((row.family, row.seed), []).append(row.linear)
    return [
        Row("candidate", arm, seed, linear=sum(values) / len(values))
        for (arm, seed), values in found.items()
        if len(values) == len(shares)
    ]


def claimed(wanted: Sequence[str]) -> list[Claim]:
    """Along the whole curve: each of our views beats uniform dropping, each view no training."""
    views = [arm for arm in wanted if arm.partition("=")[0] in (*GRAPH_FAMILIES, LEARNED)]
    uniform = [arm for arm in views if arm.partition("=")[0] == UNIFORM]
    ours = [arm for arm in views if arm.partition("=")[0] in OURS]
    pairs = [(arm, base, UNIFORM) for base in uniform for arm in ours]
    pairs += [(arm, UNTRAINED, UNTRAINED) for arm in views if UNTRAINED in wanted]
    return [
        Claim(
            f"{arm} beats {base}, mean over the curve",
            Reading(arm),
            Reading(base),
            "linear",
            pool=kind,
            paired=True,
        )
        for arm, base, kind in pairs
    ]


def answered(
    rows: Sequence[Row],
    wanted: Sequence[str],
    shares: Sequence[float],
    claims: Sequence[dict[str, Any]],
) -> str:
    """The best arm at the least, the middle and the largest share of hidden links."""
    parts = []
    for share in dict.fromkeys((shares[0], shares[len(shares) // 2], shares[-1])):
        found = {
            arm: sum(values) / len(values)
            for arm in wanted
            if (values := Reading(f"{arm}, {share:g} hidden").values(rows, "linear"))
        }
        if found:
            best = max(found, key=lambda arm: found[arm])
            parts.append(f"{share:.0%} hidden: {best} ({100 * found[best]:.1f} %)")
    seen = sum(claim["verdict"] == SHOWN for claim in claims)
    told = f" {seen} of {len(claims)} of the statements looked for are shown." if claims else ""
    return f"Best AUC with {'; '.join(parts) or 'nothing measured'}.{told}"
