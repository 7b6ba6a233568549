"""Graphs known by name. Raw files are read where they lie; nothing is written beside them."""

from __future__ import annotations

import json
import shutil
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data, extract_zip
from torch_geometric.datasets import (
    Amazon,
    Coauthor,
    HeterophilousGraphDataset,
    Planetoid,
    TUDataset,
    WikiCS,
)
from torch_geometric.io import read_planetoid_data, read_tu_data

from goodviews.data.catalogue import did_you_mean
from goodviews.data.graphs.files import read_graph
from goodviews.data.graphs.raw import Raw, Rows
from goodviews.files import write_atomic
from goodviews.interfaces import UserError

PLANETOID = {"cora": "Cora", "citeseer": "CiteSeer", "pubmed": "PubMed"}
TU = {"mutag": "MUTAG", "proteins": "PROTEINS", "imdb-binary": "IMDB-BINARY"}
SEAL = "https://github.com/muhanzhang/SEAL/raw/master"

FILES: dict[str, tuple[str, str]] = {
    **{
        name: (f"heterophilous/{file}.npz", f"{HeterophilousGraphDataset.url}/{file}.npz")
        for name, file in {
            "texas": "texas",
            "cornell": "cornell",
            "wisconsin": "wisconsin",
            "actor": "actor",
            "chameleon": "chameleon_filtered",
            "squirrel": "squirrel_filtered",
            "roman-empire": "roman_empire",
            "amazon-ratings": "amazon_ratings",
            "minesweeper": "minesweeper",
            "tolokers": "tolokers",
            "questions": "questions",
        }.items()
    },
    **{
        file.lower(): (f"link_prediction/{file}.mat", f"{SEAL}/{folder}/data/{file}.mat")
        for folder, files in {
            "Python": ("USAir", "Celegans", "Power", "Router", "Ecoli"),
            "MATLAB": ("NS", "PB", "Yeast"),
        }.items()
        for file in files
    },
    "amazon-computers": (
        "Amazon/Computers/raw/amazon_electronics_computers.npz",
        f"{Amazon.url}amazon_electronics_computers.npz",
    ),
    "amazon-photo": (
        "Amazon/Photo/raw/amazon_electronics_photo.npz",
        f"{Amazon.url}amazon_electronics_photo.npz",
    ),
    "coauthor-cs": ("Coauthor/CS/raw/ms_academic_cs.npz", f"{Coauthor.url}ms_academic_cs.npz"),
    "coauthor-physics": (
        "Coauthor/Physics/raw/ms_academic_phy.npz",
        f"{Coauthor.url}ms_academic_phy.npz",
    ),
}
"""Sets of one file: where it lies below the folder of graphs, and where it can be fetched."""

GRAPHS: dict[str, str] = {
    "cora": "2,708 papers, 5,278 citations, 7 topics; public split",
    "citeseer": "3,327 papers, 4,552 citations, 6 topics; public split",
    "pubmed": "19,717 papers, 44,324 citations, 3 topics; public split",
    "wikics": "11,701 Wikipedia articles on computing, 10 topics; 20 public splits",
    "amazon-computers": "13,752 products bought together, 10 categories",
    "amazon-photo": "7,650 products bought together, 8 categories",
    "coauthor-cs": "18,333 authors, 15 fields",
    "coauthor-physics": "34,493 authors, 5 fields",
    "texas": "183 web pages of a university, 5 kinds; heterophilous, 10 splits",
    "cornell": "183 web pages of a university, 5 kinds; heterophilous, 10 splits",
    "wisconsin": "251 web pages of a university, 5 kinds; heterophilous, 10 splits",
    "actor": "7,600 actors who share Wikipedia pages, 5 kinds; heterophilous, 10 splits",
    "chameleon": "890 Wikipedia pages without duplicates, 5 levels of traffic; heterophilous",
    "squirrel": "2,223 Wikipedia pages without duplicates, 5 levels of traffic; heterophilous",
    "roman-empire": "22,662 words of an article, 18 roles; heterophilous, 10 splits",
    "amazon-ratings": "24,492 products, 5 ratings; heterophilous, 10 splits",
    "minesweeper": "10,000 cells of a grid, 2 classes; heterophilous, 10 splits",
    "tolokers": "11,758 workers, 2 classes; 10 splits",
    "questions": "48,921 users of a forum, 2 classes; 10 splits",
    "usair": "332 airports, 2,126 air lines; no features",
    "ns": "1,589 scientists of networks, 2,742 joint papers; no features",
    "pb": "1,222 political blogs, 16,714 links; no features",
    "yeast": "2,375 proteins, 11,693 interactions; no features",
    "celegans": "297 neurons of a worm, 2,148 connections; no features",
    "power": "4,941 stations of a power grid, 6,594 lines; no features",
    "router": "5,022 routers, 6,258 connections; no features",
    "ecoli": "1,805 metabolites of E. coli, 14,660 reactions; no features",
    "mutag": "188 molecules, 2 classes; a set of graphs",
    "proteins": "1,113 proteins, 2 classes; a set of graphs",
    "imdb-binary": "1,000 casts of films, 2 genres; a set of graphs",
    "sbm": "a stochastic block model, sbm:nodes=500,blocks=4,inside=0.1,between=0.01 or so",
}
"""Name -> one line. Besides these: ``tu:NAME``, ``ogb:NAME`` and files of your own."""


