"""What every verb says of itself on ``--help``."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import typer.main
from click import Command, Group
from typer.testing import CliRunner

from trainmap.cli.app import app


def verbs(command: Command, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Command]]:
    if isinstance(command, Group):
        for word, one in command.commands.items():
            yield from verbs(one, (*words, word))
    else:
        yield words, command


VERBS = [pytest.param(words, one, id=" ".join(words)) for words, one in verbs(typer.main.get_command(app))]


@pytest.mark.parametrize(("words", "command"), VERBS)
def test_help_says_what_each_argument_and_option_is_and_shows_an_example(
    words: tuple[str, ...], command: Command
) -> None:
    done = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "300", "TERMINAL_WIDTH": "300"})
    assert done.exit_code == 0
    said = re.sub(r"[│╭╮╰╯─\s]+", " ", re.sub(r"\x1b\[[\d;]*m", "", done.output))
    assert f"Example: trainmap {' '.join(words)}" in said
    for one in command.params:
        told = getattr(one, "help", None)
        assert told, f"{one.name} has no help, or lost it"
        assert re.sub(r"\s+", " ", told)[:60] in said, one.name
