"""What values say of themselves in a terminal and in a notebook: a few lines, and nothing in them is markup."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

import trainmap as tm
from hostile import HOSTILE


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder, draws = tmp_path_factory.mktemp("told"), np.random.default_rng(0)
    with tm.Recorder(folder / "dynamics", 3) as recorder:
        for _ in range(3):
            recorder.update(range(60), draws.normal(size=(60, 3)), np.arange(60) % 3)
            recorder.end_epoch()
    dynamics = tm.Dynamics.open(folder / "dynamics")
    datamap = tm.DataMap.from_dynamics(dynamics)
    return {
        "Dynamics": dynamics,
        "DataMap": datamap,
        "Selection": tm.select(datamap, "33% ambiguous"),
        "Audit": tm.audit(dynamics),
        "by hand": tm.Selection.of(datamap, [3], "".join(HOSTILE.values())),
    }


NAMES = ("Dynamics", "DataMap", "Selection", "Audit", "by hand")


@pytest.mark.parametrize("name", NAMES)
def test_a_value_says_what_it_is_in_a_few_lines(name: str, values: dict[str, Any]) -> None:
    lines = repr(values[name]).splitlines()
    assert lines[0] == type(values[name]).__name__
    assert 4 <= len(lines) <= 7
    assert str(values[name]) == repr(values[name])
    assert "\x1b" not in repr(values[name])


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_shows_the_same_as_a_table(name: str, values: dict[str, Any]) -> None:
    tags: list[str] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            tags.append(tag)

    Tags().feed(values[name]._repr_html_())
    assert set(tags) == {"strong", "table", "tr", "td"}


def test_the_lines_say_the_numbers(values: dict[str, Any]) -> None:
    assert "examples  60, 3 classes" in repr(values["Dynamics"])
    assert "examples   20 of 60 (33.3%), seed 0" in repr(values["Selection"])
    assert "60, 3 epochs (train)" in repr(values["DataMap"])
    assert "labels" in repr(values["Audit"])
