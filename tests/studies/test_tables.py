"""Files of numbers and labels: every ending, every way to be broken."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch

from goodviews.interfaces import UserError
from goodviews.studies.pairs import columns_of_files
from goodviews.studies.tables import READERS, read_table

N = 30
X = np.random.default_rng(0).normal(size=(N, 2))
LABELS = np.array(["cat", "dog", "emu"] * 10)
NAMES = ("a", "b", "label")


def write(folder: Path, name: str) -> Path:
    """The same table in the format of the name's ending."""
    path = folder / name
    rows = [[*map(repr, x.tolist()), label] for x, label in zip(X, LABELS, strict=True)]
    arrays = {"a": X[:, 0], "b": X[:, 1], "label": LABELS}
    match path.suffix:
        case ".csv":
            path.write_text("\n".join(",".join(row) for row in [list(NAMES), *rows]))
        case ".tsv":
            path.write_text("\n".join("\t".join(row) for row in [list(NAMES), *rows]) + "\n")
        case ".txt":
            path.write_text("\n".join("  ".join(row) for row in [list(NAMES), *rows]))
        case ".npz":
            np.savez(path, **arrays)
        case ".parquet":
            pyarrow = pytest.importorskip("pyarrow")
            from pyarrow import parquet

            parquet.write_table(pyarrow.table({k: v.tolist() for k, v in arrays.items()}), path)
    return path


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".txt", ".npz", ".parquet"])
def test_one_table_in_every_format(tmp_path: Path, ending: str) -> None:
    """The same numbers, bit for bit, and the same labels."""
    x, y = columns_of_files(str(write(tmp_path, f"t{ending}")), x=["a", "b"], y=["label"])
    np.testing.assert_array_equal(x.variable.values, X)
    assert (x.columns, x.name, x.summary) == (("a", "b"), "x", "2 columns of numbers (a, b)")
    np.testing.assert_array_equal(y.variable.codes, np.arange(N) % 3)


def test_arrays_in_files_of_their_own(tmp_path: Path) -> None:
    """npy, pt, npz with a single array or one called x, headless text: two files."""
    np.save(tmp_path / "x.npy", X)
    torch.save(torch.tensor(X), tmp_path / "x.pt")
    torch.save({"x": torch.tensor(X), "step": torch.zeros(3)}, tmp_path / "x.pth")
    np.savez(tmp_path / "x.npz", x=X, other=np.zeros(3))
    np.savez(tmp_path / "only.npz", embeddings=X)
    np.savetxt(tmp_path / "x.txt", X)
    np.savetxt(tmp_path / "x.csv", X, delimiter=",")
    np.savetxt(tmp_path / "y.txt", np.arange(N) % 3, fmt="%d")
    for name in ("x.npy", "x.pt", "x.pth", "x.npz", "only.npz", "x.txt", "x.csv"):
        x, y = columns_of_files(str(tmp_path / name), str(tmp_path / "y.txt"))
        np.testing.assert_array_equal(x.variable.values, X)
        assert y.variable.levels == 3
    torch.save(torch.tensor(X).bfloat16(), tmp_path / "half.pt")
    x, y = columns_of_files(str(tmp_path / "half.pt"), str(tmp_path / "y.txt"))
    np.testing.assert_array_equal(x.variable.values, torch.tensor(X).bfloat16().double().numpy())


def test_names_with_a_star_and_lists(tmp_path: Path) -> None:
    """What `goodviews embed` writes: e* selects columns of a CSV, one list column of a Parquet."""
    head = "file,label,split,e0,e1"
    body = [f"{i}.png,{LABELS[i]},test,{X[i, 0]!r},{X[i, 1]!r}" for i in range(N)]
    body = [line.replace("np.float64(", "").replace(")", "") for line in body]
    (tmp_path / "e.csv").write_text("\n".join([head, *body]))
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    flat = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(X.ravel()), 2)
    table = pyarrow.table({"label": LABELS.tolist(), "embedding": flat})
    parquet.write_table(table, tmp_path / "e.parquet")
    for name, chosen in (("e.csv", "e*"), ("e.parquet", "embedding")):
        x, y = columns_of_files(str(tmp_path / name), x=[chosen], y=["label"])
        np.testing.assert_array_equal(x.variable.values, X)
        assert y.variable.levels == 3


