from __future__ import annotations

import base64
import csv
import html as html_escapes
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from markdown_it import MarkdownIt

from trainmap.errors import TrainmapError
from trainmap.experiments.report import html_page, markdown_page
from trainmap.experiments.report.csv_tables import rows_csv
from trainmap.experiments.report.in_short import summary
from trainmap.experiments.report.page import page_of
from trainmap.experiments.report.report_files import write_report
from trainmap.experiments.report.score_tables import grids
from trainmap.experiments.results.facts import ROLES
from trainmap.experiments.results.versus_random import Report, compare, unopposed

SUBSETS = {"full data": 0.9, "full data, equal steps": 0.8, "random 33 %": 0.8, "repeated random 33 %": 0.81}
CHOSEN = {"ambiguous 33 %": 0.9, "high forgetfulness 33 %": 0.7, "hard-to-learn 33 %": 0.8}
DRAWS: dict[str, str] = {
    "full data": "full",
    "full data, equal steps": "full, equal steps",
    "random 33 %": "random",
    "random 50 %": "random",
    "repeated random 33 %": "repeated random",
}
COSTS = {
    "map": {"flops": 9e9, "seconds": 30.0, "note": "the teacher"},
    "scoring": {"flops": 0, "seconds": 6.0},
    "teacher": {"flops": 5e20, "seconds": 5e9},
}


def row(subset: str, mean: float, seed: int, student: str = "cnn-8", distilled: bool = False) -> dict[str, Any]:
    """A run; every cell moves with its seed, and a little by itself, as real runs do."""
    own = np.random.default_rng([seed, len(subset), distilled]).normal(0, 0.001)
    f1 = mean + 0.01 * seed + own + 0.02 * distilled
    share = 1.0 if subset.startswith("full") else 1 / 3
    steps = 300 if subset == "full data" else 100
    draw = DRAWS.get(subset, "chosen")
    return {
        "subset": subset,
        "student": student,
        "distilled": distilled,
        "seed": seed,
        "test_macro_f1": f1,
        "test_accuracy": f1 + 0.01,
        "test_loss": 0.3,
        "examples": round(1200 * share),
        "fraction": share,
        "steps": steps,
        "train_flops": steps * 1e7,
        "train_seconds": steps / 10,
        "role": ROLES[draw],
        "draw": draw,
        "series": subset,
    }


def rows(seeds: int = 4, **more: Any) -> list[dict[str, Any]]:
    means = SUBSETS | CHOSEN
    return [row(subset, mean, seed, **more) for subset, mean in means.items() for seed in range(seeds)]


def report(**changes: Any) -> Report:
    return Report(**{"title": "Digits", "rows": rows(), "costs": COSTS, **changes})


def markdown(report: Report) -> str:
    return markdown_page.markdown(page_of(report))


def html(report: Report) -> str:
    return html_page.html(page_of(report))


