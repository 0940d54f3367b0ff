"""Lightning is recorded by a callback; neither the data nor the training step change. (The rules that every adapter
keeps are in ``test_contract.py``.)"""

from __future__ import annotations

import logging
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import torchmetrics
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset, get_worker_info, random_split

import trainmap as tm
from trainmap.errors import TrainmapError

N = 21
X = torch.randn(N, 4, generator=torch.Generator().manual_seed(0))
Y = torch.arange(N) % 3
NAMES = [f"example {number:02}" for number in range(N)]

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")


class Module(pl.LightningModule):
    """A module as anyone writes it; ``way`` is how its step comes to its logits."""

    def __init__(self, way: str = "net", rate: float = 0.0) -> None:
        super().__init__()
        self.net, self.way, self.rate = torch.nn.Linear(4, 3), way, rate
        with torch.no_grad():
            self.net.weight.copy_(torch.arange(12.0).reshape(3, 4) / 6 - 1)
            self.net.bias.zero_()

    def forward(self, x: Any) -> Any:
        return self.net(x)

    def training_step(self, batch: Any, number: int) -> Any:
        x, y = (batch["x"], batch["label"]) if isinstance(batch, dict) else batch
        assert len(x) == len(y)
        if self.way == "checkpointed":
            logits = checkpoint(self.net, x, use_reentrant=False)
        else:
            logits = self(x) if self.way == "self" else self.net(x)
        if self.way == "twice":
            logits = (logits + self.net(-x)) / 2
        loss = cross_entropy(logits, y)
        return {"loss": loss, "logits": logits} if self.way in ("returned", "twice") else loss

    def validation_step(self, batch: Any, number: int) -> None:
        x, y = batch
        self.log("held", cross_entropy(self(x), y))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self.rate)


def fit(recorder: Any, module: Any = None, data: Any = None, held: Any = None, loader: Any = None, **how: Any) -> Any:
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    callbacks = [recorder, *how.pop("callbacks", [])]
    again = how.pop("ckpt_path", None)
    trainer = pl.Trainer(
        accelerator="cpu", callbacks=callbacks, enable_model_summary=False, **{"max_epochs": 2, **quiet, **how}
    )
    if loader is None:
        loader = DataLoader(TensorDataset(X, Y) if data is None else data, batch_size=4, shuffle=True)
    trainer.fit(Module() if module is None else module, loader, held, ckpt_path=again)
    return trainer


def gold(module: Module | None = None, x: Any = X, y: Any = Y) -> Any:
    with torch.no_grad():
        return torch.softmax((module or Module()).float().net(x), dim=1)[torch.arange(len(y)), y].numpy()


def untrained(folder: Path, atol: float = 1e-6) -> tm.Dynamics:
    dynamics = tm.Dynamics.open(folder)
    assert dynamics.examples == N
    for epoch in range(2):
        np.testing.assert_allclose(dynamics.column(epoch, "p_gold"), gold(), atol=atol)
    return dynamics


@pytest.mark.parametrize("way", ["net", "self", "returned", "checkpointed"])
def test_logits_are_found_where_they_are(way: str, tmp_path: Path) -> None:
    logits = "net" if way in ("net", "checkpointed") else None
    recorder = tm.LightningRecorder(tmp_path / "d", logits=logits)
    held = DataLoader(TensorDataset(X, (Y + 1) % 3), batch_size=5)
    fit(recorder, Module(way), held=held, val_check_interval=0.5)
    untrained(tmp_path / "d")
    assert recorder.refused == (0, 0)


def test_what_the_step_returns_is_taken_before_what_was_heard(tmp_path: Path) -> None:
    fit(tm.LightningRecorder(tmp_path / "returned"), Module("twice"))
    fit(tm.LightningRecorder(tmp_path / "heard", logits="net"), Module("twice"))
    fit(tm.LightningRecorder(tmp_path / "chosen", logits=lambda told: told["logits"] * 2), Module("twice"))
    untrained(tmp_path / "heard")
    mean = (Module().net(X) + Module().net(-X)).detach() / 2
    for name, scale in (("returned", 1), ("chosen", 2)):
        p = torch.softmax(mean * scale, dim=1)[torch.arange(N), Y].numpy()
        np.testing.assert_allclose(tm.Dynamics.open(tmp_path / name).column(1, "p_gold"), p, atol=1e-6)


