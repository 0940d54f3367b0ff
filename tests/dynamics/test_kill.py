"""A recording killed at any moment opens at its last finished epoch, goes on, and ends with the same bits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def killed(folder: Path, kills: int, seed: int) -> dict[str, object]:
    """Run ``killed.py``, which checks every single kill and prints what it counted."""
    made = subprocess.run(
        [sys.executable, str(HERE / "killed.py"), str(folder), str(kills), str(seed)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout)


def test_a_recording_killed_at_some_random_moments_loses_at_most_the_epoch_under_way(tmp_path: Path) -> None:
    counted = killed(tmp_path, 15, seed=7)
    assert counted["kills"] >= 15  # type: ignore[operator]


@pytest.mark.slow
def test_a_recording_killed_at_200_random_moments_loses_at_most_the_epoch_under_way(tmp_path: Path) -> None:
    counted = killed(tmp_path, 200, seed=1)
    print(json.dumps(counted))
    assert counted["kills"] >= 200  # type: ignore[operator]
    assert set(counted["opened"]) >= {"none", "1", "2", "3", "4", "5"}  # type: ignore[call-overload]
