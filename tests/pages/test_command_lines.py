"""Every command line on a page is one that can be given: the real command parses it, without running it."""

from __future__ import annotations

import argparse
import ast
import io
import re
import tomllib
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stderr, suppress
from pathlib import Path
from typing import Any, get_args

import click
import pytest
import typer.main
from shown import PAGES, PLACEHOLDER, ROOT, Shown, commands, spans

import trainmap as tm
from trainmap.audits.suspicion import RULES
from trainmap.cli.app import app
from trainmap.cli.arguments import split
from trainmap.data.names import check_name
from trainmap.errors import TrainmapError, unknown
from trainmap.experiments.compress_teacher import ORDERS
from trainmap.experiments.demo import Distillation
from trainmap.experiments.file.variants import load_experiment
from trainmap.experiments.runs.cluster import LAUNCHERS
from trainmap.maps.regions import Rule
from trainmap.models.build import known_models
from trainmap.scores.table import score
from trainmap.views.model_table import FORMS

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    COMMAND: Any = typer.main.get_command(app)

NUMBERS = {"C": "10", "E": "10"}  # placeholders where a whole number goes
ELSEWHERE = {  # options of other programs that a sentence names alone
    "--include_ci": "allenai/cartography",
    "--superlink": "Flower",
    "--node-config": "Flower",
    "--trusted-entities": "Flower",
}


def parsed(words: list[str]) -> tuple[str, dict[str, Any]]:
    """The verb, and what its function would be called with.

    Raises:
        click.UsageError: an unknown verb or option, a missing argument, a value of another type.
    """
    command, name = COMMAND, ""
    context = command.make_context("trainmap", [NUMBERS.get(word, word) for word in words])
    while hasattr(command, "resolve_command"):
        said, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        name = f"{name} {said}".strip()
        context = command.make_context(said, rest, parent=context)
    return name, context.params


# --- values that only the verb itself looks at ---------------------------------------------------------------------


def one_of(what: str, *known: str) -> Callable[[str], object]:
    def check(said: str) -> None:
        if said not in known:
            raise unknown(what, said, known)

    return check


def each(check: Callable[[str], object]) -> Callable[[str], object]:
    return lambda said: [check(one) for one in split(said) or ()]


def a_network(name: str) -> None:
    one_of("model", *known_models())(name)


def a_setting(said: str) -> None:
    if "=" not in said:
        raise TrainmapError(f"--set takes KEY=VALUE, got '{said}'")


def files_as(params: Mapping[str, Any]) -> None:
    """The experiment is there, and takes what is set."""
    if not PLACEHOLDER.fullmatch(str(params["file"])):
        load_experiment(ROOT / params["file"], params["scale"], params["sets"] or ())


VALUES: dict[tuple[str, str], Callable[[str], object]] = {  # (verb or "*", parameter) -> what looks at it
    ("*", "scores"): each(score),
    ("*", "launcher"): one_of("launcher", *LAUNCHERS),
    ("*", "source"): one_of("source", "train", "sweep", "held-out"),
    ("map", "rule"): one_of("rule", *get_args(Rule)),
    ("audit", "rule"): one_of("rule", *RULES),
    ("select", "spec"): tm.parse,
    ("select", "balance"): one_of("balance", "equal", "proportional"),
    ("compress", "select"): tm.parse,
    ("compress", "way"): one_of("way", *ORDERS),
    ("demo", "data"): check_name,
    ("demo", "teacher"): a_network,
    ("demo", "students"): each(a_network),
    ("demo", "distillation"): one_of("distillation", *get_args(Distillation)),
    ("models", "form"): one_of("format", *FORMS),
    ("compare", "allow"): each(one_of("difference", "source", "dataset", "rule")),
}


def checked(words: list[str]) -> None:
    verb, params = parsed(words)
    for (of, name), check in VALUES.items():
        if of in ("*", verb) and params.get(name) is not None:
            check(params[name])
    if "sets" in params:
        files_as(params)


LINES = [line for page in PAGES for line in commands(page, "trainmap")]


def is_a_mention(line: Shown) -> bool:
    """`trainmap show` in a sentence names a verb; in a fence it is a command."""
    group, words = COMMAND, line.words[1:]
    while words and words[0] in getattr(group, "commands", {}):
        group, words = group.commands[words[0]], words[1:]
    return not line.fenced and not words


def fail(found: list[str], rule: str) -> None:
    if found:
        pytest.fail("\n  ".join([rule, *found]), pytrace=False)


def wrong(lines: list[Shown]) -> Iterator[str]:
    for line in lines:
        try:
            checked(line.words[1:])
        except (click.UsageError, TrainmapError) as error:
            yield f"{line}: {error.format_message() if isinstance(error, click.ClickException) else error}"


def test_the_pages_have_commands_in_fences_tables_and_sentences() -> None:
    assert sum(line.fenced for line in LINES) > 30
    assert sum(not line.fenced for line in LINES) > 60
    assert sum(is_a_mention(line) for line in LINES) > 10


def test_every_command_line_is_taken_by_the_command() -> None:
    fail(list(wrong([line for line in LINES if not is_a_mention(line)])), "mend the page, or the command:")


def test_every_command_in_the_head_of_an_experiment_is_taken_by_the_command() -> None:
    lines = [
        Shown(file.name, number, "", said.group(1))
        for file in sorted((ROOT / "experiments").glob("*.yaml"))
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if (said := re.match(r"# Command: (trainmap .*)", line))
    ]
    assert len(lines) > 20
    fail(list(wrong(lines)), "mend the head of the file:")


