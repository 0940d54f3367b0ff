"""allenai/cartography's epoch files: round trips are exact, and every trap is an error that names file and line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trainmap.dynamics.exchange.allenai import export_epochs, import_allenai
from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.store import Dynamics
from trainmap.errors import StoreError, TrainmapError

GOLDEN = Path(__file__).parents[1] / "recorded" / "allenai_golden.json"

Epochs = list[list[dict[str, Any]]]


def write_files(model: Path, epochs: Epochs) -> Path:
    folder = model / "training_dynamics"
    folder.mkdir(parents=True)
    for epoch, records in enumerate(epochs):
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (folder / f"dynamics_epoch_{epoch}.jsonl").write_text(lines)
    return model


def read_files(model: Path) -> Epochs:
    files = sorted((model / "training_dynamics").iterdir(), key=lambda file: int(file.stem.split("_")[-1]))
    return [[json.loads(line) for line in file.read_text().splitlines()] for file in files]


def simple(epochs: int = 3, guids: tuple[Any, ...] = (7, 3, 5)) -> Epochs:
    return [
        [
            {"guid": guid, f"logits_epoch_{epoch}": [0.5 * row, -1.0, 2.5], "gold": row % 3}
            for row, guid in enumerate(guids)
        ]
        for epoch in range(epochs)
    ]


def float32(records: list[dict[str, Any]], epoch: int) -> dict[Any, tuple[int, bytes]]:
    """guid -> (gold, the bits of its logits in single precision)."""
    return {r["guid"]: (r["gold"], np.array(r[f"logits_epoch_{epoch}"], np.float32).tobytes()) for r in records}


def same_recording(a: Dynamics, b: Dynamics) -> bool:
    """Ids, their type, labels, and every byte of every epoch (by checksum)."""
    return (
        a.ids.dtype.kind == b.ids.dtype.kind
        and a.ids.tolist() == b.ids.tolist()
        and a.labels.tolist() == b.labels.tolist()
        and a.manifest.epochs == b.manifest.epochs
        and a.manifest.model_dump(exclude={"epochs"}) == b.manifest.model_dump(exclude={"epochs"})
    )


text_guids = st.text(st.characters(exclude_categories=["Cs"]), max_size=6).filter(lambda name: not name.endswith("\0"))
guid_lists = st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=8, unique=True) | st.lists(
    text_guids, min_size=1, max_size=8, unique=True
)


@st.composite
def recordings(draw: st.DrawFn) -> tuple[list[Any], Any, Any]:
    guids = draw(guid_lists)
    shape = (draw(st.integers(1, 3)), len(guids), draw(st.integers(2, 5)))
    finite = st.floats(-(2.0**126), 2.0**126, width=32)
    logits = draw(hnp.arrays(np.float32, shape, elements=finite))
    gold = draw(hnp.arrays(np.int64, len(guids), elements=st.integers(0, shape[2] - 1)))
    return guids, logits, gold


@settings(max_examples=40, deadline=None)
@given(recordings())
def test_files_to_dynamics_to_files_keeps_guids_gold_and_every_bit_of_the_logits(
    tmp_path_factory: pytest.TempPathFactory, recording: tuple[list[Any], Any, Any]
) -> None:
    guids, logits, gold = recording
    root = tmp_path_factory.mktemp("exchange")
    epochs = [
        [
            {"guid": guid, f"logits_epoch_{epoch}": row.tolist(), "gold": int(label)}
            for guid, row, label in zip(guids, values, gold, strict=True)
        ]
        for epoch, values in enumerate(logits)
    ]
    first = import_allenai(write_files(root / "model", epochs), root / "first")
    export_epochs(first, root / "again")
    second = import_allenai(root / "again", root / "second")
    written = read_files(root / "again")
    for epoch, records in enumerate(epochs):
        assert float32(written[epoch], epoch) == float32(records, epoch)
        assert [record["guid"] for record in written[epoch]] == guids
    assert same_recording(first, second)
    rows = [guids.index(name) for name in first.ids.tolist()]
    for epoch in range(first.epochs):
        assert first.column(epoch, "logits").tobytes() == logits[epoch][rows].tobytes()


def test_the_order_within_later_epochs_does_not_matter(tmp_path: Path) -> None:
    straight, shuffled = simple(), simple()
    shuffled[1].reverse()
    a = import_allenai(write_files(tmp_path / "a", straight), tmp_path / "da")
    b = import_allenai(write_files(tmp_path / "b", shuffled), tmp_path / "db")
    assert same_recording(a, b)


def test_imported_dynamics_equal_what_a_recorder_makes_of_the_same_logits(tmp_path: Path) -> None:
    logits = np.random.default_rng(0).normal(size=(4, 50, 5)).astype(np.float32)
    gold = np.arange(50) % 5
    with Recorder(tmp_path / "recorded", classes=5) as recorder:
        for values in logits:
            recorder.update(np.arange(50), values, gold)
            recorder.end_epoch()
    epochs = [
        [{"guid": i, f"logits_epoch_{epoch}": values[i].tolist(), "gold": int(gold[i])} for i in range(50)]
        for epoch, values in enumerate(logits)
    ]
    recorded = Dynamics.open(tmp_path / "recorded").block()
    imported = import_allenai(write_files(tmp_path / "model", epochs), tmp_path / "imported").block()
    for name, column in recorded.signals.items():
        assert column.tobytes() == imported[name].tobytes(), name


def test_half_precision_logits_of_a_recorder_come_back_with_the_same_values(tmp_path: Path) -> None:
    logits = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    with Recorder(tmp_path / "recorded", classes=4, level="logits") as recorder:
        recorder.update(np.arange(20), logits, np.arange(20) % 4)
        recorder.end_epoch()
    recorded = Dynamics.open(tmp_path / "recorded")
    export_epochs(recorded, tmp_path / "model")
    back = import_allenai(tmp_path / "model", tmp_path / "back")
    assert recorded.column(0, "logits").dtype == np.float16
    np.testing.assert_array_equal(back.column(0, "logits"), recorded.column(0, "logits").astype(np.float32))
    block = back.block(signals=["logits", "p_gold"])
    assert block.logits is not None
    assert block.logits.dtype == np.float32


def test_the_golden_file_imports_to_the_scores_of_the_reference_code(tmp_path: Path) -> None:
    from trainmap.scores.compute import compute

    golden = json.loads(GOLDEN.read_text())
    dynamics = import_allenai(write_files(tmp_path / "model", golden["epochs"]), tmp_path / "dynamics")
    for case in golden["cases"]:
        if case["include_ci"]:
            continue
        epochs = min(case["burn_out"], dynamics.epochs)
        names = ["threshold_closeness", "confidence", "variability", "correctness", "forgetting"]
        scores = compute(dynamics, names, epochs=epochs)
        for row, name in enumerate(dynamics.ids.tolist()):
            expected = next(metrics for metrics in case["metrics"] if metrics["guid"] == name)
            for score in names[:3]:
                assert scores[score][row] == pytest.approx(expected[score], abs=1e-7)
            assert scores["correctness"][row] == expected["correctness"]
            never = expected["forgetfulness"] == 1000
            assert scores["forgetting"][row] == (np.inf if never else expected["forgetfulness"])


def test_stray_files_do_not_count_as_epochs(tmp_path: Path) -> None:
    model = write_files(tmp_path / "model", simple())
    for name in (".DS_Store", "notes.txt"):
        (model / "training_dynamics" / name).write_text("x")
    assert import_allenai(model, tmp_path / "dynamics").epochs == 3
    assert import_allenai(model / "training_dynamics", tmp_path / "same").epochs == 3


def test_what_is_nearly_an_epoch_file_is_not_passed_over(tmp_path: Path) -> None:
    model = write_files(tmp_path / "model", simple())
    (model / "training_dynamics" / "dynamics_epoch_3.jsonl.gz").write_text("x")
    with pytest.raises(StoreError, match=r"dynamics_epoch_3.jsonl.gz is no dynamics_epoch_N.jsonl"):
        import_allenai(model, tmp_path / "dynamics")


def test_epochs_without_a_file_are_named(tmp_path: Path) -> None:
    model = write_files(tmp_path / "model", simple(5))
    for epoch in (1, 3):
        (model / "training_dynamics" / f"dynamics_epoch_{epoch}.jsonl").unlink()
    with pytest.raises(StoreError, match=r"0 to 4 without a gap; dynamics_epoch_1.jsonl is missing \(and 1 more\)"):
        import_allenai(model, tmp_path / "dynamics")


def test_a_folder_without_epochs_says_what_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"holds no dynamics_epoch_N.jsonl"):
        import_allenai(tmp_path, tmp_path / "dynamics")
    with pytest.raises(StoreError, match="not a folder"):
        import_allenai(tmp_path / "nowhere", tmp_path / "dynamics")


def change(epochs: Epochs, epoch: int, row: int, **fields: Any) -> Epochs:
    epochs[epoch][row] |= fields
    return epochs


def without(epochs: Epochs, epoch: int, row: int, field: str) -> Epochs:
    del epochs[epoch][row][field]
    return epochs


TRAPS = {
    "gold changes": (change(simple(), 2, 1, gold=2), r"epoch_2.jsonl line 2: guid 3 has gold 2, before it was 1"),
    "gold outside": (change(simple(), 0, 1, gold=3), r"epoch_0.jsonl line 2: gold must be 0 to 2, got 3 \(guid 3\)"),
    "gold is a float": (change(simple(), 0, 1, gold=1.0), r"epoch_0.jsonl line 2: gold must be 0 to 2, got 1.0"),
    "NaN": (
        change(simple(), 1, 2, logits_epoch_1=[0.0, float("nan"), 1.0]),
        r"epoch_1.jsonl line 3: logits_epoch_1 must be finite numbers within .1.7e\+38, got NaN \(guid 5\)",
    ),
    "infinity": (change(simple(), 1, 2, logits_epoch_1=[0.0, 1e999, 1.0]), r"epoch_1.jsonl line 3: .* got Infinity"),
    "too large for float32": (change(simple(), 1, 2, logits_epoch_1=[0, 1e39, 1]), r"epoch_1.jsonl line 3: .* 1e\+39"),
    "too large for signals": (change(simple(), 1, 2, logits_epoch_1=[0, 2e38, 1]), r"epoch_1.jsonl line 3: .* 2e\+38"),
    "null among the logits": (
        change(simple(), 1, 2, logits_epoch_1=[0, None, 1]),
        r"epoch_1.jsonl line 3: .* got null",
    ),
    "another number of classes": (
        change(simple(), 1, 0, logits_epoch_1=[0.0, 1.0]),
        r"epoch_1.jsonl line 1: logits_epoch_1 must be 3 numbers, got 2 values \(guid 7\)",
    ),
    "guid twice": (change(simple(), 1, 2, guid=7, gold=0), r"epoch_1.jsonl line 3: guid 7 came already on line 1"),
    "guid twice in the first epoch": (
        change(simple(), 0, 2, guid=7, gold=0),
        r"epoch_0.jsonl line 3: guid 7 came already on line 1",
    ),
    "guid new": (change(simple(), 1, 2, guid=9), r"epoch_1.jsonl line 3: guid 9 is not in epoch 0; pass allow_missing"),
    "guid missing later": (
        [*simple(2), simple()[2][:2]],
        r"epoch_2.jsonl: 1 of 3 guids are missing \(first: 5\); pass allow_missing=True",
    ),
    "a string among integer guids": (
        change(simple(), 1, 1, guid="3"),
        r'epoch_1.jsonl line 2: guid must be like the first ones, which are integers, got "3"',
    ),
    "an integer among string guids": (
        change(simple(guids=("7", "3", "5")), 1, 1, guid=3),
        r"epoch_1.jsonl line 2: guid must be like the first ones, which are strings, got 3",
    ),
    "guid beyond 64 bits": (change(simple(), 0, 1, guid=2**63), r"epoch_0.jsonl line 2: guid must fit in 64 bits"),
    "guid that numpy would change": (
        change(simple(guids=("a", "b", "c")), 0, 1, guid="a\0"),
        r"epoch_0.jsonl line 2: guid .* ends in NUL",
    ),
    "guid that is no text": (
        change(simple(guids=("a", "b", "c")), 0, 1, guid="\ud800"),
        r"line 2: guid .* not Unicode",
    ),
    "no gold": (without(simple(), 1, 1, "gold"), r"epoch_1.jsonl line 2: field 'gold' is missing"),
    "logits of another epoch": (
        [*simple(2), simple()[1]],
        r"epoch_2.jsonl line 1: field 'logits_epoch_2' is missing; it has 'guid', 'logits_epoch_1', 'gold'",
    ),
    "a further field": (
        change(simple(), 1, 1, loss=0.3),
        r"epoch_1.jsonl line 2: field 'loss' has no place in dynamics; pass ignore_fields=True",
    ),
    "an empty epoch": ([*simple(2), []], r"epoch_2.jsonl: .*[Ee]mpty"),
}


@pytest.mark.parametrize("trap", TRAPS)
def test_a_trap_is_an_error_that_names_file_and_line_and_leaves_nothing(tmp_path: Path, trap: str) -> None:
    epochs, message = TRAPS[trap]
    model = write_files(tmp_path / "model", epochs)
    with pytest.raises(StoreError, match=message):
        import_allenai(model, tmp_path / "dynamics")
    assert [item.name for item in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("ending", "message"),
    [
        ('{"guid": 9, "logits_ep', r"epoch_2.jsonl line 4: must be one JSON object .*is the file torn\?"),
        ("[1, 2]\n", r"epoch_2.jsonl line 4: must be a JSON object, got list"),
        ("hello\n", r"epoch_2.jsonl line 4: must be one JSON object"),
        ("null\n", r"epoch_2.jsonl line 4: must be a JSON object, got NoneType"),
        ("\n \n null", r"epoch_2.jsonl line 6: must be a JSON object, got NoneType"),
        ("\n\nhello\n", r"epoch_2.jsonl line 6: must be one JSON object"),
    ],
)
def test_lines_that_are_not_json_objects_are_named(tmp_path: Path, ending: str, message: str) -> None:
    model = write_files(tmp_path / "model", simple())
    with open(model / "training_dynamics" / "dynamics_epoch_2.jsonl", "a") as handle:
        handle.write(ending)
    with pytest.raises(StoreError, match=message):
        import_allenai(model, tmp_path / "dynamics")


def test_a_first_line_that_is_null_is_named_and_does_not_end_the_process(tmp_path: Path) -> None:
    model = write_files(tmp_path / "model", simple())
    file = model / "training_dynamics" / "dynamics_epoch_1.jsonl"
    file.write_text("null\n" + file.read_text())
    with pytest.raises(StoreError, match=r"epoch_1.jsonl line 1: must be a JSON object, got NoneType"):
        import_allenai(model, tmp_path / "dynamics")


def test_blank_lines_and_windows_line_ends_are_nothing(tmp_path: Path) -> None:
    plain = import_allenai(write_files(tmp_path / "a", simple()), tmp_path / "da")
    model = write_files(tmp_path / "b", simple())
    for file in (model / "training_dynamics").iterdir():
        file.write_bytes(b"\r\n" + file.read_bytes().replace(b"\n", b"\r\n\r\n"))
    assert same_recording(plain, import_allenai(model, tmp_path / "db"))


def test_further_fields_can_be_left_out_on_request(tmp_path: Path) -> None:
    plain = import_allenai(write_files(tmp_path / "a", simple()), tmp_path / "da")
    more = change(simple(), 1, 1, loss=0.3)
    back = import_allenai(write_files(tmp_path / "b", more), tmp_path / "db", ignore_fields=True)
    assert same_recording(plain, back)


def test_missing_and_late_guids_are_kept_as_not_seen_and_survive_a_round_trip(tmp_path: Path) -> None:
    epochs = simple(3, ("b", "a", "d", "c"))
    del epochs[0][1], epochs[1][0], epochs[2][2]
    first = import_allenai(write_files(tmp_path / "model", epochs), tmp_path / "first", allow_missing=True)
    assert first.ids.tolist() == ["a", "b", "c", "d"]
    assert [entry.seen for entry in first.manifest.epochs] == [3, 3, 3]
    np.testing.assert_array_equal(
        np.isnan(first.block().p_gold), [[True, False, False, False], [False, True, False, False], [False] * 3 + [True]]
    )
    export_epochs(first, tmp_path / "again")
    assert [{r["guid"] for r in records} for records in read_files(tmp_path / "again")] == [
        {r["guid"] for r in records} for records in epochs
    ]
    assert same_recording(first, import_allenai(tmp_path / "again", tmp_path / "second", allow_missing=True))


def test_an_example_that_no_epoch_saw_cannot_be_exported(tmp_path: Path) -> None:
    with Recorder(tmp_path / "d", 3, ids=[1, 2, 9], labels=[0, 1, 2], level="logits", allow_missing=True) as recorder:
        recorder.update([1, 2], np.zeros((2, 3)), [0, 1])
        recorder.end_epoch()
    with pytest.raises(TrainmapError, match=r"1 examples were seen in no epoch \(first: 9\)"):
        export_epochs(Dynamics.open(tmp_path / "d"), tmp_path / "model")
    assert not (tmp_path / "model" / "training_dynamics").exists()


def test_an_export_needs_logits_and_says_what_to_do_without(tmp_path: Path) -> None:
    with Recorder(tmp_path / "d", 3) as recorder:
        recorder.update([1, 2], np.zeros((2, 3)), [0, 1])
        recorder.end_epoch()
    with pytest.raises(TrainmapError, match=r"needs logits.*record with level='logits', or export td_metrics.jsonl"):
        export_epochs(Dynamics.open(tmp_path / "d"), tmp_path / "model")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    model = write_files(tmp_path / "model", simple())
    dynamics = import_allenai(model, tmp_path / "d")
    before = (tmp_path / "d" / "manifest.json").read_bytes()
    with pytest.raises(StoreError, match=r"must be a new or an empty folder, it holds 'epochs', 'examples.parquet'"):
        import_allenai(model, tmp_path / "d")
    with pytest.raises(StoreError, match="must be a new or an empty folder"):
        export_epochs(dynamics, model)
    assert (tmp_path / "d" / "manifest.json").read_bytes() == before


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    assert import_allenai(write_files(tmp_path / "model", simple()), tmp_path / "d").epochs == 3


def test_progress_counts_epochs(tmp_path: Path) -> None:
    steps: list[int] = []
    dynamics = import_allenai(write_files(tmp_path / "model", simple(4)), tmp_path / "d", on_progress=steps.append)
    export_epochs(dynamics, tmp_path / "again", steps.append)
    assert steps == [1] * 8


PEAK = """
import sys
from trainmap.dynamics.exchange.allenai import export_epochs, import_allenai
from trainmap.dynamics.store import Dynamics
verb, source, out = sys.argv[1:]
import_allenai(source, out) if verb == "import" else export_epochs(Dynamics.open(source), out)
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc")
def test_half_a_million_examples_and_six_epochs_stay_far_below_a_gigabyte(tmp_path: Path) -> None:
    from trainmap.dynamics.exchange.whole_folder import write_dynamics
    from trainmap.dynamics.signals import signals_from_logits

    rng = np.random.default_rng(0)
    ids, labels = np.arange(500_000), rng.integers(0, 3, 500_000)
    logits = (rng.normal(size=(len(ids), 3)).astype(np.float32) for _ in range(6))
    epochs = ((signals_from_logits(values, labels) | {"logits": values}, len(ids)) for values in logits)
    made = write_dynamics(tmp_path / "made", ids, labels, 3, "train", epochs, {}, {"order": rng.permutation(len(ids))})
    for verb, source, out in (("export", "made", "model"), ("import", "model", "back")):
        command = [sys.executable, "-c", PEAK, verb, str(tmp_path / source), str(tmp_path / out)]
        kibibytes = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        assert kibibytes < 600 * 1024, verb
    assert Dynamics.open(tmp_path / "back").manifest.epochs == made.manifest.epochs


