"""Do people find the same examples hard? Teacher → map of the test data beside people's judgement.

The test data are passive probes: the teacher records them after each epoch and never learns from them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainmap.array_files import read_npz
from trainmap.dynamics.store import Dynamics
from trainmap.errors import TrainmapError
from trainmap.files import as_it_stands_or_under
from trainmap.maps.agreement import plain
from trainmap.maps.datamap import DataMap
from trainmap.maps.human import human_agreement, label_entropy
from trainmap.maps.regions import REGIONS
from trainmap.scores.table import score_named
from trainmap.selection.strategies import check_epochs
from trainmap.views.plot import plot_map

if TYPE_CHECKING:
    from trainmap.experiments.planner import Planner


def plan_people(planner: Planner) -> None:
    """Add the comparison with people for every run of every teacher."""
    human, wrong = planner.experiment.human, planner.variant.wrong
    if human is None:
        return
    if not planner.teachers:
        raise wrong(("human",), "people are compared with a teacher; add one under teachers")
    for at, score in enumerate(human.scores):
        try:
            check_epochs(score, score_named(score).epochs, min(recipe.epochs for _, recipe in planner.specs.values()))
        except TrainmapError as error:
            raise wrong(("human", "scores", at), error) from error
    path = counts_path(human.counts, planner.experiment.data.root)
    test = planner.splits.test
    try:
        counts = read_counts(path)
        if counts.shape != (len(test), test.classes):
            raise TrainmapError(
                f"counts must be ({len(test)}, {test.classes}), the test examples and classes of {test.name}, "
                f"got {counts.shape}"
            )
    except TrainmapError as error:
        raise wrong(("human", "counts"), error) from error
    shared = {"counts": fingerprint(counts), "scores": list(human.scores), "top": human.top}
    shared["level"] = planner.experiment.level
    for name, runs in planner.teachers.items():
        for seed, teacher in runs:
            config = shared | {"teacher": teacher}
            title = f"people beside {name} on {planner.splits.train.name}, seed {seed}"
            size = len(test) * 8 * (len(human.scores) + 5) + 400_000
            planner.add(
                *("people", title, "people:people_run", config, {"teacher": teacher}, "", 0, 0, size),
                files={"counts": str(path)},
            )


def counts_path(name: str, root: str | None) -> Path:
    """Where the judgements lie: as the name stands, or else under the root of the data."""
    return as_it_stands_or_under(Path("data" if root is None else root), name).resolve()


def read_counts(path: Path) -> np.ndarray:
    """(examples, classes): how many people chose each class.

    Raises:
        StoreError: no such file, or one without ``counts``.
    """
    return read_npz(path, ("counts",), what="readable .npz file with an array 'counts'")["counts"]


def fingerprint(counts: np.ndarray) -> str:
    """SHA-256 (hex) of the judgements, whatever the type of their numbers."""
    return hashlib.sha256(f"{counts.shape}".encode() + counts.astype("<f8").tobytes()).hexdigest()


def people_run(config: dict[str, Any]) -> dict[str, Any]:
    """A map of the test data that a teacher recorded, beside people's judgement; keeps ``map.parquet``, ``map.png``.

    Args:
        config: ``teacher`` (hash), ``counts`` (fingerprint), ``scores``, ``top``, ``level``; ``where``: ``teacher``
            (its folder), ``counts`` (the file), ``out``.

    Returns:
        ``scores``: what ``human_agreement`` says of each (null where there is no number); ``regions``: the mean label
        entropy in bits and the number of examples of each region.
    """
    out, counts = Path(config["where"]["out"]), read_counts(Path(config["where"]["counts"]))
    if fingerprint(counts) != config["counts"]:
        raise TrainmapError(f"{config['where']['counts']} changed since the experiment was planned; plan it again")
    dynamics = Dynamics.open(Path(config["where"]["teacher"]) / "test-dynamics")
    datamap = DataMap.from_dynamics(dynamics, config["scores"], workers=1)
    datamap.save(out / "map.parquet")
    plot_map(datamap, out / "map.png")
    entropy = label_entropy(counts)
    how = {"top": config["top"], "level": config["level"]}
    found = human_agreement(datamap, datamap.ids, entropy, config["scores"], **how)
    regions = datamap.table["region"].fill_null("none").to_numpy()
    parts = {name: entropy[regions == name] for name in (*REGIONS, "none")}
    return {
        "scores": [plain(vars(one)) for one in found],
        "regions": {
            name: {"entropy": float(part.mean()), "examples": len(part)} for name, part in parts.items() if len(part)
        },
    }
