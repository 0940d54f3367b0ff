"""What strategies read besides a map: features of the map's teacher, clusters of its recording, its loss; made once.

teacher → features        ─┐
teacher → clusters        ─┼→ selection
teacher → teacher logits  ─┘
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError

from trainmap.array_files import read_npz
from trainmap.distillation.kept_logits import open_logits
from trainmap.dynamics.store import Dynamics
from trainmap.errors import TrainmapError, counted, whole
from trainmap.experiments.nodes import data_of, load_network
from trainmap.experiments.runs.folder import Entry
from trainmap.files import writing
from trainmap.maps.datamap import DataMap
from trainmap.models.cost import forward_flops, inference_flops
from trainmap.scores.trajectories import Clusters, cluster
from trainmap.selection.card import Selection
from trainmap.selection.coverage import teacher_loss
from trainmap.selection.pool import Features
from trainmap.selection.select import select_by
from trainmap.selection.strategies import STRATEGIES, named
from trainmap.selection.words import parse
from trainmap.training.features import features_of

if TYPE_CHECKING:
    from trainmap.experiments.students import Students

CLUSTERS = 100  # of trajectories, unless told; the paper's
TEACHER_LOSS = "teacher_loss"  # the column that comes of the teacher's logits
STRICT = ConfigDict(strict=True, allow_inf_nan=False)
COSTS = ("features", "clusters", "teacher logits")  # kinds of tasks that a row of a strategy pays for


def settled(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """A strategy with every option: ``name``, ``options``, and ``clusters``, how many, where it needs them.

    Raises:
        TrainmapError: an unknown strategy or option, a value of another type, a number of clusters that is none.
    """
    strategy, options = named(name), dict(given)
    found: dict[str, Any] = {"name": name}
    if "clusters" in strategy.needs:
        found["clusters"] = whole(options.pop("clusters", CLUSTERS), "clusters", 1)
    settings, types = strategy.options(options), get_type_hints(strategy.function)
    for option, value in options.items():
        try:
            TypeAdapter(types[option], config=STRICT).validate_python(value)
        except ValidationError as error:
            must = error.errors()[0]["msg"].replace("Input should be", "must be")
            raise TrainmapError(f"option {option} of {name} {must}, got {value!r}") from error
    return found | {"options": settings}


def columns(strategy: Mapping[str, Any]) -> list[str]:
    """The columns of the map that a settled strategy reads, but for the teacher's loss."""
    return [name for name in named(strategy["name"]).columns(strategy["options"]) if name != TEACHER_LOSS]


def materials(students: Students, strategy: Mapping[str, Any]) -> dict[str, str]:
    """The tasks that a settled strategy comes after besides the map: its roles and their hashes.

    Raises:
        TrainmapError: a map of the first epochs alone, whose cost is not that of the network of the last one.
    """
    planner, found = students.planner, STRATEGIES[strategy["name"]]
    teacher = planner.graph.nodes[students.map].task.config["teacher"]
    spec, recipe = planner.specs[students.one.teacher]
    reads_loss = TEACHER_LOSS in found.columns(strategy["options"])
    if ("features" in found.needs or reads_loss) and students.one.epochs not in (None, recipe.epochs):
        raise students.wrong(
            ("subsets",),
            f"{found.name} reads the network that {students.one.teacher} ends with, which a map of its first "
            f"{counted(students.one.epochs or 0, 'epoch')} does not pay for; leave epochs of the map out",
        )
    needs: dict[str, str] = {}
    if "features" in found.needs:
        trained = planner.graph.nodes[teacher].task.config
        config = {"data": planner.data, "teacher": teacher, "model": spec.model, "seed": trained["seed"]}
        config["device"] = students.experiment.device
        _, forward, _ = planner.model(("teachers",), spec.model, None, spec.recipe, "teacher")
        needs["features"] = planner.add(
            *("features", f"features of {students.one.teacher} on {students.data}", "choosing:features_run"),
            *(config, {"teacher": teacher}, spec.model, inference_flops(forward, planner.examples)),
            *(planner.examples, 4 * 64 * planner.examples),
        )
    if "clusters" in found.needs:
        config = {"teacher": teacher, "epochs": students.one.epochs, "clusters": strategy["clusters"], "seed": 0}
        name = f"{strategy['clusters']} clusters of {students.one.teacher} on {students.data}"
        needs["clusters"] = planner.add(
            *("clusters", name, "choosing:clusters_run", config, {"teacher": teacher}, "", 0, 0, 16 * planner.examples)
        )
    if reads_loss:
        needs["logits"] = students.logits(("teachers",), students.one.teacher, teacher, flips=False)
    return needs


