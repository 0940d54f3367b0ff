"""A report in a browser: nothing is cut off at any width, words are explained by keyboard, it prints on few pages."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_report import report, row, rows

from trainmap.experiments.report.html_page import html
from trainmap.experiments.report.page import page_of

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WIDTHS = (1400, 1000, 400)

BEYOND = """() => [...document.querySelectorAll("main *")].filter(element => {
  if (!element.checkVisibility() || element.closest(".frame table") || element.closest(".unseen")) return false;
  const box = element.getBoundingClientRect();
  return box.width > 0 && (box.right > innerWidth + 0.5 || box.left < -0.5);
}).map(element => `${element.tagName}.${element.getAttribute("class")}: ${element.textContent.trim().slice(0, 60)}`)"""
"""Which elements stand beyond the page; a table within its frame, which scrolls and says so, may."""


TIPS = """() => [...document.querySelectorAll(".term")].map(term => {
  const tip = term.querySelector(".tip"), before = tip.checkVisibility();
  term.focus();
  const box = tip.getBoundingClientRect();
  return {before, shown: tip.checkVisibility() && box.width > 0, left: box.left, right: box.right};
})"""
CUT = """() => [...document.querySelectorAll(".scatter svg")].filter(one => one.checkVisibility()).flatMap(svg => {
  const around = svg.getBoundingClientRect();
  return [...svg.querySelectorAll("text")].filter(text => {
    const box = text.getBoundingClientRect();
    return box.left < around.left - 1 || box.right > around.right + 1 || box.bottom > around.bottom + 1;
  }).map(text => text.textContent);
})"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if BROWSER is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four students, plain and taught, on twenty rows of long names."""
    names = [f"high something that is called at length, nearest to its corner {at} %" for at in range(13)]
    every = [
        one
        for student in ("cnn-8", "resnet14-16")
        for distilled in (False, True)
        for one in (
            *rows(3, student=student, distilled=distilled),
            *(
                row(name, 0.8 + at / 500, seed, student, distilled)
                for at, name in enumerate(names)
                for seed in range(3)
            ),
        )
    ]
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(html(page_of(report(rows=every, notes=["x" * 300], provenance={"file": "y" * 300}))))
    return path


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_stands_beyond_the_page_folded_or_open(browser: Any, file: Path, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(file.as_uri())
    assert page.evaluate(BEYOND) == []
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.evaluate(BEYOND) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for frame in page.query_selector_all(".frame"):  # what scrolls says so
        if frame.evaluate("one => one.scrollWidth > one.clientWidth + 1"):
            assert "scrolls sideways" in frame.evaluate("one => one.previousElementSibling.textContent")
    page.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_words_are_explained_on_focus_within_the_page(browser: Any, file: Path, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(file.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    found = page.evaluate(TIPS)
    assert len(found) > 10
    assert [one for one in found if one["before"] or not one["shown"] or one["left"] < 0 or one["right"] > width] == []
    page.close()


def test_no_label_of_a_picture_is_cut_by_its_picture(browser: Any, file: Path) -> None:
    for width in WIDTHS:
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme="dark")
        page.goto(file.as_uri())
        cut = page.evaluate(CUT)
        assert cut == []
        page.close()


def test_it_prints_on_few_pages_with_its_parts_folded(browser: Any, file: Path) -> None:
    page = browser.new_page()
    page.goto(file.as_uri())
    assert len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4"))) <= 4
    page.close()
