"""The judge of trainmap's own networks: its parts, its cost, the same seed the same score."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import f1_score

import trainmap as tm
from trainmap.data.dataset import Splits, load_splits
from trainmap.models.build import build
from trainmap.models.cost import forward_flops
from trainmap.races import Racer
from trainmap.races.racer import part_scores
from trainmap.schedules import DisjointRandom
from trainmap.training import default_recipe


@pytest.fixture(scope="module")
def splits() -> Splits:
    return load_splits("digits")


@pytest.fixture(scope="module")
def racer(splits: Splits) -> Racer:
    recipe = replace(default_recipe("mlp-256", "digits"), epochs=2)
    return Racer(splits.train, splits.validation, "mlp-256", recipe, student="cnn-16")


def test_the_mean_of_the_parts_is_the_metric() -> None:
    generator = np.random.default_rng(0)
    labels, predicted = generator.integers(0, 5, 300), generator.integers(0, 6, 300)
    part = np.arange(300) % 20
    scores = part_scores("macro_f1", labels, predicted, part)
    assert len(scores) == 20
    assert scores.mean() == pytest.approx(f1_score(labels, predicted, average="macro"))
    accuracy = part_scores("accuracy", labels, predicted, part)
    assert accuracy == pytest.approx([(labels == predicted)[part == one].mean() for one in range(20)])


def test_the_spread_of_the_parts_is_that_of_the_metric_over_samples() -> None:
    """Standard errors of macro F1 over 400 samples of 500 examples, and by the parts of each."""
    generator, means, errors = np.random.default_rng(0), [], []
    for _ in range(400):
        labels = generator.choice(3, 500, p=[0.6, 0.3, 0.1])
        predicted = np.where(generator.random(500) < 0.7, labels, generator.integers(0, 3, 500))
        scores = part_scores("macro_f1", labels, predicted, np.arange(500) % 20)
        means.append(scores.mean())
        errors.append(scores.std(ddof=1) / np.sqrt(20))
    assert np.mean(errors) == pytest.approx(np.std(means), rel=0.15)


def test_a_racer_is_a_judge_of_ids_and_of_schedules(splits: Splits, racer: Racer) -> None:
    ids = splits.train.ids[::5]
    scores = racer(ids, 3)
    assert scores.shape == (20,)
    assert (racer(ids, 3) == scores).all()
    assert (racer(ids, 4) != scores).any()
    fresh = racer(DisjointRandom(splits.train.ids, 200, 0), 3)
    assert fresh.shape == (20,)
    assert (fresh != scores).any()


def test_its_cost_is_counted_in_trainings_of_the_student(splits: Splits, racer: Racer) -> None:
    small = forward_flops(build("mlp-256", 10, splits.train.inputs, 0), splits.train.inputs)
    large = forward_flops(build("cnn-16", 10, splits.train.inputs, 0), splits.train.inputs)
    own = 3 * small * 2 * 100 + small * len(splits.validation)
    assert racer.cost(100) == pytest.approx(own / (3 * large * 20 * len(splits.train)))
    assert racer.told == f"mlp-256, 2 epochs, macro F1 of {len(splits.validation)} held-out examples"


def test_a_race_with_a_racer_chooses_examples(splits: Splits, racer: Racer) -> None:
    generator = np.random.default_rng(0)
    datamap = tm.map_from_table(
        {
            "id": splits.train.ids,
            "label": splits.train.y,
            "confidence": generator.random(len(splits.train)),
            "variability": generator.random(len(splits.train)) / 2,
        },
        epochs=3,
    )
    race = tm.race(datamap, 100, racer, candidates=["cut", "easy"], seeds=1, confirm=2, limit=2.0)
    assert race.spent <= 2.0 * race.facts.saved
    assert len(race.selection) == 100
    assert race.facts.judge == racer.told


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"metric": "f1"}, "unknown metric 'f1'"),
        ({"parts": 10**6}, "parts must be 1 to"),
        ({"parts": 0}, "parts must be"),
        ({"model": "nosuch"}, "unknown model"),
        ({"student": "text-64"}, "does not take"),
    ],
)
def test_what_cannot_be_is_refused(splits: Splits, change: dict[str, object], said: str) -> None:
    given = {"train": splits.train, "held_out": splits.validation, "model": "mlp-256", **change}
    with pytest.raises(tm.TrainmapError, match=said):
        Racer(**given)  # type: ignore[arg-type]
