"""The table, figures and page of an experiment: numbers by hand, gaps, failures, the browser."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from goodviews.interfaces import Row, UserError
from goodviews.report import experiment_page, experiment_table, shown_line
from goodviews.report.experiment import (
    claim_numbers,
    experiment_markdown,
    how_measured,
    legend,
    render_experiment,
)
from goodviews.report.experiment_panels import panels
from goodviews.report.experiment_values import Point, curve, final, looks_of, window
from goodviews.report.palette import THEMES, with_theme

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ERROR = "RuntimeError: the loss is not finite at step 12 (<b>lr</b> too high?)"
SEEDS = ([0.80, 0.90], [0.82, 0.94], [0.87, None])
"""Accuracy of "bilinear, NCE" at steps 0 and 100, a seed a list; one was not measured at 100."""


def run(name: str, seed: int, curve: list[dict[str, Any]], **more: Any) -> Row:
    """A run of an arm that ended well."""
    return Row("candidate", name, seed, curve=curve, **more)


def make_rows() -> list[Row]:
    """Two arms with gaps and several seeds, one with a failure beside one good run, pixels."""
    rows = [
        run(
            "bilinear, NCE",
            seed,
            [
                {"step": step, "accuracy": value, "nats": 1 + seed + i, "nats_train": 2 + seed}
                for i, (step, value) in enumerate(zip((0, 100), values, strict=True))
            ],
            nats=2.0 + seed,
            measures={"accuracy": 0.90 + 0.02 * seed},
            seconds=60.0,
        )
        for seed, values in enumerate(SEEDS)
    ]
    rows.append(run("|I - 2|", 0, [{"step": s, "accuracy": 0.7 + s / 1000} for s in (0, 30, 60)]))
    rows.append(Row("candidate", "|I - 2|", 1, status="failed", error=ERROR, nats=99.0))
    rows.append(Row("baseline", "raw pixels", 0, measures={"accuracy": 0.853}))
    return rows


def make_study(**more: Any) -> dict[str, Any]:
    """The record of :func:`make_rows`."""
    return {
        "study": "critics",
        "kind": "experiment",
        "question": "Does a tighter bound give better features?",
        "answer": "No.",
        "x": "training steps",
        "arms": [
            {"name": "bilinear, NCE", "words": "x W y", "paper": {"accuracy": "\u2248 89"}},
            {"name": "|I - 2|", "words": "a matched bound", "paper": {}},
        ],
        "columns": [
            {"key": "accuracy", "words": "accuracy", "unit": "%", "digits": 1},
            {"key": "nats", "words": "bound", "unit": "nats", "digits": 2},
            {"key": "linear", "words": "linear %, converged", "unit": "%", "digits": 1},
        ],
        "panels": [
            {
                "kind": "curve",
                "measure": "accuracy",
                "title": "Downstream accuracy",
                "unit": "%",
                "lines": [{"value": 0.853, "words": "raw pixels"}],
            },
            {"kind": "curve", "measure": "nats", "title": "Bound", "also": "nats_train"},
            {"kind": "scatter", "x": "nats", "y": "accuracy"},
            {"kind": "bars", "measure": "accuracy", "lines": [{"value": 0.853, "words": "pixels"}]},
        ],
        "claims": [
            {
                "words": "Bilinear beats pixels",
                "verdict": "shown",
                "value": 0.067,
                "half": 0.01,
                "margin": 0.03,
                **{"unit": "points", "paper": "+5"},
            },
            {"words": "Never measured", "verdict": "undecided", "value": None, "half": None},
        ],
        "rule": "By the interval.",
        "reference": "raw pixels",
        "command": "goodviews study critics --out out",
        "seeds": [0, 1, 2],
        "K": 128,
        "scale": "quick",
        "shortened": "100 of 21,000 steps.",
        "notes": ["Bounds are read on held-out pairs."],
        "environment": {"torch": "2.14.1"},
    } | more


@pytest.fixture
def rows() -> list[Row]:
    """The runs."""
    return make_rows()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that an experiment leaves."""
    out = tmp_path_factory.mktemp("experiment")
    (out / "rows.jsonl").write_text("\n".join(json.dumps(row.to_dict()) for row in make_rows()))
    (out / "study.json").write_text(json.dumps(make_study()))
    return out


def own(html: str) -> str:
    """The page without its scripts."""
    return re.sub(r"<script>(?!\s*try).*?</script>", "", html, flags=re.DOTALL)


