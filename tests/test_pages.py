"""The pages are true: every public name, verb and error stands on one, and what they show can be imported.

What they show is run in ``tests/pages``.
"""

from __future__ import annotations

import ast
import inspect
import re
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import typer.main
from click import Command, Group

import trainmap
from test_house import ROOMS
from trainmap.cli.app import app
from trainmap.errors import TrainmapError

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
HISTORY = ("log.md", "decisions.md")  # they say what was, under the names of then


def code(text: str) -> str:
    """What stands in fences and between backticks."""
    fences = re.findall(r"^```.*?\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    rest = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return "\n".join([*fences, *re.findall(r"`([^`]+)`", rest)])


CODE = "\n".join(code(page.read_text()) for page in PAGES if page.name not in HISTORY)
EXAMPLES = [
    pytest.param(block, id=f"{page.name}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))
]


def verbs(command: Command, name: str = "trainmap") -> Iterator[str]:
    if isinstance(command, Group):
        for word, one in command.commands.items():
            yield from verbs(one, f"{name} {word}")
    else:
        yield name


@pytest.mark.parametrize("name", trainmap.__all__)
def test_every_public_name_stands_on_a_page(name: str) -> None:
    if not re.search(rf"\b(tm|trainmap)\.{name}\b", CODE):
        pytest.fail(f"say on a page of docs/ what tm.{name} is for", pytrace=False)


@pytest.mark.parametrize("verb", list(verbs(typer.main.get_command(app))))
def test_every_verb_stands_on_a_page(verb: str) -> None:
    if not re.search(rf"\b{verb}\b", CODE):
        pytest.fail(f"say on a page of docs/ what `{verb}` does", pytrace=False)


def test_every_error_stands_on_the_page_of_errors() -> None:
    page = code((ROOT / "docs" / "errors.md").read_text())
    errors = [
        name
        for name, one in inspect.getmembers(import_module("trainmap.errors"), inspect.isclass)
        if issubclass(one, TrainmapError)
    ]
    assert errors
    assert [name for name in errors if not re.search(rf"\b{name}\b", page)] == []


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_compiles_and_what_it_imports_is_there(example: str) -> None:
    tree = ast.parse(example)
    compile(tree, "example", "exec")
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "trainmap":
                for one in node.names:
                    assert hasattr(import_module(node.module or ""), one.name), f"{node.module} has no {one.name}"
            elif isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "tm":
                assert hasattr(trainmap, node.attr), f"trainmap has no {node.attr}"


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in HISTORY], ids=lambda page: page.name)
def test_names_of_the_library_on_a_page_are_there(page: Path) -> None:
    text = re.sub(r"^```(?!\{eval-rst\}|python).*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        for dotted in sorted(set(re.findall(r"(?<![\w/.-])trainmap(?:\.\w+)+\b(?!\.\w)", text))):
            parts, found = dotted.split("."), trainmap
            for at, part in enumerate(parts[1:], 2):
                try:
                    found = import_module(".".join(parts[:at]))
                except ModuleNotFoundError:
                    assert hasattr(found, part), f"{page.name} names {dotted}: there is no {part}"
                    found = getattr(found, part)


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in HISTORY], ids=lambda page: page.name)
def test_files_of_the_repository_on_a_page_are_there(page: Path) -> None:
    tops = "|".join(("src", "tests", "benchmarks", "experiments", *ROOMS))
    for named in sorted(set(re.findall(rf"(?<![\w/.-])((?:{tops})/[\w/]+\.(?:py|yaml))\b", page.read_text()))):
        assert (ROOT / named).exists() or (ROOT / "src" / "trainmap" / named).exists(), f"{page.name} names {named}"


def test_the_page_of_the_house_names_the_rooms_in_their_order() -> None:
    page = (ROOT / "docs" / "house.md").read_text().split("## What is public")[0]
    assert tuple(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == ROOMS
