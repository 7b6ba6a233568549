"""Graphs on the command line: their options, and the way from a verb to the studies of graphs.

Imports nothing heavy; torch_geometric is the optional extra ``graph``.
"""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from goodviews.cli.nouns import Option, Verb
from goodviews.interfaces import UserError

METHODS = ("grace", "dgi", "infograph", "mvgrl", "graphcl", "gae", "vgae", "node2vec")
"""Methods of `goodviews train` that learn from graphs."""
CARD = "graph.json"
"""What the folder of such a run holds."""

TASK = Option(
    "task",
    Literal["links", "nodes", "graphs"] | None,
    None,
    "DATA is a graph, or a set of graphs: what it shall be good for; none: images",
    "",
    "data",
)
FEATURES = Option(
    "features",
    str | None,
    None,
    "graphs: .npz, .npy, .csv of node features; structural, positional(:64): made of links",
    "FILE",
    "data",
)
HARD = Option(
    "hard",
    Literal["neighbours", "degree"] | None,
    None,
    "graphs: pairs without link that resemble links; none: any pairs",
    "",
    "data",
)
GRAPH = (TASK, FEATURES, HARD)


def needed() -> None:
    """Refuse in one line where torch_geometric is missing.

    Raises:
        UserError: with the command that installs it.
    """
    if importlib.util.find_spec("torch_geometric") is None:
        raise UserError('graphs: need torch_geometric. Run: pip install "goodviews[graph]"')


def asked(options: Mapping[str, Any], verb: Verb) -> bool:
    """Whether the words are about a graph; an option of graphs alone needs ``--task``.

    Raises:
        UserError: ``--features`` or ``--hard`` without ``--task``.
    """
    if options.get("task"):
        needed()
        return True
    for option in (FEATURES, HARD):
        if options.get(option.name):
            raise UserError(f"{option.flag}: is for graphs. Add --task links, nodes or graphs.")
    return False


def of_graphs(run: str | Path) -> bool:
    """Whether a folder is the run of a graph method."""
    return (Path(run) / CARD).is_file()


def arguments(
    options: Mapping[str, Any], verb: Verb, function: Callable[..., Any]
) -> dict[str, Any]:
    """What was said, as arguments; what nobody said is left to the function.

    Raises:
        UserError: an option that means nothing on graphs.
    """
    known = inspect.signature(function).parameters
    said = {
        name: value
        for name, value in options.items()
        if value is not None and value != verb.option(name).default
    }
    for name in said:
        if name not in known:
            flags = [verb.option(key).flag for key in known if key in options]
            raise UserError(
                f"{verb.option(name).flag}: means nothing on graphs. Known: {', '.join(flags)}."
            )
    return said
