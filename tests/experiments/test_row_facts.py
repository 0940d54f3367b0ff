"""What a row is, is what its columns say: no name is read for it, whatever it looks like."""

from __future__ import annotations

import ast
import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_report import COSTS, report, row

import trainmap.experiments.report
import trainmap.experiments.results
from trainmap.errors import TrainmapError
from trainmap.experiments.file.variants import load_experiment
from trainmap.experiments.plan.graph import Line
from trainmap.experiments.plan.planner import plan_graph
from trainmap.experiments.report.cost_tables import cost_grid
from trainmap.experiments.report.in_short import summary
from trainmap.experiments.report.overview_tables import overview
from trainmap.experiments.report.page import page_of
from trainmap.experiments.report.study_files import write_study
from trainmap.experiments.results.facts import ROLES, facts_of
from trainmap.experiments.results.records import Group, groups, has_random, long_table
from trainmap.experiments.results.run_rows import averaged, frame_of
from trainmap.experiments.results.titles import map_titles, people_titles, search_titles, teacher_titles
from trainmap.experiments.results.versus_random import compare
from trainmap.experiments.runs.folder import Entry, Study, results, run_study, study_of

ROOMS = (trainmap.experiments.results, trainmap.experiments.report)
ESCAPES = {"markdown_page.py", "html_page.py", "glossary.py"}  # of markup, not of names
PARSERS = {"removeprefix", "removesuffix", "partition", "rpartition", "fullmatch", "match"}
LOOKS = {
    "random looking": "chosen",
    "full data core": "chosen",
    "people beside x": "chosen",
    "repeated random art": "chosen",
    "schedule of x": "chosen",
    "ambiguous": "random",
    "my baseline": "full",
}
DRAWS: dict[str, str] = LOOKS  # type: ignore[assignment]


def looking(**changes: Any) -> list[dict[str, Any]]:
    """Rows whose names say something else than they are."""
    found = []
    for name, draw in DRAWS.items():
        for seed in range(3):
            own = row(name, 0.9 if draw == "chosen" else 0.8, seed)
            share = 1.0 if draw == "full" else 1 / 3
            own |= {"examples": round(1200 * share), "fraction": share, "draw": draw, "role": ROLES[draw]}
            found.append(own | {"steps": 300 if draw == "full" else 100} | changes)
    return found


def test_no_name_is_parsed_in_the_rooms_of_results() -> None:
    for room in ROOMS:
        for path in Path(str(room.__file__)).parent.glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import) and any(name.name == "re" for name in node.names):
                    assert path.name in ESCAPES, path
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and path.name not in ESCAPES:
                    assert node.func.attr not in PARSERS, (path, node.lineno)  # a task's partition is a field


def test_rows_are_judged_by_what_they_are_and_not_by_how_they_are_called() -> None:
    (comparison,) = compare(report(rows=looking()))
    assert comparison.opponents == {name: "ambiguous" for name, draw in LOOKS.items() if draw == "chosen"}
    assert comparison.full == "my baseline"
    main = page_of(report(rows=looking())).grids[0]
    told = {line.name: (line.reference, line.cells[-1].words) for line in main.lines}
    assert told["ambiguous"] == (True, "the opponent")
    assert told["my baseline"] == (True, "")
    assert {name: told[name] for name in comparison.opponents} == dict.fromkeys(
        comparison.opponents, (False, "beats random")
    )
    assert summary(report(rows=looking()))[-1] == ("Not in this comparison: full data, equal steps, repeated random.")


