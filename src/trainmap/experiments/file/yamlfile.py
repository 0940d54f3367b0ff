"""YAML with the line of every value: read, merged, overridden, so that an error can say where a value came from.

The values are those of YAML 1.2's core schema, where PyYAML follows 1.1: ``1e-3`` is a number, ``no``, ``off`` and
``y`` are text, ``010`` is ten, ``12:30`` and ``2026-01-01`` are text, and a key that stands twice is an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trainmap.errors import TrainmapError, shown, some
from trainmap.files import read_text, reading

LONGEST_FILE = 1 << 20
"""Bytes of a YAML file: PyYAML takes 10 s for them."""
MOST_VALUES = 10_000
DEEPEST = 50
LONGEST_NUMBER = 300

Where = tuple[str | int, ...]  # the keys and positions that lead to a value

SCALARS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("null", re.compile(r"~|null|Null|NULL|")),
    ("bool", re.compile(r"true|True|TRUE|false|False|FALSE")),
    ("int", re.compile(r"[-+]?[0-9]+")),
    ("float", re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")),
)


@dataclass(frozen=True)
class Located:
    """A value and where each part of it was written.

    Attributes:
        value: dicts, lists, strings, numbers, booleans, None.
        places: for each part, by its path, ``"file.yaml:12"`` or ``"--set seeds"``.
    """

    value: Any
    places: Mapping[Where, str]

    def place(self, where: Where) -> str:
        """Where a part was written, or the nearest part around it."""
        while where not in self.places and where:
            where = where[:-1]
        return self.places.get(where, "")

    def part(self, key: str) -> Located | None:
        """The value under a key; None where there is none."""
        if not isinstance(self.value, dict) or key not in self.value:
            return None
        return Located(self.value[key], {at[1:]: place for at, place in self.places.items() if at[:1] == (key,)})

    def without(self, keys: Sequence[str]) -> Located:
        """The mapping without some of its keys."""
        kept = {key: value for key, value in self.value.items() if key not in keys}
        return Located(kept, {at: place for at, place in self.places.items() if not at or at[0] not in keys})

    def with_part(self, where: Where, new: Located) -> Located:
        """The value with ``new`` at a path; mappings on the way are made when they are missing.

        Raises:
            TrainmapError: a path through something that is no mapping, or past the end of a list.
        """
        if not where:
            return new
        key, rest = where[0], where[1:]
        value = self.value
        if isinstance(value, list) and isinstance(key, int) and 0 <= key < len(value):
            inside = value[key]
            copy: Any = list(value)
        elif (isinstance(value, dict) or value is None) and isinstance(key, str):
            inside = (value or {}).get(key)
            copy = dict(value or {})
        elif isinstance(value, list):
            raise TrainmapError(
                f"a list of {len(value)}: name an entry by 0 to {len(value) - 1} or *, got {shown(key)}"
            )
        else:
            raise TrainmapError(
                f"{shown(key)} must be a key of a mapping, but there is {type(value).__name__} {shown(value)}"
            )
        below = {at[1:]: place for at, place in self.places.items() if at[:1] == (key,)}
        changed = Located(inside, below).with_part(rest, new)
        copy[key] = changed.value
        others = {at: place for at, place in self.places.items() if at[:1] != (key,)}
        return Located(copy, others | {(key, *at): place for at, place in changed.places.items()})

    def merged(self, other: Located) -> Located:
        """Mappings joined key by key, ``other`` winning; anything else (lists too) is replaced whole."""
        replaced: set[Where] = set()
        value = _merge(self.value, other.value, (), replaced)

        def new(at: Where) -> bool:
            return any(at[:end] in replaced for end in range(len(at) + 1))

        kept = {at: place for at, place in self.places.items() if not new(at)}
        return Located(value, kept | {at: place for at, place in other.places.items() if new(at)})

    def paths(self, dotted: str) -> list[Where]:
        """The paths that ``students.*.epochs`` names; ``*`` is every entry of a list or mapping.

        Raises:
            TrainmapError: ``*`` where there is nothing to choose from.
        """
        found: list[tuple[Where, Any]] = [((), self.value)]
        if dotted.count(".") >= DEEPEST:
            raise TrainmapError(f"{shown(dotted)}: a path has at most {DEEPEST} words")
        for word in dotted.split("."):
            steps: list[tuple[Where, Any]] = []
            for where, value in found:
                if word == "*":
                    if not isinstance(value, dict | list) or not value:
                        raise TrainmapError(f"'{dotted}': there is nothing at '*'")
                    keys: list[str | int] = list(value) if isinstance(value, dict) else list(range(len(value)))
                elif isinstance(value, list) and re.fullmatch(r"[0-9]{1,9}", word):
                    keys = [int(word)]
                else:
                    keys = [word]
                steps += [((*where, key), _inside(value, key)) for key in keys]
            found = steps
        return [where for where, _ in found]


def _merge(mine: Any, theirs: Any, where: Where, replaced: set[Where]) -> Any:
    """The value of ``Located.merged``; the paths that are of ``theirs`` are put into ``replaced``."""
    if not (isinstance(mine, dict) and isinstance(theirs, dict)):
        replaced.add(where)
        return theirs
    found = dict(mine)
    for key, value in theirs.items():
        if key in mine:
            found[key] = _merge(mine[key], value, (*where, key), replaced)
        else:
            replaced.add((*where, key))
            found[key] = value
    return found


def _inside(value: Any, key: str | int) -> Any:
    if isinstance(value, dict):
        return value.get(key)
    return value[key] if isinstance(value, list) and isinstance(key, int) and key < len(value) else None


def read(path: str | Path) -> Located:
    """The one document of a YAML file.

    Raises:
        TrainmapError: no such file, or not YAML; says the line.
    """
    with reading(path, "YAML file", "write it in UTF-8"):
        if (size := Path(path).stat().st_size) > LONGEST_FILE:
            raise TrainmapError(f"{path} has {size:,} bytes, an experiment file has at most {LONGEST_FILE:,}")
    return parse(read_text(path, "YAML file", "write it in UTF-8"), str(path), lines=True)


def parse(text: str, origin: str, lines: bool = False) -> Located:
    """One YAML document; ``origin`` names it in errors, with line numbers or without."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except RecursionError as error:
        raise TrainmapError(f"{origin}: nested more than {DEEPEST} deep; an experiment is not") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if lines and mark is not None else ""
        raise TrainmapError(f"{origin}{line}: not YAML: {getattr(error, 'problem', None) or error}") from error
    places: dict[Where, str] = {}
    if node is None:
        return Located(None, {(): f"{origin}:1" if lines else origin})
    return Located(_build(node, (), places, origin, lines), places)


