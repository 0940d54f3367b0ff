"""What the tasks of a grid do: teacher, map, selection, teacher logits, student. Each runs in a worker process.

A task's configuration says what it takes from others by their hashes; ``where`` says in which files that lies.
"""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from trainmap.audits.audit import audit
from trainmap.audits.planted import plan_flips
from trainmap.checksums import read_sealed, write_sealed
from trainmap.compression.compressed import copy_of, uncompressed
from trainmap.data.dataset import Dataset, Splits, load_splits
from trainmap.data.relabel import relabelled
from trainmap.distillation.cache import open_logits, read_card, teacher_logits
from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.store import Dynamics
from trainmap.errors import TrainmapError
from trainmap.experiments.judge import costs, judged, weighs
from trainmap.experiments.results.result_fields import Share
from trainmap.experiments.runs.tracking import track
from trainmap.experiments.runs.watch import Watch
from trainmap.experiments.schedules import fit_arguments
from trainmap.experiments.student import ids_hash, repeated
from trainmap.experiments.sweeps import Beside, Sweep
from trainmap.files import reading, writing
from trainmap.maps.datamap import DataMap
from trainmap.models.build import build
from trainmap.models.cost import forward_flops, training_flops
from trainmap.models.zoo import PRETRAINED
from trainmap.schedules.repeated_auto import RepeatedAuto
from trainmap.selection.card import Selection
from trainmap.selection.select import advise, select
from trainmap.selection.words import parse
from trainmap.training.checkpoint import previous
from trainmap.training.fit import Distillation, EpochRecorder, FitResult, Teaching, Watching, fit
from trainmap.training.recipes import Recipe
from trainmap.training.state_file import load_state
from trainmap.typed import as_type
from trainmap.views.plot import plot_map

HELD_OUT = "held-out.json"
"""In a teacher's folder: its accuracy on the validation data, None without any."""


@lru_cache(maxsize=2)
def as_it_comes(name: str, root: str | None, split_seed: int, validation: float) -> Splits:
    """A dataset, read once in a worker."""
    return load_splits(name, root, split_seed, validation)


@lru_cache(maxsize=2)
def load(
    name: str,
    root: str | None,
    split_seed: int,
    validation: float,
    label_noise: float = 0.0,
    noise_seed: int = 0,
    labels: str = "",
) -> Splits:
    """A dataset, loaded once in a worker, with its label noise in the training part alone: labels of a file, or each
    chosen label exchanged for another class, drawn evenly."""
    data = as_it_comes(name, root, split_seed, validation)
    if labels:
        data = replace(data, train=relabelled(data.train, labels, Path(root or "data")))
    if not label_noise:
        return data
    train = data.train
    flips = plan_flips(train.y, label_noise, noise_seed, ids=train.ids, classes=train.classes)
    return replace(data, train=replace(train, y=flips.apply(train.ids, train.y)))


def data_of(config: dict[str, Any]) -> Splits:
    """The data of a task, checked against its configuration."""
    about = dict(config["data"])
    wanted = about.pop("fingerprint")
    data = load(root=config["where"].get("data_root"), **about)
    if data.fingerprint() != wanted:
        raise TrainmapError(f"the data of {about['name']} changed since the experiment was planned; plan it again")
    return data


