"""Text of users in reports, tables and CSV files: shown as it is, whatever it is in the language of the file."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from markdown_it import MarkdownIt
from test_report import report
from typer.testing import CliRunner

import trainmap as tm
from hostile import HOSTILE
from trainmap.audits.audit import audit
from trainmap.cells import as_cell, cells, csv_text, from_cell
from trainmap.cli.app import app, main
from trainmap.errors import one_line
from trainmap.experiments.report import latex_tables
from trainmap.experiments.report.csv_tables import rows_csv
from trainmap.experiments.report.html_page import html as html_of
from trainmap.experiments.report.markdown_page import escape, listed, markdown
from trainmap.experiments.report.page import page_of
from trainmap.findings import RegionCards
from trainmap.findings.example_cards import Card

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
BLOCKS = ("## head ##", "- item", "+ item", "* item", "1. one", "12) two", "> quote", "[a]: http://x", "[a][b]", "---")
BLOCKS += (
    "***",
    "___",
    "===",
    "&copy;",
    "a\\",
    "|",
    "- [ ] box",
    "[x] box",
    "<!-- -->",
    "<http://x>",
    "C#",
    "_",
    "*a*b",
)
BLOCKS += ("www.example.com", "snake_case_name", "    code", "\tcode", "```", "~~~", "__b__", "~", "![a](b.png)")
TEXTS = {**HOSTILE, **{text: text for text in BLOCKS}}
FORMULAS = ("=1", "+x", "-x", "@x", "\tx", "\rx", "\nx", "＝x", "＋x", "－x", "＠x", "=", "-", "-inf", "+49 170")
PLAIN = ("-5", "+5", "-1.5e-3", ".5", "-.5", "5.", "", "a", "1-2", "a=b", "'", "'a", "it's", " =x")


def seen(text: str) -> str:
    """What a reader sees of a text."""
    return " ".join(one_line(text).split())


def tags(page: str) -> set[str]:
    return set(re.findall(r"<(\w+)", page))


def told(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", page))


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_markdown_shows_text_as_it_is_in_a_heading_a_list_and_a_table(text: str) -> None:
    heading = MARKDOWN.render(f"# {escape(text)}\n")
    assert (re.findall(r"<(\w+)", heading), told(heading).strip()) == (["h1"], seen(text))
    items = MARKDOWN.render(f"{listed([text, 'next'])}\n")
    assert re.findall(r"<(\w+)", items) == ["ul", "li", "li"]
    assert told(items).split("\n")[1:3] == [seen(text), "next"]
    table = MARKDOWN.render(f"| a | {escape(text)} |\n|---|---|\n| {escape(text)} | **{escape(text)}** |\n")
    assert re.findall(r"<(\w+)", table) == ["table", "thead", "tr", "th", "th", "tbody", "tr", "td", "td", "strong"]
    assert [told(cell) for cell in re.findall(r"<t[hd]>(.*?)</t[hd]>", table)] == ["a", *[seen(text)] * 3]


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags, self.texts = set[str](), list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(" ".join(data.replace("\u00a0", " ").split()))


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_report_shows_titles_notes_and_names_as_they_are(text: str) -> None:
    rows = [{**row, "student": text} if row["student"] == "cnn-8" else row for row in report().rows]
    made = report(title=text, notes=[text], provenance={"file": text}, rows=rows, models=[])
    page = Page()
    page.feed(html_of(page_of(made)))
    plain = Page()
    plain.feed(html_of(page_of(report(notes=["n"], provenance={"file": "f"}, models=[]))))
    assert page.tags == plain.tags
    assert (
        sum(" ".join(one_line(part).split()) == seen(text) for part in page.texts) >= 4
    )  # title, h1, note, provenance
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u2028\u202e]", "".join(page.texts))
    written = MARKDOWN.render(markdown(page_of(made)))
    assert set(re.findall(r"<(\w+)", written)) == set(
        re.findall(r"<(\w+)", MARKDOWN.render(markdown(page_of(report(notes=["n"])))))
    )
    assert seen(text) in told(written)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_examples_in_a_report_are_text(text: str) -> None:
    def page(shown: str) -> Page:
        regions = (RegionCards("ambiguous", "words", 1, (Card(shown, (shown,), shown, ((shown, shown),)),)),)
        found = Page()
        found.feed(html_of(page_of(report(regions=regions, models=[]))))
        return found

    assert page(text).tags == page("plain").tags
    assert sum(seen(part) == seen(text) for part in page(text).texts) >= 5


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_latex_has_every_character_and_no_command_of_the_text(text: str) -> None:
    tex = latex_tables.tex(text)
    back, rest = "", tex
    marks = sorted(((mark, letter) for letter, mark in latex_tables.TEX.items()), key=lambda pair: -len(pair[0]))
    while rest:
        mark, letter = next((pair for pair in marks if rest.startswith(pair[0])), (rest[0], rest[0]))
        assert mark in latex_tables.TEX.values() or letter not in '\\{}$&#^_~%|<>`"[*'
        back, rest = back + letter, rest[len(mark) :]
    assert back == seen(text)


@pytest.mark.parametrize("text", [*HOSTILE.values(), *FORMULAS, *PLAIN, *(f"'{text}" for text in FORMULAS)])
def test_a_cell_of_text_is_never_run_and_comes_back(text: str) -> None:
    cell = as_cell(text)
    assert from_cell(cell) == text
    assert not re.match(r"[=+\-@\t\r\n＝＋－＠]", cell) or re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", cell)
    assert cells(pl.DataFrame({text: [text]})).to_dicts() == [{cell: cell}]
    (row,) = csv.DictReader(io.StringIO(csv_text([{"a": text, "b": -1.5}]), newline=""))
    assert (row["a"].replace("\r", "\n"), row["b"]) == (cell.replace("\r", "\n"), "-1.5")


def test_numbers_stay_numbers_and_plain_text_as_it_is() -> None:
    assert [as_cell(value) for value in (-1.5, 3, True, None, np.float64(-2))] == [-1.5, 3, True, None, np.float64(-2)]
    assert [as_cell(text) for text in PLAIN] == list(PLAIN)
    assert [as_cell(text) for text in FORMULAS] == [f"'{text}" for text in FORMULAS]
    assert rows_csv([{"subset": "=cmd|x", "value": -1.5}]) == "subset,value\n'=cmd|x,-1.5\n"


def test_ids_of_scores_and_audits_come_back_from_csv(tmp_path: Path) -> None:
    ids = np.array(sorted({*FORMULAS, *PLAIN} - {""}))
    with tm.Recorder(tmp_path / "dynamics", classes=2) as recorder:
        for epoch in range(3):
            logits = np.random.default_rng(epoch).normal(size=(len(ids), 2))
            recorder.update(ids, logits, np.arange(len(ids)) % 2)
            recorder.end_epoch()
    scored = CliRunner().invoke(app, ["score", str(tmp_path / "dynamics"), "--out", str(tmp_path / "scores.csv")])
    assert scored.exit_code == 0, scored.output
    audit(tm.Dynamics.open(tmp_path / "dynamics")).save(tmp_path / "audit.csv")
    for name in ("scores.csv", "audit.csv"):
        with open(tmp_path / name, newline="") as handle:
            rows = list(csv.DictReader(handle))
        assert sorted(from_cell(row["id"]) for row in rows) == ids.tolist()
        assert all(float(value) == float(value) for row in rows for value in [row.get("variability", "0")])


YAML = {
    "title": " ".join([HOSTILE["markup that ends"], HOSTILE["format"], HOSTILE["mathtext"], HOSTILE["escape"]]),
    "notes": list(HOSTILE.values()),
    "data": {"names": ["digits"]},
    "teachers": [{"model": "mlp-256", "name": HOSTILE["markup that ends"] + HOSTILE["format"], "epochs": 2}],
    "subsets": [{"spec": "33% random"}, {"spec": "33% ambiguous", "name": HOSTILE["formula"] + HOSTILE["html"]}],
    "students": [{"model": "mlp-256", "name": HOSTILE["mathtext"] + HOSTILE["markup"], "epochs": 1}],
    "seeds": [0],
}


def command(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str | Path
) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["trainmap", *map(str, words)])
    code = 0
    try:
        main()
    except SystemExit as left:
        code = int(left.code or 0)
    out, err = capfd.readouterr()
    return code, out, err


def test_an_experiment_of_hostile_names_is_planned_run_failed_reported_and_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "a{b} [bold]%s$x$.yaml", tmp_path / "out[" / "data" / "x] {b}"
    file.write_text(yaml.safe_dump(YAML, allow_unicode=True))
    code, text, err = command(capfd, monkeypatch, "run", file, "--out", out, "--plan")
    assert (code, err) == (0, "")
    assert "[/data/x.npz] {b} {0} {}" in re.sub(r"\s+", " ", text)

    plan = json.loads(_planned(file, out))
    teacher = next(entry for entry in plan["entries"] if entry["kind"] == "teacher")
    blockade = out / "made" / f"teacher-{teacher['hash'][:16]}"
    blockade.parent.mkdir()
    blockade.write_text("a file where a folder should be")

    code, text, err = command(capfd, monkeypatch, "run", file, "--out", out, "--jobs", "1")
    assert code == 2
    line = err.strip().splitlines()[-1]
    assert re.match(r"trainmap: 1 of \d tasks failed and \d that need them were not tried; the first, teacher", line)
    assert "Traceback" not in err
    assert "\x1b" not in err
    assert (out / "report.html").exists()  # of what is finished
    assert "33 %" in (out / "table.csv").read_text()
    code, text, err = command(capfd, monkeypatch, "status", out)
    assert (code, err) == (0, "")
    assert "failed: teacher [/data/x.npz]{b} {0}" in text

    blockade.unlink()
    code, text, err = command(capfd, monkeypatch, "run", file, "--out", out, "--jobs", "1")
    assert code == 0, err
    page = Page()
    page.feed((out / "report.html").read_text())
    assert "script" not in page.tags
    written = MARKDOWN.render((out / "report.md").read_text())
    for note in YAML["notes"]:
        assert seen(str(note)) in told(written)
    with open(out / "results.csv", newline="") as handle:
        subsets = {from_cell(row["subset"]) for row in csv.DictReader(handle)}
    assert YAML["subsets"][1]["name"] in subsets
    for verb in ("report", "status"):
        assert command(capfd, monkeypatch, verb, out)[0] == 0


def _planned(file: Path, out: Path) -> bytes:
    from trainmap.experiments.file.variants import load_experiment
    from trainmap.experiments.plan.planner import plan_graph
    from trainmap.experiments.runs.folder import claim, study_of

    variants = load_experiment(file)
    claim(study_of(variants, plan_graph(variants, out), {"file": file.name}), out)
    return (out / "experiment.json").read_bytes()