def test_what_reads_a_map_pays_for_it_whatever_its_name() -> None:
    (comparison,) = compare(report(rows=looking()))
    words = {line.name: line.cells[-1].words for line in cost_grid(comparison, COSTS).lines}
    assert {name for name, said in words.items() if said} == set(comparison.opponents)
    free = [{**one, "reads_map": False} for one in looking()]
    (comparison,) = compare(report(rows=free))
    assert not any(line.cells[-1].words for line in cost_grid(comparison, {}).lines)  # and no map has to be told


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"role": None}, "the role of a row drawn 'chosen' is 'judged', got None"),
        ({"draw": "choosen"}, "unknown draw 'choosen'; did you mean 'chosen'"),
        ({"draw": "random", "role": "judged"}, "the role of a row drawn 'random' is 'opponent', got 'judged'"),
        ({"draw": "scheduled"}, "is drawn 'scheduled', another row of this name 'chosen'; name them apart"),
    ],
)
def test_a_row_whose_facts_do_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    rows = looking()
    rows[1] |= change
    with pytest.raises(TrainmapError) as caught:
        compare(report(rows=rows))
    assert message in str(caught.value)


@pytest.mark.parametrize("fact", ["role", "draw"])
def test_a_row_that_does_not_say_what_it_is_is_refused(fact: str) -> None:
    rows = [{key: value for key, value in one.items() if key != fact} for one in looking()]
    with pytest.raises(TrainmapError, match=f"must have {fact}; it has subset, student"):
        compare(report(rows=rows))


def test_what_is_drawn_again_in_every_epoch_meets_the_nearest_random_row() -> None:
    draws: tuple[str, ...] = ("repeated random", "scheduled")
    others = [{**row(draw, 0.8, 0), "draw": draw, "role": "judged", "examples": 700} for draw in draws]
    (comparison,) = compare(report(rows=[*looking(), *others]))
    assert {comparison.opponents[draw] for draw in draws} == {"ambiguous"}
    with pytest.raises(TrainmapError, match="without random of the same size"):
        compare(report(rows=[*looking(), *({**one, "draw": "chosen"} for one in others)]))
    with pytest.raises(TrainmapError, match="without random of the same size"):  # its opponent is of its size, too
        compare(report(rows=[*looking(), *({**one, "draw": "repeated auto"} for one in others)]))


def test_a_cell_is_averaged_over_its_seeds_once_for_every_table() -> None:
    frame = frame_of(looking())
    cells = averaged(frame, "test_macro_f1", 0.95)
    assert cells["n"].to_list() == [3] * len(LOOKS)
    first = [one["test_macro_f1"] for one in looking()[:3]]
    assert cells["mean"][0] == pytest.approx(sum(first) / 3)
    assert cells["low"][0] < cells["mean"][0] < cells["high"][0]
    assert cells["draw"].to_list() == list(LOOKS.values())
    assert cells["nonzero"].is_nan().all()
    by_draw = averaged(frame, "test_macro_f1", 0.95, ["draw"])
    assert dict(by_draw.select("draw", "n").iter_rows()) == {"chosen": 15, "random": 3, "full": 3}


def test_the_long_table_says_what_a_row_is_and_the_overview_marks_it() -> None:
    group = Group("digits", {"dataset": "digits"}, tuple(looking(budget="equal epochs")), 21, None)
    assert has_random(group)
    frame = long_table(group, report(rows=group.rows))
    assert dict(frame.select("subset", "role").iter_rows()) == {name: ROLES[draw] for name, draw in DRAWS.items()}
    assert dict(frame.select("subset", "verdict").iter_rows())["random looking"] == "above"
    (grid,) = overview([(group, frame)])
    assert {line.name for line in grid.lines if line.reference} == {"ambiguous", "my baseline"}


def entry(kind: str, digest: str, config: dict[str, Any], **more: Any) -> Entry:
    return Entry(digest, kind, f"the {kind} {digest}", more.pop("after", ()), "digits", "mlp", 0, 0, 0, config, **more)


