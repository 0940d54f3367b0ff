"""The verbs import and export: recordings and maps from and to other tools' files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trainmap.cli.arguments import DynamicsPath, MapPath, Verify, say, split
from trainmap.cli.targets import replaceable
from trainmap.errors import TrainmapError, counted
from trainmap.machine import progress

if TYPE_CHECKING:
    from trainmap.dynamics.store import Dynamics

imports = typer.Typer(help="Recordings from other tools' files.", no_args_is_help=True)
exports = typer.Typer(help="Recordings and maps as other tools' files.", no_args_is_help=True)

DynamicsOut = Annotated[Path, typer.Option("--out", metavar="DYNAMICS", help="The dynamics folder to make.")]
FolderOut = Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to write into.")]
FileOut = Annotated[Path, typer.Option("--out", metavar="FILE", help="The file to write; its ending is the format.")]
SourceName = Annotated[
    str, typer.Option(help="What was recorded: train (the training step), sweep (an evaluation), held-out.")
]
WithDynamics = Annotated[Path | None, typer.Option(help="Add each example's trajectory from this recording.")]
Signals = Annotated[str | None, typer.Option(help="Which trajectories, separated by commas.")]


def _holds(made: Dynamics) -> str:
    return f"{counted(made.examples, 'example')}, {counted(made.epochs, 'epoch')}"


@imports.command("allenai")
def import_allenai(
    path: Annotated[Path, typer.Argument(metavar="DIR", help="Has training_dynamics/dynamics_epoch_N.jsonl.")],
    out: DynamicsOut,
    source: SourceName = "train",
    allow_missing: Annotated[bool, typer.Option("--allow-missing", help="Keep guids that some epochs lack.")] = False,
    ignore_fields: Annotated[bool, typer.Option("--ignore-fields", help="Leave out fields besides the three.")] = False,
) -> None:
    """Import the training dynamics of allenai/cartography.

    Example: [bold]trainmap import allenai runs/snli --out dynamics[/bold]
    """
    from trainmap.dynamics.exchange.allenai import epoch_files, import_allenai

    with progress("importing", len(epoch_files(path))) as advance:
        made = import_allenai(
            path,
            out,
            source=source,  # type: ignore[arg-type]
            allow_missing=allow_missing,
            ignore_fields=ignore_fields,
            on_progress=advance,
        )
    say(f"{out}: {_holds(made)}, {counted(made.classes, 'class', 'classes')}")


@imports.command("study")
def import_study(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A ..._training_dynamics.json.")],
    out: DynamicsOut,
    classes: Annotated[int, typer.Option(help="How many classes there are; the file does not say.")],
    datamap: Annotated[Path | None, typer.Option("--map", help="FILE.parquet: the map as well.")] = None,
) -> None:
    """Import a *_training_dynamics.json of the study that trainmap grew from.

    Example: [bold]trainmap import study vit_training_dynamics.json --classes 10 --out dynamics --map map.parquet[/bold]
    """
    from trainmap.dynamics.exchange.study_json import import_study

    if datamap is not None:
        from trainmap.maps.exchange import study_map
        from trainmap.maps.map_file import check_map_name

        if check_map_name(datamap).exists():
            raise TrainmapError(f"{datamap} is there already; an import overwrites nothing: choose another name")
    made = import_study(path, out, classes)
    say(f"{out}: {_holds(made)}")
    if datamap is not None:
        say(f"{study_map(made).save(datamap)}")


@imports.command("pred-probs")
def import_pred_probs(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="pred_probs (E, N, C), labels (N,), ids (N,).")],
    out: DynamicsOut,
    source: SourceName = "sweep",
    floor: Annotated[float | None, typer.Option(help="Raise probabilities below it to it; zeros need one.")] = None,
) -> None:
    """Import predicted probabilities, one array for each epoch, as cleanlab takes them.

    Example: [bold]trainmap import pred-probs epochs.npz --out dynamics[/bold]
    """
    from trainmap.dynamics.exchange.pred_probs import import_pred_probs, read_pred_probs

    made = import_pred_probs(**read_pred_probs(path), out=out, source=source, floor=floor)  # type: ignore[arg-type]
    say(f"{out}: {_holds(made)}, {counted(made.classes, 'class', 'classes')}")


@imports.command("map")
def import_map(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A table of scores: .parquet, .csv or .jsonl.")],
    out: Annotated[Path, typer.Option("--out", metavar="MAP", help="The map to make, FILE.parquet.")],
    epochs: Annotated[int, typer.Option(help="That the scores were made from; the file does not say.")],
    column: Annotated[list[str] | None, typer.Option(help="OURS=THEIRS: id=image, confidence=mean_p, ...")] = None,
    leave_out: Annotated[str | None, typer.Option(help="Columns that are no scores, separated by commas.")] = None,
    source: SourceName = "train",
) -> None:
    """Import a map that was computed elsewhere: td_metrics.jsonl of allenai/cartography, or any table of scores.

    Example: [bold]trainmap import map td_metrics.jsonl --epochs 6 --out map.parquet[/bold]
    """
    from trainmap.maps.any_table import map_from_table
    from trainmap.maps.map_file import check_map_name

    if check_map_name(out).exists():
        raise TrainmapError(f"{out} is there already; an import overwrites nothing: choose another name")
    pairs = [one.partition("=") for one in column or []]
    if wrong := ["".join(one) for one in pairs if not all(one)]:
        raise TrainmapError(f"--column is OURS=THEIRS, such as id=image, got '{wrong[0]}'")
    named = {ours: theirs for ours, _, theirs in pairs}
    made = map_from_table(path, epochs, columns=named, leave_out=split(leave_out) or [], source=source)  # type: ignore[arg-type]
    made.save(out)
    say(f"{out}: {counted(len(made), 'example')}, {', '.join(made.scores)}")


@exports.command("allenai")
def export_allenai(
    dynamics: DynamicsPath,
    out: FolderOut,
    metrics_only: Annotated[bool, typer.Option("--metrics-only", help="td_metrics.jsonl alone: no logits.")] = False,
    verify: Verify = True,
) -> None:
    """Export td_metrics.jsonl and training_dynamics/ as allenai/cartography has them.

    Example: [bold]trainmap export allenai dynamics --out runs/snli[/bold]
    """
    from trainmap.dynamics.store import Dynamics
    from trainmap.maps.exchange import METRICS, export_allenai

    replaceable(out / METRICS, METRICS)
    recording = Dynamics.open(dynamics, verify=verify)
    with progress("exporting", 0 if metrics_only else recording.epochs) as advance:
        written = export_allenai(recording, out, metrics_only, advance)
    say(", ".join(map(str, written)))


@exports.command("study")
def export_study(dynamics: DynamicsPath, out: FileOut, verify: Verify = True) -> None:
    """Export a *_training_dynamics.json as the study that trainmap grew from has it.

    Example: [bold]trainmap export study dynamics --out vit_training_dynamics.json[/bold]
    """
    from trainmap.dynamics.exchange.study_json import export_study
    from trainmap.dynamics.store import Dynamics

    replaceable(out, "a recording as the study has it")
    say(f"{export_study(Dynamics.open(dynamics, verify=verify), out)}")


@exports.command("pred-probs")
def export_pred_probs(
    dynamics: DynamicsPath,
    out: FileOut,
    epoch: Annotated[int | None, typer.Option(help="Of one epoch, from 0; the mean over all by default.")] = None,
    verify: Verify = True,
) -> None:
    """Export labels and pred_probs for cleanlab (.npz); needs logits.

    Example: [bold]trainmap export pred-probs dynamics --out pred_probs.npz[/bold]
    """
    from trainmap.dynamics.exchange.pred_probs import export_pred_probs
    from trainmap.dynamics.store import Dynamics

    replaceable(out, "pred_probs")
    say(f"{export_pred_probs(Dynamics.open(dynamics, verify=verify), out, epoch)}")


@exports.command("table")
def export_table(
    dynamics: DynamicsPath,
    out: FileOut,
    signals: Annotated[str | None, typer.Option(help="Names, separated by commas; all but logits by default.")] = None,
    verify: Verify = True,
) -> None:
    """Export one long Parquet table: a row for each epoch and example.

    Example: [bold]trainmap export table dynamics --out long.parquet[/bold]
    """
    from trainmap.dynamics.exchange.long_table import export_long
    from trainmap.dynamics.store import Dynamics

    replaceable(out, "a long table")
    recording = Dynamics.open(dynamics, verify=verify)
    with progress("exporting", recording.epochs) as advance:
        say(f"{export_long(recording, out, split(signals), advance)}")


@exports.command("fiftyone")
def export_fiftyone(
    datamap: MapPath,
    out: FileOut,
    dynamics: WithDynamics = None,
    signals: Signals = None,
    verify: Verify = True,
) -> None:
    """Export a map as sample fields for FiftyOne (.json).

    Example: [bold]trainmap export fiftyone map.parquet --dynamics dynamics --out fields.json[/bold]
    """
    from trainmap.dynamics.store import Dynamics
    from trainmap.maps.datamap import DataMap
    from trainmap.maps.exchange import export_fiftyone

    replaceable(out, "sample fields for FiftyOne")
    recording = None if dynamics is None else Dynamics.open(dynamics, verify=verify)
    say(f"{export_fiftyone(DataMap.open(datamap, verify), out, recording, split(signals))}")


@exports.command("spotlight")
def export_spotlight(
    datamap: MapPath,
    out: FileOut,
    dynamics: WithDynamics = None,
    signals: Signals = None,
    verify: Verify = True,
) -> None:
    """Export a map as a table for Renumics Spotlight (.parquet or .csv).

    Example: [bold]trainmap export spotlight map.parquet --dynamics dynamics --out table.parquet[/bold]
    """
    from trainmap.dynamics.store import Dynamics
    from trainmap.maps.datamap import DataMap
    from trainmap.maps.exchange import export_spotlight

    replaceable(out, "a table for Spotlight")
    recording = None if dynamics is None else Dynamics.open(dynamics, verify=verify)
    say(f"{export_spotlight(DataMap.open(datamap, verify), out, recording, split(signals))}")
