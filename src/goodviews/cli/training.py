"""``goodviews train``: its options. A table; what is not given comes from the preset."""

from __future__ import annotations

from typing import Any, Literal

from goodviews.cli.graphs import GRAPH
from goodviews.cli.nouns import Option, Verb
from goodviews.cli.recurring import (
    DEVICE,
    HELD_OUT,
    SEED,
    SOURCE,
    data_options,
    encoder_option,
    training_option,
    views_option,
)

_PRESET = "none: the preset's"


def _preset(
    name: str, kind: Any, text: str, unit: str, above: float | None = None, group: str = "training"
) -> Option:
    """An option whose value the preset knows."""
    return Option(name, kind | None, None, f"{text}; {_PRESET}", unit, group, above)


def _method(name: str, kind: Any, text: str, unit: str, above: float | None = None) -> Option:
    """An option of some methods only."""
    return Option(name, kind | None, None, text, unit, "method", above)


TRAIN = Verb(
    "train",
    "Train an encoder on views of your images.",
    (
        Option(
            "method",
            str | None,
            None,
            "a name in `goodviews list methods`; none: the preset's, or simclr",
            "METHOD",
            "training",
        ),
        *data_options("factors", SOURCE),
        *GRAPH,
        HELD_OUT,
        views_option(None),
        encoder_option("preset"),
        _preset("projection_dim", int, "width of the projection z", "DIMENSIONS", 0, "encoder"),
        training_option(
            "preset",
            str | None,
            None,
            "a name in `goodviews list presets`; none: the method's own",
            "NAME",
        ),
        _preset("epochs", int, "passes over the data", "EPOCHS"),
        training_option("steps", int | None, None, "optimiser steps, in place of epochs", "STEPS"),
        _preset("batch_size", int, "images a step, over all devices together", "IMAGES"),
        _preset("lr", float, "peak learning rate, used as given", "RATE"),
        _preset("optimizer", Literal["adamw", "adam", "lars", "sgd"], "which optimiser", ""),
        _preset("weight_decay", float, "of weights; biases and norms are left alone", "RATE"),
        _preset("momentum", float, "of sgd and lars; first beta of adamw and adam", "NUMBER"),
        _preset("schedule", Literal["cosine", "steps"], "of the rate after the warm-up", ""),
        _preset("milestones", list[int], "epochs after which --schedule steps decays", "EPOCHS"),
        _preset("decay", float, "factor of each milestone", "FACTOR"),
        _preset("min_lr", float, "at the end of a cosine", "RATE", -1e-12),
        _preset("warmup_epochs", float, "of linear warm-up", "EPOCHS"),
        _preset("warmup_steps", int, "the same in steps, in its place", "STEPS"),
        training_option(
            "clip", float | None, None, "largest gradient norm; none: no clipping", "NORM"
        ),
        SEED,
        *DEVICE,
        training_option("devices", int, 1, "how many devices (this version: 1)", "DEVICES"),
        training_option("compile", bool, False, "torch.compile the encoders", ""),
        training_option(
            "workers", int | Literal["auto"], "auto", "data loading processes", "PROCESSES"
        ),
        training_option(
            "on_collapse", Literal["warn", "stop"], "warn", "when embeddings collapse", ""
        ),
        training_option(
            "evaluate_every",
            int,
            1,
            "between measurements on held-out images; 0: only at the end",
            "EPOCHS",
        ),
        training_option(
            "probes", bool, True, "compare with pixels and untrained networks at the end", ""
        ),
        training_option(
            "baseline_seeds", int, 3, "untrained networks in that comparison", "NETWORKS", -1
        ),
        _method("temperature", float, "of the cosine critic (not amdim, dim)", "NUMBER", 0),
        _method("critic", str, "infonce: a name in `goodviews list critics`", "NAME"),
        _method("bound", str, "infonce, dim: a name in `goodviews list bounds`", "NAME"),
        _method(
            "score_clip",
            float,
            "infonce, amdim, dim: soft clip c of the scores; 0: none",
            "C",
            -1e-9,
        ),
        _method("penalty", float, "amdim: lambda of the squared scores", "LAMBDA", -1e-9),
        _method("pairs", list[str], "amdim: scales that predict each other, 1-5,1-7,5-5", "PAIRS"),
        _method("mixture", int, "amdim: k features of a mixture; 0: none", "K", -1),
        _method("alpha", float, "amdim: weight of the mixture posterior's entropy", "WEIGHT", 0),
        _method("tau", float, "amdim: temperature of the mixture's posterior", "NUMBER", -1e-9),
        _method("n_views", int, "amdim: views of an image that meet", "VIEWS", 0),
        _method(
            "memory",
            Literal["bank", "queue", "batch"],
            "instdis, cmc, moco, pirl, infomin ...: where the negatives come from",
            "",
        ),
        _method("negatives", int, "the same: K of bank or queue, at most the images", "IMAGES", 0),
        _method("jigsaw", bool, "the same: add the JigSaw branch, or --no-jigsaw", ""),
        _method("jigsaw_weight", float, "the same: its share of the loss, 0.5", "BETA", -1e-9),
        _method("head", Literal["linear", "mlp"], "the same: the projection", ""),
        _method(
            "loss", Literal["softmax", "nce"], "the same: nce with a bank (InstDis, constant Z)", ""
        ),
        _method(
            "momentum_encoder",
            float,
            "the same: alpha of the queue's encoder, 0.999",
            "ALPHA",
            -1e-9,
        ),
        _method("bank_momentum", float, "the same: old share of a bank's row, 0.5", "M", -1e-9),
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
        ("train amdim --data photos/ --epochs 100", "multiscale features across views"),
        ("train infonce --critic bilinear --bound nwj", "any critic, any bound"),
        ("train infomin --data photos/", "momentum encoder, queue, JigSaw, strong views"),
        ("train moco --memory bank --jigsaw --head mlp", "their parts in any combination"),
        ("train grace --data cora --task nodes", "an encoder of a graph"),
        ("train --config run/config.yaml --out again --seed 1", "a run again, another seed"),
    ),
    positional=("method", "data"),
)
