"""Probe a finished run on its own or on other data: ``goodviews evaluate``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from goodviews import data as data_room
from goodviews.data import Loaded
from goodviews.interfaces import UserError
from goodviews.studies.comparison import Labels, Rivals, compare, format_table
from goodviews.studies.folder import disk_guard, write_json
from goodviews.studies.frozen import load, load_card, load_design
from goodviews.studies.online import labelled
from goodviews.studies.readers import LOGIT_CLIP, Protocol
from goodviews.training import resolve_accelerator

_DATA = ("data", "labels", "data_root", "strict", "test_fraction", "seed", "max_images")


def evaluate(
    run: str | Path,
    data: Any = None,
    *,
    probe: str | Sequence[str] = ("linear",),
    protocol: str = "modern",
    epochs: int | None = None,
    batch_size: int | None = None,
    logit_clip: float | None = LOGIT_CLIP,
    augment: bool = False,
    bn_refresh: bool = False,
    labels: Any = None,
    labels_fraction: float | None = None,
    labels_per_class: int | None = None,
    draws: int = 3,
    baseline_seeds: int = 3,
    max_images: int | None = None,
    data_root: str | Path | None = None,
    download: bool = False,
    strict: bool = False,
    seed: int = 0,
    device: str = "auto",
    echo: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Hold a run's frozen encoder against raw pixels and untrained networks, with intervals.

    Writes RUN/evaluate-PROBES.json (protocol, few labels and other data are part of the name).
    Other data than the run's own are brought to the size its encoder was trained on: transfer.

    Args:
        run: folder of a finished run.
        data: what to evaluate on; default: the run's own data.
        probe: linear, knn, mlp, finetune (the whole network is trained on the labels), or several.
        protocol: modern, sgd or paper, see :class:`goodviews.studies.readers.Protocol`.
        epochs: of probes that are trained; default: the protocol's own.
        batch_size: of probes that are trained; default: the protocol's own.
        logit_clip: paper only: c of the clipped logits; None: plain cross-entropy.
        augment: paper only: probes read a new augmented view of each training image an epoch.
        bn_refresh: add AMDIM's transductive row: batch norm has seen the test images.
        labels: a CSV of file,label; a factor's name. Default: what the data bring.
        labels_fraction: the probe sees this share of each class's labels, in (0, 1].
        labels_per_class: the probe sees so many labels a class.
        draws: how often few labels are drawn; the table shows mean and spread.
        baseline_seeds: untrained networks to compare with.
        max_images: train the probe on at most so many images.
        data_root: folder that holds the named data sets.
        download: fetch a named data set that is not there.
        strict: stop at the first unreadable file.
        seed: of the draws and the probes.
        device: auto, cpu, cuda or mps.
        echo: takes the printed lines.

    Returns:
        The table: rows with name, PROBE, PROBE_lo, PROBE_hi (fractions); verdict; n_test; extra.

    Raises:
        UserError: no trained encoder there, weights that do not fit, no labels, a probe that the
            protocol or an option is not for.
    """
    run = Path(run)
    probes = list(dict.fromkeys(probe.split(",") if isinstance(probe, str) else probe))
    how = Protocol(protocol, epochs, batch_size, logit_clip, augment, bn_refresh)
    how.check(probes)
    if labels_fraction is not None and labels_per_class is not None:
        raise UserError("--labels-fraction and --labels-per-class: both given. Give one of them.")
    few = Labels(labels_fraction, labels_per_class, draws, seed)
    design, method = load_design(run), load(run)
    given = {"labels": labels, "data_root": data_root, "strict": strict, "max_images": max_images}
    loaded = open_data(run, data, design.image_shape[-1], download=download, **given)
    if not labelled(loaded.train, loaded.test):
        raise UserError(
            f"--data: {loaded.name} has too few labels: a probe needs two classes in training "
            "and held-out images. Add --labels FILE.csv, or use class sub-folders."
        )
    where = _transfer(load_card(run).get("data", "unknown data"), loaded)
    echo(", ".join(f"{what}: {words}" for what, words in where.items()))
    method.to(resolve_accelerator(device))
    rivals = Rivals.of(method, design, [seed + 1 + i for i in range(baseline_seeds)])
    table, _ = compare(rivals, loaded.train, loaded.test, probes, few, how, seed=seed, echo=echo)
    table["extra"] |= where
    other = [] if data is None else [_safe(loaded.name)]
    name = "-".join(["evaluate", *probes, *how.parts, *_parts(few), *other])
    with disk_guard(run):
        path = write_json(run / f"{name}.json", table)
    echo(format_table(table))
    for words in table["verdicts"].values():
        echo(f"verdict: {words}")
    echo(f"written: {path}")
    return table


def _transfer(trained_on: str, loaded: Loaded) -> dict[str, str]:
    """Which data the encoder has learned from, and which it is probed on."""
    _, h, w = loaded.train.shape
    counts = f"{len(loaded.train):,} training and {len(loaded.test):,} held-out images, {h}x{w}"
    return {"encoder trained on": trained_on, "probed on": f"{loaded.name} ({counts})"}


def open_data(
    run: Path,
    data: Any,
    image_size: int,
    *,
    download: bool = False,
    **given: Any,
) -> Loaded:
    """Load ``data``, or the run's own, at the size its encoder was trained on.

    Args:
        run: the run's folder.
        data: what :func:`goodviews.data.load` takes; None is the run's own, from its config.yaml.
        image_size: side in pixels.
        download: fetch what is not there.
        given: further arguments of :func:`goodviews.data.load`; they win over the run's own.

    Raises:
        UserError: the run's own data were given in Python; loaded data of another size.
    """
    if isinstance(data, Loaded):
        shape = data.train.shape
        if shape[1:] != (image_size, image_size):
            raise UserError(
                f"data: images of {shape[1]}x{shape[2]}, the encoder of {run} was trained on "
                f"{image_size}x{image_size}. Load them with image_size={image_size}."
            )
        return data
    known: dict[str, Any] = {"data": data}
    if data is None:
        path = run / "config.yaml"
        if not path.is_file():
            raise UserError(f"{path}: no such file, so the data are not known. Give --data.")
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        known = {name: config[name] for name in _DATA if name in config}
        if str(known.get("data")).startswith("(given in Python"):
            raise UserError(f"{run}: was trained on data given in Python. Give --data.")
    known |= {name: value for name, value in given.items() if value not in (None, False)}
    return data_room.load(image_size=image_size, download=download, **known)


def _parts(few: Labels) -> list[str]:
    """What few labels add to the file's name."""
    if few.fraction is not None:
        return [f"{few.fraction:g}"]
    return [] if few.per_class is None else [f"{few.per_class}-a-class"]


def _safe(name: str) -> str:
    return "".join(c if c.isalnum() or c in "._-" else "-" for c in name)
