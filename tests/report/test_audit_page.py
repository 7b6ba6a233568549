"""The page of an audit: from a record made by hand, as text and in a browser."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from goodviews.interfaces import UserError
from goodviews.report import audit_page, audit_table

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def held(value: float) -> dict[str, Any]:
    """A number with its error."""
    return {"value": value, "half": 0.05, "sd": 0.02, "seeds": 3}


def contender(nats: float, probe: float | None) -> dict[str, Any]:
    """What is measured of one."""
    critics = {
        kind: {
            "held": held(share * nats),
            "train": held(1.1 * share * nats),
            "by_size": {str(k): held(min(share * nats, math.log(k))) for k in (16, 256, 1024)},
        }
        for kind, share in (("bilinear", 0.7), ("separable", 1.0))
    }
    found = None if probe is None else held(probe) | {"half": 0.01}
    return {"critics": critics, "chosen": "separable", "probe": found, "seconds": 3.0}


def make_record(labelled: bool = True) -> dict[str, Any]:
    """A finished audit."""
    sizes = {"this run": 5.0, "untrained network": 1.6, "raw pixels": 1.4, "<b>odd</b>": 0.2}
    contenders = {
        name: contender(nats, 0.1 + nats / 10 if labelled else None) for name, nats in sizes.items()
    }
    kinds = {
        name: {"words": name, "infonce": {"held": held(x), "train": held(x + 0.3)},
               "nwj": {"held": held(x + 0.4)}}
        for name, x in (("bilinear", 3.6), ("separable", 4.6))
    }  # fmt: skip
    marks = dict(zip(("min", "p20", "p40", "p60", "p80", "max"), range(2, 8), strict=True))
    layer = {"width": 256, "rankme": 120.0, "alignment": 0.25, "uniformity": -1.2}
    pair = {
        "one": "this run", "other": "raw pixels", "nats": held(3.6), "accuracy": held(0.27),
        "says": "the critic's order", "face_value": "same order",
        "truth": "more information, worse probe",
    }  # fmt: skip
    check = {"name": "ceiling", "question": "Is the bound at its ceiling?", "status": "doubt"}
    return {
        "name": "a run",
        "settings": {"seeds": [1, 2, 3], "sha256": "f" * 64},
        "measured": {
            "seconds": {"critics": 57.0},
            "contenders": contenders,
            "ceiling": [
                {"K": k, "ceiling": math.log(k), "held": held(x), "train": held(x), "null": -1.0}
                for k, x in ((256, 3.2), (1024, 3.3))
            ],
            "critics": {"K": 256, "layer": "projection", "own": held(3.2), "kinds": kinds},
            "negatives": {"K": 64, "ceiling": math.log(64), "sets": {"random images": held(2.9)}},
            "geometry": {
                "layers": {"this run": layer},
                "conditioning": {"this run": {"percentiles": marks, "lost": 3.0}},
            },
        },
        "K": 1024,
        "ceiling": math.log(1024),
        "pairs": [pair] if labelled else [],
        "checks": [check | {"number": "3.30 ± 0.05 of 6.93 nats", "reading": "It reads so."}],
        "verdict": {"state": "agree", "line": "MI and accuracy agree.", "truth": "But the pixels.",
                    "missing": ["one trained run"]},
        "rules": "Each pair says one of five things.",
        "notes": ["views are brought down"],
        "command": "goodviews audit --run 'a run'",
        "data": {"name": "cifar10"},
        "environment": {"python": "3.11"},
    }  # fmt: skip


def written(folder: Path, record: dict[str, Any]) -> Path:
    """The page of this record."""
    (folder / "audit.json").write_text(json.dumps(record))
    return audit_page(folder)


def own(path: Path) -> str:
    """The page without its scripts."""
    return re.sub(r"<script>(?!\s*try).*?</script>", "", path.read_text(), flags=re.DOTALL)


def test_the_page_tells_everything(tmp_path: Path) -> None:
    html = own(written(tmp_path, make_record()))
    for words in (
        "MI and accuracy agree. But the pixels.",
        "Is the bound at its ceiling?",
        "3.30 ± 0.05 of 6.93 nats",
        "one trained run",
        "views are brought down",
        "5.00±0.05",
        "60.0±1.0",
        "the critic&#39;s order",
        "more information, worse probe",
        "Each pair says one of five things.",
        "goodviews audit --run &#39;a run&#39;",
        "1.1 minutes",
        "&lt;b&gt;odd&lt;/b&gt;",
    ):
        assert words in html, words
    assert "<b>odd</b>" not in html and "f" * 64 not in html
    assert not re.search(r"(src|href)=\"(?!data:|#)", html)


def test_without_labels_there_is_no_scatter(tmp_path: Path) -> None:
    html = own(written(tmp_path, make_record(labelled=False)))
    assert "nothing could be probed" in html and 'data-figure="order"' not in html


def test_what_is_missing_leaves_a_page(tmp_path: Path) -> None:
    """An encoder without critic, Jacobian and notes."""
    record = make_record()
    for part in ("ceiling", "negatives"):
        del record["measured"][part]
    del record["measured"]["geometry"]["conditioning"]
    record["measured"]["critics"]["own"] = None
    html = own(written(tmp_path, record))
    assert 'data-figure="negatives"' not in html and "Condition number" not in html


def test_an_unfinished_audit_has_no_page(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no audit\.json"):
        audit_page(tmp_path)
    with pytest.raises(UserError, match="unfinished"):
        written(tmp_path, {"measured": {}})


def test_the_terminal_table_is_ascii() -> None:
    text = audit_table(make_record())
    assert text.isascii() and "5.00+-0.05" in text and "60.0+-1.0" in text
    assert max(map(len, text.splitlines())) <= 120


def test_figures_are_drawn(browser: Browser, tmp_path: Path) -> None:
    """Five figures, one point a contender, silent; and no wider than a phone."""
    path, complaints = written(tmp_path, make_record()), []
    for width in (1180, 390):
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path.as_uri(), timeout=120_000)
        page.wait_for_selector("[data-figure='conditioning'] .main-svg")
        assert page.locator("[data-figure] .main-svg >> nth=0").count() == 1
        assert page.locator("[data-figure]:has(.main-svg)").count() == 5
        order = page.locator("[data-figure='order']")
        assert order.locator(".scatterlayer .trace .point").count() == 4
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.close()
    assert complaints == []
