"""Clients with wrong labels: what each detector says of them by hand, and in a small run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.federated.clients_of import RECIPE, parts_of_digits, small

from trainmap.data import load_splits
from trainmap.errors import TrainmapError
from trainmap.evaluation.metrics import evaluate
from trainmap.federated import DETECTORS, Client, Evidence, Noise, Round, detected, judging, noisy, weights_of
from trainmap.federated.histograms import CONFIDENCE, SHAPE, histogram, possible
from trainmap.federated.noisy_clients import WORST, high_loss, low_accuracy
from trainmap.models.build import build
from trainmap.models.predict import predict


def maps_of(kinds: Any, seed: int = 0, examples: int = 500) -> Any:
    """Histograms of clients of which so large a share of the examples is not believed."""
    random, made = np.random.default_rng(seed), []
    for wrong in kinds:
        confidence = np.where(random.random(examples) < wrong, 0.1, 0.9) * random.uniform(0.8, 1.1, examples)
        most = np.sqrt(confidence * (1 - confidence))
        made.append(histogram(confidence, most * random.uniform(0, 0.3, examples)))
    return np.array(made, dtype=np.float64)


def evidence(kinds: Any = (0.0, 0.4, 0.05, 0.3), seed: int = 0) -> Evidence:
    random = np.random.default_rng(seed)
    wrong = np.asarray(kinds) + random.normal(0, 0.01, (8, len(kinds)))
    return Evidence(maps_of(kinds, seed), 0.5 + wrong, 0.9 - wrong)


@pytest.mark.parametrize("name", DETECTORS)
def test_every_detector_suspects_the_clients_with_wrong_labels_whatever_their_numbers(name: str) -> None:
    found = evidence()
    score = DETECTORS[name].score(found)
    assert score.shape == (4,)
    assert sorted(np.argsort(score)[-2:].tolist()) == [1, 3]
    assert detected(found, [1, 3])[name] == 1.0
    assert detected(found, [0, 2])[name] == 0.0
    order = [3, 0, 2, 1]
    assert found.histograms is not None
    assert found.losses is not None
    assert found.accuracies is not None
    moved = Evidence(found.histograms[order], found.losses[:, order], found.accuracies[:, order])
    np.testing.assert_allclose(DETECTORS[name].score(moved), score[order])


@pytest.mark.parametrize("name", [name for name, one in DETECTORS.items() if one.reads == "maps"])
def test_a_detector_of_maps_does_not_ask_how_many_examples_a_client_has_and_outlasts_noise(name: str) -> None:
    plain = maps_of([0.0, 0.4, 0.05, 0.3])
    score = DETECTORS[name].score(Evidence(plain))
    if name != "low ranks":  # of all examples together
        np.testing.assert_allclose(
            DETECTORS[name].score(Evidence(plain * np.array([1, 7, 3, 2])[:, None, None])), score
        )
    noise = np.random.default_rng(0).normal(0, 2, plain.shape)
    assert detected(Evidence(plain + noise), [1, 3])[name] == 1.0
    lost = DETECTORS[name].score(Evidence(np.stack([plain[0], -np.ones(SHAPE)])))
    assert np.isfinite(lost).all()
    elsewhere = np.where(possible(), 0, 1e6)  # noise in a bin that no example can be in
    np.testing.assert_allclose(DETECTORS[name].score(Evidence(plain + elsewhere)), score)


def test_the_scores_of_maps_by_hand() -> None:
    counts = np.zeros((2, *SHAPE))
    counts[0, 23, 0], counts[0, 0, 0] = 3, 1  # three of four are known by heart, one is in the hard corner
    counts[1, 23, 0], counts[1, 11, 14] = 2, 2  # two are ambiguous
    high, low, middle = ((CONFIDENCE[at] + CONFIDENCE[at + 1]) / 2 for at in (23, 0, 11))
    given = Evidence(counts)
    np.testing.assert_allclose(
        DETECTORS["low confidence"].score(given), 1 - np.array([3 * high + low, 2 * (high + middle)]) / 4
    )
    np.testing.assert_allclose(DETECTORS["hard corner"].score(given), [0.25, 0])
    # of the eight, from the top: five share the places 0 to 5, two 5 to 7, one 7 to 8
    np.testing.assert_allclose(DETECTORS["low ranks"].score(given), [(3 * 2.5 + 7.5) / 32, (2 * 2.5 + 2 * 6) / 32])


def test_the_number_of_examples_that_a_client_says_outlasts_more_noise() -> None:
    plain, examples = maps_of([0.0, 0.4, 0.05, 0.3], examples=150), np.full(4, 150.0)
    for name in ("low confidence", "low ranks", "hard corner"):
        score = DETECTORS[name].score
        np.testing.assert_allclose(score(Evidence(plain, examples=examples)), score(Evidence(plain)), atol=1e-12)
        some_said = Evidence(plain, examples=np.array([150, np.nan, 150, np.nan]))
        np.testing.assert_allclose(score(some_said), score(Evidence(plain)), atol=1e-12)
    random, areas = np.random.default_rng(0), []
    for _ in range(20):
        told = plain + random.normal(0, 4, plain.shape)
        areas.append([detected(Evidence(told, examples=said), [1, 3])["low confidence"] for said in (examples, None)])
    said, unsaid = np.mean(areas, axis=0)
    assert said > unsaid + 0.05


def test_a_client_is_compared_with_those_of_its_rounds() -> None:
    nan = np.nan
    losses = np.array([[3.0, 2.0, nan, nan], [nan, 1.0, 0.5, nan], [0.4, nan, 0.6, nan]])
    given = Evidence(losses=losses, accuracies=1 - losses / 4)
    # medians 2.5, 0.75, 0.5; the last client was never judged: the median of the others
    expected = [(0.5 - 0.1) / 2, (-0.5 + 0.25) / 2, (-0.25 + 0.1) / 2]
    np.testing.assert_allclose(high_loss(given), [*expected, np.median(expected)])
    np.testing.assert_allclose(low_accuracy(given), np.array([*expected, np.median(expected)]) / 4)


def test_the_area_is_the_chance_that_a_noisy_client_is_suspected_more() -> None:
    found = evidence((0.1, 0.12, 0.2, 0.09, 0.25, 0.16), seed=3)
    noisy_ones, clean = [1, 3, 4], [0, 2, 5]
    for name, area in detected(found, noisy_ones).items():
        score = DETECTORS[name].score(found)
        wins = [(score[a] > score[b]) + (score[a] == score[b]) / 2 for a in noisy_ones for b in clean]
        assert area == pytest.approx(np.mean(wins))


def test_only_what_there_is_evidence_for_is_said() -> None:
    assert detected(Evidence(maps_of([0.0, 0.4])), [1]).keys() == {"low confidence", "low ranks", "hard corner"}
    assert detected(Evidence(losses=np.ones((1, 2)), accuracies=np.ones((1, 2))), [1]) == {
        "high loss": 0.5,
        "low accuracy": 0.5,
    }


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: Evidence(), "evidence must be of the same clients"),
        (lambda: Evidence(maps_of([0.0]), np.ones((3, 2)), np.ones((3, 2))), "the same clients"),
        (lambda: Evidence(maps_of([0.0]), examples=np.ones(2)), "the same clients"),
        (lambda: Evidence(np.ones((2, 3, 3))), r"histograms must be \(K, 24, 16\) numbers"),
        (lambda: Evidence(losses=np.full((3, 2), np.nan)), r"losses and accuracies must be \(T, K\) numbers"),
        (lambda: detected(evidence(), []), "some of the 4 clients, not all, must be noisy, got none"),
        (lambda: detected(evidence(), range(4)), "not all, must be noisy"),
        (lambda: detected(evidence(), [4]), "some of the 4 clients"),
        (lambda: DETECTORS["hard corner"].score(Evidence(losses=np.ones((1, 2)))), "there are no histograms"),
        (lambda: DETECTORS["high loss"].score(Evidence(maps_of([0.0]))), "none were judged"),
    ],
)
def test_evidence_that_says_nothing_is_refused(make: Any, why: str) -> None:
    with pytest.raises(TrainmapError, match=why):
        make()


def test_rounds_without_a_judge_are_passed_over() -> None:
    rounds = [Round(0, {}), Round(1, {}, judged={"1": {"loss": 2.0, "accuracy": 0.5}}), Round(2, {})]
    found = Evidence.of(3, rounds)
    np.testing.assert_array_equal(found.losses, [[np.nan, 2.0, np.nan]])
    np.testing.assert_array_equal(found.accuracies, [[np.nan, 0.5, np.nan]])
    assert found.examples is None
    told = [*rounds, Round(3, {}, clients={"2": {"examples": 7, "kept": 3, "mapped": 0}})]
    np.testing.assert_array_equal(Evidence.of(3, told).examples, [np.nan, np.nan, 7])


def test_the_server_judges_every_clients_own_network_and_keeps_it_over_a_kill(tmp_path: Path) -> None:
    def start(name: str) -> Any:
        run = small(tmp_path / name, rounds=3, participation=0.67)
        return run, judging(build(run.model, 10, run.data[0].inputs, 0), load_splits("digits").validation)

    run, judge = start("whole")
    whole = run.run(judge=judge)
    assert [one.judged.keys() for one in whole.rounds] == [one.clients.keys() for one in whole.rounds]
    first = weights_of(build(run.model, 10, run.data[0].inputs, 0))
    again, _ = start("again")
    for number, said in whole.rounds[1].judged.items():
        assert said == judge(again.clients[int(number)].train(first, 1)[0])
    plain, _ = start("plain")
    assert [one.metrics for one in plain.run().rounds] == [one.metrics for one in whole.rounds]

    class Killed(Exception):
        pass

    def stop(one: Round) -> None:
        if one.number == 2:
            raise Killed

    cut, judge = start("cut")
    with pytest.raises(Killed):
        cut.run(judge=judge, file=tmp_path / "state.pt", on_round=stop)
    after, judge = start("cut")
    resumed = after.run(judge=judge, file=tmp_path / "state.pt")
    assert [one.judged for one in resumed.rounds] == [one.judged for one in whole.rounds]


def test_a_judge_says_loss_and_accuracy_and_of_a_network_that_is_beyond_numbers_the_worst() -> None:
    data = load_splits("digits").validation
    network = build("mlp-256", 10, data.inputs, 0)
    judge, weights = judging(network, data), weights_of(network)
    found = judge(weights)
    expected = evaluate(predict(network, data), data.y)
    assert found == {"loss": expected.loss, "accuracy": expected.accuracy}
    assert judge({name: value * 1e30 for name, value in weights.items()}) == {"loss": WORST, "accuracy": 0.0}


def test_noisy_clients_of_a_small_run_are_found_by_their_maps(tmp_path: Path) -> None:
    run = small(tmp_path, sizes=(80,) * 5, rounds=4, local_epochs=2)
    ids = [data.ids for data in run.data]
    who, labels = noisy(ids, [data.y for data in run.data], 10, Noise(0.4, 0.5), seed=1)
    for number, (data, y) in enumerate(zip(parts_of_digits((80,) * 5), labels, strict=True)):
        run.clients[number] = Client(
            number, replace(data, y=y), run.model, RECIPE, run.federation, tmp_path / str(number)
        )
    network = build(run.model, 10, run.data[0].inputs, 0)
    outcome = run.run(judge=judging(network, load_splits("digits").validation))
    maps = [client.map(4) for client in run.clients]
    assert not any(one is None for one in maps)
    counts = [histogram(one.values("confidence"), one.values("variability")) for one in maps if one is not None]
    found = detected(Evidence.of(5, outcome.rounds, counts), who.tolist())
    assert found["low confidence"] == found["low ranks"] == 1.0
    assert found.keys() == DETECTORS.keys()
