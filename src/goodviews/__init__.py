"""goodviews: choose, learn, train on and measure the views of self-supervised learning.

The names below load on first use, so that ``import goodviews`` is quick and changes nothing.

Example:
    >>> import goodviews
    >>> goodviews.train.__module__
    'goodviews.studies.runs'
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from goodviews.estimators.estimate import compare, estimate
    from goodviews.estimators.fitted import MutualInformation
    from goodviews.interfaces import UserError
    from goodviews.studies.catalogue import study
    from goodviews.studies.choose import choose
    from goodviews.studies.embedding import embed
    from goodviews.studies.evaluate import evaluate
    from goodviews.studies.frozen import load
    from goodviews.studies.pages import write_report
    from goodviews.studies.runs import train
    from goodviews.studies.view_encoder import ViewEncoder

_PLACES = {
    "choose": "goodviews.studies.choose",
    "study": "goodviews.studies.catalogue",
    "train": "goodviews.studies.runs",
    "evaluate": "goodviews.studies.evaluate",
    "estimate": "goodviews.estimators.estimate",
    "compare": "goodviews.estimators.estimate",
    "MutualInformation": "goodviews.estimators.fitted",
    "embed": "goodviews.studies.embedding",
    "load": "goodviews.studies.frozen",
    "write_report": "goodviews.studies.pages",
    "ViewEncoder": "goodviews.studies.view_encoder",
    "UserError": "goodviews.interfaces",
}

__version__ = "0.1.0"

__all__ = [
    "MutualInformation",
    "UserError",
    "ViewEncoder",
    "__version__",
    "choose",
    "compare",
    "embed",
    "estimate",
    "evaluate",
    "load",
    "study",
    "train",
    "write_report",
]


def __getattr__(name: str) -> Any:
    """Import the part that holds ``name`` when it is first asked for."""
    if name not in _PLACES:
        raise AttributeError(f"module 'goodviews' has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
