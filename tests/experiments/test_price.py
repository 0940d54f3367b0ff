"""What a run costs: live teachers in the number, what was made once beside it, each task once, old results completed;
and what teaches has its name in every output."""

from __future__ import annotations

import csv
import json
import math
import shlex
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import studies
from torch import nn

from trainmap.cli.experiment_verbs import command_of
from trainmap.data.inputs import Inputs
from trainmap.distillation.losses import LOSSES
from trainmap.experiments.demo import command_of as demo_command
from trainmap.experiments.demo import plan_demo
from trainmap.experiments.file.variants import load_experiment
from trainmap.experiments.plan.graph import Graph
from trainmap.experiments.plan.planner import plan_graph
from trainmap.experiments.report import study_files, study_plots
from trainmap.experiments.report.study_files import write_study
from trainmap.experiments.results.price import ONCE, PARTS, Spent, completed, price_of
from trainmap.experiments.runs.estimate import estimate
from trainmap.experiments.runs.folder import Study, open_study, results, study_of, tasks_of
from trainmap.experiments.tasks.learning import live_flops
from trainmap.experiments.tasks.student import Student
from trainmap.experiments.tasks.task import Task
from trainmap.experiments.tasks.task_table import TASKS
from trainmap.models.cost import forward_flops
from trainmap.training.step import Teaching

RECORDED = Path(__file__).parents[1] / "recorded"
FILE = f"""\
title: Every loss
data: {{names: [digits], label_noise: 0.1}}
teachers: [{{model: cnn-8, name: maker, epochs: 2, record: sweep}}, {{model: mlp-256, epochs: 1}}]
maps: [{{teacher: maker, epochs: 1}}]
subsets: [random, {{spec: "top {{percent}} loss"}}, {{schedule: {{name: proxy, model: cnn-8, keep: 0.5}}, seeds: [0]}}]
sizes: [0.1]
students:
  - model: mlp-256
    epochs: 1
    distillation: [null, {", ".join(f"{{loss: {name}}}" for name in LOSSES)}]
  - {{model: mlp-256, name: cropped, epochs: 1, recipe: {{crop: 1}}, distillation: [{{teacher: mlp-256}}]}}
seeds: [0]
"""


