"""Which links are hidden and which nodes are tested: splits without leaks, saved with a run."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from goodviews.data.graphs.links import EDGE_VALUES, both_ways, links_of, non_links, pair_numbers
from goodviews.data.graphs.structure import remade
from goodviews.files import write_atomic
from goodviews.interfaces import UserError, check_name

PARTS = ("train", "validation", "test")
HARD = ("neighbours", "degree")
CARRIED = ("x", "x_kind", "y", "train_mask", "val_mask", "test_mask", "batch", "ptr")
"""What the message graph takes over besides links; anything else might tell of hidden links."""


@dataclass(frozen=True)
class LinkSplit:
    """Links (2, m) with u < v for training, validation and test, and as many pairs without link."""

    message: Data
    """The graph that message passing may see: all nodes, the training links."""
    train: Tensor
    validation: Tensor
    test: Tensor
    train_negatives: Tensor
    validation_negatives: Tensor
    test_negatives: Tensor
    settings: dict[str, Any] = field(default_factory=dict)
    """How it was drawn: "seed", "test", "validation" (shares), "hard", "fill"."""

    def lines(self) -> list[str]:
        """Say in words what was hidden, for the console and the report."""
        counts = ", ".join(f"{part} {getattr(self, part).size(1):,}" for part in PARTS)
        hard = self.settings.get("hard")
        how = {"neighbours": "with a common neighbour", "degree": "drawn by degree"}
        kind = how.get(str(hard), "drawn uniformly")
        found = [f"links: {counts}; as many pairs without link, {kind}"]
        for part in PARTS:
            short = getattr(self, part).size(1) - getattr(self, f"{part}_negatives").size(1)
            if short:
                found.append(f"{part}: {short:,} pairs fewer, the graph has no more without link")
        if fill := self.settings.get("fill"):
            found.append(f"{fill:,} of these pairs are uniform: the graph has too few hard ones")
        return found

    def save(self, folder: Path | str) -> Path:
        """Write ``folder/link_split.npz``, whole or not at all; returns its path."""
        arrays = {name: getattr(self, name).numpy() for name in _LINK_ARRAYS}
        arrays["settings"] = np.array(json.dumps(self.settings))
        return write_atomic(Path(folder) / "link_split.npz", lambda p: np.savez(p, **arrays))

    @staticmethod
    def load(folder: Path | str, data: Data) -> LinkSplit:
        """Read what :meth:`save` wrote; ``data`` is the whole graph that was split.

        Raises:
            UserError: no such file, not whole, or it belongs to another graph.
        """
        path = Path(folder) / "link_split.npz"
        arrays = _read(path, (*_LINK_ARRAYS, "settings"))
        settings = json.loads(str(arrays.pop("settings")))
        parts = {name: torch.from_numpy(array) for name, array in arrays.items()}
        links = torch.cat([parts[name] for name in PARTS], dim=1)
        whole = links_of(data)
        same = torch.equal(pair_numbers(links).sort().values, pair_numbers(whole).sort().values)
        if not same:
            raise UserError(f"{path}: belongs to another graph. Give the graph that was split.")
        return LinkSplit(
            _message(data, parts["train"], settings.get("seed", 0)), **parts, settings=settings
        )


_LINK_ARRAYS = (*PARTS, *(f"{part}_negatives" for part in PARTS))


def split_links(
    data: Data,
    test: float = 0.1,
    validation: float = 0.05,
    seed: int = 0,
    hard: bool | Literal["neighbours", "degree"] = False,
    hidden: float | None = None,
) -> LinkSplit:
    """Hide some links of a graph from message passing, to be predicted.

    Nothing leaks: a hidden link is in the message graph in neither direction, features that were
    made of the links are made anew from the training links (:func:`remade`), the pairs without
    link are none of the whole graph's links, and all parts are disjoint. At one seed the test
    sets are nested: those of ``test=0.1`` lie within those of ``test=0.2``, links and non-links
    alike, and so do validation sets; a curve over the share of hidden links is thus paired.

    Args:
        data: a graph as :func:`load_graphs` gives it, both directions of each link.
        test: share of all links that is test.
        validation: share of all links that is validation.
        seed: draws links and non-links.
        hard: draw non-links that resemble links: ``"neighbours"`` (or True) share a neighbour in
            the whole graph, ``"degree"`` match the degrees; see :func:`non_links`.
        hidden: the missing-link curve's name for ``test``; wins over it.

    Returns:
        A :class:`LinkSplit`; a dense graph may lack training non-links, which it says.

    Raises:
        UserError: shares that leave no training link, too few links or non-links.

    Example:
        >>> from goodviews.data.graphs.worlds import stochastic_blocks
        >>> split = split_links(stochastic_blocks(60, 2, 0.3, 0.05).data)
        >>> [links.size(1) for links in (split.train, split.validation, split.test)]
        [258, 15, 30]
    """
    share = test if hidden is None else hidden
    kind = "neighbours" if hard is True else hard or ""
    if kind:
        check_name("hard", kind, HARD)
    links = _whole(data)
    count = links.size(1)
    sizes = _link_sizes(count, share, validation, "hidden" if hidden is not None else "test")
    generator = torch.Generator().manual_seed(seed)
    links = links[:, torch.randperm(count, generator=generator)]
    others, fill = non_links(links, int(data.num_nodes or 0), count, generator, kind)
    if others.size(1) < sum(sizes):
        raise UserError(
            f"data: has {others.size(1):,} pairs without link where validation and test need "
            f"{sum(sizes):,}. Hide fewer links."
        )
    positives, negatives = _cut(links, sizes), _cut(others, sizes)
    settings = {"seed": seed, "test": share, "validation": validation, "hard": kind, "fill": fill}
    return LinkSplit(_message(data, positives[0], seed), *positives, *negatives, settings)


def _whole(data: Data) -> Tensor:
    """The links, once it is sure that the graph holds both directions of each, in order."""
    links = links_of(data)
    if not torch.equal(both_ways(links, int(data.num_nodes or 0)), data.edge_index):
        raise UserError(
            "data: its links are not in order (each once in both directions, sorted, no self "
            "loop). Pass it through load_graphs(data)."
        )
    return links


def _link_sizes(count: int, test: float, validation: float, flag: str) -> tuple[int, int]:
    """Numbers of validation and test links."""
    for name, share in ((flag, test), ("validation", validation)):
        if not 0 <= share < 1:
            raise UserError(f"{name}: {share} is not from 0 to below 1. Use for example 0.1.")
    sizes = round(validation * count), round(test * count)
    if test + validation >= 1 or sum(sizes) >= count:
        raise UserError(
            f"{flag} + validation: {test} + {validation} of {count:,} links leave none to train "
            "on. Hide fewer."
        )
    if (test and not sizes[1]) or (validation and not sizes[0]):
        raise UserError(
            f"data: {count:,} links are too few to split ({flag} {test}, validation {validation} "
            "give none). Use larger shares or a larger graph."
        )
    return sizes


def _cut(links: Tensor, sizes: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Train, validation and test: test from the front, validation from the back."""
    last = links.size(1) - sizes[0]
    return links[:, sizes[1] : last], links[:, last:], links[:, : sizes[1]]


