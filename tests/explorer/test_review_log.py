"""Decisions are on the disk when they are made, whatever ends the process."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

import trainmap as tm
from trainmap.explorer import Decision, Review, relabel_sheet, write_sheet


def test_the_last_decision_counts_and_undo_takes_it_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "review.jsonl"
    review = Review(path, "data", 10)
    assert not path.exists()
    for one in (Decision(3, "keep"), Decision(4, "relabel", 1, 0), Decision(3, "drop"), Decision(4, None)):
        review.decide(one)
    assert review.decisions == [Decision(3, "drop")]
    review.close()
    assert Review(path, "data", 10).decisions == review.decisions
    assert len(path.read_text().splitlines()) == 5


def test_a_torn_last_line_is_said_and_written_over(tmp_path: Path) -> None:
    path = tmp_path / "review.jsonl"
    first = Review(path, "data", 10)
    first.decide(Decision("a", "keep"))
    first.close()
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"id": "b", "decis')
    again = Review(path, "data", 10)
    assert [one.id for one in again.decisions] == ["a"]
    assert "torn" in again.notes[0]
    again.decide(Decision("c", "drop"))
    again.close()
    assert [json.loads(line).get("id") for line in path.read_text().splitlines()] == [None, "a", "c"]


def test_two_explorers_do_not_write_into_one_file(tmp_path: Path) -> None:
    first, second = (Review(tmp_path / "review.jsonl", "data", 10) for _ in range(2))
    first.decide(Decision(1, "keep"))
    with pytest.raises(tm.StoreError, match="is open in another explorer"):
        second.decide(Decision(2, "keep"))
    first.close()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a review"),
        (b'{"format": "other"}\n', "is not a review"),
        (b'{"format": "trainmap-review", "version": 9, "dataset": "data"}\n', "version 9: upgrade"),
        (b'{"format": "trainmap-review", "version": 1, "dataset": "other"}\n', "of other ids or labels"),
        (b'{"format": "trainmap-review", "version": 1, "dataset": "data"}\n{"id": 1, "decision": "burn"}\n', "burn"),
        (b"\xff\xfe\n", "is not a review"),
    ],
)
def test_another_file_is_refused_and_stays(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "review.jsonl"
    path.write_bytes(content)
    with pytest.raises(tm.TrainmapError, match=message):
        Review(path, "data", 10)
    assert path.read_bytes() == content


def test_a_decision_is_one_of_four_and_a_new_label_goes_with_relabel() -> None:
    with pytest.raises(tm.TrainmapError, match="unknown decision 'burn'"):
        Decision(1, "burn")
    for wrong in (("keep", 3), ("relabel", None)):
        with pytest.raises(tm.TrainmapError, match="exactly where it is 'relabel'"):
            Decision(1, *wrong)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_sheet_says_what_each_label_shall_be(tmp_path: Path, suffix: str) -> None:
    decisions = [Decision(9, "relabel", 1, 0), Decision(2, "drop", None, 1), Decision(5, "keep", None, 0)]
    path = write_sheet(relabel_sheet(decisions, ("cat", "=dog")), tmp_path / f"sheet{suffix}")
    sheet = pl.read_csv(path) if suffix == ".csv" else pl.read_parquet(path)
    assert sheet["id"].to_list() == [2, 5, 9]
    assert sheet["label"].to_list() == [1, 0, 1]
    assert sheet["name"].to_list() == [
        ("'=dog" if suffix == ".csv" else "=dog"),
        "cat",
        "'=dog" if suffix == ".csv" else "=dog",
    ]
    with pytest.raises(tm.TrainmapError, match=r"FILE\.csv or FILE\.parquet"):
        write_sheet(sheet, tmp_path / "sheet.xlsx")
