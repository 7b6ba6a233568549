"""What every test runs under, and a browser for those that look at pages."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# A shell that starts the tests in the background ignores Ctrl-C for them; the tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    sync_api = pytest.importorskip("playwright.sync_api")
    path = os.environ.get("GOODVIEWS_CHROMIUM") or shutil.which("chromium")
    if path is None:
        pytest.skip("no chromium: install it or set GOODVIEWS_CHROMIUM to its path")
    with sync_api.sync_playwright() as driver:
        program = driver.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu"]
        )
        yield program
        program.close()
