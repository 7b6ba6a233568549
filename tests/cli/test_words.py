"""Words in, typed options out; every slip of the pen gets one line and a suggestion."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from goodviews.cli import parsing, verbs
from goodviews.cli.nouns import Verb
from goodviews.cli.options import ALIASES, GROUPS, SYNONYMS, VERBS
from goodviews.interfaces import UserError
from goodviews.studies.graphs.choose import choose_graph
from goodviews.studies.graphs.runs import train_graph

Command = Callable[..., Any]


def options(line: str) -> dict[str, Any]:
    """The typed options of a command line."""
    verb, rest = parsing.find_verb(line.split())
    return parsing.values(parsing.read(rest, verb), verb)


@pytest.mark.parametrize("name", VERBS)
def test_help_lists_each_option_with_its_meaning_and_default(goodviews: Command, name: str) -> None:
    """--help of a verb: every option, its default, headings, examples; no colours."""
    ended = goodviews(*name.split(), "--help")
    assert (ended.code, ended.err) == (0, "")
    one_line = " ".join(ended.out.split())
    for option in VERBS[name].options:
        assert f"  {option.flag}" in ended.out
        assert option.help in one_line
        assert f"default: {parsing.shown(option)})" in one_line
        assert option.group in GROUPS
        assert f"\n{option.group}:\n" in ended.out
    assert "--config" in ended.out
    assert f"goodviews {VERBS[name].examples[0][0]}" in ended.out
    assert "\x1b" not in ended.out


def test_help_names_the_verbs(goodviews: Command) -> None:
    """The first page lists all verbs; no words at all print it too."""
    for words in (["--help"], ["-h"], ["help"], []):
        ended = goodviews(*words)
        assert ended.code == 0
        assert all(f"  {name}" in ended.out for name in VERBS)
    assert goodviews("help", "train").out == goodviews("train", "-h").out


def test_version(goodviews: Command) -> None:
    """--version prints name and number."""
    assert goodviews("--version").out.startswith("goodviews 0.")


@pytest.mark.parametrize(
    "word",
    ["--batch-size 8", "--batch_size 8", "--batch-size=8", "--batch_size=8", "batch_size=8",
     "batch-size=8", "-b 8", "-b=8"],
)  # fmt: skip
def test_spellings_are_one(word: str) -> None:
    """Hyphens, underscores, key=value and the short name mean the same."""
    assert options(f"train {word}")["batch_size"] == 8


@pytest.mark.parametrize("alias", sorted(ALIASES))
def test_other_tools_names_are_known(alias: str) -> None:
    """--output-dir, --model, --max-epochs ... reach our option in a verb that has it."""
    target = ALIASES[alias]
    verb = next(verb for verb in VERBS.values() if target in {o.name for o in verb.options})
    dash = "-" if len(alias) == 1 else "--"
    assert parsing.read([f"{dash}{alias.replace('_', '-')}=1"], verb).given == {target: "1"}


def test_positions_flags_and_lists() -> None:
    """METHOD and DATA without names, flags with and without a value, commas."""
    found = options("train infonce pictures --resume --no-download --log csv, wandb --clip none")
    assert (found["method"], found["data"]) == ("infonce", "pictures")
    assert (found["resume"], found["download"], found["clip"]) == (True, False, None)
    assert found["log"] == ["csv", "wandb"]
    assert options("train --resume false")["resume"] is False
    assert options("choose --labels none")["labels"] == "none"
    assert options("choose --data a=b --out 12")["out"] == "12"
    assert options("choose --families crop-scale=0.2:0.5,blur")["families"] == [
        "crop-scale=0.2:0.5",
        "blur",
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("trian", ["trian", "Did you mean train?"]),
        ("fit", ["Did you mean train?"]),
        ("views prevew", ["Did you mean views preview?"]),
        ("--data x", ["a verb comes first"]),
        ("xyzzy", ["unknown verb", "choose"]),
        ("train --bath-size 8", ["--bath-size: unknown", "Did you mean --batch-size?"]),
        ("train --epoch 5", ["Did you mean --epochs?"]),
        ("train --learning-rat 5", ["Did you mean --lr?"]),
        ("train bach_size=8", ["Did you mean --batch-size?"]),
        ("train --xyzzy 8", ["--xyzzy: unknown option", "goodviews train --help"]),
        ("train -q", ["-q: unknown option"]),
        ("train --batch-size", ["--batch-size: needs a value", "8"]),
        ("train --lr --resume", ["--lr: needs a value"]),
        ("train --batch-size x", ["--batch-size: 'x'", "int", "8"]),
        ("train --batch-size 2.5", ["--batch-size: '2.5'", "int"]),
        ("train --lr fast", ["--lr: 'fast'", "float"]),
        ("train --workers many", ["--workers: 'many'", "int or auto"]),
        ("train --resume=maybe", ["--resume: 'maybe'", "yes or no"]),
        ("train --optimizer adamm", ["--optimizer: unknown 'adamm'", "Did you mean 'adam'?"]),
        ("choose --budget quik", ["--budget: unknown 'quik'", "Did you mean 'quick'?"]),
        ("train simclr data more", ["more: a word too many", "goodviews train --help"]),
        ("evaluate", ["RUN is missing", "goodviews evaluate run"]),
        ("list", ["KIND is missing", "goodviews list families"]),
        ("train --config", ["--config: needs a value"]),
        ("train --config nowhere.yaml", ["--config: nowhere.yaml", "Give a YAML file"]),
    ],
)
def test_slips(goodviews: Command, line: str, words: list[str]) -> None:
    """One line that names the thing and the remedy, exit 2, no usage dump."""
    goodviews(*line.split()).mistake(*words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("bath_size: 8", ["unknown key 'bath_size'", "Did you mean batch_size?"]),
        ("xyzzy: 8", ["unknown key 'xyzzy'", "--help"]),
        ("batch_size: eight", ["--batch-size: 'eight'", "int"]),
        ("optimizer: adamm", ["Did you mean 'adam'?"]),
        ("[1, 2]", ["holds no mapping"]),
        ("", ["holds no mapping"]),
        ("lr: [", ["is not YAML"]),
        ("epochs: {a: 1}", ["--epochs"]),
    ],
)
def test_slips_in_a_config(goodviews: Command, tmp_path: Path, text: str, words: list[str]) -> None:
    """Config files are as strict as the command line."""
    path = tmp_path / "c.yaml"
    path.write_text(text)
    goodviews("train", "--config", path).mistake(*words)


def test_a_config_is_printed_and_read_again(goodviews: Command, tmp_path: Path) -> None:
    """--print-config | --config is the identity; the command line wins whatever the order."""
    line = ["train", "infonce", "--lr", "1e-5", "--log", "csv", "--clip", "2", "--labels", "none"]
    printed = goodviews(*line, "--print-config")
    assert (printed.code, printed.err) == (0, "")
    path = tmp_path / "c.yaml"
    path.write_text(printed.out)
    assert goodviews("train", "--config", path, "--print_config").out == printed.out
    wins = yaml.safe_load(
        goodviews("train", "simclr", "--seed", "7", "--config", path, "--print-config").out
    )
    assert (wins["method"], wins["seed"], wins["lr"]) == ("simclr", 7, 1e-5)


def test_configs_add_up_and_know_aliases(goodviews: Command, tmp_path: Path) -> None:
    """Later files win; hyphens and other tools' names work as keys; commas make lists."""
    (tmp_path / "a.yaml").write_text("batch-size: 8\nmax_epochs: 3\nlog: csv,wandb\nseed: 1\n")
    (tmp_path / "b.yaml").write_text("seed: 2\nviews: {name: mine, ops: []}\n")
    words = ["--config", tmp_path / "a.yaml", f"config={tmp_path / 'b.yaml'}"]
    found = yaml.safe_load(goodviews("train", *words, "--print-config").out)
    assert (found["batch_size"], found["epochs"], found["seed"]) == (8, 3, 2)
    assert found["log"] == ["csv", "wandb"]
    assert found["views"] == {"name": "mine", "ops": []}


