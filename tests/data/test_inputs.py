from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from trainmap.data.dataset import Dataset
from trainmap.data.inputs import Inputs, to_input
from trainmap.errors import TrainmapError
from trainmap.models.build import FEATURE_MODELS, TOKEN_MODELS, build, known_models, models_for
from trainmap.models.cost import forward_flops
from trainmap.models.predict import predict
from trainmap.training.fit import Recipe, fit
from trainmap.training.gradients import grand, vog
from trainmap.training.recipes import default_recipe

WIDE = Inputs("pixels", (1, 12, 20))
FEATURES = Inputs("features", (5,))
TOKENS = Inputs("tokens", (7,), 11)
CASES = [
    *((name, WIDE) for name in ("cnn-8", "resnet8-8", "effnet-8", "spec-8", "spec-16")),
    *((name, FEATURES) for name in FEATURE_MODELS),
    *((name, TOKENS) for name in TOKEN_MODELS),
]


def made(inputs: Inputs, n: int = 30, classes: int = 3) -> Dataset:
    """A dataset whose labels can be read off the inputs."""
    draws = np.random.default_rng(0)
    y = np.arange(n, dtype=np.int64) % classes
    if inputs.form == "pixels":
        x: Any = draws.integers(0, 60, (n, *inputs.shape)).astype(np.uint8)
        for row, label in enumerate(y):
            x[row, :, 4 * label : 4 * label + 4] += 180
    elif inputs.form == "features":
        x = draws.normal(size=(n, *inputs.shape)).astype(np.float32) / 4
        x[np.arange(n), y] += 2
    else:
        x = draws.integers(5, inputs.vocabulary, (n, *inputs.shape)).astype(np.int32)
        x[:, 0] = y + 2
        x[::2, -3:] = 0
    return Dataset("made", np.arange(n, dtype=np.int64), x, y, classes, inputs.vocabulary)


@pytest.mark.parametrize(("name", "inputs"), CASES)
def test_every_model_learns_its_form_of_input(name: str, inputs: Inputs) -> None:
    dataset = made(inputs)
    assert dataset.inputs == inputs
    model = build(name, 3, inputs, seed=0)
    adaptive = "sgd" if inputs.form == "pixels" else "adamw"
    rate = 0.05 if inputs.form == "pixels" else 0.02
    fit(model, dataset, Recipe(epochs=30, batch=10, peak_lr=rate, optimizer=adaptive, label_smoothing=0), seed=0)
    assert (predict(model, dataset).argmax(axis=1) == dataset.y).mean() > 0.9


@pytest.mark.parametrize(("name", "inputs"), CASES)
def test_a_batch_of_one_gives_what_the_same_example_gets_in_a_batch(name: str, inputs: Inputs) -> None:
    dataset, model = made(inputs, 4), build(name, 3, inputs, seed=0).eval()
    x = to_input(torch.from_numpy(dataset.x))
    torch.testing.assert_close(torch.cat([model(x[row : row + 1]) for row in range(4)]), model(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "inputs"), CASES)
def test_every_model_has_a_recipe_and_gradient_scores(name: str, inputs: Inputs) -> None:
    dataset, model = made(inputs, 4), build(name, 3, inputs, seed=0)
    recipe = default_recipe(name, "made", inputs=inputs)
    assert (recipe.flips, recipe.crop) == (False, 0)
    if inputs.form != "pixels":
        assert recipe == default_recipe(name, "made+embeddings", inputs=inputs)
    assert (grand(model, dataset) > 0).all()
    assert (grand(model, dataset, parameters="all") >= grand(model, dataset) - 1e-6).all()


@pytest.mark.parametrize("name", TOKEN_MODELS)
def test_padding_changes_nothing(name: str) -> None:
    model = build(name, 3, TOKENS, seed=0).eval()
    with torch.no_grad():
        padded = model(torch.tensor([[4, 5, 6, 0, 0, 0, 0]]))
        dict(model.named_parameters())["embed.weight"][0] += 100  # what padding is embedded as
        torch.testing.assert_close(model(torch.tensor([[4, 5, 6, 0, 0, 0, 0]])), padded)


@pytest.mark.parametrize("name", TOKEN_MODELS)
def test_nothing_but_padding_gives_finite_logits(name: str) -> None:
    assert build(name, 3, TOKENS, seed=0)(torch.zeros(2, 7, dtype=torch.long)).isfinite().all()


def test_the_order_of_words_counts_for_the_transformer_alone() -> None:
    one, other = torch.tensor([[4, 5, 6, 7, 0, 0, 0]]), torch.tensor([[7, 6, 5, 4, 0, 0, 0]])
    for name, same in (("text-bag-64", True), ("text-64", False)):
        model = build(name, 3, TOKENS, seed=0).eval()
        assert torch.allclose(model(one), model(other), atol=1e-5) is same


def test_flops_of_the_models_for_tokens_and_features_follow_by_hand() -> None:
    assert forward_flops(build("linear", 3, FEATURES, 0), FEATURES) == 2 * 5 * 3
    assert forward_flops(build("mlp-256", 3, FEATURES, 0), FEATURES) == 2 * (5 * 256 + 256 * 256 + 256 * 3)
    assert forward_flops(build("text-bag-64", 3, TOKENS, 0), TOKENS) == 2 * (64 * 128 + 128 * 3)
    layer = 7 * (64 * 192 + 64 * 64 + 2 * 64 * 256) + 2 * 7 * 7 * 64
    assert forward_flops(build("text-64", 3, TOKENS, 0), TOKENS) == 2 * (2 * layer + 64 * 3)


