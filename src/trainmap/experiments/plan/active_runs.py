"""Active learning on one point of an experiment: a run for each strategy and seed."""

from __future__ import annotations

from trainmap.errors import TrainmapError
from trainmap.experiments.plan.draft import Draft
from trainmap.experiments.tasks.active_learning import ActiveLearning
from trainmap.experiments.tasks.datasets import Elsewhere
from trainmap.selection.acquisitions import acquisition_of

ALWAYS = ("random", "entropy")
"""The opponents: chance, and what everybody does."""


def plan_active(draft: Draft) -> None:
    """Add the runs of every strategy, random and entropy among them."""
    active, wrong = draft.experiment.active, draft.variant.wrong
    if active is None:
        return
    where = ("active",)
    if draft.evaluation:
        raise wrong(("evaluation",), "active learning is judged on the test data alone; leave evaluation out")
    sizes = tuple(active.start + active.step * number for number in range(active.rounds))
    if sizes[-1] > draft.examples:
        message = f"the last round would have {sizes[-1]} labels of {draft.examples} examples; lower start, step or it"
        raise wrong((*where, "rounds"), message)
    if len(seeds := draft.experiment.seeds) > len(set(seeds)):
        raise wrong(("seeds",), f"must be different for active learning, got {seeds}")
    for at, strategy in enumerate(active.strategies):
        try:
            way = acquisition_of(strategy)
        except TrainmapError as error:
            raise wrong((*where, "strategies", at), error) from error
        if strategy in active.strategies[:at]:
            raise wrong((*where, "strategies", at), f"'{strategy}' stands twice; keep one of them")
        task = _task(draft, strategy, sizes, 0)
        if way.reads == "epochs" and (least := min(task.epochs(size) for size in sizes)) < 2:
            message = f"{strategy} reads several epochs of a training, which has {least}; give more steps or epochs"
            raise wrong((*where, "strategies", at), message)
    name = active.name or active.model
    for strategy in dict.fromkeys((*ALWAYS, *active.strategies)):
        for seed in draft.experiment.seeds:
            title = f"active learning, {strategy}, {name} on {draft.splits.train.name}, seed {seed}"
            draft.add(_task(draft, strategy, sizes, seed), title, name)


def _task(draft: Draft, strategy: str, sizes: tuple[int, ...], seed: int) -> ActiveLearning:
    active = draft.experiment.active
    assert active is not None
    return ActiveLearning(
        data=draft.data,
        model=active.model,
        recipe=draft.recipe(("active",), active, "active"),
        seed=seed,
        patience=None,
        device=draft.experiment.device,
        evaluation=Elsewhere(),
        strategy=strategy,
        sizes=sizes,
        steps=active.steps,
        sweeps=active.sweeps,
    )
