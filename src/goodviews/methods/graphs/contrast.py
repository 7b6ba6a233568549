r"""Contrast on graphs: views x mode x objective x critic x negatives, one composition.

========  ===============  =============  ======================  ========================
method    views            mode           objective, critic       negatives
========  ===============  =============  ======================  ========================
GRACE     two, drawn       local-local    InfoNCE, cosine         other nodes, both views
DGI       one, as it is    local-global   JSD, bilinear           shuffled features
MVGRL     links, diffusion local-global   JSD, bilinear           shuffled features
InfoGraph one, as it is    local-global   JSD, inner product      other graphs
GraphCL   two, drawn       global-global  InfoNCE, cosine         other graphs
========  ===============  =============  ======================  ========================
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn
from torch_geometric.data import Data

from goodviews.bounds import BOUNDS, Pairs
from goodviews.critics import CRITICS, Cosine
from goodviews.encoders.graphs import read_out
from goodviews.interfaces import Features, UserError, check_name
from goodviews.layers import evaluating
from goodviews.methods.graphs.method import GraphMethod, GraphViews, Scorer, on_device
from goodviews.objectives import BoundObjective, InfoNCE, NTXent

__all__ = ["MODES", "NEGATIVES", "GraphContrast", "contrasted", "graph_objective", "shuffled"]

MODES = ("local-local", "local-global", "global-global")
NEGATIVES = ("others", "both", "shuffled")


def graph_objective(
    bound: str,
    critic: str | nn.Module,
    dim: int,
    negatives: str = "others",
    temperature: float = 0.2,
) -> nn.Module:
    """The objective of a bound, a critic and the negatives; those that images use.

    Args:
        bound: name in :data:`goodviews.bounds.BOUNDS`.
        critic: name in :data:`goodviews.critics.CRITICS`, or a critic.
        dim: width of what the critic reads.
        negatives: "others", "both" (of both views, NT-Xent) or "shuffled".
        temperature: of the cosine.

    Raises:
        UserError: unknown names; "both" with anything but InfoNCE of cosines.

    Example:
        >>> type(graph_objective("infonce", "cosine", 8, "both")).__name__
        'NTXent'
    """
    check_name("--bound", bound, BOUNDS)
    check_name("negatives", negatives, NEGATIVES)
    if isinstance(critic, str):
        check_name("--critic", critic, CRITICS)
    if negatives == "both":
        if (bound, critic) != ("infonce", "cosine"):
            raise UserError(
                f"negatives: 'both' needs --bound infonce and --critic cosine, not {bound} and "
                f"{critic}. Use 'others'."
            )
        return NTXent(temperature)
    if (bound, critic) == ("infonce", "cosine"):
        return InfoNCE(temperature)
    if isinstance(critic, str):
        critic = Cosine(temperature) if critic == "cosine" else CRITICS[critic](dim)
    return BoundObjective(critic, BOUNDS[bound].function)


class GraphContrast(GraphMethod):
    r"""Trains encoders so that what belongs together scores higher than what does not.

    ``local-local``: the same node in both views, against other nodes;
    ``local-global``: a node and the summary of its graph (of the other view's, where there are
    two), against other graphs or against nodes of the graph with shuffled features;
    ``global-global``: the same graph in both views, against other graphs.

    Where view 2 says so (``stand_in``, :class:`goodviews.views.graphs.HideLinks`), another node
    stands for a node there.

    loss = -B(scores), B a bound in nats, or NT-Xent's loss. InfoNCE and NT-Xent of cosines never
    hold more than a tile of the scores; others hold groups of ``candidates`` x ``candidates``.
    Nodes that a view drops take no part.

    Arguments:
        views: makes pairs of views; None: the graph as it is.
        encoders: one (shared) or two, one a view.
        objective: see :func:`graph_objective`.
        mode: of :data:`MODES`.
        heads: of the node vectors (of the graph vectors in global-global), as many as encoders or
            one; none: nothing.
        summary_head: of the summaries, in local-global.
        squash: summaries are sigmoids (DGI).
        negatives: of :data:`NEGATIVES`.
        candidates: items that are scored against each other at once, drawn anew each step; None:
            all where the objective is tiled, else 1024.
        seed: of the views; each step draws from (seed, step).

    Raises:
        UserError: an unknown mode; negatives that the mode does not have.
    """

    def __init__(
        self,
        views: GraphViews | None,
        encoders: Sequence[nn.Module],
        objective: nn.Module,
        mode: str = "local-local",
        heads: Sequence[nn.Module] = (),
        summary_head: nn.Module | None = None,
        squash: bool = False,
        negatives: str = "others",
        candidates: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(views, seed)
        check_name("mode", mode, MODES)
        if negatives == "both" and mode == "local-global":
            raise UserError("negatives: 'both' has no meaning in local-global. Use 'shuffled'.")
        if negatives == "shuffled" and mode != "local-global":
            raise UserError(f"negatives: 'shuffled' has no meaning in {mode}. Use 'others'.")
        if views is None and (mode != "local-global" or len(encoders) > 1):
            raise UserError("views: none, and this method compares two. Give a recipe of views.")
        self.encoders, self.objective = nn.ModuleList(encoders), objective
        self.heads = nn.ModuleList(heads or [nn.Identity()])
        self.summary_head = nn.Identity() if summary_head is None else summary_head
        self.mode, self.squash, self.negatives = mode, squash, negatives
        tiled = isinstance(objective, InfoNCE | NTXent)
        self.candidates = candidates if candidates or tiled else 1024
        one_node = mode == "local-global" and negatives == "others"
        self.unit = "graphs" if mode == "global-global" or one_node else "nodes"
        self.two_sided = negatives != "shuffled"

    @property
    def critic(self) -> nn.Module:
        """The objective's critic, which also measures information."""
        critic: nn.Module = self.objective.critic  # type: ignore[assignment]
        return critic

    def features(self, view: Data, side: int = 0) -> Features:
        """What the encoder of a side says of a view."""
        found: Features = self.encoders[min(side, len(self.encoders) - 1)](view)
        return found

    def project(self, view: Data, side: int = 0) -> Tensor:
        """What the critic reads of a view: nodes (n, d), or graphs (graphs, d) in global-global."""
        found = self.features(view, side)
        read = found.summary if self.mode == "global-global" else _nodes(found)
        stand_in = view.get("stand_in")
        if side and stand_in is not None and self.mode == "local-local":
            read = read[stand_in]
        z: Tensor = self.heads[min(side, len(self.heads) - 1)](read)
        return z

    def vectors(self, data: Data) -> Tensor:
        """The node embedding (n, d); with two encoders the sum of both views' (MVGRL)."""
        return torch.stack([_nodes(found) for found in self._looks(data)]).sum(0)

    def embed_graphs(self, data: Data) -> Tensor:
        """The frozen embedding of each graph, by the encoder's readout: float32 (graphs, d)."""
        with evaluating(self), torch.no_grad():
            looks = self._looks(on_device(data, self.device))
            return torch.stack([found.summary for found in looks]).sum(0).float()

    def loss(
        self, data: Data, generator: Generator | None = None, nodes: Tensor | None = None
    ) -> Tensor:
        """Minus the bound of a fresh pair of views, or NT-Xent's loss: a scalar, in nats.

        Raises:
            UserError: fewer than 2 items to contrast.
        """
        draws = self.draw() if generator is None else generator
        v1, v2 = self.make_views(data, draws)
        if self.mode == "local-global":
            pairs = self._local_global(v1, v2, nodes, draws)
            nats = self.objective.bound(pairs)  # type: ignore[operator]
            return self._measure(-nats, nats, pairs.negatives.shape[1] + 1)
        z1, z2 = self.project(v1, 0), self.project(v2, 1)
        places = contrasted(v1, v2, nodes) if self.mode == "local-local" else None
        z1, z2 = (z1, z2) if places is None else (z1[places], z2[places])
        if len(z1) < 2:
            raise UserError(f"{self.unit}: {len(z1)} to contrast. There must be 2 or more.")
        return self._in_groups(z1, z2, draws)

    def scorer(self, data: Data, generator: Generator) -> Scorer:
        """Draw views of ``data`` once and encode them, to score pairs of their items.

        Items are nodes, or graphs (in local-global one node, drawn, stands for its graph). With
        shuffled features row i holds node i and, in the other columns, shuffled nodes, all against
        the summary of i's graph: only its rows compare candidates.
        """
        v1, v2 = self.make_views(data, generator)
        if self.mode != "local-global":
            z1, z2 = self.project(v1, 0), self.project(v2, 1)
            valid = _kept(v1, v2) if self.mode == "local-local" else None
            return _square(self.critic, z1, z2, valid)
        (local, *_), (*_, summary) = zip(*self._sides(v1, v2, None), strict=True)
        own = _graph_of_nodes(v1)
        if self.negatives == "shuffled":
            fake = self.project(shuffled(v1, _order(v1, generator)))
            return Scorer(
                lambda p: self._real_first(local[p], fake[p], summary, own[p]),
                _all(_kept(v1, v2), len(local)),
            )
        valid, node = _one_node_each(_all(_kept(v1, v2), len(local)), own, len(summary), generator)
        return _square(self.critic, local[node], summary, valid)

    def _looks(self, data: Data) -> list[Features]:
        """What the encoders say of the graph; two of them read a pair of views, always the same."""
        if len(self.encoders) == 1:
            return [self.features(data)]
        pair = self.make_views(data, Generator().manual_seed(0))
        return [self.features(view, side) for side, view in enumerate(pair)]

    def _in_groups(self, z1: Tensor, z2: Tensor, draws: Generator) -> Tensor:
        """The objective on random groups of ``candidates`` items, averaged."""
        if self.candidates is None or len(z1) <= self.candidates:
            loss, nats = self.objective(z1, z2)
            return self._measure(loss, nats, len(z1))
        groups = torch.randperm(len(z1), generator=draws).to(z1.device)
        parts = groups.tensor_split(math.ceil(len(z1) / self.candidates))
        found = [self.objective(z1[part], z2[part]) for part in parts]
        loss, nats = (torch.stack(values).mean() for values in zip(*found, strict=True))
        return self._measure(loss, nats, min(len(part) for part in parts))

    def _measure(self, loss: Tensor, nats: Tensor, items: int) -> Tensor:
        ceiling = loss.new_tensor(_ceiling(self.objective, items))
        self.measured = {"nats": nats.detach(), "ceiling": ceiling}
        return loss

    def _sides(self, v1: Data, v2: Data, nodes: Tensor | None) -> list[tuple[Tensor, Tensor]]:
        """What the critic reads of each different view: nodes (n, d) and summaries (graphs, d)."""
        pair = (v1,) if len(self.encoders) == 1 and _same(v1, v2) else (v1, v2)
        sides = []
        for i, view in enumerate(pair):
            vectors = _nodes(self.features(view, i))
            name: str = self.encoders[min(i, len(self.encoders) - 1)].readout  # type: ignore[assignment]
            summary = read_out(name, vectors, view, nodes)
            summary = torch.sigmoid(summary) if self.squash else summary
            head = self.heads[min(i, len(self.heads) - 1)]
            sides.append((head(vectors), self.summary_head(summary)))
        return sides

    def _local_global(self, v1: Data, v2: Data, nodes: Tensor | None, draws: Generator) -> Pairs:
        """Scores of nodes with the summary of their graph in the other view, and of negatives."""
        sides, places = self._sides(v1, v2, nodes), contrasted(v1, v2, nodes)
        own = _graph_of_nodes(v1)
        places = torch.arange(len(own), device=own.device) if places is None else places
        order = _order(v1, draws) if self.negatives == "shuffled" else None
        found = []
        for i, ((local, _), (_, summary), view) in enumerate(
            zip(sides, sides[::-1], (v1, v2), strict=False)
        ):
            scores = self.critic(local[places], summary)
            if order is None:
                found.append(_apart(scores, own[places]))
                continue
            fake = self.critic(self.project(shuffled(view, order), i)[places], summary)
            mine = own[places][:, None]
            found.append(Pairs(scores.gather(1, mine)[:, 0], fake.gather(1, mine)))
        return Pairs(*(torch.cat(parts) for parts in zip(*found, strict=True)))

    def _real_first(self, local: Tensor, fake: Tensor, summary: Tensor, own: Tensor) -> Tensor:
        """Scores (k, k): row i has node i in place i and shuffled node j in any other place j."""
        real = self.critic(local, summary).gather(1, own[:, None])[:, 0]
        scores = self.critic(fake, summary).T[own].float()
        return scores.diagonal_scatter(real.float())


