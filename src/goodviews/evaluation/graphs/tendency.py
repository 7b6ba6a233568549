"""Tendency, not value: does a model of links expect the right kind of graph?

A model may be wrong about every single link and still know how many links there are, who has many,
which communities they join and whether neighbours of a node are neighbours of each other. These are
sums of link probabilities over many pairs; all n^2 of them never lie in memory together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import networkx as nx
import numpy as np
import torch
from scipy.stats import binom, wasserstein_distance
from torch import Tensor
from torch_geometric.data import Data

from goodviews.evaluation.graphs.heuristics import adjacency_of, score
from goodviews.information import kl_divergence
from goodviews.interfaces import UserError

Probability = Callable[[Tensor], Tensor]
"""Node pairs (2, m), u < v -> probability (m,) that each is a link."""
EXACT_NODES = 3000
"""Up to so many nodes every pair is asked for; beyond, partners of each node are drawn."""
PAIRS = 1 << 18
"""The most pairs asked for at once."""
COMMUNITIES = 30
"""The most communities told apart; the smaller ones are one together."""
LOUVAIN_LINKS = 200_000
"""The most links of a graph whose communities Louvain finds."""
GROUPS = 4096
"""The most different expected degrees; nodes with like ones share theirs."""
CENTRES = 400
"""Nodes (drawn, with repetition) whose neighbours' neighbourliness is asked for."""
WEDGES = 64
"""Pairs of neighbours drawn a centre."""
CLOSE = 0.1
"""A tenth: the disagreement up to which the one-sentence reading says that a model knows."""


@dataclass(frozen=True)
class Tendency:
    """What a model expects of a graph beside what the graph is."""

    links: int
    links_expected: float
    """Sum of the probabilities of all pairs."""
    degree_kl: float
    """KL(true || expected) of the distributions of the degree over nodes, in nats."""
    degree_w1: float
    """Wasserstein-1 distance of the same two, in links a node."""
    mixing_kl: float
    """KL(true || expected) of the shares of links between communities, in nats."""
    mixing_tv: float
    """Total variation of the same two, in [0, 1]: share of the links in the wrong place."""
    clustering: float
    """3 triangles / connected triples of the graph (transitivity), in [0, 1]."""
    clustering_expected: float
    """Expected 3 triangles over expected connected triples, links being independent."""
    clustering_error: float
    """Standard error of ``clustering_expected``, of which pairs were drawn."""
    degrees: Tensor
    """float64, shape (2, k): share of nodes of degree 0 .. k - 1, true and expected."""
    mixing: Tensor
    """float64, shape (2, c, c): share of links between communities, true and expected; symmetric,
    a link between two communities is half in each of its two places."""
    exact: bool
    """Whether every pair was asked for."""

    @property
    def reading(self) -> str:
        """The numbers in one sentence."""
        mean = float((self.degrees[0] * torch.arange(self.degrees.shape[1])).sum())
        known = [
            name
            for name, good in (
                ("the number of links", abs(self.links_expected / self.links - 1) <= CLOSE),
                ("the degrees", self.degree_w1 <= CLOSE * mean),
                ("the mixing of communities", self.mixing_tv <= CLOSE),
                ("the clustering", abs(self.clustering_expected - self.clustering) <= CLOSE),
            )
            if good
        ]
        words = " and ".join([", ".join(known[:-1]), known[-1]] if len(known) > 1 else known)
        return (
            f"Knows {words or 'none of the tendencies'} to within a tenth: "
            f"{self.links_expected:.0f} links expected of {self.links}, "
            f"degrees off by {self.degree_w1:.2g} of {mean:.3g} links a node, "
            f"{self.mixing_tv:.0%} of links between the wrong communities, "
            f"clustering {self.clustering_expected:.2g} for {self.clustering:.2g}."
        )