def test_defaults_of_columns(tmp_path: Path) -> None:
    """Columns called x and y, or the only two."""
    np.savez(tmp_path / "xy.npz", x=X, y=LABELS, z=np.zeros(3))
    (tmp_path / "two.csv").write_text("\n".join(f"{a},{b}" for a, b in X.tolist()))
    x, y = columns_of_files(str(tmp_path / "xy.npz"))
    assert (x.variable.width, y.variable.levels) == (2, 3)
    x, y = columns_of_files(str(tmp_path / "two.csv"))
    np.testing.assert_array_equal(np.hstack([x.variable.values, y.variable.values]), X)


def test_given(tmp_path: Path) -> None:
    """A column of the table, or a file."""
    np.save(tmp_path / "z.npy", X[:, 1])
    table = str(write(tmp_path, "t.csv"))
    for given in ("b", str(tmp_path / "z.npy")):
        *_, z = columns_of_files(table, x=["a"], y=["label"], given=[given])
        assert z.name == "given"
        np.testing.assert_array_equal(z.variable.values[:, 0], X[:, 1])


@pytest.mark.parametrize(
    ("labels", "levels"),
    [("auto", (0, 3)), ("none", (0, 0)), ("both", (2, 3)), ("x", (2, 3)), ("y", (0, 3))],
)
def test_labels(tmp_path: Path, labels: str, levels: tuple[int, int]) -> None:
    """--labels overrules what the columns look like."""
    lines = ["x,y", *(f"{i % 2}.0,{i % 3}" for i in range(N))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    x, y = columns_of_files(str(tmp_path / "t.csv"), labels=labels)  # type: ignore[arg-type]
    assert (x.variable.levels, y.variable.levels) == levels


def test_text_files(tmp_path: Path) -> None:
    """Separators, quotes, a byte-order mark, blank lines, an index column, labels without title."""
    cases = {
        "semicolon.csv": "a;b\n1;2\n3;4\n",
        "tab.csv": "a\tb\n1\t2\n3\t4\n",
        "bom.csv": "\ufeffa,b\r\n1,2\r\n\r\n3,4\r\n",
        "quoted.csv": '"a","b"\n"1","2"\n3,4\n',
        "index.csv": ",a,b\n0,1,2\n1,3,4\n",
        "spaces.txt": "a b\n 1  2\n3 4\n",
    }
    for name, text in cases.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        found = read_table(tmp_path / name).columns
        assert {k: v.tolist() for k, v in found.items()} == {"a": [1, 3], "b": [2, 4]}, name
    (tmp_path / "headless.csv").write_text("cat\ndog\ncat\ndog\n")
    assert read_table(tmp_path / "headless.csv").columns["0"].tolist() == ["cat", "dog"] * 2
    (tmp_path / "titled.csv").write_text("pet\ndog\ncat\ndog\n")
    assert read_table(tmp_path / "titled.csv").columns["pet"].tolist() == ["dog", "cat", "dog"]
    (tmp_path / "kinds.csv").write_text("i,f,e\n1,1.0,1e3\n2,2.5,2\n")
    kinds = {k: v.dtype.kind for k, v in read_table(tmp_path / "kinds.csv").columns.items()}
    assert kinds == {"i": "i", "f": "f", "e": "f"}


# --- mistakes -------------------------------------------------------------------------------------


def pickled(path: Path) -> None:
    """Write an array that would run code on loading."""
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)


def truncated(path: Path) -> None:
    """Write half an npz."""
    buffer = io.BytesIO()
    np.savez(buffer, x=X)
    path.write_bytes(buffer.getvalue()[:200])


