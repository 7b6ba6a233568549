"""What every verb can be told: name, type, default, unit and meaning of each option.

This file is a table. It imports nothing heavy, so that ``--help`` is quick.
"""

from __future__ import annotations

from typing import Any, Literal

from goodviews.cli.estimating import ESTIMATE
from goodviews.cli.learning import LEARN
from goodviews.cli.nouns import Option, Verb

_IMAGE_SIZE = Option(
    "image_size",
    int | None,
    None,
    "height and width to bring images to; none: their own, or 64",
    "PIXELS",
    "data",
)


def _data(default: str | None, meaning: str, *, sized: bool = True) -> tuple[Option, ...]:
    """Where images come from; ``sized``: they may be resized (a run knows its own size)."""

    def make(name: str, kind: Any, value: Any, text: str, unit: str) -> Option:
        return Option(name, kind, value, text, unit, "data")

    return (
        make("data", str | None, default, meaning, "DATA"),
        make(
            "labels",
            str | None,
            None,
            "CSV of file,label, the name of a factor, or none to ignore labels",
            "FILE",
        ),
        make("data_root", str | None, None, "where named data sets lie", "FOLDER"),
        make("download", bool, False, "allow fetching a named data set", ""),
        *([_IMAGE_SIZE] if sized else []),
        make("max_images", int | None, None, "use at most this many images", "IMAGES"),
        make("strict", bool, False, "stop at the first unreadable image", ""),
    )


_SOURCE = "folder of images, .npz, a name in `goodviews list data`, or hf:NAME"
_OWN = _SOURCE + "; none: the run's own data"
_DEVICE = (
    Option("device", str, "auto", "auto, cpu, cuda or mps", "NAME", "training"),
    Option("precision", str, "auto", "auto, 32, bf16, 16 or Lightning's names", "NAME", "training"),
)
_INFONCE = "infonce only: a name in `goodviews list"
_SEED = Option("seed", int, 0, "of weights, data order, views and splits", "N", "training", -1)
_VIEWS = Option(
    "views",
    str | dict[str, Any],
    "simclr",
    "a name in `goodviews list views`, or a recipe.yaml",
    "RECIPE",
    "views",
)
_HELD_OUT = Option(
    "test_fraction",
    float,
    0.2,
    "held out of data without test images of their own",
    "FRACTION",
    "data",
)
_RUN = Option("run", str | None, None, "folder that `goodviews train` wrote", "RUN", "data")


def _encoder(default: str | None) -> Option:
    text = "a name in `goodviews list encoders` or timm/NAME"
    if default is None:
        return Option("encoder", str | None, None, f"{text}; none: the budget's", "NAME", "encoder")
    return Option("encoder", str, default, text, "NAME", "encoder")


def _train(
    name: str,
    kind: Any,
    default: Any,
    text: str,
    unit: str,
    above: float | None = None,
) -> Option:
    return Option(name, kind, default, text, unit, "training", above)


CHOOSE = Verb(
    "choose",
    "Measure what views share and what the task keeps; recommend the good ones.",
    (
        *_data("factors", _SOURCE),
        Option(
            "families",
            list[str] | None,
            None,
            "dials to try, for example crop-scale,blur=1:2 (see "
            "`goodviews list families`); none: the budget's own",
            "NAMES",
            "views",
        ),
        Option("base", str | None, None, "recipe that the families change", "RECIPE", "views"),
        _encoder(None),
        _train(
            "budget",
            Literal["quick", "standard", "thorough"],
            "standard",
            "minutes, about 20 minutes a family, or days, on two CPU cores",
            "",
        ),
        _train(
            "steps", int | None, None, "optimiser steps a run; none: the budget's own", "STEPS", 0
        ),
        _train(
            "batch_size", int | None, None, "images a step; none: the budget's own", "IMAGES", 1
        ),
        _train("lr", float, 2e-3, "learning rate of AdamW", "RATE", 0),
        _train("temperature", float, 0.2, "of the cosine critic", "NUMBER", 0),
        _train("seeds", int | None, None, "runs a candidate; none: the budget's own", "RUNS", 0),
        *_DEVICE,
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
    ),
    positional=("data",),
)

