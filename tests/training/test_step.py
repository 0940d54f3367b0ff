"""What a step minimises, through ``fit``: every loss with a live or cached teacher, and weights for each example."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from trainmap.data.dataset import Dataset, Inputs
from trainmap.distillation.logits import dkd, hinton, standardised
from trainmap.distillation.losses import LOSSES, TeacherLoss
from trainmap.errors import TrainmapError
from trainmap.models.build import build
from trainmap.models.cost import forward_flops
from trainmap.models.predict import predict, predict_pairs
from trainmap.training.fit import Distillation, Teaching, Watching, fit
from trainmap.training.recipes import Recipe
from trainmap.training.step import objective

QUICK = Recipe(epochs=2, batch=16, peak_lr=0.05)


def made(n: int = 60) -> Dataset:
    """Noise with a bright square whose place is the class."""
    draws = np.random.default_rng(0)
    x, y = draws.integers(0, 100, (n, 1, 8, 8)).astype(np.uint8), np.arange(n, dtype=np.int64) % 3
    for row, label in enumerate(y):
        x[row, 0, :3, 3 * label : 3 * label + 2] = 255
    return Dataset("made", np.arange(1000, 1000 + n, dtype=np.int64), x, y, 3)


def small(name: str = "cnn-8", seed: int = 0) -> nn.Module:
    return build(name, 3, Inputs.images(1, 8), seed)


def taught(teaching: Teaching | None = None, recipe: Recipe = QUICK, **kwargs: Any) -> nn.Module:
    model = small()
    fit(model, kwargs.pop("train", made()), recipe, seed=0, teaching=teaching, **kwargs)
    return model


def values(model: nn.Module) -> list[np.ndarray]:
    return [tensor.cpu().numpy().copy() for tensor in model.state_dict().values()]


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(values(one), values(other), strict=True))


@pytest.fixture
def logits() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(60, 3)).astype(np.float16)


@pytest.mark.parametrize("name", LOSSES)
def test_a_student_trains_with_every_loss_and_a_live_teacher_that_stays_as_it_was(name: str) -> None:
    teacher = small("cnn-16", seed=1).train()
    before = values(teacher)
    model = small()
    recipe = replace(QUICK, crop=1, flips=True)
    result = fit(model, made(), recipe, seed=0, teaching=Teaching(teacher, Distillation(name)))
    assert np.isfinite(result.loss)
    assert result.teacher_flops == forward_flops(teacher, Inputs.images(1, 8)) * 120
    assert all(np.array_equal(a, b) for a, b in zip(before, values(teacher), strict=True))
    assert not teacher.training
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert not same(model, taught(recipe=recipe))


@pytest.mark.parametrize("name", [name for name, loss in LOSSES.items() if loss.needs == "logits"])
def test_cached_logits_teach_what_the_teacher_itself_does(name: str) -> None:
    teacher, recipe = small("mlp-256", seed=1), replace(QUICK, flips=True, batch=100, epochs=1)
    cached = predict_pairs(teacher, made())
    live = taught(Teaching(teacher, Distillation(name)), recipe)
    kept = taught(Teaching(cached, Distillation(name)), recipe)
    for one, other in zip(values(live), values(kept), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_a_student_of_a_live_teacher_learns_what_it_says_of_cropped_images() -> None:
    teacher = small()
    fit(teacher, made(), replace(QUICK, epochs=8), seed=1)
    blind = replace(made(), y=(made().y + 1) % 3)
    loss = Distillation(weight=1.0, temperature=1.0)
    model = taught(Teaching(teacher, loss), replace(QUICK, epochs=10, crop=1), train=blind)
    assert (predict(model, made()).argmax(axis=1) == made().y).mean() > 0.9


def test_no_teacher_costs_nothing_and_cached_logits_cost_no_forward_pass(logits: np.ndarray) -> None:
    assert fit(small(), made(), QUICK, seed=0).teacher_flops == 0
    assert fit(small(), made(), QUICK, seed=0, teaching=Teaching(logits)).teacher_flops == 0


# --- the numbers of a loss ------------------------------------------------------------------------------------------


def losses_of(
    loss: Distillation, done: float = 1.0, example_weights: np.ndarray | None = None
) -> tuple[torch.Tensor, ...]:
    """(losses, cross-entropy, Hinton's term) of the first five rows, with a student in eval mode."""
    model, dataset = small().eval(), made()
    rows = torch.arange(5)
    told = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    step = objective(
        model, dataset, replace(QUICK, label_smoothing=0.0), 0, Teaching(told, loss, example_weights=example_weights)
    )
    x, y = torch.from_numpy(dataset.x[:5]).float(), torch.from_numpy(dataset.y[:5])
    z, losses = step(x, y, rows, torch.zeros(5, dtype=torch.bool), done)
    gold = nn.functional.cross_entropy(z, y, reduction="none")
    return losses, gold, hinton(z, y, torch.from_numpy(told[:5]))


def test_hintons_weight_mixes_and_the_others_add() -> None:
    losses, gold, term = losses_of(Distillation(weight=0.3, temperature=4.0))
    torch.testing.assert_close(losses, 0.7 * gold + 0.3 * term)
    losses, gold, term = losses_of(Distillation(weight=0.3, gold=2.0))
    torch.testing.assert_close(losses, 2 * gold + 0.3 * term)
    losses, gold, _ = losses_of(Distillation("dist", weight=0.0))
    torch.testing.assert_close(losses, gold)


def test_the_weight_climbs_in_the_warm_up() -> None:
    for done, ramp in ((0.0, 0.0), (0.125, 0.25), (0.5, 1.0), (0.9, 1.0)):
        losses, gold, term = losses_of(Distillation(weight=2.0, gold=1.0, warmup=0.5), done)
        torch.testing.assert_close(losses, gold + 2 * ramp * term)


def test_weights_and_temperatures_of_each_example_belong_to_rows() -> None:
    weights, temperatures, factors = np.linspace(0, 1, 60), np.linspace(1, 8, 60), np.linspace(3, 0, 60)
    losses, _, _ = losses_of(
        Distillation(weight=weights, temperature=temperatures), example_weights=factors.astype(np.float64)
    )
    for row in range(5):
        one, _, _ = losses_of(Distillation(weight=float(weights[row]), temperature=float(temperatures[row])))
        torch.testing.assert_close(losses[row], factors[row].astype(np.float32) * one[row])


def test_an_example_of_weight_zero_teaches_nothing() -> None:
    """Its label may be anything. (Batch normalisation would see its image: the network is a perceptron.)"""
    wrong = made()
    wrong.y[:20] = (wrong.y[:20] + 1) % 3
    weights = np.ones(60)
    weights[:20] = 0
    models = [small("mlp-256") for _ in range(3)]
    for model, dataset, factors in zip(models, (made(), wrong, wrong), (weights, weights, None), strict=True):
        fit(model, dataset, QUICK, seed=0, teaching=Teaching(example_weights=factors))
    assert same(models[0], models[1])
    assert not same(models[0], models[2])


def test_weights_of_one_change_nothing_and_follow_their_rows() -> None:
    assert same(taught(Teaching(example_weights=np.ones(60))), taught())
    weights, order = np.linspace(0, 2, 60), np.random.default_rng(1).permutation(60)
    shuffled = made().subset(made().ids[order])
    assert same(
        taught(Teaching(example_weights=weights)),
        taught(Teaching(example_weights=weights[order]), train=shuffled),
    )


def test_a_loss_of_ones_own_is_a_plain_function(logits: np.ndarray) -> None:
    def distance(z: torch.Tensor, labels: torch.Tensor, teacher: torch.Tensor, power: float = 2.0) -> torch.Tensor:
        return (z - teacher).abs().pow(power).mean(dim=1)

    mine = TeacherLoss(distance, weight=0.5)
    assert not same(taught(Teaching(logits, Distillation(mine))), taught())
    one, other = (taught(Teaching(logits, Distillation(mine, options={"power": p}))) for p in (2.0, 1.5))
    assert same(one, taught(Teaching(logits, Distillation(mine))))
    assert not same(one, other)
    assert not same(taught(Teaching(logits, Distillation(TeacherLoss(standardised(dkd))))), taught())


# --- features -------------------------------------------------------------------------------------------------------


def test_the_projector_is_trained_and_no_part_of_the_student() -> None:
    teacher, student = small("cnn-16", seed=1), small()
    step = objective(student, made(), QUICK, 0, Teaching(teacher, Distillation("feature-matching")))
    assert step.trained is not student
    extra = sum(p.numel() for p in step.trained.parameters()) - sum(p.numel() for p in student.parameters())
    assert extra == 32 * 64 + 64
    alike = objective(student, made(), QUICK, 0, Teaching(small(seed=1), Distillation("feature-matching")))
    assert alike.projector is None
    model = taught(Teaching(teacher, Distillation("feature-matching")))
    assert list(model.state_dict()) == list(small().state_dict())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_matching_brings_the_features_nearer() -> None:
    teacher, losses = small(seed=1), []
    loss = Distillation("feature-matching", weight=1.0, gold=0.0)
    for epochs in (1, 20):
        result = fit(small(), made(), replace(QUICK, epochs=epochs), seed=0, teaching=Teaching(teacher, loss))
        losses.append(result.loss)
    assert losses[1] < 0.3 * losses[0]


def test_layers_go_by_name() -> None:
    teacher, loss = small("cnn-16", seed=1), Distillation("feature-matching", student_layer="3", teacher_layer="3")
    step = objective(small(), made(), QUICK, 0, Teaching(teacher, loss))
    assert isinstance(step.projector, nn.Conv2d)
    assert not same(taught(Teaching(teacher, loss)), taught(Teaching(teacher, Distillation("feature-matching"))))
    with pytest.raises(TrainmapError, match="unknown layer '33'"):
        taught(Teaching(teacher, replace(loss, student_layer="33")))


# --- the same again -------------------------------------------------------------------------------------------------


class Kill(BaseException):
    """The process ends here."""


def test_a_killed_run_with_a_projector_ends_bit_identical(tmp_path: Path) -> None:
    loss, recipe, teacher = Distillation("feature-matching"), replace(QUICK, epochs=4), partial(small, "cnn-16", 1)

    def kill(epoch: int, _: float) -> None:
        if epoch == 1:
            raise Kill

    with pytest.raises(Kill):
        taught(Teaching(teacher(), loss), recipe, checkpoint=tmp_path / "run.pt", watching=Watching(on_epoch=kill))
    again = taught(Teaching(teacher(), loss), recipe, checkpoint=tmp_path / "run.pt")
    assert same(again, taught(Teaching(teacher(), loss), recipe))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"distillation": Distillation("dkd")}, "distillation"),
        ({"distillation": Distillation(temperature=2.0)}, "distillation"),
        ({"distillation": Distillation(weight=np.full(60, 0.9))}, "distillation"),
        ({"distillation": Distillation(options={})}, ""),
        ({"example_weights": np.ones(60)}, "weights"),
        ({"teacher": np.ones((60, 3))}, "teacher"),
        ({"teacher": small(seed=1)}, "teacher"),
        ({"teacher": None}, "teacher, distillation"),
    ],
)
def test_a_checkpoint_knows_the_loss_the_weights_and_the_teacher(
    tmp_path: Path, change: dict[str, Any], named: str, logits: np.ndarray
) -> None:
    settings: dict[str, Any] = {"seed": 0, "checkpoint": tmp_path / "run.pt"}
    fit(small(), made(), QUICK, teaching=Teaching(logits), **settings)
    settings["teaching"] = replace(Teaching(logits), **change)
    if not named:
        assert fit(small(), made(), QUICK, **settings).epochs == 2
        return
    with pytest.raises(TrainmapError, match=f"another run .other {named}"):
        fit(small(), made(), QUICK, **settings)


