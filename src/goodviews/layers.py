"""Small layers that several rooms share. Imports nothing of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn


class MLP(nn.Sequential):
    r"""Creates a multi-layer perceptron: Linear (-> BatchNorm) -> activation -> ... -> Linear.

    Arguments:
        dims: widths, input first, output last; two numbers make one linear layer.
        norm: whether to normalise hidden layers over the batch (SimCLR's projection head does).
        activation: makes the non-linearity of each hidden layer.

    Example:
        >>> import torch
        >>> MLP([8, 16, 4])(torch.zeros(2, 8)).shape
        torch.Size([2, 4])
    """

    def __init__(
        self,
        dims: Sequence[int],
        norm: bool = False,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ) -> None:
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(zip(dims[:-1], dims[1:], strict=True)):
            hidden = i < len(dims) - 2
            layers.append(nn.Linear(before, after, bias=not (hidden and norm)))
            if hidden:
                layers += [nn.BatchNorm1d(after)] * norm + [activation()]
        super().__init__(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, dims[0]) to (n, dims[-1])."""
        return super().forward(x)


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Put ``modules`` in eval mode and, afterwards, every submodule back as it was.

    Example:
        >>> net = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2).eval())
        >>> with evaluating(net):
        ...     net.training
        False
        >>> net.training, net[1].training
        (True, False)
    """
    before = [(part, part.training) for module in modules for part in module.modules()]
    try:
        for module in modules:
            module.eval()
        yield
    finally:
        for part, training in before:
            part.training = training


def mlp_head(width: int, classes: int, hidden: int = 1024) -> nn.Sequential:
    """AMDIM's nonlinear probe: (n, width) -> logits (n, classes).

    Dropout 0.2, Linear(width, hidden) without bias, batch norm, ReLU, dropout 0.2,
    Linear(hidden, classes) (Bachman et al. 2019, code).

    Example:
        >>> import torch
        >>> mlp_head(8, 3)(torch.zeros(2, 8)).shape
        torch.Size([2, 3])
    """
    return nn.Sequential(
        nn.Dropout(0.2),
        nn.Linear(width, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(hidden, classes),
    )