def features_run(config: dict[str, Any]) -> dict[str, Any]:
    """The features of the training data under a teacher: ``features.npz``.

    Args:
        config: ``data``, ``teacher`` (hash), ``model``, ``seed``, ``device``; ``where``: ``teacher`` (its folder),
            ``out``.
    """
    train = data_of(config).train
    model = load_network(config, Path(config["where"]["teacher"]), train)
    start, cpu = time.perf_counter(), time.process_time()
    values = features_of(model, train, device=config["device"])
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    out = Path(config["where"]["out"])
    out.mkdir(parents=True, exist_ok=True)
    with writing(out / "features.npz") as handle:
        np.savez(handle, ids=train.ids, values=values)
    return {
        "width": values.shape[1],
        "inference_flops": inference_flops(forward_flops(model, train.inputs), len(train)),
        "inference_seconds": seconds,
        "inference_cpu_seconds": cpu_seconds,
    }


def clusters_run(config: dict[str, Any]) -> dict[str, Any]:
    """Clusters of the loss trajectories of a teacher's recording: ``clusters.npz``.

    Args:
        config: ``teacher`` (hash), ``epochs`` (None for all), ``clusters``, ``seed``; ``where``: ``teacher`` (its
            folder), ``out``.
    """
    dynamics = Dynamics.open(Path(config["where"]["teacher"]) / "dynamics")
    epochs = None if config["epochs"] is None else min(config["epochs"], dynamics.epochs)
    start, cpu = time.perf_counter(), time.process_time()
    found = cluster(dynamics, config["clusters"], epochs=epochs, seed=config["seed"])
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    out = Path(config["where"]["out"])
    out.mkdir(parents=True, exist_ok=True)
    with writing(out / "clusters.npz") as handle:
        np.savez(handle, ids=found.ids, labels=found.labels, centres=found.centres)
    return {"sizes": found.sizes.tolist(), "clustering_seconds": seconds, "clustering_cpu_seconds": cpu_seconds}


def chosen_by(config: dict[str, Any], datamap: DataMap, without: Any, known: Mapping[str, Any]) -> Selection:
    """What a strategy takes.

    Args:
        config: of ``nodes.selection_run`` with ``strategy`` (settled) and ``size`` in place of a spec; ``where``:
            ``features``, ``clusters``, ``logits`` (folders), those that it needs.
        datamap: of the training data.
        without: ids that are not taken.
        known: options that are known only now: what "auto" is told of the map's network.
    """
    where, how = config["where"], {**config["strategy"]["options"], **known}
    if "features" in where:
        how["features"] = Features(*_arrays(Path(where["features"]) / "features.npz", "ids", "values"))
    if "clusters" in where:
        how["clusters"] = Clusters(*_arrays(Path(where["clusters"]) / "clusters.npz", "ids", "labels", "centres"))
    if "logits" in where:
        logits = open_logits(Path(where["logits"]) / "logits.npy")
        loss = teacher_loss(logits, datamap.labels)  # both in the order of the ids
        datamap = datamap.with_scores(datamap.ids, {TEACHER_LOSS: loss})
    seed, balance = config["seed"], config["balance"]
    return select_by(
        datamap, config["strategy"]["name"], config["size"], seed=seed, balance=balance, without=without, **how
    )


def _arrays(path: Path, *names: str) -> list[np.ndarray]:
    """Arrays of an .npz file, each compared with its checksum there."""
    found = read_npz(path, names, what="file of arrays")
    return [found[name] for name in names]


def about_choosing(run: str, entries: Mapping[str, Entry], done: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the row of a run says of its selection, nothing without one: ``reads_map``, and ``choosing_...``, the costs
    of what was made for it besides the map."""
    selection = entries[run].config.get("subset", {}).get("selection")
    if selection not in entries:
        return {}
    spent: dict[str, Any] = {"reads_map": _reads_map(entries[selection].config)}
    parts = [done[digest] for digest in entries[selection].after if entries[digest].kind in COSTS and digest in done]
    if not parts:
        return spent
    spent["choosing_flops"] = sum(part.get("inference_flops", 0) for part in parts)
    for unit in ("seconds", "cpu_seconds"):
        spent[f"choosing_{unit}"] = sum(
            part.get(f"{what}_{unit}", 0) for part in parts for what in ("inference", "clustering")
        )
    return spent


def _reads_map(config: Mapping[str, Any]) -> bool:
    """Whether a selection needs the map at all: one at random from all the examples, also class by class, does not."""
    if config.get("strategy") or config.get("without"):
        return True
    return any(part.what not in ("random", "all") for part in parse(config["spec"]).parts)
