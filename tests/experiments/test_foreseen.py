"""Whatever passes planning runs to its end: what depends on the dataset, the form of its examples, the networks or the
recorded epochs is refused before, at its field. Mistakes that only a worker finds are one kind of fault."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from trainmap.distillation.losses import LOSSES
from trainmap.errors import TrainmapError
from trainmap.experiments.file.variants import load_experiment, variant_of
from trainmap.experiments.plan.planner import plan_graph
from trainmap.experiments.tasks.result_fields import SHARES, check_result

WORDS = ("blue", "green", "grey", "red")
MODELS = {"images": "cnn-8", "texts": "text-bag-64", "table": "linear"}
PRUNE = {"method": "prune-channels", "ratio": 0.5}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty examples of four classes, as images, texts and a table."""
    folder = tmp_path_factory.mktemp("data")
    draw, y = np.random.default_rng(0), np.arange(40) % 4
    x = (draw.integers(0, 60, (40, 12, 12)) + 40 * y[:, None, None]).astype(np.uint8)
    for name, pixels in (("images", x), ("others", x[:, ::-1]), ("large", np.repeat(np.repeat(x, 2, 1), 2, 2))):
        np.savez(folder / f"{name}.npz", x_train=pixels[:28], y_train=y[:28], x_test=pixels[28:], y_test=y[28:])
    texts = [f"a {WORDS[label]} thing, number {number}" for number, label in enumerate(y)]
    frame = pl.DataFrame({"label": [WORDS[label] for label in y], "split": ["train"] * 28 + ["test"] * 12})
    group = pl.Series("group", [("north", "south", "east")[number // 4 % 3] for number in range(40)])
    frame.with_columns(pl.Series("text", texts), group).write_parquet(folder / "texts.parquet")
    frame.with_columns(pl.Series("a", draw.normal(y, 1)), pl.Series("b", draw.normal(-y, 1)), group).write_parquet(
        folder / "table.parquet"
    )
    revised = [f"a {WORDS[(label + 1) % 4]} thing" for label in y[28:]]
    words = [WORDS[(label + 1) % 4] for label in y[28:]]
    pl.DataFrame({"text": revised, "label": words, "pair": range(28, 40)}).write_parquet(folder / "revised.parquet")
    odd = pl.DataFrame({"text": ["quite another thing"] * 6, "label": ["odd", "even"] * 3, "split": ["test"] * 6})
    odd.write_parquet(folder / "odd.parquet")
    np.savez(folder / "counts.npz", counts=np.eye(4)[y[28:]] * 9 + 1)
    np.savez(folder / "foreign_counts.npz", counts=np.eye(4)[(y[28:] + 1) % 4] * 9 + 1)
    return folder


def said(root: Path, form: str = "images", **over: Any) -> dict[str, Any]:
    """An experiment on a form of data; ``over`` replaces sections, those of ``data`` are joined."""
    name, model = {"images": "images.npz"}.get(form, f"{form}.parquet"), MODELS[form]
    whole: dict[str, Any] = {
        "title": "t",
        "data": {"names": [name], "root": str(root)} | over.pop("data", {}),
        "teachers": [{"model": model, "epochs": 2}],
        "subsets": ["random", "ambiguous"],
        "students": [{"model": model, "epochs": 1, **over.pop("student", {})}],
        "seeds": [0],
    }
    return whole | over


def run(experiment: Mapping[str, Any], out: Path) -> list[dict[str, Any]]:
    """Plan, then every task in the order of the plan: their results."""
    graph = plan_graph([variant_of(experiment)], out)
    results = []
    for node in graph.nodes.values():
        node.place.out.mkdir(parents=True, exist_ok=True)
        results.append(node.task.run(node.place))
        check_result(Path(node.name), node.task.what, results[-1])
    return results


def run_or_refuse(experiment: Mapping[str, Any], out: Path, field: str) -> None:
    """It runs to its end, or planning refuses it at the field."""
    try:
        plan_graph([variant_of(experiment)], out)
    except TrainmapError:
        with pytest.raises(TrainmapError, match=f"^{re.escape(field)}"):
            plan_graph([variant_of(experiment)], out)
    else:
        run(experiment, out)


def once(epochs: int = 1, **more: Any) -> list[dict[str, Any]]:
    return [{"model": "cnn-8", "epochs": epochs, **more}]


REFUSED: Mapping[str, tuple[dict[str, Any], str]] = {
    "ambiguous after one epoch": ({"teachers": once()}, "subsets.1.key: ambiguous needs a map of at least 2 epochs"),
    "auto after one epoch": ({"teachers": once(), "subsets": ["auto"]}, "subsets.0.key: auto needs a map of"),
    "a map of one epoch": ({"maps": [{"teacher": "cnn-8", "epochs": 1}]}, "subsets.1.key: ambiguous needs"),
    "a score twice": ({"maps": [{"teacher": "cnn-8", "scores": ["aum", "aum"]}]}, "maps.0.scores.1: 'aum' stands"),
    "a score of logits": (
        {"teachers": once(12), "maps": [{"teacher": "cnn-8", "scores": ["tdds"]}]},
        "maps.0.scores.0: tdds needs logits",
    ),
    "a teacher that may stop before": (
        {"teachers": once(12, patience=1), "maps": [{"teacher": "cnn-8", "scores": ["dyn_unc"]}]},
        r"maps.0.scores.0: .* 10 epochs, got 2; .*\(with patience 1 the teacher may stop after 2\)",
    ),
    "people's scores of more epochs": (
        {"human": {"counts": "counts.npz", "scores": ["dyn_unc"]}},
        "human.scores.0: dyn_unc needs a map of at least 10",
    ),
    "people's scores of logits": (
        {"human": {"counts": "counts.npz", "scores": ["tdds"]}, "teachers": once(12)},
        "human.scores.0: tdds needs logits",
    ),
    "people who judged other data": (
        {"human": {"counts": "foreign_counts.npz"}},
        "human.counts: most people agree with the labels of images on 0% of the examples",
    ),
    "a shift of other classes": ({"evaluation": {"shifts": ["digits"]}}, "evaluation.shifts.0: the classes of digits"),
    "a shift of another form": ({"evaluation": {"shifts": ["wine"]}}, "evaluation.shifts.0: "),
    "corrupted texts": (
        {"form": "texts", "evaluation": {"corruptions": ["fog"]}},
        "evaluation.corruptions.0: corruptions are for images",
    ),
    "a corrupted table": ({"form": "table", "evaluation": {"corruptions": ["fog"]}}, "evaluation.corruptions.0"),
    "one severity twice": (
        {"evaluation": {"corruptions": ["fog"], "severities": [1, 1]}},
        "evaluation.severities: must be different",
    ),
    "an evaluation for no dataset": (
        {"evaluation": [{"for": ["mnist"], "shifts": ["usps"]}]},
        "evaluation.0.for.0: 'mnist' is none of the datasets",
    ),
    "outliers of the own classes": (
        {"form": "texts", "evaluation": {"outliers": ["texts.parquet"]}},
        "evaluation.outliers.0: texts has no examples outside",
    ),
    "pairs without pairs": (
        {"form": "texts", "evaluation": {"pairs": [{"name": "odd.parquet"}]}},
        "evaluation.pairs.0: odd: revised examples need a column 'pair'",
    ),
    "one name for two sets": (
        {"evaluation": {"shifts": ["others.npz"], "outliers": ["others.npz"]}},
        "evaluation.outliers.0: 'others' is the name of another set",
    ),
    "a column that is not there": (
        {"form": "table", "data": {"leave_out": {"column": "grp", "values": ["east"]}}},
        "data.leave_out: unknown column of table to leave out by 'grp'; did you mean 'group'",
    ),
    "a value that is not there": (
        {"form": "table", "data": {"leave_out": {"column": "group", "values": ["west"]}}},
        "data.leave_out: unknown value of group 'west'",
    ),
    "a whole class": (
        {"form": "table", "data": {"leave_out": {"column": "a", "above": -100.0}}},
        "data.leave_out: every example",
    ),
    "images have no columns": (
        {"data": {"leave_out": {"column": "group", "values": ["east"]}}},
        "data.leave_out: images has no columns",
    ),
    "mirrored texts": ({"form": "texts", "student": {"recipe": {"flips": True}}}, "students.0.recipe: flips and crops"),
    "a cropped table": (
        {"form": "table", "teachers": [{"model": "linear", "epochs": 2, "recipe": {"crop": 2}}]},
        "teachers.0.recipe: flips and crops",
    ),
    "channels in thousands": (
        {"student": {"compress": [None, PRUNE | {"round_to": 1000}]}},
        "students.0.compress.1: no channel can go",
    ),
    "a teacher whose channels are in thousands": (
        {"teachers": once(2, compress=PRUNE | {"round_to": 1000})},
        "teachers.0.compress: no channel can go",
    ),
    "an option that is a word": (
        {"student": {"distillation": [{"loss": "dkd", "options": {"beta": "much"}}]}},
        "students.0.distillation.0: dkd cannot be computed so",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_would_fail_later_is_refused_at_its_field(root: Path, tmp_path: Path, what: str) -> None:
    over, message = REFUSED[what]
    with pytest.raises(TrainmapError, match=message):
        plan_graph([variant_of(said(root, **over))], tmp_path)


RUNS: Mapping[str, dict[str, Any]] = {
    "images everywhere": {
        "data": {"validation": 0.3},
        "teachers": once(2, patience=1, record="sweep"),
        "evaluation": [
            {"corruptions": ["fog"], "severities": [5]},
            {"for": ["images.npz"], "shifts": [{"name": "large.npz", "called": "twice as large"}]},
            {"for": ["images.npz"], "outliers": [{"name": "others.npz", "part": "all", "score": "energy"}]},
        ],
    },
    "a shift with some of the classes": {
        "evaluation": {"shifts": [{"name": "digits", "labels": {str(digit): None for digit in range(2, 10)}}]}
    },
    "texts": {
        "form": "texts",
        "data": {"leave_out": {"column": "group", "values": ["east"]}},
        "evaluation": {"shifts": ["texts.parquet"], "outliers": ["odd.parquet"]},
    },
    "pairs": {"form": "texts", "evaluation": {"pairs": ["revised.parquet"]}},
    "a table": {"form": "table", "data": {"leave_out": {"column": "group", "values": ["east"]}}},
    "a table, by a number": {"form": "table", "data": {"leave_out": {"column": "a", "below": 0.0}}},
    "people": {"human": {"counts": "counts.npz", "scores": ["confidence", "aum"]}},
    "scores of logits": {
        "teachers": once(10, level="logits"),
        "human": {"counts": "counts.npz", "scores": ["tdds"]},
        "subsets": [{"spec": "top 33% tdds"}, {"schedule": {"name": "curriculum", "score": "tdds"}}],
    },
    "a score by a convention": {
        "teachers": once(10, level="logits"),
        "maps": [{"teacher": "cnn-8", "scores": ["tdds_zhang", "aum_ccs"]}],
        "subsets": [{"spec": "top 33% tdds_zhang"}, {"strategy": "ccs", "options": {"score": "aum_ccs"}}],
    },
    "a score of one epoch": {"teachers": once(), "subsets": [{"spec": "bottom 33% aum"}]},
    "no validation data": {"data": {"validation": 0.0}, "subsets": ["auto", "repeated-auto"]},
    "labels exchanged, classes dealt out": {
        "data": {"label_noise": 0.2},
        "subsets": [{"spec": "{percent} hard", "balance": "equal", "without": {"audit": 0.1}}],
    },
    "one example": {"sizes": [0.05], "student": {"recipe": {"batch": 2}}},
    "a pruned bag of words": {"form": "texts", "student": {"compress": [None, PRUNE]}},
    "pruned images": {"student": {"compress": [PRUNE, {"method": "sparsify", "sparsity": 0.5}]}},
    "schedules": {
        "subsets": [
            {"schedule": {"name": "infobatch"}},
            {"schedule": {"name": "ordered-loss"}},
            {"schedule": {"name": "proxy", "model": "cnn-8", "keep": 0.1}},
        ]
    },
}


SAID = {
    "images everywhere": {"corrupted_macro_f1", "twice as large_accuracy", "others_auroc", "others_fpr95"},
    "texts": {"left out_macro_f1", "texts_macro_f1", "odd_auroc"},
    "pairs": {"revised_macro_f1", "revised_consistency"},
    "a table": {"left out_macro_f1", "left out_accuracy"},
}
"""What the result of the last run says of other sets."""


@pytest.mark.parametrize(
    "what", [pytest.param(what, marks=pytest.mark.slow) if what == "pruned images" else what for what in RUNS]
)
def test_whatever_is_planned_runs_to_its_end(root: Path, tmp_path: Path, what: str) -> None:
    last = run(said(root, **RUNS[what]), tmp_path)[-1]
    others = {name for name in last if name.endswith(tuple(SHARES)) and not name.startswith(("test_", "validation_"))}
    assert SAID.get(what, set()) <= others
    assert others or "evaluation" not in RUNS[what]
    assert last.get("revised_consistency", 0) <= last["test_accuracy"]


@pytest.mark.parametrize("form", ["table", *(pytest.param(form, marks=pytest.mark.slow) for form in MODELS)][:-1])
def test_every_loss_runs_or_is_refused_at_its_field(root: Path, tmp_path: Path, form: str) -> None:
    for loss in LOSSES:
        over = {"student": {"distillation": [{"loss": loss}]}, "subsets": ["random"]}
        run_or_refuse(said(root, form, **over), tmp_path / loss, "students.0.distillation.0: ")


@pytest.mark.slow
@pytest.mark.parametrize("form", MODELS)
@pytest.mark.parametrize(
    "way",
    [
        PRUNE,
        PRUNE | {"importance": "random"},
        {"method": "magnitude", "sparsity": 0.5},
        {"method": "sparsify", "sparsity": 0.5},
        {"method": "int8"},
        {"method": "int8-trained"},
        {"method": "int8-onnx"},
    ],
    ids=lambda way: "-".join(map(str, way.values())),
)
def test_every_way_of_compression_runs_or_is_refused_at_its_field(
    root: Path, tmp_path: Path, form: str, way: dict[str, Any]
) -> None:
    experiment = said(root, form, student={"compress": [way]}, subsets=["random"], teachers=[])
    run_or_refuse(experiment, tmp_path, "students.0.compress.0: ")


def test_an_error_names_the_line_of_an_evaluation_that_stands_alone(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    lines = ["title: t", "data: {names: [digits]}", "evaluation:", "  shifts:", "    - {nam: usps}"]
    file.write_text("\n".join(lines))
    with pytest.raises(TrainmapError, match=re.escape("x.yaml:5: evaluation.shifts.0.nam: unknown field 'nam'")):
        load_experiment(file)
    file.write_text("\n".join([*lines[:2], "evaluation:", "  - {shifts: [usps], fro: [mnist]}"]))
    with pytest.raises(TrainmapError, match=r"x.yaml:4: evaluation.0.fro: unknown field 'fro'; did you mean 'for'"):
        load_experiment(file)
