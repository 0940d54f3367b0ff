"""The explorer's pictures in the docs, of real recordings in a headless Chromium.

    python docs/explorer_pictures.py --out docs     # about 5 minutes: two networks learn Fashion-MNIST and the digits

Needs the Debian package dataset-fashion-mnist, chromium and playwright.
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.neural_network import MLPClassifier

import trainmap as tm
from trainmap.data import open_rows
from trainmap.explorer import serving

ARGS = ("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
PICTURES = ("explorer.png", "explorer-moved.png", "explorer-review.png")


def recorded(folder: Path, data: str, hidden: int, epochs: int, wrong: float, seed: int = 0) -> Path:
    """A network of one hidden layer that learns a dataset's training part, some of its labels exchanged."""
    rows = open_rows(data, Path("data"))
    x = rows.encode(np.arange(len(rows.y)))[0].reshape(len(rows.y), -1) / np.float32(255)
    train, generator = rows.part == "train", np.random.default_rng(1)
    ids, x, y = np.flatnonzero(train), x[train], rows.y[train].copy()
    flipped = generator.random(len(y)) < wrong
    y[flipped] = (y[flipped] + generator.integers(1, rows.classes, flipped.sum())) % rows.classes
    how: dict[str, Any] = {"batch_size": 256 if len(y) > 10_000 else 100, "random_state": seed}
    model = MLPClassifier(hidden, learning_rate_init=0.003, **how)
    with tm.Recorder(folder, rows.classes, source="sweep", overwrite=True) as recorder:
        for _ in range(epochs):
            model.partial_fit(x, y, classes=range(rows.classes))
            recorder.update(ids, model.predict_log_proba(x), y)
            recorder.end_epoch()
    return folder


def kept(page: Any, path: Path) -> None:
    """The page as a PNG of 128 colours."""
    page.wait_for_timeout(1500)
    picture = Image.open(io.BytesIO(page.screenshot()))
    picture.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size:,} bytes")


def main() -> None:
    """Record, look, keep."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        place = Path(name)
        fashion = recorded(place / "fashion-mnist", "fashion-mnist", 64, 8, 0.0)
        large = recorded(place / "64-units", "digits", 64, 15, 0.04)
        small = recorded(place / "12-units", "digits", 12, 15, 0.04)
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(ARGS))

        def look(explorer: Any, dark: bool = False) -> Any:
            page = chromium.new_page(
                viewport={"width": 1360, "height": 860}, color_scheme="dark" if dark else "light", device_scale_factor=1
            )
            page.goto(stack.enter_context(serving(explorer)))
            page.wait_for_selector("[data-ready=true]", timeout=120_000)
            return page

        from contextlib import ExitStack

        with ExitStack() as stack:
            page = look(tm.explore(fashion, "fashion-mnist", review=place / "a.jsonl"))
            page.click('.tm-legend button:has-text("ambiguous")')
            page.evaluate(
                """() => { const { state } = trainmapExplorer; const v = state.values("variability");
                const best = state.now.kept.reduce((a, b) => (v[a] > v[b] ? a : b)); state.set({ pinned: best }); }"""
            )
            page.click("text=Clear filters")
            kept(page, out / PICTURES[0])
            page = look(tm.explore(large, "digits", beside=small, review=place / "b.jsonl"), dark=True)
            page.select_option('[aria-label="Two recordings"]', "difference")
            kept(page, out / PICTURES[1])
            page = look(tm.explore(large, "digits", review=place / "c.jsonl"))
            page.click("[data-tab=review]")
            kept(page, out / PICTURES[2])
        chromium.close()


if __name__ == "__main__":
    main()
