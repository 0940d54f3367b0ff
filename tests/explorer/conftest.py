"""A recording of digits, and a browser that looks at pages about it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainmap as tm
from trainmap.explorer import serving

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGS = ("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
EPOCHS = 5
FLIPPED = 12  # ids below this carry a wrong label


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of 500 digits under their ids, the first 12 with wrong labels; and a second one by another seed."""
    from sklearn.datasets import load_digits
    from sklearn.linear_model import SGDClassifier

    folder = tmp_path_factory.mktemp("digits")
    x, y = load_digits(return_X_y=True)
    x, y = x[:500] / 16, y[:500].copy()
    y[:FLIPPED] = (y[:FLIPPED] + 5) % 10
    for seed in range(2):
        model = SGDClassifier(loss="log_loss", random_state=seed, learning_rate="constant", eta0=0.02)
        with tm.Recorder(folder / f"seed{seed}", classes=10, source="sweep") as recorder:
            for _ in range(EPOCHS):
                model.partial_fit(x, y, classes=range(10))
                recorder.update(np.arange(500), np.log(np.clip(model.predict_proba(x), 1e-9, 1)), y)
                recorder.end_epoch()
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium, with its graphics in software."""
    if BROWSER is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=list(ARGS))
        yield chromium
        chromium.close()


@pytest.fixture
def look(browser: Any) -> Iterator[Callable[..., Any]]:
    """look(exploration or URL, width, height, dark): its page, drawn. What goes wrong in it fails the test."""
    from contextlib import ExitStack

    wrong: list[str] = []
    with ExitStack() as stack:

        def look(what: Any, width: int = 1120, height: int = 640, dark: bool = False) -> Any:
            url = what if isinstance(what, str) else stack.enter_context(serving(what))
            scheme = "dark" if dark else "light"
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
            stack.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(60_000)
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
            page.goto(url)
            page.wait_for_selector("[data-ready=true]", timeout=60_000)
            return page

        yield look
    assert wrong == []
