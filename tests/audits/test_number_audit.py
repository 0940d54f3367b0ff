"""Audits of targets, of several labels and of sequences: by hand, and planted errors on top."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainmap as tm
from trainmap.audits.number_audit import audit_numbers


def record(path: Path, batches: Any, **said: Any) -> tm.Dynamics:
    with tm.Recorder(path, **said) as recorder:
        for batch in batches:
            recorder.update(np.arange(len(batch[0])), *batch)
            recorder.end_epoch()
    return tm.Dynamics.open(path)


def test_a_wrong_target_stands_out_with_its_sign_and_what_it_may_be(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    right = np.sin(np.arange(200))
    given = right.copy()
    given[[7, 50]] += [3.0, -2.0]
    batches = [(right * (1 - 0.5**e) + rng.normal(size=200) * 0.1, given) for e in range(1, 6)]
    found = tm.audit(record(tmp_path / "d", batches, kind="regression"))
    assert found.suspected[:2].tolist() == [7, 50]
    assert (found.rule, found.kind) == ("residual", "regression")
    first = found.table.row(0, named=True)
    assert first["residual"] < -2.5
    assert abs(first["suggested"] - right[7]) < 0.5
    assert first["label"] is None
    assert tm.audit(record(tmp_path / "e", batches, kind="regression"), threshold=1e9).suspected.tolist() == []
    assert found.save(tmp_path / "a.csv").exists()
    with pytest.raises(tm.TrainmapError, match="a confusion is of classes"):
        found.confusion(2)
    with pytest.raises(tm.TrainmapError, match="pools the parts of examples"):
        found.per_example()


def test_where_half_of_the_residuals_are_alike_any_other_is_infinitely_far(tmp_path: Path) -> None:
    y = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    found = audit_numbers(record(tmp_path / "d", [(y + np.eye(5)[4], y)], kind="regression"))
    assert found.table["suspicion"].to_list() == [np.inf, 0, 0, 0, 0]
    assert found.suspected.tolist() == [4]


@pytest.mark.parametrize("per", [None, "label"])
def test_a_turned_label_is_the_first_pooled_and_by_itself(per: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    y = (rng.random((80, 3)) < 0.5).astype(int)
    given = y.copy()
    given[5, 2] = 1 - given[5, 2]
    batches = [((2 * y - 1) * e + rng.normal(size=y.shape) * 0.3, given) for e in range(1, 4)]
    said = {"classes": ["sky", "sea", "sun"], "kind": "multilabel", "per": per}
    found = tm.audit(record(tmp_path / "d", batches, **said))
    if per is None:
        assert found.suspected.tolist() == [5]
        return
    first = found.table.row(0, named=True)
    assert (first["id"], first["example"], first["part"]) == ("5/sun", 5, "sun")
    assert first["suggested"] == 1 - first["label"]
    pooled = found.per_example()
    assert pooled.height == 80
    assert pooled.row(0)[0] == 5
    assert pooled.row(0, named=True)["worst"] == "sun"


def test_a_wrong_token_is_found_with_the_names_of_the_classes(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    tags = rng.integers(0, 3, (40, 6))
    given = tags.copy()
    given[3, 4] = (given[3, 4] + 1) % 3
    names = np.array(["O", "B", "I"])
    batches = [(np.eye(3)[tags] * e + rng.normal(size=(40, 6, 3)) * 0.3, names[given]) for e in range(1, 5)]
    found = tm.audit(record(tmp_path / "d", batches, classes=list(names), kind="tokens", per="token"))
    first = found.table.row(0, named=True)
    assert (first["example"], first["part"]) == (3, "4")
    assert (first["label_name"], first["suggested_name"]) == (names[given[3, 4]], names[tags[3, 4]])
    assert found.per_example().row(0, named=True)["id"] == 3


def test_an_epoch_that_was_not_seen_is_left_out(tmp_path: Path) -> None:
    with tm.Recorder(tmp_path / "d", kind="regression", allow_missing=True) as recorder:
        recorder.update([0, 1, 2], [1.1, 2.0, 2.9], [1.0, 2.0, 3.0])
        recorder.end_epoch()
        recorder.update([0, 1], [1.2, 2.1], [1.0, 2.0])
        recorder.end_epoch()
    found = tm.audit(tm.Dynamics.open(tmp_path / "d"))
    assert found.table["suspicion"].null_count() == 0
