from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from trainmap.data.dataset import Dataset
from trainmap.data.elsewhere import Revised
from trainmap.errors import TrainmapError
from trainmap.evaluation.counterfactual import consistency, load_counterfactual

PARTS = ("original", "revised_premise", "revised_hypothesis")
LABELS = ("neutral", "entailment", "contradiction")


def pairs() -> pl.DataFrame:
    """Three pairs for each part and split; the revised ones use a word that the original training part lacks."""
    rows = [
        {"part": part, "split": split, "label": label, "premise": f"a man {part} runs", "hypothesis": "a man moves"}
        for split in ("train", "dev", "test")
        for part in PARTS
        for label in LABELS
    ]
    return pl.DataFrame(rows)


def test_the_original_and_the_revised_pairs_are_kept_apart(tmp_path: Path) -> None:
    pairs().write_parquet(tmp_path / "cad_nli.parquet")
    splits, shifts = load_counterfactual(tmp_path)
    assert splits.train.ids.tolist() == [0, 1, 2]
    assert splits.validation.ids.tolist() == [9, 10, 11]
    assert splits.test.ids.tolist() == [18, 19, 20]
    assert shifts["revised premise"].ids.tolist() == [21, 22, 23]
    assert shifts["revised hypothesis"].ids.tolist() == [24, 25, 26]
    assert splits.test.y.tolist() == [2, 1, 0]
    for dataset in shifts.values():
        assert dataset.inputs == splits.test.inputs
        assert dataset.classes == 3


def test_the_vocabulary_is_that_of_the_original_training_pairs(tmp_path: Path) -> None:
    (tmp_path / "cad_nli").mkdir()
    pairs().write_parquet(tmp_path / "cad_nli" / "cad_nli.parquet")
    splits, shifts = load_counterfactual(tmp_path)
    known = splits.train.x[0]
    revised = shifts["revised premise"].x[0]
    # "a man original runs | a man moves": only the part's name differs, and it is unknown (1) in the revised pair
    assert np.flatnonzero(known != revised).tolist() == [2]
    assert revised[2] == 1
    assert known[2] > 1


def test_files_that_are_not_what_they_must_be_are_told(tmp_path: Path) -> None:
    with pytest.raises(TrainmapError, match=r"put cad_nli\.parquet"):
        load_counterfactual(tmp_path)
    with pytest.raises(TrainmapError, match="representation must be"):
        load_counterfactual(tmp_path, "words")  # type: ignore[arg-type]
    file = tmp_path / "cad_nli.parquet"
    pairs().drop("premise").write_parquet(file)
    with pytest.raises(TrainmapError, match="it lacks premise"):
        load_counterfactual(tmp_path)
    pairs().with_columns(label=pl.lit("maybe")).write_parquet(file)
    with pytest.raises(TrainmapError, match="labels must be contradiction"):
        load_counterfactual(tmp_path)
    pairs().filter(pl.col("split") != "test").write_parquet(file)
    with pytest.raises(TrainmapError, match="no rows with part 'original' and split 'test'"):
        load_counterfactual(tmp_path)


def test_consistency_is_right_on_an_example_and_on_all_of_its_revisions() -> None:
    def of(ids: list[int], labels: list[int]) -> Dataset:
        return Dataset("d", np.array(ids), np.zeros((len(ids), 1), np.float32), np.array(labels), 2)

    test = of([10, 11, 12, 13], [0, 1, 0, 1])
    first = Revised(of([1, 2, 3], [1, 0, 1]), np.array([10, 11, 10]))
    second = Revised(of([4], [1]), np.array([12]))
    right = [(first, np.array([1, 0, 1])), (second, np.array([1]))]
    assert consistency(test, np.array([0, 1, 0, 0]), right) == 1.0  # 13 has no revision and does not count
    assert consistency(test, np.array([0, 0, 0, 1]), right) == pytest.approx(2 / 3)
    once_wrong = [(first, np.array([1, 0, 0])), (second, np.array([0]))]
    assert consistency(test, np.array([0, 1, 0, 1]), once_wrong) == pytest.approx(1 / 3)
    short = [(second, np.zeros(2, np.int64))]
    for predicted, theirs in ((np.zeros(3, np.int64), right), (np.zeros(4, np.int64), short)):
        with pytest.raises(TrainmapError, match="predictions must be of"):
            consistency(test, predicted, theirs)
    with pytest.raises(TrainmapError, match="there are no revisions"):
        consistency(test, np.zeros(4, np.int64), [])
