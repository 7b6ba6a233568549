"""What every verb can be told: name, type, default, unit and meaning of each option.

This file is a table. It imports nothing heavy, so that ``--help`` is quick.
"""

from __future__ import annotations

from typing import Literal

from goodviews.cli.auditing import AUDIT
from goodviews.cli.estimating import ESTIMATE
from goodviews.cli.graphs import GRAPH
from goodviews.cli.learning import LEARN
from goodviews.cli.nouns import Option, Verb
from goodviews.cli.recurring import (
    DEVICE,
    OWN,
    RUN,
    SEED,
    SOURCE,
    data_options,
    encoder_option,
    training_option,
    views_option,
)
from goodviews.cli.studying import STUDY
from goodviews.cli.training import TRAIN
from goodviews.cli.view_learning import LEARN_VIEWS

CHOOSE = Verb(
    "choose",
    "Measure what views share and what the task keeps; recommend the good ones.",
    (
        *data_options("factors", SOURCE),
        *GRAPH,
        Option(
            "families",
            list[str] | None,
            None,
            "dials to try, for example crop-scale,blur=1:2 (see `goodviews list families`), and "
            "recipes as they are: recipe=simclr:mine.yaml; none: the budget's own",
            "NAMES",
            "views",
        ),
        Option("base", str | None, None, "recipe that the families change", "RECIPE", "views"),
        Option(
            "search",
            str | None,
            None,
            "search one dial instead: to --target-nats, else to the best probe",
            "FAMILY",
            "views",
        ),
        Option(
            "target_nats",
            float | None,
            None,
            "what the views of the search shall share; none: the best probe",
            "NATS",
            "views",
            0,
        ),
        encoder_option("budget or objective"),
        training_option(
            "objective",
            Literal["infonce", "amdim"],
            "infonce",
            "amdim: multiscale NCE, amdim-tiny on 32 pixels; about 4 times as long on a CPU",
            "",
        ),
        training_option(
            "budget",
            Literal["quick", "standard", "thorough"],
            "standard",
            "minutes, about 20 minutes a family, or days, on two CPU cores",
            "",
        ),
        training_option(
            "steps", int | None, None, "optimiser steps a run; none: the budget's own", "STEPS", 0
        ),
        training_option(
            "epochs", int | None, None, "graphs: passes a run; none: the budget's own", "EPOCHS", 0
        ),
        training_option("method", str | None, None, "graphs: grace (none), dgi ...", "NAME"),
        training_option(
            "batch_size", int | None, None, "images a step; none: the budget's own", "IMAGES", 1
        ),
        training_option(
            "lr",
            float | None,
            None,
            "learning rate; none: 2e-3 (infonce, AdamW), 1e-3 (amdim, Adam)",
            "RATE",
            0,
        ),
        training_option("temperature", float, 0.2, "of infonce's cosine critic", "NUMBER", 0),
        training_option(
            "seeds", int | None, None, "runs a candidate; none: the budget's own", "RUNS", 0
        ),
        *DEVICE,
        Option(
            "out",
            str,
            "goodviews-choose",
            "rows.jsonl, recipe.yaml, report.html; run the same command again to resume",
            "FOLDER",
            "output",
        ),
    ),
    (
        ("choose --budget quick", "on the bundled data, a few minutes"),
        ("choose --data photos/ --labels labels.csv --out study", "on your images"),
        ("choose --data photos/ --families crop-scale,blur --budget standard", "two families"),
        ("choose --data photos/ --objective amdim", "for encoders with local features"),
        ("choose --data photos/ --search color-jitter --target-nats 2", "a dial set to an amount"),
        ("choose --data links.csv --task links --budget quick", "views of a graph"),
    ),
    positional=("data",),
)

EVALUATE = Verb(
    "evaluate",
    "Probe a trained encoder beside raw pixels and the untrained network.",
    (
        RUN,
        *data_options(None, OWN, sized=False),
        training_option(
            "probe", list[str], ["linear"], "one or more of linear, mlp, knn, finetune", "NAMES"
        ),
        training_option(
            "protocol",
            Literal["modern", "sgd", "paper"],
            "modern",
            "modern: linear by L-BFGS, mlp by AdamW, knn, finetune; sgd: linear, the best of six "
            "rates; paper: linear and mlp as in AMDIM's code",
            "NAME",
        ),
        training_option(
            "epochs", int | None, None, "of probes that are trained; none: theirs", "EPOCHS", 0
        ),
        training_option(
            "batch_size", int | None, None, "of probes that are trained; none: theirs", "IMAGES", 1
        ),
        training_option(
            "logit_clip", float | None, 10.0, "paper only: c of c tanh(logit / c)", "LOGIT", 0
        ),
        training_option(
            "augment", bool, False, "paper only: a new view of each image an epoch (slow)", ""
        ),
        training_option(
            "bn_refresh",
            bool,
            False,
            "add a row whose batch norm has seen the test images (transductive, as AMDIM's code)",
            "",
        ),
        training_option(
            "labels_fraction", float | None, None, "use this part of the labels", "FRACTION", 0
        ),
        training_option(
            "labels_per_class", int | None, None, "use this many labels a class", "IMAGES", 0
        ),
        training_option("draws", int, 3, "how often few labels are drawn", "DRAWS", 0),
        training_option(
            "baseline_seeds", int, 3, "untrained networks to compare with", "NETWORKS", -1
        ),
        SEED,
        DEVICE[0],
    ),
    (
        ("evaluate run", "linear probe on the run's own data"),
        ("evaluate run --probe linear,mlp --protocol paper", "AMDIM's classifiers"),
        ("evaluate run --probe finetune --labels-fraction 0.01", "few labels"),
        ("evaluate run --data other/ --labels labels.csv", "transfer to other images"),
        ("evaluate run --data other/ --probe linear,finetune", "frozen, and all of it trained"),
    ),
    positional=("run", "data"),
    required=("run",),
)

