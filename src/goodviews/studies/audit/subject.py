"""What is audited: a trained method, its untrained twin, and the layers that are read of it."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from goodviews.interfaces import Batch, Features, Shape, UserError, Views
from goodviews.methods import AMDIM, ViewMethod
from goodviews.studies.frozen import Design, load, load_card, load_design
from goodviews.views import Recipe

SUMMARY, PROJECTION, LOCAL = "summary", "projection", "local"
"""Layers: the encoder's summary, what the critic reads of it, AMDIM's largest map averaged."""


@dataclass
class Subject:
    """A trained network and what its audit has to know.

    Args:
        name: in headings.
        method: the trained method, frozen.
        untrained: seed -> the same design with random weights; None where it cannot be made.
        partners: the factors that an image and its partner share, where v2 is a partner.
        scored: whether the method has a critic of its own.
        facts: what it is made of, for the record.
        notes: what its reader must know.
    """

    name: str
    method: ViewMethod
    untrained: Callable[[int], ViewMethod] | None
    partners: tuple[str, ...] | None = None
    scored: bool = True
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def scored_layer(self) -> str:
        """The layer that the method's own critic reads."""
        return PROJECTION if len(getattr(self.method, "heads", ())) else SUMMARY


def subject_of_run(run: Path, device: str) -> Subject:
    """The subject in a run's folder.

    Raises:
        UserError: no trained encoder there.
    """
    design, card = load_design(run), load_card(run)
    method = load(run, device)

    def untrained(seed: int) -> ViewMethod:
        return design.build(seed).to(device).eval().requires_grad_(False)

    facts = {"run": str(run), "sha256": card["sha256"], **_facts(design)}
    facts |= {key: card[key] for key in ("data", "epochs", "steps") if key in card}
    notes = []
    if design.method == "dim":
        notes.append(
            "local DIM is trained on one view of an image; here its scores are read on two"
        )
    return Subject(
        run.resolve().name, method, untrained, design.recipe.partners, facts=facts, notes=notes
    )


def _facts(design: Design) -> dict[str, Any]:
    """The design for the record."""
    return {
        "method": design.method,
        "encoder": design.encoder,
        "views": design.recipe.name,
        "image_shape": list(design.image_shape),
    }


def read_view(method: ViewMethod, place: int, view: Tensor) -> dict[str, Tensor]:
    """The layers of one view, (n, D) each: summary, projection where there is a head, local map.

    Args:
        method: as trained.
        place: 0 for the first view, 1 for the second.
        view: (n, c, h, w).
    """
    last = len(method.encoders) - 1
    encoder: Any = method.encoders[min(place, last)]
    found: Features = encoder(view)
    if isinstance(method, AMDIM):
        found = encoder.embed(found)
    layers = {SUMMARY: found.summary}
    heads: Any = getattr(method, "heads", ())
    if len(heads):
        layers[PROJECTION] = heads[min(place, len(heads) - 1)](found.summary)
    if isinstance(method, AMDIM) and found.local:
        layers[LOCAL] = found.local[max(found.local)].mean((2, 3))
    return {name: values.float().flatten(1) for name, values in layers.items()}


def weights_of(method: nn.Module) -> str:
    """A fingerprint of all weights and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(method.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


# --- any torch encoder ----------------------------------------------------------------------------


class _AsFeatures(nn.Module):
    """An encoder whose output, a tensor or Features, comes as Features of (n, D)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, view: Tensor) -> Features:
        found = self.network(view)
        if isinstance(found, Features):
            return found
        if not isinstance(found, Tensor) or found.dim() < 2 or len(found) != len(view):
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise UserError(
                f"encoder: made {shape} of views {tuple(view.shape)}. "
                "It must map views (n, c, h, w) to vectors (n, D)."
            )
        return Features(found.flatten(1))


