"""Federated learning on one point of an experiment: a run for each row and seed, opponents among them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from importlib.util import find_spec

from trainmap.errors import TrainmapError
from trainmap.experiments.plan.draft import Draft
from trainmap.experiments.tasks.datasets import Elsewhere
from trainmap.experiments.tasks.federated_run import FederatedRun
from trainmap.federated.federation import Choice, Privacy, Recording
from trainmap.federated.partition import Noise, Partition
from trainmap.selection.words import Plan, parse

ALL, EQUAL, ONCE = "all", "all at equal compute", " once"
NOTHING = Recording(nothing=True)
WHERE = ("federated",)


@dataclass(frozen=True)
class Choosing:
    """What clients train on in the runs of a row."""

    choice: Choice
    recording: Recording = NOTHING
    privacy: Privacy | None = None


def plan_federated(draft: Draft) -> None:
    """Add the runs of every row; all data, random of the size of each row, and all data at the compute of each row are
    among them always."""
    federated, wrong = draft.experiment.federated, draft.variant.wrong
    if federated is None:
        return
    if find_spec("flwr") is None:
        raise wrong(WHERE, "needs Flower: pip install 'trainmap[federated]'")
    if draft.evaluation:
        raise wrong(("evaluation",), "a federation is judged on the test data alone; leave evaluation out")
    if len(seeds := draft.experiment.seeds) > len(set(seeds)):
        raise wrong(("seeds",), f"must be different for a federation, got {seeds}")
    draft.recipe(WHERE, federated, "federated")  # here, so that an unknown network is told once
    _check_aggregation(draft)
    ways = _ways(draft)
    tasks = {way: _task(draft, way, seeds[0]) for way in ways}
    chosen = [way for way in ways if not way.choice.everything]
    asked = [way for way in chosen if not tasks[way].is_random] or chosen
    equal = dict.fromkeys(tasks[way].equal_rounds for way in asked)
    _check_privacy(draft, tasks.values())
    _check_parts(draft, tasks[ways[0]])
    name = federated.name or federated.model
    for way, own in [*((way, None) for way in ways), *((ways[0], rounds) for rounds in equal)]:
        for seed in seeds:
            task = _task(draft, way, seed, own)
            title = f"federated, {task.row}, {name} on {draft.splits.train.name}, seed {seed}"
            draft.add(task, title, name, target=federated.target)


def _ways(draft: Draft) -> list[Choosing]:
    """Each row once: all the data, then random of each size, then what the file asks for."""
    asked: list[Choosing] = []
    for at, spec in _specs(draft):
        try:
            way = _way(draft, spec)
            _ = _task(draft, way, 0).federation  # that the rounds have the checkpoints that it needs
        except TrainmapError as error:
            raise draft.variant.wrong((*WHERE, "select", at), error) from error
        if way in asked:
            raise draft.variant.wrong((*WHERE, "select", at), f"'{spec}' stands twice; keep one of them")
        asked.append(way)
    shares = dict.fromkeys(_percent(way.choice) for way in asked if not way.choice.everything)
    sizes = shares or dict.fromkeys(Decimal(f"{100 * size:.6g}") for size in draft.experiment.sizes)
    random = [Choosing(Choice(f"{size:f}% random")) for size in sizes]
    return [*dict.fromkeys((Choosing(Choice(ALL)), *random, *asked))]


def _specs(draft: Draft) -> Iterator[tuple[int, str]]:
    """The rows that are asked for by their place in the file; a word without an amount at each size."""
    federated = draft.experiment.federated
    assert federated is not None
    for at, said in enumerate(federated.select):
        if said in (ALL, EQUAL):
            continue
        text, once = said.removesuffix(ONCE), said.endswith(ONCE)
        try:
            plan = parse(text)
        except TrainmapError as error:
            raise draft.variant.wrong((*WHERE, "select", at), error) from error
        first = plan.parts[0]
        bare = len(plan.parts) == 1 and first.percent is None and first.count is None
        for size in draft.experiment.sizes if bare else [None]:
            part = first if size is None else replace(first, percent=Decimal(f"{100 * size:.6g}"))
            yield at, f"{Plan((part,)) if bare else plan}{ONCE if once else ''}"


def _way(draft: Draft, spec: str) -> Choosing:
    federated = draft.experiment.federated
    assert federated is not None
    text, once = spec.removesuffix(ONCE), spec.endswith(ONCE)
    if not Choice(text).request.reads_map:
        return Choosing(Choice(text, once))
    record, told = federated.record, federated.privacy
    return Choosing(
        Choice(text, once, federated.bounds, federated.warmup),
        Recording(every=record.every),
        None if told is None else Privacy(told.epsilon, told.delta, told.secure),
    )


def _percent(choice: Choice) -> Decimal:
    return min(Decimal(100), sum((part.percent or Decimal(0) for part in choice.plan.parts), start=Decimal(0)))


def _task(draft: Draft, way: Choosing, seed: int, own_rounds: int | None = None) -> FederatedRun:
    federated = draft.experiment.federated
    assert federated is not None
    recipe = draft.recipe(WHERE, federated, "federated")
    partition, noise = federated.partition.settled(), federated.noise
    return FederatedRun(
        data=draft.data,
        model=federated.model,
        recipe=replace(recipe, epochs=(own_rounds or federated.rounds) * federated.local_epochs),
        seed=seed,
        patience=None,
        device=draft.experiment.device,
        evaluation=Elsewhere(),
        clients=federated.clients,
        rounds=federated.rounds,
        own_rounds=own_rounds,
        participation=federated.participation,
        local_epochs=federated.local_epochs,
        aggregation=federated.aggregation,
        options={name: float(value) for name, value in federated.options.items()},
        partition=Partition(**partition, least=federated.partition.least),
        noise=None if noise is None else Noise(noise.clients, noise.share),
        choice=way.choice,
        recording=way.recording,
        privacy=way.privacy,
    )


def _check_aggregation(draft: Draft) -> None:
    from trainmap.federated.aggregation import aggregation_of  # flwr

    federated = draft.experiment.federated
    assert federated is not None
    try:
        aggregation = aggregation_of(federated.aggregation)
    except TrainmapError as error:
        raise draft.variant.wrong((*WHERE, "aggregation"), error) from error
    try:
        aggregation.make(federated.options)
    except TrainmapError as error:
        raise draft.variant.wrong((*WHERE, "options"), error) from error


def _check_privacy(draft: Draft, tasks: Iterable[FederatedRun]) -> None:
    """That there is noise for so much privacy, and that secure aggregation has clients enough."""
    from trainmap.federated.feasible import check_federation  # flwr

    for task in tasks:
        try:
            check_federation(task.federation, task.clients)
        except TrainmapError as error:
            raise draft.variant.wrong((*WHERE, "privacy"), error) from error


def _check_parts(draft: Draft, task: FederatedRun) -> None:
    """Part the data as each seed will: with as many clients, by that column, with that noise."""
    train = draft.rehearsal.train
    if train is None:
        return
    for seed in draft.experiment.seeds:
        try:
            task.model_copy(update={"seed": seed}).holding(train)
        except TrainmapError as error:
            raise draft.variant.wrong((*WHERE, "partition"), error) from error