class Words(Dataset[Any]):
    def __len__(self) -> int:
        return N

    def __getitem__(self, place: int) -> Any:
        return {"x": X[place], "label": Y[place], "key": NAMES[place]}


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter(zip(X, Y, strict=True))


@pytest.mark.parametrize("ids", [None, NAMES, "key", lambda item: item["key"]])
def test_ids_are_positions_or_what_one_says(ids: Any, tmp_path: Path) -> None:
    fit(tm.LightningRecorder(tmp_path / "d", ids=ids, logits="net"), data=Words())
    assert untrained(tmp_path / "d").ids.tolist() == (list(range(N)) if ids is None else NAMES)


@pytest.mark.parametrize("data", ["dataset", "loader", "part", "words", "stream"])
def test_data_that_have_ids_keep_them_and_no_step_sees_them(data: str, tmp_path: Path) -> None:
    pairs = TensorDataset(X, Y)
    named: Any = {
        "dataset": lambda: tm.with_ids(pairs, NAMES),
        "part": lambda: Subset(tm.with_ids(pairs, NAMES), range(0, N, 2)),
        "words": lambda: tm.with_ids(Words(), "key", column="name"),
        "stream": lambda: tm.with_ids(Stream(), NAMES),
        "loader": lambda: pairs,
    }[data]()
    loader = DataLoader(named, batch_size=4)
    seen = len(next(iter(loader)))
    if data == "loader":
        loader = tm.with_ids(loader, NAMES)
    fit(tm.LightningRecorder(tmp_path / "d", logits="net"), loader=loader)
    assert tm.Dynamics.open(tmp_path / "d").ids.tolist() == (NAMES[::2] if data == "part" else NAMES)
    assert len(next(iter(loader))) == seen + (data == "loader")  # the loader is as it was


def test_validation_data_of_the_same_dataset_lose_their_ids_too(tmp_path: Path) -> None:
    train, held = random_split(tm.with_ids(TensorDataset(X, Y)), [15, 6])
    fit(tm.LightningRecorder(tmp_path / "d", logits="net"), data=train, held=DataLoader(held, batch_size=4))
    assert tm.Dynamics.open(tmp_path / "d").ids.tolist() == sorted(train.indices)


def test_limits_on_batches_leave_examples_not_seen(tmp_path: Path) -> None:
    fit(tm.LightningRecorder(tmp_path / "d", ids=NAMES, logits="net"), limit_train_batches=3, max_epochs=3)
    dynamics = tm.Dynamics.open(tmp_path / "d")
    assert [int(np.isfinite(dynamics.column(epoch, "loss")).sum()) for epoch in range(3)] == [12, 12, 12]
    fit(tm.LightningRecorder(tmp_path / "few", logits="net"), overfit_batches=2)
    assert tm.Dynamics.open(tmp_path / "few").ids.tolist() == list(range(8))
    fit(tm.LightningRecorder(tmp_path / "steps", logits="net"), max_epochs=-1, max_steps=8)
    assert [record.seen for record in tm.Dynamics.open(tmp_path / "steps").manifest.epochs] == [N, 8]


@pytest.mark.parametrize(("precision", "atol"), [("bf16-mixed", 2e-2), ("bf16-true", 2e-2), ("64-true", 1e-6)])
def test_in_other_precisions(precision: Any, atol: float, tmp_path: Path) -> None:
    fit(tm.LightningRecorder(tmp_path / "d", logits="net"), precision=precision, accumulate_grad_batches=2)
    untrained(tmp_path / "d", atol)


@pytest.mark.parametrize("way", ["net", "self"])
def test_a_compiled_module_is_recorded(way: str, tmp_path: Path) -> None:
    recorder = tm.LightningRecorder(tmp_path / "d", logits="net" if way == "net" else None)
    fit(recorder, torch.compile(Module(way), backend="eager"))
    untrained(tmp_path / "d")


def test_optimization_by_hand_is_recorded(tmp_path: Path) -> None:
    class ByHand(Module):
        @property
        def automatic_optimization(self) -> bool:  # type: ignore[override]
            return False

        def training_step(self, batch: Any, number: int) -> Any:
            optimizer: Any = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(super().training_step(batch, number))
            optimizer.step()

    fit(tm.LightningRecorder(tmp_path / "d", logits="net"), ByHand())
    untrained(tmp_path / "d")


