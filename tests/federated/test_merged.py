"""One map of all clients' examples: that of one recording of them all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from polars.testing import assert_frame_equal
from tests.federated.clients_of import small

from trainmap import DataMap, Dynamics, Recorder, compare
from trainmap.errors import TrainmapError
from trainmap.federated import joined, merged_map

IDS = np.array([3, 14, 15, 92, 65, 35, 89, 79, 32, 38])
LABELS = np.arange(10) % 3


def recorded(folder: Path, rows: Any, epochs: int = 4, classes: int = 3, words: bool = False, **how: Any) -> Dynamics:
    """What is recorded of these rows; what is seen of an example does not depend on the others."""
    rows = np.asarray(rows)
    with Recorder(folder, classes, **how) as recorder:
        for epoch in range(epochs):
            logits = np.stack([np.random.default_rng([epoch, row]).normal(0, 2, classes) for row in rows])
            ids = np.array([f"x{one}" for one in IDS[rows]]) if words else IDS[rows]
            recorder.update(ids, logits, LABELS[rows])
            recorder.end_epoch()
    return Dynamics.open(folder)


@pytest.mark.parametrize("words", [False, True])
def test_the_merged_map_is_that_of_one_recording_of_all(words: bool, tmp_path: Path) -> None:
    whole = DataMap.from_dynamics(recorded(tmp_path / "all", range(10), words=words))
    parts = [
        recorded(tmp_path / str(at), rows, words=words) for at, rows in enumerate(([7, 0, 3], [2], [9, 1, 8, 6, 5, 4]))
    ]
    made = merged_map(parts)
    assert_frame_equal(made.table, whole.table)
    assert made.fingerprint == whole.fingerprint
    assert made.dataset == whole.dataset
    assert (made.epochs, made.source, made.rule) == (whole.epochs, whole.source, whole.rule)
    again = DataMap.open(made.save(tmp_path / "merged.parquet"))
    assert_frame_equal(again.table, whole.table)
    assert_frame_equal(merged_map(parts[::-1]).table, whole.table)
    agreement = compare(made, whole)
    assert all(one.spearman == pytest.approx(1) for one in agreement.scores if not np.isnan(one.spearman))
    assert agreement.regions.agreed == 1


def test_regions_are_of_all_examples_together(tmp_path: Path) -> None:
    made = merged_map([recorded(tmp_path / str(row), [row]) for row in range(10)])
    assert 0 < made.table["region"].is_not_null().sum() < 10
    corner = merged_map([Dynamics.open(tmp_path / str(row)) for row in range(10)], rule="corner")
    assert corner.rule == "corner"
    assert corner.table["region"].null_count() == 0


def test_as_many_epochs_as_all_have_and_the_scores_that_all_have(tmp_path: Path) -> None:
    one, other = recorded(tmp_path / "a", range(5), epochs=4), recorded(tmp_path / "b", range(5, 10), epochs=3)
    assert merged_map([one, other]).epochs == 3
    assert merged_map([one, other], ["confidence"], epochs=2).scores == ["variability", "correctness", "confidence"]
    a, b = DataMap.from_dynamics(one, epochs=3), DataMap.from_dynamics(other)
    extra = a.with_scores(a.ids, {"mine": np.arange(5.0)})
    assert "mine" not in joined([extra, b]).scores


def test_what_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    one, other = recorded(tmp_path / "a", range(5)), recorded(tmp_path / "b", range(4, 10))
    with pytest.raises(TrainmapError, match=r"an example is with one client, 1 id are with several \(first: 65\)"):
        merged_map([one, other])
    with pytest.raises(TrainmapError, match="one number of classes, got none"):
        merged_map([])
    with pytest.raises(TrainmapError, match=r"one number of classes, got \[3, 4\]"):
        merged_map([one, recorded(tmp_path / "c", [9], classes=4)])
    with pytest.raises(TrainmapError, match="the same source"):
        merged_map([one, recorded(tmp_path / "d", [9], source="sweep")])
    with pytest.raises(TrainmapError, match="the same kind of ids"):
        merged_map([one, recorded(tmp_path / "e", [9], words=True)])
    first = DataMap.from_dynamics(one)
    with pytest.raises(TrainmapError, match="the same number of epochs, got 3, 4"):
        joined([first, replace(first, epochs=3)])
    with pytest.raises(TrainmapError, match=r"the same rule of regions, got 'corner 0\.3333', 'quantile 0\.3333'"):
        joined([first, DataMap.from_dynamics(other, rule="corner")])
    with pytest.raises(TrainmapError, match="one map or more, got none"):
        joined([])


def test_the_map_of_a_federation_lies_beside_that_of_one_client_with_everything(tmp_path: Path) -> None:
    many = small(tmp_path / "many", sizes=(40, 40), rounds=3)
    many.run()
    alone = small(tmp_path / "one", sizes=(80,), rounds=3)
    alone.run()
    made = merged_map([Dynamics.open(client.folder) for client in many.clients])
    central = merged_map([Dynamics.open(client.folder) for client in alone.clients])
    assert made.dataset == central.dataset
    found = {one.score: one.spearman for one in compare(made, central, ["confidence", "variability"]).scores}
    assert 0.3 < found["confidence"] < 1
