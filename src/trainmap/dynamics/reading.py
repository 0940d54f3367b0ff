"""From what a caller says of a recording to the reader of its batches, and to what its manifest says of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trainmap.dynamics.class_names import ClassLabels, check_classes_said
from trainmap.dynamics.class_reading import ClassReader, Reader
from trainmap.dynamics.given import check_choice, check_flag, check_number_of_classes
from trainmap.dynamics.manifest import Manifest, Step
from trainmap.dynamics.multilabel_reading import MultilabelReader
from trainmap.dynamics.number_reading import NumberReader, RegressionReader
from trainmap.dynamics.part_reading import LabelReader, PerTokenReader
from trainmap.dynamics.probabilities import As
from trainmap.dynamics.supervision import BY_KIND, Kind, Per, signals_said
from trainmap.dynamics.token_reading import IGNORED, TokenReader
from trainmap.errors import RecordingError, shown, whole

TAKES: dict[Kind, tuple[As, ...]] = {
    "classes": ("logits", "probabilities"),
    "multilabel": ("logits", "probabilities"),
    "tokens": ("logits", "probabilities", "log_probs"),
    "regression": (),
    "numbers": (),
}
"""What ``as_`` may say of each kind."""


def read_as(
    about: Manifest, classes: Any, signals: Any, per: Any, as_: Any, ignore_index: Any, shift: Any
) -> tuple[Reader, Manifest]:
    """The reader of a recording's batches, and its manifest with what they are.

    Args:
        about: the manifest so far; its ``kind`` and ``level`` count.
        others: as ``Recorder`` has them.

    Raises:
        RecordingError: what this kind does not take, or needs.
    """
    kind = about.kind
    if as_ is not None and as_ not in TAKES[kind]:
        takes = ", ".join(map(repr, TAKES[kind]))
        if not takes:
            raise RecordingError(f"kind={kind!r} takes numbers as they are: no as_, got {shown(as_)}")
        raise RecordingError(f"as_ must be one of {takes}, got {shown(as_)}")
    if per is not None:
        check_choice("per", per, Per)
        if kind != (wanted := {"label": "multilabel", "token": "tokens"}[per]):
            raise RecordingError(f"per={per!r} goes with kind={wanted!r}, got it with {kind!r}")
    _only(kind, "shift", check_flag(shift, "shift"), ("tokens",))
    if kind != "classes" and per is None and about.level != "signals":
        raise RecordingError(
            f"level must be 'signals' for kind={kind!r}, got {about.level!r}: other levels are of classes"
        )
    _only(kind, "signals", signals is not None, ("numbers",))
    if kind == "numbers" and signals is None:
        raise RecordingError("kind='numbers' needs signals=['loss', ...], the names of the numbers")
    _only(kind, "ignore_index", ignore_index is not None, ("classes", "multilabel", "tokens"))
    _only(kind, "classes", classes is not None, ("classes", "multilabel", "tokens"))
    ignore = None if ignore_index is None else whole(ignore_index, "ignore_index", -(1 << 62))
    if kind == "classes":
        count, names = check_classes_said(classes)
        labels = ClassLabels(check_number_of_classes(count), names, ignore)
        reader = ClassReader(labels, about.level, as_)
        return reader, _with(about, classes=labels.classes, class_names=None if names is None else list(names))
    if kind == "multilabel":
        return _multilabel(about, classes, per, as_, ignore)
    if kind == "tokens":
        return _tokens(about, classes, per, as_, IGNORED if ignore is None else ignore, bool(shift))
    said = signals_said(signals) if kind == "numbers" else list(BY_KIND[kind])
    plain = NumberReader(said) if kind == "numbers" else RegressionReader(said)
    return plain, _with(about, signals=said)


def _multilabel(
    about: Manifest, classes: Any, per: Per | None, as_: As | None, ignore: int | None
) -> tuple[Reader, Manifest]:
    if isinstance(classes, Sequence) and not isinstance(classes, str) and len(classes) == 1:
        count, names = 1, (str(classes[0]),)  # a single label has a name as well
    elif classes == 1 and not isinstance(classes, bool):
        count, names = 1, None
    else:
        count, names = check_classes_said(classes)
        count = check_number_of_classes(count)
    if per is None:
        reader = MultilabelReader(count, ignore, as_)
        listed = None if names is None else list(names)
        return reader, _with(about, classes=count, class_names=listed, signals=list(reader.signals))
    told = [str(name) for name in (names or range(count))]
    return LabelReader(told, ignore, about.level, as_), _with(about, kind="classes", classes=2, per=per)


def _tokens(
    about: Manifest, classes: Any, per: Per | None, as_: As | None, ignore: int, shift: bool
) -> tuple[Reader, Manifest]:
    count, names = check_classes_said(classes)
    if per is None:
        if names is not None:
            raise RecordingError("the vocabulary of kind='tokens' has no names; classes= is its size, or left out")
        if as_ == "log_probs" and (shift or count is not None):
            raise RecordingError("log-probabilities come with their own mask: no shift=, no classes=")
        vocabulary = None if count is None else whole(count, "classes", 2)
        reader = TokenReader(vocabulary, ignore, shift, as_)
        return reader, _with(about, classes=vocabulary or 0, signals=list(reader.signals))
    if as_ == "log_probs":
        raise RecordingError("per='token' needs the logits of every class, not log-probabilities")
    how = ClassLabels(check_number_of_classes(count), names, ignore)
    listed = None if names is None else list(names)
    of_tokens = PerTokenReader(how, shift, about.level, as_)
    return of_tokens, _with(about, kind="classes", classes=how.classes, class_names=listed, per=per)


def kind_said(kind: Any, signals: Any) -> Kind:
    """What is recorded: as said, numbers where signals are named, else classes."""
    if kind is None:
        return "classes" if signals is None else "numbers"
    check_choice("kind", kind, Kind)
    return kind


def check_step(step: Any, every: Any) -> None:
    """What an epoch of the recording is: so many epochs, or steps, of the training."""
    check_choice("step", step, Step)
    if every is not None:
        whole(every, "every", 1)


def _only(kind: Kind, what: str, said: bool, kinds: tuple[Kind, ...]) -> None:
    if said and kind not in kinds:
        raise RecordingError(f"{what}= goes with kind {' or '.join(map(repr, kinds))}, got it with {kind!r}")


def _with(about: Manifest, **fields: Any) -> Manifest:
    return about.model_copy(update=fields)
