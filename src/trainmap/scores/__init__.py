"""What the numbers mean: published scores of a recording, each a plain function of a block of epochs.

A new score is one function and one line in ``SCORES``; the contract tests run over the table.

Its files, in reading order::

    cartography.py   confidence, variability, correctness: the axes of the map
    averages.py      a signal averaged over epochs: AUM, EL2N, entropy, loss
    events.py        right and wrong over the epochs: forgetting, learning time
    windows.py       scores of a sliding window of epochs: dynamic uncertainty, DUAL, TDDS
    trajectories.py  whole trajectories, and clusters of examples that are learned alike
    from_stats.py    scores of running sums
    score_entry.py   what a score is
    signal_family.py  mean, variability, slope, drop, last, entropy of any signal
    table.py         SCORES: every score, which end is hard, its conventions
    by_kind.py       what recordings of each kind of supervision can be asked for
    compute.py       scores over a whole recording, row block by row block
    score_file.py    scores as a file
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainmap.faces import lazily

if TYPE_CHECKING:
    from trainmap.scores.averages import aum, el2n, entropy, loss
    from trainmap.scores.by_kind import scores_of
    from trainmap.scores.cartography import aleatoric, confidence, slope, threshold_closeness, variability
    from trainmap.scores.compute import (
        available,
        check_epochs,
        check_progress,
        check_question,
        check_score,
        epochs_taken,
        estimate,
        lacking_at,
        resolve,
        score_blocks,
        score_of,
    )
    from trainmap.scores.events import correctness, first_learned, forgetting, forgetting_time, learning_time
    from trainmap.scores.score_file import check_scores_name, write_scores
    from trainmap.scores.table import OF_SEVERAL, SCORES, Score, hard_end, hard_first, of_several, score, score_named
    from trainmap.scores.trajectories import Clusters, cluster
    from trainmap.scores.windows import dual, dyn_unc, sliding, tdds
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "averages": "aum el2n entropy loss",
            "by_kind": "scores_of",
            "cartography": "aleatoric confidence slope threshold_closeness variability",
            "compute": (
                "available check_epochs check_progress check_question check_score epochs_taken estimate lacking_at "
                "resolve score_blocks score_of"
            ),
            "events": "correctness first_learned forgetting forgetting_time learning_time",
            "score_file": "check_scores_name write_scores",
            "table": "OF_SEVERAL SCORES Score hard_end hard_first of_several score score_named",
            "trajectories": "Clusters cluster",
            "windows": "dual dyn_unc sliding tdds",
        },
    )

# fmt: off
__all__ = [
    "OF_SEVERAL", "SCORES", "Clusters", "Score", "aleatoric", "aum", "available", "check_epochs", "check_progress",
    "check_question", "check_score", "check_scores_name", "cluster", "confidence", "correctness", "dual", "dyn_unc",
    "el2n", "entropy", "epochs_taken", "estimate", "first_learned", "forgetting", "forgetting_time", "hard_end",
    "hard_first", "lacking_at", "learning_time", "loss", "of_several", "resolve", "score", "score_blocks",
    "score_named", "score_of", "scores_of", "sliding", "slope", "tdds", "threshold_closeness", "variability",
    "write_scores",
]
# fmt: on
