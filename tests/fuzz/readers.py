"""Every reader of trainmap: how a small sound input of it is made, which of its files are damaged, how it is read.

A new reader is a line in ``READERS``.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import struct
import wave
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import polars as pl

import trainmap as tm
from trainmap.files import write_json

N, C, E = 24, 3, 3
SEED = 5


@dataclass(frozen=True)
class Reader:
    """What is fuzzed.

    Attributes:
        make: writes a sound input into an empty folder.
        read: reads it; everything it writes goes into the folder.
        damage: globs of the files that are damaged.
        weight: share of the inputs; less for readers that take long.
        repair: makes the checksums of a recording those of the damaged files again, so that what lies behind them is
            reached.
    """

    make: Callable[[Path], None]
    read: Callable[[Path], Any]
    damage: Sequence[str] = ("*",)
    weight: float = 1.0
    repair: Callable[[Path, Path], None] | None = None


def numbers() -> tuple[Any, Any, Any]:
    draws = np.random.default_rng(SEED)
    return np.arange(N) * 3, draws.normal(size=(E, N, C)), draws.integers(0, C, N)


# --- recordings -----------------------------------------------------------------------------------------------------


def record(folder: Path, names: bool = False, **options: Any) -> None:
    ids, logits, labels = numbers()
    ids = np.array([f"name-{name}" for name in ids]) if names else ids
    with tm.Recorder(folder / "d", classes=C, **options) as recorder:
        for epoch in range(E):
            recorder.update(ids, logits[epoch], labels)
            recorder.end_epoch()


def record_parts(folder: Path) -> None:
    ids, logits, labels = numbers()
    for rank in range(2):
        with tm.Recorder(folder / "d", classes=C, rank=rank, world_size=2) as recorder:
            for epoch in range(E):
                recorder.update(ids[rank::2], logits[epoch, rank::2], labels[rank::2])
                recorder.end_epoch()


def open_recording(folder: Path) -> None:
    dynamics = tm.Dynamics.open(folder / "d")
    if dynamics.level != "stats":
        dynamics.block()
        for signal in dynamics.signals:
            dynamics.column(0, signal)
    tm.DataMap.from_dynamics(dynamics, ["confidence", "variability", "correctness"], workers=1)


def open_logits(folder: Path) -> None:
    from trainmap.dynamics.exchange.pred_probs import pred_probs

    dynamics = tm.Dynamics.open(folder / "d")
    pred_probs(dynamics)
    dynamics.verify()


def same_checksum(folder: Path, file: Path) -> None:
    """The manifest beside an Arrow file says what the file now is."""
    manifest = file.parent.parent / "manifest.json"
    if file.suffix != ".arrow" or not file.is_file() or file.is_symlink():
        return
    about, data = json.loads(manifest.read_bytes()), file.read_bytes()
    for entry in [*about["epochs"], *([about["stats"]] if about.get("stats") else [])]:
        if entry["file"] == file.relative_to(manifest.parent).as_posix():
            entry |= {"bytes": len(data), "crc32": zlib.crc32(data)}
    manifest.write_text(json.dumps(about))


# --- maps, plans, cards, predictions --------------------------------------------------------------------------------


def save_map(folder: Path) -> None:
    record(folder)
    tm.DataMap.from_dynamics(tm.Dynamics.open(folder / "d"), workers=1).save(folder / "map.parquet")


def open_map(folder: Path) -> None:
    datamap = tm.DataMap.open(folder / "map.parquet")
    for score in datamap.scores:
        datamap.values(score)
    _ = datamap.fingerprint, datamap.overlap()
    tm.select(datamap, "30% ambiguous + 3 random", seed=0)


def save_card(folder: Path) -> None:
    save_map(folder)
    tm.select(tm.DataMap.open(folder / "map.parquet"), "30% ambiguous + 3 random", seed=0).save(folder / "card.json")


def save_plans(folder: Path) -> None:
    from trainmap.audits.planted import plan_flips, plan_threshold_samples

    ids, _, labels = numbers()
    plan_flips(labels, 0.2, ids=ids).save(folder / "flips.json")
    plan_threshold_samples(labels, ids=ids).save(folder / "samples.json")


def open_plans(folder: Path) -> None:
    from trainmap.audits.planted import Flips, ThresholdSamples

    ids, _, labels = numbers()
    Flips.open(folder / "flips.json").apply(ids, labels)
    ThresholdSamples.open(folder / "samples.json").apply(0, ids, labels)


def save_predictions(folder: Path) -> None:
    from trainmap.evaluation.predictions import Predictions

    ids, logits, labels = numbers()
    Predictions.of(ids, labels, logits.argmax(axis=2)).save(folder / "p.parquet")


def open_predictions(folder: Path) -> None:
    from trainmap.evaluation.predictions import Predictions

    _ = Predictions.open(folder / "p.parquet").modal


# --- files of others ------------------------------------------------------------------------------------------------


def save_pred_probs(folder: Path) -> None:
    ids, logits, labels = numbers()
    p = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    np.savez(folder / "p.npz", pred_probs=p, labels=labels, ids=ids)


def open_pred_probs(folder: Path) -> None:
    from trainmap.dynamics.exchange.pred_probs import import_pred_probs, read_pred_probs

    import_pred_probs(**read_pred_probs(folder / "p.npz"), out=folder / "out")


def save_allenai(folder: Path) -> None:
    ids, logits, labels = numbers()
    (folder / "training_dynamics").mkdir()
    for epoch in range(E):
        lines = [
            json.dumps(
                {"guid": f"g{ids[row]}", f"logits_epoch_{epoch}": logits[epoch, row].tolist(), "gold": int(labels[row])}
            )
            for row in range(N)
        ]
        (folder / "training_dynamics" / f"dynamics_epoch_{epoch}.jsonl").write_text("\n".join(lines) + "\n")


def open_allenai(folder: Path) -> None:
    from trainmap.dynamics.exchange.allenai import import_allenai

    import_allenai(folder, folder / "out", allow_missing=Random(str(folder.stat().st_mtime_ns)).random() < 0.5)


def save_study_file(folder: Path) -> None:
    draws = np.random.default_rng(0)
    four = {"confidence": 0.5, "variability": 0.1, "correctness": 1.0, "forgetfulness": 0.0}
    entries = {str(row): {"gold_label_probs": draws.random(E).tolist(), **four} for row in range(N)}
    (folder / "a.json").write_text(json.dumps(entries))


def open_study_file(folder: Path) -> None:
    from trainmap.dynamics.exchange.study_json import import_study

    import_study(folder / "a.json", folder / "out", classes=C)


# --- datasets -------------------------------------------------------------------------------------------------------


def open_idx(folder: Path) -> None:
    from trainmap.data import sources
    from trainmap.errors import TrainmapError

    def nowhere(*_: Any) -> Any:
        raise TrainmapError("nothing is downloaded here")

    sources._download = nowhere
    splits("mnist")(folder)


def splits(name: str) -> Callable[[Path], Any]:
    def read(folder: Path) -> Any:
        from trainmap.data.dataset import load_splits

        return load_splits(name.format(folder=folder), folder)

    return read


def pictures() -> tuple[Any, Any, Any, Any]:
    draws = np.random.default_rng(SEED)
    x, y = draws.integers(0, 255, (40, 28, 28)).astype(np.uint8), np.arange(40, dtype=np.uint8) % 10
    return x, y, x[:20], y[:20]


def save_images(folder: Path) -> None:
    names = ("x_train", "y_train", "x_test", "y_test")
    np.savez_compressed(folder / "a.npz", **dict(zip(names, pictures(), strict=True)))


def save_idx(folder: Path) -> None:
    from trainmap.data.sources import IDX_FILES

    for at, (name, array) in enumerate(zip(IDX_FILES, pictures(), strict=True)):
        head = bytes((0, 0, 8, array.ndim)) + b"".join(struct.pack(">i", side) for side in array.shape)
        data = head + array.tobytes()
        if at % 2:
            (folder / f"{name}.gz").write_bytes(gzip.compress(data))
        else:
            (folder / name).write_bytes(data)


def save_table(folder: Path) -> None:
    draws = np.random.default_rng(SEED)
    columns = {"a": draws.normal(size=60), "b": draws.integers(0, 9, 60), "c": ["x", "y", "z"] * 20}
    pl.DataFrame({"id": range(60), **columns, "label": ["yes", "no"] * 30}).write_parquet(folder / "t.parquet")


def save_texts(folder: Path) -> None:
    split = ["train"] * 40 + ["test"] * 20
    texts = [f"a text number {at} of {at % 7}" for at in range(60)]
    pl.DataFrame({"text": texts, "label": [0, 1, 2] * 20, "split": split}).write_parquet(folder / "t.parquet")


def save_clinc(folder: Path) -> None:
    split = ["train"] * 30 + ["val"] * 15 + ["test"] * 15
    about = {"text": [f"a text {at % 9}" for at in range(60)], "label": ["a", "b", "oos"] * 20, "split": split}
    pl.DataFrame({**about, "is_oos": [False, False, True] * 20}).write_parquet(folder / "clinc150.parquet")


def save_pairs(folder: Path) -> None:
    rows = [
        {"part": part, "split": split, "label": label, "premise": f"a man {part} runs", "hypothesis": "a man moves"}
        for split in ("train", "dev", "test")
        for part in ("original", "revised_premise", "revised_hypothesis")
        for label in ("neutral", "entailment", "contradiction")
    ]
    pl.DataFrame(rows).write_parquet(folder / "cad_nli.parquet")


def open_pairs(folder: Path) -> None:
    from trainmap.evaluation.counterfactual import load_counterfactual

    load_counterfactual(folder)


def save_picture_folder(folder: Path) -> None:
    from PIL import Image

    draws = np.random.default_rng(SEED)
    endings = ("png", "jpg", "bmp", "gif", "webp", "tif", "ppm")
    for at, ending in enumerate(endings * 2):
        place = folder / "p" / ("cats", "dogs")[at % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draws.integers(0, 255, (8, 8, 3)).astype(np.uint8)).save(place / f"{at}.{ending}")


def sound(folder: Path, name: str, seconds: float = 0.3, rate: int = 8000) -> None:
    signal = (np.sin(np.arange(int(seconds * rate)) / 7) * 9000).astype(np.int16)
    folder.mkdir(parents=True, exist_ok=True)
    with wave.open(str(folder / name), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(signal.tobytes())


def save_sounds(folder: Path) -> None:
    place = folder / "speech_commands"
    for at in range(8):
        sound(place / ("yes", "no")[at % 2], f"{at}.wav")
    (place / "validation_list.txt").write_text("yes/0.wav\nno/1.wav\n")
    (place / "testing_list.txt").write_text("yes/2.wav\nno/3.wav\n")


def save_fsdd(folder: Path) -> None:
    audio = (np.sin(np.arange(20 * 2000) / 7) * 9000).astype(np.int16)
    about = {"digit": np.arange(20) % 10, "take": np.arange(20), "rate": np.array(8000)}
    np.savez(folder / "fsdd.npz", audio=audio, offsets=np.arange(21) * 2000, **about)


def save_hub(folder: Path) -> None:
    import datasets

    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    rows = {"text": [f"a text {at}" for at in range(20)], "label": [0, 1] * 10}
    made = datasets.Dataset.from_dict(rows, features)
    datasets.DatasetDict({"train": made, "test": made}).save_to_disk(str(folder / "h"))


def save_labels(folder: Path) -> None:
    np.savez(folder / "labels.npz", noisy=np.arange(N) % C)


def made_dataset(classes: int = C) -> Any:
    from trainmap.data.dataset import Dataset

    draws = np.random.default_rng(0)
    y = draws.integers(0, classes, N)
    return Dataset("made", np.arange(N), draws.normal(size=(N, 4)).astype(np.float32), y, classes)


def open_labels(folder: Path) -> None:
    from trainmap.data.relabel import relabelled

    relabelled(made_dataset(), "labels.npz:noisy", folder)


# --- what training keeps --------------------------------------------------------------------------------------------


def network() -> Any:
    from trainmap.models.build import build

    return build("linear", C, made_dataset().inputs, 0)


def save_teacher(folder: Path) -> None:
    from trainmap.distillation.cache import teacher_logits

    teacher_logits(network(), made_dataset(), folder / "t.npy")
    card = json.loads((folder / "t.npy.json").read_text())
    write_json(folder / "u.npy.partial.json", {**card, "done": 0})
    np.save(folder / "u.npy.partial.npy", np.zeros((N, C), np.float16))
    (folder / "u.npy.partial.npy").rename(folder / "u.npy.partial")


def open_teacher(folder: Path) -> None:
    from trainmap.distillation.cache import teacher_logits
    from trainmap.training.boosting import boosted_teacher

    np.array(teacher_logits(network(), made_dataset(), folder / "t.npy"))
    teacher_logits(network(), made_dataset(), folder / "u.npy")
    del boosted_teacher


def save_embeddings(folder: Path) -> None:
    open_embeddings(folder)


def open_embeddings(folder: Path) -> None:
    from trainmap.data.texts import embeddings

    texts = [f"text {at}" for at in range(N)]
    encode = embeddings(texts, folder / "cache", lambda these: np.ones((len(these), 6), np.float32), "ones")
    encode(np.arange(3))


def save_weights(folder: Path) -> None:
    from trainmap.compression.compressed import uncompressed
    from trainmap.compression.network_files import save

    save(uncompressed(network(), made_dataset().inputs), folder / "w.pt", made_dataset().inputs)


def open_weights(folder: Path) -> None:
    from trainmap.compression.network_files import load_weights

    load_weights(network(), folder / "w.pt")


def optimizer(model: Any) -> Any:
    import torch

    return torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)


def save_checkpoint(folder: Path) -> None:
    import torch

    from trainmap.training.checkpoint import Progress, save

    model = network()
    own = optimizer(model)
    model(torch.zeros(2, 4)).sum().backward()
    own.step()
    for epoch in range(2):
        save(folder / "c.pt", {"data": "x"}, Progress(epoch + 1, 3, 4, 5.0), model, own)


def open_checkpoint(folder: Path) -> None:
    from trainmap.training.checkpoint import resume

    model = network()
    resume(folder / "c.pt", {"data": "x"}, None, model, optimizer(model))


def save_onnx(folder: Path) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["b", C])
    weight = numpy_helper.from_array(np.ones((4, C), np.float32), "w")
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (folder / "n.onnx").write_bytes(model.SerializeToString())
    del onnx


def open_onnx(folder: Path) -> None:
    from trainmap.compression.onnx_network import OnnxNetwork
    from trainmap.files import read_bytes

    OnnxNetwork(read_bytes(folder / "n.onnx"))


# --- experiments ----------------------------------------------------------------------------------------------------

YAML = """\
title: Tiny
data: {names: [digits], root: ./data}
teachers:
- {model: mlp-256, name: maker, epochs: 2}
maps: [{teacher: maker, fraction: 0.3}]
subsets: [full, random, ambiguous, {spec: "bottom {percent} confidence", name: the hardest}]
sizes: [0.2, 0.33]
students: [{model: mlp-256, epochs: 1, distillation: [null, {temperature: 2.0}]}]
seeds: [0, 1]
small: {seeds: [0], students: [{model: mlp-256}]}
grid:
  cross: {"students.*.recipe.peak_lr": [0.05, 0.1]}
  zip: {"sizes": [[0.1], [0.2]], "level": [0.9, 0.95]}
