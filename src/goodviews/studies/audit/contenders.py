"""Who contends: the run's layers, its design untrained, raw pixels, an invertible map of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from goodviews.encoders.invertible import RealNVP
from goodviews.evaluation.features import extract, labels_of
from goodviews.evaluation.probes import linear_probe
from goodviews.interfaces import ImageSource, Shape, Views
from goodviews.methods import ViewMethod
from goodviews.studies.audit.bank import Pairs, Reader
from goodviews.studies.audit.compare import Sample
from goodviews.studies.audit.fresh import CONTENDING, Found, fit
from goodviews.studies.audit.subject import LOCAL, PROJECTION, SUMMARY, Subject, read_view
from goodviews.studies.conclude import RAW, UNTRAINED
from goodviews.studies.readers import PIXEL_SIDE

RUN, HEAD, MAP, INVERTIBLE = (
    "this run",
    "this run, projection",
    "this run, local map averaged",
    "invertible map",
)
LAYERS = {RUN: SUMMARY, HEAD: PROJECTION, MAP: LOCAL}
"""Contenders that are layers of the run."""
COUPLINGS, HIDDEN, STD = 6, (256,), 0.03
"""Of the invertible map: RealNVP with weights that shift pixels by about their own spread."""


@dataclass(frozen=True)
class Contender:
    """One representation of the views.

    Args:
        name: in tables.
        keys: its networks, one a seed, by their place in the bank.
        look: for each key, uint8 images -> (n, D), what its probe reads.
        of: the contenders it is a function of: by data processing they share at least as much.
    """

    name: str
    keys: tuple[str, ...]
    look: Mapping[str, Callable[[ImageSource], Tensor]]
    of: tuple[str, ...]


@dataclass(frozen=True)
class Field:
    """All contenders, and what reads their features off view pairs."""

    contenders: list[Contender]
    readers: list[Reader]
    notes: list[str]


def field_of(subject: Subject, shape: Shape, seeds: Sequence[int]) -> Field:
    """The contenders of one audit.

    Args:
        subject: what is audited.
        shape: of the raw images.
        seeds: of the untrained networks, one each.
    """
    pixels = Flat(subject.method.views, shape)
    found = Field([], [], list(pixels.notes))
    truth = (RAW,) * pixels.exact
    device = next(subject.method.parameters()).device
    _run(found, subject, shape, truth)
    _untrained(found, subject, seeds, truth)
    _pixels(found, pixels, device, seeds[0])
    return found


def _run(found: Field, subject: Subject, shape: Shape, truth: tuple[str, ...]) -> None:
    method = subject.method
    layers = layers_of(method, shape)

    def read(v1: Tensor, v2: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        one, other = read_view(method, 0, v1), read_view(method, 1, v2)
        return {f"run/{layer}": (one[layer], other[layer]) for layer in layers}

    found.readers.append(Reader(tuple(f"run/{layer}" for layer in layers), read))
    for name, layer in LAYERS.items():
        if layer in layers:
            key = f"run/{layer}"
            of = (RUN, *truth) if layer == PROJECTION else truth
            found.contenders.append(Contender(name, (key,), {key: Look(method, layer)}, of))


def _untrained(
    found: Field, subject: Subject, seeds: Sequence[int], truth: tuple[str, ...]
) -> None:
    if subject.untrained is None:
        return
    networks = {f"untrained/{seed}": subject.untrained(seed) for seed in seeds}
    for key, network in networks.items():
        found.readers.append(_summaries(key, network))
    looks = {key: Look(network, SUMMARY) for key, network in networks.items()}
    found.contenders.append(Contender(UNTRAINED, tuple(networks), looks, truth))


def _summaries(key: str, network: ViewMethod) -> Reader:
    def read(v1: Tensor, v2: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        return {key: (read_view(network, 0, v1)[SUMMARY], read_view(network, 1, v2)[SUMMARY])}

    return Reader((key,), read)


def _pixels(found: Field, pixels: Flat, device: torch.device, seed: int) -> None:
    found.readers.append(Reader(("pixels",), lambda v1, v2: {"pixels": (pixels(v1), pixels(v2))}))
    found.contenders.append(
        Contender(RAW, ("pixels",), {"pixels": pixels.looks}, (INVERTIBLE,) * pixels.aligned)
    )
    if not pixels.aligned:
        found.notes.append(
            f"the {INVERTIBLE} is left out: probes read images of another shape than the views"
        )
        return
    flows = _flows(pixels, device, seed)

    def turned(place: int, view: Tensor) -> Tensor:
        summary: Tensor = flows[min(place, len(flows) - 1)](pixels(view)).summary
        return summary

    def look(source: ImageSource) -> Tensor:
        return extract(_Turned(pixels, flows), source)

    found.readers.append(
        Reader(("invertible",), lambda v1, v2: {"invertible": (turned(0, v1), turned(1, v2))})
    )
    found.contenders.append(Contender(INVERTIBLE, ("invertible",), {"invertible": look}, (RAW,)))


def _flows(pixels: Flat, device: torch.device, seed: int) -> list[RealNVP]:
    """One map for both views where they may share one, else one each."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        flows = [
            RealNVP(width, COUPLINGS, HIDDEN, seed=seed, std=STD).eval().requires_grad_(False)
            for width in pixels.widths[: 1 if pixels.views.shared_encoder else 2]
        ]
    return [flow.to(device) for flow in flows]


