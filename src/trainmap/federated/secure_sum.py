"""Histograms added up so that the server sees their sum alone: Flower's SecAgg+, both sides of it.

The server is ``SecAggPlusWorkflow``, a client ``secaggplus_mod``; nothing of the protocol is written here. Its parties
are told to add whole numbers exactly: all weights are 1, and its quantisation has steps of 1 (a count c becomes
c + range / 2, which must be 0 to range). The clients' ranges together fit into its modulus of 2^32, so that nothing
wraps around.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
from flwr.app import Context
from flwr.client.mod import secaggplus_mod
from flwr.common import (
    Code,
    FitIns,
    FitRes,
    Parameters,
    Status,
    bytes_to_ndarray,
    ndarrays_to_parameters,
    parameters_to_ndarrays,
)
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS, RECORD_KEY_STATE, Key, Stage
from flwr.compat.common.recorddict_compat import fitres_to_recorddict
from flwr.server.compat.legacy_context import LegacyContext
from flwr.server.strategy import FedAvg
from flwr.server.workflow import SecAggPlusWorkflow
from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD, MAIN_PARAMS_RECORD
from flwr.server.workflow.constant import Key as WorkflowKey
from flwr.supercore.primitives.asymmetric import bytes_to_public_key
from numpy.typing import NDArray

from trainmap.errors import TrainmapError
from trainmap.federated.client import Declined
from trainmap.federated.histograms import SHAPE
from trainmap.federated.messages import SECURE, ArrayRecord, ConfigRecord, Message, RecordDict, reply

Array = NDArray[Any]
log = logging.getLogger("trainmap")
MODULUS = 2**32
FEWEST = 3
"""Clients that a sum needs: of two, each could take its own away and have the other's."""