def teacher_run(config: dict[str, Any]) -> dict[str, Any]:
    """Train a teacher on all the data while recording it; keeps ``dynamics/`` and ``model.pt``.

    Args:
        config: ``data``, ``model``, ``recipe``, ``seed``, ``record`` ("train" or "sweep"), ``patience``, ``device``,
            and with ``record_test`` the test data are recorded, too (``test-dynamics/``, always a sweep); ``where``:
            ``out``, and if wanted ``data_root``, ``checkpoint`` (file), ``tracking`` (JSON), ``name``,
            ``logs``.
    """
    data, out = data_of(config), Path(config["where"]["out"])
    train = data.train
    model = _build(config, train)
    # A task that was killed goes on with its checkpoint; without one, what an earlier try recorded is of no use.
    again: dict[str, Any] = {"resume": _has_checkpoint(config), "overwrite": not _has_checkpoint(config)}
    recording = Recorder(
        out / "dynamics",
        classes=train.classes,
        ids=train.ids,
        labels=train.y,
        source=config["record"],
        rank=0,
        world_size=1,
        **again,
    )
    with ExitStack() as open_:
        recorder = open_.enter_context(recording)
        watched = Sweep(recorder, model, train, config["device"]) if config["record"] == "sweep" else recorder
        both: EpochRecorder = watched
        if config.get("record_test"):
            test = data.test
            beside = Recorder(
                out / "test-dynamics", test.classes, test.ids, test.y, "sweep", rank=0, world_size=1, **again
            )
            both = Beside(watched, Sweep(open_.enter_context(beside), model, test, config["device"]))
        result = _train(config, model, data, train, both)
    out.mkdir(parents=True, exist_ok=True)
    with writing(out / "model.pt") as handle:
        torch.save(model.state_dict(), handle)
    _forget_checkpoint(config)
    row = judged(config, model, data)
    write_sealed(out / HELD_OUT, {"accuracy": row["validation_accuracy"] if len(data.validation) else None})
    sweeps = watched.seconds if isinstance(watched, Sweep) else 0.0
    return row | costs(result, model) | {"epochs": result.epochs, "sweep_seconds": sweeps}


def map_run(config: dict[str, Any]) -> dict[str, Any]:
    """Score a recording: ``map.parquet`` and ``map.png``.

    Args:
        config: ``teacher`` (hash), ``epochs`` (None for all), ``scores`` (None for all), ``fraction``, and with
            ``test`` the map of the test data that the teacher recorded (``test-map.parquet``); ``where``: ``teacher``
            (its folder), ``out``.
    """
    out, teacher = Path(config["where"]["out"]), Path(config["where"]["teacher"])
    dynamics = Dynamics.open(teacher / "dynamics")
    start, cpu = time.perf_counter(), time.process_time()
    epochs = None if config["epochs"] is None else min(config["epochs"], dynamics.epochs)  # it may have stopped early
    datamap = DataMap.from_dynamics(dynamics, config["scores"], fraction=config["fraction"], epochs=epochs, workers=1)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    datamap.save(out / "map.parquet")
    plot_map(datamap, out / "map.png")
    if config.get("test"):
        beside = Dynamics.open(teacher / "test-dynamics")
        DataMap.from_dynamics(beside, [], fraction=config["fraction"], epochs=epochs, workers=1).save(
            out / "test-map.parquet"
        )
    return {
        "fingerprint": datamap.fingerprint,
        "dataset": datamap.dataset,
        "epochs": datamap.epochs,
        "recorded_epochs": dynamics.epochs,
        "scores": datamap.scores,
        "scoring_seconds": seconds,
        "scoring_cpu_seconds": cpu_seconds,
        "overlap": {f"{a} and {b}": share for (a, b), share in datamap.overlap().items()},
    }


def selection_run(config: dict[str, Any]) -> dict[str, Any]:
    """Choose examples from a map: ``card.json``.

    Args:
        config: ``map`` (hash), ``spec``, ``rule``, ``balance``, ``seed``; with ``held_out`` ("auto") the ``size`` and
            the ``teacher`` (hash) whose accuracy on the validation data is read; with ``without`` (``audit``: a share,
            ``rule``) the ``teacher`` (hash) whose recording is audited, up to the map's ``epochs``; with ``strategy``
            also what ``choosing.chosen_by`` takes; ``where``: ``map`` and ``teacher`` (folders), ``out``.
    """
    datamap = DataMap.open(Path(config["where"]["map"]) / "map.parquet").with_rule(config["rule"])
    start = time.perf_counter()
    cut: Any = ()
    if "without" in config:
        found = audit(
            Dynamics.open(Path(config["where"]["teacher"]) / "dynamics"),
            config["without"]["rule"],
            epochs=datamap.epochs,
        )
        cut = found.first(round(config["without"]["audit"] * len(datamap)))
    known: dict[str, Any] = {"held_out": held_out_of(config["where"], "teacher")} if "held_out" in config else {}
    if "strategy" in config:
        from trainmap.experiments.choosing import chosen_by

        selection = chosen_by(config, datamap, cut, known)
        options = config["strategy"]["options"] if config["strategy"]["name"] == "auto" else None
    else:
        how = {"seed": config["seed"], "balance": config["balance"], "without": cut}
        selection = select(datamap, config["spec"], **how, **known)
        options = {} if [part.what for part in parse(config["spec"]).parts] == ["auto"] else None
    seconds = time.perf_counter() - start
    selection.save(Path(config["where"]["out"]) / "card.json")
    told = {"examples": len(selection), "ids": ids_hash(selection.ids), "selecting_seconds": seconds}
    if options is not None:
        advice = advise(datamap, len(selection), **{**options, **known}, balance=config["balance"], without=cut)
        told["reason"] = advice.reason
    return told


