"""Who is there: clients that go and come back, strangers, nodes that never say who they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Error, Message
from flwr.common.constant import ErrorCode
from tests.federated.clients_of import Small, small

from trainmap.errors import TrainmapError
from trainmap.federated import Choice, LocalGrid, Recording
from trainmap.federated.asking import Asking
from trainmap.federated.messages import HELLO, METRICS, NUMBER, asked, record_of
from trainmap.federated.roll_call import RollCall


class Coming(LocalGrid):
    """A grid of nodes that are there at some looks only.

    Attributes:
        away: look, from 0 on -> the nodes that are not there.
        lost: type of message -> nodes whose answers never come.
    """

    away: Mapping[int, set[int]]
    lost: Mapping[str, set[int]]
    looks = 0

    def get_node_ids(self) -> Iterable[int]:
        self.looks += 1
        return [node for node in self.contexts if node not in self.away.get(self.looks - 1, set())]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        found = super().pull_messages(message_ids)
        return [one for one in found if one.metadata.src_node_id not in self.lost.get(one.metadata.message_type, set())]


def coming(run: Small, away: Mapping[int, set[int]], lost: Mapping[str, set[int]] | None = None) -> Small:
    run.grid.__class__ = Coming
    run.grid.away, run.grid.lost = away, lost or {}  # type: ignore[attr-defined]
    return run


NODES = {0: 1000, 1: 993, 2: 986}  # of the clients of ``small``


def test_a_client_that_is_away_is_absent_and_takes_part_again_when_it_is_back(tmp_path: Path) -> None:
    run = coming(small(tmp_path, rounds=4), {2: {NODES[1]}, 3: {NODES[1], NODES[0]}})  # looks 1 to 4: rounds 1 to 4
    rounds = run.run().rounds[1:]
    assert [one.absent for one in rounds] == [(), (1,), (0, 1), ()]
    assert [list(one.clients) for one in rounds] == [["0", "1", "2"], ["0", "2"], ["2"], ["0", "1", "2"]]


def test_a_round_begins_when_one_is_there_and_in_one_process_nobody_is_waited_for(tmp_path: Path) -> None:
    run = coming(small(tmp_path, rounds=2), {2: set(NODES.values())})
    with pytest.raises(TrainmapError, match="1 client must be there, found 0"):
        run.run()


def test_an_answer_that_never_comes_makes_a_client_absent(tmp_path: Path) -> None:
    run = coming(small(tmp_path, rounds=2, recording=Recording(nothing=True)), {}, {"train": {NODES[2]}})
    rounds = run.run().rounds[1:]
    assert [one.absent for one in rounds] == [(2,), (2,)]
    assert all(list(one.clients) == ["0", "1"] for one in rounds)


@pytest.mark.parametrize("code", [ErrorCode.NODE_UNAVAILABLE, ErrorCode.MESSAGE_UNAVAILABLE])
def test_what_a_superlink_answers_for_a_dead_node_is_absence(code: int, tmp_path: Path) -> None:
    run = small(tmp_path, rounds=1, recording=Recording(nothing=True))

    def dead(asked: Message, reply: Message) -> Message:
        if asked.metadata.message_type == "train":
            reply = Message(Error(code, "gone"), reply_to=asked)
            reply.metadata.__dict__["_src_node_id"] = 1  # the SuperLink's own
        return reply

    run.spoil[0] = dead
    last = run.run().rounds[-1]
    assert last.absent == (0,)
    assert not last.refused


def test_a_stranger_that_comes_later_is_refused_and_does_not_end_the_run(tmp_path: Path) -> None:
    run = coming(small(tmp_path, rounds=2), {0: {NODES[2]}})
    run.clients[2].number = 0
    rounds = run.run(least=2).rounds[1:]
    assert all(list(one.clients) == ["0", "1"] and one.absent == (2,) for one in rounds)
    assert all("two clients say that they are number 0" in one.refused[f"node {NODES[2]}"] for one in rounds)


def test_a_reply_of_another_number_is_refused(tmp_path: Path) -> None:
    run = small(tmp_path, rounds=1, recording=Recording(nothing=True))

    def other(asked: Message, reply: Message) -> Message:
        if asked.metadata.message_type == "train":
            reply.content.metric_records[METRICS][NUMBER] = 2
        return reply

    run.spoil[1] = other
    assert run.run().rounds[-1].refused == {"1": "it says that it is client 2"}


@pytest.mark.parametrize(("number", "why"), [(3, "one says that it is 3"), (0.5, "it says that it is client 0.5")])
def test_a_number_that_is_none_is_an_error_before_the_first_round(number: Any, why: str, tmp_path: Path) -> None:
    run = small(tmp_path, rounds=1)
    run.clients[1].number = number
    with pytest.raises(TrainmapError, match=f"a client cannot take part: .*{why}"):
        run.run()


def test_a_node_is_asked_once_who_it_is_and_again_when_its_answer_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = coming(small(tmp_path), {}, {HELLO: {NODES[1]}})
    roll = RollCall(run.grid, 3)
    assert list(roll.look()) == list(roll.look()) == [0, 2]
    hellos = [one for one in run.messages if one.metadata.message_type == HELLO]
    assert len(hellos) == 6  # three questions and their answers
    run.grid.lost = {}  # type: ignore[attr-defined]
    assert list(roll.look()) == [0, 2]
    monkeypatch.setattr("trainmap.federated.roll_call.AGAIN", 0.0)
    assert list(roll.look()) == [0, 1, 2]


def test_an_error_tells_the_server_its_kind_and_nothing_of_an_example(tmp_path: Path) -> None:
    run = small(tmp_path, rounds=2, choice=Choice("50% random"))
    client = run.clients[0]
    client.data = replace(client.data, ids=client.data.ids + 987_000)
    run.run(file=tmp_path / "state.pt")
    again = small(tmp_path, rounds=2, choice=Choice("50% random"))  # its recording is of other ids now
    rounds = again.run().rounds
    assert rounds[2].refused.keys() == {"0"}
    assert rounds[2].refused["0"].endswith("this client's own log has it whole")
    assert not any(character.isdigit() for character in rounds[2].refused["0"])


def test_one_that_is_absent_is_not_waited_for_again_in_the_round(tmp_path: Path) -> None:
    run = coming(small(tmp_path), {}, {"train": {NODES[2]}})
    asking = Asking(run.grid, 1.0, 1, {}, NODES)
    question = {one: ("train", asked(record_of({}), round=1, checkpoint=-1)) for one in NODES}
    asking.ask(question)
    assert asking.absent == {2}
    before = len(run.messages)
    asking.ask(question)
    assert {one.metadata.dst_node_id for one in run.messages[before:]} & set(NODES.values()) == {NODES[0], NODES[1]}
