"""Diffusion: a graph whose weighted links say how much of a walk from u ends at v."""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from scipy import sparse
from scipy.special import gammainc
from torch import Generator, Tensor
from torch_geometric.data import Data
from torch_geometric.utils import scatter, to_dense_adj

from goodviews.views.graphs.link_sets import links_of, with_links
from goodviews.views.graphs.op import LINKS, GraphOp, graph_of, graphs_in, sizes
from goodviews.views.ops import between

__all__ = ["Diffusion", "HeatDiffusion", "PersonalisedPageRank"]

DENSE = 4096**2
"""Entries of the padded matrices (graphs, n, n) up to which a diffusion is solved exactly."""


class Diffusion(GraphOp):
    r"""What the diffusions share: S = sum_k theta_k T^k with T = D^-1/2 (A + I) D^-1/2.

    The view's links are the ``top_k`` largest entries of each row of S off the diagonal that reach
    ``eps``, in both directions if in one. The layers of GCN, GAT and GIN count a node itself with
    weight 1, so ``unit`` gives the links S_uv / sqrt(S_uu S_vv), whose diagonal is 1.

    Graphs of up to 4,096 nodes (or as many smaller ones as take no more room) are solved exactly.
    Beyond, all nodes push at once: the walk's mass at a node of degree d is passed on only where
    what may still come of it exceeds eps * d (Andersen et al. 2006, section 3), so that a row costs
    about 1 / eps whatever the size of the graph.
    """

    top_k: int
    eps: float
    unit: bool
    reads: ClassVar[frozenset[str]] = LINKS

    def _check(self) -> None:
        between(f"{self.name}.top_k", self.top_k, 1, float("inf"))
        between(f"{self.name}.eps", self.eps, 1e-12, 1)

    @abstractmethod
    def exact(self, step: Tensor) -> Tensor:
        """S of symmetric matrices T (graphs, n, n)."""

    @abstractmethod
    def series(self) -> Iterator[tuple[float, float]]:
        """theta_k, and the sum of those to come, for k = 0, 1, ..."""

    def prepare(self, data: Data) -> tuple[Tensor, Tensor]:
        """Links u < v (2, m) of the diffused graph and their weights, float32 (m,)."""
        links_of(data)
        graphs, largest = graphs_in(data), int(max(sizes(data).tolist(), default=0))
        small = graphs * largest**2 <= DENSE
        row, column, value = self._dense(data) if small else self._pushed(data)
        n = len(data.x)
        low, high = torch.minimum(row, column), torch.maximum(row, column)
        code, place = (low * max(n, 1) + high).unique(return_inverse=True)
        total = scatter(value, place, dim_size=len(code), reduce="mean")
        return torch.stack((code.div(max(n, 1), rounding_mode="floor"), code % max(n, 1))), total

    def apply(self, data: Data, prepared: Any, generator: Generator | None) -> Data:
        """Put the diffused links in the place of the graph's."""
        ends, weight = prepared
        return with_links(data, ends, weight)

    def _dense(self, data: Data) -> tuple[Tensor, Tensor, Tensor]:
        """Rows, columns and values that are kept of the exact S."""
        graph, size = graph_of(data), sizes(data)
        loops = torch.arange(len(graph), device=graph.device).expand(2, -1)
        edges = torch.cat((data.edge_index, loops), 1)
        step = to_dense_adj(edges, graph, batch_size=len(size))
        root = step.sum(-1).clamp(min=1).rsqrt()
        found = self.exact(root[:, :, None] * step * root[:, None, :])
        own = found.diagonal(dim1=1, dim2=2).clone()
        found.diagonal(dim1=1, dim2=2).zero_()
        local = torch.arange(len(graph), device=graph.device) - (size.cumsum(0) - size)[graph]
        if found.shape[-1] > self.top_k:
            least = found.topk(self.top_k, -1).values[..., -1:]
            found = torch.where(found >= least * (1 - 1e-4), found, 0)
        entry = (found >= self.eps).nonzero()
        value, which = found[entry.unbind(1)], entry[:, 0]
        start = size.cumsum(0) - size
        row, column = start[which] + entry[:, 1], start[which] + entry[:, 2]
        if self.unit:
            scale = own[graph, local].rsqrt()
            value = value * scale[row] * scale[column]
        return row, column, value

    def _pushed(self, data: Data) -> tuple[Tensor, Tensor, Tensor]:
        """The same of S by pushing, a block of rows at a time."""
        n = len(data.x)
        source, target = data.edge_index.cpu().numpy()
        adjacency = sparse.csr_array((np.ones(len(source)), (source, target)), (n, n))
        adjacency = (adjacency + sparse.eye_array(n)).tocsr()
        degree = adjacency.sum(1)
        walk = (sparse.diags_array(1 / degree) @ adjacency).tocsr()
        parts, own = [], np.empty(n)
        for block in np.array_split(np.arange(n), max(1, n // 1024)):
            rows, columns, values = self._push(walk, degree, block)
            values = values * np.sqrt(degree[rows] / degree[columns])
            loop = rows == columns
            own[rows[loop]] = values[loop]
            parts.append(_largest(rows[~loop], columns[~loop], values[~loop], self))
        row, column, value = (np.concatenate(part) for part in zip(*parts, strict=True))
        if self.unit:
            value = value / np.sqrt(own[row] * own[column])
        device = data.x.device
        index = torch.from_numpy(np.stack((row, column))).long().to(device)
        return index[0], index[1], torch.from_numpy(value).float().to(device)

    def _push(
        self, walk: sparse.csr_array, degree: np.ndarray, block: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Entries of sum_k theta_k W^k in a block of rows, W = D^-1 (A + I)."""
        at = np.arange(len(block))
        mass = sparse.csr_array((np.ones(len(block)), (at, block)), (len(block), walk.shape[0]))
        total = sparse.csr_array(mass.shape)
        for theta, tail in self.series():
            total = total + theta * mass
            mass.data[mass.data * tail < self.eps * degree[mass.indices]] = 0
            mass.eliminate_zeros()
            if mass.nnz == 0 or tail < self.eps:
                break
            mass = (mass @ walk).tocsr()
        found = total.tocoo()
        return block[found.row], found.col, found.data


def _largest(
    rows: np.ndarray, columns: np.ndarray, values: np.ndarray, op: Diffusion
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The ``top_k`` largest entries of each row that reach ``eps``."""
    some = values >= op.eps
    rows, columns, values = rows[some], columns[some], values[some]
    order = np.lexsort((-values, rows))
    rows, columns, values = rows[order], columns[order], values[order]
    rank = np.arange(len(rows)) - np.searchsorted(rows, rows)
    return rows[rank < op.top_k], columns[rank < op.top_k], values[rank < op.top_k]


@dataclass(frozen=True)
class PersonalisedPageRank(Diffusion):
    r"""Links weighted by personalised PageRank: S = alpha (I - (1 - alpha) T)^-1.

    T = D^-1/2 (A + I) D^-1/2 (Klicpera et al. 2019, eq. 5; Hassani and Khasahmadi 2020, MVGRL,
    eq. 3, alpha 0.2). See :class:`Diffusion` for what is kept of S. The strength is 1 - alpha: at
    alpha = 1 the graph is left as it is, and the smaller alpha, the further the walk goes.

    Args:
        alpha: Probability of going home at each step, in (0, 1].
        top_k: Largest links kept of each node.
        eps: Smallest entry of S that is kept.
        unit: Links S_uv / sqrt(S_uu S_vv), not S_uv.

    Example:
        >>> data = Data(x=torch.ones(3, 1), edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
        >>> view = PersonalisedPageRank(0.2, unit=False)(data)
        >>> view.edge_index.shape, [round(w, 3) for w in view.edge_weight[:2].tolist()]
        (torch.Size([2, 6]), [0.288, 0.157])
    """

    alpha: float = 0.2
    top_k: int = 32
    eps: float = 1e-4
    unit: bool = True
    name: ClassVar[str] = "personalised_page_rank"
    dial: ClassVar[str] = "alpha"

    def __post_init__(self) -> None:
        """Check the settings."""
        between("personalised_page_rank.alpha", self.alpha, 1e-6, 1)
        self._check()

    @property
    def strength(self) -> float:
        """1 - alpha."""
        return 1 - self.alpha

    def exact(self, step: Tensor) -> Tensor:
        """S of symmetric matrices T (graphs, n, n), by Cholesky's factors."""
        eye = torch.eye(step.shape[-1], dtype=step.dtype, device=step.device)
        factor = torch.linalg.cholesky(eye - (1 - self.alpha) * step)
        return self.alpha * torch.cholesky_inverse(factor)

    def series(self) -> Iterator[tuple[float, float]]:
        """theta_k = alpha (1 - alpha)^k, and the rest (1 - alpha)^(k + 1)."""
        for k in itertools.count():
            yield self.alpha * (1 - self.alpha) ** k, (1 - self.alpha) ** (k + 1)


@dataclass(frozen=True)
class HeatDiffusion(Diffusion):
    r"""Links weighted by the heat that has come over in time t: S = exp(-t (I - T)).

    T = D^-1/2 (A + I) D^-1/2 (Kondor and Lafferty 2002; Hassani and Khasahmadi 2020, eq. 4, t 5).
    See :class:`Diffusion` for what is kept of S. At t = 0 the graph is left as it is.

    Args:
        t: Time, in steps of a walk; the dial.
        top_k: Largest links kept of each node.
        eps: Smallest entry of S that is kept.
        unit: Links S_uv / sqrt(S_uu S_vv), not S_uv.

    Example:
        >>> data = Data(x=torch.ones(3, 1), edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
        >>> [round(w, 3) for w in HeatDiffusion(2.0, unit=False)(data).edge_weight[:2].tolist()]
        [0.316, 0.123]
    """

    t: float = 5.0
    top_k: int = 32
    eps: float = 1e-4
    unit: bool = True
    name: ClassVar[str] = "heat_diffusion"
    dial: ClassVar[str] = "t"

    def __post_init__(self) -> None:
        """Check the settings."""
        between("heat_diffusion.t", self.t, 0, 500)
        self._check()

    def exact(self, step: Tensor) -> Tensor:
        """S of symmetric matrices T (graphs, n, n)."""
        eye = torch.eye(step.shape[-1], dtype=step.dtype, device=step.device)
        return torch.linalg.matrix_exp(self.t * (step - eye))

    def series(self) -> Iterator[tuple[float, float]]:
        """theta_k = exp(-t) t^k / k!, and the rest, a Poisson variable's chance to exceed k."""
        theta = np.exp(-self.t)
        for k in itertools.count():
            yield theta, float(gammainc(k + 1, self.t))
            theta *= self.t / (k + 1)