def contrasted(v1: Data, v2: Data, nodes: Tensor | None) -> Tensor | None:
    """Which nodes are contrasted, int64: those asked for that both views keep; None: all.

    Example:
        >>> whole = Data(x=torch.ones(3, 1))
        >>> part = Data(x=torch.ones(3, 1), kept=torch.tensor([True, False, True]))
        >>> contrasted(whole, part, None), contrasted(whole, part, torch.tensor([1, 2]))
        (tensor([0, 2]), tensor([2]))
    """
    kept, stand_in = _kept(v1, v2), v2.get("stand_in")
    if nodes is not None and stand_in is not None:  # a loss reads no node that is held out
        among = torch.zeros(len(stand_in), dtype=torch.bool, device=stand_in.device)
        among[nodes] = True
        nodes = nodes[among[stand_in[nodes]]]
    if kept is None:
        return nodes
    return kept.nonzero()[:, 0] if nodes is None else nodes[kept[nodes]]


def shuffled(view: Data, order: Tensor) -> Data:
    """DGI's corruption: node i has the features of node ``order[i]``, the links stay.

    Example:
        >>> data = Data(x=torch.tensor([[1.0], [2.0]]))
        >>> shuffled(data, torch.tensor([1, 0])).x.tolist(), data.x.tolist()
        ([[2.0], [1.0]], [[1.0], [2.0]])
    """
    view = copy.copy(view)
    view.x = view.x[order]
    return view


