"""What was opened stays what it is, or says that a recorder changed it; a join is as good as its parts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_holding import fresh
from test_parts import record, share

from recorded import Run, same
from trainmap.dynamics.damage import is_recording
from trainmap.dynamics.manifest import read_manifest, write_manifest
from trainmap.dynamics.processes import part_folder
from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.store import Dynamics
from trainmap.errors import StoreError


def rewound(run: Run, path: Path) -> None:
    with run.recorder(path) as recorder:
        recorder.rewind(1)
        for epoch in (1, 2):
            run.feed(recorder, epoch)
            recorder.end_epoch()


def rewound_and_no_more(run: Run, path: Path) -> None:
    with run.recorder(path) as recorder:
        recorder.rewind(0)


def overwritten(run: Run, path: Path) -> None:
    run.record(path, overwrite=True)


def joined_again(run: Run, path: Path) -> None:
    record(run, path, 2, overwrite=True)
    Dynamics.open(path)


def overwritten_and_not_joined(run: Run, path: Path) -> None:
    record(run, path, 2, overwrite=True)


CHANGES = [rewound, rewound_and_no_more, overwritten, joined_again, overwritten_and_not_joined]
READS: dict[str, Callable[[Dynamics], Any]] = {
    "block": lambda dynamics: dynamics.block(),
    "column": lambda dynamics: dynamics.column(2, "loss"),
    "layouts": lambda dynamics: dynamics.bytes_per_value("loss"),
}


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("change", CHANGES)
def test_an_open_recording_that_a_recorder_changed_says_so_and_gives_no_other_numbers(
    change: Callable[[Run, Path], None], first: bool, read: str, verify: bool, run: Run, tmp_path: Path
) -> None:
    several = "join" in change.__name__
    path = record(run, tmp_path / "d", 2) if several else run.record(tmp_path / "d").path
    dynamics = Dynamics.open(path, verify=verify)
    if first:
        same(dynamics, run.block())
    other = run.but(labels=(run.labels + 1) % 4) if "rewound" not in change.__name__ else shifted(run, 1)
    change(other, path)
    if first and read == "layouts":
        assert READS[read](dynamics) == 4  # nothing is read for it
        return
    with pytest.raises(StoreError, match=r"d: it was changed by a recorder since it was opened; open it again"):
        READS[read](dynamics)
    if change in (rewound, overwritten, joined_again):
        same(Dynamics.open(path, verify=verify), other.block())


@dataclass(frozen=True)
class _Shifted(Run):
    start: int = 0

    def logits(self, epoch: int, rows: Any = slice(None)) -> Any:
        return super().logits(epoch + 9 if epoch >= self.start else epoch, rows)


def shifted(run: Run, start: int) -> Run:
    """The same examples, from an epoch on with other logits."""
    return _Shifted(run.ids, run.labels, run.classes, run.epochs, run.batch, start)


@pytest.mark.parametrize("verify", [True, False])
def test_an_open_recording_that_grew_is_what_it_was(verify: bool, run: Run, tmp_path: Path) -> None:
    run.record(tmp_path / "d", 1)
    dynamics = Dynamics.open(tmp_path / "d", verify=verify)
    run.record(tmp_path / "d", 3)
    same(dynamics, run.but(epochs=1).block())


# --- joins -----------------------------------------------------------------------------------------------------------


def test_a_part_that_never_began_anew_takes_part_when_both_go_on_from_the_beginning(run: Run, tmp_path: Path) -> None:
    """Rank 1 was killed before it could overwrite: its epochs are dropped, and with them what made it another run's."""
    path = record(run, tmp_path / "d", 2)
    other = shifted(run, 0)
    with other.recorder(path, overwrite=True, rank=0, world_size=2):
        pass
    with pytest.raises(StoreError, match=r"rank 1 is of the recording that the others have overwritten"):
        Dynamics.open(path)
    recorders = [other.recorder(path, rank=rank, world_size=2) for rank in (0, 1)]
    for rank, recorder in enumerate(recorders):
        with recorder:
            assert recorder.epoch == 0
            for epoch in range(3):
                for batch in share(other, rank, 2, epoch):
                    recorder.update(*batch)
                recorder.end_epoch()
    same(Dynamics.open(path), other.block())
    assert [read_manifest(part_folder(path, rank, 2)).overwrote for rank in (0, 1)] == [True, None]