class Page(HTMLParser):
    """The tables of a page as text, what it refers to, and a check that every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tables: list[list[tuple[str, list[str]]]] = []
        self.references: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img", "line", "br", "link"):
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append((dict(attrs).get("class") or "", []))
        if tag in ("td", "th"):
            self.tables[-1][-1][1].append("")
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ("line", "path")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open):
            line = self.tables[-1][-1][1]
            line[-1] = " ".join(f"{line[-1]} {data}".split())


def table(text: str, heading: str) -> dict[str, dict[str, str]]:
    """A Markdown table below a heading, by row and column."""
    section = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [[cell.strip() for cell in line[1:-1].split(" | ")] for line in section.splitlines() if line[:2] == "| "]
    return {line[0]: dict(zip(lines[0], line, strict=True)) for line in lines[1:]}


def test_a_cell_holds_mean_interval_n_difference_and_verdict() -> None:
    text = table(markdown(report()), "Test macro F1")["ambiguous 33 %"]["cnn-8"]
    ours = [r["test_macro_f1"] for r in rows() if r["subset"] == "ambiguous 33 %"]
    theirs = [r["test_macro_f1"] for r in rows() if r["subset"] == "random 33 %"]
    low, high = scipy.stats.t.interval(0.95, 3, loc=np.mean(ours), scale=scipy.stats.sem(ours))
    paired = scipy.stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    value = f"{100 * np.mean(ours):.2f} ± {50 * (high - low):.2f} (n=4)"
    difference = f"+{100 * (np.mean(ours) - np.mean(theirs)):.2f} [+{100 * paired.low:.2f}, +{100 * paired.high:.2f}]"
    assert text == f"{value}; {difference}; ▲ beats random"


def test_rows_come_in_the_order_given_and_are_named_for_readers() -> None:
    names = list(table(markdown(report()), "Test macro F1"))
    assert names == [
        *("**full data**", "**full data, equal steps**", "**random 33 %**", "**repeated random 33 %**"),
        *("ambiguous 33 %", "high forgetfulness 33 %", "hard-to-learn 33 %"),
    ]


def test_verdicts_are_said_in_words_and_random_is_the_opponent() -> None:
    cells = {name: line["cnn-8"] for name, line in table(markdown(report()), "Test accuracy").items()}
    assert cells["high forgetfulness 33 %"].endswith("▼ worse")
    assert cells["hard-to-learn 33 %"].endswith("○ no difference shown")
    assert cells["**random 33 %**"].endswith("the opponent")


def test_students_and_distillation_make_the_columns() -> None:
    many = [r for s in ("vit", "cnn-8") for kd in (True, False) for r in rows(2, student=s, distilled=kd)]
    grid = grids(report(rows=many))[0]
    assert grid.heads == ("cost", "vit", "vit + KD", "cnn-8", "cnn-8 + KD")
    text = markdown(report(rows=many)).split("## Test macro F1")[1].split("\n## ")[0]
    heads = [re.split(r" *\| *", line)[1:-1] for line in text.splitlines() if "| subset" in line]
    assert heads == [["subset", "cost", "vit", "cnn-8"], ["subset", "cost", "vit + KD", "cnn-8 + KD"]]


def test_distillation_is_compared_with_plain_training_of_the_same_seeds() -> None:
    many = [*rows(), *rows(distilled=True)]
    lines = table(markdown(report(rows=many)), "What distillation adds")
    assert lines["**random 33 %**"]["cnn-8 + KD"].endswith("▲ helps")
    assert lines["**random 33 %**"]["cnn-8 + KD"].startswith("+")
    assert "Distillation by KD helps in 7 of 7 comparisons, hurts in 0, no difference shown in 0." in summary(
        report(rows=many)
    )
    assert "What distillation adds" not in markdown(report())


def test_a_run_that_is_missing_leaves_a_dash_and_a_single_seed_no_interval() -> None:
    some = [r for r in [*rows(), *rows(student="vit")] if r["student"] == "cnn-8" or r["subset"] != "ambiguous 33 %"]
    some = [r for r in some if r["student"] == "cnn-8" or r["seed"] == 0]
    lines = table(markdown(report(rows=some)), "Test macro F1")
    assert lines["ambiguous 33 %"]["vit"] == "–"
    assert re.fullmatch(
        r"70\.\d+ \(n=1\); −\d+\.\d+ \(n=1, no interval\); ○ no difference shown",
        lines["high forgetfulness 33 %"]["vit"],
    )


def test_a_difference_over_fewer_seeds_than_the_mean_says_so() -> None:
    some = [r for r in rows() if not (r["subset"] == "random 33 %" and r["seed"] > 1)]
    text = table(markdown(report(rows=some)), "Test macro F1")["hard-to-learn 33 %"]["cnn-8"]
    assert "(n=4); " in text
    assert "] (n=2); " in text


def test_a_report_without_random_is_refused() -> None:
    without = [r for r in rows() if "random" not in r["draw"]]
    with pytest.raises(TrainmapError, match="a comparison without random selection says nothing"):
        markdown(report(rows=without))
    repeated = [r for r in rows() if r["subset"] != "random 33 %"]  # is no random row either
    with pytest.raises(TrainmapError, match="a comparison without random selection says nothing"):
        html(report(rows=repeated))


def test_random_of_another_size_is_no_opponent() -> None:
    bigger = [{**r, "subset": "ambiguous 50 %", "examples": 600} if "ambiguous" in r["subset"] else r for r in rows()]
    with pytest.raises(
        TrainmapError, match=r"'ambiguous 50 %' has 600 examples, the nearest is 'random 33 %' with 400"
    ):
        markdown(report(rows=bigger))
    fair = [*bigger, *({**row("random 50 %", 0.88, seed), "examples": 600} for seed in range(4))]
    (comparison,) = compare(report(rows=fair))
    assert comparison.opponents["ambiguous 50 %"] == "random 50 %"
    assert comparison.opponents["hard-to-learn 33 %"] == "random 33 %"
    assert comparison.opponents["full data, equal steps"] == "random 33 %"  # the one of its steps


def test_full_data_has_no_random_of_its_size_and_so_no_verdict() -> None:
    tables = table(markdown(report()), "Test macro F1"), table(markdown(report()), "Test accuracy")
    for lines in tables:
        assert re.fullmatch(r"[\d.]+ ± [\d.]+ \(n=4\)", lines["**full data**"]["cnn-8"])
    full = [r for r in rows() if r["subset"] in ("full data", "random 33 %")]
    assert [line for line in summary(report(rows=full)) if "omparison" in line] == [
        "Not in this comparison: full data, equal steps, repeated random."
    ]


def test_every_budget_is_a_comparison_of_its_own() -> None:
    both = [{**r, "budget": budget} for budget in ("equal epochs", "equal steps") for r in rows()]
    titles = [grid.title for grid in grids(report(rows=both))]
    each = ("Test macro F1", "Cost", "Against full data", "Test accuracy")
    assert titles[:8] == [f"{title}, {budget}" for budget in ("equal epochs", "equal steps") for title in each]
    only_once = [r for r in both if r["budget"] == "equal epochs" or "random" not in r["subset"]]
    with pytest.raises(TrainmapError, match="without random"):
        markdown(report(rows=only_once))


def test_the_summary_names_what_paid_and_what_did_not() -> None:
    said = summary(report())
    assert said[:3] == [
        "Beats random of the same size: repeated random 33 % (cnn-8), ambiguous 33 % (cnn-8).",
        "No difference from random shown: full data, equal steps (cnn-8), hard-to-learn 33 % (cnn-8).",
        "Worse than random of the same size: high forgetfulness 33 % (cnn-8).",
    ]
    assert said[3].startswith("5 comparisons at 95 %: about 0.3 would show a difference by chance alone.")


def test_a_missing_opponent_is_said() -> None:
    some = [r for r in rows() if r["subset"] not in ("repeated random 33 %", "full data")]
    assert summary(report(rows=some))[-1] == "Not in this comparison: full data, repeated random."
    assert "Not in this comparison" not in " ".join(summary(report()))


def test_a_verdict_that_does_not_survive_holm_beats_nothing() -> None:
    noisy = [dict(r) for r in rows(3)]
    for r in noisy:
        r["test_macro_f1"] += (0.025, 0.0, -0.025)[r["seed"]] * (r["subset"] == "ambiguous 33 %")
    cell = table(markdown(report(rows=noisy)), "Test macro F1")["ambiguous 33 %"]["cnn-8"]
    assert cell.endswith("; △ better, not after correction")
    assert "Better than random of the same size, but not after correction: ambiguous 33 % (cnn-8)." in summary(
        report(rows=noisy)
    )


def test_costs_are_relative_to_full_data_and_say_when_the_map_has_paid() -> None:
    lines = table(markdown(report()), "Cost")
    assert lines["**full data**"]["cnn-8"] == "3 GFLOPs (100 %); 30 s (100 %)"
    # the map and its scores cost 9 GFLOPs and 36 s; a subset run saves 2 GFLOPs and 20 s; the teacher does not count
    assert lines["ambiguous 33 %"]["cnn-8"] == ("1 GFLOPs (33 %); 10 s (33 %); map pays after 5 runs (2 by time)")
    assert lines["**random 33 %**"]["cnn-8"] == "1 GFLOPs (33 %); 10 s (33 %)"
    assert (lines["ambiguous 33 %"]["examples"], lines["ambiguous 33 %"]["steps"]) == ("400; 33 %", "100")
    assert table(markdown(report()), "Test macro F1")["ambiguous 33 %"]["cost"] == "33 % FLOPs; 33 % time"


def test_on_a_cpu_time_is_that_of_all_cores() -> None:
    """Half of the wall seconds in training, a third in making the map: (30 + 6) / 3 s over 15 s - 5 s saved."""
    counted = [{**r, "train_cpu_seconds": r["train_seconds"] / 2} for r in rows()]
    costs = {name: {**cost, "cpu_seconds": cost["seconds"] / 3} for name, cost in COSTS.items()}
    text = markdown(report(rows=counted, costs=costs, clock="cpu"))
    assert table(text, "Cost")["ambiguous 33 %"]["cnn-8"] == (
        "1 GFLOPs (33 %); 5 s (33 %); map pays after 5 runs (2 by time)"
    )
    assert table(text, "Test macro F1")["ambiguous 33 %"]["cost"] == "33 % FLOPs; 33 % CPU time"
    assert table(text, "Made once")["map"]["CPU time (all cores)"] == "10 s"
    assert "in FLOPs and CPU time (all cores), mean over seeds" in text
    with pytest.raises(TrainmapError, match="must have train_cpu_seconds"):
        markdown(report(costs=costs, clock="cpu"))


def test_a_selection_that_reads_no_map_does_not_pay_for_one() -> None:
    free = [{**r, "reads_map": False} if r["subset"] == "ambiguous 33 %" else r for r in rows()]
    lines = table(markdown(report(rows=free)), "Cost")
    assert lines["ambiguous 33 %"]["cnn-8"] == "1 GFLOPs (33 %); 10 s (33 %)"
    assert "map pays" in lines["hard-to-learn 33 %"]["cnn-8"]


def test_a_subset_that_is_not_cheaper_never_pays() -> None:
    dear = [{**r, "train_flops": 3e9, "train_seconds": 31.0} for r in rows()]
    assert table(markdown(report(rows=dear)), "Cost")["ambiguous 33 %"]["cnn-8"].endswith("map never pays")


def test_selections_without_the_cost_of_their_map_are_refused() -> None:
    with pytest.raises(TrainmapError, match="costs must have 'map'"):
        markdown(report(costs={}))
    opponents = [r for r in rows() if r["draw"] != "chosen"]
    assert "random 33 %" in markdown(report(rows=opponents, costs={}))


def test_a_student_without_a_full_run_has_no_ratio() -> None:
    some = [r for r in [*rows(), *rows(student="vit")] if r["student"] == "cnn-8" or r["subset"] != "full data"]
    line = table(markdown(report(rows=some)), "Cost")["ambiguous 33 %"]
    assert line["vit"] == "1 GFLOPs; 10 s"
    assert line["cnn-8"].endswith("map pays after 5 runs (2 by time)")


def test_without_full_data_there_is_nothing_to_be_relative_to() -> None:
    some = [r for r in rows() if r["subset"] != "full data"]
    lines = table(markdown(report(rows=some)), "Cost")
    assert lines["ambiguous 33 %"]["cnn-8"] == "1 GFLOPs; 10 s"
    assert table(markdown(report(rows=some)), "Test macro F1")["ambiguous 33 %"]["cost"] == "–"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"test_macro_f1": 97.2},
            r"\(random 33 %, cnn-8, seed 0\): test_macro_f1 must be a fraction from 0 to 1, got 97.2",
        ),
        ({"test_accuracy": math.nan}, "test_accuracy must be a fraction from 0 to 1, got nan"),
        ({"train_flops": 0}, "train_flops must be above 0, got 0"),
        ({"seed": 1}, "is there twice"),
    ],
)
def test_a_row_that_cannot_be_right_is_refused(change: dict[str, Any], message: str) -> None:
    broken = [{**r, **change} if (r["subset"], r["seed"]) == ("random 33 %", 0) else r for r in rows()]
    with pytest.raises(TrainmapError, match=message):
        compare(report(rows=broken))


def test_a_row_without_a_field_is_refused_with_its_name() -> None:
    broken = [{key: value for key, value in r.items() if key != "train_flops"} for r in rows()]
    with pytest.raises(TrainmapError, match="must have train_flops; it has subset, student"):
        compare(report(rows=broken))
    with pytest.raises(TrainmapError, match="at least one row"):
        compare(report(rows=[]))


def test_the_page_has_the_same_cells_as_the_markdown() -> None:
    page = Page(html(report(rows=[*rows(), *rows(distilled=True)], models=MODELS)))
    grid = grids(report(rows=[*rows(), *rows(distilled=True)], models=MODELS))
    assert len(page.tables) == len(grid)
    for shown, wanted in zip(page.tables, grid, strict=True):
        assert shown[0][1] == [wanted.corner, *wanted.heads]
        for (style, texts), line in zip(shown[1:], wanted.lines, strict=True):
            assert texts[0].replace("\N{NO-BREAK SPACE}", " ") == line.name
            assert (style == "opponent") == line.reference
            for text, cell in zip(texts[1:], line.cells, strict=True):
                assert cell.text.split(" (n=")[0] in text
                assert cell.detail in text
                assert cell.words in text


MODELS = [{"name": "cnn-8", "parameters": 19978, "flops": 1.1e6, "role": "student"}]


def test_models_are_shown_with_parameters_and_flops() -> None:
    line = table(markdown(report(models=MODELS)), "Models")["cnn-8"]
    assert (line["part"], line["parameters"], line["FLOPs per example"]) == ("student", "19,978", "1.1 MFLOPs")


def test_the_page_stands_alone(tmp_path: Path) -> None:
    picture = tmp_path / "map.png"
    picture.write_bytes(b"\x89PNG bytes")
    text = html(report(picture=picture))
    assert Page(text).references == [f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}"]
    assert not re.search(r"https?:|@import|url\(|<script", text)


def test_a_picture_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainmapError, match=r"absent\.png, which is not there"):
        write_report(report(picture=tmp_path / "absent.png"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_text_from_outside_is_text_in_the_page_and_in_markdown() -> None:
    evil = '<script>alert("x")</script> | [a](javascript:b) & `c`'
    changed = [{**r, "student": evil} for r in rows()]
    dangerous = report(
        title=evil, rows=changed, notes=[evil], provenance={evil: evil}, models=[{**MODELS[0], "name": evil}]
    )
    page = html(dangerous)
    assert "<script" not in page
    assert page.count(html_escapes.escape(evil, quote=False)[:20]) >= 5
    text = markdown(dangerous)
    shown = MarkdownIt("commonmark").enable("table").render(text)
    assert "<script" not in shown
    assert "<a " not in shown
    assert "<code" not in shown
    assert shown.count("<table>") == len(grids(dangerous))
    assert len(set(table(text, "Test macro F1"))) == 7  # its pipes do not make columns


def test_three_files_are_written_and_writing_again_changes_no_byte(tmp_path: Path) -> None:
    picture = tmp_path / "map.png"
    picture.write_bytes(b"\x89PNG")
    done = report(picture=picture, notes=["one"], provenance={"dataset": "digits"}, models=MODELS)
    paths = write_report(done, tmp_path / "out")
    assert {kind: path.name for kind, path in paths.items()} == {
        "markdown": "report.md",
        "html": "report.html",
        "rows": "results.csv",
    }
    assert "![the data map](../map.png)" in paths["markdown"].read_text()
    again = write_report(done, tmp_path / "again")
    assert [path.read_bytes() for path in again.values()] == [path.read_bytes() for path in paths.values()]


def test_all_rows_and_all_fields_are_in_the_csv() -> None:
    some = rows(2)
    some[3]["extra"] = "a, b"
    read = list(csv.DictReader(rows_csv(some).splitlines()))
    assert len(read) == len(some)
    assert list(read[0]) == [*list(rows(1)[0])[:-3], "extra", "role", "draw", "series"]  # what was there stays in place
    assert read[3]["extra"] == "a, b"
    assert float(read[5]["test_macro_f1"]) == some[5]["test_macro_f1"]


def test_rows_without_random_of_their_size_are_named_and_the_rest_can_be_compared() -> None:
    small = [
        {**one, "subset": "ambiguous 10 %", "examples": 120} for one in rows() if one["subset"] == "ambiguous 33 %"
    ]
    other = [{**one, "budget": "equal steps"} for one in rows() if one["subset"] in ("full data", "ambiguous 33 %")]
    every = [*rows(), *small, *other]
    assert unopposed(rows()) == []
    assert unopposed(every) == [*small, *other]
    with pytest.raises(TrainmapError, match="without random"):
        compare(report(rows=every))
    (comparison,) = compare(report(rows=[one for one in every if one not in unopposed(every)]))
    assert len(comparison.names) == len(SUBSETS | CHOSEN)
