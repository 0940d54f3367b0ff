"""The page, from end to end, in a headless browser."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import trainmap as tm
from trainmap.explorer.page_script import script, style

Look = Callable[..., Any]
NOW = "() => trainmapExplorer.state.now"


def at(page: Any, row: int) -> tuple[float, float]:
    """Where a dot is on the screen."""
    box = page.locator(".tm-dots").first.bounding_box()
    x, y = page.evaluate(f"() => trainmapExplorer.first.placeOnScreen({row})")
    return box["x"] + x, box["y"] + y


def until(page: Any, expression: str) -> None:
    """Wait until it is so."""
    page.wait_for_function(f"() => {{ const {{ now, n }} = trainmapExplorer.state; return {expression}; }}")


def drawn(page: Any) -> int:
    """How many pixels of the map are not its ground."""
    return page.evaluate(
        """() => new Promise((done) => { const plot = trainmapExplorer.first.view.plot;
        plot.subscribe("draw", () => { const from = plot.get("canvas"); const to = document.createElement("canvas");
          [to.width, to.height] = [from.width, from.height]; const pen = to.getContext("2d"); pen.drawImage(from, 0, 0);
          const { data } = pen.getImageData(0, 0, to.width, to.height); let count = 0;
          for (let i = 0; i < data.length; i += 4)
            if (Math.abs(data[i] - data[0]) + Math.abs(data[i + 1] - data[1]) + Math.abs(data[i + 2] - data[2]) > 40)
              count += 1;
          done(count); }, 1); plot.redraw(); })"""
    )


def lasso(page: Any, x: float, y: float, radius: float) -> None:
    """Draw around a place."""
    page.mouse.move(x + radius, y)
    page.mouse.down()
    for k in range(1, 15):
        page.mouse.move(x + radius * math.cos(k / 14 * 6.283), y + radius * math.sin(k / 14 * 6.283))
        page.wait_for_timeout(12)
    page.mouse.up()


def loneliest(page: Any) -> int:
    """The row whose dot stands furthest from all others, so that a pointer cannot miss it."""
    return page.evaluate(
        """() => { const { state, first } = trainmapExplorer; const places = Array.from({ length: state.n }, (_, i) =>
        first.placeOnScreen(i)); let [best, most] = [0, 0];
        for (let i = 0; i < state.n; i++) { let near = Infinity;
          for (let k = 0; k < state.n; k++) if (k !== i)
            near = Math.min(near, Math.hypot(places[i][0] - places[k][0], places[i][1] - places[k][1]));
          if (near > most) [best, most] = [i, near]; }
        return best; }"""
    )


@pytest.fixture
def explorer(digits: Path, tmp_path: Path) -> Any:
    return tm.explore(digits / "seed0", "digits", review=tmp_path / "review.jsonl")


def test_dots_are_drawn_and_pointing_at_one_shows_its_picture_and_a_click_how_it_was_learned(
    explorer: Any, look: Look
) -> None:
    page = look(explorer)
    assert drawn(page) > 500
    row = loneliest(page)
    page.mouse.move(*at(page, row))
    until(page, f"now.hovered === {row}")
    page.wait_for_selector(f'.tm-example img[src*="media/{row}/0"]')
    assert page.locator(".tm-example .tm-scores").count() == 0
    page.mouse.down()
    page.mouse.up()
    until(page, f"now.pinned === {row}")
    page.wait_for_selector(".tm-example .tm-scores")
    label = explorer.datamap.labels[row]
    assert f"Label {label}" in page.inner_text(".tm-verdict")
    assert page.locator(".tm-example .tm-chart").count() == 3
    assert "Predicted: " in page.get_attribute(".tm-ribbon", "aria-label")
    page.wait_for_selector(".tm-near img")
    assert page.locator(".tm-near .tm-thumb").count() == 6
    assert page.locator(".tm-pin").is_visible()


def test_the_lasso_and_the_box_select_and_the_gallery_shows_them_by_any_score(explorer: Any, look: Look) -> None:
    page = look(explorer)
    x, y = at(page, loneliest(page))
    page.click("[data-mode=lasso]")
    lasso(page, x, y, 90)
    until(page, "now.selected.length > 0")
    page.wait_for_selector(".tm-gallery img")
    count = page.evaluate("() => trainmapExplorer.state.now.selected.length")
    assert f"of {count}" in page.inner_text(".tm-list .tm-kept")
    assert f"✕ {count} selected" in page.inner_text(".tm-tools")
    page.select_option('.tm-list [aria-label="Sort by"]', "aum")
    rows = [int(one.get_attribute("data-row")) for one in page.locator(".tm-gallery .tm-thumb").all()]
    by = explorer.datamap.values("aum")[rows]
    assert (by[:-1] <= by[1:]).all()
    page.click(".tm-unselect")
    page.click("[data-mode=box]")
    box = page.locator(".tm-dots").bounding_box()
    page.mouse.move(box["x"] + 3, box["y"] + 3)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=5)
    page.mouse.move(box["x"] + box["width"] - 4, box["y"] + box["height"] - 4, steps=5)
    page.mouse.up()
    until(page, "now.selected.length > 400")


def test_filters_keep_what_they_say_and_the_legend_is_one(explorer: Any, look: Look) -> None:
    page = look(explorer)
    labels, datamap = explorer.datamap.labels, explorer.datamap
    before = drawn(page)
    page.select_option('[aria-label="Class"]', "3")
    until(page, f"now.kept && now.kept.length === {(labels == 3).sum()}")
    assert f"{(labels == 3).sum()} of 500 examples shown" in page.inner_text(".tm-controls")
    page.wait_for_timeout(300)
    assert drawn(page) < before
    page.select_option('[aria-label="Score"]', "confidence")
    page.fill('[aria-label="From"]', "0.5")
    page.keyboard.press("Tab")
    wanted = ((labels == 3) & (datamap.values("confidence").astype(np.float32) >= 0.5)).sum()
    until(page, f"now.kept.length === {wanted}")
    page.click("text=Clear filters")
    until(page, "now.kept === null")
    hard = (datamap.table["region"] == "hard-to-learn").sum()
    page.click('.tm-legend button:has-text("hard-to-learn")')
    until(page, f"now.kept.length === {hard}")
    page.click("text=Clear filters")
    page.fill('[aria-label="Text"]', "49")
    page.keyboard.press("Enter")
    until(page, f"now.kept && now.kept.length === {sum('49' in str(one) for one in range(500))}")


def test_the_slider_replays_learning(explorer: Any, look: Look) -> None:
    page = look(explorer)
    page.select_option('[aria-label="Colour"]', "outcome")
    page.focus("#tm-epoch")
    page.keyboard.press("Home")
    until(page, "now.epoch === 1 && now.frames.first !== undefined")
    dynamics = explorer.first.recording
    right = (dynamics.column(0, "predicted") == dynamics.labels).sum()
    page.wait_for_selector(f'.tm-legend li:has-text("right"):has-text("{right}")')
    assert page.evaluate("() => Math.max(...trainmapExplorer.state.values('variability'))") == 0
    assert page.inner_text(".tm-epoch-said") == "after epoch 1 of 5"
    page.click(".tm-play")
    until(page, "now.epoch === 5")


def test_labels_are_reviewed_by_keys_undone_and_kept_and_exported(
    explorer: Any, look: Look, tmp_path: Path, digits: Path
) -> None:
    page = look(explorer)
    queue = explorer.found.suspected.tolist()
    page.click("[data-tab=review]")
    said = page.locator(".tm-review .tm-kept")
    for number, key in enumerate("krduz", 1):
        page.keyboard.press(key)
        done = 3 if key == "z" else number
        page.wait_for_function(
            f"""() => document.querySelector(".tm-review .tm-kept").textContent.includes("; {done} ")"""
        )
    assert "; 3 decided" in said.inner_text()
    lines = [json.loads(line) for line in (tmp_path / "review.jsonl").read_text().splitlines()]
    assert [one["decision"] for one in lines[1:]] == ["keep", "relabel", "drop", "unsure", None]
    assert [one["id"] for one in lines[1:]] == [*queue[:4], queue[3]]
    page.click("[data-tab=export]")
    page.click("text=Save the relabel sheet")
    page.wait_for_selector(".tm-export .tm-kept:has-text('relabel-1.csv')")
    sheet = pl.read_csv(tmp_path / "relabel-1.csv")
    assert sheet.sort("id")["decision"].to_list() == [
        {queue[0]: "keep", queue[1]: "relabel", queue[2]: "drop"}[one] for one in sorted(queue[:3])
    ]
    page.select_option('[aria-label="Class"]', "7")
    page.click("text=Save as a selection card")
    page.wait_for_selector(".tm-export .tm-kept:has-text('selection-1.json')")
    card = tm.Selection.open(tmp_path / "selection-1.json")
    assert card.ids.tolist() == np.flatnonzero(explorer.datamap.labels == 7).tolist()
    again = look(tm.explore(digits / "seed0", "digits", review=tmp_path / "review.jsonl"))
    assert again.evaluate("() => trainmapExplorer.state.now.decisions.size") == 3


def test_two_recordings_stand_side_by_side_and_what_moved_comes_first(digits: Path, look: Look, tmp_path: Path) -> None:
    explorer = tm.explore(digits / "seed0", "digits", beside=digits / "seed1", review=tmp_path / "r.jsonl")
    page = look(explorer)
    page.select_option('[aria-label="Two recordings"]', "both")
    page.wait_for_function("() => document.querySelectorAll('.tm-map:not([hidden])').length === 2")
    page.select_option('[aria-label="Two recordings"]', "difference")
    page.wait_for_selector(".tm-gallery .tm-thumb")
    first, second = explorer.datamap, tm.DataMap.from_dynamics(tm.Dynamics.open(digits / "seed1"))
    moved = np.hypot(*(second.values(name) - first.values(name) for name in ("confidence", "variability")))
    assert int(page.locator(".tm-gallery .tm-thumb").first.get_attribute("data-row")) == int(moved.argmax())
    page.click(".tm-gallery .tm-thumb >> nth=0")
    page.wait_for_function("() => document.querySelectorAll('.tm-example .tm-ribbon').length === 2")


def test_keys_move_over_the_map_and_a_table_says_the_same(explorer: Any, look: Look) -> None:
    page = look(explorer)
    page.focus(".tm-dots")
    page.keyboard.press("ArrowUp")
    until(page, "now.hovered >= 0")
    first = page.evaluate(f"{NOW}.hovered".replace("() => ", "() => "))
    page.keyboard.press("ArrowUp")
    until(page, f"now.hovered !== {first}")
    page.keyboard.press("Enter")
    until(page, "now.pinned === now.hovered")
    label = page.get_attribute(".tm-dots", "aria-label")
    assert "Map of 500 examples: variability to the right, confidence upwards" in label
    page.focus("[data-tab=example]")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.wait_for_selector(".tm-table tbody tr")
    assert page.locator(".tm-table tbody tr").count() == 50
    hardest = int(np.argmin(explorer.datamap.values("confidence")))
    assert page.locator(".tm-table tbody th").first.inner_text() == str(hardest)
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, select, input, canvas[tabindex], audio, img")].filter((one) =>
        one.offsetParent && !(one.textContent.trim() || one.getAttribute("aria-label") || one.title
          || one.labels?.length || one.hasAttribute("alt"))).map((one) => one.outerHTML)"""
    )
    assert unnamed == []


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_shows_all_of_it_in_dark_and_light(explorer: Any, look: Look, dark: bool) -> None:
    page = look(explorer, 390, 844, dark)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    assert page.get_attribute("#trainmap-explorer", "data-theme") == ("dark" if dark else "light")
    ground = page.evaluate("() => getComputedStyle(document.querySelector('#trainmap-explorer')).backgroundColor")
    assert ground == ("rgb(20, 23, 29)" if dark else "rgb(255, 255, 255)")
    for tab in ("gallery", "review", "table", "export", "example"):
        page.click(f"[data-tab={tab}]")
        page.wait_for_timeout(150)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 390, tab
    page.click(".tm-theme")
    assert page.get_attribute("#trainmap-explorer", "data-theme") == ("light" if dark else "dark")


