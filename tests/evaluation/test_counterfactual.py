from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from trainmap.errors import TrainmapError
from trainmap.evaluation.counterfactual import load_counterfactual

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
