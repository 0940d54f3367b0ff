"""A small network that looks at a large batch first, so that the large one learns from its hardest examples alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor, nn

from trainmap.data.inputs import Inputs
from trainmap.errors import TrainmapError, whole
from trainmap.models.cost import forward_flops
from trainmap.models.layout import lay_out
from trainmap.schedules.protocol import Schedule

EpochIds = Callable[[int], ArrayLike]
"""The number of an epoch -> the ids to visit in it."""


class ProxyFilter:
    """Of each pool of examples those with the highest loss of a proxy network, which is trained on the way.

    ``fit`` draws pools of round(batch / keep) examples, hands over what the network is about to see (augmented), and
    steps on what comes back. The proxy steps on the whole pool every ``every``-th time, with the recipe of the run; a
    pool costs it one forward pass, and two more for the backward pass where it steps (``flops`` counts both).

    Args:
        model: the proxy, freshly made; trained in place.
        keep: share of the pool that is kept, above 0 to 1.
        every: the proxy learns from every so-manieth pool.
        visits: which examples an epoch draws its pools from: ids for each epoch, or a schedule; None for all.

    Source: the data filter of airbench96_faster (Jordan 2024, github.com/KellerJordan/cifar10-airbench: 512 of 1,024,
        a step of the proxy every fourth batch).
    """

    def __init__(
        self, model: nn.Module, keep: float = 0.5, every: int = 4, visits: EpochIds | Schedule | None = None
    ) -> None:
        if not 0 < keep <= 1:
            raise TrainmapError(f"keep must be above 0 to 1, got {keep}")
        self.model, self.keep, self.every = model, keep, whole(every, "every", 1)
        self.visits, self.pools, self.flops = visits, 0, 0
        self._optimizer: torch.optim.Optimizer | None = None
        self._forward = 0

    def start(self, inputs: Inputs, optimizer: torch.optim.Optimizer, device: str) -> None:
        """Called by ``fit`` once, with the proxy's optimizer."""
        self._forward = forward_flops(self.model, inputs)
        lay_out(self.model.train(), device)
        self._optimizer = optimizer

    def choose(self, x: Tensor, y: Tensor, rate: float) -> Tensor:
        """The places in the pool, ascending, of the examples to keep.

        Args:
            x: (P, ...) as networks take it.
            y: (P,) labels.
            rate: the learning rate at this moment of the run.
        """
        if self._optimizer is None:
            raise TrainmapError("a proxy filter chooses within fit(); call start() first in a loop of your own")
        learns = self.pools % self.every == 0
        with torch.set_grad_enabled(learns):
            losses = F.cross_entropy(self.model(x), y, reduction="none")
        if learns:
            for group in self._optimizer.param_groups:
                group["lr"] = rate
            self._optimizer.zero_grad()
            losses.mean().backward()
            self._optimizer.step()
        self.pools += 1
        self.flops += self._forward * len(y) * (3 if learns else 1)
        count = max(1, round(self.keep * len(y)))
        # Equals by their place in the pool, which was shuffled: no class comes first.
        return losses.detach().argsort(descending=True, stable=True)[:count].sort().values

    def state(self) -> dict[str, Any]:
        """Of the proxy, its optimizer and its counts, for a checkpoint."""
        assert self._optimizer is not None
        return {
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "pools": self.pools,
            "flops": self.flops,
        }

    def restore(self, state: dict[str, Any]) -> None:
        assert self._optimizer is not None
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.pools, self.flops = state["pools"], state["flops"]
