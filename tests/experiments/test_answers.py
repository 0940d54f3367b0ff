"""What a report opens with: three sentences that follow from verdicts which stay, for every kind of experiment."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import studies
from test_report import COSTS, report, row, rows

from trainmap.experiments.report import html_page, latex_tables, markdown_page
from trainmap.experiments.report.answer import (
    Answer,
    Compared,
    beside,
    cost_words,
    paid_of,
    points,
    share_words,
    shown_difference,
    sure_of,
)
from trainmap.experiments.report.cost_scatter import NARROW, WIDE, scatter_of
from trainmap.experiments.report.forest import HIGHEST, LOWEST, forest_of, nice
from trainmap.experiments.report.glossary import TERMS, explained
from trainmap.experiments.report.page import page_of
from trainmap.experiments.report.study_files import write_study
from trainmap.experiments.report.verdict_words import CHANGED, LEGEND, VERSUS_RANDOM, against, symbol_of
from trainmap.experiments.results.statistics import Difference, Verdict, paired_difference

FIRM, WEAK, NONE, LOW, LOWEST_FIRM = (
    (Verdict.ABOVE, True),
    (Verdict.ABOVE, False),
    (Verdict.NONE, False),
    (Verdict.BELOW, False),
    (Verdict.BELOW, True),
)


def compared(verdict: Verdict, firm: bool, mean: float = 0.01, n: int = 3, name: str = "a") -> Compared:
    low, high = {Verdict.ABOVE: (0.005, 0.02), Verdict.BELOW: (-0.02, -0.005), Verdict.NONE: (-0.01, 0.03)}[verdict]
    return Compared(name, "", "random", Difference(mean, low, high, n, verdict, 0.01), firm)


def the_answer(**changes: Any) -> Answer:
    (answer,) = page_of(report(**changes)).answers
    return answer


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        ([FIRM], "Yes, in 1 comparison: choosing did better than lots."),
        ([FIRM, FIRM], "Yes, in all of 2 comparisons: choosing did better than lots."),
        (
            [FIRM, NONE, LOWEST_FIRM, LOW],
            "Yes, in 1 of 4 comparisons: choosing did better than lots; in 1 it did worse; in 1 it looked worse, but "
            "not after correction; in the others no difference is shown.",
        ),
        (
            [WEAK, NONE],
            "Not shown: in 1 of 2 comparisons choosing looked better than lots, but not after correction for that many "
            "comparisons; in the others no difference is shown.",
        ),
        ([NONE, NONE], "No: in none of 2 comparisons did choosing do better than lots; no difference is shown."),
        ([LOWEST_FIRM], "No: in no comparison did choosing do better than lots; it did worse."),
    ],
)
def test_the_first_sentence_says_yes_for_what_stays_only(verdicts: list[tuple[Verdict, bool]], said: str) -> None:
    assert paid_of([compared(*one) for one in verdicts], "choosing", "lots") == said


def test_one_run_of_each_says_nothing() -> None:
    alone = [compared(*NONE, n=1)]
    assert paid_of(alone, "choosing", "lots").startswith("Cannot be said yet")
    assert sure_of(alone, 0.95, 1).startswith("Not at all: each was trained once")


def test_how_sure_it_is_counts_what_stays_and_what_would_count_alone() -> None:
    said = sure_of([compared(*one) for one in (FIRM, WEAK, NONE, LOW)], 0.95, 2)
    assert said == (
        "Each was run 3 times with other seeds; corrected for 4 comparisons (Holm, at 95 %, in each of 2 tables by "
        "itself) 1 of the differences holds, 1 better; 2 more would count alone, but may be chance. So few runs show "
        "only large differences."
    )
    assert "none of the differences holds" in sure_of([compared(*NONE, n=5), compared(*NONE, n=4)], 0.9, 1)
    assert "4 to 5 times" in sure_of([compared(*NONE, n=5), compared(*NONE, n=4)], 0.9, 1)


def test_shares_costs_and_points_are_said_in_words() -> None:
    assert [share_words(one) for one in (0.33, 1 / 3, 0.5, 0.1, 0.42, 1.0)] == [
        *("a third", "a third", "half", "a tenth", "42 %", "all"),
    ]
    assert [cost_words(one) for one in (1 / 3, 1.01, 1.5)] == [
        *("a third of the training cost", "the same training cost", "1.5 times the training cost"),
    ]
    assert (points(-0.004), points(0.01), points(0.02)) == ("0.4 points", "1.0 point", "2.0 points")
    assert beside(-0.004, "all of it") == "comes within 0.4 points of all of it"
    assert beside(0.004, "all of it") == "comes out 0.4 points above all of it"
    assert shown_difference(compared(*FIRM)) == "+1.0 points [+0.5, +2.0]"


def test_what_paid_is_named_with_its_share_its_cost_and_its_distance_from_all_the_data() -> None:
    answer = the_answer()
    assert answer.paid == (
        "Yes, in 1 of 3 comparisons: choosing the training examples did better than picking as many at random; in 1 it "
        "did worse; in the others no difference is shown."
    )
    assert answer.what.startswith("A third of the data, chosen by “ambiguous 33 %”, ")
    assert "at a third of the training cost, " in answer.what
    assert "points above as many picked at random" in answer.what
    assert "random was beaten by “repeated random 33 %” in 1 of 1 comparison" in answer.what
    assert (answer.tone, len(answer.compared)) == ("better", 5)


def test_the_price_of_the_map_is_said_and_when_it_is_paid_back() -> None:
    paid = [{**one, "once_flops": 9e9 if one["draw"] == "chosen" else 0.0} for one in rows()]
    said = the_answer(rows=paid).what  # a run saves 2 of 3 GFLOPs
    assert "its map first of all, costs as much as 3 trainings on all the data, paid back after 5 runs" in said
    dear = [{**one, "train_flops": 3e9} for one in paid]
    assert "is not paid back" in the_answer(rows=dear).what
    free = [{**one, "reads_map": False} for one in paid]
    assert "It needs no map" in the_answer(rows=free).what


def test_where_nothing_paid_random_itself_is_the_news() -> None:
    some = [one for one in rows() if one["subset"] not in ("ambiguous 33 %", "repeated random 33 %")]
    answer = the_answer(rows=some)
    assert answer.paid.startswith("No: in none of 2 comparisons")
    assert "The best on average, “hard-to-learn 33 %”, is " in answer.what
    assert "A third of the data picked at random comes within 9.9 points of all of it (macro F1)" in answer.what


def test_a_report_of_random_rows_alone_judges_nothing() -> None:
    alone = [one for one in rows() if one["draw"] != "chosen"]
    assert the_answer(rows=alone).paid.startswith("Nothing to judge")
    only = [one for one in rows() if one["subset"] in ("full data", "random 33 %")]
    assert page_of(report(rows=only)).answers == ()


def test_a_row_against_an_opponent_of_its_own_beats_that_one() -> None:
    named = [{**one, "opponent": "hard-to-learn 33 %"} if one["subset"] == "ambiguous 33 %" else one for one in rows()]
    page = page_of(report(rows=named))
    assert "above “hard-to-learn 33 %”" in page.answers[0].what
    assert "▲ beats hard-to-learn 33 %" in markdown_page.markdown(page)


def test_every_mark_and_word_follows_from_the_verdict_and_whether_it_stays() -> None:
    assert [symbol_of(tone, firm) for tone, firm, _ in LEGEND] == ["▲", "△", "○", "▽", "▼"]
    for words in (VERSUS_RANDOM, CHANGED, against("x")):
        for verdict in (Verdict.ABOVE, Verdict.BELOW):
            assert words.of(verdict, False).endswith(", not after correction")
            assert "beats" not in words.of(verdict, False)
            assert "correction" not in words.of(verdict, True)
        assert words.of(Verdict.NONE, False) == "no difference shown"


def test_rows_of_the_picture_go_from_the_highest_down_on_one_scale() -> None:
    forest = forest_of(the_answer())
    means = [strip.mean for strip in forest.rows]
    assert means == sorted(means, reverse=True)  # type: ignore[type-var]
    zero = next(place for place, label in forest.ticks if label == "0")
    for strip in forest.rows:
        assert strip.low is not None
        assert strip.high is not None
        assert strip.mean is not None
        assert 0 <= strip.low <= strip.mean <= strip.high <= 100
        assert (strip.low > zero) == (strip.tone == "better")
    assert [strip.mark for strip in forest.rows][-1] == "▼"


def test_an_interval_that_goes_beyond_the_scale_says_so() -> None:
    wide = Difference(0.01, -0.5, 0.52, 2, Verdict.NONE, 0.8)
    answer = replace(the_answer(), compared=(replace(compared(*FIRM), difference=wide), compared(*FIRM)))
    forest = forest_of(answer)
    assert any(strip.beyond == (True, True) for strip in forest.rows)
    assert "An arrow goes on beyond the scale." in forest.lead


def test_many_comparisons_fold_between_the_highest_and_the_lowest_and_none_is_lost() -> None:
    many = tuple(compared(*FIRM, mean=at / 1000, name=str(at)) for at in range(40))
    forest = forest_of(replace(the_answer(), compared=many))
    assert len(forest.rows) == HIGHEST + LOWEST
    assert {strip.name for strip in (*forest.rows, *forest.folded)} == {str(at) for at in range(40)}


def test_differences_that_cannot_be_had_stand_without_a_mark() -> None:
    nothing = replace(compared(*NONE), difference=paired_difference({}, {}))
    same = replace(compared(*NONE), difference=paired_difference({0: 0.5, 1: 0.6}, {0: 0.5, 1: 0.6}))
    forest = forest_of(replace(the_answer(), compared=(nothing, same)))
    assert [(strip.mean is None, strip.low, strip.text) for strip in forest.rows] == [
        (False, None, "0.0 (n=2, identical)"),
        (True, None, "no common seed"),
    ]


@pytest.mark.parametrize("step", [0.3, 1.0, 4.2, 70.0, 1e-4])
def test_steps_of_a_scale_are_round(step: float) -> None:
    found = nice(step)
    assert step <= found < 10 * step
    assert re.match(r"[125]", f"{found:e}")


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_no_label_of_the_scatter_covers_another_or_leaves_the_picture(width: float) -> None:
    many = [row(f"a subset with a long name {at} %", 0.8 + at / 900, seed) for at in range(14) for seed in range(3)]
    plot = scatter_of(the_answer(rows=[*rows(3), *many]), width)
    assert len(plot.marks) == 14 + 7
    boxes = []
    for mark in plot.marks:
        assert plot.left <= mark.x <= plot.right
        if mark.label:
            wide = 7.2 * max(map(len, mark.label))
            left = {"start": mark.label_x, "end": mark.label_x - wide, "middle": mark.label_x - wide / 2}[mark.anchor]
            boxes.append((left, mark.label_y - 10, left + wide, mark.label_y + 14 * (len(mark.label) - 1)))
    for at, (left, top, right, bottom) in enumerate(boxes):
        assert left >= 0
        assert right <= width
        assert all(right <= b[0] or b[2] <= left or bottom <= b[1] or b[3] <= top for b in boxes[:at])
    labelled = {mark.name for mark in plot.marks if mark.label}
    assert {"full data", "random 33 %"} <= labelled
    assert plot.unlabelled == len(plot.marks) - len(labelled)


def test_a_word_is_explained_once_and_nothing_else_is_markup() -> None:
    text = str(explained("A student & <b>student</b> at equal steps"))
    assert text.count('class="term"') == 2
    assert "&amp; &lt;b&gt;student&lt;/b&gt;" in text
    assert TERMS["equal steps"] in unescape(text)
    assert unescape(re.sub(r"<span.*?</span>|<[^>]+>", "", text)) == "A student & <b>student</b> at equal steps"


KINDS = {
    "choices": """\
