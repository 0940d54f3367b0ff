"""The command: one short function per verb."""

from __future__ import annotations


def main() -> None:
    """The entry point; the verbs are imported when the command runs."""
    from trainmap.cli.app import main as run

    run()
