"""The noise on what clients tell, what it spends, and that nobody can ask for more than was accounted for."""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dp_accounting.pld.privacy_loss_distribution import from_discrete_gaussian_mechanism
from flwr.app import Array, ArrayRecord, Message
from scipy import stats
from tests.federated.clients_of import RECIPE, parts_of_digits, small

from trainmap.errors import StoreError, TrainmapError
from trainmap.federated import Choice, Client, Federation, Privacy, Recording
from trainmap.federated.client import Declined
from trainmap.federated.discrete_noise import discrete_gaussian
from trainmap.federated.global_thresholds import thresholds
from trainmap.federated.histograms import SHAPE
from trainmap.federated.ledger import Ledger
from trainmap.federated.messages import HISTOGRAM, HISTOGRAMS, histogram_in
from trainmap.federated.privacy import LEAST, multiplier, noised, randomness, share, spent, variance

GLOBAL = Choice("33% ambiguous", bounds="global")


def density(over: Fraction | float, reach: int) -> Any:
    """The discrete Gaussian as its formula has it, from -reach to reach."""
    values = np.exp(-(np.arange(-reach, reach + 1.0) ** 2) / (2 * float(over)))
    return values / values.sum()


@pytest.mark.parametrize("over", [Fraction(1, 5), Fraction(1), Fraction(37, 4), Fraction(400)])
def test_noise_is_of_the_discrete_gaussian(over: Fraction) -> None:
    count, reach = 6000, int(8 * math.sqrt(over)) + 2
    drawn = Counter(discrete_gaussian(over, count, random.Random(0)).tolist())
    expected = density(over, reach) * count
    seen = np.array([drawn[value] for value in range(-reach, reach + 1)])
    assert seen.sum() == count
    often = expected >= 5
    left = expected[~often].sum(), seen[~often].sum()
    enough = left[0] >= 5
    test = stats.chisquare(
        np.append(seen[often], left[1])[: None if enough else -1],
        np.append(expected[often], left[0])[: None if enough else -1]
        * (1 if enough else seen[often].sum() / expected[often].sum()),
    )
    assert test.pvalue > 0.001


def test_the_operating_system_draws_another_noise_every_time_and_a_seed_the_same() -> None:
    exact = np.zeros(SHAPE, np.int64)

    def drawn(kind: Any, number: int = 0, round_number: int = 3) -> Any:
        return noised(exact, Fraction(100), randomness(kind, 7, number, round_number))

    assert (drawn("system") != drawn("system")).any()
    assert (drawn("seed") == drawn("seed")).all()
    assert (drawn("seed") != drawn("seed", number=1)).any()
    assert (drawn("seed") != drawn("seed", round_number=4)).any()
    assert drawn("seed").dtype == np.int64


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 8.0])
@pytest.mark.parametrize("releases", [1, 18, 200])
def test_all_releases_together_spend_what_was_allowed(epsilon: float, releases: int) -> None:
    privacy = Privacy(epsilon, 1e-5)
    assert 0.98 * epsilon < spent(privacy, releases, releases) <= epsilon
    rising = [spent(privacy, releases, told) for told in range(0, releases + 1, max(1, releases // 3))]
    assert rising[0] == 0
    assert rising == sorted(rising)
    # the exact privacy loss of the discrete Gaussian, composed: another accountant, for the noise that is really drawn
    sigma = math.sqrt(variance(privacy, releases))
    if sigma < 70:
        exact = from_discrete_gaussian_mechanism(sigma, value_discretization_interval=2e-5 if releases > 1 else 1e-3)
        assert exact.self_compose(releases).get_epsilon_for_delta(privacy.delta) <= epsilon


def test_the_multiplier_is_the_one_of_the_renyi_bound() -> None:
    # Mironov 2017 with the conversion of Canonne, Kamath, Steinke 2020, proposition 12, minimised over alpha
    privacy, releases = Privacy(1.0, 1e-5), 18
    rho = releases / (2 * multiplier(privacy, releases) ** 2)
    alphas = np.arange(1.5, 200, 0.01)
    bound = alphas * rho + np.log1p(-1 / alphas) - np.log(1e-5 * alphas) / (alphas - 1)
    assert bound.min() == pytest.approx(1.0, abs=0.01)


def test_an_epsilon_out_of_reach_is_an_error() -> None:
    with pytest.raises(TrainmapError, match="no noise makes"):
        multiplier(Privacy(1e-300, 1e-300), 1000)


@pytest.mark.parametrize("clients", [3, 7, 667])
def test_the_least_sum_that_can_be_opened_has_the_whole_noise(clients: int) -> None:
    whole = variance(Privacy(1.0, 1e-5), 18)
    part = share(whole, clients)
    assert part * clients >= whole
    assert part >= LEAST
    if clients > 7:
        return
    reach = int(12 * math.sqrt(part))
    total = one = density(part, reach)
    for _ in range(clients - 1):
        total = np.convolve(total, one)
    wanted = density(part * clients, reach * clients)
    middle = slice(reach * clients - 80, reach * clients + 81)  # four standard deviations each way
    assert np.abs(np.log(total[middle] / wanted[middle])).max() < 1e-9


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"choice": Choice("33% ambiguous")}, []),
        ({"choice": GLOBAL}, [3, 4, 5, 6, 7, 8]),
        ({"choice": Choice("33% ambiguous", bounds="mixed", warmup=4)}, [5, 6, 7, 8]),
        ({"choice": GLOBAL, "recording": Recording(every=2)}, [4, 6, 8]),
    ],
)
def test_which_rounds_tell_is_known_before_the_run(settings: dict[str, Any], told: list[int]) -> None:
    federation = Federation(rounds=8, **settings)
    assert [number for number in range(1, 9) if federation.tells(number)] == told
    assert federation.releases == len(told)


