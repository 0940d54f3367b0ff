"""The verbs compress and forgets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trainmap.cli.arguments import Verify, say, show
from trainmap.cli.targets import replaceable


def compress(
    demo: Annotated[Path, typer.Argument(metavar="DEMO", help="A folder that `trainmap demo` made.")],
    out: Annotated[Path, typer.Option(help="The folder for the compressed network, its table, its predictions.")],
    way: Annotated[str, typer.Option(help="channels, zeros, int8, int8-trained or int8-onnx.")] = "channels",
    amount: Annotated[float, typer.Option(help="Share of the channels or weights that go, 0 to 1.")] = 0.5,
    select: Annotated[str, typer.Option(help="Tune or calibrate on these, as in `trainmap select`.")] = "100%",
    epochs: Annotated[int, typer.Option(help="Of tuning.")] = 2,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    data_root: Annotated[Path | None, typer.Option(help="Where the demo's data is.")] = None,
) -> None:
    """Compress the teacher of a demo: fewer channels, zeros or eight bits, beside the teacher as it was.

    Example: [bold]trainmap compress demo --way channels --amount 0.5 --select "33% ambiguous" --out small[/bold]
    """
    from trainmap.experiments.compress_teacher import Order, compress_teacher
    from trainmap.views.forgets import of_measured

    order = Order(way, amount, select, epochs, seed)
    rows = compress_teacher(demo, out, order, None if data_root is None else str(data_root))
    show(of_measured(rows))
    say(f"{out}: what it forgets: trainmap forgets {out}/before.parquet {out}/after.parquet")


def forgets(
    before: Annotated[Path, typer.Argument(metavar="BEFORE", help="Predictions (.parquet) or a dynamics folder.")],
    after: Annotated[Path, typer.Argument(metavar="AFTER", help="The same for the compressed network.")],
    baseline: Annotated[Path | None, typer.Option(help="The same for the original with another seed.")] = None,
    datamap: Annotated[Path | None, typer.Option("--map", help="A map (.parquet) of these examples: regions.")] = None,
    out: Annotated[Path | None, typer.Option(help="FILE.parquet or FILE.csv: which examples flip.")] = None,
    plot: Annotated[
        Path | None, typer.Option(help="FILE.png, .svg or .pdf: the shares by region, or by class.")
    ] = None,
    verify: Verify = True,
) -> None:
    """Which examples another network in this one's place gets wrong, by region and class, beside another seed's churn.

    Example: [bold]trainmap forgets small/before.parquet small/after.parquet --plot forgets.png[/bold]
    """
    from trainmap.cells import cells
    from trainmap.errors import TrainmapError, counted
    from trainmap.evaluation.flips import flips
    from trainmap.evaluation.predictions import Predictions, regions_of
    from trainmap.files import writing
    from trainmap.views.forgets import of_flips, plot_flips

    if out is not None and out.suffix not in (".parquet", ".csv"):
        raise TrainmapError(f"--out must end in .parquet or .csv, got {out.name}")
    replaceable(out, "a table of flips")
    if plot is not None:
        from trainmap.views.plot import check_picture

        replaceable(check_picture(plot), "a picture of trainmap")
    sides = Predictions.open(before, verify), Predictions.open(after, verify)
    groups = {}
    if datamap is not None:
        from trainmap.maps.datamap import DataMap

        groups["region"] = regions_of(DataMap.open(datamap, verify), sides[0])
    other = None if baseline is None else Predictions.open(baseline, verify)
    found = flips(*sides, baseline=other, groups=groups)
    show(of_flips(found))
    if out is not None:
        with writing(out) as handle:
            if out.suffix == ".csv":
                cells(found.examples).write_csv(handle)
            else:
                found.examples.write_parquet(handle)
        say(f"{out}: {counted(len(found.examples), 'example')}")
    if plot is not None:
        say(f"{plot_flips(found, plot, 'region' if groups else 'class')}")
