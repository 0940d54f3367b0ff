"""The losses on features, each against its formula in plain loops and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from trainmap.data.inputs import Inputs
from trainmap.distillation.inner import KERNELS, feature_matching, lsp
from trainmap.errors import TrainmapError
from trainmap.models.build import build
from trainmap.training.features import projector, projector_between, tapped


def made(n: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of another width for the student (3) than for its teacher (5)."""
    draws = torch.Generator().manual_seed(0)
    return tuple(torch.randn(n, width, generator=draws, dtype=torch.float64) for width in (3, 5))  # type: ignore[return-value]


def similarity(kernel: str, a: np.ndarray, b: np.ndarray) -> float:
    squares, products = float(((a - b) ** 2).sum()), float(a @ b)
    return {
        "rbf-l1": math.exp(-np.abs(a - b).sum() / 100),
        "rbf": math.exp(-squares / 200),
        "linear": products,
        "polynomial": products**2,
        "euclidean": -squares,
    }[kernel]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("direction", ["teacher-student", "student-teacher"])
@pytest.mark.parametrize("neighbours", [1, 3, 100])
def test_lsp_follows_its_formula(kernel: str, direction: str, neighbours: int) -> None:
    student, teacher = (part.numpy() for part in made())
    expected = []
    for i in range(7):
        others = sorted((j for j in range(7) if j != i), key=lambda j: ((teacher[i] - teacher[j]) ** 2).sum())
        shares = []
        for h in (teacher, student):
            powers = [math.exp(similarity(kernel, h[i], h[j]) / 2) for j in others[:neighbours]]
            shares.append([power / sum(powers) for power in powers])
        one, other = shares if direction == "teacher-student" else reversed(shares)
        expected.append(sum(a * math.log(a / b) for a, b in zip(one, other, strict=True)))
    values = lsp(*made(), temperature=2.0, kernel=kernel, neighbours=neighbours, direction=direction)  # type: ignore[arg-type]
    np.testing.assert_allclose(values, expected, atol=1e-14)


def test_lsp_by_hand() -> None:
    """Three points on a line; the student has the middle one at the other end."""
    teacher, student = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[1.0], [0.0], [3.0]])
    value = lsp(student, teacher, kernel="linear", neighbours=2)[2]
    p = 1 / (1 + math.exp(3))  # of the point at 0, against the point at 1
    assert value.item() == pytest.approx(p * math.log(p / (1 - p)) + (1 - p) * math.log((1 - p) / p), rel=1e-5)


def test_the_neighbours_are_the_teachers() -> None:
    """Moving what the teacher sees as far away changes nothing."""
    student, teacher = made()
    far = teacher.clone()
    far[6] = 1e3
    moved = student.clone()
    moved[6] += 5
    torch.testing.assert_close(lsp(moved, far, neighbours=2)[:6], lsp(student, far, neighbours=2)[:6])
    assert lsp(moved, far, neighbours=2)[6] != lsp(student, far, neighbours=2)[6]


def test_maps_are_flattened() -> None:
    student, teacher = made()
    torch.testing.assert_close(lsp(student.reshape(7, 3, 1, 1), teacher), lsp(student, teacher))


def test_feature_matching_is_the_mean_square_of_the_difference() -> None:
    student, teacher = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[1.0, 0.0], [3.0, 1.0]])
    assert feature_matching(student, teacher).tolist() == [2.0, 5.0]


def test_mistakes_say_what_is_known() -> None:
    student, teacher = made()
    with pytest.raises(TrainmapError, match="unknown kernel 'rbf-l2'; did you mean 'rbf-l1'"):
        lsp(student, teacher, kernel="rbf-l2")
    with pytest.raises(TrainmapError, match="unknown direction"):
        lsp(student, teacher, direction="both")  # type: ignore[arg-type]
    with pytest.raises(TrainmapError, match="neighbours must be at least 1"):
        lsp(student, teacher, neighbours=0)
    with pytest.raises(TrainmapError, match="teacher's shape"):
        feature_matching(student, teacher)


# --- features of a network ------------------------------------------------------------------------------------------


def test_the_features_are_what_goes_into_the_last_linear_layer_or_what_comes_out_of_a_named_one() -> None:
    model, x = build("mlp-256", 3, Inputs.images(1, 8), seed=0), torch.randn(4, 1, 8, 8)
    with tapped(model, None) as kept, tapped(model, "1") as first:
        logits = model(x)
    layers = list(model.children())
    torch.testing.assert_close(layers[-1](kept[0]), logits)
    assert first[0].shape == (4, 256)
    model(x)
    assert len(kept) == len(first) == 1, "the hooks are gone"


def test_a_layer_that_is_not_there_is_an_error() -> None:
    with (
        pytest.raises(TrainmapError, match="unknown layer 'head'"),
        tapped(build("cnn-8", 3, Inputs.images(1, 8), 0), "head"),
    ):
        pass
    with pytest.raises(TrainmapError, match=r"no nn\.Linear"), tapped(nn.Conv2d(1, 1, 1), None):
        pass


def test_a_projector_is_a_1x1_convolution_or_a_linear_layer_and_follows_its_seed_alone() -> None:
    before = torch.get_rng_state()
    for shape, other in (((3,), (5,)), ((6, 3), (6, 5)), ((3, 2, 2), (5, 2, 2))):
        one, same, another = (projector(shape, other, seed) for seed in (0, 0, 1))
        assert one(torch.zeros(2, *shape)).shape == (2, *other)
        assert torch.equal(one.weight, same.weight)  # type: ignore[arg-type]
        assert not torch.equal(one.weight, another.weight)  # type: ignore[arg-type]
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("shape", "other"), [((3, 2, 2), (5, 4, 4)), ((3,), (5, 2, 2)), ((6, 3), (7, 5))])
def test_features_that_differ_in_more_than_their_width_are_an_error(
    shape: tuple[int, ...], other: tuple[int, ...]
) -> None:
    with pytest.raises(TrainmapError, match="differ in width alone"):
        projector(shape, other, 0)


def test_features_of_one_shape_need_no_projector_and_looking_changes_nothing() -> None:
    one, other, wide = (build(name, 3, Inputs.images(1, 8), 0) for name in ("cnn-8", "cnn-8", "cnn-16"))
    one.train()
    before = {name: value.clone() for name, value in one.state_dict().items()}
    assert projector_between(one, other, (None, None), Inputs.images(1, 8), 0, "cpu") is None
    between = projector_between(one, wide, (None, None), Inputs.images(1, 8), 0, "cpu")
    assert isinstance(between, nn.Linear)
    assert (between.in_features, between.out_features) == (32, 64)
    assert one.training
    assert all(torch.equal(value, before[name]) for name, value in one.state_dict().items())
