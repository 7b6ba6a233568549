"""Optimisers and the learning-rate schedule."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from goodviews.interfaces import UserError


class LARS(Optimizer):
    r"""SGD whose step is scaled, tensor by tensor, to the size of the weights.

    With gradient :math:`g`, weight :math:`w`, decay :math:`\beta` and trust :math:`\eta`::

        u = g + beta w
        u = eta ||w|| / ||u|| * u      (only where the group is adapted, and both norms > 0)
        m = mu m + u
        w = w - lr m

    You et al. 2017 (arXiv:1708.03888), in the form used by SimCLR and BYOL: the decay is inside
    the norm, groups with ``adapt=False`` (biases, norms) take the plain step.

    Args:
        params: parameters or groups.
        lr: learning rate.
        momentum: mu.
        weight_decay: beta.
        trust: eta.

    Example:
        >>> w = nn.Parameter(torch.tensor([3.0, 4.0]))
        >>> w.grad = torch.tensor([0.0, 2.0])
        >>> _ = LARS([w], lr=1.0, momentum=0.0, trust=0.1).step()
        >>> w.detach()
        tensor([3.0000, 3.5000])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = 1e-3,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "trust": trust,
            "adapt": True,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step; returns the closure's loss, if one is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, group)
        return loss

    def _update(self, weight: Tensor, group: dict[str, Any]) -> None:
        update = weight.grad.add(weight, alpha=group["weight_decay"])  # type: ignore[union-attr]
        if group["adapt"]:
            norm, size = torch.linalg.vector_norm(weight), torch.linalg.vector_norm(update)
            ratio = group["trust"] * norm / size
            update.mul_(torch.where((norm > 0) & (size > 0), ratio, torch.ones_like(ratio)))
        state = self.state[weight]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(weight)
        state["momentum"].mul_(group["momentum"]).add_(update)
        weight.add_(state["momentum"], alpha=-group["lr"])


def build_optimizer(
    params: nn.Module | Iterable[nn.Parameter],
    name: str = "adamw",
    lr: float = 1e-3,
    weight_decay: float = 1e-4,
    momentum: float = 0.9,
    fused: bool = True,
) -> Optimizer:
    """The optimiser ``name``; weight decay is off for biases, norms and other vectors.

    Args:
        params: a module or its parameters; those that need no gradient are left out.
        name: "adamw", "adam" (decay added to the gradient, eps 1e-8), "lars" or "sgd".
        lr: learning rate, used as given.
        weight_decay: decay of matrices and kernels (two dimensions or more).
        momentum: momentum (sgd, lars) or first beta (adamw, adam).
        fused: one kernel for all tensors (adamw, adam), three times as fast; not with the gradient
            scaling and clipping of 16-bit floats.

    Raises:
        UserError: unknown name, or nothing to train.

    Example:
        >>> optimizer = build_optimizer(nn.Linear(2, 3), "sgd", lr=0.1)
        >>> [(len(g["params"]), g["weight_decay"]) for g in optimizer.param_groups]
        [(1, 0.0001), (1, 0.0)]
    """
    all_params = params.parameters() if isinstance(params, nn.Module) else params
    trained = [p for p in all_params if p.requires_grad]
    if not trained:
        raise UserError("optimizer: 0 parameters need a gradient. Unfreeze a part of the method.")
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if name == "lars":
        groups[1]["adapt"] = False
    groups = [group for group in groups if group["params"]]
    if name in ("adamw", "adam"):
        kind = AdamW if name == "adamw" else Adam
        return kind(groups, lr=lr, betas=(momentum, 0.999), fused=fused)
    if name == "sgd":
        return SGD(groups, lr=lr, momentum=momentum)
    if name == "lars":
        return LARS(groups, lr=lr, momentum=momentum)
    raise UserError(f"--optimizer: {name!r}. Use adamw, adam, lars or sgd.")


def warmup_cosine(
    step: int, total: int, warmup: int = 0, peak: float = 1.0, floor: float = 0.0
) -> float:
    """The learning rate of a step: linear warm-up to ``peak``, then half a cosine to ``floor``.

    A pure function of the step, so there is nothing to save and nothing to restore.

    Args:
        step: 0 is the first.
        total: steps of the run.
        warmup: steps of the warm-up; the rate is ``peak * (step + 1) / warmup`` in it.
        peak: the highest rate.
        floor: the rate at the end.

    Example:
        >>> [round(warmup_cosine(s, total=6, warmup=2), 3) for s in range(6)]
        [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    done = min(1.0, (step - warmup) / max(1, total - warmup))
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * done))


def warmup_steps(
    step: int,
    milestones: Sequence[int],
    warmup: int = 0,
    peak: float = 1.0,
    decay: float = 0.2,
) -> float:
    """The learning rate of a step: linear warm-up to ``peak``, then ``decay`` at each milestone.

    AMDIM's schedule (Bachman et al. 2019, code): 500 updates of warm-up, 0.2 at each milestone.

    Args:
        step: 0 is the first.
        milestones: the first steps of the lower rates.
        warmup: steps of the warm-up; the rate is ``peak * (step + 1) / warmup`` in it.
        peak: the highest rate.
        decay: the factor.

    Example:
        >>> [round(warmup_steps(s, [4, 5], warmup=2), 3) for s in range(6)]
        [0.5, 1.0, 1.0, 1.0, 0.2, 0.04]
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    return float(peak * decay ** sum(step >= place for place in milestones))
