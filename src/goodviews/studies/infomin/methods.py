"""The methods of InfoMin's tables under equal epochs and with one encoder (section 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean
from typing import Any, NamedTuple

from goodviews import encoders
from goodviews.data import Loaded
from goodviews.interfaces import Row
from goodviews.methods import METHODS, ViewMethod
from goodviews.studies.claims import RULE, Claim, Reading
from goodviews.studies.conclude import RAW, UNTRAINED
from goodviews.studies.grid import Job
from goodviews.studies.infomin import read
from goodviews.studies.infomin.sweep import Point, Scale, Sweep
from goodviews.studies.infomin.transfer import TransferBench
from goodviews.views import RECIPES, Recipe

KNN = {"knn": "kNN"}
MEMORY = {"negatives": 4096, "momentum_encoder": 0.99}
"""K of every bank and queue, and alpha of momentum encoders: those of MoCo's CIFAR-10 example."""


class Contender(NamedTuple):
    """A method with its own views."""

    recipe: str
    words: str
    paper: str
    """ImageNet top-1, linear; the epochs behind it."""


CONTENDERS = {
    "instdis": Contender("instdis", "memory bank, linear head, augmentation A", "59.5 (200)"),
    "moco": Contender("moco", "queue, linear head, augmentation A", "60.8 (200)"),
    "moco-v2": Contender("moco-v2", "queue, MLP head, augmentation B", "67.5 (200)"),
    "pirl": Contender("instdis", "bank and JigSaw, linear head, augmentation A", "61.7 (200)"),
    "cmc": Contender("cmc", "Y against DbDr, two half-width encoders, banks", "58.6 (200)"),
    "infomin": Contender("infomin", "queue and JigSaw, MLP head, augmentation D", "70.1 (200)"),
    "simclr": Contender("simclr", "negatives of the batch, MLP head", "69.3 (1000)"),
    "amdim": Contender("amdim-cifar", "features of several scales, its own encoder", "68.1 (150)"),
}
"""Method -> views, words and what is published."""

ORDERS = (
    ("moco", "instdis", "60.8 against 59.5"),
    ("pirl", "instdis", "61.7 against 59.5"),
    ("moco-v2", "moco", "67.5 against 60.8"),
    ("infomin", "moco-v2", "70.1 against 67.5"),
    ("infomin", "pirl", "70.1 against 61.7"),
    ("infomin", "cmc", "70.1 against 58.6"),
)
"""Better, worse, and the paper's accuracies, all after 200 epochs."""

NOTES = (
    "Tian et al. 2020, section 5 and code. Equal for all: images, epochs, batch, AdamW with one "
    "learning rate and a cosine (the papers: SGD, each with its own), an embedding of 128, and for "
    "banks and queues K = 4096 negatives and a momentum encoder of 0.99 (the papers, for ImageNet: "
    "65,536 and 0.999). Temperatures, heads and views are each method's own.",
    "One encoder for all but two: cmc has one of half the width for each of its views, whose "
    "features are joined for the probes; amdim needs features of several scales, so it has its "
    "own, amdim-tiny.",
    "pirl and infomin read nine patches more of each image, so equal epochs are not equal work: "
    "the seconds of a run say what each costs.",
    "The stronger its views, the later a method learns: after few epochs infomin's encoder has "
    "hardly begun, so the quick scale shows that all run and learn, not the published order.",
    "I_NCE is each method's own bound, on its own views at its own temperature: it says what its "
    "pairs were seen to share, not which method finds more.",
    "The paper's numbers are ImageNet top-1 of a linear probe, epochs in brackets: ResNet-50, "
    "instdis to infomin from the README of its code; simclr and amdim-large from their papers.",
)


def points(loaded: Loaded) -> list[Point]:
    """Each method with its own recipe."""
    return [
        Point(
            replace(RECIPES[entry.recipe], name=name),
            name,
            entry.words,
            paper={"linear": entry.paper},
        )
        for name, entry in CONTENDERS.items()
    ]


def claims(names: Sequence[str], measures: Sequence[str]) -> list[Claim]:
    """The published order, by the linear probe and by nearest neighbours."""
    return [
        Claim(
            f"{measure}: {better} beats {worse}",
            Reading(better),
            Reading(worse),
            measure,
            paper=paper,
        )
        for measure in (*measures, *KNN)
        for better, worse, paper in ORDERS
        if better in names and worse in names
    ]


