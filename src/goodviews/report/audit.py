"""The tables and the page of an audit: seven checks, the contenders, the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from goodviews.interfaces import UserError
from goodviews.report import page
from goodviews.report.audit_figures import Record, figures, held
from goodviews.report.tables import finite, number, percent, spread

PLUS_MINUS = "\N{PLUS-MINUS SIGN}"
STATUS_KEYS = {"cleared": "sweet", "doubt": "missing"}
"""Status of a check -> its chip's class; any other is undecided."""
SAYS_KEYS = {
    "fewer nats, better probe": "missing",
    "same nats, other accuracy": "missing",
    "same order": "sweet",
}
"""What a pair says -> its chip's class."""
TONES = {"contradicted": "bad", "agree": "good"}
"""State of the verdict -> the class of its line."""
COLUMNS = ("contender", "held-out nats", "training nats", "critic", "linear probe %")


def contender_lines(record: Record, sign: str = PLUS_MINUS) -> list[list[str]]:
    """One line a contender: nats held out and on training pairs, the critic, the probe.

    Example:
        >>> held = {"value": 1.2, "half": 0.05}
        >>> entry = {"critics": {"bilinear": {"held": held, "train": held}}, "chosen": "bilinear"}
        >>> contender_lines({"measured": {"contenders": {"raw pixels": entry}}}, "+-")
        [['raw pixels', '1.20+-0.05', '1.20+-0.05', 'bilinear', '']]
    """
    lines = []
    for name, entry in record["measured"]["contenders"].items():
        trained = entry["critics"][entry["chosen"]]["train"]
        probe = entry.get("probe") or {}
        lines.append(
            [
                name,
                _measured(held(entry), sign),
                _measured(trained, sign),
                str(entry["chosen"]),
                spread(percent(probe.get("value")), percent(probe.get("half")), sign),
            ]
        )
    return lines


def _measured(found: Mapping[str, Any], sign: str = PLUS_MINUS) -> str:
    return spread(number(found.get("value")), number(found.get("half")), sign)


def audit_table(record: Record) -> str:
    """Contenders and checks for a terminal, plain ASCII.

    Example:
        >>> check = {"name": "ceiling", "number": "3.00 of 4.85 nats", "status": "cleared"}
        >>> print(audit_table({"measured": {"contenders": {}}, "checks": [check]}).splitlines()[-1])
        ceiling  cleared  3.00 of 4.85 nats
    """
    first = _columns([list(COLUMNS), *contender_lines(record, "+-")])
    checks = [[c["name"], c["status"], _ascii(c["number"])] for c in record["checks"]]
    return "\n".join([*first, "", *_columns([["check", "status", "number"], *checks])])


def _ascii(words: str) -> str:
    return words.replace(f" {PLUS_MINUS} ", "+-").replace(PLUS_MINUS, "+-")


