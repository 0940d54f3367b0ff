"""The command: one short function per verb, by room.

Its files, in reading order::

    targets.py            what is at a place before a verb writes there
    compression_verbs.py  compress, forgets
    exchange_verbs.py     import, export
    experiment_verbs.py   run, federate, status, report, schema
    verify_verb.py        verify
    explore_verb.py       explore
    app.py                the other verbs, and the command
    arguments.py          what the verbs share: arguments, lists in one word, lines on the terminal
"""

from __future__ import annotations


def main() -> None:
    """The entry point; the verbs are imported when the command runs."""
    from trainmap.cli.app import main as run

    run()
