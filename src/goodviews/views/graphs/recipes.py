"""Recipes of graph views: named, strict, saved as YAML; ``recipe(data, generator)`` makes two.

``shared`` ops are drawn once, before both views; ``first`` and ``second`` are the ops of view 1 and
view 2. An op acts on what the ops before it made.

- ``grace``, ``grace-citeseer``, ``grace-pubmed``: links removed, dimensions masked, as Zhu et al.
  2020 (appendix A, table 4, and their config.yaml) for Cora, CiteSeer and PubMed. On CiteSeer's
  second and PubMed's first view one of the two is 0.
- ``gca``: removal and masking by degree (Zhu et al. 2021), with the defaults of their code (links
  .3 / .4, dimensions .1 / 0); they give none for Planetoid's graphs.
- ``mvgrl``: the graph against its PageRank diffusion, alpha 0.2 (Hassani and Khasahmadi 2020). They
  keep the whole diffusion matrix; here each node keeps its 32 largest links.
- ``graphcl``: one of node dropping, link removal, feature masking (by node) and a random-walk
  subgraph, drawn for each view, each at 0.2 (You et al. 2020, section 4; their link perturbation
  also adds as many, which their code for TU sets does not).
- ``none`` (also ``dgi``, ``infograph``, whose negatives are their own business): the graph twice.
- ``resample``, ``complete``, ``hidden-links``: ours, with GRACE's masking for Cora.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
import yaml
from torch import Generator
from torch_geometric.data import Data

from goodviews.files import write_text
from goodviews.interfaces import UserError
from goodviews.views.graphs import (
    aware_ops,
    diffusion,
    feature_ops,
    hidden,
    learned,
    link_ops,
    node_ops,
    plausible,
    spectral,
)
from goodviews.views.graphs.op import FEATURES, LINKS, GraphOp
from goodviews.views.recipes import not_known, part_of, read_recipe

__all__ = ["GRAPH_OPS", "GRAPH_RECIPES", "GraphRecipe", "OneOf"]

Views = tuple[Data, Data]
_CHAINS = ("shared", "first", "second")


@dataclass(frozen=True)
class OneOf(GraphOp):
    """One of several ops, drawn anew for each view, all equally likely (GraphCL's pool).

    A disjoint union of graphs gets the same op for all of them.

    Args:
        ops: Ops, or in YAML their entries.

    Example:
        >>> OneOf(({"drop_nodes": {"p": 0.1}}, "remove_links")).ops[0].p
        0.1
    """

    ops: tuple[GraphOp, ...] = ()
    name: ClassVar[str] = "one_of"
    dial: ClassVar[str] = "ops"
    reads: ClassVar[frozenset[str]] = LINKS | FEATURES
    changes: ClassVar[frozenset[str]] = LINKS | FEATURES

    def __post_init__(self) -> None:
        """Make ops of entries."""
        ready = tuple(op if isinstance(op, GraphOp) else _make_op(op) for op in self.ops)
        if not ready:
            raise UserError("one_of.ops: empty. Name at least one op.")
        object.__setattr__(self, "ops", ready)

    @property
    def strength(self) -> float:
        """The mean strength of the ops."""
        return sum(op.strength for op in self.ops) / len(self.ops)

    def prepare(self, data: Data) -> tuple[Any, ...]:
        """What each op prepares."""
        return tuple(None if op.idle else op.prepare(data) for op in self.ops)

    def apply(self, data: Data, prepared: Any, generator: Generator | None) -> Data:
        """Draw an op, then its view."""
        which = int(torch.randint(len(self.ops), (), generator=generator))
        op = self.ops[which]
        return op(data, generator) if op.idle else op.apply(data, prepared[which], generator)


GRAPH_OPS: dict[str, type[GraphOp]] = {
    op.name: op
    for op in (
        feature_ops.MaskFeatures,
        feature_ops.ShuffleAttributes,
        feature_ops.AttributeNoise,
        link_ops.RemoveLinks,
        link_ops.AddLinks,
        link_ops.RewireLinks,
        node_ops.DropNodes,
        node_ops.RandomWalkSubgraph,
        diffusion.PersonalisedPageRank,
        diffusion.HeatDiffusion,
        aware_ops.RemoveUnimportant,
        aware_ops.MaskUnimportant,
        aware_ops.RemoveBetween,
        aware_ops.RemoveUnshared,
        plausible.CompleteTriads,
        plausible.ResampleLinks,
        hidden.HideLinks,
        spectral.SpectralSplit,
        learned.LearnedDrop,
        OneOf,
    )
}
"""Name in a recipe -> op."""


def _make_op(entry: object) -> GraphOp:
    """An op from ``name`` or ``{name: {key: value}}``."""
    return part_of("op", GRAPH_OPS, entry)


def _plain(op: GraphOp) -> dict[str, Any]:
    """The settings that differ from the defaults, as YAML knows them."""
    if isinstance(op, OneOf):
        return {op.name: {"ops": [_plain(part) for part in op.ops]}}
    fields = dataclasses.fields(op)  # type: ignore[arg-type]
    values = {field.name: getattr(op, field.name) for field in fields}
    default = {field.name: field.default for field in fields}
    return {op.name: {key: value for key, value in values.items() if value != default[key]}}


class _Chain:
    """Ops bound to a graph: what an op reads that no op before it changed is prepared once."""

    def __init__(self, ops: Sequence[GraphOp], data: Data, changed: frozenset[str]) -> None:
        self.steps: list[tuple[GraphOp, bool, Any]] = []
        for op in ops:
            if op.idle:
                continue
            once = not op.reads & changed
            self.steps.append((op, once, op.prepare(data) if once else None))
            changed = changed | op.changes
        self.changed = changed

    def __call__(self, data: Data, generator: Generator | None) -> Data:
        for op, once, prepared in self.steps:
            ready = prepared if once else op.prepare(data)
            data = op.apply(data, ready, generator)
        return data if self.steps else copy.copy(data)


@dataclass(frozen=True)
class GraphRecipe:
    """How two views are made of a graph, or of a disjoint union of graphs.

    Args:
        name: What tables call it.
        first: Ops of view 1.
        second: Ops of view 2.
        shared: Ops drawn once for both views, before the others.

    Example:
        >>> data = Data(x=torch.ones(3, 4), edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
        >>> v1, v2 = GraphRecipe.load("grace")(data, torch.Generator().manual_seed(0))
        >>> v1.x.shape, v2.x.shape
        (torch.Size([3, 4]), torch.Size([3, 4]))
    """

    name: str = "custom"
    first: tuple[GraphOp, ...] = ()
    second: tuple[GraphOp, ...] = ()
    shared: tuple[GraphOp, ...] = ()

    def __call__(self, data: Data, generator: Generator | None = None) -> Views:
        """Two views of a graph; each has its n nodes in the same order."""
        return self.bind(data)(generator)

    def bind(self, data: Data) -> Callable[[Generator | None], Views]:
        """The views of this graph as a function of the generator alone.

        What can be computed once is: diffusion, communities, centralities, as long as no op before
        changes what they are computed of.

        Example:
            >>> data = Data(x=torch.ones(2, 1), edge_index=torch.tensor([[0, 1], [1, 0]]))
            >>> draw = GraphRecipe.load("mvgrl").bind(data)
            >>> draw(None)[1].edge_weight.shape
            torch.Size([2])
        """
        shared = _Chain(self.shared, data, frozenset())
        first = _Chain(self.first, data, shared.changed)
        second = _Chain(self.second, data, shared.changed)

        def draw(generator: Generator | None = None) -> Views:
            start = shared(data, generator)
            return first(start, generator), second(start, generator)

        return draw

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> GraphRecipe:
        """A recipe from plain data.

        Raises:
            UserError: an unknown key, op or setting, with the nearest known one.

        Example:
            >>> GraphRecipe.from_dict({"frist": ["remove_links"]})
            Traceback (most recent call last):
            goodviews.interfaces.UserError: recipe key: 'frist' is unknown. Did you mean 'first'?
            Known: name, shared, first, second.
        """
        if not isinstance(data, Mapping):
            raise UserError(f"recipe: {data!r} is no mapping. Start from `goodviews list views`.")
        for key in data:
            if key not in ("name", *_CHAINS):
                raise not_known("recipe key", key, ("name", *_CHAINS))
        ready: dict[str, Any] = {"name": str(data.get("name", "custom"))}
        for key in _CHAINS:
            entries = data.get(key) or ()
            if isinstance(entries, (str, Mapping)) or not isinstance(entries, Sequence):
                raise UserError(f"recipe {key}: {entries!r} is no list. Put a `-` before each op.")
            ready[key] = tuple(_make_op(entry) for entry in entries)
        return cls(**ready)

    def to_dict(self) -> dict[str, Any]:
        """Plain data that :meth:`from_dict` reads back; defaults are left out."""
        chains = {key: [_plain(op) for op in getattr(self, key)] for key in _CHAINS}
        return {"name": self.name, **{key: chain for key, chain in chains.items() if chain}}

    @classmethod
    def load(cls, source: str | Path | Mapping[str, Any] | GraphRecipe) -> GraphRecipe:
        """A recipe by catalogue name, from a YAML file, or from plain data.

        Raises:
            UserError: no such name or file, or a file that says something else.
        """
        if isinstance(source, GraphRecipe):
            return source
        if isinstance(source, Mapping):
            return cls.from_dict(source)
        known = str(source).lower().replace("_", "-")
        if known in GRAPH_RECIPES:
            return GRAPH_RECIPES[known]
        return cls.from_dict(_located(read_recipe(source, GRAPH_RECIPES), Path(source).parent))

    def save(self, path: str | Path) -> None:
        """Write the recipe as YAML, atomically."""
        text = yaml.safe_dump(self.to_dict(), sort_keys=False, default_flow_style=None)
        write_text(path, text)


def _located(part: Any, folder: Path) -> Any:
    """Plain data with the paths of learned ops seen from the recipe's folder."""
    if isinstance(part, list):
        return [_located(entry, folder) for entry in part]
    if not isinstance(part, Mapping):
        return part
    found = {key: _located(value, folder) for key, value in part.items()}
    own = found.get(learned.LearnedDrop.name)
    if isinstance(own, dict) and isinstance(own.get("path"), str) and own["path"]:
        own["path"] = str(folder / own["path"])
    return found


def _grace(links: float, features: float) -> list[dict[str, Any]]:
    return [{"remove_links": {"p": links}}, {"mask_features": {"p": features}}]


def _gca(links: float, features: float) -> list[dict[str, Any]]:
    # features first: both are then weighted by the degrees of the whole graph
    return [{"mask_unimportant": {"p": features}}, {"remove_unimportant": {"p": links}}]


def _ours(op: str, features: float) -> list[dict[str, Any]]:
    return [{op: {"p": 0.3}}, {"mask_features": {"p": features}}]


_POOL: dict[str, Any] = {
    "one_of": {
        "ops": [
            {"drop_nodes": {"p": 0.2}},
            {"remove_links": {"p": 0.2}},
            {"mask_features": {"p": 0.2, "by": "node"}},
            {"random_walk_subgraph": {"p": 0.2}},
        ]
    }
}

_RECIPES: dict[str, dict[str, Any]] = {
    "none": {},
    "grace": {"first": _grace(0.2, 0.3), "second": _grace(0.4, 0.4)},
    "grace-citeseer": {"first": _grace(0.2, 0.3), "second": _grace(0.0, 0.2)},
    "grace-pubmed": {"first": _grace(0.4, 0.0), "second": _grace(0.1, 0.2)},
    "gca": {"first": _gca(0.3, 0.1), "second": _gca(0.4, 0.0)},
    "mvgrl": {"second": [{"personalised_page_rank": {"alpha": 0.2}}]},
    "graphcl": {"first": [_POOL], "second": [_POOL]},
    "dgi": {},
    "infograph": {},
    "resample": {
        "first": _ours("resample_links", 0.3),
        "second": _ours("resample_links", 0.4),
    },
    "complete": {
        "first": _grace(0.2, 0.3),
        "second": _ours("complete_triads", 0.4),
    },
    "hidden-links": {
        "shared": [{"hide_links": {"p": 0.5}}],
        "first": [{"mask_features": {"p": 0.3}}],
        "second": [{"mask_features": {"p": 0.4}}],
    },
}

GRAPH_RECIPES: dict[str, GraphRecipe] = {
    name: GraphRecipe.from_dict({"name": name, **plain}) for name, plain in _RECIPES.items()
}
