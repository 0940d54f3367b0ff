"""Pretrained text encoders in an experiment: their identity, what a plan refuses, a whole run, small draws of data."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from encoder_made import make_encoder, save, write_texts
from trainmap.errors import TrainmapError
from trainmap.experiments.file.variants import load_experiment
from trainmap.experiments.plan.graph import Graph
from trainmap.experiments.plan.planner import plan_graph
from trainmap.experiments.runs.folder import open_study, results, run_study, states, study_of, tasks_of

TEXT = """\
title: Encoders
data: {{names: ["{texts}+tokens:{encoder}"]}}
teachers: [{{model: "hf-encoder:{encoder}", epochs: 2, recipe: {{peak_lr: 1.0e-2}}}}]
subsets: [random, ambiguous]
students:
  - {{model: "hf-encoder:{encoder}@1", epochs: 1, distillation: [null, {{}}, {{loss: feature-matching}}]}}
  - {{model: text-bag-64, epochs: 1}}
seeds: [0]
"""


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    write_texts(tmp_path / "texts.parquet")
    return make_encoder(tmp_path / "tiny")


def plan(tmp_path: Path, encoder: Path, *sets: str) -> Graph:
    told = TEXT.format(texts=tmp_path / "texts.parquet", encoder=encoder)
    (tmp_path / "x.yaml").write_text(told)
    return plan_graph(load_experiment(tmp_path / "x.yaml", None, sets), tmp_path / "out")


def hashes(graph: Graph, kind: str) -> set[str]:
    return {node.task.hash for node in graph.nodes.values() if node.kind == kind}


def test_a_plan_loads_no_weights(tmp_path: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoModel

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("weights were loaded")

    monkeypatch.setattr(AutoModel, "from_pretrained", refused)
    graph = plan(tmp_path, encoder)
    counts = {model["name"]: model["parameters"] for model in graph.models}
    assert counts[f"hf-encoder:{encoder}"] > counts[f"hf-encoder:{encoder}@1"] > 0


def test_other_weights_are_other_tasks_and_what_starts_from_none_stays(tmp_path: Path, encoder: Path) -> None:
    before = plan(tmp_path, encoder, "students=[{model: text-bag-64, epochs: 1}]", "subsets=[random]")
    again = plan(tmp_path, encoder, "students=[{model: text-bag-64, epochs: 1}]", "subsets=[random]")
    make_encoder(encoder, seed=1)
    after = plan(tmp_path, encoder, "students=[{model: text-bag-64, epochs: 1}]", "subsets=[random]")
    assert hashes(before, "teacher") == hashes(again, "teacher") != hashes(after, "teacher")
    assert hashes(before, "student") == hashes(after, "student")
    told = next(node.task.identity() for node in after.nodes.values() if node.kind == "student")
    assert "weights" not in told


def test_a_run_goes_through_and_its_tasks_are_read_back(tmp_path: Path, encoder: Path) -> None:
    graph = plan(tmp_path, encoder)
    out = tmp_path / "out"
    study = study_of(load_experiment(tmp_path / "x.yaml", None, ()), graph, {"file": "x.yaml"})
    outcomes = run_study(study, graph, out, jobs=1)
    assert [outcome.error for outcome in outcomes if outcome.error] == []
    assert set(states(open_study(out), out).values()) == {"done"}
    for digest, task in tasks_of(open_study(out)).items():
        assert task.hash == digest
    found = results(open_study(out), out)
    flops = {
        (node.task.model, node.task.draw.count): found[node.task.hash]["train_flops"]  # type: ignore[attr-defined]
        for node in graph.nodes.values()
        if node.kind == "student"
    }
    assert all(value > 0 for value in flops.values())


def test_weights_that_changed_since_the_plan_are_refused(tmp_path: Path, encoder: Path) -> None:
    graph = plan(tmp_path, encoder, "subsets=[random]", "students=[{model: text-bag-64, epochs: 1}]")
    out = tmp_path / "out"
    study = study_of(load_experiment(tmp_path / "x.yaml", None, ()), graph, {"file": "x.yaml"})
    make_encoder(encoder, seed=1)
    outcomes = run_study(study, graph, out, jobs=1)
    errors = [outcome.error for outcome in outcomes if outcome.error]
    assert any("changed since the experiment was planned; plan it again" in error for error in errors)


def test_what_cannot_be_is_refused_with_file_line_and_field(tmp_path: Path, encoder: Path) -> None:
    from transformers import GPT2Config, GPT2Model

    decoder, bare = tmp_path / "decoder", tmp_path / "bare"
    save(GPT2Model(GPT2Config(n_layer=1, n_head=1, n_embd=4, vocab_size=9, n_positions=8)), decoder)
    shutil.copytree(encoder, bare)
    (bare / "model.safetensors").unlink()
    words = f"data.names=[{tmp_path / 'texts.parquet'}]"
    cases = {
        (words,): r"teachers.0.model: .* reads its own tokens, not words: name the dataset with \+tokens:",
        (f"teachers.0.model=hf-encoder:{decoder}",): r"teachers.0.model: .*must be a text encoder.*'gpt2'",
        (f"teachers.0.model=hf-encoder:{bare}",): "must have weights in model.safetensors",
        ("teachers.0.model=hf-encoder:nowhere",): r"teachers.0.model: there is no encoder 'nowhere'",
        (f"students.0.model=hf-encoder:{encoder}@9",): r"students.0.model: .*has 3 layers, got @9",
        ("students.0.compress=[{method: int8}]",): r"students.0.compress.0.method: 'int8' does not fit",
        ("teachers.0.compress={method: int8-trained, finetune_epochs: 1}",): "'int8-trained' does not fit",
        ("students.0.compress=[{method: prune-channels, ratio: 0.5}]",): "'prune-channels' does not fit",
        (f"subsets=[{{schedule: {{name: proxy, model: 'hf-encoder:{encoder}@1'}}}}]",): "a proxy is a small network",
        ("data.limit.train=9000",): r"data.limit: .*limit.train must be 1 to \d+, what there is, got 9000",
        ("data.limit.train=0",): r"data.limit.train: .*greater than or equal to 1",
    }
    for sets, match in cases.items():
        with pytest.raises(TrainmapError, match=match) as caught:
            plan(tmp_path, encoder, *sets)
        assert re.match(r"(.*x\.yaml:\d+|--set [\w.]+): ", str(caught.value))


def test_a_limit_is_hashed_when_it_is_given_and_counts_what_it_keeps(tmp_path: Path, encoder: Path) -> None:
    plain, small, other = (
        plan(tmp_path, encoder, *sets, "students=[{model: text-bag-64, epochs: 1}]", "subsets=[full]")
        for sets in ((), ("data.limit={train: 20, test: 5}",), ("data.limit={train: 20, test: 5, seed: 1}",))
    )
    told = [next(node.task.identity()["data"] for node in graph.nodes.values()) for graph in (plain, small, other)]
    assert "limit" not in told[0]
    assert told[1]["limit"] == {"train": 20, "validation": None, "test": 5, "seed": 0}
    assert len({node.task.hash for graph in (plain, small, other) for node in graph.nodes.values()}) == 9
    student = [next(node.cost for node in graph.nodes.values() if node.kind == "student") for graph in (plain, small)]
    assert student[1].examples == 20 < student[0].examples
    assert student[1].flops * student[0].examples == student[0].flops * 20
