"""The explorer: how soon its page stands, how long a frame takes, what a file weighs.

    python benchmarks/explorer.py                 50,000 and 1,000,000 examples, 10 epochs, headless Chromium
    python benchmarks/explorer.py --examples 50000

Chromium draws in software (SwiftShader) here: a machine with a graphics card draws many times faster. A frame is one
step of panning, from its event until its pixels can be read.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

import trainmap as tm
from trainmap.errors import TrainmapError
from trainmap.explorer import serving

EPOCHS = 10
ARGS = ("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
FRAMES = """async () => {
  const { view } = trainmapExplorer.first;
  const gl = view.plot.get("regl")._gl;
  const out = [];
  for (let k = 0; k < 9; k++) {
    const start = performance.now();
    const drawn = new Promise((done) => view.plot.subscribe("draw", done, 1));
    view.plot.get("camera").pan([0.01, 0]);
    view.redraw();
    await drawn;
    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
    out.push(performance.now() - start);
  }
  return out;
}"""
TIMED = """async (change) => {
  const { state, first } = trainmapExplorer;
  const start = performance.now();
  await eval(change);
  await first.drawing;
  return performance.now() - start;
}"""


def recorded(folder: Path, examples: int, classes: int = 10) -> Path:
    """A recording of examples that are learned at different paces; some never."""
    generator = np.random.default_rng(0)
    labels = generator.integers(classes, size=examples)
    pace, noise = generator.gamma(1.5, 0.6, examples), generator.random(examples) < 0.03
    with tm.Recorder(folder, classes, np.arange(examples), labels, source="sweep", overwrite=True) as recorder:
        for epoch in range(EPOCHS):
            for start in range(0, examples, 100_000):
                rows = slice(start, min(start + 100_000, examples))
                logits = generator.normal(size=(rows.stop - start, classes)).astype(np.float32)
                gain = np.where(noise[rows], -1, 1) * pace[rows] * (epoch + 1) * 0.6
                logits[np.arange(len(logits)), labels[rows]] += gain.astype(np.float32)
                recorder.update(np.arange(start, rows.stop), logits, labels[rows])
            recorder.end_epoch()
    return folder


def main() -> None:
    """Measure and print."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, nargs="+", default=[50_000, 1_000_000])
    sizes = parser.parse_args().examples
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise SystemExit("no chromium here: apt-get install chromium")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(ARGS))
        for examples in sizes:
            folder = recorded(Path(name) / str(examples), examples)
            start = time.perf_counter()
            explorer = tm.explore(folder)
            made = time.perf_counter() - start
            page = browser.new_page(viewport={"width": 1400, "height": 900})
            page.set_default_timeout(300_000)
            with serving(explorer) as url:
                start = time.perf_counter()
                page.goto(url)
                page.wait_for_selector("[data-ready=true]")
                ready = time.perf_counter() - start
                frames = page.evaluate(FRAMES)
                colour = page.evaluate(TIMED, "state.set({ colour: 'class' })")
                kept = page.evaluate(TIMED, "state.filter({ classes: new Set([3]) })")
                whole = page.evaluate(TIMED, "state.filter({ classes: null })")
                epoch = page.evaluate(TIMED, "trainmapExplorer.slider.go(4)")
            page.close()
            try:
                file = explorer.save(Path(name) / f"{examples}.html", max_bytes=400_000_000)
                weight = f"{file.stat().st_size:,} bytes"
            except TrainmapError as error:
                weight = str(error)
            print(f"{examples:,} examples x {EPOCHS} epochs: scores and audit {made:.1f} s; page drawn {ready:.1f} s;")
            print(f"  frame {statistics.median(frames):.0f} ms (median of {len(frames)}), recolour {colour:.0f} ms,")
            print(
                f"  filter a class {kept:.0f} ms and back {whole:.0f} ms, another epoch {epoch:.0f} ms; file {weight}"
            )
        browser.close()


if __name__ == "__main__":
    main()
