"""Checkpoints: plain tensors and plain values, written whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch
from torch import Tensor, nn

from goodviews.files import write_atomic
from goodviews.interfaces import UserError

FORMAT = 1
"""Version of the layout below."""


class _Sink:
    """A file for `torch.save` that remembers why writing failed (PyTorch hides the reason)."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        if self.error is None:
            try:
                self.file.write(data)
            except OSError as error:
                self.error = error
        return len(data) if isinstance(data, bytes) else memoryview(data).nbytes

    def flush(self) -> None:
        """Nothing to do before the end."""


def save_checkpoint(state: Mapping[str, Any], path: Path) -> None:
    """Write ``state`` to ``path`` by way of a temporary file beside it; readers see old or new.

    Args:
        state: tensors, numbers, strings, lists and dicts.
        path: where to; what was there stays whole until the new file is complete.

    Raises:
        UserError: the disk is full or may not be written.
    """
    try:
        write_atomic(path, lambda part: _dump(state, part))
    except OSError as error:
        raise UserError(_why(error, path)) from error


def _dump(state: Mapping[str, Any], path: Path) -> None:
    with open(path, "wb", buffering=1 << 20) as file:
        sink = _Sink(file)
        torch.save(dict(state), cast(BinaryIO, sink))
        if sink.error is not None:
            raise sink.error
        file.flush()
        os.fsync(file.fileno())


def _why(error: OSError, path: Path) -> str:
    kept = " The last good checkpoint is kept." if path.exists() else ""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    remedy = "Free some space, then add --resume." if full else "Choose another --out."
    return f"{path}: could not be written ({error.strerror}). {remedy}{kept}"


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote; opens tensors and plain values only, never code.

    Raises:
        UserError: no such file, not a checkpoint, or of a newer format.
    """
    if not path.is_file():
        raise UserError(f"{path}: no checkpoint there. Start without --resume.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        message = f"{path}: not a checkpoint that can be read. Take another, or start afresh."
        raise UserError(message) from error
    if not isinstance(state, dict) or state.get("format", FORMAT + 1) > FORMAT:
        raise UserError(f"{path}: not written by this version of goodviews. Update goodviews.")
    return state


def load_weights(module: nn.Module, weights: Mapping[str, Tensor], path: Path | str) -> None:
    """Copy ``weights`` into ``module``; names and shapes must all agree.

    Raises:
        UserError: the first tensor that is missing, unknown or of another shape, by name.
    """
    own = module.state_dict()
    remedy = "It was trained with other settings (encoder, views or critic)."
    for name, tensor in own.items():
        if name not in weights:
            raise UserError(f"{path}: the tensor {name} is missing. {remedy}")
        there, here = tuple(weights[name].shape), tuple(tensor.shape)
        if there != here:
            raise UserError(f"{path}: {name} has shape {there}, the method wants {here}. {remedy}")
    for name in weights:
        if name not in own:
            raise UserError(f"{path}: the method has no tensor {name}. {remedy}")
    module.load_state_dict(dict(weights))


def all_finite(module: nn.Module) -> bool:
    """Whether every floating-point weight and buffer of ``module`` is finite.

    Example:
        >>> all_finite(nn.Linear(2, 2))
        True
    """
    tensors = [t for t in module.state_dict().values() if t.is_floating_point()]
    if not tensors:
        return True
    return bool(torch.stack([torch.isfinite(t).all() for t in tensors]).all())
