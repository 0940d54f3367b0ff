"""Many clients, each with its own examples and its own map, and one network: federated learning on Flower.

What a client records, chooses and scores stays with it; what may leave it stands in ``messages.REPLIES``.

Its files, in reading order::

    federation.py         what a federation is told
    histograms.py         what a client tells of its map
    global_thresholds.py  thresholds of all clients together
    discrete_noise.py     whole numbers at random
    privacy.py            how much noise, and what it spends
    ledger.py             what a client told
    client.py             what one client does
    messages.py           what travels
    secure_sum.py         histograms added up unseen, by SecAgg+
    client_app.py         Flower's ClientApp over a client
    local_grid.py         all clients in one process
    aggregation.py        how their networks become one, and which replies are taken
    feasible.py           whether a federation can be run
    roll_call.py          who is there
    asking.py             questions of a round, and the replies
    server.py             the rounds
    measuring.py          how good a global network is
    partition.py          who has which examples, and whose labels are wrong
    merged.py             one map of all clients' examples
    under_noise.py        what the noise of privacy does to thresholds
    noisy_clients.py      whose labels are wrong, found out
    deployment.py         what a run on real machines is told, the folder for it
    real_nodes.py         the apps that run there
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from trainmap.faces import lazily

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")  # before flwr is imported: it tells nobody that it runs

if TYPE_CHECKING:
    from trainmap.federated.aggregation import AGGREGATIONS, Aggregation, aggregation_of
    from trainmap.federated.client import Client, Declined, Told, Weights, weights_of
    from trainmap.federated.client_app import make_client_app
    from trainmap.federated.deployment import Deployment, Own, write_app
    from trainmap.federated.feasible import check_federation
    from trainmap.federated.federation import Choice, Federation, Privacy, Recording, participants
    from trainmap.federated.global_thresholds import Thresholds
    from trainmap.federated.local_grid import LocalGrid
    from trainmap.federated.measuring import measured
    from trainmap.federated.merged import joined, merged_map
    from trainmap.federated.noisy_clients import DETECTORS, Detector, Evidence, detected, judging
    from trainmap.federated.partition import Noise, Partition, noisy
    from trainmap.federated.server import Outcome, Round, federate
    from trainmap.federated.under_noise import PrivacyPoint, privacy_curve, told_histograms
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "aggregation": "AGGREGATIONS Aggregation aggregation_of",
            "client": "Client Declined Told Weights weights_of",
            "client_app": "make_client_app",
            "server": "Outcome Round federate",
            "deployment": "Deployment Own write_app",
            "feasible": "check_federation",
            "federation": "Choice Federation Privacy Recording participants",
            "global_thresholds": "Thresholds",
            "local_grid": "LocalGrid",
            "measuring": "measured",
            "merged": "joined merged_map",
            "noisy_clients": "DETECTORS Detector Evidence detected judging",
            "partition": "Noise Partition noisy",
            "under_noise": "PrivacyPoint privacy_curve told_histograms",
        },
    )

# fmt: off
__all__ = [
    "AGGREGATIONS", "DETECTORS", "Aggregation", "Choice", "Client", "Declined", "Deployment", "Detector", "Evidence",
    "Federation", "LocalGrid", "Noise", "Outcome", "Own", "Partition", "Privacy", "PrivacyPoint", "Recording", "Round",
    "Thresholds", "Told", "Weights", "aggregation_of", "check_federation", "detected", "federate", "joined", "judging",
    "make_client_app", "measured", "merged_map", "noisy", "participants", "privacy_curve", "told_histograms",
    "weights_of", "write_app",
]
# fmt: on
