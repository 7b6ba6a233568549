"""The arms of an experiment: which encoder, critic, bound and target are trained together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from goodviews.bounds import BOUNDS
from goodviews.critics import Bilinear, Concat, InnerProduct, Separable
from goodviews.encoders.catalogue import ENCODERS as CATALOGUE
from goodviews.encoders.invertible import RealNVP
from goodviews.interfaces import Shape
from goodviews.methods.pair import StackedPair, bound_losses

CRITICS: dict[str, Callable[[int], nn.Module]] = {
    "inner product": lambda dim: InnerProduct(),
    "bilinear": Bilinear,
    "separable": lambda dim: Separable(dim, hidden=100, embed=100),
    "MLP": lambda dim: Concat(dim, hidden=200),
}
"""The paper's critics, small to large (Tschannen et al. 2019, section 3.2)."""

TITLES = {"infonce": "I_NCE", "nwj": "I_NWJ"}
"""Bound -> its name in the paper."""


@dataclass(frozen=True)
class Arm:
    """What is trained in one arm of an experiment; its runs differ in the seed alone."""

    name: str
    words: str = ""
    """What is special about it, a phrase."""
    encoder: str = "tschannen-mlp"
    """Of :data:`goodviews.encoders.ENCODERS`."""
    encoder_options: Mapping[str, Any] = field(default_factory=dict)
    """Of RealNVP."""
    critic: str = "bilinear"
    bound: str = "infonce"
    target: float | None = None
    """t in nats of |I - t|; None: the bound is maximised."""
    shared_encoder: bool = False
    rate: float = 1.0
    """Multiplies the learning rate."""
    group: str = ""
    """Arms of one group have one colour on the page."""
    dash: str = "solid"
    paper: Mapping[str, str] = field(default_factory=dict)
    """Column -> what the paper reports."""

    def build(self, seeds: Sequence[int], shape: Shape) -> StackedPair:
        """The untrained encoders and critics of these seeds, stacked."""
        first, second, critics = [], [], []
        for seed in seeds:
            with torch.random.fork_rng([]):
                torch.manual_seed(seed)
                first.append(self.encoder_of(shape, 2 * seed))
                second.append(self.encoder_of(shape, 2 * seed + 1))
                critics.append(glorot(CRITICS[self.critic](first[-1].dim)))  # type: ignore[arg-type]
        return StackedPair(first, None if self.shared_encoder else second, critics)

    def encoder_of(self, shape: Shape, seed: int) -> nn.Module:
        """An untrained encoder; ``seed`` draws the permutations of a RealNVP."""
        if not self.encoder.startswith("realnvp"):
            return CATALOGUE[self.encoder](shape[0], shape[1:])
        c, h, w = shape
        affine = self.encoder.endswith("affine")
        return RealNVP(c * h * w, affine=affine, seed=seed, **self.encoder_options)

    @property
    def losses(self) -> Callable[..., torch.Tensor]:
        """What is minimised, see :func:`goodviews.methods.pair.bound_losses`."""
        return bound_losses(BOUNDS[self.bound].function, self.target)

    def plain(self) -> dict[str, Any]:
        """For the record: what the page reads."""
        return {
            "name": self.name,
            "words": self.words,
            "paper": dict(self.paper),
            "group": self.group or self.name,
            "dash": self.dash,
        }


def glorot(module: nn.Module) -> nn.Module:
    """Linear layers as Keras draws them: Glorot-uniform weights, zero bias.

    Example:
        >>> layer = glorot(nn.Linear(3, 3))
        >>> bool((layer.bias == 0).all()), bool((layer.weight.abs() <= 1).all())
        (True, True)
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return module