EMBED = Verb(
    "embed",
    "Write the frozen representation of images to a table.",
    (
        RUN,
        *data_options(None, OWN, sized=False),
        DEVICE[0],
        Option(
            "out",
            str,
            "embeddings.npz",
            ".npz, .parquet or .csv; the folder is made",
            "FILE",
            "output",
        ),
        Option("overwrite", bool, False, "replace the file if it exists", "", "output"),
    ),
    (("embed run --data photos/ --out photos.parquet", "file names, vectors and labels"),),
    positional=("run", "data"),
    required=("run",),
)

REPORT = Verb(
    "report",
    "Make the page of a run or a study again.",
    (Option("path", str | None, None, "folder of a run or a study", "FOLDER", "data"),),
    (("report study", "writes study/report.html"),),
    positional=("path",),
    required=("path",),
)

RUNS = Verb(
    "runs",
    "List the runs and studies below a folder, side by side.",
    (Option("folder", str, ".", "where to look", "FOLDER", "data"),),
    (("runs results/", "one line a run or study"),),
    positional=("folder",),
)

KINDS = (
    "methods",
    "presets",
    "encoders",
    "views",
    "families",
    "critics",
    "bounds",
    "estimators",
    "studies",
    "data",
    "graphs",
    "graph-methods",
    "graph-views",
    "graph-families",
)

LIST = Verb(
    "list",
    "List what there is: " + ", ".join(KINDS) + ".",
    (Option("kind", str | None, None, "one of " + ", ".join(KINDS), "KIND", "data"),),
    (("list families", "the dials that `choose` can turn"),),
    positional=("kind",),
    required=("kind",),
)

PREVIEW = Verb(
    "views preview",
    "Draw pairs of views as one picture.",
    (
        *data_options("factors", SOURCE),
        views_option("simclr"),
        Option("n", int, 8, "how many images", "IMAGES", "views", 0),
        Option("seed", int, 0, "of the images drawn and their views", "N", "views", -1),
        Option("out", str, "preview.png", "the picture", "FILE", "output"),
    ),
    (("views preview --data photos/ --views simclr --out pairs.png", "look before you train"),),
    positional=("data",),
)

GROUPS = ("lesson", "numbers", "data", "views", "encoder", "training", "method", "output")
"""Headings of the help, in this order."""

VERBS = {
    v.name: v
    for v in (
        CHOOSE,
        STUDY,
        LEARN_VIEWS,
        TRAIN,
        EVALUATE,
        AUDIT,
        EMBED,
        ESTIMATE,
        REPORT,
        RUNS,
        LIST,
        PREVIEW,
        LEARN,
    )
}

ALIASES = {
    "output_dir": "out",
    "output": "out",
    "img_size": "image_size",
    "input_size": "image_size",
    "model": "encoder",
    "arch": "encoder",
    "max_epochs": "epochs",
    "max_steps": "steps",
    "learning_rate": "lr",
    "num_workers": "workers",
    "data_dir": "data",
    "data_path": "data",
    "opt": "optimizer",
    "max_grad_norm": "clip",
    "recipe": "views",
    "accelerator": "device",
    "b": "batch_size",
    "j": "workers",
    "o": "out",
}
"""Names from other tools -> ours."""

SYNONYMS = {
    "ablation": "study",
    "ablate": "study",
    "doubt": "audit",
    "diagnose": "audit",
    "check": "audit",
    "mi": "estimate",
    "measure": "estimate",
    "information": "estimate",
    "fit": "train",
    "pretrain": "train",
    "run": "train",
    "eval": "evaluate",
    "test": "evaluate",
    "probe": "evaluate",
    "extract": "embed",
    "features": "embed",
    "ls": "list",
    "show": "list",
    "view": "views preview",
    "preview": "views preview",
    "teach": "learn",
    "explain": "learn",
    "primer": "learn",
}
"""Verbs from other tools -> the one to suggest."""
