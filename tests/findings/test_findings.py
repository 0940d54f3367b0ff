"""The report of a recording: what it says, that it says what is so, and that nothing of the data can run in it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import trainmap as tm
from hostile import HOSTILE
from trainmap.errors import TrainmapError
from trainmap.explorer import examples_of
from trainmap.findings import find_out, find_same, is_worth, write_findings
from trainmap.findings.found_page import page_of, sentences

CLASSES = 4


def record(path: Path, n: int = 400, wrong: float = 0.05, epochs: int = 8, seed: int = 0, **how: Any) -> tm.Dynamics:
    """Gaussian logits that grow towards the true class; of the first ``wrong`` the label is another one."""
    draws = np.random.default_rng(seed)
    truth = np.arange(n) % CLASSES
    labels = truth.copy()
    labels[: round(wrong * n)] = (labels[: round(wrong * n)] + 1) % CLASSES
    speed = draws.uniform(0.2, 1.2, n)
    with tm.Recorder(path, CLASSES, **how) as recorder:
        for epoch in range(epochs):
            logits = draws.normal(size=(n, CLASSES))
            logits[np.arange(n), truth] += 3 * speed * epoch / epochs * 2
            recorder.update(np.arange(n), logits, labels)
            recorder.end_epoch()
    return tm.Dynamics.open(path)


def pictures(n: int = 400) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 255, (n, 8, 8), np.uint8)


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_labels_that_were_exchanged_are_shown_with_what_they_are_taken_for(tmp_path: Path) -> None:
    dynamics = record(tmp_path / "d")
    found = find_out(dynamics, examples_of(pictures(), dynamics.ids))
    said = tm.audit(dynamics)
    assert found.suspected == len(said.suspected) > 10
    page = page_of(found)
    cards = [attrs for tag, attrs in Tags(page).found if tag == "figure"]
    assert len(cards) == 3 * 12 + min(found.suspected, 48)
    first = said.table.row(0, named=True)
    assert f"label {first['label']}" in page
    assert f"taken for {first['suggested']}" in page
    assert sentences(found)[0] == "400 examples of 4 classes, watched over 8 epochs while a network trained on them."
    assert f"{found.suspected} labels" in sentences(found)[1]


def test_without_data_the_examples_are_told_by_their_ids(tmp_path: Path) -> None:
    page = page_of(find_out(record(tmp_path / "d")))
    assert "say where they are, --data NAME" in page
    assert not [tag for tag, attrs in Tags(page).found if tag == "img" and attrs.get("class") != "map"]


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_hostile_texts_stand_on_the_page_as_texts(hostile: str, tmp_path: Path) -> None:
    dynamics = record(tmp_path / "d", n=40)
    texts = {key: f"{hostile} {key}" for key in range(40)}
    page = page_of(find_out(dynamics, examples_of(lambda key: texts[key], dynamics.ids)))
    tags = Tags(page).found
    assert not {tag for tag, _ in tags} & {"script", "iframe", "object", "embed", "link", "form", "base"}
    assert not [name for _, attrs in tags for name in attrs if name.startswith("on")]
    sources = [attrs["src"] or "" for _, attrs in tags if "src" in attrs]
    assert all(source.startswith("data:image/") for source in sources)


def test_an_svg_is_an_image_and_runs_nothing(tmp_path: Path) -> None:
    dynamics = record(tmp_path / "d", n=40)
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    page = page_of(find_out(dynamics, examples_of(lambda key: svg, dynamics.ids)))
    assert "<script" not in page
    assert "data:image/svg+xml;base64," in page
    assert "default-src 'none'" in page


def test_examples_that_stand_twice_are_found_and_conflicts_come_first(tmp_path: Path) -> None:
    texts = ["The cat sat.", "the CAT  sat", "a dog", "a dog!", "A dog", "alone"]
    ids, labels = np.arange(6), np.array([0, 1, 2, 2, 2, 3])
    found = find_same(examples_of(texts, ids), ids, labels)
    assert [(same.ids, same.differ) for same in found] == [((0, 1), True), ((2, 3, 4), False)]


def test_pictures_that_look_the_same_are_found_without_their_bytes_being_equal() -> None:
    draws = np.random.default_rng(0)
    smooth = np.kron(draws.integers(0, 255, (8, 8)), np.ones((8, 8))).astype(np.uint8)
    other = np.kron(draws.integers(0, 255, (8, 8)), np.ones((8, 8))).astype(np.uint8)
    lighter = np.clip(smooth.astype(int) + 2, 0, 255).astype(np.uint8)
    found = find_same(examples_of([smooth, lighter, other], np.arange(3)), np.arange(3), np.array([0, 1, 0]))
    assert [(same.ids, same.how) for same in found] == [((0, 1), "look the same")]


def test_rows_of_a_table_are_compared_without_their_ids(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,a,label\n0,1.5,x\n1,1.5,y\n2,2.5,x\n")
    found = find_same(examples_of(tmp_path / "t.csv", np.arange(3)), np.arange(3), np.array([0, 1, 0]))
    assert [same.ids for same in found] == [(0, 1)]


def test_an_example_that_cannot_be_shown_is_said_and_costs_no_page(tmp_path: Path) -> None:
    dynamics = record(tmp_path / "d", n=40)

    def show(key: int) -> str:
        if key % 2:
            raise KeyError(key)
        return f"text {key}"

    page = page_of(find_out(dynamics, examples_of(show, dynamics.ids)))
    assert "has no example" in page
    assert "text 0" in page or "text 2" in page


@pytest.mark.parametrize("epochs", [1, 2])
@pytest.mark.parametrize("n", [1, 2, 30])
def test_the_smallest_recordings_have_a_page(n: int, epochs: int, tmp_path: Path) -> None:
    page = page_of(find_out(record(tmp_path / "d", n=n, epochs=epochs)))
    assert f"{n} example{'s' * (n > 1)} of 4 classes" in page


@pytest.mark.parametrize("level", ["stats", "logits"])
def test_every_level_has_a_page(level: Any, tmp_path: Path) -> None:
    page = page_of(find_out(record(tmp_path / "d", level=level)))
    assert "400 examples of 4 classes" in page


def test_a_rare_class_is_said_to_be_rare(tmp_path: Path) -> None:
    labels = np.r_[np.zeros(300, int), np.ones(300, int), np.full(8, 2)]
    with tm.Recorder(tmp_path / "d", 3) as recorder:
        for epoch in range(4):
            logits = np.random.default_rng(epoch).normal(size=(608, 3))
            logits[np.arange(608), labels] += epoch
            recorder.update(np.arange(608), logits, labels)
            recorder.end_epoch()
    found = find_out(tm.Dynamics.open(tmp_path / "d"))
    assert dict(zip(found.classes["label"], found.classes["rare"], strict=True)) == {0: False, 1: False, 2: True}


def test_few_examples_are_not_worth_choosing_from(tmp_path: Path) -> None:
    datamap = tm.DataMap.from_dynamics(record(tmp_path / "d", n=100))
    assert is_worth(datamap).answer == "not likely"


def test_what_was_learned_by_heart_is_told_from_held_out_accuracy_and_not_without(tmp_path: Path) -> None:
    n = 3000
    with tm.Recorder(tmp_path / "d", 2) as recorder:
        for epoch in range(6):
            logits = np.random.default_rng(epoch).normal(size=(n, 2))
            late = np.arange(n) < 30  # contradicted over the epochs, and learned in the end
            logits[np.arange(n), np.arange(n) % 2] += np.where(late, 1.2 * epoch - 4, 4 + epoch)
            recorder.update(np.arange(n), logits, np.arange(n) % 2)
            recorder.end_epoch()
    datamap = tm.DataMap.from_dynamics(tm.Dynamics.open(tmp_path / "d"))
    answers = [is_worth(datamap, held_out=accuracy).answer for accuracy in (None, 0.6, 0.995)]
    assert answers == ["cannot be told", "not likely", "worth a try"]
    assert "--held-out" in " ".join(is_worth(datamap).reasons)


@pytest.mark.parametrize("held_out", [1.5, -0.1, "much", float("nan")])
def test_an_accuracy_that_is_none_is_refused(held_out: Any, tmp_path: Path) -> None:
    with pytest.raises(TrainmapError, match="held_out"):
        find_out(record(tmp_path / "d", n=40), held_out=held_out)


def test_a_report_is_a_page_and_equal_inputs_give_equal_bytes(tmp_path: Path) -> None:
    found = find_out(record(tmp_path / "d", n=40))
    with pytest.raises(TrainmapError, match=r"ends in \.html"):
        write_findings(found, tmp_path / "report.pdf")
    first = write_findings(found, tmp_path / "a.html").read_bytes()
    assert write_findings(found, tmp_path / "b.html").read_bytes() == first
    assert not re.search(rb"https?://", first.replace(b"http://www.w3.org", b""))


KINDS: dict[str, tuple[dict[str, Any], Any]] = {
    "numbers": (
        {"signals": ["loss", "reward"]},
        lambda draws, n, e: ({"loss": draws.random(n), "reward": draws.random(n)},),
    ),
    "regression": ({"kind": "regression"}, lambda draws, n, e: (np.arange(n) + draws.normal(size=n), TARGETS[:n])),
    "multilabel": (
        {"classes": 3, "kind": "multilabel"},
        lambda draws, n, e: (draws.normal(size=(n, 3)) + e * TAGS[:n], TAGS[:n]),
    ),
    "tokens": ({"classes": 5, "kind": "tokens"}, lambda draws, n, e: (draws.normal(size=(n, 7, 5)), WORDS[:n])),
    "per label": (
        {"classes": ["sky", "sea", "sun"], "kind": "multilabel", "per": "label"},
        lambda draws, n, e: (draws.normal(size=(n, 3)) + e * TAGS[:n], TAGS[:n]),
    ),
    "names": ({"classes": ["cat", "dog"]}, lambda draws, n, e: (draws.normal(size=(n, 2)), ["cat", "dog"] * (n // 2))),
}
TARGETS = np.r_[np.arange(59.0), 1000.0]
TAGS = np.random.default_rng(3).integers(0, 2, (60, 3))
WORDS = np.random.default_rng(4).integers(0, 5, (60, 7))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_supervision_has_a_page(kind: str, tmp_path: Path) -> None:
    how, batch = KINDS[kind]
    draws = np.random.default_rng(0)
    with tm.Recorder(tmp_path / "d", **how) as recorder:
        for epoch in range(4):
            recorder.update(np.arange(60), *batch(draws, 60, epoch))
            recorder.end_epoch()
    found = find_out(tm.Dynamics.open(tmp_path / "d"))
    page = page_of(found)
    assert f"{len(found.datamap)} examples" in page
    assert "Is choosing by this map worth a try?" in page
    if kind == "names":
        assert "label cat" in page
    if kind == "regression":
        assert found.suspected == 1
        assert "1000" in page