def held_out_of(where: dict[str, str], teacher: str) -> float | None:
    """The accuracy on the validation data of a teacher whose folder ``where`` names; None without validation data."""
    path = Path(where[teacher]) / HELD_OUT
    found = read_sealed(path, "accuracy of a teacher", "train it again")
    with reading(path, "accuracy of a teacher", "train it again"):
        return as_type(Share | None, found["accuracy"], path, "train it again")


def logits_run(config: dict[str, Any]) -> dict[str, Any]:
    """A teacher's logits on the training data: ``logits.npy``.

    Args:
        config: ``data``, ``teacher`` (hash), ``model``, ``seed``, ``flips``, ``device``; ``where``: ``teacher`` (its
            folder), ``out``.
    """
    train = data_of(config).train
    model = load_network(config, Path(config["where"]["teacher"]), train)
    path = Path(config["where"]["out"]) / "logits.npy"
    teacher_logits(model, train, path, flips=config["flips"], device=config["device"])
    card = read_card(path)
    return {
        "teacher": card.teacher,
        "inference_flops": card.flops,
        "inference_seconds": card.seconds,
        "inference_cpu_seconds": card.cpu_seconds,
    }


def student_run(config: dict[str, Any]) -> dict[str, Any]:
    """Train a student on a subset and judge it; with ``keep`` also ``model.pt``, ``predictions/`` and ``row.json``.

    Args:
        config: ``data``, ``model``, ``recipe``, ``seed``, ``steps``, ``patience``, ``device``; ``subset``: ``kind``
            ("full", "random", "repeated", "map-repeated", "schedule" or "map"), ``count``, ``selection`` (hash, of
            a map's), ``schedule`` (its settings); ``teacher``: None, or the settings of the loss and ``logits``
            (hash), or ``teacher`` (hash), its ``model`` and ``seed``; ``where``: ``out``, ``selection``, ``logits`` and
            ``teacher`` (folders), of "map-repeated" ``map`` and ``judged`` (its teacher).
    """
    data, subset = data_of(config), config["subset"]
    train, ids = data.train, fixed_ids(config, data.train)
    how: dict[str, Any] = {}
    if subset["kind"] == "repeated":
        how["visits"] = repeated(train.ids, subset["count"], config["seed"])
    elif subset["kind"] == "map-repeated":
        accuracy = held_out_of(config["where"], "judged") if "judged" in subset else None
        datamap = DataMap.open(Path(config["where"]["map"]) / "map.parquet")
        schedule = RepeatedAuto(datamap, subset["count"], config["seed"], held_out=accuracy)
        how["visits"] = lambda epoch: schedule.plan(epoch).ids
    elif subset["kind"] == "schedule":
        how |= fit_arguments(config, train)
    if config["teacher"] is not None:
        told = ("loss", "temperature", "weight", "gold", "warmup", "options")
        if "logits" in config["teacher"]:
            logits = open_logits(Path(config["where"]["logits"]) / "logits.npy")
            teacher = logits if ids is None else logits[train.rows(ids)]
        else:
            teacher = load_network(config["teacher"], Path(config["where"]["teacher"]), train)
        how["teaching"] = Teaching(teacher, Distillation(**{name: config["teacher"][name] for name in told}))
    if ids is not None:
        train = train.subset(ids)
    model = _build(config, train)
    result = _train(config, model, data, train, steps=config["steps"], **how)
    _forget_checkpoint(config)
    row = judged(config, model, data, keep=config.get("keep", False)) | costs(result, model)
    row["examples"] = subset["count"] if "repeated" in subset["kind"] else len(train)
    if subset["kind"] == "schedule":
        row["examples"] = round(result.examples_seen / result.epochs)  # what an epoch visited, on average
        row["fraction"] = row["examples"] / len(train)
    if config.get("keep"):
        out, copy = Path(config["where"]["out"]), copy_of(model)
        row |= weighs(uncompressed(copy, train.inputs), train.inputs)
        with writing(out / "model.pt") as handle:
            torch.save(copy.state_dict(), handle)
        write_sealed(out / "row.json", row)
    return row


