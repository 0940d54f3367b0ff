"""What training costs as a whole, by arithmetic alone: nothing here needs torch or a network."""

from __future__ import annotations

import math
from dataclasses import dataclass

from trainmap.errors import TrainmapError

TRAINING_FACTOR = 3
"""Forward + backward in units of the forward pass: the backward pass has two products for each one of the forward pass,
one for the gradient of the inputs and one for that of the weights. The first layer needs no gradient for its input, so
the true figure is a little lower. Counted (``cost.counted_training_flops``, 1x8x8, 1x28x28 and 3x32x32, every network
of ``MODELS``): 2.5 to 3.0 for the convolutional networks and transformers, the least with 3 channels and a narrow
first layer; 2.08 to 2.81 for the perceptron, which is mostly first layer. The optimizer's step is not counted."""


@dataclass(frozen=True)
class TrainingCost:
    """What one trained student costs, in FLOPs, with its share of what was made once.

    Attributes:
        forward: passes of the student.
        backward: passes of the student.
        map: the share of the map (training what makes it, scoring).
        teacher: the share of the teacher's logits, and of its training unless that made the map.
    """

    forward: float
    backward: float
    map: float
    teacher: float

    @property
    def total(self) -> float:
        return self.forward + self.backward + self.map + self.teacher


def training_cost(
    forward: int, examples_seen: int, *, map_flops: float = 0, teacher_flops: float = 0, reuses: int = 1
) -> TrainingCost:
    """The whole cost of one student: forward + 2 forward for the backward pass, (map + teacher) / reuses.

    Args:
        forward: FLOPs of a forward pass of one example.
        examples_seen: examples of all steps together.
        map_flops: of making the map, once.
        teacher_flops: of the teacher's part that the map does not hold already, once.
        reuses: runs that share map and teacher.

    Raises:
        TrainmapError: fewer than one run.
    """
    if reuses < 1:
        raise TrainmapError(f"reuses must be at least 1 (the run itself), got {reuses}")
    passes = forward * examples_seen
    return TrainingCost(passes, (TRAINING_FACTOR - 1) * passes, map_flops / reuses, teacher_flops / reuses)


def training_flops(forward: int, examples_seen: int) -> int:
    """FLOPs of training: 3 x ``forward`` for every example of every step (see ``TRAINING_FACTOR``)."""
    return TRAINING_FACTOR * forward * examples_seen


def inference_flops(forward: int, examples: int, flips: bool = False) -> int:
    """FLOPs of predicting ``examples`` once, or twice when each image's mirror image is predicted as well."""
    return forward * examples * (2 if flips else 1)


def break_even(map_cost: float, full_run: float, subset_run: float) -> float:
    """Runs after which a map has paid for itself: ``map_cost / (full_run - subset_run)``, rounded up.

    Infinity ("never") where a run on the subset is not cheaper than one on full data.
    """
    saved = full_run - subset_run
    runs = map_cost / saved if saved > 0 else math.inf
    return math.ceil(runs) if math.isfinite(runs) else math.inf
