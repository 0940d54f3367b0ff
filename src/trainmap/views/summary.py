"""What a recording, a map or a selection holds, for the terminal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from trainmap.dynamics.manifest import SOURCES
from trainmap.dynamics.store import Dynamics
from trainmap.errors import StoreError, counted, some
from trainmap.files import is_dir, reading
from trainmap.maps.datamap import DataMap
from trainmap.maps.regions import REGIONS
from trainmap.selection.card import Selection

TAKES = "show takes a dynamics folder, a map (.parquet) or a card (.json)"


def summary(path: Path, verify: bool = True) -> Group:
    """The summary of whatever ``path`` is: a dynamics folder, a map (.parquet) or a card (.json)."""
    if is_dir(path):
        return of_dynamics(Dynamics.open(path, verify=verify))
    with reading(path, "recording, map or card"):
        if not path.exists():
            raise StoreError(f"there is nothing at {path}; {TAKES}")
    if path.suffix == ".parquet":
        return of_map(DataMap.open(path, verify))
    if path.suffix == ".json":
        return of_selection(Selection.open(path, verify))
    raise StoreError(f"{TAKES}, got {path.name}")


def facts(title: str, rows: dict[str, object], of: object = "") -> Table:
    """A title, what it is of, and what there is to say; values are shown as they are, markup in them means nothing."""
    heading = Text.assemble((title, "bold"), " ", str(of))
    table = Table(title=heading, show_header=False, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name, value in rows.items():
        table.add_row(Text(name, style="dim"), Text(str(value)))
    return table


def _of_folds(dynamics: Dynamics) -> str:
    return "" if dynamics.folds is None else f", {dynamics.folds} folds"


def of_dynamics(dynamics: Dynamics) -> Group:
    """Facts, and how the training went epoch by epoch."""
    head = facts(
        "dynamics",
        {
            "examples": f"{dynamics.examples:,}",
            **_of_kind(dynamics),
            "epochs": f"{dynamics.epochs}{_step(dynamics)}",
            "source": f"{dynamics.source} ({SOURCES[dynamics.manifest.source]}{_of_folds(dynamics)})",
            "level": dynamics.level,
            "ids": f"{dynamics.manifest.id_type}, {dynamics.ids[0]} to {dynamics.ids[-1]}",
            "dataset": dynamics.fingerprint[:16],
        },
        dynamics.path,
    )
    if dynamics.level == "stats":
        return Group(head)
    if dynamics.manifest.signals is not None:
        return Group(head, "", _means(dynamics))
    figures = {  # an import may know some of them only
        "predicted": ("accuracy", lambda values: f"{(values == dynamics.labels)[values >= 0].mean():.2%}"),
        "p_gold": ("mean p(gold)", lambda values: f"{np.nanmean(values, dtype=np.float64):.4f}"),
        "loss": ("mean loss", lambda values: f"{np.nanmean(values, dtype=np.float64):.4f}"),
    }
    held = [name for name in figures if name in dynamics.signals]
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("epoch", "seen", *(figures[name][0] for name in held)):
        table.add_column(name, justify="right")
    for epoch, entry in enumerate(dynamics.manifest.epochs):
        cells = [figures[name][1](dynamics.column(epoch, name)) for name in held]
        table.add_row(str(epoch), f"{entry.seen:,}", *cells)
    return Group(head, "", table)


def _of_kind(dynamics: Dynamics) -> dict[str, object]:
    """What is recorded: classes and their names, or the kind and its signals."""
    facts_: dict[str, object] = {}
    if dynamics.kind != "classes":
        facts_ |= {"kind": dynamics.kind, "signals": ", ".join(dynamics.signals)}
    if dynamics.per is not None:
        facts_["an example is"] = f"a {dynamics.per} of one"
    if dynamics.classes:
        what = {"multilabel": "labels", "tokens": "vocabulary"}.get(dynamics.kind, "classes")
        names = "" if dynamics.class_names is None else f" ({some(dynamics.class_names, 9)})"
        facts_[what] = f"{dynamics.classes}{names}"
    return facts_


def _step(dynamics: Dynamics) -> str:
    """What an epoch of the recording is, where that is not one of the training."""
    if dynamics.step == "epoch" and dynamics.every is None:
        return ""
    if dynamics.step == "epoch":
        return f", one every {counted(dynamics.every or 1, 'epoch')} of the training"
    return ", one every so many steps" if dynamics.every is None else f", one every {counted(dynamics.every, 'step')}"


def _means(dynamics: Dynamics) -> Table:
    """The mean of every signal, epoch by epoch."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("epoch", "seen", *(f"mean {signal}" for signal in dynamics.signals)):
        table.add_column(name, justify="right")
    for epoch, entry in enumerate(dynamics.manifest.epochs):
        columns = [dynamics.column(epoch, name).astype(np.float64) for name in dynamics.signals]
        cells = [f"{column[~np.isnan(column)].mean():.4g}" if entry.seen else "" for column in columns]
        table.add_row(str(epoch), f"{entry.seen:,}", *cells)
    return table


