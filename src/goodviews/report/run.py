"""The page of one training run: what was learnt, held against the baselines."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from goodviews.interfaces import UserError
from goodviews.report import curves, page
from goodviews.report.figures import Figure
from goodviews.report.tables import finite, number, percent

PICTURES = {
    "views.png": ("The views", "Pairs as the encoder saw them."),
    "neighbours.png": ("Nearest neighbours", "Held-out images and what lies closest to them."),
    "neighbour_scores.png": (
        "Nearest neighbours and what they share",
        "A held-out image and the others nearest to it by the cosine of their summaries f1 (the "
        "number above each; brown names are other classes). Under each image, how well each of "
        "its places fits the query: the score of the query's f1 and the local feature there, "
        "bright is high, one scale a row. Look for objects of the query's class that are bright "
        "before a darker background; where all is even, f1 fits no place better than another.",
    ),
    "similarity_maps.png": (
        "What two views have in common",
        "x1 and x2 are two views of one image; the maps lie over x2, bright is alike, one scale "
        "a column. First the scores of all of x1 (f1) with the places of x2; then the cosines of "
        "the framed place of x1 with the places of x2, both seen through small windows (f7) and "
        "through larger ones (f5). Look for the thing in the frame to be bright, also where the "
        "second view moved or recoloured it.",
    ),
    "mixture.png": (
        "Mixture components",
        "Each component is one of the k features made of f1; q is how much of a place it explains "
        "(its share of all places stands above). In the second picture a place has the colour of "
        "its strongest component, the paler the less sure. Look for regions of one colour that "
        "follow objects. One colour everywhere: a single component does all the work; no colour: "
        "the components are alike.",
    ),
}
"""Picture files a run may hold -> heading and caption."""

_MARKS = ("metrics.csv", "probes.json", "config.yaml")


_FULLER = {"neighbours.png": "neighbour_scores.png"}
"""Picture file -> the fuller one that takes its place where both are there."""


def object_line(record: Mapping[str, Any]) -> str:
    """The sentence on objects of maps.json, empty where it says nothing.

    Example:
        >>> line = object_line({"object": "the digit", "auroc": 0.7, "deviations": 1, "images": 9})
        >>> line.partition(" (")[0]
        'Own maps, on the digit against beside it: AUROC 0.700'
    """
    auroc, deviations = finite(record.get("auroc")), finite(record.get("deviations"))
    if auroc is None or deviations is None:
        return ""
    error = finite(record.get("stderr"))
    spread = "" if error is None else f" \N{PLUS-MINUS SIGN} {1.96 * error:.3f}"
    return (
        f"Own maps, on {record.get('object')} against beside it: AUROC {auroc:.3f}{spread} "
        f"(0.5: no difference, below: what is beside it fits better), {deviations:.2f} standard "
        f"deviations, in {record.get('images')} images."
    )


def _pictures(out: Path) -> dict[str, tuple[page.Picture, str]]:
    """Heading -> picture and caption, of those that are there."""
    said = object_line(page.read_json(out / "maps.json") or {})
    found = {}
    for name, (heading, caption) in PICTURES.items():
        fuller = out / _FULLER.get(name, name)
        if not (out / name).is_file() or (fuller.name != name and fuller.is_file()):
            continue
        picture = page.picture((out / name).read_bytes())
        if picture is not None:
            more = f" {said}" if said and name == "neighbour_scores.png" else ""
            found[heading] = (picture, caption + more)
    return found


def read_metrics(path: Path) -> list[dict[str, float | None]]:
    """The lines of metrics.csv as numbers; blanks and NaN become ``None``.

    Example:
        >>> read_metrics(Path("no such file"))
        []
    """
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    return [{key: finite(value) for key, value in line.items() if key} for line in lines]


def tone(rows: Sequence[Mapping[str, Any]], verdict: str = "") -> str:
    """How this run stands to the baselines: "good" (clearly above all), "bad" (below one), "".

    The written verdict decides where it is plain; else the probes' intervals: clearly means that
    this run's interval lies above every baseline's.

    Example:
        >>> tone([], "worse than untrained: linear 40.0 %")
        'bad'
        >>> tone([{"name": "raw pixels", "linear": 0.5}, {"name": "this run", "linear": 0.4}])
        'bad'
    """
    openings = {"worse": "bad", "it learned": "good", "undecided": "", "no verdict": ""}
    for opening, found in openings.items():
        if verdict.startswith(opening):
            return found
    if len(rows) < 2:
        return ""
    probe = "linear" if finite(rows[-1].get("linear")) is not None else "knn"
    mine = finite(rows[-1].get(probe))
    others = [row for row in rows[:-1] if finite(row.get(probe)) is not None]
    if mine is None or not others:
        return ""
    if mine < max(finite(row[probe]) or 0.0 for row in others):
        return "bad"
    low = finite(rows[-1].get(f"{probe}_lo"))
    tops = [finite(row.get(f"{probe}_hi")) or finite(row[probe]) or 0.0 for row in others]
    return "good" if (mine if low is None else low) > max(tops) else ""


MEASURES = {
    "label_nats": "I(z;y) at least, nats",
    "linear_label_nats": "I(z;y) at least, nats",
    "rankme": "RankMe",
    "alignment": "alignment",
    "uniformity": "uniformity",
}
"""Fields of probes.json that are plain numbers -> their names on the page."""


def measure_names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The plain numbers that some row has.

    Example:
        >>> measure_names([{"name": "this run", "rankme": 12.0}])
        ['rankme']
    """
    return [name for name in MEASURES if any(finite(r.get(name)) is not None for r in rows)]