def named_graphs() -> dict[str, str]:
    """List the names that :func:`load_graphs` knows, each with one line.

    Example:
        >>> named_graphs()["cora"]
        '2,708 papers, 5,278 citations, 7 topics; public split'
    """
    return dict(GRAPHS)


def read_named(name: str, root: Path, download: bool) -> Raw:
    """Read a named set of one graph.

    Raises:
        UserError: it is not there, or cannot be fetched.
    """
    if name in PLANETOID:
        return _planetoid(name, root, download)
    if name == "wikics":
        return _wikics(root, download)
    relative, url = FILES[name]
    path = _place(root, relative)
    _need(name, [(path, url)], root, download)
    raw = read_graph(str(path))
    raw.where = f"--data: {name}"
    return raw


def no_graph(data: str) -> UserError:
    """What to say to a name or path that is nothing we know."""
    path = Path(data).expanduser()
    if len(path.parts) > 1 or path.suffix:
        parent = next((p for p in path.parents if p.is_dir()), Path())
        return UserError(f"--data: {data} does not exist ({parent} does). Check the path.")
    hint = did_you_mean(data, GRAPHS) or f"Known: {', '.join(GRAPHS)}; or a file of links. "
    return UserError(f"--data: {data} is no known graph and no file. {hint.strip()}")


# --- files that are there or fetched --------------------------------------------------------------


def _place(root: Path, relative: str) -> Path:
    """ROOT/graphs/RELATIVE, or ROOT/RELATIVE where that is there."""
    plain = root / relative
    return plain if plain.exists() else root / "graphs" / relative


def _need(name: str, files: list[tuple[Path, str]], root: Path, download: bool) -> None:
    """Make sure that the files are there; fetch those that are not only when asked."""
    missing = [(path, url) for path, url in files if not path.is_file()]
    if missing and not download:
        raise UserError(
            f"--data: {name} was not found in {root} ({missing[0][0].relative_to(root)}). "
            "Give the --data-root that holds it, or fetch it with --download."
        )
    for path, url in missing:
        _fetch(name, url, path)


def _fetch(name: str, url: str, path: Path) -> None:
    """Download one file, whole or not at all."""

    def download(target: Path) -> None:
        with urlopen(url, timeout=60) as reply, target.open("wb") as file:
            shutil.copyfileobj(reply, file)

    try:
        write_atomic(path, download)
    except (OSError, HTTPException) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"--data: {name} could not be downloaded to {path.parent} ({first}). "
            "Check the network and the disk, then try again."
        ) from error


# --- kinds of sets --------------------------------------------------------------------------------


