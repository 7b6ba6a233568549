"""Removal that looks at the graph: by importance, by communities, by shared neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor
from torch_geometric.data import Data
from torch_geometric.utils import scatter

from goodviews.interfaces import check_name
from goodviews.views.graphs.communities import centrality, communities
from goodviews.views.graphs.feature_ops import with_features
from goodviews.views.graphs.link_sets import (
    Links,
    found,
    keep_links,
    links_of,
    pick_within,
    portions,
)
from goodviews.views.graphs.op import FEATURES, LINKS, GraphOp, graph_of, graphs_in, rand
from goodviews.views.ops import between

__all__ = [
    "MaskUnimportant",
    "RemoveBetween",
    "RemoveUnimportant",
    "RemoveUnshared",
    "shared_neighbours",
]

CENTRALITIES = ("degree", "page-rank")


def _importance_odds(score: Tensor, group: Tensor, groups: int) -> Tensor:
    """(s_max - s) / (s_max - s_mean) of each group's scores: the smaller the score, the larger."""
    if len(score) == 0:
        return score
    most = scatter(score, group, dim_size=groups, reduce="max")
    mean = scatter(score, group, dim_size=groups, reduce="mean")
    spread = (most - mean)[group]
    even = spread < 1e-6 * most.abs()[group].clamp(min=1)
    return torch.where(even, 1.0, (most[group] - score) / spread.masked_fill(even, 1.0))


@dataclass(frozen=True)
class RemoveUnimportant(GraphOp):
    r"""Links dropped the more likely the less central their ends (Zhu et al. 2021, GCA, eq. 3-5).

    .. math:: p_{uv} = \min\Big( p\, \frac{s_{\max} - s_{uv}}{s_{\max} - \bar s},\; \text{limit}
        \Big), \qquad s_{uv} = \log \frac{c_u + c_v}{2}

    with the centrality c of a node; maximum and mean over the links of its graph. Until the limit
    works, a share p is dropped.

    Args:
        p: Expected share of the links dropped; the dial.
        by: "degree" or "page-rank".
        limit: No link is dropped more often.

    Example:
        >>> star = torch.tensor([[0, 0, 0, 1, 2, 3], [1, 2, 3, 0, 0, 0]])
        >>> op = RemoveUnimportant(0.5)
        >>> op.prepare(Data(x=torch.ones(4, 1), edge_index=star))[1]
        tensor([0.5000, 0.5000, 0.5000])
    """

    p: float = 0.3
    by: str = "degree"
    limit: float = 0.7
    name: ClassVar[str] = "remove_unimportant"
    reads: ClassVar[frozenset[str]] = LINKS

    def __post_init__(self) -> None:
        """Check the settings."""
        between("remove_unimportant.p", self.p, 0, 1)
        between("remove_unimportant.limit", self.limit, 0, 1)
        check_name("remove_unimportant.by", self.by, CENTRALITIES)

    def prepare(self, data: Data) -> tuple[Links, Tensor]:
        """The links and the probability that each is dropped, (m,)."""
        links = links_of(data)
        score = centrality(data, self.by)[links.ends].mean(0).log()
        odds = _importance_odds(score, links.graph, len(links.count))
        return links, (self.p * odds).clamp(max=self.limit)

    def apply(self, data: Data, prepared: Any, generator: Generator | None) -> Data:
        """Drop some links."""
        links, chance = prepared
        drawn = rand(len(chance), generator=generator, device=chance.device)
        return keep_links(data, links, drawn >= chance)


@dataclass(frozen=True)
class MaskUnimportant(GraphOp):
    r"""Feature dimensions hidden the more likely the less central the nodes that have them.

    .. math:: p_d = \min\Big( p\, \frac{s_{\max} - s_d}{s_{\max} - \bar s},\; \text{limit} \Big),
        \qquad s_d = \log\Big(1 + \sum_u |x_{ud}|\, c_u\Big)

    with the centrality c of a node (Zhu et al. 2021, GCA, eq. 6-7; the 1 is of their code, for
    dimensions that no node has). Maximum and mean over the dimensions of a graph.

    Args:
        p: Expected share of the dimensions hidden; the dial.
        by: "degree" or "page-rank".
        limit: No dimension is hidden more often.

    Example:
        >>> data = Data(x=torch.eye(3), edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
        >>> MaskUnimportant(0.3).prepare(data)
        tensor([[0.4500, 0.0000, 0.4500]])
    """

    p: float = 0.3
    by: str = "degree"
    limit: float = 0.7
    name: ClassVar[str] = "mask_unimportant"
    reads: ClassVar[frozenset[str]] = LINKS | FEATURES
    changes: ClassVar[frozenset[str]] = FEATURES

    def __post_init__(self) -> None:
        """Check the settings."""
        between("mask_unimportant.p", self.p, 0, 1)
        between("mask_unimportant.limit", self.limit, 0, 1)
        check_name("mask_unimportant.by", self.by, CENTRALITIES)

    def prepare(self, data: Data) -> Tensor:
        """The probability that each dimension of each graph is hidden, (graphs, f)."""
        links_of(data)
        graphs, f = graphs_in(data), data.x.shape[1]
        mass = data.x.abs() * centrality(data, self.by)[:, None]
        score = scatter(mass, graph_of(data), dim_size=graphs, reduce="sum").log1p()
        group = torch.arange(graphs, device=mass.device).repeat_interleave(f)
        odds = _importance_odds(score.flatten(), group, graphs).view(graphs, f)
        return (self.p * odds).clamp(max=self.limit)

    def apply(self, data: Data, prepared: Any, generator: Generator | None) -> Data:
        """Hide some dimensions."""
        drawn = rand(*prepared.shape, generator=generator, device=prepared.device)
        return with_features(data, data.x * (drawn >= prepared)[graph_of(data)])


