"""Files of links, features and labels: csv, tsv, txt, parquet, mat, graphml, npz, npy, folders."""

from __future__ import annotations

import csv
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from scipy.io import loadmat

from goodviews.data.graphs.raw import Raw, Rows
from goodviews.interfaces import UserError, check_name

Columns = dict[str, np.ndarray]

EDGE_FILES = (".csv", ".tsv", ".txt", ".parquet", ".mat", ".graphml", ".npz")
ENDS = (("source", "target"), ("src", "dst"), ("from", "to"), ("u", "v"), ("node1", "node2"))
"""What the two columns of links may be called; otherwise the first two are taken."""
IDS = ("id", "node", "node_id", "name")
LABELS = ("label", "labels", "class", "y", "node_labels")
FEATURES = ("features", "node_features", "x")
_NAMED_COLUMNS = re.compile(r"^(.+\.(?:csv|tsv|txt|parquet)):([^/\\:]+)$")


def read_graph(data: str) -> Raw:
    r"""Read a graph from a file or folder.

    Args:
        data: a list of links (.csv, .tsv, .txt, .parquet; ``links.csv:buyer,seller`` names the
            two columns), an adjacency matrix (.mat; .npz of scipy.sparse), .graphml, .npz of
            arrays (``edges`` (m, 2) or ``edge_index`` (2, e), ``node_features``, ``node_labels``,
            ``train_masks`` ...), or a folder of ``edges.*`` with ``features.*`` and ``labels.*``.

    Raises:
        UserError: no such file, an ending that is not known, a file that cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "links.csv"
        ...     _ = path.write_text("source,target\nann,bob\nbob,eve\n")
        ...     read_graph(str(path)).edges.tolist()
        [['ann', 'bob'], ['bob', 'eve']]
    """
    named = _NAMED_COLUMNS.match(data)
    path = Path(named[1] if named else data).expanduser()
    where = f"--data: {path}"
    if path.is_dir():
        return _folder(path)
    _check_file(path, where, EDGE_FILES)
    suffix = path.suffix.lower()
    if suffix in TABLES:
        return _links_of_table(path, where, named[2].split(",") if named else None)
    return {".mat": _mat, ".graphml": _graphml, ".npz": _npz}[suffix](path, where)


def read_rows(path: Path, flag: str, names: tuple[str, ...]) -> Rows:
    """Read features or labels: rows by id where there is a column of ids, else in order.

    Args:
        path: .csv, .tsv, .txt, .parquet, .npz or .npy.
        flag: "--features" or "--labels", for messages.
        names: what the array of an .npz, or the column of labels, may be called.
    """
    where = f"{flag}: {path}"
    _check_file(path, where, (*TABLES, ".npz", ".npy"))
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return Rows(_load(path, where), where)
    if suffix == ".npz":
        return _rows_of_npz(path, where, names)
    columns = TABLES[suffix](path, where)
    ids = _ids_of(columns, labels="label" in names)
    key = columns.pop(ids) if ids is not None else None
    if not columns:
        raise UserError(f"{where}: has a column of ids and nothing else. Add values.")
    if "label" in names:
        chosen = next((name for name in columns if name.lower() in names), next(iter(columns)))
        return Rows(columns[chosen], where, key)
    for name, column in columns.items():
        if column.dtype.kind not in "biuf":
            raise UserError(
                f"{where}: column {name!r} holds text ({str(column[0])!r}). Use numbers."
            )
    return Rows(np.stack(list(columns.values()), axis=1), where, key)


def _ids_of(columns: Columns, labels: bool) -> str | None:
    """The column of ids: by its name; of two columns without names the first goes with labels."""
    first = next(iter(columns))
    by_name = next((name for name in columns if name.lower() in IDS), None)
    if by_name is not None or not (labels and len(columns) == 2 and first == "0"):
        return by_name
    return first


