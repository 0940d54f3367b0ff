"""Maps and scores in other tools' formats: allenai's td_metrics.jsonl, columns of a dataset, FiftyOne, Spotlight.

Only files and plain objects: none of these tools is needed here. Recordings travel through
``trainmap.dynamics.exchange``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trainmap.cells import cells
from trainmap.dynamics.exchange.allenai_export import export_epochs
from trainmap.dynamics.exchange.allenai_lines import ORDER
from trainmap.dynamics.exchange.long_table import trajectories
from trainmap.dynamics.exchange.study_json import KEPT
from trainmap.dynamics.exchange.whole_folder import kept_column
from trainmap.dynamics.given import check_flag
from trainmap.dynamics.store import Dynamics
from trainmap.errors import TrainmapError, some
from trainmap.files import writing
from trainmap.kinds import check_kind
from trainmap.maps.datamap import DataMap, region_column, to_table
from trainmap.maps.dataset_columns import add_columns
from trainmap.maps.regions import Rule, check_rule
from trainmap.scores.compute import available, compute

Array = NDArray[Any]

METRICS = "td_metrics.jsonl"
NEVER_LEARNED = 1000
KEY = "trainmap_id"


# --- allenai/cartography ----------------------------------------------------------------------------------------------


def export_allenai(
    dynamics: Dynamics, out: str | Path, metrics_only: bool = False, on_progress: Callable[[int], None] | None = None
) -> list[Path]:
    """Write a model's folder as allenai/cartography has it: td_metrics.jsonl and training_dynamics/.

    Args:
        metrics_only: leave out training_dynamics/, which needs logits.
        on_progress: called with 1 after each epoch of training_dynamics/.

    See ``export_metrics`` and ``trainmap.dynamics.exchange.allenai.export_epochs``.
    """
    metrics_only = check_flag(metrics_only, "metrics_only")
    check_kind(dynamics, Dynamics)
    epochs = [] if metrics_only else [export_epochs(dynamics, out, on_progress)]
    return [export_metrics(dynamics, Path(out) / METRICS), *epochs]


def export_metrics(dynamics: Dynamics, path: str | Path) -> Path:
    """Write td_metrics.jsonl: one line for each example with allenai's column names, order and conventions.

    guid; index (the place of first appearance where an import kept it, else by id); threshold_closeness; confidence;
    variability (population standard deviation); correctness (a count); forgetfulness (1000 if never right). Floats are
    written with all their digits and read back equal; the reference code's file has ten decimals.
    """
    check_kind(dynamics, Dynamics)
    dynamics.check_classes(METRICS)
    names = ("threshold_closeness", "confidence", "variability", "correctness", "forgetting")
    values = compute(dynamics, names)
    if (never := np.isnan(values["confidence"])).any():
        raise TrainmapError(
            f"{never.sum()} examples were seen in no epoch (first: {some(dynamics.ids[never][:4].tolist())}); "
            f"{METRICS} has no place for them"
        )
    forgetfulness = np.where(np.isinf(values["forgetting"]), NEVER_LEARNED, values["forgetting"])
    kept = kept_column(dynamics, ORDER)
    order = np.arange(len(dynamics)) if kept is None else np.argsort(kept)
    columns = {
        "guid": dynamics.ids[order].tolist(),
        "index": range(len(dynamics)),
        **{name: values[name][order].tolist() for name in names[:3]},
        "correctness": values["correctness"][order].astype(np.int64).tolist(),
        "forgetfulness": forgetfulness[order].astype(np.int64).tolist(),
    }
    target = Path(path)
    with writing(target) as handle:
        for row in zip(*columns.values(), strict=True):
            handle.write((json.dumps(dict(zip(columns, row, strict=True))) + "\n").encode())
    return target


# --- the study --------------------------------------------------------------------------------------------------------


def study_map(dynamics: Dynamics, rule: Rule = "quantile", fraction: float = 1 / 3) -> DataMap:
    """The map of dynamics that were imported from one of the study's files.

    Scores of ``p_gold`` are computed; correctness, which needs predictions that the file does not have, is its
    fraction times the epochs.

    Raises:
        TrainmapError: not such an import, or the file's numbers contradict its probabilities.
    """
    check_kind(dynamics, Dynamics)
    check_rule(rule)
    fractions, confidence = kept_column(dynamics, KEPT + "correctness"), kept_column(dynamics, KEPT + "confidence")
    if fractions is None or confidence is None:
        raise TrainmapError(f"{dynamics.path} was not imported from the study; a map is made by DataMap.from_dynamics")
    values = compute(dynamics, available(dynamics))
    correctness = np.round(fractions * dynamics.epochs)
    wrong = np.abs(correctness - fractions * dynamics.epochs) > 1e-6
    wrong |= np.abs(confidence - values["confidence"]) > 1e-4
    if wrong.any():
        raise TrainmapError(
            f"{wrong.sum()} examples have a confidence or correctness that their {dynamics.epochs} probabilities "
            f"contradict (first: {some(dynamics.ids[wrong][:4].tolist())}); was the file changed?"
        )
    values = {**{name: values[name] for name in ("confidence", "variability")}, "correctness": correctness} | values
    region = region_column(values["variability"], values["confidence"], dynamics.epochs, rule, fraction)
    return DataMap(
        table=to_table(dynamics, values).with_columns(region),
        epochs=dynamics.epochs,
        rule=rule,
        fraction=fraction,
        source=dynamics.source,
        dataset=dynamics.fingerprint,
    )


# --- explorers --------------------------------------------------------------------------------------------------------


def export_fiftyone(
    datamap: DataMap, path: str | Path, dynamics: Dynamics | None = None, signals: Sequence[str] | None = None
) -> Path:
    """Write a JSON file of sample fields for FiftyOne.

    ``{"key_field": "trainmap_id", "samples": [{"trainmap_id": id, "label": ..., score: ..., "region": ...}, ...]}``,
    and with ``dynamics`` a list over the epochs for each signal, as ``trajectory_p_gold``. Strict JSON: what is not a
    number is null, and infinity (forgetting, never learned) is 1e999, which JSON readers return as infinity.

    For a dataset whose samples have a field ``trainmap_id``::

        samples = json.load(open(path))["samples"]
        for field in samples[0].keys() - {"trainmap_id"}:
            values = {sample["trainmap_id"]: sample[field] for sample in samples}
            dataset.set_values(field, values, key_field="trainmap_id")
    """
    check_kind(datamap, DataMap)
    names = ["label", *datamap.scores, "region"]
    columns = {KEY: datamap.table["id"].to_list()} | {name: datamap.table[name].to_list() for name in names}
    columns |= {f"trajectory_{name}": column.tolist() for name, column in _trajectories(datamap, dynamics, signals)}
    keys = [json.dumps(name) for name in columns]
    target = Path(path)
    with writing(target) as handle:
        handle.write(f'{{"key_field": "{KEY}", "samples": ['.encode())
        for row, values in enumerate(zip(*columns.values(), strict=True)):
            fields = ", ".join(f"{key}: {_json(value)}" for key, value in zip(keys, values, strict=True))
            handle.write(((",\n{" if row else "\n{") + fields + "}").encode())
        handle.write(b"\n]}\n")
    return target


def _json(value: Any) -> str:
    """A value as strict JSON."""
    if isinstance(value, list):
        return "[" + ", ".join(map(_json, value)) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return "null" if math.isnan(value) else "1e999" if value > 0 else "-1e999"
    return json.dumps(value)


def spotlight_table(
    datamap: DataMap, dynamics: Dynamics | None = None, signals: Sequence[str] | None = None
) -> pl.DataFrame:
    """The map's table and, with ``dynamics``, a column of lists for each signal: ``trajectory_p_gold``.

    ``spotlight.show(table.to_pandas(), dtype={"trajectory_p_gold": spotlight.Sequence1D})`` draws them as curves.
    An epoch that did not see the example is NaN in its list.
    """
    check_kind(datamap, DataMap)
    lists = [
        pl.Series(f"trajectory_{name}", column, dtype=pl.Array(_dtype(column), column.shape[1])).arr.to_list()
        for name, column in _trajectories(datamap, dynamics, signals)
    ]
    return datamap.table.with_columns(lists)


def _dtype(column: Array) -> type[pl.DataType]:
    return pl.Float32 if column.dtype.kind == "f" else pl.Int32


def export_spotlight(
    datamap: DataMap, path: str | Path, dynamics: Dynamics | None = None, signals: Sequence[str] | None = None
) -> Path:
    """Write ``spotlight_table`` as Parquet or CSV, by the name's ending; ``spotlight.show(path)`` opens both.

    Raises:
        TrainmapError: another ending, or a trajectory with unseen epochs as CSV (Spotlight reads no NaN there).
    """
    target = Path(path)
    if target.suffix not in (".parquet", ".csv"):
        raise TrainmapError(f"a table for Spotlight is written as .parquet or .csv, got {target.name}")
    table = spotlight_table(datamap, dynamics, signals)
    with writing(target) as handle:
        if target.suffix == ".parquet":
            table.write_parquet(handle)
        else:
            lists = table.with_columns(
                pl.Series(name, [_csv_list(name, value) for value in table[name].to_list()])
                for name in table.columns
                if isinstance(table[name].dtype, pl.List)
            )
            cells(lists).write_csv(handle)
    return target


def _csv_list(name: str, values: list[float]) -> str:
    if any(value != value for value in values):
        raise TrainmapError(f"{name} has epochs that did not see an example, which a CSV cannot say; write .parquet")
    return json.dumps(values)


def _trajectories(
    datamap: DataMap, dynamics: Dynamics | None, signals: Sequence[str] | None
) -> Iterator[tuple[str, Array]]:
    if dynamics is None:
        return
    check_kind(dynamics, Dynamics)
    if not np.array_equal(datamap.ids, dynamics.ids):
        raise TrainmapError(
            f"the map ({len(datamap)} examples) and the dynamics ({len(dynamics)}) must have the same ids; "
            "make the map from these dynamics"
        )
    for name in [dynamics.main_signal] if signals is None else signals:
        yield name, trajectories(dynamics, name)


__all__ = [
    "add_columns",
    "export_allenai",
    "export_fiftyone",
    "export_metrics",
    "export_spotlight",
    "spotlight_table",
    "study_map",
]