@pytest.mark.parametrize(
    ("kind", "steps", "draw"),
    [
        ("full", None, "full"),
        ("full", 7, "full, equal steps"),
        ("random", 7, "random"),
        ("repeated", None, "repeated random"),
        ("map-repeated", None, "repeated auto"),
        ("schedule", None, "scheduled"),
        ("map-schedule", 7, "scheduled by a map"),
        ("map", None, "chosen"),
    ],
)
def test_a_plan_that_does_not_say_what_a_row_is_has_it_in_the_configuration(
    kind: str, steps: int | None, draw: str
) -> None:
    subset = {"subset": {"kind": kind}}
    entries = {
        "s": entry("student", "s", {**subset, "steps": steps, "teacher": {"loss": "lsp"}}),
        "c": entry("compressed", "c", {**subset, "student": "s"}),
    }
    for run in entries:
        line = Line(run, {}, {"subset": "random 33 %"}, "")
        its = {"role": ROLES[draw], "draw": draw, "series": "random 33 %", "taught": "lsp"}
        assert facts_of(line, entries) == its
        told = {"role": "opponent", "draw": "random", "series": "a", "taught": "dkd by maker"}
        assert facts_of(replace(line, labels={"subset": "x", **told}), entries) == told


def test_titles_come_of_fields_and_of_whole_names_where_those_do_not_tell_tasks_apart() -> None:
    def study(*entries: Entry) -> Study:
        return Study("a test", (), 0.95, "cpu", entries, (), (), {})

    teachers = [entry("teacher", f"t{seed}", {"seed": seed}, called="map of x, seed 3") for seed in (0, 1)]
    maps = [entry("map", f"m{at}", {"teacher": f"t{at}", "epochs": 2}, after=(f"t{at}",), point="a=1") for at in (0, 1)]
    people = [entry("people", f"p{at}", {"teacher": f"t{at}"}) for at in (0, 1)]
    searches = [entry("search", "s", {}, called="mlp + KD"), entry("search", "z", {"trials": 9}, called="mlp + KD")]
    whole = study(*teachers, *maps, *people, *searches)
    assert {str(title) for title in teacher_titles(whole).values()} == {"map of x, seed 3 on digits"}
    assert [str(title) for title in map_titles(whole).values()] == [
        f"map of x, seed 3, 2 epochs, seed {seed} (a=1)" for seed in (0, 1)
    ]
    assert {str(title) for title in people_titles(whole).values()} == {"map of x, seed 3 on digits"}
    assert [str(title) for title in search_titles(whole).values()] == ["the search s", "the search z"]


PLAN = """\
title: Names
data: {names: [digits]}
teachers: [{model: mlp-256, epochs: 2}]
subsets:
  - {key: full, name: my baseline}
  - {spec: "{percent} random", name: ambiguous}
  - {spec: "{percent} ambiguous", name: random looking}
  - {spec: "{percent} hard-to-learn", name: full data core}
sizes: [0.33]
students: [{model: mlp-256, epochs: 1}]
seeds: [0, 1]
"""


@pytest.mark.filterwarnings("ignore")
def test_an_experiment_of_misleading_names_is_reported_by_what_its_rows_are(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(PLAN)
    variants = load_experiment(tmp_path / "x.yaml", None, [])
    graph = plan_graph(variants, tmp_path / "out")
    study = study_of(variants, graph, {})
    assert all(outcome.finished for outcome in run_study(study, graph, tmp_path / "out", jobs=1))
    paths = write_study(tmp_path / "out")
    rows = list(csv.DictReader(paths["results.csv"].read_text().splitlines()))
    cells = list(csv.DictReader(paths["table.csv"].read_text().splitlines()))
    wanted = {
        "my baseline": ("full data", "full"),
        "ambiguous": ("opponent", "random"),
        "random looking": ("judged", "chosen"),
        "full data core": ("judged", "chosen"),
    }
    for table in (rows, cells):
        assert {one["subset"]: (one["role"], one["draw"]) for one in table} == wanted
    assert {one["subset"] for one in cells if one["verdict"]} == {"random looking", "full data core"}
    tasks = json.loads(paths["results.json"].read_text())
    assert {one["role"] for one in tasks if one["kind"] == "student"} == {"opponent", "full data", "judged"}
    assert len(groups(study, results(study, tmp_path / "out"))) == 1