def _check_file(path: Path, where: str, endings: tuple[str, ...]) -> None:
    if path.suffix.lower() not in endings:
        ending = path.suffix or "none"
        raise UserError(f"{where}: ending {ending} is not known. Use {' '.join(endings)}.")
    if not path.is_file():
        raise UserError(f"{where}: no such file. Check the path.")
    if not path.stat().st_size:
        raise UserError(f"{where}: is empty. Give a file with rows.")


def _folder(path: Path) -> Raw:
    """A folder of edges.*, and features.* and labels.* where there are any."""
    found = {stem: sorted(path.glob(f"{stem}.*")) for stem in ("edges", "features", "labels")}
    if not found["edges"]:
        raise UserError(f"--data: {path} holds no edges.*. Give a folder with edges.csv or so.")
    for stem, files in found.items():
        if len(files) > 1:
            names = ", ".join(file.name for file in files)
            raise UserError(f"--data: {path} holds several {stem} ({names}). Keep one.")
    raw = read_graph(str(found["edges"][0]))
    for file in found["features"]:
        raw.features = read_rows(file, "--features", FEATURES)
    for file in found["labels"]:
        raw.labels = read_rows(file, "--labels", LABELS)
    return raw


# --- tables ---------------------------------------------------------------------------------------


def _links_of_table(path: Path, where: str, chosen: list[str] | None) -> Raw:
    titled = chosen is not None and not all(name.isdigit() for name in chosen)
    columns = TABLES[path.suffix.lower()](path, where, titled)
    names = list(columns)
    if chosen is None:
        lower = {name.lower(): name for name in names}
        pair = next((pair for pair in ENDS if set(pair) <= set(lower)), None)
        chosen = [lower[end] for end in pair] if pair else names[:2]
    if len(chosen) != 2:
        raise UserError(f"{where}: links need two columns, has {', '.join(chosen)}. Name two.")
    for name in chosen:
        check_name(f"{where}: column", name, names)
    ends = [columns[name] for name in chosen]
    if any(end.dtype.kind == "U" for end in ends):
        ends = [end.astype(str) for end in ends]
    others = [name for name in names if name not in chosen]
    notes = [f"columns not used: {', '.join(others[:5])}"] if others else []
    return Raw(np.stack(ends, axis=1), where, notes=notes)


