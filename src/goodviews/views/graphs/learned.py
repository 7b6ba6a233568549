"""A learned view: which links and feature dimensions to drop, decided by a small network.

:class:`LinkDropper` is trained through relaxed samples; :class:`LearnedDrop` is the op of a recipe
that draws hard ones with the frozen probabilities. In a recipe it is
``- learned_drop: {path: dropper.safetensors}``; once read, the recipe holds the weights themselves
(base64), so that a run made with it needs no other file.
"""

from __future__ import annotations

import base64
import binascii
import copy
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor, nn
from torch_geometric.data import Data
from torch_geometric.utils import scatter

from goodviews.files import write_atomic
from goodviews.interfaces import UserError
from goodviews.layers import MLP
from goodviews.packed import pack, unpack
from goodviews.views.graphs.feature_ops import with_features
from goodviews.views.graphs.link_sets import Links, keep_links, links_of
from goodviews.views.graphs.op import FEATURES, LINKS, GraphOp, graph_of, graphs_in, rand
from goodviews.views.ops import between

__all__ = ["LearnedDrop", "LinkDropper"]

_KEY = "goodviews.LinkDropper"


class LinkDropper(nn.Module):
    r"""Keep-probabilities of links and feature dimensions, from features and degrees.

    .. math::
        h_u &= \mathrm{relu}(W [x_u, \log(1 + d_u)] + b), \\
        \pi_{uv} &= \sigma(\mathrm{MLP}[h_u + h_v,\; h_u \odot h_v]), \\
        \rho_d &= \sigma(\mathrm{MLP}[\bar x_d,\; \bar x_d^{(d_u)}] + c_d)

    with the mean of dimension d over a graph's nodes, plain and weighted by degree: the links'
    probabilities do not depend on their direction, and none on the numbering of nodes (after
    Suresh et al. 2021, AD-GCL, section 4.1, with features dropped too). Training uses relaxed
    samples, :math:`\sigma((\mathrm{logit}\,\pi + \log\epsilon - \log(1-\epsilon)) / \tau)`
    (Maddison et al. 2017, eq. 2), which reach the encoder as ``edge_weight`` and as a mask of x.
    At the start all probabilities are about those given: uniform dropping.

    Arguments:
        in_channels: f, features of a node.
        hidden: width.
        keep_links: keep-probability of links at the start, in (0, 1).
        keep_features: of feature dimensions.
        temperature: tau of the relaxed samples.

    Raises:
        UserError: a probability outside (0, 1), a graph with another number of features.

    Example:
        >>> edges = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> data, dropper = Data(x=torch.rand(3, 4), edge_index=edges), LinkDropper(4)
        >>> view = dropper(data, torch.Generator().manual_seed(0))
        >>> view.edge_weight.shape, bool(view.edge_weight[0] == view.edge_weight[1])
        (torch.Size([4]), True)
    """

    def __init__(
        self,
        in_channels: int,
        hidden: int = 32,
        keep_links: float = 0.8,
        keep_features: float = 0.8,
        temperature: float = 0.5,
    ) -> None:
        super().__init__()
        for what, value in (("keep_links", keep_links), ("keep_features", keep_features)):
            between(f"learned_drop.{what}", value, 1e-6, 1 - 1e-6)
        between("learned_drop.temperature", temperature, 1e-3, 1e3)
        self.in_channels, self.hidden = in_channels, hidden
        self.keep_links, self.keep_features = keep_links, keep_features
        self.temperature = temperature
        self.node = nn.Linear(in_channels + 1, hidden)
        self.pair = MLP([2 * hidden, hidden, 1])
        self.dimension = MLP([2, hidden, 1])
        self.offset = nn.Parameter(torch.zeros(in_channels))
        for part, keep in ((self.pair, keep_links), (self.dimension, keep_features)):
            last = part[-1]
            assert isinstance(last, nn.Linear)
            nn.init.normal_(last.weight, std=0.01)
            nn.init.constant_(last.bias, float(torch.logit(torch.tensor(keep))))

    def logits(self, data: Data) -> tuple[Links, Tensor, Tensor]:
        """The links, their logits (m,), and those of the feature dimensions (graphs, f)."""
        if data.x.shape[1] != self.in_channels:
            raise UserError(
                f"learned_drop: learned on {self.in_channels} features a node, this graph has "
                f"{data.x.shape[1]}. Learn one on it."
            )
        links = links_of(data)
        degree = data.edge_index[0].bincount(minlength=len(data.x)).to(data.x)
        h = self.node(torch.cat((data.x, degree.log1p()[:, None]), 1)).relu()
        one, two = h[links.ends[0]], h[links.ends[1]]
        link = self.pair(torch.cat((one + two, one * two), 1))[:, 0]
        return links, link, self._dimensions(data, degree)

    def _dimensions(self, data: Data, degree: Tensor) -> Tensor:
        """Logits of the feature dimensions, (graphs, f)."""
        graph, graphs = graph_of(data), graphs_in(data)
        mean = scatter(data.x, graph, dim_size=graphs, reduce="mean")
        mass = scatter(data.x * degree[:, None], graph, dim_size=graphs, reduce="sum")
        total = scatter(degree, graph, dim_size=graphs, reduce="sum").clamp(min=1)
        both = torch.stack((mean, mass / total[:, None]), -1)
        return self.dimension(both.flatten(0, 1)).view_as(mean) + self.offset

    def keep(self, data: Data) -> tuple[Tensor, Tensor]:
        """Exact keep-probabilities of the links u < v (m,) and of the dimensions (graphs, f)."""
        _, link, dimension = self.logits(data)
        return link.sigmoid(), dimension.sigmoid()

    def forward(self, data: Data, generator: Generator | None = None) -> Data:
        """A relaxed sample: all links with ``edge_weight`` in (0, 1), x times a mask in (0, 1)."""
        links, link, dimension = self.logits(data)
        view = with_features(data, data.x * self._relaxed(dimension, generator)[graph_of(data)])
        weight = self._relaxed(link, generator)[links.of]
        before = data.get("edge_weight")
        view.edge_weight = weight if before is None else weight * before
        return view

    def _relaxed(self, logit: Tensor, generator: Generator | None) -> Tensor:
        noise = rand(*logit.shape, generator=generator, device=logit.device)
        noise = noise.clamp(1e-7, 1 - 1e-7).logit().to(logit)
        return ((logit + noise) / self.temperature).sigmoid()

    def drop_rates(self, data: Data) -> tuple[Tensor, Tensor]:
        """Expected shares of the links and of the feature dimensions that are dropped."""
        link, dimension = (
            1 - kept.mean() if kept.numel() else kept.sum() for kept in self.keep(data)
        )
        return link, dimension

    def penalty(self, data: Data, links: float = 0.3, features: float = 0.3) -> Tensor:
        r"""How far the expected drop rates are from the budget: sum of (rate - budget)^2.

        Added to the dropper's loss, it keeps the game from its trivial end, to drop everything
        (Suresh et al. 2021, eq. 8, with a target in the place of a price).

        Args:
            data: The graph.
            links: Share of the links that shall be dropped.
            features: Share of the feature dimensions.
        """
        link, feature = self.drop_rates(data)
        return (link - links) ** 2 + (feature - features) ** 2

    def design(self) -> dict[str, Any]:
        """The constructor's arguments as plain values."""
        names = ("in_channels", "hidden", "keep_links", "keep_features", "temperature")
        return {name: getattr(self, name) for name in names}

    def to_bytes(self) -> bytes:
        """Weights as safetensors, the design in its header."""
        return pack(self, _KEY, self.design())

    @classmethod
    def from_bytes(cls, data: bytes, where: str = "learned_drop") -> LinkDropper:
        """The dropper that :meth:`to_bytes` wrote, in eval mode.

        Raises:
            UserError: ``data`` is something else; ``where`` names it.
        """
        refusal = f"{where}: holds no link dropper. Name a file that LinkDropper.save wrote."
        return unpack(data, _KEY, cls, refusal)

    def save(self, path: Path | str) -> Path:
        """Write the file of a recipe's ``learned_drop: {path: ...}``, atomically."""
        return write_atomic(path, lambda part: part.write_bytes(self.to_bytes()))

    def to_recipe_op(self, strength: float = 1.0) -> LearnedDrop:
        """The op of a :class:`~goodviews.views.graphs.GraphRecipe` with these weights, frozen."""
        return LearnedDrop(weights=base64.b64encode(self.to_bytes()).decode(), strength=strength)


