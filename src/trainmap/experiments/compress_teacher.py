"""The teacher of a demo made smaller, beside the teacher as it was, in one table: a task in the demo's folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trainmap.checksums import read_sealed, write_sealed
from trainmap.compression.measure import Measured
from trainmap.compression.ways import Int8, Int8Onnx, Int8Trained, PruneChannels, Sparsify, Way, check_way
from trainmap.errors import StoreError, TrainmapError, last_line, unknown
from trainmap.experiments.plan.graph import made_at
from trainmap.experiments.runs.folder import PLAN, open_study, tasks_of
from trainmap.experiments.runs.job import Job, result_path
from trainmap.experiments.runs.launch import run_all
from trainmap.experiments.runs.owner import COMPRESSED, changes, check_free
from trainmap.experiments.tasks.compressed_teacher import SIDES, CompressedTeacher
from trainmap.experiments.tasks.draws import Chosen
from trainmap.experiments.tasks.map import Map
from trainmap.experiments.tasks.place import Place
from trainmap.experiments.tasks.task import Task
from trainmap.experiments.tasks.teacher import Teacher
from trainmap.files import reading, writing
from trainmap.selection.words import parse
from trainmap.typed import as_type

TABLE = "result.json"


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


ORDERS: Mapping[str, tuple[str, Callable[[Order], Way]]] = {
    "channels": ("prune-channels", lambda order: PruneChannels(order.amount, finetune_epochs=order.epochs)),
    "zeros": ("sparsify", lambda order: Sparsify(order.amount, finetune_epochs=order.epochs)),
    "int8": ("int8", lambda order: Int8()),
    "int8-trained": ("int8-trained", lambda order: Int8Trained(finetune_epochs=order.epochs)),
    "int8-onnx": ("int8-onnx", lambda order: Int8Onnx()),
}
"""What the verb calls each of ``trainmap.compression.ways.WAYS``, and how an order says its options."""


def compress_teacher(demo: str | Path, out: str | Path, order: Order, data_root: str | None = None) -> list[Measured]:
    """Compress the teacher of a demo folder, or of an experiment's that has one teacher and one map.

    The map that chooses the examples is the teacher's own. It is done once: the same order finds it in the folder.
    ``out`` gets ``compressed.pt``, ``.pt2`` or ``.onnx``, the table as ``result.json``, and the predictions on the test
    data before and after, for ``trainmap forgets``.

    Args:
        demo: what ``trainmap demo --out`` made.
        out: folder for the results.
        order: what to do.
        data_root: where the data is, as for the demo.

    Returns:
        The rows of the table: the teacher, and what became of it.

    Raises:
        StoreError: ``out`` holds what another order made, or something else that would be written over.
        TrainmapError: no demo with a trained teacher, other data than the teacher's, an unknown way; it cannot be done.
    """
    if order.way not in ORDERS:
        raise unknown("way to compress", order.way, ORDERS)
    folder, target = Path(demo).resolve(), Path(out)
    _check_same(folder, target, order)
    teacher, datamap = teacher_of(Path(demo))
    task = _task(order, teacher, datamap, data_root)
    if task.selection is not None:
        _do(task.selection, folder, data_root)
    result = _do(task, folder, data_root)
    target.mkdir(parents=True, exist_ok=True)
    for name in (result["file"], *(f"{side}.parquet" for side in SIDES)):
        with writing(target / name) as handle:
            handle.write((made_at(folder, task.what, task.hash) / name).read_bytes())
    rows = [{**row, "name": "teacher" if at == 0 else order.way} for at, row in enumerate(result["rows"])]
    write_sealed(target / TABLE, {"order": asdict(order), "teacher": folder.name, **result, "rows": rows})
    return [as_type(Measured, row, target / TABLE, "compress again") for row in rows]


def teacher_of(demo: Path) -> tuple[Teacher, Map]:
    """The trained teacher of a demo's folder, and its map.

    Raises:
        TrainmapError: there is none, more than one, or it is not trained yet.
    """
    if (demo / "teacher" / "plan.json").is_file():
        raise TrainmapError(f"{demo} is a demo of trainmap 0.1; make one in another folder: trainmap demo --out DIR")
    if not (demo / PLAN).is_file():
        raise TrainmapError(f"{demo} has no trained teacher; make one: trainmap demo --out {demo}")
    study = open_study(demo)
    for kind in ("teacher", "map"):
        if (count := sum(entry.kind == kind for entry in study.entries)) != 1:
            raise TrainmapError(f"the experiment in {demo} must have one {kind} to compress, has {count}")
    tasks = tasks_of(study).values()
    teacher = next(task for task in tasks if isinstance(task, Teacher))
    datamap = next(task for task in tasks if isinstance(task, Map))
    if not all(result_path(demo / "runs", task.hash).exists() for task in (teacher, datamap)):
        raise TrainmapError(f"the teacher of {demo} is not ready; call trainmap demo --out {demo} again to go on")
    return teacher, datamap


def _task(order: Order, teacher: Teacher, datamap: Map, data_root: str | None) -> CompressedTeacher:
    method, way = ORDERS[order.way]
    check_way(method, teacher.model)
    chosen = None
    if any(part.what != "all" for part in parse(order.spec).parts):
        count = sum(parse(order.spec).sizes(len(teacher.data.load(data_root).train)))
        chosen = Chosen(count=count, spec=order.spec).needs(datamap, order.seed)["selection"]
    compress = {"method": method, **vars(way(order))}
    return CompressedTeacher.model_validate(
        {"teacher": teacher, "compress": compress, "selection": chosen, "seed": order.seed}
    )


def _do(task: Task, folder: Path, data_root: str | None) -> dict[str, Any]:
    """A task in the demo's folder, unless it is done; what it comes after is there."""
    others = {role: made_at(folder, other.what, other.hash) for role, other in task.needs().items()}
    place = Place(made_at(folder, task.what, task.hash), others, data_root=data_root)
    (outcome,) = run_all([Job(task.what, task, place)], folder / "runs", jobs=1)
    if outcome.result is None:
        kind, _, said = last_line(outcome.error).partition(": ")
        raise TrainmapError(said if kind.startswith("trainmap.") else f"{kind}: {said}")
    return outcome.result


def _check_same(demo: Path, target: Path, order: Order) -> None:
    """A folder holds one compressed network: the same order is done again, another one wants another folder."""
    check_free(target, TABLE, COMPRESSED)
    path = target / TABLE
    if not path.exists():
        return
    with reading(path, "compressed network", "choose another folder"):
        about = read_sealed(path, "compressed network", "choose another folder")
        before = {"teacher": about["teacher"], **about["order"]}
    what = {"teacher": demo.name, **asdict(order)}
    if changed := changes(before, what):
        raise StoreError(f"{target} holds a compressed network with {changed}; choose another folder")
