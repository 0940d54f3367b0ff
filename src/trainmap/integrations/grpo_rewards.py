"""Rewards by prompt: what the generations of each prompt earned, recorded while TRL trains on them (GRPO, RLOO)."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from accelerate.utils import gather_object
from numpy.typing import NDArray
from transformers import TrainerCallback

from trainmap.dynamics.recorder import Recorder
from trainmap.errors import RecordingError, TrainmapError, some
from trainmap.integrations.identified import one_array
from trainmap.integrations.intake import Intake

Array = NDArray[Any]


def by_prompt(ids: list[Any], rewards: Array, weights: Array, names: list[str], passes: float) -> tuple[Any, Any]:
    """Numbers of each prompt over its G generations.

    With r_gf the reward of generation g by function f, w_f its weight and R_g = sum over f of w_f r_gf::

        reward       (R_1 + ... + R_G) / G
        reward_std   sqrt(mean over g of (R_g - reward)²)
        pass_rate    share of g with R_g >= passes
        reward_NAME  mean over g of r_gf, of each function where there are several

    A function that gave no reward for a generation is left out of its sum and of its own mean, and a generation that no
    function rewarded out of all means, as TRL does.

    Args:
        ids: (n,) of the prompt of each generation, in any order.
        rewards: (n, F), NaN where there was none.
        weights: (F,).
        names: (F,) of the functions, as columns.
        passes: what a generation must earn to pass.

    Returns:
        (B,) the prompts' ids in order of appearance, and name -> (B,) float64; NaN where nothing was given.
    """
    place = {name: number for number, name in enumerate(dict.fromkeys(ids))}
    of, given = np.array([place[name] for name in ids]), ~np.isnan(rewards)
    total, scored = np.nansum(rewards * weights, axis=1), given.any(axis=1)

    def mean(values: Array, here: Any = scored) -> Array:
        times = np.bincount(of[here], minlength=len(place))
        summed = np.bincount(of[here], values[here], minlength=len(place))
        return np.divide(summed, times, out=np.full(len(place), np.nan), where=times > 0)

    reward = mean(total)
    numbers = {
        "reward": reward,
        "reward_std": np.sqrt(mean((total - reward[of]) ** 2)),
        "pass_rate": mean((total >= passes).astype(float)),
    }
    if len(names) > 1:
        numbers |= {name: mean(rewards[:, at], given[:, at]) for at, name in enumerate(names)}
    return one_array(list(place)), numbers


def columns_of(names: list[str]) -> list[str]:
    """The reward functions' names as names of columns, all different."""
    columns: list[str] = []
    for number, name in enumerate(names):
        column = f"reward_{re.sub('[^A-Za-z0-9]+', '_', name).strip('_')}"[:60]
        columns.append(f"{column}_{number}" if column in (*columns, "reward_std") else column)
    return columns


class Rewards(TrainerCallback):
    """What ``attach`` puts on a trainer that draws generations and rewards them."""

    def __init__(self, trainer: Any, intake: Intake, path: Path, column: str, passes: float) -> None:
        self.trainer, self.intake, self.path, self.column, self.passes = trainer, intake, path, column, passes
        self._names = columns_of(trainer.reward_func_names)
        if not callable(getattr(trainer, "_calculate_rewards", None)):
            raise TrainmapError(f"this {type(trainer).__name__} keeps its rewards to itself; trl 1.x shows them")
        ends = dict.fromkeys(["reward", "pass_rate", *(self._names if len(self._names) > 1 else ())], "low")
        intake.default(signals=ends | {"reward_std": "high"}, rank=0, world_size=1)
        self._records = trainer.accelerator.is_main_process  # it has the rewards of all processes
        self._undo = [self._put("_calculate_rewards", self._calculate), self._put("train", self._train)]
        trainer.add_callback(self)

    @property
    def recorder(self) -> Recorder | None:
        return self.intake.recorder

    def detach(self) -> None:
        self.intake.finish()
        while self._undo:
            self._undo.pop()()
        self.trainer.remove_callback(self)

    def _put(self, name: str, make: Callable[[Any], Any]) -> Callable[[], None]:
        trainer, own = self.trainer, name in vars(self.trainer)
        before = getattr(trainer, name)
        setattr(trainer, name, make(before))
        return lambda: setattr(trainer, name, before) if own else delattr(trainer, name)

    def _train(self, before: Callable[..., Any]) -> Callable[..., Any]:
        def train(*args: Any, **kwargs: Any) -> Any:
            try:
                return before(*args, **kwargs)
            finally:
                self.intake.finish()

        return train

    def _calculate(self, before: Callable[..., Any]) -> Callable[..., Any]:
        def calculate_rewards(inputs: Any, *args: Any, **kwargs: Any) -> Any:
            rewards = before(inputs, *args, **kwargs)
            if self.trainer.model.training:
                ids = [item.get(self.column) for item in inputs]
                ids = gather_object(ids) if self.trainer.accelerator.num_processes > 1 else ids
                if self._records:
                    found = self.intake.read(ids, "reading the rewards", lambda: find(ids, rewards))
                    if found is not None:
                        self._take(*found)
            return rewards

        def find(ids: list[Any], rewards: Any) -> tuple[Any, Any]:
            if None in ids:
                raise TrainmapError(
                    f"a prompt has no {self.column!r}: build the trainer with train_dataset=tm.with_ids(dataset)"
                )
            values, weights = (one.detach().double().cpu().numpy() for one in (rewards, self.trainer.reward_weights))
            return by_prompt(ids, values, weights, self._names, self.passes)

        return calculate_rewards

    def _take(self, ids: Array, numbers: dict[str, Array]) -> None:
        """The prompts that have all numbers that are recorded; the others are told."""
        numbers = {name: values for name, values in numbers.items() if name in self.intake.signals}
        whole = np.all([np.isfinite(values) for values in numbers.values()], axis=0)
        if not whole.all():
            lacking = [name for name, values in numbers.items() if not np.isfinite(values).all()]
            self.intake.refuse(
                ids[~whole],
                RecordingError(
                    f"{(~whole).sum()} of {len(ids)} prompts have no {some(lacking, 9)}: the reward function gave them "
                    "nothing. Where each prompt is for some functions alone, record what all have: attach(..., "
                    "signals=['reward', 'pass_rate'])"
                ),
            )
        if whole.any():
            self.intake.take(ids[whole], {name: values[whole] for name, values in numbers.items()})

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._records:
            self.intake.begin(int((state.epoch or 0) + 1e-6), again=state.global_step > 0)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._records:
            self.intake.end_epoch()
