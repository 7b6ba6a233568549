"""Both pages as text: what they hold, what they survive, what they refuse."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from goodviews.interfaces import Row, UserError
from goodviews.report import (
    THEMES,
    accuracy_information_figure,
    render_study,
    run_page,
    study_page,
    with_theme,
)
from goodviews.report.figures import bands
from goodviews.report.page import embedded


def own(html: str) -> str:
    """The page without its scripts."""
    return re.sub(r"<script>(?!\s*try).*?</script>", "", html, flags=re.DOTALL)


def test_no_torch_is_imported() -> None:
    """No torch is imported."""
    code = "import sys, goodviews.report; print('torch' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_study_page_tells_the_whole_story(study_folder: Path) -> None:
    """Study page tells the whole story."""
    path = study_page(study_folder)
    html = own(path.read_text())
    assert path.name == "report.html"
    assert [p.name for p in study_folder.glob(".report*")] == []
    for words in (
        "Which views of cifar10 keep",
        "Use crop-scale=0.2",
        "log K = 5.55 nats",
        "seeds&#39; spread",
        "goodviews choose --data cifar10",
        "resized-crop",
        "untrained network",
        "2.14.1",
        "IMG_20240612_101112.jpg",
    ):
        assert words in html
    assert html.count("data-views=") == 15


def test_users_strings_cannot_become_markup(study_folder: Path) -> None:
    """Users strings cannot become markup."""
    html = own(study_page(study_folder).read_text())
    assert "alert(1)</script>" not in html
    assert "<b>lr</b>" not in html and "&lt;b&gt;lr&lt;/b&gt;" in html


def test_nothing_is_asked_of_the_network(study_folder: Path) -> None:
    """Nothing is asked of the network."""
    html = own(study_page(study_folder).read_text())
    assert not re.search(r"(src|href)=\"(?!data:|#)", html)
    assert "default-src 'none'" in html and "url(" not in html


def test_an_unfinished_study_has_a_page(tmp_path: Path) -> None:
    """An unfinished study has a page."""
    row = Row("candidate", "a=1", 0, "a", "a", 1.0, status="failed", error="boom")
    torn = json.dumps(row.to_dict()) + '\n{"kind": "candi'
    (tmp_path / "rows.jsonl").write_text(torn)
    assert "boom" in study_page(tmp_path).read_text()


def test_nan_and_missing_numbers() -> None:
    """NaN, nothing and broken pictures leave a sound page."""
    rows = [
        Row("candidate", "a", 0, "f", "d", "x", nats=float("nan"), linear=0.5, candidates=4),
        Row("candidate", "b", 0, "f", "d", "y", nats=0.4, linear=None, candidates=4),
        Row("candidate", "c", 0, "f", "d", "z", nats=0.5, linear=0.6, candidates=None),
    ]
    html = own(render_study(rows, {"label_entropy": None, "K": None}, {"a": b"no image"}))
    figures = re.search(r'id="page-figures">(.*?)</script>', html, re.DOTALL)
    assert figures is not None and "NaN" not in figures.group(1)
    json.loads(figures.group(1))


def test_labels_missing_is_said_plainly(unlabelled_folder: Path) -> None:
    """Labels missing is said plainly."""
    html = own(study_page(unlabelled_folder).read_text())
    assert "No labels, so no sweet spot" in html
    assert "RankMe (effective rank, no labels used)" in html


def test_rows_that_are_no_rows(tmp_path: Path) -> None:
    """No rows, or lines that are none, are refused in one line."""
    with pytest.raises(UserError, match=r"rows\.jsonl: no such file"):
        study_page(tmp_path)
    (tmp_path / "rows.jsonl").write_text("[]\n{}\n")
    with pytest.raises(UserError, match="line 1 is not a row"):
        study_page(tmp_path)


def test_figure_resolves_to_a_theme(study: dict[str, Any]) -> None:
    """Figure resolves to a theme."""
    figure = accuracy_information_figure(study["summary"], study)
    drawn = with_theme(figure, THEMES["light"])
    assert "var(--" not in json.dumps(drawn) and "var(--" in json.dumps(figure)
    assert set(THEMES["light"]) == set(THEMES["dark"])


def test_points_are_joined_in_dial_order(study: dict[str, Any]) -> None:
    """Points are joined in dial order."""
    shuffled = list(reversed(study["summary"]))
    traces = accuracy_information_figure(shuffled, study)["data"]
    jitter = next(t for t in traces if t["name"] == "color-jitter" and not t["showlegend"])
    assert jitter["customdata"] == [f"color-jitter={v}" for v in (0.25, 0.5, 1.0, 2.0)]
    split = next(t for t in traces if t["name"] == "color-space" and not t["showlegend"])
    assert split["mode"] == "markers"


def test_bands_do_not_overlap(study: dict[str, Any]) -> None:
    """Bands do not overlap."""
    points = [e for e in study["summary"] if e["nats"] is not None]
    found = bands(points, 0.0, 6.0)
    ends = [
        end for name in ("missing information", "sweet spot", "excess noise") for end in found[name]
    ]
    assert ends == sorted(ends) and ends[0] == 0.0 and ends[-1] == 6.0
    assert bands([p | {"regime": "undecided"} for p in points], 0.0, 6.0) == {}


def test_embedded_json_round_trips() -> None:
    """Embedded JSON round trips."""
    value = {"a": "</script><!--\u2028&", "b": [1.5, None]}
    words = str(embedded(value))
    assert "<" not in words and json.loads(words) == value


def test_run_page_tells_the_whole_story(run_folder: Path) -> None:
    """Run page tells the whole story."""
    html = own(run_page(run_folder).read_text())
    for words in ("better than both baselines", "this run", "method: simclr", "goodviews.load"):
        assert words in html
    assert 'class="verdict good"' in html
    assert {"embedding", "similarity", "loss", "information"} <= set(
        re.findall(r'data-figure="(\w+)"', html)
    )


def test_run_page_leaves_out_what_is_missing(tmp_path: Path) -> None:
    """Run page leaves out what is missing."""
    (tmp_path / "metrics.csv").write_text("epoch,step,loss\n1,10,5.0\n2,20,\n3,30,nan\n")
    html = own(run_page(tmp_path).read_text())
    assert re.findall(r'data-figure="(\w+)"', html) == ["loss"]
    assert "Most confused" not in html


def test_worse_than_a_baseline_is_marked(run_folder: Path, tmp_path: Path) -> None:
    """Worse than a baseline is marked."""
    probes = json.loads((run_folder / "probes.json").read_text())
    probes["rows"][-1]["linear"] = 0.2
    probes["verdict"] = "61.8 points short"
    (tmp_path / "probes.json").write_text(json.dumps(probes))
    assert 'class="verdict bad"' in own(run_page(tmp_path).read_text())


def test_no_run_there(tmp_path: Path) -> None:
    """A folder without a run, or with a torn file, is refused in one line."""
    with pytest.raises(UserError, match="no run here"):
        run_page(tmp_path)
    (tmp_path / "probes.json").write_text("{")
    with pytest.raises(UserError, match="not readable as JSON"):
        run_page(tmp_path)


def test_a_run_without_labels(tmp_path: Path) -> None:
    """A run without labels."""
    rows = [{"name": "raw pixels", "rankme": 9.0}, {"name": "this run", "rankme": 12.3}]
    record = {"rows": rows, "verdict": "no verdict: without labels", "verdicts": {}}
    (tmp_path / "probes.json").write_text(json.dumps(record))
    html = own(run_page(tmp_path).read_text())
    assert "12.30" in html and "There are no labels" in html
