"""The page of the primer: whole without a script, and in headless Chromium with its sliders."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from goodviews.primer import LESSONS, learn
from goodviews.primer.lesson import Bars, Curve, Table
from goodviews.primer.numbers import cell
from goodviews.primer.page import block_html, frames, screen

if TYPE_CHECKING:
    from playwright.sync_api import Browser

LAPTOP = {"viewport": {"width": 1366, "height": 850}}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def page_html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of all lessons."""
    path = tmp_path_factory.mktemp("primer") / "learn.html"
    assert learn(page=path) == f"{path}\n"
    return path


@pytest.mark.parametrize("name", LESSONS)
def test_the_dials_start_where_the_lesson_does(name):
    """At its start positions a slider shows what the defaults show."""
    lesson = LESSONS[name]
    for example in lesson.examples:
        if example.dials:
            start = " ".join(str(dial.positions.index(dial.start)) for dial in example.dials)
            assert frames(lesson, example)[start]["html"] == str(screen(example, {}))


@pytest.mark.parametrize("name", LESSONS)
def test_every_frame_is_what_its_command_shows(name):
    """Each position's command, in a terminal, gives the numbers of the frame."""
    lesson = LESSONS[name]
    for example in lesson.examples:
        if not example.dials:
            continue
        moving = frames(lesson, example)
        assert len({frame["html"] for frame in moving.values()}) > 0.9 * len(moving)
        for frame in list(moving.values())[:: max(1, len(moving) // 5)]:
            words = frame["command"].split()
            assert words[:3] == ["goodviews", "learn", name]
            options = dict(zip(words[3::2], words[4::2], strict=True))
            given = {key[2:].replace("-", "_"): text for key, text in options.items()}
            assert str(screen(example, given)) == frame["html"]
            assert "nan" not in frame["html"]


def test_html_is_escaped_and_drawn():
    table = block_html(Table(("<a>", "b"), [("x & y", 0.5)]))
    assert "&lt;a&gt;" in table and "x &amp; y" in table and "0.5000" in table
    bars = block_html(Bars("t", [("one", 1.0), ("two", 2.0), ("all", float("inf"))], marked=(1,)))
    assert re.findall(r"width:([\d.]+)%", bars) == ["50.0", "100.0", "100.0"]
    assert "infinite" in bars
    curve = Curve("t", "x", [(0.0, 0.0), (1.0, 2.0)], (0.5, 1.0), ("half", 1.0))
    assert 'cx="342.0" cy="102.0"' in block_html(curve) and "half: 1" in block_html(curve)
    assert block_html(curve._replace(here=(0.5, float("inf")))) == ""


def test_the_page_stands_alone(page_html: Path):
    """Nothing is fetched, the reader's numbers are in it before any script, it is no giant."""
    text = page_html.read_text("utf-8")
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", text)
    assert "default-src 'none'" in text
    assert len(text) < 2_000_000
    static = text[: text.index('id="frames"')]
    for lesson in LESSONS.values():
        assert f'id="{lesson.name}"' in static
    assert "0.2781 bits (0.1927 nats)" in static
    json.loads(re.search(r'id="frames">(.*?)</script>', text, flags=re.DOTALL)[1])


def test_a_page_with_the_readers_numbers(tmp_path: Path):
    """One lesson, its numbers; an existing file is replaced, a folder made."""
    path = tmp_path / "new" / "mine.html"
    for p, h in (("0.9,0.1", "0.469 bits"), ("1/4,3/4", "0.8113 bits")):
        learn("entropy", p=p, page=path)
        text = path.read_text("utf-8")
        assert f"H = {h}" in text and 'id="kl"' not in text
    assert list(path.parent.iterdir()) == [path]


def opened(browser: Browser, path: Path, **options: Any) -> tuple[Any, list[str]]:
    """The page, and what it complains about or asks of the network."""
    complaints: list[str] = []
    page = browser.new_context(reduced_motion="reduce", **(options or LAPTOP)).new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url[:80]))
    page.goto(path.as_uri(), timeout=120_000)
    return page, complaints


def test_sliders_turn_the_numbers(browser: Browser, page_html: Path):
    """Each position shows its frame, its value and its command; no complaint, no request."""
    page, complaints = opened(browser, page_html)
    for lesson in LESSONS.values():
        for place, example in enumerate(lesson.examples):
            box = page.locator(f'[data-example="{lesson.name} {place}"]')
            for i, dial in enumerate(example.dials):
                slider = box.locator("input[type=range]").nth(i)
                before = box.locator(".screen").inner_text()
                last = len(dial.positions) - 1
                target = last if dial.positions[last] != dial.start else 0
                slider.fill(str(target))
                assert box.locator(".screen").inner_text() != before
                options = dial.options(dial.positions[target])
                for name, text in options.items():
                    words = f"--{name.replace('_', '-')} {text}"
                    assert words in box.locator(".command").inner_text()
                assert (
                    slider.get_attribute("aria-valuetext")
                    == box.locator("output").nth(i).inner_text()
                )
    assert [c for c in complaints if not c.startswith("file:")] == []
    assert len(complaints) == 1
    page.context.close()


def test_sliders_turn_by_keyboard(browser: Browser, page_html: Path):
    """An arrow key moves the fair coin's neighbour: entropy's first table changes."""
    page, _ = opened(browser, page_html)
    box = page.locator('[data-example="entropy 0"]')
    box.locator("input").focus()
    page.keyboard.press("ArrowLeft")
    assert "0.4500" in box.locator("table").inner_text()
    page.keyboard.press("ArrowRight")
    assert "1.5 bits" in box.inner_text()
    page.context.close()


def test_answers_in_the_page(browser: Browser, page_html: Path):
    """A right answer opens the solution, a wrong one does not."""
    page, _ = opened(browser, page_html)
    for lesson in LESSONS.values():
        box = page.locator(f"#{lesson.name} .question")
        box.locator("input").fill("-1")
        box.locator("button").click()
        assert box.locator("[role=status]").inner_text() == "Not yet."
        assert box.locator("details").get_attribute("open") is None
        box.locator("input").fill(cell(lesson.answer).replace(",", ""))
        page.keyboard.press("Enter")
        assert box.locator("[role=status]").inner_text() == "Right."
        assert box.locator("details").get_attribute("open") is not None
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_sideways_overflow(browser: Browser, page_html: Path, scheme: str):
    """Neither on a phone nor on a laptop; pictures are inside their cards."""
    for look in (PHONE, LAPTOP):
        page, _ = opened(browser, page_html, color_scheme=scheme, **look)
        width = look["viewport"]["width"]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        cards = page.locator(".example")
        assert cards.count() == sum(len(lesson.examples) for lesson in LESSONS.values())
        edges = page.evaluate(
            "[...document.querySelectorAll('.example')].flatMap((card) =>"
            " [...card.querySelectorAll('svg, .bars')].map((picture) =>"
            " card.getBoundingClientRect().right - picture.getBoundingClientRect().right))"
        )
        assert edges and min(edges) >= 0
        page.context.close()
