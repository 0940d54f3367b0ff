"""One network judged everywhere: on its own test set, on data from elsewhere with the same classes, on corruptions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from trainmap.array_files import read_npz
from trainmap.data.dataset import Dataset
from trainmap.data.elsewhere import Labels, Part, load_elsewhere
from trainmap.errors import TrainmapError, shown, unknown
from trainmap.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from trainmap.evaluation.metrics import Metrics, evaluate
from trainmap.models.predict import predict

DIGIT = 20
"""MNIST's digits fill a box of 20 x 20 in the middle of 28 x 28."""


@dataclass(frozen=True)
class Row:
    """How good a network is on one set.

    Attributes:
        set: its name.
        role: "test" (in distribution), "shift" (the same classes, from elsewhere) or "corruption".
        n: examples.
        metrics: see ``evaluate.Metrics``.
    """

    set: str
    role: Literal["test", "shift", "corruption"]
    n: int
    metrics: Metrics

    def flat(self) -> dict[str, Any]:
        """One level deep, for a table: set, role, n, accuracy, macro_f1, loss, calibration_error."""
        return {"set": self.set, "role": self.role, "n": self.n, **asdict(self.metrics)}


def evaluate_everywhere(
    model: nn.Module,
    test: Dataset,
    shifts: Mapping[str, Dataset] | None = None,
    corruptions: Iterable[str] = (),
    severities: Iterable[int] = SEVERITIES,
    *,
    seed: int = 0,
    flips: bool = False,
    device: str | None = None,
    on_logits: Callable[[str, Dataset, NDArray[np.float32]], object] | None = None,
) -> list[Row]:
    """Judge a network on its test set, on shifted sets and on corruptions of the test set, in this order.

    Args:
        model: any network that takes the test set's form of input.
        test: in distribution.
        shifts: name -> a set with the same classes in the same order, and inputs of the same form and shape.
        corruptions: keys of ``corruptions.CORRUPTIONS``; each at every one of the ``severities``. A corrupted set is
            made, judged and dropped before the next.
        seed: of the corruptions.
        flips, device: as in ``evaluate.predict``.
        on_logits: called with each set's name, the set and the (N, C) logits on it.

    Raises:
        TrainmapError: a shift with other classes or inputs, an unknown corruption or severity.
    """
    kinds, levels = list(corruptions), list(severities)
    for name, dataset in (shifts or {}).items():
        if dataset.classes != test.classes or dataset.inputs != test.inputs:
            raise TrainmapError(
                f"a shift must have the classes and inputs of the test set, {test.classes} classes of {test.inputs}; "
                f"'{name}' has {dataset.classes} of {dataset.inputs}"
            )
    for kind in kinds:
        if kind not in CORRUPTIONS:
            raise unknown("corruption", kind, CORRUPTIONS)
    if strange := [level for level in levels if level not in SEVERITIES]:
        raise TrainmapError(f"severities must be 1 (mild) to 5, got {shown(strange[0])}")

    def row(name: str, role: Literal["test", "shift", "corruption"], dataset: Dataset) -> Row:
        logits = predict(model, dataset, flips, device)
        if on_logits is not None:
            on_logits(name, dataset, logits)
        return Row(name, role, len(dataset), evaluate(logits, dataset.y))

    rows = [row(test.name, "test", test)]
    rows += [row(name, "shift", dataset) for name, dataset in (shifts or {}).items()]
    for kind in kinds:
        rows += [row(f"{kind} {level}", "corruption", corrupt(test, kind, level, seed)) for level in levels]
    return rows


def mean_corruption_error(rows: Iterable[Row]) -> float:
    """``1 - accuracy``, averaged over the corrupted sets among the rows: each kind and severity counts the same.

    Returns:
        in [0, 1]; low is good.

    Source: Hendrycks and Dietterich 2019, arXiv:1903.12261, section 4. For CIFAR-10-C it is the plain mean; the
    division by AlexNet's errors is for ImageNet-C.
    """
    errors = [1 - row.metrics.accuracy for row in rows if row.role == "corruption"]
    if not errors:
        raise TrainmapError("no row is of a corruption; pass corruptions=... to evaluate_everywhere")
    return float(np.mean(errors))


def load_shift(
    name: str | Path,
    data_root: str | Path = "data",
    like: Dataset | None = None,
    part: Part = "test",
    labels: Labels | None = None,
) -> Dataset:
    """A set from elsewhere with the classes of a dataset: one of ``SHIFTS``, or whatever ``load_splits`` knows.

    Args:
        name: a key of ``SHIFTS``; with ``like`` also the name or the path of any dataset.
        data_root: the folder of the data.
        like: any part of the dataset whose networks are judged. A key of ``SHIFTS`` is made for one dataset; for any
            other it is a dataset like others.
        part, labels: see ``trainmap.data.elsewhere.load_elsewhere``.

    Raises:
        TrainmapError: an unknown name, a file that is missing or not what it must be, a set that does not fit.
    """
    if like is None or is_made_for(name, like, part, labels):
        if name not in SHIFTS:
            raise unknown("shift", str(name), SHIFTS)
        return SHIFTS[str(name)].load(Path(data_root))
    return load_elsewhere(name, like, data_root, part, labels)


def is_made_for(name: str | Path, like: Dataset, part: Part = "test", labels: Labels | None = None) -> bool:
    """Whether a shift of this name is one that was made for the dataset."""
    return name in SHIFTS and SHIFTS[str(name)].of == like.name and part == "test" and not labels


def usps(root: Path) -> Dataset:
    """The 2,007 test digits of USPS as MNIST has its digits: 16 x 16 enlarged to 20 x 20 (bilinear) amid 28 x 28.

    Read from ``usps.npz`` or ``usps/usps.npz`` (x_test (N, 16, 16) uint8, white on black; y_test). Ids are 0 to N - 1.
    """
    places = (root / "usps.npz", root / "usps" / "usps.npz")
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise TrainmapError(f"usps is not there: put usps.npz (x_test, y_test) into {root}")
    x, y = read_npz(path, ("x_test", "y_test")).values()
    if x.dtype != np.uint8 or x.ndim != 3:
        raise TrainmapError(f"{path}: x_test must be uint8 (N, 16, 16), got {x.dtype} {x.shape}")
    return Dataset("usps", np.arange(len(x), dtype=np.int64), as_mnist(x), y.astype(np.int64), 10)


def as_mnist(digits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(N, H, W) digits that fill their frame -> (N, 1, 28, 28): resized to 20 x 20, four pixels of black around."""
    margin = (28 - DIGIT) // 2
    framed = np.zeros((len(digits), 1, 28, 28), np.uint8)
    for place, digit in enumerate(digits):
        resized = Image.fromarray(digit).resize((DIGIT, DIGIT), Image.Resampling.BILINEAR)
        framed[place, 0, margin:-margin, margin:-margin] = np.asarray(resized)
    return framed


@dataclass(frozen=True)
class Shift:
    """A set with the classes of another dataset.

    Attributes:
        of: the dataset whose models it tests.
        load: the folder of the data -> the set.
    """

    of: str
    load: Callable[[Path], Dataset]


SHIFTS: Mapping[str, Shift] = {"usps": Shift("mnist", usps)}
