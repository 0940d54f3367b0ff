"""Federated learning from its file to its report: opponents always there, paired by seed, costs whole, nothing lost."""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import studies

from trainmap.dynamics.store import Dynamics
from trainmap.errors import TrainmapError
from trainmap.experiments.plan.graph import Graph
from trainmap.experiments.report.federated_tables import federated_grids
from trainmap.experiments.report.study_files import write_study
from trainmap.experiments.results.round_curves import Rounds, Row, rounds_of
from trainmap.experiments.results.statistics import Verdict
from trainmap.experiments.runs.estimate import estimate
from trainmap.experiments.runs.folder import results
from trainmap.experiments.tasks.federated_run import FederatedRun, client_folder
from trainmap.experiments.tasks.on_machines import run_of_row
from trainmap.experiments.tasks.place import AT, FEDERATION, is_at
from trainmap.experiments.tasks.tracking import read_epochs
from trainmap.federated.federation import Choice
from trainmap.models.budget import training_flops

TINY = """\
title: Clients
data: {names: [digits], validation: 0.8}
federated: {model: mlp-256, clients: 3, rounds: 4, recipe: {batch: 16, peak_lr: 0.05}, partition: dirichlet}
seeds: [0, 1]
"""
ROWS = ("all", "33% random", "33% ambiguous", "all at equal compute, 2 rounds")


pytestmark = pytest.mark.usefixtures("one_thread")


planned = partial(studies.planned, TINY)


def the_tasks(graph: Graph) -> list[FederatedRun]:
    return studies.of_kind(graph, FederatedRun)


def rows(graph: Graph) -> list[str]:
    return [*dict.fromkeys(task.row for task in the_tasks(graph))]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("federated")
    studies.run(*planned(folder), folder / "out")
    return folder


@pytest.fixture(scope="module")
def found(done: Path) -> dict[tuple[str, int], dict[str, Any]]:
    study, graph = planned(done)
    told = results(study, done / "out")
    return {(task.row, task.seed): told[task.hash] for task in the_tasks(graph)}


# --- the plan ---------------------------------------------------------------------------------------------------------


def test_all_random_of_the_size_and_all_at_equal_compute_are_planned_for_each_seed(tmp_path: Path) -> None:
    counts = Counter((task.row, task.seed) for task in the_tasks(planned(tmp_path)[1]))
    assert counts == {(name, seed): 1 for name in ROWS for seed in (0, 1)}


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ("[all]", ["all", "33% random", "all at equal compute, 1 round"]),
        ("[all at equal compute, random, all]", ["all", "33% random", "all at equal compute, 1 round"]),
        ("[random once]", ["all", "33% random", "33% random once", "all at equal compute, 1 round"]),
        (
            "[50% auto, 10% ambiguous]",
            [
                *("all", "50% random", "10% random", "50% auto", "10% ambiguous"),
                *("all at equal compute, 3 rounds", "all at equal compute, 1 round"),
            ],
        ),
        (
            "[10% ambiguous + 23% easy]",
            ["all", "33% random", "10% ambiguous + 23% easy-to-learn", "all at equal compute, 2 rounds"],
        ),
    ],
)
def test_the_rows_of_a_selection(tmp_path: Path, select: str, expected: list[str]) -> None:
    assert rows(planned(tmp_path, f"federated.select={select}")[1]) == expected


def test_a_word_without_an_amount_stands_at_each_size(tmp_path: Path) -> None:
    graph = planned(tmp_path, "sizes=[0.1, 0.25]", "federated.select=[ambiguous]")[1]
    assert rows(graph)[1:5] == ["10% random", "25% random", "10% ambiguous", "25% ambiguous"]


@pytest.mark.parametrize(
    ("sets", "rounds"),
    [
        ((), 2),  # 4 x 0.33 + 3 looks / 3
        (("federated.rounds=10",), 6),  # 10 x 0.33 + 9 / 3
        (("federated.rounds=10", "federated.local_epochs=3"), 4),  # 10 x 0.33 + 9 / (3 x 3)
        (("federated.rounds=10", "federated.participation=0.34"), 12),  # 10 x 0.33 + 9 / (3 x 1/3): all of them look
        (("federated.rounds=10", "federated.record={every: 3}"), 4),  # 10 x 0.33 + 3 / 3
    ],
)
def test_equal_compute_is_the_training_and_the_looks_of_the_row_over_the_training_on_all(
    tmp_path: Path, sets: tuple[str, ...], rounds: int
) -> None:
    (judged, *_) = [task for task in the_tasks(planned(tmp_path, *sets)[1]) if "ambiguous" in task.row]
    assert judged.equal_rounds == rounds


