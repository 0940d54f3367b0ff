"""The verb verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trainmap.cli.arguments import say
from trainmap.errors import TrainmapError
from trainmap.machine import progress


def verify(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A recording, map, card, or a grid's or demo's folder.")],
) -> None:
    """Read everything again and compare it with its checksums: a line for each damaged file, and exit code 2.

    Example: [bold]trainmap verify demo/dynamics[/bold]
    """
    from trainmap.experiments.verifying import Checked, count_files
    from trainmap.experiments.verifying import verify as check

    found: list[Checked] = []
    with progress("verifying", count_files(path)) as advance:
        for one in check(path):
            found.append(one)
            advance(1)
    known = [one for one in found if one.known]
    damaged = [one for one in known if one.damage is not None]
    for one in damaged:
        say(f"damaged: {one.damage}")
    if damaged:
        raise TrainmapError(f"{path}: {len(damaged)} of {len(known)} files are damaged")
    if not known:
        raise TrainmapError(f"{path} holds nothing that has a checksum")
    rest = f"; {len(found) - len(known):,} without a checksum (pictures, reports)" if len(found) > len(known) else ""
    files = f"{len(known):,} file{'' if len(known) == 1 else 's'}"
    say(f"{path}: {files}, {sum(one.size for one in known):,} bytes, none damaged{rest}")
