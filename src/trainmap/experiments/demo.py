"""The whole line on one dataset: teacher -> dynamics -> map -> subsets -> students -> report.

A second call goes on where the first stopped and redoes nothing: the teacher resumes at its last whole epoch, its
logits are kept, and every student's run is its configuration.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch

from trainmap.checksums import read_sealed, write_sealed
from trainmap.data.dataset import Splits
from trainmap.distillation.cache import read_card, teacher_logits
from trainmap.dynamics.manifest import versions
from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.store import Dynamics
from trainmap.errors import StoreError, TrainmapError, counted, last_line, shown
from trainmap.evaluation.metrics import evaluate
from trainmap.experiments.plan import SPLIT_SEED, TEACHER_SEED, DemoPlan, Run, Teaching, runs
from trainmap.experiments.report.report import Report, write_report
from trainmap.experiments.results.result_fields import Cost
from trainmap.experiments.runs.launch import run_all
from trainmap.experiments.runs.owner import DEMO, check_free
from trainmap.experiments.student import splits
from trainmap.maps.datamap import DataMap
from trainmap.models.build import build
from trainmap.models.cost import forward_flops, parameters
from trainmap.models.predict import predict
from trainmap.training.checkpoint import previous
from trainmap.training.fit import Watching, default_recipe, fit
from trainmap.typed import as_type
from trainmap.views.plot import plot_map

Stage = Callable[[str, int], Callable[[int, str], None]]  # (what, total) -> advance(done, detail)


@dataclass(frozen=True)
class Teacher:
    """What making the teacher gave and cost."""

    fingerprint: str
    accuracy: float
    train_flops: int
    train_seconds: float
    train_cpu_seconds: float
    inference_flops: int
    inference_seconds: float
    inference_cpu_seconds: float


@dataclass(frozen=True)
class Taught:
    """What the demo of a folder teaches: ``teacher/plan.json``."""

    data: str
    dataset: str
    teacher: str
    epochs: int
    seed: int


def run_demo(plan: DemoPlan, out: str | Path, jobs: int | None = None) -> Path:
    """Do what is planned and not done yet.

    Args:
        plan: from ``plan_demo``.
        out: folder for everything: ``dynamics/``, ``teacher/``, ``map.parquet``, ``map.png``, ``cards/``, ``runs/``,
            ``report.html``, ``report.md``, ``results.csv``.
        jobs: runs at a time, each a process with one thread; one for each core by default.

    Returns:
        The path of ``report.html``.

    Raises:
        StoreError: ``out`` holds the demo of another teacher, or something else that would be written over.
        TrainmapError: runs that failed; a second call retries them.
    """
    folder = Path(out)
    check_free(folder, "teacher/plan.json", DEMO)
    data = splits(plan.data, plan.data_root, SPLIT_SEED)
    plan = plan.settled(data.train.inputs)
    (folder / "teacher").mkdir(parents=True, exist_ok=True)
    with stages() as stage:
        teacher = make_teacher(plan, data, folder, stage)
        datamap, scoring = make_map(folder, stage)
        teaching = Teaching(folder / "teacher" / "logits.npy", teacher.fingerprint)
        planned = runs(plan, data, datamap, folder / "cards", teaching)
        advance = stage("students", len({run.task.hash for run in planned}))
        outcomes = run_all(
            [run.task for run in planned],
            folder / "runs",
            jobs,
            lambda outcome, done, total: advance(done, outcome.task.name),
        )
    failed = [outcome for outcome in outcomes if not outcome.finished]
    if failed:
        raise TrainmapError(
            f"{len(failed)} of {counted(len(outcomes), 'run')} failed; the first, {failed[0].task.name}: "
            f"{last_line(failed[0].error)} "
            f"(tracebacks in {folder / 'runs'}); call again to retry them"
        )
    rows = [
        {**run.labels, "fraction": (outcome.result or {})["examples"] / len(data.train), "budget": budget}
        | (outcome.result or {})
        for run, outcome in zip(planned, outcomes, strict=True)
        for budget in run.budgets
    ]
    return write_report(describe(plan, data, folder, rows, teacher, scoring, datamap), folder)["html"]


def make_teacher(plan: DemoPlan, data: Splits, folder: Path, stage: Stage) -> Teacher:
    """Train the teacher while recording it, and keep its logits for all students. Resumes where it stopped."""
    made = folder / "teacher"
    _check_same(
        made / "plan.json",
        {
            "data": plan.data,
            "dataset": data.train.fingerprint(),
            "teacher": plan.teacher,
            "epochs": plan.teacher_epochs,
            "seed": TEACHER_SEED,
        },
    )
    result_file = made / "result.json"
    if result_file.exists():
        kept = held(result_file)
        if kept.keys() == {field.name for field in fields(Teacher)}:  # an older version kept no CPU seconds: again
            return as_type(Teacher, kept, result_file, "remove it to make it again")
    train = data.train
    recipe = default_recipe(plan.teacher, plan.data, epochs=plan.teacher_epochs, inputs=train.inputs)
    model = build(plan.teacher, train.classes, train.inputs, TEACHER_SEED)
    recording = Recorder(
        folder / "dynamics",
        classes=train.classes,
        ids=train.ids,
        labels=train.y,
        rank=0,
        world_size=1,
        resume=any(file.exists() for file in (made / "checkpoint.pt", previous(made / "checkpoint.pt"))),
    )
    with threads(plan.teacher_threads), recording as recorder:
        advance = stage(f"teacher {plan.teacher}", recipe.epochs)
        advance(recorder.epoch, "")
        result = fit(
            model,
            train,
            recipe,
            seed=TEACHER_SEED,
            watching=Watching(recorder, on_epoch=lambda epoch, loss: advance(epoch + 1, f"loss {loss:.3f}")),
            checkpoint=made / "checkpoint.pt",
            device=plan.device,
        )
    teacher_logits(model, train, made / "logits.npy", flips=recipe.flips, device=plan.device)
    card = read_card(made / "logits.npy")
    teacher = Teacher(
        fingerprint=card.teacher,
        accuracy=evaluate(predict(model, data.test, recipe.flips, plan.device), data.test.y).accuracy,
        train_flops=result.flops,
        train_seconds=result.seconds,
        train_cpu_seconds=result.cpu_seconds,
        inference_flops=card.flops,
        inference_seconds=card.seconds,
        inference_cpu_seconds=card.cpu_seconds,
    )
    write_sealed(result_file, asdict(teacher))
    return teacher


def make_map(folder: Path, stage: Stage) -> tuple[DataMap, dict[str, float]]:
    """The map with its table and its picture, made once, and the ``seconds`` and ``cpu_seconds`` that scoring took."""
    kept, table, picture = folder / "scoring.json", folder / "map.parquet", folder / "map.png"
    if kept.exists() and table.exists() and picture.exists():
        scoring = held(kept)
        fingerprint = scoring.pop("map", None)
        if "cpu_seconds" in scoring:  # an older version kept none: again
            datamap = DataMap.open(table)
            if fingerprint not in (None, datamap.fingerprint):
                raise StoreError(f"{table} is not the map that was made here; remove {kept} to make it again")
            return datamap, as_type(dict[str, Cost], scoring, kept, "remove it to score again")
    advance = stage("map", 2)
    wall, cpu = time.perf_counter(), time.process_time()
    datamap = DataMap.from_dynamics(Dynamics.open(folder / "dynamics"))
    scoring = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    datamap.save(table)
    advance(1, "picture")
    plot_map(datamap, picture)
    write_sealed(kept, {**scoring, "map": datamap.fingerprint})
    advance(2, "")
    return datamap, scoring


def describe(
    plan: DemoPlan,
    data: Splits,
    folder: Path,
    rows: list[dict[str, Any]],
    teacher: Teacher,
    scoring: dict[str, float],
    datamap: DataMap,
) -> Report:
    """The report: rows, costs, models, and what a reader must know to judge them."""
    train = data.train
    models = []
    for role, names in (("teacher", [plan.teacher]), ("student", plan.students)):
        for name in names:
            model = build(name, train.classes, train.inputs, 0)
            flops = forward_flops(model, train.inputs)
            models.append({"name": name, "parameters": parameters(model), "flops": flops, "role": role})
    overlap = "; ".join(f"{a} and {b} share {share:.0%}" for (a, b), share in datamap.overlap().items())
    epochs = ", ".join(f"{name} {count}" for name, count in plan.epochs.items())
    distilled = plan.distillation != "never"
    return Report(
        title=f"What paid on {train.name}: {counted(len(train), 'training example')}",
        rows=rows,
        costs={
            "map": {
                "flops": teacher.train_flops,
                "seconds": teacher.train_seconds,
                "cpu_seconds": teacher.train_cpu_seconds,
                "note": f"training {plan.teacher} for {counted(plan.teacher_epochs or 0, 'epoch')}; "
                "recording is part of it",
            },
            "scoring": {"flops": 0, **scoring, "note": "all scores and regions"},
            "teacher inference": {
                "flops": teacher.inference_flops,
                "seconds": teacher.inference_seconds,
                "cpu_seconds": teacher.inference_cpu_seconds,
                "note": "its logits on the training set, once for all students",
            },
        },
        models=models,
        notes=[
            f"The teacher {plan.teacher} (seed {TEACHER_SEED}) reaches {teacher.accuracy:.2%} test accuracy and makes "
            "the map from the logits of its training steps. Students have other seeds: 0 to "
            f"{plan.seeds - 1}, one run each. Test data: {counted(len(data.test), 'example')}.",
            f"Students train for their recipe's epochs ({epochs}). Equal epochs: a subset is visited as often as all "
            "the data would be. Equal steps: it is trained for as many steps as all the data.",
            "Random draws another subset for every seed, repeated random another one for every epoch; a subset chosen "
            "by the map is one set for all seeds. Differences are paired by seed.",
            "The quantile rule makes ambiguous the same set as high variability, hard-to-learn the same as low "
            "confidence, easy-to-learn the same as high confidence; 'nearest to its corner' is the other rule. "
            f"Of each third of this map {overlap}.",
            *(
                [f"Distillation: temperature {plan.temperature:g}, weight {plan.weight:g}, logits cached once."]
                if distilled
                else []
            ),
        ],
        provenance={
            "dataset": train.fingerprint(),
            "map": datamap.fingerprint,
            "teacher": teacher.fingerprint,
            "split": f"{len(train):,} / {len(data.validation):,} / {len(data.test):,} (seed {SPLIT_SEED})",
            **versions(),
        },
        picture=folder / "map.png",
        clock="cpu" if plan.device == "cpu" else "wall",
    )


def held(path: Path) -> dict[str, Any]:
    """What a demo keeps in a JSON file. Raises StoreError."""
    return read_sealed(path, "file of a demo", "remove it to make it again")


def _check_same(path: Path, what: dict[str, Any]) -> None:
    """A folder holds one teacher; more seeds, students or subsets may come, another teacher may not."""
    if not path.exists():
        return write_sealed(path, what)
    before = held(path)
    changed = [
        f"{key} {shown(before.get(key))}, now {shown(value)}" for key, value in what.items() if before.get(key) != value
    ]
    if changed:
        raise StoreError(f"{path.parent.parent} holds a demo with {'; '.join(changed)}; use another folder")
    return None


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """torch with so many threads, and as before afterwards; None leaves it alone."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def stages() -> Iterator[Stage]:
    """Progress bars on the terminal's error stream, one below the other."""
    from rich.progress import TimeElapsedColumn

    from trainmap.views.terminal import bars

    with bars(TimeElapsedColumn(), detail=True) as lines:

        def stage(what: str, total: int) -> Callable[[int, str], None]:
            task = lines.add_task(what, total=total, detail="")
            return lambda done, detail: lines.update(task, completed=done, detail=detail)

        yield stage


__all__ = ["Run", "Teacher", "run_demo"]
