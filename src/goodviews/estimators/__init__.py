"""Estimators: how many nats two things share, measured on data.

:data:`ESTIMATORS` is the catalogue. It holds names of functions, which are imported when first
used, so that the catalogue can be read without torch.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from goodviews.interfaces import Kind

Pair = Literal["numbers", "labels", "mixed"]
"""What two variables are: both numbers, both labels, or one of each."""


@dataclass(frozen=True)
class MethodInfo:
    """One line of the catalogue: where a method is and what it can read.

    Example:
        >>> ESTIMATORS["ksg"].load().__name__
        'ksg'
    """

    place: str
    """"module:function" below goodviews.estimators; a `Method` of reading.py."""
    summary: str
    """One line."""
    kind: Kind = "neither"
    """What the number is of the truth, in expectation."""
    reads: tuple[Pair, ...] = ("numbers",)
    """What kinds of pairs it reads."""
    scale_free: bool = True
    """Whether stretching a column leaves the result as it is."""
    quick: bool = True
    """Whether it takes seconds for thousands of rows; the others train a network."""
    device: bool = False
    """Whether it runs on --device."""
    shuffles: int = 99
    """Shuffled values of the null, unless the user says otherwise."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings that make this name of a function that has several."""
    given: str = ""
    """"module:function" of I(x;y|given), the same with a third Variable; "chain" for the chain rule
    I(x;(y,given)) - I(x;given); empty: there is none."""

    def load(self, given: bool = False) -> Callable[..., Any]:
        """Import the function, or its conditional sister."""
        if given and self.given == "chain":
            return functools.partial(_function("conditional:chain_rule"), self.load())
        return _function(self.given if given else self.place)


def _function(place: str) -> Callable[..., Any]:
    module, _, name = place.partition(":")
    found: Callable[..., Any] = getattr(
        importlib.import_module(f"goodviews.estimators.{module}"), name
    )
    return found


def _critic(summary: str, kind: Kind, objective: str, read: str) -> MethodInfo:
    """A critic trained with one objective and read with another, on rows it did not see."""
    density = objective == "likelihood"
    return MethodInfo(
        "neural:neural",
        summary,
        kind=kind,
        reads=("numbers",) if density else ("numbers", "labels", "mixed"),
        quick=False,
        device=True,
        settings={"objective": objective, "read": read},
    )


ESTIMATORS: dict[str, MethodInfo] = {
    "auto": MethodInfo(
        "auto:auto",
        "Looks at the data, fits what fits it, lets held-out rows choose, and says why.",
        reads=("numbers", "labels", "mixed"),
        quick=False,
        device=True,
        given="conditional:conditional",
    ),
    "gaussian": MethodInfo(
        "copula:gaussian",
        "Gaussian copula of ranks, corrected for dimensions: linear dependence, any width.",
        given="conditional:conditional_gaussian",
    ),
    "cca": MethodInfo(
        "copula:gaussian",
        "Canonical correlations of the columns as they are, corrected for dimensions.",
        settings={"ranks": False},
    ),
    "student": MethodInfo(
        "copula:student",
        "t-copula of ranks, cross-fitted: elliptical dependence, heavy tails, any width.",
        given="chain",
    ),
    "ksg": MethodInfo(
        "neighbors:ksg",
        "k nearest neighbours of ranks (Kraskov 2004): any dependence, few dimensions.",
        reads=("numbers", "mixed"),
        given="conditional:conditional_ksg",
    ),
    "mixed": MethodInfo(
        "neighbors:mixed",
        "k nearest neighbours where numbers repeat (Gao 2017) or meet labels (Ross 2014).",
        reads=("numbers", "mixed"),
    ),
    "discrete": MethodInfo(
        "discrete:discrete",
        "Counts of labels, corrected for their number (Miller and Madow).",
        reads=("labels",),
        given="conditional:conditional_discrete",
    ),
    "denoiser": MethodInfo(
        "denoiser:denoiser",
        "Denoiser gap (diffusion): any dependence, wide numbers; minutes.",
        reads=("numbers", "mixed"),
        quick=False,
        device=True,
    ),
    "flow": MethodInfo(
        "flow:flow",
        "Difference of entropies by a normalising flow (needs the extra flow): no ceiling.",
        reads=("numbers", "mixed"),
        quick=False,
        device=True,
    ),
    "latent": MethodInfo(
        "latent:latent",
        "Neighbours between learned summaries of a few dimensions: wide numbers, at or below the "
        "truth.",
        reads=("numbers", "mixed"),
        quick=False,
        device=True,
    ),
    "neural": MethodInfo(
        "neural:neural",
        "A critic trained with NWJ, read with Donsker-Varadhan; see its settings.",
        kind="lower",
        reads=("numbers", "labels", "mixed"),
        quick=False,
        device=True,
    ),
    "infonce": _critic(
        "InfoNCE (van den Oord 2018): steady, never above log K.", "lower", "infonce", "infonce"
    ),
    "nwj": _critic("NWJ (Nguyen 2010): no ceiling, wide spread.", "lower", "nwj", "nwj"),
    "donsker-varadhan": _critic(
        "Donsker-Varadhan (MINE, Belghazi 2018): tighter than NWJ.",
        "lower",
        "donsker-varadhan",
        "donsker-varadhan",
    ),
    "mine": _critic(
        "Donsker-Varadhan trained with MINE's corrected gradient (Belghazi 2018).",
        "lower",
        "mine",
        "donsker-varadhan",
    ),
    "flo": _critic("FLO (Guo 2022): a second network takes the logarithm.", "lower", "flo", "flo"),
    "interpolated": _critic(
        "Between InfoNCE and NWJ (Poole 2019), alpha = 0.01.",
        "lower",
        "interpolated",
        "interpolated",
    ),
    "jensen-shannon": _critic(
        "Trained with Jensen-Shannon, the critic itself is read (plug-in).",
        "neither",
        "jensen-shannon",
        "plug-in",
    ),
    "smile": _critic(
        "Trained with Jensen-Shannon, read with SMILE (Song and Ermon 2020), clipped at 5.",
        "neither",
        "jensen-shannon",
        "smile",
    ),
    "anchor": _critic(
        "InfoNCE with an anchor class, the critic itself is read: high information.",
        "neither",
        "anchor",
        "plug-in",
    ),
    "club": _critic(
        "CLUB (Cheng 2020): above the truth by the lautum information, if q(y|x) fits.",
        "neither",
        "likelihood",
        "club",
    ),
    "leave-one-out": _critic(
        "Leave-one-out (Poole 2019): an upper bound if q(y|x) fits.",
        "neither",
        "likelihood",
        "leave-one-out",
    ),
}
"""Method name -> where it is and what it reads."""
