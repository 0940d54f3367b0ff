"""The study's *_training_dynamics.json: what its callback writes comes in, and goes out again as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trainmap.dynamics.exchange import study_json as study
from trainmap.dynamics.exchange.allenai import import_allenai
from trainmap.dynamics.exchange.pred_probs import import_pred_probs
from trainmap.dynamics.exchange.study_json import export_study, import_study
from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.store import Dynamics
from trainmap.errors import StoreError, TrainmapError


def entries(p: Any, correct: Any) -> dict[str, dict[str, Any]]:
    """What the study's callback holds at the end: position -> numbers, from float32 probabilities (N, E)."""
    p = np.asarray(p, np.float32)
    epochs = np.arange(p.shape[1])
    return {
        str(position): {
            "gold_label_probs": row.tolist(),
            "confidence": float(np.mean(row)),
            "variability": float(np.std(row)),
            "correctness": float(np.mean(right)),
            "forgetfulness": 0 if len(row) == 1 else float(np.polyfit(epochs, row, 1)[0]),
        }
        for position, (row, right) in enumerate(zip(p, correct, strict=True))
    }


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=4))
    return path


def example(examples: int = 12, epochs: int = 4) -> dict[str, dict[str, Any]]:
    rng = np.random.default_rng(0)
    return entries(rng.random((examples, epochs)), rng.random((examples, epochs)) < 0.5)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(2, 4).flatmap(
        lambda epochs: hnp.arrays(
            np.float32, st.tuples(st.integers(1, 12), st.just(epochs)), elements=st.floats(0, 1, width=32)
        )
    )
)
def test_a_file_goes_in_and_comes_out_with_equal_numbers(tmp_path_factory: pytest.TempPathFactory, p: Any) -> None:
    root = tmp_path_factory.mktemp("study")
    content = entries(p, p > 0.5)
    first = import_study(write(root / "a.json", content), root / "first", classes=10)
    assert json.loads(export_study(first, root / "b.json").read_text()) == content
    assert first.block().p_gold.tobytes() == np.ascontiguousarray(p.T).tobytes()
    assert import_study(root / "b.json", root / "second", classes=10).manifest == first.manifest


def test_the_recording_says_what_it_does_not_know(tmp_path: Path) -> None:
    made = import_study(write(tmp_path / "a.json", example()), tmp_path / "d", classes=10)
    assert (made.source, made.level, made.signals) == ("sweep", "signals", ("p_gold",))
    assert made.labels.tolist() == [-1] * 12
    assert made.ids.tolist() == list(range(12))


