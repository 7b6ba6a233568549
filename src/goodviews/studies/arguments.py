"""A run's arguments as plain values: config.yaml, and what a resumed run may not change."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from goodviews.interfaces import UserError
from goodviews.studies.folder import plain, quoted
from goodviews.training import TrainSettings
from goodviews.training.settings import differences
from goodviews.views import RECIPES, Recipe

OPTIONS = {
    "temperature": "temperature",
    "projection_dim": "projection_dim",
    "critic": "critic",
    "bound": "bound",
    "score_clip": "clip",
    "penalty": "penalty",
    "pairs": "pairs",
    "mixture": "mixture",
    "alpha": "alpha",
    "tau": "tau",
    "n_views": "n_views",
    "memory": "memory",
    "negatives": "negatives",
    "jigsaw": "jigsaw",
    "jigsaw_weight": "jigsaw_weight",
    "head": "head",
    "loss": "loss",
    "momentum_encoder": "momentum_encoder",
    "bank_momentum": "bank_momentum",
}
"""Arguments that are the method's own -> their names there."""

ONLINE = ("amdim", "dim")
"""Methods that train linear and MLP probes beside the encoder, where there are labels."""

LOADING = (
    "labels",
    "data_root",
    "download",
    "image_size",
    "strict",
    "test_fraction",
    "seed",
    "max_images",
)
"""Arguments that go to data.load."""

PLACES = frozenset({"out", "data_root", "download", "probes", "baseline_seeds"})
"""Arguments that a resumed run may change besides those of training.settings.FREE."""


def config_of(given: Mapping[str, Any], recipe: Recipe) -> dict[str, Any]:
    """The arguments as plain values; a recipe from a file is written out in full."""
    values = dict(given)
    named = isinstance(values["views"], str) and recipe in RECIPES.values()
    values["views"] = recipe.name if named else recipe.to_dict()
    for name in ("data", "labels"):
        if not isinstance(values[name], str | Path | None):
            values[name] = f"(given in Python: {type(values[name]).__name__})"
    values["log"] = list(log_names(values["log"]))
    config: dict[str, Any] = plain(values)
    return config


def log_names(log: Sequence[str] | str) -> tuple[str, ...]:
    """The loggers of ("csv", "tensorboard"), "csv,tensorboard" or "none"."""
    names = log.split(",") if isinstance(log, str) else log
    return tuple(name.strip() for name in names if name.strip() not in ("", "none"))


def without_places(config: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that change what is learned, or how it is trained."""
    return {name: value for name, value in config.items() if name not in PLACES}


def what_is_trained(config: Mapping[str, Any]) -> dict[str, Any]:
    """What fit shall compare on resumption beside its own settings."""
    own = {f.name for f in fields(TrainSettings)}
    return {name: value for name, value in without_places(config).items() if name not in own}


def check_unchanged(path: Path, config: Mapping[str, Any]) -> None:
    """Refuse to go on with the run of the config.yaml at ``path`` under another ``config``.

    Raises:
        UserError: an argument that changes what is learned differs.
    """
    before = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    lines = differences(without_places(before), without_places(config))
    if lines:
        raise UserError(
            f"{path.parent}: --resume with changed settings: {'; '.join(lines)}. "
            f"Give the old values (--config {quoted(path)}), or choose another --out."
        )


def fewer_negatives(options: Mapping[str, Any], method: object) -> list[str]:
    """A line where the method has fewer negatives than its options ask for: too few images."""
    asked, found = options.get("negatives"), getattr(method, "negatives", None)
    if not asked or not found or found >= asked:
        return []
    return [f"--negatives: {asked} are more than the {found} training images; {found} are used"]


def settings_of(given: Mapping[str, Any], *, streamed: bool) -> TrainSettings:
    """The part of the arguments that training reads; ``streamed``: images are read from files."""
    names = {f.name for f in fields(TrainSettings)} & set(given)
    values = {name: given[name] for name in names if given[name] is not None}
    if values["workers"] == "auto":
        values["workers"] = min(4, os.cpu_count() or 1) if streamed else 0
    values["milestones"] = tuple(values.get("milestones", ()))
    return TrainSettings(**{**values, "log": log_names(values["log"])})


def method_options(given: Mapping[str, Any], classes: int) -> dict[str, Any]:
    """The method's own options among the arguments; ``classes``: of the labels, 0 for none.

    Example:
        >>> found = method_options({"method": "amdim", "score_clip": 20.0, "pairs": None}, 10)
        >>> found
        {'clip': 20.0, 'classes': 10}
    """
    options = {to: given[name] for name, to in OPTIONS.items() if given.get(name) is not None}
    if options.get("clip") == 0:
        options["clip"] = None
    if given["method"] in ONLINE and classes:
        options["classes"] = classes
    return options
