"""Small networks as bytes: safetensors, with their sizes in its header. Nothing is pickled."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from goodviews.interfaces import UserError

__all__ = ["pack", "unpack"]

M = TypeVar("M", bound=nn.Module)


def pack(module: nn.Module, key: str, design: Mapping[str, Any]) -> bytes:
    """Weights as safetensors, the design under ``key`` in its header.

    Example:
        >>> data = pack(nn.Linear(2, 1), "line", {"in_features": 2, "out_features": 1})
        >>> unpack(data, "line", nn.Linear, "no line")
        Linear(in_features=2, out_features=1, bias=True)
    """
    tensors = {name: t.detach().cpu().contiguous() for name, t in module.state_dict().items()}
    return save(tensors, {key: json.dumps(dict(design))})


def unpack(data: bytes, key: str, make: Callable[..., M], refusal: str) -> M:
    """The module that :func:`pack` wrote, made by ``make(**design)``, in eval mode.

    Raises:
        UserError: ``data`` is something else; its line is ``refusal``.
    """
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        made = make(**json.loads(header["__metadata__"][key]))
        made.load_state_dict(load(data))
    except (ValueError, KeyError, TypeError, RuntimeError, SafetensorError):
        raise UserError(refusal) from None
    return made.eval()
