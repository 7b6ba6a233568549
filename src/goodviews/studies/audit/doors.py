"""The two ways in: a run's folder, or a torch module with its views."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from goodviews import data as data_room
from goodviews.data import Loaded
from goodviews.interfaces import Interrupted, UserError
from goodviews.studies.audit.session import Audit, Session
from goodviews.studies.audit.subject import Subject, subject_of_module, subject_of_run
from goodviews.studies.evaluate import open_data
from goodviews.studies.folder import command_line, disk_guard
from goodviews.training import resolve_accelerator

Echo = Callable[[str], None]


def audit(
    run: str | Path,
    data: Any = None,
    *,
    labels: Any = None,
    data_root: str | Path | None = None,
    download: bool = False,
    max_images: int | None = None,
    strict: bool = False,
    seeds: int = 3,
    seed: int = 0,
    device: str = "auto",
    out: str | Path | None = None,
    echo: Echo = print,
) -> Audit:
    """Put the doubts of Tschannen et al. 2019 to a trained run: is it really mutual information?

    On held-out images: is the bound at its ceiling; do raw pixels, an untrained network or an
    invertible map give a fresh critic as many nats; how does the reading change with the critic
    and the negatives; conditioning and rank; does fewer nats go with a better probe. Each check has
    a number with its error, a reading and a status; the verdict follows written rules.

    Writes OUT/audit.json, report.html and kept/; the same call goes on where it was interrupted.

    Args:
        run: folder of a finished run.
        data: what to audit on; default: the run's own data.
        labels: a CSV of file,label; a factor's name; "none". Default: what the data bring.
        data_root: folder that holds the named data sets.
        download: fetch a named data set that is not there.
        max_images: use at most so many training images, and a quarter as many held-out ones.
        strict: stop at the first unreadable file.
        seeds: untrained networks, and fresh critics of every other contender.
        seed: of images drawn, views, critics and networks.
        device: auto, cpu, cuda or mps.
        out: folder; default RUN/audit.
        echo: takes the printed lines.

    Returns:
        The record and its folder.

    Raises:
        UserError: no trained encoder there, too few images, a folder with another audit.
        Interrupted: Ctrl-C; what was measured is kept.

    References:
        Tschannen et al. 2019, "On Mutual Information Maximization for Representation Learning".
    """
    given = dict(locals())
    _check_seeds(seeds)
    run = Path(run)
    subject = subject_of_run(run, resolve_accelerator(device))
    size = int(subject.facts["image_shape"][-1])
    wanted = {"labels": labels, "data_root": data_root, "strict": strict, "max_images": max_images}
    loaded = open_data(run, data, size, download=download, **wanted)
    command = command_line("audit", audit, given).replace(" --data None", "")
    folder = run / "audit" if out is None else Path(out)
    return _audited(subject, loaded, seeds, seed, folder, command, echo)


def audit_encoder(
    encoder: nn.Module | tuple[nn.Module, nn.Module],
    views: Any,
    data: Any,
    *,
    head: nn.Module | None = None,
    critic: nn.Module | None = None,
    untrained: Callable[[int], Any] | None = None,
    name: str = "encoder",
    labels: Any = None,
    image_size: int | None = None,
    max_images: int | None = None,
    seeds: int = 3,
    seed: int = 0,
    device: str = "auto",
    out: str | Path | None = None,
    echo: Echo = print,
) -> Audit:
    """The same audit of any torch encoder and the views it was trained on.

    The encoder is copied; yours stays as it is.

    Args:
        encoder: views (n, c, h, w) -> (n, D), a tensor or Features; a pair of modules where the
            views need one each.
        views: a recipe's name, dict or Recipe, or an object as
            :class:`goodviews.interfaces.Views` has it.
        data: what :func:`goodviews.data.load` takes, or what it returned.
        head: (n, D) -> (n, d), what the critic reads of the encoder's output.
        critic: (z1, z2) -> scores (n, n). Without it, checks of the own critic are read under a
            fresh one or left out.
        untrained: a seed -> the encoder anew, untrained. Default: every layer of a copy draws its
            weights by ``reset_parameters``; left out where a layer has none.
        name: in headings.
        labels: see :func:`goodviews.data.load`.
        image_size: side in pixels that images are brought to.
        max_images: use at most so many training images, and a quarter as many held-out ones.
        seeds: untrained networks, and fresh critics of every other contender.
        seed: of images drawn, views, critics and networks.
        device: auto, cpu, cuda or mps.
        out: folder for audit.json and report.html; None writes nothing.
        echo: takes the printed lines.

    Returns:
        The record and its folder.

    Raises:
        UserError: no torch module, views or data that do not fit.

    Example:
        ``audit_encoder(resnet, "simclr", "photos/", head=head, out="audit").verdict`` takes
        minutes; what does not fit is told at once:

        >>> audit_encoder(abs, "simclr", "digits", device="cpu")
        Traceback (most recent call last):
        goodviews.interfaces.UserError: encoder: builtin_function_or_method is no torch module. \
Give a torch.nn.Module, or for a run's folder call audit(RUN).
    """
    _check_seeds(seeds)
    loaded = data
    if not isinstance(data, Loaded):
        loaded = data_room.load(data, labels=labels, image_size=image_size, max_images=max_images)
    subject = subject_of_module(
        encoder,
        views,
        loaded.train.shape,
        head=head,
        critic=critic,
        untrained=untrained,
        name=name,
        device=resolve_accelerator(device),
    )
    folder = None if out is None else Path(out)
    return _audited(subject, loaded, seeds, seed, folder, "", echo)


def _check_seeds(seeds: int) -> None:
    if seeds < 1:
        raise UserError(f"--seeds: {seeds}. Use 1 or more, for example 3.")


def _audited(
    subject: Subject,
    loaded: Loaded,
    seeds: int,
    seed: int,
    out: Path | None,
    command: str,
    echo: Echo,
) -> Audit:
    """One session, with the disk watched and an interruption told."""
    try:
        if out is None:
            return Session(subject, loaded, seeds, seed, None, command, echo).run()
        with disk_guard(out):
            return Session(subject, loaded, seeds, seed, out, command, echo).run()
    except KeyboardInterrupt:
        raise Interrupted(130, command if out is not None else "") from None