def _message(data: Data, links: Tensor, seed: int) -> Data:
    """The nodes of ``data`` with ``links`` only."""
    nodes = int(data.num_nodes or 0)
    whole = data.to_dict()
    found = Data(x=whole.get("x"), edge_index=both_ways(links, nodes))
    if found.x is None:
        found.num_nodes = nodes
    for key in CARRIED:
        if key in whole:
            found[key] = whole[key]
    if any(key in whole for key in EDGE_VALUES):
        kept = torch.isin(pair_numbers(data.edge_index), pair_numbers(links))
        for key in EDGE_VALUES:
            if key in whole:
                found[key] = whole[key][kept]
    return remade(found, seed)


# --- nodes ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NodeSplit:
    """Nodes to train, validate and test a probe on: int64 index, sorted, disjoint."""

    train: Tensor
    validation: Tensor
    test: Tensor

    def save(self, folder: Path | str) -> Path:
        """Write ``folder/node_split.npz``, whole or not at all; returns its path."""
        arrays = {part: getattr(self, part).numpy() for part in PARTS}
        return write_atomic(Path(folder) / "node_split.npz", lambda p: np.savez(p, **arrays))

    @staticmethod
    def load(folder: Path | str) -> NodeSplit:
        """Read what :meth:`save` wrote.

        Raises:
            UserError: no such file, or not whole.
        """
        arrays = _read(Path(folder) / "node_split.npz", PARTS)
        return NodeSplit(*(torch.from_numpy(arrays[part]) for part in PARTS))