def test_rows_without_a_map_record_nothing_and_do_not_change_with_what_is_said_of_maps(tmp_path: Path) -> None:
    def apart(*sets: str) -> tuple[set[str], set[str]]:
        tasks = [task for task in the_tasks(planned(tmp_path, *sets)[1]) if task.own_rounds is None]
        reads = [task.choice.request.reads_map for task in tasks]
        assert [task.recording.nothing for task in tasks] == [not one for one in reads]
        return (
            {task.hash for task, one in zip(tasks, reads, strict=True) if not one},
            {task.hash for task, one in zip(tasks, reads, strict=True) if one},
        )

    plain, mapped = apart()
    for change in ("federated.warmup=3", "federated.record={every: 2}", "federated.bounds=mixed"):
        others, its = apart(change)
        assert others == plain
        assert its.isdisjoint(mapped)


def test_every_other_field_of_the_section_goes_into_all_tasks(tmp_path: Path) -> None:
    before = {task.hash for task in the_tasks(planned(tmp_path)[1])}
    for change in (
        *("clients=4", "rounds=5", "participation=0.5", "local_epochs=2", "aggregation=fedprox", "model=cnn-8"),
        *("partition=iid", "partition={by: dirichlet, alpha: 0.6}", "partition={by: dirichlet, least: 2}"),
        *("noise={clients: 0.5, share: 0.3}", "recipe={batch: 8}"),
    ):
        after = {task.hash for task in the_tasks(planned(tmp_path, f"federated.{change}")[1])}
        assert before.isdisjoint(after), change
    assert before == {task.hash for task in the_tasks(planned(tmp_path, "federated.target=0.9")[1])}


def test_a_task_is_found_again_by_what_it_is(tmp_path: Path) -> None:
    for task in the_tasks(planned(tmp_path, "federated.noise={clients: 0.5, share: 0.3}")[1]):
        assert FederatedRun.of(json.loads(task.canonical), {}).hash == task.hash


def test_a_grid_goes_over_partitions_participation_and_noise(tmp_path: Path) -> None:
    grid = (
        "grid={cross: {federated.partition.by: [iid, dirichlet], federated.participation: [0.5, 1.0], "
        "federated.noise: [null, {clients: 0.5, share: 0.2}]}}"
    )
    tasks = the_tasks(planned(tmp_path, "federated.partition={by: iid}", grid)[1])
    assert len({(task.partition.by, task.participation, task.noise) for task in tasks}) == 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("federated.select=[33% ambigous]", "federated.select.0: unknown subset 'ambigous'"),
        ("federated.select=[100 ambiguous]", "federated.select.0: '100 ambiguous' must say a percentage"),
        ("federated.select=[all, ambiguous once]", "federated.select.1: '33% ambiguous' follows the map"),
        ("federated.select=[auto, 33% auto]", "federated.select.1: '33% auto' stands twice"),
        ("federated.select=[]", "federated.select: "),
        ("federated.rounds=2", "federated.select.0: '33% ambiguous' needs 2 recorded checkpoints"),
        ("federated.warmup=4", "federated.select.0: '33% ambiguous' needs 4 recorded checkpoints"),
        ("federated.rounds=0", "federated.rounds: must be greater than or equal to 1"),
        ("federated.clients=300", "federated.partition: 300 clients with at least 1 example each need 300"),
        ("federated.clients=200", "federated.partition: no draw of labels Dirichlet 0.5 gave each of 200 clients"),
        ("federated.partition={by: group, column: speaker}", "federated.partition: digits has no columns"),
        ("federated.partition={by: group}", "federated.partition: group needs 'column'"),
        ("federated.partition={by: iid, alpha: 1.0}", "federated.partition: iid has no 'alpha'"),
        ("federated.aggregation=fedadm", "federated.aggregation: unknown aggregation 'fedadm'; did you mean 'fedadam'"),
        ("federated.options={mu: 0.1}", "federated.options: fedavg has no options, got 'mu'"),
        ("federated.privacy={epsilon: 1.0}", "federated: privacy is of what clients tell for global or mixed bounds"),
        (
            "federated.clients=2 & federated.bounds=global & federated.privacy={secure: true, epsilon: 1.0}",
            "federated.privacy: secure aggregation needs at least 3 clients, got 2",
        ),
        (
            "federated.bounds=mixed & federated.privacy={epsilon: 1.0e-300}",
            "federated.privacy: no noise makes 2 histograms (1e-300, 1e-05)-private",
        ),
        ("federated.participation=0.0", "federated.participation: must be greater than 0"),
        ("federated.noise={clients: 0.5, share: 0.6}", "federated.noise.share: must be less than or equal to 0.5"),
        ("federated.model=cnm-8", "federated.model: "),
        ("federated.client=1", "federated.client: unknown field 'client'; did you mean 'clients'"),
        ("seeds=[0, 0]", "seeds: must be different"),
        ("evaluation={corruptions: [fog]}", "evaluation: a federation is judged on the test data alone"),
    ],
)
def test_a_mistake_is_one_line_with_its_field_before_any_work(tmp_path: Path, change: str, message: str) -> None:
    with pytest.raises(TrainmapError) as caught:
        planned(tmp_path, *change.split(" & "))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).count(": federated.") <= 1  # one place


