"""What a graph is like, in numbers and in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.sparse.csgraph import connected_components
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import homophily

from goodviews.data.graphs.structure import adjacency


def describe(
    name: str,
    graphs: list[Data],
    classes: tuple[str, ...],
    dropped: dict[str, int],
    directed: bool | None,
    notes: list[str],
) -> dict[str, Any]:
    """Count what is there, as plain values for JSON.

    Args:
        name: of the set.
        graphs: in order.
        classes: names of the labels.
        dropped: the counts of :func:`goodviews.data.graphs.links.tidy`.
        directed: what the source says; where it does not say (None), links of which some but not
            all came with their reverse had a direction.
        notes: sentences of the readers.
    """
    nodes = sum(int(graph.num_nodes or 0) for graph in graphs)
    links = sum(graph.num_edges for graph in graphs) // 2
    if directed is None:
        directed = dropped["one_way"] > 0 and dropped["two_way"] > 0
    first = graphs[0]
    found: dict[str, Any] = {
        "name": name,
        "graphs": len(graphs),
        "nodes": nodes,
        "links": links,
        "mean_degree": 2 * links / nodes,
        "features": first.x.size(1),
        "features_from": first.to_dict().get("x_kind", "data"),
        "classes": _counts(graphs, classes),
        "self_loops_dropped": dropped["self_loops"],
        "repeated_links_dropped": dropped["repeated"],
        "directed": directed,
        "one_way_links": dropped["one_way"],
        "notes": list(notes),
    }
    if len(graphs) == 1:
        found.update(_shape(first), **_homophily(first), public_split=_public(first))
    else:
        sizes = [int(graph.num_nodes or 0) for graph in graphs]
        found.update(smallest=min(sizes), largest=max(sizes))
    return found


def _counts(graphs: list[Data], classes: tuple[str, ...]) -> dict[str, int]:
    if not classes:
        return {}
    y = torch.cat([graph.y for graph in graphs])
    return dict(zip(classes, y[y >= 0].bincount(minlength=len(classes)).tolist(), strict=True))


def _shape(graph: Data) -> dict[str, int]:
    """Connected components and isolated nodes."""
    count, member = connected_components(adjacency(graph), directed=False)
    degrees = graph.edge_index[0].bincount(minlength=int(graph.num_nodes or 0))
    return {
        "components": int(count),
        "largest_component": int(np.bincount(member).max()),
        "isolated": int((degrees == 0).sum()),
        "largest_degree": int(degrees.max()),
    }


def _homophily(graph: Data) -> dict[str, float]:
    """Share of links within a class, and that beyond what class sizes give (Lim et al. 2021)."""
    if not isinstance(graph.y, Tensor):
        return {}
    known = graph.edge_index[:, (graph.y[graph.edge_index] >= 0).all(dim=0)]
    if not known.numel():
        return {}
    found = {"homophily": homophily(known, graph.y, method="edge")}
    if int(graph.y.max()) > 0 and bool((graph.y >= 0).all()):
        found["homophily_beyond_chance"] = homophily(known, graph.y, method="edge_insensitive")
    return found


def _public(graph: Data) -> dict[str, Any] | None:
    """Sizes of the published split, the first of several."""
    entries = graph.to_dict()
    if "train_mask" not in entries:
        return None
    masks = {part: entries.get(f"{part}_mask") for part in ("train", "val", "test")}
    sizes = {
        part: int((mask if mask.dim() == 1 else mask[:, 0]).sum())
        for part, mask in masks.items()
        if mask is not None
    }
    train = entries["train_mask"]
    return {**sizes, "splits": 1 if train.dim() == 1 else train.size(1)}


# --- in words -------------------------------------------------------------------------------------


def report_lines(report: dict[str, Any]) -> list[str]:
    """Say what :func:`describe` found, a line a matter."""
    several = report["graphs"] > 1
    count = f"{report['graphs']:,} graphs, " if several else ""
    classes = f"{len(report['classes'])} classes" if report["classes"] else "no labels"
    lines = [
        f"{report['name']}: {count}{report['nodes']:,} nodes, {report['links']:,} links, "
        f"mean degree {report['mean_degree']:.2f}, {report['features']:,} features, {classes}"
    ]
    if several:
        lines.append(f"graphs of {report['smallest']:,} to {report['largest']:,} nodes")
    else:
        lines.append(_shape_line(report))
    if "homophily" in report:
        beyond = report.get("homophily_beyond_chance")
        more = "" if beyond is None else f" ({beyond:.2f} beyond what class sizes give)"
        lines.append(f"homophily: {report['homophily']:.2f} of the links join one class{more}")
    if public := report.get("public_split"):
        sizes = ", ".join(
            f"{part} {public[part]:,}" for part in ("train", "val", "test") if part in public
        )
        many = f" (the first of {public['splits']})" if public["splits"] > 1 else ""
        lines.append(f"public split{many}: {sizes}")
    if (kind := report["features_from"]) != "data":
        more = "; positional adds places, for links" if kind == "structural" else ""
        lines.append(f"features: made of the links ({kind}{more})")
    return [*lines, *_changes(report), *report["notes"]]


def _shape_line(report: dict[str, Any]) -> str:
    parts = report["components"]
    if parts == 1:
        return "connected"
    return (
        f"{parts:,} connected components, the largest of {report['largest_component']:,} nodes; "
        f"{report['isolated']:,} isolated nodes"
    )


def _changes(report: dict[str, Any]) -> list[str]:
    """What was dropped or lost on the way."""
    lines = []
    dropped = [
        f"{count:,} {what}"
        for what, count in (
            ("self loops", report["self_loops_dropped"]),
            ("repeated links", report["repeated_links_dropped"]),
        )
        if count
    ]
    if dropped:
        lines.append(f"dropped: {' and '.join(dropped)}")
    if report["directed"]:
        lines.append(
            f"links had a direction ({report['one_way_links']:,} came without their reverse): "
            "made undirected"
        )
    return lines
