"""Small layers that several rooms share. Imports nothing of ours."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap


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


LARGE = 2_000_000
"""Weights of a module that keeps the processor busy alone."""


class Stacked(nn.Module):
    r"""Creates E modules of one design with weights of their own, run as one batched network.

    ``forward(x)[e] = module_e(x[e])``: tensors in and out have a leading dimension E. Adam and
    other element-wise optimisers of its (stacked) parameters train every module as if it were
    alone, when the loss is the sum over modules. Convolutions, and modules of more than
    :data:`LARGE` weights, are run one after another: batching gains nothing there, and a grouped
    convolution loses.

    Arguments:
        modules: E modules that differ in weights and buffers only. Batch norm's running statistics
            are read, not updated.

    Example:
        >>> import torch
        >>> alone = [nn.Linear(3, 2) for _ in range(4)]
        >>> stacked, x = Stacked(alone), torch.randn(4, 5, 3)
        >>> stacked(x).shape, torch.allclose(stacked(x)[1], alone[1](x[1]), atol=1e-6)
        (torch.Size([4, 5, 2]), True)
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.count = len(modules)
        weights, buffers = stack_module_state(list(modules))
        self._names = (list(weights), list(buffers))
        self.weights = nn.ParameterList(nn.Parameter(w.detach()) for w in weights.values())
        for i, buffer in enumerate(buffers.values()):
            self.register_buffer(f"buffer{i}", buffer)
        self._design = [copy.deepcopy(modules[0]).to("meta")]  # in a list: not a submodule
        convolves = any(isinstance(part, nn.Conv2d) for part in modules[0].modules())
        size = sum(weight.numel() for weight in modules[0].parameters())
        self._in_turn = convolves or size > LARGE or self.count == 1

    def _state(self) -> dict[str, Tensor]:
        """Name -> stacked weight or buffer."""
        names, buffers = self._names
        own: dict[str, Tensor] = dict(zip(names, self.weights, strict=True))
        return own | {name: getattr(self, f"buffer{i}") for i, name in enumerate(buffers)}

    def forward(self, *inputs: Tensor) -> Tensor:
        """Each module's output on its own inputs: (E, ...) of inputs (E, ...)."""
        design = self._design[0].train(self.training)
        if self._in_turn:
            apart = {name: tensor.unbind(0) for name, tensor in self._state().items()}
            states = [{name: part[e] for name, part in apart.items()} for e in range(self.count)]
            own = zip(states, zip(*inputs, strict=True), strict=True)
            return torch.stack([functional_call(design, state, x) for state, x in own])

        def one(state: dict[str, Tensor], *x: Tensor) -> Tensor:
            return functional_call(design, state, x)

        return vmap(one, randomness="different")(self._state(), *inputs)

    def member(self, e: int) -> nn.Module:
        """A copy of module ``e`` on its own, with its weights as they are now."""
        module = copy.deepcopy(self._design[0]).to_empty(device=next(self._tensors()).device)
        own = dict(module.named_parameters()) | dict(module.named_buffers())
        with torch.no_grad():
            for name, tensor in self._state().items():
                own[name].copy_(tensor[e])
        return module.train(self.training)

    def _tensors(self) -> Iterator[Tensor]:
        yield from self.parameters()
        yield from self.buffers()
        yield torch.empty(0)


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
