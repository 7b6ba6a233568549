"""What every worker of `benchmarks/estimators.py` shares: a JSON line in, a JSON line out.

A worker runs under the Python that has its package. It says hello with its version, then answers
each request ``{"path", "method", "seed", "n", "side", "shuffled"}`` by the estimate in nats and the
seconds it took, of the clock and of the processor. What a package prints goes to stderr.
"""

import contextlib
import json
import math
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Measure = Callable[[np.ndarray, np.ndarray, str, int], dict[str, Any]]
"""x (n, dx), y (n, dy), method, seed -> at least {"estimate": nats}."""


def load(request: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """The first n rows of x and y, float64; y in another order where the truth shall be 0."""
    side = request.get("side", "")
    with np.load(request["path"]) as file:
        x, y = (np.asarray(file[name + side], dtype=np.float64) for name in "xy")
    x, y = x[: request["n"]], y[: request["n"]]
    if request.get("shuffled"):
        y = y[np.random.default_rng(request["seed"]).permutation(len(y))]
    return x, y


def standardized(values: np.ndarray) -> np.ndarray:
    """Every column with mean 0 and standard deviation 1: the protocol that bmi publishes."""
    return (values - values.mean(0)) / values.std(0)


def serve(measure: Measure, version: str) -> None:
    """Answer requests until stdin closes; an error becomes an answer."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    answers.write(json.dumps({"version": version}) + "\n")
    for line in sys.stdin:
        request = json.loads(line)
        x, y = load(request)
        start, start_cpu = time.perf_counter(), time.process_time()
        try:
            with contextlib.redirect_stdout(sys.stderr):
                answer = measure(x, y, request["method"], request["seed"])
            if not math.isfinite(answer["estimate"]):
                answer = {"error": f"the estimate is {answer['estimate']}"}
        except Exception as error:  # noqa: BLE001  whatever a package raises is its result
            answer = {"error": f"{type(error).__name__}: {error}"}
        answer["seconds"] = time.perf_counter() - start
        answer["cpu_seconds"] = time.process_time() - start_cpu
        answers.write(json.dumps(answer, default=str) + "\n")
