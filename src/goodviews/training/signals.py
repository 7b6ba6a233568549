"""Ctrl-C and SIGTERM: the first asks politely, the second insists."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any


class Interrupted(BaseException):
    """Ends a run from inside: the state is saved, ``signum`` says which signal asked for it."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"signal {signum}")
        self.signum = signum


class QuitNow(BaseException):
    """A second Ctrl-C: leave at once. Becomes a KeyboardInterrupt outside the trainer."""


class Signals:
    """A context in which SIGINT and SIGTERM set ``received`` in place of ending the process.

    A second SIGINT raises `QuitNow`. Outside the main thread, where Python allows no handlers,
    it does nothing.

    Args:
        polite: False where nothing would be saved: the first SIGINT raises `QuitNow`, and other
            handlers than Python's own stay as they were.

    Example:
        >>> with Signals() as signals:
        ...     signal.raise_signal(signal.SIGTERM)
        ...     signals.received == signal.SIGTERM
        True
    """

    HANDLED = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, polite: bool = True) -> None:
        self.polite = polite
        self.received: int | None = None
        self._before: dict[int, Any] = {}
        self._immediate = False

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.getsignal(number) for number in self.HANDLED}
            self.arm()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def arm(self) -> None:
        """Take the signals (again: Lightning puts its own SIGTERM handler over ours)."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number, before in self._before.items():
            ours = self.polite or before is signal.default_int_handler
            signal.signal(number, self._handle if ours else before)

    def check(self) -> None:
        """Raise `Interrupted` if a signal has come."""
        if self.received is not None:
            raise Interrupted(self.received)

    @contextmanager
    def immediate(self) -> Iterator[None]:
        """Within: even the first signal raises. For work that a resumed run does again."""
        self.check()
        self._immediate = True
        try:
            yield
        finally:
            self._immediate = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and (self.received is not None or not self.polite):
            raise QuitNow
        self.received = self.received or number
        if self._immediate:
            self._immediate = False
            raise Interrupted(number)
