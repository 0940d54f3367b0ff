from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from trainmap.data.dataset import Dataset, load_splits, to_input
from trainmap.errors import TrainmapError
from trainmap.models.build import MODELS, build
from trainmap.models.zoo import ZOO
from trainmap.selection.pool import Features
from trainmap.training.features import features_of

DIGITS = load_splits("digits").test
SMALL = [name for name in MODELS if name not in ZOO]


@pytest.mark.parametrize("name", SMALL)
def test_the_last_layer_makes_the_logits_of_the_features(name: str) -> None:
    data = DIGITS.subset(DIGITS.ids[:7])
    model = build(name, 10, data.inputs, seed=0)
    values = features_of(model, data)
    assert values.dtype == np.float32
    assert model.training
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    model.eval()
    with torch.inference_mode():
        expected = model(to_input(torch.from_numpy(data.x)))
        np.testing.assert_allclose(linear(torch.from_numpy(values)), expected, rtol=1e-4, atol=1e-5)
    assert len(Features(data.ids, values).values) == 7


def test_a_map_is_averaged_over_its_places() -> None:
    data = DIGITS.subset(DIGITS.ids[:3])
    model = build("cnn-8", 10, data.inputs, seed=0).eval()
    with torch.inference_mode():
        first = model.get_submodule("0")(to_input(torch.from_numpy(data.x)))
    np.testing.assert_allclose(features_of(model, data, layer="0"), first.mean(dim=(2, 3)), rtol=1e-5, atol=1e-6)
    assert not model.training


def test_the_features_are_what_the_layer_gave_though_the_next_one_works_in_place() -> None:
    data = DIGITS.subset(DIGITS.ids[:3])
    model = build("cnn-8", 10, data.inputs, seed=0).eval()
    assert model.get_submodule("3").inplace  # a ReLU upon the pooling
    with torch.inference_mode():
        pooled = model[:3](to_input(torch.from_numpy(data.x)))  # type: ignore[index]
    assert pooled.min() < 0
    np.testing.assert_allclose(features_of(model, data, layer="2"), pooled.mean(dim=(2, 3)), rtol=1e-5, atol=1e-6)


def test_the_number_of_examples_at_a_time_changes_nothing_that_matters() -> None:
    model = build("mlp-256", 10, DIGITS.inputs, seed=0)
    whole = features_of(model, DIGITS)
    assert whole.shape == (len(DIGITS), 256)
    one = features_of(model, DIGITS.subset(DIGITS.ids[200:201]))
    np.testing.assert_allclose(one[0], whole[200], rtol=1e-4, atol=1e-5)


def test_an_unknown_layer_is_an_error() -> None:
    with pytest.raises(TrainmapError, match="unknown layer"):
        features_of(build("cnn-8", 10, DIGITS.inputs, seed=0), DIGITS, layer="none")


def test_a_layer_that_is_not_called_is_named() -> None:
    """The last nn.Linear of an attention layer is read and not called."""

    class Attended(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.heads = torch.nn.MultiheadAttention(4, 2, batch_first=True)
            self.conv = torch.nn.Conv1d(4, 3, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x.reshape(len(x), 2, 4)
            return self.conv(self.heads(x, x, x)[0].transpose(1, 2)).mean(2)

    ids = np.arange(6, dtype=np.int64)
    data = Dataset("made", ids, np.zeros((6, 8), np.float32), ids % 3, 3)
    with pytest.raises(TrainmapError, match=r"the last nn\.Linear is not called; name another layer"):
        features_of(Attended(), data)
