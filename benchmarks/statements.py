"""A page of docs/results from the folders of studies that have statements and verdicts.

    python benchmarks/statements.py PAGE FOLDER [FOLDER ...]

PAGE is mi_and_accuracy, infomin or graphs. A folder is the --out of `goodviews study NAME`, whose
name becomes that of its rows and picture, or of `goodviews audit RUN`.
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
PAGES = {"mi_and_accuracy": "mi", "infomin": "infomin", "graphs": "graphs"}
"""Page -> what the names of its rows and pictures begin with."""
MARKER = "<!-- below: written by benchmarks/statements.py -->"
UNITS = {"points": (100.0, 1), "nats": (1.0, 2)}


def picture(page: Path, target: Path, part: str | None = None) -> None:
    """The top of a page as PNG, or the part of it that a selector names."""
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
        (view.locator(part) if part else view).screenshot(path=target)
        browser.close()


def made(path: Path) -> date:
    """The day a file was last written."""
    return date.fromtimestamp(path.stat().st_mtime)


def statement(claim: dict[str, Any], where: str) -> str:
    """A line of the table of statements."""
    scale, digits = UNITS.get(claim["unit"], (1.0, 2))
    half = claim["half"]
    error = f" ± {scale * half:.{digits}f}" if half is not None else ""
    number = "" if claim["value"] is None else f"{scale * claim['value']:+.{digits}f}"
    value = f"{number}{error} {claim['unit']}".strip()
    asked = f" (asked: {scale * claim['margin']:.{digits}f})" if claim["margin"] else ""
    words, verdict = claim["words"].replace("||", "‖"), claim["verdict"]
    shown = f"**{verdict}**" if verdict != "shown" else verdict
    return f"| {where} | {words} | {claim['paper']} | {value}{asked} | {shown} |"


def section(out: Path, data: str, prefix: str) -> tuple[list[str], list[str]]:
    """An experiment's part of the page, and its lines in the table of statements."""
    study = json.loads((out / "study.json").read_text("utf-8"))
    name, environment = f"{prefix}-{out.name}", study["environment"]
    page, target = out / "report.html", RESULTS / f"{name}.png"
    if not target.exists() or target.stat().st_mtime < page.stat().st_mtime:
        picture(page, target, "#panels")
    rows = (out / "rows.jsonl").read_text("utf-8").replace(data, "$GOODVIEWS_DATA")
    (RESULTS / f"{name}.rows.jsonl").write_text(rows, encoding="utf-8")
    table = [line for line in (out / "table.md").read_text("utf-8").splitlines() if line[:1] == "|"]
    command = study["command"].replace(data, "$GOODVIEWS_DATA")
    machine = f"{environment['cpus']} cores of {environment['processor']}"
    precision = study["settings"].get("precision", "32")
    facts = f"{machine}, torch {environment['packages']['torch']}, {precision}"
    shortened = f" Shortened: {study['shortened']}." if study.get("shortened") else ""
    lines = [f"## {out.name}: {study['question']}", "", study["answer"], ""]
    lines += [
        f"`{command}`",
        "",
        f"{made(out / 'rows.jsonl')}; {facts}; {study['seeds']} seeds.{shortened}",
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
    lines += [f"`{shlex.join(run)}`, {made(out / 'audit.json')}; {machine}", ""]
    lines += ["| check | | number | reading |", "|---|---|---|---|"]
    for check in checks:
        cells = (check["question"], check["status"], check["number"], check["reading"])
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def compose(page: str, folders: list[Path], data: str) -> None:
    """Write a page, a key of PAGES."""
    path = RESULTS / f"{page}.md"
    parts = [section(out, data, PAGES[page]) for out in folders if (out / "study.json").exists()]
    audits = [audited(out) for out in folders if (out / "audit.json").exists()]
    head = path.read_text("utf-8").split(MARKER)[0] if path.exists() else f"# {page}\n\n"
    lines = ["## Every statement", "", "| experiment | statement | paper | here | |"]
    lines += ["|---|---|---|---:|---|", *(line for _, claims in parts for line in claims), ""]
    for text in (*(text for text, _ in parts), *audits):
        lines += text
    path.write_text(head + MARKER + "\n\n" + "\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    folders = [Path(name) for name in sys.argv[2:]]
    compose(sys.argv[1], folders, os.environ.get("GOODVIEWS_DATA", "data"))