def half_of(encoder: str) -> str:
    """The encoder of half the width, where there is one.

    Example:
        >>> half_of("convnet"), half_of("timm/resnet18"), half_of("mlp")
        ('convnet-half', 'timm/resnet18-half', 'mlp')
    """
    half = f"{encoder}-half"
    known = half in encoders.ENCODERS or encoder.startswith("timm/resnet")
    return half if known else encoder


def options_of(name: str, images: int, memory: Mapping[str, Any]) -> dict[str, Any]:
    """What a method's memory needs: the number of images, K, and with a queue alpha.

    Example:
        >>> options_of("pirl", 60_000, MEMORY), options_of("simclr", 60_000, MEMORY)
        ({'images': 60000, 'negatives': 4096}, {})
    """
    build = METHODS[name]
    kind = build.keywords.get("memory") if isinstance(build, partial) else None
    if kind is None:
        return {}
    own = {key: value for key, value in memory.items() if kind == "queue" or key == "negatives"}
    return {"images": images, **own}


@dataclass(frozen=True)
class Comparison(Sweep):
    """A sweep whose points are methods instead of values of a dial."""

    def jobs(self, points: Sequence[Point], seeds: int) -> list[Job]:
        """The untrained network is the common encoder's, on whole images."""
        none = Recipe.load("none").to_dict()
        return [
            replace(job, recipe=none) if job.candidate == UNTRAINED else job
            for job in super().jobs(points, seeds)
        ]

    def made(self, job: Job, scale: Scale, loaded: Loaded) -> ViewMethod:
        """The untrained method that the job names, with its own encoder where it needs one."""
        name, shape = str(job.value or "simclr"), loaded.train.shape
        encoders.build(scale.encoder, shape[0], shape[1:])  # a name that is not known
        encoder = {"amdim": "amdim-tiny", "cmc": half_of(scale.encoder)}
        views = Recipe.from_dict(job.recipe).build(shape)
        options = options_of(name, len(loaded.train), scale.options)
        return METHODS[name](
            views, encoder.get(name, scale.encoder), shape, seed=job.seed, **options
        )

    def record(
        self,
        rows: Sequence[Row],
        points: Sequence[Point],
        bench: TransferBench,
        scale: str,
        command: str,
        settings: dict[str, Any],
    ) -> dict[str, Any]:
        """A sweep's record with nearest neighbours, and bars in the place of a dial."""
        made = super().record(rows, points, bench, scale, command, settings)
        measures = bench.measures() | KNN
        made["arms"] = [{**arm, "group": arm["name"]} for arm in made["arms"]]
        made["columns"] = read.columns(measures)
        made["panels"], made["rule"] = _panels(rows, measures), RULE
        made["answer"] = read.answer(
            rows, [point.name for point in points], measures, made["claims"]
        )
        return made


def _panels(rows: Sequence[Row], measures: Mapping[str, str]) -> list[dict[str, Any]]:
    """Bars of each measure, and the first against I_NCE, with the baselines as lines."""
    found: list[dict[str, Any]] = []
    for key, words in measures.items():
        lines = [
            {"value": fmean(values), "words": name}
            for name in (RAW, UNTRAINED)
            if (values := Reading(name).values(rows, key))
        ]
        found.append({"kind": "bars", "measure": key, "title": words, "unit": "%", "lines": lines})
    first, words = next(iter(measures.items()))
    title = f"{words}, against each method's own I_NCE"
    return [
        *found,
        {"kind": "plane", "y": first, "unit": "%", "title": title, "joined": False},
    ]


VIEW_METHODS = Comparison(
    name="view-methods",
    summary="InstDis, MoCo, PIRL, CMC, InfoMin, SimCLR, AMDIM under equal epochs and encoder",
    question="Which method learns the best features from as many images and epochs?",
    dial="method",
    points=points,
    claims=claims,
    quick=Scale(seeds=2, steps=312, batch_size=128, lr=1e-3, max_images=10_000, options=MEMORY),
    paper=Scale(seeds=3, steps=39_000, encoder="resnet-small", lr=1e-3, options=MEMORY),
    method="each its own",
    joined=False,
    image_size=32,
    notes=NOTES,
)
