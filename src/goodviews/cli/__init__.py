"""The command ``goodviews``: verbs over the Python API, and mistakes told in one line."""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import shlex
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from types import FrameType

from goodviews import __version__
from goodviews.cli import parsing, verbs
from goodviews.cli.options import VERBS
from goodviews.interfaces import Interrupted, UserError

USAGE = 2
"""Exit code of what the user can mend."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0: done. 1: a fault of ours. 2: something the user can mend, told in one line on stderr.
    130 and 143: ended by Ctrl-C or SIGTERM. With ``--debug`` or ``GOODVIEWS_DEBUG=1`` errors come
    with their traceback.

    Args:
        argv: the words after "goodviews"; None takes the process's own.

    Example:
        >>> main(["list", "data"])  # doctest: +ELLIPSIS
        factors ...
        0
    """
    if argv is None and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # progress shows in a log at once
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words or os.environ.get("GOODVIEWS_DEBUG", "") not in ("", "0")
    words = [word for word in words if word != "--debug"]
    try:
        with quiet(debug), terminable():
            code = command(words)
            sys.stdout.flush()
            return code
    except BaseException as error:  # every end of the command passes here, Ctrl-C included
        return explain(error, words, debug)


def command(words: list[str]) -> int:
    """Do what the words say: help, version, or a verb."""
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    if not words or words[0] in ("-h", "--help"):
        print(overview(), end="")
        return 0
    if words[0] in ("--version", "-V"):
        print(f"goodviews {__version__}")
        return 0
    verb, rest = parsing.find_verb(words)
    request = parsing.read(rest, verb)
    if request.help:
        print(parsing.help_text(verb), end="")
        return 0
    found = parsing.values(request, verb)
    if request.print_config:
        print(parsing.dump(found), end="")
        return 0
    return verbs.RUN[verb.name](found)


def overview() -> str:
    """What ``goodviews --help`` prints."""
    lines = [f"  {verb.name:<14} {verb.summary}" for verb in VERBS.values()]
    examples = [f"  goodviews {verb.examples[0][0]}" for verb in VERBS.values()]
    return "\n".join(
        [
            "usage: goodviews VERB [--option value ...]",
            "",
            "Which views are good for your images? Measure, choose, train, look.",
            "",
            "verbs:",
            *lines,
            "",
            "options:",
            "  -h, --help     this text; goodviews VERB --help lists the options of a verb",
            "  --version      print the version",
            "  --debug        show the traceback of an error (default: no)",
            "",
            "examples:",
            *examples,
            "",
        ]
    )


@contextlib.contextmanager
def quiet(debug: bool) -> Iterator[None]:
    """Within: libraries' warnings and log lines below errors are not shown (unless ``debug``)."""
    if debug:
        yield
        return
    loggers = [logging.getLogger(name) for name in ("lightning", "lightning.pytorch", "torch")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


class Terminated(BaseException):
    """SIGTERM came."""


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Within: SIGTERM raises `Terminated`, so that temporary files are tidied up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def explain(error: BaseException, words: Sequence[str], debug: bool) -> int:
    """Tell an error in one line on stderr, and return the exit code it stands for."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    if isinstance(error, BrokenPipeError):  # `goodviews list data | head -1`: the reader has enough
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    if debug:
        traceback.print_exception(error)
    code, line = sentence(error, words)
    print(f"goodviews: {line}", file=sys.stderr)
    return code


def sentence(error: BaseException, words: Sequence[str]) -> tuple[int, str]:
    """Exit code and line of an error."""
    text = " ".join(str(error).split())
    if isinstance(error, Interrupted):
        return error.code, text
    if isinstance(error, KeyboardInterrupt | Terminated):
        number = signal.SIGINT if isinstance(error, KeyboardInterrupt) else signal.SIGTERM
        return 128 + number, f"interrupted.{again(words)}"
    if isinstance(error, UserError):
        return USAGE, text
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return USAGE, "out of memory. Use a smaller --batch-size, --image-size or --max-images."
    if isinstance(error, OSError):
        place = error.filename or "the disk"
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return USAGE, f"{place}: no space left. Free some, or name another place with --out."
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            return USAGE, f"{place}: {error.strerror}. Change its permissions, or name another."
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            return USAGE, f"{place}: {error.strerror}. Check the path."
    name = type(error).__name__
    return 1, f"unexpected {name}: {text[:300]}. Run again with --debug for its traceback."


def again(words: Sequence[str]) -> str:
    """How an interrupted command goes on."""
    if words[:1] not in (["choose"], ["study"]):
        return ""
    return f" Go on with the same command: {shlex.join(['goodviews', *words])}"
