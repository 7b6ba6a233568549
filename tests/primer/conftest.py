"""The command in this process, as in the tests of the command line."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from goodviews.cli import main


@pytest.fixture
def learn(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """``learn("entropy", "--p", "1/2,1/2")`` -> exit code, output, error."""

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["learn", *words])
        return code, *capsys.readouterr()

    return run