TRAIN = Verb(
    "train",
    "Train an encoder on views of your images.",
    (
        Option("method", str, "simclr", "a name in `goodviews list methods`", "METHOD", "training"),
        *_data("factors", _SOURCE),
        _HELD_OUT,
        _VIEWS,
        _encoder("convnet"),
        Option("projection_dim", int, 128, "width of the projection z", "DIMENSIONS", "encoder", 0),
        _train("epochs", int, 10, "passes over the data", "EPOCHS"),
        _train("steps", int | None, None, "optimiser steps, in place of epochs", "STEPS"),
        _train("batch_size", int, 256, "images a step, over all devices together", "IMAGES"),
        _train("lr", float, 1e-3, "peak learning rate, used as given", "RATE"),
        _train("optimizer", Literal["adamw", "lars", "sgd"], "adamw", "which optimiser", ""),
        _train("weight_decay", float, 1e-4, "of weights; biases and norms are left alone", "RATE"),
        _train("momentum", float, 0.9, "of sgd and lars; first beta of adamw", "NUMBER"),
        _train("warmup_epochs", float, 1.0, "of linear warm-up, then a cosine to 0", "EPOCHS"),
        _train("clip", float | None, None, "largest gradient norm; none: no clipping", "NORM"),
        _train("temperature", float, 0.2, "of the cosine critic", "NUMBER", 0),
        _train("critic", str | None, None, f"{_INFONCE} critics`; none: cosine", "NAME"),
        _train("bound", str | None, None, f"{_INFONCE} bounds`; none: infonce", "NAME"),
        _train(
            "score_clip", float | None, None, "infonce only: soft clip of the scores", "SCORE", 0
        ),
        _SEED,
        *_DEVICE,
        _train("devices", int, 1, "how many devices (this version: 1)", "DEVICES"),
        _train("compile", bool, False, "torch.compile the encoders", ""),
        _train("workers", int | Literal["auto"], "auto", "data loading processes", "PROCESSES"),
        _train("on_collapse", Literal["warn", "stop"], "warn", "when embeddings collapse", ""),
        _train(
            "evaluate_every",
            int,
            1,
            "between measurements on held-out images; 0: only at the end",
            "EPOCHS",
        ),
        _train("probes", bool, True, "compare with pixels and untrained networks at the end", ""),
        _train("baseline_seeds", int, 3, "untrained networks in that comparison", "NETWORKS", -1),
        Option("out", str, "goodviews-train", "the run's folder, new or empty", "FOLDER", "output"),
        Option("resume", bool, False, "continue the run in --out where it was", "", "output"),
        Option(
            "save_every",
            int,
            0,
            "between checkpoints in mid-epoch; 0: at epochs' ends only",
            "STEPS",
            "output",
        ),
        Option(
            "keep",
            int,
            0,
            "epoch checkpoints kept beside last and best; -1: all",
            "CHECKPOINTS",
            "output",
            -2,
        ),
        Option(
            "log",
            list[str],
            ["csv", "tensorboard"],
            "csv, tensorboard, wandb, or none",
            "NAMES",
            "output",
        ),
    ),
    (
        ("train simclr --data photos/ --out run", "a run on your images"),
        ("train simclr --data photos/ --views study/recipe.yaml", "on the views of `choose`"),
        ("train infonce --critic bilinear --bound nwj", "any critic, any bound"),
        ("train --config run/config.yaml --out again --seed 1", "a run again, another seed"),
    ),
    positional=("method", "data"),
)

EVALUATE = Verb(
    "evaluate",
    "Probe a trained encoder beside raw pixels and the untrained network.",
    (
        _RUN,
        *_data(None, _OWN, sized=False),
        _train("probe", Literal["linear", "mlp", "knn", "finetune"], "linear", "which probe", ""),
        _train("labels_fraction", float | None, None, "use this part of the labels", "FRACTION", 0),
        _train("labels_per_class", int | None, None, "use this many labels a class", "IMAGES", 0),
        _train("draws", int, 3, "how often few labels are drawn", "DRAWS", 0),
        _train("baseline_seeds", int, 3, "untrained networks to compare with", "NETWORKS", -1),
        _SEED,
        _DEVICE[0],
    ),
    (
        ("evaluate run", "linear probe on the run's own data"),
        ("evaluate run --probe finetune --labels-fraction 0.01", "few labels"),
        ("evaluate run --data other/ --labels labels.csv", "on other images"),
    ),
    positional=("run", "data"),
    required=("run",),
)

EMBED = Verb(
    "embed",
    "Write the frozen representation of images to a table.",
    (
        _RUN,
        *_data(None, _OWN, sized=False),
        _DEVICE[0],
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

KINDS = ("methods", "encoders", "views", "families", "critics", "bounds", "estimators", "data")

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
        *_data("factors", _SOURCE),
        _VIEWS,
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
    for v in (CHOOSE, TRAIN, EVALUATE, EMBED, ESTIMATE, REPORT, RUNS, LIST, PREVIEW, LEARN)
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
