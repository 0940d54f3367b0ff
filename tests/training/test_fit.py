from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from trainmap.data.dataset import Dataset, load_splits
from trainmap.data.inputs import Inputs
from trainmap.dynamics.recorder import Recorder
from trainmap.errors import TrainmapError
from trainmap.evaluation.metrics import evaluate
from trainmap.models.build import MODELS, build
from trainmap.models.cost import forward_flops
from trainmap.models.predict import predict
from trainmap.models.zoo import ZOO
from trainmap.schedules import InfoBatch, RepeatedRandom
from trainmap.training.fit import Distillation, Progress, Teaching, Watching, even_batches, fit
from trainmap.training.optimizer import make_optimizer
from trainmap.training.proxy import ProxyFilter
from trainmap.training.recipes import RECIPES, Recipe, default_recipe
from trainmap.training.visiting import Visits

QUICK = Recipe(epochs=3, batch=16)


class Memory:
    """A recorder that keeps its epochs through a kill, and loses the epoch under way."""

    def __init__(self) -> None:
        self.epochs: list[dict[int, tuple[int, np.ndarray]]] = []
        self.reopen()

    def reopen(self) -> None:
        self.now: dict[int, tuple[int, np.ndarray]] = {}

    @property
    def epoch(self) -> int:
        return len(self.epochs)

    def update(self, ids: Any, logits: torch.Tensor, labels: torch.Tensor) -> None:
        assert not logits.requires_grad
        for example, row, label in zip(ids.tolist(), logits.numpy().copy(), labels.tolist(), strict=True):
            assert example not in self.now, "an id twice in an epoch"
            self.now[example] = (label, row)

    def end_epoch(self) -> None:
        self.epochs.append(self.now)
        self.now = {}


def made(n: int = 60, classes: int = 3) -> Dataset:
    """Noise with a bright square whose place is the class."""
    draws = np.random.default_rng(0)
    x, y = draws.integers(0, 100, (n, 1, 8, 8)).astype(np.uint8), np.arange(n, dtype=np.int64) % classes
    for row, label in enumerate(y):
        x[row, 0, :3, 3 * label : 3 * label + 2] = 255
    return Dataset("made", np.arange(1000, 1000 + n, dtype=np.int64), x, y, classes)


def small(seed: int = 0) -> nn.Module:
    return build("cnn-8", 3, Inputs.images(1, 8), seed)


def weights(model: nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}


def assert_same(one: nn.Module, other: nn.Module) -> None:
    mine, theirs = weights(one), weights(other)
    assert [name for name in mine if not np.array_equal(mine[name], theirs[name])] == []


def assert_different(one: nn.Module, other: nn.Module) -> None:
    mine, theirs = weights(one), weights(other)
    assert any(not np.array_equal(mine[name], theirs[name]) for name in mine)


def trained(**kwargs: Any) -> nn.Module:
    model = small()
    fit(model, kwargs.pop("train", made()), kwargs.pop("recipe", QUICK), seed=kwargs.pop("seed", 0), **kwargs)
    return model


# --- learning -----------------------------------------------------------------------------------------------------


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("resnet8-8", "effnet-8", "airbench-16")]


@pytest.mark.parametrize("name", ["cnn-8", "mlp-256", "vit-32", *SLOW])
def test_every_family_learns_the_digits_with_its_default_recipe(name: str) -> None:
    splits = load_splits("digits")
    train = splits.train.subset(splits.train.ids[::3])
    model = build(name, 10, Inputs.images(1, 8), seed=0)
    result = fit(model, train, default_recipe(name, "digits"), seed=0)
    metrics = evaluate(predict(model, splits.test), splits.test.y)
    assert metrics.accuracy > 0.85, (metrics, result)
    assert not model.training


def test_the_result_counts_what_was_done() -> None:
    model = small()
    result = fit(model, made(50), QUICK, seed=0)
    assert (result.epochs, result.steps, result.examples_seen) == (3, 3 * 4, 150)
    assert result.flops == 3 * forward_flops(small(), Inputs.images(1, 8)) * 150
    assert result.seconds > 0
    assert result.cpu_seconds > 0
    assert 0 < result.loss < 3


def test_a_single_example_trains() -> None:
    result = fit(small(), made().subset([1000]), QUICK, seed=0)
    assert (result.steps, result.examples_seen) == (3, 3)


