"""What happened: a recording of how a network learns each example, from the training loop to a folder and back.

Its files, in reading order::

    supervision.py      kinds of supervision: the columns of each
    signals.py          from logits and a gold label to the few numbers that are kept
    signal_chunks.py    the arithmetic of the six signals
    logit_precision.py  which numbers can be logits, and in what precision they are kept
    probabilities.py    probabilities where logits belong
    arrays.py           what a loop hands over, as numpy
    given.py            what a Recorder is told at its beginning
    class_names.py      labels as a caller has them, as class numbers
    held.py             batches that wait on an accelerator
    visits.py           an epoch that visits examples several times
    roster.py           who the examples are, and who was seen
    roll.py             the roll of a recording
    entering.py         how a writer comes into a folder
    growing.py          examples that come first in a later epoch
    refused.py          batches that are left out
    epoch.py            the epoch under way: batches in, columns out
    plain_epoch.py      the same of plain numbers
    class_reading.py    how a batch of each kind is read: of classes
    number_reading.py   of plain numbers, and of regression
    multilabel_reading.py  of several labels an example
    token_losses.py     the loss of every token
    token_reading.py    of sequences
    part_reading.py     of each label or token as an example of its own
    reading.py          which reader a recording has
    taking.py           the epoch under way as a recorder takes it
    recorder.py         Recorder, the one that is used in a training loop
    columns.py          an epoch on disk
    examples.py         examples.parquet
    manifest.py         what exists: an epoch that is not listed does not
    stats.py            level "stats": sums in place of epochs
    clearing.py         how a recording goes
    folder_locks.py     one recorder for a folder
    folds.py            the examples in K folds, each recorded by a network that trained on the others
    writer.py           how one epoch more gets into the folder for good
    processes.py        several processes: who records where
    fold_parts.py       the parts of a recording out of fold
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
    from trainmap.dynamics.examples import write_examples
    from trainmap.dynamics.folds import CrossFit, Fold
    from trainmap.dynamics.given import check_flag
    from trainmap.dynamics.index import (
        MISSING,
        find_rows,
        id_hash,
        ids_from_arrow,
        ids_to_arrow,
        lowest,
        of_one_kind,
        rising,
        rows_of,
        sort_ids,
    )
    from trainmap.dynamics.logit_precision import check_logits, halved, masks, widened
    from trainmap.dynamics.manifest import MOST_CLASSES, SOURCES, Level, Manifest, Source, versions, write_manifest
    from trainmap.dynamics.part_reading import split_parts
    from trainmap.dynamics.probabilities import refuse_probabilities
    from trainmap.dynamics.recorder import Recorder
    from trainmap.dynamics.refused import Refused, Tally
    from trainmap.dynamics.signals import (
        FLOAT_SIGNALS,
        SIGNALS,
        UNKNOWN_LABEL,
        Block,
        empty_signals,
        read_only,
        signals_from_logits,
    )
    from trainmap.dynamics.stats import NEVER, Stats
    from trainmap.dynamics.store import Dynamics, fingerprint
    from trainmap.dynamics.supervision import KNOWN_ENDS, SHARES, End, Kind, Per, Signal
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "arrays": "on_accelerator to_ids to_labels to_logits to_numpy",
            "columns": "write_columns",
            "damage": "check_recording is_recording",
            "examples": "write_examples",
            "folds": "CrossFit Fold",
            "given": "check_flag",
            "index": "MISSING find_rows id_hash ids_from_arrow ids_to_arrow lowest of_one_kind rising rows_of sort_ids",
            "logit_precision": "check_logits halved masks widened",
            "manifest": "MOST_CLASSES SOURCES Level Manifest Source versions write_manifest",
            "part_reading": "split_parts",
            "probabilities": "refuse_probabilities",
            "recorder": "Recorder",
            "refused": "Refused Tally",
            "signals": "FLOAT_SIGNALS SIGNALS UNKNOWN_LABEL Block empty_signals read_only signals_from_logits",
            "stats": "NEVER Stats",
            "store": "Dynamics fingerprint",
            "supervision": "KNOWN_ENDS SHARES End Kind Per Signal",
        },
    )

# fmt: off
__all__ = [
    "FLOAT_SIGNALS", "KNOWN_ENDS", "MISSING", "MOST_CLASSES", "NEVER", "SHARES", "SIGNALS", "SOURCES", "UNKNOWN_LABEL",
    "Block", "CrossFit", "Dynamics", "End", "Fold", "Kind", "Level", "Manifest", "Per", "Recorder", "Refused", "Signal",
    "Source", "Stats", "Tally", "check_flag", "check_logits", "check_recording", "empty_signals", "find_rows",
    "fingerprint", "halved", "id_hash", "ids_from_arrow", "ids_to_arrow", "is_recording", "lowest", "masks",
    "of_one_kind", "on_accelerator", "read_only", "refuse_probabilities", "rising", "rows_of", "signals_from_logits",
    "sort_ids", "split_parts", "to_ids", "to_labels", "to_logits", "to_numpy", "versions", "widened",
    "write_columns", "write_examples", "write_manifest",
]
# fmt: on