def test_fit_twice_is_one_recording(tmp_path: Path) -> None:
    recorder, module = tm.LightningRecorder(tmp_path / "d", logits="net"), Module()
    trainer = fit(recorder, module)
    trainer.fit_loop.max_epochs = 3
    trainer.fit(module, DataLoader(TensorDataset(X, Y), batch_size=4))
    assert tm.Dynamics.open(tmp_path / "d").epochs == 3
    fit(recorder, module, max_epochs=1)
    assert tm.Dynamics.open(tmp_path / "d").epochs == 4


def test_from_a_checkpoint_in_mid_epoch_what_is_shown_is_recorded(tmp_path: Path) -> None:
    class Save(pl.Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            if trainer.global_step == 9:  # of 6 batches an epoch
                trainer.save_checkpoint(tmp_path / "mid.ckpt")
                raise KeyboardInterrupt

    shown: list[int] = []

    class Shown(Module):
        def training_step(self, batch: Any, number: int) -> Any:
            shown.extend((X[:, None] == batch[0]).all(dim=2).nonzero()[:, 0].tolist())
            return super().training_step(batch, number)

    loader = DataLoader(TensorDataset(X, Y), batch_size=4)
    with pytest.raises((SystemExit, KeyboardInterrupt)):
        fit(tm.LightningRecorder(tmp_path / "d", logits="net"), loader=loader, callbacks=[Save()])
    assert tm.Dynamics.open(tmp_path / "d").epochs == 1
    fit(tm.LightningRecorder(tmp_path / "d", logits="net"), Shown(), loader=loader, ckpt_path=tmp_path / "mid.ckpt")
    dynamics = tm.Dynamics.open(tmp_path / "d")
    assert dynamics.epochs == 2
    assert np.isfinite(dynamics.column(1, "loss")).nonzero()[0].tolist() == sorted(shown)
    assert len(shown) == 12


@pytest.mark.parametrize(
    ("module", "how", "why"),
    [
        (lambda: Module("net"), {}, "logits of a step were not found .got nothing.; pass logits="),
        (lambda: Module("net"), {"labels": 2, "logits": "net"}, "no labels at 2; it is a list of 2"),
    ],
)
def test_what_cannot_be_found_is_told_once_and_the_training_goes_on(
    module: Any, how: Any, why: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = fit(tm.LightningRecorder(tmp_path / "d", **how), module())
    assert trainer.current_epoch == 2
    told = [record.getMessage() for record in caplog.records if "left out of the rec" in record.getMessage()]
    assert len(told) == 1
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(told[0])


def test_a_stream_that_several_workers_count_alike_is_not_recorded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loader = DataLoader(Stream(), batch_size=4, num_workers=2)
    fit(tm.LightningRecorder(tmp_path / "d", logits="net"), loader=loader, max_epochs=1)
    assert "a stream that several workers read has no places to be ids" in caplog.text


def test_a_mistake_in_what_was_asked_for_ends_it_before_the_training(tmp_path: Path) -> None:
    with pytest.raises(tm.TrainmapError, match="logits='head' is no submodule of this Module; it has 'net'"):
        fit(tm.LightningRecorder(tmp_path / "d", logits="head"))
    with pytest.raises(tm.TrainmapError, match="ids must be one for each of the dataset's 21 items, got 2"):
        fit(tm.LightningRecorder(tmp_path / "d", ids=[1, 2], logits="net"))
    with pytest.raises(tm.TrainmapError, match="logits must be the name of a submodule or a function, got 3"):
        tm.LightningRecorder(tmp_path / "d", logits=3)  # type: ignore[arg-type]
    fit(tm.LightningRecorder(tmp_path / "d", logits="net", classes=3))
    with pytest.raises(tm.StoreError, match="resume=True"):
        fit(tm.LightningRecorder(tmp_path / "d", logits="net", classes=3))


def test_the_callback_keeps_nothing_in_a_checkpoint_and_no_graph(tmp_path: Path) -> None:
    kept_graph = []

    class Look(pl.Callback):
        def on_before_zero_grad(self, trainer: Any, *_: Any) -> None:
            kept_graph.extend(one.requires_grad for one in recorder._outputs or recorder._heard)

    recorder = tm.LightningRecorder(tmp_path / "d", logits="net")
    trainer = fit(recorder, callbacks=[Look()])
    assert recorder.state_dict() == {}
    assert kept_graph
    assert not any(kept_graph)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kept = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert not any("LightningRecorder" in name for name in kept.get("callbacks", {}))


@pytest.mark.slow
def test_the_package_may_be_called_lightning(tmp_path: Path) -> None:
    """Its callbacks are another class than those of ``pytorch_lightning``, so it has a process of its own."""
    script = Path(__file__).read_text().replace("import pytorch_lightning as pl", "import lightning.pytorch as pl")
    run_by_itself(script, f"fit(tm.LightningRecorder({str(tmp_path / 'd')!r}, logits='net'))", tmp_path)
    untrained(tmp_path / "d")


def run_by_itself(script: str, last: str, folder: Path) -> None:
    (folder / "job.py").write_text(f"{script}\nif __name__ == '__main__':\n    {last}\n")
    done = subprocess.run([sys.executable, str(folder / "job.py")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_of_a_sweep_two_processes_make_a_half_each(tmp_path: Path) -> None:
    recorder = f"tm.LightningRecorder({str(tmp_path / 'd')!r}, logits='net', sweep=True)"
    run_by_itself(Path(__file__).read_text(), f"fit({recorder}, strategy='ddp', devices=2)", tmp_path)
    assert untrained(tmp_path / "d").source == "sweep"


class Deep(Module):
    """A module that a sweep could disturb: dropout, a frozen norm, running averages, and numbers that it logs."""

    def __init__(self) -> None:
        super().__init__(rate=0.5)
        torch.manual_seed(3)
        self.frozen = torch.nn.BatchNorm1d(4).eval()
        self.net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 3))
        self.drop, self.modes = torch.nn.Dropout(0.3), set[tuple[bool, bool]]()

    def on_train_start(self) -> None:
        self.frozen.eval()

    def training_step(self, batch: Any) -> Any:  # type: ignore[override]
        x, y = batch
        if torch.is_grad_enabled():
            self.modes.add((self.frozen.training, self.net.training))
        loss = cross_entropy(self.net(self.drop(self.frozen(x))), y)
        self.log("loss", loss, on_epoch=True)
        return loss


@pytest.mark.parametrize("workers", [0, 1])
def test_a_sweep_is_an_evaluation_pass_and_the_training_goes_on_as_without(workers: int, tmp_path: Path) -> None:
    trained, logged = [], []
    for recorded in (False, True):
        module = Deep()
        loader = DataLoader(TensorDataset(X, Y), batch_size=4, shuffle=True, drop_last=True, num_workers=workers)
        callbacks = []
        if recorded:
            callbacks = [
                tm.LightningRecorder(tmp_path / "steps", logits="net"),
                tm.LightningRecorder(tmp_path / "some", logits="net", sweep=True, every=3, sample=8),
            ]
        first = tm.LightningRecorder(tmp_path / "each", logits="net", sweep=True) if recorded else pl.Callback()
        torch.manual_seed(5)
        trainer = fit(first, module, loader=loader, callbacks=callbacks, accumulate_grad_batches=1)
        trained.append(module.state_dict())
        logged.append(trainer.callback_metrics["loss_epoch"])
        assert module.modes == {(False, True)}
    assert all(torch.equal(trained[0][name], trained[1][name]) for name in trained[0])
    assert logged[0] == logged[1]
    steps, each, some = (tm.Dynamics.open(tmp_path / name) for name in ("steps", "each", "some"))
    assert (steps.source, each.source, each.epochs, each.examples, some.epochs) == ("train", "sweep", 2, N, 3)
    with torch.no_grad():
        logits = module.eval().net(module.frozen(X))
    np.testing.assert_allclose(
        each.column(1, "p_gold"), torch.softmax(logits, dim=1)[torch.arange(N), Y].numpy(), atol=1e-6
    )
    assert [int(np.isfinite(some.column(epoch, "loss")).sum()) for epoch in range(3)] == [8, 8, 8]
    np.testing.assert_array_equal(np.isfinite(some.column(0, "loss")), np.isfinite(some.column(2, "loss")))


def test_a_sweep_over_other_data_beside_a_stream(tmp_path: Path) -> None:
    recorder = tm.LightningRecorder(tmp_path / "d", sweep=tm.with_ids(TensorDataset(X[:7], Y[:7]), NAMES[:7]))
    fit(recorder, Module("self"), loader=DataLoader(Stream(), batch_size=4))
    dynamics = tm.Dynamics.open(tmp_path / "d")
    assert (dynamics.ids.tolist(), dynamics.epochs) == (NAMES[:7], 2)
    np.testing.assert_allclose(dynamics.column(0, "p_gold"), gold(x=X[:7], y=Y[:7]), atol=1e-6)


class Counting(Module):
    """A module with metrics, whose state is no part of what it saves."""

    def __init__(self) -> None:
        super().__init__()
        self.right = torchmetrics.MetricCollection(
            [torchmetrics.Accuracy("multiclass", num_classes=3), torchmetrics.Recall("multiclass", num_classes=3)]
        )
        self.mean, self.every = torchmetrics.MeanMetric(), torchmetrics.CatMetric()

    def training_step(self, batch: Any, number: int) -> Any:
        loss = super().training_step(batch, number)
        self.right.update(self.net(batch[0]), batch[1])
        self.mean(loss)
        self.every.update(loss.detach())
        self.log("mean", self.mean, on_step=False, on_epoch=True)
        return loss

    def on_train_epoch_end(self) -> None:
        self.told = {**self.right.compute(), "every": len(self.every.compute())}


def test_a_sweep_counts_for_no_metric_of_the_training(tmp_path: Path) -> None:
    told = []
    for sweep in (False, True):
        recorder = tm.LightningRecorder(tmp_path / str(sweep), logits="net", sweep=sweep)
        loader = DataLoader(TensorDataset(X, Y), batch_size=4, drop_last=True)
        trainer = fit(recorder, module := Counting(), loader=loader, max_epochs=1)
        told.append({**module.told, "mean": trainer.callback_metrics["mean"]})
    assert told[0] == told[1]


def test_a_sweep_that_has_no_place_is_refused_at_the_first_step(tmp_path: Path) -> None:
    fit(tm.LightningRecorder(tmp_path / "d", logits="net", sweep=True))
    recorder, module = tm.LightningRecorder(tmp_path / "d", logits="net", sweep=True), Module()
    with pytest.raises(tm.StoreError, match="resume=True"):
        fit(recorder, module)
    assert module.trainer.fit_loop.epoch_loop.batch_idx == 0
    assert tm.Dynamics.open(tmp_path / "d").epochs == 2


class Drawn(Dataset[Any]):
    """Items that are drawn at random, and name themselves."""

    def __len__(self) -> int:
        return N

    def __getitem__(self, place: int) -> Any:
        return X[place] + torch.rand(4), Y[place], NAMES[place]


class OfThree(Module):
    def training_step(self, batch: Any, number: int) -> Any:
        return super().training_step(batch[:2], number)


def test_to_ask_items_for_their_ids_draws_no_random_number(tmp_path: Path) -> None:
    trained = []
    for recorded in (False, True):
        how: Any = {"ids": lambda item: item[2], "labels": 1, "sweep": True}
        recorder = tm.LightningRecorder(tmp_path / "d", logits="net", **how) if recorded else pl.Callback()
        torch.manual_seed(5)
        fit(recorder, module := OfThree(rate=0.5), data=Drawn())
        trained.append(module.net.weight.detach().clone())
    assert tm.Dynamics.open(tmp_path / "d").ids.tolist() == NAMES
    assert torch.equal(*trained)


class Tagging(Module):
    """A label for each of two tokens."""

    def training_step(self, batch: Any, number: int) -> Any:
        x, y = batch
        return cross_entropy(self.net(torch.stack([x, -x], dim=1)).flatten(0, 1), y.flatten())


def test_tokens_whose_kind_is_not_said_are_told_by_their_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = TensorDataset(X, torch.stack([Y, Y], dim=1))
    fit(tm.LightningRecorder(tmp_path / "d", logits="net"), Tagging(), data=data)
    assert "labels of tokens go with kind='tokens'" in caplog.text
    fit(tm.LightningRecorder(tmp_path / "e", logits="net", kind="tokens"), Tagging(), data=data)
    assert tm.Dynamics.open(tmp_path / "e").kind == "tokens"


class Halves(IterableDataset[Any]):
    """A stream that its workers share."""

    def __iter__(self) -> Any:
        info: Any = get_worker_info()
        return ((X[place], Y[place], NAMES[place]) for place in range(info.id, N, info.num_workers))


def test_a_stream_that_several_workers_share_names_its_items(tmp_path: Path) -> None:
    loader = DataLoader(Halves(), batch_size=4, num_workers=2)
    recorder = tm.LightningRecorder(tmp_path / "d", logits="net", labels=1, ids=lambda item: item[2])
    fit(recorder, OfThree(), loader=loader)
    assert untrained(tmp_path / "d").ids.tolist() == NAMES


def test_what_cannot_be_swept_is_said_before_the_training(tmp_path: Path) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"every": 5}, "every= and sample= are of sweeps"),
        ({"sweep": True, "every": 0}, "every"),
        ({"sweep": True, "sample": 0}, "sample"),
    ]
    for wrong, says in cases:
        with pytest.raises(TrainmapError, match=says):
            tm.LightningRecorder(tmp_path / "x", **wrong)
    with tm.Recorder(tmp_path / "own", 3) as recorder, pytest.raises(TrainmapError, match='say source="sweep"'):
        tm.LightningRecorder(recorder, sweep=True)
    with pytest.raises(TrainmapError, match="a sweep needs data with a length, got a Stream"):
        fit(tm.LightningRecorder(tmp_path / "y", sweep=True), loader=DataLoader(Stream(), batch_size=4))

    class Manual(Module):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

    with pytest.raises(TrainmapError, match="optimises by itself"):
        fit(tm.LightningRecorder(tmp_path / "z", sweep=True), Manual())