@lru_cache(maxsize=16)
def _frozen(weights: str, device: torch.device) -> LinkDropper:
    """The dropper of base64 weights, frozen, on a device."""
    try:
        data = base64.b64decode(weights, validate=True)
    except (binascii.Error, ValueError):
        raise UserError(
            "learned_drop.weights: no base64. Use learned_drop: {path: FILE} instead."
        ) from None
    made = LinkDropper.from_bytes(data, "learned_drop.weights")
    return made.requires_grad_(False).to(device)


@dataclass(frozen=True)
class LearnedDrop(GraphOp):
    """Links and feature dimensions dropped as a trained :class:`LinkDropper` says.

    Args:
        path: File that :meth:`LinkDropper.save` wrote; read at once, and forgotten.
        weights: The same file's bytes in base64: what is kept, written and compared.
        strength: Factor of the drop-probabilities, in [0, 1]; the dial.

    Raises:
        UserError: not exactly one of path and weights, or no dropper there.

    Example:
        >>> op = LinkDropper(2).to_recipe_op()
        >>> op(Data(x=torch.ones(2, 2), edge_index=torch.tensor([[0, 1], [1, 0]]))).x.shape
        torch.Size([2, 2])
    """

    path: str = ""
    weights: str = field(default="", repr=False)
    strength: float = 1.0
    name: ClassVar[str] = "learned_drop"
    dial: ClassVar[str] = "strength"
    reads: ClassVar[frozenset[str]] = LINKS | FEATURES
    changes: ClassVar[frozenset[str]] = LINKS | FEATURES

    def __post_init__(self) -> None:
        """Read the file."""
        between("learned_drop.strength", self.strength, 0, 1)
        if bool(self.path) == bool(self.weights):
            raise UserError(
                "learned_drop: give a path, for example learned_drop: {path: d.safetensors}."
            )
        if self.path:
            try:
                data = Path(self.path).read_bytes()
            except OSError as error:
                raise UserError(
                    f"learned_drop.path: {self.path} cannot be read ({error.strerror}). "
                    "Mend the path, which is relative to the recipe's folder."
                ) from None
            LinkDropper.from_bytes(data, self.path)
            object.__setattr__(self, "weights", base64.b64encode(data).decode())
            object.__setattr__(self, "path", "")
        self.dropper()

    def dropper(self, device: torch.device | str = "cpu") -> LinkDropper:
        """The frozen dropper; shared by all who ask."""
        return _frozen(self.weights, torch.device(device))

    def prepare(self, data: Data) -> tuple[Links, Tensor, Tensor]:
        """The links, and the drop-probabilities of links (m,) and dimensions (graphs, f)."""
        links, link, dimension = self.dropper(data.x.device).logits(data)
        return links, self.strength * (-link).sigmoid(), self.strength * (-dimension).sigmoid()

    def apply(self, data: Data, prepared: Any, generator: Generator | None) -> Data:
        """Drop some links and dimensions."""
        links, link, dimension = prepared
        drawn = [
            rand(*drop.shape, generator=generator, device=drop.device) >= drop
            for drop in (link, dimension)
        ]
        view = copy.copy(keep_links(data, links, drawn[0]))
        return with_features(view, data.x * drawn[1][graph_of(data)])
