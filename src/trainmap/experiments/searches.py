"""The search for hyperparameters of an experiment: teacher logits → search → tuned students.

What was found is trained under the experiment's seeds beside what the student had, the start, on all the data; the two
meet on the test data, paired by seed. The search has seen neither those seeds nor the test data.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainmap.checksums import read_sealed, write_sealed
from trainmap.distillation.kept_logits import open_logits
from trainmap.distillation.settings import settled
from trainmap.errors import TrainmapError
from trainmap.experiments.file.sections import Map, Student
from trainmap.experiments.nodes import data_of, student_run
from trainmap.experiments.results.result_fields import Found
from trainmap.experiments.students import CHECKPOINT_FLOPS, Column, Students, columns
from trainmap.experiments.tuning import Hyperparameters, Lesson, Trial, check_search, search
from trainmap.files import reading
from trainmap.models.cost import training_flops
from trainmap.training.fit import Distillation
from trainmap.training.recipes import Recipe
from trainmap.typed import as_type

if TYPE_CHECKING:
    from trainmap.experiments.planner import Planner


def plan_searches(planner: Planner) -> None:
    """Add a search and the runs that judge it for every way in which a student is distilled."""
    tuning, wrong = planner.experiment.tuning, planner.variant.wrong
    if tuning is None:
        return
    if find_spec("optuna") is None:
        raise wrong(("tuning",), "the search needs Optuna: pip install 'trainmap[grid]'")
    taken = {*planner.experiment.seeds, *(seed for runs in planner.teachers.values() for seed, _ in runs)}
    if shared := taken & set(tuning.seeds):
        message = f"must be other seeds than those of teachers and of the students that judge; {shared} is among them"
        raise wrong(("tuning", "seeds"), message)
    students = Students(planner, {}, Map(teacher="-"), "")
    ways = [
        (student, column)
        for at, student in enumerate(planner.experiment.students)
        for column in columns(student, ("students", at))
        if column.distillation is not None
    ]
    if not ways:
        raise wrong(("tuning",), "there is nothing to search for: no student has a distillation")
    for student, column in ways:
        _plan(students, student, column)


def _plan(students: Students, student: Student, column: Column) -> None:
    planner, tuning = students.planner, students.experiment.tuning
    assert tuning is not None
    assert column.distillation is not None
    if student.patience is not None:
        raise students.wrong((*column.where, "patience"), "the trials of a search go to their end; leave patience out")
    recipe, forward, _ = planner.model(column.where, student.model, student.epochs, student.recipe, "student")
    teaching = students.teaching(column, recipe)
    assert teaching is not None
    where = (*column.where, "distillation", column.place)
    if "logits" not in teaching or teaching["temperature"] is None:
        what = "a temperature" if "logits" in teaching else "cached teacher logits (no features, no crops)"
        raise students.wrong(where, f"a search needs a loss with {what}")
    start = Hyperparameters(recipe.peak_lr, teaching["temperature"], teaching["weight"])
    ranges = {"peak_lr": tuning.peak_lr, "temperature": tuning.temperature, "weight": tuning.weight}
    try:
        check_search(len(planner.splits.validation), start, {name: (low, high) for name, (low, high) in ranges.items()})
    except TrainmapError as error:
        raise students.wrong(("tuning",), error) from error
    subset = {"kind": "full", "count": planner.examples, "selection": None}
    base = students.config(student, recipe, 0, subset, teaching)
    config = {key: base[key] for key in ("data", "model", "recipe", "device")} | {
        "logits": teaching["logits"],
        "distillation": column.distillation.model_dump(exclude={"teacher", "seed"}),
        "start": vars(start),
        "ranges": ranges,
        "trials": tuning.trials,
        "seeds": list(tuning.seeds),
        "seed": tuning.seed,
    }
    what, needs = f"{column.name} + KD on {students.data}", {"logits": teaching["logits"]}
    seen = recipe.epochs * planner.examples
    trained = tuning.trials * len(tuning.seeds) * seen
    found = planner.add(
        *("search", f"search for {what}", "searches:search_run", config, needs, student.model),
        *(training_flops(forward, trained), trained, 200_000),
        called=f"{column.name} + KD",
    )
    flops = training_flops(forward, seen)
    for seed in students.experiment.seeds:
        run = base | {"seed": seed}
        rest = (student.model, flops, seen, 4000, flops > CHECKPOINT_FLOPS)
        planner.add("student", f"{what}, start of the search, seed {seed}", "nodes:student_run", run, needs, *rest)
        run, after = run | {"search": found}, needs | {"search": found}
        planner.add("tuned", f"{what}, found, seed {seed}", "searches:tuned_run", run, after, *rest)


def search_run(config: dict[str, Any]) -> dict[str, Any]:
    """Search for the hyperparameters of a student; keeps ``trials.db``, from which a killed search goes on.

    Args:
        config: ``data``, ``model``, ``recipe``, ``device``, ``distillation`` (as the file has it), ``logits`` (hash),
            ``start``, ``ranges``, ``trials``, ``seeds``, ``seed``; ``where``: ``out``, ``logits`` (folder), and if
            wanted ``data_root``.

    Returns:
        ``trials``, the best first; ``found``, the best one with the ``gold`` that follows; and the costs.
    """
    data, out = data_of(config), Path(config["where"]["out"])
    logits = open_logits(Path(config["where"]["logits"]) / "logits.npy")
    how = Distillation(**config["distillation"])
    lesson = Lesson(config["model"], Recipe(**config["recipe"]), data, logits, how, config["device"])
    out.mkdir(parents=True, exist_ok=True)
    trials = search(
        *(lesson, Hyperparameters(**config["start"]), config["trials"], config["seeds"]),
        ranges={name: (low, high) for name, (low, high) in config["ranges"].items()},
        seed=config["seed"],
        storage=out / "trials.db",
    )
    best = vars(trials[0].chosen)
    chosen = {**config["distillation"], "temperature": best["temperature"], "weight": best["weight"]}
    gold = settled(Distillation(**chosen), len(data.train)).gold
    write_sealed(out / "found.json", best | {"gold": gold})
    return {
        "found": best | {"gold": gold},
        "trials": [vars(trial.chosen) | {"validation_macro_f1": trial.macro_f1} for trial in trials],
        **_costs(trials),
    }


def _costs(trials: Sequence[Trial]) -> dict[str, float]:
    return {
        "train_flops": sum(trial.flops for trial in trials),
        "train_seconds": sum(trial.seconds for trial in trials),
        "train_cpu_seconds": sum(trial.cpu_seconds for trial in trials),
    }


def tuned_run(config: dict[str, Any]) -> dict[str, Any]:
    """``student_run`` with what a search found in place of the rate, temperature and weight of its configuration.

    Args:
        config: of a student, and ``search`` (hash); ``where``: also ``search`` (its folder).
    """
    path, again = Path(config["where"]["search"]) / "found.json", "search again"
    told = read_sealed(path, "result of a search", again)
    found = as_type(Found, told, path, again)
    recipe = {**config["recipe"], "peak_lr": found.peak_lr}
    teacher = {**config["teacher"], "temperature": found.temperature, "weight": found.weight}
    with reading(path, "result of a search", again):
        teacher["gold"] = as_type(float, told["gold"], path, again)
    return student_run({**config, "recipe": recipe, "teacher": teacher})