def tendency(
    probability: Probability,
    graph: Data,
    *,
    communities: Tensor | None = None,
    known: Data | None = None,
    partners: int = 1000,
    exact_nodes: int = EXACT_NODES,
    seed: int = 0,
) -> Tendency:
    r"""Expected degrees, community mixing and clustering of a model of links, beside the graph's.

    With p_uv the probability of a link and links independent given the model,
    ``lambda_u = sum_v p_uv``; the expected share of nodes of degree k is ``mean_u P(D_u = k)`` with
    D_u of mean lambda_u and variance ``lambda_u - sum_v p_uv^2`` (a sum of unequal coins, taken as
    the binomial of that mean and nearly that variance; Ehm 1991); the expected share of links
    between communities a and b is ``sum_{u in a, v in b} p_uv / sum p``; the expected clustering
    ``sum_u sum_{v != w} p_uv p_uw p_vw / sum_u sum_{v != w} p_uv p_uw``, from triples drawn in
    proportion to ``p_uv p_uw``. Before a KL the expected distribution is mixed with a share
    ``1 / (n + 1)`` (links: ``1 / (m + 1)``) of the uniform one, so that it is finite.

    Above ``exact_nodes`` nodes, all true links and ``partners`` drawn non-links a node are asked
    for, weighted to stand for the rest; expected degrees then carry the noise of that draw.

    Args:
        probability: of links (2, m), for pairs from the whole graph, not from a half-and-half set
            of links and non-links: see :meth:`goodviews.evaluation.graphs.calibration.Scaling.at`.
        graph: the true graph with all its links.
        communities: int64 (n,); None: ``graph.y`` where every node has one, else found by
            :func:`find_communities`. More than 30: the smaller are one together.
        known: a graph whose links are certain (probability 1), such as the message graph.
        partners: non-links drawn a node where not every pair is asked for.
        exact_nodes: the most nodes of which every pair is asked for.
        seed: of draws.

    Raises:
        UserError: a graph without links, a probability outside [0, 1], communities of other nodes.

    Example:
        >>> pairs = torch.combinations(torch.arange(6)).T
        >>> full = Data(edge_index=torch.cat([pairs, pairs.flip(0)], 1), num_nodes=6)
        >>> found = tendency(lambda links: torch.ones(links.shape[1]), full)
        >>> found.links_expected, found.degree_w1, found.clustering_expected
        (15.0, 0.0, 1.0)
    """
    adjacency = adjacency_of(graph)
    n, links = adjacency.shape[0], adjacency.nnz // 2
    if links == 0:
        raise UserError(f"graph: {n} nodes and no link. There is no tendency to compare with.")
    generator = torch.Generator().manual_seed(seed)
    block = _communities(graph, communities, n, seed)
    asked = _asked(probability, None if known is None else _keys(known, n), n)
    exact = n <= exact_nodes
    pairs = _all_pairs(n) if exact else _drawn_pairs(graph, n, partners, generator)
    sums = _sums(asked, pairs, block)
    degree = torch.from_numpy(np.diff(adjacency.indptr)).long()
    degrees = _degree_shares(degree, sums)
    mixing = _mixing_shares(graph, block, sums.mixing)
    expected, error = _clustering(asked, sums, n, generator)
    return Tendency(
        links=links,
        links_expected=float(sums.mean.sum() / 2),
        degree_kl=_smoothed_kl(degrees, n),
        degree_w1=_w1(degrees),
        mixing_kl=_smoothed_kl(mixing, links),
        mixing_tv=float((mixing[0] - mixing[1]).abs().sum() / 2),
        clustering=transitivity(graph),
        clustering_expected=expected,
        clustering_error=error,
        degrees=degrees,
        mixing=mixing,
        exact=exact,
    )


def transitivity(graph: Data) -> float:
    """3 triangles / connected triples, in [0, 1]; 0 for a graph without connected triples.

    Example:
        >>> triangle = torch.tensor([[0, 0, 1, 1, 2, 2], [1, 2, 0, 2, 0, 1]])
        >>> transitivity(Data(edge_index=triangle, num_nodes=3))
        1.0
    """
    links = graph.edge_index[:, graph.edge_index[0] < graph.edge_index[1]]
    degree = torch.bincount(graph.edge_index[0]).double()
    triples = float((degree * (degree - 1)).sum() / 2)
    return float(score("common-neighbours", graph, links).sum()) / triples if triples else 0.0


