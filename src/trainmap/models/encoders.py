"""Pretrained text encoders of the Hugging Face kind, with a new classifier: ``hf-encoder:PATH``.

A name is ``hf-encoder:PATH``, or ``hf-encoder:PATH@3`` for the first three layers alone. PATH is a folder that
``save_pretrained`` left, ``owner/name`` on the hub, or an encoder that a package carries
(``trainmap.data.encoder_folders``). An encoder reads its own tokens: the dataset is ``NAME+tokens:PATH``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from trainmap.data.encoder_folders import encoder_folder, needs_transformers, weight_files, weights_fingerprint
from trainmap.data.inputs import Inputs
from trainmap.data.subwords import tokenizer_of
from trainmap.errors import TrainmapError, counted
from trainmap.files import reading
from trainmap.models.sequences import masked_mean, present_tokens

ENCODER = "hf-encoder:"
"""The start of a name."""


class TextEncoder(nn.Module):
    """An encoder, the mean of its last layer over the tokens that are no padding, and a linear layer.

    The features of a text (what the losses on features and the strategies look at) are that mean. A batch is cut to
    its longest text before it is computed; FLOPs are counted at the full length of the dataset's texts, so the count
    is an upper bound.

    Args:
        encoder: gives ``last_hidden_state`` (B, L, D).
        classes: number of logits.
        padding: the encoder's number of the padding, which is 0 in a dataset.
        size: how many numbers its tokens have.
        separator: its number of what ends a text, where it tells the second text of a pair by types; None where not.

    Source: Devlin et al. 2019, arXiv:1810.04805, section 3.2 (fine-tuning; all weights are trained).
    Differs: the mean in place of the first token (Reimers and Gurevych 2019, arXiv:1908.10084, section 3: as good or
    better, and what sentence encoders were trained with); no dropout, so that what an epoch does follows from the
    seed and its number alone.
    """

    def __init__(self, encoder: nn.Module, classes: int, padding: int, size: int, separator: int | None) -> None:
        super().__init__()
        config: Any = encoder.config
        self.encoder, self.padding, self.size, self.separator = encoder, padding, size, separator
        self.head = nn.Linear(config.hidden_size, classes)
        nn.init.normal_(self.head.weight, std=getattr(config, "initializer_range", 0.02))
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L) int64 tokens, 0 for padding → (B, classes)."""
        if not (x.is_meta or torch.compiler.is_compiling()):  # a graph has one length, and a meta tensor no values
            x = x[:, : max(1, int((x != 0).any(dim=0).sum()))]
        present = present_tokens(x)
        told: dict[str, Tensor] = {"input_ids": self._numbers(x)}
        if not x.is_meta:
            told["attention_mask"] = present.long()
        if self.separator is not None:
            ends = told["input_ids"] == self.separator
            told["token_type_ids"] = ((ends.cumsum(1) - ends.long()).clamp(max=1) * present).long()
        return self.head(masked_mean(self.encoder(**told).last_hidden_state, present))

    def _numbers(self, x: Tensor) -> Tensor:
        """Tokens as the encoder numbers them."""
        return (x + self.padding) % self.size if self.padding else x


def is_encoder(name: str) -> bool:
    """Whether a model's name is that of a pretrained text encoder."""
    return name.startswith(ENCODER)


def path_and_layers(name: str) -> tuple[str, int | None]:
    """``hf-encoder:bert@3`` → bert, 3; None for all layers."""
    told = name.removeprefix(ENCODER)
    path, at, layers = told.rpartition("@")
    return (path, int(layers)) if at and re.fullmatch("[0-9]{1,4}", layers) else (told, None)


def encoder_weights(name: str) -> str:
    """The fingerprint of the weights that a model starts from; "" for a model that is no encoder.

    Raises:
        TrainmapError: no such encoder, or one without weights.
    """
    return weights_fingerprint(path_and_layers(name)[0]) if is_encoder(name) else ""


