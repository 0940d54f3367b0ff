"""What a group of tables and a column are called: by what differs, once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trainmap.experiments.file.variants import load_experiment
from trainmap.experiments.plan.graph import Line
from trainmap.experiments.plan.planner import plan_graph
from trainmap.experiments.report.overview_tables import heads_of
from trainmap.experiments.report.student_columns import column_names
from trainmap.experiments.results.group_titles import group_titles
from trainmap.experiments.results.records import Group, groups
from trainmap.experiments.runs.folder import study_of

POINTS = """\
title: Points
data: {names: [digits]}
teachers: [{model: mlp-256, epochs: 2}]
subsets: [full, random]
students: [{model: mlp-256, epochs: 1}]
seeds: [0]
"""
MODELS = "teachers.*.model: [mlp-256, cnn-8], students.*.model: [mlp-256, cnn-8]"
RATES = "teachers.*.recipe: [{peak_lr: 0.1, batch: 64}, {peak_lr: 0.05}], students.*.recipe.batch: [32, 64]"
WAYS = "students.*.distillation: [[null, {loss: lsp}], [null, {loss: hinton}]]"


def named(folder: Path, more: str) -> tuple[list[str], list[list[str]]]:
    """Titles of the groups, and the heads of the columns of each."""
    (folder / "points.yaml").write_text(POINTS + more)
    variants = load_experiment(folder / "points.yaml")
    study = study_of(variants, plan_graph(variants, folder / "out"), {})
    found = groups(study, {})
    rows: dict[str, list[dict[str, Any]]] = {}
    for line in study.lines:
        rows.setdefault(str([line.group, line.map]), []).append(dict(line.labels))
    flat = [(group, "equal epochs", part) for group, part in zip(found, rows.values(), strict=True)]
    return [group.title for group in found], [[*heads.values()] for heads in heads_of(flat)]


@pytest.mark.parametrize(
    ("more", "titles", "heads"),
    [
        ("", ["digits"], [["mlp-256"]]),
        ("label: mine\n", ["digits, mine"], [["mlp-256"]]),
        (
            f"grid: {{zip: {{data.names: [[digits], [digits]], {MODELS}}}}}\n",
            ["digits, mlp-256", "digits, cnn-8"],
            [["mlp-256"], ["cnn-8"]],
        ),
        (
            f"grid: {{zip: {{data.names: [[digits], [breast-cancer]], {MODELS.replace('cnn-8', 'linear')}}}}}\n",
            ["digits", "breast-cancer"],
            [["digits: mlp-256"], ["breast-cancer: linear"]],
        ),
        (
            f"grid: {{zip: {{{RATES}}}}}\n",
            ["digits, batch 32", "digits, batch 64"],
            [["batch 32: mlp-256"], ["batch 64: mlp-256"]],
        ),
        (
            "grid: {cross: {teachers.*.epochs: [2, 3], seeds: [[0], [1]]}}\n",
            [f"digits, epochs {epochs}, seeds {seed}" for epochs in (2, 3) for seed in (0, 1)],
            [[f"epochs {epochs}, seeds {seed}: mlp-256"] for epochs in (2, 3) for seed in (0, 1)],
        ),
        (
            f"grid: {{cross: {{{WAYS}}}}}\n",
            [f"digits, distillation (none, (loss {loss}))" for loss in ("lsp", "hinton")],
            [
                [f"distillation (none, (loss {loss})): mlp-256{end}" for end in ("", f" + {loss}")]
                for loss in ("lsp", "hinton")
            ],
        ),
        (
            "label: one\ngrid: {cross: {teachers.*.model: [mlp-256, cnn-8]}}\n",
            ["digits, one, mlp-256", "digits, one, cnn-8"],
            [["mlp-256: mlp-256"], ["cnn-8: mlp-256"]],  # of the teacher, which the student does not say
        ),
        (
            "teachers: [{model: mlp-256, epochs: 2}, {model: cnn-8, epochs: 2}]\n",
            ["digits, map mlp-256", "digits, map cnn-8"],
            [["map mlp-256: mlp-256"], ["map cnn-8: mlp-256"]],
        ),
    ],
)
def test_groups_and_columns_are_named_by_what_differs_once(
    tmp_path: Path, more: str, titles: list[str], heads: list[list[str]]
) -> None:
    if more.startswith("teachers"):
        more, was = "", POINTS.replace("teachers: [{model: mlp-256, epochs: 2}]\n", more)
        (tmp_path / "points.yaml").write_text(was)
        variants = load_experiment(tmp_path / "points.yaml")
        study = study_of(variants, plan_graph(variants, tmp_path / "out"), {})
        assert [title.whole for title in group_titles(study.lines).values()] == titles
        return
    assert named(tmp_path, more) == (titles, heads)


def test_a_recipe_as_a_value_is_said_in_words() -> None:
    lines = [
        Line("r", {"dataset": "digits", "recipe": recipe}, {}, "")
        for recipe in ({"peak_lr": 0.1, "batch": 64}, {"peak_lr": 0.05})
    ]
    assert [title.whole for title in group_titles(lines).values()] == [
        "digits, recipe (peak_lr 0.1, batch 64)",
        "digits, recipe (peak_lr 0.05)",
    ]


def test_a_value_that_all_students_say_is_told_only_where_that_leaves_heads_apart() -> None:
    told = [Group("a", {}, (), 0, None, told={"model": one}) for one in ("x", "y")]
    rows = [[{"student": one, "taught": ""}] for one in ("x", "y")]
    flat = [(group, "", part) for group, part in zip(told, rows, strict=True)]
    assert [[*heads.values()] for heads in heads_of(flat)] == [["x"], ["y"]]
    for part in rows:
        part.append({"student": "same", "taught": ""})
    assert [[*heads.values()] for heads in heads_of(flat)] == [["x: x", "x: same"], ["y: y", "y: same"]]


def test_columns_that_differ_by_loss_or_teacher_never_have_one_name() -> None:
    columns = [("A", ""), ("A", "lsp"), ("A + lsp", ""), ("A", "lsp by B"), ("A + lsp", "by B")]
    names = column_names(columns)
    assert [*names] == columns
    assert len(set(names.values())) == len(columns)
    assert names["A", "lsp"] == "A + lsp (taught)"
    assert names["A + lsp", ""] == "A + lsp (plain)"
    worse = column_names([("A", "lsp"), ("A + lsp", ""), ("A + lsp (plain)", ""), ("A", "lsp (taught)")])
    assert len(set(worse.values())) == 4
