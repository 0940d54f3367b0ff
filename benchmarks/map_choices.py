"""What is gained by preferring what a map calls ambiguous? Measured once for each dataset, choice, size and seed.

    python benchmarks/map_choices.py --data-root DATA --out choices    # two hours on one core; goes on where it was

DATA holds the files of ``SETS``, under the names that ``trainmap.data.load_splits`` knows; ag_news.parquet has columns
text ("title. text") and label, cifar10n.npz 15,000 training images of CIFAR-10 with the labels of one annotator.

One network is recorded on each dataset (seed 100). Then students are trained on what each of ``FIXED`` chooses and each
of ``FRESH`` visits, at 10, 20, 33 and 50 % and the seeds 0 to n - 1, and their macro F1 on the validation and on the
test part is a line of ``choices/cells.jsonl``; ``choices/maps.json`` says what each map shows.
``benchmarks/leave_one_out_rule.py`` fits the rule of ``auto`` on these lines.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

import trainmap as tm
from trainmap.data.dataset import Splits, load_splits
from trainmap.data.raw_rows import Limit
from trainmap.evaluation import evaluate
from trainmap.machine import progress
from trainmap.models.build import build
from trainmap.models.predict import predict
from trainmap.schedules.covering import CoveringDraws
from trainmap.schedules.repeated_random import DisjointRandom
from trainmap.selection.auto import drawn, weighed
from trainmap.selection.auto_rule import HARDLY, KEEPS_UP, READS, read_map
from trainmap.selection.pool import Pool
from trainmap.selection.select import known_pool
from trainmap.training.fit import fit
from trainmap.training.recipes import default_recipe
from trainmap.training.watching import Watching

Array = np.ndarray
SIZES = (0.1, 0.2, 0.33, 0.5)
TEACHER_SEED = 100


@dataclass(frozen=True)
class Set:
    """A development dataset: its kind, the networks of map and students, their epochs (None: the recipe's)."""

    name: str
    kind: str
    teacher: str
    student: str
    epochs: int | None = None
    limit: int | None = None
    called: str = ""

    @property
    def short(self) -> str:
        return self.called or self.name.removesuffix(".parquet")


PLAIN = "overlap=0,wrong=0,duplicates=0,near=0,rare=0,outliers=0"
SETS = (
    Set("subj.parquet", "text", "text-bag-64", "text-bag-64"),
    Set("usps", "image", "cnn-16", "cnn-8", 8),
    Set("adult", "table", "mlp-256", "mlp-256"),
    Set("sst2", "text", "text-bag-64", "text-bag-64"),
    Set("fsdd", "sound", "spec-16", "spec-8"),
    Set("clinc150", "text", "text-bag-64", "text-bag-64"),
    Set("fashion-mnist", "image", "cnn-16", "cnn-8", 8, 10_000),
    Set("ag_news.parquet", "text", "text-bag-64", "text-bag-64"),
    Set("sms_spam.parquet", "text", "text-bag-64", "text-bag-64"),
    Set(f"synthetic:examples=6000,separation=2.5,{PLAIN}", "table", "mlp-256", "mlp-256", called="made, 5 classes"),
    Set(
        f"synthetic:examples=6000,classes=2,separation=2,{PLAIN}",
        "table",
        "mlp-256",
        "mlp-256",
        called="made, 2 classes",
    ),
    Set("cifar10n.npz", "image", "cnn-16", "cnn-8", 6, 12_000),
    Set("cifar10", "image", "cnn-16", "cnn-8", 6, 12_000),
)


@dataclass(frozen=True, eq=False)
class Place:
    """A dataset with its map: what a choice looks at."""

    splits: Splits
    datamap: tm.DataMap
    held_out: float


Visits = Any
Choice = Callable[[Place, int, int], Visits]  # place, size, seed -> ids, or a function from the epoch to ids


def by_random(place: Place, size: int, seed: int) -> Visits:
    return tm.select(place.datamap, "random", size, seed).ids


def prefers(tilt: float, cut: bool = False) -> Callable[[Place, int], tuple[Pool, Array, Array]]:
    """The pool, the rows that are left and their log-weights: tilt times the rank of variability.

    ``cut`` leaves out those that are hardly ever right, whatever else the map says of them.
    """

    def weigh(place: Place, size: int) -> tuple[Pool, Array, Array]:
        pool = known_pool(place.datamap, size=size)
        hardly = int((pool.scores["correctness"] <= HARDLY * pool.epochs).sum())
        lowest = min(hardly, len(pool) - size) if cut else 0
        kept, weights = weighed(pool, replace(read_map(pool, size), cut=lowest, lowest=lowest, tilt=tilt))
        return pool, kept, weights

    return weigh


def once(tilt: float, cut: bool = False) -> Choice:
    """A subset, drawn once by these weights, classes in proportion."""

    def choose(place: Place, size: int, seed: int) -> Visits:
        pool, kept, weights = prefers(tilt, cut)(place, size)
        return np.sort(pool.ids[drawn(pool, size, np.random.default_rng([seed, 1]), (kept, weights), None)])

    return choose


def covering(tilt: float, cut: bool = False) -> Choice:
    """Each epoch another part, over the epochs by the same weights."""

    def choose(place: Place, size: int, seed: int) -> Visits:
        pool, kept, weights = prefers(tilt, cut)(place, size)
        draws = CoveringDraws(weights, pool.labels[kept], size, "proportional", seed)
        return lambda epoch: pool.ids[kept[draws.rows(epoch)]]

    return choose


def by_repeated_random(place: Place, size: int, seed: int) -> Visits:
    schedule = DisjointRandom(place.datamap.ids, size, seed)
    return lambda epoch: schedule.plan(epoch).ids


FIXED: dict[str, Choice] = {
    "random": by_random,
    "tilt 4": once(4),
    "cut": once(0, cut=True),
}
FRESH: dict[str, Choice] = {
    "repeated random": by_repeated_random,
    "fresh tilt 4": covering(4),
    "fresh cut": covering(0, cut=True),
}
CUTS = ("cut", "fresh cut")
"""Measured only where what is contradicted gains less than half of what the others gain."""


def prepared(one: Set, root: Path, out: Path) -> Place:
    """The data and the map; recordings are kept in ``out``."""
    limit = None if one.limit is None else Limit(train=one.limit, validation=4000, test=4000)
    splits = load_splits(one.name, root, limit=limit)
    folder, told = out / one.short / "dynamics", out / one.short / "told.json"
    recipe = default_recipe(one.teacher, one.name, one.epochs, splits.train.inputs)
    if not told.exists():
        train = splits.train
        model = build(one.teacher, train.classes, train.inputs, TEACHER_SEED)
        with tm.Recorder(folder, train.classes, train.ids, train.y, overwrite=True) as recorder:
            fit(model, train, recipe, seed=TEACHER_SEED, watching=Watching(recorder))
        held_out = evaluate(predict(model, splits.validation), splits.validation.y).accuracy
        told.write_text(json.dumps({"held_out": held_out}))
    datamap = tm.DataMap.from_dynamics(tm.Dynamics.open(folder), scores=list(READS))
    return Place(splits, datamap, json.loads(told.read_text())["held_out"])


def shown(one: Set, place: Place) -> dict[str, Any]:
    """What a map and held-out data show: shares of the examples, gains of p(gold) over the recording."""
    aum, gain = place.datamap.values("aum"), place.datamap.values("slope") * (place.datamap.epochs - 1)
    against = aum < 0
    return {
        "kind": one.kind,
        "examples": len(aum),
        "classes": place.splits.train.classes,
        "contradicted": float(against.mean()),
        "wrong on other data": 1 - place.held_out,
        "gain": float(gain[against].mean()),
        "gain of the others": float(gain[~against].mean()),
    }


def measure(one: Set, root: Path, out: Path, seeds: int) -> None:
    place, done = prepared(one, root, out), set(read_cells(out))
    train = place.splits.train
    maps = read_maps(out) | {one.short: shown(one, place)}
    (out / "maps.json").write_text(json.dumps(maps, indent=1))
    slow = maps[one.short]["gain"] < KEEPS_UP * maps[one.short]["gain of the others"]
    names = [name for name in (*FIXED, *FRESH) if slow or name not in CUTS]
    cells = [(one.short, name, share, seed) for seed in range(seeds) for share in SIZES for name in names]
    todo = [cell for cell in cells if cell not in done]
    recipe = default_recipe(one.student, one.name, one.epochs, train.inputs)
    with progress(one.short, len(todo)) as advance:
        for cell in todo:
            _, name, share, seed = cell
            visits = (FIXED | FRESH)[name](place, round(share * len(train)), seed)
            again = name in FRESH  # visits is a function then
            data = train if again else train.subset(visits)
            model = build(one.student, train.classes, train.inputs, seed)
            fit(model, data, recipe, seed=seed, visits=visits if again else None)
            parts = {"validation": place.splits.validation, "test": place.splits.test}
            found = {part: evaluate(predict(model, data), data.y).macro_f1 for part, data in parts.items()}
            row = dict(zip(("data", "choice", "size", "seed"), cell, strict=True)) | found
            with (out / "cells.jsonl").open("a") as file:
                file.write(json.dumps(row) + "\n")
            advance(1)


Cell = tuple[str, str, float, int]  # data, choice, size, seed


def read_cells(out: Path) -> dict[Cell, dict[str, float]]:
    """Macro F1 in percent on each part."""
    path = out / "cells.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return {
        (row["data"], row["choice"], row["size"], row["seed"]): {
            part: 100 * row[part] for part in ("validation", "test")
        }
        for row in rows
    }


def read_maps(out: Path) -> dict[str, dict[str, Any]]:
    path = out / "maps.json"
    return json.loads(path.read_text()) if path.exists() else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", help="the short name of one dataset")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for one in SETS:
        if arguments.only in (None, one.short):
            measure(one, arguments.data_root, arguments.out, arguments.seeds)


if __name__ == "__main__":
    main()
