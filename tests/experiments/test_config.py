"""Experiment files: what they may say, errors with line and field, scales, --set, grids, the schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from trainmap.errors import TrainmapError
from trainmap.experiments.file.variants import Variant, load_experiment, schema

SHIPPED = sorted((Path(__file__).parents[2] / "experiments").glob("*.yaml"))

PLAIN = """\
# A question.
title: A test
data:
  names: [digits]
teachers:
  - model: cnn-8
    epochs: 2
subsets: [full, random]
students:
  - model: mlp-256
    epochs: 1
    recipe: {peak_lr: 5e-2}
  - model: cnn-8
"""


def load(tmp_path: Path, text: str = PLAIN, **how: Any) -> list[Variant]:
    (tmp_path / "x.yaml").write_text(text)
    return load_experiment(tmp_path / "x.yaml", **how)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("epochs: 2", "epoch: 2", "x.yaml:7: teachers.0.epoch: unknown field 'epoch'; did you mean 'epochs'? Known: "),
        ("epochs: 2", "epochs: '2'", "x.yaml:7: teachers.0.epochs: must be a valid integer, got '2'"),
        ("epochs: 2", "epochs: 2.0", "x.yaml:7: teachers.0.epochs: must be a valid integer, got 2.0"),
        ("epochs: 2", "epochs: yes", "x.yaml:7: teachers.0.epochs: must be a valid integer, got 'yes'"),
        ("epochs: 2", "epochs: true", "x.yaml:7: teachers.0.epochs: must be a valid integer, got True"),
        ("epochs: 2", "epochs: 0", "x.yaml:7: teachers.0.epochs: must be greater than or equal to 1, got 0"),
        (
            "epochs: 2",
            "record: swep",
            "x.yaml:7: teachers.0.record: must be 'train', 'sweep' or 'held-out', got 'swep'",
        ),
        ("peak_lr: 5e-2", "peak_lr: fast", "x.yaml:12: students.0.recipe.peak_lr: must be a valid number, got 'fast'"),
        ("peak_lr: 5e-2", "lr: 5e-2", "x.yaml:12: students.0.recipe.lr: unknown field 'lr'"),
        ("title: A test\n", "", "x.yaml:2: title: is missing and must be given"),
        ("names: [digits]", "names: []", "x.yaml:4: data.names: list should have at least 1 item"),
        (
            "[full, random]",
            "[full, {key: random, spec: 3%}]",
            "x.yaml:8: subsets.1: must have a key or a spec, and not",
        ),
    ],
)
def test_an_error_names_file_line_and_field_and_says_what_is_allowed(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in PLAIN
    with pytest.raises(TrainmapError) as caught:
        load(tmp_path, PLAIN.replace(old, new))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_numbers_such_as_5e_2_are_numbers(tmp_path: Path) -> None:
    (variant,) = load(tmp_path)
    assert variant.experiment.students[0].recipe.peak_lr == 0.05


def test_a_scale_is_put_over_the_rest_and_small_is_taken_unless_told(tmp_path: Path) -> None:
    text = PLAIN + "small: {seeds: [0], students: [{model: mlp-256}]}\npaper: {data: {names: [cifar10]}}\n"
    small = load(tmp_path, text)[0].experiment
    assert (small.seeds, len(small.students), small.data.names) == ([0], 1, ["digits"])
    paper = load(tmp_path, text, scale="paper")[0].experiment
    assert (paper.seeds, len(paper.students), paper.data.names) == ([0, 1, 2], 2, ["cifar10"])
    with pytest.raises(TrainmapError, match="has no section 'paper:'"):
        load(tmp_path, PLAIN, scale="paper")
    with pytest.raises(TrainmapError, match="unknown scale 'big'"):
        load(tmp_path, PLAIN, scale="big")


def test_an_error_in_a_scale_names_the_line_of_the_scale(tmp_path: Path) -> None:
    with pytest.raises(TrainmapError, match=r"x.yaml:15: seeds: must be a valid list, got 3"):
        load(tmp_path, PLAIN + "small:\n  seeds: 3\n")


def test_set_changes_one_value_and_errors_name_it(tmp_path: Path) -> None:
    found = load(tmp_path, sets=["students.*.epochs=7", "data.label_noise=0.1", "title=Another"])[0].experiment
    assert [student.epochs for student in found.students] == [7, 7]
    assert (found.data.label_noise, found.title) == (0.1, "Another")
    with pytest.raises(TrainmapError, match=r"--set seeds: seeds: must be a valid list, got 3"):
        load(tmp_path, sets=["seeds=3"])
    with pytest.raises(TrainmapError, match="--set must be a dotted path and a value"):
        load(tmp_path, sets=["seeds"])
    with pytest.raises(TrainmapError, match=r"--set students.5.epochs: a list of 2"):
        load(tmp_path, sets=["students.5.epochs=3"])


def test_a_grid_is_every_combination_and_a_zip_goes_in_step(tmp_path: Path) -> None:
    grid = """\
