"""Teachers that record logits: every score of logits is planned and runs with them, and is refused without them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import studies
from studies import of_kind

import trainmap as tm
from trainmap.dynamics.signals import SIGNALS
from trainmap.errors import TrainmapError
from trainmap.experiments.file.variants import load_experiment
from trainmap.experiments.plan.graph import Graph
from trainmap.experiments.plan.planner import plan_graph
from trainmap.experiments.runs.folder import made, open_study, tasks_of
from trainmap.experiments.tasks.cross_fit_teacher import CrossFitTeacher
from trainmap.experiments.tasks.map import Map
from trainmap.experiments.tasks.part_teacher import PartTeacher
from trainmap.experiments.tasks.place import CARD, DYNAMICS, MAP, TEST_DYNAMICS
from trainmap.experiments.tasks.selection import Selection
from trainmap.experiments.tasks.smaller_teacher import SmallerTeacher
from trainmap.experiments.tasks.teacher import LOGIT_BYTES, SIGNAL_BYTES, Teacher
from trainmap.scores import SCORES
from trainmap.selection.card import Selection as Card

OF_LOGITS = sorted(name for name, score in SCORES.items() if set(score.needs) - set(SIGNALS))

FILE = """\
title: Levels
data: {names: [digits], limit: {train: 100, test: 50}}
teachers:
  - {model: mlp-256, epochs: 10, seeds: [10, 20], level: logits}
