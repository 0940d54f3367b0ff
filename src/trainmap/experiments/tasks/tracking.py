"""The epochs of a run as they come: a CSV file always, TensorBoard and Weights & Biases where they are asked for."""

from __future__ import annotations

import csv
import io
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from trainmap.errors import StoreError, TrainmapError
from trainmap.files import read_text, reading, writing

CHECK = "crc32"  # the last column
Log = Callable[[int, Mapping[str, float]], None]  # (epoch, name -> number)


@contextmanager
def track(name: str, config: Mapping[str, Any], folder: Path, settings: Mapping[str, Any]) -> Iterator[Log]:
    """A function that sends an epoch's numbers to every place asked for.

    Args:
        name: of the run, as people call it.
        config: of the run; W&B keeps it.
        folder: of the whole experiment; gets ``tensorboard/`` and ``wandb/``.
        settings: ``tensorboard`` (bool), ``wandb`` (None, or ``project`` and ``mode``).

    Raises:
        TrainmapError: a tracker that is not installed.
    """
    with ExitStack() as open_:
        logs: list[Log] = []
        if settings.get("tensorboard"):
            logs.append(open_.enter_context(_tensorboard(name, folder)))
        if settings.get("wandb"):
            logs.append(open_.enter_context(_wandb(name, config, folder, **settings["wandb"])))

        def log(epoch: int, values: Mapping[str, float]) -> None:
            for one in logs:
                one(epoch, values)

        yield log


@contextmanager
def _tensorboard(name: str, folder: Path) -> Iterator[Log]:
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError as error:
        raise TrainmapError("tracking.tensorboard needs TensorBoard: pip install 'trainmap[track]'") from error
    writer = SummaryWriter(str(folder / "tensorboard" / name.replace("/", "_")))

    def log(epoch: int, values: Mapping[str, float]) -> None:
        for key, value in values.items():
            writer.add_scalar(key, value, epoch)

    try:
        yield log
    finally:
        writer.close()


@contextmanager
def _wandb(name: str, config: Mapping[str, Any], folder: Path, project: str, mode: Any) -> Iterator[Log]:
    try:
        import wandb
    except ImportError as error:
        raise TrainmapError("tracking.wandb needs W&B: pip install 'trainmap[track]'") from error
    folder.mkdir(parents=True, exist_ok=True)
    settings = wandb.Settings(silent=True, console="off", disable_git=True, x_disable_stats=True)
    run = wandb.init(
        project=project,
        name=name,
        config=dict(config),
        dir=str(folder),
        mode=mode,
        reinit="create_new",
        settings=settings,
    )
    code = 1
    try:
        yield lambda epoch, values: run.log({"epoch": epoch, **values})
        code = 0
    finally:
        run.finish(exit_code=code)


def write_epochs(path: Path, rows: list[dict[str, float]]) -> None:
    """The epochs of a run as CSV, whole or not at all; each row ends with its CRC-32: a run that goes on reads them."""
    names = list(dict.fromkeys(key for row in rows for key in row))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*names, CHECK])
    for follow, row in zip(reversed(range(len(rows))), rows, strict=True):
        cells = [str(row.get(name, "")) for name in names]
        writer.writerow([*cells, _crc32(names, cells, follow)])
    with writing(path) as handle:
        handle.write(out.getvalue().encode())


def read_epochs(path: Path) -> list[dict[str, float]]:
    """What ``write_epochs`` wrote; nothing when there is no such file. That of 0.1 has no checksums.

    Raises:
        StoreError: it is damaged.
    """
    if not path.exists():
        return []
    cure = "remove the folder of the run to begin it anew"
    text = read_text(path, "table of epochs", cure)
    with reading(path, "table of epochs", cure):
        names, *rows = csv.reader(io.StringIO(text, newline=""))
        last = enumerate(reversed(rows))
        sealed = bool(rows) and all(row[-1] == _crc32(names[:-1], row[:-1], follow) for follow, row in last)
        if not rows or any(len(row) != len(names) for row in rows) or sealed != (names[-1] == CHECK):
            raise StoreError(f"{path} is damaged: a row does not match its checksum; {cure}")
        names = names[:-1] if sealed else names
        found = [{name: float(cell) for name, cell in zip(names, row, strict=False) if cell != ""} for row in rows]
        if any("epoch" not in row for row in found):
            raise StoreError(f"{path} is damaged: a row has no epoch; {cure}")
        return found


def _crc32(names: list[str], cells: list[str], follow: int) -> str:
    """Of a row that so many follow, so that none is lost at the end."""
    return f"{zlib.crc32(json.dumps([names, cells, follow]).encode()):08x}"