grid:
  cross: {students.*.recipe.peak_lr: [0.1, 0.2], seeds: [[0], [1]]}
  zip: {teachers.0.epochs: [1, 2, 3], data.label_noise: [0.0, 0.1, 0.2]}
"""
    variants = load(tmp_path, PLAIN + grid)
    assert len(variants) == 2 * 2 * 3
    assert variants[0].label == {"epochs": 1, "label_noise": 0.0, "peak_lr": 0.1, "seeds": [0]}
    pairs = {(v.experiment.teachers[0].epochs, v.experiment.data.label_noise) for v in variants}
    assert pairs == {(1, 0.0), (2, 0.1), (3, 0.2)}
    assert {s.recipe.peak_lr for v in variants for s in v.experiment.students} == {0.1, 0.2}


def test_names_in_a_grid_are_as_long_as_tells_them_apart(tmp_path: Path) -> None:
    grid = "grid: {cross: {students.0.epochs: [1], students.1.epochs: [2], seeds: [[0]]}}\n"
    assert set(load(tmp_path, PLAIN + grid)[0].label) == {"0.epochs", "1.epochs", "seeds"}


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ("{cross: {seeds: []}}", "x.yaml:14: grid.cross.seeds: list should have at least 1 item"),
        ("{zip: {seeds: [[0]], sizes: [[0.1], [0.2]]}}", "grid.zip: the lists must be equally long, got seeds 1, siz"),
        ("{zip: {seeds: [[0]]}, cross: {seeds: [[0]]}}", "grid.zip.seeds: is in cross as well"),
        ("{cross: {students.9.epochs: [1]}}", "x.yaml:14: grid.cross.students.9.epochs: a list of 2"),
        ("{cross: {seeds: [[x]]}}", "x.yaml:14: seeds.0: must be a valid integer, got 'x'"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(tmp_path: Path, grid: str, message: str) -> None:
    with pytest.raises(TrainmapError) as caught:
        load(tmp_path, PLAIN + f"grid: {grid}\n")
    assert message in str(caught.value)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_a_shipped_file_follows_the_schema_and_opens_with_its_question_and_command(path: Path) -> None:
    jsonschema.validate(yaml.safe_load(path.read_text()), schema(), jsonschema.Draft202012Validator)
    load_experiment(path)
    head = path.read_text().partition("\ntitle:")[0]
    assert "?" in head
    assert f"trainmap run experiments/{path.name}" in head


def test_the_schema_refuses_what_the_loader_refuses() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    good = yaml.safe_load(PLAIN.replace("5e-2", "0.05"))
    jsonschema.validate(good, schema())
    for bad in ({"titel": "x"}, {"seeds": 3}, {"sizes": [1.5]}, {"budgets": ["equal time"]}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(good | bad, schema())


def test_the_file_in_the_documentation_is_one(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "grids.md").read_text()
    text = page.partition("```yaml\n")[2].partition("```")[0]
    assert len(load(tmp_path, text)) == 2
    assert load(tmp_path, text, scale="paper")[0].experiment.data.names == ["cifar10"]


def test_there_are_shipped_files() -> None:
    assert SHIPPED
