"""What the checksums cost: a scoring pass with them beside one without, in one process, and beside checking alone.

    python benchmarks/verifying.py             # a minute on 2 cores, 0.5 GB of disk
    python benchmarks/verifying.py --scale 0.1

Paired repetitions (with, without, ...) as in benchmarks/scores.py, the data in the page cache. What this process has
checked is forgotten before each one: in life a process pays once for each file, and not again for the next question.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from scores import FOUR, made_signals, paired, report, write_dynamics
from trainmap import checksums
from trainmap.dynamics.store import Dynamics
from trainmap.scores.compute import available, compute


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--repeat", type=int, default=9)
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    for examples, epochs in ((500_000, 6), (50_000, 30), (1_000_000, 20)):
        rows = max(1000, int(examples * asked.scale))
        with tempfile.TemporaryDirectory(prefix="trainmap-verifying-") as folder:
            labels = rng.integers(0, 10, rows)
            path = Path(folder) / "dynamics"
            made = write_dynamics(path, labels, 10, [made_signals(rng, labels, 10) for _ in range(epochs)])
            size = sum(entry.bytes for entry in made.manifest.files)
            time.sleep(checksums.SETTLED_SECONDS + 0.5)  # younger files are not remembered

            def scored(names: list[str], verify: bool, path: Path = path) -> None:
                checksums._checked.clear()
                compute(Dynamics.open(path, verify=verify), names)

            def checked(path: Path = path) -> None:
                checksums._checked.clear()
                _ = Dynamics.open(path).layouts

            what = f"{rows:,} x {epochs} ({size / 1e6:.0f} MB)"
            for title, names in (("four scores", FOUR), ("all scores", list(available(made)))):
                result = paired(lambda n=names: scored(n, True), lambda n=names: scored(n, False), asked.repeat)
                report(f"{what}: {title}, checked", "not checked", result)
            result = paired(checked, lambda p=path: Dynamics.open(p, verify=False).layouts, asked.repeat)
            report(f"{what}: opened and checked ({size / result[1] / 1e9:.1f} GB/s)", "opened", result)


if __name__ == "__main__":
    main()
