"""Classifiers that are trained beside an encoder and never reach it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from goodviews.layers import mlp_head
from goodviews.objectives.classification import clipped_cross_entropy


class OnlineClassifiers(nn.Module):
    r"""A linear and an MLP probe, trained in the encoder's own loop on detached summaries.

    loss = sum over both of the mean over labelled images of
    ``-log softmax(c tanh(logits / c))[label] + penalty mean(logits^2)``

    The penalty is the clip's companion: without the clip the loss is plain cross-entropy. The batch
    norm of the MLP reads unlabelled images too.

    Arguments:
        dim: width D of the summaries.
        classes: number of classes.
        clip: c of the logits, None for none.
        penalty: weight of the squared logits, where they are clipped.

    References:
        Bachman et al. 2019, code.

    Example:
        >>> probes = OnlineClassifiers(8, classes=4)
        >>> summaries = torch.randn(4, 8, requires_grad=True)
        >>> probes(summaries, torch.tensor([0, 1, 2, -1])).backward()
        >>> summaries.grad is None, probes.linear.weight.grad is None
        (True, False)
    """

    def __init__(
        self, dim: int, classes: int, clip: float | None = 10.0, penalty: float = 1e-3
    ) -> None:
        super().__init__()
        self.clip, self.penalty = clip, penalty
        self.linear, self.mlp = nn.Linear(dim, classes), mlp_head(dim, classes)

    def logits(self, summary: Tensor) -> dict[str, Tensor]:
        """Logits (n, classes) of each probe for summaries (n, D), before the clip."""
        with torch.autocast(summary.device.type, enabled=False):
            z = summary.detach().to(self.linear.weight.dtype)
            return {"linear": self.linear(z), "mlp": self.mlp(z)}

    def forward(self, summary: Tensor, labels: Tensor) -> Tensor:
        """The loss of both probes, in nats.

        Args:
            summary: (n, D), n >= 2 in training; detached here.
            labels: (n,), -1 where unlabelled.

        Returns:
            A scalar, 0 where nothing is labelled.
        """
        losses = [
            clipped_cross_entropy(z, labels, self.clip, self.penalty)
            for z in self.logits(summary).values()
        ]
        return torch.stack(losses).sum()
