"""The audit on learners whose epochs are alike: naive Bayes on 1,000 and 30 examples, no label wrong.

Command: python benchmarks/alike_epochs.py

Prints the share of the rare class's right labels that the audit suspects, 20 draws, with a 95 % t interval, and in how
many draws the class carries a note.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import numpy as np
from scipy import stats
from sklearn.naive_bayes import GaussianNB

import trainmap as tm


def suspected(folder: Path, seed: int, features: int, apart: float) -> tuple[float, bool]:
    """The share of the rare class that is suspected, and whether it carries a note."""
    random = np.random.default_rng(seed)
    labels = np.repeat([0, 1], [1000, 30])
    x = random.normal(size=(1030, features)) + labels[:, None] * apart
    model, ids = GaussianNB(), np.arange(1030)
    with tm.Recorder(folder, 2, source="sweep") as recorder:
        for _ in range(6):
            order = random.permutation(1030)
            model.partial_fit(x[order], labels[order], classes=[0, 1])
            recorder.update(ids, model.predict_joint_log_proba(x), labels)
            recorder.end_epoch()
    rare = tm.audit(tm.Dynamics.open(folder)).by_class.to_dicts()[1]
    return rare["suspected"] / 30, rare["note"] is not None


def main(draws: int = 20) -> None:
    logging.disable(logging.CRITICAL)
    for features, apart in ((2, 1.5), (10, 0.8)):
        with tempfile.TemporaryDirectory() as place:
            found = [suspected(Path(place) / str(seed), seed, features, apart) for seed in range(draws)]
        shares = np.array([share for share, _ in found])
        half = stats.t.ppf(0.975, draws - 1) * shares.std(ddof=1) / draws**0.5
        noted = sum(note for _, note in found)
        print(f"{features} features {apart} apart: {shares.mean():.3f} ± {half:.3f}, noted {noted} of {draws}")


if __name__ == "__main__":
    main()
