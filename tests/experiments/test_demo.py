"""The whole line on digits, small: what is written, that a second call redoes nothing, that a file gives the same."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

import trainmap as tm
from trainmap.data.dataset import load_splits
from trainmap.errors import StoreError, TrainmapError
from trainmap.experiments.demo import ALWAYS, SIZES, plan_demo, run_demo
from trainmap.experiments.file.variants import Variant, load_experiment, variant_of
from trainmap.experiments.plan.named_rows import ROWS
from trainmap.experiments.plan.planner import plan_graph
from trainmap.experiments.report import study_plots
from trainmap.experiments.report.study_files import write_study
from trainmap.experiments.runs import launch
from trainmap.experiments.runs.folder import claim, open_study, run_study, study_of
from trainmap.experiments.runs.job import Job, Stamp
from trainmap.experiments.runs.worker import Answer, attempt
from trainmap.experiments.verifying import verify
from trainmap.maps.regions import REGIONS
from trainmap.training.fit import default_recipe

TIMED = ("seconds", "cpu_seconds")


class Here:
    """A pool that does tasks in this process, one after the other; after ``most`` of them it is killed."""

    most = 10_000
    done = 0

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.answers: list[tuple[Job, Answer]] = []

    def free(self) -> bool:
        return not self.answers

    def start(self, task: Job, old_error: Stamp) -> None:
        if Here.done >= Here.most:
            raise KeyboardInterrupt
        Here.done += 1
        answer: Answer = "failed"
        with suppress(TrainmapError):
            answer = attempt(self.folder, task, old_error)
        self.answers.append((task, answer))

    def wait(self, seconds: float | None) -> list[tuple[Job, Answer]]:
        answers, self.answers = self.answers, []
        return answers

    def stop(self) -> None:
        pass


@pytest.fixture(autouse=True, scope="module")
def here() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "LocalPool", Here)
        for name in ("plot_costs", "plot_sizes"):  # a second each
            patch.setattr(study_plots, name, blank)
        yield


def blank(panels: object, path: Path, what: str = "") -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"")
    return path


@pytest.fixture
def killed_after(monkeypatch: pytest.MonkeyPatch) -> Any:
    """killed_after(n): so many tasks from now on, then the machine goes down; None for as many as there are."""

    def killed_after(most: int | None) -> None:
        monkeypatch.setattr(Here, "done", 0)
        monkeypatch.setattr(Here, "most", 10_000 if most is None else most)

    return killed_after


def small(**changes: Any) -> Variant:
    settings: dict = {"teacher": "cnn-8", "teacher_epochs": 3, "students": ["mlp-256"], "seeds": 2, "epochs": 2}
    return plan_demo("digits", **{**settings, "subsets": ["ambiguous", "repeated-random"], **changes})


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, here: None) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "out"
    assert run_demo(small(), folder) == folder / "report.html"
    return folder


def rows_of(folder: Path) -> pl.DataFrame:
    """The rows of ``results.csv`` without what a clock says."""
    rows = pl.read_csv(folder / "results.csv")
    return rows.drop([name for name in rows.columns if name.endswith(TIMED)])


def test_a_demo_writes_the_report_the_map_and_the_dynamics_at_their_places(done: Path) -> None:
    for name in ("report.html", "report.md", "results.csv", "map.png", "map.parquet"):
        assert (done / name).stat().st_size > 0
    dynamics = tm.Dynamics.open(done / "dynamics")
    assert dynamics.epochs == 3
    datamap = tm.DataMap.open(done / "map.parquet")
    assert datamap.fingerprint == tm.DataMap.from_dynamics(dynamics).fingerprint
    cards = [tm.Selection.open(path) for path in done.glob("made/selection-*/card.json")]
    np.testing.assert_array_equal(cards[0].ids, tm.select(datamap, "33% ambiguous").ids)
    assert "What paid on digits" in (done / "report.md").read_text()
    page = (done / "report.html").read_text()
    assert [page.count(f"<h3>{region} <small>") for region in REGIONS] == [1, 1, 1]
    assert page.count('<img src="data:image/png;base64,') == page.count('<figure class="example">') > 6
    assert [str(one.damage) for one in verify(done) if one.damage] == []


def test_what_stands_at_two_places_takes_room_once_and_is_a_file_of_its_own(done: Path) -> None:
    (teacher,) = done.glob("made/teacher-*/dynamics")
    for file in (path for path in teacher.rglob("*") if path.is_file()):
        other = done / "dynamics" / file.relative_to(teacher)
        assert not other.is_symlink()
        assert other.samefile(file)


def test_a_disk_without_links_gets_copies(done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("no links here")

    copy = shutil.copytree(done, tmp_path / "demo", ignore=shutil.ignore_patterns("dynamics"))
    shutil.copytree(next(done.glob("made/teacher-*/dynamics")), next(copy.glob("made/teacher-[0-9a-f]*")) / "dynamics")
    monkeypatch.setattr("trainmap.experiments.demo.os.link", refuse)
    run_demo(small(), copy)
    assert tm.Dynamics.open(copy / "dynamics").epochs == 3


def test_the_rows_are_every_subset_student_seed_and_way_with_random_among_them(done: Path) -> None:
    rows = rows_of(done)
    epochs, steps = (rows.filter(pl.col("budget") == budget) for budget in ("equal epochs", "equal steps"))
    assert set(epochs["subset"]) == {
        "full data",
        "full data, equal steps",
        "random 33 %",
        "repeated random 33 %",
        "ambiguous = high variability 33 %",
    }
    assert len(epochs) == 5 * 2 * 2
    assert set(steps["subset"]) == set(epochs["subset"]) - {"full data, equal steps"}
    assert set(steps["steps"]) == set(epochs.filter(pl.col("subset") == "full data")["steps"])
    subset = epochs.filter(pl.col("subset") == "random 33 %").row(0, named=True)
    assert subset["examples"] == 356
    assert set(epochs.filter(pl.col("subset") != "full data")["steps"]) == {subset["steps"]}


def test_a_row_that_is_none_of_the_long_ones_stands_at_equal_epochs_alone() -> None:
    lines = plan_graph([small(subsets=["ambiguous-corner"])], "nowhere").lines
    budgets = {line.labels["budget"] for line in lines if "corner" in line.labels["subset"]}
    assert budgets == {"equal epochs"}


def test_a_rows_budgets_are_some_of_the_experiments() -> None:
    said = small().source.value
    subsets = [{"key": "ambiguous", "budgets": ["equal steps"]}]
    with pytest.raises(TrainmapError, match=r"subsets\.0\.budgets: must be some of the experiment's, .*each once"):
        plan_graph([variant_of({**said, "budgets": ["equal epochs"], "subsets": subsets})], "nowhere")


def test_a_file_that_says_the_same_gives_the_same_numbers(done: Path, tmp_path: Path) -> None:
    file = tmp_path / "demo.yaml"
    file.write_text(yaml.safe_dump(small().source.value))
    variants = load_experiment(file)
    graph = plan_graph(variants, tmp_path / "grid")
    assert set(graph.nodes) == {entry.hash for entry in open_study(done).entries}
    run_study(study_of(variants, graph, {"file": file.name}), graph, tmp_path / "grid")
    write_study(tmp_path / "grid")
    assert rows_of(tmp_path / "grid").equals(rows_of(done))


def test_auto_and_repeated_auto_are_told_how_good_the_maps_network_is(tmp_path: Path) -> None:
    plan = small(subsets=["auto", "repeated-auto"], seeds=1, distillation="never")
    run_demo(plan, tmp_path)
    assert {"auto 33 %", "repeated auto 33 %"} <= set(rows_of(tmp_path)["subset"])
    (teacher,) = [entry for entry in open_study(tmp_path).entries if entry.kind == "teacher"]
    accuracy = json.loads((tmp_path / "runs" / f"{teacher.hash}.json").read_text())["result"]["validation_accuracy"]
    told = next(path for path in tmp_path.glob("made/selection-*/card.json"))
    assert f"{accuracy}"[:6] in told.read_text()


def stamps(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (folder / "runs").iterdir()}


def test_a_second_call_redoes_nothing(done: Path, killed_after: Any) -> None:
    before, report = stamps(done), (done / "report.md").read_text()
    killed_after(0)
    run_demo(small(), done)
    assert stamps(done) == before
    assert (done / "report.md").read_text() == report


def test_a_folder_that_was_moved_or_copied_redoes_nothing(done: Path, tmp_path: Path, killed_after: Any) -> None:
    before = stamps(done)
    copied = shutil.copytree(done, tmp_path / "copied")
    killed_after(0)
    run_demo(small(), copied)
    assert tm.Dynamics.open(copied / "dynamics").epochs == 3
    moved = done.rename(done.with_name("moved"))
    try:
        run_demo(small(data_root=tmp_path), moved)
        assert not done.exists()
        assert stamps(moved) == before
    finally:
        moved.rename(done)


@pytest.mark.parametrize("most", [1, 4])
def test_a_killed_demo_goes_on_and_makes_the_same(done: Path, tmp_path: Path, most: int, killed_after: Any) -> None:
    killed_after(most)
    with pytest.raises(KeyboardInterrupt):
        run_demo(small(), tmp_path)
    assert len(list((tmp_path / "runs").glob("*.json"))) == most
    before = stamps(tmp_path)
    killed_after(None)
    run_demo(small(), tmp_path)
    assert before.items() <= stamps(tmp_path).items()
    assert rows_of(tmp_path).equals(rows_of(done))


def test_another_teacher_or_other_data_in_the_same_folder_are_refused(done: Path) -> None:
    before = stamps(done)
    with pytest.raises(StoreError, match="holds a demo with teacher 'cnn-8', now 'mlp-256'; use another folder"):
        run_demo(small(teacher="mlp-256"), done)
    with pytest.raises(StoreError, match="holds a demo with epochs 3, now 4; use another folder"):
        run_demo(small(teacher_epochs=4), done)
    with pytest.raises(StoreError, match="holds a demo with data 'digits', now 'wine'"):
        run_demo(plan_demo("wine", teacher="mlp-256", subsets=[]), done)
    assert stamps(done) == before


def test_a_demo_of_the_last_version_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "teacher").mkdir()
    (tmp_path / "teacher" / "plan.json").write_text("{}")
    with pytest.raises(StoreError, match=r"holds a demo of trainmap 0\.1.*choose another folder, or remove it"):
        run_demo(small(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["teacher"]


def test_an_experiment_and_a_demo_do_not_share_a_folder(done: Path, tmp_path: Path) -> None:
    plan = small()
    graph = plan_graph([plan], tmp_path)
    study = study_of([plan], graph, {"file": "one.yaml", "sha256": "0" * 64})
    with pytest.raises(StoreError, match=r"belongs to 'What paid on digits' \(trainmap demo\)"):
        claim(study, done)
    claim(study, tmp_path)
    with pytest.raises(StoreError, match="holds an experiment, which a demo would write over; choose another folder"):
        run_demo(plan, tmp_path)


def test_more_seeds_add_only_the_runs_that_are_new(done: Path) -> None:
    graph = plan_graph([small(seeds=3)], done)
    lines = [line for line in graph.lines if not (done / "runs" / f"{line.run}.json").exists()]
    assert {line.labels["seed"] for line in lines} == {2}
    assert len(lines) == len(graph.lines) / 3


def test_a_task_that_fails_is_told_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise TrainmapError("no picture today")

    with monkeypatch.context() as patch:
        patch.setattr("trainmap.experiments.tasks.map.plot_map", refuse)
        with pytest.raises(
            TrainmapError, match=r"^1 of 20 tasks failed and 5 that need .*no picture today.*call again"
        ):
            run_demo(small(seeds=1), tmp_path)
    assert "no picture today" in capsys.readouterr().err
    assert tm.Dynamics.open(tmp_path / "dynamics").epochs == 3
    run_demo(small(seeds=1), tmp_path)


def test_the_table_of_subsets_holds_the_studys_thirteen_rows() -> None:
    specs = {(row.spec, row.draw.kind) for row in ROWS.values()}
    wanted = ["{percent} random", "{percent} ambiguous", "{percent} hard-to-learn", "{percent} easy-to-learn"]
    wanted += [f"{end} {{percent}} {score}" for end in ("top", "bottom") for score in ("correctness", "slope")]
    wanted += ["bottom {percent} variability"]  # the other three are ambiguous, easy and hard by the quantile rule
    assert set(wanted) <= {spec for spec, _ in specs}


def test_full_data_and_random_cannot_be_left_out_and_auto_comes_when_asked() -> None:
    assert [subset.key for subset in small(subsets=[]).experiment.subsets] == list(ALWAYS)
    keys = [subset.key for subset in small(subsets=None).experiment.subsets]
    assert len(keys) == 15
    assert not {"auto", "repeated-auto"} & set(keys)


@pytest.mark.parametrize("data", SIZES)
def test_every_dataset_with_a_size_of_its_own_is_said_as_an_experiment(data: str) -> None:
    size = SIZES[data]
    experiment = plan_demo(data).experiment
    assert [teacher.model for teacher in experiment.teachers] == [size.teacher]
    assert [student.model for student in experiment.students] == list(size.students)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fraction": 1.0}, "fraction must be above 0 and below 1, got 1.0"),
        ({"seeds": 0}, "seeds must be at least 1, got 0"),
        ({"distillation": "allways"}, "unknown distillation 'allways'"),
        ({"students": ["resnet-50"]}, "unknown model 'resnet-50'"),
        ({"epochs": 0}, "epochs: must be greater than or equal to 1, got 0"),
    ],
)
def test_a_plan_that_cannot_work_is_refused_before_any_work(changes: dict, message: str) -> None:
    with pytest.raises(TrainmapError, match=message):
        small(**changes)


def test_equal_steps_are_counted_in_the_batches_of_the_datas_own_recipe(tmp_path: Path) -> None:
    """The recipe of a table has smaller batches than that of an image of the same network's name."""
    plan = plan_demo("wine", students=["mlp-256"], seeds=1, subsets=["random"], distillation="never")
    run_demo(plan, tmp_path / "demo")
    rows = rows_of(tmp_path / "demo").filter(pl.col("budget") == "equal epochs")
    steps = dict(rows.select("subset", "steps").iter_rows())
    assert steps["full data, equal steps"] == steps["random 33 %"] < steps["full data"]
    train = load_splits("wine", seed=42).train
    recipe = default_recipe("mlp-256", "wine", inputs=train.inputs)
    assert recipe.batch != default_recipe("mlp-256", "wine").batch
    assert steps["full data"] == recipe.epochs * math.ceil(len(train) / recipe.batch)
