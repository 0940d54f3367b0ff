"""What came of it: rows, intervals, verdicts.

Its files, in reading order::

    facts.py          what a row is, said by its own columns and never read from its name
    run_rows.py       the runs of a table as rows
    statistics.py     means, intervals, verdicts
    versus_random.py  rows and their opponents
    price.py          what the cost of a run is made of
    group_titles.py   what the groups of tables are called
    titles.py         what teachers, maps and searches are called in tables
    records.py        the results of an experiment
    taught.py         teachers by what they were trained on, and their students
    map_pairs.py      how far maps agree
    kind_groups.py    the trainings that say together which score finds which kind
    label_curves.py   what labels buy
    round_curves.py   what rounds of a federation buy
    searched.py       what the searches for hyperparameters found, and what they took
    forgotten.py      what compression forgets
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainmap.faces import lazily

if TYPE_CHECKING:
    from trainmap.experiments.results.facts import NAMES, PRICED, REFERENCES, facts_of, reads_map
    from trainmap.experiments.results.forgotten import Forgotten, Runs, compressed_cells, forgotten_of
    from trainmap.experiments.results.kind_groups import KindGroup, grouped_kinds
    from trainmap.experiments.results.label_curves import ENTROPY, RANDOM, Curves, curves_of
    from trainmap.experiments.results.map_pairs import Pair, pairs
    from trainmap.experiments.results.price import (
        BESIDE,
        IN_A_RUN,
        OF_A_MAP,
        ONCE,
        PARTS,
        Price,
        completed,
        part_column,
        price_of,
    )
    from trainmap.experiments.results.records import Group, groups, has_random, long_table, report_of
    from trainmap.experiments.results.round_curves import OFF, Across, Opponent, Rounds, Row, rounds_of
    from trainmap.experiments.results.run_rows import METRICS, Report, mean_of
    from trainmap.experiments.results.searched import Arm, Searched, arms_of
    from trainmap.experiments.results.statistics import (
        Difference,
        Estimate,
        Verdict,
        firm_of,
        interval,
        paired_difference,
        verdict_of,
    )
    from trainmap.experiments.results.taught import Lessons, lessons, trained_on
    from trainmap.experiments.results.titles import map_titles, people_titles, search_titles, teacher_titles
    from trainmap.experiments.results.versus_random import CLOCKS, UNITS, Column, Comparison, compare
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "facts": "NAMES PRICED REFERENCES facts_of reads_map",
            "forgotten": "Forgotten Runs compressed_cells forgotten_of",
            "kind_groups": "KindGroup grouped_kinds",
            "label_curves": "ENTROPY RANDOM Curves curves_of",
            "round_curves": "OFF Across Opponent Row Rounds rounds_of",
            "map_pairs": "Pair pairs",
            "price": "BESIDE IN_A_RUN OF_A_MAP ONCE PARTS Price completed part_column price_of",
            "records": "Group groups has_random long_table report_of",
            "run_rows": "METRICS Report mean_of",
            "searched": "Arm Searched arms_of",
            "statistics": "Difference Estimate Verdict firm_of interval paired_difference verdict_of",
            "taught": "Lessons lessons trained_on",
            "titles": "map_titles people_titles search_titles teacher_titles",
            "versus_random": "CLOCKS UNITS Column Comparison compare",
        },
    )

# fmt: off
__all__ = [
    "BESIDE", "CLOCKS", "ENTROPY", "IN_A_RUN", "METRICS", "NAMES", "OFF", "OF_A_MAP", "ONCE", "PARTS", "PRICED",
    "RANDOM", "REFERENCES", "UNITS", "Across", "Arm", "Column", "Comparison", "Curves", "Difference", "Estimate",
    "Forgotten", "Group", "KindGroup", "Lessons", "Opponent", "Pair", "Price", "Report", "Rounds", "Row", "Runs",
    "Searched", "Verdict", "arms_of", "compare", "completed", "compressed_cells", "curves_of", "facts_of", "firm_of",
    "forgotten_of", "grouped_kinds", "groups", "has_random", "interval", "lessons", "long_table", "map_titles",
    "mean_of", "paired_difference", "pairs", "part_column", "people_titles", "price_of", "reads_map", "report_of",
    "rounds_of", "search_titles", "teacher_titles", "trained_on", "verdict_of",
]
# fmt: on