title: Choices
data: {names: [wine, breast-cancer]}
teachers: [{model: mlp-256, epochs: 2, seeds: [9]}]
subsets: [{key: full}, {key: random}, {key: repeated-random}, {spec: 33% ambiguous}, {spec: 33% easy-to-learn}]
students: [{model: linear, epochs: 2}]
seeds: [0, 1]
""",
    "made smaller": """\
title: Smaller
data: {names: [wine]}
teachers: [{model: mlp-256, epochs: 2, seeds: [9]}]
subsets: [{key: full}, {key: random}, {spec: 33% ambiguous}]
students: [{model: mlp-256, epochs: 1, compress: [{method: magnitude, sparsity: 0.8}]}]
seeds: [0, 1]
""",
    "clients": """\
title: Clients
data: {names: [digits], validation: 0.8}
federated: {model: mlp-256, clients: 3, rounds: 4, recipe: {batch: 16, peak_lr: 0.05}, partition: dirichlet}
seeds: [0, 1]
""",
    "labels": """\
title: Labels
data: {names: [digits], validation: 0.8}
active: {model: mlp-256, start: 10, step: 20, rounds: 3, steps: 12, sweeps: 3, strategies: [variability]}
seeds: [0, 1]
""",
    "searches": """\
title: A search
data: {names: [wine]}
teachers: [{model: mlp-256, epochs: 2}]
maps: []
students: [{model: mlp-256, epochs: 1, distillation: [{}]}]
seeds: [0, 1]
tuning: {trials: 2, seeds: [7]}
""",
}


@pytest.fixture(scope="module", params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reports of an experiment of each kind."""
    place = tmp_path_factory.mktemp("kind")
    out = studies.run(*studies.planned(KINDS[request.param], place), place / "out")
    write_study(out)
    return out


