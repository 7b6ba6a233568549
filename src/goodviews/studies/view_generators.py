"""How a generator of views is learned: one record, the method it makes, and the training."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

from goodviews.data import Images, Loaded, loader
from goodviews.evaluation.features import draw
from goodviews.evaluation.task import subset
from goodviews.interfaces import ImageSource, Shape, UserError
from goodviews.methods.view_learning import ViewLearning, view_learning
from goodviews.objectives.infomin import ViewGame
from goodviews.training import TrainSettings, fit
from goodviews.views import FAMILIES
from goodviews.views.generator import ViewGenerator
from goodviews.views.ops import Op


@dataclass(frozen=True)
class Learning:
    """How generators are learned; the same for every seed."""

    objective: str = "unsupervised"
    family: str = "vp"
    space: str = "rgb"
    budget: float | None = None
    """Nats at which the generator stops; None: the paper's game."""
    labels_fraction: float = 1.0
    """Part of the labels that is used, where the objective uses labels."""
    steps: int = 600
    """Of encoders and generator together."""
    batch_size: int = 256
    lr: float = 2e-3
    turns: int = 4
    """Every so many-th step is the generator's."""
    warmup: float = 0.25
    """Part of the steps before the generator's first one."""
    encoder: str = "convnet-half"
    temperature: float = 0.2
    candidates: int = 256
    """K of the held-out I_NCE."""

    def check(self, loaded: Loaded) -> Learning:
        """With batch and K no larger than the data allow.

        Raises:
            UserError: what cannot be learned, before the first step.
        """
        game = ViewGame(self.objective, self.temperature, self.budget)
        shape, labels = loaded.train.shape, loaded.train.labels
        ViewGenerator(shape[0], self.family, self.space)
        known = 0 if labels is None else len(labels[labels >= 0].unique())
        if game.labelled and known < 2:
            raise UserError(
                f"--labels: {self.objective} needs labels of two classes or more, these images "
                f"have {known}. Give --labels FILE, or --objective unsupervised."
            )
        if not 0 < self.labels_fraction <= 1:
            raise UserError(f"--labels-fraction: {self.labels_fraction}. Use above 0, up to 1.")
        least = min(len(loaded.train), len(loaded.test))
        if least < 4:
            raise UserError(f"--data: {least} images of a split are too few. Use at least 4.")
        return replace(
            self,
            batch_size=min(self.batch_size, len(loaded.train)),
            candidates=min(self.candidates, least),
        )

    def method(
        self, train: ImageSource, seed: int, hints: Collection[str] = (), moves: bool = True
    ) -> ViewLearning:
        """The untrained method; its generator stays as it is unless it ``moves``."""
        labelled, classes = None, len(train.classes)
        if self.objective != "unsupervised":
            assert train.labels is not None
            few = subset(train.labels, fraction=self.labels_fraction, seed=0)
            labelled = train.images(few), train.labels[few]
        mean, std = channel_statistics(train) if self.space == "raw" else (None, None)
        return view_learning(
            train.shape,
            self.encoder,
            objective=self.objective,
            family=self.family,
            space=self.space,
            budget=self.budget,
            shared=mild(train.shape, hints),
            labelled=labelled,
            classes=classes,
            temperature=self.temperature,
            seed=seed,
            mean=mean,
            std=std,
            turns=self.turns if moves else self.steps + 1,
            warmup=round(self.warmup * self.steps),
        )

    def training(self, seed: int, device: str, precision: str) -> TrainSettings:
        """How it is trained."""
        return TrainSettings(
            steps=self.steps,
            batch_size=self.batch_size,
            lr=self.lr,
            device=device,
            precision=precision,
            seed=seed,
            evaluate_every=0,
            log=(),
        ).check()


def mild(shape: Shape, hints: Collection[str] = ()) -> tuple[Op, ...]:
    """The crop and flip that both views share, as before the colour-space splits."""
    recipe = FAMILIES["color-space"].recipe("rgb", (3, *shape[1:]), None, frozenset(hints))
    return recipe.shared


def channel_statistics(source: ImageSource) -> tuple[list[float], list[float]]:
    """Mean and deviation of each channel over at most 1,000 images, in units of the range."""
    x = draw(source, 1000, 0).images(range(min(1000, len(source)))).transpose(0, 1).flatten(1)
    x = x.double() / 255
    return x.mean(1).tolist(), x.std(1).clamp_min(1e-3).tolist()


def learned(
    method: ViewLearning,
    train: ImageSource,
    settings: TrainSettings,
    echo: Callable[[str], None] | None = None,
) -> tuple[ViewGenerator, list[dict[str, Any]]]:
    """Train, and fix the statistics of the views; the frozen generator and one entry an epoch.

    ``echo`` gets the forecast and five lines on the way.
    """

    def say(line: str) -> None:
        epoch = re.match(r"epoch (\d+)/(\d+)", line)
        if echo is not None and (not epoch or int(epoch[1]) % max(1, int(epoch[2]) // 5) == 0):
            echo(line)

    batches = loader(
        train,
        settings.batch_size,
        seed=settings.seed,
        workers=0 if isinstance(train, Images) else 2,
    )
    result = fit(method, batches, settings, out=None, quiet=echo is None, say=say)
    generator = method.generator.cpu().eval()
    some = draw(train, 1000, settings.seed)
    generator.settle(some.images(range(len(some))).float() / 255)
    return generator, list(result.history)
