"""``python -m trainmap`` is the command."""

from trainmap.cli import main

main()
