"""From a configuration to tasks: what is shared, what changes a hash, what is refused with its line."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm

from trainmap.errors import TrainmapError
from trainmap.experiments.file.variants import load_experiment
from trainmap.experiments.plan.graph import Graph
from trainmap.experiments.plan.planner import plan_graph
from trainmap.experiments.runs.estimate import estimate
from trainmap.experiments.runs.folder import jobs_of, study_of

PLAIN = """\
title: A test
data: {names: [digits]}
teachers: [{model: cnn-8, epochs: 2}]
subsets: [full, random, ambiguous]
students: [{model: mlp-256, epochs: 3, distillation: [null, {}]}]
seeds: [0, 1]
"""


def plan(tmp_path: Path, *sets: str, text: str = PLAIN) -> Graph:
    (tmp_path / "x.yaml").write_text(text)
    return plan_graph(load_experiment(tmp_path / "x.yaml", None, sets), tmp_path / "out")


def kinds(graph: Graph) -> dict[str, int]:
    return dict(Counter(node.kind for node in graph.nodes.values()))


def test_everything_is_made_once_and_comes_after_what_it_needs(tmp_path: Path) -> None:
    graph = plan(tmp_path)
    assert kinds(graph) == {"teacher": 1, "map": 1, "selection": 1, "teacher logits": 1, "student": 3 * 2 * 2}
    seen: set[str] = set()
    for job in jobs_of(graph):
        assert set(job.after) <= seen
        assert all(digest in job.task.canonical for digest in job.after)
        seen.add(job.hash)
    assert len(graph.lines) == 12


def test_two_maps_share_the_runs_on_full_and_random_data(tmp_path: Path) -> None:
    graph = plan(
        tmp_path, "maps=[{teacher: cnn-8}, {teacher: cnn-8, epochs: 2}]", "teachers=[{model: cnn-8, epochs: 3}]"
    )
    assert kinds(graph)["map"] == kinds(graph)["selection"] == 2
    assert kinds(graph)["student"] == (2 + 2 * 1) * 2 * 2
    assert len(graph.lines) == 24
    assert {line.group["map"] for line in graph.lines} == {"cnn-8", "cnn-8, 2 epochs"}


def test_equal_steps_train_a_subset_for_as_many_steps_as_full_data(tmp_path: Path) -> None:
    graph = plan(tmp_path, "budgets=[equal epochs, equal steps]", "seeds=[0]", "students.0.distillation=[null]")
    assert kinds(graph)["student"] == 1 + 2 + 2  # the run on full data stands in both tables
    steps = {
        (line.labels["subset"], line.labels["budget"]): graph.nodes[line.run].task.identity()["steps"]
        for line in graph.lines
    }
    batch = next(node.task.identity()["recipe"]["batch"] for node in graph.nodes.values() if node.kind == "student")
    assert steps["full data", "equal steps"] is None
    assert steps["random 33 %", "equal steps"] == 3 * -(-1078 // batch)
    assert steps["random 33 %", "equal epochs"] is None


def test_full_data_at_equal_steps_takes_those_of_a_subset(tmp_path: Path) -> None:
    graph = plan(tmp_path, "subsets=[full-equal-steps, random]", "seeds=[0]", "students.0.distillation=[null]")
    full = next(line for line in graph.lines if line.labels["subset"] == "full data, equal steps")
    config = graph.nodes[full.run].task.identity()
    assert config["steps"] == 3 * -(-356 // config["recipe"]["batch"])
    assert config["subset"]["kind"] == "full"


CHANGES = [
    "data.split_seed=7",
    "data.validation=0.1",
    "data.label_noise=0.1",
    "students.0.model=cnn-8",
    "students.0.epochs=4",
    "students.0.patience=2",
    *(f"students.0.recipe.{change}" for change in ("batch=8", "peak_lr=0.3", "warmup=0.1", "optimizer=adamw")),
    *(f"students.0.recipe.{change}" for change in ("momentum=0.5", "weight_decay=0", "label_smoothing=0", "clip=1.0")),
    "students.0.recipe.flips=true",
    "students.0.recipe.crop=1",
    "device=cuda",
    "evaluation={corruptions: [contrast]}",
]


@pytest.mark.parametrize("change", CHANGES)
def test_every_setting_of_a_run_is_part_of_its_hash(tmp_path: Path, change: str) -> None:
    plain = ("students.0.distillation=[null]", "subsets=[full]", "seeds=[0]")
    before, after = (
        next(digest for digest, node in plan(tmp_path, *plain, *more).nodes.items() if node.kind == "student")
        for more in ((), (change,))
    )
    assert before != after


@pytest.mark.parametrize(
    "change",
    [
        "teachers.0.epochs=3",
        "teachers.0.seeds=[1001]",
        "teachers.0.record=sweep",
        "maps=[{teacher: cnn-8, fraction: 0.2}]",
    ],
)
def test_a_run_on_a_map_changes_with_all_that_the_map_came_from_and_random_does_not(
    tmp_path: Path, change: str
) -> None:
    def runs(*sets: str) -> dict[str, str]:
        graph = plan(tmp_path, "students.0.distillation=[null]", "seeds=[0]", *sets)
        return {line.labels["subset"]: line.run for line in graph.lines}

    before, after = runs(), runs(change)
    name = "ambiguous = high variability 33 %"
    assert before[name] != after[name]
    assert before["random 33 %"] == after["random 33 %"]


@pytest.mark.parametrize(
    "change",
    ["data.root=/elsewhere", "tracking.tensorboard=true", "launch.slurm.cluster=local", "level=0.9", "title=B"],
)
def test_what_does_not_change_a_result_is_no_part_of_a_hash(tmp_path: Path, change: str) -> None:
    assert set(plan(tmp_path).nodes) == set(plan(tmp_path, change).nodes)


def test_random_of_the_size_of_every_row_is_added_where_it_is_missing(tmp_path: Path) -> None:
    graph = plan(
        tmp_path, "subsets=[{spec: 17% ambiguous + 10% easy-to-learn}, {spec: '{percent} hard'}]", "sizes=[0.1, 0.2]"
    )
    sizes = {line.labels["subset"]: graph.nodes[line.run].task.identity()["subset"]["count"] for line in graph.lines}
    assert sizes == {
        "random 27 %": 291,
        "random 10 %": 108,
        "random 20 %": 216,
        "ambiguous 17 % + easy-to-learn 10 %": 291,
        "hard 10 %": 108,
        "hard 20 %": 216,
    }


def test_a_selection_that_is_drawn_at_random_is_drawn_for_each_seed_and_any_other_once(tmp_path: Path) -> None:
    for spec, count in (("33% ccs", 2), ("10% random + 20% hard", 2), ("33% ambiguous", 1)):
        graph = plan(tmp_path, f"subsets=[{{spec: {spec}}}]", "students.0.distillation=[null]")
        seeds = {node.task.identity()["seed"] for node in graph.nodes.values() if node.kind == "selection"}
        assert len(seeds) == kinds(graph)["selection"] == count, spec


def test_a_strategy_that_needs_more_than_a_map_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainmapError, match=r"subsets\.0\.spec: '33% d2' needs features"):
        plan(tmp_path, "subsets=[{spec: 33% d2}]")


def test_several_distillations_are_columns_named_by_what_differs(tmp_path: Path) -> None:
    ways = "students.0.distillation=[null, {temperature: 2}, {temperature: 8, loss: dkd}]"
    columns = {
        (line.labels["student"], line.labels["taught"], line.labels["distilled"]) for line in plan(tmp_path, ways).lines
    }
    assert columns == {
        ("mlp-256", "", False),
        ("mlp-256", "hinton (temperature 2)", True),
        ("mlp-256", "dkd (temperature 8)", True),
    }


def test_a_loss_on_features_takes_the_teacher_itself_and_no_cached_logits(tmp_path: Path) -> None:
    graph = plan(tmp_path, "students.0.distillation=[{loss: feature-matching}]")
    assert "teacher logits" not in kinds(graph)
    teacher = next(digest for digest, node in graph.nodes.items() if node.kind == "teacher")
    assert all(teacher in node.after for node in graph.nodes.values() if node.kind == "student")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("teachers.0.model=cnn-9", "teachers.0.model: unknown model 'cnn-9'; did you mean 'cnn-8'?"),
        ("data.names=[digitz]", "data.names.0: "),
        ("data.labels=nowhere.npz:y", "data.labels: labels: nowhere.npz is not there, nor under data"),
        ("subsets=[ambigous]", "subsets.0.key: unknown subset 'ambigous'; did you mean 'ambiguous'?"),
        ("subsets=[{spec: 33% ambigous}]", "subsets.0.spec: unknown subset 'ambigous'"),
        ("subsets=[{spec: top 33% aumm}]", "subsets.0.spec: unknown score 'aumm'; did you mean 'aum'?"),
        ("subsets=[random, random]", "'random 33 %' stands twice"),
        ("teachers=[]", "there is no"),
        ("maps=[{teacher: resnet}]", "maps.0.teacher: there is no teacher 'resnet'. Known: cnn-8"),
        ("maps=[{teacher: cnn-8, epochs: 9}]", "maps.0.epochs: must be at most 2, the epochs of cnn-8, got 9"),
        ("maps=[{teacher: cnn-8, seed: 3}]", "maps.0.seed: cnn-8 has the seeds 1000, got 3"),
        ("seeds=[0, 1000]", "teachers.0.seeds: a map must come from another seed than the runs that it helps"),
        ("students.0.distillation=[{loss: hintn}]", "students.0.distillation.0: unknown loss 'hintn'"),
        ("students.0.distillation=[{weight: 2.0}]", "students.0.distillation.0: weight must be 0"),
        ("evaluation.corruptions=[fog, frst]", "evaluation.corruptions.1: unknown corruption 'frst'; did you mean 'fr"),
        ("evaluation.severities=[6]", "evaluation.severities.0: must be less than or equal to 5, got 6"),
    ],
)
def test_what_cannot_be_is_refused_with_its_field_before_any_work(tmp_path: Path, change: str, message: str) -> None:
    with pytest.raises(TrainmapError) as caught:
        plan(tmp_path, change)
    if change == "teachers=[]":
        assert "need a teacher" in str(caught.value) or "needs a teacher" in str(caught.value)
    else:
        assert message in str(caught.value)


def test_the_longest_way_starts_first(tmp_path: Path) -> None:
    tasks = jobs_of(plan(tmp_path))
    teacher = next(task for task in tasks if task.name.startswith("teacher "))
    assert all(task.weight <= teacher.weight for task in tasks)


def test_planning_counts_a_network_with_published_weights_and_fetches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = timm.create_model

    def offline(name: str, pretrained: bool = False, **options: Any) -> Any:
        assert not pretrained, "a download"
        return create(name, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    draw = np.random.default_rng(0)
    images = {f"x_{part}": draw.integers(0, 256, (40, 32, 32, 3), np.uint8) for part in ("train", "test")}
    labels = {f"y_{part}": np.arange(40) % 4 for part in ("train", "test")}
    np.savez(tmp_path / "cifar10.npz", **images, **labels)  # pyright: ignore[reportArgumentType]
    sets = ["data={names: [cifar10], root: ROOT}".replace("ROOT", str(tmp_path)), "maps=[]", "students=[]"]
    model = "teachers=[{model: mobilenetv2-1.0+pretrained, epochs: 1, recipe: {batch: 4}}]"
    (tmp_path / "x.yaml").write_text(PLAIN)
    variants = load_experiment(tmp_path / "x.yaml", None, [*sets, model])
    graph = plan_graph(variants, tmp_path / "out")
    assert [node.task.identity()["model"] for node in graph.nodes.values()] == ["mobilenetv2-1.0+pretrained"]
    assert graph.models[0]["parameters"] > 2_000_000
    found = estimate(study_of(variants, graph, {}), {}, 1, str(tmp_path))  # the data lie where the file says
    assert found.sources == ("mobilenetv2-1.0+pretrained on cifar10: a few steps trained now, 1 thread",)
    with pytest.raises(TrainmapError, match=r"unknown model 'cnn-8\+pretrained'"):
        plan(tmp_path, "teachers.0.model=cnn-8+pretrained")


@pytest.mark.parametrize("region", ["ambiguous", "hard", "easy", "hard-corner"])
def test_a_region_of_a_map_of_one_epoch_is_refused_before_anything_is_trained(tmp_path: Path, region: str) -> None:
    with pytest.raises(TrainmapError, match=r"(to-learn|ambiguous) needs a map of at least 2 epochs, got 1"):
        plan(tmp_path, "maps=[{teacher: cnn-8, epochs: 1}]", f"subsets=[random, {region}]")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("subsets=[{spec: '{percent} hard', name: random 33 %}]", "'random 33 %' is the name of the random row that"),
        ("subsets=[{schedule: {name: proxy, model: mlp-999}}]", "subsets.0.schedule: unknown model 'mlp-999'"),
        ("subsets=[{spec: 33% hard, without: {audit: 0.1, rule: foo}}]", "subsets.0.without.rule: unknown rule 'foo'"),
        ("subsets=[{spec: 33% hard, without: {audt: 0.1}}]", "subsets.0.without.audt: unknown field 'audt'; did you"),
        ("subsets=[{key: full, budgets: [equal steps]}]", "subsets.0.budgets: must be some of the experiment's"),
    ],
)
def test_a_row_that_cannot_be_is_refused_once_at_its_own_field(tmp_path: Path, change: str, message: str) -> None:
    with pytest.raises(TrainmapError) as caught:
        plan(tmp_path, change)
    assert message in str(caught.value)
    assert str(caught.value).count("subsets.0") <= 1


def test_a_row_that_stands_in_no_table_is_refused(tmp_path: Path) -> None:
    both = "budgets=[equal epochs, equal steps]"
    with pytest.raises(TrainmapError, match="'full data, equal steps' stands in no table"):
        plan(tmp_path, both, "subsets=[{key: full-equal-steps, budgets: [equal steps]}, random]")


def test_every_judged_row_has_its_opponent_in_each_of_its_tables(tmp_path: Path) -> None:
    both = "budgets=[equal epochs, equal steps]"
    for subsets in (
        "[full, {key: random, budgets: [equal epochs]}, ambiguous]",
        "[{key: ambiguous, budgets: [equal steps]}, {key: hard, budgets: [equal epochs]}]",
        "[{key: ambiguous, budgets: [equal steps]}]",
    ):
        told = {
            (line.labels["role"], line.labels["budget"]) for line in plan(tmp_path, both, f"subsets={subsets}").lines
        }
        assert {("opponent", budget) for role, budget in told if role == "judged"} <= told, subsets


def test_a_named_row_may_be_called_otherwise(tmp_path: Path) -> None:
    names = {line.labels["subset"] for line in plan(tmp_path, "subsets=[{key: hard, name: my own}]").lines}
    assert names == {"my own 33 %", "random 33 %"}