def test_a_run_tells_exactly_as_often(tmp_path: Path) -> None:
    run = small(tmp_path, (20, 15, 10), rounds=6, choice=GLOBAL, recording=Recording(every=2), privacy=Privacy(30.0))
    rounds = run.run().rounds
    asked = [
        one
        for one in run.messages
        if one.metadata.message_type == "query.histogram" and not one.metadata.reply_to_message_id
    ]
    assert len(asked) == 3 * run.federation.releases == 6
    epsilons = [one.epsilon for one in rounds[1:]]
    assert epsilons[:3] == [0.0, 0.0, 0.0]
    assert 0 < epsilons[3] == epsilons[4] < epsilons[5] <= 30.0  # type: ignore[operator]
    assert rounds[3].thresholds is None
    assert rounds[4].thresholds == rounds[5].thresholds != rounds[6].thresholds


def test_with_little_noise_the_thresholds_are_those_without_and_everything_repeats(tmp_path: Path) -> None:
    plain = small(tmp_path / "plain", rounds=4, choice=GLOBAL).run().rounds
    again = small(tmp_path / "again", rounds=4, choice=GLOBAL).run().rounds
    private = small(tmp_path / "a", rounds=4, choice=GLOBAL, privacy=Privacy(20_000.0)).run().rounds
    assert [one.thresholds for one in plain] == [one.thresholds for one in again]
    assert plain[3].thresholds == private[3].thresholds
    noisy = [small(tmp_path / name, rounds=4, choice=GLOBAL, privacy=Privacy(20.0)).run().rounds for name in "bc"]
    assert [one.thresholds for one in noisy[0]] == [one.thresholds for one in noisy[1]]
    assert noisy[0][3].thresholds != plain[3].thresholds


def ledger(folder: Path, **settings: Any) -> Ledger:
    federation = Federation(**{"rounds": 4, "choice": GLOBAL, "privacy": Privacy(), **settings})
    return Ledger(folder / "told.json", federation)


def test_what_is_told_again_is_told_with_the_same_noise(tmp_path: Path) -> None:
    exact, noise = np.arange(SHAPE[0] * SHAPE[1]).reshape(SHAPE), random.SystemRandom()
    first = ledger(tmp_path).told(3, exact, Fraction(50), noise)
    after_a_restart = ledger(tmp_path).told(3, exact, Fraction(50), noise)
    assert first is not None
    assert after_a_restart is not None
    np.testing.assert_array_equal(first, after_a_restart)
    assert (first != exact).any()


def test_no_more_is_told_than_was_accounted_for(tmp_path: Path) -> None:
    book, noise = ledger(tmp_path), random.SystemRandom()  # rounds 3 and 4 tell
    for value in (0, 1):
        assert book.told(3, np.full(SHAPE, value), Fraction(50), noise) is not None
    assert book.told(3, np.full(SHAPE, 2), Fraction(50), noise) is None
    assert book.told(4, np.full(SHAPE, 0), Fraction(50), noise) is None
    assert book.told(3, np.full(SHAPE, 1), Fraction(50), noise) is not None
    # another federation has a budget of its own
    assert ledger(tmp_path, rounds=5).told(3, np.full(SHAPE, 2), Fraction(50), noise) is not None


def test_a_damaged_ledger_is_an_error_and_tells_nothing(tmp_path: Path) -> None:
    ledger(tmp_path).told(3, np.zeros(SHAPE, np.int64), Fraction(50), random.SystemRandom())
    file = tmp_path / "told.json"
    file.write_text(file.read_text().replace("[", "", 1))
    with pytest.raises(StoreError, match=r"told\.json"):
        ledger(tmp_path).told(3, np.zeros(SHAPE, np.int64), Fraction(50), random.SystemRandom())


