"""Learned views: a generator is learned, frozen, and its views are trained on like any others."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from statistics import stdev
from typing import Any

from scipy.stats import f as f_distribution

from goodviews.data import Loaded
from goodviews.interfaces import Row
from goodviews.studies.claims import NOT_SHOWN, SHOWN, UNDECIDED, Claim, Reading
from goodviews.studies.findings import Findings
from goodviews.studies.folder import plain
from goodviews.studies.grid import Job
from goodviews.studies.infomin.sweep import Point, Scale, Sweep
from goodviews.studies.infomin.transfer import TransferBench
from goodviews.studies.view_generators import Learning, learned, mild
from goodviews.views import Recipe
from goodviews.views.learned import Learned
from goodviews.views.splits import ColorSpace

SPACES = {"rgb": "R | GB", "ydbdr": "Y | DbDr"}
GAMES = ("raw", "unsupervised", "supervised", "semi-supervised")

BUDGET = 2.0
"""Nats where the generator of the arm with a budget stops; raw RGB shares more, raw YDbDr less."""

PAPER = {
    "rgb": ("81.5 ± 0.2", "82.4 ± 3.2", "79.9 ± 1.5", "86.0 ± 0.6"),
    "ydbdr": ("86.6 ± 0.2", "84.3 ± 0.5", "78.5 ± 2.3", "87.0 ± 0.3"),
}
"""Linear accuracy on STL-10, 100,000 unlabelled and 5,000 labelled images, by :data:`GAMES`."""


@dataclass(frozen=True)
class Arm:
    """A start space, a game, a family; "raw" learns nothing."""

    space: str
    game: str
    family: str = "vp"
    budget: float | None = None

    @property
    def name(self) -> str:
        """In tables."""
        parts = [self.space, self.game, "nvp" if self.family == "nvp" else ""]
        parts.append("" if self.budget is None else f"to {self.budget:g} nats")
        return " ".join(part for part in parts if part)

    @property
    def usual(self) -> bool:
        """Whether it runs when no arm is named."""
        return self.family == "vp"


ARMS = [
    *(Arm(space, game) for space in SPACES for game in GAMES),
    Arm("rgb", "unsupervised", budget=BUDGET),
    *(Arm(space, game, "nvp") for space in SPACES for game in GAMES[1:]),
]


def points(loaded: Loaded) -> list[Point]:
    """Each arm with the split that its generator starts from."""
    shared = mild(loaded.train.shape, loaded.hints)
    found = []
    for arm in ARMS:
        recipe = Recipe(name=arm.name, shared=shared, split=ColorSpace(arm.space))
        plain_arm = arm.family == "vp" and arm.budget is None
        paper = {"linear": PAPER[arm.space][GAMES.index(arm.game)]} if plain_arm else {}
        words = SPACES[arm.space] if arm.game == "raw" else f"{arm.family}, from {arm.space}"
        found.append(Point(recipe, arm.name, words, arm.space, paper))
    return found


def claims(names: Sequence[str], measures: Sequence[str]) -> list[Claim]:
    """What the paper reports of STL-10."""
    asked = [
        ("rgb semi-supervised", "rgb raw", "86.0 against 81.5"),
        ("rgb semi-supervised", "rgb supervised", "86.0 against 79.9"),
        ("ydbdr semi-supervised", "ydbdr supervised", "87.0 against 78.5"),
        ("ydbdr raw", "rgb raw", "86.6 against 81.5"),
    ]
    found = [
        Claim(
            f"{measure}: {better} beats {worse}",
            Reading(better),
            Reading(worse),
            measure,
            paper=paper,
        )
        for measure in measures
        for better, worse, paper in asked
    ]
    for space in SPACES:
        words = f"the unsupervised generator removes information from {space}"
        ends = Reading(f"{space} raw"), Reading(f"{space} unsupervised")
        found.append(Claim(words, *ends, "nats", unit="nats", paper="mostly too much"))
    return [c for c in found if {c.better.arm, c.worse.arm} <= set(names)]


def wider(rows: Sequence[Row], names: Sequence[str], measure: str) -> list[dict[str, Any]]:
    """Whether unsupervised runs differ more from seed to seed than semi-supervised ones.

    By the two-sided F test of two variances at 5 %.

    Example:
        >>> made = {"rgb unsupervised": (0.2, 0.5, 0.8), "rgb semi-supervised": (0.5, 0.51, 0.5)}
        >>> rows = [Row("candidate", n, s, linear=x)
        ...         for n, v in made.items() for s, x in enumerate(v)]
        >>> wider(rows, list(made), "linear")[0]["verdict"]
        'shown'
    """
    found = []
    for space, paper in (("rgb", "3.2 against 0.6"), ("ydbdr", "0.5 against 0.3")):
        arms = [f"{space} unsupervised", f"{space} semi-supervised"]
        values = [Reading(arm).values(rows, measure) for arm in arms if arm in names]
        if len(values) < 2 or min(map(len, values)) < 2:
            continue
        first, second = (stdev(v) for v in values)
        verdict = UNDECIDED
        if first > 0 or second > 0:
            ratio = first**2 / second**2 if second else float("inf")
            p = float(f_distribution.sf(ratio, len(values[0]) - 1, len(values[1]) - 1))
            verdict = SHOWN if p < 0.025 else NOT_SHOWN if p > 0.975 else UNDECIDED
        found.append(
            {
                "words": f"{measure}: unsupervised {space} differs more from seed to seed than "
                "semi-supervised (F test of the variances)",
                "value": first - second,
                "half": None,
                "margin": 0.0,
                "unit": "points",
                "verdict": verdict,
                "paper": paper,
            }
        )
    return found


@dataclass(frozen=True)
class LearnedBench(TransferBench):
    """A bench that learns an arm's generator first, and keeps it in ``generators``."""

    learning: Mapping[str, Learning] = field(default_factory=dict)
    """Arm -> how; none for raw views and baselines."""
    generators: Path = Path("generators")

    def measure(self, job: Job) -> Row:
        """The row of one job; its recipe is the start, the generator is beside it."""
        if job.candidate not in self.learning:
            return super().measure(job)
        split = Learned(str(self._generator(job)))
        recipe = replace(Recipe.from_dict(job.recipe), split=split)
        row = super().measure(replace(job, recipe=plain(recipe.to_dict())))
        row.recipe = job.recipe
        return row

    def _generator(self, job: Job) -> Path:
        """The file of the job's generator, learned unless a killed run left it."""
        name = re.sub(r"[^a-z0-9.]+", "-", job.candidate)
        path = self.generators / f"{name}-{job.seed}.safetensors"
        if path.exists():
            return path
        learning, train = self.learning[job.candidate], self.loaded.train
        method = learning.method(train, job.seed, self.loaded.hints)
        settings = learning.training(job.seed, self.settings.device, self.settings.precision)
        return learned(method, train, settings)[0].save(path)