def test_a_last_batch_of_one_is_spread_over_the_others() -> None:
    assert sorted(map(len, even_batches(torch.arange(33), 16))) == [11, 11, 11]
    assert sorted(map(len, even_batches(torch.arange(17), 16))) == [8, 9]
    pooled = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
    assert fit(pooled, made(17), QUICK, seed=0).examples_seen == 51  # BatchNorm1d refuses a batch of one


@pytest.mark.parametrize("batch", [1, 2, 3, 16])
def test_batches_cover_every_row_once_and_none_is_single(batch: int) -> None:
    for n in range(1, 50):
        batches = even_batches(torch.arange(n), batch)
        assert torch.equal(torch.cat(batches), torch.arange(n))
        sizes = [len(part) for part in batches]
        assert max(sizes) - min(sizes) <= 1
        assert max(sizes) <= max(batch, 3 if batch == 2 else 1)
        assert min(sizes) > 1 or n == 1 or batch == 1


def test_the_learning_rate_is_a_triangle() -> None:
    recipe = Recipe(epochs=1, peak_lr=0.4, warmup=0.2)
    rates = [recipe.learning_rate(progress) for progress in (0.0, 0.1, 0.2, 0.6, 1.0)]
    np.testing.assert_allclose(rates, [0.0, 0.2, 0.4, 0.2, 0.0])
    assert Recipe(epochs=1, peak_lr=0.4, warmup=0.0).learning_rate(0.0) == 0.4


