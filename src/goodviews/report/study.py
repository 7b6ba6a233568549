"""The page of a study: which views are good, and how we know."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from goodviews.interfaces import Row, UserError
from goodviews.report import page, tables
from goodviews.report.dials import dial_figures, train_heldout_figure
from goodviews.report.figures import accuracy_information_figure, measure_of
from goodviews.report.palette import REGIME_KEYS, REGIMES
from goodviews.report.ranking import accuracy_text, mean_text, seeds_text, table_view
from goodviews.report.tables import WORDS, Summary, TaskWords, finite, number, percent


def cards(summary: Iterable[Summary], words: TaskWords = WORDS) -> dict[str, dict[str, Any]]:
    """What the card beside a point says, by candidate.

    Example:
        >>> cards(tables.complete([{"candidate": "a", "nats": 1.0, "K": 8}]))["a"]["lines"]
        [['I(v1;v2)', '1.00 nats'], ['of the ceiling', '48 %'], ['seeds', '0']]
    """
    result = {}
    for entry in summary:
        share = percent(tables.of_ceiling(entry), 0)
        nats = mean_text("nats", 2)(entry)
        lines = [
            ("I(v1;v2)", f"{nats} nats", nats),
            ("of the ceiling", f"{share} %", share),
            (words.probe, accuracy_text("linear")(entry) + " %", entry["linear"]),
            ("few labels", accuracy_text("linear_few")(entry) + " %", entry["linear_few"]),
            ("kNN", accuracy_text("knn")(entry) + " %", entry["knn"]),
            ("RankMe", mean_text("rankme", 1)(entry), entry["rankme"]),
            ("seeds", seeds_text(entry), "shown"),
        ]
        result[entry["candidate"]] = {
            "regime": entry["regime"] or "",
            "key": REGIME_KEYS.get(entry["regime"] or "", ""),
            "lines": [[name, told] for name, told, known in lines if known not in (None, "")],
        }
    return result


def tiles(summary: Sequence[Summary], study: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The few numbers that stand large under the answer: value, meaning, what to compare it with.

    Example:
        >>> tiles(tables.complete([{"candidate": "a", "recommended": True, "nats": 1.0}]), {})[0]
        ('a', 'first by RankMe, for no task', '')
    """
    best = next((e for e in summary if e["recommended"]), None)
    if best is None:
        return []
    share = percent(tables.of_ceiling(best), 0)
    measure = measure_of(study, summary)
    words = "recommended view" if measure.key == "linear" else "first by RankMe, for no task"
    result = [(str(best["candidate"]), words, str(best["regime"] or ""))]
    if finite(best["nats"]) is not None:
        result.append(
            (
                f"{mean_text('nats', 2)(best)} nats",
                "held-out I(v1;v2)",
                f"{share} % of the ceiling log K" if share else "",
            )
        )
    against = [
        f"{e['candidate']} {percent(e['linear'])} %"
        for e in tables.baselines(summary)
        if finite(e["linear"]) is not None
    ]
    if measure.key == "linear" and finite(best["linear"]) is not None:
        result.append(
            (f"{accuracy_text('linear')(best)} %", TaskWords.of(study).probe, ", ".join(against))
        )
    elif finite(best["rankme"]) is not None:
        result.append((mean_text("rankme", 1)(best), "RankMe, effective rank", "no labels used"))
    return result


def render_study(rows: Sequence[Row], study: Mapping[str, Any], images: Mapping[str, bytes]) -> str:
    """The study's page as one string of HTML.

    Args:
        rows: Every run, failures and baselines included.
        study: The study's record (``study.json``); its ``summary`` is computed here when missing.
        images: Candidate -> PNG bytes of a strip of example pairs, view 1 above view 2.

    Example:
        >>> "<title>" in render_study([], {"question": "Which views?"}, {})
        True
    """
    summary = tables.complete(study.get("summary") or tables.summarise(rows))
    candidates = tables.ranked(summary)
    pictures = {e["candidate"]: page.picture(images.get(e["candidate"])) for e in candidates}
    by_dial = dial_figures(summary, study)
    drawn: dict[str, Any] = {"main": accuracy_information_figure(summary, study)}
    drawn |= {f"dial-{place}": figure for place, figure in enumerate(by_dial.values())}
    if (memory := train_heldout_figure(summary, study)) is not None:
        drawn["memory"] = memory
    measure, words = measure_of(study, summary), TaskWords.of(study)
    return page.render(
        "study.html.j2",
        title=str(study.get("question") or "Which views are good?"),
        study=study,
        labelled=measure.key == "linear",
        words=words,
        measure=measure,
        first="recommended" if measure.key == "linear" else "first by RankMe",
        tiles=tiles(summary, study),
        table=table_view(summary, words),
        candidates=candidates,
        pictures=pictures,
        figures=drawn,
        plotted=bool(drawn["main"]["data"]),
        dials={f"dial-{place}": family for place, family in enumerate(by_dial)},
        cards=cards(candidates, words),
        regimes=[r for r in REGIMES if any(e["regime"] == r for e in candidates)],
        facts=how_measured(rows, study, candidates),
        rows=rows,
        data_facts=page.facts(study.get("data")),
        settings_facts=page.facts(study.get("settings")),
        environment_facts=page.facts(study.get("environment")),
    )


