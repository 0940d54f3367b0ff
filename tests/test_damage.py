"""For every kind of file that is written and read again: damage is an error of ours, or changes nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

import trainmap as tm
from trainmap.audits.planted import Flips, ThresholdSamples, plan_flips, plan_threshold_samples
from trainmap.checksums import check_folder, read_sealed, seal_folder, write_card, write_sealed
from trainmap.dynamics.examples import write_examples
from trainmap.dynamics.manifest import read_manifest, write_manifest
from trainmap.errors import StoreError, TrainmapError
from trainmap.evaluation.predictions import Predictions
from trainmap.experiments.runs.job import Job, read_record, result_path, write_result
from trainmap.experiments.tasks.place import Place
from trainmap.experiments.tasks.task import Task
from trainmap.experiments.tasks.tracking import read_epochs, write_epochs
from trainmap.experiments.verifying import verify
from trainmap.selection.card import Selection

N, C = 60, 4


def record(folder: Path, seed: int, level: Any = "signals", names: bool = False) -> tm.Dynamics:
    """Three epochs of 60 examples; the same ids and labels for every seed."""
    rng = np.random.default_rng(seed)
    labels = np.arange(N) % C
    ids = np.array([f"example-{number:03d}" for number in range(N)]) if names else np.arange(N)
    with tm.Recorder(folder, classes=C, ids=ids, labels=labels, level=level) as recorder:
        for epoch in range(3):
            recorder.update(ids, rng.normal(size=(N, C)) + epoch * np.eye(C)[labels], labels)
            recorder.end_epoch()
    return tm.Dynamics.open(folder)


def record_parts(folder: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for rank in (0, 1):
        ids = np.arange(rank, N, 2)
        with tm.Recorder(folder, classes=C, rank=rank, world_size=2) as recorder:
            for _ in range(2):
                recorder.update(ids, rng.normal(size=(len(ids), C)), ids % C)
                recorder.end_epoch()


def read_recording(folder: Path) -> Any:
    dynamics = tm.Dynamics.open(folder)
    manifest = dynamics.manifest.model_dump(exclude={"written_by"})
    if dynamics.level == "stats":
        columns: dict[str, Any] = {name: dynamics.stats[name].tobytes() for name in dynamics.stats.columns}
    else:
        columns = {name: dynamics.block(signals=[name]).signals[name].tobytes() for name in ("p_gold", "loss")}
        columns |= {"all": [dynamics.column(2, name).tobytes() for name in dynamics.signals]}
    return dynamics.ids.tolist(), dynamics.labels.tolist(), manifest, columns


def read_joined(folder: Path) -> Any:
    (folder / "manifest.json").unlink(missing_ok=True)  # so that it is joined again
    dynamics = tm.Dynamics.open(folder)
    return dynamics.ids.tolist(), dynamics.labels.tolist(), dynamics.block().signals["loss"].tobytes()


def read_map(folder: Path) -> Any:
    datamap = tm.DataMap.open(folder / "map.parquet")
    about = datamap.epochs, datamap.rule, datamap.fraction, datamap.source, datamap.dataset
    return about, datamap.table.columns, [column.to_list() for column in datamap.table.iter_columns() if column.len()]


def make_map(folder: Path, seed: int, names: bool = False) -> None:
    with_nan = tm.DataMap.from_dynamics(record(folder / "dynamics", seed, names=names))
    with_nan.with_scores(with_nan.ids[:9], {"mine": np.arange(9.0)}, allow_missing=True).save(folder / "map.parquet")
    shutil.rmtree(folder / "dynamics")


def make_card(folder: Path, seed: int) -> None:
    make_map(folder / "m", seed)
    tm.select(tm.DataMap.open(folder / "m/map.parquet"), "20% ambiguous + 10% random", seed=seed).save(
        folder / "card.json"
    )
    shutil.rmtree(folder / "m")


def make_logits(folder: Path, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "logits.npy", np.random.default_rng(seed).normal(size=(N, C)).astype(np.float16))
    card = {"teacher": f"t{seed}", "dataset": "d", "order": "o", "flips": False, "flops": 1, "seconds": 0.5}
    write_card(folder / "logits.npy", card | {"cpu_seconds": 0.25})


def read_logits(folder: Path) -> Any:
    from trainmap.distillation.kept_logits import open_logits, read_card

    found = open_logits(folder / "logits.npy")
    return asdict(read_card(folder / "logits.npy")), found.shape, np.array(found).tobytes()


def make_embeddings(folder: Path, seed: int) -> None:
    from trainmap.data.texts import embeddings

    def embed(texts: Any) -> Any:
        return np.random.default_rng(seed).normal(size=(len(texts), 3)).astype(np.float32)

    embeddings([f"text {number}" for number in range(20)], folder, embed)(np.arange(20))


def read_embeddings(folder: Path) -> Any:
    from trainmap.data.texts import embeddings

    def refuse(_: Any) -> Any:
        raise AssertionError("computed anew")

    x, _ = embeddings([f"text {number}" for number in range(20)], folder, refuse)(np.arange(20))
    return x.tobytes()


def make_state(folder: Path, seed: int) -> None:
    import torch

    torch.manual_seed(seed)
    torch.save(torch.nn.Linear(8, 3).state_dict(), folder / "model.pt")


def read_state(folder: Path) -> Any:
    from trainmap.training.state_file import load_state

    return {name: tensor.tolist() for name, tensor in load_state(folder / "model.pt", "network").items()}


def make_arrays(folder: Path, seed: int) -> None:
    np.savez(folder / "features.npz", ids=np.arange(9), values=np.random.default_rng(seed).normal(size=(9, 3)))


def read_arrays(folder: Path) -> Any:
    from trainmap.experiments.tasks.materials import features_in

    found = features_in(folder)
    return [array.tobytes() for array in (found.ids, found.values)]


class Bytes(Task):
    """What a task of a grid may do."""

    kind: ClassVar = "bytes/1"

    how: str = ""

    def run(self, place: Place) -> dict[str, Any]:
        return {"bytes": place.of("teacher", "model.pt").stat().st_size}


TASK = Job("a run", Bytes(), Place(Path("made")))


def make_result(folder: Path, seed: int) -> None:
    write_result(folder, TASK, {"accuracy": 0.5 + seed / 100, "none": None, "nan": float("nan")}, 1.5)


def read_result(folder: Path) -> Any:
    record = read_record(result_path(folder, TASK.hash), TASK.hash)
    return repr((record["result"], record["seconds"], record["config"]))


def make_epochs(folder: Path, seed: int) -> None:
    write_epochs(folder / "epochs.csv", [{"epoch": float(at), "loss": seed + 0.1 * at} for at in range(9)])


def make_plan(folder: Path, seed: int) -> None:
    plan_flips(np.arange(N) % C, 0.2, seed).save(folder / "flips.json")
    plan_threshold_samples(np.arange(N) % C, seed).save(folder / "samples.json")


def read_plan(folder: Path) -> Any:
    plans = Flips.open(folder / "flips.json"), ThresholdSamples.open(folder / "samples.json")
    return [{name: np.asarray(value).tolist() for name, value in vars(plan).items()} for plan in plans]


def make_predictions(folder: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    Predictions.of(np.arange(N), np.arange(N) % C, rng.integers(0, C, (2, N))).save(folder / "test.parquet")


def read_predictions(folder: Path) -> Any:
    return [array.tolist() for array in vars(Predictions.open(folder / "test.parquet")).values()]


KINDS: dict[str, tuple[Callable[[Path, int], Any], Callable[[Path], Any]]] = {
    "recording": (record, read_recording),
    "recording with names": (lambda d, seed: record(d, seed, names=True), read_recording),
    "recording with logits": (lambda d, seed: record(d, seed, "logits"), read_recording),
    "running sums": (lambda d, seed: record(d, seed, "stats"), read_recording),
    "parts": (record_parts, read_joined),
    "map": (make_map, read_map),
    "map with names": (lambda d, seed: make_map(d, seed, names=True), read_map),
    "card": (make_card, lambda d: repr(vars(Selection.open(d / "card.json")))),
    "plans": (make_plan, read_plan),
    "predictions": (make_predictions, read_predictions),
    "teacher logits": (make_logits, read_logits),
    "embeddings": (make_embeddings, read_embeddings),
    "weights": (make_state, read_state),
    "arrays": (make_arrays, read_arrays),
    "result of a run": (make_result, read_result),
    "epochs of a run": (make_epochs, lambda d: read_epochs(d / "epochs.csv")),
    "document": (
        lambda d, seed: write_sealed(d / "found.json", {"peak_lr": 0.1 + seed, "gold": None}),
        lambda d: read_sealed(d / "found.json"),
    ),
}


def made(name: str, folder: Path, seed: int = 0) -> Path:
    folder.mkdir()
    KINDS[name][0](folder, seed)
    return folder


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def damaged(content: bytes, rng: np.random.Generator) -> Iterator[bytes]:
    """One bit or byte of it changed, at both ends and at random; cut; a stretch of zeros."""
    ends = [*range(min(48, len(content))), *range(max(0, len(content) - 64), len(content))]
    for at in [*ends, *rng.integers(0, len(content), 60).tolist()]:
        other = bytearray(content)
        other[at] = other[at] ^ (1 << int(rng.integers(8))) if rng.random() < 0.7 else int(rng.integers(256))
        yield bytes(other)
    for length in (0, 1, len(content) // 2, len(content) - 1, content.rfind(b"\n", 0, -1) + 1):
        yield content[:length]
    for at in rng.integers(0, len(content), 6).tolist():
        stop = min(len(content), at + int(rng.integers(1, 200)))
        yield content[:at] + bytes(stop - at) + content[stop:]
    yield bytes(len(content))
    yield content + b"\0"


def outcome(name: str, folder: Path) -> Any:
    """What is read, or that it is refused; nothing else may be raised."""
    try:
        return KINDS[name][1](folder)
    except TrainmapError:
        return "refused"


@pytest.mark.parametrize("name", KINDS)
def test_damage_is_an_error_of_ours_or_changes_nothing(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(sum(name.encode()))
    whole = made(name, tmp_path / "whole")
    expected = repr(outcome(name, whole))
    assert expected != "'refused'"
    listed = [file.relative_to(whole) for file in files_of(whole)]
    if name == "parts":  # the join is made again
        listed = [file for file in listed if file.parts[0] == "parts"]
    refused = 0
    for file in listed:
        content = (whole / file).read_bytes()
        for other in damaged(content, rng):
            (whole / file).write_bytes(other)
            found = repr(outcome(name, whole))
            assert found in (expected, "'refused'"), f"{file}: other values"
            refused += found != expected
        (whole / file).write_bytes(content)
        if name == "parts":
            assert repr(outcome(name, whole)) == expected
    assert refused > 100
    assert repr(outcome(name, whole)) == expected


@pytest.mark.parametrize("name", ["recording", "recording with names", "running sums", "parts", "card"])
def test_a_file_of_another_of_the_same_shape_is_refused(name: str, tmp_path: Path) -> None:
    whole, other = made(name, tmp_path / "whole"), made(name, tmp_path / "other", seed=1)
    for file in [path.relative_to(whole) for path in files_of(whole)]:
        twin = other / file
        if name == "card" and file.suffix == ".parquet":
            twin = next(other.glob("*.parquet"))
        content = (whole / file).read_bytes()
        if (name != "card" and (file.name == "manifest.json")) or content == twin.read_bytes():
            continue
        (whole / file).write_bytes(twin.read_bytes())
        assert outcome(name, whole) == "refused", file
        (whole / file).write_bytes(content)


EXAMPLES: dict[str, tuple[Any, Any, str]] = {
    "ids twice": ([0, *range(N - 1)], np.arange(N) % C, "distinct ids in ascending order, 0, 0 are not"),
    "ids unsorted": ([*range(1, N), 0], np.arange(N) % C, "distinct ids in ascending order, 59, 0 are not"),
    "a label above": (range(N), [77, *[0] * (N - 1)], "must have labels 0 to 3, it has 77"),
    "a label below": (range(N), [-3, *[0] * (N - 1)], "must have labels 0 to 3, it has -3"),
}


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_that_no_recorder_writes_are_refused_with_or_without_a_checksum(
    name: str, listed: bool, tmp_path: Path
) -> None:
    ids, labels, message = EXAMPLES[name]
    record(tmp_path / "d", 0)
    entry = write_examples(tmp_path / "d", np.array(ids), np.array(labels))
    manifest = read_manifest(tmp_path / "d")
    write_manifest(tmp_path / "d", manifest.model_copy(update={"examples_file": entry if listed else None}))
    with pytest.raises(StoreError, match=message):
        tm.Dynamics.open(tmp_path / "d")


def as_0_1(folder: Path) -> None:
    """The recording as trainmap 0.1 wrote it."""
    path = folder / "manifest.json"
    about = json.loads(path.read_text())
    path.write_text(
        json.dumps({k: v for k, v in about.items() if k not in ("checksum", "examples_file")} | {"version": 1})
    )


@pytest.mark.parametrize("level", ["signals", "logits", "stats"])
def test_a_recording_of_0_1_opens_and_goes_on_as_one_with_checksums(level: Any, tmp_path: Path) -> None:
    expected = record(tmp_path / "d", 0, level)
    as_0_1(tmp_path / "d")
    assert tm.Dynamics.open(tmp_path / "d").fingerprint == expected.fingerprint
    ids = np.arange(N)
    with tm.Recorder(tmp_path / "d", classes=C, ids=ids, labels=ids % C, level=level, resume=True) as recorder:
        recorder.update(ids, 5 * np.eye(C)[ids % C], ids % C)
        recorder.end_epoch()
    manifest = tm.Dynamics.open(tmp_path / "d").manifest
    assert (manifest.version, manifest.recorded, manifest.examples_file is None) == (2, 4, False)


def test_maps_cards_and_documents_of_0_1_open(tmp_path: Path) -> None:
    make_map(tmp_path, 0)
    table = pq.read_table(tmp_path / "map.parquet")
    about = json.loads(table.schema.metadata[b"trainmap"])
    expected = read_map(tmp_path)
    del about["checksum"]
    pq.write_table(table.replace_schema_metadata({b"trainmap": json.dumps(about)}), tmp_path / "map.parquet")
    assert repr(read_map(tmp_path)) == repr(expected)
    make_card(tmp_path, 0)
    card = json.loads((tmp_path / "card.json").read_text())
    del card["checksum"]
    (tmp_path / "card.json").write_text(json.dumps(card | {"version": 1}))
    assert len(Selection.open(tmp_path / "card.json")) == card["size"]
    (tmp_path / "plain.json").write_text('{"accuracy": 0.5}')
    assert read_sealed(tmp_path / "plain.json") == {"accuracy": 0.5}


def test_a_score_out_of_its_range_is_refused_without_a_checksum(tmp_path: Path) -> None:
    make_map(tmp_path, 0)
    table = pl.read_parquet(tmp_path / "map.parquet").with_columns(confidence=pl.lit(1.5))
    about = json.loads(pq.read_schema(tmp_path / "map.parquet").metadata[b"trainmap"])
    del about["checksum"]
    arrow = table.to_arrow().replace_schema_metadata({b"trainmap": json.dumps(about)})
    pq.write_table(arrow, tmp_path / "map.parquet")
    with pytest.raises(StoreError, match="confidence must be 0 to 1"):
        tm.DataMap.open(tmp_path / "map.parquet")


def test_without_verify_damage_is_read_as_it_is(tmp_path: Path) -> None:
    record(tmp_path / "d", 0)
    file = tmp_path / "d/epochs/00001.arrow"
    content = bytearray(file.read_bytes())
    content[600] ^= 1
    file.write_bytes(content)
    tm.Dynamics.open(tmp_path / "d", verify=False).block()
    with pytest.raises(StoreError, match=r"00001\.arrow is damaged"):
        tm.Dynamics.open(tmp_path / "d").block()
    with pytest.raises(StoreError, match=r"00001\.arrow is damaged"):
        tm.Dynamics.open(tmp_path / "d").column(1, "loss")
    assert tm.Dynamics.open(tmp_path / "d").column(0, "loss").shape == (N,)


def test_a_file_that_was_checked_is_read_again_when_it_is_another(tmp_path: Path) -> None:
    record(tmp_path / "d", 0)
    tm.Dynamics.open(tmp_path / "d").block()
    file = tmp_path / "d/epochs/00001.arrow"
    content = bytearray(file.read_bytes())
    content[600] ^= 1
    with open(file, "r+b") as handle:  # the same inode and length, within a tick of the clock
        handle.write(content)
    with pytest.raises(StoreError, match=r"00001\.arrow is damaged"):
        tm.Dynamics.open(tmp_path / "d").block()


# --- a folder that a task made, and all of a folder ------------------------------------------------------------------


def test_what_a_task_made_is_not_exchanged_for_what_another_made(tmp_path: Path) -> None:
    folders = [tmp_path / f"student-{str(number) * 16}" for number in (1, 2)]
    for number, folder in enumerate(folders, 1):
        folder.mkdir()
        make_state(folder, number)
        record(folder / "dynamics", number)
        seal_folder(folder, str(number) * 64)
        check_folder(folder)
    one, two = (folder / "model.pt" for folder in folders)
    content = one.read_bytes()
    shutil.copy(two, one)
    with pytest.raises(StoreError, match=r"model.pt (is damaged|is torn)"):
        check_folder(folders[0])
    one.write_bytes(content)
    shutil.rmtree(folders[0] / "dynamics")
    shutil.copytree(folders[1] / "dynamics", folders[0] / "dynamics")
    with pytest.raises(StoreError, match=r"dynamics/manifest.json (is damaged|is torn)"):
        check_folder(folders[0])
    shutil.rmtree(folders[0])
    shutil.copytree(folders[1], folders[0])
    with pytest.raises(StoreError, match="was moved or exchanged"):
        check_folder(folders[0])


def test_a_task_refuses_what_is_damaged_in_what_it_takes_and_seals_what_it_makes(tmp_path: Path) -> None:
    from trainmap.experiments.runs.worker import attempt

    teacher, out = tmp_path / f"teacher-{'1' * 16}", tmp_path / f"student-{'2' * 16}"
    teacher.mkdir()
    out.mkdir()
    make_state(teacher, 0)
    make_state(out, 1)
    seal_folder(teacher, "1" * 64)
    for name, damage in (("good", b""), ("bad", b"x")):
        (teacher / "model.pt").write_bytes((teacher / "model.pt").read_bytes() + damage)
        task = Job(name, Bytes(how=name), Place(out, {"teacher": teacher}))
        if damage:
            with pytest.raises(StoreError, match=r"model\.pt is torn"):
                attempt(tmp_path, task, None)
        else:
            assert attempt(tmp_path, task, None) == "done"
            assert read_sealed(out / "checksums.json")["task"] == task.hash
    assert not list(tmp_path.glob("*.lock"))


@pytest.mark.parametrize("name", KINDS)
def test_verify_passes_what_is_whole_and_names_what_is_damaged(name: str, tmp_path: Path) -> None:
    whole = made(name, tmp_path / "things")
    KINDS[name][1](whole)
    found = list(verify(tmp_path))
    assert [one.damage for one in found if one.damage is not None] == []
    assert {one.path for one in found} == set(files_of(whole))
    for file in files_of(whole):
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2])
        damage = [one for one in verify(tmp_path) if one.damage is not None]
        assert damage, file
        assert str(file.name) in str(damage[0].damage) or file.stem[:4] in str(damage[0].damage)
        file.write_bytes(content)


def test_values_that_cannot_be_are_found_behind_a_right_checksum(tmp_path: Path) -> None:
    from trainmap.dynamics.columns import write_columns

    dynamics = record(tmp_path / "d", 0)
    columns = {name: np.array(dynamics.column(1, name)) for name in dynamics.signals}
    wrong = {
        "p_gold": 1.5, "loss": -1.0, "entropy": 2.0, "el2n": 1.6, "predicted": C, "margin": np.nan,
    }  # fmt: skip
    for name, value in wrong.items():
        changed = {key: column.copy() for key, column in columns.items()}
        changed[name][7] = value
        entry = write_columns(tmp_path / "d", "epochs/00001.arrow", changed, N)
        manifest = dynamics.manifest
        entries = [manifest.epochs[0], entry, manifest.epochs[2]]
        write_manifest(tmp_path / "d", manifest.model_copy(update={"epochs": entries}))
        with pytest.raises(StoreError, match=rf"00001.arrow: '{name}'"):
            tm.Dynamics.open(tmp_path / "d").verify()
