from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainmap.data.dataset import Dataset
from trainmap.data.inputs import Inputs
from trainmap.distillation import cache as teacher
from trainmap.distillation.cache import fingerprint, read_card, teacher_logits
from trainmap.errors import StoreError, TrainmapError
from trainmap.models.build import build
from trainmap.models.cost import forward_flops
from trainmap.models.predict import predict, predict_pairs


def images(n: int = 12) -> Dataset:
    x = np.random.default_rng(0).integers(0, 256, (n, 1, 8, 8)).astype(np.uint8)
    return Dataset("made", np.arange(n, dtype=np.int64), x, np.arange(n, dtype=np.int64) % 3, 3)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The name of every dataset that the teacher predicted."""
    seen: list[str] = []

    def watched(model: torch.nn.Module, dataset: Dataset, *args: object, **kwargs: object) -> np.ndarray:
        seen.append(dataset.name)
        return predict(model, dataset)

    monkeypatch.setattr(teacher, "predict", watched)
    return seen


def test_the_logits_are_the_teachers_in_half_precision_and_memory_mapped(tmp_path: Path) -> None:
    model = build("cnn-8", 3, Inputs.images(1, 8), seed=0)
    kept = teacher_logits(model, images(), tmp_path / "new" / "logits.npy")
    assert isinstance(kept, np.memmap)
    assert not kept.flags.writeable
    np.testing.assert_array_equal(kept, predict(model, images()).astype(np.float16))


def test_with_flips_both_images_are_kept(tmp_path: Path) -> None:
    model = build("cnn-8", 3, Inputs.images(1, 8), seed=0)
    kept = teacher_logits(model, images(), tmp_path / "logits.npy", flips=True)
    np.testing.assert_array_equal(kept, predict_pairs(model, images()).astype(np.float16))


def test_a_second_student_reuses_the_logits(tmp_path: Path, computed: list[str]) -> None:
    for _ in range(3):
        kept = teacher_logits(build("cnn-8", 3, Inputs.images(1, 8), seed=0), images(), tmp_path / "logits.npy")
    assert len(computed) == 1
    assert kept.shape == (12, 3)


def test_another_teacher_dataset_order_or_a_lost_card_computes_anew(tmp_path: Path, computed: list[str]) -> None:
    path, model = tmp_path / "logits.npy", build("cnn-8", 3, Inputs.images(1, 8), seed=0)
    teacher_logits(model, images(), path)
    teacher_logits(build("cnn-8", 3, Inputs.images(1, 8), seed=1), images(), path)
    teacher_logits(model, images(), path)
    teacher_logits(model, images(11), path)
    backwards = images(11).subset(np.arange(11)[::-1])
    kept = teacher_logits(model, backwards, path)
    assert len(computed) == 5
    np.testing.assert_array_equal(kept, predict(model, backwards).astype(np.float16))
    (tmp_path / "logits.npy.json").unlink()
    teacher_logits(model, backwards, path)
    assert len(computed) == 6


def test_a_kill_before_the_card_leaves_no_card_beside_another_array(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, one, other = tmp_path / "logits.npy", *(build("cnn-8", 3, Inputs.images(1, 8), seed) for seed in (0, 1))
    expected = np.array(teacher_logits(one, images(), path))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(teacher, "write_sealed", killed)
        with pytest.raises(KeyboardInterrupt):
            teacher_logits(other, images(), path)
    np.testing.assert_array_equal(teacher_logits(one, images(), path), expected)


def test_the_card_says_what_the_logits_cost(tmp_path: Path) -> None:
    model = build("cnn-8", 3, Inputs.images(1, 8), seed=0)
    teacher_logits(model, images(), tmp_path / "logits.npy", flips=True)
    card = read_card(tmp_path / "logits.npy")
    assert card.flops == forward_flops(model, Inputs.images(1, 8)) * 12 * 2
    assert card.teacher == fingerprint(model)
    assert card.seconds > 0


def test_the_fingerprint_sees_weights_buffers_and_structure() -> None:
    model = build("cnn-8", 3, Inputs.images(1, 8), seed=0)
    prints = [fingerprint(model), fingerprint(build("cnn-8", 3, Inputs.images(1, 28), seed=0))]
    norm = next(module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d))
    assert norm.running_mean is not None
    norm.running_mean += 1
    prints.append(fingerprint(model))
    next(model.parameters()).data += 1
    prints.append(fingerprint(model))
    assert len(set(prints)) == 4
    assert fingerprint(build("cnn-8", 3, Inputs.images(1, 8), seed=0)) == prints[0]


def test_logits_that_half_precision_cannot_hold_are_an_error(tmp_path: Path) -> None:
    model = build("mlp-256", 3, Inputs.images(1, 8), seed=0)
    for value in (1e6, float("nan")):
        list(model.parameters())[-1].data[0] = value
        with pytest.raises(TrainmapError, match="within 65504"):
            teacher_logits(model, images(), tmp_path / "logits.npy")
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_is_no_npy_file_and_a_broken_card_are_errors(tmp_path: Path) -> None:
    model = build("mlp-256", 3, Inputs.images(1, 8), seed=0)
    with pytest.raises(TrainmapError, match=r"\.npy"):
        teacher_logits(model, images(), tmp_path / "logits")
    teacher_logits(model, images(), tmp_path / "logits.npy")
    (tmp_path / "logits.npy.json").write_text("{")
    with pytest.raises(TrainmapError, match="card"):
        teacher_logits(model, images(), tmp_path / "logits.npy")


def test_a_killed_call_goes_on_at_its_last_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teacher, "PART", 5)
    model, path, seen = build("cnn-8", 3, Inputs.images(1, 8), seed=0), tmp_path / "logits.npy", []

    def killing(model: torch.nn.Module, dataset: Dataset, device: str = "cpu") -> np.ndarray:
        seen.append(dataset.ids.tolist())
        if len(seen) == 2:
            raise KeyboardInterrupt
        return predict_pairs(model, dataset, device)

    monkeypatch.setattr(teacher, "predict_pairs", killing)
    with pytest.raises(KeyboardInterrupt):
        teacher_logits(model, images(), path, flips=True)
    assert not path.exists()
    first = read_card_of(tmp_path / "logits.npy.partial")
    kept = teacher_logits(model, images(), path, flips=True)
    assert seen == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [5, 6, 7, 8, 9], [10, 11]]
    np.testing.assert_allclose(kept, predict_pairs(model, images()), atol=2e-3)
    assert read_card(path).seconds > first["seconds"] > 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["logits.npy", "logits.npy.json"]


def read_card_of(partial: Path) -> dict[str, float]:
    return json.loads(partial.with_name(f"{partial.name}.json").read_text())


def test_the_parts_of_another_teacher_or_a_torn_card_are_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teacher, "PART", 5)
    path, partial = tmp_path / "logits.npy", tmp_path / "logits.npy.partial.json"
    one, other = (build("cnn-8", 3, Inputs.images(1, 8), seed) for seed in (0, 1))

    def interrupted() -> None:
        parts: list[int] = []

        def killing(model: torch.nn.Module, dataset: Dataset, device: str) -> np.ndarray:
            parts.append(len(dataset))
            if len(parts) == 2:
                raise KeyboardInterrupt
            return predict(model, dataset, device=device)

        with monkeypatch.context() as patch:
            patch.setattr(teacher, "predict", killing)
            with pytest.raises(KeyboardInterrupt):
                teacher_logits(one, images(), path)
        assert json.loads(partial.read_text())["done"] == 5

    for torn in (False, True):
        interrupted()
        if torn:
            partial.write_text("{")
        kept = teacher_logits(other, images(), path)
        np.testing.assert_allclose(kept, predict(other, images()), atol=2e-3)
        path.unlink()


def test_the_size_of_the_parts_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build("mlp-256", 3, Inputs.images(1, 8), seed=0)
    whole = np.array(teacher_logits(model, images(1200), tmp_path / "whole.npy"))
    monkeypatch.setattr(teacher, "PART", 500)
    np.testing.assert_array_equal(teacher_logits(model, images(1200), tmp_path / "parts.npy"), whole)


def test_the_bar_goes_to_the_standard_error_and_only_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = build("mlp-256", 3, Inputs.images(1, 8), seed=0)
    teacher_logits(model, images(), tmp_path / "quiet.npy")
    assert capsys.readouterr() == ("", "")
    teacher_logits(model, images(), tmp_path / "shown.npy", progress=True)
    assert capsys.readouterr().out == ""


def test_kept_logits_with_every_sign_turned_teach_nobody(tmp_path: Path) -> None:
    path, model = tmp_path / "logits.npy", build("cnn-8", 3, Inputs.images(1, 8), seed=0)
    expected = np.array(teacher_logits(model, images(), path))
    kept = np.lib.format.open_memmap(path, "r+")
    kept[:] = -kept
    kept.flush()
    for read in (lambda: teacher_logits(model, images(), path), lambda: teacher.open_logits(path)):
        with pytest.raises(StoreError, match=r"logits\.npy is damaged: its bytes do not match the checksum in"):
            read()
    path.unlink()
    np.testing.assert_array_equal(teacher_logits(model, images(), path), expected)


@pytest.mark.parametrize("name", ["logits.npy.partial", "logits.npy.partial.json"])
def test_a_folder_where_a_file_of_the_cache_is_to_stand_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(StoreError, match=rf"{name} is a folder, a file of the cache is to stand there; remove it"):
        teacher_logits(build("cnn-8", 3, Inputs.images(1, 8), seed=0), images(), tmp_path / "logits.npy")


def test_a_damaged_part_of_a_killed_call_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teacher, "PART", 5)
    path, model = tmp_path / "logits.npy", build("cnn-8", 3, Inputs.images(1, 8), seed=0)
    expected = np.array(teacher_logits(model, images(), tmp_path / "whole.npy"))
    real, calls = teacher.predict, []

    def killing(*args: Any, **how: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **how)

    monkeypatch.setattr(teacher, "predict", killing)
    with pytest.raises(KeyboardInterrupt):
        teacher_logits(model, images(), path)
    kept = np.lib.format.open_memmap(tmp_path / "logits.npy.partial", "r+")
    kept[0] = -kept[0]
    kept.flush()
    np.testing.assert_array_equal(teacher_logits(model, images(), path), expected)
