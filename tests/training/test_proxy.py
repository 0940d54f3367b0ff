from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from trainmap.data.dataset import Dataset, load_splits
from trainmap.data.inputs import Inputs
from trainmap.errors import TrainmapError
from trainmap.evaluation.metrics import evaluate
from trainmap.models.build import build
from trainmap.models.predict import predict
from trainmap.schedules.protocol import InfoBatch, MapGuided, OrderedLoss, RepeatedRandom, Schedule
from trainmap.schedules.samplers import ScheduleSampler
from trainmap.training.fit import FitResult, Progress, Recipe, Teaching, Watching, even_batches, fit
from trainmap.training.optimizer import make_optimizer
from trainmap.training.proxy import ProxyFilter

RECIPE = Recipe(epochs=4, batch=32, peak_lr=0.05)
SPLITS = load_splits("digits")
TRAIN: Dataset = SPLITS.train.subset(SPLITS.train.ids[:200])


def network(seed: int = 0) -> nn.Module:
    return build("mlp-256", 10, TRAIN.inputs, seed)


def schedules() -> dict[str, Schedule]:
    ids = TRAIN.ids
    return {
        "repeated-random": RepeatedRandom(ids, 66),
        "infobatch": InfoBatch(ids, RECIPE.epochs),
        "ordered-loss": OrderedLoss(ids),
        "map-guided": MapGuided(ids, RECIPE.epochs, start=0.3),
    }


def weights(model: nn.Module) -> list[float]:
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()]).tolist()


class Stopped(Exception):
    """The run was killed here."""


def stop_after(epoch: int) -> Callable[[int, float], None]:
    def hook(done: int, loss: float) -> None:
        if done == epoch:
            raise Stopped

    return hook


@pytest.mark.parametrize("name", list(schedules()))
def test_a_killed_run_with_a_schedule_ends_as_the_uninterrupted_one(name: str, tmp_path: Path) -> None:
    whole, first, second = network(), network(), network()
    expected = fit(whole, TRAIN, RECIPE, seed=3, visits=schedules()[name])
    with pytest.raises(Stopped):
        fit(
            first,
            TRAIN,
            RECIPE,
            seed=3,
            checkpoint=tmp_path / "c.pt",
            visits=schedules()[name],
            watching=Watching(on_epoch=stop_after(2)),
        )
    result = fit(second, TRAIN, RECIPE, seed=3, checkpoint=tmp_path / "c.pt", visits=schedules()[name])
    assert weights(second) == weights(whole)
    assert result.examples_seen == expected.examples_seen


def test_a_checkpoint_of_another_schedule_is_refused(tmp_path: Path) -> None:
    fit(network(), TRAIN, RECIPE, seed=0, checkpoint=tmp_path / "c.pt", visits=schedules()["infobatch"])
    for other in (None, InfoBatch(TRAIN.ids, RECIPE.epochs, ratio=0.25), schedules()["ordered-loss"]):
        with pytest.raises(TrainmapError, match="other schedule"):
            fit(network(), TRAIN, RECIPE, seed=0, checkpoint=tmp_path / "c.pt", visits=other)


def test_a_schedule_that_visits_everything_with_weight_one_changes_nothing() -> None:
    plain, scheduled = network(), network()
    fit(plain, TRAIN, RECIPE, seed=1)
    fit(scheduled, TRAIN, RECIPE, seed=1, visits=InfoBatch(TRAIN.ids, RECIPE.epochs, ratio=0.0))
    assert weights(plain) == weights(scheduled)


def test_the_weights_of_a_schedule_are_factors_of_the_losses() -> None:
    class Doubled(RepeatedRandom):
        def plan(self, epoch: int) -> object:  # type: ignore[override]
            visit = super().plan(epoch)
            return replace(visit, weights=np.full(len(visit), 2.0))

    ids, recipe = TRAIN.ids, replace(RECIPE, epochs=1)
    by_schedule, by_weights = network(), network()
    fit(by_schedule, TRAIN, recipe, seed=0, visits=Doubled(ids, len(ids)))  # type: ignore[arg-type]
    fit(by_weights, TRAIN, recipe, seed=0, teaching=Teaching(example_weights=np.full(len(ids), 2.0)))
    np.testing.assert_allclose(weights(by_schedule), weights(by_weights), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ["infobatch", "ordered-loss", "map-guided"])
def test_a_schedule_that_was_used_is_refused_by_another_run(name: str, tmp_path: Path) -> None:
    schedule, recipe = schedules()[name], replace(RECIPE, epochs=1)
    fit(network(), TRAIN, recipe, seed=0, checkpoint=tmp_path / "c.pt", visits=schedule)
    with pytest.raises(TrainmapError, match=r"begins with a schedule that has seen nothing.*make a new one"):
        fit(network(), TRAIN, recipe, seed=0, visits=schedule)
    fit(network(), TRAIN, recipe, seed=0, checkpoint=tmp_path / "c.pt", visits=schedule)
    fit(network(), TRAIN, replace(RECIPE, epochs=2), seed=0, visits=schedule, checkpoint=Progress(1))


@pytest.mark.parametrize("schedule", ["infobatch", InfoBatch, object(), 3])
def test_what_is_no_schedule_is_refused(schedule: Any) -> None:
    with pytest.raises(TrainmapError, match=r"a schedule is an object with plan.*InfoBatch\(ids, epochs\), got"):
        fit(network(), TRAIN, RECIPE, seed=0, visits=schedule)
    with pytest.raises(TrainmapError, match="a schedule is an object"):
        ScheduleSampler(schedule, TRAIN.ids)


