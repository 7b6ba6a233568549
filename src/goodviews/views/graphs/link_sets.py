"""Links: undirected edges, each once, and how to write a graph with fewer or others of them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch_geometric.data import Batch, Data

from goodviews.interfaces import UserError
from goodviews.views.graphs.op import graph_of, graphs_in, rand

__all__ = [
    "Links",
    "firsts",
    "found",
    "fresh_links",
    "keep_links",
    "links_of",
    "pick_within",
    "plus_links",
    "portions",
    "with_links",
]

_EDGE_KEYS = ("edge_index", "edge_weight", "edge_attr")


@dataclass(frozen=True)
class Links:
    """The links of a graph: each undirected edge once.

    Args:
        ends: Their nodes u < v in rising order, int64 (2, m).
        codes: u * n + v, rising, int64 (m,).
        of: The link of each column of ``edge_index``, int64 (e,).
        graph: The graph of the union that a link lies in, int64 (m,).
        count: Links in each graph, int64 (graphs,).
    """

    ends: Tensor
    codes: Tensor
    of: Tensor
    graph: Tensor
    count: Tensor


def links_of(data: Data) -> Links:
    """The links of a graph whose ``edge_index`` (2, e) holds both directions of each.

    Raises:
        UserError: loops, duplicates, or a direction is missing.

    Example:
        >>> data = Data(x=torch.ones(3, 1), edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
        >>> links_of(data).ends
        tensor([[0, 1],
                [1, 2]])
    """
    source, target = data.edge_index
    n = len(data.x)
    code = torch.minimum(source, target) * n + torch.maximum(source, target)
    codes = code[source < target].sort().values
    of = torch.searchsorted(codes, code)
    whole = len(code) == 2 * len(codes) and bool((source != target).all())
    whole = whole and bool(found(code, codes).all())
    if not whole or bool((of.bincount(minlength=len(codes)) != 2).any()):
        raise UserError(
            "edge_index: not both directions of every link, each once and without loops. "
            "Use torch_geometric.utils.to_undirected and remove_self_loops."
        )
    ends = torch.stack((codes.div(max(n, 1), rounding_mode="floor"), codes % max(n, 1)))
    graph = graph_of(data)[ends[0]]
    return Links(ends, codes, of, graph, graph.bincount(minlength=graphs_in(data)))


def keep_links(data: Data, links: Links, keep: Tensor) -> Data:
    """The graph with the links where ``keep`` (m,) is true; weights and attributes go along."""
    mask = keep[links.of]
    view = copy.copy(data)
    for key in _EDGE_KEYS:
        if data.get(key) is not None:
            view[key] = data[key][..., mask] if key == "edge_index" else data[key][mask]
    return _resliced(view)


def with_links(data: Data, ends: Tensor, weight: Tensor | None = None) -> Data:
    """The graph with these links (2, m), of weights (m,), and no others.

    Example:
        >>> view = with_links(Data(x=torch.ones(3, 1)), torch.tensor([[0, 1], [2, 2]]))
        >>> view.edge_index
        tensor([[0, 1, 2, 2],
                [2, 2, 0, 1]])
    """
    both = torch.cat((ends, ends.flip(0)), 1)
    order = (both[0] * len(data.x) + both[1]).argsort()
    view = copy.copy(data)
    view.edge_index = both[:, order]
    for key in ("edge_attr", "edge_weight"):
        if view.get(key) is not None:
            del view[key]
    if weight is not None:
        view.edge_weight = torch.cat((weight, weight))[order]
    return _resliced(view)


def plus_links(data: Data, links: Links, keep: Tensor, new: Tensor) -> Data:
    """The links where ``keep`` (m,) is true and the ``new`` ones (2, k), of the mean weight."""
    ends = torch.cat((links.ends[:, keep], new), 1)
    if data.get("edge_weight") is None:
        return with_links(data, ends)
    weight = data.edge_weight.new_empty(len(links.codes))
    weight[links.of] = data.edge_weight
    mean = weight.mean().nan_to_num(1.0).expand(new.shape[1])
    return with_links(data, ends, torch.cat((weight[keep], mean)))


def _resliced(view: Data) -> Data:
    """Let a torch_geometric Batch know where the edges and kept nodes of each graph now lie."""
    if not isinstance(view, Batch) or not hasattr(view, "_slice_dict"):
        return view
    ptr = view.ptr.cpu()
    edges = torch.searchsorted(view.edge_index[0].contiguous(), view.ptr).cpu()
    keys = {key: edges for key in _EDGE_KEYS if view.get(key) is not None}
    if view.get("kept") is not None:
        keys["kept"] = ptr
    none = torch.zeros(len(ptr) - 1, dtype=torch.long)
    view._slice_dict = {**view._slice_dict, **keys}
    view._inc_dict = {**dict.fromkeys(keys, none), **view._inc_dict}
    return view


# --- choosing ----------------------------------------------------------------------------------


def portions(p: float, count: Tensor, generator: Generator | None) -> Tensor:
    """P * count rounded up or down at random, so that its mean is p * count; int64 (graphs,).

    Example:
        >>> portions(0.5, torch.tensor([4, 10]), None)
        tensor([2, 5])
    """
    chance = rand(len(count), generator=generator, device=count.device)
    return (p * count.double() + chance).floor().long()


def pick_within(group: Tensor, count: Tensor, key: Tensor) -> Tensor:
    """Mark the ``count[g]`` members of each group g with the smallest keys, bool (k,).

    Example:
        >>> group, key = torch.tensor([0, 0, 1, 1]), torch.tensor([0.3, 0.1, 0.2, 0.4])
        >>> pick_within(group, torch.tensor([1, 2]), key)
        tensor([False,  True,  True,  True])
    """
    order = key.argsort(stable=True)
    order = order[group[order].argsort(stable=True)]
    size = group.bincount(minlength=len(count))
    start = size.cumsum(0) - size
    rank = torch.arange(len(group), device=group.device) - start[group[order]]
    chosen = torch.zeros(len(group), dtype=torch.bool, device=group.device)
    chosen[order] = rank < count[group[order]]
    return chosen


def found(codes: Tensor, known: Tensor) -> Tensor:
    """Which codes are among the ``known`` ones, which rise; bool.

    Example:
        >>> found(torch.tensor([3, 4]), torch.tensor([1, 4, 9]))
        tensor([False,  True])
    """
    if len(known) == 0:
        return torch.zeros(len(codes), dtype=torch.bool, device=codes.device)
    place = torch.searchsorted(known, codes).clamp_(max=len(known) - 1)
    return known[place] == codes


def firsts(codes: Tensor) -> Tensor:
    """Where each code occurs first, int64, in the order of the codes.

    Example:
        >>> firsts(torch.tensor([5, 2, 5]))
        tensor([1, 0])
    """
    order = codes.argsort(stable=True)
    ranked = codes[order]
    new = torch.ones_like(ranked, dtype=torch.bool)
    new[1:] = ranked[1:] != ranked[:-1]
    return order[new]


def fresh_links(
    data: Data, taken: Tensor, need: Tensor, propose: Callable[[Tensor], Tensor], rounds: int
) -> Tensor:
    """Draw links that are not there yet, each once: proposals in turn until every graph has enough.

    A graph in which ``rounds`` rounds of proposals find too few (it is nearly complete) gets fewer.

    Args:
        data: The graph.
        taken: Codes of links that will not do, rising.
        need: How many each graph shall get, int64 (graphs,).
        propose: Gives pairs of nodes (2, k) of the same graph for what is still needed; earlier
            pairs go first.
        rounds: How often to ask.

    Returns:
        Links u < v, int64 (2, k).
    """
    n, graph, got = max(len(data.x), 1), graph_of(data), taken[:0]
    for _ in range(rounds):
        if not bool((need > 0).any()):
            break
        pairs = propose(need)
        code = pairs.min(0).values * n + pairs.max(0).values
        code = code[(pairs[0] != pairs[1]) & ~found(code, taken)]
        place = firsts(code).sort().values
        code = code[place]
        group = graph[code.div(n, rounding_mode="floor")]
        code = code[pick_within(group, need, place)]
        group = graph[code.div(n, rounding_mode="floor")]
        need = need - group.bincount(minlength=len(need))
        got = torch.cat((got, code))
        taken = torch.cat((taken, code)).sort().values
    return torch.stack((got.div(n, rounding_mode="floor"), got % n))
