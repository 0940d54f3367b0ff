"""Flower's SecAgg+ over histograms: the sum is exact, clients may drop out, one alone is never seen."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common import bytes_to_ndarray, ndarray_to_bytes
from tests.federated.clients_of import small

from trainmap.errors import TrainmapError
from trainmap.federated import Choice, LocalGrid, Privacy
from trainmap.federated.asking import Asking
from trainmap.federated.client import Declined
from trainmap.federated.client_app import answering
from trainmap.federated.histograms import SHAPE
from trainmap.federated.messages import ConfigRecord
from trainmap.federated.secure_sum import MODULUS, counts_range, enough, masked, secure_sum

CONFIGS = "secaggplus_configs"
Spoil = Callable[[str, Message], Message | None]


class Sum:
    """Clients with these counts, client k at node 100 + k."""

    def __init__(self, counts: list[Any], spoil: dict[int, Spoil] | None = None) -> None:
        self.counts, self.spoil, self.asked = counts, spoil or {}, list[tuple[int, int]]()
        self.messages: list[Message] = []
        app = ClientApp()

        @app.train()
        @answering
        def train(message: Message, context: Context) -> Message:
            number, stage = message.metadata.dst_node_id - 100, str(message.content[CONFIGS]["stage"])

            def tell(round_number: int, least: int) -> Any:
                self.asked.append((round_number, least))
                return counts[number]

            reply = masked(message, context, tell)
            other = self.spoil[number](stage, reply) if number in self.spoil else reply
            return Message(Error(2, "gone"), reply_to=message) if other is None else other

        nodes = {100 + number: {} for number in range(len(counts))}
        seen: Any = lambda message: self.messages.append(deepcopy(message))  # noqa: E731
        self.grid = LocalGrid(app, nodes, on_message=seen)
        self.asking = Asking(self.grid, None, 7, {}, {number: 100 + number for number in range(len(counts))})

    def total(self, least: int | None = None) -> Any:
        least = enough(len(self.counts)) if least is None else least
        return secure_sum(self.asking.exchange, self.grid.get_node_ids(), least, 7)


def some(count: int, low: int = -50, high: int = 5000) -> list[Any]:
    generator = np.random.default_rng(count)
    return [generator.integers(low, high, SHAPE) for _ in range(count)]


@pytest.mark.parametrize("count", [3, 4, 7, 16])
def test_the_sum_is_exact(count: int) -> None:
    counts = some(count)
    run = Sum(counts)
    total = run.total()
    assert total.dtype == np.int64
    np.testing.assert_array_equal(total, sum(counts))
    assert run.asked == [(7, enough(count))] * count
    assert not run.asking.refused
    assert run.asking.bytes_up > count * SHAPE[0] * SHAPE[1] * 8
    assert not any(context.state.config_records for context in run.grid.contexts.values())


def test_it_is_exact_up_to_the_edge_of_the_range_and_beyond_it_a_client_declines() -> None:
    most = counts_range(3) // 2
    counts = [np.full(SHAPE, most - 1), np.full(SHAPE, 1 - most), np.full(SHAPE, most - 1)]
    np.testing.assert_array_equal(Sum(counts).total(), sum(counts))
    counts[1] = np.full(SHAPE, most)
    run = Sum(counts)
    assert run.total() is None
    assert "out of the range of the sum" in run.asking.refused["1"]


@pytest.mark.parametrize("clients", [2, 3, 4, 5, 10, 1000, 2**20])
def test_nothing_wraps_around(clients: int) -> None:
    assert clients * counts_range(clients) < MODULUS
    assert clients * counts_range(clients) * 4 >= MODULUS


def test_two_thirds_must_answer_and_three_at_least() -> None:
    assert [enough(clients) for clients in (3, 4, 5, 6, 9, 10, 100)] == [3, 3, 4, 4, 6, 7, 67]
    with pytest.raises(TrainmapError, match="at least 3 clients, got 2"):
        enough(2)


def gone(when: str) -> Spoil:
    return lambda stage, reply: None if stage == when else reply


@pytest.mark.parametrize("when", ["collect_masked_vectors", "unmask"])
def test_clients_that_drop_out_once_they_have_shared_their_keys_do_no_harm(when: str) -> None:
    counts = some(7)
    run = Sum(counts, {2: gone(when), 5: gone(when)})
    wanted = sum(one for number, one in enumerate(counts) if when == "unmask" or number not in (2, 5))
    np.testing.assert_array_equal(run.total(), wanted)
    assert run.asking.refused == {"2": "gone", "5": "gone"}


@pytest.mark.parametrize("when", ["setup", "share_keys"])
def test_clients_that_drop_out_before_are_left_out_and_the_others_begin_anew(when: str) -> None:
    counts = some(7)
    run = Sum(counts, {2: gone(when), 5: gone(when)})
    np.testing.assert_array_equal(run.total(), sum(one for number, one in enumerate(counts) if number not in (2, 5)))
    assert run.asking.refused == {"2": "gone", "5": "gone"}


@pytest.mark.parametrize("when", ["setup", "share_keys", "collect_masked_vectors", "unmask"])
def test_with_too_few_there_is_no_sum(when: str) -> None:
    run = Sum(some(5), {number: gone(when) for number in (0, 3)})
    assert run.total() is None
    assert Sum(some(5)).total(6) is None


def test_what_a_client_sends_does_not_tell_its_counts() -> None:
    counts = [np.full(SHAPE, 1000 * number) for number in range(3)]
    run = Sum(counts)
    run.total()
    seen: list[Any] = [one.content[CONFIGS] for one in run.messages if one.metadata.reply_to_message_id]
    vectors = [bytes_to_ndarray(one["masked_params"][1]) for one in seen if "masked_params" in one]
    assert len(vectors) == 3
    for vector in vectors:  # it looks like numbers drawn evenly below the modulus
        assert 0.4 < vector.mean() / MODULUS < 0.6
        assert 0.25 < vector.std() / MODULUS < 0.33
        assert not (vector % 1000 == 0).all()


def changed(when: str, **values: Any) -> Spoil:
    def spoil(stage: str, reply: Message) -> Message:
        if stage == when:
            reply.content[CONFIGS] = ConfigRecord({**reply.content[CONFIGS], **values})  # type: ignore[dict-item]
        return reply

    return spoil


def _vector(value: Any) -> list[bytes]:
    return [ndarray_to_bytes(np.zeros(1, np.int64)), ndarray_to_bytes(value)]


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (changed("collect_masked_vectors", masked_params=_vector(np.full(SHAPE, np.nan))), "what it masked must be"),
        (changed("collect_masked_vectors", masked_params=_vector(np.zeros((2, 2), np.int64))), "what it masked must"),
        (changed("collect_masked_vectors", masked_params=_vector(np.full(SHAPE, 10**18))), "what it masked must be"),
        (changed("collect_masked_vectors", masked_params=[b"x", b"y"]), "cannot be read"),
        (changed("collect_masked_vectors", ids=[7_000_001]), "must be masked_params, got ids, masked_params"),
        (changed("unmask", shares=[b"x"]), "its shares are not one for each client"),
    ],
)
def test_what_is_broken_is_refused_by_name_and_the_sum_is_of_the_others(spoil: Spoil, why: str) -> None:
    counts = some(5)
    run = Sum(counts, {4: spoil})
    total = run.total()
    assert why in run.asking.refused["4"]
    np.testing.assert_array_equal(total, sum(counts) if "shares" in why else sum(counts[:4]))


@pytest.mark.parametrize(
    "spoil", [changed("setup", pk1=b"none"), changed("share_keys", ctxts=[b"x"]), changed("unmask", nids=[1] * 5)]
)
def test_keys_that_are_none_spoil_no_more_than_the_sum(spoil: Spoil) -> None:
    counts = some(5)
    total = Sum(counts, {4: spoil}).total()
    assert total is None or (total == sum(counts)).all() or (total == sum(counts[:4])).all()


def test_a_message_out_of_order_is_declined() -> None:
    context = Context(1, 100, {}, RecordDict(), {})
    content = RecordDict({CONFIGS: ConfigRecord({"stage": "unmask", "active_nids": [1], "dead_nids": [2]})})
    with pytest.raises(Declined, match="secure aggregation stops here"):
        masked(Message(content, 100, "train"), context, lambda _, __: np.zeros(SHAPE, np.int64))


def test_a_federation_with_secure_aggregation_sums_what_one_without_would(tmp_path: Path) -> None:
    choice = Choice("33% ambiguous", bounds="mixed")
    run = small(tmp_path / "secure", (20, 15, 10), rounds=4, choice=choice, privacy=Privacy(5.0, secure=True))
    rounds = run.run().rounds
    again = small(tmp_path / "again", (20, 15, 10), rounds=4, choice=choice, privacy=Privacy(5.0, secure=True))
    assert [one.thresholds for one in rounds] == [one.thresholds for one in again.run().rounds]
    assert [one.epsilon for one in rounds[1:3]] == [0.0, 0.0]
    assert rounds[4].epsilon == pytest.approx(5.0, abs=0.05)
    assert not any(one.refused or one.absent for one in rounds)
    with pytest.raises(TrainmapError, match="at least 3 clients"):
        small(tmp_path / "two", (20, 15), rounds=4, choice=choice, privacy=Privacy(secure=True)).run()
