"""The table and the page of an ablation: what each part is worth, beside the paper's numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from goodviews.files import write_text
from goodviews.interfaces import Row, UserError
from goodviews.report import page, tables
from goodviews.report.ablation_figures import accuracy_figure, difference_figure
from goodviews.report.study import read_rows, strips
from goodviews.report.tables import Summary, finite, number, percent, spread

Study = Mapping[str, Any]

PLUS_MINUS = "\N{PLUS-MINUS SIGN}"


def signed(value: object, digits: int = 1) -> str:
    """A fraction in points, with its sign.

    Example:
        >>> signed(-0.0123), signed(None)
        ('-1.2', '')
    """
    known = finite(value)
    return "" if known is None else f"{100 * known:+.{digits}f}"


def difference_text(found: Mapping[str, Any] | None, sign: str = PLUS_MINUS) -> str:
    """A difference in points with its interval; a star where it is decided.

    Example:
        >>> difference_text({"value": -0.05, "half": 0.01, "sign": -1}, "+-")
        '-5.0+-1.0*'
    """
    if not found:
        return ""
    star = "*" if found["sign"] else ""
    return spread(signed(found["value"]), percent(found["half"]), sign) + star


def claim_line(claim: Mapping[str, Any]) -> str:
    """An ordering of the paper, and whether it is seen, in one line.

    Example:
        >>> claim_line({"words": "Jitter helps", "value": 0.03, "half": 0.01, "verdict": "seen",
        ...             "paper": {"STL-10": 3.1}})
        'Jitter helps: seen (+3.0 ± 1.0 points; paper: STL-10 +3.1)'
    """
    here = spread(signed(claim["value"]), percent(claim["half"]), f" {PLUS_MINUS} ")
    paper = ", ".join(f"{name} {value:+.1f}" for name, value in claim["paper"].items())
    return f"{claim['words']}: {claim['verdict']} ({here} points" + (
        f"; paper: {paper})" if paper else ")"
    )


def claim_cells(claim: Mapping[str, Any], sets: Sequence[str]) -> dict[str, Any]:
    """An ordering as the cells of a table.

    Example:
        >>> claim = {"words": "Jitter helps", "value": 0.03, "half": 0.01, "verdict": "seen",
        ...          "paper": {"STL-10": 3.1}}
        >>> claim_cells(claim, ["STL-10"])["numbers"]
        ['+3.0±1.0', '+3.1']
    """
    here = spread(signed(claim["value"]), percent(claim["half"]))
    paper = [f"{claim['paper'][name]:+.1f}" if name in claim["paper"] else "" for name in sets]
    return {"words": claim["words"], "verdict": claim["verdict"], "numbers": [here, *paper]}


def columns(study: Study) -> list[str]:
    """The headings of :func:`lines`."""
    here = ["variant", "linear %", "against full", "MLP %", "against full", "kNN %", "I_NCE nats"]
    return [*here, *(f"paper: {name}" for name in paper_sets(study)), "seeds", "s a run"]


def paper_sets(study: Study) -> list[str]:
    """The data sets of the paper's numbers.

    Example:
        >>> paper_sets({"variants": [{"paper": {"STL-10": (93.4, 93.8)}}]})
        ['STL-10']
    """
    return list(dict.fromkeys(name for v in study["variants"] for name in v["paper"]))


def lines(study: Study, sign: str = PLUS_MINUS) -> list[list[str]]:
    """The table as texts, one line a variant, baselines last.

    Means and standard deviations over seeds; differences in points with their 95 % interval, a
    star where decided; the paper's as linear / MLP.
    """
    summary = tables.complete(study["summary"])
    order = {variant["title"]: variant for variant in study["variants"]}
    shown = [e for title in order for e in summary if e["candidate"] == title]
    return [
        _line(entry, study, order.get(entry["candidate"], {}), sign)
        for entry in [*shown, *tables.baselines(summary)]
    ]


def _line(entry: Summary, study: Study, variant: Mapping[str, Any], sign: str) -> list[str]:
    found = study["differences"].get(entry["candidate"], {})
    paper = variant.get("paper", {})
    failed = f" ({entry['n_failed']} failed)" if entry["n_failed"] else ""
    return [
        str(entry["candidate"]),
        spread(percent(entry["linear"]), percent(entry["linear_sd"]), sign),
        difference_text(found.get("linear"), sign),
        spread(percent(entry["mlp"]), percent(entry["mlp_sd"]), sign),
        difference_text(found.get("mlp"), sign),
        percent(entry["knn"]),
        spread(number(entry["nats"]), number(entry["nats_sd"]), sign),
        *(" / ".join(f"{x:.1f}" for x in paper.get(name, ())) for name in paper_sets(study)),
        f"{entry['n_seeds']}{failed}",
        number(entry["seconds"], 0),
    ]


def ablation_table(study: Study) -> str:
    """The table for a terminal, plain ASCII, without differences of MLP probes, seconds, seeds.

    Example:
        >>> study = {"variants": [{"title": "full", "paper": {}}], "differences": {},
        ...          "summary": [{"candidate": "full", "linear": 0.5, "mlp": 0.52, "knn": 0.4}]}
        >>> print(ablation_table(study))
        variant  linear %  against full  MLP %  kNN %  I_NCE nats
        full         50.0                 52.0   40.0
    """
    cells = [columns(study), *lines(study, "+-")]
    kept = [
        [*line[:4], *line[5:7], *(cell.replace(" / ", "/") for cell in line[7:-2])]
        for line in cells
    ]
    widths = [max(len(line[i]) for line in kept) for i in range(len(kept[0]))]
    texts = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in kept
    ]
    failed = [e for e in tables.complete(study["summary"]) if e["status"] == "failed"]
    return "\n".join([*texts, *(f"failed: {e['candidate']}: {e['error']}" for e in failed)])


def ablation_markdown(study: Study) -> str:
    """The whole table and the claims as markdown.

    Example:
        >>> study = {"variants": [{"title": "full", "paper": {}}], "differences": {},
        ...          "summary": [{"candidate": "full"}], "claims": [],
        ...          "question": "Q", "answer": "A", "rule": "R"}
        >>> ablation_markdown(study).splitlines()[4][:24]
        '| variant | linear % | a'
    """
    cells = [columns(study), *lines(study)]
    cells.insert(1, ["---", *["---:"] * (len(cells[0]) - 1)])
    table = [f"| {' | '.join(line)} |" for line in cells]
    told = [f"- {claim_line(claim)}" for claim in study["claims"]]
    what = [f"- **{v['title']}**: {v['words']}." for v in study["variants"] if v.get("words")]
    source = "Paper: linear / MLP %, Bachman et al. 2019, as other texts cite its table."
    notes = [f"Stars: decided. {study['rule']}", "", source]
    parts = [[f"# {study['question']}"], [study["answer"]], table, notes, told, what]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def render_ablation(rows: Sequence[Row], study: Study, images: Mapping[str, bytes]) -> str:
    """The page as one string of HTML.

    Args:
        rows: Every run, failures and baselines included.
        study: The study's record (``study.json``).
        images: Variant -> PNG bytes of a strip of example pairs, view 1 above view 2.
    """
    summary = tables.complete(study["summary"])
    figures = {"accuracy": accuracy_figure(rows, study), "difference": difference_figure(study)}
    pictures = {v["title"]: page.picture(images.get(v["title"])) for v in study["variants"]}
    return page.render(
        "ablation.html.j2",
        title=str(study["question"]),
        study=study,
        figures=figures,
        cards={},
        columns=columns(study),
        lines=lines(study),
        errors={e["candidate"]: e["error"] for e in summary if e["error"]},
        sets=paper_sets(study),
        claims=[claim_cells(claim, paper_sets(study)) for claim in study["claims"]],
        verdict_keys={"seen": "sweet", "reversed": "missing"},
        pictures=pictures,
        facts=how_measured(rows, study),
        rows=rows,
        data_facts=page.facts(study.get("data")),
        settings_facts=page.facts(study.get("settings")),
        environment_facts=page.facts(study.get("environment")),
    )


def how_measured(rows: Sequence[Row], study: Study) -> list[tuple[str, str, list[str]]]:
    """The lines that make every number readable.

    Example:
        >>> how_measured([], {"K": 256})[4]
        ('Spread', 'mean ± one standard deviation over seeds', [])
    """
    settings = study.get("settings") or {}
    seconds = sum(finite(row.seconds) or 0.0 for row in rows)
    ceiling = number(tables.ceiling_of({"K": study.get("K")}))
    found = {
        "Linear probe": "logistic regression on frozen f1, fitted on "
        f"{settings.get('probe_images')} images, read on {settings.get('n_test')} held-out ones",
        "MLP probe": "one hidden layer of 1,024, dropout 0.2, batch norm; AdamW, 30 epochs",
        "kNN": "20 nearest by cosine (raw pixels: by distance)",
        "I_NCE": f"held out, nats, K = {study.get('K')}, so at most {ceiling}; scores are means of "
        "the variant's own over scales and places; its views are its own too, so only variants "
        "with the same views can be compared in it",
        "Spread": f"mean {PLUS_MINUS} one standard deviation over seeds",
        "Training": f"{settings.get('steps')} steps of {settings.get('batch_size')} images, "
        f"{settings.get('encoder')}, Adam, peak rate {settings.get('lr')}, cosine",
    }
    if seconds:
        found["Computing"] = f"{seconds / 60:.1f} minutes, all {len(rows)} runs together"
    return [(name, words, []) for name, words in found.items()]


def ablation_page(out: Path) -> Path:
    """Write ``table.md`` and ``report.html`` into a study's folder from its rows and record.

    Raises:
        UserError: no rows or no study.json there, or files that cannot be read or written.
    """
    out = Path(out)
    rows, study = read_rows(out / "rows.jsonl"), page.read_json(out / "study.json")
    if not study:
        raise UserError(f"{out}: no study.json; the study is unfinished. Run its command again.")
    images = strips(out, [v["title"] for v in study["variants"]])
    write_text(out / "table.md", ablation_markdown(study))
    return page.write(out / "report.html", render_ablation(rows, study, images))
