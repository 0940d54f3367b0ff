"""How a recording of sequences reads a batch: logits and labels of every token, or log-probabilities of the gold ones.

Of an example with the counted tokens t (those whose label is not ``ignore_index``, or that the mask marks), n of them:

    loss        (1/n) sum_t -log p_t(gold)     nats a token
    p_gold      exp(-loss), the geometric mean of p_t(gold)
    accuracy    share of the tokens whose gold token was the likeliest; not recorded from log-probabilities
    tokens      n

Labels are aligned with the logits: place t of the labels is what place t of the logits is to tell. A causal language
model's place t tells of token t + 1; ``shift=True`` takes logits[:, :-1] and labels[:, 1:]. An example without a
counted token is left out and counted, as an ignored row is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.arrays import on_accelerator, to_ids, to_numpy
from trainmap.dynamics.class_reading import Batch
from trainmap.dynamics.number_reading import PlainReader
from trainmap.dynamics.probabilities import As
from trainmap.dynamics.roster import Known, Learned
from trainmap.dynamics.supervision import ACCURACY, BY_KIND
from trainmap.dynamics.token_losses import losses, torch_losses
from trainmap.errors import RecordingError, shown, some

Array = NDArray[Any]

IGNORED = -100
FINE, MASKED, NO_TOKEN, NO_LABEL = 0, 1, 2, 3  # what is wrong with an example, the worst of its tokens


class TokenReader(PlainReader):
    """Sequences of (B, T) tokens; see the head of this file.

    Args:
        vocabulary: V, or None to take it from the logits.
        ignore: the label of tokens that do not count.
        shift: the logits are of a causal model.
        as_: None or "logits", "probabilities", or "log_probs": those of the gold tokens (B, T), with a mask in place of
            the labels.
    """

    def __init__(
        self, vocabulary: int | None, ignore: int = IGNORED, shift: bool = False, as_: As | None = None
    ) -> None:
        given = as_ == "log_probs"
        super().__init__([signal for signal in BY_KIND["tokens"] if not (given and signal is ACCURACY)])
        self.vocabulary, self.ignore, self.shift, self.as_ = vocabulary, ignore, shift, as_

    def measured(self, size: int, outputs: Any, targets: Any) -> dict[str, Any]:
        if targets is None:
            what = "a mask (B, T) of the tokens that count" if self.as_ == "log_probs" else "labels (B, T)"
            raise RecordingError(f"a batch of sequences needs {what}; got none")
        if torch_tensor(outputs):
            return self._of_tensors(size, outputs.detach(), targets)
        outputs = _real(to_numpy(outputs, "logits"))
        targets = to_numpy(targets, "labels")
        self.check_shapes(size, outputs.shape, targets.shape)
        if self.as_ == "log_probs":
            return _pooled(*_log_probs(outputs, _mask(targets)))
        if self.shift:
            outputs, targets = outputs[:, :-1], targets[:, 1:]
        if targets.dtype.kind not in "iu":
            raise RecordingError(f"labels must be integers, the numbers of the tokens, got {targets.dtype}")
        counts, vocabulary = targets != self.ignore, outputs.shape[-1]
        wrong = counts & ((targets < 0) | (targets >= vocabulary))
        here = counts & ~wrong
        loss, right = losses(outputs[here], targets[here].astype(np.int64), self.as_ == "probabilities")
        return _pooled(counts, _spread(loss, here), _spread(right.astype(float), here), wrong)

    def _of_tensors(self, size: int, outputs: Any, targets: Any) -> dict[str, Any]:
        """The same in torch. On the CPU only the tokens that count are looked at; on an accelerator their number is not
        known without waiting, so all are."""
        import torch

        if not torch_tensor(targets):
            targets = torch.as_tensor(to_numpy(targets, "labels"))
        targets = targets.detach().to(outputs.device, non_blocking=True)
        self.check_shapes(size, tuple(outputs.shape), tuple(targets.shape))
        if outputs.dtype.is_complex or not outputs.dtype.is_floating_point:
            outputs = _real_tensor(outputs)
        if self.as_ == "log_probs":
            if not on_accelerator(outputs):
                return _pooled(*_log_probs(_real(to_numpy(outputs, "log_probs")), _mask(to_numpy(targets, "mask"))))
            return _pooled_on_device(targets != 0, -outputs.float(), None, outputs > 1e-4)
        if self.shift:
            outputs, targets = outputs[:, :-1], targets[:, 1:]
        if targets.dtype.is_floating_point or targets.dtype == torch.bool:
            raise RecordingError(f"labels must be integers, the numbers of the tokens, got {targets.dtype}")
        targets, vocabulary = targets.long(), outputs.shape[-1]
        counts = targets != self.ignore
        wrong = counts & ((targets < 0) | (targets >= vocabulary))
        here, probabilities = counts & ~wrong, self.as_ == "probabilities"
        if on_accelerator(outputs):
            flat = outputs.reshape(-1, vocabulary)
            loss, right = torch_losses(flat, torch.where(here, targets, 0).reshape(-1), probabilities)
            return _pooled_on_device(counts, loss.view(counts.shape), right.view(counts.shape).float(), wrong)
        loss, right = torch_losses(outputs[here], targets[here], probabilities)
        return _pooled(
            counts.numpy(),
            _spread(loss.double().numpy(), here.numpy()),
            _spread(right.double().numpy(), here.numpy()),
            wrong.numpy(),
        )

    def settled(self, ids: Any, values: Any, targets: Any, roster: Known | Learned) -> Batch:
        del targets, roster
        ids, fault = to_ids(ids), np.asarray(values["fault"])
        self._refuse(ids, fault)
        n = np.asarray(values["tokens"], np.float64)
        keep = n > 0
        columns = {"tokens": n[keep], "loss": np.asarray(values["loss"], np.float64)[keep] / n[keep]}
        columns["p_gold"] = np.exp(-columns["loss"])
        if "right" in values:
            columns["accuracy"] = np.asarray(values["right"], np.float64)[keep] / n[keep]
        return self.batch(ids[keep], columns, ignored=int((~keep).sum()))

    def _refuse(self, ids: Array, fault: Array) -> None:
        """Say what is wrong with the tokens of a batch."""
        for code, told in (
            (NO_LABEL, f"labels must be tokens, 0 to V - 1, or ignore_index={self.ignore}"),
            (MASKED, "the logits of a counted token must be finite, and the gold token must not be masked (-inf)"),
        ):
            bad = fault == code
            if bad.any():
                if self.as_ == "log_probs":
                    told = "log-probabilities of counted tokens must be finite and at most 0: log p of the gold token"
                elif self.as_ == "probabilities":
                    told += "; probabilities must be from 0 up and sum to 1"
                raise RecordingError(
                    f"{told}; {bad.sum()} of {len(ids)} examples have others (first: {some(ids[bad].tolist())})"
                )

    def check_shapes(self, size: int, outputs: tuple[int, ...], targets: tuple[int, ...]) -> None:
        """Refuse a batch of other shapes, with what to do about it."""
        if self.as_ == "log_probs":
            if len(outputs) == 2 and outputs[0] == size and targets == outputs:
                return
            raise RecordingError(
                f"a batch of {size} ids needs log-probabilities and a mask of shape ({size}, T), got {outputs} and "
                f"{targets}"
            )
        fits = len(outputs) == 3 and outputs[0] == size and targets == outputs[:2]
        if fits and self.vocabulary in (None, outputs[2]):
            return
        cure = ""
        if fits:
            cure = f"; the network has {outputs[2]} outputs, the recorder classes={self.vocabulary}"
        elif len(outputs) == 3 and outputs[0] == size and targets == (size, outputs[1] + 1):
            cure = "; labels are aligned with the logits: labels[:, 1:], or all logits and shift=True"
        elif len(outputs) == 3 and targets == (outputs[0], outputs[2]):
            cure = "; turn the logits, (B, V, T), around: logits.transpose(1, 2)"
        elif len(outputs) == 2 and outputs == targets:
            cure = "; log-probabilities of the gold tokens go with as_='log_probs'"
        vocabulary = "V" if self.vocabulary is None else self.vocabulary
        raise RecordingError(
            f"a batch of {size} ids needs logits of shape ({size}, T, {vocabulary}) and labels of shape ({size}, T), "
            f"got {outputs} and {targets}{cure}"
        )


def torch_tensor(value: Any) -> bool:
    """Whether it is a tensor of torch, without importing it."""
    import sys

    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _real(array: Array) -> Array:
    if array.dtype.name.startswith(("bfloat16", "float8")):
        return array.astype(np.float32)
    if array.dtype.kind not in "fiu":
        raise RecordingError(f"logits must be real numbers, got {array.dtype}")
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def _real_tensor(tensor: Any) -> Any:
    if tensor.dtype.is_complex:
        raise RecordingError(f"logits must be real numbers, got {tensor.dtype}")
    return tensor.float()


def _mask(mask: Array) -> Array:
    """(B, T) bool of true and false, or of 1 and 0."""
    if mask.dtype.kind == "b":
        return mask
    if mask.dtype.kind not in "iuf" or not ((mask == 0) | (mask == 1)).all():
        raise RecordingError(
            f"a mask must be true or false (1 or 0) for each token, got {shown(mask.ravel()[:4].tolist())}"
        )
    return mask == 1


def _log_probs(values: Array, counts: Array) -> tuple[Array, Array, None, Array]:
    wide = np.where(counts, values.astype(np.float64), 0.0)
    above = counts & (wide > 1e-4)  # what rounding leaves of p = 1 in half precision
    return counts, np.where(above, np.nan, -np.minimum(wide, 0.0)), None, np.zeros(counts.shape, bool)


def _spread(values: Array, here: Array) -> Array:
    """(B, T) float64 with the values of the places ``here``, 0 elsewhere."""
    out = np.zeros(here.shape)
    out[here] = values
    return out


def _pooled(counts: Array, loss: Array, right: Array | None, wrong: Array) -> dict[str, Any]:
    """Sums over the tokens of each example, one token after the other: no bit depends on how far it is padded."""
    broken = counts & ~np.isfinite(loss)
    fault = np.where(wrong.any(axis=1), NO_LABEL, np.where(broken.any(axis=1), MASKED, FINE))
    columns = {"tokens": _sum(counts.astype(np.float64)), "loss": _sum(np.where(broken, 0.0, loss)), "fault": fault}
    return columns if right is None else {**columns, "right": _sum(right)}


def _sum(values: Array) -> Array:
    return np.add.accumulate(values, axis=1)[:, -1] if values.shape[1] else np.zeros(len(values))


def _pooled_on_device(counts: Any, loss: Any, right: Any | None, wrong: Any) -> dict[str, Any]:
    """The same in torch, (B,) each; what the caller fetches."""
    import torch

    wide = torch.float32 if counts.device.type == "mps" else torch.float64
    wrong = wrong & counts
    broken = counts & ~torch.isfinite(loss)
    code = NO_LABEL if right is not None else MASKED
    fault = torch.where(wrong.any(dim=1), code, torch.where(broken.any(dim=1), MASKED, FINE))
    columns = {
        "tokens": counts.sum(dim=1, dtype=wide),
        "loss": torch.where(counts & ~broken, loss, 0).sum(dim=1, dtype=wide),
        "fault": fault.to(wide),
    }
    return columns if right is None else {**columns, "right": torch.where(counts, right, 0).sum(dim=1, dtype=wide)}