def _columns(lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return [
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def critic_lines(record: Record) -> list[list[str]]:
    """Nats of every contender under each kind of fresh critic, held out."""
    contenders = record["measured"]["contenders"]
    kinds = list(next(iter(contenders.values()))["critics"])
    lines = [["contender", *kinds]]
    for name, entry in contenders.items():
        cells = [
            _measured(entry["critics"][kind]["held"]) + (" *" if kind == entry["chosen"] else "")
            for kind in kinds
        ]
        lines.append([name, *cells])
    return lines


def pair_lines(record: Record) -> list[dict[str, Any]]:
    """Every pair of contenders: differences with intervals, what it says."""
    return [
        {
            "words": f"{pair['one']} − {pair['other']}",
            "nats": _signed(pair["nats"], 2),
            "points": _signed(pair["accuracy"], 1, 100),
            "says": pair["says"],
            "truth": pair["truth"],
        }
        for pair in record["pairs"]
    ]


def _signed(found: Mapping[str, Any], digits: int, scale: float = 1.0) -> str:
    """A difference with its sign and half its interval.

    Example:
        >>> _signed({"value": -0.5, "half": 0.1}, 2)
        '-0.50±0.10'
    """
    return f"{scale * found['value']:+.{digits}f}{PLUS_MINUS}{scale * found['half']:.{digits}f}"


def size_lines(record: Record) -> list[list[str]]:
    """The own critic at every K: ceiling, held out, training, shuffled pairs."""
    rows = record["measured"].get("ceiling") or []
    return [
        [
            str(row["K"]),
            number(row["ceiling"]),
            _measured(row["held"]),
            _measured(row["train"]),
            percent(row["held"]["value"] / row["ceiling"], 0),
            number(row["ceiling"] - row["held"]["value"]),
            number(row.get("null")),
        ]
        for row in rows
    ]


def layer_lines(record: Record) -> list[list[str]]:
    """Geometry of every layer, with the condition number where it was taken."""
    found = record["measured"].get("geometry") or {}
    conditions = found.get("conditioning") or {}
    lines = []
    for name, layer in (found.get("layers") or {}).items():
        marks = (conditions.get(name) or {}).get("percentiles") or {}
        ends = [number(marks.get(end), 1) for end in ("p20", "p80")]
        lines.append(
            [
                name,
                number(layer["width"], 0),
                number(layer["rankme"], 1),
                number(layer.get("alignment")),
                number(layer["uniformity"]),
                " to ".join(ends) if all(ends) else "",
                number((conditions.get(name) or {}).get("lost"), 0),
            ]
        )
    return lines


def tiles(record: Record) -> list[tuple[str, str, str]]:
    """The numbers on top: own bound, fresh critics, the nearest control, the probe."""
    contenders, found = record["measured"]["contenders"], []
    rows = record["measured"].get("ceiling") or []
    if rows:
        last = rows[-1]
        found.append(
            (
                f"{number(last['held']['value'])} nats",
                f"own critic, K = {last['K']}",
                f"{percent(last['held']['value'] / last['ceiling'], 0)} % of its ceiling",
            )
        )
    for name, entry in contenders.items():
        probe = entry.get("probe")
        words = f"linear probe {percent(probe['value'])} %" if probe else "no labels"
        if name in ("this run", "untrained network", "raw pixels"):
            what = f"{name}, fresh critic, K = {record.get('K')}"
            found.append((f"{number(held(entry)['value'])} nats", what, words))
    return found


def render_audit(record: Record) -> str:
    """The page as one string of HTML.

    Args:
        record: what audit.json holds.
    """
    geometry = record["measured"].get("geometry") or {}
    settings = {k: v for k, v in record["settings"].items() if k not in ("weights", "sha256")}
    return page.render(
        "audit.html.j2",
        title=f"Is it really mutual information? {record['name']}",
        record=record,
        tone=TONES.get(record["verdict"]["state"], ""),
        tiles=tiles(record),
        figures=figures(record),
        cards={},
        columns=COLUMNS,
        contenders=contender_lines(record),
        critics=critic_lines(record),
        pairs=pair_lines(record),
        sizes=size_lines(record),
        layers=layer_lines(record),
        labelled=any(e.get("probe") for e in record["measured"]["contenders"].values()),
        conditioned=bool(geometry.get("conditioning")),
        status_keys=STATUS_KEYS,
        says_keys=SAYS_KEYS,
        seconds=_seconds(record),
        settings_facts=page.facts(settings),
        data_facts=page.facts(record.get("data")),
        environment_facts=page.facts(record.get("environment")),
    )


def _seconds(record: Record) -> str:
    """How long all parts took, in minutes."""
    measured = record["measured"]
    parts = list((measured.get("seconds") or {}).values())
    parts += [entry.get("seconds") for entry in measured["contenders"].values()]
    return f"{sum(finite(part) or 0.0 for part in parts) / 60:.1f}"


def audit_page(out: Path) -> Path:
    """Write ``report.html`` into an audit's folder from its audit.json.

    Raises:
        UserError: no audit there, an unfinished one, or files that cannot be read or written.
    """
    out = Path(out)
    record = page.read_json(out / "audit.json")
    if not record:
        raise UserError(f"{out}: no audit.json, so no audit. Name the --out of one.")
    if not record.get("verdict"):
        raise UserError(f"{out}: the audit is unfinished. Run its command again to go on.")
    return page.write(out / "report.html", render_audit(record))
