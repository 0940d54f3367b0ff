"""What one recording says about its data, in words and with the examples themselves: no experiment is needed for it.

Its files, in reading order::

    worth_trying.py    is choosing by the map worth a try here, and why
    same_examples.py   examples that stand twice
    example_cards.py   examples as a page shows them
    found.py           all that is found
    found_page.py      it as one page
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainmap.faces import lazily

if TYPE_CHECKING:
    from trainmap.findings.example_cards import TEMPLATES, RegionCards, read_cards, region_cards, write_cards
    from trainmap.findings.found import Findings, find_out
    from trainmap.findings.found_page import sentences, write_findings
    from trainmap.findings.same_examples import Same, find_same
    from trainmap.findings.worth_trying import Worth, is_worth
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "example_cards": "TEMPLATES RegionCards read_cards region_cards write_cards",
            "found": "Findings find_out",
            "found_page": "sentences write_findings",
            "same_examples": "Same find_same",
            "worth_trying": "Worth is_worth",
        },
    )

# fmt: off
__all__ = [
    "TEMPLATES", "Findings", "RegionCards", "Same", "Worth", "find_out", "find_same", "is_worth", "read_cards",
    "region_cards", "sentences", "write_cards", "write_findings",
]
# fmt: on
