"""YAML with lines: the values of YAML 1.2, where each was written, merging and overriding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trainmap.errors import TrainmapError
from trainmap.experiments.file.yamlfile import Located, parse, read


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("5E4", 50_000.0),
        ("-.5", -0.5),
        ("010", 10),
        ("no", "no"),
        ("off", "off"),
        ("true", True),
        ("~", None),
        ("", None),
        ("12:30:00", "12:30:00"),
        ("2026-01-01", "2026-01-01"),
        ("'3'", "3"),
        ("0x10", "0x10"),
    ],
)
def test_a_scalar_means_what_it_looks_like(text: str, value: Any) -> None:
    found = parse(f"key: {text}", "x").value["key"]
    assert found == value
    assert type(found) is type(value)


def test_every_value_knows_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("# why\na: 1\nb:\n  - c: 2\n  - [3, 4]\n")
    found = read(tmp_path / "a.yaml")
    assert found.place(("a",)).endswith("a.yaml:2")
    assert found.place(("b", 0, "c")).endswith(":4")
    assert found.place(("b", 1, 1)).endswith(":5")
    assert found.place(("b", 0, "nothing", "there")).endswith(":4")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "x:3: 'a' stands twice"),
        ("a: [1, 2\nb: 3\n", "x:2: not YAML"),
        ("a: !!python/name:os.system\n", "means nothing here"),
        ("? [1, 2]\n: 3\n", "a key must be a word"),
    ],
)
def test_what_is_no_plain_mapping_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(TrainmapError) as caught:
        parse(text, "x", lines=True)
    assert message in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainmapError, match=r"no YAML file at .*nothing\.yaml"):
        read(tmp_path / "nothing.yaml")


def test_merging_joins_mappings_replaces_lists_and_keeps_the_lines_of_both() -> None:
    below = parse("a: {b: 1, c: 2}\nd: [1, 2, 3]\n", "below", lines=True)
    over = parse("\n\na: {c: 3}\nd: [9]\ne: 5\n", "over", lines=True)
    found = below.merged(over)
    assert found.value == {"a": {"b": 1, "c": 3}, "d": [9], "e": 5}
    assert found.place(("a", "b")) == "below:1"
    assert found.place(("a", "c")) == "over:3"
    assert found.place(("d", 2)) == "over:4"  # the list it would be in
    assert below.value == {"a": {"b": 1, "c": 2}, "d": [1, 2, 3]}


def test_a_star_names_every_entry() -> None:
    found = parse("s: [{e: 1}, {e: 2}]\n", "x")
    assert found.paths("s.*.e") == [("s", 0, "e"), ("s", 1, "e")]
    assert found.paths("s.1.e") == [("s", 1, "e")]
    with pytest.raises(TrainmapError, match="there is nothing"):
        found.paths("t.*.e")


def test_a_value_is_put_where_a_path_leads_and_nowhere_else() -> None:
    found = parse("s: [{e: 1}, {e: 2}]\n", "x").with_part(("s", 1, "r", "lr"), Located(0.1, {(): "here"}))
    assert found.value == {"s": [{"e": 1}, {"e": 2, "r": {"lr": 0.1}}]}
    assert found.place(("s", 1, "r", "lr")) == "here"
    with pytest.raises(TrainmapError, match="a list of 2: name an entry by 0 to 1"):
        found.with_part(("s", 2, "e"), Located(1, {}))
    with pytest.raises(TrainmapError, match="'z' must be a key of a mapping"):
        found.with_part(("s", 0, "e", "z"), Located(1, {}))
