"""The table and the page of an experiment: arms trained with several seeds, curves over steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from goodviews.files import write_text
from goodviews.interfaces import Row, UserError
from goodviews.report import page, tables
from goodviews.report.ablation import PLUS_MINUS, signed
from goodviews.report.experiment_figures import Panel
from goodviews.report.experiment_panels import panels
from goodviews.report.experiment_values import (
    Study,
    arms_of,
    done,
    final,
    finals,
    latest,
    looks_of,
    mean_sd,
    shown,
)
from goodviews.report.ranking import SYMBOLS
from goodviews.report.study import read_rows, strips
from goodviews.report.tables import finite, number, spread

VERDICTS = {"shown": "sweet", "not shown": "missing"}
"""Verdict -> its chip's class; any other is undecided."""
POINTS = ("%", "points")
"""Units of a claim whose value is a difference of fractions."""
STROKES = {"solid": "", "dash": "6 3", "dot": "2 2.5"}
"""Dash of an arm -> that of its line in the legend."""
_ASCII = str.maketrans(
    {
        PLUS_MINUS: "+-",
        "\N{MINUS SIGN}": "-",
        "\N{EN DASH}": "-",
        "\N{ALMOST EQUAL TO}": "~",
        "\N{GREATER-THAN OR EQUAL TO}": ">=",
        "\N{LESS-THAN OR EQUAL TO}": "<=",
        "\N{MULTIPLICATION SIGN}": "x",
    }
)


# --- claims -------------------------------------------------------------------------------------


def difference(value: object, unit: str) -> str:
    """A difference with its sign, as a claim shows it: points for fractions, else its unit.

    Example:
        >>> difference(-0.0123, "points"), difference(0.5, "nats"), difference(None, "%")
        ('-1.2', '+0.50', '')
    """
    known = finite(value)
    if known is None or unit in POINTS:
        return signed(known)
    return f"{known:+.2f}" if abs(known) >= 0.005 or known == 0 else f"{known:+.2g}"


def claim_numbers(claim: Mapping[str, Any]) -> str:
    """What stands behind a claim's verdict: the difference here, what was asked, the paper's.

    Example:
        >>> claim_numbers({"value": 0.042, "half": 0.006, "margin": 0.03, "unit": "points",
        ...                "paper": "about +5"})
        '+4.2 ± 0.6 points; asked: at least 3.0; paper: about +5'
    """
    unit = str(claim.get("unit") or "")
    half = difference(claim.get("half"), unit).lstrip("+")
    here = spread(difference(claim.get("value"), unit), half, f" {PLUS_MINUS} ")
    parts = [f"{here} {'points' if unit in POINTS else unit}".strip()] if here else []
    if finite(claim.get("margin")):
        parts.append(f"asked: at least {difference(claim['margin'], unit).lstrip('+')}")
    if claim.get("paper") not in (None, ""):
        parts.append(f"paper: {claim['paper']}")
    return "; ".join(parts)


def shown_line(claim: Mapping[str, Any]) -> str:
    """What the paper says must be seen, and whether it is, in one line.

    Example:
        >>> shown_line({"words": "Accuracy rises", "verdict": "shown", "value": 0.042,
        ...             "half": 0.006, "unit": "%"})
        'Accuracy rises: shown (+4.2 ± 0.6 points)'
    """
    numbers = claim_numbers(claim)
    return f"{claim['words']}: {claim['verdict']}" + (f" ({numbers})" if numbers else "")


# --- the table ----------------------------------------------------------------------------------


def columns(study: Study) -> list[str]:
    """The headings of :func:`lines`; a column that the paper has too is followed by the paper's.

    Example:
        >>> columns({"columns": [{"key": "knn", "words": "kNN", "unit": "%"}]})
        ['arm', 'kNN %', 'seeds', 's a run']
    """
    found = ["arm"]
    for column in study.get("columns") or []:
        words, unit = str(column["words"]), str(column.get("unit") or "")
        found.append(words if unit in words else f"{words} {unit}")
        found += ["paper"] if column["key"] in _published(study) else []
    return [*found, "seeds", "s a run"]


def _published(study: Study) -> set[str]:
    """The columns with a number of the paper."""
    return {key for arm in study.get("arms") or [] for key in arm.get("paper") or {}}


def lines(study: Study, rows: Sequence[Row], sign: str = PLUS_MINUS) -> list[list[str]]:
    """The table as texts, one line an arm, baselines last: mean and deviation over seeds.

    Example:
        >>> study = {"columns": [{"key": "knn", "words": "kNN", "unit": "%", "digits": 1}]}
        >>> lines(study, [Row("candidate", "a", s, knn=x) for s, x in ((0, 0.5), (1, 0.6))], "+-")
        [['a', '55.0+-7.1', '2', '']]
    """
    baselines = dict.fromkeys(row.candidate for row in rows if row.kind == "baseline")
    return [_line(arm, study, rows, sign) for arm in arms_of(study, rows)] + [
        _line({"name": name}, study, rows, sign) for name in baselines
    ]


