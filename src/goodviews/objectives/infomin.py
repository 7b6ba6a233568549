"""The games in which views are learned: a generator against, or with, encoders and classifiers.

The paper's are unstable: an adversary that is free to reduce information over-reduces it, and two
seeds end at different places. A ``budget`` in nats is where it stops.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from goodviews.interfaces import UserError, check_name
from goodviews.objectives.contrastive import InfoNCE

__all__ = ["OBJECTIVES", "GameLosses", "ViewGame", "excess"]

OBJECTIVES = ("unsupervised", "semi-supervised", "supervised")


class GameLosses(NamedTuple):
    """What each side of the game minimises, and where it stands."""

    generator: Tensor
    """Of g (and of the classifiers, whose part in it is the same)."""
    encoders: Tensor
    """Of f1, f2 (and of the classifiers)."""
    nats: Tensor
    """I_NCE between the views, without gradient."""
    cross_entropy: Tensor
    """Both cross entropies together in nats, without gradient; 0 without labels."""


def excess(nats: Tensor, budget: float | None = None) -> Tensor:
    r"""What g has still to remove: I without a budget t, else ``|I - t|``, a scalar in nats.

    Below t the sign turns: a generator that went too far comes back. It must not move before the
    encoders have found more than t, or it begins by pushing information into both views.

    Example:
        >>> import torch
        >>> float(excess(torch.tensor(3.0))), float(excess(torch.tensor(3.0), 2.5))
        (3.0, 0.5)
    """
    return nats if budget is None else (nats - budget).abs()


class ViewGame(nn.Module):
    r"""The three ways to learn views, as losses of the generator g and of the encoders f.

    .. math::
        \min_g \max_{f_1, f_2} I_{NCE}^{f_1, f_2}(g(X)_1; g(X)_{2:})
        \;[\, + L_{ce}(c_1(g(X)_1), y) + L_{ce}(c_2(g(X)_{2:}), y) \,]

    "unsupervised" without and "semi-supervised" with the bracket, at unit weights; "supervised"
    has the bracket alone (Tian et al. 2020, section 4.2). With a ``budget`` t the information in
    g's loss is :func:`excess`; the encoders always maximise I_NCE. All in nats.

    Arguments:
        objective: a name of :data:`OBJECTIVES`.
        temperature: of the cosine critic.
        budget: t in nats, None for the paper's game.

    Raises:
        UserError: an unknown objective, a budget that is not positive.

    Example:
        >>> import torch
        >>> z = torch.eye(8)
        >>> losses = ViewGame("unsupervised", 0.1)(z, z)
        >>> bool(losses.generator == -losses.encoders)
        True
    """

    def __init__(
        self, objective: str = "unsupervised", temperature: float = 0.2, budget: float | None = None
    ) -> None:
        super().__init__()
        check_name("--objective", objective, OBJECTIVES)
        if budget is not None and not budget > 0:
            raise UserError(f"--budget-nats: {budget} is not positive. Use for example 1.5.")
        if budget is not None and objective == "supervised":
            raise UserError(
                "--budget-nats: the supervised objective has no information in it. "
                "Leave the budget out, or use semi-supervised."
            )
        self.objective, self.budget = objective, budget
        self.contrast = InfoNCE(temperature)

    @property
    def labelled(self) -> bool:
        """Whether labels take part."""
        return self.objective != "unsupervised"

    @property
    def critic(self) -> nn.Module:
        """What scores pairs of projections."""
        return self.contrast.critic

    def forward(
        self,
        z1: Tensor,
        z2: Tensor,
        logits: tuple[Tensor, Tensor] | None = None,
        labels: Tensor | None = None,
    ) -> GameLosses:
        """The losses of projections z1, z2 (n, d) and, of a labelled batch, two logits (m, k)."""
        loss, nats = self.contrast(z1, z2)
        entropy = loss.new_zeros(())
        if self.labelled:
            if logits is None or labels is None:
                raise ValueError(f"{self.objective}: logits and labels are missing.")
            entropy = sum((functional.cross_entropy(each, labels) for each in logits), entropy)
        removed = loss.new_zeros(())
        if self.objective != "supervised":
            removed = excess(-loss, self.budget)
        return GameLosses(removed + entropy, loss + entropy, nats, entropy.detach())