pytestmark = pytest.mark.usefixtures("one_thread")


def test_every_kind_of_report_opens_with_its_sentences(folder: Path) -> None:
    text = (folder / "report.md").read_text()
    opening = text.split("\n\n")[1].splitlines()
    assert [re.sub(r"\*\*.*", "", line.removeprefix("- **")) for line in opening] == [
        *("Did it pay?", "By what, and how much?", "How sure is that?"),
    ]
    page = (folder / "report.html").read_text()
    assert page.index("Did it pay?") < page.index("<details")
    assert "<details open" not in page
    assert 'class="card forest"' in page


def test_no_kind_of_report_says_beats_of_what_holm_does_not_keep(folder: Path) -> None:
    for name in ("report.md", "report.html", "table.csv", "report.tex"):
        text = (folder / name).read_text()
        for sign in ("△", "▽", r"\vartriangle$", r"\triangledown$"):
            for found in re.finditer(re.escape(sign), text):
                assert not text[found.end() :].lstrip(" </span>").startswith("beats"), (name, found)
    with open(folder / "table.csv", newline="") as handle:
        for line in csv.DictReader(handle):
            if line["verdict"].startswith("beats"):
                assert line["firm"] == "True"
            assert ("not after correction" in line["verdict"]) <= (line["firm"] == "False")


def test_tables_for_programs_and_papers_have_a_line_for_each_row_of_every_kind(folder: Path) -> None:
    with open(folder / "table.csv", newline="") as handle:
        lines = list(csv.DictReader(handle))
    assert len(lines) >= 1
    assert any(line["verdict"] for line in lines)
    tex = (folder / "report.tex").read_text()
    assert tex.count(r"\begin{tabular}") >= 1
    for name in {line["subset"] for line in lines}:
        assert latex_tables.tex(name) in tex
    with open(folder / "results.csv", newline="") as handle:
        assert len(list(csv.DictReader(handle))) >= 2


def test_pages_without_answers_open_with_what_they_have() -> None:
    page = replace(page_of(report(costs=COSTS)), answers=())
    assert "<h2>In short</h2>" in html_page.html(page)
    assert markdown_page.markdown(page).split("\n\n")[1].startswith("- Beats random")


def test_numbers_of_the_sentences_are_those_of_the_rows() -> None:
    ours, full = (
        np.mean([one["test_macro_f1"] for one in rows() if one["subset"] == name])
        for name in ("ambiguous 33 %", "full data")
    )
    assert beside(float(ours - full), "all of it") in the_answer().what
