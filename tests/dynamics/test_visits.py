"""An example that comes again in an epoch: refused, its first visit, or the mean; and the copies that pad a rank."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_recorder import far

from recorded import Run, same
from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.signals import FLOAT_SIGNALS, signals_from_logits
from trainmap.dynamics.store import Dynamics
from trainmap.errors import RecordingError, StoreError

LEARNED: dict[str, Any] = {"ids": None, "labels": None}
GIVEN: list[dict[str, Any]] = [{}, {"labels": None}, LEARNED]


def shards(batches: list[list[int]], rank: int, world: int, size: int) -> Iterator[list[int]]:
    """accelerate's BatchSamplerShard with even_batches: whole batches in turn, the rest filled from the beginning."""
    first, batch = [], []
    for number, batch in enumerate(batches):
        if number < world:
            first += batch
        if number % world == rank and len(batch) == size and _group_is_whole(batches, number, world, size):
            yield batch
    whole = sum(_group_is_whole(batches, number, world, size) for number in range(len(batches)))
    rest = [name for batch in batches[whole:] for name in batch]
    if rest:
        filled = list(itertools.islice(itertools.chain(rest, itertools.cycle(first)), world * size))
        yield filled[rank * size : (rank + 1) * size]


def _group_is_whole(batches: list[list[int]], number: int, world: int, size: int) -> bool:
    group = batches[number - number % world : number - number % world + world]
    return len(group) == world and all(len(batch) == size for batch in group)


def split(batches: list[list[int]], rank: int, world: int, size: int) -> Iterator[list[int]]:
    """accelerate's split_batches: every batch in equal parts, the last one filled from the first."""
    part = size // world
    for batch in batches:
        filled = list(itertools.islice(itertools.chain(batch, itertools.cycle(batches[0])), size))
        yield filled[rank * part : (rank + 1) * part]


def visited(run: Run, epoch: int, step: int, rows: list[int]) -> tuple[Any, Any, Any]:
    """A batch whose logits depend on the step, as those of a network that learns: a copy has other numbers."""
    return run.ids[rows], run.logits(epoch, rows) + np.float32(step), run.labels[rows]


def drifting(run: Run, epoch: int, step: int, rows: list[int]) -> tuple[Any, Any, Any]:
    ids, logits, labels = visited(run, epoch, step, rows)
    return ids, logits * np.float32(1 + step / 64), labels


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("way", [shards, split])
@pytest.mark.parametrize("options", GIVEN, ids=str)
@pytest.mark.parametrize(("examples", "size"), [(9, 4), (5, 6), (25, 6), (1, 6)])
def test_of_the_copies_that_pad_a_rank_the_originals_are_kept(
    examples: int, size: int, options: Any, way: Any, world: int, tmp_path: Path
) -> None:
    """What one process records that visits the same batches of the same network, without the copies."""
    size = size if size % world == 0 else size * world
    generator = np.random.default_rng(examples)
    run = Run(generator.permutation(examples) + 7, generator.integers(0, 3, examples), 3, epochs=2)
    for epoch in range(2):
        order = np.random.default_rng(epoch).permutation(examples).tolist()
        batches = [order[start : start + size] for start in range(0, examples, size)]
        with run.recorder(tmp_path / "one", **options) as recorder:
            seen: set[int] = set()
            steps = [list(way(batches, rank, world, size)) for rank in range(world)]
            for step, ranks in enumerate(itertools.zip_longest(*steps, fillvalue=[])):
                rows = [row for rank_rows in zip(*ranks, strict=True) for row in rank_rows]
                new = [row for row in dict.fromkeys(rows) if row not in seen]
                seen.update(new)
                recorder.update(*drifting(run, epoch, step, new))
            recorder.end_epoch()
    for rank in range(world):
        with run.recorder(tmp_path / "many", rank=rank, world_size=world, **options) as recorder:
            for epoch in range(2):
                order = np.random.default_rng(epoch).permutation(examples).tolist()
                batches = [order[start : start + size] for start in range(0, examples, size)]
                for step, rows in enumerate(way(batches, rank, world, size)):
                    recorder.update(*drifting(run, epoch, step, rows))
                recorder.end_epoch()
    same(Dynamics.open(tmp_path / "many"), Dynamics.open(tmp_path / "one").block())


