"""docs/results/mi_and_accuracy.md from the folders of the experiments.

    python benchmarks/mi_and_accuracy.py FOLDER [FOLDER ...]

A folder is the --out of `goodviews study NAME`, whose name becomes that of its rows and picture, or
of `goodviews audit RUN`.
Text above the marker line of the page is written by hand and kept.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from datetime import date
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "docs" / "results"
PAGE = RESULTS / "mi_and_accuracy.md"
MARKER = "<!-- below: written by benchmarks/mi_and_accuracy.py -->"
UNITS = {"points": (100.0, 1), "nats": (1.0, 2)}


def figures(page: Path, target: Path) -> None:
    """The panels of an experiment's page as PNG."""
    path = shutil.which("chromium")
    if path is None:
        print("no chromium: no picture", file=sys.stderr)
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu"]
        )
        view = browser.new_page(viewport={"width": 1180, "height": 1420}, color_scheme="light")
        view.goto(page.resolve().as_uri(), timeout=120_000)
        view.wait_for_selector(".scatterlayer .trace", timeout=120_000)
        view.locator("#panels").screenshot(path=target)
        browser.close()


def statement(claim: dict[str, Any], where: str) -> str:
    """A line of the table of statements."""
    scale, digits = UNITS.get(claim["unit"], (1.0, 2))
    half = claim["half"]
    error = f" ± {scale * half:.{digits}f}" if half is not None else ""
    value = f"{scale * claim['value']:+.{digits}f}{error} {claim['unit']}"
    asked = f" (asked: {scale * claim['margin']:.{digits}f})" if claim["margin"] else ""
    words, verdict = claim["words"].replace("||", "‖"), claim["verdict"]
    shown = f"**{verdict}**" if verdict != "shown" else verdict
    return f"| {where} | {words} | {claim['paper']} | {value}{asked} | {shown} |"


def section(out: Path, data: str) -> tuple[list[str], list[str]]:
    """An experiment's part of the page, and its lines in the table of statements."""
    study = json.loads((out / "study.json").read_text("utf-8"))
    name, environment = f"mi-{out.name}", study["environment"]
    page, picture = out / "report.html", RESULTS / f"{name}.png"
    if not picture.exists() or picture.stat().st_mtime < page.stat().st_mtime:
        figures(page, picture)
    rows = (out / "rows.jsonl").read_text("utf-8").replace(data, "$GOODVIEWS_DATA")
    (RESULTS / f"{name}.rows.jsonl").write_text(rows, encoding="utf-8")
    table = [line for line in (out / "table.md").read_text("utf-8").splitlines() if line[:1] == "|"]
    command = study["command"].replace(data, "$GOODVIEWS_DATA")
    machine = f"{environment['cpus']} cores of {environment['processor']}"
    facts = f"{machine}, torch {environment['packages']['torch']}, {study['settings']['precision']}"
    shortened = f" Shortened: {study['shortened']}." if study.get("shortened") else ""
    lines = [f"## {out.name}: {study['question']}", "", study["answer"], ""]
    lines += [
        f"`{command}`",
        "",
        f"{date.today()}; {facts}; {study['seeds']} seeds.{shortened}",
        "",
    ]
    lines += [*table, "", f"![{out.name}]({name}.png)", ""]
    lines += [f"- {note}" for note in study["notes"]] + [""]
    return lines, [statement(claim, out.name) for claim in study["claims"]]


def audited(out: Path) -> list[str]:
    """An audit's part of the page."""
    audit = json.loads((out / "audit.json").read_text("utf-8"))
    environment, checks, verdict = audit["environment"], audit["checks"], audit["verdict"]
    run = shlex.split(audit["command"])
    run = [Path(word).name if word.startswith("/") else word for word in run]
    machine = f"{environment['cpus']} cores of {environment['processor']}"
    lines = [
        f"## audit of {audit['name']}",
        "",
        " ".join(verdict[key] for key in ("line", "truth") if verdict.get(key)),
        "",
    ]
    lines += [f"`{shlex.join(run)}`, {date.today()}; {machine}", ""]
    lines += ["| check | | number | reading |", "|---|---|---|---|"]
    for check in checks:
        cells = (check["question"], check["status"], check["number"], check["reading"])
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def compose(folders: list[Path], data: str) -> None:
    """Write the page."""
    parts = [section(out, data) for out in folders if (out / "study.json").exists()]
    audits = [audited(out) for out in folders if (out / "audit.json").exists()]
    head = PAGE.read_text("utf-8").split(MARKER)[0] if PAGE.exists() else "# MI and accuracy\n\n"
    lines = ["## Every statement", "", "| experiment | statement | paper | here | |"]
    lines += ["|---|---|---|---:|---|", *(line for _, claims in parts for line in claims), ""]
    for text in (*(text for text, _ in parts), *audits):
        lines += text
    PAGE.write_text(head + MARKER + "\n\n" + "\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    compose([Path(name) for name in sys.argv[1:]], os.environ.get("GOODVIEWS_DATA", "data"))
