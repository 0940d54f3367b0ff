"""Which data a task is of, and what its network is judged on elsewhere."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from trainmap.audits.planted import plan_flips
from trainmap.data.dataset import Splits, load_splits
from trainmap.data.known_sizes import outline
from trainmap.data.relabel import relabelled
from trainmap.errors import TrainmapError
from trainmap.experiments.file.fields import Section, short


class Data(Section):
    """A dataset as an experiment has it, with what it held when it was planned.

    Attributes:
        name: as ``load_splits`` takes it.
        split_seed, validation: of the split.
        label_noise, noise_seed: share of the training labels that are exchanged for another class.
        labels: ``FILE.npz:ARRAY`` in place of those of the training part; "" for its own.
        fingerprint: of all of it, SHA-256 (hex); "" in a plan that was made without the data.
    """

    name: str
    split_seed: int
    validation: float
    label_noise: float
    noise_seed: int
    labels: str
    fingerprint: str

    def told(self) -> str:
        """How it is split and what is done to its labels, for a reader."""
        parts = [f"{short(100 * self.validation)} % of the training data set aside for validation"]
        parts[0] = f"{parts[0]} (split seed {self.split_seed})" if self.validation else "no validation data"
        parts += [f"training labels of {self.labels}"] if self.labels else []
        noise = f"{short(100 * self.label_noise)} % of the training labels exchanged for another class"
        parts += [f"{noise}, drawn evenly (seed {self.noise_seed})"] if self.label_noise else []
        return "; ".join([*parts, f"fingerprint {self.fingerprint[:16]}"])

    def load(self, root: str | None) -> Splits:
        """The data, once in a process.

        Raises:
            TrainmapError: they are not what they were when the experiment was planned.
        """
        data = load(root=root, **self.model_dump(exclude={"fingerprint"}))
        if data.fingerprint() != self.fingerprint:
            raise TrainmapError(f"the data of {self.name} changed since the experiment was planned; plan it again")
        return data

    def to_measure(self, root: str | None) -> Splits:
        """The data, or their outline where the plan was made without them: for how fast a network is."""
        told = self.model_dump(exclude={"fingerprint"})
        return self.load(root) if self.fingerprint else load(root=root, outlined=True, **told)


class Elsewhere(Section):
    """What networks are judged on besides their test set.

    Attributes:
        corruptions, severities: of the test set.
        shifts: sets from elsewhere, with the fingerprint of their data.
    """

    corruptions: tuple[str, ...] = ()
    severities: tuple[int, ...] = ()
    shifts: dict[str, str] = {}  # noqa: RUF012

    def identity(self) -> dict[str, Any]:
        """Nothing where nothing is asked for."""
        return self.model_dump() if self else {}

    def __bool__(self) -> bool:
        return bool(self.corruptions or self.shifts)

    def told(self) -> str:
        """The sets, for a reader."""
        severities = ", ".join(map(str, self.severities))
        corrupted = (
            f"its corruptions {', '.join(self.corruptions)} at severity {severities}" if self.corruptions else ""
        )
        return ", ".join(filter(None, ("the test data", corrupted, *(f"the shift {name}" for name in self.shifts))))

    @property
    def corrupted(self) -> list[str]:
        """The names of the corrupted test sets."""
        return [f"{kind} {level}" for kind in self.corruptions for level in self.severities]


@lru_cache(maxsize=2)
def as_it_comes(name: str, root: str | None, split_seed: int, validation: float) -> Splits:
    """A dataset, read once in a process."""
    return load_splits(name, root, split_seed, validation)


@lru_cache(maxsize=2)
def load(
    name: str,
    root: str | None,
    split_seed: int,
    validation: float,
    label_noise: float = 0.0,
    noise_seed: int = 0,
    labels: str = "",
    outlined: bool = False,
) -> Splits:
    """A dataset, made once in a process, with its label noise in the training part alone: labels of a file, or each
    chosen label exchanged for another class, drawn evenly. ``outlined``: its sizes alone, without its files."""
    data = outline(name, split_seed, validation) if outlined else as_it_comes(name, root, split_seed, validation)
    if labels:
        data = replace(data, train=relabelled(data.train, labels, Path(root or "data")))
    if not label_noise:
        return data
    train = data.train
    flips = plan_flips(train.y, label_noise, noise_seed, ids=train.ids, classes=train.classes)
    return replace(data, train=replace(train, y=flips.apply(train.ids, train.y)))
