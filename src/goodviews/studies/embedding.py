"""Write the embeddings of images to one file: ``goodviews embed``."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from goodviews.evaluation.features import extract
from goodviews.files import write_atomic
from goodviews.interfaces import ImageSource, UserError
from goodviews.studies.evaluate import open_data
from goodviews.studies.folder import disk_guard
from goodviews.studies.frozen import load, load_design
from goodviews.training import resolve_accelerator

Columns = dict[str, np.ndarray]


def embed(
    run: str | Path,
    data: Any = None,
    out: str | Path = "embeddings.npz",
    *,
    labels: Any = None,
    max_images: int | None = None,
    data_root: str | Path | None = None,
    download: bool = False,
    strict: bool = False,
    overwrite: bool = False,
    device: str = "auto",
    echo: Callable[[str], None] = print,
) -> Path:
    """Write a run's representation of every image, with file names, labels and split.

    Args:
        run: folder of a finished run.
        data: images to embed; default: the run's own data.
        out: .npz (embeddings (N, D) float32, files, labels, split), .parquet or .csv.
        labels: a CSV of file,label; a factor's name. Default: what the data bring.
        max_images: embed at most so many training images (and a quarter as many held-out).
        data_root: folder that holds the named data sets.
        download: fetch a named data set that is not there.
        strict: stop at the first unreadable file.
        overwrite: replace `out` if it exists.
        device: auto, cpu, cuda or mps.
        echo: takes the printed lines.

    Returns:
        The path of the file.

    Raises:
        UserError: no trained encoder there, an unknown ending, a file that exists.
    """
    run, out = Path(run), Path(out)
    write = _writer(out)
    if out.exists() and not overwrite:
        raise UserError(f"--out: {out} exists. Name another file, or replace it with --overwrite.")
    design, method = load_design(run), load(run, resolve_accelerator(device))
    given = {"labels": labels, "data_root": data_root, "strict": strict, "max_images": max_images}
    loaded = open_data(run, data, design.image_shape[-1], download=download, **given)
    parts = {"train": loaded.train, "test": loaded.test}
    columns = {
        "embeddings": np.concatenate([extract(method, part).numpy() for part in parts.values()]),
        "files": np.concatenate([_files(part, split) for split, part in parts.items()]),
        "labels": np.concatenate([_labels(part) for part in parts.values()]),
        "split": np.repeat(list(parts), [len(part) for part in parts.values()]),
    }
    with disk_guard(out):
        write_atomic(out, lambda path: write(path, columns))
    n, width = columns["embeddings"].shape
    echo(f"{n:,} embeddings of {width} numbers: {out}")
    return out


def _files(source: ImageSource, split: str) -> np.ndarray:
    """File names where there are files, else names such as digits/train/17."""
    paths = getattr(source, "paths", None)
    if paths is None:
        paths = [f"{source.name}/{split}/{i}" for i in range(len(source))]
    return np.asarray(paths, dtype=np.str_)


def _labels(source: ImageSource) -> np.ndarray:
    """Class names, "" where unlabelled."""
    if source.labels is None:
        return np.full(len(source), "", dtype=np.str_)
    names = [source.classes[i] if i >= 0 else "" for i in source.labels.tolist()]
    return np.asarray(names, dtype=np.str_)


def _writer(out: Path) -> Callable[[Path, Columns], None]:
    """What writes a file of this ending; an extra that is missing is told before the work."""
    known = {".npz": _npz, ".csv": _csv, ".parquet": _parquet}
    if out.suffix not in known:
        raise UserError(f"--out: {out} ends in none of {', '.join(known)}. Choose one of them.")
    if out.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise UserError('--out: .parquet needs pyarrow. Run: pip install "goodviews[parquet]"')
    return known[out.suffix]


def _npz(path: Path, columns: Columns) -> None:
    np.savez(path, allow_pickle=False, **columns)


def _csv(path: Path, columns: Columns) -> None:
    width = columns["embeddings"].shape[1]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "label", "split", *(f"e{i}" for i in range(width))])
        rows = zip(*(columns[n] for n in ("files", "labels", "split", "embeddings")), strict=True)
        for name, label, split, numbers in rows:
            writer.writerow([name, label, split, *(f"{x:.7g}" for x in numbers)])


def _parquet(path: Path, columns: Columns) -> None:
    import pyarrow  # optional extra "parquet"
    from pyarrow import parquet

    numbers = columns["embeddings"]
    flat = pyarrow.array(numbers.ravel())
    table = pyarrow.table(
        {
            "file": columns["files"].tolist(),
            "label": columns["labels"].tolist(),
            "split": columns["split"].tolist(),
            "embedding": pyarrow.FixedSizeListArray.from_arrays(flat, numbers.shape[1]),
        }
    )
    parquet.write_table(table, path)
