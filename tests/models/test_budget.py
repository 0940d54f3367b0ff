from __future__ import annotations

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainmap.errors import TrainmapError
from trainmap.models.budget import break_even, inference_flops, training_cost, training_flops


def test_break_even_by_hand() -> None:
    assert break_even(90, 30, 10) == 5  # 20 saved in every run: 80 after four, 100 after five
    assert break_even(80, 30, 10) == 4
    assert break_even(0, 30, 10) == 0
    assert break_even(90, 30, 30) == math.inf
    assert break_even(math.inf, 30, 10) == math.inf


@given(st.integers(0, 10**6), st.integers(0, 10**4), st.integers(0, 10**4))
def test_break_even_is_the_first_run_at_which_the_map_has_paid(made: int, full: int, subset: int) -> None:
    runs = break_even(made, full, subset)
    if full <= subset:
        assert runs == math.inf
    else:
        assert runs * (full - subset) >= made
        assert (runs - 1) * (full - subset) < made or runs == 0


def test_the_whole_cost_by_hand() -> None:
    """5 FLOPs for each of 100 examples, twice that backward, and a fourth of what was made once."""
    cost = training_cost(5, 100, map_flops=400, teacher_flops=80, reuses=4)
    assert (cost.forward, cost.backward, cost.map, cost.teacher) == (500, 1000, 100, 20)
    assert cost.total == 1620
    assert training_cost(5, 100).total == training_flops(5, 100) == 1500


def test_a_run_shares_with_itself_at_least() -> None:
    with pytest.raises(TrainmapError, match="reuses must be at least 1"):
        training_cost(5, 100, map_flops=1, reuses=0)


def test_inference_with_flips_costs_twice() -> None:
    assert inference_flops(5, 10) == 50
    assert inference_flops(5, 10, flips=True) == 100


def test_a_report_needs_no_torch() -> None:
    code = "import sys, trainmap.experiments.report.report_files, trainmap.models.budget; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
