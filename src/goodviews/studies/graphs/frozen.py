"""Trained encoders of graphs on disk: safetensors for the weights, JSON for what they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from goodviews.data.graphs import LoadedGraphs
from goodviews.files import write_atomic
from goodviews.interfaces import UserError, check_name
from goodviews.methods.graphs import GRAPH_METHODS, GRAPH_PRESETS, GraphMethod, GraphPreset
from goodviews.studies.folder import plain, read_json, write_json
from goodviews.studies.graphs.tasks import Hard
from goodviews.training.graphs import GraphSettings
from goodviews.views.graphs import GRAPH_RECIPES, GraphRecipe, MaskFeatures, RemoveLinks

CARD, WEIGHTS = "graph.json", "encoder.safetensors"


@dataclass(frozen=True)
class GraphDesign:
    """What a graph method is made of: enough to build it again, untrained, from a seed."""

    method: str
    encoder: str
    in_channels: int
    recipe: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)

    def build(self, seed: int) -> GraphMethod:
        """The method with weights drawn from ``seed``."""
        views = GraphRecipe.from_dict(self.recipe) if self.recipe else None
        encoder = self.encoder or "gcn"
        return GRAPH_METHODS[self.method](
            views, encoder, self.in_channels, seed=seed, **self.options
        )


def save_graph(
    method: GraphMethod,
    design: GraphDesign,
    out: Path,
    loaded: LoadedGraphs,
    task: str,
    seed: int,
    hard: Hard,
) -> None:
    """Weights as safetensors, and what they are as JSON; nothing is pickled."""
    weights = {name: value.cpu().contiguous() for name, value in method.state_dict().items()}
    write_atomic(out / WEIGHTS, lambda path: save_file(weights, path))
    write_json(
        out / CARD,
        {
            "format": 1,
            "method": design.method,
            "encoder": design.encoder,
            "in_channels": design.in_channels,
            "recipe": design.recipe,
            "options": plain(design.options),
            "task": task,
            "hard": hard,
            "seed": seed,
            "data": loaded.name,
        },
    )


def load_graph_run(run: str | Path) -> GraphMethod:
    """The trained method of a run, frozen: called on a graph it gives node vectors (n, d).

    Raises:
        UserError: no such run, or weights that do not fit it.
    """
    card = load_card(run)
    made = design_of(card).build(int(card["seed"]))
    weights = load_file(Path(run) / WEIGHTS)
    late = {k: v for k, v in weights.items() if k not in made.state_dict()}
    if late or set(made.state_dict()) - set(weights):
        raise UserError(f"{run}: its weights are not those of {card['method']}. Train it again.")
    made.load_state_dict(weights)
    return made.eval().requires_grad_(False)


def load_card(run: str | Path) -> dict[str, Any]:
    """The graph.json of a run.

    Raises:
        UserError: there is none.
    """
    path = Path(run) / CARD
    if not path.is_file():
        raise UserError(f"{run}: holds no encoder of graphs. Name a folder of `goodviews train`.")
    found: dict[str, Any] = read_json(path)
    return found


def design_of(card: Mapping[str, Any]) -> GraphDesign:
    """What the encoder of a run is made of."""
    keys = ("method", "encoder", "in_channels", "recipe", "options")
    return GraphDesign(**{key: card[key] for key in keys})


def preset_of(method: str | None, preset: str | None, data: str) -> GraphPreset:
    """The preset named, else the method's own for these data, else its general one."""
    if preset is not None:
        check_name("--preset", preset, GRAPH_PRESETS)
        found = GRAPH_PRESETS[preset]
        return found if method is None else replace(found, method=method)
    name = method or "grace"
    check_name("METHOD", name, GRAPH_METHODS)
    for key in (f"{name}-{data}", name):
        if key in GRAPH_PRESETS:
            return GRAPH_PRESETS[key]
    return replace(GRAPH_PRESETS["infograph"], method=name)


def designed(
    entry: GraphPreset, encoder: str | None, in_channels: int, views: GraphRecipe | None = None
) -> GraphDesign:
    """What a preset makes of features of this width; its usual views where none are given."""
    recipe = views or usual_views(entry)
    return GraphDesign(
        entry.method,
        encoder or entry.encoder,
        in_channels,
        plain(recipe.to_dict()) if recipe else {},
        dict(entry.options),
    )


def settings_of(entry: GraphPreset, seed: int, device: str, **own: Any) -> GraphSettings:
    """A preset's settings with the user's own, for a run of a study: nothing is written."""
    given = {**entry.settings, **{k: v for k, v in own.items() if v is not None}}
    more: dict[str, Any] = {"seed": seed, "device": device, "log": ()}
    return GraphSettings(**given, **more, evaluate_every=0).check()


def usual_views(entry: GraphPreset) -> GraphRecipe | None:
    """The published views of a preset, or those of its method; None where it has none.

    Example:
        >>> usual_views(GraphPreset("dgi")) is None
        True
    """
    if entry.views:
        first, second = (
            (RemoveLinks(links), MaskFeatures(features))
            for links, features in zip(entry.views["links"], entry.views["features"], strict=True)
        )
        return GraphRecipe(entry.method, first=first, second=second)
    usual = GRAPH_RECIPES.get(entry.method, GraphRecipe())
    return usual if usual.shared or usual.first or usual.second else None
