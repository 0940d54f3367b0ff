"""Rules that every entry of the table of schedules keeps: its options say what it is."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest

import trainmap as tm
from trainmap.errors import TrainmapError
from trainmap.experiments.file.way_sections import NAMED, Schedule
from trainmap.schedules import (
    SCHEDULES,
    DisjointRandom,
    IndependentRandom,
    Options,
    RepeatedRandom,
    Run,
    check_schedule,
)
from trainmap.schedules.options import needed

N, EPOCHS = 600, 10
IDS = np.arange(N) * 2
FAMILY = sorted(SCHEDULES)
DRAWN = [name for name in FAMILY if not SCHEDULES[name].in_batches]
MUST: dict[str, Any] = {"size": 0.25, "model": "mlp-8"}

MakeMap = Callable[..., tm.DataMap]


def options_of(name: str, **given: Any) -> Options:
    """By its defaults, with a value for what must be given."""
    return SCHEDULES[name](**{one.name: MUST[one.name] for one in fields(SCHEDULES[name]) if needed(one)} | given)


@pytest.fixture
def run(make_map: MakeMap) -> Run:
    datamap = make_map(N, ids=IDS, labels=np.arange(N) % 4)
    return Run(IDS, EPOCHS, 3, datamap, held_out=0.95, network=lambda options: options)


def visited(schedule: Any) -> list[tuple[list[int], list[float]]]:
    """What a training visits, with its weights."""
    found = []
    for epoch in range(EPOCHS):
        visit = schedule.plan(epoch)
        found.append((visit.ids.tolist(), visit.weights_of(visit.ids).tolist()))
        logits = np.random.default_rng(epoch).normal(size=(N, 4))[visit.ids // 2]
        schedule.update(visit.ids, logits, visit.ids // 2 % 4)
        schedule.end_epoch()
    return found


@pytest.mark.parametrize("name", FAMILY)
def test_an_entry_is_frozen_and_says_what_it_is(name: str) -> None:
    way = SCHEDULES[name]
    assert way.source
    assert way.__doc__
    assert all(one.metadata["description"] for one in fields(way))
    options: Any = options_of(name)
    with pytest.raises(FrozenInstanceError):
        setattr(options, fields(way)[0].name, 0.1)


def wrong_values() -> list[tuple[str, str, Any]]:
    """Of every option of every schedule: another type, and what lies outside its limits."""
    found: list[tuple[str, str, Any]] = []
    for name in FAMILY:
        types = get_type_hints(SCHEDULES[name])
        for one in fields(SCHEDULES[name]):
            about, kind = one.metadata, types[one.name]
            bad: list[Any] = [None, [0.5], b"x", math.nan]
            bad += [] if kind is str else ["", "x", "0.5"]
            bad += [0, 1, 0.5] if kind in (bool, str) or get_args(kind) else [True, math.inf, -0.1, 10**400]
            if kind is int:
                bad = [value for value in bad if value != 10**400] + [1.0, about["ge"] - 1]
            bad += [about[limit] for limit in ("gt", "lt") if limit in about]
            bad += [about["le"] + 0.01] if "le" in about else []
            found += [(name, one.name, value) for value in bad]
    return found


@pytest.mark.parametrize(("name", "option", "value"), wrong_values())
def test_an_option_outside_its_limits_is_refused_by_name(name: str, option: str, value: Any) -> None:
    with pytest.raises(TrainmapError, match=rf"^{option} must be .*, got "):
        options_of(name, **{option: value})


@pytest.mark.parametrize("name", FAMILY)
def test_the_ends_of_the_limits_are_within_them(name: str) -> None:
    for one in fields(SCHEDULES[name]):
        for limit in ("ge", "le"):
            if limit in one.metadata:
                options_of(name, **{one.name: one.metadata[limit]})


@pytest.mark.parametrize("name", sorted(NAMED))
def test_an_experiment_file_has_its_options_its_defaults_and_its_name(name: str) -> None:
    given = {one.name: MUST[one.name] for one in fields(SCHEDULES[name]) if needed(one)}
    section = Schedule(name=name, **given)
    options = options_of(name)
    old = [one.name for one in fields(options) if not one.metadata["newer"]]
    assert section.settled() == {"name": name, **{option: getattr(options, option) for option in old}}
    assert list(section.settled()) == ["name", *old]
    assert section.made() == options
    for one in fields(options):
        if one.metadata["newer"]:  # its default is not written down, so that finished runs are found again
            assert Schedule(name=name, **given, **{one.name: one.default}).settled() == section.settled()
            half = float(one.default) / 2  # type: ignore[arg-type]
            other = Schedule(name=name, **given, **{one.name: half})
            assert other.settled() == {**section.settled(), one.name: half}
            assert other.told() == f"{name}, {one.name} {half:g}"
    for missing in given:
        with pytest.raises(ValueError, match=f"{name} needs '{missing}'"):
            Schedule(name=name)
    strange, value = ("ratio", 0.5) if hasattr(options, "axis") else ("axis", "hard")
    with pytest.raises(ValueError, match=f"{name} has no '{strange}'; it takes"):
        Schedule(name=name, **given, **{strange: value})


def test_repeated_auto_is_a_row_by_itself_and_no_schedule_of_a_file() -> None:
    assert set(SCHEDULES) - set(NAMED) == {"repeated-auto"}


@pytest.mark.parametrize("name", DRAWN)
def test_it_is_made_for_a_run_and_draws_the_same_again(run: Run, name: str) -> None:
    first, again = (options_of(name).make(run) for _ in range(2))
    check_schedule(first)
    assert visited(first) == visited(again)
    other = options_of(name).make(Run(IDS, EPOCHS, 4, run.datamap, run.held_out))
    alike = name == "curriculum"  # the map alone says who comes first
    assert (visited(other) == visited(options_of(name).make(run))) == alike


@pytest.mark.parametrize("name", FAMILY)
def test_what_it_needs_of_a_run_it_says(name: str) -> None:
    bare, options = Run(IDS, EPOCHS, 3), options_of(name)
    if options.reads_map or options.in_batches:
        with pytest.raises(TrainmapError, match="there is none"):
            options.make(bare)
    else:
        options.make(bare)


@pytest.mark.parametrize("name", [name for name in DRAWN if not SCHEDULES[name].guessed])
def test_the_expected_visits_are_those_of_the_schedule(run: Run, name: str) -> None:
    options = options_of(name)
    mean = np.mean([len(ids) for ids, _ in visited(options.make(run))])
    assert options.visits(N, EPOCHS) == pytest.approx(mean, abs=1)


ANNEALED = [name for name in DRAWN if any(one.name == "anneal" for one in fields(SCHEDULES[name]))]


@pytest.mark.parametrize("name", ANNEALED)
@pytest.mark.parametrize("anneal", [0, 0.05, 0.5, 0.75, 0.875, 1])
def test_from_its_share_of_the_epochs_on_everything_is_visited(run: Run, name: str, anneal: float) -> None:
    options = options_of(name, anneal=anneal)
    found = [len(set(ids)) for ids, _ in visited(options.make(run))]
    all_of_them = N - round(getattr(options, "ratio", 0) * N) if name == "seta" else N
    assert found[math.ceil(anneal * EPOCHS) :] == [all_of_them] * (EPOCHS - math.ceil(anneal * EPOCHS))
    if not options.guessed:
        assert options.visits(N, EPOCHS) == pytest.approx(np.mean(found), abs=1)
        assert sum(count == N for count in found) == options.whole_epochs(EPOCHS)


@pytest.mark.parametrize("name", FAMILY)
def test_the_expected_visits_are_some_and_no_more_than_all(name: str) -> None:
    for examples in (1, 7, 50_000):
        for epochs in (1, 2, 90):
            assert 1 <= options_of(name).visits(examples, epochs) <= examples


def test_the_two_kinds_of_repeated_random_are_what_their_names_say() -> None:
    for seed in (0, 5):
        apart, disjoint = IndependentRandom(IDS, 200, seed), DisjointRandom(IDS, 200, seed)
        assert visited(apart) == visited(RepeatedRandom(IDS, 200, seed, replacement=True))
        assert visited(disjoint) == visited(RepeatedRandom(IDS, 200, seed))
        parts = [set(disjoint.plan(epoch).ids.tolist()) for epoch in range(3)]
        assert set.union(*parts) == set(IDS.tolist())
        assert len(set(apart.plan(0).ids.tolist()) & set(apart.plan(1).ids.tolist())) > 20


GOLDEN = {
    "align-prune": "71bf7ffce214",  # of ten epochs InfoBatch, until all ten are over
    "curriculum": "9a71c1684211",
    "disjoint-random": "31f558150c55",
    "independent-random": "5e7adda60a8f",
    "infobatch": "71bf7ffce214",
    "map-guided": "4a28db60fba4",
    "ordered-loss": "b45a23bcba66",
    "repb": "e77eed429ab6",
    "repeated-auto": "31f558150c55",  # repeated random, where the map says nothing
    "repeated-random": "31f558150c55",
    "seta": "f6b2a67f1d97",
}


@pytest.mark.parametrize("name", DRAWN)
def test_draws_are_those_of_the_first_version(run: Run, name: str) -> None:
    assert digest(options_of(name).make(run)) == GOLDEN[name]


def digest(schedule: Any) -> str:
    return hashlib.sha256(str(visited(schedule)).encode()).hexdigest()[:12]


def test_schedules_can_be_imported_without_torch() -> None:
    code = "import sys, trainmap.schedules; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