def _text(path: Path, where: str, titled: bool = False) -> Columns:
    """Columns of a text file; lines that begin with # or % are comments.

    Args:
        path: UTF-8.
        where: for messages.
        titled: the first line names the columns, whatever it looks like.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (UnicodeDecodeError, OSError) as error:
        raise UserError(f"{where}: is no UTF-8 text. Save it as UTF-8.") from error
    numbers = [
        i for i, line in enumerate(lines, 1) if line.strip() and line.lstrip()[0] not in "#%"
    ]
    kept = [lines[i - 1] for i in numbers]
    if not kept:
        raise UserError(f"{where}: holds no row. Give one line a row.")
    marks = "\t" if path.suffix.lower() == ".tsv" else ",;\t"
    mark = next((mark for mark in marks if mark in kept[0]), None)
    rows = list(csv.reader(kept, delimiter=mark)) if mark else [line.split() for line in kept]
    width = len(rows[0])
    for number, row in zip(numbers, rows, strict=False):
        cells_needed = row[1:] if number == numbers[0] else row  # a data frame's index has no name
        if len(row) != width or not all(cell.strip() for cell in cells_needed):
            what = (
                f"has {len(row)} cells, not {width}" if len(row) != width else "has an empty cell"
            )
            raise UserError(f"{where}: line {number} {what}. Mend that line.")
    cells = [np.char.strip(np.array(column)) for column in zip(*rows, strict=True)]
    titled = titled or _is_header(cells)
    names = [str(c[0]) or "id" for c in cells] if titled else [str(j) for j in range(width)]
    if len(set(names)) < width:
        raise UserError(f"{where}: two columns have one name ({', '.join(names)}). Rename one.")
    if titled and len(rows) == 1:
        raise UserError(f"{where}: holds a header and no row. Give one line a row.")
    return {name: _numbers(c[titled:]) for name, c in zip(names, cells, strict=True)}


def _is_header(cells: list[np.ndarray]) -> bool:
    """Whether the first line names the columns: a name we know, or a word above numbers."""
    known = {name for pair in ENDS for name in pair} | set(IDS) | set(LABELS)
    if any(column[0].lower() in known for column in cells):
        return True
    return any(
        len(column) > 1
        and _numbers(column[:1]).dtype.kind == "U"
        and _numbers(column[1:]).dtype.kind != "U"
        for column in cells
    )


def _numbers(cells: np.ndarray) -> np.ndarray:
    """Integers, else floats, else the text as it is."""
    for kind in (np.int64, np.float64):
        try:
            return cells.astype(kind)
        except (ValueError, OverflowError):
            continue
    return cells


def _parquet(path: Path, where: str, titled: bool = True) -> Columns:
    try:
        from pyarrow import ArrowException, parquet  # optional extra "parquet"
    except ImportError as error:
        raise UserError(f'{where}: needs pyarrow. Run: pip install "goodviews[parquet]"') from error
    try:
        table = parquet.read_table(path)
    except (ArrowException, OSError) as error:
        raise UserError(f"{where}: cannot be read as parquet. Write it again.") from error
    found = {name: np.asarray(table.column(name).to_pylist()) for name in table.column_names}
    for name, column in found.items():
        if column.dtype.kind == "O" or not len(column):
            raise UserError(f"{where}: column {name!r} has missing or mixed values. Mend it.")
    return found


TABLES: dict[str, Callable[..., Columns]] = {
    ".csv": _text,
    ".tsv": _text,
    ".txt": _text,
    ".parquet": _parquet,
}


# --- matrices and arrays --------------------------------------------------------------------------


def _matrix(matrix: Any, where: str) -> Raw:
    """Links are the entries of an adjacency matrix that are not 0; their values are not kept."""
    coo = sparse.coo_matrix(matrix)
    if coo.shape[0] != coo.shape[1]:
        raise UserError(f"{where}: a matrix of {coo.shape} is no adjacency. Give a square one.")
    present = coo.data != 0
    edges = np.stack([coo.row[present], coo.col[present]], axis=1).astype(np.int64)
    pattern = sparse.csr_matrix((np.ones(len(edges)), edges.T), shape=coo.shape)
    notes = ["link weights not used"] if len(np.unique(coo.data[present])) > 1 else []
    directed = (pattern != pattern.T).nnz > 0
    return Raw(edges, where, coo.shape[0], directed=directed, notes=notes)


def _mat(path: Path, where: str) -> Raw:
    try:
        found = loadmat(path)
    except NotImplementedError as error:
        raise UserError(f"{where}: is of MATLAB 7.3. Save it with -v7.") from error
    except Exception as error:  # scipy raises many kinds for one fault: no whole .mat file
        raise UserError(f"{where}: cannot be read as .mat. Write it again.") from error
    square = {
        name: value
        for name, value in found.items()
        if not name.startswith("__") and value.ndim == 2 and value.shape[0] == value.shape[1] > 1
    }
    if not square:
        names = ", ".join(name for name in found if not name.startswith("__"))
        raise UserError(f"{where}: has no square matrix (has {names or 'nothing'}). Name it net.")
    return _matrix(square.get("net", next(iter(square.values()))), where)


def _graphml(path: Path, where: str) -> Raw:
    try:
        import networkx  # optional extra "graph"
    except ImportError as error:
        raise UserError(f'{where}: needs networkx. Run: pip install "goodviews[graph]"') from error
    try:
        graph = networkx.read_graphml(path)
    except Exception as error:  # networkx and its parser raise many kinds for one fault
        raise UserError(f"{where}: cannot be read as GraphML. Write it again.") from error
    names = np.array(sorted(graph.nodes))
    ids = _numbers(names) if _numbers(names).dtype.kind == "i" else names
    place = {name: ids[i] for i, name in enumerate(names.tolist())}
    edges = np.array([[place[u], place[v]] for u, v in graph.edges()]).reshape(-1, 2)
    values = [graph.nodes[name].get("label") for name in names.tolist()]
    labelled = any(value is not None for value in values)
    texts = np.array(["" if value is None else str(value) for value in values])
    rows = Rows(texts if labelled else np.full(len(names), -1), where, ids)
    return Raw(edges, where, labels=rows, directed=graph.is_directed())


def _load(path: Path, where: str) -> Any:
    """The array of an .npy file or the arrays of an .npz file."""
    try:
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
            return found if isinstance(found, np.ndarray) else {k: found[k] for k in found.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{where}: cannot be read. Write plain arrays with np.savez.") from error


def _npz(path: Path, where: str) -> Raw:
    arrays = _load(path, where)
    if not isinstance(arrays, Mapping):
        raise UserError(f"{where}: holds one array. Write it with np.savez(path, edges=edges).")
    features = _first(arrays, FEATURES, where)
    labels = _first(arrays, LABELS, where)
    if {"indices", "indptr", "shape", "format"} <= set(arrays):
        raw = _matrix(sparse.load_npz(path), where)
    elif "adj_indptr" in arrays:  # Shchur et al. 2018: Amazon, Coauthor
        raw = _matrix(_csr(arrays, "adj"), where)
        raw.notes = []
        if "attr_indptr" in arrays:
            words = _csr(arrays, "attr").toarray() > 0
            features = Rows(words.astype(np.float32), where)
    else:
        raw = _edge_array(arrays, where)
    raw.features, raw.labels = features, labels
    for part in ("train", "val", "test"):
        for name in (f"{part}_masks", f"{part}_mask"):
            if name in arrays:
                raw.masks[f"{part}_mask"] = arrays[name]
    return raw


def _edge_array(arrays: Mapping[str, np.ndarray], where: str) -> Raw:
    name = next((name for name in ("edges", "edge_index", "links") if name in arrays), None)
    if name is None:
        raise UserError(f"{where}: has no array edges (has {', '.join(arrays)}). Add edges (m, 2).")
    edges = arrays[name]
    if edges.ndim == 2 and (name == "edge_index" or edges.shape[1] != 2) and len(edges) == 2:
        edges = edges.T
    if edges.ndim != 2 or (edges.size and edges.shape[1] != 2):
        raise UserError(f"{where}: {name} has shape {edges.shape}. Give links as (m, 2).")
    return Raw(edges, where)


def _csr(arrays: Mapping[str, np.ndarray], name: str) -> Any:
    parts = (arrays[f"{name}_{part}"] for part in ("data", "indices", "indptr"))
    return sparse.csr_matrix(tuple(parts), shape=tuple(arrays[f"{name}_shape"]))


def _first(arrays: Mapping[str, np.ndarray], names: tuple[str, ...], where: str) -> Rows | None:
    name = next((name for name in names if name in arrays), None)
    return None if name is None else Rows(arrays[name], where)


def _rows_of_npz(path: Path, where: str, names: tuple[str, ...]) -> Rows:
    arrays = _load(path, where)
    if {"indices", "indptr", "shape", "format"} <= set(arrays):
        return Rows(sparse.load_npz(path).toarray(), where)
    ids = next((arrays.pop(name) for name in ("ids", *IDS) if name in arrays), None)
    found = _first(arrays, names, where)
    if found is None and len(arrays) == 1:
        found = Rows(next(iter(arrays.values())), where)
    if found is None:
        raise UserError(f"{where}: has no array {names[0]} (has {', '.join(arrays)}). Name one so.")
    found.ids = ids
    return found
