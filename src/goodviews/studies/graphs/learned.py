"""Views of a graph that are learned: which links and features to drop, down to a budget in nats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch_geometric.data import Data

from goodviews.data.graphs import links_of, load_graphs
from goodviews.interfaces import UserError, check_name
from goodviews.methods.graphs.view_learning import graph_view_game
from goodviews.studies.folder import command_line, disk_guard, environment, write_json, write_yaml
from goodviews.studies.graphs.tasks import single
from goodviews.training.graphs import GraphSettings, fit_graphs
from goodviews.views.graphs import GraphRecipe
from goodviews.views.graphs.learned import LinkDropper

LEARNED = "learned"
"""Its name in ``--families``: its values are budgets in nats."""
OBJECTIVES = ("unsupervised", "semi-supervised")


@dataclass(frozen=True)
class Learned:
    """A learned dropper as a recipe, and what is known of it."""

    recipe: GraphRecipe
    nats: float
    """I_NCE of the last training step, nats."""
    drop_links: float
    drop_features: float
    """Mean probabilities of being dropped."""
    dropper: LinkDropper


def learned_recipe(
    graph: Data,
    budget: float | None,
    *,
    objective: str = "semi-supervised",
    encoder: str = "gcn",
    dim: int = 128,
    temperature: float = 0.5,
    epochs: int = 100,
    lr: float = 1e-3,
    seed: int = 0,
    device: str = "auto",
) -> Learned:
    """Train a dropper against GRACE's encoder on a graph, and freeze it as a recipe.

    The dropper lowers I_NCE(v1;v2) to ``budget`` nats, the encoder raises it; semi-supervised, a
    judge of links that are hidden anew each step keeps what they need. Of a graph with hidden test
    links give the message graph alone.

    Args:
        graph: what training may see.
        budget: nats at which the dropper stops; None: never.
        objective: of :data:`OBJECTIVES`.
        encoder: name in :data:`goodviews.encoders.graphs.GRAPH_ENCODERS`.
        dim: width of its node vectors.
        temperature: of the cosine critic.
        epochs: steps, a quarter of them before the dropper's first.
        lr: of Adam.
        seed: of weights, views and hidden links.
        device: "auto", "cpu", "cuda" or "mps".

    Example:
        >>> from goodviews.data.graphs import stochastic_blocks
        >>> made = learned_recipe(stochastic_blocks(40, 2, 0.3, 0.05).data, 1.0, epochs=4, dim=8)
        >>> made.recipe.name, 0 < made.drop_links < 1
        ('learned=1', True)
    """
    check_name("--objective", objective, OBJECTIVES)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        dropper = LinkDropper(graph.x.size(1))
    game = graph_view_game(
        dropper,
        encoder,
        graph.x.size(1),
        seed=seed,
        objective=objective,
        budget=budget,
        dim=dim,
        temperature=temperature,
        warmup=epochs // 4,
    )
    settings = GraphSettings(epochs=epochs, lr=lr, seed=seed, device=device, log=())
    history = fit_graphs(game, graph, settings)
    links, features = (float(rate.detach()) for rate in dropper.drop_rates(graph))
    name = LEARNED if budget is None else f"{LEARNED}={budget:g}"
    op = dropper.to_recipe_op()
    recipe = GraphRecipe(name, first=(op,), second=(op,))
    nats = float(history[-1].get("nats_train") or float("nan"))
    return Learned(recipe, nats, links, features, dropper)


def learn_graph_views(
    data: str = "sbm",
    *,
    task: str = "links",
    objective: str = "unsupervised",
    budget_nats: float | None = None,
    encoder: str = "gcn",
    labels: str | None = None,
    features: str | None = None,
    seeds: int = 3,
    epochs: int = 100,
    lr: float = 1e-3,
    temperature: float = 0.5,
    data_root: str | None = None,
    download: bool = False,
    device: str = "auto",
    out: str | Path = "goodviews-learned",
    echo: Callable[[str], None] = print,
) -> Learned:
    """Learn which links and features of a graph to drop; writes recipe.yaml and learned.json.

    Of several seeds the one is kept that ends nearest to the budget (without one: that shares the
    least); no label is looked at. To judge learned views where links are hidden, use
    ``choose --families learned=1:2``, which learns them without the hidden links.

    Args:
        data: see :func:`goodviews.data.graphs.load_graphs`; a single graph.
        task: "links" or "nodes": only a name here, the dropper sees no labels of nodes.
        objective: "unsupervised", or "semi-supervised": links hidden at each step are kept in view.
        budget_nats: nats at which the dropper stops; None: never (may remove too much).
        encoder: name in :data:`goodviews.encoders.graphs.GRAPH_ENCODERS`.
        labels: a file of labels by node (told, not used).
        features: a file of features by node.
        seeds: droppers to learn.
        epochs: steps of a game.
        lr: of Adam.
        temperature: of the cosine critic.
        data_root: folder that holds graphs/.
        download: whether a named set may be fetched.
        device: "auto", "cpu", "cuda" or "mps".
        out: folder of the recipe, new or empty.
        echo: gets the lines.

    Raises:
        UserError: a set of graphs, or settings that cannot work.
    """
    given, out = dict(locals()), Path(out)
    if seeds < 1 or epochs < 1:
        raise UserError(f"--seeds, --epochs: {seeds}, {epochs}. Use 1 or more.")
    loaded = load_graphs(
        data, labels=labels, features=features, data_root=data_root, download=download
    )
    graph = single(loaded)
    if out.exists() and any(out.iterdir()):
        raise UserError(f"--out: {out} is not empty. Name another folder.")
    for line in loaded.lines():
        echo(line)
    found: list[Learned] = []
    for seed in range(seeds):
        found.append(
            learned_recipe(
                graph, budget_nats, objective=objective, encoder=encoder, epochs=epochs, lr=lr,
                temperature=temperature, seed=seed, device=device,
            )
        )  # fmt: skip
        made = found[-1]
        echo(
            f"[{seed + 1}/{seeds}] {made.nats:.2f} nats, drops {made.drop_links:.0%} of the links "
            f"and {made.drop_features:.0%} of the features"
        )
    goal = 0.0 if budget_nats is None else budget_nats
    best = min(found, key=lambda made: abs(made.nats - goal))
    with disk_guard(out):
        out.mkdir(parents=True, exist_ok=True)
        write_yaml(out / "recipe.yaml", best.recipe.to_dict())
        record = {
            "data": loaded.report,
            "seeds": [
                {"nats": m.nats, "links": m.drop_links, "features": m.drop_features} for m in found
            ],
            "kept": found.index(best),
            "told": told(best, graph),
            "command": command_line("learn-views", learn_graph_views, given),
            "environment": environment(),
        }
        write_json(out / "learned.json", record)
    for name, value in told(best, graph).items():
        echo(f"{name}: {value:.2f}")
    echo(f"recipe: {out / 'recipe.yaml'}  (goodviews train grace --views {out / 'recipe.yaml'})")
    return best


def told(made: Learned, graph: Data) -> dict[str, Any]:
    """Which links the dropper keeps: by degree, and within or between classes.

    Args:
        made: of :func:`learned_recipe`.
        graph: that it was learned on, or another.
    """
    u, v = links_of(graph)
    with torch.no_grad():
        keep = made.dropper.keep(graph)[0]
    degree = torch.bincount(graph.edge_index[0], minlength=int(graph.num_nodes or 0)).float()
    ends = (degree[u] * degree[v]).sqrt()
    high = ends >= ends.median()
    found = {
        "kept of links between nodes of high degree": float(keep[high].mean()),
        "kept of the others": float(keep[~high].mean()) if bool((~high).any()) else float("nan"),
    }
    if graph.y is not None:
        same = graph.y[u] == graph.y[v]
        for words, mask in (("within a class", same), ("between classes", ~same)):
            if bool(mask.any()):
                found[f"kept of links {words}"] = float(keep[mask].mean())
    return found
