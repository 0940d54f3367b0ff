"""Batches that come beside their ids to a Lightning trainer: the loaders that make them, and what a sweep needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from inspect import Parameter, signature
from typing import Any, NamedTuple

from trainmap.errors import some
from trainmap.integrations.identified import has_ids, parts_of
from trainmap.integrations.identified_batches import Collated, apart
from trainmap.integrations.packages import of_package

ID = "id"
is_metric = of_package("torchmetrics", "Metric", "MetricCollection")


class Named(NamedTuple):
    """A batch beside its ids, on its way from the loader to the step."""

    ids: Any
    batch: Any


def bare(batch: Any) -> Any:
    """A batch without its ids, however many recorders have named it."""
    while isinstance(batch, Named):
        batch = batch.batch
    return batch


class NamedCollate:
    """A loader's own collate function over items that come apart from their ids."""

    def __init__(self, collate: Callable[[Any], Any]) -> None:
        self.collate = collate

    def __call__(self, items: Any) -> Named:
        return Named(*apart(items, self.collate))


class ApartCollate:
    """A loader's own collate function over items that have their ids among them; what it makes is taken apart."""

    def __init__(self, collate: Callable[[Any], Any], column: str) -> None:
        self.collate, self.column = collate, column

    def __call__(self, items: Any) -> Any:
        batch = self.collate(items)
        if isinstance(batch, Mapping) and self.column in batch:
            return Named(batch[self.column], {name: one for name, one in batch.items() if name != self.column})
        if isinstance(batch, list | tuple) and len(batch) > 1:
            return Named(batch[0], batch[1] if len(batch) == 2 else type(batch)(batch[1:]))
        return batch


def column_of(dataset: Any) -> str:
    """The key of the ids in the items of a dataset that ``with_ids`` made, or of a part of one."""
    while dataset is not None and not isinstance(getattr(dataset, "column", None), str):
        dataset = getattr(dataset, "dataset", None) or next(iter(parts_of(dataset)), None)
    return ID if dataset is None else dataset.column


def like(loader: Any, collate: Any) -> Any:
    """The same loader with another collate function; the user's own stays as it is."""
    made = object.__new__(type(loader))
    made.__dict__.update(loader.__dict__)
    made.__dict__.update(collate_fn=collate, _iterator=None)
    return made


def named_already(loader: Any) -> Any:
    """A loader whose batches are ``Named``, where its own or its dataset's are of ``with_ids``; else None."""
    if isinstance(loader.collate_fn, Collated):
        return like(loader, NamedCollate(loader.collate_fn.collate))
    if has_ids(loader.dataset):
        return like(loader, ApartCollate(loader.collate_fn, column_of(loader.dataset)))
    return None


@contextmanager
def silent(module: Any) -> Iterator[None]:
    """A module whose ``self.log`` keeps nothing: what a sweep computes is no number of the training."""
    names = [name for name in ("log", "log_dict") if name not in vars(module)]
    for name in names:
        object.__setattr__(module, name, lambda *_, **__: None)
    try:
        yield
    finally:
        for name in names:
            object.__delattr__(module, name)


@contextmanager
def metrics_aside(module: Any) -> Iterator[None]:
    """Metrics of torchmetrics have afterwards seen what they saw before: within, copies of their sums go on."""
    kept = [(vars(part), dict(vars(part))) for part in module.modules() if is_metric(part)]
    for now, before in kept:
        now.update({name: value.clone() for name, value in before.items() if hasattr(value, "clone")})
        now.update({name: list(value) for name, value in before.items() if isinstance(value, list)})
    try:
        yield
    finally:
        for now, before in kept:
            now.update(before)


def arguments_of(step: Any) -> int:
    """How many of (batch, batch_idx) a ``training_step`` takes."""
    kinds = [one.kind for one in signature(step).parameters.values()]
    return 2 if any(kind is Parameter.VAR_POSITIONAL for kind in kinds) else min(2, len(kinds))


def in_order(dataset: Any, loader: Any) -> Any:
    """A loader of a dataset in its order, otherwise as ``loader``."""
    from torch.utils.data import DataLoader

    size = loader.batch_size or getattr(loader.batch_sampler, "batch_size", None) or 64
    return DataLoader(
        dataset,
        batch_size=size,
        collate_fn=loader.collate_fn,
        num_workers=loader.num_workers,
        pin_memory=loader.pin_memory,
        multiprocessing_context=loader.multiprocessing_context,
        worker_init_fn=loader.worker_init_fn,
    )


def logits_in(output: Any) -> Any:
    """The tensor that an output is, or has under "logits"; None where it has none."""
    if isinstance(output, Mapping):
        output = output.get("logits")
    elif not hasattr(output, "detach"):
        output = getattr(output, "logits", None)
    return output if hasattr(output, "detach") and output.ndim > 0 else None


def told(batch: Any) -> str:
    """What a batch is, for a message."""
    if isinstance(batch, Mapping):
        return f"a mapping of {some(batch, 10)}"
    return f"a {type(batch).__name__}" + (f" of {len(batch)}" if isinstance(batch, list | tuple) else "")