def test_colours_of_words_stand_out_from_their_ground_in_dark_and_light() -> None:
    """At least 4.5 to 1, as WCAG asks for."""
    import re

    def light(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for block in re.findall(r"\{([^}]*--tm-ground[^}]*)\}", style())[:2]:
        colours = dict(re.findall(r"--tm-(\w+): (#\w{6});", block))
        for word in ("ink", "soft", "accent", "blue"):
            for ground in ("ground", "panel"):
                a, b = sorted((light(colours[word]), light(colours[ground])))
                assert (b + 0.05) / (a + 0.05) >= 4.5, (word, ground)


def test_one_file_works_without_a_network(digits: Path, look: Look, browser: Any, tmp_path: Path) -> None:
    explorer = tm.explore(digits / "seed0", "digits", review=tmp_path / "review.jsonl")
    path = explorer.save(tmp_path / "page.html")
    page = look(path.as_uri())
    asked: list[str] = []
    page.on("request", lambda request: None if request.url.startswith("data:") else asked.append(request.url))
    row = loneliest(page)
    page.mouse.move(*at(page, row))
    page.wait_for_selector('.tm-example img[src^="data:image/"]')
    page.focus("#tm-epoch")
    page.keyboard.press("Home")
    until(page, "now.epoch === 1")
    confidence = tm.Dynamics.open(digits / "seed0").column(0, "p_gold")
    shown = page.evaluate("() => Array.from(trainmapExplorer.state.values('confidence'))")
    np.testing.assert_allclose(shown, confidence, atol=1e-5)
    page.click("[data-tab=review]")
    page.keyboard.press("r")
    until(page, "now.decisions.size === 1")
    page.click("[data-tab=export]")
    with page.expect_download() as caught:
        page.click("text=Save the relabel sheet")
    sheet = pl.read_csv(caught.value.path())
    assert sheet.columns == ["id", "label", "decision", "before"]
    assert sheet["id"].to_list() == tm.audit(tm.Dynamics.open(digits / "seed0")).suspected[:1].tolist()
    page.reload()
    page.wait_for_selector("[data-ready=true]")
    assert page.evaluate("() => trainmapExplorer.state.now.decisions.size") == 1
    assert [url for url in asked if not url.startswith(("file:", "blob:"))] == []


HOSTILE = (
    "<script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 2'>",
    "</script><script>window.hacked = 3</script>",
    "<!--<script>",
    "\u202eevil\u0000 ]]> & \" ' `${window.hacked = 4}`",
    "javascript:window.hacked=5",
)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9" onload="parent.hacked=6;window.hacked=6">' + (
    b"<script>window.hacked=7;parent.hacked=7</script><rect width='9' height='9' fill='red'/></svg>"
)