# --- mistakes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (Distillation("hintn"), "unknown loss 'hintn'; did you mean 'hinton'"),
        (Distillation("dkd", options={"betta": 1.0}), "unknown option of dkd 'betta'; did you mean 'beta'"),
        (Distillation("dkd", options={"weight": 1.0}), "unknown option of dkd 'weight'"),
        (Distillation("lsp"), "give the network as teacher"),
        (Distillation(temperature=0.0), "temperature must be"),
        (Distillation(temperature=np.ones(59)), r"temperature must be \(60,\)"),
        (Distillation(temperature=np.zeros(60)), "temperature must be a positive"),
        (Distillation(weight=-1.0), "weight must be"),
        (Distillation(weight=np.full(60, 1.5)), "weight must be 0"),
        (Distillation(gold=-1.0), "gold must be"),
        (Distillation(warmup=2.0), "warmup must be"),
    ],
)
def test_a_distillation_that_cannot_be_is_an_error(loss: Distillation, message: str, logits: np.ndarray) -> None:
    with pytest.raises(TrainmapError, match=message):
        taught(Teaching(logits, loss))


def test_teachers_that_do_not_fit_are_an_error(logits: np.ndarray) -> None:
    with pytest.raises(TrainmapError, match="needs a teacher"):
        taught(Teaching(distillation=Distillation()))
    model = small()
    with pytest.raises(TrainmapError, match="the student itself"):
        fit(model, made(), QUICK, seed=0, teaching=Teaching(model))
    with pytest.raises(TrainmapError, match="feature-matching has no temperature"):
        taught(Teaching(small(seed=1), Distillation("feature-matching", temperature=2.0)))


@pytest.mark.parametrize("weights", [np.ones(59), -np.ones(60), np.full(60, np.nan), np.ones((60, 1))])
def test_example_weights_that_do_not_fit_are_an_error(weights: np.ndarray) -> None:
    with pytest.raises(TrainmapError, match="example_weights must be"):
        taught(Teaching(example_weights=weights))
