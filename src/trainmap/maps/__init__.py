"""The map: one table with a row for each example, its scores and its region; and how far to believe it.

Its files, in reading order::

    regions.py          easy-to-learn, ambiguous, hard-to-learn
    table_file.py       a Parquet table with what made it
    map_file.py         A map as a file
    axes.py             the axes of a map by the kind of its recording
    ensemble.py         one map of several recordings
    datamap.py          DataMap
    stability.py        how sure a map is, and from which epoch on
    over_seeds.py       how sure a score is over several recordings
    agreement.py        how far two maps agree
    second_split.py     which examples are lost when training goes on with others
    human.py            do people find the same examples hard?
    found_kinds.py      which score finds which kind of example, where the kinds are known
    any_table.py        a map from anybody's table of scores
    dataset_columns.py  a map's columns beside the rows of a dataset
    exchange.py         maps for other tools
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainmap.faces import lazily

if TYPE_CHECKING:
    from trainmap.maps.agreement import FRACTIONS, Comparison, compare, open_pair, plain
    from trainmap.maps.any_table import map_from_table
    from trainmap.maps.datamap import DataMap
    from trainmap.maps.dataset_columns import add_columns
    from trainmap.maps.exchange import METRICS, export_allenai, export_fiftyone, export_spotlight, study_map
    from trainmap.maps.found_kinds import GUESSING, FoundKind, find_kinds
    from trainmap.maps.human import human_agreement, label_entropy
    from trainmap.maps.map_file import AXES, check_map_name, to_arrow
    from trainmap.maps.over_seeds import agreement_by_members, agreement_matrix, intervals
    from trainmap.maps.regions import (
        AMBIGUOUS,
        EASY,
        HARD,
        REGIONS,
        Rule,
        assign,
        check_fraction,
        check_rule,
        deepest_first,
        depth,
        overlap,
        region_numbers,
        unclear,
    )
    from trainmap.maps.stability import Convergence, agreement_by_epoch, converged, earlier, telling_scores
    from trainmap.maps.table_file import METADATA, check_table, read_table, write_table
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "agreement": "FRACTIONS Comparison compare open_pair plain",
            "any_table": "map_from_table",
            "datamap": "DataMap",
            "dataset_columns": "add_columns",
            "exchange": "METRICS export_allenai export_fiftyone export_spotlight study_map",
            "found_kinds": "GUESSING FoundKind find_kinds",
            "human": "human_agreement label_entropy",
            "map_file": "AXES check_map_name to_arrow",
            "over_seeds": "agreement_by_members agreement_matrix intervals",
            "regions": (
                "AMBIGUOUS EASY HARD REGIONS Rule assign check_fraction check_rule deepest_first depth overlap "
                "region_numbers unclear"
            ),
            "stability": "Convergence agreement_by_epoch converged earlier telling_scores",
            "table_file": "METADATA check_table read_table write_table",
        },
    )

# fmt: off
__all__ = [
    "AMBIGUOUS", "AXES", "EASY", "FRACTIONS", "GUESSING", "HARD", "METADATA", "METRICS", "REGIONS", "Comparison",
    "Convergence", "DataMap", "FoundKind", "Rule", "add_columns", "agreement_by_epoch", "agreement_by_members",
    "agreement_matrix", "assign", "check_fraction", "check_map_name", "check_rule", "check_table", "compare",
    "converged", "deepest_first", "depth", "earlier", "export_allenai", "export_fiftyone", "export_spotlight",
    "find_kinds", "human_agreement", "intervals", "label_entropy", "map_from_table", "open_pair", "overlap",
    "plain", "read_table",
    "region_numbers", "study_map", "telling_scores", "to_arrow", "unclear", "write_table",
]
# fmt: on
