"""What a network of Transformers says in a training step, as a Recorder takes it, for each kind of supervision."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trainmap.errors import TrainmapError, some


@dataclass(frozen=True)
class Reading:
    """How outputs are read.

    Attributes:
        recorder: what the ``Recorder`` is told, by the network's own configuration.
        log_probs: the output holds the log-probability of each gold token and says which count (TRL).
        labels: the keys under which a batch may have its labels, the first that it has.
    """

    recorder: Mapping[str, Any] = field(default_factory=dict)
    log_probs: bool = False
    labels: tuple[str, ...] = ("labels", "label", "label_ids")

    def wanted(self, output: Any) -> bool:
        return not self.log_probs or hasattr(output, "log_probs")

    def read(self, inputs: Mapping[str, Any], output: Any) -> tuple[Any, Any]:
        """(outputs, targets) for ``Recorder.update``; targets None where the batch has none."""
        if self.log_probs:
            return rows_of(output.log_probs.detach(), output.label_mask, inputs)
        labels = next((inputs[key] for key in self.labels if inputs.get(key) is not None), None)
        return logits_of(output).detach(), labels


def rows_of(log_probs: Any, mask: Any, inputs: Mapping[str, Any]) -> tuple[Any, Any]:
    """(B, T) log-probabilities and mask, where a batch without padding has them one after another in (1, S)."""
    ends, longest = inputs.get("cu_seq_lens_q"), inputs.get("max_length_q")
    if ends is None or longest is None:
        return log_probs, mask
    row = inputs["seq_idx"][0, -log_probs.shape[1] :].long()  # of the token that is foretold
    place = inputs["position_ids"][0, -log_probs.shape[1] :].long()
    made = log_probs.new_zeros(len(ends) - 1, longest), mask.new_zeros(len(ends) - 1, longest)
    for rows, values in zip(made, (log_probs, mask), strict=True):
        rows[row, place] = values[0]
    return made


def logits_of(output: Any) -> Any:
    """The logits of what a network returns.

    Raises:
        TrainmapError: there are none to be found.
    """
    found = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    if found is not None:
        return found
    if isinstance(output, tuple | list):
        for part in output:  # (loss, logits, ...) where labels were given, (logits, ...) otherwise
            if getattr(part, "ndim", 0) >= 1:
                return part
    if getattr(output, "ndim", 0) >= 2:
        return output
    has = some(output, 10) if isinstance(output, Mapping) else type(output).__name__
    raise TrainmapError(f"the network must return its logits under 'logits', got {has}")


def reading_of(trainer: Any, per: Any = None) -> Reading:
    """How the outputs of a Trainer's network are read, by its kind and configuration (``per`` is the recorder's)."""
    labels = tuple(dict.fromkeys([*(trainer.label_names or ()), "labels", "label", "label_ids"]))
    if is_a(trainer, "SFTTrainer"):
        return Reading({"kind": "tokens", "as_": "log_probs"}, log_probs=True, labels=labels)
    model = trainer.accelerator.unwrap_model(trainer.model)
    model = model.get_base_model() if hasattr(model, "get_base_model") else model  # an adapter of PEFT around it
    config, name = getattr(model, "config", None), type(model).__name__
    decodes_alone = not getattr(config, "is_encoder_decoder", False)  # so do most that see and speak
    if re.search(r"ForCausalLM|(?<!With)(?<!XLNet)LMHeadModel", name) or (
        "ForConditionalGeneration" in name and decodes_alone
    ):
        return Reading({"kind": "tokens", "shift": True}, labels=labels)
    if re.search(
        r"ForTokenClassification|ForMaskedLM|ForConditionalGeneration|ForPreTraining|LMHeadModel|EncoderDecoder", name
    ):
        named = per == "token" and getattr(config, "num_labels", None) is not None
        return Reading({"kind": "tokens", **({"classes": class_names(config)} if named else {})}, labels=labels)
    count, problem = getattr(config, "num_labels", None), getattr(config, "problem_type", None)
    if problem is None and "ForSequenceClassification" in name and _of_several(trainer, labels, count):
        problem = "multi_label_classification"
    if problem == "regression" or (count == 1 and problem is None):
        return Reading({"kind": "regression"}, labels=labels)
    told: dict[str, Any] = {} if count is None else {"classes": class_names(config)}
    if problem == "multi_label_classification":
        told["kind"] = "multilabel"
    return Reading(told, labels=labels)


def _of_several(trainer: Any, names: tuple[str, ...], count: int | None) -> bool:
    """Whether Transformers will take labels for several an example: where nobody says which problem it is, floats, one
    for each output."""
    dataset = trainer.train_dataset
    if trainer.compute_loss_func is not None or not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        return False
    item = dataset[0] if len(dataset) else None
    if not isinstance(item, Mapping):
        return False
    labels: Any = next((item[name] for name in names if item.get(name) is not None), None)
    if hasattr(labels, "tolist"):
        labels = labels.tolist()
    return isinstance(labels, list) and len(labels) == count and all(isinstance(one, float) for one in labels)


def class_names(config: Any) -> Any:
    """The names of the classes where the configuration has given them any, else how many there are."""
    names = [config.id2label.get(number) for number in range(config.num_labels)]
    made_up = any(name is None or re.fullmatch(r"LABEL_\d+", str(name)) for name in names)
    return config.num_labels if made_up or len(set(names)) < len(names) else [str(name) for name in names]


def is_a(value: Any, name: str) -> bool:
    """Whether a value's class, or one that it derives from, has this name; nothing is imported."""
    return any(base.__name__ == name for base in type(value).__mro__)
