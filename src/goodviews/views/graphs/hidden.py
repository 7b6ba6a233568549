"""A view of our own in which the two ends of a hidden link stand for each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor
from torch_geometric.data import Data

from goodviews.views.graphs.link_sets import Links, firsts, keep_links, links_of
from goodviews.views.graphs.op import LINKS, GraphOp, rand
from goodviews.views.ops import between

__all__ = ["HideLinks"]


@dataclass(frozen=True)
class HideLinks(GraphOp):
    r"""Hides links with probability p from both views, and matches the ends of what was hidden.

    In view 2 a node that lost links is stood for by the other end of one of them, drawn; a node
    that lost none by itself. Contrast then maximises

    .. math:: I(\text{what is left around } u; \text{ what is left around } v), \quad uv
        \text{ hidden}

    The reason: two views of one node share all that makes it this node, most of it no use for
    telling which links are missing. The ends of a link that neither view shows share what a link
    tells of its ends and nothing else: the information that the task asks for (InfoMin, section
    3.1), at the price that it is wrong where links join what differs. Belongs into a recipe's
    ``shared`` ops, so that neither view has the link; methods that compare a node's two views
    (local-local) read ``stand_in`` of view 2, others only miss the links.

    Args:
        p: The dial.

    Example:
        >>> data = Data(x=torch.ones(3, 1), edge_index=torch.tensor([[0, 1], [1, 0]]))
        >>> view = HideLinks(1.0)(data)
        >>> view.edge_index.shape, view.stand_in
        (torch.Size([2, 0]), tensor([1, 0, 2]))
    """

    p: float = 0.5
    name: ClassVar[str] = "hide_links"
    reads: ClassVar[frozenset[str]] = LINKS

    def __post_init__(self) -> None:
        """Check the settings."""
        between("hide_links.p", self.p, 0, 1)

    def prepare(self, data: Data) -> Links:
        """The links."""
        return links_of(data)

    def apply(self, data: Data, prepared: Any, generator: Generator | None) -> Data:
        """Hide some links."""
        links = prepared
        chance = rand(2, len(links.codes), generator=generator, device=data.x.device)
        keep = chance[0] >= self.p
        view = keep_links(data, links, keep)
        view.stand_in = _stand_ins(links.ends[:, ~keep], chance[1, ~keep], len(data.x))
        return view


def _stand_ins(hidden: Tensor, chance: Tensor, nodes: int) -> Tensor:
    """Who stands for each node, int64 (n,): the other end of its first hidden link, else itself."""
    one, other = torch.cat((hidden, hidden.flip(0)), 1)
    order = chance.repeat(2).argsort(stable=True)
    first = order[firsts(one[order])]
    stand = torch.arange(nodes, device=hidden.device)
    stand[one[first]] = other[first]
    return stand
