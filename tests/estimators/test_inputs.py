"""Every shape and type people have their data in; every one that cannot be read gets one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from goodviews.estimators.inputs import Column, check_rows, read
from goodviews.interfaces import UserError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))


class Frame:
    """What pandas and polars have in common."""

    def __init__(self, values: np.ndarray, columns: list[str]) -> None:
        self.values, self.columns = values, columns

    def to_numpy(self) -> np.ndarray:
        return self.values


class Arraylike:
    """JAX, xarray and others."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return X


class Sparse:
    """What scipy.sparse matrices can do."""

    def toarray(self) -> np.ndarray:
        return X


@pytest.mark.parametrize(
    "given",
    [
        X,
        X.tolist(),
        torch.tensor(X, requires_grad=True),
        Frame(X, ["a", "b", "c"]),
        Frame(X.astype(object), ["a", "b", "c"]),
        Arraylike(),
        Sparse(),
        np.ma.masked_array(X),
        np.asfortranarray(X),
        X[::-1][::-1],
        X.astype(">f8"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_numbers_from_anything(given: Any) -> None:
    """The same float64 rows, whoever brings them."""
    found = read(given, "x")
    np.testing.assert_array_equal(found.variable.values, X)
    assert found.variable.values.dtype == np.float64
    assert (len(found), found.variable.width, found.variable.discrete) == (40, 3, False)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, torch.bfloat16, torch.float16])
def test_half_precision(dtype: Any) -> None:
    """Read as it is, in float64."""
    values = torch.tensor(X).to(dtype) if isinstance(dtype, torch.dtype) else X.astype(dtype)
    expected = torch.as_tensor(values).double().numpy()
    np.testing.assert_array_equal(read(values, "x").variable.values, expected)


def test_one_dimension_is_one_column() -> None:
    """(n,) and (n, 1) are the same."""
    one, two = read(X[:, 0], "x"), read(X[:, :1], "x")
    np.testing.assert_array_equal(one.variable.values, two.variable.values)


def test_columns_keep_their_names() -> None:
    """Names of a data frame are those of the messages."""
    frame = Frame(X, ["a", "b", "c"])
    assert read(frame, "x").columns == ("a", "b", "c")
    assert read(frame, "x").summary == "3 columns of numbers (a, b, c)"
    broken = X.copy()
    broken[7, 1] = np.nan
    with pytest.raises(UserError, match=r"x: row 7, column 'b' is nan .*1 row is affected"):
        read(Frame(broken, ["a", "b", "c"]), "x")


# --- labels or numbers ----------------------------------------------------------------------------

MANY = np.arange(200)
RULE = [
    (["a", "b"] * 20, 2),
    (np.array(["a", "b"] * 20, dtype=object), 2),
    (np.array([b"a", b"b"] * 20), 2),
    (np.array([True, False] * 20), 2),
    (np.array([True, False] * 20, dtype=object), 2),
    (torch.tensor([True, False] * 20), 2),
    (MANY % 10, 10),
    (MANY % 20, 20),  # n / 10
    (MANY % 21, 0),
    (MANY[:40] % 10, 10),  # ten digits are labels in few rows too
    (MANY[:19] % 10, 0),  # but not when most come once
    (MANY, 0),
    (-(MANY % 5), 5),
    ((MANY % 3).astype(np.uint8), 3),
    (torch.tensor(MANY % 3), 3),
    ((MANY % 3).astype(float), 0),
    ((MANY % 3).astype(object), 3),
    (np.stack([MANY % 2, MANY // 2 % 2], axis=1), 4),  # distinct rows
    (np.stack([MANY % 7, MANY % 11], axis=1), 0),  # 77 distinct rows
]


@pytest.mark.parametrize(("values", "levels"), RULE, ids=range(len(RULE)))
def test_the_rule(values: Any, levels: int) -> None:
    """Text and booleans are labels, floats numbers, integers labels where they repeat."""
    assert read(values, "y").variable.levels == levels


def test_the_rule_can_be_overruled() -> None:
    """discrete=True and False do what they say."""
    floats = np.repeat([0.5, 1.5, -0.0, 0.0], 10)
    assert read(floats, "y", True).variable.levels == 3  # -0.0 is 0.0
    assert read(np.stack([floats, floats], 1), "y", True).variable.levels == 3
    integers = read(MANY % 10, "y", False)
    np.testing.assert_array_equal(integers.variable.values[:, 0], MANY % 10)
    assert read(np.array(["1.5", "2.5"] * 10), "y", False).variable.values[0, 0] == 1.5


def test_codes_tell_labels_apart() -> None:
    """Equal labels get equal codes, 0 to levels - 1."""
    text = np.array(["dog", "cat", "dog", "emu"] * 5)
    codes = read(text, "y").variable.codes
    assert sorted(set(codes.tolist())) == [0, 1, 2]
    np.testing.assert_array_equal(codes[:, None] == codes, text[:, None] == text)


def test_a_column_passes_through() -> None:
    """What has been read is not read again."""
    column = read(X, "first")
    assert read(column, "second") is column


# --- columns that say nothing ---------------------------------------------------------------------


def test_constant_and_copied_columns_are_left_out() -> None:
    """They change no information; a note says which they are."""
    wide = np.column_stack([X[:, 0], np.full(40, 2.0), X[:, 1], X[:, 0]])
    found = read(wide, "x")
    np.testing.assert_array_equal(found.variable.values, X[:, :2])
    assert found.columns == ("0", "2")
    assert found.notes == (
        "x: left out 1 of 4 columns that are constant (1)",
        "x: left out 1 of 4 columns that are copies of others (3)",
    )
    assert read(X, "x").notes == ()


# --- what cannot be read --------------------------------------------------------------------------

BAD: dict[str, tuple[Any, list[str]]] = {
    "a path": ("x.npy", ["'x.npy' is a path", "Give an array"]),
    "nothing": (None, ["x: a NoneType"]),
    "a dict": ({"a": [1]}, ["a dict"]),
    "one number": (3.0, ["a single value", "(n,) or (n, d)"]),
    "empty": ([], ["is empty"]),
    "no columns": (np.zeros((20, 0)), ["is empty", "(20, 0)"]),
    "images": (np.zeros((20, 8, 8)), ["(20, 8, 8)", "3 dimensions", ".reshape(len(array), -1)"]),
    "ragged": ([[1.0], [1.0, 2.0]], ["rows of equal length"]),
    "complex": (X[:, 0] * 1j, ["complex numbers", "two columns"]),
    "dates": (np.array(["2020-01-01"] * 20, dtype="datetime64[D]"), ["dates", "int64"]),
    "records": (np.zeros(20, dtype=[("a", float)]), ["records"]),
    "infinite": (np.where(np.arange(20) == 4, np.inf, np.arange(20)), ["row 4 is inf"]),
    "nan in objects": (
        np.array([1.5, np.nan] * 10, dtype=object),
        ["row 1, column '0' is missing"],
    ),
    "two bad rows": (np.where(np.arange(20) < 2, np.nan, 1.5), ["row 0", "2 rows are affected"]),
    "nan in torch": (torch.tensor([0.0, float("nan"), 1.0] * 10), ["row 1 is nan"]),
    "missing": (np.array([1.0, None] * 10, dtype=object), ["row 1, column '0' is missing"]),
    "text with nan": (np.array(["a", np.nan] * 10, dtype=object), ["row 1", "is missing"]),
    "missing text": (np.array(["a", None] * 10, dtype=object), ["row 1, column '0' is missing"]),
    "masked": (np.ma.masked_equal([1.0, 2.0], 2.0), ["masked"]),
    "objects": (np.array([[], {}] * 10, dtype=object), ["holds a list"]),
    "text and numbers": (np.array(["a", 1.5] * 10, dtype=object), ["mixes text and numbers"]),
    "constant": (np.full(20, 2.5), ["column '0' is constant (2.5)", "share nothing"]),
    "constants": (np.full((20, 3), 2.5), ["all 3 columns are constant"]),
    "one label": (["a"] * 20, ["one label only (a)"]),
    "names of rows": ([f"id{i}" for i in range(20)], ["all 20 labels are different"]),
    "numbers as text": ([f"{i}.5" for i in range(20)], ["Numbers as text", ".astype(float)"]),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.filterwarnings("ignore:Creating an ndarray from ragged:DeprecationWarning")
def test_what_cannot_be_read(case: str) -> None:
    """One line with the thing, the value and the remedy."""
    values, words = BAD[case]
    with pytest.raises(UserError) as error:
        read(values, "x")
    assert str(error.value).startswith("x: ")
    for word in words:
        assert word in str(error.value), str(error.value)
    assert "\n" not in str(error.value)


def test_columns_of_a_frame_that_cannot_be_read() -> None:
    """Mixed columns and names that come twice are named."""
    mixed = np.array([["a", 1.5], ["b", 2.5]] * 10, dtype=object)
    with pytest.raises(UserError, match="column 'city' holds text beside columns of numbers"):
        read(Frame(mixed, ["city", "age"]), "x")
    with pytest.raises(UserError, match="two columns are called 'a'"):
        read(Frame(X, ["a", "b", "a"]), "x")
    with pytest.raises(UserError, match="row 0, column 'city' is 'a', where numbers are needed"):
        read(Frame(np.array([["a", "1"], ["b", "2"]] * 10), ["city", "age"]), "x", False)


def test_sparse_tensors() -> None:
    """Refused with torch's reason, in one line."""
    with pytest.raises(UserError, match="x: no array can be made of it"):
        read(torch.eye(20).to_sparse(), "x")


# --- rows -----------------------------------------------------------------------------------------


def column(*shape: int, name: str = "x") -> Column:
    """Random numbers of this shape."""
    return read(np.random.default_rng(1).normal(size=shape), name)


def test_rows_must_fit() -> None:
    """Equal numbers of rows, at least 10; transposed arrays are recognised."""
    check_rows(column(10), column(10, 3, name="y"), column(10, name="given"))
    wrong = [
        ([column(20), column(30, name="y")], "y: 30 rows, but x has 20. Give one row of y a row"),
        ([column(20), column(3, 20, name="y")], "give y.T"),
        ([column(2, 20), column(20, name="y")], "give x.T"),
        ([column(2, 20), column(3, 20, name="y")], "give x.T and y.T"),
        ([column(2, 20), column(2, 20, name="y")], "2 rows. .*for shape .2, 20. give x.T"),
        ([column(9), column(9, name="y")], "x: 9 rows. Give at least 10 pairs"),
        ([column(20), column(20, name="y"), column(19, name="given")], "given: 19 rows"),
    ]
    for columns, words in wrong:
        with pytest.raises(UserError, match=words):
            check_rows(*columns)
