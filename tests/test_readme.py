"""The README's commands and snippets run as they stand, offline."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from goodviews.cli import main

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def write_pairs(folder):
    """The reader's own x.npy, y.npy and table.csv."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2))
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", x[:, 0] + rng.normal(size=300))
    kinds = np.where(x[:, 0] > 0, "cat", "dog")
    lines = [f"{a},{b},{kind}" for (a, b), kind in zip(x, kinds, strict=True)]
    (folder / "table.csv").write_text("\n".join(["height,weight,kind", *lines]))


def test_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_pairs(tmp_path)
    commands = "".join(blocks("sh")).strip().splitlines()
    assert len(commands) >= 7
    for command in commands:
        words = shlex.split(command, comments=True)
        assert words[0] == "goodviews"
        assert main(words[1:]) == 0, (command, capsys.readouterr().err)
    for made in ("pairs.png", "study/report.html", "run/report.html", "run/embeddings.npz"):
        assert (tmp_path / made).stat().st_size > 0


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_snippets(number):
    exec(compile(blocks("python")[number], "README.md", "exec"), {})


def test_links_lead_somewhere():
    root = Path(__file__).parents[1]
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (root / target).exists(), target