@pytest.mark.parametrize(
    ("guid", "logits", "message"),
    [
        ("1.0", "[0.5, -0.5]", r"line 1: guid must be an integer or a string, got 1\.0; an id is a name: write 1$"),
        ("1.5", "[0.5, -0.5]", r'got 1\.5; an id is a name: write "1\.5"$'),
        ("1", "[-Infinity, 0.5]", r"masks the gold class \(guid 1\)"),
        ("1", "[-3.40282347e38, 0.5]", r"masks the gold class \(guid 1\)"),
    ],
)
def test_a_guid_that_is_a_float_and_a_mask_are_told_apart_from_divergence(
    guid: str, logits: str, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "training_dynamics" / "dynamics_epoch_0.jsonl"
    file.parent.mkdir()
    file.write_text(f'{{"guid": {guid}, "logits_epoch_0": {logits}, "gold": 0}}\n')
    with pytest.raises(StoreError, match=message) as caught:
        import_allenai(tmp_path, tmp_path / "out")
    assert "diverged" not in str(caught.value)


@pytest.mark.parametrize("mask", ["-Infinity", "-3.40282347e+38"])
def test_a_masked_class_is_imported_as_one(mask: str, tmp_path: Path) -> None:
    file = tmp_path / "training_dynamics" / "dynamics_epoch_0.jsonl"
    file.parent.mkdir()
    file.write_text(f'{{"guid": 1, "logits_epoch_0": [0.5, {mask}, 0.25], "gold": 0}}\n')
    made = import_allenai(tmp_path, tmp_path / "out")
    assert made.column(0, "logits").tolist() == [[0.5, -float("inf"), 0.25]]
    assert made.column(0, "margin").tolist() == [0.25]


@pytest.mark.parametrize("top", [0.0, 20.0, -300.0, 12345.678, 1e8, -1e8, 1e9])
def test_signals_are_of_the_logits_that_are_written_however_large(top: float, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    logits = top + generator.normal(0, 2, (50, 4))
    logits[:10, 3], gold = -np.inf, np.arange(50) % 3
    lines = [{"guid": row, "logits_epoch_0": logits[row].tolist(), "gold": int(gold[row])} for row in range(50)]
    made = import_allenai(write_files(tmp_path / "model", [lines]), tmp_path / "d")
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p = (p / p.sum(axis=1, keepdims=True))[np.arange(50), gold]
    np.testing.assert_allclose(made.column(0, "p_gold"), p, atol=1e-6)
    np.testing.assert_allclose(made.column(0, "loss"), -np.log(p), rtol=1e-6, atol=1.5e-6)
    export_epochs(made, tmp_path / "out")
    again = import_allenai(tmp_path / "out", tmp_path / "e")
    assert again.column(0, "logits").tobytes() == made.column(0, "logits").tobytes()
    assert again.column(0, "p_gold").tobytes() == made.column(0, "p_gold").tobytes()


def test_nine_digits_of_a_large_float32_are_that_float32(tmp_path: Path) -> None:
    logits = (np.random.default_rng(0).normal(0, 2, (50, 4)) + 12345.678).astype(np.float32)
    lines = [
        {"guid": row, "logits_epoch_0": [float(f"{z:.9g}") for z in logits[row].tolist()], "gold": 0}
        for row in range(50)
    ]
    made = import_allenai(write_files(tmp_path / "model", [lines]), tmp_path / "d")
    assert made.column(0, "logits").tobytes() == logits.tobytes()