subsets: [random]
sizes: [0.3]
students: [{model: mlp-256, epochs: 1}]
seeds: [0]
"""

READERS = {
    "a spec": "subsets=[{{spec: top 30% {0}}}]",
    "a strategy": "subsets=[{{strategy: ccs, options: {{score: {0}}}}}]",
    "another strategy": "subsets=[{{strategy: d2, options: {{score: {0}}}}}]",
    "a schedule": "subsets=[{{schedule: {{name: curriculum, score: {0}}}}}]",
    "a map": "maps=[{{teacher: mlp-256, scores: [aum, {0}]}}]",
    "a map of several": "maps=[{{teachers: [mlp-256], scores: [{0}]}}]",
    "a row of a map of several": "subsets=[{{spec: bottom 30% {0}}}]",
    "a subset of a teacher": (
        "teachers.1={{model: mlp-256, name: part, epochs: 1, seeds: [30], subset: top 30% {0}, map: mlp-256}}"
    ),
}
"""Whatever can read a score, as what is changed in the file."""


def plan(tmp_path: Path, *sets: str, text: str = FILE) -> Graph:
    (tmp_path / "x.yaml").write_text(text)
    return plan_graph(load_experiment(tmp_path / "x.yaml", None, sets), tmp_path / "out")


def test_there_are_scores_of_logits() -> None:
    assert OF_LOGITS == ["tdds"]


@pytest.mark.parametrize("score", OF_LOGITS)
@pytest.mark.parametrize("reader", READERS)
def test_whatever_reads_a_score_of_logits_is_planned_with_the_key_and_refused_by_its_name_without(
    tmp_path: Path, reader: str, score: str
) -> None:
    change = READERS[reader].format(score)
    text = FILE
    if change.startswith("teachers.1"):
        text = FILE.replace("subsets:", f"  - {change.partition('=')[2]}\nsubsets:")
        change = "seeds=[0]"
    if reader == "a row of a map of several":
        text = FILE.replace("subsets:", "maps: [{teachers: [mlp-256]}]\nsubsets:")
    assert plan(tmp_path, change, text=text).nodes
    with pytest.raises(TrainmapError, match=f"{score} needs logits of every epoch, .* mlp-256 .*; write level: logits"):
        plan(tmp_path, change, "teachers.0.level=signals", text=text)
    assert not (tmp_path / "out").exists()


def test_one_member_of_an_ensemble_without_logits_is_named(tmp_path: Path) -> None:
    text = FILE.replace("subsets:", "  - {model: cnn-8, epochs: 10, seeds: [30]}\nsubsets:")
    both = "maps=[{name: both, teachers: [mlp-256, cnn-8], scores: [tdds]}]"
    with pytest.raises(TrainmapError, match="the teacher cnn-8 does not record"):
        plan(tmp_path, both, text=text)
    assert plan(tmp_path, both, "teachers.1.level=logits", text=text).nodes


def test_running_sums_are_no_level_of_a_teacher(tmp_path: Path) -> None:
    with pytest.raises(TrainmapError, match=r"teachers.0.level: must be 'signals' or 'logits', got 'stats'"):
        plan(tmp_path, "teachers.0.level=stats")


def test_a_score_by_another_convention_must_stand_on_the_map(tmp_path: Path) -> None:
    with pytest.raises(TrainmapError, match=r"needs the score aum_ccs, .*scores: \[aum_ccs, \.\.\.\] under maps"):
        plan(tmp_path, "subsets=[{spec: top 30% aum_ccs}]")
    assert plan(tmp_path, "subsets=[{spec: top 30% aum_ccs}]", "maps=[{teacher: mlp-256, scores: [aum_ccs]}]").nodes


def test_a_score_of_several_recordings_is_refused_of_a_map_of_one_also_to_a_schedule(tmp_path: Path) -> None:
    with pytest.raises(TrainmapError, match="needs disagreement, which a map of several recordings has"):
        plan(tmp_path, "subsets=[{schedule: {name: curriculum, score: disagreement}}]")


def test_a_teacher_that_keeps_what_it_always_kept_is_the_task_that_it_was(tmp_path: Path) -> None:
    first, logits = (
        of_kind(plan(tmp_path, f"teachers.0.level={level}"), Teacher)[0] for level in ("signals", "logits")
    )
    assert "level" not in first.identity()
    assert logits.identity() == {**first.identity(), "level": "logits"}
    assert first.hash != logits.hash
    assert [Teacher.of(one.identity(), {}).hash for one in (first, logits)] == [first.hash, logits.hash]
    assert "with all logits" in logits.told()


WAYS: dict[str, tuple[str, type[Teacher]]] = {
    "train": ("{model: mlp-256, epochs: 10, seeds: [10], level: LEVEL}", Teacher),
    "sweep": ("{model: mlp-256, epochs: 10, seeds: [10], record: sweep, level: LEVEL}", Teacher),
    "held-out": ("{model: mlp-256, epochs: 10, seeds: [10], record: held-out, level: LEVEL}", CrossFitTeacher),
    "made smaller": (
        "{model: mlp-256, epochs: 1, seeds: [10], level: LEVEL, "
        "compress: {method: prune-channels, ratio: 0.5, finetune_epochs: 10}}",
        SmallerTeacher,
    ),
    "on a part": ("{model: mlp-256, epochs: 10, seeds: [10], subset: 50% random, level: LEVEL}", PartTeacher),
}


def of_way(way: str, level: str) -> str:
    return FILE.replace("{model: mlp-256, epochs: 10, seeds: [10, 20], level: logits}", WAYS[way][0]).replace(
        "LEVEL", level
    )


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_recording_keeps_logits_and_its_estimate_counts_them(tmp_path: Path, way: str) -> None:
    text, kind = of_way(way, "logits"), WAYS[way][1]
    if way != "on a part":
        text = text.replace("subsets: [random]", "subsets: [{spec: 'top {percent} tdds'}]")
    out = studies.run(*studies.planned(text, tmp_path), tmp_path / "out")
    study = open_study(out)
    tasks = tasks_of(study)
    entries = {type(task): entry for entry in study.entries if (task := tasks[entry.hash])}
    dynamics = tm.Dynamics.open(made(out, entries[kind]) / DYNAMICS)
    assert (dynamics.level, dynamics.epochs) == ("logits", 10)
    logits = dynamics.block(0, 5, ("logits",), 10).logits
    assert logits is not None
    assert logits.shape == (10, 5, 10)
    plain = of_kind(plan(tmp_path, text=of_way(way, "signals")), kind)[0]
    (cost,) = (node.cost for node in plan(tmp_path, text=of_way(way, "signals")).nodes.values() if node.task == plain)
    kept = dynamics.examples * 10 * (2 if way == "held-out" else 1)  # folds, and their join
    assert entries[kind].bytes - cost.bytes == kept * LOGIT_BYTES * 10
    assert kept * SIGNAL_BYTES <= cost.bytes
    if way == "on a part":
        return
    datamap = tm.DataMap.open(made(out, entries[Map]) / MAP)
    np.testing.assert_array_equal(datamap.values("tdds"), tm.compute(dynamics, ["tdds"])["tdds"])
    chosen = Card.open(made(out, entries[Selection]) / CARD).ids
    assert datamap.values("tdds")[np.isin(datamap.ids, chosen)].min() >= np.sort(datamap.values("tdds"))[-len(chosen)]


def test_the_test_data_that_a_teacher_records_are_kept_alike(tmp_path: Path) -> None:
    text = of_way("train", "logits").replace("epochs: 10", "epochs: 2")
    change = "students.0.compress=[{method: magnitude, sparsity: 0.5}]"
    out = studies.run(*studies.planned(text, tmp_path, change), tmp_path / "out")
    study = open_study(out)
    (teacher,) = (entry for entry in study.entries if type(tasks_of(study)[entry.hash]) is Teacher)
    assert tm.Dynamics.open(made(out, teacher) / TEST_DYNAMICS).level == "logits"
    assert teacher.bytes >= (100 + 50) * 2 * (SIGNAL_BYTES + 10 * LOGIT_BYTES)
