"""The spectral split: features smoothed over the graph, and what smoothing takes away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from scipy.special import ive
from torch import Generator, Tensor
from torch_geometric.data import Data

from goodviews.interfaces import check_name
from goodviews.views.graphs.feature_ops import with_features
from goodviews.views.graphs.link_sets import links_of
from goodviews.views.graphs.op import FEATURES, LINKS, GraphOp
from goodviews.views.ops import between

__all__ = ["SpectralSplit", "low_pass"]

PARTS = ("low", "high")


def low_pass(data: Data, cut: float) -> Tensor:
    r"""Features smoothed over the graph: exp(-cut L) x with L = I - D^-1/2 A D^-1/2; (n, f).

    By Chebyshev's polynomials T_k of D^-1/2 A D^-1/2, whose eigenvalues lie in [-1, 1]:

    .. math:: e^{-s L} = e^{-s} \Big( I_0(s) + 2 \sum_{k \ge 1} I_k(s)\, T_k(D^{-1/2} A D^{-1/2})
        \Big)

    with Bessel's I_k (Hammond et al. 2011, section 6), to below 1e-7 of x. No eigenvectors are
    needed. A node without links keeps its features.

    Example:
        >>> data = Data(x=torch.tensor([[1.0], [-1.0]]), edge_index=torch.tensor([[0, 1], [1, 0]]))
        >>> low_pass(data, 0.5)  # the frequency is 2: exp(-0.5 * 2)
        tensor([[ 0.3679],
                [-0.3679]])
    """
    n = len(data.x)
    source, target = data.edge_index
    degree = source.bincount(minlength=n)
    alone = (degree == 0).nonzero()[:, 0]
    root = degree.clamp(min=1).to(data.x.dtype).rsqrt()
    index = torch.cat((data.edge_index, alone.expand(2, -1)), 1)
    value = torch.cat((root[source] * root[target], root.new_ones(len(alone))))
    step = torch.sparse_coo_tensor(index, value, (n, n), check_invariants=False).coalesce()
    before, now = data.x, torch.sparse.mm(step, data.x)
    total = float(ive(0, cut)) * before + 2 * float(ive(1, cut)) * now
    k = 2
    while (weight := 2 * float(ive(k, cut))) > 1e-8:
        before, now = now, 2 * torch.sparse.mm(step, now) - before
        total = total + weight * now
        k += 1
    return total


@dataclass(frozen=True)
class SpectralSplit(GraphOp):
    r"""One part of the features' spectrum over the graph: low = exp(-cut L) x, high = x - low.

    The graph's counterpart of :class:`goodviews.views.splits.Frequency`: view 1 is how features
    agree with those of the neighbours, view 2 how they differ. The frequency lambda in [0, 2] of
    the normalised Laplacian L passes with exp(-cut lambda), half of it at log(2) / cut. The dial
    takes from ``low`` (0: all of x) and gives to ``high`` (0: nothing), so there it works the other
    way round; low + high = x.

    Args:
        cut: How much is smoothed; the dial.
        part: "low" or "high".

    Example:
        >>> data = Data(x=torch.tensor([[1.0], [3.0]]), edge_index=torch.tensor([[0, 1], [1, 0]]))
        >>> low, high = (SpectralSplit(9.0, part)(data).x for part in ("low", "high"))
        >>> low[:, 0].round().tolist(), high[:, 0].round().tolist()
        ([2.0, 2.0], [-1.0, 1.0])
    """

    cut: float = 1.0
    part: str = "low"
    name: ClassVar[str] = "spectral_split"
    dial: ClassVar[str] = "cut"
    reads: ClassVar[frozenset[str]] = LINKS | FEATURES
    changes: ClassVar[frozenset[str]] = FEATURES

    def __post_init__(self) -> None:
        """Check the settings."""
        between("spectral_split.cut", self.cut, 0, 500)
        check_name("spectral_split.part", self.part, PARTS)

    @property
    def idle(self) -> bool:
        """Only for the low part at cut 0: all is low, and nothing high."""
        return self.cut == 0 and self.part == "low"

    def prepare(self, data: Data) -> Tensor:
        """The part, (n, f)."""
        links_of(data)
        low = low_pass(data, self.cut)
        return low if self.part == "low" else data.x - low

    def apply(self, data: Data, prepared: Any, generator: Generator | None) -> Data:
        """Put the part in the place of the features."""
        return with_features(data, prepared)
