"""The whole line on one dataset: teacher -> dynamics -> map -> subsets -> students -> report.

A demo is an experiment that its options say in place of a file, run by the same tasks as any other. What people look
for stands at its own place in the folder as soon as it is made::

    dynamics/, map.parquet, map.png    of the teacher: the files of ``made/teacher-...`` and ``made/map-...``
    data.html                          what the recording says about the data: wrong labels, regions, classes
    experiment.json, runs/, made/, report.html, report.md, results.csv, ...    as for any experiment
"""

from __future__ import annotations

import filecmp
import logging
import os
import shlex
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from trainmap.data.names import check_name
from trainmap.data.synthetic import Synthetic, is_synthetic
from trainmap.dynamics.store import Dynamics
from trainmap.errors import StoreError, TrainmapError, counted, last_line, number, one_line, unknown
from trainmap.experiments.file.variants import Variant, variant_of
from trainmap.experiments.plan.graph import Graph, made_at
from trainmap.experiments.plan.named_rows import ROWS
from trainmap.experiments.plan.planner import plan_graph
from trainmap.experiments.report.study_files import write_outcome
from trainmap.experiments.runs.folder import PLAN, Study, claim, open_study, run_study, study_of, tasks_of
from trainmap.experiments.runs.job import Outcome
from trainmap.experiments.runs.owner import DEMO, changes, check_free
from trainmap.experiments.tasks.datasets import load
from trainmap.experiments.tasks.place import DYNAMICS, EPOCHS, MAP, PICTURE
from trainmap.experiments.tasks.teacher import Teacher
from trainmap.experiments.tasks.tracking import read_epochs
from trainmap.models.build import known_models
from trainmap.models.encoders import is_encoder

Distillation = Literal["both", "only", "never"]

log = logging.getLogger("trainmap")

FILE = "trainmap demo"
"""What the plan of a demo names as its file."""
TEACHER_SEED = 1000  # the map never comes from the seed of a run that it helps
ALWAYS = ("full", "full-equal-steps", "random")
ON_REQUEST = ("auto", "repeated-auto", "raced", "repeated-raced", "random-at-cost")  # beside the rows of the study
LONG = ("full", "random", "repeated-random", "ambiguous", "hard", "easy")  # the rows of the table at equal steps
MANIFEST = "manifest.json"
PAGE = "data.html"
"""What the recording says about the data."""
LOOK_SECONDS = 0.5  # how often the epochs of the teacher are looked at
PUBLIC = {"teacher": (DYNAMICS,), "map": (MAP, PICTURE)}
"""Kind of task -> what of its folder stands in the demo's own."""


@dataclass(frozen=True)
class Size:
    """What fits a dataset: which networks, how long, how often."""

    teacher: str
    teacher_epochs: int | None  # None: the recipe's, here and below
    students: tuple[str, ...]
    epochs: int | None = None  # of students
    seeds: int = 3
    label_noise: float = 0.0


SIZES: dict[str, Size] = {
    # A network learns the digits so well that their map is a heap in one corner. With some labels exchanged it has all
    # of its regions, and there is something to find whose truth is known.
    "digits": Size("resnet14-16", 12, ("cnn-8", "resnet8-8", "mlp-256"), 10, label_noise=0.05),
    **dict.fromkeys(("mnist", "fashion-mnist"), Size("cnn-32", 8, ("cnn-16",))),
    **dict.fromkeys(("cifar10", "cifar100"), Size("resnet14-32", 15, ("resnet8-16",))),
    **dict.fromkeys(("fsdd", "speech-commands"), Size("spec-16", None, ("spec-8",))),
    **dict.fromkeys(("clinc150", "sst2"), Size("text-bag-64", None, ("text-bag-64",))),
    **dict.fromkeys(
        ("adult", "breast-cancer", "wine", "covtype", "clinc150+embeddings", "sst2+embeddings", "synthetic"),
        Size("mlp-256", None, ("mlp-256", "linear")),
    ),
}