def test_without_flower_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainmap.experiments.plan.federated_runs.find_spec", lambda _: None)
    with pytest.raises(TrainmapError, match=r"federated: needs Flower: pip install 'trainmap\[federated\]'"):
        planned(tmp_path)


# --- the runs ---------------------------------------------------------------------------------------------------------


def test_rows_of_a_seed_have_the_same_parts_first_weights_and_participants(
    found: dict[tuple[str, int], dict[str, Any]],
) -> None:
    for seed in (0, 1):
        its = [found[name, seed] for name in ROWS]
        assert len({one["rounds"][0]["test_loss"] for one in its}) == 1
        assert len({json.dumps([[c["examples"], c["classes"]] for c in one["clients"]]) for one in its}) == 1
    assert found["all", 0]["clients"] != found["all", 1]["clients"]


def test_what_is_spent_is_the_training_and_the_looks_and_was_foreseen(done: Path) -> None:
    study, graph = planned(done)
    told, forward = results(study, done / "out"), study.models[0]["flops"]
    for task in the_tasks(graph):
        result = told[task.hash]
        examples = sum(one["examples"] for one in result["clients"])
        for row in result["rounds"]:
            looked = task.recording.checkpoint(row["round"]) is not None and row["round"]
            assert row["sweep_flops"] == (examples * forward if looked else 0)
            kept = round(row["kept"] * examples)
            seen = training_flops(forward, kept) if row["round"] else 0
            assert row["train_flops"] == seen + row["sweep_flops"]
        for name in ("train_flops", "sweep_flops", "train_cpu_seconds", "bytes_up"):
            assert result[name] == pytest.approx(sum(row[name] for row in result["rounds"]))
        judged = forward * len(result["rounds"]) * 449
        assert graph.nodes[task.hash].cost.flops - judged == pytest.approx(result["train_flops"], rel=0.03)


def test_clients_say_what_they_have_and_keep_and_where_their_maps_lie(
    found: dict[tuple[str, int], dict[str, Any]], done: Path
) -> None:
    for one in found["33% ambiguous", 0]["clients"]:
        assert one["examples"] == sum(one["classes"])
        assert one["kept"] == pytest.approx(0.33, abs=0.5 / one["examples"] + 0.01)
        assert 0 < one["confidence"] < 1
        assert not one["noisy"]
    assert {one["confidence"] for one in found["all", 0]["clients"]} == {None}
    _, graph = planned(done)
    task = next(task for task in the_tasks(graph) if "ambiguous" in task.row)
    out = graph.nodes[task.hash].place.out
    assert Dynamics.open(client_folder(out, 2) / "dynamics").epochs == 4  # three before a round, and the last network
    assert [row["epoch"] for row in read_epochs(out / "epochs.csv")] == [0, 1, 2, 3, 4]


