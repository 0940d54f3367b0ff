"""docs/leaderboard.py on a tiny run: the page says what the runs say, and the same again."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_scripts import page_script
from studies import planned, run

import trainmap as tm
from trainmap.errors import StoreError
from trainmap.selection.entry import Strategy
from trainmap.selection.strategies import STRATEGIES

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "docs" / "leaderboard.py"

TINY = """
title: tiny
label: ""
data: {names: [digits], limit: {train: 100, test: 60}}
teachers: [{model: mlp-256, epochs: 2}]
students: [{model: mlp-256, epochs: 2}]
subsets:
  - full
  - random
  - {strategy: ccs, name: CCS}
  - schedule: {name: disjoint-random, size: 0.4}
    name: RS2
  - schedule: {name: seta}
    name: SeTa
sizes: [0.4]
seeds: [0, 1]
grid: {zip: {data.label_noise: [0, 0.2]}}
"""


@pytest.fixture(scope="module")
def board() -> Any:
    return page_script("leaderboard")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on two sets."""
    where = tmp_path_factory.mktemp("tiny")
    return run(*planned(TINY, where), where / "out")


def test_a_method_is_a_function_and_a_line(
    board: Any, monkeypatch: pytest.MonkeyPatch, make_map: Any, tmp_path: Path
) -> None:
    block = next(block for block in re.findall(r"```python\n(.*?)```", board.ADD, re.DOTALL) if "def closest" in block)
    made: dict[str, Any] = {}
    exec(block, made)
    datamap = make_map(9, loss=[0, 1, 2, 3, 4, 5, 6, 7, 8])
    assert tm.select_by(datamap, made["closest"], 3).ids.tolist() == [3, 4, 5]
    monkeypatch.setitem(STRATEGIES, "closest", Strategy("closest", made["closest"], "a paper"))  # pyright: ignore
    assert tm.select_by(datamap, "closest", 3).ids.tolist() == [3, 4, 5]
    study, _ = planned(TINY.replace("ccs, name: CCS", "closest, name: closest"), tmp_path)
    assert {line.labels["subset"] for line in study.lines} >= {"closest 40 %", "random 40 %"}


def test_every_row_stands_on_the_page(board: Any, folder: Path) -> None:
    rows = board.by_row(board.cells_of(folder))
    assert set(rows) == {"CCS", "RS2", "SeTa"}
    assert [len(cells) for cells in rows.values()] == [2, 2, 2]
    assert "| **CCS** | 2 | 2 | 40 % |" in board.page(folder)


def test_the_page_has_its_parts_and_is_the_same_again(board: Any, folder: Path, tmp_path: Path) -> None:
    page = board.page(folder)
    for told in (
        "## In short",
        "| row | n | sets |",
        "## Does anything beat fresh draws?",
        "| **CCS** | RS2 |",
        "## Set by set",
        "arXiv:2210.15809",
        "## Add a method",
        "2 development",
    ):
        assert told in page
    out = tmp_path / "page.md"
    subprocess.run([sys.executable, str(SCRIPT), str(folder), "--out", str(out)], check=True, timeout=120)
    assert out.read_text() == page


def test_differences_are_paired_with_random_of_the_size(board: Any, folder: Path) -> None:
    cells = [cell for cell in board.cells_of(folder) if cell.series == "CCS"]
    assert [cell.opponent for cell in cells] == ["random 40 %", "random 40 %"]
    by_hand = [np.mean([cell.values[seed] - cell.random[seed] for cell in cells]) for seed in range(2)]
    found = board.over_sets(cells, "random")
    assert found.mean == pytest.approx(np.mean(by_hand))
    assert found.n == 2


def test_every_row_but_the_fresh_draws_themselves_stands_beside_those_nearest_in_size(board: Any, folder: Path) -> None:
    cells = board.cells_of(folder)
    held = [cell for cell in cells if cell.fresh]
    assert {cell.series for cell in held} == {"CCS", "SeTa"}
    (drawn,) = (cell for cell in cells if (cell.series, cell.place) == ("RS2", held[0].place))
    ccs = next(cell for cell in held if cell.series == "CCS")
    assert (ccs.rival, ccs.fresh) == ("RS2", drawn.values)
    by_hand = np.mean([ccs.values[seed] - drawn.values[seed] for seed in range(2)])
    assert ccs.versus("fresh").mean == pytest.approx(by_hand)


def test_the_nearest_of_several_fresh_draws_is_the_opponent(board: Any) -> None:
    even = {0: 0.5, 1: 0.5}
    drawn = [
        cell(board, even, even, series=name, kept=kept) for name, kept in (("RS2", 0.33), ("RS2, two thirds", 0.67))
    ]
    others = [cell(board, even, even, kept=kept) for kept in (0.1, 0.4, 0.6, 0.9)] + [cell(board, even, {})]
    held = board.held_against_fresh([*others, *drawn])
    assert [one.rival for one in held] == ["RS2", "RS2", "RS2, two thirds", "RS2, two thirds", "", "", ""]
    assert board.held_against_fresh(others) == others  # no fresh draws at all


