"""with_ids: a dataset or a loader that hands out the id of each example with it."""

from __future__ import annotations

import sys
from typing import Any

from trainmap.errors import TrainmapError, shown
from trainmap.integrations.identified import Identified, check_indexed, has_ids, naming_of


def with_ids(dataset: Any, ids: Any = None, *, column: str = "id") -> Any:
    """The same dataset, or loader, whose items (batches) say which example they are.

    ::

        loader = DataLoader(tm.with_ids(dataset), batch_size=32, shuffle=True)     # for ids, x, y in loader
        loader = tm.with_ids(loader)                                               # the same, whatever it collates

    Args:
        dataset: one of

            - a dataset that is indexed by position: PyTorch's, a ``Subset``, a list, an array (of several that come one
              after another name the ``ConcatDataset``, or each part: ``selection.subset`` knows both);
            - a stream: PyTorch's ``IterableDataset`` (where each process reads a share of its own, or it is shuffled
              already, its places are no ids: name them by a key or a function);
            - a Hugging Face ``Dataset`` or ``IterableDataset``: gets a column, whatever its format or transform;
            - a ``DataLoader``, also one that Accelerate has prepared, over any of these: gives a loader that draws the
              same batches (it shares sampler, generator and workers' settings; go on with it in place of the other).
              Its collate function sees what it saw before; the ids come beside the batch, as an array.

        ids: None: the positions 0 to N - 1 (of a ``Subset`` those in the dataset that it is of; of a stream the
            places in it); (N,) distinct integers or strings, in the order of the items; the key of a mapping or column
            that holds the id; or a function of the item.
        column: the key, or name of the column, of the id where items are mappings.

    Returns:
        what ``dataset`` is, with ids: a mapping has one key more, a tuple or list becomes (id, \\*item), all else
        (id, item), a named tuple too. Workers take it along (it pickles where the dataset does).
        ``selection.subset`` knows its ids.

    Raises:
        TrainmapError: ids of another number than items, that repeat, that are neither integers nor strings; a key that
            is there already with other values; a dataset that has ids already; a kind of data that has no items.
            While it is read: a stream whose items are counted in several workers, which would count alike.
    """
    if not isinstance(column, str) or not column:
        raise TrainmapError(f"column must be a name, got {shown(column)}")
    if _is(dataset, "torch.utils.data", "DataLoader"):
        from trainmap.integrations.identified_batches import loader_with_ids

        return loader_with_ids(dataset, ids, column)
    if has_ids(dataset):
        raise TrainmapError("this dataset has ids already, from with_ids; use it as it is")
    if hasattr(dataset, "column_names") and type(dataset).__module__.partition(".")[0] == "datasets":
        from trainmap.integrations.identified_columns import columns_with_ids

        return columns_with_ids(dataset, naming_of(ids, dataset), column)
    if _is(dataset, "torch.utils.data", "IterableDataset"):
        from trainmap.integrations.identified_streams import IdentifiedStream

        return IdentifiedStream(dataset, naming_of(ids, dataset), column)
    check_indexed(dataset)
    return Identified(dataset, naming_of(ids, dataset, len(dataset)), column)


def _is(value: Any, module: str, name: str) -> bool:
    """Whether a value is of a class of a module; nothing is imported that is not there."""
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(value, kind)