def plan_demo(
    data: str | Path = "digits",
    *,
    data_root: str | Path | None = None,
    teacher: str | None = None,
    students: list[str] | None = None,
    fraction: float = 0.33,
    seeds: int | None = None,
    epochs: int | None = None,
    teacher_epochs: int | None = None,
    subsets: list[str] | None = None,
    distillation: str = "both",
    label_noise: float | None = None,
) -> Variant:
    """The experiment of a demo: what was not said is what fits the dataset. All of it is checked before any work.

    Args:
        data: any name that ``load_splits`` takes.
        fraction: the size of every subset.
        seeds: how many runs of each cell, with seeds 0, 1, ...
        epochs: of every student; by default what fits the dataset, or the recipe's.
        subsets: keys of ``ROWS``, all but ``ON_REQUEST`` for None; those of ``ALWAYS`` cannot be left out.
        distillation: train each student plainly and distilled ("both"), "only" distilled, or "never".
        label_noise: share of the training labels that are exchanged for another class, 0 to 0.5; by default 0.05 of the
            digits, so that there is something to find, and 0 of all else.
    """
    data = check_name(data)
    size = SIZES.get(_sized_as(data), replace(SIZES["cifar10"], teacher_epochs=None))
    teacher, names = teacher or size.teacher, students or list(size.students)
    for name in (teacher, *names):
        if name not in known_models() and not is_encoder(name):
            raise unknown("model", name, known_models())
    if twice := [name for at, name in enumerate(names) if name in names[:at]]:
        raise TrainmapError(f"students: '{twice[0]}' stands twice; keep one of them")
    if not 0 < fraction < 1:
        raise TrainmapError(f"fraction must be above 0 and below 1, got {fraction}")
    if distillation not in get_args(Distillation):
        raise unknown("distillation", distillation, get_args(Distillation))
    noise = size.label_noise if label_noise is None else number(label_noise, "label_noise")
    if not 0 <= noise <= 0.5:
        raise TrainmapError(f"label_noise must be a share, 0 to 0.5, got {noise}")
    seeds = size.seeds if seeds is None else seeds
    if seeds < 1:
        raise TrainmapError(f"seeds must be at least 1, got {seeds}; 3 or more give an interval")
    taught = {"loss": "hinton", "temperature": 4.0, "weight": 0.5}
    columns = {"both": [None, taught], "only": [taught], "never": [None]}[distillation]
    epochs = size.epochs if epochs is None else epochs
    return variant_of(
        {
            "title": f"What paid on {data}",
            "data": {
                "names": [data],
                "root": None if data_root is None else str(data_root),
                "label_noise": noise,
            },
            "teachers": [
                {
                    "model": teacher,
                    "epochs": size.teacher_epochs if teacher_epochs is None else teacher_epochs,
                    "seeds": [TEACHER_SEED],
                }
            ],
            "subsets": [
                {"key": key} if key in LONG else {"key": key, "budgets": ["equal epochs"]} for key in _chosen(subsets)
            ],
            "sizes": [fraction],
            "students": [{"model": name, "epochs": epochs, "distillation": columns} for name in names],
            "seeds": list(range(seeds)),
            "budgets": ["equal epochs", "equal steps"],
            "notes": _notes(seeds, epochs, taught if distillation != "never" else {}),
        }
    )


def _sized_as(data: str) -> str:
    """Whose size suits a dataset: synthetic data are a table, or images as small as digits."""
    if not is_synthetic(data):
        return data
    return "digits" if Synthetic.of(data).side else "synthetic"


def _chosen(keys: list[str] | None) -> list[str]:
    for key in keys or ():
        if key not in ROWS:
            raise unknown("subset", key, ROWS)
    return [key for key in ROWS if key in ALWAYS or (key not in ON_REQUEST if keys is None else key in keys)]


