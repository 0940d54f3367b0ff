"""attach: a Trainer of Transformers records by one line, whatever its arguments, its data and its network are."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import contract
import datasets
import numpy as np
import pytest
import torch
from contract import CLASSES, NAMES, PLACES, Job, N, X, Y, by_id, expected
from torch.utils.data import Dataset, IterableDataset
from trainer_doors import Network, arguments, rows
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainerCallback, TrainingArguments

import trainmap as tm
from trainmap.errors import RecordingError, StoreError, TrainmapError


def made(folder: Path, job: Job = Job(), model: Any = None, data: Any = None, **more: Any) -> Any:  # noqa: B008
    collator = more.pop("data_collator", None)
    return Trainer(
        Network() if model is None else model,
        TrainingArguments(**arguments(folder, job, save_strategy="no", **more)),
        train_dataset=rows(job.labels) if data is None else data,
        data_collator=collator,
    )


def holds_untrained(path: Path, epochs: int = 2, ids: Any = PLACES, atol: float = 2e-6) -> None:
    dynamics = tm.Dynamics.open(path)
    told = dict(zip(ids.tolist(), expected().tolist(), strict=True))
    assert dynamics.epochs == epochs
    for epoch in range(epochs):
        assert by_id(dynamics, epoch) == pytest.approx(told, abs=atol)


class Checkpointed(Network):
    """Its forward pass runs a second time in the backward pass."""

    def forward(self, x: Any, labels: Any = None) -> Any:
        from torch.utils.checkpoint import checkpoint

        logits: Any = checkpoint(self.linear, x, use_reentrant=False)
        return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}


class Tupled(Network):
    def forward(self, x: Any, labels: Any = None) -> Any:
        out = super().forward(x, labels)
        return out["loss"], out["logits"], {"hidden": x}


class Bare(Network):
    """Leaves the loss to the Trainer."""

    def forward(self, x: Any) -> Any:
        return {"logits": self.linear(x)}


def own_loss(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
    return torch.nn.functional.cross_entropy(outputs["logits"], labels)


ARGUMENTS: dict[str, dict[str, Any]] = {
    "shuffled": {"train_sampling_strategy": "random"},
    "torch_compile": {"torch_compile": True, "torch_compile_backend": "eager"},
    "bf16": {"bf16": True},
    "label smoothing": {"label_smoothing_factor": 0.1},
    "workers out of order": {"dataloader_num_workers": 2, "dataloader_in_order": False},
    "every column is kept": {"remove_unused_columns": False},
    "a batch size that is found": {"auto_find_batch_size": True},
}


@pytest.mark.filterwarnings("ignore:.*'pin_memory'")
@pytest.mark.parametrize("name", ARGUMENTS)
def test_the_recording_is_right_under_any_arguments(name: str, tmp_path: Path) -> None:
    trainer = made(tmp_path, **ARGUMENTS[name])
    tm.attach(trainer, tmp_path / "dynamics", classes=CLASSES, ids=PLACES)
    trainer.train()
    holds_untrained(tmp_path / "dynamics", atol=0.01 if name == "bf16" else 2e-6)


@pytest.mark.parametrize("network", [Checkpointed, Tupled])
def test_the_output_is_heard_once_a_step_in_whatever_form_it_comes(network: type[Network], tmp_path: Path) -> None:
    trainer = made(tmp_path, model=network())
    tm.attach(trainer, tmp_path / "dynamics", classes=CLASSES, ids=PLACES)
    trainer.train()
    holds_untrained(tmp_path / "dynamics")


def test_a_loss_of_the_users_own_takes_no_label_from_the_recording(tmp_path: Path) -> None:
    trainer = Trainer(
        Bare(),
        TrainingArguments(**arguments(tmp_path, Job(), label_names=["labels"])),
        train_dataset=rows(Y),
        compute_loss_func=own_loss,
    )
    tm.attach(trainer, tmp_path / "dynamics", classes=CLASSES, ids=NAMES)
    trainer.train()
    holds_untrained(tmp_path / "dynamics", ids=NAMES)


class Items(Dataset[Any]):
    def __init__(self, form: str, ids: Any) -> None:
        self.form, self.ids = form, ids

    def __len__(self) -> int:
        return N

    def __getitem__(self, place: int) -> Any:
        if self.form == "tuples":
            return X[place], Y[place]
        name = {} if self.ids is None else {"id": self.ids[place]}
        return {"x": X[place], "labels": Y[place], "unused": "text", **name}


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter(Items("dicts", None)[place] for place in range(N))


def pairs(items: list[Any]) -> Any:
    assert all(len(item) == 2 for item in items)
    return {
        "x": torch.tensor(np.stack([x for x, _ in items])),
        "labels": torch.tensor([int(label) for _, label in items]),
    }


DATA: dict[str, Any] = {
    "a table": lambda: (rows(Y), PLACES),
    "a table with a column of ids": lambda: (rows(Y).add_column("id", NAMES.tolist()), None),
    "a table with a format": lambda: (rows(Y).with_format("torch"), NAMES),
    "with_ids": lambda: (tm.with_ids(rows(Y), NAMES), None),
    "dicts": lambda: (Items("dicts", None), NAMES),
    "dicts with an id": lambda: (Items("dicts", NAMES), None),
    "dicts, with_ids": lambda: (tm.with_ids(Items("dicts", None), NAMES), None),
    "tuples": lambda: (Items("tuples", None), NAMES),
    "tuples, with_ids": lambda: (tm.with_ids(Items("tuples", None), NAMES), None),
    "places": lambda: (Items("dicts", None), None),
    "a stream": lambda: (Stream(), None),
    "a stream, with_ids": lambda: (tm.with_ids(Stream(), NAMES), None),
    "a stream of a table": lambda: (tm.with_ids(rows(Y).to_iterable_dataset(), NAMES), None),
}


@pytest.mark.parametrize("name", DATA)
def test_any_training_data_has_ids_that_reach_neither_collator_nor_network(name: str, tmp_path: Path) -> None:
    data, ids = DATA[name]()
    more: dict[str, Any] = {"data_collator": pairs} if "tuples" in name else {}
    if "stream" in name:  # which has no length: 6 batches are an epoch
        more |= {"max_steps": 12}
    trainer = made(tmp_path, data=data, **more)
    tm.attach(trainer, tmp_path / "dynamics", classes=CLASSES, ids=ids)
    trainer.train()
    wanted = {"places": np.arange(N), "a stream": np.arange(N), "a table": PLACES}.get(name, NAMES)
    holds_untrained(tmp_path / "dynamics", ids=wanted)


def test_what_a_model_says_of_its_classes_is_what_the_recording_says(tmp_path: Path) -> None:
    names = {0: "left", 1: "right", 2: "straight on"}
    config = BertConfig(
        vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, id2label=names
    )
    generator = np.random.default_rng(0)
    tokens = [generator.integers(5, 50, length).tolist() for length in generator.integers(3, 9, N)]
    data = datasets.Dataset.from_dict(
        {"input_ids": tokens, "labels": Y.tolist(), "text": ["some"] * N, "id": NAMES.tolist()}
    )

    def pad(items: list[dict[str, Any]]) -> Any:
        assert set(items[0]) == {"input_ids", "labels"}
        longest = max(len(item["input_ids"]) for item in items)
        ids = torch.tensor([item["input_ids"] + [0] * (longest - len(item["input_ids"])) for item in items])
        return {
            "input_ids": ids,
            "attention_mask": (ids > 0).long(),
            "labels": torch.tensor([i["labels"] for i in items]),
        }

    trainer = made(tmp_path, Job(rate=0.1), BertForSequenceClassification(config), data, data_collator=pad)
    attachment = tm.attach(trainer, tmp_path / "dynamics")
    trainer.train()
    dynamics = tm.Dynamics.open(attachment.path)
    assert dynamics.classes == 3
    assert dynamics.ids.tolist() == sorted(NAMES.tolist())
    assert np.isfinite(dynamics.column(1, "p_gold")).all()


class Raises(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            raise contract.Stopped


def test_an_exception_keeps_the_epochs_before_and_gives_the_folder_back(tmp_path: Path) -> None:
    trainer = made(tmp_path)
    attachment = tm.attach(trainer, tmp_path / "dynamics", classes=CLASSES, ids=PLACES)
    trainer.add_callback(stop := Raises(8))
    with pytest.raises(contract.Stopped):
        trainer.train()
    assert attachment.recorder is None
    assert not trainer.model._forward_hooks
    holds_untrained(tmp_path / "dynamics", epochs=1)
    trainer.remove_callback(stop)
    trainer.train()  # a second training of this trainer comes behind it
    holds_untrained(tmp_path / "dynamics", epochs=3)


def test_a_training_that_begins_anew_with_smaller_batches_is_recorded_once(tmp_path: Path) -> None:
    class Crowded(Network):
        def forward(self, x: Any, labels: Any = None) -> Any:
            if len(x) > 2:
                raise RuntimeError("CUDA out of memory. Tried to allocate")
            return super().forward(x, labels)

    trainer = made(tmp_path, model=Crowded(), auto_find_batch_size=True)
    tm.attach(trainer, tmp_path / "dynamics", classes=CLASSES, ids=PLACES)
    trainer.train()
    holds_untrained(tmp_path / "dynamics")


def test_trained_twice_and_detached(tmp_path: Path) -> None:
    trainer = made(tmp_path)
    before, methods = dict(vars(trainer)), ("training_step", "prediction_step", "train")
    attachment = tm.attach(trainer, tmp_path / "dynamics", classes=CLASSES, ids=PLACES)
    trainer.train()
    trainer.train()
    holds_untrained(tmp_path / "dynamics", epochs=4)
    attachment.detach()
    attachment.detach()
    assert not any(name in vars(trainer) for name in methods)
    assert trainer.data_collator is before["data_collator"]
    assert "id" not in trainer._signature_columns
    trainer.train()
    holds_untrained(tmp_path / "dynamics", epochs=4)


def test_a_folder_that_holds_a_recording_is_refused_before_a_step_and_overwritten_where_that_is_said(
    tmp_path: Path,
) -> None:
    for times in range(2):
        trainer = made(tmp_path)
        attachment = tm.attach(trainer, tmp_path / "dynamics", classes=CLASSES, ids=PLACES, overwrite=times == 1)
        trainer.train()
        attachment.detach()
        holds_untrained(tmp_path / "dynamics")
    trainer = made(tmp_path)
    tm.attach(trainer, tmp_path / "dynamics", classes=CLASSES, ids=PLACES)
    with pytest.raises(StoreError, match="holds 2 epochs already; say resume=True"):
        trainer.train()
    assert trainer.state.global_step == 0


def test_a_recorder_of_the_users_stays_open_and_decides_what_an_error_is(tmp_path: Path) -> None:
    with tm.Recorder(tmp_path / "dynamics", CLASSES, on_error="raise") as recorder:
        trainer = made(tmp_path, Job(bad=9))
        tm.attach(trainer, recorder, ids=PLACES)
        with pytest.raises(RecordingError, match=r"labels must be 0 to 2, got -100"):
            trainer.train()
        trainer = made(tmp_path)
        attachment = tm.attach(trainer, recorder, ids=PLACES)
        trainer.train()
        assert attachment.recorder is recorder
        assert recorder.epoch == 2
        with pytest.raises(TrainmapError, match=r"a Recorder was given: say level to it, Recorder\(path, ...\)"):
            tm.attach(trainer, recorder, level="logits")
    holds_untrained(tmp_path / "dynamics")


def test_drop_last_keeps_what_is_dropped_as_not_seen(tmp_path: Path) -> None:
    trainer = made(tmp_path, Job(shuffle=3), dataloader_drop_last=True)
    tm.attach(trainer, tmp_path / "dynamics", classes=CLASSES, ids=PLACES)
    trainer.train()
    dynamics = tm.Dynamics.open(tmp_path / "dynamics")
    for epoch in range(2):
        assert np.isfinite(dynamics.column(epoch, "p_gold")).sum() == 20


class Moving(Network):
    """Drops inputs out, so that what it says depends on the random numbers before it."""

    def forward(self, x: Any, labels: Any = None) -> Any:
        return super().forward(torch.nn.functional.dropout(x, 0.5, self.training), labels)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_sweep_is_an_evaluation_pass_and_the_training_goes_on_as_without(workers: int, tmp_path: Path) -> None:
    weights = []
    for swept in (False, True):
        trainer = made(tmp_path, Job(rate=0.3, workers=workers, shuffle=1), Moving())
        tm.attach(trainer, tmp_path / f"steps {swept}", classes=CLASSES, ids=PLACES)
        if swept:
            tm.attach(trainer, tmp_path / "sweeps", classes=CLASSES, sweep=True)
            tm.attach(trainer, tmp_path / "some", classes=CLASSES, sweep=True, every=5, sample=8, level="logits")
        trainer.train()
        weights.append(trainer.model.linear.weight.detach().numpy().copy())
    np.testing.assert_array_equal(*weights)
    steps, again = (tm.Dynamics.open(tmp_path / f"steps {swept}") for swept in (False, True))
    np.testing.assert_array_equal(steps.column(1, "loss"), again.column(1, "loss"))
    sweeps = tm.Dynamics.open(tmp_path / "sweeps")
    assert (sweeps.source, sweeps.epochs, steps.source) == ("sweep", 2, "train")
    logits = X.astype(np.float64) @ weights[1].T.astype(np.float64) + trainer.model.linear.bias.detach().numpy()
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(sweeps.column(1, "p_gold"), (p / p.sum(axis=1, keepdims=True))[range(N), Y], atol=2e-6)
    some = tm.Dynamics.open(tmp_path / "some")
    assert (some.epochs, len(some.ids)) == (2, 8)
    assert (some.step, some.every, sweeps.step, sweeps.every) == ("steps", 5, "epoch", None)
    assert set(some.ids.tolist()) < set(PLACES.tolist())


def test_a_sweep_over_other_data(tmp_path: Path) -> None:
    trainer = made(tmp_path)
    held = tm.with_ids(rows(Y).select(range(7)), NAMES[:7])
    tm.attach(trainer, tmp_path / "sweeps", classes=CLASSES, sweep=held, source="held-out")
    trainer.train()
    dynamics = tm.Dynamics.open(tmp_path / "sweeps")
    assert sorted(dynamics.ids.tolist()) == sorted(NAMES[:7].tolist())
    assert dynamics.source == "held-out"
    with pytest.raises(
        TrainmapError, match='training steps are to be recorded, and source= is "sweep": say source="tr'
    ):
        tm.attach(trainer, tmp_path / "x", classes=CLASSES, source="sweep")


def test_a_sweep_has_the_last_batch_that_the_training_drops(tmp_path: Path) -> None:
    trainer = made(tmp_path, dataloader_drop_last=True, per_device_eval_batch_size=4)
    tm.attach(trainer, tmp_path / "dynamics", classes=CLASSES, ids=PLACES, sweep=True)
    trainer.train()
    assert trainer.args.dataloader_drop_last
    holds_untrained(tmp_path / "dynamics")


class Drawn(Items):
    """Items that are drawn at random, as augmented images are."""

    def __getitem__(self, place: int) -> Any:
        item = super().__getitem__(place)
        return {**item, "x": item["x"] + torch.rand(4).numpy() + np.random.rand() + random.random()}  # noqa: NPY002


@pytest.mark.parametrize(
    "how", [{}, {"ids": NAMES}, {"ids": lambda item: str(item["x"])}, {"sweep": True, "sample": 3}]
)
def test_to_attach_draws_no_random_number(how: Any, tmp_path: Path) -> None:
    trainer = made(tmp_path, data=Drawn("dicts", None))

    def states() -> Any:
        return random.getstate(), repr(np.random.get_state()), torch.get_rng_state().tolist()  # noqa: NPY002

    before = states()
    tm.attach(trainer, tmp_path / "dynamics", classes=CLASSES, **how)
    assert states() == before


def test_what_cannot_be_recorded_is_refused_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = made(tmp_path)
    for wrong in (None, 5, trainer.model):
        with pytest.raises(TrainmapError, match="attach takes a Trainer of Transformers or TRL, got a"):
            tm.attach(wrong, tmp_path / "x")
    with pytest.raises(TrainmapError, match="one for each of the dataset's 21 items, got 3"):
        tm.attach(trainer, tmp_path / "x", ids=[1, 2, 3])
    with pytest.raises(TrainmapError, match="every= and sample= are of sweeps"):
        tm.attach(trainer, tmp_path / "x", sample=5)
    with pytest.raises(TrainmapError, match=r"every .* must be a whole number of at least 1, got 0"):
        tm.attach(trainer, tmp_path / "x", sweep=True, every=0)
    with pytest.raises(TrainmapError, match="has no training data"):
        tm.attach(Trainer(Network(), trainer.args), tmp_path / "x")
    assert "training_step" not in vars(trainer)
    tm.attach(trainer, tmp_path / "x", classes=CLASSES)
    with pytest.raises(TrainmapError, match="with column='id' already, now 'name'"):
        tm.attach(trainer, tmp_path / "y", column="name")
    tm.attach(trainer, tmp_path / "raise", classes=CLASSES, on_error="raise")
    trainer.train_dataset = rows(Y)
    with pytest.raises(TrainmapError, match=r"a batch of the training has no 'id': .*tm.with_ids\(dataset\)"):
        trainer.train()
    monkeypatch.setitem(sys.modules, "transformers", None)
    for name in [name for name in sys.modules if name.startswith("trainmap.integrations.trainer_tap")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "trainmap.integrations.attachment")
    with pytest.raises(TrainmapError, match=r"attach needs transformers: pip install 'trainmap\[adapters\]'"):
        tm.attach(trainer, tmp_path / "x")


def test_a_network_whose_classes_nobody_says_is_refused_when_the_training_begins(tmp_path: Path) -> None:
    trainer = made(tmp_path)
    tm.attach(trainer, tmp_path / "x")
    with pytest.raises(TrainmapError, match="nothing here tells how many classes there are: say classes="):
        trainer.train()
