"""A value of another type where a public function of the maps or of the selection needs one: a TrainmapError."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import trainmap as tm
from trainmap.errors import TrainmapError, number, unknown
from trainmap.scores.trajectories import cluster

VALUES: tuple[Any, ...] = (None, "abc", "1/3", float("nan"), [0.1], {}, 2.5, object())
Y = np.arange(60) % 3


@pytest.fixture(scope="module")
def have(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A recording, its map and its audit; ``twin`` and ``recording`` are two runs with threshold samples."""
    folder, generator, runs = tmp_path_factory.mktemp("types"), np.random.default_rng(0), []
    for k in (0, 1):
        labels = Y.copy()
        labels[3 * k : 3 * k + 3] = 3
        with tm.Recorder(folder / f"d{k}", 4) as recorder:
            for _ in range(4):
                recorder.update(range(60), generator.normal(size=(60, 4)), labels)
                recorder.end_epoch()
        runs.append(tm.Dynamics.open(folder / f"d{k}"))
    datamap = tm.DataMap.from_dynamics(runs[0])
    return {"recording": runs[0], "twin": runs[1], "map": datamap, "audit": tm.audit(runs[0])}


CALLS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "audit": (lambda h, **k: tm.audit(h["recording"], **k), ("rule", "threshold", "flips", "epochs")),
    "audit_threshold_samples": (
        lambda h, **k: tm.audit_threshold_samples(h["recording"], h["twin"], **k),
        ("percentile", "epochs"),
    ),
    "from_dynamics": (
        lambda h, **k: tm.DataMap.from_dynamics(h["recording"], **k),
        ("scores", "rule", "fraction", "epochs", "workers", "max_memory", "on_progress"),
    ),
    "compute": (
        lambda h, **k: tm.compute(h["recording"], **k),
        ("scores", "epochs", "workers", "max_memory", "on_progress"),
    ),
    "with_scores": (lambda h, **k: h["map"].with_scores(h["map"].ids, **k), ("scores",)),
    "plan_flips": (
        lambda h, **k: tm.plan_flips(k.pop("labels", Y), **k),
        ("labels", "fraction", "seed", "ids", "classes", "confusion"),
    ),
    "plan_threshold_samples": (
        lambda h, **k: tm.plan_threshold_samples(k.pop("labels", Y), **k),
        ("labels", "seed", "ids", "classes"),
    ),
    "compare": (lambda h, **k: tm.compare(h["map"], h["map"], **k), ("scores", "fractions", "allow")),
    "converged": (
        lambda h, **k: tm.converged(h["recording"], **k),
        ("score", "window", "threshold", "overlap", "fraction", "patience", "sample", "seed"),
    ),
    "intervals": (lambda h, **k: tm.intervals([h["map"]] * 2, **{"score": "aum", **k}), ("score", "level", "allow")),
    "select": (
        lambda h, **k: tm.select(h["map"], **{"spec": "33% random", **k}),
        ("spec", "size", "seed", "balance", "without", "held_out"),
    ),
    "select_by": (
        lambda h, **k: tm.select_by(h["map"], **{"strategy": "random", "size": 5, **k}),
        ("strategy", "size", "seed", "balance", "without", "features", "clusters"),
    ),
    "advise": (
        lambda h, **k: tm.advise(h["map"], **{"size": 5, **k}),
        ("size", "noise", "held_out", "balance", "without"),
    ),
    "confusion": (lambda h, **k: h["audit"].confusion(**k), ("classes",)),
    "cluster": (
        lambda h, **k: cluster(h["recording"], **{"clusters": 2, **k}),
        ("clusters", "signal", "epochs", "seed", "iterations", "sample"),
    ),
}


@pytest.mark.parametrize(("name", "argument"), [(name, one) for name, (_, all_) in CALLS.items() for one in all_])
def test_an_argument_of_another_type_gives_an_answer_or_an_error_of_ours(
    name: str, argument: str, have: dict[str, Any]
) -> None:
    refused = 0
    for value in VALUES:
        try:
            CALLS[name][0](have, **{argument: value})
        except TrainmapError:
            refused += 1
    assert refused >= 4  # None, a list, a share stand for something here and there; no argument takes most of them


@pytest.mark.parametrize("value", [float("nan"), "abc", [0.1], True])
def test_a_threshold_that_is_no_number_does_not_suspect_nobody(value: Any, have: dict[str, Any]) -> None:
    with pytest.raises(TrainmapError, match=r"threshold .*must be a finite number, got"):
        tm.audit(have["recording"], threshold=value)


def test_an_amount_of_memory_may_be_text_as_on_the_command_line(have: dict[str, Any]) -> None:
    plain, text = (tm.compute(have["recording"], ["aum"], max_memory=much)["aum"] for much in (10**12, "1TB"))
    assert np.array_equal(plain, text)


def test_a_score_that_raises_is_named_with_its_error(have: dict[str, Any]) -> None:
    def mine(block: Any) -> Any:
        return {}["x"]

    with pytest.raises(TrainmapError, match="score 'mine' failed with KeyError: 'x'") as caught:
        tm.compute(have["recording"], [mine])
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize("entry", [np.inf, 1e308])
def test_a_confusion_whose_sums_are_not_finite_is_refused(entry: float) -> None:
    with pytest.raises(TrainmapError, match="finite"):
        tm.plan_flips(Y, confusion=np.full((3, 3), entry))


def test_numbers_and_names_of_another_type_are_shown() -> None:
    assert number(np.float32(0.5), "x", 0, 1) == 0.5
    for value in (True, float("inf"), "1", None, 2):
        with pytest.raises(TrainmapError, match="x must be a finite number from 0 to 1, got"):
            number(value, "x", 0, 1)
    assert "unknown rule None. Known: a" in str(unknown("rule", None, ["a"]))