def traces(rows: list[Row], panel: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    """What the only chart of a panel draws."""
    (drawn,) = panels(rows, make_study(panels=[panel], **more))
    ((_, figure),) = drawn.charts
    return figure["data"]


# --- numbers ------------------------------------------------------------------------------------


def test_curve_is_mean_and_deviation_of_the_seeds_that_have_the_step(rows: list[Row]) -> None:
    first, second = curve(rows, "bilinear, NCE", "accuracy")
    mean = (0.80 + 0.82 + 0.87) / 3
    sd = math.sqrt(sum((x - mean) ** 2 for x in (0.80, 0.82, 0.87)) / 2)
    assert (first.step, first.seeds) == (0, 3)
    assert (first.mean, first.sd) == pytest.approx((mean, sd))
    assert second == pytest.approx((100, 0.92, abs(0.90 - 0.94) / math.sqrt(2), 2))


def test_band_is_one_deviation_either_way_in_percent(rows: list[Row]) -> None:
    band, *_ = traces(rows, {"kind": "curve", "measure": "accuracy", "unit": "%"})
    mean, sd = 83.0, math.sqrt(13.0)  # 80, 82, 87
    half = 4 / math.sqrt(2)  # 90, 94
    assert band["x"] == [0, 100, 100, 0]
    assert band["y"] == pytest.approx([mean - sd, 92 - half, 92 + half, mean + sd])
    assert band["fill"] == "toself" and band["hoverinfo"] == "skip"


def test_one_seed_has_no_band_and_its_own_steps(rows: list[Row]) -> None:
    drawn = traces(rows, {"kind": "curve", "measure": "accuracy", "unit": "%"})
    assert sum("fill" in trace for trace in drawn) == 1
    line = next(trace for trace in drawn if trace.get("name") == "|I - 2|")
    assert line["x"] == [0, 30, 60] and line["y"] == pytest.approx([70, 73, 76])


def test_a_band_ends_where_one_seed_is_left(rows: list[Row]) -> None:
    del rows[1].curve[1]
    band, line, _ = traces(rows, {"kind": "curve", "measure": "accuracy"})
    assert band["x"] == [0, 0] and line["x"] == [0, 100] and line["y"][1] == 90.0


def test_second_measure_is_thin_and_broken(rows: list[Row]) -> None:
    drawn = traces(rows, {"kind": "curve", "measure": "nats", "also": "nats_train"})
    thin, thick = (trace for trace in drawn if "fill" not in trace)
    assert thin["y"] == [3, 3] and thick["y"] == [2, 3]  # seeds 0, 1, 2
    assert thin["line"]["width"] < thick["line"]["width"] and thin["line"]["dash"] == "dash"
    assert thin["line"]["color"] == thick["line"]["color"]


def test_a_logarithmic_axis_has_no_step_zero(rows: list[Row]) -> None:
    drawn = traces(rows, {"kind": "curve", "measure": "accuracy"}, log_x=True)
    assert all(min(trace["x"]) > 0 for trace in drawn)


def test_reference_lines_carry_their_words(rows: list[Row]) -> None:
    panel = {"kind": "curve", "measure": "accuracy", "unit": "%"}
    lines = [{"value": 0.853, "words": "raw pixels"}, {"value": 0.85, "words": "untrained"}]
    (drawn,) = panels(rows, make_study(panels=[panel | {"lines": lines}]))
    plan = drawn.charts[0][1]["layout"]
    assert [shape["y0"] for shape in plan["shapes"]] == pytest.approx([85.0, 85.3])
    words = [note["text"].replace("<br>", " ") for note in plan["annotations"]]
    assert words == ["untrained 85.0", "raw pixels 85.3"]
    low, high = (note["y"] for note in plan["annotations"])
    assert high - low > 1.0  # the words are kept apart, the lines are 0.3 apart
    assert plan["yaxis"]["range"][0] < 70 and plan["margin"]["r"] > 60


def test_percentile_bands_are_means_over_seeds() -> None:
    ends = {"min": 0.0, "p20": 1.0, "p40": 2.0, "p60": 3.0, "p80": 4.0, "max": 5.0}
    rows = [
        run("a", s, [{"step": 0} | {f"c_{k}": v + 2 * s for k, v in ends.items()}]) for s in (0, 1)
    ]
    (panel,) = panels(rows, {"panels": [{"kind": "percentiles", "prefix": "c_", "title": "C"}]})
    ((caption, figure),) = panel.charts
    assert caption == "a" and panel.wide
    assert [band["y"] for band in figure["data"]] == [[1, 6], [2, 5], [3, 4]]
    shades = [band["opacity"] for band in figure["data"]]
    assert shades == sorted(set(shades))


def test_scatter_has_a_point_a_run_and_marks_the_means(rows: list[Row]) -> None:
    mean, runs = traces(rows, {"kind": "scatter", "x": "nats", "y": "accuracy"})
    assert runs["x"] == [2, 3, 4] and runs["y"] == pytest.approx([90, 92, 94])
    assert (mean["x"], mean["y"]) == ([3], pytest.approx([92]))
    assert mean["marker"]["size"] > runs["marker"]["size"]


def test_bars_are_means_with_whiskers_and_runs(rows: list[Row]) -> None:
    drawn = traces(rows, {"kind": "bars", "measure": "accuracy"})
    one, many, dots = drawn
    assert one["x"] == pytest.approx([76]) and not one["error_x"]["visible"]
    assert many["x"] == pytest.approx([92]) and many["error_x"]["array"] == pytest.approx([2])
    assert dots["x"] == pytest.approx([90, 92, 94])


def test_final_value_prefers_the_field() -> None:
    row = run("a", 0, [{"step": 1, "nats": 1.0, "knn": 0.1}, {"step": 2, "knn": None}], nats=3.0)
    row.measures = {"nats": 2.0, "other": math.nan}
    assert [final(row, key) for key in ("nats", "knn", "other", "nothing")] == [
        3.0,
        0.1,
        None,
        None,
    ]


def test_early_values_do_not_flatten_the_rest() -> None:
    points = [Point(s, -60.0 if s < 5 else 3.0 + s / 100, 0.01, 3) for s in range(100)]
    low, high, words = window(points, [4.85])
    assert 2.5 < low < 3.2 and 4.85 < high < 5.2 and "-60.0" in words
    gentle = [Point(s, 0.8 + s / 1000, None, 1) for s in range(100)]
    assert window(gentle, [])[0] < 0.8 and window(gentle, [])[2] == ""
    assert window(points, [], (-70, 5)) == (-70, 5, "")
    low, high, _ = window([Point(0, 1.0, None, 1)], [])
    assert low < 1.0 < high


# --- table and claims ---------------------------------------------------------------------------


def test_table_is_ascii_with_the_paper_beside(rows: list[Row]) -> None:
    text = experiment_table(make_study(), rows)
    assert text.isascii()
    cells = [re.split(r"\s{2,}", line) for line in text.splitlines()]
    assert cells[0] == ["arm", "accuracy %", "paper", "bound nats", "linear %, converged", "seeds"]
    assert cells[1] == ["bilinear, NCE", "92.0+-2.0", "~ 89", "3.00+-1.00", "3"]
    assert cells[2] == ["|I - 2|", "76.0", "1 (1 failed)"]  # 99 nats were of the run that failed
    assert cells[3] == ["raw pixels", "85.3", "1"]
    assert cells[4] == [f"failed: |I - 2|: {ERROR}"]


def test_a_repeated_run_replaces_the_one_that_failed(rows: list[Row]) -> None:
    rows.append(run("|I - 2|", 1, [{"step": 60, "accuracy": 0.78}]))
    text = experiment_table(make_study(), rows)
    assert "failed" not in text and "77.0+-1.4" in text


def test_markdown_keeps_its_columns(rows: list[Row]) -> None:
    lines = experiment_markdown(make_study(), rows).splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 5
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1
    assert "- Bilinear beats pixels: shown" in "\n".join(lines)
    assert any("100 of 21,000 steps." in line for line in lines)


def test_claims_in_words() -> None:
    known, unknown = make_study()["claims"]
    numbers = "+6.7 \N{PLUS-MINUS SIGN} 1.0 points; asked: at least 3.0; paper: +5"
    assert claim_numbers(known) == numbers
    assert shown_line(unknown) == "Never measured: undecided"
    claim = {"value": -0.0004, "half": math.inf, "unit": "nats", "margin": 0}
    assert claim_numbers(claim) == "-0.0004 nats"


def test_ten_arms_can_be_told_apart() -> None:
    plain = [{"name": f"arm {i}"} for i in range(10)]
    solid = [arm | {"group": arm["name"], "dash": "solid"} for arm in plain]
    looks = looks_of(solid)
    assert looks == looks_of(plain)
    assert len({(look.color, look.dash) for look in looks.values()}) == 10
    assert len({look.color for look in list(looks.values())[:7]}) == 7
    families = [
        {"name": f"{critic}, {bound}", "group": critic, "dash": dash}
        for critic in "abcd"
        for bound, dash in (("NCE", "solid"), ("NWJ", "dash"))
    ]
    looks = looks_of(families)
    assert len({look.color for look in looks.values()}) == 4
    assert [look.dash for look in looks.values()] == ["solid", "dash"] * 4
    assert looks["a, NCE"].marker["color"] != looks["a, NWJ"].marker["color"]
    assert [line["stroke"] for line in legend({"arms": families}, [])][:2] == ["", "6 3"]


# --- page ---------------------------------------------------------------------------------------


def test_page_tells_the_whole_story(folder: Path) -> None:
    path = experiment_page(folder)
    html = own(path.read_text())
    assert path.name == "report.html" and (folder / "table.md").read_text().startswith("# Does a")
    for words in (
        "Does a tighter bound give better features?",
        '<span class="badge sweet">shown</span> Bilinear beats pixels',
        '<span class="badge undecided">undecided</span> Never measured',
        "100 of 21,000 steps.",
        "92.0\N{PLUS-MINUS SIGN}2.0",
        "log K = 4.85 nats",
        "By the interval.",
        "held-out pairs",
        "goodviews study critics --out out",
        "2.14.1",
        "&lt;b&gt;lr&lt;/b&gt;",
    ):
        assert words in html
    assert "<b>lr" not in html
    assert html.count('class="glyph"') == 2
    assert re.findall(r'data-figure="([\w-]+)"', html) == [f"panel-{i}-0" for i in range(4)]
    assert not re.search(r"(src|href)=\"(?!data:|#)", html) and "url(" not in html


def test_figures_resolve_to_a_theme(rows: list[Row]) -> None:
    for panel in panels(rows, make_study()):
        for _, figure in panel.charts:
            assert "var(--" in json.dumps(figure)
            assert "var(--" not in json.dumps(with_theme(figure, THEMES["dark"]))


def test_without_a_run_that_ended_well_the_page_shows_the_errors() -> None:
    rows = [Row("candidate", "|I - 2|", s, status="failed", error=ERROR) for s in (0, 1)]
    html = own(render_experiment(rows, make_study()))
    assert "No run has ended well" in html and html.count("the loss is not finite") == 3
    assert "data-figure" not in html and "<details open>" in html
    assert "2, 2 failed" in str(how_measured(make_study(), rows))


def test_no_curves_no_record_no_rows(rows: list[Row]) -> None:
    for row in rows:
        row.curve = []
    html = own(render_experiment(rows, make_study()))
    assert html.count("No run has measured this yet.") == 2
    assert "experiment" in own(render_experiment([], {}))


def test_not_a_number_leaves_a_sound_page(rows: list[Row]) -> None:
    rows[0].curve[0] |= {"accuracy": math.nan, "nats": math.inf}
    rows[1].measures = {"accuracy": math.nan}
    html = render_experiment(rows, make_study())
    figures = re.search(r'id="page-figures">(.*?)</script>', html, re.DOTALL)
    assert figures is not None
    assert "null" not in figures.group(1) and len(json.loads(figures.group(1))) == 4


def test_mistakes_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="kind of a panel: unknown 'curves'"):
        panels([], {"panels": [{"kind": "curves"}]})
    with pytest.raises(UserError, match="no such file"):
        experiment_page(tmp_path)
    (tmp_path / "rows.jsonl").write_text("")
    with pytest.raises(UserError, match="unfinished"):
        experiment_page(tmp_path)


def test_in_the_browser(browser: Browser, folder: Path) -> None:
    """Drawn without complaint, in both themes, side by side or below each other, no overflow."""
    path = experiment_page(folder)
    context = browser.new_context(viewport={"width": 1180, "height": 1420}, color_scheme="dark")
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url[:80]))
    page.goto(path.as_uri(), timeout=120_000)
    page.wait_for_selector(".scatterlayer .trace")
    first = page.locator('[data-figure="panel-0-0"]')
    assert first.locator(".scatterlayer .trace").count() == 3  # a band and two lines
    assert first.locator(".annotation-text").all_text_contents() == ["raw pixels85.3"]
    left, right = (page.locator(f'[data-figure="panel-{i}-0"]').bounding_box() for i in (0, 1))
    assert left and right and left["y"] == right["y"] and left["x"] < right["x"]
    page.click("#theme")
    assert page.locator("#panels").screenshot()[:4] == b"\x89PNG"
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()
    asked = [c for c in complaints if not c.startswith(("data:", "blob:"))]
    assert len(asked) == 1 and asked[0].startswith("file:")
