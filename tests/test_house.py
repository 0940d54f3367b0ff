"""The house holds together: rooms import in one direction, no files in a circle, names are unique, faces are light.

The lists at the top are the rules as they stand. A list of known exceptions is to be emptied: an entry that is no
longer needed fails as well.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src" / "trainmap"
MOST_LINES = 320  # of code, without docstrings, comments and blank lines

ROOMS = (  # in reading order: a room imports from those before it; the files beside the rooms are the ground of all
    "dynamics",
    "integrations",
    "scores",
    "maps",
    "audits",
    "selection",
    "schedules",
    "data",
    "models",
    "distillation",
    "training",
    "evaluation",
    "races",
    "compression",
    "federated",
    "views",
    "explorer",
    "findings",
    "experiments",
    "cli",
)
EXPERIMENTS = (  # the same within the room of experiments, by folders and files; parts in one line are one step
    ("file",),
    ("tasks",),
    ("plan",),
    ("runs",),
    ("results",),
    ("report",),
    ("compress_teacher", "demo", "verifying"),
)

# --- to be emptied ---

WITHOUT_A_PLACE: list[str] = []  # parts of experiments that stand in no step
AGAINST_THE_ORDER: list[str] = []  # "importer -> imported"
IN_A_CIRCLE: list[str] = []  # modules
TWICE: list[str] = []  # names of files
TOO_LONG: list[str] = []  # files with more lines of code than MOST_LINES
PAST_A_FACE: list[str] = []  # "importer -> module.name"

# --- what is in the house -------------------------------------------------------------------------------------------


def module_of(path: Path) -> str:
    parts = path.relative_to(SRC.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_of(path): path for path in sorted(SRC.rglob("*.py"))}
FACES = {name for name, path in FILES.items() if path.stem == "__init__"}


@dataclass(frozen=True)
class Import:
    """One name (or a module whole, where ``name`` is empty) that a file imports from another one of the house."""

    importer: str
    line: int
    module: str
    name: str

    def __str__(self) -> str:
        return f"{FILES[self.importer].relative_to(SRC)}:{self.line} imports {self.module} {self.name}".rstrip()


def homes(face: str) -> dict[str, str]:
    """What a face names: public name -> module."""
    for node in ast.walk(ast.parse(FILES[face].read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "lazily":
            table = ast.literal_eval(node.args[1])
            return {name: f"{face}.{file}" for file, names in table.items() for name in names.split()}
    return {}


HOMES = {face: homes(face) for face in FACES}


def imports(module: str) -> Iterator[Import]:
    """All of them, wherever they stand: in functions and under TYPE_CHECKING too."""
    for node in ast.walk(ast.parse(FILES[module].read_text())):
        if isinstance(node, ast.Import):
            for one in node.names:
                if one.name in FILES:
                    yield Import(module, node.lineno, one.name, "")
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                package = module if module in FACES else module.rpartition(".")[0]
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                source = ".".join([*above, *([source] if source else [])])
            if source.split(".")[0] != "trainmap":
                continue
            for one in node.names:
                if one.name in HOMES.get(source, {}):
                    yield Import(module, node.lineno, HOMES[source][one.name], one.name)
                elif f"{source}.{one.name}" in FILES:
                    yield Import(module, node.lineno, f"{source}.{one.name}", "")
                else:
                    yield Import(module, node.lineno, source, one.name)


IMPORTS = [one for module in FILES for one in imports(module)]


def compare(found: Mapping[str, str], known: Iterable[str], rule: str) -> None:
    """Fail with every finding that is not known, and with every known one that is gone."""
    new = [message for key, message in sorted(found.items()) if key not in set(known)]
    if new:
        pytest.fail("\n  ".join([rule, *new]), pytrace=False)
    if gone := sorted(set(known) - set(found)):
        pytest.fail(f"take out of the list of known exceptions what is no longer needed: {gone}", pytrace=False)


# --- the rules ------------------------------------------------------------------------------------------------------


def place(module: str) -> str:
    """The room of a module; "" for the ground."""
    parts = module.split(".")
    return parts[1] if len(parts) > 2 or module in FACES - {"trainmap"} else ""


def part(module: str) -> str:
    """The folder or file within experiments."""
    return module.split(".")[2] if module.startswith("trainmap.experiments.") else ""


STEPS = {name: number for number, step in enumerate(EXPERIMENTS) for name in step}


def test_every_folder_is_a_room_with_a_place_in_the_order() -> None:
    folders = {path.parent.relative_to(SRC).parts[0] for path in SRC.rglob("*.py") if path.parent != SRC}
    assert folders == set(ROOMS), "a room needs its place in ROOMS: after those that it imports"
    without = {part(module): f"experiments/{part(module)}" for module in FILES if part(module)}
    unplaced = {name: text for name, text in without.items() if name not in STEPS}
    compare(unplaced, WITHOUT_A_PLACE, "a part of experiments needs its place in EXPERIMENTS: after what it imports")


def test_imports_go_up_the_list_of_rooms_only() -> None:
    ranks = {"": -1} | {room: rank for rank, room in enumerate(ROOMS)}
    found = {}
    for one in IMPORTS:
        if one.importer in ("trainmap", "trainmap.__main__") or one.module == "trainmap":
            continue
        here, there = place(one.importer), place(one.module)
        against = ranks[there] > ranks[here]
        if here == there == "experiments":
            mine, other = part(one.importer), part(one.module)
            against = mine in STEPS and other in STEPS and STEPS[other] > STEPS[mine]
        if against:
            key = f"{one.importer} -> {one.module}".replace("trainmap.", "")
            found[key] = f"{one}; move what is needed to a room before it, or hand it in as a value"
    compare(found, AGAINST_THE_ORDER, f"a room imports from those before it only ({', '.join(ROOMS)}):")


def test_no_files_import_each_other_in_a_circle() -> None:
    after: dict[str, set[str]] = defaultdict(set)
    for one in IMPORTS:
        if one.importer not in FACES and one.module not in FACES:
            after[one.importer].add(one.module)
    reach = {module: set(nexts) for module, nexts in after.items()}
    for middle in list(reach):
        for module in reach:
            if middle in reach[module]:
                reach[module] |= reach[middle]
    circles = {module: {other for other in reach[module] if module in reach.get(other, ())} for module in reach}
    found = {
        module.removeprefix(
            "trainmap."
        ): f"{module} is in a circle: it imports {', '.join(sorted(circle & after[module]))}"
        for module, circle in circles.items()
        if circle
    }
    compare(found, IN_A_CIRCLE, "files import each other in a circle; what both need belongs into a file before them:")


def test_a_file_name_stands_once_in_the_house() -> None:
    named = defaultdict(list)
    for path in FILES.values():
        if path.stem not in ("__init__", "__main__"):
            named[path.stem].append(str(path.relative_to(SRC)))
    twice = {stem: " and ".join(paths) for stem, paths in named.items() if len(paths) > 1}
    compare(twice, TWICE, "a file's name says its idea and is the only one of its kind:")


def lines_of_code(text: str) -> int:
    """How many lines of a file are neither docstring nor comment nor blank."""
    told: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                told |= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    lines = enumerate(text.splitlines(), 1)
    return sum(at not in told and bool(line.strip()) and not line.strip().startswith("#") for at, line in lines)


def test_a_file_fits_in_the_head() -> None:
    lines = {str(path.relative_to(SRC)): lines_of_code(path.read_text()) for path in FILES.values()}
    long = {name: f"{name} has {count} lines of code" for name, count in lines.items() if count > MOST_LINES}
    compare(long, TOO_LONG, f"at most {MOST_LINES} lines of code: split it by idea")


def test_a_room_is_entered_by_its_face() -> None:
    found = {}
    for one in IMPORTS:
        room = one.module if one.module in FACES else one.module.rpartition(".")[0]
        if room == "trainmap" or f"{one.importer}.".startswith(f"{room}."):
            continue
        whole = one.module == room or (not one.name and one.module in HOMES[room].values())
        its_own_file = one.name == one.module.rpartition(".")[2]  # the name of a file cannot be its room's as well
        if not (whole or its_own_file or HOMES[room].get(one.name) == one.module):
            key = f"{one.importer} -> {one.module}.{one.name}".replace("trainmap.", "")
            found[key] = f"{one}, which the face of {room} does not name"
    compare(
        found,
        PAST_A_FACE,
        "what other rooms use is public: import it from the file that the face names for it, or name it in the face:",
    )


@pytest.mark.parametrize("face", sorted(FACES))
def test_a_face_says_what_the_room_is_and_names_what_is_there(face: str) -> None:
    path, module = FILES[face], import_module(face)
    tree = ast.parse(path.read_text())
    typed = {
        name.asname or name.name
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for line in node.body
        if isinstance(line, ast.ImportFrom)
        for name in line.names
    }
    public = set(getattr(module, "__all__", ())) - {"__version__", "main"}
    assert public == set(HOMES[face]) == typed, "__all__, the imports under TYPE_CHECKING and the table are one list"
    files = {other.stem for other in path.parent.glob("*.py") if other.stem != "__init__"}
    files |= {other.parent.name for other in path.parent.glob("*/__init__.py")}
    assert not public & files, "a name that is a file's too means one or the other by the order of imports"
    for name in public:
        assert getattr(module, name) is getattr(import_module(HOMES[face][name]), name)
        assert name in dir(module)
    if face != "trainmap":
        told = set(re.findall(r"^    (\w+)(?:\.py|/) ", module.__doc__ or "", re.MULTILINE))
        assert told == files, "the docstring lists the room's files in reading order, a line each: `    table.py  ...`"


def loaded(code: str, *names: str) -> list[str]:
    """Which of the modules are in a fresh process that ran the code."""
    code += f"\nimport sys; print(*(name for name in {names} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1].split()


def test_faces_load_nothing_heavy() -> None:
    for code in (f"import {', '.join(sorted(FACES))}", "import trainmap; dir(trainmap)"):
        assert loaded(code, "torch", "matplotlib", "numpy", "polars", "typer") == []


def test_the_commands_help_loads_neither_torch_nor_matplotlib() -> None:
    run = "import sys; sys.argv = ['trainmap', '--help']\nfrom trainmap.cli import main\n"
    assert loaded(run + "try: main()\nexcept SystemExit: pass", "torch", "matplotlib") == []