def test_one_step_of_sgd_is_the_formula() -> None:
    """Nesterov's first step is lr (1 + momentum) (gradient + decay weight); the bias does not decay."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    recipe = Recipe(epochs=1, batch=100, peak_lr=0.3, warmup=0.0, weight_decay=0.1, label_smoothing=0.0)
    before, dataset = [parameter.detach().clone() for parameter in model.parameters()], made()
    x = (torch.from_numpy(dataset.x).float() - 127.5) / 64
    nn.functional.cross_entropy(model(x), torch.from_numpy(dataset.y)).backward()
    gradients = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    fit(model, dataset, recipe, seed=0)
    rate = 0.3 * 0.5 * 1.9  # the middle of the only step is half way down the triangle
    weight, bias = model.parameters()
    torch.testing.assert_close(weight, before[0] - rate * (gradients[0] + 0.1 * before[0]))
    torch.testing.assert_close(bias, before[1] - rate * gradients[1])


@pytest.mark.parametrize("name", [name for name in MODELS if name not in ZOO])
def test_weight_decay_spares_biases_norms_and_positions(name: str) -> None:
    model = build(name, 3, Inputs.images(1, 8), seed=0)
    optimizer = make_optimizer(model, replace(QUICK, weight_decay=0.5))
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    spared = {parameter_name for parameter_name, p in model.named_parameters() if decay[id(p)] == 0}
    kinds = (nn.Linear, nn.Conv2d)
    kernels = {f"{module_name}.weight" for module_name, m in model.named_modules() if isinstance(m, kinds)}
    assert spared == {parameter_name for parameter_name, _ in model.named_parameters()} - kernels


def test_a_clipped_gradient_makes_a_smaller_step() -> None:
    start = weights(small())
    steps = []
    for clip in (None, 1e-3):
        model = trained(recipe=replace(QUICK, epochs=1, clip=clip, weight_decay=0.0))
        steps.append(np.abs(weights(model)["0.weight"] - start["0.weight"]).max())
    assert steps[1] < 0.01 * steps[0]


# --- the same again -----------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    assert_same(trained(seed=3), trained(seed=3))
    assert_different(trained(seed=3), trained(seed=4))


def test_the_order_of_the_rows_changes_nothing() -> None:
    shuffled = made().subset(np.random.default_rng(0).permutation(made().ids))
    assert_same(trained(recipe=replace(QUICK, flips=True)), trained(train=shuffled, recipe=replace(QUICK, flips=True)))


def test_training_neither_uses_nor_moves_the_global_random_state() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = trained(recipe=replace(QUICK, flips=True, crop=1))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert_same(one, trained(recipe=replace(QUICK, flips=True, crop=1)))


def test_the_order_of_an_epoch_follows_from_its_number_alone() -> None:
    """An epoch that is trained from a later start shows the same batches as in the run from the beginning."""
    seen: list[list[list[int]]] = []
    for start in (0, 2):
        recorder = Memory()
        recorder.epochs = [{}] * start
        fit(small(), made(), QUICK, seed=5, watching=Watching(recorder), checkpoint=Progress(start))
        seen.append([list(epoch) for epoch in recorder.epochs])
    assert seen[0][2] == seen[1][2]
    assert seen[0][1] != seen[0][2]


# --- recording ----------------------------------------------------------------------------------------------------


def test_the_recorder_sees_every_example_once_an_epoch_with_its_label() -> None:
    recorder = Memory()
    trained(watching=Watching(recorder))
    assert recorder.epoch == 3
    for epoch in recorder.epochs:
        assert {example: label for example, (label, _) in epoch.items()} == dict(zip(range(1000, 1060), made().y))


def test_the_recorder_sees_the_logits_of_the_step_itself() -> None:
    """In the first batch the network is the initial one, in train mode."""
    recorder = Memory()
    trained(recipe=replace(QUICK, epochs=1, batch=100), watching=Watching(recorder))
    dataset, model = made(), small().train()
    rows = dataset.rows(list(recorder.epochs[0]))
    expected = model((torch.from_numpy(dataset.x[rows]).float() - 127.5) / 64)
    got = np.stack([row for _, row in recorder.epochs[0].values()])
    np.testing.assert_allclose(got, expected.detach(), atol=1e-5)


def test_recording_does_not_change_the_training() -> None:
    assert_same(trained(watching=Watching(Memory())), trained())


def test_a_recorder_at_another_epoch_is_an_error() -> None:
    recorder = Memory()
    recorder.epochs = [{}]
    with pytest.raises(TrainmapError, match="the recorder is at epoch 1"):
        trained(watching=Watching(recorder))


def test_a_recorder_with_steps_that_end_inside_an_epoch_is_an_error() -> None:
    with pytest.raises(TrainmapError, match="multiple of 4"):
        trained(steps=6, watching=Watching(Memory()))
    recorder = Memory()
    trained(steps=8, watching=Watching(recorder))
    assert recorder.epoch == 2


@pytest.mark.parametrize("options", [{}, {"ids": made().ids, "labels": made().y}], ids=["learns", "knows"])
@pytest.mark.parametrize("by", ["schedule", "proxy"])
def test_a_recorder_that_cannot_take_a_part_of_the_examples_is_refused_before_training(
    by: str, options: dict[str, Any], tmp_path: Path
) -> None:
    def visits_half() -> Visits:
        return RepeatedRandom(made().ids, 30) if by == "schedule" else ProxyFilter(small(1))

    model = small()
    before = weights(model)
    recorder = Recorder(tmp_path / "d", 3, **options)
    with pytest.raises(TrainmapError, match=r"epoch 0 visits 30 of 60 examples.*make it with ids=train.ids, labels="):
        fit(model, made(), QUICK, seed=0, visits=visits_half(), watching=Watching(recorder))
    assert all(np.array_equal(before[name], value) for name, value in weights(model).items())
    with Recorder(tmp_path / "e", 3, ids=made().ids, labels=made().y, allow_missing=True) as recorder:
        fit(model, made(), QUICK, seed=0, visits=visits_half(), watching=Watching(recorder))
        assert recorder.epoch == 3


def test_a_first_epoch_of_everything_tells_a_recorder_its_examples(tmp_path: Path) -> None:
    with Recorder(tmp_path / "d", 3, allow_missing=True) as recorder:
        assert recorder.ids is None
        trained(visits=InfoBatch(made().ids, 3), watching=Watching(recorder))
        np.testing.assert_array_equal(recorder.ids, made().ids)
    part = made().ids[::2]
    with Recorder(tmp_path / "e", 3) as recorder:
        trained(visits=lambda epoch: part, watching=Watching(recorder))
        np.testing.assert_array_equal(recorder.ids, part)


# --- steps and epoch ids ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 7, 60])
def test_steps_are_exact_whatever_the_size_of_the_dataset(n: int) -> None:
    assert fit(small(), made().subset(made().ids[:n]), QUICK, seed=0, steps=10).steps == 10


def test_steps_that_make_whole_epochs_are_the_run_of_these_epochs() -> None:
    assert_same(trained(steps=12), trained())


def test_epoch_ids_are_the_examples_of_each_epoch_in_any_order() -> None:
    parts = [np.arange(1000, 1020), np.arange(1020, 1060), np.arange(1000, 1060, 7)]
    recorder = Memory()
    one = trained(visits=lambda epoch: parts[epoch], watching=Watching(recorder))
    assert [sorted(epoch) for epoch in recorder.epochs] == [part.tolist() for part in parts]
    assert_same(one, trained(visits=lambda epoch: parts[epoch][::-1]))
    assert_same(trained(), trained(visits=lambda epoch: made().ids))


def test_an_epoch_may_visit_an_example_twice() -> None:
    result = fit(small(), made(), QUICK, seed=0, visits=lambda epoch: [1000, 1000, 1001])
    assert result.examples_seen == 9


@pytest.mark.parametrize("ids", [[], [1]])
def test_an_epoch_of_nothing_or_of_unknown_ids_is_an_error(ids: list[int]) -> None:
    with pytest.raises(TrainmapError, match=r"epoch 0|not in made"):
        trained(visits=lambda epoch: ids)


def test_on_epoch_hears_of_every_epoch_and_may_end_the_training() -> None:
    heard: list[tuple[int, float]] = []
    result = fit(
        small(), made(), QUICK, seed=0, watching=Watching(on_epoch=lambda epoch, loss: heard.append((epoch, loss)))
    )
    assert [epoch for epoch, _ in heard] == [0, 1, 2]
    assert heard[-1][1] == result.loss
    assert fit(small(), made(), QUICK, seed=0, watching=Watching(on_epoch=lambda epoch, loss: epoch == 1)).epochs == 2


# --- distillation -------------------------------------------------------------------------------------------------


def test_a_student_of_weight_zero_is_trained_plainly() -> None:
    logits = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float16)
    plain, student = trained(), trained(teaching=Teaching(logits, Distillation(weight=0.0)))
    for name, values in weights(plain).items():
        np.testing.assert_allclose(weights(student)[name], values, atol=1e-4)


def test_a_student_learns_the_labels_of_its_teacher() -> None:
    """The teacher calls every class by the next one; the student of weight one believes it."""
    logits = 10 * np.eye(3, dtype=np.float32)[(made().y + 1) % 3]
    told = Distillation(weight=1.0, temperature=2.0)
    model = trained(recipe=replace(QUICK, epochs=10), teaching=Teaching(logits, told))
    assert (predict(model, made()).argmax(axis=1) == (made().y + 1) % 3).mean() > 0.9


def test_teacher_logits_belong_to_rows_and_not_to_positions() -> None:
    logits = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float16)
    order = np.random.default_rng(1).permutation(60)
    shuffled = made().subset(made().ids[order])
    assert_same(trained(teaching=Teaching(logits)), trained(train=shuffled, teaching=Teaching(logits[order])))


def test_the_flip_chooses_between_the_teachers_two_answers() -> None:
    """Equal pairs do the same as one answer; with pairs that differ, the draw matters."""
    flips = replace(QUICK, flips=True)
    logits = np.random.default_rng(0).normal(size=(60, 2, 3)).astype(np.float16)
    same = np.stack([logits[:, 0], logits[:, 0]], axis=1)
    swapped = logits[:, ::-1]
    runs = [trained(recipe=flips, teaching=Teaching(pairs)) for pairs in (logits, same, swapped)]
    assert_different(runs[0], runs[1])
    assert_different(runs[0], runs[2])
    assert_same(trained(teaching=Teaching(logits)), trained(teaching=Teaching(logits[:, 0])))


def test_a_flipped_image_gets_the_answer_to_the_flipped_image() -> None:
    """A linear student with a teacher that says left or right of the image it sees: only the right pairing fits."""
    draws = np.random.default_rng(0)
    x = draws.integers(0, 50, (64, 1, 8, 8)).astype(np.uint8)
    left = draws.random(64) < 0.5
    x[left, :, :, :3] = 255
    x[~left, :, :, 5:] = 255
    dataset = Dataset("sides", np.arange(64, dtype=np.int64), x, np.zeros(64, np.int64), 2)
    says = 10.0 * np.stack([np.eye(2)[left.astype(int)], np.eye(2)[(~left).astype(int)]], axis=1)
    recipe = Recipe(epochs=10, batch=16, peak_lr=0.01, flips=True)
    losses = []
    for pairs in (says, says[:, ::-1] * 0 + says[:, :1]):
        model = build("mlp-256", 2, Inputs.images(1, 8), seed=0)
        told = Distillation(weight=1.0, temperature=1.0)
        result = fit(model, dataset, recipe, seed=0, teaching=Teaching(pairs, told))
        losses.append(result.loss)
    assert losses[0] < 0.1 < 0.5 < losses[1]


@pytest.mark.parametrize(
    ("change", "shape", "message"),
    [
        ({}, (59, 3), "a teacher's logits must be"),
        ({}, (60, 4), "a teacher's logits must be"),
        ({"flips": True}, (60, 3), "both images"),
        ({"crop": 1}, (60, 3), "crop"),
    ],
)
def test_teacher_logits_that_do_not_fit_are_an_error(
    change: dict[str, Any], shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(TrainmapError, match=message):
        trained(recipe=replace(QUICK, **change), teaching=Teaching(np.zeros(shape, np.float16)))


def test_teacher_logits_that_are_not_finite_are_an_error_and_not_a_divergence() -> None:
    logits = np.zeros((60, 3), np.float16)
    logits[7, 1], logits[9] = np.nan, np.inf
    with pytest.raises(TrainmapError, match="finite; those of 2 of 60 examples are not"):
        trained(teaching=Teaching(logits))


def test_a_weight_out_of_range_is_an_error_before_the_training() -> None:
    with pytest.raises(TrainmapError, match="weight must be"):
        trained(teaching=Teaching(np.zeros((60, 3)), Distillation(weight=2.0)))


# --- mistakes -----------------------------------------------------------------------------------------------------


def test_a_training_that_diverges_says_so() -> None:
    with pytest.raises(TrainmapError, match="diverged in epoch"):
        fit(build("mlp-256", 3, Inputs.images(1, 8), seed=0), made(), replace(QUICK, peak_lr=1e20), seed=0)


def test_a_network_without_a_weight_to_train_is_an_error() -> None:
    with pytest.raises(TrainmapError, match="no parameter that requires a gradient"):
        fit(small().requires_grad_(False), made(), QUICK, seed=0)


def test_nothing_to_train_on_is_an_error() -> None:
    with pytest.raises(TrainmapError, match="no examples"):
        trained(train=made().subset([]))


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 0},
        {"batch": 0},
        {"peak_lr": 0.0},
        {"peak_lr": float("nan")},
        {"warmup": 1.0},
        {"optimizer": "adam"},
        {"momentum": 1.0},
        {"weight_decay": -1.0},
        {"label_smoothing": 1.5},
        {"crop": -1},
        {"clip": 0.0},
    ],
)
def test_a_recipe_out_of_range_is_an_error_that_names_the_value(change: dict[str, Any]) -> None:
    with pytest.raises(TrainmapError, match=next(iter(change))):
        replace(QUICK, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps at least 1, got 0 and 0"),
        ({"checkpoint": Progress(-1)}, "the first epoch must be at least 0"),
        ({"checkpoint": Progress(1), "steps": 5}, "leave out steps"),
    ],
)
def test_a_start_or_end_that_cannot_be_is_an_error(change: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainmapError, match=message):
        trained(**change)


def test_default_recipes_flip_what_a_mirror_leaves_alone() -> None:
    assert default_recipe("cnn-8", "fashion-mnist").flips
    assert not default_recipe("cnn-8", "digits").flips
    assert not default_recipe("cnn-8", "mnist").flips
    assert not default_recipe("cnn-8", "mine").flips
    assert default_recipe("vit-32", "cifar10").optimizer == "adamw"
    assert default_recipe("cnn-8", "digits", epochs=5) == replace(default_recipe("cnn-8", "digits"), epochs=5)
    assert {kind for kind, _ in RECIPES} == {"digits", "images", "sounds", "features", "tokens"}


def test_a_checkpoint_of_the_run_is_no_argument_of_the_seed(tmp_path: Path) -> None:
    assert_same(trained(checkpoint=tmp_path / "run.pt"), trained())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"teaching": np.zeros((4, 2))}, "teaching must be Teaching"),
        ({"watching": object()}, "watching must be Watching"),
        ({"checkpoint": 3}, r"checkpoint must be a file, or Progress\(epoch\)"),
    ],
)
def test_what_stands_in_the_place_of_a_value_of_ours_is_refused_by_name(wrong: dict[str, Any], message: str) -> None:
    train = load_splits("digits").train
    with pytest.raises(TrainmapError, match=message):
        fit(build("mlp-256", 10, train.inputs, 0), train, QUICK, seed=0, **wrong)
    with pytest.raises(TrainmapError, match="distillation must be a Distillation, got 'hinton'"):
        Teaching(np.zeros((4, 2)), "hinton")  # type: ignore[arg-type]
