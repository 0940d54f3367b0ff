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
from trainmap.dynamics.index import MISSING, find_rows, lowest
from trainmap.dynamics.store import fingerprint
from trainmap.errors import TrainmapError, whole
from trainmap.schedules.protocol import Schedule, Visit, check_schedule, settings_of

Array = NDArray[Any]


class ScheduleSampler(Sampler[int]):
    """Indices of a map-style dataset whose item i is the example ``ids[i]``, epoch by epoch as a schedule plans.

    Each epoch is shuffled by (seed, epoch) alone. With ``world`` processes, every one sees the same plan and takes each
    world-th index; the last ones are repeated from the front so that all have the same number of steps, as
    ``DistributedSampler`` does.

    A pass that is broken off (a look at the first batch) counts for nothing: the next one begins the epoch again, and
    ``len`` is always the length of the next one (a loader's workers that have fetched a whole epoch ahead have passed
    through it: then ``set_epoch`` is what begins it again). Only after ``load_state_dict`` does the epoch that was
    under way go on with the index after those that ``state_dict`` had given, until a pass reaches its end.

    With several processes a schedule that learns (all but repeated random) must see all the steps in every process:
    gather ids, logits and labels before ``schedule.update``.

    Args:
        schedule: see ``trainmap.schedules.protocol``.
        ids: (N,) the dataset's ids, in the order of its items.
        seed: of the order within an epoch.
        rank, world: of this process.
    """

    def __init__(self, schedule: Schedule, ids: Any, seed: int = 0, rank: int = 0, world: int = 1) -> None:
        self.rank, self.world, self.seed = whole(rank, "rank"), whole(world, "world", 1), whole(seed, "seed")
        if rank >= world:
            raise TrainmapError(f"rank must be 0 to {world - 1} (world - 1), got {rank}")
        check_schedule(schedule)
        self.schedule = schedule
        self.ids = to_ids(ids)
        self._by_id = np.argsort(self.ids, kind="stable")
        self.examples = 0  # visited so far, over all epochs and processes, without the padding
        self._settings = settings_of(schedule)  # as it was made: a schedule of the user's own may count on
        self._begin(0)

    def set_epoch(self, epoch: int) -> None:
        """Before each epoch, as with ``DistributedSampler``. Without it, each pass that follows a whole one is the next
        epoch. After ``load_state_dict``, the epoch that was under way keeps its place: its pass gives what was left of
        it, nothing if it was over."""
        if self._loaded and epoch == self.epoch:
            self._stays = True
        else:
            self._begin(whole(epoch, "epoch"))

    def _begin(self, epoch: int) -> None:
        self.epoch, self.given, self.finished = epoch, 0, False
        self._start = 0  # where a pass begins
        self._loaded = self._stays = False
        self._visit: Visit | None = None

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
        if self.finished and self._stays:
            return 0
        return math.ceil(len(self.schedule.plan(self.epoch + self.finished)) / self.world) - self._start

    def __iter__(self) -> Iterator[int]:
        if self.finished and self._stays:
            self._loaded = self._stays = False
            return
        if self.finished:
            self._begin(self.epoch + 1)
        self._visit = self.schedule.plan(self.epoch)
        wanted = self._visit.ids
        places = find_rows(self.ids, wanted, self._by_id)
        if (places == MISSING).any():
            raise TrainmapError("the schedule plans examples that are not among the sampler's ids; give both the same")
        order = np.random.default_rng([self.seed, self.epoch]).permutation(places)
        each = math.ceil(len(order) / self.world)
        mine = np.resize(order, each * self.world)[self.rank :: self.world]
        for place, index in enumerate(mine[self._start :].tolist(), start=self._start):
            self.given = place + 1
            yield index
        self.examples += len(order)
        self.finished = True  # the plan stays: a loader's last batches are still to be weighed
        self._start, self._loaded, self._stays = 0, False, False

    def pruned(self, epochs: int) -> float:
        """The share of ``epochs`` whole passes that was really left out so far."""
        return 1 - self.examples / (epochs * len(self.ids))

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers and text alone, so that ``torch.load(weights_only=True)`` reads it. ``given`` counts the
        indices that were drawn, those that a loader's workers have fetched ahead included."""
        return {
            "of": self._of,
            "epoch": self.epoch,
            "given": self.given,
            "finished": self.finished,
            "examples": self.examples,
            "schedule": {name: torch.from_numpy(value.copy()) for name, value in self.schedule.state().items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state_dict`` was taken.

        Raises:
            TrainmapError: a state of another schedule, of other ids, seed, or, within an epoch, number of processes.
        """
        of, mine = state.get("of", {}), self._of
        between = state.get("finished") or not state.get("given")
        differs = [name for name in mine if of.get(name) != mine[name] and not (name == "world" and between)]
        if differs:
            told = "; ".join(f"{name} {of.get(name)}, here {mine[name]}" for name in differs)
            raise TrainmapError(
                f"a state goes on with the sampler that it was taken from, but its {told}; make the sampler as it was "
                "(the number of processes, world, may change between epochs)"
            )
        self.schedule.restore({name: value.numpy() for name, value in state["schedule"].items()})
        self._begin(state["epoch"])
        self.given, self.finished, self.examples = state["given"], state["finished"], state["examples"]
        self._start, self._loaded = 0 if self.finished else self.given, True

    @property
    def _of(self) -> dict[str, Any]:
        """What must be the same for a state to be gone on with."""
        ids = fingerprint(self.ids, np.arange(len(self.ids)))
        return {"schedule": self._settings, "ids": ids, "seed": self.seed, "world": self.world}


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
        return [pool[place] for place in np.sort(lowest(-losses, np.asarray(pool), keep))]
