"""Workers for tests that start in no time: forked from one process that has imported what workers import.

A worker of the library is a fresh interpreter, which takes seconds to import torch; the tests of workers themselves
(``tests/experiments/test_launch.py``), of the command in a process of its own and the slow ones have those.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from typing import Any

PRELOADED = [
    "torch",
    "trainmap",
    "trainmap.experiments.runs.worker",
    "trainmap.experiments.tasks.task_table",
    "trainmap.training.fit",
    "trainmap.models.build",
    "trainmap.data",
    "sklearn.datasets",
    "polars",
    "pyarrow.parquet",
    "matplotlib.figure",
]
multiprocessing.set_forkserver_preload(PRELOADED)


class ForkedWorker(ForkServerProcess):
    """In place of ``SpawnProcess``: as a fresh interpreter it has the environment of the moment when it is started."""

    def __init__(self, target: Callable[..., object], args: tuple[Any, ...], name: str) -> None:
        super().__init__(target=target, args=args, name=name)
        self.given: dict[str, str] = {}

    def start(self) -> None:
        self.given = dict(os.environ)
        super().start()

    def run(self) -> None:
        os.environ.clear()
        os.environ.update(self.given)
        super().run()
