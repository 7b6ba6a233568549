"""How much memory a run takes."""

from __future__ import annotations

import sys

import torch


def memory_gb(device: torch.device) -> float:
    """Peak memory of this process in GB: on the GPU when training there, else resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return _resident_gb()


def _resident_gb() -> float:
    try:
        import resource  # not on Windows
    except ImportError:
        return 0.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT / 1e9


_RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB elsewhere
