"""Scores from a recording, beside one numpy pass, a vectorised reference from logits, and a JSONL reader.

    python benchmarks/scores.py                       # everything, 3 minutes on 2 cores, 6 GB of disk
    python benchmarks/scores.py --only signals jsonl  # parts of it
    python benchmarks/scores.py --scale 0.1           # a tenth of every size

Everything is made here, in one process, from one seed. Times are medians over paired repetitions (ours, reference,
ours, ...) in CPU seconds of the process, all threads together, and wall seconds; the ratio is that of the pairs'
median. The data are in the page cache for both sides.

    signals   500,000 x 6 and 50,000 x 30: all scalar scores, beside numpy's mean, standard deviation and forgetting
              over the same columns, memory-mapped
    map       400,000 x 10: ``DataMap.from_dynamics`` end to end (opening with checksums, four scores, regions, table),
              beside the same numpy pass; at most 3 of it
    logits    50,000 x 30 x 100 and 500,000 x 6 x 3: our signals and scores from logits beside a vectorised numpy
              reference of five scores from the same logits
    jsonl     the same data as the JSON lines of the code that is most in use, read line by line as it does
    stream    20,000,000 x 10 signals: confidence, variability, correctness and forgetting, with peak memory, and
              growth over three sizes
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.columns import write_columns
from trainmap.dynamics.examples import write_examples
from trainmap.dynamics.manifest import Manifest, versions, write_manifest
from trainmap.dynamics.signals import Block, empty_signals, signals_from_logits
from trainmap.dynamics.store import Dynamics
from trainmap.maps.datamap import DataMap
from trainmap.scores.compute import compute

Array = NDArray[Any]
FOUR = ["confidence", "variability", "correctness", "forgetting"]


def paired(ours: Callable[[], object], reference: Callable[[], object], repeat: int = 5) -> tuple[float, ...]:
    """Median CPU and wall seconds of both, and the median ratio of CPU and of wall, over interleaved repetitions."""
    ours()
    reference()
    times = []
    for _ in range(repeat):
        pair = []
        for function in (ours, reference):
            wall, cpu = time.perf_counter(), time.process_time()
            function()
            pair += [time.process_time() - cpu, time.perf_counter() - wall]
        times.append((*pair, pair[0] / pair[2], pair[1] / pair[3]))
    return tuple(statistics.median(column) for column in zip(*times, strict=True))


def report(what: str, against: str, result: tuple[float, ...]) -> None:
    ours, ours_wall, other, other_wall, ratio, ratio_wall = result
    print(
        f"{what:<58} {ours:8.3f} s CPU {ours_wall:8.3f} s wall | {against:<34} {other:8.3f} {other_wall:8.3f} "
        f"| ratio {ratio:5.3g} CPU {ratio_wall:5.3g} wall",
        flush=True,
    )


def write_dynamics(folder: Path, labels: Array, classes: int, epochs: list[dict[str, Array]]) -> Dynamics:
    """A dynamics folder from ready columns."""
    folder.mkdir()
    rows = len(labels)
    write_examples(folder, np.arange(rows), labels)
    entries = [write_columns(folder, f"epochs/{e:05d}.arrow", columns, rows) for e, columns in enumerate(epochs)]
    manifest = Manifest(
        examples=rows, classes=classes, id_type="int64", source="train", level="signals", epochs=entries,
        written_by=versions(),
    )  # fmt: skip
    write_manifest(folder, manifest)
    return Dynamics.open(folder)


def made_signals(rng: np.random.Generator, labels: Array, classes: int) -> dict[str, Array]:
    """One epoch of columns without logits behind them: p_gold and the prediction agree, the rest is noise."""
    columns = empty_signals(len(labels), classes)
    p_gold = rng.random(len(labels), dtype=np.float32)
    columns["p_gold"][:] = p_gold
    columns["predicted"][:] = np.where(p_gold > 0.5, labels, (labels + 1) % classes)
    for name in ("margin", "loss", "entropy", "el2n"):
        columns[name][:] = rng.random(len(labels), dtype=np.float32)
    return columns


def numpy_pass(dynamics: Dynamics) -> tuple[Array, Array, Array]:
    """The plain limit: mean, standard deviation and forgetting with numpy over memory-mapped columns."""
    p = np.stack([dynamics.column(e, "p_gold") for e in range(dynamics.epochs)])
    correct = np.stack([dynamics.column(e, "predicted") == dynamics.labels for e in range(dynamics.epochs)])
    forgetting = (correct[:-1] & ~correct[1:]).sum(axis=0)
    return p.mean(axis=0), p.std(axis=0), np.where(correct.any(axis=0), forgetting, np.inf)


def reference_from_logits(logits: Array, labels: Array) -> dict[str, Array]:
    """Five scores, vectorised over all examples of an epoch at a time, as one would write them in numpy."""
    rows = np.arange(len(labels))
    p_gold, correct = [], []
    for epoch in logits:
        z = epoch - epoch.max(axis=1, keepdims=True)
        exp = np.exp(z)
        p_gold.append(exp[rows, labels] / exp.sum(axis=1))
        correct.append(epoch.argmax(axis=1) == labels)
    p, right = np.array(p_gold, dtype=np.float64), np.array(correct)
    confidence = p.mean(axis=0)
    forgetting = np.where(right.any(axis=0), (right[:-1] & ~right[1:]).sum(axis=0), np.inf)
    return {
        "confidence": confidence,
        "variability": p.std(axis=0),
        "correctness": right.sum(axis=0),
        "forgetting": forgetting,
        "threshold_closeness": confidence * (1 - confidence),
    }


def from_logits(logits: Array, labels: Array) -> dict[str, Array]:
    """Ours: all six signals from logits, then the same five scores."""
    epochs = [signals_from_logits(epoch, labels) for epoch in logits]
    columns = {name: np.stack([epoch[name] for epoch in epochs]) for name in ("p_gold", "predicted")}
    block = Block(labels, logits.shape[2], columns)
    from trainmap.scores.table import SCORES

    return {name: SCORES[name].function(block) for name in (*FOUR, "threshold_closeness")}


def read_jsonl(folder: Path, epochs: int) -> dict[str, dict[str, float]]:
    """The shape of the reader most in use: a dict of lists built line by line, then a loop over examples."""
    training: dict[int, dict[str, Any]] = {}
    for epoch in range(epochs):
        with open(folder / f"dynamics_epoch_{epoch}.jsonl") as handle:
            for line in handle:
                record = json.loads(line)
                entry = training.setdefault(record["guid"], {"gold": record["gold"], "logits": []})
                entry["logits"].append(record[f"logits_epoch_{epoch}"])
    scores = {}
    for guid, entry in training.items():
        trend, right = [], []
        for logits in entry["logits"]:
            z = np.array(logits)
            exp = np.exp(z - z.max())
            trend.append(float(exp[entry["gold"]] / exp.sum()))
            right.append(int(z.argmax()) == entry["gold"])
        forgotten = sum(a and not b for a, b in itertools.pairwise(right))
        scores[guid] = {
            "confidence": float(np.mean(trend)),
            "variability": float(np.std(trend)),
            "correctness": sum(right),
            "forgetting": forgotten if any(right) else 1000,
        }
    return scores


def bench_signals(scratch: Path, scale: float) -> None:
    for rows, epochs, classes in ((500_000, 6, 3), (50_000, 30, 100), (5_000_000, 6, 10)):
        rows = int(rows * scale)
        rng = np.random.default_rng(0)
        labels = rng.integers(0, classes, rows)
        made = [made_signals(rng, labels, classes) for _ in range(epochs)]
        dynamics = write_dynamics(scratch / f"signals-{rows}-{epochs}", labels, classes, made)
        mean, std, forgetting = numpy_pass(dynamics)
        got = compute(dynamics)
        np.testing.assert_allclose(got["confidence"], mean, atol=1e-6)
        np.testing.assert_allclose(got["variability"], std, atol=1e-6)
        np.testing.assert_array_equal(got["forgetting"], forgetting)
        report(
            f"signals {rows:,} x {epochs}: all {len(got)} scores",
            "numpy mean, std, forgetting",
            paired(lambda d=dynamics: compute(d), lambda d=dynamics: numpy_pass(d)),
        )
        report(
            f"signals {rows:,} x {epochs}: {', '.join(FOUR)}",
            "numpy mean, std, forgetting",
            paired(lambda d=dynamics: compute(d, FOUR), lambda d=dynamics: numpy_pass(d)),
        )


def bench_map(scratch: Path, scale: float) -> None:
    rows, epochs, classes = int(400_000 * scale), 10, 10
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, rows)
    dynamics = write_dynamics(
        scratch / "map", labels, classes, [made_signals(rng, labels, classes) for _ in range(epochs)]
    )
    report(
        f"map {rows:,} x {epochs}: open, {', '.join(FOUR)}, regions, table",
        "numpy mean, std, forgetting",
        paired(lambda: DataMap.from_dynamics(Dynamics.open(dynamics.path), FOUR), lambda: numpy_pass(dynamics), 15),
    )


def bench_logits(scratch: Path, scale: float) -> None:
    del scratch
    for rows, epochs, classes in ((50_000, 30, 100), (500_000, 6, 3)):
        rows = int(rows * scale)
        rng = np.random.default_rng(0)
        labels = rng.integers(0, classes, rows)
        logits = rng.normal(size=(epochs, rows, classes)).astype(np.float32)
        ours, reference = from_logits(logits, labels), reference_from_logits(logits, labels)
        for name, values in reference.items():
            np.testing.assert_allclose(ours[name], values, atol=1e-6, err_msg=name)
        report(
            f"logits {rows:,} x {epochs} x {classes}: six signals, five scores",
            "vectorised numpy, five scores",
            paired(
                lambda x=logits, y=labels: from_logits(x, y), lambda x=logits, y=labels: reference_from_logits(x, y), 3
            ),
        )


def bench_jsonl(scratch: Path, scale: float) -> None:
    for rows, epochs, classes in ((50_000, 30, 100), (500_000, 6, 3)):
        rows = int(rows * scale * 0.1)  # a tenth: the reader is linear in the rows, and slow
        rng = np.random.default_rng(0)
        labels = rng.integers(0, classes, rows)
        logits = rng.normal(size=(epochs, rows, classes)).astype(np.float32)
        folder = scratch / f"jsonl-{rows}"
        folder.mkdir()
        for epoch in range(epochs):
            with open(folder / f"dynamics_epoch_{epoch}.jsonl", "w") as handle:
                for guid in range(rows):
                    record = {
                        "guid": guid,
                        f"logits_epoch_{epoch}": logits[epoch, guid].tolist(),
                        "gold": int(labels[guid]),
                    }
                    handle.write(json.dumps(record) + "\n")
        made = [signals_from_logits(epoch, labels) for epoch in logits]
        dynamics = write_dynamics(scratch / f"jsonl-store-{rows}", labels, classes, made)
        size = sum(path.stat().st_size for path in folder.iterdir())
        store = sum(path.stat().st_size for path in (dynamics.path / "epochs").iterdir())
        report(
            f"store {rows:,} x {epochs} x {classes} ({store / 1e6:.0f} MB): four scores",
            f"JSON lines, a loop ({size / 1e6:.0f} MB)",
            paired(lambda d=dynamics: compute(d, FOUR), lambda f=folder, e=epochs: read_jsonl(f, e), 1),
        )


STREAM = """
import re, sys, time
from trainmap.dynamics.store import Dynamics
from trainmap.scores.compute import estimate, resolve
from trainmap.scores.score_file import write_scores
wall, cpu = time.perf_counter(), time.process_time()
dynamics = Dynamics.open(sys.argv[1])
chosen = resolve(dynamics, ["confidence", "variability", "correctness", "forgetting"])
plan = estimate(dynamics, chosen, max_memory=int(sys.argv[2]), collect=False)
opened = time.process_time()
from trainmap.scores.compute import score_blocks
for start, values in score_blocks(dynamics, chosen, plan):
    pass
