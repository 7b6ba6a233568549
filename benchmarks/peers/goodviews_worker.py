"""Worker for goodviews itself: `goodviews.estimate(x, y, method=...)` on the data as they are."""

import subprocess
from importlib.metadata import version
from typing import Any

import numpy as np
import torch  # noqa: F401  imported before the clock starts
from serving import serve

from goodviews import estimate


def measure(x: np.ndarray, y: np.ndarray, method: str, seed: int) -> dict[str, Any]:
    """The estimate with its error, null, bounds and doubts."""
    found = estimate(x, y, method=method, seed=seed).to_dict()
    lower, upper = found["interval"]
    return {
        "estimate": found["nats"],
        "interval": [lower, upper],
        **{name: found[name] for name in ("stderr", "p_value", "null", "warnings", "details")},
        "bounds": [found["lower"], found["upper"]],
    }


def commit() -> str:
    """The commit of the source tree, as far as git knows it."""
    command = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


if __name__ == "__main__":
    serve(measure, f"goodviews {version('goodviews')} {commit()}".strip())
