"""Features for graphs that bring none, made of the links alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from scipy.sparse import csr_matrix, diags, linalg
from torch import Tensor
from torch.nn.functional import one_hot
from torch_geometric.data import Data
from torch_geometric.utils import degree, to_scipy_sparse_matrix

RETURNS = (2, 3, 4, 5, 6)
"""Lengths of the random walks whose return is a feature."""

BUCKETS = 8
"""Degrees 0, 1-2, 3-6, 7-14, ..., from 127 on: floor(log2(d + 1))."""

WALKS = 3e8
"""Walks of three (two) steps beyond which the returns after 5 and 6 (3 and 4) steps are left 0."""


def structural_features(data: Data, seed: int = 0, positions: int = 0) -> Tensor:
    r"""Describe every node by its place among the links: float32 (n, 16 + positions).

    The columns are log(1 + d); the clustering coefficient; log(1 + core number); the probability
    that a random walk is back after 2, ..., 6 steps, :math:`(D^{-1} A)^k_{ii}`; the bucket of d
    (one of 8); and, where asked for, ``positions`` eigenvectors. All but the last are invariants:
    renumbering the nodes permutes the rows and changes nothing else.

    Args:
        data: a graph of n nodes; its links in both directions.
        seed: where the search for the eigenvectors of a large graph begins.
        positions: eigenvectors of the normalised Laplacian to add, see :func:`eigenvectors`.

    Reference:
        Dwivedi et al. 2022, "Graph neural networks with learnable structural and positional
        representations" (return probabilities).

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> triangle = Data(edge_index=torch.tensor([[0, 0, 1, 1, 2, 2], [1, 2, 0, 2, 0, 1]]),
        ...     num_nodes=3)
        >>> structural_features(triangle)[0, 1:5]
        tensor([1.0000, 1.0986, 0.5000, 0.2500])
    """
    links = adjacency(data)
    degrees = np.diff(links.indptr)
    buckets = np.minimum(np.log2(degrees + 1.0).astype(np.int64), BUCKETS - 1)
    columns = [
        np.log1p(degrees),
        clustering(links),
        np.log1p(core_numbers(links)),
        *return_probabilities(links).T,
        *np.eye(BUCKETS)[buckets].T,
    ]
    if positions:
        columns.extend(eigenvectors(links, positions, seed).T)
    return torch.from_numpy(np.stack(columns, axis=1)).float()


def degree_one_hot(data: Data, width: int) -> Tensor:
    """The degree of each node as one of ``width`` features, float32 (n, width); larger: the last.

    Usual for social sets without node labels (Xu et al. 2019, "How powerful are graph neural
    networks?", section 7).

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> degree_one_hot(Data(edge_index=torch.tensor([[0, 1], [1, 0]]), num_nodes=3), 2)
        tensor([[0., 1.],
                [0., 1.],
                [1., 0.]])
    """
    degrees = degree(data.edge_index[0], data.num_nodes, dtype=torch.int64)
    return one_hot(degrees.clamp(max=width - 1), width).float()


def remade(data: Data, seed: int = 0) -> Data:
    """The graph with those features made anew that come from its links; ``data`` is not modified.

    ``data.x_kind`` says which: "structural", "positional" or "degree"; features that came with
    the data have no such mark and stay. Wanted whenever links are hidden: features made of all
    links would tell of the hidden ones.
    """
    kind = data.to_dict().get("x_kind")
    if kind is None:
        return data
    found = Data.from_dict(data.to_dict())
    width = data.x.size(1)
    if kind == "degree":
        found.x = degree_one_hot(data, width)
    else:
        fixed = 3 + len(RETURNS) + BUCKETS
        found.x = structural_features(data, seed, width - fixed)
    return found


def adjacency(data: Data) -> csr_matrix:
    """The adjacency matrix (n, n) of scipy, in float64."""
    ones = torch.ones(data.edge_index.size(1), dtype=torch.float64)
    return to_scipy_sparse_matrix(data.edge_index, ones, int(data.num_nodes or 0)).tocsr()


def clustering(links: csr_matrix) -> np.ndarray:
    """Share of the pairs of a node's neighbours that are linked, (n,); 0 below two neighbours.

    Every link points to the end of larger degree, so that a hub costs little: O(m^1.5).
    """
    degrees = np.diff(links.indptr)
    rank = np.lexsort((np.arange(len(degrees)), degrees)).argsort()
    coo = links.tocoo()
    up = rank[coo.row] < rank[coo.col]
    upward = csr_matrix((coo.data[up], (coo.row[up], coo.col[up])), shape=links.shape)
    ends = (upward @ upward).multiply(upward)  # a -> b -> c with a -> c: counts at (a, c)
    middle = (upward.T @ upward).multiply(upward)  # a -> b, a -> c with b -> c: at (b, c)
    triangles = sum(np.asarray(part).ravel() for part in (ends.sum(1), ends.sum(0), middle.sum(1)))
    pairs = degrees * (degrees - 1) / 2
    return np.divide(triangles, pairs, out=np.zeros(len(degrees)), where=pairs > 0)


def core_numbers(links: csr_matrix) -> np.ndarray:
    """The largest k such that the node is in a subgraph where all degrees are k or more, (n,)."""
    degrees = np.diff(links.indptr)
    core = np.zeros(len(degrees), dtype=np.int64)
    alive = np.ones(len(degrees), dtype=bool)
    k = 0
    while alive.any():
        k = max(k, int(degrees[alive].min()))
        front = np.flatnonzero(alive & (degrees <= k))
        while len(front):
            core[front], alive[front] = k, False
            touched, times = np.unique(links[front].indices, return_counts=True)
            times, touched = times[alive[touched]], touched[alive[touched]]
            degrees[touched] -= times
            front = touched[degrees[touched] <= k]
    return core


def return_probabilities(links: csr_matrix) -> np.ndarray:
    r"""Probability that a random walk is back at its node after :data:`RETURNS` steps, (n, 5).

    With the symmetric :math:`S = D^{-1/2} A D^{-1/2}` it is :math:`S^{j+k}_{ii} = \sum_v S^j_{iv}
    S^k_{iv}`, so that three steps tell of six. Of a graph too large for that (:data:`WALKS`) the
    longer ones stay 0.
    """
    size = links.shape[0]
    degrees = np.diff(links.indptr)
    root = diags(1 / np.sqrt(np.maximum(degrees, 1)))
    step = (root @ links @ root).tocsr()
    two, three = (links @ degrees).sum(), (links @ (links @ degrees)).sum()
    small = size <= 8192 and three > size * links.nnz / 4
    reach = 3 if small or three <= WALKS else 2 if two <= WALKS else 1
    found = np.zeros((size, len(RETURNS)))
    for rows in _chunks(size, 512 if small else 4096):
        walks = [step[rows].toarray() if small else step[rows]]
        for _ in range(reach - 1):
            walks.append(walks[-1] @ step)
        for column, steps in enumerate(RETURNS):
            first, second = steps // 2 - 1, (steps + 1) // 2 - 1
            if second < reach:
                found[rows, column] = _row_products(walks[first], walks[second])
    return found


def _chunks(size: int, length: int) -> Iterator[slice]:
    return (slice(i, min(i + length, size)) for i in range(0, size, length))


def _row_products(a: np.ndarray | csr_matrix, b: np.ndarray | csr_matrix) -> np.ndarray:
    """Inner product of each row of ``a`` with that of ``b``."""
    if isinstance(a, np.ndarray):
        return np.einsum("ij,ij->i", a, b)
    return np.asarray(a.multiply(b).sum(1)).ravel()


def eigenvectors(links: csr_matrix, count: int, seed: int = 0) -> np.ndarray:
    r"""Eigenvectors of :math:`I - D^{-1/2} A D^{-1/2}` after the first, smoothest first.

    Returns (n, count), scaled to mean square 1. The sign is that which makes the sum of cubes
    positive, so that the numbering of the nodes does not matter as long as the eigenvalues differ;
    equal ones (several components, symmetries) leave the choice within them to chance. Columns
    beyond n - 2 are 0.
    """
    size = links.shape[0]
    root = diags(1 / np.sqrt(np.maximum(np.diff(links.indptr), 1)))
    step = root @ links @ root
    wanted = min(count, max(size - 2, 0))
    if size <= 1000:
        vectors = np.linalg.eigh(step.toarray())[1]
    else:
        start = np.random.default_rng(seed).standard_normal(size)
        values, vectors = linalg.eigsh(step, wanted + 1, which="LA", v0=start)
        vectors = vectors[:, values.argsort()]
    vectors = vectors[:, ::-1][:, 1 : wanted + 1] * np.sqrt(size)
    vectors = vectors * np.where((vectors**3).sum(0) < 0, -1.0, 1.0)
    return np.pad(vectors, ((0, 0), (0, count - wanted)))
