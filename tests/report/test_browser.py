"""Both pages in headless Chromium: drawn, sortable, readable, silent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from goodviews.report import run_page, study_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
LAPTOP = {"viewport": {"width": 1366, "height": 850}}


@contextmanager
def opened(browser: Browser, path: Path, **options: Any) -> Iterator[Page]:
    """The page, drawn; on leaving, no error was logged and nothing was asked of the network."""
    complaints: list[str] = []
    context = browser.new_context(**(options or LAPTOP))
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url[:80]))
    page.goto(path.as_uri(), timeout=120_000)
    page.wait_for_selector("[data-figure]:last-child .main-svg")
    yield page
    context.close()
    asked = [c for c in complaints if not c.startswith(("file:", "data:", "blob:"))]
    assert asked == []
    assert sum(c.startswith("file:") for c in complaints) == 1


@pytest.fixture(scope="module")
def study_html(study_folder: Path) -> Path:
    """The study's page."""
    return study_page(study_folder)


@pytest.fixture(scope="module")
def run_html(run_folder: Path) -> Path:
    """The run's page."""
    return run_page(run_folder)


def column(page: Page, place: int) -> list[str]:
    """The texts of one column of the ranked table, baselines left out."""
    cells = page.locator(f"#ranked tbody.sortable tr > :nth-child({place + 1})")
    return [text.strip().split("\n")[0] for text in cells.all_inner_texts()]


def test_curves_are_drawn(browser: Browser, study_html: Path) -> None:
    """Curves are drawn."""
    with opened(browser, study_html) as page:
        main = page.locator('[data-figure="main"]')
        assert main.locator(".scatterlayer .trace .point").count() == 15
        assert main.locator(".scatterlayer .trace .js-line").count() >= 3
        assert main.locator(".errorbar").count() >= 15
        assert main.locator(".legend .traces").count() == 4
        words = " ".join(main.locator(".annotation-text").all_text_contents())
        assert "log K = 5.55" in words and "sweet" in words and "raw pixels" in words
        assert page.locator('[data-figure^="dial-"] .scatterlayer').count() == 8


def test_sorting(browser: Browser, study_html: Path) -> None:
    """Headings sort both ways, by keyboard too; what has no value comes last."""
    with opened(browser, study_html) as page:
        before = column(page, 1)
        header = page.locator("#ranked thead th", has_text="I(v1;v2)")
        header.locator("button").focus()
        page.keyboard.press("Enter")
        assert header.get_attribute("aria-sort") == "descending"
        after = column(page, 1)
        assert sorted(after) == sorted(before) and after != before
        values = [float(text.split("\N{PLUS-MINUS SIGN}")[0]) for text in column(page, 3) if text]
        assert values == sorted(values, reverse=True) and len(values) == 15
        header.locator("button").click()
        assert header.get_attribute("aria-sort") == "ascending"
        assert page.locator("#ranked th[aria-sort]").count() == 1
        assert column(page, 1)[-1].endswith("noise=9")  # what has no value comes last
        assert page.locator("tbody.pinned tr").count() == 2


def point_at(page: Page, place: int) -> tuple[float, float]:
    """The middle of a point of the main figure, on the screen."""
    page.locator('[data-figure="main"]').scroll_into_view_if_needed()
    page.wait_for_timeout(100)
    point = page.locator('[data-figure="main"] .scatterlayer .trace .point').nth(place)
    box = point.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def card_of(page: Page) -> tuple[str, int, str]:
    """The card's title, the width of its picture as loaded, its numbers."""
    page.wait_for_selector("#card:not([hidden])")
    page.wait_for_selector("#card-views:not([hidden])")
    width = page.evaluate("document.getElementById('card-views').naturalWidth")
    return page.inner_text("#card-name"), width, page.inner_text("#card-lines")


def test_hover_shows_a_pair_of_views(browser: Browser, study_html: Path) -> None:
    """Hover shows a pair of views."""
    with opened(browser, study_html) as page:
        page.mouse.move(*point_at(page, 1))
        name, width, numbers = card_of(page)
        assert name == "crop-scale=0.2" and width == 270 and "nats" in numbers
        frame = page.locator("#card").bounding_box()
        assert frame is not None and frame["x"] >= 0 and frame["x"] + frame["width"] <= 1366
        page.mouse.move(2, 2)
        page.wait_for_selector("#card", state="hidden")


def test_tap_shows_a_pair_of_views(browser: Browser, study_html: Path) -> None:
    """Tap shows a pair of views."""
    with opened(browser, study_html, **PHONE) as page:
        page.touchscreen.tap(*point_at(page, 1))
        name, width, _ = card_of(page)
        assert name == "crop-scale=0.2" and width == 270


def test_dark_and_light(browser: Browser, study_html: Path) -> None:
    """The page and its figures follow the system, and the button."""
    background = "getComputedStyle(document.body).backgroundColor"
    ink = "document.querySelector('[data-figure=main] .xtick text').style.fill"
    seen = {}
    for scheme in ("light", "dark"):
        with opened(browser, study_html, **LAPTOP, color_scheme=scheme) as page:
            seen[scheme] = page.evaluate(background), page.evaluate(ink)
            page.click("#theme")
            page.wait_for_timeout(300)
            seen[f"{scheme}, switched"] = page.evaluate(background), page.evaluate(ink)
    assert seen["light"] == seen["dark, switched"] and seen["dark"] == seen["light, switched"]
    assert seen["light"][0] != seen["dark"][0] and seen["light"][1] != seen["dark"][1]


@pytest.mark.parametrize("kind", ["study", "unlabelled", "run"])
def test_no_sideways_overflow(
    browser: Browser,
    study_html: Path,
    run_html: Path,
    unlabelled_folder: Path,
    kind: str,
) -> None:
    """The body never scrolls sideways, on a phone or a laptop."""
    path = {"study": study_html, "run": run_html}.get(kind) or study_page(unlabelled_folder)
    with opened(browser, path, **PHONE) as page:
        page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        for width in (390, 1366):
            page.set_viewport_size({"width": width, "height": 844})
            page.wait_for_timeout(300)
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_run_page(browser: Browser, run_html: Path) -> None:
    """A run's curves, intervals, map, histogram and pictures are there."""
    with opened(browser, run_html) as page:
        for name in ("loss", "information", "probes", "rank", "accuracy", "embedding"):
            assert page.locator(f'[data-figure="{name}"] .scatterlayer .trace').count() >= 1
        assert page.locator('[data-figure="similarity"] .barlayer .trace').count() == 2
        assert page.locator('[data-figure="accuracy"] .errorbar').count() == 6
        widths = page.evaluate("[...document.images].map((image) => image.naturalWidth)")
        assert len(widths) == 2 and min(widths) > 0


def test_copying(browser: Browser, study_html: Path) -> None:
    """The copy button says that it copied."""
    with opened(browser, study_html) as page:
        button = page.locator(".copy").first
        button.click()
        page.wait_for_selector(".copy:text-is('Copied')")


def test_without_labels_the_axis_is_rankme(browser: Browser, unlabelled_folder: Path) -> None:
    """Without labels the axis is RankMe."""
    with opened(browser, study_page(unlabelled_folder)) as page:
        title = page.text_content('[data-figure="main"] .ytitle')
        assert title is not None and "RankMe" in title
        assert page.locator(".notice").first.is_visible()
