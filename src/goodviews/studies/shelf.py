"""The runs and studies below a folder, side by side: ``goodviews runs``. Reads files only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from goodviews.interfaces import UserError

COLUMNS = ("folder", "what", "state", "data", "views", "encoder", "linear %", "kNN %", "I_NCE")


def shelf(folder: str | Path = ".") -> list[dict[str, str]]:
    """One entry a run or study below ``folder``, by path; keys are :data:`COLUMNS`.

    Raises:
        UserError: no such folder, or neither run nor study in it.
    """
    top = Path(folder)
    if not top.is_dir():
        raise UserError(f"{top}: no such folder. Name one that holds runs.")
    places = {p.parent for name in ("config.yaml", "rows.jsonl") for p in top.rglob(name)}
    entries = [_study(p) if (p / "rows.jsonl").exists() else _run(p) for p in sorted(places)]
    if not entries:
        raise UserError(f"{top}: no run and no study below. Make one with train or choose --out.")
    return entries


def shelf_table(entries: list[dict[str, str]]) -> str:
    """The entries as text, a line each.

    Example:
        >>> print(shelf_table([dict.fromkeys(COLUMNS, "-") | {"folder": "run"}]).splitlines()[1])
        run     -     -      -     -      -        -         -      -
    """
    rows = [dict(zip(COLUMNS, COLUMNS, strict=True)), *entries]
    widths = [max(len(row[name]) for row in rows) for name in COLUMNS]
    lines = [
        "  ".join(row[name].ljust(width) for name, width in zip(COLUMNS, widths, strict=True))
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def _entry(path: Path, what: str, state: str, **known: Any) -> dict[str, str]:
    entry = dict.fromkeys(COLUMNS, "-") | {"folder": str(path), "what": what, "state": state}
    entry |= {name: str(value) for name, value in known.items() if value is not None}
    for name, key in (("linear", "linear %"), ("knn", "kNN %")):
        if known.get(name) is not None:
            entry[key] = f"{100 * known[name]:.1f}"
        entry.pop(name, None)
    nats = entry.pop("nats", None)
    return entry | ({"I_NCE": f"{float(nats):.2f}"} if nats else {})


def _run(path: Path) -> dict[str, str]:
    config = yaml.safe_load((path / "config.yaml").read_text("utf-8")) or {}
    done = (path / "encoder.json").exists()
    table = _json(path / "probes.json").get("rows", [])
    probes: dict[str, Any] = next((row for row in table if row["name"] == "this run"), {})
    views = config.get("views")
    return _entry(
        path,
        str(config.get("method", "run")),
        "done" if done else "unfinished",
        data=config.get("data"),
        views=views.get("name") if isinstance(views, dict) else views,
        encoder=config.get("encoder"),
        linear=probes.get("linear"),
        knn=probes.get("knn"),
    )


def _study(path: Path) -> dict[str, str]:
    settings, study = _json(path / "settings.json"), _json(path / "study.json")
    full = study.get("reference")  # of an ablation; `choose` recommends
    entries = study.get("summary", ())
    best: dict[str, Any] = next(
        (e for e in entries if e["recommended"] or e["candidate"] == full), {}
    )
    return _entry(
        path,
        str(settings.get("study", "study")),
        "done" if study else "unfinished",
        data=settings.get("data"),
        views=best.get("candidate"),
        encoder=settings.get("encoder"),
        linear=best.get("linear"),
        knn=best.get("knn"),
        nats=best.get("nats"),
    )


def _json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return found
