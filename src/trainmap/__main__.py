"""``python -m trainmap`` is the command."""

from trainmap.cli.app import main

main()
