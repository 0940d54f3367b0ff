"""Which clients are there, at which nodes: in one process all of them, on real machines whoever is connected now."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid

from trainmap.errors import TrainmapError, counted, some
from trainmap.federated.aggregation import refusal
from trainmap.federated.local_grid import LocalGrid
from trainmap.federated.messages import HELLO, NUMBER, Message, asked, metrics_of

GONE = (ErrorCode.MESSAGE_UNAVAILABLE, ErrorCode.REPLY_MESSAGE_UNAVAILABLE, ErrorCode.NODE_UNAVAILABLE)
"""What a SuperLink answers for a node that is gone."""
AGAIN = 60.0
"""Seconds after which a node is asked again who it is: the question may have been lost with a process."""
PAUSE = 1.0
"""Seconds from one look to the next while clients are waited for."""


@dataclass
class RollCall:
    """Says which client is at which node.

    A node is asked once for the client that it is; it counts as there as soon as it has answered, and as long as the
    grid names it. Nobody waits for the answer of a node that comes while the rounds go on: its client takes part in the
    first round after it. A number belongs to the node that has it for as long as that is there.

    Attributes:
        grid: an in-process one, or Flower's.
        clients: how many there may be; they are numbered 0 to ``clients`` - 1.
        nodes: client number -> node id, of all that are there.
        refused: "node ID" -> why, of those that cannot take part.
    """

    grid: Grid
    clients: int
    nodes: dict[int, int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    _asked: dict[int, tuple[str, float]] = field(default_factory=dict)

    def meet(self, least: int, timeout: float | None) -> Mapping[int, int]:
        """``nodes``, as soon as so many clients are there.

        Raises:
            TrainmapError: one cannot take part and the others are too few; too few after ``timeout`` seconds; too few
                in one process, where nobody comes later.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while len(self.look()) < least:
            if self.refused:
                raise TrainmapError(f"a client cannot take part: {'; '.join(self.refused.values())}")
            if isinstance(self.grid, LocalGrid) or (until is not None and time.monotonic() > until):
                raise TrainmapError(
                    f"{counted(least, 'client')} must be there, found {len(self.nodes)} (numbers "
                    f"{some(sorted(self.nodes)) or 'none'}); start the others, or ask for fewer"
                )
            time.sleep(PAUSE)
        return self.nodes

    def look(self) -> Mapping[int, int]:
        """``nodes``, as it is now."""
        there, now = set(self.grid.get_node_ids()), time.monotonic()
        self.nodes = {number: node for number, node in self.nodes.items() if node in there}
        known = set(self.nodes.values())
        self._asked = {node: one for node, one in self._asked.items() if node in there - known}
        self.refused = {name: why for name, why in self.refused.items() if int(name.split()[1]) in self._asked}
        due = [node for node in sorted(there - known) if now > self._asked.get(node, ("", -AGAIN))[1] + AGAIN]
        if messages := [Message(asked(), node, HELLO, group_id="0") for node in due]:
            self.grid.push_messages(messages)
            self._asked |= {node: (message.metadata.message_id, now) for node, message in zip(due, messages)}
        if waiting := {message: node for node, (message, _) in self._asked.items()}:
            for reply in self.grid.pull_messages(list(waiting)):
                if (node := waiting.get(reply.metadata.reply_to_message_id)) is not None:
                    self._answered(node, reply)
        self.nodes = dict(sorted(self.nodes.items()))
        return self.nodes

    def _answered(self, node: int, reply: Message) -> None:
        if reply.has_error() and reply.error.code in GONE:
            return
        self.refused.pop(f"node {node}", None)
        if why := self._why_not(reply):
            self.refused[f"node {node}"] = why
        else:
            self.nodes[int(metrics_of(reply)[NUMBER])] = node

    def _why_not(self, reply: Message) -> str | None:
        if why := refusal(reply, {}, HELLO):
            return why
        if (number := metrics_of(reply)[NUMBER]) not in range(self.clients):
            return f"clients are numbered 0 to {self.clients - 1}, one says that it is {number}"
        if number in self.nodes:
            return f"two clients say that they are number {number}; each needs its own"
        return None
