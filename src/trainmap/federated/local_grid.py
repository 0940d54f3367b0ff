"""A Flower grid inside one process: the same apps as on real nodes, without a server, a socket or a daemon."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from typing import Any
from uuid import uuid4

from flwr.app import Context, Error
from flwr.clientapp import ClientApp
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from trainmap.errors import TrainmapError
from trainmap.federated.messages import Message, RecordDict


class LocalGrid(Grid):
    """Hands every message to a ``ClientApp`` and returns its reply, one node after another, in the order of the nodes.

    Args:
        app: of the clients.
        nodes: node id -> its ``node_config``.
        run_config: as every node's context has it.
        on_message: sees each message, on its way there and back.

    A client that refuses what it was asked (``TrainmapError``) answers with an error, as one on a real node does.
    """

    def __init__(
        self,
        app: ClientApp,
        nodes: Mapping[int, Mapping[str, Any]],
        run_config: Mapping[str, Any] | None = None,
        on_message: Callable[[Message], object] | None = None,
    ) -> None:
        self.app, self.on_message = app, on_message
        self._run = Run.create_empty(run_id=1)
        self._replies: dict[str, Message] = {}
        settings = dict(run_config or {})
        self.contexts = {
            node: Context(1, node, dict(config), RecordDict(), settings) for node, config in sorted(nodes.items())
        }
        logging.getLogger("flwr").setLevel(logging.WARNING)  # it would tell of every reply
        TaskIdentity.run_id, TaskIdentity.task_id, TaskIdentity.node_id = 1, 1, SUPERLINK_NODE_ID

    def set_run(self, run: Run) -> None:
        self._run = run

    @property
    def run(self) -> Run:
        return self._run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        return list(self.contexts)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        sent = []
        for message in sorted(messages, key=lambda one: one.metadata.dst_node_id):
            message.metadata.__dict__["_message_id"] = str(uuid4())  # the SuperLink's part
            sent.append(message.metadata.message_id)
            self._replies[message.metadata.message_id] = self._deliver(message)
        return sent

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return [self._replies.pop(one) for one in message_ids if one in self._replies]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        return self.pull_messages(self.push_messages(messages))

    def _deliver(self, message: Message) -> Message:
        self._seen(message)
        try:  # of its own copy: a handler may take out what it has read
            reply = self.app(deepcopy(message), self.contexts[message.metadata.dst_node_id])
        except TrainmapError as error:
            reply = Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, str(error)), reply_to=message)
        reply.metadata.__dict__["_message_id"] = str(uuid4())
        self._seen(reply)
        return reply

    def _seen(self, message: Message) -> None:
        if self.on_message is not None:
            self.on_message(message)