def _planetoid(name: str, root: Path, download: bool) -> Raw:
    """Read the raw files of Yang et al. 2016, as ``torch_geometric.datasets.Planetoid`` does."""
    parts = ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index")
    folder = _place(root, f"Planetoid/{PLANETOID[name]}/raw")
    files = [f"ind.{name}.{part}" for part in parts]
    _need(name, [(folder / file, f"{Planetoid.url}/{file}") for file in files], root, download)
    return _guarded(name, folder, lambda: _of_data(read_planetoid_data(str(folder), name), name))


def _wikics(root: Path, download: bool) -> Raw:
    path = _place(root, "WikiCS/raw/data.json")
    _need("wikics", [(path, f"{WikiCS.url}/data.json")], root, download)

    def read() -> Raw:
        found = json.loads(path.read_text(encoding="utf-8"))
        counts = [len(others) for others in found["links"]]
        source = np.repeat(np.arange(len(counts)), counts)
        edges = np.stack([source, np.concatenate(found["links"]).astype(np.int64)], axis=1)
        where = "--data: wikics"
        masks = {"train_mask": "train_masks", "val_mask": "val_masks", "test_mask": "test_mask"}
        return Raw(
            edges,
            where,
            len(counts),
            Rows(np.asarray(found["features"], dtype=np.float32), where),
            Rows(np.asarray(found["labels"]), where),
            {name: np.asarray(found[key], dtype=bool) for name, key in masks.items()},
        )

    return _guarded("wikics", path, read)


