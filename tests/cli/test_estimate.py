"""``goodviews estimate`` from the words to what it prints."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from goodviews.cli.estimating import parse_settings
from goodviews.estimators import ESTIMATORS
from goodviews.estimators.estimate import estimate
from goodviews.interfaces import UserError

Command = Callable[..., Any]

N = 400


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[np.ndarray, np.ndarray]:
    """x.npy and y.npy in the current folder, 0.51 nats."""
    x, noise = np.random.default_rng(0).normal(size=(2, N))
    y = 0.8 * x + 0.6 * noise
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", x)
    np.save("y.npy", y)
    np.save("z.npy", noise)
    np.save("labels.npy", (x > 0).astype(int))
    lines = [
        "a,b,pet",
        *(f"{a},{b},{'cat' if a > 0 else 'dog'}" for a, b in zip(x, y, strict=True)),
    ]
    Path("t.csv").write_text("\n".join(lines))
    return x, y


def test_a_block_for_people(goodviews: Command, pair: tuple[np.ndarray, np.ndarray]) -> None:
    """The number, its interval, null and p stand there as the function gives them."""
    ended = goodviews("estimate", "x.npy", "y.npy", "--method", "ksg", "--shuffles", 19)
    assert (ended.code, ended.err) == (0, "")
    found = estimate(*pair, "ksg", shuffles=19)
    first, *rest = ended.out.splitlines()
    low, high = found.interval
    assert first == f"I(x;y) = {found.nats:.3f} nats, 95 % interval {low:.3f} to {high:.3f}"
    text = "\n".join(rest)
    assert f"ksg, {N} rows" in text
    assert f"{round(found.null, 3) + 0.0:.3f} nats, p = 0.05" in text
    assert len(rest) <= 8
    assert max(map(len, rest)) < 100


def test_bits(goodviews: Command, pair: tuple[np.ndarray, np.ndarray]) -> None:
    """--units bits divides by log 2, whatever has a unit."""
    found = estimate(*pair, "ksg", shuffles=0)
    words = ("estimate", "x.npy", "y.npy", "--method", "ksg", "--shuffles", 0, "--units", "bits")
    ended = goodviews(*words)
    assert ended.out.startswith(f"I(x;y) = {found.nats / math.log(2):.3f} bits")
    assert f"ceiling {found.ceiling / math.log(2):.3f}" in ended.out
    ended = goodviews("estimate", "t.csv", "--x", "a", "--y", "pet", *words[3:])
    assert "2 labels (pet), entropy 1.00" in ended.out


def test_json(goodviews: Command, pair: tuple[np.ndarray, np.ndarray]) -> None:
    """One finite JSON object on stdout and nothing else: the estimate's own dict."""
    words = ("x.npy", "y.npy", "--method", "ksg", "--shuffles", 9, "--seed", 4, "--json")
    ended = goodviews("estimate", *words)
    assert (ended.code, ended.err) == (0, "")
    found = json.loads(ended.out, parse_constant=lambda text: pytest.fail(text))
    same = estimate(*pair, "ksg", 4, shuffles=9).to_dict()
    assert set(found) == set(same)
    for name in ("nats", "bits", "stderr", "null", "p_value", "rows", "method", "kind"):
        assert found[name] == same[name]
    assert found["interval"] == list(same["interval"])


def test_settings_and_given(goodviews: Command, pair: tuple[np.ndarray, np.ndarray]) -> None:
    """--settings reach the method, --given a file or a column."""
    z = np.load("z.npy")
    words = ("--method", "ksg", "--json", "--shuffles", 0)
    ended = goodviews("estimate", "x.npy", "y.npy", "--settings", "neighbors=7", *words)
    assert json.loads(ended.out)["nats"] == estimate(*pair, "ksg", neighbors=7, shuffles=0).nats
    ended = goodviews("estimate", "x.npy", "y.npy", "--given", "z.npy", *words)
    given = estimate(*pair, "ksg", given=z, shuffles=0)
    assert json.loads(ended.out)["nats"] == given.nats
    ended = goodviews("estimate", "x.npy", "y.npy", "--given", "z.npy", *words[:2])
    assert ended.out.startswith("I(x;y|given) = ")


def test_columns_of_a_table(goodviews: Command, pair: tuple[np.ndarray, np.ndarray]) -> None:
    """--x and --y name columns; text is labels."""
    ended = goodviews(
        "estimate", "t.csv", "--x", "a,b", "--y", "pet", "--method", "ksg", "--shuffles", 9
    )
    assert (ended.code, ended.err) == (0, "")
    assert "2 columns of numbers (a, b)" in ended.out
    assert "2 labels (pet)" in ended.out


def test_side_by_side(goodviews: Command, pair: tuple[np.ndarray, np.ndarray]) -> None:
    """Several methods are one table; what cannot read the data says why; JSON has them all."""
    words = ("estimate", "x.npy", "y.npy", "--method", "ksg,mixed,discrete", "--shuffles", 0)
    ended = goodviews(*words)
    assert (ended.code, ended.err) == (0, "")
    head, *rows = ended.out.splitlines()
    assert head.split()[:2] == ["method", "nats"]
    assert [row.split()[0] for row in rows] == ["ksg", "mixed", "discrete:"]
    assert f"{estimate(*pair, 'ksg', shuffles=0).nats:.3f}" in rows[0]
    found = json.loads(goodviews(*words, "--json").out)
    assert list(found["estimates"]) == ["ksg", "mixed"]
    assert list(found["refused"]) == ["discrete"]
    assert found["warnings"] == []