def probe_lines(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[tuple[str, str]]]]:
    """The probe table: name, an (accuracy, interval) pair of texts a probe, then the measures.

    Accuracies are in percent.

    Example:
        >>> probe_lines([{"name": "a", "knn": 0.5, "knn_lo": 0.4, "knn_hi": 0.6}])
        [('a', [('50.0', '40.0 to 60.0')])]
    """
    names = curves.probe_names(rows)
    lines = []
    for row in rows:
        cells = []
        for name in names:
            low, high = percent(row.get(f"{name}_lo")), percent(row.get(f"{name}_hi"))
            cells.append((percent(row.get(name)), f"{low} to {high}" if low and high else ""))
        cells += [(number(row.get(name)), "") for name in measure_names(rows)]
        lines.append((str(row.get("name", "")), cells))
    return lines


def _ordered(probes: object) -> list[Mapping[str, Any]]:
    """The probe rows, this run last."""
    rows = probes.get("rows") if isinstance(probes, Mapping) else None
    known = [row for row in rows or [] if isinstance(row, Mapping)]
    return sorted(known, key=lambda row: row.get("name") == "this run")


def _figures(
    out: Path, metrics: curves.Metrics, rows: list[Mapping[str, Any]]
) -> dict[str, Figure]:
    drawn: dict[str, Figure | None] = {"accuracy": curves.probe_figure(rows)}
    drawn |= curves.curve_figures(metrics)
    share = curves.ceiling_share_note(metrics)
    if share is not None and (information := drawn.get("information")) is not None:
        information["layout"]["annotations"].append(share)
    drawn["embedding"] = curves.embedding_figure(page.read_json(out / "embedding.json") or {})
    drawn["similarity"] = curves.similarity_figure(page.read_json(out / "similarity.json") or {})
    return {name: figure for name, figure in drawn.items() if figure is not None}


def _tiles(metrics: curves.Metrics, rows: list[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    tiles = []
    if rows:
        probe = "linear" if finite(rows[-1].get("linear")) is not None else "knn"
        against = [f"{r.get('name')} {percent(r[probe])} %" for r in rows[:-1] if r.get(probe)]
        if mine := percent(rows[-1].get(probe)):
            tiles.append((f"{mine} %", curves.PROBES[probe], ", ".join(against)))
    for key, digits, what in (("nats", 2, "held-out I(v1;v2)"), ("rankme", 1, "RankMe")):
        last = next((m for m in reversed(metrics) if m.get(key) is not None), None)
        if last is not None:
            limit = finite(last.get("ceiling"))
            unit = " nats" if key == "nats" else ""
            share = f"ceiling log K = {limit:.2f}" if unit and limit else ""
            tiles.append((number(last[key], digits) + unit, what, share))
    return tiles


def run_page(out: Path) -> Path:
    """Write ``report.html`` into a run's folder from what the run left there.

    Every file is optional except one of metrics.csv, probes.json and config.yaml: what is missing
    is left out of the page.

    Args:
        out: The run's folder.

    Returns:
        The page's path.

    Raises:
        UserError: No run there, or files that cannot be read or written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "config.yaml").write_text("seed: 0")
        ...     run_page(Path(folder)).name
        'report.html'
    """
    out = Path(out)
    if not any((out / name).is_file() for name in _MARKS):
        raise UserError(f"{out}: no run here (none of {', '.join(_MARKS)}). Name a run's folder.")
    environment = page.read_json(out / "environment.json") or {}
    encoder = page.read_json(out / "encoder.json") or {}
    probes = page.read_json(out / "probes.json") or {}
    metrics = read_metrics(out / "metrics.csv")
    rows = _ordered(probes)
    verdict = str(probes.get("verdict") or "")
    config = page.read_text(out / "config.yaml")
    command = environment.get("command") or f"goodviews train --config {out}/config.yaml"
    content = page.render(
        "run.html.j2",
        title=f"Run {out.resolve().name}",
        verdict=verdict,
        tone=tone(rows, verdict),
        verdicts=[line for line in (probes.get("verdicts") or {}).values() if line != verdict],
        tiles=_tiles(metrics, rows),
        probes=[f"{curves.PROBES[name]}, %" for name in curves.probe_names(rows)]
        + [MEASURES[name] for name in measure_names(rows)],
        probe_rows=probe_lines(rows),
        n_test=probes.get("n_test"),
        extra=page.facts(probes.get("extra")),
        figures=_figures(out, metrics, rows),
        panels={name: title for name, (title, _, _) in curves.PANELS.items()},
        cards={},
        pictures=_pictures(out),
        confusions=[c for c in page.read_json(out / "confusions.json") or [] if c],
        config=config,
        command=command if config or environment.get("command") else "",
        snippet=str(encoder.get("snippet") or ""),
        data_facts=page.facts(page.read_json(out / "data_report.json")),
        environment_facts=page.facts(environment),
    )
    return page.write(out / "report.html", content)
