"""Worker for `benchmark-mi`: its estimators with their defaults, on columns that are z-scored."""

from importlib.metadata import version
from typing import Any

import bmi.estimators as estimators
import numpy as np
from serving import serve, standardized

METHODS = {
    "bmi-ksg": lambda: estimators.KSGEnsembleFirstEstimator(neighborhoods=(5, 10)),
    "bmi-cca": estimators.CCAMutualInformationEstimator,
    "bmi-infonce": lambda: estimators.InfoNCEEstimator(verbose=False),
    "bmi-nwj": lambda: estimators.NWJEstimator(verbose=False),
    "bmi-dv": lambda: estimators.DonskerVaradhanEstimator(verbose=False),
    "bmi-mine": lambda: estimators.MINEEstimator(verbose=False),
}


def measure(x: np.ndarray, y: np.ndarray, method: str, seed: int) -> dict[str, Any]:
    """One number; bmi's networks keep their own default seed."""
    found = METHODS[method]().estimate(standardized(x), standardized(y))
    return {"estimate": float(found)}


if __name__ == "__main__":
    serve(measure, f"benchmark-mi {version('benchmark-mi')}")
