"""Whether a federation can be run by so many clients: told before any of them is asked."""

from __future__ import annotations

from trainmap.federated.aggregation import aggregation_of
from trainmap.federated.federation import Federation
from trainmap.federated.privacy import variance
from trainmap.federated.secure_sum import enough


def check_federation(federation: Federation, clients: int) -> None:
    """Refuse what would fail only in a round.

    Raises:
        TrainmapError: an unknown aggregation, an option that it does not have, a privacy that no noise reaches, or too
            few clients for secure aggregation.
    """
    aggregation_of(federation.aggregation).make(federation.options)
    if federation.privacy is not None:
        variance(federation.privacy, federation.releases)
        if federation.privacy.secure:
            enough(clients)