def _build(node: yaml.Node, where: Where, places: dict[Where, str], origin: str, lines: bool) -> Any:
    """The value of a node. An alias is built as often as it is used, so a few bytes can name any number of values."""
    place = f"{origin}:{node.start_mark.line + 1}" if lines and node.start_mark is not None else origin
    places[where] = place
    if len(places) > MOST_VALUES:
        raise TrainmapError(f"{place}: more than {MOST_VALUES:,} values, each alias counted where it is used")
    if len(where) > DEEPEST:
        raise TrainmapError(f"{place}: nested more than {DEEPEST} deep; an experiment is not")
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node, place)
    if isinstance(node, yaml.SequenceNode):
        return [_build(entry, (*where, at), places, origin, lines) for at, entry in enumerate(node.value)]
    assert isinstance(node, yaml.MappingNode)
    found: dict[str, Any] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise TrainmapError(f"{place}: a key must be a word, got {some([key.tag])}")
        if key.value in found:
            at = f"{origin}:{key.start_mark.line + 1}" if lines and key.start_mark is not None else origin
            raise TrainmapError(f"{at}: {shown(key.value)} stands twice; keep one of them")
        found[key.value] = _build(value, (*where, key.value), places, origin, lines)
        if lines and key.start_mark is not None:
            places[*where, key.value] = f"{origin}:{key.start_mark.line + 1}"  # the line of the key, not of its block
    return found


def _scalar(node: yaml.ScalarNode, place: str) -> Any:
    if node.tag not in {f"tag:yaml.org,2002:{kind}" for kind in KNOWN_TAGS}:
        raise TrainmapError(f"{place}: the tag {shown(node.tag)} means nothing here; leave it out")
    if node.style is not None:  # quoted, or a block of text
        return node.value
    kind = next((name for name, pattern in SCALARS if pattern.fullmatch(node.value)), "str")
    match kind:
        case "null":
            return None
        case "bool":
            return node.value.lower() == "true"
        case "int":
            if len(node.value) > LONGEST_NUMBER:
                raise TrainmapError(f"{place}: a number has at most {LONGEST_NUMBER} digits, got {len(node.value):,}")
            return int(node.value)
        case "float":
            return float(node.value.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return node.value


KNOWN_TAGS = ("null", "bool", "int", "float", "str", "timestamp", "value", "merge")