def test_labels_are_given_by_id(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", example())
    made = import_study(path, tmp_path / "d", classes=10, labels={i: (7 * i) % 10 for i in range(12)})
    assert made.labels.tolist() == [(7 * i) % 10 for i in range(12)]
    with pytest.raises(TrainmapError, match=r"labels lack 1 of 12 ids \(first: 11\)"):
        import_study(path, tmp_path / "e", classes=10, labels=dict.fromkeys(range(11), 0))
    with pytest.raises(TrainmapError, match="labels must be 0 to 9, got 0 to 10"):
        import_study(path, tmp_path / "e", classes=10, labels=dict(enumerate(range(12))) | {11: 0})


def test_integer_keys_sort_as_numbers_and_stay_strings_on_request(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", example())
    assert import_study(path, tmp_path / "d", classes=2).ids.tolist() == list(range(12))
    names = import_study(path, tmp_path / "e", classes=2, id_type="string").ids.tolist()
    assert names == sorted(map(str, range(12)))


def test_names_as_keys_are_string_ids(tmp_path: Path) -> None:
    content = dict(zip(["b", "ä", "07"], example(3).values(), strict=True))
    made = import_study(write(tmp_path / "a.json", content), tmp_path / "d", classes=2)
    assert made.ids.tolist() == ["07", "b", "ä"]
    np.testing.assert_array_equal(made.block().p_gold[:, 1], np.float32(content["b"]["gold_label_probs"]))
    with pytest.raises(StoreError, match="not every key is an integer"):
        import_study(tmp_path / "a.json", tmp_path / "e", classes=2, id_type="int64")


def test_a_file_is_read_piece_by_piece_wherever_the_pieces_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.json", example())
    whole = import_study(path, tmp_path / "whole", classes=2)
    for characters in (1, 7, 100):
        monkeypatch.setattr(study, "TEXT_CHARACTERS", characters)
        assert import_study(path, tmp_path / str(characters), classes=2).manifest == whole.manifest


def test_a_recording_exports_the_numbers_of_the_study(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    labels = np.arange(30) % 4
    with Recorder(tmp_path / "d", 4, source="sweep") as recorder:
        for _ in range(5):
            recorder.update(np.arange(30), rng.normal(size=(30, 4)), labels)
            recorder.end_epoch()
    block = Dynamics.open(tmp_path / "d").block()
    got = json.loads(export_study(Dynamics.open(tmp_path / "d"), tmp_path / "out" / "a.json").read_text())
    expected = entries(block.p_gold.T, block.correct.T)
    assert list(got) == list(expected)
    for key, entry in expected.items():
        assert got[key]["gold_label_probs"] == entry["gold_label_probs"]
        for name in study.NUMBERS:
            assert got[key][name] == pytest.approx(entry[name], abs=1e-6)


def test_one_epoch_has_slope_zero_as_in_the_study(tmp_path: Path) -> None:
    with Recorder(tmp_path / "d", 3) as recorder:
        recorder.update([1, 2], np.eye(3)[:2], [0, 1])
        recorder.end_epoch()
    got = json.loads(export_study(Dynamics.open(tmp_path / "d"), tmp_path / "a.json").read_text())
    assert [entry["forgetfulness"] for entry in got.values()] == [0, 0]


def broken(**fields: Any) -> dict[str, dict[str, Any]]:
    content = example()
    content["3"] |= fields
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            json.dumps(broken(gold_label_probs=[0.1, 0.2, 1.5, 0.1])),
            "example 3 must have probabilities in 0 to 1, got 0.1",
        ),
        (
            json.dumps(broken(gold_label_probs=[0.1, float("nan"), 0.5, 0])),
            "example 3 must have probabilities in 0 to 1",
        ),
        (json.dumps(broken(gold_label_probs=[0.1])), "example 3 has 1 epochs, the first has 4"),
        (json.dumps(broken(gold_label_probs="x")), "example 3 must have 'gold_label_probs', a list of numbers"),
        (json.dumps(broken(correctness=None)), "example 3 must have a finite number 'correctness', got null"),
        (json.dumps(example())[:-30], "must be one JSON object, whole"),
        (json.dumps(example()) + "{}", "more text after the object"),
        (json.dumps(example()).replace('"5":', '"4":'), r"ids must be distinct; .*4"),
        ("[1, 2]", "must be one JSON object, whole: expected one of {"),
        ("", "must be one JSON object, whole: expected one of {, got the end"),
        ("{}", "holds no examples"),
    ],
)
def test_a_file_that_is_not_as_it_must_be_is_an_error_and_leaves_nothing(
    tmp_path: Path, content: str, message: str
) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(TrainmapError, match=message):
        import_study(tmp_path / "a.json", tmp_path / "d", classes=10)
    assert [item.name for item in tmp_path.iterdir()] == ["a.json"]


def test_a_missing_file_and_too_few_classes_are_errors(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no file"):
        import_study(tmp_path / "a.json", tmp_path / "d", classes=10)
    with pytest.raises(TrainmapError, match="classes must be at least 2, got 1"):
        import_study(write(tmp_path / "a.json", example()), tmp_path / "d", classes=1)


def test_what_the_format_cannot_say_is_not_exported(tmp_path: Path) -> None:
    with Recorder(tmp_path / "d", 3, ids=[1, 2], labels=[0, 1], allow_missing=True) as recorder:
        recorder.update([1], np.zeros((1, 3)), [0])
        recorder.end_epoch()
    with pytest.raises(TrainmapError, match="no place for examples that an epoch did not see"):
        export_study(Dynamics.open(tmp_path / "d"), tmp_path / "a.json")
    assert not (tmp_path / "a.json").exists()


def test_a_wrong_source_and_a_folder_that_is_taken_are_found_before_the_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").write_text("x")
    mistakes: list[tuple[dict[str, Any], str]] = [
        ({"out": tmp_path / "d", "source": "foo"}, "source must be one of 'train', 'sweep', 'held-out', got 'foo'"),
        ({"out": tmp_path / "taken"}, r"must be a new or an empty folder, it holds 'notes\.txt'"),
    ]
    for words, message in mistakes:
        with pytest.raises(TrainmapError, match=message):
            import_study(tmp_path / "nowhere.json", classes=2, **words)
        with pytest.raises(TrainmapError, match=message):
            import_allenai(tmp_path / "nowhere", **words)
        with pytest.raises(TrainmapError, match=message):
            import_pred_probs([], labels=["no", "labels"], **words)


def test_a_key_that_is_no_text_is_named(tmp_path: Path) -> None:
    content = dict(zip(["a", "\ud800"], entries([[0.5], [0.5]], [[1], [1]]).values(), strict=True))
    path = tmp_path / "study.json"
    path.write_text(json.dumps(content))
    with pytest.raises(
        StoreError, match=r"study\.json: string ids must be text that UTF-8 can write, got '\\ud800'; re"
    ):
        import_study(path, tmp_path / "d", 2)
    assert not (tmp_path / "d").exists()
