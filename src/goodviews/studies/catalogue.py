"""The studies by name: ``goodviews study NAME``."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

from goodviews.interfaces import UserError, check_name
from goodviews.studies.amdim_ablation import amdim_ablation
from goodviews.studies.doubts import EXPERIMENTS
from goodviews.studies.infomin.augmentation import CROP, JITTER
from goodviews.studies.infomin.color_spaces import COLOR_SPACES
from goodviews.studies.infomin.frequency import FREQUENCY
from goodviews.studies.infomin.known import regimes_study
from goodviews.studies.infomin.learned_views import LEARNED_VIEWS
from goodviews.studies.infomin.methods import VIEW_METHODS
from goodviews.studies.infomin.patch_distance import PATCH_DISTANCE
from goodviews.studies.infomin.shared_factors import shared_factors

SWEEPS = (PATCH_DISTANCE, COLOR_SPACES, FREQUENCY, CROP, JITTER, VIEW_METHODS)
STUDIES: dict[str, Callable[..., Any]] = {
    "amdim-ablation": amdim_ablation,
    **EXPERIMENTS,
    **{sweep.name: sweep for sweep in SWEEPS},
    "regimes": regimes_study,
    LEARNED_VIEWS.name: LEARNED_VIEWS,
    "shared-factors": shared_factors,
}
"""Name -> function of the data and options."""
GRAPH_STUDIES = {
    "graph-views": ("goodviews.studies.graphs.views", "graph_views"),
    "graph-methods": ("goodviews.studies.graphs.methods", "graph_methods"),
    "missing-links": ("goodviews.studies.graphs.missing", "missing_links"),
}
"""Name -> module and function: they need the extra ``graph``, so that they load when asked for."""
GRAPH_SUMMARIES = {
    "graph-views": "Graphs: views along their dials, for links and for nodes",
    "graph-methods": "Graphs: GRACE, DGI, InfoGraph ... as published, beside what was published",
    "missing-links": "Graphs: hide 10 to 90 % of the links, and score what was hidden",
}

USUAL = {"download": False, "strict": False, "device": "auto", "precision": "auto"}
"""What the command line says where nobody says anything: a study without them may ignore it."""


def study(name: str, data: str | None = None, **options: Any) -> Any:
    """Run a named study; run it again to go on where it was.

    Args:
        name: a key of :data:`STUDIES`.
        data: what it is made on, see :func:`goodviews.data.load`; None: the study's own.
        options: of that study, for example of
            :func:`goodviews.studies.amdim_ablation.amdim_ablation` or
            :class:`goodviews.studies.doubts.experiment.Experiment`; those that are None are its
            own.

    Returns:
        What the study returns.

    Raises:
        UserError: for an unknown name, or what the study itself refuses.

    Example:
        >>> study("ablation", "digits")
        Traceback (most recent call last):
        goodviews.interfaces.UserError: study: unknown 'ablation'. Did you mean 'amdim-ablation'?
    """
    check_name("study", name, (*STUDIES, *GRAPH_STUDIES))
    function = STUDIES.get(name) or _graph_study(name)
    known = inspect.signature(function).parameters
    given = {key: value for key, value in {"data": data, **options}.items() if value is not None}
    for key in list(given):
        if key not in known and given[key] == USUAL.get(key):
            del given[key]
        elif key not in known:
            flag = key.replace("_", "-")
            raise UserError(f"--{flag}: {name} has no such option. See `goodviews study --help`.")
    if "data" not in given and known["data"].default is inspect.Parameter.empty:
        raise UserError(f"DATA is missing. {name} needs images, for example --data cifar10.")
    return function(**given)


def _graph_study(name: str) -> Callable[..., Any]:
    module, function = GRAPH_STUDIES[name]
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    except ModuleNotFoundError as error:
        if "torch_geometric" not in str(error):
            raise
        raise UserError(
            f'study {name}: needs torch_geometric. Run: pip install "goodviews[graph]"'
        ) from error
    return found
