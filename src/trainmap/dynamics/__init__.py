"""What happened: a recording of how a network learns each example, from the training loop to a folder and back.

Its files, in reading order::

    signals.py          from logits and a gold label to the few numbers that are kept
    logit_precision.py  which numbers can be logits, and in what precision they are kept
    probabilities.py    probabilities where logits belong
    arrays.py           what a loop hands over, as numpy
    given.py            what a Recorder is told at its beginning
    held.py             batches that wait on an accelerator
    visits.py           an epoch that visits examples several times
    roster.py           who the examples are, and who was seen
    growing.py          examples that come first in a later epoch
    refused.py          batches that are left out
    epoch.py            the epoch under way: batches in, columns out
    recorder.py         Recorder, the one that is used in a training loop
    columns.py          an epoch on disk
    manifest.py         what exists: an epoch that is not listed does not
    stats.py            level "stats": sums in place of epochs
    clearing.py         how a recording goes
    folder_locks.py     one recorder for a folder
    writer.py           how one epoch more gets into the folder for good
    processes.py        several processes: who records where
    parts.py            and how their parts are joined
    index.py            from ids to rows and to an order
    damage.py           what is damaged in a recording
    store.py            Dynamics: a recording opened, checked, read in row blocks
    exchange/           recordings of other tools
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainmap.faces import lazily

if TYPE_CHECKING:
    from trainmap.dynamics.arrays import on_accelerator, to_ids, to_labels, to_logits, to_numpy
    from trainmap.dynamics.columns import write_columns
    from trainmap.dynamics.damage import check_recording, is_recording
    from trainmap.dynamics.given import check_flag
    from trainmap.dynamics.index import id_hash, ids_from_arrow, ids_to_arrow, rising, sort_ids
    from trainmap.dynamics.logit_precision import check_logits, halved, masks, widened
    from trainmap.dynamics.manifest import MOST_CLASSES, Manifest, versions, write_manifest
    from trainmap.dynamics.probabilities import refuse_probabilities
    from trainmap.dynamics.recorder import Recorder
    from trainmap.dynamics.signals import (
        FLOAT_SIGNALS,
        UNKNOWN_LABEL,
        Block,
        empty_signals,
        read_only,
        signals_from_logits,
    )
    from trainmap.dynamics.stats import NEVER, Stats
    from trainmap.dynamics.store import Dynamics, fingerprint, write_examples
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "arrays": "on_accelerator to_ids to_labels to_logits to_numpy",
            "columns": "write_columns",
            "damage": "check_recording is_recording",
            "given": "check_flag",
            "index": "id_hash ids_from_arrow ids_to_arrow rising sort_ids",
            "logit_precision": "check_logits halved masks widened",
            "manifest": "MOST_CLASSES Manifest versions write_manifest",
            "probabilities": "refuse_probabilities",
            "recorder": "Recorder",
            "signals": "FLOAT_SIGNALS UNKNOWN_LABEL Block empty_signals read_only signals_from_logits",
            "stats": "NEVER Stats",
            "store": "Dynamics fingerprint write_examples",
        },
    )

# fmt: off
__all__ = [
    "FLOAT_SIGNALS", "MOST_CLASSES", "NEVER", "UNKNOWN_LABEL", "Block", "Dynamics", "Manifest", "Recorder", "Stats",
    "check_flag", "check_logits", "check_recording", "empty_signals", "fingerprint", "halved", "id_hash",
    "ids_from_arrow", "ids_to_arrow", "is_recording", "masks", "on_accelerator", "read_only", "refuse_probabilities",
    "rising", "signals_from_logits", "sort_ids", "to_ids", "to_labels", "to_logits", "to_numpy", "versions",
    "widened", "write_columns", "write_examples", "write_manifest",
]
# fmt: on
