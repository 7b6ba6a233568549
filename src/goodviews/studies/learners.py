"""What a study trains on every view: objective, encoder and optimiser, the same for all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from goodviews import encoders, methods
from goodviews.interfaces import Shape, UserError, check_name
from goodviews.studies.grid import Job
from goodviews.studies.presets import PRESETS
from goodviews.training import TrainSettings
from goodviews.views import Recipe

OBJECTIVES: dict[str, dict[str, Any]] = {
    "infonce": {"lr": 2e-3, "encoder": None, "image_size": None},
    "amdim": {
        "lr": PRESETS["amdim-tiny"]["lr"],
        "encoder": PRESETS["amdim-tiny"]["encoder"],
        "image_size": PRESETS["amdim-tiny"]["image_size"],
    },
}
"""Objective -> what is taken where the user gives nothing; None: the budget's, the data's."""


@dataclass(frozen=True)
class Learner:
    """Objective, encoder and rate of a study.

    Example:
        >>> Learner.of("amdim").encoder
        'amdim-tiny'
    """

    objective: str
    """"infonce": two views' projections under a cosine critic; "amdim": multiscale NCE."""
    encoder: str
    lr: float
    temperature: float = 0.2
    """Of infonce's critic."""

    @classmethod
    def of(
        cls,
        objective: str,
        encoder: str | None = None,
        lr: float | None = None,
        temperature: float = 0.2,
        budgeted: str = "convnet",
    ) -> Learner:
        """The learner; what is None is the objective's own, or the ``budgeted`` encoder.

        Raises:
            UserError: for an unknown objective.
        """
        check_name("--objective", objective, OBJECTIVES)
        own = OBJECTIVES[objective]
        name = encoder or own["encoder"] or budgeted
        return cls(objective, name, own["lr"] if lr is None else lr, temperature)

    def method(self, job: Job, shape: Shape) -> methods.ViewMethod:
        """The untrained method of a job, for images of ``shape``."""
        views = Recipe.from_dict(job.recipe).build(shape)
        if self.objective == "amdim":
            return methods.amdim(views, self.encoder, shape, seed=job.seed)
        return methods.infonce(
            views, self.encoder, shape, seed=job.seed, temperature=self.temperature
        )

    def training(self, steps: int, batch_size: int, device: str, precision: str) -> TrainSettings:
        """How every job trains; its seed is still to be set.

        Raises:
            UserError: for a number that cannot be.
        """
        own: dict[str, Any] = {}
        if self.objective == "amdim":
            tiny = PRESETS["amdim-tiny"]
            own = {name: tiny[name] for name in ("optimizer", "momentum", "weight_decay")}
            own["warmup_steps"] = min(tiny["warmup_steps"], steps // 10)
        return TrainSettings(
            steps=steps,
            batch_size=batch_size,
            lr=self.lr,
            device=device,
            precision=precision,
            evaluate_every=0,
            log=(),
            **own,
        ).check()

    def check(self, shape: Shape) -> None:
        """Refuse an encoder that the objective cannot train on whole images of ``shape``.

        Raises:
            UserError: for an unknown encoder, one without local features, a size it cannot read.
        """
        if self.objective == "infonce":
            encoders.build(self.encoder, shape[0], shape[1:])
            return
        with torch.device("meta"):  # shapes only: no memory for the weights
            methods.amdim(Recipe().build(shape), self.encoder, shape)

    def unreadable(self, recipe: Recipe, shape: Shape) -> str:
        """Why the encoder cannot read the views of a recipe; empty where it can.

        Example:
            >>> from goodviews.views import FAMILIES
            >>> halves = FAMILIES["halves"].recipe("vertical", (3, 32, 32))
            >>> Learner.of("amdim").unreadable(halves, (3, 32, 32)).endswith("not 16 x 32")
            True
        """
        if self.objective == "infonce":
            return ""
        try:
            with torch.device("meta"):
                methods.amdim(recipe.build(shape), self.encoder, shape)
        except UserError as error:
            return str(error).removeprefix("--encoder: ").partition(". ")[0]
        return ""

    def settings(self) -> dict[str, Any]:
        """What every row was made with."""
        if self.objective == "infonce":  # no key more than studies had before there was a choice
            return {"encoder": self.encoder, "temperature": self.temperature, "lr": self.lr}
        return {"objective": self.objective, "encoder": self.encoder, "lr": self.lr}
