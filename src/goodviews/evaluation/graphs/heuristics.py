"""Link-prediction heuristics: scores of node pairs from the message graph alone, nothing learned.

Reference: Liben-Nowell & Kleinberg 2007; Lü & Zhou 2011; Zhang & Chen 2018, table 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import eigsh
from torch import Tensor
from torch_geometric.data import Data

from goodviews.evaluation.graphs.decoders import Scorer
from goodviews.evaluation.graphs.links import checked_links
from goodviews.interfaces import UserError, check_name

TILE = 8192
"""Pairs whose neighbourhoods are compared at once."""
CELLS = 1 << 22
"""Numbers in one block of columns of a solution."""
TOLERANCE = 1e-12
"""Change of a solution below which the iteration ends."""


def score(name: str, message: Data, links: Tensor, **options: float) -> Tensor:
    """Scores (m,), float64, of links (2, m) by a heuristic on the message graph (n nodes).

    Only ``message.edge_index`` is read: a hidden link that it does not hold can play no part.
    With N(u) the neighbours of u, d(u) their number and A the adjacency matrix:

    - ``common-neighbours``: ``|N(u) & N(v)|``
    - ``jaccard``: ``|N(u) & N(v)| / |N(u) | N(v)|``, 0 for two nodes without neighbours
    - ``adamic-adar``: ``sum over w in N(u) & N(v) of 1 / log d(w)``
    - ``resource-allocation``: ``sum over w in N(u) & N(v) of 1 / d(w)``
    - ``preferential-attachment``: ``d(u) d(v)``
    - ``local-path``: ``(A^2 + epsilon A^3)_uv``, epsilon 1e-3 (Lü et al. 2009)
    - ``katz``: ``sum over l >= 1 of beta^l (A^l)_uv``; ``beta`` by default half of 1 / lambda_max
    - ``ppr``: ``pi_u(v) + pi_v(u)``, pi_u where a walk from u is found that goes back to u with
      probability ``restart`` (0.15) before every step

    Katz and PPR are columns of ``(I - G)^-1``, found a block of columns at a time by a power series
    with Chebyshev weights to within 1e-12.

    Args:
        name: one of ``HEURISTICS``.
        message: the graph that may be seen, both directions of every link in ``edge_index``.
        links: node pairs to score.
        options: ``epsilon``, ``beta`` or ``restart`` of the heuristic that has it.

    Raises:
        UserError: unknown name or option, a link outside the graph, one-directional links, beta not
            below 1 / lambda_max, restart outside (0, 1).

    Example:
        >>> triangle = torch.tensor([[0, 0, 1, 1, 2, 2], [1, 2, 0, 2, 0, 1]])
        >>> graph = Data(edge_index=triangle, num_nodes=3)
        >>> score("common-neighbours", graph, torch.tensor([[0], [1]])).tolist()
        [1.0]
    """
    check_name("heuristic", name, HEURISTICS)
    known = OPTIONS.get(name, ())
    for option in options:
        check_name(f"option of {name}", option, known or ("none",))
    adjacency = adjacency_of(message)
    pairs = checked_links(links, adjacency.shape[0]).cpu().numpy()
    if pairs.shape[1] == 0:
        return torch.empty(0, dtype=torch.float64)
    return torch.from_numpy(HEURISTICS[name](adjacency, pairs, **options))


def scorers(message: Data, names: Iterable[str] | None = None) -> dict[str, Scorer]:
    """Every heuristic (or those named) as a function of links (2, m) alone.

    Example:
        >>> path = Data(edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> scorers(path)["jaccard"](torch.tensor([[0], [2]])).tolist()
        [1.0]
    """
    return {
        name: partial(score, name, message) for name in (HEURISTICS if names is None else names)
    }


def adjacency_of(graph: Data) -> sparse.csr_matrix:
    """The adjacency matrix (n, n) of 0 and 1, float64.

    Raises:
        UserError: a link outside the graph, or in one direction only.

    Example:
        >>> adjacency_of(Data(edge_index=torch.tensor([[0, 1], [1, 0]]), num_nodes=2)).toarray()
        array([[0., 1.],
               [1., 0.]])
    """
    n = int(graph.num_nodes or 0)
    rows, columns = checked_links(graph.edge_index, n).cpu().numpy()
    matrix = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(n, n))
    matrix.data[:] = 1.0  # a link given twice is one link
    if (matrix != matrix.T).nnz:
        raise UserError(
            "edge_index: a link is there in one direction only. Give both, for example with "
            "torch_geometric.utils.to_undirected."
        )
    return matrix


def _degrees(adjacency: sparse.csr_matrix) -> np.ndarray:
    return np.diff(adjacency.indptr).astype(np.float64)


def _shared(
    adjacency: sparse.csr_matrix, pairs: np.ndarray, weight: np.ndarray | None = None
) -> np.ndarray:
    """Sum of a weight (n,) over the common neighbours of each pair."""
    weight = np.ones(adjacency.shape[0]) if weight is None else weight
    found = []
    for start in range(0, pairs.shape[1], TILE):
        u, v = pairs[:, start : start + TILE]
        found.append(adjacency[u].multiply(adjacency[v]).tocsr() @ weight)
    return np.concatenate(found)


def _jaccard(adjacency: sparse.csr_matrix, pairs: np.ndarray) -> np.ndarray:
    shared, degree = _shared(adjacency, pairs), _degrees(adjacency)
    union = degree[pairs[0]] + degree[pairs[1]] - shared
    return shared / np.maximum(union, 1)


def _adamic_adar(adjacency: sparse.csr_matrix, pairs: np.ndarray) -> np.ndarray:
    # a common neighbour of two nodes has two neighbours: log 2 is the least that is ever used
    return _shared(adjacency, pairs, 1 / np.log(np.maximum(_degrees(adjacency), 2)))


def _resource_allocation(adjacency: sparse.csr_matrix, pairs: np.ndarray) -> np.ndarray:
    return _shared(adjacency, pairs, 1 / np.maximum(_degrees(adjacency), 1))


def _preferential_attachment(adjacency: sparse.csr_matrix, pairs: np.ndarray) -> np.ndarray:
    degree = _degrees(adjacency)
    return degree[pairs[0]] * degree[pairs[1]]


def _local_path(
    adjacency: sparse.csr_matrix, pairs: np.ndarray, epsilon: float = 1e-3
) -> np.ndarray:
    found = []
    for start in range(0, pairs.shape[1], TILE // 8):
        u, v = pairs[:, start : start + TILE // 8]
        two_steps = adjacency[u] @ adjacency
        three = np.asarray(two_steps.multiply(adjacency[v]).sum(1)).ravel()
        two = np.asarray(two_steps[np.arange(len(v)), v]).ravel()
        found.append(two + epsilon * three)
    return np.concatenate(found)


def _katz(adjacency: sparse.csr_matrix, pairs: np.ndarray, beta: float | None = None) -> np.ndarray:
    largest = _spectral_radius(adjacency)
    if largest == 0:
        return np.zeros(pairs.shape[1])
    beta = 0.5 / largest if beta is None else beta
    if not 0 < beta * largest < 1:
        raise UserError(
            f"beta: {beta:g} is not between 0 and 1 / lambda_max = {1 / largest:.4g}, where the "
            "sum over paths is finite. Use for example half of that."
        )
    return _resolvent(beta * adjacency, beta * largest, pairs)


def _ppr(adjacency: sparse.csr_matrix, pairs: np.ndarray, restart: float = 0.15) -> np.ndarray:
    """``pi_u(v) = restart sqrt(d_v / d_u) X_uv``, X of the symmetrised walk ``D^-1/2 A D^-1/2``."""
    if not 0 < restart < 1:
        raise UserError(f"restart: {restart:g}. Use a number above 0 and below 1, such as 0.15.")
    degree = _degrees(adjacency)
    scale = sparse.diags(1 / np.sqrt(np.maximum(degree, 1)))
    walk = ((1 - restart) * (scale @ adjacency @ scale)).tocsr()
    one, two = np.sqrt(np.maximum(degree, 1))[pairs]
    return restart * _resolvent(walk, 1 - restart, pairs) * (one / two + two / one)


def _spectral_radius(adjacency: sparse.csr_matrix) -> float:
    """The largest eigenvalue; by Perron-Frobenius none is larger in size."""
    n = adjacency.shape[0]
    if adjacency.nnz == 0:
        return 0.0
    if n <= 100:
        return float(np.linalg.eigvalsh(adjacency.toarray())[-1])
    start = 1 + _degrees(adjacency)
    return float(eigsh(adjacency, k=1, which="LA", v0=start, return_eigenvectors=False)[0])


def _resolvent(matrix: sparse.csr_matrix, radius: float, pairs: np.ndarray) -> np.ndarray:
    """``((I - G)^-1)_uv`` of pairs (2, m), u != v, for a symmetric G of this spectral radius.

    The end of a pair that more pairs have in common is its source: fewer columns to solve for.
    """
    uses = np.bincount(pairs.ravel(), minlength=matrix.shape[0])
    turned = uses[pairs[0]] < uses[pairs[1]]
    source, target = np.where(turned, pairs[::-1], pairs)
    sources, place = np.unique(source, return_inverse=True)
    width = max(1, CELLS // matrix.shape[0])
    found = np.empty(pairs.shape[1])
    for start in range(0, len(sources), width):
        here = (place >= start) & (place < start + width)
        columns = _chebyshev(matrix, radius, sources[start : start + width])
        found[here] = columns[target[here], place[here] - start]
    return found


def _chebyshev(matrix: sparse.csr_matrix, radius: float, sources: np.ndarray) -> np.ndarray:
    """Columns (n, k) of ``(I - G)^-1`` by the Chebyshev semi-iteration (Golub & Varga 1961).

    ``x' = w (G x + e - x_before) + x_before``, ``w' = 1 / (1 - radius^2 w / 4)``: the power series
    ``x' = G x + e`` with weights that halve the number of steps or better.
    """
    start = np.zeros((matrix.shape[0], len(sources)))
    start[sources, np.arange(len(sources))] = 1.0
    before, now, weight = np.zeros_like(start), start, 2 / (2 - radius**2)
    while True:
        step = weight * (matrix @ now + start - before)
        after = before + step
        if np.abs(after - now).max() < TOLERANCE:
            return after
        before, now, weight = now, after, 1 / (1 - radius**2 * weight / 4)


HEURISTICS: dict[str, Callable[..., Any]] = {
    "common-neighbours": _shared,
    "jaccard": _jaccard,
    "adamic-adar": _adamic_adar,
    "resource-allocation": _resource_allocation,
    "preferential-attachment": _preferential_attachment,
    "local-path": _local_path,
    "katz": _katz,
    "ppr": _ppr,
}
"""Name -> (adjacency, pairs, options) -> scores; :func:`score` is the way in."""
OPTIONS = {"local-path": ("epsilon",), "katz": ("beta",), "ppr": ("restart",)}
"""What can be set."""
