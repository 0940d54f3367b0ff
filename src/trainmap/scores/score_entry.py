"""What a score is: a function of a block, with what one must know to use it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

from numpy.typing import NDArray

from trainmap.dynamics.signals import Block
from trainmap.dynamics.supervision import Kind
from trainmap.errors import TrainmapError, unknown

Array = NDArray[Any]


@dataclass(frozen=True)
class Score:
    """A score with what one must know to use it. Call it like its function: ``score(block)``.

    Attributes:
        name: its column's name.
        function: block -> (n,) float64.
        direction: the end that is hard, "high" or "low"; None where neither is (the mean of a prediction).
        needs: the signals that it reads.
        range: in words.
        source: the paper.
        epochs: how many it needs at least.
        conventions: what published codes do, by name: the keyword arguments that give theirs. ``{}`` is our default.
        convention_needs: signals that only some of the conventions read.
        convention_epochs: how many epochs a convention needs at least, where that is not ``epochs``.
        kinds: the kinds of recordings that it is defined for (``trainmap.dynamics.supervision``).
    """

    name: str
    function: Callable[..., Array]
    direction: Literal["high", "low"] | None
    needs: tuple[str, ...]
    range: str
    source: str
    epochs: int = 1
    conventions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, hash=False)
    convention_needs: tuple[str, ...] = ()
    convention_epochs: Mapping[str, int] = field(default_factory=dict, hash=False)
    kinds: tuple[Kind, ...] = ("classes",)

    def __call__(self, block: Block) -> Array:
        return self.function(block)

    def under(self, convention: str) -> Score:
        """The same score by a published code's convention; its name is ``name_convention``."""
        if convention not in self.conventions:
            if not self.conventions:
                raise TrainmapError(f"{self.name} has one convention only, got '{convention}'")
            raise unknown(f"convention of {self.name}", convention, self.conventions)
        return replace(
            self,
            name=f"{self.name}_{convention}",
            function=partial(self.function, **self.conventions[convention]),
            needs=(*self.needs, *self.convention_needs),
            epochs=self.convention_epochs.get(convention, self.epochs),
            conventions={},
            convention_needs=(),
            convention_epochs={},
        )
