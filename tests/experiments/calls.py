"""Tasks that call a function of a module by name, for tests of how tasks are run."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from trainmap.experiments.runs.job import Job
from trainmap.experiments.tasks.place import Place
from trainmap.experiments.tasks.task import Result, Task


class Call(Task):
    """``function(config)``, or ``function(config, place)`` with ``placed``."""

    kind: ClassVar = "call/1"

    function: str
    config: dict[str, Any]
    placed: bool = False

    @property
    def word(self) -> str:
        return self.function

    def identity(self) -> dict[str, Any]:
        return self.config

    def run(self, place: Place) -> Result:
        module, _, name = self.function.partition(":")
        function = getattr(importlib.import_module(module), name)
        return function(self.config, place) if self.placed else function(self.config)


def call(
    name: str,
    function: str,
    config: Mapping[str, Any],
    weight: float = 0.0,
    files: Mapping[str, Path] | None = None,
    after: tuple[str, ...] = (),
) -> Job:
    task = Call(function=function, config=dict(config), placed=files is not None)
    return Job(name, task, Place(Path("nowhere"), files=files or {}), weight, after)
