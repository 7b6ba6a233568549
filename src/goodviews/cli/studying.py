"""``goodviews study``: its options. A table that imports nothing heavy."""

from __future__ import annotations

from typing import Literal

from goodviews.cli.graphs import FEATURES, HARD, TASK
from goodviews.cli.nouns import Option, Verb
from goodviews.cli.recurring import DEVICE, SOURCE, data_options, training_option

STUDY = Verb(
    "study",
    "Ask a paper's question of your images: a named study with its table and page.",
    (
        Option("name", str | None, None, "a name in `goodviews list studies`", "NAME", "training"),
        *data_options(None, SOURCE, sized=False),
        TASK,
        FEATURES,
        HARD,
        Option(
            "hidden",
            list[str] | None,
            None,
            "missing-links: shares of links to hide; none: 0.1 to 0.9",
            "SHARES",
            "data",
        ),
        Option(
            "image_size",
            int | None,
            None,
            "side the images are brought to; none: as they are (amdim-ablation: 32)",
            "PIXELS",
            "data",
        ),
        training_option(
            "scale",
            Literal["quick", "paper"] | None,
            None,
            "not amdim-ablation: quick, minutes (sweeps: minutes a point); paper; none: quick",
            "NAME",
        ),
        Option(
            "variants",
            list[str] | None,
            None,
            "some of the study's arms, for example no-jitter,dim of amdim-ablation; none: all",
            "NAMES",
            "training",
        ),
        Option(
            "encoder",
            str | None,
            None,
            "a name in `goodviews list encoders`; none: the study's own",
            "NAME",
            "encoder",
        ),
        training_option(
            "steps", int | None, None, "optimiser steps a run; none: the study's", "STEPS", 0
        ),
        training_option(
            "epochs",
            int | None,
            None,
            "graph-views, missing-links: passes a run; none: the scale's",
            "EPOCHS",
            0,
        ),
        training_option(
            "looks",
            int | None,
            None,
            "not amdim-ablation: how often a run is measured; none: the scale's",
            "LOOKS",
            0,
        ),
        training_option(
            "batch_size", int | None, None, "images a step; none: the study's", "IMAGES", 1
        ),
        training_option("seeds", int | None, None, "runs a variant; none: the study's", "RUNS", 0),
        training_option("lr", float | None, None, "learning rate; none: the study's", "RATE", 0),
        Option(
            "backgrounds",
            str | None,
            None,
            "shared-factors: labelled photographs behind the digits; none: two bundled ones",
            "DATA",
            "data",
        ),
        Option(
            "agree",
            str | None,
            None,
            "shared-factors: what sharing means; none: digit=class,background=crop",
            "WORDS",
            "data",
        ),
        Option(
            "transfer",
            list[str] | None,
            None,
            "patch-distance, color-spaces, frequency, crop, jitter: labelled sets to probe on too",
            "DATA",
            "data",
        ),
        Option(
            "segmentation",
            str | None,
            None,
            "color-spaces: photographs labelled by pixel, train, trainannot, test, testannot",
            "FOLDER",
            "data",
        ),
        training_option(
            "noise",
            Literal["shared", "independent", "none"] | None,
            None,
            "conditioning: the pixels' noise, one tensor for both halves, each its own, or none",
            "NAME",
        ),
        *DEVICE,
        Option(
            "out",
            str,
            "goodviews-study",
            "rows.jsonl, table.md, report.html; run the same command again to resume",
            "FOLDER",
            "output",
        ),
    ),
    (
        ("study critics --data mnist --download", "is a tighter bound better? in minutes"),
        ("study invertible --scale paper --seeds 3", "the paper's budget"),
        (
            "study patch-distance --data photos/ --transfer cifar10",
            "how far apart should two patches be?",
        ),
        (
            "study amdim-ablation --data cifar10 --data-root DATA/ --max-images 20000",
            "what AMDIM's parts are worth",
        ),
        ("study missing-links --data links.csv", "how many hidden links are found, and by what?"),
    ),
    positional=("name", "data"),
    required=("name",),
)
