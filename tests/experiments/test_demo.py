"""The whole line on digits, small: what is written, and that a second call redoes nothing."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import trainmap as tm
from trainmap.data.dataset import load_splits
from trainmap.errors import StoreError, TrainmapError
from trainmap.experiments import demo, student
from trainmap.experiments.demo import run_demo
from trainmap.experiments.plan import SPLIT_SEED, DemoPlan, Run, Teaching, plan_demo, runs
from trainmap.experiments.subsets import SUBSETS, chosen
from trainmap.training.fit import default_recipe


def small(**changes: object) -> DemoPlan:
    settings: dict = {"teacher": "cnn-8", "teacher_epochs": 2, "students": ["mlp-256"], "seeds": 2, "epochs": 2}
    return plan_demo("digits", **{**settings, "subsets": ["ambiguous", "repeated-random"], **changes})


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "out"
    run_demo(small(), folder, jobs=2)
    return folder


def test_a_demo_writes_the_report_the_map_the_dynamics_and_the_cards(done: Path) -> None:
    for name in ("report.html", "report.md", "results.csv", "map.png", "map.parquet"):
        assert (done / name).stat().st_size > 0
    dynamics = tm.Dynamics.open(done / "dynamics")
    assert dynamics.epochs == 2
    datamap = tm.DataMap.open(done / "map.parquet")
    assert len(datamap) == dynamics.examples
    card = tm.Selection.open(done / "cards" / "ambiguous-33.json")
    np.testing.assert_array_equal(card.ids, tm.select(datamap, "33% ambiguous").ids)
    card.verify(dynamics.ids, dynamics.labels)
    first, second = (tm.Selection.open(done / "cards" / f"random-33-seed{seed}.json").ids for seed in (0, 1))
    assert not np.array_equal(first, second)


def test_the_rows_are_every_subset_student_seed_and_way_with_random_among_them(done: Path) -> None:
    with open(done / "results.csv") as handle:
        rows = list(csv.DictReader(handle))
    epochs = [row for row in rows if row["budget"] == "equal epochs"]
    steps = [row for row in rows if row["budget"] == "equal steps"]
    assert {row["subset"] for row in epochs} == {
        "full data",
        "full data, equal steps",
        "random 33 %",
        "repeated random 33 %",
        "ambiguous = high variability 33 %",
    }
    assert len(epochs) == 5 * 2 * 2
    assert {row["steps"] for row in steps} == {next(row["steps"] for row in epochs if row["subset"] == "full data")}
    subset = next(row for row in epochs if row["subset"] == "random 33 %")
    assert int(subset["examples"]) == 356
    assert {row["steps"] for row in epochs if row["subset"] != "full data"} == {subset["steps"]}


def test_a_second_call_redoes_nothing(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("trained again")

    before = {path: path.stat().st_mtime_ns for path in (done / "runs").iterdir()}
    report = (done / "report.md").read_text()
    monkeypatch.setattr(demo, "fit", refuse)
    monkeypatch.setattr(demo, "plot_map", refuse)
    run_demo(small(), done, jobs=1)
    assert {path: path.stat().st_mtime_ns for path in (done / "runs").iterdir()} == before
    assert (done / "report.md").read_text() == report


def test_a_folder_that_was_moved_redoes_nothing(done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("made again")

    monkeypatch.setattr(demo, "fit", refuse)
    monkeypatch.setattr(demo, "plot_map", refuse)
    before = {path.name: path.stat().st_mtime_ns for path in (done / "runs").iterdir()}
    report = (done / "report.md").read_text()
    moved = done.rename(done.with_name("moved"))
    try:
        run_demo(small(data_root=tmp_path), moved, jobs=1)
        assert not done.exists()
        assert {path.name: path.stat().st_mtime_ns for path in (moved / "runs").iterdir()} == before
        assert (moved / "report.md").read_text() == report
    finally:
        moved.rename(done)


def test_a_killed_teacher_goes_on_and_makes_the_same_map(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(Exception):
        pass

    def killed_after_one_epoch(*arguments: object, **settings: object) -> object:
        def stop(epoch: int, loss: float) -> None:
            raise KilledError

        return fit(*arguments, **{**settings, "on_epoch": stop})  # type: ignore[arg-type]

    fit = demo.fit
    monkeypatch.setattr(demo, "fit", killed_after_one_epoch)
    with pytest.raises(KilledError):
        run_demo(small(), tmp_path, jobs=1)
    assert tm.Dynamics.open(tmp_path / "dynamics").epochs == 1
    monkeypatch.setattr(demo, "fit", fit)
    data = load_splits("digits", None, 42)
    with demo.stages() as stage:
        demo.make_teacher(small(), data, tmp_path, stage)
        again, _ = demo.make_map(tmp_path, stage)
    assert again.fingerprint == tm.DataMap.open(done / "map.parquet").fingerprint


def test_another_teacher_in_the_same_folder_is_refused(done: Path) -> None:
    with pytest.raises(StoreError, match="holds a demo with teacher 'cnn-8', now 'mlp-256'; use another folder"):
        run_demo(small(teacher="mlp-256"), done)


def plan_again(done: Path, **changes: object) -> list[Run]:
    data = load_splits("digits", None, 42)
    datamap = tm.DataMap.open(done / "map.parquet")
    result = json.loads((done / "teacher" / "result.json").read_text())
    teaching = Teaching(done / "teacher" / "logits.npy", result["fingerprint"])
    return runs(small(**changes), data, datamap, done / "cards", teaching)


def test_more_seeds_add_only_the_runs_that_are_new(done: Path) -> None:
    planned = plan_again(done, seeds=3)
    new = [run for run in planned if not (done / "runs" / f"{run.task.hash}.json").exists()]
    assert {run.labels["seed"] for run in new} == {2}
    assert len(new) == len(planned) / 3


def test_a_run_on_changed_training_data_is_refused(done: Path) -> None:
    record = json.loads(next(path for path in (done / "runs").glob("*.json")).read_text())
    with pytest.raises(TrainmapError, match="changed since the map was made"):
        student.student_run({**record["config"], "dataset": "0" * 64})


def test_a_run_is_given_the_paths_that_it_needs_and_none_is_in_its_identity(done: Path) -> None:
    for run in plan_again(done, data_root="elsewhere"):
        assert str(done) not in run.task.canonical
        assert "elsewhere" not in run.task.canonical
        needed = {"data_root", *["card"] * (run.task.config["ids"] is not None), *["logits"] * run.labels["distilled"]}
        assert set(run.task.where) == needed


def test_a_run_that_finds_another_card_or_another_teachers_logits_is_refused(done: Path) -> None:
    planned = plan_again(done)
    run = next(run for run in planned if run.labels["distilled"] and run.task.config["ids"] is not None)
    other = next(o for o in planned if o.task.config["ids"] not in (None, run.task.config["ids"]))
    swapped = {**run.task.where, "card": other.task.where["card"]}
    with pytest.raises(TrainmapError, match="must hold the examples of this run, but has others"):
        student.student_run({**run.task.config, "where": swapped})
    teacher = {**run.task.config["teacher"], "fingerprint": "0" * 64}
    with pytest.raises(TrainmapError, match="must be the logits of this run's teacher"):
        student.student_run({**run.task.argument, "teacher": teacher})


def test_repeated_random_draws_other_examples_each_epoch_and_the_same_ones_again_for_its_seed() -> None:
    ids = np.arange(100)[::-1]
    first = student.repeated(ids, 33, seed=1)
    second = student.repeated(np.sort(ids), 33, seed=1)
    assert len(set(first(0).tolist())) == 33
    assert set(first(0).tolist()) != set(first(1).tolist())
    np.testing.assert_array_equal(first(5), second(5))


def test_the_table_of_subsets_holds_the_studys_thirteen_rows() -> None:
    specs = {(row.spec, row.kind) for row in SUBSETS.values()}
    wanted = ["{percent} random", "{percent} ambiguous", "{percent} hard-to-learn", "{percent} easy-to-learn"]
    wanted += [f"{end} {{percent}} {score}" for end in ("top", "bottom") for score in ("correctness", "slope")]
    wanted += ["bottom {percent} variability"]  # the other three are ambiguous, easy and hard by the quantile rule
    assert set(wanted) <= {spec for spec, _ in specs}
    assert {row.kind for row in chosen([])} == {"full", "random"}  # these cannot be left out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fraction": 1.0}, "fraction must be above 0 and below 1, got 1.0"),
        ({"seeds": 0}, "seeds must be at least 1, got 0"),
        ({"distillation": "allways"}, "unknown distillation 'allways'"),
        ({"students": ["resnet-50"]}, "unknown model 'resnet-50'"),
    ],
)
def test_a_plan_that_cannot_work_is_refused_before_any_work(changes: dict, message: str) -> None:
    with pytest.raises(TrainmapError, match=message):
        small(**changes)


def test_equal_steps_are_counted_in_the_batches_of_the_datas_own_recipe(tmp_path: Path) -> None:
    """The recipe of a table has smaller batches than that of an image of the same network's name."""
    plan = plan_demo("wine", students=["mlp-256"], seeds=1, subsets=["random"], distillation="never")
    run_demo(plan, tmp_path / "demo", jobs=1)
    rows = pl.read_csv(tmp_path / "demo" / "results.csv").filter(pl.col("budget") == "equal epochs")
    steps = dict(rows.select("subset", "steps").iter_rows())
    assert steps["full data, equal steps"] == steps["random 33 %"] < steps["full data"]
    train = load_splits("wine", seed=SPLIT_SEED).train
    recipe = default_recipe("mlp-256", "wine", inputs=train.inputs)
    assert recipe.batch != default_recipe("mlp-256", "wine").batch
    assert steps["full data"] == recipe.epochs * math.ceil(len(train) / recipe.batch)
