"""A graph as a file or a set gives it, and how it becomes one torch_geometric graph in order."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from goodviews.data.graphs.links import tidy
from goodviews.data.labels import encode
from goodviews.interfaces import UserError


@dataclass
class Rows:
    """Values for nodes: by id, or without ids in the order of the nodes."""

    values: np.ndarray
    """(n,) or (n, f)."""
    where: str
    """The flag and the file, for messages."""
    ids: np.ndarray | None = None


@dataclass
class Raw:
    """Links between ids of any kind, with what else is known of the nodes."""

    edges: np.ndarray
    """(e, 2), integers or text."""
    where: str
    """The flag and the file, for messages."""
    nodes: int | None = None
    """n where the source says it; the ids are then 0 .. n-1."""
    features: Rows | None = None
    labels: Rows | None = None
    masks: dict[str, np.ndarray] = field(default_factory=dict)
    """"train_mask", "val_mask", "test_mask": bool (n,) or (n, k)."""
    directed: bool | None = None
    """Whether the source says that links have a direction; None where it does not say."""
    notes: list[str] = field(default_factory=list)


@dataclass
class Assembled:
    """The graph in order (x may be missing still), the ids of its nodes, its classes."""

    data: Data
    ids: tuple[int | str, ...] | None
    """The id of each node where ids were mapped, None where they are 0 .. n-1."""
    classes: tuple[str, ...]
    dropped: dict[str, int]


def assemble(raw: Raw) -> Assembled:
    """Number the nodes 0 .. n-1 in the order of their ids and put links, features, labels in order.

    Raises:
        UserError: no link, ids that are negative or not known, rows that do not fit the nodes,
            values that are no finite numbers.
    """
    if not raw.edges.size:
        raise UserError(f"{raw.where}: holds no link. Give a graph with links.")
    _alike(raw)
    known = _known_ids(raw)
    edges = _places(raw.edges, known, raw)
    nodes = len(known)
    edge_index, dropped = tidy(torch.from_numpy(np.ascontiguousarray(edges.T)), nodes)
    if not edge_index.numel():
        what = "one node" if nodes == 1 else "self loops only"
        raise UserError(f"{raw.where}: holds {what} and no link. Give a graph with links.")
    data = Data(edge_index=edge_index, num_nodes=nodes)
    if raw.features is not None:
        data.x = features(raw.features, known)
    classes: tuple[str, ...] = ()
    if raw.labels is not None:
        found, classes = labels(raw.labels, known)
        if classes:
            data.y = found
    for name, mask in raw.masks.items():
        data[name] = torch.from_numpy(_by_node(mask, nodes, f"{raw.where}: {name}"))
    counted = known.dtype.kind == "i" and bool((known == np.arange(nodes)).all())
    return Assembled(data, None if counted else tuple(known.tolist()), classes, dropped)


# --- ids ------------------------------------------------------------------------------------------


def _alike(raw: Raw) -> None:
    """Make all ids integers or all text; refuse negative ones."""
    rows = [
        part for part in (raw.features, raw.labels) if part is not None and part.ids is not None
    ]
    kinds = {raw.edges.dtype.kind, *(part.ids.dtype.kind for part in rows if part.ids is not None)}
    if kinds <= {"i", "u"}:
        raw.edges = raw.edges.astype(np.int64)
        lowest, where = raw.edges.min(), raw.where
        for part in rows:
            assert part.ids is not None
            part.ids = part.ids.astype(np.int64)
            if len(part.ids) and part.ids.min() < lowest:
                lowest, where = part.ids.min(), part.where
        if lowest < 0:
            raise UserError(
                f"{where}: node id {lowest} is negative. Number nodes from 0, or name them."
            )
        return
    if "f" in kinds:
        raise UserError(f"{raw.where}: node ids are fractions. Use whole numbers or names.")
    raw.edges = raw.edges.astype(str)
    for part in rows:
        assert part.ids is not None
        part.ids = part.ids.astype(str)


def _known_ids(raw: Raw) -> np.ndarray:
    """The ids of all nodes, sorted."""
    for part in (raw.features, raw.labels):
        if part is not None and part.ids is not None:
            values, times = np.unique(part.ids, return_counts=True)
            if (times > 1).any():
                twice = values[times > 1][0]
                raise UserError(f"{part.where}: node {twice} has two rows. Keep one.")
    if raw.features is not None and raw.features.ids is not None:
        return np.unique(raw.features.ids)
    nodes, where = _rows_in_order(raw)
    found = np.unique(raw.edges)
    if nodes is None:
        extra = [] if raw.labels is None or raw.labels.ids is None else [raw.labels.ids]
        return np.unique(np.concatenate([found, *extra]))
    if found.dtype.kind == "i" and found[-1] < nodes:
        return np.arange(nodes)
    if len(found) == nodes and raw.nodes is None:
        return found
    if found.dtype.kind == "i":
        raise UserError(
            f"{raw.where}: a link names node {found[-1]} where {where} has {nodes:,} nodes, "
            f"0 to {nodes - 1}. Mend the link, or give rows with a column id."
        )
    raise UserError(
        f"{where}: {nodes:,} rows do not fit {len(found):,} named nodes. Add a column id."
    )


def _rows_in_order(raw: Raw) -> tuple[int | None, str]:
    """How many nodes the source, or rows without ids, say there are; and who says so."""
    said = [] if raw.nodes is None else [(raw.nodes, raw.where)]
    for part in (raw.features, raw.labels):
        if part is not None and part.ids is None:
            said.append((len(part.values), part.where))
    for (count, where), (other, there) in zip(said, said[1:], strict=False):
        if count != other:
            raise UserError(
                f"{there}: has {other:,} rows where {where} has {count:,} nodes. "
                "Give one row a node."
            )
    return said[0] if said else (None, "")


def _places(ids: np.ndarray, known: np.ndarray, raw: Raw) -> np.ndarray:
    """Where each id stands among the known ones."""
    places = np.searchsorted(known, ids).clip(max=len(known) - 1)
    lost = known[places] != ids
    if lost.any():
        where = raw.where if raw.features is None else raw.features.where
        raise UserError(
            f"{raw.where}: a link names node {ids[lost][0]}, which {where} does not have "
            f"({int(lost.any(axis=-1).sum()):,} such links). Add its row or drop the link."
        )
    return places


# --- values of nodes ------------------------------------------------------------------------------


def features(rows: Rows, known: np.ndarray) -> Tensor:
    """Check features and put their rows in the order of ``known``: float32 (n, f)."""
    values = rows.values[:, None] if rows.values.ndim == 1 else rows.values
    if values.ndim != 2 or values.dtype.kind not in "biuf" or not values.shape[1]:
        raise UserError(f"{rows.where}: features are not one row of numbers a node. Give (n, f).")
    if len(values) != len(known):
        raise UserError(
            f"{rows.where}: has {len(values):,} rows for {len(known):,} nodes. Give one row a node."
        )
    with np.errstate(over="ignore"):
        values = values.astype(np.float32)
    bad = ~np.isfinite(values)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        name = row if rows.ids is None else rows.ids[row]
        raise UserError(
            f"{rows.where}: {values[row, column]} at node {name}, feature {column} "
            f"({int(bad.sum()):,} such values). Drop or fill them."
        )
    return torch.from_numpy(values if rows.ids is None else values[np.argsort(rows.ids)])


def labels(rows: Rows, known: np.ndarray) -> tuple[Tensor, tuple[str, ...]]:
    """Labels in the order of ``known``, int64 (n,) with -1 for none, and the classes."""
    codes, classes = class_codes(rows.values, rows.where)
    if rows.ids is None:
        if len(codes) != len(known):
            raise UserError(
                f"{rows.where}: has {len(codes):,} rows for {len(known):,} nodes. "
                "Give one row a node."
            )
        return codes, classes
    places = np.searchsorted(known, rows.ids).clip(max=len(known) - 1)
    lost = known[places] != rows.ids
    if lost.any():
        raise UserError(
            f"{rows.where}: labels node {rows.ids[lost][0]}, which the graph does not have. "
            "Drop its row."
        )
    found = torch.full((len(known),), -1)
    found[torch.from_numpy(places)] = codes
    return found, classes


def class_codes(values: np.ndarray, where: str) -> tuple[Tensor, tuple[str, ...]]:
    """Whole numbers or names -> int64 (n,) and the classes; -1, NaN and "" are no label."""
    values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    if values.ndim != 1 or values.dtype.kind not in "biufUSO":
        raise UserError(f"{where}: labels are not one a node. Give a single column.")
    if values.dtype.kind == "f":
        values = np.where(np.isnan(values), -1, values)
        if (values != np.floor(values)).any():
            odd = values[values != np.floor(values)][0]
            raise UserError(f"{where}: {odd} is no class. Use whole numbers or names.")
        values = values.astype(np.int64)
    if values.dtype.kind == "O":
        values = values.astype(str)
    different, place = np.unique(values, return_inverse=True)
    names = [None if value in {"", "-1", "nan", "None"} else value for value in map(str, different)]
    if values.dtype.kind in "iu" and (different < -1).any():
        raise UserError(f"{where}: {different[0]} is no class. Use 0, 1, ..., or -1 for none.")
    codes, classes = encode(names)
    return codes[torch.from_numpy(place.reshape(-1))], classes


def _by_node(mask: np.ndarray, nodes: int, where: str) -> np.ndarray:
    """A published mask as bool (n,) or (n, k)."""
    if mask.ndim == 2 and mask.shape[0] != nodes:
        mask = mask.T
    if mask.ndim not in (1, 2) or len(mask) != nodes:
        raise UserError(f"{where} has shape {mask.shape} for {nodes:,} nodes. Give (n,) or (n, k).")
    return np.ascontiguousarray(mask.astype(bool))