notes: ["a note"]
"""


def save_yaml(folder: Path) -> None:
    (folder / "a.yaml").write_text(YAML)


def open_yaml(folder: Path) -> None:
    from trainmap.experiments.file.variants import load_experiment

    load_experiment(folder / "a.yaml", None, ["students.*.epochs=2"])


def result_of(kind: str, at: int) -> dict[str, Any]:
    """What a task of a kind returns, with plausible numbers."""
    trained = {
        **{
            f"{part}_{metric}": 0.5 + at % 7 / 20
            for part in ("test", "validation")
            for metric in ("accuracy", "macro_f1")
        },
        "steps": 30,
        "examples_seen": 900,
        "train_flops": 10**6,
        "train_seconds": 1.5,
        "train_cpu_seconds": 1.2,
        "train_loss": 0.3,
        "parameters": 900,
        "examples": 300,
    }
    return {
        "teacher": trained | {"epochs": 2, "sweep_seconds": 0.0},
        "student": trained,
        "map": {
            "fingerprint": "f",
            "dataset": "d",
            "epochs": 2,
            "recorded_epochs": 2,
            "scores": ["confidence"],
            "scoring_seconds": 0.1,
            "scoring_cpu_seconds": 0.1,
            "overlap": {"ambiguous and hard-to-learn": 0.4},
        },
        "selection": {"examples": 300, "ids": "i", "selecting_seconds": 0.1},
    }.get(kind, {"inference_flops": 10, "inference_seconds": 0.1, "inference_cpu_seconds": 0.1, "teacher": "t"})


def save_grid(folder: Path) -> None:
    from trainmap.experiments.file.variants import load_experiment
    from trainmap.experiments.plan.planner import plan_graph
    from trainmap.experiments.runs.folder import save_study, study_of

    (folder / "a.yaml").write_text(YAML.split("small:")[0])
    variants = load_experiment(folder / "a.yaml")
    out = folder / "out"
    graph = plan_graph(variants, out)
    study = study_of(variants, graph, {"file": "a.yaml"})
    save_study(study, out)
    for at, entry in enumerate(study.entries):
        function = graph.nodes[entry.hash].task.word
        record = {"name": entry.name, "function": function, "config": dict(entry.config), "seconds": 1.0}
        done = at < len(study.entries) - 1
        more = {"result": result_of(entry.kind, at)} if done else {"traceback": "Traceback\nValueError: no"}
        write_json(out / "runs" / f"{entry.hash}{'' if done else '.error'}.json", record | more)
    owner = {"pid": 1, "host": "elsewhere", "system": "00000000", "claim": ""}
    (out / "runs" / f"{study.entries[-1].hash}.lock").write_text(json.dumps(owner))


def open_grid(folder: Path) -> None:
    from trainmap.experiments.runs.folder import failures, open_study, results, states

    study = open_study(folder / "out")
    states(study, folder / "out")
    failures(study, folder / "out")
    results(study, folder / "out")


def report_grid(folder: Path) -> None:
    from trainmap.experiments.report import study_files, study_plots

    study_plots.plot_costs = study_plots.plot_sizes = lambda panels, path, *_: path  # pictures take a second each
    study_files.html = lambda one: ""
    study_files.write_study(folder / "out")


def save_epochs(folder: Path) -> None:
    from trainmap.experiments.tasks.tracking import write_epochs

    write_epochs(folder / "epochs.csv", [{"epoch": float(at), "train_loss": 0.5} for at in range(4)])
    np.savez(folder / "counts.npz", counts=np.ones((N, C), np.int64))


def open_epochs(folder: Path) -> None:
    from trainmap.experiments.tasks.people import read_counts
    from trainmap.experiments.tasks.tracking import read_epochs

    read_epochs(folder / "epochs.csv")
    read_counts(folder / "counts.npz")


# --- words and values -----------------------------------------------------------------------------------------------


def save_words(folder: Path) -> None:
    words = {
        "spec": ["17% ambiguous + 25% easy-to-learn", "bottom 3 confidence", "33% random"],
        "bytes": ["1.5GB", "500 MB", "3"],
        "set": ["students.*.epochs=2", "seeds=[0, 1]"],
        "ids": [[1, 2, 3], ["a", "b"], [2**62, 5]],
        "labels": [[0, 1, 2], [1, 1, 1]],
        "logits": [[[0.5, 1.5, 2.0]] * 3],
        "rank": [[0, 2], [1, 2]],
        "classes": [3, 10],
        "sizes": ["hf:a/b", "folder:x@32", "digits", "x.npz"],
    }
    (folder / "words.json").write_text(json.dumps(words))


def rank(both: Any) -> Any:
    from trainmap.dynamics.processes import rank_and_world

    pair: list[Any] = both if isinstance(both, list) and len(both) == 2 else [both, both]
    return rank_and_world(*pair)


def open_words(folder: Path) -> None:
    """The doors for values: each entry to its own, whatever it has become."""
    from trainmap.data.names import check_name
    from trainmap.dynamics.arrays import to_ids, to_labels, to_logits
    from trainmap.errors import TrainmapError
    from trainmap.experiments.file.variants import _set
    from trainmap.experiments.file.yamlfile import parse as yaml
    from trainmap.files import read_json
    from trainmap.machine import parse_bytes
    from trainmap.selection.words import parse

    words = read_json(folder / "words.json")
    located = yaml(YAML, "a.yaml", lines=True)
    doors: dict[str, Callable[[Any], Any]] = {
        "spec": lambda text: parse(str(text)),
        "bytes": lambda text: parse_bytes(str(text)),
        "set": lambda text: _set(located, str(text)),
        "ids": to_ids,
        "labels": to_labels,
        "logits": to_logits,
        "rank": rank,
        "classes": lambda value: tm.Recorder(folder / "r", value),
        "sizes": lambda text: check_name(str(text)),
    }
    refused = None
    for name, door in doors.items():
        for value in words.get(name, []) if isinstance(words, dict) and isinstance(words.get(name, []), list) else []:
            try:
                door(value)
            except TrainmapError as error:
                refused = error
    if refused is not None:
        raise refused


ARROWS = ("d/epochs/*.arrow", "d/manifest.json", "d/examples.parquet")

READERS: dict[str, Reader] = {
    "recording": Reader(record, open_recording, ARROWS, 1.5, same_checksum),
    "recording, string ids": Reader(lambda f: record(f, names=True), open_recording, ARROWS, 1.0, same_checksum),
    "recording, logits": Reader(lambda f: record(f, level="logits"), open_logits, ARROWS, 1.0, same_checksum),
    "recording, running sums": Reader(
        lambda f: record(f, level="stats"), open_recording, ("d/stats/*.arrow", "d/manifest.json"), 1.0, same_checksum
    ),
    "recording, parts of processes": Reader(
        record_parts, open_recording, ("d/parts/*/epochs/*.arrow", "d/parts/*/manifest.json"), 1.0, same_checksum
    ),
    "map": Reader(save_map, open_map, ("map.parquet",)),
    "card": Reader(save_card, lambda f: tm.Selection.open(f / "card.json"), ("card*",)),
    "planted labels": Reader(save_plans, open_plans),
    "predictions": Reader(save_predictions, open_predictions),
    "pred_probs": Reader(save_pred_probs, open_pred_probs),
    "allenai": Reader(save_allenai, open_allenai, ("training_dynamics/*",), 1.5),
    "file of the study": Reader(save_study_file, open_study_file),
    "images, npz": Reader(save_images, splits("{folder}/a.npz")),
    "images, idx": Reader(save_idx, open_idx),
    "table": Reader(save_table, splits("{folder}/t.parquet"), weight=0.7),
    "texts": Reader(save_texts, splits("{folder}/t.parquet"), weight=0.7),
    "clinc150": Reader(save_clinc, splits("clinc150"), weight=0.5),
    "counterfactual pairs": Reader(save_pairs, open_pairs, weight=0.5),
    "folder of images": Reader(save_picture_folder, splits("folder:{folder}/p"), ("p/*/*",)),
    "folder of sounds": Reader(save_sounds, splits("speech-commands"), ("*/*/*.wav", "*/*.txt"), 0.5),
    "sounds, npz": Reader(save_fsdd, splits("fsdd"), weight=0.5),
    "folder of the hub": Reader(save_hub, splits("hf:{folder}/h"), ("h/*", "h/*/*"), 0.15),
    "labels": Reader(save_labels, open_labels),
    "teacher cache": Reader(save_teacher, open_teacher, weight=0.5),
    "text cache": Reader(save_embeddings, open_embeddings, ("cache/*",)),
    "weights": Reader(save_weights, open_weights, weight=0.6),
    "checkpoint": Reader(save_checkpoint, open_checkpoint, weight=0.5),
    "ONNX": Reader(save_onnx, open_onnx, weight=0.6),
    "experiment file": Reader(save_yaml, open_yaml, weight=0.4),
    "grid": Reader(save_grid, open_grid, ("out/*.json", "out/runs/*"), 0.8),
    "report": Reader(save_grid, report_grid, ("out/*.json", "out/runs/*"), 0.15),
    "epochs and counts": Reader(save_epochs, open_epochs),
    "words and values": Reader(save_words, open_words),
}

del csv, io
