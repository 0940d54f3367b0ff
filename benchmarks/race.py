"""Does a race on held-out data hold? What it chose and what it refused, on other seeds and on the test data.

    python benchmarks/race.py --data DATA --out race.jsonl        # about two hours on one core; goes on where it was
    python benchmarks/race.py --data DATA --out race.jsonl --sets clinc150 --times 2   # racers trained twice as long
    python benchmarks/race.py --out race.jsonl --page docs/race.md   # puts what is there into the page
    python benchmarks/race.py --data DATA --out wider.jsonl --wider  # what does a wider judge refuse? An hour
    python benchmarks/race.py --out wider.jsonl --wider --page docs/race.md

DATA holds the sets of ``SETS`` as ``load_splits`` reads them (ag_news/ag_news.parquet: columns text = "title. text" and
label). For each set a map of out-of-fold dynamics is made (two networks, each trained on half of the training part by
the default recipe, each predicting the other half after every epoch). For each kept share, for a fixed subset and for
fresh draws, ``tm.race`` chooses with a cheap network on the validation part, once within its bound (``LIMIT`` of what
one training on the subset saves), at the smallest share once more with room for all. Then five students of the full
width are trained by what was chosen and five evenly, with seeds of their own, and judged on the test part: points of
macro F1 with the paired 95 % interval. The finalist of a race that chose even draws is trained as well: what did the
interval refuse? ``--wider``: races of texts and tables by the narrowest network (twice its recipe's epochs, as
``Racer`` has it) with room for all; the one of twice its width is asked about every winner. Sets of ``ASIDE`` are
columns text and label, or of numbers, label and split (4,000 rows to train on, 1,000 to judge, 4,000 to test).
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

import trainmap as tm
from trainmap.data.dataset import Splits, load_splits
from trainmap.evaluation.metrics import evaluate
from trainmap.experiments.results.statistics import paired_difference
from trainmap.models.build import build
from trainmap.models.predict import predict
from trainmap.races import CANDIDATES, EVEN, Racer
from trainmap.races.race import race
from trainmap.races.raced import draw, pool_of
from trainmap.training import Recipe, Watching, default_recipe
from trainmap.training.fit import fit

SETS: dict[str, tuple[str, str, str]] = {  # name -> (path, student, racer)
    "SUBJ": ("subj/subj.parquet", "text-bag-64", "text-bag-8"),
    "sst2": ("sst2", "text-bag-64", "text-bag-8"),
    "clinc150": ("clinc150", "text-bag-64", "text-bag-16"),
    "ag_news_test": ("ag_news/ag_news.parquet", "text-bag-64", "text-bag-8"),
    "sms_spam": ("sms_spam/sms_spam.parquet", "text-bag-64", "text-bag-8"),
    "usps": ("usps", "cnn-8", "cnn-4"),
    "adult": ("adult", "mlp-256", "mlp-32"),
}
TEXT, TABLE = ("text-bag-64", "text-bag-8", "text-bag-16"), ("mlp-256", "mlp-32", "mlp-64")  # student, racer, wider
KNOWN: dict[str, tuple[str, str, str, str]] = {  # name -> (path, student, racer, wider): they led to the wider judge
    **{name: (path, *TEXT) for name, (path, student, _) in SETS.items() if student == TEXT[0]},
    "adult": ("adult", *TABLE),
    "letter": ("letter.parquet", *TABLE),
}
ASIDE: dict[str, tuple[str, str, str, str]] = {  # that had no part in it
    **{name: (f"{name.lower()}.parquet", *TEXT) for name in ("MR", "CR", "MPQA", "TREC")},
    **{name: (f"{name.lower()}.parquet", *TABLE) for name in ("pendigits", "MAGIC")},
}
WIDER = KNOWN | ASIDE
SHARES = (0.1, 0.2, 0.33, 0.5)
KINDS = ("subset", "fresh")
LIMITS = {"within the bound": 0.5, "with room": 100.0}
SEEDS = range(5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the sets; leave out to read what is there")
    parser.add_argument("--out", type=Path, required=True, help="results, one JSON a line; races lie beside it")
    parser.add_argument("--sets", nargs="*", help="some of the sets; all by default")
    parser.add_argument("--wider", action="store_true", help="ask a wider network about every winner")
    parser.add_argument("--times", type=int, default=1, help="racers are trained for so many times their epochs")
    parser.add_argument("--page", type=Path, help="a page; the table goes between its marks")
    parser.add_argument("--map", choices=("held-out", "train"), default="held-out")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.data is not None and given.wider:
        measure_wider(given.data, given.out, given.sets or list(WIDER))
    elif given.data is not None:
        measure(given.data, given.out, given.sets or list(SETS), given.map, given.times)
    if given.page is not None:
        rows = list(rows_of(given.out))
        if given.wider:
            tables = {"wider": wider_table(rows, KNOWN), "aside": wider_table(rows, ASIDE)}
        else:
            tables = {"races": table(rows)}
        text = given.page.read_text()
        for name, told in tables.items():
            begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
            head, rest = text.split(begin)
            text = f"{head}{begin}\n\n{told}\n\n{end}{rest.split(end)[1]}"
        given.page.write_text(text)


def measure(data: Path, out: Path, sets: list[str], source: str, times: int) -> None:
    """Run what is not in ``out`` yet."""
    known = {key(row): row for row in rows_of(out)}
    races = out.with_suffix(".races")
    for share in SHARES:
        for name in sets:
            path, student, racer = SETS[name]
            splits = load_splits(path, data)
            datamap = map_of(splits, student, races / f"{name}-{source}.parquet", source)
            size = round(share * len(splits.train))
            for kind in KINDS:
                recipe = recipe_of(racer, splits)
                recipe = replace(recipe, epochs=times * recipe.epochs)
                judge = Racer(splits.train, splits.validation, racer, recipe, student=student)
                finalists: list[str] = [EVEN]
                for how, limit in LIMITS.items():
                    if how != "within the bound" and (share != SHARES[0] or times > 1):
                        continue
                    how = how if times == 1 else f"{how}, {times} x"
                    cell = {"set": name, "map": source, "share": share, "kind": kind, "how": how}
                    journal = races / f"{name}-{source}-{kind}-{size}-{times}.json"
                    if (found := known.get(key(cell))) is None:
                        start = time.process_time()
                        one = race(datamap, size, judge, kind=kind, limit=limit, journal=journal)
                        told = {"finalist": one.finalist, "winner": one.winner, "spent": one.spent}
                        told |= {"saved": one.facts.saved, "price": one.facts.price, "reason": one.reason}
                        told |= {"trainings": len(one.trainings), "raced": list(one.facts.candidates)}
                        told |= {} if one.final is None else vars(one.final)
                        found = cell | told | {"cpu": time.process_time() - start}
                        note(out, found)
                    finalists.append(str(found["finalist"]))
                for choice in dict.fromkeys(filter(None, finalists)):
                    for seed in SEEDS:
                        cell = {"set": name, "map": source, "share": share, "kind": kind, "how": "student"}
                        cell |= {"choice": choice, "seed": seed}
                        if key(cell) in known:
                            continue
                        start = time.process_time()
                        examples = draw(choice, CANDIDATES, pool_of(datamap, size), size, seed, kind)
                        score = trained(splits, student, recipe_of(student, splits), examples, seed)
                        note(out, cell | {"score": score, "cpu": time.process_time() - start})


def measure_wider(data: Path, out: Path, sets: list[str]) -> None:
    """Run what is not in ``out`` yet of the races of which a wider judge is asked about the winner."""
    known = {key(row) for row in rows_of(out)}
    races = out.with_suffix(".races")
    for name in sets:
        path, student, *judges = WIDER[name]
        splits = load_splits(path, data)
        datamap = map_of(splits, student, races / f"{name}-held-out.parquet", "held-out")
        narrow, wide = (Racer(splits.train, splits.validation, model, student=student) for model in judges)
        for share, kind in product(SHARES[:3], KINDS):
            cell = {"set": name, "share": share, "kind": kind, "how": "wider"}
            if key(cell) in known:
                continue
            size = round(share * len(splits.train))
            journal = races / f"{name}-wider-{kind}-{size}.json"
            one = race(datamap, size, narrow, kind=kind, limit=LIMITS["with room"], wider=wide, journal=journal)
            found = cell | {"finalist": one.finalist, "winner": one.winner, "even": one.score}
            found |= {"shown": bool(one.final and one.final.shown), "spent": one.spent, "saved": one.facts.saved}
            found |= {"final": one.final and vars(one.final), "wider": one.wider and vars(one.wider)}
            if found["shown"]:
                pool, recipe = pool_of(datamap, size), recipe_of(student, splits)
                found["scores"] = {
                    choice: [
                        trained(splits, student, recipe, draw(choice, CANDIDATES, pool, size, seed, kind), seed)
                        for seed in SEEDS
                    ]
                    for choice in (one.finalist, EVEN)
                }
            note(out, found)


def wider_table(rows: list[dict[str, Any]], sets: Collection[str]) -> str:
    """A line for each race of these that had a winner: what the wider judge says, and the student on the test data."""
    lines = [
        "| data, kept | kind | won | by the racer | by the wider one | verdict | of what is saved | on the test data |"
    ]
    lines += ["|---|---|---|---|---|---|---:|---|"]
    for row in sorted(rows, key=lambda row: (row["share"], [*WIDER].index(row["set"]), row["kind"] != "subset")):
        if not row["shown"] or row["set"] not in sets:
            continue
        ours, even = (dict(enumerate(100 * np.array(row["scores"][one]))) for one in (row["finalist"], EVEN))
        found = paired_difference(ours, even)
        first, second = (f"{100 * row[at]['mean']:+.1f}, from {100 * row[at]['low']:+.1f}" for at in ("final", "wider"))
        verdict = "even" if row["winner"] == EVEN else "agrees"
        lines.append(
            f"| {row['set']}, {100 * row['share']:g} % | {row['kind']} | {row['finalist']} | {first} | {second} | "
            f"{verdict} | {row['spent'] / row['saved']:.0%} | {found.mean:+.1f} [{found.low:+.1f}, {found.high:+.1f}] |"
        )
    return "\n".join(lines)


def table(rows: list[dict[str, Any]]) -> str:
    """A line for each race: what it chose and by how much, its cost, and the finalist on the test data."""
    scores: dict[tuple[Any, ...], dict[int, float]] = defaultdict(dict)
    for row in rows:
        if row["how"] == "student":
            scores[row["set"], row["share"], row["kind"], row["choice"]][row["seed"]] = row["score"]
    lines = ["| data, kept | kind | won | in the race | trainings | of what is saved | on the test data |"]
    lines += ["|---|---|---|---|---:|---:|---|"]
    order = [*SETS]
    for row in sorted(rows, key=lambda row: (row["share"], order.index(row["set"]), row["kind"] != "subset")):
        if row["how"] == "student":
            continue
        twin = {**row, "how": "within the bound"}
        if row["how"] == "with room" and any(key(one) == key(twin) and same(one, row) for one in rows):
            continue
        at = (row["set"], row["share"], row["kind"])
        ours, even = scores[*at, row["finalist"]], scores[*at, EVEN]
        found = paired_difference({k: 100 * v for k, v in ours.items()}, {k: 100 * v for k, v in even.items()})
        test = f"{found.mean:+.1f} [{found.low:+.1f}, {found.high:+.1f}]" if found.n > 1 else ""
        if row["finalist"] and found.n < len(SEEDS):
            continue  # still under way
        refused = row["winner"] == EVEN and row["finalist"]
        what = f"even (refused: {row['finalist']})" if refused else row["winner"]
        led = f"{100 * row['mean']:+.1f}, from {100 * row['low']:+.1f}" if "mean" in row else "no final"
        how = "" if row["how"] == "within the bound" else f", {row['how'].removeprefix('within the bound, ')}"
        share = f"{row['spent'] / row['saved']:.0%}"
        lines.append(
            f"| {row['set']}, {100 * row['share']:g} % | {row['kind']}{how} | {what} | {led} | {row['trainings']} | "
            f"{share} | {test} |"
        )
    return "\n".join(lines)


def recipe_of(model: str, splits: Splits) -> Recipe:
    """The default one; the racer of images is trained half as long."""
    recipe = default_recipe(model, splits.train.name, inputs=splits.train.inputs)
    return replace(recipe, epochs=recipe.epochs // 2) if model == "cnn-4" else recipe


def trained(splits: Splits, name: str, recipe: Recipe, examples: Any, seed: int) -> float:
    """Macro F1 on the test part of a student."""
    model = build(name, splits.train.classes, splits.train.inputs, seed)
    if hasattr(examples, "plan"):
        fit(model, splits.train, recipe, seed=seed, visits=examples)
    else:
        fit(model, splits.train.subset(examples), recipe, seed=seed)
    return evaluate(predict(model, splits.test), splits.test.y).macro_f1


def map_of(splits: Splits, name: str, path: Path, source: str) -> tm.DataMap:
    """The map by held-out predictions of two halves, or by one training; made once."""
    if path.exists():
        return tm.DataMap.open(path)
    train, recipe = splits.train, recipe_of(name, splits)
    with tempfile.TemporaryDirectory() as folder:
        recorder = tm.Recorder(Path(folder) / "dynamics", train.classes, ids=train.ids, labels=train.y, source="sweep")
        if source == "train":
            folds = [(train, train)]
        else:
            place = np.random.default_rng(0).permutation(len(train))
            by_class = place[np.argsort(train.y[place], kind="stable")]
            halves = [train.subset(train.ids[by_class[at::2]]) for at in range(2)]
            folds = [(halves[0], halves[1]), (halves[1], halves[0])]
        logits: list[list[np.ndarray]] = []
        for seed, (seen, other) in enumerate(folds):
            model = build(name, train.classes, train.inputs, 200 + seed)
            logits.append([])
            look = lambda *_, m=model, o=other, kept=logits[-1]: kept.append(predict(m, o))  # noqa: E731
            fit(model, seen, recipe, seed=200 + seed, watching=Watching(on_epoch=look))
        with recorder:
            for epoch in zip(*logits, strict=True):
                for (_, other), part in zip(folds, epoch, strict=True):
                    recorder.update(other.ids, part, other.y)
                recorder.end_epoch()
        datamap = tm.DataMap.from_dynamics(tm.Dynamics.open(Path(folder) / "dynamics"))
    path.parent.mkdir(parents=True, exist_ok=True)
    datamap.save(path)
    return datamap


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether the bound had room for all anyway."""
    return one["trainings"] == other["trainings"]


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in ("set", "map", "share", "kind", "how", "choice", "seed"))


def rows_of(out: Path) -> Iterator[dict[str, Any]]:
    if out.exists():
        yield from map(json.loads, out.read_text().splitlines())


def note(out: Path, row: dict[str, Any]) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a") as handle:
        handle.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
