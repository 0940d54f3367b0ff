"""Did searching for hyperparameters pay? From searches, by what was found beside what the network had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trainmap.experiments.report.answer import (
    Answer,
    Compared,
    of_chance,
    paid_of,
    shown_difference,
    sure_of,
    tone_of,
)
from trainmap.experiments.results.searched import Arm
from trainmap.experiments.results.statistics import Difference
from trainmap.views.amounts import show_flops


def search_answer(arms: Sequence[Arm], gains: Mapping[str, tuple[Difference, bool]], level: float) -> Answer | None:
    """The answer of all searches; ``gains`` are found minus start by their names, a family. None where nothing was
    judged."""
    its = {arm.name: Compared(arm.name, "", "the start", *gains[arm.name]) for arm in arms if gains[arm.name][0].n}
    if not its:
        return None
    best = max(its.values(), key=lambda one: (one.won, one.difference.mean))
    arm = next(arm for arm in arms if arm.name == best.name)
    return Answer(
        "Searching for hyperparameters",
        paid_of([*its.values()], "training with what the search found", "with what the network had"),
        f"What the search for {best.name} found is {shown_difference(best)} of macro F1 on the test data from what the "
        f"network had{of_chance(best)}; the search took {show_flops(arm.spent('train_flops'))}.",
        sure_of([*its.values()], level, 1),
        tone_of([*its.values()]),
        "test macro F1",
        tuple(its.values()),
    )