def _nodes(found: Features) -> Tensor:
    """The node embedding: the vectors after the last layer."""
    return found.local[max(found.local)]


def _kept(v1: Data, v2: Data) -> Tensor | None:
    """Which nodes both views keep, bool (n,); None where no view drops any."""
    stand_in, second = v2.get("stand_in"), v2.get("kept")
    second = second if second is None or stand_in is None else second[stand_in]
    masks = [mask for mask in (v1.get("kept"), second) if mask is not None]
    return None if not masks else torch.stack(masks).all(0)


def _same(v1: Data, v2: Data) -> bool:
    """Whether two views share what an encoder reads: one pass then serves both."""
    return all(v1.get(k) is v2.get(k) for k in ("x", "edge_index", "edge_weight", "kept"))


def _all(kept: Tensor | None, n: int) -> Tensor:
    return torch.ones(n, dtype=torch.bool) if kept is None else kept


def _square(critic: nn.Module, z1: Tensor, z2: Tensor, valid: Tensor | None) -> Scorer:
    return Scorer(lambda places: critic(z1[places], z2[places]).float(), _all(valid, len(z1)))


def _order(view: Data, draws: Generator) -> Tensor:
    """A random order of the nodes."""
    x: Tensor = view.x
    return torch.randperm(len(x), generator=draws).to(x.device)


