"""The teacher of a demo made smaller: by the ways of the grids, beside the teacher as it was, in one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import nn

from trainmap.checksums import check_folder, read_sealed, write_sealed
from trainmap.compression.compressed import uncompressed
from trainmap.compression.measure import Measured, measure
from trainmap.compression.network_files import save, suffix
from trainmap.compression.ways import Int8, Int8Onnx, Int8Trained, PruneChannels, Sparsify, Way
from trainmap.data.dataset import Splits
from trainmap.errors import StoreError, TrainmapError, shown, unknown
from trainmap.evaluation.predictions import Predictions
from trainmap.experiments.runs.folder import PLAN, Entry, Study, made, open_study, tasks_of
from trainmap.experiments.runs.job import result_path
from trainmap.experiments.runs.owner import COMPRESSED, check_free
from trainmap.experiments.tasks.place import MAP
from trainmap.experiments.tasks.teacher import Teacher
from trainmap.files import reading
from trainmap.maps.datamap import DataMap
from trainmap.models.predict import predict
from trainmap.selection.select import select
from trainmap.training.recipes import Recipe


@dataclass(frozen=True)
class Order:
    """What is to be done.

    Attributes:
        way: a key of ``ORDERS``.
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
    """Compress the teacher of a demo folder, or of an experiment's that has one teacher and one map.

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
    if order.way not in ORDERS:
        raise unknown("way to compress", order.way, ORDERS)
    folder, target = Path(demo), Path(out)
    _check_same(folder, target, order)
    model, data, recipe, datamap = teacher_of(folder, data_root)
    train = data.train
    if order.spec != "100%":
        train = train.subset(select(DataMap.open(datamap), order.spec, seed=order.seed).ids)
    original = uncompressed(model, train.inputs, "teacher")
    made = ORDERS[order.way](order).make(original, train, recipe, order.seed, "cpu")
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


def teacher_of(demo: Path, data_root: str | None) -> tuple[nn.Module, Splits, Recipe, Path]:
    """The trained teacher of a demo's folder, its data, the recipe that it was trained by, and the file of its map.

    Raises:
        TrainmapError: there is none, it is not trained yet, other data than its own.
    """
    if not (demo / PLAN).is_file():
        raise TrainmapError(f"{demo} has no trained teacher; make one: trainmap demo --out {demo}")
    study = open_study(demo)
    teacher, datamap = (_only(study, kind, demo) for kind in ("teacher", "map"))
    if not all(result_path(demo / "runs", entry.hash).exists() for entry in (teacher, datamap)):
        raise TrainmapError(f"the teacher of {demo} is not ready; call trainmap demo --out {demo} again to go on")
    check_folder(made(demo, teacher))
    task = tasks_of(study)[teacher.hash]
    assert isinstance(task, Teacher)
    data = task.data.load(data_root)
    network = task.network(made(demo, teacher), data.train)
    return network.eval(), data, task.recipe, made(demo, datamap) / MAP


def _only(study: Study, kind: str, folder: Path) -> Entry:
    found = [entry for entry in study.entries if entry.kind == kind]
    if len(found) != 1:
        raise TrainmapError(f"the experiment in {folder} must have one {kind} to compress, has {len(found)}")
    return found[0]


ORDERS: Mapping[str, Callable[[Order], Way]] = {
    "channels": lambda order: PruneChannels(order.amount, finetune_epochs=order.epochs),
    "zeros": lambda order: Sparsify(order.amount, finetune_epochs=order.epochs),
    "int8": lambda order: Int8(),
    "int8-trained": lambda order: Int8Trained(finetune_epochs=order.epochs),
    "int8-onnx": lambda order: Int8Onnx(),
}