def enough(clients: int) -> int:
    """How many of all clients must answer for a sum to be opened: two thirds, rounded up, and ``FEWEST`` at least.

    It is the protocol's threshold: fewer clients that put together what they have cannot open the counts of another.

    Raises:
        TrainmapError: there are not so many.
    """
    if clients < FEWEST:
        raise TrainmapError(f"secure aggregation needs at least {FEWEST} clients, got {clients}; more, or secure=False")
    return max(FEWEST, -(-2 * clients // 3))


def counts_range(clients: int) -> int:
    """How many values a count may have, so that the sum over the clients is below the modulus."""
    return 2 ** (31 - (clients - 1).bit_length())


def stage_of(message: Message) -> str:
    """What a message of the protocol asks, as ``messages.REPLIES`` has it."""
    return f"{SECURE}.{message.content.config_records[RECORD_KEY_CONFIGS][Key.STAGE]}"


# --- a client -------------------------------------------------------------------------------------------------------


def is_secure(message: Message) -> bool:
    """Whether a message is one of the protocol's."""
    return RECORD_KEY_CONFIGS in message.content


def masked(message: Message, context: Context, tell: Callable[[int, int], Array]) -> Message:
    """A client's part of the protocol, in one of its stages.

    Args:
        context: of the node: its keys are kept there from stage to stage.
        tell: the round and the protocol's threshold -> its counts with its share of the noise, whole numbers. It is
            asked once, before they are masked.

    Raises:
        Declined: a message out of order, or counts out of the range that the server told.
    """

    def histogram(message: Message, context: Context) -> Message:
        state = context.state.config_records[RECORD_KEY_STATE]
        config = message.content.config_records["fitins.config"]
        counts = tell(int(cast(int, config["round"])), int(cast(int, state[Key.THRESHOLD])))
        if np.abs(counts).max() >= (most := cast(float, state[Key.CLIPPING_RANGE])):
            raise Declined(f"a count of this client is out of the range of the sum, {most:g} each way")
        parameters = ndarrays_to_parameters([counts.astype(np.float64)])
        result = FitRes(Status(Code.OK, ""), parameters, 1, {})
        return Message(fitres_to_recorddict(result, keep_input=False), reply_to=message)

    stage = stage_of(message)
    try:
        made = secaggplus_mod(message, context, histogram)
    except TrainmapError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise Declined(f"secure aggregation stops here ({type(error).__name__}, {stage[:30]})") from error
    if stage == f"{SECURE}.{Stage.UNMASK}":
        del context.state.config_records[RECORD_KEY_STATE]  # its keys have done their work
    return reply(message, stage, dict(made.content))


# --- the server -----------------------------------------------------------------------------------------------------


class Exchange(Protocol):
    """Sends messages that ask for one thing and returns the replies that are as they must be; of the others the client
    has dropped out."""

    def __call__(self, asked: str, messages: list[Message]) -> list[Message]: ...


def secure_sum(exchange: Exchange, nodes: Iterable[int], least: int, round_number: int) -> Array | None:
    """The sum of the counts of the clients at these nodes.

    Args:
        least: how many must answer, ``enough(clients)``.

    Returns:
        ``SHAPE`` int64, exact; None where too few were there to the end, or what they told does not open it.
    """
    there = sorted(nodes)
    while len(there) >= least:
        try:
            return _sum_once(exchange, there, least, round_number)
        except _DroppedOut as others:
            there = others.there
    return None


def _sum_once(exchange: Exchange, there: list[int], least: int, round_number: int) -> Array | None:
    values, strategy = counts_range(len(there)), _Strategy(there, round_number)
    workflow = SecAggPlusWorkflow(
        1.0,  # shares of each key: one for everybody
        least,
        max_weight=1.0,
        clipping_range=values / 2,
        quantization_range=values,
        modulus_range=MODULUS,
    )
    config = ConfigRecord({WorkflowKey.CURRENT_ROUND: round_number})
    state = RecordDict({MAIN_CONFIGS_RECORD: config, MAIN_PARAMS_RECORD: ArrayRecord()})
    context = LegacyContext(Context(1, 0, {}, state, {}), strategy=cast(Any, strategy))
    try:
        workflow(cast(Any, _Grid(exchange)), context)
    except _DroppedOut:
        raise
    except (ArithmeticError, AssertionError, LookupError, TypeError, ValueError) as error:
        log.warning("round %d: what the clients told opens no sum (%s: %s)", round_number, type(error).__name__, error)
        return None  # keys or shares that are none
    return None if strategy.mean is None else np.rint(strategy.mean * strategy.clients).astype(np.int64)


class _DroppedOut(Exception):
    """A client was lost before it had shared its keys, which Flower's workflow cannot mend: it asks the others for
    shares that they never had. Nothing was told until then, so they can begin anew."""

    def __init__(self, there: list[int]) -> None:
        super().__init__()
        self.there = there


class _Strategy(FedAvg):
    """What the workflow asks of a strategy: who takes part, and where the mean goes."""

    def __init__(self, nodes: list[int], round_number: int) -> None:
        super().__init__()
        self.nodes, self.round_number = nodes, round_number
        self.clients, self.mean = 0, cast("Array | None", None)

    def configure_fit(self, server_round: int, parameters: Parameters, client_manager: Any) -> Any:
        ins = FitIns(Parameters([], "numpy.ndarray"), {"round": self.round_number})
        return [(_Node(node), ins) for node in self.nodes]

    def aggregate_fit(self, server_round: int, results: Any, failures: Any) -> Any:
        self.clients, self.mean = len(results), parameters_to_ndarrays(results[0][1].parameters)[0]
        return None, {}


@dataclass(frozen=True)
class _Node:
    node_id: int


@dataclass(frozen=True)
class _Grid:
    """All that the workflow needs of a grid."""

    exchange: Exchange

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        sent = list(messages)
        stage = stage_of(sent[0])
        replies = self.exchange(stage, sent)
        if len(replies) < len(sent) and stage.endswith((Stage.SETUP, Stage.SHARE_KEYS)):
            raise _DroppedOut(sorted(reply.metadata.src_node_id for reply in replies))
        return replies


def broken(reply: Message, asked: str) -> str | None:
    """Why a reply of the protocol, with the right records and keys, is not taken; None where it is as it must be.

    What is masked cannot be looked at: counts that are lies are found in the sum alone, and nobody's by name.
    """
    values = reply.content.config_records[RECORD_KEY_CONFIGS]
    try:
        if asked.endswith(Stage.SETUP):
            for name in (Key.PUBLIC_KEY_1, Key.PUBLIC_KEY_2):
                bytes_to_public_key(cast(bytes, values[name]))
        elif asked.endswith(Stage.COLLECT_MASKED_VECTORS):
            if reply.content.metric_records["fitres.num_examples"]["num_examples"] != 1:
                return "its weight must be 1"
            weight, counts = (bytes_to_ndarray(one) for one in cast("list[bytes]", values[Key.MASKED_PARAMETERS]))
            for one, shape in ((weight, (1,)), (counts, SHAPE)):
                if one.shape != shape or one.dtype != np.int64 or one.min() < 0 or one.max() >= MODULUS:
                    return f"what it masked must be {SHAPE} numbers below {MODULUS}"
        else:
            names = (
                (Key.DESTINATION_LIST, Key.CIPHERTEXT_LIST)
                if asked.endswith(Stage.SHARE_KEYS)
                else (Key.NODE_ID_LIST, Key.SHARE_LIST)
            )
            whom, what = (cast("list[Any]", values[name]) for name in names)
            if len(whom) != len(what) or not all(isinstance(one, bytes) for one in what):
                return "its shares are not one for each client"
    except (EOFError, OSError, TypeError, ValueError) as error:
        return f"secure aggregation: it sent what cannot be read ({type(error).__name__})"
    return None
