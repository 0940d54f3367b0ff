from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from trainmap.compression.latency import latency_table, paired_latency
from trainmap.errors import TrainmapError


class Told(nn.Module):
    """Keeps the order in which networks are called, their mode and the threads."""

    def __init__(self, name: str, calls: list[tuple[str, bool, int]]) -> None:
        super().__init__()
        self.name, self.calls = name, calls

    def forward(self, x: Tensor) -> Tensor:
        self.calls.append((self.name, self.training, torch.get_num_threads()))
        return x @ x.T


def test_the_table_by_hand() -> None:
    """The ratio is the median of the rounds' ratios, which an outlier in both does not move."""
    seconds = np.array([[1.0, 2.0], [2.0, 6.0], [9.0, 27.0]])
    table = latency_table(["a", "b"], seconds)
    assert table.to_dicts() == [
        {"model": "a", "seconds": 2.0, "low": 1.5, "high": 5.5, "ratio": 1.0},
        {"model": "b", "seconds": 6.0, "low": 4.0, "high": 16.5, "ratio": 3.0},
    ]


def test_networks_take_turns_in_eval_mode_and_everything_is_as_before_afterwards() -> None:
    calls: list[tuple[str, bool, int]] = []
    models = {name: Told(name, calls).train() for name in ("a", "b")}
    threads = torch.get_num_threads()
    table = paired_latency(models, torch.rand(64, 64), threads=2, repeat=4, warmup=1)
    assert sorted(name for name, _, _ in calls) == ["a"] * 5 + ["b"] * 5
    assert {(mode, count) for _, mode, count in calls} == {(False, 2)}
    assert torch.get_num_threads() == threads
    assert all(model.training for model in models.values())
    assert table["model"].to_list() == ["a", "b"]
    assert (table["seconds"] > 0).all()


def test_networks_take_turns_in_changing_order_and_the_first_round_does_not_count() -> None:
    turns: list[str] = []
    models = {name: lambda x, name=name: turns.append(name) for name in "abc"}
    paired_latency(models, torch.zeros(1), repeat=5, warmup=1, calls=2)
    rounds = ["".join(turns[start : start + 6]) for start in range(0, len(turns), 6)]
    assert len(rounds) == 6
    assert len(set(rounds)) > 1
    assert {"".join(sorted(names)) for names in rounds} == {"aabbcc"}
    assert all("aa" in names and "bb" in names and "cc" in names for names in rounds)


def test_functions_that_are_no_modules_are_measured_too() -> None:
    assert len(paired_latency({"sum": torch.sum}, torch.rand(100), repeat=1, warmup=0)) == 1


@pytest.mark.parametrize(
    ("models", "examples", "options"),
    [
        ({}, 1, {}),
        ({"a": torch.sum}, 0, {}),
        ({"a": torch.sum}, 1, {"repeat": 0}),
        ({"a": torch.sum}, 1, {"threads": 0}),
        ({"a": torch.sum}, 1, {"calls": 0}),
    ],
)
def test_what_cannot_be_measured_is_an_error(models: dict, examples: int, options: dict[str, int]) -> None:
    with pytest.raises(TrainmapError, match="at least"):
        paired_latency(models, torch.rand(examples, 3), **options)


def test_a_batch_on_another_device_is_an_error() -> None:
    with pytest.raises(TrainmapError, match="on the CPU, got 1 networks and 2 examples on meta"):
        paired_latency({"a": torch.sum}, torch.rand(2, 3, device="meta"))
