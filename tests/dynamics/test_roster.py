"""Who the examples are, and who was seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainmap.dynamics.roster import NOT_YET, Known, Learned, check_classes
from trainmap.errors import RecordingError


def ids(*names: int) -> Any:
    return np.array(names, np.int64)


def test_known_examples_get_their_rows_and_are_seen() -> None:
    roster = Known(ids(3, 5, 9), ids(0, 1, 2), 3)
    assert roster.take(ids(9, 3), ids(2, 0))[0].tolist() == [2, 0]
    assert (roster.seen, len(roster)) == (2, 3)
    assert roster.arrival.tolist() == [1, NOT_YET, 0]
    assert roster.missing().tolist() == [5]


def test_a_new_epoch_has_seen_nobody_and_knows_the_labels() -> None:
    roster = Known(ids(3, 5), None, 3)
    roster.take(ids(5), ids(2))
    assert roster.new_labels
    roster.start_epoch()
    assert roster.seen == 0
    assert roster.missing().tolist() == [3, 5]
    with pytest.raises(RecordingError, match=r"1 labels changed \(id 5: 2, now 1\)"):
        roster.take(ids(5), ids(1))


def test_labels_are_new_only_when_one_was_learned() -> None:
    roster = Known(ids(3, 5), None, 3)
    roster.take(ids(3), ids(0))
    roster.new_labels = False
    roster.start_epoch()
    roster.take(ids(3), ids(0))
    assert not roster.new_labels
    roster.take(ids(5), ids(1))
    assert roster.new_labels


batches = st.lists(st.lists(st.tuples(st.integers(-1, 6), st.integers(-2, 3)), max_size=4), max_size=8)


@given(batches, st.sampled_from(["given", "unknown", "learned"]))
def test_a_roster_takes_and_refuses_what_a_plain_dictionary_would(
    given_batches: list[list[tuple[int, int]]], kind: str
) -> None:
    """Against a model: ids 0 to 5, classes 0 to 2; every batch is taken whole or changes nothing."""
    labels = np.arange(6) % 3
    roster = Learned(3) if kind == "learned" else Known(np.arange(6), labels if kind == "given" else None, 3)
    gold: dict[int, int] = dict(enumerate(labels.tolist())) if kind == "given" else {}
    seen: list[int] = []
    for batch in given_batches:
        names, golds = [name for name, _ in batch], [label for _, label in batch]
        good = (
            len(set(names)) == len(names)
            and not set(names) & set(seen)
            and all(0 <= label < 3 and gold.get(name, label) == label for name, label in batch)
            and (kind == "learned" or all(0 <= name < 6 for name in names))
        )
        if good:
            rows = roster.take(ids(*names), ids(*golds))[0].tolist()
            assert rows == (list(range(len(seen), len(seen) + len(names))) if kind == "learned" else names)
            seen += names
            gold.update(batch)
        else:
            with pytest.raises(RecordingError):
                roster.take(ids(*names), ids(*golds))
        assert roster.seen == len(seen)
        if isinstance(roster, Known):
            assert roster.labels.tolist() == [gold.get(name, -1) for name in range(6)]
            assert roster.missing().tolist() == sorted(set(range(6)) - set(seen))
            assert [seen.index(name) if name in seen else NOT_YET for name in range(6)] == roster.arrival.tolist()


def test_settled_examples_are_sorted_and_all_seen() -> None:
    learned = Learned(3)
    learned.take(ids(9, 3), ids(2, 0))
    learned.take(ids(), ids())
    learned.take(ids(5), ids(1))
    known, order = learned.settle()
    assert known.ids.tolist() == [3, 5, 9]
    assert known.labels.tolist() == [0, 1, 2]
    assert order.tolist() == [1, 2, 0]
    assert known.arrival.tolist() == [1, 2, 0]
    assert known.seen == 3
    assert learned.take(ids(7), ids(0))[0].tolist() == [3], "settling changes nothing: the epoch may go on"


@pytest.mark.parametrize(
    ("labels", "cure"),
    [
        ([0, -100, 1], "; is that an ignore_index\\? give the Recorder ignore_index=-100, or drop these rows$"),
        ([1, 2, 3], "name the classes, classes=range\\(1, 4\\), or subtract 1$"),
        ([-1, 1, 1], r"; labels of -1 and 1 become 0 and 1: \(labels \+ 1\) // 2$"),
        ([-1, 0, 2], "; -1 is no class: drop these rows$"),
        ([0, 7, 1], r"got 7 \(ids 'b'\)$"),
    ],
)
def test_labels_that_are_no_classes_are_told_what_they_look_like(labels: list[int], cure: str) -> None:
    with pytest.raises(RecordingError, match=cure):
        check_classes(np.array(["a", "b", "c"]), np.array(labels), 3)
