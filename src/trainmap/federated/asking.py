"""What the server asks in a round and what it is answered: sent, weighed, refused where it is not as it must be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flwr.serverapp import Grid

from trainmap.federated.aggregation import refusal
from trainmap.federated.client import Weights
from trainmap.federated.messages import Message, RecordDict, metrics_of, size_of
from trainmap.federated.roll_call import GONE

SPENT = ("train_flops", "sweep_flops", "seconds", "cpu_seconds")


@dataclass
class Asking:
    """The messages of one round.

    Attributes:
        grid: an in-process one, or Flower's.
        timeout: seconds that each question waits for its answers.
        number: of the round.
        weights: that are sent in it.
        nodes: client number -> node id, of those that are there.
        deviation: of the noise that is on a count of a histogram.
        refused: of each client whose reply was not taken, why, by its number as text; the first reason.
        absent: the clients that were asked and were not there, or did not answer.
        bytes_down, bytes_up: of all messages so far.
        spent: what the clients say that it took them, see ``Round``.
    """

    grid: Grid
    timeout: float | None
    number: int
    weights: Weights
    nodes: Mapping[int, int]
    deviation: float = 0.0
    refused: dict[str, str] = field(default_factory=dict)
    absent: set[int] = field(default_factory=set)
    bytes_down: int = 0
    bytes_up: int = 0
    spent: dict[str, Any] = field(default_factory=lambda: dict.fromkeys(SPENT, 0))

    def ask(self, questions: Mapping[int, tuple[str, RecordDict]]) -> dict[int, Message]:
        """Client number -> its reply, of those that are taken, in the order of the numbers. One that was absent is not
        asked again in this round: a dead one would be waited for at every question.

        Args:
            questions: client number -> what it is asked, a key of ``messages.REPLIES``, and what is sent with it.
        """
        self.absent |= questions.keys() - self.nodes.keys()
        messages = {
            one: Message(content, self.nodes[one], asked, group_id=str(self.number))
            for one, (asked, content) in questions.items()
            if one in self.nodes and one not in self.absent
        }
        taken = self._taken(messages, {one: asked for one, (asked, _) in questions.items()})
        for reply in taken.values():
            metrics = metrics_of(reply)
            self.spent = {name: value + metrics.get(name, 0) for name, value in self.spent.items()}
        return taken

    def exchange(self, asked: str, messages: list[Message]) -> list[Message]:
        """The replies to messages that somebody else made, see ``secure_sum.Exchange``."""
        names = {node: one for one, node in self.nodes.items()}
        by_number = {names[message.metadata.dst_node_id]: message for message in messages}
        return list(self._taken(by_number, dict.fromkeys(by_number, asked)).values())

    def _taken(self, messages: Mapping[int, Message], asked: Mapping[int, str]) -> dict[int, Message]:
        self.bytes_down += sum(map(size_of, messages.values()))  # before they are sent: a reader may take them apart
        replies = self._replies(messages)
        self.bytes_up += sum(map(size_of, replies.values()))
        self.absent |= messages.keys() - replies.keys()
        taken = dict[int, Message]()
        for one in sorted(replies):
            if why := refusal(replies[one], self.weights, asked[one], one, self.deviation):
                self.refused.setdefault(str(one), why)
            else:
                taken[one] = replies[one]
        return taken

    def _replies(self, messages: Mapping[int, Message]) -> dict[int, Message]:
        """Of the clients that answered."""
        replies: Iterable[Message] = ()
        if messages:
            replies = self.grid.send_and_receive(list(messages.values()), timeout=self.timeout)
        senders = {message.metadata.message_id: one for one, message in messages.items()}
        return {
            senders[reply.metadata.reply_to_message_id]: reply
            for reply in replies
            if reply.metadata.reply_to_message_id in senders and not (reply.has_error() and reply.error.code in GONE)
        }