def _notes(seeds: int, epochs: int | None, taught: dict[str, Any]) -> list[str]:
    """What a reader must know to judge the tables."""
    told = "their recipe's epochs" if epochs is None else counted(epochs, "epoch")
    distilled = "Distillation by {loss}: temperature {temperature:g}, weight {weight:g}, logits cached once."
    return [
        f"Students have other seeds than the teacher: 0 to {seeds - 1}, one run each.",
        f"Students train for {told}. Equal epochs: a subset is visited as often as all the data would be. Equal steps: "
        "it is trained for as many steps as all the data.",
        "Random draws another subset for every seed, repeated random another one for every epoch; a subset chosen by "
        "the map is one set for all seeds. Differences are paired by seed.",
        "The quantile rule makes ambiguous the same set as high variability, hard-to-learn the same as low confidence, "
        "easy-to-learn the same as high confidence; 'nearest to its corner' is the other rule.",
        *([distilled.format(**taught)] if taught else []),
    ]


def command_of(plan: Variant) -> str:
    """The command that makes the demo, with every option but where its data lie."""
    experiment = plan.experiment
    teacher, students = experiment.teachers[0], experiment.students
    ways = {(False, True): "both", (True,): "only", (False,): "never"}
    options = {
        "data": experiment.data.names[0],
        "label-noise": f"{experiment.data.label_noise:g}",
        "teacher": teacher.model,
        "students": ",".join(student.model for student in students),
        "fraction": experiment.sizes[0],
        "seeds": len(experiment.seeds),
        "epochs": students[0].epochs,
        "teacher-epochs": teacher.epochs,
        "subsets": ",".join(subset.key for subset in experiment.subsets),
        "distillation": ways[tuple(way is not None for way in students[0].distillation)],
    }
    words = [word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))]
    return shlex.join(["trainmap", "demo", *words, "--out", "DIR"])


def run_demo(plan: Variant, out: str | Path, jobs: int | None = None) -> Path:
    """Do what is planned and not done yet; a second call redoes nothing.

    Args:
        plan: from ``plan_demo``.
        out: folder for everything; see the module.
        jobs: runs at a time, each a process with one thread; one for each core by default.

    Returns:
        The path of ``report.html``.

    Raises:
        StoreError: ``out`` holds the demo of another teacher, or something else that would be written over.
        TrainmapError: tasks that failed (the reports of the rest are written); a second call retries them.
    """
    folder = Path(out)
    held = _held(folder)
    graph = plan_graph([plan], folder)
    study = study_of([plan], graph, {"file": FILE, "command": command_of(plan)})
    if held is not None:
        _check_same(held, study, folder)
    if replaced := claim(study, folder):
        log.warning(replaced)
    with _progress(graph, folder, _taught(study)) as advance:
        outcomes = run_study(study, graph, folder, jobs, on_progress=advance)
    report = write_outcome(folder, outcomes)["report.html"]
    _write_page(plan, folder)
    return report


def _write_page(plan: Variant, folder: Path) -> None:
    """What the recording says about the data, with the examples."""
    from trainmap.explorer.example_sources import examples_of
    from trainmap.findings.found import find_out
    from trainmap.findings.found_page import write_findings
    from trainmap.machine import progress

    page, manifest = folder / PAGE, folder / DYNAMICS / MANIFEST
    if page.exists() and page.stat().st_mtime >= manifest.stat().st_mtime:
        return  # it is of this recording: a second call redoes nothing
    dynamics = Dynamics.open(folder / DYNAMICS)
    data = plan.experiment.data
    examples = examples_of(data.names[0], dynamics.ids, data.root)
    write_findings(find_out(dynamics, examples, progress=progress), page)


def exchanged(plan: Variant, folder: str | Path) -> tuple[int, int, int]:
    """How many labels a finished demo exchanged on purpose, how many its audit suspects, and how many are both."""
    from trainmap.audits.audit import audit

    data, dynamics = plan.experiment.data, Dynamics.open(Path(folder) / DYNAMICS)
    true = load(data.names[0], data.root, data.split_seed, data.validation).train
    order = np.argsort(true.ids)
    wrong = true.ids[order][true.y[order] != dynamics.labels]
    found = audit(dynamics).suspected
    return len(wrong), len(found), int(np.isin(found, wrong).sum())


