"""Ops on links that know nothing of the graph: removal, addition, rewiring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor
from torch_geometric.data import Data

from goodviews.views.graphs.link_sets import (
    Links,
    firsts,
    found,
    fresh_links,
    keep_links,
    links_of,
    pick_within,
    plus_links,
    portions,
)
from goodviews.views.graphs.op import LINKS, GraphOp, graph_of, graphs_in, rand
from goodviews.views.ops import between

__all__ = ["AddLinks", "RemoveLinks", "RewireLinks"]


@dataclass(frozen=True)
class RemoveLinks(GraphOp):
    """Each link dropped with probability p, in both directions (Zhu et al. 2020, section 3.2.1).

    Args:
        p: The dial.

    Example:
        >>> data = Data(x=torch.ones(3, 1), edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
        >>> RemoveLinks(1.0)(data).edge_index.shape
        torch.Size([2, 0])
    """

    p: float = 0.3
    name: ClassVar[str] = "remove_links"
    reads: ClassVar[frozenset[str]] = LINKS

    def __post_init__(self) -> None:
        """Check the settings."""
        between("remove_links.p", self.p, 0, 1)

    def prepare(self, data: Data) -> Links:
        """The links."""
        return links_of(data)

    def apply(self, data: Data, prepared: Any, generator: Generator | None) -> Data:
        """Drop some links."""
        links = prepared
        chance = rand(len(links.codes), generator=generator, device=data.x.device)
        return keep_links(data, links, chance >= self.p)


@dataclass(frozen=True)
class AddLinks(GraphOp):
    """Adds p * m links between nodes of one graph that have none, all equally likely.

    m is the number of links of that graph; the nodes that ``kept`` calls dropped get none, and a
    graph too full for p * m more gets what there is room for.

    Args:
        p: Links added for each that is there; the dial.

    Example:
        >>> data = Data(x=torch.ones(4, 1), edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
        >>> AddLinks(0.5)(data).edge_index.shape
        torch.Size([2, 6])
    """

    p: float = 0.3
    name: ClassVar[str] = "add_links"
    reads: ClassVar[frozenset[str]] = LINKS

    def __post_init__(self) -> None:
        """Check the settings."""
        between("add_links.p", self.p, 0, float("inf"))

    def prepare(self, data: Data) -> Links:
        """The links."""
        return links_of(data)

    def apply(self, data: Data, prepared: Any, generator: Generator | None) -> Data:
        """Add some links."""
        links = prepared
        graph = graph_of(data)
        nodes = torch.arange(len(graph), device=graph.device)
        if data.get("kept") is not None:
            nodes = nodes[data.kept]
        size = graph[nodes].bincount(minlength=graphs_in(data))
        start, free = size.cumsum(0) - size, size * (size - 1) // 2 - links.count
        need = portions(self.p, links.count, generator).minimum(free)
        tries = 0.7 * size.double() ** 2 / free.clamp(min=1)

        def propose(need: Tensor) -> Tensor:
            """About as many pairs as will do: some are loops or links already."""
            count = torch.where(need > 0, (tries * need).ceil().long() + 8, 0)
            group = torch.repeat_interleave(count)
            chance = rand(2, len(group), generator=generator, device=graph.device)
            return nodes[start[group] + (chance * size[group]).long()]

        new = fresh_links(data, links.codes, need, propose, 60)
        return plus_links(data, links, torch.ones_like(links.codes, dtype=torch.bool), new)


@dataclass(frozen=True)
class RewireLinks(GraphOp):
    """A share p of the links swapped in pairs, so that every node keeps its degree exactly.

    Links (a, b) and (c, d) of one graph become (a, d) and (c, b) where neither is there yet, nor
    was at the start (double edge swaps; Maslov and Sneppen 2002). Pairs that cannot be swapped are
    paired anew, twenty times; what is left then stays.

    Args:
        p: Share of the links that are swapped; the dial.

    Example:
        >>> ring = torch.stack((torch.arange(8), (torch.arange(8) + 1) % 8))
        >>> from goodviews.views.graphs.link_sets import with_links
        >>> view = RewireLinks(0.5)(with_links(Data(x=torch.ones(8, 1)), ring))
        >>> view.edge_index[0].bincount()
        tensor([2, 2, 2, 2, 2, 2, 2, 2])
    """

    p: float = 0.3
    name: ClassVar[str] = "rewire_links"
    reads: ClassVar[frozenset[str]] = LINKS

    def __post_init__(self) -> None:
        """Check the settings."""
        between("rewire_links.p", self.p, 0, 1)

    def prepare(self, data: Data) -> Links:
        """The links."""
        return links_of(data)

    def apply(self, data: Data, prepared: Any, generator: Generator | None) -> Data:
        """Swap some links."""
        links = prepared
        count = portions(self.p, links.count, generator)
        chance = rand(len(links.codes), generator=generator, device=data.x.device)
        chosen = pick_within(links.graph, count, chance)
        waiting = chosen.clone()
        taken, news = links.codes, [links.ends[:, :0]]
        for _ in range(20):
            swapped, new = _swap(data, links, waiting, taken, generator)
            waiting[swapped] = False
            news.append(new)
            code = new[0] * len(data.x) + new[1]
            taken = torch.cat((taken, code)).sort().values
        return plus_links(data, links, ~chosen | waiting, torch.cat(news, 1))


def _swap(
    data: Data, links: Links, waiting: Tensor, taken: Tensor, generator: Generator | None
) -> tuple[Tensor, Tensor]:
    """One round of swaps: which links are gone (2k,), and the new ones (2, 2k)."""
    index = waiting.nonzero()[:, 0]
    chance = rand(2, len(index), generator=generator, device=index.device)
    index = index[chance[0].argsort()]
    index = index[links.graph[index].argsort(stable=True)]
    graph = links.graph[index]
    size = graph.bincount(minlength=len(links.count))
    rank = torch.arange(len(index), device=index.device) - (size.cumsum(0) - size)[graph]
    first = ((rank % 2 == 0) & (rank + 1 < size[graph])).nonzero()[:, 0]
    one, two = links.ends[:, index[first]], links.ends[:, index[first + 1]]
    two = torch.where(chance[1, first] < 0.5, two, two.flip(0))
    made = torch.stack((torch.stack((one[0], two[1])), torch.stack((two[0], one[1]))), 1)
    low, high = made.min(0).values, made.max(0).values  # (2 new links, pairs)
    code = low * len(data.x) + high
    good = ((low != high) & ~found(code.flatten(), taken).view_as(code)).all(0)
    good = good & (code[0] != code[1])
    good = good & _unclashed(code, good)
    gone = torch.cat((index[first[good]], index[first[good] + 1]))
    return gone, torch.stack((low[:, good].flatten(), high[:, good].flatten()))


def _unclashed(code: Tensor, good: Tensor) -> Tensor:
    """Pairs both of whose new links (2, k) no earlier good pair makes too; bool (k,)."""
    index = good.nonzero()[:, 0]
    flat = code[:, index].T.flatten()  # pair by pair
    first = torch.zeros(len(flat), dtype=torch.bool, device=flat.device)
    first[firsts(flat)] = True
    clear = torch.zeros_like(good)
    clear[index] = first.view(-1, 2).all(1)
    return clear