class OneLogit(Module):
    """Two classes by one logit, whose loss takes floats."""

    def __init__(self, outputs: int = 1) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = torch.nn.Linear(X.shape[1], outputs)
        self.rate = 0.0

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        x, y = (batch.x, batch.y) if hasattr(batch, "x") else batch
        return torch.nn.functional.binary_cross_entropy_with_logits(self.net(x), y.float().reshape(len(x), -1))


class Row(NamedTuple):
    """A batch whose parts have names, the labels not in the second place."""

    y: Any
    x: Any
    weight: Any


@pytest.mark.parametrize("labels", ["floats", "column", "whole", "named"])
def test_labels_of_one_logit_may_be_as_its_loss_takes_them(labels: str, tmp_path: Path) -> None:
    gold = Y % 2
    y = {"floats": gold.float(), "column": gold.float()[:, None]}.get(labels, gold)
    rows: Any = TensorDataset(X, y)
    if labels == "named":
        rows = tm.with_ids([Row(*row) for row in zip(gold, X, torch.ones(N), strict=True)])
    fit(tm.LightningRecorder(tmp_path / "d", logits="net"), OneLogit(), data=rows)
    p = torch.sigmoid(OneLogit().net(X))[:, 0].detach()
    dynamics = tm.Dynamics.open(tmp_path / "d")
    np.testing.assert_allclose(dynamics.column(1, "p_gold"), torch.where(gold == 1, p, 1 - p), atol=1e-6)


def test_several_labels_are_counted_by_the_logits(tmp_path: Path) -> None:
    several = (X[:, :3] > 0).float()
    each: Any = {"d": {}, "each": {"per": "label"}}
    for name, how in each.items():
        recorder = tm.LightningRecorder(tmp_path / name, logits="net", kind="multilabel", **how)
        fit(recorder, OneLogit(3), data=TensorDataset(X, several))
        assert recorder.refused == (0, 0)
    assert tm.Dynamics.open(tmp_path / "d").classes == 3
    assert tm.Dynamics.open(tmp_path / "each").examples == 3 * N


def test_targets_that_are_numbers_name_their_kind(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fit(tm.LightningRecorder(tmp_path / "d", logits="net"), OneLogit(), data=TensorDataset(X, X[:, 0].sigmoid()))
    assert "numbers to be predicted go with Recorder(path, kind='regression')" in caplog.text
