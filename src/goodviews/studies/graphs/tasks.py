"""What a graph is to be good for: links, nodes, graphs; what each trains on and is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from goodviews.data.graphs import LoadedGraphs, split_links, split_nodes
from goodviews.evaluation.graphs.calibration import calibration, fit_scaling
from goodviews.evaluation.graphs.decoders import Scorer, decode
from goodviews.evaluation.graphs.graph_probe import graph_probe
from goodviews.evaluation.graphs.links import link_scores
from goodviews.evaluation.graphs.nodes import cluster, node_probe
from goodviews.evaluation.task import label_entropy
from goodviews.interfaces import UserError, check_name
from goodviews.report.tables import TaskWords

HELD_OUT = 0.2
"""Share of the nodes (of a set: of the graphs) that no loss reads: there I_NCE is measured."""
RAW = "raw features"
Hard = Literal["neighbours", "degree"] | bool
"""Pairs without link that resemble links, see :func:`goodviews.data.graphs.split_links`."""


@dataclass(frozen=True)
class Scene:
    """What one seed of a task trains on, and by what it is judged."""

    graphs: list[Data]
    """What training and message passing may see."""
    embedded: list[Data]
    """What is embedded for the probe: the same graph, or the whole set of graphs."""
    heldout: Tensor
    """Places of the nodes (or graphs) that no loss reads."""
    probe: Callable[[Tensor], dict[str, float]]
    """Vectors of what is embedded -> measures; "linear" is the task's own, "label_nats" may be."""
    lines: list[str] = field(default_factory=list)

    @property
    def contrasted(self) -> Tensor:
        """Places of the others, which the loss reads."""
        count = len(self.graphs) if len(self.graphs) > 1 else int(self.graphs[0].num_nodes or 0)
        keep = torch.ones(count, dtype=torch.bool)
        keep[self.heldout] = False
        return keep.nonzero().flatten()


class GraphTask(Protocol):
    """A task: its words, and a scene a seed."""

    @property
    def words(self) -> TaskWords:
        """What its accuracy is called."""
        ...

    @property
    def measures(self) -> Mapping[str, str]:
        """The table's columns: measure -> words."""
        ...

    def scene(self, seed: int) -> Scene:
        """What this seed trains on."""
        ...

    def entropy(self) -> float | None:
        """H(y) of what is to be predicted, nats."""
        ...


def held_out(count: int, seed: int) -> Tensor:
    """A fifth of ``count`` places, at least two, drawn by the seed and sorted.

    Example:
        >>> len(held_out(100, 0)), len(held_out(5, 0))
        (20, 2)
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(count, generator=generator)[: max(2, round(HELD_OUT * count))]
    return chosen.sort().values


@dataclass(frozen=True)
class LinkTask:
    """Are hidden links told from pairs without link? Measured by AUC on the test links.

    ``decoder``: by default the best on validation links of the cosine of two node vectors and
    logistic regressions on their product, fitted on training links (:data:`DECODERS`).
    """

    data: Data
    test: float = 0.1
    validation: float = 0.05
    hard: Hard = False
    decoder: str = "best"
    words: TaskWords = TaskWords(
        probe="link AUC",
        short="AUC",
        title="AUC of hidden links",
        reach="hidden links are told from pairs without link with an AUC of",
        held="links hidden from training and message passing",
        raw=RAW,
    )
    measures: Mapping[str, str] = field(
        default_factory=lambda: {
            "linear": "link AUC",
            "ap": "average precision",
            "hits@50": "Hits@50",
            "mrr": "MRR",
            "ece": "calibration error",
        }
    )

    def scene(self, seed: int) -> Scene:
        """The training links alone; the seed draws what is hidden."""
        split = split_links(self.data, self.test, self.validation, seed, hard=self.hard)

        def probe(z: Tensor) -> dict[str, float]:
            scorer = decode(self.decoder, z, split, seed=seed)
            return link_measures(scorer, split)

        nodes = held_out(int(self.data.num_nodes or 0), seed)
        return Scene([split.message], [split.message], nodes, probe, split.lines())

    def entropy(self) -> float | None:
        """Log 2: as many pairs without link as links are asked about."""
        return float(torch.log(torch.tensor(2.0)))


def link_measures(scorer: Scorer, split: object) -> dict[str, float]:
    """Ranking and calibration of a scorer on the test links of a split.

    Scores become probabilities by Platt's scaling on the validation links; ``label_nats`` is
    log 2 minus their cross-entropy on as many links as non-links, a lower bound on I(z; link).
    """
    parts = {
        name: (scorer(getattr(split, name)), scorer(getattr(split, f"{name}_negatives")))
        for name in ("validation", "test")
    }
    found = {key: float(value) for key, value in link_scores(*parts["test"]).row().items()}
    known, asked = (
        (torch.cat(pair), torch.cat([torch.ones(len(pair[0])), torch.zeros(len(pair[1]))]))
        for pair in (parts["validation"], parts["test"])
    )
    p = fit_scaling(*known)(asked[0]).clamp(1e-6, 1 - 1e-6)
    reliable = calibration(p, asked[1])
    loss = torch.nn.functional.binary_cross_entropy(p, asked[1].double())
    found |= {"ece": reliable.ece, "brier": reliable.brier}
    return found | {"linear": found["auc"], "label_nats": float(torch.tensor(2.0).log() - loss)}


@dataclass(frozen=True)
class NodeTask:
    """Does a linear probe on frozen node vectors name the class of nodes it has not seen?

    On the public split where the set publishes one, and on random 10/10/80 ones: both are measured
    wherever there are both (published tables mix them, ten points apart).
    """

    data: Data
    public: bool
    words: TaskWords = TaskWords(
        probe="node accuracy",
        short="nodes",
        title="linear probe, held-out nodes",
        reach="a linear probe on its node vectors reaches",
        held="held-out nodes",
        raw=RAW,
    )

    @property
    def measures(self) -> Mapping[str, str]:
        """The table's columns."""
        first = "public split" if self.public else "random 10/10/80"
        found = {"linear": f"node accuracy, {first}", "macro_f1": "macro F1", "nmi": "NMI"}
        return found | ({"random": "node accuracy, random 10/10/80"} if self.public else {})

    def scene(self, seed: int) -> Scene:
        """The whole graph; the seed draws the random split, and which nodes no loss reads."""
        y = self.data.y
        if y is None or len(y.unique()) < 2:
            raise UserError("--task: nodes needs labels of two classes. Add --labels FILE.csv.")
        kinds = {"public": "linear", "random": "random"} if self.public else {"random": "linear"}

        def probe(z: Tensor) -> dict[str, float]:
            found: dict[str, float] = {}
            for kind, key in kinds.items():
                made = node_probe(z, y, split_nodes(self.data, kind, seed), seed=seed)
                found[key] = made.result.accuracy
                if key == "linear":
                    found["macro_f1"] = made.macro_f1
                    if made.result.label_nats is not None:
                        found["label_nats"] = made.result.label_nats
            return found | {"nmi": cluster(z, y, seed).nmi}

        nodes = held_out(int(self.data.num_nodes or 0), seed)
        return Scene([self.data], [self.data], nodes, probe)

    def entropy(self) -> float | None:
        """H(y) over labelled nodes."""
        y = self.data.y
        return None if y is None else label_entropy(y[y >= 0])


