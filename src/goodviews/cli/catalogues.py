"""``goodviews list KIND``: the catalogues, one line an entry."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from goodviews.cli.graphs import needed
from goodviews.cli.options import KINDS
from goodviews.interfaces import check_name


def lines(kind: str) -> list[str]:
    """Name and one-line description of each entry of a catalogue.

    Raises:
        UserError: for an unknown kind, with the nearest one.

    Example:
        >>> lines("bounds")[0]
        'infonce           lower bound, ceiling log K; best critic log p(y|x)/p(y) + c(x)'
    """
    check_name("list", kind, KINDS)
    entries = _READERS[kind]()
    width = max(len(name) for name in entries) + 3
    return [f"{name:<{width}} {text}" for name, text in entries.items()]


def _methods() -> dict[str, str]:
    from goodviews.methods import METHODS

    return {name: _first_line(method) for name, method in METHODS.items()}


def _presets() -> dict[str, str]:
    from goodviews.studies.presets import DEFAULT, PRESETS

    found = {}
    for name, preset in PRESETS.items():
        chosen = " (the method's own)" if name in DEFAULT.values() else ""
        chosen = " (as published)" if name.endswith("-paper") else chosen
        found[name] = (
            f"{preset['method']}{chosen}: {preset['encoder']}, views {preset['views']}, "
            f"{preset['epochs']} epochs, batch {preset['batch_size']}, "
            f"{preset['optimizer']} lr {preset['lr']:g}, {preset['schedule']}."
        )
    return found


def _encoders() -> dict[str, str]:
    import torch

    from goodviews.encoders import ENCODERS

    found = {}
    for name, make in ENCODERS.items():
        pixels = getattr(make, "input_size", 32)
        with torch.device("meta"):  # shapes only: no memory for the weights
            encoder = make(3, (pixels, pixels))
        size = sum(weight.numel() for weight in encoder.parameters()) / 1e6
        text = f"{encoder.dim} dimensions, {size:.3g} M weights at {pixels} x {pixels} pixels."
        found[name] = f"{_first_line(encoder)} {text}"
    others = {
        "timm/NAME": "Any backbone of timm (optional extra), random weights.",
        "multiscale/NAME": "Any of timm's that gives feature maps, with AMDIM's f1, f5 and f7.",
    }
    return {**found, **others}


def _views() -> dict[str, str]:
    from goodviews.views import RECIPES

    return {name: _recipe(recipe.to_dict()) for name, recipe in RECIPES.items()}


def _recipe(plain: Mapping[str, Any]) -> str:
    """The ops of a recipe, by name."""
    parts = []
    for key in ("shared", "ops", "second", "split"):
        entries = plain.get(key) or []
        names = [name for entry in ([entries] if key == "split" else entries) for name in entry]
        if names:
            title = {"ops": "", "split": "split "}.get(key, f"{key}: ")
            parts.append(title + ", ".join(names))
    size = f" at {plain['size']} pixels" if plain.get("size") else ""
    return ("; ".join(parts) or "the images as they are") + size


def _families() -> dict[str, str]:
    from goodviews.views import FAMILIES

    found = {}
    for name, family in FAMILIES.items():
        unit = f" [{family.unit}]" if family.unit else ""
        found[name] = f"dial: {family.dial}{unit}. {family.description}"
    return found


def _critics() -> dict[str, str]:
    from goodviews.critics import CRITICS

    made = {name: make(16) for name, make in CRITICS.items()}
    return {name: _first_line(getattr(part, "critic", part)) for name, part in made.items()}


def _bounds() -> dict[str, str]:
    from goodviews.bounds import BOUNDS

    found = {}
    for name, bound in BOUNDS.items():
        shown = _ceiling(bound.ceiling)
        kind = "neither a lower nor an upper" if bound.kind == "neither" else bound.kind
        found[name] = f"{kind} bound, ceiling {shown}; best critic {bound.optimal_critic}"
    return found


def _ceiling(of: Callable[[int], float]) -> str:
    """A ceiling in words: none, a number, or log K and something.

    Example:
        >>> _ceiling(math.log), _ceiling(lambda k: math.log(k) + 1), _ceiling(lambda k: 0.5)
        ('log K', 'log K + 1', '0.5 nats')
    """
    low, high = of(10_000), of(1_000_000)
    if math.isinf(high):
        return "none"
    if high - low < 1:
        return f"{high:.3g} nats"
    more = high - math.log(1_000_000)
    return "log K" if more < 0.005 else f"log K + {more:.3g}"


def _studies() -> dict[str, str]:
    from goodviews.studies.catalogue import GRAPH_SUMMARIES, STUDIES

    found = {n: getattr(s, "summary", "") or _first_line(s) for n, s in STUDIES.items()}
    return found | GRAPH_SUMMARIES


def _estimators() -> dict[str, str]:
    from goodviews.estimators import ESTIMATORS

    kinds = {"lower": " Lower bound.", "upper": " Upper bound.", "neither": ""}
    return {
        name: f"{info.summary}{kinds[info.kind]} Reads "
        + ("anything." if len(info.reads) == 3 else f"{' or '.join(info.reads)}.")
        for name, info in ESTIMATORS.items()
    }


def _data() -> dict[str, str]:
    from goodviews.data.catalogue import DATA

    others = {
        "FOLDER": "your images: flat, nested or in class sub-folders",
        "FILE.npz": "arrays: images NHWC or NCHW uint8, labels if there are any",
        "hf:NAME": "a set of the Hugging Face hub (optional extra)",
    }
    return {**DATA, **others}


def _graphs() -> dict[str, str]:
    needed()
    from goodviews.data.graphs import named_graphs

    others = {
        "FILE or FOLDER": "your links: .csv, .parquet, .mat, .graphml or .npz, features, labels",
    }
    return {**named_graphs(), **others}


def _graph_methods() -> dict[str, str]:
    needed()
    from goodviews.methods.graphs import GRAPH_METHODS

    return {name: _first_line(method) for name, method in GRAPH_METHODS.items()}


def _graph_views() -> dict[str, str]:
    needed()
    from goodviews.views.graphs import GRAPH_RECIPES

    found = {}
    for name, recipe in GRAPH_RECIPES.items():
        plain = recipe.to_dict()
        parts = [
            f"{key}: {', '.join(word for entry in plain[key] for word in entry)}"
            for key in ("shared", "first", "second")
            if plain.get(key)
        ]
        found[name] = "; ".join(parts) or "the graph as it is"
    return found


def _graph_families() -> dict[str, str]:
    needed()
    from goodviews.views.graphs import GRAPH_FAMILIES

    return {name: f"dial: {f.dial}. {f.words}" for name, f in GRAPH_FAMILIES.items()}


def _first_line(thing: object) -> str:
    """The first line of a docstring."""
    return (thing.__doc__ or "").strip().splitlines()[0] if thing.__doc__ else ""


_READERS = {
    "methods": _methods,
    "presets": _presets,
    "encoders": _encoders,
    "views": _views,
    "families": _families,
    "critics": _critics,
    "bounds": _bounds,
    "estimators": _estimators,
    "studies": _studies,
    "data": _data,
    "graphs": _graphs,
    "graph-methods": _graph_methods,
    "graph-views": _graph_views,
    "graph-families": _graph_families,
}
