"""A network tried on made examples: what it puts out, and whether another network puts out the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from trainmap.data.inputs import Inputs
from trainmap.errors import TrainmapError, cause, shown
from trainmap.modes import device_of, evaluating


@contextmanager
def foreign(doing: str | Callable[[Exception], str], cure: str) -> Iterator[None]:
    """The one door to networks and compression libraries of others: whatever they raise is a mistake in one line.

    Networks are anything, and the libraries fail on them in every way there is (assertions, division by zero, index and
    memory errors). Errors of our own pass as they are.

    Args:
        doing: what failed and on what, for the message: "layer 'a' (Conv1d) cannot be narrowed"; or how to say it.
        cure: what to do.

    Raises:
        TrainmapError: with what was said, cut to one line.
    """
    try:
        yield
    except TrainmapError:
        raise
    except Exception as error:
        said = doing if isinstance(doing, str) else doing(error)
        raise TrainmapError(f"{said}: {cause(error)} ({type(error).__name__}); {cure}") from error


def examples(inputs: Inputs, batch: int = 2, device: str | torch.device = "cpu") -> Tensor:
    """A made batch that tells examples and places apart: normal numbers, or words; the same each time."""
    generator = torch.Generator().manual_seed(0)
    if inputs.form == "tokens":
        return torch.randint(1, inputs.vocabulary, (batch, *inputs.shape), generator=generator).to(device)
    return torch.randn(batch, *inputs.shape, generator=generator).to(device)


def logits_of(model: nn.Module, inputs: Inputs, batch: int = 2, how: str = "") -> Tensor:
    """What a network puts out for ``examples``, in eval mode. ``how``: what was done to it, for the message.

    Raises:
        TrainmapError: the network does not run, or puts out something else than one tensor (B, classes, ...).
    """
    if not isinstance(inputs, Inputs):
        raise TrainmapError(
            "inputs must be what a network takes, Inputs.images(3, 32) or data.train.inputs, got "
            f"{type(inputs).__name__} {shown(inputs, 40)}"
        )
    x = examples(inputs, batch, device_of(model))
    with (
        evaluating(model),
        torch.inference_mode(),
        foreign(
            f"this network does not run on {inputs}" + (f" after {how}" if how else ""),
            "name layers in keep=" if how else "call it on a batch of yours first",
        ),
    ):
        logits = model(x)
    return checked(model, logits, batch)


def checked(model: nn.Module, logits: object, batch: int) -> Tensor:
    """An output, where it is one tensor of logits for each example.

    Raises:
        TrainmapError: a tuple, a dict, or a tensor of another kind.
    """
    if not isinstance(logits, Tensor):
        held = f" of {len(logits)}" if isinstance(logits, tuple | list | dict) else ""
        raise TrainmapError(
            f"{type(model).__name__} gives a {type(logits).__name__}{held}, but must give one tensor (B, classes) of "
            "logits; wrap it in a module that returns those alone"
        )
    if logits.ndim < 2 or len(logits) != batch or not logits.is_floating_point():
        raise TrainmapError(
            f"{type(model).__name__} must give a float tensor (B, classes) of logits, got {logits.dtype} "
            f"{tuple(logits.shape)} for B = {batch}"
        )
    return logits


def check_same_shape(made: nn.Module, before: Tensor, inputs: Inputs, how: str) -> Tensor:
    """What a network that was made from another puts out, where the shape is the other's and every number finite that
    was.

    Args:
        before: ``logits_of`` the other.
        how: what was done, for the message.

    Raises:
        TrainmapError: another shape, or numbers that are no longer finite.
    """
    after = logits_of(made, inputs, len(before), how)
    if after.shape != before.shape:
        raise TrainmapError(
            f"{how} would give logits {tuple(after.shape)} in place of {tuple(before.shape)}; nothing was returned"
        )
    if bool(before.isfinite().all()) and not bool(after.isfinite().all()):
        raise TrainmapError(f"{how} would give logits that are not finite where the original's are")
    return after