def test_every_known_model_takes_some_inputs() -> None:
    forms = (Inputs.images(3, 32), FEATURES, TOKENS)
    assert set(known_models()) == {name for inputs in forms for name in models_for(inputs)}


@pytest.mark.parametrize(
    ("name", "inputs", "message"),
    [
        ("cnn-16", FEATURES, "cnn-16 does not take 5 features; these do: linear, mlp-32, mlp-64, mlp-256"),
        ("text-64", Inputs.images(1, 8), "text-64 does not take 1 x 8 x 8 pixels; these do: cnn-4, cnn-8"),
        ("vit-32", WIDE, "vit-32 does not take 1 x 12 x 20 pixels"),
        ("linear", TOKENS, "linear does not take 7 tokens of 11; these do: text-"),
        ("spec-16", Inputs("pixels", (1, 7, 40)), "at least 8 x 8"),
        ("text64", TOKENS, "did you mean 'text-64'"),
    ],
)
def test_a_model_for_other_inputs_is_an_error_that_says_which_do(name: str, inputs: Inputs, message: str) -> None:
    with pytest.raises(TrainmapError, match=message):
        build(name, 3, inputs, seed=0)


@pytest.mark.parametrize(
    ("form", "shape", "vocabulary"),
    [
        ("images", (1, 8, 8), 0),
        ("pixels", (8, 8), 0),
        ("pixels", (0, 8, 8), 0),
        ("features", (2, 2), 0),
        ("features", (2,), 5),
        ("tokens", (4,), 1),
    ],
)
def test_inputs_that_are_of_no_form_are_an_error(form: Any, shape: tuple[int, ...], vocabulary: int) -> None:
    with pytest.raises(TrainmapError, match=r"unknown form|positive side|vocabulary must"):
        Inputs(form, shape, vocabulary)


@pytest.mark.parametrize(
    ("x", "vocabulary", "message"),
    [
        (np.array([[0.0, np.nan]], np.float32), 0, r"1 of 1 examples have NaN .*first: row 0.*fill them in"),
        (np.zeros((1, 2)), 0, "float32"),
        (np.array([[0, 5]], np.int32), 5, "tokens must be 0 to 4, got 0 to 5"),
        (np.array([[0, -1]], np.int32), 5, "tokens must be"),
        (np.zeros((1, 2), np.int64), 5, "int32"),
    ],
)
def test_arrays_of_no_form_are_an_error(x: np.ndarray, vocabulary: int, message: str) -> None:
    with pytest.raises(TrainmapError, match=message):
        Dataset("made", np.zeros(1, np.int64), x, np.zeros(1, np.int64), 2, vocabulary)


@pytest.mark.parametrize("inputs", [FEATURES, TOKENS])
def test_flips_and_crops_of_what_is_no_image_are_an_error(inputs: Inputs) -> None:
    dataset, name = made(inputs), "linear" if inputs.form == "features" else "text-bag-64"
    model = build(name, 3, inputs, seed=0)
    for recipe in (Recipe(epochs=1, flips=True), Recipe(epochs=1, crop=1)):
        with pytest.raises(TrainmapError, match="flips and crops are for images, but made has"):
            fit(model, dataset, recipe, seed=0)
    with pytest.raises(TrainmapError, match="flips are for images"):
        predict(model, dataset, flips=True)


def test_the_variance_of_gradients_is_for_pixels_and_features() -> None:
    for name, inputs in (("cnn-8", WIDE), ("linear", FEATURES)):
        models = [build(name, 3, inputs, seed) for seed in (0, 1)]
        assert (vog(models, made(inputs), per_class=False) > 0).all()
    one, other = (build("linear", 3, FEATURES, seed) for seed in (0, 1))
    assert isinstance(one, torch.nn.Linear)
    assert isinstance(other, torch.nn.Linear)
    dataset = made(FEATURES)
    weights = [model.weight.detach().numpy()[dataset.y] for model in (one, other)]  # the gradient of the gold logit
    expected = np.std(np.array(weights, np.float64), axis=0).mean(axis=1)
    np.testing.assert_allclose(vog([one, other], dataset, per_class=False), expected, rtol=1e-5)
    with pytest.raises(TrainmapError, match="tokens, which no gradient leads to"):
        vog([build("text-64", 3, TOKENS, seed) for seed in (0, 1)], made(TOKENS))


def test_the_fingerprint_sees_the_form_and_the_vocabulary() -> None:
    tokens, features = made(TOKENS), made(FEATURES)
    larger = Dataset("made", tokens.ids, tokens.x, tokens.y, 3, 12)
    assert len({tokens.fingerprint(), larger.fingerprint(), features.fingerprint()}) == 3
    assert tokens.subset(tokens.ids[::-1]).fingerprint() == tokens.fingerprint()
    assert tokens.subset(tokens.ids[:2]).inputs == TOKENS