def test_a_client_tells_only_what_and_when_it_is_to_be_told(tmp_path: Path) -> None:
    open_one = small(tmp_path / "a", choice=GLOBAL, privacy=Privacy()).clients[0]
    with pytest.raises(Declined, match="no histogram is told in round 1"):
        open_one.histogram(1)
    with pytest.raises(Declined, match="has no secure aggregation"):
        open_one.share(3, 3)
    secret = small(tmp_path / "b", choice=GLOBAL, privacy=Privacy(secure=True)).clients[0]
    with pytest.raises(Declined, match="by secure aggregation alone"):
        secret.histogram(3)
    local = small(tmp_path / "c", choice=Choice("33% ambiguous")).clients[0]
    with pytest.raises(Declined, match="no histogram is told"):
        local.histogram(3)


def test_a_client_on_a_real_node_draws_its_noise_from_the_operating_system(tmp_path: Path) -> None:
    run = small(tmp_path, choice=GLOBAL, privacy=Privacy())
    real = Client(0, run.data[0], run.model, run.clients[0].recipe, run.federation, tmp_path / "real")
    assert real.noise == "system"
    assert run.clients[0].noise == "seed"
    told = [real.histogram(3) for _ in range(2)]
    np.testing.assert_array_equal(told[0], told[1])  # by the ledger
    assert (tmp_path / "real" / "told.json").exists()
    assert (run.clients[0].histogram(3) != told[0]).any()


def test_privacy_without_anything_to_protect_is_refused() -> None:
    with pytest.raises(TrainmapError, match="local bounds"):
        Federation(rounds=5, choice=Choice("33% ambiguous"), privacy=Privacy())


def telling(change: Any) -> Any:
    """A client that spoils its histogram."""

    def spoil(asked: Message, reply: Message) -> Message:
        if asked.metadata.message_type == HISTOGRAMS:
            counts = change(histogram_in(reply).copy())
            reply.content[HISTOGRAM] = ArrayRecord(counts if isinstance(counts, dict) else {"counts": Array(counts)})
        return reply

    return spoil


def _far(counts: Any) -> Any:
    counts[3, 3] = 10**18
    return counts


@pytest.mark.parametrize("privacy", [None, Privacy(20.0)])
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda counts: np.full(SHAPE, np.nan), "a histogram must be int64"),
        (lambda counts: counts[:1], "a histogram must be int64"),
        (_far, "counts of 15 examples must be 0 to 15, got .* to 1,000,000,000,000,000,000"),
        (lambda counts: counts - 10**6, "counts of 15 examples must be 0 to 15"),
        (lambda counts: 0 * counts + 13, "it says that it has 15 examples, and counts"),
        (lambda counts: {"counts": Array(counts), "ids": Array(np.arange(3))}, "its histogram must be counts"),
    ],
)
def test_a_broken_histogram_is_refused_by_name_and_the_thresholds_are_of_the_others(
    change: Any, why: str, privacy: Privacy | None, tmp_path: Path
) -> None:
    run = small(tmp_path, (20, 15, 10), rounds=3, choice=GLOBAL, privacy=privacy)
    told = dict[int, Any]()

    def kept(number: int) -> Any:
        def keep(asked: Message, reply: Message) -> Message:
            if asked.metadata.message_type == HISTOGRAMS:
                told[number] = histogram_in(reply)
            return reply

        return keep

    run.spoil = {0: kept(0), 1: telling(change), 2: kept(2)}
    last = run.run().rounds[-1]
    assert re.search(why, last.refused["1"])
    assert last.refused.keys() == {"1"}
    assert last.clients.keys() == {"0", "1", "2"}
    assert last.thresholds == thresholds(told[0] + told[2], GLOBAL.plan)


def test_a_run_that_was_killed_goes_on_with_the_same_thresholds_and_budget(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"rounds": 5, "choice": GLOBAL, "privacy": Privacy(20.0)}

    class Killed(Exception):
        pass

    def stop(one: Any) -> None:
        if one.number == 3:
            raise Killed

    whole = small(tmp_path / "whole", (20, 15, 10), **settings).run()
    with pytest.raises(Killed):
        small(tmp_path / "cut", (20, 15, 10), **settings).run(file=tmp_path / "state.pt", on_round=stop)
    after = small(tmp_path / "cut", (20, 15, 10), **settings).run(file=tmp_path / "state.pt")
    assert [(one.thresholds, one.epsilon) for one in whole.rounds] == [
        (one.thresholds, one.epsilon) for one in after.rounds
    ]
    assert all((whole.weights[name] == value).all() for name, value in after.weights.items())


def test_a_part_of_a_sum_is_told_once(tmp_path: Path) -> None:
    """The sums of two tries of one round, one without a client, would differ by that client's counts."""
    federation = Federation(rounds=6, choice=GLOBAL, privacy=Privacy(5.0, secure=True))
    client = Client(0, parts_of_digits([30])[0], "mlp-256", RECIPE, federation, tmp_path)
    client.share(3, 3)
    with pytest.raises(TrainmapError, match="client 0 has told its part of the sum of round 3 before"):
        client.share(3, 3)
    client.share(4, 3)
