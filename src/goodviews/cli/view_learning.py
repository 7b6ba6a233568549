"""The verb ``learn-views``: its options. A table that imports nothing heavy."""

from __future__ import annotations

from typing import Literal

from goodviews.cli.graphs import FEATURES, TASK
from goodviews.cli.nouns import Option, Verb
from goodviews.cli.recurring import DEVICE, SOURCE, data_options, training_option

LEARN_VIEWS = Verb(
    "learn-views",
    "Learn the views themselves: an invertible map of each pixel's channels, split in two.",
    (
        *data_options("factors", SOURCE),
        TASK,
        FEATURES,
        Option(
            "objective",
            Literal["unsupervised", "semi-supervised", "supervised"],
            "unsupervised",
            "against encoders; with classifiers too, on the labelled images; with these alone",
            "",
            "views",
        ),
        Option(
            "family",
            Literal["vp", "nvp"],
            "vp",
            "couplings that shift (volume preserving), or shift and scale",
            "",
            "views",
        ),
        Option(
            "space",
            Literal["rgb", "ydbdr", "raw"] | None,
            None,
            "what the generator starts from; raw: any channels; none: rgb for three, else raw",
            "",
            "views",
        ),
        Option(
            "budget_nats",
            float | None,
            None,
            "stop removing information here; none: never (may remove too much)",
            "NATS",
            "views",
            0,
        ),
        training_option(
            "labels_fraction", float, 1.0, "use this part of the labels", "FRACTION", 0
        ),
        training_option("seeds", int, 3, "generators to learn; the best is kept", "RUNS", 0),
        training_option(
            "epochs", int | None, None, "graphs: steps a dropper of links; none: 100", "EPOCHS", 0
        ),
        training_option("steps", int, 600, "optimiser steps a generator", "STEPS", 0),
        training_option("batch_size", int, 256, "images a step", "IMAGES", 1),
        training_option("lr", float, 2e-3, "learning rate of AdamW", "RATE", 0),
        training_option("turns", int, 4, "every so many-th step is the generator's", "STEPS", 1),
        training_option("temperature", float, 0.2, "of the cosine critic", "NUMBER", 0),
        Option(
            "encoder",
            str,
            "convnet-half",
            "a name in `goodviews list encoders` or timm/NAME",
            "NAME",
            "encoder",
        ),
        *DEVICE,
        Option(
            "out",
            str,
            "goodviews-learned",
            "generator.safetensors, recipe.yaml, views.png, report.html; run the same command "
            "again to resume",
            "FOLDER",
            "output",
        ),
    ),
    (
        ("learn-views --data photos/ --budget-nats 2", "less shared than the plain channels"),
        (
            "learn-views --data photos/ --labels labels.csv --objective semi-supervised",
            "and all that the labels need in both views",
        ),
        ("learn-views --data spectra.npz --space raw", "images of any number of channels"),
    ),
    positional=("data",),
)
