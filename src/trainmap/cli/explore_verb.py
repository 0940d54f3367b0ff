"""trainmap explore: a map in a browser, or as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trainmap.cli.arguments import say
from trainmap.cli.targets import replaceable
from trainmap.errors import TrainmapError, counted


def explore(
    path: Annotated[Path, typer.Argument(metavar="DYNAMICS|MAP|CARD", help="A recording, a map, or a card of one.")],
    data: Annotated[
        str | None,
        typer.Option(help="What the ids stand for: digits, ..., a folder, a Parquet or CSV file, hf:NAME."),
    ] = None,
    data_root: Annotated[Path | None, typer.Option(help="The folder with the data.")] = None,
    beside: Annotated[Path | None, typer.Option(help="Another recording or map of the same examples.")] = None,
    card: Annotated[list[Path] | None, typer.Option(help="CARD.json, to colour and filter by; may come again.")] = None,
    map_: Annotated[Path | None, typer.Option("--map", help="The map or recording that a CARD was made from.")] = None,
    review: Annotated[Path | None, typer.Option(help="FILE.jsonl: where decisions about labels are kept.")] = None,
    html: Annotated[Path | None, typer.Option(help="FILE.html: write one offline file, and serve nothing.")] = None,
    max_bytes: Annotated[str, typer.Option(help="How large that file may be.")] = "100MB",
    host: Annotated[
        str, typer.Option(help="Where it listens; anywhere but here needs the printed token.")
    ] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="8788, or any free one, by default.")] = None,
    browser: Annotated[bool, typer.Option("--open/--no-open", help="Open it in a browser.")] = True,
) -> None:
    """Look at a map: its examples, how each was learned, and labels to review.

    Example: [bold]trainmap explore demo/dynamics --data digits[/bold]
    """
    from trainmap.explorer.explored import explore as look
    from trainmap.explorer.explored import map_of_card
    from trainmap.machine import parse_bytes
    from trainmap.selection.card import Selection

    if html is not None:
        replaceable(html, "an explorer's page")
    cards = list(card or [])
    if path.suffix == ".json":
        cards, path = [path, *cards], map_ or map_of_card(path)
    elif map_ is not None:
        raise TrainmapError("--map goes with a card; this is a recording or a map already")
    chosen = {one.stem: Selection.open(one) for one in cards}
    exploration = look(path, data, beside=beside, selections=chosen, review=review, data_root=data_root)
    for note in exploration.header()["notes"]:
        say(note, err=True)
    if html is not None:
        written = exploration.save(html, max_bytes=parse_bytes(max_bytes))
        say(f"{written}: {counted(len(exploration), 'example')}, {written.stat().st_size:,} bytes")
        return
    exploration.serve(host=host, port=port, browser=browser, on_ready=lambda url: say(f"{url}  (Ctrl-C ends it)"))
