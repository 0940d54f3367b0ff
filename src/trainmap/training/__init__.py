"""The run: one loop, and what stands beside it.

Its files, in reading order::

    recipes.py     how to train: settings, and defaults that were measured
    optimizer.py   the optimizer of a recipe
    state_file.py  what torch saved, read back safely
    checkpoint.py  a killed run goes on
    features.py    a network's inner values
    step.py        the loss of one step
    proxy.py       a small network that filters the batches of a large one
    watching.py    who looks on: a recorder, functions around each epoch
    fit.py         the loop
    evaluation_pass.py  a recorder of evaluation passes
    cross_fit.py   K networks, each asked about the examples that it did not train on
    gradients.py   scores that need gradients: GraNd, VoG
    boosting.py    gradient-boosted trees as a teacher for tables
    active.py      rounds that ask for labels
    visiting.py    who says which examples an epoch visits
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainmap.faces import lazily

if TYPE_CHECKING:
    from trainmap.training.active import PoolWatch, Round, looks, rounds
    from trainmap.training.checkpoint import Progress, previous, read
    from trainmap.training.cross_fit import CrossFitted
    from trainmap.training.evaluation_pass import Sweep
    from trainmap.training.features import features_of
    from trainmap.training.fit import FitResult, check_recipe, even_batches
    from trainmap.training.gradients import grand, vog
    from trainmap.training.optimizer import make_optimizer
    from trainmap.training.proxy import ProxyFilter
    from trainmap.training.recipes import Recipe, default_recipe
    from trainmap.training.state_file import load_state
    from trainmap.training.step import Teaching, objective
    from trainmap.training.watching import EpochRecorder, Watchers, Watching, watching_of
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "active": "PoolWatch Round looks rounds",
            "checkpoint": "Progress previous read",
            "cross_fit": "CrossFitted",
            "features": "features_of",
            "fit": "FitResult check_recipe even_batches",
            "gradients": "grand vog",
            "optimizer": "make_optimizer",
            "proxy": "ProxyFilter",
            "recipes": "Recipe default_recipe",
            "state_file": "load_state",
            "step": "Teaching objective",
            "evaluation_pass": "Sweep",
            "watching": "EpochRecorder Watchers Watching watching_of",
        },
    )

# fmt: off
__all__ = [
    "CrossFitted", "EpochRecorder", "FitResult", "PoolWatch", "Progress", "ProxyFilter", "Recipe", "Round", "Sweep",
    "Teaching", "Watchers", "Watching", "check_recipe", "default_recipe", "even_batches", "features_of", "grand",
    "load_state", "looks", "make_optimizer", "objective", "previous", "read", "rounds", "vog", "watching_of",
]
# fmt: on
