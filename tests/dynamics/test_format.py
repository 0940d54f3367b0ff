"""docs/format.md says enough to read a recording without trainmap and without Arrow."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recorded import Run
from trainmap.dynamics.manifest import EpochEntry, Manifest, StatsEntry
from trainmap.dynamics.signals import FLOAT_SIGNALS, SIGNALS
from trainmap.dynamics.stats import COUNTS, EPOCHS, SUMS

PAGE = (Path(__file__).parents[2] / "docs" / "format.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def read_column() -> Any:
    """The page's own reader."""
    found: dict[str, Any] = {}
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(code, found)
    return found["read_column"]


@pytest.mark.parametrize("level", ["signals", "logits"])
def test_the_reader_on_the_page_reads_every_signal(level: Any, read_column: Any, run: Run, tmp_path: Path) -> None:
    folder = run.record(tmp_path / "d", level=level).path
    for entry in json.loads((folder / "manifest.json").read_text())["epochs"]:
        epoch = int(Path(entry["file"]).stem)
        for name in SIGNALS:
            found = read_column(folder / entry["file"], name, "f" if name in FLOAT_SIGNALS else "h")
            np.testing.assert_array_equal(np.array(found), run.block()[name][epoch])


def test_the_reader_on_the_page_reads_every_sum(read_column: Any, run: Run, tmp_path: Path) -> None:
    dynamics = run.record(tmp_path / "d", level="stats")
    for name in (*COUNTS, *EPOCHS, *SUMS):
        found = read_column(tmp_path / "d" / "stats" / "00003.arrow", name, "d" if name in SUMS else "i")
        np.testing.assert_array_equal(np.array(found), dynamics.stats[name])


def test_the_page_names_every_field_and_column() -> None:
    fields = {*Manifest.model_fields, *EpochEntry.model_fields, *StatsEntry.model_fields}
    missing = [name for name in {*fields, *SIGNALS, *COUNTS, *EPOCHS, *SUMS, "logits"} if f"`{name}`" not in PAGE]
    assert not missing