def filtered(
    keep: float, checkpoint: Path | None = None, hook: Callable[[int, float], None] | None = None
) -> tuple[nn.Module, FitResult]:
    model = network()
    proxy = ProxyFilter(build("mlp-256", 10, TRAIN.inputs, 9), keep=keep, every=2)
    return model, fit(
        model, TRAIN, RECIPE, seed=2, checkpoint=checkpoint, visits=proxy, watching=Watching(on_epoch=hook)
    )


def test_a_proxy_that_keeps_everything_changes_nothing_but_the_cost() -> None:
    plain, (model, result) = network(), filtered(1.0)
    expected = fit(plain, TRAIN, RECIPE, seed=2)
    assert weights(model) == weights(plain)
    assert result.flops == expected.flops
    steps = result.steps
    per_pool = result.proxy_flops / (steps * 200 / 7)  # seven batches an epoch
    forward = expected.flops / 3 / expected.examples_seen
    assert per_pool == pytest.approx(2 * forward, rel=0.02)  # half of the pools 1 forward, half 3


def test_half_of_each_pool_is_trained_on() -> None:
    _, result = filtered(0.5)
    pools = [len(part) for part in even_batches(torch.arange(200), 64)]
    assert result.examples_seen == RECIPE.epochs * sum(round(n / 2) for n in pools)
    assert result.steps == RECIPE.epochs * len(pools)


def test_a_killed_run_with_a_proxy_ends_as_the_uninterrupted_one(tmp_path: Path) -> None:
    whole, expected = filtered(0.5)
    with pytest.raises(Stopped):
        filtered(0.5, tmp_path / "c.pt", stop_after(1))
    model, result = filtered(0.5, tmp_path / "c.pt")
    assert weights(model) == weights(whole)
    assert result.proxy_flops == expected.proxy_flops


def test_a_proxy_that_was_used_is_refused_by_another_run(tmp_path: Path) -> None:
    proxy, recipe = ProxyFilter(network(9)), replace(RECIPE, epochs=1)
    first = fit(network(), TRAIN, recipe, seed=0, checkpoint=tmp_path / "c.pt", visits=proxy)
    for file in (None, tmp_path / "new.pt"):
        with pytest.raises(TrainmapError, match="begins with a proxy that has seen nothing"):
            fit(network(), TRAIN, recipe, seed=0, checkpoint=file, visits=proxy)
    assert not (tmp_path / "new.pt").exists()
    again = fit(network(), TRAIN, recipe, seed=0, checkpoint=tmp_path / "c.pt", visits=proxy)
    assert again.proxy_flops == first.proxy_flops


def test_the_highest_losses_are_kept_in_their_order() -> None:
    linear = nn.Linear(2, 2, bias=False)
    torch.nn.init.eye_(linear.weight)
    model = nn.Sequential(nn.Flatten(), linear)
    proxy = ProxyFilter(model, keep=0.5, every=100)
    proxy.pools = 1
    proxy.start(Inputs("features", (2,)), make_optimizer(model, RECIPE), "cpu")
    x = torch.tensor([[3.0, 0.0], [-1.0, 0.0], [0.0, 0.0], [-5.0, 0.0]])
    assert proxy.choose(x, torch.zeros(4, dtype=torch.long), 0.1).tolist() == [1, 3]


def test_a_proxy_learns_to_find_what_is_hard() -> None:
    """The wrong labels among right ones are what a trained proxy keeps."""
    data = SPLITS.train.subset(SPLITS.train.ids[:600])
    wrong = np.arange(600) < 60
    noisy = replace(data, y=np.where(wrong, (data.y + 1) % 10, data.y))
    proxy = ProxyFilter(build("mlp-256", 10, data.inputs, 1), keep=0.2, every=1)
    model = network()
    fit(model, noisy, replace(RECIPE, epochs=6), seed=0, visits=proxy)
    x, y = torch.from_numpy(data.x).float().sub(127.5).div(64), torch.from_numpy(noisy.y)
    kept = proxy.choose(x, y, 0.0)
    assert wrong[kept.numpy()].mean() > 0.4
    assert evaluate(predict(model, SPLITS.test), SPLITS.test.y).accuracy < 0.9


@pytest.mark.parametrize(("keep", "every"), [(0.0, 4), (1.5, 4), (0.5, 0), (0.5, 1.5)])
def test_a_proxy_out_of_range_is_an_error(keep: float, every: Any) -> None:
    with pytest.raises(TrainmapError, match=r"keep must be above 0 to 1|every must be a whole number of at least 1"):
        ProxyFilter(network(), keep, every)


def test_a_proxy_that_was_not_started_says_so() -> None:
    with pytest.raises(TrainmapError, match="call start"):
        ProxyFilter(network()).choose(torch.zeros(2, 1, 8, 8), torch.zeros(2, dtype=torch.long), 0.1)


def test_a_proxy_draws_its_pools_from_what_a_schedule_or_ids_visit() -> None:
    seen: list[int] = []

    class Noted(RepeatedRandom):
        def update(self, ids: Any, logits: Any, labels: Any) -> None:
            seen.extend(ids.tolist())

    ids, recipe = TRAIN.ids, replace(RECIPE, epochs=1)
    schedule = Noted(ids, 100)
    fit(network(), TRAIN, recipe, seed=0, visits=ProxyFilter(network(9), keep=0.5, visits=schedule))
    assert len(seen) == 50
    assert set(seen) < set(schedule.plan(0).ids.tolist())
    half = fit(network(), TRAIN, recipe, seed=0, visits=ProxyFilter(network(9), 0.5, visits=lambda epoch: ids[:100]))
    assert half.examples_seen == 50
    with pytest.raises(TrainmapError, match="a schedule is an object with plan"):
        fit(network(), TRAIN, recipe, seed=0, visits=ProxyFilter(network(9), visits=ProxyFilter(network(8))))  # type: ignore[arg-type]
