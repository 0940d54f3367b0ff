"""Running sums: the sums that they say, one file however many epochs, and as safe as the epochs themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorded import Run
from trainmap.dynamics.signals import FLOAT_SIGNALS, Block
from trainmap.dynamics.stats import COUNTS, EARLY, EPOCHS, ROWS, SUMS, Stats, add_epoch, empty_stats
from trainmap.dynamics.store import Dynamics
from trainmap.errors import StoreError, TrainmapError


def sums_of(block: Block) -> Stats:
    stats = empty_stats(len(block))
    for epoch in range(block.epochs):
        stats = add_epoch(stats, {name: column[epoch] for name, column in block.signals.items()}, block.labels)
    return stats


def test_one_example_by_hand() -> None:
    """Right, wrong, not seen, right, right; p = 3/4, 1/4, -, 1/2, 1/2."""
    nan = np.nan
    p = np.array([[0.75], [0.25], [nan], [0.5], [0.5]], np.float32)
    predicted = np.array([[1], [0], [-1], [1], [1]], np.int16)
    others = {
        name: np.where(np.isnan(p), p, p * 2).astype(np.float32) for name in ("margin", "loss", "entropy", "el2n")
    }
    stats = sums_of(Block(np.array([1]), 2, {"p_gold": p, "predicted": predicted, **others}, complete=False))
    found = {name: column.item() for name, column in stats.columns.items()}
    assert stats.epochs == 5
    assert found == {
        "visits": 4,
        "early_visits": 4,
        "correct": 3,
        "forgotten": 1,
        "first_right": 0,
        "right_since": 3,
        "p_gold": 2.0,
        "p_spread": pytest.approx(0.125),  # mean 1/2: 1/16 + 1/16
        "epoch": 8,
        "epoch_spread": pytest.approx(10),  # epochs 0 1 3 4, mean 2: 4 + 1 + 1 + 4
        "p_by_epoch": pytest.approx(-2 * 0.25 + -1 * -0.25),
        "aleatoric": 3 / 16 + 3 / 16 + 1 / 4 + 1 / 4,
        "margin": 4.0,
        "loss": 4.0,
        "entropy": 4.0,
        "el2n": 4.0,
    }


def test_an_example_that_was_never_seen_has_no_sums() -> None:
    stats = sums_of(Block.from_logits(np.full((2, 1, 3), np.nan), np.array([0])))
    assert all(stats[name].item() == 0 for name in (*SUMS, *COUNTS))
    assert all(stats[name].item() == -1 for name in EPOCHS)
    assert np.isnan(stats.mean("loss")).all()
    assert np.isnan(stats.early_mean()).all()


def test_spreads_lose_no_digits_where_a_sum_of_squares_would() -> None:
    """p stays within 1e-6 of 1 for 500 epochs: squares differ from each other in the 12th digit."""
    generator = np.random.default_rng(0)
    p = (1 - generator.random((500, 1)) * 1e-6).astype(np.float32)
    signals = dict.fromkeys(FLOAT_SIGNALS, p)
    stats = sums_of(Block(np.array([0]), 2, {**signals, "predicted": np.zeros((500, 1), np.int16)}))
    exact = p.astype(np.float64)
    assert stats["p_spread"].item() / 500 == pytest.approx(exact.var(), rel=1e-6)
    slope = np.polynomial.polynomial.polyfit(np.arange(500.0), exact[:, 0] - 1, 1)[1]
    assert stats["p_by_epoch"].item() / stats["epoch_spread"].item() == pytest.approx(slope, rel=1e-6)


def test_el2n_is_summed_over_the_early_epochs_only() -> None:
    p = np.ones((EARLY + 3, 1), np.float32)
    signals = dict.fromkeys(FLOAT_SIGNALS, p)
    stats = sums_of(Block(np.array([0]), 2, {**signals, "predicted": np.zeros((EARLY + 3, 1), np.int16)}))
    assert stats["el2n"].item() == stats["early_visits"].item() == EARLY
    assert stats["loss"].item() == stats["visits"].item() == EARLY + 3


def test_adding_an_epoch_leaves_the_sums_before_it_as_they_were() -> None:
    before = empty_stats(3)
    block = Block.from_logits(np.random.default_rng(0).normal(size=(1, 3, 2)), np.array([0, 1, 0]))
    add_epoch(before, {name: column[0] for name, column in block.signals.items()}, block.labels)
    assert before.epochs == 0
    assert all(not before[name].any() for name in (*SUMS, *COUNTS))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 14), st.floats(0, 0.5))
def test_the_sums_of_some_examples_do_not_depend_on_the_others(seed: int, n: int, epochs: int, missing: float) -> None:
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (epochs, n, 3))
    logits[generator.random((epochs, n)) < missing] = np.nan
    labels = generator.integers(0, 3, n)
    whole = sums_of(Block.from_logits(logits, labels))
    half = sums_of(Block.from_logits(logits[:, n // 2 :], labels[n // 2 :]))
    for name, column in half.columns.items():
        assert column.tobytes() == whole.rows(n // 2, n)[name].tobytes()


def test_more_examples_than_are_worked_on_at_a_time_are_summed_alike() -> None:
    n = ROWS + 5
    generator = np.random.default_rng(0)
    block = Block.from_logits(generator.normal(size=(2, n, 2)), generator.integers(0, 2, n))
    tail = Block(block.labels[-9:], 2, {name: column[:, -9:] for name, column in block.signals.items()})
    for name, column in sums_of(tail).columns.items():
        assert column.tobytes() == sums_of(block)[name][-9:].tobytes()


# --- on disk ---------------------------------------------------------------------------------------------------------


def same_sums(dynamics: Dynamics, block: Block) -> None:
    expected = sums_of(block)
    assert (dynamics.level, dynamics.epochs, dynamics.stats.epochs) == ("stats", block.epochs, block.epochs)
    np.testing.assert_array_equal(dynamics.labels, block.labels)
    assert dynamics.stats.columns.keys() == expected.columns.keys()
    for name, column in expected.columns.items():
        assert dynamics.stats[name].dtype == column.dtype
        assert dynamics.stats[name].tobytes() == column.tobytes(), name


@pytest.mark.parametrize("options", [{}, {"labels": None}, {"ids": None, "labels": None}], ids=str)
def test_a_recording_of_sums_is_one_file_with_the_sums_of_every_epoch(options: Any, run: Run, tmp_path: Path) -> None:
    with run.recorder(tmp_path / "d", level="stats", **options) as recorder:
        for epoch in range(3):
            run.feed(recorder, epoch)
            recorder.end_epoch()
            files = sorted(file.relative_to(tmp_path / "d").as_posix() for file in (tmp_path / "d").rglob("*.*"))
            assert files == ["examples.parquet", "manifest.json", f"stats/{epoch + 1:05d}.arrow"]
            same_sums(Dynamics.open(tmp_path / "d"), run.but(epochs=epoch + 1).block())


def test_a_recording_of_sums_goes_on_where_it_stopped(run: Run, tmp_path: Path) -> None:
    for epochs in (1, 2, 2, 3):
        recorder = run.recorder(tmp_path / "d", level="stats")
        before = recorder.epoch
        recorder.close()
        assert run.record(tmp_path / "d", epochs, level="stats").epochs == max(before, epochs)
    same_sums(Dynamics.open(tmp_path / "d"), run.block())


def test_epochs_that_miss_examples_are_summed_over_those_that_were_seen(run: Run, tmp_path: Path) -> None:
    logits = np.stack([run.logits(epoch) for epoch in range(3)])
    logits[np.random.default_rng(1).random((3, 40)) < 0.4] = np.nan
    with run.recorder(tmp_path / "d", level="stats", allow_missing=True) as recorder:
        for epoch in logits:
            rows = np.flatnonzero(~np.isnan(epoch[:, 0]))
            recorder.update(run.ids[rows], epoch[rows], run.labels[rows])
            recorder.end_epoch()
    order = np.argsort(run.ids)
    same_sums(Dynamics.open(tmp_path / "d"), Block.from_logits(logits[:, order], run.labels[order]))


def test_sums_that_were_opened_stay_readable_when_the_recorder_goes_on(run: Run, tmp_path: Path) -> None:
    run.record(tmp_path / "d", 1, level="stats")
    opened = Dynamics.open(tmp_path / "d")
    run.record(tmp_path / "d", level="stats")
    same_sums(opened, run.but(epochs=1).block())


def test_what_a_kill_left_beside_the_sums_is_cleared_away(run: Run, tmp_path: Path) -> None:
    """Killed after the new sums and before the manifest, or after the manifest and before the old sums went."""
    run.record(tmp_path / "d", 2, level="stats")
    for name in ("00001.arrow", "00003.arrow"):
        (tmp_path / "d" / "stats" / name).write_bytes(b"torn")
    same_sums(Dynamics.open(tmp_path / "d"), run.but(epochs=2).block())
    same_sums(run.record(tmp_path / "d", level="stats"), run.block())
    assert [file.name for file in (tmp_path / "d" / "stats").iterdir()] == ["00003.arrow"]


def test_sums_have_no_epochs_to_read(run: Run, tmp_path: Path) -> None:
    dynamics = run.record(tmp_path / "d", level="stats")
    assert dynamics.signals == ()
    for ask in (lambda: dynamics.block(), lambda: dynamics.column(0, "loss"), lambda: list(dynamics.blocks(5))):
        with pytest.raises(TrainmapError, match=r"has level 'stats': running sums, not the epochs; record with"):
            ask()


def test_damaged_and_missing_sums_are_errors(run: Run, tmp_path: Path) -> None:
    dynamics = run.record(tmp_path / "d", level="stats")
    dynamics.verify()
    file = tmp_path / "d" / "stats" / "00003.arrow"
    whole = file.read_bytes()
    file.write_bytes(whole[:3000] + b"\1" + whole[3001:])
    with pytest.raises(StoreError, match=r"00003.arrow is damaged"):
        Dynamics.open(tmp_path / "d").verify()
    file.write_bytes(whole[:-1])
    for open_it in (Dynamics.open, lambda path: run.recorder(path, level="stats")):
        with pytest.raises(StoreError, match=r"00003.arrow is torn"):
            open_it(tmp_path / "d")
    file.unlink()
    with pytest.raises(StoreError, match=r"00003.arrow is listed in the manifest and missing"):
        Dynamics.open(tmp_path / "d")


def test_an_example_takes_as_many_bytes_as_the_documents_say() -> None:
    assert sum(column.itemsize for column in empty_stats(1).columns.values()) == 104