def _line(arm: Mapping[str, Any], study: Study, rows: Sequence[Row], sign: str) -> list[str]:
    name, published, paper = arm["name"], _published(study), arm.get("paper") or {}
    cells = [str(name)]
    for column in study.get("columns") or []:
        unit, digits = str(column.get("unit") or ""), column.get("digits")
        mean, sd = mean_sd(finals(rows, name, column["key"]))
        cells.append(spread(shown(mean, unit, digits), shown(sd, unit, digits), sign))
        cells += [str(paper.get(column["key"], ""))] if column["key"] in published else []
    failed = sum(row.candidate == name and row.status == "failed" for row in latest(rows))
    seeds = f"{len(done(rows, name))}" + (f" ({failed} failed)" if failed else "")
    return [*cells, seeds, number(mean_sd(finals(rows, name, "seconds"))[0], 0)]


def failures(rows: Iterable[Row]) -> dict[str, str]:
    """Arm -> the first error of its runs, of those that were not repeated well.

    Example:
        >>> failures([Row("candidate", "a", 0, status="failed", error="full disk")])
        {'a': 'full disk'}
    """
    found: dict[str, str] = {}
    for row in latest(rows):
        if row.status == "failed":
            found.setdefault(row.candidate, row.error or "failed")
    return found


def plain(words: str) -> str:
    """The text in ASCII.

    Example:
        >>> plain("85 ± 1, ≈ 2")
        '85 +- 1, ~ 2'
    """
    return words.translate(_ASCII).encode("ascii", "replace").decode()


def experiment_table(study: Study, rows: Sequence[Row]) -> str:
    """The table for a terminal, plain ASCII: an arm's means and deviations, without seconds.

    Args:
        study: The experiment's record.
        rows: Every run, failures and baselines included.

    Example:
        >>> study = {"columns": [{"key": "knn", "words": "kNN", "unit": "%", "digits": 1}]}
        >>> print(experiment_table(study, [Row("candidate", "bilinear", 0, knn=0.5)]))
        arm       kNN %  seeds
        bilinear   50.0      1
    """
    cells = [[plain(cell) for cell in line[:-1]] for line in [columns(study), *lines(study, rows)]]
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    texts = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]
    told = [f"failed: {name}: {' '.join(error.split())}" for name, error in failures(rows).items()]
    return "\n".join([*texts, *map(plain, told)])


def experiment_markdown(study: Study, rows: Sequence[Row]) -> str:
    """The answer, the claims, the whole table and how it was measured, as markdown.

    Example:
        >>> study = {"question": "Q", "answer": "A", "columns": []}
        >>> experiment_markdown(study, [Row("candidate", "a", 0)]).splitlines()[6]
        '| a | 1 |  |'
    """
    cells = [columns(study), *lines(study, rows)]
    cells = [[" ".join(cell.replace("|", "\\|").split()) for cell in line] for line in cells]
    cells.insert(1, ["---", *["---:"] * (len(cells[0]) - 1)])
    claims = [f"- {shown_line(claim)}" for claim in study.get("claims") or []]
    table = [f"| {' | '.join(line)} |" for line in cells]
    told = [
        f"- failed: {name}: {' '.join(error.split())}" for name, error in failures(rows).items()
    ]
    facts = [f"- {name}: {words}" for name, words, _ in how_measured(study, rows)]
    what = [f"- **{a['name']}**: {a['words']}." for a in study.get("arms") or [] if a.get("words")]
    notes = [f"- {line}" for line in study.get("notes") or []]
    parts = [[f"# {_question(study)}"], [study.get("answer") or ""], claims, table, told]
    return "\n\n".join("\n".join(part) for part in [*parts, what, facts, notes] if any(part)) + "\n"


def _question(study: Study) -> str:
    return str(study.get("question") or study.get("study") or "Experiment")


# --- the page -----------------------------------------------------------------------------------


def how_measured(study: Study, rows: Sequence[Row]) -> list[tuple[str, str, list[str]]]:
    """The lines that make every number readable: seeds, K, spread, budget, rule.

    Example:
        >>> how_measured({"K": 128}, [])
        [('Candidates K', '128, so I_NCE is at most log K = 4.85 nats', []),
         ('Spread', 'mean ± one standard deviation over seeds; bands too', [])]
    """
    ceiling = number(tables.ceiling_of({"K": study.get("K")}))
    seconds = sum(finite(row.seconds) or 0.0 for row in rows)
    failed = sum(row.status == "failed" for row in latest(rows))
    found = {
        "Scale": study.get("scale"),
        "Other than in the paper": study.get("shortened"),
        "Seeds": page.facts({"seeds": study["seeds"]})[0][1] if study.get("seeds") else "",
        "Candidates K": f"{study.get('K')}, so I_NCE is at most log K = {ceiling} nats"
        if ceiling
        else "",
        "Spread": f"mean {PLUS_MINUS} one standard deviation over seeds; bands too",
        "Reference": study.get("reference"),
        "Claims": study.get("rule"),
        "Runs": f"{len(latest(rows))}, {failed} failed" if rows else "",
        "Computing": f"{seconds / 60:.1f} minutes, all runs together" if seconds else "",
    }
    return [(name, str(words), []) for name, words in found.items() if words]


