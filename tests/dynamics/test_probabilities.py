"""Probabilities in the place of logits: refused, or taken as what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from trainmap.dynamics.probabilities import Doubt, refuse_probabilities
from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.signals import Block
from trainmap.dynamics.store import Dynamics
from trainmap.errors import RecordingError, TrainmapError


def some_p(rows: int = 64, classes: int = 5, seed: int = 0, scale: float = 2) -> Any:
    return softmax(np.random.default_rng(seed).normal(0, scale, (rows, classes)), axis=1)


def sigmoid_pair() -> Any:
    p = 1 / (1 + np.exp(-np.random.default_rng(0).normal(size=64)))
    return np.stack([1 - p, p], axis=1)


LIKE = {
    "softmax": some_p(),
    "single precision": some_p().astype(np.float32),
    "half precision": some_p().astype(np.float16),
    "many classes": some_p(32, 1000).astype(np.float32),
    "many classes in half": some_p(32, 1000).astype(np.float16),
    "bfloat16": torch.tensor(some_p()).bfloat16().float().numpy(),
    "one-hot": np.eye(5)[np.arange(64) % 5],
    "one-hot integers": np.eye(5, dtype=int)[np.arange(64) % 5],
    "uniform": np.full((64, 10), 0.1),
    "a pair of sigmoids": sigmoid_pair(),
    "clipped": np.clip(some_p(), 1e-4, 1 - 1e-4),
    "a forest's shares": np.random.default_rng(0).multinomial(100, [0.2] * 5, 64) / 100,
    "percentages": 100 * some_p(),
    "two rows": some_p(2).astype(np.float32),
}


@pytest.mark.parametrize("name", LIKE)
def test_a_recorder_refuses_probabilities_and_says_what_to_hand_over(name: str, tmp_path: Path) -> None:
    p = LIKE[name]
    with pytest.raises(RecordingError, match=r"no logits: .*before the softmax, or log p .*as_='probabilities'"):
        Recorder(tmp_path / "d", p.shape[1]).update(range(len(p)), p, np.zeros(len(p), int))


def test_every_door_of_logits_refuses_probabilities(tmp_path: Path) -> None:
    import json

    from trainmap.dynamics.exchange.allenai import import_allenai
    from trainmap.evaluation.metrics import calibration_error, evaluate
    from trainmap.evaluation.ood import detect
    from trainmap.schedules import gold_loss

    p, y = some_p(), np.arange(64) % 5
    (tmp_path / "training_dynamics").mkdir()
    lines = [json.dumps({"guid": i, "logits_epoch_0": p[i].tolist(), "gold": int(y[i])}) for i in range(64)]
    (tmp_path / "training_dynamics" / "dynamics_epoch_0.jsonl").write_text("\n".join(lines) + "\n")
    doors: dict[str, Any] = {
        "block": lambda: Block.from_logits(p[None], y),
        "evaluate": lambda: evaluate(p, y),
        "calibration": lambda: calibration_error(p, y),
        "ood": lambda: detect(p, p),
        "schedules": lambda: gold_loss(p, y),
        "schedules of torch": lambda: gold_loss(torch.tensor(p), torch.tensor(y)),
        "allenai": lambda: import_allenai(tmp_path, tmp_path / "out"),
    }
    for door in doors.values():
        with pytest.raises(TrainmapError, match="these are probabilities, no logits"):
            door()
    assert not (tmp_path / "out").exists()


def test_batches_of_one_add_up(tmp_path: Path) -> None:
    recorder, p = Recorder(tmp_path / "d", 5), some_p().astype(np.float32)
    recorder.update([0], p[:1], [0])
    with pytest.raises(RecordingError, match="probabilities"):
        recorder.update([1], p[1:2], [0])


@pytest.mark.parametrize(
    "logits",
    [
        np.zeros((64, 5)),
        np.log(some_p()),
        np.abs(np.random.default_rng(0).normal(size=(64, 5))),
        5 * np.eye(5)[np.arange(64) % 5],
        np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
        np.full((64, 3), 7),
        np.vstack([some_p(56), -np.ones((8, 5))]),
        np.vstack([some_p(9)[:, ::-1].astype(np.float16), np.full((2, 5), 3)]),
        np.empty((0, 5)),
    ],
    ids=["zeros", "log p", "relu", "scaled one-hot", "two by hand", "constant", "many negative", "many odd", "none"],
)
def test_what_is_no_set_of_probabilities_passes(logits: Any) -> None:
    refuse_probabilities(logits)


ODD = {
    "padding": np.zeros(5),
    "rounded below 0": np.array([-1e-9, 0.25, 0.25, 0.25, 0.25]),
    "a negative": np.array([-1.0, 0.5, 0.5, 0.5, 0.5]),
    "not a number": np.full(5, np.nan),
    "twice": np.full(5, 0.4),
}


@pytest.mark.parametrize("place", [0, 100, 199])
@pytest.mark.parametrize("name", ODD)
def test_one_odd_row_does_not_hide_the_others(name: str, place: int) -> None:
    p = some_p(200)
    p[place] = ODD[name]
    with pytest.raises(RecordingError, match=r"these are probabilities, no logits: (199 of 200 rows are|every row is)"):
        refuse_probabilities(p)


def test_two_digits_of_ten_classes_are_found() -> None:
    doubt, refused = Doubt(), 0
    for seed in range(50):
        try:
            doubt.look(np.round(some_p(64, 10, seed), 2))
        except RecordingError:
            refused += 1
        else:
            assert not refused, "whatever comes behind a refusal is refused"
    assert refused > 40


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_behind_a_refusal_everything_alike_is_refused_until_logits_come(size: int, kind: Any) -> None:
    doubt, p, taken = Doubt(), some_p(640).astype(kind), []
    for start in range(0, 640, size):
        try:
            doubt.look(p[start : start + size])
            taken.append(start)
        except RecordingError:
            pass
    assert size * len(taken) < (7 if kind == np.float16 else 3)
    assert taken == [size * k for k in range(len(taken))]
    doubt.look(np.log(p[:size].astype(float)))
    doubt.look(p[:1])


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("size", [1, 2, 4, 60])
def test_who_warns_keeps_no_probability_as_a_logit(
    size: int, held: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    p = torch.tensor(some_p(120)).half()
    if held:
        far = "trainmap.dynamics.class_reading.on_accelerator"
        monkeypatch.setattr(far, lambda value: isinstance(value, torch.Tensor))
    with Recorder(tmp_path / "d", 5, ids=range(120), on_error="warn") as recorder:
        for start in range(0, 120, size):
            rows = np.arange(start, start + size)
            recorder.update(rows, p[start : start + size], np.zeros(size, int))
        recorder.end_epoch()
        assert recorder.refused == (120 // size, 120)
        logits = torch.tensor(np.log(some_p(120)))
        recorder.update(range(120), logits, np.zeros(120, int))
        recorder.end_epoch()
    made = Dynamics.open(tmp_path / "d")
    assert np.isnan(made.column(0, "loss")).all()
    np.testing.assert_allclose(made.column(1, "p_gold"), some_p(120)[:, 0], atol=1e-6)


def test_who_goes_on_after_a_refusal_is_told_what_was_recorded(tmp_path: Path) -> None:
    recorder, p = Recorder(tmp_path / "d", 5), some_p().astype(np.float32)
    recorder.update([0], p[:1], [0])
    with pytest.raises(RecordingError, match=r"so are the 1 rows before them;.*rewind\(0\) begins the epoch anew"):
        recorder.update([1], p[1:2], [0])
    for row in range(2, 64):
        with pytest.raises(RecordingError, match="these are probabilities"):
            recorder.update([row], p[row : row + 1], [0])
    recorder.rewind(0)
    recorder.update(range(64), np.log(p), [0] * 64)
    recorder.end_epoch()


@given(st.integers(0, 2**32), st.sampled_from([2, 3, 10]), st.sampled_from([np.float16, np.float32, np.float64]))
def test_logits_of_any_batch_size_are_never_taken_for_probabilities(seed: int, classes: int, dtype: Any) -> None:
    generator, doubt = np.random.default_rng(seed), Doubt()
    for _ in range(50):
        rows = generator.integers(1, 5)
        doubt.look(generator.normal(0.5, 0.5, (rows, classes)).astype(dtype))


def test_logits_that_look_like_probabilities_are_taken_where_that_is_said(tmp_path: Path) -> None:
    p = some_p()
    with Recorder(tmp_path / "d", 5, as_="logits") as recorder:
        recorder.update(range(64), p, np.zeros(64, int))
        recorder.end_epoch()
    expected = Block.from_logits(p[None], np.zeros(64, int), as_="logits")
    assert Dynamics.open(tmp_path / "d").column(0, "p_gold").tobytes() == expected.p_gold[0].tobytes()


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("kind", ["float32", "float64", "torch", "bfloat16"])
def test_probabilities_are_recorded_as_they_are_where_that_is_said(
    kind: str, held: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    p, labels = some_p(500, 7), np.arange(500) % 7
    given_p: Any = {
        "float32": p.astype(np.float32),
        "float64": p,
        "torch": torch.tensor(p, dtype=torch.float32, requires_grad=True),
        "bfloat16": torch.tensor(p).bfloat16(),
    }[kind]
    if held:
        given_p = torch.as_tensor(given_p)
        monkeypatch.setattr("trainmap.dynamics.class_reading.on_accelerator", lambda value: value is given_p)
    with Recorder(tmp_path / "d", 7, as_="probabilities") as recorder:
        recorder.update(range(500), given_p, labels)
        recorder.end_epoch()
    found = Dynamics.open(tmp_path / "d").column(0, "p_gold")
    expected = p[np.arange(500), labels]
    np.testing.assert_allclose(found, expected, atol=1e-2 if kind == "bfloat16" else 1.2e-7)


def test_a_zero_is_a_masked_class_and_a_gold_zero_names_the_cure(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "d", 3, as_="probabilities")
    with pytest.raises(RecordingError, match=r"gold class must not be masked.*first: 1\).*log\(max\(p, 1e-6\)\)"):
        recorder.update([0, 1], [[1.0, 0.0, 0.0]] * 2, [0, 1])
    recorder.update([0, 1], [[1.0, 0.0, 0.0]] * 2, [0, 0])
    recorder.end_epoch()
    made = Dynamics.open(tmp_path / "d")
    assert made.column(0, "p_gold").tolist() == [1, 1]
    assert made.column(0, "margin").tolist() == [1e9, 1e9]


@pytest.mark.parametrize(
    "wrong",
    [[[0.5, 0.6]], [[1.5, -0.5]], [[2.0, -1.0]], [[np.nan, 1.0]], [[50.0, 50.0]], [[0.5, 0.498]]],
)
def test_what_is_no_probability_is_refused_where_probabilities_are_promised(wrong: Any, tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"probabilities must be 0 to 1 and sum to 1 within .*first: row 0"):
        Recorder(tmp_path / "d", 2, as_="probabilities").update([0], wrong, [0])


def test_another_word_for_what_comes_in_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="as_ must be one of 'logits', 'probabilities', got 'proba'"):
        Recorder(tmp_path / "d", 2, as_="proba")  # type: ignore[arg-type]
