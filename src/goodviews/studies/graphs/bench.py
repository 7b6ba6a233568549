"""One run of a graph study: train on views of graphs, measure what they share and what is kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from goodviews.estimators.graphs import held_out_nats
from goodviews.evaluation.geometry import rankme, uniformity
from goodviews.interfaces import Row
from goodviews.methods.graphs import GraphMethod
from goodviews.studies.conclude import UNTRAINED
from goodviews.studies.graphs.learned import LEARNED
from goodviews.studies.graphs.tasks import RAW, GraphTask, Scene, raw_vectors
from goodviews.studies.grid import Job
from goodviews.training.graphs import GraphSettings, fit_graphs
from goodviews.views.graphs import GraphRecipe


@dataclass(frozen=True)
class GraphBench:
    """What is the same for every candidate of a graph study."""

    task: GraphTask
    make: Callable[[Job, int], GraphMethod]
    """The untrained method of a job, given the number of features a node has."""
    settings: GraphSettings
    """How all are trained; the seed is the job's."""
    candidates: int = 256
    """K of the held-out I_NCE."""
    learn: Callable[[Job, Data], GraphRecipe] | None = None
    """The recipe of a job whose views are learned, from what training may see."""

    def measure(self, job: Job) -> Row:
        """The row of one job: trained, its information measured, and probed."""
        row, scene = job.row(), self.task.scene(job.seed)
        if job.candidate == RAW:
            self.probe(row, scene, raw_vectors(scene.embedded))
            return row
        if job.family == LEARNED and self.learn is not None:
            job = replace(job, recipe=self.learn(job, scene.graphs[0]).to_dict())
        method = self.make(job, scene.graphs[0].x.size(1))
        if job.candidate != UNTRAINED:
            self.train(method, scene, row)
            self.information(method, scene, row)
        self.probe(row, scene, embedded(method, scene.embedded))
        return row

    def train(self, method: GraphMethod, scene: Scene, row: Row) -> None:
        """Train on the items that are not held out."""
        began = time.perf_counter()
        settings = replace(self.settings, seed=row.seed)
        if len(scene.graphs) > 1:
            graphs = [scene.graphs[place] for place in scene.contrasted.tolist()]
            history = fit_graphs(method, graphs, settings)
        else:
            history = fit_graphs(method, scene.graphs[0], settings, nodes=scene.contrasted)
        row.steps = int(history[-1]["step"] or 0)
        items = len(scene.contrasted) * len(history)
        row.images_per_second = items / (time.perf_counter() - began)

    def information(self, method: GraphMethod, scene: Scene, row: Row) -> None:
        """I_NCE(v1;v2) on items that no loss has read, and on as many that it has; the null."""
        data: Data = scene.graphs[0]
        if len(scene.graphs) > 1:
            data = Batch.from_data_list(scene.graphs)
        seen = scene.contrasted[: len(scene.heldout)]
        k = min(self.candidates, len(scene.heldout))
        held, train = (
            held_out_nats(method, data, places, candidates=k, seed=row.seed)
            for places in (scene.heldout, seen)
        )
        row.nats, row.nats_stderr, row.null = held.nats, held.stderr, held.null
        row.nats_train, row.candidates = train.nats, k

    def probe(self, row: Row, scene: Scene, z: Tensor) -> None:
        """What the task keeps, and what needs no labels."""
        measures = scene.probe(z)
        row.linear = measures.pop("linear")
        row.label_nats = measures.pop("label_nats", None)
        row.measures = measures
        row.rankme, row.uniformity = rankme(z), uniformity(z)


def embedded(method: GraphMethod, graphs: list[Data]) -> Tensor:
    """The frozen vectors of a graph's nodes, or of each of several graphs, on the CPU."""
    if len(graphs) == 1:
        return method.embed(graphs[0]).cpu()
    parts = [graphs[start : start + 256] for start in range(0, len(graphs), 256)]
    return torch.cat([method.embed_graphs(Batch.from_data_list(part)).cpu() for part in parts])