def how_measured(
    rows: Sequence[Row], study: Mapping[str, Any], candidates: Sequence[Summary]
) -> list[tuple[str, str, list[str]]]:
    """The lines that make every number readable: K, unit, split, seeds, spread.

    Example:
        >>> how_measured([], {"K": 8}, [])[0]
        ('Candidates K', '8, so no value can exceed log K = 2.08 nats', [])
    """
    ceilings = {e["K"] or study.get("K") for e in candidates} or {study.get("K")}
    known = sorted(k for k in ceilings if k)
    if not known:
        amount = "not known"
    elif len(known) == 1:
        limit = number(tables.ceiling_of({"K": known[0]}))
        amount = f"{known[0]}, so no value can exceed log K = {limit} nats"
    else:
        amount = ", ".join(map(str, known)) + " (not all candidates alike)"
    seconds = sum(finite(row.seconds) or 0.0 for row in rows)
    lines = [
        ("Candidates K", amount),
        ("Unit", "nats, I_NCE: a lower bound on the true I(v1;v2)"),
        ("Split", f"{TaskWords.of(study).held}; training values stand beside them"),
        ("Spread", "mean \N{PLUS-MINUS SIGN} one standard deviation over seeds"),
        ("Null", "the same estimate on shuffled pairs; about 0 when sound"),
    ]
    if study.get("seeds") is not None:
        lines.insert(3, ("Seeds", page.facts({"seeds": study["seeds"]})[0][1]))
    if finite(study.get("label_entropy")) is not None:
        lines.append(("H(y)", f"{number(study['label_entropy'])} nats"))
    if (study.get("settings") or {}).get("objective") == "amdim":
        lines.append(("Scores", "means of AMDIM's scores over scales and places, both directions"))
    if study.get("budget"):
        lines.append(("Budget", str(study["budget"])))
    if rows:
        lines.append(("Runs", f"{len(rows)}, {sum(row.status == 'failed' for row in rows)} failed"))
    if seconds:
        lines.append(("Computing", f"{seconds / 60:.1f} minutes, all runs together"))
    return [(name, words, []) for name, words in lines]


def strips(out: Path, candidates: Iterable[str]) -> dict[str, bytes]:
    """The strips of example pairs that a study's folder holds: candidate -> PNG.

    Example:
        >>> strips(Path("no such folder"), ["blur=1"])
        {}
    """
    paths = {name: strip_path(out, name) for name in candidates}
    return {name: path.read_bytes() for name, path in paths.items() if path.is_file()}


def strip_path(out: Path, candidate: str) -> Path:
    """Where a study keeps the strip of a candidate's example pairs.

    Example:
        >>> strip_path(Path("out"), "crop-scale=0.2").as_posix()
        'out/views/crop-scale=0.2.png'
    """
    return out / "views" / f"{page.slug(candidate)}.png"


def read_rows(path: Path) -> list[Row]:
    """The rows of a JSON-lines file; a last line cut short by a kill is left out.

    Raises:
        UserError: No such file, or a line that is no row.

    Example:
        >>> read_rows(Path("no-study/rows.jsonl"))
        Traceback (most recent call last):
        goodviews.interfaces.UserError: no-study/rows.jsonl: no such file. Name a study's folder.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file. Name a study's folder.")
    lines = [line for line in path.read_text("utf-8").splitlines() if line.strip()]
    rows = []
    for place, line in enumerate(lines, start=1):
        try:
            rows.append(Row.from_dict(json.loads(line)))
        except (ValueError, TypeError, AttributeError) as error:
            if place < len(lines):
                raise UserError(
                    f"{path}: line {place} is not a row. Delete the line and resume the study."
                ) from error
    return rows


def study_page(out: Path) -> Path:
    """Write ``report.html`` into a study's folder from its rows, record and strips of views.

    Args:
        out: The study's folder, with ``rows.jsonl``, and ``study.json`` and ``views/`` if any.

    Returns:
        The page's path.

    Raises:
        UserError: No rows there, or files that cannot be read or written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "rows.jsonl").write_text("")
        ...     study_page(Path(folder)).name
        'report.html'
    """
    out = Path(out)
    rows = read_rows(out / "rows.jsonl")
    study = page.read_json(out / "study.json") or {}
    names = {row.candidate for row in rows}
    return page.write(out / "report.html", render_study(rows, study, strips(out, names)))
