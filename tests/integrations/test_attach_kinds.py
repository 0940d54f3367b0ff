"""attach takes the kind of supervision from the network: tags, next tokens, numbers, several labels, named classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from contract import Job, by_id
from tiny_language import speaker
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from trainer_doors import arguments
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertForTokenClassification,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    T5Config,
    T5ForConditionalGeneration,
    Trainer,
    TrainingArguments,
)

import trainmap as tm
from trainmap.errors import TrainmapError
from trainmap.integrations.trainer_outputs import reading_of

N = 9
IDS = [f"row {number}" for number in range(N)]
_generator = np.random.default_rng(0)
TOKENS = [_generator.integers(3, 14, length).tolist() for length in _generator.integers(3, 8, N)]


def bert(kind: Any, **more: Any) -> Any:
    return kind(
        BertConfig(
            vocab_size=16,
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            intermediate_size=8,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            **more,
        )
    )


def padded(items: list[dict[str, Any]]) -> dict[str, Any]:
    assert set(items[0]) == {"input_ids", "labels"}
    longest = max(len(item["input_ids"]) for item in items)

    def fill(values: list[int], by: int) -> list[int]:
        return values + [by] * (longest - len(values))

    tokens = torch.tensor([fill(item["input_ids"], 0) for item in items])
    labels = [
        fill(item["labels"], -100) if isinstance(item["labels"], list) and tags(item) else item["labels"]
        for item in items
    ]
    return {"input_ids": tokens, "attention_mask": (tokens > 0).long(), "labels": torch.tensor(labels)}


def tags(item: dict[str, Any]) -> bool:
    return isinstance(item["labels"][0], int)


def of_tags(logits: Any, labels: Any) -> float:
    return float(cross_entropy(logits[0], torch.tensor(labels)))


def of_next(logits: Any, labels: Any) -> float:
    return float(cross_entropy(logits[0, :-1], torch.tensor(labels[1:])))


def of_number(logits: Any, labels: Any) -> float:
    return float((logits[0, 0] - labels) ** 2)


def of_several(logits: Any, labels: Any) -> float:
    return float(binary_cross_entropy_with_logits(logits[0], torch.tensor(labels)))


def seeing() -> Any:
    small: dict[str, Any] = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    return LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=CLIPVisionConfig(image_size=4, patch_size=2, **small),
            text_config=LlamaConfig(vocab_size=16, num_key_value_heads=1, pad_token_id=0, **small),
            image_token_index=15,
        )
    )


Case = tuple[Callable[[], Any], list[Any], Callable[[Any, Any], float], str]
CASES: dict[str, Case] = {
    "tags": (
        lambda: bert(BertForTokenClassification, num_labels=4),
        [[-100, *(token % 4 for token in tokens[1:])] for tokens in TOKENS],
        of_tags,
        "tokens",
    ),
    "next tokens": (speaker, TOKENS, of_next, "tokens"),
    "next tokens of what sees and speaks": (lambda: seeing(), TOKENS, of_next, "tokens"),
    "a number": (
        lambda: bert(BertForSequenceClassification, num_labels=1),
        [len(tokens) / 4 for tokens in TOKENS],
        of_number,
        "regression",
    ),
    "several labels": (
        lambda: bert(
            BertForSequenceClassification,
            problem_type="multi_label_classification",
            id2label={0: "odd", 1: "long", 2: "low"},
        ),
        [[float(len(t) % 2), float(len(t) > 4), float(t[0] < 7)] for t in TOKENS],
        of_several,
        "multilabel",
    ),
    "several labels, as their type tells": (
        lambda: bert(BertForSequenceClassification, num_labels=3),
        [[float(len(t) % 2), float(len(t) > 4), float(t[0] < 7)] for t in TOKENS],
        of_several,
        "multilabel",
    ),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("sweep", [False, True])
def test_the_kind_is_the_networks_and_the_loss_its_own(name: str, sweep: bool, tmp_path: Path) -> None:
    make, labels, loss, kind = CASES[name]
    model: Any = make()
    trainer = Trainer(
        model,
        TrainingArguments(**arguments(tmp_path, Job(), save_strategy="no")),
        train_dataset=datasets.Dataset.from_dict({"input_ids": TOKENS, "labels": labels, "id": IDS}),
        data_collator=padded,
    )
    tm.attach(trainer, tmp_path / "dynamics", sweep=sweep)
    trainer.train()
    dynamics = tm.Dynamics.open(tmp_path / "dynamics")
    assert (dynamics.kind, dynamics.epochs, dynamics.source) == (kind, 2, "sweep" if sweep else "train")
    model.eval()
    with torch.no_grad():
        wanted = {
            who: loss(model(torch.tensor([tokens])).logits, label)
            for who, tokens, label in zip(IDS, TOKENS, labels, strict=True)
        }
    for epoch in range(2):
        assert by_id(dynamics, epoch, "loss") == pytest.approx(wanted, rel=1e-3, abs=1e-5)
    if name == "several labels":
        assert list(dynamics.class_names or ()) == ["odd", "long", "low"]


def test_names_of_classes_go_into_the_recording_and_what_is_said_goes_before(tmp_path: Path) -> None:
    for named in (True, False):
        more = {"id2label": {0: "even", 1: "odd"}} if named else {"num_labels": 2}
        trainer = Trainer(
            bert(BertForSequenceClassification, **more),
            TrainingArguments(**arguments(tmp_path, Job(), save_strategy="no")),
            train_dataset=datasets.Dataset.from_dict({"input_ids": TOKENS, "labels": [len(t) % 2 for t in TOKENS]}),
            data_collator=padded,
        )
        tm.attach(trainer, tmp_path / f"{named}", ids=IDS)
        tm.attach(trainer, tmp_path / f"{named} said", ids=None, classes=["no", "yes"])
        trainer.train()
        assert tm.Dynamics.open(tmp_path / f"{named}").class_names == (("even", "odd") if named else None)
        assert tm.Dynamics.open(tmp_path / f"{named} said").class_names == ("no", "yes")


def test_a_network_without_logits_is_told(tmp_path: Path) -> None:
    class Silent(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, input_ids: Any, attention_mask: Any = None, labels: Any = None) -> Any:
            return {"loss": self.weight.sum(), "scores": input_ids}

    trainer = Trainer(
        Silent(),
        TrainingArguments(**arguments(tmp_path, Job(), save_strategy="no")),
        train_dataset=datasets.Dataset.from_dict({"input_ids": TOKENS, "labels": [0] * N}),
        data_collator=padded,
    )
    tm.attach(trainer, tmp_path / "dynamics", classes=2, on_error="raise")
    with pytest.raises(TrainmapError, match="must return its logits under 'logits', got 'loss', 'scores'"):
        trainer.train()


def test_a_decoder_that_is_shown_its_labels_is_read_where_they_stand() -> None:
    small: dict[str, Any] = {
        "d_model": 8,
        "d_ff": 8,
        "d_kv": 4,
        "num_heads": 1,
        "num_layers": 1,
        "decoder_start_token_id": 0,
    }
    config = T5Config(vocab_size=16, **small)
    model = T5ForConditionalGeneration(config)
    trainer = SimpleNamespace(
        label_names=["labels"], model=model, accelerator=SimpleNamespace(unwrap_model=lambda one: one)
    )
    reading = reading_of(trainer)
    assert dict(reading.recorder) == {"kind": "tokens"}
    labels = torch.tensor([TOKENS[0]])
    out = model(input_ids=labels, labels=labels)
    outputs, targets = reading.read({"labels": labels}, out)
    assert float(cross_entropy(outputs[0], targets[0])) == pytest.approx(float(out.loss.detach()), rel=1e-6)


def test_of_tags_one_by_one_the_classes_are_the_networks(tmp_path: Path) -> None:
    make, labels, _, _ = CASES["tags"]
    trainer = Trainer(
        make(),
        TrainingArguments(**arguments(tmp_path, Job(), save_strategy="no")),
        train_dataset=datasets.Dataset.from_dict({"input_ids": TOKENS, "labels": labels}),
        data_collator=padded,
    )
    tm.attach(trainer, tmp_path / "d", ids=IDS, per="token")
    trainer.train()
    dynamics = tm.Dynamics.open(tmp_path / "d")
    assert (dynamics.kind, dynamics.classes) == ("classes", 4)
    assert dynamics.examples == sum(label != -100 for row in labels for label in row)


class Renamed(BertForSequenceClassification):
    """A network that has another name for its labels."""

    def forward(self, input_ids: Any = None, attention_mask: Any = None, target: Any = None, **more: Any) -> Any:
        return super().forward(input_ids=input_ids, attention_mask=attention_mask, labels=target)


def test_labels_under_another_name_are_told_with_how_to_say_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def renamed(items: list[dict[str, Any]]) -> dict[str, Any]:
        batch = padded(items)
        return {("target" if name == "labels" else name): value for name, value in batch.items()}

    trainer = Trainer(
        bert(Renamed, num_labels=2),
        TrainingArguments(**arguments(tmp_path, Job(), save_strategy="no"), remove_unused_columns=False),
        train_dataset=datasets.Dataset.from_dict({"input_ids": TOKENS, "labels": [len(t) % 2 for t in TOKENS]}),
        data_collator=renamed,
    )
    tm.attach(trainer, tmp_path / "d", ids=IDS)
    trainer.train()
    assert caplog.text.count("say TrainingArguments(label_names=") == 1
