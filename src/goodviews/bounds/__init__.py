r"""Bounds turn scores into nats. Pure functions; imports nothing of ours.

``scores`` has shape (n, n): row i scores the i-th first view against every second view, the
positive pairs stand on the diagonal. Without a square matrix, :class:`Pairs` holds positives and
negatives apart. Half-precision scores are computed in float32.

:data:`BOUNDS` maps scores to nats and may train a critic or an encoder; :data:`UPPER_BOUNDS` maps
a matrix log q(y_j|x_i) to nats; :data:`READ_OUTS` reads a critic that aims at the log-ratio.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from goodviews.bounds.conditionals import barber_agakov, club, leave_one_out, variational_upper
from goodviews.bounds.pairs import Pairs, as_pairs
from goodviews.bounds.readouts import (
    effective_sample_size,
    log_normaliser,
    nwj_of_log_ratio,
    plug_in,
)
from goodviews.bounds.scores import (
    anchor,
    donsker_varadhan,
    flo,
    infonce,
    interpolated,
    jensen_shannon,
    mine,
    moving_log_average,
    nwj,
    smile,
    tuba,
)

__all__ = [
    "BOUNDS",
    "READ_OUTS",
    "UPPER_BOUNDS",
    "BoundInfo",
    "Pairs",
    "anchor",
    "as_pairs",
    "barber_agakov",
    "club",
    "donsker_varadhan",
    "effective_sample_size",
    "flo",
    "infonce",
    "interpolated",
    "jensen_shannon",
    "leave_one_out",
    "log_normaliser",
    "mine",
    "moving_log_average",
    "nwj",
    "nwj_of_log_ratio",
    "plug_in",
    "smile",
    "tuba",
    "variational_upper",
]

_RATIO = "log p(x,y)/(p(x)p(y))"


def _none(n: int) -> float:
    return math.inf


@dataclass(frozen=True)
class BoundInfo:
    """A bound and what it promises."""

    function: Callable[[Tensor], Tensor]
    kind: Literal["lower", "upper", "neither"]
    """Of I(v1;v2), in expectation."""
    ceiling: Callable[[int], float]
    """The largest value with n candidates, in nats."""
    optimal_critic: str
    """What the scores are at the optimum. An upper bound is one only with exactly these."""


BOUNDS: dict[str, BoundInfo] = {
    "infonce": BoundInfo(infonce, "lower", math.log, "log p(y|x)/p(y) + c(x)"),
    "nwj": BoundInfo(nwj, "lower", _none, f"1 + {_RATIO}"),
    "tuba": BoundInfo(tuba, "lower", _none, f"b + {_RATIO}, b = 1 here"),
    "donsker-varadhan": BoundInfo(donsker_varadhan, "neither", _none, f"{_RATIO} + constant"),
    "smile": BoundInfo(smile, "neither", _none, f"{_RATIO} + constant"),
    "jensen-shannon": BoundInfo(jensen_shannon, "lower", lambda n: math.log(4.0), _RATIO),
    "interpolated": BoundInfo(
        interpolated, "lower", lambda n: 1.0 + math.log(n / 0.01), f"{_RATIO}, alpha = 0.01"
    ),
    "anchor": BoundInfo(anchor, "lower", math.log, _RATIO),
}
"""Name -> scores (n, n) to nats. Each trains a critic by being maximised."""

UPPER_BOUNDS: dict[str, BoundInfo] = {
    "club": BoundInfo(club, "upper", _none, "log p(y|x), exact"),
    "leave-one-out": BoundInfo(leave_one_out, "upper", _none, "log p(y|x), exact"),
}
"""Name -> matrix log q(y_j|x_i), shape (n, n), to nats. They do not fit q: its likelihood, the mean
of the diagonal, does."""

READ_OUTS: dict[str, BoundInfo] = {
    "plug-in": BoundInfo(plug_in, "neither", _none, _RATIO),
    "nwj": BoundInfo(nwj_of_log_ratio, "lower", _none, _RATIO),
    "donsker-varadhan": BoundInfo(donsker_varadhan, "neither", _none, f"{_RATIO} + constant"),
    "smile": BoundInfo(smile, "neither", _none, f"{_RATIO} + constant"),
}
"""Name -> scores (n, n) of a critic that aims at log r, to nats."""
