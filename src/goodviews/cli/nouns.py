"""What an option and a verb are. Imports nothing heavy, so that ``--help`` is quick."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Option:
    """One option of a verb; on the command line ``--batch-size``, in a config ``batch_size``."""

    name: str
    type: Any
    default: Any
    help: str
    """What it means, one line."""
    unit: str
    """What its value is called in the help: a unit (IMAGES) or a kind (FOLDER)."""
    group: str
    """Heading in the help: data, views, encoder, training or output."""
    above: float | None = None
    """Numbers must be greater than this; None: any."""

    @property
    def flag(self) -> str:
        """As written on the command line.

        Example:
            >>> from goodviews.cli.options import TRAIN
            >>> TRAIN.option("batch_size").flag
            '--batch-size'
        """
        return "--" + self.name.replace("_", "-")

    @property
    def is_list(self) -> bool:
        """Whether the value is a list, written with commas on the command line."""
        return "list[" in str(self.type)

    @property
    def is_switch(self) -> bool:
        """Whether the flag alone means yes, and --no-NAME no."""
        return self.type in (bool, bool | None)


@dataclass(frozen=True)
class Verb:
    """A verb: what it does, what it can be told, how it is used."""

    name: str
    summary: str
    options: tuple[Option, ...]
    examples: tuple[tuple[str, str], ...]
    """Pairs of a command (without "goodviews") and what it does."""
    positional: tuple[str, ...] = ()
    """Options that may be given without their name, in this order."""
    required: tuple[str, ...] = field(default=())

    def option(self, name: str) -> Option:
        """The option called ``name``."""
        return next(option for option in self.options if option.name == name)