@dataclass(frozen=True)
class LearnedViews(Sweep):
    """A sweep whose points learn their views first."""

    learn_steps: tuple[int, int] = (300, 20_000)
    """Steps of the games, quick and paper."""
    labels_fraction: float = 0.1
    """Part of the training labels that the games see."""
    quick_size: int = 16
    folder: Path = Path()
    """Of the study."""
    paper_scale: bool = False

    def __call__(  # type: ignore[override]  # fewer options than a sweep's
        self,
        data: str = "cifar10",
        *,
        scale: str = "quick",
        variants: str | Sequence[str] | None = None,
        encoder: str | None = None,
        seeds: int | None = None,
        steps: int | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        labels: str | None = None,
        image_size: int | None = None,
        max_images: int | None = None,
        data_root: str | None = None,
        download: bool = False,
        strict: bool = False,
        device: str = "auto",
        precision: str = "auto",
        out: str | Path = "goodviews-study",
        echo: Callable[[str], None] = print,
    ) -> Findings:
        """Learn generators, freeze them, and train on their views; see :class:`Sweep`.

        Args:
            data: labelled colour images, see :func:`goodviews.data.load`.
            scale: "quick" (images of 16 pixels, 25 minutes) or "paper".
            variants: names of some arms; None: all with volume-preserving generators. Those of
                the other family are named "... nvp".
            encoder: of the games and of the training; None: the scale's.
            seeds: generators an arm, each with a training of its own; None: the scale's.
            steps: optimiser steps a training; None: the scale's. The games have their own.
            batch_size: pairs a step; None: the scale's.
            lr: of AdamW; None: the scale's.
            labels: see :func:`goodviews.data.load`.
            image_size: side the images are brought to; None: 16 or as they are.
            max_images: training images at most, and a quarter as many held-out ones.
            data_root: folder of torchvision's sets.
            download: whether a set may be downloaded.
            strict: stop at the first unreadable file.
            device: "auto", "cpu", "cuda" or "mps".
            precision: "auto", "32" or "bf16".
            out: folder for rows.jsonl, generators/, study.json, table.md and report.html.
            echo: gets the lines of progress.
        """
        given = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        quick = scale == "quick"
        given["image_size"] = image_size or (self.quick_size if quick else None)
        own = replace(self, folder=Path(out), paper_scale=not quick)
        return Sweep.__call__(own, **given)

    def chosen(self, loaded: Loaded, variants: str | Sequence[str] | None) -> list[Point]:
        """The arms of these names; None: the usual ones."""
        usual = [arm.name for arm in ARMS if arm.usual] if variants is None else variants
        return super().chosen(loaded, usual)

    def learning(self, arm: Arm, scale: Scale, loaded: Loaded) -> Learning:
        """How an arm's generators are learned.

        Raises:
            UserError: images without labels, or without three channels.
        """
        return Learning(
            objective=arm.game,
            family=arm.family,
            space=arm.space,
            budget=arm.budget,
            labels_fraction=self.labels_fraction,
            steps=self.learn_steps[self.paper_scale],
            batch_size=scale.batch_size,
            lr=scale.lr,
            encoder=scale.encoder,
        ).check(loaded)

    def bench(self, loaded: Loaded, scale: Scale, *others: Any) -> LearnedBench:
        """What all arms have in common."""
        base = super().bench(loaded, scale, *others)
        known = {f.name: getattr(base, f.name) for f in fields(base)}
        games = {a.name: self.learning(a, scale, loaded) for a in ARMS if a.game != "raw"}
        return LearnedBench(**known, learning=games, generators=self.folder / "generators")

    def settings(
        self,
        data: str,
        labels: str | None,
        bench: TransferBench,
        scale: str,
        options: Mapping[str, Any],
    ) -> dict[str, Any]:
        """What every row is made with."""
        assert isinstance(bench, LearnedBench)
        game = asdict(next(iter(bench.learning.values())))
        differing = ("objective", "family", "space", "budget")
        games = {f"game_{k}": v for k, v in game.items() if k not in differing}
        found: dict[str, Any] = plain(games)
        return super().settings(data, labels, bench, scale, options) | found


LEARNED_VIEWS = LearnedViews(
    name="learned-views",
    summary="Generators learned against encoders, with labels, or both: are their views better?",
    question="Can the channels be mixed into better views than they come in?",
    dial="arm",
    points=points,
    claims=claims,
    shapes=wider,
    quick=Scale(
        seeds=5,
        steps=250,
        batch_size=128,
        candidates=128,
        probe_images=4_000,
        encoder="convnet-half",
        max_images=8_000,
    ),
    paper=Scale(seeds=5, steps=20_000, encoder="resnet-small"),
    joined=False,
    notes=(
        "Tian et al. 2020, section 4.2: four couplings of width 32; the paper's sizes, optimisers "
        "and numbers of steps are not known. The paper's numbers are on STL-10 with 100,000 "
        "unlabelled images; here a tenth of the training labels takes part in the games, and the "
        "views are a crop and flip that both share, then the generator.",
        "After a quarter of the steps every fourth is the generator's. A row's recipe is what its "
        "generator starts from; the generator itself is in generators/.",
    ),
)
