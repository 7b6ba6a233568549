r"""Views of graphs that are learned: a dropper and its encoders take turns (InfoMin on graphs).

The dropper keeps links and feature dimensions with probabilities that it learns (Suresh et al.
2021, AD-GCL) and, as in InfoMin (Tian et al. 2020, section 4.2), it is trained against encoders
that maximise I_NCE between the views. The budget in nats says where it stops:
:func:`goodviews.objectives.infomin.excess`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch_geometric.data import Data

from goodviews.interfaces import UserError
from goodviews.layers import MLP
from goodviews.methods.games import SlowPlayer, fixed
from goodviews.methods.graphs.autoencoders import sample_non_links
from goodviews.methods.graphs.contrast import GraphContrast, contrasted
from goodviews.methods.graphs.method import graph_encoders
from goodviews.objectives.infomin import ViewGame

__all__ = ["Drawn", "GraphViewGame", "LinkJudge", "graph_view_game", "hide_links"]

Dropper = Callable[[Data, Generator | None], Data]
"""A module: a graph to a view with ``edge_weight`` in (0, 1) and masked x, differentiable."""


class Drawn:
    """Two views of a dropper, or the graph and one of them.

    Arguments:
        dropper: makes a view.
        both: whether both views are dropped from; else the first is the graph itself.

    Example:
        >>> v1, v2 = Drawn(lambda data, generator: "dropped", both=False)("graph", None)
        >>> v1, v2
        ('graph', 'dropped')
    """

    def __init__(self, dropper: Dropper, both: bool = True) -> None:
        self.dropper, self.both = dropper, both

    def __call__(self, data: Data, generator: Generator | None) -> tuple[Data, Data]:
        """Draw the views."""
        first = self.dropper(data, generator) if self.both else data
        return first, self.dropper(data, generator)


class LinkJudge(nn.Module):
    r"""Says of pairs of nodes whether they are linked: an encoder and a linear layer.

    logit = w . (h_u * h_v) + b, as two classes: (0, logit).

    Arguments:
        encoder: of the nodes.

    Example:
        >>> from goodviews.encoders.graphs import build_graph
        >>> data = Data(x=torch.ones(3, 2), edge_index=torch.tensor([[0, 1], [1, 0]]))
        >>> LinkJudge(build_graph("gcn", 2, 8))(data, torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([2, 2])
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.last = nn.Linear(encoder.dim, 1)  # type: ignore[arg-type]

    def forward(self, view: Data, pairs: Tensor) -> Tensor:
        """Logits (m, 2) of pairs (2, m): not linked, linked."""
        local = self.encoder(view).local
        h = local[max(local)]
        score = self.last(h[pairs[0]] * h[pairs[1]])
        return torch.cat([torch.zeros_like(score), score], 1).float()


class GraphViewGame(SlowPlayer, GraphContrast):
    r"""Learns views: every ``turns``-th step is the dropper's, the others are the encoder's.

    .. math::
        \min_{drop} \; |I_{NCE}(v_1; v_2) - t| \;[\, + L_{bce}(v_1) + L_{bce}(v_2) \,]

    while the encoder maximises I_NCE; without a budget t the dropper minimises I_NCE itself. In the
    bracket ("semi-supervised") a judge says from each view which links were hidden from it: at each
    step a share of the graph's links, drawn anew, leaves the graph before the views are made, so
    that the views keep what missing links need. On the encoder's step the dropper is fixed, and
    the other way round; the judge learns on both. What is fixed has no gradient and is left alone,
    so one optimiser serves all and a run resumes like any other. Views are frozen afterwards by
    the dropper's own means (``to_recipe_op``).

    Arguments:
        dropper: a module, (data, generator) -> view.
        encoder: shared by both views.
        head: its projection.
        game: losses of both sides.
        judge: of hidden links, where the game is semi-supervised.
        both: both views are dropped from, see :class:`Drawn`.
        hidden: share of the links that the judge is asked for.
        turns: steps to each step of the dropper.
        warmup: steps before its first one.
        rate: part of the optimiser's step that the dropper takes.
        clip: largest gradient norm of the dropper.
        seed: of the views and hidden links; each step draws from (seed, step).

    Raises:
        UserError: a semi-supervised game without a judge; turns or a share that cannot be.
    """

    def __init__(
        self,
        dropper: nn.Module,
        encoder: nn.Module,
        head: nn.Module,
        game: ViewGame,
        judge: nn.Module | None = None,
        both: bool = True,
        hidden: float = 0.1,
        turns: int = 2,
        warmup: int = 0,
        rate: float = 1.0,
        clip: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(Drawn(dropper, both), [encoder], game.contrast, heads=[head], seed=seed)
        if game.labelled != (judge is not None):
            raise UserError(
                f"--objective: {game.objective} needs a judge exactly when it has links."
            )
        if not 0 < hidden < 1:
            raise UserError(f"hidden: {hidden} is no share of the links. Use for example 0.1.")
        if turns < 1 or warmup < 0:
            raise UserError(f"turns, warmup: {turns}, {warmup}. Use 1 or more, and 0 or more.")
        self.dropper, self.game, self.judge = dropper, game, judge
        self.hidden, self.turns, self.warmup = hidden, turns, warmup
        self.rate, self.clip = rate, clip

    def droppers_turn(self) -> bool:
        """Whether this step is the dropper's."""
        step = self.global_step
        return step >= self.warmup and (step + 1) % self.turns == 0

    def loss(
        self, data: Data, generator: Generator | None = None, nodes: Tensor | None = None
    ) -> Tensor:
        """The loss of whose turn it is, in nats.

        Raises:
            UserError: fewer than 2 nodes to contrast, no link to hide.
        """
        draws = self.draw() if generator is None else generator
        turn = self.droppers_turn()
        seen, pairs, labels = self._hide(data, draws)
        with fixed([self.encoders, self.heads] if turn else [self.dropper]):
            v1, v2 = self.make_views(seen, draws)
            places = contrasted(v1, v2, nodes)
            z1, z2 = (self.project(view) for view in (v1, v2))
            z1, z2 = (z1, z2) if places is None else (z1[places], z2[places])
            logits = None
            if self.judge is not None and pairs is not None:
                logits = self.judge(v1, pairs), self.judge(v2, pairs)
            losses = self.game(z1, z2, logits, labels)
        ceiling = math.log(self.game.contrast.candidates(len(z1)))
        self.measured = {"nats": losses.nats, "ceiling": losses.nats.new_tensor(ceiling)}
        self.measured |= self._rates(seen)
        if self.judge is not None:
            self.measured["cross_entropy"] = losses.cross_entropy
        return losses.generator if turn else losses.encoders

    def _rates(self, data: Data) -> dict[str, Tensor]:
        """The dropper's expected drop rates, where it knows them."""
        if not hasattr(self.dropper, "drop_rates"):
            return {}
        with torch.no_grad():
            rates = self.dropper.drop_rates(data)  # type: ignore[operator]
        return dict(zip(("dropped_links", "dropped_features"), rates, strict=True))

    def _hide(self, data: Data, draws: Generator) -> tuple[Data, Tensor | None, Tensor | None]:
        """The graph that the views are made of; pairs and labels for the judge."""
        if self.judge is None:
            return data, None, None
        seen, links = hide_links(data, self.hidden, draws)
        others = sample_non_links(data, links.shape[1], draws)
        labels = torch.arange(2, device=links.device).repeat_interleave(links.shape[1]).flip(0)
        return seen, torch.cat([links, others], 1), labels

    @property
    def player(self) -> nn.Module:
        """The dropper, which moves slower."""
        return self.dropper


def graph_view_game(
    dropper: nn.Module,
    encoder: str | nn.Module,
    in_channels: int,
    *,
    seed: int = 0,
    objective: str = "unsupervised",
    budget: float | None = None,
    dim: int = 128,
    layers: int = 2,
    activation: str = "relu",
    temperature: float = 0.4,
    projection_dim: int | None = None,
    both: bool = True,
    hidden: float = 0.1,
    turns: int = 2,
    warmup: int = 0,
    rate: float = 1.0,
    clip: float = 1.0,
    **options: Any,
) -> GraphViewGame:
    """A dropper, GRACE's encoder and projection, and a judge of links where there is one.

    Args:
        dropper: a module, for example :class:`goodviews.views.graphs.learned.LinkDropper`.
        encoder: name or module, as in :func:`goodviews.methods.graphs.grace`.
        in_channels: features of a node.
        seed: of the weights (the dropper's are as they come), the views and the hidden links.
        objective: "unsupervised" or "semi-supervised".
        budget: nats at which the dropper stops, None for the paper's game.
        dim: width of the embedding.
        layers: of the encoder.
        activation: of the encoder.
        temperature: of the cosine critic.
        projection_dim: hidden width of the projection; None means dim.
        both: both views are dropped from.
        hidden: share of the links that the judge is asked for.
        turns: steps to each step of the dropper.
        warmup: steps before its first one.
        rate: part of the optimiser's step that the dropper takes.
        clip: largest gradient norm of the dropper.
        options: of :class:`goodviews.encoders.graphs.GraphEncoder`.

    Raises:
        UserError: an unknown objective, a budget that is not positive, shares that cannot be.

    Example:
        >>> graph_view_game(nn.Identity(), "gcn", 5, budget=2.0).droppers_turn()
        False
    """
    if objective == "supervised":
        raise UserError("--objective: supervised has no views to contrast. Use semi-supervised.")
    game = ViewGame(objective, temperature, budget)
    wide = {"dim": dim, "layers": layers, "activation": activation, "hidden": 2 * dim, **options}
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        reader = graph_encoders(encoder, in_channels, **wide)[0]
        width: int = reader.dim  # type: ignore[assignment]
        head = MLP([width, projection_dim or dim, width], activation=nn.ELU)
        judge = None
        if game.labelled:
            own = copy.deepcopy(encoder)  # a module: the judge has its own
            judge = LinkJudge(graph_encoders(own, in_channels, **wide)[0])
    return GraphViewGame(
        dropper, reader, head, game, judge, both, hidden, turns, warmup, rate, clip, seed
    )


def hide_links(data: Data, share: float, generator: Generator) -> tuple[Data, Tensor]:
    """A graph without a share of its links, drawn evenly, and those links (2, m), each once.

    Args:
        data: both directions of every link; an ``edge_weight`` goes with its link.
        share: in (0, 1); at least one link is hidden.
        generator: on the CPU.

    Raises:
        UserError: fewer than 2 links.

    Example:
        >>> data = Data(x=torch.ones(3, 1), edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
        >>> seen, links = hide_links(data, 0.5, torch.Generator().manual_seed(0))
        >>> seen.edge_index.shape, links.shape
        (torch.Size([2, 2]), torch.Size([2, 1]))
    """
    edges: Tensor = data.edge_index
    n = int(data.num_nodes or 0)
    links = edges[:, edges[0] < edges[1]]
    count = links.shape[1]
    if count < 2:
        raise UserError(f"graph: {count} link leaves none to hide. Give a graph with more.")
    order = torch.randperm(count, generator=generator).to(links.device)
    gone = links[:, order[: max(1, round(share * count))]]
    key = edges.amin(0) * n + edges.amax(0)
    stays = ~torch.isin(key, gone[0] * n + gone[1])
    seen = copy.copy(data)
    seen.edge_index = edges[:, stays]
    if data.get("edge_weight") is not None:
        seen.edge_weight = data.edge_weight[stays]
    return seen, gone