def test_a_path_with_an_equals_sign_is_a_position(tmp_path: Path) -> None:
    """A run called lr=0.1 can be named."""
    run = tmp_path / "runs" / "momentum=0.1"
    run.mkdir(parents=True)
    assert parsing.read([str(run)], VERBS["evaluate"]).given == {"run": str(run)}


@pytest.mark.parametrize("name", ["choose", "train", "evaluate", "embed"])
def test_defaults_are_those_of_the_python_function(name: str) -> None:
    """What the help promises is what the Python API does without being told."""
    function = getattr(importlib.import_module("goodviews"), name)
    known = inspect.signature(function).parameters
    graphs = inspect.signature({"choose": choose_graph, "train": train_graph}.get(name, function))
    for option in VERBS[name].options:
        if option.name not in known:
            assert option.name in graphs.parameters and option.default is None, option.name
            continue
        default = known[option.name].default
        default = list(default) if isinstance(default, tuple) else default
        if default is not inspect.Parameter.empty and option.name not in ("method", "data", "out"):
            assert option.default == default, option.name


def test_the_tables_fit_together() -> None:
    """Each verb runs something; positions are options; aliases lead to options; synonyms too."""
    assert set(verbs.RUN) == set(VERBS)
    every = {option.name for verb in VERBS.values() for option in verb.options}
    assert set(ALIASES.values()) <= every
    assert set(SYNONYMS.values()) <= set(VERBS)
    for verb in VERBS.values():
        names = [option.name for option in verb.options]
        assert len(names) == len(set(names))
        assert {*verb.positional, *verb.required} <= set(names)
        assert not set(names) & set(ALIASES)


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_examples_parse(verb: Verb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every example of the help is understood."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("epochs: 3\n")
    for command, _ in verb.examples:
        found = options(command)
        assert set(found) == {option.name for option in verb.options}


def test_verbs_are_found_with_suggestions() -> None:
    """find_verb raises our own error, for use from Python too."""
    with pytest.raises(UserError, match="Did you mean embed"):
        parsing.find_verb(["embd"])
