"""What a graph op is: one change of a graph (or of a disjoint union of graphs) with one dial.

``op(data, generator)`` gives a new :class:`torch_geometric.data.Data` with the same nodes in the
same order and leaves ``data`` as it is. What it needs to know of a graph beforehand (diffusion,
communities, centralities) is ``op.prepare(data)``, which draws nothing and may be kept:
``op.apply(data, op.prepare(data), generator)`` is one view.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor
from torch_geometric.data import Data

__all__ = ["GraphOp", "graph_of", "graphs_in", "rand", "sizes"]

LINKS, FEATURES = frozenset({"links"}), frozenset({"features"})


class GraphOp(ABC):
    """One change of a graph; a frozen dataclass whose fields are the keys of a recipe.

    ``dial`` names the field that sets the strength: 0 leaves the graph as it is, and the larger,
    the less the view shares with it. ``reads`` is what :meth:`prepare` looks at, ``changes`` what
    the view has of its own ("links", "features"): it decides what a bound recipe may compute once.
    """

    name: ClassVar[str] = ""
    dial: ClassVar[str] = "p"
    reads: ClassVar[frozenset[str]] = frozenset()
    changes: ClassVar[frozenset[str]] = LINKS

    @property
    def strength(self) -> float:
        """The dial: 0 is the identity, larger shares less."""
        return float(getattr(self, self.dial))

    @property
    def idle(self) -> bool:
        """Whether the view is the graph itself."""
        return self.strength == 0

    def prepare(self, data: Data) -> Any:
        """What can be computed once for a graph; draws nothing."""
        return None

    @abstractmethod
    def apply(self, data: Data, prepared: Any, generator: Generator | None) -> Data:
        """One view of the graph; not asked of an op that is idle."""

    def __call__(self, data: Data, generator: Generator | None = None) -> Data:
        """One view of a graph with x (n, f) and edge_index (2, e); the same nodes, in order.

        Raises:
            UserError: if ``edge_index`` is not undirected, or the op does not suit the graph.
        """
        if self.idle:
            return copy.copy(data)
        return self.apply(data, self.prepare(data), generator)


def rand(
    *shape: int, generator: Generator | None = None, device: torch.device | str = "cpu"
) -> Tensor:
    """Uniform float64 numbers in [0, 1), drawn on the CPU, so every device sees the same.

    Example:
        >>> rand(2, 3).shape
        torch.Size([2, 3])
    """
    return torch.rand(shape, generator=generator, dtype=torch.float64).to(device)


def graph_of(data: Data) -> Tensor:
    """Which graph of the union each node belongs to, int64 (n,).

    Example:
        >>> graph_of(Data(x=torch.ones(3, 1)))
        tensor([0, 0, 0])
    """
    batch = data.get("batch")
    if batch is None:
        return torch.zeros(len(data.x), dtype=torch.long, device=data.x.device)
    return batch


def graphs_in(data: Data) -> int:
    """How many graphs the union holds; 1 where it has no ``batch``.

    Example:
        >>> graphs_in(Data(x=torch.ones(3, 1), batch=torch.tensor([0, 0, 1])))
        2
    """
    batch = data.get("batch")
    if batch is None:
        return 1
    known = getattr(data, "num_graphs", None)
    if known is not None:
        return int(known)
    return int(batch.max()) + 1 if len(batch) else 0


def sizes(data: Data) -> Tensor:
    """Nodes in each graph of the union, int64 (graphs,).

    Example:
        >>> sizes(Data(x=torch.ones(3, 1)))
        tensor([3])
    """
    return graph_of(data).bincount(minlength=graphs_in(data))