def fixed_ids(config: dict[str, Any], train: Dataset) -> np.ndarray | None:
    """The examples of a subset that stays the same during training; None for all of them."""
    subset = config["subset"]
    if subset["kind"] == "map":
        selection = Selection.open(Path(config["where"]["selection"]) / "card.json")
        selection.verify(train)
        return selection.ids
    return random_ids(train.ids, subset["count"], config["seed"]) if subset["kind"] == "random" else None


def random_ids(ids: np.ndarray, count: int, seed: int) -> np.ndarray:
    """``count`` ids drawn without replacement: those that ``select(datamap, "... random", seed=seed)`` draws."""
    return np.sort(np.sort(ids)[np.random.Generator(np.random.PCG64(seed)).permutation(len(ids))[:count]])


def _build(config: dict[str, Any], train: Dataset) -> nn.Module:
    return build(config["model"], train.classes, train.inputs, config["seed"])


def load_network(config: dict[str, Any], folder: Path, train: Dataset) -> nn.Module:
    """The network that a run left in its folder, from the ``model`` and ``seed`` of its configuration."""
    name = config["model"].removesuffix(PRETRAINED)  # its weights are loaded right away
    model = _build({**config, "model": name}, train)
    path, cure = folder / "model.pt", "remove the folder and train it again"
    state = load_state(path, "network", cure)
    with reading(path, "network of this architecture", cure):
        model.load_state_dict(state)
    return model


def _train(
    config: dict[str, Any],
    model: nn.Module,
    data: Splits,
    train: Dataset,
    recorder: EpochRecorder | None = None,
    **how: Any,
) -> FitResult:
    """``fit`` with what every run has: its epochs written down, early stopping, a checkpoint for a long one."""
    where = config["where"]
    out = Path(where["out"])
    out.mkdir(parents=True, exist_ok=True)  # the first checkpoint is written before the first epoch
    settings = json.loads(where.get("tracking", "{}"))
    plain = {key: value for key, value in config.items() if key != "where"}
    with track(where.get("name", out.name), plain, Path(where.get("logs", out)), settings) as log:
        watch = Watch(out / "epochs.csv", model, data.validation, config["patience"], config["device"], log)
        checkpoint = where.get("checkpoint")
        if checkpoint is not None and (over := watch.over(Path(checkpoint), recorder)) is not None:
            return FitResult(**over, flops=training_flops(forward_flops(model, train.inputs), over["examples_seen"]))
        return fit(
            model,
            train,
            Recipe(**config["recipe"]),
            seed=config["seed"],
            checkpoint=checkpoint,
            device=config["device"],
            watching=Watching(recorder, on_epoch=watch),
            **how,
        )


def _checkpoints(config: dict[str, Any]) -> list[Path]:
    """The files that a killed run would go on from."""
    checkpoint = config["where"].get("checkpoint")
    return [] if checkpoint is None else [Path(checkpoint), previous(Path(checkpoint))]


def _has_checkpoint(config: dict[str, Any]) -> bool:
    return any(path.exists() for path in _checkpoints(config))


def _forget_checkpoint(config: dict[str, Any]) -> None:
    for path in _checkpoints(config):
        path.unlink(missing_ok=True)