class Flat:
    """Views and looks as rows of pixels, brought down to 32 a side where they are larger.

    Args:
        views: as the method makes them.
        shape: of the raw images.
    """

    def __init__(self, views: Views, shape: Shape) -> None:
        self.views = views
        shapes = views.shapes(shape)
        blank = torch.zeros(1, *shape, dtype=torch.uint8)
        looks = [tuple(look.shape[1:]) for look in views.looks(blank)]
        self.widths = [_small(torch.zeros(1, *one)).numel() for one in shapes]
        self.exact = all(max(one[1:]) <= PIXEL_SIDE for one in shapes)
        self.aligned = looks == [tuple(one) for one in shapes[: len(looks)]]
        self.notes = [] if self.exact else [
            f"views are brought down to {PIXEL_SIDE} pixels a side for {RAW} and the {INVERTIBLE}: "
            "information is lost there, so data processing orders nothing against them"
        ]  # fmt: skip

    def __call__(self, view: Tensor) -> Tensor:
        """Views (n, c, h, w) -> (n, D)."""
        return _small(view.float()).flatten(1)

    def looks(self, source: ImageSource) -> Tensor:
        """Of every image of ``source``: what a frozen reader of pixels sees, (n, D)."""
        return extract(_Turned(self, []), source)


def _small(view: Tensor) -> Tensor:
    longer = max(view.shape[-2:])
    if longer <= PIXEL_SIDE:
        return view
    sides = [max(1, round(side * PIXEL_SIDE / longer)) for side in view.shape[-2:]]
    return functional.interpolate(view, size=sides, mode="area")


class _Turned(nn.Module):
    """Images -> their looks as pixels, turned by invertible maps where there are any."""

    def __init__(self, pixels: Flat, flows: Sequence[RealNVP]) -> None:
        super().__init__()
        self.pixels, self.flows = pixels, nn.ModuleList(flows)

    def forward(self, images: Tensor) -> Tensor:
        rows = [self.pixels(look) for look in self.pixels.views.looks(images)]
        if len(self.flows):
            last = len(self.flows) - 1
            rows = [self.flows[min(i, last)](row).summary for i, row in enumerate(rows)]
        return torch.cat(rows, 1)


def layers_of(method: ViewMethod, shape: Shape) -> list[str]:
    """The layers that :func:`read_view` makes."""
    first = method.views.shapes(shape)[0]
    device = next(method.parameters()).device
    with torch.no_grad():
        return list(read_view(method, 0, torch.zeros(2, *first, device=device)))


class Look:
    """Every image's unaugmented looks in one layer, joined: what the house's probes read.

    Args:
        method: the network.
        layer: a layer of :func:`read_view`.
    """

    def __init__(self, method: ViewMethod, layer: str) -> None:
        self.module = _Layer(method, layer)

    def __call__(self, source: ImageSource) -> Tensor:
        """Shape (n, D)."""
        return extract(self.module, source)


class _Layer(nn.Module):
    def __init__(self, method: ViewMethod, layer: str) -> None:
        super().__init__()
        self.method, self.layer = method, layer

    def forward(self, images: Tensor) -> Tensor:
        looks = self.method.views.looks(images)
        parts = [read_view(self.method, i, look)[self.layer] for i, look in enumerate(looks)]
        return torch.cat(parts, 1)


# --- measuring one --------------------------------------------------------------------------------


def nats_of(
    contender: Contender,
    seen: Mapping[str, Pairs],
    held: Mapping[str, Pairs],
    sizes: Sequence[int],
    seeds: Sequence[int],
    batch: int,
    device: torch.device,
) -> tuple[dict[str, Found], str]:
    """What fresh critics of each kind find, and the kind that validation pairs choose.

    One network: one critic a seed. Several networks (untrained ones): one critic each.
    """
    several = len(contender.keys) > 1
    found: dict[str, Found] = {}
    for kind in CONTENDING:
        parts = [
            fit(
                kind,
                "infonce",
                seen[key],
                held[key],
                sizes,
                [seed] if several else seeds,
                batch=batch,
                device=device,
            )
            for key, seed in zip(contender.keys, seeds, strict=False)
        ]
        found[kind] = Found.joined(parts)
    return found, max(found, key=lambda kind: found[kind].validation)


def accuracy_of(contender: Contender, train: ImageSource, test: ImageSource, seed: int) -> Sample:
    """Linear probes on frozen features: right or wrong, (networks, labelled test images)."""
    rows = []
    for key in contender.keys:
        look = contender.look[key]
        result = linear_probe(look(train), labels_of(train), look(test), labels_of(test), seed=seed)
        rows.append(result.correct.numpy())
    return Sample(np.stack(rows))
