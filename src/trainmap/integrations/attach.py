"""attach: a Trainer of Transformers or TRL records what its network says, by one line after it is built."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

from trainmap.dynamics.recorder import Recorder
from trainmap.errors import TrainmapError
from trainmap.integrations.sweeping import asked

if TYPE_CHECKING:
    from trainmap.integrations.attachment import Attachment
    from trainmap.integrations.grpo_rewards import Rewards


def attach(
    trainer: Any,
    target: Recorder | str | os.PathLike[str],
    *,
    ids: Any = None,
    column: str = "id",
    sweep: Any = False,
    every: Literal["epoch"] | int = "epoch",
    sample: int | None = None,
    passes: float = 1.0,
    **how: Any,
) -> Attachment | Rewards:
    """Record a training of Transformers' ``Trainer``, or of TRL's ``SFTTrainer`` or ``GRPOTrainer``.

    ::

        trainer = Trainer(model, args, train_dataset=dataset, ...)
        tm.attach(trainer, "dynamics")
        trainer.train()

    Args:
        trainer: as it is built, with its training data and collator.
        target: the folder of the recording; or a ``Recorder``, which stays open after the training.
        ids: of the training data, as ``with_ids`` takes them. None: those in its ``column``; without such a column the
            positions 0 to N - 1. (``SFTTrainer`` filters and shuffles its data while it is built: give it
            ``train_dataset=tm.with_ids(dataset)``.)
        column: of the ids. It reaches neither the collator nor the network.
        sweep: True: an evaluation pass over the training data is recorded in place of the training steps; or the data
            to pass over. Attach twice to have both.
        every: when a sweep is made: after each "epoch", or after so many steps.
        sample: of how many examples a sweep is made, the same in each, chosen by a hash of the id; None: all.
        passes: of a ``GRPOTrainer``: what a generation must earn to count in ``pass_rate``.
        how: for the ``Recorder`` that is made: ``overwrite=``, ``level=``, ``repeats=``, ... Classes, their names and
            the kind of supervision are those of the model's configuration where they are not said; ``on_error`` is
            "warn".

    Returns:
        what is attached: ``.recorder`` while a training runs, ``.path``, ``.detach()``.

    Raises:
        TrainmapError: no Trainer; ids that ``with_ids`` refuses; data that lost its ids (packing); a package that is
            missing. When the training begins: what ``Recorder`` refuses. In the training, with ``on_error="raise"``: a
            batch without ids, an output without logits.
    """
    if not (hasattr(trainer, "training_step") and hasattr(trainer, "add_callback") and hasattr(trainer, "args")):
        raise TrainmapError(
            f"attach takes a Trainer of Transformers or TRL, got a {type(trainer).__name__}; in a loop of your own "
            "call recorder.update(ids, logits, labels)"
        )
    try:
        from trainmap.integrations.attachment import attached
    except ModuleNotFoundError as error:
        raise TrainmapError(f"attach needs {error.name}: pip install 'trainmap[adapters]'") from error
    return attached(trainer, target, ids, column, asked(sweep, every, sample), passes, how)
