"""One training run, from data to report: ``goodviews train``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from goodviews import data as data_room
from goodviews import report
from goodviews.data import Loaded
from goodviews.evaluation.features import draw
from goodviews.files import write_atomic
from goodviews.interfaces import Interrupted, UserError
from goodviews.methods import ViewMethod
from goodviews.studies.arguments import (
    LOADING,
    check_unchanged,
    config_of,
    fewer_negatives,
    method_options,
    settings_of,
    what_is_trained,
)
from goodviews.studies.artefacts import embedding_sample, pair_sheet, write_artefacts
from goodviews.studies.comparison import RUN, Rivals, compare, format_table, unlabelled_table
from goodviews.studies.folder import (
    check_out,
    data_lines,
    disk_guard,
    environment,
    quoted,
    read_json,
    write_json,
    write_yaml,
)
from goodviews.studies.frozen import CARD, Design, export, load, refuse_useless
from goodviews.studies.online import evaluators, labelled
from goodviews.studies.presets import resolve
from goodviews.training import FitResult, TrainSettings, fit, resolve_accelerator, resolve_precision
from goodviews.training.journal import read_rows
from goodviews.views import Recipe, recipe_warnings

Echo = Callable[[str], None]

PROBE_IMAGES = 10_000
"""The most images the final probes are fitted on, and are read on."""


@dataclass
class Run:
    """What :func:`train` returns."""

    out: Path | None
    method: ViewMethod
    """The trained encoder, frozen, on the CPU: uint8 images (n, c, h, w) -> float32 (n, D)."""
    metrics: list[dict[str, Any]]
    """One row an epoch, as in metrics.csv."""
    probes: dict[str, Any] = field(default_factory=dict)
    """The table of raw pixels, untrained network and this run; empty without probes."""
    verdict: str = ""


def train(
    method: str | None = None,
    data: Any = "factors",
    *,
    preset: str | None = None,
    views: str | dict[str, Any] | Recipe | None = None,
    encoder: str | None = None,
    out: str | Path | None = None,
    labels: Any = None,
    epochs: int | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    optimizer: Literal["adamw", "adam", "lars", "sgd"] | None = None,
    weight_decay: float | None = None,
    momentum: float | None = None,
    schedule: Literal["cosine", "steps"] | None = None,
    milestones: Sequence[int] | None = None,
    decay: float | None = None,
    min_lr: float | None = None,
    warmup_epochs: float | None = None,
    warmup_steps: int | None = None,
    clip: float | None = None,
    temperature: float | None = None,
    projection_dim: int | None = None,
    critic: str | None = None,
    bound: str | None = None,
    score_clip: float | None = None,
    penalty: float | None = None,
    pairs: Sequence[str] | None = None,
    mixture: int | None = None,
    alpha: float | None = None,
    tau: float | None = None,
    n_views: int | None = None,
    memory: Literal["bank", "queue", "batch"] | None = None,
    negatives: int | None = None,
    jigsaw: bool | None = None,
    jigsaw_weight: float | None = None,
    head: Literal["linear", "mlp"] | None = None,
    loss: Literal["softmax", "nce"] | None = None,
    momentum_encoder: float | None = None,
    bank_momentum: float | None = None,
    seed: int = 0,
    image_size: int | None = None,
    max_images: int | None = None,
    test_fraction: float = 0.2,
    data_root: str | Path | None = None,
    download: bool = False,
    strict: bool = False,
    device: str = "auto",
    devices: int = 1,
    precision: str = "auto",
    compile: bool = False,
    workers: int | Literal["auto"] = "auto",
    evaluate_every: int = 1,
    save_every: int = 0,
    keep: int = 0,
    log: Sequence[str] = ("csv", "tensorboard"),
    on_collapse: Literal["warn", "stop"] = "warn",
    probes: bool = True,
    baseline_seeds: int = 3,
    resume: bool = False,
    echo: Echo = print,
) -> Run:
    """Train an encoder on views of images, hold it against its baselines, and write a report.

    Args:
        method: a name of `goodviews list methods`; default: the preset's, or simclr.
        data: a folder, an .npz, a name of `goodviews list data`; in Python also an array of images.
        preset: a name of `goodviews list presets`; arguments that are None come from it. Default:
            the method's own ("amdim-tiny" for amdim).
        views: recipe that makes the two views: a name of `goodviews list views` or a YAML file.
        encoder: a name of `goodviews list encoders`, timm/NAME or multiscale/NAME.
        out: folder of the run, new or empty. None writes nothing.
        labels: a CSV of file,label; a factor's name; "none". Default: what the data bring.
        epochs: passes over the data.
        steps: optimiser steps; takes the place of epochs.
        batch_size: images a step, over all devices together.
        lr: peak learning rate, used as given.
        optimizer: adamw, adam, lars (large batches) or sgd.
        weight_decay: decay of weights; biases and norms are left alone.
        momentum: of sgd and lars; first beta of adamw and adam.
        schedule: cosine to `min_lr`, or steps down at the milestones.
        milestones: epochs after which the rate is multiplied by `decay`.
        decay: factor of each milestone.
        min_lr: rate at the end of a cosine.
        warmup_epochs: epochs of linear warm-up.
        warmup_steps: the same in steps; takes its place.
        clip: largest gradient norm; none: no clipping.
        temperature: of the cosine scores (not amdim, dim).
        projection_dim: width of the projection (not amdim, dim).
        critic: infonce only, default cosine: a name of `goodviews list critics`.
        bound: infonce and dim, default infonce: a name of `goodviews list bounds`.
        score_clip: infonce, amdim, dim: soft clip c of the scores (AMDIM: 20); 0: none.
        penalty: amdim: lambda of the squared scores (code 0.05, paper 0.04).
        pairs: amdim: scales that predict each other, default 1-5, 1-7, 5-5.
        mixture: amdim: k features of a mixture; 0: none.
        alpha: amdim with a mixture: weight of its posterior's entropy.
        tau: amdim with a mixture: temperature of its posterior.
        n_views: amdim: views of an image that meet.
        memory: instdis, moco, infomin ...: where negatives come from: bank, queue or batch.
        negatives: K of the bank or the queue, at most the number of training images.
        jigsaw: add the JigSaw branch of PIRL and InfoMin.
        jigsaw_weight: its share beta of the loss.
        head: linear or mlp projection.
        loss: softmax; nce with a bank: binary, constant Z (Wu et al. 2018).
        momentum_encoder: alpha of the encoder that fills the queue.
        bank_momentum: share of the old row when a bank's row is renewed.
        seed: of weights, order, views and split.
        image_size: side in pixels the images are brought to.
        max_images: train on at most so many images.
        test_fraction: held out from data that have no test images of their own.
        data_root: folder that holds the named data sets.
        download: fetch a named data set that is not there.
        strict: stop at the first unreadable file.
        device: auto, cpu, cuda or mps.
        devices: how many.
        precision: auto (bf16 where the hardware gains by it), 32, bf16, 16.
        compile: compile the encoders (slow first step, faster afterwards).
        workers: processes that decode; auto: none for images in memory.
        evaluate_every: epochs between measurements on held-out images; 0: only at the end.
        save_every: steps between checkpoints in mid-epoch; 0: at the end of epochs.
        keep: epoch checkpoints kept beside last and best; -1: all.
        log: csv, tensorboard, wandb.
        on_collapse: warn or stop when all embeddings become one.
        probes: compare with raw pixels and untrained networks at the end.
        baseline_seeds: untrained networks in that comparison.
        resume: go on with the run in `out`.
        echo: takes the printed lines.

    Returns:
        The trained encoder, the metrics, the table and the verdict.

    Raises:
        UserError: something to be mended, in one line.
        Interrupted: Ctrl-C or SIGTERM; the state is saved, `resume` is the command to go on.

    Example:
        >>> run = train(data="digits", max_images=64, steps=1, batch_size=32, encoder="mlp",
        ...             views="none", probes=False, evaluate_every=0, device="cpu", echo=str)
        >>> len(run.metrics), run.method.encoders[0].dim
        (1, 100)
    """
    return _Training(dict(locals())).run()


class _Training:
    """The steps of one call of :func:`train`."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.echo: Echo = given.pop("echo")
        self.resume: bool = given.pop("resume")
        self.out = None if given["out"] is None else Path(given["out"])
        self.given = resolve(given)
        self.recipe = Recipe.load(self.given["views"])
        self.config = config_of(self.given, self.recipe)

    def run(self) -> Run:
        """All steps, with the disk watched."""
        if self.out is None:
            return self._run()
        with disk_guard(self.out):
            try:
                return self._run()
            except KeyboardInterrupt:
                raise self._interrupted(130) from None

    def _run(self) -> Run:
        self._check_folder()
        if self.resume and (run := self._finished()) is not None:
            return run
        loaded = self._load()
        settings = settings_of(self.given, streamed=not hasattr(loaded.train, "pixels")).check()
        design = self._design(loaded)
        method = design.build(self.given["seed"], images=len(loaded.train))
        for line in fewer_negatives(design.options, method):
            self.echo(f"warning: {line}")
        loader = data_room.loader(
            loaded.train,
            settings.batch_size,
            seed=settings.seed,
            partners=self.recipe.partners,
            workers=settings.workers,
        )
        self._open_folder(loaded, settings)
        partners = self.recipe.partners
        watched = evaluators(loaded.train, loaded.test, partners, settings.seed)
        result = fit(
            method,
            loader,
            settings,
            self.out,
            resume=self._has_checkpoint(),
            evaluators=watched if settings.evaluate_every or self.given["probes"] else (),
            config=what_is_trained(self.config),
            quiet=False,
            say=self.echo,
        )
        if result.interrupted is not None:
            raise self._interrupted(128 + result.interrupted)
        return self._conclude(method, design, loaded, result)

    def _check_folder(self) -> None:
        """Refuse to overwrite; when resuming, refuse other settings."""
        if self.out is None:
            if self.resume:
                raise UserError("--resume: there is no folder to go on with. Give --out.")
            return
        check_out(self.out, resume=self.resume)
        if not self.resume:
            return
        path = self.out / "config.yaml"
        if not path.exists():
            if self.out.exists() and any(self.out.iterdir()):
                raise UserError(
                    f"--out: {self.out} holds files, but no run (no config.yaml). "
                    "Name a run's folder, or a new one."
                )
            self.echo(f"{self.out}: nothing to resume, starting from the beginning")
            return
        check_unchanged(path, self.config)

    def _finished(self) -> Run | None:
        """The run that is there already, if it went to its end."""
        assert self.out is not None
        if not all((self.out / name).exists() for name in (CARD, "report.html", "config.yaml")):
            return None
        self.echo(f"{self.out}: this run is finished; nothing to do.")
        path = self.out / "probes.json"
        probes = read_json(path) if path.exists() else {}
        self._last_lines(probes)
        metrics = read_rows(self.out / "metrics.csv", 10**9)
        return Run(self.out, load(self.out), metrics, probes, probes.get("verdict", ""))

    def _load(self) -> Loaded:
        """The data; what was found is said at once."""
        loaded = self.given["data"]
        if not isinstance(loaded, Loaded):
            loaded = data_room.load(loaded, **{name: self.given[name] for name in LOADING})
        for line in data_lines(loaded, self.out):
            self.echo(line)
        for line in recipe_warnings(self.recipe, loaded.hints, loaded.train.shape):
            self.echo(f"warning: {line}")
        return loaded

    def _design(self, loaded: Loaded) -> Design:
        classes = len(loaded.train.classes) if labelled(loaded.train) else 0
        options = method_options(self.given, classes)
        shape = loaded.train.shape
        return Design(self.given["method"], self.given["encoder"], self.recipe, shape, options)

    def _open_folder(self, loaded: Loaded, settings: TrainSettings) -> None:
        """Write what is known before the first step."""
        if self.out is None or self._has_checkpoint():
            return
        write_json(self.out / "data_report.json", loaded.report)
        write_yaml(self.out / "config.yaml", self.config)
        accelerator = resolve_accelerator(settings.device)
        facts = {
            **environment(),
            "accelerator": accelerator,
            "precision": resolve_precision(settings.precision, accelerator),
            "command": f"goodviews train --config {quoted(self.out / 'config.yaml')} --out NEW",
        }
        write_json(self.out / "environment.json", facts)
        views = self.recipe.build(loaded.train.shape)
        sheet = pair_sheet(views, loaded.train, self.recipe.partners, settings.seed)
        write_atomic(self.out / "views.png", lambda path: sheet.save(path, format="PNG"))

    def _has_checkpoint(self) -> bool:
        found = self.out is not None and (self.out / "checkpoints" / "last.ckpt").exists()
        return found and self.resume

    def _conclude(
        self, method: ViewMethod, design: Design, loaded: Loaded, result: FitResult
    ) -> Run:
        """Export the encoder, compare it, write the page, say the last lines."""
        metrics: list[dict[str, Any]] = [dict(row) for row in result.history]
        method.eval().requires_grad_(False)
        run = Run(self.out, method, metrics)
        sample = embedding_sample(method, loaded.train)
        if self.out is None:
            refuse_useless(method, sample, "train")
        else:
            steps = {"data": loaded.name, "steps": result.steps, "epochs": result.epochs}
            export(method, design, self.out, sample, **steps)
        if self.given["probes"]:
            run.probes = self._probe(method, design, loaded)
            run.verdict = run.probes["verdict"]
        if self.out is not None:
            report.run_page(self.out)
        self._last_lines(run.probes)
        return run

    def _probe(self, method: ViewMethod, design: Design, loaded: Loaded) -> dict[str, Any]:
        """The table, and the files beside it."""
        seed, seeds = self.given["seed"], range(self.given["baseline_seeds"])
        method.to(resolve_accelerator(self.given["device"]))
        rivals = Rivals.of(method, design, [seed + 1 + i for i in seeds])
        linear = None
        if labelled(loaded.train, loaded.test):
            train = draw(loaded.train, PROBE_IMAGES, seed, labelled=True)
            test = draw(loaded.test, PROBE_IMAGES, seed, labelled=True)
            table, found = compare(rivals, train, test, seed=seed)
            linear = found["linear"][RUN][0]
        else:
            table = unlabelled_table(rivals, draw(loaded.test, PROBE_IMAGES, seed))
        if self.out is not None:
            write_json(self.out / "probes.json", table)
            write_artefacts(self.out, method, loaded.test, self.recipe.partners, linear, seed)
        method.to("cpu")
        return table

    def _last_lines(self, probes: Mapping[str, Any]) -> None:
        if probes:
            self.echo("")
            self.echo(format_table(probes))
            self.echo(f"verdict: {probes['verdict']}")
        if self.out is not None:
            out = quoted(self.out)
            self.echo(f"report: {self.out / 'report.html'}")
            self.echo(f"evaluate: goodviews evaluate {out} --probe mlp")
            self.echo(f"embed: goodviews embed {out} --data FOLDER --out embeddings.npz")

    def _interrupted(self, code: int) -> Interrupted:
        """The exception that says how to go on, if there is anything to go on with."""
        command = ""
        if self.out is not None and (self.out / "config.yaml").exists():
            command = f"goodviews train --config {quoted(self.out / 'config.yaml')} --resume"
        return Interrupted(code, command)