@dataclass(frozen=True)
class RemoveBetween(GraphOp):
    """A share p of the links dropped, those between communities first: the communities stay.

    Links between communities go in random order; only when none is left do those within follow.
    Communities are those of :func:`goodviews.views.graphs.communities.communities`.

    Args:
        p: Share of the links dropped; the dial.

    Example:
        >>> pairs = torch.tensor([[0, 0, 1, 2, 3, 3, 4], [1, 2, 2, 3, 4, 5, 5]])
        >>> from goodviews.views.graphs.link_sets import with_links
        >>> view = RemoveBetween(1 / 7)(with_links(Data(x=torch.ones(6, 1)), pairs))
        >>> bool(((view.edge_index[0] == 2) & (view.edge_index[1] == 3)).any())
        False
    """

    p: float = 0.3
    name: ClassVar[str] = "remove_between"
    reads: ClassVar[frozenset[str]] = LINKS

    def __post_init__(self) -> None:
        """Check the settings."""
        between("remove_between.p", self.p, 0, 1)

    def prepare(self, data: Data) -> tuple[Links, Tensor]:
        """The links, and which of them lie within a community, bool (m,)."""
        links = links_of(data)
        first, second = communities(data)[links.ends]
        return links, first == second

    def apply(self, data: Data, prepared: Any, generator: Generator | None) -> Data:
        """Drop some links."""
        links, within = prepared
        key = within + rand(len(within), generator=generator, device=within.device)
        count = portions(self.p, links.count, generator)
        return keep_links(data, links, ~pick_within(links.graph, count, key))


@dataclass(frozen=True)
class RemoveUnshared(GraphOp):
    """A share p of the links dropped, rather those whose ends share few neighbours.

    Our own: a link with many shared neighbours is one of a tendency, it would be expected were it
    not there; a link with none is a single value. Links are drawn one after another with weights
    1 / (1 + shared), not in fixed order: else both views would lose the same ones.

    Args:
        p: Share of the links dropped; the dial.

    Example:
        >>> pairs = torch.tensor([[0, 0, 1, 2], [1, 2, 2, 3]])
        >>> from goodviews.views.graphs.link_sets import with_links
        >>> RemoveUnshared(0.25).prepare(with_links(Data(x=torch.ones(4, 1)), pairs))[1]
        tensor([1, 1, 1, 0])
    """

    p: float = 0.3
    name: ClassVar[str] = "remove_unshared"
    reads: ClassVar[frozenset[str]] = LINKS

    def __post_init__(self) -> None:
        """Check the settings."""
        between("remove_unshared.p", self.p, 0, 1)

    def prepare(self, data: Data) -> tuple[Links, Tensor]:
        """The links and their numbers of shared neighbours, int64 (m,)."""
        links = links_of(data)
        return links, shared_neighbours(data, links)

    def apply(self, data: Data, prepared: Any, generator: Generator | None) -> Data:
        """Drop some links."""
        links, shared = prepared
        drawn = rand(len(shared), generator=generator, device=shared.device)
        key = -torch.log1p(-drawn) * (1 + shared)  # exponential waiting times of rate 1 / (1 + s)
        count = portions(self.p, links.count, generator)
        return keep_links(data, links, ~pick_within(links.graph, count, key))


def shared_neighbours(data: Data, links: Links) -> Tensor:
    """How many neighbours the ends of each link share, int64 (m,).

    Looks at the neighbours of the end that has fewer: sum of min(d_u, d_v) look-ups, no n x n.
    """
    n, (source, target) = len(data.x), data.edge_index
    edge_codes = (source * n + target).sort().values
    neighbour = edge_codes % max(n, 1)
    degree = source.bincount(minlength=n)
    start = degree.cumsum(0) - degree
    flip = degree[links.ends[0]] > degree[links.ends[1]]
    few, many = torch.where(flip, links.ends.flip(0), links.ends)
    link = torch.repeat_interleave(degree[few])
    rank = torch.arange(len(link), device=link.device)
    rank = rank - (degree[few].cumsum(0) - degree[few])[link]
    third = neighbour[start[few[link]] + rank]
    both = found(third * n + many[link], edge_codes)
    return link[both].bincount(minlength=len(few))