def test_noisy_clients_have_other_labels_and_are_the_same_in_all_rows(tmp_path: Path) -> None:
    _, graph = planned(tmp_path, "federated.noise={clients: 0.34, share: 0.4}", "seeds=[3]")
    clean = the_tasks(planned(tmp_path, "seeds=[3]")[1])[0]
    train = clean.data.load(None).train
    before = clean.holding(train)
    held = [task.holding(train) for task in the_tasks(graph)]
    assert {one.noisy for one in held} == {held[0].noisy}
    assert len(held[0].noisy) == 1
    for number, (a, b) in enumerate(zip(before.data, held[0].data, strict=True)):
        share = float((a.y != b.y).mean())
        assert share == pytest.approx(0.4 if number in held[0].noisy else 0, abs=0.5 / len(a) + 1e-9)
        np.testing.assert_array_equal(a.ids, b.ids)


def test_a_killed_task_goes_on_behind_its_last_finished_round_and_says_where_it_is(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, graph = planned(done)
    task = next(task for task in the_tasks(graph) if "ambiguous" in task.row)
    place = replace(graph.nodes[task.hash].place, out=tmp_path / "again", logs=tmp_path)
    said: list[str] = []

    def dying(self: FederatedRun, *rest: Any) -> Any:
        inner = judge(self, *rest)

        def one(weights: Any) -> Any:
            said.append(is_at(place.out))
            if said[-1] == "round 2 of 4" and len(said) == 4:
                raise KeyboardInterrupt
            return inner(weights)

        return one

    judge = FederatedRun._judge
    monkeypatch.setattr(FederatedRun, "_judge", dying)
    with pytest.raises(KeyboardInterrupt):
        task.run(place)
    assert said == ["", "round 0 of 4", "round 1 of 4", "round 2 of 4"]
    assert (place.out / FEDERATION).exists()
    result = task.run(place)
    assert said[4:] == ["round 2 of 4", "round 3 of 4"]  # rounds 3 and 4 alone
    assert not (place.out / AT).exists()
    before = results(study, done / "out")[task.hash]
    assert [row["test_loss"] for row in result["rounds"]] == [row["test_loss"] for row in before["rounds"]]
    assert result["clients"] == before["clients"]


def test_private_thresholds_repeat_and_say_what_they_spent(tmp_path: Path) -> None:
    sets = ("seeds=[0]", "federated.bounds=global", "federated.privacy={epsilon: 5.0}")
    study, graph = planned(tmp_path, *sets)
    task = next(task for task in the_tasks(graph) if task.choice.request.reads_map)
    one, two = (
        task.run(replace(graph.nodes[task.hash].place, out=tmp_path / name, logs=tmp_path)) for name in ("a", "b")
    )
    assert [row["test_loss"] for row in one["rounds"]] == [row["test_loss"] for row in two["rounds"]]
    assert len({client["kept"] for client in one["clients"]}) == 3  # shares differ
    assert one["rounds"][-1]["epsilon"] == pytest.approx(5, rel=0.01)
    assert one["rounds"][0]["epsilon"] in (None, 0)
    (found,) = rounds_of(study, {task.hash: one})
    assert [*found.rows] == ["33% ambiguous"]
    bought = federated_grids(study, {task.hash: one})[0][0]
    assert bought.heads[-1] == "epsilon"
    assert bought.lines[0].cells[-1].text == "5"


def test_rows_of_one_spec_are_told_apart_by_what_differs(tmp_path: Path) -> None:
    grid = (
        "grid={zip: {federated.bounds: [local, global, global, global], "
        "federated.privacy: [null, null, {epsilon: 5.0}, {epsilon: 1.0, secure: true}]}}"
    )
    study, graph = planned(tmp_path, grid, "seeds=[0]")
    (found,) = rounds_of(study, {task.hash: result_of([0.1] * 5) for task in the_tasks(graph)})
    assert [name for name, row in found.rows.items() if row.judged] == [
        "33% ambiguous (local bounds)",
        "33% ambiguous (global bounds)",
        "33% ambiguous (global bounds, epsilon 5)",
        "33% ambiguous (global bounds, epsilon 1, secure)",
    ]


def test_a_row_for_real_machines_is_named_as_the_report_does_and_is_one_run_but_for_the_seed(tmp_path: Path) -> None:
    bounds = "grid={cross: {federated.bounds: [local, global]}}"
    tasks = the_tasks(planned(tmp_path, bounds)[1])
    chosen = run_of_row(tasks, "33% ambiguous (global bounds)")
    assert (chosen.choice.bounds, chosen.seed) == ("global", 0)
    assert run_of_row(tasks, "33% random").is_random
    with pytest.raises(TrainmapError, match=r"unknown row '33% ambiguous .mixed bounds.'; did you mean '33% ambiguous"):
        run_of_row(tasks, "33% ambiguous (mixed bounds)")
    with pytest.raises(TrainmapError) as caught:
        run_of_row(tasks, "33% ambiguous")
    assert str(caught.value) == (
        "row '33% ambiguous' is of several runs, which differ in federated.bounds ('local', 'global'); real machines "
        "have one: say --row, one of: 33% ambiguous (local bounds), 33% ambiguous (global bounds)"
    )
    noise = "grid={zip: {federated.participation: [1.0, 0.34], federated.record.every: [1, 2]}}"
    tasks = the_tasks(planned(tmp_path, noise, "federated.rounds=6")[1])
    with pytest.raises(TrainmapError, match=r"participation .1.0, 0.34.; .*--row, one of: 33% ambiguous .every rou"):
        run_of_row(tasks, "33% ambiguous")
    assert run_of_row(tasks, "33% ambiguous (every 2 rounds)").recording.every == 2
    with pytest.raises(TrainmapError) as caught:
        run_of_row(tasks, "all")
    assert str(caught.value) == (
        "row 'all' is of several runs, which differ in federated.participation (1.0, 0.34); real machines have one: "
        "say it, --set grid={} --set federated.participation=1.0"
    )
    assert run_of_row(the_tasks(planned(tmp_path, noise, "grid={}", "federated.rounds=6")[1]), "all").row == "all"


def test_what_is_left_is_estimated(done: Path) -> None:
    study, _ = planned(done, "seeds=[0, 1, 2]")
    left = estimate(study, results(study, done / "out"), 1)
    assert [(line.kind, line.tasks, line.done) for line in left.lines] == [("federated", 12, 8)]


# --- the report -------------------------------------------------------------------------------------------------------


def test_the_report_has_the_tables_the_pictures_every_round_and_every_client(done: Path) -> None:
    paths = write_study(done / "out")
    report = paths["report.md"].read_text()
    for title in ("What the rounds bought", "Accuracy by round", "To ", "Clients"):
        assert f"## {title}" in report
    assert "mlp-256 on digits, 3 clients, 4 rounds, by the accuracy at the end: " in report
    assert "| **all at equal compute, 2 rounds** |" in report
    assert "| kept, 33% ambiguous |" in report
    for picture in ("federated-rounds", "federated-flops", "federated-bytes", "clients"):
        assert (done / "out" / "plots" / f"{picture}.png").is_file()
    rows = list(csv.DictReader(paths["federated.csv"].read_text().splitlines()))
    assert len(rows) == 2 * (3 * 5 + 3)
    assert {row["federation"] for row in rows} == {"mlp-256 on digits"}
    clients = list(csv.DictReader(paths["clients.csv"].read_text().splitlines()))
    assert len(clients) == 2 * 4 * 3
    assert {one["row"] for one in clients if one["confidence"]} == {"33% ambiguous"}
    assert "All federations" not in report
    assert "Federated learning" in paths["report.html"].read_text()


def test_a_report_of_what_is_not_whole_yet_makes_no_comparison(done: Path) -> None:
    study, graph = planned(done)
    told = results(study, done / "out")
    for lacking in ("all", "33% random", "33% ambiguous"):
        part = {task.hash: told[task.hash] for task in the_tasks(graph) if task.row != lacking}
        grids, said, rows, _ = federated_grids(study, part)
        assert len(grids) == (3 if lacking == "33% random" else 4)  # no target without it
        assert not any(line.name == lacking for grid in grids for line in grid.lines)
        assert bool(said) == (lacking != "33% ambiguous")
        assert lacking not in {row["row"] for row in rows}
    assert federated_grids(study, {}) == ([], [], [], [])


def test_points_of_a_grid_have_tables_of_their_own_where_opponents_differ(tmp_path: Path) -> None:
    grid = "grid={cross: {federated.participation: [1.0, 0.34], federated.warmup: [2, 3]}}"
    study, graph = planned(tmp_path, grid, "seeds=[0]")
    told = {task.hash: result_of([0.1] * 5) for task in the_tasks(graph)}
    first, second = rounds_of(study, told)
    assert (first.title, second.title) == (
        "mlp-256 on digits (participation=1.0)",
        "mlp-256 on digits (participation=0.34)",
    )
    judged = ["33% ambiguous (warmup 2)", "33% ambiguous (warmup 3)"]
    assert [*first.rows] == ["all", "33% random", "all at equal compute, 2 rounds", *judged]
    assert [*second.rows] == ["all", "33% random", "all at equal compute, 4 rounds", *judged]
    for row in judged:
        assert first.rows[row].against == {
            "all": "all",
            "random": "33% random",
            "equal": "all at equal compute, 2 rounds",
        }
    overview, *others = federated_grids(study, told)[0]
    assert overview.title == "All federations"
    assert len(overview.lines) == 4
    assert all(grid.aside for grid in others)


def test_each_row_is_held_against_random_of_its_size_and_all_data_at_its_compute(tmp_path: Path) -> None:
    study, graph = planned(tmp_path, "seeds=[0]", "federated.select=[50% ambiguous, 10% auto, 50% random once]")
    (found,) = rounds_of(study, {task.hash: result_of([0.1] * 5) for task in the_tasks(graph)})
    against = {name: (row.against.get("random"), row.against.get("equal")) for name, row in found.rows.items()}
    assert against["50% ambiguous"] == ("50% random", "all at equal compute, 3 rounds")
    assert against["10% auto"] == ("10% random", "all at equal compute, 1 round")
    assert against["50% random once"] == ("50% random", "all at equal compute, 2 rounds")
    assert against["all"] == against["all at equal compute, 1 round"] == (None, None)


@pytest.mark.parametrize("grid", ["{}", "{cross: {federated.participation: [1.0, 0.34]}}"])
def test_one_seed_makes_no_verdict_in_words(grid: str, tmp_path: Path) -> None:
    study, graph = planned(tmp_path, f"grid={grid}", "seeds=[0]")
    (said,) = federated_grids(study, {task.hash: result_of([0.1] * 5) for task in the_tasks(graph)})[1]
    assert "one seed, which cannot tell a difference from chance; give more seeds" in said
    assert "no difference" not in said
    assert ("33% ambiguous 10.0 %" in said) == (grid == "{}")


# --- the curves by hand -----------------------------------------------------------------------------------------------


def result_of(accuracies: list[float], flops: int = 10) -> dict[str, Any]:
    """Of a run whose rounds take so many FLOPs, 3 bytes down and one up."""
    spent = {"train_flops": flops, "sweep_flops": 0, "bytes_down": 3, "bytes_up": 1, "train_cpu_seconds": 1.0}
    rest = {"test_macro_f1": 0.0, "clients": 1, "mapped": 0, "kept": 0.3, "refused": {}, "absent": []}
    rounds = [
        {"round": number, "test_accuracy": value, **rest, **{name: bool(number) * one for name, one in spent.items()}}
        for number, value in enumerate(accuracies)
    ]
    client = {"client": 0, "examples": 5, "classes": [5], "noisy": False, "rounds": 4, "kept": 0.3}
    return {**spent, "rounds": rounds, "clients": [client | {"confidence": None, "variability": None}]}


def curves(task: FederatedRun, random: list[list[float]], auto: list[list[float]]) -> Rounds:
    """Two rows, each with the accuracies of its seeds; a round of auto takes twice the FLOPs."""
    runs = {seed: result_of(values) for seed, values in enumerate(random)}
    its = {seed: result_of(values, 20) for seed, values in enumerate(auto)}
    other = task.model_copy(update={"choice": Choice("33% auto")})
    rows = (Row("random", task, runs, {}), Row("auto", other, its, {"random": "random"}))
    return Rounds("t", {row.name: row for row in rows})


@pytest.fixture
def random_task(tmp_path: Path) -> FederatedRun:
    return next(task for task in the_tasks(planned(tmp_path, "seeds=[0]")[1]) if task.is_random)


def test_a_curve_goes_by_rounds_bytes_and_flops(random_task: FederatedRun) -> None:
    found = curves(random_task, random=[[0.1, 0.4, 0.6]], auto=[[0.1, 0.6, 0.7]])
    assert found.rows["auto"].curve(0) == ([0, 1, 2], [0.1, 0.6, 0.7])
    assert found.rows["auto"].curve(0, "bytes")[0] == [0, 4, 8]
    assert found.rows["auto"].curve(0, "flops")[0] == [0, 20, 40]
    assert found.rows["auto"].areas() == {0: pytest.approx((0.35 + 0.65) / 2)}
    assert found.rows["random"].accuracy(2) == {0: 0.6}
    assert found.rows["random"].accuracy(3) == {}


def test_what_a_target_takes_is_along_straight_lines_and_a_bound_where_it_is_not_reached(
    random_task: FederatedRun,
) -> None:
    found = curves(random_task, random=[[0.1, 0.4, 0.6], [0.1, 0.4, 0.8]], auto=[[0.1, 0.7, 0.7], [0.1, 0.2, 0.3]])
    assert (found.target, found.whose) == (0.6, "the lowest of random's at the end")
    all_of_random = found.needed("random", "rounds", 0.95)
    assert all_of_random is not None
    assert all_of_random.whole
    needed = found.needed("auto", "flops", 0.95)
    assert needed is not None
    assert (needed.by_seed, needed.whole) == ({0: pytest.approx(20 * 5 / 6)}, False)
    assert needed.mean.mean == pytest.approx((20 * 5 / 6 + 40) / 2)
    lower = replace(found, asked=0.25).needed("auto", "rounds", 0.95)
    assert lower is not None
    assert lower.by_seed == {0: pytest.approx(0.25), 1: pytest.approx(1.5)}
    assert not found.saved("auto", "random", "rounds", 0.95).n
    assert replace(found, asked=0.25).whose == "as the file asks"


@pytest.mark.parametrize(("kept", "fair"), [(0.41, False), (0.351, False), (0.35, True), (0.309, False)])
def test_a_row_that_keeps_another_share_than_its_spec_says_is_held_against_all_data_alone(
    tmp_path: Path, kept: float, fair: bool
) -> None:
    study, graph = planned(tmp_path, "seeds=[0, 1]", "federated.bounds=global")
    told = {task.hash: result_of([0.1, 0.2, 0.3 + task.seed / 10, 0.5, 0.6]) for task in the_tasks(graph)}
    for task in the_tasks(graph):
        if task.choice.request.reads_map:
            for row in told[task.hash]["rounds"][3:]:
                row.update(mapped=1, kept=kept)
    (found,) = rounds_of(study, told)
    row = found.rows["33% ambiguous"]
    assert row.kept == pytest.approx(kept)  # of the rounds in which maps chose: 0.3 in the others
    assert row.label == f"33% ambiguous (kept {100 * kept:.0f} %)"
    assert set(row.against) == ({"all", "random", "equal"} if fair else {"all"})
    assert [one.kept for one in found.rows.values() if one is not row] == [None] * 3
    grids, (said,), _, _ = federated_grids(study, told)
    for grid in grids[:3]:
        assert "more than 2 points off the spec's, there is no verdict against random and against all" in grid.lead
        assert row.label in [line.name for line in grid.lines]
    assert ("random of the same size" in said) == ("equal compute" in said) == fair
    assert f"all data shown: {row.label}" in said


def test_what_is_saved_is_a_share_of_what_the_opponent_takes(random_task: FederatedRun) -> None:
    random = [[0.0, 0.5, 1.0], [0.0, 0.5, 1.0], [0.0, 0.4, 0.8]]
    auto = [[0.0, 0.8, 1.0], [0.0, 1.0, 1.0], [0.0, 0.8, 1.0]]
    found = replace(curves(random_task, random, auto), asked=0.4)
    rounds = found.saved("auto", "random", "rounds", 0.95)
    assert (rounds.n, rounds.mean) == (3, pytest.approx((0.5 + 0.4 + 0.5) / (0.8 + 0.8 + 1.0) - 1))
    assert rounds.verdict is Verdict.BELOW
    flops = found.saved("auto", "random", "flops", 0.95)
    assert flops.mean == pytest.approx(2 * (0.5 + 0.4 + 0.5) / (0.8 + 0.8 + 1.0) - 1)
    assert found.against("auto", "random", 0.95, 1).mean == pytest.approx((0.3 + 0.5 + 0.4) / 3)
    assert not found.against("auto", "equal", 0.95).n
