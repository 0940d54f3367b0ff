"""The same calls on a GPU, where there is one: nothing may mix devices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from trainmap.compression.measure import finetune
from trainmap.compression.pruning import prune_channels
from trainmap.compression.sparsity import sparsify
from trainmap.data.dataset import Dataset
from trainmap.distillation.cache import teacher_logits
from trainmap.distillation.losses import LOSSES
from trainmap.models.build import build
from trainmap.models.predict import predict
from trainmap.training.features import features_of
from trainmap.training.fit import Distillation, Teaching, fit
from trainmap.training.gradients import grand, vog
from trainmap.training.proxy import ProxyFilter
from trainmap.training.recipes import Recipe

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
GPU = "cuda"


def made(n: int = 40) -> Dataset:
    draws = np.random.default_rng(0)
    x = draws.integers(0, 256, (n, 1, 8, 8)).astype(np.uint8)
    return Dataset("made", np.arange(n, dtype=np.int64), x, np.arange(n, dtype=np.int64) % 3, 3)


def small(seed: int = 0) -> torch.nn.Module:
    return build("cnn-8", 3, made().inputs, seed)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_training_resumes_and_predicts_what_it_predicts_on_the_cpu(optimizer: str, tmp_path: Path) -> None:
    recipe = Recipe(epochs=2, batch=16, peak_lr=0.01, optimizer=optimizer, flips=True, crop=1, clip=1.0)  # type: ignore[arg-type]
    model = small()
    for _ in range(2):
        fit(
            model,
            made(),
            recipe,
            seed=0,
            device=GPU,
            checkpoint=tmp_path / "run.pt",
            teaching=Teaching(example_weights=np.ones(40)),
        )
    on_gpu = predict(model.to(GPU), made())  # where it is
    assert next(model.parameters()).is_cuda
    np.testing.assert_allclose(on_gpu, predict(model, made(), device="cpu"), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_takes_a_live_teacher_and_those_on_logits_a_cached_one(name: str, tmp_path: Path) -> None:
    recipe, loss = Recipe(epochs=1, batch=16, peak_lr=0.01, flips=True), Distillation(name, weight=np.full(40, 0.5))
    teacher = build("cnn-16", 3, made().inputs, 1)
    fit(small(), made(), recipe, seed=0, device=GPU, teaching=Teaching(teacher, loss))
    if LOSSES[name].needs == "logits":
        cached = teacher_logits(teacher, made(), tmp_path / "t.npy", flips=True, device=GPU)
        fit(small(), made(), recipe, seed=0, device=GPU, teaching=Teaching(cached, loss))


def test_compression_ends_on_the_cpu_and_scores_come_as_arrays() -> None:
    recipe, inputs = Recipe(epochs=1, batch=16, peak_lr=0.01), made().inputs
    half = prune_channels(small(), inputs, 0.5, importance="taylor", calibration=made(), device=GPU)
    for one in (
        finetune(half, made(), recipe, seed=0, device=GPU),
        sparsify(small(), made(), recipe, 0.5, seed=0, device=GPU),
    ):
        assert {parameter.device.type for parameter in one.model.parameters()} == {"cpu"}
    fit(small(), made(), recipe, seed=0, device=GPU, visits=ProxyFilter(small(1)))
    scores = (grand(small(), made(), device=GPU), vog([small(), small(1)], made(), device=GPU))
    assert all(np.isfinite(score).all() for score in scores)
    assert features_of(small(), made(), device=GPU).shape == (40, 32)