def examples(command: Any) -> Iterator[Shown]:
    for one in getattr(command, "commands", {}).values():
        yield from examples(one)
    for said in re.findall(r"\[bold\](trainmap .*?)\[/bold\]", command.help or ""):
        yield Shown(f"{command.name} --help", 1, "", said)


def test_every_example_of_a_help_is_taken_by_the_command() -> None:
    lines = list(examples(COMMAND))
    assert len(lines) > 20
    fail(list(wrong(lines)), "mend the docstring of the verb:")


@pytest.mark.parametrize(
    "line",
    [
        "shows map.parquet",
        "map dynamics --picture map.png",
        "score dynamics",
        "run quick.yaml",
        "map dynamics --out map.parquet --rule corners",
        "score dynamics --out s.csv --scores confidance",
        "select map.parquet '33% ambigous' --out card.json",
        "compress demo --way channel --out small",
        "demo --out demo --teacher cnn-nine",
        "import study FILE --classes many --out DYNAMICS",
        "run experiments/quick.yaml --set nothing.here=1 --out quick",
        "run experiments/none.yaml --out quick",
    ],
)
def test_a_line_that_cannot_be_given_is_found(line: str) -> None:
    assert list(wrong([Shown("page.md", 1, "", f"trainmap {line}")]))


# --- scripts, make, options that stand alone -----------------------------------------------------------------------

TYPES = {"int": int, "float": float}
TOLD = ("nargs", "action", "required", "choices")


def literal(node: ast.AST, names: Mapping[str, str]) -> Any:
    """A constant, or an f-string of the variable of the loop that it stands in.

    Raises:
        ValueError: anything else.
    """
    if isinstance(node, ast.JoinedStr):
        return eval(compile(ast.Expression(node), "a script", "eval"), {**names})
    return ast.literal_eval(node)


def parser_of(script: Path) -> argparse.ArgumentParser:
    """What the script's ``add_argument`` calls say, without importing what the script needs.

    Choices that are no constants are left open.
    """
    parser = argparse.ArgumentParser(exit_on_error=False)
    tree = ast.parse(script.read_text())
    loops = [node for node in ast.walk(tree) if isinstance(node, ast.For)]
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if getattr(call.func, "attr", "") != "add_argument":
            continue
        around = [loop for loop in loops if any(node is call for node in ast.walk(loop))]
        turns = [{one.target.id: value} for one in around for value in ast.literal_eval(one.iter)]  # type: ignore
        for names in turns or [{}]:
            how: dict[str, Any] = {}
            for said in call.keywords:
                with suppress(ValueError):
                    if said.arg == "type":
                        how["type"] = TYPES.get(getattr(said.value, "id", ""), str)
                    elif said.arg in TOLD:
                        how[said.arg] = literal(said.value, names)
            parser.add_argument(*(literal(name, names) for name in call.args), **how)
    return parser


def script_lines() -> list[Shown]:
    lines = [line for page in PAGES for line in (*commands(page, "python"), *commands(page, "PYTHONPATH=src:tests"))]
    return [line for line in lines if any(word.endswith(".py") for word in line.words)]


def of_script(line: Shown) -> list[str]:
    """From the name of the script on."""
    words = line.words
    return words[next(at for at, word in enumerate(words) if word.endswith(".py")) :]


def test_every_script_on_a_page_is_there_and_takes_its_options() -> None:
    lines = script_lines()
    assert len(lines) > 15
    fail([str(line) for line in lines if not (ROOT / of_script(line)[0]).exists()], "no such script:")
    found = []
    for line in lines:
        script, *words = of_script(line)
        try:
            with redirect_stderr(io.StringIO()):
                parser_of(ROOT / script).parse_args(words)
        except (argparse.ArgumentError, SystemExit) as error:
            found.append(f"{line}: {error}")
    fail(found, "mend the page, or the script:")


def test_every_target_of_make_on_a_page_is_there() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    lines = [line for page in PAGES for line in commands(page, "make")]
    assert lines
    fail([str(line) for line in lines if not {*line.words[1:]} <= targets], "no such target in the Makefile:")


def test_every_extra_that_pip_is_asked_for_is_there() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    lines = [line for page in PAGES for line in commands(page, "pip")]
    asked = {
        (str(line), name)
        for line in lines
        for names in re.findall(r"\[([\w,]+)\]", line.text)
        for name in names.split(",")
    }
    assert len(asked) > 8
    fail([line for line, name in sorted(asked) if name not in extras], "no such extra in pyproject.toml:")


def options(command: Any) -> Iterator[str]:
    for one in getattr(command, "commands", {}).values():
        yield from options(one)
    for parameter in command.params:
        yield from (*parameter.opts, *parameter.secondary_opts)


def test_every_option_that_stands_alone_is_one_of_a_verb_or_a_script() -> None:
    known = {*options(COMMAND), "--help"}
    for script in [*ROOT.glob("*/*.py"), *ROOT.glob("tests/fuzz/*.py")]:
        known |= set(re.findall(r'add_argument\(\s*"(--[\w-]+)"', script.read_text()))
    known |= {*ELSEWHERE}
    found = [
        f"{one.page}:{one.line}: {option}"
        for page in PAGES
        for one in spans(page)
        if not one.text.startswith(("flwr ", "flower-", "pip ", "make ", "openssl "))
        for option in re.findall(r"(?<![\w-])--[a-z][\w-]*", one.text)
        if option not in known
    ]
    fail(found, "no verb and no script has this option:")