class GivenEncoder(ViewMethod):
    """A method around encoders that were given: it is read, never trained.

    Arguments:
        views: makes pairs of views.
        networks: one encoder or two: views (n, c, h, w) -> (n, D) or Features.
        heads: none, one or two: summaries -> what the critic reads.
        critic: (z1, z2) -> scores (n, n); None where there is none.
    """

    def __init__(
        self,
        views: Views,
        networks: Sequence[nn.Module],
        heads: Sequence[nn.Module] = (),
        critic: nn.Module | None = None,
    ) -> None:
        super().__init__(views, [_AsFeatures(network) for network in networks])
        self.heads, self.critic = nn.ModuleList(heads), critic

    def project(self, v1: Tensor, v2: Tensor) -> tuple[Tensor, Tensor]:
        """What a critic reads: the heads' output, or the summaries without heads."""
        layer = PROJECTION if len(self.heads) else SUMMARY
        return read_view(self, 0, v1)[layer], read_view(self, 1, v2)[layer]

    def pair_scores(self, v1: Tensor, v2: Tensor) -> Tensor:
        """The given critic's scores (n, n)."""
        if self.critic is None:
            raise UserError("critic: none was given, so there are no scores. Give critic=...")
        scores: Tensor = self.critic(*self.project(v1, v2))
        return scores.float()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Nothing is trained here."""
        raise NotImplementedError("a given encoder is audited, not trained")


def subject_of_module(
    encoder: Any,
    views: Any,
    shape: Shape,
    *,
    head: Any = None,
    critic: nn.Module | None = None,
    untrained: Callable[[int], Any] | None = None,
    name: str = "encoder",
    device: str = "cpu",
) -> Subject:
    """The subject made of an encoder and views; see :func:`goodviews.studies.audit.audit_encoder`.

    Raises:
        UserError: an encoder that is no torch module, views that are none, shapes that do not fit.
    """
    networks, heads = _modules("encoder", encoder), _modules("head", head)
    scorer = _modules("critic", critic)
    made, recipe = _views(views, shape)
    wanted = 1 if made.shared_encoder else 2
    if len(networks) != wanted:
        raise UserError(
            f"encoder: {len(networks)} given, these views need {wanted}. "
            f"Give {'one module' if wanted == 1 else 'a pair of modules, one a view'}."
        )
    method = GivenEncoder(made, *copy.deepcopy((networks, heads)), *copy.deepcopy(scorer))
    method = method.to(device).eval().requires_grad_(False)
    _try(method, made, shape, device)
    twin, notes = _twin(networks, made, untrained, device)
    facts = {"encoder": type(networks[0]).__name__, "image_shape": list(shape)}
    facts |= {"views": recipe.name if recipe else type(made).__name__, "method": "given in Python"}
    partners = recipe.partners if recipe else None
    return Subject(name, method, twin, partners, critic is not None, facts, notes)


def _modules(what: str, given: Any) -> list[nn.Module]:
    """None, one module or a pair of them."""
    if given is None:
        return []
    found = list(given) if isinstance(given, tuple | list) else [given]
    for part in found:
        if not isinstance(part, nn.Module):
            raise UserError(
                f"{what}: {type(part).__name__} is no torch module. Give a torch.nn.Module, "
                "or for a run's folder call audit(RUN)."
            )
    return found


def _views(views: Any, shape: Shape) -> tuple[Views, Recipe | None]:
    """Views for images of ``shape``, and the recipe they are of."""
    if isinstance(views, str | dict | Recipe):
        recipe = Recipe.load(views)
        return recipe.build(shape), recipe
    if not callable(views) or not hasattr(views, "looks"):
        raise UserError(
            f"views: {type(views).__name__} makes no views. Give the name of a recipe "
            "(`goodviews list views`), a Recipe, or an object with __call__ and looks."
        )
    return views, None


def _try(method: GivenEncoder, views: Views, shape: Shape, device: str) -> None:
    """Read two grey images once, so that what does not fit is told before the work."""
    images = torch.full((2, *shape), 127, dtype=torch.uint8, device=device)
    try:
        with torch.inference_mode():
            pair = views(images, torch.Generator(device=device).manual_seed(0))
            for place, view in enumerate(pair):
                read_view(method, place, view)
            method(images)
    except UserError as error:
        if "partners" not in str(error):
            raise
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(
            f"encoder: does not read the views of {tuple(shape)} images ({reason}). "
            "Load the data at its size: image_size=..."
        ) from None


def _twin(
    networks: Sequence[nn.Module],
    views: Views,
    untrained: Callable[[int], Any] | None,
    device: str,
) -> tuple[Callable[[int], ViewMethod] | None, list[str]]:
    """What makes the same design with random weights, and what is to be said of it."""
    if untrained is None and not all(resettable(network) for network in networks):
        return None, [
            "the untrained control is left out: some layer has no reset_parameters; "
            "give untrained=, a function of a seed that makes the encoder anew"
        ]

    def build(seed: int) -> ViewMethod:
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            if untrained is not None:
                fresh = _modules("untrained", untrained(seed))
            else:
                fresh = [reset(copy.deepcopy(network)) for network in networks]
        return GivenEncoder(views, fresh).to(device).eval().requires_grad_(False)

    return build, []


def resettable(network: nn.Module) -> bool:
    """Whether every layer with weights of its own can draw them anew.

    Example:
        >>> resettable(nn.Sequential(nn.Linear(2, 2), nn.ReLU())), resettable(nn.PReLU())
        (True, True)
    """
    return all(
        hasattr(layer, "reset_parameters")
        for layer in network.modules()
        if [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]
    )


def reset(network: nn.Module) -> nn.Module:
    """Draw all weights anew, from torch's global random numbers."""
    for layer in network.modules():
        draw: Any = getattr(layer, "reset_parameters", None)
        if draw is not None:
            draw()
    return network