@dataclass(frozen=True)
class SetTask:
    """Does a classifier on frozen graph vectors name the class of graphs? Ten folds."""

    graphs: list[Data]
    kind: str = "svm"
    words: TaskWords = TaskWords(
        probe="graph accuracy",
        short="graphs",
        title="10-fold accuracy on frozen graph vectors",
        reach="an SVM on its graph vectors reaches",
        held="held-out folds of graphs",
        raw=RAW,
    )
    measures: Mapping[str, str] = field(
        default_factory=lambda: {"linear": "graph accuracy, 10 folds", "folds_sd": "sd over folds"}
    )

    def scene(self, seed: int) -> Scene:
        """All graphs but a fifth are trained on; all are embedded; the seed draws the folds."""
        y = torch.cat([graph.y.view(-1)[:1] for graph in self.graphs])
        counts = y.unique(return_counts=True)[1]
        folds = min(10, int(counts.min()))

        def probe(z: Tensor) -> dict[str, float]:
            made = graph_probe(z, y, folds=folds, seed=seed, kind=self.kind)
            return {"linear": made.mean, "folds_sd": made.std}

        return Scene(self.graphs, self.graphs, held_out(len(self.graphs), seed), probe)

    def entropy(self) -> float | None:
        """H(y) over graphs."""
        return label_entropy(torch.cat([graph.y.view(-1)[:1] for graph in self.graphs]))


TASKS = ("links", "nodes", "graphs")
"""What ``--task`` may be."""


def task_name(loaded: LoadedGraphs) -> str:
    """What the data have labels for, else links."""
    if len(loaded.graphs) > 1:
        return "graphs"
    return "links" if loaded.graphs[0].y is None else "nodes"


def single(loaded: LoadedGraphs) -> Data:
    """The only graph.

    Raises:
        UserError: there are several.
    """
    if len(loaded.graphs) != 1:
        raise UserError(f"--data: {loaded.name} has {len(loaded.graphs)} graphs. Name one graph.")
    return loaded.graphs[0]


def task_of(name: str, loaded: LoadedGraphs, *, hard: Hard = False) -> GraphTask:
    """The task of this name on these graphs.

    Raises:
        UserError: unknown; nodes or links of a set of many graphs; graphs of a single one.
    """
    check_name("--task", name, TASKS)
    many = len(loaded.graphs) > 1
    if many != (name == "graphs"):
        has = f"{len(loaded.graphs)} graphs" if many else "one graph"
        fits = "--task graphs" if many else "--task links or --task nodes"
        raise UserError(f"--task: {name} does not suit {loaded.name}, {has}. Use {fits}.")
    if name == "links":
        return LinkTask(loaded.graphs[0], hard=hard)
    if name == "nodes":
        return NodeTask(loaded.graphs[0], loaded.public)
    if any(graph.y is None for graph in loaded.graphs):
        raise UserError(f"--task: graphs needs a label a graph, and {loaded.name} has none.")
    return SetTask(loaded.graphs)


def raw_vectors(graphs: list[Data]) -> Tensor:
    """The features as they come: of a graph's nodes, or the mean over the nodes of each graph."""
    if len(graphs) == 1:
        return graphs[0].x
    whole = Batch.from_data_list(graphs)
    sums = whole.x.new_zeros(len(graphs), whole.x.size(1)).index_add_(0, whole.batch, whole.x)
    return sums / (whole.ptr[1:] - whole.ptr[:-1]).unsqueeze(1)
