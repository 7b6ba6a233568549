"""What the view games of images and of graphs share: two players, one optimiser."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import lightning
import torch
from torch import nn

__all__ = ["SlowPlayer", "fixed"]


class SlowPlayer(lightning.LightningModule):
    """A method one of whose parts takes smaller steps and has its gradient clipped."""

    rate: float
    """Part of the optimiser's step that the player takes."""
    clip: float
    """Largest norm of its gradient."""

    @property
    @abstractmethod
    def player(self) -> nn.Module:
        """The part."""

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the player's gradient, whatever is done to the rest."""
        nn.utils.clip_grad_norm_(self.player.parameters(), self.clip)

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Any,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """The optimiser's step, of which the player takes ``rate``."""
        own = list(self.player.parameters())
        before = [p.detach().clone() for p in own]
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        with torch.no_grad():
            for parameter, old in zip(own, before, strict=True):
                parameter.copy_(old.lerp(parameter, self.rate))


@contextmanager
def fixed(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Within: losses are built as if the modules' parameters were constants.

    Example:
        >>> layer = nn.Linear(1, 1)
        >>> with fixed([layer]):
        ...     layer(torch.ones(1, 1)).requires_grad
        False
    """
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    try:
        for parameter in parameters:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
