"""Results for people: pages, tables, pictures.

Its files, in reading order::

    formats.py             numbers as people read them
    verdict_words.py       the words for a verdict
    grid.py                A table for people as a value: what stands in each cell
    judged_cells.py        cells with the verdict of a difference, and how many came out how
    student_columns.py     the frame of a table with one line per subset and one column per student
    score_tables.py        the tables of one comparison
    cost_tables.py         what it cost
    agreement_tables.py    how far the maps of one dataset agree, two by two: the tables
    compression_tables.py  what compression saves, what it changes and what it forgets
    kind_tables.py         which score finds which kind? The tables
    member_tables.py       how many recordings a map's ranking needs
    people_tables.py       do people find the same examples hard? The tables
    search_tables.py       the tables of a search for hyperparameters
    active_tables.py       active learning: what labels buy
    federated_tables.py    federated learning: what rounds buy, and who the clients are
    federated_plots.py     the curves of federations, and their clients on one map
    federated_sentences.py what federations say, and the families in which they are judged
    teacher_tables.py      the table of an experiment's teachers: a line for each, over its seeds
    overview_tables.py     the whole of an experiment in one table
    in_short.py            what the main tables say, in sentences that follow from their verdicts
    answer.py              what a report answers: did it pay, by what, how sure is that
    choice_answer.py       of choices of training examples
    federated_answer.py    of clients that choose
    label_answer.py        of labels that are asked for
    search_answer.py       of searches for hyperparameters
    apart_rows.py          what is judged outside the tables of subsets, for CSV and LaTeX
    procedure_steps.py     the procedure of an experiment, step by step
    page.py                the page over all of it
    markdown_page.py       A page as GitHub Markdown that reads well raw, too
    forest.py              the picture of differences from an opponent, as a value
    cost_scatter.py        the picture of accuracy against cost, as a value
    glossary.py            the words that a reader may not know
    html_page.py           A page as one HTML file
    latex_tables.py        the big tables for a paper
    csv_tables.py          the runs, and the cells that they make, as CSV for other programs
    report_files.py        the table that says what paid and what did not
    study_plots.py         the pictures of an experiment
    study_files.py         the reports of an experiment's folder
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainmap.faces import lazily

if TYPE_CHECKING:
    from trainmap.experiments.report.study_files import write_outcome, write_study
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "study_files": "write_outcome write_study",
        },
    )

# fmt: off
__all__ = [
    "write_outcome", "write_study",
]
# fmt: on
