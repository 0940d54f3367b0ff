"""Which choice helps here: preferences of a map are raced against even draws, on held-out data, at a counted cost.

Its files, in reading order::

    candidates.py   what is raced: weights of the examples, and draws by them
    fresh_draws.py  the same for other examples in every epoch
    lower_bound.py  a one-sided interval over seeds and held-out examples
    heats.py        how many trainings there are: the largest plan within a bound
    raced.py        what a race found: who won, by how much, at what cost
    race.py         the race
    racer.py        a judge of trainmap's own networks
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainmap.faces import lazily

if TYPE_CHECKING:
    from trainmap.races.candidates import CANDIDATES, EVEN, Candidate
    from trainmap.races.fresh_draws import Preferring
    from trainmap.races.heats import Heats, within
    from trainmap.races.lower_bound import Lead, lead
    from trainmap.races.race import CONFIRM, SEEDS
    from trainmap.races.raced import Facts, Race, Trained
    from trainmap.races.racer import PARTS, Racer, racing_recipe
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "candidates": "CANDIDATES EVEN Candidate",
            "fresh_draws": "Preferring",
            "heats": "Heats within",
            "lower_bound": "Lead lead",
            "race": "CONFIRM SEEDS",
            "raced": "Facts Race Trained",
            "racer": "PARTS Racer racing_recipe",
        },
    )

# fmt: off
__all__ = [
    "CANDIDATES", "CONFIRM", "EVEN", "PARTS", "SEEDS", "Candidate", "Facts", "Heats", "Lead", "Preferring", "Race",
    "Racer", "Trained", "lead", "racing_recipe", "within",
]
# fmt: on
