"""Every file in examples/ runs as it stands, in a folder of its own, and leaves a picture of its map."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import trainmap

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))
SLOW = ("sft", "grpo")  # they train several times, beside random of the same size
CASES = [pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if path.stem in SLOW else []) for path in EXAMPLES]


def test_there_are_examples() -> None:
    assert {"dataloader", "accelerate_loop", "transformers_trainer", *SLOW} <= {path.stem for path in EXAMPLES}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", CASES)
def test_an_example_runs_as_it_stands(path: Path, tmp_path: Path) -> None:
    paths = [str(Path(trainmap.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "MPLBACKEND": "agg"}
    done = subprocess.run(
        [sys.executable, str(path)], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=800
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip()
    pictures = list(tmp_path.glob("*.png"))
    assert pictures
    assert all(picture.read_bytes().startswith(b"\x89PNG") for picture in pictures)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short_and_says_how_it_is_run(path: Path) -> None:
    text = path.read_text()
    assert f"examples/{path.name}" in text.split('"""')[1]
    assert len(text.splitlines()) <= 100