def split_nodes(
    data: Data,
    kind: str = "public",
    seed: int = 0,
    shares: tuple[float, float, float] = (0.1, 0.1, 0.8),
) -> NodeSplit:
    """Divide the labelled nodes into train, validation and test.

    Args:
        data: a graph with labels ``y``; -1 (unlabelled) is in no part.
        kind: "public" takes the masks that the set publishes (of k masks the ``seed``-th modulo
            k); "random" draws, stratified: each class gives its shares up to one node or two, and
            a class of a few nodes falls where chance puts it. Without labels all nodes are drawn.
        seed: draws.
        shares: of train, validation and test, at most 1 together.

    Raises:
        UserError: no published split, shares that make no sense, too few nodes.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> graph = Data(y=torch.tensor([0] * 10 + [1] * 20), num_nodes=30)
        >>> split = split_nodes(graph, "random")
        >>> graph.y[split.train].bincount().tolist(), len(split.test)
        ([1, 2], 24)
    """
    check_name("kind", kind, ["public", "random"])
    if kind == "public":
        return _public(data, seed)
    if min(shares) < 0 or sum(shares) > 1 + 1e-9 or not (shares[0] and shares[2]):
        raise UserError(f"shares: {shares} are no shares of a whole. Use for example 0.1 0.1 0.8.")
    nodes = int(data.num_nodes or 0)
    y = torch.zeros(nodes, dtype=torch.int64) if data.y is None else data.y
    generator = torch.Generator().manual_seed(seed)
    order = _stratified(y, generator)
    ends = [round(sum(shares[: i + 1]) * len(order)) for i in range(3)]
    parts = [order[a:b].sort().values for a, b in zip([0, *ends[:2]], ends, strict=True)]
    if not (len(parts[0]) and len(parts[2])):
        raise UserError(
            f"data: {len(order)} labelled nodes are too few for shares {shares}. "
            "Use larger shares or a larger graph."
        )
    return NodeSplit(*parts)


def _public(data: Data, seed: int) -> NodeSplit:
    masks = [data.to_dict().get(f"{part}_mask") for part in ("train", "val", "test")]
    if masks[0] is None or masks[2] is None:
        raise UserError("split: this graph publishes none. Use the random split.")
    if masks[1] is None:
        masks[1] = torch.zeros_like(masks[0])
    columns = [mask if mask.dim() == 1 else mask[:, seed % mask.size(1)] for mask in masks]
    return NodeSplit(*(column.nonzero().flatten() for column in columns))


def _stratified(y: Tensor, generator: torch.Generator) -> Tensor:
    """The labelled nodes in an order whose every stretch holds the classes in proportion.

    The r-th of the c nodes of a class stands at (r + u) / c, u uniform for each class.
    """
    order = torch.randperm(len(y), generator=generator)
    order = order[y[order] >= 0]
    if not len(order):
        return order
    order = order[y[order].sort(stable=True).indices]
    counts = y[order].bincount()
    rank = torch.arange(len(order)) - (counts.cumsum(0) - counts)[y[order]]
    offset = torch.rand(len(counts), generator=generator, dtype=torch.float64)
    return order[((rank + offset[y[order]]) / counts[y[order]]).argsort(stable=True)]


def _read(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The arrays of a saved split."""
    if not path.is_file():
        raise UserError(f"{path}: no such file. Give the folder of a run that saved its split.")
    try:
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
            return {name: found[name] for name in names}
    except Exception as error:  # numpy and zipfile raise many kinds for one fault
        raise UserError(f"{path}: is no whole split. Split again.") from error
