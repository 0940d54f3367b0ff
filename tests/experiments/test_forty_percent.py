"""docs/forty_percent.py on results by hand: losses, costs and marks are what they say."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from page_scripts import DOCS, page_script

from trainmap.errors import TrainmapError

SCRIPT = page_script("forty_percent")
HEADS = "dataset,student,subset,distilled,seed,test_accuracy,whole_flops"


def written(folder: Path, rows: Mapping[str, tuple[Sequence[float], float]]) -> Path:
    """Accuracies by seed and the cost of each row."""
    lines = [
        f'digits,cnn-8,"{name}",False,{seed},{value},{cost}'
        for name, (values, cost) in rows.items()
        for seed, value in enumerate(values)
    ]
    folder.mkdir(exist_ok=True)
    (folder / "results.csv").write_text("\n".join([HEADS, *lines]) + "\n")
    return folder


FULL = ([0.90, 0.91, 0.92], 100.0)


def marks(folder: Path) -> dict[str, str]:
    page = SCRIPT.table(SCRIPT.places_of(folder))
    rows = (line.split(" | ") for line in page.splitlines()[2:])
    return {row[0].removeprefix("| "): row[1] for row in rows}


def test_the_accuracy_is_kept_where_the_whole_interval_lies_above_half_a_point_below(tmp_path: Path) -> None:
    near, far = [0.899, 0.908, 0.92], [0.89, 0.91, 0.92]
    found = marks(written(tmp_path, {"full data": FULL, "schedule near": (near, 60), "schedule far": (far, 60)}))
    assert found["all the data"] == "91.0 ± 2.5 (100 %)"
    assert found["near"] == "−0.1 [−0.3,\N{NO-BREAK SPACE}+0.1] ✓ (60 %)"  # t(2, 0.975) = 4.303; s = 0.1, so 0.25 wide
    assert found["far"] == "−0.3 [−1.8,\N{NO-BREAK SPACE}+1.1] (60 %)"


def test_what_costs_more_than_six_tenths_keeps_nothing_and_a_loss_is_marked(tmp_path: Path) -> None:
    lower = [0.88, 0.891, 0.90]
    found = marks(written(tmp_path, {"full data": FULL, "dear": ([0.901, 0.911, 0.921], 62), "low": (lower, 50)}))
    assert "✓" not in found["dear"]
    assert found["low"].endswith("✗ (50 %)")


def test_training_shorter_is_the_opponent_whose_cost_is_nearest(tmp_path: Path) -> None:
    shorter = "full data, equal steps"
    rows = {f"{shorter} to 45 %": ([0.80] * 3, 45.0), f"{shorter} to 60 %": ([0.85, 0.86, 0.87], 60.0)}
    folder = written(tmp_path, {"full data": FULL, **rows, "schedule a": ([0.87, 0.88, 0.89], 58)})
    page = SCRIPT.against_shorter(SCRIPT.places_of(folder))
    assert page.splitlines()[2:] == ["| a | +2.0 |"]  # the same difference for each seed: no interval


def test_the_tables_of_a_folder_go_between_its_marks_and_again_the_same(tmp_path: Path) -> None:
    folder, page = written(tmp_path / "run", {"full data": FULL, "a": ([0.9, 0.91, 0.93], 50)}), tmp_path / "page.md"
    page.write_text("before\n<!-- run: begin -->\nearlier\n<!-- run: end -->\nafter\n")
    for _ in range(2):
        subprocess.run([sys.executable, DOCS / "forty_percent.py", folder, "--page", page], check=True)
        told = page.read_text()
        assert told.startswith("before\n<!-- run: begin -->\n\n| row | digits, cnn-8 | holds |")
        assert told.endswith("<!-- run: end -->\nafter\n")
        assert "earlier" not in told


def test_a_run_without_results_or_without_all_the_data_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainmapError, match="run the experiment to its end"):
        SCRIPT.places_of(tmp_path)
    with pytest.raises(TrainmapError, match="no finished run on all the data"):
        SCRIPT.places_of(written(tmp_path, {"a": ([0.9], 50)}))
    taught = written(tmp_path, {"full data": FULL}) / "results.csv"
    taught.write_text(taught.read_text().replace("False", "True"))
    with pytest.raises(TrainmapError, match="learn from a teacher"):
        SCRIPT.places_of(tmp_path)
    with pytest.raises(TrainmapError, match="the page has no place for run"):
        SCRIPT.filled("", "run", "")