print(time.process_time() - cpu, time.process_time() - opened, time.perf_counter() - wall,
      1024 * int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]), plan.memory_bytes)
"""


def bench_stream(scratch: Path, scale: float) -> None:
    """In a process of its own, so that its peak memory is its own; three sizes show the growth.

    The peak is VmHWM: ru_maxrss of a child still remembers the parent that it was forked from.
    """
    limit, classes, epochs = 1_000_000_000, 10, 10
    for rows in (5_000_000, 10_000_000, 20_000_000):
        rows = int(rows * scale)
        rng = np.random.default_rng(0)
        labels = rng.integers(0, classes, rows)
        folder = scratch / f"stream-{rows}"
        folder.mkdir()
        write_examples(folder, np.arange(rows), labels)
        entries = []
        for epoch in range(epochs):
            columns = made_signals(rng, labels, classes)
            kept = {name: columns[name] for name in ("p_gold", "predicted")}
            entries.append(write_columns(folder, f"epochs/{epoch:05d}.arrow", kept, rows))
        manifest = Manifest(
            examples=rows, classes=classes, id_type="int64", source="train", level="signals", epochs=entries,
            written_by=versions(),
        )  # fmt: skip
        write_manifest(folder, manifest)
        del labels, columns, kept
        results = []
        for _ in range(3):
            done = subprocess.run(
                [sys.executable, "-c", STREAM, str(folder), str(limit)], capture_output=True, text=True, check=True
            )
            results.append([float(word) for word in done.stdout.split()])
        cpu, scoring, wall, peak, promised = (statistics.median(column) for column in zip(*results, strict=True))
        print(
            f"stream {rows:,} x {epochs}: {', '.join(FOUR)}: {scoring:.2f} CPU-s scoring, {cpu:.2f} with opening, "
            f"{wall:.2f} s wall, {1e9 * scoring / rows / epochs:.1f} ns an example and epoch, "
            f"peak {peak / 1e6:.0f} MB of {promised / 1e6:.0f} MB promised and {limit / 1e6:.0f} MB allowed",
            flush=True,
        )
        for path in sorted(folder.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()


BENCHES = {
    "signals": bench_signals,
    "map": bench_map,
    "logits": bench_logits,
    "jsonl": bench_jsonl,
    "stream": bench_stream,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=BENCHES, default=list(BENCHES))
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--folder", type=Path, help="where the data is made (default: the system's temporary folder)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as scratch:
        for name in arguments.only:
            BENCHES[name](Path(scratch), arguments.scale)
    print(f"peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB")


if __name__ == "__main__":
    main()
