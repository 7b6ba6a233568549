"""Views of our own that add plausible links: between nodes two steps apart, by a score.

No candidate is listed and no n x n matrix made: a pair is drawn by drawing a node in the middle,
and then two of its neighbours, which gives each pair the probability its score asks for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor
from torch_geometric.data import Data

from goodviews.interfaces import check_name
from goodviews.views.graphs.link_sets import (
    Links,
    firsts,
    found,
    fresh_links,
    links_of,
    pick_within,
    plus_links,
    portions,
)
from goodviews.views.graphs.op import LINKS, GraphOp, graph_of, rand
from goodviews.views.ops import between

__all__ = ["CompleteTriads", "ResampleLinks"]

SCORES = ("adamic-adar", "resource-allocation")


@dataclass(frozen=True)
class Neighbours:
    """The neighbours of each node u: ``flat[start[u] : start[u] + degree[u]]``."""

    flat: Tensor
    start: Tensor
    degree: Tensor

    @classmethod
    def of(cls, data: Data) -> Neighbours:
        """Those of a graph."""
        source, target = data.edge_index
        degree = source.bincount(minlength=len(data.x))
        flat = target[source.argsort(stable=True)]
        return cls(flat, degree.cumsum(0) - degree, degree)

    def step(self, nodes: Tensor, generator: Generator | None) -> Tensor:
        """A random neighbour of each node; all must have one."""
        chance = rand(len(nodes), generator=generator, device=nodes.device)
        return self.flat[self.start[nodes] + (chance * self.degree[nodes]).long()]

    def pair(self, nodes: Tensor, generator: Generator | None) -> Tensor:
        """Two different neighbours of each node, (2, k); all must have two."""
        chance = rand(2, len(nodes), generator=generator, device=nodes.device)
        degree = self.degree[nodes]
        one, two = (chance[0] * degree).long(), (chance[1] * (degree - 1)).long()
        two = two + (two >= one)
        return self.flat[self.start[nodes] + torch.stack((one, two))]


@dataclass(frozen=True)
class CompleteTriads(GraphOp):
    r"""Adds p * m links that are probably missing: pairs drawn by how well they would close triads.

    .. math:: P(uv) \propto \sum_{w \in N(u) \cap N(v)} \frac{1}{\log d_w} \quad
        \text{(Adamic and Adar 2003; resource allocation: } 1 / d_w \text{, Zhou et al. 2009)}

    among the pairs of nodes two steps apart that have no link, without replacement. The reason: a
    graph that lacks links shares with its completion what the missing links carry, and little of
    what a random link brings in. An encoder for which the two views are one is told to fill in what
    a neighbourhood implies. Drawn exactly, by a node w in the middle with weight
    d_w (d_w - 1) / (2 log d_w) and two of its neighbours. m is the number of links of each graph;
    where fewer pairs are open (a complete graph has none), fewer are added.

    Args:
        p: Links added for each that is there; the dial.
        score: "adamic-adar" or "resource-allocation".

    Example:
        >>> data = Data(x=torch.ones(3, 1), edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
        >>> CompleteTriads(0.5)(data).edge_index
        tensor([[0, 0, 1, 1, 2, 2],
                [1, 2, 0, 2, 0, 1]])
    """

    p: float = 0.3
    score: str = "adamic-adar"
    name: ClassVar[str] = "complete_triads"
    reads: ClassVar[frozenset[str]] = LINKS

    def __post_init__(self) -> None:
        """Check the settings."""
        between("complete_triads.p", self.p, 0, float("inf"))
        check_name("complete_triads.score", self.score, SCORES)

    def prepare(self, data: Data) -> tuple[Links, Neighbours, Tensor]:
        """The links, neighbours, and the running sum of the weights of the nodes in the middle."""
        links, near = links_of(data), Neighbours.of(data)
        degree = near.degree.double()
        share = degree if self.score == "resource-allocation" else degree.clamp(min=2).log()
        weight = degree * (degree - 1) / 2 / share.clamp(min=0.1)
        return links, near, weight.cumsum(0)

    def apply(self, data: Data, prepared: Any, generator: Generator | None) -> Data:
        """Add some links."""
        links, near, running = prepared
        graph = graph_of(data)
        size = graph.bincount(minlength=len(links.count))
        ends = torch.cat((running.new_zeros(1), running))[size.cumsum(0)]
        before = torch.cat((running.new_zeros(1), ends[:-1]))
        weight = ends - before
        need = portions(self.p, links.count, generator) * (weight > 0)
        tries = 1

        def propose(need: Tensor) -> Tensor:
            """Twice as many pairs as at the last time, for those that are links already."""
            nonlocal tries
            tries = min(2 * tries, 64)
            group = torch.repeat_interleave(torch.where(need > 0, tries * need + 8, 0))
            chance = rand(len(group), generator=generator, device=graph.device)
            middle = torch.searchsorted(running, before[group] + chance * weight[group], right=True)
            middle = middle.clamp(max=len(graph) - 1)
            middle = middle[(graph[middle] == group) & (near.degree[middle] > 1)]
            return near.pair(middle, generator)

        new = fresh_links(data, links.codes, need, propose, 12)
        return plus_links(data, links, torch.ones_like(links.codes, dtype=torch.bool), new)


@dataclass(frozen=True)
class ResampleLinks(GraphOp):
    r"""Replaces a share p of the links by plausible ones, so that the tendency stays.

    A link (u, v) becomes (u, v') where v' is two random steps from u: the pair is drawn with

    .. math:: P(u v') \propto d_u \sum_w \frac{1}{d_u}\frac{1}{d_w}
        = \sum_{w \in N(u) \cap N(v')} \frac{1}{d_w}

    which is the resource-allocation score (Zhou et al. 2009). The reason: u is an end of a random
    link, hence drawn by its degree; a random walk keeps that distribution, so v' falls on every
    node as often as v was taken from it: but for pairs that are no use (loops and links that are
    there already), all degrees are kept in expectation, and two steps mostly stay within a
    community. What varies is which single links there are: *knowing the tendency matters more than
    the exact value*. Links for which forty walks find no partner stay.

    Args:
        p: Share of the links that are replaced; the dial.

    Example:
        >>> ring = torch.stack((torch.arange(8), (torch.arange(8) + 1) % 8))
        >>> from goodviews.views.graphs.link_sets import with_links
        >>> view = ResampleLinks(0.5)(with_links(Data(x=torch.ones(8, 1)), ring))
        >>> view.edge_index.shape
        torch.Size([2, 16])
    """

    p: float = 0.3
    name: ClassVar[str] = "resample_links"
    reads: ClassVar[frozenset[str]] = LINKS

    def __post_init__(self) -> None:
        """Check the settings."""
        between("resample_links.p", self.p, 0, 1)

    def prepare(self, data: Data) -> tuple[Links, Neighbours]:
        """The links and neighbours."""
        return links_of(data), Neighbours.of(data)

    def apply(self, data: Data, prepared: Any, generator: Generator | None) -> Data:
        """Replace some links."""
        links, near = prepared
        n, m = len(data.x), len(links.codes)
        chance = rand(2, m, generator=generator, device=data.x.device)
        count = portions(self.p, links.count, generator)
        waiting = pick_within(links.graph, count, chance[0]).nonzero()[:, 0]
        ends = torch.where(chance[1] < 0.5, links.ends, links.ends.flip(0))
        taken, got = links.codes, links.codes[:0]
        gone = torch.zeros(m, dtype=torch.bool, device=data.x.device)
        for attempt in range(40):
            if len(waiting) == 0:
                break
            home = ends[int(attempt >= 20), waiting]  # then the other end stays
            far = near.step(near.step(home, generator), generator)
            code = torch.minimum(home, far) * n + torch.maximum(home, far)
            good = (home != far) & ~found(code, taken)
            first = torch.zeros_like(good)
            place = good.nonzero()[:, 0]
            first[place[firsts(code[place])]] = True
            got = torch.cat((got, code[first]))
            taken = torch.cat((taken, code[first])).sort().values
            gone[waiting[first]] = True
            waiting = waiting[~first]
        new = torch.stack((got.div(max(n, 1), rounding_mode="floor"), got % max(n, 1)))
        return plus_links(data, links, ~gone, new)
