"""The door: one short function for each verb, each over one call of the library."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from trainmap.cli.arguments import DynamicsPath, MapPath, Verify, number, say, show_or_json, split
from trainmap.cli.arguments import show as draw
from trainmap.cli.compression_verbs import compress, forgets
from trainmap.cli.exchange_verbs import exports, imports
from trainmap.cli.experiment_verbs import register
from trainmap.cli.explore_verb import explore
from trainmap.cli.targets import replaceable
from trainmap.cli.verify_verb import verify as verify_all
from trainmap.errors import TrainmapError, cause, counted, short
from trainmap.machine import progress

app = typer.Typer(
    name="trainmap",
    help="Record how a model learns each training example, draw the map of the dataset, train on less of it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

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
    verify: Verify = True,
) -> None:
    """Score every example of a recording, row block by row block.

    Example: [bold]trainmap score demo/dynamics --out scores.csv[/bold]
    """
    from trainmap.dynamics.store import Dynamics
    from trainmap.machine import parse_bytes
    from trainmap.scores.compute import estimate, resolve
    from trainmap.scores.score_file import check_scores_name, write_scores

    replaceable(check_scores_name(out), "scores")
    recording = Dynamics.open(dynamics, verify=verify)
    chosen = resolve(recording, split(scores), epochs)
    limit = None if max_memory is None else parse_bytes(max_memory)
    plan = estimate(recording, chosen, epochs=epochs, max_memory=limit, collect=False)
    say(f"{counted(recording.examples, 'example')}, {counted(epochs or recording.epochs, 'epoch')}: {plan}", err=True)
    with progress("scoring", recording.examples) as advance:
        write_scores(recording, chosen, plan, out, epochs=epochs, on_progress=advance)
    say(f"{out}: {counted(recording.examples, 'example')}, {', '.join(chosen)}")


@app.command("map")
def map_(
    dynamics: Annotated[list[Path], typer.Argument(metavar="DYNAMICS...", help="One recording, or several.")],
    plot: Annotated[Path | None, typer.Option(help="FILE.png, .svg or .pdf: the picture.")] = None,
    out: Annotated[Path | None, typer.Option(help="FILE.parquet: the table.")] = None,
    colour: Annotated[
        str | None, typer.Option(help="What the picture is coloured by: a column, label for the classes.")
    ] = None,
    width: Annotated[float, typer.Option(help="Of the picture, inches; 6.9 and 3.35 suit columns of a paper.")] = 10.0,
    rule: RuleName = "quantile",
    fraction: Fraction = 1 / 3,
    scores: ScoreNames = None,
    epochs: Epochs = None,
    verify: Verify = True,
) -> None:
    """Make the data map of a recording, or of several of the same examples: its table, its picture, or both.

    Of several, such as the seeds of one network, each score is the mean over them; pooled_variability and disagreement
    are columns beside.

    Example: [bold]trainmap map demo/dynamics --plot map.png --out map.parquet[/bold]
    """
    from trainmap.dynamics.store import Dynamics
    from trainmap.maps.datamap import DataMap
    from trainmap.maps.map_file import check_map_name

    if plot is None and out is None:
        raise TrainmapError("nothing to write: pass --plot FILE.png, --out FILE.parquet, or both")
    if out is not None:
        replaceable(check_map_name(out), "a map")
    if plot is not None:
        from trainmap.views.plot import check_picture, plot_map

        replaceable(check_picture(plot), "a picture of trainmap")
    members, names = [Dynamics.open(path, verify=verify) for path in dynamics], split(scores)
    with progress("scoring", sum(one.examples for one in members)) as advance:
        datamap = DataMap.from_dynamics(
            members if len(members) > 1 else members[0],
            names,
            rule,  # type: ignore[arg-type]
            fraction,
            epochs=epochs,
            on_progress=advance,
        )
    if out is not None:
        of = f" of {counted(datamap.members, 'recording')}" if datamap.members > 1 else ""
        say(f"{datamap.save(out)}{of}: {counted(len(datamap), 'example')}, {', '.join(datamap.scores)}")
    if plot is not None:
        say(f"{plot_map(datamap, plot, colour=colour, width_inches=width)}")


@app.command()
def select(
    datamap: MapPath,
    spec: Annotated[str, typer.Argument(help="For example '33% auto' or '20% ambiguous + 13% random'.")],
    out: Annotated[Path, typer.Option(help="CARD.json: the selection; its ids are written beside it.")],
    size: Annotated[int | None, typer.Option(help="An exact total; the parts share it in proportion.")] = None,
    seed: Annotated[int, typer.Option(help="Of the random parts.")] = 0,
    balance: Annotated[str | None, typer.Option(help="Within each part: equal or proportional by class.")] = None,
    noise: Annotated[float | None, typer.Option(help="auto: the share of wrong labels, 0 to 1, where known.")] = None,
    distilled: Annotated[bool, typer.Option(help="auto: the student learns from a teacher as well.")] = False,
    held_out: Annotated[
        float | None, typer.Option(help="auto: accuracy of the map's network on data it was not trained on, 0 to 1.")
    ] = None,
    verify: Verify = True,
) -> None:
    """Choose examples from a map.

    The language: '33% ambiguous', '33% random', 'top 1000 variability', 'bottom 33% confidence', 'hardest 10% aum',
    '100%', and sums of these. Parts are disjoint and sizes exact. '33% auto' lets the map decide, and says why.

    Example: [bold]trainmap select map.parquet "33% auto" --held-out 0.92 --out card.json[/bold]
    """
    from trainmap.maps.datamap import DataMap
    from trainmap.selection.requests import Request
    from trainmap.selection.select import explained, select_by
    from trainmap.selection.select import select as choose
    from trainmap.selection.strategies import EXPLAINED, told_words
    from trainmap.selection.words import parse

    replaceable(out, "a selection")
    opened, plan = DataMap.open(datamap, verify), parse(spec)
    if (word := Request.of_spec(plan).explains) is not None:
        known: dict[str, Any] = {"balance": balance, "noise": noise, "distilled": distilled, "held_out": held_out}
        count = sum(plan.sizes(len(opened), size))
        selection = select_by(opened, word.name, count, seed, **known)
        say(explained(opened, word, count, **known))
    elif noise is not None or distilled or held_out is not None:
        raise TrainmapError(f"--noise, --distilled and --held-out go with {told_words(EXPLAINED)} alone, got '{spec}'")
    else:
        selection = choose(opened, plan, size, seed, balance)  # type: ignore[arg-type]
    of = counted(selection.examples, "example")
    say(f"{selection.save(out)}: {len(selection):,} of {of} ({selection.fraction:.2%})")


@app.command()
def show(
    path: Annotated[Path, typer.Argument(metavar="DYNAMICS|MAP|CARD", help="What trainmap wrote: a folder or a file.")],
    verify: Verify = True,
) -> None:
    """Show what a recording, a map or a selection holds.

    Example: [bold]trainmap show map.parquet[/bold]
    """
    from trainmap.views.summary import summary

    draw(summary(path, verify))


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="A dynamics folder or a map (.parquet).")],
    b: Annotated[Path | None, typer.Argument(metavar="[B]", help="Another; or compare A's epochs.")] = None,
    scores: ScoreNames = None,
    fractions: Annotated[str | None, typer.Option(help="Tops to compare, 0 to 1, by default 0.1,0.3333.")] = None,
    epochs: Epochs = None,
    allow: Annotated[str | None, typer.Option(help="What may differ: source, dataset, rule.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    verify: Verify = True,
) -> None:
    """How far two maps agree (seeds, models), or, with A alone, from which epoch on its ranking stands still.

    Example: [bold]trainmap compare seed0/dynamics seed1/dynamics[/bold]
    """
    from trainmap.maps.agreement import FRACTIONS, open_pair
    from trainmap.maps.agreement import compare as compare_maps
    from trainmap.views import side_by_side as view

    if b is None:
        from trainmap.dynamics.store import Dynamics
        from trainmap.maps.stability import converged, telling_scores

        if fractions is not None or epochs is not None or allow is not None:
            raise TrainmapError("--fractions, --epochs and --allow are for comparing two maps; pass B as well")
        recording = Dynamics.open(a, verify=verify)
        found = [converged(recording, name) for name in split(scores) or telling_scores(recording)]
        show_or_json(view.of_convergence(found), [one.to_dict() for one in found] if as_json else None)
        return
    tops = FRACTIONS if fractions is None else [number(word, "fractions") for word in split(fractions) or ()]
    pair = open_pair(a, b, split(scores), epochs, verify)
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
    verify: Verify = True,
) -> None:
    """Find label errors: which labels look wrong, and what they may be instead.

    Example: [bold]trainmap audit demo/dynamics --out errors.csv[/bold]
    """
    from trainmap.audits.audit import audit as find_errors
    from trainmap.audits.audit import audit_threshold_samples
    from trainmap.audits.planted import Flips
    from trainmap.audits.suspects import check_audit_name
    from trainmap.dynamics.store import Dynamics
    from trainmap.views.side_by_side import of_audit

    replaceable(check_audit_name(out), "an audit")
    recording = Dynamics.open(dynamics, verify=verify)
    if second is not None:
        if rule not in ("combined", "aum") or threshold is not None or flips is not None:
            raise TrainmapError("two runs with threshold samples have their own rule: no --rule, --threshold, --flips")
        found = audit_threshold_samples(recording, Dynamics.open(second, verify=verify), epochs=epochs)
    else:
        cut = threshold if threshold is None or threshold == "flips" else number(threshold, "threshold")
        plan = None if flips is None else Flips.open(flips)
        found = find_errors(recording, rule, threshold=cut, flips=plan, epochs=epochs)  # type: ignore[arg-type]
    draw(of_audit(found))
    say(f"{found.save(out)}: {counted(len(found), 'example')}")


@app.command()
def truth(
    out: Annotated[Path, typer.Option(help="FILE.parquet: the table.")],
    data: Annotated[str, typer.Argument(help="synthetic, or with settings: synthetic:wrong=0.2,seed=3.")] = "synthetic",
) -> None:
    """Write what is known of synthetic data: the kind of every example, its clean label, p(y | x).

    Example: [bold]trainmap truth synthetic:wrong=0.2,seed=3 --out truth.parquet[/bold]
    """
    from trainmap.data.synthetic import Synthetic, best_accuracy, check_truth_name, write_truth

    replaceable(check_truth_name(out), "the truth of synthetic data")
    settings = Synthetic.of(data)
    write_truth(settings, out)
    counts = ", ".join(f"{count:,} {kind}" for kind, count in settings.counts.items() if count)
    say(f"{out}: {counted(settings.examples, 'example')} ({counts}) and {settings.tests:,} in each other part")
    say(f"best possible accuracy on the test part: {best_accuracy(settings):.1%}")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where everything goes; a second call goes on where it stopped.")],
    data: Annotated[
        str,
        typer.Option(help="digits, fashion-mnist, clinc150, fsdd, adult, synthetic, ..., a FILE, folder:DIR, hf:NAME."),
    ] = "digits",
    data_root: Annotated[Path | None, typer.Option(help="The folder with the data.")] = None,
    teacher: Annotated[str | None, typer.Option(help="The model that makes the map and teaches.")] = None,
    students: Annotated[str | None, typer.Option(help="Models, separated by commas.")] = None,
    fraction: Annotated[float, typer.Option(help="The size of each subset, 0 to 1.")] = 0.33,
    seeds: Annotated[int | None, typer.Option(help="How many runs of each cell.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Of a student.")] = None,
    teacher_epochs: Annotated[int | None, typer.Option(help="Of the teacher.")] = None,
    subsets: Annotated[str | None, typer.Option(help="Rows of the table, separated by commas; all by default.")] = None,
    distillation: Annotated[str, typer.Option(help="Students: both ways, only, or never distilled.")] = "both",
    label_noise: Annotated[
        float | None, typer.Option(help="Share of the training labels to exchange; 0.05 of the digits, else 0.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="Runs at a time; one for each core by default.")] = None,
) -> None:
    """Teacher, dynamics, map, subsets, students, report: the whole line on one dataset.

    Example: [bold]trainmap demo --out demo[/bold]   (scikit-learn's digits: no download, under three minutes)
    """
    from trainmap.experiments.demo import PAGE, exchanged, plan_demo, run_demo

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
        label_noise=label_noise,
    )
    report = run_demo(plan, out, jobs=jobs)
    if plan.experiment.data.label_noise:
        wrong, found, both = exchanged(plan, out)
        say(f"{counted(wrong, 'label')} exchanged on purpose; {found} look wrong by the map, {both} of them are")
    say(f"{out / PAGE}: what the recording says about the data")
    say(f"{report}: what paid")


@app.command()
def models(
    size: Annotated[int, typer.Option(help="Width and height of the images, in pixels.")] = 32,
    channels: Annotated[int, typer.Option(help="Of the images: 1 or 3.")] = 3,
    classes: Annotated[int, typer.Option(help="How many classes there are.")] = 10,
    family: Annotated[str | None, typer.Option(help="Only these, separated by commas: resnet, vgg, vit, ...")] = None,
    form: Annotated[str, typer.Option("--format", help="table, md, csv or json.")] = "table",
) -> None:
    """List the networks for images with their parameters, FLOPs and bytes.

    Example: [bold]trainmap models --size 28 --channels 1 --family resnet,vgg[/bold]
    """
    from trainmap.data.inputs import Inputs
    from trainmap.models.catalogue import catalogue
    from trainmap.views.model_table import show as show_catalogue

    found = catalogue(Inputs.images(channels, size), classes, split(family))
    shown = show_catalogue(found, form)
    if isinstance(shown, str):
        say(shown)
    else:
        draw(shown)
    for name, reason in found.left_out.items():
        say(f"left out: {name} ({reason})", err=True)


register(app)  # run, report, status, schema
app.add_typer(imports, name="import")
app.add_typer(exports, name="export")

app.command()(compress)
app.command()(forgets)
app.command()(explore)
app.command("verify")(verify_all)


def main() -> None:
    """The command: a user's mistake is one line on the error stream and exit code 2."""
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal's encoding cannot say must not end the command
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except TrainmapError as error:
        say(f"trainmap: {error}", err=True)
        sys.exit(2)
    except OSError as error:  # a full disk, a folder that may not be written
        say(f"trainmap: {short(str(error.filename or 'the output'))}: {cause(error)}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        say("trainmap: interrupted; call it again to go on", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