def _held(folder: Path) -> Study | None:
    """The plan of the demo that a folder holds, if there is one.

    Raises:
        StoreError: something else is there.
    """
    if (folder / "teacher" / "plan.json").is_file():
        raise StoreError(
            f"{folder} holds a demo of trainmap 0.1, which this one does not go on with; choose another folder, or "
            "remove it to make it again"
        )
    check_free(folder, PLAN, DEMO, who="a demo")
    if not (folder / PLAN).exists():
        return None
    try:
        held = open_study(folder)
    except StoreError as error:
        raise StoreError(f"{folder} holds what a demo would write over; choose another folder: {error}") from error
    if held.provenance.get("file") != FILE:
        raise StoreError(f"{folder} holds an experiment, which a demo would write over; choose another folder")
    return held


def _check_same(held: Study, study: Study, folder: Path) -> None:
    """A folder holds one teacher; more seeds, students or subsets may come, another teacher may not."""
    if changed := changes(_taught(held), _taught(study)):
        raise StoreError(f"{folder} holds a demo with {changed}; use another folder")


def _taught(study: Study) -> dict[str, Any]:
    """What the teacher of a demo is and learns."""
    task = next(task for task in tasks_of(study).values() if isinstance(task, Teacher))
    return {
        "data": task.data.name,
        "teacher": task.model,
        "epochs": task.recipe.epochs,
        "dataset": task.data.fingerprint,
    }


def publish(graph: Graph, folder: Path, digest: str) -> None:
    """Put what people look for of a finished task into the demo's folder, unless it is there."""
    kind = graph.nodes[digest].kind
    place = made_at(folder, kind, digest)
    for name in PUBLIC.get(kind, ()):
        files = [place / name] if not (place / name).is_dir() else sorted((place / name).rglob("*"))
        for file in sorted(files, key=lambda path: path.name == MANIFEST):  # a recording is whole with it
            if file.is_file():
                _same_file(file, folder / file.relative_to(place))


def _same_file(source: Path, target: Path) -> None:
    """One file at two places: a hard link, and a copy where the disk has none.

    A hard link takes no room, is a file like any other for whoever moves, packs or copies the folder, and needs no
    rights on Windows, as a symbolic link would. Files of trainmap are replaced, never changed: the other stays.
    """
    if target.exists() and filecmp.cmp(source, target):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    try:
        os.link(source, draft)
    except OSError:
        shutil.copy2(source, draft)
    os.replace(draft, target)


@contextmanager
def _progress(graph: Graph, folder: Path, taught: Mapping[str, Any]) -> Iterator[Callable[[Outcome, int, int], None]]:
    """Bars on the terminal's error stream: the teacher by its epochs, the map and what comes of it, the students."""
    from rich.progress import TimeElapsedColumn

    from trainmap.machine import bars

    kinds = [node.kind for node in graph.nodes.values()]
    teacher = next(digest for digest, node in graph.nodes.items() if node.kind == "teacher")
    written = made_at(folder, "teacher", teacher) / EPOCHS
    over = threading.Event()
    with bars(TimeElapsedColumn(), detail=True) as lines:
        epochs = lines.add_task(f"teacher {taught['teacher']}", total=taught["epochs"], detail="")
        others = lines.add_task("map, subsets", total=len(kinds) - 1 - kinds.count("student"), detail="")
        students = lines.add_task("students", total=kinds.count("student"), detail="")

        def advance(outcome: Outcome, done: int, total: int) -> None:
            kind, name = graph.nodes[outcome.job.hash].kind, one_line(outcome.job.name)
            if outcome.finished:
                publish(graph, folder, outcome.job.hash)
            elif not outcome.blocked:
                lines.console.print(f"failed: {name}: {last_line(outcome.error)}")
            if outcome.finished and kind != "teacher":
                lines.update(students if kind == "student" else others, advance=1, detail=name)

        def look() -> None:
            ended = False
            while not ended:
                ended = over.wait(LOOK_SECONDS)
                with suppress(StoreError):  # whoever needs them says that they are damaged
                    lines.update(epochs, completed=len(read_epochs(written)))

        looking = threading.Thread(target=look, daemon=True)
        looking.start()
        try:
            yield advance
        finally:
            over.set()
            looking.join()


__all__ = ["SIZES", "exchanged", "plan_demo", "run_demo"]
