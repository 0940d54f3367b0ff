"""A schedule as a ``torch.utils.data.Sampler``: any PyTorch loader takes it, also with several processes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Sampler

from trainmap.dynamics.arrays import to_ids, to_numpy
from trainmap.errors import TrainmapError, whole
from trainmap.selection.schedule import Schedule, Visit

Array = NDArray[Any]


class ScheduleSampler(Sampler[int]):
    """Indices of a map-style dataset whose item i is the example ``ids[i]``, epoch by epoch as a schedule plans.

    Each epoch is shuffled by (seed, epoch) alone. With ``world`` processes, every one sees the same plan and takes each
    world-th index; the last ones are repeated from the front so that all have the same number of steps, as
    ``DistributedSampler`` does. Resumption: ``state_dict`` after so many indices of an epoch goes on with the next one.

    With several processes a schedule that learns (all but repeated random) must see all the steps in every process:
    gather ids, logits and labels before ``schedule.update``.

    Args:
        schedule: see ``trainmap.selection.schedule``.
        ids: (N,) the dataset's ids, in the order of its items.
        seed: of the order within an epoch.
        rank, world: of this process.
    """

    def __init__(self, schedule: Schedule, ids: Any, seed: int = 0, rank: int = 0, world: int = 1) -> None:
        self.rank, self.world, self.seed = whole(rank, "rank"), whole(world, "world", 1), whole(seed, "seed")
        if rank >= world:
            raise TrainmapError(f"rank must be 0 to {world - 1} (world - 1), got {rank}")
        self.schedule = schedule
        self.ids = to_ids(ids)
        self._by_id = np.argsort(self.ids, kind="stable")
        self.epoch, self.given, self.finished = 0, 0, False
        self.examples = 0  # visited so far, over all epochs and processes, without the padding
        self._visit: Visit | None = None

    def set_epoch(self, epoch: int) -> None:
        """Before each epoch, as with ``DistributedSampler``. Without it, each pass is the next epoch."""
        self.epoch, self.given, self.finished, self._visit = epoch, 0, False, None

    @property
    def visit(self) -> Visit:
        """The epoch's plan."""
        if self._visit is None:
            self._visit = self.schedule.plan(self.epoch)
        return self._visit

    def weights(self, ids: Any) -> torch.Tensor:
        """(B,) float32: the factors of the losses of a batch's examples."""
        return torch.from_numpy(self.visit.weights_of(to_numpy(ids, "ids")).astype(np.float32))

    def __len__(self) -> int:
        return math.ceil(len(self.visit) / self.world) - self.given

    def __iter__(self) -> Iterator[int]:
        if self.finished:
            self.set_epoch(self.epoch + 1)
        wanted = self.visit.ids
        places = self._by_id[np.minimum(np.searchsorted(self.ids, wanted, sorter=self._by_id), len(self.ids) - 1)]
        if not np.array_equal(self.ids[places], wanted):
            raise TrainmapError("the schedule plans examples that are not among the sampler's ids; give both the same")
        order = np.random.default_rng([self.seed, self.epoch]).permutation(places)
        each = math.ceil(len(order) / self.world)
        mine = np.resize(order, each * self.world)[self.rank :: self.world]
        for index in mine[self.given :].tolist():
            self.given += 1
            yield index
        self.examples += len(order)
        self.finished = True  # the plan stays: a loader's last batches are still to be weighed

    def pruned(self, epochs: int) -> float:
        """The share of ``epochs`` whole passes that was really left out so far."""
        return 1 - self.examples / (epochs * len(self.ids))

    def state_dict(self) -> dict[str, Any]:
        """Tensors and numbers alone, so that ``torch.load(weights_only=True)`` reads it. ``given`` counts the indices
        that were drawn, those that a loader's workers have fetched ahead included."""
        return {
            "epoch": self.epoch,
            "given": self.given,
            "finished": self.finished,
            "examples": self.examples,
            "schedule": {name: torch.from_numpy(value.copy()) for name, value in self.schedule.state().items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.schedule.restore({name: value.numpy() for name, value in state["schedule"].items()})
        self.epoch, self.given, self.examples = state["epoch"], state["given"], state["examples"]
        self.finished, self._visit = state["finished"], None


class FilteredBatches(Sampler[list[int]]):
    """A batch sampler: from each pool of indices the ones with the highest loss of a small proxy model.

    Args:
        sampler: gives the indices, a ``ScheduleSampler`` or any other.
        pool: how many indices are looked at for each batch.
        batch: how many of them are kept.
        loss_of: (P,) indices -> (P,) losses of the proxy as it stands; it may train the proxy as well. Its cost is the
            caller's to count. With loader workers it is asked ahead of the steps.

    Source: the proxy filter of airbench96_faster (Jordan 2024, github.com/KellerJordan/cifar10-airbench: 512 of 1,024).
    """

    def __init__(self, sampler: Sampler[int], pool: int, batch: int, loss_of: Callable[[list[int]], Any]) -> None:
        self.sampler, self.loss_of = sampler, loss_of
        self.pool, self.batch = whole(pool, "pool", 1), whole(batch, "batch", 1)
        if batch > pool:
            raise TrainmapError(f"batch must be 1 to pool ({pool}), got {batch}")

    def __len__(self) -> int:
        return math.ceil(len(self.sampler) / self.pool)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[list[int]]:
        pool: list[int] = []
        for index in self.sampler:
            pool.append(index)
            if len(pool) == self.pool:
                yield self._top(pool)
                pool = []
        if pool:
            yield self._top(pool)

    def _top(self, pool: list[int]) -> list[int]:
        losses = to_numpy(self.loss_of(pool), "losses")
        if losses.shape != (len(pool),) or not np.isfinite(losses).all():
            raise TrainmapError(f"loss_of must return {len(pool)} finite losses, got {losses.shape}")
        keep = max(1, round(len(pool) * self.batch / self.pool))
        return [pool[place] for place in np.sort(np.argsort(-losses, kind="stable")[:keep])]
