"""Every python snippet of the pages is run: those of a page in their order, in one namespace and one folder."""

from __future__ import annotations

from pathlib import Path
from types import FunctionType

import pytest
from before_frameworks import BEFORE as FRAMEWORKS
from before_snippets import AFTER
from before_snippets import BEFORE as PLAIN
from shown import PAGES, ROOT, snippets

BEFORE = {**PLAIN, **FRAMEWORKS}
ELSEWHERE = {"README.md": "test_readme.py", "quickstart.md": "test_quickstart.py"}  # run there, with what they print
NOT_RUN = {  # (page, number) -> why
    ("exchange.md", 3): "Renumics Spotlight is not installed for development: it opens a window",
}
SLOW = ("cross-fitting.md", "integrations.md")
WARNINGS = {  # page -> of the frameworks themselves, not of what the page shows
    "integrations.md": (
        "ignore:.*pin_memory",
        "ignore:.*gradient_checkpointing:FutureWarning",
        "ignore::FutureWarning:trl",
        "ignore::UserWarning:trl",
        "ignore::DeprecationWarning",
        "ignore:.*LeafSpec:FutureWarning",
        "ignore:.*does not have many workers",
        "ignore:The number of training batches",
    ),
}
SNIPPETS = {page.name: found for page in PAGES if (found := snippets(page))}
CASES = [
    pytest.param(
        name,
        marks=[
            *([pytest.mark.slow] if name in SLOW else []),
            *(pytest.mark.filterwarnings(said) for said in WARNINGS.get(name, ())),
        ],
    )
    for name in SNIPPETS
    if name not in ELSEWHERE
]


def run(code: str, where: str, line: int, names: dict[str, object]) -> None:
    """A traceback shows the page and its lines."""
    exec(compile("\n" * (line - 1) + code, where, "exec"), names)


def is_of_trainmap(one: object) -> bool:
    return isinstance(one, type | FunctionType) and one.__module__.split(".")[0] == "trainmap"


@pytest.mark.parametrize("page", CASES)
def test_the_snippets_of_a_page_run_in_their_order(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "integrations"))
    names: dict[str, object] = {"__name__": "a page", "monkeypatch": monkeypatch}
    for number, snippet in enumerate(SNIPPETS[page]):
        known = {*names}
        run(BEFORE.get(page, {}).get(number, ""), f"before snippet {number} of {page}", 1, names)
        of_ours = [name for name in names if name not in known and is_of_trainmap(names[name])]
        assert of_ours == [], "a reader has to import these: let the page do it"
        if (page, number) not in NOT_RUN:
            run(snippet.text, f"docs/{page}", snippet.line, names)
    run(AFTER.get(page, ""), f"after {page}", 1, names)


def numbers(page: str) -> range:
    return range(len(SNIPPETS.get(page, ())))


def test_what_stands_before_belongs_to_a_snippet_that_is_there() -> None:
    assert [(page, number) for page, parts in BEFORE.items() for number in parts if number not in numbers(page)] == []
    assert [page for page in AFTER if page not in SNIPPETS] == []
    assert [page for page in (*ELSEWHERE, *SLOW, *WARNINGS) if page not in SNIPPETS] == []
    assert [page for page, file in ELSEWHERE.items() if not (ROOT / "tests" / file).exists()] == []


def test_what_is_not_run_is_a_snippet_that_is_there_and_cannot_be() -> None:
    assert [(page, number) for page, number in NOT_RUN if number not in numbers(page)] == []
    for page, number in NOT_RUN:
        with pytest.raises(ImportError):  # the day that it can be imported here it is to be run
            run(SNIPPETS[page][number].text, page, 1, {})