def test_cifar_on_two_ranks_with_accelerates_defaults_is_what_one_process_records(tmp_path: Path) -> None:
    run = Run(np.arange(50_000), np.arange(50_000) % 10, 10, epochs=1, batch=128)
    order = np.random.default_rng(0).permutation(50_000).tolist()
    batches = [order[start : start + 128] for start in range(0, 50_000, 128)]
    logits = run.logits(0)
    for rank in range(2):
        with run.recorder(tmp_path / "d", rank=rank, world_size=2, **LEARNED) as recorder:
            copies = 0
            for rows in shards(batches, rank, 2, 128):
                recorder.update(run.ids[rows], logits[rows], run.labels[rows])
                copies += len(rows)
            recorder.end_epoch()
    assert copies == 25_088, "each rank has 88 copies"
    same(Dynamics.open(tmp_path / "d"), run.block())


@pytest.mark.parametrize("options", GIVEN, ids=str)
@pytest.mark.parametrize("where", ["in the batch", "before it"])
def test_a_copy_with_another_label_is_refused_and_leaves_no_trace(where: str, options: Any, tmp_path: Path) -> None:
    run = Run(np.arange(6), np.arange(6) % 3, 3, epochs=1)
    for rank in range(2):
        with run.recorder(tmp_path / "d", rank=rank, world_size=2, **options) as recorder:
            recorder.update(*visited(run, 0, 0, [0, 1] if rank == 0 else [3]))
            rows = [2, 2] if where == "in the batch" else [2, 0 if rank == 0 else 3]
            ids, logits, labels = visited(run, 0, 0, rows)
            with pytest.raises(RecordingError, match=rf"1 labels changed \(id {rows[1]}: {labels[1]}, now"):
                recorder.update(ids, logits, [labels[0], (labels[1] + 1) % 3])
            recorder.update(*visited(run, 0, 0, [2, 0, 0] if rank == 0 else [4, 3, 5, 4]))
            recorder.end_epoch()
    same(Dynamics.open(tmp_path / "d"), run.block())


def test_a_rank_can_be_told_to_refuse_its_copies(run: Run, tmp_path: Path) -> None:
    recorder = run.recorder(tmp_path / "d", rank=0, world_size=2, repeats="refuse")
    with pytest.raises(RecordingError, match=r"1 ids came twice .*repeats='first' or repeats='mean'"):
        recorder.update(*visited(run, 0, 0, [0, 0]))


# --- sampling with replacement ---------------------------------------------------------------------------------------


def drawn(run: Run, epoch: int) -> Iterator[tuple[int, list[int]]]:
    rows = np.random.default_rng([epoch, 9]).integers(0, len(run.ids), 2 * len(run.ids))
    rows = np.concatenate([rows, np.arange(len(run.ids))])  # everybody comes at least once
    for step, start in enumerate(range(0, len(rows), run.batch)):
        yield step, rows[start : start + run.batch].tolist()


@pytest.mark.parametrize("options", GIVEN, ids=str)
@pytest.mark.parametrize("level", ["signals", "logits", "stats"])
@pytest.mark.parametrize("repeats", ["first", "mean"])
@pytest.mark.parametrize("device", [np.asarray, far])
def test_several_visits_are_the_first_or_their_mean(
    device: Any, repeats: Any, level: Any, options: Any, run: Run, tmp_path: Path
) -> None:
    expected: list[dict[str, Any]] = []
    with run.recorder(tmp_path / "d", level=level, repeats=repeats, **options) as recorder:
        for epoch in range(3):
            visits: dict[int, list[Any]] = {}
            for step, rows in drawn(run, epoch):
                ids, logits, labels = drifting(run, epoch, step, rows)
                recorder.update(ids, device(logits), labels)
                for row, values in zip(rows, logits, strict=True):
                    visits.setdefault(row, []).append(values)
            recorder.end_epoch()
            expected.append(by_hand(run, visits, repeats))
    dynamics = Dynamics.open(tmp_path / "d")
    assert dynamics.manifest.repeats == repeats
    if level == "stats":
        total = np.sum([epoch["p_gold"].astype(np.float64) for epoch in expected], axis=0)
        np.testing.assert_allclose(dynamics.stats["p_gold"], total, rtol=1e-12)
        return
    for epoch, columns in enumerate(expected):
        for name in (*FLOAT_SIGNALS, "predicted", *(["logits"] if level == "logits" else [])):
            assert dynamics.column(epoch, name).tobytes() == columns[name].tobytes(), name
    found = dynamics.block()
    assert ((found["predicted"] == found.labels) == (found["margin"] > 0)).all()


