"""What is trained on: datasets as small arrays in memory, every example known by its id, split by id.

A new kind of data is one reader of rows and one line in ``names``.

Its files, in reading order::

    inputs.py         the forms of input, and how kept values become a network's
    raw_rows.py       rows before they are numbers
    texts.py          texts as numbers
    encoder_folders.py  where a pretrained encoder's files are
    subwords.py       texts as a pretrained encoder's tokens
    audio.py          sounds as pictures
    tables.py         tables as numbers
    index_columns.py  columns that are an index and no feature
    leaks.py          columns that give the label away
    image_folders.py  pictures from anywhere
    sources.py        arrays of named datasets
    hub.py            datasets of the Hugging Face hub
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
    from trainmap.data.encoder_folders import encoder_folder, needs_transformers, weights_fingerprint
    from trainmap.data.inputs import Form, Inputs, as_tensor, to_float, to_input
    from trainmap.data.names import check_name, represented
    from trainmap.data.raw_rows import Limit
    from trainmap.data.known_sizes import is_missing, outline
    from trainmap.data.relabel import relabelled
    from trainmap.data.sources import DATASETS
    from trainmap.data.subwords import tokenizer_of
    from trainmap.data.texts import embeddings, tokens
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "dataset": "Dataset Splits augment load_splits",
            "encoder_folders": "encoder_folder needs_transformers weights_fingerprint",
            "inputs": "Form Inputs as_tensor to_float to_input",
            "names": "check_name represented",
            "raw_rows": "Limit",
            "known_sizes": "is_missing outline",
            "relabel": "relabelled",
            "sources": "DATASETS",
            "subwords": "tokenizer_of",
            "texts": "embeddings tokens",
        },
    )

# fmt: off
__all__ = [
    "DATASETS", "Dataset", "Form", "Inputs", "Limit", "Splits", "as_tensor", "augment", "check_name", "embeddings",
    "encoder_folder", "is_missing", "load_splits", "needs_transformers", "outline", "relabelled", "represented",
    "to_float", "to_input", "tokenizer_of", "tokens", "weights_fingerprint",
]
# fmt: on