def find_communities(graph: Data, seed: int = 0) -> Tensor:
    """Communities int64 (n,) of a graph by Louvain, the largest first; isolated nodes stay alone.

    Above ``LOUVAIN_LINKS`` links, label propagation takes its place: rougher, but linear in them.

    Reference: Blondel et al. 2008; Raghavan et al. 2007.

    Example:
        >>> links = torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]])
        >>> find_communities(Data(edge_index=links, num_nodes=4)).bincount().tolist()
        [2, 2]
    """
    n = int(graph.num_nodes or 0)
    network = nx.Graph()
    network.add_nodes_from(range(n))
    network.add_edges_from(
        graph.edge_index[:, graph.edge_index[0] < graph.edge_index[1]].T.tolist()
    )
    if network.number_of_edges() <= LOUVAIN_LINKS:
        groups = nx.community.louvain_communities(network, seed=seed)
    else:
        groups = nx.community.asyn_lpa_communities(network, seed=seed)
    found = torch.empty(n, dtype=torch.int64)
    for place, group in enumerate(sorted(groups, key=lambda group: (-len(group), min(group)))):
        found[list(group)] = place
    return found


class _Sums(NamedTuple):
    mean: Tensor
    """Expected degree (n,)."""
    square: Tensor
    """Sum of squared probabilities (n,)."""
    mixing: Tensor
    """Expected links between communities (c, c), one way."""


def _communities(graph: Data, given: Tensor | None, n: int, seed: int) -> Tensor:
    labels = graph.y if given is None else given
    if given is None and not (isinstance(labels, Tensor) and labels.shape == (n,)):
        labels = find_communities(graph, seed)
    if labels.shape != (n,):
        raise UserError(f"communities: {tuple(labels.shape)} for {n} nodes. Give one a node.")
    _, place, count = labels.cpu().unique(return_inverse=True, return_counts=True)
    rank = count.argsort(descending=True, stable=True).argsort()
    return rank[place].clamp_max(COMMUNITIES - 1)


def _asked(probability: Probability, certain: Tensor | None, n: int) -> Probability:
    """Probabilities as float64 on the CPU, checked; 1 for the links of a known graph."""

    def ask(links: Tensor) -> Tensor:
        p = probability(links).detach().cpu().double()
        if p.shape != links.shape[1:] or not bool(((p >= 0) & (p <= 1)).all()):
            raise UserError(
                f"probability: {tuple(p.shape)} from {float(p.min()):.3g} to {float(p.max()):.3g} "
                f"for {links.shape[1]} pairs. Give one in [0, 1] a pair; scale scores first."
            )
        return p if certain is None else p.masked_fill(_among(certain, links, n), 1.0)

    return ask


def _keys(graph: Data, n: int) -> Tensor:
    """``u n + v`` of every link u < v, ascending."""
    u, v = graph.edge_index.cpu()
    return (u * n + v)[u < v].unique()


def _among(keys: Tensor, links: Tensor, n: int) -> Tensor:
    wanted = links[0] * n + links[1]
    if len(keys) == 0:
        return torch.zeros_like(wanted, dtype=torch.bool)
    return keys[torch.searchsorted(keys, wanted).clamp_max(len(keys) - 1)] == wanted


Weighted = Iterator[tuple[Tensor, Tensor]]
"""Pairs (2, m), u < v, and how many pairs each stands for (m,)."""


