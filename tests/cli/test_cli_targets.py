"""Every option of the command that names what is written: its own kind is replaced, all else is refused untouched."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import trainmap as tm
from trainmap.cli.app import app
from trainmap.errors import TrainmapError
from trainmap.evaluation.predictions import Predictions

N, CLASSES = 40, 3
FILES: dict[str, tuple[str, ...]] = {  # verb and option -> its words and the endings that it takes
    "score --out": ("score DYNAMICS --out TARGET", ".parquet", ".csv"),
    "map --out": ("map DYNAMICS --out TARGET", ".parquet"),
    "map --plot": ("map DYNAMICS --plot TARGET", ".png", ".svg", ".pdf"),
    "select --out": ("select MAP 50%random --out TARGET", ".json"),
    "audit --out": ("audit DYNAMICS --out TARGET", ".parquet", ".csv"),
    "truth --out": ("truth synthetic:examples=200,tests=20 --out TARGET", ".parquet"),
    "forgets --out": ("forgets BEFORE AFTER --out TARGET", ".parquet", ".csv"),
    "forgets --plot": ("forgets BEFORE AFTER --plot TARGET", ".png", ".svg", ".pdf"),
    "report --out": ("report DYNAMICS --out TARGET", ".html"),
    "schema --out": ("schema --out TARGET", ".json"),
    "export study --out": ("export study DYNAMICS --out TARGET", ".json"),
    "export pred-probs --out": ("export pred-probs DYNAMICS --out TARGET", ".npz"),
    "export table --out": ("export table DYNAMICS --out TARGET", ".parquet"),
    "export fiftyone --out": ("export fiftyone MAP --out TARGET", ".json"),
    "export spotlight --out": ("export spotlight MAP --out TARGET", ".parquet", ".csv"),
}
FOLDERS = {"run --out", "federate --out", "demo --out", "compress --out"}  # below, and tests/experiments/test_owner.py
NEW = {
    *(f"import {what} --out" for what in ("allenai", "study", "pred-probs", "map")),
    "export allenai --out",
    "federate --app",
}
WRITES = ("--out", "--plot", "--app")
CASES = [(verb, words, suffix) for verb, (words, *suffixes) in FILES.items() for suffix in suffixes]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("made")
    draws = np.random.default_rng(0)
    ids, labels = np.arange(N), np.arange(N) % CLASSES
    with tm.Recorder(folder / "dynamics", classes=CLASSES, level="logits") as recorder:
        for _ in range(3):
            recorder.update(ids, draws.normal(size=(N, CLASSES)), labels)
            recorder.end_epoch()
    tm.DataMap.from_dynamics(tm.Dynamics.open(folder / "dynamics")).save(folder / "map.parquet")
    for name in ("before", "after"):
        Predictions.of(ids, labels, draws.integers(0, CLASSES, N)).save(folder / f"{name}.parquet")
    named = {name.upper(): folder / f"{name}.parquet" for name in ("map", "before", "after")}
    return {"DYNAMICS": folder / "dynamics", **named}


def call(words: str, target: Path, made: dict[str, Path]) -> None:
    result = CliRunner().invoke(app, [str({**made, "TARGET": target}.get(word, word)) for word in words.split()])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output


def options() -> set[str]:
    """Every option of every verb that names what is written."""

    def of(command: click.Command, name: str) -> set[str]:
        if isinstance(command, click.Group):
            return {found for word, one in command.commands.items() for found in of(one, f"{name} {word}")}
        return {f"{name} {word}".strip() for option in command.params for word in option.opts if word in WRITES}

    return of(typer.main.get_command(app), "")


def test_every_option_that_names_what_is_written_is_in_these_tables() -> None:
    assert options() == set(FILES) | FOLDERS | NEW


@pytest.mark.parametrize(("verb", "words", "suffix"), CASES)
def test_a_verb_writes_over_what_it_wrote(
    verb: str, words: str, suffix: str, made: dict[str, Path], tmp_path: Path
) -> None:
    target = tmp_path / f"target{suffix}"
    call(words, target, made)
    first = target.read_bytes()
    assert first
    call(words, target, made)
    assert target.read_bytes() == first


FOREIGN: dict[str, Callable[[Path], bytes]] = {
    "a text": lambda made: b"id,text\n1,hello\n",
    "a manifest": lambda made: (made / "dynamics" / "manifest.json").read_bytes(),
    "examples of a recording": lambda made: (made / "dynamics" / "examples.parquet").read_bytes(),
    "predictions": lambda made: (made / "before.parquet").read_bytes(),
    "a picture": lambda made: b"\x89PNG\r\n\x1a\n" + bytes(100),
    "a JSON list": lambda made: b"[1, 2]",
    "a zip": lambda made: b"PK\x03\x04" + bytes(50),
    "half a Parquet file": lambda made: b"PAR1" + bytes(50),
}


@pytest.mark.parametrize("what", FOREIGN)
@pytest.mark.parametrize(("verb", "words", "suffix"), CASES)
def test_a_verb_refuses_to_write_over_what_it_did_not_write(
    verb: str, words: str, suffix: str, what: str, made: dict[str, Path], tmp_path: Path
) -> None:
    target = tmp_path / f"target{suffix}"
    content = FOREIGN[what](made["DYNAMICS"].parent)
    target.write_bytes(content)
    with pytest.raises(TrainmapError, match=r"would be written over it: choose another name, or remove it"):
        call(words, target, made)
    assert target.read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


@pytest.mark.parametrize(("verb", "words", "suffix"), CASES)
def test_a_verb_refuses_what_another_verb_wrote(
    verb: str, words: str, suffix: str, made: dict[str, Path], tmp_path: Path
) -> None:
    target = tmp_path / f"target{suffix}"
    pictures = verb.endswith("--plot")
    for other, written, ending in CASES:
        if ending != suffix or other == verb or (pictures and other.endswith("--plot")):
            continue
        call(written, target, made)
        content = target.read_bytes()
        with pytest.raises(TrainmapError, match="would be written over it"):
            call(words, target, made)
        assert target.read_bytes() == content
        target.unlink()


@pytest.mark.parametrize(("verb", "words", "suffix"), CASES)
def test_an_empty_file_is_nobodys_and_a_folder_is_no_file(
    verb: str, words: str, suffix: str, made: dict[str, Path], tmp_path: Path
) -> None:
    target = tmp_path / f"target{suffix}"
    target.touch()
    call(words, target, made)
    assert target.stat().st_size
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(TrainmapError, match="is a folder; name a file"):
        call(words, tmp_path / f"folder{suffix}", made)


def test_an_export_writes_over_nothing_of_a_folder(made: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "td_metrics.jsonl").write_text("theirs")
    for more in ("", " --metrics-only"):
        with pytest.raises(TrainmapError, match="td_metrics"):
            call(f"export allenai DYNAMICS --out TARGET{more}", tmp_path, made)
    assert [path.name for path in tmp_path.iterdir()] == ["td_metrics.jsonl"]
    (tmp_path / "td_metrics.jsonl").unlink()
    call("export allenai DYNAMICS --out TARGET", tmp_path, made)
    with pytest.raises(TrainmapError, match="td_metrics"):
        call("export allenai DYNAMICS --out TARGET", tmp_path, made)


@pytest.mark.parametrize("words", ["demo --out TARGET --teacher-epochs 1", "compress DEMO --out TARGET"])
@pytest.mark.parametrize("mark", ["experiment.json", "manifest.json", "notes"])
def test_a_folder_of_something_else_is_refused(words: str, mark: str, tmp_path: Path) -> None:
    (tmp_path / mark).write_text(json.dumps({}))
    for name in ("report.md", "before.parquet"):
        (tmp_path / name).write_text("mine")
    with pytest.raises(TrainmapError, match="would write over; choose another folder"):
        call(words, tmp_path, {"DEMO": tmp_path / "demo"})
    assert (tmp_path / "report.md").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 3


def test_a_folder_holds_one_compressed_network(tmp_path: Path) -> None:
    order = {"way": "zeros", "amount": 0.5, "spec": "100%", "epochs": 2, "seed": 0}
    (tmp_path / "result.json").write_text(json.dumps({"teacher": "demo", "order": order}))
    demo = {"DEMO": tmp_path / "demo"}
    with pytest.raises(TrainmapError, match="compressed network with way 'zeros', now 'channels'; choose another"):
        call("compress DEMO --out TARGET", tmp_path, demo)
    with pytest.raises(TrainmapError, match="no trained teacher"):  # its own order passes the door
        call("compress DEMO --out TARGET --way zeros", tmp_path, demo)
    (tmp_path / "result.json").write_text("[]")
    with pytest.raises(TrainmapError, match="choose another folder"):
        call("compress DEMO --out TARGET", tmp_path, demo)
