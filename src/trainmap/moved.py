"""Where the files of 0.1 went: an old name still imports, and warns with the new one.

Only what the pages of 0.1 could lead to is here; the files of the experiments and of the command, which no page named,
moved without a word. The finder is asked after all others, so it costs nothing where a module is where its name says.
"""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

MOVED = {  # the old module -> the modules that have its names now, without "trainmap."
    "dynamics.exchange.arrays": "dynamics.exchange.pred_probs",
    "dynamics.exchange.folder": "dynamics.exchange.whole_folder",
    "dynamics.exchange.study": "dynamics.exchange.study_json",
    "dynamics.exchange.tables": "dynamics.exchange.long_table",
    "dynamics.locks": "dynamics.folder_locks",
    "dynamics.precision": "dynamics.logit_precision",
    "experiments.statistics": "experiments.results.statistics",
    "maps.audit": "audits.audit",
    "maps.averages": "scores.averages",
    "maps.cartography": "scores.cartography",
    "maps.compute": "scores.compute",
    "maps.events": "scores.events",
    "maps.flips": "evaluation.flips",
    "maps.from_stats": "scores.from_stats",
    "maps.planted": "audits.planted",
    "maps.precision": "audits.precision",
    "maps.predictions": "evaluation.predictions",
    "maps.score_file": "scores.score_file",
    "maps.scores": "scores.table",
    "maps.suspects": "audits.suspects",
    "maps.suspicion": "audits.suspicion",
    "maps.thresholds": "audits.thresholds",
    "maps.trajectories": "scores.trajectories",
    "maps.windows": "scores.windows",
    "selection.repeated": "schedules.repeated_auto",
    "selection.samplers": "schedules.samplers",
    "selection.schedule": "schedules",
    "selection.spec": "selection.words",
    "training.audio": "data.audio",
    "training.blurs": "evaluation.blurs",
    "training.budget": "models.budget",
    "training.catalogue": "models.catalogue",
    "training.compress": "compression.measure",
    "training.compressed": "compression.compressed",
    "training.compressed_files": "compression.network_files",
    "training.corruptions": "evaluation.corruptions",
    "training.cost": "models.cost",
    "training.counterfactual": "evaluation.counterfactual",
    "training.data": "data.dataset",
    "training.dependencies": "compression.dependencies",
    "training.distillation": "distillation.logits",
    "training.evaluate": "evaluation.metrics models.predict",
    "training.folders": "data.image_folders",
    "training.hub": "data.hub",
    "training.index_columns": "data.index_columns",
    "training.inputs": "data.inputs",
    "training.kept_logits": "distillation.kept_logits",
    "training.latency": "compression.latency",
    "training.leaks": "data.leaks",
    "training.loaders": "data.names",
    "training.losses": "distillation.losses",
    "training.models": "models.build",
    "training.modes": "modes",
    "training.narrowing": "compression.narrowing",
    "training.octave": "models.octave",
    "training.onnx_network": "compression.onnx_network",
    "training.ood": "evaluation.ood",
    "training.probe": "models.probe",
    "training.pruning": "compression.pruning",
    "training.quantization": "compression.quantization",
    "training.relabel": "data.relabel",
    "training.rows": "data.raw_rows",
    "training.sequences": "models.sequences",
    "training.shifts": "evaluation.shifts",
    "training.shipping": "compression.onnx_files",
    "training.sources": "data.sources",
    "training.sparsity": "compression.sparsity",
    "training.structure": "distillation.inner",
    "training.tables": "data.tables",
    "training.teacher": "distillation.cache",
    "training.teaching": "distillation.settings",
    "training.texts": "data.texts",
    "training.weather": "evaluation.weather",
    "training.weights": "models.weights",
    "training.zoo": "models.zoo",
    "views.catalogue": "views.model_table",
    "views.comparison": "views.side_by_side",
    "views.results": "views.result_plots",
}


class Signpost(ModuleType):
    """A module of 0.1 that stands where it was: its names are those of the modules that took its place."""

    def __getattr__(self, name: str) -> Any:
        if not (name.startswith("__") and name.endswith("__")):
            for home in _homes(self.__name__):
                module = import_module(home)
                if hasattr(module, name):
                    return getattr(module, name)
        raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'")

    def __dir__(self) -> list[str]:
        return sorted({name for home in _homes(self.__name__) for name in dir(import_module(home))})


class Finder:
    """Finds and makes the signposts, for ``sys.meta_path``."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        known = name.startswith("trainmap.") and name.removeprefix("trainmap.") in MOVED
        return ModuleSpec(name, Finder) if known else None  # pyright: ignore[reportArgumentType]

    @staticmethod
    def create_module(spec: ModuleSpec) -> Signpost:
        return Signpost(spec.name)

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        new = " and ".join(_homes(module.__name__))
        warnings.warn(f"{module.__name__} moved to {new}; import from there", DeprecationWarning, stacklevel=2)


def _homes(old: str) -> list[str]:
    return [f"trainmap.{new}" for new in MOVED[old.removeprefix("trainmap.")].split()]


def keep_old_names() -> None:
    """Ask the finder where all others know nothing."""
    if Finder not in sys.meta_path:
        sys.meta_path.append(Finder)  # pyright: ignore[reportArgumentType]