def test_marks_are_corrected_for_each_opponent_over_the_rows_of_a_set(board: Any) -> None:
    random, fresh = {0: 0.4, 1: 0.4, 2: 0.4}, {0: 0.5, 1: 0.5, 2: 0.5}
    clear = cell(board, {0: 0.500, 1: 0.501, 2: 0.502}, random, fresh=fresh)
    weak = cell(board, {0: 0.41, 1: 0.43, 2: 0.45}, random, fresh=random)
    alone, *_ = board.marked([weak])
    both = board.marked([clear, weak])
    assert alone.firm == frozenset()
    assert [one.firm for one in both] == [{"random"}, frozenset()]
    assert board.tally(both, board.Verdict.ABOVE, "random") == "1 (1)"
    assert board.tally(both, board.Verdict.ABOVE, "fresh") == "0 (0)"


def test_everything_counts_in_the_cost(board: Any, folder: Path) -> None:
    cost = {cell.name: cell.cost for cell in board.cells_of(folder)}
    assert cost["full data"] == 1
    assert cost["random 40 %"] == pytest.approx(0.4, abs=0.01)
    assert cost["CCS 40 %"] == pytest.approx(1.4, abs=0.01)  # the map is a training of the same network
    assert cost["schedule SeTa"] < 1


def cell(board: Any, values: Mapping[int, float], random: Mapping[int, float], **other: Any) -> Any:
    told = {"place": "a", "name": "x 10 %", "series": "x", "full": {}, "firm": frozenset(), "opponent": "random 10 %"}
    return board.Cell(**(told | {"cost": 1.0, "kept": 0.1, "values": values, "random": random} | other))


def test_a_mean_over_sets_takes_the_seeds_that_all_of_them_have(board: Any) -> None:
    one = cell(board, {0: 0.5, 1: 0.7, 2: 0.9}, {0: 0.4, 1: 0.4, 2: 0.1})
    other = cell(board, {0: 0.5, 1: 0.5}, {0: 0.6, 1: 0.4}, place="b")
    found = board.over_sets([one, other], "random")
    assert found.n == 2
    assert found.mean == pytest.approx((0.0 + 0.2) / 2)
    assert board.over_sets([one], "full") is None
    assert board.over_sets([cell(board, {0: 1.0}, {1: 1.0})], "random") is None


def test_numbers_are_told_in_points_with_their_interval(board: Any) -> None:
    found = board.over_sets([cell(board, {0: 0.50, 1: 0.52, 2: 0.54}, {0: 0.5, 1: 0.5, 2: 0.5})], "random")
    assert board.told(found) == "+2.0 [−3.0,\N{NO-BREAK SPACE}+7.0]"
    assert board.told(board.over_sets([cell(board, {0: 0.5}, {0: 0.6})], "random")) == "−10.0"
    assert [board.signed(share) for share in (0.0, 0.0004, -0.0004, 0.0006)] == ["0.0", "0.0", "0.0", "+0.1"]
    assert board.told(None) == "–"
    assert board.share([math.nan]) == "–"
    assert board.share([0.5, math.nan, 1.0]) == "75 %"


def test_verdicts_are_counted_with_and_without_the_correction(board: Any) -> None:
    high = cell(board, {0: 0.50, 1: 0.52, 2: 0.51}, {0: 0.4, 1: 0.4, 2: 0.4}, firm=frozenset({"random"}))
    low = cell(board, {0: 0.30, 1: 0.32, 2: 0.31}, {0: 0.4, 1: 0.4, 2: 0.4}, place="b")
    assert board.tally([high, low], board.Verdict.ABOVE) == "1 (1)"
    assert board.tally([high, low], board.Verdict.BELOW) == "1 (0)"


def test_rows_of_several_sizes_stand_by_their_names(board: Any) -> None:
    random = {0: 0.1, 1: 0.2}
    both = [cell(board, {0: 0.3, 1: 0.5}, random), cell(board, {0: 0.4, 1: 0.5}, random, name="x 20 %")]
    assert list(board.by_row(both)) == ["x 20 %", "x 10 %"]
    assert list(board.by_row(both[:1])) == ["x"]


def test_a_folder_without_an_experiment_is_refused(board: Any, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no experiment"):
        board.cells_of(tmp_path)


def test_every_row_of_the_file_has_a_paper_or_is_ours(board: Any) -> None:
    import yaml

    told = yaml.safe_load((ROOT / "experiments" / "leaderboard.yaml").read_text())
    names = [one["name"] for one in told["subsets"] if isinstance(one, dict) and "name" in one]
    assert set(names) <= set(board.CLAIMS)
