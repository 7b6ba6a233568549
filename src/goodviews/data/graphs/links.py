"""Links of an undirected graph: put in order, listed once, numbered, drawn at random."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import coalesce, to_undirected

from goodviews.interfaces import UserError


def links_of(data: Data) -> Tensor:
    """Each undirected link once: int64 (2, m) with u < v, sorted.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> links_of(Data(edge_index=torch.tensor([[0, 0, 1, 2], [1, 2, 0, 0]]))).tolist()
        [[0, 0], [1, 2]]
    """
    return data.edge_index[:, data.edge_index[0] < data.edge_index[1]]


def both_ways(links: Tensor, nodes: int) -> Tensor:
    """Both directions of every link, sorted: int64 (2, 2m), as layers of torch_geometric read it.

    Example:
        >>> import torch
        >>> both_ways(torch.tensor([[0, 1], [2, 2]]), 3).tolist()
        [[0, 1, 2, 2], [2, 2, 0, 1]]
    """
    return to_undirected(links, num_nodes=nodes)


def tidy(edges: Tensor, nodes: int) -> tuple[Tensor, dict[str, int]]:
    """Both directions of every link once, sorted and without self loops; and what was changed.

    Args:
        edges: int64 (2, e) in any order, of one direction or of both.
        nodes: n; every id lies in 0 .. n-1.

    Returns:
        edge_index (2, 2m), and the counts "self_loops" and "repeated" (dropped) and "one_way"
        and "two_way": arcs that came without, or with, their reverse.

    Example:
        >>> import torch
        >>> tidy(torch.tensor([[0, 1, 1, 2, 2], [1, 0, 1, 0, 0]]), 3)[1]
        {'self_loops': 1, 'repeated': 1, 'one_way': 1, 'two_way': 2}
    """
    proper = edges[:, edges[0] != edges[1]]
    arcs = coalesce(proper, num_nodes=nodes)
    edge_index = both_ways(arcs, nodes)
    given, links = arcs.size(1), edge_index.size(1) // 2
    return edge_index, {
        "self_loops": edges.size(1) - proper.size(1),
        "repeated": proper.size(1) - given,
        "one_way": 2 * links - given,
        "two_way": 2 * (given - links),
    }


def permuted(data: Data, order: Tensor) -> Data:
    """The same graph with its nodes renumbered: the new node i is the old node ``order[i]``.

    Features, labels, masks and link weights go along; ``data`` is not modified.

    Args:
        data: a graph of n nodes.
        order: int64 (n,), each node once.

    Raises:
        UserError: ``order`` is no permutation of the nodes.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> path = Data(x=torch.tensor([[0.0], [1.0], [2.0]]), num_nodes=3,
        ...     edge_index=torch.tensor([[0, 1], [1, 0]]))
        >>> turned = permuted(path, torch.tensor([2, 1, 0]))
        >>> turned.x.flatten().tolist(), turned.edge_index.tolist()
        ([2.0, 1.0, 0.0], [[1, 2], [2, 1]])
    """
    nodes = int(data.num_nodes or 0)
    if order.shape != (nodes,) or not torch.equal(order.sort().values, torch.arange(nodes)):
        raise UserError(f"order: is no permutation of {nodes} nodes. Use torch.randperm({nodes}).")
    place = torch.empty_like(order)
    place[order] = torch.arange(nodes)
    found = Data()
    ends = place[data.edge_index]
    sorting = (ends[0] * nodes + ends[1]).argsort()
    for key, value in data.to_dict().items():
        if key == "edge_index":
            found[key] = ends[:, sorting]
        elif key in EDGE_VALUES:
            found[key] = value[sorting]
        elif isinstance(value, Tensor) and key != "ptr" and value.shape[:1] == (nodes,):
            found[key] = value[order]
        else:
            found[key] = value
    return found


EDGE_VALUES = ("edge_weight", "edge_attr")
"""What a graph may hold for each of its arcs."""


# --- pairs of nodes by number -------------------------------------------------------------------


def pair_numbers(pairs: Tensor) -> Tensor:
    """Number unordered pairs u < v of nodes: v (v - 1) / 2 + u, from 0 to n (n - 1) / 2 - 1.

    Example:
        >>> import torch
        >>> pair_numbers(torch.tensor([[0, 0, 1], [1, 2, 2]])).tolist()
        [0, 1, 2]
    """
    low, high = pairs.min(dim=0).values, pairs.max(dim=0).values
    return high * (high - 1) // 2 + low


def pairs_of(numbers: Tensor) -> Tensor:
    """The pairs (2, m), u < v, that :func:`pair_numbers` numbers so.

    Example:
        >>> import torch
        >>> pairs_of(torch.tensor([0, 1, 2, 3])).tolist()
        [[0, 0, 1, 0], [1, 2, 2, 3]]
    """
    high = ((1 + (1 + 8 * numbers.double()).sqrt()) / 2).long()
    high -= (high * (high - 1) // 2 > numbers).long()  # the root of a large number is rounded
    high += (high * (high + 1) // 2 <= numbers).long()
    return torch.stack([numbers - high * (high - 1) // 2, high])


def distinct(total: int, count: int, generator: torch.Generator) -> Tensor:
    """Draw ``count`` different numbers below ``total``, uniformly and in random order.

    Example:
        >>> import torch
        >>> distinct(10**12, 1000, torch.Generator().manual_seed(0)).unique().numel()
        1000
    """
    if 3 * count > total:
        return torch.randperm(total, generator=generator)[:count]
    found = torch.empty(0, dtype=torch.int64)
    while len(found) < count:
        more = torch.randint(total, ((count - len(found)) * 5 // 4 + 8,), generator=generator)
        found = torch.cat([found, more]).unique()
    return found[torch.randperm(len(found), generator=generator)[:count]]


def non_links(
    links: Tensor, nodes: int, count: int, generator: torch.Generator, hard: str = ""
) -> tuple[Tensor, int]:
    r"""Draw different pairs of nodes that are not linked, in random order.

    No n x n matrix: the r-th free pair is r + #{i : c_i - i <= r}, c the sorted numbers of links.

    Args:
        links: int64 (2, m), u < v, each once.
        nodes: n.
        count: how many; fewer come where the graph has not so many.
        generator: on the CPU.
        hard: "" draws uniformly. "neighbours": pairs with a common neighbour w, by two random
            steps from a link, so with probability :math:`\propto \sum_w 1 / d_w` (after Li et al.
            2023, "Evaluating graph neural networks for link prediction"). "degree": both ends by
            degree, as the ends of links are (Aiyappa et al. 2024, "Implicit degree bias in the
            link prediction task"). Where there are too few such pairs, uniform ones fill up.

    Returns:
        int64 (2, count) with u < v, and how many of them are fill.

    Example:
        >>> import torch
        >>> square = torch.tensor([[0, 1, 2, 0], [1, 2, 3, 3]])
        >>> pairs, fill = non_links(square, 4, 9, torch.Generator().manual_seed(0))
        >>> sorted(zip(*pairs.tolist())), fill
        ([(0, 2), (1, 3)], 0)
    """
    taken = pair_numbers(links).sort().values
    count = min(count, nodes * (nodes - 1) // 2 - len(taken))
    found = torch.empty(0, dtype=torch.int64)
    if hard and links.numel():
        found = _hard(both_ways(links, nodes), nodes, taken, count, hard, generator)
    fill = count - len(found)
    if fill:
        taken = torch.cat([taken, found]).sort().values
        free = nodes * (nodes - 1) // 2 - len(taken)
        ranks = distinct(free, fill, generator)
        steps = taken - torch.arange(len(taken))
        found = torch.cat([found, ranks + torch.searchsorted(steps, ranks, right=True)])
    found = found[torch.randperm(count, generator=generator)]
    return pairs_of(found), fill if hard else 0


ROUNDS = 50
"""How often hard pairs are drawn before uniform ones fill up."""


def _hard(
    arcs: Tensor, nodes: int, taken: Tensor, count: int, hard: str, generator: torch.Generator
) -> Tensor:
    """Numbers of different hard pairs that are not ``taken``, sorted; ``count`` or fewer."""
    degree = arcs[0].bincount(minlength=nodes)
    start = degree.cumsum(0) - degree
    found = torch.empty(0, dtype=torch.int64)
    for _ in range(ROUNDS):
        if len(found) >= count:
            break
        size = (2 * (count - len(found)) + 64,)
        first, second = torch.randint(arcs.size(1), (2, *size), generator=generator)
        if hard == "neighbours":  # two different neighbours of one node
            centre = arcs[0, first]
            step = torch.rand(size, generator=generator, dtype=torch.float64) * degree[centre]
            second = start[centre] + step.long()
        pairs = torch.stack([arcs[1, first], arcs[1, second]])
        numbers = pair_numbers(pairs[:, pairs[0] != pairs[1]])
        numbers = numbers[~_among(numbers, taken)]
        found = torch.cat([found, numbers]).unique()
    return found[torch.randperm(len(found), generator=generator)[:count]]


def _among(numbers: Tensor, taken: Tensor) -> Tensor:
    """Whether each number is among the sorted ``taken``."""
    place = torch.searchsorted(taken, numbers).clamp(max=len(taken) - 1)
    return taken[place] == numbers
