"""What the verbs share: arguments, lists in one word, lines on the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trainmap.errors import TrainmapError, printable

DynamicsPath = Annotated[Path, typer.Argument(metavar="DYNAMICS", help="A folder that a Recorder wrote.")]
Verify = Annotated[
    bool, typer.Option("--verify/--no-verify", help="Compare what is read with its checksums (costs one pass over it).")
]
MapPath = Annotated[Path, typer.Argument(metavar="MAP", help="A map, as `trainmap map --out` writes it.")]


def number(word: str, option: str) -> float:
    """ "0.33" -> 0.33."""
    try:
        return float(word)
    except ValueError as error:
        raise TrainmapError(f"--{option} must be a number, got '{word}'") from error


def show_or_json(view: object, value: object) -> None:
    """A table for people, or one JSON document when there is a value for it."""
    import json

    if value is None:
        show(view)
    else:
        say(json.dumps(value, indent=2))


def split(names: str | None) -> list[str] | None:
    """ "a, b" -> ["a", "b"]; None, the option's default, stays None."""
    if names is None:
        return None
    found = [name.strip() for name in names.split(",") if name.strip()]
    if not found:
        raise TrainmapError(f"a list needs at least one name (several are separated by commas), got '{names}'")
    return found


def say(text: object, err: bool = False) -> None:
    """Lines on the terminal, without control characters that a name or an error may hold."""
    typer.echo(printable(str(text)), err=err)


def show(view: object) -> None:
    """A table, or whatever Rich can draw; text in it is no markup."""
    from trainmap.terminal import Terminal

    Terminal().print(view)
