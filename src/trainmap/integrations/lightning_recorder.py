"""Lightning: a callback that gives each batch its ids, takes them out again before a step sees them, and listens to
what the network predicts."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

from numpy.typing import NDArray

from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.refused import Refused
from trainmap.errors import TrainmapError, shown, some
from trainmap.integrations.class_labels import class_numbers, labels_in
from trainmap.integrations.identified_batches import ids_of
from trainmap.integrations.intake import Intake
from trainmap.integrations.lightning_batches import (
    ApartCollate,
    Named,
    NamedCollate,
    arguments_of,
    bare,
    in_order,
    like,
    logits_in,
    metrics_aside,
    named_already,
    silent,
    told,
)
from trainmap.integrations.sweeping import asked, source_of, undrawn, unnoticed
from trainmap.integrations.with_ids import with_ids

try:
    if "lightning.pytorch" in sys.modules:  # the package has two names, and a user has one of them
        from lightning.pytorch import Callback  # type: ignore[import-not-found]
    else:
        from pytorch_lightning import Callback
except ImportError:
    try:
        from lightning.pytorch import Callback  # type: ignore[import-not-found]
    except ImportError as error:
        raise TrainmapError("LightningRecorder needs Lightning: pip install 'trainmap[adapters]'") from error

Array = NDArray[Any]
Find = str | int | Callable[[Any], Any]
NAMED = "what logits= or labels= name"

log = logging.getLogger("trainmap")


class LightningRecorder(Callback):  # type: ignore[misc]  # one of two
    """Records a Lightning training; neither the data nor ``training_step`` change.

    ::

        recorder = tm.LightningRecorder("dynamics", classes=10, logits="net")
        trainer = pl.Trainer(callbacks=[recorder], max_epochs=10)

    Args:
        place: the folder; or a ``Recorder``, in a training of one process.
        ids: of the training data, as ``with_ids`` takes them: None, their positions; (N,) integers or strings; the key
            of an item that has its id; a function of an item. A dataset that has ids from ``with_ids`` keeps them.
        logits: where the logits come from: the name of a submodule whose output they are (``"net"``,
            ``"model.head"``), or a function of what ``training_step`` returns. None: what it returns under "logits", or
            else the output of the ``LightningModule`` itself, called within it.
        labels: where they are in a batch: a key, a name, a place, or a function of the batch. None: a mapping's (or an
            object's) "labels", "label", "y", "target" or "targets", the second of a pair. Beside one logit an example
            they may be floats, (B,) or (B, 1), as ``BCEWithLogitsLoss`` takes them.
        sweep: True: an evaluation pass over the training data is recorded in place of the training steps; or the data
            to pass over, a dataset or a ``DataLoader``. It runs ``training_step`` in eval mode, without gradients, with
            ``self.log`` silent and metrics of torchmetrics aside; what the data do to an item at random they do here
            too, and what a step keeps by itself (a list that it appends to) it keeps, unless ``self.training``.
        every: when a sweep is made: after each "epoch", or after so many steps.
        sample: of how many examples a sweep is made, the same in each, chosen by a hash of the id; None: all.
        options: any other argument of ``Recorder``, where ``place`` is a folder. ``classes`` follows from the first
            logits and ``on_error`` is "warn", if not said.

    Attributes:
        recorder: the recorder underneath; None before the first batch and after the training, where ``place`` is a
            folder.
        refused: (batches, examples) that ``on_error="warn"`` has left out.

    The ids travel with their batch, so that workers, prefetching, limits on batches and distributed samplers cannot mix
    them up. Of a network that is called several times in a step the first output counts (or say ``logits``); what a
    backward pass computes again does not. An epoch is written with its last batch, before validation and checkpoints.
    Resumed by ``ckpt_path`` the recording goes to the checkpoint's epoch; a second ``fit`` goes on after the first. An
    error in the training leaves the epochs before it.

    Raises:
        TrainmapError: Lightning is not installed; when the training begins, a submodule that is not there, ids that
            ``with_ids`` refuses, what ``Recorder`` refuses. What cannot be found in a step (logits, labels, ids), and
            what a function of yours raises, is told once, as a warning, and the training goes on.
    """

    def __init__(
        self,
        place: Recorder | str | os.PathLike[str],
        *,
        ids: Any = None,
        logits: str | Callable[[Any], Any] | None = None,
        labels: Find | None = None,
        sweep: Any = False,
        every: Literal["epoch"] | int = "epoch",
        sample: int | None = None,
        **options: Any,
    ) -> None:
        if logits is not None and not isinstance(logits, str) and not callable(logits):
            raise TrainmapError(f"logits must be the name of a submodule or a function, got {shown(logits)}")
        self._sweeping = asked(sweep, every, sample)
        self._intake = Intake(place, **source_of(place, self._sweeping, options), **options)
        self._loader: Any = None  # that of the training, as it was before it had ids
        self._swept: Any = None  # the loader of a sweep
        self._steps = 0  # after which the last sweep was made
        self._ids, self._logits, self._labels = ids, logits, labels
        self._told: set[str] = set()
        self._restore: list[tuple[Any, str]] = []  # of the trainer, what is in place while it fits
        self._hook: Any = None
        self._batch: Named | None = None
        self._outputs: list[Any] | None = None  # of the network in the step under way; None between steps
        self._heard: list[Any] = []  # before the backward pass
        self._begun = self._open = self._again = self._trained = self._looked = False
        self._epoch = 0
        self._knows_classes, self._of_classes = not self._intake.needs_classes, self._intake.kind == "classes"
        self._odd = ""  # what a module gave where logits were looked for

    @property
    def recorder(self) -> Recorder | None:
        """The recorder underneath."""
        return self._intake.recorder

    @property
    def refused(self) -> Refused:
        """How many batches and examples were left out."""
        return self._intake.refused

    # --- ids, from the loader to the step ---

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Before the data are asked for: what a loader passes through is told to name its batches."""
        if stage != "fit":
            return
        self._let_go()
        self._begun = self._open = self._looked = False
        strategy, precision = trainer.strategy, trainer.precision_plugin
        process, convert = strategy.process_dataloader, precision.convert_input

        def named(loader: Any) -> Any:
            made = process(loader)
            if trainer.training and self._sweeping is not None:
                self._loader, self._swept = made, None
            return self._name(made, bool(trainer.training), self._ids)

        def unwrapped(batch: Any) -> Any:
            return convert(self._unwrap(batch))

        self._put(strategy, "process_dataloader", named)
        self._put(precision, "convert_input", unwrapped)

    def _put(self, owner: Any, name: str, instead: Any) -> None:
        setattr(owner, name, instead)
        self._restore.append((owner, name))

    def _name(self, loader: Any, training: bool, ids: Any) -> Any:
        """A loader whose batches are ``Named``: that of the training, and any whose dataset is one of ``with_ids``."""
        from torch.utils.data import DataLoader, IterableDataset

        if not isinstance(loader, DataLoader):
            if training:
                self._tell(f"a {type(loader).__name__} has no ids; give fit a DataLoader")
            return loader
        dataset, collate = loader.dataset, loader.collate_fn
        if (named := named_already(loader)) is not None:
            return named
        if not training:
            return loader
        if isinstance(dataset, IterableDataset) and ids is None and loader.num_workers > 1:
            self._tell("a stream that several workers read has no places to be ids; pass ids=, a key or a function")
            return loader
        try:
            return like(with_ids(loader, ids), NamedCollate(collate))
        except TrainmapError as error:
            if ids is not None:
                raise
            self._tell(f"the training data have no ids: {error}")
            return loader

    def _unwrap(self, batch: Any) -> Any:
        """A batch as a step knows it; its ids are kept for when the step is done."""
        if isinstance(batch, Named):
            self._batch = Named(batch.ids, bare(batch))
            return batch.batch
        self._batch = None
        if isinstance(batch, Mapping | list | tuple) and any(map(_is_named, _values(batch))):  # of several loaders
            self._tell("several loaders at once make one batch; record them by a Recorder in training_step")
            kept = [one.batch if _is_named(one) else one for one in _values(batch)]
            return dict(zip(batch, kept, strict=True)) if isinstance(batch, Mapping) else type(batch)(kept)
        return batch

    # --- what the network predicts ---

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """The model stands, a checkpoint is loaded: listen, and take the recording to where the training is."""
        module = pl_module
        if isinstance(self._logits, str):
            try:
                module = pl_module.get_submodule(self._logits)
            except AttributeError as error:
                names = [name for name, _ in pl_module.named_children()]
                raise TrainmapError(
                    f"logits={self._logits!r} is no submodule of this {type(pl_module).__name__}; it has {some(names)}"
                ) from error
        if not callable(self._logits):
            self._hook = module.register_forward_hook(self._listen)
        first = not self._trained
        self._steps = trainer.global_step
        if self._sweeping is not None:
            if not pl_module.automatic_optimization:
                raise TrainmapError(
                    "a sweep runs training_step, which optimises by itself in this module; record its training steps "
                    "(leave sweep= out)"
                )
            self._swept = self._sweep_loader(trainer)
        self._epoch, self._again = (
            trainer.current_epoch,
            bool(trainer.ckpt_path) or (first and trainer.current_epoch > 0),
        )
        if self._sweeping is not None:
            self._epoch = self._sweeping.epoch(self._epoch, self._steps)
        if self._knows_classes:
            self._begin()

    def _begin(self) -> None:
        self._intake.begin(self._epoch, again=self._again)
        self._begun = self._trained = True

    def _listen(self, module: Any, given: Any, output: Any) -> None:
        if self._outputs is None:
            return
        if (found := logits_in(output)) is not None:
            self._outputs.append(found.detach())
        else:
            self._odd = told(output)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """A step begins."""
        self._outputs = []

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Any) -> None:
        """What is computed from here on is computed again (activation checkpoints)."""
        heard, self._outputs = self._outputs, None
        self._heard = heard or self._heard

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """A step is done: record its batch; the epoch, where it was the last."""
        heard, self._outputs, self._heard = self._heard or self._outputs or [], None, []
        named, self._batch = self._batch, None
        if self._sweeping is not None:
            self._open = True
            stepped, self._steps = trainer.global_step > self._steps, trainer.global_step
            if stepped and self._sweeping.due(self._steps):
                self._sweep(trainer, pl_module)
            elif not self._looked and named is not None:  # what a recorder refuses is told now, not an epoch later
                self._looked, size = True, len(named.ids)
                self._begin_by(self._intake.read((), NAMED, lambda: self._find_logits(outputs, heard, size)))
        elif named is not None:
            self._record(named, outputs, heard)
        if trainer.is_last_batch:
            self.on_train_epoch_end(trainer, pl_module)

    def _record(self, named: Named, outputs: Any, heard: list[Any]) -> None:
        """Take what a step made of a batch; where it is not found, or a user's function fails, it is left out."""

        def find() -> tuple[Any, Any]:
            logits = self._find_logits(outputs, heard, len(named.ids))
            labels = self._find_labels(named.batch)
            return logits, class_numbers(labels, logits) if self._of_classes else labels

        if (found := self._intake.read(named.ids, NAMED, find)) is not None:
            self._begin_by(found[0])
            self._open = True
            self._intake.take(named.ids, *found)

    def _begin_by(self, logits: Any) -> None:
        """Begin, where the first logits are still to tell how many classes there are."""
        if not self._begun and logits is not None:
            outputs = logits.shape[-1] if logits.ndim > 1 else 1
            self._intake.default(classes=outputs if self._intake.kind == "multilabel" else max(2, outputs))
            self._begin()

    def _find_logits(self, outputs: Any, heard: list[Any], size: int) -> Any:
        """Those of a step: as they were asked for, else what it returned, else what was heard.

        Raises:
            TrainmapError: there are none, or not one for each id.
        """
        if callable(self._logits):
            made = self._logits(outputs)
            found, self._odd = ([made], "") if hasattr(made, "detach") else ([], told(made))
        elif self._logits is None and (returned := logits_in(outputs)) is not None:
            found = [returned]
        else:
            found = heard
        fitting = [one for one in found if one.ndim > 0 and len(one) == size]
        if fitting:
            return fitting[0].detach()
        got = f"{some([tuple(one.shape) for one in found])} for {size} ids" if found else self._odd or "nothing"
        raise TrainmapError(
            f"the logits of a step were not found (got {got}); pass logits=, the name of the submodule whose output "
            "they are or a function of what training_step returns, or let that be {'loss': loss, 'logits': logits}"
        )

    def _find_labels(self, batch: Any) -> Any:
        """The labels of a batch; None where the batch has none and the recorder may know them by their ids.

        Raises:
            TrainmapError: they are not where they were said to be, or nobody said.
        """
        find = self._labels
        if callable(find):
            return find(batch)
        if find is not None:
            try:
                return batch[find]
            except (KeyError, IndexError, TypeError):
                if isinstance(find, str) and hasattr(batch, find):
                    return getattr(batch, find)
                if self._intake.knows_labels:
                    return None
                raise TrainmapError(f"a batch has no labels at {find!r}; it is {told(batch)}") from None
        if (labels := labels_in(batch)) is not None or self._intake.knows_labels:
            return labels
        raise TrainmapError(
            f"a batch does not tell where its labels are, it is {told(batch)}; pass labels=, a key, a place or a "
            "function of it"
        )

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """The epoch is over; called by itself where it ended before its last batch."""
        if not self._open:
            return
        self._open = False
        if self._sweeping is None:
            self._intake.end_epoch()
        elif self._sweeping.every is None:
            self._sweep(trainer, pl_module)

    # --- sweeps ---

    @undrawn()
    def _sweep_loader(self, trainer: Any) -> Any:
        """A loader of the examples of a sweep, this process' share of them, whose batches are ``Named``.

        Raises:
            TrainmapError: a stream; data that have no ids.
        """
        from torch.utils.data import DataLoader, IterableDataset, Subset

        assert self._sweeping is not None
        data, train = self._sweeping.data, self._loader
        if data is True:
            data = train
        elif not isinstance(data, DataLoader) and isinstance(train, DataLoader):
            data = in_order(data, train)
        if not isinstance(data, DataLoader) or isinstance(data.dataset, IterableDataset):
            what = type(data.dataset if isinstance(data, DataLoader) else data).__name__
            raise TrainmapError(f"a sweep needs data with a length, got a {what}; say sweep=dataset")
        named = self._name(data, True, self._ids if self._sweeping.data is True else None)
        ids = ids_of(named.dataset)
        if ids is None or not isinstance(named.collate_fn, NamedCollate | ApartCollate):
            raise TrainmapError(f"the data of the sweep have no ids: {some(self._told)}")
        places = self._sweeping.places(ids)[trainer.global_rank :: trainer.world_size]
        return in_order(Subset(named.dataset, places.tolist()), named)

    def _sweep(self, trainer: Any, module: Any) -> None:
        """One pass, after which the training goes on as if there had been none."""
        if self._swept is None:  # the loader of the training was made anew
            self._swept = self._sweep_loader(trainer)
        precision = trainer.precision_plugin
        kept, self._outputs = self._heard, None

        def step(batch: Any, number: int) -> tuple[Any]:
            batch = type(precision).convert_input(precision, batch)
            batch = module._on_before_batch_transfer(batch, dataloader_idx=0)
            batch = trainer.strategy.batch_to_device(batch, dataloader_idx=0)
            with precision.train_step_context():
                return (module.training_step(*([batch, number][: arguments_of(module.training_step)])),)

        with unnoticed(module), silent(module), metrics_aside(module):
            for number, one in enumerate(self._swept):
                self._outputs = []
                done = self._intake.read(one.ids, "training_step in a sweep", partial(step, bare(one), number))
                heard, self._outputs = self._outputs, None
                if done is not None:
                    self._record(Named(one.ids, bare(one)), done[0], heard)
        self._heard = kept
        if self._begun:
            self._intake.end_epoch()
        self._open = False

    def _tell(self, what: str) -> None:
        if what not in self._told:
            self._told.add(what)
            log.warning("not recorded: %s", what)

    # --- the end ---

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """The epochs before this one are kept."""
        self._finish()

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Everything is as it was before."""
        if stage == "fit":
            self._finish()
            self._let_go()

    def _finish(self) -> None:
        self._outputs, self._heard, self._open = None, [], False
        if self._begun:
            self._begun = False
            self._intake.finish()

    def _let_go(self) -> None:
        for owner, name in self._restore:
            vars(owner).pop(name, None)
        self._restore = []
        if self._hook is not None:
            self._hook.remove()
            self._hook = None


def _is_named(value: Any) -> bool:
    return isinstance(value, Named)


def _values(batch: Any) -> Any:
    return batch.values() if isinstance(batch, Mapping) else batch