def test_a_join_says_what_its_parts_have_left_out_and_how_they_took_copies(run: Run, tmp_path: Path) -> None:
    for rank, repeats in enumerate(("refuse", "first")):
        with run.recorder(tmp_path / "d", rank=rank, world_size=2, repeats=repeats, on_error="warn") as recorder:
            for epoch in range(2):
                rows = np.arange(rank, 40, 2)
                recorder.update(run.ids[rows], run.logits(epoch, rows), run.labels[rows])
                for _ in range(epoch * (rank + 1)):
                    recorder.update([-1, -2, -3], np.zeros((3, 4)), [0, 0, 0])
                recorder.end_epoch()
    manifest = Dynamics.open(tmp_path / "d").manifest
    assert [(entry.seen, entry.refused) for entry in manifest.epochs] == [(40, 0), (40, 9)]
    assert manifest.repeats == "first"


def test_a_join_that_lost_what_was_refused_is_made_again_and_others_stay(run: Run, tmp_path: Path) -> None:
    from trainmap.dynamics import parts

    path = record(run, tmp_path / "d", 2, repeats="refuse")
    before = Dynamics.open(path).manifest
    assert before.repeats == "refuse"
    read = parts._read_parts(path)
    assert before.joined == parts._digest(read, 3)
    folder, manifest = read[0]
    entries = [entry.model_copy(update={"refused": 5}) for entry in manifest.epochs]
    write_manifest(folder, manifest.model_copy(update={"epochs": entries}))
    assert [entry.refused for entry in Dynamics.open(path).manifest.epochs] == [5, 5, 5]


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def empty(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize("harm", [cut, flip, empty])
@pytest.mark.parametrize("file", ["manifest.json", "examples.parquet", "epochs/00001.arrow"])
def test_a_join_that_is_damaged_is_made_again_or_says_how(
    file: str, harm: Callable[[Path], None], run: Run, tmp_path: Path
) -> None:
    path = record(run, tmp_path / "d", 2)
    Dynamics.open(path)
    harm(path / file)
    if (file, harm) == ("epochs/00001.arrow", flip):
        for read in (READS["block"], READS["layouts"]):
            with pytest.raises(
                StoreError, match=r"00001.arrow is damaged.*, or remove .*d.manifest.json: then it is joined again"
            ) as found:
                read(Dynamics.open(path))
            assert str(found.value).count("joined again") == 1
        (path / "manifest.json").unlink()
    same(Dynamics.open(path), run.block())


@pytest.mark.parametrize("harm", [cut, flip, empty])
def test_processes_go_on_beside_a_torn_join(harm: Callable[[Path], None], run: Run, tmp_path: Path) -> None:
    path = record(run, tmp_path / "d", 2, epochs=2)
    Dynamics.open(path)
    harm(path / "manifest.json")
    same(Dynamics.open(record(run, path, 2)), run.block())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"joined": None}, r"changed or is damaged"),
        ({"format": "an app"}, r"was not written by trainmap"),
        ({"version": 4}, r"upgrade trainmap"),
    ],
)
def test_a_manifest_of_something_else_is_not_taken_for_a_torn_join(
    change: dict[str, Any], message: str, run: Run, tmp_path: Path
) -> None:
    path = record(run, tmp_path / "d", 2)
    Dynamics.open(path)
    about = json.loads((path / "manifest.json").read_text()) | change
    (path / "manifest.json").write_text(json.dumps(about))
    with pytest.raises(StoreError, match=message):
        Dynamics.open(path)
    assert json.loads((path / "manifest.json").read_text()) == about


def test_the_manifest_of_a_single_process_beside_parts_stays_an_error_when_it_is_torn(run: Run, tmp_path: Path) -> None:
    path = record(run, tmp_path / "d", 2)
    run.record(tmp_path / "w")
    shutil.copy(tmp_path / "w" / "manifest.json", path)
    with pytest.raises(StoreError, match=r"of a single process and parts of several; separate them"):
        Dynamics.open(path)
    cut(path / "manifest.json")
    with pytest.raises(StoreError, match=r"manifest.json"):
        Dynamics.open(path)


# --- what a recording is ---------------------------------------------------------------------------------------------


def test_a_folder_is_a_recording_by_the_files_of_ours_in_it(run: Run, tmp_path: Path) -> None:
    for name in ("epochs", "stats", "parts"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        (tmp_path / "mine" / name / "notes.arrow").write_text("mine")
    assert not is_recording(tmp_path / "mine")
    assert not is_recording(tmp_path / "nothing")
    several = record(run, tmp_path / "several", 2)
    assert is_recording(several)
    for level in ("signals", "stats"):
        single = run.record(tmp_path / level, level=level).path
        assert is_recording(single)
        (single / "manifest.json").unlink()
        assert is_recording(single), "it was one"
    with fresh(run, tmp_path / "began") as recorder:
        assert isinstance(recorder, Recorder)
    assert not is_recording(tmp_path / "began")
