"""Graphs whose law is known: stochastic block models."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import Data

from goodviews.data.graphs.links import both_ways, distinct, pairs_of
from goodviews.interfaces import UserError


@dataclass(frozen=True)
class StochasticBlocks:
    """One draw of a stochastic block model, and the truth behind it."""

    data: Data
    """x (n, f), y = the block of each node, links drawn independently given the blocks."""
    mixing: Tensor
    """float64 (b, b): the probability of a link between two nodes of given blocks."""
    centres: Tensor
    """float32 (b, f): the mean features of each block."""
    noise: float

    @property
    def sizes(self) -> Tensor:
        """Nodes of each block, int64 (b,)."""
        return self.data.y.bincount(minlength=len(self.mixing))

    @property
    def pairs(self) -> Tensor:
        """Unordered pairs of different nodes between each two blocks, float64 (b, b)."""
        sizes = self.sizes.double()
        return sizes.outer(sizes) - torch.diag(sizes * (sizes + 1) / 2)

    @property
    def expected_degree(self) -> Tensor:
        """Exact expectation of each node's degree, float64 (n,)."""
        reach = self.mixing @ self.sizes.double() - self.mixing.diagonal()
        return reach[self.data.y]

    @property
    def expected_links(self) -> Tensor:
        """Exact expectation of the number of links between each two blocks, float64 (b, b)."""
        return self.pairs * self.mixing

    @property
    def homophily(self) -> float:
        """Expected links within blocks over expected links."""
        links = self.expected_links
        return float(links.trace() / links.triu().sum())

    @property
    def best_auc(self) -> float:
        r"""AUC of the true link probability, which no predictor of hidden links exceeds on average.

        Given the blocks links are independent, so that a pair of blocks with N pairs and
        probability p gives N p links and N (1 - p) non-links, scored p; ties count half.
        """
        number = self.pairs.triu().flatten()
        chance = self.mixing.flatten()[number > 0]
        number = number[number > 0]
        level, place = chance.unique(return_inverse=True)
        links = torch.zeros_like(level).index_add(0, place, number * chance)
        others = torch.zeros_like(level).index_add(0, place, number * (1 - chance))
        below = others.cumsum(0) - others / 2
        return float((links * below).sum() / (links.sum() * others.sum()))

    def probabilities(self, pairs: Tensor) -> Tensor:
        """The true probability of a link for pairs (2, m) of different nodes, float64 (m,)."""
        first, second = self.data.y[pairs]
        return self.mixing[first, second]


def stochastic_blocks(
    nodes: int = 500,
    blocks: int = 4,
    inside: float = 0.1,
    between: float = 0.01,
    features: int = 16,
    noise: float = 1.0,
    seed: int = 0,
) -> StochasticBlocks:
    r"""Draw a graph of equal blocks: P(link) = ``inside`` within a block, ``between`` across.

    ``inside < between`` gives a heterophilous graph. Features are
    :math:`x_i = c_{y_i} + \text{noise} \cdot \epsilon`, with centres c and :math:`\epsilon`
    standard normal. The cost is that of the links, not of the pairs.

    Args:
        nodes: n.
        blocks: b; block sizes differ by one at most.
        inside: probability of a link within a block.
        between: probability of a link between two blocks.
        features: f.
        noise: standard deviation of the features around their centres.
        seed: draws everything.

    Raises:
        UserError: numbers that make no graph.

    Reference:
        Holland, Laskey and Leinhardt 1983, "Stochastic blockmodels: first steps".

    Example:
        >>> world = stochastic_blocks(300, 3, 0.1, 0.02)
        >>> round(float(world.expected_degree[0]), 2), round(world.homophily, 3)
        (13.9, 0.712)
        >>> world.data.num_edges // 2, round(float(world.expected_links.triu().sum()))
        (2098, 2085)
    """
    _check(nodes, blocks, features, noise, inside=inside, between=between)
    generator = torch.Generator().manual_seed(seed)
    block = torch.arange(nodes) * blocks // nodes
    mixing = torch.full((blocks, blocks), between, dtype=torch.float64)
    mixing.fill_diagonal_(inside)
    links = _draw(block.bincount(), mixing, generator)
    centres = torch.randn(blocks, features, generator=generator)
    x = centres[block] + noise * torch.randn(nodes, features, generator=generator)
    data = Data(x=x, edge_index=both_ways(links, nodes), y=block)
    return StochasticBlocks(data, mixing, centres, noise)


def _check(nodes: int, blocks: int, features: int, noise: float, **chances: float) -> None:
    if nodes < 2 or not 1 <= blocks <= nodes or features < 1 or noise < 0:
        raise UserError(
            f"sbm: nodes={nodes}, blocks={blocks}, features={features}, noise={noise} make no "
            "graph. Use nodes >= 2, 1 <= blocks <= nodes, features >= 1, noise >= 0."
        )
    for name, chance in chances.items():
        if not 0 <= chance <= 1:
            raise UserError(f"sbm: {name}={chance} is no probability. Use 0 to 1.")


def _draw(sizes: Tensor, mixing: Tensor, generator: torch.Generator) -> Tensor:
    """Links (2, m): a binomial number for each two blocks, then as many different pairs."""
    start = sizes.cumsum(0) - sizes
    links = []
    for a in range(len(sizes)):
        for b in range(a, len(sizes)):
            na, nb = int(sizes[a]), int(sizes[b])
            total = na * (na - 1) // 2 if a == b else na * nb
            number = torch.tensor(total, dtype=torch.float64)
            count = int(torch.binomial(number, mixing[a, b], generator=generator))
            drawn = distinct(total, count, generator)
            pairs = pairs_of(drawn) if a == b else torch.stack([drawn // nb, drawn % nb])
            links.append(pairs + torch.stack([start[a], start[b]])[:, None])
    return torch.cat(links, dim=1)
