"""Compress the teacher that a demo folder keeps: read it, make it smaller, judge it, keep it with its predictions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from torch import nn

from trainmap.checksums import read_sealed, write_sealed
from trainmap.compression.measure import Compressed, Measured, finetune, measure, uncompressed
from trainmap.compression.network_files import save, suffix
from trainmap.compression.onnx_files import quantize_onnx
from trainmap.compression.pruning import prune_channels
from trainmap.compression.quantization import quantize, train_quantized
from trainmap.compression.sparsity import sparsify
from trainmap.data.dataset import Dataset, Splits
from trainmap.errors import StoreError, TrainmapError, shown, unknown
from trainmap.evaluation.predictions import Predictions
from trainmap.experiments.demo import Taught, held
from trainmap.experiments.plan import SPLIT_SEED, TEACHER_SEED
from trainmap.experiments.runs.owner import COMPRESSED, check_free
from trainmap.experiments.student import splits
from trainmap.files import is_file, reading
from trainmap.maps.datamap import DataMap
from trainmap.models.build import build
from trainmap.models.predict import predict
from trainmap.selection.select import select
from trainmap.training.checkpoint import read as read_checkpoint
from trainmap.training.fit import default_recipe
from trainmap.training.recipes import Recipe
from trainmap.typed import as_type

CALIBRATION = 512


@dataclass(frozen=True)
class Order:
    """What is to be done.

    Attributes:
        way: a key of ``WAYS``.
        amount: share of the channels or weights that go, 0 to 1; for 8 bits it has no meaning.
        spec: which examples to tune or calibrate on, in the language of ``select``.
        epochs: of tuning, at half the peak rate of the teacher's recipe (a tenth for training with rounding).
        seed: of everything random.
    """

    way: str
    amount: float = 0.5
    spec: str = "100%"
    epochs: int = 2
    seed: int = 0


def compress_teacher(demo: str | Path, out: str | Path, order: Order, data_root: str | None = None) -> list[Measured]:
    """Compress the teacher of a demo folder.

    The map that chooses the examples is the teacher's own. ``out`` gets ``compressed.pt``, ``.pt2`` or ``.onnx``, the
    table as ``result.json``, and the predictions on the test data before and after, for ``trainmap forgets``.

    Args:
        demo: what ``trainmap demo --out`` made.
        out: folder for the results.
        order: what to do.
        data_root: where the data is, as for the demo.

    Returns:
        The rows of the table: the teacher, and what became of it.

    Raises:
        StoreError: ``out`` holds what another order made, or something else that would be written over.
        TrainmapError: no demo with a trained teacher, other data than the teacher's, an unknown way.
    """
    if order.way not in WAYS:
        raise unknown("way to compress", order.way, WAYS)
    folder, target = Path(demo), Path(out)
    _check_same(folder, target, order)
    model, data, recipe = teacher_of(folder, data_root)
    train = data.train
    if order.spec != "100%":
        train = train.subset(select(DataMap.open(folder / "map.parquet"), order.spec, seed=order.seed).ids)
    original = uncompressed(model, train.inputs, "teacher")
    made = WAYS[order.way](original, train, replace(recipe, epochs=order.epochs), order)
    rows = measure({"teacher": original, order.way: made}, data.test)
    target.mkdir(parents=True, exist_ok=True)
    kept = save(made, target / f"compressed{suffix(made.model)}", train.inputs)
    for name, one in (("before", original), ("after", made)):
        predicted = predict(one.model, data.test).argmax(axis=1)
        Predictions.of(data.test.ids, data.test.y, predicted).save(target / f"{name}.parquet")
    about = {"order": asdict(order), "teacher": folder.name, "file": kept.name, "numbers": dict(made.numbers)}
    write_sealed(target / "result.json", about | {"rows": [asdict(row) for row in rows]})
    return rows


def _check_same(demo: Path, target: Path, order: Order) -> None:
    """A folder holds one compressed network: the same order is done again, another one wants another folder."""
    check_free(target, "result.json", COMPRESSED)
    path = target / "result.json"
    if not path.exists():
        return
    with reading(path, "compressed network", "choose another folder"):
        about = read_sealed(path, "compressed network", "choose another folder")
        before = {"teacher": about["teacher"], **about["order"]}
    what = {"teacher": demo.name, **asdict(order)}
    changed = [
        f"{key} {shown(before.get(key))}, now {shown(value)}" for key, value in what.items() if before.get(key) != value
    ]
    if changed:
        raise StoreError(f"{target} holds a compressed network with {'; '.join(changed)}; choose another folder")


def teacher_of(demo: Path, data_root: str | None) -> tuple[nn.Module, Splits, Recipe]:
    """The trained teacher of a demo folder, its data, and the recipe that it was trained by."""
    about, checkpoint = demo / "teacher" / "plan.json", demo / "teacher" / "checkpoint.pt"
    if not (is_file(about) and is_file(checkpoint)):
        raise TrainmapError(f"{demo} has no trained teacher; make one: trainmap demo --out {demo}")
    plan: Taught = as_type(Taught, held(about), about, "make the demo again")
    state = read_checkpoint(checkpoint)
    if state["progress"]["epoch"] < plan.epochs:
        raise TrainmapError(f"the teacher of {demo} is not ready; call trainmap demo --out {demo} again to go on")
    data = splits(plan.data, data_root, SPLIT_SEED)
    if data.train.fingerprint() != plan.dataset:
        raise TrainmapError(f"the data of {plan.data} is not what the teacher of {demo} was trained on")
    model = build(plan.teacher, data.train.classes, data.train.inputs, TEACHER_SEED)
    with reading(checkpoint, "checkpoint of this teacher", "make the demo again"):
        model.load_state_dict(state["model"])
    return model.eval(), data, default_recipe(plan.teacher, plan.data, epochs=plan.epochs)


def _channels(original: Compressed, train: Dataset, recipe: Recipe, order: Order) -> Compressed:
    pruned = prune_channels(original.model, train.inputs, order.amount)
    return finetune(pruned, train, replace(recipe, peak_lr=recipe.peak_lr / 2), seed=order.seed)


def _zeros(original: Compressed, train: Dataset, recipe: Recipe, order: Order) -> Compressed:
    slower = replace(recipe, peak_lr=recipe.peak_lr / 2)
    return sparsify(original.model, train, slower, order.amount, seed=order.seed)


def _trained_int8(original: Compressed, train: Dataset, recipe: Recipe, order: Order) -> Compressed:
    return train_quantized(original.model, train, replace(recipe, peak_lr=recipe.peak_lr / 10), seed=order.seed)


def _int8(original: Compressed, train: Dataset, recipe: Recipe, order: Order) -> Compressed:
    return quantize(original.model, _some(train, order.seed))


def _onnx(original: Compressed, train: Dataset, recipe: Recipe, order: Order) -> Compressed:
    return quantize_onnx(original.model, _some(train, order.seed))


def _some(train: Dataset, seed: int) -> Dataset:
    """At most ``CALIBRATION`` of the examples, at random."""
    return train.subset(np.random.default_rng(seed).permutation(np.sort(train.ids))[:CALIBRATION])


WAYS: dict[str, Callable[[Compressed, Dataset, Recipe, Order], Compressed]] = {
    "channels": _channels,
    "zeros": _zeros,
    "int8": _int8,
    "int8-trained": _trained_int8,
    "int8-onnx": _onnx,
}