def _graph_of_nodes(view: Data) -> Tensor:
    """The graph of each node, int64 (n,)."""
    x: Tensor = view.x
    batch: Tensor | None = view.get("batch")
    return torch.zeros(len(x), dtype=torch.int64, device=x.device) if batch is None else batch


def _apart(scores: Tensor, own: Tensor) -> Pairs:
    """Scores (m, graphs) of nodes with their own graph, and (m, graphs - 1) with the others."""
    graphs = scores.shape[1]
    if graphs < 2:
        raise UserError(
            "graphs: 1 graph leaves no other one as a negative. Train on several, or use shuffled "
            "features as negatives (dgi)."
        )
    places = torch.arange(graphs - 1, device=own.device).expand(len(own), -1)
    others = places + (places >= own[:, None])
    return Pairs(scores.gather(1, own[:, None])[:, 0], scores.gather(1, others))


def _one_node_each(
    kept: Tensor, own: Tensor, graphs: int, draws: Generator
) -> tuple[Tensor, Tensor]:
    """Which graphs keep a node, bool (graphs,), and one such node of each, drawn (else node 0)."""
    places = kept.to(own.device).nonzero()[:, 0]
    places = places[torch.randperm(len(places), generator=draws).to(own.device)]
    places = places[own[places].argsort(stable=True)]
    counts = own[places].bincount(minlength=graphs)
    first = (counts.cumsum(0) - counts).clamp_max(len(places) - 1)
    return counts > 0, places[first]


def _ceiling(objective: nn.Module, items: int) -> float:
    """The most that the objective can show with so many items, in nats."""
    if isinstance(objective, InfoNCE | NTXent):
        return math.log(objective.candidates(items))
    known = [info for info in BOUNDS.values() if info.function is objective.bound]
    return known[0].ceiling(items) if known else math.inf