def planned(folder: Path) -> tuple[Study, Graph]:
    (folder / "losses.yaml").write_text(FILE)
    variants = load_experiment(folder / "losses.yaml")
    graph = plan_graph(variants, folder / "out")
    return study_of(variants, graph, {"file": "losses.yaml", "command": command_of("losses.yaml", None, [])}), graph


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("price")
    study, graph = planned(folder)
    studies.run(study, graph, folder / "out")
    return folder


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The titles of the panels of the pictures, which take a second each and are not drawn."""
    titles: list[str] = []

    def plot(panels: Any, path: Path, *_: Any, **__: Any) -> Path:
        titles.extend(panel.title for panel in panels)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
        return path

    for name in ("plot_costs", "plot_sizes"):
        monkeypatch.setattr(study_plots, name, plot)
    return titles


def rows_of(text: str) -> list[dict[str, str]]:
    return [{key: value for key, value in sorted(row.items()) if value} for row in csv.DictReader(text.splitlines())]


def students(study: Study) -> list[tuple[str, Student]]:
    tasks = tasks_of(study)
    return [(entry.hash, task) for entry in study.entries if isinstance(task := tasks[entry.hash], Student)]


def test_every_loss_counts_its_teacher_in_results_and_plans_if_and_only_if_it_runs_live(done: Path) -> None:
    study, graph = planned(done)
    found = results(study, done / "out")
    forward = {model["name"]: model["flops"] for model in study.models}
    live: set[str] = set()
    for digest, task in students(study):
        result, cost, seen = found[digest], graph.nodes[digest].cost, found[digest]["examples_seen"]
        teacher = 0
        if task.teaching is not None and (LOSSES[task.teaching.loss].needs == "features" or task.recipe.crop):
            assert task.live is not None
            teacher = forward[task.live.model] * seen
            assert result["teacher_flops"] == teacher
        assert ("teacher_flops" in result) == bool(teacher)
        proxy = result.get("proxy_flops", 0)
        assert result["train_flops"] == 3 * forward["mlp-256"] * seen + teacher + proxy
        if not proxy:
            assert cost.flops == result["train_flops"]
            assert sum(cost.beside.values()) == teacher
        live |= {task.teaching.loss} if task.teaching is not None and teacher else set()
    assert live == {name for name, loss in LOSSES.items() if loss.needs == "features"} | {"hinton"}  # that with crops


def test_the_plan_counts_the_time_of_a_network_beside_at_its_own_speed(done: Path) -> None:
    study, _ = planned(done)
    found = results(study, done / "out")
    live = next(digest for digest, task in students(study) if task.live is not None and task.live.model == "cnn-8")
    left = estimate(study, {key: value for key, value in found.items() if key != live}, 1)
    entry = next(entry for entry in study.entries if entry.hash == live)
    line = next(line for line in left.lines if line.kind == "student")
    assert (line.flops, line.beside) == (entry.flops, entry.beside["cnn-8"])
    assert line.beside > 0
    told = "; ".join(left.sources)
    assert all(f"{model} on digits" in told for model in ("mlp-256", "cnn-8"))
    assert "trained now" not in told
    alone = [e for e in study.entries if e.model == "cnn-8" and not e.beside and "train_flops" in found[e.hash]]
    speed = sum(found[e.hash]["train_cpu_seconds"] for e in alone) / sum(found[e.hash]["train_flops"] for e in alone)
    assert left.work_seconds > speed * entry.beside["cnn-8"]


def test_what_teaches_stands_by_its_name_in_every_output(done: Path, drawn: list[str]) -> None:
    paths = write_study(done / "out")
    rows = list(csv.DictReader(paths["results.csv"].read_text().splitlines()))
    assert {row["taught"] for row in rows} == {"", *(f"{loss} by maker" for loss in LOSSES), "hinton by mlp-256"}
    assert {row["distilled"] for row in rows if not row["taught"]} == {"False"}
    assert {row["distilled"] for row in rows if row["taught"]} == {"True"}
    cells = list(csv.DictReader(paths["table.csv"].read_text().splitlines()))
    assert {(cell["student"], cell["taught"]) for cell in cells} == {(row["student"], row["taught"]) for row in rows}
    assert {one["taught"] for one in json.loads(paths["results.json"].read_text()) if "taught" in one} == {
        row["taught"] for row in rows
    }
    for loss in LOSSES:
        column = f"mlp-256 + {loss} by maker"
        assert column in drawn
        for name in ("report.md", "report.html", "report.tex"):
            assert column in paths[name].read_text(), (name, loss)
        assert f"Distillation by {loss} by maker" in paths["report.md"].read_text()


def test_a_table_says_what_is_in_its_number_and_what_the_whole_is(done: Path, drawn: list[str]) -> None:
    paths = write_study(done / "out")
    text = paths["report.md"].read_text()
    said = next(line for line in text.splitlines() if line.startswith("One run in FLOPs"))
    assert "In the number: training, the live teacher's forward passes (" in said
    for loss in ("lsp by maker", "feature-matching by maker", "hinton by mlp-256"):
        assert loss in said
    assert "dkd" not in said
    assert "the proxy (schedule proxy" in said
    assert "Made once, and not in it: map, scoring, choosing, teacher, teacher logits (see The whole cost)." in said
    whole = text.split("## The whole cost")[1].split("\n## ")[0]
    assert "live teacher " in whole
    assert "once: map " in whole
    assert "| teacher logits |" in " ".join(text.split("## Made once")[1].split("\n## ")[0].split())
    for row in csv.DictReader(paths["results.csv"].read_text().splitlines()):
        once = {part: float(row.get(f"once_{part.replace(' ', '_')}_flops") or 0) for part in ONCE}
        assert float(row["once_flops"]) == pytest.approx(sum(once.values()))
        assert float(row["whole_flops"]) == pytest.approx(float(row["train_flops"]) + sum(once.values()))
        live = row["taught"] in ("lsp by maker", "feature-matching by maker", "hinton by mlp-256")
        assert ("live teacher" in row["counted"], bool(row.get("teacher_flops"))) == (live, live)
        assert ("teacher logits" in row["once"]) == (bool(row["taught"]) and not live)
        reads = row["draw"] == "chosen"
        assert ("map" in row["once"].split(" + ")) == reads


def test_a_map_of_the_first_epochs_and_the_whole_teacher_are_counted_once_together(done: Path) -> None:
    study, _ = planned(done)
    found, tasks = results(study, done / "out"), tasks_of(study)
    taught = next(task for _, task in students(study) if "selection" in task.drawn_from and task.live is not None)
    assert taught.live is not None
    spent = found[taught.live.hash]
    both = spent["train_flops"] + spent["sweep_flops"]
    price = price_of([taught], found)
    assert price.before("map").flops == price.before("teacher").flops == both / 2
    together = price_of([tasks[line.run] for line in study.lines], found)
    own = [found[digest]["train_flops"] for digest in dict.fromkeys(line.run for line in study.lines)]
    assert sum(part.flops for part in together.run.values()) == sum(own)
    assert (
        together.before("map", "teacher").flops
        == both
        + found[next(e.hash for e in study.entries if e.kind == "teacher" and e.model == "mlp-256")]["train_flops"]
    )


def test_results_without_the_new_fields_are_completed_from_the_plan_and_it_is_said(
    done: Path, drawn: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = {name: write_study(done / "out")[name].read_text() for name in ("results.csv", "table.csv")}

    def before(study: Study, folder: Path) -> dict[str, dict[str, Any]]:
        found = results(study, folder)
        return {
            digest: {
                key: value - result.get("teacher_flops", 0) if key == "train_flops" else value
                for key, value in result.items()
                if key not in ("teacher_flops", "sweep_flops")
            }
            for digest, result in found.items()
        }

    monkeypatch.setattr(study_files, "results", before)
    paths = write_study(done / "out")
    for name, text in now.items():
        assert rows_of(paths[name].read_text()) == rows_of(text)
    text = paths["report.md"].read_text()
    assert "results of an earlier trainmap left out the FLOPs of a live teacher" in text
    assert "1 results of an earlier trainmap left out the FLOPs of the sweeps that record" in text


def test_a_grid_of_0_1_has_the_live_teacher_of_its_students_and_of_what_became_of_them(tmp_path: Path) -> None:
    with zipfile.ZipFile(RECORDED / "grids_of_0_1.zip") as kept:
        kept.extractall(tmp_path)
    study = open_study(tmp_path / "grid")
    kept_, tasks = results(study, tmp_path / "grid"), tasks_of(study)
    found, said = completed(study, kept_)
    assert len(said) == 1
    changed = {digest for digest in found if found[digest] != kept_[digest]}
    live = {digest for digest, task in students(study) if task.live is not None}
    assert changed == live | {
        digest
        for digest, task in tasks.items()
        if set(task.needs()) & {"student"} and task.needs()["student"].hash in live
    }
    for digest in live:
        teacher = 168960 * kept_[digest]["examples_seen"]
        assert found[digest]["teacher_flops"] == teacher
        assert found[digest]["train_flops"] == kept_[digest]["train_flops"] + teacher
    assert completed(study, found) == (found, [])


def test_every_kind_of_task_says_a_part_that_there_is_and_what_it_does(done: Path) -> None:
    assert {kind.part for kind in TASKS.values()} <= {*PARTS}
    assert {kind.makes for kind in TASKS.values()} <= {*ONCE, ""}
    study, _ = planned(done)
    assert all(task.told() for task in tasks_of(study).values())


class Net(Task):
    kind: ClassVar = "net/1"
    part: ClassVar = "teacher"
    name: str
    chosen: Task | None = None


class Record(Task):
    kind: ClassVar = "record/1"
    part: ClassVar = "scoring"
    makes: ClassVar = "map"
    spends: ClassVar = ("scoring",)
    first: Net
    second: Net | None = None

    def share_of(self, role: str, result: Mapping[str, Any]) -> float:
        return 0.5


class Choose(Task):
    kind: ClassVar = "choose/1"
    part: ClassVar = "choosing"
    makes: ClassVar = "choosing"
    spends: ClassVar = ("selecting",)
    map: Record


class Strange(Task):
    kind: ClassVar = "strange/1"
    source: Task


class Run(Task):
    kind: ClassVar = "run/1"
    part: ClassVar = "training"
    spends: ClassVar = ("train",)
    chosen: Task | None = None
    source: Task | None = None


class Smaller(Task):
    kind: ClassVar = "smaller/1"
    part: ClassVar = "compression"
    spends: ClassVar = ("compress",)
    student: Run


def spent(flops: float) -> dict[str, float]:
    return {"train_flops": flops, "train_seconds": flops, "train_cpu_seconds": flops}


def test_a_chain_of_maps_and_teachers_is_priced_without_being_known() -> None:
    first = Net(name="first")
    second = Net(name="second", chosen=Choose(map=Record(first=first)))
    run = Run(chosen=Choose(map=Record(first=second, second=first)), source=second)
    done: dict[str, dict[str, float]] = {}

    def finish(task: Task) -> None:
        done[task.hash] = {}
        for need in task.needs().values():
            finish(need)

    finish(run)
    done |= {first.hash: spent(100), second.hash: spent(10), run.hash: spent(1) | {"teacher_flops": 0.25}}
    price = price_of([run], done)
    assert price.run["training"].flops == 0.75
    assert price.run["live teacher"].flops == 0.25
    assert price.before("map").flops == 50 + 5
    assert price.before("teacher").flops == 5  # what the live teacher needs beyond the recorded half
    assert price.whole == Spent(61, 61, 61)


def test_what_becomes_of_a_student_has_its_training_in_the_run_and_another_student_does_not() -> None:
    one, teacher = Run(), Net(name="t")
    smaller, other = Smaller(student=one), Run(source=Strange(source=one))
    done = {one.hash: spent(3), smaller.hash: {"compress_flops": 1}, other.hash: spent(7), teacher.hash: spent(1)}
    assert isinstance(other.source, Strange)
    done[other.source.hash] = {"inference_flops": 2}
    assert {part: its.flops for part, its in price_of([smaller], done).run.items()} == {"training": 3, "compression": 1}
    price = price_of([other], done)
    assert price.run["training"].flops == 7
    assert price.before("other").flops == 3 + 2
    assert math.isnan(price_of([Run(source=teacher)], done).run["training"].flops)


def test_a_live_teacher_of_a_run_that_ended_before_a_kill_is_counted() -> None:
    teacher, inputs = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), Inputs.images(1, 8)
    assert live_flops(Teaching(teacher), inputs, 7) == 7 * forward_flops(teacher, inputs) > 0
    assert live_flops(Teaching(), inputs, 7) == live_flops(None, inputs, 7) == 0


def test_a_report_opens_with_the_steps_of_what_was_done(done: Path, drawn: list[str]) -> None:
    paths = write_study(done / "out")
    text = paths["report.md"].read_text()
    steps = text.split("## What was done")[1].strip().split("\n\n")[0].splitlines()
    assert text.index("## What was done") < text.index("## The whole in one table")
    assert [step.partition(".")[0] for step in steps] == [str(at) for at in range(1, len(steps) + 1)]
    study, _ = planned(done)
    data = students(study)[0][1].data
    told = "\n".join(steps).replace("\\", "")
    for word in (
        *("1,078 training examples", data.fingerprint[:16], "10 % of the training labels exchanged"),
        *("cnn-8, 2 epochs, batch", "an evaluation pass after each epoch", "the first 1 epoch", "seed 1000"),
        *("chosen from the map by 'top 10% loss'", "drawn at random, another set for each seed"),
        *(f"taught with {loss}" for loss in LOSSES),
        *("by its cached logits", "which runs at every step", "Student's t interval at 95 %", "Holm"),
        *("trainmap run losses.yaml --out DIR", "python ", "numpy "),
    ):
        assert word in told, word
    page = paths["report.html"].read_text()
    start = page.index("What was done")
    assert page.count("<li>", start, page.index("</ol>", start)) == len(steps)


def test_the_commands_that_repeat_are_those_that_were_given() -> None:
    sets = ["seeds=[0, 1]", "data.root=/tmp/it's"]
    assert shlex.split(command_of("a b.yaml", "paper", sets)) == [
        *("trainmap", "run", "a b.yaml", "--scale", "paper", "--set", sets[0], "--set", sets[1], "--out", "DIR")
    ]
    plan = plan_demo("digits", students=["mlp-256"], seeds=2, fraction=0.2, subsets=["hard"], distillation="only")
    words = shlex.split(demo_command(plan))
    told = dict(zip(words[2::2], words[3::2], strict=True))
    assert told == {
        "--data": "digits",
        "--teacher": "resnet14-16",
        "--students": "mlp-256",
        "--fraction": "0.2",
        "--seeds": "2",
        "--epochs": "10",
        "--teacher-epochs": "12",
        "--label-noise": "0.05",
        "--distillation": "only",
        "--out": "DIR",
        "--subsets": "full,full-equal-steps,random,hard",
    }
