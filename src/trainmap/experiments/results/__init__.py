"""What came of it: rows, intervals, verdicts.

Its files, in reading order::

    result_fields.py  what a report reads of each result
    statistics.py     means, intervals, verdicts
    versus_random.py  rows and their opponents
    records.py        the results of an experiment
    map_pairs.py      how far maps agree
    forgotten.py      what compression forgets
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainmap.faces import lazily

if TYPE_CHECKING:
    from trainmap.experiments.results.forgotten import compression_grids
    from trainmap.experiments.results.map_pairs import agreement_grids, pairs
    from trainmap.experiments.results.records import Group, Record, groups, has_random, report_of
    from trainmap.experiments.results.result_fields import Cost, Found, Name, Share, check_result
    from trainmap.experiments.results.statistics import Difference, Estimate, holm_verdicts, interval, paired_difference
    from trainmap.experiments.results.versus_random import (
        CLOCKS,
        METRICS,
        SAME_SIZE,
        SCHEDULE,
        UNITS,
        Column,
        Comparison,
        Report,
        Role,
        Row,
        compare,
        role,
        subset_name,
    )
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "forgotten": "compression_grids",
            "map_pairs": "agreement_grids pairs",
            "records": "Group Record groups has_random report_of",
            "result_fields": "Cost Found Name Share check_result",
            "statistics": "Difference Estimate holm_verdicts interval paired_difference",
            "versus_random": (
                "CLOCKS METRICS SAME_SIZE SCHEDULE UNITS Column Comparison Report Role Row compare role subset_name"
            ),
        },
    )

# fmt: off
__all__ = [
    "CLOCKS", "METRICS", "SAME_SIZE", "SCHEDULE", "UNITS", "Column", "Comparison", "Cost", "Difference", "Estimate",
    "Found", "Group", "Name", "Record", "Report", "Role", "Row", "Share", "agreement_grids", "check_result",
    "compare", "compression_grids", "groups", "has_random", "holm_verdicts", "interval", "paired_difference", "pairs",
    "report_of", "role", "subset_name",
]
# fmt: on