def _guarded(name: str, path: Path, read: Callable[[], Any]) -> Any:
    """Read files of a published set; what they raise when damaged is the user's to mend."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scipy's, on pickles of old versions
            return read()
    except (UserError, MemoryError):
        raise
    except Exception as error:  # pickle, json and torch_geometric raise many kinds for one fault
        raise UserError(
            f"--data: {name} cannot be read from {path}. Remove it and fetch it with --download."
        ) from error


def _of_data(data: Data, name: str) -> Raw:
    """Take a graph of torch_geometric apart; labels of several columns are left out."""
    where = f"--data: {name}"
    edges = data.edge_index.t().numpy()
    y = data.y
    y = y.flatten() if isinstance(y, Tensor) and y.numel() == data.num_nodes else None
    masks = {
        key: data[key].numpy() for key in ("train_mask", "val_mask", "test_mask") if key in data
    }
    notes = ["labels of several columns are not used"] if y is None and data.y is not None else []
    return Raw(
        edges,
        where,
        data.num_nodes,
        None if data.x is None else Rows(data.x.numpy(), where),
        None if y is None else Rows(y.numpy(), where),
        masks,
        notes=notes,
    )


def read_ogb(name: str, root: Path, download: bool) -> list[Raw] | Raw:
    """Read ``ogb:NAME`` by the package ogb: ogbn-* and ogbl-* one graph, ogbg-* a list.

    Of ogbl-* it is the graph of the training links. The package keeps files of its own beside
    what it downloads.
    """
    try:
        from ogb import (  # type: ignore[import-not-found, unused-ignore]  # optional
            graphproppred,
            linkproppred,
            nodeproppred,
        )
    except ImportError as error:
        raise UserError(
            f"--data: ogb:{name} needs the package ogb. Run: pip install ogb"
        ) from error
    makers = {
        "ogbn": getattr(nodeproppred, "PygNodePropPredDataset", None),
        "ogbl": getattr(linkproppred, "PygLinkPropPredDataset", None),
        "ogbg": getattr(graphproppred, "PygGraphPropPredDataset", None),
    }
    make = makers.get(name[:4])
    if make is None:
        raise UserError(f"--data: ogb:{name} is no set of ogb. Use ogb:ogbn-arxiv or so.")
    folder = _place(root, "ogb")
    if not (folder / name.replace("-", "_")).is_dir() and not download:
        raise UserError(f"--data: ogb:{name} was not found in {folder}. Fetch it with --download.")

    def read() -> list[Raw] | Raw:
        found = make(name=name, root=str(folder))
        if name[:4] == "ogbg":
            return [_of_data(graph, f"ogb:{name}") for graph in found]
        raw = _of_data(found[0], f"ogb:{name}")
        if name[:4] == "ogbn":
            for part, nodes in found.get_idx_split().items():
                mask = np.zeros(found[0].num_nodes, dtype=bool)
                mask[nodes.numpy()] = True
                raw.masks[f"{ {'valid': 'val'}.get(part, part) }_mask"] = mask
        else:
            raw.notes.append("the graph of the training links")
        return raw

    return _guarded(f"ogb:{name}", folder, read)


# --- sets of graphs -------------------------------------------------------------------------------


def read_set(name: str, root: Path, download: bool) -> tuple[list[Data], Tensor]:
    """Read a TU set: graphs with x or without, links as they come, and the class of each.

    TU/NAME.txt (Xu et al. 2019) where it is there, else the raw files of torch_geometric's
    ``TUDataset``. Node labels are one-hot; attributes are used where there are no labels.
    """
    text = _place(root, f"TU/{name.replace('-', '')}.txt")
    if text.is_file():
        return _guarded(name, text, lambda: _text_set(text))
    folder = _place(root, f"TU/{name}/raw")
    if not (folder / f"{name}_A.txt").is_file():
        if not download:
            _need(name, [(folder / f"{name}_A.txt", "")], root, download)
        _fetch_set(name, folder)
    return _guarded(name, folder, lambda: _tu_set(folder, name))


def _fetch_set(name: str, folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / f"{name}.zip"
        _fetch(name, f"{TUDataset.url}/{name}.zip", archive)
        extract_zip(str(archive), scratch, log=False)
        for path in sorted((Path(scratch) / name).glob("*.txt"), reverse=True):  # NAME_A.txt last
            write_atomic(folder / path.name, partial(shutil.copyfile, path))


def _text_set(path: Path) -> tuple[list[Data], Tensor]:
    """Line 1: number of graphs; each: "n class", then n lines "node_label degree neighbours"."""
    lines = iter(path.read_text().splitlines())
    graphs: list[Data] = []
    classes, tags = [], []
    for _ in range(int(next(lines))):
        nodes, label = map(int, next(lines).split())
        rows = [next(lines).split() for _ in range(nodes)]
        degrees = [int(row[1]) for row in rows]
        source = torch.arange(nodes).repeat_interleave(torch.tensor(degrees, dtype=torch.int64))
        target = [int(v) for row, d in zip(rows, degrees, strict=True) for v in row[2 : 2 + d]]
        edges = torch.stack([source, torch.tensor(target, dtype=torch.int64)])
        if edges.numel() and int(edges.max()) >= nodes:
            raise UserError(
                f"--data: {path}: graph {len(graphs)} links a node it has not. Mend it."
            )
        graphs.append(Data(edge_index=edges, num_nodes=nodes))
        tags.append(torch.tensor([int(row[0]) for row in rows]))
        classes.append(label)
    kinds, codes = torch.cat(tags).unique(return_inverse=True)
    if len(kinds) > 1:
        hot = torch.nn.functional.one_hot(codes, len(kinds)).float()
        for graph, x in zip(graphs, hot.split([len(t) for t in tags]), strict=True):
            graph.x = x
    return graphs, torch.tensor(classes)


def _tu_set(folder: Path, name: str) -> tuple[list[Data], Tensor]:
    data, slices, sizes = read_tu_data(str(folder), name)
    ends = slices["edge_index"].tolist()
    nodes = slices["x"].diff() if "x" in slices else torch.tensor(data._num_nodes)
    starts = [0, *nodes.cumsum(0).tolist()]
    skip = sizes["num_node_attributes"] if sizes["num_node_labels"] else 0
    graphs: list[Data] = []
    for i, count in enumerate(nodes.tolist()):
        graph = Data(edge_index=data.edge_index[:, ends[i] : ends[i + 1]], num_nodes=count)
        if data.x is not None:
            graph.x = data.x[starts[i] : starts[i + 1], skip:]
        graphs.append(graph)
    if data.y is None or data.y.dtype.is_floating_point or len(data.y) != len(graphs):
        raise UserError(f"--data: tu:{name} has no class for each graph. Use a set with classes.")
    return graphs, data.y