COLUMN = "".join(f"{i}\n" for i in range(20))
BROKEN = {
    "t.xlsx": ("", "ending '.xlsx' is not known. Use .npy, .npz, .csv"),
    "t": ("1", "ending '' is not known"),
    "empty.csv": ("", "is empty"),
    "blank.csv": ("\n \n", "holds no row"),
    "header.csv": ("a,b\n", "holds a header and no row"),
    "twice.csv": ("a,a\n1,2\n", "two columns are called 'a'"),
    "ragged.csv": ("a,b\n1,2\n3\n", "line 3 has 1 cells where line 1 has 2. Mend that line"),
    "hole.csv": ("a,b\n1,2\n,4\n", "column 'a', line 3, is empty. Drop or fill"),
    "na.csv": ("a,b\n1,2\n3,NA\n", "column 'b', line 3, is 'NA'"),
    "word.csv": (f"a\n{COLUMN}oops\n", "column 'a', line 22, is 'oops' where other cells are"),
    "hole-in-text.csv": ("a,b\nx,2\ny,3\n,3\n", "column 'a', line 4, is empty"),
    "latin.csv": (b"a\n\xe9\n", "is not UTF-8 text"),
    "text.npy": ("hello", "cannot be read. Write plain arrays"),
    "text.npz": ("hello", "is no whole .npz file"),
    "text.pt": ("hello", "cannot be read as tensors"),
    "text.parquet": ("hello", "cannot be read as parquet"),
    "pickled.npy": (pickled, "holds pickled objects, which could run code"),
    "half.npz": (truncated, "is no whole .npz file"),
    "list.pt": (lambda path: torch.save([1, 2], path), "holds no tensor"),
    "folder.csv": (Path.mkdir, "is a folder. Name a file in it"),
    "missing.csv": (lambda path: None, "no such file. Check the path"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files(tmp_path: Path, name: str) -> None:
    """One line that names the file, the place and the remedy."""
    content, words = BROKEN[name]
    path = tmp_path / name
    if callable(content):
        content(path)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as error:
        read_table(path)
    assert str(path) in str(error.value)
    assert words in str(error.value), str(error.value)
    assert "\n" not in str(error.value)


def test_every_ending_is_tested() -> None:
    """A new reader comes with its broken file."""
    assert {Path(name).suffix for name in BROKEN} | {".tsv", ".txt", ".pth"} >= set(READERS)


CHOICES = [
    ({}, "--x: which columns of .*There are: a, b, label"),
    ({"x": ["a"]}, "--y: which columns"),
    ({"x": ["aa"], "y": ["b"]}, "--x: unknown 'aa'. Did you mean 'a'.*has: a, b, label"),
    ({"x": ["xyz"], "y": ["b"]}, "--x: no 'xyz'.*has: a, b, label"),
    ({"x": ["a", "b"], "y": ["b"]}, "--y: column 'b' is in --x too"),
    ({"x": ["a", "label"], "y": ["b"]}, "column 'label' holds text beside columns of numbers"),
    ({"x": ["a"], "y": ["b"], "given": ["c"]}, "--given: no 'c'.*has: a, b, label"),
    ({"x": ["a"], "y": ["label"], "labels": "none"}, "y .t.csv.: row 0 is 'cat'"),
]


@pytest.mark.parametrize(("chosen", "words"), CHOICES, ids=range(len(CHOICES)))
def test_choices_of_columns(tmp_path: Path, chosen: dict[str, list[str]], words: str) -> None:
    """The flag, the name and those that are there."""
    with pytest.raises(UserError, match=words):
        columns_of_files(str(write(tmp_path, "t.csv")), **chosen)  # type: ignore[arg-type]


def test_pairs_that_do_not_fit(tmp_path: Path) -> None:
    """The same file twice, one array alone, files of different lengths, a given of many names."""
    for name, rows in (("x.npy", X), ("y.npy", X[:-3]), ("bad.npy", np.full(N, np.nan))):
        np.save(tmp_path / name, rows)
    np.savez(tmp_path / "odd.npz", a=X, b=X[:4])
    x, y, bad, odd = (str(tmp_path / name) for name in ("x.npy", "y.npy", "bad.npy", "odd.npz"))
    with pytest.raises(UserError, match="x.npy: the same file twice"):
        columns_of_files(x, x)
    with pytest.raises(UserError, match="is one array. Give the file of y too"):
        columns_of_files(x)
    with pytest.raises(UserError, match="y: 27 rows, but x has 30"):
        columns_of_files(x, y)
    with pytest.raises(UserError, match="y .bad.npy.: row 0 is nan"):
        columns_of_files(x, bad)
    with pytest.raises(UserError, match="columns of different lengths .a 30, b 4."):
        columns_of_files(odd, x)
    with pytest.raises(UserError, match="--given: a,b. With two files, give one file"):
        columns_of_files(x, y, given=["a", "b"])
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "encoder.json").write_text("{}")
    with pytest.raises(UserError, match="is a folder. For a run say --run"):
        columns_of_files(str(tmp_path / "run"), x)
