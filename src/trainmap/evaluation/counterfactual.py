"""Natural language inference with counterfactual revisions: a test set, and what people made of it by small changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trainmap.data.dataset import Dataset, Splits
from trainmap.data.texts import embeddings, tokens
from trainmap.errors import TrainmapError, shown, some
from trainmap.files import is_file
from trainmap.parquet_files import read_frame

LABELS = ("contradiction", "entailment", "neutral")
PARTS = {"train": "train", "validation": "dev", "test": "test"}
SHIFTED = {"revised premise": "revised_premise", "revised hypothesis": "revised_hypothesis"}
COLUMNS = ("part", "split", "label", "premise", "hypothesis")


def load_counterfactual(
    data_root: str | Path = "data", representation: Literal["tokens", "embeddings"] = "tokens"
) -> tuple[Splits, dict[str, Dataset]]:
    """Pairs of SNLI, and the test pairs with the premise or the hypothesis revised so that the label changes.

    A text is ``premise | hypothesis``. Read from ``cad_nli.parquet`` or ``cad_nli/cad_nli.parquet`` with columns part
    (original, revised_premise, revised_hypothesis), split (train, dev, test), label, premise, hypothesis. Ids are the
    positions in the file.

    Args:
        representation: word tokens with the vocabulary of the original training part, or frozen sentence embeddings
            (kept beside the file).

    Returns:
        the original pairs in their three splits, and the revised test pairs: shifts of the test split, which
        ``shifts.evaluate_everywhere`` takes. Classes: contradiction, entailment, neutral.

    Raises:
        TrainmapError: a file that is missing or not what it must be.

    Source: Kaushik et al. 2020, arXiv:1909.12434.
    """
    if representation not in ("tokens", "embeddings"):
        raise TrainmapError(f"representation must be 'tokens' or 'embeddings', got {shown(representation)}")
    root = Path(data_root)
    places = (root / "cad_nli.parquet", root / "cad_nli" / "cad_nli.parquet")
    path = next((place for place in places if is_file(place)), None)
    if path is None:
        raise TrainmapError(f"counterfactual pairs are not there: put cad_nli.parquet into {root}")
    table = read_frame(path, "table of counterfactual pairs")
    if lacking := [name for name in COLUMNS if name not in table.columns]:
        raise TrainmapError(f"{path} must have columns {', '.join(COLUMNS)}; it lacks {', '.join(lacking)}")
    if wrong := [name for name in COLUMNS if str(table[name].dtype) != "String" or table[name].null_count()]:
        raise TrainmapError(
            f"{path}: the column '{wrong[0]}' must hold a text in every row, got {table[wrong[0]].dtype}"
        )
    if strange := sorted(set(table["label"].to_list()) - set(LABELS), key=str):
        raise TrainmapError(f"{path}: labels must be {', '.join(LABELS)}, got {some(strange)}")
    y = np.array([LABELS.index(label) for label in table["label"]], dtype=np.int64)
    part, split = (np.array(table[name].to_list(), dtype=np.str_) for name in ("part", "split"))
    texts = [
        f"{premise} | {hypothesis}" for premise, hypothesis in zip(table["premise"], table["hypothesis"], strict=True)
    ]
    encode = tokens(texts) if representation == "tokens" else embeddings(texts, path.parent / "embeddings")
    x, vocabulary = encode(np.flatnonzero((part == "original") & (split == "train")))

    def chosen(name: str, which: str, when: str) -> Dataset:
        rows: NDArray[Any] = np.flatnonzero((part == which) & (split == when))
        if not len(rows):
            raise TrainmapError(f"{path} has no rows with part '{which}' and split '{when}'")
        return Dataset(name, rows.astype(np.int64), x[rows], y[rows], len(LABELS), vocabulary)

    original = Splits(**{name: chosen("cad_nli", "original", when) for name, when in PARTS.items()})
    return original, {name: chosen(name, which, "test") for name, which in SHIFTED.items()}
