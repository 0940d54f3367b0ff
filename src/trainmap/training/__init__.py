"""The run: one loop, and what stands beside it.

Its files, in reading order::

    recipes.py     how to train: settings, and defaults that were measured
    state_file.py  what torch saved, read back safely
    checkpoint.py  a killed run goes on
    features.py    a network's inner values
    step.py        the loss of one step
    fit.py         the loop
    proxy.py       a small network that filters the batches of a large one
    gradients.py   scores that need gradients: GraNd, VoG
    boosting.py    gradient-boosted trees as a teacher for tables
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainmap.faces import lazily

if TYPE_CHECKING:
    from trainmap.training.checkpoint import previous, read
    from trainmap.training.features import features_of
    from trainmap.training.fit import EpochRecorder, FitResult, even_batches, make_optimizer
    from trainmap.training.gradients import grand, vog
    from trainmap.training.proxy import ProxyFilter
    from trainmap.training.recipes import Recipe, default_recipe
    from trainmap.training.state_file import load_state
    from trainmap.training.step import objective
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "checkpoint": "previous read",
            "features": "features_of",
            "fit": "EpochRecorder FitResult even_batches make_optimizer",
            "gradients": "grand vog",
            "proxy": "ProxyFilter",
            "recipes": "Recipe default_recipe",
            "state_file": "load_state",
            "step": "objective",
        },
    )

# fmt: off
__all__ = [
    "EpochRecorder", "FitResult", "ProxyFilter", "Recipe", "default_recipe", "even_batches", "features_of", "grand",
    "load_state", "make_optimizer", "objective", "previous", "read", "vog",
]
# fmt: on
