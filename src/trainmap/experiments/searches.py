"""The search for hyperparameters of an experiment: teacher logits → search → tuned students, and its tables.

What was found is trained under the experiment's seeds beside what the student had, the start, on all the data; the two
meet on the test data, paired by seed. The search has seen neither those seeds nor the test data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainmap.checksums import read_sealed, write_sealed
from trainmap.distillation.kept_logits import open_logits
from trainmap.distillation.settings import settled
from trainmap.errors import TrainmapError
from trainmap.experiments.file.sections import Map, Student
from trainmap.experiments.nodes import data_of, student_run
from trainmap.experiments.report.formats import show_difference, show_estimate, show_flops, show_seconds
from trainmap.experiments.report.grid_cells import VERDICTS, Cell, Grid
from trainmap.experiments.results.result_fields import Found
from trainmap.experiments.results.statistics import Difference, interval, paired_difference
from trainmap.experiments.runs.folder import Entry, Study
from trainmap.experiments.students import CHECKPOINT_FLOPS, Column, Students, columns
from trainmap.experiments.tuning import Hyperparameters, Lesson, Trial, check_search, search
from trainmap.files import reading
from trainmap.models.cost import training_flops
from trainmap.training.fit import Distillation
from trainmap.training.recipes import Recipe
from trainmap.typed import as_type

if TYPE_CHECKING:
    from trainmap.experiments.planner import Planner

Done = Mapping[str, Mapping[str, Any]]

SHOWN = 10  # trials in the report; all of them are in trials.csv
WORDS = {"beats random": "better", "no difference shown": "no difference shown", "worse": "worse"}


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


def search_grids(study: Study, done: Done) -> tuple[list[Grid], list[str], list[dict[str, Any]]]:
    """The tables of every search, what each says in a sentence, and a row for each trial; all empty without one."""
    grids: list[Grid] = []
    said: list[str] = []
    rows: list[dict[str, Any]] = []
    for entry in study.entries:
        if entry.kind != "search" or entry.hash not in done:
            continue
        result, name = done[entry.hash], entry.name.removeprefix("search for ")
        scores = _scores(study, entry, done)
        difference = paired_difference(scores["found"], scores["start"], study.level)
        grids += [_found_grid(name, entry, result, scores, difference, study.level), _trials_grid(name, result)]
        said.append(_sentence(name, entry, result, difference))
        rows += [{"search": name, "rank": at + 1, **trial} for at, trial in enumerate(result["trials"])]
    return grids, said, rows


def _scores(study: Study, entry: Entry, done: Done) -> dict[str, dict[int, float]]:
    """Test macro F1 by seed of what was found and of the start: the same runs but for the search."""
    tuned = [other for other in study.entries if other.kind == "tuned" and other.config["search"] == entry.hash]
    starts = [{key: value for key, value in other.config.items() if key != "search"} for other in tuned]
    plain = [other for other in study.entries if other.kind == "student" and other.config in starts]
    return {
        name: {run.config["seed"]: done[run.hash]["test_macro_f1"] for run in runs if run.hash in done}
        for name, runs in (("start", plain), ("found", tuned))
    }


def _found_grid(
    name: str,
    entry: Entry,
    result: Mapping[str, Any],
    scores: Mapping[str, Mapping[int, float]],
    difference: Difference,
    level: float,
) -> Grid:
    validated = {tuple(trial[key] for key in entry.config["start"]): trial for trial in result["trials"]}
    lines: list[tuple[str, Any, tuple[Cell, ...]]] = []
    for which, chosen in (("start", entry.config["start"]), ("found", result["found"])):
        values = tuple(chosen[key] for key in entry.config["start"])
        on_validation = validated[values]["validation_macro_f1"]
        test = list(scores[which].values())
        cells = [Cell(f"{value:.3g}") for value in values]
        cells.append(Cell(f"{100 * on_validation:.2f} (n={len(entry.config['seeds'])})"))
        cells.append(Cell(show_estimate(interval(test, level), 2) if test else "–"))
        judged = which == "found" and difference.n
        words = WORDS[difference.verdict] if judged else ""
        told = show_difference(difference, 2, difference.n) if judged else ""
        cells.append(Cell(told, "", words, VERDICTS[difference.verdict] if judged else ""))
        spent = Cell(show_flops(result["train_flops"]), show_seconds(result["train_cpu_seconds"]))
        lines.append((which, "", (*cells, spent if which == "found" else Cell("–"))))
    heads = ("learning rate", "temperature", "weight", "validation macro F1", "test macro F1", "found minus start")
    lead = (
        f"The best of {len(result['trials'])} trials on the validation data (the mean over the seeds of the trials) "
        "and the values that the student had; then both on the test data, in percent, under seeds that the search did "
        "not use, paired by seed, in points. The search's validation score is the best of many and for that too high."
    )
    heads = (*heads, "cost of the search, CPU time")
    return Grid(f"Hyperparameters of {name}", lead, "values", heads, ("",) * len(heads), tuple(lines))


def _trials_grid(name: str, result: Mapping[str, Any]) -> Grid:
    keys = ("peak_lr", "temperature", "weight")
    lines: list[tuple[str, Any, tuple[Cell, ...]]] = [
        (
            str(at + 1),
            "",
            (*(Cell(f"{trial[key]:.3g}") for key in keys), Cell(f"{100 * trial['validation_macro_f1']:.2f}")),
        )
        for at, trial in enumerate(result["trials"][:SHOWN])
    ]
    heads = ("learning rate", "temperature", "weight", "validation macro F1")
    title = f"The best trials for {name}"
    return Grid(title, "All of them are in trials.csv.", "rank", heads, ("",) * 4, tuple(lines), aside=True)


def _sentence(name: str, entry: Entry, result: Mapping[str, Any], difference: Difference) -> str:
    def told(chosen: Mapping[str, Any]) -> str:
        rate, temperature, weight = (f"{chosen[key]:.3g}" for key in ("peak_lr", "temperature", "weight"))
        return f"learning rate {rate}, temperature {temperature}, weight {weight}"

    better = difference.verdict == "beats random"
    verdict = "not judged yet"
    if difference.n:
        verdict = (
            f"{show_difference(difference, 2, difference.n)} points (n={difference.n}), {WORDS[difference.verdict]}"
        )
    kept = result["found"] if better else entry.config["start"]
    return (
        f"{name}: the best trial ({told(result['found'])}) minus the start on the test data: {verdict}. "
        f"Defaults from here on: {told(kept)}{'' if better else ', as before'}."
    )
