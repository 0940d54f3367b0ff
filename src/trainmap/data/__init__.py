"""What is trained on: datasets as small arrays in memory, every example known by its id, split by id.

A new kind of data is one reader of rows and one line in ``names``.

Its files, in reading order::

    inputs.py         the forms of input, and how kept values become a network's
    raw_rows.py       rows before they are numbers
    texts.py          texts as numbers
    audio.py          sounds as pictures
    tables.py         tables as numbers
    index_columns.py  columns that are an index and no feature
    leaks.py          columns that give the label away
    image_folders.py  pictures from anywhere
    sources.py        arrays of named datasets
    hub.py            datasets of the Hugging Face hub
    synthetic.py      synthetic data with known truth
    names.py          from the name of a dataset to its rows
    relabel.py        other labels, from a file
    dataset.py        splits that a network can be trained on
    known_sizes.py    a named dataset without its files
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainmap.faces import lazily

if TYPE_CHECKING:
    from trainmap.data.dataset import Dataset, Splits, augment, load_splits
    from trainmap.data.inputs import Form, Inputs, as_tensor, to_float, to_input
    from trainmap.data.known_sizes import is_missing, outline
    from trainmap.data.names import check_name
    from trainmap.data.relabel import relabelled
    from trainmap.data.sources import DATASETS
    from trainmap.data.synthetic import (
        KINDS,
        Synthetic,
        best_accuracy,
        check_truth_name,
        is_synthetic,
        truth_of,
        write_truth,
    )
    from trainmap.data.texts import embeddings, tokens
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "dataset": "Dataset Splits augment load_splits",
            "inputs": "Form Inputs as_tensor to_float to_input",
            "known_sizes": "is_missing outline",
            "names": "check_name",
            "relabel": "relabelled",
            "sources": "DATASETS",
            "synthetic": "KINDS Synthetic best_accuracy check_truth_name is_synthetic truth_of write_truth",
            "texts": "embeddings tokens",
        },
    )

# fmt: off
__all__ = [
    "DATASETS", "KINDS", "Dataset", "Form", "Inputs", "Splits", "Synthetic", "as_tensor", "augment", "best_accuracy",
    "check_name", "check_truth_name", "embeddings", "is_missing", "is_synthetic", "load_splits", "outline",
    "relabelled", "to_float", "to_input", "tokens", "truth_of", "write_truth",
]
# fmt: on
