"""Ops that change the features of nodes and leave the links."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor
from torch_geometric.data import Data

from goodviews.interfaces import check_name
from goodviews.views.graphs.op import FEATURES, GraphOp, graph_of, graphs_in, rand
from goodviews.views.ops import between

__all__ = ["AttributeNoise", "MaskFeatures", "ShuffleAttributes", "with_features"]

MASKS = ("dimension", "entry", "node")


def with_features(data: Data, x: Tensor) -> Data:
    """The graph with other features x (n, f)."""
    view = copy.copy(data)
    view.x = x
    return view


@dataclass(frozen=True)
class MaskFeatures(GraphOp):
    r"""Features set to 0: x'_id = m_id x_id with m ~ Bernoulli(1 - p).

    One m for each dimension, the same for all nodes of a graph (Zhu et al. 2020, GRACE, section
    3.2.1), for each entry, or for each node (You et al. 2020, GraphCL, table 1).

    Args:
        p: Probability that a feature is hidden; the dial.
        by: "dimension", "entry" or "node".

    Example:
        >>> view = MaskFeatures(0.5)(Data(x=torch.ones(3, 8)), torch.Generator().manual_seed(0))
        >>> bool((view.x == view.x[0]).all()), 0 < view.x[0].sum() < 8
        (True, tensor(True))
    """

    p: float = 0.3
    by: str = "dimension"
    name: ClassVar[str] = "mask_features"
    changes: ClassVar[frozenset[str]] = FEATURES

    def __post_init__(self) -> None:
        """Check the settings."""
        between("mask_features.p", self.p, 0, 1)
        check_name("mask_features.by", self.by, MASKS)

    def apply(self, data: Data, prepared: Any, generator: Generator | None) -> Data:
        """Hide some features."""
        n, f = data.x.shape
        shape = {"dimension": (graphs_in(data), f), "entry": (n, f), "node": (n, 1)}[self.by]
        chance = torch.rand(shape, generator=generator).to(data.x.device)
        keep = chance >= self.p
        if self.by == "dimension" and len(keep) > 1:
            keep = keep[graph_of(data)]
        return with_features(data, data.x * keep)


@dataclass(frozen=True)
class ShuffleAttributes(GraphOp):
    """A share p of the nodes exchange their features, within their graph, at random.

    Each node takes part with probability p; p = 1 is the corruption of Velickovic et al. 2019
    (DGI, section 4.2).

    Args:
        p: The dial.

    Example:
        >>> data = Data(x=torch.arange(6.0)[:, None])
        >>> view = ShuffleAttributes(1.0)(data, torch.Generator().manual_seed(0))
        >>> sorted(view.x[:, 0].tolist())
        [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    """

    p: float = 0.3
    name: ClassVar[str] = "shuffle_attributes"
    changes: ClassVar[frozenset[str]] = FEATURES

    def __post_init__(self) -> None:
        """Check the settings."""
        between("shuffle_attributes.p", self.p, 0, 1)

    def apply(self, data: Data, prepared: Any, generator: Generator | None) -> Data:
        """Exchange some rows."""
        chance = rand(2, len(data.x), generator=generator, device=data.x.device)
        some = chance[0] < self.p
        if data.get("kept") is not None:
            some = some & data.kept
        places = some.nonzero()[:, 0]
        mixed = places[chance[1, places].argsort()]
        graph = graph_of(data)
        target = places[graph[places].argsort(stable=True)]
        source = mixed[graph[mixed].argsort(stable=True)]
        x = data.x.clone()
        x[target] = data.x[source]
        return with_features(data, x)


@dataclass(frozen=True)
class AttributeNoise(GraphOp):
    """Gaussian noise on every feature: x' = x + std * N(0, 1).

    Args:
        std: In the features' own unit; the dial.

    Example:
        >>> AttributeNoise(0.1)(Data(x=torch.ones(3, 8))).x.shape
        torch.Size([3, 8])
    """

    std: float = 0.1
    name: ClassVar[str] = "attribute_noise"
    dial: ClassVar[str] = "std"
    changes: ClassVar[frozenset[str]] = FEATURES

    def __post_init__(self) -> None:
        """Check the settings."""
        between("attribute_noise.std", self.std, 0, float("inf"))

    def apply(self, data: Data, prepared: Any, generator: Generator | None) -> Data:
        """Add noise."""
        noise = torch.randn(data.x.shape, generator=generator).to(data.x)
        if data.get("kept") is not None:
            noise = noise * data.kept[:, None]
        return with_features(data, data.x + self.std * noise)
