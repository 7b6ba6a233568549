"""What every graph method is: the contract that training, measuring and probing rely on."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import lightning
import torch
from torch import Generator, Tensor, nn
from torch_geometric.data import Data

from goodviews.encoders.graphs import build_graph, read_out
from goodviews.interfaces import UserError
from goodviews.layers import evaluating
from goodviews.methods.method import step_generator

__all__ = ["GraphMethod", "GraphViews", "Scorer", "graph_encoders", "on_device"]

GraphViews = Callable[[Data, Generator | None], tuple[Data, Data]]
"""Makes two views of a graph: new Data with the same nodes in the same order."""


class Scorer(NamedTuple):
    """One draw of views, encoded, from which pairs are scored: :meth:`GraphMethod.scorer`."""

    score: Callable[[Tensor], Tensor]
    """Places int64 (k,) of items to scores (k, k), float32; positives on the diagonal."""
    valid: Tensor
    """bool (items,): which items this draw kept."""


class GraphMethod(lightning.LightningModule):
    """An encoder of graphs with a loss; called on a graph it gives the frozen node embedding.

    A step's views are a function of (seed, step): a resumed run draws what it would have drawn.

    Arguments:
        views: makes pairs of views; None: the graph as it is.
        seed: of what a step draws.
    """

    unit = "nodes"
    """What the contrasted items are: "nodes" or "graphs"."""
    two_sided = True
    """Whether columns of :meth:`scorer`'s scores compare candidates as rows do."""

    def __init__(self, views: GraphViews | None, seed: int = 0) -> None:
        super().__init__()
        self.views, self.seed = views, seed
        self.measured: dict[str, Tensor] = {}
        """What the last loss found: "nats" and "ceiling" and more, detached."""
        self._bound: tuple[Data, Callable[[Generator | None], tuple[Data, Data]]] | None = None

    @abstractmethod
    def loss(
        self, data: Data, generator: Generator | None = None, nodes: Tensor | None = None
    ) -> Tensor:
        """The loss of one step, a scalar; ``self.measured`` then holds what it found.

        Args:
            data: a graph, or the disjoint union of several.
            generator: on the CPU; None takes that of (seed, step).
            nodes: int64 (m,), the nodes that are contrasted; None: all.
        """

    @abstractmethod
    def vectors(self, data: Data) -> Tensor:
        """The node embedding, shape (n, d), in the present mode and with gradient."""

    def project(self, view: Data, side: int = 0) -> Tensor:
        """What the critic reads of a view, shape (n, d), by the encoder of that side."""
        return self.vectors(view)

    def scorer(self, data: Data, generator: Generator) -> Scorer:
        """Draw views of ``data`` once and encode them, to score pairs of their items.

        Raises:
            UserError: a method without pairs of views.
        """
        raise UserError(
            f"{type(self).__name__}: has no pairs of views, so no I(v1;v2) to measure. "
            "Use for example grace."
        )

    def prepare(self, data: Data) -> None:
        """Called once with the training graph, before there is an optimiser."""

    def forward(self, data: Data) -> Tensor:
        """The frozen node embedding of a graph, see :meth:`embed`."""
        return self.embed(data)

    def embed(self, data: Data) -> Tensor:
        """The frozen node embedding of the graph as it is: float32 (n, d), in eval mode."""
        with evaluating(self), torch.no_grad():
            return self.vectors(on_device(data, self.device)).detach().float().clone()

    def embed_graphs(self, data: Data) -> Tensor:
        """The frozen embedding of each graph: float32 (graphs, d), in eval mode."""
        with evaluating(self), torch.no_grad():
            data = on_device(data, self.device)
            return read_out("mean", self.vectors(data), data).detach().float()

    def make_views(self, data: Data, generator: Generator) -> tuple[Data, Data]:
        """A pair of views; what can be computed once for a graph is kept for the next call."""
        if self.views is None:
            return data, data
        bind = getattr(self.views, "bind", None)
        if bind is None:
            return self.views(data, generator)
        if self._bound is None or self._bound[0] is not data:
            self._bound = data, bind(data)
        return self._bound[1](generator)

    def draw(self) -> Generator:
        """The generator of this step, on the CPU."""
        return step_generator(self.seed, self.global_step)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """One step on a batch with ``graph``, ``items`` and ``nodes``; logs what it measured."""
        loss = self.loss(batch.graph, self.draw(), batch.nodes)
        self.log_dict({"loss": loss.detach(), **self.measured}, batch_size=len(batch.items))
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam with learning rate 1e-3; ``fit_graphs`` puts its own here."""
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def on_device(data: Data, device: torch.device) -> Data:
    """``data``, or a copy of it on ``device``; the input never moves.

    Example:
        >>> data = Data(x=torch.ones(2, 1))
        >>> on_device(data, torch.device("cpu")) is data
        True
    """
    if data.x is None or data.x.device == device:
        return data
    return copy.copy(data).to(device)


def graph_encoders(
    encoder: str | nn.Module, in_channels: int, count: int = 1, **options: Any
) -> list[nn.Module]:
    """``count`` encoders of one kind with weights of their own.

    Args:
        encoder: name for :func:`goodviews.encoders.graphs.build_graph`, or a module with ``dim``
            (see :func:`goodviews.encoders.graphs.wrap`), copied for the second view.
        in_channels: features of a node.
        count: 1 or 2.
        options: of ``build_graph``; a module is taken as it is.
    """
    if isinstance(encoder, nn.Module):
        return [encoder, *(copy.deepcopy(encoder) for _ in range(count - 1))]
    return [build_graph(encoder, in_channels, **options) for _ in range(count)]
