"""Strips of example pairs, one a candidate of a study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from goodviews import report
from goodviews.data import Loaded
from goodviews.data.images import partner_images
from goodviews.files import write_atomic
from goodviews.studies.grid import Job
from goodviews.views import Recipe
from goodviews.views.preview import strip

SHOWN = 8
"""Example pairs in the strip of a candidate."""


def draw_strips(folder: Path, jobs: Sequence[Job], loaded: Loaded) -> None:
    """Write a strip of example pairs for each candidate that has none yet; baselines have none."""
    index = torch.arange(min(SHOWN, len(loaded.test)))
    images = loaded.test.images(index)
    for job in jobs:
        path = report.strip_path(folder, job.candidate)
        if job.kind == "baseline" or job.seed or path.exists():
            continue
        recipe, generator = Recipe.from_dict(job.recipe), torch.Generator().manual_seed(0)
        others = partner_images(loaded.test, index, recipe.partners, generator)
        picture = strip(recipe.build(loaded.train.shape), images, len(images), partners=others)
        write_atomic(path, lambda p, picture=picture: picture.save(p, format="PNG"))  # type: ignore[misc]
