"""The verbs of experiments: run, status, report, schema."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trainmap.errors import TrainmapError

if TYPE_CHECKING:
    from trainmap.experiments.task import Outcome

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="What `trainmap run` wrote into.")]


def run(
    file: Annotated[Path, typer.Argument(metavar="FILE.yaml", help="The experiment.")],
    out: Annotated[Path, typer.Option(help="Where everything goes; a second call goes on where it stopped.")],
    scale: Annotated[str | None, typer.Option(help="small or paper: a section of the file put over the rest.")] = None,
    jobs: Annotated[int | None, typer.Option(help="Runs at a time; one for each core by default.")] = None,
    launcher: Annotated[str, typer.Option(help="local, ray or slurm.")] = "local",
    sets: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE: dotted, * for each entry.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print what would run, its time and disk; run nothing.")] = False,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Other machines that hold tasks of DIR are gone: do not wait for them.")
    ] = False,
) -> None:
    """Run an experiment to its end and write the report.

    Example: [bold]trainmap run experiments/quick.yaml --out quick[/bold]
    """
    import hashlib

    from trainmap.experiments.config import load_experiment
    from trainmap.experiments.planner import plan_graph
    from trainmap.experiments.study import run_study, study_of

    variants = load_experiment(file, scale, sets or [])
    graph = plan_graph(variants, out)
    provenance = {"file": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    provenance |= {key: value for key, value in (("scale", scale), ("set", ", ".join(sets or []))) if value}
    study = study_of(variants, graph, provenance)
    if plan:
        return _show_plan(study, out, jobs, variants[0].experiment.data.root)
    launch = variants[0].experiment.launch
    settings = {"ray": launch.ray, "slurm": launch.slurm}.get(launcher)
    with _progress(file.name, len(graph.nodes)) as advance:
        outcomes = run_study(
            study, graph, out, jobs, launcher, None if settings is None else settings.model_dump(), advance, take_over
        )
    failed = [outcome for outcome in outcomes if not outcome.finished and not outcome.blocked]
    blocked = sum(outcome.blocked for outcome in outcomes)
    if any(outcome.finished for outcome in outcomes):
        report(out)
    if failed:
        last = (failed[0].error or "").strip().splitlines()[-1]
        raise TrainmapError(
            f"{len(failed)} of {len(outcomes)} tasks failed and {blocked} that need them were not tried; the first, "
            f"{failed[0].task.name}: {last} (tracebacks in {out / 'runs'}); call again to retry them"
        )
    return None


def report(folder: Folder) -> None:
    """Write the reports of what is finished: HTML, Markdown, LaTeX, CSV, plots.

    Example: [bold]trainmap report quick[/bold]
    """
    from trainmap.experiments.page import write_study

    for path in write_study(folder).values():
        typer.echo(str(path))


def status(
    folder: Folder,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    tracebacks: Annotated[bool, typer.Option("--tracebacks", help="Print those of the failed tasks whole.")] = False,
) -> None:
    """Show how many tasks are done, running, waiting, failed and blocked, and why.

    Example: [bold]trainmap status quick[/bold]
    """
    import json
    from collections import Counter

    from rich.console import Console
    from rich.table import Table

    from trainmap.experiments.study import failures, open_study, states

    study = open_study(folder)
    found, errors = states(study, folder), failures(study, folder)
    kinds = list(dict.fromkeys(entry.kind for entry in study.entries))
    counts = Counter((entry.kind, found[entry.hash]) for entry in study.entries)
    words = ("done", "running", "waiting", "failed", "blocked")
    if as_json:
        told = {kind: {word: counts[kind, word] for word in words} for kind in kinds}
        typer.echo(json.dumps({"title": study.title, "tasks": told, "failures": errors}, indent=2))
        return
    table = Table("task", *words, title=study.title, title_justify="left")
    for kind in kinds:
        table.add_row(kind, *(str(counts[kind, word]) for word in words))
    Console().print(table)
    for name, text in errors.items():
        typer.echo(f"failed: {name}: {text.strip() if tracebacks else text.strip().splitlines()[-1]}")


def schema(
    out: Annotated[Path | None, typer.Option(help="FILE.json; printed by default.")] = None,
) -> None:
    """Print the JSON Schema of an experiment file, from which editors complete and check.

    Example: [bold]trainmap schema --out experiments/schema.json[/bold]
    """
    import json

    from trainmap.experiments.config import schema as schema_of
    from trainmap.files import write_json

    if out is None:
        typer.echo(json.dumps(schema_of(), indent=2))
    else:
        write_json(out, schema_of())
        typer.echo(str(out))


def _show_plan(study: Any, out: Path, jobs: int | None, data_root: str | None) -> None:
    from rich.console import Console
    from rich.table import Table

    from trainmap.experiments.estimate import estimate
    from trainmap.experiments.formats import show_seconds
    from trainmap.experiments.launch import cores
    from trainmap.experiments.study import results

    found = estimate(study, results(study, out), jobs or cores(), data_root)
    table = Table("task", "all", "done", "work left", title=study.title, title_justify="left")
    for line in found.lines:
        table.add_row(line.kind, str(line.tasks), str(line.done), show_seconds(line.seconds))
    Console().print(table)
    typer.echo(str(found))
    typer.echo("speed from " + "; ".join(found.sources) if found.sources else "nothing is left to run")


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[Outcome, int, int], None]]:
    """A bar on the terminal's error stream; failures are told as they come."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("[dim]{task.fields[detail]}"), console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total, detail="")

        def advance(outcome: Outcome, done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, detail=outcome.task.name)
            if not outcome.finished:
                word = "blocked" if outcome.blocked else "failed"
                bar.console.print(f"{word}: {outcome.task.name}: {(outcome.error or '').strip().splitlines()[-1]}")

        yield advance


VERBS: Mapping[str, Callable[..., None]] = {"run": run, "report": report, "status": status, "schema": schema}


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    for name, verb in VERBS.items():
        app.command(name)(verb)
