"""One door to all graphs: a name, a file, a folder or a Data -> graphs in order and a report."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from goodviews.data.graphs.describe import describe, report_lines
from goodviews.data.graphs.files import FEATURES, LABELS, read_graph, read_rows
from goodviews.data.graphs.links import tidy
from goodviews.data.graphs.named import (
    FILES,
    PLANETOID,
    TU,
    no_graph,
    read_named,
    read_ogb,
    read_set,
)
from goodviews.data.graphs.raw import Raw, Rows, assemble, class_codes
from goodviews.data.graphs.structure import degree_one_hot, structural_features
from goodviews.data.graphs.worlds import StochasticBlocks, stochastic_blocks
from goodviews.interfaces import UserError, check_name

MADE = ("structural", "positional")
"""Features that are made of the links, by what ``features`` calls them."""
POSITIONS = 16
"""Eigenvectors that "positional" adds to the structural features; "positional:64" adds 64."""
WIDEST = 512
"""Degrees from this on share the last of the one-hot features of a set of graphs."""

Values = str | Path | np.ndarray | Tensor | None


@dataclass
class LoadedGraphs:
    """One graph or several, in order, ready to be viewed and split."""

    name: str
    graphs: list[Data]
    classes: tuple[str, ...]
    public: bool
    """Whether the set publishes a split of its nodes."""
    report: dict[str, Any]
    """What was found, as plain values for ``data_report.json``."""
    ids: tuple[int | str, ...] | None = None
    """The id of each node in the file; None where nodes are 0 .. n-1 there."""
    world: StochasticBlocks | None = field(default=None, repr=False)
    """The truth behind a drawn graph."""

    def lines(self) -> list[str]:
        """Say in words what was found, for the console and the report."""
        return report_lines(self.report)


def load_graphs(
    data: str | Path | Data | Sequence[Data],
    *,
    labels: Values = None,
    features: Values = None,
    data_root: str | Path | None = None,
    download: bool = False,
    seed: int = 0,
) -> LoadedGraphs:
    """Read and check a graph, or a set of graphs, and put it in order.

    Whatever comes in, ``edge_index`` holds both directions of each link once, sorted, without
    self loops; links that had a direction lose it; ids of any kind become 0 .. n-1 in their sorted
    order. What was dropped is counted in the report. Nodes without features get
    :func:`structural_features`, and are marked so (``x_kind``) that a split makes them anew.

    Args:
        data: a name of :func:`named_graphs` (these win over a file of that name; write
            ``./cora``), ``tu:NAME``, ``ogb:NAME``, ``sbm:OPTION=VALUE,...``, a file or folder (see
            :func:`goodviews.data.graphs.files.read_graph`), or graphs of torch_geometric.
        labels: None takes what the data bring, ``"none"`` leaves them out; a file, or an array
            of one class a node in the order of the ids.
        features: None takes what the data bring; ``"structural"`` or ``"positional"`` (or
            ``"positional:64"``) makes them of the links; a file or an array (n, f).
        data_root: the folder that holds the named sets, itself or in ``graphs``.
        download: fetch a named set that is not there. Nothing else uses the network.
        seed: draws the worlds.

    Raises:
        UserError: the data are missing or cannot be read, hold no link, or ids, features and
            labels do not fit each other.

    Example:
        >>> found = load_graphs("sbm:nodes=100,blocks=2,inside=0.2,between=0.05")
        >>> found.graphs[0]
        Data(x=[100, 16], edge_index=[2, 1260], y=[100])
        >>> found.lines()[0]
        'sbm: 100 nodes, 630 links, mean degree 12.60, 16 features, 2 classes'
    """
    began = time.perf_counter()
    if isinstance(data, str | os.PathLike):
        found = _by_name(str(data), labels, features, data_root, download, seed)
    else:
        graphs = [data] if isinstance(data, Data) else list(data)
        found = _given(graphs, labels, features, seed)
    found.report["seconds"] = round(time.perf_counter() - began, 3)
    return found


def _by_name(
    data: str,
    labels: Values,
    features: Values,
    data_root: str | Path | None,
    download: bool,
    seed: int,
) -> LoadedGraphs:
    """Tell worlds, sets of graphs, named graphs and files apart."""
    kind, _, rest = data.partition(":")
    if kind == "sbm":
        return _world(rest, labels, features, seed)
    of_set = TU.get(data) or (rest if kind == "tu" and rest else None)
    if of_set:
        graphs, codes = read_set(of_set, _root(data, data_root), download)
        return _set(of_set, graphs, codes, labels, features)
    if kind == "ogb" and rest:
        raw = read_ogb(rest, _root(data, data_root), download)
        if isinstance(raw, list):
            return _raw_set(rest, raw, labels, features)
        return _single(rest, raw, labels, features, seed)
    if data in PLANETOID or data in FILES or data == "wikics":
        raw = read_named(data, _root(data, data_root), download)
        return _single(PLANETOID.get(data, data), raw, labels, features, seed)
    path = Path(data.rpartition(":")[0] or data).expanduser()
    if not (path.exists() or Path(data).expanduser().exists()):
        raise no_graph(data)
    return _single(path.resolve().stem, read_graph(data), labels, features, seed)


def _root(data: str, data_root: str | Path | None) -> Path:
    if data_root is None:
        raise UserError(
            f"--data: {data} needs --data-root, the folder that holds it or that --download may "
            "fill. Or use a file of links, or sbm."
        )
    return Path(data_root).expanduser()


# --- one graph ------------------------------------------------------------------------------------


def made_of(features: Values) -> tuple[str | None, int]:
    """Which features are to be made of the links, and with how many eigenvectors.

    Raises:
        UserError: a number of positions that is none.

    Example:
        >>> made_of("structural"), made_of("positional"), made_of("positional:64"), made_of("x.csv")
        (('structural', 0), ('positional', 16), ('positional', 64), (None, 0))
    """
    kind, _, count = features.partition(":") if isinstance(features, str) else ("", "", "")
    if kind not in MADE or (count and kind == "structural"):
        return None, 0
    if count and not (count.isdecimal() and int(count)):
        raise UserError(f"--features: {features}: {count!r} is no number of positions. Use 16.")
    return kind, int(count or POSITIONS) if kind == "positional" else 0


def _single(
    name: str, raw: Raw, labels: Values, features: Values, seed: int, x_kind: str | None = None
) -> LoadedGraphs:
    """Join links with what was said of features and labels."""
    made, positions = made_of(features)
    if made:
        raw.features = None
    elif features is not None:
        raw.features = _rows(features, "--features", FEATURES)
    if isinstance(labels, str) and labels == "none":
        raw.labels = None
    elif labels is not None:
        raw.labels = _rows(labels, "--labels", LABELS)
    found = assemble(raw)
    graph = found.data
    if raw.features is None:
        graph.x = structural_features(graph, seed, positions)
        graph.x_kind = made or "structural"
    elif x_kind and features is None:
        graph.x_kind = x_kind
    graph = _ordered(graph)
    facts = describe(name, [graph], found.classes, found.dropped, raw.directed, raw.notes)
    return LoadedGraphs(name, [graph], found.classes, "train_mask" in graph, facts, found.ids)


def _rows(values: Values, flag: str, names: tuple[str, ...]) -> Rows:
    if isinstance(values, str | os.PathLike):
        return read_rows(Path(values).expanduser(), flag, names)
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    return Rows(array, flag)


def _ordered(graph: Data) -> Data:
    """The same with its entries in the usual order, and without a count of nodes beside x."""
    entries = graph.to_dict()
    entries.pop("num_nodes", None)
    first = [key for key in ("x", "edge_index", "y") if key in entries]
    return Data.from_dict(
        {key: entries[key] for key in [*first, *(k for k in entries if k not in first)]}
    )


def _world(options: str, labels: Values, features: Values, seed: int) -> LoadedGraphs:
    """A stochastic block model; ``options`` as in nodes=500,blocks=4."""
    kinds = {
        "nodes": int,
        "blocks": int,
        "inside": float,
        "between": float,
        "features": int,
        "noise": float,
        "seed": int,
    }
    chosen: dict[str, Any] = {"seed": seed}
    for option in filter(None, options.split(",")):
        name, _, value = option.partition("=")
        check_name("--data: sbm", name, kinds)
        try:
            chosen[name] = kinds[name](value)
        except ValueError as error:
            word = "whole number" if kinds[name] is int else "number"
            raise UserError(f"--data: sbm: {name}={value} is no {word}. Use one.") from error
    world = stochastic_blocks(**chosen)
    if not world.data.num_edges:
        raise UserError("--data: sbm: drew no link. Use larger inside, between or nodes.")
    found = _given([world.data], labels, features, seed)
    found.name = found.report["name"] = "sbm"
    found.world = world
    return found


def _given(graphs: list[Data], labels: Values, features: Values, seed: int) -> LoadedGraphs:
    """Graphs of torch_geometric."""
    if not graphs:
        raise UserError("data: an empty list of graphs. Give at least one.")
    for i, graph in enumerate(graphs):
        if not isinstance(graph, Data) or not isinstance(graph.edge_index, Tensor):
            raise UserError(f"data: graph {i} is no Data with edge_index. Give torch_geometric's.")
    raws = [_of_given(graph, i if len(graphs) > 1 else None) for i, graph in enumerate(graphs)]
    if len(graphs) == 1 and not _graph_label(graphs[0]):
        return _single("graph", raws[0], labels, features, seed, graphs[0].to_dict().get("x_kind"))
    for graph, raw in zip(graphs, raws, strict=True):
        raw.labels = Rows(graph.y.numpy(), raw.where) if isinstance(graph.y, Tensor) else None
    return _raw_set("graphs", raws, labels, features)


def _graph_label(graph: Data) -> bool:
    """Whether y tells of the whole graph."""
    return isinstance(graph.y, Tensor) and graph.y.numel() == 1 != graph.num_nodes


def _of_given(graph: Data, number: int | None) -> Raw:
    where = "data" if number is None else f"data: graph {number}"
    y, x = graph.y, graph.x
    masks = ("train_mask", "val_mask", "test_mask")
    return Raw(
        graph.edge_index.t().cpu().numpy(),
        where,
        graph.num_nodes if x is None else len(x),
        None if x is None else Rows(x.detach().cpu().numpy(), where),
        Rows(y.cpu().numpy(), where) if isinstance(y, Tensor) and not _graph_label(graph) else None,
        {key: graph[key].cpu().numpy() for key in masks if key in graph},
    )


# --- sets of graphs -------------------------------------------------------------------------------


def _raw_set(name: str, raws: list[Raw], labels: Values, features: Values) -> LoadedGraphs:
    """A set out of graphs that may have features and one label each."""
    graphs = []
    for raw in raws:
        size = raw.nodes or 0
        edges = torch.from_numpy(np.ascontiguousarray(raw.edges.T)).long()
        if edges.numel() and not 0 <= int(edges.min()) <= int(edges.max()) < size:
            bad = edges.min() if int(edges.min()) < 0 else edges.max()
            raise UserError(f"{raw.where}: a link names node {int(bad)} of {size}. Mend it.")
        graph = Data(edge_index=edges, num_nodes=size)
        if raw.features is not None:
            graph.x = torch.from_numpy(raw.features.values).float()
        graphs.append(graph)
    given = [raw.labels for raw in raws if raw.labels is not None]
    codes = None
    if len(given) == len(raws) and all(rows.values.size == 1 for rows in given):
        codes = torch.from_numpy(np.concatenate([rows.values.reshape(1) for rows in given]))
    return _set(name, graphs, codes, labels, features)


def _set(
    name: str, graphs: list[Data], codes: Tensor | None, labels: Values, features: Values
) -> LoadedGraphs:
    """Put a set of graphs in order: features for all of one width, y (1,) in each."""
    if not graphs:
        raise UserError(f"--data: {name} holds no graph. Give at least one.")
    made = isinstance(features, str) and features == "structural"
    if features is not None and not made:
        raise UserError(f"--features: {features} does not fit a set of graphs. Use structural.")
    if isinstance(labels, str) and labels == "none":
        codes = None
    elif labels is not None:
        codes = torch.from_numpy(_rows(labels, "--labels", LABELS).values)
        if len(codes) != len(graphs):
            raise UserError(f"--labels: {len(codes)} for {len(graphs)} graphs. Give one a graph.")
    totals: dict[str, int] = {}
    for graph in graphs:
        graph.edge_index, dropped = tidy(graph.edge_index, int(graph.num_nodes or 0))
        totals = {key: totals.get(key, 0) + count for key, count in dropped.items()}
    if not any(graph.num_edges for graph in graphs):
        raise UserError(f"--data: {name} holds no link in any graph. Give graphs with links.")
    _set_features(name, graphs, made)
    classes: tuple[str, ...] = ()
    if codes is not None:
        y, classes = class_codes(codes.numpy(), f"--data: {name}")
        for graph, label in zip(graphs, y.split(1), strict=True):
            graph.y = label
    graphs = [_ordered(graph) for graph in graphs]
    facts = describe(name, graphs, classes, totals, None, [])
    return LoadedGraphs(name, graphs, classes, False, facts)


def _set_features(name: str, graphs: list[Data], structural: bool) -> None:
    """Give every graph features of one width; those without get the degree, one-hot."""
    if structural:
        for graph in graphs:
            graph.x, graph.x_kind = structural_features(graph), "structural"
        return
    widths = {None if graph.x is None else graph.x.size(1) for graph in graphs}
    if len(widths) > 1:
        raise UserError(f"--data: {name}: graphs with different features. Give all the same.")
    if widths == {None}:
        largest = max(int(g.edge_index[0].bincount().max()) if g.num_edges else 0 for g in graphs)
        width = min(largest + 1, WIDEST)
        for graph in graphs:
            graph.x, graph.x_kind = degree_one_hot(graph, width), "degree"
    if not all(math.isfinite(float(graph.x.sum())) for graph in graphs):
        raise UserError(f"--data: {name}: features hold NaN or infinity. Drop or fill them.")
