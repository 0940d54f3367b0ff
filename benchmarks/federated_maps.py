"""What maps of a federation are good for: noisy clients found, agreement with a training in one place, privacy's price.

Command: python benchmarks/federated_maps.py --dataset digits
         python benchmarks/federated_maps.py --dataset fsdd --data-root DATA --by group --clients 6

10 clients, cnn-8, 20 rounds of one local epoch, every round a checkpoint; 30 % of the clients with 40 % wrong labels.
Prints, over the seeds with a 95 % t interval: the area under ROC of every detector after 2, 5 and 20 rounds, and of
those that read maps with the noise of privacy on the last histogram (one release); the rank correlation of the merged
map with that of a training in one place, of another seed, beside that of two such trainings; the privacy curve of
"33% ambiguous". About half a minute for a seed on one core.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

from trainmap import DataMap, Dynamics, compare
from trainmap.data import Dataset, Splits, load_splits
from trainmap.federated import (
    Client,
    Evidence,
    Federation,
    LocalGrid,
    Noise,
    Outcome,
    Partition,
    Privacy,
    detected,
    federate,
    judging,
    make_client_app,
    merged_map,
    noisy,
    privacy_curve,
    told_histograms,
    weights_of,
)
from trainmap.federated.partition import partition
from trainmap.models.build import build
from trainmap.training import Recipe

MODEL, RECIPE, ROUNDS = "cnn-8", Recipe(epochs=1, batch=16, peak_lr=0.05), 20
EPSILONS = (10.0, 3.0, 1.0, 0.3)
Found = dict[str, list[float]]


def run(
    parts: Sequence[Dataset], splits: Splits, seed: int, folder: Path, participation: float = 1.0
) -> tuple[Outcome, list[Dynamics]]:
    """A federation of these clients, and what they recorded."""
    federation = Federation(rounds=ROUNDS, participation=participation, seed=seed)
    clients = [Client(number, one, MODEL, RECIPE, federation, folder / str(number)) for number, one in enumerate(parts)]
    app = make_client_app(lambda context: clients[int(context.node_config["number"])])
    grid = LocalGrid(app, {number + 1: {"number": number} for number in range(len(parts))})
    network = build(MODEL, splits.train.classes, splits.train.inputs, seed)
    first, trained = weights_of(network), [name for name, _ in network.named_parameters()]
    evaluate, judge = judging(network, splits.test), judging(network, splits.validation)
    outcome = federate(grid, first, trained, federation, len(parts), evaluate, judge=judge)
    return outcome, [Dynamics.open(client.folder) for client in clients]


def parted(train: Dataset, how: Partition, clients: int, seed: int) -> list[Dataset]:
    groups = train.group(how.column) if how.column else None
    return [train.subset(ids) for ids in partition(train.ids, train.y, clients, how, seed, groups)]


def detection(splits: Splits, how: Partition, clients: int, participation: float, seed: int, found: Found) -> None:
    """Adds the areas of one run."""
    parts = parted(splits.train, how, clients, seed)
    labels = [one.y for one in parts]
    who, labels = noisy([one.ids for one in parts], labels, splits.train.classes, Noise(0.3, 0.4), seed)
    with tempfile.TemporaryDirectory() as folder:
        changed = [replace(one, y=y) for one, y in zip(parts, labels, strict=True)]
        outcome, recorded = run(changed, splits, seed, Path(folder), participation)
        for rounds in (2, 5, ROUNDS):
            maps = [DataMap.from_dynamics(one, [], epochs=rounds, workers=1) for one in recorded]
            known = Evidence.of(clients, outcome.rounds[: rounds + 1], told_histograms(maps))
            for name, area in detected(known, who.tolist()).items():
                found[f"{name}, {rounds} rounds"].append(area)
        for epsilon in EPSILONS:
            told = np.array(told_histograms(maps, Privacy(epsilon), seed=seed), dtype=np.float64)
            for name, area in detected(Evidence(told, examples=known.examples), who.tolist()).items():
                found[f"{name}, {ROUNDS} rounds, epsilon {epsilon:g}"].append(area)
    found["accuracy of the federation"].append(outcome.rounds[-1].metrics["accuracy"])


def agreement(splits: Splits, how: Partition, clients: int, seed: int, found: Found) -> None:
    """Adds how one merged map agrees with one of a training in one place, and what privacy does to it."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _, ours = run(parted(splits.train, how, clients, seed), splits, seed, root / "many")
        central = [merged_map(run([splits.train], splits, seed + at, root / str(at))[1], []) for at in (0, 1000)]
        made = merged_map(ours, [])
        maps = [DataMap.from_dynamics(one, [], workers=1) for one in ours]
    for name, one in (("merged and central", made), ("two central", central[0])):
        beside = compare(one, central[1])
        for score in beside.scores:
            found[f"{name}: {score.score}, Spearman"].append(score.spearman)
        found[f"{name}: regions, kappa"].append(beside.regions.kappa)
    for point in privacy_curve(maps, "33% ambiguous", [None, *map(Privacy, EPSILONS)], seeds=[seed]):
        found[f"epsilon {point.epsilon:g}: Jaccard"].append(point.jaccard)
        found[f"epsilon {point.epsilon:g}: error of ranks"].append(point.rank_error)


def shown(found: Found) -> None:
    for name, values in found.items():
        around = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values) if len(values) > 1 else np.nan
        print(f"  {name:44s} {np.mean(values):6.3f} +- {around:.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--data-root", default="data")
    parser.add_argument("--by", nargs="+", default=["iid", "dirichlet"], help="partitions")
    parser.add_argument("--column", default="speaker", help="of the partition by group")
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--participation", type=float, nargs="+", default=[1.0, 0.3])
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    splits = load_splits(given.dataset, given.data_root)
    for by in given.by:
        options: dict[str, Any] = {"column": given.column} if by == "group" else {}
        how = Partition(by, alpha=0.3, least=10, **options)
        for participation in given.participation:
            print(f"{given.dataset} {how}, participation {participation:g}: noisy clients, n = {given.seeds}")
            areas: Found = defaultdict(list)
            for seed in range(given.seeds):
                detection(splits, how, given.clients, participation, seed, areas)
            shown(areas)
        print(f"{given.dataset} {how}: agreement, n = {given.seeds}")
        values: Found = defaultdict(list)
        for seed in range(given.seeds):
            agreement(splits, how, given.clients, seed, values)
        shown(values)


if __name__ == "__main__":
    main()