@pytest.mark.parametrize("way", ["served", "file"])
def test_nothing_of_a_dataset_runs(way: str, look: Look, tmp_path: Path) -> None:
    names = np.array([f"{text[:60]}{number}".replace("\0", "") for number, text in enumerate(HOSTILE)])
    generator = np.random.default_rng(0)
    with tm.Recorder(tmp_path / "</title><script>alert(1)", classes=3) as recorder:
        for _ in range(3):
            recorder.update(names, generator.normal(size=(6, 3)), np.arange(6) % 3)
            recorder.end_epoch()

    def show(key: str) -> Any:
        return {"text": key, "<b>field</b>": HOSTILE[1], "picture": SVG}

    explorer = tm.explore(
        tmp_path / "</title><script>alert(1)", show, class_names=HOSTILE[:3], review=tmp_path / "review.jsonl"
    )
    page = look(explorer if way == "served" else explorer.save(tmp_path / "page.html").as_uri())
    for row in range(6):
        page.evaluate(f"() => trainmapExplorer.state.set({{ pinned: {row}, hovered: {row} }})")
        page.wait_for_function(
            "(id) => document.querySelector('.tm-example h2')?.textContent === id", arg=explorer.datamap.ids[row].item()
        )
    for tab in ("gallery", "table", "review"):
        page.click(f"[data-tab={tab}]")
        page.wait_for_timeout(200)
    page.select_option('[aria-label="Colour"]', "class")
    assert page.evaluate("() => window.hacked") is None
    assert page.locator(".tm-explorer script, .tm-explorer b b").count() == 0
    assert page.title().startswith("title><script>alert(1)")
    if way == "served":
        answer = page.request.get(page.url + "ask/media/0/0")
        assert answer.headers["content-type"] == "image/svg+xml"
        assert "sandbox" in answer.headers["content-security-policy"]
        assert answer.headers["content-disposition"] == "attachment"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_notebook_asks_its_kernel(explorer: Any, browser: Any, tmp_path: Path) -> None:
    """The widget's module over a model that is wired to the Python side, as anywidget does it."""
    from trainmap.explorer.notebook import answer_message

    page = browser.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))

    def ask(message: dict[str, Any]) -> dict[str, Any]:
        import base64

        got: list[Any] = []

        class Widget:
            def send(self, content: Any, buffers: Any = ()) -> None:
                got.append({"content": content, "bytes": [base64.b64encode(one).decode() for one in buffers]})

        answer_message(Widget(), explorer, message)
        return got[0]

    page.expose_function("askPython", ask)
    page.set_content(f"<style>{style()}</style><div id=cell></div>")
    (tmp_path / "widget.mjs").write_text(script(start=False))
    page.add_script_tag(
        type="module",
        content=script(start=False).replace(
            "export default { render: renderWidget };",
            """const listeners = [];
            const model = { on: (_, listen) => listeners.push(listen), send: async (message) => {
              const { content, bytes } = await window.askPython(message);
              const buffers = bytes.map((one) =>
                new DataView(Uint8Array.from(atob(one), (c) => c.charCodeAt(0)).buffer));
              for (const listen of listeners) listen(content, buffers); } };
            renderWidget({ model, el: document.getElementById("cell") });""",
        ),
    )
    page.wait_for_selector("[data-ready=true]", timeout=60_000)
    page.click("[data-tab=gallery]")
    page.wait_for_selector('.tm-gallery img[src^="blob:"]')
    page.click("[data-tab=review]")
    page.keyboard.press("k")
    page.wait_for_function("""() => document.querySelector(".tm-review .tm-kept").textContent.includes("; 1 ")""")
    assert len(explorer.review) == 1
    assert wrong == []
    page.close()
