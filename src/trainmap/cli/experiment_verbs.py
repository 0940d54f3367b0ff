"""The verbs of experiments: run, federate, status, report, schema."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trainmap.cli.arguments import say, show
from trainmap.cli.targets import replaceable
from trainmap.errors import TrainmapError, last_line, one_line

if TYPE_CHECKING:
    from trainmap.experiments.file.variants import Variant
    from trainmap.experiments.runs.folder import Study
    from trainmap.experiments.runs.job import Outcome

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="What `trainmap run` wrote into.")]


FileArgument = Annotated[Path, typer.Argument(metavar="FILE.yaml", help="The experiment.")]
Out = Annotated[Path, typer.Option(help="Where everything goes; a second call goes on where it stopped.")]
Into = Annotated[bool, typer.Option("--into", help="Put it into a folder that belongs to another file.")]
ScaleName = Annotated[str | None, typer.Option(help="small or paper: a section of the file put over the rest.")]
Jobs = Annotated[int | None, typer.Option(help="Runs at a time; one for each core by default.")]
Launcher = Annotated[str, typer.Option(help="local, ray or slurm.")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE: dotted, * for each entry.")]
PlanOnly = Annotated[bool, typer.Option("--plan", help="Print what would run, its time and disk; run nothing.")]
TakeOver = Annotated[
    bool, typer.Option("--take-over", help="Other machines that hold tasks of DIR are gone: do not wait for them.")
]


def run(
    file: FileArgument,
    out: Out,
    into: Into = False,
    scale: ScaleName = None,
    jobs: Jobs = None,
    launcher: Launcher = "local",
    sets: Sets = None,
    plan: PlanOnly = False,
    take_over: TakeOver = False,
) -> None:
    """Run an experiment to its end and write the report.

    Example: [bold]trainmap run experiments/quick.yaml --out quick[/bold]
    """
    import hashlib

    from trainmap.experiments.file.variants import load_experiment
    from trainmap.experiments.plan.planner import plan_graph
    from trainmap.experiments.report.study_files import write_outcome
    from trainmap.experiments.runs.folder import check, claim, run_study, study_of

    variants = load_experiment(file, scale, sets or [])
    graph = plan_graph(variants, out, outlines=plan)
    provenance = {"file": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    provenance |= {key: value for key, value in (("scale", scale), ("set", ", ".join(sets or []))) if value}
    provenance["command"] = command_of(file.name, scale, sets or [])
    study = study_of(variants, graph, provenance)
    if plan:
        check(study, out, into)
        _show_plan(study, out, jobs, variants[0].experiment.data.root, graph.absent)
        return
    if was_there := claim(study, out, into):
        say(was_there, err=True)
    launch = variants[0].experiment.launch
    settings = {"ray": launch.ray, "slurm": launch.slurm}.get(launcher)
    with _progress(file.name, len(graph.nodes), study, out) as advance:
        told = None if settings is None else settings.model_dump()
        outcomes = run_study(study, graph, out, jobs, launcher, told, advance, take_over=take_over)
    _say_written(write_outcome(out, outcomes))


def federate(
    file: FileArgument,
    out: Out,
    into: Into = False,
    scale: ScaleName = None,
    jobs: Jobs = None,
    launcher: Launcher = "local",
    sets: Sets = None,
    plan: PlanOnly = False,
    take_over: TakeOver = False,
    app: Annotated[
        Path | None, typer.Option(help="Run nothing: write the folder that `flwr run` takes; --out is the server's.")
    ] = None,
    row: Annotated[str | None, typer.Option(help="With --app: which row, as plan and report call it.")] = None,
) -> None:
    """Run an experiment with many clients, each with its own map: the section `federated:` of a file.

    It is `trainmap run` for such files; the bar says the round. With --app one of its rows is made ready for real
    machines instead: docs/deploying.md.

    Example: [bold]trainmap federate experiments/federated_quick.yaml --out federated[/bold]
    """
    from trainmap.experiments.file.variants import load_experiment

    variants = load_experiment(file, scale, sets or [])
    if not any(variant.experiment.federated for variant in variants):
        raise TrainmapError(
            f"{file} has no section 'federated:'; add one (model, clients, rounds at least: docs/federated.md), or "
            f"run it as it is: trainmap run {shlex.quote(str(file))} --out {shlex.quote(str(out))}"
        )
    if app is None and row is not None:
        raise TrainmapError("--row goes with --app alone: it names the row that is made ready for real machines")
    if app is not None and plan:
        raise TrainmapError("--app runs nothing and --plan writes nothing; say one of them")
    if app is None:
        run(file, out, into, scale, jobs, launcher, sets, plan, take_over)
    else:
        _write_app(variants, out, app, row)


def _write_app(variants: Sequence[Variant], out: Path, app: Path, row: str | None) -> None:
    from trainmap.experiments.plan.planner import plan_graph
    from trainmap.experiments.tasks.on_machines import deployment_of, run_of_row
    from trainmap.federated.deployment import write_app

    graph = plan_graph(variants, out)
    task = run_of_row((node.task for node in graph.nodes.values()), row)
    say(str(write_app(app, deployment_of(task, out, variants[0].experiment.data.root))))


def command_of(file: str, scale: str | None, sets: Sequence[str]) -> str:
    """The command that runs a file, for a shell, with DIR for where everything goes."""
    told = [file, *(["--scale", scale] if scale else []), *(word for one in sets for word in ("--set", one))]
    return shlex.join(["trainmap", "run", *told, "--out", "DIR"])


def report(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR|DYNAMICS", help="What `trainmap run` wrote into; or a recording.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Of a recording: FILE.html; NAME-report.html here by default.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="What its ids stand for: digits, ..., a folder, a Parquet or CSV file, hf:NAME.")
    ] = None,
    data_root: Annotated[Path | None, typer.Option(help="The folder with the data.")] = None,
    held_out: Annotated[
        float | None, typer.Option(help="Accuracy of the recorded network on other data, 0 to 1.")
    ] = None,
) -> None:
    """Write the reports of what is finished of an experiment; or one page on what a recording says about its data.

    Example: [bold]trainmap report quick[/bold]
    Example: [bold]trainmap report demo/dynamics --data digits --out data.html[/bold]
    """
    from trainmap.dynamics.damage import is_recording
    from trainmap.experiments.runs.folder import PLAN

    if is_recording(folder):
        _report_recording(folder, out or Path(f"{folder.resolve().name}-report.html"), data, data_root, held_out)
        return
    said = {"--out": out, "--data": data, "--data-root": data_root, "--held-out": held_out}
    if asked := [name for name, value in said.items() if value is not None]:
        what = "an experiment" if (folder / PLAN).exists() else "no recording"
        raise TrainmapError(f"{asked[0]} goes with a recording; {folder} is {what}")
    from trainmap.experiments.report.study_files import write_study

    _say_written(write_study(folder))


def _report_recording(
    folder: Path, out: Path, data: str | None, data_root: Path | None, held_out: float | None
) -> None:
    from trainmap.dynamics.store import Dynamics
    from trainmap.explorer.example_sources import examples_of
    from trainmap.findings.found import find_out
    from trainmap.findings.found_page import sentences, write_findings
    from trainmap.machine import progress

    replaceable(out, "a report of a recording")
    recording = Dynamics.open(folder)
    examples = None if data is None else examples_of(data, recording.ids, data_root)
    found = find_out(recording, examples, held_out=held_out, progress=progress)
    for line in sentences(found):
        say(line)
    say(str(write_findings(found, out)))


def _say_written(paths: Mapping[str, Path]) -> None:
    for path in paths.values():
        say(str(path))


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

    from rich.table import Table
    from rich.text import Text

    from trainmap.experiments.runs.folder import at_work, failures, open_study, states

    study = open_study(folder)
    found, errors = states(study, folder), failures(study, folder)
    kinds = list(dict.fromkeys(entry.kind for entry in study.entries))
    counts = Counter((entry.kind, found[entry.hash]) for entry in study.entries)
    words = ("done", "running", "waiting", "failed", "blocked")
    running = {entry.name for entry in study.entries if found[entry.hash] == "running"}
    said = {name: text for name, text in at_work(study, folder).items() if name in running}
    if as_json:
        told = {kind: {word: counts[kind, word] for word in words} for kind in kinds}
        say(json.dumps({"title": study.title, "tasks": told, "at": said, "failures": errors}, indent=2))
        return
    table = Table("task", *words, title=Text(one_line(study.title)), title_justify="left")
    for kind in kinds:
        table.add_row(Text(kind), *(str(counts[kind, word]) for word in words))
    show(table)
    for name, text in said.items():
        say(f"running: {one_line(name)}: {text}")
    for name, text in errors.items():
        say(f"failed: {one_line(name)}: {text.strip() if tracebacks else last_line(text)}")


def schema(
    out: Annotated[Path | None, typer.Option(help="FILE.json; printed by default.")] = None,
) -> None:
    """Print the JSON Schema of an experiment file, from which editors complete and check.

    Example: [bold]trainmap schema --out experiments/schema.json[/bold]
    """
    import json

    from trainmap.experiments.file.variants import schema as schema_of
    from trainmap.files import as_json, writing

    if out is None:
        say(json.dumps(schema_of(), indent=2))
    else:
        replaceable(out, "the schema of experiments")
        with writing(out) as handle:
            handle.write(as_json(schema_of()))
        say(str(out))


def _show_plan(study: Any, out: Path, jobs: int | None, data_root: str | None, absent: Sequence[str]) -> None:
    from rich.table import Table
    from rich.text import Text

    from trainmap.experiments.runs.estimate import estimate
    from trainmap.experiments.runs.folder import results
    from trainmap.machine import cores
    from trainmap.views.amounts import show_flops, show_seconds

    found = estimate(study, results(study, out), jobs or cores(), data_root)
    title = Text(one_line(study.title))
    table = Table("task", "all", "done", "FLOPs left", "beside", "work left", title=title, title_justify="left")
    for line in found.lines:
        flops, beside = (show_flops(count) if count else "" for count in (line.flops, line.beside))
        seconds = "?" if math.isnan(line.seconds) else show_seconds(line.seconds)
        table.add_row(Text(line.kind), str(line.tasks), str(line.done), flops, beside, seconds)
    show(table)
    if any(line.beside for line in found.lines):
        say("beside: of these FLOPs those of live teachers and proxies, which run beside the network that is trained")
    say(str(found))
    if absent:
        say(f"not here, planned from known sizes, whatever is done of it: {', '.join(absent)}")
    say("speed from " + "; ".join(found.sources) if found.sources else "nothing is left to run")


class _Detail:
    """What the bar says besides the count: how far the tasks under way are, or else which one was finished last."""

    def __init__(self, study: Study, out: Path) -> None:
        self.study, self.out, self.last = study, out, ""
        self._since = self._asked = time.time()
        self._said = ""

    def __str__(self) -> str:
        from trainmap.experiments.runs.folder import at_work

        if time.time() - self._asked > 1.0:
            found, self._asked = at_work(self.study, self.out, self._since), time.time()
            self._said = "; ".join(f"{text}: {one_line(name)}" for name, text in found.items())
        return self._said or self.last


@contextmanager
def _progress(what: str, total: int, study: Study, out: Path) -> Iterator[Callable[[Outcome, int, int], None]]:
    """A bar on the terminal's error stream; failures are told as they come."""
    from rich.progress import TimeElapsedColumn

    from trainmap.machine import bars

    detail = _Detail(study, out)
    with bars(TimeElapsedColumn(), detail=True) as bar:
        task = bar.add_task(what, total=total, detail=detail)

        def advance(outcome: Outcome, done: int, total: int) -> None:
            detail.last = outcome.job.name
            bar.update(task, completed=done, total=total)
            if not outcome.finished:
                word = "blocked" if outcome.blocked else "failed"
                bar.console.print(f"{word}: {one_line(outcome.job.name)}: {last_line(outcome.error)}")

        yield advance


VERBS: Mapping[str, Callable[..., None]] = {
    "run": run,
    "federate": federate,
    "report": report,
    "status": status,
    "schema": schema,
}


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    for name, verb in VERBS.items():
        app.command(name)(verb)
