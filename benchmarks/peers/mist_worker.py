"""Worker for torch-mist: `estimate_mi` with its defaults, on columns that are z-scored.

`mist-NAME` is `estimate_mi(..., estimator=NAME)`, which by default reads the value off the rows it
trained on; its early stopping waits for 2 % of the epochs, and its separable critic (infonce,
alpha_tuba, flo) is bilinear. `mist-long-NAME` mends both: two hidden layers of 128, stopping after
20 epochs without gain. `mist-kfold-NAME` is `k_fold_mi_estimate`, ten times as long, which reads
rows left out. NAME is one of infonce, nwj, mine, js, smile, tuba, alpha_tuba, flo, club, l1out,
doe, gm.
"""

from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from serving import serve, standardized
from torch_mist import estimate_mi, k_fold_mi_estimate


def measure(x: np.ndarray, y: np.ndarray, method: str, seed: int) -> dict[str, Any]:
    """One number, in nats."""
    name = method.removeprefix("mist-")
    data = {"x": standardized(x).astype("float32"), "y": standardized(y).astype("float32")}
    torch.manual_seed(seed)
    np.random.seed(seed)
    if name.startswith("long-"):
        name = name.removeprefix("long-")
        more = {"hidden_dims": [128, 128], "patience": 20}
        found = estimate_mi(data, estimator=name, verbose=False, **more)[0]
    elif name.startswith("kfold-"):
        name = name.removeprefix("kfold-")
        found = k_fold_mi_estimate(data, estimator=name, seed=seed, verbose=False)[0]
    else:
        found = estimate_mi(data, estimator=name, verbose=False)[0]
    return {"estimate": float(found)}


if __name__ == "__main__":
    serve(measure, f"torch-mist {version('torch-mist')}")