def by_hand(run: Run, visits: dict[int, list[Any]], repeats: str) -> dict[str, Any]:
    """One example after another, in the order of ids, as docs/format.md says."""
    columns: dict[str, list[Any]] = {}
    for row in np.argsort(run.ids).tolist():
        logits = np.array(visits[row] if repeats == "mean" else visits[row][:1])
        gold = int(run.labels[row])
        signals = signals_from_logits(logits, np.full(len(logits), gold))
        for name in FLOAT_SIGNALS:
            columns.setdefault(name, []).append(np.float32(sum(signals[name].astype(np.float64)) / len(logits)))
        wrong = [int(c) for c in signals["predicted"] if c != gold]
        predicted = gold if columns["margin"][-1] > 0 or not wrong else wrong[0]
        columns.setdefault("predicted", []).append(np.int16(predicted))
        mean = logits.astype(np.float64).sum(axis=0) / len(logits)
        columns.setdefault("logits", []).append(mean.astype(np.float16))
    return {name: np.array(column) for name, column in columns.items()}


def test_the_mean_of_equal_visits_is_the_visit(run: Run, tmp_path: Path) -> None:
    with run.recorder(tmp_path / "d", repeats="mean") as recorder:
        for epoch in range(3):
            for _ in range(3):
                run.feed(recorder, epoch)
            recorder.end_epoch()
    same(Dynamics.open(tmp_path / "d"), run.block())


@pytest.mark.parametrize("repeats", ["first", "mean"])
def test_what_replacement_never_drew_is_missing(repeats: Any, run: Run, tmp_path: Path) -> None:
    with run.recorder(tmp_path / "d", repeats=repeats, allow_missing=True) as recorder:
        recorder.update(*visited(run, 0, 0, [1, 2, 1]))
        recorder.end_epoch()
        run.feed(recorder, 1)
        recorder.end_epoch()
    dynamics = Dynamics.open(tmp_path / "d")
    assert [entry.seen for entry in dynamics.manifest.epochs] == [2, 40]
    assert np.isnan(dynamics.column(0, "loss")).sum() == (dynamics.column(0, "predicted") == -1).sum() == 38
    np.testing.assert_array_equal(dynamics.block()["loss"][1], run.block()["loss"][1])


@pytest.mark.parametrize("before", ["refuse", "first", "mean"])
@pytest.mark.parametrize("after", ["refuse", "first", "mean"])
def test_first_visits_and_means_are_never_mixed(before: Any, after: Any, run: Run, tmp_path: Path) -> None:
    run.record(tmp_path / "d", 1, repeats=before)
    if {before, after} == {"first", "mean"}:
        with pytest.raises(StoreError, match=rf"with repeats='{before}', got '{after}'; two kinds"):
            run.recorder(tmp_path / "d", repeats=after)
    else:
        dynamics = run.record(tmp_path / "d", repeats=after)
        assert dynamics.manifest.repeats == (before if after == "refuse" else after)
        same(dynamics, run.block())


def test_one_process_refuses_by_itself(tmp_path: Path) -> None:
    assert Recorder(tmp_path / "a", 3).repeats == "refuse"
    assert Recorder(tmp_path / "b", 3, rank=0, world_size=2).repeats == "first"
