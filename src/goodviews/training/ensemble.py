"""The loop of a stacked model: steps, looks at regular intervals, resumption between looks.

Several seeds of a small model trained as one batched network (:class:`goodviews.layers.Stacked`)
take far less time than one after another; Lightning's loop knows no such thing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from goodviews.files import write_atomic

Records = list[list[dict[str, float]]]
"""For each member its looks, in order."""


class Stateful(Protocol):
    """A module or an optimiser."""

    def state_dict(self) -> dict[str, Any]:
        """What it holds."""
        ...

    def load_state_dict(self, state: Any) -> Any:
        """Take it back."""
        ...


def climb(
    advance: Callable[[int], None],
    look: Callable[[int], list[dict[str, float]]],
    state: Mapping[str, Stateful],
    *,
    steps: int,
    every: int,
    checkpoint: Path | None = None,
    echo: Callable[[str], None] = lambda line: None,
) -> Records:
    """Take ``steps`` steps and look before the first, then every ``every`` steps, and at the end.

    With ``checkpoint`` everything is saved after each look, and the same call goes on from there:
    to the same numbers, when step s of ``advance`` draws its batch from (seed, s).

    Args:
        advance: takes step number s = 0, 1, ...
        look: steps taken -> one dict of numbers a member.
        state: what ``advance`` changes, by name.
        steps: in all.
        every: steps between looks.
        checkpoint: file; removed by the caller when its numbers are safe.
        echo: gets a line a look.

    Returns:
        For each member its looks; "step" is among their numbers.

    Example:
        >>> taken = []
        >>> looks = climb(taken.append, lambda s: [{"n": len(taken)}], {}, steps=5, every=2)
        >>> [(look["step"], look["n"]) for look in looks[0]]
        [(0, 0), (2, 2), (4, 4), (5, 5)]
    """
    begin, records = _load(checkpoint, state)
    if not records:
        records = [[found] for found in _looked(look, 0, echo)]
        _save(checkpoint, 0, records, state)
    for step in range(begin, steps):
        advance(step)
        if (step + 1) % every == 0 or step + 1 == steps:
            for member, found in zip(records, _looked(look, step + 1, echo), strict=True):
                member.append(found)
            _save(checkpoint, step + 1, records, state)
    return records


def _looked(
    look: Callable[[int], list[dict[str, float]]], step: int, echo: Callable[[str], None]
) -> list[dict[str, float]]:
    found = [{"step": step, **numbers} for numbers in look(step)]
    means = {k: sum(member[k] for member in found) / len(found) for k in found[0]}
    shown = [f"{key} {value:.3f}" for key, value in means.items() if key != "step"][:4]
    echo(f"  step {step}: {', '.join(shown)}")
    return found


def _save(path: Path | None, step: int, records: Records, state: Mapping[str, Stateful]) -> None:
    if path is None:
        return
    held = {name: part.state_dict() for name, part in state.items()}
    kept = {"step": step, "records": records, "state": held}
    write_atomic(path, lambda p: torch.save(kept, p))


def _load(path: Path | None, state: Mapping[str, Stateful]) -> tuple[int, Records]:
    """Steps taken and looks of the checkpoint; nothing where there is none."""
    if path is None or not path.exists():
        return 0, []
    kept = torch.load(path, weights_only=True, map_location="cpu")
    for name, part in state.items():
        part.load_state_dict(kept["state"][name])
    return kept["step"], kept["records"]