def legend(study: Study, rows: Sequence[Row]) -> list[dict[str, str]]:
    """What the page's one legend shows of every arm: name, colour, fill, mark, dash.

    Example:
        >>> legend({"arms": [{"name": "a", "dash": "dash"}]}, [])[0]["stroke"]
        '6 3'
    """
    return [
        {
            "name": str(name),
            "color": look.color,
            "fill": look.marker["color"],
            "mark": SYMBOLS[look.symbol],
            "stroke": STROKES[look.dash],
        }
        for name, look in looks_of(arms_of(study, rows)).items()
    ]


def many_looks(study: Study) -> bool:
    """Whether arms differ in colour or mark: in all panels but those of a sweep's dial.

    Example:
        >>> many_looks({"panels": [{"kind": "plane"}]})
        False
    """
    kinds = {str(panel.get("kind")) for panel in study.get("panels") or []}
    return not kinds or bool(kinds - {"plane", "dial"})


def runs(study: Study, rows: Iterable[Row]) -> list[list[str]]:
    """Every run as texts: arm, seed, the columns' final values, steps, seconds.

    Example:
        >>> runs({"columns": []}, [Row("candidate", "a", 0, steps=9)])
        [['a', '0', '9', '']]
    """
    return [
        [
            row.candidate,
            str(row.seed),
            *(
                shown(
                    final(row, column["key"]), str(column.get("unit") or ""), column.get("digits")
                )
                for column in study.get("columns") or []
            ),
            number(row.steps, 0),
            number(row.seconds, 0),
        ]
        for row in rows
    ]


def _figures(drawn: Sequence[Panel]) -> dict[str, Any]:
    """Every chart under the name by which the template asks for it."""
    return {
        f"panel-{i}-{j}": figure
        for i, panel in enumerate(drawn)
        for j, (_, figure) in enumerate(panel.charts)
    }


def render_experiment(
    rows: Sequence[Row], study: Study, images: Mapping[str, bytes] | None = None
) -> str:
    """The page as one string of HTML.

    Args:
        rows: Every run, failures and baselines included.
        study: The experiment's record (``study.json``).
        images: Arm -> PNG bytes of a strip of example pairs, view 1 above view 2.

    Example:
        >>> "<title>Q</title>" in render_experiment([], {"question": "Q"})
        True
    """
    drawn = panels(rows, study)
    return page.render(
        "experiment.html.j2",
        title=_question(study),
        study=study,
        figures=_figures(drawn),
        panels=drawn,
        cards={},
        legend=legend(study, rows) if many_looks(study) else [],
        pictures={n: page.picture(png) for n, png in (images or {}).items()},
        claims=[(claim, claim_numbers(claim)) for claim in study.get("claims") or []],
        verdict_keys=VERDICTS,
        columns=columns(study),
        lines=lines(study, rows),
        errors=failures(rows),
        ended=any(row.status == "done" and row.kind != "baseline" for row in rows),
        repeated=any(len(done(rows, arm["name"])) > 1 for arm in arms_of(study, rows)),
        arms=[(arm["name"], arm["words"], []) for arm in arms_of(study, []) if arm.get("words")],
        facts=how_measured(study, rows),
        rows=list(zip(rows, runs(study, rows), strict=True)),
        data_facts=page.facts(study.get("data")),
        settings_facts=page.facts(study.get("settings")),
        environment_facts=page.facts(study.get("environment")),
    )


def experiment_page(out: Path) -> Path:
    """Write ``table.md`` and ``report.html`` into an experiment's folder from its rows and record.

    Args:
        out: The folder, with ``rows.jsonl`` and ``study.json``.

    Returns:
        The page's path.

    Raises:
        UserError: no rows or no study.json there, or files that cannot be read or written.
    """
    out = Path(out)
    rows, study = read_rows(out / "rows.jsonl"), page.read_json(out / "study.json")
    if not study:
        raise UserError(f"{out}: no study.json; the study is unfinished. Run its command again.")
    write_text(out / "table.md", experiment_markdown(study, rows))
    images = strips(out, [arm["name"] for arm in arms_of(study, rows)])
    sheets = {words: out / name for words, name in (study.get("sheets") or {}).items()}
    images |= {words: path.read_bytes() for words, path in sheets.items() if path.is_file()}
    return page.write(out / "report.html", render_experiment(rows, study, images))
