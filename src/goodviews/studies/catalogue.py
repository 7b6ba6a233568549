"""The studies by name: ``goodviews study NAME``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from goodviews.interfaces import check_name
from goodviews.studies.amdim_ablation import Ablation, amdim_ablation

STUDIES: dict[str, Callable[..., Ablation]] = {"amdim-ablation": amdim_ablation}
"""Name -> function of the data and options."""


def study(name: str, data: str, **options: Any) -> Ablation:
    """Run a named study; run it again to go on where it was.

    Args:
        name: a key of :data:`STUDIES`.
        data: what it is made on, see :func:`goodviews.data.load`.
        options: of that study, for example :func:`goodviews.studies.amdim_ablation.amdim_ablation`.

    Returns:
        What the study returns.

    Raises:
        UserError: for an unknown name, or what the study itself refuses.

    Example:
        >>> study("ablation", "digits")
        Traceback (most recent call last):
        goodviews.interfaces.UserError: study: unknown 'ablation'. Did you mean 'amdim-ablation'?
    """
    check_name("study", name, STUDIES)
    return STUDIES[name](data, **options)