def check_encoder(name: str, inputs: Inputs) -> None:
    """Refuse what is no encoder, has too few layers, or reads other tokens than these.

    Raises:
        TrainmapError: with what to do.
    """
    _config(name)
    path, _ = path_and_layers(name)
    if inputs.form != "tokens":
        raise TrainmapError(f"{name} reads texts, got {inputs}")
    suffix = f"+tokens:{path}"
    if not inputs.tokenizer:
        raise TrainmapError(f"{name} reads its own tokens, not words: name the dataset with {suffix} at its end")
    if inputs.tokenizer != tokenizer_of(path).word:
        raise TrainmapError(
            f"{name} reads its own tokens, and these are another tokenizer's: name the dataset with {suffix} at its "
            "end. The networks of one experiment must share a tokenizer"
        )


def build_encoder(name: str, classes: int, inputs: Inputs, weights: bool) -> nn.Module:
    """The network of a name that ``check_encoder`` has let through, with the encoder's own weights or random ones in
    their place.

    Raises:
        TrainmapError: weights that are missing or do not fit.
    """
    path, _ = path_and_layers(name)
    folder, config, tokenizer = encoder_folder(path), _config(name), tokenizer_of(path)
    longest = getattr(config, "max_position_embeddings", None) or inputs.shape[0]
    if inputs.shape[0] > longest or tokenizer.size > config.vocab_size:
        raise TrainmapError(
            f"{name} takes {longest} tokens of {config.vocab_size:,} at most, got {inputs}; cut the texts with "
            f"+tokens:{path}@{longest}, and give the tokenizer that the encoder was trained with"
        )
    from transformers import AutoModel

    with _quiet():
        if weights:
            weight_files(path)  # that there are any
            with reading(folder, "folder of an encoder with its weights", "save it anew with save_pretrained"):
                encoder, found = AutoModel.from_pretrained(
                    str(folder),
                    config=config,
                    dtype=torch.float32,
                    use_safetensors=True,
                    local_files_only=True,
                    output_loading_info=True,
                )
            lacking = sorted(key for key in found["missing_keys"] if not key.startswith("pooler."))
            if lacking or found["mismatched_keys"]:
                raise TrainmapError(
                    f"the weights of {path} do not fit its config.json: {counted(len(lacking), 'tensor')} missing "
                    f"({', '.join(lacking[:2])}), {len(found['mismatched_keys'])} of another shape; save both anew"
                )
        else:
            encoder = AutoModel.from_config(config)
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None  # a layer on the first token, which nothing here reads
    typed = getattr(config, "type_vocab_size", 0) > 1
    separator = tokenizer.separator if typed else None
    return TextEncoder(encoder, classes, tokenizer.padding, tokenizer.size, separator).train()


def _config(name: str) -> Any:
    """The configuration of an encoder, cut to the layers that are asked for, without dropout."""
    path, layers = path_and_layers(name)
    folder = encoder_folder(path)
    try:
        from transformers import MODEL_FOR_MASKED_LM_MAPPING, AutoConfig
    except ImportError as error:
        raise TrainmapError(needs_transformers()) from error
    with _quiet(), reading(folder, "configuration of a text encoder", "save it anew"):
        config: Any = AutoConfig.from_pretrained(str(folder), local_files_only=True)
    kind = getattr(config, "model_type", "?")
    decodes = getattr(config, "is_decoder", False) or getattr(config, "is_encoder_decoder", False)
    if type(config) not in MODEL_FOR_MASKED_LM_MAPPING or decodes:
        raise TrainmapError(
            f"{path} must be a text encoder (BERT and its kin: a masked language model), got a network of kind "
            f"'{kind}'" + (" that decodes" if decodes else "")
        )
    if layers is not None:
        if not 1 <= layers <= config.num_hidden_layers:
            raise TrainmapError(f"{path} has {config.num_hidden_layers} layers, got @{layers}")
        config.num_hidden_layers = layers
        if isinstance(getattr(config, "layer_types", None), list):
            config.layer_types = config.layer_types[:layers]
    for field, value in config.to_dict().items():
        if ("dropout" in field or field.endswith("_drop")) and isinstance(value, float):
            setattr(config, field, 0.0)
    return config


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bars and tables that transformers writes while it loads."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
