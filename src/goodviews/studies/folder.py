"""The folder of a run or a study: atomic files, the environment, refusal to overwrite."""

from __future__ import annotations

import errno
import inspect
import json
import math
import os
import platform
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from goodviews.data import Loaded
from goodviews.files import write_text
from goodviews.interfaces import UserError

PACKAGES = (
    "goodviews",
    "torch",
    "torchvision",
    "lightning",
    "numpy",
    "scikit-learn",
    "scipy",
    "pillow",
    "timm",
)
"""Packages whose versions a run records."""


def plain(value: Any) -> Any:
    """``value`` with tuples, paths, tensors and arrays as JSON's own types; not-a-number as None.

    Example:
        >>> from pathlib import Path
        >>> plain({"a": (1, Path("b")), "c": float("nan")})
        {'a': [1, 'b'], 'c': None}
    """
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value) if isinstance(value, (set, frozenset)) else value
        return [plain(item) for item in items]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)


def write_json(path: Path | str, value: Any) -> Path:
    """Write ``value`` as indented JSON, atomically; not-a-number becomes null."""
    return write_text(path, json.dumps(plain(value), indent=2, allow_nan=False) + "\n")


def write_yaml(path: Path | str, value: Any) -> Path:
    """Write ``value`` as YAML in its own key order, atomically."""
    return write_text(path, yaml.safe_dump(plain(value), sort_keys=False, allow_unicode=True))


def read_json(path: Path | str) -> Any:
    """The value in a JSON file.

    Raises:
        UserError: when the file is missing or no JSON.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file. Is this the folder of a finished run?") from None
    except ValueError as error:
        raise UserError(f"{path}: not readable as JSON ({error}). Make the run again.") from None


def environment() -> dict[str, Any]:
    """Versions and machine, to be kept beside a result.

    Returns:
        python, platform, packages (name -> version), processor, cpus, threads, memory_gb, device.

    Example:
        >>> sorted(environment())[:3]
        ['cpus', 'device', 'memory_gb']
    """
    import torch  # kept here so that the folder's file functions stay free of it

    packages = {}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            packages[name] = metadata.version(name)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": packages,
        "processor": _processor(),
        "cpus": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": _memory_gb(),
        "device": gpu,
    }


def _processor() -> str:
    """The processor's name as the system tells it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _memory_gb() -> float | None:
    """Physical memory in GB, where the system tells it."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, ValueError, OSError):
        return None


def check_out(out: Path, *, resume: bool, flag: str = "--out") -> None:
    """Refuse to write into a folder that already holds something, unless it is resumed.

    Raises:
        UserError: when ``out`` is a file, or non-empty and not resumed; names the two ways out.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{flag}: {out} is a file. Name a folder, for example {flag} {out}-run.")
    if out.is_dir() and any(out.iterdir()) and not resume:
        raise UserError(
            f"{flag}: {out} is not empty. Continue what is there with --resume, "
            f"or name another folder: {flag} {free_name(out)}."
        )


def open_study(out: Path, settings: dict[str, Any]) -> Path:
    """The study's folder; refuses one that holds another study or anything else.

    Args:
        out: the folder, made if need be.
        settings: what every row is made with; kept in settings.json.

    Raises:
        UserError: with the settings that differ.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"--out: {out} is a file. Name a folder.")
    before = out / "settings.json"
    if before.exists():
        old = read_json(before)
        names = [*(name for name in old if name not in settings), *settings]
        changed = [name for name in names if old.get(name) != settings.get(name)]
        if changed:
            pairs = [f"{k}: {old.get(k)!r} -> {settings.get(k)!r}" for k in changed[:4]]
            raise UserError(
                f"--out: {out} holds a study with other settings ({', '.join(pairs)}). "
                "Use another --out, or the same settings to resume."
            )
    elif out.exists() and any(out.iterdir()):
        raise UserError(f"--out: {out} is not empty and holds no study. Use another --out.")
    write_json(before, settings)
    return out


def command_line(verb: str, function: Callable[..., Any], given: Mapping[str, Any]) -> str:
    """The command that runs a study again: the data, and what differs from the defaults.

    Example:
        >>> def study(data, *, seeds=3, out="x", echo=print): ...
        >>> command_line("study", study, {"data": "a b", "seeds": 5, "out": "x", "echo": str})
        "goodviews study --data 'a b' --seeds 5"
    """
    words = ["goodviews", verb]
    for name, parameter in inspect.signature(function).parameters.items():
        value = given[name]
        if name == "echo" or (value == parameter.default and name != "data"):
            continue
        value = ",".join(value) if isinstance(value, list | tuple) else str(value)
        words += [f"--{name.replace('_', '-')}", quoted(value)]
    return " ".join(words)


def free_name(out: Path) -> Path:
    """The first of out-2, out-3, ... that does not exist."""
    number = 2
    while (candidate := out.with_name(f"{out.name}-{number}")).exists():
        number += 1
    return candidate


@contextmanager
def disk_guard(out: Path | str) -> Iterator[None]:
    """Turn a full disk or a folder that may not be written into one clear line.

    Raises:
        UserError: naming the folder and what is free.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise UserError(
                f"--out: no space left on the disk of {out}{_free(out)}. "
                "Free some space and continue with --resume, or name a folder elsewhere."
            ) from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise UserError(
                f"--out: {error.filename or out} may not be written ({error.strerror}). "
                "Name a folder of your own."
            ) from error
        raise
    except RuntimeError as error:  # torch's zip writer reports a full disk in its own words
        if "PytorchStreamWriter" in str(error) or "file write failed" in str(error):
            raise UserError(
                f"--out: {out} could not be written{_free(out)}. "
                "Free some space and continue with --resume, or name a folder elsewhere."
            ) from error
        raise


def _free(out: Path | str) -> str:
    """' (12 MB free)' for the disk that holds ``out``, or nothing when unknown."""
    place = Path(out).absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        return f" ({shutil.disk_usage(place).free / 1e6:.0f} MB free)"
    except OSError:
        return ""


def quoted(path: Path | str) -> str:
    """The path as one word of a shell command.

    Example:
        >>> quoted("my run")
        "'my run'"
    """
    return shlex.quote(str(path))


def data_lines(loaded: Loaded, out: Path | None) -> list[str]:
    """What was found in the data, for people: counts, size, labels, skipped files, warnings."""
    found, (c, h, w) = loaded.report, loaded.train.shape
    counts = f"{len(loaded.train):,} training and {len(loaded.test):,} held-out images"
    parts = [f"{counts}, {c}x{h}x{w}"]
    classes, known = len(loaded.train.classes), found.get("labelled", 0)
    parts.append(f"{known:,} labelled in {classes} classes" if known else "no labels")
    if skipped := found.get("skipped"):
        where = f" (listed in {out / 'data_report.json'})" if out else ""
        parts.append(f"{len(skipped)} files skipped{where}")
    lines = [f"data: {loaded.name}: {', '.join(parts)}"]
    return lines + [f"warning: {line}" for line in found.get("warnings", ())]
