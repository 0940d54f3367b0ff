"""trainmap explore on the command line; and that the page's modules are one script."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

import trainmap as tm
from trainmap.cli.app import app
from trainmap.explorer.page_script import MODULES, page_file, script


@pytest.fixture(scope="module")
def place(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A map and a card of it in one folder."""
    folder = tmp_path_factory.mktemp("place")
    datamap = tm.DataMap.from_dynamics(tm.Dynamics.open(digits / "seed0"))
    datamap.save(folder / "map.parquet")
    tm.select(datamap, "33% ambiguous").save(folder / "card.json")
    return folder


def said(*words: object) -> str:
    found = CliRunner().invoke(app, ["explore", *map(str, words)])
    if found.exception is not None:
        raise found.exception
    return found.output


def test_a_file_is_written_and_written_again_and_no_other_one_over(digits: Path, tmp_path: Path) -> None:
    page, review = tmp_path / "map.html", tmp_path / "review.jsonl"
    for _ in range(2):
        output = said(digits / "seed0", "--data", "digits", "--html", page, "--review", review)
        assert f"{page}: 500 examples, {page.stat().st_size:,} bytes" in output.replace("\n", "")
    (tmp_path / "mine.html").write_text("<p>mine</p>")
    with pytest.raises(tm.StoreError, match="an explorer's page would be written over it"):
        said(digits / "seed0", "--html", tmp_path / "mine.html")
    with pytest.raises(tm.TrainmapError, match=r"must end in \.html"):
        said(digits / "seed0", "--html", tmp_path / "map.htmlx")


def test_what_does_not_fit_is_left_out_and_said(digits: Path, tmp_path: Path) -> None:
    page, review = tmp_path / "map.html", tmp_path / "review.jsonl"
    whole = said(digits / "seed0", "--data", "digits", "--html", page, "--review", review)
    size = page.stat().st_size
    assert "left out" not in whole
    said(digits / "seed0", "--data", "digits", "--html", page, "--review", review, "--max-bytes", size - 100_000)
    assert size - 150_000 < page.stat().st_size <= size - 100_000
    assert "of 500 examples are left out of this file" in page.read_text()
    with pytest.raises(
        tm.TrainmapError, match=r"the scores of 500 examples alone take [\d,]+ bytes, max_bytes is 1,000"
    ):
        said(digits / "seed0", "--html", page, "--review", review, "--max-bytes", 1000)


def test_a_card_finds_its_map_beside_it(place: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    said(place / "card.json", "--html", page, "--review", tmp_path / "r.jsonl")
    assert '"selections": ["card"]' in page.read_text()
    said(place / "card.json", "--map", place / "map.parquet", "--html", page, "--review", tmp_path / "r.jsonl")
    (tmp_path / "alone").mkdir()
    for name in place.glob("card*"):
        (tmp_path / "alone" / name.name).write_bytes(name.read_bytes())
    with pytest.raises(tm.StoreError, match=r"the map of .*card\.json is not beside it; name it: --map MAP"):
        said(tmp_path / "alone" / "card.json", "--html", page)
    with pytest.raises(tm.TrainmapError, match="--map goes with a card"):
        said(place / "map.parquet", "--map", place / "map.parquet", "--html", page)


def test_a_review_beside_the_recording_is_its_own(digits: Path, place: Path) -> None:
    assert tm.explore(digits / "seed0").review.path == digits / "seed0.review.jsonl"
    assert tm.explore(place / "map.parquet").review.path == place / "map.review.jsonl"
    assert tm.explore(tm.DataMap.open(place / "map.parquet")).review.path is None


def test_maps_that_do_not_belong_together_are_refused(digits: Path, place: Path, tmp_path: Path) -> None:
    with tm.Recorder(tmp_path / "other", classes=2) as recorder:
        recorder.update(["a", "b"], [[0.0, 1.0], [3.0, 2.0]], [0, 1])
        recorder.end_epoch()
    with pytest.raises(tm.TrainmapError, match="none of the 500 ids is in both"):
        tm.explore(digits / "seed0", beside=tmp_path / "other")
    with pytest.raises(tm.TrainmapError, match="the recording has other ids or labels than the map"):
        tm.explore(tm.DataMap.open(place / "map.parquet"), recording=tm.Dynamics.open(tmp_path / "other"))


def test_modules_of_the_page_are_one_script_without_a_name_twice() -> None:
    names: list[str] = []
    for place, module in enumerate(MODULES):
        text = page_file(module)
        assert text.startswith("// @ts-check\n"), module
        for imported in re.findall(r'from "\./([\w.]+)";', text):
            assert imported in MODULES[:place], f"{module} imports {imported}, which stands behind it"
        names += re.findall(r"^(?:export )?(?:async )?(?:function|const|let|class) (\w+)", text, re.MULTILINE)
    twice = sorted({name for name in names if names.count(name) > 1})
    assert twice == []
    assert not re.search(r"^(import|export) ", script(), re.MULTILINE)
    assert "innerHTML" not in script().split("trainmapEngine", 1)[1].split("\n", 1)[1]
    assert "regl-scatterplot 1.16.0 (MIT)" in page_file("engine-licences.txt")
