"""The door: one short function for each verb, each over one call of the library."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from trainmap.errors import TrainmapError

app = typer.Typer(
    name="trainmap",
    help="Record how a model learns each training example, draw the map of the dataset, train on less of it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

DynamicsPath = Annotated[Path, typer.Argument(metavar="DYNAMICS", help="A folder that a Recorder wrote.")]
MapPath = Annotated[Path, typer.Argument(metavar="MAP", help="A map, as `trainmap map --out` writes it.")]
RuleName = Annotated[str, typer.Option(help="How regions are defined: quantile or corner.")]
Fraction = Annotated[float, typer.Option(help="The share of examples in a region (quantile rule), 0 to 1.")]
Epochs = Annotated[int | None, typer.Option(help="Use only the first so many epochs.")]
ScoreNames = Annotated[str | None, typer.Option("--scores", help="Names, separated by commas; all by default.")]


@app.command()
def score(
    dynamics: DynamicsPath,
    out: Annotated[Path, typer.Option(help="FILE.parquet or FILE.csv: id, label and one column for each score.")],
    scores: ScoreNames = None,
    epochs: Epochs = None,
    max_memory: Annotated[str | None, typer.Option(help="What the process may hold at most, for example 1GB.")] = None,
) -> None:
    """Score every example of a recording, row block by row block.

    Example: [bold]trainmap score demo/dynamics --out scores.csv[/bold]
    """
    from trainmap.dynamics.store import Dynamics
    from trainmap.maps.compute import estimate, parse_bytes, resolve
    from trainmap.maps.score_file import check_format, write_scores

    check_format(out)
    recording = Dynamics.open(dynamics)
    chosen = resolve(recording, split(scores), epochs)
    limit = None if max_memory is None else parse_bytes(max_memory)
    plan = estimate(recording, chosen, epochs=epochs, max_memory=limit, collect=False)
    say(f"{recording.examples} examples, {epochs or recording.epochs} epochs: {plan}", err=True)
    with progress("scoring", recording.examples) as advance:
        write_scores(recording, chosen, plan, out, epochs=epochs, on_progress=advance)
    say(f"{out}: {recording.examples} examples, {', '.join(chosen)}")


@app.command("map")
def map_(
    dynamics: DynamicsPath,
    plot: Annotated[Path | None, typer.Option(help="FILE.png, .svg or .pdf: the picture.")] = None,
    out: Annotated[Path | None, typer.Option(help="FILE.parquet: the table.")] = None,
    rule: RuleName = "quantile",
    fraction: Fraction = 1 / 3,
    scores: ScoreNames = None,
    epochs: Epochs = None,
) -> None:
    """Make the data map of a recording: its table, its picture, or both.

    Example: [bold]trainmap map demo/dynamics --plot map.png --out map.parquet[/bold]
    """
    from trainmap.dynamics.store import Dynamics
    from trainmap.maps.datamap import DataMap

    if plot is None and out is None:
        raise TrainmapError("nothing to write: pass --plot FILE.png, --out FILE.parquet, or both")
    recording = Dynamics.open(dynamics)
    with progress("scoring", recording.examples) as advance:
        datamap = DataMap.from_dynamics(
            recording,
            split(scores),
            rule,  # type: ignore[arg-type]
            fraction,
            epochs=epochs,
            on_progress=advance,
        )
    if out is not None:
        say(f"{datamap.save(out)}: {len(datamap)} examples, {', '.join(datamap.scores)}")
    if plot is not None:
        from trainmap.views.plot import plot_map

        say(f"{plot_map(datamap, plot)}")


@app.command()
def select(
    datamap: MapPath,
    spec: Annotated[str, typer.Argument(help="For example '33% ambiguous' or '17% ambiguous + 25% easy-to-learn'.")],
    out: Annotated[Path, typer.Option(help="CARD.json: the selection; its ids are written beside it.")],
    size: Annotated[int | None, typer.Option(help="An exact total; the parts share it in proportion.")] = None,
    seed: Annotated[int, typer.Option(help="Of the random parts.")] = 0,
    balance: Annotated[str | None, typer.Option(help="Within each part: equal or proportional by class.")] = None,
) -> None:
    """Choose examples from a map.

    The language: '33% ambiguous', '33% random', 'top 1000 variability', 'bottom 33% confidence', 'hardest 10% aum',
    '100%', and sums of these. Parts are disjoint and sizes exact.

    Example: [bold]trainmap select map.parquet "17% ambiguous + 25% easy-to-learn" --out card.json[/bold]
    """
    from trainmap.maps.datamap import DataMap
    from trainmap.selection.select import select as choose

    selection = choose(DataMap.open(datamap), spec, size, seed, balance)  # type: ignore[arg-type]
    say(f"{selection.save(out)}: {len(selection)} of {selection.examples} examples ({selection.fraction:.2%})")


@app.command()
def show(
    path: Annotated[Path, typer.Argument(metavar="DYNAMICS|MAP|CARD", help="What trainmap wrote: a folder or a file.")],
) -> None:
    """Show what a recording, a map or a selection holds.

    Example: [bold]trainmap show map.parquet[/bold]
    """
    from rich.console import Console

    from trainmap.views.summary import summary

    Console().print(summary(path))


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="A dynamics folder or a map (.parquet).")],
    b: Annotated[Path | None, typer.Argument(metavar="[B]", help="Another; or compare A's epochs.")] = None,
    scores: ScoreNames = None,
    fractions: Annotated[str, typer.Option(help="Tops that are compared, 0 to 1, separated by commas.")] = "0.1,0.3333",
    epochs: Epochs = None,
    allow: Annotated[str | None, typer.Option(help="What may differ: source, dataset, rule.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """How far two maps agree (seeds, models), or, with A alone, from which epoch on its ranking stands still.

    Example: [bold]trainmap compare seed0/dynamics seed1/dynamics[/bold]
    """
    from trainmap.maps.agreement import compare as compare_maps
    from trainmap.maps.agreement import open_pair
    from trainmap.views import comparison as view

    if b is None:
        from trainmap.dynamics.store import Dynamics
        from trainmap.maps.stability import converged

        recording = Dynamics.open(a)
        found = [converged(recording, name) for name in split(scores) or ["confidence", "variability", "aum"]]
        show_or_json(view.of_convergence(found), [one.to_dict() for one in found] if as_json else None)
        return
    tops = [number(word, "fractions") for word in split(fractions) or []]
    pair = open_pair(a, b, split(scores), epochs)
    agreed = compare_maps(*pair, split(scores), tops, allow=split(allow) or ())  # type: ignore[arg-type]
    show_or_json(view.of_comparison(agreed), agreed.to_dict() if as_json else None)


@app.command()
def audit(
    dynamics: DynamicsPath,
    out: Annotated[Path, typer.Option(help="FILE.parquet or FILE.csv: the labels, the most suspicious first.")],
    rule: Annotated[str, typer.Option(help="combined, aum, confidence or mixture.")] = "combined",
    threshold: Annotated[str | None, typer.Option(help="Suspected from here on, or 'flips'.")] = None,
    flips: Annotated[Path | None, typer.Option(help="PLAN.json of labels flipped for this recording.")] = None,
    second: Annotated[Path | None, typer.Option(help="The other of two runs with threshold samples.")] = None,
    epochs: Epochs = None,
) -> None:
    """Find label errors: which labels look wrong, and what they may be instead.

    Example: [bold]trainmap audit demo/dynamics --out errors.csv[/bold]
    """
    from rich.console import Console

    from trainmap.dynamics.store import Dynamics
    from trainmap.maps.audit import audit as find_errors
    from trainmap.maps.audit import audit_threshold_samples, check_format
    from trainmap.maps.planted import Flips
    from trainmap.views.comparison import of_audit

    check_format(out)
    recording = Dynamics.open(dynamics)
    if second is not None:
        if rule not in ("combined", "aum") or threshold is not None or flips is not None:
            raise TrainmapError("two runs with threshold samples have their own rule: no --rule, --threshold, --flips")
        found = audit_threshold_samples(recording, Dynamics.open(second), epochs=epochs)
    else:
        cut = threshold if threshold is None or threshold == "flips" else number(threshold, "threshold")
        plan = None if flips is None else Flips.open(flips)
        found = find_errors(recording, rule, threshold=cut, flips=plan, epochs=epochs)  # type: ignore[arg-type]
    Console().print(of_audit(found))
    say(f"{found.save(out)}: {len(found)} examples")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where everything goes; a second call goes on where it stopped.")],
    data: Annotated[str, typer.Option(help="digits, mnist, fashion-mnist, cifar10, cifar100, FILE.npz.")] = "digits",
    data_root: Annotated[Path | None, typer.Option(help="A folder with the data (.npz or idx files).")] = None,
    teacher: Annotated[str | None, typer.Option(help="The model that makes the map and teaches.")] = None,
    students: Annotated[str | None, typer.Option(help="Models, separated by commas.")] = None,
    fraction: Annotated[float, typer.Option(help="The size of each subset, 0 to 1.")] = 0.33,
    seeds: Annotated[int | None, typer.Option(help="How many runs of each cell.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Of a student.")] = None,
    teacher_epochs: Annotated[int | None, typer.Option(help="Of the teacher.")] = None,
    subsets: Annotated[str | None, typer.Option(help="Rows of the table, separated by commas; all by default.")] = None,
    distillation: Annotated[str, typer.Option(help="Students: both ways, only, or never distilled.")] = "both",
    jobs: Annotated[int | None, typer.Option(help="Runs at a time; one for each core by default.")] = None,
) -> None:
    """Teacher, dynamics, map, subsets, students, report: the whole line on one dataset.

    Example: [bold]trainmap demo --out demo[/bold]   (scikit-learn's digits: no download, under three minutes)
    """
    from trainmap.experiments.demo import run_demo
    from trainmap.experiments.plan import plan_demo

    plan = plan_demo(
        data,
        data_root=data_root,
        teacher=teacher,
        students=split(students),
        fraction=fraction,
        seeds=seeds,
        epochs=epochs,
        teacher_epochs=teacher_epochs,
        subsets=split(subsets),
        distillation=distillation,
    )
    report = run_demo(plan, out, jobs=jobs)
    say(f"{report}")


imports = typer.Typer(help="Recordings from other tools' files.", no_args_is_help=True)
exports = typer.Typer(help="Recordings and maps as other tools' files.", no_args_is_help=True)
app.add_typer(imports, name="import")
app.add_typer(exports, name="export")

DynamicsOut = Annotated[Path, typer.Option("--out", metavar="DYNAMICS", help="The dynamics folder to make.")]
FolderOut = Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to write into.")]
FileOut = Annotated[Path, typer.Option("--out", metavar="FILE", help="The file to write; its ending is the format.")]
SourceName = Annotated[str, typer.Option(help="What was recorded: train (the training step) or sweep (an evaluation).")]
WithDynamics = Annotated[Path | None, typer.Option(help="Add each example's trajectory from this recording.")]
Signals = Annotated[str, typer.Option(help="Which trajectories, separated by commas.")]


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
    say(f"{out}: {made.examples} examples, {made.epochs} epochs, {made.classes} classes")


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
    from trainmap.dynamics.exchange.study import import_study

    made = import_study(path, out, classes)
    say(f"{out}: {made.examples} examples, {made.epochs} epochs")
    if datamap is not None:
        from trainmap.maps.exchange import study_map

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
    from trainmap.dynamics.exchange.arrays import import_pred_probs, read_pred_probs

    made = import_pred_probs(**read_pred_probs(path), out=out, source=source, floor=floor)  # type: ignore[arg-type]
    say(f"{out}: {made.examples} examples, {made.epochs} epochs, {made.classes} classes")


@exports.command("allenai")
def export_allenai(
    dynamics: DynamicsPath,
    out: FolderOut,
    metrics_only: Annotated[bool, typer.Option("--metrics-only", help="td_metrics.jsonl alone: no logits.")] = False,
) -> None:
    """Export td_metrics.jsonl and training_dynamics/ as allenai/cartography has them.

    Example: [bold]trainmap export allenai dynamics --out runs/snli[/bold]
    """
    from trainmap.dynamics.store import Dynamics
    from trainmap.maps.exchange import export_allenai

    recording = Dynamics.open(dynamics)
    with progress("exporting", 0 if metrics_only else recording.epochs) as advance:
        written = export_allenai(recording, out, metrics_only, advance)
    say(", ".join(map(str, written)))


@exports.command("study")
def export_study(dynamics: DynamicsPath, out: FileOut) -> None:
    """Export a *_training_dynamics.json as the study that trainmap grew from has it.

    Example: [bold]trainmap export study dynamics --out vit_training_dynamics.json[/bold]
    """
    from trainmap.dynamics.exchange.study import export_study
    from trainmap.dynamics.store import Dynamics

    say(f"{export_study(Dynamics.open(dynamics), out)}")


@exports.command("pred-probs")
def export_pred_probs(
    dynamics: DynamicsPath,
    out: FileOut,
    epoch: Annotated[int | None, typer.Option(help="Of one epoch, from 0; the mean over all by default.")] = None,
) -> None:
    """Export labels and pred_probs for cleanlab (.npz); needs logits.

    Example: [bold]trainmap export pred-probs dynamics --out pred_probs.npz[/bold]
    """
    from trainmap.dynamics.exchange.arrays import export_pred_probs
    from trainmap.dynamics.store import Dynamics

    say(f"{export_pred_probs(Dynamics.open(dynamics), out, epoch)}")


@exports.command("table")
def export_table(
    dynamics: DynamicsPath,
    out: FileOut,
    signals: Annotated[str | None, typer.Option(help="Names, separated by commas; all but logits by default.")] = None,
) -> None:
    """Export one long Parquet table: a row for each epoch and example.

    Example: [bold]trainmap export table dynamics --out long.parquet[/bold]
    """
    from trainmap.dynamics.exchange.tables import export_long
    from trainmap.dynamics.store import Dynamics

    recording = Dynamics.open(dynamics)
    with progress("exporting", recording.epochs) as advance:
        say(f"{export_long(recording, out, split(signals), advance)}")


@exports.command("fiftyone")
def export_fiftyone(datamap: MapPath, out: FileOut, dynamics: WithDynamics = None, signals: Signals = "p_gold") -> None:
    """Export a map as sample fields for FiftyOne (.json).

    Example: [bold]trainmap export fiftyone map.parquet --dynamics dynamics --out fields.json[/bold]
    """
    from trainmap.dynamics.store import Dynamics
    from trainmap.maps.datamap import DataMap
    from trainmap.maps.exchange import export_fiftyone

    recording = None if dynamics is None else Dynamics.open(dynamics)
    say(f"{export_fiftyone(DataMap.open(datamap), out, recording, split(signals) or ())}")


@exports.command("spotlight")
def export_spotlight(
    datamap: MapPath, out: FileOut, dynamics: WithDynamics = None, signals: Signals = "p_gold"
) -> None:
    """Export a map as a table for Renumics Spotlight (.parquet or .csv).

    Example: [bold]trainmap export spotlight map.parquet --dynamics dynamics --out table.parquet[/bold]
    """
    from trainmap.dynamics.store import Dynamics
    from trainmap.maps.datamap import DataMap
    from trainmap.maps.exchange import export_spotlight

    recording = None if dynamics is None else Dynamics.open(dynamics)
    say(f"{export_spotlight(DataMap.open(datamap), out, recording, split(signals) or ())}")


def number(word: str, option: str) -> float:
    """ "0.33" -> 0.33."""
    try:
        return float(word)
    except ValueError as error:
        raise TrainmapError(f"--{option} must be a number, got '{word}'") from error


def show_or_json(view: object, value: object) -> None:
    """A table for people, or one JSON document when there is a value for it."""
    import json

    from rich.console import Console

    if value is None:
        Console().print(view)
    else:
        say(json.dumps(value, indent=2))


def split(names: str | None) -> list[str] | None:
    """ "a, b" -> ["a", "b"]."""
    return None if names is None else [name.strip() for name in names.split(",") if name.strip()]


def say(line: str, err: bool = False) -> None:
    typer.echo(line, err=err)


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on the terminal's error stream, which a pipe never sees."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)


def main() -> None:
    """The command: a user's mistake is one line on the error stream and exit code 2."""
    try:
        app()
    except TrainmapError as error:
        typer.echo(f"trainmap: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("trainmap: interrupted; call it again to go on", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
