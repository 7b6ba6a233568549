"""Probes that are trained beside the encoder, on summaries it does not hear back from."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from goodviews.layers import mlp_head


class OnlineClassifiers(nn.Module):
    r"""A linear and an MLP probe on detached summaries, trained in the same loop as the encoder.

    linear: ``Linear(D, C)``. MLP: dropout 0.2, ``Linear(D, 1024)`` without bias, batch norm, ReLU,
    dropout 0.2, ``Linear(1024, C)``. The loss of each is the cross-entropy of clipped logits
    c tanh(s / c), c = 10, plus 1e-3 mean(s^2) (AMDIM, code). It has no gradient to the summaries.

    Arguments:
        dim: D, width of the summary.
        classes: C.
        clip: c of the logits, None for none.
        penalty: of the squared logits.

    Example:
        >>> summary = torch.randn(4, 8, requires_grad=True)
        >>> probes = OnlineClassifiers(8, classes=3)
        >>> probes(summary, torch.tensor([0, 1, 2, -1])).backward()
        >>> summary.grad is None, probes.linear.weight.grad is not None
        (True, True)
    """

    def __init__(
        self, dim: int, classes: int, clip: float | None = 10.0, penalty: float = 1e-3
    ) -> None:
        super().__init__()
        self.linear, self.mlp = nn.Linear(dim, classes), mlp_head(dim, classes)
        self.clip, self.penalty = clip, penalty

    def forward(self, summary: Tensor, labels: Tensor) -> Tensor:
        """Loss of both probes on summaries (n, D) and labels (n,); -1 is left out."""
        known = labels >= 0
        if int(known.sum()) < 2:  # batch norm needs two
            return summary.new_zeros(())
        losses = [
            self._loss(logits, labels[known]) for logits in self.logits(summary[known]).values()
        ]
        return torch.stack(losses).sum()

    def logits(self, summary: Tensor) -> dict[str, Tensor]:
        """Logits (n, C) of each probe, by name, of summaries (n, D)."""
        with torch.autocast(summary.device.type, enabled=False):
            z = summary.detach().to(self.linear.weight.dtype)
            return {"linear": self.linear(z), "mlp": self.mlp(z)}

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        clipped = logits
        if self.clip is not None:
            clipped = self.clip * torch.tanh(logits / self.clip)
        return functional.cross_entropy(clipped, labels) + self.penalty * logits.square().mean()