def _all_pairs(n: int) -> Weighted:
    rows = max(1, PAIRS // n)
    for start in range(0, n - 1, rows):
        width = n - start
        pairs = start + torch.triu_indices(min(rows, width), width, offset=1)
        yield pairs, torch.ones(pairs.shape[1], dtype=torch.float64)


def _drawn_pairs(graph: Data, n: int, partners: int, generator: torch.Generator) -> Weighted:
    """Every true link, and for each node drawn partners that it is not linked to.

    A drawn pair stands for (non-links of its node) / (partners kept) pairs, halved because the
    other node draws too.
    """
    if partners < 1:
        raise UserError(f"partners: {partners}. Draw at least 1 a node, for example 1000.")
    u, v = graph.edge_index.cpu()
    links, keys = torch.stack([u, v])[:, u < v], _keys(graph, n)
    for part in links.split(PAIRS, dim=1):
        yield part, torch.ones(part.shape[1], dtype=torch.float64)
    others = n - 1 - torch.bincount(u, minlength=n)
    for nodes in torch.arange(n).split(max(1, PAIRS // partners)):
        drawn = torch.randint(n, (len(nodes), partners), generator=generator)
        ends = torch.stack([nodes.unsqueeze(1).expand_as(drawn), drawn]).flatten(1)
        pairs = ends.sort(0).values
        kept = (pairs[0] != pairs[1]) & ~_among(keys, pairs, n)
        share = kept.view(len(nodes), -1).sum(1).clamp_min(1)
        weight = (others[nodes] / (2 * share)).double().repeat_interleave(partners)
        yield pairs[:, kept], weight[kept]


def _sums(asked: Probability, pairs: Weighted, block: Tensor) -> _Sums:
    n, blocks = len(block), int(block.max()) + 1
    mean = torch.zeros(n, dtype=torch.float64)
    square, mixing = mean.clone(), torch.zeros(blocks * blocks, dtype=torch.float64)
    for links, weight in pairs:
        p = asked(links)
        for end in links:
            mean.index_add_(0, end, weight * p)
            square.index_add_(0, end, weight * p * p)
        mixing.index_add_(0, block[links[0]] * blocks + block[links[1]], weight * p)
    return _Sums(mean, square, mixing.view(blocks, blocks))


def _degree_shares(degree: Tensor, sums: _Sums) -> Tensor:
    """True and expected share of nodes of every degree (2, k)."""
    order = sums.mean.argsort()
    groups = order.chunk(min(GROUPS, len(order)))
    size = np.array([len(group) for group in groups])
    mean = np.array([float(sums.mean[group].mean()) for group in groups])
    square = np.array([float(sums.square[group].mean()) for group in groups])
    coins = np.maximum(np.rint(mean**2 / np.maximum(square, 1e-300)), np.ceil(mean - 1e-9))
    coins = np.clip(coins, 1, max(1, len(order) - 1))
    most = int(max(int(degree.max()), mean.max() + 10 * math.sqrt(mean.max()) + 10))
    expected = np.zeros(most + 1)
    for part in np.array_split(np.arange(len(groups)), math.ceil(len(groups) * most / (1 << 22))):
        chance = np.minimum(mean[part] / coins[part], 1)
        table = binom.pmf(np.arange(most + 1), coins[part, None], chance[:, None])
        expected += size[part] @ table
    true = torch.bincount(degree, minlength=most + 1).double()
    return torch.stack([true / true.sum(), torch.from_numpy(expected / expected.sum())])


def _mixing_shares(graph: Data, block: Tensor, expected: Tensor) -> Tensor:
    blocks = len(expected)
    u, v = graph.edge_index.cpu()
    true = torch.bincount(block[u] * blocks + block[v], minlength=blocks**2).double()
    both = torch.stack([true.view(blocks, blocks), expected + expected.T])
    totals = both.sum((1, 2), keepdim=True)
    return torch.where(totals > 0, both / totals.clamp_min(1e-300), 1 / blocks**2)


def _smoothed_kl(shares: Tensor, count: int) -> float:
    true, expected = shares.flatten(1).numpy()
    uniform = 1 / (count + 1)
    return kl_divergence(true, (1 - uniform) * expected + uniform / len(expected))


def _w1(shares: Tensor) -> float:
    values = np.arange(shares.shape[1])
    return float(wasserstein_distance(values, values, shares[0].numpy(), shares[1].numpy()))


def _clustering(
    asked: Probability, sums: _Sums, n: int, generator: torch.Generator
) -> tuple[float, float]:
    """Expected clustering and its standard error, from drawn triples v - u - w."""
    triples = (sums.mean**2 - sums.square).clamp_min(0)
    if n < 3 or float(triples.sum()) <= 1e-12:
        return 0.0, 0.0
    count = min(CENTRES, max(50, 10**8 // n))
    centres = torch.multinomial(triples, count, replacement=True, generator=generator)
    closed = []
    for centre in centres.tolist():
        row = _row(asked, centre, n)
        if int((row > 0).sum()) < 2:
            continue
        ends = torch.multinomial(row, 2 * WEDGES, replacement=True, generator=generator)
        ends = ends.view(2, WEDGES).sort(0).values
        ends = ends[:, ends[0] != ends[1]]
        if ends.shape[1]:
            closed.append(float(asked(ends).mean()))
    if not closed:
        return 0.0, 0.0
    values = np.array(closed)
    return float(values.mean()), float(values.std() / math.sqrt(len(values)))


def _row(asked: Probability, node: int, n: int) -> Tensor:
    """Probabilities (n,) of links of one node with all others, 0 with itself."""
    row = torch.zeros(n, dtype=torch.float64)
    others = torch.cat([torch.arange(node), torch.arange(node + 1, n)])
    for part in others.split(PAIRS):
        ends = torch.stack([torch.full_like(part, node), part]).sort(0).values
        row[part] = asked(ends)
    return row
