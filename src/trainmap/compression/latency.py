"""How long networks take for an example, side by side in one run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from trainmap.errors import TrainmapError
from trainmap.modes import evaluating


def paired_latency(
    models: Mapping[str, Callable[[Tensor], object]],
    x: Tensor,
    *,
    threads: int = 1,
    repeat: int = 30,
    warmup: int = 3,
    calls: int = 1,
) -> pl.DataFrame:
    """Median CPU seconds per example of each network on the same batch, taken in turns.

    In every round each network runs once, so that whatever else the machine does falls on all of them. CPU seconds are
    the time of all threads of this process.

    Args:
        models: by name; the first is what the others are compared with. Modules are in eval mode while it measures;
            other functions, such as a session of another runtime, are called as they are.
        x: (B, ...) as the networks take it, on the CPU.
        threads: of torch, while it measures (another runtime has its own setting).
        repeat: rounds that count.
        warmup: rounds before them, which do not.
        calls: of each network in a round; more for networks of microseconds.

    Returns:
        A table, one row per network: ``model``, ``seconds`` (median per example), ``low`` and ``high`` (quartiles),
        ``ratio`` (median over the rounds of its seconds divided by those of the first in the same round).

    Raises:
        TrainmapError: no networks, a batch that is empty or not on the CPU, counts below 1.
    """
    if not models or len(x) == 0 or x.device.type != "cpu":
        raise TrainmapError(
            f"latency needs at least one network and a batch of at least one example on the CPU, got {len(models)} "
            f"networks and {len(x)} examples on {x.device}"
        )
    if min(threads, repeat, calls) < 1 or warmup < 0:
        raise TrainmapError(
            "threads, repeat and calls must be at least 1 and warmup at least 0, got "
            f"{threads}, {repeat}, {calls}, {warmup}"
        )
    networks = [model for model in models.values() if isinstance(model, nn.Module)]
    with _threads(threads), evaluating(*networks):
        seconds = _paired_seconds(models, x, repeat, calls, warmup)
    return latency_table(list(models), np.array(list(seconds.values())).T / len(x))


def _paired_seconds(
    networks: Mapping[str, Callable[[Tensor], object]], x: Tensor, repeats: int, calls: int, warmup: int
) -> dict[str, list[float]]:
    """CPU seconds of one call of each network in each of ``repeats`` rounds after ``warmup``, in turns.

    Their order is drawn afresh for each round: a network pays for what the one before it left in the caches.
    """
    seconds: dict[str, list[float]] = {name: [] for name in networks}
    order, draws = list(networks), np.random.default_rng(0)
    with torch.inference_mode():
        for number in range(-warmup, repeats):
            for name in (order[place] for place in draws.permutation(len(order))):
                start = time.process_time()
                for _ in range(calls):
                    networks[name](x)
                if number >= 0:
                    seconds[name].append((time.process_time() - start) / calls)
    return seconds


def latency_table(names: list[str], seconds: np.ndarray) -> pl.DataFrame:
    """The table of ``paired_latency`` from (rounds, networks) seconds per example."""
    low, median, high = np.quantile(seconds, [0.25, 0.5, 0.75], axis=0)
    ratio = np.median(seconds / seconds[:, :1], axis=0)
    return pl.DataFrame({"model": names, "seconds": median, "low": low, "high": high, "ratio": ratio})


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
