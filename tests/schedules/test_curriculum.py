"""The order of a map made elsewhere, as fast as the pacing says."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, TensorDataset

import trainmap as tm
from trainmap.data.dataset import Dataset
from trainmap.errors import TrainmapError
from trainmap.models.build import build
from trainmap.schedules import PACINGS, Curriculum, Run, ScheduleSampler, random_ranking, ranking_of
from trainmap.schedules.curriculum import CurriculumOptions
from trainmap.training import Recipe
from trainmap.training.fit import fit
from trainmap.training.watching import Watching

MakeMap = Callable[..., tm.DataMap]
WRONG: Any = lambda value: value  # noqa: E731  (a value that its type forbids)
RANKING = [5, 3, 9, 1, 7, 2, 8, 4, 0, 6]


def planned(schedule: Curriculum, epochs: int) -> list[list[int]]:
    return [schedule.plan(epoch).ids.tolist() for epoch in range(epochs)]


def test_a_curriculum_by_hand() -> None:
    schedule = Curriculum(RANKING, epochs=4, start=0.2, until=0.5)  # shares 0.2, 0.6, 1, 1
    assert planned(schedule, 5) == [[3, 5], [1, 2, 3, 5, 7, 9], *[list(range(10))] * 3]
    assert schedule.plan(1).weights is None


def test_weights_fall_with_the_rank_and_become_equal() -> None:
    schedule = Curriculum(RANKING, epochs=2, start=0.1, until=1.0, pacing="step", weigh=True)
    visit = schedule.plan(0)
    assert visit.ids.tolist() == list(range(10))
    weights = visit.weights_of(RANKING)
    assert weights / weights[0] == pytest.approx(np.linspace(1, 0.1, 10))
    assert weights.mean() == pytest.approx(1)
    assert schedule.plan(2).weights is None


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 60), st.integers(1, 12), st.sampled_from(list(PACINGS)), st.floats(1e-3, 1), st.floats(1e-3, 2),
    st.booleans(),
)  # fmt: skip
def test_epochs_grow_and_the_expected_visits_are_those(
    examples: int, epochs: int, pacing: Any, start: float, until: float, weigh: bool
) -> None:
    ranking = np.random.default_rng(examples).permutation(examples)
    schedule = Curriculum(ranking, epochs, pacing, start, until, weigh)
    visits = [schedule.plan(epoch) for epoch in range(epochs)]
    assert all(set(a.ids) <= set(b.ids) for a, b in pairwise(visits))
    assert all(visit.weights_of(visit.ids).min() > 0 for visit in visits)
    options = CurriculumOptions(pacing=pacing, start=start, until=until, weigh=weigh)
    assert options.visits(examples, epochs) == max(1, round(sum(map(len, visits)) / epochs))


def test_one_example_and_one_epoch_are_enough() -> None:
    for weigh in (False, True):
        assert planned(Curriculum(["only"], epochs=1, weigh=weigh), 2) == [["only"], ["only"]]


@pytest.fixture
def datamap(make_map: MakeMap) -> tm.DataMap:
    """Twelve examples of two classes, four and eight; confidence falls with the id, and class 0 is the easy one."""
    return make_map(
        12,
        labels=(np.arange(12) > 3).astype(int),
        ids=np.arange(12),
        confidence=np.linspace(1, 0, 12),
        variability=np.arange(12) % 6 / 12,
        loss=np.linspace(0, 1, 12),
        mine=np.zeros(12),
    )


def test_the_end_that_is_hard_follows_from_the_score(datamap: tm.DataMap) -> None:
    easy = list(range(12))
    assert ranking_of(datamap, by_class=False).tolist() == easy
    assert ranking_of(datamap, "hard-to-easy", by_class=False).tolist() == easy[::-1]
    assert ranking_of(datamap, "easy-to-hard", "loss", by_class=False).tolist() == easy
    assert ranking_of(datamap, "hard-to-easy", "loss", by_class=False).tolist() == easy[::-1]
    assert set(ranking_of(datamap, "ambiguous-first", by_class=False).tolist()[:2]) == {5, 11}


def test_every_class_has_its_share_of_any_first_n(datamap: tm.DataMap) -> None:
    random = random_ranking(datamap.ids, 3, datamap.labels)
    for ranking in (ranking_of(datamap), ranking_of(datamap, "ambiguous-first"), random):
        assert sorted(ranking.tolist()) == list(range(12))
        for n in range(1, 13):
            assert abs((ranking[:n] < 4).sum() - n / 3) <= 1
    assert [i for i in ranking_of(datamap).tolist() if i > 3] == list(range(4, 12))  # within a class as before


def test_what_a_score_does_not_know_comes_last(datamap: tm.DataMap) -> None:
    values = np.where(np.arange(12) == 0, np.nan, datamap.values("confidence"))
    holes = replace(datamap, table=datamap.table.with_columns(confidence=pl.Series(values)))
    for order in ("easy-to-hard", "hard-to-easy"):
        assert ranking_of(holes, order, by_class=False)[-1] == 0


def test_random_order_depends_on_the_seed_alone() -> None:
    ids, labels = np.arange(30) * 2, np.arange(30) % 3
    mixed = np.random.default_rng(1).permutation(30)
    for told in (None, labels):
        one = random_ranking(ids, 4, told)
        assert one.tolist() == random_ranking(ids[mixed], 4, None if told is None else told[mixed]).tolist()
        assert one.tolist() != random_ranking(ids, 5, told).tolist()


def test_its_options_make_the_order_that_they_say(datamap: tm.DataMap) -> None:
    run = Run(datamap.ids, 4, 7, datamap, labels=datamap.labels)
    for order in ("easy-to-hard", "hard-to-easy", "ambiguous-first"):
        made = CurriculumOptions(order, start=0.5).make(run)
        assert planned(made, 4) == planned(Curriculum(ranking_of(datamap, order), 4, start=0.5), 4)
    assert planned(CurriculumOptions(score="loss", by_class=False).make(run), 4)[0] == [0, 1]
    random = CurriculumOptions("random", by_class=False)
    assert random.make(Run(datamap.ids, 4, 7)).order == Curriculum(random_ranking(datamap.ids, 7), 4).order
    assert not random.needs_map
    assert random.opponent is None
    paced = CurriculumOptions("hard-to-easy", "loss", "root", 0.3, 0.6, True, False)
    assert paced.opponent == CurriculumOptions("random", "confidence", "root", 0.3, 0.6, True, False)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda _: Curriculum([], 3), "ids must be unique and at least one"),
        (lambda _: Curriculum([1, 1], 3), "ids must be unique"),
        (lambda _: Curriculum([1, 2], 0), "epochs must be a whole number of at least 1"),
        (lambda _: Curriculum([1, 2], 3, pacing=WRONG("fast")), "pacing must be 'linear', .* or 'log', got 'fast'"),
        (lambda _: Curriculum([1, 2], 3, start=0), "start must be above 0 to 1, got 0"),
        (lambda _: Curriculum([1, 2], 3, until=2.5), "until must be above 0 to 2, got 2.5"),
        (lambda _: Curriculum([1, 2], 3, weigh=WRONG(1)), "weigh must be true or false, got 1"),
        (lambda _: Curriculum([1, 2], 3).plan(-1), "epoch must be a whole number"),
        (lambda _: Curriculum([1, 2], 3).restore({"x": np.zeros(2)}), "saved by another one"),
        (lambda _: random_ranking([1, 1]), "ids must be unique"),
        (lambda _: random_ranking([1, 2], -1), "seed must be a whole number"),
        (lambda _: random_ranking([1, 2], 0, [0]), "labels must be one for each id, got 1 for 2"),
        (lambda m: ranking_of(m, WRONG("random")), "order must be one by the map, got 'random'"),
        (lambda m: ranking_of(m, WRONG("backwards")), "order must be 'easy-to-hard', .*got 'backwards'"),
        (lambda m: ranking_of(m, score="mine"), "which end of 'mine' is hard is not known"),
        (lambda m: ranking_of(m, score="lost"), "lost"),
        (lambda m: ranking_of(m, "ambiguous-first", "loss"), "score goes with easy-to-hard and hard-to-easy, got loss"),
        (lambda m: ranking_of(replace(m, epochs=1), "ambiguous-first"), "variability needs a map of at least 2 epochs"),
        (lambda m: ranking_of(replace(m, epochs=1), score="variability"), "variability needs a map of at least 2"),
        (lambda _: CurriculumOptions(score="el2m"), "unknown score 'el2m'; did you mean 'el2n'"),
        (lambda _: CurriculumOptions("random", "loss"), "score goes with easy-to-hard and hard-to-easy, got loss"),
        (lambda m: CurriculumOptions("random").make(Run(m.ids, 3, 0)), "by the labels; there is none"),
    ],
)
def test_what_cannot_be_is_refused_by_name(datamap: tm.DataMap, wrong: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(TrainmapError, match=message):
        wrong(datamap)


def test_a_loader_of_anyones_goes_through_it_and_a_stopped_epoch_goes_on() -> None:
    ids = np.array(RANKING)
    data = TensorDataset(torch.from_numpy(ids))

    def sampler(ranking: list[int] = RANKING) -> ScheduleSampler:
        return ScheduleSampler(Curriculum(ranking, 4, start=0.3), ids, seed=1)

    whole, first, second = sampler(), sampler(), sampler()
    epochs = [[int(i) for (batch,) in DataLoader(data, 2, sampler=whole) for i in batch] for _ in range(4)]
    assert [sorted(epoch) for epoch in epochs] == planned(Curriculum(RANKING, 4, start=0.3), 4)
    list(first)
    start = [index for index, _ in zip(iter(first), range(2), strict=False)]
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    rest = list(second)
    assert [RANKING[index] for index in start] == epochs[1][: len(start)]
    assert [RANKING[index] for index in rest] == epochs[1][-len(rest) :]
    with pytest.raises(TrainmapError, match="goes on with the sampler that it was taken from"):
        sampler(RANKING[::-1]).load_state_dict(first.state_dict())


@pytest.mark.parametrize("weigh", [False, True])
def test_a_run_of_fit_that_is_interrupted_ends_as_the_whole_one(tmp_path: Path, weigh: bool) -> None:
    generator = np.random.default_rng(0)
    x, y = generator.integers(0, 256, (60, 1, 8, 8), np.uint8), generator.integers(0, 3, 60)
    train = Dataset("toy", np.arange(60), x, y, 3)

    def run(file: str, stop: int, ranking_seed: int = 1) -> tuple[Any, Any]:
        model = build("mlp-256", 3, train.inputs, seed=0)
        curriculum = Curriculum(random_ranking(train.ids, ranking_seed), 4, start=0.25, until=1.0, weigh=weigh)
        watching = Watching(on_epoch=lambda epoch, _: epoch + 1 == stop)
        recipe = Recipe(epochs=4, batch=16, peak_lr=0.05)
        result = fit(model, train, recipe, seed=0, visits=curriculum, watching=watching, checkpoint=tmp_path / file)
        return result, model.state_dict()

    (result, whole), (part, _) = run("whole.pt", 4), run("part.pt", 2)
    assert (part.epochs, result.examples_seen) == (2, 240 if weigh else 15 + 26 + 38 + 49)
    with pytest.raises(TrainmapError, match="schedule"):
        run("part.pt", 4, ranking_seed=2)
    again = run("part.pt", 4)[1]
    assert all(torch.equal(again[name], value) for name, value in whole.items())
