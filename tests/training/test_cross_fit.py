"""cross_fit: K trainings, a recording out of fold, kills on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import trainmap as tm
from trainmap.data.dataset import Dataset
from trainmap.dynamics.store import Dynamics
from trainmap.models.budget import training_flops
from trainmap.models.build import build
from trainmap.models.cost import forward_flops
from trainmap.models.predict import predict
from trainmap.training import Recipe, Watching
from trainmap.training.fit import fit

RECIPE = Recipe(epochs=3, batch=16)


@pytest.fixture(scope="module")
def train() -> Dataset:
    generator = np.random.default_rng(0)
    y = np.arange(61) % 3
    x = (generator.normal(size=(61, 5)) + y[:, None]).astype(np.float32)
    return Dataset("made", generator.permutation(1000)[:61], x, y, 3)


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))


def contents(path: Path) -> list[bytes]:
    made = Dynamics.open(path)
    return [(made.path / entry.file).read_bytes() for entry in made.manifest.epochs]


def test_its_numbers_are_those_of_separate_networks_asked_about_what_they_did_not_see(
    train: Dataset, tmp_path: Path
) -> None:
    made = tm.cross_fit(network, train, RECIPE, tmp_path / "d", folds=3, seed=7)
    dynamics = made.dynamics
    assert (dynamics.source, dynamics.folds, dynamics.epochs) == ("held-out", 3, 3)
    for fold in tm.CrossFit(train.ids, train.y, folds=3, seed=7):
        asked, own, model = train.subset(fold.held), train.subset(fold.train), network(7 + fold.number)
        rows = np.searchsorted(dynamics.ids, fold.held)

        def look(epoch: int, loss: float, model: nn.Module = model, asked: Dataset = asked, rows: Any = rows) -> None:
            p = torch.softmax(torch.from_numpy(predict(model, asked)).double(), 1).numpy()
            expected = p[np.arange(len(asked)), asked.y]
            np.testing.assert_allclose(dynamics.column(epoch, "p_gold")[rows], expected, rtol=1e-5)

        fit(model, own, RECIPE, seed=7 + fold.number, watching=Watching(on_epoch=look))
        for ours, theirs in zip(made.networks[fold.number].parameters(), model.parameters(), strict=True):
            assert torch.equal(ours, theirs)


def test_it_counts_two_trainings_on_halves_and_one_pass_an_epoch(train: Dataset, tmp_path: Path) -> None:
    made = tm.cross_fit(network, train, RECIPE, tmp_path / "d")
    forward = forward_flops(network(0), train.inputs)
    assert made.sweep_flops == forward * 61 * 3
    assert made.all_flops == training_flops(forward, 61 * 3) + made.sweep_flops


class Kill(BaseException):
    """The process ends here."""


@pytest.mark.parametrize(("fold", "epoch"), [(0, 0), (0, 2), (1, 0), (1, 1), (2, 2)])
def test_a_killed_run_goes_on_at_its_fold_and_epoch_and_ends_as_one_that_was_not_killed(
    fold: int, epoch: int, train: Dataset, tmp_path: Path
) -> None:
    whole = tm.cross_fit(network, train, RECIPE, tmp_path / "whole", folds=3)
    seen: list[tuple[int, int]] = []

    def kill(number: int, at: int, loss: float) -> None:
        seen.append((number, at))
        if (number, at) == (fold, epoch) and seen.count((number, at)) == 1:
            raise Kill

    how: dict[str, Any] = {"folds": 3, "checkpoint": tmp_path / "states", "on_epoch": kill, "overwrite": True}
    with pytest.raises(Kill):
        tm.cross_fit(network, train, RECIPE, tmp_path / "d", **how)
    made = tm.cross_fit(network, train, RECIPE, tmp_path / "d", **how)
    assert contents(tmp_path / "d") == contents(tmp_path / "whole")
    assert seen == [(number, at) for number in range(3) for at in range(3)]  # no epoch was trained twice
    assert made.all_flops == whole.all_flops
    for ours, theirs in zip(made.networks, whole.networks, strict=True):
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(a, b)


def test_without_a_checkpoint_a_folder_that_holds_epochs_is_refused_and_overwritten_when_said(
    train: Dataset, tmp_path: Path
) -> None:
    tm.cross_fit(network, train, RECIPE, tmp_path / "d", folds=3)
    with pytest.raises(tm.StoreError, match="holds 3 epochs already"):
        tm.cross_fit(network, train, RECIPE, tmp_path / "d", folds=3)
    assert tm.cross_fit(network, train, RECIPE, tmp_path / "d", overwrite=True).dynamics.folds == 2


def test_a_checkpoint_of_another_run_is_refused(train: Dataset, tmp_path: Path) -> None:
    how: dict[str, Any] = {"checkpoint": tmp_path / "states"}
    tm.cross_fit(network, train, RECIPE, tmp_path / "d", **how)
    with pytest.raises(tm.TrainmapError, match=r"another division|of another run"):
        tm.cross_fit(network, train, RECIPE, tmp_path / "d", seed=1, **how)


def test_groups_stay_together_and_a_network_must_be_a_new_one(train: Dataset, tmp_path: Path) -> None:
    groups = np.arange(61) // 2
    made = tm.cross_fit(network, train, Recipe(epochs=1), tmp_path / "d", groups=groups)
    of = dict(zip(train.ids.tolist(), groups.tolist(), strict=True))
    for fold in made.cross:
        assert not {of[one] for one in fold.held.tolist()} & {of[one] for one in fold.train.tolist()}
    one = network(0)
    with pytest.raises(tm.TrainmapError, match="build must return a new network for each seed"):
        tm.cross_fit(lambda seed: one, train, Recipe(epochs=1), tmp_path / "other")
    with pytest.raises(tm.TrainmapError, match="from a seed to a network, and a Dataset"):
        tm.cross_fit(network, train.x, Recipe(epochs=1), tmp_path / "other")  # type: ignore[arg-type]


def test_a_loop_in_plain_torch_records_by_folds(train: Dataset, tmp_path: Path) -> None:
    x, y = torch.from_numpy(train.x), torch.from_numpy(train.y)
    last: dict[int, np.ndarray] = {}
    for fold in tm.CrossFit(train.ids, train.y):
        model, rows, held = network(fold.number), train.rows(fold.train), train.rows(fold.held)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        with tm.Recorder(tmp_path / "d", 3, fold=fold) as recorder:
            for _ in range(2):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
                optimizer.step()
                with torch.inference_mode():
                    logits = model(x[held])
                recorder.update(fold.held, logits)
                recorder.end_epoch()
        last |= dict(zip(fold.held.tolist(), logits.argmax(1).numpy(), strict=True))
    made = tm.Dynamics.open(tmp_path / "d")
    assert made.column(1, "predicted").tolist() == [int(last[one]) for one in made.ids.tolist()]


def test_scikit_learn_records_out_of_fold_at_once_and_in_passes(train: Dataset, tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression, SGDClassifier
    from sklearn.model_selection import cross_val_predict

    x, y = train.x, train.y
    p = np.asarray(cross_val_predict(LogisticRegression(), x, y, cv=5, method="predict_proba"))
    with tm.Recorder(tmp_path / "at-once", 3, source="held-out", as_="probabilities") as recorder:
        recorder.update(train.ids, p, y)
        recorder.end_epoch()
    made = tm.Dynamics.open(tmp_path / "at-once")
    np.testing.assert_allclose(made.column(0, "p_gold"), p[np.arange(61), y][np.argsort(train.ids)], rtol=1e-5)

    for fold in tm.CrossFit(range(61), y):
        model = SGDClassifier(loss="log_loss", random_state=fold.number)
        with tm.SklearnRecorder(tmp_path / "passes", ids=fold.held, fold=fold) as watch:
            for _ in range(2):
                model.partial_fit(x[fold.train], y[fold.train], classes=np.unique(y))
                watch.record(model, x[fold.held], y[fold.held])
        told = model.predict_proba(x[fold.held])[np.arange(len(fold.held)), y[fold.held]]
        made = tm.Dynamics.open(tmp_path / "passes") if fold.number else None
        if made is not None:
            assert (made.source, made.epochs) == ("held-out", 2)
            np.testing.assert_allclose(made.column(1, "p_gold")[fold.held], told, atol=2e-6)


def test_a_named_network_is_built_for_each_fold(train: Dataset, tmp_path: Path) -> None:
    made = tm.cross_fit(lambda seed: build("linear", 3, train.inputs, seed), train, Recipe(epochs=1), tmp_path / "d")
    assert len(made.networks) == 2