def of_map(datamap: DataMap) -> Group:
    """Facts, the regions and their overlap, and the spread of every score."""
    head = facts(
        "map",
        {
            "examples": f"{len(datamap):,}",
            **({"recordings": datamap.members} if datamap.members > 1 else {}),
            **_of_map_kind(datamap),
            "epochs": datamap.epochs,
            "source": datamap.source,
            "rule": datamap.rule + (f", {datamap.fraction:.1%} a third" if datamap.rule == "quantile" else ""),
            "dataset": datamap.dataset[:16],
            "map": datamap.fingerprint[:16],
        },
    )
    regions = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("region", "examples", "share"):
        regions.add_column(name, justify="left" if name == "region" else "right")
    counts = dict(datamap.table["region"].value_counts().iter_rows())
    for name in (*REGIONS, None):
        count = counts.get(name, 0)
        regions.add_row(Text(name) if name else Text("in none", "dim"), f"{count:,}", f"{count / len(datamap):.1%}")
    shared = "; ".join(f"{a} and {b} share {share:.0%}" for (a, b), share in datamap.overlap().items())
    told = Text(f"thirds of the quantile rule, before the values decide: {shared}", "dim")
    if datamap.unclear:
        told = Text(f"this map cannot tell regions: {datamap.unclear}")
    spread = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("score", "min", "5 %", "median", "95 %", "max", "hard end"):
        spread.add_column(name, justify="left" if name == "score" else "right")
    for name in datamap.scores:
        values = datamap.values(name)
        values = values[~np.isnan(values)]
        places = np.quantile(values, [0, 0.05, 0.5, 0.95, 1], method="nearest") if len(values) else []
        hard = datamap.hard_end(name) or ""
        spread.add_row(Text(name), *(f"{place:.4g}" for place in places), *[""] * (5 - len(places)), hard)
    return Group(head, "", regions, told, "", spread)


def _of_map_kind(datamap: DataMap) -> dict[str, object]:
    if datamap.kind in ("regression", "numbers"):
        turned = "less its mean" if datamap.signals[0].hard == "high" else "its mean"
        return {"kind": f"{datamap.kind}; confidence is {turned} {datamap.signal}, variability its spread"}
    names: dict[str, object] = {} if datamap.class_names is None else {"classes": some(datamap.class_names, 9)}
    return names if datamap.kind == "classes" else {"kind": datamap.kind, **names}


def of_selection(selection: Selection) -> Group:
    """Facts and parts."""
    head = facts(
        "selection",
        {
            "spec": selection.spec,
            "examples": f"{len(selection):,} of {selection.examples:,} ({selection.fraction:.2%})",
            "seed": selection.seed,
            "balance": selection.balance or "none",
            "rule": selection.rule,
            "ids": ", ".join(map(str, selection.ids[:5].tolist())) + (", ..." if len(selection) > 5 else ""),
            "dataset": selection.dataset[:16],
            "map": selection.map[:16],
        },
    )
    parts = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("part", "examples", "passed over (taken by an earlier part)"):
        parts.add_column(name, justify="left" if name == "part" else "right")
    for part in selection.parts:
        parts.add_row(Text(part.part), f"{part.size:,}", f"{part.passed_over:,}")
    return Group(head, "", parts)