def test_warnings_are_lines(goodviews: Command, pair: tuple[np.ndarray, np.ndarray]) -> None:
    """Each doubt is one line; in a table those of all methods come once."""
    np.save("same.npy", pair[0])
    ended = goodviews("estimate", "x.npy", "same.npy", "--method", "ksg", "--shuffles", 0)
    assert "\nwarning: x and y are identical" in ended.out
    ended = goodviews("estimate", "x.npy", "same.npy", "--method", "ksg,mixed", "--shuffles", 0)
    assert ended.out.count("x and y are identical") == 1


def test_list_estimators(goodviews: Command) -> None:
    """One line a method, with what it reads."""
    ended = goodviews("list", "estimators")
    assert (ended.code, ended.err) == (0, "")
    assert [line.split()[0] for line in ended.out.splitlines()] == list(ESTIMATORS)
    assert "Reads labels." in ended.out


def test_help_and_list_import_no_torch(process: Command) -> None:
    """They answer at once."""
    for words in (("estimate", "--help"), ("list", "estimators")):
        child = process(*words, PYTHONPROFILEIMPORTTIME="1")
        out, err = child.communicate(timeout=60)
        assert child.returncode == 0, err
        assert out
        imported = {line.rsplit("|", 1)[-1].strip() for line in err.splitlines()}
        assert "goodviews.cli" in imported
        assert not {"torch", "scipy", "sklearn", "numpy"} & imported


# --- mistakes -------------------------------------------------------------------------------------

MISTAKES: list[tuple[str, list[str]]] = [
    ("", ["FILE is missing", "goodviews estimate x.npy y.npy"]),
    ("x.npy", ["x.npy", "Give the file of y"]),
    ("x.npy x.npy", ["x.npy", "the same file twice"]),
    ("x.npy ./x.npy", ["x.npy", "the same file twice"]),
    ("nowhere.npy y.npy", ["nowhere.npy", "no such file"]),
    ("x.npy y.xlsx", ["y.xlsx", "no such file"]),
    ("t.csv", ["--x", "which columns", "a, b, pet"]),
    ("t.csv --x a --y pett", ["--y", "Did you mean 'pet'"]),
    ("t.csv --x a,b --y b", ["--y", "'b'", "in --x too"]),
    ("x.npy y.npy --method ksgg", ["--method", "Did you mean 'ksg'"]),
    ("x.npy y.npy --method ksg,kgs", ["--method", "Did you mean 'ksg'"]),
    ("x.npy y.npy --method ,", ["--method", "none given"]),
    ("x.npy y.npy --method discrete", ["--method discrete", "x is numbers"]),
    ("x.npy labels.npy --method student", ["y is 2 labels", "--labels"]),
    ("x.npy y.npy --method ksg --labels both", ["x (x.npy)", "400 labels are different"]),
    ("x.npy y.npy --method ksg --settings neighbors", ["--settings", "neighbors=5"]),
    ("x.npy y.npy --method ksg --settings neighbor=5", ["Did you mean 'neighbors'"]),
    ("x.npy y.npy --method ksg,mixed --settings neighbors=5", ["--settings", "one method"]),
    ("x.npy y.npy --method ksg --seed -1", ["--seed", "0 or more"]),
    ("x.npy y.npy --method ksg --shuffles -1", ["--shuffles", "0 or more"]),
    ("x.npy y.npy --method ksg --device tpu", ["--device", "tpu"]),
    ("x.npy y.npy --units bytes", ["--units", "bytes"]),
    ("x.npy y.npy --labels z", ["--labels"]),
    ("x.npy y.npy --max-images 5", ["--max-images", "--run"]),
    ("x.npy --run r", ["--run", "x.npy", "not both"]),
    ("--run r --x a", ["--run", "--x", "not both"]),
    ("--run r --method ksg,mixed", ["--method", "--run takes one"]),
    ("--run nowhere", ["nowhere", "goodviews train"]),
    ("x.npy y.npy z.npy", ["z.npy", "a word too many"]),
    ("x.npy y.npy --metod ksg", ["Did you mean --method?"]),
]


@pytest.mark.usefixtures("pair")
@pytest.mark.parametrize(("line", "words"), MISTAKES, ids=[line for line, _ in MISTAKES])
def test_mistakes(goodviews: Command, line: str, words: list[str]) -> None:
    """Exit 2, one line naming thing, value and remedy; nothing on stdout."""
    ended = goodviews("estimate", *line.split())
    ended.mistake(*words)
    assert ended.out == ""


@pytest.mark.usefixtures("pair")
def test_a_verb_of_another_name(goodviews: Command) -> None:
    """`mi` and `measure` lead to it."""
    goodviews("mi", "x.npy", "y.npy").mistake("Did you mean estimate?")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(
    goodviews: Command, pair: tuple[np.ndarray, np.ndarray]
) -> None:
    """Permissions are told as such."""
    Path("x.npy").chmod(0)
    goodviews("estimate", "x.npy", "y.npy", "--method", "ksg").mistake("x.npy", "permissions")


def test_settings_are_typed() -> None:
    """Numbers, words, yes and no."""
    found = parse_settings(["a=5", "b=0.5", "c=word", "d=true", "e-f=none", "g=[1, 2]"])
    assert found == {"a": 5, "b": 0.5, "c": "word", "d": True, "e_f": None, "g": [1, 2]}
    with pytest.raises(UserError, match="'=5' is not NAME=VALUE"):
        parse_settings(["=5"])
