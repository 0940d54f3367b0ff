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
    column_roles.py   which column is the label, the id, the text
    index_columns.py  columns that are an index and no feature
    leaks.py          columns that give the label away
    image_folders.py  pictures from anywhere
    sources.py        arrays of named datasets
    hub.py            datasets of the Hugging Face hub
    synthetic.py      synthetic data with known truth
    pairs.py          counterfactual pairs
    names.py          from the name of a dataset to its rows
    relabel.py        other labels, from a file
    leave_out.py      examples that no network is trained on
    groups.py         what examples belong to
    dataset.py        splits that a network can be trained on
    known_sizes.py    a named dataset without its files
    elsewhere.py      sets from elsewhere, as the networks of a dataset take them
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainmap.faces import lazily

if TYPE_CHECKING:
    from trainmap.data.column_roles import Roles
    from trainmap.data.dataset import Dataset, Splits, augment, load_out_of_scope, load_splits
    from trainmap.data.elsewhere import Labels, Part, Revised, load_elsewhere, load_left_out, load_outside, load_pairs
    from trainmap.data.encoder_folders import encoder_folder, needs_transformers, weight_files, weights_fingerprint
    from trainmap.data.hub import hub_parts, in_order
    from trainmap.data.image_folders import folder_files
    from trainmap.data.inputs import Form, Inputs, as_tensor, to_float, to_input
    from trainmap.data.known_sizes import is_missing, outline
    from trainmap.data.leave_out import LEFT_OUT, LeaveOut
    from trainmap.data.names import EMBEDDINGS, check_name, is_named, open_rows, representation, short_name
    from trainmap.data.raw_rows import Limit, Rows
    from trainmap.data.relabel import relabelled
    from trainmap.data.sources import DATASETS
    from trainmap.data.subwords import tokenizer_of
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
            "column_roles": "Roles",
            "dataset": "Dataset Splits augment load_out_of_scope load_splits",
            "elsewhere": "Labels Part Revised load_elsewhere load_left_out load_outside load_pairs",
            "encoder_folders": "encoder_folder needs_transformers weight_files weights_fingerprint",
            "hub": "hub_parts in_order",
            "image_folders": "folder_files",
            "inputs": "Form Inputs as_tensor to_float to_input",
            "known_sizes": "is_missing outline",
            "leave_out": "LEFT_OUT LeaveOut",
            "names": "EMBEDDINGS check_name is_named open_rows representation short_name",
            "raw_rows": "Limit Rows",
            "relabel": "relabelled",
            "sources": "DATASETS",
            "synthetic": "KINDS Synthetic best_accuracy check_truth_name is_synthetic truth_of write_truth",
            "subwords": "tokenizer_of",
            "texts": "embeddings tokens",
        },
    )

# fmt: off
__all__ = [
    "DATASETS", "EMBEDDINGS", "KINDS", "LEFT_OUT", "Dataset", "Form", "Inputs", "Labels", "LeaveOut", "Limit", "Part",
    "Revised", "Roles", "Rows", "Splits", "Synthetic", "as_tensor", "augment", "best_accuracy", "check_name",
    "check_truth_name", "embeddings", "encoder_folder", "folder_files", "hub_parts", "in_order", "is_missing",
    "is_named", "is_synthetic", "load_elsewhere", "load_left_out", "load_out_of_scope", "load_outside", "load_pairs",
    "load_splits", "needs_transformers", "open_rows", "outline", "relabelled", "representation", "short_name",
    "to_float", "to_input", "tokenizer_of", "tokens", "truth_of", "weight_files", "weights_fingerprint",
    "write_truth",
]
# fmt: on
